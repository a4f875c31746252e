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
mod information;
mod informing;
mod peer;
mod proving;
mod refreshing;
mod renegotiating;
pub mod ringing;

use std::time::Instant;

use sipx_sip::session::Session;

use self::answering::Unacked;
use self::calling::{Calling, Owed};
use self::informing::Informing;
pub use self::peer::{Hop, Peer};
use self::renegotiating::{Asked, Offering};
use self::ringing::Ringing;
use super::auth::Keyring;
use super::endpoint::core::Core;
use super::endpoint::{DialogEnd, UaEvent};
use super::outbox::Path;
use super::transaction::{Outcome, TransactionEvent, TransactionId};
use super::wire::{HeaderName, Incoming, Method, Request, Response, build, text};
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
    /// UAC: an offer in a response that our ACK or PRACK must answer.
    owed: Option<Owed>,
    /// A 2xx of ours without its ACK.
    unacked: Option<Unacked>,
    /// The ACK of the last 2xx we received, for its repeats: CSeq, way, bytes.
    acked: Option<(u32, Path, Vec<u8>)>,
    /// Their request that waits for our owner's description.
    asked: Option<Box<Asked>>,
    /// Our request that waits for their description.
    offering: Option<Offering>,
    /// Our owner's offer that waits for its turn.
    next_offer: Option<Vec<u8>>,
    /// Offers that crossed in a row before it.
    glares_before: u8,
    /// INFOs of ours.
    informing: Informing,
    /// Our last description, for refreshes by re-INVITE.
    local_sdp: Vec<u8>,
    session: Option<Session>,
    /// Their Allow lists UPDATE.
    knows_update: bool,
    /// A large request on a stream, as it would be by datagram.
    detour: Option<(TransactionId, Box<Request>, Path)>,
    keyring: Keyring,
    /// Challenges answered in a row.
    proofs: u8,
    timers: Timers<DialogTimer>,
    /// Its entry in the endpoint's table of deadlines.
    pub armed: Option<Instant>,
    /// It counts as a call of its trunk.
    pub is_counted: bool,
    /// UAS: Call-ID and From tag of its INVITE.
    pub invite_name: Option<(Vec<u8>, Vec<u8>)>,
    /// Reason header of its BYE, in the place of a cause.
    last_reason: Option<&'static str>,
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
    /// UAS: repeat the reliable provisional response (T1 doubling).
    RepeatProvisional,
    /// UAS: 64*T1 without the PRACK.
    PrackNeverCame,
    /// UAS: the owner did not answer the INVITE.
    Unanswered,
    /// The owner did not answer an offer inside the dialog.
    OfferUnanswered,
    /// UAC: no final response within the owner's limit.
    AnswerWithin,
    /// UAC: the CANCEL did not bring a final response either.
    CancelGivenUp,
    /// Offers crossed: try ours again (RFC 3261 §14.1).
    OfferAgain,
    /// Send the session refresh (half the interval, RFC 4028 §10).
    Refresh,
    /// The session was not refreshed in time.
    Expired,
    /// Closing: nothing more is waited for.
    Farewell,
}

