//! What a session hears and what it tells the bridge about that: the voices it feeds, and the bridge channel.

use std::collections::BTreeMap;

use tracing::debug;

use super::{BridgeSession, Pending};
use crate::jitsi::bridge_channel::ChannelOutput;
use crate::jitsi::jingle::Offer;
use crate::jitsi::sources::Voice;
use crate::jitsi::stanza::channel::{AudioSubscription, BridgeMessage};
use crate::leg::backend::SocketOrder;
use crate::leg::jitsi::media::remote_source;
use crate::leg::jitsi::signal::session::{Hearing, SessionOutput, Whom};
use crate::leg::media::ConferenceCommand;
use crate::media::ingress::EarKey;
use crate::webrtc::TransportCommand;

impl BridgeSession {
    /// Where the bridge has a WebSocket instead of SCTP.
    pub(super) fn open_socket(&mut self, offer: &Offer) {
        let url = offer.transport.web_sockets.first();
        if let (None, Some(url)) = (offer.transport.sctp_port, url) {
            self.has_socket = true;
            self.put(SessionOutput::Socket(SocketOrder::Open(url.clone())));
        }
    }

    pub(super) fn close_channel(&mut self) {
        self.channel.closed();
        if std::mem::take(&mut self.has_socket) {
            self.put(SessionOutput::Socket(SocketOrder::Close));
        }
    }

    /// Feeds the voices that are wanted, and no others.
    pub(super) fn feed(&mut self) {
        while self.voices.poll_change().is_some() {}
        if self.half.is_none() || matches!(self.pending, Some(Pending::Offer { .. })) {
            return;
        }
        let Hearing { whom, own } = &self.hearing;
        let is_wanted = |voice: &Voice| match whom {
            Whom::All => true,
            Whom::Only(nick) => voice.owner == *nick,
            Whom::Nobody => false,
        };
        let wanted: BTreeMap<u32, (Voice, Option<EarKey>)> = self
            .voices
            .voices()
            .filter(|(_, voice)| is_wanted(voice))
            .map(|(ssrc, voice)| (ssrc, (voice.clone(), own.get(&voice.owner).copied())))
            .collect();
        let subscription = match whom {
            Whom::All => AudioSubscription::all(),
            Whom::Only(_) | Whom::Nobody => {
                let include = wanted.values().map(|(voice, _)| voice.name.clone()).collect();
                AudioSubscription { include, ..AudioSubscription::default() }
            }
        };
        self.channel.subscribe(subscription);
        let before = std::mem::replace(&mut self.fed, wanted.clone());
        // What became another's goes first: his last words do not run into hers.
        for (ssrc, _) in before.iter().filter(|(ssrc, it)| wanted.get(*ssrc) != Some(*it)) {
            self.conference(ConferenceCommand::RemoveSource { ssrc: *ssrc });
        }
        for (ssrc, (_, ear)) in wanted.iter().filter(|(ssrc, it)| before.get(*ssrc) != Some(*it)) {
            let source = remote_source(*ssrc, *ear);
            self.conference(ConferenceCommand::AddSource { ssrc: *ssrc, source });
        }
    }

    pub(super) fn channel_said(&mut self, output: ChannelOutput) {
        match output {
            ChannelOutput::Send(text) if self.has_socket => {
                self.put(SessionOutput::Socket(SocketOrder::Send(text)));
            }
            ChannelOutput::Send(text) => {
                self.transport(TransportCommand::SendChannel(text.into_bytes()));
            }
            ChannelOutput::Heard(BridgeMessage::AudioSources(mapped)) => self.voices.map(&mapped),
            ChannelOutput::Heard(_) => {}
            ChannelOutput::NoHello => debug!(leg = %self.leg, "the bridge channel says no hello"),
        }
    }
}
