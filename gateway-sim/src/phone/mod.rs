//! A phone: SIP by text, RTP by hand, one owner who follows a script.
//!
//!   Waiting -> Calling (or being called) -> Talking -> Leaving -> Gone
//!
//! It is a stand-in for real devices and knows nothing of the gateway's code: INVITE with or without SDP, CANCEL,
//! ACK (or none), keys by RFC 4733 or INFO, hold, re-INVITE, BYE; it answers BYE, OPTIONS, UPDATE and re-INVITE.

mod callee;
mod ivr;
mod media;
mod requests;
pub mod sound;
pub mod text;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::plan::{Action, Ending, HoldWay, KeyWay, PhonePlan};
use media::Media;
pub use media::Spell;
use requests::Client;
use sound::Recording;
use text::{Message, uri};

/// What a phone wants to happen outside.
#[derive(Clone, Debug)]
pub enum PhoneOutput {
    /// A SIP datagram to the gateway.
    Sip(Vec<u8>),
    /// An RTP datagram.
    Rtp {
        /// From its port.
        from_port: u16,
        /// To the gateway's.
        to: SocketAddr,
        /// Bytes.
        bytes: Vec<u8>,
    },
    /// Something worth a line in the ladder.
    Note(String),
}

/// Where a phone stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Not called yet.
    Waiting,
    /// INVITE sent.
    Calling,
    /// Answered and acknowledged (or the ACK was "lost").
    Talking,
    /// BYE sent, or `**` typed.
    Leaving,
    /// Over. Late requests are still answered.
    Gone,
}

/// One phone.
#[derive(Debug)]
pub struct Phone {
    /// Its script.
    pub plan: PhonePlan,
    /// What it heard.
    pub recording: Recording,
    /// When it was talking, held, muted, typing: for the judges.
    pub spells: Vec<(Spell, Duration, Option<Duration>)>,
    stage: Stage,
    outputs: VecDeque<PhoneOutput>,
    /// Address it writes; behind a NAT not the one it is seen at.
    written: SocketAddr,
    gateway: SocketAddr,
    media: Media,
    invite: Option<Client>,
    request: Option<Client>,
    waiting: VecDeque<Wanted>,
    cseq: u32,
    branches: u32,
    to: String,
    target: String,
    acked: Option<u32>,
    acks_lost: u32,
    cancel_at: Option<Duration>,
    cancelled: bool,
    sdp_version: u32,
    direction: &'static str,
    null_address: bool,
    script: Script,
    ivr: ivr::Ivr,
    /// Its network plays before the answer.
    is_early: bool,
    /// An INVITE to it.
    called: Option<callee::Called>,
    /// In a call that it answered: what it writes as From, and the Call-ID.
    dialled: Option<(String, String)>,
}

