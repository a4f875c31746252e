//! What one room says: a jitter buffer and decoder per source, one sum per ear without the ear's own voice.
//!
//! The shard owns one per room. Every 5 ms [`Ingress::tick`] takes 5 ms from each chosen source (the loudest
//! three) into short histories per rate; an ear's [`Ingress::pull`] reads the last 20 ms of the sum without
//! its own contribution, through a limiter. So an ear's phase costs no extra delay.
//! (Stub of the interface: the `audio` part replaces it; helpers may rely on these signatures.)

use std::time::Instant;

use super::frame::{Frame, SampleRate};
use crate::media::codec::CodecKind;

/// One who listens. Chosen by the leg: unique in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EarKey(pub u64);

/// One who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey(pub u64);

/// Everything about one source, built outside the shard: jitter buffer, decoders, histories.
#[derive(Debug)]
pub struct Source {}

/// A room's sound.
#[derive(Debug)]
pub struct Ingress {}

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

impl Source {
    /// A source that may send any of `codecs`; `owner` is the ear that must not hear it.
    pub fn new(key: SourceKey, owner: Option<EarKey>, codecs: &[CodecKind]) -> Box<Self> {
        let _ = (key, owner, codecs);
        Box::new(Self {})
    }
}

impl Ingress {
    /// An empty room; everything it will ever need for `sources_max` sources and ears is allocated here.
    pub fn new(sources_max: usize) -> Box<Self> {
        let _ = sources_max;
        Box::new(Self {})
    }

    /// Adds a source. Gives it back if there is no place.
    pub fn add_source(&mut self, now: Instant, source: Box<Source>) -> Result<(), Box<Source>> {
        let _ = (now, source);
        Ok(())
    }

    /// Takes a source out, to be dropped elsewhere.
    pub fn remove_source(&mut self, key: SourceKey) -> Option<Box<Source>> {
        let _ = key;
        None
    }

    /// The source, for its figures.
    pub fn source(&self, key: SourceKey) -> Option<&Source> {
        let _ = key;
        None
    }

    /// Adds an ear that pulls at `rate`. False if there is no place.
    pub fn add_ear(&mut self, ear: EarKey, rate: SampleRate) -> bool {
        let _ = (ear, rate);
        true
    }

    /// Takes an ear out.
    pub fn remove_ear(&mut self, ear: EarKey) {
        let _ = ear;
    }

    /// A packet of a source arrived.
    pub fn put(&mut self, now: Instant, source: SourceKey, packet: SourcePacket<'_>) {
        let _ = (now, source, packet);
    }

    /// Silences a source with a 5 ms fade, and forgets what it holds; or lets it speak again.
    pub fn set_muted(&mut self, source: SourceKey, muted: bool) {
        let _ = (source, muted);
    }

    /// 5 ms went by: takes 5 ms from each source that counts.
    pub fn tick(&mut self, now: Instant) {
        let _ = now;
    }

    /// The last 20 ms of everybody but the ear's own sources, at the frame's rate (the ear's).
    pub fn pull(&mut self, ear: EarKey, out: &mut Frame) -> Heard {
        let _ = (ear, out);
        Heard::Nobody
    }
}
