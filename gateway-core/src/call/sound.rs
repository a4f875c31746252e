//! What plays to the caller and when: one thing at a time, and music below it where nothing else is heard.
//!
//! Foreground (words, chimes) goes first and queues; background (music) begins when the foreground is empty and
//! begins again after it. A shard plays one playlist; a new one replaces the old.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::ids::{CallKey, PlayToken};
use crate::leg::media::{Playlist, RoomDuring, ToMedia};
use crate::media::clip::prompt::PromptId;
use crate::media::clip::{Clip, ClipLibrary, Language, SoundId};

/// Above this many people nobody wants to hear each one come and go.
pub const CHIME_MEMBERS_MAX: usize = 8;
/// Several who enter at once make one chime.
pub const CHIMES_APART: Duration = Duration::from_secs(1);
/// Foreground that waits. Full: the newest is dropped.
const QUEUE_MAX: usize = 4;

/// What something in the foreground is for; comes back when it was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Words of a question.
    Question,
    /// Why the caller waits or is alone; cut short when that changes.
    Waiting,
    /// Answer to a key, or news.
    Note,
    /// Somebody came or left.
    Chime,
    /// Last words.
    Last,
}

/// The sound of one call.
pub struct Sound {
    call: CallKey,
    clips: Arc<ClipLibrary>,
    token_last: u32,
    playing: Option<(PlayToken, Option<Purpose>)>,
    queue: VecDeque<(Purpose, Playlist)>,
    music: bool,
    chimed: Option<(SoundId, Instant)>,
    outputs: VecDeque<ToMedia>,
}

impl Sound {
    /// Silence, so far.
    pub fn new(call: CallKey, clips: Arc<ClipLibrary>) -> Self {
        Self {
            call,
            clips,
            token_last: 0,
            playing: None,
            queue: VecDeque::new(),
            music: false,
            chimed: None,
            outputs: VecDeque::new(),
        }
    }

    /// Says `words` at once; whatever else plays or waits is dropped, music included.
    pub fn say_alone(&mut self, purpose: Purpose, words: &[PromptId], language: Language) {
        self.queue.clear();
        self.music = false;
        let list = self.words(words, language, RoomDuring::Silent);
        self.play(Some(purpose), list);
    }

    /// Says `words` after what is being said.
    pub fn say(&mut self, purpose: Purpose, words: &[PromptId], language: Language) {
        let room = match purpose {
            Purpose::Waiting => RoomDuring::Silent,
            _ => RoomDuring::Ducked,
        };
        let list = self.words(words, language, room);
        self.enqueue(purpose, list);
    }

    /// Says `words` instead of an earlier answer to a key: who presses twice wants the latest.
    pub fn reply(&mut self, words: &[PromptId], language: Language) {
        self.queue.retain(|(purpose, _)| *purpose != Purpose::Note);
        let list = self.words(words, language, RoomDuring::Ducked);
        self.play(Some(Purpose::Note), list);
    }

    /// A chime, unless the same was heard just now.
    pub fn chime(&mut self, now: Instant, sound: SoundId) {
        let fresh = |(last, at): (SoundId, Instant)| {
            last == sound && now.saturating_duration_since(at) < CHIMES_APART
        };
        if self.chimed.is_some_and(fresh) {
            return;
        }
        self.chimed = Some((sound, now));
        let clips = vec![self.clips.sound(sound)];
        self.enqueue(Purpose::Chime, Playlist { clips, repeat: false, room: RoomDuring::Full });
    }

    /// Music below everything, or none.
    pub fn set_music(&mut self, music: bool) {
        self.music = music;
        if !music {
            self.queue.retain(|(purpose, _)| *purpose != Purpose::Waiting);
            if matches!(self.playing, Some((_, None | Some(Purpose::Waiting)))) {
                self.stop();
            }
        }
        if self.playing.is_none() {
            self.next();
        }
    }

    /// Stops the words of a question (barge-in).
    pub fn stop_words(&mut self) {
        if matches!(self.playing, Some((_, Some(Purpose::Question)))) {
            self.stop();
            self.next();
        }
    }

    /// Nothing more is to be heard.
    pub fn silence(&mut self) {
        self.queue.clear();
        self.music = false;
        if self.playing.is_some() {
            self.stop();
        }
    }

    /// A play ended. Gives what it was for, if it was the current one and was heard or cut by the shard.
    pub fn play_done(&mut self, token: PlayToken) -> Option<Purpose> {
        let (_, purpose) = self.playing.take_if(|(current, _)| *current == token)?;
        self.next();
        purpose
    }

