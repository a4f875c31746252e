//! Getting back into a conference that was lost: what is tried when, and what the caller hears meanwhile.
//!
//! Mild things first: a new path for the same keys, then a new session, then a new conference request, then the room
//! anew, again and again. The caller hears of it after two seconds, and every fifteen from then on.

use std::time::{Duration, Instant};

use crate::base::rng::Rng;
use crate::base::time::Why;

/// Shorter losses are not worth words.
pub(super) const WORDS_AFTER: Duration = Duration::from_secs(2);
/// Words are repeated.
pub(super) const WORDS_EACH: Duration = Duration::from_secs(15);
/// A path is found within this, or not.
const ICE_RESTART_TAKES: Duration = Duration::from_secs(5);
/// The focus makes a new session within this: it takes 0.1 s, and 16 s where it must notice a dead bridge first.
const RESTART_TAKES: Duration = Duration::from_secs(5);
/// The focus invites by itself within this after it ended a session to move it: it takes 10 ms, and longer when it moves many.
/// Where it has no bridge it will not, and joining anew does not hurt.
pub(super) const MOVE_TAKES: Duration = Duration::from_secs(4);
/// Somebody who is there without a session is invited within this, or the focus is asked.
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
    /// The session: it cannot go on, or never came.
    Session,
    /// The session: the focus ended it to move us.
    Moved,
    /// The session: the focus, which is there, forgot us.
    Dropped,
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
    /// Something was lost just now. `pause`: before the room is joined anew where nothing milder can help.
    pub(super) fn new(now: Instant, loss: Loss, pause: Duration, rejoin_max: Duration) -> Self {
        let next = match loss {
            Loss::Path => Some((now, Step::IceRestart)),
            Loss::Session => Some((now + INVITATION_TAKES, Step::Request)),
            Loss::Moved | Loss::Dropped => Some((now + pause, Step::Rejoin)),
            Loss::Room => Some((now, Step::Rejoin)),
            Loss::Stream => None,
        };
        Self { next, words_at: now + WORDS_AFTER, until: now + rejoin_max, has_spoken: false }
    }

    /// More was lost: what was to be tried next may make no sense any more.
    pub(super) fn worse(&mut self, now: Instant, loss: Loss, pause: Duration) {
        let other = Self::new(now, loss, pause, Duration::ZERO);
        let is_gentler = |(_, step): (Instant, Step)| loss == Loss::Path && step > Step::IceRestart;
        if !self.next.is_some_and(is_gentler) {
            self.next = other.next;
        }
    }

    /// The stream is back without what it held: the room is joined now, and again if that leads to nothing.
    pub(super) fn rejoining(&mut self, now: Instant) {
        self.next = Some((now + REJOIN_TAKES, Step::Rejoin));
    }

    /// The focus invites us: nothing else is tried while a session of it may come about.
    pub(super) fn invited(&mut self, now: Instant) {
        if let Some((at, _)) = &mut self.next {
            *at = (*at).max(now + INVITATION_TAKES);
        }
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

/// Rooms joined anew by one leg: each time within a minute waits twice as long as the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rejoins {
    lately: u32,
    last: Option<Instant>,
}

impl Rejoins {
    /// One more.
    pub(super) fn note(&mut self, now: Instant) {
        self.lately = self.lately_at(now) + 1;
        self.last = Some(now);
    }

    /// Before the next: half to one and a half of the pause itself, so that the legs of a room do not come all at once.
    pub(super) fn pause(&self, now: Instant, rng: &mut Rng) -> Duration {
        let doublings = self.lately_at(now).min(REJOIN_DOUBLINGS_MAX);
        let pause = REJOIN_PAUSE * (1 << doublings);
        pause / 2 + jitter(pause, rng)
    }

    fn lately_at(&self, now: Instant) -> u32 {
        let is_calm =
            self.last.is_none_or(|last| now.saturating_duration_since(last) >= REJOINS_FORGOTTEN);
        if is_calm { 0 } else { self.lately }
    }
}

/// Anything below `limit`, to the millisecond.
pub(super) fn jitter(limit: Duration, rng: &mut Rng) -> Duration {
    let limit_ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX).max(1);
    Duration::from_millis(rng.below(limit_ms).into())
}

/// First pause before a room is joined anew.
const REJOIN_PAUSE: Duration = Duration::from_secs(1);
/// 32 s, about as long as a join may take.
const REJOIN_DOUBLINGS_MAX: u32 = 5;
const REJOINS_FORGOTTEN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_joined_anew_later_and_later_and_never_at_once() {
        let (start, mut rng) = (Instant::now(), Rng::from_number(1));
        let mut rejoins = Rejoins::default();
        let mut now = start;
        for pause in [1, 2, 4, 8, 16, 32, 32] {
            let pauses: Vec<Duration> = (0..200).map(|_| rejoins.pause(now, &mut rng)).collect();
            let (shortest, longest) = (pauses.iter().min(), pauses.iter().max());
            let pause = Duration::from_secs(pause);
            assert!(shortest.is_some_and(|it| *it >= pause / 2 && *it < pause * 6 / 10));
            assert!(longest.is_some_and(|it| *it <= pause * 3 / 2 && *it > pause * 14 / 10));
            rejoins.note(now);
            now += pause;
        }
        now += REJOINS_FORGOTTEN;
        assert!(rejoins.pause(now, &mut rng) <= REJOIN_PAUSE * 3 / 2, "calm since");
    }

    #[test]
    fn an_invitation_is_tried_before_the_room_is_left() {
        let now = Instant::now();
        let mut recovery = Recovery::new(now, Loss::Dropped, Duration::from_secs(1), STEP_MAX);
        recovery.invited(now);
        assert_eq!(recovery.pop_due(now + Duration::from_millis(1_900)), None);
        assert_eq!(recovery.next, Some((now + INVITATION_TAKES, Step::Rejoin)));
    }

    const STEP_MAX: Duration = Duration::from_secs(100);

    /// Everything that becomes due, with the second at which.
    fn story(loss: Loss, rejoin_max: u64) -> Vec<(u64, Due)> {
        let start = Instant::now();
        let limit = Duration::from_secs(rejoin_max);
        let mut recovery = Recovery::new(start, loss, Duration::from_secs(1), limit);
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
        assert_eq!(story(Loss::Dropped, 100)[0], (1, Due::Try(Step::Rejoin)));
        assert!(story(Loss::Stream, 100).iter().all(|(_, due)| !matches!(due, Due::Try(_))));
        assert_eq!(story(Loss::Path, 30).last(), Some(&(30, Due::GiveUp)));
    }
}
