//! A caller who is a visitor of a very large meeting: he listens, may ask to speak, and is told what comes of it.

use crate::call::event::Event;
use crate::call::machine::{Call, CallOutput, Stage};
use crate::call::sound::Purpose;
use crate::leg::backend::LegCommand;
use crate::media::clip::prompt::PromptId;

impl Call {
    /// He only listens from now on (true), or takes part again. On the way in he hears of it once he is there.
    pub(super) fn listens(&mut self, listens: bool) {
        self.listens_only = listens;
        self.mute(listens);
        if !listens {
            self.outputs.push_back(CallOutput::Leg(LegCommand::Mute(false)));
            self.hand_lowered();
        }
        if !matches!(self.stage, Stage::Joined) {
            return;
        }
        if let Some(info) = &mut self.info {
            info.joined(Some(listens));
        }
        let words = if listens { PromptId::ListeningOnly } else { PromptId::Unmuted };
        self.sound.say(Purpose::Note, &[words], self.language);
    }

    /// In the room, he hears that he only listens.
    pub(super) fn say_that_he_listens(&mut self) {
        if self.listens_only {
            self.sound.say(Purpose::Note, &[PromptId::ListeningOnly], self.language);
        }
    }

    /// He asked to speak and may not.
    pub(super) fn promotion_refused(&mut self) {
        self.hand_lowered();
        self.sound.say(Purpose::Note, &[PromptId::PromotionRefused], self.language);
    }

    fn hand_lowered(&mut self) {
        if std::mem::take(&mut self.has_hand_raised) {
            self.outputs.push_back(CallOutput::Event(Event::HandRaised(self.key, false)));
        }
    }
}
