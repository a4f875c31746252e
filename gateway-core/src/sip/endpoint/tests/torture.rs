//! RFC 4475 and RFC 5118, judged through the endpoint; then it still takes a call. And mutations of good messages.

use std::collections::BTreeMap;

use sipx_testkit::{rfc4475, rfc5118};

use super::stage::*;
use crate::base::rng::Rng;
use crate::sip::endpoint::*;

/// What the endpoint made of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Made {
    /// A call, an answer of the method's own, or a response that was read and belongs to nobody.
    Read,
    /// Refused as broken (400, 505), or dropped as unreadable.
    Broken,
}

fn judge(t: &mut Stage, bytes: &[u8]) -> Made {
    t.sent.clear();
    t.events.clear();
    let before = *t.endpoint.counters();
    t.recv_bytes(THEIRS.parse().expect("an address"), bytes);
    let after = t.endpoint.counters();
    let broken = |counters: &EndpointCounters| {
        counters.sip_malformed + counters.sip_bad_requests + counters.sip_dropped_not_sip
    };
    let has_bad_answer = t.sent.iter().any(|sent| matches!(sent.status(), Some(400 | 505)));
    if broken(after) > broken(&before) || has_bad_answer { Made::Broken } else { Made::Read }
}

fn takes_a_call(t: &mut Stage) {
    t.sent.clear();
    t.events.clear();
    t.recv(invite().call("the next call").branch("z9hG4bKthe-next-call"));
    let dialog = t.invited();
    t.accept(dialog);
    let ok = t.expect(200, "INVITE");
    t.recv(t.within("ACK", &ok, 1));
    assert!(matches!(t.event(), UaEvent::Acknowledged { .. }));
    t.recv(t.within("BYE", &ok, 2));
    t.expect(200, "BYE");
    t.expect_end(DialogEnd::ByeReceived);
}

/// Messages that must be read: §3.1.1, and the well-formed ones of §3.3 and §3.4.
const VALID: [&str; 26] = [
    "wsinv",
    "intmeth",
    "esc01",
    "escnull",
    "esc02",
    "lwsdisp",
    "longreq",
    "dblreq",
    "semiuri",
    "transports",
    "mpart01",
    "unreason",
    "noreason",
    "unkscm",
    "novelsc",
    "unksm2",
    "bext01",
    "invut",
    "regaut01",
    "bcast",
    "zeromf",
    "cparam01",
    "cparam02",
    "regescrt",
    "sdp01",
    "inv2543",
];

/// Messages that must not be taken for what they say: framing, CSeq, quotes, version, start line, missing or
/// repeated headers.
const HOSTILE: [&str; 15] = [
    "badinv01",
    "clerr",
    "ncl",
    "scalar02",
    "scalarlg",
    "quotbal",
    "ltgtruri",
    "lwsruri",
    "badvers",
    "mismatch01",
    "mismatch02",
    "bigcode",
    "insuf",
    "multi01",
    "mcl01",
];

#[test]
fn rfc_4475_26_of_26_are_read_and_0_of_15_are_believed() {
    let mut verdicts = BTreeMap::new();
    for case in rfc4475::CASES {
        let mut t = Stage::new();
        verdicts.insert(case.name, judge(&mut t, case.bytes));
        takes_a_call(&mut t);
    }
    assert!(verdicts.len() >= 49);
    for name in VALID {
        assert_eq!(verdicts.get(name), Some(&Made::Read), "{name}");
    }
    for name in HOSTILE {
        assert_eq!(verdicts.get(name), Some(&Made::Broken), "{name}");
    }
}

#[test]
fn rfc_4475_in_a_row_leaves_the_endpoint_well() {
    let mut t = Stage::new();
    for case in rfc4475::CASES {
        judge(&mut t, case.bytes);
    }
    takes_a_call(&mut t);
    t.run_for(secs(400));
    assert!(t.endpoint.is_empty(), "{:?}", t.endpoint.snapshot());
}

#[test]
fn rfc_4475_answers_are_the_right_ones() {
    let mut answers = BTreeMap::new();
    for case in rfc4475::CASES {
        let mut t = Stage::new();
        judge(&mut t, case.bytes);
        answers.insert(case.name, t.sent.front().and_then(Sent::status));
    }
    for (name, status) in [
        ("unkscm", 416),
        ("novelsc", 416),
        ("bext01", 420),
        ("badvers", 505),
        ("multi01", 400),
        ("mismatch01", 400),
        ("scalar02", 400),
        ("invut", 415),
    ] {
        assert_eq!(answers[name], Some(status), "{name}");
    }
}

