//! One phone on its way into a Jitsi room, in it, and back into it.
//!
//!   Connecting -> Requesting -> Entering -> Inside        stream, focus, room; then the focus opens the session
//!                     ^            | \-> AtDoor -> ...    the lobby; a host who is waited for
//!                     |            \---> Password         asked of the caller
//!                     \--- Recovery: whatever was lost is got back, mild things first
//!
//! *Settled* means: in the room, and sound flows or nobody else is there to be heard. The caller is told `Joined` when
//! that is so for the first time; whenever it stops being so a [`Recovery`] runs until it is so again. While nobody
//! is waited for (`join_max`), while somebody is (lobby, host, password) and while something is lost (`rejoin_max`)
//! there is always a deadline, and its end is spoken. Visitors of very large meetings: [`visitor`].

mod hang_up;
mod news;
mod patience;
mod settle;
mod visitor;

use self::patience::{Timer, WORDS_AFTER, why};
use self::visitor::Visiting;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jid::FullJid;
use minidom::Element;
use tracing::debug;

use super::recovery::{Due, Loss, Recovery, Rejoins};
use super::session::{Hearing, Session, SessionCommand, Whom};
use super::settings::{JitsiSettings, nick_of};
use super::sounds::{Carries, Standing};
use crate::base::ids::{LegKey, RoomKey, StreamKey};
use crate::base::pii::Pii;
use crate::base::rng::Rng;
use crate::base::time::Why;
use crate::base::timers::{Timers, earliest};
use crate::jitsi::disco::Answers;
use crate::jitsi::focus::Focus;
use crate::jitsi::lobby::{Lobby, LobbyOutput};
use crate::jitsi::moderation::Moderation;
use crate::jitsi::muc::{Muc, MucOutput};
use crate::jitsi::stanza::build::element;
use crate::jitsi::stanza::disco::{DISCO_INFO, ServerAbilities};
use crate::jitsi::stanza::exchange::Iq;
use crate::jitsi::stanza::iq;
use crate::jitsi::stanza::presence::{self, OwnPresence, RecordingState, available};
use crate::leg::backend::{
    BackendOutput, CallWay, JoinRequest, JoinStep, LegCommand, MemberSnapshot, RoomFacts, RoomName,
    SocketNews, StreamAccount, StreamDownReason,
};
use crate::leg::counters::BackendCounters;
use crate::leg::end_reason::EndReason;
use crate::leg::media::ConferenceEvent;
use crate::media::ingress::EarKey;

/// Where a leg stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The stream is not up.
    Connecting,
    /// The focus is asked.
    Requesting,
    /// The room is asked.
    Entering,
    /// The caller is asked for the password.
    Password,
    /// In the lobby.
    AtDoor,
    /// In the room.
    Inside,
    /// `Left` was said.
    Gone,
}

/// One leg.
pub(super) struct Leg {
    pub(super) key: LegKey,
    pub(super) ear: EarKey,
    pub(super) settings: Arc<JitsiSettings>,
    pub(super) ask: JoinRequest,
    /// Milliseconds of Unix time at that instant, for raised hands.
    clock: (Instant, u64),
    jid: Option<FullJid>,
    /// As whom it is at the main server.
    account: StreamAccount,
    stream_is_up: bool,
    /// Our presence changed while the stream was down, and the room was not told.
    presence_missed: bool,
    /// Where the call was sent; `target` differs from it in a breakout room.
    pub(super) home: String,
    pub(super) target: String,
    pub(super) password: Option<Pii<String>>,
    pub(super) passwords_tried: u8,
    pub(super) stage: Stage,
    pub(super) focus: Focus,
    pub(super) muc: Muc,
    pub(super) lobby: Lobby,
    pub(super) moderation: Moderation,
    answers: Answers,
    pub(super) session: Box<dyn Session>,
    /// Id of our question for the server's components, and its answer.
    components_asked: String,
    components: Option<ServerAbilities>,
    pub(super) has_sound: bool,
    /// What sounds is of a room we are no longer in by the focus's book: it may end at any moment, and only another
    /// session replaces it.
    sound_is_stale: bool,
    /// `Joined` was told once.
    pub(super) was_settled: bool,
    /// People that were told to the call.
    pub(super) people_told: usize,
    pub(super) recovery: Option<Recovery>,
    rejoins: Rejoins,
    /// Of our phones in the room it is this one that hears for all.
    listens_for_room: bool,
    counters: BackendCounters,
    timers: Timers<Timer>,
    pub(super) waits_for_host: bool,
    /// The lobby opens when the host comes.
    pub(super) host_opens_lobby: bool,
    pub(super) has_lobby: bool,
    pub(super) had_web_people: bool,
    pub(super) recording: RecordingTold,
    pub(super) visiting: Visiting,
    rng: Rng,
    pub(super) outputs: VecDeque<BackendOutput>,
}

