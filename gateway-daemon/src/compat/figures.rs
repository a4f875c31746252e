//! What Jigasi counts, counted by us: fed by events and by a look at the gateway, shown as JSON and as metrics.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use gateway_core::base::ids::CallKey;
use gateway_core::call::CallRecord;
use gateway_core::gateway::Event;
use gateway_core::gateway::snapshot::GatewaySnapshot;
use gateway_core::io::signalling::Counter;
use gateway_core::io::wall_clock;
use gateway_core::leg::end_reason::EndReason;
use serde_json::{Map, Value, json};

use crate::wall::rfc3339;

/// What happened since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls that were in a room and have ended.
    pub completed: u64,
    /// How long those were in it, together.
    pub seconds: u64,
    /// Callers that came into a room.
    pub participants: u64,
    /// Calls that ended because nothing was heard of the phone any more.
    pub dropped_media: u64,
    /// Calls that never came into their conference, or lost it for good.
    pub connection_failed: u64,
    /// Calls whose PBX did not answer heartbeats.
    pub no_heartbeat: u64,
    /// Addresses of those who are occupants of a Jitsi room.
    occupants: BTreeMap<CallKey, String>,
}

impl Tally {
    /// The core told something.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::CallOccupant(call, address) => {
                self.occupants.insert(*call, address.clone());
            }
            Event::CallJoined(..) => self.participants += 1,
            Event::CallEnded(record) => self.ended(record),
            _ => {}
        }
    }

    fn ended(&mut self, record: &CallRecord) {
        self.occupants.remove(&record.call);
        if let Some(joined) = record.joined {
            self.completed += 1;
            self.seconds += record.ended.unix.saturating_sub(joined.unix).as_secs();
        }
        match record.reason {
            EndReason::MediaTimeout => self.dropped_media += 1,
            EndReason::ConferenceLost | EndReason::ServiceUnavailable => {
                self.connection_failed += 1;
            }
            EndReason::HeartbeatLost => self.no_heartbeat += 1,
            _ => {}
        }
    }

    /// The address of a caller in his room (`room@rooms.example.org/nick`).
    pub fn occupant(&self, call: CallKey) -> Option<&str> {
        self.occupants.get(&call).map(String::as_str)
    }
}

/// All of it at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Calls.
    conferences: u64,
    /// Callers in rooms.
    participants: u64,
    /// Rooms by callers in them; the last one counts all larger ones.
    sizes: [u64; SIZES],
    /// Calls over what was called a full gateway.
    stress: f64,
    draining: bool,
    threads: u64,
    now: Duration,
    started: Duration,
    tally: Tally,
    /// Moved to another bridge, conference lost, got back, no path to the bridge.
    core: [u64; 4],
}

/// Names of the core's counters behind [`Figures::core`].
const CORE: [&str; 4] =
    ["bridge_changes", "conferences_interrupted", "conferences_recovered", "bridge_keys_too_late"];

impl Figures {
    /// As it is now. `full` calls are a stress of 1.
    pub fn new(
        snapshot: &GatewaySnapshot,
        counters: &[Counter],
        tally: &Tally,
        full: u64,
        started: Duration,
    ) -> Self {
        let is_there = |state: &str| !matches!(state, "Closing" | "Over");
        let conferences = snapshot.calls.iter().filter(|call| is_there(call.state)).count() as u64;
        let mut sizes = [0; SIZES];
        let mut participants = 0;
        for members in snapshot.rooms.iter().map(|(_, room)| room.members.len()) {
            participants += members as u64;
            if let Some(count) = sizes.get_mut(members.min(SIZES - 1)) {
                *count += 1;
            }
        }
        let counted =
            |name: &str| counters.iter().find(|it| it.name == name).map_or(0, |it| it.value);
        Self {
            conferences,
            participants,
            sizes,
            stress: conferences as f64 / full.max(1) as f64,
            draining: snapshot.draining,
            threads: threads(),
            now: wall_clock().unix,
            started,
            tally: tally.clone(),
            core: CORE.map(counted),
        }
    }

    /// The body of `/about/stats`.
    pub fn json(&self) -> Value {
        let mut stats: Map<String, Value> = Map::new();
        for row in ROWS {
            let value = self.value(row.name);
            let value = match row.name {
                "stress_level" => json!(value),
                "graceful_shutdown" => json!(self.draining),
                _ => json!(value as u64),
            };
            stats.insert(row.name.to_owned(), value);
        }
        stats.insert("conference_sizes".to_owned(), json!(self.sizes));
        let wall = gateway_core::base::time::WallClock { unix: self.now };
        let text = rfc3339(wall).replace('T', " ").replace('Z', "");
        stats.insert("current_timestamp".to_owned(), json!(text));
        Value::Object(stats)
    }

