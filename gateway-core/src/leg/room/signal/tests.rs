//! Rooms are born, filled, waited for and closed.

use std::time::Duration;

use slotmap::SlotMap;

use super::*;
use crate::base::ids::CallKey;
use crate::base::pii::Pii;
use crate::leg::backend::{CallWay, Entry};

struct Stage {
    rooms: Rooms,
    keys: SlotMap<CallKey, ()>,
    now: Instant,
}

impl Stage {
    fn new() -> Self {
        Self { rooms: Rooms::new(), keys: SlotMap::with_key(), now: Instant::now() }
    }

    fn join(&mut self, role: Role, policy: RoomPolicy) -> Result<LegKey, JoinRefused> {
        let leg = LegKey::conference(self.keys.insert(()));
        let ask = JoinRequest {
            room: RoomName::new("Tea").expect("a name"),
            role,
            label: Pii::new("someone".into()),
            codec: CodecKind::Pcma,
            codecs: vec![CodecKind::Pcma],
            policy,
            entry: Entry::default(),
            way: CallWay::Inbound,
        };
        self.rooms.open_leg(self.now, leg, ask, Rng::from_number(1)).map(|()| leg)
    }

    /// Outputs as short words: `joined 2`, `entered 2`, `attach`, `left RoomEnded` ..., with the leg they are for.
    fn heard(&mut self) -> Vec<(LegKey, String)> {
        std::iter::from_fn(|| self.rooms.poll_output())
            .map(|output| match output {
                BackendOutput::Joined(leg, facts) => (leg, format!("joined {}", facts.members)),
                BackendOutput::Members(leg, MemberChange::Entered, facts) => {
                    (leg, format!("entered {}", facts.members))
                }
                BackendOutput::Members(leg, MemberChange::Exited, facts) => {
                    (leg, format!("exited {}", facts.members))
                }
                BackendOutput::Left(leg, reason) => (leg, format!("left {reason:?}")),
                BackendOutput::Progress(leg, step) => (leg, format!("{step:?}")),
                BackendOutput::Moderated(..)
                | BackendOutput::RoomKey(..)
                | BackendOutput::Occupant(..)
                | BackendOutput::OpenPort { .. }
                | BackendOutput::ClosePort { .. }
                | BackendOutput::OpenStream { .. }
                | BackendOutput::Stanza(..)
                | BackendOutput::BridgeSocket(..)
                | BackendOutput::CloseStream(_) => unreachable!("it has neither"),
                BackendOutput::Media(leg, media) => (
                    leg,
                    match media {
                        ToMedia::OpenRoom { .. } => "open".into(),
                        ToMedia::CloseRoom(_) => "close".into(),
                        ToMedia::AttachConference { .. } => "attach".into(),
                        ToMedia::DetachConference(_) => "detach".into(),
                        _ => "other".into(),
                    },
                ),
            })
            .collect()
    }
}

fn said(leg: LegKey, words: &[&str]) -> Vec<(LegKey, String)> {
    words.iter().map(|word| (leg, (*word).to_owned())).collect()
}

fn with_host() -> RoomPolicy {
    RoomPolicy { before_host: BeforeHost::Hold, ..RoomPolicy::default() }
}

#[test]
fn a_room_is_born_with_its_first_member_and_dies_with_its_last() {
    let mut t = Stage::new();
    let one = t.join(Role::Guest, RoomPolicy::default()).expect("a seat");
    assert_eq!(t.heard(), said(one, &["open", "attach", "joined 1"]));
    let two = t.join(Role::Guest, RoomPolicy::default()).expect("a seat");
    let mut expected = said(two, &["attach", "joined 2"]);
    expected.extend(said(one, &["entered 2"]));
    assert_eq!(t.heard(), expected);
    t.rooms.command(t.now, one, LegCommand::Leave(EndReason::CallerHungUp));
    let mut expected = said(one, &["detach"]);
    expected.extend(said(two, &["exited 1"]));
    expected.extend(said(one, &["left CallerHungUp"]));
    assert_eq!(t.heard(), expected);
    t.rooms.command(t.now, two, LegCommand::Leave(EndReason::CallerLeft));
    assert_eq!(t.heard(), said(two, &["detach", "close", "left CallerLeft"]));
    assert!(t.rooms.snapshot().is_empty());
    t.rooms.command(t.now, two, LegCommand::Leave(EndReason::CallerLeft));
    assert_eq!(t.heard(), []);
}

