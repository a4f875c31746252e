//! What goes in and out of the Jingle machine: plain values.

use std::fmt;

use minidom::Element;

use crate::jitsi::stanza::iq;
use crate::jitsi::stanza::jingle::{
    AUDIO_LEVEL, HeaderExtension, Jingle, PayloadType, Reason, TRANSPORT_CC,
};
use crate::jitsi::stanza::sources::{MediaKind, Source};
use crate::jitsi::stanza::transport::{Candidate, IceTransport};

/// Number of a session of this leg: 1, 2, 3 ... A higher one has replaced a lower one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionSerial(pub u64);

impl fmt::Display for SessionSerial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "session {}", self.0)
    }
}

/// What our owner wants.
#[derive(Clone, Debug)]
pub enum JingleCommand {
    /// We are in the room: an offer must come soon, or [`JingleEvent::NoOffer`] does.
    ExpectOffer,
    /// Answers [`JingleEvent::Offered`] or [`JingleEvent::TransportReplaced`].
    Accept(Box<Answer>),
    /// Answers [`JingleEvent::IceRestarted`]: our new credentials and candidates.
    AnswerIceRestart {
        /// Which session.
        session: SessionSerial,
        /// With the generation of the event.
        transport: IceTransport,
    },
    /// Another SSRC instead of the one accepted.
    ChangeSource {
        /// Which session.
        session: SessionSerial,
        /// As it was accepted.
        remove: Box<Source>,
        /// From now on.
        add: Box<Source>,
    },
    /// Asks for new ICE credentials of the bridge, keys and SSRCs stay; as soon as the focus may be asked.
    RequestIceRestart(SessionSerial),
    /// Ends the session and asks for a new one; as soon as the focus may be asked.
    RequestRestart,
    /// Ends the session for good, with one of XEP-0166's reasons.
    Terminate(&'static str),
}

/// Our answer to an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which session.
    pub session: SessionSerial,
    /// Credentials, fingerprint with `setup`, candidates (may be none), SCTP port where the channel is wanted.
    pub transport: IceTransport,
    /// What we send: SSRC, name (`<nick>-a0`), msid, cname.
    pub source: Option<Source>,
}

/// From the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum JingleOutput {
    /// Send this.
    Send(Element),
    /// This happened.
    Event(JingleEvent),
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum JingleEvent {
    /// A new session: replaces the current one. Answer it with [`JingleCommand::Accept`].
    Offered(Box<Offer>),
    /// An offer that cannot carry sound; it was ended. Leaving and joining again may help.
    UselessOffer(OfferFault),
    /// The focus has taken our answer.
    Accepted(SessionSerial),
    /// It has not: the session is over if it refused, and may live if it only did not answer.
    AcceptFailed {
        /// Which session.
        session: SessionSerial,
        /// Why.
        failure: Failure,
    },
    /// More candidates of the bridge.
    Candidates {
        /// Which session.
        session: SessionSerial,
        /// They.
        candidates: Vec<Candidate>,
    },
    /// Another transport within the session, with all sources anew. Answer it with [`JingleCommand::Accept`].
    TransportReplaced(Box<Offer>),
    /// The bridge has new ICE credentials, perhaps because we asked. Answer with [`JingleCommand::AnswerIceRestart`].
    IceRestarted {
        /// Which session.
        session: SessionSerial,
        /// Has credentials and a generation.
        transport: IceTransport,
    },
    /// The ICE restart we asked for will not come: ask for a new session.
    IceRestartFailed(Failure),
    /// New sources.
    SourcesAdded {
        /// Which session.
        session: SessionSerial,
        /// They.
        sources: Vec<Source>,
    },
    /// Sources are gone. Nothing is said of those whose owner left the room.
    SourcesRemoved {
        /// Which session.
        session: SessionSerial,
        /// They.
        sources: Vec<Source>,
    },
    /// Our new source was refused.
    SourceRefused {
        /// Which session.
        session: SessionSerial,
        /// Why.
        failure: Failure,
    },
    /// The focus ended the session. Unless the reason is `expired` (we are alone), a new offer is waited for.
    Terminated {
        /// Which session.
        session: SessionSerial,
        /// Why.
        reason: Reason,
    },
    /// The new session we asked for will not come, and the old one is gone: repeat the conference request.
    RestartFailed(Failure),
    /// No offer in time: repeat the conference request.
    NoOffer,
}

