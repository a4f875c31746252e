//! What leaves the endpoint: bytes with their way, and events, in the order they were made.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::endpoint::{EndpointCounters, EndpointOutput, TransportOutput, UaEvent};
use crate::base::ids::{FlowId, ListenerId};

/// The way of a message: a listener and the far side, and on streams the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path {
    /// Our side.
    pub listener: ListenerId,
    /// The far side.
    pub peer: SocketAddr,
    /// The connection. `None`: datagrams.
    pub flow: Option<FlowId>,
}

/// Outputs on their way out, and the counters that every part of the endpoint adds to.
#[derive(Debug, Default)]
pub struct Outbox {
    outputs: VecDeque<EndpointOutput>,
    /// What was seen and done.
    pub counters: EndpointCounters,
}

impl Outbox {
    /// Sends bytes.
    pub fn send(&mut self, path: Path, bytes: Vec<u8>) {
        self.counters.sip_messages_sent += 1;
        self.transport(match path.flow {
            Some(flow) => TransportOutput::Write { flow, bytes },
            None => TransportOutput::Datagram { listener: path.listener, to: path.peer, bytes },
        });
    }

    /// Asks something else of the sockets.
    pub fn transport(&mut self, output: TransportOutput) {
        self.outputs.push_back(EndpointOutput::Transport(output));
    }

    /// Tells the owner of a dialog.
    pub fn event(&mut self, event: UaEvent) {
        self.outputs.push_back(EndpointOutput::Event(event));
    }

    /// The next output.
    pub fn pop(&mut self) -> Option<EndpointOutput> {
        self.outputs.pop_front()
    }
}
