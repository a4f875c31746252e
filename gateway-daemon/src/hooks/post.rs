//! One signed `POST` per connection, HTTP/1.1, with TLS where the address says so. Sizes and times are capped; redirects are
//! not followed: they would carry signed bodies elsewhere.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, header};
use gateway_core::base::pii::Pii;
use gateway_core::io::wall_clock;
use gateway_core::io::xmpp::{Trust, WebAddress, tls};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::sign;

/// A connection, with TLS or without.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// The way to a program.
#[derive(Clone)]
pub struct Post {
    address: WebAddress,
    tls: Arc<ClientConfig>,
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
        write!(formatter, "Post({})", self.address)
    }
}

impl Post {
    /// A way to `address`. The error is a sentence with a remedy.
    pub fn new(address: WebAddress, trust: &Trust, secret: Pii<String>) -> Result<Self, String> {
        Ok(Self { address, tls: tls::client_config(trust)?, secret })
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
                let what =
                    format!("no answer of {} within {} ms", self.address, within.as_millis());
                return Err(PostFailure::Later(what));
            }
        };
        let said = |remedy: &str| format!("{} answers {status}; {remedy}", self.address);
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

    async fn wire(&self) -> Result<Box<dyn Wire>, String> {
        let WebAddress { host, port, secure, .. } = &self.address;
        let refused = |error: std::io::Error| {
            format!(
                "cannot reach {}: {}; check address, network and program",
                self.address,
                error.kind()
            )
        };
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(refused)?;
        let _ = stream.set_nodelay(true);
        if !secure {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(host.clone())
            .map_err(|_| format!("{host:?} is no name for TLS"))?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(name, stream).await.map_err(|error| {
            let failure = tls::failure_of(&error);
            format!(
                "TLS with {}: {failure}; set ca_file if its certificate is your own",
                self.address
            )
        })?;
        Ok(Box::new(stream))
    }

    async fn exchange(&self, letter: Letter<'_>) -> Result<(u16, Answered), String> {
        let wire = self.wire().await?;
        let broken = |error: hyper::Error| format!("{}: broken HTTP: {error}", self.address);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(wire)).await.map_err(broken)?;
        // Ends with its connection, which lives no longer than this exchange.
        let driver = Driver(tokio::spawn(connection));
        let answer = sender.send_request(self.request(letter)?).await.map_err(broken)?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| format!("{}: broken body: {error}", self.address))?;
        drop(driver);
        Ok((status, body.to_bytes().to_vec()))
    }

    fn request(&self, letter: Letter<'_>) -> Result<Request<Full<Bytes>>, String> {
        let unix = wall_clock().unix.as_secs();
        let made = Request::post(&self.address.path)
            .header(header::HOST, self.address.authority())
            .header(header::USER_AGENT, concat!("weebee/", env!("CARGO_PKG_VERSION")))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close")
            .header("X-WB-Event", letter.event)
            .header("X-WB-Delivery", letter.id)
            .header(sign::HEADER, sign::sign(&self.secret, unix, letter.body.as_bytes()))
            .body(Full::new(Bytes::copy_from_slice(letter.body.as_bytes())));
        made.map_err(|_| format!("{} cannot be written into a request", self.address))
    }
}

/// A task that ends with its owner, also where that is cancelled.
struct Driver<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer about one call fits many times.
const ANSWER_BYTES_MAX: usize = 64 << 10;
