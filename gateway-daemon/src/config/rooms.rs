//! `[room]` and `[[room_policy]]`: how rooms treat those who call them, by name.

use gateway_core::leg::backend::{BeforeHost, RoomName, RoomPolicy};
use gateway_core::media::clip::Language;

use super::number::Pattern;
use super::raw::{Raw, Section};
use super::schema::{KeyDecl, Kind, LANGUAGE_OR_NONE, SectionDecl, key, needed, whole};
use super::typed::Judge;
use super::values::{count, language, minutes};
use crate::pin::mint::Issuer;

const ISSUERS: &[&str] = &["cli", "rest", "page", "chat"];

/// Declares the keys of `[room]`, and those of `[[room_policy]]` with its `name` before them.
macro_rules! keys {
    ($([$first:expr])? why: [$($why:literal),* $(,)?]) => {{
        const WHY: [&str; 9] = [$($why),*];
        &[
            $($first,)?
            key("wait_for_host", Kind::Flag, "false", WHY[0]),
            key("host_wait_min", whole(1, 1_440, "min"), "10", WHY[1]),
            key("members_max", whole(2, 512, "callers"), "100", WHY[2]),
            key("backend", Kind::Text, r#""room""#, WHY[3]),
            key("mint", Kind::SomeOf(ISSUERS), r#"["cli", "rest", "page", "chat"]"#, WHY[4]),
            key("label", Kind::OneOf(&["full", "masked", "none"]), r#""masked""#, WHY[5]),
            key("language", Kind::OneOf(LANGUAGE_OR_NONE), r#""""#, WHY[6]),
            key("before_host", Kind::OneOf(&["", "join", "hold", "refuse"]), r#""""#, WHY[7]),
            key("lobby", Kind::OneOf(&["wait", "refuse"]), r#""wait""#, WHY[8]),
        ]
    }};
}

/// Keys of `[room]`.
pub(super) const ROOM: SectionDecl = SectionDecl {
    name: "room",
    many: false,
    commented: false,
    about: "How rooms treat callers, unless a [[room_policy]] says otherwise.",
    keys: keys!(why: [
        "Guests hear music until somebody with a host PIN is there. The same as before_host = \"hold\".",
        "How long a guest waits for the host before a spoken goodbye.",
        "Callers in one room.",
        "Where rooms are: \"room\" is the gateway itself, other names are those of [[conference.jitsi]].",
        "Who may give out PINs: \"cli\" (`weebee pin add`), \"rest\" (the REST interface), \"page\" (Jitsi Meet's \
         dial-in page), \"chat\" (Rocket.Chat).",
        "What others in the room see of a caller: his number, its beginning and end, or nothing. Who has a personal \
         PIN is shown by name.",
        "Language of the words in the room, unless the PIN says otherwise. Empty: the number's or trunk's.",
        "Guests of a room without a host: \"join\" (they enter alone), \"hold\" (music until he is there), \"refuse\" (a \
         spoken goodbye). Empty: as wait_for_host says. In a Jitsi room the server decides whether guests wait for a \
         host; with \"refuse\" they are told goodbye instead of waiting.",
        "At the lobby of a Jitsi room: \"wait\" for a moderator, or \"refuse\": a spoken goodbye, and no knocking.",
    ]),
};

/// Keys of `[[room_policy]]`.
pub(super) const ROOM_POLICY: SectionDecl = SectionDecl {
    name: "room_policy",
    many: true,
    commented: true,
    about: "Exceptions from [room], by room name. The first that matches counts.",
    keys: keys!([NAME] why: [
        "As in [room].", "As in [room].", "As in [room].", "As in [room].", "As in [room].", "As in [room].",
        "As in [room].", "As in [room].", "As in [room].",
    ]),
};

const NAME: KeyDecl = needed(
    "name",
    Kind::Text,
    r#""board-*""#,
    "Room name, compared without case. `?` stands for one character, `*` for any rest.",
);

/// `[room]` and its exceptions.
#[derive(Clone, Debug)]
pub struct Rooms {
    /// `[room]`.
    pub usual: RoomRules,
    /// `[[room_policy]]`, first match first.
    pub named: Vec<(Pattern, RoomRules)>,
}

/// How a room treats its callers, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRules {
    /// How.
    pub policy: RoomPolicy,
    /// Name of the backend.
    pub backend: String,
    /// Who may give out PINs.
    pub mint: Vec<Issuer>,
    /// What others see of a caller.
    pub label: Label,
    /// Language of the words in the room.
    pub language: Option<Language>,
}

/// What others in a room see of a caller's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// All of it.
    Full,
    /// Its beginning and end.
    Masked,
    /// Nothing.
    None,
}

impl Rooms {
    /// The rules of a room.
    pub fn rules(&self, room: &RoomName) -> &RoomRules {
        let named = self.named.iter().find(|(pattern, _)| pattern.matches(room.as_str()));
        named.map_or(&self.usual, |(_, rules)| rules)
    }
}

impl Judge<'_> {
    pub(super) fn rooms(&mut self, raw: &Raw) -> Option<Rooms> {
        self.before_host(raw.one("room"));
        let usual = room_rules(raw.one("room"), raw.one("room"));
        let mut named = Vec::new();
        for section in raw.many("room_policy") {
            match Pattern::new(section.text("name")) {
                Some(name) => {
                    self.before_host(section);
                    named.push((name, room_rules(section, raw.one("room"))));
                }
                None if section.given("name") => {
                    self.say(section, "name", "is empty; write the room's name, or \"*\" for any");
                }
                None => {}
            }
        }
        Some(Rooms { usual, named })
    }

    fn before_host(&mut self, section: &Section) {
        let says_both = section.given("wait_for_host") && !section.text("before_host").is_empty();
        let holds = section.text("before_host") == "hold";
        if says_both && section.flag("wait_for_host") != holds {
            let what = "contradicts before_host; remove wait_for_host";
            self.say(section, "wait_for_host", what);
        }
    }
}

fn room_rules(section: &Section, usual: &Section) -> RoomRules {
    let from = |key: &str| if section.given(key) { section } else { usual };
    let policy = RoomPolicy {
        before_host: before_host(section, usual),
        knocks: from("lobby").text("lobby") != "refuse",
        members_max: count(from("members_max").whole("members_max")),
        host_wait_max: minutes(from("host_wait_min").whole("host_wait_min")),
    };
    let backend = match from("backend").text("backend") {
        "" => "room",
        name => name,
    };
    let mint = from("mint").texts("mint");
    RoomRules {
        policy,
        backend: backend.to_owned(),
        mint: Issuer::ALL.into_iter().filter(|it| mint.iter().any(|n| n == it.name())).collect(),
        label: match from("label").text("label") {
            "full" => Label::Full,
            "none" => Label::None,
            _ => Label::Masked,
        },
        language: language(from("language").text("language")),
    }
}

/// The nearest of the four places that say it: the newer key before the older one, the exception before the rule.
fn before_host(section: &Section, usual: &Section) -> BeforeHost {
    for place in [section, usual] {
        match place.text("before_host") {
            "join" => return BeforeHost::Join,
            "hold" => return BeforeHost::Hold,
            "refuse" => return BeforeHost::Refuse,
            _ if place.given("wait_for_host") => {
                let holds = place.flag("wait_for_host");
                return if holds { BeforeHost::Hold } else { BeforeHost::Join };
            }
            _ => {}
        }
    }
    BeforeHost::Join
}
