//! Digest authentication: callers who must prove themselves, and challenges to calls of ours.

use sipx_sip::auth::{Challenge, Credentials, respond};

use super::stage::*;
use crate::base::pii::Pii;
use crate::sip::endpoint::*;
use crate::sip::trunk::{DigestUser, UnknownSource};

const STRANGER: &str = "192.0.2.66:5060";

fn user() -> DigestUser {
    DigestUser { user: "pbx".to_owned(), password: Pii::new("secret".to_owned()) }
}

/// Digest from any address.
fn open_house() -> Stage {
    let mut config = config();
    config.unknown = UnknownSource::Challenge;
    config.trunks[0].users = vec![user()];
    Stage::with(config)
}

/// Address and digest.
fn strict_house() -> Stage {
    Stage::with_trunk(|trunk| {
        trunk.users = vec![user()];
        trunk.require_both = true;
    })
}

fn stranger() -> Said {
    let invite = invite().source(STRANGER).via(&format!("SIP/2.0/UDP {STRANGER}"));
    invite
        .contact(&format!("<sip:alice@{STRANGER}>"))
        .header(&format!("X-Padding: {}", "p".repeat(600)))
}

/// The proof for one of the challenges of a 407.
fn proof(refusal: &Sent, which: usize, user: &str, password: &str, count: u32) -> String {
    let value = refusal.headers("Proxy-Authenticate").nth(which).expect("a challenge");
    let challenge = Challenge::parse(value.as_bytes(), true).expect("well formed");
    let credentials = Credentials::new(user, password);
    let uri = "sip:pin@203.0.113.1";
    let value = respond(&challenge, &credentials, "INVITE", uri, count, "cnonce");
    format!("Proxy-Authorization: {value}")
}

#[test]
fn a_stranger_is_challenged_without_memory_and_let_in_with_a_proof() {
    for which in [0, 1] {
        let mut t = open_house();
        t.recv(stranger());
        let refusal = t.expect(407, "INVITE");
        let challenges: Vec<&str> = refusal.headers("Proxy-Authenticate").collect();
        assert!(challenges[0].contains("algorithm=SHA-256"), "RFC 8760: the strongest first");
        assert!(challenges[1].contains("algorithm=MD5"));
        assert!(t.endpoint.is_empty(), "a challenge is not remembered");
        let proof = proof(&refusal, which, "pbx", "secret", 1);
        t.recv(stranger().cseq(2).branch("z9hG4bKproved").header(&proof));
        let dialog = t.invited();
        t.accept(dialog);
        let ok = t.expect(200, "INVITE");
        t.recv(t.within("ACK", &ok, 2));
        t.event();
        t.recv(t.within("BYE", &ok, 3).source("192.0.2.67:5060"));
        t.expect_nothing(); // right tags, but not the source that proved itself
        t.recv(t.within("BYE", &ok, 3));
        t.expect(200, "BYE");
        t.expect_end(DialogEnd::ByeReceived);
    }
}

#[test]
fn callers_who_are_asked_in_the_same_second_all_get_in() {
    let mut t = open_house();
    let refusals: Vec<Sent> = ["one", "two", "three"]
        .map(|call| {
            t.recv(stranger().call(call).branch(&format!("z9hG4bKask-{call}")));
            t.expect(407, "INVITE")
        })
        .into();
    for (refusal, call) in refusals.iter().zip(["one", "two", "three"]) {
        let proof = proof(refusal, 0, "pbx", "secret", 1);
        let again = stranger().call(call).cseq(2).branch(&format!("z9hG4bKproved-{call}"));
        t.recv(again.header(&proof));
        t.invited();
    }
}

#[test]
fn a_challenge_is_never_longer_than_what_a_stranger_sent() {
    let mut t = open_house();
    let mut short = stranger();
    short.headers.clear();
    short.body.clear();
    t.recv(short.clone());
    for sent in &t.sent {
        assert!(sent.text.len() <= short.text().len());
    }
}

