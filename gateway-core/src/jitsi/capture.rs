//! Recordings of a real Jitsi for tests: every stanza and every message of the bridge channel, in order, with its time.
//!
//! Compiled for tests and behind the feature `_testkit` only. Format and story of each file: `testdata/jitsi/README.md`.

pub mod jigasi;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use minidom::Element;
use serde_json::Value;

use crate::base::rng::Rng;

/// One recording, oldest first.
#[derive(Clone, Debug)]
pub struct Capture<T> {
    /// File name without its end, for example `05-second-join`.
    pub name: String,
    /// What happened and when.
    pub entries: Vec<Entry<T>>,
}

/// Something that was seen.
#[derive(Clone, Debug)]
pub struct Entry<T> {
    /// Since the clock of the test began.
    pub at: Duration,
    /// Name of the client in the test, for example `B`; of browser frames the WebSocket.
    pub client: String,
    /// What.
    pub seen: Seen<T>,
}

/// What one entry holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen<T> {
    /// The client sent it.
    Sent(T),
    /// The client received it.
    Received(T),
    /// A note of the test.
    Note(String),
}

impl<T> Capture<T> {
    /// What one client sent, received and noted.
    pub fn of(&self, client: &str) -> impl Iterator<Item = &Entry<T>> {
        self.entries.iter().filter(move |entry| entry.client == client)
    }

    /// What one client received.
    pub fn received(&self, client: &str) -> impl Iterator<Item = &T> {
        self.of(client).filter_map(|entry| match &entry.seen {
            Seen::Received(it) => Some(it),
            _ => None,
        })
    }

    /// What one client sent.
    pub fn sent(&self, client: &str) -> impl Iterator<Item = &T> {
        self.of(client).filter_map(|entry| match &entry.seen {
            Seen::Sent(it) => Some(it),
            _ => None,
        })
    }
}

impl<T> Entry<T> {
    /// What was sent or received, whichever way.
    pub fn value(&self) -> Option<&T> {
        match &self.seen {
            Seen::Sent(value) | Seen::Received(value) => Some(value),
            Seen::Note(_) => None,
        }
    }
}

impl Capture<Element> {
    /// Reads `testdata/jitsi/NAME.xml`.
    ///
    /// # Panics
    /// Where there is no such file, or it is no capture: it is data of our own tests.
    pub fn stanzas(name: &str) -> Self {
        Self::parse(name, &read(&format!("{name}.xml"))).unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// Reads the text of a capture. The parser of stanzas refuses comments, as XMPP does, so they are cut out here.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let text = text.trim().strip_suffix("</capture>").ok_or(format!("{name}: no end"))?;
        let mut entries = Vec::new();
        // Before the first comment there is the root's start tag alone.
        for piece in text.split("<!--").skip(1) {
            let (comment, xml) = piece.split_once("-->").ok_or(format!("{name}: open comment"))?;
            let Some((at, client, what)) = header(comment) else {
                // The headline of the file.
                if xml.trim().is_empty() {
                    continue;
                }
                return Err(format!("{name}: a stanza without time: {comment}"));
            };
            if let Some(note) = what.strip_prefix("# ") {
                let seen = Seen::Note(note.to_owned());
                entries.push(Entry { at, client: client.to_owned(), seen });
            }
            for stanza in parse_stanzas(xml).map_err(|fault| format!("{name} {at:?}: {fault}"))? {
                let seen = match what {
                    "sent" => Seen::Sent(stanza),
                    "received" => Seen::Received(stanza),
                    _ => return Err(format!("{name} {at:?}: a stanza below a note")),
                };
                entries.push(Entry { at, client: client.to_owned(), seen });
            }
        }
        Ok(Self { name: name.to_owned(), entries })
    }
}

impl Capture<String> {
    /// Reads the messages of `testdata/jitsi/NAME.json`.
    ///
    /// # Panics
    /// Where there is no such file, or it holds no messages.
    pub fn messages(name: &str) -> Self {
        let file: Value = serde_json::from_str(&read(&format!("{name}.json"))).expect("JSON");
        let list =
            [&file, &file["messages"], &file["frames"]].into_iter().find_map(Value::as_array);
        let list = list.unwrap_or_else(|| panic!("{name} holds no messages"));
        let entry = |entry: &Value| {
            let word = |key: &str| entry[key].as_str().map(str::to_owned);
            let text = word("msg").or_else(|| word("data"))?;
            let seen = match entry["dir"].as_str()? {
                ">" => Seen::Sent(text),
                "<" => Seen::Received(text),
                _ => Seen::Note(text),
            };
            let client = word("client").or_else(|| word("ws"))?;
            Some(Entry { at: Duration::from_secs_f64(entry["t"].as_f64()?), client, seen })
        };
        let entries = list.iter().map(|it| entry(it).unwrap_or_else(|| panic!("{name}: {it}")));
        Self { name: name.to_owned(), entries: entries.collect() }
    }
}

/// Names of all captures of stanzas, in order.
pub fn names() -> Vec<String> {
    files_ending(".xml")
}

/// Names of all captures of messages, in order: bridge channels and a browser's WebSockets.
pub fn message_names() -> Vec<String> {
    let no_messages = "03-conference-request-http";
    files_ending(".json").into_iter().filter(|name| name != no_messages).collect()
}

