//! The call machine alone: what it asks of the room, the endpoint and the shard, in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use slotmap::SlotMap;

use super::*;
use crate::base::ids::{CallKey, DialogKey, RoomKey, ShardId, TrunkId};
use crate::base::rng::Rng;
use crate::base::time::WallClock;
use crate::call::event::{DialOrder, Event};
use crate::call::machine::{CallInput, CallSettings};
use crate::call::story::Birth;
use crate::call::{CallRecord, Route, TrunkManners};
use crate::leg::backend::{CallWay, Entry, MemberChange, Role, RoomName, RoomPolicy};
use crate::leg::media::ToMedia;
use crate::leg::trunk::signal::SdpPolicy;
use crate::media::clip::{ClipLibrary, Language};
use crate::sip::endpoint::{DialogEnd, UaCommand, UaEvent};

/// What the call said, as words.
type Said = Vec<String>;

struct Stage {
    call: Call,
    now: Instant,
    start: Instant,
    dialog: DialogKey,
    ended: Option<CallRecord>,
    offer: Vec<u8>,
}

const ANSWER: &str = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
    m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

impl Stage {
    fn new(keys: Option<(u64, &str)>) -> Self {
        Self::timed(keys, RoomFirst::default())
    }

    fn timed(keys: Option<(u64, &str)>, times: RoomFirst) -> Self {
        let start = Instant::now();
        let route = Route {
            backend: "jitsi".into(),
            room: RoomName::new("tea").expect("a name"),
            role: Role::Guest,
            label: Pii::default(),
            language: Language::En,
            policy: RoomPolicy::default(),
            length_max: None,
            note: None,
            entry: Entry::default(),
        };
        let dialling = Dialling {
            target: "sip:+62@192.0.2.9".into(),
            from_user: Pii::default(),
            from_name: Pii::default(),
            headers: Vec::new(),
            route: Box::new(route),
            keys: keys.map(|(ms, keys)| (Duration::from_millis(ms), keys.bytes().collect())),
            quiet: false,
            order: DialOrder::RoomFirst(times),
        };
        let settings = CallSettings {
            media_timeout: Duration::from_secs(20),
            call_length_max: Duration::from_secs(3_600),
            clips: Arc::new(ClipLibrary::default()),
        };
        let mut calls: SlotMap<CallKey, ()> = SlotMap::with_key();
        let mut dialogs: SlotMap<DialogKey, ()> = SlotMap::with_key();
        let at = Moment { now: start, wall: WallClock::default() };
        let policy = SdpPolicy { early_media: true, ..SdpPolicy::default() };
        let call = Call::new(
            at,
            calls.insert(()),
            (TrunkId(0), policy, TrunkManners::default()),
            ShardId(0),
            Birth::Dialled(Box::new(dialling)),
            Arc::new(settings),
            Rng::from_number(1),
        );
        let dialog = dialogs.insert(());
        Self { call, now: start, start, dialog, ended: None, offer: Vec::new() }
    }

    /// Its ports are open.
    fn opened() -> Self {
        Self::new(None).open()
    }

    fn open(mut self) -> Self {
        let said =
            self.hears(CallInput::MediaOpened("192.0.2.1:20000".parse().expect("an address")));
        assert_eq!(said, ["attach", "seat Dialling"]);
        self
    }

    /// In the room with others, and the phone rings.
    fn ringing() -> Self {
        let mut stage = Self::opened().calling();
        assert_eq!(stage.progress(180), ["<ringing>"]);
        stage
    }

    /// In the room with others, and our INVITE is out.
    fn calling(mut self) -> Self {
        assert_eq!(
            self.hears(CallInput::Progress(JoinStep::Invited)),
            ["<Connecting>", "INVITE 60"]
        );
        assert_eq!(self.joined(2), Said::new());
        self
    }

    fn at(&self) -> Moment {
        Moment { now: self.now, wall: WallClock { unix: self.now - self.start } }
    }

    fn hears(&mut self, input: CallInput) -> Said {
        self.call.handle_input(self.at(), input);
        self.drain()
    }

    fn joined(&mut self, members: usize) -> Said {
        self.hears(CallInput::Joined(RoomFacts { room: RoomKey(1), members }))
    }

    fn ua(&mut self, event: UaEvent) -> Said {
        self.hears(CallInput::Ua(event))
    }

    fn progress(&mut self, status: u16) -> Said {
        let dialog = self.dialog;
        self.ua(UaEvent::Progress { dialog, status, sdp: None })
    }

