//! INFO that we send (RFC 6086): in order, one at a time, and nothing that happens to one ends the call.
//!
//! What is to be told before the dialog stands waits for it; at a full queue the newest is given up. An INFO that
//! fails or is never answered is counted and told to the owner, and the next one goes.

use std::collections::VecDeque;
use std::time::Instant;

use super::calling::is_final;
use super::{Dialog, Phase};
use crate::base::limits::{SIP_INFO_BODY_MAX, SIP_INFOS_WAITING_MAX};
use crate::sip::endpoint::core::Core;
use crate::sip::endpoint::{ApiMisuse, UaEvent};
use crate::sip::transaction::{Outcome, TransactionEvent, TransactionId};
use crate::sip::wire::{Method, build};

/// What is to be told, and what waits for its answer.
#[derive(Debug, Default)]
pub struct Informing {
    pub(super) transaction: Option<TransactionId>,
    waiting: VecDeque<(String, Vec<u8>)>,
}

impl Dialog {
    /// The owner tells the far side something.
    pub fn inform(
        &mut self,
        now: Instant,
        core: &mut Core,
        content_type: String,
        body: Vec<u8>,
    ) -> Result<(), ApiMisuse> {
        if body.len() > SIP_INFO_BODY_MAX {
            return Err(ApiMisuse::BadArgument("info: the body is too long"));
        }
        if self.informing.waiting.len() >= SIP_INFOS_WAITING_MAX {
            self.info_failed(core);
            return Ok(());
        }
        self.informing.waiting.push_back((content_type, body));
        self.inform_if_free(now, core);
        Ok(())
    }

    /// The next one, if the dialog stands and none waits for its answer.
    pub(super) fn inform_if_free(&mut self, now: Instant, core: &mut Core) {
        while self.stands() && self.informing.transaction.is_none() {
            if !self.send_next_info(now, core) {
                return;
            }
        }
    }

    /// All that waits, at once: the dialog is about to end.
    pub(super) fn inform_of_all(&mut self, now: Instant, core: &mut Core) {
        while self.stands() && self.send_next_info(now, core) {}
    }

    fn stands(&self) -> bool {
        matches!(self.phase, Phase::Confirmed) && !self.awaits_ack() && self.owed.is_none()
    }

    /// False: nothing waits.
    fn send_next_info(&mut self, now: Instant, core: &mut Core) -> bool {
        let Some((content_type, body)) = self.informing.waiting.pop_front() else { return false };
        let (mut request, path) = self.peer.request(now, core, Method::Info, None);
        core.add_contact(&mut request.headers, path);
        build::set_request_body(&mut request, &content_type, &body);
        core.out.counters.sip_infos_sent += 1;
        self.informing.transaction = self.send(now, core, request, path);
        if self.informing.transaction.is_none() {
            self.info_failed(core);
        }
        true
    }

    /// What became of an INFO of ours.
    pub(super) fn info_outcome(&mut self, now: Instant, core: &mut Core, event: &TransactionEvent) {
        if !is_final(&event.outcome) {
            return;
        }
        if self.informing.transaction == Some(event.id) {
            self.informing.transaction = None;
        }
        match &event.outcome {
            Outcome::Response(response) if response.status.is_success() => {
                if self.is_owned() {
                    core.out.event(UaEvent::InfoAnswered { dialog: self.key, ok: true });
                }
            }
            _ => self.info_failed(core),
        }
        self.inform_if_free(now, core);
    }

    fn info_failed(&self, core: &mut Core) {
        core.out.counters.sip_infos_failed += 1;
        if self.is_owned() {
            core.out.event(UaEvent::InfoAnswered { dialog: self.key, ok: false });
        }
    }
}
