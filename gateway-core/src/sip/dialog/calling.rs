//! The INVITE that goes out, up to our ACK (RFC 3261 §13.2): progress, also reliable (RFC 3262 §4), CANCEL (§9.1),
//! 2xx of forks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sipx_sip::rel::{OPTION_TAG, RSeq, Received, Sequence};

use super::{Dialog, DialogTimer, Peer, Phase};
use crate::base::ids::{DialogKey, TrunkId};
use crate::sip::endpoint::core::Core;
use crate::sip::endpoint::{ApiMisuse, DialogEnd, UaEvent};
use crate::sip::outbox::Path;
use crate::sip::session_timer;
use crate::sip::transaction::{Outcome, Owner, TransactionEvent, TransactionId};
use crate::sip::wire::body::Body;
use crate::sip::wire::incoming::{cseq_of, to_tag};
use crate::sip::wire::{Header, HeaderName, Headers, Method, Request, Response, build, text};

/// An INVITE of ours.
#[derive(Debug)]
pub struct Calling {
    /// Its transaction. Lingers after the 2xx, for forks.
    pub(super) transaction: Option<TransactionId>,
    pub(super) request: Request,
    pub(super) path: Path,
    cancelling: Cancelling,
    /// A provisional response came: a CANCEL may be sent (§9.1).
    is_heard: bool,
    /// Numbers of reliable provisional responses, by To tag: each early dialog counts for itself.
    sequences: BTreeMap<Vec<u8>, Sequence>,
    /// The session timer that we asked for.
    wish: Option<Duration>,
    /// It had no offer: theirs comes in the first reliable response.
    wants_offer: bool,
    retries: u8,
}

/// How far a CANCEL is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancelling {
    No,
    /// To be sent when the first provisional response is there.
    Wanted,
    Sent,
}

/// An offer of theirs in a response: our description goes into this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    /// The ACK of this INVITE.
    Ack {
        /// Its CSeq.
        cseq: u32,
    },
    /// The PRACK of this response.
    Prack {
        /// Its RSeq.
        number: u32,
        /// CSeq of its INVITE.
        cseq: u32,
    },
}

/// What a call out needs beside its far side.
#[derive(Debug)]
pub struct CallOut {
    /// Extra headers.
    pub headers: Vec<(HeaderName, String)>,
    /// SDP. Empty: none, the far side offers.
    pub offer: Vec<u8>,
    /// CANCEL after this long.
    pub answer_within: Duration,
}

impl Dialog {
    /// Sends an INVITE.
    pub fn calling(
        key: DialogKey,
        trunk: TrunkId,
        now: Instant,
        core: &mut Core,
        mut peer: Peer,
        call: CallOut,
    ) -> Self {
        let path = peer.source;
        let wish = core.trunk(trunk).and_then(|trunk| trunk.session_expires);
        let mut request = peer.first_request(core, Method::Invite, path);
        for (name, value) in call.headers {
            build::push(&mut request.headers, name, value);
        }
        core.add_contact(&mut request.headers, path);
        core.add_abilities(&mut request.headers);
        session_timer::ask(&mut request.headers, wish, None);
        build::set_request_body(&mut request, "application/sdp", &call.offer);
        let mut dialog = Self::new(key, trunk, Phase::Calling, peer);
        let transaction = dialog.dispatch(now, core, request.clone(), path);
        // A CANCEL copies what was really sent, and goes the same way.
        let sent = transaction.and_then(|id| core.transactions.sent_request(id));
        let (request, path) =
            sent.map_or((request, path), |(request, path)| (request.clone(), path));
        dialog.outgoing = Some(Box::new(Calling {
            transaction,
            request,
            path,
            cancelling: Cancelling::No,
            is_heard: false,
            sequences: BTreeMap::new(),
            wish,
            wants_offer: call.offer.is_empty(),
            retries: 0,
        }));
        dialog.local_sdp = call.offer;
        dialog.timers.set(DialogTimer::AnswerWithin, now + call.answer_within);
        dialog
    }

    /// Whether `id` is the transaction of the first INVITE of this dialog.
    pub(super) fn is_first_invite(&self, id: TransactionId) -> bool {
        self.outgoing.as_ref().is_some_and(|calling| calling.transaction == Some(id))
    }

