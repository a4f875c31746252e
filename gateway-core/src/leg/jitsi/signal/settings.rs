//! What a Jitsi deployment looks like from here, and how room names become addresses.

use std::fmt::Write;
use std::time::Duration;

use crate::base::ids::SiteId;
use crate::base::pii::Pii;
use crate::base::rng::Rng;
use crate::jitsi::muc::FOCUS_NICK;
use crate::leg::backend::{EmptyRoom, Entry, RoomName, StreamAccount, StreamIdentity};

/// One deployment. Names differ between installations, so nothing is derived from anything else here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JitsiSettings {
    /// Its position in the configuration: names host, transport and trust to `io`.
    pub site: SiteId,
    /// Main host, for example `meet.example.org`: names its components when asked.
    pub domain: String,
    /// Host of the rooms, for example `conference.meet.example.org`.
    pub rooms: String,
    /// Address of the focus component, for example `focus.meet.example.org`.
    pub focus: String,
    /// As whom phones come.
    pub identity: PhoneIdentity,
    /// JSON Web Token for deployments that want one.
    pub token: Option<Pii<String>>,
    /// Name of this gateway in the statistics of the web client.
    pub stats_id: String,
    /// From the first knock to the room, while nobody is waited for. Longer helps a slow server, shorter a caller.
    pub join_max: Duration,
    /// In the lobby until a spoken goodbye.
    pub lobby_wait_max: Duration,
    /// A lost conference is joined again for so long; then a spoken goodbye.
    pub rejoin_max: Duration,
    /// A room in which only phones are left is left by them after this, if it has a lobby (nobody could moderate it) or
    /// `keeps_only_phones` is off.
    pub only_phones_max: Duration,
    /// Phones may stay among themselves.
    pub keeps_only_phones: bool,
    /// Moderators may mute phones, and meetings may start with them muted.
    pub can_be_muted: bool,
    /// A phone is called by its number among the occupants.
    pub user_as_nick: bool,
    /// What callers into an empty room are to hear.
    pub empty_room: EmptyRoom,
    /// Callers may be sent to visitor nodes of very large meetings: a node's host is its name and this, `v1.meet.jitsi`.
    pub visitor_domain: Option<String>,
}

/// Where a visitor node's rooms are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitorNode {
    /// Its name.
    pub name: String,
    /// Its host.
    pub domain: String,
    /// Address of our room there.
    pub room: String,
}

/// As whom phones come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhoneIdentity {
    /// The server draws an address for each.
    Anonymous,
    /// A host on which every user name is good with one password: each call draws its own.
    SharedSecret(Pii<String>),
    /// One account for all. They share its fate: who is kicked, admitted or made owner is all of them.
    Account {
        /// User.
        user: Pii<String>,
        /// Password.
        password: Pii<String>,
    },
}

impl JitsiSettings {
    /// Usual names below one domain: Docker's (`muc.`) and the Debian packages' (`conference.`) differ in one.
    pub fn usual(site: SiteId, domain: &str, rooms: &str) -> Self {
        Self {
            site,
            domain: domain.to_owned(),
            rooms: rooms.to_owned(),
            focus: format!("focus.{domain}"),
            identity: PhoneIdentity::Anonymous,
            token: None,
            stats_id: "weebee".to_owned(),
            join_max: Duration::from_secs(30),
            lobby_wait_max: Duration::from_secs(600),
            rejoin_max: Duration::from_secs(300),
            only_phones_max: Duration::from_secs(30),
            keeps_only_phones: true,
            can_be_muted: true,
            user_as_nick: false,
            empty_room: EmptyRoom::Join,
            visitor_domain: None,
        }
    }

    /// The connection for one call without anything brought along.
    pub fn account(&self, room: &RoomName, rng: &mut Rng) -> StreamAccount {
        self.account_of(room, &Entry::default(), rng)
    }

