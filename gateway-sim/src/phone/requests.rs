//! The phone's client side: one INVITE and one other request at a time, repeated by the timers of RFC 3261 §17.1.

use std::time::Duration;

use super::text::Message;
use super::{Change, Phone, Spell, Stage, Wanted};

/// A request on its way.
#[derive(Debug)]
pub(super) struct Client {
    method: &'static str,
    branch: String,
    cseq: u32,
    bytes: Vec<u8>,
    next: Option<Duration>,
    interval: Duration,
    give_up: Duration,
}

/// What a tick of a request gave.
pub(super) enum Sent {
    /// Nothing.
    Nothing,
    /// It must be sent again.
    Again(Vec<u8>),
    /// 64*T1 without an answer.
    GaveUp,
}

impl Client {
    pub(super) fn method(&self) -> &'static str {
        self.method
    }

    pub(super) fn branch(&self) -> &str {
        &self.branch
    }

    pub(super) fn cseq(&self) -> u32 {
        self.cseq
    }

    /// An INVITE is not repeated after any 1xx; its final answer may take as long as it likes (3 minutes here).
    pub(super) fn heard_provisional(&mut self) {
        self.next = None;
        self.give_up = self.give_up.max(Duration::from_secs(180));
    }

    fn tick(&mut self, now: Duration) -> Sent {
        if now >= self.give_up {
            return Sent::GaveUp;
        }
        if self.next.is_none_or(|at| now < at) {
            return Sent::Nothing;
        }
        self.interval *= 2;
        if self.method != "INVITE" {
            self.interval = self.interval.min(T2);
        }
        self.next = Some(now + self.interval);
        Sent::Again(self.bytes.clone())
    }
}

impl Phone {
    pub(super) fn call(&mut self, now: Duration) {
        self.stage = Stage::Calling;
        let body = if self.plan.late_offer { String::new() } else { self.sdp() };
        self.invite = Some(self.send("INVITE", now, &body));
    }

    pub(super) fn cancel(&mut self, now: Duration) {
        self.cancel_at = None;
        let Some(branch) = self.invite.as_ref().map(|invite| invite.branch.clone()) else { return };
        self.cancelled = true;
        let bytes = self.request_text("CANCEL", 1, &branch, "");
        self.say(bytes.clone());
        self.request = Some(client("CANCEL", branch, 1, bytes, now));
    }

    /// Repeats what is due, gives up what is hopeless.
    pub(super) fn repeat_requests(&mut self, now: Duration) {
        match self.invite.as_mut().map_or(Sent::Nothing, |it| it.tick(now)) {
            Sent::Nothing => {}
            Sent::Again(bytes) => self.say(bytes),
            Sent::GaveUp => {
                let first = self.invite.take().is_some_and(|invite| invite.cseq == 1);
                if first {
                    self.leave(now, "no answer to INVITE");
                }
            }
        }
        match self.request.as_mut().map_or(Sent::Nothing, |it| it.tick(now)) {
            Sent::Nothing => {}
            Sent::Again(bytes) => self.say(bytes),
            Sent::GaveUp => {
                let method = self.request.take().map_or("", |request| request.method);
                self.note(format!("no answer to {method}"));
                match method {
                    "BYE" => self.leave(now, "gave up"),
                    "INFO" if self.waiting.is_empty() => self.typed_all(now),
                    _ => {}
                }
            }
        }
        if self.script.hang_up_at.is_some_and(|at| now >= at) && self.stage == Stage::Talking {
            self.script.hang_up_at = None;
            self.waiting.push_back(Wanted::Bye);
        }
    }

    /// One request at a time, and none while a re-INVITE is open.
    pub(super) fn start_next_request(&mut self, now: Duration) {
        let busy = self.request.is_some() || self.invite.is_some();
        if busy || !matches!(self.stage, Stage::Talking | Stage::Leaving) {
            return;
        }
        match self.waiting.pop_front() {
            None => {}
            Some(Wanted::Info(key)) => {
                let body = format!("Signal={key}\r\nDuration=120\r\n");
                self.request = Some(self.send("INFO", now, &body));
            }
            Some(Wanted::Tell(body)) => self.request = Some(self.send("INFO", now, body)),
            Some(Wanted::Bye) => {
                self.stage = Stage::Leaving;
                self.request = Some(self.send("BYE", now, ""));
            }
            Some(Wanted::Reinvite(change)) => {
                let body = self.changed_sdp(now, change);
                self.invite = Some(self.send("INVITE", now, &body));
            }
        }
    }

