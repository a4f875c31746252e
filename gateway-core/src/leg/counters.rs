//! What legs in conferences count: on the shards ([`ConferenceCounters`]) and where their sessions are made
//! ([`BackendCounters`]).

use crate::leg::jitsi::media::JitsiMediaCounters;
use crate::webrtc::transport::TransportCounters;

/// What the conference halves of a shard met, present and past, and their transports and those of browsers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConferenceCounters {
    /// Sound.
    pub media: JitsiMediaCounters,
    /// ICE, DTLS, SRTP, bridge channel.
    pub transport: TransportCounters,
}

impl ConferenceCounters {
    /// Calls `see` with name, help and value of each counter.
    pub fn visit(&self, see: &mut dyn FnMut(&'static str, &'static str, u64)) {
        self.media.visit(see);
        self.transport.visit(see);
    }

    /// Adds `other`, counter by counter.
    pub fn add(&mut self, other: &Self) {
        self.media.add(&other.media);
        self.transport.add(&other.transport);
    }
}

crate::counters! {
    /// What legs met on their way into the conferences of a backend and in them.
    pub struct BackendCounters {
        /// Sessions with a bridge that were accepted.
        bridge_sessions,
        /// Sessions that took the place of one whose sound flowed: the bridge moved.
        bridge_changes,
        /// ICE restarts that the bridge took part in.
        bridge_ice_restarts,
        /// Sessions that came to keys.
        bridge_keys,
        /// Milliseconds from the answer to the keys, of all sessions together; over `bridge_keys` that is the mean.
        bridge_keys_ms,
        /// Transports without keys in time: ICE found no path, or DTLS did not end.
        bridge_keys_too_late,
        /// Transports given up because the bridge showed another certificate than was announced.
        bridge_certificates_wrong,
        /// Transports whose DTLS broke.
        bridge_dtls_failed,
        /// Transports that the bridge closed.
        bridge_closed_by_peer,
        /// Paths to a bridge on which nothing authentic came any more.
        bridge_paths_lost,
        /// Sessions that ended although others are there, and not to be moved: the room was joined anew.
        bridge_sessions_dropped,
        /// Times the sound was interrupted and came back: each change of the bridge, each path or session lost.
        bridge_gaps,
        /// Milliseconds of those, from the notice of the loss to keys or path.
        bridge_gaps_ms,
        /// Those longer than a second.
        bridge_gaps_over_1s,
        /// Those longer than five seconds.
        bridge_gaps_over_5s,
        /// Conferences interrupted in one way or another: path, session (also to be moved), room or stream.
        conferences_interrupted,
        /// Those that were got back.
        conferences_recovered,
        /// Those that were given up: the caller heard it and was let go.
        conferences_given_up,
        /// Rooms joined anew because nothing milder helped.
        conferences_rejoined,
    }
}

impl BackendCounters {
    /// The sound was interrupted for so long.
    pub fn note_gap(&mut self, gap: std::time::Duration) {
        let gap_ms = u64::try_from(gap.as_millis()).unwrap_or(u64::MAX);
        self.bridge_gaps += 1;
        self.bridge_gaps_ms = self.bridge_gaps_ms.saturating_add(gap_ms);
        self.bridge_gaps_over_1s += u64::from(gap_ms > 1_000);
        self.bridge_gaps_over_5s += u64::from(gap_ms > 5_000);
    }
}
