//! The thread with real sockets on loopback: that values, packets and wake-ups go through. Sound is judged in
//! `shard::tests`, in virtual time.

use std::time::Duration;

use slotmap::SlotMap;

use super::*;
use crate::base::ids::RoomKey;
use crate::base::rng::Rng;
use crate::leg::jitsi::testkit::{StandInBridge, leg_and_bridge_at};
use crate::leg::media::ConferenceEvent;
use crate::leg::trunk::media::{AudioPath, TrunkMedia, TrunkMediaConfig};
use crate::media::codec::CodecKind;
use crate::media::ingress::Ingress;
use crate::rtp::session::{Direction, Latching, RtpSession};
use crate::webrtc::transport::{Datagram, Transport, TransportEvent, TransportFailure};

fn session(remote: SocketAddr) -> Box<RtpSession> {
    Box::new(RtpSession {
        remote_rtp: remote,
        remote_rtcp: remote,
        rtcp_mux: false,
        send_codec: CodecKind::Pcmu,
        send_payload_type: 0,
        receive: [(0, CodecKind::Pcmu)].into_iter().collect(),
        send_events: None,
        receive_events: Default::default(),
        receive_comfort_noise: None,
        packet_time_ms: 20,
        direction: Direction::SendRecv,
        latching: Latching::LearnOnce,
        srtp: None,
    })
}

fn two_free_ports() -> MediaSockets {
    (20_000..60_000)
        .step_by(2)
        .find_map(|port| MediaSockets::bind(SocketAddr::from(([127, 0, 0, 1], port))).ok())
        .expect("loopback has two free ports")
}

