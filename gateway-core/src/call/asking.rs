//! One question to a caller: words, then digits. Knows neither sound nor PINs; says when the answer is complete.
//!
//!   Speaking -> Listening -> answered        the first key ends the words (barge-in)
//!
//! `#` ends, `*` clears and begins again, letters are ignored. Patience runs from the end of the words, and stands
//! still while the peer holds us.

use std::time::{Duration, Instant};

use crate::base::ids::QuestionId;
use crate::call::{AnswerEnd, Digits, Question};
use crate::media::dtmf::Key;

/// Quiet after a full-length answer before it counts as complete: time for a `#`, or for one digit too many.
pub const QUIET_AT_FULL_LENGTH: Duration = Duration::from_millis(1_500);

/// A question that is being answered.
#[derive(Debug)]
pub struct Asking {
    question: Question,
    digits: Digits,
    patience: Patience,
}

/// When the caller has had time enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// The words are not over.
    Unlimited,
    /// Until then.
    Until(Instant),
    /// Held by the peer, with so much left.
    Suspended(Duration),
}

impl Asking {
    /// A question whose words begin.
    pub fn new(question: Question) -> Self {
        Self { question, digits: Digits::new(), patience: Patience::Unlimited }
    }

    /// Its id.
    pub fn id(&self) -> QuestionId {
        self.question.id
    }

    /// What is asked.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// The digits so far.
    pub fn into_digits(self) -> Digits {
        self.digits
    }

    /// Nothing was typed yet.
    pub fn is_untouched(&self) -> bool {
        self.digits.is_empty()
    }

    /// The words were heard to their end: from now on patience runs.
    pub fn words_done(&mut self, now: Instant) {
        if self.patience == Patience::Unlimited {
            self.patience = Patience::Until(now + self.question.first_digit);
        }
    }

    /// A key. Gives the end of the answer, if this is it.
    pub fn key(&mut self, now: Instant, key: Key) -> Option<AnswerEnd> {
        let patience = match key {
            Key::Digit(digit) => {
                // Full: the newest is dropped; an answer of that length is wrong anyway.
                let _ = self.digits.try_push(b'0' + digit.min(9));
                if self.is_full_length() {
                    QUIET_AT_FULL_LENGTH
                } else {
                    self.question.between_digits
                }
            }
            Key::Star => {
                self.digits.clear();
                self.question.first_digit
            }
            Key::Hash => return Some(AnswerEnd::Complete),
            Key::Letter(_) => return None,
        };
        self.patience = Patience::Until(now + patience);
        None
    }

    /// Gives the end of the answer when patience ran out.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<AnswerEnd> {
        match self.patience {
            Patience::Until(until) if until <= now => Some(match self.digits.is_empty() {
                true => AnswerEnd::Nothing,
                false if self.is_full_length() => AnswerEnd::Complete,
                false => AnswerEnd::Paused,
            }),
            _ => None,
        }
    }

    /// When [`Self::handle_timeout`] is wanted.
    pub fn deadline(&self) -> Option<Instant> {
        match self.patience {
            Patience::Until(until) => Some(until),
            _ => None,
        }
    }

    /// The peer holds us: the caller cannot type.
    pub fn suspend(&mut self, now: Instant) {
        if let Patience::Until(until) = self.patience {
            self.patience = Patience::Suspended(until.saturating_duration_since(now));
        }
    }

    /// The peer took us back.
    pub fn resume(&mut self, now: Instant) {
        if let Patience::Suspended(left) = self.patience {
            self.patience = Patience::Until(now + left);
        }
    }

    /// The words begin again (the peer took us back before anything was typed).
    pub fn restart(&mut self) {
        self.patience = Patience::Unlimited;
    }

    fn is_full_length(&self) -> bool {
        self.digits.len() >= usize::from(self.question.digits_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::clip::Language;

    fn asked() -> (Asking, Instant) {
        let question = Question {
            id: QuestionId(1),
            words: Vec::new(),
            language: Language::En,
            digits_max: 3,
            first_digit: Duration::from_secs(10),
            between_digits: Duration::from_secs(5),
        };
        (Asking::new(question), Instant::now())
    }

    fn keys(asking: &mut Asking, at: Instant, text: &str) -> Option<AnswerEnd> {
        let mut end = None;
        for key in text.chars().filter_map(Key::from_char) {
            end = end.or(asking.key(at, key));
        }
        end
    }

    #[test]
    fn nobody_waits_before_the_words_are_over() {
        let (mut asking, start) = asked();
        assert_eq!(asking.deadline(), None);
        asking.words_done(start);
        assert_eq!(asking.deadline(), Some(start + Duration::from_secs(10)));
        assert_eq!(
            asking.handle_timeout(start + Duration::from_secs(10)),
            Some(AnswerEnd::Nothing)
        );
    }

    #[test]
    fn hash_ends_and_star_clears() {
        let (mut asking, start) = asked();
        assert_eq!(keys(&mut asking, start, "12*9"), None);
        assert_eq!(keys(&mut asking, start, "#"), Some(AnswerEnd::Complete));
        assert_eq!(asking.into_digits().as_slice(), b"9");
    }

    #[test]
    fn full_length_is_complete_after_a_quiet_while_and_a_digit_too_many_counts() {
        let (mut asking, start) = asked();
        keys(&mut asking, start, "123");
        let quiet = start + QUIET_AT_FULL_LENGTH;
        assert_eq!(asking.handle_timeout(quiet - Duration::from_millis(1)), None);
        assert_eq!(asking.handle_timeout(quiet), Some(AnswerEnd::Complete));
        keys(&mut asking, quiet, "4");
        assert_eq!(asking.into_digits().as_slice(), b"1234");
    }

    #[test]
    fn a_pause_ends_a_short_answer() {
        let (mut asking, start) = asked();
        keys(&mut asking, start, "12");
        assert_eq!(asking.handle_timeout(start + Duration::from_secs(4)), None);
        assert_eq!(asking.handle_timeout(start + Duration::from_secs(5)), Some(AnswerEnd::Paused));
    }

    #[test]
    fn patience_stands_still_on_hold() {
        let (mut asking, start) = asked();
        asking.words_done(start);
        asking.suspend(start + Duration::from_secs(4));
        assert_eq!(asking.deadline(), None);
        asking.resume(start + Duration::from_secs(100));
        assert_eq!(asking.deadline(), Some(start + Duration::from_secs(106)));
    }

    #[test]
    fn more_keys_than_fit_are_dropped_not_fatal() {
        let (mut asking, start) = asked();
        for _ in 0..100 {
            asking.key(start, Key::Digit(7));
        }
        assert_eq!(asking.into_digits().len(), crate::base::limits::DIGITS_BUFFERED_MAX);
    }
}
