//! Whether a room is there, as Prosody's mod_muc_size says (of Jitsi's own modules): `GET PATH?room=tea&domain=meet.test`
//! gives `{"participants": 2}`, or 404 where there is none.

use std::time::Duration;

use axum::http::{Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::config::dial_in::RoomSize;

/// Longer, and the page would wait too long for its PIN.
const PATIENCE: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Asks for `room@host`.
pub(super) async fn is_there(at: &RoomSize, conference: &str) -> Result<bool, String> {
    let answer = tokio::time::timeout(PATIENCE, ask(at, conference)).await;
    let answer = answer.map_err(|_| format!("{}: no answer in {PATIENCE:?}", at.authority))?;
    let (status, body) = answer.map_err(|error| format!("{}: {error}", at.authority))?;
    read(status, &body).ok_or_else(|| {
        format!("{}{}: an answer of another kind (status {status})", at.authority, at.path)
    })
}

async fn ask(at: &RoomSize, conference: &str) -> Result<(u16, Bytes), Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(&at.authority).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with its connection.
    tokio::spawn(connection);
    let request = Request::get(query(at, conference)).header(header::HOST, &at.authority);
    let answer = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
}

/// The module puts the host of the rooms together again from the main one.
fn query(at: &RoomSize, conference: &str) -> String {
    let (room, host) = conference.split_once('@').unwrap_or((conference, ""));
    let domain = host.split_once('.').map_or(host, |(_, domain)| domain);
    format!("{}?room={}&domain={}", at.path, encoded(room), encoded(domain))
}

fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// `None`: not what the module says.
fn read(status: u16, body: &[u8]) -> Option<bool> {
    match status {
        404 => Some(false),
        200 => {
            let body: serde_json::Value = serde_json::from_slice(body).ok()?;
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
        let query = query(&at, "stra%c3%9fe@conference.meet.test");
        assert_eq!(query, "/room-size?room=stra%25c3%259fe&domain=meet.test");
        assert_eq!(read(200, b"{\"participants\":2}"), Some(true));
        assert_eq!(read(200, b"{\"participants\":0}"), Some(false));
        assert_eq!(read(404, b""), Some(false));
        for other in ["", "[]", "{}", "}{", "{\"participants\":\"2\"}"] {
            assert_eq!(read(200, other.as_bytes()), None, "{other}");
        }
        assert_eq!(read(500, b"{\"participants\":2}"), None);
    }
}
