//! Our registration at a trunk's registrar.

use super::stage::*;
use crate::base::ids::TrunkId;
use crate::base::pii::Pii;
use crate::sip::endpoint::*;
use crate::sip::registration::{RegistrationFailure, RegistrationState};
use crate::sip::trunk::{Account, DigestUser, TrunkConfig};

const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"asterisk\", nonce=\"n1\", qop=\"auth\"";

fn account() -> Account {
    Account {
        user: "6001".to_owned(),
        domain: "pbx.example.org".to_owned(),
        expires: secs(600),
        refresh_every: None,
        learned_contact: false,
        only_asks: false,
    }
}

fn stage_with(change: impl FnOnce(&mut TrunkConfig)) -> Stage {
    let mut t = Stage::with_trunk(|trunk| {
        trunk.account = Some(account());
        let password = Pii::new("secret".to_owned());
        trunk.credentials = Some(DigestUser { user: "6001".to_owned(), password });
        change(trunk);
    });
    t.drain();
    t.expect_usable(false);
    t
}

pub fn stage() -> Stage {
    stage_with(|_| {})
}

/// The next REGISTER; repeats of it are dropped.
#[track_caller]
fn register(t: &mut Stage) -> Sent {
    let register = t.expect_request("REGISTER");
    t.sent.clear();
    register
}

fn registered(expires: u64) -> RegistrationState {
    RegistrationState::Registered { expires: secs(expires) }
}

/// Registered for 600 s, without a challenge. Gives the REGISTER.
fn known() -> (Stage, Sent) {
    let mut t = stage();
    t.run_for(secs(1));
    let first = register(&mut t);
    t.recv(t.answer(&first, 200, "r").no_contact().header("Expires: 600"));
    t.expect_registration(registered(600));
    t.expect_usable(true);
    t.expect_nothing();
    (t, first)
}

/// The time to the next REGISTER.
fn wait_for_register(t: &mut Stage) -> std::time::Duration {
    let start = t.now;
    while t.sent.is_empty() {
        t.run_to_next();
    }
    t.now.saturating_duration_since(start)
}

#[test]
fn an_account_is_registered_with_a_proof_and_refreshed_in_time() {
    let mut t = stage();
    t.run_for(secs(1));
    let first = register(&mut t);
    assert_eq!(first.request_uri(), "sip:pbx.example.org");
    assert_eq!(
        first.to,
        Some(THEIRS.parse().expect("an address")),
        "the peer, whatever the domain"
    );
    assert!(first.must("From").starts_with("<sip:6001@pbx.example.org>;tag="));
    assert_eq!(first.must("To"), "<sip:6001@pbx.example.org>");
    assert_eq!(first.must("Contact"), "<sip:6001@203.0.113.1:5060>");
    assert_eq!(first.must("Expires"), "600");
    assert_eq!(first.header("Authorization"), None);
    t.recv(t.answer(&first, 401, "r").header(CHALLENGE));
    let proved = register(&mut t);
    assert!(proved.must("Authorization").contains("username=\"6001\""));
    assert!(proved.must("Authorization").contains("uri=\"sip:pbx.example.org\""));
    assert_eq!(proved.must("Call-ID"), first.must("Call-ID"));
    assert_eq!((first.must("CSeq"), proved.must("CSeq")), ("1 REGISTER", "2 REGISTER"));
    let ok = t.answer(&proved, 200, "r");
    let others = "Contact: <sip:6001@192.0.2.77:5062>;expires=3600";
    t.recv(ok.contact("<sip:6001@203.0.113.1:5060>;expires=300").header(others));
    t.expect_registration(registered(300));
    t.expect_usable(true);
    t.expect_nothing();
    let waited = wait_for_register(&mut t);
    assert!(waited >= secs(240) && waited <= secs(270), "80 to 90 % of 300 s, not {waited:?}");
    let refresh = register(&mut t);
    assert!(refresh.must("Authorization").contains("nc=00000002"), "proved at once");
    t.recv(t.answer(&refresh, 200, "r").no_contact().header("Expires: 300"));
    t.expect_nothing(); // nothing changed
}

