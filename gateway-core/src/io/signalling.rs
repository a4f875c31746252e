//! The signalling driver: one OS thread with a tokio current-thread runtime that owns the gateway, its SIP sockets
//! and its timers. Everybody else talks to it through a [`GatewayHandle`] and reads [`Event`]s.
//! (First version: the signatures stand, the driver follows.)

use std::net::SocketAddr;

use tokio::sync::{mpsc, oneshot};

use crate::base::ids::CallKey;
use crate::base::rng::Rng;
use crate::gateway::snapshot::GatewaySnapshot;
use crate::gateway::{Command, Event, GatewayConfig};
use crate::sip::endpoint::ApiMisuse;

/// Events the owner has not read yet. Full: the driver keeps up to this many again, then ends the calls they are of.
pub const EVENTS_PENDING_MAX: usize = 8_192;
/// Commands on their way in. Full: `command` waits.
pub const COMMANDS_PENDING_MAX: usize = 1_024;

/// A running gateway: what to tell it, what it says.
pub struct Running {
    /// Talks to the gateway from any thread.
    pub handle: GatewayHandle,
    /// What the gateway tells and asks. Dropping it makes every question go unanswered.
    pub events: mpsc::Receiver<Event>,
    /// The addresses really bound, in the order of the configuration's listeners (a port 0 became a number).
    pub listeners: Vec<SocketAddr>,
    thread: std::thread::JoinHandle<()>,
}

/// Binds every listener, starts the media and signalling threads and returns once the gateway takes calls. Every
/// listener that cannot be bound is named, not the first alone.
pub fn start(config: GatewayConfig, rng: Rng) -> Result<Running, StartError> {
    let _ = (config, rng);
    Err(StartError { problems: vec!["the signalling driver is not written yet".into()] })
}

impl Running {
    /// Waits for the threads after [`GatewayHandle::stop`].
    pub fn join(self) {
        let _ = self.thread.join();
    }
}

/// Talks to a running gateway from any thread. Clones talk to the same one.
#[derive(Clone, Debug)]
pub struct GatewayHandle {
    requests: mpsc::Sender<Request>,
}

impl GatewayHandle {
    /// Gives a command. `Dial` returns the key of the new call. A command for a call that has ended is no error.
    pub async fn command(&self, command: Command) -> Result<Option<CallKey>, CommandError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Command(command, reply)).await.map_err(|_| Stopped)?;
        Ok(answer.await.map_err(|_| Stopped)??)
    }

    /// The gateway as it stands.
    pub async fn snapshot(&self) -> Result<GatewaySnapshot, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Snapshot(reply)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Every counter of the endpoint, the gateway, the sockets and the shards (summed).
    pub async fn counters(&self) -> Result<Vec<Counter>, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::Counters(reply)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Takes no new calls and returns when the last one has ended. Cancel-safe: dropping the future keeps draining.
    pub async fn drained(&self) -> Result<(), Stopped> {
        match self.command(Command::Drain).await {
            Ok(_) | Err(CommandError::Misuse(_)) => {}
            Err(CommandError::Stopped(stopped)) => return Err(stopped),
        }
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request::WhenIdle(reply)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }

    /// Closes the sockets and ends the threads. Calls still there are cut; drain first.
    pub async fn stop(&self) {
        let _ = self.requests.send(Request::Stop).await;
    }
}

/// One counter's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Name, as its machine declares it.
    pub name: &'static str,
    /// Help text.
    pub help: &'static str,
    /// Value since the start.
    pub value: u64,
}

/// Why the gateway did not start: one sentence for each problem, with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("\n"))]
pub struct StartError {
    /// For example `port 5060/udp on 127.0.0.1 is taken by another program ...`.
    pub problems: Vec<String>,
}

/// The gateway's thread is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gateway has stopped")]
pub struct Stopped;

/// A command that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The gateway's thread is gone.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// Our own mistake.
    #[error(transparent)]
    Misuse(#[from] ApiMisuse),
}

/// What a handle sends to the thread.
#[derive(Debug)]
#[expect(dead_code, reason = "the driver reads them")]
enum Request {
    Command(Command, oneshot::Sender<Result<Option<CallKey>, ApiMisuse>>),
    Snapshot(oneshot::Sender<GatewaySnapshot>),
    Counters(oneshot::Sender<Vec<Counter>>),
    WhenIdle(oneshot::Sender<()>),
    Stop,
}
