//! What happens to PINs, told once to all who want to know: the log (which intrusion blockers read), the counts, the audit
//! log, and whoever subscribed.
//!
//! The audit log knows ids of PINs, never their digits; numbers and rooms as `[audit]` says, keyed hashes by default.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gateway_core::base::ids::TrunkId;
use gateway_core::base::pii::Pii;
use gateway_core::base::time::WallClock;
use gateway_core::io::wall_clock;
use gateway_core::leg::backend::RoomName;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;

use super::mint::Issuer;
use super::throttle::Cap;
use super::{Grant, PinKind, Refusal};
use crate::config::audit::Audit;
use crate::journal::{LineCounters, LineWriter, Place};
use crate::pin::key::PinKey;
use crate::privacy::Shower;
use crate::wall::rfc3339;

/// Who typed a PIN, and where.
#[derive(Clone, Debug)]
pub struct Typist {
    /// The call, as its records name it.
    pub call: Option<String>,
    /// From where.
    pub trunk: TrunkId,
    /// Number; `None`: withheld.
    pub caller: Option<Pii<String>>,
    /// Address that the call came from.
    pub source: Option<IpAddr>,
}

/// Something happened to a PIN.
#[derive(Clone, Debug)]
pub enum PinEvent {
    /// It was made, or told again.
    Minted {
        /// Its id.
        id: String,
        /// What it is for.
        kind: PinKind,
        /// Room it opens.
        room: RoomName,
        /// Who asked.
        issuer: Issuer,
        /// The person it belongs to.
        owner: Option<Pii<String>>,
        /// When it ends.
        expires: Option<WallClock>,
        /// It was there already.
        is_recalled: bool,
    },
    /// It was ended by hand.
    Revoked {
        /// Its id.
        id: String,
        /// Who asked.
        issuer: Issuer,
    },
    /// It let somebody in.
    Admitted {
        /// Its id.
        id: String,
        /// What it is for.
        kind: PinKind,
        /// Room it opened.
        room: RoomName,
        /// Whom.
        typist: Typist,
    },
    /// Somebody was refused.
    Refused {
        /// Why.
        why: Refusal,
        /// Who.
        typist: Typist,
    },
    /// Somebody had too many wrong ones and is locked out.
    LockedOut {
        /// Which count is full.
        cap: Cap,
        /// Who did it.
        typist: Typist,
    },
    /// A meeting goes on.
    MeetingStarted {
        /// Its room.
        room: RoomName,
    },
    /// A meeting is over.
    MeetingEnded {
        /// Its room.
        room: RoomName,
    },
}

