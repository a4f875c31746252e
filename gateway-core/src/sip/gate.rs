//! The gate: who may speak to us at all, decided before a byte is parsed.
//!
//! Refuses to answer. Unknown sources get nothing and cost no memory.

use std::net::IpAddr;

use super::trunk::{Cidr, TrunkConfig};
use crate::base::ids::TrunkId;

/// Which trunks an address may be.
#[derive(Debug)]
pub struct Gate {
    blocks: Vec<(Cidr, TrunkId)>,
}

impl Gate {
    /// From the trunks, in their order. The peer of a trunk counts as a source of it.
    pub fn new(trunks: &[TrunkConfig]) -> Self {
        let mut blocks = Vec::new();
        for (id, trunk) in (0u16..).map(TrunkId).zip(trunks) {
            blocks.extend(trunk.sources.iter().map(|cidr| (*cidr, id)));
            let peer = trunk.peer.map(|peer| peer.ip().to_canonical());
            let whole = peer.and_then(|ip| Cidr::new(ip, if ip.is_ipv4() { 32 } else { 128 }));
            blocks.extend(whole.map(|cidr| (cidr, id)));
        }
        Self { blocks }
    }

    /// The first trunk that `address` is a source of.
    pub fn trunk_of(&self, address: IpAddr) -> Option<TrunkId> {
        self.blocks.iter().find(|(cidr, _)| cidr.contains(address)).map(|(_, id)| *id)
    }
}
