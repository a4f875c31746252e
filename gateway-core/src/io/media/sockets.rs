//! The sockets of all calls on one media thread: who is ready, what came and when, what leaves.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant, SystemTime};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
use nix::sys::time::TimeSpec;
use slotmap::SecondaryMap;

use super::MediaSockets;
use crate::base::ids::CallKey;
use crate::base::limits::RTP_DATAGRAM_BYTES_MAX;
use crate::leg::media::{SocketKind, Transmit};

/// The sockets of one thread.
pub(super) struct SocketTable {
    epoll: Epoll,
    pairs: SecondaryMap<CallKey, Pair>,
    /// Towards conferences, two at most for a call.
    conference: SecondaryMap<CallKey, [Option<ConferenceSocket>; 2]>,
    /// What an epoll token stands for.
    tokens: Vec<Option<(CallKey, SocketKind)>>,
    free: Vec<usize>,
    ready: Vec<EpollEvent>,
    control: Vec<u8>,
    bytes: Box<[u8; RTP_DATAGRAM_BYTES_MAX]>,
    pub(super) sent: u64,
    pub(super) unsent: u64,
}

struct Pair {
    sockets: MediaSockets,
    tokens: [usize; 2],
}

struct ConferenceSocket {
    socket: UdpSocket,
    token: usize,
}

/// A datagram that came.
pub(super) struct Arrival<'a> {
    pub(super) at: Instant,
    pub(super) call: CallKey,
    pub(super) socket: SocketKind,
    pub(super) from: SocketAddr,
    pub(super) bytes: &'a [u8],
}

/// One reading of both clocks, to turn the kernel's wall stamps into instants.
#[derive(Clone, Copy)]
pub(super) struct Clocks {
    pub(super) now: Instant,
    wall: Duration,
}

impl Clocks {
    pub(super) fn read() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { now: Instant::now(), wall }
    }

    pub(super) fn wall(&self) -> Duration {
        self.wall
    }

    /// A stamp of the future or of more than a second ago is a step of the wall clock: it came now.
    fn instant_of(&self, stamp: Duration) -> Instant {
        match self.wall.checked_sub(stamp) {
            Some(age) if age < Duration::from_secs(1) => {
                self.now.checked_sub(age).unwrap_or(self.now)
            }
            _ => self.now,
        }
    }
}

