//! From `sdp-types` to our values: attributes are given their meaning here, and what is malformed is left out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sdp_types::{Attribute, ParserError, Session};

use super::{Connection, Crypto, Description, Direction, FormatMap, Media, Origin, SdpError};
use crate::base::limits::{SDP_FORMATS_MAX, SDP_MEDIA_MAX};
use crate::base::pii::Pii;

pub(super) fn description(mended: &str) -> Result<Description, SdpError> {
    let session = Session::parse(mended.as_bytes()).map_err(|error| unreadable(&error))?;
    if session.medias.is_empty() {
        return Err(SdpError::NoMedia);
    }
    if session.medias.len() > SDP_MEDIA_MAX {
        return Err(SdpError::TooLarge);
    }
    let origin = Origin {
        session_id: session.origin.sess_id.clone(),
        version: session.origin.sess_version,
        address: address(&session.origin.unicast_address).unwrap_or(UNSPECIFIED),
    };
    let shared = Shared {
        connection: session.connection.as_ref().map(connection),
        direction: direction(&session.attributes),
        attributes: &session.attributes,
    };
    let media = session.medias.iter().map(|line| media(line, &shared)).collect();
    Ok(Description { origin, media })
}

/// What a media line inherits from the session.
struct Shared<'a> {
    connection: Option<Connection>,
    direction: Option<Direction>,
    attributes: &'a [Attribute],
}

fn media(line: &sdp_types::Media, shared: &Shared<'_>) -> Media {
    let formats: Vec<String> =
        line.fmt.split_whitespace().take(SDP_FORMATS_MAX).map(str::to_owned).collect();
    let own = &line.attributes;
    let connection = line.connections.first().map(connection).or(shared.connection);
    // ptime, rtcp-mux and direction may stand at session level (RFC 8866 §6); the media line's word is stronger.
    let number = |name| number(own, name).or_else(|| number(shared.attributes, name));
    Media {
        kind: line.media.to_ascii_lowercase(),
        port: line.port,
        protocol: line.proto.to_ascii_uppercase(),
        maps: maps(&formats, own),
        formats,
        connection: connection.unwrap_or(Connection::Unusable),
        direction: direction(own).or(shared.direction).unwrap_or(Direction::SendRecv),
        packet_time_ms: number("ptime"),
        packet_time_ms_max: number("maxptime"),
        rtcp: value(own, "rtcp").and_then(rtcp),
        rtcp_mux: has(own, "rtcp-mux"),
        crypto: own.iter().filter_map(crypto).take(CRYPTO_MAX).collect(),
    }
}

/// Meaning of each payload type: `a=rtpmap` first, else the static table of RFC 3551.
fn maps(formats: &[String], attributes: &[Attribute]) -> Vec<FormatMap> {
    let mut named = BTreeMap::new();
    let mut parameters = BTreeMap::new();
    for attribute in attributes {
        let Some((number, rest)) = attribute.value.as_deref().and_then(number_and_rest) else {
            continue;
        };
        if attribute.attribute.eq_ignore_ascii_case("rtpmap") {
            if let Some(map) = rtpmap(number, rest) {
                named.entry(number).or_insert(map);
            }
        } else if attribute.attribute.eq_ignore_ascii_case("fmtp") {
            parameters.entry(number).or_insert_with(|| rest.to_owned());
        }
    }
    let mut maps: Vec<FormatMap> = Vec::new();
    for number in formats.iter().filter_map(|format| payload_type(format)) {
        let Some(mut map) = named.get(&number).cloned().or_else(|| static_map(number)) else {
            continue;
        };
        if maps.iter().any(|known| known.payload_type == number) {
            continue;
        }
        map.parameters = parameters.get(&number).cloned().unwrap_or_default();
        maps.push(map);
    }
    maps
}

/// `96 opus/48000/2` without the number. Spaces round the slashes are forgiven.
fn rtpmap(payload_type: u8, text: &str) -> Option<FormatMap> {
    let mut fields = text.split('/').map(str::trim);
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    let clock_hz = leading_digits(fields.next()?)?;
    let channels = fields.next().and_then(|channels| channels.parse().ok()).unwrap_or(1);
    Some(FormatMap { payload_type, name, clock_hz, channels, parameters: String::new() })
}

