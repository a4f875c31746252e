//! The dialect of these tests: one endpoint, one far side, and a clock that jumps.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::base::ids::{DialogKey, ListenerId, TrunkId};
use crate::base::pii::Pii;
use crate::base::rng::Rng;
use crate::sip::endpoint::*;
use crate::sip::registration::RegistrationState;
use crate::sip::trunk::{Cidr, ListenerConfig, SipTransport, TrunkConfig, UnknownSource};

pub const OURS: &str = "203.0.113.1:5060";
pub const THEIRS: &str = "198.51.100.7:5060";
pub const SDP: &str = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";
pub const OUR_SDP: &str = "v=0\r\no=- 9 1 IN IP4 203.0.113.1\r\ns=-\r\nc=IN IP4 203.0.113.1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 8\r\n";

/// One endpoint on its stage.
pub struct Stage {
    pub endpoint: Endpoint,
    pub now: Instant,
    pub sent: VecDeque<Sent>,
    pub events: VecDeque<UaEvent>,
    pub raw: VecDeque<TransportOutput>,
    last_invite: Option<Said>,
}

/// A message that the endpoint sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub to: Option<SocketAddr>,
    pub text: String,
}

impl Sent {
    pub fn status(&self) -> Option<u16> {
        self.text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    pub fn method(&self) -> &str {
        self.text.split(' ').next().expect("a first word")
    }

    /// Value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    pub fn headers<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        let head = self.text.split("\r\n\r\n").next().expect("a head");
        head.split("\r\n").skip(1).filter_map(move |line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn must(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("no {name} in\n{}", self.text))
    }

    pub fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").expect("a head").1
    }

    pub fn to_tag(&self) -> String {
        tag(self.must("To"))
    }

    pub fn from_tag(&self) -> String {
        tag(self.must("From"))
    }

    pub fn request_uri(&self) -> &str {
        self.text.split(' ').nth(1).expect("a second word")
    }
}

fn tag(value: &str) -> String {
    value.split(";tag=").nth(1).map(|tag| tag.to_owned()).unwrap_or_default()
}

/// A message of the far side under construction.
#[derive(Clone, Debug)]
pub struct Said {
    pub method: String,
    pub start: String,
    pub branch: String,
    pub from: String,
    pub to: String,
    pub call_id: String,
    pub cseq: u32,
    pub via: String,
    pub contact: Option<String>,
    pub headers: Vec<String>,
    pub body: String,
    pub source: SocketAddr,
}

impl Said {
    pub fn new(method: &str) -> Self {
        Self {
            method: method.to_owned(),
            start: format!("{method} sip:pin@203.0.113.1 SIP/2.0"),
            branch: format!("z9hG4bK{method}1"),
            from: "<sip:alice@198.51.100.7>;tag=theirs".to_owned(),
            to: "<sip:pin@203.0.113.1>".to_owned(),
            call_id: "call-1".to_owned(),
            cseq: 1,
            via: "SIP/2.0/UDP 198.51.100.7:5060".to_owned(),
            contact: Some("<sip:alice@198.51.100.7:5060>".to_owned()),
            headers: Vec::new(),
            body: String::new(),
            source: THEIRS.parse().expect("an address"),
        }
    }

    pub fn branch(mut self, branch: &str) -> Self {
        self.branch = branch.to_owned();
        self
    }

    pub fn cseq(mut self, cseq: u32) -> Self {
        self.cseq = cseq;
        self
    }

    pub fn call(mut self, call_id: &str) -> Self {
        self.call_id = call_id.to_owned();
        self
    }

    pub fn header(mut self, line: &str) -> Self {
        self.headers.push(line.to_owned());
        self
    }

    pub fn contact(mut self, contact: &str) -> Self {
        self.contact = Some(contact.to_owned());
        self
    }

    pub fn no_contact(mut self) -> Self {
        self.contact = None;
        self
    }

    pub fn via(mut self, via: &str) -> Self {
        self.via = via.to_owned();
        self
    }

