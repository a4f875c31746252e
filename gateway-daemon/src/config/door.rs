//! `[[trunk]]`: what its callers bring to the door of a room, and the program (an IVR) that may stand behind it.

use std::time::Duration;

use gateway_core::call::TrunkManners;
use gateway_core::call::info::InfoManners;
use gateway_core::leg::backend::RoomName;

use super::raw::Section;
use super::schema::{KeyDecl, Kind, key, whole};
use super::typed::Judge;
use super::values::{room_name, seconds_or_none};

/// The door of a trunk.
#[derive(Clone, Debug, Default)]
pub struct Door {
    /// Names of headers.
    pub headers: HeaderNames,
    /// Where callers go whom nothing else names a room for.
    pub default_room: Option<RoomName>,
    /// A dialled name without a `[[did]]` is a room.
    pub request_user_rooms: bool,
    /// Rooms are named as strictly as Jigasi takes them.
    pub strict: bool,
    /// Others see the display name of the caller.
    pub show_names: bool,
    /// What the core does differently on this trunk.
    pub manners: TrunkManners,
}

/// Names of the headers of a caller, best first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderNames {
    /// The room.
    pub room: Vec<String>,
    /// Its password.
    pub password: Vec<String>,
    /// JSON Web Token.
    pub token: Vec<String>,
    /// User id that goes with the token.
    pub user: Vec<String>,
    /// Which deployment.
    pub domain: Vec<String>,
    /// Tenant of the room.
    pub tenant: Vec<String>,
    /// `true`: only to listen.
    pub visitor: Vec<String>,
}

impl HeaderNames {
    /// All of them, for the endpoint, which hands on what it is asked for.
    pub fn all(&self) -> Vec<String> {
        let lists =
            [&self.room, &self.password, &self.token, &self.user, &self.domain, &self.tenant];
        lists.into_iter().chain([&self.visitor]).flatten().cloned().collect()
    }
}

pub(super) const ROOM_HEADER: KeyDecl = key(
    "room_header",
    Kind::Texts,
    r#"["Jitsi-Conference-Room", "X-Room-Name"]"#,
    "Headers that name the room of a call, best first: \"tea\", \"tea@conference.example.org\", \"[tenant]tea@...\". \
     These and the six below are read on trusted trunks only; the defaults are Jigasi's and docker-jitsi-meet's.",
);
pub(super) const PASSWORD_HEADER: KeyDecl = key(
    "password_header",
    Kind::Texts,
    r#"["Jitsi-Conference-Room-Pass"]"#,
    "Headers with the password of the room.",
);
pub(super) const TOKEN_HEADER: KeyDecl = key(
    "token_header",
    Kind::Texts,
    r#"["Jitsi-Auth-Token"]"#,
    "Headers with a JSON Web Token of the caller, in place of the deployment's; over WebSocket and BOSH.",
);
pub(super) const USER_HEADER: KeyDecl = key(
    "user_header",
    Kind::Texts,
    r#"["Jitsi-User-ID-Token"]"#,
    "Headers with the user name that goes with the token, where phones log in with a password.",
);
pub(super) const DOMAIN_HEADER: KeyDecl = key(
    "domain_header",
    Kind::Texts,
    r#"["Jitsi-Conference-Domain-Base", "X-Domain-Base"]"#,
    "Headers that choose among several [[conference.jitsi]] by `domain`, `rooms` or `domains`. An unknown one is \
     refused.",
);
pub(super) const TENANT_HEADER: KeyDecl = key(
    "tenant_header",
    Kind::Texts,
    r#"["Jitsi-Conference-Domain-Tenant"]"#,
    "Headers with the tenant of the room.",
);
pub(super) const VISITOR_HEADER: KeyDecl = key(
    "visitor_header",
    Kind::Texts,
    r#"["Jitsi-Visitor"]"#,
    "Headers that ask to only listen (\"true\"). Without `visitors` of [[conference.jitsi]] the caller joins like \
     anybody, and a program behind the trunk is told so.",
);
pub(super) const DEFAULT_ROOM: KeyDecl = key(
    "default_room",
    Kind::Text,
    r#""""#,
    "Room of callers for whom neither a header nor a [[did]] names one. They enter without a PIN. Empty: the PIN \
     dialogue.",
);
pub(super) const REQUEST_USER_ROOMS: KeyDecl = key(
    "request_user_rooms",
    Kind::Flag,
    "false",
    "A dialled name that is no [[did]] is a room: sip:tea@gateway enters \"tea\", without a PIN.",
);
pub(super) const INFO: KeyDecl = key(
    "info",
    Kind::OneOf(&["none", "jigasi"]),
    r#""none""#,
    "\"jigasi\": an IVR stands behind this trunk that talks with us as with Jigasi, in JSON by SIP INFO: lobby, \
     password, mute, moderation. Every INFO is answered 200 then. docs/jigasi.md.",
);
pub(super) const HEARTBEAT: KeyDecl = key(
    "heartbeat_s",
    whole(0, 3_600, "s"),
    "0",
    "With info = \"jigasi\": ask the IVR so often whether it is there; two questions in a row without an answer end the \
     call. 0: never.",
);
pub(super) const WORDS: KeyDecl = key(
    "words",
    Kind::Flag,
    "true",
    "With info = \"jigasi\": false leaves all words, chimes and music to the IVR once a caller is sent into a room.",
);
pub(super) const JIGASI_STATUSES: KeyDecl = key(
    "jigasi_statuses",
    Kind::Flag,
    "false",
    "Refuse as Jigasi does: 486 for whatever keeps a caller out of his room before the answer, at once, also for names \
     with blanks. Not given: as `info` says.",
);
pub(super) const FULL_ROOM: KeyDecl = key(
    "full_room",
    Kind::OneOf(&["words", "refuse"]),
    r#""words""#,
    "Callers who still ring when their room turns out to be full (with jigasi_statuses, or an empty_room that rings): \
     \"words\": are answered, hear so and are hung up. \"refuse\": 486, which costs nothing.",
);
pub(super) const SHOW_NAMES: KeyDecl = key(
    "show_names",
    Kind::Flag,
    "false",
    "Show the display name of callers in the room, as Jigasi does. False: as `label` of the room says.",
);

