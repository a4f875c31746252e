//! Ways to carry a stream: TCP with StartTLS, and WebSocket (RFC 7395). A link moves what the connection says and
//! reads what the server says; it decides nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use minidom::Element;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::bosh::BoshLink;
use super::failure::{Failure, Step};
use super::framing::{
    FOOTER, Heard, STANZA_BYTES_MAX, StreamReader, element, header, read_one, text_of,
};
use super::hosts::HostNames;
use super::site::{Transport, WebAddress, XmppSite};
use super::tls;

const NS_FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
/// Bytes read at once.
const READ_BYTES: usize = 8_192;
/// A server that does not read for this long is gone.
pub const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// A byte stream, plain or under TLS.
pub enum Wire {
    /// Plain.
    Plain(TcpStream),
    /// Under TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// What a link of a site is made with.
pub struct Ways<'a> {
    /// The site.
    pub site: &'a XmppSite,
    /// Its TLS.
    pub tls: &'a Arc<ClientConfig>,
    /// What is known of host names.
    pub hosts: &'a HostNames,
    /// `room`, `token`, `previd` ... for the web's query.
    pub parameters: &'a [(&'a str, &'a str)],
}

/// A connected way to a server.
pub enum Link {
    /// TCP.
    Stream(Box<StreamLink>),
    /// WebSocket.
    Socket(Box<SocketLink>),
    /// BOSH.
    Bosh(Box<BoshLink>),
}

impl Link {
    /// Connects. The caller watches the time.
    pub async fn connect(ways: &Ways<'_>) -> Result<Self, Failure> {
        let site = ways.site;
        match &site.transport {
            Transport::Tcp { host, port, .. } => {
                let name = site.trust.name.as_deref().unwrap_or(&site.domain);
                let stream = ways.hosts.connect(host, *port).await?;
                let link = StreamLink {
                    wire: Some(Wire::Plain(stream)),
                    reader: StreamReader::default(),
                    buffer: Vec::new(),
                    read: 0,
                    domain: site.domain.clone(),
                    name: name.to_owned(),
                    tls: Arc::clone(ways.tls),
                };
                Ok(Self::Stream(Box::new(link)))
            }
            Transport::WebSocket(address) => {
                SocketLink::connect(ways, address).await.map(|link| Self::Socket(Box::new(link)))
            }
            Transport::Bosh(address) => {
                Ok(Self::Bosh(Box::new(BoshLink::new(ways, address.clone()))))
            }
        }
    }

    /// Opens a stream (again).
    pub async fn open(&mut self) -> Result<(), Failure> {
        match self {
            Self::Stream(link) => {
                link.reader.restart();
                let header = header(&link.domain);
                link.write(header.as_bytes()).await
            }
            Self::Socket(link) => {
                let open = element("open", NS_FRAMING, &[("to", &link.domain), ("version", "1.0")]);
                link.send(&open).await
            }
            Self::Bosh(link) => link.open(),
        }
    }

    /// StartTLS: the server said it may begin.
    pub async fn secure(&mut self) -> Result<(), Failure> {
        match self {
            Self::Stream(link) => link.secure().await,
            _ => Err(Failure::NotXmpp("StartTLS inside the web")),
        }
    }

    /// Sends an element.
    pub async fn send(&mut self, element: &Element) -> Result<(), Failure> {
        match self {
            Self::Stream(link) => link.write(text_of(element).as_bytes()).await,
            Self::Socket(link) => link.send(element).await,
            Self::Bosh(link) => link.send(element),
        }
    }

    /// What the server says next. Cancel safe.
    pub async fn next(&mut self) -> Result<Heard, Failure> {
        match self {
            Self::Stream(link) => link.next().await,
            Self::Socket(link) => link.next().await,
            Self::Bosh(link) => link.next().await,
        }
    }

    /// Says goodbye. What was sent before has been handed to the system.
    pub async fn close(&mut self) {
        match self {
            Self::Stream(link) => {
                if link.write(FOOTER.as_bytes()).await.is_ok()
                    && let Some(wire) = &mut link.wire
                {
                    let _ = wire.shutdown().await;
                }
            }
            Self::Socket(link) => {
                let _ = link.send(&element("close", NS_FRAMING, &[])).await;
                let _ = link.socket.close(None).await;
            }
            Self::Bosh(link) => link.close().await,
        }
    }
}

/// Begins TLS as a client.
pub async fn secure(
    stream: TcpStream,
    name: &str,
    tls: &Arc<ClientConfig>,
) -> Result<Wire, Failure> {
    let name = ServerName::try_from(name.to_owned()).map_err(|_| Failure::TlsName)?;
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await;
    let stream = stream.map_err(|error| tls::failure_of(&error))?;
    Ok(Wire::Tls(Box::new(stream)))
}

/// Connects to a web server.
pub async fn web_wire(ways: &Ways<'_>, address: &WebAddress) -> Result<Wire, Failure> {
    let stream = ways.hosts.connect(&address.host, address.port).await?;
    if !address.secure {
        return Ok(Wire::Plain(stream));
    }
    let name = ways.site.trust.name.as_deref().unwrap_or(&address.host);
    secure(stream, name, ways.tls).await
}

