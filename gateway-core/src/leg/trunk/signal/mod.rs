//! The signal half of a trunk leg: one SIP dialog and its offer/answer, turned into "ringing", "answered",
//! "held", "configure the sound so", "ended".
//!
//!   Invited -> AwaitAck -> Established        a call that came in; with a late offer the answer comes in ACK or PRACK
//!   Calling -------------> Established        a call of ours; early media of a 183 is used or only remembered
//!   any of them -> Over                       `Ended` is said exactly once, and nothing follows it
//!
//! A refused or broken offer inside the dialog never harms what was agreed before. Refuses to know what the sound is
//! for: hold by the peer is only reported ([`TrunkOutput::HeldByPeer`]); muting hold music is the call's business.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tracing::debug;

use crate::base::ids::DialogKey;
use crate::base::rng::Rng;
use crate::leg::end_reason::EndReason;
use crate::media::codec::CodecKind;
use crate::media::dtmf::{Key, Press};
use crate::rtp::session::RtpSession;
use crate::sip::endpoint::{DialogEnd, UaCommand, UaEvent};
use crate::sip::offer_answer::{OfferAnswer, OfferError, OfferScope};

pub use crate::sip::offer_answer::{CodecOrder, DtmfWay, SdpPolicy};

/// The signal half of one trunk leg.
#[derive(Debug)]
pub struct TrunkSignal {
    dialog: Option<DialogKey>,
    state: State,
    offers: OfferAnswer,
    /// Calls in: our answer, or our offer if the INVITE had none. The 200 repeats what a 180 said.
    our_sdp: Option<Vec<u8>>,
    /// Calls in without SDP: the answer has yet to come.
    late_offer: bool,
    /// Calls out: SDP of the latest 18x, for a 200 without.
    early_answer: Option<Vec<u8>>,
    /// What was told of it.
    early_session: Option<RtpSession>,
    early_media: bool,
    rang: bool,
    busy_for_all: bool,
    hold_wished: bool,
    configured: Option<RtpSession>,
    held_by_peer: bool,
    outputs: VecDeque<TrunkOutput>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Came in, not answered.
    Invited,
    /// Our 200 is on its way.
    AwaitAck,
    /// Went out, no final response yet.
    Calling,
    /// Both sides know.
    Established,
    /// `Ended` was said.
    Over,
}

/// What happened outside.
#[derive(Debug)]
pub enum TrunkInput {
    /// From the endpoint, for this leg's dialog.
    Ua(UaEvent),
}

/// What the call wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrunkCommand {
    /// 180; with a late offer it carries our offer, which the peer may answer in PRACK.
    Ring,
    /// 200 with SDP. Legal once, before it ended.
    Answer,
    /// Hold or resume from our side (re-INVITE with `sendonly` / `sendrecv`). Before the dialog stands, or while
    /// another offer is open, the wish is kept until then.
    Hold(bool),
    /// JSON by SIP INFO; kept until the dialog stands.
    Json(Vec<u8>),
    /// A key by SIP INFO; those before it went first.
    Key(Press),
    /// Ends the leg in the way its state asks for: final response, CANCEL or BYE, with the reason's cause.
    /// [`TrunkOutput::Ended`] follows at once; what the endpoint still does for the dialog concerns nobody.
    End(EndReason),
}

/// What the leg says.
#[derive(Clone, Debug, PartialEq)]
pub enum TrunkOutput {
    /// To the endpoint.
    Ua(UaCommand),
    /// The sound to set up; comes before `Established` where an early answer allows it, and again after each change.
    Configure(Box<RtpSession>),
    /// UAC: what the far side's network plays before the answer (ringing, why nobody can be called) comes by this session.
    EarlyMedia(Box<RtpSession>),
    /// UAC: the far side rings.
    Ringing,
    /// Dialog confirmed: the caller has our 200 and acknowledged it, or we have theirs.
    Established,
    /// The peer put us on hold, or took us back. While it lasts the peer sends hold music at most: it must not reach
    /// the room.
    HeldByPeer(bool),
    /// A key by SIP INFO.
    Key(Key),
    /// JSON by SIP INFO, as it came.
    Json(Vec<u8>),
    /// The leg is over; nothing follows. `status` is the SIP status, where one was seen or sent.
    Ended {
        /// Why.
        reason: EndReason,
        /// SIP status of the final response, 200 for answered calls.
        status: Option<u16>,
    },
}

