//! Values of the configuration from their texts: listeners, ports, users, languages. Each error says what to write.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gateway_core::base::pii::Pii;
use gateway_core::gateway::ConferenceAddresses;
use gateway_core::leg::backend::RoomName;
use gateway_core::media::clip::Language;
use gateway_core::media::codec::CodecKind;
use gateway_core::sip::trunk::{DigestUser, ListenerConfig, SipTransport};

use super::typed::Showing;

/// `udp:ADDRESS:PORT`, with ` as ADDRESS[:PORT]` behind NAT.
pub(super) fn listener(text: &str, media: Option<IpAddr>) -> Result<ListenerConfig, String> {
    let help = "write \"udp:192.0.2.1:5060\", \"tcp:[2001:db8::1]:5060\" or \"tls:192.0.2.1:5061\"";
    let (transport, rest) = text.split_once(':').ok_or(format!("{text:?}: {help}"))?;
    let transport = match transport.trim() {
        "udp" => SipTransport::Udp,
        "tcp" => SipTransport::Tcp,
        "tls" => SipTransport::Tls,
        other => return Err(format!("{text:?}: unknown transport {other:?}; {help}")),
    };
    let (bind, advertised) = match rest.split_once(" as ") {
        Some((bind, advertised)) => (bind.trim(), Some(advertised.trim())),
        None => (rest.trim(), None),
    };
    let bind: SocketAddr = bind.parse().map_err(|_| format!("{text:?}: {help}"))?;
    let advertised = match advertised {
        None => None,
        Some(advertised) => Some(
            advertised
                .parse()
                .or_else(|_| advertised.parse().map(|ip| SocketAddr::new(ip, bind.port())))
                .map_err(|_| {
                    format!("{advertised:?} after \"as\" is no address; write 203.0.113.7")
                })?,
        ),
    };
    if bind.ip().is_unspecified() && advertised.is_none() {
        let what = "listens on all addresses, so that others must be told which to use";
        return Err(format!("{text:?} {what}; write \"{text} as 203.0.113.7\""));
    }
    Ok(ListenerConfig { bind, transport, accepts: true, advertised, advertised_media: media })
}

pub(super) fn advertised_ip(text: &str) -> Result<IpAddr, String> {
    let ip: IpAddr =
        text.parse().map_err(|_| format!("{text:?} is no IP address; write \"203.0.113.7\""))?;
    match ip.is_unspecified() {
        true => Err(format!("{text:?} cannot be reached by anybody; write \"203.0.113.7\"")),
        false => Ok(ip),
    }
}

/// `ADDRESS`, with ` as ADDRESS` behind NAT; empty: as the SIP listener.
pub(super) fn conference_addresses(text: &str) -> Result<ConferenceAddresses, String> {
    if text.is_empty() {
        return Ok(ConferenceAddresses::default());
    }
    let (bind, advertised) = match text.split_once(" as ") {
        Some((bind, advertised)) => (bind.trim(), Some(advertised_ip(advertised.trim())?)),
        None => (text.trim(), None),
    };
    let bind: IpAddr =
        bind.parse().map_err(|_| format!("{bind:?} is no IP address; write \"192.0.2.1\""))?;
    if bind.is_unspecified() && advertised.is_none() {
        let what = "is every address, so that the bridge must be told which to use";
        return Err(format!("{text:?} {what}; write \"{bind} as 203.0.113.7\""));
    }
    Ok(ConferenceAddresses { bind: Some(bind), advertised })
}

pub(super) fn socket_address(text: &str, example: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is no address with a port; write {example:?}"))
}

/// `FIRST-LAST`.
pub(super) fn ports(text: &str) -> Result<(u16, u16), String> {
    let help = "write \"20000-20999\"";
    let (first, last) = text.split_once('-').ok_or(format!("{text:?}: {help}"))?;
    let port =
        |text: &str| text.trim().parse::<u16>().map_err(|_| format!("{text:?} is no port; {help}"));
    let (first, last) = (port(first)?, port(last)?);
    if last <= first {
        let wanted = u32::from(first).saturating_add(999).min(65_535);
        return Err(format!(
            "{text:?}: last port is not above the first; write \"{first}-{wanted}\""
        ));
    }
    if first < 1_024 {
        return Err(format!("{text:?}: ports below 1024 belong to the system; {help}"));
    }
    Ok((first + first % 2, last))
}

/// `name:password`.
pub(super) fn user(text: &str) -> Result<DigestUser, String> {
    match text.split_once(':') {
        Some((name, password)) if !name.is_empty() && !password.is_empty() => {
            Ok(DigestUser { user: name.to_owned(), password: Pii::new(password.to_owned()) })
        }
        // The text is not repeated: it may be a password.
        _ => Err("expected \"name:password\"".to_owned()),
    }
}

pub(super) fn room_name(text: &str) -> Result<RoomName, String> {
    RoomName::new(text).map_err(|error| format!("{text:?}: {error}"))
}

pub(super) fn is_name(text: &str) -> bool {
    let legal = |sign: char| sign.is_alphanumeric() || ['.', '_', '-'].contains(&sign);
    !text.is_empty() && text.chars().count() <= 64 && text.chars().all(legal)
}

pub(super) fn showing(text: &str) -> Showing {
    match text {
        "name" | "full" => Showing::Full,
        "masked" => Showing::Masked,
        _ => Showing::Hash,
    }
}

/// A language by its tag.
pub fn language(tag: &str) -> Option<Language> {
    Language::ALL.into_iter().find(|language| language.tag() == tag)
}

/// A codec by the name that configuration uses.
pub fn codec(name: &str) -> Option<CodecKind> {
    match name {
        "opus" => Some(CodecKind::Opus),
        "g722" => Some(CodecKind::G722),
        "pcmu" => Some(CodecKind::Pcmu),
        "pcma" => Some(CodecKind::Pcma),
        _ => None,
    }
}

pub(super) fn minutes(number: u64) -> Duration {
    Duration::from_secs(number * 60)
}

pub(super) fn seconds_or_none(number: u64) -> Option<Duration> {
    (number > 0).then(|| Duration::from_secs(number))
}

pub(super) fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