#[test]
fn strangers_get_no_other_answer() {
    let mut t = open_house();
    for method in ["OPTIONS", "REGISTER", "BYE", "MESSAGE", "CANCEL", "ACK", "SUBSCRIBE"] {
        t.recv(Said::new(method).source(STRANGER));
        let mut inside = Said::new(method).source(STRANGER);
        inside.to.push_str(";tag=x");
        t.recv(inside);
    }
    t.recv_bytes(STRANGER.parse().expect("an address"), b"OPTIONS sip:a SIP/2.0\r\n\r\n");
    t.expect_nothing();
    assert!(t.endpoint.is_empty());
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    let answers: Vec<Sent> = [("pbx", "wrong"), ("nobody", "secret")]
        .into_iter()
        .map(|(user, password)| {
            let mut t = open_house();
            t.recv(stranger());
            let refusal = t.expect(407, "INVITE");
            let proof = proof(&refusal, 0, user, password, 1);
            t.recv(stranger().cseq(2).branch("z9hG4bKwrong").header(&proof));
            let again = t.expect(407, "INVITE");
            t.expect_nothing();
            assert_eq!(t.endpoint.counters().sip_credentials_wrong, 1);
            again
        })
        .collect();
    assert_eq!(answers[0].text, answers[1].text);
}

#[test]
fn a_source_that_guesses_five_times_is_ignored_for_five_minutes() {
    let mut t = open_house();
    t.recv(stranger());
    let refusal = t.expect(407, "INVITE");
    let wrong = proof(&refusal, 0, "pbx", "guess", 1);
    for number in 0..5 {
        t.recv(stranger().branch(&format!("z9hG4bK{number}")).header(&wrong));
        t.expect(407, "INVITE");
    }
    let right = proof(&refusal, 0, "pbx", "secret", 1);
    t.recv(stranger().branch("z9hG4bKright").header(&right));
    t.expect_nothing();
    assert_eq!(t.endpoint.counters().sip_locked_out, 1);
    t.recv(stranger().source("192.0.2.99:5060").branch("z9hG4bKother"));
    t.expect(407, "INVITE"); // another source is not punished
    t.run_for(secs(301));
    t.recv(stranger().branch("z9hG4bKlater"));
    t.expect(407, "INVITE");
}

#[test]
fn an_old_nonce_is_stale_and_a_foreign_one_is_not() {
    let mut t = strict_house();
    t.recv(invite());
    let refusal = t.expect(407, "INVITE");
    t.run_for(secs(62));
    let old = proof(&refusal, 0, "pbx", "secret", 1);
    t.recv(invite().cseq(2).branch("z9hG4bK2").header(&old));
    let stale = t.expect(407, "INVITE");
    assert!(stale.must("Proxy-Authenticate").contains("stale=true"));
    let foreign = old.replace("nonce=\"", "nonce=\"f");
    t.recv(invite().cseq(3).branch("z9hG4bK3").header(&foreign));
    assert!(!t.expect(407, "INVITE").must("Proxy-Authenticate").contains("stale"));
    let fresh = proof(&stale, 0, "pbx", "secret", 1);
    t.recv(invite().cseq(4).branch("z9hG4bK4").header(&fresh));
    t.invited();
}

#[test]
fn a_nonce_counts_past_ten_and_takes_no_replay() {
    let mut t = strict_house();
    t.recv(invite());
    let refusal = t.expect(407, "INVITE");
    for count in 1..=0x12 {
        let proof = proof(&refusal, 0, "pbx", "secret", count);
        let call = format!("call-nc-{count}");
        t.recv(invite().call(&call).branch(&format!("z9hG4bKnc{count}")).header(&proof));
        t.invited();
    }
    let replay = proof(&refusal, 0, "pbx", "secret", 0x0a);
    t.recv(invite().call("replay").branch("z9hG4bKreplay").header(&replay));
    t.expect(407, "INVITE");
    t.expect_nothing();
}

