//! A call whose front leg is a browser: its offer is answered at once, and it goes into the room when the keys are
//! there. What it hears and what its keys mean is as for a phone.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::call::Moment;
use crate::call::Route;
use crate::call::event::Event;
use crate::call::machine::{Call, CallOutput, Stage};
use crate::call::story::Birth;
use crate::leg::browser::line::BrowserLine;
use crate::leg::browser::offer::BrowserOffer;
use crate::leg::browser::signal::{BrowserOutput, BrowserSignal, LineKind};
use crate::leg::end_reason::EndReason;
use crate::webrtc::{Certificate, TransportEvent};

/// What a browser's call begins with.
#[derive(Debug)]
pub struct BrowserBirth {
    /// Goes with the answer.
    pub ticket: u64,
    /// What it offered.
    pub offer: Box<BrowserOffer>,
    /// Where it goes.
    pub route: Box<Route>,
    /// Ours.
    pub certificate: Arc<Certificate>,
    /// How it reaches us.
    pub line: LineKind,
}

/// The front leg of a browser's call; empty in a phone's.
#[derive(Default)]
pub(super) struct BrowserSeat {
    /// The answer is still owed.
    ticket: Option<u64>,
    signal: Option<BrowserSignal>,
    /// On its way to the shard.
    line: Option<Box<BrowserLine>>,
}

impl BrowserSeat {
    pub(super) fn new(birth: &Birth) -> Self {
        let ticket = match birth {
            Birth::Browser(birth) => Some(birth.ticket),
            _ => None,
        };
        Self { ticket, ..Self::default() }
    }

    pub(super) fn take_line(&mut self) -> Option<Box<BrowserLine>> {
        self.line.take()
    }

    pub(super) fn end(&mut self, reason: EndReason) {
        if let Some(signal) = &mut self.signal {
            signal.end(reason);
        }
    }
}

impl Call {
    /// Its port is open.
    pub(super) fn browser_opened(&mut self, at: Moment, address: SocketAddr, birth: BrowserBirth) {
        let BrowserBirth { offer, route, certificate, line, .. } = birth;
        self.language = route.language;
        self.route = Some(route);
        let rng = self.rng.fork("browser");
        let signal = BrowserSignal::new(at.now, &offer, address, certificate, line, rng);
        self.browser.signal = Some(signal);
        self.enter(Stage::Joining, "ports open");
        self.drain_browser(at);
    }

    /// The transport says something.
    pub(super) fn line_event(&mut self, event: TransportEvent) {
        if let Some(signal) = &mut self.browser.signal {
            signal.handle_event(event);
        }
    }

    pub(super) fn drain_browser(&mut self, at: Moment) {
        while let Some(output) = self.browser.signal.as_mut().and_then(BrowserSignal::poll_output) {
            match output {
                BrowserOutput::Answer(answer) => {
                    let answer = Ok((self.key, answer));
                    self.tell_browser(answer);
                }
                BrowserOutput::Configure { session, line } => {
                    self.browser.line = Some(line);
                    self.configure(*session);
                }
                BrowserOutput::Connected => {
                    self.mark_answered(at);
                    // It has no SIP status.
                    self.story.status = None;
                    self.become_audible(at);
                }
                BrowserOutput::Ended(reason) => self.trunk_over(at, reason, None),
            }
        }
    }

    /// The call ends before its offer was answered.
    pub(super) fn answer_browser_late(&mut self) {
        let reason = self.reason.unwrap_or(EndReason::Bug);
        self.tell_browser(Err(reason));
    }

    fn tell_browser(&mut self, answer: Result<(crate::base::ids::CallKey, String), EndReason>) {
        if let Some(ticket) = self.browser.ticket.take() {
            let event = Event::BrowserAnswered { ticket, answer };
            self.outputs.push_back(CallOutput::Event(event));
        }
    }
}
