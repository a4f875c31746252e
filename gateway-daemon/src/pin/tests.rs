//! The registry on real files, with disks that fail in the ways disks fail.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gateway_core::base::ids::TrunkId;
use gateway_core::base::rng::Rng;
use gateway_core::base::time::WallClock;
use gateway_core::leg::backend::{Role, RoomName};
use gateway_core::media::clip::Language;

use super::draw::draw;
use super::sqlite::SqliteRegistry;
use super::throttle::{CallerBucket, Cap, Throttle, ThrottleLimits};
use super::*;
use crate::testing::Folder;

struct Files {
    folder: Folder,
    file: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let (file, key) = (folder.path().join("pins.sqlite"), folder.path().join("pins.key"));
        Self { folder, file, key }
    }

    fn open(&self) -> SqliteRegistry {
        SqliteRegistry::open(&self.file, &self.key).expect("opens")
    }
}

fn at(seconds: u64) -> WallClock {
    WallClock { unix: Duration::from_secs(1_800_000_000 + seconds) }
}

fn tea() -> NewPin {
    let room = RoomName::new("tea").expect("name");
    NewPin {
        language: Some(Language::Ru),
        expires: Some(at(3_600)),
        ..NewPin::new(room, PinKind::Guest, 9)
    }
}

fn ask(digits: &Pii<String>) -> PinAsk {
    PinAsk { digits: digits.clone(), room: None, caller: None, spend: true }
}

fn refused(verdict: Result<Verdict, RegistryError>) -> Refusal {
    match verdict.expect("the registry works") {
        Verdict::Refused(why) => why,
        Verdict::Valid(grant) => panic!("let in: {grant:?}"),
    }
}

fn is_valid(verdict: &Result<Verdict, RegistryError>) -> bool {
    matches!(verdict, Ok(Verdict::Valid(_)))
}