/// Static payload types that are still met (RFC 3551 §6).
fn static_map(payload_type: u8) -> Option<FormatMap> {
    let name = match payload_type {
        0 => "PCMU",
        3 => "GSM",
        4 => "G723",
        8 => "PCMA",
        9 => "G722",
        13 => "CN",
        15 => "G728",
        18 => "G729",
        _ => return None,
    };
    let name = name.to_owned();
    Some(FormatMap { payload_type, name, clock_hz: 8_000, channels: 1, parameters: String::new() })
}

/// `5005` or `5005 IN IP4 192.0.2.1`.
fn rtcp(text: &str) -> Option<(u16, Option<IpAddr>)> {
    let mut fields = text.split_whitespace();
    let port = fields.next()?.parse().ok()?;
    Some((port, fields.nth(2).and_then(address)))
}

/// `1 AES_CM_128_HMAC_SHA1_80 inline:BASE64|2^31`. `None`: another attribute, or one that asks for what we lack: several keys,
/// an MKI, a packet left in the clear.
fn crypto(attribute: &Attribute) -> Option<Crypto> {
    if !attribute.attribute.trim().eq_ignore_ascii_case("crypto") {
        return None;
    }
    let mut words = attribute.value.as_deref()?.split_whitespace();
    let tag = words.next()?.parse().ok()?;
    let suite = words.next()?.to_ascii_uppercase();
    let inline = words.next()?;
    let (method, key) = inline.split_once(':')?;
    let mut parts = key.split('|');
    let key = parts.next()?;
    let has_mki = parts.any(|part| part.contains(':'));
    if !method.eq_ignore_ascii_case("inline") || inline.contains(';') || has_mki {
        return None;
    }
    // Session parameters: one that begins with a dash may be passed over (RFC 4568 §6.3.7); a window is a hint.
    let asks =
        words.any(|word| !(word.starts_with('-') || word.to_ascii_uppercase().starts_with("WSH=")));
    if asks {
        return None;
    }
    // Seen without its padding.
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let key = GeneralPurpose::new(&STANDARD, lenient).decode(key).ok()?;
    Some(Crypto { tag, suite, key: Pii::new(key) })
}

fn connection(line: &sdp_types::Connection) -> Connection {
    match address(&line.connection_address) {
        Some(address) if !address.is_multicast() => Connection::Address(address),
        _ => Connection::Unusable,
    }
}

/// Without the TTL of `224.2.1.1/127`, without brackets, an IPv4-mapped address as IPv4.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.split('/').next()?.trim_matches(['[', ']']);
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn direction(attributes: &[Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|attribute| {
        [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
            .into_iter()
            .find(|direction| attribute.attribute.trim().eq_ignore_ascii_case(direction.name()))
    })
}

fn value<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|it| it.attribute.trim().eq_ignore_ascii_case(name))?;
    found.value.as_deref().map(str::trim)
}

fn has(attributes: &[Attribute], name: &str) -> bool {
    attributes.iter().any(|attribute| attribute.attribute.trim().eq_ignore_ascii_case(name))
}

/// A whole number; `20.0` and `20 ms` are read as 20.
fn number(attributes: &[Attribute], name: &str) -> Option<u16> {
    value(attributes, name).and_then(leading_digits)
}

fn leading_digits<N: std::str::FromStr>(text: &str) -> Option<N> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

fn number_and_rest(text: &str) -> Option<(u8, &str)> {
    let (number, rest) = text.trim().split_once(char::is_whitespace)?;
    Some((payload_type(number)?, rest.trim()))
}

fn payload_type(text: &str) -> Option<u8> {
    text.parse().ok().filter(|number| *number < 128)
}

fn unreadable(error: &ParserError) -> SdpError {
    match error {
        ParserError::InvalidLineFormat(line, _)
        | ParserError::InvalidFieldEncoding(line, _)
        | ParserError::InvalidFieldFormat(line, _)
        | ParserError::MissingField(line, _)
        | ParserError::FieldTrailingData(line, _) => SdpError::Unreadable(*line),
        _ => SdpError::Unreadable(0),
    }
}

/// Lines read of one media line; real offers have at most eight.
const CRYPTO_MAX: usize = 16;
const UNSPECIFIED: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
