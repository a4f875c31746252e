//! What Asterisk says over FastAGI, line by line: the greeting with its variables, and the replies to commands.
//!
//! ```text
//! agi_network: yes                          one `name: value` a line, then an empty one
//! 200 result=918273645                      a reply; also `200 result=1 (text)`, `200 result= (timeout)`
//! 510 Invalid or unknown command            ours is too new for it
//! 511 Command Not Permitted on a dead ...   the caller has hung up
//! 520-Invalid command syntax. ...           several lines, until `520 End of proper usage.`
//! HANGUP                                    the caller has hung up; may stand before any reply
//! ```
//! Nothing here trusts a length or a sign: what is no line of these is [`Line::Strange`], and what is too much of a
//! greeting is refused.

use gateway_core::base::pii::Pii;

/// Longest line we read. Asterisk's own buffer is 8192, its lines are below 300.
pub const LINE_MAX: usize = 2_048;
/// Lines of a greeting. Asterisk sends some 25, and one for each argument of `AGI()`.
pub const GREETING_LINES_MAX: usize = 64;

/// Who calls, and what the dialplan asks of us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    /// `pin` of `agi://host/pin?tries=2`.
    pub script: String,
    /// `tries` and `2` of it.
    pub query: Vec<(String, String)>,
    /// What stands behind the address in `AGI(agi://host/check,918273645)`.
    pub arguments: Vec<Pii<String>>,
    /// Number of the caller; `None`: withheld or unknown.
    pub caller: Option<Pii<String>>,
    /// The call, as the PBX names it.
    pub call: Option<String>,
    /// Asterisk's version, for the log.
    pub version: String,
}

impl Greeting {
    /// What a key of the query says.
    pub fn asked(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// Reads a greeting; lines are given one at a time, without their ends.
#[derive(Debug, Default)]
pub struct Greeter {
    greeting: Greeting,
    lines: usize,
    is_withheld: bool,
}

/// Why a greeting is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadGreeting {
    /// Not AGI.
    #[error("a line is no agi_ variable; is the peer an Asterisk?")]
    NotAgi,
    /// More lines than any PBX sends.
    #[error("more than {GREETING_LINES_MAX} lines of variables")]
    TooLong,
}

impl Greeter {
    /// Takes a line. The greeting, when this is its end.
    pub fn line(&mut self, line: &str) -> Result<Option<Greeting>, BadGreeting> {
        if line.is_empty() {
            // A PBX says who it is before it is done.
            if self.lines == 0 {
                return Err(BadGreeting::NotAgi);
            }
            let mut greeting = std::mem::take(&mut self.greeting);
            if self.is_withheld {
                greeting.caller = None;
            }
            return Ok(Some(greeting));
        }
        self.lines += 1;
        if self.lines > GREETING_LINES_MAX {
            return Err(BadGreeting::TooLong);
        }
        let (name, value) = line.split_once(':').ok_or(BadGreeting::NotAgi)?;
        let name = name.strip_prefix("agi_").ok_or(BadGreeting::NotAgi)?;
        self.variable(name, value.trim());
        Ok(None)
    }

    fn variable(&mut self, name: &str, value: &str) {
        let greeting = &mut self.greeting;
        match name {
            "network_script" => (greeting.script, greeting.query) = script(value),
            "callerid" if !is_unknown(value) => {
                greeting.caller = Some(Pii::new(value.to_owned()));
            }
            // Bits 5 and 6 of Q.931: 0 allowed, 1 restricted, 2 not available.
            "callingpres" => {
                self.is_withheld = value.parse::<u16>().is_ok_and(|bits| bits & 0x60 == 0x20);
            }
            "uniqueid" => greeting.call = call_name(value),
            "version" => greeting.version = call_name(value).unwrap_or_default(),
            _ if name.starts_with("arg_") => greeting.arguments.push(Pii::new(value.to_owned())),
            _ => {}
        }
    }
}

/// One line after the greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// `200 result=...`
    Result(Outcome),
    /// `510`: no such command.
    Unknown,
    /// `511`, `HANGUP`: the caller is gone. A `HANGUP` answers no command, `511` does.
    HungUp,
    /// A line of a `520`, but for its last: nothing yet.
    Usage,
    /// The last line of it: a command was wrong.
    BadSyntax,
    /// Anything else.
    Strange,
}

/// The outcome of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What stands behind `result=`: digits, or a number with its sign.
    pub result: Pii<String>,
    /// What stands in brackets, `timeout`.
    pub text: String,
}

impl Outcome {
    /// The result as a number.
    pub fn number(&self) -> Option<i32> {
        self.result.reveal().parse().ok()
    }

    /// `-1`: the command failed, or the caller is gone.
    pub fn is_failure(&self) -> bool {
        self.number().is_some_and(|number| number < 0)
    }
}

impl Line {
    /// Reads a line.
    pub fn read(line: &str) -> Self {
        if line == "HANGUP" || line.starts_with("511") {
            return Self::HungUp;
        }
        if let Some(rest) = line.strip_prefix("200 result=") {
            let (result, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            let text = rest.trim().strip_prefix('(').and_then(|text| text.split(')').next());
            return Self::Result(Outcome {
                result: Pii::new(result.to_owned()),
                text: text.unwrap_or_default().to_owned(),
            });
        }
        match line {
            _ if line.starts_with("510") => Self::Unknown,
            _ if line.starts_with("520-") => Self::Usage,
            _ if line.starts_with("520") => Self::BadSyntax,
            // `Usage: GET DATA ...` between the two lines of a 520.
            _ if !line.starts_with(|first: char| first.is_ascii_digit()) => Self::Usage,
            _ => Self::Strange,
        }
    }
}

/// A text as an argument of a command: in quotes, on one line.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for sign in text.chars().filter(|sign| !sign.is_control()) {
        if matches!(sign, '"' | '\\') {
            out.push('\\');
        }
        out.push(sign);
    }
    out.push('"');
    out
}

