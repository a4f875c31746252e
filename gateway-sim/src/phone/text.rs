//! As much SIP as a phone needs, as text: written without the endpoint's parser, so that both can disagree.

use std::fmt::Write as _;

/// A message taken apart: first line, headers in order, body.
#[derive(Clone, Debug)]
pub struct Message {
    /// Request or status line.
    pub first: String,
    /// Names in lower case, values trimmed.
    pub headers: Vec<(String, String)>,
    /// Body as text.
    pub body: String,
}

impl Message {
    /// Reads a datagram. `None` for what is no SIP.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let first = lines.next()?.to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Self { first, headers, body: body.to_owned() })
    }

    /// First header of a name given in lower case.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Status, if it is a response.
    pub fn status(&self) -> Option<u16> {
        self.first.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    /// Method: of the request line, or of CSeq.
    pub fn method(&self) -> &str {
        match self.status() {
            Some(_) => self.header("cseq").split_whitespace().nth(1).unwrap_or(""),
            None => self.first.split(' ').next().unwrap_or(""),
        }
    }

    /// Number of CSeq.
    pub fn cseq(&self) -> u32 {
        self.header("cseq").split_whitespace().next().and_then(|it| it.parse().ok()).unwrap_or(0)
    }

    /// Branch of the top Via.
    pub fn branch(&self) -> &str {
        parameter(self.header("via"), "branch")
    }

    /// The response to this request: Via, From, Call-ID and CSeq copied, a To tag added where it is missing.
    pub fn respond(&self, status: &str, tag: &str, more: &str, body: &str) -> Vec<u8> {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for (name, value) in &self.headers {
            let copied = match name.as_str() {
                "via" => "Via",
                "from" => "From",
                "call-id" => "Call-ID",
                "cseq" => "CSeq",
                "to" => {
                    let missing = parameter(value, "tag").is_empty();
                    let tag = if missing { format!(";tag={tag}") } else { String::new() };
                    let _ = write!(text, "To: {value}{tag}\r\n");
                    continue;
                }
                _ => continue,
            };
            let _ = write!(text, "{copied}: {value}\r\n");
        }
        let _ = write!(text, "{more}Content-Length: {}\r\n\r\n{body}", body.len());
        text.into_bytes()
    }
}

/// Value of `;name=value`.
pub fn parameter<'a>(header: &'a str, name: &str) -> &'a str {
    let found = header.split(';').skip(1).find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then_some(value)
    });
    found.unwrap_or("").split(['>', ',']).next().unwrap_or("").trim()
}

/// The address inside `<...>`.
pub fn uri(header: &str) -> &str {
    let inside = header.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inside.map_or(header, |(uri, _)| uri)
}
