//! Trims silence from a rendering and brings it to its level without clipping.

use gateway_core::media::clip::loudness::active_level_dbov;

/// Active speech level of all prompts.
pub const SPEECH_DBOV: f64 = -20.0;

/// Highest sample after levelling, 4 dB below full scale: a codec of 20 kb/s overshoots by up to 3 dB.
const PEAK_MAX: f64 = 20_500.0;

/// Silence kept before the first and after the last sound.
const LEAD_IN_MS: usize = 15;
const LEAD_OUT_MS: usize = 60;

/// A 5 ms block this far below the loudest one is silence.
const SILENCE_BELOW_LOUDEST_DB: f64 = 45.0;

/// Without the silence at both ends, which are faded.
pub fn trimmed(samples: &[i16], rate_hz: u32) -> Vec<i16> {
    let ms = rate_hz as usize / 1_000;
    let block = 5 * ms;
    let powers: Vec<f64> = samples
        .chunks(block)
        .map(|block| block.iter().map(|s| f64::from(*s).powi(2)).sum())
        .collect();
    let loudest = powers.iter().copied().fold(0.0, f64::max);
    let silence = loudest * 10f64.powf(-SILENCE_BELOW_LOUDEST_DB / 10.0);
    let sounds = |power: &f64| *power > silence;
    let (Some(first), Some(last)) =
        (powers.iter().position(sounds), powers.iter().rposition(sounds))
    else {
        return Vec::new();
    };
    let start = (first * block).saturating_sub(LEAD_IN_MS * ms);
    let end = ((last + 1) * block + LEAD_OUT_MS * ms).min(samples.len());
    let mut kept = samples[start..end].to_vec();
    fade(&mut kept, 5 * ms);
    kept
}

/// At that active level, peaks limited; `None` if there is only silence.
pub fn levelled(samples: &[i16], rate_hz: u32, dbov: f64) -> Option<Vec<i16>> {
    let mut gain_db = dbov - active_level_dbov(samples, rate_hz)?;
    let mut result = Vec::new();
    // Limiting takes a little of the level, so the gain is corrected by what is still missing.
    for _ in 0..4 {
        let gain = 10f64.powf(gain_db / 20.0);
        let wanted: Vec<f64> = samples.iter().map(|s| f64::from(*s) * gain).collect();
        result = limited(&wanted, rate_hz as usize / 200);
        gain_db += dbov - active_level_dbov(&result, rate_hz)?;
    }
    Some(result)
}

/// Turns the sound down around each peak, smoothly over `reach` samples before and after it.
pub fn limited(samples: &[f64], reach: usize) -> Vec<i16> {
    let needed: Vec<f64> = samples.iter().map(|s| (PEAK_MAX / s.abs().max(1.0)).min(1.0)).collect();
    let window = |index: usize| index.saturating_sub(reach)..(index + reach + 1).min(samples.len());
    let lowest: Vec<f64> = (0..samples.len())
        .map(|index| needed[window(index)].iter().copied().fold(1.0, f64::min))
        .collect();
    // The mean over the same window of what is at most the need of its centre is at most that need.
    let gain =
        |index: usize| lowest[window(index)].iter().sum::<f64>() / window(index).len() as f64;
    samples
        .iter()
        .enumerate()
        .map(|(index, sample)| (sample * gain(index)).round() as i16)
        .collect()
}

/// Raises the first and lowers the last `length` samples in a straight line.
fn fade(samples: &mut [i16], length: usize) {
    let total = samples.len();
    let length = length.min(total / 2);
    for step in 0..length {
        let scale = |sample: i16| (i32::from(sample) * step as i32 / length as i32) as i16;
        samples[step] = scale(samples[step]);
        samples[total - 1 - step] = scale(samples[total - 1 - step]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(height: f64, samples: usize) -> Vec<i16> {
        (0..samples).map(|n| ((n as f64 * 0.4).sin() * height) as i16).collect()
    }

    #[test]
    fn silence_at_both_ends_goes_and_the_middle_stays() {
        let mut sound = vec![0; 16_000];
        sound.extend(tone(8_000.0, 8_000));
        sound.extend(vec![0; 16_000]);
        sound.extend(tone(8_000.0, 8_000));
        sound.extend(vec![1; 16_000]);
        let kept = trimmed(&sound, 16_000);
        assert_eq!(kept.len(), 32_000 + (LEAD_IN_MS + LEAD_OUT_MS) * 16);
        assert!(trimmed(&[0; 100], 16_000).is_empty());
    }

    #[test]
    fn quiet_and_spiky_speech_reaches_the_level_under_the_ceiling() {
        let mut spiky = tone(400.0, 32_000);
        for spike in spiky.iter_mut().step_by(1_000) {
            *spike = 9_000;
        }
        let loud = levelled(&spiky, 16_000, SPEECH_DBOV).unwrap();
        let level = active_level_dbov(&loud, 16_000).unwrap();
        assert!((level - SPEECH_DBOV).abs() < 0.3, "{level}");
        assert!(loud.iter().all(|s| f64::from(*s).abs() <= PEAK_MAX + 1.0));
        assert!(levelled(&[0; 16_000], 16_000, SPEECH_DBOV).is_none());
    }
}
