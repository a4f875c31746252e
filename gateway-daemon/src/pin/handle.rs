//! The registry as other parts hold it: [`Pins`], which may be cloned and asked from any task.
//!
//! The registry has a thread of its own: disks and databases block, calls must not. Questions wait in a bounded queue;
//! when it is full the answer is an error at once. While the registry is in trouble the thread asks it each second, so
//! that health tells the truth though nobody calls.
//!
//! ```ignore
//! let pin = pins.mint(Mint::new(room, PinKind::Guest, Issuer::Chat)).await?;   // pin.digits.reveal(), pin.id
//! pins.meeting_started(&room).await?;
//! pins.meeting_ended(&room).await?;                                            // PINs close after [pin] grace_min
//! let verdict = pins.check(check).await;                                       // throttled, same delay for each no
//! ```

use std::net::IpAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gateway_core::base::ids::TrunkId;
use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;
use gateway_core::base::time::WallClock;
use gateway_core::io::wall_clock;
use gateway_core::leg::backend::RoomName;

use super::events::{PinEvent, PinJournal, Typist};
use super::key::PinKey;
use super::mint::{Issuer, Mint, PinError};
use super::throttle::{CallerBucket, Throttle};
use super::{Grant, Pin, PinAsk, PinEntry, PinRegistry, Refusal, RegistryError, Verdict};
use crate::config::typed::{PinSettings, Rooms};
use crate::ivr::ANSWER_AFTER;

/// The wrong PINs that were counted, shared by all who ask for PINs.
#[derive(Clone, Debug)]
pub struct SharedThrottle(Arc<Mutex<Throttle>>);

impl SharedThrottle {
    /// Shares a count.
    pub fn new(throttle: Throttle) -> Self {
        Self(Arc::new(Mutex::new(throttle)))
    }

    /// The count.
    pub fn lock(&self) -> MutexGuard<'_, Throttle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question with the ticket that its answer carries.
#[derive(Debug)]
pub struct Question {
    /// Comes back.
    pub ticket: u64,
    /// The question.
    pub ask: PinAsk,
    /// Wall time of the question.
    pub wall: WallClock,
}

/// Digits that somebody typed elsewhere: in a PBX, on a page.
#[derive(Clone, Debug)]
pub struct PinCheck {
    /// What was typed: ASCII digits.
    pub digits: Pii<String>,
    /// Only PINs of this room are valid.
    pub room: Option<RoomName>,
    /// Number of the caller; `None`: withheld.
    pub caller: Option<Pii<String>>,
    /// Where the question comes from.
    pub trunk: TrunkId,
    /// The call, as the far side names it: for the audit log.
    pub call: Option<String>,
    /// Address that the call came from: for intrusion blockers.
    pub source: Option<IpAddr>,
}

/// What [`Pins::check`] answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Let the caller in.
    Valid(Grant),
    /// Say the same words for each reason.
    Refused(Refusal),
    /// Nobody knows: "try again later", never a yes.
    Unavailable,
}

/// The registry.
#[derive(Clone, Debug)]
pub struct Pins {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    trouble: Arc<Mutex<Option<String>>>,
    throttle: SharedThrottle,
    journal: PinJournal,
    settings: PinSettings,
    rooms: Rooms,
    key: PinKey,
}

pub(super) type Job = Box<dyn FnOnce(&mut Desk) + Send>;

/// What the thread works with.
pub(super) struct Desk {
    pub(super) registry: Box<dyn PinRegistry>,
    pub(super) rng: Rng,
    trouble: Arc<Mutex<Option<String>>>,
}

impl Pins {
    /// Starts the registry's thread, without an audit log. It ends when the last handle is dropped.
    pub fn start(
        registry: Box<dyn PinRegistry>,
        settings: PinSettings,
        rooms: Rooms,
        rng: Rng,
    ) -> std::io::Result<Self> {
        Self::start_with_journal(registry, settings, rooms, rng, PinJournal::silent())
    }

