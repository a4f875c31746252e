//! `[pin]`: where PINs are kept, what new ones look like and how guessing is slowed down.

use std::path::PathBuf;
use std::time::Duration;

use gateway_core::base::pii::Pii;
use gateway_core::io::xmpp::tls;

use super::raw::Section;
use super::schema::{Kind, SectionDecl, key, whole};
use super::typed::Judge;
use super::values::minutes;
use crate::pin::postgres::PostgresSettings;
use crate::pin::throttle::ThrottleLimits;

/// Its keys.
pub(super) const PIN: SectionDecl = SectionDecl {
    name: "pin",
    many: false,
    commented: false,
    about: "PINs: where they are kept and how guessing is slowed down. `docs/pins.md` explains.",
    keys: &[
        key(
            "file",
            Kind::Text,
            r#""weebee-pins.sqlite""#,
            "The registry (SQLite). It holds keyed hashes, never PINs. Put it on a local disk. Not used with `database`.",
        ),
        key(
            "key_file",
            Kind::Text,
            r#""weebee-pins.key""#,
            "The key of those hashes; made at first use, readable by us alone. Lost key: all PINs are void. Keep its \
             backup apart from the registry's. Gateways that share a database share this key: copy the file.",
        ),
        key(
            "database",
            Kind::Text,
            r#""""#,
            "A PostgreSQL database instead of `file`, for several gateways that share their PINs: \
             \"postgresql://weebee@db.example.org/weebee\", or \"postgresql:///weebee?host=/run/postgresql\" for a \
             socket on this host. Empty: `file`. Another host is talked to by TLS, unless the address says \
             `?sslmode=disable`.",
        ),
        key(
            "database_password_file",
            Kind::Text,
            r#""""#,
            "File with the password of that database and nothing else. Empty: none is needed.",
        ),
        key(
            "database_ca_file",
            Kind::Text,
            r#""""#,
            "Authorities (PEM) that vouch for the database server beside the system's, or its own certificate.",
        ),
        key(
            "digits",
            whole(6, 12, "digits"),
            "9",
            "Length of new PINs. 9 digits and the caps below make a hit by guessing a matter of years; 6 are \
             easier to type and a matter of days.",
        ),
        key(
            "static_digits",
            whole(6, 12, "digits"),
            "12",
            "Length of new PINs of the kind `static`. They stay for ever, so that guessing has time.",
        ),
        key(
            "ttl_h",
            whole(0, 87_600, "h"),
            "24",
            "Life of a new PIN unless `weebee pin add --expires` says otherwise. 0: for ever.",
        ),
        key(
            "personal_ttl_min",
            whole(0, 525_600, "min"),
            "60",
            "Life of a new PIN of the kind `personal`. 0: for ever.",
        ),
        key(
            "grace_min",
            whole(0, 1_440, "min"),
            "10",
            "PINs of a meeting work this long after its end, for those who dropped out. Longer is kinder; shorter \
             leaves fewer PINs to be guessed.",
        ),
        key("tries_per_call", whole(1, 10, "tries"), "3", "Wrong PINs in one call; then goodbye."),
        key(
            "wrong_per_caller_h",
            whole(1, 10_000, "tries per hour"),
            "10",
            "Wrong PINs of one caller per hour; then he is locked out for 15 minutes, doubling.",
        ),
        key(
            "wrong_anonymous_h",
            whole(1, 10_000, "tries per hour"),
            "10",
            "Wrong PINs per hour of all callers of a trunk who show no number, together; then they are locked out as \
             one caller is.",
        ),
        key(
            "wrong_per_trunk_h",
            whole(1, 1_000_000, "tries per hour"),
            "120",
            "Wrong PINs of one trunk per hour. Above it all PINs of this trunk are refused until the hour is over.",
        ),
        key(
            "wrong_global_h",
            whole(1, 1_000_000, "tries per hour"),
            "600",
            "Wrong PINs of all trunks per hour. Above it all PINs are refused until the hour is over: lower stops a \
             guesser on many trunks, higher keeps him from locking out everybody.",
        ),
        key(
            "first_digit_s",
            whole(2, 60, "s"),
            "10",
            "Patience for the first digit after the words.",
        ),
        key("between_digits_s", whole(1, 30, "s"), "5", "Patience between digits."),
    ],
};

