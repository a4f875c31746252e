//! The WebSocket of a bridge channel (`/colibri-ws/...`), where a deployment has that instead of SCTP: the address is in the
//! focus's offer, with its secret, and lives as long as the session with the bridge. One task each.
//!
//!   connect -> up -> lost -> wait -> connect ...      until nobody holds its queue
//!
//! Sound works without it, so its troubles are told to nobody but the log.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tracing::{debug, info};

use super::XmppEvent;
use super::backoff::Backoff;
use super::failure::{Failure, Step};
use super::hosts::HostNames;
use super::link::{WRITE_PATIENCE, Wire, secure, socket_failure};
use super::site::WebAddress;
use super::stream::Told;
use crate::base::ids::StreamKey;
use crate::base::limits::JITSI_JSON_BYTES_MAX;
use crate::base::pii::Pii;
use crate::base::rng::Rng;
use crate::leg::backend::SocketNews;

/// A bridge answers within this.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Proxies close what is silent for a minute.
const PING_EVERY: Duration = Duration::from_secs(15);
/// A bridge that answers no ping for this long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(40);

/// A socket's task.
pub(super) struct SocketTask {
    pub key: StreamKey,
    pub generation: u64,
    pub tls: Arc<ClientConfig>,
    pub hosts: HostNames,
    pub url: Pii<String>,
    pub events: mpsc::Sender<Told>,
    pub rng: Rng,
}

/// How a connection ended.
enum End {
    Failed(Failure, Duration),
    Closed,
}

impl SocketTask {
    /// Runs until the queue's sender is dropped.
    pub async fn run(self, mut queue: mpsc::Receiver<String>) {
        let mut backoff = Backoff::new(self.rng.fork("back-off"));
        loop {
            let End::Failed(failure, up) = self.attempt(&mut queue).await else { return };
            let wait = backoff.failed(up, failure.needs_somebody());
            let label = failure.label();
            match backoff.failures() {
                1 => info!(stream = %self.key, label, "no WebSocket to the bridge"),
                _ => debug!(stream = %self.key, label, "still no WebSocket to the bridge"),
            }
            let sleep = tokio::time::sleep(wait);
            tokio::pin!(sleep);
            loop {
                tokio::select! {
                    () = &mut sleep => break,
                    // What could not be sent is old by the time somebody listens.
                    text = queue.recv() => if text.is_none() { return },
                }
            }
        }
    }

    async fn attempt(&self, queue: &mut mpsc::Receiver<String>) -> End {
        let connecting = tokio::time::timeout(CONNECT_WITHIN, self.connect());
        tokio::pin!(connecting);
        let connected = loop {
            tokio::select! {
                connected = &mut connecting => break connected,
                text = queue.recv() => if text.is_none() { return End::Closed },
            }
        };
        let late = || Failure::TimedOut(Step::Connect);
        let mut socket = match connected.unwrap_or_else(|_| Err(late())) {
            Ok(socket) => socket,
            Err(failure) => return End::Failed(failure, Duration::ZERO),
        };
        let began = crate::io::now();
        if self.tell(SocketNews::Up).await.is_err() {
            return End::Closed;
        }
        let end = self.carry(&mut socket, queue).await;
        let goodbye = tokio::time::timeout(WRITE_PATIENCE, socket.close(None));
        match end {
            None => {
                let _ = goodbye.await;
                End::Closed
            }
            Some(failure) => {
                if self.tell(SocketNews::Down).await.is_err() {
                    return End::Closed;
                }
                End::Failed(failure, crate::io::now().saturating_duration_since(began))
            }
        }
    }

    /// Carries texts both ways. `None`: nobody wants it any more.
    async fn carry(
        &self,
        socket: &mut WebSocketStream<Wire>,
        queue: &mut mpsc::Receiver<String>,
    ) -> Option<Failure> {
        let mut ping = tokio::time::interval(PING_EVERY);
        let mut heard = crate::io::now();
        loop {
            let outgoing = tokio::select! {
                text = queue.recv() => match text {
                    Some(text) => Message::text(text),
                    None => return None,
                },
                message = socket.next() => {
                    heard = crate::io::now();
                    match message {
                        Some(Ok(Message::Text(text))) => {
                            let news = SocketNews::Text(text.as_str().to_owned());
                            self.tell(news).await.ok()?;
                            continue;
                        }
                        Some(Ok(Message::Close(_))) | None => return Some(Failure::Closed),
                        Some(Ok(_)) => continue,
                        Some(Err(error)) => return Some(socket_failure(&error)),
                    }
                },
                _ = ping.tick() => {
                    if crate::io::now().saturating_duration_since(heard) > SILENCE_MAX {
                        return Some(Failure::Silent);
                    }
                    Message::Ping(Vec::new().into())
                }
            };
            match tokio::time::timeout(WRITE_PATIENCE, socket.send(outgoing)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Some(socket_failure(&error)),
                Err(_) => return Some(Failure::TimedOut(Step::Write)),
            }
        }
    }

    async fn connect(&self) -> Result<WebSocketStream<Wire>, Failure> {
        let url = self.url.reveal();
        let not_one = |_| Failure::NotXmpp("a WebSocket address that is none");
        let place = url.split_once('?').map_or(url.as_str(), |(place, _)| place);
        let address = WebAddress::parse(place).map_err(not_one)?;
        let stream = self.hosts.connect(&address.host, address.port).await?;
        let wire = match address.secure {
            true => secure(stream, &address.host, &self.tls).await?,
            false => Wire::Plain(stream),
        };
        let request = url.as_str().into_client_request();
        let request = request.map_err(|_| Failure::NotXmpp("a WebSocket address that is none"))?;
        let caps = WebSocketConfig::default()
            .max_message_size(Some(JITSI_JSON_BYTES_MAX))
            .max_frame_size(Some(JITSI_JSON_BYTES_MAX));
        let made = tokio_tungstenite::client_async_with_config(request, wire, Some(caps)).await;
        made.map(|(socket, _)| socket).map_err(|error| socket_failure(&error))
    }

    async fn tell(&self, news: SocketNews) -> Result<(), ()> {
        let (key, generation) = (self.key, self.generation);
        let told = Told { key, generation, event: XmppEvent::BridgeSocket(news) };
        self.events.send(told).await.map_err(|_| ())
    }
}
