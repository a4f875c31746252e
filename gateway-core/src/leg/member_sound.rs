//! A phone as a member of a room's sound: its ear and, with the jitter buffer that plays it, its voice. The part that all
//! media halves share whose phone feeds the room itself.

use std::time::Instant;

use crate::leg::media::{ConferenceEvent, Uplink, UplinkQuality};
use crate::media::codec::CodecKind;
use crate::media::frame::SampleRate;
use crate::media::ingress::{EarKey, Ingress, Source, SourceKey, SourcePacket};

/// An ear and a voice.
pub struct MemberSound {
    ear: EarKey,
    key: SourceKey,
    rate: SampleRate,
    /// Here before attach and after detach, so that signalling allocates and frees it.
    source: Option<Box<Source>>,
}

impl MemberSound {
    /// A member whose phone may send any of `codecs` and hears at `rate`. `deaf_to` is the ear that never hears the voice:
    /// the member's own, or none for an echo. Keys are unique in the room.
    pub fn new(
        ear: EarKey,
        key: SourceKey,
        deaf_to: Option<EarKey>,
        codecs: &[CodecKind],
        rate: SampleRate,
    ) -> Self {
        Self { ear, key, rate, source: Some(Source::new(key, deaf_to, codecs)) }
    }

    /// Joins the room's sound, once: connected, or lost where the room has no place.
    pub fn attach(&mut self, now: Instant, ingress: &mut Ingress) -> Option<ConferenceEvent> {
        let source = self.source.take()?;
        let listens = ingress.add_ear(self.ear, self.rate);
        self.source = ingress.add_source(now, source).err();
        let joined = listens && self.source.is_none();
        Some(if joined { ConferenceEvent::Connected } else { ConferenceEvent::Lost })
    }

    /// Leaves the room's sound.
    pub fn detach(&mut self, ingress: &mut Ingress) {
        ingress.remove_ear(self.ear);
        self.source = ingress.remove_source(self.key);
    }

    /// Its ear.
    pub fn ear(&self) -> EarKey {
        self.ear
    }

    /// The rate it hears at.
    pub fn rate(&self) -> SampleRate {
        self.rate
    }

    /// Hears at `rate` from now on.
    pub fn set_rate(&mut self, rate: SampleRate, ingress: &mut Ingress) {
        if rate != self.rate {
            self.rate = rate;
            ingress.remove_ear(self.ear);
            ingress.add_ear(self.ear, rate);
        }
    }

    /// Its phone's speech.
    pub fn push(&mut self, now: Instant, speech: Uplink<'_>, ingress: &mut Ingress) {
        ingress.put(now, self.key, SourcePacket::from(speech));
    }

    /// Whether its voice is heard.
    pub fn set_muted(&mut self, muted: bool, ingress: &mut Ingress) {
        ingress.set_muted(self.key, muted);
    }

    /// What the jitter buffer that plays it knows.
    pub fn quality(&self, ingress: &Ingress) -> Option<UplinkQuality> {
        UplinkQuality::of(ingress, self.key)
    }
}
