//! The checkers: they look at the run from outside and know the plan, never the gateway's inside.
//!
//! One final response per INVITE, one CDR per call, RTP that counts on without a break, silence towards a phone on hold,
//! nobody hears himself, each ear hears the tone of each other talker, no PIN or number in any log line.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gateway_core::base::ids::CallKey;
use gateway_core::gateway::Event;

use crate::phone::sound::{BLOCK_TIME, TONE_PEAK, peak_at};
use crate::phone::text::Message;
use crate::phone::{Phone, Spell};

pub mod meeting;

/// What the checkers saw.
#[derive(Debug, Default)]
pub struct Watch {
    invites: BTreeMap<(String, u32, String), BTreeSet<u16>>,
    calls: BTreeMap<CallKey, CallSeen>,
    rtp: BTreeMap<CallKey, RtpSeen>,
    rtp_on_hold: BTreeMap<CallKey, Duration>,
    faults: Vec<String>,
    tally: Tally,
    /// After it a caller hears last words instead of the room.
    call_length_max: Duration,
}

/// What was judged in a run: a checker that never had anything to judge proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// INVITE transactions (re-INVITEs included).
    pub invites: u32,
    /// Calls that the gateway announced.
    pub calls: u32,
    /// Calls that came into the room.
    pub joined: u32,
    /// RTP packets of the gateway.
    pub rtp_packets: u32,
    /// Pairs (ear, talker) x 200 ms in which the talker had to be heard.
    pub blocks_heard: u32,
    /// Pairs in which he had not to be heard: muted or on hold.
    pub blocks_silent: u32,
    /// Blocks in which an ear must not hear itself.
    pub blocks_self: u32,
    /// Log lines searched.
    pub log_lines: u32,
}

impl Tally {
    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        self.invites += other.invites;
        self.calls += other.calls;
        self.joined += other.joined;
        self.rtp_packets += other.rtp_packets;
        self.blocks_heard += other.blocks_heard;
        self.blocks_silent += other.blocks_silent;
        self.blocks_self += other.blocks_self;
        self.log_lines += other.log_lines;
    }
}

#[derive(Debug)]
struct CallSeen {
    phone: usize,
    answered: Option<Duration>,
    joined: Option<Duration>,
    ended: Vec<Duration>,
    muted: Vec<(Duration, Option<Duration>)>,
}

#[derive(Clone, Copy, Debug)]
struct RtpSeen {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

impl CallSeen {
    fn new(phone: usize) -> Self {
        Self { phone, answered: None, joined: None, ended: Vec::new(), muted: Vec::new() }
    }
}

impl Watch {
    /// Nothing seen yet.
    pub fn new(call_length_max: Duration) -> Self {
        Self { call_length_max, ..Self::default() }
    }

    /// Something is wrong.
    pub fn fault(&mut self, text: String) {
        if self.faults.len() < 50 {
            self.faults.push(text);
        }
    }

    /// All that is wrong, and what was judged.
    pub fn into_verdict(mut self) -> (Vec<String>, Tally) {
        self.tally.invites = self.invites.len() as u32;
        self.tally.calls = self.calls.len() as u32;
        self.tally.joined = self.calls.values().filter(|it| it.joined.is_some()).count() as u32;
        (self.faults, self.tally)
    }

    /// SIP reached the gateway.
    pub fn sip_in(&mut self, message: &Message) {
        if message.status().is_none() && message.method() == "INVITE" {
            self.invites.entry(key(message)).or_default();
        }
    }

    /// SIP left the gateway (before the link may lose it).
    pub fn sip_out(&mut self, message: &Message) {
        let Some(status) = message.status().filter(|status| *status >= 200) else { return };
        if message.method() != "INVITE" {
            return;
        }
        match self.invites.get_mut(&key(message)) {
            Some(finals) => {
                finals.insert(status);
            }
            None => self.fault(format!("a {status} to an INVITE that never came")),
        }
    }

