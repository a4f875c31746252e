//! A real Jitsi: Debian's Prosody with Jitsi's own modules, Jicofo and Jitsi Videobridges, all in the test's namespace.
//!
//! Jicofo, the bridge and the modules are in no registry this crate could fetch them from: they are used where they are
//! installed, in Debian's places or below `WEEBEE_JITSI_HOME` (see [`installed`]), and a test without them says that it
//! was skipped. The bridge ignores loopback, so the namespace gets an address of its own, [`ADDRESS`].

mod config;
mod participant;
mod scripted;
mod sip_phone;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

pub use participant::{Participant, Recorded, Wishes};
pub use scripted::Scripted;
pub use sip_phone::SipPhone;

use crate::process::{Process, last_lines, wait_until};
use crate::prosody;
use crate::world::World;

/// Where media of the bridges and of the gateway's bridge legs goes.
pub const ADDRESS: &str = "10.77.0.1";
/// The domain of the web; below it are its rooms, lobbies and components.
pub const DOMAIN: &str = "meet.test";
/// The host of phones, which Jicofo trusts: any user name is good with [`SECRET`].
pub const PHONES: &str = "phones.meet.test";
/// Password of every phone.
pub const SECRET: &str = "one secret for phones";

/// Where the parts of a Jitsi are.
#[derive(Clone, Debug)]
pub struct Installed {
    /// `jicofo.jar` and `lib/`.
    pub jicofo: PathBuf,
    /// `jitsi-videobridge.jar` and `lib/`.
    pub bridge: PathBuf,
    /// Jitsi's modules for Prosody.
    pub plugins: PathBuf,
    /// Further Lua modules those need, where Debian's packages of them are not installed.
    pub lua: Option<PathBuf>,
}

/// Looks for a Jitsi: below `WEEBEE_JITSI_HOME` as `jicofo/`, `jitsi-videobridge/`, `prosody-plugins/` and, if need be,
/// `lua/`; else where Debian's packages put it.
///
/// # Errors
/// The file that is not there.
pub fn installed() -> Result<Installed, String> {
    let home = std::env::var_os("WEEBEE_JITSI_HOME").map(PathBuf::from);
    let found = match &home {
        Some(home) => Installed {
            jicofo: home.join("jicofo"),
            bridge: home.join("jitsi-videobridge"),
            plugins: home.join("prosody-plugins"),
            lua: Some(home.join("lua")).filter(|lua| lua.is_dir()),
        },
        None => Installed {
            jicofo: "/usr/share/jicofo".into(),
            bridge: "/usr/share/jitsi-videobridge".into(),
            plugins: "/usr/share/jitsi-meet/prosody-plugins".into(),
            lua: None,
        },
    };
    let needed = [
        found.jicofo.join("jicofo.jar"),
        found.bridge.join("jitsi-videobridge.jar"),
        found.plugins.join("mod_muc_lobby_rooms.lua"),
    ];
    match needed.iter().find(|file| !file.exists()) {
        Some(missing) => Err(format!("no {} (WEEBEE_JITSI_HOME names a Jitsi)", missing.display())),
        None => Ok(found),
    }
}

/// One of the two bridges there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bridge {
    /// The one that runs from the beginning.
    First,
    /// Started by [`Jitsi::start_bridge`].
    Second,
}

impl Bridge {
    /// Its nickname among the bridges.
    pub fn name(self) -> &'static str {
        match self {
            Bridge::First => "jvb1",
            Bridge::Second => "jvb2",
        }
    }
}

/// A running Jitsi.
#[derive(Debug)]
pub struct Jitsi<'a> {
    world: &'a World,
    installed: Installed,
    folder: PathBuf,
    starts: u32,
    prosody: Process,
    jicofo: Process,
    bridges: Vec<(Bridge, Process)>,
}

/// Password of `jigasi` at the servers' own host.
pub const JIGASI_SECRET: &str = "jigasi's password";

const USERS: [(&str, &str); 3] =
    [("focus", "focus's password"), ("jvb", "jvb's password"), ("jigasi", JIGASI_SECRET)];