    /// Lines for a page of metrics: Prometheus text, or OpenMetrics without its last line.
    pub fn metrics(&self, is_open: bool) -> String {
        let mut page = String::with_capacity(8_192);
        for row in ROWS {
            let name = format!("jitsi_jigasi_{}", row.name);
            let suffix = if row.counts { "_total" } else { "" };
            let kind = if row.counts { "counter" } else { "gauge" };
            let family = if is_open { name.clone() } else { format!("{name}{suffix}") };
            let value = self.value(row.name);
            let _ = writeln!(page, "# HELP {family} {}\n# TYPE {family} {kind}", row.help);
            let _ = writeln!(page, "{name}{suffix} {value}");
            if row.counts {
                if !is_open {
                    let head = "Unix time since which it is counted.";
                    let _ =
                        writeln!(page, "# HELP {name}_created {head}\n# TYPE {name}_created gauge");
                }
                let _ = writeln!(page, "{name}_created {}", self.started.as_secs_f64());
            }
        }
        page
    }

    fn value(&self, name: &str) -> f64 {
        let [moved, lost, regained, no_path] = self.core;
        let tally = &self.tally;
        let whole = match name {
            "stress_level" => return self.stress,
            "conferences" => self.conferences,
            "participants" => self.participants,
            "threads" => self.threads,
            "graceful_shutdown" => u64::from(self.draining),
            "total_conferences_completed" => tally.completed,
            "total_participants" => tally.participants,
            "total_conference_seconds" => tally.seconds,
            "total_calls_with_dropped_media" | "total_count_dropped_media" => tally.dropped_media,
            "total_calls_with_connection_failed" => tally.connection_failed,
            "total_calls_no_heartbeat_response" => tally.no_heartbeat,
            "total_calls_with_jvb_migrate" => moved,
            "total_calls_with_sip_call_waiting" => lost,
            "total_calls_with_sip_call_reconnected" => regained,
            "total_calls_jvb_no_media" => no_path,
            // Nobody transcribes here.
            _ => 0,
        };
        whole as f64
    }
}

/// A figure of Jigasi's.
struct Row {
    name: &'static str,
    /// It only grows.
    counts: bool,
    help: &'static str,
}

const fn gauge(name: &'static str, help: &'static str) -> Row {
    Row { name, counts: false, help }
}

const fn count(name: &'static str, help: &'static str) -> Row {
    Row { name, counts: true, help }
}

const NOT_HERE: &str = "Always 0: nothing is transcribed here.";

/// All of them, by Jigasi's names.
const ROWS: &[Row] = &[
    gauge("conferences", "Calls."),
    gauge("participants", "Callers in rooms; web users are not counted."),
    gauge("stress_level", "Calls over conferences_threshold."),
    gauge("threads", "Threads of the process."),
    gauge("graceful_shutdown", "1 while no new calls are taken."),
    count("total_conferences_completed", "Calls that were in a room and have ended."),
    count("total_participants", "Callers that came into a room."),
    count("total_conference_seconds", "Time of calls in rooms, of those that have ended."),
    count("total_calls_with_dropped_media", "Calls ended because nothing came from the phone."),
    count("total_count_dropped_media", "The same: such a call is ended, not counted again."),
    count("total_calls_with_connection_failed", "Calls that could not reach or keep a conference."),
    count(
        "total_calls_with_sip_call_waiting",
        "Times a conference was lost while its call went on.",
    ),
    count("total_calls_with_sip_call_reconnected", "Times it was got back."),
    count("total_calls_with_jvb_migrate", "Times a call was moved to another bridge."),
    count("total_calls_jvb_no_media", "Times no way to a bridge was found."),
    count("total_calls_no_heartbeat_response", "Calls ended because heartbeats were not answered."),
    count("total_transcriber_g_requests", NOT_HERE),
    gauge("total_transcriber_g_minutes", NOT_HERE),
    gauge("total_transcriber_ggl_millis", NOT_HERE),
    gauge("total_transcriber_oci_millis", NOT_HERE),
    gauge("total_transcriber_wsp_millis", NOT_HERE),
    gauge("total_transcriber_vsk_millis", NOT_HERE),
    count("total_transcriber_started", NOT_HERE),
    count("total_transcriber_stopped", NOT_HERE),
    count("total_transcriber_failed", NOT_HERE),
    count("total_transcriber_connection_errors", NOT_HERE),
    count("total_transcriber_connection_retries", NOT_HERE),
    count("total_transcriber_no_result_errors", NOT_HERE),
    count("total_transcriber_send_errors", NOT_HERE),
    count("total_transcriber_session_creation_errors", NOT_HERE),
];

/// Threads of this process, or 0 where the system does not say.
fn threads() -> u64 {
    std::fs::read_dir("/proc/self/task").map_or(0, |tasks| tasks.count() as u64)
}

/// Rooms with 0 to 20 callers, and larger ones.
const SIZES: usize = 22;

#[cfg(test)]
mod tests;
