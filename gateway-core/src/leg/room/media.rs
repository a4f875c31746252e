//! The media half of a seat in an embedded room: the phone's packets feed the room's [`Ingress`] as they come (its
//! jitter buffer is the last one), and the phone hears the room without itself. It has no packets of its own.

use std::time::Instant;

use crate::leg::media::{ConferenceEvent, ConferenceMedia, Uplink, UplinkQuality};
use crate::leg::member_sound::MemberSound;
use crate::media::codec::CodecKind;
use crate::media::frame::SampleRate;
use crate::media::ingress::{EarKey, Ingress, SourceKey};

/// The media half of one seat.
pub struct RoomMedia {
    sound: MemberSound,
    event: Option<ConferenceEvent>,
}

impl RoomMedia {
    /// A seat whose phone may send any of `codecs` and hears at `rate`. `seat` is unique in the room.
    pub fn new(seat: u64, codecs: &[CodecKind], rate: SampleRate) -> Box<Self> {
        let ear = EarKey(seat);
        let sound = MemberSound::new(ear, SourceKey(seat), Some(ear), codecs, rate);
        Box::new(Self { sound, event: None })
    }
}

impl ConferenceMedia for RoomMedia {
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

    fn heard_rate(&self, ingress: &Ingress) -> Option<SampleRate> {
        ingress.heard_rate(self.sound.ear())
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
