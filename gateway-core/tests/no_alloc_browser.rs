//! A browser in an embedded room allocates nothing per packet: a shard whose trunk half stands behind a line with real
//! DTLS-SRTP keys, and a peer that speaks Opus and counts what it hears.
//!
//! What does allocate is ICE's keeping of consent: a wake that sends or takes STUN is counted and not judged.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use assert_no_alloc::{AllocDisabler, assert_no_alloc, violation_count};
use gateway_core::base::ids::{CallKey, RoomKey};
use gateway_core::base::rng::Rng;
use gateway_core::leg::browser::line::{BrowserLine, PEER};
use gateway_core::leg::media::{FromMedia, SocketKind, ToMedia};
use gateway_core::leg::room::media::RoomMedia;
use gateway_core::leg::trunk::media::{AudioPath, TrunkMedia, TrunkMediaConfig};
use gateway_core::media::codec::{self, CodecKind, EncoderSettings, PAYLOAD_BYTES_MAX};
use gateway_core::media::frame::SampleRate;
use gateway_core::media::ingress::Ingress;
use gateway_core::media::tone;
use gateway_core::rtp::session::{Direction, Latching, RtpSession};
use gateway_core::shard::{Shard, ShardConfig};
use gateway_core::webrtc::testkit::{BRIDGE, pair};
use gateway_core::webrtc::transport::{Datagram, Media, Transport, TransportEvent};
use gateway_core::webrtc::{DtlsTransport, TransportFailure};
use slotmap::SlotMap;

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

const OPUS: u8 = 111;
const FRAMES: usize = 300;
const ROOM: RoomKey = RoomKey(1);

/// Allocations of the work.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = violation_count();
    assert_no_alloc(work);
    u64::from(violation_count() - before)
}

struct Stage {
    now: Instant,
    shard: Shard,
    call: CallKey,
    browser: Box<DtlsTransport>,
    /// Packets of the browser, one a frame.
    speech: Vec<Vec<u8>>,
    heard: u32,
    media_cost: u64,
    control_wakes: u32,
    goodbye: bool,
    home: Vec<FromMedia>,
}

impl Stage {
    #[expect(clippy::disallowed_methods, reason = "a beginning: only differences of it matter")]
    fn new() -> Self {
        let now = Instant::now();
        let [ours, browser] = pair(now, 1, None);
        let mut shard = Shard::new(ShardConfig { calls_max: 4, rooms_max: 2 }, now);
        let call = SlotMap::<CallKey, ()>::with_key().insert(());
        let config = TrunkMediaConfig { silence_timeout: Duration::from_secs(30) };
        let half = TrunkMedia::new(call, config, Rng::from_number(2));
        let session = session();
        let path = AudioPath::new(&session);
        let seat = RoomMedia::new(1, &[CodecKind::Opus], SampleRate::Hz48000);
        for command in [
            ToMedia::OpenRoom { room: ROOM, ingress: Ingress::new(4) },
            ToMedia::AttachTrunk { call, half },
            ToMedia::AttachLine { call, line: BrowserLine::new(ours) },
            ToMedia::Configure { call, path, session },
            ToMedia::AttachConference { call, room: ROOM, half: seat },
        ] {
            shard.command(now, command);
        }
        Self {
            now,
            shard,
            call,
            browser,
            speech: speech(),
            heard: 0,
            media_cost: 0,
            control_wakes: 0,
            goodbye: false,
            home: Vec::with_capacity(1_024),
        }
    }

