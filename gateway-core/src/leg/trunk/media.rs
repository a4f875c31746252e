//! The media half of a trunk leg: RTP in, RTP out, keys, clips.
//! (Stub of the interface: the `plane` part replaces it.)

use crate::base::ids::CallKey;
use crate::base::rng::Rng;
use crate::rtp::session::RtpSession;

/// The media half of one trunk leg.
#[derive(Debug)]
pub struct TrunkMedia {}

/// Codec-dependent part of a trunk leg, built by signalling for each negotiated session: encoder, level meter,
/// in-band key detector where no telephone-event was negotiated.
#[derive(Debug)]
pub struct AudioPath {}

/// Settings of a trunk leg's media half that do not change with negotiation.
#[derive(Clone, Copy, Debug)]
pub struct TrunkMediaConfig {
    /// No RTP and no RTCP for this long: [`crate::leg::media::FromMedia::Silent`]. Not counted while held.
    pub silence_timeout: std::time::Duration,
    /// DSCP and alike belong to io; nothing here yet.
    pub _reserved: (),
}

impl TrunkMedia {
    /// A half without a session: it plays nothing and hears nothing until configured.
    pub fn new(call: CallKey, config: TrunkMediaConfig, rng: Rng) -> Box<Self> {
        let _ = (call, config, rng);
        Box::new(Self {})
    }
}

impl AudioPath {
    /// What `session` needs.
    pub fn new(session: &RtpSession) -> Box<Self> {
        let _ = session;
        Box::new(Self {})
    }
}
