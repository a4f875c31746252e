//! The signal half of a trunk leg: one SIP dialog and its offer/answer, turned into "ringing", "answered",
//! "held", "configure the sound so", "ended".
//! (Stub of the interface: the `trunk` part replaces it; `call` relies on these signatures.)

use std::net::SocketAddr;
use std::time::Instant;

use crate::base::ids::DialogKey;
use crate::base::rng::Rng;
use crate::leg::end_reason::EndReason;
use crate::media::codec::CodecKind;
use crate::media::dtmf::Key;
use crate::rtp::session::RtpSession;
use crate::sip::endpoint::{UaCommand, UaEvent};

/// What SDP of ours says and accepts.
#[derive(Clone, Debug)]
pub struct SdpPolicy {
    /// Codecs, in order of preference.
    pub codecs: Vec<CodecKind>,
    /// Packet time we prefer, in ms.
    pub packet_time_ms: u8,
    /// Learn the source of RTP once (NAT), or take the SDP's word.
    pub symmetric: bool,
}

/// The signal half of one trunk leg.
#[derive(Debug)]
pub struct TrunkSignal {}

/// What happened outside.
pub enum TrunkInput {
    /// From the endpoint, for this leg's dialog.
    Ua(UaEvent),
}

/// What the call wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrunkCommand {
    /// 180 without SDP.
    Ring,
    /// 200 with SDP. Legal once, before it ended.
    Answer,
    /// Hold or resume from our side (re-INVITE with `sendonly` / `sendrecv`).
    Hold(bool),
    /// Ends the leg in the way its state asks for: final response, CANCEL or BYE, with the reason's cause.
    End(EndReason),
}

/// What the leg says.
#[derive(Clone, Debug, PartialEq)]
pub enum TrunkOutput {
    /// To the endpoint.
    Ua(UaCommand),
    /// The sound to set up; comes before `Established` where early media or an early answer allow it, and again after
    /// each change.
    Configure(Box<RtpSession>),
    /// UAC: the far side rings.
    Ringing,
    /// Dialog confirmed: the caller has our 200 and acknowledged it, or we have theirs.
    Established,
    /// The peer put us on hold, or took us back.
    HeldByPeer(bool),
    /// A key by SIP INFO.
    Key(Key),
    /// The leg is over; nothing follows. `status` is the SIP status, where one was seen or sent.
    Ended {
        /// Why.
        reason: EndReason,
        /// SIP status of the final response, 200 for answered calls.
        status: Option<u16>,
    },
}

impl TrunkSignal {
    /// The leg of an INVITE that came in. `media` is our own advertised RTP address; `offer` the SDP, if any.
    pub fn incoming(
        dialog: DialogKey,
        offer: Option<Vec<u8>>,
        media: SocketAddr,
        policy: SdpPolicy,
        rng: Rng,
    ) -> Self {
        let _ = (dialog, offer, media, policy, rng);
        Self {}
    }

    /// The leg of an INVITE that goes out; gives the SDP offer to send with it.
    pub fn outgoing(media: SocketAddr, policy: SdpPolicy, rng: Rng) -> (Self, Vec<u8>) {
        let _ = (media, policy, rng);
        (Self {}, Vec::new())
    }

    /// The endpoint named the dialog of an outgoing INVITE.
    pub fn set_dialog(&mut self, dialog: DialogKey) {
        let _ = dialog;
    }

    /// Something happened.
    pub fn handle_input(&mut self, now: Instant, input: TrunkInput) {
        let _ = (now, input);
    }

    /// The call wants something. Commands that come too late are ignored.
    pub fn command(&mut self, now: Instant, command: TrunkCommand) {
        let _ = (now, command);
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<TrunkOutput> {
        None
    }

    /// Codec of the negotiated session, once there is one.
    pub fn codec(&self) -> Option<CodecKind> {
        None
    }
}