#[test]
fn rfc_5118_good_ones_are_read_and_the_bad_one_is_not() {
    let mut read = Vec::new();
    for case in rfc5118::CASES {
        let mut t = Stage::new();
        if judge(&mut t, &case.wire()) == Made::Read {
            read.push(case.name);
        }
        takes_a_call(&mut t);
    }
    assert!(!read.contains(&"ipv6-bad"));
    // A third colon in front of an address is a known fault of others that §4.10 asks to survive, not to accept.
    let bad = ["ipv6-bad", "ipv6-bug-abnf-3-colons"];
    let good = rfc5118::CASES.iter().map(|case| case.name).filter(|name| !bad.contains(name));
    for name in good {
        assert!(read.contains(&name), "{name}");
    }
}

#[test]
fn mutated_answers_of_a_registrar_break_nothing_and_it_is_asked_for_ever() {
    let mut dice = Rng::from_number(3327);
    let mut t = super::registration::stage();
    let answers = [
        (200, "Contact: <sip:6001@203.0.113.1:5060>;expires=60, <sip:x@h>;expires=7"),
        (200, "Expires: 30"),
        (401, "WWW-Authenticate: Digest realm=\"a\", nonce=\"b\", qop=\"auth\", algorithm=SHA-256"),
        (407, "Proxy-Authenticate: Digest realm=\"c\", nonce=\"d\", stale=true"),
        (423, "Min-Expires: 900"),
        (503, "Retry-After: 5 (later);duration=3"),
    ];
    let mut said = 0;
    while said < mutations() {
        while t.sent.is_empty() {
            t.run_to_next();
        }
        let register = t.sent.pop_back().expect("asked again, for ever");
        t.sent.clear();
        for _ in 0..10 {
            let (status, line) = answers[dice.below(6) as usize];
            let mut text = t.answer(&register, status, "r").header(line).text().into_bytes();
            mutate(&mut dice, &mut text);
            t.recv_bytes(THEIRS.parse().expect("an address"), &text);
            said += 1;
        }
        t.events.clear();
        assert!(t.endpoint.snapshot().transactions <= 64, "of one trunk");
    }
    t.run_for(secs(700));
    // What was sent until now may have been given up.
    t.sent.clear();
    while t.sent.is_empty() {
        t.run_to_next();
    }
    let register = t.sent.pop_back().expect("asked again");
    t.events.clear();
    t.recv(t.answer(&register, 200, "r").no_contact().header("Expires: 60"));
    assert!(t.endpoint.trunk_is_usable(crate::base::ids::TrunkId(0)));
}

