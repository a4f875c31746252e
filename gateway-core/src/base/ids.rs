//! Names of things that live as long as a call or a configuration.

use std::fmt;

use slotmap::{Key, KeyData};

slotmap::new_key_type! {
    /// One call: slab index and generation, printed `c17-3`. (`Call-ID` belongs to RFC 3261.)
    pub struct CallKey;
    /// One SIP dialog, early or confirmed, of the endpoint.
    pub struct DialogKey;
}

impl fmt::Display for CallKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.data().as_ffi();
        write!(formatter, "c{}-{}", bits as u32, bits >> 32)
    }
}

/// Which side of a call a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Towards the telephone network.
    Trunk,
    /// Towards the conference.
    Conference,
}

/// One leg of one call. Both halves (signal and media) carry the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegKey {
    /// The call.
    pub call: CallKey,
    /// The side.
    pub side: Side,
}

impl LegKey {
    /// The trunk leg of `call`.
    pub fn trunk(call: CallKey) -> Self {
        Self { call, side: Side::Trunk }
    }

    /// The conference leg of `call`.
    pub fn conference(call: CallKey) -> Self {
        Self { call, side: Side::Conference }
    }
}

impl fmt::Display for LegKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Trunk => "trunk",
            Side::Conference => "conference",
        };
        write!(formatter, "{}/{side}", self.call)
    }
}

/// One XMPP stream: one connection with one full JID. A leg of a Jitsi room has its own, because a bare JID is used by
/// one call only; it is named after the leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey(pub LegKey);

impl StreamKey {
    /// A stream that belongs to no call, such as a brewery's. Among streams that no gateway sees: a gateway's own keys may
    /// look alike.
    pub fn alone(number: u32) -> Self {
        let key = KeyData::from_ffi((1 << 32) | u64::from(number));
        Self(LegKey::conference(CallKey::from(key)))
    }

    /// The number of [`StreamKey::alone`].
    pub fn number(self) -> u32 {
        // The lower half is the number, the upper half the generation.
        self.0.call.data().as_ffi() as u32
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

macro_rules! small_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);
    };
}

small_id!(/// A trunk: its position in the configuration.
    TrunkId(u16));
impl TrunkId {
    /// Stands where a trunk does for calls that come from browsers: no trunk has this position.
    pub const BROWSERS: Self = Self(u16::MAX);
    /// Stands where a trunk does for PINs that are asked about over HTTP: no trunk has this position either.
    pub const PAGES: Self = Self(u16::MAX - 1);
}

small_id!(/// A SIP listener (address, transport): its position in the configuration.
    ListenerId(u16));
small_id!(/// A SIP byte stream (TCP or TLS connection). Chosen by whoever opens it: io for inbound
    /// connections (even numbers), the endpoint for outbound ones (odd numbers).
    FlowId(u64));
small_id!(/// A Jitsi deployment: its position in the configuration.
    SiteId(u16));
small_id!(/// A media shard.
    ShardId(u16));
small_id!(/// A room as the shards know it. Never reused while the process lives.
    RoomKey(u64));
small_id!(/// One `Play`: comes back in `PlayDone`.
    PlayToken(u32));
small_id!(/// One question put to a caller: comes back with its answer.
    QuestionId(u32));
