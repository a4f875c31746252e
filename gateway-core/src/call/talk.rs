//! The middle of a call: questions and answers, the way into the room, the keys and the sounds inside.

use std::time::Duration;

use crate::base::ids::{PlayToken, QuestionId};
use crate::base::pii::Pii;
use crate::call::asking::Asking;
use crate::call::event::Event;
use crate::call::keys::MenuChoice;
use crate::call::machine::{
    Call, CallOutput, OWNER_ANSWERS_WITHIN, PAUSE_BEFORE_BYE, SeatWish, Stage, Timer, codecs_of,
};
use crate::call::sound::{CHIME_MEMBERS_MAX, Purpose};
use crate::call::{AnswerEnd, CallDirection, Moment, Question, Route};
use crate::leg::backend::{
    CallWay, EmptyRoom, JoinRefused, JoinRequest, JoinStep, LegCommand, MemberChange, Moderation,
    RoomFacts,
};
use crate::leg::end_reason::EndReason;
use crate::leg::media::ToMedia;
use crate::media::clip::SoundId;
use crate::media::clip::prompt::PromptId;
use crate::media::codec::CodecKind;
use crate::media::dtmf::{Key, KeySource};
use crate::sip::endpoint::ApiMisuse;

/// The question a conference puts to its caller. Owners count theirs from below.
pub(super) const PASSWORD_QUESTION: QuestionId = QuestionId(u32::MAX);
/// A password that a phone can type: what the web lets people set by digits is at most this long.
const PASSWORD_DIGITS_MAX: u8 = 20;
const PASSWORD_FIRST_DIGIT: Duration = Duration::from_secs(15);
const PASSWORD_BETWEEN_DIGITS: Duration = Duration::from_secs(5);

impl Call {
    /// The owner sends the caller into a room.
    pub fn route(
        &mut self,
        at: Moment,
        route: Box<Route>,
        empty_room: EmptyRoom,
    ) -> Result<(), ApiMisuse> {
        self.owner_may_decide()?;
        self.timers.clear(Timer::Owner);
        self.sound.silence();
        self.language = route.language;
        self.route = Some(route);
        self.enter(Stage::Joining, "routed");
        if !self.rings_for_company(at, empty_room) {
            self.answer(at);
            self.limit_length(at.now);
            if self.is_audible {
                self.ask_for_seat();
            }
        }
        self.drain(at);
        Ok(())
    }

    /// The owner asks the caller.
    pub fn ask(&mut self, at: Moment, question: Question) -> Result<(), ApiMisuse> {
        self.owner_may_decide()?;
        self.timers.clear(Timer::Owner);
        self.language = question.language;
        self.enter(Stage::Asking(Box::new(Asking::new(question))), "question");
        self.answer(at);
        if self.is_audible {
            self.begin_question(at);
        }
        self.drain(at);
        Ok(())
    }

    fn owner_may_decide(&self) -> Result<(), ApiMisuse> {
        match self.stage {
            Stage::Routing | Stage::Asking(_) | Stage::Deciding => Ok(()),
            // It ends anyway: the owner could not know.
            Stage::Ending(_) | Stage::Closing | Stage::Over => Err(ApiMisuse::NoSuchDialog),
            _ => Err(ApiMisuse::WrongState("the call is already routed")),
        }
    }

    /// Keys typed before count; where there are none, the words begin.
    pub(super) fn begin_question(&mut self, at: Moment) {
        while !self.typed.is_empty() {
            let key = self.typed.remove(0);
            if self.question_key(at, key) {
                return;
            }
        }
        let Stage::Asking(asking) = &mut self.stage else { return };
        if self.is_held {
            asking.suspend(at.now);
        } else if asking.is_untouched() {
            let question = asking.question();
            self.sound.say_alone(Purpose::Question, &question.words, question.language);
        }
    }

    /// A key into the open question. True if it ended the answer.
    fn question_key(&mut self, at: Moment, key: Key) -> bool {
        let late_hash = std::mem::take(&mut self.swallow_hash) && key == Key::Hash;
        let Stage::Asking(asking) = &mut self.stage else { return false };
        if late_hash {
            return false;
        }
        let end = asking.key(at.now, key);
        self.sound.stop_words();
        match end {
            Some(end) => {
                self.answered(at, end, true);
                true
            }
            None => false,
        }
    }

    pub(super) fn question_timeout(&mut self, at: Moment) {
        let Stage::Asking(asking) = &mut self.stage else { return };
        if let Some(end) = asking.handle_timeout(at.now) {
            self.answered(at, end, false);
        }
    }