    /// As [`Pins::start`], telling `journal` what happens.
    pub fn start_with_journal(
        registry: Box<dyn PinRegistry>,
        settings: PinSettings,
        rooms: Rooms,
        rng: Rng,
        journal: PinJournal,
    ) -> std::io::Result<Self> {
        let key = registry.key().clone();
        let trouble = Arc::new(Mutex::new(None));
        let (jobs, waiting) = sync_channel::<Job>(JOBS_MAX);
        let desk = Desk { registry, rng, trouble: Arc::clone(&trouble) };
        let thread = std::thread::Builder::new()
            .name("pin-registry".to_owned())
            .spawn(move || work(desk, &waiting))?;
        let throttle = SharedThrottle::new(Throttle::new(settings.limits));
        let (jobs, thread) = (Some(jobs), Some(thread));
        let inner = Inner { jobs, thread, trouble, throttle, journal, settings, rooms, key };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A PIN for a room, or the room's PIN where one is for all ([`Mint::recalled`]).
    pub async fn mint(&self, mint: Mint) -> Result<Pin, PinError> {
        if !self.inner.rooms.rules(&mint.room).mint.contains(&mint.issuer) {
            return Err(PinError::NotAllowed(mint.issuer));
        }
        let wall = wall_clock();
        let new = mint.resolve(&self.inner.settings, wall);
        let pin = self.ask(move |desk| desk.registry.add(&new, wall, &mut desk.rng)).await?;
        self.inner.journal.note(PinEvent::Minted {
            id: pin.id.clone(),
            kind: mint.kind,
            room: mint.room,
            issuer: mint.issuer,
            owner: mint.owner,
            expires: pin.expires,
            is_recalled: pin.is_recalled,
        });
        Ok(pin)
    }

    /// The PIN with this id.
    pub async fn find(&self, id: &str) -> Result<Option<PinEntry>, PinError> {
        let id = id.to_owned();
        self.ask(move |desk| desk.registry.find(&id)).await
    }

    /// All PINs that are kept, newest first.
    pub async fn list(&self) -> Result<Vec<PinEntry>, PinError> {
        self.ask(|desk| desk.registry.list()).await
    }

    /// Ends a PIN; false if there is no such one.
    pub async fn revoke(&self, id: &str, issuer: Issuer) -> Result<bool, PinError> {
        let wanted = id.to_owned();
        let is_done = self.ask(move |desk| desk.registry.revoke(&wanted, wall_clock())).await?;
        if is_done {
            self.inner.journal.note(PinEvent::Revoked { id: id.to_owned(), issuer });
        }
        Ok(is_done)
    }

    /// The meeting in `room` goes on: PINs that were about to close with it stay.
    pub async fn meeting_started(&self, room: &RoomName) -> Result<(), PinError> {
        let wanted = room.clone();
        self.ask(move |desk| desk.registry.meeting_started(&wanted, wall_clock())).await?;
        self.inner.journal.note(PinEvent::MeetingStarted { room: room.clone() });
        Ok(())
    }

    /// The meeting in `room` is over: its PINs close after `[pin] grace_min`.
    pub async fn meeting_ended(&self, room: &RoomName) -> Result<(), PinError> {
        let (wanted, wall) = (room.clone(), wall_clock());
        let closes = WallClock { unix: wall.unix + self.inner.settings.grace };
        self.ask(move |desk| desk.registry.meeting_ended(&wanted, wall, closes)).await?;
        self.inner.journal.note(PinEvent::MeetingEnded { room: room.clone() });
        Ok(())
    }

    /// Judges digits that were typed elsewhere, with the same counts of wrong PINs as calls to us. Each no comes
    /// [`ANSWER_AFTER`] after the question: nobody learns from time why. A yes counts a use.
    pub async fn check(&self, check: PinCheck) -> Checked {
        let asked = Instant::now();
        let PinCheck { digits, room, caller, trunk, call, source } = check;
        let typist = Typist { call, trunk, caller: caller.clone(), source };
        let bucket = match &caller {
            Some(number) => CallerBucket::Number(number.clone()),
            None => CallerBucket::Anonymous(trunk),
        };
        let is_locked = self.throttle().lock().is_locked(asked, trunk, &bucket);
        let ask = PinAsk { digits, room, caller, spend: !is_locked };
        let answer = self.ask(move |desk| desk.registry.look_up(&ask, wall_clock())).await;
        let why = match (answer, is_locked) {
            (Ok(Verdict::Valid(grant)), false) => {
                self.inner.journal.note(PinEvent::admitted(&grant, typist));
                return Checked::Valid(grant);
            }
            (Err(_), _) => return Checked::Unavailable,
            (Ok(_), true) => Refusal::Locked,
            (Ok(Verdict::Refused(why)), false) => why,
        };
        let cap = self.throttle().lock().count_wrong(Instant::now(), trunk, &bucket);
        tokio::time::sleep_until((asked + ANSWER_AFTER).into()).await;
        self.inner.journal.refused(why, cap, typist);
        Checked::Refused(why)
    }

    /// Asks for the PIN dialogue; `answer` is called on the registry's thread and must not block. False: the queue is
    /// full, there will be no answer.
    pub fn look_up(
        &self,
        question: Question,
        answer: impl FnOnce(u64, Result<Verdict, RegistryError>) + Send + 'static,
    ) -> bool {
        self.send(Box::new(move |desk| {
            let Question { ticket, ask, wall } = question;
            let verdict = desk.registry.look_up(&ask, wall);
            desk.note_trouble(verdict.as_ref().err());
            answer(ticket, verdict);
        }))
        .is_ok()
    }

    /// What happens to PINs is told here.
    pub fn journal(&self) -> &PinJournal {
        &self.inner.journal
    }

    /// The wrong PINs that were counted.
    pub fn throttle(&self) -> &SharedThrottle {
        &self.inner.throttle
    }

    /// The server's key.
    pub fn key(&self) -> &PinKey {
        &self.inner.key
    }

    /// What is wrong with the registry now, if anything.
    pub fn trouble(&self) -> Option<String> {
        self.inner.trouble.lock().map_or(None, |trouble| trouble.clone())
    }

    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Desk) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, PinError> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.send(Box::new(move |desk| {
            let done = question(desk);
            let error = done.as_ref().err();
            // That all digits are taken is no trouble of the database.
            desk.note_trouble(error.filter(|it| !it.is_full()));
            // Nobody waits any more: his business.
            let _ = answer.send(done);
        }))?;
        Ok(answered.await.map_err(|_| PinError::Stopped)??)
    }

    pub(super) fn send(&self, job: Job) -> Result<(), PinError> {
        let jobs = self.inner.jobs.as_ref().ok_or(PinError::Stopped)?;
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => PinError::Busy,
            TrySendError::Disconnected(_) => PinError::Stopped,
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(mut desk: Desk, waiting: &Receiver<Job>) {
    let mut purged = Instant::now();
    loop {
        let is_in_trouble = desk.trouble.lock().is_ok_and(|trouble| trouble.is_some());
        let pause = if is_in_trouble { PROBE_IN_TROUBLE } else { PROBE };
        match waiting.recv_timeout(pause) {
            Ok(job) => job(&mut desk),
            Err(RecvTimeoutError::Timeout) => {
                let answer = desk.registry.ping();
                desk.note_trouble(answer.as_ref().err());
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if purged.elapsed() >= PURGE_EVERY {
            purged = Instant::now();
            let answer = desk.registry.purge(wall_clock());
            desk.note_trouble(answer.as_ref().err());
        }
    }
}

impl Desk {
    /// Says once when trouble begins or changes, and once when it is over.
    pub(super) fn note_trouble(&self, error: Option<&RegistryError>) {
        let Ok(mut seen) = self.trouble.lock() else { return };
        let now = error.map(ToString::to_string);
        match (&*seen, &now) {
            (before, Some(text)) if before.as_ref() != Some(text) => {
                tracing::warn!(error = %text, "PINs cannot be checked");
            }
            (Some(_), None) => tracing::info!("PINs can be checked again"),
            _ => {}
        }
        *seen = now;
    }
}

/// Questions that may wait: at 1 ms each the last one waits a quarter of a second.
const JOBS_MAX: usize = 256;
/// A registry that nobody asks is asked this often, so that its loss is known before a caller meets it.
const PROBE: Duration = Duration::from_secs(5);
const PROBE_IN_TROUBLE: Duration = Duration::from_secs(1);
/// PINs whose quarantine is over are forgotten this often, and when one is made.
const PURGE_EVERY: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests;