#[test]
fn a_wrong_password_is_said_and_tried_again_slowly() {
    let mut t = stage();
    t.run_for(secs(1));
    for nonce in 0..6 {
        let Some(asked) = t.sent.pop_front() else { break };
        t.sent.clear();
        let challenge = format!("WWW-Authenticate: Digest realm=\"a\", nonce=\"n{nonce}\"");
        t.recv(t.answer(&asked, 401, "r").header(&challenge));
    }
    t.expect_registration(RegistrationState::Failed(RegistrationFailure::WrongPassword));
    t.expect_nothing();
    assert!(!t.endpoint.trunk_is_usable(TrunkId(0)));
    assert!(wait_for_register(&mut t) >= secs(150), "an exchange locks out who guesses");
    assert_eq!(register(&mut t).header("Authorization"), None, "from the beginning");
}

#[test]
fn refusals_say_what_to_mend() {
    for (status, failure) in [
        (403, RegistrationFailure::Forbidden),
        (404, RegistrationFailure::UnknownAccount),
        (405, RegistrationFailure::Refused(405)),
    ] {
        let mut t = stage();
        t.run_for(secs(1));
        let asked = register(&mut t);
        t.recv(t.answer(&asked, status, "r"));
        t.expect_registration(RegistrationState::Failed(failure));
        assert!(wait_for_register(&mut t) >= secs(150), "{status}");
    }
    let mut t = stage_with(|trunk| trunk.credentials = None);
    t.run_for(secs(1));
    let asked = register(&mut t);
    t.recv(t.answer(&asked, 401, "r").header(CHALLENGE));
    t.expect_registration(RegistrationState::Failed(RegistrationFailure::NoCredentials));
}

#[test]
fn a_silent_registrar_is_asked_for_ever_with_growing_patience() {
    let mut t = stage();
    let mut waits = Vec::new();
    t.run_for(secs(1));
    register(&mut t);
    t.run_for(secs(33));
    t.expect_registration(RegistrationState::Failed(RegistrationFailure::Silent));
    for _ in 0..14 {
        waits.push(wait_for_register(&mut t));
        register(&mut t);
        t.run_for(secs(32));
        t.sent.clear();
    }
    t.expect_nothing(); // told once
    assert!(waits[0] <= secs(5), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= secs(301)), "{waits:?}");
    assert!(waits[12] >= secs(100), "{waits:?}");
    wait_for_register(&mut t);
    let asked = register(&mut t);
    t.recv(t.answer(&asked, 200, "r"));
    t.expect_registration(registered(600));
    t.expect_usable(true);
}

#[test]
fn a_busy_registrar_is_given_the_time_it_asks_for() {
    let (mut t, _) = known();
    wait_for_register(&mut t);
    let asked = register(&mut t);
    t.recv(t.answer(&asked, 503, "r").header("Retry-After: 120 (busy)"));
    t.expect_registration(RegistrationState::Failed(RegistrationFailure::Refused(503)));
    t.expect_usable(false);
    let waited = wait_for_register(&mut t);
    assert!(waited >= secs(119) && waited < secs(130), "{waited:?}");
}

#[test]
fn a_registrar_that_wants_longer_gets_it() {
    let mut t = stage();
    t.run_for(secs(1));
    let asked = register(&mut t);
    t.recv(t.answer(&asked, 423, "r").header("Min-Expires: 1800"));
    let again = register(&mut t);
    assert_eq!(again.must("Expires"), "1800");
    t.recv(t.answer(&again, 200, "r").no_contact().header("Expires: 1800"));
    t.expect_registration(registered(1800));
    // A registrar that always wants more is not followed for ever.
    let mut t = stage();
    t.run_for(secs(1));
    for minimum in 1..20 {
        let Some(asked) = t.sent.pop_front() else { break };
        t.sent.clear();
        t.recv(t.answer(&asked, 423, "r").header(&format!("Min-Expires: {}", 700 + minimum)));
    }
    t.expect_registration(RegistrationState::Failed(RegistrationFailure::Refused(423)));
}

#[test]
fn registering_often_keeps_the_way_open() {
    let every = Some(secs(25));
    let mut t = stage_with(|trunk| {
        trunk.account = Some(Account { refresh_every: every, ..account() });
    });
    t.run_for(secs(1));
    for _ in 0..4 {
        let asked = register(&mut t);
        t.recv(t.answer(&asked, 200, "r"));
        assert!(wait_for_register(&mut t) <= secs(25));
    }
}

