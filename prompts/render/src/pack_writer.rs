//! Encodes clips and writes the pack that `gateway_core::media::clip::pack` describes and reads.

use gateway_core::media::clip::pack::{MAGIC, PACKET_SAMPLES, checksum};

/// How a clip is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClipKind {
    /// Speech at 16 kHz, 20 kb/s.
    Speech,
    /// A sound at 48 kHz, 32 kb/s.
    Sound,
    /// As a sound, and its end leads into its beginning: the encoder hears the end before it begins.
    Loop,
}

impl ClipKind {
    const fn rate_hz(self) -> u32 {
        if matches!(self, Self::Speech) { 16_000 } else { 48_000 }
    }

    /// Samples of one packet at this rate.
    const fn frame(self) -> usize {
        self.rate_hz() as usize / 50
    }

    /// Sound from the end that goes in front, in frames: enough for the codec to settle.
    const fn lead_in_frames(self) -> usize {
        if matches!(self, Self::Loop) { 10 } else { 0 }
    }

    fn encoder(self) -> opus::Result<opus::Encoder> {
        let (application, signal, bits) = match self {
            Self::Speech => (opus::Application::Voip, opus::Signal::Voice, 20_000),
            Self::Sound | Self::Loop => (opus::Application::Audio, opus::Signal::Music, 32_000),
        };
        let mut encoder = opus::Encoder::new(self.rate_hz(), opus::Channels::Mono, application)?;
        encoder.set_signal(signal)?;
        encoder.set_bitrate(opus::Bitrate::Bits(bits))?;
        encoder.set_vbr(true)?;
        encoder.set_complexity(10)?;
        Ok(encoder)
    }
}

/// A pack in the making.
pub struct PackWriter {
    head: Vec<u8>,
    clips: u16,
    index: Vec<u8>,
    data: Vec<u8>,
}

impl PackWriter {
    /// An empty pack for a language tag or `sounds`, made with those tools.
    pub fn new(language: &str, made_with: &str) -> Self {
        let mut head = Vec::new();
        put_short_text(&mut head, language);
        put_short_text(&mut head, made_with);
        Self { head, clips: 0, index: Vec::new(), data: Vec::new() }
    }

    /// Encodes a clip from samples at the rate of its kind.
    pub fn add(
        &mut self,
        kind: ClipKind,
        name: &str,
        words: &str,
        samples: &[i16],
    ) -> opus::Result<()> {
        let mut encoder = kind.encoder()?;
        let to_48k = (48_000 / kind.rate_hz()) as usize;
        let lead_in = kind.lead_in_frames() * kind.frame();
        let skip = lead_in + encoder.get_lookahead()? as usize;
        let mut sound: Vec<i16> = samples[samples.len() - lead_in.min(samples.len())..].to_vec();
        sound.extend(samples);
        // What follows the end until the codec has let go of it: for a loop its beginning, else silence.
        let whole = (skip + samples.len()).div_ceil(kind.frame()) * kind.frame();
        let beginning = samples.iter().copied().filter(|_| kind == ClipKind::Loop);
        let tail: Vec<i16> =
            beginning.chain(std::iter::repeat(0)).take(whole - sound.len()).collect();
        sound.extend(tail);
        let mut bytes = Vec::new();
        for frame in sound.chunks_exact(kind.frame()) {
            let packet = encoder.encode_vec(frame, 1_275)?;
            bytes.extend(u16::try_from(packet.len()).expect("at most 1275").to_le_bytes());
            bytes.extend(packet);
        }
        debug_assert_eq!(kind.frame() * to_48k, PACKET_SAMPLES as usize);
        put_short_text(&mut self.index, name);
        self.index.extend(u16::try_from(words.len()).expect("a phrase is short").to_le_bytes());
        self.index.extend(words.as_bytes());
        self.index.extend(u16::try_from(skip * to_48k).expect("lead-in is 200 ms").to_le_bytes());
        self.index.extend(
            u32::try_from(samples.len() * to_48k).expect("clips are minutes at most").to_le_bytes(),
        );
        self.index.extend(
            u16::try_from(sound.len() / kind.frame())
                .expect("clips are minutes at most")
                .to_le_bytes(),
        );
        self.index
            .extend(u32::try_from(bytes.len()).expect("clips are minutes at most").to_le_bytes());
        self.data.extend(bytes);
        self.clips += 1;
        Ok(())
    }

