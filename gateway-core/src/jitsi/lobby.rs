//! Waiting in front of a room until a moderator decides.
//!
//!   Out -> Knocking -> Waiting -> Out       admitted, denied, or the lobby was closed
//!
//! The lobby is a room of its own, in which we see ourselves and moderators only. Being admitted is an invitation from
//! the *main* room: an invitation from anywhere else means nothing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use minidom::Element;
use tracing::debug;

use super::stanza::exchange::same_address;
use super::stanza::presence::{self, Gone, OwnPresence, PresenceKind, RoomPresence};
use super::stanza::room_message::{RoomMessage, Said};
use crate::base::pii::Pii;
use crate::base::time::Why;

/// The lobby answers our knock within this.
pub const KNOCK_HEARD_WITHIN: Duration = Duration::from_secs(10);

const KNOCK: Why = Why("jitsi.lobby_knock");

/// From the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum LobbyOutput {
    /// To the stream.
    Send(Element),
    /// To the owner.
    Event(LobbyEvent),
}

/// What happened in the lobby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LobbyEvent {
    /// Moderators see us.
    Waiting,
    /// Come in.
    Admitted {
        /// Password of the room, where the invitation had one.
        password: Option<Pii<String>>,
    },
    /// No.
    Denied,
    /// There is no lobby any more: everybody may come in.
    Opened,
    /// The meeting is over.
    Ended,
    /// The lobby did not take us: try the main room again.
    Lost,
}

/// The machine. One per leg.
#[derive(Default)]
pub struct Lobby {
    /// Address of the main room.
    main: String,
    /// Address of the lobby.
    lobby: String,
    nick: String,
    state: State,
    outputs: VecDeque<LobbyOutput>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Out,
    Knocking {
        until: Instant,
    },
    Waiting,
}

impl Lobby {
    /// Knocks at `lobby` for `main`, under the name that moderators will read.
    pub fn knock(&mut self, now: Instant, main: &str, lobby: &str, nick: &str, own: &OwnPresence) {
        main.clone_into(&mut self.main);
        lobby.clone_into(&mut self.lobby);
        nick.clone_into(&mut self.nick);
        self.state = State::Knocking { until: now + KNOCK_HEARD_WITHIN };
        self.outputs.push_back(LobbyOutput::Send(own.join(lobby, nick, None)));
    }

    /// Goes away; nothing is told of it.
    pub fn leave(&mut self) {
        if self.state != State::Out {
            let leave = presence::leave(&self.lobby, &self.nick);
            self.outputs.push_back(LobbyOutput::Send(leave));
        }
        self.state = State::Out;
    }

    /// The stream was lost with all it held.
    pub fn stream_lost(&mut self) {
        self.state = State::Out;
    }

    /// Knocking or waiting.
    pub fn is_at_door(&self) -> bool {
        self.state != State::Out
    }

    /// True if this was about our waiting.
    pub fn handle_stanza(&mut self, stanza: &Element) -> bool {
        if self.state == State::Out {
            return false;
        }
        if let Some(seen) = RoomPresence::read(stanza) {
            let is_ours = same_address(&seen.room, &self.lobby);
            if is_ours {
                self.seen(seen);
            }
            return is_ours;
        }
        let Some(message) = RoomMessage::read(stanza) else { return false };
        match message.said {
            Said::Invited { password } if same_address(&message.from, &self.main) => {
                self.leave();
                self.over(LobbyEvent::Admitted { password }, "invited");
                true
            }
            _ => false,
        }
    }

    fn seen(&mut self, seen: RoomPresence) {
        match seen.kind {
            PresenceKind::Here(occupant) if occupant.is_self || seen.nick == self.nick => {
                if matches!(self.state, State::Knocking { .. }) {
                    self.state = State::Waiting;
                    self.outputs.push_back(LobbyOutput::Event(LobbyEvent::Waiting));
                }
            }
            PresenceKind::Gone(gone) if gone.is_self || seen.nick == self.nick => self.gone(gone),
            PresenceKind::Refused(_) => self.over(LobbyEvent::Lost, "refused"),
            _ => {}
        }
    }

    fn gone(&mut self, gone: Gone) {
        let event = match gone.destroyed {
            Some(destroyed) if destroyed.alternate.is_some() => LobbyEvent::Opened,
            Some(_) => LobbyEvent::Ended,
            None if gone.was_kicked || gone.was_banned => LobbyEvent::Denied,
            None => LobbyEvent::Lost,
        };
        self.over(event, "out of the lobby");
    }

    fn over(&mut self, event: LobbyEvent, cause: &'static str) {
        debug!(from = "Lobby", to = "Out", cause);
        self.state = State::Out;
        self.outputs.push_back(LobbyOutput::Event(event));
    }