    /// The connection for one call. Who brings a token may bring the user name that goes with it.
    pub fn account_of(&self, room: &RoomName, entry: &Entry, rng: &mut Rng) -> StreamAccount {
        let brought = entry.user.clone().filter(|_| entry.token.is_some());
        let identity = match &self.identity {
            PhoneIdentity::Anonymous => StreamIdentity::Anonymous,
            PhoneIdentity::SharedSecret(password) => StreamIdentity::Password {
                user: brought.unwrap_or_else(|| Pii::new(format!("phone-{}", rng.token(16)))),
                password: password.clone(),
            },
            PhoneIdentity::Account { user, password } => StreamIdentity::Password {
                user: brought.unwrap_or_else(|| user.clone()),
                password: password.clone(),
            },
        };
        StreamAccount {
            site: self.site,
            identity,
            room: Some(room_part(room)),
            token: entry.token.clone().or_else(|| self.token.clone()),
            tenant: entry.tenant.clone(),
            visit: None,
        }
    }

    /// Address of a room.
    pub fn room_address(&self, room: &RoomName) -> String {
        self.room_address_of(room, None)
    }

    /// Address of a room of a tenant.
    pub fn room_address_of(&self, room: &RoomName, tenant: Option<&str>) -> String {
        address_at(&self.rooms, room, tenant)
    }

    /// The node of that name, for a room. As everywhere in Jitsi its host of rooms begins as that of the main server. `None`:
    /// callers go to no nodes.
    pub fn visitor_node(
        &self,
        name: &str,
        room: &RoomName,
        tenant: Option<&str>,
    ) -> Option<VisitorNode> {
        let name = name.to_ascii_lowercase();
        let domain = format!("{name}.{}", self.visitor_domain.as_ref()?);
        let first =
            |host: &str| host.split_once('.').map_or(String::new(), |(it, _)| format!("{it}."));
        let prefix = match self.rooms.strip_suffix(&self.domain) {
            Some(prefix) => prefix.to_owned(),
            None => first(&self.rooms),
        };
        let room = address_at(&format!("{prefix}{domain}"), room, tenant);
        Some(VisitorNode { name, domain, room })
    }
}

fn address_at(rooms: &str, room: &RoomName, tenant: Option<&str>) -> String {
    let part = room_part(room);
    match (tenant, rooms.split_once('.')) {
        (Some(tenant), Some((prefix, base))) => format!("{part}@{prefix}.{tenant}.{base}"),
        _ => format!("{part}@{rooms}"),
    }
}

/// The part of a room's address before the `@`, as the web client makes it of a name: what it strips is stripped,
/// blanks go, everything else that is no letter or digit of ASCII is percent-encoded, lower case.
fn room_part(room: &RoomName) -> String {
    let mut part = String::new();
    for byte in room.as_str().bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'%' => {
                part.push(char::from(byte));
            }
            _ if STRIPPED.contains(&byte) => {}
            _ => write!(part, "%{byte:02x}").expect("writing to a String cannot fail"),
        }
    }
    part
}

/// A nick that every server takes (mod_muc_resource_validate): letters and digits of ASCII, the rest is left out.
/// `None`: nothing is left, or it is the focus's own.
pub(super) fn nick_of(user: &str) -> Option<String> {
    let legal = user.chars().filter(|sign| sign.is_ascii_alphanumeric() || *sign == '_');
    let nick: String = legal.skip_while(|sign| *sign == '_').take(NICK_MAX).collect();
    (!nick.is_empty() && !nick.eq_ignore_ascii_case(FOCUS_NICK)).then_some(nick)
}

/// Longest nick made of a number or name.
const NICK_MAX: usize = 32;

