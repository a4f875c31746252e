//! `weebee check --live`: two guests go into a room nobody knows, as phones would, and tell where they are stopped. They
//! send no sound, stay some seconds and leave; Jicofo and Prosody forget the room.

use std::net::IpAddr;
use std::time::Duration;

use gateway_core::base::rng::Rng;
use gateway_core::io::bridge_door;
use gateway_core::io::os_rng;
use gateway_core::io::xmpp::{Failure, Probe, probe};
use gateway_core::leg::backend::{RoomName, StreamAccount};

use super::doubts::CLOCKS_DIFFER_MAX;
use super::guest::{Asked, Guest, JoinRefused, Offer};
use super::{Finding, brewery};
use crate::config::Config;
use crate::config::jitsi::Jitsi;
use crate::wall::unix_seconds;

/// Asks all deployments, one after the other.
pub async fn findings(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    for jitsi in &config.jitsi {
        match os_rng() {
            Ok(rng) => Visit::new(config, jitsi, rng).run(&mut found).await,
            Err(error) => found.push(Finding::wrong(0, error.to_string())),
        }
    }
    match os_rng() {
        Ok(rng) => found.extend(brewery::findings(config, &rng).await),
        Err(error) => found.push(Finding::wrong(0, error.to_string())),
    }
    found
}

/// One deployment under examination.
struct Visit<'a> {
    jitsi: &'a Jitsi,
    /// Local address of media towards bridges.
    media: Option<IpAddr>,
    title: String,
    name: RoomName,
    rng: Rng,
}

/// Nothing behind this point can be looked at.
struct Stopped;

impl<'a> Visit<'a> {
    fn new(config: &Config, jitsi: &'a Jitsi, mut rng: Rng) -> Self {
        let listener = config.sip.listeners.first().map(|listener| listener.bind.ip());
        let media = config.rtp.conference.bind.or(listener).filter(|ip| !ip.is_unspecified());
        let name = format!("weebee-check-{}", rng.token(12).to_lowercase());
        let name = RoomName::new(&name).expect("letters, digits and dashes");
        Self { jitsi, media, title: format!("conference.jitsi {:?}", jitsi.name), name, rng }
    }

    async fn run(mut self, found: &mut Vec<Finding>) {
        // Each step says why it stopped.
        let _: Result<(), Stopped> = self.walk(found).await;
    }

    async fn walk(&mut self, found: &mut Vec<Finding>) -> Result<(), Stopped> {
        let mut first = self.open(found).await?;
        self.good(found, "the stream is open: address, certificate and account are good");
        self.rooms(&mut first, found).await?;
        self.clock(&mut first, found).await;
        self.conference(&mut first, found).await?;
        self.enter(&mut first, found).await?;
        self.good(found, format!("a guest is in a room of {}", self.jitsi.settings.rooms));
        let second = self.open(found).await?;
        let offer = self.invited(&mut first, second, found).await;
        first.leave().await;
        self.bridge(&offer?, found).await
    }

    async fn open(&mut self, found: &mut Vec<Finding>) -> Result<Guest, Stopped> {
        let account = self.account();
        match probe(&self.jitsi.site, &account, self.rng.fork(self.name.as_str())).await {
            Ok(probe) => Ok(self.guest(probe)),
            Err(failure) => Err(self.stopped(found, format!("xmpp: {failure}"))),
        }
    }

    fn guest(&mut self, probe: Probe) -> Guest {
        let nick = format!("{:08x}", self.rng.below(u32::MAX));
        Guest::new(probe, &self.jitsi.settings.room_address(&self.name), &nick)
    }

    fn account(&mut self) -> StreamAccount {
        self.jitsi.settings.account(&self.name, &mut self.rng)
    }

