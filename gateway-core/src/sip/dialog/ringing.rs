//! The INVITE that came in, up to its final response (RFC 3261 §13.3): ringing, also reliably (RFC 3262),
//! accepting, refusing, CANCEL (§9.2).

use std::time::{Duration, Instant};

use super::{Dialog, DialogTimer, Peer, Phase};
use crate::base::ids::{DialogKey, TrunkId};
use crate::sip::endpoint::core::Core;
use crate::sip::endpoint::{ApiMisuse, DialogEnd, UaCommand, UaEvent};
use crate::sip::outbox::Path;
use crate::sip::reliable::{Pending, Provisionals, WAITING_MAX};
use crate::sip::session_timer::{self, Terms};
use crate::sip::transaction::TransactionId;
use crate::sip::wire::body::Body;
use crate::sip::wire::{HeaderName, Incoming, Request, Response, build, text};

/// An INVITE without its final response.
#[derive(Debug)]
pub struct Ringing {
    pub(super) request: Request,
    pub(super) transaction: TransactionId,
    path: Path,
    cseq: u32,
    /// It came without an offer: ours goes into the first reliable response.
    wants_offer: bool,
    provisionals: Provisionals,
    terms: Terms,
}

impl Dialog {
    /// A dialog for an INVITE that came in. Its request is answered from here on. `Err`: 422 with this Min-SE.
    pub fn invited(
        key: DialogKey,
        trunk: TrunkId,
        now: Instant,
        core: &mut Core,
        incoming: &Incoming,
        peer: Peer,
        terms: Terms,
    ) -> Self {
        let path = peer.source;
        let transaction = core.transactions.open(now, incoming, path);
        let is_wanted = core.trunk(trunk).is_some_and(|trunk| trunk.reliable_provisional);
        let first = core.rng.below(1 << 30) + 1;
        let headers = &incoming.request.headers;
        let ringing = Ringing {
            request: incoming.request.clone(),
            transaction,
            path,
            cseq: incoming.cseq,
            wants_offer: incoming.request.body().is_empty(),
            provisionals: Provisionals::of_invite(&incoming.request, is_wanted, first),
            terms,
        };
        let mut dialog = Self::new(key, trunk, Phase::Ringing(Box::new(ringing)), peer);
        dialog.knows_update = text::lists(headers, &HeaderName::Allow, "UPDATE");
        dialog.invite_name = Some((incoming.call_id.clone(), incoming.from_tag().to_vec()));
        dialog.timers.set(DialogTimer::Unanswered, now + UNANSWERED_MAX);
        dialog
    }

    /// Provisional response.
    pub fn ring(
        &mut self,
        now: Instant,
        core: &mut Core,
        status: u16,
        sdp: Option<Vec<u8>>,
    ) -> Result<(), ApiMisuse> {
        let Phase::Ringing(ringing) = &self.phase else {
            return Err(ApiMisuse::WrongState("ring: the INVITE has its final response"));
        };
        if !(180..200).contains(&status) {
            return Err(ApiMisuse::BadArgument("ring: status outside 180 to 199"));
        }
        let mut response = self.reply(core, &ringing.request, status);
        core.add_contact(&mut response.headers, ringing.path);
        core.add_abilities(&mut response.headers);
        if let Some(sdp) = &sdp {
            response = build::with_sdp(response, sdp);
            self.local_sdp.clone_from(sdp);
        }
        self.provisional(now, core, response, sdp.is_some());
        Ok(())
    }

    /// Sends a provisional response, reliably where the peer asks for it.
    fn provisional(
        &mut self,
        now: Instant,
        core: &mut Core,
        mut response: Response,
        has_sdp: bool,
    ) {
        let Phase::Ringing(ringing) = &mut self.phase else { return };
        let provisionals = &mut ringing.provisionals;
        if !provisionals.is_reliable() {
            return core.respond(now, ringing.transaction, response);
        }
        // RFC 3261 §13.2.1: the first reliable response to an INVITE without an offer carries ours. Without one to
        // give, nothing is said: the 200 brings it.
        if ringing.wants_offer && !has_sdp && !provisionals.has_told_sdp {
            return;
        }
        if provisionals.pending.is_some() {
            if provisionals.waiting.len() < WAITING_MAX {
                provisionals.waiting.push_back((response, has_sdp));
            }
            return;
        }
        if provisionals.number(&mut response).is_none() {
            return;
        }
        let bytes = build::encode_response(&response);
        let interval = core.config.t1;
        provisionals.pending = Some(Pending { bytes, path: ringing.path, interval, has_sdp });
        core.respond(now, ringing.transaction, response);
        self.timers.set(DialogTimer::RepeatProvisional, now + interval);
        self.timers.set(DialogTimer::PrackNeverCame, now + interval * 64);
    }