    /// The gateway calls a phone.
    pub fn dialled(&mut self, call: CallKey, phone: usize) {
        if self.calls.insert(call, CallSeen::new(phone)).is_some() {
            self.fault(format!("{call} was dialled twice"));
        }
    }

    /// The gateway's owner was told something.
    pub fn event(&mut self, at: Duration, event: &Event, phone_of: impl Fn(&str) -> Option<usize>) {
        match event {
            Event::RouteNeeded { call, facts, .. } => {
                let Some(phone) = phone_of(&facts.call_id) else {
                    return self.fault(format!("{call} belongs to nobody"));
                };
                let seen = CallSeen::new(phone);
                if self.calls.insert(*call, seen).is_some() {
                    self.fault(format!("{call} was announced twice"));
                }
            }
            Event::CallAnswered(call) => {
                if let Some(seen) = self.calls.get_mut(call) {
                    seen.answered = Some(at);
                }
            }
            Event::CallJoined(call, _) => {
                if let Some(seen) = self.calls.get_mut(call) {
                    seen.joined = Some(at);
                }
            }
            Event::CallMuted(call, muted) => {
                if let Some(seen) = self.calls.get_mut(call) {
                    match muted {
                        true => seen.muted.push((at, None)),
                        false => {
                            seen.muted.iter_mut().for_each(|(_, end)| _ = end.get_or_insert(at))
                        }
                    }
                }
            }
            Event::CallEnded(record) => match self.calls.get_mut(&record.call) {
                Some(seen) => seen.ended.push(at),
                // A call that ends before anybody was asked (no codec in common) has a record all the same.
                None => {
                    let Some(phone) = phone_of(&record.call_id) else {
                        return self.fault(format!("a record of nobody's call: {record:?}"));
                    };
                    let seen = CallSeen { ended: vec![at], ..CallSeen::new(phone) };
                    self.calls.insert(record.call, seen);
                }
            },
            _ => {}
        }
    }

    /// An RTP packet left the gateway for a phone.
    pub fn rtp_out(&mut self, at: Duration, call: CallKey, bytes: &[u8], phones: &[&Phone]) {
        self.tally.rtp_packets += 1;
        let Some(header) = bytes.first_chunk::<12>().filter(|header| header[0] & 0xc0 == 0x80)
        else {
            return self.fault(format!("{call}: {} bytes that are no RTP", bytes.len()));
        };
        let new = RtpSeen {
            sequence: u16::from_be_bytes([header[2], header[3]]),
            timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            ssrc: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
        };
        // All packets of a key carry the time of its beginning (RFC 4733 §2.2). Phones speak codecs of static numbers.
        let is_key = header[1] & 0x7f >= 96;
        if let Some(old) = self.rtp.insert(call, new) {
            let step = new.timestamp.wrapping_sub(old.timestamp);
            if new.ssrc != old.ssrc {
                self.fault(format!("{at:?} {call}: SSRC changed"));
            } else if new.sequence != old.sequence.wrapping_add(1) {
                let (from, to) = (old.sequence, new.sequence);
                self.fault(format!("{at:?} {call}: RTP sequence went from {from} to {to}"));
            } else if (step == 0 && !is_key) || step > LONGEST_STEP {
                let (from, to) = (old.timestamp, new.timestamp);
                self.fault(format!("{at:?} {call}: RTP timestamp went from {from} to {to}"));
            }
        }
        let Some(phone) = self.calls.get(&call).and_then(|seen| phones.get(seen.phone)) else {
            return;
        };
        let since = at.saturating_sub(HOLD_GRACE);
        if phone.spells.iter().any(|(kind, from, to)| {
            *kind == Spell::HoldAgreed && *from <= since && to.is_none_or(|to| at < to)
        }) {
            // One packet now and then keeps the NAT's door open (RFC 6263).
            let before = self.rtp_on_hold.insert(call, at);
            if before.is_some_and(|before| at - before < KEEP_ALIVE_MIN) {
                self.fault(format!("{at:?} {call}: RTP to a phone on hold"));
            }
        }
    }