impl Judge<'_> {
    pub(super) fn door(&mut self, section: &Section) -> Door {
        let is_spoken = section.text("info") == "jigasi";
        let heartbeat = seconds_or_none(section.whole("heartbeat_s"));
        for (name, is_given) in
            [("heartbeat_s", heartbeat.is_some()), ("words", !section.flag("words"))]
        {
            if is_given && !is_spoken {
                self.say(section, name, "is for trunks with info = \"jigasi\"; add that");
            }
        }
        if heartbeat.is_some_and(|every| every < Duration::from_secs(2)) {
            self.say(section, "heartbeat_s", "leaves the IVR no time to answer; write 2 or more");
        }
        let default_room = match section.text("default_room") {
            "" => None,
            text => self.keep(section, "default_room", room_name(text)),
        };
        let strict = match section.given("jigasi_statuses") {
            true => section.flag("jigasi_statuses"),
            false => is_spoken,
        };
        Door {
            headers: self.header_names(section),
            default_room,
            request_user_rooms: section.flag("request_user_rooms"),
            strict,
            show_names: section.flag("show_names"),
            manners: TrunkManners {
                info: is_spoken.then_some(InfoManners { heartbeat }),
                is_silent: !section.flag("words"),
                busy_for_all: strict,
                full_is_refused: section.text("full_room") == "refuse",
            },
        }
    }

    fn header_names(&mut self, section: &Section) -> HeaderNames {
        let mut names = |key: &'static str| {
            let names = section.texts(key);
            for name in names.iter().filter(|name| !is_header(name)) {
                self.say(section, key, format!("{name:?} is no name of a header"));
            }
            names.to_vec()
        };
        HeaderNames {
            room: names("room_header"),
            password: names("password_header"),
            token: names("token_header"),
            user: names("user_header"),
            domain: names("domain_header"),
            tenant: names("tenant_header"),
            visitor: names("visitor_header"),
        }
    }
}

/// A token of RFC 3261 §25.1.
fn is_header(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Mistakes, parse};

    fn judge(keys: &str) -> Result<Config, Mistakes> {
        let text = format!("[[trunk]]\nname = \"a\"\nsources = [\"192.0.2.1\"]\n{keys}");
        parse("weebee.toml", &text, Path::new(""))
    }

    #[test]
    fn an_ivr_brings_its_manners() {
        let plain = judge("").expect("good").trunks.remove(0);
        assert_eq!(plain.door.manners, TrunkManners::default());
        assert!(!plain.sip.takes_json && !plain.door.strict);
        assert!(plain.sip.headers.iter().any(|name| name == "Jitsi-User-ID-Token"));
        let keys = "info = \"jigasi\"\nheartbeat_s = 20\nwords = false\n";
        let ivr = judge(keys).expect("good").trunks.remove(0);
        let heartbeat = Some(Duration::from_secs(20));
        let manners = TrunkManners {
            info: Some(InfoManners { heartbeat }),
            is_silent: true,
            busy_for_all: true,
            full_is_refused: false,
        };
        assert_eq!(ivr.door.manners, manners);
        assert!(ivr.sip.takes_json && ivr.door.strict);
        let own = judge("info = \"jigasi\"\njigasi_statuses = false\n").expect("good");
        assert!(!own.trunks[0].door.manners.busy_for_all);
        let full = judge("full_room = \"refuse\"\n").expect("good");
        assert!(full.trunks[0].door.manners.full_is_refused);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (keys, expected) in [
            ("heartbeat_s = 20\n", "info = \"jigasi\""),
            ("words = false\n", "info = \"jigasi\""),
            ("info = \"jigasi\"\nheartbeat_s = 1\n", "2 or more"),
            ("room_header = [\"X Room\"]\n", "no name of a header"),
            ("default_room = \" \"\n", "room name"),
        ] {
            let mistakes = judge(keys).expect_err(keys).to_string();
            assert!(mistakes.contains(expected), "{mistakes}");
        }
    }
}
