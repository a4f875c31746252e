//! WAV files as far as a phone needs them: 16-bit PCM, mono or stereo, in and out.
//!
//! Reading takes what recorders and converters really write: extensible headers, extra chunks, odd padding, and the
//! unfinished lengths of a stream. Everything else is refused with words that say what to do.

/// A recording as mono samples at its own rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Samples per second, one of [`RATES_HZ`].
    pub rate_hz: u32,
    /// Mono; two channels have been averaged.
    pub samples: Vec<i16>,
}

/// Rates that are read.
pub const RATES_HZ: [u32; 8] = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];

/// Why a file is not a WAV we read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WavError {
    /// The first bytes are not RIFF and WAVE.
    #[error("not a WAV file")]
    NotWav,
    /// A chunk is missing or shorter than it must be.
    #[error("the {chunk} part of the file is missing or cut short")]
    Incomplete {
        /// `fmt` or `data`.
        chunk: &'static str,
    },
    /// Compressed, floating point, or another sample width.
    #[error("format {format} with {bits} bits is not read, only 16-bit PCM is")]
    Format {
        /// The format tag: 1 is PCM, 3 floating point, 6 and 7 G.711.
        format: u16,
        /// Bits of one sample.
        bits: u16,
    },
    /// More than two channels, or none.
    #[error("{channels} channels are not read, only one or two are")]
    Channels {
        /// What the header says.
        channels: u16,
    },
    /// A rate outside [`RATES_HZ`].
    #[error(
        "{rate_hz} samples per second are not read, only 8000, 11025, 16000, 22050, 24000, 32000, 44100 or 48000"
    )]
    Rate {
        /// What the header says.
        rate_hz: u32,
    },
    /// No sample at all.
    #[error("the file holds no sound")]
    Empty,
}

/// Reads a whole file.
pub fn read_wav(file: &[u8]) -> Result<Recording, WavError> {
    if file.get(..4) != Some(b"RIFF") || file.get(8..12) != Some(b"WAVE") {
        return Err(WavError::NotWav);
    }
    let mut format = None;
    let mut rest = file.get(12..).unwrap_or_default();
    while let Some((name, length, body)) = split_chunk(rest) {
        // A stream's writer could not know the length and left 0 or all ones: the rest of the file is the chunk.
        let unfinished = name == b"data" && (length == 0 || length > body.len());
        let length = if unfinished { body.len() } else { length.min(body.len()) };
        let (content, after) = body.split_at(length);
        match name {
            b"fmt " => format = Some(Format::parse(content)?),
            b"data" => return format.ok_or(WavError::Incomplete { chunk: "fmt" })?.read(content),
            _ => {}
        }
        rest = after.get(length % 2..).unwrap_or_default();
    }
    Err(WavError::Incomplete { chunk: if format.is_none() { "fmt" } else { "data" } })
}

