//! Floor 2: what Jitsi says beside the media: machines for Jingle, sources, the room and its focus.
//!
//! [`stanza`] (floor 1) turns XML elements into values and back; the machines here know time and states. Everything is
//! held against recordings of a real Jitsi (`testdata/jitsi`, read by `capture`, a test module).

pub mod brewery;
pub mod bridge_channel;
#[cfg(any(test, feature = "_testkit"))]
pub mod capture;
pub mod disco;
pub mod focus;
pub mod jingle;
pub mod lobby;
pub mod moderation;
pub mod muc;
pub mod sources;
pub mod stanza;
