//! After every input: what the machines of a leg say is carried, and the call is told what changed by it.

use std::time::Instant;

use tracing::debug;

use super::patience::{INVITED_WITHIN, Timer};
use super::{Leg, Stage};
use crate::base::ids::StreamKey;
use crate::jitsi::focus::FocusOutput;
use crate::jitsi::lobby::LobbyOutput;
use crate::jitsi::moderation::ModerationOutput;
use crate::jitsi::muc::MucOutput;
use crate::leg::backend::{BackendOutput, CallWay, EmptyRoom, JoinStep, MemberChange};
use crate::leg::jitsi::signal::recovery::{Loss, Recovery};
use crate::leg::jitsi::signal::session::{Ending, SessionEvent, SessionOutput};

impl Leg {
    /// Everything our machines have to say, then whether we are settled.
    pub(in crate::leg::jitsi::signal) fn drain(&mut self, now: Instant) {
        while self.stage != Stage::Gone && self.drain_one(now) {}
        self.settle(now);
    }

    fn drain_one(&mut self, now: Instant) -> bool {
        // A room is left before the focus is asked for it anew.
        if let Some(output) = self.muc.poll_output() {
            match output {
                MucOutput::Send(stanza) => self.send(stanza),
                MucOutput::Event(event) => self.muc_said(now, event),
            }
        } else if let Some(output) = self.focus.poll_output() {
            match output {
                FocusOutput::Send(stanza) => self.send(stanza),
                FocusOutput::Event(event) => self.focus_said(now, event),
            }
        } else if let Some(output) = self.lobby.poll_output() {
            match output {
                LobbyOutput::Send(stanza) => self.send(stanza),
                LobbyOutput::Event(event) => self.lobby_said(now, event),
            }
        } else if let Some(output) = self.moderation.poll_output() {
            match output {
                ModerationOutput::Send(stanza) => self.send(stanza),
                ModerationOutput::Event(event) => self.moderation_said(now, event),
            }
        } else {
            return self.drain_session(now);
        }
        true
    }

    /// True if it had something to say.
    pub(super) fn drain_session(&mut self, now: Instant) -> bool {
        let mut had_any = false;
        while let Some(output) = self.session.poll_output() {
            had_any = true;
            match output {
                SessionOutput::Send(stanza) => self.send(stanza),
                SessionOutput::Media(media) => {
                    self.outputs.push_back(BackendOutput::Media(self.key, media));
                }
                SessionOutput::OpenPort(socket) => {
                    self.outputs.push_back(BackendOutput::OpenPort { leg: self.key, socket });
                }
                SessionOutput::ClosePort(socket) => {
                    self.outputs.push_back(BackendOutput::ClosePort { leg: self.key, socket });
                }
                SessionOutput::Socket(order) => {
                    let stream = StreamKey(self.key);
                    self.outputs.push_back(BackendOutput::BridgeSocket(stream, order));
                }
                SessionOutput::Event(event) => self.session_said(now, event),
            }
        }
        had_any
    }

    fn session_said(&mut self, now: Instant, event: SessionEvent) {
        debug!(leg = %self.key, ?event, "session");
        match event {
            SessionEvent::Invited { starts_muted } => {
                self.timers.clear(Timer::Invitation);
                if let Some(recovery) = &mut self.recovery {
                    recovery.invited(now);
                }
                if starts_muted && !self.was_settled && self.settings.can_be_muted {
                    self.moderation.offer_starts_muted();
                }
                let is_waited_for = self.ask.way == CallWay::Dialling
                    || self.settings.empty_room != EmptyRoom::Join;
                if is_waited_for {
                    self.progress(JoinStep::Invited);
                }
            }
            SessionEvent::Up => {
                self.has_sound = true;
                self.sound_is_stale = false;
                self.timers.clear(Timer::Invitation);
                // What a phone that is being called shows is how far the call is.
                if self.ask.way != CallWay::Dialling {
                    self.muc.change(now, |own| own.status = "Connected".to_owned());
                }
            }
            SessionEvent::PathLost => {
                self.has_sound = false;
                self.lost(now, Loss::Path);
            }
            SessionEvent::Ended(ending) => {
                self.has_sound = false;
                // Alone there is no session: the focus ended it because nobody is there to talk to.
                if self.muc.people().all > 1 {
                    let loss = match ending {
                        Ending::Moved => Loss::Moved,
                        Ending::Dropped => Loss::Dropped,
                        Ending::Broken => Loss::Session,
                    };
                    self.lost(now, loss);
                }
            }
        }
    }

