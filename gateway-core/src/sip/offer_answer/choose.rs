//! Choosing among formats: what is in common, by whose order, under which payload type numbers.

use std::fmt;

use arrayvec::ArrayVec;

use super::secure::Agreement;
use super::{CodecOrder, Events, OfferError, SdpPolicy};
use crate::media::codec::CodecKind;
use crate::rtp::session::{EventFormat, RtpSession};
use crate::sip::sdp::{FormatMap, Media};

/// A meaning that a payload type number can have for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Codec(CodecKind),
    /// telephone-event (RFC 4733) at this clock.
    Events(u32),
    ComfortNoise,
}

/// The outcome for one audio line.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub codec: CodecKind,
    /// As the peer numbered it.
    pub send_payload_type: u8,
    pub receive: ArrayVec<(u8, CodecKind), 8>,
    pub send_events: Option<EventFormat>,
    pub receive_events: ArrayVec<EventFormat, 2>,
    pub comfort_noise: Option<u8>,
    pub packet_time_ms: u8,
    pub rtcp_mux: bool,
    /// Keys; found beside the choice of formats.
    pub srtp: Option<Agreement>,
}

/// Names of formats for a Warning: at most eight, letters, digits and `-.` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecList(Vec<String>);

impl fmt::Display for CodecList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join(" "))
    }
}

/// We answer: one codec of the offer, its numbers kept in both directions.
pub(super) fn from_offer(offer: &Media, policy: &SdpPolicy) -> Result<Choice, OfferError> {
    let speaks = |kind: &CodecKind| offer.maps.iter().find(|map| codec_of(map) == Some(*kind));
    let found = match policy.codec_order {
        CodecOrder::Ours => policy.codecs.iter().find_map(|kind| Some((*kind, speaks(kind)?))),
        CodecOrder::Peers => offer.maps.iter().find_map(|map| {
            let kind = codec_of(map).filter(|kind| policy.codecs.contains(kind))?;
            Some((kind, map))
        }),
    };
    let (codec, map) = found.ok_or_else(|| no_codec(offer))?;
    let (send_events, receive_events) = events_of(offer, codec);
    Ok(Choice {
        codec,
        send_payload_type: map.payload_type,
        receive: std::iter::once((map.payload_type, codec)).collect(),
        send_events,
        receive_events,
        comfort_noise: comfort_noise(offer, codec),
        packet_time_ms: packet_time(offer, policy, codec),
        rtcp_mux: offer.rtcp_mux,
        srtp: None,
    })
}

/// We offered: the peer's first format is what we send; all it kept may come. We receive by our numbers and send by
/// the peer's (RFC 3264 §5.1); peers that mix them up are understood where no number gets two meanings.
pub(super) fn from_answer(
    answer: &Media,
    offer: &Media,
    policy: &SdpPolicy,
) -> Result<Choice, OfferError> {
    let ours = |kind: CodecKind| offer.maps.iter().find(|map| codec_of(map) == Some(kind));
    let theirs = meanings(answer, offer);
    let common: Vec<(u8, u8, CodecKind)> = theirs
        .iter()
        .filter_map(|map| {
            let kind = codec_of(map)?;
            Some((map.payload_type, ours(kind)?.payload_type, kind))
        })
        .collect();
    let (send_payload_type, _, codec) = *common.first().ok_or_else(|| no_codec(answer))?;
    let mut receive: ArrayVec<(u8, CodecKind), 8> = ArrayVec::new();
    let by_our_number = common.iter().map(|(_, our, kind)| (*our, *kind));
    let by_their_number = common.iter().map(|(their, _, kind)| (*their, *kind));
    for (number, kind) in by_our_number.chain(by_their_number) {
        let taken = offer.map(number).is_some_and(|map| codec_of(map) != Some(kind));
        if !taken && !receive.iter().any(|(known, _)| *known == number) {
            let _ = receive.try_push((number, kind));
        }
    }
    let answered = Media { maps: theirs, ..answer.clone() };
    let (send_events, answered_events) = events_of(&answered, codec);
    let receive_events = offer
        .maps
        .iter()
        .filter_map(event_format)
        .filter(|ours| answered_events.iter().any(|theirs| theirs.clock_hz == ours.clock_hz))
        .take(2)
        .collect();
    Ok(Choice {
        codec,
        send_payload_type,
        receive,
        send_events,
        receive_events,
        comfort_noise: None,
        packet_time_ms: packet_time(answer, policy, codec),
        rtcp_mux: offer.rtcp_mux && answer.rtcp_mux,
        srtp: None,
    })
}

/// The answer's maps; a number without `a=rtpmap` that we offered means what we offered (seen: dynamic numbers
/// answered without any rtpmap).
fn meanings(answer: &Media, offer: &Media) -> Vec<FormatMap> {
    let numbers = answer.formats.iter().filter_map(|format| format.parse::<u8>().ok());
    let mut maps: Vec<FormatMap> = Vec::new();
    for number in numbers {
        let known = maps.iter().any(|map| map.payload_type == number);
        if let Some(map) = answer.map(number).or_else(|| offer.map(number))
            && !known
        {
            maps.push(map.clone());
        }
    }
    maps
}