impl TrunkSignal {
    /// The leg of an INVITE that came in. `media` is our own advertised RTP address; `offer` the SDP, if any. An offer
    /// that cannot be used is refused here: drain the outputs after construction. `busy_for_all`: refusals before the answer
    /// are those of [`EndReason::row_as_jigasi`].
    pub fn incoming(
        dialog: DialogKey,
        offer: Option<Vec<u8>>,
        media: SocketAddr,
        policy: SdpPolicy,
        rng: Rng,
        busy_for_all: bool,
    ) -> Self {
        let mut leg = Self::new(Some(dialog), State::Invited, media, policy, rng);
        leg.busy_for_all = busy_for_all;
        leg.late_offer = offer.is_none();
        match offer.map(|offer| leg.offers.answer(&offer)) {
            Some(Ok(answer)) => leg.our_sdp = Some(answer),
            Some(Err(error)) => leg.refuse(&error),
            None => {}
        }
        leg
    }

    /// The leg of an INVITE that goes out; gives the SDP offer to send with it.
    pub fn outgoing(media: SocketAddr, policy: SdpPolicy, rng: Rng) -> (Self, Vec<u8>) {
        let mut leg = Self::new(None, State::Calling, media, policy, rng);
        let offer = leg.offers.offer(OfferScope::Everything);
        (leg, offer)
    }

    /// The endpoint named the dialog of an outgoing INVITE.
    pub fn set_dialog(&mut self, dialog: DialogKey) {
        self.dialog = Some(dialog);
    }

    /// Something happened.
    pub fn handle_input(&mut self, _now: Instant, input: TrunkInput) {
        let TrunkInput::Ua(event) = input;
        if self.state == State::Over {
            return;
        }
        match event {
            UaEvent::Progress { status, sdp, .. } => self.on_progress(status, sdp),
            UaEvent::Answered { sdp, .. } => self.on_answered(sdp),
            UaEvent::ProvisionalAcknowledged { sdp, .. } => self.on_provisional_ack(sdp),
            UaEvent::Acknowledged { sdp, .. } => self.on_acknowledged(sdp),
            UaEvent::Offered { sdp, .. } => self.on_offered(&sdp),
            UaEvent::OfferWanted { .. } => self.on_offer_wanted(),
            UaEvent::OfferAnswered { result, .. } => self.on_offer_answered(result),
            UaEvent::Key { key, .. } => self.outputs.push_back(TrunkOutput::Key(key)),
            UaEvent::Info { body, .. } => self.outputs.push_back(TrunkOutput::Json(body)),
            UaEvent::InfoAnswered { .. } => {}
            UaEvent::Ended { how, .. } => self.on_dialog_end(how),
            UaEvent::Invited { .. }
            | UaEvent::TrunkState { .. }
            | UaEvent::Registration { .. }
            | UaEvent::TrunkName { .. }
            | UaEvent::TrunkUsable { .. } => {}
        }
    }