impl<'a> Jitsi<'a> {
    /// Starts all of it and waits until Jicofo knows its bridge.
    ///
    /// # Panics
    /// When that takes more than a minute.
    pub fn start(world: &'a World, installed: &Installed) -> Jitsi<'a> {
        world.add_address(&format!("{ADDRESS}/24"));
        let folder = world.subfolder("jitsi");
        for name in ["certs", "data"] {
            fs::create_dir_all(folder.join(name)).expect("a folder of the servers");
        }
        let hosts = [DOMAIN, PHONES, config::AUTH, "localhost"];
        prosody::certificates(&folder, &hosts);
        for (name, text) in config::files(&folder, installed) {
            fs::write(folder.join(name), text).expect("a configuration");
        }
        // Before it runs, or what it remembers of the roster would be written over this.
        for (user, password) in USERS {
            control(world, &folder, &["register", user, config::AUTH, password]);
        }
        let focus = format!("focus@{}", config::AUTH);
        control(world, &folder, &["mod_roster_command", "subscribe", config::FOCUS, &focus]);
        let prosody = launch_prosody(world, &folder, 0);
        let mut jitsi = Jitsi {
            jicofo: Process::start("none", world.folder(), world.command("true")),
            world,
            installed: installed.clone(),
            folder,
            starts: 0,
            prosody,
            bridges: Vec::new(),
        };
        jitsi.wait_prosody();
        jitsi.jicofo = jitsi.launch_jicofo();
        jitsi.start_bridge(Bridge::First);
        jitsi
    }

    /// The authority that signed Prosody's certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// Lines of `weebee.toml` that make every room a room of this Jitsi.
    pub fn gateway_settings(&self) -> String {
        format!("[room]\nbackend = \"jitsi\"\n{}", self.conference("jitsi"))
    }

    /// Its section in `weebee.toml`, under this name.
    pub fn conference(&self, name: &str) -> String {
        let secret = self.folder.join("phones.secret");
        fs::write(&secret, SECRET).expect("a secret in a file");
        format!(
            "[[conference.jitsi]]\nname = \"{name}\"\nxmpp = \"tcp:127.0.0.1:5222\"\n\
             domain = \"{DOMAIN}\"\naccount_domain = \"{PHONES}\"\nrooms = \"{}\"\n\
             account = \"shared-secret\"\npassword_file = {secret:?}\nca_file = {:?}\n",
            config::ROOMS,
            self.authority()
        )
    }

    /// Lines of `weebee.toml` by which Jicofo finds the gateway and may have it call.
    pub fn brewery_settings(&self) -> String {
        let (user, password) = USERS[2];
        let secret = self.folder.join("jigasi.secret");
        fs::write(&secret, password).expect("a secret in a file");
        format!(
            "[[brewery]]\nname = \"shard\"\nxmpp = \"tcp:127.0.0.1:5222\"\ndomain = \"{auth}\"\nuser = \"{user}\"\n\
             password_file = {secret:?}\nroom = \"JigasiBrewery@internal.{auth}\"\nca_file = {:?}\n",
            self.authority(),
            auth = config::AUTH,
        )
    }

    /// Starts a bridge and waits until Jicofo has it.
    ///
    /// # Panics
    /// When Jicofo does not see it within a minute.
    pub fn start_bridge(&mut self, bridge: Bridge) {
        let seen = self.bridges_seen();
        let (name, folder) = (bridge.name(), self.installed.bridge.clone());
        let main = "org.jitsi.videobridge.MainKt";
        let process = self.launch_java(name, &format!("{name}.conf"), folder, main);
        self.bridges.push((bridge, process));
        let up = wait_until(Duration::from_secs(60), || (self.bridges_seen() > seen).then_some(()));
        let words = last_lines(&self.jicofo.output(), 20);
        assert!(up.is_some(), "Jicofo does not see {name}:\n{words}");
    }

    /// Kills a bridge where it stands.
    pub fn kill_bridge(&mut self, bridge: Bridge) {
        let place = self.bridges.iter().position(|(which, _)| *which == bridge);
        let (_, mut process) = self.bridges.remove(place.expect("it runs"));
        process.kill();
    }

    /// Stops a bridge in its tracks for a while; its connections stay.
    pub fn freeze_bridge(&self, bridge: Bridge, pause: Duration) {
        let frozen = self.bridges.iter().find(|(which, _)| *which == bridge);
        let (_, process) = frozen.expect("it runs");
        process.signal("STOP");
        std::thread::sleep(pause);
        process.signal("CONT");
    }

    /// Kills Jicofo and starts it anew, with nothing remembered.
    pub fn restart_jicofo(&mut self) {
        self.jicofo.kill();
        self.starts += 1;
        self.jicofo = self.launch_jicofo();
    }

    /// Ends Prosody and starts it anew after `pause`.
    pub fn restart_prosody(&mut self, pause: Duration) {
        self.stop_prosody();
        std::thread::sleep(pause);
        self.start_prosody();
    }

    /// Ends Prosody.
    pub fn stop_prosody(&mut self) {
        self.prosody.stop();
    }

    /// Starts Prosody anew.
    pub fn start_prosody(&mut self) {
        self.starts += 1;
        self.prosody = launch_prosody(self.world, &self.folder, self.starts);
        self.wait_prosody();
    }

    /// Has Jicofo move an occupant to another bridge.
    pub fn move_endpoint(&self, room: &str, nick: &str, bridge: Bridge) {
        let address = format!(
            "http://127.0.0.1:8888/move-endpoints/move-endpoint?conference={room}%40{}&endpoint={nick}\
             &bridge=jvbbrewery%40internal.{}%2F{}",
            config::ROOMS,
            config::AUTH,
            bridge.name()
        );
        self.get(&address);
    }

    /// What a server in the namespace answers to a GET.
    ///
    /// # Panics
    /// When it does not answer with 200.
    pub fn get(&self, address: &str) -> String {
        let program = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=10).read().decode())";
        let mut command = self.world.command("python3");
        let done = command.args(["-c", program, address]).output().expect("python3 runs");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{address}: {}", last_lines(&said, 3));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// What Jicofo says of itself.
    pub fn jicofo_log(&self) -> String {
        self.jicofo.output()
    }

