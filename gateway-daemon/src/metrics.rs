//! Metrics in the Prometheus text format. Counters of the core's machines appear under their own names; what the
//! daemon adds is declared in [`OWN`], from which `docs/metrics.md` is generated.

pub mod docgen;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use gateway_core::base::ids::TrunkId;
use gateway_core::call::{CallDirection, CallRecord};
use gateway_core::gateway::snapshot::GatewaySnapshot;

use crate::agi::AgiCounters;
use crate::brewery::Seats;
use crate::cdr::{CdrCounters, direction};
use crate::hooks::Seen as HooksSeen;
use crate::ivr::IvrCounters;
use crate::journal::LineCounters;
use crate::pin::events::PinCounts;
use crate::rocketchat::desk::DeskCounters;
use crate::rocketchat::task::Seen;
use crate::trunks::Trunks;

/// A metric of the daemon.
#[derive(Clone, Copy, Debug)]
pub struct MetricDecl {
    /// Name, without `weebee_`.
    pub name: &'static str,
    /// `gauge`, `counter` or `histogram`.
    pub kind: &'static str,
    /// Labels.
    pub labels: &'static str,
    /// Help text.
    pub help: &'static str,
}

const fn own(
    name: &'static str,
    kind: &'static str,
    labels: &'static str,
    help: &'static str,
) -> MetricDecl {
    MetricDecl { name, kind, labels, help }
}

/// What the daemon adds to the core's counters.
pub const OWN: &[MetricDecl] = &[
    own("build", "gauge", "version", "Always 1; the label says which version runs."),
    own("started_seconds", "gauge", "", "Unix time of the start."),
    own("resident_bytes", "gauge", "", "Memory in use."),
    own("draining", "gauge", "", "1 while no new calls are taken."),
    own("calls", "gauge", "state", "Calls, by state."),
    own("rooms", "gauge", "", "Rooms with somebody in them."),
    own("room_members", "gauge", "", "Callers in rooms."),
    own(
        "rtp_port_pairs",
        "gauge",
        "state",
        "RTP port pairs in use, and resting before they are used again.",
    ),
    own(
        "calls_ended_by_reason_total",
        "counter",
        "reason,direction",
        "Calls that ended, by reason.",
    ),
    own("call_seconds", "histogram", "", "Length of answered calls, from the answer."),
    own("call_setup_seconds", "histogram", "", "Time from INVITE to answer."),
    own(
        "call_mos",
        "histogram",
        "",
        "Estimated MOS of what phones sent, at the end of answered calls.",
    ),
    own(
        "trunk_up",
        "gauge",
        "trunk",
        "1 if the trunk answers OPTIONS, 0 if not. Only trunks with qualify_s.",
    ),
    own("trunk_round_trip_seconds", "gauge", "trunk", "Round trip of the last OPTIONS."),
    own(
        "trunk_registered",
        "gauge",
        "trunk",
        "1 if the trunk's registrar knows us. Only trunks with register.",
    ),
    own(
        "trunk_resolved",
        "gauge",
        "trunk",
        "1 if the name of the trunk's peer can be resolved. Only trunks whose peer is a name.",
    ),
    own(
        "trunk_usable",
        "gauge",
        "trunk",
        "1 if calls can be expected to work: registered, found and not silent, as far as asked for.",
    ),
    own(
        "pins_refused_by_reason_total",
        "counter",
        "trunk,reason",
        "PINs refused, by trunk and reason.",
    ),
    own(
        "pin_guessers_locked_out_total",
        "counter",
        "trunk,cap",
        "Times that wrong PINs reached a cap (caller, anonymous, trunk, global), by trunk.",
    ),
    own("pin_registry_up", "gauge", "", "1 if the last PIN could be looked up."),
    own(
        "rocketchat_up",
        "gauge",
        "workspace",
        "1 if the stream of messages is there, or not wanted.",
    ),
    own("rocketchat_meetings_open", "gauge", "workspace", "Meetings with a number and a PIN."),
    own("brewery_up", "gauge", "brewery", "1 while we are in the brewery's room."),
    own(
        "brewery_focus",
        "gauge",
        "brewery",
        "1 while a Jicofo is there, too: only then can somebody dial.",
    ),
    own("dials_waiting", "gauge", "", "Dials that wait for their answer."),
    own("dial_out_calls", "gauge", "", "Calls that conferences asked for and that go on."),
    own("agi_open", "gauge", "", "FastAGI conversations that go on."),
    own("hook_up", "gauge", "hook", "1 if the last request to the program was good."),
    own("hook_events_waiting", "gauge", "", "Events that wait for the program that is told."),
    own("audit_up", "gauge", "", "1 if the audit log reaches the disk."),
    own("audit_lines_written_total", "counter", "", "Lines of the audit log that were written."),
    own(
        "audit_lines_lost_total",
        "counter",
        "",
        "Lines of the audit log lost because too many waited for the disk.",
    ),
    own("audit_lines_waiting", "gauge", "", "Lines of the audit log that wait for the disk."),
    own("cdr_up", "gauge", "", "1 if call records reach the disk."),
    own("cdr_lines_waiting", "gauge", "", "Call records that wait for the disk."),
];

