//! Who may let the gateway call a phone, and which. Off by default: calls out cost money, and thieves know it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gateway_core::base::pii::Pii;
use gateway_core::leg::backend::RoomName;

use super::ids::Id;

/// The rules, and what was called.
#[derive(Clone, Debug)]
pub struct CallMe {
    /// Roles of Rocket.Chat that may: one of them is enough.
    pub roles: Vec<String>,
    /// Beginnings of numbers that may be called, `+62`.
    pub prefixes: Vec<String>,
    /// Calls out into one meeting.
    pub per_meeting_max: u32,
    /// Calls out of one user in an hour.
    pub per_user_hour_max: u32,
    /// Of each user: since when, and how many.
    users: BTreeMap<Id, (Instant, u32)>,
    rooms: BTreeMap<RoomName, (Instant, u32)>,
}

impl CallMe {
    /// Rules under which nobody has called yet.
    pub fn new(
        roles: Vec<String>,
        prefixes: Vec<String>,
        per_meeting_max: u32,
        per_user_hour_max: u32,
    ) -> Self {
        let (users, rooms) = (BTreeMap::new(), BTreeMap::new());
        Self { roles, prefixes, per_meeting_max, per_user_hour_max, users, rooms }
    }

    /// A number that may be called, as `+` and 7 to 15 digits (E.164).
    pub fn number(&self, typed: &str) -> Option<Pii<String>> {
        let rest = typed.trim().strip_prefix('+')?;
        let is_filler = |sign: char| matches!(sign, ' ' | '-' | '.' | '(' | ')' | '/');
        if !rest.chars().all(|sign| sign.is_ascii_digit() || is_filler(sign)) {
            return None;
        }
        let digits: String = rest.chars().filter(char::is_ascii_digit).collect();
        let number = format!("+{digits}");
        let allowed = self.prefixes.iter().any(|prefix| number.starts_with(prefix.as_str()));
        let legal = (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) && !digits.starts_with('0');
        (allowed && legal).then(|| Pii::new(number))
    }

    /// Whether somebody with these roles may.
    pub fn allows(&self, roles: &[String]) -> bool {
        roles.iter().any(|role| self.roles.contains(role))
    }

    /// Counts a call; false: one too many.
    pub fn count(&mut self, now: Instant, user: &Id, room: &RoomName) -> bool {
        let age = |since: &Instant| now.saturating_duration_since(*since);
        self.users.retain(|_, (since, _)| age(since) < HOUR);
        self.rooms.retain(|_, (since, _)| age(since) < DAY);
        let by_user = self.users.get(user).map_or(0, |(_, count)| *count);
        let into_room = self.rooms.get(room).map_or(0, |(_, count)| *count);
        if by_user >= self.per_user_hour_max || into_room >= self.per_meeting_max {
            return false;
        }
        self.users.entry(user.clone()).or_insert((now, 0)).1 += 1;
        self.rooms.entry(room.clone()).or_insert((now, 0)).1 += 1;
        true
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// Shortest international number that is no service.
const DIGITS_MIN: usize = 7;
/// E.164.
const DIGITS_MAX: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> CallMe {
        CallMe::new(vec!["moderator".to_owned()], vec!["+62".to_owned()], 3, 2)
    }

    #[test]
    fn only_allowed_numbers_are_called() {
        let called = |typed: &str| rules().number(typed).map(Pii::into_inner);
        assert_eq!(called(" +62 (21) 555-0100 ").as_deref(), Some("+62215550100"));
        for bad in [
            "+1 900 555 0100",
            "62215550100",
            "+62",
            "+62x5550100",
            "",
            "+",
            "+62 21 5550100 5550100 5550",
            "+0062215550100",
        ] {
            assert_eq!(called(bad), None, "{bad}");
        }
    }

    #[test]
    fn calls_are_capped_per_user_and_per_meeting() {
        let (mut rules, now) = (rules(), Instant::now());
        let user = |name: &str| Id::new(name).expect("an id");
        let room = RoomName::new("tea").expect("a name");
        assert!(rules.count(now, &user("a"), &room) && rules.count(now, &user("a"), &room));
        assert!(!rules.count(now, &user("a"), &room), "two an hour");
        assert!(rules.count(now, &user("b"), &room));
        assert!(!rules.count(now, &user("c"), &room), "three into one meeting");
        assert!(rules.count(now + HOUR, &user("a"), &RoomName::new("milk").expect("a name")));
    }
}