    /// 5 ms.
    fn wake(&mut self, frame: Option<usize>) {
        self.now += Duration::from_millis(5);
        let now = self.now;
        if let Some(packet) = frame.and_then(|frame| self.speech.get(frame)) {
            assert!(self.browser.send(Media::Rtp, packet), "the browser has keys");
        }
        if self.browser.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.browser.handle_timeout(now);
        }
        let mut buffer = [0; 1_500];
        let (shard, call, from) = (&mut self.shard, self.call, SocketAddr::from(BRIDGE));
        let (mut cost, mut is_control) = (0, false);
        while let Some(departure) = self.browser.poll_transmit(&mut buffer) {
            let bytes = &buffer[..departure.length];
            is_control |= bytes[0] < 128;
            let socket = SocketKind::TrunkRtp;
            cost += allocations(|| shard.handle_packet(now, call, socket, from, bytes));
        }
        cost += allocations(|| shard.handle_timeout(now));
        loop {
            let mut sent = None;
            cost += allocations(|| sent = shard.poll_transmit(&mut buffer));
            let Some((_, transmit)) = sent else { break };
            assert_eq!((transmit.to, transmit.socket), (from, SocketKind::TrunkRtp));
            is_control |= buffer[0] < 128;
            let bytes = &buffer[..transmit.length];
            let from = SocketAddr::from(gateway_core::webrtc::testkit::LEG);
            let datagram = Datagram { socket: 0, from, bytes };
            if let Some(received) = self.browser.handle_datagram(now, datagram) {
                self.heard += u32::from(received.media == Media::Rtp);
            }
        }
        while let Some(event) = self.browser.poll_event() {
            let bye = TransportEvent::Failed(TransportFailure::ClosedByPeer);
            self.goodbye |= event == bye;
        }
        match is_control {
            true => self.control_wakes += 1,
            false => self.media_cost += cost,
        }
        while let Some(said) = self.shard.poll_output() {
            self.home.push(said);
        }
    }
}

fn session() -> Box<RtpSession> {
    Box::new(RtpSession {
        remote_rtp: PEER,
        remote_rtcp: PEER,
        rtcp_mux: true,
        send_codec: CodecKind::Opus,
        send_payload_type: OPUS,
        receive: [(OPUS, CodecKind::Opus)].into_iter().collect(),
        send_events: None,
        receive_events: Default::default(),
        receive_comfort_noise: None,
        packet_time_ms: 20,
        direction: Direction::SendRecv,
        latching: Latching::Strict,
        srtp: None,
    })
}

fn speech() -> Vec<Vec<u8>> {
    let rate = SampleRate::Hz48000;
    let pcm = tone::speech(rate, 3, rate.frame_samples() * FRAMES);
    let mut encoder = codec::new_encoder(CodecKind::Opus, rate, EncoderSettings::default());
    let mut payload = [0; PAYLOAD_BYTES_MAX];
    let frames = pcm.chunks_exact(rate.frame_samples()).zip(0_u32..);
    let packets = frames.map(|(pcm, number)| {
        let length = encoder.encode(pcm, &mut payload);
        let mut packet = vec![0x80, OPUS];
        packet.extend((number as u16).to_be_bytes());
        packet.extend((number * 960).to_be_bytes());
        packet.extend(0xabcd_u32.to_be_bytes());
        packet.extend(&payload[..length]);
        packet
    });
    packets.collect()
}

#[test]
fn a_browser_allocates_nothing_per_packet_and_is_told_goodbye() {
    let mut stage = Stage::new();
    for _ in 0..200 {
        stage.wake(None);
    }
    let secured = |said: &FromMedia| {
        matches!(said, FromMedia::Line { event: TransportEvent::Secured { .. }, .. })
    };
    assert!(stage.home.iter().any(secured), "no keys in a second");
    (stage.heard, stage.media_cost, stage.control_wakes) = (0, 0, 0);
    for frame in 0..FRAMES {
        stage.wake(Some(frame));
        (0..3).for_each(|_| stage.wake(None));
    }
    assert_eq!(stage.media_cost, 0, "allocations on the media path");
    assert!((FRAMES as u32 - 2..=FRAMES as u32 + 2).contains(&stage.heard), "{}", stage.heard);
    assert!((1..20).contains(&stage.control_wakes), "{}", stage.control_wakes);
    let counters = stage.shard.media_counters();
    assert_eq!(counters.rtp_received, FRAMES as u64);
    assert_eq!((counters.rtp_malformed, counters.rtp_strange_source), (0, 0));
    stage.home.clear();
    stage.shard.command(stage.now, ToMedia::DetachTrunk(stage.call));
    stage.wake(None);
    assert!(stage.goodbye, "close_notify came");
    let count = |is: fn(&FromMedia) -> bool| stage.home.iter().filter(|it| is(it)).count();
    assert_eq!(count(|said| matches!(said, FromMedia::LineDetached { .. })), 1);
    assert_eq!(count(|said| matches!(said, FromMedia::TrunkDetached { .. })), 1);
}
