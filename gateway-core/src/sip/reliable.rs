//! Reliable provisional responses (RFC 3262), the side that sends them: one at a time, repeated until its PRACK.
//!
//! Refuses to send anything; the dialog does. Numbers and matching are the parser crate's.

use std::collections::VecDeque;
use std::time::Duration;

use sipx_sip::rel::{self, Numbering, Offered, RAck};

use super::outbox::Path;
use super::wire::{HeaderName, Request, Response, build};

/// Reliable provisional responses of one INVITE.
#[derive(Debug)]
pub struct Provisionals {
    /// What the peer allows and our trunk wants.
    pub rule: rel::Reliability,
    numbering: Numbering,
    /// Sent and not acknowledged.
    pub pending: Option<Pending>,
    /// To be sent when that one is acknowledged.
    pub waiting: VecDeque<(Response, bool)>,
    /// The owner accepted meanwhile: the 200 waits for the PRACK of a response with a description (§3).
    pub accepted: Option<Vec<u8>>,
    /// A description of ours went out reliably and was acknowledged.
    pub has_told_sdp: bool,
}

/// A reliable provisional response without its PRACK.
#[derive(Debug)]
pub struct Pending {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its way.
    pub path: Path,
    /// Until it is repeated.
    pub interval: Duration,
    /// It carries a description.
    pub has_sdp: bool,
}

impl Provisionals {
    /// For an INVITE. `is_wanted`: the trunk sends reliably where it may. `first` numbers the first response.
    pub fn of_invite(invite: &Request, is_wanted: bool, first: u32) -> Self {
        let rule = match rel::reliability(Offered::in_request(invite), true) {
            rel::Reliability::Permitted if !is_wanted => rel::Reliability::Forbidden,
            rule => rule,
        };
        Self {
            rule,
            numbering: Numbering::starting_at(first),
            pending: None,
            waiting: VecDeque::new(),
            accepted: None,
            has_told_sdp: false,
        }
    }

    /// Whether provisional responses go out reliably.
    pub fn is_reliable(&self) -> bool {
        matches!(self.rule, rel::Reliability::Required | rel::Reliability::Permitted)
    }

    /// Numbers a response; `None` while another one is not acknowledged.
    pub fn number(&mut self, response: &mut Response) -> Option<()> {
        let number = self.numbering.allocate()?;
        build::push(&mut response.headers, HeaderName::Require, rel::OPTION_TAG);
        build::push(&mut response.headers, HeaderName::RSeq, number.to_string());
        Some(())
    }

    /// A PRACK. `Some(has_sdp)`: it acknowledges the pending response.
    pub fn acknowledged(&mut self, prack: &Request, invite_cseq: u32) -> Option<bool> {
        let ack = prack.headers.typed::<RAck>()?.ok()?;
        if !self.numbering.acknowledge(&ack, invite_cseq, b"INVITE") {
            return None;
        }
        let pending = self.pending.take()?;
        self.has_told_sdp |= pending.has_sdp;
        Some(pending.has_sdp)
    }
}

/// Provisional responses that may wait for a PRACK. More: the newest is not sent.
pub const WAITING_MAX: usize = 4;