/// A request that waits for the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Info(char),
    Tell(&'static str),
    Reinvite(Change),
    Bye,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Direction(&'static str, bool),
    Port,
    Nothing,
    Fax,
}

/// How far the owner is.
#[derive(Debug, Default)]
struct Script {
    typed: usize,
    next_typing: Option<Duration>,
    /// The last key is out: talking time runs from here.
    free_since: Option<Duration>,
    acted: usize,
    ended: bool,
    /// After `**`: when the owner hangs up himself.
    hang_up_at: Option<Duration>,
}

impl Phone {
    /// A phone that writes `written` as its address and knows the gateway's.
    pub fn new(plan: PhonePlan, written: SocketAddr, gateway: SocketAddr) -> Self {
        let media = Media::new(&plan);
        let target = format!("sip:pin@{gateway}");
        Self {
            acks_lost: plan.acks_lost,
            recording: Recording::default(),
            spells: Vec::new(),
            stage: Stage::Waiting,
            outputs: VecDeque::new(),
            written,
            gateway,
            media,
            invite: None,
            request: None,
            waiting: VecDeque::new(),
            cseq: 1,
            branches: 0,
            to: format!("<{target}>"),
            target,
            acked: None,
            cancel_at: None,
            cancelled: false,
            sdp_version: 1,
            direction: "sendrecv",
            null_address: false,
            script: Script::default(),
            ivr: ivr::Ivr::default(),
            is_early: false,
            called: None,
            dialled: None,
            plan,
        }
    }

    /// Its `Call-ID`.
    pub fn call_id(&self) -> String {
        format!("call-{}@phone", self.plan.index)
    }

    /// Keys that reached it by event or INFO: when each began, which, and how many milliseconds it lasted.
    pub fn keys_heard(&self) -> &[(Duration, char, u32)] {
        self.media.keys_heard()
    }

    /// Where it stands.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Power is off: it neither sends nor answers.
    pub fn is_dead(&self) -> bool {
        self.script.ended && self.plan.ending == Ending::Vanish
    }

    /// The next thing it wants outside.
    pub fn poll_output(&mut self) -> Option<PhoneOutput> {
        self.outputs.pop_front()
    }

    /// 5 ms went by.
    pub fn tick(&mut self, now: Duration) {
        if self.is_dead() {
            return;
        }
        if self.stage == Stage::Waiting && now >= self.plan.starts && self.plan.callee.is_none() {
            self.call(now);
        }
        self.tick_called(now);
        self.repeat_requests(now);
        if self.cancel_at.is_some_and(|at| now >= at) {
            self.cancel(now);
        }
        if self.stage == Stage::Talking {
            self.follow_script(now);
        }
        if self.has_sound() {
            self.media.tick(now, &mut self.outputs);
        }
        self.start_next_request(now);
    }

    fn has_sound(&self) -> bool {
        match self.stage {
            Stage::Talking | Stage::Leaving => true,
            Stage::Calling => self.is_early,
            Stage::Waiting | Stage::Gone => false,
        }
    }

    /// RTP came.
    pub fn on_rtp(&mut self, now: Duration, bytes: &[u8]) {
        if !self.is_dead() && self.has_sound() {
            self.media.receive(now, bytes, &mut self.recording);
        }
    }

    /// SIP came.
    pub fn on_sip(&mut self, now: Duration, bytes: &[u8]) {
        let Some(message) = Message::read(bytes).filter(|_| !self.is_dead()) else { return };
        match (message.status(), message.method()) {
            (Some(status), "INVITE") => self.on_invite_response(now, status, &message),
            (Some(status), _) => self.on_response(now, status, &message),
            (None, "ACK") => self.final_acknowledged(),
            (None, "INVITE") if self.plan.callee.is_some() && self.dialled.is_none() => {
                self.called(now, &message);
            }
            (None, "CANCEL") => self.called_off(now, &message),
            (None, "INFO") if self.stage == Stage::Talking => {
                self.media.hear_info(now, &message.body);
                self.hear_json(now, &message.body);
                self.say(message.respond("200 OK", &self.tag(), "", ""));
            }
            (None, "BYE") => {
                self.say(message.respond("200 OK", &self.tag(), "", ""));
                self.leave(now, "hung up by the gateway");
            }
            (None, "INVITE" | "UPDATE") if self.stage == Stage::Talking => self.on_offer(&message),
            (None, "OPTIONS") => self.say(message.respond("200 OK", &self.tag(), "", "")),
            (None, _) => {
                let status = "481 Call/Transaction Does Not Exist";
                self.say(message.respond(status, &self.tag(), "", ""));
            }
        }
    }

    fn on_invite_response(&mut self, now: Duration, status: u16, message: &Message) {
        let is_first = message.cseq() == 1;
        match status {
            100..=199 => {
                if let Some(invite) = self.invite.as_mut() {
                    invite.heard_provisional();
                }
                if let (true, Some(patience), Stage::Calling) =
                    (is_first, self.plan.cancel_after, self.stage)
                {
                    self.cancel_at.get_or_insert(now + patience);
                }
            }
            200..=299 => self.on_ok(now, message),
            _ => {
                self.ack_refusal(message);
                let ours = self.invite.take_if(|it| it.cseq() == message.cseq());
                if ours.is_some() && is_first {
                    self.note(format!("refused with {status}"));
                    self.leave(now, "refused");
                } else if ours.is_some() {
                    self.note(format!("re-INVITE refused with {status}"));
                }
            }
        }
    }

    fn on_ok(&mut self, now: Duration, message: &Message) {
        let is_new = self.acked.is_none_or(|acked| message.cseq() > acked);
        if is_new {
            self.acked = Some(message.cseq());
            self.invite = None;
            self.cancel_at = None;
            self.to = message.header("to").to_owned();
            self.target = uri(message.header("contact")).to_owned();
            if !message.body.is_empty() {
                self.media.configure(now, &message.body);
            }
            if self.cancelled && self.stage == Stage::Calling {
                self.stage = Stage::Leaving;
                self.waiting.push_back(Wanted::Bye);
            } else if self.stage == Stage::Calling {
                self.stage = Stage::Talking;
                self.spell(Spell::Talking, now);
                self.script.next_typing = Some(now + self.plan.key_delay);
            } else if self.holds() && !self.is_in(Spell::HoldAgreed) {
                self.spell(Spell::HoldAgreed, now);
            } else if !self.holds() {
                self.end_spell(Spell::Held, now);
            }
        }
        self.acknowledge(message);
    }

    /// An ACK for every 200; the first ones may be "lost" by the script.
    fn acknowledge(&mut self, message: &Message) {
        if message.cseq() == 1 && self.acks_lost > 0 {
            self.acks_lost -= 1;
            self.note("ACK lost".to_owned());
            return;
        }
        let late = message.cseq() == 1 && self.plan.late_offer;
        let body = if late { self.sdp() } else { String::new() };
        let branch = self.branch();
        let ack = self.request_text("ACK", message.cseq(), &branch, &body);
        self.say(ack);
    }

    /// A re-INVITE or UPDATE of the gateway: the same session again.
    fn on_offer(&mut self, message: &Message) {
        let body = if message.body.is_empty() && message.method() == "UPDATE" {
            String::new()
        } else {
            self.sdp()
        };
        let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let more = format!("Contact: <sip:phone@{}>\r\n{content}", self.written);
        let response = message.respond("200 OK", &self.tag(), &more, &body);
        self.say(response);
    }

    fn on_response(&mut self, now: Duration, status: u16, message: &Message) {
        if status < 200 {
            return;
        }
        let ours =
            |it: &mut Client| it.branch() == message.branch() && it.method() == message.method();
        let Some(done) = self.request.take_if(ours) else { return };
        match done.method() {
            "BYE" => self.leave(now, "hung up"),
            "INFO" if self.waiting.is_empty() => self.typed_all(now),
            _ => {}
        }
    }

    fn follow_script(&mut self, now: Duration) {
        self.type_keys(now);
        let Some(free) = self.script.free_since else { return };
        while let Some((at, action)) = self.plan.actions.get(self.script.acted).copied() {
            if now < free + at {
                break;
            }
            self.script.acted += 1;
            self.act(now, action);
        }
        if now >= free + self.plan.talk && !self.script.ended {
            self.script.ended = true;
            self.end_of_talk(now);
        }
    }

    fn type_keys(&mut self, now: Duration) {
        if self.script.next_typing.is_none_or(|at| now < at) {
            return;
        }
        self.script.next_typing = None;
        let Some(keys) = self.plan.typed.get(self.script.typed).cloned() else {
            // Nothing (more) to type: the owner listens as long as he would have talked.
            self.script.free_since.get_or_insert(now);
            return;
        };
        self.script.typed += 1;
        self.note(format!("types {} keys by {:?}", keys.len(), self.plan.keys));
        self.press(now, &keys);
    }

    fn press(&mut self, now: Duration, keys: &str) {
        match self.plan.keys {
            KeyWay::Info => self.waiting.extend(keys.chars().map(Wanted::Info)),
            KeyWay::Events => {
                let done = self.media.press(now, keys);
                self.after_keys(done);
            }
        }
    }

    fn typed_all(&mut self, now: Duration) {
        self.after_keys(now);
    }

    /// The last of some keys is out at `done`: the next try, or talk.
    fn after_keys(&mut self, done: Duration) {
        if self.script.typed < self.plan.typed.len() {
            self.script.next_typing = Some(done + BETWEEN_TRIES);
        } else {
            self.script.free_since.get_or_insert(done);
        }
    }

    fn act(&mut self, now: Duration, action: Action) {
        self.note(format!("{action:?}"));
        let change = match action {
            Action::Tell(body) => return self.waiting.push_back(Wanted::Tell(body)),
            Action::IgnoreHeartbeats => return self.ivr.ignores_heartbeats = true,
            Action::Hold(HoldWay::SendOnly) => Change::Direction("sendonly", false),
            Action::Hold(HoldWay::Inactive) => Change::Direction("inactive", false),
            Action::Hold(HoldWay::NullAddress) => Change::Direction("sendrecv", true),
            Action::Resume => Change::Direction("sendrecv", false),
            Action::Move => Change::Port,
            Action::Refresh => Change::Nothing,
            Action::Fax => Change::Fax,
            Action::MuteKey => {
                let spell = Spell::Muted;
                if self.is_in(spell) {
                    self.end_spell(spell, now)
                } else {
                    self.spell(spell, now)
                }
                return self.press(now, "*6");
            }
            Action::Type(keys) => {
                // While keys are pressed nothing is said.
                self.spell(Spell::Disturbed, now);
                self.press(now, keys);
                let each = Duration::from_millis(400) * keys.len() as u32;
                return self.end_spell(Spell::Disturbed, now + each);
            }
        };
        match action {
            Action::Hold(_) => self.spell(Spell::Held, now),
            Action::Move | Action::Refresh | Action::Fax => {
                self.spell(Spell::Disturbed, now);
                self.end_spell(Spell::Disturbed, now + Duration::from_secs(1));
            }
            _ => {}
        }
        self.waiting.push_back(Wanted::Reinvite(change));
    }

    fn end_of_talk(&mut self, now: Duration) {
        match self.plan.ending {
            Ending::Bye => self.waiting.push_back(Wanted::Bye),
            Ending::StarStar => {
                self.press(now, "**");
                // Should the keys be lost, the owner hangs up after all.
                self.script.hang_up_at = Some(now + STAR_PATIENCE);
            }
            Ending::Vanish => {
                self.note("loses power".to_owned());
                self.leave(now, "dead");
            }
        }
        self.end_spell(Spell::Talking, now);
    }

    fn leave(&mut self, now: Duration, why: &str) {
        if self.stage != Stage::Gone {
            self.note(why.to_owned());
        }
        self.stage = Stage::Gone;
        self.waiting.clear();
        self.invite = None;
        self.request = None;
        for spell in [Spell::Talking, Spell::Held, Spell::HoldAgreed, Spell::Muted] {
            self.end_spell(spell, now);
        }
    }

    /// Its last offer holds the gateway.
    fn holds(&self) -> bool {
        self.direction != "sendrecv" || self.null_address
    }

    fn spell(&mut self, spell: Spell, now: Duration) {
        self.spells.push((spell, now, None));
    }

    fn is_in(&self, spell: Spell) -> bool {
        self.spells.iter().any(|(kind, _, end)| *kind == spell && end.is_none())
    }

    fn end_spell(&mut self, spell: Spell, now: Duration) {
        for (kind, _, end) in &mut self.spells {
            if *kind == spell {
                end.get_or_insert(now);
            }
        }
    }

    fn note(&mut self, text: String) {
        self.outputs.push_back(PhoneOutput::Note(text));
    }

    fn say(&mut self, bytes: Vec<u8>) {
        self.outputs.push_back(PhoneOutput::Sip(bytes));
    }

    fn tag(&self) -> String {
        format!("tag{}", self.plan.index)
    }
}

/// From one wrong PIN to the next try: the refusal is spoken 2 s after the last digit.
const BETWEEN_TRIES: Duration = Duration::from_secs(5);
/// After `**`: BYE if the gateway has not hung up by then.
const STAR_PATIENCE: Duration = Duration::from_secs(8);
