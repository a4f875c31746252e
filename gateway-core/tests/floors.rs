//! The house stands: imports inside `gateway-core` go strictly downward (ARCHITECTURE.md, "Floors and arrows").
//!
//! The test reads every source file for paths that begin with `crate::` and holds the floor of the file against the
//! floor of what it names. On floor 2 the families (sip, media, rtp ...) do not know each other; a kind of leg does not
//! know another kind; `call` and `shard` do not know each other; sockets and runtimes exist in `io` only.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Floors by module path; the longest prefix counts. A module that is not here fails the test: give it a floor.
const FLOORS: &[(&str, u8)] = &[
    ("base", 0),
    ("sip::wire", 1),
    ("sip::sdp", 1),
    ("rtp::wire", 1),
    ("jitsi::stanza", 1),
    // Reads recordings for the tests of those above.
    ("jitsi::capture", 1),
    ("sip", 2),
    ("media", 2),
    ("rtp", 2),
    ("jitsi", 2),
    ("webrtc", 2),
    ("leg", 3),
    ("call", 4),
    ("shard", 4),
    ("gateway", 5),
    ("io", 6),
];

/// Modules with doors to the outside world, and the only module that may open them.
const OUTSIDE: &[&str] =
    &["tokio", "nix", "socket2", "rtrb", "std::net::UdpSocket", "std::net::TcpStream"];

/// Arrows that are against the rule and stay, each with its reason: (file's module, what it names).
/// One that is no longer needed fails the test too.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("sip", "media::dtmf", "a key pressed is the same value whether it came by INFO or by RTP"),
    (
        "sip::offer_answer",
        "media::codec",
        "codec::TABLE is the one list of what may be offered; a second one would drift from it",
    ),
    (
        "sip::offer_answer",
        "rtp::session",
        "an agreed offer/answer *is* an RtpSession: a plain value, and the only thing said to the media half",
    ),
    (
        "webrtc",
        "rtp::srtp",
        "the keys of DTLS-SRTP become SRTP inside the transport: nobody else ever holds them",
    ),
    (
        "rtp::session",
        "media::codec",
        "the agreed plan of a leg names its codec; both legs and SDP read it",
    ),
];

/// One path found in a file.
#[derive(Debug)]
struct Arrow {
    file: PathBuf,
    line: usize,
    /// Module of the file, for example `media::clip::pack`.
    from: String,
    /// What it names after `crate::`, for example `media::frame::SampleRate`.
    to: String,
}

#[test]
fn imports_go_downward() {
    let arrows = all_arrows();
    assert!(arrows.len() > 100, "the reader found only {} paths: it is broken", arrows.len());
    let mut used = BTreeSet::new();
    let mut faults = Vec::new();
    for arrow in &arrows {
        let Some(fault) = fault(&arrow.from, &arrow.to) else { continue };
        match exception(arrow) {
            Some(index) => _ = used.insert(index),
            None => faults.push(format!("{}:{}: {fault}", short(&arrow.file), arrow.line)),
        }
    }
    assert!(faults.is_empty(), "arrows against the floors:\n{}", faults.join("\n"));
    for (index, (from, to, _)) in EXCEPTIONS.iter().enumerate() {
        assert!(
            used.contains(&index),
            "the exception {from} -> {to} is no longer needed: remove it"
        );
    }
}

