//! Clips over the room's sound: one playlist at a time, 5 ms fades, the room at full level, lowered or silent.

use crate::base::ids::{CallKey, PlayToken};
use crate::leg::media::{FromMedia, MediaOutputs, Playlist, RoomDuring};
use crate::media::frame::{FRAME_SAMPLES_MAX, Frame, SampleRate};

/// What a leg plays to its phone.
#[derive(Debug)]
pub struct Player {
    call: CallKey,
    current: Option<Playing>,
    /// Stopped or replaced: fades out within the next frame, then goes home.
    fading: Option<Playing>,
    /// Of the room's sound, in 1/32,768.
    room_gain: i32,
}

#[derive(Debug)]
struct Playing {
    token: PlayToken,
    playlist: Box<Playlist>,
    clip: usize,
    /// Samples of the clip already played, at `rate`.
    offset: usize,
    rate: SampleRate,
    /// In 1/32,768.
    gain: i32,
}

impl Player {
    /// Plays nothing.
    pub fn new(call: CallKey) -> Self {
        Self { call, current: None, fading: None, room_gain: FULL }
    }

    /// Plays from the next frame on; what plays now fades out.
    pub fn play(&mut self, token: PlayToken, playlist: Box<Playlist>, out: &mut MediaOutputs) {
        self.fade_current(out);
        let rate = SampleRate::Hz8000;
        self.current = Some(Playing { token, playlist, clip: 0, offset: 0, rate, gain: 0 });
    }

    /// Stops `token`, or whatever plays.
    pub fn stop(&mut self, token: Option<PlayToken>, out: &mut MediaOutputs) {
        let playing = self.current.as_ref().map(|playing| playing.token);
        if playing.is_some() && (token.is_none() || token == playing) {
            self.fade_current(out);
        }
    }

    /// Ends everything at once: the leg goes.
    pub fn clear(&mut self, out: &mut MediaOutputs) {
        for playing in [self.fading.take(), self.current.take()].into_iter().flatten() {
            self.done(playing, false, out);
        }
    }

    /// Whether there is nothing to do to a frame.
    pub fn is_idle(&self) -> bool {
        self.current.is_none() && self.fading.is_none() && self.room_gain == FULL
    }

    /// Whether the room is heard, be it under a clip.
    pub fn lets_room_be_heard(&self) -> bool {
        self.current.as_ref().is_none_or(|playing| playing.playlist.room != RoomDuring::Silent)
    }

    /// Lays the clips over 20 ms of the room.
    pub fn overlay(&mut self, frame: &mut Frame, out: &mut MediaOutputs) {
        if self.is_idle() {
            return;
        }
        let step = FULL / frame.rate().samples(FADE_MS) as i32;
        self.scale_room(frame, step);
        if let Some(mut fading) = self.fading.take() {
            fading.mix(frame, 0, step);
            self.done(fading, false, out);
        }
        if let Some(mut playing) = self.current.take() {
            if playing.mix(frame, FULL, step) {
                self.current = Some(playing);
            } else {
                self.done(playing, true, out);
            }
        }
    }

    fn scale_room(&mut self, frame: &mut Frame, step: i32) {
        let target = match &self.current {
            Some(playing) => room_level(playing.playlist.room),
            None => FULL,
        };
        if self.room_gain == FULL && target == FULL {
            return;
        }
        for sample in frame.samples_mut() {
            self.room_gain = towards(self.room_gain, target, step);
            *sample = ((i32::from(*sample) * self.room_gain) >> 15) as i16;
        }
    }

    fn fade_current(&mut self, out: &mut MediaOutputs) {
        if let Some(cut) = self.fading.take() {
            self.done(cut, false, out);
        }
        self.fading = self.current.take();
    }

    fn done(&self, playing: Playing, finished: bool, out: &mut MediaOutputs) {
        let Playing { token, playlist, .. } = playing;
        out.push(FromMedia::PlayDone { call: self.call, token, finished, playlist });
    }
}

impl Playing {
    /// Mixes the next 20 ms in, its gain moving towards `target`. False at the end.
    fn mix(&mut self, frame: &mut Frame, target: i32, step: i32) -> bool {
        self.follow_rate(frame.rate());
        let mut written = 0;
        let samples = frame.samples_mut();
        while written < samples.len() {
            let Some(clip) = self.playlist.clips.get(self.clip) else {
                if !self.playlist.repeat || self.is_empty() {
                    return false;
                }
                self.clip = 0;
                continue;
            };
            let rest = &mut samples[written..];
            let mut pcm = [0; FRAME_SAMPLES_MAX];
            let count = clip.read(self.rate, self.offset, &mut pcm[..rest.len()]);
            for (sample, clip) in rest.iter_mut().zip(&pcm[..count]) {
                self.gain = towards(self.gain, target, step);
                let sum = i32::from(*sample) + ((i32::from(*clip) * self.gain) >> 15);
                *sample = sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
            }
            written += count;
            self.offset += count;
            if self.offset >= clip.length(self.rate) {
                self.clip += 1;
                self.offset = 0;
            }
        }
        self.playlist.repeat || self.clip < self.playlist.clips.len()
    }

    /// A codec change inside a clip: goes on at the same time.
    fn follow_rate(&mut self, rate: SampleRate) {
        if rate != self.rate {
            self.offset = self.offset / self.rate.samples(1) * rate.samples(1);
            self.rate = rate;
        }
    }

    fn is_empty(&self) -> bool {
        self.playlist.clips.iter().all(|clip| clip.length(self.rate) == 0)
    }
}

fn room_level(room: RoomDuring) -> i32 {
    match room {
        RoomDuring::Full => FULL,
        RoomDuring::Ducked => DUCKED,
        RoomDuring::Silent => 0,
    }
}

fn towards(gain: i32, target: i32, step: i32) -> i32 {
    if gain < target { (gain + step).min(target) } else { (gain - step).max(target) }
}

const FULL: i32 = 1 << 15;
/// -12 dB.
const DUCKED: i32 = 8_231;
/// Length of every fade: a step in level within 5 ms is not heard as a click.
const FADE_MS: usize = 5;

#[cfg(test)]
mod tests;