#[test]
fn empty_lines_keep_the_way_open() {
    let mut t = Stage::with_trunk(|trunk| trunk.keep_alive_every = Some(secs(25)));
    t.run_for(secs(101));
    let lines = t.sent.iter().filter(|it| it.text == "\r\n\r\n").count();
    assert_eq!(lines, 4);
    assert_eq!(t.sent[0].to, Some(THEIRS.parse().expect("an address")));
}

#[test]
fn behind_a_translator_the_address_that_the_registrar_sees_is_registered() {
    let mut t = stage_with(|trunk| {
        trunk.account = Some(Account { learned_contact: true, ..account() });
    });
    t.run_for(secs(1));
    let asked = register(&mut t);
    let seen = |t: &Stage, sent: &Sent, status: u16| {
        let answer = t.answer(sent, status, "r").no_contact();
        let via = answer.via.replace(";rport", ";rport=33017;received=198.51.100.200");
        assert_ne!(via, answer.via);
        answer.via(&via)
    };
    t.recv(seen(&t, &asked, 401).header(CHALLENGE));
    let proved = register(&mut t);
    assert_eq!(proved.must("Contact"), "<sip:6001@198.51.100.200:33017>");
    t.recv(seen(&t, &proved, 200).header("Expires: 60"));
    t.expect_registration(registered(60));
    t.expect_usable(true);
    t.expect_nothing(); // no third one
}

#[test]
fn draining_takes_the_registration_back() {
    let (mut t, first) = known();
    t.endpoint.drain(t.now);
    t.drain();
    let farewell = register(&mut t);
    assert_eq!(farewell.must("Expires"), "0");
    assert_eq!(farewell.must("Call-ID"), first.must("Call-ID"));
    assert!(t.endpoint.is_unregistering());
    t.recv(t.answer(&farewell, 401, "r").header(CHALLENGE));
    let proved = register(&mut t);
    assert_eq!(proved.must("Expires"), "0");
    t.recv(t.answer(&proved, 200, "r").no_contact());
    t.expect_registration(RegistrationState::Over);
    t.expect_usable(false);
    assert!(!t.endpoint.is_unregistering());
    t.run_for(secs(3_000));
    t.expect_nothing();
}

#[test]
fn a_registrar_that_does_not_say_goodbye_holds_nobody_up() {
    let (mut t, _) = known();
    t.endpoint.drain(t.now);
    t.run_for(secs(3));
    assert!(!t.endpoint.is_unregistering());
    t.drain();
    t.expect_registration(RegistrationState::Over);
    let mut never = stage();
    never.endpoint.drain(never.now);
    never.drain();
    assert!(!never.endpoint.is_unregistering());
    never.expect_registration(RegistrationState::Over);
    never.run_for(secs(60));
    never.expect_nothing();
}

#[test]
fn a_registrar_that_comes_back_is_told_again_at_once() {
    let mut t = stage_with(|trunk| trunk.qualify_every = Some(secs(25)));
    t.run_for(secs(1));
    let (mut options, mut registers) = (0, 0);
    let mut answering = true;
    let mut answer_all = |t: &mut Stage, answering: bool| {
        while let Some(sent) = t.sent.pop_front() {
            match sent.method() {
                "REGISTER" => registers += 1,
                _ => options += 1,
            }
            if answering {
                t.recv(t.answer(&sent, 200, "r").no_contact().header("Expires: 600"));
            }
        }
        (options, registers)
    };
    answer_all(&mut t, answering);
    t.expect_registration(registered(600));
    t.events.clear();
    answering = false;
    for _ in 0..80 {
        t.run_for(secs(1));
        answer_all(&mut t, answering);
    }
    assert!(!t.endpoint.trunk_is_usable(TrunkId(0)), "OPTIONS are not answered");
    let (_, before) = answer_all(&mut t, answering);
    answering = true;
    for _ in 0..30 {
        t.run_for(secs(1));
        answer_all(&mut t, answering);
    }
    let (_, after) = answer_all(&mut t, answering);
    assert!(after > before, "it may have forgotten us while it was away");
    assert!(t.endpoint.trunk_is_usable(TrunkId(0)));
}

