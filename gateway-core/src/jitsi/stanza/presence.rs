//! Presence in a room (XEP-0045): ours, as a phone tells itself, and everybody else's.
//!
//! Presence replaces as a whole: every change sends all of it again. What browsers make of it: the `jigasi` feature
//! shows a telephone and keeps them from peer-to-peer, `SourceInfo` is the crossed-out microphone, `<status>` the
//! label below the name.

use minidom::Element;
use serde_json::{Value, json};

use super::build::element;
use super::disco::AUDIO_MUTE;
use super::exchange::StanzaError;
use super::ns;
use super::rayo::RAYO;
use super::visitors::VISITORS;
use crate::base::pii::Pii;

/// Namespace of a join.
pub const MUC: &str = "http://jabber.org/protocol/muc";
/// Namespace of what a room adds to presence.
pub const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// Namespace of a display name (XEP-0172).
const NICK: &str = "http://jabber.org/protocol/nick";
/// Says in presence and disco that we are a telephone.
const JIGASI: &str = "http://jitsi.org/protocol/jigasi";
/// Headers that are shown; more are left out.
const HEADERS_MAX: usize = 32;
/// Longest name and value of a header that is shown. Each presence repeats them to everybody.
const HEADER_BYTES_MAX: usize = 256;
/// Features of a phone that belong into presence, too.
const PRESENCE_FEATURES: [&str; 3] = [JIGASI, "urn:xmpp:jingle:dtmf:0", AUDIO_MUTE];

/// How others see our phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPresence {
    /// Display name: caller's label.
    pub name: Pii<String>,
    /// Which gateway we are (statistics of the web client).
    pub stats_id: String,
    /// The phone called us; otherwise we called it.
    pub is_inbound: bool,
    /// Headers of its call that everybody may read (`<initiator>`).
    pub headers: Vec<(String, Pii<String>)>,
    /// Microphone off.
    pub is_muted: bool,
    /// Moderators may switch it off.
    pub can_be_muted: bool,
    /// Hand up since then, in milliseconds of Unix time.
    pub hand_raised_ms: Option<u64>,
    /// A hand that is down is shown as such: a visitor node tells moderators of nothing else.
    pub shows_lowered_hand: bool,
    /// Label below the name; empty: none.
    pub status: String,
    /// Short form of our abilities.
    pub caps: Element,
}

impl OwnPresence {
    /// Presence that joins, with the room's password if one is known.
    pub fn join(&self, room: &str, nick: &str, password: Option<&Pii<String>>) -> Element {
        let password = password.map(|it| element("password", MUC).text(it.reveal()));
        let join = element("x", MUC).children(password).build();
        self.full(room, nick, Some(join))
    }

    /// Presence that tells a change.
    pub fn update(&self, room: &str, nick: &str) -> Element {
        self.full(room, nick, None)
    }

    fn full(&self, room: &str, nick: &str, join: Option<Element>) -> Element {
        let plain = |name: &str, text: &str| element(name, ns::CLIENT).text(text);
        let feature = |var: &&str| element("feature", ns::CLIENT).attr("var", var);
        let header = |name: &str, value: &str| {
            element("header", RAYO).attr("name", name).attr("value", value)
        };
        let features = PRESENCE_FEATURES
            .iter()
            .filter(|var| self.can_be_muted || **var != AUDIO_MUTE)
            .map(feature);
        let headers = self.headers.iter().map(|(name, value)| header(name, value.reveal()));
        let direction = header("JigasiCallDirection", if self.is_inbound { "in" } else { "out" });
        let initiator = element("initiator", JIGASI).children(headers).child(direction);
        let muted = if self.is_muted { "true" } else { "false" };
        let mut presence = element("presence", ns::CLIENT)
            .attr("to", format!("{room}/{nick}"))
            .children(join)
            .child(self.caps.clone())
            .child(element("nick", NICK).text(self.name.reveal()))
            .child(plain("stats-id", &self.stats_id))
            .child(element("features", ns::CLIENT).children(features))
            .child(initiator)
            .child(plain("audiomuted", muted))
            .child(plain("videomuted", "true"))
            .child(plain("SourceInfo", &source_info(nick, self.is_muted)));
        if self.hand_raised_ms.is_some() || self.shows_lowered_hand {
            let since = self.hand_raised_ms.map(|since| since.to_string()).unwrap_or_default();
            presence = presence.child(plain("jitsi_participant_raisedHand", &since));
        }
        if !self.status.is_empty() {
            presence = presence.child(plain("status", &self.status));
        }
        presence.build()
    }
}

