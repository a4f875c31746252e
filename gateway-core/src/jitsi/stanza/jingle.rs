//! `<jingle>` (XEP-0166, XEP-0167) as Jicofo speaks it: sessions, transports, sources, restarts.
//!
//! Contents are read for what a leg of sound needs; pictures keep their payload types, data its SCTP port. Unknown
//! elements and attributes are ignored, long lists are cut at their caps.

use minidom::Element;

use super::build::{Building, element};
use super::sources::{self, MediaKind, Source};
use super::transport::IceTransport;
use super::{flag, ns, number, short, word};
use crate::base::limits::{JINGLE_CONTENTS_MAX, JINGLE_FORMATS_MAX, JITSI_SOURCES_MAX};

/// One `<jingle>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jingle {
    /// What it does.
    pub action: Action,
    /// Session. Whoever knows it can end it: not for logs.
    pub sid: String,
    /// Who began the session, where it is said.
    pub initiator: Option<String>,
    /// Who answers, where it is said.
    pub responder: Option<String>,
    /// Contents, at most [`JINGLE_CONTENTS_MAX`].
    pub contents: Vec<Content>,
    /// Names of the contents that share one transport.
    pub bundle: Vec<String>,
    /// The bridge's session it is about.
    pub bridge_session: Option<BridgeSession>,
    /// Why a session ends.
    pub reason: Option<Reason>,
    /// Sources told as JSON; those told as XML are in their contents.
    pub json_sources: Option<Vec<Source>>,
    /// Who joins is muted at first.
    pub start_muted: Option<StartMuted>,
}

/// What a `<jingle>` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Offers a session.
    SessionInitiate,
    /// Takes it.
    SessionAccept,
    /// Ends it.
    SessionTerminate,
    /// Says something about it: an ICE restart is asked for.
    SessionInfo,
    /// Candidates, or new ICE credentials.
    TransportInfo,
    /// Offers another transport for the same session.
    TransportReplace,
    /// Takes it.
    TransportAccept,
    /// Does not.
    TransportReject,
    /// New sources.
    SourceAdd,
    /// Sources that are gone.
    SourceRemove,
}

impl Action {
    const ALL: [Self; 10] = [
        Self::SessionInitiate,
        Self::SessionAccept,
        Self::SessionTerminate,
        Self::SessionInfo,
        Self::TransportInfo,
        Self::TransportReplace,
        Self::TransportAccept,
        Self::TransportReject,
        Self::SourceAdd,
        Self::SourceRemove,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::SessionInitiate => "session-initiate",
            Self::SessionAccept => "session-accept",
            Self::SessionTerminate => "session-terminate",
            Self::SessionInfo => "session-info",
            Self::TransportInfo => "transport-info",
            Self::TransportReplace => "transport-replace",
            Self::TransportAccept => "transport-accept",
            Self::TransportReject => "transport-reject",
            Self::SourceAdd => "source-add",
            Self::SourceRemove => "source-remove",
        }
    }
}

/// One `<content>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Its name: `audio`, `video`, `data`.
    pub name: String,
    /// `initiator` or `responder`; missing in what Jicofo says of sources.
    pub creator: Option<String>,
    /// `both` and the like.
    pub senders: Option<String>,
    /// RTP, if it is that.
    pub description: Option<Description>,
    /// Its transport.
    pub transport: Option<IceTransport>,
}

/// The RTP `<description>` of a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Sound or picture.
    pub media: MediaKind,
    /// Longest packet, in milliseconds.
    pub maxptime: Option<u16>,
    /// Payload types, best first.
    pub payload_types: Vec<PayloadType>,
    /// Header extensions.
    pub extensions: Vec<HeaderExtension>,
    /// RTP and RTCP share one port.
    pub rtcp_mux: bool,
    /// Sources, where they are told as XML.
    pub sources: Vec<Source>,
}

