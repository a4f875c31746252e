//! The media half of a seat in an embedded room: the phone's packets feed the room's [`Ingress`] as they come (its
//! jitter buffer is the last one), and the phone hears the room without itself. It has no packets of its own.

use std::time::Instant;

use crate::leg::media::{ConferenceEvent, ConferenceMedia, Uplink, UplinkQuality};
use crate::leg::member_sound::MemberSound;
use crate::media::codec::CodecKind;
use crate::media::frame::{Frame, SampleRate};
use crate::media::ingress::{EarKey, Heard, Ingress, Source, SourceKey};
use crate::media::level;

/// The media half of one seat.
pub struct RoomMedia {
    sound: MemberSound,
    source: SourceKey,
    event: Option<ConferenceEvent>,
    speaking: Speaking,
}

/// Whether a member speaks, as people would say it: not at each cough, and not only between two breaths.
#[derive(Clone, Copy, Debug, Default)]
struct Speaking {
    told: bool,
    /// Frames in a row that say otherwise.
    doubts: u8,
    news: Option<bool>,
}

impl Speaking {
    /// 20 ms at a level as RFC 6464 counts it.
    fn frame(&mut self, level_dbov: u8) {
        let is_loud = level_dbov <= SPEECH_DBOV;
        if is_loud == self.told {
            self.doubts = 0;
            return;
        }
        self.doubts += 1;
        let patience = if is_loud { FRAMES_TO_BEGIN } else { FRAMES_TO_END };
        if self.doubts >= patience {
            *self = Self { told: is_loud, doubts: 0, news: Some(is_loud) };
        }
    }
}

impl RoomMedia {
    /// A seat whose phone may send any of `codecs` and hears at `rate`. `seat` is unique in the room.
    pub fn new(seat: u64, codecs: &[CodecKind], rate: SampleRate) -> Box<Self> {
        let ear = EarKey(seat);
        let source = SourceKey(seat);
        let sound = MemberSound::new(ear, source, Some(ear), codecs, rate);
        Box::new(Self { sound, source, event: None, speaking: Speaking::default() })
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

    fn pull(&mut self, _now: Instant, ingress: &mut Ingress, out: &mut Frame) -> Heard {
        let level = ingress.source(self.source).map_or(level::SILENCE, Source::level_dbov);
        self.speaking.frame(level);
        ingress.pull(self.sound.ear(), out)
    }

    fn push_uplink(&mut self, now: Instant, speech: Uplink<'_>, ingress: &mut Ingress) {
        self.sound.push(now, speech, ingress);
    }

    fn set_muted(&mut self, muted: bool, ingress: &mut Ingress) {
        self.sound.set_muted(muted, ingress);
    }

    fn poll_event(&mut self) -> Option<ConferenceEvent> {
        let speaking = |news| ConferenceEvent::Speaking(news);
        self.event.take().or_else(|| self.speaking.news.take().map(speaking))
    }

    fn uplink_quality(&self, ingress: &Ingress) -> Option<UplinkQuality> {
        self.sound.quality(ingress)
    }
}

/// Quieter than this is breath, a fan or a distant voice: a person who speaks up is at -30 to -15 dBov.
const SPEECH_DBOV: u8 = 45;
/// 60 ms: a click is no speech.
const FRAMES_TO_BEGIN: u8 = 3;
/// 400 ms: people pause between words.
const FRAMES_TO_END: u8 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [bool; 0] = [];

    fn news(speaking: &mut Speaking, level: u8, frames: usize) -> Vec<bool> {
        let mut news = Vec::new();
        for _ in 0..frames {
            speaking.frame(level);
            news.extend(speaking.news.take());
        }
        news
    }

    #[test]
    fn words_are_speech_and_pauses_between_them_are_no_end() {
        let mut speaking = Speaking::default();
        assert_eq!(news(&mut speaking, 20, 2), NONE, "a click");
        assert_eq!(news(&mut speaking, 127, 5), NONE);
        assert_eq!(news(&mut speaking, 20, 100), [true]);
        assert_eq!(news(&mut speaking, 70, 19), NONE, "a breath");
        assert_eq!(news(&mut speaking, 25, 1), NONE);
        assert_eq!(news(&mut speaking, 70, 100), [false]);
    }
}
