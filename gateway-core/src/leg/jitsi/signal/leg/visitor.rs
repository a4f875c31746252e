//! A caller into a very large meeting: the focus may send him to a visitor node, where he listens.
//!
//!   main server, focus asked -> sent to a node: another stream, the room there -> listens
//!            ^---- promoted: enters under the name he was given ----------------/  ^
//!            ^---- the node is lost, or its room: asked anew -------------------/  |
//!            \---- demoted by a moderator: asked anew, as one who listens --------/
//!
//! There is one stream at a time, in the place of the one before. The focus is asked on the main server alone.

use std::time::{Duration, Instant};

use tracing::debug;

use super::patience::Timer;
use super::{Leg, Stage};
use crate::base::ids::StreamKey;
use crate::base::pii::Pii;
use crate::jitsi::stanza::exchange::{Iq, same_address};
use crate::jitsi::stanza::visitors::PromotionResponse;
use crate::leg::backend::{
    BackendOutput, CallWay, Moderation as Moderated, StreamAccount, StreamIdentity, Visit,
};
use crate::leg::end_reason::EndReason;
use crate::leg::jitsi::signal::recovery::Loss;
use crate::leg::jitsi::signal::settings::{PhoneIdentity, VisitorNode};

/// What makes a leg that of a visitor.
#[derive(Debug, Default)]
pub(in crate::leg::jitsi::signal) struct Visiting {
    /// Where he is, or on the way to; `None`: the main server.
    pub(super) node: Option<VisitorNode>,
    /// He asked to only listen, or a moderator wants it.
    wants: bool,
    /// As this user he may take part although others may not.
    promoted: Option<Pii<String>>,
    /// The call knows that he only listens.
    is_told: bool,
}

impl Visiting {
    pub(super) fn new(wants: bool) -> Self {
        Self { wants, ..Self::default() }
    }
}

impl Leg {
    /// The server he is at.
    pub(super) fn domain(&self) -> &str {
        self.visiting.node.as_ref().map_or(&self.settings.domain, |node| &node.domain)
    }

    /// What the focus is told of it: nothing where no node can be followed, or he is to stay among those who take part.
    pub(super) fn visitor_wish(&self) -> Option<bool> {
        let can = self.settings.visitor_domain.is_some()
            && self.ask.way == CallWay::Inbound
            && self.target == self.home
            && self.visiting.promoted.is_none()
            && !self.muc.is_in();
        can.then_some(self.visiting.wants)
    }

    /// The focus sends him to a node.
    pub(super) fn sent_to_node(&mut self, now: Instant) {
        let tenant = self.ask.entry.tenant.as_deref();
        let node = self.settings.visitor_node(self.focus.node(), &self.ask.room, tenant);
        let Some(node) = node else { return };
        let visit = Visit::Node(node.name.clone());
        self.visiting.node = Some(node);
        // As the others are to see him from the first.
        self.moderation.want_muted(now, true, "", "");
        self.go(now, Some(visit), "sent to a visitor node");
    }

    /// The room of the node is entered; one that holds us and does not help is left for the focus.
    pub(super) fn request_at(&mut self, now: Instant, node: &VisitorNode, cause: &'static str) {
        if self.muc.is_in() && self.muc.room() == node.room {
            return self.to_main(now, cause);
        }
        self.enter(Stage::Entering, cause);
        self.muc.join(now, &node.room, self.password.clone());
    }

    /// To the main server, whose focus knows what follows.
    pub(super) fn to_main(&mut self, now: Instant, cause: &'static str) {
        if self.visiting.node.take().is_some() {
            self.go(now, None, cause);
        }
    }

    /// Another stream; what the one before held is left.
    fn go(&mut self, now: Instant, visit: Option<Visit>, cause: &'static str) {
        self.muc.leave();
        self.drain_goodbyes();
        self.focus.stop();
        self.moderation.left();
        self.out_of_room(now);
        for timer in [Timer::Node, Timer::Invitation, Timer::AskAgain, Timer::AskFocus] {
            self.timers.clear(timer);
        }
        self.muc.change(now, |own| {
            (own.hand_raised_ms, own.shows_lowered_hand) = (None, false);
        });
        self.enter(Stage::Connecting, cause);
        (self.stream_is_up, self.presence_missed, self.jid) = (false, false, None);
        (self.components, self.components_asked) = (None, String::new());
        let account = self.account_for(visit);
        let stream = StreamKey(self.key);
        self.outputs.push_back(BackendOutput::CloseStream(stream));
        self.outputs.push_back(BackendOutput::OpenStream { stream, account });
        self.lost(now, Loss::Stream);
    }