/// `pin?tries=2&trunk=pbx`. Values are names and numbers: nothing is percent-encoded in them.
fn script(value: &str) -> (String, Vec<(String, String)>) {
    let (path, query) = value.split_once('?').unwrap_or((value, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = pairs.take(QUERY_MAX).map(|(key, value)| (key.to_owned(), value.to_owned()));
    (path.trim_matches('/').to_owned(), query.collect())
}

fn is_unknown(value: &str) -> bool {
    value.is_empty() || value == "unknown" || value.eq_ignore_ascii_case("anonymous")
}

/// A name of the PBX as logs and records may show it: `1795412345.17`.
fn call_name(value: &str) -> Option<String> {
    let is_plain = |sign: &char| sign.is_ascii_alphanumeric() || ".-_~".contains(*sign);
    let plain: String = value.chars().filter(is_plain).take(64).collect();
    (!plain.is_empty()).then_some(plain)
}

/// Keys of a query that are looked at.
const QUERY_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(text: &str) -> Result<Greeting, BadGreeting> {
        let mut greeter = Greeter::default();
        for line in text.split('\n') {
            if let Some(greeting) = greeter.line(line)? {
                return Ok(greeting);
            }
        }
        panic!("no end: {text}")
    }

    #[test]
    fn a_greeting_says_who_calls_and_what_is_asked() {
        let text = "agi_network: yes\nagi_network_script: pin?tries=2&trunk=pbx\nagi_request: agi://h/pin\n\
                    agi_channel: SIP/ann-0001\nagi_language: en\nagi_uniqueid: 1795412345.17\nagi_version: 16.28.0~dfsg\n\
                    agi_callerid: +622112345647\nagi_calleridname: Ann: of ours\nagi_callingpres: 0\nagi_dnid: unknown\n\
                    agi_arg_1: one\nagi_arg_2: \n\n";
        let greeting = greeting(text).expect("good");
        assert_eq!((greeting.script.as_str(), greeting.asked("tries")), ("pin", Some("2")));
        assert_eq!((greeting.asked("trunk"), greeting.asked("room")), (Some("pbx"), None));
        assert_eq!(greeting.caller, Some(Pii::new("+622112345647".to_owned())));
        assert_eq!(greeting.call.as_deref(), Some("1795412345.17"));
        assert_eq!(greeting.version, "16.28.0~dfsg");
        let arguments: Vec<_> = greeting.arguments.iter().map(|it| it.reveal().as_str()).collect();
        assert_eq!(arguments, ["one", ""]);
    }

    #[test]
    fn numbers_that_are_withheld_or_unknown_are_none() {
        for lines in [
            "agi_callerid: unknown\nagi_callingpres: 0",
            "agi_callerid: 4930\nagi_callingpres: 35",
            "agi_callingpres: 32\nagi_callerid: 4930",
            "agi_callerid: anonymous",
        ] {
            assert_eq!(greeting(&format!("{lines}\n\n")).expect("good").caller, None, "{lines}");
        }
        let shown = greeting("agi_callerid: 4930\nagi_callingpres: 3\n\n").expect("good");
        assert!(shown.caller.is_some());
    }

    #[test]
    fn what_is_no_greeting_is_refused() {
        assert_eq!(greeting("GET / HTTP/1.1\n\n"), Err(BadGreeting::NotAgi));
        assert_eq!(greeting("Host: x\n\n"), Err(BadGreeting::NotAgi));
        assert_eq!(greeting("\n"), Err(BadGreeting::NotAgi));
        assert_eq!(greeting(&"agi_arg_1: x\n".repeat(65)), Err(BadGreeting::TooLong));
    }

    #[test]
    fn replies_are_told_apart() {
        let result = |result: &str, text: &str| {
            Line::Result(Outcome { result: Pii::new(result.to_owned()), text: text.to_owned() })
        };
        for (line, meaning) in [
            ("200 result=918273645", result("918273645", "")),
            ("200 result= (timeout)", result("", "timeout")),
            ("200 result=12 (timeout)", result("12", "timeout")),
            ("200 result=0 endpos=8000", result("0", "")),
            ("200 result=1 (a (b) c)", result("1", "a (b")),
            ("510 Invalid or unknown command", Line::Unknown),
            ("511 Command Not Permitted on a dead channel or intercept routine", Line::HungUp),
            ("HANGUP", Line::HungUp),
            ("520-Invalid command syntax.  Proper usage follows:", Line::Usage),
            (" Usage: GET DATA <file to be streamed>", Line::Usage),
            ("520 End of proper usage.", Line::BadSyntax),
            ("200 OK", Line::Strange),
            ("100 Trying", Line::Strange),
        ] {
            assert_eq!(Line::read(line), meaning, "{line}");
        }
        let Line::Result(outcome) = Line::read("200 result=-1") else { panic!("a result") };
        assert!(outcome.is_failure());
    }

    #[test]
    fn arguments_stay_on_their_line_and_within_their_quotes() {
        assert_eq!(quoted("conf-getpin"), r#""conf-getpin""#);
        assert_eq!(quoted("a\"b\\c\r\nHANGUP"), r#""a\"b\\cHANGUP""#);
    }
}
