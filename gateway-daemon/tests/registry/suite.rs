//! What every PIN registry must do, whatever keeps it. Run on SQLite here and on PostgreSQL among the real peers.

use std::collections::BTreeSet;
use std::time::Duration;

use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;
use gateway_core::base::time::WallClock;
use gateway_core::leg::backend::{Role, RoomName};
use gateway_core::media::clip::Language;
use gateway_daemon::pin::ticket::{NewTicket, TicketAsk};
use gateway_daemon::pin::{
    NewPin, Pin, PinAsk, PinEntry, PinKind, PinRegistry, Refusal, RegistryError, Verdict,
};

/// A way to the same registry, as each gateway has its own.
pub type Open<'a> = &'a (dyn Fn() -> Box<dyn PinRegistry> + Sync);

/// All of it. Rooms differ, so that one registry serves all.
pub fn run(open: Open<'_>) {
    a_pin_opens_its_room_until_it_ends(open);
    revoked_and_used_up_pins_open_nothing(open);
    nobody_gets_the_digits_of_a_pin_that_just_ended(open);
    kinds_keep_what_they_are(open);
    a_personal_pin_wants_its_caller(open);
    a_meeting_takes_its_pins_along(open);
    one_pin_serves_all_who_ask(open);
    two_gateways_mint_and_check_together(open);
    the_last_use_is_taken_once(open);
    a_ticket_opens_its_room_once_and_soon(open);
    a_ticket_is_taken_once_of_many_who_show_it(open);
}

fn at(seconds: u64) -> WallClock {
    WallClock { unix: Duration::from_secs(1_800_000_000 + seconds) }
}

fn room(name: &str) -> RoomName {
    RoomName::new(name).expect("name")
}

fn guest(name: &str) -> NewPin {
    NewPin { expires: Some(at(3_600)), ..NewPin::new(room(name), PinKind::Guest, 9) }
}

