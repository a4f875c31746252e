//! The judge of a meeting: who had to hear whom, seen from the deployment alone.
//!
//! A *standing* is what Prosody, Jicofo and the bridge know of somebody: in which room, with a session and a path, or
//! muted. Whoever stands well long enough must hear whoever stands well and speaks; whoever is muted is heard by nobody;
//! nobody ever hears himself; and no caller hears nothing at all for long, whatever happened.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Streak;
use crate::jitsi::web::Web;
use crate::phone::sound::{BLOCK_TIME, TONE_PEAK, peak_at};
use crate::phone::{Phone, Spell};
use crate::plan::meeting::Who;

/// How somebody stands, as the deployment sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Address of his room.
    pub room: Option<String>,
    /// His nick.
    pub nick: String,
    /// He has a session, and packets pass.
    pub is_up: bool,
    /// His microphone is off, or what he says is kept back.
    pub is_muted: bool,
}

/// Everybody's standing over time.
#[derive(Clone, Debug, Default)]
pub struct Standings(BTreeMap<Who, Vec<(Duration, Standing)>>);

impl Standings {
    /// How somebody stands now.
    pub fn note(&mut self, at: Duration, who: Who, standing: Standing) {
        let all = self.0.entry(who).or_default();
        if all.last().is_none_or(|(_, last)| *last != standing) {
            all.push((at, standing));
        }
    }

    /// How he stood all the time from `from` to `to`; `None`: it changed.
    fn throughout(&self, who: Who, from: Duration, to: Duration) -> Option<&Standing> {
        let all = self.0.get(&who)?;
        let place = all.partition_point(|(at, _)| *at <= from).checked_sub(1)?;
        let (_, standing) = &all[place];
        all.get(place + 1).is_none_or(|(at, _)| *at >= to).then_some(standing)
    }

    /// How he stood at that time.
    pub fn at(&self, who: Who, at: Duration) -> Option<&Standing> {
        self.throughout(who, at, at)
    }

    /// Whether anything of his changed between these times.
    fn touches(
        &self,
        who: Who,
        from: Duration,
        to: Duration,
        is_so: impl Fn(&Standing) -> bool,
    ) -> bool {
        let Some(all) = self.0.get(&who) else { return false };
        let first = all.partition_point(|(at, _)| *at <= from).saturating_sub(1);
        all[first..].iter().take_while(|(at, _)| *at < to).any(|(_, it)| is_so(it))
    }
}

/// What was judged of a meeting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeetingTally {
    /// Blocks of 200 ms in which a phone or browser had to hear somebody.
    pub blocks_heard: u32,
    /// In which it must not, because he was muted.
    pub blocks_silent: u32,
    /// In which somebody must not hear himself.
    pub blocks_self: u32,
    /// In which a caller must not hear nothing.
    pub blocks_any: u32,
}

impl MeetingTally {
    /// Adds another run.
    pub fn add(&mut self, other: &Self) {
        self.blocks_heard += other.blocks_heard;
        self.blocks_silent += other.blocks_silent;
        self.blocks_self += other.blocks_self;
        self.blocks_any += other.blocks_any;
    }
}

/// A participant with an ear and a tone.
pub struct Body<'a> {
    who: Who,
    hz: f64,
    phone: Option<&'a Phone>,
    web: Option<&'a Web>,
}

