//! Records on disks that are full, gone, or torn; and what a record never shows.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

use gateway_core::base::ids::{CallKey, TrunkId};
use gateway_core::base::pii::Pii;
use gateway_core::leg::backend::RoomName;
use gateway_core::leg::end_reason::EndReason;
use gateway_core::media::codec::CodecKind;

use super::*;
use crate::config::typed::Showing;
use crate::journal::LINES_MAX;
use crate::pin::key::PinKey;
use crate::testing::Folder;

fn eventually(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} never happened");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn records_are_appended_and_the_file_may_be_moved_away() {
    let folder = Folder::new("cdr");
    let file = folder.path().join("cdr.jsonl");
    let writer = CdrWriter::start(file.clone(), true).expect("starts");
    writer.write(vec!["one".to_owned()]);
    eventually("first line", || lines(&file) == ["one"]);
    fs::rename(&file, folder.path().join("rotated")).expect("moved");
    writer.write(vec!["two".to_owned()]);
    drop(writer);
    assert_eq!(lines(&file), ["two"]);
    assert_eq!(lines(&folder.path().join("rotated")), ["one"]);
}

#[test]
fn a_full_disk_loses_no_record_and_says_so() {
    let folder = Folder::new("cdr-full");
    let file = folder.path().join("cdr.jsonl");
    symlink("/dev/full", &file).expect("linked");
    let writer = CdrWriter::start(file.clone(), false).expect("starts");
    for number in 0..3 {
        writer.write(vec![format!("line {number}")]);
    }
    eventually("trouble", || writer.trouble().is_some());
    let trouble = writer.trouble().expect("just seen");
    assert!(trouble.contains("cdr.jsonl") && trouble.contains("free some space"), "{trouble}");
    eventually("all wait", || writer.counters().1 == 3);
    fs::remove_file(&file).expect("the disk has space again");
    eventually("written", || lines(&file).len() == 3);
    eventually("no trouble", || writer.trouble().is_none());
    assert_eq!(lines(&file), ["line 0", "line 1", "line 2"]);
    let (counters, waiting) = writer.counters();
    assert_eq!((counters.cdr_lines_written, counters.cdr_lines_lost, waiting), (3, 0, 0));
    assert!(counters.cdr_write_failures >= 1);
}

#[test]
fn a_disk_that_stays_full_costs_the_oldest_records_and_is_counted() {
    let folder = Folder::new("cdr-long");
    let file = folder.path().join("cdr.jsonl");
    symlink("/dev/full", &file).expect("linked");
    let writer = CdrWriter::start(file.clone(), false).expect("starts");
    for number in 0..LINES_MAX + 5 {
        writer.write(vec![number.to_string()]);
    }
    let (counters, waiting) = writer.counters();
    assert_eq!((counters.cdr_lines_lost, waiting), (5, LINES_MAX));
    fs::remove_file(&file).expect("the disk has space again");
    eventually("written", || lines(&file).len() == LINES_MAX);
    let all = lines(&file);
    assert_eq!(all.first().map(String::as_str), Some("5"));
    assert_eq!(all.last(), Some(&(LINES_MAX + 4).to_string()));
}

#[test]
fn a_line_that_a_power_cut_left_half_written_is_ended() {
    let folder = Folder::new("cdr-torn");
    let file = folder.path().join("cdr.jsonl");
    fs::write(&file, "whole\nhal").expect("written");
    let writer = CdrWriter::start(file.clone(), false).expect("starts");
    writer.write(vec!["next".to_owned()]);
    drop(writer);
    assert_eq!(lines(&file), ["whole", "hal", "next"]);
}

#[test]
fn a_folder_that_is_gone_is_said_with_its_remedy() {
    let folder = Folder::new("cdr-gone");
    let file = folder.path().join("sub/cdr.jsonl");
    let writer = CdrWriter::start(file.clone(), false).expect("starts");
    writer.write(vec!["line".to_owned()]);
    eventually("trouble", || {
        writer.trouble().is_some_and(|text| text.contains("create the folder"))
    });
    fs::create_dir(folder.path().join("sub")).expect("made");
    drop(writer);
    assert_eq!(lines(&file), ["line"]);
}

pub(crate) fn record() -> CallRecord {
    let at = |s: u64| WallClock { unix: Duration::from_secs(1_795_255_699 + s) };
    CallRecord {
        call: CallKey::default(),
        direction: CallDirection::Inbound,
        trunk: TrunkId(0),
        call_id: "abc@pbx".to_owned(),
        caller: Pii::new("+622112345647".to_owned()),
        dialled: Pii::new("pin".to_owned()),
        room: RoomName::new("tea").ok(),
        note: Some("pin:k3x9".to_owned()),
        started: at(0),
        answered: Some(at(1)),
        rang: false,
        joined: Some(at(12)),
        ended: at(61),
        reason: EndReason::CallerHungUp,
        status: Some(200),
        codec: Some(CodecKind::Pcma),
        report: LegReport { packets_sent: 3_000, mos_centi: Some(421), ..LegReport::default() },
    }
}

#[test]
fn a_record_tells_the_call_and_hides_the_caller() {
    let shower = Shower::new(PinKey::from_bytes([1; 32]), Showing::Masked, Showing::Full);
    let text = line(&record(), "pbx", &shower);
    assert!(!text.contains('\n') && !text.contains("12345"), "{text}");
    let json: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["caller"], "+62 *** 47");
    assert_eq!((&json["trunk"], &json["room"]), (&json!("pbx"), &json!("tea")));
    assert_eq!(json["started"], "2026-11-21T10:08:19.000Z");
    assert_eq!((&json["seconds"], &json["seconds_answered"]), (&json!(61.0), &json!(60.0)));
    assert_eq!((&json["reason"], &json["codec"]), (&json!("caller_hung_up"), &json!("PCMA")));
    assert_eq!(json["sound"]["mos"], 4.21);
    let unanswered = CallRecord { answered: None, joined: None, room: None, ..record() };
    let text = line(&unanswered, "pbx", &shower);
    assert!(!text.contains("sound") && !text.contains("null"), "{text}");
}