    /// RFC 3262 §3: repeated with intervals that double, without the ceiling of T2.
    pub(super) fn repeat_provisional(&mut self, now: Instant, core: &mut Core) {
        let Phase::Ringing(ringing) = &mut self.phase else { return };
        let Some(pending) = &mut ringing.provisionals.pending else { return };
        pending.interval *= 2;
        core.out.send(pending.path, pending.bytes.clone());
        self.timers.set(DialogTimer::RepeatProvisional, now + pending.interval);
    }

    /// RFC 3262 §3: without a PRACK for 64*T1 the INVITE is refused with a 5xx.
    pub(super) fn prack_never_came(&mut self, now: Instant, core: &mut Core) {
        self.refuse(now, core, 504, |_| {});
        self.end(now, core, DialogEnd::TimedOut);
        self.forget(now, core);
    }

    /// A PRACK: 200 if it acknowledges what is pending, 481 if not.
    pub(super) fn prack_received(
        &mut self,
        now: Instant,
        core: &mut Core,
        incoming: &Incoming,
        id: TransactionId,
        path: Path,
    ) {
        let Phase::Ringing(ringing) = &mut self.phase else {
            return self.refuse_request(now, core, incoming, id, 481, |_| {});
        };
        let cseq = ringing.cseq;
        let Some(had_sdp) = ringing.provisionals.acknowledged(&incoming.request, cseq) else {
            return self.refuse_request(now, core, incoming, id, 481, |_| {});
        };
        let answers_ours = ringing.wants_offer && had_sdp;
        self.timers.clear(DialogTimer::RepeatProvisional);
        self.timers.clear(DialogTimer::PrackNeverCame);
        let sdp = Body::of(&incoming.request.headers, incoming.request.body()).into_sdp();
        let is_offer = sdp.is_some() && !answers_ours;
        let told = if is_offer { None } else { sdp.clone() };
        core.out.event(UaEvent::ProvisionalAcknowledged { dialog: self.key, sdp: told });
        match sdp.filter(|_| is_offer) {
            Some(offer) => self.ask_owner(now, core, incoming, id, path, offer),
            None => {
                let response = core.reply(&incoming.request, 200, Some(&self.peer.local_tag));
                core.respond(now, id, response);
            }
        }
        self.after_prack(now, core);
    }

    /// What waited for the PRACK goes out.
    fn after_prack(&mut self, now: Instant, core: &mut Core) {
        let Phase::Ringing(ringing) = &mut self.phase else { return };
        if let Some(sdp) = ringing.provisionals.accepted.take() {
            let _ = self.accept(now, core, &sdp);
        } else if let Some((response, has_sdp)) = ringing.provisionals.waiting.pop_front() {
            self.provisional(now, core, response, has_sdp);
        }
    }

    /// 200 with a session description.
    pub fn accept(&mut self, now: Instant, core: &mut Core, sdp: &[u8]) -> Result<(), ApiMisuse> {
        let Phase::Ringing(ringing) = &mut self.phase else {
            return Err(ApiMisuse::WrongState("accept: the INVITE has its final response"));
        };
        let provisionals = &mut ringing.provisionals;
        if provisionals.pending.as_ref().is_some_and(|pending| pending.has_sdp) {
            // RFC 3262 §3: no 2xx before the PRACK of a response with a description.
            provisionals.accepted = Some(sdp.to_vec());
            return Ok(());
        }
        let has_told_sdp = provisionals.has_told_sdp;
        let (transaction, path, terms) = (ringing.transaction, ringing.path, ringing.terms);
        let Phase::Ringing(ringing) = &self.phase else { return Ok(()) };
        let mut response = self.reply(core, &ringing.request, 200);
        core.add_contact(&mut response.headers, path);
        core.add_abilities(&mut response.headers);
        terms.write(&mut response.headers);
        if !has_told_sdp {
            response = build::with_sdp(response, sdp);
            self.local_sdp = sdp.to_vec();
        }
        self.phase = Phase::Confirmed;
        for timer in RINGING_TIMERS {
            self.timers.clear(timer);
        }
        self.send_ok(now, core, transaction, path, response, true);
        self.run_session(now, terms.session());
        Ok(())
    }

