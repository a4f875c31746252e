//! The signal half of a browser's leg: one offer answered at once, then whatever its transport says.
//!
//!   Connecting{20 s} -> Connected -> Over       `Ended` is said exactly once, and nothing follows it
//!
//! There is no second offer: a page that changes its mind or its network leaves and joins again. A browser that is
//! closed says goodbye or says nothing; then consent is lost after about 15 s and the leg is over.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tracing::debug;

use super::line::BrowserLine;
use super::offer::BrowserOffer;
use crate::base::rng::Rng;
use crate::leg::end_reason::EndReason;
use crate::rtp::session::RtpSession;
use crate::webrtc::{
    Candidate, Certificate, DtlsTransport, IceCredentials, LocalIce, LocalTransport,
    PlainTransport, Transport, TransportEvent, TransportFailure, TransportSettings,
};

/// How browsers reach us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineKind {
    /// ICE and DTLS-SRTP.
    #[default]
    Dtls,
    /// Without protection, for stand-ins in simulation.
    Plain,
}

/// The signal half of one browser's leg.
#[derive(Debug)]
pub struct BrowserSignal {
    state: State,
    outputs: VecDeque<BrowserOutput>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Our answer is out, there are no keys yet.
    Connecting,
    /// Sound flows.
    Connected,
    /// `Ended` was said.
    Over,
}

/// What the leg says.
pub enum BrowserOutput {
    /// Our answer.
    Answer(String),
    /// The sound to set up, and the line it goes by.
    Configure {
        /// What was agreed.
        session: Box<RtpSession>,
        /// Between socket and media half.
        line: Box<BrowserLine>,
    },
    /// The keys are there: the browser hears us.
    Connected,
    /// The leg is over; nothing follows.
    Ended(EndReason),
}

impl BrowserSignal {
    /// Answers an offer. `address` is what the browser is told, and what our ICE agent takes for its own.
    pub fn new(
        now: Instant,
        offer: &BrowserOffer,
        address: SocketAddr,
        certificate: Arc<Certificate>,
        kind: LineKind,
        mut rng: Rng,
    ) -> Self {
        let local = LocalTransport {
            ice: LocalIce {
                credentials: IceCredentials::random(&mut rng),
                candidates: vec![Candidate::host(address, 0)],
                socket: 0,
            },
            certificate,
            setup: offer.our_setup(),
        };
        // A positive number that no browser finds too long.
        let answer = offer.answer(&local, rng.u32() >> 1);
        let (remote, rng) = (offer.remote(), rng.fork("transport"));
        let settings = TransportSettings { controlling: false, opens_channel: false };
        let transport: Box<dyn Transport> = match kind {
            LineKind::Dtls => DtlsTransport::new(now, &local, remote, settings, rng),
            LineKind::Plain => PlainTransport::new(now, &local, remote),
        };
        let (session, line) = (Box::new(offer.session()), BrowserLine::new(transport));
        let configure = BrowserOutput::Configure { session, line };
        let outputs = VecDeque::from([BrowserOutput::Answer(answer), configure]);
        Self { state: State::Connecting, outputs }
    }

    /// The transport says something.
    pub fn handle_event(&mut self, event: TransportEvent) {
        match (event, self.state) {
            (_, State::Over) => {}
            (TransportEvent::Secured { profile }, State::Connecting) => {
                debug!(from = "Connecting", to = "Connected", cause = profile);
                self.state = State::Connected;
                self.outputs.push_back(BrowserOutput::Connected);
            }
            (TransportEvent::Disconnected, State::Connected) => self.end(EndReason::PeerGone),
            (TransportEvent::Failed(failure), _) => self.end(match failure {
                TransportFailure::ClosedByPeer => EndReason::CallerHungUp,
                TransportFailure::TooLate => EndReason::MediaTimeout,
                _ => EndReason::PeerMisbehaved,
            }),
            _ => {}
        }
    }

    /// Ends the leg.
    pub fn end(&mut self, reason: EndReason) {
        if self.state != State::Over {
            debug!(from = ?self.state, to = "Over", cause = reason.row().label);
            self.state = State::Over;
            self.outputs.push_back(BrowserOutput::Ended(reason));
        }
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<BrowserOutput> {
        self.outputs.pop_front()
    }
}

impl std::fmt::Debug for BrowserOutput {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Answer(_) => "Answer",
            Self::Configure { .. } => "Configure",
            Self::Connected => "Connected",
            Self::Ended(_) => "Ended",
        })
    }
}
