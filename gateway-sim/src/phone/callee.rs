//! A phone that is called: it rings, and answers, refuses or does neither. Its final response is repeated until the ACK
//! comes (RFC 3261 §13.3.1.4, §17.2.1).

use std::time::Duration;

use super::text::{Message, uri};
use super::{Phone, Spell, Stage};
use crate::plan::{Callee, Reply};

/// An INVITE that came.
#[derive(Debug)]
pub(super) struct Called {
    invite: Message,
    rings_at: Option<Duration>,
    replies_at: Option<Duration>,
    /// What was answered last, for repeats of the INVITE.
    last: Option<Vec<u8>>,
    /// The final response until its ACK: when again, after which interval.
    repeats: Option<(Duration, Duration)>,
    has_final: bool,
}

impl Phone {
    /// Nobody will call any more.
    pub fn is_not_called(&mut self, now: Duration) {
        if self.stage == Stage::Waiting {
            self.leave(now, "was never called");
        }
    }

    /// An INVITE came, or came again.
    pub(super) fn called(&mut self, now: Duration, message: &Message) {
        let again = self.called.as_ref().map(|called| called.last.clone());
        let (Some(Callee { rings_after, reply, .. }), None) = (self.plan.callee, &again) else {
            return again.flatten().into_iter().for_each(|bytes| self.say(bytes));
        };
        self.note("is called".to_owned());
        self.stage = Stage::Calling;
        let replies_after = match reply {
            Reply::Answers(after) | Reply::Refuses(after, _) => Some(after),
            Reply::Nothing => None,
        };
        self.called = Some(Called {
            invite: message.clone(),
            rings_at: Some(now + rings_after),
            replies_at: replies_after.map(|after| now + after),
            last: None,
            repeats: None,
            has_final: false,
        });
    }

    /// The caller gave up. A phone that answered already says so, too: the BYE follows.
    pub(super) fn called_off(&mut self, now: Duration, message: &Message) {
        self.say(message.respond("200 OK", &self.tag(), "", ""));
        if self.called.as_ref().is_some_and(|called| !called.has_final) {
            self.reply(now, "487 Request Terminated", "", "");
            self.leave(now, "called off");
        }
    }

    pub(super) fn final_acknowledged(&mut self) {
        if let Some(called) = &mut self.called {
            called.repeats = None;
        }
    }

    pub(super) fn tick_called(&mut self, now: Duration) {
        let Some(called) = &mut self.called else { return };
        if called.rings_at.take_if(|at| *at <= now).is_some() {
            return self.ring(now);
        }
        if called.replies_at.take_if(|at| *at <= now && !called.has_final).is_some() {
            return self.reply_as_planned(now);
        }
        let Some((at, interval)) = called.repeats.filter(|(at, _)| *at <= now) else { return };
        let longer = (interval * 2).min(T2);
        called.repeats = (interval < GIVE_UP).then_some((at + longer, longer));
        let last = called.last.clone();
        last.into_iter().for_each(|bytes| self.say(bytes));
    }

    fn ring(&mut self, now: Duration) {
        let Some(invite) = self.called.as_ref().map(|called| called.invite.clone()) else { return };
        let ring = if self.plan.callee.is_some_and(|callee| callee.is_heard_early) {
            self.media.use_events_of(&invite.body);
            self.media.configure(now, &invite.body);
            self.is_early = true;
            let more = self.session_headers();
            invite.respond("183 Session Progress", &self.tag(), &more, &self.sdp())
        } else {
            invite.respond("180 Ringing", &self.tag(), "", "")
        };
        if let Some(called) = &mut self.called {
            called.last = Some(ring.clone());
        }
        self.say(ring);
    }

    fn session_headers(&self) -> String {
        format!("Contact: <sip:phone@{}>\r\nContent-Type: application/sdp\r\n", self.written)
    }

    fn reply_as_planned(&mut self, now: Duration) {
        match self.plan.callee.map(|callee| callee.reply) {
            Some(Reply::Refuses(_, status)) => {
                self.reply(now, &format!("{status} No"), "", "");
                self.leave(now, "refuses");
            }
            Some(Reply::Answers(_)) => self.pick_up(now),
            _ => {}
        }
    }

    fn pick_up(&mut self, now: Duration) {
        let Some(invite) = self.called.as_ref().map(|called| called.invite.clone()) else { return };
        self.media.use_events_of(&invite.body);
        self.media.configure(now, &invite.body);
        self.to = invite.header("from").to_owned();
        self.target = uri(invite.header("contact")).to_owned();
        self.dialled = Some((
            format!("{};tag={}", invite.header("to"), self.tag()),
            invite.header("call-id").to_owned(),
        ));
        let more = self.session_headers();
        let body = self.sdp();
        self.reply(now, "200 OK", &more, &body);
        self.stage = Stage::Talking;
        self.spell(Spell::Talking, now);
        self.script.next_typing = Some(now + self.plan.key_delay);
    }

    fn reply(&mut self, now: Duration, status: &str, more: &str, body: &str) {
        let tag = self.tag();
        let Some(called) = &mut self.called else { return };
        let bytes = called.invite.respond(status, &tag, more, body);
        called.last = Some(bytes.clone());
        called.has_final = true;
        called.repeats = Some((now + T1, T1));
        self.say(bytes);
    }
}

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// Not for ever.
const GIVE_UP: Duration = T2;
