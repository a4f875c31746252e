//! All ends of a call, and the one map from an end to SIP status, Reason header, words and labels.

use crate::media::clip::prompt::PromptId;

/// Why a call ended. Every call ends with exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// The caller hung up (BYE).
    CallerHungUp,
    /// The caller gave up before we answered (CANCEL).
    CallerCancelled,
    /// The caller pressed `**`.
    CallerLeft,
    /// Three PINs, none valid.
    PinRefused,
    /// Nothing typed, three times.
    PinNotGiven,
    /// The room has its maximum of callers.
    RoomFull,
    /// The host ended the room.
    RoomEnded,
    /// The host did not come in time.
    HostNeverCame,
    /// No such destination and no PIN allowed.
    NotFound,
    /// The daemon's policy said no.
    Forbidden,
    /// The gateway is at its limit of calls, or too busy.
    Overloaded,
    /// The gateway is being drained.
    Draining,
    /// No codec in common.
    NoCommonCodec,
    /// The peer's SDP could not be used at all.
    BadOffer,
    /// Our 200 was never acknowledged (RFC 3261 §13.3.1.4).
    AckNeverCame,
    /// The session timer ran out (RFC 4028).
    SessionExpired,
    /// No RTP for the configured time.
    MediaTimeout,
    /// The call reached its maximum length.
    TooLong,
    /// A port could not be had, or a ring was full.
    NoResources,
    /// The far side refused our call (UAC); the SIP status is in the record.
    Refused,
    /// The far side did not answer in time (UAC).
    NoAnswer,
    /// The peer broke the protocol so that the dialog cannot go on.
    PeerMisbehaved,
    /// The PIN registry or a hook could not be asked.
    ServiceUnavailable,
    /// An operator ended it.
    Operator,
    /// Our own fault: a panic was caught.
    Bug,
}

/// What one end looks like to each audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndRow {
    /// Metric label and CDR text.
    pub label: &'static str,
    /// Final response when the call was not answered yet.
    pub status: u16,
    /// Q.850 cause of the Reason header (RFC 3326) in BYE or response.
    pub cause: u8,
    /// Words before the BYE when the call was answered and the caller is still there.
    pub words: Option<PromptId>,
}
