//! WAV files of 16-bit samples, one channel: enough for every peer here. Tolerates a length field that a recorder cut
//! short never filled in.

use std::io;
use std::path::Path;

/// Mono sound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wav {
    /// Samples per second.
    pub rate: u32,
    /// The samples.
    pub samples: Vec<i16>,
}

impl Wav {
    /// Silence of the given length.
    pub fn silence(rate: u32, seconds: f64) -> Wav {
        Wav { rate, samples: vec![0; (f64::from(rate) * seconds).round() as usize] }
    }

    /// Seconds of sound.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.rate)
    }

    /// This sound, then the other (of the same rate).
    #[must_use]
    pub fn then(mut self, other: &Wav) -> Wav {
        assert_eq!(self.rate, other.rate, "one sample rate per file");
        self.samples.extend_from_slice(&other.samples);
        self
    }

    /// The part between two moments, in seconds; shorter where the sound ends.
    pub fn part(&self, from: f64, to: f64) -> Wav {
        let at = |seconds: f64| {
            let index = (seconds.max(0.0) * f64::from(self.rate)).round() as usize;
            index.min(self.samples.len())
        };
        Wav { rate: self.rate, samples: self.samples[at(from)..at(to).max(at(from))].to_vec() }
    }

    /// Reads a RIFF file; takes the left channel when there are two.
    ///
    /// # Errors
    /// When the file cannot be read or holds something else than 16-bit PCM.
    pub fn read(path: &Path) -> io::Result<Wav> {
        let bytes = std::fs::read(path)?;
        parse(&bytes).map_err(|why| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()))
        })
    }

    /// Writes a plain 44-byte header and the samples.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let data_len = u32::try_from(self.samples.len() * 2).expect("a test sound under 4 GB");
        let mut bytes = Vec::with_capacity(44 + self.samples.len() * 2);
        bytes.extend_from_slice(b"RIFF");
        bytes.extend_from_slice(&(36 + data_len).to_le_bytes());
        bytes.extend_from_slice(b"WAVEfmt ");
        bytes.extend_from_slice(&16u32.to_le_bytes());
        bytes.extend_from_slice(&1u16.to_le_bytes());
        bytes.extend_from_slice(&1u16.to_le_bytes());
        bytes.extend_from_slice(&self.rate.to_le_bytes());
        bytes.extend_from_slice(&(self.rate * 2).to_le_bytes());
        bytes.extend_from_slice(&2u16.to_le_bytes());
        bytes.extend_from_slice(&16u16.to_le_bytes());
        bytes.extend_from_slice(b"data");
        bytes.extend_from_slice(&data_len.to_le_bytes());
        for sample in &self.samples {
            bytes.extend_from_slice(&sample.to_le_bytes());
        }
        std::fs::write(path, bytes)
    }
}

fn parse(bytes: &[u8]) -> Result<Wav, &'static str> {
    if bytes.get(..4) != Some(b"RIFF") || bytes.get(8..12) != Some(b"WAVE") {
        return Err("not a RIFF WAVE file");
    }
    let mut format: Option<(u16, u32, u16)> = None;
    let mut rest = &bytes[12..];
    while rest.len() >= 8 {
        let (head, body) = rest.split_at(8);
        let stated = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let length = stated.min(body.len());
        match &head[..4] {
            b"fmt " if length >= 16 => {
                let word = |at: usize| u16::from_le_bytes([body[at], body[at + 1]]);
                let rate = u32::from_le_bytes([body[4], body[5], body[6], body[7]]);
                format = Some((word(2), rate, word(14)));
            }
            b"data" => {
                let (channels, rate, bits) = format.ok_or("data before fmt")?;
                if bits != 16 {
                    return Err("not 16 bits a sample");
                }
                // A recorder that was killed leaves 0 here: then the rest of the file is the sound.
                let data = if stated == 0 { body } else { &body[..length] };
                let samples = data
                    .chunks_exact(2 * usize::from(channels.max(1)))
                    .map(|frame| i16::from_le_bytes([frame[0], frame[1]]))
                    .collect();
                return Ok(Wav { rate, samples });
            }
            _ => {}
        }
        rest = body.get(length + length % 2..).unwrap_or_default();
    }
    Err("no data chunk")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let path = std::env::temp_dir().join(format!("weebee-wav-{}.wav", std::process::id()));
        let wav = Wav { rate: 16_000, samples: vec![0, 1, -1, i16::MAX, i16::MIN] };
        wav.write(&path).expect("written");
        assert_eq!(Wav::read(&path).expect("read"), wav);
        std::fs::remove_file(path).expect("removed");
    }

    #[test]
    fn a_recording_cut_short_is_still_read() {
        let path = std::env::temp_dir().join(format!("weebee-cut-{}.wav", std::process::id()));
        Wav { rate: 8_000, samples: vec![7; 100] }.write(&path).expect("written");
        let mut bytes = std::fs::read(&path).expect("read back");
        bytes[40..44].copy_from_slice(&0u32.to_le_bytes());
        assert_eq!(parse(&bytes).map(|wav| wav.samples.len()), Ok(100));
        std::fs::remove_file(path).expect("removed");
    }
}
