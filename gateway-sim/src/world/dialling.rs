//! Calls that the gateway makes for the room.

use gateway_core::base::pii::Pii;
use gateway_core::call::Route;
use gateway_core::gateway::{Command, DialOrder, Event, ROOM_BACKEND, RoomFirst};
use gateway_core::leg::backend::{Entry, Role, RoomName, RoomPolicy};
use gateway_core::media::clip::Language;

use super::network::PHONE_SIP_PORT;
use super::{World, settings};

impl World {
    /// Phones whose time to be called has come.
    pub(super) fn dial_out(&mut self) {
        for index in 0..self.phones.len() {
            let plan = &self.phones[index].phone.plan;
            let Some(callee) = plan.callee.filter(|_| plan.starts <= self.elapsed) else {
                continue;
            };
            if !self.dialled.insert(index) {
                continue;
            }
            let public = self.phones[index].public;
            let keys = callee.keys.bytes().collect();
            let command = Command::Dial {
                trunk: settings::trunk_to(&self.plan, index),
                target: format!("sip:phone@{public}:{PHONE_SIP_PORT}"),
                from_user: Pii::new("meeting".to_owned()),
                from_name: Pii::default(),
                headers: Vec::new(),
                route: Box::new(self.route_out(&plan.number)),
                keys: (!callee.keys.is_empty()).then_some((settings::KEYS_AFTER, keys)),
                quiet: false,
                order: DialOrder::RoomFirst(RoomFirst::default()),
            };
            match self.gateway.command(self.now(), command) {
                Ok(Some(call)) => self.watch.dialled(call, index),
                other => self.watch.fault(format!("the gateway does not dial: {other:?}")),
            }
            self.settle();
        }
    }

    fn route_out(&self, number: &str) -> Route {
        let backend = if self.meeting.is_some() { settings::JITSI } else { ROOM_BACKEND };
        Route {
            backend: backend.to_owned(),
            room: RoomName::new("tea").expect("a plain word is a room name"),
            role: Role::Guest,
            label: Pii::new(number.to_owned()),
            language: Language::default(),
            policy: RoomPolicy::default(),
            length_max: None,
            note: None,
            entry: Entry::default(),
        }
    }

    /// A call ended: a phone that was never reached need not wait.
    pub(super) fn call_is_over(&mut self, event: &Event) {
        let Event::CallEnded(record) = event else { return };
        if let Some(phone) = self.watch.phone_of(record.call) {
            let elapsed = self.elapsed;
            self.phones[phone].phone.is_not_called(elapsed);
        }
    }
}
