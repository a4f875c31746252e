//! Events become figures.

use super::*;
use crate::cdr;

#[test]
fn a_call_is_counted_when_it_joins_and_when_it_ends() {
    let mut tally = Tally::default();
    let record = cdr::tests::record();
    let call = record.call;
    let room = record.room.clone().expect("was in one");
    tally.note(&Event::CallOccupant(call, "tea@muc.example.org/a1b2c3d4".to_owned()));
    tally.note(&Event::CallJoined(call, room));
    assert_eq!(tally.occupant(call), Some("tea@muc.example.org/a1b2c3d4"));
    let joined = record.joined.expect("was in one").unix;
    let seconds = record.ended.unix.saturating_sub(joined).as_secs();
    tally.note(&Event::CallEnded(Box::new(record.clone())));
    assert_eq!((tally.participants, tally.completed, tally.seconds), (1, 1, seconds));
    assert!(tally.occupant(call).is_none() && seconds > 0);
    let silent = CallRecord { reason: EndReason::MediaTimeout, joined: None, ..record.clone() };
    tally.note(&Event::CallEnded(Box::new(silent)));
    let deaf = CallRecord { reason: EndReason::HeartbeatLost, joined: None, ..record.clone() };
    tally.note(&Event::CallEnded(Box::new(deaf)));
    let lost = CallRecord { reason: EndReason::ConferenceLost, ..record };
    tally.note(&Event::CallEnded(Box::new(lost)));
    assert_eq!(tally.no_heartbeat, 1);
    assert_eq!((tally.dropped_media, tally.connection_failed, tally.completed), (1, 1, 2));
}
