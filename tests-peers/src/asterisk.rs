//! Asterisk as a peer: the exchange an admin would build from `dialplans/`, and telephones behind it.
//!
//! The configuration is Debian's stock folder, then the shipped files as they are, then the two small site files with
//! this test's addresses, and `extensions_site.conf` with the telephones. A telephone is a Local channel: one end runs
//! the shipped `[weebee-in]` and so dials the gateway, the other end types, speaks and records what it hears.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::{Process, last_lines, wait_until};
use crate::require::{Peer, peers_dir, repository, scripts};
use crate::sound::Wav;
use crate::world::World;

/// Which Asterisk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Asterisk 16 with chan_sip.
    Sixteen,
    /// Asterisk 22 with PJSIP.
    TwentyTwo,
}

impl Flavour {
    /// The peer as [`crate::require`] knows it.
    pub fn peer(self) -> Peer {
        match self {
            Flavour::Sixteen => Peer::Asterisk16,
            Flavour::TwentyTwo => Peer::Asterisk22,
        }
    }

    /// The loopback address this exchange has to itself.
    pub fn address(self) -> IpAddr {
        match self {
            Flavour::Sixteen => [127, 0, 0, 16].into(),
            Flavour::TwentyTwo => [127, 0, 0, 22].into(),
        }
    }

    fn chroot(self) -> &'static str {
        match self {
            Flavour::Sixteen => "asterisk16",
            Flavour::TwentyTwo => "asterisk22",
        }
    }

    fn dialplans(self) -> &'static str {
        match self {
            Flavour::Sixteen => "asterisk16-chan_sip",
            Flavour::TwentyTwo => "asterisk22-pjsip",
        }
    }

    /// First and last RTP port: ranges apart, as two exchanges on one machine would have them.
    fn rtp_ports(self) -> (u16, u16) {
        match self {
            Flavour::Sixteen => (16_000, 16_998),
            Flavour::TwentyTwo => (22_000, 22_998),
        }
    }

    /// The site file of `dialplans/` with this test's addresses instead of the example's.
    fn site_file(self, gateway: SocketAddr, login: Option<&Login>) -> (&'static str, String) {
        let own = self.address();
        match self {
            Flavour::Sixteen => {
                let secret = login.map_or_else(String::new, |login| {
                    format!("defaultuser={}\nremotesecret={}\n", login.user, login.password)
                });
                let text = format!(
                    "udpbindaddr={own}:5060\ntcpbindaddr={own}:5060\nrtpbindaddr={own}\n\
                     [weebee-address](!)\nhost={}\nport={}\n{secret}",
                    gateway.ip(),
                    gateway.port()
                );
                ("sip_site.conf", text)
            }
            Flavour::TwentyTwo => {
                let (auth, section) = login.map_or_else(Default::default, |login| {
                    let section = format!(
                        "[weebee-auth]\ntype=auth\nauth_type=digest\nusername={}\npassword={}\n\
                         supported_algorithms_uac={}\n",
                        login.user, login.password, login.algorithm
                    );
                    ("outbound_auth=weebee-auth\n", section)
                });
                let text = format!(
                    "[site-bind](!)\nbind={own}:5060\n\
                     [site-weebee-endpoint](!)\ntransport=transport-udp\nmedia_address={own}\n\
                     bind_rtp_to_media_address=yes\n{auth}\
                     [site-weebee-aor](!)\ncontact=sip:{gateway}\n\
                     [site-weebee-identify](!)\nmatch={}\n{section}",
                    gateway.ip()
                );
                ("pjsip_site.conf", text)
            }
        }
    }
}

/// What the exchange answers a challenge with.
#[derive(Clone, Debug)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
    /// `MD5` or `SHA-256`; chan_sip knows MD5 alone.
    pub algorithm: &'static str,
}

/// What a telephone does, and when.
#[derive(Clone, Debug)]
pub enum Act {
    /// Types keys, 120 ms each.
    Keys(String),
    /// Plays the sound file of this name (without ending) from the exchange's `say` folder.
    Say(String),
}

/// One telephone call to the gateway.
#[derive(Clone, Debug)]
pub struct PhoneCall {
    /// Name of the call, also of its recording.
    pub id: String,
    /// The number dialled inside `[weebee-in]`; `pin` when no number is at hand. `number@context` dials elsewhere.
    pub number: String,
    /// The one codec offered: `ulaw`, `alaw`, `g722` or `opus`.
    pub codec: &'static str,
    /// Acts in order, each with its moment on the wall clock ([`crate::world::wall_clock`]).
    pub acts: Vec<(f64, Act)>,
    /// When it hangs up, on the wall clock.
    pub ends_at: f64,
}

/// Both ears of a telephone.
#[derive(Clone, Debug)]
pub struct Recording {
    /// From the gateway.
    pub heard: Wav,
    /// Towards the gateway.
    pub said: Wav,
    /// When both begin, on the wall clock.
    pub starts_at: f64,
}

