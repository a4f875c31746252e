//! Knocks at a bridge's door for `weebee check`: one STUN Binding request (RFC 8445 §7.2.2) with the credentials of its
//! offer, repeated for two seconds. An answer proves the route both ways; no transport comes of it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use aws_lc_rs::hmac;
use is::stun::{StunMessage, TransId};
use tokio::net::UdpSocket;

/// Requests, and the pause after each.
const KNOCKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(400);
/// Priority of a peer-reflexive candidate of ours (RFC 8445 §5.1.2.1).
const PRIORITY: u32 = (110 << 24) | (65_535 << 8) | 255;

/// What an offer says of the door.
#[derive(Clone, Debug)]
pub struct Door {
    /// A candidate.
    pub address: SocketAddr,
    /// Its `ufrag`.
    pub ufrag: String,
    /// Its `pwd`.
    pub password: String,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Our address on this machine.
    pub local: SocketAddr,
    /// Our address as the bridge sees it.
    pub seen_as: Option<SocketAddr>,
}

/// Knocks from `bind`, or from whatever address leads there. `TimedOut`: nobody answered.
pub async fn knock(bind: Option<IpAddr>, door: &Door) -> io::Result<Answered> {
    let any = match door.address {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((bind.unwrap_or(any), 0)).await?;
    socket.connect(door.address).await?;
    let (local, id) = (socket.local_addr()?, TransId::new());
    let request = request(door, id)?;
    let mut answer = [0; 1_500];
    for _ in 0..KNOCKS {
        socket.send(&request).await?;
        let until = tokio::time::Instant::now() + PAUSE;
        while let Ok(read) = tokio::time::timeout_at(until, socket.recv(&mut answer)).await {
            let heard = answer.get(..read?).unwrap_or_default();
            if let Some(seen_as) = judge(heard, id, door) {
                return Ok(Answered { local, seen_as });
            }
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn request(door: &Door, id: TransId) -> io::Result<Vec<u8>> {
    let user = format!("{}:weebeecheck", door.ufrag);
    let message = StunMessage::binding_request(&user, id, false, 1, PRIORITY, false);
    let mut bytes = vec![0; 1_024];
    let length = message.to_bytes(Some(door.password.as_bytes()), &mut bytes, sha1_hmac);
    let length = length.map_err(|_| io::Error::other("credentials that are none"))?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Is this the answer, made by somebody who knows the password? Errors count: whoever makes them got our request.
fn judge(heard: &[u8], id: TransId, door: &Door) -> Option<Option<SocketAddr>> {
    let message = StunMessage::parse(heard).ok().filter(|message| message.trans_id() == id)?;
    let is_signed = message.verify(door.password.as_bytes(), sha1_hmac);
    match message.is_successful_binding_response() {
        true if is_signed => Some(message.mapped_address()),
        true => None,
        false => message.is_failed_binding_response().then_some(None),
    }
}

fn sha1_hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    parts.iter().for_each(|part| context.update(part));
    let mut tag = [0; 20];
    tag.copy_from_slice(context.sign().as_ref());
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn bridge() -> (UdpSocket, Door) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("bound");
        (
            socket,
            Door { address, ufrag: "a1b2".into(), password: "secretsecretsecretsecret".into() },
        )
    }

    #[tokio::test]
    async fn an_answer_with_the_right_password_is_believed_and_no_other() {
        let (socket, door) = bridge().await;
        let answering = async {
            let mut bytes = [0; 1_500];
            let mut wrong = true;
            loop {
                let (length, from) = socket.recv_from(&mut bytes).await.expect("a request");
                let request = StunMessage::parse(&bytes[..length]).expect("STUN");
                assert_eq!(request.split_username(), Some(("a1b2", "weebeecheck")));
                assert!(request.verify(door.password.as_bytes(), sha1_hmac));
                let reply = StunMessage::binding_reply(request.trans_id(), from);
                let password = if wrong { "forged" } else { door.password.as_str() };
                let mut out = [0; 500];
                let length = reply.to_bytes(Some(password.as_bytes()), &mut out, sha1_hmac);
                socket.send_to(&out[..length.expect("fits")], from).await.expect("sent");
                if !wrong {
                    return from;
                }
                wrong = false;
            }
        };
        let (from, answered) = tokio::join!(answering, knock(None, &door));
        assert_eq!(answered.expect("answered").seen_as, Some(from));
    }

    #[tokio::test]
    async fn silence_is_said_after_two_seconds() {
        let (_socket, door) = bridge().await;
        let error = knock(None, &door).await.expect_err("nobody answers");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
