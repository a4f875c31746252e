//! `/etc/jitsi/jigasi/config` of Debian's package: a shell file of variables, among them options of Jigasi's command line
//! and properties of its Java machine.

/// One variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value without quotes.
    pub value: String,
    /// Line, from 1.
    pub line: usize,
}

/// Variables of a file; the last of equal names counts, as in a shell.
pub fn read(text: &str) -> Vec<Variable> {
    let mut found: Vec<Variable> = Vec::new();
    for (text, line) in text.lines().zip(1_usize..) {
        let text = text.trim();
        let text = text.strip_prefix("export ").unwrap_or(text);
        let Some((name, value)) = text.split_once('=').filter(|_| !text.starts_with('#')) else {
            continue;
        };
        if name.is_empty() || !name.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '_')
        {
            continue;
        }
        found.retain(|variable| variable.name != name);
        let value = unquoted(value);
        found.push(Variable { name: name.to_owned(), value, line });
    }
    found
}

fn unquoted(text: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(rest) = text.strip_prefix(quote) {
            return rest.split(quote).next().unwrap_or_default().to_owned();
        }
    }
    text.split(" #").next().unwrap_or_default().trim_end().to_owned()
}

/// `--name=value` of a command line.
pub fn options(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let words = text.split_whitespace().filter(|word| word.starts_with("--"));
    words.map(|word| word.split_once('=').unwrap_or((word, "")))
}

/// `-Dname=value` of a Java machine, those that Jigasi reads where its file does not say otherwise.
pub fn properties(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let words = text.split_whitespace().filter_map(|word| word.strip_prefix("-D"));
    let pairs = words.filter_map(|word| word.split_once('='));
    pairs.filter(|(name, _)| {
        name.starts_with("org.jitsi.jigasi.") || name.starts_with("net.java.sip.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_files_are_read_as_a_shell_reads_them() {
        let text = "# JIGASI_OPTS=--min-port=1\nJIGASI_SIPUSER=anna@pbx.test # me\nexport A='b c'\n\
                    JIGASI_OPTS=\"--min-port=30000  --max-port=30100\"\nA=d\nif [ x ]; then\n";
        let read: Vec<_> = read(text).into_iter().map(|it| (it.name, it.value, it.line)).collect();
        let wanted = [
            ("JIGASI_SIPUSER", "anna@pbx.test", 2),
            ("JIGASI_OPTS", "--min-port=30000  --max-port=30100", 4),
            ("A", "d", 5),
        ];
        assert_eq!(read, wanted.map(|(name, value, line)| (name.into(), value.into(), line)));
        let found: Vec<_> = options(&read[1].1).collect();
        assert_eq!(found, [("--min-port", "30000"), ("--max-port", "30100")]);
        let java = "-Xmx1g -Dorg.jitsi.jigasi.STATS_ID=a=b -Djava.util.logging.config.file=/x";
        assert_eq!(properties(java).collect::<Vec<_>>(), [("org.jitsi.jigasi.STATS_ID", "a=b")]);
    }
}
