//! The media thread of one shard: a plain OS thread with absolute deadlines of 5 ms, its sockets, and two wait-free
//! rings to signalling.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use crate::base::ids::{CallKey, ShardId};
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

/// Signalling's end of a media thread. Dropping it stops the thread.
pub struct MediaHandle {}

/// A ring to the media thread is full: the value comes back, and the call it is about must end (`NoResources`).
#[derive(Debug, thiserror::Error)]
#[error("the ring to the media thread is full")]
pub struct RingFull<T>(pub T);

impl MediaHandle {
    /// Starts a media thread. Call it inside a tokio runtime with I/O: [`Self::notified`] waits there.
    pub fn spawn(config: MediaThreadConfig) -> io::Result<Self> {
        let _ = config;
        Ok(Self {})
    }

    /// To the shard. Values arrive in the order they are sent, sockets included.
    pub fn send(&mut self, command: ToMedia) -> Result<(), Box<RingFull<ToMedia>>> {
        let _ = command;
        Ok(())
    }

    /// Gives a call's bound sockets to the media thread. Its trunk half may be attached before or after.
    pub fn open_sockets(
        &mut self,
        call: CallKey,
        sockets: MediaSockets,
    ) -> Result<(), Box<RingFull<MediaSockets>>> {
        let _ = (call, sockets);
        Ok(())
    }

    /// Closes a call's sockets. Sent after `TrunkDetached` came, so that an RTCP BYE is out.
    pub fn close_sockets(&mut self, call: CallKey) -> Result<(), Box<RingFull<CallKey>>> {
        let _ = call;
        Ok(())
    }

    /// The next value from the shard.
    pub fn try_recv(&mut self) -> Option<FromMedia> {
        None
    }

    /// Waits until [`Self::try_recv`] may have something. Cancel safe. Empty the ring after it.
    pub async fn notified(&self) -> io::Result<()> {
        std::future::pending().await
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
        let _ = local;
        Err(io::ErrorKind::Unsupported.into())
    }
}
