//! What became of a world, for those who judge it: what everybody heard, saw and was told.

use std::time::Duration;

use gateway_core::base::ids::CallKey;
use gateway_core::gateway::Event;
use gateway_core::leg::counters::{BackendCounters, ConferenceCounters};
use gateway_core::leg::media::ToMedia;
use gateway_core::media::frame::SampleRate;
use sha2::Digest;

use super::{Outcome, World};
use crate::jitsi::bridge::Pair;
use crate::jitsi::web::{Seen, Web};
use crate::logs::LogCatcher;
use crate::phone::Phone;
use crate::phone::sound::{BLOCK_TIME, TONE_PEAK, peak_at};
use crate::plan::WorldPlan;
use crate::plan::meeting::Who;
use crate::watch::meeting::{Body, MeetingTally, Standings, judge};

/// What became of a meeting.
pub struct MeetingOutcome {
    /// Browsers, with what they heard and saw.
    pub webs: Vec<Web>,
    /// How everybody stood.
    pub standings: Standings,
    /// Packets of speech that the bridge sent, by receiver and speaker.
    pub sent: Vec<(Pair, u64)>,
    /// What was judged.
    pub tally: MeetingTally,
    /// What the gateway told its owner: when, of which phone.
    pub told: Vec<(Duration, usize, Told)>,
    /// What was said and played to which phone, and when.
    pub words: Vec<(Duration, usize, Words)>,
    /// What the legs counted where their sessions are made.
    pub legs: BackendCounters,
    /// What their halves counted on the shard.
    pub halves: ConferenceCounters,
}

impl std::fmt::Debug for MeetingOutcome {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("MeetingOutcome").field("tally", &self.tally).finish_non_exhaustive()
    }
}

/// What the gateway told of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is an occupant of the room.
    Occupant,
    /// It was answered.
    Answered,
    /// It is in the room.
    Joined,
    /// It is over, for that reason.
    Ended(&'static str),
}

/// Clips that were played one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// Their names, for example `en/alone`.
    pub names: Vec<String>,
    /// Their sound at 8 kHz: the first second of it.
    pub pcm: Vec<i16>,
}

impl World {
    /// Remembers what is played to a caller. Music is not words.
    pub(super) fn note_words(&mut self, command: &ToMedia) {
        let ToMedia::Play { call, playlist, .. } = command else { return };
        if self.meeting.is_none() {
            return;
        }
        let names = playlist.clips.iter().map(|clip| clip.name.clone()).collect();
        let clip = playlist.clips.first();
        let mut pcm = vec![0; 8_000];
        let length = clip.map_or(0, |clip| clip.read(SampleRate::Hz8000, 0, &mut pcm));
        pcm.truncate(length);
        self.words.push((self.elapsed, *call, Words { names, pcm }));
    }

    /// Remembers what the owner was told.
    pub(super) fn note_event(&mut self, event: &Event) {
        let (call, told): (CallKey, Told) = match event {
            Event::CallOccupant(call, _) => (*call, Told::Occupant),
            Event::CallAnswered(call) => (*call, Told::Answered),
            Event::CallJoined(call, _) => (*call, Told::Joined),
            Event::CallEnded(record) => (record.call, Told::Ended(record.reason.row().label)),
            _ => return,
        };
        if let Some(phone) = self.watch.phone_of(call) {
            self.told.push((self.elapsed, phone, told));
        }
    }

    pub(super) fn outcome(mut self, logs: &LogCatcher) -> Outcome {
        let phones: Vec<&Phone> = self.phones.iter().map(|seat| &seat.phone).collect();
        let mut tally = MeetingTally::default();
        match &self.meeting {
            None => self.watch.at_end(&phones),
            Some(meeting) => {
                self.watch.at_end_of_meeting();
                let bodies = Body::all(&phones, &meeting.webs);
                let (faults, judged) = judge(&bodies, &meeting.standings);
                // Browsers live in leaps when all phones have gone.
                let jumps = meeting.bridge.jumps().iter().filter(|it| !it.contains(" of web"));
                let jumps = jumps.cloned();
                faults.into_iter().chain(jumps).for_each(|fault| self.watch.fault(fault));
                tally = judged;
            }
        }
        self.watch.logs(&logs.lines(), &self.plan.secrets());
        let words = std::mem::take(&mut self.words).into_iter();
        let words =
            words.filter_map(|(at, call, words)| Some((at, self.watch.phone_of(call)?, words)));
        let words = words.collect();
        let (legs, halves) = (self.gateway.backend_counters(), self.shard.conference_counters());
        let counters = *self.gateway.counters();
        let (told, meeting) = (self.told, self.meeting);
        let meeting = meeting.map(|it| MeetingOutcome {
            sent: it.bridge.sent().iter().map(|(pair, count)| (pair.clone(), *count)).collect(),
            webs: it.webs,
            standings: it.standings,
            tally,
            told,
            words,
            legs,
            halves,
        });
        let (faults, tally) = self.watch.into_verdict();
        let keys = self.phones.iter().map(|seat| seat.phone.keys_heard().to_vec()).collect();
        let json = self.phones.iter().map(|seat| seat.phone.json_heard().to_vec()).collect();
        let phones = self.phones.into_iter().map(|seat| seat.phone);
        let (recordings, spells) = phones.map(|it| (it.recording, it.spells)).unzip();
        Outcome {
            seed: self.plan.seed,
            ladder: self.ladder,
            transcript: self.transcript.finalize().into(),
            faults,
            tally,
            counters,
            lasted: self.elapsed,
            recordings,
            keys,
            json,
            spells,
            meeting,
        }
    }
}

