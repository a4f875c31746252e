//! Chromium without a window, driven by its DevTools protocol over a pipe: one page, whose microphone plays a file and whose
//! ear is remembered.
//!
//! The browser's profile and log lie in the test's folder. Its switches: no sandbox (the tests run as root in a namespace),
//! a microphone that is a file and needs no permission, loopback as a network to make calls over.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{last_lines, wait_until};
use crate::require::repository;
use crate::sound::Wav;
use crate::world::World;

/// A running browser.
#[derive(Debug)]
pub struct Chromium {
    child: Child,
    input: ChildStdin,
    said: Receiver<Value>,
    log: PathBuf,
    last_id: u64,
}

/// One page of it.
#[derive(Debug)]
pub struct Page {
    target: String,
    session: String,
}

/// What a page remembers, and the wall clock of its first sample.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The sound.
    pub wav: Wav,
    /// Seconds since 1970.
    pub began: f64,
}

impl Chromium {
    /// Starts it; its microphone plays `microphone` again and again, from the moment a page opens it. `None`: the person
    /// refuses the microphone.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(world: &World, name: &str, microphone: Option<&Path>) -> Chromium {
        let folder = world.subfolder(name);
        let log = folder.join("chromium.log");
        // The pipe is descriptors 3 (to it) and 4 (from it).
        let line = "exec chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage \
            --no-first-run --disable-background-networking --disable-component-update \
            --user-data-dir=\"$1\" --remote-debugging-pipe --use-fake-device-for-media-stream $2 \
            --autoplay-policy=no-user-gesture-required --allow-loopback-in-peer-connection \
            3<&0 4>&1 </dev/null >\"$3\" 2>&1";
        let mut command = world.command("sh");
        command.args(["-c", line, "chromium"]).arg(folder.join("profile"));
        let sound = microphone.map_or(String::new(), |file| {
            let file = file.display();
            format!("--use-fake-ui-for-media-stream --use-file-for-fake-audio-capture={file}")
        });
        command.arg(sound).arg(&log).env("HOME", &folder);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh is there");
        let input = child.stdin.take().expect("piped");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, said) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while output.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                message.pop();
                let value = serde_json::from_slice(&message).unwrap_or_default();
                if tell.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut chromium = Chromium { child, input, said, log, last_id: 0 };
        if microphone.is_none() {
            let refused = json!({ "permission": { "name": "microphone" }, "setting": "denied" });
            chromium.ask(None, "Browser.setPermission", &refused);
        }
        chromium
    }

    /// Opens `url` in a page of its own, with `script` before the page's own.
    pub fn open(&mut self, url: &str, script: &str) -> Page {
        let blank = json!({ "url": "about:blank" });
        let target = self.ask(None, "Target.createTarget", &blank)["targetId"].clone();
        let flat = json!({ "targetId": target, "flatten": true });
        let session = self.ask(None, "Target.attachToTarget", &flat)["sessionId"].clone();
        let text = |value: &Value| value.as_str().expect("an id").to_owned();
        let page = Page { target: text(&target), session: text(&session) };
        self.of(&page, "Page.enable", &json!({}));
        let early = json!({ "source": script });
        self.of(&page, "Page.addScriptToEvaluateOnNewDocument", &early);
        self.of(&page, "Page.navigate", &json!({ "url": url }));
        let loaded = wait_until(Duration::from_secs(20), || {
            (self.evaluate(&page, "document.readyState") == "complete").then_some(())
        });
        assert!(loaded.is_some(), "the page does not load; {}", self.last_words());
        page
    }

    /// Value of an expression in the page, as if a person had done it.
    ///
    /// # Panics
    /// When it throws.
    pub fn evaluate(&mut self, page: &Page, expression: &str) -> Value {
        let what = json!({
            "expression": expression,
            "awaitPromise": true,
            "returnByValue": true,
            "userGesture": true,
        });
        let done = self.of(page, "Runtime.evaluate", &what);
        assert!(done["exceptionDetails"].is_null(), "{expression}: {}", done["exceptionDetails"]);
        done["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    ///
    /// # Panics
    /// When it is not within `limit`; `else_show` is evaluated for the message.
    pub fn wait_for(&mut self, page: &Page, expression: &str, limit: Duration, else_show: &str) {
        let done = wait_until(limit, || (self.evaluate(page, expression) == true).then_some(()));
        if done.is_none() {
            let shown = self.evaluate(page, else_show);
            panic!("not within {limit:?}: {expression}; {shown}; {}", self.last_words());
        }
    }

    /// What the page remembers under this name (see `browser/ear.js`).
    pub fn recorded(&mut self, page: &Page, name: &str) -> Option<Recording> {
        let value = self.evaluate(page, &format!("window.recorded({name:?})"));
        let bytes = from_base64(value["pcm"].as_str()?);
        let samples = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        let rate = u32::try_from(value["rate"].as_u64()?).ok()?;
        let wav = Wav { rate, samples: samples.collect() };
        Some(Recording { wav, began: value["began"].as_f64()? })
    }

    /// Closes the page, as a person closes a tab.
    pub fn close(&mut self, page: Page) {
        let _ = self.ask(None, "Target.closeTarget", &json!({ "targetId": page.target }));
    }

    /// Ends it at once, without a goodbye.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn of(&mut self, page: &Page, method: &str, parameters: &Value) -> Value {
        self.ask(Some(&page.session), method, parameters)
    }

    fn ask(&mut self, session: Option<&str>, method: &str, parameters: &Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let sent = write!(self.input, "{message}\0").and_then(|()| self.input.flush());
        assert!(sent.is_ok(), "{method}: chromium is gone; {}", self.last_words());
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(mut said) = self.said.recv_timeout(left) else {
                panic!("{method}: no answer; {}", self.last_words());
            };
            if said["id"] == self.last_id {
                assert!(said["error"].is_null(), "{method}: {}", said["error"]);
                return said["result"].take();
            }
        }
    }

    fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        format!("its last words:\n{}", last_lines(&String::from_utf8_lossy(&text), 15))
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The script that makes a page remember sound.
pub fn ear() -> String {
    let path = repository().join("tests-peers/browser/ear.js");
    std::fs::read_to_string(path).expect("it is part of the repository")
}

/// RFC 4648 §4; anything else is left out.
fn from_base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for sign in text.bytes() {
        let value = match sign {
            b'A'..=b'Z' => sign - b'A',
            b'a'..=b'z' => sign - b'a' + 26,
            b'0'..=b'9' => sign - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read() {
        for (text, bytes) in
            [("", &b""[..]), ("Zg==", b"f"), ("Zm8=", b"fo"), ("Zm9vYmFy", b"foobar")]
        {
            assert_eq!(from_base64(text), bytes, "{text}");
        }
        assert_eq!(from_base64("//79/A=="), [255, 254, 253, 252]);
    }
}
