//! The registry in one SQLite file (WAL): one table of keyed hashes.
//!
//! After any failure the connection is dropped and the next question opens a new one: when the disk is back, so are
//! the PINs. A registry file that vanished is an error, not an empty registry.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_core::base::rng::Rng;
use gateway_core::base::time::WallClock;
use gateway_core::leg::backend::{Role, RoomName};
use gateway_core::media::clip::Language;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, params};

use super::draw::draw;
use super::key::PinKey;
use super::{
    Grant, NewPin, Pin, PinAsk, PinEntry, PinRegistry, Refusal, RegistryError, Verdict, role_name,
};
use crate::config::values::language;

/// The registry file.
#[derive(Debug)]
pub struct SqliteRegistry {
    file: PathBuf,
    key: PinKey,
    connection: Option<Connection>,
}

impl SqliteRegistry {
    /// Opens the registry, and makes file and key at first use.
    pub fn open(file: &Path, key_file: &Path) -> Result<Self, RegistryError> {
        let connection = connect(file, true)?;
        let known = || -> Result<Option<Vec<u8>>, RegistryError> {
            connection
                .query_row("SELECT value FROM meta WHERE name = 'key_check'", [], |row| row.get(0))
                .optional()
                .map_err(|error| failure(file, &error))
        };
        let key = PinKey::load(key_file, known()?.is_none())?;
        let check = key.tag("key check", "").0;
        // Another program may make the registry at the same time: whoever is first is right.
        connection
            .execute(
                "INSERT OR IGNORE INTO meta (name, value) VALUES ('key_check', ?1)",
                [&check[..]],
            )
            .map_err(|error| failure(file, &error))?;
        match known()? {
            Some(known) if known != check => {
                return Err(RegistryError::Key {
                    file: key_file.to_owned(),
                    what: format!("is not the key that {} was made with", file.display()),
                    remedy: "restore the right key, or delete the registry to start anew",
                });
            }
            Some(_) | None => {}
        }
        Ok(Self { file: file.to_owned(), key, connection: Some(connection) })
    }

    /// The key, for other keyed hashes of this gateway.
    pub fn key(&self) -> &PinKey {
        &self.key
    }

    /// As after a failure.
    #[cfg(test)]
    pub(crate) fn forget_connection(&mut self) {
        self.connection = None;
    }

    /// As on a full disk, until the next connection.
    #[cfg(test)]
    pub(crate) fn limit_pages(&mut self) {
        let connection = self.connection.as_ref().expect("open");
        connection.pragma_update(None, "max_page_count", 12).expect("limits");
    }

    /// Runs `work` on the connection, opening one if need be; a failure drops it.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&mut Connection, &PinKey) -> rusqlite::Result<T>,
    ) -> Result<T, RegistryError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.file, false)?,
        };
        let done = work(&mut connection, &self.key).map_err(|error| failure(&self.file, &error))?;
        self.connection = Some(connection);
        Ok(done)
    }
}

impl PinRegistry for SqliteRegistry {
    fn look_up(&mut self, ask: &PinAsk, wall: WallClock) -> Result<Verdict, RegistryError> {
        self.with(|connection, key| {
            let tag = key.tag("pin", ask.digits.reveal());
            let found = connection
                .prepare_cached(
                    "SELECT id, room, host, language, created, expires, revoked, uses_max, uses, tag
                     FROM pins WHERE tag = ?1",
                )?
                .query_row([&tag.0[..]], |row| Ok((entry(row)?, row.get::<_, Vec<u8>>(9)?)))
                .optional()?;
            let Some((entry, _)) = found.filter(|(_, stored)| tag.matches(stored)) else {
                return Ok(Verdict::Refused(Refusal::Unknown));
            };
            if let Some(refusal) = refusal(&entry, ask, wall) {
                return Ok(Verdict::Refused(refusal));
            }
            if entry.uses_max.is_some() && ask.spend && !spend(connection, &entry.id)? {
                return Ok(Verdict::Refused(Refusal::UsedUp));
            }
            let PinEntry { id, room, role, language, .. } = entry;
            Ok(Verdict::Valid(Grant { id, room, role, language }))
        })
    }

    fn add(&mut self, new: &NewPin, wall: WallClock, rng: &mut Rng) -> Result<Pin, RegistryError> {
        self.with(|connection, _| purge(connection, wall))?;
        for _ in 0..DRAWS_MAX {
            let digits = draw(new.digits, rng);
            let id = rng.token(8);
            let kept = self.with(|connection, key| {
                let tag = key.tag("pin", digits.reveal());
                connection.execute(
                    "INSERT INTO pins (id, tag, room, host, language, created, expires, uses_max)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
                    params![
                        id,
                        &tag.0[..],
                        new.room.as_str(),
                        new.role == Role::Host,
                        new.language.map(Language::tag),
                        seconds(wall),
                        new.expires.map(seconds),
                        new.uses_max,
                    ],
                )
            })?;
            if kept == 1 {
                return Ok(Pin { id, digits });
            }
        }
        Err(RegistryError::Exhausted { digits: new.digits })
    }

