//! Floor 5, the heart: inputs in, calls, outputs out. Read this second, after the crate page.
//! (Stub of the interface: the `heart` part replaces it; io, the daemon and the simulator rely on these signatures.)

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::ids::{CallKey, QuestionId, ShardId, TrunkId};
use crate::base::pii::Pii;
use crate::base::rng::Rng;
use crate::base::time::{WallClock, Why};
use crate::call::{AnswerEnd, CallRecord, Digits, Question, Route};
use crate::leg::backend::Backend;
use crate::leg::end_reason::EndReason;
use crate::leg::media::{FromMedia, ToMedia};
use crate::leg::trunk::signal::SdpPolicy;
use crate::media::clip::prompt::PromptId;
use crate::media::clip::{ClipLibrary, Language};
use crate::sip::endpoint::{
    ApiMisuse, EndpointConfig, InviteFacts, TransportInput, TransportOutput,
};

/// Settings of the gateway.
pub struct GatewayConfig {
    /// SIP.
    pub endpoint: EndpointConfig,
    /// SDP, per trunk.
    pub sdp: Vec<SdpPolicy>,
    /// First and last RTP port; even ports carry RTP, the odd one above RTCP.
    pub rtp_ports: (u16, u16),
    /// How long a freed port pair rests before it is used again.
    pub port_rest: Duration,
    /// Media shards.
    pub shards: u16,
    /// No RTP for this long ends a call.
    pub media_timeout: Duration,
    /// Longest call.
    pub call_length_max: Duration,
    /// Clips.
    pub clips: Arc<ClipLibrary>,
    /// Conference backends by name. The embedded rooms are `room` and always there.
    pub backends: Vec<(String, Box<dyn Backend>)>,
}

/// From outside.
pub enum Input<'a> {
    /// SIP.
    Sip(TransportInput<'a>),
    /// A port pair asked for by [`Output::OpenMedia`] is bound (or not): the local RTP address.
    MediaOpened {
        /// Whose.
        call: CallKey,
        /// The local RTP address, or `None` when the port is taken: another one will be tried.
        bound: Option<SocketAddr>,
    },
    /// From a shard.
    FromMedia(ShardId, FromMedia),
    /// Wall time, about once a second.
    WallClock(WallClock),
}

/// To outside.
pub enum Output {
    /// SIP.
    Sip(TransportOutput),
    /// Bind an RTP/RTCP port pair for a call and hand it to the shard; answered by [`Input::MediaOpened`].
    OpenMedia {
        /// Whose.
        call: CallKey,
        /// Its shard.
        shard: ShardId,
        /// RTP address wanted; RTCP is the port above.
        local: SocketAddr,
    },
    /// Close the sockets of a call.
    CloseMedia {
        /// Whose.
        call: CallKey,
        /// Its shard.
        shard: ShardId,
    },
    /// To a shard.
    ToMedia(ShardId, ToMedia),
    /// To the owner (the daemon).
    Event(Event),
}

/// What the core tells or asks its owner.
#[derive(Debug)]
pub enum Event {
    /// A call came in: answer with [`Command::Route`], [`Command::Ask`], [`Command::Say`] or [`Command::Reject`].
    /// Without an answer within 10 s the call ends with `ServiceUnavailable`.
    RouteNeeded {
        /// The call.
        call: CallKey,
        /// The trunk.
        trunk: TrunkId,
        /// Facts of the INVITE.
        facts: Box<InviteFacts>,
    },
    /// The caller answered a question. Answer as for `RouteNeeded`.
    Answered {
        /// The call.
        call: CallKey,
        /// Which question.
        question: QuestionId,
        /// The digits.
        digits: Pii<Digits>,
        /// How it ended.
        end: AnswerEnd,
    },
    /// The call was answered (200 sent, or received for calls of ours).
    CallAnswered(CallKey),
    /// The caller is in the room.
    CallJoined(CallKey),
    /// The caller muted (or unmuted) himself.
    CallMuted(CallKey, bool),
    /// The caller raised or lowered his hand.
    HandRaised(CallKey, bool),
    /// A trunk went up (with its round trip) or down.
    TrunkState(TrunkId, Option<Duration>),
    /// The call is over: the only event of its end.
    CallEnded(Box<CallRecord>),
}

/// What the owner wants.
#[derive(Debug)]
pub enum Command {
    /// Into a room. Answers the call if it is not answered yet.
    Route {
        /// The call.
        call: CallKey,
        /// Where to.
        route: Box<Route>,
    },
    /// Ask the caller. Answers the call if it is not answered yet.
    Ask {
        /// The call.
        call: CallKey,
        /// What.
        question: Box<Question>,
    },
    /// Say words, then end the call.
    SayAndEnd {
        /// The call.
        call: CallKey,
        /// Words.
        words: Vec<PromptId>,
        /// Their language.
        language: Language,
        /// Why it ends.
        reason: EndReason,
    },
    /// End the call now: final response before the answer, words of the reason and BYE after it.
    End {
        /// The call.
        call: CallKey,
        /// Why.
        reason: EndReason,
    },
    /// Call out and join a room when answered.
    Dial {
        /// Trunk.
        trunk: TrunkId,
        /// Request-URI.
        target: String,
        /// From user.
        from_user: Pii<String>,
        /// Extra headers.
        headers: Vec<(String, Pii<String>)>,
        /// Room to join on answer.
        route: Box<Route>,
        /// Keys to send after the answer, with the pause before them (the test phone's PIN).
        keys: Option<(Duration, Digits)>,
    },
    /// Take no new calls.
    Drain,
}

/// The gateway.
pub struct Gateway {}

impl Gateway {
    /// A gateway without calls.
    pub fn new(config: GatewayConfig, now: Instant, rng: Rng) -> Self {
        let _ = (config, now, rng);
        Self {}
    }

    /// Something happened.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        let _ = (now, input);
    }

    /// The owner wants something. A command for a call that is gone is not an error: calls end at any time.
    pub fn command(
        &mut self,
        now: Instant,
        command: Command,
    ) -> Result<Option<CallKey>, ApiMisuse> {
        let _ = (now, command);
        Ok(None)
    }

    /// Due deadlines.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        None
    }
}
