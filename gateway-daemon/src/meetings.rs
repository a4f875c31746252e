//! Meetings in the gateway's own rooms: the registry is told when somebody comes and when the last one has left, so that PINs end
//! `[pin] grace_min` after their meeting there, too. (Of Jitsi rooms only Jitsi knows; `rocketchat::watch` asks it.)
//!
//! Nobody counts calls: after each change the rooms that are occupied are compared with those that were. What the registry
//! could not be told is told with the next look.

use std::collections::BTreeSet;
use std::time::Duration;

use gateway_core::gateway::ROOM_BACKEND;
use gateway_core::gateway::snapshot::GatewaySnapshot;
use gateway_core::leg::backend::RoomName;
use tokio::sync::Notify;

use crate::pin::handle::Pins;
use crate::seen::{SEEN_FOR, Seen};

/// Meetings that go on as far as the registry knows.
#[derive(Debug, Default)]
pub struct Meetings {
    going_on: BTreeSet<RoomName>,
}

/// Follows the rooms of a gateway until it stops; `changed` is told when somebody came or left.
pub async fn run(seen: Seen, pins: Pins, changed: &Notify) {
    let mut meetings = Meetings::default();
    loop {
        // Who moves to another room leaves one without a word.
        let _ = tokio::time::timeout(LOOK_EVERY, changed.notified()).await;
        // Looked at now: one of before would not show the change, and a short meeting is one, too.
        let Ok(snapshot) = seen.look_unless(|_| true).await else { return };
        meetings.follow(occupied(&snapshot), &pins).await;
        // Changes of this time are one look.
        tokio::time::sleep(SEEN_FOR).await;
    }
}

impl Meetings {
    /// Tells the registry what is new.
    pub async fn follow(&mut self, occupied: BTreeSet<RoomName>, pins: &Pins) {
        let over: Vec<RoomName> = self.going_on.difference(&occupied).cloned().collect();
        for room in over {
            match pins.meeting_ended(&room).await {
                Ok(()) => _ = self.going_on.remove(&room),
                Err(error) => tracing::debug!(%error, "the end of a meeting is told later"),
            }
        }
        for room in occupied {
            if self.going_on.contains(&room) {
                continue;
            }
            match pins.meeting_started(&room).await {
                Ok(()) => _ = self.going_on.insert(room),
                Err(error) => tracing::debug!(%error, "the start of a meeting is told later"),
            }
        }
    }
}

/// Rooms of our own in which somebody is.
fn occupied(snapshot: &GatewaySnapshot) -> BTreeSet<RoomName> {
    let own = snapshot.rooms.iter().filter(|(backend, _)| backend == ROOM_BACKEND);
    own.filter(|(_, room)| !room.members.is_empty()).map(|(_, room)| room.name.clone()).collect()
}

/// Without news.
const LOOK_EVERY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use gateway_core::base::rng::Rng;

    use super::*;
    use crate::pin::PinKind;
    use crate::pin::mint::{Issuer, Mint};
    use crate::pin::sqlite::SqliteRegistry;
    use crate::testing::Folder;

    fn rooms(names: &[&str]) -> BTreeSet<RoomName> {
        names.iter().map(|name| RoomName::new(name).expect("a name")).collect()
    }

    #[tokio::test]
    async fn pins_end_with_the_meeting_of_their_room_and_live_on_when_people_come_back() {
        let folder = Folder::new("meetings");
        let text = "[http]\nlisten = \"\"\n[[trunk]]\nname = \"pbx\"\nsources = [\"192.0.2.1\"]\n";
        let config = crate::config::parse("test.toml", text, folder.path()).expect("good");
        let files = [folder.path().join("pins.sqlite"), folder.path().join("pins.key")];
        let registry = Box::new(SqliteRegistry::open(&files[0], &files[1]).expect("opens"));
        let rng = Rng::from_number(5);
        let pins = Pins::start(registry, config.pin.clone(), config.rooms.clone(), rng);
        let pins = pins.expect("starts");
        let tea = RoomName::new("tea").expect("a name");
        let pin = pins.mint(Mint::new(tea, PinKind::Guest, Issuer::Page)).await.expect("a PIN");
        let closes = async || pins.find(&pin.id).await.expect("asked").expect("found").closes;

        let mut meetings = Meetings::default();
        meetings.follow(rooms(&[]), &pins).await;
        assert_eq!(closes().await, None, "a meeting that never began is not over");
        meetings.follow(rooms(&["tea", "milk"]), &pins).await;
        meetings.follow(rooms(&["tea"]), &pins).await;
        assert_eq!(closes().await, None, "milk is over, tea is not");
        meetings.follow(rooms(&[]), &pins).await;
        let over = closes().await.expect("it closes");
        let grace = over.unix.saturating_sub(gateway_core::io::wall_clock().unix);
        assert!(grace <= config.pin.grace && grace + Duration::from_secs(5) > config.pin.grace);
        meetings.follow(rooms(&["tea"]), &pins).await;
        assert_eq!(closes().await, None, "they are back");
    }
}