/// Which codec a format is. G.722 is written with a clock of 8000 by RFC 3551 and with 16000 by the unwary.
pub(super) fn codec_of(map: &FormatMap) -> Option<CodecKind> {
    let rows = crate::media::codec::TABLE.iter();
    let row = rows.into_iter().find(|row| row.name.eq_ignore_ascii_case(&map.name))?;
    let fits = match row.kind {
        CodecKind::Opus => map.clock_hz == row.clock_hz,
        CodecKind::G722 => matches!(map.clock_hz, 8_000 | 16_000) && map.channels == 1,
        CodecKind::Pcmu | CodecKind::Pcma => map.clock_hz == row.clock_hz && map.channels == 1,
    };
    fits.then_some(row.kind)
}

fn event_format(map: &FormatMap) -> Option<EventFormat> {
    let clock_fits = matches!(map.clock_hz, 8_000 | 48_000);
    (clock_fits && map.name.eq_ignore_ascii_case("telephone-event"))
        .then_some(EventFormat { payload_type: map.payload_type, clock_hz: map.clock_hz })
}

/// One telephone-event per clock; the one whose clock is the codec's is sent (RFC 4733 §2.6), else what there is.
fn events_of(media: &Media, codec: CodecKind) -> Events {
    let mut all: ArrayVec<EventFormat, 2> = ArrayVec::new();
    for format in media.maps.iter().filter_map(event_format) {
        if !all.iter().any(|known| known.clock_hz == format.clock_hz) {
            let _ = all.try_push(format);
        }
    }
    let clock_hz = codec.row().clock_hz;
    let fitting = all.iter().find(|format| format.clock_hz == clock_hz).or(all.first());
    (fitting.copied(), all)
}

/// Comfort noise (RFC 3389) belongs to G.711 only; the others bring their own or have none.
fn comfort_noise(media: &Media, codec: CodecKind) -> Option<u8> {
    matches!(codec, CodecKind::Pcmu | CodecKind::Pcma)
        .then(|| media.maps.iter().find(|map| map.is("CN", 8_000)))?
        .map(|map| map.payload_type)
}

/// What the peer wants to get, else our preference; never above its maximum; one of the sizes the codec has.
fn packet_time(peer: &Media, policy: &SdpPolicy, codec: CodecKind) -> u8 {
    let wanted = peer.packet_time_ms.filter(|ms| *ms > 0).unwrap_or(policy.packet_time_ms.into());
    let most = peer.packet_time_ms_max.filter(|ms| *ms > 0).unwrap_or(u16::MAX);
    let aim = wanted.min(most);
    let sizes: &[u8] = match codec {
        CodecKind::Opus => &[60, 40, 20, 10],
        _ => &[60, 40, 30, 20, 10],
    };
    sizes.iter().copied().find(|size| u16::from(*size) <= aim).unwrap_or(10)
}

/// Adds a format to an offer under the number it already has in the dialog, else under its usual or a free one.
pub(super) fn add_format(
    formats: &mut Vec<(u8, Format)>,
    format: Format,
    agreed: Option<&RtpSession>,
) {
    if formats.iter().any(|(_, known)| *known == format) {
        return;
    }
    let usual = match format {
        Format::Codec(kind) => kind.row().payload_type,
        Format::Events(8_000) => 101,
        Format::Events(_) => 102,
        Format::ComfortNoise => 13,
    };
    let in_use = agreed.and_then(|session| agreed_number(session, format));
    let is_free = |number: &u8| {
        let meant_otherwise = agreed.is_some_and(|session| means_other(session, *number, format));
        !meant_otherwise && !formats.iter().any(|(known, _)| known == number)
    };
    let number = in_use.or_else(|| std::iter::once(usual).chain(96..128).find(is_free));
    formats.extend(number.map(|number| (number, format)));
}

/// Adds telephone-events at the clock of each codec offered.
pub(super) fn add_events(formats: &mut Vec<(u8, Format)>, agreed: Option<&RtpSession>) {
    for clock_hz in [8_000, 48_000] {
        let is_used = formats.iter().any(
            |(_, format)| matches!(format, Format::Codec(kind) if kind.row().clock_hz == clock_hz),
        );
        if is_used {
            add_format(formats, Format::Events(clock_hz), agreed);
        }
    }
}

fn agreed_number(session: &RtpSession, format: Format) -> Option<u8> {
    match format {
        Format::Codec(kind) => {
            session.receive.iter().find(|(_, known)| *known == kind).map(|(number, _)| *number)
        }
        Format::Events(clock_hz) => {
            let mut events = session.receive_events.iter();
            events.find(|it| it.clock_hz == clock_hz).map(|it| it.payload_type)
        }
        Format::ComfortNoise => session.receive_comfort_noise,
    }
}

fn means_other(session: &RtpSession, number: u8, format: Format) -> bool {
    let codecs = session.receive.iter().map(|(known, kind)| (*known, Format::Codec(*kind)));
    let events =
        session.receive_events.iter().map(|it| (it.payload_type, Format::Events(it.clock_hz)));
    let noise = session.receive_comfort_noise.map(|known| (known, Format::ComfortNoise));
    codecs.chain(events).chain(noise).any(|(known, meaning)| known == number && meaning != format)
}

fn no_codec(media: &Media) -> OfferError {
    let names = media.maps.iter().map(|map| printable(&map.name)).take(8).collect();
    OfferError::NoCodec { offered: CodecList(names) }
}

/// A peer's word, cut to what may stand in a header of ours.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|it| it.is_ascii_alphanumeric() || "-./".contains(*it)).take(24).collect()
}
