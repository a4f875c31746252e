//! Browsers in place of phones: how many, where their sound goes, and how a call of one begins.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tracing::debug;

use super::{ConferenceAddresses, Gateway, Output};
use crate::base::ids::{CallKey, ListenerId, TrunkId};
use crate::call::Route;
use crate::call::browser::BrowserBirth;
use crate::call::event::Event;
use crate::call::story::Birth;
use crate::leg::browser::offer::BrowserOffer;
use crate::leg::browser::signal::LineKind;
use crate::leg::end_reason::EndReason;
use crate::webrtc::Certificate;

/// Browsers in place of phones.
#[derive(Clone, Copy, Debug, Default)]
pub struct BrowserSettings {
    /// At once; beyond it they are refused. 0: none.
    pub browsers_max: usize,
    /// Where their ports are bound and what they are told; `None`: as the first SIP listener.
    pub addresses: ConferenceAddresses,
    /// How they reach us.
    pub line: LineKind,
}

/// What the gateway knows about browsers.
#[derive(Debug)]
pub(super) struct Browsers {
    settings: BrowserSettings,
    /// Of new legs.
    pub(super) certificate: Option<Arc<Certificate>>,
    pub(super) media_is_behind: bool,
}

impl Browsers {
    pub(super) fn new(settings: BrowserSettings) -> Self {
        Self { settings, certificate: None, media_is_behind: false }
    }
}

impl Gateway {
    /// A browser asks. Gives its call, if there is one now.
    pub(super) fn browser_joins(
        &mut self,
        now: Instant,
        ticket: u64,
        offer: Box<BrowserOffer>,
        route: Box<Route>,
    ) -> Option<CallKey> {
        self.counters.browsers_asked += 1;
        match self.certificate_for_browser() {
            Ok(certificate) => {
                let line = self.browsers.settings.line;
                let birth = BrowserBirth { ticket, offer, route, certificate, line };
                let addresses = self.browser_addresses();
                let birth = Birth::Browser(Box::new(birth));
                Some(self.call_born(now, TrunkId::BROWSERS, addresses, birth))
            }
            Err(reason) => {
                debug!(reason = reason.row().label, "browser refused");
                self.counters.browsers_refused += 1;
                let event = Event::BrowserAnswered { ticket, answer: Err(reason) };
                self.outputs.push_back(Output::Event(event));
                None
            }
        }
    }

    fn certificate_for_browser(&self) -> Result<Arc<Certificate>, EndReason> {
        if self.is_draining {
            return Err(EndReason::Draining);
        }
        let browsers =
            self.calls.values().filter(|place| place.call.trunk_id() == TrunkId::BROWSERS).count();
        if self.browsers.media_is_behind || browsers >= self.browsers.settings.browsers_max {
            return Err(EndReason::Overloaded);
        }
        self.browsers.certificate.clone().ok_or(EndReason::ServiceUnavailable)
    }

    /// Where their ports are bound, and what they are told.
    fn browser_addresses(&self) -> (IpAddr, IpAddr) {
        let (bind, advertised) = self.addresses(ListenerId(0));
        let ConferenceAddresses { bind: own, advertised: told } = self.browsers.settings.addresses;
        (own.unwrap_or(bind), told.or(own).unwrap_or(advertised))
    }
}