    fn has_session_sound(&self) -> bool {
        self.has_sound && !self.sound_is_stale
    }

    fn is_settled(&self) -> bool {
        // Who is to go elsewhere stays where he is until the way there is open.
        let is_leaving = self.stage == Stage::Requesting && self.muc.is_in();
        let is_in = self.stage == Stage::Inside || is_leaving;
        is_in && (self.has_session_sound() || self.muc.people().all == 1)
    }

    /// Tells the call what changed since it was told last.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.stage == Stage::Gone {
            return;
        }
        self.watch_for_people(now);
        let people = self.muc.people().all;
        match (self.is_settled(), self.was_settled) {
            (true, false) => {
                self.was_settled = true;
                self.timers.clear_all();
                self.people_told = people;
                self.tell_visit();
                self.outputs.push_back(BackendOutput::Joined(self.key, self.facts()));
                self.moderation.joined();
                self.drain(now);
            }
            (true, true) => {
                if let Some(recovery) = self.recovery.take() {
                    self.recovered(&recovery);
                }
                self.tell_visit();
                self.tell_people(people);
            }
            (false, true) if self.recovery.is_none() => {
                let loss = self.loss();
                // A session for somebody who just came has its own patience.
                if loss != Loss::Session || !self.timers.is_set(Timer::Invitation) {
                    self.lost(now, loss);
                }
                self.tell_people_inside(people);
            }
            _ => {}
        }
        if self.was_settled && self.stage == Stage::Inside {
            self.tell_recordings();
        }
    }

    /// What is missing, seen from here.
    fn loss(&self) -> Loss {
        if !self.stream_is_up {
            Loss::Stream
        } else if self.stage == Stage::Inside {
            Loss::Session
        } else {
            // Whoever left the room asked for another already.
            Loss::Stream
        }
    }

    fn recovered(&mut self, recovery: &Recovery) {
        debug!(leg = %self.key, "recovered");
        self.counters.conferences_recovered += 1;
        self.focus.stop();
        if recovery.has_spoken() {
            self.people_told = self.muc.people().all;
            self.outputs.push_back(BackendOutput::Joined(self.key, self.facts()));
        }
    }

    fn tell_people_inside(&mut self, people: usize) {
        if self.stage == Stage::Inside {
            self.tell_people(people);
        }
    }

    fn tell_people(&mut self, people: usize) {
        let change = match people.cmp(&self.people_told) {
            std::cmp::Ordering::Greater => MemberChange::Entered,
            std::cmp::Ordering::Less => MemberChange::Exited,
            std::cmp::Ordering::Equal => return,
        };
        self.people_told = people;
        self.outputs.push_back(BackendOutput::Members(self.key, change, self.facts()));
    }

    /// Someone to talk to needs a session; a room with a lobby and only phones in it needs nobody.
    fn watch_for_people(&mut self, now: Instant) {
        let people = self.muc.people();
        let is_inside = self.stage == Stage::Inside;
        let wants_session =
            is_inside && people.all > 1 && !self.has_session_sound() && self.recovery.is_none();
        if !wants_session {
            self.timers.clear(Timer::Invitation);
        } else if !self.timers.is_set(Timer::Invitation) && !self.focus.is_asking() {
            self.timers.set(Timer::Invitation, now + INVITED_WITHIN);
        }
        self.had_web_people |= is_inside && people.all > people.phones;
        let only_phones = is_inside
            && (self.has_lobby || !self.settings.keeps_only_phones)
            && self.had_web_people
            && people.all == people.phones
            && self.muc.room() == self.home;
        if !only_phones {
            self.timers.clear(Timer::OnlyPhones);
        } else if !self.timers.is_set(Timer::OnlyPhones) {
            self.timers.set(Timer::OnlyPhones, now + self.settings.only_phones_max);
        }
    }
}