/// Of a call's headers those that presence can carry: names and values of reasonable length without control characters,
/// which XML does not know.
pub fn showable(headers: &[(String, Pii<String>)]) -> Vec<(String, Pii<String>)> {
    let is_fit = |text: &str| {
        text.len() <= HEADER_BYTES_MAX
            && !text
                .chars()
                .any(|sign| sign.is_control() || matches!(sign, '\u{fffe}' | '\u{ffff}'))
    };
    let fit = headers.iter().filter(|(name, value)| {
        // Ours, and said by us.
        let is_ours = name.eq_ignore_ascii_case("JigasiCallDirection");
        !name.is_empty() && !is_ours && is_fit(name) && is_fit(value.reveal())
    });
    fit.take(HEADERS_MAX).cloned().collect()
}

/// Name of the only source of a phone: the room's nick is its endpoint id.
pub fn source_name(nick: &str) -> String {
    format!("{nick}-a0")
}

fn source_info(nick: &str, muted: bool) -> String {
    json!({ source_name(nick): { "muted": muted } }).to_string()
}

/// Presence that leaves.
pub fn leave(room: &str, nick: &str) -> Element {
    let to = format!("{room}/{nick}");
    element("presence", ns::CLIENT).attr("to", to).attr("type", "unavailable").build()
}

/// Presence without a room: we are there. A server drops messages to an address that never said so.
pub fn available() -> Element {
    Element::bare("presence", ns::CLIENT)
}

/// Presence from a room.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomPresence {
    /// Address of the room, as written.
    pub room: String,
    /// Who in it. Empty: the room itself (an error may come from there).
    pub nick: String,
    /// What it tells.
    pub kind: PresenceKind,
}

/// What a room's presence tells.
#[derive(Clone, Debug, PartialEq)]
pub enum PresenceKind {
    /// Somebody is there.
    Here(Box<Occupant>),
    /// Somebody went.
    Gone(Gone),
    /// We could not join (or change).
    Refused(JoinRefusal),
}

/// Somebody in a room, as far as a phone cares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Occupant {
    /// It is about ourselves (status 110).
    pub is_self: bool,
    /// `owner`, `admin`, `member`, `none`.
    pub affiliation: String,
    /// May moderate.
    pub is_moderator: bool,
    /// Real address, where the room shows it.
    pub real: Option<String>,
    /// Display name.
    pub name: Pii<String>,
    /// Says itself to be a phone gateway.
    pub is_phone: bool,
    /// Says itself to be a recorder or a transcriber.
    pub is_machine: bool,
    /// Its microphone is off; `None`: it does not say.
    pub is_muted: Option<bool>,
    /// Its hand is up.
    pub has_hand_raised: bool,
    /// What the focus tells of the conference (only in its own presence).
    pub conference: Option<ConferenceFacts>,
}

/// What the focus tells in its presence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConferenceFacts {
    /// State of the recording by a Jibri.
    pub recording: Option<RecordingState>,
    /// Audio is recorded (no Jibri involved).
    pub is_audio_recorded: bool,
    /// It understands `session-terminate` with `restart`.
    pub can_restart: bool,
}

/// A recording or a live stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordingState {
    /// It runs.
    pub is_on: bool,
    /// It is a live stream.
    pub is_stream: bool,
}

/// How somebody went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// It is about ourselves (status 110).
    pub is_self: bool,
    /// 307: removed by a moderator.
    pub was_kicked: bool,
    /// 301: removed and kept out.
    pub was_banned: bool,
    /// 303: only another name.
    pub new_nick: Option<String>,
    /// The room is no more.
    pub destroyed: Option<Destroyed>,
    /// Why, in somebody's words.
    pub reason: Option<String>,
}

/// A room that is no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destroyed {
    /// Where to go instead.
    pub alternate: Option<String>,
    /// Why, in somebody's words.
    pub reason: Option<String>,
}

