//! Whether a room is there, as Prosody's mod_muc_size says (of Jitsi's own modules): `GET PATH?room=tea&domain=meet.test`
//! gives `{"participants": 2}`, or 404 where there is none.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::dial_in::RoomSize;

/// Longer, and the page would wait too long for its PIN.
const PATIENCE: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Asks for `room@host`.
pub(super) async fn is_there(at: &RoomSize, conference: &str) -> Result<bool, String> {
    let answer = tokio::time::timeout(PATIENCE, ask(at, conference)).await;
    let answer = answer.map_err(|_| format!("{}: no answer in {PATIENCE:?}", at.authority))?;
    let answer = answer.map_err(|error| format!("{}: {error}", at.authority))?;
    read(&answer).ok_or_else(|| format!("{}{}: an answer of another kind", at.authority, at.path))
}

async fn ask(at: &RoomSize, conference: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(&at.authority).await?;
    stream.write_all(request(at, conference).as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The module puts the host of the rooms together again from the main one.
fn request(at: &RoomSize, conference: &str) -> String {
    let (room, host) = conference.split_once('@').unwrap_or((conference, ""));
    let domain = host.split_once('.').map_or(host, |(_, domain)| domain);
    format!(
        "GET {}?room={}&domain={} HTTP/1.0\r\nHost: {}\r\nConnection: close\r\n\r\n",
        at.path,
        encoded(room),
        encoded(domain),
        at.authority,
    )
}

fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(
            |byte| {
                if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
            },
        )
        .collect()
}

/// `None`: not what the module says.
fn read(answer: &str) -> Option<bool> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    match head.split_whitespace().nth(1)? {
        "404" => Some(false),
        "200" => {
            let from = body.find('{')?;
            let body: serde_json::Value =
                serde_json::from_str(body.get(from..=body.rfind('}')?)?).ok()?;
            Some(body["participants"].as_u64()? > 0)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_and_the_answers_of_the_module() {
        let at = RoomSize { authority: "127.0.0.1:5280".into(), path: "/room-size".into() };
        let request = request(&at, "stra%c3%9fe@conference.meet.test");
        assert!(
            request
                .starts_with("GET /room-size?room=stra%25c3%259fe&domain=meet.test HTTP/1.0\r\n")
        );
        let said =
            |status: &str, body: &str| read(&format!("HTTP/1.1 {status}\r\nA: b\r\n\r\n{body}"));
        assert_eq!(said("200 OK", "{\"participants\":2}"), Some(true));
        assert_eq!(said("200 OK", "{\"participants\":0}"), Some(false));
        assert_eq!(said("404 Not Found", ""), Some(false));
        for other in ["", "[]", "{}", "}{", "{\"participants\":\"2\"}"] {
            assert_eq!(said("200 OK", other), None, "{other}");
        }
        assert_eq!(said("500 Oh", "{\"participants\":2}"), None);
    }
}
