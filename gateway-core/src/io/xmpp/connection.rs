//! One connection as a machine without sockets: from the first header to a bound stream (RFC 6120), then stanzas,
//! acknowledgements (XEP-0198) and pings (XEP-0199). It asks its link to open, to secure and to send.
//!
//!   Features -> (Securing -> Features) -> Authenticating -> Features -> (Resuming) -> Up
//!                                                                    -> Binding -> (Enabling) -> Up
//!   from everywhere: Over, with a reason, told once

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jid::FullJid;
use minidom::Element;

use super::failure::{Failure, Step, short};
use super::framing::{Heard, NS_CLIENT, NS_STREAM, element};
use super::management::{Management, NS_SM};
use super::sasl::Exchange;
use crate::base::rng::Rng;
use crate::leg::backend::StreamIdentity;

/// A ping is answered within this, or the server is gone.
pub const PING_PATIENCE: Duration = Duration::from_secs(15);

const NS_TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
const NS_SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const NS_BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
const NS_PING: &str = "urn:xmpp:ping";
const NS_STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// Ids of our pings; their answers stay here.
const PING_ID: &str = "wbping";

/// What the link is to do, and what is told upwards, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Open a stream (again): what was read so far of the old one is forgotten.
    Open,
    /// Begin TLS, then call [`Connection::secured`].
    Secure,
    /// Send this.
    Send(Element),
    /// Bound, or resumed: stanzas may be sent.
    Up {
        /// Our address.
        jid: FullJid,
        /// The session goes on.
        resumed: bool,
    },
    /// A stanza for the machines below.
    Stanza(Element),
    /// It is over.
    Down(Failure),
}

/// What a connection is made with.
pub struct Plan<'a> {
    /// `to` of the stream.
    pub domain: &'a str,
    /// As whom.
    pub identity: &'a StreamIdentity,
    /// StartTLS must happen before anything else.
    pub must_secure: bool,
    /// Silence that is pinged.
    pub ping_every: Duration,
    /// Patience until it is up.
    pub open_within: Duration,
}

/// The machine.
pub struct Connection {
    domain: String,
    identity: StreamIdentity,
    must_secure: bool,
    authenticated: bool,
    state: State,
    /// Address of the session that may be resumed.
    jid: Option<FullJid>,
    management: Management,
    /// The server offers XEP-0198.
    has_management: bool,
    give_up_at: Option<Instant>,
    ping_every: Duration,
    heard_at: Instant,
    pinged_at: Option<Instant>,
    pings: u32,
    outputs: VecDeque<Output>,
    rng: Rng,
}

enum State {
    Features,
    Securing,
    Authenticating(Exchange),
    Resuming,
    Binding,
    Enabling(FullJid),
    Up,
    Over,
}

impl Connection {
    /// A connection whose link has just come up. `management` and `jid` are those of a session before it, if any.
    pub fn new(
        now: Instant,
        plan: &Plan<'_>,
        (management, jid): (Management, Option<FullJid>),
        rng: Rng,
    ) -> Self {
        Self {
            domain: plan.domain.to_owned(),
            identity: plan.identity.clone(),
            must_secure: plan.must_secure,
            authenticated: false,
            state: State::Features,
            jid,
            management,
            has_management: false,
            give_up_at: Some(now + plan.open_within),
            ping_every: plan.ping_every,
            heard_at: now,
            pinged_at: None,
            pings: 0,
            outputs: VecDeque::from([Output::Open]),
            rng,
        }
    }

    /// The server said something.
    pub fn heard(&mut self, now: Instant, heard: Heard) {
        self.heard_at = now;
        self.pinged_at = None;
        let result = match heard {
            Heard::Header => Ok(()),
            Heard::Footer => Err(Failure::Closed),
            Heard::Element(element) => self.element(element),
        };
        if let Err(failure) = result {
            self.failed(failure);
        }
    }

    /// TLS stands.
    pub fn secured(&mut self) {
        if matches!(self.state, State::Securing) {
            self.must_secure = false;
            self.state = State::Features;
            self.outputs.push_back(Output::Open);
        }
    }

    /// The link failed.
    pub fn failed(&mut self, failure: Failure) {
        if !matches!(self.state, State::Over) {
            self.state = State::Over;
            self.give_up_at = None;
            self.outputs.push_back(Output::Down(failure));
        }
    }

    /// Sends a stanza, or keeps it where the session may be resumed. Dropped if there is no session.
    pub fn send(&mut self, stanza: Element) {
        let is_up = matches!(self.state, State::Up);
        if !is_up && self.management.resumable().is_none() {
            return;
        }
        match self.management.sent(&stanza) {
            Ok(ask) if is_up => {
                self.outputs.push_back(Output::Send(stanza));
                if ask {
                    self.outputs.extend(self.management.question().map(Output::Send));
                }
            }
            Ok(_) => {}
            Err(failure) => self.failed(failure),
        }
    }

