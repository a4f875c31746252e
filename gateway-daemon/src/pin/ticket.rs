//! Tickets: a PIN that was judged outside of a call opens the room of the call that follows, once and within 30 s.
//!
//! A PBX that asks for the PIN itself (`agi`, `POST /v1/pin/check`) gets a ticket for a valid one and puts it into the
//! INVITE as `X-WB-Ticket`. So neither PIN nor room travels in SIP, and a header that somebody reads or invents is of no
//! use: 134 random bits, spent by the first who shows them, of the trunk that they were given to. The eight signs before
//! them are a keyed hash of the room: a proxy that chooses among gateways by them keeps a room together, and learns no name.
//!
//! Tickets stand in the PIN registry, as keyed hashes beside the id of their PIN, at most [`TICKETS_MAX`] at a time.
//! Decided: there and not in the memory of the gateway that gave them, because with a shared registry any of several
//! gateways may get the INVITE, and after a restart the same one; and not sealed into the header, because single use
//! needs one place that remembers all the same. What the PIN opens is read anew: a PIN that was revoked meanwhile takes
//! its tickets along. A ticket is not bound to the caller's number, for a PBX may write that otherwise in its INVITE.

use std::time::Duration;

use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;
use gateway_core::base::time::WallClock;
use gateway_core::io::wall_clock;
use gateway_core::leg::backend::RoomName;

use super::handle::Pins;
use super::mint::PinError;
use super::{Grant, RegistryError, Verdict};

/// Header of the INVITE that shows a ticket.
pub const HEADER: &str = "X-WB-Ticket";
/// How long a ticket is good. Gateways that share a registry must agree on the time to within a few seconds.
pub const LIFE: Duration = Duration::from_secs(30);
/// Tickets that wait for their calls. Above it none is given: 300 calls a second that never come are no PBX.
pub const TICKETS_MAX: i64 = 10_000;

/// A ticket to be kept.
#[derive(Clone, Debug)]
pub struct NewTicket {
    /// Its text.
    pub text: Pii<String>,
    /// Id of the PIN that it stands for.
    pub pin: String,
    /// Name of the only trunk that may show it; `None`: any.
    pub trunk: Option<String>,
}

/// Somebody shows a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketAsk {
    /// Its text, as it came.
    pub text: Pii<String>,
    /// Name of his trunk.
    pub trunk: String,
    /// Only tickets of this room are valid.
    pub room: Option<RoomName>,
}

impl Pins {
    /// A ticket for what a valid PIN opens ([`Pins::check`]); `trunk` is the name of the only one that may show it.
    /// Letters and digits alone, so that any dialplan can carry it.
    pub async fn issue(&self, grant: &Grant, trunk: Option<&str>) -> Result<Pii<String>, PinError> {
        let (pin, trunk) = (grant.id.clone(), trunk.map(str::to_owned));
        let room = self.key().short_tag("ticket room", grant.room.as_str());
        self.ask(move |desk| {
            let new = NewTicket { text: draw(&room, &mut desk.rng), pin, trunk };
            desk.registry.add_ticket(&new, wall_clock())?;
            Ok(new.text)
        })
        .await
    }

    /// What a ticket opens. It is spent by the asking, whatever the answer: a
    /// [`Ticket`](super::Refusal::Ticket) that is unknown, old, used or another trunk's is refused.
    pub async fn redeem(&self, ask: TicketAsk) -> Result<Verdict, PinError> {
        self.ask(move |desk| desk.registry.redeem(&ask, wall_clock())).await
    }

    /// As [`Pins::redeem`] for the PIN dialogue; `answer` is called on the registry's thread and must not block. False:
    /// the queue is full, there will be no answer.
    pub fn show_ticket(
        &self,
        ask: TicketAsk,
        wall: WallClock,
        answer: impl FnOnce(Result<Verdict, RegistryError>) + Send + 'static,
    ) -> bool {
        self.send(Box::new(move |desk| {
            let verdict = desk.registry.redeem(&ask, wall);
            desk.note_trouble(verdict.as_ref().err());
            answer(verdict);
        }))
        .is_ok()
    }
}

/// Whether a text may be a ticket. Others are not looked for.
pub fn is_possible(text: &str) -> bool {
    text.len() == LENGTH && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
}

/// `room` is its keyed hash.
fn draw(room: &str, rng: &mut Rng) -> Pii<String> {
    let room: String = room.chars().take(ROOM).collect();
    Pii::new(format!("{room}{}", rng.token(RANDOM)))
}

/// Signs that tickets of one room share.
const ROOM: usize = 8;
/// 36^26 are 134 bits.
const RANDOM: usize = 26;
const LENGTH: usize = ROOM + RANDOM;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_may_be_one_and_never_comes_twice() {
        let mut rng = Rng::from_number(1);
        let drawn: std::collections::BTreeSet<String> =
            (0..1_000).map(|_| draw("0123456789abcdef", &mut rng).into_inner()).collect();
        assert_eq!(drawn.len(), 1_000);
        assert!(drawn.iter().all(|text| is_possible(text) && text.starts_with("01234567")));
        let long = "a".repeat(35);
        for other in ["", "123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGH", long.as_str()] {
            assert!(!is_possible(other), "{other}");
        }
    }
}
