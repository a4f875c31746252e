//! All ends of a call, and the one map from an end to SIP status, Reason header, words and labels.

use crate::media::clip::prompt::PromptId;

/// Why a call ended. Every call ends with exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// The caller hung up (BYE).
    CallerHungUp,
    /// The caller gave up before we answered (CANCEL).
    CallerCancelled,
    /// The caller pressed `**`.
    CallerLeft,
    /// Three PINs, none valid.
    PinRefused,
    /// Nothing typed, three times.
    PinNotGiven,
    /// The room has its maximum of callers.
    RoomFull,
    /// The host ended the room.
    RoomEnded,
    /// The host did not come in time.
    HostNeverCame,
    /// Nobody else came into the room while the phone rang, or was kept alone in it.
    NobodyCame,
    /// A moderator removed the caller.
    Kicked,
    /// A moderator or the focus hung the phone up.
    MeetingHungUp,
    /// A moderator did not let the caller out of the lobby.
    LobbyDenied,
    /// The conference was lost and could not be joined again.
    ConferenceLost,
    /// No such destination and no PIN allowed.
    NotFound,
    /// The daemon's policy said no.
    Forbidden,
    /// The gateway is at its limit of calls, or too busy.
    Overloaded,
    /// The gateway is being drained.
    Draining,
    /// No codec in common.
    NoCommonCodec,
    /// The peer's SDP could not be used at all.
    BadOffer,
    /// Our 200 was never acknowledged (RFC 3261 §13.3.1.4).
    AckNeverCame,
    /// The session timer ran out (RFC 4028).
    SessionExpired,
    /// No RTP for the configured time.
    MediaTimeout,
    /// The program behind the trunk left two heartbeats in a row without an answer.
    HeartbeatLost,
    /// The call reached its maximum length.
    TooLong,
    /// A port could not be had, or a ring was full.
    NoResources,
    /// The far side refused our call (UAC); the SIP status is in the record.
    Refused,
    /// The far side did not answer in time (UAC).
    NoAnswer,
    /// The peer broke the protocol so that the dialog cannot go on.
    PeerMisbehaved,
    /// The peer no longer knows the call (481, 408 inside the dialog), or its transport is gone.
    PeerGone,
    /// The PIN registry or a hook could not be asked.
    ServiceUnavailable,
    /// An operator ended it.
    Operator,
    /// Our own fault: a panic was caught.
    Bug,
}

/// What one end looks like to each audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndRow {
    /// Metric label and CDR text.
    pub label: &'static str,
    /// Final response when the call was not answered yet.
    pub status: u16,
    /// Q.850 cause of the Reason header (RFC 3326) in BYE or response.
    pub cause: u8,
    /// Words before the BYE when the call was answered and the caller is still there.
    pub words: Option<PromptId>,
}

impl EndReason {
    /// What this end looks like on the wire, in figures and to the ear. The only such map.
    ///
    /// SIP statuses follow RFC 3261 §21, causes ITU-T Q.850 (as RFC 3398 pairs them where it does). Words are for a
    /// caller who is still there and did not ask to go; who hung up, cannot hear or never talked to us gets none.
    pub fn row(self) -> EndRow {
        let (label, status, cause, words) = match self {
            Self::CallerHungUp => ("caller_hung_up", 487, 16, None),
            Self::CallerCancelled => ("caller_cancelled", 487, 16, None),
            Self::CallerLeft => ("caller_left", 480, 16, Some(PromptId::LeaveGoodbye)),
            Self::PinRefused => ("pin_refused", 403, 21, Some(PromptId::TooManyTries)),
            Self::PinNotGiven => ("pin_not_given", 480, 19, Some(PromptId::Goodbye)),
            Self::RoomFull => ("room_full", 486, 17, Some(PromptId::RoomFull)),
            Self::RoomEnded => ("room_ended", 480, 16, Some(PromptId::RoomEndedByHost)),
            Self::HostNeverCame => ("host_never_came", 480, 19, Some(PromptId::MeetingNotStarted)),
            Self::NobodyCame => ("nobody_came", 480, 19, None),
            Self::Kicked => ("kicked", 403, 21, Some(PromptId::Kicked)),
            Self::MeetingHungUp => ("meeting_hung_up", 480, 16, Some(PromptId::Goodbye)),
            Self::LobbyDenied => ("lobby_denied", 403, 21, Some(PromptId::LobbyDenied)),
            Self::ConferenceLost => {
                ("conference_lost", 503, 41, Some(PromptId::ServiceUnavailable))
            }
            Self::NotFound => ("not_found", 404, 1, Some(PromptId::RoomClosed)),
            Self::Forbidden => ("forbidden", 403, 21, Some(PromptId::RoomClosed)),
            Self::Overloaded => ("overloaded", 503, 42, Some(PromptId::CallLimit)),
            Self::Draining => ("draining", 503, 42, Some(PromptId::ServiceUnavailable)),
            Self::NoCommonCodec => ("no_common_codec", 488, 65, None),
            Self::BadOffer => ("bad_offer", 488, 95, None),
            Self::AckNeverCame => ("ack_never_came", 408, 102, None),
            Self::SessionExpired => ("session_expired", 408, 102, None),
            Self::MediaTimeout => ("media_timeout", 408, 41, None),
            Self::HeartbeatLost => ("heartbeat_lost", 408, 102, None),
            Self::TooLong => ("too_long", 480, 16, Some(PromptId::MaxDuration)),
            Self::NoResources => ("no_resources", 503, 47, Some(PromptId::ServiceUnavailable)),
            Self::Refused => ("refused", 480, 21, None),
            Self::NoAnswer => ("no_answer", 408, 19, None),
            Self::PeerMisbehaved => ("peer_misbehaved", 400, 111, None),
            Self::PeerGone => ("peer_gone", 480, 27, None),
            Self::ServiceUnavailable => {
                ("service_unavailable", 503, 41, Some(PromptId::ServiceUnavailable))
            }
            Self::Operator => ("operator", 480, 16, Some(PromptId::Goodbye)),
            Self::Bug => ("bug", 500, 41, Some(PromptId::InternalError)),
        };
        EndRow { label, status, cause, words }
    }

