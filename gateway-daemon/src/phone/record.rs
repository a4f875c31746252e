//! WAV files of a test phone: what it plays, and what it hears.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway_core::leg::phone_line::PcmTap;

/// Writes what a tap holds to a WAV file (16-bit mono), bit by bit.
pub struct Recorder {
    path: PathBuf,
    tap: Arc<PcmTap>,
    position: u64,
    file: Option<(u32, BufWriter<File>)>,
    samples: u64,
    lost: u64,
}

impl Recorder {
    /// A recording of `tap` into `path`. The file is made now, so that a bad path is known before the call.
    pub fn new(path: &Path, tap: Arc<PcmTap>) -> io::Result<Self> {
        File::create(path)?;
        Ok(Self { path: path.to_owned(), tap, position: 0, file: None, samples: 0, lost: 0 })
    }

    /// Writes what came since the last time. At least once per ten seconds.
    pub fn take(&mut self) -> io::Result<()> {
        let Some(rate_hz) = self.tap.rate_hz() else { return Ok(()) };
        let mut samples = Vec::new();
        self.lost += self.tap.read(&mut self.position, &mut samples);
        let file = match &mut self.file {
            Some((_, file)) => file,
            None => {
                let mut file = BufWriter::new(File::create(&self.path)?);
                file.write_all(&header(rate_hz, 0))?;
                &mut self.file.insert((rate_hz, file)).1
            }
        };
        for sample in &samples {
            file.write_all(&sample.to_le_bytes())?;
        }
        self.samples += samples.len() as u64;
        Ok(())
    }

    /// Writes the rest and the lengths. Gives the seconds recorded.
    pub fn finish(mut self) -> io::Result<f64> {
        self.take()?;
        let Some((rate_hz, mut file)) = self.file else { return Ok(0.0) };
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&header(rate_hz, self.samples))?;
        file.flush()?;
        if self.lost > 0 {
            tracing::warn!(
                samples = self.lost,
                "the recording has holes: this machine is too slow"
            );
        }
        Ok(self.samples as f64 / f64::from(rate_hz))
    }
}

/// Header of a 16-bit mono WAV file.
fn header(rate_hz: u32, samples: u64) -> [u8; 44] {
    let bytes = u32::try_from(samples * 2).unwrap_or(u32::MAX - 36);
    let mut out = [0; 44];
    let mut put = |at: usize, value: &[u8]| out[at..at + value.len()].copy_from_slice(value);
    put(0, b"RIFF");
    put(4, &(36 + bytes).to_le_bytes());
    put(8, b"WAVEfmt ");
    put(16, &16u32.to_le_bytes());
    put(20, &1u16.to_le_bytes());
    put(22, &1u16.to_le_bytes());
    put(24, &rate_hz.to_le_bytes());
    put(28, &(rate_hz * 2).to_le_bytes());
    put(32, &2u16.to_le_bytes());
    put(34, &16u16.to_le_bytes());
    put(36, b"data");
    put(40, &bytes.to_le_bytes());
    out
}
