//! Offers inside the dialog: re-INVITE (RFC 3261 §14) and UPDATE (RFC 3311), in and out, and their glare.
//!
//! Order and glare are settled here: the owner sees one offer at a time, and his own offer waits for its turn.

use std::time::{Duration, Instant};

use super::{Dialog, DialogTimer, Phase};
use crate::sip::endpoint::core::Core;
use crate::sip::endpoint::{ApiMisuse, UaEvent};
use crate::sip::outbox::Path;
use crate::sip::session_timer::{self, Terms};
use crate::sip::transaction::{Outcome, TransactionEvent, TransactionId};
use crate::sip::wire::body::Body;
use crate::sip::wire::incoming::cseq_of;
use crate::sip::wire::{HeaderName, Incoming, Method, Request, Response, build};

/// A request of theirs that waits for our owner's description.
#[derive(Debug)]
pub struct Asked {
    request: Request,
    transaction: TransactionId,
    path: Path,
    /// It had no description: ours is the offer, and their ACK brings the answer.
    we_offer: bool,
    terms: Terms,
}

/// A request of ours that waits for its answer.
#[derive(Debug)]
pub struct Offering {
    pub(super) transaction: Option<TransactionId>,
    /// What we offered. `None`: a refresh, which the owner never hears of.
    sdp: Option<Vec<u8>>,
    /// Offers crossed so often.
    glares: u8,
}

impl Dialog {
    /// A re-INVITE.
    pub(super) fn invited_again(
        &mut self,
        now: Instant,
        core: &mut Core,
        incoming: &Incoming,
        id: TransactionId,
        path: Path,
    ) {
        if self.offering.is_some() || matches!(self.phase, Phase::Calling) {
            core.out.counters.sip_glare += 1;
            return self.refuse_request(now, core, incoming, id, 491, |_| {});
        }
        let is_busy =
            self.awaits_ack() || self.asked.is_some() || !matches!(self.phase, Phase::Confirmed);
        if is_busy {
            return self.refuse_for_a_moment(now, core, incoming, id);
        }
        let sdp = match Body::of(&incoming.request.headers, incoming.request.body()) {
            Body::Sdp(sdp) => Some(sdp),
            Body::Empty => None,
            Body::SdpTooLong => return self.refuse_request(now, core, incoming, id, 488, |_| {}),
            Body::Other => return self.refuse_body(now, core, incoming, id),
        };
        match sdp {
            Some(offer) => self.ask_owner(now, core, incoming, id, path, offer),
            None => {
                let Some(asked) = self.asked_by(now, core, incoming, id, path, true) else {
                    return;
                };
                self.asked = Some(Box::new(asked));
                self.timers.set(DialogTimer::OfferUnanswered, now + OFFER_ANSWERED_WITHIN);
                core.out.event(UaEvent::OfferWanted { dialog: self.key });
            }
        }
    }

    /// An UPDATE, early or not.
    pub(super) fn updated(
        &mut self,
        now: Instant,
        core: &mut Core,
        incoming: &Incoming,
        id: TransactionId,
        path: Path,
    ) {
        let body = Body::of(&incoming.request.headers, incoming.request.body());
        if self.asked.is_some() {
            return self.refuse_for_a_moment(now, core, incoming, id);
        }
        match body {
            Body::Empty => self.refreshed_by_update(now, core, incoming, id, path),
            Body::SdpTooLong => self.refuse_request(now, core, incoming, id, 488, |_| {}),
            Body::Other => self.refuse_body(now, core, incoming, id),
            // RFC 3311 §5.2: our own offer is open ...
            Body::Sdp(_) if self.offering.is_some() || matches!(self.phase, Phase::Calling) => {
                core.out.counters.sip_glare += 1;
                self.refuse_request(now, core, incoming, id, 491, |_| {});
            }
            // ... or we owe an answer to theirs.
            Body::Sdp(_) if self.awaits_ack() || matches!(self.phase, Phase::Ringing(_)) => {
                self.refuse_for_a_moment(now, core, incoming, id);
            }
            Body::Sdp(offer) => self.ask_owner(now, core, incoming, id, path, offer),
        }
    }

