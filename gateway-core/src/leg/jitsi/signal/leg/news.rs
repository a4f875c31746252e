//! What the machines of a leg tell, and what follows from it.

use std::time::Instant;

use minidom::Element;

use super::patience::{PASSWORDS_MAX, Timer};
use super::{Leg, RecordingTold, Stage};
use crate::jitsi::focus::FocusEvent;
use crate::jitsi::lobby::LobbyEvent;
use crate::jitsi::moderation::ModerationEvent;
use crate::jitsi::muc::{MucEvent, Out};
use crate::jitsi::stanza::conference::ConferenceRefused;
use crate::jitsi::stanza::exchange::same_address;
use crate::jitsi::stanza::presence::JoinRefusal;
use crate::jitsi::stanza::room_message::{RoomMessage, Said};
use crate::leg::backend::{BackendOutput, BeforeHost, CallWay, JoinStep, Moderation as Moderated};
use crate::leg::end_reason::EndReason;
use crate::leg::jitsi::signal::recovery::Loss;
use crate::leg::jitsi::signal::session::SessionCommand;

impl Leg {
    pub(super) fn focus_said(&mut self, now: Instant, event: FocusEvent) {
        match event {
            FocusEvent::Ready => {
                self.host_is_there(now);
                if !self.muc.is_in() || self.muc.room() != self.target {
                    self.enter(Stage::Entering, "focus ready");
                    let target = self.target.clone();
                    self.muc.join(now, &target, self.password.clone());
                }
            }
            FocusEvent::SentToNode => {
                self.host_is_there(now);
                self.sent_to_node(now);
            }
            FocusEvent::NotYet => self.wait_for_host(now),
            FocusEvent::Unavailable => {}
            FocusEvent::Refused(ConferenceRefused::Reservation) => {
                self.leave(now, EndReason::Forbidden);
            }
            FocusEvent::Refused(_) => self.leave(now, EndReason::ServiceUnavailable),
        }
    }

    fn wait_for_host(&mut self, now: Instant) {
        if self.refuses_to_wait() {
            return self.leave(now, EndReason::HostNeverCame);
        }
        self.wait_for(now, Timer::Host);
        if !self.waits_for_host {
            self.waits_for_host = true;
            self.progress(JoinStep::WaitingForHost);
        }
    }

    fn refuses_to_wait(&self) -> bool {
        self.ask.policy.before_host == BeforeHost::Refuse && !self.was_settled
    }

    fn host_is_there(&mut self, now: Instant) {
        if std::mem::take(&mut self.waits_for_host) {
            self.nobody_waited_for(now);
            self.progress(JoinStep::HostArrived);
        }
    }

    pub(super) fn muc_said(&mut self, now: Instant, event: MucEvent) {
        match event {
            MucEvent::Joined => self.room_joined(now),
            MucEvent::Refused(refusal) => self.refused(now, refusal),
            MucEvent::NoAnswer => self.ask_again(now),
            // Told to the call when all is drained.
            MucEvent::Entered | MucEvent::Exited => {}
            MucEvent::FocusHere(true) => self.timers.clear(Timer::AskFocus),
            MucEvent::FocusHere(false) => self.focus_gone(now),
            MucEvent::Facts(facts) => {
                self.recording.is = RecordingTold::of(facts.recording, facts.is_audio_recorded);
            }
            MucEvent::Moderator(is_moderator) => self.moderation.set_moderator(is_moderator),
            MucEvent::Gone(nick) => self.session.command(now, SessionCommand::MemberGone(nick)),
            MucEvent::Out(out) => self.put_out(now, out),
        }
    }

    fn room_joined(&mut self, now: Instant) {
        self.enter(Stage::Inside, "room joined");
        self.nobody_waited_for(now);
        let (room, nick) = (self.muc.room().to_owned(), self.muc.nick().to_owned());
        let speaks = self.visiting.node.is_none();
        self.outputs.push_back(BackendOutput::Occupant(self.key, self.muc.own_address()));
        self.session.command(now, SessionCommand::InRoom { room, nick, speaks });
        if self.was_settled {
            self.moderation.joined();
        }
    }