/// What the daemon counts itself, fed by events.
#[derive(Debug)]
pub struct Stats {
    ended: BTreeMap<(&'static str, &'static str), u64>,
    /// What is known of the trunks.
    pub trunks: Trunks,
    length: Histogram,
    setup: Histogram,
    mos: Histogram,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            ended: BTreeMap::new(),
            trunks: Trunks::default(),
            length: Histogram::new(&[
                10.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0,
            ]),
            setup: Histogram::new(&[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
            mos: Histogram::new(&[1.5, 2.0, 2.5, 3.0, 3.5, 3.8, 4.0, 4.2, 4.4]),
        }
    }
}

impl Stats {
    /// A call ended.
    pub fn call_ended(&mut self, record: &CallRecord) {
        let key = (record.reason.row().label, direction(record.direction));
        *self.ended.entry(key).or_default() += 1;
        let Some(answered) = record.answered else { return };
        let seconds = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64();
        self.length.add(seconds(answered.unix, record.ended.unix));
        if record.direction == CallDirection::Inbound {
            self.setup.add(seconds(record.started.unix, answered.unix));
        }
        if let Some(mos) = record.report.mos_centi {
            self.mos.add(f64::from(mos) / 100.0);
        }
    }
}

/// Counts per bucket, as Prometheus wants them.
#[derive(Debug)]
struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
    total: u64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len()], sum: 0.0, total: 0 }
    }

    fn add(&mut self, value: f64) {
        for (count, bound) in self.counts.iter_mut().zip(self.bounds) {
            *count += u64::from(value <= *bound);
        }
        self.sum += value;
        self.total += 1;
    }
}

/// Everything a page of metrics shows.
pub struct Sample<'a> {
    /// The gateway.
    pub snapshot: &'a GatewaySnapshot,
    /// Counters of the core: name, help, value.
    pub counters: &'a [(&'static str, &'static str, u64)],
    /// Counters of the PIN dialogue.
    pub ivr: IvrCounters,
    /// Counters of FastAGI, and conversations that go on.
    pub agi: (AgiCounters, usize),
    /// Counters of the call records, and lines that wait.
    pub cdr: (CdrCounters, usize),
    /// What happened to PINs.
    pub pins: PinCounts,
    /// Counters of the audit log, and lines that wait.
    pub audit: (LineCounters, usize),
    /// Whether it reaches its disk.
    pub audit_up: bool,
    /// Whether PINs and records reach their disks.
    pub pins_up: bool,
    /// Likewise.
    pub cdr_up: bool,
    /// Programs of the owner.
    pub hooks: HooksSeen,
    /// Breweries.
    pub breweries: &'a Seats,
    /// Workspaces of Rocket.Chat, by name.
    pub chats: &'a [(String, Seen)],
    /// Fed by events.
    pub stats: &'a Stats,
    /// Names of the trunks, in the order of their ids.
    pub trunks: &'a [String],
    /// Unix time of the start, in seconds.
    pub started: f64,
}

