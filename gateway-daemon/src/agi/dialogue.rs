//! One FastAGI conversation, as a sans-IO machine: lines in, commands out, digits to be judged.
//!
//!   Preparing -> Asking -> (full length) More -> Judging -> ticket, variables -> done
//!                  ^  |                  ^        |
//!                  |  +- nothing typed   | a key  | wrong, fewer than `tries`; else goodbye, variables -> done
//!                  +------------------ Regretting +
//!
//! The PBX plays and collects, we judge. Variables say the end: first `WB_RESULT=FAILED`, so that whatever breaks reads
//! as a no, and the true one as the last command of all. A caller who hangs up, in any state, ends the conversation
//! without another word, for the channel is gone.

use std::collections::VecDeque;

use gateway_core::base::pii::Pii;

use super::wire::{Greeting, Line, Outcome, quoted};

/// What the site plays, and how it asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// "Please enter the PIN": a file of the PBX.
    pub ask: String,
    /// "That PIN is not valid", before asking again.
    pub wrong: String,
    /// "Goodbye"; empty: nothing.
    pub goodbye: String,
    /// "Please try again later"; empty: nothing.
    pub unavailable: String,
}

/// Rules of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// What is played.
    pub words: Words,
    /// Wrong PINs, and silences, before goodbye.
    pub tries: u8,
    /// Digits after which a PIN may be complete.
    pub digits: u8,
    /// Patience for the first digit and between digits, in milliseconds.
    pub patience_ms: u64,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Send this line and bring the reply.
    Say(String),
    /// Judge these digits and bring the verdict.
    Judge(Pii<String>),
    /// Close: it is over, as told.
    Done(Ending),
}

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// The PBX has its ticket.
    Ok,
    /// No valid PIN.
    Refused,
    /// Nothing was typed.
    Silent,
    /// Nobody can say: the registry is away.
    Unavailable,
    /// The caller has hung up.
    HungUp,
    /// The PBX did not do as it was told: a sound that is not there, a command it does not know.
    Failed,
}

impl Ending {
    /// `WB_RESULT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Refused => "REFUSED",
            Self::Silent => "SILENT",
            Self::Unavailable => "UNAVAILABLE",
            Self::HungUp => "HANGUP",
            Self::Failed => "FAILED",
        }
    }

    /// `WB_REASON`: names of ends of calls, as records have them.
    fn reason(self) -> &'static str {
        match self {
            Self::Ok => "",
            Self::Refused => "pin_refused",
            Self::Silent => "pin_not_given",
            Self::Unavailable => "service_unavailable",
            Self::HungUp | Self::Failed => "agi_failed",
        }
    }
}

/// What was found about digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Good; the ticket for the call.
    Ticket(Pii<String>),
    /// No.
    Refused,
    /// Nobody can say.
    Unavailable,
}

/// The conversation.
#[derive(Debug)]
pub struct Dialogue {
    rules: Rules,
    step: Step,
    /// Commands to be sent before anything else; their replies are looked at for hang-ups alone.
    queue: VecDeque<String>,
    typed: String,
    /// Keys that came after the full length.
    more: usize,
    wrong: u8,
    silences: u8,
    /// The PIN came with the call (`check`): nobody is asked.
    is_given: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Commands of the queue are on their way, then `ask` or `judge`.
    Preparing,
    /// `GET DATA`.
    Asking,
    /// `STREAM FILE`: the PIN was wrong; who knows that already may type.
    Regretting,
    /// `WAIT FOR DIGIT`: begun in the words before, or of full length, yet `#` or more may come.
    More,
    /// Our side looks.
    Judging,
    /// Nothing was played: is the caller there?
    Doubting,
    /// Last words and variables are on their way.
    Ending(Ending),
}

impl Dialogue {
    /// `agi://host/pin`: asks until there is a good PIN.
    pub fn asking(rules: Rules, greeting: &Greeting) -> Self {
        let wished = greeting.asked("tries").and_then(|tries| tries.parse::<u8>().ok());
        let tries = wished.unwrap_or(rules.tries).clamp(1, rules.tries);
        let ask = greeting.asked("ask").filter(|file| is_file(file)).map(str::to_owned);
        let words = Words { ask: ask.unwrap_or(rules.words.ask), ..rules.words };
        let mut dialogue = Self::new(Rules { words, tries, ..rules });
        dialogue.queue.push_front("ANSWER".to_owned());
        dialogue
    }

