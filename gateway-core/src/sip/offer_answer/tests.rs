//! What comes of the field samples in `testdata/sdp`, the rules of RFC 3264 one by one, and seeded mutations.

use std::path::PathBuf;

use super::*;
use crate::rtp::session::{Direction as MediaDirection, SrtpProfile};

fn machine(policy: SdpPolicy) -> OfferAnswer {
    let local = "192.0.2.1:20000".parse().expect("address");
    OfferAnswer::new(local, policy, Rng::from_number(1))
}

fn samples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/sdp")
}

fn sample(name: &str) -> Vec<u8> {
    let path = samples().join(format!("{name}.sdp"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The answer as a value, and what is in force after it.
fn answered(offer: &[u8], policy: SdpPolicy) -> Result<(Description, RtpSession), OfferError> {
    let mut machine = machine(policy);
    let answer = machine.answer(offer)?;
    let session = machine.session().expect("agreed").clone();
    Ok((Description::parse(&answer).expect("ours is readable"), session))
}

fn one_audio(formats: &str, attributes: &str) -> Vec<u8> {
    format!("v=0\r\nc=IN IP4 203.0.113.1\r\nm=audio 5000 RTP/AVP {formats}\r\n{attributes}").into()
}

#[test]
fn field_samples_get_the_answer_their_story_asks_for() {
    use CodecKind::*;
    // name, codec, number we send, events we send, remote RTP, packet time
    let stories = [
        ("asterisk16-chan-sip", Pcmu, 0, Some((101, 8_000)), "198.51.100.20:17438", 20),
        ("asterisk22-pjsip", Opus, 107, Some((101, 48_000)), "198.51.100.22:10224", 20),
        ("sipp-uac", Pcma, 8, Some((101, 8_000)), "127.0.0.1:6000", 20),
        ("baresip", Opus, 96, Some((97, 8_000)), "198.51.100.30:29584", 20),
        ("lf-without-times", Pcmu, 0, None, "203.0.113.4:40000", 20),
        ("latin1-and-spaces", Pcma, 8, None, "203.0.113.5:5004", 20),
        ("version-beyond-64-bits", Pcmu, 0, Some((101, 8_000)), "203.0.113.6:31000", 20),
        ("blank-end-and-nul", Pcmu, 0, None, "203.0.113.7:5010", 20),
        ("hold-null-address", Pcmu, 0, None, "0.0.0.0:5012", 20),
        ("hold-sendonly", Pcmu, 0, None, "203.0.113.9:5014", 20),
        ("opus-on-101", Opus, 101, Some((96, 48_000)), "203.0.113.10:5016", 20),
        ("video-and-fax", G722, 9, Some((101, 8_000)), "203.0.113.11:5022", 20),
        ("osrtp", Pcmu, 0, None, "203.0.113.13:5032", 20),
        ("savp-then-avp", Pcmu, 0, None, "203.0.113.14:5036", 20),
        ("ptime-30", Pcma, 8, Some((101, 8_000)), "203.0.113.15:5042", 30),
        ("rtcp-elsewhere", Pcma, 8, None, "203.0.113.16:5044", 20),
        ("g722-16000", G722, 9, Some((101, 8_000)), "203.0.113.18:5046", 20),
        ("comfort-noise", Pcmu, 0, Some((101, 8_000)), "203.0.113.19:5048", 20),
        ("address-per-media", Pcma, 8, None, "203.0.113.21:5050", 20),
        ("wrong-order", Pcmu, 0, None, "203.0.113.25:5058", 20),
    ];
    for (name, codec, number, events, remote, packet_time) in stories {
        let (answer, session) = answered(&sample(name), SdpPolicy::default()).expect(name);
        assert_eq!((session.send_codec, session.send_payload_type), (codec, number), "{name}");
        assert_eq!(session.receive[..], [(number, codec)], "{name}");
        let sent = session.send_events.map(|it| (it.payload_type, it.clock_hz));
        assert_eq!(sent, events, "{name}");
        assert_eq!(session.remote_rtp.to_string(), remote, "{name}");
        assert_eq!(session.packet_time_ms, packet_time, "{name}");
        let offer = Description::parse(&sample(name)).expect(name);
        assert_eq!(answer.media.len(), offer.media.len(), "{name}");
    }
}

#[test]
fn field_samples_that_cannot_be_taken_are_refused_in_words() {
    let stories = [
        ("savp-only", "transport RTP/SAVP is not supported; offer RTP/AVP"),
        ("browser", "transport UDP/TLS/RTP/SAVPF is not supported; offer RTP/AVP"),
        ("ipv6", "media address is of the other address family"),
        ("host-name", "c= holds no unicast address"),
        ("fax-reinvite", "no audio stream offered"),
        ("low-rate-only", "no codec in common; offered: G729 G723 AMR-WB"),
    ];
    for (name, words) in stories {
        let refusal = answered(&sample(name), SdpPolicy::default()).expect_err(name);
        assert_eq!(refusal.to_string(), words, "{name}");
    }
}

#[test]
fn every_sample_has_a_story_and_a_verdict() {
    let stories = std::fs::read_to_string(samples().join("README.md")).expect("stories");
    let this = include_str!("tests.rs");
    for entry in std::fs::read_dir(samples()).expect("samples") {
        let name = entry.expect("entry").file_name().into_string().expect("UTF-8");
        if let Some(stem) = name.strip_suffix(".sdp") {
            assert!(stories.contains(&format!("- `{name}`: ")), "{name} has no story");
            assert!(this.contains(&format!("(\"{stem}\", ")), "{name} has no verdict");
        }
    }
}

#[test]
fn refused_lines_keep_their_place() {
    let (answer, _) = answered(&sample("video-and-fax"), SdpPolicy::default()).expect("usable");
    let shape: Vec<_> = answer.media.iter().map(|line| (line.kind.as_str(), line.port)).collect();
    let wanted = [("video", 0), ("audio", 20_000), ("image", 0), ("application", 0)];
    assert_eq!(shape, wanted);
}

#[test]
fn ipv6_is_answered_in_kind() {
    let local = "[2001:db8::1]:20000".parse().expect("address");
    let mut machine = OfferAnswer::new(local, SdpPolicy::default(), Rng::from_number(1));
    let answer = String::from_utf8(machine.answer(&sample("ipv6")).expect("usable")).expect("text");
    assert!(answer.contains("c=IN IP6 2001:db8::1\r\n"), "{answer}");
    let session = machine.session().expect("agreed");
    assert_eq!(session.remote_rtcp.to_string(), "[2001:db8::30]:5041");
}

#[test]
fn rtcp_goes_to_the_next_port_or_where_the_peer_says() {
    let rtcp = |name| {
        let (answer, session) = answered(&sample(name), SdpPolicy::default()).expect(name);
        (session.remote_rtcp.to_string(), answer.media[0].rtcp_mux)
    };
    assert_eq!(rtcp("asterisk16-chan-sip"), ("198.51.100.20:17439".to_owned(), false));
    assert_eq!(rtcp("rtcp-elsewhere"), ("203.0.113.17:53020".to_owned(), false));
    assert_eq!(rtcp("baresip"), ("198.51.100.30:29584".to_owned(), true));
}

#[test]
fn best_effort_srtp_falls_back_to_plain_rtp_without_a_word_of_keys() {
    let mut machine = machine(SdpPolicy::default());
    let answer =
        String::from_utf8(machine.answer(&sample("osrtp")).expect("usable")).expect("text");
    assert!(answer.contains("RTP/AVP 0\r\n") && !answer.contains("crypto"), "{answer}");
}

#[test]
fn the_order_of_codecs_is_ours_or_theirs_as_the_policy_says() {
    let offer = one_audio("8 0 9", "");
    let chosen = |codec_order, codecs: &[CodecKind]| {
        let codecs = codecs.to_vec();
        let policy = SdpPolicy { codec_order, codecs, ..SdpPolicy::default() };
        answered(&offer, policy).map(|(_, session)| session.send_codec)
    };
    use CodecKind::*;
    let all = [Opus, G722, Pcmu, Pcma];
    assert_eq!(chosen(CodecOrder::Ours, &all), Ok(G722));
    assert_eq!(chosen(CodecOrder::Peers, &all), Ok(Pcma));
    assert_eq!(chosen(CodecOrder::Peers, &[Pcmu]), Ok(Pcmu));
    assert!(chosen(CodecOrder::Ours, &[Opus]).is_err());
}

#[test]
fn packet_time_is_the_peers_wish_within_what_the_codec_can() {
    let ms = |formats, attributes| {
        let (answer, session) =
            answered(&one_audio(formats, attributes), SdpPolicy::default()).expect("usable");
        assert_eq!(answer.media[0].packet_time_ms, Some(session.packet_time_ms.into()));
        session.packet_time_ms
    };
    assert_eq!(ms("0", ""), 20);
    assert_eq!(ms("0", "a=ptime:10\r\n"), 10);
    assert_eq!(ms("0", "a=ptime:60\r\n"), 60);
    assert_eq!(ms("0", "a=ptime:120\r\n"), 60);
    assert_eq!(ms("0", "a=ptime:50\r\n"), 40);
    assert_eq!(ms("0", "a=ptime:5\r\n"), 10);
    assert_eq!(ms("0", "a=ptime:0\r\n"), 20);
    assert_eq!(ms("0", "a=ptime:40\r\na=maxptime:30\r\n"), 30);
    assert_eq!(ms("0", "a=maxptime:10\r\n"), 10);
    // libopus has no 30 ms frame.
    assert_eq!(ms("96", "a=rtpmap:96 opus/48000/2\r\na=ptime:30\r\n"), 20);
}

#[test]
fn directions_are_mirrored_and_a_null_address_counts_as_hold() {
    use MediaDirection::*;
    let cases = [
        ("sendrecv", "203.0.113.1", "sendrecv", SendRecv, false),
        ("sendonly", "203.0.113.1", "recvonly", RecvOnly, true),
        ("recvonly", "203.0.113.1", "sendonly", SendOnly, false),
        ("inactive", "203.0.113.1", "inactive", Inactive, true),
        ("sendrecv", "0.0.0.0", "recvonly", RecvOnly, true),
        ("recvonly", "0.0.0.0", "inactive", Inactive, true),
    ];
    for (said, address, answer, ours, held) in cases {
        let offer = format!("c=IN IP4 {address}\r\nm=audio 5000 RTP/AVP 0\r\na={said}\r\n");
        let mut machine = machine(SdpPolicy::default());
        let sdp = machine.answer(offer.as_bytes()).expect("usable");
        let line = Description::parse(&sdp).expect("ours").media.remove(0);
        assert_eq!(line.direction.name(), answer, "{said} {address}");
        assert_eq!(machine.session().map(|it| it.direction), Some(ours), "{said} {address}");
        assert_eq!(machine.is_held_by_peer(), held, "{said} {address}");
    }
}

#[test]
fn the_version_grows_by_one_exactly_when_something_changed() {
    let mut machine = machine(SdpPolicy::default());
    let mut origin = |offer: &[u8], hold| {
        machine.set_hold(hold);
        let answer = Description::parse(&machine.answer(offer).expect("usable")).expect("ours");
        (answer.origin.session_id, answer.origin.version)
    };
    let offer = one_audio("0", "");
    let first = origin(&offer, false);
    assert_eq!(origin(&offer, false), first);
    assert_eq!(origin(&offer, true), (first.0.clone(), first.1 + 1));
    assert_eq!(origin(&offer, true), (first.0.clone(), first.1 + 1));
    assert_eq!(origin(&offer, false), (first.0, first.1 + 2));
}

#[test]
fn a_second_offer_without_success_changes_nothing() {
    let mut machine = machine(SdpPolicy::default());
    machine.answer(&one_audio("8", "")).expect("usable");
    let before = machine.session().cloned();
    assert!(machine.answer(b"m=audio 5000 RTP/AVP 3\r\nc=IN IP4 203.0.113.1\r\n").is_err());
    machine.offer(OfferScope::Everything);
    assert!(machine.accept_answer(&one_audio("3", "")).is_err());
    machine.forget_offer();
    assert_eq!(machine.session().cloned(), before);
    assert!(!machine.is_pending());
}

#[test]
fn we_send_by_their_numbers_and_receive_by_ours() {
    let mut machine = machine(SdpPolicy::default());
    machine.offer(OfferScope::Everything);
    let answer = one_audio(
        "120 0 121",
        "a=rtpmap:120 opus/48000/2\r\na=rtpmap:121 telephone-event/48000\r\n",
    );
    machine.accept_answer(&answer).expect("usable");
    let session = machine.session().expect("agreed");
    assert_eq!((session.send_codec, session.send_payload_type), (CodecKind::Opus, 120));
    let receive = [(107, CodecKind::Opus), (0, CodecKind::Pcmu), (120, CodecKind::Opus)];
    assert_eq!(session.receive[..], receive);
    assert_eq!(session.send_events, Some(EventFormat { payload_type: 121, clock_hz: 48_000 }));
    assert_eq!(session.receive_events[..], [EventFormat { payload_type: 102, clock_hz: 48_000 }]);
}

#[test]
fn a_number_never_gets_two_meanings() {
    let mut machine = machine(SdpPolicy::default());
    machine.offer(OfferScope::Everything);
    // The peer calls Opus 101, which in our offer means telephone-event.
    let answer = one_audio("101", "a=rtpmap:101 opus/48000/2\r\n");
    machine.accept_answer(&answer).expect("usable");
    let session = machine.session().expect("agreed");
    assert_eq!(session.send_payload_type, 101);
    assert_eq!(session.receive[..], [(107, CodecKind::Opus)]);
}

#[test]
fn numbers_once_agreed_are_kept_in_later_offers_and_others_avoid_them() {
    let mut machine = machine(SdpPolicy::default());
    machine.answer(&sample("opus-on-101")).expect("usable");
    let offer = Description::parse(&machine.offer(OfferScope::Everything)).expect("ours");
    let line = &offer.media[0];
    let meanings: Vec<(u8, String)> = line
        .maps
        .iter()
        .map(|map| (map.payload_type, format!("{}/{}", map.name, map.clock_hz)))
        .collect();
    let wanted = [
        (101, "opus/48000"),
        (9, "G722/8000"),
        (0, "PCMU/8000"),
        (8, "PCMA/8000"),
        (97, "telephone-event/8000"),
        (96, "telephone-event/48000"),
    ];
    let wanted: Vec<(u8, String)> = wanted.map(|(number, name)| (number, name.into())).into();
    assert_eq!(meanings, wanted);
    // A dialog that gave 107 to telephone-event: Opus must look for another number.
    let odd = one_audio("0 107", "a=rtpmap:107 telephone-event/8000\r\n");
    machine.answer(&odd).expect("usable");
    let offer = Description::parse(&machine.offer(OfferScope::Everything)).expect("ours");
    let opus = offer.media[0].maps.iter().find(|map| map.name == "opus").expect("offered");
    assert_eq!(opus.payload_type, 96);
}

#[test]
fn an_answer_without_rtpmap_means_what_we_offered() {
    let mut machine = machine(SdpPolicy::default());
    machine.offer(OfferScope::Everything);
    machine.accept_answer(&one_audio("107 101", "")).expect("usable");
    let session = machine.session().expect("agreed");
    assert_eq!(session.send_codec, CodecKind::Opus);
    assert_eq!(session.send_events, Some(EventFormat { payload_type: 101, clock_hz: 8_000 }));
}

#[test]
fn our_offer_keeps_the_lines_of_the_dialog() {
    let mut machine = machine(SdpPolicy::default());
    machine.answer(&sample("video-and-fax")).expect("usable");
    let offer = Description::parse(&machine.offer(OfferScope::AsAgreed)).expect("ours");
    let shape: Vec<_> = offer.media.iter().map(|line| (line.kind.as_str(), line.port)).collect();
    assert_eq!(shape, [("video", 0), ("audio", 20_000), ("image", 0), ("application", 0)]);
}

#[test]
fn an_answer_that_refuses_the_audio_is_no_answer() {
    let mut machine = machine(SdpPolicy::default());
    assert_eq!(machine.accept_answer(&one_audio("0", "")), Err(OfferError::NothingOffered));
    machine.offer(OfferScope::Everything);
    let refused = b"c=IN IP4 203.0.113.1\r\nm=audio 0 RTP/AVP 0\r\n";
    assert_eq!(machine.accept_answer(refused), Err(OfferError::AnswerShape));
    let other = b"c=IN IP4 203.0.113.1\r\nm=video 5000 RTP/AVP 97\r\n";
    assert_eq!(machine.accept_answer(other), Err(OfferError::AnswerShape));
    assert!(machine.is_pending());
}

#[test]
fn mutated_descriptions_never_panic_and_every_answer_fits_its_offer() {
    let mut rng = Rng::from_number(0x5dd);
    let names = std::fs::read_dir(samples()).expect("samples");
    let mut names: Vec<PathBuf> = names.map(|entry| entry.expect("entry").path()).collect();
    names.sort();
    let seeds: Vec<Vec<u8>> = names
        .iter()
        .filter(|path| path.extension().is_some_and(|it| it == "sdp"))
        .map(|path| std::fs::read(path).expect("sample"))
        .collect();
    let mut talking = machine(SdpPolicy::default());
    let mut taken = 0_u32;
    for _ in 0..mutations() {
        let mut bytes = seeds[rng.below(seeds.len() as u32) as usize].clone();
        for _ in 0..=rng.below(6) {
            mutate(&mut bytes, &seeds, &mut rng);
        }
        let offer = Description::parse(&bytes);
        if let Ok(answer) = talking.answer(&bytes) {
            taken += 1;
            let answer = Description::parse(&answer).expect("ours is readable");
            let offer = offer.expect("an answered offer is readable");
            assert_eq!(answer.media.len(), offer.media.len());
            assert_eq!(answer.media.iter().filter(|line| line.port != 0).count(), 1);
        }
        if rng.below(4) == 0 {
            talking.offer(OfferScope::Everything);
            let _ = talking.accept_answer(&bytes);
            talking.forget_offer();
        }
        if rng.below(50) == 0 {
            talking = machine(SdpPolicy::default());
        }
    }
    assert!(taken > mutations() / 10, "only {taken} were usable: the mutations are too wild");
}

/// 20,000 by default; `MUTATIONS=1000000` for the long run.
fn mutations() -> u32 {
    std::env::var("MUTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut Rng) {
    let place = rng.below(bytes.len() as u32) as usize;
    match rng.below(6) {
        _ if bytes.is_empty() => bytes.push(rng.u32() as u8),
        0 => bytes[place] = rng.u32() as u8,
        1 => drop(bytes.drain(place..(place + 1 + rng.below(12) as usize).min(bytes.len()))),
        2 => bytes.insert(place, b"0123456789 =:/;\r\n-"[rng.below(18) as usize]),
        3 => bytes.truncate(place),
        4 => {
            let other = &seeds[rng.below(seeds.len() as u32) as usize];
            let from = rng.below(other.len() as u32) as usize;
            let to = (from + 1 + rng.below(60) as usize).min(other.len());
            bytes.splice(place..place, other[from..to].iter().copied());
        }
        _ => {
            let to = (place + 1 + rng.below(40) as usize).min(bytes.len());
            let copy = bytes[place..to].to_vec();
            bytes.splice(place..place, copy);
        }
    }
}

fn srtp(srtp: Srtp) -> SdpPolicy {
    SdpPolicy { srtp, ..SdpPolicy::default() }
}

fn text(sdp: Vec<u8>) -> String {
    String::from_utf8(sdp).expect("ours is text")
}

/// Values of the crypto lines.
fn crypto_of(sdp: &str) -> Vec<&str> {
    sdp.lines().filter_map(|line| line.strip_prefix("a=crypto:")).collect()
}

const THEIR_KEY: &str = "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

/// An offer or answer by this transport with these crypto lines.
fn with_crypto(transport: &str, lines: &[&str]) -> Vec<u8> {
    let lines: String = lines.iter().map(|line| format!("a=crypto:{line}\r\n")).collect();
    format!(
        "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
         m=audio 4000 {transport} 8\r\n{lines}"
    )
    .into_bytes()
}

#[test]
fn keys_are_answered_under_their_tag_and_transport() {
    let known = format!("7 AES_CM_128_HMAC_SHA1_80 {THEIR_KEY}|2^31");
    let unknown = format!("1 F8_128_HMAC_SHA1_80 {THEIR_KEY}");
    let with_mki = format!("2 AES_CM_128_HMAC_SHA1_80 {THEIR_KEY}|2^20|1:4");
    let open = format!("3 AES_CM_128_HMAC_SHA1_80 {THEIR_KEY} UNENCRYPTED_SRTCP");
    let lines = [unknown.as_str(), &with_mki, &open, &known];
    for (transport, wanted) in
        [("RTP/SAVP", Srtp::Required), ("RTP/SAVP", Srtp::Optional), ("RTP/AVP", Srtp::Optional)]
    {
        let mut machine = machine(srtp(wanted));
        let answer = text(machine.answer(&with_crypto(transport, &lines)).expect("usable"));
        assert!(answer.contains(&format!("m=audio 20000 {transport} 8")), "{answer}");
        let ours = crypto_of(&answer);
        assert!(ours.len() == 1 && ours[0].starts_with("7 AES_CM_128_HMAC_SHA1_80 inline:"));
        assert!(!answer.contains(THEIR_KEY), "a key of our own");
        let keys = machine.session().and_then(|it| it.srtp.clone()).expect("keys");
        assert_eq!(keys.receive.bytes().len(), 30);
        assert_ne!(keys.send, keys.receive);
        assert!(!format!("{keys:?}{machine:?}").contains("d0Rmdm"), "keys are not printed");
        // The same offer again changes nothing: neither keys nor the version.
        assert_eq!(text(machine.answer(&with_crypto(transport, &lines)).expect("usable")), answer);
        let rekeyed = known.replace("d0Rm", "e0Rm");
        machine.answer(&with_crypto(transport, &[&rekeyed])).expect("usable");
        let renewed = machine.session().and_then(|it| it.srtp.clone()).expect("keys");
        assert_eq!(renewed.send, keys.send);
        assert_ne!(renewed.receive, keys.receive);
    }
}

#[test]
fn without_a_key_in_common_what_needs_one_is_refused() {
    let unknown = format!("1 F8_128_HMAC_SHA1_80 {THEIR_KEY}");
    let short = "1 AES_CM_128_HMAC_SHA1_80 inline:d0Rm";
    let not_base64 = "1 AES_CM_128_HMAC_SHA1_80 inline:????";
    for (transport, lines, wanted) in [
        ("RTP/SAVP", &[unknown.as_str()][..], Srtp::Required),
        ("RTP/SAVP", &[short], Srtp::Optional),
        ("RTP/SAVP", &[not_base64, "", "1", "x y z"], Srtp::Optional),
        ("RTP/SAVP", &[], Srtp::Optional),
        ("RTP/AVP", &[], Srtp::Required),
    ] {
        let refusal = machine(srtp(wanted)).answer(&with_crypto(transport, lines));
        assert_eq!(refusal, Err(OfferError::NoKeys), "{transport} {lines:?} {wanted:?}");
    }
    let plain = machine(srtp(Srtp::Optional)).answer(&with_crypto("RTP/AVP", &[&unknown]));
    assert!(crypto_of(&text(plain.expect("falls back"))).is_empty());
}

#[test]
fn our_offer_puts_up_keys_and_takes_the_one_that_was_chosen() {
    for (wanted, transport) in [(Srtp::Optional, "RTP/AVP"), (Srtp::Required, "RTP/SAVP")] {
        let mut machine = machine(srtp(wanted));
        let offer = text(machine.offer(OfferScope::Everything));
        assert!(offer.contains(&format!("m=audio 20000 {transport} ")), "{offer}");
        let ours = crypto_of(&offer);
        assert_eq!(ours.len(), 4, "{offer}");
        assert!(ours[0].starts_with("1 AES_CM_128_HMAC_SHA1_80 inline:"));
        let chosen = format!("4 AES_CM_128_HMAC_SHA1_32 {THEIR_KEY}");
        machine.accept_answer(&with_crypto(transport, &[&chosen])).expect("good");
        let keys = machine.session().and_then(|it| it.srtp.clone()).expect("keys");
        assert_eq!(keys.send.profile(), SrtpProfile::AesCm128Sha1_32);
        // A hold within the dialog keeps transport and keys.
        machine.set_hold(true);
        let held = text(machine.offer(OfferScope::AsAgreed));
        assert!(held.contains(&format!("m=audio 20000 {transport} ")), "{held}");
        assert_eq!(crypto_of(&held), ours);
    }
}

#[test]
fn an_answer_without_keys_falls_back_or_ends() {
    let mut optional = machine(srtp(Srtp::Optional));
    optional.offer(OfferScope::Everything);
    optional.accept_answer(&with_crypto("RTP/AVP", &[])).expect("plain RTP");
    assert_eq!(optional.session().map(|it| it.srtp.is_some()), Some(false));
    let again = text(optional.offer(OfferScope::AsAgreed));
    assert!(crypto_of(&again).is_empty() && again.contains("RTP/AVP"), "{again}");
    let wrong_tag = format!("9 AES_CM_128_HMAC_SHA1_80 {THEIR_KEY}");
    let wrong_suite = format!("1 AES_CM_128_HMAC_SHA1_32 {THEIR_KEY}");
    for (transport, line, error) in [
        ("RTP/AVP", None, OfferError::AnswerShape),
        ("RTP/SAVP", None, OfferError::NoKeys),
        ("RTP/SAVP", Some(&wrong_tag), OfferError::NoKeys),
        ("RTP/SAVP", Some(&wrong_suite), OfferError::NoKeys),
    ] {
        let mut required = machine(srtp(Srtp::Required));
        required.offer(OfferScope::Everything);
        let lines: Vec<&str> = line.into_iter().map(String::as_str).collect();
        let refused = required.accept_answer(&with_crypto(transport, &lines));
        assert_eq!(refused, Err(error), "{transport} {lines:?}");
        assert!(required.session().is_none());
    }
}

#[test]
fn two_of_us_agree_on_keys() {
    let mut caller = machine(srtp(Srtp::Required));
    let local = "192.0.2.2:20000".parse().expect("address");
    let mut called = OfferAnswer::new(local, srtp(Srtp::Optional), Rng::from_number(2));
    let offer = caller.offer(OfferScope::Everything);
    let answer = called.answer(&offer).expect("usable");
    caller.accept_answer(&answer).expect("good");
    let keys = |machine: &OfferAnswer| machine.session().and_then(|it| it.srtp.clone());
    let (caller, called) = (keys(&caller).expect("keys"), keys(&called).expect("keys"));
    assert_eq!((caller.send, caller.receive), (called.receive, called.send));
}