/// A codec under its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadType {
    /// RTP payload type, 0 to 127.
    pub id: u8,
    /// Name of the encoding, for example `opus`.
    pub name: String,
    /// RTP clock, in Hz.
    pub clock_rate: u32,
    /// Channels, where it is said.
    pub channels: Option<u8>,
    /// Format parameters: name and value.
    pub parameters: Vec<(String, String)>,
    /// RTCP feedback: type and subtype.
    pub feedback: Vec<(String, Option<String>)>,
}

/// A header extension (RFC 8285) under its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderExtension {
    /// 1 to 14 in one-byte form.
    pub id: u8,
    /// What it is.
    pub uri: String,
}

/// Audio levels (RFC 6464).
pub const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
/// Transport-wide congestion control.
pub const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// The bridge's session, and a wish about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeSession {
    /// Its name.
    pub id: Option<String>,
    /// Region of the bridge.
    pub region: Option<String>,
    /// In a session-terminate: offer a new one.
    pub restart: bool,
    /// In a session-info: restart ICE in place.
    pub ice_restart: bool,
}

/// Why a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// One of XEP-0166 §7.4, for example `success`, `expired`, `connectivity-error`.
    pub condition: String,
    /// Words, for example `moving` or `Idle session timeout`.
    pub text: Option<String>,
}

/// Whether those who join are muted at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartMuted {
    /// Sound.
    pub audio: bool,
    /// Picture.
    pub video: bool,
}

/// A `<jingle>` that cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JingleFault {
    /// No session is named.
    #[error("no sid")]
    NoSession,
    /// Jingle has this action, we have no use for it.
    #[error("an action that is not supported")]
    UnknownAction,
}

impl Jingle {
    /// An act of a session, with nothing in it.
    pub fn new(action: Action, sid: &str) -> Self {
        Self {
            action,
            sid: sid.to_owned(),
            initiator: None,
            responder: None,
            contents: Vec::new(),
            bundle: Vec::new(),
            bridge_session: None,
            reason: None,
            json_sources: None,
            start_muted: None,
        }
    }

    /// Reads a `<jingle>`.
    pub fn read(jingle: &Element) -> Result<Self, JingleFault> {
        let sid = word(jingle, "sid").ok_or(JingleFault::NoSession)?;
        let action = jingle.attr("action").unwrap_or_default();
        let action = Action::ALL.into_iter().find(|it| it.name() == action);
        let contents = jingle.children().filter(|it| it.is("content", ns::JINGLE));
        let group = jingle.children().find(|it| {
            it.is("group", ns::JINGLE_GROUPING) && it.attr("semantics") == Some("BUNDLE")
        });
        let bundled =
            group.into_iter().flat_map(Element::children).filter_map(|it| word(it, "name"));
        let start_muted = jingle.get_child("startmuted", ns::START_MUTED);
        let json = jingle.get_child("json-message", ns::JITMEET);
        Ok(Self {
            action: action.ok_or(JingleFault::UnknownAction)?,
            sid,
            initiator: word(jingle, "initiator"),
            responder: word(jingle, "responder"),
            contents: contents.filter_map(Content::read).take(JINGLE_CONTENTS_MAX).collect(),
            bundle: bundled.take(JINGLE_CONTENTS_MAX).collect(),
            bridge_session: jingle.get_child("bridge-session", ns::FOCUS).map(BridgeSession::read),
            reason: jingle.get_child("reason", ns::JINGLE).and_then(Reason::read),
            json_sources: json.and_then(|it| sources::read_json(&it.text())),
            start_muted: start_muted
                .map(|it| StartMuted { audio: flag(it, "audio"), video: flag(it, "video") }),
        })
    }

