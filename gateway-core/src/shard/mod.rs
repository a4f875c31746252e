//! Floor 4: the media plane: legs in four phases of 5 ms, one ingress per room, one clock.
//!
//! Sans-IO: packets and commands in, packets and reports out. After every call: `poll_transmit` until `None`, then
//! `poll_output` until `None`, then `poll_timeout` once.
//! (Stub of the interface: the next commits fill it.)

use std::net::SocketAddr;
use std::time::Instant;

use crate::base::ids::CallKey;
use crate::base::time::{WallClock, Why};
use crate::leg::media::{FromMedia, SocketKind, ToMedia, Transmit};

/// Size of a shard: everything is allocated for it at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardConfig {
    /// Calls at once. Beyond it the shard allocates.
    pub calls_max: usize,
    /// Rooms at once. Beyond it the shard allocates.
    pub rooms_max: usize,
}

impl Default for ShardConfig {
    fn default() -> Self {
        Self { calls_max: 1_000, rooms_max: 1_000 }
    }
}

/// The media plane of some calls.
pub struct Shard {}

impl Shard {
    /// A shard without calls.
    pub fn new(config: ShardConfig, now: Instant) -> Self {
        let _ = (config, now);
        Self {}
    }

    /// From signalling.
    pub fn command(&mut self, now: Instant, command: ToMedia) {
        let _ = (now, command);
    }

    /// A datagram that came to one of a call's sockets at `now` (the kernel's stamp, where there is one).
    pub fn handle_packet(
        &mut self,
        now: Instant,
        call: CallKey,
        socket: SocketKind,
        from: SocketAddr,
        bytes: &[u8],
    ) {
        let _ = (now, call, socket, from, bytes);
    }

    /// One tick of 5 ms, if it is due. Call again while [`Self::poll_timeout`] is not in the future.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// What time it is, for RTCP; about once a second.
    pub fn set_wall_clock(&mut self, now: Instant, wall: WallClock) {
        let _ = (now, wall);
    }

    /// The next datagram to send, written into `buffer` ([`crate::base::limits::RTP_DATAGRAM_BYTES_MAX`]).
    pub fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<(CallKey, Transmit)> {
        let _ = buffer;
        None
    }

    /// What to tell signalling.
    pub fn poll_output(&mut self) -> Option<FromMedia> {
        None
    }

    /// The next tick; `None` while there is no call.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        None
    }
}
