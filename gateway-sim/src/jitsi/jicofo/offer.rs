//! What the focus offers: the bridge's transport, codecs, the sources of the others.

use gateway_core::base::pii::Pii;
use gateway_core::jitsi::stanza::jingle::{
    AUDIO_LEVEL, Action, BridgeSession, Content, Description, HeaderExtension, Jingle, PayloadType,
    StartMuted,
};
use gateway_core::jitsi::stanza::ns;
use gateway_core::jitsi::stanza::sources::MediaKind;
use gateway_core::jitsi::stanza::transport::{
    Candidate, CandidateKind, Credentials, Fingerprint, Setup,
};

use super::super::bridge::{LEVEL_EXTENSION, SCTP_PORT};
use super::*;

impl JitsiServer {
    /// Offers a session.
    pub(super) fn offer(&mut self, who: &Endpoint) {
        let sid = self.rng.token(13);
        self.offer_as(who, Action::SessionInitiate, sid);
    }

    /// Offers a session, or another transport for one.
    pub(super) fn offer_as(&mut self, who: &Endpoint, action: Action, sid: String) {
        let Some(client) = self.occupant(who).map(|it| it.client) else { return };
        let port = self.next_port;
        self.next_port += 1;
        let transport = self.bridge_transport(port, Setup::ActPass);
        let json = self.wants_json(who);
        let sources: Vec<Source> = self.sources_for(who);
        let description = audio_offer(if json { Vec::new() } else { sources.clone() });
        let content = Content {
            name: "audio".to_owned(),
            creator: Some("initiator".to_owned()),
            senders: Some("both".to_owned()),
            description: Some(description),
            transport: Some(transport.clone()),
        };
        let channel = self.wants(who, ns::JINGLE_SCTP).then(|| data_content(&transport));
        let contents: Vec<Content> = [content].into_iter().chain(channel).collect();
        let bridge = self.rooms.get(&who.room).map(|it| it.bridge_session.clone());
        let starts_muted = self.rooms.get(&who.room).is_some_and(|it| it.starts_muted);
        let jingle = Jingle {
            initiator: Some(FOCUS_JID.to_owned()),
            bundle: contents.iter().map(|it| it.name.clone()).collect(),
            contents,
            start_muted: starts_muted.then_some(StartMuted { audio: true, video: true }),
            bridge_session: Some(BridgeSession { id: bridge, ..Default::default() }),
            json_sources: json.then_some(sources),
            ..Jingle::new(action, &sid)
        };
        if let Some(occupant) = self.occupant_mut(who) {
            occupant.session = Some(Session { sid, port, accepted: false, generation: 0 });
        }
        self.order(BridgeOrder::Allocate { endpoint: who.clone(), port });
        self.focus_set(client, &who.room, jingle.write());
    }

    pub(super) fn wants_json(&self, who: &Endpoint) -> bool {
        self.wants(who, "http://jitsi.org/json-encoded-sources")
    }

    fn wants(&self, who: &Endpoint, feature: &str) -> bool {
        matches!(self.occupant(who).map(|it| &it.features),
            Some(Features::Known(features)) if features.iter().any(|it| it == feature))
    }

    /// Sources of the others, and the bridge's own.
    fn sources_for(&self, who: &Endpoint) -> Vec<Source> {
        let own = Source {
            owner: Some("jvb".to_owned()),
            name: Some("jvb-a0".to_owned()),
            msid: Some("mixedmslabel mixedlabelaudio0".to_owned()),
            ..Source::audio(BRIDGE_SSRC)
        };
        let room = self.rooms.get(&conference_of(&who.room));
        let others =
            room.into_iter().flat_map(|it| &it.occupants).filter(|(nick, _)| **nick != who.nick);
        others.flat_map(|(_, it)| it.sources.clone()).chain([own]).collect()
    }

    /// What somebody says he sends, as Jicofo passes it on.
    pub(super) fn owned(&self, who: &Endpoint, jingle: &Jingle) -> Vec<Source> {
        let own = |source: Source| Source {
            owner: Some(who.nick.clone()),
            name: source.name.or_else(|| Some(format!("{}-a0", who.nick))),
            cname: None,
            ..source
        };
        jingle.sources().into_iter().map(own).collect()
    }

    pub(super) fn used(&self, who: &Endpoint, sources: &[Source]) -> Option<u32> {
        let others = self.sources_for(who);
        let used = |it: &&Source| others.iter().any(|other| other.ssrc == it.ssrc);
        sources.iter().find(used).map(|it| it.ssrc)
    }

    pub(super) fn bridge_transport(&mut self, port: u16, setup: Setup) -> IceTransport {
        let credentials =
            Credentials { ufrag: self.rng.token(14), password: Pii::new(self.rng.token(26)) };
        IceTransport {
            credentials: Some(credentials),
            fingerprints: vec![Fingerprint {
                hash: "sha-256".to_owned(),
                value: BRIDGE_FINGERPRINT.to_owned(),
                setup: Some(setup),
            }],
            candidates: vec![Candidate {
                ip: BRIDGE_IP.into(),
                port,
                kind: CandidateKind::Host,
                component: 1,
                protocol: "udp".to_owned(),
                priority: 2_130_706_431,
                foundation: "1".to_owned(),
                generation: 0,
                id: self.rng.token(24),
                network: 0,
                related: None,
            }],
            ..IceTransport::default()
        }
    }
}

pub(super) fn audio_offer(sources: Vec<Source>) -> Description {
    let parameter = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let payload_type = |id, name: &str, clock_rate, channels, parameters| PayloadType {
        id,
        name: name.to_owned(),
        clock_rate,
        channels,
        parameters,
        feedback: Vec::new(),
    };
    let opus = vec![parameter("minptime", "10"), parameter("useinbandfec", "1")];
    let extension = |id, uri: &str| HeaderExtension { id, uri: uri.to_owned() };
    Description {
        media: MediaKind::Audio,
        maxptime: Some(60),
        payload_types: vec![
            payload_type(111, "opus", 48_000, Some(2), opus),
            payload_type(126, "telephone-event", 8_000, None, vec![]),
        ],
        extensions: vec![
            extension(LEVEL_EXTENSION, AUDIO_LEVEL),
            extension(10, "urn:ietf:params:rtp-hdrext:sdes:mid"),
        ],
        rtcp_mux: true,
        sources,
    }
}

/// The content of the bridge channel over SCTP, on the transport that all contents share.
fn data_content(transport: &IceTransport) -> Content {
    Content {
        name: "data".to_owned(),
        creator: Some("initiator".to_owned()),
        senders: Some("both".to_owned()),
        description: None,
        transport: Some(IceTransport { sctp_port: Some(SCTP_PORT), ..transport.clone() }),
    }
}

/// Address of the bridge; each endpoint has a port of its own.
pub const BRIDGE_IP: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 77, 0, 1);
/// Fingerprint that the offers tell. The plain transport of simulations does not look at it.
const BRIDGE_FINGERPRINT: &str = "87:EB:33:02:F0:86:E1:C2:0F:53:23:66:C5:DB:3C:B5:5C:28:56:30:EA:E0:3F:43:A6:77:FE:B2:A7:3B:6B:44";
const BRIDGE_SSRC: u32 = 2_378_085_434;