    async fn rooms(&mut self, guest: &mut Guest, found: &mut Vec<Finding>) -> Result<(), Stopped> {
        let host = &self.jitsi.settings.rooms;
        let wrong = match guest.identities(host).await {
            Err(failure) => return Err(self.lost(found, &failure)),
            Ok(Asked::Answer(kinds)) if kinds.iter().any(|kind| kind == "conference") => {
                return Ok(());
            }
            Ok(Asked::Answer(_)) => format!("rooms: {host:?} is there, but it is no host of rooms"),
            Ok(Asked::Error(condition)) => format!("rooms: there is no {host:?} ({condition})"),
            Ok(Asked::Silence) => format!("rooms: {host:?} does not answer"),
        };
        let mut near = guest.hosts_of_rooms(&self.jitsi.settings.domain).await;
        near.sort_by_key(|host| {
            host.contains("lobby") || host.contains("breakout") || host.contains("internal")
        });
        let remedy = match near.first() {
            Some(host) => format!("write rooms = {host:?}"),
            None => "write what Prosody has as Component \"...\" \"muc\"".to_owned(),
        };
        Err(self.stopped(found, format!("{wrong}; {remedy}")))
    }

    /// The focus tells its time; hardly a Prosody does. Tokens and certificates die of clocks that differ.
    async fn clock(&mut self, guest: &mut Guest, found: &mut Vec<Finding>) {
        let Ok(Asked::Answer(theirs)) = guest.time(&self.jitsi.settings.focus).await else {
            return;
        };
        let (Some(theirs), ours) = (unix_seconds(&theirs), now().as_secs()) else { return };
        let apart = theirs.abs_diff(ours);
        if apart <= CLOCKS_DIFFER_MAX {
            return self.good(found, "both clocks show the same time");
        }
        let who = if theirs > ours { "behind" } else { "ahead of" };
        let text = format!(
            "clock: this machine is {apart} s {who} Jicofo; tokens and certificates fail when clocks differ: let NTP \
             set both"
        );
        found.push(Finding::wrong(self.jitsi.line, format!("{}: {text}", self.title)));
    }

    async fn conference(
        &mut self,
        guest: &mut Guest,
        found: &mut Vec<Finding>,
    ) -> Result<(), Stopped> {
        let focus = &self.jitsi.settings.focus;
        let conference = match guest.conference(focus, self.rng.token(16).as_str()).await {
            Err(failure) => return Err(self.lost(found, &failure)),
            Ok(Asked::Answer(conference)) => conference,
            Ok(Asked::Error(condition)) => {
                let remedy = match condition.as_str() {
                    "not-authorized" | "forbidden" => {
                        "Jicofo wants a login; add the phones' host to jicofo.xmpp.trusted-domains, or give a token"
                    }
                    _ => "check `focus`, and that Jicofo runs and is logged in at Prosody",
                };
                let text = format!("focus: {focus:?} refuses a conference ({condition}); {remedy}");
                return Err(self.stopped(found, text));
            }
            Ok(Asked::Silence) => {
                let text = format!(
                    "focus: {focus:?} does not answer; check that Jicofo runs, and that its conference-muc-jid is {:?}",
                    self.jitsi.settings.rooms
                );
                return Err(self.stopped(found, text));
            }
        };
        if !conference.has_phone_gateways {
            found.push(Finding::warning(
                self.jitsi.line,
                format!(
                    "{}: Jicofo has no brewery for phone gateways, so that browsers cannot call out; for dial-out set \
                     jicofo.jigasi.brewery-jid",
                    self.title
                ),
            ));
        }
        match conference.is_ready {
            true => Ok(()),
            false => {
                let text = "focus: Jicofo is not ready: it waits for a host to log in, or for Prosody to let it into the \
                            room; check its log";
                Err(self.stopped(found, text))
            }
        }
    }