/// What was counted, for metrics.
#[derive(Clone, Debug, Default)]
pub struct PinCounts {
    /// Refused PINs by trunk and reason.
    pub refused: BTreeMap<(TrunkId, &'static str), u64>,
    /// Lock-outs by trunk and cap.
    pub locked_out: BTreeMap<(TrunkId, &'static str), u64>,
}

/// Tells what happens.
#[derive(Debug)]
pub struct PinJournal {
    trunks: Vec<String>,
    counts: Mutex<PinCounts>,
    audit: Option<(LineWriter, Shower)>,
    listeners: broadcast::Sender<PinEvent>,
}

impl PinJournal {
    /// A journal; `trunks` are their names in the order of their ids.
    pub fn start(audit: &Audit, key: PinKey, trunks: Vec<String>) -> std::io::Result<Self> {
        let audit = audit.file.clone().map(|file| {
            let place = Place::Days { file, keep: audit.keep_days };
            let writer = LineWriter::start(place, audit.sync_each, "audit log lines")?;
            Ok::<_, std::io::Error>((writer, Shower::new(key, audit.numbers, audit.rooms)))
        });
        let (listeners, _) = broadcast::channel(EVENTS_KEPT);
        Ok(Self { trunks, counts: Mutex::default(), audit: audit.transpose()?, listeners })
    }

    /// A journal that keeps nothing: for tests.
    pub fn silent() -> Self {
        let (listeners, _) = broadcast::channel(EVENTS_KEPT);
        Self { trunks: Vec::new(), counts: Mutex::default(), audit: None, listeners }
    }

    /// Tells all who want to know. Never waits for a disk or a listener.
    pub fn note(&self, event: PinEvent) {
        match &event {
            PinEvent::Refused { why, typist } => self.log_refused(*why, typist),
            PinEvent::LockedOut { cap, typist } => self.locked_out(*cap, typist),
            _ => {}
        }
        if let Some((writer, shower)) = &self.audit {
            writer.write(vec![self.line(&event, shower).to_string()]);
        }
        // Nobody listens: nobody's loss.
        let _ = self.listeners.send(event);
    }

    /// A refusal, and the lock-out that it may bring.
    pub fn refused(&self, why: Refusal, reached: Option<Cap>, typist: Typist) {
        let more = reached.map(|cap| PinEvent::LockedOut { cap, typist: typist.clone() });
        self.note(PinEvent::Refused { why, typist });
        if let Some(event) = more {
            self.note(event);
        }
    }

    /// What happens from now on. A listener that is too slow misses the oldest.
    pub fn listen(&self) -> broadcast::Receiver<PinEvent> {
        self.listeners.subscribe()
    }

    /// What was counted.
    pub fn counts(&self) -> PinCounts {
        self.lock().clone()
    }

    /// Lines of the audit log: what became of them, and how many wait.
    pub fn audit_counters(&self) -> (LineCounters, usize) {
        self.audit.as_ref().map(|(writer, _)| writer.counters()).unwrap_or_default()
    }

    /// What is wrong with the audit log now, if anything.
    pub fn trouble(&self) -> Option<String> {
        self.audit.as_ref().and_then(|(writer, _)| writer.trouble())
    }

    /// Writes what still waits, for three seconds at most. Blocks.
    pub fn close(&self) {
        if let Some((writer, _)) = &self.audit {
            writer.close();
        }
    }

    fn lock(&self) -> MutexGuard<'_, PinCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trunk(&self, trunk: TrunkId) -> &str {
        self.trunks.get(usize::from(trunk.0)).map_or("-", String::as_str)
    }

    /// The line that intrusion blockers read: `contrib/fail2ban` has the filter, and a test holds them together.
    fn log_refused(&self, why: Refusal, typist: &Typist) {
        *self.lock().refused.entry((typist.trunk, why.label())).or_default() += 1;
        let Typist { call, trunk, caller, source } = typist;
        let (trunk, why) = (self.trunk(*trunk), why.label());
        let source = source.map(|source| source.to_string());
        let caller = caller.as_ref().map(tracing::field::display);
        tracing::warn!(source, trunk, caller, why, call, "PIN refused");
    }

    fn locked_out(&self, cap: Cap, typist: &Typist) {
        *self.lock().locked_out.entry((typist.trunk, cap.label())).or_default() += 1;
        let Typist { call, trunk, caller, source } = typist;
        let (trunk, cap) = (self.trunk(*trunk), cap.label());
        let source = source.map(|source| source.to_string());
        let caller = caller.as_ref().map(tracing::field::display);
        tracing::warn!(source, trunk, caller, cap, call, "PIN guesser locked out");
    }

    fn line(&self, event: &PinEvent, shower: &Shower) -> Value {
        let mut out = Map::new();
        let mut put = |key: &str, value: Value| {
            if !value.is_null() {
                out.insert(key.to_owned(), value);
            }
        };
        put("time", json!(rfc3339(wall_clock())));
        put("event", json!(event.name()));
        match event {
            PinEvent::Minted { id, kind, room, issuer, owner, expires, is_recalled } => {
                put("pin", json!(id));
                put("kind", json!(kind.name()));
                put("room", json!(shower.room(room)));
                put("by", json!(issuer.name()));
                put("owner", json!(owner.as_ref().map(|owner| shower.hashed(owner.reveal()))));
                put("expires", json!(expires.map(rfc3339)));
                put("again", json!(is_recalled.then_some(true)));
            }
            PinEvent::Revoked { id, issuer } => {
                put("pin", json!(id));
                put("by", json!(issuer.name()));
            }
            PinEvent::Admitted { id, kind, room, .. } => {
                put("pin", json!(id));
                put("kind", json!(kind.name()));
                put("room", json!(shower.room(room)));
            }
            PinEvent::Refused { why, .. } => put("why", json!(why.label())),
            PinEvent::LockedOut { cap, .. } => put("cap", json!(cap.label())),
            PinEvent::MeetingStarted { room } | PinEvent::MeetingEnded { room } => {
                put("room", json!(shower.room(room)));
            }
        }
        if let Some(Typist { call, trunk, caller, source }) = event.typist() {
            put("call", json!(call));
            put("trunk", json!(self.trunk(*trunk)));
            put("caller", json!(caller.as_ref().map(|caller| shower.number(caller.reveal()))));
            put("source", json!(source.map(|source| source.to_string())));
        }
        Value::Object(out)
    }
}

impl PinEvent {
    /// A PIN let somebody in.
    pub fn admitted(grant: &Grant, typist: Typist) -> Self {
        let Grant { id, kind, room, .. } = grant;
        Self::Admitted { id: id.clone(), kind: *kind, room: room.clone(), typist }
    }

    /// Name in the audit log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Minted { .. } => "pin_minted",
            Self::Revoked { .. } => "pin_revoked",
            Self::Admitted { .. } => "pin_admitted",
            Self::Refused { .. } => "pin_refused",
            Self::LockedOut { .. } => "locked_out",
            Self::MeetingStarted { .. } => "meeting_started",
            Self::MeetingEnded { .. } => "meeting_ended",
        }
    }

    fn typist(&self) -> Option<&Typist> {
        match self {
            Self::Admitted { typist, .. }
            | Self::Refused { typist, .. }
            | Self::LockedOut { typist, .. } => Some(typist),
            _ => None,
        }
    }
}

/// Events kept for slow listeners.
const EVENTS_KEPT: usize = 256;
