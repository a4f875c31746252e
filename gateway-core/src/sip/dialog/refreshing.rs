//! The session timer of a dialog (RFC 4028 §10): refresh at half the interval, hang up when nobody did.

use std::time::Instant;

use sipx_sip::session::Session;

use super::{Dialog, DialogTimer, Phase};
use crate::sip::endpoint::DialogEnd;
use crate::sip::endpoint::core::Core;
use crate::sip::wire::Method;

impl Dialog {
    /// Starts the timer anew, or stops it.
    pub(super) fn run_session(&mut self, now: Instant, session: Option<Session>) {
        self.session = session;
        self.timers.clear(DialogTimer::Refresh);
        self.timers.clear(DialogTimer::Expired);
        let Some(session) = session else { return };
        if session.we_refresh {
            self.timers.set(DialogTimer::Refresh, now + session.act_after());
            let silent = Session { we_refresh: false, ..session };
            self.timers.set(DialogTimer::Expired, now + silent.act_after());
        } else {
            self.timers.set(DialogTimer::Expired, now + session.act_after());
        }
    }

    /// `interval;refresher=..` for a refresh of ours: in it we are the UAC, whoever called.
    pub(super) fn refresher(&self, session: Session) -> String {
        let refresher = if session.we_refresh { "uac" } else { "uas" };
        format!("{};refresher={refresher}", session.interval.as_secs())
    }

    /// UPDATE without a description where the peer knows it (§7.4), else a re-INVITE with the last one.
    pub(super) fn refresh(&mut self, now: Instant, core: &mut Core) {
        if !matches!(self.phase, Phase::Confirmed) {
            return;
        }
        let is_busy = self.offering.is_some() || self.asked.is_some() || self.awaits_ack();
        if is_busy {
            return self.refresh_later(now);
        }
        let method = if self.knows_update { Method::Update } else { Method::Invite };
        self.send_offer(now, core, method, None, self.glares_before);
    }

    /// Another try, soon.
    pub(super) fn refresh_later(&mut self, now: Instant) {
        self.timers.set(DialogTimer::Refresh, now + REFRESH_AGAIN);
    }

    /// §10: BYE a little before the interval is over.
    pub(super) fn session_expired(&mut self, now: Instant, core: &mut Core) {
        core.out.counters.sip_sessions_expired += 1;
        self.hang_up(now, core, DialogEnd::SessionExpired, Some(CAUSE_RECOVERY_ON_TIMER));
    }
}

/// A refresh that met another request, or a refusal, is tried again after this.
const REFRESH_AGAIN: std::time::Duration = std::time::Duration::from_secs(3);
/// Q.850 102.
const CAUSE_RECOVERY_ON_TIMER: u8 = 102;