#[test]
fn only_io_opens_doors_to_the_outside() {
    let mut faults = Vec::new();
    for (file, module) in source_files() {
        if module.starts_with("io") {
            continue;
        }
        for (number, line) in code_of(&file).lines().enumerate() {
            let opened = OUTSIDE.iter().find(|door| {
                words_in(line).any(|path| path == **door || path.starts_with(&format!("{door}::")))
            });
            if let Some(door) = opened {
                faults.push(format!("{}:{}: names {door}", short(&file), number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "outside of io:\n{}", faults.join("\n"));
}

#[test]
fn the_rules_say_no_where_they_should() {
    for (from, to) in [
        ("base::ids", "sip::wire::Uri"),
        ("sip::wire::uri", "sip::dialog::Dialog"),
        ("sip::dialog", "media::codec::CodecKind"),
        ("media::clip", "rtp::seq::ExtendedSeq"),
        ("media::jitter", "leg::media::ToMedia"),
        ("leg::trunk::media", "leg::room::media::RoomMedia"),
        ("leg::media", "call::CallSettings"),
        ("call::asking", "shard::Shard"),
        ("shard", "call::Call"),
        ("shard", "gateway::Gateway"),
        ("gateway", "io::signalling"),
        ("unheard::of", "base::ids"),
    ] {
        assert!(fault(from, to).is_some(), "{from} -> {to} must be refused");
    }
    for (from, to) in [
        ("sip::dialog", "sip::transaction::Transaction"),
        ("sip::dialog", "sip::wire::Uri"),
        ("sip::offer_answer", "sip::sdp::Session"),
        ("media::ingress", "rtp::wire::header::Header"),
        ("leg::trunk::signal", "sip::endpoint::Endpoint"),
        ("leg::trunk::signal", "leg::backend::RoomName"),
        ("leg::media", "leg::trunk::media::TrunkMedia"),
        ("shard::plane", "leg::media::ToMedia"),
        ("gateway", "call::Call"),
        ("io::media", "shard::Shard"),
        ("tests", "io::media"),
    ] {
        assert_eq!(fault(from, to), None, "{from} -> {to}");
    }
}

#[test]
fn paths_are_found_in_every_shape() {
    let text = "use crate::base::ids::CallKey;\n// crate::io::Nothing\nuse crate::{\n    leg::media::{ToMedia, self},\n    \
                sip::Endpoint,\n};\nlet x = \"crate::io\"; crate::gateway::run(crate::base::now());";
    let found: Vec<String> =
        paths(&without_comments_and_strings(text)).map(|(_, path)| path).collect();
    assert_eq!(
        found,
        ["base::ids::CallKey", "leg::media", "sip::Endpoint", "gateway::run", "base::now",]
    );
}

/// Why this arrow is not allowed.
fn fault(from: &str, to: &str) -> Option<String> {
    // `lib.rs` itself and tests of the whole crate see everything.
    if from.is_empty() || from.starts_with("tests") {
        return None;
    }
    let (Some(above), Some(below)) = (floor(from), floor(to)) else {
        return Some(format!("{from} names {to}: one of them has no floor in this test"));
    };
    let (family, other) = (first(from), first(to));
    if above < below {
        return Some(format!("{from} (floor {above}) names {to} (floor {below})"));
    }
    if above == below && family != other {
        return Some(format!("{from} names {to}: both are on floor {above}"));
    }
    let (kind, other_kind) = (leg_kind(from)?, leg_kind(to)?);
    (kind != other_kind).then(|| format!("{from} names {to}: kinds of legs do not know each other"))
}

fn floor(path: &str) -> Option<u8> {
    let inside = |prefix: &str| path == prefix || path.starts_with(&format!("{prefix}::"));
    FLOORS.iter().find(|(prefix, _)| inside(prefix)).map(|(_, floor)| *floor)
}

fn first(path: &str) -> &str {
    path.split("::").next().unwrap_or_default()
}

/// The kind of leg that a module belongs to; what all legs share belongs to none.
fn leg_kind(path: &str) -> Option<&str> {
    let mut parts = path.split("::");
    let kind = (parts.next() == Some("leg")).then(|| parts.next()).flatten()?;
    ["trunk", "room", "jitsi", "loopback", "browser"].contains(&kind).then_some(kind)
}

fn exception(arrow: &Arrow) -> Option<usize> {
    EXCEPTIONS
        .iter()
        .position(|(from, to, _)| arrow.from.starts_with(from) && arrow.to.starts_with(to))
}

fn all_arrows() -> Vec<Arrow> {
    let mut arrows = Vec::new();
    for (file, from) in source_files() {
        let code = code_of(&file);
        for (line, to) in paths(&code) {
            // Names of the crate root, such as a macro, are no module.
            if to.contains("::") || floor(&to).is_some() {
                arrows.push(Arrow { file: file.clone(), line, from: from.clone(), to });
            }
        }
    }
    arrows
}

/// Every source file of the crate with its module path; `lib.rs` has the empty one.
fn source_files() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the crate's sources are readable") {
            let path = entry.expect("the crate's sources are readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&root).expect("found below it").with_extension("");
                let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
                let module = parts.join("::");
                let module = module.strip_suffix("::mod").unwrap_or(&module);
                let module = if module == "lib" { "" } else { module };
                files.push((path, module.to_owned()));
            }
        }
    }
    files.sort();
    files
}

/// The file from the crate's folder on.
fn short(file: &Path) -> String {
    file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(file).display().to_string()
}

fn code_of(file: &Path) -> String {
    without_comments_and_strings(
        &fs::read_to_string(file).expect("the crate's sources are readable"),
    )
}

/// The code with comments and the insides of plain strings blanked, line breaks kept.
fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines() {
        let mut in_string = false;
        let mut previous = ' ';
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            if !in_string && character == '/' && characters.peek() == Some(&'/') {
                break;
            }
            if character == '"' && previous != '\\' && previous != '\'' {
                in_string = !in_string;
            } else if !in_string {
                code.push(character);
            }
            previous = character;
        }
        code.push('\n');
    }
    code
}

/// What follows each `crate::`, groups opened, with the number of the line.
fn paths(code: &str) -> impl Iterator<Item = (usize, String)> {
    let mut found = Vec::new();
    for (place, marker) in code.match_indices("crate::") {
        let before = code[..place].chars().next_back().unwrap_or(' ');
        // `$crate::` of a macro is the same crate; `other_crate::` is not.
        if before.is_alphanumeric() || before == '_' {
            continue;
        }
        let line = code[..place].matches('\n').count() + 1;
        let rest = &code[place + marker.len()..];
        match rest.strip_prefix('{') {
            None => found.push((line, leading_path(rest))),
            Some(group) => {
                found.extend(group_members(group).map(|member| (line, leading_path(member))))
            }
        }
    }
    found.into_iter()
}

/// Members of a `{` group up to its end, nested groups not opened.
fn group_members(group: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    let mut start = 0;
    let mut members = Vec::new();
    for (place, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                members.push(&group[start..place]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(&group[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    members.into_iter().map(str::trim).filter(|member| !member.is_empty())
}

/// The longest `a::b::c` at the start of the text.
fn leading_path(text: &str) -> String {
    let end =
        text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').unwrap_or(text.len());
    text[..end].trim_end_matches(':').to_owned()
}

/// All paths and words in a line.
fn words_in(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
        .filter(|word| !word.is_empty())
}