/// TCP.
pub struct StreamLink {
    /// `None` only while TLS begins.
    wire: Option<Wire>,
    reader: StreamReader,
    buffer: Vec<u8>,
    /// Bytes of the buffer that were read.
    read: usize,
    domain: String,
    name: String,
    tls: Arc<ClientConfig>,
}

impl StreamLink {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let wire = self.wire.as_mut().ok_or(Failure::Closed)?;
        let writing = async {
            wire.write_all(bytes).await?;
            wire.flush().await
        };
        match tokio::time::timeout(WRITE_PATIENCE, writing).await {
            Ok(result) => result.map_err(|error| Failure::of_io(&error)),
            Err(_) => Err(Failure::TimedOut(Step::Write)),
        }
    }

    async fn secure(&mut self) -> Result<(), Failure> {
        // Bytes before TLS that came after `<proceed/>` were not protected by it: nobody may slip them in.
        if self.buffer.len() > self.read {
            return Err(Failure::NotXmpp("bytes between proceed and TLS"));
        }
        let Some(Wire::Plain(stream)) = self.wire.take() else {
            return Err(Failure::NotXmpp("TLS inside TLS"));
        };
        self.wire = Some(secure(stream, &self.name, &self.tls).await?);
        Ok(())
    }

    async fn next(&mut self) -> Result<Heard, Failure> {
        loop {
            let mut rest = self.buffer.get(self.read..).unwrap_or_default();
            let before = rest.len();
            let heard = self.reader.next(&mut rest);
            self.read += before - rest.len();
            if let Some(heard) = heard? {
                return Ok(heard);
            }
            self.buffer.clear();
            self.read = 0;
            self.buffer.reserve(READ_BYTES);
            let wire = self.wire.as_mut().ok_or(Failure::Closed)?;
            match wire.read_buf(&mut self.buffer).await {
                Ok(0) => return Err(Failure::Closed),
                Ok(_) => {}
                Err(error) => return Err(Failure::of_io(&error)),
            }
        }
    }
}

/// WebSocket.
pub struct SocketLink {
    socket: WebSocketStream<Wire>,
    domain: String,
}

impl SocketLink {
    async fn connect(ways: &Ways<'_>, address: &WebAddress) -> Result<Self, Failure> {
        let wire = web_wire(ways, address).await?;
        let scheme = if address.secure { "wss" } else { "ws" };
        let url = format!("{scheme}://{}{}", address.authority(), address.target(ways.parameters));
        let request = url.into_client_request();
        let mut request = request.map_err(|_| Failure::NotXmpp("a URL that is none"))?;
        let protocol = HeaderValue::from_static("xmpp");
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        let caps = WebSocketConfig::default()
            .max_message_size(Some(STANZA_BYTES_MAX))
            .max_frame_size(Some(STANZA_BYTES_MAX));
        let made = tokio_tungstenite::client_async_with_config(request, wire, Some(caps)).await;
        let (socket, _) = made.map_err(|error| socket_failure(&error))?;
        Ok(Self { socket, domain: ways.site.domain.clone() })
    }

    async fn send(&mut self, element: &Element) -> Result<(), Failure> {
        let sending = self.socket.send(Message::text(text_of(element)));
        match tokio::time::timeout(WRITE_PATIENCE, sending).await {
            Ok(result) => result.map_err(|error| socket_failure(&error)),
            Err(_) => Err(Failure::TimedOut(Step::Write)),
        }
    }

    async fn next(&mut self) -> Result<Heard, Failure> {
        loop {
            let message = match self.socket.next().await {
                Some(Ok(message)) => message,
                Some(Err(error)) => return Err(socket_failure(&error)),
                None => return Err(Failure::Closed),
            };
            let text = match message {
                Message::Text(text) => text,
                Message::Close(_) => return Err(Failure::Closed),
                Message::Binary(_) => return Err(Failure::NotXmpp("binary WebSocket messages")),
                // Pings are answered by the library with the next write or read.
                _ => continue,
            };
            if text.trim().is_empty() {
                continue;
            }
            let element = read_one(text.as_bytes())?;
            return Ok(match element.name() {
                "open" if element.has_ns(NS_FRAMING) => Heard::Header,
                "close" if element.has_ns(NS_FRAMING) => Heard::Footer,
                _ => Heard::Element(element),
            });
        }
    }
}

pub(super) fn socket_failure(error: &SocketError) -> Failure {
    match error {
        SocketError::Io(error) => Failure::of_io(error),
        SocketError::ConnectionClosed
        | SocketError::AlreadyClosed
        | SocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Failure::Closed,
        SocketError::Capacity(_) => Failure::Oversized,
        SocketError::Http(response) => Failure::HttpStatus(response.status().as_u16()),
        SocketError::Protocol(_) => Failure::NotXmpp("broken WebSocket frames"),
        _ => Failure::NotXmpp("no WebSocket"),
    }
}
