//! The end of a call: one reason, last words, the legs in their order, one record.
//!
//! The conference leg goes first, so that nobody hears the last words of another; then the trunk leg; its ports are
//! closed when the shard has given its half back.

use crate::call::dialling::DISCONNECTED;
use crate::call::event::Event;
use crate::call::machine::{Call, CallOutput, DETACH_PATIENCE, LAST_WORDS_MAX, Stage, Timer};
use crate::call::sound::Purpose;
use crate::call::story::Birth;
use crate::call::{CallRecord, Moment};
use crate::leg::backend::LegCommand;
use crate::leg::end_reason::EndReason;
use crate::leg::media::ToMedia;
use crate::leg::trunk::signal::TrunkCommand;
use crate::media::clip::Language;
use crate::media::clip::prompt::PromptId;
use crate::media::quality::LegReport;
use crate::sip::endpoint::UaCommand;

impl Call {
    /// The owner says words and ends the call.
    pub fn say_and_end(
        &mut self,
        at: Moment,
        words: Vec<PromptId>,
        language: Language,
        reason: EndReason,
    ) {
        if self.reason.is_some() {
            return;
        }
        if matches!(self.stage, Stage::Routing) {
            self.answer(at);
        }
        self.language = language;
        self.end_with(at, reason, words);
        self.drain(at);
    }

    /// The owner ends the call.
    pub fn end_by_owner(&mut self, at: Moment, reason: EndReason) {
        self.end(at, reason);
        self.drain(at);
    }

    /// The call is to end, with the words of its reason. The first reason counts.
    pub(super) fn end(&mut self, at: Moment, reason: EndReason) {
        self.end_with(at, reason, reason.row().words.into_iter().collect());
    }

    fn end_with(&mut self, at: Moment, reason: EndReason, words: Vec<PromptId>) {
        if self.reason.is_some() {
            return;
        }
        // Whatever ends the wait: the call itself failed before.
        let reason = match self.stage {
            Stage::Lingering(failed) => failed,
            _ => reason,
        };
        self.reason = Some(reason);
        self.timers.clear_all();
        self.leave_room(reason);
        if let Stage::Opening(birth) = &mut self.stage {
            let birth = birth.take();
            return self.refuse_unopened(at, birth, reason);
        }
        self.forget_unsent_invite();
        if self.trunk.is_none() && matches!(self.stage, Stage::Dialling(_) | Stage::Lingering(_)) {
            return self.close(at);
        }
        let speaks = !words.is_empty() && !self.is_held && !self.is_silent();
        if self.story.answered.is_some() && speaks {
            self.enter(Stage::Ending(words), reason.row().label);
            self.timers.set(Timer::LastWords, at.now + LAST_WORDS_MAX);
            if self.is_audible {
                self.begin_last_words(at);
            }
        } else {
            self.hang_up(at);
        }
    }

    pub(super) fn begin_last_words(&mut self, _at: Moment) {
        let Stage::Ending(words) = &self.stage else { return };
        self.sound.say_alone(Purpose::Last, words, self.language);
    }

    /// The trunk leg ends in the way its state asks for; `TrunkOutput::Ended` follows at once.
    pub(super) fn hang_up(&mut self, at: Moment) {
        let reason = self.reason.unwrap_or(EndReason::Bug);
        if let Some(trunk) = &mut self.trunk {
            trunk.command(at.now, TrunkCommand::End(reason));
        }
        self.browser.end(reason);
    }

    fn refuse_unopened(&mut self, at: Moment, birth: Option<Birth>, reason: EndReason) {
        let row = reason.row();
        if let Some(Birth::Invited { dialog, .. }) = birth {
            self.story.status = Some(row.status);
            self.outputs.push_back(CallOutput::Ua(UaCommand::Reject {
                dialog,
                status: row.status,
                cause: Some(row.cause),
                warning: None,
                retry_after: None,
            }));
        }
        self.close(at);
    }

    /// The trunk leg is over, on whoever's wish.
    pub(super) fn trunk_over(&mut self, at: Moment, reason: EndReason, status: Option<u16>) {
        if matches!(self.stage, Stage::Closing | Stage::Over) {
            return;
        }
        if self.dial_failed(at, reason, status) {
            return;
        }
        let reason = *self.reason.get_or_insert(reason);
        self.story.status = status.or(self.story.status);
        self.tell_status(DISCONNECTED);
        self.leave_room(reason);
        self.close(at);
    }

    /// A failed call was seen long enough.
    pub(super) fn lingered(&mut self, at: Moment) {
        if let Stage::Lingering(reason) = self.stage {
            self.end(at, reason);
        }
    }

    fn leave_room(&mut self, reason: EndReason) {
        if self.seat.take().is_some() {
            self.outputs.push_back(CallOutput::Leg(LegCommand::Leave(reason)));
        }
    }

    fn close(&mut self, at: Moment) {
        self.timers.clear_all();
        self.sound.silence();
        while let Some(output) = self.sound.poll_output() {
            self.media(output);
        }
        self.enter(Stage::Closing, "trunk leg over");
        if self.is_attached {
            self.media(ToMedia::DetachTrunk(self.key));
            self.timers.set(Timer::Detach, at.now + DETACH_PATIENCE);
        } else {
            self.finish(at);
        }
    }

    pub(super) fn trunk_detached(&mut self, at: Moment, report: LegReport) {
        self.story.report = report;
        self.is_attached = false;
        if matches!(self.stage, Stage::Closing) {
            self.finish(at);
        }
    }

    /// Ports, record, over.
    pub(super) fn finish(&mut self, at: Moment) {
        if matches!(self.stage, Stage::Over) {
            return;
        }
        self.timers.clear_all();
        if self.is_media_open {
            self.outputs.push_back(CallOutput::CloseMedia);
        }
        self.answer_browser_late();
        self.enter(Stage::Over, "all legs gone");
        let record = Box::new(self.record(at));
        self.outputs.push_back(CallOutput::Event(Event::CallEnded(record)));
    }

    fn record(&self, at: Moment) -> CallRecord {
        let story = &self.story;
        let codec = self.session.as_ref().map(|session| session.send_codec);
        let report = LegReport { codec: story.report.codec.or(codec), ..story.report };
        let was_in_room = story.joined.is_some() || story.was_in_room;
        CallRecord {
            call: self.key,
            direction: story.direction,
            trunk: story.trunk,
            call_id: story.call_id.clone(),
            caller: story.caller.clone(),
            dialled: story.dialled.clone(),
            room: self.route.as_ref().filter(|_| was_in_room).map(|route| route.room.clone()),
            note: self.route.as_ref().and_then(|route| route.note.clone()),
            started: story.started,
            answered: story.answered.map(|moment| moment.wall),
            rang: story.rang,
            joined: story.joined.map(|moment| moment.wall),
            ended: at.wall,
            reason: self.reason.unwrap_or(EndReason::Bug),
            status: story.status,
            codec,
            report,
        }
    }
}
