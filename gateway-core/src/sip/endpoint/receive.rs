//! Requests and responses as they arrive: repeats to their transaction, the rest to their dialog, a new INVITE to a
//! dialog of its own. What needs no memory is answered without any (RFC 3261 §8.2.7).

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::{Endpoint, Sender, TAG_LENGTH, UaEvent, facts};
use crate::base::ids::{DialogKey, TrunkId};
use crate::base::limits::SIP_DIALOGS_CLOSING_MAX;
use crate::sip::dialog::ringing::terms_of;
use crate::sip::dialog::{Dialog, Peer};
use crate::sip::gate::Gate;
use crate::sip::outbox::Path;
use crate::sip::wire::body::Body;
use crate::sip::wire::incoming::client_transaction_name;
use crate::sip::wire::{
    HeaderName, Incoming, IncomingResponse, Malformed, Method, Request, Response, Via, build, text,
};

impl Endpoint {
    /// A request from a trunk.
    pub(super) fn request(&mut self, now: Instant, sender: Sender, path: Path, request: Request) {
        let incoming = match Incoming::read(request, path.peer) {
            Ok(incoming) => incoming,
            Err(fault) => return self.malformed(sender, path, &fault.0, fault.1),
        };
        match incoming.method() {
            Method::Ack => return self.ack(now, sender, path, &incoming),
            Method::Cancel => return self.cancel(now, sender, path, &incoming),
            _ => {}
        }
        let name = incoming.transaction_name(incoming.method());
        if let Some(id) = self.core.transactions.server(&name) {
            let out = &mut self.core.out;
            self.core.transactions.repeated(now, id, &incoming.request, out);
            return;
        }
        match incoming.to_tag() {
            Some(_) => self.inside(now, sender, path, &incoming),
            None => self.outside(now, sender, path, &incoming),
        }
    }

    /// A response from a trunk.
    pub(super) fn response(&mut self, now: Instant, response: Response) {
        let Some(incoming) = IncomingResponse::read(response) else {
            self.core.out.counters.sip_malformed += 1;
            return;
        };
        let out = &mut self.core.out;
        let IncomingResponse { response, transaction_name } = incoming;
        if !self.core.transactions.answered(now, &transaction_name, response, out) {
            self.core.out.counters.sip_stray_responses += 1;
        }
    }

    fn malformed(&mut self, sender: Sender, path: Path, request: &Request, fault: Malformed) {
        let may_answer = request.method != Method::Ack && sender != Sender::Stranger;
        match fault {
            Malformed::Answer(status, phrase) if may_answer => {
                self.core.out.counters.sip_bad_requests += 1;
                let tag = stateless_tag(request);
                let response = build::reply_with_reason(request, status, phrase, Some(&tag));
                let has_all = [HeaderName::Via, HeaderName::From, HeaderName::To]
                    .iter()
                    .all(|name| response.headers.get(name).is_some());
                if has_all {
                    self.core.out.send(path, build::encode_response(&response));
                }
            }
            _ => self.core.out.counters.sip_malformed += 1,
        }
    }

    /// An ACK: of a refusal (its transaction knows), or of a 2xx (its dialog knows).
    fn ack(&mut self, now: Instant, sender: Sender, path: Path, incoming: &Incoming) {
        let name = incoming.transaction_name(&Method::Invite);
        if let Some(id) = self.core.transactions.server(&name) {
            let out = &mut self.core.out;
            if !self.core.transactions.repeated(now, id, &incoming.request, out) {
                return;
            }
        }
        match self.dialog_of_request(sender, path, incoming) {
            Some(key) => {
                if let Some(dialog) = self.dialogs.get_mut(key) {
                    dialog.peer.seen(incoming, path);
                    dialog.ack_received(now, &mut self.core, incoming);
                }
                self.settle(key);
            }
            None => self.core.out.counters.sip_stray_acks += 1,
        }
    }

    /// §9.2: 200 when there is an INVITE transaction to cancel, 481 when not; late, it changes nothing.
    fn cancel(&mut self, now: Instant, sender: Sender, path: Path, incoming: &Incoming) {
        let name = incoming.transaction_name(&Method::Invite);
        let Some(id) = self.core.transactions.server(&name) else {
            return self.refuse_trunk(sender, path, incoming, 481);
        };
        let invite = (incoming.call_id.clone(), incoming.from_tag().to_vec());
        let key = match incoming.to_tag() {
            Some(_) => self.dialog_of_request(sender, path, incoming),
            None => self.invites.get(&invite).copied(),
        };
        let dialog = key.and_then(|key| self.dialogs.get_mut(key));
        if dialog.as_ref().is_some_and(|dialog| !is_of(&self.gate, dialog, sender, path)) {
            return self.refuse_trunk(sender, path, incoming, 481);
        }
        let tag = match &dialog {
            Some(dialog) => dialog.peer.local_tag.clone(),
            None => stateless_tag(&incoming.request),
        };
        let response = self.core.reply(&incoming.request, 200, Some(&tag));
        self.core.out.send(path, build::encode_response(&response));
        let Some(dialog) = dialog else { return };
        let key = dialog.key;
        match incoming.to_tag() {
            Some(_) => dialog.offer_cancelled(now, &mut self.core, id),
            None => dialog.cancelled(now, &mut self.core),
        }
        self.settle(key);
    }