    /// An UPDATE without a description refreshes target and session.
    fn refreshed_by_update(
        &mut self,
        now: Instant,
        core: &mut Core,
        incoming: &Incoming,
        id: TransactionId,
        path: Path,
    ) {
        let Some(asked) = self.asked_by(now, core, incoming, id, path, false) else { return };
        let mut response = core.reply(&incoming.request, 200, Some(&self.peer.local_tag));
        core.add_contact(&mut response.headers, path);
        asked.terms.write(&mut response.headers);
        core.respond(now, id, response);
        self.run_session(now, asked.terms.session());
    }

    /// Hands their offer to the owner.
    pub(super) fn ask_owner(
        &mut self,
        now: Instant,
        core: &mut Core,
        incoming: &Incoming,
        id: TransactionId,
        path: Path,
        offer: Vec<u8>,
    ) {
        let Some(asked) = self.asked_by(now, core, incoming, id, path, false) else { return };
        self.asked = Some(Box::new(asked));
        self.timers.set(DialogTimer::OfferUnanswered, now + OFFER_ANSWERED_WITHIN);
        core.out.event(UaEvent::Offered { dialog: self.key, sdp: offer });
    }

    /// `None`: it was refused with 422.
    fn asked_by(
        &mut self,
        now: Instant,
        core: &mut Core,
        incoming: &Incoming,
        id: TransactionId,
        path: Path,
        we_offer: bool,
    ) -> Option<Asked> {
        let terms = match *incoming.method() {
            Method::Prack => Ok(Terms::None),
            _ => super::ringing::terms_of(core, self.trunk, incoming),
        };
        match terms {
            Ok(terms) => {
                self.peer.refresh_target(&incoming.request.headers);
                let request = incoming.request.clone();
                Some(Asked { request, transaction: id, path, we_offer, terms })
            }
            Err(least) => {
                core.out.counters.sip_session_too_brief += 1;
                self.refuse_request(now, core, incoming, id, 422, |response| {
                    let least = least.as_secs().to_string();
                    build::push(&mut response.headers, HeaderName::MinSe, least);
                });
                None
            }
        }
    }

    /// The owner's description for what they asked.
    pub fn answer(&mut self, now: Instant, core: &mut Core, sdp: &[u8]) -> Result<(), ApiMisuse> {
        let Some(asked) = self.asked.take() else { return self.settle_owed(now, core, sdp) };
        self.timers.clear(DialogTimer::OfferUnanswered);
        self.local_sdp = sdp.to_vec();
        let mut response = core.reply(&asked.request, 200, Some(&self.peer.local_tag));
        core.add_contact(&mut response.headers, asked.path);
        core.add_abilities(&mut response.headers);
        asked.terms.write(&mut response.headers);
        let response = build::with_sdp(response, sdp);
        if asked.request.method == Method::Invite {
            self.send_ok(now, core, asked.transaction, asked.path, response, asked.we_offer);
        } else {
            core.respond(now, asked.transaction, response);
        }
        if asked.request.method != Method::Prack {
            self.run_session(now, asked.terms.session());
        }
        self.offer_if_free(now, core);
        Ok(())
    }