    /// The element.
    pub fn write(&self) -> Element {
        let bundle = (!self.bundle.is_empty()).then(|| {
            let names = self.bundle.iter();
            let names = names.map(|it| element("content", ns::JINGLE_GROUPING).attr("name", it));
            element("group", ns::JINGLE_GROUPING).attr("semantics", "BUNDLE").children(names)
        });
        let json = self
            .json_sources
            .as_deref()
            .map(|list| element("json-message", ns::JITMEET).text(&sources::write_json(list)));
        let start_muted = self.start_muted.map(|it| {
            element("startmuted", ns::START_MUTED).attr("audio", it.audio).attr("video", it.video)
        });
        element("jingle", ns::JINGLE)
            .attr("action", self.action.name())
            .attr("sid", &self.sid)
            .maybe("initiator", self.initiator.as_ref())
            .maybe("responder", self.responder.as_ref())
            .children(self.contents.iter().map(Content::write))
            .children(bundle)
            .children(start_muted)
            .children(self.reason.as_ref().map(Reason::write))
            .children(self.bridge_session.as_ref().map(BridgeSession::write))
            .children(json)
            .build()
    }

    /// The content of that kind.
    pub fn media(&self, kind: MediaKind) -> Option<(&Content, &Description)> {
        let described = self.contents.iter().filter_map(|it| Some((it, it.description.as_ref()?)));
        described.into_iter().find(|(_, description)| description.media == kind)
    }

    /// All sources it tells, in either way, at most [`JITSI_SOURCES_MAX`] of each kind and way.
    pub fn sources(&self) -> Vec<Source> {
        let descriptions = self.contents.iter().filter_map(|it| it.description.as_ref());
        let xml = descriptions.flat_map(|it| &it.sources);
        xml.chain(self.json_sources.iter().flatten()).cloned().collect()
    }

    /// The transport: with BUNDLE each content has the same. The bridge's SCTP port may stand in another content.
    pub fn transport(&self) -> Option<IceTransport> {
        let mut all = self.contents.iter().filter_map(|it| it.transport.as_ref());
        let mut first = all.next()?.clone();
        for other in all {
            first.sctp_port = first.sctp_port.or(other.sctp_port);
        }
        Some(first)
    }
}

impl Content {
    fn read(content: &Element) -> Option<Self> {
        let transport = content.get_child("transport", ns::JINGLE_ICE_UDP);
        let description = content.get_child("description", ns::JINGLE_RTP);
        Some(Self {
            name: word(content, "name")?,
            creator: word(content, "creator"),
            senders: word(content, "senders"),
            description: description.and_then(Description::read),
            transport: transport.map(IceTransport::read),
        })
    }

    fn write(&self) -> Building {
        element("content", ns::JINGLE)
            .attr("name", &self.name)
            .maybe("creator", self.creator.as_ref())
            .maybe("senders", self.senders.as_ref())
            .children(self.description.as_ref().map(Description::write))
            .children(self.transport.as_ref().map(IceTransport::write))
    }
}

impl Description {
    fn read(description: &Element) -> Option<Self> {
        let media = MediaKind::from_name(description.attr("media")?)?;
        let children = |name, namespace| {
            description.children().filter(move |it: &&Element| it.is(name, namespace))
        };
        let payload_types = children("payload-type", ns::JINGLE_RTP).filter_map(PayloadType::read);
        let extensions =
            children("rtp-hdrext", ns::JINGLE_HDREXT).filter_map(HeaderExtension::read);
        let sources = children("source", ns::JINGLE_SSMA).filter_map(|it| Source::read(it, media));
        Some(Self {
            media,
            maxptime: number(description, "maxptime"),
            payload_types: payload_types.take(JINGLE_FORMATS_MAX).collect(),
            extensions: extensions.take(JINGLE_FORMATS_MAX).collect(),
            rtcp_mux: description.get_child("rtcp-mux", ns::JINGLE_RTP).is_some(),
            sources: sources.take(JITSI_SOURCES_MAX).collect(),
        })
    }