    /// The phone of a call.
    pub fn phone_of(&self, call: CallKey) -> Option<usize> {
        self.calls.get(&call).map(|seen| seen.phone)
    }

    /// The call of a phone.
    pub fn call_of(&self, phone: usize) -> Option<CallKey> {
        self.calls.iter().find(|(_, seen)| seen.phone == phone).map(|(call, _)| *call)
    }

    /// After the last packet: what must hold of the whole run.
    pub fn at_end(&mut self, phones: &[&Phone]) {
        self.at_end_of_meeting();
        self.judge_sound(phones);
    }

    /// The same without its sound, which a meeting's own judge hears.
    pub fn at_end_of_meeting(&mut self) {
        let mut faults = Vec::new();
        for ((call_id, cseq, branch), finals) in &self.invites {
            // A gateway at its limit refuses without keeping state (503): a repeat may find it with room again.
            let kept = finals.iter().filter(|status| **status != 503).count();
            if finals.is_empty() || kept > 1 {
                faults.push(format!(
                    "INVITE {cseq} of {call_id} ({branch}): final responses {finals:?}"
                ));
            }
        }
        for (call, seen) in &self.calls {
            if seen.ended.len() != 1 {
                faults.push(format!("{call} has {} records", seen.ended.len()));
            }
        }
        for fault in faults {
            self.fault(fault);
        }
    }

    /// Nothing personal in what was logged.
    pub fn logs(&mut self, lines: &[String], secrets: &[String]) {
        self.tally.log_lines += lines.len() as u32;
        for line in lines {
            if let Some(secret) = secrets.iter().find(|secret| line.contains(secret.as_str())) {
                let hidden = line.replace(secret.as_str(), "<SECRET>");
                self.fault(format!("a PIN or number in a log line: {hidden}"));
            }
        }
    }

    fn judge_sound(&mut self, phones: &[&Phone]) {
        let mut faults = Vec::new();
        let mut tally = self.tally;
        for ear in self.calls.values() {
            let Some(listener) = phones.get(ear.phone) else { continue };
            for talker in self.calls.values() {
                let Some(speaker) = phones.get(talker.phone) else { continue };
                let own = ear.phone == talker.phone;
                let mut wrong = Streak::default();
                for (at, block) in listener.recording.blocks() {
                    let verdict = match own {
                        true => self.expect_of_self(ear, at),
                        false => self.expect(ear, listener, talker, speaker, at),
                    };
                    let peak = peak_at(block, speaker.plan.tone_hz);
                    let fault = match verdict {
                        Expect::Anything => false,
                        Expect::Tone => {
                            tally.blocks_heard += 1;
                            peak < TONE_PEAK * HEARD
                        }
                        Expect::Silence => {
                            *(if own {
                                &mut tally.blocks_self
                            } else {
                                &mut tally.blocks_silent
                            }) += 1;
                            peak > TONE_PEAK * NOT_HEARD
                        }
                        Expect::Music => {
                            tally.blocks_self += 1;
                            peak > TONE_PEAK * OVER_MUSIC
                        }
                    };
                    if let Some(began) = wrong.next(at, fault) {
                        let (ear, mouth) = (listener.plan.index, speaker.plan.index);
                        faults.push(format!(
                            "phone{ear} from {began:?}: expected {verdict:?} of phone{mouth}, peak {peak:.0}"
                        ));
                    }
                }
            }
        }
        self.tally = tally;
        for fault in faults {
            self.fault(fault);
        }
    }

    fn expect_of_self(&self, call: &CallSeen, at: Duration) -> Expect {
        if call.joined.is_none_or(|joined| at < joined) {
            return Expect::Anything;
        }
        let since = at.saturating_sub(SETTLE);
        let company = self.calls.values().any(|other| {
            other.phone != call.phone
                && other.joined.is_some_and(|joined| joined < since)
                && other.ended.iter().all(|end| *end > at)
        });
        if company { Expect::Silence } else { Expect::Music }
    }

