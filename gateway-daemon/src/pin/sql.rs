//! The registry as statements: one text for SQLite and PostgreSQL, so that both answer alike.
//!
//! Each statement stands alone and is true by itself: a use is counted and a PIN is taken by one `UPDATE` or `INSERT`,
//! so that several gateways may share a database without locks. Digits that may be told again are kept sealed
//! ([`PinKey::seal`]).

use std::path::Path;
use std::time::Duration;

use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;
use gateway_core::base::time::WallClock;
use gateway_core::leg::backend::{Role, RoomName};

use super::draw::draw;
use super::key::PinKey;
use super::ticket::{self, NewTicket, TicketAsk};
use super::{
    Grant, NewPin, Pin, PinAsk, PinEntry, PinKind, PinRegistry, Refusal, RegistryError, Verdict,
};
use crate::config::values::language;

/// A value in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// None.
    Null,
    /// A number.
    Whole(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// A database: statements with `?1`, `?2` for their values. After any failure the next statement connects anew.
pub trait Database: Send {
    /// Its name in messages.
    fn place(&self) -> String;
    /// Changes rows; how many.
    fn change(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, RegistryError>;
    /// Reads rows.
    fn rows(
        &mut self,
        sql: &'static str,
        values: &[Value],
    ) -> Result<Vec<Vec<Value>>, RegistryError>;
}

/// The registry in a database.
#[derive(Debug)]
pub struct SqlRegistry<D> {
    pub(super) database: D,
    key: PinKey,
    key_file: std::path::PathBuf,
    /// The database was asked whether our key is its key.
    is_checked: bool,
}

impl<D: Database> SqlRegistry<D> {
    /// Reads the key or makes one for an empty registry. A database that does not answer is left for later if there is
    /// a key and `may_be_down`.
    pub fn new(mut database: D, key_file: &Path, may_be_down: bool) -> Result<Self, RegistryError> {
        let known = database.rows(KEY_CHECK, &[]);
        let has_key = may_be_down && key_file.exists();
        let is_empty = match &known {
            Ok(rows) => rows.is_empty(),
            Err(_) if has_key => false,
            Err(_) => return Err(known.expect_err("matched")),
        };
        let key = PinKey::load(key_file, is_empty)?;
        let key_file = key_file.to_owned();
        let mut registry = Self { database, key, key_file, is_checked: false };
        if known.is_ok() {
            registry.check_key()?;
        }
        Ok(registry)
    }

    /// The key, for other keyed hashes of this gateway.
    pub fn key(&self) -> &PinKey {
        &self.key
    }

    /// Another program may make the registry at the same time: whoever is first is right.
    fn check_key(&mut self) -> Result<(), RegistryError> {
        if self.is_checked {
            return Ok(());
        }
        let check = self.key.tag("key check", "").0.to_vec();
        let mut rows = self.database.rows(KEY_CHECK, &[])?;
        if rows.is_empty() {
            self.database.change(KEEP_KEY_CHECK, &[Value::Bytes(check.clone())])?;
            rows = self.database.rows(KEY_CHECK, &[])?;
        }
        match rows.first().and_then(|row| row.first()) {
            Some(Value::Bytes(known)) if *known == check => {
                self.is_checked = true;
                Ok(())
            }
            _ => Err(RegistryError::Key {
                file: self.key_file.clone(),
                what: format!("is not the key that {} was made with", self.database.place()),
                remedy: "restore the right key, or delete the registry to start anew",
            }),
        }
    }

    fn rows(
        &mut self,
        sql: &'static str,
        values: &[Value],
    ) -> Result<Vec<Vec<Value>>, RegistryError> {
        self.check_key()?;
        self.database.rows(sql, values)
    }

    fn change(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, RegistryError> {
        self.check_key()?;
        self.database.change(sql, values)
    }

    fn entry(&self, row: &[Value]) -> Result<PinEntry, RegistryError> {
        entry(row).ok_or_else(|| RegistryError::Registry {
            place: self.database.place(),
            what: "a row makes no sense".to_owned(),
            remedy: "restore it from its backup",
        })
    }

    /// The room's live PIN that may be told again.
    fn recall(&mut self, new: &NewPin, wall: WallClock) -> Result<Option<Pin>, RegistryError> {
        let shown = Value::Text(shown(new));
        self.change(FORGET_ENDED, &[shown.clone(), seconds(wall)])?;
        let rows = self.rows(RECALL, &[shown])?;
        let Some([Value::Text(id), Value::Bytes(tag), Value::Bytes(sealed), expires]) =
            rows.first().map(Vec::as_slice)
        else {
            return Ok(None);
        };
        let digits =
            self.key.unseal("pin", tag, sealed).ok_or_else(|| RegistryError::Registry {
                place: self.database.place(),
                what: "a PIN cannot be unsealed".to_owned(),
                remedy: "restore it from its backup",
            })?;
        Ok(Some(Pin { id: id.clone(), digits, expires: instant(expires), is_recalled: true }))
    }

    fn insert(
        &mut self,
        new: &NewPin,
        wall: WallClock,
        id: &str,
        digits: &Pii<String>,
    ) -> Result<bool, RegistryError> {
        let tag = self.key.tag("pin", digits.reveal());
        let sealed = new.recalled.then(|| self.key.seal(&tag, digits));
        let text = |text: &str| Value::Text(text.to_owned());
        let or_null = |value: Option<Value>| value.unwrap_or(Value::Null);
        let caller = new.caller.as_ref().map(|caller| self.caller_tag(caller));
        let owner = new.owner.as_ref().map(|owner| text(owner.reveal()));
        let values = [
            text(id),
            Value::Bytes(tag.0.to_vec()),
            text(new.room.as_str()),
            text(new.kind.name()),
            flag(new.role == Role::Host),
            or_null(owner),
            or_null(caller.map(Value::Bytes)),
            or_null(new.language.map(|language| text(language.tag()))),
            seconds(wall),
            or_null(new.expires.map(seconds)),
            or_null(new.uses_max.map(|most| Value::Whole(i64::from(most)))),
            flag(new.dies_with_meeting),
            text(&new.issuer),
            or_null(new.recalled.then(|| Value::Text(shown(new)))),
            or_null(sealed.map(Value::Bytes)),
        ];
        Ok(self.change(INSERT, &values)? == 1)
    }

    /// Providers differ in prefixes; the last nine digits are the caller's own.
    fn caller_tag(&self, caller: &Pii<String>) -> Vec<u8> {
        let digits: String = caller.reveal().chars().filter(char::is_ascii_digit).collect();
        let own = digits.get(digits.len().saturating_sub(CALLER_DIGITS)..).unwrap_or_default();
        self.key.tag("bound caller", own).0.to_vec()
    }

    /// Why a PIN that exists opens nothing now.
    fn refusal(&self, entry: &PinEntry, ask: &PinAsk, wall: WallClock) -> Option<Refusal> {
        if let Some(ended) = ended(entry, ask.room.as_ref(), wall) {
            return Some(ended);
        }
        let is_hers = |wanted: &Vec<u8>| {
            ask.caller.as_ref().is_some_and(|caller| self.caller_tag(caller) == *wanted)
        };
        if entry.caller.as_ref().is_some_and(|wanted| !is_hers(wanted)) {
            return Some(Refusal::OtherCaller);
        }
        entry.uses_max.is_some_and(|most| entry.uses >= most).then_some(Refusal::UsedUp)
    }
}

impl<D: Database> PinRegistry for SqlRegistry<D> {
    fn key(&self) -> &PinKey {
        &self.key
    }

    fn look_up(&mut self, ask: &PinAsk, wall: WallClock) -> Result<Verdict, RegistryError> {
        let tag = self.key.tag("pin", ask.digits.reveal());
        let rows = self.rows(LOOK_UP, &[Value::Bytes(tag.0.to_vec())])?;
        let stored = |row: &&Vec<Value>| matches!(row.last(), Some(Value::Bytes(stored)) if tag.matches(stored));
        let Some(row) = rows.first().filter(stored) else {
            return Ok(Verdict::Refused(Refusal::Unknown));
        };
        let entry = self.entry(row)?;
        if let Some(refusal) = self.refusal(&entry, ask, wall) {
            return Ok(Verdict::Refused(refusal));
        }
        if entry.uses_max.is_some()
            && ask.spend
            // Another call may take the last use at this moment.
            && self.change(SPEND, &[Value::Text(entry.id.clone())])? != 1
        {
            return Ok(Verdict::Refused(Refusal::UsedUp));
        }
        Ok(Verdict::Valid(grant(entry)))
    }

    fn add(&mut self, new: &NewPin, wall: WallClock, rng: &mut Rng) -> Result<Pin, RegistryError> {
        self.purge(wall)?;
        for _ in 0..DRAWS_MAX {
            if new.recalled
                && let Some(pin) = self.recall(new, wall)?
            {
                return Ok(pin);
            }
            let digits = draw(new.digits, rng);
            let id = rng.token(8);
            if self.insert(new, wall, &id, &digits)? {
                return Ok(Pin { id, digits, expires: new.expires, is_recalled: false });
            }
        }
        Err(RegistryError::Exhausted { digits: new.digits })
    }

    fn find(&mut self, id: &str) -> Result<Option<PinEntry>, RegistryError> {
        let rows = self.rows(FIND, &[Value::Text(id.to_owned())])?;
        rows.first().map(|row| self.entry(row)).transpose()
    }

    fn list(&mut self) -> Result<Vec<PinEntry>, RegistryError> {
        let rows = self.rows(LIST, &[])?;
        rows.iter().map(|row| self.entry(row)).collect()
    }

    fn revoke(&mut self, id: &str, wall: WallClock) -> Result<bool, RegistryError> {
        Ok(self.change(REVOKE, &[Value::Text(id.to_owned()), seconds(wall)])? == 1)
    }

    fn meeting_started(&mut self, room: &RoomName, wall: WallClock) -> Result<u64, RegistryError> {
        self.change(MEETING_STARTED, &[Value::Text(room.as_str().to_owned()), seconds(wall)])
    }

    fn meeting_ended(
        &mut self,
        room: &RoomName,
        wall: WallClock,
        closes: WallClock,
    ) -> Result<u64, RegistryError> {
        let room = Value::Text(room.as_str().to_owned());
        self.change(MEETING_ENDED, &[room, seconds(wall), seconds(closes)])
    }

    fn purge(&mut self, wall: WallClock) -> Result<u64, RegistryError> {
        let Value::Whole(now) = seconds(wall) else { return Ok(0) };
        self.change(PURGE_TICKETS, &[Value::Whole(milliseconds(wall))])?;
        self.change(PURGE, &[Value::Whole(now - QUARANTINE_S)])
    }

    fn add_ticket(&mut self, new: &NewTicket, wall: WallClock) -> Result<(), RegistryError> {
        self.change(PURGE_TICKETS, &[Value::Whole(milliseconds(wall))])?;
        let there = self.rows(COUNT_TICKETS, &[])?;
        let there = there.first().and_then(|row| row.first());
        if matches!(there, Some(Value::Whole(there)) if *there >= ticket::TICKETS_MAX) {
            return Err(RegistryError::TooManyTickets);
        }
        let tag = self.key.tag("ticket", new.text.reveal());
        let ends = WallClock { unix: wall.unix + ticket::LIFE };
        let values = [
            Value::Bytes(tag.0.to_vec()),
            Value::Text(new.pin.clone()),
            Value::Text(new.trunk.clone().unwrap_or_default()),
            Value::Whole(milliseconds(ends)),
        ];
        self.change(ADD_TICKET, &values).map(drop)
    }

    fn redeem(&mut self, ask: &TicketAsk, wall: WallClock) -> Result<Verdict, RegistryError> {
        let refused = Ok(Verdict::Refused(Refusal::Ticket));
        if !ticket::is_possible(ask.text.reveal()) {
            return refused;
        }
        let tag = self.key.tag("ticket", ask.text.reveal());
        // One statement takes it away and tells what it was: of many who show it at once one is answered.
        let taken = self.rows(TAKE_TICKET, &[Value::Bytes(tag.0.to_vec())])?;
        let Some([Value::Text(pin), Value::Text(trunk), Value::Whole(expires)]) =
            taken.first().map(Vec::as_slice)
        else {
            return refused;
        };
        let is_its = trunk.is_empty() || *trunk == ask.trunk;
        if milliseconds(wall) >= *expires || !is_its {
            return refused;
        }
        let Some(entry) = self.find(pin)? else { return refused };
        Ok(match ended(&entry, ask.room.as_ref(), wall) {
            Some(why) => Verdict::Refused(why),
            None => Verdict::Valid(grant(entry)),
        })
    }

    fn ping(&mut self) -> Result<(), RegistryError> {
        self.rows(KEY_CHECK, &[]).map(drop)
    }
}

/// What a PIN opens.
fn grant(entry: PinEntry) -> Grant {
    let PinEntry { id, room, role, kind, owner, language, .. } = entry;
    Grant { id, room, role, kind, owner, language }
}

/// Why a PIN opens nothing now, whoever shows it; `room`: the only one wanted.
fn ended(entry: &PinEntry, room: Option<&RoomName>, wall: WallClock) -> Option<Refusal> {
    let is_over = |end: Option<WallClock>| end.is_some_and(|end| end <= wall);
    if entry.revoked.is_some() {
        return Some(Refusal::Revoked);
    }
    if is_over(entry.expires) || is_over(entry.closes) {
        return Some(Refusal::Expired);
    }
    room.is_some_and(|room| *room != entry.room).then_some(Refusal::OtherRoom)
}

/// One PIN of each kind may be told again for a room at a time: the column is unique.
fn shown(new: &NewPin) -> String {
    format!("{}:{}", new.kind.name(), new.room.as_str())
}

/// A row in the order of the columns of [`LIST`]; `None` if it cannot be.
fn entry(row: &[Value]) -> Option<PinEntry> {
    let text = |at: usize| match row.get(at)? {
        Value::Text(text) => Some(text.as_str()),
        _ => None,
    };
    let whole = |at: usize| match row.get(at)? {
        Value::Whole(number) => Some(*number),
        _ => None,
    };
    Some(PinEntry {
        id: text(0)?.to_owned(),
        room: RoomName::new(text(1)?).ok()?,
        kind: PinKind::of(text(2)?)?,
        role: if whole(3)? == 1 { Role::Host } else { Role::Guest },
        owner: text(4).map(|owner| Pii::new(owner.to_owned())),
        caller: match row.get(5)? {
            Value::Bytes(tag) => Some(tag.clone()),
            _ => None,
        },
        language: text(6).and_then(language),
        created: instant(row.get(7)?)?,
        expires: instant(row.get(8)?),
        revoked: instant(row.get(9)?),
        closes: instant(row.get(10)?),
        uses_max: whole(11).and_then(|most| u32::try_from(most).ok()),
        uses: u32::try_from(whole(12)?).ok()?,
        dies_with_meeting: whole(13)? == 1,
        issuer: text(14)?.to_owned(),
    })
}

fn flag(is_set: bool) -> Value {
    Value::Whole(i64::from(is_set))
}

fn seconds(wall: WallClock) -> Value {
    Value::Whole(i64::try_from(wall.unix.as_secs()).unwrap_or(i64::MAX))
}

fn milliseconds(wall: WallClock) -> i64 {
    i64::try_from(wall.unix.as_millis()).unwrap_or(i64::MAX)
}

fn instant(value: &Value) -> Option<WallClock> {
    match value {
        Value::Whole(seconds) => {
            Some(WallClock { unix: Duration::from_secs(u64::try_from(*seconds).unwrap_or(0)) })
        }
        _ => None,
    }
}

const KEY_CHECK: &str = "SELECT value FROM meta WHERE name = 'key_check'";
const KEEP_KEY_CHECK: &str =
    "INSERT INTO meta (name, value) VALUES ('key_check', ?1) ON CONFLICT DO NOTHING";

macro_rules! select {
    ($($more:literal),*) => {
        concat!(
            "SELECT id, room, kind, host, owner, caller, language, created, expires, revoked, closes, uses_max, \
             uses, with_meeting, issuer",
            $($more),*
        )
    };
}

const LOOK_UP: &str = select!(", tag FROM pins WHERE tag = ?1");
const FIND: &str = select!(" FROM pins WHERE id = ?1");
const LIST: &str = select!(" FROM pins ORDER BY created DESC, id");
const SPEND: &str = "UPDATE pins SET uses = uses + 1 WHERE id = ?1 AND uses < uses_max";
const INSERT: &str = "INSERT INTO pins (id, tag, room, kind, host, owner, caller, language, created, expires, \
     uses_max, with_meeting, issuer, shown, sealed) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) ON CONFLICT DO NOTHING";
const FORGET_ENDED: &str = "UPDATE pins SET shown = NULL, sealed = NULL \
     WHERE shown = ?1 AND (expires <= ?2 OR closes <= ?2 OR revoked IS NOT NULL)";
const RECALL: &str = "SELECT id, tag, sealed, expires FROM pins WHERE shown = ?1";
const REVOKE: &str =
    "UPDATE pins SET revoked = ?2, shown = NULL, sealed = NULL WHERE id = ?1 AND revoked IS NULL";
const MEETING_STARTED: &str = "UPDATE pins SET closes = NULL WHERE room = ?1 AND closes > ?2";
const MEETING_ENDED: &str = "UPDATE pins SET closes = ?3 WHERE room = ?1 AND with_meeting = 1 \
     AND revoked IS NULL AND (expires IS NULL OR expires > ?2) AND (closes IS NULL OR closes > ?3)";
/// PINs that ended more than a day ago. Until then nobody else gets the same digits.
const PURGE: &str = "DELETE FROM pins WHERE expires < ?1 OR revoked < ?1 OR closes < ?1";
const ADD_TICKET: &str = "INSERT INTO tickets (tag, pin, trunk, expires) VALUES (?1, ?2, ?3, ?4)";
const COUNT_TICKETS: &str = "SELECT count(*) FROM tickets";
const TAKE_TICKET: &str = "DELETE FROM tickets WHERE tag = ?1 RETURNING pin, trunk, expires";
const PURGE_TICKETS: &str = "DELETE FROM tickets WHERE expires <= ?1";

/// Digits of a PIN that ended go to nobody else for a day.
const QUARANTINE_S: i64 = 86_400;
/// Draws before we say that nearly all PINs are taken: with half of them taken, a billion to one.
const DRAWS_MAX: usize = 32;
/// Digits of a caller's number that are compared.
const CALLER_DIGITS: usize = 9;