#[test]
fn address_and_digest_may_both_be_asked_for() {
    let mut t = strict_house();
    t.recv(invite());
    t.expect(407, "INVITE");
    t.recv(invite().source(STRANGER));
    t.expect_nothing();
    t.recv(Said::new("OPTIONS"));
    t.expect(200, "OPTIONS");
}

/// A trunk that asks us for a proof.
fn asking() -> Stage {
    Stage::with_trunk(|trunk| trunk.credentials = Some(user()))
}

fn challenge(name: &str, realm: &str, rest: &str) -> String {
    format!("{name}: Digest realm=\"{realm}\", nonce=\"n-{realm}\"{rest}")
}

/// Whether a request carries the right proof for this realm and algorithm.
fn proves(request: &Sent, header: &str, realm: &str, algorithm: &str, qop: bool) -> bool {
    let Some(value) = request.headers(header).find(|v| v.contains(&format!("realm=\"{realm}\"")))
    else {
        return false;
    };
    let qop_text = if qop { ", qop=\"auth\"" } else { "" };
    let challenge =
        format!("Digest realm=\"{realm}\", nonce=\"n-{realm}\", algorithm={algorithm}{qop_text}");
    let challenge = Challenge::parse(challenge.as_bytes(), false).expect("well formed");
    let part = |name: &str| {
        let rest = value.split(&format!("{name}=")).nth(1).unwrap_or_default();
        rest.trim_start_matches('"').split(['"', ',']).next().unwrap_or_default().to_owned()
    };
    let count = u32::from_str_radix(&part(" nc"), 16).unwrap_or(1);
    let expected = respond(
        &challenge,
        &Credentials::new("pbx", "secret"),
        request.method(),
        request.request_uri(),
        count,
        &part("cnonce"),
    );
    let response = expected.split(" response=\"").nth(1).expect("a response");
    part(" response") == response.split('"').next().expect("text")
}

#[test]
fn a_challenge_with_auth_and_auth_int_is_answered_with_auth() {
    let mut t = asking();
    let (_, invite) = t.call_out();
    let ask = challenge("WWW-Authenticate", "r", ", qop=\"auth,auth-int\"");
    t.recv(t.answer(&invite, 401, "x").header(&ask));
    t.expect_request("ACK");
    let again = t.expect_request("INVITE");
    assert_eq!(again.must("CSeq"), "2 INVITE");
    assert_eq!(again.must("Call-ID"), invite.must("Call-ID"));
    assert_eq!(again.from_tag(), invite.from_tag());
    assert_ne!(again.must("Via"), invite.must("Via"));
    assert_eq!(again.body(), OUR_SDP);
    assert!(proves(&again, "Authorization", "r", "MD5", true));
    t.recv(t.answer(&again, 200, "bob").sdp(SDP));
    assert_eq!(t.expect_request("ACK").must("CSeq"), "2 ACK");
    t.event();
}

#[test]
fn a_peer_that_knows_sha_256_only_gets_it() {
    let mut t = asking();
    let (_, invite) = t.call_out();
    let ask = challenge("WWW-Authenticate", "r", ", algorithm=SHA-256");
    t.recv(t.answer(&invite, 401, "x").header(&ask));
    t.expect_request("ACK");
    assert!(proves(&t.expect_request("INVITE"), "Authorization", "r", "SHA-256", false));
}

#[test]
fn of_several_challenges_the_strongest_is_answered() {
    let mut t = asking();
    let (_, invite) = t.call_out();
    let answer = t
        .answer(&invite, 401, "x")
        .header(&challenge("WWW-Authenticate", "r", ", algorithm=MD5, qop=\"auth\""))
        .header(&challenge("WWW-Authenticate", "r", ", algorithm=SHA-256, qop=\"auth\""))
        .header(&challenge("WWW-Authenticate", "r", ", algorithm=KANGAROO, qop=\"auth\""));
    t.recv(answer);
    t.expect_request("ACK");
    let again = t.expect_request("INVITE");
    assert!(proves(&again, "Authorization", "r", "SHA-256", true));
    assert_eq!(again.headers("Authorization").count(), 1);
}

