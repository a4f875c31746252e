//! The values that cross the endpoint's border: settings, inputs, events, commands, outputs.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::ids::{DialogKey, FlowId, ListenerId, TrunkId};
use crate::base::pii::Pii;
use crate::media::dtmf::Key;
use crate::sip::reach::NameState;
use crate::sip::registration::RegistrationState;
use crate::sip::trunk::{ListenerConfig, TrunkConfig, UnknownSource};

/// Settings of the endpoint.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Listeners, in the order of their ids.
    pub listeners: Vec<ListenerConfig>,
    /// Trunks, in the order of their ids.
    pub trunks: Vec<TrunkConfig>,
    /// What unknown sources get.
    pub unknown: UnknownSource,
    /// `User-Agent` and `Server`.
    pub user_agent: String,
    /// Calls at once; above: 503 with Retry-After.
    pub calls_max: usize,
    /// Seconds in Retry-After.
    pub retry_after: Duration,
    /// T1 of RFC 3261 (500 ms).
    pub t1: Duration,
}

/// From the sockets.
#[derive(Clone, Copy, Debug)]
pub enum TransportInput<'a> {
    /// A datagram.
    Datagram {
        /// Where it came in.
        listener: ListenerId,
        /// Its real source.
        from: SocketAddr,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// A connection was accepted (even id, chosen by io), or one that we asked for is up.
    StreamOpened {
        /// Its id.
        flow: FlowId,
        /// The listener that accepted it, or that it counts to.
        listener: ListenerId,
        /// Far side.
        peer: SocketAddr,
    },
    /// Bytes of a connection.
    StreamBytes {
        /// Which.
        flow: FlowId,
        /// Bytes.
        bytes: &'a [u8],
    },
    /// A connection closed, or could not be opened.
    StreamClosed {
        /// Which.
        flow: FlowId,
    },
    /// What the name of a trunk's peer resolves to now.
    PeerResolved {
        /// The trunk.
        trunk: TrunkId,
        /// Its addresses; empty: it could not be resolved.
        addresses: &'a [SocketAddr],
    },
    /// The operating system refused a datagram to this address (ICMP, buffer full).
    DatagramFailed {
        /// From where.
        listener: ListenerId,
        /// Whither.
        to: SocketAddr,
    },
}

/// To the sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportOutput {
    /// Send a datagram.
    Datagram {
        /// From which listener.
        listener: ListenerId,
        /// Whither.
        to: SocketAddr,
        /// Bytes.
        bytes: Vec<u8>,
    },
    /// Open a connection (odd id, chosen by the endpoint).
    Connect {
        /// Its id.
        flow: FlowId,
        /// Whither.
        to: SocketAddr,
        /// The listener whose address and transport it uses.
        listener: ListenerId,
    },
    /// Write to a connection; queued while it opens.
    Write {
        /// Which.
        flow: FlowId,
        /// Bytes.
        bytes: Vec<u8>,
    },
    /// Close a connection.
    Close {
        /// Which.
        flow: FlowId,
    },
    /// Look up the name of this trunk's peer again, soon: nobody answers where it was.
    Resolve {
        /// The trunk.
        trunk: TrunkId,
    },
}

/// Facts of an INVITE that routing may use.
#[derive(Clone, Debug, Default)]
pub struct InviteFacts {
    /// User part of the Request-URI, unescaped (for example `pin` or `+622112345678`). Also of tel: URIs.
    pub request_user: Pii<String>,
    /// Host of the Request-URI.
    pub request_host: String,
    /// User part of To.
    pub to_user: Pii<String>,
    /// User part of From, or of a believed P-Asserted-Identity: the caller's number. Empty if withheld.
    pub caller: Pii<String>,
    /// Display name, UTF-8 (Latin-1 was converted).
    pub caller_name: Pii<String>,
    /// The caller asked for privacy (RFC 3323) or is anonymous.
    pub anonymous: bool,
    /// `Call-ID`, for CDR and correlation.
    pub call_id: String,
    /// Headers of trusted trunks that routing knows by name, in order: `Jitsi-*`, `X-*`, `Diversion`, `History-Info`,
    /// `User-to-User`. Of others `X-WB-Ticket` alone, which proves itself. Names as received.
    pub headers: Vec<(String, Pii<String>)>,
    /// Real source of the INVITE.
    pub source: Option<SocketAddr>,
    /// Listener it came in on.
    pub listener: ListenerId,
}