    pub fn from(mut self, from: &str) -> Self {
        self.from = from.to_owned();
        self
    }

    pub fn to(mut self, to: &str) -> Self {
        self.to = to.to_owned();
        self
    }

    pub fn uri(mut self, uri: &str) -> Self {
        self.start = format!("{} {uri} SIP/2.0", self.method);
        self
    }

    pub fn source(mut self, source: &str) -> Self {
        self.source = source.parse().expect("an address");
        self
    }

    pub fn sdp(mut self, sdp: &str) -> Self {
        self.headers.push("Content-Type: application/sdp".to_owned());
        self.body = sdp.to_owned();
        self
    }

    pub fn body(mut self, kind: &str, body: &str) -> Self {
        self.headers.push(format!("Content-Type: {kind}"));
        self.body = body.to_owned();
        self
    }

    pub fn text(&self) -> String {
        let mut text = format!(
            "{}\r\nVia: {};branch={}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {}\r\n",
            self.start,
            self.via,
            self.branch,
            self.from,
            self.to,
            self.call_id,
            self.cseq,
            self.method
        );
        if let Some(contact) = &self.contact {
            text.push_str(&format!("Contact: {contact}\r\n"));
        }
        for line in &self.headers {
            text.push_str(line);
            text.push_str("\r\n");
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n{}", self.body.len(), self.body));
        text
    }
}

pub fn invite() -> Said {
    Said::new("INVITE").sdp(SDP)
}

pub fn trunk_config() -> TrunkConfig {
    TrunkConfig {
        name: "pbx".to_owned(),
        sources: vec!["198.51.100.0/24".parse::<Cidr>().expect("a block")],
        peer: Some(THEIRS.parse().expect("an address")),
        calls_max: 100,
        trusted: true,
        ..TrunkConfig::default()
    }
}

pub fn listener(transport: SipTransport) -> ListenerConfig {
    ListenerConfig {
        bind: OURS.parse().expect("an address"),
        transport,
        accepts: true,
        advertised: None,
        advertised_media: None,
    }
}

pub fn config() -> EndpointConfig {
    EndpointConfig {
        listeners: vec![listener(SipTransport::Udp), listener(SipTransport::Tcp)],
        trunks: vec![trunk_config()],
        unknown: UnknownSource::Drop,
        user_agent: "WeeBee".to_owned(),
        calls_max: 1_000,
        retry_after: Duration::from_secs(7),
        t1: Duration::from_millis(500),
    }
}

impl Stage {
    pub fn new() -> Self {
        Self::with(config())
    }

    pub fn with(config: EndpointConfig) -> Self {
        Self::with_dice(config, 1)
    }

    pub fn seeded(seed: u64) -> Self {
        Self::with_dice(config(), seed)
    }

    fn with_dice(config: EndpointConfig, seed: u64) -> Self {
        let now = Instant::now();
        Self {
            endpoint: Endpoint::new(config, now, Rng::from_number(seed)),
            now,
            sent: VecDeque::new(),
            events: VecDeque::new(),
            raw: VecDeque::new(),
            last_invite: None,
        }
    }

    /// With one change to the trunk.
    pub fn with_trunk(change: impl FnOnce(&mut TrunkConfig)) -> Self {
        let mut config = config();
        change(&mut config.trunks[0]);
        Self::with(config)
    }

    pub fn recv(&mut self, message: Said) {
        if message.method == "INVITE" && message.start.starts_with("INVITE") {
            self.last_invite = Some(message.clone());
        }
        self.recv_bytes(message.source, message.text().as_bytes());
    }

    pub fn recv_bytes(&mut self, from: SocketAddr, bytes: &[u8]) {
        let input = TransportInput::Datagram { listener: ListenerId(0), from, bytes };
        self.endpoint.handle_input(self.now, input);
        self.drain();
    }

    pub fn input(&mut self, input: TransportInput<'_>) {
        self.endpoint.handle_input(self.now, input);
        self.drain();
    }

