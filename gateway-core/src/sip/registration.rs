//! One registration for a trunk (RFC 3261 §10): asked for, proved by digest, refreshed in time, asked for again for ever,
//! and taken back when we leave.
//!
//! Refuses to choose the way: its endpoint knows where the peer is now. Refuses to give up: what only a person can mend
//! (a password, an unknown account) is tried again slowly, everything else after 2 to 300 s.
//!
//!   Waiting -> Asking{request} -> Registered -> Asking ...      refused, or no answer -> Waiting
//!   leave: Asking{expires 0} -> Over

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::auth::Keyring;
use super::dialog::Peer;
use super::endpoint::core::Core;
use super::outbox::Path;
use super::transaction::{Outcome, Owner, TransactionId};
use super::trunk::{Account, DigestUser};
use super::wire::{
    Contact, HeaderName, Headers, Host, Method, Request, Response, Uri, Via, build, text,
};
use crate::base::ids::TrunkId;
use crate::base::rng::Rng;
use crate::base::time::Why;

/// How a trunk's registration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationState {
    /// Not answered yet.
    Trying,
    /// The registrar knows us.
    Registered {
        /// For how long, unless we ask again. Zero where it was only asked what it knows.
        expires: Duration,
    },
    /// It does not; we go on trying.
    Failed(RegistrationFailure),
    /// We took it back because we leave.
    Over,
}

/// Why a registrar does not know us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationFailure {
    /// Its name has no address.
    NoAddress,
    /// No answer in time.
    Silent,
    /// No connection, or the operating system refused the datagram.
    Unreachable,
    /// It asks for a proof and the trunk has no credentials.
    NoCredentials,
    /// User or password are wrong.
    WrongPassword,
    /// 403: the account may not register.
    Forbidden,
    /// 404: it does not know the account or the domain.
    UnknownAccount,
    /// Another refusal.
    Refused(u16),
}

impl RegistrationFailure {
    /// Only a person can mend it: no use in asking often.
    fn needs_somebody(self) -> bool {
        match self {
            Self::NoAddress | Self::Silent | Self::Unreachable => false,
            Self::NoCredentials | Self::WrongPassword | Self::Forbidden | Self::UnknownAccount => {
                true
            }
            Self::Refused(status) => !(status == 408 || status == 480 || status >= 500),
        }
    }
}

/// The registration of one trunk.
#[derive(Debug)]
pub struct Registration {
    trunk: TrunkId,
    account: Account,
    /// Call-ID, tag and CSeq stay the same for all REGISTERs (§10.2.4). `None`: none was sent yet.
    far: Option<Peer>,
    keyring: Keyring,
    asked: Option<Asked>,
    /// Grows when the registrar wants longer (423).
    wish: Duration,
    next: Option<Instant>,
    failures: u32,
    state: RegistrationState,
    /// What the owner was told.
    told: RegistrationState,
    /// Where the registrar sees us.
    learned: Option<SocketAddr>,
    /// Since when we take it back; then nothing follows.
    leaving: bool,
    rng: Rng,
}

/// The REGISTER on its way.
#[derive(Debug)]
struct Asked {
    id: TransactionId,
    path: Path,
    /// Challenges answered, intervals raised: each costs one.
    tries: u8,
}

impl Registration {
    /// Asks first within a second of `now`, so that a hundred trunks do not ask at once.
    pub fn new(now: Instant, trunk: TrunkId, account: Account, mut rng: Rng) -> Self {
        let first = Duration::from_millis(u64::from(rng.below(1_000)));
        Self {
            trunk,
            wish: account.expires,
            account,
            far: None,
            keyring: Keyring::default(),
            asked: None,
            next: Some(now + first),
            failures: 0,
            state: RegistrationState::Trying,
            told: RegistrationState::Trying,
            learned: None,
            leaving: false,
            rng,
        }
    }

    /// When it wants to do something.
    pub fn next(&self) -> Option<(Instant, Why)> {
        self.next.map(|at| (at, Why("sip.registration")))
    }

    /// Whether it is time for a REGISTER, or for giving up the farewell.
    pub fn is_due(&mut self, now: Instant) -> bool {
        if self.next.is_none_or(|at| at > now) {
            return false;
        }
        self.next = None;
        if self.leaving {
            self.over();
            return false;
        }
        self.asked.is_none()
    }