#[test]
fn pins_outlive_the_process_and_the_disk_holds_no_pin() {
    let files = Files::new("disk");
    let mut rng = Rng::from_number(3);
    let pin = files.open().add(&tea(), at(0), &mut rng).expect("added");
    assert!(is_valid(&files.open().look_up(&ask(&pin.digits), at(1))));
    for entry in fs::read_dir(files.folder.path()).expect("folder") {
        let path = entry.expect("entry").path();
        let bytes = fs::read(&path).expect("readable");
        let digits = pin.digits.reveal().as_bytes();
        assert!(!bytes.windows(digits.len()).any(|window| window == digits), "{}", path.display());
    }
    for file in [&files.key, &files.file] {
        let mode = fs::metadata(file).expect("exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn a_lost_or_foreign_key_is_said_and_not_replaced() {
    let files = Files::new("key");
    files.open();
    let key = fs::read(&files.key).expect("made");
    fs::remove_file(&files.key).expect("removed");
    let error = SqliteRegistry::open(&files.file, &files.key).expect_err("refused").to_string();
    assert!(error.contains("is missing") && error.contains("backup"), "{error}");
    assert!(!files.key.exists());
    fs::write(&files.key, "00".repeat(32)).expect("written");
    let error = SqliteRegistry::open(&files.file, &files.key).expect_err("refused").to_string();
    assert!(error.contains("is not the key that"), "{error}");
    fs::write(&files.key, "nonsense").expect("written");
    let error = SqliteRegistry::open(&files.file, &files.key).expect_err("refused").to_string();
    assert!(error.contains("64 hexadecimal digits"), "{error}");
    fs::write(&files.key, key).expect("written");
    files.open();
}

#[test]
fn a_locked_registry_is_an_error_and_comes_back() {
    let files = Files::new("locked");
    let mut registry = files.open();
    let mut rng = Rng::from_number(5);
    let once = NewPin { uses_max: Some(1), ..tea() };
    let limited = registry.add(&once, at(0), &mut rng).expect("added");
    let free = registry.add(&tea(), at(0), &mut rng).expect("added");
    let holder = rusqlite::Connection::open(&files.file).expect("opens");
    holder.execute_batch("BEGIN EXCLUSIVE").expect("locks");
    assert!(is_valid(&registry.look_up(&ask(&free.digits), at(1))), "reading needs no lock");
    let error = registry.look_up(&ask(&limited.digits), at(1)).expect_err("locked").to_string();
    assert!(error.contains("pins.sqlite") && error.contains("end the program"), "{error}");
    holder.execute_batch("ROLLBACK").expect("unlocks");
    assert!(is_valid(&registry.look_up(&ask(&limited.digits), at(1))), "the use was not lost");
}

#[test]
fn a_registry_that_vanished_is_an_error_and_not_an_empty_one() {
    let files = Files::new("vanished");
    let mut registry = files.open();
    let pin = registry.add(&tea(), at(0), &mut Rng::from_number(6)).expect("added");
    // A failure drops the connection; the file is gone when the next one is opened.
    let away = files.folder.path().join("away");
    fs::write(&away, "").expect("written");
    registry.forget_connection();
    for name in ["pins.sqlite", "pins.sqlite-wal", "pins.sqlite-shm"] {
        let from = files.folder.path().join(name);
        if from.exists() {
            fs::rename(&from, files.folder.path().join(format!("kept-{name}"))).expect("moved");
        }
    }
    let error = registry.look_up(&ask(&pin.digits), at(1)).expect_err("no file").to_string();
    assert!(error.contains("check that the folder exists"), "{error}");
    for name in ["pins.sqlite", "pins.sqlite-wal", "pins.sqlite-shm"] {
        let kept = files.folder.path().join(format!("kept-{name}"));
        if kept.exists() {
            fs::rename(kept, files.folder.path().join(name)).expect("moved back");
        }
    }
    assert!(is_valid(&registry.look_up(&ask(&pin.digits), at(1))), "back with the file");
}

#[test]
fn a_full_disk_says_so_and_never_lets_a_wrong_one_in() {
    let files = Files::new("full");
    let mut registry = files.open();
    let mut rng = Rng::from_number(7);
    let free = registry.add(&tea(), at(0), &mut rng).expect("added");
    // SQLite's own page limit stands in for the disk's: the same error, from the same place.
    registry.limit_pages();
    let long = NewPin { room: RoomName::new(&"x".repeat(255)).expect("name"), ..tea() };
    let error =
        (0..200).find_map(|_| registry.add(&long, at(0), &mut rng).err()).expect("full at last");
    assert!(error.to_string().contains("free some space"), "{error}");
    assert!(is_valid(&registry.look_up(&ask(&free.digits), at(1))), "known PINs still open");
    let unknown = Pii::new("123456789".to_owned());
    assert_eq!(refused(registry.look_up(&ask(&unknown), at(1))), Refusal::Unknown);
    registry
        .add(&long, at(0), &mut rng)
        .expect("a new connection, without the limit: space is back");
}

#[test]
fn a_file_that_is_no_registry_is_said() {
    let files = Files::new("nonsense");
    fs::write(&files.file, "nonsense ".repeat(1_000)).expect("written");
    let error = SqliteRegistry::open(&files.file, &files.key).expect_err("refused").to_string();
    assert!(error.contains("not a database") && error.contains("backup"), "{error}");
    let nowhere = files.folder.path().join("no/such/folder/pins.sqlite");
    let error = SqliteRegistry::open(&nowhere, &files.key).expect_err("refused").to_string();
    assert!(error.contains("check that the folder exists"), "{error}");
}

#[test]
fn drawn_pins_follow_the_rules_and_spread_evenly() {
    let mut rng = Rng::from_number(8);
    let mut first: BTreeMap<u8, u32> = BTreeMap::new();
    let mut pairs: BTreeMap<(u8, u8), u32> = BTreeMap::new();
    const DRAWS: u32 = 40_000;
    for _ in 0..DRAWS {
        let pin = draw(9, &mut rng).into_inner().into_bytes();
        assert_eq!(pin.len(), 9);
        assert_ne!(pin[0], b'0');
        assert!(pin.iter().all(u8::is_ascii_digit));
        assert!(pin.windows(2).all(|pair| pair[0] != pair[1]));
        *first.entry(pin[0]).or_default() += 1;
        *pairs.entry((pin[7], pin[8])).or_default() += 1;
    }
    let within = |count: u32, kinds: u32, share: f64| {
        let expected = f64::from(DRAWS) / f64::from(kinds);
        (f64::from(count) - expected).abs() < expected * share
    };
    assert_eq!((first.len(), pairs.len()), (9, 90));
    assert!(first.values().all(|count| within(*count, 9, 0.06)), "{first:?}");
    assert!(pairs.values().all(|count| within(*count, 90, 0.25)), "{pairs:?}");
}

#[test]
fn tags_match_only_themselves() {
    let key = key::PinKey::from_bytes([7; 32]);
    let tag = key.tag("pin", "918273645");
    assert!(tag.matches(&tag.0));
    assert!(!tag.matches(&key.tag("pin", "918273646").0));
    assert!(!tag.matches(&key.tag("caller", "918273645").0));
    assert!(!tag.matches(&tag.0[..31]));
    assert!(!key::PinKey::from_bytes([8; 32]).tag("pin", "918273645").matches(&tag.0));
}

fn limits() -> ThrottleLimits {
    ThrottleLimits { per_caller_h: 2, per_anonymous_h: 3, per_trunk_h: 1_000, global_h: 1_000 }
}

#[test]
fn locks_double_and_are_forgotten() {
    let limits = limits();
    let mut throttle = Throttle::new(limits);
    let caller = CallerBucket::Number(Pii::new("+49".to_owned()));
    let trunk = TrunkId(0);
    let mut now = Instant::now();
    let minute = Duration::from_secs(60);
    for lock in [15, 30, 60, 120] {
        for _ in 0..2 {
            assert!(!throttle.is_locked(now, trunk, &caller));
            throttle.count_wrong(now, trunk, &caller);
        }
        assert!(throttle.is_locked(now + minute * lock - Duration::from_secs(1), trunk, &caller));
        now += minute * lock;
    }
    now += minute * 60 * 48;
    throttle.count_wrong(now, trunk, &caller);
    throttle.count_wrong(now, trunk, &caller);
    assert!(
        !throttle.is_locked(now + minute * 15, trunk, &caller),
        "two quiet days: 15 minutes again"
    );
    assert_eq!(throttle.callers(), 1);
}

#[test]
fn each_cap_says_once_that_it_is_reached() {
    let wide =
        ThrottleLimits { per_caller_h: 100, per_anonymous_h: 3, per_trunk_h: 5, global_h: 8 };
    let mut throttle = Throttle::new(wide);
    let now = Instant::now();
    let wrong = |throttle: &mut Throttle, trunk: u16, caller: &CallerBucket| {
        throttle.count_wrong(now, TrunkId(trunk), caller)
    };
    let number = CallerBucket::Number(Pii::new("+49".to_owned()));
    let anonymous = CallerBucket::Anonymous(TrunkId(0));
    let reached: Vec<_> = (0..3).map(|_| wrong(&mut throttle, 0, &anonymous)).collect();
    assert_eq!(reached, [None, None, Some(Cap::Anonymous)]);
    assert!(throttle.is_locked(now, TrunkId(0), &anonymous));
    assert!(!throttle.is_locked(now, TrunkId(0), &number), "who shows his number is not they");
    let reached: Vec<_> = (0..2).map(|_| wrong(&mut throttle, 0, &number)).collect();
    assert_eq!(reached, [None, Some(Cap::Trunk)]);
    assert!(throttle.is_locked(now, TrunkId(0), &number), "the whole trunk is");
    assert!(!throttle.is_locked(now, TrunkId(1), &number), "not the other one");
    let reached: Vec<_> = (0..3).map(|_| wrong(&mut throttle, 1, &number)).collect();
    assert_eq!(reached, [None, None, Some(Cap::Global)]);
    assert!(throttle.is_locked(now, TrunkId(7), &CallerBucket::Anonymous(TrunkId(7))));
    let later = now + Duration::from_secs(3_600);
    assert!(!throttle.is_locked(later, TrunkId(7), &number), "an hour later it is over");
}

#[test]
fn sealed_digits_come_back_with_the_right_key_and_tag_alone() {
    let key = key::PinKey::from_bytes([7; 32]);
    let digits = Pii::new("918273645".to_owned());
    let tag = key.tag("pin", digits.reveal());
    let sealed = key.seal(&tag, &digits);
    assert_ne!(sealed, digits.reveal().as_bytes());
    assert_eq!(key.unseal("pin", &tag.0, &sealed), Some(digits.clone()));
    let other = key::PinKey::from_bytes([8; 32]);
    assert_eq!(other.unseal("pin", &tag.0, &sealed), None);
    assert_eq!(key.unseal("pin", &key.tag("pin", "918273646").0, &sealed), None);
}

/// A registry as the first version made it: schema 1, with a guest's, a host's and a used-up PIN.
#[test]
fn a_registry_of_the_first_version_keeps_its_pins() {
    let files = Files::new("old");
    fs::write(&files.key, "07".repeat(32)).expect("written");
    let key = key::PinKey::from_bytes([7; 32]);
    let old = rusqlite::Connection::open(&files.file).expect("opens");
    old.execute_batch(
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
         CREATE TABLE pins (id TEXT PRIMARY KEY, tag BLOB NOT NULL UNIQUE, room TEXT NOT NULL,
             host INTEGER NOT NULL, language TEXT, created INTEGER NOT NULL, expires INTEGER,
             revoked INTEGER, uses_max INTEGER, uses INTEGER NOT NULL DEFAULT 0) STRICT;",
    )
    .expect("made");
    let check = key.tag("key check", "").0;
    old.execute("INSERT INTO meta VALUES ('key_check', ?1)", [&check[..]]).expect("kept");
    let now = i64::try_from(at(0).unix.as_secs()).expect("small");
    for (id, digits, host, uses_max) in
        [("a", "918273645", 0, None), ("b", "192837465", 1, None), ("c", "121212121", 0, Some(1))]
    {
        let tag = key.tag("pin", digits).0;
        old.execute(
            "INSERT INTO pins (id, tag, room, host, created, uses_max, uses)
             VALUES (?1, ?2, 'tea', ?3, ?4, ?5, 1)",
            rusqlite::params![id, &tag[..], host, now, uses_max],
        )
        .expect("kept");
    }
    drop(old);
    for opened in ["migrated", "migrated before"] {
        let mut registry = files.open();
        let mut look = |digits: &str| {
            registry.look_up(&ask(&Pii::new(digits.to_owned())), at(1)).expect("works")
        };
        let Verdict::Valid(guest) = look("918273645") else { panic!("{opened}") };
        assert_eq!((guest.kind, guest.role), (PinKind::Guest, Role::Guest), "{opened}");
        let Verdict::Valid(host) = look("192837465") else { panic!("{opened}") };
        assert_eq!((host.kind, host.role), (PinKind::Host, Role::Host), "{opened}");
        assert_eq!(look("121212121"), Verdict::Refused(Refusal::UsedUp), "{opened}");
        assert_eq!(registry.list().expect("works").len(), 3);
    }
    let mut registry = files.open();
    let new = NewPin { recalled: true, ..tea() };
    registry.add(&new, at(0), &mut Rng::from_number(9)).expect("the new columns are there");
}

#[test]
fn a_registry_of_a_later_version_is_left_alone() {
    let files = Files::new("later");
    files.open();
    let later = rusqlite::Connection::open(&files.file).expect("opens");
    later
        .execute("UPDATE meta SET value = CAST('3' AS BLOB) WHERE name = 'schema'", [])
        .expect("set");
    let error = SqliteRegistry::open(&files.file, &files.key).expect_err("refused").to_string();
    assert!(error.contains("newer weebee") && error.contains("upgrade"), "{error}");
}

#[test]
fn tickets_that_nobody_uses_are_bounded_and_forgotten() {
    use super::sql::Database;
    let files = Files::new("tickets");
    let mut registry = files.open();
    let pin = registry.add(&tea(), at(0), &mut Rng::from_number(1)).expect("added");
    let ticket = ticket::NewTicket { text: Pii::new("a".repeat(34)), pin: pin.id, trunk: None };
    let fill = "WITH RECURSIVE count(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM count WHERE i < ?1) \
                INSERT INTO tickets SELECT CAST(i AS BLOB), 'p', '', ?2 FROM count";
    let ends = (at(30).unix.as_millis()) as i64;
    let most = ticket::TICKETS_MAX;
    let values = [sql::Value::Whole(most), sql::Value::Whole(ends)];
    assert_eq!(registry.database.change(fill, &values).expect("filled"), most as u64);
    let full = registry.add_ticket(&ticket, at(29));
    assert!(matches!(full, Err(RegistryError::TooManyTickets)), "{full:?}");
    registry.add_ticket(&ticket, at(30)).expect("the others are over");
    let left = registry.database.rows("SELECT count(*) FROM tickets", &[]).expect("counts");
    assert_eq!(left, [[sql::Value::Whole(1)]]);
}
