//! Call records: one JSON line per call, appended to a file.
//!
//! A disk that is full or gone loses no call and, for a while, no record: lines wait in memory ([`LINES_MAX`]), the
//! writer warns once, tries again every second and says when it is over. A line is written whole or not at all. The
//! file is opened anew for each batch, so that it may be moved away at any time (log rotation).

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gateway_core::base::time::WallClock;
use gateway_core::call::{CallDirection, CallRecord};
use gateway_core::media::quality::LegReport;
use serde_json::{Map, Value, json};

use crate::privacy::Shower;
use crate::wall::rfc3339;

/// Lines kept while the disk does not take them: at 500 bytes each 5 MB. Full: the oldest is lost, and counted.
pub const LINES_MAX: usize = 10_000;

gateway_core::counters! {
    /// What became of call records.
    pub struct CdrCounters {
        /// Call records written.
        cdr_lines_written,
        /// Call records lost because too many waited for the disk.
        cdr_lines_lost,
        /// Failed attempts to write call records.
        cdr_write_failures,
    }
}

/// Writes records on a thread of its own.
#[derive(Debug)]
pub struct CdrWriter {
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
    counters: CdrCounters,
    trouble: Option<String>,
    stop_by: Option<Instant>,
}

impl CdrWriter {
    /// Starts the writer. The file is opened with the first record.
    pub fn start(file: PathBuf, sync_each: bool) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("cdr".to_owned())
            .spawn(move || write_for_ever(&seen, &file, sync_each))?;
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
                queue.counters.cdr_lines_lost += 1;
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
    pub fn counters(&self) -> (CdrCounters, usize) {
        let queue = self.shared.lock();
        (queue.counters, queue.lines.len())
    }

    /// What is wrong with the file now, if anything.
    pub fn trouble(&self) -> Option<String> {
        self.shared.lock().trouble.clone()
    }
}

impl Drop for CdrWriter {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn write_for_ever(shared: &Shared, file: &Path, sync_each: bool) {
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
        let (written, result) = append(file, &batch, sync_each);
        let failed = result.is_err();
        note(shared, file, left + written as u64, written, result);
        if failed {
            if stop_by.is_some_and(|by| Instant::now() >= by) {
                let lost = shared.lock().lines.len();
                tracing::error!(lost, file = %file.display(), "call records lost at the end");
                return;
            }
            wait_before_retry(shared);
        }
    }
}

/// Removes what was written from the queue and says when trouble begins and ends.
fn note(shared: &Shared, file: &Path, done: u64, written: usize, result: io::Result<()>) {
    let mut queue = shared.lock();
    // Lines that overflowed meanwhile were the first of this batch: they are gone already.
    while queue.left < done && queue.lines.pop_front().is_some() {
        queue.left += 1;
    }
    queue.counters.cdr_lines_written += written as u64;
    match result {
        Ok(()) => {
            if queue.trouble.take().is_some() {
                tracing::info!(file = %file.display(), "call records are written again");
            }
        }
        Err(error) => {
            queue.counters.cdr_write_failures += 1;
            let remedy = match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space",
                io::ErrorKind::NotFound => "create the folder",
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    "make it writable for the gateway"
                }
                _ => "check the disk",
            };
            let text = format!("call records {}: {error}; {remedy}", file.display());
            if queue.trouble.as_ref() != Some(&text) {
                let (waiting, most) = (queue.lines.len(), LINES_MAX);
                tracing::warn!(error = %text, waiting, most, "call records wait in memory");
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

/// The record of a call as one JSON line.
pub fn line(record: &CallRecord, trunk: &str, shower: &Shower) -> String {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            out.insert(key.to_owned(), value);
        }
    };
    let since = |from: Option<WallClock>| {
        from.map(|from| record.ended.unix.saturating_sub(from.unix).as_millis() as f64 / 1_000.0)
    };
    put("call", json!(record.call.to_string()));
    put("call_id", json!(record.call_id));
    put("direction", json!(direction(record.direction)));
    put("trunk", json!(trunk));
    put("caller", json!(shower.number(record.caller.reveal())));
    put("dialled", json!(shower.number(record.dialled.reveal())));
    put("room", json!(record.room.as_ref().map(|room| shower.room(room))));
    put("note", json!(record.note));
    put("started", json!(rfc3339(record.started)));
    put("answered", json!(record.answered.map(rfc3339)));
    put("joined", json!(record.joined.map(rfc3339)));
    put("ended", json!(rfc3339(record.ended)));
    put("seconds", json!(since(Some(record.started))));
    put("seconds_answered", json!(since(record.answered)));
    put("reason", json!(record.reason.row().label));
    put("status", json!(record.status));
    put("codec", json!(record.codec.map(|codec| codec.row().name)));
    if record.answered.is_some() {
        put("sound", sound(&record.report));
    }
    Value::Object(out).to_string()
}

/// Figures of a leg as JSON.
pub fn sound(report: &LegReport) -> Value {
    let ms = |time: Duration| (time.as_micros() as f64 / 100.0).round() / 10.0;
    json!({
        "packets_sent": report.packets_sent,
        "packets_received": report.packets_received,
        "packets_lost": report.packets_lost,
        "packets_late": report.packets_late,
        "jitter_ms": ms(report.jitter),
        "playout_delay_ms": ms(report.playout_delay),
        "concealed_percent": f64::from(report.concealed_per_myriad) / 100.0,
        "round_trip_ms": report.round_trip.map(ms),
        "far_loss_percent": report.far_loss_percent,
        "mos": report.mos_centi.map(|mos| f64::from(mos) / 100.0),
    })
}

/// The name of a direction.
pub fn direction(direction: CallDirection) -> &'static str {
    match direction {
        CallDirection::Inbound => "inbound",
        CallDirection::Outbound => "outbound",
    }
}

/// Lines written between two looks at the queue.
const BATCH_MAX: usize = 256;
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// At the end, a disk that does not take records is given this long.
const LAST_WISH: Duration = Duration::from_secs(3);

#[cfg(test)]
pub(crate) mod tests;