    /// The next command to the shard.
    pub fn poll_output(&mut self) -> Option<ToMedia> {
        self.outputs.pop_front()
    }

    fn words(&self, words: &[PromptId], language: Language, room: RoomDuring) -> Playlist {
        let clips: Vec<Arc<Clip>> =
            words.iter().map(|word| self.clips.prompt(*word, language)).collect();
        Playlist { clips, repeat: false, room }
    }

    fn enqueue(&mut self, purpose: Purpose, list: Playlist) {
        match self.playing {
            Some((_, Some(_))) if self.queue.len() < QUEUE_MAX => {
                self.queue.push_back((purpose, list));
            }
            Some((_, Some(_))) => {}
            Some((_, None)) | None => self.play(Some(purpose), list),
        }
    }

    fn next(&mut self) {
        if let Some((purpose, list)) = self.queue.pop_front() {
            self.play(Some(purpose), list);
        } else if self.music {
            let clips = vec![self.clips.sound(SoundId::MusicOnHold)];
            self.play(None, Playlist { clips, repeat: true, room: RoomDuring::Silent });
        }
    }

    fn play(&mut self, purpose: Option<Purpose>, playlist: Playlist) {
        self.token_last = self.token_last.wrapping_add(1);
        let token = PlayToken(self.token_last);
        self.playing = Some((token, purpose));
        let playlist = Box::new(playlist);
        self.outputs.push_back(ToMedia::Play { call: self.call, token, playlist });
    }

    fn stop(&mut self) {
        let token = self.playing.take().map(|(token, _)| token);
        self.outputs.push_back(ToMedia::StopPlay { call: self.call, token });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Sound {
        Sound::new(CallKey::default(), Arc::new(ClipLibrary::default()))
    }

    /// The last play asked for: token, and whether it repeats (music).
    fn last_play(sound: &mut Sound) -> Option<(PlayToken, bool)> {
        let mut last = None;
        while let Some(output) = sound.poll_output() {
            match output {
                ToMedia::Play { token, playlist, .. } => last = Some((token, playlist.repeat)),
                ToMedia::StopPlay { .. } => last = None,
                _ => unreachable!("sound only plays and stops"),
            }
        }
        last
    }

    #[test]
    fn music_follows_the_words_and_stops_when_somebody_comes() {
        let (mut sound, now) = (sound(), Instant::now());
        sound.say(Purpose::Waiting, &[PromptId::Alone], Language::En);
        sound.set_music(true);
        let (words, music) = last_play(&mut sound).expect("words");
        assert!(!music);
        assert_eq!(sound.play_done(words), Some(Purpose::Waiting));
        let (_, music) = last_play(&mut sound).expect("music");
        assert!(music);
        sound.set_music(false);
        sound.chime(now, SoundId::Entry);
        let (chime, music) = last_play(&mut sound).expect("chime");
        assert!(!music);
        assert_eq!(sound.play_done(chime), Some(Purpose::Chime));
        assert_eq!(last_play(&mut sound), None);
    }

    #[test]
    fn several_who_enter_at_once_make_one_chime() {
        let (mut sound, now) = (sound(), Instant::now());
        sound.chime(now, SoundId::Entry);
        assert!(last_play(&mut sound).is_some());
        sound.chime(now + Duration::from_millis(900), SoundId::Entry);
        assert_eq!(sound.queue.len(), 0);
        sound.chime(now + Duration::from_millis(1_000), SoundId::Entry);
        assert_eq!(sound.queue.len(), 1);
    }

    #[test]
    fn a_late_done_of_a_replaced_play_means_nothing() {
        let mut sound = sound();
        sound.reply(&[PromptId::Muted], Language::En);
        let (first, _) = last_play(&mut sound).expect("words");
        sound.reply(&[PromptId::Unmuted], Language::En);
        let (second, _) = last_play(&mut sound).expect("words");
        assert_eq!(sound.play_done(first), None);
        assert_eq!(sound.play_done(second), Some(Purpose::Note));
    }

    #[test]
    fn last_words_are_alone() {
        let mut sound = sound();
        sound.say(Purpose::Waiting, &[PromptId::Alone], Language::En);
        sound.set_music(true);
        sound.say_alone(Purpose::Last, &[PromptId::Goodbye], Language::En);
        let (last, _) = last_play(&mut sound).expect("words");
        assert_eq!(sound.play_done(last), Some(Purpose::Last));
        assert_eq!(last_play(&mut sound), None);
    }
}
