//! Bodies: the SDP of a message, alone or inside a multipart (RFC 5621), with its length capped.

use sipx_sip::headers::ContentType;

use super::Headers;
use crate::base::limits::SDP_BYTES_MAX;

/// What the body of a message is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// No body.
    Empty,
    /// Session description.
    Sdp(Vec<u8>),
    /// A session description longer than [`SDP_BYTES_MAX`]: 488.
    SdpTooLong,
    /// Something else. 415 where a session description was to be expected.
    Other,
}

impl Body {
    /// Reads the body of a message.
    pub fn of(headers: &Headers, body: &[u8]) -> Self {
        if body.is_empty() {
            return Self::Empty;
        }
        match headers.typed::<ContentType>() {
            // Seen from old gateways: SDP without a Content-Type. Nothing else starts with `v=0`.
            None if body.starts_with(b"v=0") => Self::sdp(body),
            Some(Ok(kind)) if kind.is("application", "sdp") => Self::sdp(body),
            Some(Ok(kind)) if kind.media_type.eq_ignore_ascii_case(b"multipart") => {
                match kind.param("boundary").and_then(|boundary| sdp_part(body, boundary)) {
                    Some(part) => Self::sdp(part),
                    None => Self::Other,
                }
            }
            _ => Self::Other,
        }
    }

    /// The session description, if this is one.
    pub fn into_sdp(self) -> Option<Vec<u8>> {
        match self {
            Self::Sdp(sdp) => Some(sdp),
            _ => None,
        }
    }

    fn sdp(bytes: &[u8]) -> Self {
        if bytes.len() > SDP_BYTES_MAX { Self::SdpTooLong } else { Self::Sdp(bytes.to_vec()) }
    }
}

/// The first `application/sdp` part of a multipart body.
fn sdp_part<'a>(body: &'a [u8], boundary: &[u8]) -> Option<&'a [u8]> {
    let delimiter = [b"--", boundary].concat();
    let mut rest = after(body, &delimiter)?;
    for _ in 0..PARTS_MAX {
        let end = find(rest, &delimiter)?;
        let part = rest.get(..end)?;
        let split = find(part, b"\r\n\r\n")?;
        let (head, content) = (part.get(..split)?, part.get(split + 4..)?);
        if head.to_ascii_lowercase().windows(15).any(|window| window == b"application/sdp") {
            return Some(content.strip_suffix(b"\r\n").unwrap_or(content));
        }
        rest = rest.get(end + delimiter.len()..)?;
    }
    None
}

fn after<'a>(bytes: &'a [u8], needle: &[u8]) -> Option<&'a [u8]> {
    let at = find(bytes, needle)?;
    bytes.get(at + needle.len()..)
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// Parts of a multipart body looked at. A session description comes first or second.
const PARTS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::wire::{Header, HeaderName};

    fn of(kind: &'static str, body: &[u8]) -> Body {
        let mut headers = Headers::new();
        headers.push(Header::build(HeaderName::ContentType, kind).expect("a constant"));
        Body::of(&headers, body)
    }

    #[test]
    fn sdp_is_found_inside_a_multipart() {
        let body = b"--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b\r\ncontent-type: application/SDP\r\n\r\nv=0\r\n\r\n--b--\r\n";
        assert_eq!(of("multipart/mixed;boundary=b", body), Body::Sdp(b"v=0\r\n".to_vec()));
        assert_eq!(of("multipart/mixed", body), Body::Other);
        assert_eq!(of("multipart/mixed;boundary=zz", body), Body::Other);
    }

    #[test]
    fn a_huge_description_is_named_so() {
        assert_eq!(of("application/sdp", &vec![b'a'; SDP_BYTES_MAX + 1]), Body::SdpTooLong);
    }
}
