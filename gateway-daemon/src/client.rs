//! The way to a web server: one HTTP/1.1 request per connection, with TLS where the address says so. Answers are capped, and
//! redirects are not followed: they would carry tokens and signed bodies elsewhere. Who asks sets the time limit.

use std::sync::Arc;

use axum::http::{HeaderMap, Request};
use gateway_core::io::xmpp::{Trust, WebAddress, tls};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection, with TLS or without.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A server that is asked.
#[derive(Clone)]
pub(crate) struct Client {
    address: WebAddress,
    tls: Arc<ClientConfig>,
    /// What to check where it cannot be reached.
    unreached: &'static str,
}

/// Status, headers and body.
pub(crate) type Answer = (u16, HeaderMap, Vec<u8>);

impl Client {
    /// A way to `address`. The error is a sentence with a remedy.
    pub(crate) fn new(
        address: WebAddress,
        trust: &Trust,
        unreached: &'static str,
    ) -> Result<Self, String> {
        Ok(Self { address, tls: tls::client_config(trust)?, unreached })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &WebAddress {
        &self.address
    }

    /// A new connection.
    pub(crate) async fn wire(&self) -> Result<Box<dyn Wire>, String> {
        let WebAddress { host, port, secure, .. } = &self.address;
        let refused = |error: std::io::Error| {
            format!("cannot reach {}: {}; check {}", self.address, error.kind(), self.unreached)
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

    /// Sends a request; of the answer at most `body_max` bytes.
    pub(crate) async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        body_max: usize,
    ) -> Result<Answer, String> {
        let wire = self.wire().await?;
        let broken = |error: hyper::Error| format!("{}: broken HTTP: {error}", self.address);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(wire)).await.map_err(broken)?;
        // Ends with its connection, which lives no longer than this exchange.
        let _driver = Driver(tokio::spawn(connection));
        let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        let body = Limited::new(body, body_max).collect().await;
        let body = body.map_err(|error| format!("{}: broken HTTP body: {error}", self.address))?;
        Ok((head.status.as_u16(), head.headers, body.to_bytes().to_vec()))
    }
}

/// A task that ends with its owner, also where that is cancelled.
struct Driver<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Driver<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
