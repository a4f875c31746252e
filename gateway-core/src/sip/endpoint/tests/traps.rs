//! What has killed a call, or a stack, in the field: one test a trap.

use super::stage::*;
use crate::sip::endpoint::*;

fn is_alive(t: &mut Stage) {
    t.sent.clear();
    t.events.clear();
    t.recv(invite().call("after").branch("z9hG4bKafter"));
    let dialog = t.invited();
    t.accept(dialog);
    t.expect(200, "INVITE");
}

fn latin_1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).expect("Latin-1")).collect()
}

#[test]
fn a_latin_1_name_keeps_its_call_and_all_headers_after_it() {
    for from in
        ["\"Müller\" <sip:m@198.51.100.7>;tag=theirs", "Müller <sip:m@198.51.100.7>;tag=theirs"]
    {
        let mut t = Stage::new();
        let text = invite().from(from).header("X-Room: tea").text();
        t.recv_bytes(THEIRS.parse().expect("an address"), &latin_1(&text));
        match t.event() {
            UaEvent::Invited { facts, offer, .. } => {
                assert_eq!(facts.caller_name.reveal(), "Müller");
                assert_eq!(facts.caller.reveal(), "m");
                assert_eq!(facts.headers[0].1.reveal(), "tea");
                assert!(offer.is_some());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_gap_in_cseq_is_legal_and_a_step_back_is_not() {
    let mut t = Stage::new();
    let (_, ok) = t.talking();
    t.recv(t.within("INFO", &ok, 9));
    t.expect(200, "INFO");
    t.recv(t.within("INFO", &ok, 4).branch("z9hG4bKback"));
    t.expect(500, "INFO");
    t.recv(t.within("BYE", &ok, 400));
    t.expect(200, "BYE");
    t.expect_end(DialogEnd::ByeReceived);
}

#[test]
fn a_late_copy_of_an_invite_is_absorbed() {
    let mut t = Stage::new();
    let (_, ok) = t.talking();
    t.recv(invite());
    t.expect_nothing();
    t.recv(t.within("BYE", &ok, 2));
    t.expect(200, "BYE");
    t.expect_end(DialogEnd::ByeReceived);
    t.recv(invite());
    t.expect_nothing(); // also after the end
    t.recv(t.within("BYE", &ok, 2));
    t.expect(200, "BYE"); // its own answer again, not 481
}

#[test]
fn a_missing_content_length_means_to_the_end_of_the_datagram() {
    let mut t = Stage::new();
    let text = invite().text();
    let line = format!("Content-Length: {}\r\n", SDP.len());
    t.recv_bytes(THEIRS.parse().expect("an address"), text.replace(&line, "").as_bytes());
    match t.event() {
        UaEvent::Invited { offer, .. } => assert_eq!(offer, Some(SDP.into())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn impossible_content_lengths_are_dropped() {
    let mut t = Stage::new();
    for length in ["18446744073709551615", "99999", "-1", "1e3", "", "0\r\nContent-Length: 0"] {
        let text = Said::new("OPTIONS")
            .text()
            .replace("Content-Length: 0", &format!("Content-Length: {length}"));
        t.recv_bytes(THEIRS.parse().expect("an address"), text.as_bytes());
        t.expect_nothing();
    }
    assert_eq!(t.endpoint.counters().sip_malformed, 6);
    is_alive(&mut t);
}

#[test]
fn a_space_before_the_colon_and_compact_forms_are_read() {
    let mut t = Stage::new();
    let text = invite()
        .text()
        .replace("Via:", "v :")
        .replace("From:", "f:")
        .replace("To:", "t\t:")
        .replace("Call-ID:", "i:")
        .replace("Contact:", "m:")
        .replace("Content-Type:", "c:")
        .replace("Content-Length:", "l :");
    t.recv_bytes(THEIRS.parse().expect("an address"), text.as_bytes());
    let dialog = t.invited();
    t.accept(dialog);
    assert_eq!(t.expect(200, "INVITE").body(), OUR_SDP);
}

#[test]
fn space_round_the_equals_sign_and_folded_lines_are_read() {
    let mut t = Stage::new();
    t.recv(invite().from("<sip:alice@198.51.100.7>\r\n ;tag = theirs"));
    let dialog = t.invited();
    t.accept(dialog);
    let ok = t.expect(200, "INVITE");
    let mut bye = t.within("BYE", &ok, 2);
    bye.from = "<sip:alice@198.51.100.7>;tag=theirs".to_owned();
    t.recv(bye);
    t.expect(200, "BYE");
}

#[test]
fn an_unknown_method_is_answered_501_inside_a_dialog_too() {
    let mut t = Stage::new();
    let (_, ok) = t.talking();
    t.recv(t.within("DANCE", &ok, 2));
    assert!(t.expect(501, "DANCE").must("Allow").contains("INVITE"));
    t.recv(Said::new("DANCE"));
    t.expect(501, "DANCE");
    t.expect_nothing();
}

#[test]
fn what_we_do_not_do_is_refused_politely() {
    let mut t = Stage::new();
    let (_, ok) = t.talking();
    for (number, (method, status)) in
        [("REFER", 603), ("MESSAGE", 405), ("NOTIFY", 489), ("SUBSCRIBE", 489), ("PUBLISH", 489)]
            .into_iter()
            .enumerate()
    {
        let cseq = 2 + u32::try_from(number).expect("small");
        t.recv(t.within(method, &ok, cseq));
        assert!(t.expect(status, method).header("Allow").is_some());
        t.recv(Said::new(method).call("outside"));
        t.expect(status, method);
    }
    t.recv(Said::new("REGISTER"));
    t.expect(405, "REGISTER");
    t.expect_nothing();
    assert_eq!(t.endpoint.len(), 1);
}

#[test]
fn a_request_inside_an_unknown_dialog_is_answered_481() {
    let mut t = Stage::new();
    for method in ["BYE", "INFO", "UPDATE", "PRACK", "INVITE", "OPTIONS"] {
        let mut request = Said::new(method);
        request.to.push_str(";tag=nobody");
        t.recv(request);
        t.expect(481, method);
    }
    t.recv(Said::new("BYE"));
    t.expect(481, "BYE");
    t.expect_nothing();
    assert!(t.endpoint.is_empty(), "refusals are not remembered");
}

#[test]
fn an_unknown_extension_is_answered_420() {
    let mut t = Stage::new();
    t.recv(invite().header("Require: timer, precondition, 100rel, Q"));
    assert_eq!(t.expect(420, "INVITE").must("Unsupported"), "precondition, Q");
    let (_, ok) = t.talking();
    t.recv(t.within("INFO", &ok, 2).header("Require: replaces"));
    t.expect(420, "INFO");
}

#[test]
fn the_same_invite_by_another_way_is_answered_482() {
    let mut t = Stage::new();
    t.recv(invite());
    let dialog = t.invited();
    t.recv(invite().branch("z9hG4bKfork"));
    t.expect(482, "INVITE");
    t.expect_nothing();
    t.accept(dialog);
    t.expect(200, "INVITE");
}

#[test]
fn our_own_invite_that_comes_back_is_a_loop() {
    let mut t = Stage::new();
    let (_, ours) = t.call_out();
    let branch = ours.must("Via").split("branch=").nth(1).expect("a branch").to_owned();
    let via = format!("Via: SIP/2.0/UDP 203.0.113.1:5060;branch={branch}");
    t.recv(invite().header(&via));
    t.expect(482, "INVITE");
}

#[test]
fn no_hops_left_is_answered_483_and_a_bad_contact_400() {
    let mut t = Stage::new();
    let text = invite().text().replace("Max-Forwards: 70", "Max-Forwards: 0");
    t.recv_bytes(THEIRS.parse().expect("an address"), text.as_bytes());
    t.expect(483, "INVITE");
    t.recv(invite().no_contact());
    t.expect(400, "INVITE");
    t.recv(invite().contact("nonsense"));
    t.expect(400, "INVITE");
    t.recv(invite().uri("mailto:a@b"));
    t.expect(416, "INVITE");
    t.expect_nothing();
    assert!(t.endpoint.is_empty());
}

#[test]
fn a_tel_uri_names_the_number() {
    let mut t = Stage::new();
    t.recv(invite().uri("tel:+62-21-555;phone-context=id").to("<tel:+6221555>"));
    match t.event() {
        UaEvent::Invited { facts, .. } => {
            assert_eq!(facts.request_user.reveal(), "+62-21-555");
            assert_eq!(facts.to_user.reveal(), "+6221555");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_asserted_identity_is_believed_on_trusted_trunks_only() {
    let caller = |trusted: bool, privacy: &str| {
        let mut t = Stage::with_trunk(|trunk| trunk.trusted = trusted);
        let invite = invite()
            .from("<sip:anonymous@anonymous.invalid>;tag=theirs")
            .header("P-Asserted-Identity: \"Ann\" <sip:+4930@carrier.example>")
            .header(&format!("Privacy: {privacy}"))
            .header("Jitsi-Conference-Room: tea")
            .header("x-wb-ticket: abc");
        t.recv(invite);
        match t.event() {
            UaEvent::Invited { facts, .. } => facts,
            other => panic!("{other:?}"),
        }
    };
    let facts = caller(true, "none");
    assert!(facts.anonymous, "From says so");
    assert_eq!(facts.headers.len(), 2);
    let of_stranger = caller(false, "none").headers;
    assert_eq!(of_stranger.len(), 1, "a ticket proves itself");
    assert_eq!(of_stranger[0].1.reveal(), "abc");
    assert!(caller(true, "id").caller.reveal().is_empty());
    let mut t = Stage::new();
    t.recv(invite().header("P-Asserted-Identity: \"Ann\" <sip:+4930@carrier.example>"));
    match t.event() {
        UaEvent::Invited { facts, .. } => {
            assert_eq!(
                (facts.caller.reveal().as_str(), facts.caller_name.reveal().as_str()),
                ("+4930", "Ann")
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_changing_to_tag_in_progress_does_not_confuse_the_dialog() {
    let mut t = Stage::new();
    let (dialog, invite) = t.call_out();
    t.recv(t.answer(&invite, 183, "first").sdp(SDP));
    t.recv(t.answer(&invite, 180, "second"));
    assert!(matches!(t.event(), UaEvent::Progress { status: 183, sdp: Some(_), .. }));
    assert!(matches!(t.event(), UaEvent::Progress { status: 180, sdp: None, .. }));
    t.recv(t.answer(&invite, 200, "third"));
    assert_eq!(t.expect_request("ACK").to_tag(), "third");
    assert!(matches!(t.event(), UaEvent::Answered { sdp: None, .. }), "183 had the description");
    t.end(dialog);
    assert_eq!(t.expect_request("BYE").to_tag(), "third");
}

#[test]
fn bye_before_the_ack_ends_the_call() {
    let mut t = Stage::new();
    t.recv(invite());
    let dialog = t.invited();
    t.accept(dialog);
    let ok = t.expect(200, "INVITE");
    t.recv(t.within("BYE", &ok, 2));
    t.expect(200, "BYE");
    t.expect_end(DialogEnd::ByeReceived);
    t.recv(t.within("ACK", &ok, 1));
    t.run_for(secs(40));
    t.expect_nothing(); // the 200 is not repeated either
    assert!(t.endpoint.is_empty());
}

#[test]
fn bye_while_ringing_ends_the_invite_with_487() {
    let mut t = Stage::new();
    t.recv(invite());
    let dialog = t.invited();
    t.ring(dialog);
    let ringing = t.expect(180, "INVITE");
    t.recv(t.within("BYE", &ringing, 2));
    t.expect(200, "BYE");
    t.expect(487, "INVITE");
    t.expect_end(DialogEnd::ByeReceived);
}

#[test]
fn an_ack_with_the_branch_of_its_invite_counts() {
    let mut t = Stage::new();
    t.recv(invite());
    let dialog = t.invited();
    t.accept(dialog);
    let ok = t.expect(200, "INVITE");
    t.recv(t.within("ACK", &ok, 1).branch("z9hG4bKINVITE1"));
    assert!(matches!(t.event(), UaEvent::Acknowledged { .. }));
    t.run_for(secs(60));
    t.expect_nothing();
}

#[test]
fn routes_are_kept_and_followed() {
    let mut t = Stage::new();
    let invite = invite()
        .header("Record-Route: <sip:198.51.100.1;lr>, <sip:198.51.100.2:5070;lr>")
        .header("Record-Route: <sip:198.51.100.3;lr>");
    t.recv(invite);
    let dialog = t.invited();
    t.accept(dialog);
    let ok = t.expect(200, "INVITE");
    assert_eq!(ok.headers("Record-Route").count(), 2);
    t.recv(t.within("ACK", &ok, 1));
    t.event();
    t.end(dialog);
    let bye = t.expect_request("BYE");
    assert_eq!(bye.request_uri(), "sip:alice@198.51.100.7:5060");
    let routes: Vec<&str> = bye.headers("Route").collect();
    assert_eq!(
        routes,
        ["<sip:198.51.100.1;lr>", "<sip:198.51.100.2:5070;lr>", "<sip:198.51.100.3;lr>"]
    );
    assert_eq!(bye.to, Some("198.51.100.1:5060".parse().expect("an address")));
}

#[test]
fn a_route_of_a_call_of_ours_is_turned_round() {
    let mut t = Stage::new();
    let (_, invite) = t.call_out();
    let ok = t
        .answer(&invite, 200, "bob")
        .sdp(SDP)
        .header("Record-Route: <sip:198.51.100.2;lr>")
        .header("Record-Route: <sip:198.51.100.1;lr>");
    t.recv(ok);
    let ack = t.expect_request("ACK");
    let routes: Vec<&str> = ack.headers("Route").collect();
    assert_eq!(routes, ["<sip:198.51.100.1;lr>", "<sip:198.51.100.2;lr>"]);
}

#[test]
fn a_strict_router_gets_its_own_address_as_request_uri() {
    let mut t = Stage::new();
    t.recv(invite().header("Record-Route: <sip:198.51.100.1>, <sip:198.51.100.2;lr>"));
    let dialog = t.invited();
    t.accept(dialog);
    let ok = t.expect(200, "INVITE");
    t.recv(t.within("ACK", &ok, 1));
    t.event();
    t.end(dialog);
    let bye = t.expect_request("BYE");
    assert_eq!(bye.request_uri(), "sip:198.51.100.1");
    let routes: Vec<&str> = bye.headers("Route").collect();
    assert_eq!(routes, ["<sip:198.51.100.2;lr>", "<sip:alice@198.51.100.7:5060>"]);
}

#[test]
fn a_private_contact_is_replaced_by_the_source() {
    for contact in
        ["<sip:a@10.1.2.3:5062>", "<sip:a@127.0.0.1>", "<sip:a@0.0.0.0>", "<sip:a@host.lan>"]
    {
        let mut t = Stage::new();
        t.recv(invite().contact(contact));
        let dialog = t.invited();
        t.accept(dialog);
        let ok = t.expect(200, "INVITE");
        t.recv(t.within("ACK", &ok, 1));
        t.event();
        t.end(dialog);
        let bye = t.expect_request("BYE");
        assert_eq!(bye.to, Some(THEIRS.parse().expect("an address")), "{contact}");
        assert!(contact.contains(bye.request_uri()), "the Request-URI stays the Contact");
    }
}

#[test]
fn behind_a_translator_everything_goes_to_the_source() {
    let mut t = Stage::new();
    let source = "198.51.100.7:33333";
    let invite = invite().source(source).via("SIP/2.0/UDP 10.1.2.3:5060;rport");
    t.recv(invite.contact("<sip:a@198.51.100.200:5060>"));
    let dialog = t.invited();
    t.accept(dialog);
    let ok = t.expect(200, "INVITE");
    assert_eq!(ok.to, Some(source.parse().expect("an address")));
    assert!(ok.must("Via").contains(";rport=33333;"));
    assert!(ok.must("Via").contains(";received=198.51.100.7"));
    t.recv(t.within("ACK", &ok, 1));
    t.event();
    t.end(dialog);
    assert_eq!(t.expect_request("BYE").to, Some(source.parse().expect("an address")));
}

#[test]
fn calls_over_ipv6_with_ports_in_brackets() {
    let mut config = config();
    config.listeners[0].bind = "[2001:db8::1]:5060".parse().expect("an address");
    config.trunks[0].sources = vec!["2001:db8:7::/48".parse().expect("a block")];
    let mut t = Stage::with(config);
    let invite = invite()
        .source("[2001:db8:7::9]:5070")
        .via("SIP/2.0/UDP [2001:db8:7::9]:5070")
        .from("<sip:alice@[2001:db8:7::9]>;tag=theirs")
        .contact("<sip:alice@[2001:db8:7::9]:5080>")
        .uri("sip:pin@[2001:db8::1]:5060");
    t.recv(invite);
    let dialog = t.invited();
    t.accept(dialog);
    let ok = t.expect(200, "INVITE");
    assert_eq!(ok.must("Contact"), "<sip:weebee@[2001:db8::1]:5060>");
    t.recv(t.within("ACK", &ok, 1));
    t.event();
    t.end(dialog);
    let bye = t.expect_request("BYE");
    assert_eq!(bye.request_uri(), "sip:alice@[2001:db8:7::9]:5080");
    assert_eq!(bye.to, Some("[2001:db8:7::9]:5080".parse().expect("an address")));
    assert!(bye.must("Via").contains("SIP/2.0/UDP [2001:db8::1]:5060;"));
}

#[test]
fn above_the_limits_calls_get_503_and_old_ones_live() {
    let mut t = Stage::with_trunk(|trunk| trunk.calls_max = 2);
    let mut calls = Vec::new();
    for number in 0..3 {
        t.recv(invite().call(&format!("c{number}")).branch(&format!("z9hG4bK{number}")));
        calls.extend(t.events.pop_front());
    }
    assert_eq!(calls.len(), 2);
    let refused = t.expect(503, "INVITE");
    assert_eq!(refused.must("Retry-After"), "7");
    assert_eq!(t.endpoint.counters().sip_calls_over_limit, 1);
    t.recv(Said::new("CANCEL").call("c0").branch("z9hG4bK0"));
    t.expect(200, "CANCEL");
    t.expect(487, "INVITE");
    t.expect_end(DialogEnd::Cancelled);
    t.recv(invite().call("c3").branch("z9hG4bK3"));
    t.invited();
}

#[test]
fn while_overloaded_new_calls_get_503_and_old_ones_go_on() {
    let mut t = Stage::new();
    let (_, ok) = t.talking();
    let bye = t.within("BYE", &ok, 2);
    t.endpoint.set_overloaded(true);
    t.recv(invite().call("c1").branch("z9hG4bK1"));
    assert_eq!(t.expect(503, "INVITE").must("Retry-After"), "7");
    assert!(t.events.is_empty());
    t.recv(bye);
    t.expect(200, "BYE");
    t.expect_end(DialogEnd::ByeReceived);
    t.endpoint.set_overloaded(false);
    t.recv(invite().call("c2").branch("z9hG4bK2"));
    t.invited();
}

#[test]
fn another_trunk_cannot_end_a_call() {
    let mut config = config();
    let mut second = trunk_config();
    second.name = "other".to_owned();
    second.peer = None;
    second.sources = vec!["192.0.2.0/24".parse().expect("a block")];
    config.trunks.push(second);
    let mut t = Stage::with(config);
    let (_, ok) = t.talking();
    t.recv(t.within("BYE", &ok, 2).source("192.0.2.1:5060"));
    t.expect(481, "BYE");
    t.expect_nothing();
    assert_eq!(t.endpoint.len(), 1);
}

#[test]
fn a_peer_of_rfc_2543_days_can_call() {
    let mut t = Stage::new();
    let old = invite().from("<sip:alice@198.51.100.7>").branch("1");
    t.recv(old.clone());
    let dialog = t.invited();
    t.recv(old);
    t.expect_nothing(); // the same transaction, though its branch says nothing
    t.accept(dialog);
    let ok = t.expect(200, "INVITE");
    t.recv(t.within("ACK", &ok, 1).branch("1"));
    assert!(matches!(t.event(), UaEvent::Acknowledged { .. }));
    t.recv(t.within("BYE", &ok, 2).branch("1"));
    t.expect(200, "BYE");
}

#[test]
fn a_final_response_that_never_gets_its_ack_is_forgotten() {
    let mut t = Stage::new();
    t.recv(invite());
    let dialog = t.invited();
    t.command(UaCommand::Reject {
        dialog,
        status: 404,
        cause: None,
        warning: None,
        retry_after: None,
    });
    t.expect_end(DialogEnd::ByUs);
    t.run_for(secs(64));
    assert!(t.sent.len() > 8);
    assert!(t.endpoint.is_empty());
}

#[test]
fn an_oversized_description_is_refused_and_an_oversized_header_dropped() {
    let mut t = Stage::new();
    t.recv(invite().sdp(&"a".repeat(40_000)));
    t.expect(488, "INVITE");
    t.recv(invite().header(&format!("X-Long: {}", "a".repeat(9_000))));
    t.recv(invite().header(&"X: y\r\n".repeat(300)));
    t.expect_nothing();
    is_alive(&mut t);
}

#[test]
fn a_header_of_ours_cannot_smuggle_another() {
    let mut t = Stage::new();
    let invite = OutgoingInvite {
        trunk: crate::base::ids::TrunkId(0),
        target: "sip:bob@198.51.100.7".to_owned(),
        from_user: crate::base::pii::Pii::new("a\r\nX-Evil: 1".to_owned()),
        from_name: crate::base::pii::Pii::new("b\r\nX-Evil: 2".to_owned()),
        headers: vec![(
            "X-Room".to_owned(),
            crate::base::pii::Pii::new("c\r\nX-Evil: 3".to_owned()),
        )],
        offer: OUR_SDP.into(),
        answer_within: secs(60),
    };
    t.endpoint.invite(t.now, invite).expect("a call");
    t.drain();
    let sent = t.expect_request("INVITE");
    assert_eq!(sent.headers("X-Evil").count(), 0);
    let bad = OutgoingInvite {
        target: "sip:bob\r\nX-Evil: 4".to_owned(),
        trunk: crate::base::ids::TrunkId(0),
        from_user: Default::default(),
        from_name: Default::default(),
        headers: Vec::new(),
        offer: Vec::new(),
        answer_within: secs(60),
    };
    assert!(matches!(t.endpoint.invite(t.now, bad), Err(ApiMisuse::BadArgument(_))));
}

#[test]
fn commands_in_the_wrong_state_are_named_and_harmless() {
    let mut t = Stage::new();
    let (dialog, _) = t.talking();
    for command in [
        UaCommand::Ring { dialog, status: 180, sdp: None },
        UaCommand::Accept { dialog, sdp: OUR_SDP.into() },
        UaCommand::Reject { dialog, status: 486, cause: None, warning: None, retry_after: None },
        UaCommand::Answer { dialog, sdp: OUR_SDP.into() },
        UaCommand::RefuseOffer { dialog, status: 488 },
    ] {
        assert!(matches!(t.try_command(command), Err(ApiMisuse::WrongState(_))));
    }
    t.expect_nothing();
}