/// From the endpoint to the owner of a dialog.
#[derive(Clone, Debug)]
pub enum UaEvent {
    /// A call came in from a trunk, within limits. 100 Trying is the endpoint's business.
    Invited {
        /// The dialog.
        dialog: DialogKey,
        /// The trunk.
        trunk: TrunkId,
        /// Facts for routing.
        facts: Box<InviteFacts>,
        /// SDP, if it had one.
        offer: Option<Vec<u8>>,
    },
    /// UAC: a provisional response (180 to 199).
    Progress {
        /// The dialog.
        dialog: DialogKey,
        /// Its status.
        status: u16,
        /// SDP, if it had one.
        sdp: Option<Vec<u8>>,
    },
    /// UAC: a 2xx came and was acknowledged. If our INVITE had no offer, theirs came as `Offered` first and the ACK
    /// carried the `UaCommand::Answer`. Without `sdp`: the description of an earlier `Progress` holds.
    Answered {
        /// The dialog.
        dialog: DialogKey,
        /// SDP, if it had one.
        sdp: Option<Vec<u8>>,
    },
    /// UAS: the ACK of our 2xx came: the first of the dialog always, later ones where our 2xx carried an offer.
    Acknowledged {
        /// The dialog.
        dialog: DialogKey,
        /// SDP, if it had one: the answer to our offer in the 200.
        sdp: Option<Vec<u8>>,
    },
    /// UAS: PRACK came for a reliable provisional response.
    ProvisionalAcknowledged {
        /// The dialog.
        dialog: DialogKey,
        /// SDP, if it had one.
        sdp: Option<Vec<u8>>,
    },
    /// A re-INVITE or UPDATE with an offer: answer with `UaCommand::Answer` or `RefuseOffer`. Glare and order (491, 500)
    /// were already dealt with.
    Offered {
        /// The dialog.
        dialog: DialogKey,
        /// The offer.
        sdp: Vec<u8>,
    },
    /// A re-INVITE without SDP: give an offer with `UaCommand::Answer`; its answer comes as `Acknowledged`.
    OfferWanted {
        /// The dialog.
        dialog: DialogKey,
    },
    /// Our re-INVITE or UPDATE was answered (`Ok`) or refused (`Err(status)`; 491 is retried inside).
    OfferAnswered {
        /// The dialog.
        dialog: DialogKey,
        /// The answer or the refusing status.
        result: Result<Vec<u8>, u16>,
    },
    /// A key by INFO; already answered.
    Key {
        /// The dialog.
        dialog: DialogKey,
        /// The key.
        key: Key,
    },
    /// Something by INFO that is no key, of a trunk that may send it ([`TrunkConfig::takes_json`]); already answered.
    Info {
        /// The dialog.
        dialog: DialogKey,
        /// Its media type: `application/json`.
        content_type: String,
        /// As it came, at most 4 KiB.
        body: Vec<u8>,
    },
    /// What became of the oldest [`UaCommand::Info`] that was not told of yet.
    InfoAnswered {
        /// The dialog.
        dialog: DialogKey,
        /// It was taken (2xx). Otherwise refused, never answered, or given up because too many waited.
        ok: bool,
    },
    /// The dialog is over. Always the last event of a dialog, exactly once; what the wire still needs (a CANCEL, an ACK
    /// to wait for, a repeated BYE) goes on without the owner. Commands to it are answered `NoSuchDialog`.
    Ended {
        /// The dialog.
        dialog: DialogKey,
        /// How.
        how: DialogEnd,
    },
    /// A trunk answers OPTIONS again, or no longer. Told when that changes.
    TrunkState {
        /// The trunk.
        trunk: TrunkId,
        /// Round trip of the OPTIONS, or `None` when it is down.
        up: Option<Duration>,
    },
    /// How our registration at a trunk's peer stands. Told when that changes.
    Registration {
        /// The trunk.
        trunk: TrunkId,
        /// How.
        state: RegistrationState,
    },
    /// Whether the name of a trunk's peer has an address. Told when that changes.
    TrunkName {
        /// The trunk.
        trunk: TrunkId,
        /// What is known.
        state: NameState,
    },
    /// Whether calls can be expected to work on a trunk ([`Endpoint::trunk_is_usable`](super::Endpoint::trunk_is_usable)).
    /// Told when that changes, and at first where it is not.
    TrunkUsable {
        /// The trunk.
        trunk: TrunkId,
        /// Whether.
        usable: bool,
    },
}

