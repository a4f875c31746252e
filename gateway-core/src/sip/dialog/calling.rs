//! The INVITE that goes out, up to our ACK (RFC 3261 §13.2), CANCEL (§9.1) and 2xx of forks.

use std::time::{Duration, Instant};

use super::{Dialog, DialogTimer, Peer, Phase};
use crate::base::ids::{DialogKey, TrunkId};
use crate::sip::endpoint::core::Core;
use crate::sip::endpoint::{DialogEnd, UaEvent};
use crate::sip::outbox::Path;
use crate::sip::transaction::{Outcome, Owner, TransactionEvent, TransactionId};
use crate::sip::wire::body::Body;
use crate::sip::wire::incoming::to_tag;
use crate::sip::wire::{Header, HeaderName, Headers, Method, Request, Response, build};

/// An INVITE of ours without its final response.
#[derive(Debug)]
pub struct Calling {
    /// Its transaction. Lingers after the 2xx, for forks.
    transaction: Option<TransactionId>,
    request: Request,
    path: Path,
    cancelling: Cancelling,
    /// A provisional response came: a CANCEL may be sent (§9.1).
    is_heard: bool,
}

/// How far a CANCEL is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancelling {
    No,
    /// To be sent when the first provisional response is there.
    Wanted,
    Sent,
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
        let (mut request, path) = peer.request(core, Method::Invite, None);
        for (name, value) in call.headers {
            build::push(&mut request.headers, name, value);
        }
        core.add_contact(&mut request.headers, path);
        core.add_abilities(&mut request.headers);
        build::set_request_body(&mut request, "application/sdp", &call.offer);
        let transaction = core.send(now, request.clone(), path, Owner::Dialog(key));
        let mut dialog = Self::new(key, trunk, Phase::Calling, peer);
        dialog.outgoing = Some(Box::new(Calling {
            transaction,
            request,
            path,
            cancelling: Cancelling::No,
            is_heard: false,
        }));
        dialog.timers.set(DialogTimer::AnswerWithin, now + call.answer_within);
        dialog
    }

    /// Whether `id` is the transaction of the first INVITE of this dialog.
    pub(super) fn is_first_invite(&self, id: TransactionId) -> bool {
        self.outgoing.as_ref().is_some_and(|calling| calling.transaction == Some(id))
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
                status => self.refused(core, status),
            },
            Outcome::TimedOut => self.given_up(core, DialogEnd::TimedOut),
            Outcome::Undeliverable => self.given_up(core, DialogEnd::TransportFailed),
        }
    }

    fn progressed(&mut self, now: Instant, core: &mut Core, response: &Response) {
        let Some(calling) = &mut self.outgoing else { return };
        calling.is_heard = true;
        if calling.cancelling == Cancelling::Wanted {
            return self.send_cancel(now, core);
        }
        let status = response.status.code();
        if status > 100 && matches!(self.phase, Phase::Calling) {
            let sdp = Body::of(&response.headers, response.body()).into_sdp();
            core.out.event(UaEvent::Progress { dialog: self.key, status, sdp });
        }
    }

    /// A 2xx: the first one makes the dialog, a repeat gets its ACK again, another tag is a fork.
    fn connected(&mut self, now: Instant, core: &mut Core, response: &Response) {
        if self.acked.is_some() {
            let tag = to_tag(&response.headers).unwrap_or_default();
            if tag != self.peer.remote_tag {
                return turn_away(now, core, &self.peer, response);
            }
            if let Some((_, path, bytes)) = &self.acked {
                core.out.send(*path, bytes.clone());
            }
            return;
        }
        self.timers.clear_all();
        self.peer.adopt(response);
        let was_wanted = matches!(self.phase, Phase::Calling);
        let cseq = self.peer.cseq_local();
        self.send_ack(core, cseq, &[]);
        if was_wanted {
            self.phase = Phase::Confirmed;
            let sdp = Body::of(&response.headers, response.body()).into_sdp();
            core.out.event(UaEvent::Answered { dialog: self.key, sdp });
        } else {
            // The 200 crossed our CANCEL (§9.1): what was connected is hung up again.
            core.out.counters.sip_cancel_crossed += 1;
            self.send_bye(now, core, None);
        }
    }

    /// Sends the ACK of a 2xx and keeps it for repeats.
    pub(super) fn send_ack(&mut self, core: &mut Core, cseq: u32, sdp: &[u8]) {
        let (mut ack, path) = self.peer.request(core, Method::Ack, Some(cseq));
        build::set_request_body(&mut ack, "application/sdp", sdp);
        let bytes = build::encode_request(&ack);
        core.out.send(path, bytes.clone());
        self.acked = Some((cseq, path, bytes));
    }

    fn refused(&mut self, core: &mut Core, status: u16) {
        self.given_up(core, DialogEnd::Rejected(status));
    }

    fn given_up(&mut self, core: &mut Core, how: DialogEnd) {
        self.end(core, how);
        self.forget(core);
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
        self.end(core, how);
        self.timers.clear_all();
        let Some(calling) = &mut self.outgoing else { return self.forget(core) };
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
        let cseq = format!("{} CANCEL", self.peer.cseq_local());
        build::push(&mut cancel.headers, HeaderName::CSeq, cseq);
        build::set_request_body(&mut cancel, "", &[]);
        core.send(now, cancel, calling.path, Owner::Nobody);
        // §9.1: without a final response in 64*T1 the INVITE counts as cancelled.
        self.timers.set(DialogTimer::CancelGivenUp, now + core.config.t1 * 65);
    }
}

/// A 2xx that nobody waits for (a fork, or one that comes after the end): ACK, then BYE (§13.2.2.4).
pub fn turn_away(now: Instant, core: &mut Core, known: &Peer, response: &Response) {
    core.out.counters.sip_forks_ended += 1;
    let mut peer = known.clone();
    peer.adopt(response);
    let cseq = known.cseq_local();
    let (ack, path) = peer.request(core, Method::Ack, Some(cseq));
    core.out.send(path, build::encode_request(&ack));
    let (bye, path) = peer.request(core, Method::Bye, None);
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
