//! The bridge channel of one leg: says hello, tells which voices are wanted, hears who speaks.
//!
//! Whether it runs over SCTP or a WebSocket is not known here. Sound works without any channel. What is wanted is told
//! again after each opening, because a new channel begins with everything.
//!
//!   Closed -> Greeting -> Open     opening: any -> Greeting     loss: any -> Closed

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tracing::debug;

use super::stanza::channel::{AudioSubscription, BridgeMessage, ClientMessage};
use crate::base::limits::OUTPUTS_PENDING_MAX;
use crate::base::time::Why;

/// The machine.
#[derive(Debug)]
pub struct BridgeChannel {
    state: State,
    wanted: AudioSubscription,
    outputs: VecDeque<ChannelOutput>,
    counters: ChannelCounters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    /// Waits for the bridge's hello, until then.
    Greeting(Instant),
    Open,
}

/// From the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum ChannelOutput {
    /// Send this text.
    Send(String),
    /// The bridge said something of use.
    Heard(BridgeMessage),
    /// It never said hello: the channel does not work. It may still.
    NoHello,
}

impl Default for BridgeChannel {
    fn default() -> Self {
        Self {
            state: State::Closed,
            wanted: AudioSubscription::all(),
            outputs: VecDeque::new(),
            counters: ChannelCounters::default(),
        }
    }
}

impl BridgeChannel {
    /// The transport under the channel opened.
    pub fn opened(&mut self, now: Instant) {
        self.enter(State::Greeting(now + HELLO_WAIT), "opened");
        self.send(&ClientMessage::ClientHello);
        // A new channel begins with everything: silence is the rule for the other legs of a room, so say it first.
        if self.wanted != AudioSubscription::all() {
            self.send(&ClientMessage::Subscribe(self.wanted.clone()));
        }
    }

    /// The transport under the channel is gone.
    pub fn closed(&mut self) {
        self.enter(State::Closed, "closed");
    }

    /// Which voices the bridge shall send: told at once, or when the channel opens.
    pub fn subscribe(&mut self, wanted: AudioSubscription) {
        if wanted == self.wanted {
            return;
        }
        self.wanted = wanted;
        if self.state != State::Closed {
            self.send(&ClientMessage::Subscribe(self.wanted.clone()));
        }
    }

    /// A message came.
    pub fn handle_message(&mut self, text: &str) {
        match BridgeMessage::read(text) {
            Err(_) => self.counters.bridge_messages_malformed += 1,
            Ok(BridgeMessage::ServerHello) => {
                if let State::Greeting(_) = self.state {
                    self.enter(State::Open, "hello");
                }
            }
            Ok(BridgeMessage::Other(_)) => self.counters.bridge_messages_ignored += 1,
            Ok(message) => self.put(ChannelOutput::Heard(message)),
        }
    }

    /// Due deadlines.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let State::Greeting(until) = self.state
            && until <= now
        {
            self.enter(State::Open, "no hello");
            self.put(ChannelOutput::NoHello);
        }
    }

    /// What to send and what was heard.
    pub fn poll_output(&mut self) -> Option<ChannelOutput> {
        self.outputs.pop_front()
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        match self.state {
            State::Greeting(until) => Some((until, Why("jitsi.bridge_hello"))),
            State::Closed | State::Open => None,
        }
    }

    /// Whether messages can be sent.
    pub fn is_up(&self) -> bool {
        self.state != State::Closed
    }

    /// What it met.
    pub fn counters(&self) -> ChannelCounters {
        self.counters
    }

    fn send(&mut self, message: &ClientMessage) {
        self.put(ChannelOutput::Send(message.write()));
    }

    fn put(&mut self, output: ChannelOutput) {
        debug_assert!(
            self.outputs.len() < OUTPUTS_PENDING_MAX,
            "the owner drains after each input"
        );
        self.outputs.push_back(output);
    }

    fn enter(&mut self, state: State, cause: &'static str) {
        debug!(from = ?self.state, to = ?state, cause);
        self.state = state;
    }
}

/// The bridge greets within a round trip.
const HELLO_WAIT: Duration = Duration::from_secs(10);

crate::counters! {
    /// What bridge channels met.
    pub struct ChannelCounters {
        /// Messages that cannot be read.
        bridge_messages_malformed,
        /// Messages of no use here (pictures, unknown classes).
        bridge_messages_ignored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitsi::capture::{self, Capture, Entry, Seen};

    fn drain(channel: &mut BridgeChannel) -> Vec<ChannelOutput> {
        std::iter::from_fn(|| channel.poll_output()).collect()
    }

    #[test]
    fn a_new_channel_hears_again_what_is_wanted() {
        let now = Instant::now();
        let mut channel = BridgeChannel::default();
        channel.subscribe(AudioSubscription::default());
        assert_eq!(drain(&mut channel), [], "nothing can be sent yet");
        let silence = r#"{"all":false,"colibriClass":"ReceiverAudioSubscription"}"#;
        for _ in 0..2 {
            channel.opened(now);
            let sent = drain(&mut channel);
            assert_eq!(sent[1..], [ChannelOutput::Send(silence.to_owned())]);
            channel.handle_message(r#"{"colibriClass":"ServerHello"}"#);
            assert_eq!((channel.is_up(), channel.poll_timeout()), (true, None));
            channel.closed();
        }
        channel.opened(now);
        let (at, why) = channel.poll_timeout().expect("hello is waited for");
        assert_eq!(why, Why("jitsi.bridge_hello"));
        drain(&mut channel);
        channel.handle_timeout(at);
        assert_eq!(drain(&mut channel), [ChannelOutput::NoHello]);
    }

    #[test]
    fn every_message_of_the_captures_is_read() {
        let mut channel = BridgeChannel::default();
        let (mut heard, mut subscribed) = (0, 0);
        for name in capture::message_names() {
            for entry in Capture::messages(&name).entries {
                match &entry.seen {
                    Seen::Received(text) if text.starts_with('{') => channel.handle_message(text),
                    Seen::Sent(text) if text.contains("ReceiverAudioSubscription") => {
                        assert!(ClientMessage::read(text).is_some(), "{text}");
                        subscribed += 1;
                    }
                    _ => {}
                }
                heard += drain(&mut channel).len();
            }
        }
        assert_eq!(channel.counters().bridge_messages_malformed, 0);
        assert!(heard > 40 && subscribed >= 8, "{heard} {subscribed}");
    }

    /// What each form did to the packets of one source in two seconds.
    #[test]
    fn subscriptions_mean_what_the_bridge_took_them_for() {
        let capture = Capture::messages("21-receiver-audio-subscription");
        let sent = capture.entries.iter().filter(|it| matches!(it.seen, Seen::Sent(_)));
        let forms =
            sent.filter_map(Entry::value).filter_map(|text| match ClientMessage::read(text) {
                Some(ClientMessage::Subscribe(wanted)) => Some(wanted.wants("44d4415d-a0")),
                _ => None,
            });
        let packets = [false, true, false, true, false, true, false, true];
        assert_eq!(forms.take(8).collect::<Vec<_>>(), packets);
    }

    #[test]
    fn the_bridge_writes_texts_for_truth() {
        let text = r#"{"colibriClass":"EndpointConnectivityStatusChangeEvent","endpoint":"a","active":"false"}"#;
        let message = BridgeMessage::Connectivity { endpoint: "a".to_owned(), active: false };
        assert_eq!(BridgeMessage::read(text), Ok(message.clone()));
        assert_eq!(BridgeMessage::read(&message.write()), Ok(message));
    }
}
