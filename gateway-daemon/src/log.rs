//! Where log lines go: to standard error, each at once, or those of one piece of work together.
//!
//! A call has five lines; at thousands of calls a second a system call for each is dearer than the work it tells of.
//! Lines are held within [`hold`]'s guard only, on its thread only, so that what was done before a crash is on record.

use std::cell::RefCell;
use std::io::{self, Write};
use std::marker::PhantomData;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Targets;

thread_local! {
    static HELD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// The filter of `[log] filter`. Whatever it says, the library of WebSockets does not tell whole requests (it does at its finest
/// level): their addresses hold tokens of sites and passwords of bridges.
pub fn filter(text: &str) -> Result<EnvFilter, String> {
    let mut filter = EnvFilter::try_new(text).map_err(|error| error.to_string())?;
    let tells = |target: &str| {
        let targets = text.parse::<Targets>();
        targets.map_or(true, |targets| targets.would_enable(target, &Level::TRACE))
    };
    for target in INDISCREET.into_iter().filter(|target| tells(target)) {
        let quieter = format!("{target}=debug").parse();
        filter = filter.add_directive(quieter.map_err(|error| format!("{target}: {error}"))?);
    }
    Ok(filter)
}

/// Modules that print requests, most general first: a filter may name any of them.
const INDISCREET: [&str; 3] =
    ["tungstenite", "tungstenite::handshake", "tungstenite::handshake::client"];

/// Holds the lines of this thread until the guard is dropped. A guard within a guard changes nothing.
pub fn hold() -> Hold {
    let is_outermost = HELD.with_borrow_mut(|held| {
        let is_outermost = held.is_none();
        held.get_or_insert_with(Vec::new);
        is_outermost
    });
    Hold { is_outermost, on_this_thread: PhantomData }
}

/// Lines of this thread are held while it lives. Never across an `await`: it is not `Send`.
#[derive(Debug)]
pub struct Hold {
    is_outermost: bool,
    on_this_thread: PhantomData<*const ()>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.is_outermost {
            let lines = HELD.with_borrow_mut(Option::take).unwrap_or_default();
            // There is nobody left to tell.
            let _ = io::stderr().write_all(&lines);
        }
    }
}

/// The way of log lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogOut;

impl Write for LogOut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        HELD.with_borrow_mut(|held| match held {
            Some(lines) => {
                lines.extend_from_slice(bytes);
                if lines.len() >= HELD_BYTES_MAX {
                    io::stderr().write_all(lines)?;
                    lines.clear();
                }
                Ok(bytes.len())
            }
            None => io::stderr().write(bytes),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// More is written at once. (In tests little is, for it comes out among their results.)
const HELD_BYTES_MAX: usize = if cfg!(test) { 64 } else { 64 * 1_024 };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_held_until_the_outermost_guard_goes() {
        let held = || HELD.with_borrow(|held| held.as_ref().map(Vec::len));
        let outer = hold();
        LogOut.write_all(b"\n").expect("memory");
        drop(hold());
        assert_eq!(held(), Some(1));
        let elsewhere = std::thread::spawn(|| HELD.with_borrow(Option::is_none)).join();
        assert!(elsewhere.expect("no panic"), "another thread holds nothing");
        drop(outer);
        assert_eq!(held(), None);
    }

    /// What a log with this filter shows of a request in a library, and of something of ours.
    fn shown(text: &str) -> (bool, bool) {
        #[derive(Clone, Default)]
        struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
        impl Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().expect("no panic").write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(text).expect("a filter"))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!(target: "tungstenite::handshake::client", "GET /?token=s3cret");
            tracing::trace!(target: "gateway_core::sip", "ours");
        });
        let lines = lines.0.lock().expect("no panic").clone();
        let lines = String::from_utf8(lines).expect("text");
        (lines.contains("s3cret"), lines.contains("ours"))
    }

    #[test]
    fn no_filter_makes_the_log_tell_requests_with_their_secrets() {
        for (text, ours) in [
            ("trace", true),
            ("info,tungstenite=trace", false),
            ("tungstenite", false),
            ("tungstenite::handshake::client=trace,gateway_core=trace", true),
            ("tungstenite::handshake=trace,trace", true),
            ("[call{key=1}]=trace,trace", true),
            ("info", false),
        ] {
            assert_eq!(shown(text), (false, ours), "{text}");
        }
        assert!(filter("sip=loudly").is_err(), "nonsense is said");
    }

    #[test]
    fn many_lines_do_not_wait() {
        let _lines = hold();
        LogOut.write_all(&[b' '; HELD_BYTES_MAX]).expect("standard error");
        assert_eq!(HELD.with_borrow(|held| held.as_ref().map(Vec::len)), Some(0));
    }
}
