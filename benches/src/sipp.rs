//! One run of SIPp at a fixed rate, and what its statistics file says.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What one run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Calls that went through.
    pub successful: u64,
    /// Calls that did not.
    pub failed: u64,
    /// Messages SIPp had to repeat.
    pub retransmitted: u64,
    /// Calls per second over the whole run.
    pub rate: f64,
    /// CPU time of SIPp itself. It has one thread: near the length of the run it is the limit, not the gateway.
    pub own_cpu: Duration,
    /// Length of the run.
    pub length: Duration,
}

impl Outcome {
    /// No failure and no repeat.
    pub fn is_clean(&self) -> bool {
        self.failed == 0 && self.retransmitted == 0 && self.successful > 0
    }
}

/// Runs `scenario` for `calls` calls at `rate` per second against `gateway`. Bounded in count and in time.
pub fn run(scenario: &Path, gateway: SocketAddr, rate: u32, calls: u32) -> io::Result<Outcome> {
    let statistics = std::env::temp_dir().join(format!("weebee-sipp-{}.csv", std::process::id()));
    let _ = fs::remove_file(&statistics);
    let limit = Duration::from_secs(u64::from(calls / rate.max(1)) + 40);
    let (cpu_before, start) = (cpu_of_children(), Instant::now());
    let status = Command::new("sipp")
        .arg("-sf")
        .arg(scenario)
        .arg(gateway.to_string())
        .args(["-s", "bench", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin"])
        .args(["-r", &rate.to_string(), "-m", &calls.to_string(), "-l", "20000"])
        .args(["-timeout", &limit.as_secs().to_string(), "-trace_stat", "-fd", "1"])
        .arg("-stf")
        .arg(&statistics)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| {
            io::Error::other(format!("sipp did not start ({error}); apt-get install sip-tester"))
        })?;
    let (own_cpu, length) = (cpu_of_children().saturating_sub(cpu_before), start.elapsed());
    let text = fs::read_to_string(&statistics).map_err(|error| {
        io::Error::other(format!("sipp ({status}) left no statistics: {error}"))
    })?;
    let _ = fs::remove_file(&statistics);
    let outcome =
        parse(&text).ok_or_else(|| io::Error::other("sipp's statistics could not be read"))?;
    Ok(Outcome { own_cpu, length, ..outcome })
}

/// User and system time of children that ended, from the ticks (of 10 ms) in `/proc/self/stat`.
fn cpu_of_children() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name, in brackets, may hold spaces; the times are the 14th and 15th word after it.
    let words = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = words.skip(13).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

fn parse(text: &str) -> Option<Outcome> {
    let names: Vec<&str> = text.lines().next()?.split(';').collect();
    let values: Vec<&str> = text.lines().last()?.split(';').collect();
    let value = |name: &str| -> Option<&str> {
        values.get(names.iter().position(|candidate| *candidate == name)?).copied()
    };
    Some(Outcome {
        successful: value("SuccessfulCall(C)")?.parse().ok()?,
        failed: value("FailedCall(C)")?.parse().ok()?,
        retransmitted: value("Retransmissions(C)")?.parse().ok()?,
        rate: value("CallRate(C)")?.parse().ok()?,
        ..Outcome::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_the_statistics_counts() {
        let text =
            "CallRate(C);SuccessfulCall(C);FailedCall(C);Retransmissions(C)\n1;1;1;1\n99.5;500;0;2";
        let outcome = parse(text).expect("readable");
        assert_eq!((outcome.successful, outcome.failed, outcome.retransmitted), (500, 0, 2));
        assert!(!outcome.is_clean());
    }
}