    fn refused(&mut self, now: Instant, refusal: JoinRefusal) {
        match refusal {
            JoinRefusal::Password => self.ask_password(now),
            JoinRefusal::Lobby { lobby: Some(_), .. }
                if !self.ask.policy.knocks && !self.was_settled =>
            {
                self.leave(now, EndReason::LobbyDenied);
            }
            JoinRefusal::Lobby { waits_for_host: true, .. } if self.refuses_to_wait() => {
                self.leave(now, EndReason::HostNeverCame);
            }
            JoinRefusal::Lobby { lobby: Some(lobby), waits_for_host } => {
                self.enter(Stage::AtDoor, "members only");
                self.host_opens_lobby = waits_for_host;
                let (room, nick) = (self.target.clone(), self.muc.nick().to_owned());
                let own = self.muc.own().clone();
                self.lobby.knock(now, &room, &lobby, &nick, &own);
            }
            JoinRefusal::VisitorsOnly => self.only_promoted(now),
            JoinRefusal::NoRoom | JoinRefusal::TooFast => self.ask_again(now),
            // Once inside, the recovery decides how long it is tried.
            _ if self.was_settled => self.lost(now, Loss::Stream),
            JoinRefusal::Full => self.leave(now, EndReason::RoomFull),
            JoinRefusal::NickTaken | JoinRefusal::NickRefused => {
                self.leave(now, EndReason::ServiceUnavailable);
            }
            JoinRefusal::Lobby { lobby: None, .. }
            | JoinRefusal::NameRequired
            | JoinRefusal::Forbidden
            | JoinRefusal::Other(_) => self.leave(now, EndReason::Forbidden),
        }
    }

    fn ask_password(&mut self, now: Instant) {
        if self.was_settled || self.passwords_tried >= PASSWORDS_MAX {
            return self.leave(now, EndReason::PinRefused);
        }
        self.enter(Stage::Password, "room has a password");
        self.wait_for(now, Timer::Password);
        self.progress(JoinStep::PasswordNeeded { again: self.password.is_some() });
    }

    fn put_out(&mut self, now: Instant, out: Out) {
        self.moderation.left();
        self.out_of_room(now);
        match out {
            Out::Kicked => self.leave(now, EndReason::Kicked),
            Out::Ended { alternate: Some(room) } if self.may_go_to(&room) => {
                self.target = room;
                self.request(now, "sent to another room");
            }
            // A breakout room is over: back to where we came from.
            Out::Ended { .. } if self.target != self.home => {
                self.target.clone_from(&self.home);
                self.request(now, "breakout room over");
            }
            Out::Ended { .. } => self.leave(now, EndReason::RoomEnded),
            Out::Lost => {
                self.enter(Stage::Requesting, "room lost");
                match self.was_settled {
                    true => self.lost(now, Loss::Room),
                    false => self.ask_again(now),
                }
            }
        }
    }

    pub(super) fn lobby_said(&mut self, now: Instant, event: LobbyEvent) {
        match event {
            LobbyEvent::Waiting => {
                let (timer, step) = match self.host_opens_lobby {
                    true => (Timer::Host, JoinStep::InLobbyUntilHost),
                    false => (Timer::Lobby, JoinStep::InLobby),
                };
                self.wait_for(now, timer);
                self.progress(step);
                // Who dialled need not wait for the moderator as well.
                if self.ask.way == CallWay::Dialling && !self.was_settled {
                    let address = format!("{}/{}", self.target, self.muc.nick());
                    self.outputs.push_back(BackendOutput::Occupant(self.key, address));
                }
            }
            LobbyEvent::Admitted { password } => {
                self.password = password.or(self.password.take());
                self.let_in(now, "admitted");
            }
            LobbyEvent::Opened => self.let_in(now, "lobby closed"),
            LobbyEvent::Denied => self.leave(now, EndReason::LobbyDenied),
            LobbyEvent::Ended => self.leave(now, EndReason::RoomEnded),
            LobbyEvent::Lost => self.ask_again(now),
        }
    }

