//! Reading and writing descriptions; what offer/answer makes of the field samples is tested there.

use super::*;

fn parse(text: &str) -> Description {
    Description::parse(text.as_bytes()).expect("readable")
}

const PLAIN: &str = "v=0\r\no=- 1 2 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 5000 RTP/AVP 0\r\n";

#[test]
fn what_we_write_reads_back_as_the_same_value() {
    let map = |payload_type, name: &str, clock_hz, channels, parameters: &str| FormatMap {
        payload_type,
        name: name.to_owned(),
        clock_hz,
        channels,
        parameters: parameters.to_owned(),
    };
    for address in ["192.0.2.1", "2001:db8::1"] {
        let address: IpAddr = address.parse().expect("address");
        let audio = Media {
            kind: "audio".to_owned(),
            port: 20_000,
            protocol: "RTP/AVP".to_owned(),
            formats: vec!["107".to_owned(), "101".to_owned()],
            maps: vec![
                map(107, "opus", 48_000, 2, "minptime=10;useinbandfec=1"),
                map(101, "telephone-event", 8_000, 1, "0-15"),
            ],
            connection: Connection::Address(address),
            direction: Direction::SendOnly,
            packet_time_ms: Some(20),
            packet_time_ms_max: Some(60),
            rtcp: None,
            rtcp_mux: true,
            crypto: Vec::new(),
        };
        let origin = Origin { session_id: "77".to_owned(), version: 3, address };
        let ours = Description { origin, media: vec![audio] };
        assert_eq!(Description::parse(&ours.to_bytes()), Ok(ours));
    }
}

#[test]
fn our_text_has_the_lines_that_old_parsers_want_in_their_order() {
    let text = String::from_utf8(parse(PLAIN).to_bytes()).expect("UTF-8");
    let keys: String = text.lines().map(|line| &line[..1]).collect();
    assert_eq!(keys, "vosctmaa");
    assert!(text.lines().all(|line| !line.is_empty()) && text.ends_with("\r\n"), "{text}");
}

#[test]
fn a_refused_line_keeps_its_kind_protocol_and_formats() {
    let video = parse(&format!("{PLAIN}m=video 5002 RTP/AVP 97 98\r\na=rtpmap:97 H264/90000\r\n"));
    let mut answer = video.clone();
    answer.media[1] = video.media[1].refused();
    let text = String::from_utf8(answer.to_bytes()).expect("UTF-8");
    assert!(text.ends_with("m=video 0 RTP/AVP 97 98\r\n"), "{text}");
}

#[test]
fn line_ends_blank_lines_and_missing_lines_are_mended() {
    let wanted = parse(PLAIN).media;
    for sin in [
        PLAIN.replace("\r\n", "\n"),
        PLAIN.replace("\r\n", "\r"),
        PLAIN.replace("t=0 0\r\n", ""),
        PLAIN.replace("s=-\r\n", ""),
        PLAIN.replace("s=-\r\n", "s=\r\n"),
        PLAIN.replace("v=0\r\n", ""),
        PLAIN.replace("t=0 0\r\n", "t=0 -1\r\nr=x\r\nb=what\r\nz=1\r\n\r\n"),
        PLAIN.replace("o=- 1 2 IN IP4 192.0.2.9\r\n", ""),
        PLAIN.replace("o=- 1 2 IN IP4 192.0.2.9", "o=broken"),
        PLAIN.trim_end().to_owned(),
        format!("{PLAIN}\r\n\r\n\0"),
        format!("\u{feff}{PLAIN}"),
        format!("{PLAIN}garbage\r\n=x\r\n"),
    ] {
        assert_eq!(
            Description::parse(sin.as_bytes()).map(|it| it.media),
            Ok(wanted.clone()),
            "{sin:?}"
        );
    }
}

#[test]
fn odd_origins_keep_what_can_be_kept() {
    let origin = |line: &str| parse(&PLAIN.replace("o=- 1 2 IN IP4 192.0.2.9", line)).origin;
    let spaced = origin("o=Main Office 5 6 IN IP4 192.0.2.3");
    assert_eq!((spaced.session_id.as_str(), spaced.version), ("5", 6));
    assert_eq!(
        origin("o=- 1 12345678901234567890123 IN IP4 192.0.2.3").version,
        678_901_234_567_890_123
    );
    assert_eq!(origin("o=- 1 2").version, 0);
    assert_eq!(origin("o=- 1 -7 IN IP4 192.0.2.3").version, 7);
}