fn ask(pin: &Pin) -> PinAsk {
    PinAsk { digits: pin.digits.clone(), room: None, caller: None, spend: true }
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

fn entry(registry: &mut dyn PinRegistry, pin: &Pin) -> PinEntry {
    let entry = registry.find(&pin.id).expect("works").expect("is kept");
    let listed = registry.list().expect("works");
    assert!(listed.contains(&entry), "{listed:#?}");
    entry
}

fn a_pin_opens_its_room_until_it_ends(open: Open<'_>) {
    let mut registry = open();
    let mut rng = Rng::from_number(1);
    let new = NewPin { language: Some(Language::Ru), ..guest("tea") };
    let pin = registry.add(&new, at(0), &mut rng).expect("added");
    let verdict = registry.look_up(&ask(&pin), at(3_599)).expect("works");
    let Verdict::Valid(grant) = verdict else { panic!("{verdict:?}") };
    assert_eq!(
        (grant.room.as_str(), grant.role, grant.language),
        ("tea", Role::Guest, Some(Language::Ru))
    );
    assert_eq!(refused(registry.look_up(&ask(&pin), at(3_600))), Refusal::Expired);
    let unknown = PinAsk { digits: Pii::new("123456789".to_owned()), ..ask(&pin) };
    assert_eq!(refused(registry.look_up(&unknown, at(0))), Refusal::Unknown);
    let elsewhere = PinAsk { room: Some(room("coffee")), ..ask(&pin) };
    assert_eq!(refused(registry.look_up(&elsewhere, at(0))), Refusal::OtherRoom);
}

fn revoked_and_used_up_pins_open_nothing(open: Open<'_>) {
    let mut registry = open();
    let mut rng = Rng::from_number(2);
    let pin = registry.add(&guest("revoked"), at(0), &mut rng).expect("added");
    assert!(registry.revoke(&pin.id, at(1)).expect("works"));
    assert!(!registry.revoke(&pin.id, at(1)).expect("works"), "only once");
    assert!(!registry.revoke("nobody", at(1)).expect("works"));
    assert_eq!(refused(registry.look_up(&ask(&pin), at(1))), Refusal::Revoked);
    assert_eq!(registry.find("nobody").expect("works"), None);

    let twice = NewPin { uses_max: Some(2), ..guest("twice") };
    let pin = registry.add(&twice, at(0), &mut rng).expect("added");
    let look = PinAsk { spend: false, ..ask(&pin) };
    for _ in 0..5 {
        assert!(is_valid(&registry.look_up(&look, at(1))), "looking alone uses nothing up");
    }
    for _ in 0..2 {
        assert!(is_valid(&registry.look_up(&ask(&pin), at(1))));
    }
    assert_eq!(refused(registry.look_up(&ask(&pin), at(1))), Refusal::UsedUp);
    let entry = entry(registry.as_mut(), &pin);
    assert_eq!((entry.uses, entry.uses_max, entry.state(at(1))), (2, Some(2), "used up"));
}

fn nobody_gets_the_digits_of_a_pin_that_just_ended(open: Open<'_>) {
    let mut registry = open();
    let same = || Rng::from_number(4);
    let first = registry.add(&guest("q1"), at(0), &mut same()).expect("added");
    let day = 86_400;
    let ever = NewPin { expires: None, ..guest("q2") };
    let second = registry.add(&ever, at(3_600 + day), &mut same()).expect("added");
    assert_ne!(first.digits, second.digits, "in quarantine: drawn again");
    let third = registry.add(&guest("q3"), at(3_601 + day), &mut same()).expect("added");
    assert_eq!(first.digits, third.digits, "a day later the digits are free");
    let holders: Vec<String> =
        registry.list().expect("works").into_iter().map(|it| it.room.as_str().to_owned()).collect();
    assert!(
        holders.contains(&"q3".to_owned()) && !holders.contains(&"q1".to_owned()),
        "{holders:?}"
    );
}

fn kinds_keep_what_they_are(open: Open<'_>) {
    let mut registry = open();
    let mut rng = Rng::from_number(5);
    for (kind, role) in [
        (PinKind::Guest, Role::Guest),
        (PinKind::Host, Role::Host),
        (PinKind::Personal, Role::Guest),
        (PinKind::StaticRoom, Role::Guest),
    ] {
        let owner = (kind == PinKind::Personal).then(|| Pii::new("Ratna \u{1f375}".to_owned()));
        let new = NewPin {
            owner: owner.clone(),
            issuer: "chat".to_owned(),
            ..NewPin::new(room("ruang teh"), kind, 12)
        };
        let pin = registry.add(&new, at(0), &mut rng).expect("added");
        assert_eq!(pin.digits.reveal().len(), 12);
        let verdict = registry.look_up(&ask(&pin), at(1)).expect("works");
        let Verdict::Valid(grant) = verdict else { panic!("{verdict:?}") };
        assert_eq!((grant.kind, grant.role, &grant.owner), (kind, role, &owner));
        let entry = entry(registry.as_mut(), &pin);
        assert_eq!((entry.kind, entry.issuer.as_str(), &entry.owner), (kind, "chat", &owner));
    }
}

fn a_personal_pin_wants_its_caller(open: Open<'_>) {
    let mut registry = open();
    let mut rng = Rng::from_number(6);
    let new = NewPin {
        caller: Some(Pii::new("+62 21 1234 5647".to_owned())),
        uses_max: Some(1),
        ..NewPin::new(room("bound"), PinKind::Personal, 9)
    };
    let pin = registry.add(&new, at(0), &mut rng).expect("added");
    let from = |number: Option<&str>| PinAsk {
        caller: number.map(|number| Pii::new(number.to_owned())),
        ..ask(&pin)
    };
    for stranger in [None, Some("+622112345648"), Some("5647"), Some("")] {
        let verdict = registry.look_up(&from(stranger), at(1));
        assert_eq!(refused(verdict), Refusal::OtherCaller, "{stranger:?}");
    }
    assert!(is_valid(&registry.look_up(&from(Some("02112345647")), at(1))), "as trunks write it");
    assert_eq!(refused(registry.look_up(&from(Some("02112345647")), at(1))), Refusal::UsedUp);
    let kept = format!("{:?}", entry(registry.as_mut(), &pin));
    assert!(!kept.contains("12345647"), "{kept}");
}

fn a_meeting_takes_its_pins_along(open: Open<'_>) {
    let mut registry = open();
    let mut rng = Rng::from_number(7);
    let name = room("standup");
    let mut add = |new: NewPin| registry.add(&new, at(0), &mut rng).expect("added");
    let along = add(NewPin { dies_with_meeting: true, ..guest("standup") });
    let stays = add(guest("standup"));
    let other = add(NewPin { dies_with_meeting: true, ..guest("retro") });
    assert_eq!(registry.meeting_ended(&name, at(10), at(610)).expect("works"), 1);
    assert!(is_valid(&registry.look_up(&ask(&along), at(609))), "within the grace");
    assert_eq!(entry(registry.as_mut(), &along).state(at(610)), "over");
    assert_eq!(registry.meeting_ended(&name, at(20), at(620)).expect("works"), 0, "told twice");
    assert_eq!(refused(registry.look_up(&ask(&along), at(610))), Refusal::Expired);
    assert_eq!(registry.meeting_started(&name, at(300)).expect("works"), 1, "they are back");
    assert!(is_valid(&registry.look_up(&ask(&along), at(3_000))));
    registry.meeting_ended(&name, at(3_000), at(3_100)).expect("works");
    assert_eq!(registry.meeting_started(&name, at(3_100)).expect("works"), 0, "too late");
    assert_eq!(refused(registry.look_up(&ask(&along), at(3_100))), Refusal::Expired);
    for pin in [&stays, &other] {
        assert!(is_valid(&registry.look_up(&ask(pin), at(3_500))));
    }
    assert!(registry.purge(at(3_100 + 86_401)).expect("works") >= 1);
    assert_eq!(registry.find(&along.id).expect("works"), None);
}

fn one_pin_serves_all_who_ask(open: Open<'_>) {
    let (mut one, mut two) = (open(), open());
    let new = NewPin { recalled: true, ..guest("shown") };
    let first = one.add(&new, at(0), &mut Rng::from_number(8)).expect("added");
    let again = two.add(&new, at(5), &mut Rng::from_number(9)).expect("recalled");
    assert!(!first.is_recalled && again.is_recalled);
    assert_eq!((&first.id, &first.digits), (&again.id, &again.digits), "by another gateway too");
    let host = NewPin { recalled: true, role: Role::Host, kind: PinKind::Host, ..new.clone() };
    let host = two.add(&host, at(5), &mut Rng::from_number(10)).expect("added");
    assert_ne!(host.digits, first.digits, "each kind has its own");
    one.revoke(&first.id, at(6)).expect("works");
    let next = two.add(&new, at(7), &mut Rng::from_number(11)).expect("added");
    assert_ne!(next.digits, first.digits, "what was revoked is not told again");
    let later = NewPin { expires: Some(at(9_000)), ..new };
    let third = two.add(&later, at(3_600), &mut Rng::from_number(12)).expect("added");
    assert_ne!(third.digits, next.digits, "nor what has expired");
}

/// Both draw from the same dice: each PIN of one is what the other draws first.
fn two_gateways_mint_and_check_together(open: Open<'_>) {
    const EACH: usize = 60;
    let gateway = |name: &'static str| {
        let mut registry = open();
        let new = NewPin { digits: 6, ..guest(name) };
        let mut pins = Vec::new();
        for seed in 0..EACH as u64 {
            let pin = registry.add(&new, at(0), &mut Rng::from_number(seed)).expect("added");
            let verdict = registry.look_up(&ask(&pin), at(1)).expect("works");
            assert!(matches!(&verdict, Verdict::Valid(grant) if grant.room == room(name)));
            pins.push(pin.digits.into_inner());
        }
        pins
    };
    let all: Vec<String> = std::thread::scope(|scope| {
        let other = scope.spawn(|| gateway("east"));
        let mut all = gateway("west");
        all.extend(other.join().expect("no panic"));
        all
    });
    assert_eq!(all.len(), 2 * EACH);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 2 * EACH, "no digits twice");
    let shown = NewPin { recalled: true, ..guest("both") };
    let racing: BTreeSet<String> = std::thread::scope(|scope| {
        let shown = &shown;
        let racers: Vec<_> = (20..28)
            .map(|seed| {
                scope.spawn(move || {
                    open().add(shown, at(0), &mut Rng::from_number(seed)).expect("added")
                })
            })
            .collect();
        racers.into_iter().map(|it| it.join().expect("no panic").digits.into_inner()).collect()
    });
    assert_eq!(racing.len(), 1, "eight ask at once for the room's PIN and get the same");
}