    fn expect(
        &self,
        ear: &CallSeen,
        listener: &Phone,
        talker: &CallSeen,
        speaker: &Phone,
        at: Duration,
    ) -> Expect {
        let (from, to) = (at.saturating_sub(SETTLE), at + BLOCK_TIME + SETTLE / 4);
        let there = |seen: &CallSeen| {
            seen.joined.is_some_and(|joined| joined <= from)
                && seen.ended.iter().all(|end| *end >= to)
                && seen.answered.is_some_and(|answered| answered + self.call_length_max >= to)
        };
        if !there(ear) || !there(talker) {
            return Expect::Anything;
        }
        let within = |phone: &Phone, spell| {
            phone.spells.iter().any(|(kind, began, ended)| {
                *kind == spell && *began <= from && ended.is_none_or(|ended| ended >= to)
            })
        };
        let touches = |phone: &Phone, spell| {
            phone.spells.iter().any(|(kind, began, ended)| {
                *kind == spell && *began < to && ended.is_none_or(|ended| ended > from)
            })
        };
        let muted_within = talker
            .muted
            .iter()
            .any(|(began, end)| *began <= from && end.is_none_or(|end| end >= to));
        if muted_within || within(speaker, Spell::HoldAgreed) {
            return Expect::Silence;
        }
        let disturbed = [Spell::Held, Spell::Muted, Spell::Disturbed]
            .into_iter()
            .any(|spell| touches(speaker, spell))
            || touches(listener, Spell::Held)
            || touches(listener, Spell::Disturbed);
        let crowd = self.calls.values().filter(|seen| {
            seen.joined.is_some_and(|joined| joined < to)
                && seen.ended.iter().all(|end| *end > from)
        });
        let calm = !disturbed
            && talker
                .muted
                .iter()
                .all(|(began, end)| *began >= to || end.is_some_and(|end| end <= from));
        // The room mixes the loudest three: in a larger crowd nobody in particular must be heard.
        let both_talk = within(listener, Spell::Talking) && within(speaker, Spell::Talking);
        match calm && both_talk && crowd.count() <= 3 {
            true => Expect::Tone,
            false => Expect::Anything,
        }
    }
}

/// What an ear must find in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Anything,
    Tone,
    Silence,
    /// Nothing of the tone, but perhaps music whose notes brush it.
    Music,
}

/// A fault is five wrong blocks (1 s) in a row: shorter ones are lost packets and passing clips.
#[derive(Debug, Default)]
struct Streak(u32, Duration);

impl Streak {
    fn next(&mut self, at: Duration, wrong: bool) -> Option<Duration> {
        if !wrong {
            self.0 = 0;
            return None;
        }
        if self.0 == 0 {
            self.1 = at;
        }
        self.0 += 1;
        (self.0 == 5).then_some(self.1)
    }
}

fn key(message: &Message) -> (String, u32, String) {
    (message.header("call-id").to_owned(), message.cseq(), message.branch().to_owned())
}

/// Jitter buffers, joins and words need this long to settle.
const SETTLE: Duration = Duration::from_millis(1_600);
/// The answer to a hold is on its way, and so is what was sent before it.
const HOLD_GRACE: Duration = Duration::from_millis(300);
/// Keep-alives of a silent stream are at least so far apart.
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(5);
/// Share of the tone's peak that counts as heard: words lower the room by 12 dB, concealment takes some.
const HEARD: f64 = 0.1;
/// Share that counts as not heard: -30 dB.
const NOT_HEARD: f64 = 0.03;
/// Share that even music never reaches: -10 dB.
const OVER_MUSIC: f64 = 0.3;
/// Timestamps may go on during a hold of this many samples at 8 kHz.
const LONGEST_STEP: u32 = 8_000 * 120;

#[cfg(test)]
mod tests;