    fn bridges_seen(&self) -> usize {
        self.jicofo.output().matches("Added new videobridge").count()
    }

    fn wait_prosody(&self) {
        let up = wait_until(Duration::from_secs(20), || {
            let done = self.world.command("sh").args(["-c", "ss -ltn | grep -q ':5222 '"]).status();
            done.is_ok_and(|status| status.success()).then_some(())
        });
        let words = last_lines(&self.prosody.output(), 30);
        assert!(up.is_some(), "Prosody does not listen:\n{words}");
    }

    fn launch_jicofo(&self) -> Process {
        let name = format!("jicofo-{}", self.starts);
        let folder = self.installed.jicofo.clone();
        self.launch_java(&name, "jicofo.conf", folder, "org.jitsi.jicofo.Main")
    }

    fn launch_java(&self, name: &str, config: &str, home: PathBuf, main: &str) -> Process {
        let classes = format!("{0}/{1}:{0}/lib/*", home.display(), jar(main));
        let mut command = self.world.command("java");
        command.args(["-Xmx512m", "-Djava.net.preferIPv4Stack=true"]);
        command.arg(format!("-Dconfig.file={}", self.folder.join(config).display()));
        command.args(["-cp", &classes, main]);
        Process::start(name, self.world.folder(), command)
    }
}

fn jar(main: &str) -> &'static str {
    match main.contains("videobridge") {
        true => "jitsi-videobridge.jar",
        false => "jicofo.jar",
    }
}

fn control(world: &World, folder: &std::path::Path, arguments: &[&str]) {
    let mut command = world.command("prosodyctl");
    command.arg("--config").arg(folder.join("prosody.cfg.lua")).args(arguments);
    prosody::run(&mut command);
}

fn launch_prosody(world: &World, folder: &std::path::Path, number: u32) -> Process {
    let mut command: Command = world.command("prosody");
    command.arg("--config").arg(folder.join("prosody.cfg.lua")).arg("-F");
    Process::start(&format!("prosody-{number}"), world.folder(), command)
}