    /// A request with a To tag: inside a dialog.
    fn inside(&mut self, now: Instant, sender: Sender, path: Path, incoming: &Incoming) {
        let key = self.dialog_of_request(sender, path, incoming);
        let Some(dialog) = key.and_then(|key| self.dialogs.get_mut(key)) else {
            return self.refuse_trunk(sender, path, incoming, 481);
        };
        let key = dialog.key;
        dialog.handle_request(now, &mut self.core, incoming, path);
        self.settle(key);
    }

    /// The dialog with this request's tags and Call-ID (§12.2.2), if this sender is its far side.
    fn dialog_of_request(
        &self,
        sender: Sender,
        path: Path,
        incoming: &Incoming,
    ) -> Option<DialogKey> {
        let tag = std::str::from_utf8(incoming.to_tag()?).ok()?;
        let key = *self.tags.get(tag)?;
        let dialog = self.dialogs.get(key)?;
        let peer = &dialog.peer;
        let is_same = peer.call_id == incoming.call_id && peer.remote_tag == incoming.from_tag();
        (is_same && is_of(&self.gate, dialog, sender, path)).then_some(key)
    }

    /// A request without a To tag.
    fn outside(&mut self, now: Instant, sender: Sender, path: Path, incoming: &Incoming) {
        if sender == Sender::Stranger && *incoming.method() != Method::Invite {
            self.core.out.counters.sip_dropped_unknown_source += 1;
            return;
        }
        if let Some(status) = self.unservable(incoming) {
            return self.refuse_trunk(sender, path, incoming, status);
        }
        let unknown = self.core.unknown_extensions(&incoming.request);
        if !unknown.is_empty() && sender != Sender::Stranger {
            return self.refuse_with(path, incoming, 420, |response| {
                build::push(&mut response.headers, HeaderName::Unsupported, unknown);
            });
        }
        match incoming.method() {
            Method::Invite => {
                if let Some(trunk) = self.admitted(now, sender, path, incoming) {
                    self.invited(now, trunk, path, incoming);
                }
            }
            Method::Options => self.options(path, incoming),
            Method::Bye | Method::Info | Method::Update | Method::Prack => {
                self.refuse(path, incoming, 481);
            }
            _ => {
                let tag = stateless_tag(&incoming.request);
                let response = self.core.not_allowed(&incoming.request, &tag);
                self.core.out.send(path, build::encode_response(&response));
            }
        }
    }

    /// Reasons to refuse that hold for every method (§8.2.2).
    fn unservable(&self, incoming: &Incoming) -> Option<u16> {
        if incoming.max_forwards == Some(0) && *incoming.method() != Method::Options {
            return Some(483);
        }
        let scheme = incoming.request.uri.scheme();
        if !scheme.is_sip() && incoming.request.uri.tel_parts().is_none() {
            return Some(416);
        }
        None
    }

    fn options(&mut self, path: Path, incoming: &Incoming) {
        let status = if self.is_draining { 503 } else { 200 };
        let tag = stateless_tag(&incoming.request);
        let mut response = self.core.reply(&incoming.request, status, Some(&tag));
        self.core.add_contact(&mut response.headers, path);
        self.core.add_abilities(&mut response.headers);
        build::push(&mut response.headers, HeaderName::Accept, "application/sdp");
        self.core.out.send(path, build::encode_response(&response));
    }

