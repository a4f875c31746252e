//! The sanitiser: makes SDP of real devices readable for a strict parser, before it is parsed.
//!
//! Keeps only the lines a gateway acts on (`v= o= c= m= a=`); a broken `s=`, `t=`, `b=` or `z=` can then do no harm.
//! Sins met in the field and mended here: LF or CR line ends, blank lines, no final line end, a byte order mark, NUL
//! at the end, Latin-1 text, spaces before or after `=`, `o=` with a user name of several words, too few fields or a
//! version beyond 64 bits, `c=` twice or with trailing words, `m=` with runs of spaces or without a format.

/// The mended description, with CRLF line ends and `v=0` first.
pub(super) fn sanitise(bytes: &[u8]) -> String {
    let text = decode(bytes);
    let mut mended = String::with_capacity(text.len().saturating_add(16));
    mended.push_str("v=0\r\n");
    let mut in_media = false;
    let mut seen = Seen::default();
    for line in text.split(['\n', '\r']) {
        let Some((key, value)) = key_and_value(line) else { continue };
        let clean = match key {
            'o' if !in_media && !seen.origin => {
                seen.origin = true;
                Some(origin(value))
            }
            'c' if !seen.connection => connection(value),
            'm' => {
                in_media = true;
                Some(media(value))
            }
            'a' if !value.is_empty() => Some(value.to_owned()),
            _ => None,
        };
        let Some(clean) = clean else { continue };
        // One `c=` for the session and one per media line: the first counts.
        seen.connection = key == 'c' || (key != 'm' && seen.connection);
        mended.push(key);
        mended.push('=');
        mended.push_str(&clean);
        mended.push_str("\r\n");
    }
    mended
}

#[derive(Default)]
struct Seen {
    origin: bool,
    connection: bool,
}

/// UTF-8, or else Latin-1, in which each byte is its own code point.
fn decode(bytes: &[u8]) -> String {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    };
    text.trim_start_matches('\u{feff}').replace('\0', "")
}

fn key_and_value(line: &str) -> Option<(char, &str)> {
    let (key, value) = line.split_once('=')?;
    let mut letters = key.trim().chars();
    let key = letters.next()?;
    letters.next().is_none().then(|| (key.to_ascii_lowercase(), value.trim()))
}

/// Six fields whatever came: the user name may hold spaces, so the fields are counted from the end.
fn origin(value: &str) -> String {
    let fields: Vec<&str> = value.split_whitespace().collect();
    let from_end = |nth: usize| fields.len().checked_sub(nth).and_then(|at| fields.get(at));
    let (Some(address), Some(version), Some(id)) = (from_end(1), from_end(4), from_end(5)) else {
        return "- 0 0 IN IP4 0.0.0.0".to_owned();
    };
    let family = if address.contains(':') { "IP6" } else { "IP4" };
    format!("- {id} {} IN {family} {address}", version_number(version))
}

/// The last 18 digits: enough to see a change, small enough for 64 bits.
fn version_number(text: &str) -> u64 {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).collect();
    let tail = digits.len().saturating_sub(18);
    digits
        .iter()
        .skip(tail)
        .fold(0, |sum: u64, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

/// `IN IP4 192.0.2.1`, without trailing words. Nothing if there are too few.
fn connection(value: &str) -> Option<String> {
    let mut fields = value.split_whitespace();
    let (net, family, address) = (fields.next()?, fields.next()?, fields.next()?);
    Some(format!("{net} {family} {address}"))
}

/// Single spaces, and a format where it was forgotten (seen on refused lines).
fn media(value: &str) -> String {
    let mut fields: Vec<&str> = value.split_whitespace().collect();
    if fields.len() == 3 {
        fields.push("0");
    }
    fields.join(" ")
}
