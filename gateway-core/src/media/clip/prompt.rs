//! What the gateway can say and play: one id per spoken phrase ([`PromptId`]) and per sound ([`SoundId`]).
//!
//! The words of each phrase live in `prompts/catalogue/<language>.toml`, under the id's name; the same name is the
//! file name of an operator's own recording (`<prompts_dir>/<language>/<name>.wav`). A new id therefore needs a
//! variant here, a line in each catalogue, and a run of `cargo run -p prompts-render`; tests hold the three together.

/// Declares an enum of clips with one stable name each, so that a variant, its name and its place in the list cannot
/// drift apart. An optional last variant holds a number and takes its name from a table.
macro_rules! named_clips {
    (
        $(#[$outer:meta])*
        $enum:ident {
            $($(#[$doc:meta])* $variant:ident = $name:literal,)+
        }
        $(numbered { $(#[$counted_doc:meta])* $counted:ident(u8) in $names:ident })?
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $enum {
            $($(#[$doc])* $variant,)+
            $($(#[$counted_doc])* $counted(u8),)?
        }

        impl $enum {
            /// Every id, in the order of declaration.
            pub fn all() -> impl Iterator<Item = Self> {
                let all = [$(Self::$variant),+].into_iter();
                $(let all = all.chain((0..$names.len()).map(|number| Self::$counted(number as u8)));)?
                all
            }

            /// Key in the catalogue and stem of an override file: lower case ASCII, digits and `-`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                    $(Self::$counted(number) => $names[usize::from(number).min($names.len() - 1)],)?
                }
            }

            /// The id of that name, exactly as [`Self::name`] writes it.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::all().find(|id| id.name() == name)
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

named_clips! {
    /// A spoken phrase, available in every [`Language`](super::Language).
    ///
    /// The doc of each variant says when a caller hears it.
    #[non_exhaustive]
    PromptId {
        /// First words after the answer; digits typed over it count.
        Greeting = "greeting",
        /// Asks for the meeting PIN; ends with the name of the `#` key.
        EnterPin = "enter-pin",
        /// The PIN was wrong, expired or locked: one phrase for all three, so that it tells a guesser nothing.
        PinWrong = "pin-wrong",
        /// No digit came in time.
        PinNotHeard = "pin-not-heard",
        /// The last try failed; the call ends.
        TooManyTries = "too-many-tries",
        /// Last words of a call that ends by our decision and has no phrase of its own.
        Goodbye = "goodbye",

        /// The caller is the only one in the room; music follows.
        Alone = "alone",
        /// The room wants a host and has none yet; music follows.
        WaitingForHost = "waiting-for-host",
        /// The awaited host came.
        HostArrived = "host-arrived",
        /// The conference does not run yet and the caller may wait for it.
        MeetingNotStarted = "meeting-not-started",
        /// The PIN was accepted and the join takes long enough to need words.
        Joining = "joining",

        /// `*6` closed the caller's own microphone.
        Muted = "muted",
        /// `*6` opened it again.
        Unmuted = "unmuted",
        /// `*9` raised the caller's hand.
        HandRaised = "hand-raised",
        /// `*9` lowered it.
        HandLowered = "hand-lowered",
        /// `*0`: the keys of the room.
        Help = "help",
        /// `**`: the caller leaves by key.
        LeaveGoodbye = "leave-goodbye",

        /// The room takes no more people; the call ends.
        RoomFull = "room-full",
        /// The room is closed; the call ends.
        RoomClosed = "room-closed",
        /// The host ended the meeting for all; the call ends.
        RoomEndedByHost = "room-ended-by-host",
        /// The gateway or the trunk is at its call limit, found out after the answer; the call ends.
        CallLimit = "call-limit",
        /// Something the call needs is away (the PIN registry, the conference system); the call ends.
        ServiceUnavailable = "service-unavailable",
        /// The conference side was lost and is being joined again; said at once and then each 15 s.
        Reconnecting = "reconnecting",
        /// The conference side is back after [`PromptId::Reconnecting`].
        Reconnected = "reconnected",
        /// The phone asked for a transfer (REFER), which is refused; the call goes on.
        TransferNotPossible = "transfer-not-possible",
        /// The call reached the longest duration its trunk allows; the call ends.
        MaxDuration = "max-duration",
        /// A fault of ours; the call ends.
        InternalError = "internal-error",

        /// The conference put the caller into its lobby.
        LobbyWait = "lobby-wait",
        /// A moderator admitted the caller.
        LobbyAdmitted = "lobby-admitted",
        /// A moderator denied the caller; the call ends.
        LobbyDenied = "lobby-denied",
        /// The room has a password; digits and `#` follow.
        PasswordNeeded = "password-needed",
        /// The password was wrong.
        PasswordWrong = "password-wrong",
        /// A moderator closed the caller's microphone.
        MutedByModerator = "muted-by-moderator",
        /// A moderator asks the caller to open the microphone; only the caller can, with `*6`.
        UnmuteRequested = "unmute-requested",
        /// The meeting is so large that the caller only listens; `*9` asks to speak.
        ListeningOnly = "listening-only",
        /// He asked to speak, and a moderator decided against it.
        PromotionRefused = "promotion-refused",
        /// A moderator removed the caller; the call ends.
        Kicked = "kicked",
        /// A recording of the meeting began, or runs when the caller comes.
        RecordingOn = "recording-on",
        /// The recording ended.
        RecordingOff = "recording-off",
        /// A live stream of the meeting began, or runs when the caller comes.
        StreamingOn = "streaming-on",
        /// The live stream ended.
        StreamingOff = "streaming-off",
    }
    numbered {
        /// `*#`: how many people are in the room, 0 to 20; 21 and more stand for "more than twenty".
        /// See [`PromptId::count`].
        Count(u8) in COUNT_NAMES
    }
}

named_clips! {
    /// A sound without words, the same in every language.
    SoundId {
        /// Somebody came into the room: two rising notes.
        Entry = "entry",
        /// Somebody left the room: two falling notes.
        Exit = "exit",
        /// "Your turn": a short single tone before digits or speech are expected.
        Beep = "beep",
        /// Played in a loop while the caller is alone or waits; begins and ends so that the loop has no seam.
        MusicOnHold = "music-on-hold",
    }
}

impl PromptId {
    /// How many people are in the room; everything above 20 is "more than twenty".
    pub fn count(people: usize) -> Self {
        Self::Count(people.min(COUNT_MANY) as u8)
    }
}

/// Names of [`PromptId::Count`], the number being the index; the last is for every number beyond.
const COUNT_NAMES: [&str; 22] = [
    "count-0",
    "count-1",
    "count-2",
    "count-3",
    "count-4",
    "count-5",
    "count-6",
    "count-7",
    "count-8",
    "count-9",
    "count-10",
    "count-11",
    "count-12",
    "count-13",
    "count-14",
    "count-15",
    "count-16",
    "count-17",
    "count-18",
    "count-19",
    "count-20",
    "count-more",
];

/// The number that stands for "more than twenty".
const COUNT_MANY: usize = COUNT_NAMES.len() - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back_to_their_id() {
        for id in PromptId::all() {
            assert_eq!(PromptId::from_name(id.name()), Some(id));
        }
        for id in SoundId::all() {
            assert_eq!(SoundId::from_name(id.name()), Some(id));
        }
        assert_eq!(PromptId::from_name("Greeting"), None);
    }

    #[test]
    fn each_number_to_twenty_has_its_own_phrase_and_the_rest_share_one() {
        for people in 0..=20 {
            assert_eq!(PromptId::count(people).name(), format!("count-{people}"));
        }
        assert_eq!(PromptId::count(21).name(), "count-more");
        assert_eq!(PromptId::count(usize::MAX), PromptId::count(21));
        assert_eq!(PromptId::Count(255).name(), "count-more");
    }
}
