//! How numbers and rooms appear in records and on screens: hashed with the server key, masked, or as they are.

use gateway_core::leg::backend::RoomName;

use crate::config::number::masked;
use crate::config::typed::Showing;
use crate::pin::key::PinKey;

/// A way of showing, with the key for its hashes.
#[derive(Clone, Debug)]
pub struct Shower {
    key: PinKey,
    numbers: Showing,
    rooms: Showing,
}

impl Shower {
    /// Shows numbers and rooms as told.
    pub fn new(key: PinKey, numbers: Showing, rooms: Showing) -> Self {
        Self { key, numbers, rooms }
    }

    /// A telephone number or the user part of a URI. Short names such as `pin` are nobody's.
    pub fn number(&self, number: &str) -> String {
        let digits = number.chars().filter(char::is_ascii_digit).count();
        if number.is_empty() || (digits < PERSONAL_DIGITS && number.chars().count() <= NAME_MAX) {
            return number.to_owned();
        }
        match self.numbers {
            Showing::Full => number.to_owned(),
            Showing::Masked => masked(number),
            Showing::Hash => format!("h:{}", self.key.short_tag("number", number)),
        }
    }

    /// A name of a person: always its keyed hash.
    pub fn hashed(&self, name: &str) -> String {
        format!("h:{}", self.key.short_tag("person", name))
    }

    /// A room.
    pub fn room(&self, room: &RoomName) -> String {
        match self.rooms {
            Showing::Hash => format!("h:{}", self.key.short_tag("room", room.as_str())),
            Showing::Masked | Showing::Full => room.as_str().to_owned(),
        }
    }
}

/// Internal extensions have fewer digits than this.
const PERSONAL_DIGITS: usize = 5;
/// Longer user parts are taken for somebody's name.
const NAME_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_as_told() {
        let shower = |numbers| Shower::new(PinKey::from_bytes([1; 32]), numbers, Showing::Hash);
        assert_eq!(shower(Showing::Full).number("+622112345647"), "+622112345647");
        assert_eq!(shower(Showing::Masked).number("+622112345647"), "+62 *** 47");
        let hash = shower(Showing::Hash).number("+622112345647");
        assert!(hash.starts_with("h:") && hash.len() == 18 && !hash.contains("2345"), "{hash}");
        assert_eq!(hash, shower(Showing::Hash).number("+622112345647"));
        for kept in ["", "pin", "6001"] {
            assert_eq!(shower(Showing::Hash).number(kept), kept);
        }
        assert!(shower(Showing::Masked).number("ratna.dewi").contains("***"));
        let room = RoomName::new("tea").expect("name");
        assert!(shower(Showing::Full).room(&room).starts_with("h:"));
    }
}
