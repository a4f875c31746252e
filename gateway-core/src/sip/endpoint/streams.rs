//! Connections of the endpoint: who may open one, what their bytes mean, what happens when they go.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Endpoint, Sender, TransportOutput};
use crate::base::ids::{FlowId, ListenerId};
use crate::sip::framing::{FlowDue, Received};
use crate::sip::gate::Verdict;
use crate::sip::outbox::Path;
use crate::sip::trunk::UnknownSource;

impl Endpoint {
    /// A connection was accepted, or one of ours is up.
    pub(super) fn stream_opened(
        &mut self,
        now: Instant,
        flow: FlowId,
        listener: ListenerId,
        peer: SocketAddr,
    ) {
        let is_known = self.gate.trunk_of(peer.ip()).is_some();
        if !is_known && self.core.config.unknown == UnknownSource::Drop {
            self.core.out.counters.sip_dropped_unknown_source += 1;
            return self.core.out.transport(TransportOutput::Close { flow });
        }
        if let Some(oldest) = self.core.flows.opened(now, flow, listener, peer) {
            self.close_flow(now, oldest);
        }
    }

    /// Bytes of a connection.
    pub(super) fn stream_bytes(&mut self, now: Instant, flow: FlowId, bytes: &[u8]) {
        let Some((listener, peer)) = self.core.flows.ends(flow) else { return };
        let path = Path { listener, peer, flow: Some(flow) };
        let (messages, is_ping) = match self.core.flows.received(now, flow, bytes) {
            Received::Messages(messages, is_ping) => (messages, is_ping),
            Received::Broken => {
                self.core.out.counters.sip_malformed += 1;
                return self.close_flow(now, flow);
            }
            Received::Unknown => return,
        };
        if is_ping {
            self.core.out.counters.sip_keepalives += 1;
            self.core.out.send(path, b"\r\n".to_vec());
        }
        for message in messages {
            let counters = &mut self.core.out.counters;
            let sender = match self.gate.stream_message(now, peer.ip(), counters) {
                Verdict::Trunk(trunk) => Sender::Trunk(trunk),
                Verdict::Stranger => Sender::Stranger,
                Verdict::KeepAlive(_) | Verdict::Drop => continue,
            };
            self.core.out.counters.sip_messages_received += 1;
            self.message(now, sender, path, message);
            self.settle_transactions(now);
        }
    }

    /// A connection closed, or could not be opened: what waits on it has failed.
    pub(super) fn stream_closed(&mut self, now: Instant, flow: FlowId) {
        let Some((listener, peer)) = self.core.flows.closed(flow) else { return };
        let path = Path { listener, peer, flow: Some(flow) };
        self.core.transactions.way_failed(now, path, &mut self.core.out);
        self.settle_transactions(now);
        self.connection_lost(now, listener, peer);
    }

    /// Due deadlines of connections.
    pub(super) fn stream_timeouts(&mut self, now: Instant) {
        while let Some(due) = self.core.flows.pop_due(now) {
            match due {
                FlowDue::TooSlow(flow) => self.close_flow(now, flow),
                FlowDue::Unused(flow) => {
                    self.core.out.transport(TransportOutput::Close { flow });
                    self.stream_closed(now, flow);
                }
                FlowDue::Ping(flow) => {
                    let bytes = b"\r\n\r\n".to_vec();
                    self.core.out.transport(TransportOutput::Write { flow, bytes });
                }
            }
        }
        self.settle_transactions(now);
    }

    fn close_flow(&mut self, now: Instant, flow: FlowId) {
        self.core.out.counters.sip_flows_closed += 1;
        self.core.out.transport(TransportOutput::Close { flow });
        self.stream_closed(now, flow);
    }
}