    fn let_in(&mut self, now: Instant, cause: &'static str) {
        self.progress(match self.host_opens_lobby {
            true => JoinStep::AdmittedByHost,
            false => JoinStep::Admitted,
        });
        self.nobody_waited_for(now);
        self.request(now, cause);
    }

    pub(super) fn moderation_said(&mut self, now: Instant, event: ModerationEvent) {
        let told = match event {
            ModerationEvent::ShowMuted(muted) => {
                self.muc.change(now, |own| {
                    own.is_muted = muted;
                    // Who speaks does not wait for his turn any more.
                    own.hand_raised_ms = own.hand_raised_ms.filter(|_| muted);
                });
                Moderated::Shown(muted)
            }
            ModerationEvent::Moderated(on) => Moderated::SpeechModerated(on),
            ModerationEvent::Approved(approved) => Moderated::SpeechApproved(approved),
            ModerationEvent::MutedByModerator => Moderated::Muted,
            ModerationEvent::MaySpeak => Moderated::UnmuteAllowed,
            ModerationEvent::SpeechRefused => {
                self.raise_hand(now, true);
                Moderated::UnmuteRefused
            }
        };
        self.outputs.push_back(BackendOutput::Moderated(self.key, told));
    }

    pub(super) fn tell_recordings(&mut self) {
        let RecordingTold { is: (is_recorded, is_streamed), is_transcribed, told } = self.recording;
        let is = (is_recorded || is_transcribed, is_streamed);
        self.recording.told = is;
        if is.0 != told.0 {
            self.outputs.push_back(BackendOutput::Moderated(self.key, Moderated::Recording(is.0)));
        }
        if is.1 != told.1 {
            self.outputs.push_back(BackendOutput::Moderated(self.key, Moderated::Streaming(is.1)));
        }
    }

    /// A message. True if it was of interest, from whoever may say it or not.
    pub(super) fn message(&mut self, now: Instant, stanza: &Element) -> bool {
        let Some(RoomMessage { from, said }) = RoomMessage::read(stanza) else { return false };
        match said {
            Said::AvModeration(said) if self.is_component("av_moderation", &from) => {
                self.moderation.av_moderation(said);
            }
            Said::Metadata(mut metadata) if self.is_component("room_metadata", &from) => {
                metadata.starts_muted =
                    metadata.starts_muted.filter(|_| self.settings.can_be_muted);
                self.moderation.metadata(metadata, self.muc.is_in());
                self.has_lobby = metadata.has_lobby.unwrap_or(self.has_lobby);
                if let Some(is_transcribed) = metadata.is_transcribed {
                    self.recording.is_transcribed = is_transcribed;
                }
            }
            Said::MoveTo(room)
                if self.is_component("breakout_rooms", &from)
                    && self.may_go_to(&room)
                    && !same_address(&room, self.muc.room()) =>
            {
                self.target = room;
                self.request(now, "moved by a moderator");
            }
            Said::Demoted(nick)
                if self.settings.visitor_domain.is_some()
                    && self.visiting.node.is_none()
                    && self.muc.is_in()
                    && nick == self.muc.nick()
                    && self.is_component("visitors", &from) =>
            {
                self.demoted(now);
            }
            _ => {}
        }
        true
    }

    /// Rooms of our own server only.
    fn may_go_to(&self, room: &str) -> bool {
        let Some((name, host)) = room.split_once('@') else { return false };
        let is_ours = host == self.settings.rooms
            || self.home.split_once('@').is_some_and(|(_, home)| home == host)
            || self.is_component("breakout_rooms", host);
        self.visiting.node.is_none()
            && is_ours
            && !name.is_empty()
            && room.len() <= ROOM_ADDRESS_MAX
            && !room.contains('/')
    }
}

/// An address has at most 1023 bytes before its `@` (RFC 7622) and a host name 255.
const ROOM_ADDRESS_MAX: usize = 1_279;
