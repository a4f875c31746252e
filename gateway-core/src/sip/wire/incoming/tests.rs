use super::*;
use crate::sip::wire::{Message, message_limits, parse_datagram};

fn read(via: &str, source: &str) -> Result<Incoming, Box<(Request, Malformed)>> {
    let text = format!(
        "OPTIONS sip:h SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:h>\r\n\
         Call-ID: c\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    let message = parse_datagram(text.into(), &message_limits()).expect("well framed");
    let Message::Request(request) = message else { panic!("a request") };
    Incoming::read(request, source.parse().expect("an address"))
}

fn top_via(incoming: &Incoming) -> String {
    text::value(&incoming.request.headers, &HeaderName::Via).expect("there is one")
}

#[test]
fn rport_is_filled_and_received_added() {
    let got = read("SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bKa", "192.0.2.9:4000");
    let via = top_via(&got.expect("fine"));
    assert_eq!(via, "SIP/2.0/UDP 10.0.0.1:5060;rport=4000;branch=z9hG4bKa;received=192.0.2.9");
}

#[test]
fn a_via_that_tells_the_truth_is_left_alone() {
    let got = read("SIP/2.0/UDP 192.0.2.9:4000;branch=z9hG4bKa", "192.0.2.9:4000");
    assert_eq!(top_via(&got.expect("fine")), "SIP/2.0/UDP 192.0.2.9:4000;branch=z9hG4bKa");
}

#[test]
fn only_the_first_hop_is_stamped() {
    let got = read(
        "SIP/2.0/UDP p.example;branch=z9hG4bKa , SIP/2.0/UDP q;branch=z9hG4bKb;rport",
        "[2001:db8::1]:5060",
    );
    assert_eq!(
        top_via(&got.expect("fine")),
        "SIP/2.0/UDP p.example;branch=z9hG4bKa;received=2001:db8::1, SIP/2.0/UDP q;branch=z9hG4bKb;rport"
    );
}

#[test]
fn a_translated_sender_is_seen() {
    let source = "192.0.2.9:4000";
    let got = read("SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKa", source).expect("fine");
    assert!(got.is_translated(source.parse().expect("an address")));
    let got = read("SIP/2.0/UDP 192.0.2.9:4000;branch=z9hG4bKa", source).expect("fine");
    assert!(!got.is_translated(source.parse().expect("an address")));
}
