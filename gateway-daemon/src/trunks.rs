//! What is known of the trunks: fed by the core's events, read by health, metrics, and whoever needs a trunk that works.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gateway_core::base::ids::TrunkId;
use gateway_core::gateway::Event;
use gateway_core::sip::reach::NameState;
use gateway_core::sip::registration::{RegistrationFailure, RegistrationState};

use crate::health::{Area, Problem};

/// All trunks. Those not heard of are as they should be.
#[derive(Debug, Default)]
pub struct Trunks {
    /// Round trip of OPTIONS; `None`: not answered.
    up: BTreeMap<TrunkId, Option<Duration>>,
    registrations: BTreeMap<TrunkId, RegistrationState>,
    names: BTreeMap<TrunkId, NameState>,
    unusable: BTreeSet<TrunkId>,
}

impl Trunks {
    /// Takes in what the core says of trunks; other events mean nothing here.
    pub fn note(&mut self, event: &Event) {
        match event {
            Event::TrunkState(trunk, up) => drop(self.up.insert(*trunk, *up)),
            Event::TrunkRegistered(trunk, state) => {
                self.registrations.insert(*trunk, *state);
            }
            Event::TrunkName(trunk, state) => drop(self.names.insert(*trunk, *state)),
            Event::TrunkUsable(trunk, true) => drop(self.unusable.remove(trunk)),
            Event::TrunkUsable(trunk, false) => drop(self.unusable.insert(*trunk)),
            _ => {}
        }
    }

    /// Whether calls can be expected to work on a trunk: registered where it wants that, found, and not silent.
    pub fn is_usable(&self, trunk: TrunkId) -> bool {
        !self.unusable.contains(&trunk)
    }

    /// Round trips of OPTIONS, of trunks that are asked.
    pub fn round_trips(&self) -> impl Iterator<Item = (TrunkId, Option<Duration>)> + '_ {
        self.up.iter().map(|(trunk, up)| (*trunk, *up))
    }

    /// Trunks that register, and whether their registrar knows us.
    pub fn registered(&self) -> impl Iterator<Item = (TrunkId, bool)> + '_ {
        self.registrations
            .iter()
            .map(|(trunk, state)| (*trunk, matches!(state, RegistrationState::Registered { .. })))
    }

    /// Trunks whose peer is a name, and whether it can be resolved.
    pub fn resolved(&self) -> impl Iterator<Item = (TrunkId, bool)> + '_ {
        self.names.iter().map(|(trunk, state)| (*trunk, *state == NameState::Resolved))
    }

    /// What is wrong: sentences with remedies.
    pub fn troubles<'a>(&self, name: impl Fn(TrunkId) -> &'a str) -> Vec<Problem> {
        let say = |area: Area, trunk: &TrunkId, what: &str| {
            Problem::new(area, format!("trunk {:?} {what}", name(*trunk)))
        };
        let names = self.names.iter().filter_map(|(trunk, state)| match state {
            NameState::Resolved => None,
            NameState::Stale => Some(say(
                Area::Aside,
                trunk,
                "peer: its name cannot be resolved now; the last address stays in use; check the name servers",
            )),
            NameState::Unknown => Some(say(
                Area::Trunk,
                trunk,
                "peer: its name cannot be resolved; check its spelling and the name servers, or write an address",
            )),
        });
        let registrations = self.registrations.iter().filter_map(|(trunk, state)| match state {
            RegistrationState::Failed(RegistrationFailure::NoAddress) => None, // its name says it
            RegistrationState::Failed(failure) => {
                Some(say(Area::Trunk, trunk, &failure_in_words(*failure)))
            }
            _ => None,
        });
        let down = self.up.iter().filter(|(_, up)| up.is_none()).map(|(trunk, _)| {
            let what = "does not answer OPTIONS; check that its peer runs and knows us";
            say(Area::Trunk, trunk, what)
        });
        names.chain(registrations).chain(down).collect()
    }
}

