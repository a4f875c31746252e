//! Is the peer there? A missing one is never a silent pass.
//!
//! `WEEBEE_PEERS_REQUIRED=1` (what `make test-peers` sets) turns a missing peer into a failure. Without it the test
//! prints a banner with the reason and the command that helps, and ends.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A foreign program a test wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Debian bullseye's Asterisk 16.28 with chan_sip, in a chroot.
    Asterisk16,
    /// Debian sid's Asterisk 22 with PJSIP, in a chroot.
    Asterisk22,
    /// Debian 12's baresip.
    Baresip,
    /// Debian 12's SIPp.
    Sipp,
    /// Debian 12's Prosody, and openssl for its certificates.
    Prosody,
    /// C libsrtp with its headers, and a C compiler.
    LibSrtp,
    /// Debian 12's PostgreSQL.
    Postgres,
    /// Debian 12's fail2ban.
    Fail2ban,
    /// Debian 12's nginx.
    Nginx,
    /// Debian 12's Apache.
    Apache,
    /// Debian 12's Kamailio.
    Kamailio,
    /// Debian 12's Chromium.
    Chromium,
    /// aiortc in a Python environment of its own.
    Aiortc,
    /// The transport libraries of a Jitsi bridge, and a Java compiler.
    JavaTransport,
    /// The published parts of Rocket.Chat, from npm: validators, schemas, DDP client; and node.
    RocketChatOracles,
    /// Rocket.Chat's Apps-Engine and the TypeScript compiler, from npm; and node.
    RocketChatApp,
    /// Jicofo, Jitsi Videobridge and Jitsi's Prosody modules, which no script of ours can bring.
    Jitsi,
    /// The speaker of the test sentences, and sox for sample rates.
    Speech,
    /// Root and `ip netns`.
    Namespaces,
}

impl Peer {
    /// Why this peer cannot be used here, or `None` when it can.
    fn obstacle(self) -> Option<String> {
        match self {
            Peer::Asterisk16 => chroot_obstacle("asterisk16"),
            Peer::Asterisk22 => chroot_obstacle("asterisk22"),
            Peer::Baresip => program_obstacle("baresip"),
            Peer::Sipp => program_obstacle("sipp"),
            Peer::Prosody => program_obstacle("prosody").or_else(|| program_obstacle("openssl")),
            Peer::LibSrtp => program_obstacle("cc").or_else(libsrtp_obstacle),
            Peer::Postgres => {
                let program = crate::postgres::program("postgres");
                (!program.exists()).then(|| format!("no PostgreSQL: {}", program.display()))
            }
            Peer::Fail2ban => program_obstacle("fail2ban-regex"),
            Peer::Nginx => program_obstacle("/usr/sbin/nginx"),
            Peer::Apache => program_obstacle("/usr/sbin/apache2"),
            Peer::Kamailio => program_obstacle("/usr/sbin/kamailio"),
            Peer::Chromium => program_obstacle("chromium"),
            Peer::Aiortc => {
                let stamp = stamp("webrtc");
                (!stamp.exists()).then(|| format!("no Python environment: {}", stamp.display()))
            }
            Peer::JavaTransport => {
                let stamp = stamp("java-transport");
                let jars = (!stamp.exists()).then(|| format!("no jars: {}", stamp.display()));
                program_obstacle("javac").or(jars)
            }
            Peer::RocketChatOracles => program_obstacle("node").or_else(|| {
                let stamp = stamp("rocketchat");
                (!stamp.exists()).then(|| format!("no bundle: {}", stamp.display()))
            }),
            Peer::RocketChatApp => program_obstacle("node").or_else(|| {
                let stamp = stamp("rocketchat-app");
                (!stamp.exists()).then(|| format!("no packages: {}", stamp.display()))
            }),
            Peer::Jitsi => program_obstacle("java").or_else(|| crate::jitsi::installed().err()),
            Peer::Speech => program_obstacle("espeak-ng").or_else(|| program_obstacle("sox")),
            Peer::Namespaces => namespace_obstacle(),
        }
    }