/// Mutated messages per run. `WEEBEE_MUTATIONS=2000000` makes it the long one.
fn mutations() -> u32 {
    std::env::var("WEEBEE_MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(5_000)
}

fn mutate(dice: &mut Rng, text: &mut Vec<u8>) {
    for _ in 0..=dice.below(4) {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let at = dice.below(length.max(1)) as usize;
        match dice.below(6) {
            0 => text[at] = dice.below(256) as u8,
            1 => text.truncate(at.max(1)),
            2 => {
                let piece = [b"\r\n".as_slice(), b";", b"=", b"\"", b"<", b"%0", b"99999999999"];
                let piece = piece[dice.below(7) as usize];
                text.splice(at..at, piece.iter().copied());
            }
            3 => {
                let end = (at + dice.below(40) as usize).min(text.len());
                text.drain(at..end);
            }
            4 => {
                let end = (at + dice.below(60) as usize).min(text.len());
                let copy = text[at..end].to_vec();
                let to = dice.below(length.max(1)) as usize;
                text.splice(to..to, copy);
            }
            _ => text.swap(at, dice.below(length.max(1)) as usize),
        }
        if text.is_empty() {
            text.push(b'x');
        }
    }
}

/// Messages of whole calls, so that mutations meet dialogs in every state.
fn seeds(t: &mut Stage, dice: &mut Rng, round: u32) -> Vec<Said> {
    let call = format!("call-{round}");
    let branch = format!("z9hG4bK{round}");
    let mut seeds = vec![
        invite().call(&call).branch(&branch).header("Supported: timer, 100rel"),
        Said::new("OPTIONS"),
        Said::new("CANCEL").call(&call).branch(&branch),
    ];
    t.recv(seeds[0].clone());
    let invited = t.events.drain(..).find_map(|event| match event {
        UaEvent::Invited { dialog, .. } => Some(dialog),
        _ => None,
    });
    let Some(dialog) = invited else { return seeds };
    t.sent.clear();
    if dice.below(2) == 0 {
        let _ = t.try_command(UaCommand::Accept { dialog, sdp: OUR_SDP.into() });
    } else {
        let _ = t.try_command(UaCommand::Ring { dialog, status: 180, sdp: None });
    }
    let answers: Vec<Sent> = t.sent.drain(..).collect();
    let Some(answer) = answers.iter().find(|sent| sent.status() > Some(100)) else { return seeds };
    seeds.push(t.within("ACK", answer, 1));
    seeds.push(t.within("INVITE", answer, 2).sdp(SDP).header("Session-Expires: 90;refresher=uac"));
    seeds.push(t.within("UPDATE", answer, 3).sdp(SDP));
    seeds.push(t.within("INFO", answer, 4).body("application/dtmf-relay", "Signal=1\r\n"));
    seeds.push(t.within("PRACK", answer, 5).header("RAck: 1 1 INVITE"));
    seeds.push(t.within("BYE", answer, 6));
    seeds
}

#[test]
fn mutated_datagrams_break_nothing_and_leave_nothing() {
    let mut dice = Rng::from_number(4475);
    let mut t = Stage::new();
    let mut sent = 0;
    let mut round = 0;
    while sent < mutations() {
        round += 1;
        for seed in seeds(&mut t, &mut dice, round) {
            for _ in 0..20 {
                let mut text = seed.text().into_bytes();
                mutate(&mut dice, &mut text);
                t.recv_bytes(THEIRS.parse().expect("an address"), &text);
                answer_everything(&mut t, &mut dice);
                sent += 1;
            }
        }
        let ended = round % 40 == 0;
        t.run_for(if ended { secs(400) } else { millis(200) });
        answer_everything(&mut t, &mut dice);
        t.sent.clear();
        if ended {
            end_everything(&mut t);
            let snapshot = t.endpoint.snapshot();
            assert_eq!((snapshot.calls, snapshot.closing, snapshot.transactions), (0, 0, 0));
        }
    }
    t.run_for(secs(400));
    end_everything(&mut t);
    takes_a_call(&mut t);
}

/// An owner without a mind: does something with each event, often the wrong thing.
fn answer_everything(t: &mut Stage, dice: &mut Rng) {
    while let Some(event) = t.events.pop_front() {
        let dialog = match event {
            UaEvent::Invited { dialog, .. }
            | UaEvent::Offered { dialog, .. }
            | UaEvent::OfferWanted { dialog }
            | UaEvent::Acknowledged { dialog, .. } => dialog,
            _ => continue,
        };
        let command = match dice.below(6) {
            0 => UaCommand::Accept { dialog, sdp: OUR_SDP.into() },
            1 => UaCommand::Answer { dialog, sdp: OUR_SDP.into() },
            2 => UaCommand::RefuseOffer { dialog, status: 488 },
            3 => UaCommand::Offer { dialog, sdp: OUR_SDP.into() },
            4 => UaCommand::End { dialog, cause: Some(16) },
            _ => continue,
        };
        let _ = t.try_command(command);
    }
    t.sent.clear();
}

fn end_everything(t: &mut Stage) {
    for _ in 0..4 {
        t.run_for(secs(200));
        let dialogs = t.endpoint.dialogs.keys().collect::<Vec<_>>();
        for dialog in dialogs {
            let _ = t.try_command(UaCommand::End { dialog, cause: None });
        }
        t.events.clear();
        t.sent.clear();
    }
}

#[test]
fn mutated_streams_break_nothing() {
    use crate::base::ids::{FlowId, ListenerId};
    let mut dice = Rng::from_number(7);
    let mut t = Stage::new();
    let peer = "198.51.100.7:4000".parse().expect("an address");
    for round in 0..u64::from(mutations() / 10) {
        let flow = FlowId(round * 2);
        t.input(TransportInput::StreamOpened { flow, listener: ListenerId(1), peer });
        let mut text = [Said::new("OPTIONS").text(), invite().text(), Said::new("OPTIONS").text()]
            .concat()
            .into_bytes();
        mutate(&mut dice, &mut text);
        for piece in text.chunks(1 + dice.below(300) as usize) {
            t.input(TransportInput::StreamBytes { flow, bytes: piece });
        }
        t.input(TransportInput::StreamClosed { flow });
        answer_everything(&mut t, &mut dice);
        t.raw.clear();
        if round % 200 == 199 {
            t.run_for(secs(400));
            end_everything(&mut t);
        }
    }
    end_everything(&mut t);
    assert_eq!(t.endpoint.snapshot().flows, 0);
    takes_a_call(&mut t);
}
