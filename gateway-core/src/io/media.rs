//! The media thread of one shard: a plain OS thread with absolute deadlines of 5 ms, its sockets, and two wait-free
//! rings to signalling.
//!
//! Signalling's end never waits: a full ring gives the value back. The thread's end never waits for signalling either:
//! what does not fit stays in the shard, which then takes no more commands.

mod sockets;
mod thread;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, SockRef, Socket, Type};

use self::thread::{MediaThread, Order, Published};
use crate::base::ids::{CallKey, ShardId};
use crate::base::limits::{SHARD_RING_CAPACITY, SHARD_RING_RESERVE};
use crate::leg::media::{FromMedia, ToMedia};
use crate::shard::ShardConfig;

/// How to run a media thread.
#[derive(Clone, Copy, Debug)]
pub struct MediaThreadConfig {
    /// Which shard it is: the thread's name.
    pub shard: ShardId,
    /// Size of the shard.
    pub size: ShardConfig,
}

/// Signalling's end of a media thread. Dropping it stops the thread and waits for it (at most a few ms).
pub struct MediaHandle {
    orders: rtrb::Producer<Order>,
    answers: rtrb::Consumer<FromMedia>,
    shared: Arc<Shared>,
    /// Readable when an answer is in the ring.
    bell: tokio::net::UnixStream,
    published: Arc<Published>,
    thread: Option<JoinHandle<()>>,
}

/// What both ends hold.
struct Shared {
    /// Written by the thread when an answer is in the ring.
    answered: UnixStream,
    /// Written by the handle when the thread sleeps without a deadline.
    wake: EventFd,
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// A ring to the media thread is full: the value comes back, and the call it is about must end (`NoResources`).
#[derive(thiserror::Error)]
#[error("the ring to the media thread is full")]
pub struct RingFull<T>(pub T);

impl<T> std::fmt::Debug for RingFull<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RingFull")
    }
}

