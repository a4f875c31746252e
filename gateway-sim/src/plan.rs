//! Everything a run is made of, drawn from the seed before it begins: phones, links, knobs.
//!
//! Most draws are ordinary. About one knob in ten lies at its end (a cap of 1, the shortest timer), because that is
//! where calls get hurt.

use std::time::Duration;

use gateway_core::base::rng::Rng;
use gateway_core::call::TrunkManners;
use gateway_core::leg::trunk::signal::DtmfWay;

use crate::link::LinkPlan;
use crate::phone::sound::Law;

pub mod meeting;
pub mod storm;

use meeting::MeetingPlan;

/// One world.
#[derive(Clone, Debug)]
pub struct WorldPlan {
    /// The seed it came from.
    pub seed: u64,
    /// Phones, each with its link (up, down).
    pub phones: Vec<(PhonePlan, LinkPlan, LinkPlan)>,
    /// Settings of the gateway and of what stands beside it.
    pub knobs: Knobs,
    /// The PIN of the room, nine digits.
    pub pin: String,
    /// A host's PIN of the same room.
    pub host_pin: String,
    /// The room is one of a Jitsi deployment. `None`: one of the gateway's own.
    pub meeting: Option<MeetingPlan>,
}

impl WorldPlan {
    /// Phones that are called, by their places.
    pub fn callees(&self) -> impl Iterator<Item = usize> {
        let called = self.phones.iter().filter(|(phone, ..)| phone.callee.is_some());
        called.map(|(phone, ..)| phone.index)
    }
}

/// Settings of the gateway and its surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knobs {
    /// Calls the gateway takes at once.
    pub calls_max: usize,
    /// Calls of the trunk at once.
    pub trunk_calls_max: usize,
    /// RTP port pairs.
    pub port_pairs: u16,
    /// Rest of a used port pair.
    pub port_rest: Duration,
    /// RTP silence that ends a call.
    pub media_timeout: Duration,
    /// Longest call.
    pub call_length_max: Duration,
    /// T1 of the gateway.
    pub t1: Duration,
    /// Seats of the room.
    pub members_max: usize,
    /// Guests wait for a host.
    pub wait_for_host: bool,
    /// How long they do.
    pub host_wait_max: Duration,
    /// Answer time of the PIN registry; `None`: it never answers.
    pub lookup: Option<Duration>,
    /// Ports that turn out to be taken, per thousand.
    pub bind_fails_permille: u32,
    /// Wall time jumps by so many seconds after so long.
    pub clock_step: Option<(Duration, i64)>,
    /// Session timer the trunk asks for.
    pub session_expires: Option<Duration>,
    /// Our answers follow the peer's order of codecs.
    pub peers_codec_order: bool,
    /// How keys of the gateway reach phones.
    pub dtmf: DtmfWay,
    /// Other manners of the callers' trunk: an IVR that talks with us by INFO.
    pub manners: TrunkManners,
}

/// One phone and what its owner does.
#[derive(Clone, Debug)]
pub struct PhonePlan {
    /// Its place: 0, 1, 2 ...
    pub index: usize,
    /// When it calls.
    pub starts: Duration,
    /// Caller's number.
    pub number: String,
    /// Its tone: none is a key's, and each lies between two notes, so that music on hold is not taken for it.
    pub tone_hz: f64,
    /// Its codec.
    pub law: Law,
    /// Milliseconds per packet.
    pub packet_time_ms: u8,
    /// INVITE without SDP: the offer comes in the 200, the answer goes in the ACK.
    pub late_offer: bool,
    /// It sits behind a NAT and writes private addresses.
    pub behind_nat: bool,
    /// How keys are sent.
    pub keys: KeyWay,
    /// What is typed, one after the other: digits and `#`.
    pub typed: Vec<String>,
    /// Pause before the first key: short ones interrupt the greeting.
    pub key_delay: Duration,
    /// Talking time after the last key.
    pub talk: Duration,
    /// Things done while talking, by time after the last key.
    pub actions: Vec<(Duration, Action)>,
    /// How it ends.
    pub ending: Ending,
    /// ACKs that are never sent.
    pub acks_lost: u32,
    /// Gives up so long after the first provisional response.
    pub cancel_after: Option<Duration>,
    /// It is called instead, from `starts` on; its talking time runs from its answer.
    pub callee: Option<Callee>,
}