    /// Sends a REGISTER by `path`. `None`: there is no way; later again.
    pub fn ask(&mut self, now: Instant, core: &mut Core, path: Option<Path>) {
        let Some(path) = path else {
            self.next = Some(now + NO_WAY_WAIT);
            return;
        };
        let expires = self.wish;
        self.send(now, core, path, expires, 0);
    }

    /// Something happened to one of our REGISTERs. `true`: nobody answered there, another address may be better.
    pub fn outcome(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: TransactionId,
        outcome: &Outcome,
    ) -> bool {
        if self.asked.as_ref().is_none_or(|asked| asked.id != id) {
            return false;
        }
        match outcome {
            Outcome::Response(response) if response.status.is_provisional() => false,
            Outcome::Response(response) => {
                let Some(asked) = self.asked.take() else { return false };
                self.answered(now, core, &asked, response);
                false
            }
            Outcome::TimedOut => self.unanswered(now, RegistrationFailure::Silent),
            Outcome::Undeliverable => self.unanswered(now, RegistrationFailure::Unreachable),
        }
    }

    fn unanswered(&mut self, now: Instant, failure: RegistrationFailure) -> bool {
        self.asked = None;
        self.failed(now, failure, None);
        true
    }

    fn answered(&mut self, now: Instant, core: &mut Core, asked: &Asked, response: &Response) {
        let moved = self.learn(&response.headers);
        if let Some(seen) = self.contact_address() {
            core.seen_as.insert((asked.path.listener, asked.path.peer), seen);
        }
        if self.leaving && !matches!(response.status.code(), 401 | 407) {
            return self.over();
        }
        match response.status.code() {
            200..300 => self.accepted(now, core, asked, response, moved),
            401 | 407 => self.challenged(now, core, asked, response),
            423 => self.too_brief(now, core, asked, response),
            403 => self.failed(now, RegistrationFailure::Forbidden, None),
            404 => self.failed(now, RegistrationFailure::UnknownAccount, None),
            status => {
                let after = retry_after(&response.headers);
                self.failed(now, RegistrationFailure::Refused(status), after);
            }
        }
    }

    fn accepted(
        &mut self,
        now: Instant,
        core: &mut Core,
        asked: &Asked,
        response: &Response,
        moved: bool,
    ) {
        self.failures = 0;
        if self.account.only_asks {
            self.state = RegistrationState::Registered { expires: Duration::ZERO };
            return;
        }
        if moved && self.account.learned_contact && asked.tries < TRIES_MAX {
            // It knows us by an address that others cannot reach: at once again, by the one it sees.
            let wish = self.wish;
            return self.send(now, core, asked.path, wish, asked.tries + 1);
        }
        let contact = core.contact_of(asked.path, &self.account.user, self.contact_address());
        let granted = granted(&response.headers, &contact).unwrap_or(self.wish);
        self.state = RegistrationState::Registered { expires: granted };
        // 80 to 90 %, and never so late that the answer to a repeated request comes after the end.
        let share = 80 + self.rng.below(11);
        let usual = granted * share / 100;
        let wait = self.account.refresh_every.map_or(usual, |every| every.min(usual));
        self.next = Some(now + wait.max(REFRESH_MIN));
    }

    fn challenged(&mut self, now: Instant, core: &mut Core, asked: &Asked, response: &Response) {
        if core.trunk(self.trunk).is_none_or(|trunk| trunk.credentials.is_none()) {
            return self.failed(now, RegistrationFailure::NoCredentials, None);
        }
        if asked.tries >= TRIES_MAX || !self.keyring.take(response) {
            self.keyring = Keyring::default();
            return self.failed(now, RegistrationFailure::WrongPassword, None);
        }
        let expires = if self.leaving { Duration::ZERO } else { self.wish };
        self.send(now, core, asked.path, expires, asked.tries + 1);
    }

    /// 423 (§10.3): the registrar wants registrations to last longer.
    fn too_brief(&mut self, now: Instant, core: &mut Core, asked: &Asked, response: &Response) {
        let least = seconds(&response.headers, &HeaderName::MinExpires);
        match least.filter(|least| *least > self.wish && *least <= EXPIRES_MAX) {
            Some(least) if asked.tries < TRIES_MAX => {
                self.wish = least;
                self.send(now, core, asked.path, least, asked.tries + 1);
            }
            _ => self.failed(now, RegistrationFailure::Refused(423), None),
        }
    }

