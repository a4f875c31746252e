//! What we say within a session: the accept, new ICE credentials, another source.

use super::{Answer, JingleConfig, SessionSerial};
use crate::jitsi::stanza::jingle::{
    Action, Content, Description, HeaderExtension, Jingle, PayloadType,
};
use crate::jitsi::stanza::sources::{MediaKind, Source};
use crate::jitsi::stanza::transport::IceTransport;

/// What we must remember of an offer to answer it and to speak of its session later.
#[derive(Debug)]
pub struct Known {
    pub serial: SessionSerial,
    pub sid: String,
    pub bridge_session: Option<String>,
    /// It came as a transport-replace.
    replaces_transport: bool,
    /// Name of the content of sound.
    audio: String,
    /// Name of the content with the bridge channel.
    data: Option<String>,
    payload_types: Vec<PayloadType>,
    extensions: Vec<HeaderExtension>,
}

impl Known {
    pub fn new(serial: SessionSerial, jingle: &Jingle) -> Self {
        let audio = jingle.media(MediaKind::Audio);
        let codecs = audio.map(|(_, audio)| {
            [("opus", 48_000), ("telephone-event", 8_000)]
                .map(|(name, rate)| audio.codec(name, rate))
        });
        let has_channel = |it: &&Content| {
            it.description.is_none()
                && it.transport.as_ref().is_some_and(|it| it.sctp_port.is_some())
        };
        Self {
            serial,
            sid: jingle.sid.clone(),
            bridge_session: jingle.bridge_session.as_ref().and_then(|it| it.id.clone()),
            replaces_transport: false,
            audio: audio.map_or_else(|| "audio".to_owned(), |(content, _)| content.name.clone()),
            data: jingle.contents.iter().find(has_channel).map(|it| it.name.clone()),
            payload_types: codecs.into_iter().flatten().flatten().cloned().collect(),
            extensions: audio.map(|(_, audio)| audio.extensions.clone()).unwrap_or_default(),
        }
    }

    pub fn replacing(self) -> Self {
        Self { replaces_transport: true, ..self }
    }

    /// The session-accept, or the transport-accept.
    pub fn accept(&self, config: &JingleConfig, answer: &Answer) -> Jingle {
        let action = match self.replaces_transport {
            true => Action::TransportAccept,
            false => Action::SessionAccept,
        };
        let understood = |it: &&HeaderExtension| config.extensions.contains(&it.uri);
        // RTCP feedback is about congestion control: it goes with its extension, or not at all.
        let payload_type = |it: &PayloadType| PayloadType { feedback: Vec::new(), ..it.clone() };
        let description = Description {
            media: MediaKind::Audio,
            maxptime: None,
            payload_types: self.payload_types.iter().map(payload_type).collect(),
            extensions: self.extensions.iter().filter(understood).cloned().collect(),
            rtcp_mux: true,
            sources: answer.source.iter().cloned().collect(),
        };
        let transport = IceTransport { sctp_port: None, ..answer.transport.clone() };
        let audio = content(&self.audio, Some(description), transport);
        let channel = self.data.as_ref().filter(|_| answer.transport.sctp_port.is_some());
        let data = channel.map(|name| content(name, None, answer.transport.clone()));
        let contents: Vec<Content> = [audio].into_iter().chain(data).collect();
        Jingle {
            responder: Some(config.me.to_string()),
            bundle: contents.iter().map(|it| it.name.clone()).collect(),
            contents,
            ..Jingle::new(action, &self.sid)
        }
    }

    /// Our new ICE credentials, tagged with the generation they answer.
    pub fn transport_info(&self, transport: IceTransport) -> Jingle {
        let content = Content {
            name: self.audio.clone(),
            creator: Some("initiator".to_owned()),
            transport: Some(transport),
            ..Content::default()
        };
        Jingle { contents: vec![content], ..Jingle::new(Action::TransportInfo, &self.sid) }
    }

    /// A source-remove and a source-add.
    pub fn change_source(&self, remove: &Source, add: &Source) -> (Jingle, Jingle) {
        let told = |action, source: &Source| {
            let description = Description {
                media: MediaKind::Audio,
                maxptime: None,
                payload_types: Vec::new(),
                extensions: Vec::new(),
                rtcp_mux: false,
                sources: vec![source.clone()],
            };
            let content = Content {
                name: self.audio.clone(),
                creator: Some("initiator".to_owned()),
                description: Some(description),
                ..Content::default()
            };
            Jingle { contents: vec![content], ..Jingle::new(action, &self.sid) }
        };
        (told(Action::SourceRemove, remove), told(Action::SourceAdd, add))
    }
}

fn content(name: &str, description: Option<Description>, transport: IceTransport) -> Content {
    Content {
        name: name.to_owned(),
        creator: Some("initiator".to_owned()),
        senders: Some("both".to_owned()),
        description,
        transport: Some(transport),
    }
}
