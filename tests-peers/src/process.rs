//! A child process with its words in a file: started in the namespace, ended by its own pid, never by name.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running peer. Dropped: told to end, given three seconds, then killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `command` with both of its outputs in `folder/NAME.log`.
    ///
    /// # Panics
    /// When the program cannot be started: the test cannot go on.
    pub fn start(name: &str, folder: &Path, mut command: Command) -> Process {
        command.stdin(Stdio::null());
        Process::spawn(name, folder, command)
    }

    /// Like [`Self::start`], with a way to ask it for things while it runs.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start_asked(name: &str, folder: &Path, mut command: Command) -> (Process, ChildStdin) {
        command.stdin(Stdio::piped());
        let mut process = Process::spawn(name, folder, command);
        let input = process.child.stdin.take().expect("its input is piped");
        (process, input)
    }

    fn spawn(name: &str, folder: &Path, mut command: Command) -> Process {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).expect("a log file in the test's own folder");
        let twin = file.try_clone().expect("a second handle to the log");
        let child = command
            .stdout(file)
            .stderr(twin)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        Process { name: name.to_owned(), log, child }
    }

    /// The process id, which is the program's own (every wrapper execs).
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The whole lines it printed from byte `from` on, and where the next begin.
    pub fn lines_since(&self, from: u64) -> (String, u64) {
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(&self.log) {
            let _ = file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut bytes));
        }
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        bytes.truncate(whole);
        (String::from_utf8_lossy(&bytes).into_owned(), from + whole as u64)
    }

    /// The exit status if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for the end; `None` when it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        wait_until(limit, || self.ended())
    }

    /// Sends a signal by name, for example `"TERM"` or `"INT"`.
    pub fn signal(&self, name: &str) {
        let _ = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).output();
    }

    /// Ends it as a crash would, at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end and waits; kills it after three seconds.
    pub fn stop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        self.signal("TERM");
        if self.wait(Duration::from_secs(3)).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    /// Panics with the last lines of its output if it has ended.
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.ended() {
            panic!(
                "{} ended ({status}); its last words:\n{}",
                self.name,
                last_lines(&self.output(), 30)
            );
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Asks `probe` every 20 ms until it has something, at most for `limit`.
pub fn wait_until<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The last `count` lines of a text.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