    /// Ask soon: the peer is there again, its connection was lost, or it has another address now.
    pub fn hurry(&mut self, at: Instant) {
        if !self.leaving && self.asked.is_none() {
            self.next = Some(self.next.map_or(at, |next| next.min(at)));
        }
    }

    /// The connection that it came by is gone. Only what was registered is asked for soon; the rest has its time.
    pub fn connection_lost(&mut self, now: Instant) {
        if self.is_registered() {
            let drawn = Duration::from_millis(u64::from(self.rng.below(1_000)));
            self.hurry(now + RETRY_FIRST / 2 + drawn);
        }
    }

    /// The peer's name has no address.
    pub fn has_no_address(&mut self) {
        if !self.leaving {
            self.state = RegistrationState::Failed(RegistrationFailure::NoAddress);
        }
    }

    /// Takes the registration back. Nothing follows.
    pub fn leave(&mut self, now: Instant, core: &mut Core, path: Option<Path>) {
        if std::mem::replace(&mut self.leaving, true) {
            return;
        }
        self.next = None;
        let is_known = matches!(self.state, RegistrationState::Registered { .. });
        let may = is_known && !self.account.only_asks;
        self.asked = None;
        match path.filter(|_| may) {
            Some(path) => {
                self.send(now, core, path, Duration::ZERO, 0);
                self.next = Some(now + FAREWELL_WITHIN);
            }
            None => self.over(),
        }
    }

    /// Whether a farewell is on its way.
    pub fn is_leaving(&self) -> bool {
        self.leaving && self.state != RegistrationState::Over
    }

    /// The state, if it is not what was told last.
    pub fn news(&mut self) -> Option<RegistrationState> {
        let kind = std::mem::discriminant::<RegistrationState>;
        let is_same = match (self.told, self.state) {
            (RegistrationState::Failed(told), RegistrationState::Failed(now)) => told == now,
            (told, now) => kind(&told) == kind(&now),
        };
        self.told = self.state;
        (!is_same).then_some(self.state)
    }

    /// Whether the registrar knows us.
    pub fn is_registered(&self) -> bool {
        matches!(self.state, RegistrationState::Registered { .. })
    }

    /// The user part of our address there.
    pub fn user(&self) -> &str {
        &self.account.user
    }

    /// It did not work: when to try again.
    fn failed(&mut self, now: Instant, failure: RegistrationFailure, after: Option<Duration>) {
        if self.leaving {
            return self.over();
        }
        self.state = RegistrationState::Failed(failure);
        let doubled = RETRY_FIRST.saturating_mul(1 << self.failures.min(16)).min(RETRY_LONGEST);
        let full = if failure.needs_somebody() { RETRY_LONGEST } else { doubled };
        self.failures = self.failures.saturating_add(1);
        let half_ms = u32::try_from(full.as_millis() / 2).unwrap_or(u32::MAX);
        let drawn = Duration::from_millis(u64::from(self.rng.below(half_ms.saturating_add(1))));
        let wait = (full / 2 + drawn).max(RETRY_FIRST);
        let asked_for = after.unwrap_or_default().min(RETRY_AFTER_MAX);
        self.next = Some(now + wait.max(asked_for));
    }

    fn over(&mut self) {
        self.state = RegistrationState::Over;
        self.next = None;
        self.asked = None;
    }

    fn send(&mut self, now: Instant, core: &mut Core, path: Path, expires: Duration, tries: u8) {
        let mut request = self.request(core, path);
        if !self.account.only_asks {
            let contact = core.contact_of(path, &self.account.user, self.contact_address());
            build::push(&mut request.headers, HeaderName::Contact, contact);
            let expires = expires.as_secs().to_string();
            build::push(&mut request.headers, HeaderName::Expires, expires);
        }
        let user: Option<DigestUser> = core.trunk(self.trunk).and_then(|t| t.credentials.clone());
        if let Some(user) = user.filter(|_| !self.keyring.is_empty()) {
            self.keyring.sign(&mut self.rng, &user, &mut request);
        }
        core.out.counters.sip_registers_sent += 1;
        let owner = Owner::Registration(self.trunk);
        self.asked = core.send(now, request, path, owner).map(|id| Asked { id, path, tries });
        self.next = None;
        if self.asked.is_none() {
            self.next = Some(now + NO_WAY_WAIT);
        }
    }