    /// The file.
    pub fn finish(self) -> Vec<u8> {
        let mut content = self.head;
        content.extend(self.clips.to_le_bytes());
        content.extend(self.index);
        content.extend(self.data);
        let mut file = MAGIC.to_vec();
        file.extend(checksum(&content).to_le_bytes());
        file.extend(content);
        file
    }
}

fn put_short_text(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).expect("names and versions are short"));
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use gateway_core::media::clip::pack::{Pack, PackError};
    use gateway_core::media::frame::SampleRate;

    fn tone(rate_hz: u32, samples: usize) -> Vec<i16> {
        let step = 2.0 * std::f64::consts::PI * 300.0 / f64::from(rate_hz);
        (0..samples).map(|n| ((n as f64 * step).sin() * 8_000.0) as i16).collect()
    }

    fn two_clips() -> Vec<u8> {
        let mut pack = PackWriter::new("en", "a test");
        pack.add(ClipKind::Speech, "greeting", "Wëlcome.", &tone(16_000, 16_123)).unwrap();
        pack.add(ClipKind::Loop, "music", "", &tone(48_000, 48_000)).unwrap();
        pack.finish()
    }

    /// Best correlation of what comes out with the tone that went in, at most 0.5 ms from its place: codecs turn the
    /// phase of low tones a little.
    fn likeness(got: &[i16], rate: SampleRate) -> f64 {
        let reach = rate.samples(1) / 2;
        let want = tone(rate.hz(), got.len() + reach);
        let dot = |a: &[i16], b: &[i16]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let at = |got: &[i16], want: &[i16]| {
            let want = &want[..got.len()];
            dot(got, want) / (dot(got, got) * dot(want, want)).sqrt()
        };
        let later = (0..=reach).map(|lag| at(&got[lag..], &want));
        let earlier = (0..=reach).map(|lag| at(got, &want[lag..]));
        later.chain(earlier).fold(-1.0, f64::max)
    }

    #[test]
    fn what_is_written_is_read_with_its_length_and_in_time() {
        let file = two_clips();
        let pack = Pack::open(&file).unwrap();
        assert_eq!((pack.language, pack.made_with, pack.clips.len()), ("en", "a test", 2));
        assert_eq!((pack.clips[0].name, pack.clips[0].words), ("greeting", "Wëlcome."));
        for rate in SampleRate::ALL {
            let speech = pack.clips[0].decode(rate).unwrap();
            assert_eq!(speech.len(), 16_123 * 3 * rate.samples(1) / 48, "{rate:?}");
            assert!(likeness(&speech, rate) > 0.98, "{rate:?}: {}", likeness(&speech, rate));
            let looped = pack.clips[1].decode(rate).unwrap();
            assert_eq!(looped.len(), rate.samples(1_000));
            assert!(likeness(&looped, rate) > 0.98, "{rate:?}: {}", likeness(&looped, rate));
        }
    }

    #[test]
    fn the_same_sound_gives_the_same_bytes() {
        assert_eq!(two_clips(), two_clips());
    }

    #[test]
    fn a_loop_begins_at_full_level() {
        let file = two_clips();
        let music = Pack::open(&file).unwrap().clips[1].decode(SampleRate::Hz48000).unwrap();
        let peak = |part: &[i16]| part.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!(peak(&music[..480]) > 7_000, "{}", peak(&music[..480]));
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_an_error() {
        let file = two_clips();
        for length in (0..file.len()).step_by(7) {
            assert!(Pack::open(&file[..length]).is_err(), "cut at {length}");
        }
        for place in (0..file.len()).step_by(7) {
            let mut damaged = file.clone();
            damaged[place] ^= 0x10;
            assert!(Pack::open(&damaged).is_err(), "flipped at {place}");
        }
    }

    /// Damage with a right checksum, as an attacker or a faulty writer would make it: an error or a decode, no panic.
    #[test]
    fn damage_under_a_right_checksum_never_panics() {
        let file = two_clips();
        let mut errors = 0;
        for place in 12..file.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = file.clone();
                damaged[place] ^= flip;
                let sum = checksum(&damaged[12..]);
                damaged[4..12].copy_from_slice(&sum.to_le_bytes());
                match Pack::open(&damaged) {
                    Ok(_) => {}
                    Err(PackError::Checksum | PackError::NotAPack) => panic!("at {place}"),
                    Err(_) => errors += 1,
                }
            }
        }
        assert!(errors > 100, "{errors}");
    }
}
