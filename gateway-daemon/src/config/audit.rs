//! `[audit]`: who got, used, mistyped and lost PINs, for those who must be able to prove it.

use std::path::PathBuf;

use super::raw::Section;
use super::schema::{Kind, SectionDecl, key, whole};
use super::typed::{Judge, Showing};
use super::values::showing;

/// Its keys.
pub(super) const AUDIT: SectionDecl = SectionDecl {
    name: "audit",
    many: false,
    commented: false,
    about: "The audit log of PINs: one JSON line for each PIN made, used, refused or revoked. `docs/pins.md` has its fields.",
    keys: &[
        key(
            "file",
            Kind::Text,
            r#""weebee-audit.jsonl""#,
            "Where lines are appended; each day (UTC) has its file, weebee-audit-2026-11-21.jsonl. Empty: no audit log.",
        ),
        key(
            "keep_days",
            whole(0, 3_650, "days"),
            "90",
            "Files older than this are removed. 0: never. Longer answers older questions, shorter keeps less about people.",
        ),
        key(
            "sync",
            Kind::OneOf(&["each", "none"]),
            r#""none""#,
            "\"each\": every line is on the disk before the next. \"none\": when the system sees fit; a power cut may \
             cost the last seconds.",
        ),
        key(
            "numbers",
            Kind::OneOf(&["hash", "masked", "full"]),
            r#""hash""#,
            "Telephone numbers: a keyed hash (the same caller has the same hash), their beginning and end, or all of them.",
        ),
        key(
            "rooms",
            Kind::OneOf(&["hash", "name"]),
            r#""hash""#,
            "Room names: a keyed hash, or the name.",
        ),
    ],
};

/// `[audit]`.
#[derive(Clone, Debug)]
pub struct Audit {
    /// The file without its day; `None`: no audit log.
    pub file: Option<PathBuf>,
    /// Days that files are kept; `None`: for ever.
    pub keep_days: Option<u64>,
    /// Each line is on the disk before the next.
    pub sync_each: bool,
    /// Telephone numbers.
    pub numbers: Showing,
    /// Room names.
    pub rooms: Showing,
}

impl Judge<'_> {
    pub(super) fn audit(&mut self, section: &Section) -> Audit {
        let file = self.path(section, "file");
        let names_folder = section.text("file").contains('/');
        let folder = file.as_ref().and_then(|file| file.parent());
        if let Some(folder) = folder.filter(|folder| names_folder && !folder.is_dir()) {
            let what = format!("{} is no folder; create it, or write \"\"", folder.display());
            self.say(section, "file", what);
        }
        Audit {
            file,
            keep_days: Some(section.whole("keep_days")).filter(|days| *days > 0),
            sync_each: section.text("sync") == "each",
            numbers: showing(section.text("numbers")),
            rooms: showing(section.text("rooms")),
        }
    }
}
