//! Challenges to requests of ours (401, 407): the same request again, with a proof (RFC 3261 §22.2).

use std::time::Instant;

use super::Dialog;
use crate::sip::endpoint::core::Core;
use crate::sip::outbox::Path;
use crate::sip::transaction::{Owner, TransactionId};
use crate::sip::wire::{HeaderName, Request, Response, build};

impl Dialog {
    /// Sends a request of this dialog, with the proofs that were asked for before.
    pub(super) fn send(
        &mut self,
        now: Instant,
        core: &mut Core,
        mut request: Request,
        path: Path,
    ) -> Option<TransactionId> {
        self.sign(core, &mut request);
        self.dispatch(now, core, request, path)
    }

    /// Sends a request as it is; a large one by a stream, where the trunk wants that.
    pub(super) fn dispatch(
        &mut self,
        now: Instant,
        core: &mut Core,
        request: Request,
        path: Path,
    ) -> Option<TransactionId> {
        let owner = Owner::Dialog(self.key);
        let Some((large, stream)) = core.stream_instead(now, self.trunk, &request, path) else {
            return core.send(now, request, path, owner);
        };
        let id = core.send(now, large, stream, owner)?;
        self.detour = Some((id, Box::new(request), path));
        Some(id)
    }

    /// The stream for a large request could not be had: the same request by datagram (§18.1.1). `false`: it had
    /// not gone by one.
    pub(super) fn leave_detour(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: TransactionId,
    ) -> bool {
        let Some((_, request, path)) = self.detour.take_if(|(detour, ..)| *detour == id) else {
            return false;
        };
        let again = core.send(now, *request, path, Owner::Dialog(self.key));
        self.follow(id, again);
        true
    }

    /// Whoever waits for one transaction waits for another one instead.
    fn follow(&mut self, old: TransactionId, new: Option<TransactionId>) {
        if let Some(calling) = &mut self.outgoing
            && calling.transaction == Some(old)
        {
            calling.transaction = new;
        }
        if let Some(offering) = &mut self.offering
            && offering.transaction == Some(old)
        {
            offering.transaction = new;
        }
        if self.informing.transaction == Some(old) {
            self.informing.transaction = new;
        }
    }

    fn sign(&mut self, core: &mut Core, request: &mut Request) {
        if self.keyring.is_empty() {
            return;
        }
        let trunk = core.config.trunks.get(usize::from(self.trunk.0));
        if let Some(user) = trunk.and_then(|trunk| trunk.credentials.as_ref()) {
            self.keyring.sign(&mut core.rng, user, request);
        }
    }

    /// Answers a challenge. `false`: we cannot, or did in vain.
    pub(super) fn prove(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: TransactionId,
        response: &Response,
    ) -> bool {
        let has_credentials = core.trunk(self.trunk).is_some_and(|t| t.credentials.is_some());
        if !has_credentials || self.proofs >= PROOFS_MAX || self.is_unwanted(id) {
            return false;
        }
        if !self.keyring.take(response) {
            return false;
        }
        self.proofs += 1;
        self.send_again(now, core, id, |_| {}).is_some()
    }

    /// The same request again: next CSeq, new branch, fresh proofs. Whoever waits for the old one waits for it.
    pub(super) fn send_again(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: TransactionId,
        change: impl FnOnce(&mut Request),
    ) -> Option<TransactionId> {
        let (request, path) = core.transactions.sent_request(id)?;
        let mut request = request.clone();
        core.renew_via(&mut request, path);
        let cseq = self.peer.next_cseq();
        let number = [cseq.to_string().as_bytes(), b" ", request.method.as_bytes()].concat();
        build::set(&mut request.headers, HeaderName::CSeq, number);
        change(&mut request);
        self.sign(core, &mut request);
        core.transactions.disown(id);
        let again = core.send(now, request.clone(), path, Owner::Dialog(self.key));
        if self.is_first_invite(id)
            && let Some(calling) = &mut self.outgoing
        {
            calling.request = request;
            calling.path = path;
        }
        self.follow(id, again);
        again
    }
}

/// Challenges answered in a row: a proxy's and a registrar's, and one that found its nonce stale.
const PROOFS_MAX: u8 = 4;
