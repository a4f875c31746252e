//! Carrying: endpoint to calls, calls to endpoint, backends and shards, until nobody has anything to say.

use std::time::Instant;

use tracing::{debug, warn};

use crate::base::ids::{CallKey, DialogKey, LegKey, RoomKey, StreamKey};
use crate::call::CallDirection;
use crate::call::event::Event;
use crate::call::machine::{CallInput, CallOutput, SeatWish};
use crate::call::story::Birth;
use crate::gateway::{Gateway, Output};
use crate::leg::backend::{BackendInput, BackendOutput, JoinRefused, LegCommand};
use crate::leg::media::{FromMedia, ToMedia};
use crate::sip::endpoint::{EndpointOutput, OutgoingInvite, UaCommand, UaEvent};

/// Room keys of different backends are kept apart in the upper bits.
const BACKEND_SHIFT: u32 = 48;

impl Gateway {
    /// Carries until nobody has anything to say.
    pub(super) fn drain(&mut self, now: Instant) {
        loop {
            if let Some(output) = self.endpoint.poll_output() {
                self.endpoint_said(now, output);
            } else if let Some(key) = self.to_drain.pop_front() {
                self.drain_call(now, key);
            } else if !self.drain_backends(now) {
                break;
            }
        }
    }

    fn endpoint_said(&mut self, now: Instant, output: EndpointOutput) {
        let event = match output {
            EndpointOutput::Transport(output) => {
                self.outputs.push_back(Output::Sip(output));
                return;
            }
            EndpointOutput::Event(event) => event,
        };
        match event {
            UaEvent::Invited { dialog, trunk, facts, offer } => {
                let listener = facts.listener;
                let birth = Birth::Invited { dialog, facts, offer };
                let addresses = self.addresses(listener);
                let key = self.call_born(now, trunk, addresses, birth);
                self.dialogs.insert(dialog, key);
            }
            UaEvent::TrunkState { trunk, up } => {
                self.outputs.push_back(Output::Event(Event::TrunkState(trunk, up)));
            }
            UaEvent::Registration { trunk, state } => {
                self.outputs.push_back(Output::Event(Event::TrunkRegistered(trunk, state)));
            }
            UaEvent::TrunkName { trunk, state } => {
                self.outputs.push_back(Output::Event(Event::TrunkName(trunk, state)));
            }
            UaEvent::TrunkUsable { trunk, usable } => {
                self.outputs.push_back(Output::Event(Event::TrunkUsable(trunk, usable)));
            }
            event => {
                let dialog = dialog_of(&event);
                let over = matches!(event, UaEvent::Ended { .. });
                if let Some(key) = dialog.and_then(|dialog| self.dialogs.get(dialog).copied()) {
                    self.tell_call(now, key, CallInput::Ua(event));
                }
                if let (true, Some(dialog)) = (over, dialog) {
                    self.dialogs.remove(dialog);
                }
            }
        }
    }

    /// From a shard. Boxes are dropped here, where dropping is allowed.
    pub(super) fn media_said(&mut self, now: Instant, event: FromMedia) {
        match event {
            FromMedia::Key { call, key, source } => {
                self.tell_call(now, call, CallInput::Key(key, source));
            }
            FromMedia::PlayDone { call, token, .. } => {
                self.tell_call(now, call, CallInput::PlayDone(token));
            }
            FromMedia::Latched { call, .. } => debug!(call = %call, "first packet of the phone"),
            FromMedia::Silent(call) => self.tell_call(now, call, CallInput::Silent),
            FromMedia::Report { call, report } => {
                self.tell_call(now, call, CallInput::Report(report));
            }
            FromMedia::TrunkDetached { call, report, .. } => {
                self.tell_call(now, call, CallInput::TrunkDetached(report));
            }
            FromMedia::Conference { call, event } => {
                if let Some(place) = self.calls.get(call) {
                    let input = BackendInput::FromMedia(LegKey::conference(call), event);
                    self.backends[place.backend].1.handle_input(now, input);
                }
            }
            FromMedia::Line { call, event } => {
                self.tell_call(now, call, CallInput::Line(event));
            }
            FromMedia::Failed(call) => {
                warn!(call = %call, "the media leg of this call failed; the call ends");
                self.tell_call(now, call, CallInput::Failed);
            }
            FromMedia::ConferenceDetached { .. }
            | FromMedia::LineDetached { .. }
            | FromMedia::Replaced { .. }
            | FromMedia::RoomClosed { .. } => {}
        }
    }

