//! What can be said to a caller. (Stub of the interface: the `prompts` part completes it.)

/// A prompt: one phrase, in four languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PromptId {
    /// `greeting`.
    Greeting,
    /// `enter-pin`.
    EnterPin,
    /// `pin-wrong`.
    PinWrong,
    /// `pin-not-heard`.
    PinNotHeard,
    /// `goodbye`.
    Goodbye,
    /// `too-many-tries`.
    TooManyTries,
    /// `alone`.
    Alone,
    /// `waiting-for-host`.
    WaitingForHost,
    /// `host-arrived`.
    HostArrived,
    /// `joining`.
    Joining,
    /// `muted`.
    Muted,
    /// `unmuted`.
    Unmuted,
    /// `hand-raised`.
    HandRaised,
    /// `hand-lowered`.
    HandLowered,
    /// `help`.
    Help,
    /// `leave-goodbye`.
    LeaveGoodbye,
    /// `room-full`.
    RoomFull,
    /// `room-closed`.
    RoomClosed,
    /// `room-ended-by-host`.
    RoomEndedByHost,
    /// `call-limit`.
    CallLimit,
    /// `service-unavailable`.
    ServiceUnavailable,
    /// `reconnecting`.
    Reconnecting,
    /// `meeting-not-started`.
    MeetingNotStarted,
    /// `max-duration`.
    MaxDuration,
    /// `internal-error`.
    InternalError,
    /// `lobby-wait`.
    LobbyWait,
    /// `lobby-admitted`.
    LobbyAdmitted,
    /// `lobby-denied`.
    LobbyDenied,
    /// `password-needed`.
    PasswordNeeded,
    /// `password-wrong`.
    PasswordWrong,
    /// `muted-by-moderator`.
    MutedByModerator,
    /// `unmute-requested`.
    UnmuteRequested,
    /// `kicked`.
    Kicked,
    /// `recording-on`.
    RecordingOn,
    /// `recording-off`.
    RecordingOff,
    /// `streaming-on`.
    StreamingOn,
    /// `streaming-off`.
    StreamingOff,
    /// "There are N people in the room", 0 to 20; 21 stands for more than twenty.
    Count(u8),
}
