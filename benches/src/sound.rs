//! The verdict on sound: where in what was sent does what was heard lie, and how well does it fit.

use std::collections::BTreeMap;

use gateway_core::media::clip::convert::convert_rate;
use gateway_core::media::codec::{CodecKind, new_decoder};
use gateway_core::media::frame::SampleRate;

/// A packet of 20 ms that somebody heard.
#[derive(Clone, Copy, Debug)]
pub struct HeardPacket<'a> {
    /// When it came, in seconds.
    pub at: f64,
    /// Its place among the others, in packets.
    pub frame: i64,
    /// Its payload.
    pub payload: &'a [u8],
}

/// How heard audio lies in sent audio.
#[derive(Clone, Copy, Debug)]
pub struct Match {
    /// Delay from sent to heard, in ms.
    pub delay_ms: f64,
    /// Normalised correlation at that delay, 0 to 1.
    pub correlation: f64,
}

/// Searches delays of 0 to `delay_ms_max` at 8 kHz. `heard[0]` was heard `offset` samples after `sent[0]` was sent.
pub fn align(sent: &[i16], heard: &[i16], offset: i64, delay_ms_max: usize) -> Option<Match> {
    let window = &heard[..heard.len().min(80_000)];
    let energy: f64 = window.iter().map(|s| f64::from(*s).powi(2)).sum();
    if window.len() < 8_000 || energy == 0.0 {
        return None;
    }
    let mut best = Match { delay_ms: 0.0, correlation: 0.0 };
    for lag in 0..(delay_ms_max * 8) as i64 {
        let Ok(start) = usize::try_from(offset - lag) else { continue };
        let Some(piece) = sent.get(start..start + window.len()) else { continue };
        let (mut product, mut own) = (0.0, 0.0);
        for (a, b) in piece.iter().zip(window) {
            product += f64::from(*a) * f64::from(*b);
            own += f64::from(*a).powi(2);
        }
        let correlation = product / (own * energy).sqrt().max(1.0);
        if correlation > best.correlation {
            best = Match { delay_ms: lag as f64 / 8.0, correlation };
        }
    }
    Some(best)
}

/// All packets as 8 kHz PCM in their order, and when the first sample was heard, in seconds: the median over the packets,
/// so that one late packet does not count. What is missing is silence.
pub fn decode_all<'a>(
    packets: impl Iterator<Item = HeardPacket<'a>>,
    codec: CodecKind,
) -> (f64, Vec<i16>) {
    let ordered: BTreeMap<i64, HeardPacket> = packets.map(|it| (it.frame, it)).collect();
    let mut decoder = new_decoder(codec, SampleRate::Hz8000);
    // G.722 has one rate only: its sound is converted afterwards, which costs no delay.
    let rate = decoder.rate();
    let (mut pcm, mut anchors, mut buffer) = (Vec::new(), Vec::new(), [0; 5_760]);
    for packet in ordered.values() {
        let Ok(frame) = usize::try_from(packet.frame) else { continue };
        pcm.resize(frame * rate.frame_samples(), 0);
        let length = decoder.decode(packet.payload, &mut buffer).unwrap_or(0);
        pcm.extend(&buffer[..length]);
        anchors.push(packet.at - frame as f64 * 0.02);
    }
    (median(anchors), convert_rate(&pcm, rate.hz(), 8_000))
}

/// The middle value; 0 of nothing.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shifted_copy_is_found_where_it_lies() {
        let mut state = 1_u32;
        let sent: Vec<i16> = (0..40_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 18) as i16
            })
            .collect();
        // Heard from sample 8000 on, at a moment 8000 + 200 samples (25 ms) after the start.
        let found = align(&sent, &sent[8_000..20_000], 8_200, 100).expect("enough sound");
        assert!((found.delay_ms - 25.0).abs() < 0.2, "{found:?}");
        assert!(found.correlation > 0.99);
    }
}