    fn tell_call(&mut self, now: Instant, key: CallKey, input: CallInput) {
        let at = self.moment(now);
        match self.calls.get_mut(key) {
            Some(place) => {
                place.call.handle_input(at, input);
                self.to_drain.push_back(key);
            }
            None => self.counters.events_late += 1,
        }
    }

    fn drain_call(&mut self, now: Instant, key: CallKey) {
        while let Some(output) = self.calls.get_mut(key).and_then(|it| it.call.poll_output()) {
            match output {
                CallOutput::Ua(command) => self.tell_endpoint(now, key, command),
                CallOutput::Invite(invite) => self.invite(now, key, *invite),
                CallOutput::Media(media) => self.tell_shard(key, media),
                CallOutput::CloseMedia => self.close_media(now, key),
                CallOutput::OpenLeg(wish) => self.open_leg(now, key, *wish),
                CallOutput::Leg(command) => self.tell_backend(now, key, command),
                CallOutput::InfoNotKnown => self.counters.infos_not_known += 1,
                CallOutput::Event(event) => self.event(event),
            }
        }
        let Some(place) = self.calls.get(key) else { return };
        if place.call.is_over() {
            self.deadlines.set(key, None);
            self.close_media(now, key);
            self.calls.remove(key);
        } else {
            let deadline = place.call.poll_timeout().map(|(at, _)| at);
            self.deadlines.set(key, deadline);
        }
    }

    fn event(&mut self, event: Event) {
        if let Event::CallEnded(record) = &event {
            self.counters.calls_ended += 1;
            if record.direction == CallDirection::Outbound {
                let was_answered = record.answered.is_some();
                self.counters.calls_dialled_answered += u64::from(was_answered);
                self.counters.calls_dialled_failed += u64::from(!was_answered);
            }
        }
        self.outputs.push_back(Output::Event(event));
    }

    fn tell_endpoint(&mut self, now: Instant, key: CallKey, command: UaCommand) {
        // Legal: the dialog ended in the same instant, its `Ended` is on the way to the call.
        if let Err(misuse) = self.endpoint.command(now, command) {
            debug!(call = %key, %misuse, "the endpoint did not take a command");
        }
    }

    fn invite(&mut self, now: Instant, key: CallKey, invite: OutgoingInvite) {
        let dialog = match self.endpoint.invite(now, invite) {
            Ok(dialog) => {
                self.dialogs.insert(dialog, key);
                Some(dialog)
            }
            Err(misuse) => {
                warn!(call = %key, %misuse, "the call could not be sent");
                None
            }
        };
        self.tell_call(now, key, CallInput::Invited(dialog));
    }

    fn tell_shard(&mut self, key: CallKey, media: ToMedia) {
        let Some(place) = self.calls.get(key) else { return };
        self.outputs.push_back(Output::ToMedia(place.call.shard(), media));
    }

    fn close_media(&mut self, now: Instant, key: CallKey) {
        for socket in 0..2 {
            self.close_conference_port(now, key, socket);
        }
        let Some(place) = self.calls.get_mut(key) else { return };
        let port = std::mem::take(&mut place.port);
        if port != 0 {
            self.ports.give_back(now, port);
            let shard = place.call.shard();
            self.outputs.push_back(Output::CloseMedia { call: key, shard });
        }
    }

    fn open_leg(&mut self, now: Instant, key: CallKey, wish: SeatWish) {
        let SeatWish { backend, request, rng } = wish;
        let at = self.moment(now);
        // Of a room he was in before.
        for socket in 0..2 {
            self.close_conference_port(now, key, socket);
        }
        let Some(place) = self.calls.get_mut(key) else { return };
        let found = self.backends.iter_mut().position(|(name, _)| *name == backend);
        let result = match found {
            Some(index) => {
                place.backend = index;
                self.backends[index].1.open_leg(now, LegKey::conference(key), request, rng)
            }
            None => {
                warn!(call = %key, backend, "no such backend");
                self.counters.backends_unknown += 1;
                Err(JoinRefused::Unavailable)
            }
        };
        if let (Err(refused), Some(place)) = (result, self.calls.get_mut(key)) {
            place.call.seat_refused(at, refused);
        }
        self.drain_backends(now);
    }