/// Stanzas as they stand on a stream: without namespace they are `jabber:client`.
pub fn parse_stanzas(xml: &str) -> Result<Vec<Element>, minidom::Error> {
    let root = format!(
        "<r xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>{xml}</r>"
    );
    let root: Element = root.parse()?;
    Ok(root.children().cloned().collect())
}

/// `9.216 B sent` and `9.216 # a note` into time, client, rest. A note's client is `#`'s right neighbour, if any.
fn header(comment: &str) -> Option<(Duration, &str, &str)> {
    let (at, rest) = comment.trim().split_once(' ')?;
    let at = at.parse().ok().and_then(|at| Duration::try_from_secs_f64(at).ok())?;
    match rest.strip_prefix("# ") {
        Some(note) => Some((at, note.split(' ').next()?, rest)),
        None => rest.split_once(' ').map(|(client, what)| (at, client, what)),
    }
}

fn files_ending(end: &str) -> Vec<String> {
    let files = fs::read_dir(folder()).expect("the captures are in the repository");
    let names =
        files.map(|file| file.expect("readable").file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> =
        names.filter_map(|name| name.strip_suffix(end).map(str::to_owned)).collect();
    names.sort();
    names
}

fn read(file: &str) -> String {
    fs::read_to_string(folder().join(file)).unwrap_or_else(|fault| panic!("{file}: {fault}"))
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/jitsi")
}

/// A few faults: bytes changed, pieces cut, doubled or moved, numbers made large.
pub fn mutate(text: &str, rng: &mut Rng) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..1 + rng.below(3) {
        let place = rng.below(bytes.len().max(1) as u32) as usize;
        let length = (rng.below(40) as usize).min(bytes.len().saturating_sub(place));
        match rng.below(6) {
            0 => _ = bytes.get_mut(place).map(|byte| *byte = rng.below(256) as u8),
            1 => _ = bytes.drain(place..place + length),
            2 => {
                let piece = bytes[place..place + length].to_vec();
                let _ = bytes.splice(place..place, piece);
            }
            // Faults that leave the XML whole: another letter or digit in a word.
            3..5 => {
                if let Some(byte) = bytes.get_mut(place).filter(|it| it.is_ascii_alphanumeric()) {
                    *byte = b"09azAZ"[rng.below(6) as usize];
                }
            }
            _ => {
                if bytes.get(place).is_some_and(u8::is_ascii_digit) {
                    let _ = bytes.splice(place..place, *b"99999999999");
                }
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_capture_of_stanzas_is_read_whole() {
        let mut stanzas = 0;
        for name in names() {
            let capture = Capture::stanzas(&name);
            assert!(!capture.entries.is_empty(), "{name}");
            assert!(capture.entries.is_sorted_by_key(|entry| entry.at), "{name} is in order");
            stanzas += capture.entries.iter().filter_map(Entry::value).count();
        }
        // Counted by another XML parser over the same files.
        assert_eq!(stanzas, 403 + 232 + 115 + 49);
    }

    #[test]
    fn every_capture_of_messages_is_json_or_xml() {
        for name in message_names() {
            let capture = Capture::messages(&name);
            let texts: Vec<&String> = capture.entries.iter().filter_map(Entry::value).collect();
            assert!(texts.len() > 5, "{name}");
            for text in texts {
                let json = serde_json::from_str::<Value>(text).is_ok();
                assert!(json || parse_stanzas(text).is_ok(), "{name}: {text}");
            }
        }
    }

    /// Whatever lies in the folder is read by one of the tests that go through [`names`] and [`message_names`], and has its
    /// story in the README.
    #[test]
    fn no_recording_is_forgotten() {
        let stories = fs::read_to_string(folder().join("README.md")).expect("it is there");
        let entries = fs::read_dir(folder()).expect("the captures are in the repository");
        let mut files = 0;
        for entry in entries {
            let file = entry.expect("a file").file_name().into_string().expect("a plain name");
            if file == "README.md" {
                continue;
            }
            files += 1;
            let (name, end) = file.rsplit_once('.').expect("name.end");
            let is_read = match end {
                "xml" => names().iter().any(|it| it == name),
                // The one without messages is read beside `ConferenceAnswer::read_json`.
                "json" => {
                    message_names().iter().any(|it| it == name)
                        || name == "03-conference-request-http"
                }
                _ => false,
            };
            assert!(is_read, "no test reads {file}");
            // Some stories are of several files: `51...53-lobby-*`.
            let number: u32 = name[..2].parse().expect("it begins with a number");
            let is_told = (number.saturating_sub(5)..=number)
                .any(|it| stories.contains(&format!("| {it:02}")));
            assert!(is_told, "{file} has no story");
        }
        assert_eq!(files, 57);
    }

    #[test]
    fn an_entry_says_who_did_what_when() {
        let capture = Capture::stanzas("05-second-join");
        let bind = capture.sent("B").next().expect("B sent something");
        assert_eq!((bind.name(), bind.attr("id")), ("iq", Some("bind1")));
        assert_eq!(capture.entries[0].at, Duration::from_millis(9_216));
        assert!(capture.received("A").count() > 3);
    }

    #[test]
    fn what_is_no_capture_is_refused() {
        for text in [
            "",
            "<capture>",
            "<capture><!-- 1.0 A sent --><iq></capture>",
            "<capture><!-- x</capture>",
        ] {
            assert!(Capture::parse("t", text).is_err(), "{text}");
        }
    }
}
