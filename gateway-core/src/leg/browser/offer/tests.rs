use std::sync::Arc;

use super::*;
use crate::base::rng::Rng;
use crate::webrtc::testkit;
use crate::webrtc::{Certificate, LocalIce};

const CHROMIUM: &str = include_str!("../../../../../testdata/browser/chromium-156.sdp");
const FIREFOX: &str = include_str!("../../../../../testdata/browser/firefox-153.sdp");

fn ours(certificate: Arc<Certificate>, setup: Setup) -> LocalTransport {
    let address = "192.0.2.1:20000".parse().expect("an address");
    let ice = LocalIce {
        credentials: IceCredentials::random(&mut Rng::from_number(1)),
        candidates: vec![Candidate::host(address, 0)],
        socket: 0,
    };
    LocalTransport { ice, certificate, setup }
}

fn answer(offer: &BrowserOffer) -> String {
    offer.answer(&ours(testkit::certificate(), offer.our_setup()), 7)
}

fn parse(text: &str) -> Result<BrowserOffer, BadBrowserOffer> {
    BrowserOffer::parse(text.as_bytes())
}

/// An offer with one change.
fn changed(from: &str, to: &str) -> Result<BrowserOffer, BadBrowserOffer> {
    assert!(CHROMIUM.contains(from), "{from}");
    parse(&CHROMIUM.replace(from, to))
}

#[test]
fn chromium_is_understood() {
    let offer = parse(CHROMIUM).expect("an offer");
    let session = offer.session();
    assert_eq!(session.send_payload_type, 111);
    assert_eq!(session.receive.as_slice(), [(111, CodecKind::Opus)]);
    let events: Vec<_> =
        session.receive_events.iter().map(|it| (it.payload_type, it.clock_hz)).collect();
    assert_eq!(events, [(110, 48_000), (126, 8_000)]);
    assert_eq!(session.direction, Direction::SendRecv);
    let remote = offer.remote();
    assert_eq!(remote.ice.credentials.ufrag, "Cenj");
    assert_eq!(remote.ice.credentials.password.reveal(), "LDuo0s0Nw5KPzFS9kYlyGuZq");
    let ports: Vec<_> =
        remote.ice.candidates.iter().map(|it| (it.address.port(), it.udp)).collect();
    assert_eq!(ports, [(44_852, true), (9, false)], "the transport passes over TCP");
    assert_eq!((remote.setup, offer.our_setup()), (Setup::ActPass, Setup::Passive));
}

#[test]
fn firefox_is_understood() {
    let offer = parse(FIREFOX).expect("an offer");
    assert_eq!(offer.session().send_payload_type, 109);
    assert!(!offer.session().receive_events.is_empty());
    assert_eq!(offer.our_setup(), Setup::Passive);
    assert_eq!(offer.remote().fingerprints.len(), 1);
    assert!(answer(&offer).contains("m=audio 20000 UDP/TLS/RTP/SAVPF 109 "));
}

#[test]
fn the_answer_says_what_a_browser_needs() {
    let text = answer(&parse(CHROMIUM).expect("an offer"));
    for line in [
        "v=0",
        "o=- 7 1 IN IP4 192.0.2.1",
        "a=group:BUNDLE 0",
        "m=audio 20000 UDP/TLS/RTP/SAVPF 111 110 126",
        "c=IN IP4 192.0.2.1",
        "a=mid:0",
        "a=setup:passive",
        "a=sendrecv",
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
        "a=rtpmap:110 telephone-event/48000",
        "a=candidate:1 1 udp 2130706431 192.0.2.1 20000 typ host",
        "a=end-of-candidates",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
    }
    let fingerprint = testkit::certificate().fingerprint();
    assert!(text.contains(&format!("a=fingerprint:sha-256 {fingerprint}\r\n")));
    assert!(text.ends_with("\r\n") && !text.replace("\r\n", "").contains(['\r', '\n']));
    // Nobody offered these to be used here.
    assert!(!text.contains("extmap") && !text.contains("red/"));
}

#[test]
fn an_answer_is_read_as_an_offer_by_our_own_eyes() {
    let text = answer(&parse(CHROMIUM).expect("an offer"));
    let back = parse(&text).expect("the same shape");
    assert_eq!(back.remote.setup, Setup::Passive);
    assert_eq!(back.our_setup(), Setup::Active);
    assert!(answer(&back).contains("a=setup:active\r\n"));
}

#[test]
fn pictures_data_and_a_second_sound_are_refused_in_their_place() {
    let more = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\n\
                m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n\
                m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:3\r\n";
    let text = answer(&parse(&format!("{CHROMIUM}{more}")).expect("an offer"));
    let sections: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
    let expected = [
        "m=audio 20000 UDP/TLS/RTP/SAVPF 111 110 126",
        "m=video 0 UDP/TLS/RTP/SAVPF 96",
        "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
        "m=audio 0 UDP/TLS/RTP/SAVPF 111",
    ];
    assert_eq!(sections, expected);
    assert!(text.contains("a=group:BUNDLE 0\r\n"), "those without a port are in no bundle");
}

#[test]
fn who_only_listens_or_only_speaks_may() {
    let direction = |text| changed("a=sendrecv", text).map(|offer| offer.session().direction);
    assert_eq!(direction("a=recvonly"), Ok(Direction::SendOnly));
    assert_eq!(direction("a=sendonly"), Ok(Direction::RecvOnly));
    assert_eq!(direction("a=x-none"), Ok(Direction::SendRecv));
    assert_eq!(direction("a=inactive"), Err(BadBrowserOffer::Inactive));
}