    /// The call wants something. Commands that come too late are ignored.
    pub fn command(&mut self, _now: Instant, command: TrunkCommand) {
        match (command, self.state) {
            (_, State::Over) => {}
            (TrunkCommand::Ring, State::Invited) => self.ring(),
            (TrunkCommand::Answer, State::Invited) => self.answer(),
            (TrunkCommand::Hold(wished), _) => {
                self.hold_wished = wished;
                self.offer_hold_if_wished();
            }
            (TrunkCommand::Json(body), _) => {
                let content_type = "application/json".to_owned();
                self.ua(|dialog| UaCommand::Info { dialog, content_type, body });
            }
            (TrunkCommand::Key(Press { key, length_ms }), _) => {
                let content_type = "application/dtmf-relay".to_owned();
                let body = format!("Signal={}\r\nDuration={length_ms}\r\n", key.to_char());
                self.ua(|dialog| UaCommand::Info { dialog, content_type, body: body.into_bytes() });
            }
            (TrunkCommand::End(reason), _) => self.end(reason, None),
            (TrunkCommand::Ring | TrunkCommand::Answer, _) => {}
        }
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<TrunkOutput> {
        self.outputs.pop_front()
    }

    /// Codec of the negotiated session, once there is one.
    pub fn codec(&self) -> Option<CodecKind> {
        self.offers.session().map(|session| session.send_codec)
    }

    fn new(
        dialog: Option<DialogKey>,
        state: State,
        media: SocketAddr,
        policy: SdpPolicy,
        rng: Rng,
    ) -> Self {
        Self {
            dialog,
            state,
            early_media: policy.early_media,
            offers: OfferAnswer::new(media, policy, rng),
            our_sdp: None,
            late_offer: false,
            early_answer: None,
            early_session: None,
            rang: false,
            busy_for_all: false,
            hold_wished: false,
            configured: None,
            held_by_peer: false,
            outputs: VecDeque::new(),
        }
    }

    fn ring(&mut self) {
        let sdp = self.late_offer.then(|| self.our_sdp());
        self.ua(|dialog| UaCommand::Ring { dialog, status: 180, sdp });
    }

    fn answer(&mut self) {
        let sdp = self.our_sdp();
        self.ua(|dialog| UaCommand::Accept { dialog, sdp });
        self.go(State::AwaitAck, "answered");
        self.tell_session();
    }

    /// What the first SDP of ours says: the answer, or with a late offer our offer, made when first needed.
    fn our_sdp(&mut self) -> Vec<u8> {
        let offers = &mut self.offers;
        self.our_sdp.get_or_insert_with(|| offers.offer(OfferScope::Everything)).clone()
    }

    fn on_progress(&mut self, status: u16, sdp: Option<Vec<u8>>) {
        if self.state != State::Calling {
            return;
        }
        if !self.rang && (180..=183).contains(&status) {
            self.rang = true;
            self.outputs.push_back(TrunkOutput::Ringing);
        }
        let Some(sdp) = sdp else { return };
        if self.early_media && self.offers.accept_answer(&sdp).is_ok() {
            self.tell_early_media();
        }
        self.early_answer = Some(sdp);
    }

    fn tell_early_media(&mut self) {
        let Some(session) = self.offers.session() else { return };
        if self.early_session.as_ref() != Some(session) {
            self.early_session = Some(session.clone());
            self.outputs.push_back(TrunkOutput::EarlyMedia(Box::new(session.clone())));
        }
    }

    fn on_answered(&mut self, sdp: Option<Vec<u8>>) {
        if self.state != State::Calling {
            return;
        }
        let answer = sdp.or_else(|| self.early_answer.take());
        self.go(State::Established, "200 came");
        let accepted = answer.map(|answer| self.offers.accept_answer(&answer));
        match accepted {
            Some(Ok(())) => self.establish(),
            Some(Err(error)) => self.end(reason_of(&error), Some(error.to_string())),
            None => self.end(EndReason::PeerMisbehaved, None),
        }
    }

    /// The answer to our offer in a reliable 18x.
    fn on_provisional_ack(&mut self, sdp: Option<Vec<u8>>) {
        let Some(answer) = sdp.filter(|_| self.late_offer && self.offers.is_pending()) else {
            return;
        };
        match self.offers.accept_answer(&answer) {
            Ok(()) => self.tell_session(),
            Err(error) => self.refuse(&error),
        }
    }

    fn on_acknowledged(&mut self, sdp: Option<Vec<u8>>) {
        match self.state {
            State::AwaitAck => self.on_first_ack(sdp),
            State::Established if self.offers.is_pending() => {
                // ACK of a re-INVITE without SDP. An answer cannot be refused any more; the old session lives on.
                let accepted = sdp.is_some_and(|sdp| self.offers.accept_answer(&sdp).is_ok());
                self.settle_offer(accepted);
            }
            _ => {}
        }
    }

    fn on_first_ack(&mut self, sdp: Option<Vec<u8>>) {
        let accepted = match sdp {
            Some(answer) if self.offers.is_pending() => self.offers.accept_answer(&answer),
            _ if self.offers.is_pending() => Err(OfferError::AnswerShape),
            _ => Ok(()),
        };
        match accepted {
            Ok(()) => {
                self.go(State::Established, "ACK came");
                self.establish();
            }
            Err(error) => self.end(reason_of(&error), None),
        }
    }

    fn establish(&mut self) {
        self.tell_session();
        self.outputs.push_back(TrunkOutput::Established);
        self.offer_hold_if_wished();
    }

    fn on_offered(&mut self, offer: &[u8]) {
        if self.offers.is_pending() {
            self.ua(|dialog| UaCommand::RefuseOffer { dialog, status: 491 });
            return;
        }
        match self.offers.answer(offer) {
            Ok(sdp) => {
                self.ua(|dialog| UaCommand::Answer { dialog, sdp });
                self.tell_session();
            }
            Err(error) => {
                debug!(dialog = ?self.dialog, %error, "offer refused");
                self.ua(|dialog| UaCommand::RefuseOffer { dialog, status: 488 });
            }
        }
    }

    fn on_offer_wanted(&mut self) {
        if self.offers.is_pending() {
            self.ua(|dialog| UaCommand::RefuseOffer { dialog, status: 491 });
            return;
        }
        let sdp = self.offers.offer(OfferScope::Everything);
        self.ua(|dialog| UaCommand::Answer { dialog, sdp });
    }

    fn on_offer_answered(&mut self, result: Result<Vec<u8>, u16>) {
        if !self.offers.is_pending() {
            return;
        }
        let accepted = result.is_ok_and(|answer| self.offers.accept_answer(&answer).is_ok());
        self.settle_offer(accepted);
    }

    /// An exchange inside the dialog is over. A hold that was refused is not tried again.
    fn settle_offer(&mut self, accepted: bool) {
        if accepted {
            self.tell_session();
        } else {
            let attempted = self.offers.holds();
            self.offers.forget_offer();
            if self.offers.holds() != attempted {
                self.hold_wished = self.offers.holds();
            }
        }
        self.offer_hold_if_wished();
    }

    fn offer_hold_if_wished(&mut self) {
        let ready = self.state == State::Established && !self.offers.is_pending();
        if !ready || self.offers.holds() == self.hold_wished {
            return;
        }
        self.offers.set_hold(self.hold_wished);
        let sdp = self.offers.offer(OfferScope::AsAgreed);
        self.ua(|dialog| UaCommand::Offer { dialog, sdp });
    }

    /// Says what changed in the agreed session.
    fn tell_session(&mut self) {
        let Some(session) = self.offers.session() else { return };
        if self.configured.as_ref() != Some(session) {
            self.configured = Some(session.clone());
            self.outputs.push_back(TrunkOutput::Configure(Box::new(session.clone())));
        }
        if self.held_by_peer != self.offers.is_held_by_peer() {
            self.held_by_peer = self.offers.is_held_by_peer();
            self.outputs.push_back(TrunkOutput::HeldByPeer(self.held_by_peer));
        }
    }

    fn on_dialog_end(&mut self, how: DialogEnd) {
        let answered = matches!(self.state, State::AwaitAck | State::Established);
        let (reason, refusal) = match how {
            DialogEnd::ByeReceived => (EndReason::CallerHungUp, None),
            DialogEnd::Cancelled => (EndReason::CallerCancelled, Some(487)),
            DialogEnd::Rejected(status) => (EndReason::Refused, Some(status)),
            DialogEnd::TimedOut => (EndReason::NoAnswer, Some(408)),
            DialogEnd::AckTimeout => (EndReason::AckNeverCame, None),
            DialogEnd::SessionExpired => (EndReason::SessionExpired, None),
            DialogEnd::PeerForgot | DialogEnd::TransportFailed => (EndReason::PeerGone, None),
            // Whoever made us end it got `Ended` at once; so nobody asked for this.
            DialogEnd::ByUs => (EndReason::Bug, None),
        };
        self.over(reason, if answered { Some(200) } else { refusal });
    }

    fn refuse(&mut self, error: &OfferError) {
        self.end(reason_of(error), Some(error.to_string()));
    }

    fn end(&mut self, reason: EndReason, warning: Option<String>) {
        let is_early = self.state == State::Invited;
        let row = match self.busy_for_all && is_early {
            true => reason.row_as_jigasi(),
            false => reason.row(),
        };
        let cause = Some(row.cause);
        if is_early {
            let retry_after = (row.status == 503).then_some(RETRY_AFTER);
            let status = row.status;
            self.ua(|dialog| UaCommand::Reject { dialog, status, cause, warning, retry_after });
            self.over(reason, Some(status));
            return;
        }
        let status = (self.state != State::Calling).then_some(200);
        self.ua(|dialog| match reason {
            EndReason::NobodyCame => UaCommand::EndSaying { dialog, reason: NOBODY_CAME },
            _ => UaCommand::End { dialog, cause },
        });
        self.over(reason, status);
    }

    fn over(&mut self, reason: EndReason, status: Option<u16>) {
        self.go(State::Over, reason.row().label);
        self.outputs.push_back(TrunkOutput::Ended { reason, status });
    }

    fn ua(&mut self, command: impl FnOnce(DialogKey) -> UaCommand) {
        if let Some(dialog) = self.dialog {
            self.outputs.push_back(TrunkOutput::Ua(command(dialog)));
        }
    }

    fn go(&mut self, to: State, cause: &str) {
        debug!(dialog = ?self.dialog, from = ?self.state, ?to, cause);
        self.state = to;
    }
}

fn reason_of(error: &OfferError) -> EndReason {
    match error {
        OfferError::Unusable(_) => EndReason::BadOffer,
        OfferError::AnswerShape | OfferError::NothingOffered => EndReason::PeerMisbehaved,
        _ => EndReason::NoCommonCodec,
    }
}

/// What Jigasi's BYE says to a caller who was alone too long.
const NOBODY_CAME: &str = "SIP;cause=408;text=\"No invite from conference focus\"";
/// Retry-After of a 503 that the call itself sends: long enough for a few calls to end.
const RETRY_AFTER: Duration = Duration::from_secs(10);
