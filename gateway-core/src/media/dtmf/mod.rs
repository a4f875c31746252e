//! Keys of a telephone: RFC 4733 events, and tones in the audio when no event was negotiated.

pub mod event;
pub mod inband;
pub mod tones;

/// A key of a telephone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `0` to `9`.
    Digit(u8),
    /// `*`.
    Star,
    /// `#`.
    Hash,
    /// `A` to `D` as 0 to 3.
    Letter(u8),
}

impl Key {
    /// From an RFC 4733 §3.2 event code (0 to 15).
    pub fn from_event(code: u8) -> Option<Self> {
        match code {
            0..=9 => Some(Self::Digit(code)),
            10 => Some(Self::Star),
            11 => Some(Self::Hash),
            12..=15 => Some(Self::Letter(code - 12)),
            _ => None,
        }
    }

    /// The RFC 4733 event code.
    pub fn event(self) -> u8 {
        match self {
            Self::Digit(digit) => digit,
            Self::Star => 10,
            Self::Hash => 11,
            Self::Letter(letter) => 12 + letter,
        }
    }

    /// From the character people write: `0-9 * # A-D a-d`.
    pub fn from_char(character: char) -> Option<Self> {
        match character {
            '0'..='9' => Some(Self::Digit(character as u8 - b'0')),
            '*' => Some(Self::Star),
            '#' => Some(Self::Hash),
            'A'..='D' => Some(Self::Letter(character as u8 - b'A')),
            'a'..='d' => Some(Self::Letter(character as u8 - b'a')),
            _ => None,
        }
    }

    /// The character people write.
    pub fn to_char(self) -> char {
        match self {
            Self::Digit(digit) => char::from(b'0' + digit.min(9)),
            Self::Star => '*',
            Self::Hash => '#',
            Self::Letter(letter) => char::from(b'A' + letter.min(3)),
        }
    }
}

/// A key, and how long it is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Press {
    /// Which.
    pub key: Key,
    /// In milliseconds.
    pub length_ms: u16,
}

impl Press {
    /// A key that is down for so long: at least what a network must recognise (ITU-T Q.24), at most what a browser sends.
    pub fn new(key: Key, length_ms: u16) -> Self {
        Self { key, length_ms: length_ms.clamp(LENGTH_MS_MIN, LENGTH_MS_MAX) }
    }
}

impl From<Key> for Press {
    /// Twice the 40 ms that Q.24 asks receivers to accept, and some.
    fn from(key: Key) -> Self {
        Self::new(key, 100)
    }
}

const LENGTH_MS_MIN: u16 = 40;
const LENGTH_MS_MAX: u16 = 6_000;

/// How a key reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeySource {
    /// RFC 4733 telephone-event.
    Event,
    /// SIP INFO (`application/dtmf-relay`, `application/dtmf`).
    Info,
    /// Tones in the audio.
    Inband,
}
