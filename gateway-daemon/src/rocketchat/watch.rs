//! Is anybody in the room? One guest per Jitsi deployment asks its server (XEP-0030 of a room that is not there is an
//! error), about the rooms of meetings alone, and enters none.
//!
//!   asleep (no room to watch) -> stream open -> each room asked every few seconds      lost -> wait -> open again

use std::collections::BTreeMap;
use std::time::Duration;

use gateway_core::base::rng::Rng;
use gateway_core::io::xmpp::backoff::Backoff;
use gateway_core::io::xmpp::framing::{NS_CLIENT, element};
use gateway_core::io::xmpp::{Element, Failure, Probe, probe};
use gateway_core::leg::backend::{RoomName, StreamAccount};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::desk::Presence;
use super::task::{WatchOrder, WorkspaceHandle};
use crate::config::jitsi::Jitsi;

/// Watches the rooms of a deployment until nobody holds the other end of `orders`.
pub async fn run(jitsi: Jitsi, orders: mpsc::Receiver<WatchOrder>, rng: Rng) {
    let backoff = Backoff::new(rng.fork("watch/back-off"));
    let mut watch = Watch { jitsi, orders, rooms: BTreeMap::new(), rng, backoff, asked: 0 };
    while watch.wait_for_work().await {
        let began = Instant::now();
        let failure = match watch.open().await {
            Ok(mut guest) => match watch.ask_around(&mut guest).await {
                Ok(()) => {
                    guest.close().await;
                    continue;
                }
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        let wait = watch.backoff.failed(began.elapsed(), failure.needs_somebody());
        if watch.backoff.failures() == 1 {
            let jitsi = &watch.jitsi.name;
            tracing::warn!(jitsi, %failure, "nobody can say which meetings go on");
        }
        if !watch.take_orders_for(wait).await {
            return;
        }
    }
}

struct Watch {
    jitsi: Jitsi,
    orders: mpsc::Receiver<WatchOrder>,
    rooms: BTreeMap<RoomName, WorkspaceHandle>,
    rng: Rng,
    backoff: Backoff,
    asked: u64,
}

impl Watch {
    /// False: nobody will ever want anything.
    async fn wait_for_work(&mut self) -> bool {
        while self.rooms.is_empty() {
            match self.orders.recv().await {
                Some(order) => self.take(order),
                None => return false,
            }
        }
        true
    }

    async fn take_orders_for(&mut self, wait: Duration) -> bool {
        let end = Instant::now() + wait;
        loop {
            match tokio::time::timeout_at(end, self.orders.recv()).await {
                Err(_) => return true,
                Ok(Some(order)) => self.take(order),
                Ok(None) => return false,
            }
        }
    }

    fn take(&mut self, order: WatchOrder) {
        match order {
            WatchOrder::Watch(room, tell) if self.rooms.len() < ROOMS_MAX => {
                self.rooms.insert(room, tell);
            }
            WatchOrder::Watch(..) => tracing::warn!("too many meetings are watched"),
            WatchOrder::Unwatch(room) => _ = self.rooms.remove(&room),
        }
    }

    async fn open(&mut self) -> Result<Probe, Failure> {
        // Some servers let nobody in without a room; ours is nobody's.
        let name = format!("weebee-watch-{}", self.rng.token(12));
        let room = RoomName::new(&name).map_err(|_| Failure::NotXmpp("no name"))?;
        let account: StreamAccount = self.jitsi.settings.account(&room, &mut self.rng);
        probe(&self.jitsi.site, &account, self.rng.fork(&name)).await
    }

    /// Asks about each room in turn. Ends well when there is none left.
    async fn ask_around(&mut self, guest: &mut Probe) -> Result<(), Failure> {
        while !self.rooms.is_empty() {
            let round = Instant::now() + EVERY;
            let rooms: Vec<_> = self.rooms.iter().map(|(a, b)| (a.clone(), b.clone())).collect();
            for (room, tell) in rooms {
                if let Some(presence) = self.ask(guest, &room).await? {
                    tell.presence(room, presence).await;
                }
            }
            if !self.take_orders_until(guest, round).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Keeps the stream alive meanwhile. False: nobody wants anything any more. A new room is asked about at once.
    async fn take_orders_until(
        &mut self,
        guest: &mut Probe,
        end: Instant,
    ) -> Result<bool, Failure> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(order) => {
                        let is_new = matches!(order, WatchOrder::Watch(..));
                        self.take(order);
                        if is_new {
                            return Ok(true);
                        }
                    }
                    None => return Ok(false),
                },
                heard = guest.answer(left, |_| false) => return heard.map(|_| true),
            }
        }
    }

    /// `None`: it did not say.
    async fn ask(
        &mut self,
        guest: &mut Probe,
        room: &RoomName,
    ) -> Result<Option<Presence>, Failure> {
        self.asked += 1;
        let id = format!("watch{}", self.asked);
        let address = self.jitsi.settings.room_address(room);
        let attributes = [("type", "get"), ("id", id.as_str()), ("to", address.as_str())];
        let mut question = element("iq", NS_CLIENT, &attributes);
        question.append_child(element("query", NS_INFO, &[]));
        guest.send(question);
        let is_answer = |it: &Element| it.attr("id") == Some(id.as_str()) && it.name() == "iq";
        let answer = guest.answer(ANSWER_WITHIN, is_answer).await?;
        Ok(answer.and_then(|answer| judge(&answer)))
    }
}

/// What an answer about a room says.
fn judge(answer: &Element) -> Option<Presence> {
    match answer.attr("type") {
        Some("result") => Some(Presence::Live),
        Some("error") => {
            let error = answer.children().find(|it| it.name() == "error")?;
            let gone =
                error.children().any(|it| it.name() == "item-not-found" || it.name() == "gone");
            // Any other error is about us, not about the room.
            gone.then_some(Presence::Gone)
        }
        _ => None,
    }
}

const NS_INFO: &str = "http://jabber.org/protocol/disco#info";
/// Each room is asked about this often: the end of a meeting shows within that and the grace of the desk.
const EVERY: Duration = Duration::from_secs(5);
/// A server under load answers within this.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Rooms of one deployment.
const ROOMS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(xml: &str) -> Option<Presence> {
        judge(&xml.parse().expect("XML"))
    }

    #[test]
    fn a_room_that_is_not_there_is_told_from_a_server_that_refuses() {
        let error = |condition: &str| {
            format!(
                "<iq xmlns='jabber:client' type='error'><error type='cancel'><{condition} \
                 xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
            )
        };
        assert_eq!(judged("<iq xmlns='jabber:client' type='result'/>"), Some(Presence::Live));
        assert_eq!(judged(&error("item-not-found")), Some(Presence::Gone));
        for other in ["service-unavailable", "not-allowed", "remote-server-timeout", "forbidden"] {
            assert_eq!(judged(&error(other)), None, "{other}");
        }
        assert_eq!(judged("<iq xmlns='jabber:client' type='error'/>"), None);
    }
}