    fn answered(&mut self) -> Said {
        let (dialog, sdp) = (self.dialog, Some(ANSWER.as_bytes().to_vec()));
        self.ua(UaEvent::Answered { dialog, sdp })
    }

    fn over(&mut self, how: DialogEnd) -> Said {
        let dialog = self.dialog;
        self.ua(UaEvent::Ended { dialog, how })
    }

    fn drain(&mut self) -> Said {
        let mut said = Said::new();
        while let Some(output) = self.call.poll_output() {
            said.push(match output {
                CallOutput::Ua(UaCommand::End { .. }) => "END".into(),
                CallOutput::Ua(_) => "ua".into(),
                CallOutput::Invite(invite) => {
                    self.offer.clone_from(&invite.offer);
                    let dialog = self.dialog;
                    self.call.handle_input(self.at(), CallInput::Invited(Some(dialog)));
                    format!("INVITE {}", invite.answer_within.as_secs())
                }
                CallOutput::Media(ToMedia::AttachTrunk { .. }) => "attach".into(),
                CallOutput::Media(ToMedia::Configure { session, .. }) => match session.direction {
                    Direction::SendRecv => "configure".into(),
                    other => format!("configure {other:?}"),
                },
                CallOutput::Media(ToMedia::DetachTrunk(_)) => {
                    let gone = CallInput::TrunkDetached(Default::default());
                    self.call.handle_input(self.at(), gone);
                    continue;
                }
                CallOutput::Media(ToMedia::Mute { muted, .. }) => format!("mute {muted}"),
                CallOutput::Media(ToMedia::SendKeys { keys, .. }) => {
                    format!("keys {}", keys.iter().map(|it| it.key.to_char()).collect::<String>())
                }
                CallOutput::Media(_) => continue,
                CallOutput::CloseMedia => "close".into(),
                CallOutput::OpenLeg(wish) => {
                    let way = wish.request.way;
                    assert!(!wish.request.codecs.is_empty());
                    format!("seat {way:?}")
                }
                CallOutput::Leg(LegCommand::Status(status)) => format!("<{status}>"),
                CallOutput::Leg(LegCommand::Leave(reason)) => format!("leave {reason:?}"),
                CallOutput::Leg(_) => "leg".into(),
                CallOutput::Event(Event::CallEnded(record)) => {
                    self.ended = Some(*record);
                    "over".into()
                }
                CallOutput::Event(Event::CallAnswered(_)) => "answered".into(),
                CallOutput::Event(Event::CallJoined(..)) => "joined".into(),
                CallOutput::InfoNotKnown | CallOutput::Event(_) => continue,
            });
        }
        said
    }

    /// Lets time pass, deadline by deadline.
    fn run(&mut self, ms: u64) -> Said {
        let end = self.now + Duration::from_millis(ms);
        let mut said = Said::new();
        while let Some((at, _)) = self.call.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = at;
            self.call.handle_timeout(self.at());
            said.extend(self.drain());
        }
        self.now = end;
        said
    }

    fn reason(&self) -> (EndReason, Option<u16>) {
        let record = self.ended.as_ref().expect("the call is over");
        (record.reason, record.status)
    }
}

#[test]
fn the_phone_rings_when_the_conference_counts_on_us_and_has_sound_with_its_answer() {
    let mut stage = Stage::ringing();
    let said = stage.answered();
    assert_eq!(said, ["configure", "answered", "<Connected>", "joined"]);
    // Nothing is asked anew: the seat was taken before.
    assert_eq!(stage.run(1_000), Said::new());
    assert_eq!(
        stage.over(DialogEnd::ByeReceived),
        ["<Disconnected>", "leave CallerHungUp", "close", "over"]
    );
    let record = stage.ended.expect("over");
    assert_eq!((record.reason, record.status), (EndReason::CallerHungUp, Some(200)));
    assert!(record.answered.is_some() && record.room.is_some());
}

#[test]
fn who_is_alone_in_the_room_calls_after_a_moment_and_company_makes_it_sooner() {
    let mut stage = Stage::opened();
    assert_eq!(stage.joined(1), Said::new());
    assert_eq!(stage.run(1_999), Said::new());
    assert_eq!(stage.run(1), ["<Connecting>", "INVITE 60"]);
    // Once only, whatever comes then.
    assert_eq!(stage.hears(CallInput::Progress(JoinStep::Invited)), Said::new());
    assert_eq!(stage.joined(2), Said::new());

    let mut stage = Stage::opened();
    stage.joined(1);
    stage.run(500);
    let said = stage.hears(CallInput::Progress(JoinStep::Invited));
    assert_eq!(said, ["<Connecting>", "INVITE 60"]);
    // An embedded room says only that one is in it.
    let mut stage = Stage::opened();
    assert_eq!(stage.joined(3), ["<Connecting>", "INVITE 60"]);
}

