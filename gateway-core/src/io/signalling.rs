//! The signalling driver: one OS thread with a tokio current-thread runtime that owns the gateway, its SIP sockets
//! and its timers. Everybody else talks to it through a [`GatewayHandle`] and reads [`Event`]s.

mod bind;
mod driver;
mod mailbox;
mod names;
mod streams;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use self::bind::Bound;
use self::driver::{Driver, UdpListener};
use self::mailbox::Mailbox;
use self::names::Names;
use self::streams::Streams;
use self::tls::TlsSides;
pub use self::tls::{SipTls, TrunkTls};
use crate::base::ids::{CallKey, ListenerId, ShardId};
use crate::base::rng::Rng;
use crate::gateway::snapshot::GatewaySnapshot;
use crate::gateway::{Command, Event, Gateway, GatewayConfig, Input};
use crate::io::certificate::CertificateMaker;
use crate::io::media::{MediaHandle, MediaThreadConfig};
use crate::io::xmpp::{ToldReceiver, XmppSite, XmppStreams};
use crate::shard::ShardConfig;
use crate::sip::endpoint::ApiMisuse;

/// Events the owner has not read yet. Full: the driver keeps as many again, then drops the newest and counts.
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
    thread: thread::JoinHandle<()>,
}

/// Binds every listener, starts the media and signalling threads and returns once the gateway takes calls. Every
/// listener that cannot be bound is named, not the first alone.
pub fn start(config: GatewayConfig, rng: Rng) -> Result<Running, StartError> {
    start_with_sites(config, Vec::new(), rng)
}

/// As [`start`], with the XMPP servers that backends may open streams to; a `SiteId` is a position among them.
pub fn start_with_sites(
    config: GatewayConfig,
    sites: Vec<XmppSite>,
    rng: Rng,
) -> Result<Running, StartError> {
    start_with(config, Outside { sites, ..Outside::default() }, rng)
}

/// What io needs of the world beside the gateway's own settings.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// XMPP servers that backends may open streams to; a `SiteId` is a position among them.
    pub sites: Vec<XmppSite>,
    /// SIP under TLS.
    pub tls: SipTls,
}

/// As [`start`], with all that io may need.
pub fn start_with(
    mut config: GatewayConfig,
    outside: Outside,
    rng: Rng,
) -> Result<Running, StartError> {
    let Outside { sites, tls } = outside;
    let (mut bound, mut listeners, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    let tls = TlsSides::new(&tls, &config.endpoint, &mut problems);
    for (index, listener) in config.endpoint.listeners.iter_mut().enumerate() {
        match bind::bind(listener) {
            Ok((socket, address)) => {
                listener.bind = address;
                bound.push((ListenerId(index as u16), socket));
                listeners.push(address);
            }
            Err(problem) => problems.push(problem),
        }
    }
    let xmpp = match XmppStreams::new(sites, rng.fork("xmpp")) {
        Ok(xmpp) if problems.is_empty() => xmpp,
        Ok(_) => return Err(StartError { problems }),
        Err(more) => {
            problems.extend(more);
            return Err(StartError { problems });
        }
    };
    let (requests, requests_in) = mpsc::channel(COMMANDS_PENDING_MAX);
    let (events_out, events) = mpsc::channel(EVENTS_PENDING_MAX);
    let (started, has_started) = std::sync::mpsc::channel();
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(error))),
        };
        runtime.block_on(async move {
            match build(config, rng, bound, (xmpp, tls), requests_in, events_out) {
                Ok(driver) => {
                    let _ = started.send(Ok(()));
                    driver.run().await;
                }
                Err(error) => drop(started.send(Err(error))),
            }
        });
        // A look-up of a name may hang in the operating system: nobody waits for it.
        runtime.shutdown_background();
    };
    let thread = thread::Builder::new().name("signalling".into()).spawn(run);
    let thread = thread.map_err(|error| not_started(&error))?;
    match has_started.recv() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(not_started(&error)),
        Err(_) => return Err(not_started(&io::ErrorKind::BrokenPipe.into())),
    }
    Ok(Running { handle: GatewayHandle { requests }, events, listeners, thread })
}

fn not_started(error: &io::Error) -> StartError {
    let remedy = "see `ulimit -u` and `ulimit -n`";
    StartError { problems: vec![format!("the gateway's threads cannot start: {error}; {remedy}")] }
}

/// Inside the runtime, where sockets can be registered.
fn build(
    config: GatewayConfig,
    rng: Rng,
    bound: Vec<(ListenerId, Bound)>,
    ((xmpp, xmpp_told), tls): ((XmppStreams, ToldReceiver), TlsSides),
    requests: mpsc::Receiver<Request>,
    events: mpsc::Sender<Event>,
) -> io::Result<Driver> {
    let mut media = Vec::new();
    for shard in 0..config.shards.max(1) {
        let config = MediaThreadConfig { shard: ShardId(shard), size: ShardConfig::default() };
        media.push(MediaHandle::spawn(config)?);
    }
    let (streams, stream_events) = Streams::new(tls);
    let mut udp = Vec::new();
    for (listener, socket) in bound {
        match socket {
            Bound::Udp(socket) => udp.push(UdpListener {
                id: listener,
                sender: socket.try_clone()?,
                socket: tokio::net::UdpSocket::from_std(socket)?,
            }),
            Bound::Tcp(socket) => {
                streams.listen(listener, tokio::net::TcpListener::from_std(socket)?);
            }
            Bound::Nothing => {}
        }
    }
    let (names, names_told) = Names::watch(&config.endpoint.trunks);
    let now = super::now();
    let mut gateway = Gateway::new(config, now, rng);
    gateway.handle_input(now, Input::WallClock(super::wall_clock()));
    let (certificates, today) = CertificateMaker::new(now).map_err(io::Error::other)?;
    gateway.handle_input(now, Input::Certificate(today));
    Ok(Driver {
        gateway,
        media,
        udp,
        streams,
        stream_events,
        names,
        names_told,
        xmpp,
        xmpp_told,
        requests,
        events: Mailbox::new(events),
        when_idle: Vec::new(),
        certificates,
        counters: IoCounters::default(),
        media_is_behind: false,
    })
}

crate::counters! {
    /// What the signalling thread's sockets and queues saw.
    pub struct IoCounters {
        /// SIP datagrams received.
        sip_udp_received,
        /// SIP datagrams sent.
        sip_udp_sent,
        /// SIP datagrams the operating system did not take.
        sip_udp_send_errors,
        /// Errors while receiving SIP datagrams (ICMP answers, as a rule).
        sip_udp_receive_errors,
        /// SIP connections accepted.
        sip_tcp_accepted,
        /// SIP connections closed at once because there are too many.
        sip_tcp_refused,
        /// Values a media thread's ring had no place for: the call ended.
        media_ring_full,
        /// Events lost because the owner does not read them.
        events_lost,
    }
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

    /// Gives a command and waits for nothing but a place in the queue. Should the gateway refuse it, it says so in
    /// its log. Commands of one handle are taken in the order they are given.
    pub async fn tell(&self, command: Command) -> Result<(), Stopped> {
        self.requests.send(Request::Tell(command)).await.map_err(|_| Stopped)
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
enum Request {
    Command(Command, oneshot::Sender<Result<Option<CallKey>, ApiMisuse>>),
    Tell(Command),
    Snapshot(oneshot::Sender<GatewaySnapshot>),
    Counters(oneshot::Sender<Vec<Counter>>),
    WhenIdle(oneshot::Sender<()>),
    Stop,
}
