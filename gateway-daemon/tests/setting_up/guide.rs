//! Every `weebee` command that the papers tell people to type, typed in a site that is set up as they say.

use std::fs;
use std::path::Path;

use crate::place::{GOOD, Place, chat};

/// Pages for those who set up and run a gateway.
const PAGES: [&str; 7] = [
    "README.md",
    "docs/pins.md",
    "docs/dial-in.md",
    "docs/rocketchat.md",
    "docs/jitsi.md",
    "docs/browser.md",
    "docs/dialplans.md",
];

/// What a command is typed for.
enum Kind {
    /// Does its work alone.
    Alone,
    /// Wants a gateway that is not there: fails, but not for how it is written (64).
    Asks,
    /// Runs for ever, or is not a whole command.
    Other,
}

fn kind(arguments: &[&str]) -> Kind {
    match arguments {
        [.., last] if ["...", "NAME"].contains(last) => Kind::Other,
        ["run", ..] | [] | ["migrate", ..] => Kind::Other,
        // Both wait half a minute for a far side; tests with one hold them.
        _ if arguments.contains(&"--live") => Kind::Other,
        ["call", ..] => Kind::Other,
        ["calls", ..] => Kind::Asks,
        // In passing: "`weebee check` warns".
        ["check" | "setup" | "pin" | "link", ..] if !arguments.contains(&"--config") => Kind::Other,
        _ => Kind::Alone,
    }
}

#[test]
fn commands_of_the_papers_work_as_written() {
    let place = Place::new("guide");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let address = runtime.block_on(chat(None));
    let site = GOOD.replace("https://chat.test", &address).replace("127.0.0.1:0", "127.0.0.1:1");
    place.configure(&site.replace("[dial_in]", "[browser]\nenabled = true\n[dial_in]"));
    let mut id = String::new();
    let (mut typed, mut wrong) = (0, Vec::new());
    for page in PAGES {
        for command in commands(page) {
            let words = split(&command.replace(" ID", &format!(" {id}")));
            let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
            let said = match kind(&arguments) {
                Kind::Other => continue,
                _ => place.weebee(&arguments),
            };
            typed += 1;
            let code = said.split(':').next().unwrap_or_default();
            let fits = match kind(&arguments) {
                Kind::Alone => code == "0",
                _ => code == "1",
            };
            if !fits {
                wrong.push(format!("{page}: weebee {command}\n{said}"));
            }
            if let ["pin", "list", ..] = arguments[..] {
                let line = said.lines().find(|line| line.contains("standup")).unwrap_or_default();
                line.split_whitespace().next().unwrap_or_default().clone_into(&mut id);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(typed >= 12, "the reader found only {typed} commands: it is broken");
}

#[test]
fn configurations_of_the_guides_are_good() {
    let place = Place::new("guide-toml");
    for page in ["docs/dial-in.md", "docs/rocketchat.md"] {
        let text = page_of(page);
        let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let blocks: Vec<String> = blocks
            .map(|block| block.replace("/etc/weebee/rocketchat.token", "chat.token"))
            .collect();
        assert!(!blocks.is_empty(), "{page} shows none");
        for block in blocks {
            let jitsi = "[room]\nbackend = \"jitsi\"\n[[conference.jitsi]]\nname = \"jitsi\"\ndomain = \"meet.test\"\n";
            let trunk = "[[trunk]]\nname = \"pbx\"\nsources = [\"127.0.0.1\"]\n";
            let said = place.run(&format!("{jitsi}{trunk}{block}"), &["check"]);
            assert!(said.starts_with("0:"), "{page}:\n{block}\n{said}");
        }
    }
}

/// What stands behind `weebee ` in a line of its own or between backticks.
pub fn commands(page: &str) -> Vec<String> {
    let text = page_of(page);
    let mut found = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('|')) {
        let start = line.trim_start().trim_start_matches("target/release/");
        if let Some(rest) = start.strip_prefix("weebee ") {
            let rest = rest.split(" #").next().unwrap_or_default();
            found.push(rest.split(" > ").next().unwrap_or_default().trim().to_owned());
        }
        let spans = line.split('`').skip(1).step_by(2);
        let spans = spans.filter_map(|span| span.strip_prefix("weebee "));
        found.extend(spans.map(|rest| rest.split(" > ").next().unwrap_or_default().to_owned()));
    }
    found
}

pub fn page_of(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// As a shell would, with double quotes alone.
pub fn split(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in command.split('"').enumerate() {
        match number % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}