#[test]
fn guests_wait_and_the_host_lets_them_all_in() {
    let mut t = Stage::new();
    let one = t.join(Role::Guest, with_host()).expect("a place to wait");
    let two = t.join(Role::Guest, with_host()).expect("a place to wait");
    t.heard();
    assert!(t.rooms.poll_timeout().is_some());
    let host = t.join(Role::Host, with_host()).expect("a seat");
    let mut expected = said(host, &["open", "attach", "joined 1"]);
    expected.extend(said(one, &["HostArrived", "attach", "joined 2"]));
    expected.extend(said(host, &["entered 2"]));
    expected.extend(said(two, &["HostArrived", "attach", "joined 3"]));
    expected.extend(said(one, &["entered 3"]));
    expected.extend(said(host, &["entered 3"]));
    assert_eq!(t.heard(), expected);
    assert_eq!(t.rooms.poll_timeout(), None);
    let late = t.join(Role::Guest, with_host()).expect("a seat");
    assert!(t.heard().contains(&(late, "joined 4".into())));
}

#[test]
fn a_guest_does_not_wait_for_ever_and_a_room_of_waiting_guests_has_no_sound() {
    let mut t = Stage::new();
    let guest = t.join(Role::Guest, with_host()).expect("a place to wait");
    assert_eq!(t.heard(), said(guest, &["WaitingForHost"]));
    let (at, why) = t.rooms.poll_timeout().expect("a limit");
    assert_eq!((at - t.now, why), (Duration::from_secs(600), HOST_WAIT));
    t.rooms.handle_timeout(at - Duration::from_millis(1));
    assert_eq!(t.heard(), []);
    t.rooms.handle_timeout(at);
    assert_eq!(t.heard(), said(guest, &["left HostNeverCame"]));
    assert!(t.rooms.snapshot().is_empty());
}

#[test]
fn a_full_room_takes_nobody_but_the_host_it_waits_for() {
    let mut t = Stage::new();
    let policy = RoomPolicy { members_max: 1, ..with_host() };
    t.join(Role::Guest, policy).expect("a place to wait");
    assert_eq!(t.join(Role::Guest, policy), Err(JoinRefused::Full));
    t.join(Role::Host, policy).expect("the host's seat");
    assert_eq!(t.join(Role::Host, policy), Err(JoinRefused::Full));
}

#[test]
fn mute_and_hand_are_kept_for_those_who_look() {
    let mut t = Stage::new();
    let one = t.join(Role::Guest, RoomPolicy::default()).expect("a seat");
    t.rooms.command(t.now, one, LegCommand::Mute(true));
    t.rooms.command(t.now, one, LegCommand::RaiseHand(true));
    let member = t.rooms.snapshot()[0].members[0].clone();
    assert!(member.muted && member.hand_raised && !member.waiting);
    t.rooms.command(t.now, one, LegCommand::RaiseHand(false));
    assert!(!t.rooms.snapshot()[0].members[0].hand_raised);
}

#[test]
fn new_codecs_bring_a_new_media_half_to_the_same_seat() {
    let mut t = Stage::new();
    let one = t.join(Role::Guest, RoomPolicy::default()).expect("a seat");
    t.heard();
    t.rooms.command(t.now, one, LegCommand::Codecs(vec![CodecKind::Opus]));
    assert_eq!(t.heard(), said(one, &["detach", "attach"]));
}

#[test]
fn a_seat_the_shard_refused_is_given_up() {
    let mut t = Stage::new();
    let one = t.join(Role::Guest, RoomPolicy::default()).expect("a seat");
    t.heard();
    t.rooms.handle_input(t.now, BackendInput::FromMedia(one, ConferenceEvent::Lost));
    assert_eq!(t.heard(), said(one, &["detach", "close", "left NoResources"]));
}

#[test]
fn a_room_that_keeps_nobody_waiting_turns_guests_away_until_its_host_is_there() {
    let mut t = Stage::new();
    let policy = RoomPolicy { before_host: BeforeHost::Refuse, ..RoomPolicy::default() };
    assert_eq!(t.join(Role::Guest, policy), Err(JoinRefused::NotLive));
    assert!(t.rooms.snapshot().is_empty(), "nothing is left of it");
    let host = t.join(Role::Host, policy).expect("a seat");
    assert_eq!(t.heard(), said(host, &["open", "attach", "joined 1"]));
    t.join(Role::Guest, policy).expect("a seat");
}
