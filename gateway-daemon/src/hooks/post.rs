//! One signed `POST` per connection.

use std::time::Duration;

use axum::http::{Request, header};
use gateway_core::base::pii::Pii;
use gateway_core::io::wall_clock;
use gateway_core::io::xmpp::{Trust, WebAddress};
use http_body_util::Full;
use hyper::body::Bytes;

use super::sign;
use crate::client::Client;

/// The way to a program.
#[derive(Clone)]
pub struct Post {
    client: Client,
    secret: Pii<String>,
}

/// What a request carries beside its body.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// Name of the event, or `route`.
    pub event: &'a str,
    /// Names this delivery; the same when it is sent again.
    pub id: &'a str,
    /// JSON.
    pub body: &'a str,
}

/// An answer of 200 to 299, with its body.
pub type Answered = Vec<u8>;

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostFailure {
    /// It may work later.
    Later(String),
    /// The same request will be refused again.
    Refused(String),
}

impl std::fmt::Debug for Post {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Post({})", self.client.address())
    }
}

impl Post {
    /// A way to `address`. The error is a sentence with a remedy.
    pub fn new(address: WebAddress, trust: &Trust, secret: Pii<String>) -> Result<Self, String> {
        let client = Client::new(address, trust, "address, network and program")?;
        Ok(Self { client, secret })
    }

    /// Sends a letter and judges the answer.
    pub async fn send(
        &self,
        letter: Letter<'_>,
        within: Duration,
    ) -> Result<Answered, PostFailure> {
        let exchange = tokio::time::timeout(within, self.exchange(letter)).await;
        let (status, body) = match exchange {
            Ok(done) => done.map_err(PostFailure::Later)?,
            Err(_) => {
                let what = format!(
                    "no answer of {} within {} ms",
                    self.client.address(),
                    within.as_millis()
                );
                return Err(PostFailure::Later(what));
            }
        };
        let said = |remedy: &str| format!("{} answers {status}; {remedy}", self.client.address());
        match status {
            200..=299 => Ok(body),
            300..=399 => {
                Err(PostFailure::Refused(said("redirects are not followed: write where it leads")))
            }
            401 | 403 => Err(PostFailure::Refused(said("check its secret against secret_file"))),
            404 | 405 | 410 => Err(PostFailure::Refused(said("check the address"))),
            408 | 425 | 429 => Err(PostFailure::Later(said("it wants fewer requests"))),
            400..=499 => Err(PostFailure::Refused(said("see the program's log"))),
            _ => Err(PostFailure::Later(said("see the program's log"))),
        }
    }

    async fn exchange(&self, letter: Letter<'_>) -> Result<(u16, Answered), String> {
        let (status, _, body) = self.client.ask(self.request(letter)?, ANSWER_BYTES_MAX).await?;
        Ok((status, body))
    }

    fn request(&self, letter: Letter<'_>) -> Result<Request<Full<Bytes>>, String> {
        let unix = wall_clock().unix.as_secs();
        let made = Request::post(&self.client.address().path)
            .header(header::HOST, self.client.address().authority())
            .header(header::USER_AGENT, concat!("weebee/", env!("CARGO_PKG_VERSION")))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .header("X-WB-Event", letter.event)
            .header("X-WB-Delivery", letter.id)
            .header(sign::HEADER, sign::sign(&self.secret, unix, letter.body.as_bytes()))
            .body(Full::new(Bytes::copy_from_slice(letter.body.as_bytes())));
        made.map_err(|_| format!("{} cannot be written into a request", self.client.address()))
    }
}

/// An answer about one call fits many times.
const ANSWER_BYTES_MAX: usize = 64 << 10;
