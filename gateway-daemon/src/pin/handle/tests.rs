//! The handle as other parts use it: minted, checked, throttled, told of meetings, and all of it in the audit log.

use std::path::{Path, PathBuf};

use gateway_core::leg::backend::Role;
use serde_json::Value;

use super::*;
use crate::pin::PinKind;
use crate::pin::ticket::TicketAsk;
use crate::testing::Folder;

struct Desk {
    folder: Folder,
    pins: Pins,
}

impl Desk {
    fn new(name: &str, keys: &str) -> Self {
        let folder = Folder::new(name);
        let trunk = "[[trunk]]\nname = \"carrier\"\nsources = [\"127.0.0.1\"]\n";
        let config = crate::config::parse("t", &format!("{keys}{trunk}"), folder.path());
        let config = config.expect("legal");
        let registry = crate::pin::open(&config.pin).expect("opens");
        let trunks = vec!["carrier".to_owned()];
        let journal = PinJournal::start(&config.audit, registry.key().clone(), trunks);
        let journal = journal.expect("starts");
        let rng = Rng::from_number(1);
        let pins = Pins::start_with_journal(registry, config.pin, config.rooms, rng, journal)
            .expect("starts");
        Self { folder, pins }
    }

    /// The audit log, when all is written.
    fn audit(&self) -> Vec<Value> {
        self.pins.journal().close();
        let log = files(self.folder.path()).into_iter().find(|file| name(file).contains("audit-"));
        let text = std::fs::read_to_string(log.expect("there is one")).expect("readable");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").path()).collect()
}

fn name(file: &Path) -> String {
    file.file_name().expect("a name").to_string_lossy().into_owned()
}

fn room() -> RoomName {
    RoomName::new("Standup").expect("name")
}

fn typed(digits: &Pii<String>) -> PinCheck {
    PinCheck {
        digits: digits.clone(),
        room: None,
        caller: Some(Pii::new("+622112345647".to_owned())),
        trunk: TrunkId(0),
        call: Some("pbx-1".to_owned()),
        source: Some([192, 0, 2, 7].into()),
    }
}

#[tokio::test]
async fn a_meeting_from_its_pin_to_its_end_stands_in_the_audit_log() {
    let desk = Desk::new("handle", "[pin]\ngrace_min = 0\n");
    let pins = &desk.pins;
    let mut told = pins.journal().listen();
    let mint = Mint::new(room(), PinKind::Guest, Issuer::Chat);
    let pin = pins.mint(mint.clone()).await.expect("minted");
    let again = pins.mint(mint).await.expect("told again");
    assert_eq!((&pin.digits, again.is_recalled), (&again.digits, true));
    let personal = Mint {
        owner: Some(Pii::new("Ratna Dewi".to_owned())),
        uses_max: Some(1),
        ..Mint::new(room(), PinKind::Personal, Issuer::Chat)
    };
    let personal = pins.mint(personal).await.expect("minted");
    let Checked::Valid(grant) = pins.check(typed(&pin.digits)).await else { panic!("refused") };
    assert_eq!((grant.room, grant.role, grant.kind), (room(), Role::Guest, PinKind::Guest));
    assert!(matches!(pins.check(typed(&personal.digits)).await, Checked::Valid(_)));
    let spent = Instant::now();
    let checked = pins.check(typed(&personal.digits)).await;
    assert_eq!(checked, Checked::Refused(Refusal::UsedUp));
    assert!(spent.elapsed() >= ANSWER_AFTER, "each no takes the same time");
    pins.meeting_ended(&room()).await.expect("told");
    assert_eq!(pins.check(typed(&pin.digits)).await, Checked::Refused(Refusal::Expired));
    assert!(pins.revoke(&pin.id, Issuer::Rest).await.expect("works"));
    assert!(!pins.revoke("nobody", Issuer::Rest).await.expect("works"));
    let state = pins.find(&pin.id).await.expect("works").expect("kept").state(wall_clock());
    assert_eq!(state, "revoked");

    assert!(matches!(told.recv().await, Ok(PinEvent::Minted { kind: PinKind::Guest, .. })));
    let audit = desk.audit();
    let events: Vec<&str> = audit.iter().filter_map(|line| line["event"].as_str()).collect();
    assert_eq!(
        events,
        [
            "pin_minted",
            "pin_minted",
            "pin_minted",
            "pin_admitted",
            "pin_admitted",
            "pin_refused",
            "meeting_ended",
            "pin_refused",
            "pin_revoked"
        ]
    );
    assert_eq!((&audit[1]["again"], &audit[0]["by"]), (&Value::Bool(true), &"chat".into()));
    assert_eq!((&audit[3]["pin"], &audit[3]["call"]), (&pin.id.as_str().into(), &"pbx-1".into()));
    assert_eq!((&audit[5]["why"], &audit[5]["source"]), (&"used_up".into(), &"192.0.2.7".into()));
    assert_eq!(audit[5]["caller"], audit[7]["caller"], "the same caller has the same hash");
    let text = format!("{audit:?}").to_lowercase();
    for secret in [pin.digits.reveal(), personal.digits.reveal(), "12345647", "ratna", "standup"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn rooms_say_who_may_mint_and_statics_stay() {
    let keys = "[[room_policy]]\nname = \"standup\"\nmint = [\"cli\", \"chat\"]\n";
    let desk = Desk::new("mint", keys);
    let refused = desk.pins.mint(Mint::new(room(), PinKind::Guest, Issuer::Page)).await;
    let refused = refused.expect_err("not by the page").to_string();
    assert!(refused.contains("page") && refused.contains("mint"), "{refused}");
    let fixed = Mint::new(room(), PinKind::StaticRoom, Issuer::Chat);
    let fixed = desk.pins.mint(fixed).await.expect("minted");
    assert_eq!((fixed.digits.reveal().len(), fixed.expires), (12, None));
    desk.pins.meeting_ended(&room()).await.expect("told");
    assert!(matches!(desk.pins.check(typed(&fixed.digits)).await, Checked::Valid(_)));
    assert_eq!(desk.pins.list().await.expect("works").len(), 1);
}

#[tokio::test]
async fn who_guesses_elsewhere_is_locked_out_of_the_right_one_too() {
    let desk = Desk::new("guess", "[pin]\nwrong_per_caller_h = 2\n");
    let pin =
        desk.pins.mint(Mint::new(room(), PinKind::Guest, Issuer::Rest)).await.expect("minted");
    let wrong = Pii::new("121212121".to_owned());
    let (one, two) = tokio::join!(desk.pins.check(typed(&wrong)), desk.pins.check(typed(&wrong)));
    assert_eq!(
        [one, two],
        [Checked::Refused(Refusal::Unknown), Checked::Refused(Refusal::Unknown)]
    );
    assert_eq!(desk.pins.check(typed(&pin.digits)).await, Checked::Refused(Refusal::Locked));
    let other = PinCheck { caller: None, ..typed(&pin.digits) };
    assert!(matches!(desk.pins.check(other).await, Checked::Valid(_)), "others are not");
    let counts = desk.pins.journal().counts();
    assert_eq!(counts.locked_out.into_iter().collect::<Vec<_>>(), [((TrunkId(0), "caller"), 1)]);
    assert_eq!(counts.refused.get(&(TrunkId(0), "unknown")), Some(&2));
    let events: Vec<Value> = desk.audit().iter().map(|line| line["event"].clone()).collect();
    assert!(events.contains(&"locked_out".into()), "{events:?}");
}

#[tokio::test]
async fn a_full_disk_of_the_audit_log_stops_no_caller() {
    let desk = Desk::new("full", "");
    let today: String = crate::wall::rfc3339(wall_clock()).chars().take(10).collect();
    let log = desk.folder.path().join(format!("weebee-audit-{today}.jsonl"));
    std::os::unix::fs::symlink("/dev/full", &log).expect("linked");
    let pin =
        desk.pins.mint(Mint::new(room(), PinKind::Guest, Issuer::Rest)).await.expect("minted");
    assert!(matches!(desk.pins.check(typed(&pin.digits)).await, Checked::Valid(_)));
    let asked = Instant::now();
    let mut trouble = None;
    while trouble.is_none() && asked.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        trouble = desk.pins.journal().trouble();
    }
    let trouble = trouble.expect("said in health");
    assert!(trouble.contains("audit") && trouble.contains("free some space"), "{trouble}");
    std::fs::remove_file(&log).expect("space again");
    assert_eq!(desk.audit().len(), 2, "nothing was lost");
}

#[tokio::test]
async fn a_ticket_for_a_judged_pin_opens_its_room_once() {
    let desk = Desk::new("tickets", "");
    let pin = desk.pins.mint(Mint::new(room(), PinKind::Guest, Issuer::Chat)).await.expect("made");
    let Checked::Valid(grant) = desk.pins.check(typed(&pin.digits)).await else {
        panic!("a live PIN")
    };
    let text = desk.pins.issue(&grant, Some("carrier")).await.expect("given");
    let show = |trunk: &str| TicketAsk { text: text.clone(), trunk: trunk.to_owned(), room: None };
    let opened = desk.pins.redeem(show("carrier")).await.expect("works");
    assert_eq!(opened, Verdict::Valid(grant.clone()));
    let other = desk.pins.issue(&grant, None).await.expect("given");
    assert_eq!(other.reveal()[..8], text.reveal()[..8], "tickets of a room begin alike");
    assert_ne!(other.reveal()[8..], text.reveal()[8..]);
    let again = desk.pins.redeem(show("carrier")).await.expect("works");
    assert_eq!(again, Verdict::Refused(Refusal::Ticket));
    let text = desk.pins.issue(&grant, Some("carrier")).await.expect("given");
    let foreign = TicketAsk { text, ..show("other") };
    assert_eq!(desk.pins.redeem(foreign).await.expect("works"), Verdict::Refused(Refusal::Ticket));
    // What lies on the disk opens nothing.
    let text = desk.pins.issue(&grant, None).await.expect("given");
    for file in files(desk.folder.path()) {
        let bytes = std::fs::read(&file).expect("readable");
        let is_there = bytes.windows(34).any(|part| part == text.reveal().as_bytes());
        assert!(!is_there, "{}", file.display());
    }
}
