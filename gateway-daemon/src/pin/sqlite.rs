//! The registry in one SQLite file (WAL).
//!
//! After any failure the connection is dropped and the next question opens a new one: when the disk is back, so are
//! the PINs. A registry file that vanished is an error, not an empty registry.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::{Value as Cell, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params_from_iter};

use super::RegistryError;
use super::sql::{Database, SqlRegistry, Value};

/// The registry in a file.
pub type SqliteRegistry = SqlRegistry<SqliteDatabase>;

impl SqliteRegistry {
    /// Opens the registry, and makes file and key at first use.
    pub fn open(file: &Path, key_file: &Path) -> Result<Self, RegistryError> {
        let connection = Some(connect(file, true)?);
        SqlRegistry::new(SqliteDatabase { file: file.to_owned(), connection }, key_file, false)
    }

    /// As after a failure.
    #[cfg(test)]
    pub(crate) fn forget_connection(&mut self) {
        self.database.connection = None;
    }

    /// As on a full disk, until the next connection.
    #[cfg(test)]
    pub(crate) fn limit_pages(&mut self) {
        let connection = self.database.connection.as_ref().expect("open");
        let pages: u32 =
            connection.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("counts");
        connection.pragma_update(None, "max_page_count", pages + 8).expect("limits");
    }
}

/// The file.
#[derive(Debug)]
pub struct SqliteDatabase {
    file: PathBuf,
    connection: Option<Connection>,
}

impl SqliteDatabase {
    /// Runs `work` on the connection, opening one if need be; a failure drops it.
    fn with<T>(
        &mut self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, RegistryError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.file, false)?,
        };
        let done = work(&connection).map_err(|error| failure(&self.file, &error))?;
        self.connection = Some(connection);
        Ok(done)
    }
}

impl Database for SqliteDatabase {
    fn place(&self) -> String {
        self.file.display().to_string()
    }

    fn change(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, RegistryError> {
        self.with(|connection| {
            let changed = connection
                .prepare_cached(sql)?
                .execute(params_from_iter(values.iter().map(cell)))?;
            Ok(changed as u64)
        })
    }

    fn rows(
        &mut self,
        sql: &'static str,
        values: &[Value],
    ) -> Result<Vec<Vec<Value>>, RegistryError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let columns = statement.column_count();
            statement
                .query_map(params_from_iter(values.iter().map(cell)), |row| {
                    (0..columns).map(|at| row.get_ref(at).map(value)).collect()
                })?
                .collect()
        })
    }
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell::Null,
        Value::Whole(number) => Cell::Integer(*number),
        Value::Text(text) => Cell::Text(text.clone()),
        Value::Bytes(bytes) => Cell::Blob(bytes.clone()),
    }
}

/// Columns hold integers, texts and blobs (`STRICT`); anything else is nothing.
fn value(cell: ValueRef<'_>) -> Value {
    match cell {
        ValueRef::Integer(number) => Value::Whole(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
        ValueRef::Null | ValueRef::Real(_) => Value::Null,
    }
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
            return migrate(&connection);
        }
        Ok(SCHEMA)
    };
    let schema = set_up().map_err(|error| failure(file, &error))?;
    if create {
        restrict(file);
    }
    if schema > SCHEMA {
        return Err(RegistryError::Registry {
            place: file.display().to_string(),
            what: format!("was made by a newer weebee (schema {schema}, this one knows {SCHEMA})"),
            remedy: "upgrade this one, or restore the backup of its time",
        });
    }
    Ok(connection)
}

/// Brings a registry of an earlier version up to date; its schema then.
fn migrate(connection: &Connection) -> rusqlite::Result<i64> {
    let schema = || -> rusqlite::Result<i64> {
        let kept = "SELECT value FROM meta WHERE name = 'schema'";
        let text: Option<Vec<u8>> = connection.query_row(kept, [], |row| row.get(0)).optional()?;
        let number = text.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
        Ok(number.unwrap_or(1))
    };
    if schema()? >= SCHEMA {
        return schema();
    }
    // Two programs may come here together: the second finds the work done.
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let done = schema().and_then(|schema| match schema {
        1 => connection.execute_batch(FROM_1_TO_2),
        _ => Ok(()),
    });
    connection.execute_batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    done?;
    schema()
}

/// Room names and expiry are nobody else's business either.
fn restrict(file: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let _ = std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600));
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
    RegistryError::Registry { place: file.display().to_string(), what: error.to_string(), remedy }
}

/// A writer waits this long for another. Below the patience of the PIN dialogue (6 s).
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// The schema that this program works on.
const SCHEMA: i64 = 2;

/// The tables of schema 1, and tickets, which no earlier version asks for.
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
    ) STRICT;
    CREATE TABLE IF NOT EXISTS tickets (
        tag BLOB PRIMARY KEY,
        pin TEXT NOT NULL,
        trunk TEXT NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT;";

/// Kinds, owners, and PINs that end with their meeting.
const FROM_1_TO_2: &str = "
    ALTER TABLE pins ADD COLUMN kind TEXT NOT NULL DEFAULT 'guest';
    ALTER TABLE pins ADD COLUMN owner TEXT;
    ALTER TABLE pins ADD COLUMN caller BLOB;
    ALTER TABLE pins ADD COLUMN closes INTEGER;
    ALTER TABLE pins ADD COLUMN with_meeting INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE pins ADD COLUMN issuer TEXT NOT NULL DEFAULT '';
    ALTER TABLE pins ADD COLUMN shown TEXT;
    ALTER TABLE pins ADD COLUMN sealed BLOB;
    UPDATE pins SET kind = 'host' WHERE host = 1;
    CREATE UNIQUE INDEX pins_shown ON pins (shown);
    CREATE INDEX pins_room ON pins (room);
    INSERT INTO meta (name, value) VALUES ('schema', CAST('2' AS BLOB));";