/// How a dialog ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialogEnd {
    /// The peer sent BYE.
    ByeReceived,
    /// The peer cancelled before our final response; 487 was sent.
    Cancelled,
    /// We ended it (BYE sent, final response sent, CANCEL done).
    ByUs,
    /// UAC: refused with this final status.
    Rejected(u16),
    /// UAC: no answer (timer B, or CANCEL after our own limit).
    TimedOut,
    /// UAS: 64*T1 without an ACK; BYE was sent.
    AckTimeout,
    /// The session timer ran out; BYE was sent.
    SessionExpired,
    /// 481 or 408 to a request of ours inside the dialog (RFC 5057).
    PeerForgot,
    /// The transport is gone.
    TransportFailed,
}

/// From the owner of a dialog to the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UaCommand {
    /// Provisional response (180, 183).
    Ring {
        /// The dialog.
        dialog: DialogKey,
        /// 180 or 183.
        status: u16,
        /// SDP.
        sdp: Option<Vec<u8>>,
    },
    /// 200 to the INVITE, repeated until ACK.
    Accept {
        /// The dialog.
        dialog: DialogKey,
        /// Answer, or our offer if the INVITE had none.
        sdp: Vec<u8>,
    },
    /// Final refusal of the INVITE.
    Reject {
        /// The dialog.
        dialog: DialogKey,
        /// 300 to 699.
        status: u16,
        /// Q.850 cause for the Reason header.
        cause: Option<u8>,
        /// Text of a Warning 399, for 488 and alike.
        warning: Option<String>,
        /// Adds Retry-After.
        retry_after: Option<Duration>,
    },
    /// SDP that answers `Offered`, or that offers after `OfferWanted`.
    Answer {
        /// The dialog.
        dialog: DialogKey,
        /// SDP.
        sdp: Vec<u8>,
    },
    /// Refuses an offer inside the dialog (488).
    RefuseOffer {
        /// The dialog.
        dialog: DialogKey,
        /// 488 as a rule.
        status: u16,
    },
    /// Our own offer inside the dialog (re-INVITE); glare is retried inside. It waits while another offer is open; a
    /// newer one takes the place of one that waits.
    Offer {
        /// The dialog.
        dialog: DialogKey,
        /// SDP.
        sdp: Vec<u8>,
    },
    /// Tells the far side something by INFO: in order, one at a time, and once the dialog stands. Answered by
    /// [`UaEvent::InfoAnswered`].
    Info {
        /// The dialog.
        dialog: DialogKey,
        /// Media type.
        content_type: String,
        /// At most 4 KiB.
        body: Vec<u8>,
    },
    /// Ends the dialog: CANCEL, BYE (after the ACK if that is still open), whatever its state asks for.
    End {
        /// The dialog.
        dialog: DialogKey,
        /// Q.850 cause for the Reason header.
        cause: Option<u8>,
    },
    /// The same with another value of the Reason header (RFC 3326), where somebody depends on it.
    EndSaying {
        /// The dialog.
        dialog: DialogKey,
        /// The value.
        reason: &'static str,
    },
}

/// A call of ours.
#[derive(Clone, Debug)]
pub struct OutgoingInvite {
    /// The trunk that carries it.
    pub trunk: TrunkId,
    /// Request-URI, for example `sip:pin@192.0.2.1:5060;transport=tcp`.
    pub target: String,
    /// From user. Empty: the user of the trunk's account, if it has one.
    pub from_user: Pii<String>,
    /// From display name.
    pub from_name: Pii<String>,
    /// Extra headers.
    pub headers: Vec<(String, Pii<String>)>,
    /// SDP offer.
    pub offer: Vec<u8>,
    /// CANCEL after this long without a final response.
    pub answer_within: Duration,
}

/// Misuse by our own code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiMisuse {
    /// No such dialog (any more).
    #[error("no such dialog")]
    NoSuchDialog,
    /// Not in this state.
    #[error("not possible in this state: {0}")]
    WrongState(&'static str),
    /// An argument cannot be used.
    #[error("bad argument: {0}")]
    BadArgument(&'static str),
}

/// From the endpoint.
#[derive(Clone, Debug)]
pub enum EndpointOutput {
    /// To the sockets.
    Transport(TransportOutput),
    /// To the owner of a dialog.
    Event(UaEvent),
}
