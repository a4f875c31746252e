//! The suite of all registries on SQLite, each gateway with its own connection to one file.

mod suite;

use std::path::Path;

use gateway_daemon::pin::sqlite::SqliteRegistry;

#[test]
fn sqlite_does_what_every_registry_must() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("registry");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("made");
    let (file, key) = (folder.join("pins.sqlite"), folder.join("pins.key"));
    suite::run(&|| Box::new(SqliteRegistry::open(&file, &key).expect("opens")));
}