    fn answered(&mut self, at: Moment, end: AnswerEnd, by_hash: bool) {
        let stage = std::mem::replace(&mut self.stage, Stage::Deciding);
        let Stage::Asking(asking) = stage else { return };
        if asking.id() == PASSWORD_QUESTION {
            self.enter(Stage::Joining, "password typed");
            self.swallow_hash = !by_hash;
            let digits = String::from_utf8_lossy(&asking.into_digits()).into_owned();
            let password = LegCommand::Password(Pii::new(digits));
            return self.outputs.push_back(CallOutput::Leg(password));
        }
        tracing::debug!(call = %self.key, from = "Asking", to = "Deciding", cause = "answer");
        self.swallow_hash = !by_hash;
        self.timers.set(Timer::Owner, at.now + OWNER_ANSWERS_WITHIN);
        let (question, digits) = (asking.id(), Pii::new(asking.into_digits()));
        let event = Event::Answered { call: self.key, question, digits, end };
        self.outputs.push_back(CallOutput::Event(event));
    }

    /// A key came, by whatever way.
    pub(super) fn key_arrived(&mut self, at: Moment, key: Key, source: KeySource) {
        if !self.key_filter.is_new(at.now, key, source) {
            return;
        }
        match &self.stage {
            Stage::Asking(_) if self.is_audible => {
                self.question_key(at, key);
            }
            // Full: the newest is dropped.
            Stage::Routing | Stage::Asking(_) | Stage::Deciding => {
                let _ = self.typed.try_push(key);
            }
            Stage::Joining | Stage::Joined if !self.is_quiet => {
                if let Some(choice) = self.menu.key(at.now, key) {
                    self.menu_choice(at, choice);
                }
            }
            _ => {}
        }
    }

    fn menu_choice(&mut self, at: Moment, choice: MenuChoice) {
        match choice {
            MenuChoice::Leave => return self.end(at, EndReason::CallerLeft),
            MenuChoice::Help => return self.sound.reply(&[PromptId::Help], self.language),
            _ if !matches!(self.stage, Stage::Joined) => return,
            MenuChoice::Mute => self.is_muted = !self.is_muted,
            MenuChoice::RaiseHand => self.has_hand_raised = !self.has_hand_raised,
            MenuChoice::Count => {}
        }
        let said = match choice {
            MenuChoice::Mute => {
                let muted = self.is_muted;
                self.mute(muted);
                self.outputs.push_back(CallOutput::Leg(LegCommand::Mute(muted)));
                if muted { PromptId::Muted } else { PromptId::Unmuted }
            }
            MenuChoice::RaiseHand => {
                let raised = self.has_hand_raised;
                self.outputs.push_back(CallOutput::Leg(LegCommand::RaiseHand(raised)));
                self.outputs.push_back(CallOutput::Event(Event::HandRaised(self.key, raised)));
                if raised { PromptId::HandRaised } else { PromptId::HandLowered }
            }
            _ => PromptId::Count(self.members.min(21) as u8),
        };
        self.sound.reply(&[said], self.language);
    }

    pub(super) fn ask_for_seat(&mut self) {
        let Some(route) = &self.route else { return };
        // Of a phone that did not answer yet nobody knows what it speaks: it may be all that we offer.
        let codecs = self.session.as_ref().map_or_else(|| self.policy.codecs.clone(), codecs_of);
        let codec = match &self.session {
            Some(session) => session.send_codec,
            None => cheapest(&codecs),
        };
        let way = match (&self.stage, self.story.direction) {
            (Stage::Dialling(_), _) => CallWay::Dialling,
            (_, CallDirection::Inbound) => CallWay::Inbound,
            (_, CallDirection::Outbound) => CallWay::Outbound,
        };
        let request = JoinRequest {
            room: route.room.clone(),
            role: route.role,
            label: route.label.clone(),
            codec,
            codecs: codecs.clone(),
            policy: route.policy,
            entry: route.entry.clone(),
            way,
        };
        let backend = route.backend.clone();
        self.seat = Some(codecs);
        let rng = self.rng.fork("conference");
        let wish = Box::new(SeatWish { backend, request, rng });
        self.outputs.push_back(CallOutput::OpenLeg(wish));
    }

    /// Where others find him in the room.
    pub(super) fn occupant(&mut self, address: String) {
        let event = Event::CallOccupant(self.key, address);
        self.outputs.push_back(CallOutput::Event(event));
    }