/// What the conference says of recordings, and what the caller was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RecordingTold {
    /// As it is: recorded, streamed.
    pub(super) is: (bool, bool),
    /// What is said is written down: to those who speak that is a recording.
    pub(super) is_transcribed: bool,
    /// As it was told.
    pub(super) told: (bool, bool),
}

/// What a leg is made of.
pub(super) struct Birth {
    pub(super) key: LegKey,
    pub(super) ear: EarKey,
    pub(super) settings: Arc<JitsiSettings>,
    pub(super) ask: JoinRequest,
    pub(super) clock: (Instant, u64),
    pub(super) answers: Answers,
    pub(super) session: Box<dyn Session>,
    pub(super) rng: Rng,
}

impl Leg {
    /// Whether this is the room its caller asked for.
    pub(super) fn is_for(&self, room: &RoomName) -> bool {
        self.ask.room == *room
    }

    /// A leg that wants its stream.
    pub(super) fn new(now: Instant, birth: Birth) -> Self {
        let Birth { key, ear, settings, ask, clock, answers, session, mut rng } = birth;
        let own = own_presence(&settings, &ask, &answers);
        let nick = ask.entry.nick.as_ref().filter(|_| settings.user_as_nick);
        let nick = nick.and_then(|nick| nick_of(nick.reveal()));
        let home = settings.room_address_of(&ask.room, ask.entry.tenant.as_deref());
        let account = settings.account_of(&ask.room, &ask.entry, &mut rng);
        let mut leg = Self {
            key,
            ear,
            focus: Focus::new(&settings.focus, rng.fork("focus")),
            muc: Muc::new(own, nick, rng.fork("muc")),
            lobby: Lobby::default(),
            moderation: Moderation::new(rng.fork("moderation")),
            password: ask.entry.password.clone(),
            visiting: Visiting::new(ask.entry.visitor),
            account: account.clone(),
            settings,
            ask,
            clock,
            jid: None,
            stream_is_up: false,
            presence_missed: false,
            target: home.clone(),
            home,
            passwords_tried: 0,
            stage: Stage::Connecting,
            answers,
            session,
            components_asked: String::new(),
            components: None,
            has_sound: false,
            sound_is_stale: false,
            was_settled: false,
            people_told: 0,
            recovery: None,
            rejoins: Rejoins::default(),
            listens_for_room: true,
            counters: BackendCounters::default(),
            timers: Timers::default(),
            waits_for_host: false,
            host_opens_lobby: false,
            has_lobby: false,
            had_web_people: false,
            recording: RecordingTold::default(),
            rng,
            outputs: VecDeque::new(),
        };
        let stream = StreamKey(key);
        leg.outputs.push_back(BackendOutput::OpenStream { stream, account });
        leg.timers.set(Timer::Words, now + WORDS_AFTER);
        leg.timers.set(Timer::Join, now + leg.settings.join_max);
        leg
    }

    /// The stream is up.
    pub(super) fn stream_up(&mut self, now: Instant, jid: FullJid, resumed: bool) {
        self.stream_is_up = true;
        self.timers.clear(Timer::Node);
        let same = resumed && self.jid.as_ref() == Some(&jid);
        self.jid = Some(jid);
        if std::mem::take(&mut self.presence_missed) && same {
            self.muc.tell_again(now);
        }
        if !same {
            self.muc.stream_lost();
            self.lobby.stream_lost();
            self.moderation.left();
            self.out_of_room(now);
            self.send(available());
            self.ask_for_components();
            if self.stage != Stage::Password {
                self.request(now, "stream up");
            }
            self.lost(now, Loss::Stream);
            if let Some(recovery) = &mut self.recovery {
                recovery.rejoining(now);
            }
        }
        self.settle(now);
    }

