//! The line of a refused PIN and the filter we ship, held together by the real fail2ban-regex.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use gateway_tests_peers::gateway::{Gateway, TestPhone};
use gateway_tests_peers::require::{self, Peer, repository};
use gateway_tests_peers::sound::Wav;
use gateway_tests_peers::world::World;

/// The second wrong PIN of a caller locks him out: a line of its own.
const SETTINGS: &str = "[[trunk]]\nname = \"phones\"\nsources = [\"127.0.0.1\"]\n";

#[test]
fn fail2ban_reads_who_guesses_from_our_log() {
    if !require::all_there("fail2ban", &[Peer::Fail2ban]) {
        return;
    }
    for format in ["text", "json"] {
        let world = World::new(format);
        let pins = "file = \"pins.sqlite\"\nwrong_per_caller_h = 2";
        let settings = format!("{SETTINGS}[log]\nformat = \"{format}\"\n");
        let gateway = Gateway::start_with_pins(&world, pins, &settings);
        let silence = Wav::silence(8_000, 1.0);
        let mut phones =
            ["one", "two"].map(|id| TestPhone::call(&world, id, "pcma", "121212121", &silence, 7));
        for phone in &mut phones {
            phone.finish(Duration::from_secs(20));
        }
        let log = gateway.log();
        let bans = log.lines().filter(|line| line.contains("PIN refused")).count();
        assert!(bans >= 2, "{log}");
        assert_eq!(log.matches("PIN guesser locked out").count(), 1, "{log}");
        let (matched, addresses) = judge(&world.folder().join("weebee.log"), &log);
        assert_eq!(matched, bans + 1, "all of these lines and no other ({format}):\n{log}");
        assert!(addresses.contains("127.0.0.1"), "{addresses}");
    }
}

/// Matched lines, and what it says of them.
fn judge(file: &Path, log: &str) -> (usize, String) {
    fs::write(file, log).expect("written");
    let filter = repository().join("contrib/fail2ban/weebee.conf");
    let mut command = Command::new("fail2ban-regex");
    let done = command.arg("-v").arg(file).arg(filter).output().expect("it runs");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let lines = said.lines().find(|line| line.starts_with("Lines: ")).unwrap_or_default();
    let matched = lines.split(", ").find_map(|part| part.strip_suffix(" matched"));
    let matched = matched.and_then(|number| number.parse().ok());
    (matched.unwrap_or_else(|| panic!("no verdict: {said}")), said)
}