    fn request(&mut self, core: &mut Core, path: Path) -> Request {
        let Self { far, account, rng, .. } = self;
        let far = far.get_or_insert_with(|| {
            let address = account.address();
            let target = Uri::parse(format!("sip:{}", account.domain).into());
            let fallback = || Uri::parse(format!("sip:{}", path.peer).into());
            let target = target.or_else(|_| fallback()).expect("an address makes a SIP URI");
            let (call_id, tag) = (rng.token(CALL_ID_LENGTH), rng.token(TAG_LENGTH));
            Peer::outgoing(call_id, tag, address.clone(), address, target, path)
        });
        let mut request = far.first_request(core, Method::Register, path);
        core.add_abilities(&mut request.headers);
        request
    }

    /// The address in Contact, if not the listener's.
    fn contact_address(&self) -> Option<SocketAddr> {
        self.learned.filter(|_| self.account.learned_contact)
    }

    /// Where the registrar sees us (RFC 3581). `true`: not where it saw us before.
    fn learn(&mut self, headers: &Headers) -> bool {
        let Some(seen) = seen_address(headers) else { return false };
        self.learned.replace(seen) != Some(seen)
    }
}

/// How long our Contact was granted (§10.2.4): its own parameter, else Expires.
fn granted(headers: &Headers, contact: &str) -> Option<Duration> {
    let uri = contact.trim_start_matches('<').split('>').next().unwrap_or_default();
    let ours = Uri::parse(uri.to_owned().into()).ok()?;
    let is_ours = |other: &Uri| {
        text::user_of(other) == text::user_of(&ours)
            && text::host_of(other) == text::host_of(&ours)
            && other.port().unwrap_or(5060) == ours.port().unwrap_or(5060)
    };
    let contacts = headers.typed_all::<Contact>().flatten();
    let own = contacts.filter(|contact| is_ours(&contact.0.uri)).find_map(|contact| {
        text::decode(contact.0.param("expires")?).parse::<u64>().ok().map(Duration::from_secs)
    });
    let granted = own.or_else(|| seconds(headers, &HeaderName::Expires));
    granted.filter(|time| !time.is_zero()).map(|time| time.min(EXPIRES_MAX))
}

/// `received` and `rport` of the top Via.
fn seen_address(headers: &Headers) -> Option<SocketAddr> {
    let via = headers.typed::<Via>()?.ok()?;
    let own = match &via.host {
        Host::Ip(ip) => Some(*ip),
        Host::Name(_) => None,
    };
    let received = via.received().map(text::decode);
    let received = received
        .and_then(|text| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok());
    let port = via.rport().flatten().map(text::decode);
    let port = port.and_then(|text| text.parse::<u16>().ok()).or(via.port);
    Some(SocketAddr::new(received.or(own)?, port?))
}

fn seconds(headers: &Headers, name: &HeaderName) -> Option<Duration> {
    let value = text::value(headers, name)?;
    value.trim().parse::<u64>().ok().map(Duration::from_secs)
}

/// Retry-After, without its comment and parameters.
fn retry_after(headers: &Headers) -> Option<Duration> {
    let value = text::value(headers, &HeaderName::RetryAfter)?;
    let digits: String = value.trim().chars().take_while(char::is_ascii_digit).collect();
    digits.parse::<u64>().ok().map(Duration::from_secs)
}

/// First wait after no answer.
const RETRY_FIRST: Duration = Duration::from_secs(2);
/// Longest wait, and the wait where a person must act: a registrar that comes back is found within this.
const RETRY_LONGEST: Duration = Duration::from_secs(300);
/// Retry-After is believed up to this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(1_800);
/// Without an address or listener.
const NO_WAY_WAIT: Duration = Duration::from_secs(2);
/// However short a registration is granted, we ask no oftener.
const REFRESH_MIN: Duration = Duration::from_secs(5);
/// Longest registration believed.
const EXPIRES_MAX: Duration = Duration::from_secs(86_400);
/// The farewell may take so long; then we are gone all the same.
const FAREWELL_WITHIN: Duration = Duration::from_secs(3);
/// Challenges, longer intervals and new addresses answered in a row: a proxy's and a registrar's challenge, a stale nonce,
/// a 423.
const TRIES_MAX: u8 = 4;
const TAG_LENGTH: usize = 12;
const CALL_ID_LENGTH: usize = 24;
