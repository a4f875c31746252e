//! SIP over TCP and TLS: accepting, connecting, reading and writing, each connection in a task with bounded queues.
//!
//! Who idles too long or writes nonsense is the endpoint's business; it closes a flow by its id.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::tls::TlsSides;
use crate::base::ids::{FlowId, ListenerId, TrunkId};

/// Connections at once. Above it new ones are closed at once.
pub const STREAMS_MAX: usize = 2_048;
/// Messages one connection may have unsent. Full: it is closed, the far side does not read.
const WRITES_PENDING_MAX: usize = 256;
/// Events of all connections that wait. Full: reading pauses.
const EVENTS_PENDING_MAX: usize = 256;
/// Bytes read at once.
const READ_BYTES: usize = 16_384;
/// A connection of ours is up within this, or never.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// What happened to a connection.
pub enum StreamEvent {
    /// A listener accepted one.
    Accepted(ListenerId, TcpStream, SocketAddr),
    /// One of ours is up.
    Connected(FlowId, ListenerId, SocketAddr),
    /// Bytes came.
    Bytes(FlowId, Vec<u8>),
    /// It is gone, or could not be made.
    Closed(FlowId),
}

/// All connections.
pub struct Streams {
    flows: BTreeMap<FlowId, Flow>,
    /// Even numbers: those the endpoint opens are odd.
    flow_next: u64,
    events: mpsc::Sender<StreamEvent>,
    tls: TlsSides,
}

struct Flow {
    writes: mpsc::Sender<Vec<u8>>,
    task: AbortHandle,
}

impl Streams {
    /// No connections, and where their events come out.
    pub fn new(tls: TlsSides) -> (Self, mpsc::Receiver<StreamEvent>) {
        let (events, receiver) = mpsc::channel(EVENTS_PENDING_MAX);
        (Self { flows: BTreeMap::new(), flow_next: 2, events, tls }, receiver)
    }

    /// The name of a trunk's peer has these addresses now: its TLS settings hold there.
    pub fn resolved(&mut self, trunk: TrunkId, addresses: &[SocketAddr]) {
        self.tls.resolved(trunk, addresses);
    }

    /// Accepts for ever.
    pub fn listen(&self, id: ListenerId, listener: TcpListener) {
        let events = self.events.clone();
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        if events.send(StreamEvent::Accepted(id, stream, peer)).await.is_err() {
                            return;
                        }
                    }
                    // Out of descriptors, or gone before it was accepted: the next one may be better.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
    }

    /// Takes an accepted connection in. `None`: there are too many.
    pub fn accepted(&mut self, listener: ListenerId, stream: TcpStream) -> Option<FlowId> {
        if self.flows.len() >= STREAMS_MAX {
            return None;
        }
        let flow = FlowId(self.flow_next);
        self.flow_next += 2;
        let (writes, queue) = mpsc::channel(WRITES_PENDING_MAX);
        let events = self.events.clone();
        let server = self.tls.server(listener);
        let task = tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            match server {
                None => carry(flow, stream.into_split(), queue, &events).await,
                Some(server) => {
                    let greeting = tokio::time::timeout(CONNECT_WITHIN, server.accept(stream));
                    if let Ok(Ok(stream)) = greeting.await {
                        carry(flow, tokio::io::split(stream), queue, &events).await;
                    }
                }
            }
            let _ = events.send(StreamEvent::Closed(flow)).await;
        });
        self.flows.insert(flow, Flow { writes, task: task.abort_handle() });
        Some(flow)
    }

    /// Opens a connection; writes may be queued at once.
    pub fn connect(&mut self, flow: FlowId, listener: ListenerId, to: SocketAddr) {
        let (writes, queue) = mpsc::channel(WRITES_PENDING_MAX);
        let events = self.events.clone();
        let client = self.tls.client(listener, to);
        let task = tokio::spawn(async move {
            let connecting = tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(to));
            if let Ok(Ok(stream)) = connecting.await {
                let _ = stream.set_nodelay(true);
                let up = StreamEvent::Connected(flow, listener, to);
                match client {
                    None => {
                        let _ = events.send(up).await;
                        carry(flow, stream.into_split(), queue, &events).await;
                    }
                    Some(client) => {
                        let greeting = tokio::time::timeout(CONNECT_WITHIN, client.greet(stream));
                        if let Ok(Some(stream)) = greeting.await {
                            let _ = events.send(up).await;
                            carry(flow, tokio::io::split(stream), queue, &events).await;
                        }
                    }
                }
            }
            let _ = events.send(StreamEvent::Closed(flow)).await;
        });
        self.flows.insert(flow, Flow { writes, task: task.abort_handle() });
    }

    /// Queues bytes. False: the far side does not read, or the connection is gone; close it.
    pub fn write(&mut self, flow: FlowId, bytes: Vec<u8>) -> bool {
        self.flows.get(&flow).is_some_and(|it| it.writes.try_send(bytes).is_ok())
    }

    /// Closes a connection after what is queued was written.
    pub fn close(&mut self, flow: FlowId) {
        // Dropping the queue's sender ends the task once it is empty; a peer that does not read must not keep it.
        if let Some(Flow { writes, task }) = self.flows.remove(&flow) {
            drop(writes);
            tokio::spawn(async move {
                tokio::time::sleep(CONNECT_WITHIN).await;
                task.abort();
            });
        }
    }

    /// Forgets a connection that closed. False if it was closed by us.
    pub fn closed(&mut self, flow: FlowId) -> bool {
        self.flows.remove(&flow).is_some()
    }
}

/// Reads and writes until either side is done.
async fn carry(
    flow: FlowId,
    (mut reader, mut writer): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    mut queue: mpsc::Receiver<Vec<u8>>,
    events: &mpsc::Sender<StreamEvent>,
) {
    let reading = async {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(length) => {
                    let bytes = buffer[..length].to_vec();
                    if events.send(StreamEvent::Bytes(flow, bytes)).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    let writing = async {
        while let Some(bytes) = queue.recv().await {
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
        let _ = writer.shutdown().await;
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
}
