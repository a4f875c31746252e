//! `weebee run --demo`: a gateway on loopback with one room and fresh PINs, and words about what to do next.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;
use gateway_core::base::time::WallClock;
use gateway_core::io::wall_clock;
use gateway_core::leg::backend::{Role, RoomName};

use crate::config::Config;
use crate::pin::{self, NewPin, Pin, PinKind, RegistryError, key};
use crate::web::link;

/// Where the demo runs.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Demo: folder for its configuration, PINs and call records.
    #[arg(long, default_value = ".weebee-demo", requires = "demo")]
    state: PathBuf,
    /// Demo: port of SIP on 127.0.0.1, UDP and TCP.
    #[arg(long, default_value_t = 5060, requires = "demo")]
    sip_port: u16,
    /// Demo: port of HTTP on 127.0.0.1.
    #[arg(long, default_value_t = 8788, requires = "demo")]
    http_port: u16,
}

/// A demo that is ready to start.
#[derive(Debug)]
pub struct Demo {
    /// Its configuration file.
    pub config: PathBuf,
    sip_port: u16,
    http_port: u16,
}

impl Demo {
    /// Writes the demo's configuration.
    pub fn prepare(at: &DemoArguments) -> Result<Self, String> {
        let config = at.state.join("weebee.toml");
        let text = configuration(at.sip_port, at.http_port);
        let written =
            std::fs::create_dir_all(&at.state).and_then(|()| std::fs::write(&config, text));
        written.map_err(|error| {
            format!("{}: {error}; choose another folder with --state", config.display())
        })?;
        Ok(Self { config, sip_port: at.sip_port, http_port: at.http_port })
    }

    /// Draws PINs and says what to do next.
    pub fn words(&self, config: &Config) -> Result<Said, String> {
        let (guest, host, link) = self.ways_in(config).map_err(|error| error.to_string())?;
        let Self { sip_port: port, http_port, .. } = self;
        let grouped = |pin: &Pin| {
            let digits: Vec<char> = pin.digits.reveal().chars().collect();
            let groups: Vec<String> =
                digits.chunks(3).map(|group| group.iter().collect()).collect();
            groups.join(" ")
        };
        let mut out = String::new();
        let _ = writeln!(
            out,
            "\n  WeeBee is running. Dial   sip:pin@127.0.0.1:{port}   (UDP or TCP)\n\
             \x20 PIN of the room \"tea\":   {}   then #      (host PIN: {})\n\n\
             \x20 Join by browser, one click:\n\
             \x20   {link}\n\n\
             \x20 Without any phone, in another terminal (twice, and the two hear each other):\n\
             \x20   {} call sip:pin@127.0.0.1:{port} --pin {} --duration 20\n\n\
             \x20 From an Asterisk on this host:\n\
             \x20   chan_sip, sip.conf:      [weebee]\n\
             \x20                            type=peer\n\
             \x20                            host=127.0.0.1\n\
             \x20                            port={port}\n\
             \x20                            dtmfmode=rfc2833\n\
             \x20                            disallow=all\n\
             \x20                            allow=alaw,ulaw\n\
             \x20   extensions.conf:         exten => 600,1,Dial(SIP/weebee/pin,60)\n\
             \x20   PJSIP, extensions.conf:  exten => 600,1,Dial(PJSIP/pin@weebee,60)\n\
             \x20   whole files:             dialplans/\n\n\
             \x20 Live calls:  {} calls      http://127.0.0.1:{http_port}/calls\n\
             \x20 Settings:    {}      Ctrl-C ends it.\n",
            grouped(&guest),
            grouped(&host),
            program(),
            guest.digits.reveal(),
            program(),
            self.config.display(),
        );
        Ok(Said { words: out, pin: Pii::new(grouped(&guest)) })
    }

    /// PINs of guests and hosts, and the link of guests.
    fn ways_in(&self, config: &Config) -> Result<(Pin, Pin, String), RegistryError> {
        let mut registry = pin::open(&config.pin)?;
        let seed = key::entropy().map_err(|error| RegistryError::Key {
            file: config.pin.key_file.clone(),
            what: error.to_string(),
            remedy: "check /dev/urandom",
        })?;
        let mut rng = Rng::from_seed(seed);
        let wall = wall_clock();
        let until = (wall.unix + DAY).as_secs();
        let url = config.browser.as_ref().map_or("", |browser| &browser.url);
        let link = link::link(url, registry.key(), &room(), Role::Guest, until);
        let mut pin = |kind| {
            let expires = Some(WallClock { unix: wall.unix + DAY });
            let new = NewPin { expires, ..NewPin::new(room(), kind, config.pin.digits) };
            registry.add(&new, wall, &mut rng)
        };
        Ok((pin(PinKind::Guest)?, pin(PinKind::Host)?, link))
    }
}

/// What the demo says.
#[derive(Debug)]
pub struct Said {
    /// To the person who started it.
    pub words: String,
    /// The PIN of guests, in groups.
    pub pin: Pii<String>,
}

/// The demo's room.
pub fn room() -> RoomName {
    RoomName::new("tea").expect("three letters")
}

/// How this program was called, for lines to be copied.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "weebee".to_owned())
}

fn configuration(sip_port: u16, http_port: u16) -> String {
    format!(
        "# Written by `weebee run --demo` at each start. For your own: weebee config > weebee.toml\n\
         [sip]\n\
         listen = [\"udp:127.0.0.1:{sip_port}\", \"tcp:127.0.0.1:{sip_port}\"]\n\
         calls_max = 100\n\
         drain_s = 2\n\
         [[trunk]]\n\
         name = \"this-host\"\n\
         sources = [\"127.0.0.0/8\"]\n\
         [rtp]\n\
         ports = \"20000-20399\"\n\
         [http]\n\
         listen = \"127.0.0.1:{http_port}\"\n\
         rooms = \"name\"\n\
         [browser]\n\
         enabled = true\n\
         browsers_max = 50\n\
         dial_in = \"sip:pin@127.0.0.1:{sip_port}\"\n"
    )
}

const DAY: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::testing::Folder;

    #[test]
    fn the_demo_is_valid_and_says_how_to_call_it() {
        let folder = Folder::new("demo");
        let at = DemoArguments { state: folder.path().to_owned(), sip_port: 5070, http_port: 8789 };
        let demo = Demo::prepare(&at).expect("writable");
        let config = crate::config::load(&demo.config).expect("valid");
        assert_eq!(config.sip.listeners[0].bind.port(), 5070);
        let words = demo.words(&config).expect("PINs are drawn").words;
        for part in [
            "sip:pin@127.0.0.1:5070",
            "--pin ",
            "Dial(SIP/weebee/pin",
            ":8789/calls",
            ":8789/room/tea#g-",
        ] {
            assert!(words.contains(part), "{part} in {words}");
        }
        let mut registry = pin::open(&config.pin).expect("opens");
        assert_eq!(registry.list().expect("works").len(), 2);
    }

    #[test]
    fn a_folder_that_cannot_be_is_said() {
        let state = Path::new("/proc/no/such").to_owned();
        let at = DemoArguments { state, sip_port: 5060, http_port: 8788 };
        let error = Demo::prepare(&at).expect_err("not writable");
        assert!(error.contains("--state"), "{error}");
    }
}
