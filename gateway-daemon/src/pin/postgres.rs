//! The registry in PostgreSQL, for several gateways that share their PINs.
//!
//! The worker's thread waits for each statement, two seconds at most; a runtime of its own keeps the connection and
//! sees at once when the server closes it. A server that is down is asked again each second, not by each caller. Only
//! a server that takes writes is talked to: a standby may be behind and would say yes to what was revoked. A server on
//! another host is talked to by TLS, and its certificate must be good, unless the address says `sslmode=disable`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use gateway_core::base::pii::Pii;
use gateway_core::io::xmpp::{Trust, tls};
use tokio::runtime::Runtime;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::RegistryError;
use super::sql::{Database, SqlRegistry, Value};

/// How to reach the database.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// `postgresql://weebee@db.example.org/weebee`, checked to be one.
    pub url: Pii<String>,
    /// Password, where it is not in the server's peer or trust rules.
    pub password: Option<Pii<String>>,
    /// Authorities of the server's certificate beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Server and database, without user and password: for messages.
    pub place: String,
}

impl PostgresSettings {
    /// Checks an address. The error says what to write.
    pub fn new(
        url: &str,
        password: Option<Pii<String>>,
        ca_file: Option<PathBuf>,
    ) -> Result<Self, String> {
        let help = "write \"postgresql://weebee@db.example.org/weebee\", or \
                    \"postgresql:///weebee?host=/run/postgresql\" for a socket on this host";
        if !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
            return Err(format!("is no address of a PostgreSQL database; {help}"));
        }
        if url.contains("sslmode=verify") {
            return Err(
                "sslmode: a certificate is always verified; write sslmode=require".to_owned()
            );
        }
        let config: tokio_postgres::Config =
            url.parse().map_err(|error: tokio_postgres::Error| format!("{error}; {help}"))?;
        if config.get_hosts().is_empty() {
            return Err(format!("names no server; {help}"));
        }
        if config.get_password().is_some() {
            return Err("holds a password, which others may read; put it into \
                        database_password_file"
                .to_owned());
        }
        let hosts: Vec<String> = config.get_hosts().iter().map(host_name).collect();
        let place = format!("{}/{}", hosts.join(","), config.get_dbname().unwrap_or_default());
        Ok(Self { url: Pii::new(url.to_owned()), password, ca_file, place })
    }

    /// A server elsewhere, which is talked to without TLS.
    pub fn is_open(&self) -> Option<String> {
        let config: tokio_postgres::Config = self.url.reveal().parse().ok()?;
        far_host(&config).filter(|_| config.get_ssl_mode() == SslMode::Disable)
    }

    /// How to encrypt; `None`: not at all.
    fn tls(&self) -> Result<Option<MakeRustlsConnect>, String> {
        let config: tokio_postgres::Config = self.url.reveal().parse().map_err(said)?;
        if ssl_mode(&config) == SslMode::Disable {
            return Ok(None);
        }
        let trust = Trust { ca_file: self.ca_file.clone(), ..Trust::default() };
        let settings = tls::client_config(&trust)?;
        Ok(Some(MakeRustlsConnect::new((*settings).clone())))
    }

    fn config(&self) -> Result<tokio_postgres::Config, tokio_postgres::Error> {
        let mut config: tokio_postgres::Config = self.url.reveal().parse()?;
        if let Some(password) = &self.password {
            config.password(password.reveal());
        }
        config.connect_timeout(PATIENCE).target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.keepalives_idle(Duration::from_secs(10)).application_name("weebee");
        config.ssl_mode(ssl_mode(&config));
        Ok(config)
    }
}

/// As the address says; where it says nothing, TLS for a server elsewhere and none for one on this host.
fn ssl_mode(config: &tokio_postgres::Config) -> SslMode {
    match config.get_ssl_mode() {
        SslMode::Prefer if far_host(config).is_some() => SslMode::Require,
        SslMode::Prefer => SslMode::Disable,
        said => said,
    }
}

fn far_host(config: &tokio_postgres::Config) -> Option<String> {
    config.get_hosts().iter().find_map(|host| match host {
        Host::Unix(_) => None,
        Host::Tcp(name) => {
            let address = name.parse::<std::net::IpAddr>();
            let is_here = name == "localhost" || address.is_ok_and(|ip| ip.is_loopback());
            (!is_here).then(|| name.clone())
        }
    })
}