    /// Whether `id` is an INVITE that its owner has cancelled: not worth another try.
    pub(super) fn is_unwanted(&self, id: TransactionId) -> bool {
        self.is_first_invite(id) && !self.is_owned()
    }

    /// Something happened to our first INVITE.
    pub(super) fn invite_answered(
        &mut self,
        now: Instant,
        core: &mut Core,
        event: TransactionEvent,
    ) {
        match event.outcome {
            Outcome::Response(response) => match response.status.code() {
                100..200 => self.progressed(now, core, &response),
                200..300 => self.connected(now, core, &response),
                422 if self.ask_for_longer(now, core, event.id, &response) => {}
                status => self.given_up(now, core, DialogEnd::Rejected(status)),
            },
            Outcome::TimedOut => self.given_up(now, core, DialogEnd::TimedOut),
            Outcome::Undeliverable => self.given_up(now, core, DialogEnd::TransportFailed),
        }
    }

    fn progressed(&mut self, now: Instant, core: &mut Core, response: &Response) {
        let Some(calling) = &mut self.outgoing else { return };
        calling.is_heard = true;
        if calling.cancelling == Cancelling::Wanted {
            return self.send_cancel(now, core);
        }
        let status = response.status.code();
        if status == 100 || !matches!(self.phase, Phase::Calling) {
            return;
        }
        self.knows_update |= text::lists(&response.headers, &HeaderName::Allow, "UPDATE");
        let sdp = Body::of(&response.headers, response.body()).into_sdp();
        if text::lists(&response.headers, &HeaderName::Require, OPTION_TAG) {
            match self.acknowledge_provisional(now, core, response, sdp.as_deref()) {
                Some(true) => {}
                _ => return, // a repeat, out of order, or an offer that waits for its answer
            }
        }
        core.out.event(UaEvent::Progress { dialog: self.key, status, sdp });
    }

    /// PRACK for a reliable provisional response. `None`: to be ignored. `Some(false)`: the owner was asked first.
    fn acknowledge_provisional(
        &mut self,
        now: Instant,
        core: &mut Core,
        response: &Response,
        sdp: Option<&[u8]>,
    ) -> Option<bool> {
        let number = response.headers.typed::<RSeq>()?.ok()?.0;
        let cseq = cseq_of(&response.headers)?;
        let tag = to_tag(&response.headers)?;
        let calling = self.outgoing.as_mut()?;
        if !calling.sequences.contains_key(&tag) && calling.sequences.len() >= FORKS_MAX {
            return None;
        }
        if calling.sequences.entry(tag).or_default().accept(number) != Received::Acknowledge {
            return None;
        }
        let wants_offer = std::mem::take(&mut calling.wants_offer);
        self.peer.adopt(response);
        match sdp {
            Some(offer) if wants_offer => {
                self.owed = Some(Owed::Prack { number, cseq });
                let sdp = offer.to_vec();
                core.out.event(UaEvent::Offered { dialog: self.key, sdp });
                Some(false)
            }
            _ => {
                if let Some(calling) = &mut self.outgoing {
                    calling.wants_offer = wants_offer;
                }
                self.send_prack(now, core, number, cseq, &[]);
                Some(true)
            }
        }
    }

    fn send_prack(&mut self, now: Instant, core: &mut Core, number: u32, cseq: u32, sdp: &[u8]) {
        let (mut request, path) = self.peer.request(now, core, Method::Prack, None);
        build::push(&mut request.headers, HeaderName::RAck, format!("{number} {cseq} INVITE"));
        build::set_request_body(&mut request, "application/sdp", sdp);
        self.send(now, core, request, path);
    }

