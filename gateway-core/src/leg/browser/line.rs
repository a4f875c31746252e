//! The line of a browser: the transport between its socket and the media half of a call. Packets of the browser come
//! out of it as plain RTP of one peer, and what the media half sends goes into it.
//!
//! So the half that serves phones serves browsers, too: keys, clips, codecs, reports. It never learns where the
//! browser is: ICE knows, and whoever is not the browser has no keys.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use crate::base::limits::RTP_DATAGRAM_BYTES_MAX;
use crate::base::time::Why;
use crate::leg::media::{SocketKind, Transmit};
use crate::rtp::wire::{DatagramKind, datagram_kind};
use crate::webrtc::transport::{
    Datagram, Media, Transport, TransportCommand, TransportCounters, TransportEvent,
};

/// The one peer that the media half knows: an address that means something to this line alone (RFC 5737), and to no
/// socket.
pub const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// One browser's line.
pub struct BrowserLine {
    transport: Box<dyn Transport>,
    /// What the media half sends, before it is protected.
    plain: Box<[u8; RTP_DATAGRAM_BYTES_MAX]>,
    /// The last time we were told: packets carry the kernel's stamps, which may step back; machines must not.
    seen: Option<Instant>,
}

impl BrowserLine {
    /// Around a transport that was built for it. Nothing is sent before [`Self::handle_timeout`].
    pub fn new(transport: Box<dyn Transport>) -> Box<Self> {
        let plain = Box::new([0; RTP_DATAGRAM_BYTES_MAX]);
        Box::new(Self { transport, plain, seen: None })
    }

    /// A datagram came to the browser's port. Gives the RTP or RTCP in it, as from [`PEER`].
    pub fn receive(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) -> Option<&[u8]> {
        let now = self.see(now);
        let datagram = Datagram { socket: 0, from, bytes };
        self.transport.handle_datagram(now, datagram).map(|received| received.bytes)
    }

    /// Where the media half writes what it sends; then [`Self::send`].
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.plain[..]
    }

    /// Protects and queues what was written. Before the keys are there it is lost, as on any line that is not up.
    pub fn send(&mut self, length: usize) {
        let Some(packet) = self.plain.get(..length) else { return };
        match datagram_kind(packet) {
            DatagramKind::Rtp => _ = self.transport.send(Media::Rtp, packet),
            DatagramKind::Rtcp => _ = self.transport.send(Media::Rtcp, packet),
            DatagramKind::Other => {}
        }
    }

    /// Due deadlines.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.see(now);
        if self.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.transport.handle_timeout(now);
        }
    }

    /// Says goodbye; what is queued still leaves.
    pub fn close(&mut self, now: Instant) {
        let now = self.see(now);
        self.transport.command(now, TransportCommand::Close);
    }

    /// Whether [`Self::poll_transmit`] has something.
    pub fn has_output(&self) -> bool {
        self.transport.has_output()
    }

    /// The next datagram to send, written into `buffer`.
    pub fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Transmit> {
        let departure = self.transport.poll_transmit(buffer)?;
        let (to, length) = (departure.to, departure.length);
        Some(Transmit { to, socket: SocketKind::TrunkRtp, length })
    }

    /// What happened to the transport, as far as it matters: a browser that changes its path all the time is not reported.
    pub fn poll_event(&mut self) -> Option<TransportEvent> {
        loop {
            let event = self.transport.poll_event()?;
            let matters = matches!(
                event,
                TransportEvent::Secured { .. }
                    | TransportEvent::Disconnected
                    | TransportEvent::Failed(_)
            );
            if matters {
                return Some(event);
            }
        }
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        self.transport.poll_timeout()
    }

    /// What its transport met.
    pub fn counters(&self) -> TransportCounters {
        self.transport.counters()
    }

    fn see(&mut self, now: Instant) -> Instant {
        *self.seen.insert(self.seen.map_or(now, |seen| seen.max(now)))
    }
}