    fn tell_backend(&mut self, now: Instant, key: CallKey, command: LegCommand) {
        let Some(place) = self.calls.get(key) else { return };
        self.backends[place.backend].1.command(now, LegKey::conference(key), command);
        // At once: what it tells the shard must come before what the call tells it next.
        self.drain_backends(now);
    }

    /// From a stream, to the backend that opened it. A stream outlives its call by the goodbye.
    pub(super) fn stream_said(&mut self, now: Instant, stream: StreamKey, input: BackendInput) {
        match self.streams.get(&stream).copied() {
            Some(index) => self.backends[index].1.handle_input(now, input),
            None => self.counters.events_late += 1,
        }
    }

    /// True if a backend had something to say.
    fn drain_backends(&mut self, now: Instant) -> bool {
        let mut had_any = false;
        for index in 0..self.backends.len() {
            while let Some(output) = self.backends[index].1.poll_output() {
                had_any = true;
                self.backend_said(now, index, output);
            }
        }
        had_any
    }

    fn backend_said(&mut self, now: Instant, index: usize, output: BackendOutput) {
        let (leg, input) = match output {
            BackendOutput::Media(leg, media) => {
                return self.tell_shard(leg.call, room_of_backend(index, media));
            }
            BackendOutput::Progress(leg, step) => (leg, CallInput::Progress(step)),
            BackendOutput::Occupant(leg, address) => (leg, CallInput::Occupant(address)),
            BackendOutput::Joined(leg, facts) => (leg, CallInput::Joined(facts)),
            BackendOutput::Members(leg, change, facts) => (leg, CallInput::Members(change, facts)),
            BackendOutput::Left(leg, reason) => (leg, CallInput::Left(reason)),
            BackendOutput::Moderated(leg, what) => (leg, CallInput::Moderated(what)),
            BackendOutput::RoomKey(leg, press) => (leg, CallInput::RoomKey(press)),
            BackendOutput::OpenPort { leg, socket } => {
                return self.open_conference_port(now, leg.call, socket);
            }
            BackendOutput::ClosePort { leg, socket } => {
                return self.close_conference_port(now, leg.call, socket);
            }
            BackendOutput::OpenStream { stream, account } => {
                self.streams.insert(stream, index);
                return self.outputs.push_back(Output::OpenStream { stream, account });
            }
            BackendOutput::Stanza(stream, stanza) => {
                return self.outputs.push_back(Output::Stanza(stream, stanza));
            }
            BackendOutput::BridgeSocket(stream, order) => {
                return self.outputs.push_back(Output::BridgeSocket(stream, order));
            }
            BackendOutput::CloseStream(stream) => {
                self.streams.remove(&stream);
                return self.outputs.push_back(Output::CloseStream(stream));
            }
        };
        self.tell_call(now, leg.call, input);
    }
}

/// Backends count their rooms from one; shards know them by keys that differ.
fn room_of_backend(index: usize, media: ToMedia) -> ToMedia {
    let apart = |room: RoomKey| RoomKey(room.0 | ((index as u64) << BACKEND_SHIFT));
    match media {
        ToMedia::OpenRoom { room, ingress } => ToMedia::OpenRoom { room: apart(room), ingress },
        ToMedia::CloseRoom(room) => ToMedia::CloseRoom(apart(room)),
        ToMedia::AttachConference { call, room, half } => {
            ToMedia::AttachConference { call, room: apart(room), half }
        }
        other => other,
    }
}

fn dialog_of(event: &UaEvent) -> Option<DialogKey> {
    match event {
        UaEvent::Invited { dialog, .. }
        | UaEvent::Progress { dialog, .. }
        | UaEvent::Answered { dialog, .. }
        | UaEvent::Acknowledged { dialog, .. }
        | UaEvent::ProvisionalAcknowledged { dialog, .. }
        | UaEvent::Offered { dialog, .. }
        | UaEvent::OfferWanted { dialog }
        | UaEvent::OfferAnswered { dialog, .. }
        | UaEvent::Key { dialog, .. }
        | UaEvent::Info { dialog, .. }
        | UaEvent::InfoAnswered { dialog, .. }
        | UaEvent::Ended { dialog, .. } => Some(*dialog),
        UaEvent::TrunkState { .. }
        | UaEvent::Registration { .. }
        | UaEvent::TrunkName { .. }
        | UaEvent::TrunkUsable { .. } => None,
    }
}
