//! Events on their way to the owner: what waits for an answer goes at once, news go with it or a little later.
//!
//! Waking the owner's thread costs more than what most events tell, so news are collected for [`NEWS_HELD_FOR`].
//! The order of events never changes. Refuses to wait: what an owner does not read is kept up to a cap, then counted.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::EVENTS_PENDING_MAX;
use crate::gateway::Event;

/// News wait so long at most: a call's record may be this late, and nobody hears the difference.
pub const NEWS_HELD_FOR: Duration = Duration::from_millis(10);

/// Events that are on their way.
#[derive(Debug)]
pub struct Mailbox {
    owner: mpsc::Sender<Event>,
    held: VecDeque<Event>,
    /// When the oldest news must go.
    due: Option<Instant>,
    /// The owner's queue is full: [`Self::ready`] tells when it is not.
    is_choked: bool,
}

impl Mailbox {
    /// An empty one.
    pub fn new(owner: mpsc::Sender<Event>) -> Self {
        Self { owner, held: VecDeque::new(), due: None, is_choked: false }
    }

    /// Takes an event. `false`: the owner does not read, and this event is lost.
    pub fn take(&mut self, now: Instant, event: Event) -> bool {
        if self.held.len() >= EVENTS_PENDING_MAX {
            return false;
        }
        let is_question = matches!(
            event,
            Event::RouteNeeded { .. } | Event::Answered { .. } | Event::BrowserAnswered { .. }
        );
        self.held.push_back(event);
        if is_question {
            self.hand_over();
        } else {
            self.due.get_or_insert(now + NEWS_HELD_FOR);
        }
        true
    }

    /// Hands over what is due.
    pub fn run(&mut self, now: Instant) {
        if self.due.is_some_and(|due| due <= now) {
            self.hand_over();
        }
    }

    /// Hands over everything that the owner has room for.
    pub fn hand_over(&mut self) {
        self.due = None;
        self.is_choked = false;
        while let Some(event) = self.held.pop_front() {
            match self.owner.try_send(event) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.held.push_front(event);
                    self.is_choked = true;
                    return;
                }
            }
        }
    }

    /// Waits until a full queue has room again; for ever if it is not full. Cancel safe: nothing leaves.
    pub async fn ready(&self) {
        if !self.is_choked {
            return std::future::pending().await;
        }
        // A place, or nobody who reads any more: either way the next attempt gets on.
        drop(self.owner.reserve().await);
    }

    /// When [`Self::run`] has something to do.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{CallKey, QuestionId};
    use crate::base::pii::Pii;
    use crate::call::{AnswerEnd, Digits};

    fn question() -> Event {
        Event::Answered {
            call: CallKey::default(),
            question: QuestionId::default(),
            digits: Pii::new(Digits::new()),
            end: AnswerEnd::Nothing,
        }
    }

    fn news() -> Event {
        Event::CallAnswered(CallKey::default())
    }

    #[test]
    fn news_wait_a_little_and_questions_take_them_along() {
        let (owner, mut read) = mpsc::channel(8);
        let (mut mailbox, now) = (Mailbox::new(owner), Instant::now());
        assert!(mailbox.take(now, news()));
        mailbox.run(now + NEWS_HELD_FOR - Duration::from_millis(1));
        assert!(read.try_recv().is_err());
        assert_eq!(mailbox.due(), Some(now + NEWS_HELD_FOR));
        assert!(mailbox.take(now, question()));
        assert!(matches!(read.try_recv(), Ok(Event::CallAnswered(_))));
        assert!(matches!(read.try_recv(), Ok(Event::Answered { .. })));
        assert!(mailbox.is_empty() && mailbox.due().is_none());
        assert!(mailbox.take(now, news()));
        mailbox.run(now + NEWS_HELD_FOR);
        assert!(matches!(read.try_recv(), Ok(Event::CallAnswered(_))));
    }

    #[tokio::test]
    async fn a_full_queue_keeps_the_order_and_loses_the_newest_alone() {
        let (owner, mut read) = mpsc::channel(1);
        let (mut mailbox, now) = (Mailbox::new(owner), Instant::now());
        assert!(mailbox.take(now, question()));
        for _ in 0..EVENTS_PENDING_MAX {
            assert!(mailbox.take(now, news()));
        }
        assert!(!mailbox.take(now, news()), "one more than may wait");
        mailbox.hand_over();
        assert!(matches!(read.recv().await, Some(Event::Answered { .. })));
        mailbox.ready().await;
        mailbox.hand_over();
        assert!(matches!(read.recv().await, Some(Event::CallAnswered(_))));
        assert!(!mailbox.is_empty());
    }
}
