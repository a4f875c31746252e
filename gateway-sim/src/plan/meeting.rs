//! A meeting in a Jitsi room: who comes by web, and what happens to whom and when.

use std::time::Duration;

use gateway_core::base::rng::Rng;
use gateway_core::call::TrunkManners;
use gateway_core::leg::backend::EmptyRoom;
use gateway_core::leg::trunk::signal::DtmfWay;

use super::{Action, Callee, Ending, KeyWay, Knobs, PhonePlan, TONES, WorldPlan, digits};
use crate::jitsi::RecordingMode;
use crate::link::LinkPlan;
use crate::phone::sound::Law;

/// One meeting.
#[derive(Clone, Debug, Default)]
pub struct MeetingPlan {
    /// People in browsers.
    pub webs: Vec<WebPlan>,
    /// What happens, in any order.
    pub happenings: Vec<(Duration, Happening)>,
    /// Sound between gateway and bridge: there, back.
    pub links: (LinkPlan, LinkPlan),
    /// A lost conference is given up after this.
    pub rejoin_max: Option<Duration>,
    /// Its number leads into the room without a PIN.
    pub is_direct: bool,
    /// What callers into the empty room hear.
    pub empty_room: EmptyRoom,
    /// So many people take part, whoever comes later is sent to a visitor node; phones follow.
    pub visitors_above: Option<usize>,
}

/// Somebody in a browser.
#[derive(Clone, Debug)]
pub struct WebPlan {
    /// When he comes.
    pub starts: Duration,
    /// When he goes; `None`: he stays.
    pub leaves: Option<Duration>,
    /// His tone, in hertz.
    pub hz: u32,
}

/// A participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The phone of that number.
    Phone(usize),
    /// The browser of that number.
    Web(usize),
}

/// What happens in or to a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A moderator mutes somebody.
    Mute(Who),
    /// A browser's user switches his own microphone off or on.
    MuteOneself(usize, bool),
    /// Microphones are kept off, or no longer.
    AvModeration(bool),
    /// Somebody may speak all the same.
    Approve(Who),
    /// Who joins from now on starts muted.
    StartMuted(bool),
    /// Strangers must knock, or need not.
    Lobby(bool),
    /// Whoever comes waits in the lobby until the host is there (true), who opens it (false).
    HostLobby(bool),
    /// Somebody who knocks is let in.
    Admit(Who),
    /// Or not.
    Deny(Who),
    /// The room has a password from now on.
    Password(Option<&'static str>),
    /// So many people at most.
    PeopleMax(Option<usize>),
    /// The room waits for somebody who is no phone.
    WantHost,
    /// Somebody is thrown out.
    Kick(Who),
    /// A browser's user presses keys on the dial pad.
    Press(usize, &'static str),
    /// A browser (the first moderates) asks a phone's leg to hang up.
    HangUp(usize, usize),
    /// The meeting ends for all.
    EndForAll,
    /// A recording or live stream begins or ends.
    Recording(RecordingMode, bool),
    /// Somebody is taken into the breakout room.
    Breakout(Who),
    /// The breakout room is closed.
    CloseBreakout,
    /// The bridge dies; Jicofo notices after a while and invites everybody to another.
    BridgeDies,
    /// It dies and Jicofo never notices: whoever asks for a new session gets another bridge.
    BridgeDiesUnnoticed,
    /// Somebody is moved to another bridge.
    Move(Who),
    /// Somebody's session gets another transport.
    ReplaceTransport(Who),
    /// The path between somebody and the bridge breaks for so long; from another port it works.
    PathBreaks(Who, Duration),
    /// Jicofo stops.
    FocusStops,
    /// It is back and remembers everything.
    FocusResumes,
    /// It is back and remembers nothing.
    FocusForgets,
    /// A phone's stream is cut for so long, and goes on (true) or begins anew.
    StreamBreaks(usize, Duration, bool),
    /// Prosody stops for so long: all streams and rooms are gone.
    ServerRestarts(Duration),
    /// The focus ends somebody's session for that reason.
    EndSession(Who, &'static str),
    /// A moderator lets a visitor speak who raised his hand, or does not.
    Promote(Who, bool),
    /// A moderator makes somebody a visitor.
    Demote(Who),
    /// Somebody who is not the focus of a phone's room says something that only it may say, or it says nonsense.
    Lie(usize, Lie),
}

/// Lies told to a phone's leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// The focus ends a session that never was.
    ForeignSession,
    /// The focus of another room offers a session.
    OtherRoom,
    /// Another participant offers a session.
    Stranger,
    /// Another participant mutes.
    StrangersMute,
    /// A session without sound is offered by the focus of another room, and a message claims to be a component.
    FalseComponent,
    /// An invitation into a room of another server.
    ForeignRoom,
}

impl Lie {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::ForeignSession,
        Self::OtherRoom,
        Self::Stranger,
        Self::StrangersMute,
        Self::FalseComponent,
        Self::ForeignRoom,
    ];
}