/// Writes a mono file.
pub fn write_wav(rate_hz: u32, samples: &[i16]) -> Vec<u8> {
    let data = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX);
    let mut file = Vec::with_capacity(44 + samples.len() * 2);
    file.extend(b"RIFF");
    file.extend(data.saturating_add(36).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16u32.to_le_bytes());
    file.extend(PCM.to_le_bytes());
    file.extend(1u16.to_le_bytes());
    file.extend(rate_hz.to_le_bytes());
    file.extend(rate_hz.saturating_mul(2).to_le_bytes());
    file.extend(2u16.to_le_bytes());
    file.extend(16u16.to_le_bytes());
    file.extend(b"data");
    file.extend(data.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

const PCM: u16 = 1;
const EXTENSIBLE: u16 = 0xFFFE;

/// Name, stated length and everything after the head of the first chunk.
fn split_chunk(bytes: &[u8]) -> Option<(&[u8; 4], usize, &[u8])> {
    let (name, rest) = bytes.split_first_chunk::<4>()?;
    let (length, body) = rest.split_first_chunk::<4>()?;
    Some((name, u32::from_le_bytes(*length) as usize, body))
}

/// What the `fmt` chunk says, already known to be readable.
struct Format {
    stereo: bool,
    rate_hz: u32,
}

impl Format {
    fn parse(chunk: &[u8]) -> Result<Self, WavError> {
        let cut = WavError::Incomplete { chunk: "fmt" };
        let word = |at: usize| chunk.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
        let (Some(tag), Some(channels), Some(bits)) = (word(0), word(2), word(14)) else {
            return Err(cut);
        };
        let (Some(low), Some(high)) = (word(4), word(6)) else { return Err(cut) };
        let rate_hz = u32::from(high) << 16 | u32::from(low);
        // An extensible header keeps the true format in the first two bytes of its GUID.
        let format = if tag == EXTENSIBLE { word(24).ok_or(cut)? } else { tag };
        if format != PCM || bits != 16 {
            return Err(WavError::Format { format, bits });
        }
        if !(1..=2).contains(&channels) {
            return Err(WavError::Channels { channels });
        }
        if !RATES_HZ.contains(&rate_hz) {
            return Err(WavError::Rate { rate_hz });
        }
        Ok(Self { stereo: channels == 2, rate_hz })
    }

    fn read(self, data: &[u8]) -> Result<Recording, WavError> {
        let mono = |pair: &[u8]| i16::from_le_bytes([pair[0], pair[1]]);
        let samples: Vec<i16> = if self.stereo {
            let average = |frame: &[u8]| {
                ((i32::from(mono(&frame[..2])) + i32::from(mono(&frame[2..]))) / 2) as i16
            };
            data.chunks_exact(4).map(average).collect()
        } else {
            data.chunks_exact(2).map(mono).collect()
        };
        if samples.is_empty() {
            return Err(WavError::Empty);
        }
        Ok(Recording { rate_hz: self.rate_hz, samples })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with a header of our choosing; sizes are right.
    fn file(format: u16, channels: u16, rate_hz: u32, bits: u16, data: &[u8]) -> Vec<u8> {
        let mut file = write_wav(rate_hz, &[]);
        file[20..22].copy_from_slice(&format.to_le_bytes());
        file[22..24].copy_from_slice(&channels.to_le_bytes());
        file[34..36].copy_from_slice(&bits.to_le_bytes());
        file[40..44].copy_from_slice(&(data.len() as u32).to_le_bytes());
        file.extend(data);
        file
    }

    #[test]
    fn what_is_written_is_read() {
        let samples = [0, 1, -1, i16::MAX, i16::MIN];
        let recording = read_wav(&write_wav(16_000, &samples)).unwrap();
        assert_eq!(recording, Recording { rate_hz: 16_000, samples: samples.to_vec() });
    }

    #[test]
    fn stereo_becomes_the_mean_of_both_channels() {
        let data: Vec<u8> =
            [100i16, 200, i16::MIN, i16::MIN].iter().flat_map(|s| s.to_le_bytes()).collect();
        assert_eq!(read_wav(&file(1, 2, 44_100, 16, &data)).unwrap().samples, [150, i16::MIN]);
    }

    #[test]
    fn extra_chunks_with_odd_lengths_are_stepped_over() {
        let plain = write_wav(8_000, &[5, 6]);
        let mut with_list = plain[..12].to_vec();
        with_list.extend(b"LIST\x03\x00\x00\x00abc\x00");
        with_list.extend(&plain[12..]);
        with_list.extend(b"id3 \x02\x00\x00\x00xx");
        assert_eq!(read_wav(&with_list).unwrap().samples, [5, 6]);
    }

    #[test]
    fn an_extensible_header_is_read_by_its_true_format() {
        let mut extensible = b"RIFF\0\0\0\0WAVEfmt \x28\0\0\0".to_vec();
        extensible.extend(0xFFFEu16.to_le_bytes());
        extensible.extend(1u16.to_le_bytes());
        extensible.extend(48_000u32.to_le_bytes());
        extensible.extend(96_000u32.to_le_bytes());
        extensible.extend([2, 0, 16, 0, 22, 0, 16, 0, 4, 0, 0, 0, 1, 0]);
        extensible.extend([0; 14]);
        extensible.extend(b"data\x02\0\0\0\x07\0");
        assert_eq!(read_wav(&extensible).unwrap(), Recording { rate_hz: 48_000, samples: vec![7] });
    }

    #[test]
    fn a_stream_with_unfinished_lengths_is_read_to_its_end() {
        for length in [0u32, u32::MAX] {
            let mut stream = write_wav(8_000, &[1, 2, 3]);
            stream[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
            stream[40..44].copy_from_slice(&length.to_le_bytes());
            assert_eq!(read_wav(&stream).unwrap().samples, [1, 2, 3]);
        }
    }

    #[test]
    fn what_is_not_read_is_named() {
        let cases = [
            (b"ID3\x04mp3".to_vec(), WavError::NotWav),
            (vec![], WavError::NotWav),
            (file(3, 1, 8_000, 32, &[0; 8]), WavError::Format { format: 3, bits: 32 }),
            (file(1, 1, 8_000, 24, &[0; 6]), WavError::Format { format: 1, bits: 24 }),
            (file(1, 6, 48_000, 16, &[0; 12]), WavError::Channels { channels: 6 }),
            (file(1, 1, 96_000, 16, &[0; 4]), WavError::Rate { rate_hz: 96_000 }),
            (file(1, 1, 8_000, 16, &[]), WavError::Empty),
            (write_wav(8_000, &[1])[..36].to_vec(), WavError::Incomplete { chunk: "data" }),
            (write_wav(8_000, &[1])[..14].to_vec(), WavError::Incomplete { chunk: "fmt" }),
        ];
        for (bytes, error) in cases {
            assert_eq!(read_wav(&bytes), Err(error));
        }
    }

    #[test]
    fn every_cut_of_a_file_is_judged_without_a_panic() {
        let whole = write_wav(44_100, &[9; 40]);
        for length in 0..whole.len() {
            let _ = read_wav(&whole[..length]);
        }
    }
}
