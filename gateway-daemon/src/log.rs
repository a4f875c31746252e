//! Where log lines go: to standard error, each at once, or those of one piece of work together.
//!
//! A call has five lines; at thousands of calls a second a system call for each is dearer than the work it tells of.
//! Lines are held within [`hold`]'s guard only, on its thread only, so that what was done before a crash is on record.

use std::cell::RefCell;
use std::io::{self, Write};
use std::marker::PhantomData;

thread_local! {
    static HELD: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

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

    #[test]
    fn many_lines_do_not_wait() {
        let _lines = hold();
        LogOut.write_all(&[b' '; HELD_BYTES_MAX]).expect("standard error");
        assert_eq!(HELD.with_borrow(|held| held.as_ref().map(Vec::len)), Some(0));
    }
}
