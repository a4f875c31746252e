//! Somebody in the room wants the phone hung up: a Rayo request to its own address there.

use std::time::Instant;

use super::Leg;
use crate::jitsi::stanza::exchange::{Iq, same_address};
use crate::jitsi::stanza::iq::{FORBIDDEN, Kind};
use crate::jitsi::stanza::rayo::RAYO;
use crate::leg::end_reason::EndReason;

impl Leg {
    /// The focus and moderators of our room may end the call; others are told that they may not. True if it was such a
    /// request: it is always answered.
    pub(super) fn hang_up_asked(&mut self, now: Instant, iq: &Iq<'_>) -> bool {
        if iq.kind != Kind::Set || !iq.payload.is_some_and(|it| it.is("hangup", RAYO)) {
            return false;
        }
        let may = iq.from.is_some_and(|from| self.may_end_calls(from));
        self.send(if may { iq.result() } else { iq.refuse(FORBIDDEN) });
        if may {
            self.leave(now, EndReason::MeetingHungUp);
        }
        true
    }

    fn may_end_calls(&self, from: &str) -> bool {
        let focus = self.muc.focus_address();
        let is_focus = self.muc.has_focus() && same_address(from, &focus);
        let of_our_room = from
            .split_once('/')
            .filter(|(room, _)| self.muc.is_in() && same_address(room, self.muc.room()));
        is_focus || of_our_room.is_some_and(|(_, nick)| self.muc.is_moderator(nick))
    }
}