#[test]
fn what_counts_for_the_session_counts_for_its_sound() {
    let lines =
        ["a=ice-ufrag:Cenj\r\n", "a=ice-pwd:LDuo0s0Nw5KPzFS9kYlyGuZq\r\n", "a=setup:actpass\r\n"];
    let start = CHROMIUM.find("a=fingerprint").expect("there");
    let fingerprint = CHROMIUM[start..].split_inclusive('\n').next().expect("a line");
    let mut text = CHROMIUM.replace(fingerprint, "");
    for line in lines {
        text = text.replace(line, "");
    }
    assert_eq!(parse(&text).err(), Some(BadBrowserOffer::NoIce));
    let head = format!("t=0 0\r\n{}{fingerprint}", lines.concat());
    let offer = parse(&text.replace("t=0 0\r\n", &head)).expect("session level");
    assert_eq!(offer.remote().ice.credentials.ufrag, "Cenj");
}

#[test]
fn each_thing_that_lacks_has_its_reason() {
    use BadBrowserOffer::*;
    for (from, to, why) in [
        ("v=0", "v=1", NotSdp),
        ("v=0\r\n", "", NotSdp),
        ("m=audio", "m=video", NoAudio),
        ("m=audio 44852 UDP/TLS/RTP/SAVPF 111 ", "m=audio 44852 UDP/TLS/RTP/SAVPF ", NoOpus),
        ("opus/48000/2", "opus/16000/1", NoOpus),
        ("UDP/TLS/RTP/SAVPF", "RTP/AVP", NotSecure),
        ("a=rtcp-mux\r\n", "", NotMuxed),
        ("a=ice-ufrag:Cenj", "a=ice-ufrag:Ce", NoIce),
        ("a=ice-ufrag:Cenj", "a=ice-ufrag:Cenj\u{e9}\u{e9}", NoIce),
        ("a=ice-pwd:LDuo0s0Nw5KPzFS9kYlyGuZq", "a=ice-pwd:short", NoIce),
        ("a=fingerprint:sha-256", "a=fingerprint:sha-1", NoFingerprint),
        ("a=fingerprint:sha-256 1C:", "a=fingerprint:sha-256 ", NoFingerprint),
        ("m=audio 44852 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126", "m=audio 44852", BadSection),
        ("m=audio ", "m=au\u{e9}dio ", BadSection),
    ] {
        let bad = changed(from, to).expect_err(why.to_string().as_str());
        assert_eq!(bad, why, "{from} -> {to}");
        let unreadable = matches!(why, NotSdp | BadSection | TooLong);
        assert_eq!(bad.is_understood(), !unreadable);
    }
}

#[test]
fn more_than_anybody_needs_is_refused_or_passed_over() {
    let long = format!("{CHROMIUM}{}", "a=x\r\n".repeat(SDP_BYTES_MAX / 5));
    assert_eq!(parse(&long).err(), Some(BadBrowserOffer::TooLong));
    let many = format!("{CHROMIUM}{}", "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n".repeat(SDP_MEDIA_MAX));
    assert_eq!(parse(&many).err(), Some(BadBrowserOffer::TooLong));
    let candidates = "a=candidate:1 1 udp 1 192.0.2.9 9 typ host\r\n".repeat(300);
    let opus = "a=rtpmap:99 opus/48000/2\r\n".repeat(300);
    let offer = parse(&format!("{CHROMIUM}{candidates}{opus}")).expect("still an offer");
    assert_eq!(offer.remote().ice.candidates.len(), CANDIDATES_MAX);
}

#[test]
fn nothing_of_an_offer_reaches_the_answer_as_free_text() {
    for (from, to) in [
        ("a=mid:0", "a=mid:0 a=evil"),
        ("a=mid:0", "a=mid:\u{202e}evil"),
        ("a=mid:0", "a=mid:evil/evil"),
    ] {
        let text = answer(&changed(from, to).expect("an offer"));
        assert!(!text.contains("evil") && !text.contains("a=mid"), "{text}");
    }
    let sections = "m=video 9 x 1 evil\r\nm=e\u{7}vil 9 x 1\r\n";
    assert_eq!(parse(&format!("{CHROMIUM}{sections}")).err(), Some(BadBrowserOffer::BadSection));
}

/// Each answer stays an answer whatever is changed, cut or doubled: 200,000 of them.
#[test]
fn hostile_offers_do_no_harm() {
    let mut rng = Rng::from_number(4);
    let (mut good, mut bad) = (0, 0);
    for round in 0..200_000_u32 {
        let text = if round % 2 == 0 { CHROMIUM } else { FIREFOX };
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=rng.below(4) {
            if bytes.len() < 2 {
                break;
            }
            let at = rng.below(bytes.len() as u32) as usize;
            match rng.below(5) {
                0 => bytes[at] = rng.u32() as u8,
                1 => bytes.truncate(at.max(1)),
                2 => _ = bytes.remove(at),
                3 => bytes.insert(at, b"\r\n:= 09/\0"[rng.below(8) as usize]),
                _ => {
                    let end = (at + rng.below(60) as usize).min(bytes.len());
                    let part = bytes[at..end].to_vec();
                    let to = rng.below(bytes.len() as u32) as usize;
                    bytes.splice(to..to, part);
                }
            }
        }
        match BrowserOffer::parse(&bytes) {
            Ok(offer) if round % 64 == 0 => {
                good += 1;
                let answer = answer(&offer);
                assert!(answer.is_ascii() && answer.len() < 4_096, "{answer}");
            }
            Ok(_) => good += 1,
            Err(_) => bad += 1,
        }
    }
    assert!(good > 20_000 && bad > 20_000, "the dice are loaded: {good} good, {bad} bad");
}
