//! FastAGI: a PBX of the Asterisk family plays the words and collects the digits, the gateway judges them.
//!
//! ```text
//! AGI(agi://127.0.0.1:4573/pin)              asks for the PIN, three times at most
//! AGI(agi://127.0.0.1:4573/check,${PIN})     judges digits that the PBX has collected
//! ```
//! Both leave `WB_RESULT` (`OK`, `REFUSED`, `SILENT`, `UNAVAILABLE`, `FAILED`), `WB_REASON` and, for a good PIN, `WB_TICKET`,
//! which the dialplan shows in the INVITE that follows ([`crate::pin::ticket`]). Wrong PINs are counted and delayed as
//! those of calls. The protocol knows no password: who may connect is a list of addresses, loopback by default. Each
//! connection is a task with bounds on lines, time and number; a bad peer harms its own call alone.

pub mod dialogue;
#[cfg(test)]
mod tests;
pub mod wire;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_core::base::ids::TrunkId;
use gateway_core::base::pii::Pii;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use self::dialogue::{Dialogue, Ending, Judged, Turn};
use self::wire::{Greeter, Greeting, LINE_MAX, Line};
use crate::config::Config;
use crate::config::agi::Agi as Settings;
use crate::pin::handle::{Checked, PinCheck, Pins};

gateway_core::counters! {
    /// What came over FastAGI.
    pub struct AgiCounters {
        /// FastAGI connections taken.
        agi_connections,
        /// FastAGI connections refused: their address is not in [agi] allow.
        agi_strangers,
        /// FastAGI connections refused: as many as [agi] connections_max were there.
        agi_full,
        /// FastAGI conversations that ended with a ticket.
        agi_admitted,
        /// FastAGI conversations that ended without a valid PIN.
        agi_refused,
        /// FastAGI conversations in which nothing was typed.
        agi_silent,
        /// FastAGI conversations that ended because PINs could not be looked up.
        agi_unavailable,
        /// FastAGI conversations in which the caller hung up.
        agi_hung_up,
        /// FastAGI conversations that a peer broke: no AGI, a script or sound that is not there, no answer in time.
        agi_failed,
    }
}

/// What others see of the server.
#[derive(Debug, Default)]
pub struct Status {
    counters: Mutex<AgiCounters>,
    open: AtomicUsize,
}

impl Status {
    /// What was counted.
    pub fn counters(&self) -> AgiCounters {
        *self.lock()
    }

    /// Conversations that go on.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, AgiCounters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self, ending: Ending) {
        let mut counters = self.lock();
        match ending {
            Ending::Ok => counters.agi_admitted += 1,
            Ending::Refused => counters.agi_refused += 1,
            Ending::Silent => counters.agi_silent += 1,
            Ending::Unavailable => counters.agi_unavailable += 1,
            Ending::HungUp => counters.agi_hung_up += 1,
            Ending::Failed => counters.agi_failed += 1,
        }
    }
}

/// The server.
#[derive(Clone)]
pub struct Agi {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    /// Name and sources of each trunk, in the order of their ids.
    trunks: Vec<(String, Vec<gateway_core::sip::trunk::Cidr>)>,
    pins: Pins,
    status: Arc<Status>,
}

/// Whose PINs these are.
#[derive(Debug)]
struct Origin {
    trunk: TrunkId,
    /// The trunk that the dialplan names: its tickets are for this one alone.
    named: Option<String>,
    peer: SocketAddr,
}

