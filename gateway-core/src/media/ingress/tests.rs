use std::time::Duration;

use super::*;
use crate::media::codec::{self, EncoderSettings};
use crate::media::tone;

/// A phone in the room: says a tone, records what it hears.
struct Phone {
    ear: EarKey,
    codec: CodecKind,
    encoder: Box<dyn codec::Encoder>,
    hz: f64,
    amplitude: i16,
    frames: u64,
    heard: Vec<i16>,
    last: Heard,
}

struct Room {
    ingress: Box<Ingress>,
    phones: Vec<Phone>,
    start: Instant,
    tick: u64,
}

impl Room {
    fn of(codecs: &[CodecKind]) -> Self {
        let mut room =
            Self { ingress: Ingress::new(16), phones: Vec::new(), start: Instant::now(), tick: 0 };
        for codec in codecs {
            room.enter(*codec);
        }
        room
    }

    fn enter(&mut self, codec: CodecKind) {
        let n = self.phones.len() as u64;
        let rate = codec.row().pcm_rate;
        let (ear, key) = (EarKey(n), SourceKey(n));
        assert!(self.ingress.add_ear(ear, rate));
        let now = self.now();
        self.ingress.add_source(now, Source::new(key, Some(ear), &[codec])).expect("a place");
        self.phones.push(Phone {
            ear,
            codec,
            encoder: codec::new_encoder(codec, rate, EncoderSettings::default()),
            // Apart by more than any filter of the judge, and no harmonics of each other.
            hz: 430.0 + 170.0 * n as f64,
            amplitude: 3_000,
            frames: 0,
            heard: Vec::new(),
            last: Heard::Nobody,
        });
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(5 * self.tick)
    }

    fn run(&mut self, ticks: u64) {
        for _ in 0..ticks {
            let now = self.now();
            for (n, phone) in self.phones.iter_mut().enumerate() {
                // Each phone sends and hears in its own phase.
                if self.tick % 4 == n as u64 % 4 {
                    phone.speak(now, &mut self.ingress);
                }
            }
            self.ingress.tick(now);
            for (n, phone) in self.phones.iter_mut().enumerate() {
                if self.tick % 4 == (n as u64 + 2) % 4 {
                    let mut frame = Frame::silence(phone.codec.row().pcm_rate);
                    phone.last = self.ingress.pull(phone.ear, &mut frame);
                    phone.heard.extend(frame.samples());
                }
            }
            self.tick += 1;
        }
    }

    /// Runs a second and gives, per ear, the amplitude of each phone's tone in what was heard.
    fn tones(&mut self) -> Vec<Vec<f64>> {
        self.phones.iter_mut().for_each(|phone| phone.heard.clear());
        self.run(200);
        let tones: Vec<f64> = self.phones.iter().map(|phone| phone.hz).collect();
        self.phones
            .iter()
            .map(|phone| {
                let rate = phone.codec.row().pcm_rate;
                tones.iter().map(|hz| tone::amplitude(rate, &phone.heard, *hz)).collect()
            })
            .collect()
    }
}

impl Phone {
    fn speak(&mut self, now: Instant, ingress: &mut Ingress) {
        let rate = self.codec.row().pcm_rate;
        let samples = rate.frame_samples();
        let start = self.frames * samples as u64;
        let pcm = tone::sine_from(rate, self.hz, self.amplitude, start, samples);
        let mut payload = [0; codec::PAYLOAD_BYTES_MAX];
        let length = self.encoder.encode(&pcm, &mut payload);
        let packet = SourcePacket {
            codec: self.codec,
            sequence: self.frames,
            timestamp: self.frames * u64::from(self.codec.row().clock_hz) / 50,
            marker: false,
            payload: &payload[..length],
        };
        self.frames += 1;
        ingress.put(now, SourceKey(self.ear.0), packet);
    }
}

#[test]
fn everyone_hears_everyone_but_himself_at_his_level() {
    use CodecKind::{G722, Opus, Pcma, Pcmu};
    for codecs in [[Pcmu, Pcma, Pcmu], [Pcmu, G722, Opus], [Opus, Opus, Pcma], [G722, Opus, Opus]] {
        let mut room = Room::of(&codecs);
        room.run(400);
        for (ear, tones) in room.tones().iter().enumerate() {
            for (speaker, amplitude) in tones.iter().enumerate() {
                let db = 20.0 * (amplitude / 3_000.0).log10();
                if ear == speaker {
                    assert!(db < -40.0, "{codecs:?}: {ear} hears himself at {db} dB");
                } else {
                    assert!(db.abs() < 1.0, "{codecs:?}: {ear} hears {speaker} at {db} dB");
                }
            }
        }
    }
}

#[test]
fn alone_one_hears_noise_at_minus_62() {
    let mut room = Room::of(&[CodecKind::Pcma]);
    room.run(400);
    room.phones[0].heard.clear();
    room.run(400);
    assert_eq!(room.phones[0].last, Heard::Nobody);
    let level = tone::dbov(&room.phones[0].heard);
    assert!((level + 62.0).abs() < 1.5, "{level}");
}

