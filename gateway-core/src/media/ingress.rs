//! What one room says: a jitter buffer and decoders per source, one sum per ear without the ear's own voice.
//!
//! The shard owns one per room. Every 5 ms [`Ingress::tick`] takes 5 ms from each source into short histories per
//! rate; the loudest three are heard. An ear's [`Ingress::pull`] adds up the last 20 ms of those that are not its
//! own, through a limiter. So an ear's phase costs no extra delay.
//!
//! Phones send no audio level (RFC 6464), so every source is decoded before the choice. That is deliberate: a
//! member's decoder (G.711 0.1 us, Opus 27 us per frame) costs less than the encoder of his own downlink (Opus
//! 69 us), and guessing loudness from payload sizes fails for constant bit rates. A source with levels in its
//! packets (a bridge) will be chosen before decoding.
//!
//! Opus is decoded at the highest rate another ear has, and an Opus ear has the highest rate another source speaks at;
//! a change of that rate drops at most one decoded packet. Resampling happens once per source and rate, and only for
//! rates of other ears.

pub mod loudest;
mod source;

use std::time::Instant;

use self::loudest::Loudest;
pub use self::source::Source;
use super::codec::CodecKind;
use super::frame::{FRAME_SAMPLES_MAX, Frame, SampleRate};
use super::mixer::{self, ComfortNoise, Limiter};

/// One who listens. Chosen by the leg: unique in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EarKey(pub u64);

/// One who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey(pub u64);

/// An encoded packet of a source.
#[derive(Clone, Copy, Debug)]
pub struct SourcePacket<'a> {
    /// Codec of the payload; a change rebuilds nothing: a source holds a decoder per codec it was built for.
    pub codec: CodecKind,
    /// Extended sequence number.
    pub sequence: u64,
    /// Extended RTP timestamp, in the codec's RTP clock.
    pub timestamp: u64,
    /// First packet of a talkspurt.
    pub marker: bool,
    /// Never empty.
    pub payload: &'a [u8],
}

/// What an ear got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nobody speaks: the frame holds comfort noise at -62 dBov.
    Nobody,
    /// The frame holds voices.
    Voices,
}

/// A room's sound.
#[derive(Debug)]
pub struct Ingress {
    /// Sorted by key; never grows past its capacity.
    sources: Vec<Box<Source>>,
    /// Sorted by key; never grows past its capacity.
    ears: Vec<Ear>,
    places: usize,
    /// Ears per rate.
    ears_by_rate: [u16; 3],
    loudest: Loudest,
    /// Ticks since the room was born.
    ticks: u64,
    sum: Box<[i32; FRAME_SAMPLES_MAX]>,
}

#[derive(Clone, Copy, Debug)]
struct Ear {
    key: EarKey,
    rate: SampleRate,
    limiter: Limiter,
    noise: ComfortNoise,
    /// Ticks of the room at its last pull.
    pulled_at: u64,
}

impl Ingress {
    /// An empty room; everything it will ever need for `sources_max` sources and ears is allocated here.
    pub fn new(sources_max: usize) -> Box<Self> {
        Box::new(Self {
            sources: Vec::with_capacity(sources_max),
            ears: Vec::with_capacity(sources_max),
            places: sources_max,
            ears_by_rate: [0; 3],
            loudest: Loudest::default(),
            ticks: 0,
            sum: Box::new([0; FRAME_SAMPLES_MAX]),
        })
    }

    /// Adds a source. Gives it back if there is no place or its key is taken.
    pub fn add_source(&mut self, now: Instant, mut source: Box<Source>) -> Result<(), Box<Source>> {
        let _ = now;
        if self.sources.len() >= self.places {
            return Err(source);
        }
        let Err(place) = self.source_place(source.key()) else { return Err(source) };
        source.restart();
        self.tell_rates(&mut source);
        self.sources.insert(place, source);
        Ok(())
    }

    /// Takes a source out, to be dropped elsewhere. It is not heard from now on.
    pub fn remove_source(&mut self, key: SourceKey) -> Option<Box<Source>> {
        let place = self.source_place(key).ok()?;
        self.loudest.forget(key);
        Some(self.sources.remove(place))
    }

    /// The source, for its figures.
    pub fn source(&self, key: SourceKey) -> Option<&Source> {
        let place = self.source_place(key).ok()?;
        self.sources.get(place).map(|source| &**source)
    }

