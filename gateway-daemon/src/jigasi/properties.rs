//! Java properties, as `java.util.Properties.load` reads them: `=`, `:` or a blank ends a key, `\` continues a line,
//! `\t` `\n` `\r` `\f` and `\uXXXX` are escapes, any other sign after `\` is itself, `#` and `!` begin comments.
//!
//! One difference: a file that is UTF-8 is read as such; Java reads every file as Latin-1, and a password with an accent
//! never worked there. Refuses what Java refuses (a broken `\u`), and files of a size that no configuration has.

use crate::config::Mistake;

/// Largest file, in bytes. Jigasi's own sample has 15,000; a thousand accounts have half a million.
pub const FILE_MAX: usize = 1 << 20;

/// One key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The key, escapes undone.
    pub key: String,
    /// The value, escapes undone. Blanks at its end belong to it.
    pub value: String,
    /// Line on which it begins, from 1.
    pub line: usize,
}

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// Every key once, in the order of lines: of several lines with one key the last counts.
    pub entries: Vec<Property>,
    /// Lines that do not count, because a later one has the same key: line, key, the line that counts.
    pub hidden: Vec<(usize, String, usize)>,
    /// Lines in which Java would read other signs than we did.
    pub not_latin: Vec<usize>,
}

/// Reads a file.
pub fn read(bytes: &[u8]) -> Result<Properties, Vec<Mistake>> {
    if bytes.len() > FILE_MAX {
        let text = format!("has {} bytes; no configuration is that long", bytes.len());
        return Err(vec![Mistake { line: 0, text }]);
    }
    let (text, is_utf8) = decoded(bytes);
    let mut found = Properties::default();
    let mut mistakes = Vec::new();
    for (line, logical) in logical_lines(&text) {
        if is_utf8 && !logical.is_ascii() {
            found.not_latin.push(line);
        }
        let (key, value) = halves(&logical);
        match (unescaped(key), unescaped(value)) {
            (Some(key), Some(value)) => found.entries.push(Property { key, value, line }),
            _ => {
                let text = "`\\u` must be followed by four hexadecimal digits (Java refuses the whole file); a \
                            backslash itself is written `\\\\`";
                mistakes.push(Mistake { line, text: text.to_owned() });
            }
        }
    }
    found.keep_last();
    if mistakes.is_empty() { Ok(found) } else { Err(mistakes) }
}

impl Properties {
    fn keep_last(&mut self) {
        let mut last = std::collections::BTreeMap::new();
        for entry in &self.entries {
            last.insert(entry.key.clone(), entry.line);
        }
        let hidden = &mut self.hidden;
        self.entries.retain(|entry| {
            let counts = last.get(&entry.key).copied().unwrap_or(entry.line);
            if counts != entry.line {
                hidden.push((entry.line, entry.key.clone(), counts));
            }
            counts == entry.line
        });
    }
}

/// UTF-8 where it is that, without its mark of order; else Latin-1.
fn decoded(bytes: &[u8]) -> (String, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.strip_prefix('\u{feff}').unwrap_or(text).to_owned(), true),
        Err(_) => (bytes.iter().copied().map(char::from).collect(), false),
    }
}

const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

/// Lines put together where `\` continues them, comments and empty ones left out, with the line on which each begins.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let lines = natural_lines(text);
    let count = lines.len();
    let mut lines = lines.into_iter().zip(1_usize..);
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (line, number) in &mut lines {
        let line = line.trim_start_matches(BLANKS);
        let (begins, mut whole) = match open.take() {
            Some(begun) => begun,
            None if line.is_empty() || line.starts_with(['#', '!']) => continue,
            None => (number, String::new()),
        };
        let backslashes = line.chars().rev().take_while(|sign| *sign == '\\').count();
        let goes_on = backslashes % 2 == 1;
        whole.push_str(if goes_on { line.strip_suffix('\\').unwrap_or(line) } else { line });
        // A lone backslash begins nothing yet: what follows it may be a comment.
        match (goes_on, whole.is_empty()) {
            // At the end of a file it is, to Java, a key without a name.
            (true, true) if number == count && !text.ends_with("\r\n") => {
                found.push((begins, whole));
            }
            (true, true) => {}
            (true, false) => open = Some((begins, whole)),
            (false, true) => {}
            (false, false) => found.push((begins, whole)),
        }
    }
    found.extend(open);
    found
}

/// Lines by any of the three ends of line.
fn natural_lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.bytes().position(|byte| matches!(byte, b'\r' | b'\n'));
        let end = end.unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        lines.push(line);
        rest = after.strip_prefix("\r\n").or_else(|| after.get(1..)).unwrap_or_default();
    }
    lines
}

