//! Debian's PostgreSQL: a cluster of the test's own in its folder, run as its own user, killed and started again at will.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{Process, last_lines, wait_until};
use crate::world::World;

/// A cluster with a database `weebee` that belongs to the role `weebee`.
#[derive(Debug)]
pub struct Postgres<'a> {
    world: &'a World,
    folder: PathBuf,
    server: Option<Process>,
    encrypted: bool,
}

/// Password of the role over TCP; the socket trusts everybody.
pub const PASSWORD: &str = "correct horse";

impl<'a> Postgres<'a> {
    /// Makes and starts a cluster.
    ///
    /// # Panics
    /// When it does not start within 20 s.
    pub fn start(world: &'a World) -> Self {
        let folder = world.subfolder("postgres");
        run(Command::new("chown").arg("postgres:").arg(&folder));
        let mut cluster = Self { world, folder, server: None, encrypted: false };
        let mut initdb = cluster.as_postgres("initdb");
        let options =
            ["--no-sync", "--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8"];
        run(initdb.args(options).arg("-D").arg(cluster.folder.join("data")));
        cluster.begin();
        cluster.sql("postgres", &format!("CREATE ROLE weebee LOGIN PASSWORD '{PASSWORD}'"));
        cluster.sql("postgres", "CREATE DATABASE weebee OWNER weebee");
        cluster
    }

    /// Starts the server, after [`Self::kill`] too.
    ///
    /// # Panics
    /// When it does not answer within 20 s.
    pub fn begin(&mut self) {
        let mut command = self.world.command("setpriv");
        command.args(SETPRIV).arg(program("postgres")).arg("-D").arg(self.folder.join("data"));
        command.arg("-k").arg(&self.folder);
        let settings = ["listen_addresses=127.0.0.1", "fsync=off", "shared_buffers=16MB"];
        command.args(settings.iter().flat_map(|setting| ["-c", setting]));
        if self.encrypted {
            for (key, file) in [("ssl_cert_file", "server.crt"), ("ssl_key_file", "server.key")] {
                command.arg("-c").arg(format!("{key}={}", self.folder.join(file).display()));
            }
            command.args(["-c", "ssl=on"]);
        }
        let mut server = Process::start("postgres", self.world.folder(), command);
        let up = wait_until(Duration::from_secs(20), || {
            server.assert_alive();
            let mut ready = self.as_postgres("pg_isready");
            let ready = ready.arg("-q").arg("-h").arg(&self.folder).status();
            ready.is_ok_and(|status| status.success()).then_some(())
        });
        assert!(up.is_some(), "PostgreSQL does not answer:\n{}", last_lines(&server.output(), 20));
        self.server = Some(server);
    }

    /// Starts it again with TLS and a certificate of its own for 127.0.0.1. Gives that certificate.
    ///
    /// # Panics
    /// When it does not start.
    pub fn encrypt(&mut self) -> PathBuf {
        let certificate = self.folder.join("server.crt");
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args(["-nodes", "-days", "2", "-subj", "/CN=database"]);
        openssl.args(["-addext", "subjectAltName=IP:127.0.0.1"]).arg("-keyout");
        run(openssl.arg(self.folder.join("server.key")).arg("-out").arg(&certificate));
        run(Command::new("chown").arg("postgres:").arg(self.folder.join("server.key")));
        self.kill();
        self.encrypted = true;
        self.begin();
        certificate
    }

    /// Ends it as a crash would: all its processes at once, by their ids.
    pub fn kill(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let pid = server.pid().to_string();
        let children = Command::new("pgrep").args(["-P", &pid]).output();
        let children = children.map(|done| String::from_utf8_lossy(&done.stdout).into_owned());
        server.kill();
        for child in children.unwrap_or_default().split_whitespace() {
            let _ = Command::new("kill").args(["-KILL", child]).output();
        }
        // A backend that lives on would keep the next server from starting.
        let socket = self.folder.join(".s.PGSQL.5432");
        let _ = std::fs::remove_file(socket);
    }

    /// Asks the database and gives the answer, without headings.
    ///
    /// # Panics
    /// When it refuses.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let mut psql = self.as_postgres("psql");
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            database,
            "-c",
            statement,
        ]);
        run(psql.arg("-h").arg(&self.folder))
    }

    /// Its address by the socket, which every namespace reaches.
    pub fn by_socket(&self) -> String {
        format!("postgresql://weebee@/weebee?host={}", self.folder.display())
    }

    /// Its address by TCP, within the namespace. It wants [`PASSWORD`].
    pub fn by_tcp(&self) -> String {
        "postgresql://weebee@127.0.0.1/weebee".to_owned()
    }

    fn as_postgres(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(SETPRIV).arg(program(name)).current_dir(&self.folder);
        command
    }
}

impl Drop for Postgres<'_> {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            // Fast shutdown: does not wait for its clients.
            server.signal("INT");
        }
    }
}

/// The newest of Debian's versions; its programs are not in the path.
pub fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path()).max();
    newest.unwrap_or_else(|| Path::new("/usr/lib/postgresql").to_owned()).join("bin").join(name)
}

fn run(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {words}");
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

/// Root cannot run it.
const SETPRIV: [&str; 3] = ["--reuid=postgres", "--regid=postgres", "--clear-groups"];