/// The page, as Prometheus text or as OpenMetrics without its last line.
pub fn render(is_open: bool, sample: &Sample<'_>) -> String {
    let mut page = Page { text: String::with_capacity(16_384), is_open };
    for (name, help, value) in sample.counters {
        page.counter(name, help, *value);
    }
    sample.ivr.visit(&mut |name, help, value| page.counter(name, help, value));
    sample.agi.0.visit(&mut |name, help, value| page.counter(name, help, value));
    sample.breweries.counters.visit(&mut |name, help, value| page.counter(name, help, value));
    sample.cdr.0.visit(&mut |name, help, value| page.counter(name, help, value));
    let mut chats = DeskCounters::default();
    sample.chats.iter().for_each(|(_, seen)| chats.add(&seen.counters));
    chats.visit(&mut |name, help, value| page.counter(name, help, value));
    sample.hooks.counters.visit(&mut |name, help, value| page.counter(name, help, value));
    for metric in OWN {
        page.head(metric.name, metric.kind, metric.help);
        own_values(&mut page, metric.name, sample);
    }
    page.text
}

fn own_values(page: &mut Page, name: &str, sample: &Sample<'_>) {
    let flag = |up: bool| f64::from(u8::from(up));
    let trunk = |id: &TrunkId| sample.trunks.get(usize::from(id.0)).map_or("?", String::as_str);
    match name {
        "build" => page.value(name, &[("version", env!("CARGO_PKG_VERSION"))], 1.0),
        "started_seconds" => page.value(name, &[], sample.started),
        "resident_bytes" => page.value(name, &[], resident_bytes()),
        "draining" => page.value(name, &[], flag(sample.snapshot.draining)),
        "calls" => {
            let mut states: BTreeMap<&str, u32> = BTreeMap::new();
            for call in &sample.snapshot.calls {
                *states.entry(call.state).or_default() += 1;
            }
            for (state, count) in states {
                page.value(name, &[("state", state)], f64::from(count));
            }
        }
        "rooms" => page.value(name, &[], sample.snapshot.rooms.len() as f64),
        "room_members" => {
            let members: usize =
                sample.snapshot.rooms.iter().map(|(_, room)| room.members.len()).sum();
            page.value(name, &[], members as f64);
        }
        "rtp_port_pairs" => {
            page.value(name, &[("state", "used")], sample.snapshot.ports_used as f64);
            page.value(name, &[("state", "resting")], sample.snapshot.ports_resting as f64);
        }
        "calls_ended_by_reason_total" => {
            for ((reason, direction), count) in &sample.stats.ended {
                let labels = [("reason", *reason), ("direction", *direction)];
                page.value(name, &labels, *count as f64);
            }
        }
        "call_seconds" => page.histogram(name, &sample.stats.length),
        "call_setup_seconds" => page.histogram(name, &sample.stats.setup),
        "call_mos" => page.histogram(name, &sample.stats.mos),
        "trunk_up" => {
            for (id, up) in sample.stats.trunks.round_trips() {
                page.value(name, &[("trunk", trunk(&id))], flag(up.is_some()));
            }
        }
        "trunk_round_trip_seconds" => {
            for (id, up) in sample.stats.trunks.round_trips() {
                if let Some(round_trip) = up {
                    page.value(name, &[("trunk", trunk(&id))], round_trip.as_secs_f64());
                }
            }
        }
        "trunk_registered" => {
            for (id, is_registered) in sample.stats.trunks.registered() {
                page.value(name, &[("trunk", trunk(&id))], flag(is_registered));
            }
        }
        "trunk_resolved" => {
            for (id, is_resolved) in sample.stats.trunks.resolved() {
                page.value(name, &[("trunk", trunk(&id))], flag(is_resolved));
            }
        }
        "trunk_usable" => {
            for id in (0u16..).map(TrunkId).take(sample.trunks.len()) {
                let is_usable = sample.stats.trunks.is_usable(id);
                page.value(name, &[("trunk", trunk(&id))], flag(is_usable));
            }
        }
        "cdr_up" => page.value(name, &[], flag(sample.cdr_up)),
        "cdr_lines_waiting" => page.value(name, &[], sample.cdr.1 as f64),
        other => pin_values(page, other, sample),
    }
}

