//! The task of one stream: connect, drive the machine, wait, connect again; for ever, until nobody holds its queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jid::FullJid;
use minidom::Element;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::XmppEvent;
use super::backoff::Backoff;
use super::connection::{Connection, Output, Plan};
use super::failure::{Failure, Step};
use super::hosts::HostNames;
use super::link::{Link, Ways};
use super::management::Management;
use super::site::{Encryption, Transport, XmppSite};
use super::tls;
use crate::base::ids::StreamKey;
use crate::base::rng::Rng;
use crate::leg::backend::{StreamAccount, StreamIdentity, Visit};

/// Goodbyes are said within this.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);

/// What a task tells.
#[derive(Debug)]
pub struct Told {
    pub(super) key: StreamKey,
    pub(super) generation: u64,
    pub(super) event: XmppEvent,
}

/// A stream's task.
pub(super) struct StreamTask {
    pub key: StreamKey,
    pub generation: u64,
    pub site: Arc<XmppSite>,
    pub tls: Arc<ClientConfig>,
    pub hosts: HostNames,
    pub account: StreamAccount,
    pub events: mpsc::Sender<Told>,
    pub rng: Rng,
}

/// How a connection ended.
enum End {
    /// It failed, after it had been up for so long.
    Failed(Failure, Duration),
    /// Nobody wants it any more.
    Closed,
}

type Session = (Management, Option<FullJid>);

impl StreamTask {
    /// Runs until the queue's sender is dropped.
    pub async fn run(self, mut queue: mpsc::Receiver<Element>) {
        let mut backoff = Backoff::new(self.rng.fork("back-off"));
        let mut session = Session::default();
        let mut told_down = false;
        let mut attempt = 0_u64;
        loop {
            attempt += 1;
            let rng = self.rng.fork(&format!("attempt/{attempt}"));
            let (end, after) = self.attempt(&mut queue, session, &mut told_down, rng).await;
            session = after;
            let End::Failed(failure, up) = end else { return };
            let wait = backoff.failed(up, failure.needs_somebody());
            let (site, label) = (&self.site.name, failure.label());
            if backoff.failures() == 1 || backoff.failures().is_multiple_of(16) {
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                warn!(stream = %self.key, site, label, %failure, wait_ms, "XMPP stream is down");
            } else {
                debug!(stream = %self.key, site, label, attempt, "XMPP stream is still down");
            }
            if !told_down {
                told_down = true;
                if self.tell(XmppEvent::Down(failure)).await.is_err() {
                    return;
                }
            }
            if !self.wait(wait, &mut queue, &mut session).await {
                return;
            }
        }
    }