    /// The version as Debian's package says it, for the interop table.
    pub fn version(self) -> String {
        let of_package = |package: &str| {
            output_of(Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]))
        };
        match self {
            Peer::Asterisk16 => stamped_version("asterisk16"),
            Peer::Asterisk22 => stamped_version("asterisk22"),
            Peer::Baresip => of_package("baresip-core"),
            Peer::Sipp => of_package("sip-tester"),
            Peer::Prosody => of_package("prosody"),
            Peer::LibSrtp => of_package("libsrtp2-dev"),
            Peer::Postgres => of_package("postgresql"),
            Peer::Fail2ban => of_package("fail2ban"),
            Peer::Nginx => of_package("nginx"),
            Peer::Apache => of_package("apache2-bin"),
            Peer::Kamailio => of_package("kamailio"),
            Peer::Chromium => of_package("chromium"),
            Peer::Aiortc => stamped_version("webrtc"),
            Peer::JavaTransport => stamped_version("java-transport"),
            Peer::RocketChatOracles => stamped_version("rocketchat"),
            Peer::RocketChatApp => stamped_version("rocketchat-app"),
            Peer::Jitsi => of_package("jicofo"),
            Peer::Speech => of_package("espeak-ng"),
            Peer::Namespaces => of_package("iproute2"),
        }
    }
}

/// True when every peer is there. Otherwise prints why, and how to get it; with `WEEBEE_PEERS_REQUIRED=1` it panics, but
/// for those that not every machine can have: a Jitsi, and what comes from registries other than Debian's and PyPI.
pub fn all_there(test: &str, peers: &[Peer]) -> bool {
    let obstacles: Vec<(Peer, String)> = std::iter::once(Peer::Namespaces)
        .chain(peers.iter().copied())
        .filter_map(|peer| peer.obstacle().map(|why| (peer, format!("{peer:?}: {why}"))))
        .collect();
    if obstacles.is_empty() {
        return true;
    }
    let not_everywhere =
        [Peer::Jitsi, Peer::JavaTransport, Peer::RocketChatOracles, Peer::RocketChatApp];
    let can_be_had = obstacles.iter().any(|(peer, _)| !not_everywhere.contains(peer));
    let reasons: Vec<String> = obstacles.into_iter().map(|(_, why)| why).collect();
    let reasons = reasons.join("\n  ");
    let remedy = format!("sudo {}", scripts().join("install.sh").display());
    assert!(
        !can_be_had || std::env::var("WEEBEE_PEERS_REQUIRED").as_deref() != Ok("1"),
        "{test} needs peers that are not here:\n  {reasons}\nget them: {remedy}"
    );
    eprintln!(
        "\n################ SKIPPED, NOT TESTED: {test} ################\n  {reasons}\n  \
         get them: {remedy}\n  then: make test-peers\n\
         ################################################################\n"
    );
    false
}

/// Where the chroots and caches live: `WEEBEE_PEERS_DIR`, by default `/var/cache/weebee-peers`.
pub fn peers_dir() -> PathBuf {
    std::env::var_os("WEEBEE_PEERS_DIR")
        .map_or_else(|| PathBuf::from("/var/cache/weebee-peers"), PathBuf::from)
}

/// The scripts of this crate.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts")
}

/// The top of the repository: `dialplans/` and `testdata/` are below it.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the repository")
        .to_path_buf()
}

fn stamp(chroot: &str) -> PathBuf {
    peers_dir().join(chroot).join(".weebee-peer")
}

fn stamped_version(chroot: &str) -> String {
    let text = std::fs::read_to_string(stamp(chroot)).unwrap_or_default();
    let line = text.lines().nth(1).unwrap_or("not installed");
    line.trim_start_matches("Asterisk ").to_owned()
}

fn chroot_obstacle(chroot: &str) -> Option<String> {
    (!stamp(chroot).exists()).then(|| format!("no finished chroot at {}", stamp(chroot).display()))
}

fn program_obstacle(program: &str) -> Option<String> {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    });
    (!found).then(|| format!("no `{program}` in PATH"))
}

fn libsrtp_obstacle() -> Option<String> {
    let header = Path::new("/usr/include/srtp2/srtp.h");
    (!header.exists()).then(|| format!("no {}", header.display()))
}

fn namespace_obstacle() -> Option<String> {
    let made = Command::new("unshare").args(["--net", "--mount", "true"]).output();
    match made {
        Ok(done) if done.status.success() => program_obstacle("ip"),
        Ok(done) => Some(format!(
            "cannot make a network namespace (root is needed): {}",
            String::from_utf8_lossy(&done.stderr).trim()
        )),
        Err(error) => Some(format!("cannot run unshare: {error}")),
    }
}

fn output_of(command: &mut Command) -> String {
    command
        .output()
        .map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned())
        .unwrap_or_default()
}