impl WorldPlan {
    /// A meeting without any accident: so many phones, which call one second after the other, speak and hang up after
    /// `talk`, and people in browsers who come at those times.
    pub fn calm_meeting(phones: usize, talk: Duration, webs: &[u64]) -> Self {
        let root = Rng::from_number(1);
        let pin = digits(&mut root.fork("pin"), 9);
        let host_pin = digits(&mut root.fork("host pin"), 9);
        let phone = |index: usize| {
            let link = LinkPlan { delay: Duration::from_millis(20), ..LinkPlan::default() };
            (PhonePlan::calm(index, &pin, talk), link, link)
        };
        let meeting = MeetingPlan { webs: webs_at(webs), ..MeetingPlan::default() };
        Self {
            seed: 1,
            phones: (0..phones).map(phone).collect(),
            knobs: Knobs::calm(),
            pin: pin.clone(),
            host_pin,
            meeting: Some(meeting),
        }
    }

    /// The same with these happenings, by millisecond.
    pub fn with(mut self, happenings: &[(u64, Happening)]) -> Self {
        if let Some(meeting) = &mut self.meeting {
            let happenings = happenings.iter().cloned();
            let timed = happenings.map(|(ms, happening)| (Duration::from_millis(ms), happening));
            meeting.happenings.extend(timed);
        }
        self
    }

    /// The same with a phone that is called at `starts` instead of calling.
    pub fn calling(mut self, phone: usize, starts: Duration, callee: Callee) -> Self {
        let plan = &mut self.phones[phone].0;
        plan.callee = Some(callee);
        plan.starts = starts;
        plan.typed.clear();
        self
    }

    /// The same with this done by a phone, so long after its last key of the PIN.
    pub fn doing(mut self, phone: usize, actions: &[(u64, Action)]) -> Self {
        let actions = actions.iter();
        let timed = actions.map(|(ms, action)| (Duration::from_millis(*ms), *action));
        self.phones[phone].0.actions.extend(timed);
        self
    }
}

impl WorldPlan {
    /// The meeting of a seed: phones and browsers that come and go, moderators, keys, losses, lies.
    pub fn draw_meeting(seed: u64) -> Self {
        let root = Rng::from_number(seed);
        let mut rng = root.fork("meeting");
        let pin = digits(&mut root.fork("pin"), 9);
        let host_pin = digits(&mut root.fork("host pin"), 9);
        let mut knobs = Knobs::calm();
        if rng.below(10) == 0 {
            knobs.bind_fails_permille = 300;
        }
        let rough = rng.below(2) == 0;
        let count = 1 + rng.below(3) as usize;
        let phones = (0..count).map(|index| {
            let mut dice = root.fork(&format!("phone/{index}"));
            let mut link =
                || if rough { LinkPlan::rough(&mut dice) } else { LinkPlan::calm(&mut dice) };
            let (up, down) = (link(), link());
            (PhonePlan::draw_for_meeting(index, &pin, &mut dice), up, down)
        });
        let phones: Vec<_> = phones.collect();
        let ends = phones.iter().map(|(phone, ..)| phone.starts + phone.talk).max();
        let lasts = ends.unwrap_or_default().as_millis() as u32 + 4_000;
        let webs = (0..1 + rng.below(2) as usize).map(|index| WebPlan {
            starts: Duration::from_millis(u64::from(rng.below(8_000))),
            leaves: (rng.below(4) == 0)
                .then(|| Duration::from_millis(10_000 + u64::from(rng.below(lasts)))),
            hz: WEB_TONES[index],
        });
        let webs: Vec<WebPlan> = webs.collect();
        let mut link = || if rough { LinkPlan::rough(&mut rng) } else { LinkPlan::calm(&mut rng) };
        let links = (link(), link());
        let mut happenings = Vec::new();
        for _ in 0..1 + rng.below(5) {
            let at = Duration::from_millis(u64::from(rng.below(lasts)));
            happenings.extend(accident(at, count, webs.len(), &mut rng));
        }
        let rejoin_max = (rng.below(6) == 0).then_some(Duration::from_secs(15));
        let plan = MeetingPlan { webs, happenings, links, rejoin_max, ..MeetingPlan::default() };
        let meeting = Some(plan);
        Self { seed, phones, knobs, pin, host_pin, meeting }
    }
}

impl PhonePlan {
    fn draw_for_meeting(index: usize, pin: &str, rng: &mut Rng) -> Self {
        let ms = |low: u64, high: u32, rng: &mut Rng| {
            Duration::from_millis(low + u64::from(rng.below(high)))
        };
        let talk = ms(12_000, 40_000, rng);
        let mut actions = Vec::new();
        for _ in 0..rng.below(3) {
            let action = match rng.below(6) {
                0 | 1 => Action::MuteKey,
                2 => Action::Type("*9"),
                3 => Action::Type("2468#"),
                4 => Action::Type("*#"),
                _ => Action::Type("*0"),
            };
            actions.push((ms(1_000, talk.as_millis() as u32, rng), action));
        }
        actions.sort_by_key(|(at, _)| *at);
        Self {
            starts: ms(20, 6_000, rng),
            law: if rng.below(2) == 0 { Law::Mu } else { Law::A },
            packet_time_ms: [10, 20, 20, 20, 30, 40][rng.below(6) as usize],
            behind_nat: rng.below(3) == 0,
            keys: if rng.below(3) == 0 { KeyWay::Info } else { KeyWay::Events },
            actions,
            ending: match rng.below(8) {
                0 => Ending::Vanish,
                1 => Ending::StarStar,
                _ => Ending::Bye,
            },
            ..Self::calm(index, pin, talk)
        }
    }
}

