//! What people type to have somebody called: a number with blanks and brackets, an extension's name, a SIP URI, and keys to
//! be pressed after the answer (`+62 21 555-12,,4711#`).

use std::time::Duration;

use gateway_core::call::Digits;

use crate::config::dial_out::is_user_sign;

/// Whom to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The number without fillers, or the SIP URI. Patterns are held against this.
    pub number: String,
    /// It is a SIP URI.
    pub is_uri: bool,
    /// Keys after the answer, and the pause before the first. A comma among them is another pause.
    pub keys: Option<(Duration, Digits)>,
}

/// Nothing that could be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadNumber;

impl Wanted {
    /// Reads what was typed.
    pub fn read(typed: &str) -> Result<Self, BadNumber> {
        let typed = typed.trim();
        let (whom, after) = typed.split_once(',').map_or((typed, None), |(a, b)| (a, Some(b)));
        let keys = after.map(keys).transpose()?.flatten();
        let whom = whom.trim();
        let lower = whom.to_ascii_lowercase();
        if lower.starts_with("sip:") || whom.contains('@') {
            let rest =
                whom.get(SCHEME.len()..).filter(|_| lower.starts_with(SCHEME)).unwrap_or(whom);
            return Ok(Self { number: uri(rest)?, is_uri: true, keys });
        }
        let whom = if lower.starts_with("tel:") { &whom[SCHEME.len()..] } else { whom };
        Ok(Self { number: number(whom)?, is_uri: false, keys })
    }
}

/// `+` and digits once the fillers are gone, with `*` and `#` for PBXs; or a name as it is.
fn number(typed: &str) -> Result<String, BadNumber> {
    let is_filler = |sign: char| matches!(sign, ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}');
    let bare: String = typed.chars().filter(|sign| !is_filler(*sign)).collect();
    let rest = bare.strip_prefix('+').unwrap_or(&bare);
    let is_dialled = |sign: char| sign.is_ascii_digit() || matches!(sign, '*' | '#');
    if !rest.is_empty() && rest.len() <= DIGITS_MAX && rest.chars().all(is_dialled) {
        return Ok(bare);
    }
    let is_name = typed.starts_with(|sign: char| sign.is_ascii_alphabetic());
    match is_name && typed.len() <= NAME_MAX && typed.chars().all(is_user_sign) {
        true => Ok(typed.to_owned()),
        false => Err(BadNumber),
    }
}

/// `user@host`, with a port, a transport or nothing: what a URI may carry beside (headers, routes) is not taken from
/// strangers.
fn uri(rest: &str) -> Result<String, BadNumber> {
    let (place, parameters) = rest.split_once(';').unwrap_or((rest, ""));
    let (user, host) = place.split_once('@').ok_or(BadNumber)?;
    let is_host =
        |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '.' | '-' | ':' | '[' | ']');
    let known = ["", "transport=udp", "transport=tcp", "transport=tls", "user=phone"];
    let good = !user.is_empty()
        && user.chars().all(is_user_sign)
        && !host.is_empty()
        && host.chars().all(is_host)
        && rest.len() <= NAME_MAX * 3
        && parameters.split(';').all(|it| known.contains(&it.to_ascii_lowercase().as_str()));
    match good {
        true => Ok(format!("{SCHEME}{rest}")),
        false => Err(BadNumber),
    }
}

fn keys(after: &str) -> Result<Option<(Duration, Digits)>, BadNumber> {
    let signs: String = after.chars().filter(|sign| *sign != ' ').collect();
    let typed = signs.trim_start_matches(',');
    // The comma that began the keys counts, too.
    let pauses = 1 + signs.len() - typed.len();
    let typed = typed.trim_end_matches(',');
    let is_key = |sign: u8| matches!(sign, b'0'..=b'9' | b'*' | b'#' | b',');
    if typed.is_empty() {
        return Ok(None);
    }
    if pauses > PAUSES_MAX || !typed.bytes().all(is_key) {
        return Err(BadNumber);
    }
    let mut keys = Digits::new();
    for key in typed.bytes() {
        keys.try_push(key).map_err(|_| BadNumber)?;
    }
    let pauses = u32::try_from(pauses).map_err(|_| BadNumber)?;
    Ok(Some((PAUSE * pauses, keys)))
}

const SCHEME: &str = "sip:";
/// E.164 has 15; a prefix to get out and an international one come before.
const DIGITS_MAX: usize = 32;
/// Names of extensions.
const NAME_MAX: usize = 64;
/// What a comma stands for, as on other gateways.
pub const PAUSE: Duration = Duration::from_secs(2);
/// Half a minute of silence is enough.
const PAUSES_MAX: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(typed: &str) -> Result<(String, bool), BadNumber> {
        Wanted::read(typed).map(|wanted| (wanted.number, wanted.is_uri))
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (typed, number) in [
            ("+62 (21) 555-12.34", "+6221555 1234"),
            ("0049/30 123", "004930123"),
            ("tel:+4930123", "+4930123"),
            ("*43#", "*43#"),
            ("bob", "bob"),
            ("front-desk", "front-desk"),
        ] {
            assert_eq!(read(typed), Ok((number.replace(' ', ""), false)), "{typed}");
        }
        for typed in
            ["", "+", "12a", "+49+30", "a b", "bob;x=1", "12345678901234567890123456789012345"]
        {
            assert_eq!(read(typed), Err(BadNumber), "{typed}");
        }
    }

    #[test]
    fn a_uri_carries_nothing_but_itself() {
        for (typed, number) in [
            ("sip:bob@127.0.0.1:5070", "sip:bob@127.0.0.1:5070"),
            ("SIP:bob@pbx;transport=tcp", "sip:bob@pbx;transport=tcp"),
            ("bob@pbx.example.org", "sip:bob@pbx.example.org"),
        ] {
            assert_eq!(read(typed), Ok((number.to_owned(), true)), "{typed}");
        }
        for typed in [
            "sip:bob",
            "sip:@pbx",
            "sip:bob@",
            "sip:bob@pbx?Route=evil",
            "sip:bob@pbx;maddr=10.0.0.1",
            "sip:b\"ob@pbx",
            "sip:bob@pbx> <sip:eve@pbx",
            "sips:bob@pbx",
        ] {
            assert_eq!(read(typed), Err(BadNumber), "{typed}");
        }
    }

    #[test]
    fn each_comma_is_a_pause() {
        let keys = |typed: &str| Wanted::read(typed).map(|wanted| wanted.keys);
        let some = |seconds: u64, keys: &[u8]| {
            Ok(Some((Duration::from_secs(seconds), keys.iter().copied().collect::<Digits>())))
        };
        assert_eq!(keys("+4930,,4711#"), some(4, b"4711#"));
        assert_eq!(keys("+4930,1,,2"), some(2, b"1,,2"));
        assert_eq!(keys("+4930,"), Ok(None));
        assert_eq!(keys("+4930"), Ok(None));
        assert_eq!(keys("+4930,abc"), Err(BadNumber));
        assert_eq!(keys(&format!("+4930,{}", "1".repeat(40))), Err(BadNumber));
        assert_eq!(keys(&format!("+4930{}1", ",".repeat(40))), Err(BadNumber));
    }
}