    /// The stream is down; it comes back by itself.
    pub(super) fn stream_down(&mut self, now: Instant, reason: StreamDownReason) {
        debug!(leg = %self.key, ?reason, "stream down");
        self.stream_is_up = false;
        self.focus.stop();
        let is_hopeless =
            matches!(reason, StreamDownReason::NotAuthorized | StreamDownReason::Certificate);
        if is_hopeless && !self.was_settled {
            return self.leave(now, EndReason::ServiceUnavailable);
        }
        self.watch_node(now);
        if let Some(recovery) = &mut self.recovery {
            recovery.worse(now, Loss::Stream, Duration::ZERO);
        }
        self.settle(now);
    }

    /// From the WebSocket of the bridge channel.
    pub(super) fn bridge_socket(&mut self, now: Instant, news: SocketNews) {
        self.session.handle_socket(now, news);
        self.drain(now);
    }

    /// A stanza of our stream.
    pub(super) fn handle_stanza(&mut self, now: Instant, stanza: &Element) {
        let taken = self.focus.handle_stanza(now, stanza)
            || self.components_answered(stanza)
            || self.lobby.handle_stanza(stanza)
            || self.muc.handle_stanza(now, stanza)
            || self.message(now, stanza);
        if !taken {
            self.other_stanza(now, stanza);
        }
        self.drain(now);
    }

    fn other_stanza(&mut self, now: Instant, stanza: &Element) {
        let iq = Iq::read(stanza);
        let (focus, own) = (self.muc.focus_address(), self.muc.own_address());
        if iq.is_some_and(|iq| self.moderation.handle_iq(&iq, &focus, &own))
            || iq.is_some_and(|iq| self.hang_up_asked(now, &iq))
            || iq.is_some_and(|iq| self.promotion_answered(now, &iq))
            || self.session.handle_stanza(now, stanza)
        {
            return;
        }
        if let Some(answer) = iq.and_then(|iq| self.answers.answer(&iq)) {
            self.send(answer);
        }
    }

    fn ask_for_components(&mut self) {
        self.components_asked = self.rng.token(12);
        let query = element("query", DISCO_INFO).build();
        let ask = iq::get(&self.components_asked, self.domain(), query);
        self.send(ask);
    }

    fn components_answered(&mut self, stanza: &Element) -> bool {
        let Some(iq) = Iq::read(stanza) else { return false };
        if self.components_asked.is_empty() || !iq.answers(&self.components_asked, self.domain()) {
            return false;
        }
        self.components_asked.clear();
        self.components = iq.payload.and_then(ServerAbilities::read);
        true
    }

    /// Whether this is the address of our server's component of that kind. Before the server named it: the usual
    /// name.
    pub(super) fn is_component(&self, kind: &str, from: &str) -> bool {
        match self.components.as_ref().and_then(|it| it.component(kind)) {
            Some(address) => from == address,
            None => {
                let usual = match kind {
                    "av_moderation" => "avmoderation",
                    "room_metadata" => "metadata",
                    "breakout_rooms" => "breakout",
                    other => other,
                };
                from == format!("{usual}.{}", self.domain())
            }
        }
    }

    /// What the call wants.
    pub(super) fn command(&mut self, now: Instant, command: LegCommand) {
        match command {
            LegCommand::Leave(reason) => return self.leave(now, reason),
            LegCommand::Mute(false) if self.visiting.node.is_some() => self.visitor_speaks(now),
            LegCommand::Mute(muted) => {
                let (focus, own) = (self.muc.focus_address(), self.muc.own_address());
                self.moderation.want_muted(now, muted, &focus, &own);
            }
            LegCommand::RaiseHand(raised) => self.raise_hand(now, raised),
            LegCommand::Codecs(codecs) => {
                self.session.command(now, SessionCommand::Codecs(codecs));
            }
            // Its lobby is opened by a moderator of the meeting.
            LegCommand::Admit => {}
            LegCommand::Password(password) => self.password_typed(now, password),
            LegCommand::Status(status) => self.muc.change(now, |own| own.status = status),
        }
        self.drain(now);
    }