    /// Waits before the next attempt; stanzas of a session that may go on are kept. False: closed.
    async fn wait(
        &self,
        wait: Duration,
        queue: &mut mpsc::Receiver<Element>,
        session: &mut Session,
    ) -> bool {
        let sleep = tokio::time::sleep(wait);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                () = &mut sleep => return true,
                stanza = queue.recv() => match stanza {
                    Some(stanza) => {
                        if session.0.resumable().is_some() && session.0.sent(&stanza).is_err() {
                            session.0.forget();
                        }
                    }
                    None => return false,
                },
            }
        }
    }

    async fn attempt(
        &self,
        queue: &mut mpsc::Receiver<Element>,
        session: Session,
        told_down: &mut bool,
        rng: Rng,
    ) -> (End, Session) {
        let within = self.site.open_within;
        let connecting =
            connect(&self.site, (&self.tls, &self.hosts), &self.account, session.0.resumable());
        let connected = tokio::select! {
            connected = tokio::time::timeout(within, connecting) => connected,
            // Stanzas wait in the queue meanwhile; a closed one ends the attempt.
            () = closed(queue) => return (End::Closed, session),
        };
        let link = match connected {
            Ok(Ok(link)) => link,
            Ok(Err(failure)) => return (End::Failed(failure, Duration::ZERO), session),
            Err(_) => {
                let late = Failure::TimedOut(Step::Connect);
                return (End::Failed(late, Duration::ZERO), session);
            }
        };
        let plan = plan(&self.site, &self.account.identity);
        let connection = Connection::new(crate::io::now(), &plan, session, rng);
        let mut driven = Driven { link, connection };
        let end = self.drive(&mut driven, queue, told_down).await;
        (end, driven.connection.into_session())
    }

    async fn drive(
        &self,
        driven: &mut Driven,
        queue: &mut mpsc::Receiver<Element>,
        told_down: &mut bool,
    ) -> End {
        let mut up_since: Option<Instant> = None;
        loop {
            loop {
                match driven.step().await {
                    Stepped::Idle => break,
                    Stepped::Told(event) => {
                        if let XmppEvent::Up { resumed, .. } = &event {
                            up_since = Some(crate::io::now());
                            *told_down = false;
                            // What was said before belongs to a session that is gone.
                            while !resumed && queue.try_recv().is_ok() {}
                            debug!(stream = %self.key, site = self.site.name, resumed, "XMPP stream is up");
                        }
                        if self.tell(event).await.is_err() {
                            return End::Closed;
                        }
                    }
                    Stepped::Over(failure) => {
                        let up = up_since.map_or(Duration::ZERO, |since| since.elapsed());
                        return End::Failed(failure, up);
                    }
                }
            }
            let deadline = driven.connection.poll_timeout();
            let is_up = up_since.is_some();
            tokio::select! {
                heard = driven.link.next() => match heard {
                    Ok(heard) => driven.connection.heard(crate::io::now(), heard),
                    Err(failure) => driven.connection.failed(failure),
                },
                wanted = wanted(queue, is_up) => match wanted {
                    Some(stanza) => driven.connection.send(stanza),
                    None => {
                        driven.say_goodbye().await;
                        return End::Closed;
                    }
                },
                () = sleep_until(deadline) => driven.connection.handle_timeout(crate::io::now()),
            }
        }
    }

    async fn tell(&self, event: XmppEvent) -> Result<(), ()> {
        let told = Told { key: self.key, generation: self.generation, event };
        self.events.send(told).await.map_err(|_| ())
    }
}

/// A connection and its link.
struct Driven {
    link: Link,
    connection: Connection,
}

enum Stepped {
    /// Nothing more to do before something happens.
    Idle,
    Told(XmppEvent),
    Over(Failure),
}

impl Driven {
    /// Does what the connection wants until it wants something told, or nothing.
    async fn step(&mut self) -> Stepped {
        while let Some(output) = self.connection.poll_output() {
            let done = match output {
                Output::Open => self.link.open().await,
                Output::Secure => match self.secure().await {
                    Ok(()) => {
                        self.connection.secured();
                        Ok(())
                    }
                    error => error,
                },
                Output::Send(element) => self.link.send(&element).await,
                Output::Up { jid, resumed } => {
                    return Stepped::Told(XmppEvent::Up { jid, resumed });
                }
                Output::Stanza(stanza) => return Stepped::Told(XmppEvent::Stanza(stanza)),
                Output::Down(failure) => return Stepped::Over(failure),
            };
            if let Err(failure) = done {
                self.connection.failed(failure);
            }
        }
        Stepped::Idle
    }

    async fn secure(&mut self) -> Result<(), Failure> {
        let deadline = self.connection.poll_timeout();
        tokio::select! {
            secured = self.link.secure() => secured,
            () = sleep_until(deadline) => Err(Failure::TimedOut(Step::Tls)),
        }
    }

    async fn say_goodbye(&mut self) {
        let goodbye = async {
            while let Stepped::Told(_) = self.step().await {}
            self.link.close().await;
        };
        let _ = tokio::time::timeout(CLOSE_WITHIN, goodbye).await;
    }
}

fn plan<'a>(site: &'a XmppSite, identity: &'a StreamIdentity) -> Plan<'a> {
    let must_secure =
        matches!(site.transport, Transport::Tcp { encryption: Encryption::Required, .. });
    Plan {
        domain: &site.domain,
        identity,
        must_secure,
        ping_every: site.ping_every,
        open_within: site.open_within,
    }
}

