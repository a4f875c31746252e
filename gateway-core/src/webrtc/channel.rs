//! The bridge channel: one SCTP association over DTLS (RFC 8261), one stream opened by DCEP (RFC 8832).
//!
//! The bridge never connects and never opens: we do both, reliable and ordered, stream even if we are the DTLS client
//! and odd if not. An opening by the peer is accepted, too (two of us can talk).
//!
//! The association of `dcsctp` may not change threads, a leg's media half must be able to. So it lives in a table of
//! the thread that first used it, and the half holds a token: on another thread the channel is closed. The table
//! forgets associations whose token is gone.

use std::cell::RefCell;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use dcsctp::api::{
    DcSctpSocket, Message, Options, PpId, SendOptions, SocketEvent, SocketTime, StreamId,
};

/// The channel of one leg.
pub(super) struct Channel {
    token: Arc<()>,
    began: Instant,
    stream: StreamId,
    opens: bool,
    state: State,
    next: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    /// DCEP OPEN is under way.
    Opening,
    Open,
    Closed,
}

/// What the channel says while it is drained.
pub(super) enum ChannelSaid {
    /// To be sent over DTLS.
    Packet(Vec<u8>),
    Open,
    Text(String),
    Closed,
}

struct Association {
    socket: Box<dyn DcSctpSocket>,
    owner: Weak<()>,
}

thread_local! {
    static ASSOCIATIONS: RefCell<Vec<Association>> = const { RefCell::new(Vec::new()) };
}

impl Channel {
    /// A channel over a connection that is up. `opens`: we connect and open; else we wait for that.
    pub(super) fn new(now: Instant, client: bool, opens: bool, remote_port: u16) -> Self {
        let options = Options {
            remote_port,
            mtu: MTU_BYTES,
            max_message_size: MESSAGE_BYTES_MAX,
            max_receiver_window_buffer_size: RECEIVE_BYTES_MAX,
            max_send_buffer_size: SEND_BYTES_MAX,
            per_stream_send_queue_limit: SEND_BYTES_MAX,
            max_timer_backoff_duration: Some(Duration::from_secs(3)),
            max_retransmissions: None,
            max_init_retransmits: None,
            heartbeat_interval: Duration::from_secs(600),
            ..Options::default()
        };
        let mut socket = dcsctp::new_socket("bridge", &options);
        if opens {
            socket.connect();
        }
        let token = Arc::new(());
        let owner = Arc::downgrade(&token);
        ASSOCIATIONS.with_borrow_mut(|all| {
            all.retain(|association| association.owner.strong_count() > 0);
            all.push(Association { socket, owner });
        });
        let stream = StreamId(u16::from(!client));
        Self { token, began: now, stream, opens, state: State::Connecting, next: None }
    }

    /// A packet of the peer.
    pub(super) fn handle(&mut self, now: Instant, bytes: &[u8], say: &mut dyn FnMut(ChannelSaid)) {
        self.with_socket(now, |socket| socket.handle_input(bytes));
        self.drain(say);
    }

    /// Due retransmissions.
    pub(super) fn handle_timeout(&mut self, now: Instant, say: &mut dyn FnMut(ChannelSaid)) {
        self.with_socket(now, |_| ());
        self.drain(say);
    }