    pub(super) fn raise_hand(&mut self, now: Instant, raised: bool) {
        let (then, unix_ms) = self.clock;
        let since = unix_ms + now.saturating_duration_since(then).as_millis() as u64;
        let is_visitor = self.visiting.node.is_some();
        self.muc.change(now, |own| {
            own.shows_lowered_hand |= is_visitor;
            own.hand_raised_ms = raised.then(|| own.hand_raised_ms.unwrap_or(since));
        });
    }

    fn password_typed(&mut self, now: Instant, password: Pii<String>) {
        match self.stage {
            Stage::Password if password.reveal().is_empty() => {
                return self.leave(now, EndReason::PinNotGiven);
            }
            Stage::Password => self.timers.clear(Timer::Password),
            // Told while he waits: whoever knows the password need not.
            Stage::AtDoor if !password.reveal().is_empty() => self.lobby.leave(),
            // It is not known yet whether one is wanted.
            Stage::Connecting | Stage::Requesting => return self.password = Some(password),
            _ => return,
        }
        self.passwords_tried += 1;
        self.password = Some(password);
        self.nobody_waited_for(now);
        self.request(now, "password typed");
    }

    /// From the media half.
    pub(super) fn handle_media(&mut self, now: Instant, event: ConferenceEvent) {
        self.session.handle_media(now, event);
        self.drain(now);
    }

    /// A port towards the bridge is there, or could not be had.
    pub(super) fn port_opened(&mut self, now: Instant, socket: u8, address: Option<SocketAddr>) {
        self.session.port_opened(now, socket, address);
        self.drain(now);
    }

