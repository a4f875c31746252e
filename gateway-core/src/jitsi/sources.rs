//! Whose voice an SSRC is: what Jingle, the bridge's map and presence say of sources, as one table.
//!
//! Holds voices alone: pictures, our own sources and the bridge's mixed one (`jvb`) never enter. With SSRC rewriting the
//! bridge gives numbers of its own, tells them in `AudioSourcesMap`, and may give a number to somebody else later.
//!
//! Jicofo does not say which sources go when somebody leaves the room: [`VoiceTable::owner_left`] does.

use std::collections::{BTreeMap, VecDeque};

use super::stanza::channel::MappedSource;
use super::stanza::sources::{MediaKind, Source, SourceState};
use crate::base::limits::JITSI_SOURCES_MAX;

/// One voice of the conference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voice {
    /// Endpoint (nick in the room) of the speaker.
    pub owner: String,
    /// Name of the source; made from the owner's where nobody said it.
    pub name: String,
}

/// A change of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoiceChange {
    /// The SSRC is this voice from now on; it may have been another.
    Heard {
        /// Number in the packets.
        ssrc: u32,
        /// Whose.
        voice: Voice,
    },
    /// The SSRC is nobody's any more.
    Gone {
        /// Number in the packets.
        ssrc: u32,
    },
}

/// The table of one leg.
#[derive(Debug)]
pub struct VoiceTable {
    /// Our own endpoint.
    me: String,
    voices: BTreeMap<u32, Voice>,
    states: BTreeMap<String, BTreeMap<String, SourceState>>,
    changes: VecDeque<VoiceChange>,
    /// Voices that found no place.
    refused: u64,
}

impl VoiceTable {
    /// An empty table of the endpoint `me`.
    pub fn new(me: &str) -> Self {
        Self {
            me: me.to_owned(),
            voices: BTreeMap::new(),
            states: BTreeMap::new(),
            changes: VecDeque::new(),
            refused: 0,
        }
    }

    /// A new session tells all its sources: others are gone.
    pub fn replace(&mut self, sources: &[Source]) {
        let told = |ssrc: &u32| sources.iter().any(|it| it.ssrc == *ssrc);
        let gone: Vec<u32> = self.voices.keys().copied().filter(|ssrc| !told(ssrc)).collect();
        gone.into_iter().for_each(|ssrc| self.forget(ssrc));
        self.add(sources);
    }

    /// source-add.
    pub fn add(&mut self, sources: &[Source]) {
        for source in sources.iter().filter(|it| it.media == MediaKind::Audio) {
            let Some(owner) = &source.owner else { continue };
            let name = source.name.clone().unwrap_or_else(|| format!("{owner}-a0"));
            self.learn(source.ssrc, Voice { owner: owner.clone(), name });
        }
    }

    /// source-remove. Who removes a number that is another's by now removes nothing.
    pub fn remove(&mut self, sources: &[Source]) {
        for source in sources {
            let known = self.voices.get(&source.ssrc);
            if known.is_some_and(|it| source.owner.as_ref().is_none_or(|owner| *owner == it.owner))
            {
                self.forget(source.ssrc);
            }
        }
    }

    /// `AudioSourcesMap`: new entries only; a source has one number at a time.
    pub fn map(&mut self, mapped: &[MappedSource]) {
        for entry in mapped {
            let same = |it: &Voice| it.name == entry.source && it.owner == entry.owner;
            let old = self.voices.iter().find(|(_, it)| same(it)).map(|(ssrc, _)| *ssrc);
            if let Some(old) = old.filter(|old| *old != entry.ssrc) {
                self.forget(old);
            }
            let (owner, name) = (entry.owner.clone(), entry.source.clone());
            self.learn(entry.ssrc, Voice { owner, name });
        }
    }

    /// Somebody left the room.
    pub fn owner_left(&mut self, owner: &str) {
        let of_owner = self.voices.iter().filter(|(_, it)| it.owner == owner);
        let gone: Vec<u32> = of_owner.map(|(ssrc, _)| *ssrc).collect();
        gone.into_iter().for_each(|ssrc| self.forget(ssrc));
        self.states.remove(owner);
    }

    /// What an endpoint's presence says of its sources (`SourceInfo`).
    pub fn set_states(&mut self, owner: &str, states: BTreeMap<String, SourceState>) {
        if self.states.len() < JITSI_SOURCES_MAX || self.states.contains_key(owner) {
            self.states.insert(owner.to_owned(), states);
        }
    }

