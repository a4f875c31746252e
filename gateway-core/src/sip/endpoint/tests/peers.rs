//! Peers by name: addresses that come, move, fail and vanish.

use super::stage::*;
use crate::base::ids::TrunkId;
use crate::base::pii::Pii;
use crate::sip::endpoint::*;
use crate::sip::reach::NameState;
use crate::sip::trunk::{PeerName, TrunkConfig};

const FIRST: &str = "192.0.2.1:5060";
const SECOND: &str = "192.0.2.2:5060";

/// A trunk whose peer is a name, with no sources.
fn stage_with(change: impl FnOnce(&mut TrunkConfig)) -> Stage {
    Stage::with_trunk(|trunk| {
        let host = "pbx.example.org".to_owned();
        trunk.peer_name = Some(PeerName { host, port: 5060, is_usual_port: true });
        trunk.peer = None;
        trunk.sources.clear();
        change(trunk);
    })
}

#[track_caller]
fn expect_name(t: &mut Stage, wanted: NameState) {
    match t.event() {
        UaEvent::TrunkName { trunk: TrunkId(0), state } => assert_eq!(state, wanted),
        other => panic!("expected {wanted:?}, got {other:?}"),
    }
}

fn to(sent: &Sent) -> String {
    sent.to.expect("a datagram").to_string()
}

fn call(t: &mut Stage) -> Result<(), ApiMisuse> {
    let invite = OutgoingInvite {
        trunk: TrunkId(0),
        target: "sip:600@pbx.example.org".to_owned(),
        from_user: Pii::new("weebee".to_owned()),
        from_name: Pii::new(String::new()),
        headers: Vec::new(),
        offer: OUR_SDP.into(),
        answer_within: secs(60),
    };
    let called = t.endpoint.invite(t.now, invite);
    t.drain();
    called.map(|_| ())
}

#[test]
fn a_name_without_an_address_makes_a_trunk_unusable_until_it_has_one() {
    let mut t = stage_with(|_| {});
    t.resolved(&[]);
    expect_name(&mut t, NameState::Unknown);
    t.expect_usable(false);
    assert!(call(&mut t).is_err());
    t.resolved(&[FIRST]);
    expect_name(&mut t, NameState::Resolved);
    t.expect_usable(true);
    call(&mut t).expect("a call");
    assert_eq!(to(&t.expect_request("INVITE")), FIRST);
    t.events.clear();
    // The name server is gone: nothing but a word about it.
    t.resolved(&[]);
    expect_name(&mut t, NameState::Stale);
    t.expect_nothing();
    call(&mut t).expect("a call");
    assert_eq!(to(&t.expect_request("INVITE")), FIRST);
    t.resolved(&[]);
    t.expect_nothing();
    t.resolved(&[FIRST]);
    expect_name(&mut t, NameState::Resolved);
}

#[test]
fn a_names_addresses_are_sources_and_so_are_those_of_a_moment_ago() {
    let mut t = stage_with(|_| {});
    let from =
        |source: &str, id: &str| invite().source(source).call(id).branch(&format!("z9hG4bK{id}"));
    t.recv(from(FIRST, "early"));
    t.expect_nothing();
    t.resolved(&[FIRST]);
    t.events.clear();
    t.recv(from("192.0.2.1:43210", "a"));
    t.invited();
    t.recv(from(SECOND, "b"));
    t.expect_nothing();
    t.resolved(&[SECOND]);
    t.recv(from(FIRST, "c"));
    t.invited();
    t.recv(from(SECOND, "d"));
    t.invited();
    t.resolved(&["192.0.2.3:5060"]);
    t.recv(from(FIRST, "e"));
    t.expect_nothing();
}

#[test]
fn an_address_that_does_not_answer_makes_way_for_the_next() {
    let mut t = stage_with(|trunk| trunk.qualify_every = Some(secs(60)));
    t.resolved(&[FIRST, SECOND]);
    t.events.clear();
    t.run_for(millis(400));
    let options = t.expect_request("OPTIONS");
    assert_eq!(to(&options), FIRST);
    t.run_for(secs(33));
    assert!(t.raw.contains(&TransportOutput::Resolve { trunk: TrunkId(0) }));
    let next = t.sent.iter().find(|sent| to(sent) == SECOND).cloned().expect("asked at once");
    t.sent.clear();
    assert!(!t.endpoint.trunk_is_usable(TrunkId(0)));
    t.recv(t.answer(&next, 200, "x").source(SECOND));
    assert!(t.endpoint.trunk_is_usable(TrunkId(0)));
    call(&mut t).expect("a call");
    assert_eq!(to(&t.expect_request("INVITE")), SECOND);
}

#[test]
fn dead_addresses_are_not_asked_in_a_circle() {
    let mut t = stage_with(|trunk| trunk.qualify_every = Some(secs(60)));
    t.resolved(&[FIRST, SECOND]);
    t.run_for(secs(600));
    let asked: std::collections::BTreeSet<String> =
        t.sent.iter().map(|sent| sent.must("Call-ID").to_owned()).collect();
    assert!(asked.len() <= 12, "{} OPTIONS in ten minutes", asked.len());
}

#[test]
fn addresses_of_a_family_that_no_listener_has_are_left_out() {
    let mut t = stage_with(|_| {});
    t.resolved(&["[2001:db8::1]:5060", FIRST]);
    call(&mut t).expect("a call");
    assert_eq!(to(&t.expect_request("INVITE")), FIRST);
    t.events.clear();
    t.resolved(&["[2001:db8::1]:5060"]);
    expect_name(&mut t, NameState::Stale);
}

#[test]
fn a_call_without_an_answer_sends_the_next_one_elsewhere() {
    let mut t = stage_with(|_| {});
    t.resolved(&[FIRST, SECOND]);
    call(&mut t).expect("a call");
    t.run_for(secs(33));
    t.sent.clear();
    call(&mut t).expect("a call");
    assert_eq!(to(&t.expect_request("INVITE")), SECOND);
}
