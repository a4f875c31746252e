//! The end of the gateway: no new calls, those in progress may go on for a while, then they end with words.

use std::time::{Duration, Instant};

use gateway_core::gateway::Command;
use gateway_core::leg::end_reason::EndReason;

use super::App;

/// How the calls in progress ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By themselves.
    Drained,
    /// With words, when the time was over.
    TimeOver,
}

/// How far the end is.
#[derive(Debug, Default)]
pub(super) struct Drain {
    pub(super) is_on: bool,
    /// When the next step is taken; `None`: calls go on as long as they like.
    pub(super) until: Option<Instant>,
    /// They are being said goodbye to.
    is_farewell: bool,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Say goodbye to everybody.
    Farewell,
    /// Wait for nobody any more.
    GiveUp,
}

impl Drain {
    /// Somebody wants it. Asked again it can only become shorter.
    pub(super) fn begin(&mut self, now: Instant, patience: Option<Duration>) {
        self.is_on = true;
        let until = patience.map(|patience| now + patience);
        self.until = self.until.into_iter().chain(until).min();
    }

    /// What is due now.
    pub(super) fn due(&mut self, now: Instant) -> Option<Step> {
        self.until.filter(|until| *until <= now)?;
        if std::mem::replace(&mut self.is_farewell, true) {
            return Some(Step::GiveUp);
        }
        self.until = Some(now + FAREWELL_MAX);
        Some(Step::Farewell)
    }

    pub(super) fn ended(&self) -> Ended {
        if self.is_farewell { Ended::TimeOver } else { Ended::Drained }
    }
}

impl App {
    /// No new calls from now on; those in progress have this long.
    pub(super) fn begin_drain(&self, drain: &mut Drain, patience: Option<Duration>) {
        match patience {
            Some(time) => tracing::info!(seconds = time.as_secs(), "draining"),
            None => tracing::info!("draining, until the last call has ended"),
        }
        drain.begin(Instant::now(), patience);
        self.shared.draining.send_replace(true);
    }

    /// Everybody who is still there hears that it is over.
    pub(super) async fn say_goodbye(&self) {
        let Ok(snapshot) = self.running.handle.snapshot().await else { return };
        tracing::warn!(
            calls = snapshot.calls.len(),
            "the time to drain is over: calls end with words"
        );
        for call in snapshot.calls {
            let end = Command::End { call: call.call, reason: EndReason::Draining };
            let _ = self.running.handle.tell(end).await;
        }
    }
}

/// Last words take 8 s at most, a BYE without an answer some more.
const FAREWELL_MAX: Duration = Duration::from_secs(12);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_go_on_then_hear_goodbye_then_are_waited_for_no_more() {
        let (mut drain, now) = (Drain::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(drain.due(at(9_999)), None);
        drain.begin(now, None);
        assert!(drain.is_on && drain.due(at(9_999)).is_none());
        drain.begin(now, Some(Duration::from_secs(30)));
        drain.begin(now, Some(Duration::from_secs(60)));
        assert_eq!((drain.due(at(29)), drain.ended()), (None, Ended::Drained));
        assert_eq!(drain.due(at(30)), Some(Step::Farewell));
        assert_eq!(drain.due(at(41)), None);
        assert_eq!((drain.due(at(42)), drain.ended()), (Some(Step::GiveUp), Ended::TimeOver));
    }
}