/// A running Asterisk.
#[derive(Debug)]
pub struct Exchange {
    flavour: Flavour,
    folder: PathBuf,
    process: Process,
}

/// Modules the telephones need beyond those of the shipped `modules.conf`.
const PHONE_MODULES: &str = "load=pbx_spool.so\nload=app_playback.so\nload=app_mixmonitor.so\n\
    load=app_senddtmf.so\nload=app_waituntil.so\n";

/// Debian's stock files which this exchange does without: they warn about themselves or open ports of their own.
const STOCK_LEFT_OUT: [&str; 3] = ["users.conf", "manager.conf", "extensions.conf"];

impl Exchange {
    /// Starts an exchange that sends its calls to `gateway`, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not come up within 30 s; the last lines of its log are in the message.
    pub fn start(
        world: &World,
        flavour: Flavour,
        gateway: SocketAddr,
        login: Option<&Login>,
    ) -> Exchange {
        Exchange::start_changed(world, flavour, gateway, login, |_| ())
    }

    /// Like [`Self::start`]; `change` edits its folder of configuration before, as an admin would.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_changed(
        world: &World,
        flavour: Flavour,
        gateway: SocketAddr,
        login: Option<&Login>,
        change: impl FnOnce(&Path),
    ) -> Exchange {
        let folder = world.subfolder(flavour.chroot());
        let etc = folder.join("etc");
        copy_folder(&peers_dir().join(flavour.chroot()).join("etc/asterisk"), &etc);
        for stock in STOCK_LEFT_OUT {
            let _ = fs::remove_file(etc.join(stock));
        }
        copy_folder(&repository().join("dialplans").join(flavour.dialplans()), &etc);
        let (site_name, site_text) = flavour.site_file(gateway, login);
        let (rtp_first, rtp_last) = flavour.rtp_ports();
        let files = [
            (site_name, site_text),
            ("modules_site.conf", PHONE_MODULES.to_owned()),
            ("extensions_site.conf", String::new()),
            ("rtp.conf", format!("[general]\nrtpstart={rtp_first}\nrtpend={rtp_last}\nstrictrtp=yes\n")),
            ("logger.conf", "[general]\ndateformat=%F %T.%3q\n[logfiles]\nfull => notice,warning,error,verbose(4)\n".to_owned()),
        ];
        for (name, text) in files {
            fs::write(etc.join(name), text).expect("a file in the exchange's own folder");
        }
        change(&etc);
        for name in ["say", "heard"] {
            fs::create_dir_all(folder.join(name)).expect("a folder of the exchange");
        }
        let mut command = world.command(scripts().join("run-asterisk.sh"));
        command.arg(flavour.chroot()).arg(&folder);
        let process = Process::start(flavour.chroot(), world.folder(), command);
        let mut exchange = Exchange { flavour, folder, process };
        exchange.wait_ready();
        exchange
    }

    fn wait_ready(&mut self) {
        let ready = wait_until(Duration::from_secs(30), || {
            self.process.assert_alive();
            self.log().contains("Asterisk Ready").then_some(())
        });
        assert!(
            ready.is_some(),
            "{:?} is not ready:\n{}",
            self.flavour,
            last_lines(&self.log(), 30)
        );
    }

    /// Its whole log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log/full")).unwrap_or_default()
    }

    /// Every WARNING and ERROR so far, except the one that says that chan_sip is an old driver.
    pub fn complaints(&self) -> Vec<String> {
        self.log()
            .lines()
            .filter(|line| line.contains("] WARNING[") || line.contains("] ERROR["))
            .filter(|line| {
                !line.contains("Module 'chan_sip' has been loaded but will be deprecated")
            })
            .map(str::to_owned)
            .collect()
    }

    /// Runs a command of Asterisk's own console and returns what it prints.
    pub fn console(&self, command: &str) -> String {
        let mut socket =
            UnixStream::connect(self.folder.join("run/asterisk.ctl")).expect("the console socket");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        socket
            .write_all(format!("cli quit after {command}\0").as_bytes())
            .expect("the command is taken");
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Makes a sound sayable by its telephones under `name`.
    pub fn learn_sound(&self, name: &str, wav: &Wav) {
        assert_eq!(wav.rate, 16_000, "Asterisk takes .wav16");
        wav.write(&self.folder.join("say").join(format!("{name}.wav16")))
            .expect("a sound in its folder");
    }

    /// Writes the calls' dialplans and places them, at once.
    pub fn place(&self, calls: &[PhoneCall]) {
        let mut dialplan = String::new();
        for call in calls {
            dialplan.push_str(&call.dialplan());
        }
        fs::write(self.folder.join("etc/extensions_site.conf"), dialplan)
            .expect("the telephones' dialplan");
        self.console("dialplan reload");
        for call in calls {
            // Written beside and moved in, or Asterisk may read half a file.
            let beside = self.folder.join("spool/tmp").join(&call.id);
            fs::write(&beside, call.call_file()).expect("a call file");
            fs::rename(&beside, self.folder.join("spool/outgoing").join(&call.id))
                .expect("moved into the spool");
        }
    }

    /// From now on a call of the gateway to `call.number` is answered, and what `call` says is done. Telephones that were placed
    /// before are forgotten.
    pub fn expect(&self, call: &PhoneCall) {
        self.expect_besides(call, &[]);
    }

    /// [`Self::expect`] and [`Self::behave`] at once.
    pub fn expect_besides(&self, call: &PhoneCall, numbers: &[(&str, &str)]) {
        let PhoneCall { number, id, .. } = call;
        let mut dialplan = call.dialplan();
        let _ = writeln!(
            dialplan,
            "\n[from-weebee](+)\nexten => {number},1,Answer()\n same => n,Goto(phone-{id},s,1)"
        );
        dialplan.push_str(&behaviour(numbers));
        fs::write(self.folder.join("etc/extensions_site.conf"), dialplan)
            .expect("the telephone's dialplan");
        self.console("dialplan reload");
    }

    /// From now on calls of the gateway to these numbers meet these applications of the dialplan, say `Busy()`, one a line.
    /// Telephones that were placed before are forgotten.
    pub fn behave(&self, numbers: &[(&str, &str)]) {
        let dialplan = behaviour(numbers);
        fs::write(self.folder.join("etc/extensions_site.conf"), dialplan)
            .expect("the numbers' dialplan");
        self.console("dialplan reload");
    }

    /// What the telephone of this call heard, and what it said, both from the same moment on; that moment on the wall
    /// clock, to within a tenth of a second.
    pub fn recording(&self, id: &str) -> Option<Recording> {
        let read = |name: String| Wav::read(&self.folder.join("heard").join(name)).ok();
        Some(Recording {
            heard: read(format!("{id}.wav16"))?,
            said: read(format!("{id}-said.wav16"))?,
            starts_at: *self.marks(id, "record").first()?,
        })
    }

    /// The moments at which the telephone began to say something, on the wall clock.
    pub fn said_at(&self, id: &str) -> Vec<f64> {
        self.marks(id, "say")
    }

    fn marks(&self, id: &str, what: &str) -> Vec<f64> {
        let wanted = format!("weebee-mark {id} {what} ");
        self.log()
            .lines()
            .filter(|line| line.contains("] NOTICE["))
            .filter_map(|line| line.split_once(&wanted)?.1.trim().parse().ok())
            .collect()
    }
}