impl<'a> Body<'a> {
    /// All of a world.
    pub fn all(phones: &[&'a Phone], webs: &'a [Web]) -> Vec<Self> {
        let phones = phones.iter().enumerate().map(|(index, phone)| Self {
            who: Who::Phone(index),
            hz: phone.plan.tone_hz,
            phone: Some(*phone),
            web: None,
        });
        let webs = webs.iter().enumerate().map(|(index, web)| Self {
            who: Who::Web(index),
            hz: f64::from(web.hz),
            phone: None,
            web: Some(web),
        });
        phones.chain(webs).collect()
    }

    /// What it heard, by 200 ms.
    pub fn blocks(&self) -> Box<dyn Iterator<Item = (Duration, &'a [i16])> + 'a> {
        match (self.phone, self.web) {
            (Some(phone), _) => Box::new(phone.recording.blocks()),
            (None, Some(web)) => Box::new(web.ear.blocks()),
            (None, None) => Box::new(std::iter::empty()),
        }
    }

    /// A phone on the line whose owner does nothing to it; a browser always.
    fn is_calm(&self, from: Duration, to: Duration) -> bool {
        let Some(phone) = self.phone else { return true };
        let within = phone.spells.iter().any(|(kind, began, ended)| {
            *kind == Spell::Talking && *began <= from && ended.is_none_or(|ended| ended >= to)
        });
        let is_disturbed = phone.spells.iter().any(|(kind, began, ended)| {
            matches!(kind, Spell::Held | Spell::Disturbed)
                && *began < to
                && ended.is_none_or(|ended| ended > from)
        });
        // Keys of `*6` are no speech.
        let presses = phone.spells.iter().any(|(kind, began, ended)| {
            let near = |at: Duration| at < to && at + KEYS > from;
            *kind == Spell::Muted && (near(*began) || ended.is_some_and(near))
        });
        within && !is_disturbed && !presses
    }
}

/// Judges a meeting: faults as sentences.
pub fn judge(bodies: &[Body<'_>], standings: &Standings) -> (Vec<String>, MeetingTally) {
    let mut faults = Vec::new();
    let mut tally = MeetingTally::default();
    for ear in bodies {
        for talker in bodies {
            let mut wrong = Streak::default();
            for (at, block) in ear.blocks() {
                let expected = expect(bodies, standings, ear, talker, at);
                let peak = peak_at(block, talker.hz);
                let fault = match expected {
                    Expect::Anything => false,
                    Expect::Tone => {
                        tally.blocks_heard += 1;
                        peak < TONE_PEAK * super::HEARD
                    }
                    Expect::Silence => {
                        tally.blocks_silent += 1;
                        peak > TONE_PEAK * super::OVER_MUSIC
                    }
                    Expect::NotSelf => {
                        tally.blocks_self += 1;
                        peak > TONE_PEAK * super::OVER_MUSIC
                    }
                };
                if let Some(began) = wrong.next(at, fault) {
                    let (ear, mouth) = (ear.who, talker.who);
                    faults.push(format!(
                        "{ear:?} from {began:?}: expected {expected:?} of {mouth:?}, peak {peak:.0}"
                    ));
                }
            }
        }
    }
    for body in bodies {
        faults.extend(longest_nothing(bodies, standings, body, &mut tally));
    }
    (faults, tally)
}

/// What an ear must find in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Anything,
    Tone,
    Silence,
    NotSelf,
}

fn expect(
    bodies: &[Body<'_>],
    standings: &Standings,
    ear: &Body<'_>,
    talker: &Body<'_>,
    at: Duration,
) -> Expect {
    if ear.who == talker.who {
        return Expect::NotSelf;
    }
    let (from, to) = (at.saturating_sub(SETTLE), at + BLOCK_TIME + AHEAD);
    let (Some(hears), Some(speaks)) =
        (standings.throughout(ear.who, from, to), standings.throughout(talker.who, from, to))
    else {
        return Expect::Anything;
    };
    if speaks.room.is_some() && speaks.is_muted {
        return Expect::Silence;
    }
    let room = hears.room.as_ref();
    let are_up = room.is_some() && room == speaks.room.as_ref() && hears.is_up && speaks.is_up;
    // Phones of a room listen through one of them: when his path breaks, that is noticed after 5 s.
    let is_lost = |body: &Body<'_>| {
        let is_down = |it: &Standing| it.room.as_ref() == room && !it.is_up;
        let since = from.saturating_sub(NOTICED);
        body.who != ear.who && standings.touches(body.who, since, to, is_down)
    };
    if ear.phone.is_some() && bodies.iter().any(|it| it.phone.is_some() && is_lost(it)) {
        return Expect::Anything;
    }
    // In a crowd of more than three nobody in particular must be heard.
    let in_room = |body: &&Body<'_>| {
        standings.touches(body.who, from, to, |it| it.room.as_ref() == room && !it.is_muted)
    };
    let crowd = bodies.iter().filter(in_room).count();
    match are_up && crowd <= 3 && ear.is_calm(from, to) && talker.is_calm(from, to) {
        true => Expect::Tone,
        false => Expect::Anything,
    }
}

/// A caller who hears nothing for long believes that the line is dead.
fn longest_nothing(
    bodies: &[Body<'_>],
    standings: &Standings,
    ear: &Body<'_>,
    tally: &mut MeetingTally,
) -> Option<String> {
    ear.phone?;
    let mut since = None;
    for (at, block) in ear.blocks() {
        let (from, to) = (at, at + BLOCK_TIME);
        let room = standings.at(ear.who, at).and_then(|it| it.room.clone());
        // Where nobody speaks there is nothing to be heard.
        let others = bodies.iter().filter(|it| it.who != ear.who);
        let (mut all, mut speaking) = (0, 0);
        for other in others {
            let is_here = |it: &Standing| it.room.is_some() && it.room == room;
            all += usize::from(standings.touches(other.who, from, to, is_here));
            let speaks = |it: &Standing| is_here(it) && it.is_up && !it.is_muted;
            speaking += usize::from(standings.touches(other.who, from, to, speaks));
        }
        let may_be_silent = all > 0 && speaking == 0;
        let power = block.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>() / block.len() as f64;
        if may_be_silent || power.sqrt() > SOMETHING || !ear.is_calm(from, to) {
            since = None;
            continue;
        }
        tally.blocks_any += 1;
        let began = *since.get_or_insert(at);
        if at >= began + NOTHING_MAX {
            return Some(format!("{:?} hears nothing at all from {began:?} on", ear.who));
        }
    }
    None
}

/// Joins, words and jitter buffers need this long.
const SETTLE: Duration = Duration::from_millis(3_000);
/// From a broken path to another listener's sound.
const NOTICED: Duration = Duration::from_secs(6);
const AHEAD: Duration = Duration::from_millis(500);
/// Two keys with their pauses.
const KEYS: Duration = Duration::from_millis(1_500);
/// Above our own comfort noise (-62 dBov).
const SOMETHING: f64 = 80.0;
/// Longer than a question's patience, and than the pause between the words of a recovery.
const NOTHING_MAX: Duration = Duration::from_secs(20);
