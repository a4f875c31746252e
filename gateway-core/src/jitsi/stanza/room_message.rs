//! Messages that concern a phone: invitations out of a lobby, and JSON from Jitsi's components.
//!
//! Components speak for the whole room; who may say what is judged by the machines, from the sender's address.

use minidom::Element;
use serde_json::Value;

use super::ns;
use super::presence::MUC_USER;
use crate::base::pii::Pii;

/// A message of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomMessage {
    /// Its sender as written.
    pub from: String,
    /// What it says.
    pub said: Said,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The room invites us (mediated: the sender is the room): a moderator let us in.
    Invited {
        /// Password that came with it. Today's server strips it.
        password: Option<Pii<String>>,
    },
    /// Nobody, or only approved people, may switch their microphone on.
    AvModeration(AvModeration),
    /// State of the room.
    Metadata(Metadata),
    /// We are to go into another room.
    MoveTo(String),
    /// A moderator makes the occupant with this nick a visitor.
    Demoted(String),
    /// The lobby was opened or closed.
    LobbyEnabled(bool),
    /// The room's configuration changed (status 104).
    ConfigChanged,
}

/// A message of the AV moderation component about audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AvModeration {
    /// It is on or off for all.
    Enabled(bool),
    /// We may switch our microphone on (or are asked to, where moderation is off).
    Approved,
    /// Not any more.
    Removed,
}

/// What the room's metadata say that a phone cares for. `None`: not mentioned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Who joins now starts with the microphone off.
    pub starts_muted: Option<bool>,
    /// A lobby is there.
    pub has_lobby: Option<bool>,
    /// What is said is written down.
    pub is_transcribed: Option<bool>,
}

impl RoomMessage {
    /// Reads a message; `None` where it says nothing a phone cares for.
    pub fn read(stanza: &Element) -> Option<Self> {
        if !stanza.is("message", ns::CLIENT) || stanza.attr("type") == Some("error") {
            return None;
        }
        let from = stanza.attr("from")?.to_owned();
        let said = match stanza.get_child("json-message", ns::JITMEET) {
            Some(json) => read_json(&json.text())?,
            None => read_user(stanza.get_child("x", MUC_USER)?)?,
        };
        Some(Self { from, said })
    }
}

fn read_user(user: &Element) -> Option<Said> {
    if user.has_child("invite", MUC_USER) {
        let password = user.get_child("password", MUC_USER).map(|it| Pii::new(it.text()));
        return Some(Said::Invited { password });
    }
    let changed = user.children().any(|it| it.name() == "status" && it.attr("code") == Some("104"));
    changed.then_some(Said::ConfigChanged)
}

fn read_json(text: &str) -> Option<Said> {
    if text.len() > JSON_MAX {
        return None;
    }
    let json: Value = serde_json::from_str(text).ok()?;
    match json["type"].as_str()? {
        "av_moderation" if json["mediaType"] == "audio" => read_moderation(&json),
        "room_metadata" => {
            let metadata = &json["metadata"];
            Some(Said::Metadata(Metadata {
                starts_muted: metadata["startMuted"]["audio"].as_bool(),
                has_lobby: metadata["lobbyEnabled"].as_bool(),
                is_transcribed: metadata["recording"]["isTranscribingEnabled"].as_bool(),
            }))
        }
        "breakout_rooms" if json["event"] == "features/breakout-rooms/move-to-room" => {
            json["roomJid"].as_str().map(|room| Said::MoveTo(room.to_owned()))
        }
        "visitors" if json["action"] == "demote-request" => {
            json["id"].as_str().map(|nick| Said::Demoted(nick.to_owned()))
        }
        "lobby-notify" if json["event"] == "LOBBY-ENABLED" => {
            json["value"].as_bool().map(Said::LobbyEnabled)
        }
        _ => None,
    }
}

fn read_moderation(json: &Value) -> Option<Said> {
    let said = if let Some(enabled) = json["enabled"].as_bool() {
        AvModeration::Enabled(enabled)
    } else if json["approved"] == true {
        AvModeration::Approved
    } else if json["removed"] == true && json["whitelists"].is_null() {
        AvModeration::Removed
    } else {
        // Moderators are sent the list of those who may speak.
        return None;
    };
    Some(Said::AvModeration(said))
}

/// A breakout update of a room of 500 has about 100 KB; it is not read. What is read has some hundred bytes.
const JSON_MAX: usize = 64 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitsi::capture::{Capture, parse_stanzas};

    fn said(name: &str, client: &str) -> Vec<Said> {
        let capture = Capture::stanzas(name);
        capture.received(client).filter_map(RoomMessage::read).map(|it| it.said).collect()
    }

    #[test]
    fn av_moderation_is_read_as_the_phone_of_the_capture_heard_it() {
        let heard: Vec<AvModeration> = said("60-av-moderation", "D")
            .into_iter()
            .filter_map(|it| match it {
                Said::AvModeration(said) => Some(said),
                _ => None,
            })
            .collect();
        assert_eq!(
            &heard[..4],
            [
                AvModeration::Enabled(true),
                AvModeration::Approved,
                AvModeration::Removed,
                AvModeration::Enabled(false)
            ]
        );
        // The last one: moderation is off, a moderator asks for speech.
        assert_eq!(heard.last(), Some(&AvModeration::Approved));
        let moderator = said("60-av-moderation", "A");
        assert!(!moderator.contains(&Said::AvModeration(AvModeration::Removed)));
    }

    #[test]
    fn an_invitation_a_move_and_metadata_are_read() {
        assert!(said("52-lobby-admit", "C").contains(&Said::Invited { password: None }));
        let lobby = Metadata { has_lobby: Some(true), ..Metadata::default() };
        assert!(said("52-lobby-admit", "C").contains(&Said::Metadata(lobby)));
        let room = "60a9dd89-4199-4e1a-b70a-61b351c4dc59@breakout.meet.test";
        assert!(said("63-breakout-move", "D").contains(&Said::MoveTo(room.into())));
        let muted = Metadata { starts_muted: Some(true), ..Metadata::default() };
        assert!(said("61-start-muted", "G").contains(&Said::Metadata(muted)));
    }

    #[test]
    fn nonsense_is_nothing() {
        for body in [
            "",
            "{}",
            "[]",
            "{\"type\":\"room_metadata\"",
            "{\"type\":\"breakout_rooms\",\"event\":\"x\"}",
        ] {
            let xml = format!(
                "<message from='a'><json-message xmlns='http://jitsi.org/jitmeet'>{body}</json-message></message>"
            );
            assert_eq!(RoomMessage::read(&parse_stanzas(&xml).expect("XML")[0]), None, "{body}");
        }
        let deep = "[".repeat(60_000);
        let xml = format!(
            "<message from='a'><json-message xmlns='http://jitsi.org/jitmeet'>{deep}</json-message></message>"
        );
        assert_eq!(RoomMessage::read(&parse_stanzas(&xml).expect("XML")[0]), None);
    }
}
