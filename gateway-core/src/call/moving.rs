//! From one room into another while the phone's leg stays: words, out of the old seat, into the new one.
//!
//!   Joined (or Joining) -> Leave -> Left -> Joining -> Joined      refused at once -> back where he was

use crate::call::Moment;
use crate::call::Route;
use crate::call::event::Event;
use crate::call::machine::{Call, CallOutput, Stage};
use crate::leg::backend::LegCommand;
use crate::leg::end_reason::EndReason;
use crate::media::clip::prompt::PromptId;
use crate::sip::endpoint::ApiMisuse;

impl Call {
    /// The owner takes the caller into another room.
    /// What the new route leaves open stays as it was: the note, the longest call.
    pub fn move_to(&mut self, at: Moment, mut route: Box<Route>) -> Result<(), ApiMisuse> {
        self.is_on_the_way()?;
        let was_inside = matches!(self.stage, Stage::Joined);
        self.language = route.language;
        if let Some(old) = &self.route {
            route.note = route.note.or_else(|| old.note.clone());
            route.length_max = route.length_max.or(old.length_max);
        }
        self.came_from = self.route.replace(route);
        // What people see of him there is how his sound is, as of any other phone.
        self.tells_status = false;
        if let Some(old) = self.came_from.as_ref().filter(|_| was_inside) {
            let left = Event::CallLeft(self.key, old.room.clone());
            self.outputs.push_back(CallOutput::Event(left));
        }
        self.has_hand_raised = false;
        if std::mem::take(&mut self.listens_only) {
            self.mute(false);
        }
        self.sound.set_music(false);
        self.sound.reply(&[PromptId::Joining], self.language);
        self.enter(Stage::Joining, "moved");
        self.limit_length(at.now);
        // Without a seat he is not even on his way: the new room is asked for in the place of the old one.
        if self.seat.is_some() {
            self.is_moving = true;
            self.outputs.push_back(CallOutput::Leg(LegCommand::Leave(EndReason::CallerLeft)));
        }
        self.drain(at);
        Ok(())
    }

    /// The owner lets in a caller who waits for the host.
    pub fn admit(&mut self, at: Moment) -> Result<(), ApiMisuse> {
        self.is_on_the_way()?;
        if self.seat.is_some() && matches!(self.stage, Stage::Joining) {
            self.outputs.push_back(CallOutput::Leg(LegCommand::Admit));
        }
        self.drain(at);
        Ok(())
    }

    fn is_on_the_way(&self) -> Result<(), ApiMisuse> {
        match self.stage {
            Stage::Joining | Stage::Joined => Ok(()),
            // It ends anyway: the owner could not know.
            Stage::Ending(_) | Stage::Closing | Stage::Over => Err(ApiMisuse::NoSuchDialog),
            _ => Err(ApiMisuse::WrongState("the call is in no room, nor on its way into one")),
        }
    }

    /// The old seat is left: the new one is asked for. False: nobody moves him.
    pub(super) fn has_left_for_another(&mut self) -> bool {
        let is_moving = std::mem::take(&mut self.is_moving);
        if is_moving && self.reason.is_none() {
            self.ask_for_seat();
        }
        is_moving
    }

    /// The new room has no seat: back, if he came from another. False: he did not.
    pub(super) fn goes_back(&mut self) -> bool {
        let Some(old) = self.came_from.take() else { return false };
        self.language = old.language;
        self.route = Some(old);
        self.sound.reply(&[PromptId::TransferNotPossible], self.language);
        self.ask_for_seat();
        true
    }

    /// He is where he should be. A new seat does not know that he is muted.
    pub(super) fn settled(&mut self) {
        if self.came_from.take().is_some() && self.is_muted {
            self.outputs.push_back(CallOutput::Leg(LegCommand::Mute(true)));
        }
    }
}