    /// There is no seat.
    pub fn seat_refused(&mut self, at: Moment, refused: JoinRefused) {
        self.seat = None;
        if self.goes_back() {
            return self.drain(at);
        }
        let reason = match refused {
            JoinRefused::Full => EndReason::RoomFull,
            JoinRefused::NotLive => EndReason::HostNeverCame,
            JoinRefused::Unavailable => EndReason::ServiceUnavailable,
        };
        self.answers_for_last_words(at, reason);
        self.end(at, reason);
        self.drain(at);
    }

    pub(super) fn join_progress(&mut self, at: Moment, step: JoinStep) {
        if let (Some(info), Stage::Joining | Stage::Joined) = (&mut self.info, &self.stage) {
            info.step(step);
        }
        if self.rings_on(at, step) {
            return;
        }
        match (&self.stage, step) {
            (Stage::Dialling(_), step) => self.dial_progress(at, step),
            (Stage::Joining | Stage::Joined, JoinStep::Reconnecting) => {
                self.wait_with(PromptId::Reconnecting);
            }
            (Stage::Joining, JoinStep::WaitingForHost | JoinStep::InLobbyUntilHost) => {
                self.wait_with(PromptId::WaitingForHost);
            }
            (Stage::Joining, JoinStep::Joining) => self.wait_with(PromptId::Joining),
            (Stage::Joining, JoinStep::InLobby) => self.wait_with(PromptId::LobbyWait),
            (Stage::Joining, JoinStep::HostArrived | JoinStep::AdmittedByHost) => {
                self.waited(PromptId::HostArrived);
            }
            (Stage::Joining, JoinStep::Admitted) => self.waited(PromptId::LobbyAdmitted),
            (Stage::Joining, JoinStep::PasswordNeeded { again }) => self.ask_password(at, again),
            _ => {}
        }
    }

    /// Words why the caller waits, then music.
    pub(super) fn wait_with(&mut self, words: PromptId) {
        self.sound.say(Purpose::Waiting, &[words], self.language);
        self.sound.set_music(true);
    }

    /// The waiting is over.
    fn waited(&mut self, words: PromptId) {
        self.sound.set_music(false);
        self.sound.say(Purpose::Note, &[words], self.language);
    }

    /// The conference asks, not the owner: the answer goes to the backend, and the join goes on.
    fn ask_password(&mut self, at: Moment, again: bool) {
        if self.is_silent() {
            return self.end(at, EndReason::PinRefused);
        }
        let words = if again { PromptId::PasswordWrong } else { PromptId::PasswordNeeded };
        let question = Question {
            id: PASSWORD_QUESTION,
            words: vec![words],
            language: self.language,
            digits_max: PASSWORD_DIGITS_MAX,
            first_digit: PASSWORD_FIRST_DIGIT,
            between_digits: PASSWORD_BETWEEN_DIGITS,
        };
        self.enter(Stage::Asking(Box::new(Asking::new(question))), "room has a password");
        if self.is_audible {
            self.begin_question(at);
        }
    }

    /// Somebody in the conference did something: words to the caller, and our state follows.
    pub(super) fn moderated(&mut self, what: Moderation) {
        if matches!(self.stage, Stage::Dialling(_)) {
            return self.dial_moderated(what);
        }
        if !matches!(self.stage, Stage::Joining | Stage::Joined) {
            return;
        }
        if self.was_wished_outside(what) {
            return;
        }
        let said = match what {
            Moderation::Listening(listens) => return self.listens(listens),
            Moderation::PromotionRefused => return self.promotion_refused(),
            // The room tells what it was told, or what its phones hear of by what follows from it.
            Moderation::Shown(_)
            | Moderation::SpeechModerated(_)
            | Moderation::SpeechApproved(_) => {
                return;
            }
            Moderation::Muted | Moderation::UnmuteRefused => {
                self.mute(true);
                PromptId::MutedByModerator
            }
            Moderation::Unmuted => {
                self.mute(false);
                PromptId::Unmuted
            }
            Moderation::UnmuteAllowed => PromptId::UnmuteRequested,
            Moderation::HandLowered => {
                self.has_hand_raised = false;
                self.outputs.push_back(CallOutput::Event(Event::HandRaised(self.key, false)));
                PromptId::HandLowered
            }
            Moderation::Recording(true) => PromptId::RecordingOn,
            Moderation::Recording(false) => PromptId::RecordingOff,
            Moderation::Streaming(true) => PromptId::StreamingOn,
            Moderation::Streaming(false) => PromptId::StreamingOff,
        };
        match what {
            // The answer to a key of his replaces what was said when he pressed it.
            Moderation::UnmuteRefused if self.listens_only => {
                self.hand_raised_by_room();
                self.sound.reply(&[PromptId::HandRaised], self.language);
            }
            Moderation::UnmuteRefused => {
                self.hand_raised_by_room();
                self.sound.reply(&[said, PromptId::HandRaised], self.language);
            }
            _ => self.sound.say(Purpose::Note, &[said], self.language),
        }
    }