/// The next value, waiting as signalling does.
async fn next(handle: &mut MediaHandle) -> FromMedia {
    let wait = async {
        loop {
            if let Some(value) = handle.try_recv() {
                return value;
            }
            handle.notified().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("the thread answers")
}

#[tokio::test(flavor = "current_thread")]
async fn a_phone_is_sent_steady_packets_is_heard_and_let_go() {
    let config = MediaThreadConfig { shard: ShardId(0), size: ShardConfig::default() };
    let mut handle = MediaHandle::spawn(config).unwrap();
    let call = SlotMap::<CallKey, ()>::with_key().insert(());
    let phone = UdpSocket::bind("127.0.0.1:0").unwrap();
    let remote = phone.local_addr().unwrap();
    let sockets = two_free_ports();
    let gateway = sockets.rtp.local_addr().unwrap();
    handle.open_sockets(call, sockets).unwrap();
    let config = TrunkMediaConfig { silence_timeout: Duration::from_secs(30) };
    let half = TrunkMedia::new(call, config, Rng::from_number(1));
    handle.send(ToMedia::AttachTrunk { call, half }).unwrap();
    let session = session(remote);
    let path = AudioPath::new(&session);
    handle.send(ToMedia::Configure { call, path, session }).unwrap();

    let received = tokio::task::spawn_blocking(move || {
        phone.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut packet = [0x80; 172];
        packet[1] = 0;
        let mut bytes = [0; 1_500];
        phone.recv(&mut bytes).unwrap(); // the leg is configured
        phone.send_to(&packet, gateway).unwrap();
        let sequences: Vec<u16> = (0..10)
            .map(|_| {
                let length = phone.recv(&mut bytes).unwrap();
                assert_eq!(length, 172, "20 ms of G.711");
                u16::from_be_bytes([bytes[2], bytes[3]])
            })
            .collect();
        sequences
    });
    assert!(matches!(next(&mut handle).await, FromMedia::Latched { from, .. } if from == remote));
    let sequences = received.await.unwrap();
    assert!(sequences.windows(2).all(|pair| pair[1] == pair[0] + 1), "{sequences:?}");

    handle.send(ToMedia::DetachTrunk(call)).unwrap();
    let FromMedia::TrunkDetached { report, .. } = next(&mut handle).await else {
        panic!("something else than the half came home")
    };
    assert_eq!(report.packets_received, 1);
    assert!(report.packets_sent >= 10);
    handle.close_sockets(call).unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_sleeping_thread_wakes_for_an_order() {
    let config = MediaThreadConfig { shard: ShardId(1), size: ShardConfig::default() };
    let mut handle = MediaHandle::spawn(config).unwrap();
    // Long enough for the thread to be asleep; it would look up by itself only after a second.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let started = std::time::Instant::now();
    let call = SlotMap::<CallKey, ()>::with_key().insert(());
    let token = crate::base::ids::PlayToken(1);
    let room = crate::leg::media::RoomDuring::Full;
    let playlist = crate::leg::media::Playlist { clips: Vec::new(), repeat: false, room };
    handle.send(ToMedia::Play { call, token, playlist: Box::new(playlist) }).unwrap();
    assert!(matches!(next(&mut handle).await, FromMedia::PlayDone { finished: false, .. }));
    assert!(started.elapsed() < Duration::from_millis(500), "woken, not looked up");
}

/// A bridge behind a socket, until the leg says goodbye. True: it had keys before.
fn serve(mut bridge: StandInBridge, socket: &UdpSocket) -> bool {
    socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let (mut buffer, mut secured) = ([0; 2_048], false);
    let end = crate::io::now() + Duration::from_secs(10);
    while crate::io::now() < end {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let datagram = Datagram { socket: 0, from, bytes: &buffer[..length] };
            bridge.transport.handle_datagram(crate::io::now(), datagram);
        }
        let now = crate::io::now();
        if bridge.transport.poll_timeout().is_some_and(|(at, _)| at <= now) {
            bridge.transport.handle_timeout(now);
        }
        while let Some(departure) = bridge.transport.poll_transmit(&mut buffer) {
            socket.send_to(&buffer[..departure.length], departure.to).unwrap();
        }
        while let Some(event) = bridge.transport.poll_event() {
            match event {
                TransportEvent::Secured { .. } => secured = true,
                TransportEvent::Failed(TransportFailure::ClosedByPeer) => return secured,
                _ => {}
            }
        }
    }
    false
}

#[tokio::test(flavor = "current_thread")]
async fn a_leg_and_its_bridge_get_keys_over_a_socket_of_their_own() {
    let config = MediaThreadConfig { shard: ShardId(2), size: ShardConfig::default() };
    let mut handle = MediaHandle::spawn(config).unwrap();
    let call = SlotMap::<CallKey, ()>::with_key().insert(());
    handle.open_sockets(call, two_free_ports()).unwrap();
    let config = TrunkMediaConfig { silence_timeout: Duration::from_secs(30) };
    let half = TrunkMedia::new(call, config, Rng::from_number(1));
    handle.send(ToMedia::AttachTrunk { call, half }).unwrap();
    let room = RoomKey(1);
    handle.send(ToMedia::OpenRoom { room, ingress: Ingress::new(4) }).unwrap();
    let bridge_socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let leg_socket = bind_conference("127.0.0.1:0".parse().unwrap()).unwrap();
    let addresses = [leg_socket.local_addr().unwrap(), bridge_socket.local_addr().unwrap()];
    // Place 0 first gets a socket nobody knows: the next one takes its place.
    let other = bind_conference("127.0.0.1:0".parse().unwrap()).unwrap();
    handle.open_conference_socket(call, 0, other).unwrap();
    handle.open_conference_socket(call, 0, leg_socket).unwrap();
    let (half, bridge) = leg_and_bridge_at(crate::io::now(), CodecKind::Pcmu, addresses);
    let served = tokio::task::spawn_blocking(move || serve(bridge, &bridge_socket));
    handle.send(ToMedia::AttachConference { call, room, half }).unwrap();
    let connected = async {
        loop {
            if let FromMedia::Conference { event: ConferenceEvent::Connected, .. } =
                next(&mut handle).await
            {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), connected).await.expect("keys");
    handle.send(ToMedia::DetachConference(call)).unwrap();
    while !matches!(next(&mut handle).await, FromMedia::ConferenceDetached { .. }) {}
    assert!(served.await.unwrap(), "the goodbye reaches the bridge before the half comes home");
    handle.close_conference_socket(call, 0).unwrap();
    handle.close_sockets(call).unwrap();
}