impl DialogTimer {
    fn why(self) -> Why {
        Why(match self {
            Self::RepeatOk => "sip.repeat_ok",
            Self::AckNeverCame => "sip.ack_never_came",
            Self::RepeatProvisional => "sip.repeat_provisional",
            Self::PrackNeverCame => "sip.prack_never_came",
            Self::Unanswered => "sip.unanswered",
            Self::OfferUnanswered => "sip.offer_unanswered",
            Self::AnswerWithin => "sip.answer_within",
            Self::CancelGivenUp => "sip.cancel_given_up",
            Self::OfferAgain => "sip.offer_again",
            Self::Refresh => "sip.session_refresh",
            Self::Expired => "sip.session_expired",
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
            owed: None,
            unacked: None,
            acked: None,
            asked: None,
            offering: None,
            next_offer: None,
            glares_before: 0,
            informing: Informing::default(),
            local_sdp: Vec::new(),
            session: None,
            knows_update: false,
            detour: None,
            keyring: Keyring::default(),
            proofs: 0,
            timers: Timers::default(),
            armed: None,
            is_counted: true,
            invite_name: None,
            last_reason: None,
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
                DialogTimer::RepeatProvisional => self.repeat_provisional(now, core),
                DialogTimer::PrackNeverCame => self.prack_never_came(now, core),
                DialogTimer::Unanswered => self.unanswered(now, core),
                DialogTimer::OfferUnanswered => self.offer_unanswered(now, core),
                DialogTimer::AnswerWithin => self.answer_too_late(now, core),
                DialogTimer::OfferAgain => self.offer_if_free(now, core),
                DialogTimer::Refresh => self.refresh(now, core),
                DialogTimer::Expired => self.session_expired(now, core),
                DialogTimer::CancelGivenUp | DialogTimer::Farewell => self.forget(now, core),
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
        let id = core.transactions.open(now, incoming, path);
        if !self.peer.cseq_is_new(incoming.cseq) {
            // RFC 3261 §12.2.2: an older number is out of order.
            core.out.counters.sip_out_of_order += 1;
            return self.refuse_request(now, core, incoming, id, 500, |_| {});
        }
        self.peer.seen(incoming, path);
        if *incoming.method() == Method::Bye {
            return self.bye_received(now, core, incoming, id);
        }
        if !self.is_owned() {
            return self.refuse_request(now, core, incoming, id, 481, |_| {});
        }
        let unknown = core.unknown_extensions(&incoming.request);
        if !unknown.is_empty() {
            return self.refuse_request(now, core, incoming, id, 420, |response| {
                build::push(&mut response.headers, HeaderName::Unsupported, unknown);
            });
        }
        self.knows_update |= text::lists(&incoming.request.headers, &HeaderName::Allow, "UPDATE");
        match incoming.method() {
            Method::Invite => self.invited_again(now, core, incoming, id, path),
            Method::Update => self.updated(now, core, incoming, id, path),
            Method::Prack => self.prack_received(now, core, incoming, id, path),
            Method::Info => self.informed(now, core, incoming, id),
            Method::Options => {
                let tag = self.peer.local_tag.clone();
                let mut response = core.reply(&incoming.request, 200, Some(&tag));
                core.add_abilities(&mut response.headers);
                core.respond(now, id, response);
            }
            _ => {
                let response = core.not_allowed(&incoming.request, &self.peer.local_tag);
                core.respond(now, id, response);
            }
        }
    }

    /// Refuses a request inside the dialog.
    fn refuse_request(
        &self,
        now: Instant,
        core: &mut Core,
        incoming: &Incoming,
        id: TransactionId,
        status: u16,
        decorate: impl FnOnce(&mut Response),
    ) {
        core.out.counters.sip_requests_refused += 1;
        let mut response = core.reply(&incoming.request, status, Some(&self.peer.local_tag));
        decorate(&mut response);
        core.respond(now, id, response);
    }

    /// Something happened to a request of ours.
    pub fn handle_transaction(&mut self, now: Instant, core: &mut Core, event: TransactionEvent) {
        if matches!(event.outcome, Outcome::Undeliverable) && self.leave_detour(now, core, event.id)
        {
            return;
        }
        if let Outcome::Response(response) = &event.outcome {
            if matches!(response.status.code(), 401 | 407) {
                if self.prove(now, core, event.id, response) {
                    return;
                }
            } else if response.status.is_final() {
                self.proofs = 0;
            }
        }
        match event.method {
            Method::Invite if self.is_first_invite(event.id) => {
                self.invite_answered(now, core, event);
            }
            Method::Invite | Method::Update => self.offer_outcome(now, core, event),
            Method::Bye => self.bye_answered(now, core, event),
            Method::Info => self.info_outcome(now, core, &event),
            _ => {
                self.end_if_forgotten(now, core, &event.outcome);
            }
        }
    }

    /// RFC 5057: 481 and 408 to a request inside the dialog, or silence, mean that the peer has forgotten it.
    fn end_if_forgotten(&mut self, now: Instant, core: &mut Core, outcome: &Outcome) -> bool {
        let how = match outcome {
            Outcome::Response(response) if matches!(response.status.code(), 408 | 481) => {
                DialogEnd::PeerForgot
            }
            Outcome::Response(_) => return false,
            Outcome::TimedOut => DialogEnd::PeerForgot,
            Outcome::Undeliverable => DialogEnd::TransportFailed,
        };
        if matches!(self.phase, Phase::Confirmed) {
            self.hang_up(now, core, how, None);
        }
        true
    }

    /// Tells the owner that it is over, once.
    fn end(&mut self, now: Instant, core: &mut Core, how: DialogEnd) {
        if !self.is_owned() {
            return;
        }
        self.drop_asked(now, core);
        core.out.event(UaEvent::Ended { dialog: self.key, how });
        self.phase = Phase::Closing;
    }

    /// Nothing is owed any more.
    fn forget(&mut self, now: Instant, core: &mut Core) {
        self.end(now, core, DialogEnd::ByUs);
        self.timers.clear_all();
        self.phase = Phase::Gone;
    }
}
