//! Keys of an old installation with the place each comes from: a line of a file, a variable of the environment, or a
//! default of Docker's templates. Values are trimmed and empty ones do not exist, as Jigasi's own reader has it.

use std::fmt;

use super::properties::Properties;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A line of a file.
    Line {
        /// Name of the file, without its folder.
        file: String,
        /// From 1.
        line: usize,
    },
    /// A variable of the environment, or of a file of such.
    Variable(String),
    /// What docker-jitsi-meet writes where no variable says otherwise.
    Docker,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(formatter, "{file}:{line}"),
            Self::Variable(name) => formatter.write_str(name),
            Self::Docker => formatter.write_str("Docker's default"),
        }
    }
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: String,
    /// Its value, trimmed.
    pub value: String,
    /// Where it stands.
    pub origin: Origin,
}

/// All keys, each once, in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(Vec<Entry>);

impl Keys {
    /// Takes the keys of a file. `origin` says where a line stands. What is there already is replaced.
    pub fn take(&mut self, read: &Properties, origin: impl Fn(usize) -> Origin) {
        for property in &read.entries {
            self.put(&property.key, &property.value, origin(property.line));
        }
    }

    /// One key; what is there already is replaced.
    pub fn put(&mut self, key: &str, value: &str, origin: Origin) {
        let value = value.trim_matches(|sign: char| sign <= ' ').to_owned();
        self.0.retain(|entry| entry.key != key);
        self.0.push(Entry { key: key.to_owned(), value, origin });
    }

    /// All of them, also those with an empty value.
    pub fn all(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    /// A key that has a value.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key && !entry.value.is_empty())
    }

    /// `org.jitsi.jigasi.NAME`.
    pub fn jigasi(&self, name: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| {
            entry.key.strip_prefix(JIGASI).is_some_and(|rest| rest == name)
                && !entry.value.is_empty()
        })
    }

    /// Accounts of a protocol, in the order of the file.
    pub fn accounts(&self, protocol: Protocol) -> Vec<Account<'_>> {
        let mut found: Vec<Account<'_>> = Vec::new();
        for entry in &self.0 {
            let Some(rest) = entry.key.strip_prefix(protocol.prefix()) else { continue };
            let id = rest.split('.').next().unwrap_or_default();
            if id.is_empty() || found.iter().any(|account| account.id == id) {
                continue;
            }
            let head = format!("{}{id}", protocol.prefix());
            let declared = self.get(&head);
            let has = |name: &str| self.get(&format!("{head}.{name}")).is_some();
            // `...sip.SKIP_REINVITE_ON_FOCUS_CHANGE_PROP=true` is no account.
            let is_account = declared.is_some_and(|it| it.value == id)
                || has("USER_ID")
                || has("ACCOUNT_UID")
                || has("SERVER_ADDRESS");
            if is_account {
                let (id, is_declared) = (id.to_owned(), declared.is_some());
                found.push(Account { id, is_declared, first: entry, head, keys: self });
            }
        }
        found
    }
}

/// Protocol of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Telephones.
    Sip,
    /// Rooms.
    Jabber,
}

impl Protocol {
    /// What keys of its accounts begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Sip => "net.java.sip.communicator.impl.protocol.sip.",
            Self::Jabber => "net.java.sip.communicator.impl.protocol.jabber.",
        }
    }
}

/// What Jigasi's own keys begin with.
pub const JIGASI: &str = "org.jitsi.jigasi.";

/// An account: all keys that begin with its name.
#[derive(Clone, Debug)]
pub struct Account<'a> {
    /// Its name, `acc1`.
    pub id: String,
    /// A line `...ACC=ACC` declares it. Without, Jigasi does not see it.
    pub is_declared: bool,
    /// The first of its keys.
    pub first: &'a Entry,
    head: String,
    keys: &'a Keys,
}

impl<'a> Account<'a> {
    /// A property that has a value.
    pub fn get(&self, name: &str) -> Option<&'a Entry> {
        self.keys.get(&format!("{}.{name}", self.head))
    }

    /// Value of a property, empty if there is none.
    pub fn text(&self, name: &str) -> &'a str {
        self.get(name).map_or("", |entry| entry.value.as_str())
    }

    /// Whether a property is `true`, as Java reads it.
    pub fn flag(&self, name: &str, usual: bool) -> bool {
        self.get(name).map_or(usual, Entry::is_true)
    }

    /// Properties whose names begin with this, with the rest of their names.
    pub fn family(&self, prefix: &str) -> Vec<(&'a str, &'a Entry)> {
        let head = format!("{}.{prefix}", self.head);
        let all = self.keys.0.iter();
        all.filter_map(|entry| entry.key.strip_prefix(&head).map(|rest| (rest, entry))).collect()
    }

    /// Whether Jigasi would use it.
    pub fn is_used(&self) -> bool {
        self.is_declared && !self.flag("IS_ACCOUNT_DISABLED", false)
    }
}

impl Entry {
    /// Whether the value is `true`, as Java reads it.
    pub fn is_true(&self) -> bool {
        self.value.eq_ignore_ascii_case("true")
    }

    /// The key without what comes before its last point.
    pub fn short(&self) -> &str {
        self.key.rsplit('.').next().unwrap_or(&self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jigasi::properties;

    fn keys(text: &str) -> Keys {
        let read = properties::read(text.as_bytes()).expect("good");
        let mut keys = Keys::default();
        keys.take(&read, |line| Origin::Line { file: "x".into(), line });
        keys
    }

    #[test]
    fn accounts_are_what_a_line_declares() {
        let sip = Protocol::Sip.prefix();
        let keys = keys(&format!(
            "{sip}SKIP_REINVITE_ON_FOCUS_CHANGE_PROP=true\n{sip}b=b\n{sip}b.USER_ID=u@h\n\
             {sip}a.USER_ID=v@h\n{sip}b.IS_ACCOUNT_DISABLED=TRUE\n{sip}c=c\n{sip}c.PASSWORD=\n"
        ));
        let accounts = keys.accounts(Protocol::Sip);
        let seen: Vec<_> =
            accounts.iter().map(|it| (it.id.as_str(), it.is_declared, it.is_used())).collect();
        assert_eq!(seen, [("b", true, false), ("a", false, false), ("c", true, true)]);
        assert_eq!(accounts[0].text("USER_ID"), "u@h");
        assert!(accounts[2].get("PASSWORD").is_none(), "empty values do not exist");
    }

    #[test]
    fn values_are_trimmed_and_later_files_win() {
        let mut keys = keys("org.jitsi.jigasi.STATS_ID= one \n");
        assert_eq!(keys.jigasi("STATS_ID").map(|it| it.value.as_str()), Some("one"));
        keys.put("org.jitsi.jigasi.STATS_ID", "two", Origin::Docker);
        assert_eq!(keys.jigasi("STATS_ID").map(|it| it.value.as_str()), Some("two"));
        assert_eq!(keys.all().count(), 1);
    }
}