    fn write(&self) -> Building {
        let mux = self.rtcp_mux.then(|| element("rtcp-mux", ns::JINGLE_RTP));
        element("description", ns::JINGLE_RTP)
            .attr("media", self.media.name())
            .maybe("maxptime", self.maxptime)
            .children(self.payload_types.iter().map(PayloadType::write))
            .children(self.extensions.iter().map(HeaderExtension::write))
            .children(mux)
            .children(self.sources.iter().map(Source::write))
    }

    /// The payload type of a codec, by name without case and by RTP clock.
    pub fn codec(&self, name: &str, clock_rate: u32) -> Option<&PayloadType> {
        let fits =
            |it: &&PayloadType| it.name.eq_ignore_ascii_case(name) && it.clock_rate == clock_rate;
        self.payload_types.iter().find(fits)
    }

    /// The number of a header extension.
    pub fn extension(&self, uri: &str) -> Option<u8> {
        self.extensions.iter().find(|it| it.uri == uri).map(|it| it.id)
    }
}

impl PayloadType {
    fn read(format: &Element) -> Option<Self> {
        let children = |name| format.children().filter(move |it: &&Element| it.name() == name);
        let parameter = |it: &Element| Some((word(it, "name")?, word(it, "value")?));
        let feedback = |it: &Element| Some((word(it, "type")?, word(it, "subtype")));
        Some(Self {
            id: number(format, "id").filter(|id| *id < 128)?,
            name: word(format, "name")?,
            clock_rate: number(format, "clockrate")?,
            channels: number(format, "channels"),
            parameters: children("parameter")
                .filter_map(parameter)
                .take(JINGLE_FORMATS_MAX)
                .collect(),
            feedback: children("rtcp-fb").filter_map(feedback).take(JINGLE_FORMATS_MAX).collect(),
        })
    }

    fn write(&self) -> Building {
        let parameters = self.parameters.iter().map(|(name, value)| {
            element("parameter", ns::JINGLE_RTP).attr("name", name).attr("value", value)
        });
        let feedback = self.feedback.iter().map(|(kind, subtype)| {
            let feedback = element("rtcp-fb", ns::JINGLE_RTCP_FB).attr("type", kind);
            feedback.maybe("subtype", subtype.as_ref())
        });
        element("payload-type", ns::JINGLE_RTP)
            .attr("id", self.id)
            .attr("name", &self.name)
            .attr("clockrate", self.clock_rate)
            .maybe("channels", self.channels)
            .children(parameters)
            .children(feedback)
    }
}

impl HeaderExtension {
    fn read(extension: &Element) -> Option<Self> {
        Some(Self { id: number(extension, "id")?, uri: word(extension, "uri")? })
    }

    fn write(&self) -> Building {
        element("rtp-hdrext", ns::JINGLE_HDREXT).attr("id", self.id).attr("uri", &self.uri)
    }
}

impl BridgeSession {
    fn read(session: &Element) -> Self {
        Self {
            id: word(session, "id"),
            region: word(session, "region"),
            restart: flag(session, "restart"),
            ice_restart: flag(session, "ice-restart"),
        }
    }

    fn write(&self) -> Building {
        element("bridge-session", ns::FOCUS)
            .maybe("id", self.id.as_ref())
            .maybe("region", self.region.as_ref())
            .maybe("restart", self.restart.then_some(true))
            .maybe("ice-restart", self.ice_restart.then_some(true))
    }
}

impl Reason {
    fn read(reason: &Element) -> Option<Self> {
        let condition = reason.children().find(|it| it.name() != "text")?;
        let text = reason.get_child("text", ns::JINGLE).and_then(|it| short(&it.text()));
        Some(Self { condition: short(condition.name())?, text })
    }

    fn write(&self) -> Building {
        let text = self.text.as_ref().map(|text| element("text", ns::JINGLE).text(text));
        let condition = element(&self.condition, ns::JINGLE);
        element("reason", ns::JINGLE).child(condition).children(text)
    }
}
