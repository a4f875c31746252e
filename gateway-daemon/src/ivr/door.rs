//! What a call brings to the door: the room its headers name, at which deployment, with which password and token.
//!
//! Only headers of trusted trunks are read, under the names that the trunk gives them. A name that means no room is
//! refused at once: the caller of a dialplan cannot type another.

use gateway_core::base::pii::Pii;
use gateway_core::leg::backend::{Entry, RoomName};
use gateway_core::sip::endpoint::InviteFacts;

use crate::config::Config;
use crate::config::door::{Door, HeaderNames};

/// A deployment, as headers may call it.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Its backend.
    pub backend: String,
    /// Host of its rooms.
    pub rooms: String,
    /// Main host.
    pub domain: String,
    /// Other hosts that mean it.
    pub others: Vec<String>,
}

/// What a call asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The room, if a header names one.
    pub room: Option<RoomName>,
    /// The backend, if its host or a domain base says so.
    pub backend: Option<String>,
    /// Password, token, user, tenant, wish.
    pub entry: Entry,
}

/// Why headers lead nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDoor {
    /// More than one `@`.
    #[error("the room has more than one @")]
    TwoAts,
    /// A blank, where the trunk is as strict as Jigasi.
    #[error("the room has a blank in it")]
    Blank,
    /// Too long, or nothing.
    #[error("that is no name of a room")]
    Name,
    /// No deployment has its rooms there.
    #[error("no [[conference.jitsi]] has its rooms at that host")]
    Host,
    /// No deployment has this domain base.
    #[error("no [[conference.jitsi]] has that domain base")]
    Domain,
    /// No name of a tenant.
    #[error("that is no tenant")]
    Tenant,
}

/// All deployments of a configuration, in its order.
pub fn sites(config: &Config) -> Vec<Site> {
    let site = |jitsi: &crate::config::jitsi::Jitsi| Site {
        backend: jitsi.name.clone(),
        rooms: jitsi.settings.rooms.clone(),
        domain: jitsi.settings.domain.clone(),
        others: jitsi.domains.clone(),
    };
    config.jitsi.iter().map(site).collect()
}

/// Reads the headers of a call from a trusted trunk.
pub fn read(door: &Door, sites: &[Site], facts: &InviteFacts) -> Result<Asked, BadDoor> {
    let HeaderNames { room, password, token, user, domain, tenant, visitor } = &door.headers;
    let header = |names: &[String]| value(names, facts);
    let mut asked = Asked {
        entry: Entry {
            password: header(password).map(Pii::new),
            token: header(token).map(Pii::new),
            user: header(user).map(Pii::new),
            visitor: header(visitor).is_some_and(|text| text.eq_ignore_ascii_case("true")),
            ..Entry::default()
        },
        ..Asked::default()
    };
    if let Some(domain) = header(domain) {
        let domain = domain.to_lowercase();
        let site = sites.iter().find(|site| site.is_based_at(&domain));
        asked.backend = Some(site.ok_or(BadDoor::Domain)?.backend.clone());
    }
    if let Some(text) = header(room) {
        asked.name_room(&text, door.strict, sites)?;
    }
    if let Some(text) = header(tenant) {
        asked.entry.tenant = Some(tenant_name(&text)?);
    }
    Ok(asked)
}

impl Asked {
    /// `tea`, `tea@host`, `[tenant]tea@host`.
    fn name_room(&mut self, text: &str, strict: bool, sites: &[Site]) -> Result<(), BadDoor> {
        let (node, host) = match text.split_once('@') {
            Some((_, host)) if host.contains('@') => return Err(BadDoor::TwoAts),
            Some((node, host)) => (node, Some(host.to_lowercase())),
            None => (text, None),
        };
        let node = match node.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((tenant, node)) => {
                self.entry.tenant = Some(tenant_name(tenant)?);
                node
            }
            None => node,
        };
        if strict && node.contains(char::is_whitespace) {
            return Err(BadDoor::Blank);
        }
        self.room = Some(RoomName::new(node).map_err(|_| BadDoor::Name)?);
        // Rooms of our own have no hosts.
        let Some(host) = host.filter(|_| !sites.is_empty()) else { return Ok(()) };
        let wanted = self.backend.clone();
        let mut fitting =
            sites.iter().filter(|it| wanted.as_ref().is_none_or(|w| *w == it.backend));
        let (site, tenant) =
            fitting.find_map(|site| Some((site, site.tenant_at(&host)?))).ok_or(BadDoor::Host)?;
        self.backend = Some(site.backend.clone());
        self.entry.tenant = tenant.or(self.entry.tenant.take());
        Ok(())
    }
}

impl Site {
    fn is_based_at(&self, domain: &str) -> bool {
        let base = self.rooms.split_once('.').map(|(_, base)| base);
        [Some(self.domain.as_str()), Some(&self.rooms), base].contains(&Some(domain))
            || self.others.iter().any(|other| other == domain)
    }

