//! A web participant's voice and ear: a tone of his own as Opus, and a recording of everything he was sent, by its time.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use gateway_core::media::codec::{
    self, CodecKind, Decoder, EncoderSettings, PAYLOAD_BYTES_MAX, PAYLOAD_SAMPLES_MAX,
};
use gateway_core::media::frame::SampleRate;

use crate::phone::sound::{BLOCK_TIME, tone};

/// 20 ms frames of Opus, one second of a tone: a whole number of hertz goes round without a seam.
pub type Loop = Vec<Vec<u8>>;

/// The tone of that many hertz. Encoded once for all worlds of a process.
pub fn voice(hz: u32) -> &'static Loop {
    static VOICES: OnceLock<Mutex<BTreeMap<u32, &'static Loop>>> = OnceLock::new();
    let mut voices = VOICES.get_or_init(Mutex::default).lock().expect("no panic while it was held");
    voices.entry(hz).or_insert_with(|| Box::leak(Box::new(encode(hz))))
}

fn encode(hz: u32) -> Loop {
    let settings = EncoderSettings::default();
    let mut encoder = codec::new_encoder(CodecKind::Opus, SampleRate::Hz8000, settings);
    let mut frame = |number: u64| {
        let pcm: Vec<i16> = tone(f64::from(hz), number * 160, 160).collect();
        let mut bytes = [0; PAYLOAD_BYTES_MAX];
        let length = encoder.encode(&pcm, &mut bytes);
        bytes[..length].to_vec()
    };
    // The first second settles the encoder.
    (0..100).map(&mut frame).skip(50).collect()
}

/// Everything that was heard since the world began, at 8 kHz.
#[derive(Default)]
pub struct Ear {
    pcm: Vec<i16>,
    streams: BTreeMap<u32, Stream>,
}

struct Stream {
    decoder: Box<dyn Decoder>,
    /// Where a timestamp lies in the recording.
    anchor: (u32, usize),
}

impl Ear {
    /// A packet of RTP came.
    pub fn hear(&mut self, now: Duration, packet: &[u8]) {
        let Some((timestamp, ssrc, payload)) = parse(packet) else { return };
        let arrived = sample_at(now);
        let stream = self.streams.entry(ssrc).or_insert_with(|| Stream {
            decoder: codec::new_decoder(CodecKind::Opus, SampleRate::Hz8000),
            anchor: (timestamp, arrived),
        });
        let mut pcm = [0; PAYLOAD_SAMPLES_MAX];
        let Ok(samples) = stream.decoder.decode(payload, &mut pcm) else { return };
        let place = |(then, at): (u32, usize)| {
            let passed = timestamp.wrapping_sub(then) as i32 / 6;
            at.checked_add_signed(passed as isize).unwrap_or(0)
        };
        // A browser's buffer begins anew when a stream jumps.
        if place(stream.anchor).abs_diff(arrived) > JUMP {
            stream.anchor = (timestamp, arrived);
        }
        let start = place(stream.anchor);
        if self.pcm.len() < start + samples {
            self.pcm.resize(start + samples, 0);
        }
        for (old, new) in self.pcm[start..].iter_mut().zip(&pcm[..samples]) {
            *old = old.saturating_add(*new);
        }
    }

    /// Blocks of 200 ms with the time of their beginning.
    pub fn blocks(&self) -> impl Iterator<Item = (Duration, &[i16])> {
        let blocks = self.pcm.chunks_exact(1_600).enumerate();
        blocks.map(|(number, block)| (BLOCK_TIME * number as u32, block))
    }
}

fn parse(packet: &[u8]) -> Option<(u32, u32, &[u8])> {
    let word = |at: usize| Some(u32::from_be_bytes(packet.get(at..at + 4)?.try_into().ok()?));
    let mut start = 12;
    if packet.first()? & 0x10 != 0 {
        start += 4 + 4 * (word(12)? & 0xffff) as usize;
    }
    Some((word(4)?, word(8)?, packet.get(start..)?))
}

fn sample_at(time: Duration) -> usize {
    (time.as_micros() * 8 / 1_000) as usize
}

/// Samples between when a packet should have come and when it did.
const JUMP: usize = 1_600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::sound::{TONE_PEAK, peak_at};

    #[test]
    fn a_voice_is_heard_as_the_tone_it_is_and_goes_round_without_a_seam() {
        let mut ear = Ear::default();
        for number in 0..150_u32 {
            let mut packet = vec![0x80, 111, 0, 0];
            packet.extend((number * 960).to_be_bytes());
            packet.extend(7_u32.to_be_bytes());
            packet.extend(&voice(1_920)[number as usize % 50]);
            ear.hear(Duration::from_millis(u64::from(number) * 20), &packet);
        }
        for (at, block) in ear.blocks().skip(1) {
            assert!(peak_at(block, 1_920.0) > TONE_PEAK / 2.0, "{at:?}");
            assert!(peak_at(block, 2_283.0) < TONE_PEAK / 20.0, "{at:?}");
        }
        assert_eq!(ear.blocks().count(), 15);
    }
}
