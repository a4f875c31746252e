//! The loop of the signalling thread: whatever is ready goes into the gateway, whatever comes out is carried away.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::mailbox::Mailbox;
use super::names::{Found, Names};
use super::streams::{StreamEvent, Streams};
use super::{Counter, IoCounters, Request};
use crate::base::ids::{CallKey, FlowId, ListenerId, ShardId};
use crate::base::limits::SIP_MESSAGE_BYTES_MAX;
use crate::gateway::{Command, Gateway, Input, Output};
use crate::io::certificate::CertificateMaker;
use crate::io::media::{MediaHandle, MediaSockets};
use crate::io::xmpp::{Told, ToldReceiver, XmppEvent, XmppStreams};
use crate::leg::backend::StreamDownReason;
use crate::leg::end_reason::EndReason;
use crate::leg::media::ToMedia;
use crate::sip::endpoint::{TransportInput, TransportOutput};

/// Datagrams taken from one socket before everybody else has a turn.
const DATAGRAMS_PER_TURN: usize = 64;
/// Requests taken before everybody else has a turn.
const REQUESTS_PER_TURN: usize = 64;
/// How often wall time is told.
const WALL_CLOCK_EVERY: Duration = Duration::from_secs(1);
/// Without a deadline the loop wakes this often, for no reason but safety.
const IDLE_WAIT: Duration = Duration::from_secs(3_600);

/// A UDP listener.
pub struct UdpListener {
    pub id: ListenerId,
    /// For receiving: tokio knows when.
    pub socket: UdpSocket,
    /// The same socket for sending: tokio would refuse before it has seen the socket ready once.
    pub sender: std::net::UdpSocket,
}

/// Everything the thread owns.
pub struct Driver {
    pub gateway: Gateway,
    pub media: Vec<MediaHandle>,
    pub udp: Vec<UdpListener>,
    pub streams: Streams,
    pub stream_events: mpsc::Receiver<StreamEvent>,
    pub names: Names,
    pub names_told: mpsc::Receiver<Found>,
    pub xmpp: XmppStreams,
    pub xmpp_told: ToldReceiver,
    pub requests: mpsc::Receiver<Request>,
    pub events: Mailbox,
    pub when_idle: Vec<oneshot::Sender<()>>,
    pub certificates: CertificateMaker,
    pub counters: IoCounters,
    /// What the gateway was told last.
    pub media_is_behind: bool,
}

/// What woke the loop.
enum Woken {
    Datagrams(usize),
    Stream(StreamEvent),
    Name(Found),
    Xmpp(Told),
    Request(Option<Request>),
    Media(io::Result<()>),
    OwnerReads,
    WallClock,
    Deadline,
}