/// Key and value, escapes still in them.
fn halves(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let ends = line.find(|sign: char| {
        let is_end = !escaped && (BLANKS.contains(&sign) || sign == '=' || sign == ':');
        escaped = sign == '\\' && !escaped;
        is_end
    });
    let (key, rest) = line.split_at(ends.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(BLANKS);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, value.trim_start_matches(BLANKS))
}

/// Escapes undone; `None`: a broken `\u`.
fn unescaped(text: &str) -> Option<String> {
    if !text.contains('\\') {
        return Some(text.to_owned());
    }
    // Java's characters are UTF-16: one of ours may be written as two escapes.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut signs = text.chars();
    let mut buffer = [0; 2];
    while let Some(sign) = signs.next() {
        let sign = match sign {
            '\\' => match signs.next() {
                Some('u') => {
                    units.push(hexadecimal(&mut signs)?);
                    continue;
                }
                Some('t') => '\t',
                Some('r') => '\r',
                Some('n') => '\n',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => break,
            },
            other => other,
        };
        units.extend_from_slice(sign.encode_utf16(&mut buffer));
    }
    Some(String::from_utf16_lossy(&units))
}

fn hexadecimal(signs: &mut std::str::Chars<'_>) -> Option<u16> {
    let mut unit = 0_u16;
    for _ in 0..4 {
        let digit = signs.next()?.to_digit(16)?;
        unit = (unit << 4) | u16::try_from(digit).ok()?;
    }
    Some(unit)
}

#[cfg(test)]
mod tests {
    use gateway_core::base::rng::Rng;

