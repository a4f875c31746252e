//! Dialogs (RFC 3261 §12): who we talk to, what was said, what is still owed.
//!
//! One [`Dialog`] serves both sides. Its life as its owner sees it ends with [`UaEvent::Ended`]; what the wire still
//! needs then (an ACK to wait for, a BYE to repeat) happens in `Closing`.
//!
//!   Ringing (UAS) -> Confirmed -> Closing -> Gone
//!   Calling (UAC) -> Confirmed -> Closing -> Gone        any of them -> Gone, when nothing is owed

mod answering;
pub mod calling;
mod closing;
mod peer;

use std::time::Instant;

use self::answering::{Ringing, Unacked};
use self::calling::Calling;
pub use self::peer::{Hop, Peer};
use super::endpoint::core::Core;
use super::endpoint::{DialogEnd, UaEvent};
use super::outbox::Path;
use super::transaction::{Outcome, TransactionEvent};
use super::wire::{Incoming, Method, build};
use crate::base::ids::{DialogKey, TrunkId};
use crate::base::time::Why;
use crate::base::timers::Timers;

/// One dialog.
#[derive(Debug)]
pub struct Dialog {
    /// Its name towards its owner.
    pub key: DialogKey,
    /// Its trunk.
    pub trunk: TrunkId,
    /// Where it is in its life.
    pub phase: Phase,
    /// The far side: tags, routes, target.
    pub peer: Peer,
    /// UAC: the first INVITE.
    outgoing: Option<Box<Calling>>,
    /// A 2xx of ours without its ACK.
    unacked: Option<Unacked>,
    /// The ACK of the last 2xx we received, for its repeats: CSeq, way, bytes.
    acked: Option<(u32, Path, Vec<u8>)>,
    timers: Timers<DialogTimer>,
    /// Its entry in the endpoint's table of deadlines.
    pub armed: Option<Instant>,
    /// It counts as a call of its trunk.
    pub is_counted: bool,
    /// UAS: Call-ID and From tag of its INVITE.
    pub invite_name: Option<(Vec<u8>, Vec<u8>)>,
}

/// Where a dialog is in its life.
#[derive(Debug)]
pub enum Phase {
    /// UAS: no final response yet.
    Ringing(Box<Ringing>),
    /// UAC: no final response yet.
    Calling,
    /// Both sides agreed.
    Confirmed,
    /// Over for the owner; the wire still owes or expects something.
    Closing,
    /// To be forgotten.
    Gone,
}

/// Timers of a dialog. They overlap, hence one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialogTimer {
    /// UAS: repeat the 2xx (T1 doubling to T2).
    RepeatOk,
    /// UAS: 64*T1 without the ACK.
    AckNeverCame,
    /// UAS: the owner did not answer the INVITE.
    Unanswered,
    /// UAC: no final response within the owner's limit.
    AnswerWithin,
    /// UAC: the CANCEL did not bring a final response either.
    CancelGivenUp,
    /// Closing: nothing more is waited for.
    Farewell,
}

impl DialogTimer {
    fn why(self) -> Why {
        Why(match self {
            Self::RepeatOk => "sip.repeat_ok",
            Self::AckNeverCame => "sip.ack_never_came",
            Self::Unanswered => "sip.unanswered",
            Self::AnswerWithin => "sip.answer_within",
            Self::CancelGivenUp => "sip.cancel_given_up",
            Self::Farewell => "sip.farewell",
        })
    }
}

impl Dialog {
    fn new(key: DialogKey, trunk: TrunkId, phase: Phase, peer: Peer) -> Self {
        Self {
            key,
            trunk,
            phase,
            peer,
            outgoing: None,
            unacked: None,
            acked: None,
            timers: Timers::default(),
            armed: None,
            is_counted: true,
            invite_name: None,
        }
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<(Instant, Why)> {
        self.timers.next(DialogTimer::why)
    }

    /// Whether its owner still has it.
    pub fn is_owned(&self) -> bool {
        !matches!(self.phase, Phase::Closing | Phase::Gone)
    }

    /// Whether it can be forgotten.
    pub fn is_gone(&self) -> bool {
        matches!(self.phase, Phase::Gone)
    }

    /// Due timers.
    pub fn handle_timeout(&mut self, now: Instant, core: &mut Core) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                DialogTimer::RepeatOk => self.repeat_ok(now, core),
                DialogTimer::AckNeverCame => self.ack_never_came(now, core),
                DialogTimer::Unanswered => self.unanswered(now, core),
                DialogTimer::AnswerWithin => self.answer_too_late(now, core),
                DialogTimer::CancelGivenUp | DialogTimer::Farewell => self.forget(core),
            }
        }
    }

    /// A request inside the dialog, other than ACK and CANCEL.
    pub fn handle_request(
        &mut self,
        now: Instant,
        core: &mut Core,
        incoming: &Incoming,
        path: Path,
    ) {
        let transaction = core.transactions.open(now, incoming, path);
        if !self.peer.cseq_is_new(incoming.cseq) {
            // RFC 3261 §12.2.2: an older number is out of order.
            core.out.counters.sip_out_of_order += 1;
            let response = build::reply(&incoming.request, 500, Some(&self.peer.local_tag));
            return core.respond(now, transaction, response);
        }
        self.peer.seen(incoming, path);
        match incoming.method() {
            Method::Bye => self.bye_received(now, core, incoming, transaction),
            _ => {
                let response = core.not_allowed(&incoming.request, &self.peer.local_tag);
                core.respond(now, transaction, response);
            }
        }
    }

    /// Something happened to a request of ours.
    pub fn handle_transaction(&mut self, now: Instant, core: &mut Core, event: TransactionEvent) {
        match event.method {
            Method::Invite if self.is_first_invite(event.id) => {
                self.invite_answered(now, core, event);
            }
            Method::Bye => self.bye_answered(core, event),
            _ => {
                let forgot = match &event.outcome {
                    Outcome::Response(response) => matches!(response.status.code(), 408 | 481),
                    _ => true,
                };
                if forgot && matches!(self.phase, Phase::Confirmed) {
                    self.hang_up(now, core, DialogEnd::PeerForgot, None);
                }
            }
        }
    }

    /// Tells the owner that it is over, once.
    fn end(&mut self, core: &mut Core, how: DialogEnd) {
        if self.is_owned() {
            core.out.event(UaEvent::Ended { dialog: self.key, how });
            self.phase = Phase::Closing;
        }
    }

    /// Nothing is owed any more.
    fn forget(&mut self, core: &mut Core) {
        self.end(core, DialogEnd::ByUs);
        self.timers.clear_all();
        self.phase = Phase::Gone;
    }
}
