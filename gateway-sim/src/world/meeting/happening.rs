//! What happens in a meeting, done to the stand-ins.

use std::time::Duration;

use gateway_core::base::ids::{LegKey, StreamKey};
use gateway_core::gateway::Input;
use gateway_core::jitsi::stanza::build::element;
use gateway_core::jitsi::stanza::jingle::{Action, Jingle, Reason};
use gateway_core::jitsi::stanza::ns;
use gateway_core::jitsi::stanza::rayo::RAYO;
use gateway_core::leg::backend::StreamDownReason;
use minidom::Element;

use super::{Meeting, ROOM, StreamState};
use crate::jitsi::{Endpoint, JitsiServer};
use crate::plan::meeting::{Happening, Lie, Who};
use crate::world::World;

impl World {
    /// Everything whose time has come.
    pub(super) fn let_happen(&mut self) {
        loop {
            let elapsed = self.elapsed;
            let Some(meeting) = &mut self.meeting else { return };
            if meeting.to_happen.front().is_none_or(|(at, _)| *at > elapsed) {
                return;
            }
            let Some((_, happening)) = meeting.to_happen.pop_front() else { return };
            self.ladder.note(elapsed, "meeting", &format!("{happening:?}"));
            self.write_down("happening", &[format!("{happening:?}").as_bytes()]);
            self.happens(happening);
        }
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::StreamBreaks(phone, lasts, resumes) => {
                if let Some(call) = self.watch.call_of(phone) {
                    self.cut_stream(StreamKey(LegKey::conference(call)), lasts, resumes);
                }
            }
            Happening::ServerRestarts(lasts) => self.server_restarts(lasts),
            Happening::Lie(phone, lie) => self.lie(phone, lie),
            Happening::HangUp(web, phone) => self.ask_to_hang_up(web, phone),
            Happening::Admit(who) | Happening::Deny(who) => {
                let nick = self
                    .client(who)
                    .and_then(|client| self.meeting.as_ref()?.server.knocks_as(client, ROOM));
                let (Some(nick), Some(meeting)) = (nick, &mut self.meeting) else { return };
                let endpoint = Endpoint { room: ROOM.to_owned(), nick };
                match happening {
                    Happening::Admit(_) => meeting.server.admit(&endpoint),
                    _ => meeting.server.deny(&endpoint),
                }
            }
            Happening::Mute(who)
            | Happening::Approve(who)
            | Happening::Kick(who)
            | Happening::Breakout(who)
            | Happening::Move(who)
            | Happening::ReplaceTransport(who)
            | Happening::PathBreaks(who, _)
            | Happening::Promote(who, _)
            | Happening::Demote(who)
            | Happening::EndSession(who, _) => {
                let client = self.client(who);
                let Some(meeting) = &mut self.meeting else { return };
                let Some(endpoint) = client.and_then(|it| meeting.endpoint(it)) else { return };
                meeting.happens_to(self.elapsed, &endpoint, happening);
            }
            other => {
                if let Some(meeting) = &mut self.meeting {
                    meeting.happens(other);
                }
            }
        }
    }

    fn server_restarts(&mut self, lasts: Duration) {
        let until = self.elapsed + lasts;
        let Some(meeting) = &mut self.meeting else { return };
        meeting.server_down_until = Some(until);
        meeting.server.restart();
        meeting.owners.clear();
        meeting.web_clients.fill(None);
        let mut down = Vec::new();
        for (place, (key, stream)) in meeting.streams.iter_mut().enumerate() {
            // Never all at once.
            let again = until + BACK_OFF * (1 + place as u32);
            if matches!(stream.state, StreamState::Up(..)) {
                down.push(*key);
            }
            stream.state = StreamState::Connecting(again);
            stream.missed.clear();
        }
        for stream in down {
            self.note_stream(stream, "stream down");
            let reason = StreamDownReason::ClosedByServer;
            self.gateway.handle_input(self.now(), Input::StreamDown { stream, reason });
            self.settle();
        }
    }

    fn ask_to_hang_up(&mut self, web: usize, phone: usize) {
        let Some(client) = self.client(Who::Phone(phone)) else { return };
        let Some(meeting) = &mut self.meeting else { return };
        let hang_up = element("hangup", RAYO).build();
        let iq = element("iq", ns::CLIENT).attr("type", "set").attr("id", "hang up");
        let from = format!("{ROOM}/{}", meeting.webs[web].nick());
        meeting.server.inject(client, iq.attr("from", from).child(hang_up).build());
    }

    fn lie(&mut self, phone: usize, lie: Lie) {
        let Some(client) = self.client(Who::Phone(phone)) else { return };
        let Some(meeting) = &mut self.meeting else { return };
        let stanza = lie_of(lie);
        meeting.server.inject(client, stanza);
    }
}