    async fn enter(&mut self, guest: &mut Guest, found: &mut Vec<Finding>) -> Result<(), Stopped> {
        match guest.enter().await {
            Err(failure) => return Err(self.lost(found, &failure)),
            Ok(Ok(())) => {}
            Ok(Err(JoinRefused(condition))) => {
                let remedy = match condition.as_str() {
                    "registration-required" => {
                        "new rooms have a lobby or wait for a host; phones will wait there, too"
                    }
                    "not-authorized" => "new rooms have a password; phones will be asked for it",
                    "not-allowed" | "forbidden" => {
                        "Prosody lets this account into no room; check token_verification and muc_access_whitelist"
                    }
                    "" => "Prosody did not answer; check its log",
                    _ => "check Prosody's log",
                };
                return Err(
                    self.stopped(found, format!("room: not let in ({condition}); {remedy}"))
                );
            }
        }
        match guest.becomes_moderator().await {
            Err(failure) => Err(self.lost(found, &failure)),
            Ok(false) => {
                self.good(
                    found,
                    "Jicofo trusts this account: it is no moderator though it came first",
                );
                Ok(())
            }
            Ok(true) => {
                let text = format!(
                    "account_domain: Jicofo does not trust {:?}: a phone that comes first becomes moderator, and browsers \
                     do not; add it to jicofo.xmpp.trusted-domains and restart Jicofo",
                    self.jitsi.site.domain
                );
                found.push(Finding::wrong(self.jitsi.line, format!("{}: {text}", self.title)));
                Ok(())
            }
        }
    }

    /// Two are in the room: the focus invites them.
    async fn invited(
        &mut self,
        first: &mut Guest,
        mut second: Guest,
        found: &mut Vec<Finding>,
    ) -> Result<Offer, Stopped> {
        if first.jid().to_bare() == second.jid().to_bare() {
            found.push(Finding::warning(
                self.jitsi.line,
                format!(
                    "{}: account: two streams got the same address; kicks, lobby and rights of one call hit all",
                    self.title
                ),
            ));
        }
        let company = async {
            // What happens to the second does not matter as long as it stands there.
            let _ = second.enter().await;
            let _ = second.offer().await;
            second
        };
        let (offer, second) = tokio::join!(first.offer(), company);
        second.leave().await;
        match offer {
            Err(failure) => Err(self.lost(found, &failure)),
            Ok(Some(offer)) => Ok(offer),
            Ok(None) => {
                let text = "bridge: Jicofo invites nobody though two are in the room; check that a bridge runs and is in \
                            jicofo.bridge.brewery-jid";
                Err(self.stopped(found, text))
            }
        }
    }

    async fn bridge(&mut self, offer: &Offer, found: &mut Vec<Finding>) -> Result<(), Stopped> {
        if offer.doors.is_empty() {
            let text = "bridge: its offer has no UDP address; check ice4j.harvest in jvb.conf";
            return Err(self.stopped(found, text));
        }
        let mut tried = Vec::new();
        for door in &offer.doors {
            match bridge_door::knock(self.media, door).await {
                Ok(answered) => {
                    let at = door.address;
                    self.good(
                        found,
                        format!("the bridge answers at {at} (from {})", answered.local.ip()),
                    );
                    return Ok(());
                }
                Err(error) => tried.push(format!("{} ({error})", door.address)),
            }
        }
        let text = format!(
            "bridge: no way to it from {}: {}; open its UDP port (10000) and the way back, check which address it \
             advertises (ice4j.harvest.mapping), and [rtp] conference here",
            self.media.map_or("any address".to_owned(), |ip| ip.to_string()),
            tried.join(", ")
        );
        Err(self.stopped(found, text))
    }

    fn good(&self, found: &mut Vec<Finding>, text: impl std::fmt::Display) {
        found.push(Finding::good(self.jitsi.line, format!("{}: {text}", self.title)));
    }

    fn stopped(&self, found: &mut Vec<Finding>, text: impl std::fmt::Display) -> Stopped {
        found.push(Finding::wrong(self.jitsi.line, format!("{}: {text}", self.title)));
        Stopped
    }

    fn lost(&self, found: &mut Vec<Finding>, failure: &Failure) -> Stopped {
        self.stopped(found, format!("xmpp: the stream broke: {failure}"))
    }
}

fn now() -> Duration {
    gateway_core::io::wall_clock().unix
}