impl MediaHandle {
    /// Starts a media thread. Call it inside a tokio runtime with I/O: [`Self::notified`] waits there.
    pub fn spawn(config: MediaThreadConfig) -> io::Result<Self> {
        let (orders, orders_out) = rtrb::RingBuffer::new(SHARD_RING_CAPACITY);
        let (answers_in, answers) = rtrb::RingBuffer::new(SHARD_RING_CAPACITY);
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let (answered, bell) = UnixStream::pair()?;
        answered.set_nonblocking(true)?;
        bell.set_nonblocking(true)?;
        let bell = tokio::net::UnixStream::from_std(bell)?;
        let shared = Arc::new(Shared {
            answered,
            wake: EventFd::from_value_and_flags(0, flags)?,
            asleep: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let published = Arc::new(Published::default());
        let thread = MediaThread::new(
            config.size,
            orders_out,
            answers_in,
            Arc::clone(&shared),
            Arc::clone(&published),
        )?;
        let thread = std::thread::Builder::new()
            .name(format!("media-{}", config.shard.0))
            .spawn(move || thread.run())?;
        Ok(Self { orders, answers, shared, bell, published, thread: Some(thread) })
    }

    /// To the shard. Values arrive in the order they are sent, sockets included.
    pub fn send(&mut self, command: ToMedia) -> Result<(), Box<RingFull<ToMedia>>> {
        match self.order(Order::Shard(command)) {
            Err(Order::Shard(command)) => Err(Box::new(RingFull(command))),
            _ => Ok(()),
        }
    }

    /// Gives a call's bound sockets to the media thread. Its trunk half may be attached before or after.
    pub fn open_sockets(
        &mut self,
        call: CallKey,
        sockets: MediaSockets,
    ) -> Result<(), Box<RingFull<MediaSockets>>> {
        match self.order(Order::Open(call, sockets)) {
            Err(Order::Open(_, sockets)) => Err(Box::new(RingFull(sockets))),
            _ => Ok(()),
        }
    }

    /// Gives a call's socket towards the conference to the media thread, in the place of an older one.
    pub fn open_conference_socket(
        &mut self,
        call: CallKey,
        socket: u8,
        bound: UdpSocket,
    ) -> Result<(), Box<RingFull<UdpSocket>>> {
        match self.order(Order::OpenConference(call, socket, bound)) {
            Err(Order::OpenConference(_, _, bound)) => Err(Box::new(RingFull(bound))),
            _ => Ok(()),
        }
    }

    /// Closes one of a call's sockets towards the conference.
    pub fn close_conference_socket(
        &mut self,
        call: CallKey,
        socket: u8,
    ) -> Result<(), Box<RingFull<CallKey>>> {
        match self.order(Order::CloseConference(call, socket)) {
            Err(_) => Err(Box::new(RingFull(call))),
            Ok(()) => Ok(()),
        }
    }

    /// Closes a call's sockets. Sent after `TrunkDetached` came, so that an RTCP BYE is out.
    pub fn close_sockets(&mut self, call: CallKey) -> Result<(), Box<RingFull<CallKey>>> {
        match self.order(Order::Close(call)) {
            Err(_) => Err(Box::new(RingFull(call))),
            Ok(()) => Ok(()),
        }
    }

    /// The thread is so far behind that a new call would only be ended again. Once it was (`before`), it has to catch
    /// up half of that.
    pub fn is_behind(&self, before: bool) -> bool {
        let reserve = if before { SHARD_RING_RESERVE * 3 / 2 } else { SHARD_RING_RESERVE };
        self.orders.slots() < reserve
    }

    /// The next value from the shard.
    pub fn try_recv(&mut self) -> Option<FromMedia> {
        self.answers.pop().ok()
    }

    /// Waits until [`Self::try_recv`] may have something. Cancel safe. Empty the ring after it.
    pub async fn notified(&self) -> io::Result<()> {
        self.bell.readable().await?;
        // Emptied before the ring is read: what comes after that rings again.
        let _ = self.bell.try_read(&mut [0; 64]);
        Ok(())
    }

    /// Name, help and value of each counter, at most a second old.
    pub fn visit_counters(&self, see: &mut dyn FnMut(&'static str, &'static str, u64)) {
        self.published.visit(see);
    }

    fn order(&mut self, order: Order) -> Result<(), Order> {
        self.orders.push(order).map_err(|rtrb::PushError::Full(order)| order)?;
        if self.shared.asleep.swap(false, Ordering::SeqCst) {
            let _ = self.shared.wake.write(1);
        }
        Ok(())
    }
}

impl Drop for MediaHandle {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = self.shared.wake.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The RTP and the RTCP socket of a trunk leg.
#[derive(Debug)]
pub struct MediaSockets {
    /// RTP (and RTCP, where muxed).
    pub rtp: UdpSocket,
    /// RTCP.
    pub rtcp: UdpSocket,
}

impl MediaSockets {
    /// Binds `local` for RTP and the port above for RTCP, non-blocking, with DSCP EF, a receive buffer for a burst and
    /// kernel arrival stamps.
    pub fn bind(local: SocketAddr) -> io::Result<Self> {
        let above = local.port().checked_add(1).ok_or(io::ErrorKind::InvalidInput)?;
        let rtp = bind_one(local)?;
        let rtcp = bind_one(SocketAddr::new(local.ip(), above))?;
        Ok(Self { rtp, rtcp })
    }
}

/// Binds a port towards a conference, as [`MediaSockets::bind`] does.
pub fn bind_conference(local: SocketAddr) -> io::Result<UdpSocket> {
    bind_one(local)
}

fn bind_one(local: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, None)?;
    if local.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&local.into())?;
    socket.set_nonblocking(true)?;
    // Quality of service is a wish: a host that forbids it still carries calls.
    let wish = SockRef::from(&socket);
    let _ = match local {
        SocketAddr::V4(_) => wish.set_tos_v4(DSCP_EXPEDITED),
        SocketAddr::V6(_) => wish.set_tclass_v6(DSCP_EXPEDITED),
    };
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    let _ = setsockopt(&socket, sockopt::ReceiveTimestampns, &true);
    Ok(socket.into())
}

/// DSCP 46, in the upper six bits (RFC 3246, RFC 8837).
const DSCP_EXPEDITED: u32 = 46 << 2;
/// One second of the densest stream (100 packets of 1,500 bytes) waits without loss.
const RECEIVE_BUFFER_BYTES: usize = 150_000;

#[cfg(test)]
mod tests;