/// Characters the web client takes out of a room's name, and the blank.
const STRIPPED: &[u8] = b" :?#[]@!$&'()*+,;=></\"";

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> JitsiSettings {
        JitsiSettings::usual(SiteId(0), "meet.test", "muc.meet.test")
    }

    #[test]
    fn names_become_addresses_as_in_the_web_client() {
        let address = |name: &str| settings().room_address(&RoomName::new(name).expect("a name"));
        assert_eq!(address("Tea Time"), "teatime@muc.meet.test");
        assert_eq!(address("Straße"), "stra%c3%9fe@muc.meet.test");
        assert_eq!(address("a@b/c?d"), "abcd@muc.meet.test");
        assert_eq!(address("x_y-z.1"), "x_y-z.1@muc.meet.test");
    }

    #[test]
    fn each_call_of_a_shared_secret_is_somebody_else() {
        let identity = PhoneIdentity::SharedSecret(Pii::new("secret".into()));
        let settings = JitsiSettings { identity, ..settings() };
        let room = RoomName::new("tea").expect("a name");
        let mut rng = Rng::from_number(1);
        let one = settings.account(&room, &mut rng);
        assert_ne!(one.identity, settings.account(&room, &mut rng).identity);
        assert_eq!(one.room.as_deref(), Some("tea"));
    }

    #[test]
    fn a_tenant_is_a_label_of_the_rooms_host() {
        let room = RoomName::new("Tea").expect("a name");
        let address = settings().room_address_of(&room, Some("acme"));
        assert_eq!(address, "tea@muc.acme.meet.test");
    }

    #[test]
    fn a_node_has_rooms_of_the_same_kind() {
        let room = RoomName::new("Tea").expect("a name");
        assert_eq!(settings().visitor_node("v1", &room, None), None);
        let visitor_domain = Some("meet.jitsi".to_owned());
        let settings = JitsiSettings { visitor_domain, ..settings() };
        let at = |settings: &JitsiSettings, tenant| settings.visitor_node("V1", &room, tenant);
        let node = at(&settings, None).expect("a node");
        assert_eq!((node.name.as_str(), node.domain.as_str()), ("v1", "v1.meet.jitsi"));
        assert_eq!(node.room, "tea@muc.v1.meet.jitsi");
        assert_eq!(at(&settings, Some("acme")).expect("a node").room, "tea@muc.acme.v1.meet.jitsi");
        let elsewhere = JitsiSettings { rooms: "rooms.example.org".to_owned(), ..settings };
        assert_eq!(at(&elsewhere, None).expect("a node").room, "tea@rooms.v1.meet.jitsi");
    }

    #[test]
    fn what_a_caller_brings_goes_into_his_connection() {
        let secret = |text: &str| Some(Pii::new(text.to_owned()));
        let settings = JitsiSettings {
            identity: PhoneIdentity::SharedSecret(Pii::new("secret".into())),
            token: secret("ours"),
            ..settings()
        };
        let room = RoomName::new("tea").expect("a name");
        let mut rng = Rng::from_number(1);
        let user = |account: &StreamAccount| match &account.identity {
            StreamIdentity::Password { user, .. } => user.reveal().clone(),
            StreamIdentity::Anonymous => String::new(),
        };
        let mut entry = Entry { user: secret("anna"), ..Entry::default() };
        let without = settings.account_of(&room, &entry, &mut rng);
        assert_eq!(without.token, secret("ours"));
        assert!(user(&without).starts_with("phone-"), "a name without a token proves nothing");
        entry.token = secret("his");
        entry.tenant = Some("acme".to_owned());
        let with = settings.account_of(&room, &entry, &mut rng);
        assert_eq!((with.token.clone(), user(&with)), (secret("his"), "anna".to_owned()));
        assert_eq!(with.tenant.as_deref(), Some("acme"));
    }

    #[test]
    fn nicks_of_numbers_are_such_as_servers_take() {
        assert_eq!(nick_of("+62 21-1234.5678").as_deref(), Some("622112345678"));
        assert_eq!(nick_of("__anna_k").as_deref(), Some("anna_k"));
        assert_eq!(nick_of(&"9".repeat(80)).map(|nick| nick.len()), Some(NICK_MAX));
        assert_eq!((nick_of("+-"), nick_of("Focus"), nick_of("Ж")), (None, None, None));
    }
}
