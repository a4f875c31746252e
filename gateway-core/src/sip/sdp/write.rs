//! Our own descriptions as text, in the order that old parsers expect (RFC 8866 §5): `v o s c t m a`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sdp_types::{Session, Time};

use super::{Connection, Crypto, Description, Media};

pub(super) fn description(ours: &Description) -> Vec<u8> {
    let mut origin = sdp_types::Origin::with_ip_addr(
        &ours.origin.session_id,
        ours.origin.version,
        ours.origin.address,
    );
    origin.set_username(NAME);
    let mut session = Session::new(origin, NAME);
    session.set_connection(sdp_types::Connection::from_ip_addr(ours.origin.address));
    session.add_time(Time::new(0, 0));
    for line in &ours.media {
        session.add_media(media(line, ours));
    }
    let mut text = Vec::with_capacity(512);
    session.write(&mut text).expect("writing into a Vec cannot fail");
    text
}

fn media(line: &Media, ours: &Description) -> sdp_types::Media {
    let mut media = sdp_types::Media {
        media: line.kind.clone(),
        port: line.port,
        num_ports: None,
        proto: line.protocol.clone(),
        fmt: line.formats.join(" "),
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::new(),
    };
    if line.port == 0 {
        return media;
    }
    if let Connection::Address(address) = line.connection
        && address != ours.origin.address
    {
        media.add_connection(sdp_types::Connection::from_ip_addr(address));
    }
    for map in &line.maps {
        let channels = if map.channels > 1 { format!("/{}", map.channels) } else { String::new() };
        let mapped = format!("{} {}/{}{channels}", map.payload_type, map.name, map.clock_hz);
        media.add_attribute_with_value("rtpmap", mapped);
        if !map.parameters.is_empty() {
            let parameters = format!("{} {}", map.payload_type, map.parameters);
            media.add_attribute_with_value("fmtp", parameters);
        }
    }
    if let Some(packet_time) = line.packet_time_ms {
        media.add_attribute_with_value("ptime", packet_time);
    }
    if let Some(most) = line.packet_time_ms_max {
        media.add_attribute_with_value("maxptime", most);
    }
    if line.rtcp_mux {
        media.add_attribute_from_str("rtcp-mux");
    }
    for Crypto { tag, suite, key } in &line.crypto {
        let key = BASE64.encode(key.reveal());
        media.add_attribute_with_value("crypto", format!("{tag} {suite} inline:{key}"));
    }
    media.add_attribute_from_str(line.direction.name());
    media
}

/// User name of `o=` and text of `s=`.
const NAME: &str = "weebee";