impl Driver {
    /// Runs until told to stop, or until nobody holds a handle any more.
    pub async fn run(mut self) {
        let mut buffer = vec![0; SIP_MESSAGE_BYTES_MAX];
        let mut wall_clock = tokio::time::interval(WALL_CLOCK_EVERY);
        let deadline = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(deadline);
        loop {
            let due = self.gateway.poll_timeout().map(|(at, _)| at);
            let due = due.into_iter().chain(self.events.due()).min();
            let due = due.unwrap_or_else(|| crate::io::now() + IDLE_WAIT);
            if deadline.deadline().into_std() != due {
                deadline.as_mut().reset(due.into());
            }
            let woken = {
                let Self {
                    media, udp, stream_events, xmpp_told, requests, events, names_told, ..
                } = &mut self;
                tokio::select! {
                    socket = readable(udp) => Woken::Datagrams(socket),
                    Some(event) = stream_events.recv() => Woken::Stream(event),
                    Some(found) = names_told.recv() => Woken::Name(found),
                    Some(told) = xmpp_told.recv() => Woken::Xmpp(told),
                    request = requests.recv() => Woken::Request(request),
                    result = notified(media) => Woken::Media(result),
                    () = events.ready() => Woken::OwnerReads,
                    _ = wall_clock.tick() => Woken::WallClock,
                    () = &mut deadline => Woken::Deadline,
                }
            };
            let now = crate::io::now();
            match woken {
                Woken::Datagrams(socket) => self.datagrams(now, socket, &mut buffer),
                Woken::Stream(event) => self.stream_event(now, event),
                Woken::Name(found) => self.resolved(now, &found),
                Woken::Xmpp(told) => self.xmpp_told(now, told),
                Woken::Request(None) => break,
                Woken::Request(Some(request)) => {
                    if !self.requests(now, request) {
                        break;
                    }
                }
                Woken::Media(result) => {
                    if let Err(error) = result {
                        warn!(%error, "a media thread cannot be heard");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
                Woken::OwnerReads => self.events.hand_over(),
                Woken::WallClock => self.second(now),
                Woken::Deadline => self.gateway.handle_timeout(now),
            }
            self.media_said(now);
            self.carry_away(now);
            self.events.run(now);
            // SIP transactions linger for 32 s to absorb repeats: whoever drains does not wait for those.
            let is_idle = self.gateway.calls() == 0 && !self.gateway.is_unregistering();
            if is_idle && self.events.is_empty() {
                for waiter in self.when_idle.drain(..) {
                    let _ = waiter.send(());
                }
            }
        }
        self.events.hand_over();
    }

    fn datagrams(&mut self, now: Instant, socket: usize, buffer: &mut [u8]) {
        for _ in 0..DATAGRAMS_PER_TURN {
            let Some(UdpListener { id, socket, .. }) = self.udp.get(socket) else { return };
            let listener = *id;
            match socket.try_recv_from(buffer) {
                Ok((length, from)) => {
                    self.counters.sip_udp_received += 1;
                    self.look_after_media(now);
                    let bytes = &buffer[..length];
                    let input = TransportInput::Datagram { listener, from, bytes };
                    self.gateway.handle_input(now, Input::Sip(input));
                    self.carry_away(now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An ICMP answer to something we sent; whose it was is not said here.
                Err(_) => self.counters.sip_udp_receive_errors += 1,
            }
        }
    }

    /// A second went by.
    fn second(&mut self, now: Instant) {
        self.gateway.handle_input(now, Input::WallClock(crate::io::wall_clock()));
        if let Some(certificate) = self.certificates.renew(now) {
            self.gateway.handle_input(now, Input::Certificate(certificate));
        }
    }

    /// Before a message that may be a new call.
    fn look_after_media(&mut self, now: Instant) {
        let before = self.media_is_behind;
        let is_behind = self.media.iter().any(|media| media.is_behind(before));
        if is_behind != before {
            self.media_is_behind = is_behind;
            warn!(is_behind, "media threads fall behind: new calls get 503 while it lasts");
            self.gateway.handle_input(now, Input::MediaBehind(is_behind));
        }
    }

    fn stream_event(&mut self, now: Instant, event: StreamEvent) {
        self.look_after_media(now);
        match event {
            StreamEvent::Accepted(listener, stream, peer) => {
                match self.streams.accepted(listener, stream) {
                    Some(flow) => {
                        self.counters.sip_tcp_accepted += 1;
                        let input = TransportInput::StreamOpened { flow, listener, peer };
                        self.gateway.handle_input(now, Input::Sip(input));
                    }
                    None => self.counters.sip_tcp_refused += 1,
                }
            }
            StreamEvent::Connected(flow, listener, peer) => {
                let input = TransportInput::StreamOpened { flow, listener, peer };
                self.gateway.handle_input(now, Input::Sip(input));
            }
            StreamEvent::Bytes(flow, bytes) => {
                let input = TransportInput::StreamBytes { flow, bytes: &bytes };
                self.gateway.handle_input(now, Input::Sip(input));
            }
            StreamEvent::Closed(flow) => self.stream_closed(now, flow),
        }
    }

    fn resolved(&mut self, now: Instant, (trunk, addresses): &Found) {
        self.streams.resolved(*trunk, addresses);
        let input = TransportInput::PeerResolved { trunk: *trunk, addresses };
        self.gateway.handle_input(now, Input::Sip(input));
    }

    fn stream_closed(&mut self, now: Instant, flow: FlowId) {
        if self.streams.closed(flow) {
            let input = TransportInput::StreamClosed { flow };
            self.gateway.handle_input(now, Input::Sip(input));
        }
    }

    /// A request, and those that wait behind it. `false`: the last one was to stop.
    fn requests(&mut self, now: Instant, first: Request) -> bool {
        let mut request = first;
        for _ in 1..REQUESTS_PER_TURN {
            if matches!(request, Request::Stop) {
                return false;
            }
            self.request(now, request);
            self.carry_away(now);
            match self.requests.try_recv() {
                Ok(next) => request = next,
                Err(_) => return true,
            }
        }
        let goes_on = !matches!(request, Request::Stop);
        self.request(now, request);
        goes_on
    }

    fn xmpp_told(&mut self, now: Instant, told: Told) {
        let Some((stream, event)) = self.xmpp.told(told) else { return };
        let input = match event {
            XmppEvent::Up { jid, resumed } => Input::StreamUp { stream, jid, resumed },
            XmppEvent::Stanza(stanza) => Input::Stanza(stream, stanza),
            XmppEvent::BridgeSocket(news) => Input::BridgeSocket(stream, news),
            XmppEvent::Down(failure) => Input::StreamDown { stream, reason: failure.reason() },
        };
        self.gateway.handle_input(now, input);
    }

    fn request(&mut self, now: Instant, request: Request) {
        match request {
            Request::Tell(command) => {
                if let Err(misuse) = self.gateway.command(now, command) {
                    warn!(%misuse, "a command was refused");
                }
            }
            Request::Command(command, reply) => {
                let _ = reply.send(self.gateway.command(now, command));
            }
            Request::Snapshot(reply) => drop(reply.send(self.gateway.snapshot(now))),
            Request::Counters(reply) => drop(reply.send(self.all_counters())),
            Request::WhenIdle(reply) => self.when_idle.push(reply),
            Request::Stop => {}
        }
    }

    fn media_said(&mut self, now: Instant) {
        for shard in 0..self.media.len() {
            while let Some(event) = self.media[shard].try_recv() {
                let shard = ShardId(shard as u16);
                self.gateway.handle_input(now, Input::FromMedia(shard, event));
            }
        }
    }

    /// Everything the gateway wants from the world.
    fn carry_away(&mut self, now: Instant) {
        while let Some(output) = self.gateway.poll_output() {
            match output {
                Output::Sip(output) => self.send(now, output),
                Output::OpenMedia { call, shard, local } => {
                    let bound = self.open_media(call, shard, local);
                    self.gateway.handle_input(now, Input::MediaOpened { call, bound });
                }
                Output::OpenConferencePort { call, shard, socket, local } => {
                    let bound = self.open_conference_port(call, shard, socket, local);
                    let input = Input::ConferencePortOpened { call, socket, bound };
                    self.gateway.handle_input(now, input);
                }
                Output::CloseConferencePort { call, shard, socket } => {
                    let media = self.media.get_mut(usize::from(shard.0));
                    if media.is_some_and(|it| it.close_conference_socket(call, socket).is_err()) {
                        self.ring_full(now, Some(call));
                    }
                }
                Output::CloseMedia { call, shard } => {
                    let media = self.media.get_mut(usize::from(shard.0));
                    if media.is_some_and(|media| media.close_sockets(call).is_err()) {
                        self.ring_full(now, Some(call));
                    }
                }
                Output::ToMedia(shard, command) => self.tell_media(now, shard, command),
                Output::OpenStream { stream, account } => {
                    if !self.xmpp.open(stream, account) {
                        let reason = StreamDownReason::Unreachable;
                        let down = Input::StreamDown { stream, reason };
                        self.gateway.handle_input(now, down);
                    }
                }
                Output::Stanza(stream, stanza) => self.xmpp.send(stream, stanza),
                Output::CloseStream(stream) => self.xmpp.close(stream),
                Output::BridgeSocket(stream, order) => self.xmpp.bridge_socket(stream, order),
                Output::Event(event) => {
                    let taken = self.events.take(now, event);
                    self.counters.events_lost += u64::from(!taken);
                }
            }
        }
    }

    fn send(&mut self, now: Instant, output: TransportOutput) {
        match output {
            TransportOutput::Datagram { listener, to, bytes } => {
                let socket = self.udp.iter().find(|it| it.id == listener);
                let Some(UdpListener { sender, .. }) = socket else { return };
                match sender.send_to(&bytes, to) {
                    Ok(_) => self.counters.sip_udp_sent += 1,
                    Err(error) => {
                        self.counters.sip_udp_send_errors += 1;
                        // A full buffer is a lost datagram; anything else will fail again.
                        if error.kind() != io::ErrorKind::WouldBlock {
                            let input = TransportInput::DatagramFailed { listener, to };
                            self.gateway.handle_input(now, Input::Sip(input));
                        }
                    }
                }
            }
            TransportOutput::Connect { flow, to, listener } => {
                self.streams.connect(flow, listener, to);
            }
            TransportOutput::Write { flow, bytes } => {
                if !self.streams.write(flow, bytes) {
                    self.stream_closed(now, flow);
                }
            }
            TransportOutput::Close { flow } => self.streams.close(flow),
            TransportOutput::Resolve { trunk } => self.names.again(trunk),
        }
    }

    fn open_media(
        &mut self,
        call: CallKey,
        shard: ShardId,
        local: SocketAddr,
    ) -> Option<SocketAddr> {
        let sockets = match MediaSockets::bind(local) {
            Ok(sockets) => sockets,
            Err(error) => {
                if error.kind() != io::ErrorKind::AddrInUse {
                    warn!(%local, %error, "RTP port cannot be opened");
                }
                return None;
            }
        };
        let media = self.media.get_mut(usize::from(shard.0))?;
        media.open_sockets(call, sockets).ok().map(|()| local)
    }

    fn open_conference_port(
        &mut self,
        call: CallKey,
        shard: ShardId,
        socket: u8,
        local: SocketAddr,
    ) -> Option<SocketAddr> {
        let bound = match crate::io::media::bind_conference(local) {
            Ok(bound) => bound,
            Err(error) => {
                if error.kind() != io::ErrorKind::AddrInUse {
                    warn!(%local, %error, "port towards the conference cannot be opened");
                }
                return None;
            }
        };
        let media = self.media.get_mut(usize::from(shard.0))?;
        media.open_conference_socket(call, socket, bound).ok().map(|()| local)
    }

    fn tell_media(&mut self, now: Instant, shard: ShardId, command: ToMedia) {
        let Some(media) = self.media.get_mut(usize::from(shard.0)) else { return };
        let Err(full) = media.send(command) else { return };
        self.ring_full(now, full.0.call());
    }

    /// The media thread does not keep up, or is gone: the call cannot go on.
    fn ring_full(&mut self, now: Instant, call: Option<CallKey>) {
        self.counters.media_ring_full += 1;
        if let Some(call) = call {
            let _ =
                self.gateway.command(now, Command::End { call, reason: EndReason::NoResources });
        }
    }

    fn all_counters(&self) -> Vec<Counter> {
        let mut all = Vec::new();
        let mut add = |name, help, value| all.push(Counter { name, help, value });
        self.counters.visit(&mut add);
        self.xmpp.counters().visit(&mut add);
        self.gateway.counters().visit(&mut add);
        self.gateway.endpoint_counters().visit(&mut add);
        self.gateway.backend_counters().visit(&mut add);
        for media in &self.media {
            media.visit_counters(&mut |name, help, value| add_to(&mut all, name, help, value));
        }
        all
    }
}

/// Counters of shards of the same name are one figure.
fn add_to(all: &mut Vec<Counter>, name: &'static str, help: &'static str, value: u64) {
    match all.iter_mut().find(|counter| counter.name == name) {
        Some(counter) => counter.value += value,
        None => all.push(Counter { name, help, value }),
    }
}

/// The first UDP socket that has something; never ready without sockets.
async fn readable(sockets: &[UdpListener]) -> usize {
    poll_fn(|context| {
        let is_ready = |listener: &UdpListener| {
            matches!(listener.socket.poll_recv_ready(context), Poll::Ready(Ok(())))
        };
        match sockets.iter().position(is_ready) {
            Some(index) => Poll::Ready(index),
            None => Poll::Pending,
        }
    })
    .await
}

/// Some shard has something to say.
async fn notified(media: &[MediaHandle]) -> io::Result<()> {
    if let [one] = media {
        return one.notified().await;
    }
    let mut waiting: Vec<Pin<Box<dyn Future<Output = io::Result<()>> + '_>>> = Vec::new();
    for handle in media {
        waiting.push(Box::pin(handle.notified()));
    }
    poll_fn(|context| {
        let ready = waiting.iter_mut().find_map(|it| match it.as_mut().poll(context) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        });
        ready.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}
