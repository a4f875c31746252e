//! Call records: one JSON line per call, appended to a file by a [`LineWriter`].

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use gateway_core::base::time::WallClock;
use gateway_core::call::{CallDirection, CallRecord};
use gateway_core::media::quality::LegReport;
use serde_json::{Map, Value, json};

use crate::journal::{LineWriter, Place};
use crate::privacy::Shower;
use crate::wall::rfc3339;

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
pub struct CdrWriter(LineWriter);

impl CdrWriter {
    /// Starts the writer. The file is opened with the first record.
    pub fn start(file: PathBuf, sync_each: bool) -> io::Result<Self> {
        LineWriter::start(Place::File(file), sync_each, "call records").map(Self)
    }

    /// Takes lines (without their ends) and returns at once.
    pub fn write(&self, lines: Vec<String>) {
        self.0.write(lines);
    }

    /// Writes what still waits, for three seconds at most, and ends the writer. Blocks.
    pub fn close(&self) {
        self.0.close();
    }

    /// What was counted, and how many lines wait.
    pub fn counters(&self) -> (CdrCounters, usize) {
        let (counted, waiting) = self.0.counters();
        let counters = CdrCounters {
            cdr_lines_written: counted.written,
            cdr_lines_lost: counted.lost,
            cdr_write_failures: counted.failures,
        };
        (counters, waiting)
    }

    /// What is wrong with the file now, if anything.
    pub fn trouble(&self) -> Option<String> {
        self.0.trouble()
    }
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

#[cfg(test)]
pub(crate) mod tests;