#[test]
fn calls_of_an_account_come_from_it_and_its_number_is_found() {
    let (mut t, _) = known();
    let invite = OutgoingInvite {
        trunk: TrunkId(0),
        target: "sip:600@pbx.example.org".to_owned(),
        from_user: Pii::new(String::new()),
        from_name: Pii::new("Tea Room".to_owned()),
        headers: Vec::new(),
        offer: OUR_SDP.into(),
        answer_within: secs(60),
    };
    t.endpoint.invite(t.now, invite).expect("a call");
    t.drain();
    let sent = t.expect_request("INVITE");
    assert!(sent.must("From").starts_with("\"Tea Room\" <sip:6001@pbx.example.org>;tag="));
    assert_eq!(sent.to, Some(THEIRS.parse().expect("an address")));
    t.sent.clear();
    t.recv(invite_to("sip:6001@203.0.113.1", "<sip:+62221234@pbx.example.org>"));
    match t.event() {
        UaEvent::Invited { facts, .. } => assert_eq!(facts.request_user.reveal(), "+62221234"),
        other => panic!("{other:?}"),
    }
    t.recv(invite_to("sip:6001@203.0.113.1", "<sip:6001@pbx.example.org>").call("call-2"));
    match t.event() {
        UaEvent::Invited { facts, .. } => assert_eq!(facts.request_user.reveal(), "6001"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_several_accounts_at_one_pbx_the_one_that_is_called_gets_the_call() {
    let mut both = config();
    let account = |user: &str| Account { user: user.to_owned(), ..account() };
    both.trunks[0].account = Some(account("6001"));
    let mut second = both.trunks[0].clone();
    second.account = Some(account("6002"));
    both.trunks.push(second);
    let mut t = Stage::with(both);
    t.drain();
    t.events.clear();
    for (user, trunk) in [("6002", TrunkId(1)), ("6001", TrunkId(0)), ("other", TrunkId(0))] {
        let invite = invite_to(&format!("sip:{user}@203.0.113.1"), "<sip:600@h>").call(user);
        let invite = invite.branch(&format!("z9hG4bK{user}"));
        t.recv(invite.clone());
        let dialog = match t.event() {
            UaEvent::Invited { dialog, trunk: got, .. } if got == trunk => dialog,
            other => panic!("{user}: {other:?}"),
        };
        t.accept(dialog);
        let ok = t.sent.iter().find(|sent| sent.status() == Some(200)).cloned().expect("a 200");
        t.sent.clear();
        t.recv(t.within("ACK", &ok, 1));
        t.recv(t.within("BYE", &ok, 2).branch(&format!("z9hG4bKBYE{user}")));
        assert!(matches!(t.event(), UaEvent::Acknowledged { .. }), "{user}");
        t.expect_end(DialogEnd::ByeReceived);
        t.sent.clear();
    }
}

fn invite_to(uri: &str, to: &str) -> Said {
    invite().uri(uri).to(to).branch(&format!("z9hG4bK{}", to.len()))
}

#[test]
fn a_check_asks_and_changes_nothing() {
    let mut t = stage_with(|trunk| {
        trunk.account = Some(Account { only_asks: true, ..account() });
    });
    t.run_for(secs(1));
    let asked = register(&mut t);
    assert_eq!((asked.header("Contact"), asked.header("Expires")), (None, None));
    t.recv(t.answer(&asked, 200, "r"));
    t.expect_registration(registered(0));
    t.run_for(secs(3_600));
    t.endpoint.drain(t.now);
    t.drain();
    assert!(t.sent.is_empty());
}

#[test]
fn answers_that_make_no_sense_harm_nobody() {
    for line in [
        "Expires: -1",
        "Expires: 99999999999999999999",
        "Contact: <sip:6001@203.0.113.1:5060>;expires=0",
        "Contact: ;;;",
        "Expires: 4294967295",
    ] {
        let mut t = stage();
        t.run_for(secs(1));
        let asked = register(&mut t);
        t.recv(t.answer(&asked, 200, "r").no_contact().header(line));
        let state = t.event();
        assert!(
            matches!(state, UaEvent::Registration { state: RegistrationState::Registered { expires }, .. }
                if expires >= secs(1) && expires <= secs(86_400)),
            "{line}: {state:?}"
        );
        assert!(wait_for_register(&mut t) >= secs(5), "{line}");
    }
}