    /// A 2xx: the first one makes the dialog, a repeat gets its ACK again, another tag is a fork.
    fn connected(&mut self, now: Instant, core: &mut Core, response: &Response) {
        let Some(cseq) = cseq_of(&response.headers) else { return };
        let is_first = matches!(self.phase, Phase::Calling)
            || self.outgoing.as_ref().is_some_and(|c| c.cancelling != Cancelling::No);
        if !is_first || self.acked.is_some() {
            return self.connected_again(now, core, cseq, response);
        }
        self.timers.clear_all();
        self.peer.adopt(response);
        self.knows_update |= text::lists(&response.headers, &HeaderName::Allow, "UPDATE");
        if !matches!(self.phase, Phase::Calling) {
            // The 200 crossed our CANCEL (§9.1): what was connected is hung up again.
            core.out.counters.sip_cancel_crossed += 1;
            self.send_ack(now, core, cseq, &[]);
            return self.send_bye(now, core, None);
        }
        self.phase = Phase::Confirmed;
        let wish = self.outgoing.as_ref().and_then(|calling| calling.wish);
        self.run_session(now, session_timer::adopt(&response.headers, wish));
        let sdp = Body::of(&response.headers, response.body()).into_sdp();
        let wants_offer = self.outgoing.as_ref().is_some_and(|calling| calling.wants_offer);
        match sdp {
            Some(sdp) if wants_offer => {
                self.owed = Some(Owed::Ack { cseq });
                core.out.event(UaEvent::Offered { dialog: self.key, sdp });
            }
            sdp => {
                self.send_ack(now, core, cseq, &[]);
                core.out.event(UaEvent::Answered { dialog: self.key, sdp });
                self.inform_if_free(now, core);
            }
        }
    }

    fn connected_again(&mut self, now: Instant, core: &mut Core, cseq: u32, response: &Response) {
        let tag = to_tag(&response.headers).unwrap_or_default();
        if tag != self.peer.remote_tag {
            return turn_away(now, core, &self.peer, response);
        }
        if let Some((acked, path, bytes)) = &self.acked
            && *acked == cseq
        {
            core.out.send(*path, bytes.clone());
        }
    }

    /// The owner's answer to an offer that came in a response.
    pub(super) fn settle_owed(
        &mut self,
        now: Instant,
        core: &mut Core,
        sdp: &[u8],
    ) -> Result<(), ApiMisuse> {
        match self.owed.take() {
            None => return Err(ApiMisuse::WrongState("answer: there is no offer")),
            Some(Owed::Ack { cseq }) => {
                self.send_ack(now, core, cseq, sdp);
                core.out.event(UaEvent::Answered { dialog: self.key, sdp: None });
                self.inform_if_free(now, core);
            }
            Some(Owed::Prack { number, cseq }) => self.send_prack(now, core, number, cseq, sdp),
        }
        self.local_sdp = sdp.to_vec();
        Ok(())
    }

    /// The owner cannot answer such an offer. A 2xx cannot be refused: it is acknowledged and hung up.
    pub(super) fn refuse_owed(&mut self, now: Instant, core: &mut Core) -> Result<(), ApiMisuse> {
        let Some(owed) = self.owed.take() else {
            return Err(ApiMisuse::WrongState("refuse offer: there is none"));
        };
        if let Owed::Ack { cseq } = owed {
            self.send_ack(now, core, cseq, &[]);
        }
        self.hang_up(now, core, DialogEnd::ByUs, Some(CAUSE_NOT_IMPLEMENTED));
        Ok(())
    }

    /// Sends the ACK of a 2xx and keeps it for repeats.
    pub(super) fn send_ack(&mut self, now: Instant, core: &mut Core, cseq: u32, sdp: &[u8]) {
        let (mut ack, path) = self.peer.request(now, core, Method::Ack, Some(cseq));
        build::set_request_body(&mut ack, "application/sdp", sdp);
        let bytes = build::encode_request(&ack);
        core.out.send(path, bytes.clone());
        self.acked = Some((cseq, path, bytes));
    }

    /// The ACK that still waits for an answer goes out without one, so that the BYE may follow.
    pub(super) fn acknowledge_before_bye(&mut self, now: Instant, core: &mut Core) {
        if let Some(Owed::Ack { cseq }) = self.owed.take() {
            self.send_ack(now, core, cseq, &[]);
        }
    }