    fn list(&mut self) -> Result<Vec<PinEntry>, RegistryError> {
        self.with(|connection, _| {
            connection
                .prepare_cached(
                    "SELECT id, room, host, language, created, expires, revoked, uses_max, uses
                     FROM pins ORDER BY created DESC, id",
                )?
                .query_map([], entry)?
                .collect()
        })
    }

    fn revoke(&mut self, id: &str, wall: WallClock) -> Result<bool, RegistryError> {
        self.with(|connection, _| {
            let changed = connection.execute(
                "UPDATE pins SET revoked = ?2 WHERE id = ?1 AND revoked IS NULL",
                params![id, seconds(wall)],
            )?;
            Ok(changed == 1)
        })
    }
}

/// Why a PIN that exists opens nothing now.
fn refusal(entry: &PinEntry, ask: &PinAsk, wall: WallClock) -> Option<Refusal> {
    if entry.revoked.is_some() {
        return Some(Refusal::Revoked);
    }
    if entry.expires.is_some_and(|end| end <= wall) {
        return Some(Refusal::Expired);
    }
    if ask.room.as_ref().is_some_and(|room| *room != entry.room) {
        return Some(Refusal::OtherRoom);
    }
    entry.uses_max.is_some_and(|most| entry.uses >= most).then_some(Refusal::UsedUp)
}

/// Counts a use; false if another call took the last one meanwhile.
fn spend(connection: &Connection, id: &str) -> rusqlite::Result<bool> {
    let changed = connection
        .prepare_cached("UPDATE pins SET uses = uses + 1 WHERE id = ?1 AND uses < uses_max")?
        .execute([id])?;
    Ok(changed == 1)
}

/// Forgets PINs that ended more than a day ago. Until then nobody else gets the same digits.
fn purge(connection: &Connection, wall: WallClock) -> rusqlite::Result<usize> {
    let before = seconds(wall) - QUARANTINE_S;
    connection.execute("DELETE FROM pins WHERE expires < ?1 OR revoked < ?1", [before])
}

fn connect(file: &Path, create: bool) -> Result<Connection, RegistryError> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
    let connection =
        Connection::open_with_flags(file, flags).map_err(|error| failure(file, &error))?;
    let set_up = || {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        if create {
            connection.execute_batch(TABLES)?;
        }
        Ok(())
    };
    set_up().map_err(|error| failure(file, &error))?;
    if create {
        restrict(file);
    }
    Ok(connection)
}

/// Room names and expiry are nobody else's business either.
fn restrict(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600));
}

fn entry(row: &Row<'_>) -> rusqlite::Result<PinEntry> {
    let room: String = row.get(1)?;
    let code: Option<String> = row.get(3)?;
    let broken = |error| {
        rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error))
    };
    Ok(PinEntry {
        id: row.get(0)?,
        room: RoomName::new(&room).map_err(broken)?,
        role: if row.get(2)? { Role::Host } else { Role::Guest },
        language: code.as_deref().and_then(language),
        created: wall(row.get(4)?),
        expires: row.get::<_, Option<i64>>(5)?.map(wall),
        revoked: row.get::<_, Option<i64>>(6)?.map(wall),
        uses_max: row.get(7)?,
        uses: row.get(8)?,
    })
}

fn seconds(wall: WallClock) -> i64 {
    i64::try_from(wall.unix.as_secs()).unwrap_or(i64::MAX)
}

fn wall(seconds: i64) -> WallClock {
    WallClock { unix: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)) }
}

fn failure(file: &Path, error: &rusqlite::Error) -> RegistryError {
    let remedy = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "free some space; callers are let in again at once",
        Some(ErrorCode::ReadOnly) => "make file and folder writable for the gateway",
        Some(ErrorCode::CannotOpen) => "check that the folder exists and belongs to the gateway",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "end the program that holds it (a backup?)"
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => "restore it from its backup",
        Some(ErrorCode::SystemIoFailure) => "check the disk and its free space",
        _ => "check the disk",
    };
    RegistryError::Registry { file: file.to_owned(), what: error.to_string(), remedy }
}

/// The name of a standing in listings.
pub fn standing(entry: &PinEntry) -> &'static str {
    role_name(entry.role)
}

/// A writer waits this long for another. Below the patience of the PIN dialogue (6 s).
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Digits of a PIN that ended go to nobody else for a day.
const QUARANTINE_S: i64 = 86_400;
/// Draws before we say that nearly all PINs are taken: with half of them taken, a billion to one.
const DRAWS_MAX: usize = 32;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS pins (
        id TEXT PRIMARY KEY,
        tag BLOB NOT NULL UNIQUE,
        room TEXT NOT NULL,
        host INTEGER NOT NULL,
        language TEXT,
        created INTEGER NOT NULL,
        expires INTEGER,
        revoked INTEGER,
        uses_max INTEGER,
        uses INTEGER NOT NULL DEFAULT 0
    ) STRICT;";
