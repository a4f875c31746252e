//! SIGTERM and SIGINT, counted from the first moment on: a signal that comes while the gateway
//! is still starting is obeyed as soon as it has started, not answered by a sudden death.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How often the gateway was asked to stop.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    asked: watch::Receiver<u32>,
}

impl Stop {
    /// Listens for SIGTERM and SIGINT from now on.
    pub(super) fn listen() -> Result<Self, String> {
        let of = |kind| signal(kind).map_err(|error| format!("signals: {error}"));
        let (mut term, mut int) = (of(SignalKind::terminate())?, of(SignalKind::interrupt())?);
        let (count, asked) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = int.recv() => {}
                }
                count.send_modify(|count: &mut u32| *count = count.saturating_add(1));
            }
        });
        Ok(Self { asked })
    }

    /// Ready once it was asked `times` times.
    pub(super) async fn asked(&self, times: u32) {
        if self.asked.clone().wait_for(|count| *count >= times).await.is_err() {
            // The counter has gone, with the runtime: nobody can ask any more.
            std::future::pending().await
        }
    }
}
