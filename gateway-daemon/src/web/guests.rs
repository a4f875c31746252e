//! Who joined by browser: questions to the core that wait for their answer, and which call an address stands for.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gateway_core::base::ids::{CallKey, TrunkId};
use gateway_core::base::rng::Rng;
use gateway_core::leg::backend::RoomName;
use gateway_core::leg::end_reason::EndReason;
use tokio::sync::oneshot;

/// What stands where a phone's trunk does.
pub const TRUNK: TrunkId = TrunkId::BROWSERS;
/// How that is called in records and metrics.
pub const TRUNK_NAME: &str = "browser";

/// All of them.
#[derive(Debug)]
pub struct Guests(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    waiting: BTreeMap<u64, (RoomName, oneshot::Sender<Answer>)>,
    guests: BTreeMap<String, Found>,
    /// Ids of those whose call is over, oldest first.
    past: Vec<(Instant, String)>,
    last_ticket: u64,
    rng: Rng,
}

/// What an offer came to.
pub type Answer = Result<Welcome, EndReason>;

/// A call begins.
#[derive(Debug)]
pub struct Welcome {
    /// Which.
    pub call: CallKey,
    /// Its address: 165 unguessable bits.
    pub id: String,
    /// Our SDP.
    pub answer: String,
}

/// Somebody.
#[derive(Clone, Debug)]
pub struct Found {
    /// His call.
    pub call: CallKey,
    /// His room.
    pub room: RoomName,
    /// Why it is over, where it is.
    pub ended: Option<EndReason>,
}

impl Guests {
    /// Nobody.
    pub fn new(rng: Rng) -> Self {
        let (waiting, guests) = (BTreeMap::new(), BTreeMap::new());
        Self(Mutex::new(Inner { waiting, guests, past: Vec::new(), last_ticket: 0, rng }))
    }

    /// A ticket for a question, and its answer. `None`: too many wait.
    pub fn ask(&self, room: RoomName) -> Option<(u64, oneshot::Receiver<Answer>)> {
        let mut inner = self.inner();
        inner.waiting.retain(|_, (_, answer)| !answer.is_closed());
        if inner.waiting.len() >= WAITING_MAX {
            return None;
        }
        inner.last_ticket += 1;
        let ticket = inner.last_ticket;
        let (answer, receiver) = oneshot::channel();
        inner.waiting.insert(ticket, (room, answer));
        Some((ticket, receiver))
    }

    /// The core answers. Gives the call back if nobody waits for it any more: it must end.
    pub fn answered(
        &self,
        ticket: u64,
        answer: &Result<(CallKey, String), EndReason>,
    ) -> Option<CallKey> {
        let mut inner = self.inner();
        let Some((room, sender)) = inner.waiting.remove(&ticket) else {
            return answer.as_ref().ok().map(|(call, _)| *call);
        };
        let (call, answer) = match answer {
            Ok((call, answer)) => (*call, answer.clone()),
            Err(reason) => {
                let _ = sender.send(Err(*reason));
                return None;
            }
        };
        let id = inner.rng.token(ID_LETTERS);
        if sender.send(Ok(Welcome { call, id: id.clone(), answer })).is_err() {
            return Some(call);
        }
        inner.guests.insert(id, Found { call, room, ended: None });
        None
    }

    /// A call is over. Its address says why for a while.
    pub fn ended(&self, now: Instant, call: CallKey, reason: EndReason) {
        let mut inner = self.inner();
        let guest = inner.guests.iter_mut().find(|(_, guest)| guest.call == call);
        if let Some((id, guest)) = guest {
            guest.ended = Some(reason);
            let id = id.clone();
            inner.past.push((now, id));
        }
        let is_old = |(at, _): &(Instant, String)| now.saturating_duration_since(*at) > KEPT_FOR;
        while inner.past.first().is_some_and(is_old) || inner.past.len() > PAST_MAX {
            let (_, id) = inner.past.remove(0);
            inner.guests.remove(&id);
        }
    }

    /// A word that nobody knows before: it marks the script that may run in a page.
    pub fn nonce(&self) -> String {
        self.inner().rng.token(ID_LETTERS)
    }

    /// Who has this address.
    pub fn find(&self, id: &str) -> Option<Found> {
        self.inner().guests.get(id).cloned()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Questions that may wait: at a millisecond each the last one waits a quarter of a second.
const WAITING_MAX: usize = 256;
const ID_LETTERS: usize = 32;
/// How long an address says why its call is over.
const KEPT_FOR: Duration = Duration::from_secs(120);
const PAST_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn guests() -> (Guests, RoomName) {
        (Guests::new(Rng::from_number(1)), RoomName::new("tea").expect("a name"))
    }

    fn answer() -> Result<(CallKey, String), EndReason> {
        Ok((CallKey::default(), "v=0".to_owned()))
    }

    #[test]
    fn who_was_answered_is_found_until_some_time_after_the_end() {
        let (guests, room) = guests();
        let (ticket, mut receiver) = guests.ask(room).expect("a place");
        assert_eq!(guests.answered(ticket, &answer()), None);
        let welcome = receiver.try_recv().expect("told").expect("welcome");
        assert_eq!(welcome.id.len(), ID_LETTERS);
        assert_eq!(guests.find(&welcome.id).and_then(|it| it.ended), None);
        let now = Instant::now();
        guests.ended(now, welcome.call, EndReason::RoomFull);
        assert_eq!(guests.find(&welcome.id).and_then(|it| it.ended), Some(EndReason::RoomFull));
        guests.ended(now + KEPT_FOR * 2, CallKey::default(), EndReason::Bug);
        assert!(guests.find(&welcome.id).is_none() || guests.find("").is_none());
    }

    #[test]
    fn a_call_nobody_waits_for_is_given_back() {
        let (guests, room) = guests();
        let (ticket, receiver) = guests.ask(room).expect("a place");
        drop(receiver);
        assert_eq!(guests.answered(ticket, &answer()), Some(CallKey::default()));
        assert_eq!(guests.answered(ticket, &answer()), Some(CallKey::default()), "unknown");
        assert_eq!(guests.answered(99, &Err(EndReason::Draining)), None);
    }

    #[test]
    fn too_many_at_once_are_refused_and_those_who_went_make_room() {
        let (guests, room) = guests();
        let waiting: Vec<_> = (0..WAITING_MAX).map(|_| guests.ask(room.clone())).collect();
        assert!(waiting.iter().all(Option::is_some));
        assert!(guests.ask(room.clone()).is_none());
        drop(waiting);
        assert!(guests.ask(room).is_some());
    }
}
