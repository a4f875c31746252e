//! How a call begins: its key, its dice, its shard and the ports of its telephone, which may turn out to be taken.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use tracing::warn;

use super::{BIND_TRIES_MAX, Gateway, Output, Place};
use crate::base::ids::{CallKey, ListenerId, ShardId, TrunkId};
use crate::call::machine::{Call, CallInput};
use crate::call::story::{Birth, Dialling};
use crate::sip::endpoint::ApiMisuse;

impl Gateway {
    pub(super) fn dial(
        &mut self,
        now: Instant,
        trunk: TrunkId,
        dialling: Dialling,
    ) -> Result<CallKey, ApiMisuse> {
        if self.is_draining {
            return Err(ApiMisuse::WrongState("dial: no new calls are taken"));
        }
        let config = self.trunks.get(usize::from(trunk.0));
        let config = config.ok_or(ApiMisuse::BadArgument("no such trunk"))?;
        let listens =
            self.listeners.iter().position(|listener| listener.transport == config.transport);
        let listener = listens.ok_or(ApiMisuse::BadArgument("no listener of that transport"))?;
        self.counters.calls_dialled += 1;
        let birth = Birth::Dialled(Box::new(dialling));
        let addresses = self.addresses(ListenerId(listener as u16));
        Ok(self.call_born(now, trunk, addresses, birth))
    }

    /// A call begins: it gets its key, its dice, its shard and asks for its ports, at one address and told as another.
    pub(super) fn call_born(
        &mut self,
        now: Instant,
        trunk: TrunkId,
        (bind, advertised): (IpAddr, IpAddr),
        birth: Birth,
    ) -> CallKey {
        let at = self.moment(now);
        self.counters.calls_started += 1;
        let rng = self.rng.fork(&format!("call/{}", self.counters.calls_started));
        let policy = self.sdp.get(usize::from(trunk.0)).cloned().unwrap_or_default();
        let manners = self.manners.get(usize::from(trunk.0)).copied().unwrap_or_default();
        let shard = ShardId(0);
        let settings = self.settings.clone();
        let key = self.calls.insert_with_key(|key| Place {
            call: Call::new(at, key, (trunk, policy, manners), shard, birth, settings, rng),
            backend: 0,
            port: 0,
            bind,
            advertised,
            bind_tries: 0,
            conference_ports: [0; 2],
            conference_tries: 0,
        });
        self.open_media(now, key);
        key
    }

    /// Where a listener binds media, and what it tells others.
    pub(super) fn addresses(&self, listener: ListenerId) -> (IpAddr, IpAddr) {
        let Some(config) = self.listeners.get(usize::from(listener.0)) else {
            let localhost = IpAddr::from([127, 0, 0, 1]);
            return (localhost, localhost);
        };
        let bind = config.bind.ip();
        let advertised = config.advertised_media.or(config.advertised.map(|address| address.ip()));
        (bind, advertised.unwrap_or(bind))
    }

    fn open_media(&mut self, now: Instant, key: CallKey) {
        let at = self.moment(now);
        let Some(place) = self.calls.get_mut(key) else { return };
        self.to_drain.push_back(key);
        place.bind_tries += 1;
        let port = (place.bind_tries <= BIND_TRIES_MAX).then(|| self.ports.take(now)).flatten();
        match port {
            Some(port) => {
                place.port = port;
                let local = SocketAddr::new(place.bind, port);
                let shard = place.call.shard();
                self.outputs.push_back(Output::OpenMedia { call: key, shard, local });
            }
            None => {
                warn!(call = %key, used = self.ports.used(), "no RTP port could be had");
                self.counters.calls_without_port += 1;
                place.call.handle_input(at, CallInput::MediaFailed);
            }
        }
    }

    pub(super) fn media_opened(&mut self, now: Instant, key: CallKey, bound: Option<SocketAddr>) {
        let at = self.moment(now);
        let Some(place) = self.calls.get_mut(key) else {
            // It ended while the ports were opened.
            if bound.is_some() {
                self.outputs.push_back(Output::CloseMedia { call: key, shard: ShardId(0) });
            }
            return;
        };
        match bound {
            Some(local) => {
                let told = SocketAddr::new(place.advertised, local.port());
                place.call.handle_input(at, CallInput::MediaOpened(told));
                self.to_drain.push_back(key);
            }
            None => {
                self.counters.ports_not_bound += 1;
                let port = std::mem::take(&mut place.port);
                self.ports.give_back(now, port);
                self.open_media(now, key);
            }
        }
    }
}
