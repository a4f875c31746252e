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
use super::throttle::{CallerBucket, Throttle, ThrottleLimits};
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
    NewPin {
        room: RoomName::new("tea").expect("name"),
        role: Role::Guest,
        language: Some(Language::Ru),
        expires: Some(at(3_600)),
        uses_max: None,
        digits: 9,
    }
}

fn ask(digits: &Pii<String>) -> PinAsk {
    PinAsk { digits: digits.clone(), room: None, spend: true }
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
fn a_pin_opens_its_room_until_it_ends() {
    let files = Files::new("opens");
    let mut registry = files.open();
    let mut rng = Rng::from_number(1);
    let pin = registry.add(&tea(), at(0), &mut rng).expect("added");
    let verdict = registry.look_up(&ask(&pin.digits), at(3_599)).expect("works");
    let Verdict::Valid(grant) = verdict else { panic!("{verdict:?}") };
    assert_eq!(
        (grant.room.as_str(), grant.role, grant.language),
        ("tea", Role::Guest, Some(Language::Ru))
    );
    assert_eq!(refused(registry.look_up(&ask(&pin.digits), at(3_600))), Refusal::Expired);
    let unknown = Pii::new("123456789".to_owned());
    assert_eq!(refused(registry.look_up(&ask(&unknown), at(0))), Refusal::Unknown);
    let elsewhere = PinAsk { room: RoomName::new("coffee").ok(), ..ask(&pin.digits) };
    assert_eq!(refused(registry.look_up(&elsewhere, at(0))), Refusal::OtherRoom);
}

#[test]
fn revoked_and_used_up_pins_open_nothing() {
    let files = Files::new("revoked");
    let mut registry = files.open();
    let mut rng = Rng::from_number(2);
    let pin = registry.add(&tea(), at(0), &mut rng).expect("added");
    assert!(registry.revoke(&pin.id, at(1)).expect("works"));
    assert!(!registry.revoke(&pin.id, at(1)).expect("works"), "only once");
    assert!(!registry.revoke("nobody", at(1)).expect("works"));
    assert_eq!(refused(registry.look_up(&ask(&pin.digits), at(1))), Refusal::Revoked);

    let twice = NewPin { uses_max: Some(2), ..tea() };
    let pin = registry.add(&twice, at(0), &mut rng).expect("added");
    let look = PinAsk { spend: false, ..ask(&pin.digits) };
    for _ in 0..5 {
        assert!(is_valid(&registry.look_up(&look, at(1))), "looking alone uses nothing up");
    }
    for _ in 0..2 {
        assert!(is_valid(&registry.look_up(&ask(&pin.digits), at(1))));
    }
    assert_eq!(refused(registry.look_up(&ask(&pin.digits), at(1))), Refusal::UsedUp);
    let all = registry.list().expect("works");
    let entry = all.iter().find(|entry| entry.id == pin.id).expect("listed");
    assert_eq!((entry.uses, entry.uses_max), (2, Some(2)));
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
fn nobody_gets_the_digits_of_a_pin_that_just_ended() {
    let files = Files::new("quarantine");
    let mut registry = files.open();
    let same = || Rng::from_number(4);
    let first = registry.add(&tea(), at(0), &mut same()).expect("added");
    let day = 86_400;
    let second = registry
        .add(&NewPin { expires: None, ..tea() }, at(3_600 + day), &mut same())
        .expect("added");
    assert_ne!(first.digits, second.digits, "in quarantine: drawn again");
    let third = registry.add(&tea(), at(3_601 + day), &mut same()).expect("added");
    assert_eq!(first.digits, third.digits, "a day later the digits are free");
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

#[test]
fn locks_double_and_are_forgotten() {
    let limits = ThrottleLimits { per_caller_h: 2, per_trunk_h: 1_000 };
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
