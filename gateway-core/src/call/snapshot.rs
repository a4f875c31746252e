//! A look at one call from outside: what `weebee calls` and the simulator's checkers see.

use std::time::Duration;

use crate::base::ids::{CallKey, ShardId, TrunkId};
use crate::base::pii::Pii;
use crate::base::time::WallClock;
use crate::call::CallDirection;
use crate::leg::backend::RoomName;
use crate::leg::end_reason::EndReason;
use crate::media::clip::Language;
use crate::media::codec::CodecKind;
use crate::media::quality::LegReport;

/// One call as it stands.
#[derive(Clone, Debug)]
pub struct CallSnapshot {
    /// The call.
    pub call: CallKey,
    /// Direction.
    pub direction: CallDirection,
    /// Trunk.
    pub trunk: TrunkId,
    /// Media shard of its legs.
    pub shard: ShardId,
    /// `Call-ID`.
    pub call_id: String,
    /// Caller's number.
    pub caller: Pii<String>,
    /// What was dialled.
    pub dialled: Pii<String>,
    /// Name of its state: `Opening`, `Routing`, `Calling`, `Asking`, `Joining`, `Joined`, `Ending`.
    pub state: &'static str,
    /// Room, once routed.
    pub room: Option<RoomName>,
    /// Note of the route.
    pub note: Option<String>,
    /// Language of the words to this caller.
    pub language: Language,
    /// When it started.
    pub started: WallClock,
    /// How long it is answered.
    pub answered_for: Option<Duration>,
    /// How long it is in the room.
    pub joined_for: Option<Duration>,
    /// The caller muted himself.
    pub muted: bool,
    /// The caller's hand is up.
    pub hand_raised: bool,
    /// The peer holds us.
    pub held_by_peer: bool,
    /// Codec of the phone.
    pub codec: Option<CodecKind>,
    /// Last figures of the trunk leg.
    pub report: LegReport,
    /// Why it is ending, while it is.
    pub ending: Option<EndReason>,
}