    /// What changed, in order.
    pub fn poll_change(&mut self) -> Option<VoiceChange> {
        self.changes.pop_front()
    }

    /// Whether [`Self::poll_change`] has something.
    pub fn has_changed(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Whose voice it is.
    pub fn voice(&self, ssrc: u32) -> Option<&Voice> {
        self.voices.get(&ssrc)
    }

    /// All voices, by number.
    pub fn voices(&self) -> impl Iterator<Item = (u32, &Voice)> {
        self.voices.iter().map(|(ssrc, voice)| (*ssrc, voice))
    }

    /// What presence last said of a source: nothing is "open".
    pub fn state(&self, owner: &str, name: &str) -> Option<&SourceState> {
        self.states.get(owner)?.get(name)
    }

    /// Voices that found no place.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn learn(&mut self, ssrc: u32, voice: Voice) {
        if voice.owner == self.me || voice.owner == BRIDGE {
            return;
        }
        if self.voices.get(&ssrc) == Some(&voice) {
            return;
        }
        if self.voices.len() >= JITSI_SOURCES_MAX && !self.voices.contains_key(&ssrc) {
            self.refused += 1;
            return;
        }
        self.voices.insert(ssrc, voice.clone());
        self.note(VoiceChange::Heard { ssrc, voice });
    }

    fn forget(&mut self, ssrc: u32) {
        if self.voices.remove(&ssrc).is_some() {
            self.note(VoiceChange::Gone { ssrc });
        }
    }

    fn note(&mut self, change: VoiceChange) {
        debug_assert!(
            self.changes.len() <= 4 * JITSI_SOURCES_MAX,
            "the owner drains after each input"
        );
        self.changes.push_back(change);
    }
}