/// Why we could not join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinRefusal {
    /// The room has a password, and ours is missing or wrong.
    Password,
    /// Members only: a moderator decides, in the lobby.
    Lobby {
        /// Address of the lobby.
        lobby: Option<String>,
        /// No moderator decides: it opens when a host comes.
        waits_for_host: bool,
    },
    /// A display name is wanted.
    NameRequired,
    /// The maximum of occupants is there.
    Full,
    /// There is no room (yet): a conference request must come first.
    NoRoom,
    /// Our nick is taken.
    NickTaken,
    /// Our nick is not allowed, or may not change.
    NickRefused,
    /// The meeting is so large that only those may enter who were promoted from among its visitors.
    VisitorsOnly,
    /// Too many joins at once.
    TooFast,
    /// We are banned, or the token does not fit.
    Forbidden,
    /// Something else.
    Other(String),
}

impl RoomPresence {
    /// Reads presence that comes from a room; `None` where it is no presence, or of no room.
    pub fn read(stanza: &Element) -> Option<Self> {
        if !stanza.is("presence", ns::CLIENT) {
            return None;
        }
        let from = stanza.attr("from")?;
        let (room, nick) = from.split_once('/').unwrap_or((from, ""));
        let kind = match stanza.attr("type") {
            None => PresenceKind::Here(Box::new(Occupant::read(stanza))),
            Some("unavailable") => PresenceKind::Gone(Gone::read(stanza)),
            Some("error") => PresenceKind::Refused(JoinRefusal::read(stanza)),
            Some(_) => return None,
        };
        Some(Self { room: room.to_owned(), nick: nick.to_owned(), kind })
    }
}

impl Occupant {
    fn read(stanza: &Element) -> Self {
        let user = stanza.get_child("x", MUC_USER);
        let item = user.and_then(|x| x.get_child("item", MUC_USER));
        let attr = |name: &'static str| item.and_then(|item| item.attr(name));
        let text = |name: &str| stanza.get_child(name, ns::CLIENT).map(|it| capped(&it.text()));
        let name = stanza.get_child("nick", NICK).map(|it| capped(&it.text()));
        Self {
            is_self: user.is_some_and(|x| has_status(x, "110")),
            affiliation: attr("affiliation").unwrap_or_default().to_owned(),
            is_moderator: attr("role") == Some("moderator"),
            real: attr("jid").map(str::to_owned),
            name: Pii::new(name.unwrap_or_default()),
            is_phone: has_feature(stanza, |var| var == JIGASI),
            is_machine: has_feature(stanza, |var| MACHINES.contains(&var)),
            is_muted: is_muted(stanza),
            has_hand_raised: text("jitsi_participant_raisedHand").is_some_and(|it| !it.is_empty()),
            conference: ConferenceFacts::read(stanza),
        }
    }
}

fn has_feature(stanza: &Element, is_wanted: impl Fn(&str) -> bool) -> bool {
    let Some(features) = stanza.get_child("features", ns::CLIENT) else { return false };
    let vars = features.children().filter_map(|it| it.attr("var"));
    vars.take(FEATURES_MAX).any(is_wanted)
}

/// `SourceInfo` first, `audiomuted` where there is none: as browsers do.
fn is_muted(stanza: &Element) -> Option<bool> {
    let info = stanza.get_child("SourceInfo", ns::CLIENT).map(Element::text);
    let sources: Option<Value> = info
        .filter(|text| text.len() <= SOURCE_INFO_MAX)
        .and_then(|text| serde_json::from_str(&text).ok());
    let audio = sources.as_ref().and_then(Value::as_object).and_then(|sources| {
        sources.iter().find(|(name, _)| name.contains("-a")).map(|(_, source)| source)
    });
    match audio {
        // The key may be left out when the microphone is on.
        Some(audio) => Some(audio["muted"].as_bool().unwrap_or(false)),
        None => {
            let plain = stanza.get_child("audiomuted", ns::CLIENT).map(Element::text);
            plain.map(|text| text == "true")
        }
    }
}