/// A line of the log for what changed.
pub fn log(trunk: &str, event: &Event) {
    match event {
        Event::TrunkState(_, Some(time)) => {
            tracing::info!(trunk, ms = time.as_millis(), "trunk is up");
        }
        Event::TrunkState(_, None) => tracing::warn!(trunk, "trunk does not answer OPTIONS"),
        Event::TrunkRegistered(_, RegistrationState::Registered { expires }) => {
            tracing::info!(trunk, seconds = expires.as_secs(), "trunk is registered");
        }
        Event::TrunkRegistered(_, RegistrationState::Failed(failure)) => {
            tracing::warn!(trunk, "trunk {}", failure_in_words(*failure));
        }
        Event::TrunkName(_, NameState::Resolved) => {
            tracing::info!(trunk, "the name of the trunk's peer is resolved");
        }
        Event::TrunkName(_, NameState::Stale) => {
            tracing::warn!(
                trunk,
                "the name of the trunk's peer cannot be resolved; its last address stays in use"
            );
        }
        Event::TrunkName(_, NameState::Unknown) => {
            tracing::warn!(trunk, "the name of the trunk's peer cannot be resolved");
        }
        _ => {}
    }
}

/// Why we are not registered, and what to do.
pub fn failure_in_words(failure: RegistrationFailure) -> String {
    match failure {
        RegistrationFailure::NoAddress => {
            "is not registered: its peer has no address; check the name".to_owned()
        }
        RegistrationFailure::Silent => {
            "is not registered: the registrar does not answer; check peer, transport and firewall".to_owned()
        }
        RegistrationFailure::Unreachable => {
            "is not registered: the registrar cannot be reached; check peer, port and transport".to_owned()
        }
        RegistrationFailure::NoCredentials => {
            "is not registered: the registrar wants a password; set credentials = \"name:password\"".to_owned()
        }
        RegistrationFailure::WrongPassword => {
            "is not registered: user or password are wrong; check credentials".to_owned()
        }
        RegistrationFailure::Forbidden => {
            "is not registered: the registrar forbids it (403); check credentials and the account's rights".to_owned()
        }
        RegistrationFailure::UnknownAccount => {
            "is not registered: the registrar does not know the account (404); check register_user and register_server"
                .to_owned()
        }
        RegistrationFailure::Refused(status) => {
            format!("is not registered: the registrar refused ({status}); see its log")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_with_its_remedy_until_it_is_mended() {
        let mut trunks = Trunks::default();
        let id = TrunkId(0);
        assert!(trunks.is_usable(id) && trunks.troubles(|_| "pbx").is_empty());
        trunks.note(&Event::TrunkUsable(id, false));
        let wrong = RegistrationState::Failed(RegistrationFailure::WrongPassword);
        trunks.note(&Event::TrunkRegistered(id, wrong));
        trunks.note(&Event::TrunkName(id, NameState::Stale));
        trunks.note(&Event::TrunkState(id, None));
        let said = trunks.troubles(|_| "pbx");
        let areas: Vec<Area> = said.iter().map(|it| it.area).collect();
        assert_eq!(areas, [Area::Aside, Area::Trunk, Area::Trunk], "calls go on without a name");
        let said: Vec<String> = said.into_iter().map(|it| it.text).collect();
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[0].contains("last address stays in use"), "{said:?}");
        assert!(said[1].contains("user or password are wrong; check credentials"), "{said:?}");
        assert!(said[2].contains("does not answer OPTIONS"), "{said:?}");
        assert!(!trunks.is_usable(id));
        assert_eq!(trunks.registered().collect::<Vec<_>>(), [(id, false)]);
        let good = RegistrationState::Registered { expires: Duration::from_secs(600) };
        trunks.note(&Event::TrunkRegistered(id, good));
        trunks.note(&Event::TrunkName(id, NameState::Resolved));
        trunks.note(&Event::TrunkState(id, Some(Duration::from_millis(2))));
        trunks.note(&Event::TrunkUsable(id, true));
        assert!(trunks.is_usable(id) && trunks.troubles(|_| "pbx").is_empty());
        assert_eq!(trunks.resolved().collect::<Vec<_>>(), [(id, true)]);
    }
}