/// Owner of the bridge's own sources.
const BRIDGE: &str = "jvb";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitsi::capture::{self, Capture, Entry};
    use crate::jitsi::stanza::channel::BridgeMessage;
    use crate::jitsi::stanza::jingle::{Action, Jingle};
    use crate::jitsi::stanza::ns;
    use crate::jitsi::stanza::sources::{read_json, read_source_info, write_json};

    fn source(ssrc: u32, owner: &str) -> Source {
        let name = Some(format!("{owner}-a0"));
        Source { owner: Some(owner.to_owned()), name, ..Source::audio(ssrc) }
    }

    fn changes(table: &mut VoiceTable) -> Vec<VoiceChange> {
        std::iter::from_fn(|| table.poll_change()).collect()
    }

    fn owners(table: &VoiceTable) -> Vec<(u32, String)> {
        table.voices().map(|(ssrc, voice)| (ssrc, voice.owner.clone())).collect()
    }

    /// What a client of a capture was told, in order.
    fn told(name: &str, client: &str, me: &str) -> VoiceTable {
        let mut table = VoiceTable::new(me);
        for stanza in Capture::stanzas(name).received(client) {
            let jingle = stanza.get_child("jingle", ns::JINGLE).map(Jingle::read);
            let Some(Ok(jingle)) = jingle else { continue };
            match jingle.action {
                Action::SessionInitiate | Action::TransportReplace => {
                    table.replace(&jingle.sources())
                }
                Action::SourceAdd => table.add(&jingle.sources()),
                Action::SourceRemove => table.remove(&jingle.sources()),
                _ => {}
            }
        }
        table
    }

    #[test]
    fn json_and_xml_tell_the_same_voices() {
        let others = [(2114748569, "39d3bde7"), (3742474869, "fddac50f"), (4071254398, "00e5e4b8")];
        let others = others.map(|(ssrc, owner)| (ssrc, owner.to_owned()));
        let xml = told("07-later-join-xml-sources-jigasi", "D", "08d5b247");
        assert_eq!(owners(&xml), others, "and not the bridge's own");
        let json = told("06-later-join-json-sources", "C", "39d3bde7");
        assert_eq!(owners(&json), others[1..]);
    }

    #[test]
    fn a_source_goes_and_comes_back() {
        let capture = "08-source-remove-add";
        for (client, me) in [("A", "fddac50f"), ("D", "08d5b247")] {
            let mut table = told(capture, client, me);
            assert_eq!(owners(&table), [(4071254398, "00e5e4b8".to_owned())]);
            table.add(&[source(4071254398, "00e5e4b8")]);
            let seen = changes(&mut table);
            assert_eq!(seen.len(), 1, "what is known is no change: {seen:?}");
        }
    }

    #[test]
    fn the_bridges_map_moves_numbers_between_voices() {
        let mut table = VoiceTable::new("a344d9b1");
        for message in Capture::messages("22-ssrc-rewriting-channel").received("B") {
            if let Ok(BridgeMessage::AudioSources(mapped)) = BridgeMessage::read(message) {
                table.map(&mapped);
            }
        }
        let first = (1047438559, "dd14507e".to_owned());
        assert_eq!(owners(&table), [(499254739, "0c4b9a6b".to_owned()), first.clone()]);
        changes(&mut table);
        let entry = |source: &str, owner: &str, ssrc| MappedSource {
            source: source.to_owned(),
            owner: owner.to_owned(),
            ssrc,
        };
        // A third voice takes the number of the second, which comes under another later.
        table.map(&[entry("cc-a0", "cc", 499254739)]);
        table.map(&[entry("0c4b9a6b-a0", "0c4b9a6b", 5)]);
        table.map(&[entry("0c4b9a6b-a0", "0c4b9a6b", 6)]);
        assert_eq!(
            owners(&table),
            [(6, "0c4b9a6b".to_owned()), (499254739, "cc".to_owned()), first]
        );
        assert!(changes(&mut table).contains(&VoiceChange::Gone { ssrc: 5 }));
    }

    #[test]
    fn own_voice_pictures_and_the_bridge_never_enter() {
        let mut table = VoiceTable::new("me");
        let picture = Source { media: MediaKind::Video, ..source(3, "other") };
        table.add(&[source(1, "me"), source(2, "jvb"), picture, Source::audio(4)]);
        assert_eq!((owners(&table), changes(&mut table)), (vec![], vec![]));
    }

    #[test]
    fn who_leaves_the_room_takes_his_voices_along() {
        let mut table = VoiceTable::new("me");
        table.replace(&[source(1, "a"), source(2, "b")]);
        table.owner_left("a");
        assert_eq!(owners(&table), [(2, "b".to_owned())]);
        table.remove(&[source(2, "a")]);
        assert_eq!(owners(&table), [(2, "b".to_owned())], "not his to remove");
        table.replace(&[source(9, "b")]);
        assert_eq!(owners(&table), [(9, "b".to_owned())]);
    }

    #[test]
    fn a_crowd_is_heard_up_to_the_cap() {
        let mut table = VoiceTable::new("me");
        let crowd: Vec<Source> = (0..1_000).map(|ssrc| source(ssrc, &format!("n{ssrc}"))).collect();
        crowd.iter().for_each(|one| table.add(std::slice::from_ref(one)));
        assert_eq!((table.voices().count(), table.refused()), (JITSI_SOURCES_MAX, 700));
    }

    #[test]
    fn lists_of_sources_survive_reading_and_writing() {
        let mut lists = 0;
        for name in capture::names() {
            for stanza in Capture::stanzas(&name).entries.iter().filter_map(Entry::value) {
                let jingle = stanza.get_child("jingle", ns::JINGLE);
                let json = jingle.and_then(|it| it.get_child("json-message", ns::JITMEET));
                let Some(text) = json.map(|it| it.text()) else { continue };
                let mut sources = read_json(&text).unwrap_or_else(|| panic!("{name}: {text}"));
                let mut again = read_json(&write_json(&sources)).expect("our own writing");
                sources.sort();
                again.sort();
                assert_eq!(sources, again, "{name}");
                lists += 1;
            }
        }
        assert!(lists > 30, "{lists}");
    }

    #[test]
    fn presence_says_who_is_muted() {
        let info = r#"{"a-a0": {"muted": true}, "a-v1": {"muted": false, "videoType": "desktop"}, "x": 3}"#;
        let mut table = VoiceTable::new("me");
        table.set_states("a", read_source_info(info));
        assert!(table.state("a", "a-a0").is_some_and(|it| it.muted));
        let desktop = table.state("a", "a-v1").and_then(|it| it.video_type.as_deref());
        assert_eq!(desktop, Some("desktop"));
        assert_eq!(table.state("b", "b-a0"), None);
        assert!(read_source_info("[]").is_empty() && read_source_info("{").is_empty());
    }
}