    pub(super) fn hand_raised_by_room(&mut self) {
        self.has_hand_raised = true;
        self.outputs.push_back(CallOutput::Event(Event::HandRaised(self.key, true)));
    }

    /// The owner mutes the caller, or lets him speak again (a browser's button). Before the room there is nothing to mute.
    pub fn mute_by_owner(&mut self, at: Moment, muted: bool) {
        if self.seat.is_some() && self.is_muted != muted {
            self.mute(muted);
            if let (Some(info), true) = (&mut self.info, muted) {
                info.mute_request();
            }
            self.outputs.push_back(CallOutput::Leg(LegCommand::Mute(muted)));
        }
        self.drain(at);
    }

    pub(super) fn mute(&mut self, muted: bool) {
        self.is_muted = muted;
        self.media(ToMedia::Mute { call: self.key, muted: muted || self.is_held });
        self.outputs.push_back(CallOutput::Event(Event::CallMuted(self.key, muted)));
    }

    pub(super) fn joined(&mut self, at: Moment, facts: RoomFacts) {
        if matches!(self.stage, Stage::Joined) {
            return self.joined_again(facts);
        }
        if matches!(self.stage, Stage::Dialling(_)) {
            return self.dial_joined(at, facts);
        }
        if !matches!(self.stage, Stage::Joining) || self.rings_on_alone(at, facts) {
            return;
        }
        // Music and words of a wait on the way in end here.
        self.sound.set_music(false);
        self.story.joined.get_or_insert(at);
        self.members = facts.members;
        self.enter(Stage::Joined, "joined");
        if let Some(route) = &self.route {
            let joined = Event::CallJoined(self.key, route.room.clone());
            self.outputs.push_back(CallOutput::Event(joined));
        }
        self.settled();
        self.tell_joined();
        if self.is_held || self.is_muted {
            self.media(ToMedia::Mute { call: self.key, muted: true });
        }
        if facts.members > 1 {
            self.has_company();
            self.sound.chime(at.now, SoundId::Entry);
        } else {
            self.alone();
        }
        self.say_that_he_listens();
    }

    /// Back after [`JoinStep::Reconnecting`].
    fn joined_again(&mut self, facts: RoomFacts) {
        self.members = facts.members;
        self.waited(PromptId::Reconnected);
        if self.is_held || self.is_muted {
            self.media(ToMedia::Mute { call: self.key, muted: true });
        }
        if facts.members == 1 {
            self.alone();
        }
    }

    fn alone(&mut self) {
        self.sound.say(Purpose::Waiting, &[PromptId::Alone], self.language);
        self.sound.set_music(true);
    }

    pub(super) fn members_changed(&mut self, at: Moment, change: MemberChange, facts: RoomFacts) {
        self.members = facts.members;
        if !matches!(self.stage, Stage::Joined) {
            return;
        }
        let sound = match change {
            MemberChange::Entered => SoundId::Entry,
            MemberChange::Exited => SoundId::Exit,
        };
        if facts.members > 1 {
            self.has_company();
            self.sound.set_music(false);
        }
        if facts.members <= CHIME_MEMBERS_MAX {
            self.sound.chime(at.now, sound);
        }
        if facts.members == 1 {
            self.alone();
        }
    }

    /// The backend put us out.
    pub(super) fn left_room(&mut self, at: Moment, reason: EndReason) {
        self.seat = None;
        self.tell_left(at, reason);
        if !self.has_left_for_another() {
            self.answers_for_last_words(at, reason);
            self.end(at, reason);
        }
    }

    pub(super) fn play_done(&mut self, at: Moment, token: PlayToken) {
        let Some(purpose) = self.sound.play_done(token) else { return };
        match (purpose, &mut self.stage) {
            (Purpose::Question, Stage::Asking(asking)) => {
                asking.words_done(at.now);
                if self.is_held {
                    asking.suspend(at.now);
                }
            }
            (Purpose::Last, Stage::Ending(_)) => {
                self.timers.set(Timer::LastWords, at.now + PAUSE_BEFORE_BYE);
            }
            _ => {}
        }
    }
}

/// The codec whose ear costs least, for a phone that may come to speak any of them.
fn cheapest(codecs: &[CodecKind]) -> CodecKind {
    let by_rate = codecs.iter().copied().min_by_key(|codec| codec.row().pcm_rate);
    by_rate.unwrap_or(CodecKind::Pcma)
}
