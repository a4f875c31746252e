//! The WebSocket of a line: carries texts, decides nothing.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::http::Web;
use super::line::LineFailure;
use crate::client::Wire;

/// What a socket says.
#[derive(Debug)]
pub(super) enum SocketNews {
    /// It is open.
    Opened,
    /// A text came.
    Text(String),
    /// It could not be opened, or is lost. The last news.
    Closed(LineFailure),
}

/// Opens a socket and carries `queue` to it and what it says to `tell`, until either end goes away.
pub(super) async fn run(
    web: Web,
    mut queue: mpsc::Receiver<String>,
    tell: impl AsyncFn(SocketNews) -> bool,
) {
    let failure = match tokio::time::timeout(CONNECT_WITHIN, connect(&web)).await {
        Err(_) => LineFailure::Silent,
        Ok(Err(what)) => LineFailure::Socket(what),
        Ok(Ok(mut socket)) => {
            if !tell(SocketNews::Opened).await {
                return;
            }
            match carry(&mut socket, &mut queue, &tell).await {
                Some(failure) => failure,
                None => {
                    let _ = tokio::time::timeout(WRITE_PATIENCE, socket.close(None)).await;
                    return;
                }
            }
        }
    };
    tell(SocketNews::Closed(failure)).await;
}

async fn connect(web: &Web) -> Result<WebSocketStream<Box<dyn Wire>>, String> {
    let wire = web.wire().await?;
    let request = web.socket_url().into_client_request();
    let request = request.map_err(|error| format!("no address of a WebSocket: {error}"))?;
    let caps = WebSocketConfig::default()
        .max_message_size(Some(TEXT_BYTES_MAX))
        .max_frame_size(Some(TEXT_BYTES_MAX));
    let made = tokio_tungstenite::client_async_with_config(request, wire, Some(caps)).await;
    made.map(|(socket, _)| socket).map_err(|error| {
        format!(
            "no WebSocket at /websocket: {error}; let the proxy before Rocket.Chat pass WebSockets"
        )
    })
}

/// `None`: nobody wants it any more.
async fn carry(
    socket: &mut WebSocketStream<Box<dyn Wire>>,
    queue: &mut mpsc::Receiver<String>,
    tell: &impl AsyncFn(SocketNews) -> bool,
) -> Option<LineFailure> {
    loop {
        tokio::select! {
            text = queue.recv() => {
                let sending = socket.send(Message::text(text?));
                match tokio::time::timeout(WRITE_PATIENCE, sending).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return Some(LineFailure::Socket(format!("the WebSocket is lost: {error}"))),
                    Err(_) => return Some(LineFailure::Silent),
                }
            }
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    if !tell(SocketNews::Text(text.as_str().to_owned())).await {
                        return None;
                    }
                }
                Some(Ok(Message::Close(_))) | None => {
                    return Some(LineFailure::Socket("Rocket.Chat closed the WebSocket".to_owned()));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Some(LineFailure::Socket(format!("the WebSocket is lost: {error}"))),
            },
        }
    }
}

/// Patience for address, TLS and handshake.
const CONNECT_WITHIN: Duration = Duration::from_secs(12);
/// A server that does not read for this long is gone.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// A message with attachments and previews is rarely above 100 KiB; longer ones cost the line, which comes back.
const TEXT_BYTES_MAX: usize = 8 << 20;