impl ConferenceFacts {
    fn read(stanza: &Element) -> Option<Self> {
        let properties = stanza.get_child("conference-properties", ns::FOCUS);
        let recording = stanza.get_child("jibri-recording-status", JIBRI);
        if properties.is_none() && recording.is_none() {
            return None;
        }
        let is = |key: &str| {
            let mut all = properties.into_iter().flat_map(Element::children).take(FEATURES_MAX);
            all.any(|it| it.attr("key") == Some(key) && it.attr("value") == Some("true"))
        };
        Some(Self {
            recording: recording.map(RecordingState::read),
            is_audio_recorded: is("audio-recording-enabled"),
            can_restart: is("support-terminate-restart"),
        })
    }
}

impl RecordingState {
    fn read(status: &Element) -> Self {
        Self {
            is_on: status.attr("status") == Some("on"),
            is_stream: status.attr("recording_mode") == Some("stream"),
        }
    }
}

impl Gone {
    fn read(stanza: &Element) -> Self {
        let Some(user) = stanza.get_child("x", MUC_USER) else { return Self::default() };
        let item = user.get_child("item", MUC_USER);
        let reason_of =
            |it: &Element| it.get_child("reason", MUC_USER).map(|it| capped(&it.text()));
        let destroyed = user.get_child("destroy", MUC_USER).map(|destroy| Destroyed {
            alternate: destroy.attr("jid").map(str::to_owned),
            reason: reason_of(destroy),
        });
        let renamed = has_status(user, "303");
        let new_nick = item.and_then(|item| item.attr("nick")).filter(|_| renamed);
        Self {
            is_self: has_status(user, "110"),
            was_kicked: has_status(user, "307"),
            was_banned: has_status(user, "301"),
            new_nick: new_nick.map(str::to_owned),
            destroyed,
            reason: item.and_then(reason_of),
        }
    }
}

impl JoinRefusal {
    fn read(stanza: &Element) -> Self {
        let Some(error) = StanzaError::read(stanza) else { return Self::Other(String::new()) };
        match error.condition {
            "not-authorized" => Self::Password,
            "registration-required" => Self::Lobby {
                lobby: error.element.get_child("lobbyroom", ns::JITMEET).map(Element::text),
                waits_for_host: error.has_jitsi("waiting-for-host"),
            },
            "not-acceptable" => Self::NameRequired,
            "service-unavailable" => Self::Full,
            "conflict" => Self::NickTaken,
            "jid-malformed" => Self::NickRefused,
            "resource-constraint" => Self::TooFast,
            "forbidden" => Self::Forbidden,
            "item-not-found" | "remote-server-not-found" => Self::NoRoom,
            "not-allowed" => Self::read_not_allowed(&error),
            other => Self::Other(other.to_owned()),
        }
    }

    /// One condition for four reasons; only the text (English, from the server's plugins) tells them apart.
    fn read_not_allowed(error: &StanzaError<'_>) -> Self {
        let text = error.text().unwrap_or_default();
        if error.element.has_child("promotion-not-allowed", VISITORS) {
            Self::VisitorsOnly
        } else if error.has_jitsi("room-does-not-exist") || text.contains("Room creation") {
            Self::NoRoom
        } else if text.contains("Invalid resource") || text.contains("Nick changes") {
            Self::NickRefused
        } else {
            Self::Forbidden
        }
    }
}

fn has_status(user: &Element, code: &str) -> bool {
    user.children().any(|it| it.name() == "status" && it.attr("code") == Some(code))
}

/// The first characters of somebody's text.
fn capped(text: &str) -> String {
    text.chars().take(TEXT_MAX).collect()
}

/// Namespace of recordings.
const JIBRI: &str = "http://jitsi.org/protocol/jibri";
/// Features of those who are no people.
const MACHINES: [&str; 2] =
    ["http://jitsi.org/protocol/jibri", "http://jitsi.org/protocol/transcriber"];
/// Names and reasons are cut here; Prosody lets a whole stanza (256 KB) be one name.
const TEXT_MAX: usize = 200;
/// Today's clients list three features at most.
const FEATURES_MAX: usize = 64;
/// A browser with camera and screen needs 200 bytes.
const SOURCE_INFO_MAX: usize = 8 * 1_024;

#[cfg(test)]
mod tests;
