//! One test's world: a network namespace with loopback alone, a folder, and a wall clock shared by all peers.
//!
//! Nothing in it can reach another network, so every port is free and no name server exists. The folder is removed
//! when the test passes and kept, with its path printed, when it fails (or always, with `WEEBEE_PEERS_KEEP=1`).

use std::ffi::OsStr;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The namespace and folder of one test.
#[derive(Debug)]
pub struct World {
    /// `None`: this process is inside.
    namespace: Option<String>,
    folder: PathBuf,
}

static WORLDS: AtomicU32 = AtomicU32::new(0);

impl World {
    /// A fresh namespace with `lo` up, and a fresh folder.
    ///
    /// # Panics
    /// When either cannot be made; [`crate::require::all_there`] has said before that it can.
    pub fn new(test: &str) -> World {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("weebee-{}-{number}", std::process::id());
        ip(&["netns", "add", &namespace]);
        ip(&["-n", &namespace, "link", "set", "lo", "up"]);
        let folder = std::env::temp_dir().join(format!("{namespace}-{test}"));
        std::fs::create_dir_all(&folder).expect("a folder for the test");
        World { namespace: Some(namespace), folder }
    }

    /// The world this process was started in by [`Self::run_inside`], which also ends it.
    pub fn here(folder: PathBuf) -> World {
        World { namespace: None, folder }
    }

    /// An address besides loopback, such as `10.77.0.1/24`: on one end of a pair whose other end is here too, so that
    /// nothing leaves the namespace. For servers that refuse to use loopback.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn add_address(&self, address: &str) {
        let namespace = self.namespace.as_deref();
        let there = namespace.map_or_else(Vec::new, |namespace| vec!["-n", namespace]);
        let inside = |arguments: &[&str]| ip(&[&there[..], arguments].concat());
        inside(&["link", "add", "here", "type", "veth", "peer", "name", "there"]);
        inside(&["addr", "add", address, "dev", "here"]);
        inside(&["link", "set", "here", "up"]);
        inside(&["link", "set", "there", "up"]);
    }

    /// Drops every UDP packet to and from this port of an address, or lets them through again: a signalling path that is gone
    /// while others stay.
    ///
    /// # Panics
    /// When the rules of routing cannot be changed, or in [`Self::here`].
    pub fn cut_off(&self, address: IpAddr, port: u16, is_cut_off: bool) {
        let namespace = self.namespace.as_deref().expect("a namespace of its own");
        let (address, port) = (address.to_string(), port.to_string());
        let rule = |what: &[&str]| ip(&[&["-n", namespace, "rule"], what].concat());
        let way = if is_cut_off { "add" } else { "del" };
        if is_cut_off {
            // The rule for local addresses comes first of all: it has to stand behind ours.
            rule(&["add", "pref", "1", "lookup", "local"]);
            rule(&["del", "pref", "0"]);
        }
        rule(&[way, "pref", "0", "to", &address, "ipproto", "udp", "dport", &port, "blackhole"]);
        rule(&[way, "pref", "0", "from", &address, "ipproto", "udp", "sport", &port, "blackhole"]);
        if !is_cut_off {
            rule(&["add", "pref", "0", "lookup", "local"]);
            rule(&["del", "pref", "1"]);
        }
    }

    /// Gives programs started from here on these lines as their hosts file, besides `localhost`; where it is: what is written
    /// there counts at once.
    ///
    /// # Panics
    /// When it cannot be written, or in [`Self::here`].
    pub fn hosts(&self, lines: &str) -> PathBuf {
        let namespace = self.namespace.as_deref().expect("a namespace of its own");
        // `ip netns exec` lays what is there over /etc.
        let folder = Path::new("/etc/netns").join(namespace);
        std::fs::create_dir_all(&folder).expect("a folder for the namespace");
        let file = folder.join("hosts");
        std::fs::write(&file, lines).expect("a hosts file");
        file
    }

    /// Where this test's files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A folder of its own for one peer.
    pub fn subfolder(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder).expect("a folder for the peer");
        folder
    }

    /// A command that will run inside the namespace; its pid becomes the program's own.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match &self.namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.current_dir(&self.folder).env_remove("http_proxy").env_remove("https_proxy");
        command
    }

    /// Runs the ignored test `name` of this very program again, inside the namespace: for tests that bring clients of their
    /// own, which must live there. `variable` tells it the folder; `more` are other variables.
    ///
    /// # Panics
    /// When that test fails; its words are above.
    pub fn run_inside(&self, name: &str, variable: &str, more: &[(&str, &OsStr)]) {
        let itself = std::env::current_exe().expect("the path of this test");
        let mut command = self.command(itself);
        command.args(["--exact", name, "--ignored", "--nocapture"]);
        command.env(variable, self.folder()).envs(more.iter().copied());
        let status = command.status().expect("this test starts again");
        assert!(status.success(), "see above: {name} inside the namespace: {status}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let Some(namespace) = &self.namespace else { return };
        let _ = Command::new("ip").args(["netns", "del", namespace]).output();
        let _ = std::fs::remove_dir_all(Path::new("/etc/netns").join(namespace));
        let kept = std::thread::panicking() || std::env::var_os("WEEBEE_PEERS_KEEP").is_some();
        if kept {
            eprintln!("logs and recordings kept in {}", self.folder.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Seconds since 1970 with their fraction: the clock that Asterisk's dialplan, file times and we have in common.
pub fn wall_clock() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs_f64()
}

fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output().expect("ip runs");
    assert!(
        done.status.success(),
        "ip {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&done.stderr).trim()
    );
}
