//! Namespaces of what we read and write.

/// Stanzas themselves.
pub const CLIENT: &str = "jabber:client";
/// Stream headers and features.
pub const STREAM: &str = "http://etherx.jabber.org/streams";
/// Conditions inside an `<error>` (RFC 6120 §8.3.3).
pub const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// Jingle (XEP-0166).
pub const JINGLE: &str = "urn:xmpp:jingle:1";
/// RTP sessions in Jingle (XEP-0167).
pub const JINGLE_RTP: &str = "urn:xmpp:jingle:apps:rtp:1";
/// RTCP feedback (XEP-0293).
pub const JINGLE_RTCP_FB: &str = "urn:xmpp:jingle:apps:rtp:rtcp-fb:0";
/// RTP header extensions (XEP-0294).
pub const JINGLE_HDREXT: &str = "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0";
/// Sources (XEP-0339).
pub const JINGLE_SSMA: &str = "urn:xmpp:jingle:apps:rtp:ssma:0";
/// Grouping of contents (XEP-0338).
pub const JINGLE_GROUPING: &str = "urn:xmpp:jingle:apps:grouping:0";
/// DTLS-SRTP fingerprints (XEP-0320).
pub const JINGLE_DTLS: &str = "urn:xmpp:jingle:apps:dtls:0";
/// ICE-UDP transport (XEP-0176).
pub const JINGLE_ICE_UDP: &str = "urn:xmpp:jingle:transports:ice-udp:1";
/// SCTP over DTLS (XEP-0343).
pub const JINGLE_SCTP: &str = "urn:xmpp:jingle:transports:dtls-sctp:1";
/// Jitsi: owners of sources, JSON in stanzas, lobby.
pub const JITMEET: &str = "http://jitsi.org/jitmeet";
/// Jitsi: the bridge's WebSocket.
pub const COLIBRI: &str = "http://jitsi.org/protocol/colibri";
/// Jitsi: conference requests, bridge sessions.
pub const FOCUS: &str = "http://jitsi.org/protocol/focus";
/// Jitsi: those who join are muted at first.
pub const START_MUTED: &str = "http://jitsi.org/jitmeet/start-muted";
/// Conditions of Jingle inside an `<error>`.
pub const JINGLE_ERRORS: &str = "urn:xmpp:jingle:errors:1";
