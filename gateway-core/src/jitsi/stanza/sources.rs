//! Sources: SSRCs with owner and name, as XML (XEP-0339 with Jitsi's additions) and as Jitsi's compact JSON.
//!
//! Jicofo sends JSON to those who say `json-encoded-sources`, else XML; clients always send XML. Groups of SSRCs (FID,
//! SIM) concern video alone and are not read.
//!
//! ```text
//! {"sources":{"OWNER":[[video],[video groups],[audio],[audio groups]]}}   source: {"s":SSRC,"n":NAME,"m":MSID,"v":"d"}
//! ```

use std::collections::BTreeMap;

use minidom::Element;
use serde_json::{Map, Value, json};

use super::build::element;
use super::{ns, number, short, word};
use crate::base::limits::{JITSI_JSON_BYTES_MAX, JITSI_SOURCES_MAX};

/// One source of sound or picture.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// RTP source.
    pub ssrc: u32,
    /// Sound or picture.
    pub media: MediaKind,
    /// Endpoint (nick in the room) it belongs to; `jvb` is the bridge itself. Absent in what clients send.
    pub owner: Option<String>,
    /// Name, for example `1a2b3c4d-a0`.
    pub name: Option<String>,
    /// Stream and track in the browser's words.
    pub msid: Option<String>,
    /// Canonical name (RFC 3550 §6.5.1).
    pub cname: Option<String>,
    /// A shared screen.
    pub desktop: bool,
}

/// Sound or picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Picture.
    Video,
}

impl MediaKind {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }

    /// From what is written.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Audio, Self::Video].into_iter().find(|kind| kind.name() == name)
    }
}

impl Source {
    /// A source of sound with nothing but its number.
    pub fn audio(ssrc: u32) -> Self {
        Self {
            ssrc,
            media: MediaKind::Audio,
            owner: None,
            name: None,
            msid: None,
            cname: None,
            desktop: false,
        }
    }

    /// Reads a `<source>`. Its parameters may be in either of two namespaces: Jicofo writes that of RTP sessions.
    pub fn read(source: &Element, media: MediaKind) -> Option<Self> {
        let parameter = |name: &str| {
            let mut all = source.children().filter(|child| child.name() == "parameter");
            all.find(|child| child.attr("name") == Some(name)).and_then(|it| word(it, "value"))
        };
        Some(Self {
            ssrc: number(source, "ssrc")?,
            media,
            owner: source.get_child("ssrc-info", ns::JITMEET).and_then(|it| word(it, "owner")),
            name: word(source, "name"),
            msid: parameter("msid"),
            cname: parameter("cname"),
            desktop: source.attr("videoType") == Some("desktop"),
        })
    }

    /// The `<source>`.
    pub fn write(&self) -> Element {
        let owner = self.owner.as_ref();
        let parameter = |name, value: &Option<String>| {
            let parameter = element("parameter", ns::JINGLE_SSMA).attr("name", name);
            value.as_ref().map(|value| parameter.attr("value", value))
        };
        element("source", ns::JINGLE_SSMA)
            .attr("ssrc", self.ssrc)
            .maybe("name", self.name.as_ref())
            .maybe("videoType", self.desktop.then_some("desktop"))
            .children(owner.map(|owner| element("ssrc-info", ns::JITMEET).attr("owner", owner)))
            .children(parameter("cname", &self.cname))
            .children(parameter("msid", &self.msid))
            .build()
    }

    fn from_json(value: &Value, owner: &str, media: MediaKind) -> Option<Self> {
        let text = |key: &str| value.get(key)?.as_str().and_then(short);
        Some(Self {
            ssrc: u32::try_from(value.get("s")?.as_u64()?).ok()?,
            media,
            owner: Some(owner.to_owned()),
            name: text("n"),
            msid: text("m"),
            cname: None,
            desktop: text("v").as_deref() == Some("d"),
        })
    }

    fn to_json(&self) -> Value {
        let mut json = Map::new();
        json.insert("s".to_owned(), self.ssrc.into());
        let texts = [("n", self.name.as_deref()), ("m", self.msid.as_deref())];
        let texts = texts.into_iter().chain([("v", self.desktop.then_some("d"))]);
        for (key, text) in texts {
            if let Some(text) = text {
                json.insert(key.to_owned(), text.into());
            }
        }
        json.into()
    }
}

/// Reads the JSON of a `<json-message>`: at most [`JITSI_SOURCES_MAX`] of sound and as many of picture; what is no
/// source is left out. `None`: this is no list of sources.
pub fn read_json(text: &str) -> Option<Vec<Source>> {
    if text.len() > JITSI_JSON_BYTES_MAX {
        return None;
    }
    let json: Value = serde_json::from_str(text).ok()?;
    let owners = json.get("sources")?.as_object()?;
    let mut found = Vec::new();
    for (place, media) in [(0, MediaKind::Video), (2, MediaKind::Audio)] {
        let of_owner = |(owner, lists): (&String, &Value)| {
            let owner = short(owner)?;
            let list = lists.get(place)?.as_array()?;
            let sources = list.iter().filter_map(|it| Source::from_json(it, &owner, media));
            Some(sources.collect::<Vec<_>>())
        };
        found.extend(owners.iter().filter_map(of_owner).flatten().take(JITSI_SOURCES_MAX));
    }
    Some(found)
}

/// The JSON of these sources, as Jicofo writes it. A source without owner belongs to nobody and is left out.
pub fn write_json(sources: &[Source]) -> String {
    let mut owners: BTreeMap<&str, [Vec<Value>; 3]> = BTreeMap::new();
    for source in sources {
        let Some(owner) = &source.owner else { continue };
        let lists = owners.entry(owner).or_default();
        let [video, _groups, audio] = lists;
        match source.media {
            MediaKind::Audio => audio.push(source.to_json()),
            MediaKind::Video => video.push(source.to_json()),
        }
    }
    json!({ "sources": owners }).to_string()
}

/// What presence says of a source (`<SourceInfo>`): only what differs from "there and open" is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceState {
    /// Its owner muted it.
    pub muted: bool,
    /// `camera`, `desktop` and the like; none for sound.
    pub video_type: Option<String>,
}

/// Reads the JSON of a `<SourceInfo>`: states by name of the source.
pub fn read_source_info(text: &str) -> BTreeMap<String, SourceState> {
    let fits = text.len() <= JITSI_JSON_BYTES_MAX;
    let json: Value = fits.then(|| serde_json::from_str(text).ok()).flatten().unwrap_or_default();
    let state = |(name, value): (&String, &Value)| {
        let muted = value.get("muted").and_then(Value::as_bool).unwrap_or(false);
        let video_type = value.get("videoType").and_then(Value::as_str).and_then(short);
        Some((short(name)?, SourceState { muted, video_type }))
    };
    json.as_object().into_iter().flatten().filter_map(state).take(JITSI_SOURCES_MAX).collect()
}
