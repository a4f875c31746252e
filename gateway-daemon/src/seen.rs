//! The gateway as it was a moment ago, for pages that many ask often: one whole snapshot for all who come within [`SEEN_FOR`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_core::gateway::snapshot::GatewaySnapshot;
use gateway_core::io::signalling::{GatewayHandle, Stopped};
use tokio::sync::Mutex;

/// Looks at a gateway.
#[derive(Clone, Debug)]
pub struct Seen {
    handle: GatewayHandle,
    last: Arc<Mutex<Last>>,
}

/// When it was seen, and how it was.
type Last = Option<(Instant, Arc<GatewaySnapshot>)>;

impl Seen {
    /// Nothing was seen yet.
    pub fn new(handle: GatewayHandle) -> Self {
        Self { handle, last: Arc::default() }
    }

    /// The gateway, at most [`SEEN_FOR`] old.
    pub async fn look(&self) -> Result<Arc<GatewaySnapshot>, Stopped> {
        self.look_unless(|_| false).await
    }

    /// The gateway, at most [`SEEN_FOR`] old, and as it is now where `is_too_old` says so.
    pub async fn look_unless(
        &self,
        is_too_old: impl Fn(&GatewaySnapshot) -> bool,
    ) -> Result<Arc<GatewaySnapshot>, Stopped> {
        let mut last = self.last.lock().await;
        if let Some((at, snapshot)) = &*last
            && at.elapsed() < SEEN_FOR
            && !is_too_old(snapshot)
        {
            return Ok(Arc::clone(snapshot));
        }
        let snapshot = Arc::new(self.handle.snapshot().await?);
        *last = Some((Instant::now(), Arc::clone(&snapshot)));
        Ok(snapshot)
    }
}

/// Pages ask twice a second; a lamp that lights a quarter of a second late is not seen to be late.
pub const SEEN_FOR: Duration = Duration::from_millis(200);
