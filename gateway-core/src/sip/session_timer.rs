//! Session timers (RFC 4028): who refreshes, when, and when a silent peer means that the call is over.
//!
//! The rules are the parser crate's; here is our policy: a floor of 90 s, a timer only if the peer asks for one or
//! the trunk wants one, and the peer's wish as to who refreshes. Refuses to send anything.

use std::time::Duration;

use sipx_sip::session::{self, Accepted, Answer, MinSe, Session, SessionExpires};

use super::wire::{HeaderName, Headers, build, text};

/// What an INVITE or UPDATE of theirs asks of the session timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terms {
    /// No timer.
    None,
    /// A timer on these terms; goes into the 2xx.
    Agreed(Accepted),
}

/// Judges a session refresh request. `Err`: 422 with this Min-SE. `wish` is the trunk's own.
pub fn judge(headers: &Headers, wish: Option<Duration>) -> Result<Terms, Duration> {
    let supports = text::lists(headers, &HeaderName::Supported, session::OPTION_TAG)
        || text::lists(headers, &HeaderName::Require, session::OPTION_TAG);
    let asked = headers.typed::<SessionExpires>().and_then(Result::ok);
    let least = headers.typed::<MinSe>().and_then(Result::ok).map(|min| min.0);
    if asked.is_none() {
        let Some(wish) = wish.filter(|_| supports) else { return Ok(Terms::None) };
        let interval = wish.max(session::ABSOLUTE_MIN_INTERVAL).max(least.unwrap_or_default());
        let refresher = session::Refresher::Uas;
        return Ok(Terms::Agreed(Accepted { interval, refresher, require: true }));
    }
    match session::answer(supports, asked, least, session::ABSOLUTE_MIN_INTERVAL) {
        Answer::None => Ok(Terms::None),
        // A peer that cannot refresh cannot be asked to: then it is us.
        Answer::Accept(terms) if !supports => Ok(Terms::Agreed(Accepted {
            refresher: session::Refresher::Uas,
            require: false,
            ..terms
        })),
        Answer::Accept(terms) => Ok(Terms::Agreed(terms)),
        Answer::TooBrief(floor) => Err(floor),
    }
}

impl Terms {
    /// Writes the terms into our 2xx.
    pub fn write(self, headers: &mut Headers) {
        let Self::Agreed(terms) = self else { return };
        let refresher = terms.refresher.as_str();
        let value = format!("{};refresher={refresher}", terms.interval.as_secs());
        build::push(headers, HeaderName::SessionExpires, value);
        if terms.require {
            build::push(headers, HeaderName::Require, session::OPTION_TAG);
        }
    }

    /// The timer that we, who answered, now run.
    pub fn session(self) -> Option<Session> {
        match self {
            Self::None => None,
            Self::Agreed(terms) => Some(Session {
                interval: terms.interval,
                we_refresh: terms.refresher == session::Refresher::Uas,
            }),
        }
    }
}

/// Asks for a timer in a request of ours.
pub fn ask(headers: &mut Headers, wish: Option<Duration>, least: Option<Duration>) {
    headers.remove_all(&HeaderName::SessionExpires);
    headers.remove_all(&HeaderName::MinSe);
    let Some(wish) = wish else { return };
    let interval = wish.max(session::ABSOLUTE_MIN_INTERVAL).max(least.unwrap_or_default());
    build::push(headers, HeaderName::SessionExpires, interval.as_secs().to_string());
    if let Some(least) = least {
        build::push(headers, HeaderName::MinSe, least.as_secs().to_string());
    }
}

/// The timer that a 2xx to a request of ours sets. `asked`: what we asked for.
pub fn adopt(headers: &Headers, asked: Option<Duration>) -> Option<Session> {
    session::adopt(headers.typed::<SessionExpires>().and_then(Result::ok), asked)
}

/// Min-SE of a 422, within a day.
pub fn least(headers: &Headers) -> Option<Duration> {
    let least = headers.typed::<MinSe>()?.ok()?.0;
    (least <= Duration::from_secs(86_400)).then_some(least)
}