    /// The same for programs that know Jigasi: whatever keeps a caller out of his room before the answer is 486, as in
    /// its captures. What is wrong with the gateway stays 503, and with the sound 488.
    pub fn row_as_jigasi(self) -> EndRow {
        let row = self.row();
        match self {
            Self::PinRefused
            | Self::PinNotGiven
            | Self::RoomFull
            | Self::RoomEnded
            | Self::HostNeverCame
            | Self::Kicked
            | Self::LobbyDenied
            | Self::NotFound
            | Self::Forbidden => EndRow { status: 486, cause: 17, ..row },
            _ => row,
        }
    }

    /// Every reason, for metrics that show zeros and for tests.
    pub const ALL: [Self; 32] = [
        Self::CallerHungUp,
        Self::CallerCancelled,
        Self::CallerLeft,
        Self::PinRefused,
        Self::PinNotGiven,
        Self::RoomFull,
        Self::RoomEnded,
        Self::HostNeverCame,
        Self::NobodyCame,
        Self::Kicked,
        Self::MeetingHungUp,
        Self::LobbyDenied,
        Self::ConferenceLost,
        Self::NotFound,
        Self::Forbidden,
        Self::Overloaded,
        Self::Draining,
        Self::NoCommonCodec,
        Self::BadOffer,
        Self::AckNeverCame,
        Self::SessionExpired,
        Self::MediaTimeout,
        Self::HeartbeatLost,
        Self::TooLong,
        Self::NoResources,
        Self::Refused,
        Self::NoAnswer,
        Self::PeerMisbehaved,
        Self::PeerGone,
        Self::ServiceUnavailable,
        Self::Operator,
        Self::Bug,
    ];
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_is_listed_once_and_has_a_label_of_its_own() {
        // The order of the enum is the order of ALL: a variant that is missing there breaks the count below.
        assert!(EndReason::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(
            EndReason::ALL.last().map(|last| *last as usize + 1),
            Some(EndReason::ALL.len())
        );
        let labels: BTreeSet<_> = EndReason::ALL.iter().map(|reason| reason.row().label).collect();
        assert_eq!(labels.len(), EndReason::ALL.len());
    }

    #[test]
    fn statuses_are_final_refusals_and_causes_are_of_q850() {
        for reason in EndReason::ALL {
            let row = reason.row();
            assert!((400..=603).contains(&row.status), "{reason:?}");
            assert!((1..=127).contains(&row.cause), "{reason:?}");
            let plain = row.label.bytes().all(|it| it.is_ascii_lowercase() || it == b'_');
            assert!(plain, "{reason:?}");
        }
    }

    #[test]
    fn a_caller_who_is_still_there_is_told_why_and_others_hear_nothing() {
        use EndReason::*;
        let silent = [
            CallerHungUp,
            CallerCancelled,
            // He heard that he is alone, or only ringing.
            NobodyCame,
            NoCommonCodec,
            BadOffer,
            AckNeverCame,
            SessionExpired,
            MediaTimeout,
            HeartbeatLost,
            Refused,
            NoAnswer,
            PeerMisbehaved,
            PeerGone,
        ];
        for reason in EndReason::ALL {
            assert_eq!(reason.row().words.is_none(), silent.contains(&reason), "{reason:?}");
        }
    }

    #[test]
    fn the_page_for_operators_says_the_same() {
        let page = include_str!("../../../docs/sip.md");
        for reason in EndReason::ALL {
            let EndRow { label, status, cause, words } = reason.row();
            let words = words.map(|id| format!(" `{id}`")).unwrap_or_default();
            let end = format!("| {status} | {cause} |{words} |");
            let row = page.lines().find(|line| line.starts_with(&format!("| `{label}` |")));
            assert!(row.is_some_and(|row| row.ends_with(&end)), "docs/sip.md: {label} ... {end}");
        }
    }
}