    /// A CANCEL came for our INVITE transaction. It was answered 200 already; late, it changes nothing.
    pub fn cancelled(&mut self, now: Instant, core: &mut Core) {
        if matches!(self.phase, Phase::Ringing(_)) {
            self.refuse(now, core, 487, |_| {});
            self.end(now, core, DialogEnd::Cancelled);
            self.forget(now, core);
        }
    }

    /// Final refusal by the owner.
    pub fn reject(
        &mut self,
        now: Instant,
        core: &mut Core,
        command: UaCommand,
    ) -> Result<(), ApiMisuse> {
        let UaCommand::Reject { status, cause, warning, retry_after, .. } = command else {
            return Err(ApiMisuse::BadArgument("reject: not a refusal"));
        };
        if !matches!(self.phase, Phase::Ringing(_)) {
            return Err(ApiMisuse::WrongState("reject: the INVITE has its final response"));
        }
        if !(300..700).contains(&status) {
            return Err(ApiMisuse::BadArgument("reject: status outside 300 to 699"));
        }
        let host = core.host_of(self.peer.source);
        self.refuse(now, core, status, |response| {
            let headers = &mut response.headers;
            if let Some(cause) = cause {
                build::push(headers, HeaderName::Reason, super::closing::q850(cause));
            }
            if let Some(words) = warning {
                let words = text::quoted(&words);
                build::push(headers, HeaderName::Warning, format!("399 {host} {words}"));
            }
            if let Some(after) = retry_after {
                build::push(headers, HeaderName::RetryAfter, after.as_secs().to_string());
            }
        });
        self.end(now, core, DialogEnd::ByUs);
        self.forget(now, core);
        Ok(())
    }

    /// Sends a final refusal; the transaction repeats it until its ACK.
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        core: &mut Core,
        status: u16,
        decorate: impl FnOnce(&mut Response),
    ) {
        let Phase::Ringing(ringing) = &self.phase else { return };
        let mut response = self.reply(core, &ringing.request, status);
        decorate(&mut response);
        let transaction = ringing.transaction;
        core.respond(now, transaction, response);
    }

    pub(super) fn unanswered(&mut self, now: Instant, core: &mut Core) {
        self.refuse(now, core, 480, |_| {});
        self.end(now, core, DialogEnd::TimedOut);
        self.forget(now, core);
    }

    /// A response with our tag, and the Record-Route that makes a dialog.
    pub(super) fn reply(&self, core: &Core, request: &Request, status: u16) -> Response {
        let mut response = core.reply(request, status, Some(&self.peer.local_tag));
        if (101..300).contains(&status) {
            for route in request.headers.get_all(&HeaderName::RecordRoute) {
                response.headers.push(route.clone());
            }
        }
        response
    }
}

/// What an INVITE asks of the session timer, by the wish of its trunk.
pub fn terms_of(core: &Core, trunk: TrunkId, incoming: &Incoming) -> Result<Terms, Duration> {
    let wish = core.trunk(trunk).and_then(|trunk| trunk.session_expires);
    session_timer::judge(&incoming.request.headers, wish)
}

const RINGING_TIMERS: [DialogTimer; 3] =
    [DialogTimer::Unanswered, DialogTimer::RepeatProvisional, DialogTimer::PrackNeverCame];

/// An INVITE that nobody answered for so long is refused with 480: our owner forgot it.
const UNANSWERED_MAX: Duration = Duration::from_secs(180);