    /// Due deadlines.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.focus.handle_timeout(now);
        self.muc.handle_timeout(now);
        self.lobby.handle_timeout(now);
        self.moderation.handle_timeout(now);
        self.session.handle_timeout(now);
        while let Some(timer) = self.timers.pop_due(now) {
            self.timer(now, timer);
        }
        while let Some(due) = self.recovery.as_mut().and_then(|it| it.pop_due(now)) {
            match due {
                Due::Say => self.progress(JoinStep::Reconnecting),
                Due::Try(step) => self.try_step(now, step),
                Due::GiveUp => {
                    self.counters.conferences_given_up += 1;
                    return self.leave(now, EndReason::ConferenceLost);
                }
            }
        }
        self.drain(now);
    }

    /// The focus does not count on our session any more; what sounds may sound on until there is another.
    pub(super) fn out_of_room(&mut self, now: Instant) {
        self.sound_is_stale = true;
        self.session.command(now, SessionCommand::OutOfRoom);
    }

    /// The focus is asked for the room we want.
    pub(super) fn request(&mut self, now: Instant, cause: &'static str) {
        if !self.stream_is_up {
            return;
        }
        if let Some(node) = self.visiting.node.clone() {
            return self.request_at(now, &node, cause);
        }
        if !self.muc.is_in() || self.muc.room() != self.target {
            self.enter(Stage::Requesting, cause);
        }
        self.ask_focus(now);
    }

    /// The focus is asked on the main server.
    pub(super) fn ask_focus(&mut self, now: Instant) {
        if self.visiting.node.is_some() {
            return self.to_main(now, "the focus is asked");
        }
        self.focus.set_visitor(self.visitor_wish());
        self.focus.ask(now, &self.target);
    }

    /// The one place where a leg moves on.
    pub(super) fn enter(&mut self, stage: Stage, cause: &'static str) {
        debug!(leg = %self.key, from = ?self.stage, to = ?stage, cause);
        self.stage = stage;
    }

    /// Out of everything, aloud if there is a reason.
    pub(super) fn leave(&mut self, now: Instant, reason: EndReason) {
        if self.stage == Stage::Gone {
            return;
        }
        self.enter(Stage::Gone, reason.row().label);
        self.timers.clear_all();
        self.recovery = None;
        self.focus.stop();
        self.session.command(now, SessionCommand::Close);
        self.drain_session(now);
        self.lobby.leave();
        self.muc.leave();
        self.drain_goodbyes();
        self.outputs.push_back(BackendOutput::CloseStream(StreamKey(self.key)));
        self.outputs.push_back(BackendOutput::Left(self.key, reason));
    }

    pub(super) fn drain_goodbyes(&mut self) {
        while let Some(output) = self.lobby.poll_output() {
            if let LobbyOutput::Send(stanza) = output {
                self.send(stanza);
            }
        }
        while let Some(output) = self.muc.poll_output() {
            if let MucOutput::Send(stanza) = output {
                self.send(stanza);
            }
        }
    }

    /// The next deadline.
    pub(super) fn poll_timeout(&self) -> Option<(Instant, Why)> {
        let recovery = self.recovery.as_ref().map(Recovery::poll_timeout);
        [
            self.focus.poll_timeout(),
            self.muc.poll_timeout(),
            self.lobby.poll_timeout(),
            self.moderation.poll_timeout(),
            self.session.poll_timeout(),
            recovery,
        ]
        .into_iter()
        .fold(self.timers.next(why), earliest)
    }

    /// The leg as it stands.
    pub(super) fn snapshot(&self) -> MemberSnapshot {
        MemberSnapshot {
            leg: self.key,
            role: self.ask.role,
            label: self.ask.label.clone(),
            waiting: !self.was_settled,
            muted: self.moderation.is_muted(),
            speaking: false,
            hand_raised: self.muc.own().hand_raised_ms.is_some(),
        }
    }

    /// Where it stands, if it is in a room.
    pub(super) fn standing(&self) -> Option<Standing> {
        (self.muc.is_in() && self.stage != Stage::Gone).then(|| Standing {
            room: self.muc.room().to_owned(),
            nick: self.muc.nick().to_owned(),
            ear: self.ear,
            sound: match (self.has_sound, self.stream_is_up && !self.sound_is_stale) {
                (false, _) => Carries::Nothing,
                (true, false) => Carries::Perhaps,
                (true, true) => Carries::Sound,
            },
        })
    }

    /// Whom it hears for its room.
    pub(super) fn hear(&mut self, now: Instant, hearing: Hearing) {
        self.listens_for_room = hearing.whom == Whom::All;
        self.session.command(now, SessionCommand::Hear(hearing));
        self.drain(now);
    }

    /// What it met since it was asked last.
    pub(super) fn take_counters(&mut self) -> BackendCounters {
        let mut counters = std::mem::take(&mut self.counters);
        counters.add(&self.session.take_counters());
        counters
    }

    /// `Left` was said.
    pub(super) fn is_gone(&self) -> bool {
        self.stage == Stage::Gone
    }

    pub(super) fn facts(&self) -> RoomFacts {
        RoomFacts { room: RoomKey::default(), members: self.muc.people().all }
    }

    pub(super) fn progress(&mut self, step: JoinStep) {
        self.outputs.push_back(BackendOutput::Progress(self.key, step));
    }

    pub(super) fn send(&mut self, stanza: Element) {
        if self.stream_is_up {
            self.outputs.push_back(BackendOutput::Stanza(StreamKey(self.key), stanza));
        } else {
            self.presence_missed |= stanza.name() == "presence";
        }
    }
}

/// How others see the phone at first.
fn own_presence(settings: &JitsiSettings, ask: &JoinRequest, answers: &Answers) -> OwnPresence {
    OwnPresence {
        name: if ask.label.reveal().is_empty() {
            Pii::new("Phone".into())
        } else {
            ask.label.clone()
        },
        stats_id: settings.stats_id.clone(),
        is_inbound: ask.way == CallWay::Inbound,
        headers: presence::showable(&ask.entry.extra),
        is_muted: false,
        can_be_muted: settings.can_be_muted,
        hand_raised_ms: None,
        shows_lowered_hand: false,
        status: match ask.way {
            CallWay::Dialling => "Initializing Call".to_owned(),
            CallWay::Inbound | CallWay::Outbound => "Connecting".to_owned(),
        },
        caps: answers.abilities().caps(),
    }
}

impl RecordingTold {
    pub(super) fn of(recording: Option<RecordingState>, is_audio_recorded: bool) -> (bool, bool) {
        let on = |is_stream| recording.is_some_and(|it| it.is_on && it.is_stream == is_stream);
        (on(false) || is_audio_recorded, on(true))
    }
}
