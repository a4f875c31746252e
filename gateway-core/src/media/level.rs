//! How loud PCM is: dBov as RFC 6464 counts it (0 is a full-scale square wave, 127 is silence).

/// Mean square of `pcm`, 0 to 2^30.
pub fn mean_square(pcm: &[i16]) -> u32 {
    if pcm.is_empty() {
        return 0;
    }
    // Blocks of 64 squares of at most 2^30 fit in 64 bits with room for any slice.
    let sum: u64 = pcm.iter().map(|s| (i32::from(*s) * i32::from(*s)) as u64).sum();
    u32::try_from(sum / pcm.len() as u64).unwrap_or(u32::MAX)
}

/// Level in -dBov (RFC 6464 §3): 0 is loudest, 127 is silence.
pub fn level_dbov(pcm: &[i16]) -> u8 {
    dbov_of(mean_square(pcm))
}

/// The same from a mean square.
pub fn dbov_of(mean_square: u32) -> u8 {
    if mean_square == 0 {
        return SILENCE;
    }
    let decibels = -10.0 * (mean_square as f32 / FULL_SCALE).log10();
    decibels.round().clamp(0.0, f32::from(SILENCE)) as u8
}

/// The level of digital silence.
pub const SILENCE: u8 = 127;

const FULL_SCALE: f32 = 32_768.0 * 32_768.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_known_signals() {
        assert_eq!(level_dbov(&[i16::MIN; 160]), 0);
        assert_eq!(level_dbov(&[0; 160]), SILENCE);
        assert_eq!(level_dbov(&[]), SILENCE);
        assert_eq!(level_dbov(&[328; 160]), 40);
        assert_eq!(level_dbov(&[1; 160]), 90);
        let sine: Vec<i16> =
            (0..800).map(|n| ((f64::from(n) * 0.785).sin() * 32_767.0) as i16).collect();
        assert_eq!(level_dbov(&sine), 3, "a full-scale sine is 3 dB below a square wave");
    }
}
