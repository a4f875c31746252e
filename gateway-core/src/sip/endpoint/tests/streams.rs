//! Calls over connections, and peers who misuse them.

use super::stage::*;
use crate::base::ids::{FlowId, ListenerId};
use crate::sip::endpoint::*;
use crate::sip::trunk::SipTransport;

const FLOW: FlowId = FlowId(2);

fn opened() -> Stage {
    let mut t = Stage::new();
    t.open(FLOW, "198.51.100.7:40001");
    t
}

impl Stage {
    fn open(&mut self, flow: FlowId, peer: &str) {
        let peer = peer.parse().expect("an address");
        self.input(TransportInput::StreamOpened { flow, listener: ListenerId(1), peer });
    }

    fn bytes(&mut self, text: &str) {
        self.input(TransportInput::StreamBytes { flow: FLOW, bytes: text.as_bytes() });
    }

    fn is_closed(&self) -> bool {
        self.raw.contains(&TransportOutput::Close { flow: FLOW })
    }
}

fn stream_invite() -> Said {
    invite().via("SIP/2.0/TCP 198.51.100.7").contact("<sip:alice@198.51.100.7;transport=tcp>")
}

#[test]
fn a_call_over_a_connection_stays_on_it() {
    let mut t = opened();
    t.bytes(&stream_invite().text());
    let dialog = t.invited();
    t.accept(dialog);
    let ok = t.expect(200, "INVITE");
    assert_eq!(ok.must("Contact"), "<sip:weebee@203.0.113.1:5060;transport=tcp>");
    let ack = {
        let mut ack = Said::new("ACK").via("SIP/2.0/TCP 198.51.100.7");
        ack.to = format!("{};tag={}", ack.to, ok.to_tag());
        ack
    };
    t.bytes(&ack.text());
    t.event();
    t.end(dialog);
    let bye = t.expect_request("BYE");
    assert!(bye.must("Via").starts_with("SIP/2.0/TCP 203.0.113.1:5060"));
    assert!(matches!(t.raw.back(), Some(TransportOutput::Write { flow: FLOW, .. })));
    t.run_for(secs(20));
    t.expect_end(DialogEnd::ByUs);
    t.expect_nothing(); // a stream repeats no BYE
}

#[test]
fn messages_arrive_byte_by_byte_and_two_at_once() {
    let mut t = opened();
    let text = Said::new("OPTIONS").text();
    for at in 0..text.len() {
        t.bytes(&text[at..=at]);
    }
    t.expect(200, "OPTIONS");
    t.bytes(&[text.as_str(), &text].concat());
    t.expect(200, "OPTIONS");
    t.expect(200, "OPTIONS");
    t.expect_nothing();
}

#[test]
fn a_ping_gets_its_pong_and_a_pong_nothing() {
    let mut t = opened();
    t.bytes("\r\n\r\n");
    assert_eq!(t.sent.pop_front().expect("a pong").text, "\r\n");
    t.bytes("\r\n");
    t.expect_nothing();
}

#[test]
fn content_length_with_a_space_before_its_colon_frames_well() {
    let mut t = opened();
    let first = Said::new("OPTIONS").body("text/plain", "hello").text();
    let first = first.replace("Content-Length: 5", "Content-Length : 5");
    t.bytes(&[first, Said::new("OPTIONS").cseq(2).text()].concat());
    t.expect(200, "OPTIONS");
    assert_eq!(t.expect(200, "OPTIONS").must("CSeq"), "2 OPTIONS");
}

#[test]
fn contradictory_or_missing_lengths_close_the_connection() {
    let whole = Said::new("OPTIONS").text();
    for broken in [
        whole.replace("Content-Length: 0", "Content-Length: 0\r\nContent-Length: 5"),
        whole.replace("Content-Length: 0\r\n", ""),
        whole.replace("Content-Length: 0", "Content-Length: -1"),
        whole.replace("Content-Length: 0", "Content-Length: 99999999999999999999"),
        whole.replace("\r\nContent-Length: 0", "\nContent-Length: 0"),
    ] {
        let mut t = opened();
        t.bytes(&broken);
        assert!(t.is_closed(), "{broken}");
        assert!(t.sent.is_empty());
        t.bytes(&whole);
        assert!(t.sent.is_empty(), "nothing is read after framing is lost");
    }
}

#[test]
fn a_slow_loris_is_closed_after_ten_seconds() {
    let mut t = opened();
    t.bytes("OPTIONS sip:a SIP/2.0\r\nVia: ");
    for _ in 0..9 {
        t.run_for(secs(1));
        t.bytes("x");
    }
    assert!(!t.is_closed());
    t.run_for(secs(1));
    assert!(t.is_closed());
    assert_eq!(t.endpoint.snapshot().flows, 0);
}

#[test]
fn a_slow_body_is_closed_too() {
    let mut t = opened();
    let text = invite().text();
    let (head, _) = text.split_once("v=0").expect("a body");
    t.bytes(head);
    t.run_for(secs(10));
    assert!(t.is_closed());
}