fn pin_values(page: &mut Page, name: &str, sample: &Sample<'_>) {
    let flag = |up: bool| f64::from(u8::from(up));
    let trunk = |id: &TrunkId| sample.trunks.get(usize::from(id.0)).map_or("?", String::as_str);
    match name {
        "pins_refused_by_reason_total" => {
            for ((id, reason), count) in &sample.pins.refused {
                page.value(name, &[("trunk", trunk(id)), ("reason", reason)], *count as f64);
            }
        }
        "pin_guessers_locked_out_total" => {
            for ((id, cap), count) in &sample.pins.locked_out {
                page.value(name, &[("trunk", trunk(id)), ("cap", cap)], *count as f64);
            }
        }
        "agi_open" => page.value(name, &[], sample.agi.1 as f64),
        "audit_up" => page.value(name, &[], flag(sample.audit_up)),
        "audit_lines_written_total" => page.value(name, &[], sample.audit.0.written as f64),
        "audit_lines_lost_total" => page.value(name, &[], sample.audit.0.lost as f64),
        "audit_lines_waiting" => page.value(name, &[], sample.audit.1 as f64),
        "pin_registry_up" => page.value(name, &[], flag(sample.pins_up)),
        "hook_up" => {
            for (hook, is_up) in &sample.hooks.up {
                page.value(name, &[("hook", hook)], flag(*is_up));
            }
        }
        "hook_events_waiting" => page.value(name, &[], sample.hooks.waiting as f64),
        "brewery_up" | "brewery_focus" => {
            for (brewery, seat) in &sample.breweries.seats {
                let up = if name == "brewery_up" { seat.is_in } else { seat.has_focus };
                page.value(name, &[("brewery", brewery)], flag(up));
            }
        }
        "dials_waiting" => page.value(name, &[], sample.breweries.waiting as f64),
        "dial_out_calls" => page.value(name, &[], sample.breweries.calls as f64),
        "rocketchat_up" => {
            for (workspace, seen) in sample.chats {
                page.value(name, &[("workspace", workspace)], flag(seen.up));
            }
        }
        "rocketchat_meetings_open" => {
            for (workspace, seen) in sample.chats {
                page.value(name, &[("workspace", workspace)], seen.open as f64);
            }
        }
        other => debug_assert!(false, "{other} is declared and has no value"),
    }
}

struct Page {
    text: String,
    is_open: bool,
}

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.trim().replace('\\', "\\\\").replace('\n', " ");
        // A family of OpenMetrics has the name of its counter without the ending.
        let name = if self.is_open { name.strip_suffix("_total").unwrap_or(name) } else { name };
        let _ = writeln!(self.text, "# HELP weebee_{name} {help}\n# TYPE weebee_{name} {kind}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let name = format!("{name}_total");
        self.head(&name, "counter", help);
        let _ = writeln!(self.text, "weebee_{name} {value}");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, text)| {
                let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                format!("{key}=\"{text}\"")
            })
            .collect();
        let braces =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "weebee_{name}{braces} {value}");
    }

    fn histogram(&mut self, name: &str, histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
            self.value(&bucket, &[("le", &bound.to_string())], *count as f64);
        }
        self.value(&bucket, &[("le", "+Inf")], histogram.total as f64);
        self.value(&format!("{name}_sum"), &[], histogram.sum);
        self.value(&format!("{name}_count"), &[], histogram.total as f64);
    }
}

/// Memory of this process, or 0 where the system does not say.
fn resident_bytes() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) * 1_024.0
}

#[cfg(test)]
mod tests;