#[test]
fn a_failed_call_is_seen_for_five_seconds_with_its_reason() {
    for (how, shown, reason, status) in [
        (DialogEnd::Rejected(486), "<busy>", EndReason::Refused, Some(486)),
        (DialogEnd::Rejected(603), "<rejected>", EndReason::Refused, Some(603)),
        (DialogEnd::Rejected(404), "<Not Found>", EndReason::Refused, Some(404)),
        (DialogEnd::Rejected(503), "<Service Unavailable>", EndReason::Refused, Some(503)),
        (DialogEnd::Rejected(488), "<Not Acceptable Here>", EndReason::Refused, Some(488)),
        (DialogEnd::Rejected(499), "<Failed (499)>", EndReason::Refused, Some(499)),
        (DialogEnd::TimedOut, "<expired>", EndReason::NoAnswer, Some(408)),
        (DialogEnd::TransportFailed, "<Service Unavailable>", EndReason::PeerGone, None),
    ] {
        let mut stage = Stage::ringing();
        assert_eq!(stage.over(how), [shown]);
        assert_eq!(stage.run(4_999), Said::new());
        assert_eq!(stage.run(1), [format!("leave {reason:?}").as_str(), "close", "over"]);
        assert_eq!(stage.reason(), (reason, status));
        assert!(stage.ended.as_ref().expect("over").room.is_some());
    }
}

#[test]
fn what_the_network_plays_before_the_answer_is_heard_in_the_room_and_nothing_goes_back() {
    let early = |stage: &mut Stage, sdp: &str| {
        let (dialog, sdp) = (stage.dialog, Some(sdp.as_bytes().to_vec()));
        stage.ua(UaEvent::Progress { dialog, status: 183, sdp })
    };
    let mut stage = Stage::opened().calling();
    let heard = ["mute false", "configure RecvOnly"];
    // An announcement: it would be a hold after the answer.
    let announced = format!("{ANSWER}a=sendonly\r\n");
    assert_eq!(early(&mut stage, &announced), [&["<ringing>"][..], &heard[..]].concat());
    assert_eq!(early(&mut stage, &announced), Said::new());
    assert_eq!(early(&mut stage, ANSWER), heard);
    // It stops, and that is no silence of a phone.
    assert_eq!(stage.hears(CallInput::Silent), Said::new());
    assert_eq!(stage.hears(CallInput::Moderated(Moderation::Muted)), ["mute true"]);
    assert_eq!(stage.hears(CallInput::Moderated(Moderation::Unmuted)), ["mute false"]);
    assert_eq!(stage.answered(), ["configure", "answered", "<Connected>", "joined"]);

    let mut stage = Stage::opened().calling();
    early(&mut stage, ANSWER);
    assert_eq!(stage.over(DialogEnd::Rejected(404)), ["mute true", "<Not Found>"]);
}

/// Its owner would try another trunk at once: not for a phone that rang, or it would ring twice.
#[test]
fn a_trunk_that_fails_before_the_phone_rings_leaves_at_once_and_one_after_it_is_seen() {
    for (provisional, how, is_seen) in [
        (100, DialogEnd::Rejected(503), false),
        (100, DialogEnd::TimedOut, false),
        (180, DialogEnd::Rejected(503), true),
        (183, DialogEnd::Rejected(408), true),
        (180, DialogEnd::TimedOut, true),
    ] {
        let times = RoomFirst { linger_of_trunk: Duration::ZERO, ..RoomFirst::default() };
        let mut stage = Stage::timed(None, times).open().calling();
        stage.progress(provisional);
        stage.over(how);
        assert_eq!(stage.ended.is_none(), is_seen, "{provisional}");
        stage.run(5_000);
        let record = stage.ended.expect("over");
        assert_eq!((record.rang, record.answered), (is_seen, None), "{provisional}");
    }
}

#[test]
fn an_invite_that_cannot_be_sent_is_seen_too() {
    let mut stage = Stage::opened();
    stage.hears(CallInput::Progress(JoinStep::Invited));
    assert_eq!(stage.hears(CallInput::Invited(None)), ["<Service Unavailable>"]);
    assert_eq!(stage.run(5_000), ["leave NoResources", "close", "over"]);
}