    /// Sends a text. False: it is not open, or too much waits already.
    pub(super) fn send(
        &mut self,
        now: Instant,
        text: Vec<u8>,
        say: &mut dyn FnMut(ChannelSaid),
    ) -> bool {
        if self.state != State::Open {
            return false;
        }
        let (ppid, payload) = match text.is_empty() {
            true => (PPID_TEXT_EMPTY, vec![0]),
            false => (PPID_TEXT, text),
        };
        let message = Message::new(self.stream, ppid, payload);
        let sent = self.with_socket(now, |socket| socket.send(message, &SendOptions::default()));
        self.drain(say);
        sent.is_some_and(|sent| sent.is_ok())
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    fn drain(&mut self, say: &mut dyn FnMut(ChannelSaid)) {
        while let Some(Some(event)) = self.with_socket_as_it_is(|socket| socket.poll_event()) {
            match event {
                SocketEvent::SendPacket(bytes) => say(ChannelSaid::Packet(bytes)),
                SocketEvent::OnConnected() => self.connected(),
                SocketEvent::OnClosed() | SocketEvent::OnAborted(..) => self.close(say),
                SocketEvent::OnIncomingStreamReset(streams) if streams.contains(&self.stream) => {
                    self.close(say);
                }
                _ => {}
            }
        }
        while let Some(Some(message)) =
            self.with_socket_as_it_is(|socket| socket.get_next_message())
        {
            self.message(message, say);
        }
        let due = self.with_socket_as_it_is(|socket| socket.poll_timeout());
        // Far away means never.
        let after = due.map(|due| due - SocketTime::zero()).filter(|after| *after < FAR);
        self.next = after.map(|after| self.began + after);
        // An answer may have put more packets into the queue.
        if self.with_socket_as_it_is(|socket| socket.messages_ready_count()).is_none()
            && self.state != State::Closed
        {
            self.close(say);
        }
    }

    fn connected(&mut self) {
        if self.state == State::Connecting && self.opens {
            self.state = State::Opening;
            let message = Message::new(self.stream, PPID_CONTROL, open_message());
            self.with_socket_as_it_is(|socket| socket.send(message, &SendOptions::default()));
        }
    }

    fn message(&mut self, message: Message, say: &mut dyn FnMut(ChannelSaid)) {
        match (message.ppid, message.payload.first()) {
            (PPID_CONTROL, Some(&DCEP_ACK)) if self.state == State::Opening => self.open(say),
            (PPID_CONTROL, Some(&DCEP_OPEN)) if self.state != State::Closed => {
                // One channel is enough: another one is answered and not listened to.
                let stream = message.stream_id;
                let answer = Message::new(stream, PPID_CONTROL, vec![DCEP_ACK]);
                self.with_socket_as_it_is(|socket| socket.send(answer, &SendOptions::default()));
                if self.state == State::Connecting {
                    self.stream = stream;
                    self.open(say);
                }
                self.send_what_waits(say);
            }
            (PPID_TEXT, _) if message.stream_id == self.stream => {
                if let Ok(text) = String::from_utf8(message.payload) {
                    say(ChannelSaid::Text(text));
                }
            }
            _ => {}
        }
    }

    fn send_what_waits(&mut self, say: &mut dyn FnMut(ChannelSaid)) {
        while let Some(Some(event)) = self.with_socket_as_it_is(|socket| socket.poll_event()) {
            if let SocketEvent::SendPacket(bytes) = event {
                say(ChannelSaid::Packet(bytes));
            }
        }
    }

    fn open(&mut self, say: &mut dyn FnMut(ChannelSaid)) {
        self.state = State::Open;
        say(ChannelSaid::Open);
    }

    fn close(&mut self, say: &mut dyn FnMut(ChannelSaid)) {
        if std::mem::replace(&mut self.state, State::Closed) != State::Closed {
            say(ChannelSaid::Closed);
        }
    }

    /// Tells the association the time and works on it; nothing on another thread than its own.
    fn with_socket<R>(
        &mut self,
        now: Instant,
        work: impl FnOnce(&mut dyn DcSctpSocket) -> R,
    ) -> Option<R> {
        let time = SocketTime::zero() + now.saturating_duration_since(self.began);
        self.with_socket_as_it_is(|socket| {
            socket.advance_time(time);
            work(socket)
        })
    }

    fn with_socket_as_it_is<R>(&self, work: impl FnOnce(&mut dyn DcSctpSocket) -> R) -> Option<R> {
        let own = Arc::as_ptr(&self.token);
        ASSOCIATIONS.with_borrow_mut(|all| {
            let mine = all.iter_mut().find(|association| association.owner.as_ptr() == own)?;
            Some(work(&mut *mine.socket))
        })
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let own = Arc::as_ptr(&self.token);
        // The table may be gone already when the thread ends.
        let _ = ASSOCIATIONS.try_with(|all| {
            all.borrow_mut().retain(|association| association.owner.as_ptr() != own);
        });
    }
}

/// RFC 8832 §5.1: reliable and ordered, priority 0.
fn open_message() -> Vec<u8> {
    let mut message = vec![DCEP_OPEN, 0, 0, 0, 0, 0, 0, 0];
    message.extend((LABEL.len() as u16).to_be_bytes());
    message.extend((PROTOCOL.len() as u16).to_be_bytes());
    message.extend(LABEL.as_bytes());
    message.extend(PROTOCOL.as_bytes());
    message
}

const LABEL: &str = "JVB data channel";
const PROTOCOL: &str = "http://jitsi.org/protocols/colibri";
const DCEP_ACK: u8 = 2;
const DCEP_OPEN: u8 = 3;
const PPID_CONTROL: PpId = PpId(50);
const PPID_TEXT: PpId = PpId(51);
const PPID_TEXT_EMPTY: PpId = PpId(56);
/// Of one SCTP packet: with DTLS and UDP around it under 1,200.
const MTU_BYTES: usize = 1_130;
const MESSAGE_BYTES_MAX: usize = 256 * 1_024;
/// Messages to an audio leg are small; the default of 5 MiB is a gift to an attacker.
const RECEIVE_BYTES_MAX: usize = 512 * 1_024;
const SEND_BYTES_MAX: usize = 512 * 1_024;
const FAR: Duration = Duration::from_secs(86_400 * 365);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    /// What each said, and the packets between.
    #[derive(Default)]
    struct Talk {
        opened: [bool; 2],
        texts: [Vec<String>; 2],
        packets: Vec<(usize, Vec<u8>)>,
        log: Vec<Vec<u8>>,
    }

