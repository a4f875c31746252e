//! Ends: BYE in and out (RFC 3261 §15), with the reason of RFC 3326.

use std::time::Instant;

use super::{Dialog, DialogTimer, Phase};
use crate::sip::endpoint::DialogEnd;
use crate::sip::endpoint::core::Core;
use crate::sip::transaction::{TransactionEvent, TransactionId};
use crate::sip::wire::{HeaderName, Incoming, Method, build};

impl Dialog {
    /// The owner ends it, whatever its state asks for.
    pub fn hang_up(&mut self, now: Instant, core: &mut Core, how: DialogEnd, cause: Option<u8>) {
        match &self.phase {
            Phase::Ringing(_) => {
                self.refuse(now, core, 480, |response| {
                    if let Some(cause) = cause {
                        build::push(&mut response.headers, HeaderName::Reason, q850(cause));
                    }
                });
                self.end(now, core, how);
                self.forget(now, core);
            }
            Phase::Calling => self.cancel(now, core, how, cause),
            Phase::Confirmed => {
                self.acknowledge_before_bye(now, core);
                self.inform_of_all(now, core);
                self.end(now, core, how);
                if !self.bye_after_ack(cause) {
                    self.send_bye(now, core, cause);
                }
            }
            Phase::Closing | Phase::Gone => {}
        }
    }

    /// What the Reason header of its BYE says, in the place of a cause.
    pub fn say_at_end(&mut self, reason: &'static str) {
        self.last_reason = Some(reason);
    }

    /// Sends the BYE and waits for its answer, or 64*T1.
    pub(super) fn send_bye(&mut self, now: Instant, core: &mut Core, cause: Option<u8>) {
        self.timers.clear_all();
        self.unacked = None;
        let (mut request, path) = self.peer.request(now, core, Method::Bye, None);
        let said = self.last_reason.map(str::to_owned);
        if let Some(reason) = said.or(cause.map(q850)) {
            build::push(&mut request.headers, HeaderName::Reason, reason);
        }
        self.send(now, core, request, path);
        self.timers.set(DialogTimer::Farewell, now + core.config.t1 * 65);
    }

    /// BYE from the far side, at any time after the INVITE (§15.1.2).
    pub(super) fn bye_received(
        &mut self,
        now: Instant,
        core: &mut Core,
        incoming: &Incoming,
        transaction: TransactionId,
    ) {
        let response = core.reply(&incoming.request, 200, Some(&self.peer.local_tag));
        core.respond(now, transaction, response);
        // §15.1.2: a request without its final response is answered 487.
        self.refuse(now, core, 487, |_| {});
        self.end(now, core, DialogEnd::ByeReceived);
        self.forget(now, core);
    }

    /// Our BYE has its answer, or never will: either way it is over.
    pub(super) fn bye_answered(&mut self, now: Instant, core: &mut Core, event: TransactionEvent) {
        if super::calling::is_final(&event.outcome) {
            self.forget(now, core);
        }
    }
}

/// A Reason header value for a Q.850 cause (RFC 3326 §2).
pub fn q850(cause: u8) -> String {
    format!("Q.850;cause={cause}")
}
