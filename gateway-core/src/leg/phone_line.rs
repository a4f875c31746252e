//! The conference half of a test phone: what it plays is what the far side hears, and what the far side says is
//! recorded. `weebee call`, the call generator and tests use it. No room, no files: PCM in, PCM out.
//!
//! Neither playing nor recording allocates, locks or waits: the sound to play is shared, and a recording goes
//! through a [`PcmTap`] that another thread empties.

use std::sync::Arc;
use std::sync::atomic::{AtomicI16, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use crate::leg::media::{ConferenceEvent, ConferenceMedia, Uplink, UplinkQuality};
use crate::leg::member_sound::MemberSound;
use crate::media::clip::Clip;
use crate::media::codec::CodecKind;
use crate::media::frame::{Frame, SampleRate};
use crate::media::ingress::{EarKey, Heard, Ingress, SourceKey};

/// What a test phone plays and where its recording goes.
pub struct PhoneLineConfig {
    /// Its ear and its source in the (otherwise empty) room it is attached to.
    pub key: u64,
    /// Codecs the far side may send.
    pub codecs: Vec<CodecKind>,
    /// PCM rate of the negotiated codec.
    pub rate: SampleRate,
    /// What to play into the call; `None` is silence.
    pub play: Option<Arc<Clip>>,
    /// Begin again at its end.
    pub repeat: bool,
    /// Where the far side's sound goes; `None`: nowhere.
    pub record: Option<Arc<PcmTap>>,
}

/// The conference half of a test phone.
pub struct PhoneLine {
    config: PhoneLineConfig,
    sound: MemberSound,
    position: usize,
    heard: Frame,
    event: Option<ConferenceEvent>,
}

impl PhoneLine {
    /// Plays and records from its attachment on.
    pub fn new(config: PhoneLineConfig) -> Box<Self> {
        let (ear, source) = (EarKey(config.key), SourceKey(config.key));
        let sound = MemberSound::new(ear, source, None, &config.codecs, config.rate);
        let heard = Frame::silence(config.rate);
        Box::new(Self { config, sound, position: 0, heard, event: None })
    }

    /// The next 20 ms of what is played. Silence after its end, or without it.
    fn play(&mut self, out: &mut Frame) -> Heard {
        let rate = out.rate();
        out.samples_mut().fill(0);
        let Some(clip) = &self.config.play else { return Heard::Nobody };
        let length = clip.length(rate);
        let mut written = 0;
        while written < rate.frame_samples() {
            if self.position >= length {
                if !self.config.repeat || length == 0 {
                    break;
                }
                self.position = 0;
            }
            let count = clip.read(rate, self.position, &mut out.samples_mut()[written..]);
            self.position += count;
            written += count;
        }
        if written == 0 { Heard::Nobody } else { Heard::Voices }
    }
}

impl ConferenceMedia for PhoneLine {
    fn attach(&mut self, now: Instant, ingress: &mut Ingress) {
        self.event = self.sound.attach(now, ingress);
    }

    fn detach(&mut self, ingress: &mut Ingress) {
        self.sound.detach(ingress);
    }

    fn pull(&mut self, _now: Instant, ingress: &mut Ingress, out: &mut Frame) -> Heard {
        if let Some(tap) = &self.config.record {
            ingress.pull(self.sound.ear(), &mut self.heard);
            tap.push(&self.heard);
        }
        self.play(out)
    }

    fn ear(&self) -> EarKey {
        self.sound.ear()
    }

    fn set_rate(&mut self, rate: SampleRate, ingress: &mut Ingress) {
        let old = self.sound.rate();
        if rate != old {
            self.position = self.position / old.samples(1) * rate.samples(1);
            self.heard = Frame::silence(rate);
        }
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

/// A ring of PCM from a media thread to one reader. The writer never waits: a reader that falls behind by more than
/// the ring loses the oldest samples and is told how many.
#[derive(Debug)]
pub struct PcmTap {
    samples: Box<[AtomicI16]>,
    /// Samples written since the start.
    written: AtomicU64,
    /// Of the samples, in Hz; 0 until the first frame.
    rate_hz: AtomicU32,
}

impl PcmTap {
    /// A ring for `seconds` of sound at 48 kHz (six times that at 8 kHz).
    pub fn new(seconds: usize) -> Arc<Self> {
        let samples = (0..seconds.max(1) * 48_000).map(|_| AtomicI16::new(0)).collect();
        Arc::new(Self { samples, written: AtomicU64::new(0), rate_hz: AtomicU32::new(0) })
    }

    /// Rate of the samples, once there are any. A codec change inside a call changes it.
    pub fn rate_hz(&self) -> Option<u32> {
        match self.rate_hz.load(Ordering::Acquire) {
            0 => None,
            hz => Some(hz),
        }
    }

    /// Samples written since the start.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Appends what was written since `position` to `out` and moves `position`. Gives the samples that were
    /// overwritten before they could be read.
    pub fn read(&self, position: &mut u64, out: &mut Vec<i16>) -> u64 {
        let capacity = self.samples.len() as u64;
        // The writer may be inside one frame beyond `written`: keep clear of what it overwrites.
        let readable = capacity.saturating_sub(FRAME_MARGIN);
        let end = self.written();
        let start = (*position).max(end.saturating_sub(readable));
        let lost = start - *position;
        for index in start..end {
            out.push(self.samples[(index % capacity) as usize].load(Ordering::Relaxed));
        }
        *position = end;
        lost
    }

    fn push(&self, frame: &Frame) {
        self.rate_hz.store(frame.rate().hz(), Ordering::Relaxed);
        let capacity = self.samples.len();
        let start = self.written.load(Ordering::Relaxed);
        let mut index = (start % capacity as u64) as usize;
        for sample in frame.samples() {
            self.samples[index].store(*sample, Ordering::Relaxed);
            index = if index + 1 == capacity { 0 } else { index + 1 };
        }
        self.written.store(start + frame.samples().len() as u64, Ordering::Release);
    }
}

const FRAME_MARGIN: u64 = 2 * crate::media::frame::FRAME_SAMPLES_MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(value: i16) -> Frame {
        let mut frame = Frame::silence(SampleRate::Hz48000);
        frame.samples_mut().fill(value);
        frame
    }

    #[test]
    fn a_reader_gets_every_sample_once_and_in_order() {
        let tap = PcmTap::new(1);
        let (mut position, mut read) = (0, Vec::new());
        for value in 0..10 {
            tap.push(&frame(value));
            assert_eq!(tap.read(&mut position, &mut read), 0);
        }
        assert_eq!(tap.rate_hz(), Some(48_000));
        let expected: Vec<i16> = (0..10).flat_map(|value| [value; 960]).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn a_reader_that_sleeps_is_told_what_it_lost() {
        let tap = PcmTap::new(1);
        let (mut position, mut read) = (0, Vec::new());
        for value in 0..100 {
            tap.push(&frame(value));
        }
        let lost = tap.read(&mut position, &mut read);
        assert_eq!(lost + read.len() as u64, 96_000);
        assert_eq!(read.last(), Some(&99));
        assert_eq!(read.len(), 48_000 - FRAME_MARGIN as usize);
    }
}