fn the_last_use_is_taken_once(open: Open<'_>) {
    let new = NewPin { uses_max: Some(5), ..guest("five") };
    let pin = open().add(&new, at(0), &mut Rng::from_number(14)).expect("added");
    let won: usize = std::thread::scope(|scope| {
        let pin = &pin;
        let racers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(move || {
                    let mut registry = open();
                    (0..5).filter(|_| is_valid(&registry.look_up(&ask(pin), at(1)))).count()
                })
            })
            .collect();
        racers.into_iter().map(|it| it.join().expect("no panic")).sum()
    });
    assert_eq!(won, 5, "of twenty tries");
}

fn ticket(text: &str, pin: &Pin, trunk: Option<&str>) -> NewTicket {
    let trunk = trunk.map(str::to_owned);
    NewTicket { text: Pii::new(text.repeat(34)), pin: pin.id.clone(), trunk }
}

fn showing(text: &str) -> TicketAsk {
    TicketAsk { text: Pii::new(text.repeat(34)), trunk: "pbx".to_owned(), room: None }
}

fn a_ticket_opens_its_room_once_and_soon(open: Open<'_>) {
    let (mut east, mut west) = (open(), open());
    let mut rng = Rng::from_number(15);
    let pin = east.add(&guest("tickets"), at(0), &mut rng).expect("added");
    for (text, trunk) in [
        ("a", Some("pbx")),
        ("b", None),
        ("c", Some("other")),
        ("d", None),
        ("e", None),
        ("f", None),
    ] {
        east.add_ticket(&ticket(text, &pin, trunk), at(10)).expect("added");
    }
    // Another gateway gets the call.
    for good in ["a", "b"] {
        let verdict = west.redeem(&showing(good), at(39)).expect("works");
        let Verdict::Valid(grant) = verdict else { panic!("{good}: {verdict:?}") };
        assert_eq!((grant.room, grant.id), (room("tickets"), pin.id.clone()));
        assert_eq!(refused(east.redeem(&showing(good), at(39))), Refusal::Ticket, "used");
    }
    assert_eq!(refused(west.redeem(&showing("c"), at(11))), Refusal::Ticket, "of another trunk");
    assert_eq!(refused(west.redeem(&showing("d"), at(40))), Refusal::Ticket, "30 s are over");
    assert_eq!(refused(west.redeem(&showing("z"), at(11))), Refusal::Ticket, "nobody gave it");
    let short = TicketAsk { text: Pii::new("e".to_owned()), ..showing("e") };
    assert_eq!(refused(west.redeem(&short, at(11))), Refusal::Ticket, "cannot be one");
    let elsewhere = TicketAsk { room: Some(room("coffee")), ..showing("e") };
    assert_eq!(refused(west.redeem(&elsewhere, at(11))), Refusal::OtherRoom);
    west.revoke(&pin.id, at(12)).expect("works");
    assert_eq!(refused(east.redeem(&showing("f"), at(13))), Refusal::Revoked, "with its PIN");
}

fn a_ticket_is_taken_once_of_many_who_show_it(open: Open<'_>) {
    let pin = open().add(&guest("race"), at(0), &mut Rng::from_number(16)).expect("added");
    open().add_ticket(&ticket("r", &pin, None), at(1)).expect("added");
    let won: usize = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| is_valid(&open().redeem(&showing("r"), at(2)))))
            .collect();
        racers.into_iter().map(|it| usize::from(it.join().expect("no panic"))).sum()
    });
    assert_eq!(won, 1);
}
