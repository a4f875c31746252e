//! Files of lines that grow: call records, the audit log. Each line is one JSON object.
//!
//! A disk that is full or gone loses no call and, for a while, no line: lines wait in memory ([`LINES_MAX`]), the
//! writer warns once, tries again every second and says when it is over. A line is written whole or not at all. The
//! file is opened anew for each batch, so that it may be moved away at any time (log rotation). A journal of days
//! begins a new file each day and removes those that were kept long enough.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gateway_core::base::time::WallClock;
use gateway_core::io::wall_clock;

use crate::wall::rfc3339;

/// Lines kept while the disk does not take them: at 500 bytes each 5 MB. Full: the oldest is lost, and counted.
pub const LINES_MAX: usize = 10_000;

/// Where lines go.
#[derive(Clone, Debug)]
pub enum Place {
    /// One file.
    File(PathBuf),
    /// A file each day (UTC): `audit.jsonl` becomes `audit-2026-11-21.jsonl`.
    Days {
        /// The name without the day.
        file: PathBuf,
        /// Days that files are kept; `None`: for ever.
        keep: Option<u64>,
    },
}

/// What became of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounters {
    /// Written.
    pub written: u64,
    /// Lost because too many waited for the disk.
    pub lost: u64,
    /// Failed attempts to write.
    pub failures: u64,
}

/// Writes lines on a thread of its own.
#[derive(Debug)]
pub struct LineWriter {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<String>,
    /// Lines that ever left the front: tells the writer which of its batch are still there.
    left: u64,
    counters: LineCounters,
    trouble: Option<String>,
    stop_by: Option<Instant>,
}