    /// A new call.
    fn invited(&mut self, now: Instant, trunk: TrunkId, path: Path, incoming: &Incoming) {
        let invite = (incoming.call_id.clone(), incoming.from_tag().to_vec());
        if self.invites.contains_key(&invite) {
            // §8.2.2.2: the same request by another way.
            self.core.out.counters.sip_merged += 1;
            return self.refuse(path, incoming, 482);
        }
        if self.is_full(trunk) {
            return self.refuse_for_now(path, incoming);
        }
        if self.is_own_request(incoming) {
            return self.refuse(path, incoming, 482);
        }
        let terms = match terms_of(&self.core, trunk, incoming) {
            Ok(terms) => terms,
            Err(least) => return self.refuse_as_too_brief(path, incoming, least),
        };
        let offer = match Body::of(&incoming.request.headers, incoming.request.body()) {
            Body::Empty => None,
            Body::Sdp(sdp) => Some(sdp),
            Body::SdpTooLong => return self.refuse(path, incoming, 488),
            Body::Other => return self.refuse(path, incoming, 415),
        };
        let tag = self.core.rng.token(TAG_LENGTH);
        let Some(peer) = Peer::of_invite(incoming, path, tag.clone()) else {
            return self.refuse(path, incoming, 400);
        };
        let facts = Box::new(facts::of_invite(incoming, path, self.trunk(trunk)));
        let core = &mut self.core;
        let key = self
            .dialogs
            .insert_with_key(|key| Dialog::invited(key, trunk, now, core, incoming, peer, terms));
        self.tags.insert(tag, key);
        self.invites.insert(invite, key);
        self.count_call(trunk);
        self.core.out.counters.sip_calls_in += 1;
        self.core.out.event(UaEvent::Invited { dialog: key, trunk, facts, offer });
        self.settle(key);
    }

    fn is_full(&mut self, trunk: TrunkId) -> bool {
        let counters = &mut self.core.out.counters;
        if self.is_draining {
            counters.sip_calls_while_draining += 1;
            return true;
        }
        let of_trunk = self.calls_of.get(usize::from(trunk.0)).copied().unwrap_or(0);
        let trunk_max =
            self.core.config.trunks.get(usize::from(trunk.0)).map_or(0, |t| t.calls_max);
        let is_full = self.is_overloaded
            || self.calls >= self.core.config.calls_max
            || of_trunk >= trunk_max
            || self.dialogs.len().saturating_sub(self.calls) >= SIP_DIALOGS_CLOSING_MAX
            || !self.core.transactions.has_room();
        counters.sip_calls_over_limit += u64::from(is_full);
        is_full
    }

    fn refuse_for_now(&mut self, path: Path, incoming: &Incoming) {
        let after = self.core.config.retry_after.as_secs().to_string();
        self.refuse_with(path, incoming, 503, |response| {
            build::push(&mut response.headers, HeaderName::RetryAfter, after);
        });
    }

    fn refuse_as_too_brief(&mut self, path: Path, incoming: &Incoming, least: Duration) {
        self.core.out.counters.sip_session_too_brief += 1;
        let least = least.as_secs().to_string();
        self.refuse_with(path, incoming, 422, |response| {
            build::push(&mut response.headers, HeaderName::MinSe, least);
        });
    }

    /// Whether this is an INVITE of ours that came back to us (a loop, §16.3).
    fn is_own_request(&self, incoming: &Incoming) -> bool {
        incoming.request.headers.typed_all::<Via>().skip(1).flatten().any(|via| {
            via.branch().is_some_and(|branch| {
                let name = client_transaction_name(branch, &Method::Invite);
                self.core.transactions.is_client(&name)
            })
        })
    }

    /// Refuses without memory; a stranger gets nothing.
    fn refuse_trunk(&mut self, sender: Sender, path: Path, incoming: &Incoming, status: u16) {
        match sender {
            Sender::Trunk(_) => self.refuse(path, incoming, status),
            Sender::Stranger => self.core.out.counters.sip_dropped_unknown_source += 1,
        }
    }

    /// Refuses without memory.
    fn refuse(&mut self, path: Path, incoming: &Incoming, status: u16) {
        self.refuse_with(path, incoming, status, |response| {
            if status == 415 {
                build::push(&mut response.headers, HeaderName::Accept, "application/sdp");
                build::push(&mut response.headers, HeaderName::AcceptEncoding, "identity");
            }
        });
    }

    pub(super) fn refuse_with(
        &mut self,
        path: Path,
        incoming: &Incoming,
        status: u16,
        decorate: impl FnOnce(&mut Response),
    ) {
        self.core.out.counters.sip_requests_refused += 1;
        let tag = stateless_tag(&incoming.request);
        let mut response = self.core.reply(&incoming.request, status, Some(&tag));
        decorate(&mut response);
        self.core.out.send(path, build::encode_response(&response));
    }
}

/// Whether a sender may speak inside this dialog: its trunk (several may be at one address), or the very source that made
/// it.
fn is_of(gate: &Gate, dialog: &Dialog, sender: Sender, path: Path) -> bool {
    match sender {
        Sender::Trunk(trunk) => {
            dialog.trunk == trunk || gate.is_source(dialog.trunk, path.peer.ip())
        }
        Sender::Stranger => dialog.peer.source == path,
    }
}

/// A To tag that is the same for each repeat of a request, without remembering it (§8.2.7).
pub(super) fn stateless_tag(request: &Request) -> String {
    let mut hash = Sha256::new();
    for name in [HeaderName::CallId, HeaderName::From, HeaderName::CSeq] {
        hash.update(text::value(&request.headers, &name).unwrap_or_default());
        hash.update([0]);
    }
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
