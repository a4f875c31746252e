//! baresip as a telephone: a configuration folder of its own, sound from a file and into files, orders over its control
//! socket.
//!
//! It takes its address from the interface and skips 127.0.0.1, so the namespace's `lo` carries 192.0.2.5 as well.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::process::{Process, last_lines, wait_until};
use crate::sound::Wav;
use crate::world::World;

/// Its address, from the range for examples.
pub const ADDRESS: &str = "192.0.2.5";

/// A running baresip.
#[derive(Debug)]
pub struct Baresip {
    folder: PathBuf,
    control_port: u16,
    process: Process,
}

/// What it sends and how.
#[derive(Clone, Copy, Debug)]
pub struct Codec {
    /// Name in our tables.
    pub name: &'static str,
    /// As `audio_codecs` of its account wants it.
    pub account: &'static str,
    /// Rate of the file it reads.
    pub rate: u32,
    /// Channels of the file it reads: Opus goes as stereo, as baresip does out of the box.
    pub channels: u8,
}

/// The four codecs of the telephone leg.
pub const CODECS: [Codec; 4] = [
    Codec { name: "ulaw", account: "PCMU/8000/1", rate: 8_000, channels: 1 },
    Codec { name: "alaw", account: "PCMA/8000/1", rate: 8_000, channels: 1 },
    Codec { name: "g722", account: "G722/16000/1", rate: 16_000, channels: 1 },
    Codec { name: "opus", account: "opus/48000/2", rate: 48_000, channels: 2 },
];

impl Baresip {
    /// Starts it; `said` goes out from the moment a call is answered. `number` keeps several apart.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(world: &World, number: u16, codec: Codec, said: &Wav) -> Baresip {
        let folder = world.subfolder(&format!("baresip-{number}"));
        fs::create_dir_all(folder.join("heard")).expect("a folder for its recordings");
        let raw = folder.join("say-raw.wav");
        let say = folder.join("say.wav");
        said.write(&raw).expect("what it says");
        let done = Command::new("sox")
            .arg(&raw)
            .args(["-r", &codec.rate.to_string(), "-c", &codec.channels.to_string()])
            .arg(&say)
            .status();
        assert!(done.is_ok_and(|status| status.success()), "sox converts the speech");
        let control_port = 4_400 + number;
        // It takes the next port as well, for TLS.
        let (sip_port, rtp_port) = (5_500 + number * 10, 50_000 + number * 100);
        let config = format!(
            "poll_method epoll\ncall_max_calls 4\nsip_listen {ADDRESS}:{sip_port}\nnet_interface lo\n\
             audio_player aubridge,ear\naudio_source aufile,{}\naudio_alert aubridge,alert\n\
             ausrc_channels {channels}\nauplay_channels {channels}\njitter_buffer_delay 2-10\n\
             rtp_ports {rtp_port}-{}\nmodule_path /usr/lib/baresip/modules\n\
             module g711.so\nmodule g722.so\nmodule opus.so\nmodule aufile.so\nmodule aubridge.so\n\
             module sndfile.so\nmodule_tmp account.so\nmodule_app menu.so\nmodule_app ctrl_tcp.so\n\
             ctrl_tcp_listen 127.0.0.1:{control_port}\nsnd_path {}\n",
            say.display(),
            rtp_port + 98,
            folder.join("heard").display(),
            channels = codec.channels,
        );
        fs::write(folder.join("config"), config).expect("its configuration");
        let account =
            format!("<sip:baresip@{ADDRESS}:{sip_port}>;regint=0;audio_codecs={}\n", codec.account);
        fs::write(folder.join("accounts"), account).expect("its account");
        fs::write(folder.join("contacts"), "").expect("its contacts");
        // Another baresip may have given the address already: then this says so and does no harm.
        let _ = world
            .command("ip")
            .args(["addr", "add", &format!("{ADDRESS}/32"), "dev", "lo"])
            .output();
        let mut command = world.command("baresip");
        command.args(["-4", "-f"]).arg(&folder);
        let process = Process::start(&format!("baresip-{number}"), world.folder(), command);
        let mut phone = Baresip { folder, control_port, process };
        let ready = wait_until(Duration::from_secs(10), || {
            phone.process.assert_alive();
            phone.output().contains("baresip is ready").then_some(())
        });
        assert!(ready.is_some(), "baresip is not ready:\n{}", last_lines(&phone.output(), 20));
        phone
    }

    /// Dials and waits for the answer; false when none comes.
    pub fn dial(&self, world: &World, uri: &str) -> bool {
        self.order(world, "dial", uri);
        let answered = || self.output().contains("Call established").then_some(());
        wait_until(Duration::from_secs(10), answered).is_some()
    }

    /// Types keys, one order each: it sends each as a short RFC 4733 event.
    pub fn type_keys(&self, world: &World, keys: &str) {
        for key in keys.chars() {
            self.order(world, "sndcode", &key.to_string());
            std::thread::sleep(Duration::from_millis(150));
        }
    }

    /// Ends the call and the program, so that its recordings are whole.
    pub fn hang_up(&mut self, world: &World) {
        self.order(world, "hangup", "");
        std::thread::sleep(Duration::from_millis(300));
        self.process.stop();
    }

    /// What it heard; begins with the call.
    pub fn heard(&self) -> Option<Wav> {
        self.dump("-dec.wav")
    }

    /// What it sent, before the codec; begins with the call, as [`Baresip::heard`] does.
    pub fn said(&self) -> Option<Wav> {
        self.dump("-enc.wav")
    }

    /// What it printed.
    pub fn output(&self) -> String {
        self.process.output()
    }

    fn dump(&self, ending: &str) -> Option<Wav> {
        let mut files = fs::read_dir(self.folder.join("heard")).ok()?.flatten();
        let file = files.find(|file| file.file_name().to_string_lossy().ends_with(ending))?;
        Wav::read(&file.path()).ok()
    }

    /// One netstring of JSON over TCP, by bash's own socket: the control port is inside the namespace, we are not.
    fn order(&self, world: &World, order: &str, parameters: &str) {
        let json = format!(r#"{{"command":"{order}","params":"{parameters}","token":"t"}}"#);
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{}; printf '%s:%s,' {} '{json}' >&3; timeout 0.1 cat <&3 >/dev/null; true",
            self.control_port,
            json.len()
        );
        let _ = world.command("bash").args(["-c", &script]).output();
    }
}