impl LineWriter {
    /// Starts the writer. The file is opened with the first line; `what` is its name in messages.
    pub fn start(place: Place, sync_each: bool, what: &'static str) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || write_for_ever(&seen, &place, sync_each, what))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Takes lines (without their ends) and returns at once.
    pub fn write(&self, lines: Vec<String>) {
        if lines.is_empty() {
            return;
        }
        let mut queue = self.shared.lock();
        for line in lines {
            if queue.lines.len() >= LINES_MAX {
                queue.lines.pop_front();
                queue.left += 1;
                queue.counters.lost += 1;
            }
            queue.lines.push_back(line);
        }
        drop(queue);
        self.shared.wake.notify_one();
    }

    /// Writes what still waits, for three seconds at most, and ends the writer. Blocks.
    pub fn close(&self) {
        self.shared.lock().stop_by = Some(Instant::now() + LAST_WISH);
        self.shared.wake.notify_one();
        let thread = self.thread.lock().map_or(None, |mut thread| thread.take());
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    /// What was counted, and how many lines wait.
    pub fn counters(&self) -> (LineCounters, usize) {
        let queue = self.shared.lock();
        (queue.counters, queue.lines.len())
    }

    /// What is wrong with the file now, if anything.
    pub fn trouble(&self) -> Option<String> {
        self.shared.lock().trouble.clone()
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn write_for_ever(shared: &Shared, place: &Place, sync_each: bool, what: &str) {
    let mut swept = None;
    loop {
        let (batch, left, stop_by) = {
            let mut queue = shared.lock();
            while queue.lines.is_empty() && queue.stop_by.is_none() {
                queue = shared.wake.wait(queue).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
            let take = queue.lines.len().min(BATCH_MAX);
            let batch: Vec<String> = queue.lines.iter().take(take).cloned().collect();
            (batch, queue.left, queue.stop_by)
        };
        if batch.is_empty() {
            return;
        }
        let file = &place.file(wall_clock());
        if swept.as_ref() != Some(file) {
            place.sweep(wall_clock());
            swept = Some(file.clone());
        }
        let (written, result) = append(file, &batch, sync_each);
        let failed = result.is_err();
        note(shared, (file, what), left + written as u64, written, result);
        if failed {
            if stop_by.is_some_and(|by| Instant::now() >= by) {
                let lost = shared.lock().lines.len();
                tracing::error!(lost, file = %file.display(), "{what} lost at the end");
                return;
            }
            wait_before_retry(shared);
        }
    }
}

/// Removes what was written from the queue and says when trouble begins and ends.
fn note(
    shared: &Shared,
    (file, what): (&Path, &str),
    done: u64,
    written: usize,
    result: io::Result<()>,
) {
    let mut queue = shared.lock();
    // Lines that overflowed meanwhile were the first of this batch: they are gone already.
    while queue.left < done && queue.lines.pop_front().is_some() {
        queue.left += 1;
    }
    queue.counters.written += written as u64;
    match result {
        Ok(()) => {
            if queue.trouble.take().is_some() {
                tracing::info!(file = %file.display(), "{what} are written again");
            }
        }
        Err(error) => {
            queue.counters.failures += 1;
            let remedy = match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space",
                io::ErrorKind::NotFound => "create the folder",
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "make it writable for the gateway"
                }
                _ => "check the disk",
            };
            let text = format!("{what} {}: {error}; {remedy}", file.display());
            if queue.trouble.as_ref() != Some(&text) {
                let (waiting, most) = (queue.lines.len(), LINES_MAX);
                tracing::warn!(error = %text, waiting, most, "{what} wait in memory");
            }
            queue.trouble = Some(text);
        }
    }
}

fn wait_before_retry(shared: &Shared) {
    let queue = shared.lock();
    let pause = if queue.stop_by.is_some() { Duration::from_millis(50) } else { RETRY_EVERY };
    let until = Instant::now() + pause;
    let mut queue = queue;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        let stopping = queue.stop_by.is_some();
        let waited = shared.wake.wait_timeout(queue, left);
        queue = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        if queue.stop_by.is_some() != stopping {
            return;
        }
    }
}

/// Appends lines; how many are whole in the file, and why not more.
fn append(path: &Path, lines: &[String], sync_each: bool) -> (usize, io::Result<()>) {
    let mut written = 0;
    let mut work = || -> io::Result<()> {
        let mut file =
            OpenOptions::new().append(true).read(true).create(true).mode(0o640).open(path)?;
        let mut length = mend(&mut file)?;
        if !sync_each {
            let all: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
            if file.write_all(all.as_bytes()).is_ok() {
                written = lines.len();
                return Ok(());
            }
            // Line by line, then: some may still fit.
            let _ = file.set_len(length);
        }
        for line in lines {
            let bytes = format!("{line}\n");
            if let Err(error) = file.write_all(bytes.as_bytes()) {
                // Half a line is taken back: records stay readable.
                let _ = file.set_len(length);
                return Err(error);
            }
            length += bytes.len() as u64;
            if sync_each {
                file.sync_data()?;
            }
            written += 1;
        }
        Ok(())
    };
    let result = work();
    (written, result)
}

/// Ends a line that a power cut left half written. Gives the file's length.
fn mend(file: &mut std::fs::File) -> io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    if length == 0 {
        return Ok(0);
    }
    file.seek(SeekFrom::Start(length - 1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last == [b'\n'] {
        return Ok(length);
    }
    file.write_all(b"\n")?;
    Ok(length + 1)
}

impl Place {
    /// The file of a moment.
    fn file(&self, wall: WallClock) -> PathBuf {
        match self {
            Self::File(file) => file.clone(),
            Self::Days { file, .. } => {
                let (stem, end) = parts(file);
                file.with_file_name(format!("{stem}-{}{end}", day(wall)))
            }
        }
    }

    /// Removes the files of days that were kept long enough. Other files are left alone.
    fn sweep(&self, wall: WallClock) {
        let Self::Days { file, keep: Some(days) } = self else { return };
        let kept_since =
            wall.unix.saturating_sub(DAY.saturating_mul(u32::try_from(*days).unwrap_or(u32::MAX)));
        let kept_since = day(WallClock { unix: kept_since });
        let (stem, end) = parts(file);
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten();
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let of_day = name
                .strip_prefix(&format!("{stem}-"))
                .and_then(|rest| rest.strip_suffix(&end))
                .filter(|day| is_day(day));
            if of_day.is_some_and(|day| day < kept_since.as_str()) {
                match std::fs::remove_file(&path) {
                    Ok(()) => tracing::info!(file = %path.display(), "kept long enough, removed"),
                    Err(error) => {
                        tracing::warn!(file = %path.display(), %error, "cannot be removed");
                    }
                }
            }
        }
    }
}

/// `audit` and `.jsonl`.
fn parts(file: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.map(|it| it.to_string_lossy().into_owned());
    let end = text(file.extension()).map_or(String::new(), |end| format!(".{end}"));
    (text(file.file_stem()).unwrap_or_default(), end)
}

/// `2026-11-21`.
fn day(wall: WallClock) -> String {
    rfc3339(wall).chars().take(10).collect()
}

fn is_day(text: &str) -> bool {
    let fits = |(at, sign): (usize, char)| match at {
        4 | 7 => sign == '-',
        _ => sign.is_ascii_digit(),
    };
    text.len() == 10 && text.chars().enumerate().all(fits)
}

/// Lines written between two looks at the queue.
const BATCH_MAX: usize = 256;
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// At the end, a disk that does not take records is given this long.
const LAST_WISH: Duration = Duration::from_secs(3);

const DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    fn at(days: u64) -> WallClock {
        // 2026-11-21T00:00:00Z.
        WallClock {
            unix: Duration::from_secs(1_795_219_200) + DAY * u32::try_from(days).expect("few"),
        }
    }

    #[test]
    fn each_day_has_its_file_and_old_ones_go() {
        let folder = Folder::new("journal");
        let file = folder.path().join("audit.jsonl");
        let place = Place::Days { file: file.clone(), keep: Some(2) };
        for days in 0..5 {
            std::fs::write(place.file(at(days)), "{}\n").expect("written");
        }
        for other in
            ["audit.jsonl", "audit-2020-01-01.txt", "audit-x.jsonl", "cdr-2020-01-01.jsonl"]
        {
            std::fs::write(folder.path().join(other), "").expect("written");
        }
        place.sweep(at(4));
        let mut names: Vec<String> = std::fs::read_dir(folder.path())
            .expect("folder")
            .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "audit-2020-01-01.txt",
                "audit-2026-11-23.jsonl",
                "audit-2026-11-24.jsonl",
                "audit-2026-11-25.jsonl",
                "audit-x.jsonl",
                "audit.jsonl",
                "cdr-2020-01-01.jsonl"
            ]
        );
        Place::Days { file, keep: None }.sweep(at(4_000));
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 7, "for ever");
    }

    #[test]
    fn a_full_disk_is_said_by_name_and_lines_come_later() {
        let folder = Folder::new("journal-full");
        let file = folder.path().join("audit.jsonl");
        let place = Place::Days { file, keep: None };
        let today = place.file(wall_clock());
        std::os::unix::fs::symlink("/dev/full", &today).expect("linked");
        let writer = LineWriter::start(place, false, "audit lines").expect("starts");
        writer.write(vec!["{}".to_owned()]);
        let until = Instant::now() + Duration::from_secs(20);
        let mut trouble = None;
        while trouble.is_none() && Instant::now() < until {
            trouble = writer.trouble();
            std::thread::sleep(Duration::from_millis(2));
        }
        let trouble = trouble.expect("said");
        assert!(
            trouble.contains("audit lines") && trouble.contains("free some space"),
            "{trouble}"
        );
        std::fs::remove_file(&today).expect("the disk has space again");
        writer.close();
        assert_eq!(std::fs::read_to_string(&today).expect("written"), "{}\n");
    }
}