/// Connects. The web's query names room and token; `previd` lets an anonymous user be the same one again
/// (mod_auth_jitsi-anonymous looks at it).
async fn connect(
    site: &XmppSite,
    (tls, hosts): (&Arc<ClientConfig>, &HostNames),
    account: &StreamAccount,
    resumable: Option<&str>,
) -> Result<Link, Failure> {
    let mut parameters = Vec::new();
    parameters.extend(account.room.as_deref().map(|room| ("room", room)));
    parameters.extend(account.token.as_ref().map(|token| ("token", token.reveal().as_str())));
    parameters.extend(resumable.map(|id| ("previd", id)));
    parameters.extend(account.visit.as_ref().map(|visit| match visit {
        Visit::Node(name) => ("vnode", name.as_str()),
        Visit::As(user) => ("customusername", user.reveal().as_str()),
    }));
    let of_tenant = account.tenant.as_deref().map(|tenant| site.of_tenant(tenant));
    let site = of_tenant.as_ref().unwrap_or(site);
    Link::connect(&Ways { site, tls, hosts, parameters: &parameters }).await
}

/// The next stanza to send; `None` when nobody holds the sender. Before the stream is up stanzas stay where they are.
async fn wanted(queue: &mut mpsc::Receiver<Element>, is_up: bool) -> Option<Element> {
    if is_up {
        return queue.recv().await;
    }
    closed(queue).await;
    None
}

/// Done when nobody holds the sender. Stanzas stay in the queue.
async fn closed(queue: &mpsc::Receiver<Element>) {
    // tokio tells a receiver only by receiving; looking now and then is enough for a stream that is not up yet.
    while !queue.is_closed() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// A stream opened once, for `weebee check`: no second attempt, every failure is told.
pub struct Probe {
    driven: Driven,
    jid: FullJid,
}

/// Opens a stream once.
pub async fn probe(site: &XmppSite, account: &StreamAccount, rng: Rng) -> Result<Probe, Failure> {
    let tls = tls::client_config(&site.trust).map_err(Failure::TlsOther)?;
    let hosts = HostNames::default();
    let connecting = connect(site, (&tls, &hosts), account, None);
    let link = tokio::time::timeout(site.open_within, connecting).await;
    let link = link.map_err(|_| Failure::TimedOut(Step::Connect))??;
    let plan = plan(site, &account.identity);
    let connection = Connection::new(crate::io::now(), &plan, Session::default(), rng);
    let mut driven = Driven { link, connection };
    loop {
        if let XmppEvent::Up { jid, .. } = driven.next().await? {
            return Ok(Probe { driven, jid });
        }
    }
}

impl Driven {
    async fn next(&mut self) -> Result<XmppEvent, Failure> {
        loop {
            match self.step().await {
                Stepped::Told(event) => return Ok(event),
                Stepped::Over(failure) => return Err(failure),
                Stepped::Idle => {}
            }
            let deadline = self.connection.poll_timeout();
            tokio::select! {
                heard = self.link.next() => match heard {
                    Ok(heard) => self.connection.heard(crate::io::now(), heard),
                    Err(failure) => self.connection.failed(failure),
                },
                () = sleep_until(deadline) => self.connection.handle_timeout(crate::io::now()),
            }
        }
    }
}

impl Probe {
    /// Our address.
    pub fn jid(&self) -> &FullJid {
        &self.jid
    }

    /// Sends a stanza.
    pub fn send(&mut self, stanza: Element) {
        self.driven.connection.send(stanza);
    }

    /// The next stanza that `wanted` says yes to; others are dropped. `None`: it did not come in time.
    pub async fn answer(
        &mut self,
        within: Duration,
        wanted: impl Fn(&Element) -> bool,
    ) -> Result<Option<Element>, Failure> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            match tokio::time::timeout_at(deadline, self.driven.next()).await {
                Err(_) => return Ok(None),
                Ok(Err(failure)) => return Err(failure),
                Ok(Ok(XmppEvent::Stanza(stanza))) if wanted(&stanza) => return Ok(Some(stanza)),
                Ok(Ok(_)) => {}
            }
        }
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        self.driven.say_goodbye().await;
    }
}
