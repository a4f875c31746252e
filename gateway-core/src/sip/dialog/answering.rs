//! Our 2xx to an INVITE, repeated until its ACK (RFC 3261 §13.3.1.4).

use std::time::{Duration, Instant};

use super::{Dialog, DialogTimer};
use crate::sip::endpoint::core::Core;
use crate::sip::endpoint::{DialogEnd, UaEvent};
use crate::sip::outbox::Path;
use crate::sip::transaction::TransactionId;
use crate::sip::wire::body::Body;
use crate::sip::wire::incoming::cseq_of;
use crate::sip::wire::{Incoming, Response, build};

/// A 2xx that is repeated until its ACK comes.
#[derive(Debug)]
pub struct Unacked {
    cseq: u32,
    path: Path,
    bytes: Vec<u8>,
    interval: Duration,
    /// Its ACK is told to the owner: the first of the dialog, or one that brings an answer.
    is_told: bool,
    /// The owner hung up meanwhile: BYE as soon as the ACK is there (§15).
    then_bye: Option<Option<u8>>,
}

impl Dialog {
    /// Sends a 2xx to an INVITE and repeats it until its ACK.
    pub(super) fn send_ok(
        &mut self,
        now: Instant,
        core: &mut Core,
        transaction: TransactionId,
        path: Path,
        response: Response,
        is_told: bool,
    ) {
        let t1 = core.config.t1;
        self.unacked = Some(Unacked {
            cseq: cseq_of(&response.headers).unwrap_or_default(),
            path,
            bytes: build::encode_response(&response),
            interval: t1,
            is_told,
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
        self.end(now, core, DialogEnd::AckTimeout);
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
            self.inform_of_all(now, core);
            return self.send_bye(now, core, cause);
        }
        let sdp = Body::of(&incoming.request.headers, incoming.request.body()).into_sdp();
        if self.is_owned() && unacked.is_told {
            core.out.event(UaEvent::Acknowledged { dialog: self.key, sdp });
        }
        self.offer_if_free(now, core);
        self.inform_if_free(now, core);
    }

    /// Whether a 2xx of ours waits for its ACK.
    pub(super) fn awaits_ack(&self) -> bool {
        self.unacked.is_some()
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
