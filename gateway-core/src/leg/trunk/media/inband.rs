//! Keys as tones, for phones that negotiated no telephone-event: found on arrival, and never heard in the room.
//!
//! A tone is recognised up to 19 ms after it began. So 20 ms of the phone's speech are held back here, and what was held
//! when a tone is suspected becomes silence. Only such phones pay this delay.

use arrayvec::ArrayVec;

use crate::leg::media::Uplink;
use crate::media::codec::{
    self, CodecKind, Decoder, EncoderSettings, PAYLOAD_BYTES_MAX, PAYLOAD_SAMPLES_MAX,
};
use crate::media::dtmf::Key;
use crate::media::dtmf::inband::InbandDetector;

/// Listens for tones and holds the speech back.
pub struct InbandGuard {
    codec: CodecKind,
    decoder: Box<dyn Decoder>,
    detector: InbandDetector,
    pcm: Box<[i16]>,
    held: [Held; HELD_MAX],
    /// Which of `held` is the oldest, and how many are in use.
    oldest: usize,
    count: usize,
    /// One payload of silence, where bytes and samples keep step (G.711, G.722).
    silence: ArrayVec<u8, SILENCE_BYTES>,
}

/// One packet held back.
struct Held {
    sequence: u64,
    timestamp: u64,
    marker: bool,
    milliseconds: usize,
    is_tone: bool,
    length: usize,
    payload: Box<[u8]>,
}

impl InbandGuard {
    /// A guard for the one codec the phone was offered.
    pub fn new(codec: CodecKind) -> Self {
        let decoder = codec::new_decoder(codec, codec.row().pcm_rate);
        let held = || Held {
            sequence: 0,
            timestamp: 0,
            marker: false,
            milliseconds: 0,
            is_tone: false,
            length: 0,
            payload: vec![0; PAYLOAD_BYTES_MAX].into(),
        };
        Self {
            codec,
            detector: InbandDetector::new(decoder.rate()),
            decoder,
            pcm: vec![0; PAYLOAD_SAMPLES_MAX].into(),
            held: std::array::from_fn(|_| held()),
            oldest: 0,
            count: 0,
            silence: silence_of(codec),
        }
    }

    /// Takes a packet of speech. Gives a key if one began, and the packet whose time to go on has come.
    pub fn push(&mut self, speech: Uplink<'_>) -> (Option<Key>, Option<Uplink<'_>>) {
        if speech.codec != self.codec || speech.payload.len() > PAYLOAD_BYTES_MAX {
            return (None, None);
        }
        let Ok(samples) = self.decoder.decode(speech.payload, &mut self.pcm) else {
            return (None, None);
        };
        let (pressed, suspected) = self.listen(samples);
        let milliseconds = samples / self.decoder.rate().samples(1);
        if self.count == HELD_MAX {
            self.drop_oldest();
        }
        self.hold(speech, milliseconds);
        if suspected {
            for index in 0..self.count {
                self.held[(self.oldest + index) % HELD_MAX].is_tone = true;
            }
        }
        (pressed, self.release())
    }

    /// In pieces: a tone that ends inside a long packet would be forgotten at the packet's end.
    fn listen(&mut self, samples: usize) -> (Option<Key>, bool) {
        let (mut pressed, mut suspected) = (None, false);
        let pcm = self.pcm.get(..samples).unwrap_or_default();
        for piece in pcm.chunks(self.decoder.rate().tick_samples()) {
            let verdict = self.detector.feed(piece);
            pressed = pressed.or(verdict.pressed);
            suspected |= verdict.suspected;
        }
        (pressed, suspected)
    }

    fn hold(&mut self, speech: Uplink<'_>, milliseconds: usize) {
        let place = &mut self.held[(self.oldest + self.count) % HELD_MAX];
        place.sequence = speech.sequence;
        place.timestamp = speech.timestamp;
        place.marker = speech.marker;
        place.milliseconds = milliseconds;
        place.is_tone = false;
        place.length = speech.payload.len();
        place.payload[..place.length].copy_from_slice(speech.payload);
        self.count += 1;
    }

    /// The oldest packet, if 20 ms came after it.
    fn release(&mut self) -> Option<Uplink<'_>> {
        let after: usize =
            (1..self.count).map(|n| self.held[(self.oldest + n) % HELD_MAX].milliseconds).sum();
        if after < HOLD_BACK_MS {
            return None;
        }
        let place = self.oldest;
        self.drop_oldest();
        let held = &mut self.held[place];
        if held.is_tone && !held.silence(&self.silence) {
            return None;
        }
        Some(Uplink {
            codec: self.codec,
            sequence: held.sequence,
            timestamp: held.timestamp,
            marker: held.marker,
            payload: &held.payload[..held.length],
        })
    }

    fn drop_oldest(&mut self) {
        self.oldest = (self.oldest + 1) % HELD_MAX;
        self.count -= 1;
    }
}

impl Held {
    /// Overwrites the payload. False where silence of this length cannot be made from bytes (Opus).
    fn silence(&mut self, pattern: &[u8]) -> bool {
        for (byte, quiet) in self.payload[..self.length].iter_mut().zip(pattern.iter().cycle()) {
            *byte = *quiet;
        }
        !pattern.is_empty()
    }
}

impl std::fmt::Debug for InbandGuard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "InbandGuard({:?})", self.codec)
    }
}

/// 20 ms of silence, after the encoder has come to rest.
fn silence_of(codec: CodecKind) -> ArrayVec<u8, SILENCE_BYTES> {
    let mut silence = ArrayVec::new();
    if codec == CodecKind::Opus {
        return silence;
    }
    let rate = codec.row().pcm_rate;
    let mut encoder = codec::new_encoder(codec, rate, EncoderSettings::default());
    let pcm = vec![0; rate.frame_samples()];
    let mut bytes = [0; PAYLOAD_BYTES_MAX];
    for _ in 0..10 {
        let length = encoder.encode(&pcm, &mut bytes);
        silence = bytes[..length.min(SILENCE_BYTES)].iter().copied().collect();
    }
    silence
}

/// Longer than the 19 ms a tone may sound before it is suspected.
const HOLD_BACK_MS: usize = 20;
/// Packets of 10 ms: two held, one new.
const HELD_MAX: usize = 4;
const SILENCE_BYTES: usize = 160;
