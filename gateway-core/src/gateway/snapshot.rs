//! A look at the whole gateway from outside.

use crate::call::snapshot::CallSnapshot;
use crate::leg::backend::RoomSnapshot;

/// The gateway as it stands.
#[derive(Clone, Debug)]
pub struct GatewaySnapshot {
    /// Calls, in the order of their keys.
    pub calls: Vec<CallSnapshot>,
    /// Rooms of all backends, with the backend's name.
    pub rooms: Vec<(String, RoomSnapshot)>,
    /// SIP dialogs that belong to a call.
    pub dialogs: usize,
    /// RTP port pairs in use.
    pub ports_used: usize,
    /// RTP port pairs in quarantine.
    pub ports_resting: usize,
    /// No new calls are taken.
    pub draining: bool,
}