fn host_name(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

fn said(error: impl fmt::Display) -> String {
    error.to_string()
}

/// The registry in a PostgreSQL database.
pub type PostgresRegistry = SqlRegistry<PostgresDatabase>;

impl PostgresRegistry {
    /// Opens the registry, and makes tables and key at first use. A server that is down is no error where there is a
    /// key: callers hear "try again later" until it is back. Not to be called within a runtime.
    pub fn open(settings: &PostgresSettings, key_file: &Path) -> Result<Self, RegistryError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("pin-database")
            .enable_all()
            .build();
        let failed =
            |what, remedy| RegistryError::Registry { place: settings.place.clone(), what, remedy };
        let runtime =
            runtime.map_err(|error| failed(error.to_string(), "raise the limit of processes"))?;
        let tls = settings.tls().map_err(|what| failed(what, TLS_REMEDY))?;
        let settings = settings.clone();
        let database = PostgresDatabase { settings, tls, runtime, client: None, down: None };
        SqlRegistry::new(database, key_file, true)
    }
}

/// A connection, made when needed.
pub struct PostgresDatabase {
    settings: PostgresSettings,
    tls: Option<MakeRustlsConnect>,
    runtime: Runtime,
    client: Option<Client>,
    down: Option<Down>,
}

impl fmt::Debug for PostgresDatabase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PostgresDatabase").field("settings", &self.settings).finish()
    }
}

/// The server did not answer.
struct Down {
    since: Instant,
    what: String,
    remedy: &'static str,
}

impl PostgresDatabase {
    /// Runs one statement; a failure drops the connection.
    fn with<T>(
        &mut self,
        work: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, RegistryError> {
        if let Some(down) = self.down.as_ref().filter(|down| down.since.elapsed() < RETRY_AFTER) {
            return Err(self.error(down.what.clone(), down.remedy));
        }
        let connected = self.client.take().filter(|client| !client.is_closed());
        let (settings, tls) = (&self.settings, &self.tls);
        let done = self.runtime.block_on(async {
            let limited = tokio::time::timeout(PATIENCE, async {
                let client = match connected {
                    Some(client) => client,
                    None => connect(settings, tls.clone()).await?,
                };
                let done = work(&client).await?;
                Ok::<_, tokio_postgres::Error>((client, done))
            });
            limited.await
        });
        match done {
            Ok(Ok((client, done))) => {
                (self.client, self.down) = (Some(client), None);
                Ok(done)
            }
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(self.is_down(
                format!("no answer within {} s", PATIENCE.as_secs()),
                "check the network and the load of the database server",
            )),
        }
    }

    fn failed(&mut self, error: &tokio_postgres::Error) -> RegistryError {
        // Of a database's error its message alone: details may quote values.
        let what = match error.as_db_error() {
            Some(error) => error.message().to_owned(),
            None => {
                let cause = std::error::Error::source(error).map(ToString::to_string);
                cause.map_or(error.to_string(), |cause| format!("{error}: {cause}"))
            }
        };
        self.is_down(what, remedy(error))
    }

    fn is_down(&mut self, what: String, remedy: &'static str) -> RegistryError {
        self.down = Some(Down { since: Instant::now(), what: what.clone(), remedy });
        self.error(what, remedy)
    }

    fn error(&self, what: String, remedy: &'static str) -> RegistryError {
        RegistryError::Registry { place: self.settings.place.clone(), what, remedy }
    }
}

impl Database for PostgresDatabase {
    fn place(&self) -> String {
        self.settings.place.clone()
    }