    use super::*;
    use crate::testing::mutated;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let read = read(text.as_bytes()).expect(text);
        read.entries.into_iter().map(|entry| (entry.key, entry.value)).collect()
    }

    /// Text, and what `java.util.Properties` of JDK 17 makes of it.
    const AS_JAVA: &[(&str, &[(&str, &str)])] = &[
        ("a=b", &[("a", "b")]),
        ("  a  =  b  ", &[("a", "b  ")]),
        ("a:b\nc d\ne\tf\n", &[("a", "b"), ("c", "d"), ("e", "f")]),
        ("a = = b", &[("a", "= b")]),
        ("a", &[("a", "")]),
        ("=b", &[("", "b")]),
        ("a\n \\", &[("a", ""), ("", "")]),
        ("a\n\\\n", &[("a", ""), ("", "")]),
        ("a\n\\\r\n", &[("a", "")]),
        ("# a=b\n! c=d\n  #e=f\ng=h", &[("g", "h")]),
        ("a=b#c!d", &[("a", "b#c!d")]),
        ("a=b\\\n   c\\\r\n\td", &[("a", "bcd")]),
        ("a=b\\\n\nc=d", &[("a", "b"), ("c", "d")]),
        ("a=b\\\n#c\nd=e", &[("a", "b#c"), ("d", "e")]),
        ("\\\n#a=b\nc=d", &[("c", "d")]),
        ("# a \\\nb=c", &[("b", "c")]),
        ("a=b\\\\\nc=d", &[("a", "b\\"), ("c", "d")]),
        ("a=b\\", &[("a", "b")]),
        ("SIP\\:x=SIP\\:y", &[("SIP:x", "SIP:y")]),
        ("a\\ b\\=c=d", &[("a b=c", "d")]),
        ("a=\\u0041\\t\\n\\q\\\"", &[("a", "A\t\nq\"")]),
        ("a=\\ud83d\\ude00", &[("a", "\u{1f600}")]),
        ("a=1\r\rb=2\r\n", &[("a", "1"), ("b", "2")]),
        ("j=[\"a\", \"b\"]", &[("j", "[\"a\", \"b\"]")]),
        ("\u{c} a=b", &[("a", "b")]),
    ];

    #[test]
    fn files_mean_what_java_means() {
        for (text, wanted) in AS_JAVA {
            let wanted: Vec<(String, String)> =
                wanted.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
            assert_eq!(pairs(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn the_last_of_equal_keys_counts_and_the_others_are_said() {
        let read = read(b"a=1\nb=2\na=3\n").expect("good");
        let lines: Vec<_> = read.entries.iter().map(|it| (it.line, it.value.as_str())).collect();
        assert_eq!(lines, [(2, "2"), (3, "3")]);
        assert_eq!(read.hidden, [(1, "a".to_owned(), 3)]);
    }

    #[test]
    fn accents_are_read_in_both_ways_of_writing() {
        assert_eq!(pairs("a=caf\u{e9}"), [("a".to_owned(), "caf\u{e9}".to_owned())]);
        assert_eq!(read("x=1\na=\u{e9}".as_bytes()).expect("good").not_latin, [2]);
        let latin = read(b"a=caf\xe9").expect("good");
        assert_eq!((latin.entries[0].value.as_str(), latin.not_latin.len()), ("caf\u{e9}", 0));
        assert_eq!(pairs("\u{feff}a=b"), [("a".to_owned(), "b".to_owned())]);
    }

    #[test]
    fn broken_escapes_are_all_said_with_their_lines() {
        let mistakes = read(b"a=\\u12\nb=fine\nc=\\uzzzz\n").expect_err("Java refuses it, too");
        let lines: Vec<usize> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [1, 3]);
        assert!(read(&vec![b'a'; FILE_MAX + 1]).is_err());
    }

    /// 5,000 by default; `WEEBEE_JIGASI_MUTATIONS=1000000` for the long run.
    #[test]
    fn broken_files_never_panic() {
        let asked = std::env::var("WEEBEE_JIGASI_MUTATIONS").ok();
        let runs = asked.and_then(|count| count.parse().ok()).unwrap_or(5_000);
        let mut rng = Rng::from_number(7).fork("properties");
        let all: Vec<&str> = AS_JAVA.iter().map(|(text, _)| *text).collect();
        let seeds = [all.join("\n"), super::super::fixtures::SAMPLE.to_owned()];
        let mut good = 0;
        for run in 0..runs {
            let text = mutated(&seeds[run % 2], &mut rng);
            let Ok(read) = read(text.as_bytes()) else { continue };
            good += 1;
            let lines = natural_lines(&text).len();
            assert!(read.entries.iter().all(|it| (1..=lines).contains(&it.line)), "{text:?}");
            assert!(read.entries.windows(2).all(|two| two[0].line < two[1].line), "{text:?}");
        }
        assert!(good > runs / 4, "only {good} of {runs} were read: the mutations are too rough");
    }

    /// Texts of the signs that matter, compared with the Java machine of this host. `WEEBEE_JIGASI_JAVA=20000` asks for it.
    #[test]
    fn random_files_mean_what_the_java_machine_says() {
        let asked = std::env::var("WEEBEE_JIGASI_JAVA").ok().and_then(|count| count.parse().ok());
        let Some(runs) = asked else {
            eprintln!(
                "SKIPPED: WEEBEE_JIGASI_JAVA=20000 compares with java.util.Properties (JDK 17)"
            );
            return;
        };
        const SIGNS: [&str; 18] = [
            "a",
            "b",
            "=",
            ":",
            " ",
            "\t",
            "\u{c}",
            "#",
            "!",
            "\\",
            "\n",
            "\r",
            "\r\n",
            "\\u",
            "0041",
            "\\\n",
            "n",
            "\\ud83d\\ude00",
        ];
        let mut rng = Rng::from_number(9).fork("java");
        let text = |rng: &mut Rng| -> String {
            (0..rng.below(24)).map(|_| SIGNS[rng.below(18) as usize]).collect()
        };
        let mut texts: Vec<String> = (0..runs).map(|_: u32| text(&mut rng)).collect();
        texts.extend(AS_JAVA.iter().map(|(text, _)| text.to_string()).filter(|it| it.is_ascii()));
        let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        let ours = |text: &String| match read(text.as_bytes()) {
            Err(_) => "refused".to_owned(),
            Ok(read) => {
                // Half a character: Java writes it as a question mark.
                let plain = |text: &str| hex(&text.replace('\u{fffd}', "?"));
                let entries = read.entries.iter().map(|it| (plain(&it.key), plain(&it.value)));
                let sorted: std::collections::BTreeMap<_, _> = entries.collect();
                let pairs: Vec<String> = sorted.iter().map(|(a, b)| format!("{a}={b}")).collect();
                format!("{{{}}}", pairs.join(", "))
            }
        };
        let theirs = by_java(texts.iter().map(|text| hex(text)).collect::<Vec<_>>().join("\n"));
        assert_eq!(theirs.lines().count(), texts.len());
        for (text, theirs) in texts.iter().zip(theirs.lines()) {
            assert_eq!(ours(text), theirs, "{text:?}");
        }
    }

    fn by_java(input: String) -> String {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let source =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/jigasi-config/Reference.java");
        let mut java = Command::new("java");
        java.arg(source).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = java.spawn().expect("WEEBEE_JIGASI_JAVA needs `java`");
        let mut stdin = child.stdin.take().expect("piped");
        let writer = std::thread::spawn(move || stdin.write_all(format!("{input}\n").as_bytes()));
        let done = child.wait_with_output().expect("ran");
        writer.join().expect("no panic").expect("written");
        String::from_utf8(done.stdout).expect("hexadecimal")
    }
}