    /// 422: the same INVITE with a longer session interval (RFC 4028 §7.3).
    fn ask_for_longer(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: TransactionId,
        response: &Response,
    ) -> bool {
        let Some(least) = session_timer::least(&response.headers) else { return false };
        let Some(calling) = &mut self.outgoing else { return false };
        if calling.retries >= RETRIES_MAX || !matches!(self.phase, Phase::Calling) {
            return false;
        }
        calling.retries += 1;
        let wish = calling.wish.unwrap_or(least).max(least);
        calling.wish = Some(wish);
        self.send_again(now, core, id, |request| {
            session_timer::ask(&mut request.headers, Some(wish), Some(least));
        })
        .is_some()
    }

    fn given_up(&mut self, now: Instant, core: &mut Core, how: DialogEnd) {
        self.end(now, core, how);
        if self.acked.is_none() {
            self.forget(now, core);
        }
    }

    /// The owner's limit is over.
    pub(super) fn answer_too_late(&mut self, now: Instant, core: &mut Core) {
        self.cancel(now, core, DialogEnd::TimedOut, None);
    }

    /// The owner does not want the call any more.
    pub(super) fn cancel(
        &mut self,
        now: Instant,
        core: &mut Core,
        how: DialogEnd,
        cause: Option<u8>,
    ) {
        self.end(now, core, how);
        self.timers.clear_all();
        let Some(calling) = &mut self.outgoing else { return self.forget(now, core) };
        if let Some(cause) = cause {
            let reason = super::closing::q850(cause);
            build::set(&mut calling.request.headers, HeaderName::Reason, reason);
        }
        if calling.is_heard {
            self.send_cancel(now, core);
        } else {
            calling.cancelling = Cancelling::Wanted;
            self.timers.set(DialogTimer::Farewell, now + core.config.t1 * 65);
        }
    }

    /// §9.1: the branch, Request-URI, Route, To, From and CSeq number of the INVITE.
    fn send_cancel(&mut self, now: Instant, core: &mut Core) {
        let Some(calling) = &mut self.outgoing else { return };
        calling.cancelling = Cancelling::Sent;
        let mut cancel = Request::new(Method::Cancel, calling.request.uri.clone());
        if let Some(via) = calling.request.headers.get(&HeaderName::Via) {
            cancel.headers.push(via.clone());
        }
        copy(&mut cancel.headers, &calling.request.headers, &CANCEL_HEADERS);
        let cseq = cseq_of(&calling.request.headers).unwrap_or_default();
        build::push(&mut cancel.headers, HeaderName::CSeq, format!("{cseq} CANCEL"));
        build::set_request_body(&mut cancel, "", &[]);
        core.send(now, cancel, calling.path, Owner::Nobody);
        // §9.1: without a final response in 64*T1 the INVITE counts as cancelled.
        self.timers.set(DialogTimer::CancelGivenUp, now + core.config.t1 * 65);
    }
}

/// A 2xx that nobody waits for (a fork, or one that comes after the end): ACK, then BYE (§13.2.2.4).
pub fn turn_away(now: Instant, core: &mut Core, known: &Peer, response: &Response) {
    let Some(cseq) = cseq_of(&response.headers) else { return };
    core.out.counters.sip_forks_ended += 1;
    let mut peer = known.clone();
    peer.adopt(response);
    let (ack, path) = peer.request(now, core, Method::Ack, Some(cseq));
    core.out.send(path, build::encode_request(&ack));
    let (bye, path) = peer.request(now, core, Method::Bye, None);
    core.send(now, bye, path, Owner::Nobody);
}

/// Whether nothing more comes of a request.
pub fn is_final(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Response(response) => response.status.is_final(),
        Outcome::TimedOut | Outcome::Undeliverable => true,
    }
}

fn copy(into: &mut Headers, from: &Headers, names: &[HeaderName]) {
    for name in names {
        let all: Vec<Header> = from.get_all(name).cloned().collect();
        for header in all {
            into.push(header);
        }
    }
}

const CANCEL_HEADERS: [HeaderName; 6] = [
    HeaderName::Route,
    HeaderName::From,
    HeaderName::To,
    HeaderName::CallId,
    HeaderName::MaxForwards,
    HeaderName::Reason,
];
/// Early dialogs of one INVITE that are listened to.
const FORKS_MAX: usize = 8;
/// 422 may come so often.
const RETRIES_MAX: u8 = 3;
/// Q.850 79: service or option not implemented.
const CAUSE_NOT_IMPLEMENTED: u8 = 79;
