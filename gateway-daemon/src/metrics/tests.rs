//! The page as Prometheus reads it.

use gateway_core::gateway::Event;

use super::*;
use crate::cdr;

fn snapshot() -> GatewaySnapshot {
    GatewaySnapshot {
        calls: Vec::new(),
        rooms: Vec::new(),
        dialogs: 0,
        ports_used: 2,
        ports_resting: 1,
        draining: false,
    }
}

fn page(stats: &Stats) -> String {
    rendered(false, stats)
}

fn rendered(is_open: bool, stats: &Stats) -> String {
    let sample = &Sample {
        snapshot: &snapshot(),
        counters: &[("sip_dropped", " Help\\text.", 7)],
        ivr: IvrCounters { pins_valid: 3, ..IvrCounters::default() },
        agi: (AgiCounters { agi_admitted: 2, ..AgiCounters::default() }, 1),
        cdr: (CdrCounters::default(), 4),
        pins: PinCounts {
            refused: [((TrunkId(0), "unknown"), 3)].into(),
            locked_out: [((TrunkId(0), "caller"), 1)].into(),
        },
        audit: (LineCounters { written: 5, lost: 1, failures: 2 }, 6),
        audit_up: false,
        pins_up: true,
        cdr_up: false,
        hooks: Default::default(),
        breweries: &crate::brewery::Seats {
            seats: [("main".to_owned(), Default::default())].into(),
            ..Default::default()
        },
        chats: &[("chat".to_owned(), Seen { up: true, open: 2, ..Seen::default() })],
        stats,
        trunks: &["pb\"x".to_owned()],
        started: 1.5,
    };
    render(is_open, sample)
}

#[test]
fn families_of_openmetrics_have_no_ending() {
    let page = rendered(true, &Stats::default());
    assert!(page.contains("# TYPE weebee_sip_dropped counter\n"));
    assert!(page.contains("\nweebee_sip_dropped_total 7\n"));
    assert!(!page.lines().any(|line| line.starts_with("# TYPE") && line.contains("_total ")));
}

#[test]
fn every_metric_is_there_with_help_and_type() {
    let mut stats = Stats::default();
    stats.call_ended(&cdr::tests::record());
    stats.trunks.note(&Event::TrunkState(TrunkId(0), Some(Duration::from_millis(20))));
    let page = page(&stats);
    for metric in OWN {
        for line in ["# HELP", "# TYPE"] {
            let head = format!("{line} weebee_{} ", metric.name);
            assert_eq!(page.matches(&head).count(), 1, "{head}");
        }
    }
    for line in [
        "weebee_sip_dropped_total 7",
        "# HELP weebee_sip_dropped_total Help\\\\text.",
        "weebee_pins_valid_total 3",
        "weebee_calls_ended_by_reason_total{reason=\"caller_hung_up\",direction=\"inbound\"} 1",
        "weebee_call_seconds_bucket{le=\"10\"} 0",
        "weebee_call_seconds_bucket{le=\"60\"} 1",
        "weebee_call_seconds_bucket{le=\"+Inf\"} 1",
        "weebee_call_seconds_sum 60",
        "weebee_call_seconds_count 1",
        "weebee_call_mos_count 1",
        "weebee_trunk_up{trunk=\"pb\\\"x\"} 1",
        "weebee_trunk_round_trip_seconds{trunk=\"pb\\\"x\"} 0.02",
        "weebee_rtp_port_pairs{state=\"used\"} 2",
        "weebee_pin_registry_up 1",
        "weebee_pins_refused_by_reason_total{trunk=\"pb\\\"x\",reason=\"unknown\"} 3",
        "weebee_pin_guessers_locked_out_total{trunk=\"pb\\\"x\",cap=\"caller\"} 1",
        "weebee_audit_up 0",
        "weebee_audit_lines_written_total 5",
        "weebee_audit_lines_lost_total 1",
        "weebee_audit_lines_waiting 6",
        "weebee_cdr_up 0",
        "weebee_cdr_lines_waiting 4",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\nin\n{page}");
    }
}

#[test]
fn each_line_is_a_comment_or_a_sample() {
    let text = page(&Stats::default());
    for line in text.lines() {
        let sample = line.rsplit_once(' ').is_some_and(|(name, value)| {
            name.starts_with("weebee_") && value.parse::<f64>().is_ok()
        });
        assert!(line.starts_with("# ") || sample, "{line:?}");
    }
}

#[test]
fn memory_is_measured() {
    assert!(resident_bytes() > 1_000_000.0);
}