#[test]
fn whoever_ends_it_while_it_is_shown_ends_it_at_once_for_its_first_reason() {
    let mut stage = Stage::ringing();
    stage.over(DialogEnd::Rejected(486));
    assert_eq!(stage.hears(CallInput::Left(EndReason::Kicked)), ["close", "over"]);
    assert_eq!(stage.reason(), (EndReason::Refused, Some(486)));

    let mut stage = Stage::ringing();
    stage.over(DialogEnd::Rejected(486));
    stage.call.end_by_owner(stage.at(), EndReason::Operator);
    assert_eq!(stage.drain(), ["leave Refused", "close", "over"]);
}

#[test]
fn a_kick_or_the_end_of_the_room_cancels_the_call() {
    for reason in [EndReason::Kicked, EndReason::RoomEnded, EndReason::MeetingHungUp] {
        let mut stage = Stage::ringing();
        assert_eq!(stage.hears(CallInput::Left(reason)), ["END", "close", "over"]);
        assert_eq!(stage.reason().0, reason);
    }
}

#[test]
fn who_is_put_out_before_the_phone_rings_never_calls() {
    let mut stage = Stage::opened();
    stage.joined(1);
    assert_eq!(stage.hears(CallInput::Left(EndReason::Kicked)), ["close", "over"]);
    assert_eq!(stage.run(60_000), Said::new());

    // In the very moment of the decision: told together, nothing was sent yet.
    let mut stage = Stage::opened();
    stage.call.handle_input(stage.at(), CallInput::Progress(JoinStep::Invited));
    stage.call.handle_input(stage.at(), CallInput::Left(EndReason::RoomEnded));
    assert_eq!(stage.drain(), ["<Connecting>", "close", "over"]);
}

#[test]
fn a_room_that_wants_a_password_ends_the_call_as_nobody_can_be_asked() {
    let mut stage = Stage::opened();
    let asked = CallInput::Progress(JoinStep::PasswordNeeded { again: false });
    assert_eq!(stage.hears(asked), ["leave PinRefused", "close", "over"]);
    assert_eq!(stage.reason().0, EndReason::PinRefused);
}

#[test]
fn what_happened_in_the_room_while_it_rang_is_told_with_the_answer() {
    let mut stage = Stage::ringing();
    for what in [Moderation::Muted, Moderation::Recording(true)] {
        assert_eq!(stage.hears(CallInput::Moderated(what)), Said::new());
    }
    let facts = RoomFacts { room: RoomKey(1), members: 3 };
    stage.hears(CallInput::Members(MemberChange::Entered, facts));
    let said = stage.answered();
    assert_eq!(said.last().map(String::as_str), Some("mute true"));
    assert_eq!(stage.call.members, 3);
}

#[test]
fn an_answer_while_the_bridge_is_lost_joins_when_it_is_back() {
    let mut stage = Stage::ringing();
    stage.hears(CallInput::Progress(JoinStep::Reconnecting));
    let said = stage.answered();
    assert_eq!(said, ["configure", "answered", "<Connected>", "joined"]);
    assert_eq!(stage.joined(2), Said::new());

    // Before the conference ever had sound.
    let mut stage = Stage::opened();
    stage.hears(CallInput::Progress(JoinStep::Invited));
    assert_eq!(stage.answered(), ["configure", "answered", "<Connected>"]);
    assert_eq!(stage.joined(2), ["joined"]);
}

#[test]
fn keys_behind_the_number_are_typed_after_the_answer_with_their_pauses() {
    let mut stage = Stage::new(Some((1_000, "12,,3#")));
    stage.hears(CallInput::MediaOpened("192.0.2.1:20000".parse().expect("an address")));
    stage.joined(2);
    assert_eq!(stage.run(10_000), Said::new());
    stage.answered();
    assert_eq!(stage.run(999), Said::new());
    assert_eq!(stage.run(1), ["keys 12"]);
    assert_eq!(stage.run(4_479), Said::new());
    assert_eq!(stage.run(1), ["keys 3#"]);
}

#[test]
fn nobody_else_gets_the_way_of_a_phone_that_is_being_called() {
    let mut stage = Stage::ringing();
    stage.answered();
    let route = stage.call.route.clone().expect("it has one");
    stage.call.move_to(stage.at(), route).expect("it is in a room");
    assert_eq!(stage.drain(), ["leave CallerLeft"]);
    assert_eq!(
        stage.hears(CallInput::Left(EndReason::CallerLeft)),
        [format!("seat {:?}", CallWay::Outbound)]
    );
    assert_eq!(stage.over(DialogEnd::ByeReceived), ["leave CallerHungUp", "close", "over"]);
}