/// One thing that happens, with what undoes it later where somebody would undo it.
fn accident(at: Duration, phones: usize, webs: usize, rng: &mut Rng) -> Vec<(Duration, Happening)> {
    let phone = rng.below(phones as u32) as usize;
    let web = rng.below(webs as u32) as usize;
    let who = Who::Phone(phone);
    let later = at + Duration::from_millis(500 + u64::from(rng.below(12_000)));
    let lasts = Duration::from_millis(200 + u64::from(rng.below(25_000)));
    let one = |happening| vec![(at, happening)];
    let two = |first, then| vec![(at, first), (later, then)];
    match rng.below(26) {
        0 => one(Happening::Mute(who)),
        1 => two(Happening::MuteOneself(web, true), Happening::MuteOneself(web, false)),
        2 => two(Happening::AvModeration(true), Happening::AvModeration(false)),
        3 => two(Happening::AvModeration(true), Happening::Approve(who)),
        4 => two(Happening::StartMuted(true), Happening::StartMuted(false)),
        5 => two(Happening::Lobby(true), Happening::Admit(who)),
        6 => two(Happening::Lobby(true), Happening::Deny(who)),
        7 => two(Happening::Password(Some("2468")), Happening::Password(None)),
        8 => two(Happening::PeopleMax(Some(2)), Happening::PeopleMax(None)),
        9 => one(Happening::Kick(who)),
        10 => one(Happening::EndForAll),
        11 => {
            let mode = if rng.below(2) == 0 { RecordingMode::File } else { RecordingMode::Stream };
            two(Happening::Recording(mode, true), Happening::Recording(mode, false))
        }
        12 => two(Happening::Breakout(who), Happening::CloseBreakout),
        13 | 14 => one(Happening::BridgeDies),
        15 => one(Happening::Move(who)),
        16 => one(Happening::Move(Who::Web(web))),
        17 => one(Happening::ReplaceTransport(who)),
        18 => one(Happening::PathBreaks(who, lasts)),
        19 => two(Happening::FocusStops, Happening::FocusResumes),
        20 => two(Happening::FocusStops, Happening::FocusForgets),
        21 | 22 => one(Happening::StreamBreaks(phone, lasts, rng.below(2) == 0)),
        23 => one(Happening::ServerRestarts(lasts / 2)),
        24 => {
            let reason = ["success", "expired", "connectivity-error"][rng.below(3) as usize];
            one(Happening::EndSession(who, reason))
        }
        _ => {
            let lie = Lie::ALL[rng.below(Lie::ALL.len() as u32) as usize];
            one(Happening::Lie(phone, lie))
        }
    }
}

pub(super) fn webs_at(seconds: &[u64]) -> Vec<WebPlan> {
    let web = |(index, second): (usize, &u64)| WebPlan {
        starts: Duration::from_secs(*second),
        leaves: None,
        hz: WEB_TONES[index % WEB_TONES.len()],
    };
    seconds.iter().enumerate().map(web).collect()
}

impl Knobs {
    /// Nothing at its end.
    pub fn calm() -> Self {
        Self {
            calls_max: 100,
            trunk_calls_max: 100,
            port_pairs: 50,
            port_rest: Duration::from_secs(2),
            media_timeout: Duration::from_secs(8),
            call_length_max: Duration::from_secs(900),
            t1: Duration::from_millis(500),
            members_max: 50,
            wait_for_host: false,
            host_wait_max: Duration::from_secs(20),
            lookup: Some(Duration::from_millis(20)),
            bind_fails_permille: 0,
            clock_step: None,
            session_expires: None,
            peers_codec_order: false,
            dtmf: DtmfWay::Auto,
            manners: TrunkManners::default(),
        }
    }
}

impl PhonePlan {
    /// A phone that calls, types the PIN, speaks for `talk` and hangs up.
    pub fn calm(index: usize, pin: &str, talk: Duration) -> Self {
        Self {
            index,
            starts: Duration::from_secs(index as u64),
            number: format!("+62811555{index:04}"),
            tone_hz: TONES[index % TONES.len()],
            law: if index.is_multiple_of(2) { Law::A } else { Law::Mu },
            packet_time_ms: 20,
            late_offer: false,
            behind_nat: false,
            keys: KeyWay::Events,
            typed: vec![format!("{pin}#")],
            key_delay: Duration::from_millis(300),
            talk,
            actions: Vec::new(),
            ending: Ending::Bye,
            acks_lost: 0,
            cancel_after: None,
            callee: None,
        }
    }
}

/// Tones of browsers, in Hz: between notes, as those of phones.
const WEB_TONES: [u32; 3] = [1_920, 2_283, 2_715];