    /// `agi://host/check,PIN`: judges what the PBX collected.
    pub fn checking(rules: Rules, greeting: &Greeting) -> Self {
        let mut dialogue = Self::new(Rules { tries: 1, ..rules });
        let given = greeting.arguments.first().map(|pin| pin.reveal().as_str());
        dialogue.typed = given.unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
        dialogue.is_given = true;
        dialogue
    }

    fn new(rules: Rules) -> Self {
        let queue = VecDeque::from([
            set("WB_RESULT", Ending::Failed.name()),
            set("WB_REASON", Ending::Failed.reason()),
            set("__WB_TICKET", ""),
        ]);
        Self {
            rules,
            step: Step::Preparing,
            queue,
            typed: String::new(),
            more: 0,
            wrong: 0,
            silences: 0,
            is_given: false,
        }
    }

    /// The first command.
    pub fn begin(&mut self) -> Turn {
        self.go_on()
    }

    /// The PBX said something. `None`: nothing to do yet.
    pub fn heard(&mut self, line: Line) -> Option<Turn> {
        let outcome = match line {
            Line::Usage => return None,
            Line::HungUp => return Some(Turn::Done(self.gone())),
            Line::Result(outcome) => outcome,
            Line::Unknown | Line::BadSyntax | Line::Strange => {
                return Some(match self.step {
                    // All that could be said was said.
                    Step::Ending(ending) if ending != Ending::Ok => self.go_on(),
                    _ => Turn::Done(Ending::Failed),
                });
            }
        };
        Some(match self.step {
            // A reply that nobody waits for: the peer is out of step, and so would be all that follows.
            Step::Judging => Turn::Done(Ending::Failed),
            Step::Preparing if outcome.is_failure() => Turn::Done(self.gone()),
            Step::Preparing | Step::Ending(_) => self.go_on(),
            Step::Asking | Step::Regretting if outcome.is_failure() => {
                self.step = Step::Doubting;
                Turn::Say("CHANNEL STATUS".to_owned())
            }
            // 6: the line is up, so it was the sound.
            Step::Doubting if outcome.number() == Some(UP) => self.end(Ending::Failed),
            Step::Doubting => Turn::Done(Ending::HungUp),
            Step::Asking => self.collected(&outcome),
            Step::Regretting => self.interrupted(&outcome),
            Step::More => self.one_more(&outcome),
        })
    }

    /// Our side has looked.
    pub fn judged(&mut self, judged: Judged) -> Turn {
        match judged {
            Judged::Ticket(ticket) => {
                self.queue.push_back(set("__WB_TICKET", ticket.reveal()));
                self.end(Ending::Ok)
            }
            Judged::Unavailable => self.end(Ending::Unavailable),
            Judged::Refused => {
                self.wrong += 1;
                match self.wrong >= self.rules.tries {
                    true => self.end(Ending::Refused),
                    false => self.regret(),
                }
            }
        }
    }

    /// The next of what waits, or the next step.
    fn go_on(&mut self) -> Turn {
        if let Some(command) = self.queue.pop_front() {
            return Turn::Say(command);
        }
        match self.step {
            Step::Ending(ending) => Turn::Done(ending),
            _ if self.is_given => self.judge(),
            _ => self.ask(),
        }
    }

    fn ask(&mut self) -> Turn {
        self.step = Step::Asking;
        self.typed.clear();
        self.more = 0;
        let Rules { patience_ms, digits, words, .. } = &self.rules;
        Turn::Say(format!("GET DATA {} {patience_ms} {digits}", quoted(&words.ask)))
    }

    fn regret(&mut self) -> Turn {
        let wrong = &self.rules.words.wrong;
        if wrong.is_empty() {
            return self.ask();
        }
        self.step = Step::Regretting;
        Turn::Say(format!("STREAM FILE {} \"0123456789*#\"", quoted(wrong)))
    }

    /// The words about the wrong PIN are over, or a key was pressed into them: the first of the next.
    fn interrupted(&mut self, outcome: &Outcome) -> Turn {
        self.typed.clear();
        self.more = 0;
        match outcome.number() {
            Some(code) if code > 0 && code != HASH => {
                self.step = Step::More;
                self.one_more(outcome)
            }
            _ => self.ask(),
        }
    }