/// A phone that the gateway calls for the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callee {
    /// From the INVITE to its 180.
    pub rings_after: Duration,
    /// Its network plays its tone from then on (183 with SDP), not only from its answer.
    pub is_heard_early: bool,
    /// What it does then.
    pub reply: Reply,
    /// Keys behind the number.
    pub keys: &'static str,
}

/// What a phone does that is called; times are from the INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It answers.
    Answers(Duration),
    /// It refuses with this status.
    Refuses(Duration, u16),
    /// It rings.
    Nothing,
}

/// How keys are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWay {
    /// RFC 4733.
    Events,
    /// SIP INFO.
    Info,
}

/// Something done in mid-call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Hold in one of its spellings.
    Hold(HoldWay),
    /// Back from hold.
    Resume,
    /// A re-INVITE that moves RTP to another port.
    Move,
    /// A re-INVITE that changes nothing.
    Refresh,
    /// A T.38 offer, which must be refused.
    Fax,
    /// `*6`: mute, and `*6` again.
    MuteKey,
    /// Other keys: a raised hand, a password.
    Type(&'static str),
    /// The IVR in front of it says this in JSON by INFO.
    Tell(&'static str),
    /// That IVR answers no heartbeats any more.
    IgnoreHeartbeats,
}

/// Spellings of hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldWay {
    /// `a=sendonly`: hold music goes on.
    SendOnly,
    /// `a=inactive`.
    Inactive,
    /// `c=0.0.0.0`.
    NullAddress,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// BYE.
    Bye,
    /// `**`, and the gateway says BYE.
    StarStar,
    /// The phone loses power: nothing is sent or answered any more.
    Vanish,
}

impl WorldPlan {
    /// The world of a seed.
    pub fn draw(seed: u64) -> Self {
        let root = Rng::from_number(seed);
        let mut rng = root.fork("plan");
        let pin = digits(&mut rng, 9);
        let host_pin = digits(&mut rng, 9);
        let knobs = Knobs::draw(&mut root.fork("knobs"));
        let count = 1 + rng.below(4) as usize;
        let rough = rng.below(3) > 0;
        let phones = (0..count).map(|index| {
            let mut dice = root.fork(&format!("phone/{index}"));
            let mut link =
                || if rough { LinkPlan::rough(&mut dice) } else { LinkPlan::calm(&mut dice) };
            let (up, down) = (link(), link());
            let pins = (pin.as_str(), host_pin.as_str());
            (PhonePlan::draw(index, pins, &mut root.fork(&format!("script/{index}"))), up, down)
        });
        Self { seed, phones: phones.collect(), knobs, pin, host_pin, meeting: None }
    }

    /// What must never be seen in a log.
    pub fn secrets(&self) -> Vec<String> {
        let typed = self.phones.iter().flat_map(|(phone, ..)| phone.typed.iter());
        let typed = typed.map(|text| text.trim_end_matches('#').to_owned());
        let numbers = self.phones.iter().map(|(phone, ..)| phone.number.clone());
        typed.chain(numbers).chain([self.pin.clone(), self.host_pin.clone()]).collect()
    }
}

impl Knobs {
    fn draw(rng: &mut Rng) -> Self {
        let ms = Duration::from_millis;
        let rare = |rng: &mut Rng| rng.below(12) == 0;
        Self {
            calls_max: if rare(rng) { 1 } else { 100 },
            trunk_calls_max: if rare(rng) { 1 } else { 100 },
            port_pairs: if rare(rng) { 1 } else { 50 },
            port_rest: if rare(rng) { Duration::ZERO } else { ms(2_000) },
            media_timeout: if rare(rng) { ms(1_000) } else { ms(8_000) },
            call_length_max: if rare(rng) { ms(4_000) } else { ms(90_000) },
            t1: if rare(rng) { ms(100) } else { ms(500) },
            members_max: if rare(rng) { 1 } else { 50 },
            wait_for_host: rare(rng),
            host_wait_max: if rare(rng) { ms(1_000) } else { ms(20_000) },
            lookup: if rare(rng) { None } else { Some(ms(u64::from(rng.below(60)))) },
            bind_fails_permille: if rare(rng) { 500 } else { 0 },
            clock_step: rare(rng).then(|| {
                let seconds = i64::from(rng.below(7_200)) - 3_600;
                (ms(u64::from(rng.below(8_000))), seconds)
            }),
            session_expires: rare(rng).then_some(Duration::from_secs(90)),
            peers_codec_order: rng.below(2) == 0,
            dtmf: DtmfWay::Auto,
            manners: TrunkManners::default(),
        }
    }
}