    /// Nodes know anybody; the main server lets a promoted visitor in under the name he was given.
    fn account_for(&self, visit: Option<Visit>) -> StreamAccount {
        let mut account = StreamAccount { visit, ..self.account.clone() };
        if account.visit.is_some() {
            account.identity = StreamIdentity::Anonymous;
            return account;
        }
        match (self.visiting.promoted.clone(), &self.settings.identity) {
            (Some(user), PhoneIdentity::SharedSecret(password)) => {
                account.identity = StreamIdentity::Password { user, password: password.clone() };
            }
            (Some(user), PhoneIdentity::Anonymous) => account.visit = Some(Visit::As(user)),
            // Who has one name only cannot have another: he is refused.
            (Some(_), PhoneIdentity::Account { .. }) | (None, _) => {}
        }
        account
    }

    /// A node's stream that is down comes back soon, or the focus may know another.
    pub(super) fn watch_node(&mut self, now: Instant) {
        if self.visiting.node.is_some() && !self.timers.is_set(Timer::Node) {
            self.timers.set(Timer::Node, now + NODE_BACK_WITHIN);
        }
    }

    /// The call learns when he begins or ceases to be one who listens.
    pub(super) fn tell_visit(&mut self) {
        let is_visitor = self.visiting.node.is_some();
        if self.visiting.is_told != is_visitor {
            self.visiting.is_told = is_visitor;
            self.tell(Moderated::Listening(is_visitor));
        }
    }

    /// A visitor wants to speak: there is no other way than to ask.
    pub(super) fn visitor_speaks(&mut self, now: Instant) {
        self.raise_hand(now, true);
        self.tell(Moderated::UnmuteRefused);
    }

    /// What came of a raised hand. True if it was that; it is answered.
    pub(super) fn promotion_answered(&mut self, now: Instant, iq: &Iq<'_>) -> bool {
        let Some(node) = &self.visiting.node else { return false };
        let is_rooms = iq.from.is_some_and(|from| same_address(from, &node.room));
        let Some(response) = PromotionResponse::read(iq).filter(|_| is_rooms) else { return false };
        self.send(iq.result());
        match response.user {
            Some(user) => {
                debug!(leg = %self.key, "promoted");
                self.visiting.promoted = Some(user);
                self.visiting.wants = false;
                self.to_main(now, "promoted");
            }
            None => self.promotion_refused(now),
        }
        true
    }

    fn promotion_refused(&mut self, now: Instant) {
        self.raise_hand(now, false);
        self.tell(Moderated::PromotionRefused);
    }

    /// The main room takes those alone who were promoted.
    pub(super) fn only_promoted(&mut self, now: Instant) {
        let was_promoted = self.visiting.promoted.take().is_some();
        if was_promoted {
            self.promotion_refused(now);
        }
        let can_visit = self.visitor_wish().is_some();
        self.visiting.wants |= can_visit;
        if self.was_settled && !was_promoted {
            self.lost(now, Loss::Session);
        } else if can_visit {
            self.ask_again(now);
        } else {
            self.leave(now, EndReason::Forbidden);
        }
    }

    /// A moderator wants him to listen only.
    pub(super) fn demoted(&mut self, now: Instant) {
        debug!(leg = %self.key, "demoted");
        self.visiting.wants = true;
        self.visiting.promoted = None;
        self.visiting.is_told = true;
        self.tell(Moderated::Listening(true));
        self.muc.leave();
        self.moderation.left();
        self.out_of_room(now);
        self.request(now, "demoted");
    }

    fn tell(&mut self, what: Moderated) {
        self.outputs.push_back(BackendOutput::Moderated(self.key, what));
    }
}

/// A node that is restarted takes about so long; then another may have to do.
const NODE_BACK_WITHIN: Duration = Duration::from_secs(10);