/// `[pin]`.
#[derive(Clone, Debug)]
pub struct PinSettings {
    /// The registry.
    pub file: PathBuf,
    /// The key.
    pub key_file: PathBuf,
    /// A database instead of the file.
    pub database: Option<PostgresSettings>,
    /// Length of new PINs.
    pub digits: u8,
    /// Length of new PINs of rooms that stay.
    pub static_digits: u8,
    /// Life of new PINs; `None`: for ever.
    pub ttl: Option<Duration>,
    /// Life of new personal PINs; `None`: for ever.
    pub personal_ttl: Option<Duration>,
    /// Life of a meeting's PINs after its end.
    pub grace: Duration,
    /// Wrong PINs per call.
    pub tries_per_call: u8,
    /// Wrong PINs per hour.
    pub limits: ThrottleLimits,
    /// Patience for the first digit.
    pub first_digit: Duration,
    /// Patience between digits.
    pub between_digits: Duration,
}

impl Judge<'_> {
    /// `None` only together with a mistake.
    pub(super) fn pin(&mut self, section: &Section) -> Option<PinSettings> {
        for key in ["file", "key_file"] {
            if section.text(key).is_empty() {
                self.say(section, key, "is empty; write a file name");
            }
        }
        let limit = |key: &str| u32::try_from(section.whole(key)).unwrap_or(u32::MAX);
        let limits = ThrottleLimits {
            per_caller_h: limit("wrong_per_caller_h"),
            per_anonymous_h: limit("wrong_anonymous_h"),
            per_trunk_h: limit("wrong_per_trunk_h"),
            global_h: limit("wrong_global_h"),
        };
        if limits.global_h < limits.per_trunk_h {
            let what = format!(
                "{} is below wrong_per_trunk_h: one trunk would lock out all others; write {} or more",
                limits.global_h, limits.per_trunk_h
            );
            self.say(section, "wrong_global_h", what);
        }
        let digits = |key: &str| u8::try_from(section.whole(key)).unwrap_or(9);
        if digits("static_digits") < digits("digits") {
            let what =
                format!("is below `digits`, though these PINs stay; write {}", digits("digits"));
            self.say(section, "static_digits", what);
        }
        let life = |minutes_of: u64| Some(minutes_of).filter(|life| *life > 0).map(minutes);
        Some(PinSettings {
            database: self.database(section)?,
            file: self.path(section, "file").unwrap_or_default(),
            key_file: self.path(section, "key_file").unwrap_or_default(),
            digits: digits("digits"),
            static_digits: digits("static_digits"),
            ttl: life(section.whole("ttl_h") * 60),
            personal_ttl: life(section.whole("personal_ttl_min")),
            grace: minutes(section.whole("grace_min")),
            tries_per_call: u8::try_from(section.whole("tries_per_call")).unwrap_or(3),
            limits,
            first_digit: Duration::from_secs(section.whole("first_digit_s")),
            between_digits: Duration::from_secs(section.whole("between_digits_s")),
        })
    }

    /// `None` inside: the file.
    fn database(&mut self, section: &Section) -> Option<Option<PostgresSettings>> {
        let url = section.text("database");
        let password_file = self.path(section, "database_password_file");
        let ca_file = self.path(section, "database_ca_file");
        if url.is_empty() {
            for (key, file) in
                [("database_password_file", &password_file), ("database_ca_file", &ca_file)]
            {
                if file.is_some() {
                    self.say(section, key, "there is no `database`; add it, or remove this");
                }
            }
            return Some(None);
        }
        if let Some(file) = &ca_file
            && let Err(problem) = tls::certificates(file)
        {
            self.say(section, "database_ca_file", problem);
        }
        if section.given("file") {
            self.say(section, "file", "is not used with `database`; remove one of them");
        }
        let password = password_file.map(|file| {
            let text = std::fs::read_to_string(&file)
                .map_err(|error| format!("{}: {error}; put the password there", file.display()))?;
            match text.trim() {
                "" => Err(format!("{} is empty; put the password there", file.display())),
                text => Ok(Pii::new(text.to_owned())),
            }
        });
        let password = self.keep(section, "database_password_file", password.transpose())?;
        self.keep(section, "database", PostgresSettings::new(url, password, ca_file)).map(Some)
    }
}
