//! espeak-ng as a child process: text in, master samples out.

use std::io::Write;
use std::process::{Command, Stdio};

use gateway_core::media::clip::{convert, wav};

use crate::RenderError;
use crate::catalogue::Voice;

/// Rate of the speech masters. The packets carry the band of 8 kHz that this rate holds.
pub const MASTER_HZ: u32 = 16_000;

/// The program and its version, for example `espeak-ng 1.51`.
pub fn version() -> Result<String, RenderError> {
    let output = Command::new("espeak-ng").arg("--version").output().map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version =
        text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let version = version.ok_or_else(|| RenderError::Speech("says no version".into()))?;
    Ok(format!("espeak-ng {version}"))
}

/// Speaks a text.
pub fn speak(voice: &Voice, text: &str) -> Result<Vec<i16>, RenderError> {
    let mut child = Command::new("espeak-ng")
        .args(["-b", "1", "--stdin", "--stdout", "-v", &voice.espeak])
        .args(["-s", &voice.words_per_minute.to_string(), "-p", &voice.pitch.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    // A phrase is far smaller than a pipe, so writing all of it before reading cannot block.
    child.stdin.take().expect("piped above").write_all(text.as_bytes()).map_err(failed)?;
    let output = child.wait_with_output().map_err(failed)?;
    let recording = wav::read_wav(&output.stdout)
        .map_err(|error| RenderError::Speech(format!("\"{text}\": {error}")))?;
    Ok(convert::convert_rate(&recording.samples, recording.rate_hz, MASTER_HZ))
}

fn failed(error: std::io::Error) -> RenderError {
    RenderError::Speech(error.to_string())
}