#[test]
fn the_fourth_is_heard_once_he_is_louder() {
    let mut room = Room::of(&[CodecKind::Pcma; 5]);
    for (phone, amplitude) in room.phones.iter_mut().zip([3_000, 3_000, 3_000, 500, 0]) {
        phone.amplitude = amplitude;
    }
    room.run(400);
    let tones = &room.tones()[4];
    assert!(tones[..3].iter().all(|amplitude| *amplitude > 2_700.0), "{tones:?}");
    assert!(tones[3] < 30.0, "{tones:?}");
    room.phones[3].amplitude = 16_000;
    room.run(40);
    let tones = &room.tones()[4];
    assert!(tones[3] > 14_500.0, "{tones:?}");
    assert_eq!(tones[..3].iter().filter(|amplitude| **amplitude > 2_500.0).count(), 2);
}

#[test]
fn mute_silences_at_once_without_a_click_and_forgets() {
    for phase in 0..4 {
        let mut room = Room::of(&[CodecKind::Pcmu, CodecKind::Pcmu]);
        room.run(400 + phase);
        room.ingress.set_muted(SourceKey(0), true);
        let at = room.phones[1].heard.len();
        room.run(60);
        let after = &room.phones[1].heard[at..];
        assert!(tone::rms(&after[40..]) < 60.0, "phase {phase}: {}", tone::rms(&after[40..]));
        let seam = &room.phones[1].heard[at - 80..at + 120];
        let jump = seam.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max();
        assert!(jump < Some(1_300), "phase {phase}: {jump:?}");
        room.ingress.set_muted(SourceKey(0), false);
        room.run(60);
        let tones = room.tones();
        assert!(tones[1][0] > 2_700.0, "{tones:?}");
    }
}

#[test]
fn who_leaves_is_silent_and_may_come_back() {
    let mut room = Room::of(&[CodecKind::Pcmu, CodecKind::Pcmu]);
    room.run(300);
    let source = room.ingress.remove_source(SourceKey(0)).expect("was there");
    room.ingress.remove_ear(EarKey(0));
    room.run(8);
    assert!(room.tones()[1][0] < 30.0);
    assert!(room.ingress.add_ear(EarKey(0), SampleRate::Hz8000));
    let now = room.now();
    room.ingress.add_source(now, source).expect("its place");
    room.run(100);
    assert!(room.tones()[1][0] > 2_700.0);
}

#[test]
fn an_opus_phone_joins_while_others_talk() {
    let mut room = Room::of(&[CodecKind::Opus, CodecKind::Pcmu]);
    room.run(400);
    assert_eq!(room.ingress.source(SourceKey(0)).map(|s| s.statistics().units_concealed), Some(0));
    room.enter(CodecKind::Opus);
    room.run(200);
    let tones = room.tones();
    for (ear, speaker) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
        assert!((tones[ear][speaker] / 3_000.0 - 1.0).abs() < 0.11, "{ear} {speaker} {tones:?}");
    }
}

#[test]
fn a_source_without_an_owner_is_an_echo() {
    let mut room = Room::of(&[CodecKind::G722]);
    room.ingress.remove_source(SourceKey(0));
    let now = room.now();
    let echo = Source::new(SourceKey(0), None, &[CodecKind::G722]);
    room.ingress.add_source(now, echo).expect("a place");
    room.run(400);
    assert!(room.tones()[0][0] > 2_700.0);
}

#[test]
fn a_full_room_gives_the_source_back() {
    let mut ingress = Ingress::new(1);
    let now = Instant::now();
    let source = |n| Source::new(SourceKey(n), None, &[CodecKind::Pcmu]);
    assert!(ingress.add_source(now, source(1)).is_ok());
    assert!(ingress.add_source(now, source(1)).is_err(), "key taken");
    assert!(ingress.add_source(now, source(2)).is_err(), "no place");
    assert!(ingress.add_ear(EarKey(1), SampleRate::Hz8000));
    assert!(!ingress.add_ear(EarKey(2), SampleRate::Hz8000));
    let mut frame = Frame::silence(SampleRate::Hz8000);
    assert_eq!(ingress.pull(EarKey(9), &mut frame), Heard::Nobody);
}

#[test]
fn many_loud_voices_are_limited_not_clipped() {
    let mut room = Room::of(&[CodecKind::Pcmu; 4]);
    room.phones.iter_mut().for_each(|phone| phone.amplitude = 20_000);
    room.run(400);
    let tones = room.tones();
    let peak = room.phones[3].heard.iter().map(|s| s.unsigned_abs()).max();
    assert!(peak <= Some(32_100), "{peak:?}");
    // Three tones of 20,000 do not fit: all are lowered alike.
    assert!(tones[3][..3].iter().all(|amplitude| *amplitude > 8_000.0), "{tones:?}");
}