    /// The owner cannot use their offer: the session stays as it was.
    pub fn refuse_offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        status: u16,
    ) -> Result<(), ApiMisuse> {
        if !(300..700).contains(&status) {
            return Err(ApiMisuse::BadArgument("refuse offer: status outside 300 to 699"));
        }
        if self.asked.is_none() {
            return self.refuse_owed(now, core);
        }
        self.refuse_asked(now, core, status);
        self.offer_if_free(now, core);
        Ok(())
    }

    fn refuse_asked(&mut self, now: Instant, core: &mut Core, status: u16) {
        let Some(asked) = self.asked.take() else { return };
        self.timers.clear(DialogTimer::OfferUnanswered);
        let response = core.reply(&asked.request, status, Some(&self.peer.local_tag));
        core.respond(now, asked.transaction, response);
    }

    pub(super) fn offer_unanswered(&mut self, now: Instant, core: &mut Core) {
        self.refuse_asked(now, core, 500);
        self.offer_if_free(now, core);
    }

    /// RFC 3261 §15.1.2: what is open when the dialog ends is answered 487.
    pub(super) fn drop_asked(&mut self, now: Instant, core: &mut Core) {
        self.refuse_asked(now, core, 487);
    }

    /// A CANCEL for their re-INVITE.
    pub fn offer_cancelled(&mut self, now: Instant, core: &mut Core, id: TransactionId) {
        if self.asked.as_ref().is_some_and(|asked| asked.transaction == id) {
            self.refuse_asked(now, core, 487);
            self.offer_if_free(now, core);
        }
    }

    /// Our owner's offer. It waits while another one is open.
    pub fn offer(&mut self, now: Instant, core: &mut Core, sdp: Vec<u8>) -> Result<(), ApiMisuse> {
        if !matches!(self.phase, Phase::Confirmed) {
            return Err(ApiMisuse::WrongState("offer: the dialog is not confirmed"));
        }
        self.next_offer = Some(sdp);
        self.offer_if_free(now, core);
        Ok(())
    }

    /// Sends the waiting offer when nothing else is open.
    pub(super) fn offer_if_free(&mut self, now: Instant, core: &mut Core) {
        let is_free = matches!(self.phase, Phase::Confirmed)
            && self.asked.is_none()
            && self.offering.is_none()
            && !self.awaits_ack()
            && !self.timers.is_set(DialogTimer::OfferAgain);
        if !is_free {
            return;
        }
        let Some(sdp) = self.next_offer.take() else { return };
        let glares = self.glares_before;
        self.send_offer(now, core, Method::Invite, Some(sdp), glares);
    }

    /// Sends a re-INVITE or UPDATE. Without `sdp` it is a refresh: a re-INVITE repeats our last description.
    pub(super) fn send_offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        method: Method,
        sdp: Option<Vec<u8>>,
        glares: u8,
    ) {
        let is_invite = method == Method::Invite;
        let (mut request, path) = self.peer.request(now, core, method, None);
        core.add_contact(&mut request.headers, path);
        core.add_abilities(&mut request.headers);
        if let Some(session) = self.session {
            session_timer::ask(&mut request.headers, Some(session.interval), None);
            build::set(&mut request.headers, HeaderName::SessionExpires, self.refresher(session));
        }
        match &sdp {
            Some(sdp) => build::set_request_body(&mut request, "application/sdp", sdp),
            None if is_invite => {
                build::set_request_body(&mut request, "application/sdp", &self.local_sdp);
            }
            None => {}
        }
        let transaction = self.send(now, core, request, path);
        self.offering = Some(Offering { transaction, sdp, glares });
    }

    /// What became of our re-INVITE or UPDATE.
    pub(super) fn offer_outcome(&mut self, now: Instant, core: &mut Core, event: TransactionEvent) {
        let is_open =
            self.offering.as_ref().is_some_and(|offering| offering.transaction == Some(event.id));
        match &event.outcome {
            Outcome::Response(response) if response.status.is_provisional() => {}
            Outcome::Response(response) if response.status.is_success() => {
                if event.method == Method::Invite {
                    self.acknowledge(now, core, response, is_open);
                }
                if is_open {
                    self.offer_taken(now, core, response);
                }
            }
            Outcome::Response(response) if is_open => {
                let status = response.status.code();
                if !self.end_if_forgotten(now, core, &event.outcome) {
                    self.offer_refused(now, core, status, response);
                }
            }
            outcome if is_open => {
                self.end_if_forgotten(now, core, outcome);
            }
            _ => {}
        }
    }

    /// Sends the ACK of a 2xx to a re-INVITE, or sends it again.
    fn acknowledge(&mut self, now: Instant, core: &mut Core, response: &Response, is_first: bool) {
        let Some(cseq) = cseq_of(&response.headers) else { return };
        if is_first {
            self.peer.refresh_target(&response.headers);
            self.send_ack(now, core, cseq, &[]);
        } else if let Some((acked, path, bytes)) = &self.acked
            && *acked == cseq
        {
            core.out.send(*path, bytes.clone());
        }
    }

    fn offer_taken(&mut self, now: Instant, core: &mut Core, response: &Response) {
        let Some(offering) = self.offering.take() else { return };
        self.glares_before = 0;
        let asked = self.session.map(|session| session.interval);
        self.run_session(now, session_timer::adopt(&response.headers, asked));
        if let Some(ours) = offering.sdp
            && self.is_owned()
        {
            let answer = Body::of(&response.headers, response.body()).into_sdp();
            // A 2xx without an answer: the peer broke RFC 3264; the session stays as it was.
            let result = answer.ok_or(response.status.code());
            if result.is_ok() {
                self.local_sdp = ours;
            }
            core.out.event(UaEvent::OfferAnswered { dialog: self.key, result });
        }
        self.offer_if_free(now, core);
    }

    fn offer_refused(&mut self, now: Instant, core: &mut Core, status: u16, response: &Response) {
        let Some(offering) = self.offering.take() else { return };
        match (status, offering.sdp) {
            (491, sdp) if offering.glares < GLARES_MAX => {
                core.out.counters.sip_glare += 1;
                self.glares_before = offering.glares + 1;
                if sdp.is_none() {
                    return self.refresh_later(now);
                }
                self.next_offer = self.next_offer.take().or(sdp);
                let wait = self.glare_wait(core);
                self.timers.set(DialogTimer::OfferAgain, now + wait);
            }
            (422, sdp) if offering.glares < GLARES_MAX => {
                let least = session_timer::least(&response.headers);
                if let (Some(session), Some(least)) = (&mut self.session, least) {
                    session.interval = session.interval.max(least);
                }
                let method = if sdp.is_some() || !self.knows_update {
                    Method::Invite
                } else {
                    Method::Update
                };
                self.send_offer(now, core, method, sdp, offering.glares + 1);
            }
            (_, Some(_)) => {
                self.glares_before = 0;
                let result = Err(status);
                core.out.event(UaEvent::OfferAnswered { dialog: self.key, result });
                self.offer_if_free(now, core);
            }
            // The refresh was refused, yet the peer is alive: try the other method, then let the time decide.
            (405 | 501, None) => {
                self.knows_update = false;
                self.refresh_later(now);
            }
            (_, None) => self.offer_if_free(now, core),
        }
    }

    /// RFC 3261 §14.1: 2.1 to 4 s for the owner of the Call-ID, up to 2 s for the other, in steps of 10 ms.
    fn glare_wait(&self, core: &mut Core) -> Duration {
        let steps = match self.outgoing {
            Some(_) => 210 + core.rng.below(191),
            None => core.rng.below(201),
        };
        Duration::from_millis(u64::from(steps) * 10)
    }

    /// 500 with a Retry-After of up to 10 s (§14.2, RFC 3311 §5.2): right, but too early.
    fn refuse_for_a_moment(
        &self,
        now: Instant,
        core: &mut Core,
        incoming: &Incoming,
        id: TransactionId,
    ) {
        let after = core.rng.below(10) + 1;
        self.refuse_request(now, core, incoming, id, 500, |response| {
            build::push(&mut response.headers, HeaderName::RetryAfter, after.to_string());
        });
    }

    fn refuse_body(&self, now: Instant, core: &mut Core, incoming: &Incoming, id: TransactionId) {
        self.refuse_request(now, core, incoming, id, 415, |response| {
            build::push(&mut response.headers, HeaderName::Accept, "application/sdp");
        });
    }
}

/// An owner that does not answer an offer for so long has forgotten it.
const OFFER_ANSWERED_WITHIN: Duration = Duration::from_secs(20);
/// Offers may cross so often in a row.
const GLARES_MAX: u8 = 8;