/// Why something we asked for failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The focus said no.
    Refused(iq::Error),
    /// The focus said nothing in time.
    NoAnswer,
    /// There is no session to speak of.
    NoSession,
}

/// A session as it is offered: what a leg of sound needs of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which session.
    pub session: SessionSerial,
    /// Opus with its number and parameters.
    pub opus: PayloadType,
    /// Number of telephone-event at 8 kHz.
    pub telephone_event: Option<u8>,
    /// Header extensions.
    pub extensions: Vec<HeaderExtension>,
    /// ICE credentials, at least one fingerprint, candidates, bridge channel.
    pub transport: IceTransport,
    /// Name of the bridge's session.
    pub bridge_session: Option<String>,
    /// Region of the bridge.
    pub region: Option<String>,
    /// All sources so far, the bridge's own among them.
    pub sources: Vec<Source>,
    /// We shall start muted.
    pub start_muted: bool,
}

impl Offer {
    /// Reads what a session-initiate or transport-replace offers.
    pub fn read(session: SessionSerial, jingle: &Jingle) -> Result<Self, OfferFault> {
        let (_, audio) = jingle.media(MediaKind::Audio).ok_or(OfferFault::NoAudio)?;
        let transport = jingle.transport().ok_or(OfferFault::NoTransport)?;
        transport.credentials.as_ref().ok_or(OfferFault::NoTransport)?;
        if transport.fingerprints.is_empty() {
            return Err(OfferFault::NoFingerprint);
        }
        let bridge = jingle.bridge_session.clone().unwrap_or_default();
        Ok(Self {
            session,
            opus: audio.codec("opus", 48_000).ok_or(OfferFault::NoOpus)?.clone(),
            telephone_event: audio.codec("telephone-event", 8_000).map(|it| it.id),
            extensions: audio.extensions.clone(),
            transport,
            bridge_session: bridge.id,
            region: bridge.region,
            sources: jingle.sources(),
            start_muted: jingle.start_muted.is_some_and(|it| it.audio),
        })
    }

    /// Number of the audio level extension (RFC 6464).
    pub fn audio_level(&self) -> Option<u8> {
        self.extension(AUDIO_LEVEL)
    }

    /// Number of the transport-cc extension.
    pub fn transport_cc(&self) -> Option<u8> {
        self.extension(TRANSPORT_CC)
    }

    fn extension(&self, uri: &str) -> Option<u8> {
        self.extensions.iter().find(|it| it.uri == uri).map(|it| it.id)
    }
}

/// What an offer lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferFault {
    /// No content of sound: the focus has not read our features.
    #[error("no audio offered")]
    NoAudio,
    /// No Opus.
    #[error("no opus offered")]
    NoOpus,
    /// No ICE-UDP transport with credentials.
    #[error("no ICE transport offered")]
    NoTransport,
    /// No fingerprint.
    #[error("no DTLS fingerprint offered")]
    NoFingerprint,
}

/// Kinds of requests of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Accept,
    IceRestart,
    IceAnswer,
    Restart,
    Terminate,
    Sources,
}

crate::counters! {
    /// What the Jingle machine met.
    pub struct JingleCounters {
        /// Sessions offered by the focus.
        jingle_offers,
        /// Sessions offered by somebody else in the room, and refused.
        jingle_from_strangers,
        /// Requests about a session we do not have.
        jingle_unknown_session,
        /// Requests that cannot be followed.
        jingle_malformed,
        /// Requests of ours that were refused or not answered.
        jingle_requests_failed,
        /// Commands of our owner about a session that is no more.
        jingle_commands_stale,
    }
}