impl WorldPlan {
    /// Longest talk of a phone: how long a world may be busy without being stuck.
    pub(super) fn longest_talk(&self) -> Duration {
        self.phones.iter().map(|(phone, ..)| phone.starts + phone.talk).max().unwrap_or_default()
    }
}

impl Outcome {
    /// The meeting.
    ///
    /// # Panics
    /// Where the world was none.
    pub fn meeting(&self) -> &MeetingOutcome {
        self.meeting.as_ref().expect("this world is a meeting")
    }

    /// When somebody heard a tone: times of the blocks of 200 ms in which it was there (above -20 dB of a voice).
    pub fn heard(&self, ear: Who, hz: f64) -> Vec<Duration> {
        let is_there =
            |(at, block): (Duration, &[i16])| (peak_at(block, hz) > TONE_PEAK * 0.1).then_some(at);
        match ear {
            Who::Phone(index) => self.recordings[index].blocks().filter_map(is_there).collect(),
            Who::Web(index) => {
                self.meeting().webs[index].ear.blocks().filter_map(is_there).collect()
            }
        }
    }

    /// Share of the blocks from `from` to `to` (in seconds) in which somebody heard a tone: 0 to 1.
    pub fn share_heard(&self, ear: Who, hz: f64, from: f64, to: f64) -> f64 {
        let within = |at: &&Duration| (from..to).contains(&at.as_secs_f64());
        let blocks = (to - from) / BLOCK_TIME.as_secs_f64();
        self.heard(ear, hz).iter().filter(within).count() as f64 / blocks
    }

    /// The longest time between `from` and `to` (in seconds) without that tone.
    pub fn longest_gap(&self, ear: Who, hz: f64, from: f64, to: f64) -> f64 {
        let heard = self.heard(ear, hz).into_iter().map(|at| at.as_secs_f64());
        let mut last = from;
        let mut longest: f64 = 0.0;
        for at in heard.filter(|at| (from..to).contains(at)).chain([to]) {
            longest = longest.max(at - last);
            last = at + BLOCK_TIME.as_secs_f64();
        }
        longest
    }

    /// What a phone was told, by time.
    pub fn told(&self, phone: usize) -> Vec<(Duration, &Told)> {
        let all = self.meeting().told.iter().filter(|(_, index, _)| *index == phone);
        all.map(|(at, _, told)| (*at, told)).collect()
    }

    /// Labels below the names of phones as a browser saw them change: of one phone after the other, and when.
    pub fn labels(&self, web: usize) -> Vec<(Duration, String)> {
        let mut last = std::collections::BTreeMap::new();
        let mut labels = Vec::new();
        for (at, seen) in &self.meeting().webs[web].seen {
            let Seen::Here { nick, occupant, status } = seen else { continue };
            if occupant.is_phone && last.insert(nick, status) != Some(status) {
                labels.push((*at, status.clone()));
            }
        }
        labels
    }

    /// Words that were played to a phone, without their language.
    pub fn words(&self, phone: usize) -> Vec<(Duration, &str)> {
        let all = self.meeting().words.iter().filter(|(_, index, _)| *index == phone);
        let named = all.flat_map(|(at, _, words)| words.names.iter().map(move |name| (*at, name)));
        named
            .filter_map(|(at, name)| Some((at, name.split_once('/')?)))
            .filter(|(_, (folder, _))| *folder != "sounds")
            .map(|(at, (_, name))| (at, name))
            .collect()
    }

    /// How clearly words were in a phone's ear: the best correlation of their first second with what it recorded
    /// within a second and a half from when they were played. 1 is a perfect copy.
    pub fn clarity(&self, phone: usize, name: &str) -> f64 {
        let of_phone = self.meeting().words.iter().filter(|(_, index, _)| *index == phone);
        let is_it = |words: &Words| {
            words.names.first().is_some_and(|it| it.split('/').next_back() == Some(name))
        };
        let played = of_phone.filter(|(_, _, words)| is_it(words));
        played
            .map(|(at, _, words)| self.recordings[phone].correlation(*at, &words.pcm))
            .fold(0.0, f64::max)
    }
}