    /// Adds an ear that pulls at `rate`. False if there is no place or its key is taken.
    pub fn add_ear(&mut self, ear: EarKey, rate: SampleRate) -> bool {
        if self.ears.len() >= self.places {
            return false;
        }
        let Err(place) = self.ear_place(ear) else { return false };
        let noise = ComfortNoise::new(ear.0 as u32 ^ 0x5EED);
        let limiter = Limiter::default();
        self.ears.insert(place, Ear { key: ear, rate, limiter, noise, pulled_at: self.ticks });
        self.ears_by_rate[rate as usize] += 1;
        self.tell_all_rates();
        true
    }

    /// Takes an ear out.
    pub fn remove_ear(&mut self, ear: EarKey) {
        if let Ok(place) = self.ear_place(ear) {
            let rate = self.ears.remove(place).rate;
            self.ears_by_rate[rate as usize] -= 1;
            self.tell_all_rates();
        }
    }

    /// A packet of a source arrived.
    pub fn put(&mut self, now: Instant, source: SourceKey, packet: SourcePacket<'_>) {
        if let Ok(place) = self.source_place(source) {
            self.sources[place].put(now, packet);
        }
    }

    /// Silences a source with a 5 ms fade, and forgets what it holds; or lets it speak again.
    pub fn set_muted(&mut self, source: SourceKey, muted: bool) {
        if let Ok(place) = self.source_place(source) {
            self.sources[place].set_muted(muted, self.ticks);
        }
    }

    /// 5 ms went by: takes 5 ms from each source, chooses the loudest three, keeps what the ears will pull.
    pub fn tick(&mut self, now: Instant) {
        self.ticks += 1;
        for source in &mut self.sources {
            source.take(now);
            self.loudest.consider(source.key(), source.loudness());
        }
        let chosen = self.loudest.choose();
        for source in &mut self.sources {
            let heard = chosen.contains(&Some(source.key()));
            source.keep(self.ticks, heard);
        }
    }

    /// The last 20 ms of everybody but the ear's own sources, at the frame's rate (the ear's).
    pub fn pull(&mut self, ear: EarKey, out: &mut Frame) -> Heard {
        let rate = out.rate();
        let Ok(place) = self.ear_place(ear) else {
            out.samples_mut().fill(0);
            return Heard::Nobody;
        };
        let ear = &mut self.ears[place];
        debug_assert_eq!(ear.rate, rate, "an ear pulls at the rate it was added with");
        let sum = &mut self.sum[..rate.frame_samples()];
        sum.fill(0);
        let mut voices = false;
        for source in &self.sources {
            if source.owner() != Some(ear.key) {
                voices |= source.add_to(sum, rate, self.ticks, ear.pulled_at);
            }
        }
        ear.pulled_at = self.ticks;
        // Digital silence of a phone that sends nothing but zeros is nobody, too.
        if voices && sum.iter().any(|sample| *sample != 0) {
            ear.limiter.apply(rate, sum, out.samples_mut());
            return Heard::Voices;
        }
        ear.noise.fill(out.samples_mut());
        Heard::Nobody
    }

    /// The highest rate at which anybody but the ear's own sources speaks; `None` while nobody has.
    pub fn heard_rate(&self, ear: EarKey) -> Option<SampleRate> {
        let others = self.sources.iter().filter(|source| source.owner() != Some(ear));
        others.filter_map(|source| source.spoken_rate()).max()
    }

    /// How many sources there are.
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    fn source_place(&self, key: SourceKey) -> Result<usize, usize> {
        self.sources.binary_search_by_key(&key, |source| source.key())
    }

    fn ear_place(&self, key: EarKey) -> Result<usize, usize> {
        self.ears.binary_search_by_key(&key, |ear| ear.key)
    }

    fn tell_all_rates(&mut self) {
        let mut sources = std::mem::take(&mut self.sources);
        for source in &mut sources {
            self.tell_rates(source);
        }
        self.sources = sources;
    }

    /// Tells a source at which rates others listen.
    fn tell_rates(&self, source: &mut Source) {
        let own = source
            .owner()
            .and_then(|owner| self.ear_place(owner).ok())
            .map(|place| self.ears[place].rate);
        let wanted = SampleRate::ALL.map(|rate| {
            let ears = self.ears_by_rate[rate as usize];
            ears > u16::from(own == Some(rate))
        });
        source.set_rates(wanted, self.ticks);
    }
}

/// Adds 5 ms with a gain that moves evenly from one value to another.
fn add_faded(sum: &mut [i32], pcm: &[i16], from: f32, to: f32) {
    if from == 1.0 && to == 1.0 {
        return mixer::add(sum, pcm);
    }
    let step = (to - from) / pcm.len().max(1) as f32;
    let mut gain = from;
    for (sum, sample) in sum.iter_mut().zip(pcm) {
        gain += step;
        *sum += (f32::from(*sample) * gain) as i32;
    }
}

#[cfg(test)]
mod tests;