    fn change(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, RegistryError> {
        let sql = numbered(sql);
        self.with(async |client| client.execute(&sql, &parameters(values)).await)
    }

    fn rows(
        &mut self,
        sql: &'static str,
        values: &[Value],
    ) -> Result<Vec<Vec<Value>>, RegistryError> {
        let sql = numbered(sql);
        let rows = self.with(async |client| client.query(&sql, &parameters(values)).await)?;
        Ok(rows.iter().map(cells).collect())
    }
}

async fn connect(
    settings: &PostgresSettings,
    tls: Option<MakeRustlsConnect>,
) -> Result<Client, tokio_postgres::Error> {
    async fn attend(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to the PIN database ended");
        }
    }
    let config = settings.config()?;
    let client = match tls {
        Some(tls) => {
            let (client, connection) = config.connect(tls).await?;
            tokio::spawn(attend(connection));
            client
        }
        None => {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(attend(connection));
            client
        }
    };
    client.batch_execute(TABLES).await?;
    Ok(client)
}

/// `?1` is `$1` here. Our statements have no other question marks.
fn numbered(sql: &str) -> String {
    sql.replace('?', "$")
}

fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

fn cells(row: &Row) -> Vec<Value> {
    (0..row.len()).map(|at| cell(row, at)).collect()
}

/// Columns are `BIGINT`, `TEXT` and `BYTEA`; anything else is nothing.
fn cell(row: &Row, at: usize) -> Value {
    let whole = |row: &Row| row.try_get::<_, Option<i64>>(at).ok().flatten().map(Value::Whole);
    let text = |row: &Row| row.try_get::<_, Option<String>>(at).ok().flatten().map(Value::Text);
    let bytes = |row: &Row| row.try_get::<_, Option<Vec<u8>>>(at).ok().flatten().map(Value::Bytes);
    whole(row).or_else(|| text(row)).or_else(|| bytes(row)).unwrap_or(Value::Null)
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Whole(number) => number.to_sql_checked(kind, out),
            Self::Text(text) => text.to_sql_checked(kind, out),
            Self::Bytes(bytes) => bytes.to_sql_checked(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::INT8 | Type::TEXT | Type::BYTEA)
    }

    to_sql_checked!();
}

fn remedy(error: &tokio_postgres::Error) -> &'static str {
    match error.code() {
        Some(code) if *code == SqlState::INVALID_PASSWORD => {
            "check database_password_file and the password of the role"
        }
        Some(code) if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "check the role, and pg_hba.conf on the database server"
        }
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
            "create it: createdb --owner=weebee weebee"
        }
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            "make the role the owner of the database"
        }
        Some(code) if *code == SqlState::DISK_FULL => {
            "free some space on the database server; callers are let in again at once"
        }
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => "raise max_connections",
        Some(code)
            if [
                SqlState::CANNOT_CONNECT_NOW,
                SqlState::ADMIN_SHUTDOWN,
                SqlState::CRASH_SHUTDOWN,
            ]
            .contains(code) =>
        {
            "wait: it stops or starts; callers are let in again when it is up"
        }
        Some(_) => "look into the log of the database server",
        None if error.to_string().contains("TLS") => TLS_REMEDY,
        None => {
            "start PostgreSQL, or check address, port and firewall; callers are let in again when it is back"
        }
    }
}

const TLS_REMEDY: &str = "give the server a certificate (ssl = on) that the system's authorities or those of database_ca_file \
                          vouch for; or, on a private network, add ?sslmode=disable to the address";

/// A statement, with connecting where needed, takes no longer. Below the patience of the PIN dialogue (6 s).
const PATIENCE: Duration = Duration::from_secs(2);
/// A server that is down is asked again no earlier.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Run at each connection: tables that are there are left alone. The lock keeps two gateways from making them at once.
const TABLES: &str = "
    BEGIN;
    SET LOCAL client_min_messages = warning;
    SELECT pg_advisory_xact_lock(7823645919);
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BYTEA NOT NULL);
    CREATE TABLE IF NOT EXISTS pins (
        id TEXT PRIMARY KEY,
        tag BYTEA NOT NULL UNIQUE,
        room TEXT NOT NULL,
        kind TEXT NOT NULL,
        host BIGINT NOT NULL,
        owner TEXT,
        caller BYTEA,
        language TEXT,
        created BIGINT NOT NULL,
        expires BIGINT,
        revoked BIGINT,
        closes BIGINT,
        uses_max BIGINT,
        uses BIGINT NOT NULL DEFAULT 0,
        with_meeting BIGINT NOT NULL,
        issuer TEXT NOT NULL,
        shown TEXT UNIQUE,
        sealed BYTEA
    );
    CREATE INDEX IF NOT EXISTS pins_room ON pins (room);
    CREATE TABLE IF NOT EXISTS tickets (
        tag BYTEA PRIMARY KEY,
        pin TEXT NOT NULL,
        trunk TEXT NOT NULL,
        expires BIGINT NOT NULL
    );
    INSERT INTO meta (name, value) VALUES ('schema', '2') ON CONFLICT DO NOTHING;
    COMMIT;";