impl PhoneCall {
    fn dialplan(&self) -> String {
        let id = &self.id;
        let mark = |what: &str| {
            format!(" same => n,Log(NOTICE,weebee-mark {id} {what} ${{STRFTIME(,,%s.%6q)}})\n")
        };
        let mut text = format!("\n[phone-{id}]\nexten => s,1,NoOp(telephone {id})\n");
        text.push_str(&mark("record"));
        let heard = "/mnt/peer/heard";
        let _ = writeln!(
            text,
            " same => n,MixMonitor({heard}/{id}-both.wav16,r({heard}/{id}.wav16)t({heard}/{id}-said.wav16)S)"
        );
        for (at, act) in &self.acts {
            let _ = writeln!(text, " same => n,WaitUntil({at:.3})");
            match act {
                Act::Keys(keys) => {
                    let _ = writeln!(text, " same => n,SendDTMF({keys},120,120)");
                }
                Act::Say(name) => {
                    text.push_str(&mark("say"));
                    let _ = writeln!(text, " same => n,Playback(/mnt/peer/say/{name})");
                }
            }
        }
        let _ = writeln!(text, " same => n,WaitUntil({:.3})\n same => n,Hangup()", self.ends_at);
        text
    }

    fn call_file(&self) -> String {
        let within = if self.number.contains('@') { "" } else { "@weebee-in" };
        format!(
            "Channel: Local/{}{within}/n\nCallerID: \"Telephone\" <1{}>\nMaxRetries: 0\nWaitTime: 30\n\
             Context: phone-{}\nExtension: s\nPriority: 1\nCodecs: slin16\n\
             Setvar: __SIP_CODEC_OUTBOUND={}\nSetvar: __WEEBEE_CODECS={}\n",
            self.number,
            self.id.len(),
            self.id,
            self.codec,
            self.codec
        )
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder for the configuration");
    for entry in
        fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())).flatten()
    {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target)
                .unwrap_or_else(|error| panic!("{}: {error}", target.display()));
        }
    }
}

/// What numbers that the gateway calls do.
fn behaviour(numbers: &[(&str, &str)]) -> String {
    let mut dialplan = "[from-weebee](+)\n".to_owned();
    for (number, applications) in numbers {
        for (place, application) in applications.lines().enumerate() {
            let step = if place == 0 { "1" } else { "n" };
            let _ = writeln!(dialplan, "exten => {number},{step},{application}");
        }
    }
    dialplan
}
