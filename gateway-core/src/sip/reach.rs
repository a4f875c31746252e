//! Where a trunk's peer is now: one address of its configuration, or those its name has, the one in use first.
//!
//! Refuses to resolve names: io does and tells. A name that cannot be resolved any more keeps its last addresses. An
//! address that does not answer makes way for the next.

use std::net::SocketAddr;

/// Addresses kept of one name.
pub const ADDRESSES_MAX: usize = 8;

/// What is known of a peer's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameState {
    /// It has addresses.
    Resolved,
    /// It cannot be resolved now; its last addresses stay in use.
    Stale,
    /// It has never been resolved: requests cannot be sent.
    Unknown,
}

/// Addresses of one trunk's peer.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    addresses: Vec<SocketAddr>,
    /// The one in use.
    at: usize,
    /// Addresses that failed in a row.
    failures: usize,
    name: Option<NameState>,
}

impl Reach {
    /// Of a peer that is an address, or has none yet.
    pub fn new(address: Option<SocketAddr>) -> Self {
        Self { addresses: address.into_iter().collect(), ..Self::default() }
    }

    /// The address in use.
    pub fn address(&self) -> Option<SocketAddr> {
        self.addresses.get(self.at).copied()
    }

    /// All addresses.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What is known of the name. `None`: not asked yet, or no name.
    pub fn name(&self) -> Option<NameState> {
        self.name
    }

    /// What the name has now; empty: it could not be resolved. `true`: the address in use is another one. An address in
    /// use stays in use while the name has it, in whatever order they come.
    pub fn resolved(&mut self, addresses: &[SocketAddr]) -> bool {
        if addresses.is_empty() {
            let has_none = self.addresses.is_empty();
            self.name = Some(if has_none { NameState::Unknown } else { NameState::Stale });
            return false;
        }
        self.name = Some(NameState::Resolved);
        let used = self.address();
        let mut next = Vec::with_capacity(addresses.len().min(ADDRESSES_MAX));
        next.extend(used.filter(|used| addresses.contains(used)));
        for address in addresses {
            if next.len() < ADDRESSES_MAX && !next.contains(address) {
                next.push(*address);
            }
        }
        self.addresses = next;
        self.at = 0;
        let is_new = self.address() != used;
        if is_new {
            self.failures = 0;
        }
        is_new
    }

    /// Nobody answered at `address`. `true`: another one is in use now, and has not failed since one answered.
    pub fn failed(&mut self, address: SocketAddr) -> bool {
        if self.address() != Some(address) || self.addresses.len() < 2 {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        self.at = (self.at + 1) % self.addresses.len();
        self.failures < self.addresses.len()
    }

    /// Somebody answered.
    pub fn answered(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8) -> SocketAddr {
        ([192, 0, 2, last], 5060).into()
    }

    #[test]
    fn an_address_in_use_stays_while_its_name_has_it() {
        let mut reach = Reach::default();
        assert!(reach.resolved(&[at(1), at(2)]));
        assert!(!reach.resolved(&[at(2), at(1), at(3), at(3)]));
        assert_eq!(reach.addresses(), [at(1), at(2), at(3)]);
        assert!(reach.resolved(&[at(2)]));
        assert_eq!(reach.address(), Some(at(2)));
    }

    #[test]
    fn a_name_that_is_gone_keeps_its_last_addresses() {
        let mut reach = Reach::default();
        assert!(!reach.resolved(&[]));
        assert_eq!((reach.address(), reach.name()), (None, Some(NameState::Unknown)));
        reach.resolved(&[at(1)]);
        assert!(!reach.resolved(&[]));
        assert_eq!((reach.address(), reach.name()), (Some(at(1)), Some(NameState::Stale)));
        assert!(!reach.resolved(&[at(1)]));
        assert_eq!(reach.name(), Some(NameState::Resolved));
    }

    #[test]
    fn each_address_is_tried_once_at_once_and_then_with_patience() {
        let mut reach = Reach::default();
        reach.resolved(&[at(1), at(2)]);
        assert!(!reach.failed(at(9)), "not in use");
        assert!(reach.failed(at(1)));
        assert_eq!(reach.address(), Some(at(2)));
        assert!(!reach.failed(at(2)), "both have failed");
        assert_eq!(reach.address(), Some(at(1)));
        reach.answered();
        assert!(reach.failed(at(1)));
        let mut alone = Reach::new(Some(at(1)));
        assert!(!alone.failed(at(1)));
        assert_eq!(alone.address(), Some(at(1)));
    }

    #[test]
    fn a_name_with_many_addresses_is_bounded() {
        let many: Vec<SocketAddr> = (0..=255).map(at).collect();
        let mut reach = Reach::default();
        reach.resolved(&many);
        assert_eq!(reach.addresses().len(), ADDRESSES_MAX);
    }
}