impl Meeting {
    fn happens_to(&mut self, now: Duration, who: &Endpoint, happening: Happening) {
        let server = &mut self.server;
        match happening {
            Happening::Mute(_) => server.mute_by_moderator(who),
            Happening::Approve(_) => server.approve(who),
            Happening::Kick(_) => server.kick(who),
            Happening::Promote(_, allow) => _ = server.answer_hand(who, allow),
            Happening::Demote(_) => server.demote(who, "web"),
            Happening::Breakout(_) => server.move_to(who, &JitsiServer::breakout_room(1)),
            Happening::Move(_) => server.move_endpoint(who),
            Happening::ReplaceTransport(_) => server.replace_transport(who),
            Happening::PathBreaks(_, lasts) => self.bridge.cut_path(who, now + lasts),
            Happening::EndSession(_, reason) => server.end(who, reason),
            _ => {}
        }
    }

    fn happens(&mut self, happening: Happening) {
        let server = &mut self.server;
        match happening {
            Happening::MuteOneself(index, muted) => self.webs[index].mute(muted),
            Happening::Press(index, keys) => self.webs[index].press(keys),
            Happening::AvModeration(on) => server.set_av_moderation(ROOM, on),
            Happening::StartMuted(on) => server.set_starts_muted(ROOM, on),
            Happening::Lobby(on) => server.set_lobby(ROOM, on),
            Happening::HostLobby(waits) => server.set_lobby_of_host(ROOM, waits),
            Happening::Password(password) => server.set_password(ROOM, password),
            Happening::PeopleMax(most) => server.set_people_max(ROOM, most),
            Happening::WantHost => server.want_host(ROOM),
            Happening::EndForAll => server.destroy(ROOM),
            Happening::Recording(mode, on) => server.set_recording(ROOM, mode, on),
            Happening::CloseBreakout => server.destroy(&JitsiServer::breakout_room(1)),
            Happening::BridgeDies => {
                self.bridge.die();
                server.bridge_died();
            }
            Happening::BridgeDiesUnnoticed => self.bridge.die(),
            Happening::FocusStops => server.stop_focus(),
            Happening::FocusResumes => server.resume_focus(),
            Happening::FocusForgets => server.start_focus(),
            _ => {}
        }
    }
}

fn lie_of(lie: Lie) -> Element {
    let from_focus = format!("{ROOM}/focus");
    let set = |from: &str, payload: Element| {
        let iq = element("iq", ns::CLIENT).attr("type", "set").attr("id", "lie/+1==");
        iq.attr("from", from).child(payload).build()
    };
    let ended = |sid: &str| {
        let reason = Reason { condition: "success".to_owned(), text: None };
        Jingle { reason: Some(reason), ..Jingle::new(Action::SessionTerminate, sid) }.write()
    };
    let offered = || Jingle::new(Action::SessionInitiate, "a lie").write();
    let json = |from: &str, json: &str| {
        let body = element("json-message", ns::JITMEET).text(json);
        element("message", ns::CLIENT).attr("from", from).child(body).build()
    };
    let moved = |room: &str| {
        format!(
            r#"{{"type":"breakout_rooms","event":"features/breakout-rooms/move-to-room","roomJid":"{room}"}}"#
        )
    };
    match lie {
        Lie::ForeignSession => set(&from_focus, ended("never-was")),
        Lie::OtherRoom => set("other@muc.meet.test/focus", offered()),
        Lie::Stranger => set(&format!("{ROOM}/web00000"), offered()),
        Lie::StrangersMute => {
            let mute = element("mute", "http://jitsi.org/jitmeet/audio").text("true");
            set(&format!("{ROOM}/web00000"), mute.build())
        }
        Lie::FalseComponent => {
            json(&format!("{ROOM}/web00000"), &moved(&JitsiServer::breakout_room(1)))
        }
        Lie::ForeignRoom => json("breakout.meet.test", &moved("trap@muc.example.org")),
    }
}

const BACK_OFF: Duration = Duration::from_millis(700);
