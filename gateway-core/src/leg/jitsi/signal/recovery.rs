//! Getting back into a conference that was lost: what is tried when, and what the caller hears meanwhile.
//!
//! Mild things first: a new path for the same keys, then a new session, then a new conference request, then the room
//! anew, again and again. The caller hears of it after two seconds, and every fifteen from then on.

use std::time::{Duration, Instant};

use crate::base::time::Why;

/// Shorter losses are not worth words.
pub(super) const WORDS_AFTER: Duration = Duration::from_secs(2);
/// Words are repeated.
pub(super) const WORDS_EACH: Duration = Duration::from_secs(15);
/// A path is found within this, or not.
const ICE_RESTART_TAKES: Duration = Duration::from_secs(5);
/// The focus makes a new session within this: it takes 0.1 s, and 16 s where it must notice a dead bridge first.
const RESTART_TAKES: Duration = Duration::from_secs(5);
/// The focus invites by itself within this after it ended a session ("moving" takes 10 ms).
const INVITATION_TAKES: Duration = Duration::from_secs(5);
/// After a conference request everybody is invited anew.
const REQUEST_TAKES: Duration = Duration::from_secs(15);
/// A room is joined and the session made within this.
const REJOIN_TAKES: Duration = Duration::from_secs(30);

const STEP: Why = Why("jitsi.recovery_step");
const WORDS: Why = Why("jitsi.recovery_words");
const GIVEN_UP: Why = Why("jitsi.rejoin_max");

/// What was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The path to the bridge: the session is still there.
    Path,
    /// The session: the focus ended it, or it cannot go on.
    Session,
    /// The room.
    Room,
    /// The stream: it comes back by itself, and then we act at once.
    Stream,
}

/// What to try, the gentlest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(super) enum Step {
    /// A new path for the session (ICE restart).
    IceRestart,
    /// A new session (`session-terminate` with `restart`).
    SessionRestart,
    /// A new conference request.
    Request,
    /// Leave and join.
    Rejoin,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Try this.
    Try(Step),
    /// Say that we are at it.
    Say,
    /// It has lasted too long.
    GiveUp,
}

/// One recovery, from the loss to the return.
#[derive(Clone, Debug)]
pub(super) struct Recovery {
    next: Option<(Instant, Step)>,
    words_at: Instant,
    until: Instant,
    has_spoken: bool,
}

impl Recovery {
    /// Something was lost just now.
    pub(super) fn new(now: Instant, loss: Loss, rejoin_max: Duration) -> Self {
        let next = match loss {
            Loss::Path => Some((now, Step::IceRestart)),
            Loss::Session => Some((now + INVITATION_TAKES, Step::Request)),
            Loss::Room => Some((now, Step::Rejoin)),
            Loss::Stream => None,
        };
        Self { next, words_at: now + WORDS_AFTER, until: now + rejoin_max, has_spoken: false }
    }

    /// More was lost: what was to be tried next may make no sense any more.
    pub(super) fn worse(&mut self, now: Instant, loss: Loss) {
        let other = Self::new(now, loss, Duration::ZERO);
        let is_gentler = |(_, step): (Instant, Step)| loss == Loss::Path && step > Step::IceRestart;
        if !self.next.is_some_and(is_gentler) {
            self.next = other.next;
        }
    }

    /// The stream is back without what it held: the room is joined now, and again if that leads to nothing.
    pub(super) fn rejoining(&mut self, now: Instant) {
        self.next = Some((now + REJOIN_TAKES, Step::Rejoin));
    }

    /// The caller heard of it.
    pub(super) fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// What is due now, one at a time.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Due> {
        if self.until <= now {
            return Some(Due::GiveUp);
        }
        if self.words_at <= now {
            self.words_at = now + WORDS_EACH;
            self.has_spoken = true;
            return Some(Due::Say);
        }
        let (_, step) = self.next.filter(|(at, _)| *at <= now)?;
        self.next = Some(match step {
            Step::IceRestart => (now + ICE_RESTART_TAKES, Step::SessionRestart),
            Step::SessionRestart => (now + RESTART_TAKES, Step::Request),
            Step::Request => (now + REQUEST_TAKES, Step::Rejoin),
            Step::Rejoin => (now + REJOIN_TAKES, Step::Rejoin),
        });
        Some(Due::Try(step))
    }

    /// The next deadline.
    pub(super) fn poll_timeout(&self) -> (Instant, Why) {
        let words = (self.words_at, WORDS);
        let step = self.next.map(|(at, _)| (at, STEP));
        let all = [Some(words), Some((self.until, GIVEN_UP)), step];
        all.into_iter().flatten().min_by_key(|(at, _)| *at).unwrap_or(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that becomes due, with the second at which.
    fn story(loss: Loss, rejoin_max: u64) -> Vec<(u64, Due)> {
        let start = Instant::now();
        let mut recovery = Recovery::new(start, loss, Duration::from_secs(rejoin_max));
        let mut story = Vec::new();
        loop {
            let (at, _) = recovery.poll_timeout();
            while let Some(due) = recovery.pop_due(at) {
                story.push(((at - start).as_secs(), due));
                if due == Due::GiveUp {
                    return story;
                }
            }
        }
    }

    #[test]
    fn mild_things_are_tried_first_and_words_are_heard_all_along() {
        let tried: Vec<(u64, Step)> = story(Loss::Path, 100)
            .into_iter()
            .filter_map(|(at, due)| match due {
                Due::Try(step) => Some((at, step)),
                _ => None,
            })
            .collect();
        use Step::*;
        let expected = [
            (0, IceRestart),
            (5, SessionRestart),
            (10, Request),
            (25, Rejoin),
            (55, Rejoin),
            (85, Rejoin),
        ];
        assert_eq!(tried, expected);
        let words = |loss| -> Vec<u64> {
            story(loss, 40).iter().filter(|(_, it)| *it == Due::Say).map(|it| it.0).collect()
        };
        assert_eq!(words(Loss::Path), [2, 17, 32]);
        assert_eq!(words(Loss::Stream), [2, 17, 32]);
    }

    #[test]
    fn a_session_that_the_focus_ended_is_waited_for_first() {
        assert_eq!(story(Loss::Session, 100)[1], (5, Due::Try(Step::Request)));
        assert_eq!(story(Loss::Room, 100)[0], (0, Due::Try(Step::Rejoin)));
        assert!(story(Loss::Stream, 100).iter().all(|(_, due)| !matches!(due, Due::Try(_))));
        assert_eq!(story(Loss::Path, 30).last(), Some(&(30, Due::GiveUp)));
    }
}