impl PhonePlan {
    fn draw(index: usize, (pin, host_pin): (&str, &str), rng: &mut Rng) -> Self {
        let ms = |low: u64, high: u32, rng: &mut Rng| {
            Duration::from_millis(low + u64::from(rng.below(high)))
        };
        let right = if rng.below(4) == 0 { host_pin } else { pin };
        let mut typed = vec![format!("{right}#")];
        match rng.below(10) {
            0 => typed.insert(0, format!("{}#", digits(rng, 9))),
            1 => typed = (0..3).map(|_| format!("{}#", digits(rng, 9))).collect(),
            2 => typed.clear(),
            3 => typed = vec![format!("{}*{right}", digits(rng, 4))],
            _ => {}
        }
        let talk = ms(4_000, 9_000, rng);
        Self {
            index,
            starts: ms(20, 1_500, rng),
            number: format!("+62811{}", digits(rng, 8)),
            tone_hz: TONES[index % TONES.len()],
            law: if rng.below(2) == 0 { Law::Mu } else { Law::A },
            packet_time_ms: [10, 20, 20, 20, 30, 40, 60][rng.below(7) as usize],
            late_offer: rng.below(5) == 0,
            behind_nat: rng.below(3) == 0,
            keys: if rng.below(3) == 0 { KeyWay::Info } else { KeyWay::Events },
            typed,
            key_delay: ms(100, 1_500, rng),
            talk,
            actions: actions(talk, rng),
            ending: match rng.below(8) {
                0 => Ending::Vanish,
                1 | 2 => Ending::StarStar,
                _ => Ending::Bye,
            },
            acks_lost: match rng.below(20) {
                0 => u32::MAX,
                1..4 => 1 + rng.below(3),
                _ => 0,
            },
            cancel_after: (rng.below(12) == 0).then(|| ms(0, 400, rng)),
            callee: None,
        }
    }
}

fn actions(talk: Duration, rng: &mut Rng) -> Vec<(Duration, Action)> {
    let hold = [HoldWay::SendOnly, HoldWay::Inactive, HoldWay::NullAddress][rng.below(3) as usize];
    let early = talk / 3;
    let late = talk * 2 / 3;
    match rng.below(12) {
        0 | 1 => vec![(early, Action::Hold(hold)), (late, Action::Resume)],
        2 => vec![(early, Action::Hold(hold))],
        3 => vec![(early, Action::Move)],
        4 => vec![(early, Action::Refresh), (late, Action::Fax)],
        5 => vec![(early, Action::MuteKey), (late, Action::MuteKey)],
        _ => Vec::new(),
    }
}

/// Digits as PINs are: no leading zero, no two equal neighbours.
fn digits(rng: &mut Rng, count: usize) -> String {
    let mut text = String::new();
    let mut last = 0;
    for _ in 0..count {
        last = (last + 1 + rng.below(9)) % 10;
        if text.is_empty() && last == 0 {
            last = 7;
        }
        text.push(char::from(b'0' + last as u8));
    }
    text
}

/// In Hz; 8 kHz phones hear them all.
const TONES: [f64; 4] = [960.0, 1_141.5, 1_357.0, 1_614.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_plan_and_another_seed_another() {
        let text = |seed| format!("{:?}", WorldPlan::draw(seed));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }

    #[test]
    fn all_corners_are_drawn_sooner_or_later() {
        let plans: Vec<WorldPlan> = (0..300).map(WorldPlan::draw).collect();
        let phones: Vec<&PhonePlan> =
            plans.iter().flat_map(|plan| plan.phones.iter().map(|(phone, ..)| phone)).collect();
        assert!(plans.iter().any(|plan| plan.knobs.calls_max == 1));
        assert!(plans.iter().any(|plan| plan.knobs.lookup.is_none()));
        assert!(plans.iter().any(|plan| plan.knobs.clock_step.is_some()));
        assert!(phones.iter().any(|phone| phone.late_offer && phone.behind_nat));
        assert!(phones.iter().any(|phone| phone.acks_lost == u32::MAX));
        assert!(phones.iter().any(|phone| phone.ending == Ending::Vanish));
        assert!(phones.iter().any(|phone| phone.cancel_after.is_some()));
        assert!(phones.iter().any(|phone| phone.typed.is_empty()));
        assert!(phones.iter().any(|phone| phone.actions.len() == 2));
    }
}