    /// Whether its rooms are at `host`, and of which tenant: `conference.tenant.example.org`.
    fn tenant_at(&self, host: &str) -> Option<Option<String>> {
        if host == self.rooms || self.others.iter().any(|other| other == host) {
            return Some(None);
        }
        let (prefix, base) = self.rooms.split_once('.')?;
        let tenant = host.strip_prefix(prefix)?.strip_prefix('.')?.strip_suffix(base)?;
        let tenant = tenant.strip_suffix('.')?;
        tenant_name(tenant).ok().map(Some)
    }
}

/// One label of a host name.
fn tenant_name(text: &str) -> Result<String, BadDoor> {
    let legal = |sign: char| sign.is_alphanumeric() || matches!(sign, '-' | '_');
    let fits = (1..=63).contains(&text.len()) && text.chars().all(legal);
    if fits { Ok(text.to_lowercase()) } else { Err(BadDoor::Tenant) }
}

/// The first header of these that says something: a dialplan writes down variables that were never set.
fn value(names: &[String], facts: &InviteFacts) -> Option<String> {
    names.iter().find_map(|wanted| {
        let mut values = facts.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        values.find_map(|(_, value)| {
            let text = value.reveal().trim();
            (!text.is_empty()).then(|| text.to_owned())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(strict: bool) -> Door {
        let config = crate::config::parse(
            "test",
            "[[trunk]]\nname = \"a\"\nsources = [\"192.0.2.1\"]\n",
            std::path::Path::new(""),
        );
        let door = config.expect("a configuration").trunks.remove(0).door;
        Door { strict, ..door }
    }

    fn site() -> Vec<Site> {
        let site = |name: &str| Site {
            backend: name.to_owned(),
            rooms: format!("muc.{name}.test"),
            domain: format!("{name}.test"),
            others: vec![format!("old.{name}.test")],
        };
        vec![site("meet"), site("second")]
    }

    fn asked(strict: bool, headers: &[(&str, &str)]) -> Result<Asked, BadDoor> {
        let pair = |(name, value): &(&str, &str)| (name.to_string(), Pii::new(value.to_string()));
        let headers = headers.iter().map(pair).collect();
        read(&door(strict), &site(), &InviteFacts { headers, ..InviteFacts::default() })
    }

    fn place(strict: bool, headers: &[(&str, &str)]) -> (String, Option<String>, Option<String>) {
        let asked = asked(strict, headers).expect("a door");
        let room = asked.room.map(|room| room.as_str().to_owned()).unwrap_or_default();
        (room, asked.backend, asked.entry.tenant)
    }

    fn of(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    /// Room headers of a recording, each with the final answer that it got.
    fn recorded(file: &str) -> Vec<(String, u16)> {
        let path = format!("{}/../testdata/jigasi/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).expect("a recording");
        let mut calls: Vec<(String, u16)> = Vec::new();
        for block in text.split("---- ").skip(1) {
            let (heading, message) = block.split_once('\n').expect("a heading");
            if heading.ends_with("to gateway") && message.starts_with("INVITE ") {
                let room = message.lines().find_map(|it| it.strip_prefix("Jitsi-Conference-Room:"));
                calls.push((room.expect("a room").trim().to_owned(), 0));
            }
            let status = message.strip_prefix("SIP/2.0 ").and_then(|it| it.get(..3)?.parse().ok());
            let final_status = status.filter(|it| *it >= 200 && message.contains(" INVITE\n"));
            if let (true, Some(status)) = (heading.ends_with("from gateway"), final_status) {
                let (_, answer) = calls.last_mut().expect("a call");
                *answer = if *answer == 0 { status } else { *answer };
            }
        }
        calls
    }

    #[test]
    fn rooms_are_taken_and_refused_as_jigasi_took_and_refused_them() {
        let calls = recorded("bad-room.sip.txt");
        assert_eq!(calls.len(), 6);
        for (room, status) in calls {
            let ours = asked(true, &[("Jitsi-Conference-Room", &room)]);
            assert_eq!(ours.is_ok(), status == 200, "{room:?}: Jigasi said {status}, we {ours:?}");
        }
    }

    #[test]
    fn a_room_is_named_in_many_forms() {
        for (header, room, backend, tenant) in [
            ("Tea", "tea", None, None),
            ("Tea@muc.meet.test", "tea", of("meet"), None),
            ("tea@MUC.second.test", "tea", of("second"), None),
            ("tea@old.second.test", "tea", of("second"), None),
            ("[Acme]tea@muc.meet.test", "tea", of("meet"), of("acme")),
            ("[acme]tea", "tea", None, of("acme")),
            ("tea@muc.acme.meet.test", "tea", of("meet"), of("acme")),
        ] {
            let got = place(true, &[("jitsi-conference-room", header)]);
            assert_eq!(got, (room.to_owned(), backend, tenant), "{header}");
        }
        assert_eq!(place(false, &[("X-Room-Name", "tea time")]).0, "tea time");
        for (header, why) in [
            ("tea@meet.test", BadDoor::Host),
            ("tea@muc..meet.test", BadDoor::Host),
            ("tea@muc.a.b.meet.test", BadDoor::Host),
            ("@muc.meet.test", BadDoor::Name),
            ("[]tea", BadDoor::Tenant),
            ("[a b]tea", BadDoor::Tenant),
        ] {
            assert_eq!(asked(false, &[("X-Room-Name", header)]), Err(why), "{header}");
        }
    }

    #[test]
    fn a_domain_base_chooses_the_deployment() {
        let by =
            |domain: &str| place(false, &[("X-Domain-Base", domain), ("X-Room-Name", "tea")]).1;
        assert_eq!(by("second.test"), of("second"));
        assert_eq!(by("MUC.second.test"), of("second"));
        assert_eq!(by("old.meet.test"), of("meet"));
        let other = [("Jitsi-Conference-Domain-Base", "other.test"), ("X-Room-Name", "tea")];
        assert_eq!(asked(false, &other), Err(BadDoor::Domain));
        let both = [("X-Domain-Base", "second.test"), ("X-Room-Name", "tea@muc.meet.test")];
        assert_eq!(asked(false, &both), Err(BadDoor::Host), "they contradict each other");
    }

    #[test]
    fn what_else_is_brought_along() {
        let brought = asked(
            false,
            &[
                ("Jitsi-Conference-Room", ""),
                ("X-Room-Name", "tea"),
                ("Jitsi-Conference-Room-Pass", "4711"),
                ("Jitsi-Auth-Token", "e30.e30.x"),
                ("Jitsi-User-ID-Token", "anna"),
                ("Jitsi-Conference-Domain-Tenant", "Acme"),
                ("Jitsi-Visitor", "True"),
            ],
        );
        let brought = brought.expect("a door");
        assert_eq!(brought.room.as_ref().map(RoomName::as_str), Some("tea"));
        let secret = |text: &str| Some(Pii::new(text.to_owned()));
        let entry = Entry {
            password: secret("4711"),
            token: secret("e30.e30.x"),
            user: secret("anna"),
            tenant: of("acme"),
            visitor: true,
            ..Entry::default()
        };
        assert_eq!(brought.entry, entry);
        assert_eq!(asked(false, &[]), Ok(Asked::default()));
    }

    const SITE: &str = "[[conference.jitsi]]\nname = \"jitsi\"\ndomain = \"meet.test\"\n\
                        rooms = \"muc.meet.test\"\n";

    /// Where a call with these headers goes on a trunk with these keys: room, backend and label, `ask`, or `nowhere`.
    fn way(trunk: &str, dialled: &str, headers: &[(&str, &str)]) -> String {
        use crate::ivr::policy::{Policy, Way};
        let text = format!("[[trunk]]\nname = \"a\"\nsources = [\"192.0.2.1\"]\n{trunk}\n{SITE}");
        let config = crate::config::parse("test", &text, std::path::Path::new(""));
        let policy = Policy::new(&config.expect("a configuration"));
        let pair = |(name, value): &(&str, &str)| (name.to_string(), Pii::new(value.to_string()));
        let facts = InviteFacts {
            request_user: Pii::new(dialled.to_owned()),
            caller: Pii::new("+622112345647".to_owned()),
            caller_name: Pii::new(" Anna K. ".to_owned()),
            headers: headers.iter().map(pair).collect(),
            ..InviteFacts::default()
        };
        match policy.way(gateway_core::base::ids::TrunkId(0), &facts) {
            Way::Room(route) => {
                let secret = route.entry.password.as_ref().map_or("", |it| it.reveal().as_str());
                let (room, backend) = (route.room.as_str(), &route.backend);
                format!("{room}/{backend}/{}/{secret}", route.label.reveal())
            }
            Way::Ask(_) => "ask".to_owned(),
            Way::Nowhere => "nowhere".to_owned(),
        }
    }

    #[test]
    fn a_trunk_may_name_its_headers_and_is_believed_only_if_it_is_trusted() {
        let label = "Phone caller (+62 *** 47)";
        let headers = [("X-Our", "tea@muc.meet.test"), ("Jitsi-Conference-Room-Pass", "4711")];
        let named = "room_header = [\"X-Our\"]\n";
        assert_eq!(
            way(&format!("{named}trusted = true"), "1", &headers),
            format!("tea/jitsi/{label}/4711")
        );
        assert_eq!(way(named, "1", &headers), "ask");
        assert_eq!(way("trusted = true", "1", &headers), "ask");
        let elsewhere = [("X-Our", "tea@muc.other.test")];
        assert_eq!(way(&format!("{named}trusted = true"), "1", &elsewhere), "nowhere");
    }

    #[test]
    fn rooms_of_last_resort_and_shown_names() {
        let name = "show_names = true";
        let both = format!("{name}\nrequest_user_rooms = true\ndefault_room = \"lounge\"");
        assert_eq!(way(&both, "Tea", &[]), "tea/room/Anna K./");
        assert_eq!(way(&both, "", &[]), "lounge/room/Anna K./");
        assert_eq!(
            way(&format!("{name}\ndefault_room = \"lounge\""), "1", &[]),
            "lounge/room/Anna K./"
        );
        assert_eq!(way(name, "1", &[]), "ask");
    }
}
