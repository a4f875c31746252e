//! Floor 5, the heart: inputs in, calls, outputs out. Read this second, after the crate page.
//! (Stub of the interface: the `heart` part replaces it; io, the daemon and the simulator rely on these signatures.)

pub mod snapshot;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::ids::{CallKey, ShardId};
use crate::base::rng::Rng;
use crate::base::time::{WallClock, Why};
use crate::leg::backend::Backend;
use crate::leg::media::{FromMedia, ToMedia};
use crate::leg::trunk::signal::SdpPolicy;
use crate::media::clip::ClipLibrary;
use crate::sip::endpoint::{ApiMisuse, EndpointConfig, TransportInput, TransportOutput};

/// Settings of the gateway.
pub struct GatewayConfig {
    /// SIP.
    pub endpoint: EndpointConfig,
    /// SDP, per trunk.
    pub sdp: Vec<SdpPolicy>,
    /// First and last RTP port; even ports carry RTP, the odd one above RTCP.
    pub rtp_ports: (u16, u16),
    /// How long a freed port pair rests before it is used again.
    pub port_rest: Duration,
    /// Media shards.
    pub shards: u16,
    /// No RTP for this long ends a call.
    pub media_timeout: Duration,
    /// Longest call.
    pub call_length_max: Duration,
    /// Clips.
    pub clips: Arc<ClipLibrary>,
    /// Conference backends by name. The embedded rooms are `room` and always there.
    pub backends: Vec<(String, Box<dyn Backend>)>,
}

/// From outside.
pub enum Input<'a> {
    /// SIP.
    Sip(TransportInput<'a>),
    /// A port pair asked for by [`Output::OpenMedia`] is bound (or not): the local RTP address.
    MediaOpened {
        /// Whose.
        call: CallKey,
        /// The local RTP address, or `None` when the port is taken: another one will be tried.
        bound: Option<SocketAddr>,
    },
    /// From a shard.
    FromMedia(ShardId, FromMedia),
    /// Wall time, about once a second.
    WallClock(WallClock),
}

/// To outside.
pub enum Output {
    /// SIP.
    Sip(TransportOutput),
    /// Bind an RTP/RTCP port pair for a call and hand it to the shard; answered by [`Input::MediaOpened`].
    OpenMedia {
        /// Whose.
        call: CallKey,
        /// Its shard.
        shard: ShardId,
        /// RTP address wanted; RTCP is the port above.
        local: SocketAddr,
    },
    /// Close the sockets of a call.
    CloseMedia {
        /// Whose.
        call: CallKey,
        /// Its shard.
        shard: ShardId,
    },
    /// To a shard.
    ToMedia(ShardId, ToMedia),
    /// To the owner (the daemon).
    Event(Event),
}

pub use crate::call::event::{Command, Event};

/// The gateway.
pub struct Gateway {}

impl Gateway {
    /// A gateway without calls.
    pub fn new(config: GatewayConfig, now: Instant, rng: Rng) -> Self {
        let _ = (config, now, rng);
        Self {}
    }

    /// Something happened.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        let _ = (now, input);
    }

    /// The owner wants something. A command for a call that is gone is not an error: calls end at any time.
    pub fn command(
        &mut self,
        now: Instant,
        command: Command,
    ) -> Result<Option<CallKey>, ApiMisuse> {
        let _ = (now, command);
        Ok(None)
    }

    /// Due deadlines.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        None
    }

    /// Everything that lives, for people who look from outside.
    pub fn snapshot(&self, now: Instant) -> snapshot::GatewaySnapshot {
        let _ = now;
        snapshot::GatewaySnapshot {
            calls: Vec::new(),
            rooms: Vec::new(),
            dialogs: 0,
            ports_used: 0,
            ports_resting: 0,
            draining: false,
        }
    }

    /// Nothing lives: no call, no dialog, no port in use. Quarantined ports and lingering SIP transactions do not count.
    pub fn is_idle(&self) -> bool {
        true
    }
}