impl SocketTable {
    pub(super) fn new(calls_max: usize, wake: &EventFd) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE_TOKEN))?;
        Ok(Self {
            epoll,
            pairs: SecondaryMap::with_capacity(calls_max + 1),
            conference: SecondaryMap::with_capacity(calls_max + 1),
            tokens: Vec::with_capacity(calls_max * 2),
            free: Vec::with_capacity(calls_max * 2),
            ready: vec![EpollEvent::empty(); READY_MAX],
            control: cmsg_space!(TimeSpec),
            bytes: Box::new([0; RTP_DATAGRAM_BYTES_MAX]),
            sent: 0,
            unsent: 0,
        })
    }

    pub(super) fn open(&mut self, call: CallKey, sockets: MediaSockets) {
        self.close(call);
        let rtp = self.watch(&sockets.rtp, call, SocketKind::TrunkRtp);
        let rtcp = self.watch(&sockets.rtcp, call, SocketKind::TrunkRtcp);
        self.pairs.insert(call, Pair { sockets, tokens: [rtp, rtcp] });
    }

    pub(super) fn open_conference(&mut self, call: CallKey, place: u8, socket: UdpSocket) {
        self.close_conference(call, place);
        let token = self.watch(&socket, call, SocketKind::Conference(place));
        if !self.conference.contains_key(call) {
            self.conference.insert(call, [None, None]);
        }
        let held = self.conference.get_mut(call).and_then(|it| it.get_mut(usize::from(place)));
        if let Some(held) = held {
            *held = Some(ConferenceSocket { socket, token });
        }
    }

    pub(super) fn close_conference(&mut self, call: CallKey, place: u8) {
        let held = self.conference.get_mut(call).and_then(|it| it.get_mut(usize::from(place)));
        if let Some(ConferenceSocket { socket, token }) = held.and_then(Option::take) {
            let _ = self.epoll.delete(&socket);
            self.tokens[token] = None;
            self.free.push(token);
        }
    }

    pub(super) fn close(&mut self, call: CallKey) {
        for place in 0..2 {
            self.close_conference(call, place);
        }
        self.conference.remove(call);
        let Some(pair) = self.pairs.remove(call) else { return };
        let _ = self.epoll.delete(&pair.sockets.rtp);
        let _ = self.epoll.delete(&pair.sockets.rtcp);
        for token in pair.tokens {
            self.tokens[token] = None;
            self.free.push(token);
        }
    }

    /// Waits for the wake-up alone.
    pub(super) fn sleep_until_woken(&mut self, wake: &EventFd) {
        let _ = self.epoll.wait(&mut self.ready, EpollTimeout::from(IDLE_POLL_MS));
        let _ = wake.read();
    }

    /// Hands over everything that waits. A socket gives at most [`BATCH_MAX`] datagrams, so that a flood to one port
    /// takes no time from the others.
    pub(super) fn receive(&mut self, clocks: Clocks, take: &mut dyn FnMut(Arrival<'_>)) {
        for _ in 0..READY_ROUNDS_MAX {
            let Ok(count) = self.epoll.wait(&mut self.ready, EpollTimeout::ZERO) else { return };
            for index in 0..count {
                let token = self.ready[index].data();
                self.receive_from(token, clocks, take);
            }
            if count < self.ready.len() {
                return;
            }
        }
    }

    pub(super) fn send(&mut self, call: CallKey, transmit: Transmit, bytes: &[u8]) {
        let Some(socket) = self.socket_of(call, transmit.socket) else { return };
        match socket.send_to(bytes, transmit.to) {
            Ok(_) => self.sent += 1,
            Err(_) => self.unsent += 1,
        }
    }

    fn receive_from(&mut self, token: u64, clocks: Clocks, take: &mut dyn FnMut(Arrival<'_>)) {
        let known = usize::try_from(token).ok().and_then(|token| self.tokens.get(token));
        let Some((call, socket)) = known.copied().flatten() else { return };
        let Some(descriptor) = self.socket_of(call, socket).map(AsRawFd::as_raw_fd) else { return };
        for _ in 0..BATCH_MAX {
            let (bytes, control) = (self.bytes.as_mut_slice(), &mut self.control);
            match receive_one(descriptor, bytes, control, clocks) {
                Ok(Some((at, from, length))) => {
                    let bytes = self.bytes.get(..length).unwrap_or_default();
                    take(Arrival { at, call, socket, from, bytes });
                }
                Ok(None) => (),
                Err(_) => return,
            }
        }
    }

    fn socket_of(&self, call: CallKey, kind: SocketKind) -> Option<&UdpSocket> {
        match kind {
            SocketKind::TrunkRtp => Some(&self.pairs.get(call)?.sockets.rtp),
            SocketKind::TrunkRtcp => Some(&self.pairs.get(call)?.sockets.rtcp),
            SocketKind::Conference(place) => {
                let held = self.conference.get(call)?.get(usize::from(place))?.as_ref()?;
                Some(&held.socket)
            }
        }
    }

    fn watch(&mut self, socket: &std::net::UdpSocket, call: CallKey, kind: SocketKind) -> usize {
        let token = self.free.pop().unwrap_or_else(|| {
            self.tokens.push(None);
            self.tokens.len() - 1
        });
        self.tokens[token] = Some((call, kind));
        let event = EpollEvent::new(EpollFlags::EPOLLIN, token as u64);
        if self.epoll.add(socket, event).is_err() {
            tracing::warn!(%call, "a media socket cannot be watched; the call will hear nothing");
        }
        token
    }
}

/// One datagram: when, from where, how long. `None`: one that no phone sends (not IP, or longer than any RTP).
fn receive_one(
    descriptor: RawFd,
    bytes: &mut [u8],
    control: &mut [u8],
    clocks: Clocks,
) -> nix::Result<Option<(Instant, SocketAddr, usize)>> {
    let mut slices = [IoSliceMut::new(bytes)];
    let message = loop {
        let flags = MsgFlags::MSG_DONTWAIT;
        match recvmsg::<SockaddrStorage>(descriptor, &mut slices, Some(control), flags) {
            Err(Errno::EINTR) => continue,
            other => break other?,
        }
    };
    if message.flags.contains(MsgFlags::MSG_TRUNC) {
        return Ok(None);
    }
    let stamp = message.cmsgs().ok().and_then(|mut controls| {
        controls.find_map(|control| match control {
            ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
            _ => None,
        })
    });
    let at = stamp.map_or(clocks.now, |stamp| clocks.instant_of(stamp));
    let from = message.address.as_ref().and_then(socket_address);
    Ok(from.map(|from| (at, from, message.bytes)))
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::V4(SocketAddrV4::from(*v4)));
    }
    address.as_sockaddr_in6().map(|v6| SocketAddr::V6(SocketAddrV6::from(*v6)))
}

const WAKE_TOKEN: u64 = u64::MAX;
/// Sockets looked at per `epoll_wait`.
const READY_MAX: usize = 256;
/// More than 2,048 ready sockets in one wake: the rest waits 5 ms.
const READY_ROUNDS_MAX: usize = 8;
/// Datagrams per socket and wake: five times the densest stream after a stall of 60 ms.
const BATCH_MAX: usize = 32;
/// A sleeper looks up this often, in ms, in case a wake-up was lost.
const IDLE_POLL_MS: u16 = 1_000;
