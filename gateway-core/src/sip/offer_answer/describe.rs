//! Our audio line as a description.

use std::net::SocketAddr;

use super::choose::{Choice, Format};
use super::{SdpPolicy, choose};
use crate::sip::sdp::{Connection, Direction, FormatMap, Media};

/// The audio line of an answer: the chosen formats under the offerer's numbers.
pub(super) fn answer(
    local: SocketAddr,
    choice: &Choice,
    offer: &Media,
    direction: Direction,
) -> Media {
    let mut formats = vec![(choice.send_payload_type, Format::Codec(choice.codec))];
    let noise = choice.comfort_noise.map(|number| (number, Format::ComfortNoise));
    let events =
        choice.receive_events.iter().map(|it| (it.payload_type, Format::Events(it.clock_hz)));
    formats.extend(noise.into_iter().chain(events));
    let mut media = audio(local, &formats, choice.packet_time_ms, direction);
    // A number keeps the offerer's spelling (G722/16000): the peer compares it with its own.
    for map in &mut media.maps {
        if let Some(theirs) = offer.map(map.payload_type) {
            map.clock_hz = theirs.clock_hz;
            if choose::codec_of(theirs).is_some() {
                map.channels = theirs.channels;
            }
        }
    }
    media.protocol.clone_from(&offer.protocol);
    media.crypto = choice.srtp.iter().map(|agreed| agreed.line.clone()).collect();
    media.rtcp_mux = choice.rtcp_mux;
    media
}

/// The audio line of an offer.
pub(super) fn offer(
    local: SocketAddr,
    formats: &[(u8, Format)],
    policy: &SdpPolicy,
    direction: Direction,
) -> Media {
    audio(local, formats, policy.packet_time_ms, direction)
}

fn audio(
    local: SocketAddr,
    formats: &[(u8, Format)],
    packet_time_ms: u8,
    direction: Direction,
) -> Media {
    Media {
        kind: "audio".to_owned(),
        port: local.port(),
        protocol: "RTP/AVP".to_owned(),
        formats: formats.iter().map(|(number, _)| number.to_string()).collect(),
        maps: formats.iter().map(|(number, format)| map(*number, *format)).collect(),
        connection: Connection::Address(local.ip()),
        direction,
        packet_time_ms: Some(packet_time_ms.into()),
        packet_time_ms_max: Some(PACKET_TIME_MS_MAX),
        rtcp: None,
        rtcp_mux: false,
        crypto: Vec::new(),
    }
}

fn map(payload_type: u8, format: Format) -> FormatMap {
    let (name, clock_hz, channels, parameters) = match format {
        Format::Codec(kind) => {
            let row = kind.row();
            let parameters = if row.name == "opus" { OPUS_PARAMETERS } else { "" };
            (row.name, row.clock_hz, row.channels, parameters)
        }
        Format::Events(clock_hz) => ("telephone-event", clock_hz, 1, EVENTS),
        Format::ComfortNoise => ("CN", 8_000, 1, ""),
    };
    FormatMap {
        payload_type,
        name: name.to_owned(),
        clock_hz,
        channels,
        parameters: parameters.to_owned(),
    }
}

/// Longest packet we take, in ms.
const PACKET_TIME_MS_MAX: u16 = 60;
/// In-band FEC is used when loss is reported (RFC 7587 §7.1); 10 ms packets are understood.
const OPUS_PARAMETERS: &str = "minptime=10;useinbandfec=1";
/// The sixteen keys, without flash (RFC 4733 §2.4.1).
const EVENTS: &str = "0-15";