    /// What `GET DATA` brought: up to `#`, the full length, or the end of patience.
    fn collected(&mut self, outcome: &Outcome) -> Turn {
        self.take_keys(outcome.result.reveal());
        let is_full = outcome.result.reveal().len() >= usize::from(self.rules.digits);
        if is_full && outcome.text != "timeout" {
            self.step = Step::More;
            return self.wait();
        }
        self.complete()
    }

    /// The key after the full length: `#`, a longer PIN, or none.
    fn one_more(&mut self, outcome: &Outcome) -> Turn {
        let key = outcome.number().and_then(|code| u8::try_from(code).ok()).map(char::from);
        match key {
            _ if outcome.is_failure() => Turn::Done(Ending::HungUp),
            Some(key) if (key.is_ascii_digit() || key == '*') && self.more < KEYS_MAX => {
                self.more += 1;
                self.take_keys(&key.to_string());
                self.wait()
            }
            _ => self.complete(),
        }
    }

    /// Short after the full length, else as patient as the question.
    fn wait(&self) -> Turn {
        let is_full = self.typed.len() >= usize::from(self.rules.digits);
        let patience_ms = if is_full { MORE_MS } else { self.rules.patience_ms };
        Turn::Say(format!("WAIT FOR DIGIT {patience_ms}"))
    }

    /// `*` begins anew.
    fn take_keys(&mut self, keys: &str) {
        for key in keys.chars().take(KEYS_MAX) {
            match key {
                '*' => self.typed.clear(),
                '0'..='9' => self.typed.push(key),
                _ => {}
            }
        }
    }

    fn complete(&mut self) -> Turn {
        if !self.typed.is_empty() {
            return self.judge();
        }
        self.silences += 1;
        match self.silences >= SILENCES_MAX {
            true => self.end(Ending::Silent),
            false => self.ask(),
        }
    }

    fn judge(&mut self) -> Turn {
        if self.typed.is_empty() {
            return self.end(Ending::Silent);
        }
        self.step = Step::Judging;
        Turn::Judge(Pii::new(std::mem::take(&mut self.typed)))
    }

    /// Last words, then the variables, `WB_RESULT` last.
    fn end(&mut self, ending: Ending) -> Turn {
        self.step = Step::Ending(ending);
        let Words { goodbye, unavailable, .. } = &self.rules.words;
        let words = match ending {
            _ if self.is_given => "",
            Ending::Refused | Ending::Silent => goodbye,
            Ending::Unavailable => unavailable,
            Ending::Ok | Ending::HungUp | Ending::Failed => "",
        };
        if !words.is_empty() {
            self.queue.push_back(format!("STREAM FILE {} \"\"", quoted(words)));
        }
        self.queue.push_back(set("WB_REASON", ending.reason()));
        self.queue.push_back(set("WB_RESULT", ending.name()));
        self.go_on()
    }

    /// The caller is gone. Whether that matters.
    fn gone(&self) -> Ending {
        match self.step {
            Step::Ending(ending) if ending != Ending::Ok => ending,
            _ => Ending::HungUp,
        }
    }
}

/// Whether a text names files of a PBX: no spaces, no quotes, nothing that begins a command.
pub fn is_file(text: &str) -> bool {
    let is_legal = |sign: char| sign.is_ascii_alphanumeric() || "-_./".contains(sign);
    !text.is_empty() && text.len() <= 256 && text.chars().all(is_legal) && !text.contains("..")
}

fn set(name: &str, value: &str) -> String {
    format!("SET VARIABLE {name} {}", quoted(value))
}

/// `#`, as results have it.
const HASH: i32 = 35;
/// `CHANNEL STATUS` of a line that is up.
const UP: i32 = 6;
/// Pause after the full length of a PIN: as in the gateway's own dialogue.
const MORE_MS: u64 = 1_500;
/// Questions without an answer before goodbye: as in the gateway's own dialogue.
const SILENCES_MAX: u8 = 3;
/// Keys of one answer. No PIN is longer.
const KEYS_MAX: usize = 20;

#[cfg(test)]
mod tests;
