//! The INVITE that came in, up to the ACK of our 2xx (RFC 3261 §13.3), and its CANCEL (§9.2).

use std::time::{Duration, Instant};

use super::{Dialog, DialogTimer, Peer, Phase};
use crate::base::ids::{DialogKey, TrunkId};
use crate::sip::endpoint::core::Core;
use crate::sip::endpoint::{ApiMisuse, DialogEnd, UaCommand, UaEvent};
use crate::sip::outbox::Path;
use crate::sip::transaction::TransactionId;
use crate::sip::wire::body::Body;
use crate::sip::wire::{HeaderName, Incoming, Request, Response, build};

/// An INVITE without its final response.
#[derive(Debug)]
pub struct Ringing {
    request: Request,
    transaction: TransactionId,
    path: Path,
}

/// A 2xx that is repeated until its ACK comes.
#[derive(Debug)]
pub struct Unacked {
    cseq: u32,
    path: Path,
    bytes: Vec<u8>,
    interval: Duration,
    /// It answers the first INVITE, not a later one.
    is_first: bool,
    /// The owner hung up meanwhile: BYE as soon as the ACK is there (§15).
    then_bye: Option<Option<u8>>,
}

impl Dialog {
    /// A dialog for an INVITE that came in. Its request is answered from here on.
    pub fn invited(
        key: DialogKey,
        trunk: TrunkId,
        now: Instant,
        core: &mut Core,
        incoming: &Incoming,
        peer: Peer,
        name: Option<(Vec<u8>, Vec<u8>)>,
    ) -> Self {
        let path = peer.source;
        let transaction = core.transactions.open(now, incoming, path);
        let ringing = Ringing { request: incoming.request.clone(), transaction, path };
        let mut dialog = Self::new(key, trunk, Phase::Ringing(Box::new(ringing)), peer);
        dialog.invite_name = name;
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
        if let Some(sdp) = sdp {
            response = build::with_sdp(response, &sdp);
        }
        let transaction = ringing.transaction;
        core.respond(now, transaction, response);
        Ok(())
    }

    /// 200 with a session description.
    pub fn accept(&mut self, now: Instant, core: &mut Core, sdp: &[u8]) -> Result<(), ApiMisuse> {
        let phase = std::mem::replace(&mut self.phase, Phase::Confirmed);
        let ringing = match phase {
            Phase::Ringing(ringing) => ringing,
            other => {
                self.phase = other;
                return Err(ApiMisuse::WrongState("accept: the INVITE has its final response"));
            }
        };
        self.timers.clear(DialogTimer::Unanswered);
        let mut response = self.reply(core, &ringing.request, 200);
        core.add_contact(&mut response.headers, ringing.path);
        let response = build::with_sdp(response, sdp);
        self.send_ok(now, core, ringing.transaction, ringing.path, response, true);
        Ok(())
    }

    /// Sends a 2xx to an INVITE and repeats it until its ACK.
    pub(super) fn send_ok(
        &mut self,
        now: Instant,
        core: &mut Core,
        transaction: TransactionId,
        path: Path,
        response: Response,
        is_first: bool,
    ) {
        let t1 = core.config.t1;
        let cseq = response
            .headers
            .typed::<sipx_sip::CSeq>()
            .and_then(Result::ok)
            .map_or(0, |cseq| cseq.sequence);
        self.unacked = Some(Unacked {
            cseq,
            path,
            bytes: build::encode_response(&response),
            interval: t1,
            is_first,
            then_bye: None,
        });
        core.respond(now, transaction, response);
        self.timers.set(DialogTimer::RepeatOk, now + t1);
        self.timers.set(DialogTimer::AckNeverCame, now + t1 * 64);
    }

    /// §13.3.1.4: repeated on streams too, because a proxy may have lost it behind the stream.
    pub(super) fn repeat_ok(&mut self, now: Instant, core: &mut Core) {
        let Some(unacked) = &mut self.unacked else { return };
        unacked.interval = (unacked.interval * 2).min(T2);
        core.out.counters.sip_ok_repeated += 1;
        core.out.send(unacked.path, unacked.bytes.clone());
        self.timers.set(DialogTimer::RepeatOk, now + unacked.interval);
    }

    /// §13.3.1.4, §14.2: after 64*T1 the dialog exists without the ACK, so its end is a BYE, not silence.
    pub(super) fn ack_never_came(&mut self, now: Instant, core: &mut Core) {
        self.timers.clear(DialogTimer::RepeatOk);
        core.out.counters.sip_acks_missing += 1;
        let cause = self.unacked.take().and_then(|unacked| unacked.then_bye).flatten();
        self.end(core, DialogEnd::AckTimeout);
        self.send_bye(now, core, cause);
    }

    /// An ACK came.
    pub fn ack_received(&mut self, now: Instant, core: &mut Core, incoming: &Incoming) {
        if self.unacked.as_ref().is_none_or(|unacked| unacked.cseq != incoming.cseq) {
            return; // a repeat, or the ACK of nothing
        }
        let Some(unacked) = self.unacked.take() else { return };
        self.timers.clear(DialogTimer::RepeatOk);
        self.timers.clear(DialogTimer::AckNeverCame);
        if let Some(cause) = unacked.then_bye {
            return self.send_bye(now, core, cause);
        }
        let sdp = Body::of(&incoming.request.headers, incoming.request.body()).into_sdp();
        if self.is_owned() && unacked.is_first {
            core.out.event(UaEvent::Acknowledged { dialog: self.key, sdp });
        }
    }

    /// A CANCEL came for our INVITE transaction. It was answered 200 already; late, it changes nothing.
    pub fn cancelled(&mut self, now: Instant, core: &mut Core) {
        if matches!(self.phase, Phase::Ringing(_)) {
            self.refuse(now, core, 487, |_| {});
            self.end(core, DialogEnd::Cancelled);
            self.forget(core);
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
            return Err(ApiMisuse::BadArgument("reject"));
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
            if let Some(text) = warning {
                let text = crate::sip::wire::text::quoted(&text);
                build::push(headers, HeaderName::Warning, format!("399 {host} {text}"));
            }
            if let Some(after) = retry_after {
                build::push(headers, HeaderName::RetryAfter, after.as_secs().to_string());
            }
        });
        self.end(core, DialogEnd::ByUs);
        self.forget(core);
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
        self.end(core, DialogEnd::TimedOut);
        self.forget(core);
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

    /// The owner hangs up while our 2xx has no ACK: BYE only after it (§15). `false`: there is nothing to wait for.
    pub(super) fn bye_after_ack(&mut self, cause: Option<u8>) -> bool {
        match &mut self.unacked {
            Some(unacked) => {
                unacked.then_bye = Some(cause);
                true
            }
            None => false,
        }
    }
}

/// Ceiling of the interval between repeats (RFC 3261 §17.1.2.2).
const T2: Duration = Duration::from_secs(4);

/// An INVITE that nobody answered for so long is refused with 480: our owner forgot it.
const UNANSWERED_MAX: Duration = Duration::from_secs(180);
