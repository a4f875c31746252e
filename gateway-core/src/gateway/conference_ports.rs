//! Ports towards conferences: asked for by a backend, taken from the pool of RTP ports, bound outside.

use std::net::SocketAddr;
use std::time::Instant;

use tracing::warn;

use super::{BIND_TRIES_MAX, ConferenceAddresses, Gateway, Output};
use crate::base::ids::{CallKey, LegKey};
use crate::leg::backend::BackendInput;

impl Gateway {
    /// A backend wants a port for one of a leg's two sockets.
    pub(super) fn open_conference_port(&mut self, now: Instant, key: CallKey, socket: u8) {
        self.close_conference_port(now, key, socket);
        if let Some(place) = self.calls.get_mut(key) {
            place.conference_tries = 0;
            self.try_conference_port(now, key, socket);
        }
    }

    fn try_conference_port(&mut self, now: Instant, key: CallKey, socket: u8) {
        let Some(place) = self.calls.get_mut(key) else { return };
        let Some(held) = place.conference_ports.get_mut(usize::from(socket)) else { return };
        place.conference_tries += 1;
        let may = place.conference_tries <= BIND_TRIES_MAX;
        let bind = self.conference.bind.unwrap_or(place.bind);
        match may.then(|| self.ports.take(now)).flatten() {
            Some(port) => {
                *held = port;
                let (local, shard) = (SocketAddr::new(bind, port), place.call.shard());
                let open = Output::OpenConferencePort { call: key, shard, socket, local };
                self.outputs.push_back(open);
            }
            None => {
                warn!(call = %key, used = self.ports.used(), "no port towards the conference");
                self.counters.calls_without_port += 1;
                self.tell_port(now, key, socket, None);
            }
        }
    }

    pub(super) fn conference_port_opened(
        &mut self,
        now: Instant,
        key: CallKey,
        socket: u8,
        bound: Option<SocketAddr>,
    ) {
        let Some(place) = self.calls.get_mut(key) else { return };
        let Some(held) = place.conference_ports.get_mut(usize::from(socket)) else { return };
        match bound {
            // Closed again meanwhile: an answer to a question nobody asks any more.
            Some(local) if local.port() != *held => {}
            Some(local) => {
                let ConferenceAddresses { bind, advertised } = self.conference;
                let told = advertised.or(bind).unwrap_or(place.advertised);
                let told = SocketAddr::new(told, local.port());
                self.tell_port(now, key, socket, Some(told));
            }
            None => {
                self.counters.ports_not_bound += 1;
                let port = std::mem::take(held);
                if port != 0 {
                    self.ports.give_back(now, port);
                    self.try_conference_port(now, key, socket);
                }
            }
        }
    }

    pub(super) fn close_conference_port(&mut self, now: Instant, key: CallKey, socket: u8) {
        let Some(place) = self.calls.get_mut(key) else { return };
        let Some(held) = place.conference_ports.get_mut(usize::from(socket)) else { return };
        let port = std::mem::take(held);
        if port != 0 {
            self.ports.give_back(now, port);
            let shard = place.call.shard();
            self.outputs.push_back(Output::CloseConferencePort { call: key, shard, socket });
        }
    }

    fn tell_port(&mut self, now: Instant, key: CallKey, socket: u8, address: Option<SocketAddr>) {
        let Some(place) = self.calls.get(key) else { return };
        let input = BackendInput::PortOpened { leg: LegKey::conference(key), socket, address };
        self.backends[place.backend].1.handle_input(now, input);
    }
}
