//! The media half of the loopback: the phone's packets feed a source that nobody owns, so its own ear hears it.

use std::time::Instant;

use crate::leg::media::{ConferenceEvent, ConferenceMedia, Uplink, UplinkQuality};
use crate::leg::member_sound::MemberSound;
use crate::media::codec::CodecKind;
use crate::media::frame::SampleRate;
use crate::media::ingress::{EarKey, Ingress, SourceKey};

/// The echo of one phone. Its room is its own.
pub struct LoopbackMedia {
    sound: MemberSound,
    event: Option<ConferenceEvent>,
}

impl LoopbackMedia {
    /// An echo for a phone that may send `codecs` and hears at `rate`.
    pub fn new(codecs: &[CodecKind], rate: SampleRate) -> Box<Self> {
        let sound = MemberSound::new(EarKey(1), SourceKey(1), None, codecs, rate);
        Box::new(Self { sound, event: None })
    }
}

impl ConferenceMedia for LoopbackMedia {
    fn attach(&mut self, now: Instant, ingress: &mut Ingress) {
        self.event = self.sound.attach(now, ingress);
    }

    fn detach(&mut self, ingress: &mut Ingress) {
        self.sound.detach(ingress);
    }

    fn ear(&self) -> EarKey {
        self.sound.ear()
    }

    fn set_rate(&mut self, rate: SampleRate, ingress: &mut Ingress) {
        self.sound.set_rate(rate, ingress);
    }

    fn push_uplink(&mut self, now: Instant, speech: Uplink<'_>, ingress: &mut Ingress) {
        self.sound.push(now, speech, ingress);
    }

    fn set_muted(&mut self, muted: bool, ingress: &mut Ingress) {
        self.sound.set_muted(muted, ingress);
    }

    fn poll_event(&mut self) -> Option<ConferenceEvent> {
        self.event.take()
    }

    fn uplink_quality(&self, ingress: &Ingress) -> Option<UplinkQuality> {
        self.sound.quality(ingress)
    }
}
