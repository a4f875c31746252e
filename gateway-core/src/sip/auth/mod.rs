//! Digest authentication (RFC 7616, RFC 8760), both sides.
//!
//! [`Doorkeeper`] challenges and verifies, without memory of anybody who has not proved himself. [`Keyring`] answers
//! the challenges of others. The arithmetic is the parser crate's. Nothing here is ever logged.

mod doorkeeper;
mod keyring;

pub use doorkeeper::{Doorkeeper, Judgement};
pub use keyring::Keyring;

use sipx_sip::auth::{Algorithm, Challenge, Credentials, respond};

/// Credentials as they stand in a header (RFC 7616 §3.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Given {
    username: String,
    realm: String,
    nonce: String,
    uri: String,
    response: String,
    algorithm: Option<String>,
    qop: Option<String>,
    nc: Option<String>,
    cnonce: Option<String>,
}

impl Given {
    /// Reads a header value. `None`: not Digest, or without what a proof needs.
    fn parse(value: &str) -> Option<Self> {
        let rest = value.trim_start();
        let scheme = rest.get(..7)?;
        if !scheme.eq_ignore_ascii_case("Digest ") {
            return None;
        }
        let mut given = Self::default();
        for (name, value) in parameters(rest.get(7..)?) {
            match name.to_ascii_lowercase().as_str() {
                "username" => given.username = value,
                "realm" => given.realm = value,
                "nonce" => given.nonce = value,
                "uri" => given.uri = value,
                "response" => given.response = value.to_ascii_lowercase(),
                "algorithm" => given.algorithm = Some(value),
                "qop" => given.qop = Some(value),
                "nc" => given.nc = Some(value),
                "cnonce" => given.cnonce = Some(value),
                _ => {}
            }
        }
        let is_whole = [&given.username, &given.realm, &given.nonce, &given.uri, &given.response]
            .iter()
            .all(|field| !field.is_empty());
        is_whole.then_some(given)
    }

    fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm.as_deref().map_or(Some(Algorithm::Md5), Algorithm::parse)
    }

    /// The nonce count: up to eight hexadecimal digits.
    fn count(&self) -> Option<u32> {
        let text = self.nc.as_deref()?;
        (text.len() == 8).then(|| u32::from_str_radix(text, 16).ok()).flatten()
    }
}

/// The `response` that `password` gives to the challenge that `given` answers.
fn expected(given: &Given, password: &str, method: &str) -> Option<String> {
    let algorithm = given.algorithm()?;
    let has_qop = match given.qop.as_deref() {
        None => false,
        Some(qop) if qop.eq_ignore_ascii_case("auth") => true,
        Some(_) => return None,
    };
    let challenge = Challenge {
        realm: given.realm.clone(),
        nonce: given.nonce.clone(),
        opaque: None,
        algorithm,
        qop_auth: has_qop,
        stale: false,
        from_proxy: false,
    };
    let credentials = Credentials::new(given.username.clone(), password);
    let count = if has_qop { given.count()? } else { 1 };
    let cnonce = given.cnonce.as_deref().unwrap_or_default();
    let header = respond(&challenge, &credentials, method, &given.uri, count, cnonce);
    let (_, rest) = header.split_once("response=\"")?;
    rest.split('"').next().map(str::to_owned)
}

/// Whether two texts are equal, in a time that tells nothing but their lengths.
fn equal(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let differing = a.iter().zip(b).fold(0u8, |sum, (x, y)| sum | (x ^ y));
    a.len() == b.len() && std::hint::black_box(differing) == 0
}

/// `name=value` pairs; commas inside quotes do not separate.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut letters = text.chars().peekable();
    while found.len() < PARAMETERS_MAX && letters.peek().is_some() {
        while letters.next_if(|c| c.is_whitespace() || *c == ',').is_some() {}
        let mut name = String::new();
        // Each round takes at least one letter: this ends the name, or is it.
        while let Some(c) = letters.next().filter(|c| *c != '=') {
            name.push(c);
            if letters.peek() == Some(&',') {
                break;
            }
        }
        while letters.next_if(|c| c.is_whitespace()).is_some() {}
        let value = match letters.next_if(|c| *c == '"') {
            Some(_) => quoted(&mut letters),
            None => {
                let mut value = String::new();
                while let Some(c) = letters.next_if(|c| *c != ',') {
                    value.push(c);
                }
                value.trim_end().to_owned()
            }
        };
        found.push((name.trim().to_owned(), value));
    }
    found
}

fn quoted(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut value = String::new();
    while let Some(c) = letters.next() {
        match c {
            '"' => break,
            '\\' => value.extend(letters.next()),
            c => value.push(c),
        }
    }
    value
}

/// Parameters read of one header; real ones have under twelve.
const PARAMETERS_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7616_verifies() {
        let md5 = "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
            algorithm=MD5, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
            cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, \
            response=\"8ca523f5e9506fed4657c9700eebdbec\", opaque=\"x, \\\"y\"";
        let given = Given::parse(md5).expect("whole");
        assert_eq!(expected(&given, "Circle of Life", "GET"), Some(given.response.clone()));
        let sha = md5.replace("algorithm=MD5", "algorithm=SHA-256").replace(
            "8ca523f5e9506fed4657c9700eebdbec",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        );
        let given = Given::parse(&sha).expect("whole");
        assert_eq!(expected(&given, "Circle of Life", "GET"), Some(given.response.clone()));
    }

    #[test]
    fn rubbish_is_no_credential() {
        for text in
            ["", "Basic abc", "Digest ", "Digest ,,,==,=", "Digest username=\"a", "Digest é"]
        {
            assert_eq!(Given::parse(text), None, "{text}");
        }
    }

    #[test]
    fn texts_are_compared_whole() {
        assert!(equal("abc", "abc"));
        assert!(!equal("abc", "abd"));
        assert!(!equal("abc", "abcd"));
        assert!(!equal("", "a"));
    }
}