#[test]
fn a_proxy_and_a_registrar_ask_in_one_call() {
    let mut t = asking();
    let (dialog, invite) = t.call_out();
    let ask = challenge("Proxy-Authenticate", "proxy", ", qop=\"auth\"");
    t.recv(t.answer(&invite, 407, "x").header(&ask));
    t.expect_request("ACK");
    let second = t.expect_request("INVITE");
    assert!(proves(&second, "Proxy-Authorization", "proxy", "MD5", true));
    let ask = challenge("WWW-Authenticate", "home", ", qop=\"auth\"");
    t.recv(t.answer(&second, 401, "y").header(&ask));
    t.expect_request("ACK");
    let third = t.expect_request("INVITE");
    assert!(proves(&third, "Proxy-Authorization", "proxy", "MD5", true));
    assert!(third.must("Proxy-Authorization").contains("nc=00000002"));
    assert!(proves(&third, "Authorization", "home", "MD5", true));
    t.recv(t.answer(&third, 200, "bob").sdp(SDP));
    t.expect_request("ACK");
    t.event();
    t.end(dialog);
    let bye = t.expect_request("BYE");
    assert!(proves(&bye, "Authorization", "home", "MD5", true), "later requests carry it at once");
    assert_eq!(bye.must("CSeq"), "4 BYE");
}

#[test]
fn a_challenged_bye_is_sent_again_with_a_proof() {
    let mut t = asking();
    let (dialog, _, _) = t.talking_out();
    t.end(dialog);
    let bye = t.expect_request("BYE");
    t.expect_end(DialogEnd::ByUs);
    t.recv(t.answer(&bye, 407, "").header(&challenge("Proxy-Authenticate", "p", "")));
    let again = t.expect_request("BYE");
    assert!(proves(&again, "Proxy-Authorization", "p", "MD5", false));
    t.recv(t.answer(&again, 200, ""));
    t.run_for(secs(64));
    t.expect_nothing();
    assert!(t.endpoint.is_empty());
}

#[test]
fn a_refused_proof_is_not_tried_for_ever() {
    let mut t = asking();
    let (_, mut invite) = t.call_out();
    let mut tries = 0;
    loop {
        let nonce = format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{tries}\"");
        t.recv(t.answer(&invite, 401, "x").header(&nonce));
        t.expect_request("ACK");
        if t.sent.is_empty() {
            break;
        }
        invite = t.expect_request("INVITE");
        tries += 1;
        assert!(tries < 10);
    }
    t.expect_end(DialogEnd::Rejected(401));
    assert_eq!(tries, 4);
}

#[test]
fn without_credentials_a_challenge_is_a_refusal() {
    let mut t = Stage::new();
    let (_, invite) = t.call_out();
    t.recv(t.answer(&invite, 407, "x").header(&challenge("Proxy-Authenticate", "p", "")));
    t.expect_request("ACK");
    t.expect_end(DialogEnd::Rejected(407));
}

#[test]
fn a_scanner_among_strangers_is_not_even_challenged() {
    let mut t = open_house();
    t.recv(stranger().header("User-Agent: friendly-scanner"));
    t.expect_nothing();
    assert_eq!(t.endpoint.counters().sip_dropped_scanner, 1);
}

#[test]
fn a_flood_of_strangers_is_cut_by_source_and_in_all() {
    let mut t = open_house();
    for number in 0..100 {
        t.recv(stranger().call(&format!("c{number}")));
    }
    assert_eq!(t.sent.len(), 20, "one source has a burst of 20");
    for number in 0..2_000 {
        let source = format!("192.0.{}.{}:5060", number / 250, number % 250);
        t.recv(stranger().source(&source).call(&format!("d{number}")));
    }
    assert!(t.sent.len() <= 500, "all strangers have a burst of 500: {}", t.sent.len());
    assert!(t.endpoint.is_empty());
}
