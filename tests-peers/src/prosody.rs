//! Debian's Prosody with hosts for each way to log in, its own authority, and no Jitsi module. Runs on loopback of whatever
//! network namespace this process is in.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{Process, last_lines, wait_until};

/// StartTLS.
pub const C2S_PORT: u16 = 5222;
/// WebSocket and BOSH under TLS.
pub const HTTPS_PORT: u16 = 5281;
/// Host of guests.
pub const ANONYMOUS: &str = "guests.test";
/// Host of rooms, under that of guests.
pub const ROOMS: &str = "rooms.guests.test";
/// Host of breweries: rooms that are locked until who makes them has set them up, as XEP-0045 wants it.
pub const BREWERIES: &str = "breweries.test";
/// An external component beside them: a stand-in for the focus of a conference. Its password, and where it connects.
pub const FOCUS: (&str, &str, u16) = ("focus.guests.test", "component secret", 5347);
/// Host that offers SCRAM.
pub const SCRAM: &str = "scram.test";
/// Host that offers PLAIN alone.
pub const PLAIN: &str = "plain.test";
/// User of the two, and his password.
pub const USER: (&str, &str) = ("phone", "Straße, 5=3");

/// A running Prosody.
#[derive(Debug)]
pub struct Prosody {
    folder: PathBuf,
    starts: u32,
    process: Process,
}

impl Prosody {
    /// Makes certificates, configuration and users in `folder` and starts it.
    ///
    /// # Panics
    /// When it does not listen within 15 s.
    pub fn start(folder: &Path) -> Prosody {
        certificates(folder, &[ANONYMOUS, SCRAM, PLAIN]);
        let data = folder.join("data");
        fs::create_dir_all(&data).expect("a folder for its data");
        fs::write(folder.join("prosody.cfg.lua"), configuration(folder))
            .expect("its configuration");
        for host in [SCRAM, PLAIN] {
            let config = folder.join("prosody.cfg.lua");
            let mut command = Command::new("prosodyctl");
            command.arg("--config").arg(config).args(["register", USER.0, host, USER.1]);
            run(&mut command);
        }
        let mut prosody =
            Prosody { folder: folder.to_path_buf(), starts: 0, process: launch(folder, 0) };
        prosody.wait();
        prosody
    }

    /// Its authority's certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Starts it again, with nothing remembered but its users.
    pub fn start_again(&mut self) {
        self.stop();
        self.starts += 1;
        self.process = launch(&self.folder, self.starts);
        self.wait();
    }

    fn wait(&mut self) {
        let listens = || {
            let there = |port| TcpStream::connect(("127.0.0.1", port)).is_ok();
            (there(C2S_PORT) && there(HTTPS_PORT)).then_some(())
        };
        let up = wait_until(Duration::from_secs(15), listens);
        let words = last_lines(&self.process.output(), 30);
        assert!(up.is_some(), "Prosody does not listen:\n{words}");
    }
}

fn launch(folder: &Path, number: u32) -> Process {
    let mut command = Command::new("prosody");
    command.arg("--config").arg(folder.join("prosody.cfg.lua")).arg("-F");
    Process::start(&format!("prosody-{number}"), folder, command)
}

/// An authority (`authority.pem`) and a certificate for `hosts` (`prosody.pem`, `prosody.key`) in `folder`.
pub(crate) fn certificates(folder: &Path, hosts: &[&str]) {
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(folder);
        run(&mut command);
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let authority = ["req", "-x509", "-days", "2", "-subj", "/CN=test authority"];
    let files = ["-keyout", "authority.key", "-out", "authority.pem"];
    openssl(&[&authority[..], &key[..], &files[..]].concat());
    let request = ["req", "-subj", "/CN=prosody", "-keyout", "prosody.key", "-out", "prosody.csr"];
    openssl(&[&request[..], &key[..]].concat());
    let names: Vec<String> = hosts.iter().map(|host| format!("DNS:{host}")).collect();
    let names = format!("subjectAltName={}\n", names.join(","));
    fs::write(folder.join("names"), names).expect("names of the certificate");
    let sign =
        ["x509", "-req", "-in", "prosody.csr", "-CA", "authority.pem", "-CAkey", "authority.key"];
    let into = ["-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "prosody.pem"];
    openssl(&[&sign[..], &into[..]].concat());
}

fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    let (focus, focus_secret, component_port) = FOCUS;
    format!(
        r#"
data_path = "{folder}/data"
pidfile = "{folder}/prosody.pid"
run_as_root = true
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {C2S_PORT} }}; s2s_ports = {{ }}; component_ports = {{ {component_port} }}
http_ports = {{ }}; https_ports = {{ {HTTPS_PORT} }}; http_default_host = "{ANONYMOUS}"
https_interfaces = {{ "127.0.0.1" }}
c2s_require_encryption = true
modules_enabled = {{ "saslauth", "tls", "disco", "ping", "posix", "smacks", "bosh", "websocket" }}
modules_disabled = {{ "s2s", "offline" }}
log = {{ info = "*console" }}
ssl = {{ key = "{folder}/prosody.key"; certificate = "{folder}/prosody.pem" }}
https_ssl = {{ key = "{folder}/prosody.key"; certificate = "{folder}/prosody.pem" }}
VirtualHost "{ANONYMOUS}"
    authentication = "anonymous"
Component "{ROOMS}" "muc"
    muc_room_locking = false; muc_room_default_public_jids = true
Component "{BREWERIES}" "muc"
    muc_room_locking = true
Component "{focus}"
    component_secret = "{focus_secret}"
VirtualHost "{SCRAM}"
    authentication = "internal_hashed"
VirtualHost "{PLAIN}"
    authentication = "internal_hashed"
    disable_sasl_mechanisms = {{ "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS" }}
"#
    )
}

/// Runs it to its end.
///
/// # Panics
/// When it fails.
pub(crate) fn run(command: &mut Command) {
    let done = command.output().expect("the program starts");
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(done.status.success(), "{command:?}: {said}");
}
