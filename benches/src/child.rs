//! The gateway as a child process: started on a configuration of our own, its CPU time from
//! `/proc/PID/task/*/schedstat` (tick counters under-count short wake-ups), its memory as `Pss`.

use std::fs;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running gateway; ended when dropped.
pub struct Gateway {
    child: Child,
    /// Where it takes SIP over UDP.
    pub sip: SocketAddr,
    /// Folder of its configuration, registry and log; removed when dropped.
    pub folder: PathBuf,
}

impl Gateway {
    /// Starts `binary` on SIP port `port` of 127.0.0.1 with room for `calls`, and waits until it answers OPTIONS.
    pub fn start(binary: &Path, port: u16, calls: usize) -> io::Result<Self> {
        let folder =
            std::env::temp_dir().join(format!("weebee-bench-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let configuration = folder.join("weebee.toml");
        fs::write(&configuration, configuration_text(port, calls))?;
        let log = fs::File::create(folder.join("weebee.log"))?;
        let child = Command::new(binary)
            .args(["run", "--config"])
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut gateway = Self { child, sip: SocketAddr::from(([127, 0, 0, 1], port)), folder };
        gateway.wait_until_it_answers()?;
        gateway.wait_until_prompts_are_ready()?;
        Ok(gateway)
    }

    /// CPU time so far of the threads whose name begins with `name`; of all, if it is empty.
    pub fn cpu(&self, name: &str) -> io::Result<Duration> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let task = task?.path();
            // A thread may end between the listing and the reading: it then counts as nothing.
            let Ok(text) = fs::read_to_string(task.join("schedstat")) else { continue };
            if !fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.starts_with(name)) {
                continue;
            }
            nanoseconds += text
                .split_whitespace()
                .next()
                .and_then(|word| word.parse::<u64>().ok())
                .unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Waits until no thread of that name runs, at most 60 s: what the gateway prepares at start is then done.
    pub fn wait_for_end_of(&self, name: &str) -> io::Result<()> {
        let give_up = Instant::now() + Duration::from_secs(60);
        loop {
            let mut runs = false;
            for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
                let comm = fs::read_to_string(task?.path().join("comm")).unwrap_or_default();
                runs |= comm.trim_end() == name;
            }
            if !runs {
                return Ok(());
            }
            if Instant::now() > give_up {
                return Err(io::Error::other(format!("thread \"{name}\" did not end in 60 s")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Proportional set size, in bytes.
    pub fn memory(&self) -> io::Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let kibibytes = text
            .lines()
            .find_map(|line| line.strip_prefix("Pss:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
            .ok_or_else(|| io::Error::other("smaps_rollup has no Pss line"))?;
        Ok(kibibytes * 1024)
    }

    /// The thread that makes the words ready works for half a second after the start: no cost of any call.
    fn wait_until_prompts_are_ready(&self) -> io::Result<()> {
        let give_up = Instant::now() + Duration::from_secs(60);
        while self.has_thread("prompts")? {
            if Instant::now() >= give_up {
                return Err(io::Error::other("the prompts were not ready within 60 s"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn has_thread(&self, name: &str) -> io::Result<bool> {
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let comm = fs::read_to_string(task?.path().join("comm")).unwrap_or_default();
            if comm.trim_end() == name {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn wait_until_it_answers(&mut self) -> io::Result<()> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        let give_up = Instant::now() + Duration::from_secs(15);
        while Instant::now() < give_up {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!(
                    "the gateway ended with {status}; its log says:\n{}",
                    fs::read_to_string(self.folder.join("weebee.log")).unwrap_or_default()
                )));
            }
            let local = socket.local_addr()?;
            socket.send_to(crate::sip_text::options(local, self.sip).as_bytes(), self.sip)?;
            let mut answer = [0; 2048];
            if socket.recv_from(&mut answer).is_ok_and(|_| answer.starts_with(b"SIP/2.0 200")) {
                return Ok(());
            }
        }
        Err(io::Error::other("the gateway did not answer OPTIONS within 15 s"))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn configuration_text(port: u16, calls: usize) -> String {
    format!(
        r#"[sip]
listen = ["udp:127.0.0.1:{port}", "tcp:127.0.0.1:{port}"]
calls_max = {calls_max}

[[trunk]]
name = "bench"
sources = ["127.0.0.1"]
trusted = true
calls_max = {calls_max}

[rtp]
ports = "{first}-{last}"

[http]
listen = "127.0.0.1:{http}"
"#,
        calls_max = calls + 16,
        first = 10_400,
        last = (10_400 + 4 * calls.max(16) as u32 + 63).min(64_999),
        http = port + 1,
    )
}
