//! An IVR stands in front of the phone and speaks Jigasi's JSON by INFO with the gateway.

use gateway_core::call::TrunkManners;
use gateway_core::call::info::InfoManners;
use gateway_sim::plan::Action;

use super::*;

/// The same plan with an IVR.
fn with_ivr(mut plan: WorldPlan, heartbeat: Option<u64>, is_silent: bool) -> WorldPlan {
    let heartbeat = heartbeat.map(Duration::from_secs);
    let info = Some(InfoManners { heartbeat });
    plan.knobs.manners = TrunkManners { info, is_silent, ..TrunkManners::default() };
    plan
}

/// What the IVR was told after that second, without the random ids of our requests.
fn told(outcome: &Outcome, after: f64) -> Vec<String> {
    let all = outcome.json[0].iter().filter(|(at, _)| at.as_secs_f64() >= after);
    let plain = |body: &String| match body.split_once("\"id\":\"") {
        Some((head, tail)) if body.ends_with("\"muteRequest\"}") => {
            format!("{head}\"id\":\"{}", &tail[36..])
        }
        _ => body.clone(),
    };
    all.map(|(_, body)| plain(body)).collect()
}

const LOBBY_TOLD: [&str; 3] = [r#"{"t":3,"i":0}"#, r#"{"t":6,"i":1}"#, r#"{"t":5,"i":2}"#];
const MUTE_REQUEST: &str = r#"{"data":{"audio":true},"id":"","type":"muteRequest"}"#;
const MUTE: Action = Action::Tell(r#"{"type":"muteRequest","id":"m","data":{"audio":true}}"#);
const SPEAK: Action = Action::Tell(r#"{"type":"muteRequest","id":"s","data":{"audio":false}}"#);
const MUTE_DONE: &str = r#"{"data":{"audio":true},"id":"m","type":"muteResponse","status":"OK"}"#;
const SPEAK_DONE: &str = r#"{"data":{"audio":false},"id":"s","type":"muteResponse","status":"OK"}"#;
const SPEAK_REFUSED: &str =
    r#"{"data":{"audio":false},"id":"s","type":"muteResponse","status":"FAILED"}"#;

#[test]
fn the_ivr_is_told_of_the_lobby_and_of_who_is_let_in_or_not() {
    let lobby = (2_000, Happening::Lobby(true));
    let plan = two(30, &[lobby.clone(), (12_000, Happening::Admit(P0))]);
    let outcome = judged(with_ivr(plan, None, false));
    assert_eq!(told(&outcome, 0.0), LOBBY_TOLD);
    assert_words(&outcome, 0, "lobby-wait", 3.6);
    assert_talked(&outcome, 16.0, 33.0);
    let plan = two(60, &[lobby, (12_000, Happening::Deny(P0))]);
    let outcome = judged(with_ivr(plan, None, true));
    assert_eq!(told(&outcome, 0.0), [r#"{"t":3,"i":0}"#, r#"{"t":7,"i":1}"#]);
    let (at, label) = ended(&outcome, 0);
    assert_eq!(label, "lobby_denied");
    assert!(at < 12.5, "the IVR has the words: {at}");
    let words = outcome.words(0);
    assert!(!words.iter().any(|(_, name)| name.starts_with("lobby")), "{words:?}");
}

#[test]
fn a_password_from_the_ivr_leads_out_of_the_lobby_into_the_room() {
    let setup = [(2_000, Happening::Lobby(true)), (2_000, Happening::Password(Some("2468")))];
    let right = Action::Tell(r#"{"i":1,"t":4,"d":{"pwd":"2468"}}"#);
    let plan = two(30, &setup).doing(0, &[(8_000, right)]);
    let outcome = judged(with_ivr(plan, None, false));
    assert_eq!(told(&outcome, 0.0), [r#"{"t":3,"i":0}"#, r#"{"t":5,"i":1}"#], "{}", outcome.ladder);
    assert!((11.0..13.0).contains(&joined(&outcome, 0)), "{}", outcome.ladder);
    assert_talked(&outcome, 16.0, 33.0);
}

#[test]
fn a_password_from_the_ivr_answers_our_own_question() {
    let right = Action::Tell(r#"{"t":4,"d":{"pwd":"2468"}}"#);
    let plan = two(30, &[(2_000, Happening::Password(Some("2468")))]).doing(0, &[(8_000, right)]);
    let outcome = judged(with_ivr(plan, None, false));
    assert_words(&outcome, 0, "password-needed", 3.6);
    assert!((11.0..13.0).contains(&joined(&outcome, 0)), "{}", outcome.ladder);
    assert_talked(&outcome, 16.0, 33.0);
}

#[test]
fn the_caller_mutes_himself_by_his_ivr() {
    let plan = two(25, &[]).doing(0, &[(6_000, MUTE), (14_000, SPEAK)]);
    let outcome = judged(with_ivr(plan, None, false));
    assert_eq!(told(&outcome, 0.0), [MUTE_DONE, SPEAK_DONE]);
    assert_eq!(outcome.share_heard(W0, PHONE[0], 11.0, 17.0), 0.0);
    let words = outcome.words(0);
    assert!(!words.iter().any(|(_, name)| name.contains("muted")), "the IVR speaks: {words:?}");
    assert_talked(&outcome, 19.0, 28.0);
}

#[test]
fn a_moderators_mute_and_kept_off_microphones_go_the_same_way_as_with_jigasi() {
    let happenings = [
        (6_000, Happening::Mute(P0)),
        (14_000, Happening::AvModeration(true)),
        (20_000, Happening::Approve(P0)),
    ];
    let wishes = [(6_000, SPEAK), (14_000, SPEAK), (19_000, SPEAK)];
    let outcome = judged(with_ivr(two(40, &happenings).doing(0, &wishes), None, true));
    let expected = [
        MUTE_REQUEST,
        SPEAK_DONE,
        r#"{"t":8,"d":true}"#,
        MUTE_REQUEST,
        SPEAK_REFUSED,
        r#"{"t":9}"#,
        SPEAK_DONE,
    ];
    assert_eq!(told(&outcome, 0.0), expected, "{}", outcome.ladder);
    assert_eq!(outcome.share_heard(W0, PHONE[0], 7.0, 9.0), 0.0);
    assert!(outcome.share_heard(W0, PHONE[0], 10.5, 13.5) > 0.9);
    assert_eq!(outcome.share_heard(W0, PHONE[0], 15.0, 21.5), 0.0);
    assert_talked(&outcome, 25.0, 43.0);
}

#[test]
fn who_starts_muted_is_told_so() {
    let plan = two(25, &[(2_000, Happening::StartMuted(true))]).doing(0, &[(8_000, SPEAK)]);
    let outcome = judged(with_ivr(plan, None, true));
    assert_eq!(told(&outcome, 0.0), [MUTE_REQUEST, SPEAK_DONE]);
    assert_talked(&outcome, 16.0, 28.0);
}

#[test]
fn a_host_who_is_waited_for_in_the_lobby_is_told_as_a_lobby() {
    let plan =
        two(40, &[(2_000, Happening::HostLobby(true)), (15_000, Happening::HostLobby(false))]);
    let outcome = judged(with_ivr(plan, None, false));
    assert_eq!(told(&outcome, 0.0), LOBBY_TOLD, "{}", outcome.ladder);
    assert_words(&outcome, 0, "waiting-for-host", 3.6);
    assert_words(&outcome, 0, "host-arrived", 15.0);
    assert!(outcome.words(0).iter().all(|(_, name)| !name.starts_with("lobby")));
    assert!((15.0..16.5).contains(&joined(&outcome, 0)), "{}", outcome.ladder);
    assert_talked(&outcome, 20.0, 43.0);
}

/// No lobby: Jicofo says that the meeting has not begun.
#[test]
fn a_meeting_that_has_not_begun_is_told_when_it_begins() {
    let plan = WorldPlan::calm_meeting(1, SECOND * 40, &[20]).with(&[(0, Happening::WantHost)]);
    let outcome = judged(with_ivr(plan, None, false));
    assert_eq!(told(&outcome, 0.0), [r#"{"t":15,"d":false}"#, r#"{"t":15,"d":true}"#]);
}

#[test]
fn a_full_room_is_said_to_the_caller_or_left_to_his_ivr() {
    let setup = (2_000, Happening::PeopleMax(Some(1)));
    for (is_silent, lasts) in [(false, 1.0..10.0), (true, 0.0..0.6)] {
        let outcome = judged(with_ivr(two(60, std::slice::from_ref(&setup)), None, is_silent));
        let (at, label) = ended(&outcome, 0);
        assert_eq!(label, "room_full");
        assert!(lasts.contains(&(at - 3.6)), "{is_silent} {at}\n{}", outcome.ladder);
        let is_said = outcome.words(0).iter().any(|(_, name)| *name == "room-full");
        assert_eq!(is_said, !is_silent);
        assert_eq!(told(&outcome, 0.0), Vec::<String>::new());
    }
}

/// A trunk as `info = "jigasi"` makes it: the room's number rings until the room has decided.
fn as_jigasi(talk: u64, happenings: &[(u64, Happening)]) -> WorldPlan {
    let mut plan = two(talk, happenings);
    plan.meeting.as_mut().expect("it is one").is_direct = true;
    plan.phones[0].0.typed.clear();
    plan.phones[0].0.starts = SECOND * 3;
    let mut plan = with_ivr(plan, None, false);
    plan.knobs.manners.busy_for_all = true;
    plan
}

/// When the phone was answered, if it was.
fn answered(outcome: &Outcome) -> Option<f64> {
    let told = outcome.told(0);
    told.iter().find(|(_, it)| **it == Told::Answered).map(|(at, _)| at.as_secs_f64())
}

#[test]
fn nothing_is_told_before_the_answer_and_all_of_it_in_order_after() {
    let happenings = [
        (2_000, Happening::Lobby(true)),
        (2_000, Happening::StartMuted(true)),
        (10_000, Happening::Admit(P0)),
    ];
    let outcome = judged(as_jigasi(25, &happenings).doing(0, &[(12_000, SPEAK)]));
    let expected =
        [r#"{"t":3,"i":0}"#, r#"{"t":6,"i":1}"#, r#"{"t":5,"i":2}"#, MUTE_REQUEST, SPEAK_DONE];
    assert_eq!(told(&outcome, 0.0), expected, "{}", outcome.ladder);
    let answered = answered(&outcome).expect("answered");
    assert!((3.1..3.6).contains(&answered), "{answered}");
    let times: Vec<f64> = outcome.json[0].iter().map(|(at, _)| at.as_secs_f64()).collect();
    assert!(times[0] > answered && times[0] < answered + 0.3, "{times:?}");
    assert!((10.0..10.3).contains(&times[1]) && times[1] <= times[2], "{times:?}");
    assert!((10.0..11.5).contains(&times[3]), "{times:?}");
    assert_eq!(outcome.share_heard(W0, PHONE[0], 4.0, 15.0), 0.0);
    assert_talked(&outcome, 17.0, 27.0);
}

#[test]
fn a_room_with_a_password_is_busy_to_whoever_brings_none() {
    let outcome = judged(as_jigasi(25, &[(2_000, Happening::Password(Some("2468")))]));
    let (at, label) = ended(&outcome, 0);
    assert_eq!((label, answered(&outcome)), ("pin_refused", None));
    assert!((3.0..3.6).contains(&at), "{at}");
    assert!(outcome.ladder.to_string().contains("486"), "{}", outcome.ladder);
    assert!(outcome.json[0].is_empty());
}

#[test]
fn heartbeats_go_on_while_they_are_answered_and_end_the_call_when_not() {
    let outcome = judged(with_ivr(two(40, &[]), Some(5), false));
    let beats = told(&outcome, 0.0);
    assert!((7..=9).contains(&beats.len()), "{beats:?}");
    assert!(beats.iter().all(|body| body == r#"{"t":11}"#));
    let plan = two(60, &[]).doing(0, &[(8_000, Action::IgnoreHeartbeats)]);
    let outcome = judged(with_ivr(plan, Some(5), false));
    let (at, label) = ended(&outcome, 0);
    assert_eq!(label, "heartbeat_lost");
    assert!((20.0..28.0).contains(&at), "{at}");
}