    /// Due deadlines.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.give_up_at.is_some_and(|at| at <= now) {
            return self.failed(Failure::TimedOut(self.step()));
        }
        if !matches!(self.state, State::Up) {
            return;
        }
        match self.pinged_at {
            Some(pinged) if pinged + PING_PATIENCE <= now => self.failed(Failure::Silent),
            None if self.heard_at + self.ping_every <= now => self.ping(now),
            _ => {}
        }
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (&self.state, self.pinged_at) {
            (State::Up, Some(pinged)) => Some(pinged + PING_PATIENCE),
            (State::Up, None) => Some(self.heard_at + self.ping_every),
            _ => self.give_up_at,
        }
    }

    /// The session, for the next connection.
    pub fn into_session(self) -> (Management, Option<FullJid>) {
        (self.management, self.jid)
    }

    /// How far it has come.
    pub fn step(&self) -> Step {
        match self.state {
            State::Securing => Step::Tls,
            State::Authenticating(_) => Step::Authentication,
            State::Resuming | State::Binding | State::Enabling(_) => Step::Binding,
            _ => Step::Features,
        }
    }

    fn ping(&mut self, now: Instant) {
        self.pings = self.pings.wrapping_add(1);
        self.pinged_at = Some(now);
        let id = format!("{PING_ID}{}", self.pings);
        let attributes = [("id", id.as_str()), ("to", self.domain.as_str()), ("type", "get")];
        let mut ping = element("iq", NS_CLIENT, &attributes);
        ping.append_child(element("ping", NS_PING, &[]));
        self.send(ping);
        self.outputs.extend(self.management.question().map(Output::Send));
    }

    fn element(&mut self, element: Element) -> Result<(), Failure> {
        if element.is("error", NS_STREAM) {
            let conditions = element.children().filter(|it| it.has_ns(NS_STREAM_ERRORS));
            let condition = conditions.map(Element::name).find(|name| *name != "text");
            return Err(Failure::of_stream_error(condition.unwrap_or("undefined-condition")));
        }
        match &mut self.state {
            State::Features if element.is("features", NS_STREAM) => self.features(&element),
            State::Securing => match element.is("proceed", NS_TLS) {
                true => {
                    self.outputs.push_back(Output::Secure);
                    Ok(())
                }
                false => Err(Failure::TlsOther("the server does not proceed".to_owned())),
            },
            State::Authenticating(exchange) => match element.name() {
                "challenge" if element.has_ns(NS_SASL) => {
                    let answer = exchange.challenge(&element.text())?;
                    let mut response = super::framing::element("response", NS_SASL, &[]);
                    response.append_text_node(answer);
                    self.outputs.push_back(Output::Send(response));
                    Ok(())
                }
                "success" if element.has_ns(NS_SASL) => {
                    exchange.success(&element.text())?;
                    self.authenticated = true;
                    self.state = State::Features;
                    self.outputs.push_back(Output::Open);
                    Ok(())
                }
                "failure" if element.has_ns(NS_SASL) => Err(refused(&element)),
                _ => Err(Failure::NotXmpp("something else than SASL")),
            },
            State::Resuming if element.has_ns(NS_SM) => self.resumption(&element),
            State::Binding if element.is("iq", NS_CLIENT) => self.bound(&element),
            State::Enabling(jid) if element.has_ns(NS_SM) => {
                let jid = jid.clone();
                if element.name() == "enabled" {
                    self.management.enabled(&element);
                }
                self.up(jid, false);
                Ok(())
            }
            // Prosody may push messages before the answer to enable; they are no stanzas of ours yet.
            State::Up => self.stanza(element),
            State::Over | State::Enabling(_) | State::Binding | State::Resuming => Ok(()),
            State::Features => Err(Failure::NotXmpp("no stream features")),
        }
    }

    fn features(&mut self, features: &Element) -> Result<(), Failure> {
        if self.must_secure {
            if !features.has_child("starttls", NS_TLS) {
                return Err(Failure::TlsMissing);
            }
            self.state = State::Securing;
            self.outputs.push_back(Output::Send(element("starttls", NS_TLS, &[])));
            return Ok(());
        }
        if !self.authenticated {
            return self.authenticate(features);
        }
        self.has_management = features.has_child("sm", NS_SM);
        match self.management.resume().filter(|_| self.has_management && self.jid.is_some()) {
            Some(resume) => {
                self.state = State::Resuming;
                self.outputs.push_back(Output::Send(resume));
            }
            None => self.bind(),
        }
        Ok(())
    }

    fn authenticate(&mut self, features: &Element) -> Result<(), Failure> {
        let offered = features.get_child("mechanisms", NS_SASL);
        let offered: Vec<String> =
            offered.into_iter().flat_map(Element::children).take(32).map(Element::text).collect();
        let (exchange, initial) = Exchange::start(&self.identity, &offered, &mut self.rng)?;
        let mut auth = element("auth", NS_SASL, &[("mechanism", initial.mechanism)]);
        auth.append_text_node(initial.text);
        self.state = State::Authenticating(exchange);
        self.outputs.push_back(Output::Send(auth));
        Ok(())
    }

    fn resumption(&mut self, answer: &Element) -> Result<(), Failure> {
        match (answer.name(), self.jid.clone()) {
            ("resumed", Some(jid)) => {
                let again = self.management.resumed(answer)?;
                self.up(jid, true);
                self.outputs.extend(again.into_iter().map(Output::Send));
                self.outputs.extend(self.management.question().map(Output::Send));
            }
            ("failed", _) => self.bind(),
            _ => return Err(Failure::NotXmpp("an answer to resume that is none")),
        }
        Ok(())
    }

    fn bind(&mut self) {
        self.management.forget();
        self.jid = None;
        self.state = State::Binding;
        let mut bind = element("iq", NS_CLIENT, &[("id", "wbbind"), ("type", "set")]);
        bind.append_child(element("bind", NS_BIND, &[]));
        self.outputs.push_back(Output::Send(bind));
    }

    fn bound(&mut self, answer: &Element) -> Result<(), Failure> {
        if answer.attr("id") != Some("wbbind") {
            return Ok(());
        }
        if answer.attr("type") != Some("result") {
            let error = answer.get_child("error", NS_CLIENT);
            let what = error.and_then(|error| error.children().next()).map_or("?", Element::name);
            return Err(Failure::BindRefused(short(what)));
        }
        let jid = answer.get_child("bind", NS_BIND).and_then(|it| it.get_child("jid", NS_BIND));
        let jid = jid.and_then(|it| FullJid::new(&it.text()).ok());
        let jid = jid.ok_or(Failure::NotXmpp("an address that is none"))?;
        if self.has_management {
            self.outputs.push_back(Output::Send(Management::enable()));
            self.state = State::Enabling(jid);
        } else {
            self.up(jid, false);
        }
        Ok(())
    }

    fn up(&mut self, jid: FullJid, resumed: bool) {
        self.state = State::Up;
        self.give_up_at = None;
        self.jid = Some(jid.clone());
        self.outputs.push_back(Output::Up { jid, resumed });
    }

    fn stanza(&mut self, stanza: Element) -> Result<(), Failure> {
        if stanza.has_ns(NS_SM) {
            match stanza.name() {
                "r" => self.outputs.push_back(Output::Send(self.management.answer())),
                "a" => self.management.acknowledge(&stanza)?,
                _ => {}
            }
            return Ok(());
        }
        if !stanza.has_ns(NS_CLIENT) || !matches!(stanza.name(), "iq" | "message" | "presence") {
            return Ok(());
        }
        self.management.received();
        if stanza.name() == "iq" {
            let id = stanza.attr("id").unwrap_or_default();
            if stanza.attr("type") == Some("get") && stanza.has_child("ping", NS_PING) {
                let mut answer = element("iq", NS_CLIENT, &[("id", id), ("type", "result")]);
                if let Some(from) = stanza.attr("from") {
                    let to = minidom::rxml::NcName::try_from("to").expect("a name");
                    answer.set_attr(minidom::rxml::Namespace::NONE, to, from);
                }
                self.send(answer);
                return Ok(());
            }
            let is_answer = matches!(stanza.attr("type"), Some("result" | "error"));
            if is_answer && id.strip_prefix(PING_ID).is_some_and(|it| it.parse::<u32>().is_ok()) {
                return Ok(());
            }
        }
        self.outputs.push_back(Output::Stanza(stanza));
        Ok(())
    }
}

/// What `<failure/>` of SASL says (RFC 6120 §6.5).
fn refused(failure: &Element) -> Failure {
    let condition = failure.children().map(Element::name).find(|name| *name != "text");
    let condition = condition.unwrap_or("not-authorized");
    if condition == "temporary-auth-failure" {
        return Failure::StreamError(condition.to_owned());
    }
    let text = failure.get_child("text", NS_SASL).map(Element::text).unwrap_or_default();
    match text.is_empty() {
        true => Failure::AuthenticationFailed(short(condition)),
        false => Failure::AuthenticationFailed(short(&format!("{condition}: {text}"))),
    }
}

#[cfg(test)]
mod tests;