    fn changed_sdp(&mut self, now: Duration, change: Change) -> String {
        match change {
            Change::Direction(direction, null_address) => {
                self.direction = direction;
                self.null_address = null_address;
                self.end_spell(Spell::HoldAgreed, now);
                self.media.may_send = direction != "inactive" && !null_address;
                self.sdp_version += 1;
            }
            Change::Port => {
                self.media.port += 2;
                self.sdp_version += 1;
            }
            Change::Nothing => {}
            Change::Fax => {
                let ip = self.written.ip();
                return format!(
                    "v=0\r\no=- 1 99 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
                     m=image 4000 udptl t38\r\n"
                );
            }
        }
        self.sdp()
    }

    /// Offer and answer alike: one codec, telephone-event, the phone's wishes.
    pub(super) fn sdp(&self) -> String {
        let ip = self.written.ip();
        let shown = if self.null_address { "0.0.0.0".to_owned() } else { ip.to_string() };
        let law = self.plan.law;
        let number = law.payload_type();
        let events = self.media.events();
        format!(
            "v=0\r\no=- {} {} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {shown}\r\nt=0 0\r\n\
             m=audio {} RTP/AVP {number} {events}\r\na=rtpmap:{number} {}/8000\r\n\
             a=rtpmap:{events} telephone-event/8000\r\na=fmtp:{events} 0-15\r\na=ptime:{}\r\na={}\r\n",
            4_000 + self.plan.index,
            self.sdp_version,
            self.media.port,
            law.name(),
            self.plan.packet_time_ms,
            self.direction,
        )
    }

    fn send(&mut self, method: &'static str, now: Duration, body: &str) -> Client {
        if self.branches > 0 {
            self.cseq += 1;
        }
        let branch = self.branch();
        let bytes = self.request_text(method, self.cseq, &branch, body);
        self.say(bytes.clone());
        client(method, branch, self.cseq, bytes, now)
    }

    /// A branch of its own.
    pub(super) fn branch(&mut self) -> String {
        self.branches += 1;
        format!("z9hG4bK-{}-{}", self.plan.index, self.branches)
    }

    pub(super) fn request_text(
        &self,
        method: &str,
        cseq: u32,
        branch: &str,
        body: &str,
    ) -> Vec<u8> {
        let target = match method {
            "INVITE" if cseq == 1 => format!("sip:pin@{}", self.gateway),
            "CANCEL" => format!("sip:pin@{}", self.gateway),
            _ => self.target.clone(),
        };
        let kind = match (method, body.is_empty()) {
            (_, true) => "",
            ("INFO", _) if body.starts_with('{') => "Content-Type: application/json\r\n",
            ("INFO", _) => "Content-Type: application/dtmf-relay\r\n",
            _ => "Content-Type: application/sdp\r\n",
        };
        let plain = format!("<sip:pin@{}>", self.gateway);
        let to = if method == "CANCEL" { &plain } else { &self.to };
        let (from, call_id) = self.dialled.clone().unwrap_or_else(|| {
            let (number, host, tag) = (&self.plan.number, self.written.ip(), self.tag());
            (format!("\"Caller\" <sip:{number}@{host}>;tag={tag}"), self.call_id())
        });
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {written};rport;branch={branch}\r\nMax-Forwards: 70\r\n\
             From: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:phone@{written}>\r\n{kind}Content-Length: {length}\r\n\r\n{body}",
            written = self.written,
            length = body.len(),
        )
        .into_bytes()
    }

    /// The ACK of a refusal belongs to the INVITE's transaction: same branch, To of the response.
    pub(super) fn ack_refusal(&mut self, message: &Message) {
        let branch = message.branch().to_owned();
        let to = std::mem::replace(&mut self.to, message.header("to").to_owned());
        let target = self.target.clone();
        if message.cseq() == 1 {
            self.target = format!("sip:pin@{}", self.gateway);
        }
        let ack = self.request_text("ACK", message.cseq(), &branch, "");
        self.to = to;
        self.target = target;
        self.say(ack);
    }
}

fn client(
    method: &'static str,
    branch: String,
    cseq: u32,
    bytes: Vec<u8>,
    now: Duration,
) -> Client {
    let (next, give_up) = (Some(now + T1), now + T1 * 64);
    Client { method, branch, cseq, bytes, next, interval: T1, give_up }
}

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
