//! `[api]`: who may use `/v1`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use gateway_core::base::pii::Pii;

use super::raw::{Raw, Section};
use super::schema::{Kind, SectionDecl, key, whole};
use super::typed::{Judge, Showing};
use super::values::{count, showing};

/// Its keys.
pub(super) const API: SectionDecl = SectionDecl {
    name: "api",
    many: false,
    commented: false,
    about: "The HTTP interface for programs, /v1 on [http] listen: PINs, calls, rooms. `docs/api.md` has every request.",
    keys: &[
        key(
            "token_files",
            Kind::Texts,
            "[]",
            "Files with one bearer token each, for everything below /v1. Two while a token is being changed. Empty: no /v1 \
             but for what pin_check_token_files allows.",
        ),
        key(
            "pin_check_token_files",
            Kind::Texts,
            "[]",
            "Files with tokens that open POST /v1/pin/check alone: for PBXs, whose dialplans are read by many.",
        ),
        key(
            "per_minute",
            whole(10, 100_000, "requests"),
            "600",
            "Requests of one address in a minute, with a good token or without; ten times as many of all.",
        ),
        key(
            "numbers",
            Kind::OneOf(&["hash", "masked", "full"]),
            r#""masked""#,
            "Telephone numbers in answers: \"hash\" a keyed hash, \"masked\" +62 *** 47, \"full\" as they are. Rooms are \
             always named.",
        ),
    ],
};

/// `[api]`, where a token is given.
#[derive(Clone, Debug)]
pub struct Api {
    /// For everything.
    pub tokens: Vec<Pii<String>>,
    /// For `POST /v1/pin/check`.
    pub check_tokens: Vec<Pii<String>>,
    /// Requests of one address.
    pub per_minute: u32,
    /// Telephone numbers.
    pub numbers: Showing,
}

impl Judge<'_> {
    /// `None` inside: off.
    pub(super) fn api(&mut self, raw: &Raw) -> Option<Option<Api>> {
        let section = raw.one("api");
        let tokens = self.secrets(section, "token_files")?;
        let check_tokens = self.secrets(section, "pin_check_token_files")?;
        if check_tokens.iter().any(|token| tokens.contains(token)) {
            let what =
                "a token is in token_files too, so that PBXs could do everything; make another one";
            self.say(section, "pin_check_token_files", what);
        }
        let is_on = !tokens.is_empty() || !check_tokens.is_empty();
        if is_on && raw.one("http").text("listen").is_empty() {
            let key = if tokens.is_empty() { "pin_check_token_files" } else { "token_files" };
            self.say(section, key, "needs [http] listen; write \"127.0.0.1:8788\" there");
        }
        Some(is_on.then(|| Api {
            tokens,
            check_tokens,
            per_minute: count(section.whole("per_minute")) as u32,
            numbers: showing(section.text("numbers")),
        }))
    }

    fn secrets(&mut self, section: &Section, key: &str) -> Option<Vec<Pii<String>>> {
        let files: Vec<_> = section.texts(key).iter().map(|file| self.folder.join(file)).collect();
        let secrets: Vec<_> =
            files.iter().map(|file| self.keep(section, key, secret_of(file))).collect();
        secrets.into_iter().collect()
    }
}

/// The secret of a file that nobody else may read.
pub(super) fn secret_of(file: &Path) -> Result<Pii<String>, String> {
    let name = file.display();
    let make = format!("make it: (umask 077; openssl rand -hex 24 > {name})");
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}; {make}"))?;
    let mode = std::fs::metadata(file).map_or(0, |it| it.permissions().mode());
    if mode & 0o007 != 0 {
        return Err(format!("{name} can be read by everybody on this machine; chmod 640 {name}"));
    }
    let text = text.trim();
    if text.len() < SECRET_CHARS_MIN {
        return Err(format!("{name}: shorter than {SECRET_CHARS_MIN} characters; {make}"));
    }
    if text.chars().any(|sign| !sign.is_ascii_graphic()) {
        return Err(format!("{name}: holds spaces or other signs no header may have; {make}"));
    }
    Ok(Pii::new(text.to_owned()))
}

/// As `[http]` wants of its token.
const SECRET_CHARS_MIN: usize = 16;
