use super::header::{self, RtpHeader};
use super::rtcp::{self, Report, ReportBlock, RtcpPacket, SenderFacts};
use super::*;
use crate::base::rng::Rng;

const HEADER: RtpHeader =
    RtpHeader { payload_type: 107, marker: true, sequence: 65_535, timestamp: u32::MAX, ssrc: 7 };

fn block() -> ReportBlock {
    ReportBlock {
        ssrc: 9,
        fraction_lost: 3,
        cumulative_lost: -2,
        highest_sequence: 0x0001_0005,
        jitter: 44,
        last_sender_report: 5,
        delay_since: 6,
    }
}

fn full_report() -> Report<'static> {
    let sender =
        SenderFacts { ntp: 0x0102_0304_0506_0708, rtp_timestamp: 1, packets: 2, octets: 3 };
    Report {
        ssrc: 7,
        sender: Some(sender),
        block: Some(block()),
        cname: "w4tch@gateway",
        goodbye: true,
    }
}

#[test]
fn a_packet_survives_the_wire() {
    let mut bytes = [0; 200];
    let length = header::write(HEADER, &[1, 2, 3], &mut bytes).unwrap();
    assert_eq!(length, header::HEADER_BYTES + 3);
    assert_eq!(header::parse(&bytes[..length]), Ok((HEADER, &[1, 2, 3][..])));
    assert_eq!(header::write(HEADER, &[0; 200], &mut bytes), None);
}

#[test]
fn csrc_extension_and_padding_are_taken_off() {
    let mut bytes = vec![0xb1, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
    bytes.extend([0, 0, 0, 9]); // one CSRC
    bytes.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]); // one word of extension
    bytes.extend([42, 43, 0, 0, 3]); // payload and three bytes of padding
    assert_eq!(header::parse(&bytes).unwrap().1, &[42, 43]);
    bytes.truncate(20);
    assert_eq!(header::parse(&bytes), Err(WireError::MalformedRtp));
}

#[test]
fn a_report_survives_the_wire() {
    let mut bytes = [0; 256];
    let length = rtcp::write(&full_report(), &mut bytes).unwrap();
    let mut seen = Vec::new();
    rtcp::parse(&bytes[..length], &mut |packet| seen.push(packet)).unwrap();
    let blocks = [block()].into_iter().collect();
    assert_eq!(
        seen,
        [
            RtcpPacket::Report { ssrc: 7, sender: full_report().sender, blocks },
            RtcpPacket::Other,
            RtcpPacket::Bye(Some(7)),
        ]
    );
}

/// The crate's own parser, which did not write these bytes, agrees about the name.
#[test]
fn the_cname_is_readable_by_others_at_every_length() {
    for length in 0..=8 {
        let name = "abcdefgh".get(..length).unwrap();
        let report = Report { cname: name, sender: None, goodbye: false, ..full_report() };
        let mut bytes = [0; 256];
        let written = rtcp::write(&report, &mut bytes).unwrap();
        let compound = rtcp_types::Compound::parse(&bytes[..written]).unwrap();
        let names: Vec<String> = compound
            .filter_map(|packet| match packet.unwrap() {
                rtcp_types::Packet::Sdes(sdes) => Some(
                    sdes.chunks()
                        .flat_map(|chunk| chunk.items())
                        .map(|item| item.get_value_string().unwrap())
                        .collect::<String>(),
                ),
                _ => None,
            })
            .collect();
        assert_eq!(names, [name]);
    }
}

#[test]
fn the_first_bytes_tell_the_kinds_apart() {
    assert_eq!(datagram_kind(&[0x80, 0]), DatagramKind::Rtp);
    assert_eq!(datagram_kind(&[0x80, 0x80 | 107]), DatagramKind::Rtp);
    assert_eq!(datagram_kind(&[0x81, 200]), DatagramKind::Rtcp);
    assert_eq!(datagram_kind(&[0, 1, 0, 0]), DatagramKind::Other);
    assert_eq!(datagram_kind(&[22, 254]), DatagramKind::Other);
    assert_eq!(datagram_kind(&[0x80]), DatagramKind::Other);
    assert_eq!(datagram_kind(&[]), DatagramKind::Other);
}

/// Mutated packets give values or errors, never a panic, and never a payload beyond the datagram.
#[test]
fn mutations_do_no_harm() {
    let mut rng = Rng::from_number(3550);
    let mut rtp = [0; 200];
    let rtp_length = header::write(HEADER, &[7; 160], &mut rtp).unwrap();
    let mut reports = [0; 256];
    let reports_length = rtcp::write(&full_report(), &mut reports).unwrap();
    let (mut accepted, mut refused) = (0_u32, 0_u32);
    for round in 0..400_000 {
        let mut bytes = if round % 2 == 0 {
            rtp[..rtp_length].to_vec()
        } else {
            reports[..reports_length].to_vec()
        };
        mutate(&mut bytes, &mut rng);
        match header::parse(&bytes) {
            Ok((_, payload)) => {
                assert!(payload.len() + header::HEADER_BYTES <= bytes.len());
                accepted += 1;
            }
            Err(_) => refused += 1,
        }
        let _ = rtcp::parse(&bytes, &mut |_| ());
    }
    assert!(accepted > 1_000 && refused > 1_000, "accepted {accepted}, refused {refused}");
}

fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..=rng.below(4) {
        let length = bytes.len() as u32;
        let place = rng.below(length) as usize;
        match rng.below(4) {
            0 if !bytes.is_empty() => bytes[place] = rng.u32() as u8,
            1 if !bytes.is_empty() => bytes[place] ^= 1 << rng.below(8),
            2 => bytes.truncate(place),
            _ => bytes.extend(std::iter::repeat_n(rng.u32() as u8, rng.below(40) as usize)),
        }
    }
}