/// A place among the conversations, given back when dropped.
struct Place(Arc<Status>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Agi {
    /// The server of a configuration that has one.
    pub fn new(config: &Config, pins: Pins, status: Arc<Status>) -> Option<Self> {
        let settings = config.agi.clone()?;
        let trunk = |trunk: &crate::config::trunk::Trunk| {
            (trunk.sip.name.clone(), trunk.sip.sources.clone())
        };
        let trunks = config.trunks.iter().map(trunk).collect();
        Some(Self { inner: Arc::new(Inner { settings, trunks, pins, status }) })
    }

    /// Binds its socket; the error says in words what to change.
    pub async fn bind(&self) -> Result<TcpListener, String> {
        let address = self.inner.settings.listen;
        TcpListener::bind(address).await.map_err(|error| {
            format!(
                "FastAGI on {address}: {error}; change [agi] listen, or end the program that has it"
            )
        })
    }

    /// Serves for ever.
    pub async fn serve(self, listener: TcpListener) {
        let bound = listener.local_addr().ok().map(|address| address.to_string());
        tracing::info!(address = bound, "FastAGI listens");
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.take(stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "FastAGI: no connection can be taken");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr) {
        let Inner { settings, status, .. } = &*self.inner;
        if !settings.allow.iter().any(|block| block.contains(peer.ip())) {
            status.lock().agi_strangers += 1;
            tracing::warn!(%peer, "FastAGI: not in [agi] allow");
            return;
        }
        let place = Place(Arc::clone(status));
        if status.open.fetch_add(1, Ordering::Relaxed) >= settings.connections_max {
            status.lock().agi_full += 1;
            tracing::warn!(%peer, "FastAGI: as many conversations as [agi] connections_max");
            return;
        }
        status.lock().agi_connections += 1;
        let agi = self.clone();
        tokio::spawn(async move {
            let _place = place;
            let talk = agi.talk(stream, peer);
            let ending = tokio::time::timeout(CONVERSATION_MAX, talk).await;
            agi.inner.status.ended(ending.unwrap_or(Ending::Failed));
        });
    }

    /// One conversation.
    async fn talk(&self, stream: TcpStream, peer: SocketAddr) -> Ending {
        let _ = stream.set_nodelay(true);
        let (reader, writer) = stream.into_split();
        let mut peer_lines = PeerLines { reader: BufReader::new(reader), writer };
        let greeting = match peer_lines.greeting().await {
            Ok(greeting) => greeting,
            Err(what) => {
                tracing::warn!(%peer, what, "FastAGI: no conversation");
                return Ending::Failed;
            }
        };
        let rules = self.inner.settings.rules.clone();
        let mut dialogue = match greeting.script.as_str() {
            "pin" => Dialogue::asking(rules, &greeting),
            "check" => Dialogue::checking(rules, &greeting),
            _ => {
                tracing::warn!(%peer, "FastAGI: no such script; write agi://HOST/pin or /check");
                return Ending::Failed;
            }
        };
        let origin = self.origin(peer, &greeting);
        let mut turn = dialogue.begin();
        loop {
            turn = match turn {
                Turn::Say(command) => match peer_lines.ask(&command, &mut dialogue).await {
                    Ok(turn) => turn,
                    Err(what) => {
                        tracing::debug!(%peer, what, "FastAGI: the conversation broke off");
                        return if what == ENDED { Ending::HungUp } else { Ending::Failed };
                    }
                },
                Turn::Judge(digits) => {
                    let judged = self.judge(digits, &greeting, &origin).await;
                    dialogue.judged(judged)
                }
                Turn::Done(ending) => {
                    let (call, result) = (greeting.call.as_deref(), ending.name());
                    tracing::info!(%peer, call, result, "FastAGI: a PIN was asked for");
                    if ending == Ending::Failed {
                        tracing::warn!(%peer, version = greeting.version, "FastAGI: a command or sound failed; check [agi] play_...");
                    }
                    return ending;
                }
            };
        }
    }

    async fn judge(&self, digits: Pii<String>, greeting: &Greeting, origin: &Origin) -> Judged {
        let pins = &self.inner.pins;
        let check = PinCheck {
            digits,
            room: None,
            caller: greeting.caller.clone(),
            trunk: origin.trunk,
            call: greeting.call.clone(),
            source: Some(origin.peer.ip()),
        };
        match pins.check(check).await {
            Checked::Valid(grant) => match pins.issue(&grant, origin.named.as_deref()).await {
                Ok(ticket) => Judged::Ticket(ticket),
                Err(error) => {
                    tracing::warn!(%error, "FastAGI: a good PIN, yet no ticket for it");
                    Judged::Unavailable
                }
            },
            Checked::Refused(_) => Judged::Refused,
            Checked::Unavailable => Judged::Unavailable,
        }
    }

    /// The trunk whose counts of wrong PINs these calls belong to: the one that is named, else that of the PBX's address.
    fn origin(&self, peer: SocketAddr, greeting: &Greeting) -> Origin {
        let trunks = &self.inner.trunks;
        let named = greeting.asked("trunk");
        let by_name = named.and_then(|wanted| trunks.iter().position(|(name, _)| name == wanted));
        if named.is_some() && by_name.is_none() {
            tracing::warn!(%peer, "FastAGI: trunk= names no [[trunk]]");
        }
        let is_its = |(_, sources): &(String, Vec<gateway_core::sip::trunk::Cidr>)| {
            sources.iter().any(|block| block.contains(peer.ip()))
        };
        let position = by_name.or_else(|| trunks.iter().position(is_its));
        let trunk = position.and_then(|position| u16::try_from(position).ok());
        let named = by_name.and_then(|position| trunks.get(position)).map(|(name, _)| name.clone());
        Origin { trunk: trunk.map_or(TrunkId::PAGES, TrunkId), named, peer }
    }
}

/// A connection, as lines.
struct PeerLines {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl PeerLines {
    async fn greeting(&mut self) -> Result<Greeting, String> {
        let mut greeter = Greeter::default();
        let read = async {
            loop {
                let line = self.line().await.map_err(str::to_owned)?;
                if let Some(greeting) = greeter.line(&line).map_err(|bad| bad.to_string())? {
                    return Ok(greeting);
                }
            }
        };
        match tokio::time::timeout(GREETING_WITHIN, read).await {
            Ok(greeting) => greeting,
            Err(_) => Err("no greeting in time".to_owned()),
        }
    }

    /// Sends a command and reads until there is something to do.
    async fn ask(&mut self, command: &str, dialogue: &mut Dialogue) -> Result<Turn, &'static str> {
        let line = format!("{command}\n");
        let sent = tokio::time::timeout(REPLY_WITHIN, self.writer.write_all(line.as_bytes())).await;
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(ENDED),
            Err(_) => return Err("the peer takes nothing"),
        }
        for _ in 0..LINES_PER_REPLY_MAX {
            let line = tokio::time::timeout(REPLY_WITHIN, self.line()).await;
            let line = line.map_err(|_| "no reply in time")??;
            if let Some(turn) = dialogue.heard(Line::read(&line)) {
                return Ok(turn);
            }
        }
        Err("too many lines")
    }

    /// A line without its end. What is no UTF-8 becomes signs that mean nothing.
    async fn line(&mut self) -> Result<String, &'static str> {
        let mut bytes = Vec::new();
        let mut limited = (&mut self.reader).take(LINE_MAX as u64);
        match limited.read_until(b'\n', &mut bytes).await {
            Ok(0) | Err(_) => Err(ENDED),
            Ok(_) if bytes.last() == Some(&b'\n') => {
                bytes.pop();
                if bytes.last() == Some(&b'\r') {
                    bytes.pop();
                }
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            Ok(length) if length < LINE_MAX => Err(ENDED),
            Ok(_) => Err("a line is too long"),
        }
    }
}

/// The peer has closed the connection: a caller who hung up, for an Asterisk that says no `HANGUP`.
const ENDED: &str = "the peer has closed";
/// Asterisk sends its greeting at once.
const GREETING_WITHIN: Duration = Duration::from_secs(5);
/// A reply takes as long as the caller listens and types.
const REPLY_WITHIN: Duration = Duration::from_secs(120);
/// The longest conversation: three long questions, each with its patience and its 2 s before a no.
const CONVERSATION_MAX: Duration = Duration::from_secs(600);
/// Lines of one reply: those of a usage text.
const LINES_PER_REPLY_MAX: usize = 128;