    /// Due deadlines.
    pub fn handle_timeout(&mut self, now: Instant) {
        if matches!(self.state, State::Knocking { until } if until <= now) {
            self.leave();
            self.over(LobbyEvent::Lost, "knock not heard");
        }
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<LobbyOutput> {
        self.outputs.pop_front()
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        match self.state {
            State::Knocking { until } => Some((until, KNOCK)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitsi::capture::{Capture, parse_stanzas};
    use crate::jitsi::stanza::disco::Abilities;

    const MAIN: &str = "lobby1@muc.meet.test";
    const LOBBY: &str = "lobby1@lobby.meet.test";

    fn own() -> OwnPresence {
        OwnPresence {
            name: Pii::new("Phone".into()),
            stats_id: "weebee".into(),
            is_inbound: true,
            headers: Vec::new(),
            is_muted: false,
            can_be_muted: true,
            hand_raised_ms: None,
            shows_lowered_hand: false,
            status: String::new(),
            caps: Abilities::new(&[]).caps(),
        }
    }

    fn knocking(nick: &str) -> (Lobby, Instant) {
        let (mut lobby, now) = (Lobby::default(), Instant::now());
        lobby.knock(now, MAIN, LOBBY, nick, &own());
        (lobby, now)
    }

    fn outputs(lobby: &mut Lobby) -> Vec<LobbyOutput> {
        std::iter::from_fn(|| lobby.poll_output()).collect()
    }

    fn events(lobby: &mut Lobby) -> Vec<LobbyEvent> {
        let event = |output| match output {
            LobbyOutput::Event(event) => Some(event),
            LobbyOutput::Send(_) => None,
        };
        outputs(lobby).into_iter().filter_map(event).collect()
    }

    #[test]
    fn the_phone_of_the_capture_is_admitted_and_says_goodbye_to_the_lobby() {
        let capture = Capture::stanzas("52-lobby-admit");
        let (mut lobby, _) = knocking("9f4a0b49");
        let knock = capture.sent("C").next().expect("C knocked");
        let LobbyOutput::Send(ours) = &outputs(&mut lobby)[0] else { panic!("no knock") };
        assert_eq!(ours.attr("to"), knock.attr("to"));
        let mut seen = Vec::new();
        let mut goodbyes = Vec::new();
        for stanza in capture.received("C") {
            lobby.handle_stanza(stanza);
            for output in outputs(&mut lobby) {
                match output {
                    LobbyOutput::Event(event) => seen.push(event),
                    LobbyOutput::Send(element) => goodbyes.push(element),
                }
            }
        }
        assert_eq!(seen, [LobbyEvent::Waiting, LobbyEvent::Admitted { password: None }]);
        let goodbye = capture.sent("C").find(|it| it.attr("type") == Some("unavailable"));
        assert_eq!(Some(&goodbyes[0]), goodbye);
    }

    #[test]
    fn a_denial_and_a_closed_lobby_are_told_apart() {
        let capture = Capture::stanzas("53-lobby-deny-and-close");
        let (mut lobby, now) = knocking("2bf3e915");
        let mut seen = Vec::new();
        for stanza in capture.received("D") {
            lobby.handle_stanza(stanza);
            for event in events(&mut lobby) {
                if event == LobbyEvent::Denied {
                    lobby.knock(now, MAIN, LOBBY, "2bf3e915", &own());
                }
                seen.push(event);
            }
        }
        let waiting = LobbyEvent::Waiting;
        assert_eq!(seen, [waiting.clone(), LobbyEvent::Denied, waiting, LobbyEvent::Opened]);
    }

    #[test]
    fn an_invitation_from_elsewhere_lets_nobody_in() {
        let (mut lobby, _) = knocking("aa");
        events(&mut lobby);
        for from in ["evil@muc.meet.test", "lobby1@muc.evil.test", LOBBY] {
            let xml = format!(
                "<message from='{from}'><x xmlns='http://jabber.org/protocol/muc#user'><invite/></x></message>"
            );
            assert!(!lobby.handle_stanza(&parse_stanzas(&xml).expect("XML")[0]));
        }
        assert_eq!(events(&mut lobby), []);
        assert!(lobby.is_at_door());
    }

    #[test]
    fn a_knock_that_nobody_hears_ends() {
        let (mut lobby, now) = knocking("aa");
        let (at, _) = lobby.poll_timeout().expect("a deadline");
        assert_eq!(at, now + KNOCK_HEARD_WITHIN);
        lobby.handle_timeout(at);
        assert_eq!(events(&mut lobby), [LobbyEvent::Lost]);
        assert_eq!(lobby.poll_timeout(), None);
    }
}