#[test]
fn latin_1_is_read_and_harms_nothing_after_it() {
    let mut bytes = PLAIN.replace("s=-", "s=M?nchen").into_bytes();
    let place = bytes.iter().position(|byte| *byte == b'?').expect("there is one");
    bytes[place] = 0xfc;
    assert_eq!(Description::parse(&bytes).map(|it| it.media.len()), Ok(1));
}

#[test]
fn payload_types_mean_what_the_sdp_says_and_only_else_what_the_table_says() {
    let text = PLAIN.replace("AVP 0", "AVP 101 0 9 96 200 x")
        + "a=rtpmap:101 opus/48000/2\r\na=rtpmap:0 PCMA/8000\r\na=fmtp:101 a=1; B = 2\r\n";
    let media = parse(&text).media.remove(0);
    let numbers: Vec<u8> = media.maps.iter().map(|map| map.payload_type).collect();
    assert_eq!(numbers, [101, 0, 9]);
    let meanings: Vec<&str> = media.maps.iter().map(|map| map.name.as_str()).collect();
    assert_eq!(meanings, ["opus", "PCMA", "G722"]);
    assert_eq!(media.map(101).and_then(|map| map.parameter("b")), Some("2"));
    assert_eq!(media.formats.len(), 6);
}

#[test]
fn attributes_of_the_session_hold_until_a_media_line_says_otherwise() {
    let text = PLAIN.replace("t=0 0\r\n", "t=0 0\r\na=inactive\r\na=ptime:30\r\n")
        + "m=audio 5002 RTP/AVP 0\r\nc=IN IP4 192.0.2.77\r\na=SendOnly\r\na=ptime:40 \r\n";
    let media = parse(&text).media;
    assert_eq!((media[0].direction, media[0].packet_time_ms), (Direction::Inactive, Some(30)));
    assert_eq!((media[1].direction, media[1].packet_time_ms), (Direction::SendOnly, Some(40)));
    let address = "192.0.2.77".parse().expect("address");
    assert_eq!(media[1].connection, Connection::Address(address));
}

#[test]
fn host_names_multicast_and_nothing_are_no_address() {
    for line in ["c=IN IP4 media.example.net\r\n", "c=IN IP4 224.2.1.1/127\r\n", "", "c=IN\r\n"] {
        let media = parse(&PLAIN.replace("c=IN IP4 192.0.2.9\r\n", line)).media;
        assert_eq!(media[0].connection, Connection::Unusable, "{line:?}");
    }
}

#[test]
fn limits_are_kept() {
    let long = format!("{PLAIN}{}", "a=x:y\r\n".repeat(SDP_BYTES_MAX / 7));
    assert_eq!(Description::parse(long.as_bytes()), Err(SdpError::TooLarge));
    let wide = format!("{PLAIN}{}", "m=video 1 RTP/AVP 9\r\n".repeat(SDP_MEDIA_MAX));
    assert_eq!(Description::parse(wide.as_bytes()), Err(SdpError::TooLarge));
    let formats = PLAIN.replace("AVP 0", &format!("AVP{}", " 0".repeat(10_000)));
    assert!(parse(&formats).media[0].formats.len() <= 64);
}

#[test]
fn what_nobody_can_read_is_refused_with_its_line() {
    assert_eq!(Description::parse(b""), Err(SdpError::NoMedia));
    assert_eq!(Description::parse(b"\xff\xfe\x00"), Err(SdpError::NoMedia));
    let text = PLAIN.replace("audio 5000", "audio five");
    assert_eq!(Description::parse(text.as_bytes()), Err(SdpError::Unreadable(4)));
    let text = PLAIN.replace("audio 5000 RTP/AVP 0", "audio 70000 RTP/AVP 0");
    assert_eq!(Description::parse(text.as_bytes()), Err(SdpError::Unreadable(4)));
}