#[test]
fn an_idle_connection_is_left_alone() {
    let mut t = opened();
    t.bytes(&Said::new("OPTIONS").text());
    t.run_for(secs(3_600));
    assert!(!t.is_closed());
}

#[test]
fn strangers_connections_are_closed_at_once() {
    let mut t = Stage::new();
    t.open(FLOW, "192.0.2.66:1");
    assert!(t.is_closed());
    assert!(t.endpoint.is_empty());
}

#[test]
fn a_source_holds_64_connections_and_loses_the_one_longest_silent() {
    let mut t = Stage::new();
    for number in 0..64 {
        t.open(FlowId(number * 2), "198.51.100.7:1");
        t.run_for(millis(1));
    }
    t.input(TransportInput::StreamBytes { flow: FlowId(0), bytes: b"\r\n" });
    t.open(FlowId(200), "198.51.100.7:1");
    assert_eq!(t.raw, [TransportOutput::Close { flow: FlowId(2) }]);
    assert_eq!(t.endpoint.snapshot().flows, 64);
}

#[test]
fn a_dialog_whose_connection_is_gone_connects_to_the_contact() {
    let mut t = opened();
    t.bytes(&stream_invite().text());
    let dialog = t.invited();
    t.accept(dialog);
    let ok = t.expect(200, "INVITE");
    let mut ack = Said::new("ACK");
    ack.to = format!("{};tag={}", ack.to, ok.to_tag());
    t.bytes(&ack.text());
    t.event();
    t.input(TransportInput::StreamClosed { flow: FLOW });
    t.raw.clear();
    t.end(dialog);
    let to = "198.51.100.7:5060".parse().expect("an address");
    let connect = TransportOutput::Connect { flow: FlowId(1), to, listener: ListenerId(1) };
    assert_eq!(t.raw.front(), Some(&connect));
    t.expect_request("BYE");
}

#[test]
fn a_call_out_over_tcp_connects_once_and_shares_it() {
    let mut t = Stage::with_trunk(|trunk| trunk.transport = SipTransport::Tcp);
    let (_, invite) = t.call_out();
    assert!(invite.must("Via").starts_with("SIP/2.0/TCP"));
    assert!(matches!(t.raw.front(), Some(TransportOutput::Connect { flow: FlowId(1), .. })));
    t.raw.clear();
    t.call_out();
    assert!(!t.raw.iter().any(|raw| matches!(raw, TransportOutput::Connect { .. })));
}

#[test]
fn a_connection_that_cannot_be_opened_ends_the_call() {
    let mut t = Stage::with_trunk(|trunk| trunk.transport = SipTransport::Tcp);
    t.call_out();
    t.input(TransportInput::StreamClosed { flow: FlowId(1) });
    t.expect_end(DialogEnd::TransportFailed);
    assert!(t.endpoint.is_empty());
}

#[test]
fn a_refused_datagram_ends_a_call_of_ours() {
    let mut t = Stage::new();
    t.call_out();
    let to = THEIRS.parse().expect("an address");
    t.input(TransportInput::DatagramFailed { listener: ListenerId(0), to });
    t.expect_end(DialogEnd::TransportFailed);
}

#[test]
fn connections_of_ours_are_kept_alive() {
    let mut t = Stage::with_trunk(|trunk| trunk.transport = SipTransport::Tcp);
    t.call_out();
    t.run_for(secs(60));
    assert!(t.sent.iter().any(|sent| sent.text == "\r\n\r\n"));
}

fn large_call(t: &mut Stage) -> Sent {
    t.endpoint.send_large_over_streams(crate::base::ids::TrunkId(0), true);
    t.call_out_with(format!("v=0\r\n{}", "a".repeat(1_300)).into()).1
}

#[test]
fn a_large_request_takes_a_stream_where_the_trunk_wants_that() {
    let mut t = Stage::new();
    let invite = large_call(&mut t);
    assert!(invite.must("Via").starts_with("SIP/2.0/TCP"));
    assert!(matches!(t.raw.front(), Some(TransportOutput::Connect { .. })));
    let small = t.call_out().1;
    assert!(small.must("Via").starts_with("SIP/2.0/UDP"));
    let mut t = Stage::new();
    let invite = t.call_out_with(vec![b'a'; 2_000]).1;
    assert!(invite.must("Via").starts_with("SIP/2.0/UDP"), "off at first");
}

#[test]
fn a_large_request_without_a_stream_goes_by_datagram_after_all() {
    let mut t = Stage::new();
    let first = large_call(&mut t);
    t.input(TransportInput::StreamClosed { flow: FlowId(1) });
    let second = t.expect_request("INVITE");
    assert!(second.must("Via").starts_with("SIP/2.0/UDP"));
    assert_eq!(second.body(), first.body());
    t.recv(t.answer(&second, 200, "bob").sdp(SDP));
    t.expect_request("ACK");
    assert!(matches!(t.event(), UaEvent::Answered { .. }));
}
