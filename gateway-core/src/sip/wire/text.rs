//! Text of headers: Latin-1 to UTF-8, display names, quoting, percent escapes, option-tag lists.

use std::borrow::Cow;

use super::{HeaderName, Headers, Uri};

/// Bytes of a header as text: UTF-8 as it is, anything else read as Latin-1 (ISDN-era PBXs put it into
/// display names). Never fails, never loses a byte.
pub fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// First value of a header as text, unfolded and trimmed.
pub fn value(headers: &Headers, name: &HeaderName) -> Option<String> {
    headers.value(name).map(|value| decode(&value))
}

/// User part of a SIP, SIPS or tel URI with its escapes resolved. Empty when it has none.
pub fn user_of(uri: &Uri) -> String {
    if let Some(user) = uri.decoded_user() {
        return decode(&user);
    }
    match uri.tel_parts() {
        Some(tel) => decode(tel.subscriber()),
        None => String::new(),
    }
}

/// Host of a SIP or SIPS URI; empty for others.
pub fn host_of(uri: &Uri) -> String {
    uri.host().map(|host| decode(&host.to_bytes())).unwrap_or_default()
}

/// A display name in quotes, safe for a header: `\` and `"` escaped, control characters dropped.
pub fn quoted(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    out.push('"');
    for letter in name.chars().filter(|letter| !letter.is_control()) {
        if matches!(letter, '"' | '\\') {
            out.push('\\');
        }
        out.push(letter);
    }
    out.push('"');
    out
}

/// A user part safe for a URI: everything outside RFC 3261's `user` is percent-escaped.
pub fn escaped_user(user: &str) -> String {
    let mut out = String::with_capacity(user.len());
    for byte in user.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Tokens of every row of a comma-separated header (`Supported`, `Require`, `Allow`), trimmed, in order.
pub fn tokens(headers: &Headers, name: &HeaderName) -> Vec<String> {
    let mut tokens = Vec::new();
    for header in headers.get_all(name) {
        let value = header.value();
        for token in value.split(|byte| *byte == b',') {
            let token = token.trim_ascii();
            if !token.is_empty() {
                tokens.push(decode(token));
            }
        }
    }
    tokens
}

/// Whether a comma-separated header lists `token` (ASCII case does not matter).
pub fn lists(headers: &Headers, name: &HeaderName, token: &str) -> bool {
    headers.get_all(name).any(|header| {
        let value = header.value();
        value
            .split(|byte| *byte == b',')
            .any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}

/// An address header whose display name is Latin-1 without quotes, with quotes added; other values as they are.
/// The grammar allows only tokens there, yet dropping the call for a name helps nobody.
pub fn repair_display_name(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(angle) = value.iter().position(|byte| *byte == b'<') else {
        return Cow::Borrowed(value);
    };
    let (name, address) = value.split_at(angle);
    let name = name.trim_ascii();
    if name.is_ascii() || name.contains(&b'"') || name.contains(&b'\\') {
        return Cow::Borrowed(value);
    }
    Cow::Owned([b"\"", name, b"\" ", address].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin_1_becomes_utf_8_and_utf_8_stays() {
        assert_eq!(decode(b"M\xfcller"), "Müller");
        assert_eq!(decode("Müller".as_bytes()), "Müller");
    }

    #[test]
    fn a_quoted_name_cannot_end_its_header() {
        assert_eq!(quoted("a\"b\\c\r\nVia: x"), "\"a\\\"b\\\\cVia: x\"");
    }

    #[test]
    fn an_unquoted_latin_1_name_gets_quotes() {
        assert_eq!(
            repair_display_name(b"M\xfcller <sip:m@h>").as_ref(),
            b"\"M\xfcller\" <sip:m@h>"
        );
        assert_eq!(repair_display_name(b"Bell, A <sip:m@h>").as_ref(), b"Bell, A <sip:m@h>");
    }

    #[test]
    fn a_user_part_survives_its_escape() {
        let escaped = escaped_user("+62 21#é");
        let uri = Uri::parse(format!("sip:{escaped}@h").into()).expect("an escaped user parses");
        assert_eq!(user_of(&uri), "+62 21#é");
    }
}