    impl Talk {
        fn take(&mut self, end: usize, said: ChannelSaid) {
            match said {
                ChannelSaid::Packet(bytes) => {
                    self.log.push(bytes.clone());
                    self.packets.push((1 - end, bytes));
                }
                ChannelSaid::Open => self.opened[end] = true,
                ChannelSaid::Text(text) => self.texts[end].push(text),
                ChannelSaid::Closed => {}
            }
        }
    }

    fn settle(now: Instant, ends: &mut [Channel; 2], talk: &mut Talk) {
        while !talk.packets.is_empty() {
            for (end, bytes) in std::mem::take(&mut talk.packets) {
                ends[end].handle(now, &bytes, &mut |said| talk.take(end, said));
            }
        }
    }

    fn connected(now: Instant, talk: &mut Talk) -> [Channel; 2] {
        let mut ends =
            [Channel::new(now, false, true, 5_000), Channel::new(now, true, false, 5_000)];
        for end in [0, 1] {
            ends[end].handle_timeout(now, &mut |said| talk.take(end, said));
        }
        settle(now, &mut ends, talk);
        ends
    }

    #[test]
    fn one_opens_on_an_odd_stream_as_server_and_both_speak() {
        let (now, mut talk) = (Instant::now(), Talk::default());
        let mut ends = connected(now, &mut talk);
        assert_eq!(talk.opened, [true, true]);
        assert_eq!([ends[0].stream, ends[1].stream], [StreamId(1); 2]);
        for (end, text) in [(0, "hello"), (1, "good day"), (1, "")] {
            let bytes = text.as_bytes().to_vec();
            assert!(ends[end].send(now, bytes, &mut |said| talk.take(end, said)));
            settle(now, &mut ends, &mut talk);
        }
        assert_eq!(talk.texts, [vec!["good day".to_owned()], vec!["hello".to_owned()]]);
    }

    #[test]
    fn another_thread_finds_it_closed_and_a_dropped_one_leaves_nothing() {
        let (now, mut talk) = (Instant::now(), Talk::default());
        let [mut one, other] = connected(now, &mut talk);
        std::thread::spawn(move || {
            let mut closed = 0;
            let mut say = |said| closed += usize::from(matches!(said, ChannelSaid::Closed));
            assert!(!one.send(now, b"lost".to_vec(), &mut say));
            one.handle_timeout(now, &mut say);
            assert_eq!(closed, 1, "told once");
        })
        .join()
        .unwrap();
        drop(other);
        let _next = Channel::new(now, true, true, 5_000);
        assert_eq!(ASSOCIATIONS.with_borrow(Vec::len), 1, "the table forgot the dead");
    }

    /// Reachable by the bridge alone; it must not panic all the same.
    #[test]
    fn mutated_packets_do_not_panic() {
        let (now, mut rng) = (Instant::now(), Rng::from_number(9));
        let count = std::env::var("WEEBEE_WEBRTC_HOSTILE").ok();
        let count: u32 = count.and_then(|text| text.parse().ok()).unwrap_or(10_000);
        for _ in 0..count.div_ceil(30) {
            let mut talk = Talk::default();
            let mut ends = connected(now, &mut talk);
            let text = |n: usize| "x".repeat(n * 300).into_bytes();
            for n in 0..4 {
                ends[1].send(now, text(n), &mut |said| talk.take(1, said));
            }
            settle(now, &mut ends, &mut talk);
            for _ in 0..30 {
                let mut bytes = talk.log[rng.below(talk.log.len() as u32) as usize].clone();
                let place = 12 + rng.below(bytes.len() as u32 - 12) as usize;
                bytes[place] = rng.u32() as u8;
                bytes.truncate(12 + rng.below(bytes.len() as u32 - 11) as usize);
                let sum = crc32c(&bytes);
                bytes[8..12].copy_from_slice(&sum);
                ends[0].handle(now, &bytes, &mut |_| ());
            }
        }
    }

    /// RFC 9260 appendix A, with the field itself as zero.
    fn crc32c(packet: &[u8]) -> [u8; 4] {
        let mut crc = u32::MAX;
        for (place, byte) in packet.iter().enumerate() {
            crc ^= u32::from(if (8..12).contains(&place) { 0 } else { *byte });
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            }
        }
        (!crc).to_le_bytes()
    }
}