    pub fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                EndpointOutput::Event(event) => self.events.push_back(event),
                EndpointOutput::Transport(TransportOutput::Datagram { to, bytes, .. }) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    self.sent.push_back(Sent { to: Some(to), text });
                }
                EndpointOutput::Transport(TransportOutput::Write { bytes, flow }) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    self.raw.push_back(TransportOutput::Write { bytes, flow });
                    self.sent.push_back(Sent { to: None, text });
                }
                EndpointOutput::Transport(other) => self.raw.push_back(other),
            }
        }
    }

    /// The next message sent must be this response to this method.
    #[track_caller]
    pub fn expect(&mut self, status: u16, method: &str) -> Sent {
        let sent = self.sent.pop_front().unwrap_or_else(|| panic!("{status} not sent"));
        let cseq = sent.must("CSeq").to_owned();
        assert!(
            sent.status() == Some(status) && cseq.ends_with(method),
            "expected {status} to {method}, got\n{}",
            sent.text
        );
        sent
    }

    /// The next message sent must be this request.
    #[track_caller]
    pub fn expect_request(&mut self, method: &str) -> Sent {
        let sent = self.sent.pop_front().unwrap_or_else(|| panic!("{method} not sent"));
        assert_eq!(sent.method(), method, "got\n{}", sent.text);
        sent
    }

    #[track_caller]
    pub fn expect_nothing(&mut self) {
        assert!(self.sent.is_empty(), "sent\n{}", self.sent[0].text);
        assert!(self.events.is_empty(), "told {:?}", self.events[0]);
    }

    #[track_caller]
    pub fn event(&mut self) -> UaEvent {
        self.events.pop_front().expect("no event")
    }

    /// The next event must be the end of its dialog, and the last.
    #[track_caller]
    pub fn expect_end(&mut self, how: DialogEnd) {
        match self.event() {
            UaEvent::Ended { how: got, .. } => assert_eq!(got, how),
            other => panic!("expected the end, got {other:?}"),
        }
        assert!(self.events.is_empty(), "after the end: {:?}", self.events);
    }

    #[track_caller]
    pub fn invited(&mut self) -> DialogKey {
        match self.event() {
            UaEvent::Invited { dialog, .. } => dialog,
            other => panic!("expected an invitation, got {other:?}"),
        }
    }

    #[track_caller]
    pub fn command(&mut self, command: UaCommand) {
        self.try_command(command).expect("a legal command");
    }

    pub fn try_command(&mut self, command: UaCommand) -> Result<(), ApiMisuse> {
        let done = self.endpoint.command(self.now, command);
        self.drain();
        done
    }

    pub fn ring(&mut self, dialog: DialogKey) {
        self.command(UaCommand::Ring { dialog, status: 180, sdp: None });
    }

    pub fn accept(&mut self, dialog: DialogKey) {
        self.command(UaCommand::Accept { dialog, sdp: OUR_SDP.into() });
    }

    pub fn end(&mut self, dialog: DialogKey) {
        self.command(UaCommand::End { dialog, cause: Some(16) });
    }

    /// The next event must be this state of the registration.
    #[track_caller]
    pub fn expect_registration(&mut self, wanted: RegistrationState) {
        match self.event() {
            UaEvent::Registration { trunk: TrunkId(0), state } => assert_eq!(state, wanted),
            other => panic!("expected {wanted:?}, got {other:?}"),
        }
    }

    #[track_caller]
    pub fn expect_usable(&mut self, wanted: bool) {
        match self.event() {
            UaEvent::TrunkUsable { trunk: TrunkId(0), usable } => assert_eq!(usable, wanted),
            other => panic!("expected usable {wanted}, got {other:?}"),
        }
        assert_eq!(self.endpoint.trunk_is_usable(TrunkId(0)), wanted);
    }

    /// io looked up the name of the trunk's peer.
    pub fn resolved(&mut self, addresses: &[&str]) {
        let addresses: Vec<SocketAddr> =
            addresses.iter().map(|it| it.parse().expect("an address")).collect();
        self.input(TransportInput::PeerResolved { trunk: TrunkId(0), addresses: &addresses });
    }

    /// Lets time pass, deadline by deadline.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((at, _)) = self.endpoint.poll_timeout().filter(|(at, _)| *at <= until) {
            self.now = self.now.max(at);
            self.endpoint.handle_timeout(self.now);
            self.drain();
        }
        self.now = until;
    }

    /// Lets time pass to the next deadline.
    pub fn run_to_next(&mut self) -> Duration {
        let (at, _) = self.endpoint.poll_timeout().expect("a deadline");
        let took = at.saturating_duration_since(self.now);
        self.run_for(took);
        took
    }

    /// A request inside the dialog that the last INVITE made with `answer`.
    pub fn within(&self, method: &str, answer: &Sent, cseq: u32) -> Said {
        let invite = self.last_invite.clone().expect("an INVITE");
        let mut message = Said::new(method);
        message.from = invite.from;
        message.call_id = invite.call_id;
        message.source = invite.source;
        message.via = invite.via;
        message.to = format!("{};tag={}", invite.to, answer.to_tag());
        message.branch = format!("z9hG4bK{method}{cseq}");
        message.cseq(cseq)
    }

    /// A response of the far side to a request of ours.
    pub fn answer(&self, request: &Sent, status: u16, to_tag: &str) -> Said {
        let cseq = request.must("CSeq");
        let (number, method) = cseq.split_once(' ').expect("number and method");
        let mut message = Said::new(method);
        message.start = format!("SIP/2.0 {status} Whatever");
        let (via, branch) = request.must("Via").split_once(";branch=").expect("a branch");
        message.via = via.to_owned();
        message.branch = branch.to_owned();
        message.from = request.must("From").to_owned();
        message.to = request.must("To").to_owned();
        if request.to_tag().is_empty() && !to_tag.is_empty() {
            message.to = format!("{};tag={to_tag}", message.to);
        }
        message.call_id = request.must("Call-ID").to_owned();
        message.contact("<sip:bob@198.51.100.7:5060>").cseq(number.parse().expect("a number"))
    }

    /// An INVITE came, was accepted and acknowledged. Gives the dialog and our 200.
    pub fn talking(&mut self) -> (DialogKey, Sent) {
        self.recv(invite());
        let dialog = self.invited();
        self.accept(dialog);
        let ok = self.expect(200, "INVITE");
        self.recv(self.within("ACK", &ok, 1));
        assert!(matches!(self.event(), UaEvent::Acknowledged { .. }));
        self.expect_nothing();
        (dialog, ok)
    }

    pub fn call_out(&mut self) -> (DialogKey, Sent) {
        self.call_out_with(OUR_SDP.into())
    }

    pub fn call_out_with(&mut self, offer: Vec<u8>) -> (DialogKey, Sent) {
        let invite = OutgoingInvite {
            trunk: TrunkId(0),
            target: "sip:bob@198.51.100.7".to_owned(),
            from_user: Pii::new("weebee".to_owned()),
            from_name: Pii::new("Wee \"Bee\"".to_owned()),
            headers: vec![("X-Room".to_owned(), Pii::new("tea".to_owned()))],
            offer,
            answer_within: Duration::from_secs(60),
        };
        let dialog = self.endpoint.invite(self.now, invite).expect("a call");
        self.drain();
        let invite = self.expect_request("INVITE");
        (dialog, invite)
    }

    /// A call of ours, answered.
    pub fn talking_out(&mut self) -> (DialogKey, Sent, Sent) {
        let (dialog, invite) = self.call_out();
        self.recv(self.answer(&invite, 200, "bob").sdp(SDP));
        let ack = self.expect_request("ACK");
        assert!(matches!(self.event(), UaEvent::Answered { sdp: Some(_), .. }));
        self.expect_nothing();
        (dialog, invite, ack)
    }
}

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
