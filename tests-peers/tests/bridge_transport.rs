//! Our transport against that of a Jitsi bridge: ice4j, BouncyCastle and jitsi-srtp in the bridge's own versions, composed as a
//! bridge composes them (`java/BridgePeer.java`, compiled here). Both ICE roles, both DTLS roles, both SRTP profiles a bridge
//! has; an ICE restart from another socket; what was forged or repeated neither side takes, and every other packet arrives.
//!
//! The test runs itself again inside a network namespace whose address is on no loopback interface, as ice4j wants.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;
use gateway_core::io::certificate::CertificateMaker;
use gateway_core::webrtc::transport::{Datagram, Media, TransportCommand, TransportEvent};
use gateway_core::webrtc::{
    Candidate, Certificate, DtlsTransport, Fingerprint, FingerprintHash, IceCredentials, LocalIce,
    LocalTransport, RemoteIce, RemoteTransport, Setup, Transport, TransportFailure,
    TransportSettings,
};
use gateway_tests_peers::asked::Asked;
use gateway_tests_peers::process::last_lines;
use gateway_tests_peers::require::{Peer, all_there, peers_dir, repository};
use gateway_tests_peers::world::World;
use serde_json::{Value, json};

const ADDRESS: &str = "10.77.0.1";
const BRIDGE_PORT: u16 = 10_000;
const FOLDER: &str = "WEEBEE_BRIDGE_TRANSPORT_FOLDER";
const OURS: u32 = 0x1234_5678;
/// The source under which the peer sends back.
const ECHO: u32 = 0x0bad_a55e;
/// Packets of each kind in one session, over a wrap of the sequence numbers.
const RTP: u16 = 300;
const RTCP_EVERY: u16 = 10;
/// Packets on the way at once: no socket's buffer may be the reason why one is lost.
const UNANSWERED_MAX: usize = 32;
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_bridges_own_libraries_and_our_transport_read_each_other() {
    let name = "a_bridges_own_libraries_and_our_transport_read_each_other";
    if !all_there(name, &[Peer::JavaTransport]) {
        return;
    }
    println!("\n{}", Peer::JavaTransport.version());
    let world = World::new("bridge-transport");
    world.add_address(&format!("{ADDRESS}/24"));
    compile(world.folder());
    world.run_inside("inside_the_namespace", FOLDER, &[]);
}

#[test]
#[ignore = "runs inside the namespace that the test above makes"]
fn inside_the_namespace() {
    let folder = PathBuf::from(std::env::var(FOLDER).expect("started by the test above"));
    let mut bridge = start(&folder);
    let (_, certificate) = CertificateMaker::new(Instant::now()).expect("a key pair");
    let usual = Shape {
        bridge_controls: true,
        setup: Setup::Passive,
        profile: "gcm128",
        tells_candidates: false,
        restarts: true,
    };
    let shapes = [
        usual,
        Shape { setup: Setup::Active, tells_candidates: true, ..usual },
        Shape { profile: "cm80", restarts: false, ..usual },
        Shape { profile: "cm80", setup: Setup::Active, bridge_controls: false, ..usual },
    ];
    for (number, shape) in (1..).zip(shapes) {
        let mut call = Call::new(&mut bridge, &certificate, number, shape);
        call.connect();
        call.talk();
        let told = call.finish();
        println!("{shape:?}: {told}");
    }
    a_wrong_certificate_is_refused(&mut bridge, &certificate);
}

/// Neither side gives keys to somebody else than signalling announced.
fn a_wrong_certificate_is_refused(bridge: &mut Asked, certificate: &Arc<Certificate>) {
    let shape = Shape {
        bridge_controls: true,
        setup: Setup::Passive,
        profile: "gcm128",
        tells_candidates: true,
        restarts: false,
    };
    for (whose, told) in [("theirs", Told::theirs_wrong()), ("ours", Told::ours_wrong())] {
        let mut call = Call::told(bridge, certificate, 9, shape, told);
        let began = Instant::now();
        if whose == "theirs" {
            let failure = TransportEvent::Failed(TransportFailure::WrongFingerprint);
            call.turn_until("our refusal", |call| call.happened(&failure));
        } else {
            call.turn_until("their refusal", |call| {
                call.bridge.said(|told| told["event"] == "wrong-certificate").is_some()
            });
            let is_over = |call: &mut Call<'_>| {
                call.events.iter().any(|event| matches!(event, TransportEvent::Failed(_)))
            };
            call.turn_until("our end", is_over);
        }
        let secured = |event: &TransportEvent| matches!(event, TransportEvent::Secured { .. });
        assert!(whose == "ours" || !call.events.iter().any(secured), "{:?}", call.events);
        println!("a wrong fingerprint of {whose}: refused after {:?}", began.elapsed());
        call.close();
    }
}

fn jars() -> String {
    peers_dir().join("java-transport/lib/*").display().to_string()
}

fn compile(folder: &Path) {
    let mut command = Command::new("javac");
    command.args(["-Xlint:all,-classfile,-processing", "-Werror", "-cp", &jars(), "-d"]);
    command.arg(folder).arg(repository().join("tests-peers/java/BridgePeer.java"));
    let done = command.output().expect("javac is there");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{}", last_lines(&said, 20));
}

fn start(folder: &Path) -> Asked {
    let mut command = Command::new("java");
    // Starts quickly; asks no cloud for its address.
    command.args(["-XX:TieredStopAtLevel=1", "-Xmx256m", "-Djava.net.preferIPv4Stack=true"]);
    command.arg("-Dice4j.harvest.mapping.aws.enabled=false");
    command.args(["-cp", &format!("{}:{}", folder.display(), jars()), "BridgePeer", ADDRESS]);
    command.arg(BRIDGE_PORT.to_string());
    let mut bridge = Asked::start("bridge", folder, command);
    bridge.wait_for("ready", 20);
    bridge
}

/// One way to come together.
#[derive(Clone, Copy, Debug)]
struct Shape {
    bridge_controls: bool,
    /// Ours: passive is a bridge that acts as DTLS client.
    setup: Setup,
    profile: &'static str,
    /// Without, the bridge learns our address from our checks.
    tells_candidates: bool,
    restarts: bool,
}

/// What signalling tells of the certificates.
struct Told {
    ours: fn(&Certificate) -> Fingerprint,
    theirs: fn(&Value) -> Fingerprint,
}

impl Told {
    const RIGHT: Told = Told { ours: Certificate::fingerprint, theirs: fingerprint_of };

    fn ours_wrong() -> Told {
        Told { ours: |_| Fingerprint::of(FingerprintHash::Sha256, b"another"), ..Told::RIGHT }
    }

    fn theirs_wrong() -> Told {
        Told { theirs: |_| Fingerprint::of(FingerprintHash::Sha256, b"another"), ..Told::RIGHT }
    }
}

fn fingerprint_of(description: &Value) -> Fingerprint {
    let text = description["fingerprint"].as_str().expect("a text");
    Fingerprint::parse(FingerprintHash::Sha256, text).expect("SHA-256")
}

fn remote_ice(description: &Value) -> RemoteIce {
    let text = |name: &str| description[name].as_str().expect("a text").to_owned();
    let candidates = description["candidates"].as_array().expect("a list").iter().map(|one| {
        let ip = one["ip"].as_str().and_then(|ip| ip.parse().ok()).expect("an address");
        let port = one["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        Candidate::host(SocketAddr::new(ip, port.expect("a port")), 0)
    });
    let credentials = IceCredentials { ufrag: text("ufrag"), password: Pii::new(text("pwd")) };
    RemoteIce { credentials, candidates: candidates.collect() }
}

/// One session.
struct Call<'a> {
    bridge: &'a mut Asked,
    shape: Shape,
    rng: Rng,
    sockets: Vec<UdpSocket>,
    transport: Box<DtlsTransport>,
    events: Vec<TransportEvent>,
    /// Media that left, in order; what came back, in order, and through which socket.
    sent: [Vec<Vec<u8>>; 2],
    heard: [Vec<Vec<u8>>; 2],
    sockets_heard: Vec<u8>,
    /// SRTP datagrams that left, and what was added to them.
    protected: u32,
    forged: u64,
    repeated: u64,
    began: Instant,
}

impl<'a> Call<'a> {
    fn new(
        bridge: &'a mut Asked,
        certificate: &Arc<Certificate>,
        number: u64,
        shape: Shape,
    ) -> Self {
        Call::told(bridge, certificate, number, shape, Told::RIGHT)
    }

    fn told(
        bridge: &'a mut Asked,
        certificate: &Arc<Certificate>,
        number: u64,
        shape: Shape,
        told: Told,
    ) -> Self {
        bridge.forget();
        let profiles = if shape.profile == "cm80" { vec!["cm80"] } else { vec!["gcm128", "cm80"] };
        bridge.tell(
            &json!({ "do": "open", "controlling": shape.bridge_controls, "profiles": profiles }),
        );
        let description = bridge.wait_for("description", 20);
        let mut rng = Rng::from_number(number);
        let socket = bound();
        let local = LocalTransport {
            ice: local_ice(&mut rng, &socket, 0),
            certificate: certificate.clone(),
            setup: shape.setup,
        };
        let remote = RemoteTransport {
            ice: remote_ice(&description),
            fingerprints: vec![(told.theirs)(&description)],
            setup: Setup::ActPass,
            sctp_port: None,
        };
        let settings =
            TransportSettings { controlling: !shape.bridge_controls, opens_channel: false };
        let began = Instant::now();
        let transport = DtlsTransport::new(began, &local, &remote, settings, rng.fork("transport"));
        let candidates = match shape.tells_candidates {
            true => json!([{ "ip": ADDRESS, "port": local.ice.candidates[0].address.port() }]),
            false => json!([]),
        };
        bridge.tell(&json!({
            "do": "answer",
            "ufrag": local.ice.credentials.ufrag,
            "pwd": local.ice.credentials.password.reveal(),
            "setup": if shape.setup == Setup::Active { "active" } else { "passive" },
            "fingerprint": (told.ours)(certificate).to_string(),
            "candidates": candidates,
        }));
        Call {
            bridge,
            shape,
            rng,
            sockets: vec![socket],
            transport,
            events: Vec::new(),
            sent: [const { Vec::new() }; 2],
            heard: [const { Vec::new() }; 2],
            sockets_heard: Vec::new(),
            protected: 0,
            forged: 0,
            repeated: 0,
            began,
        }
    }

    fn happened(&self, event: &TransportEvent) -> bool {
        self.events.contains(event)
    }

    /// One wake: everything that came, everything that is due, everything that leaves.
    fn turn(&mut self) {
        let mut buffer = [0; 2_048];
        let now = Instant::now();
        for (number, socket) in (0..).zip(&self.sockets) {
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let datagram = Datagram { socket: number, from, bytes: &buffer[..length] };
                let Some(received) = self.transport.handle_datagram(now, datagram) else {
                    continue;
                };
                self.heard[usize::from(received.media == Media::Rtcp)]
                    .push(received.bytes.to_vec());
                self.sockets_heard.push(number);
            }
        }
        if self.transport.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.transport.handle_timeout(now);
        }
        while let Some(event) = self.transport.poll_event() {
            self.events.push(event);
        }
        while let Some(departure) = self.transport.poll_transmit(&mut buffer) {
            let socket = &self.sockets[usize::from(departure.socket)];
            let bytes = &mut buffer[..departure.length];
            let is_media = (128..192).contains(&bytes[0]);
            self.protected += u32::from(is_media);
            if is_media && self.protected % 7 == 3 {
                self.forged += 1;
                let _ = socket.send_to(&changed(bytes), departure.to);
            }
            let _ = socket.send_to(bytes, departure.to);
            if is_media && self.protected % 5 == 2 {
                self.repeated += 1;
                let _ = socket.send_to(bytes, departure.to);
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }

    fn turn_until(&mut self, what: &str, mut is_it: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_it(self) {
            let Call { shape, events, transport, .. } = &*self;
            let counters = transport.counters();
            assert!(Instant::now() < end, "{shape:?}: no {what}; {events:?}, {counters:?}");
            self.turn();
        }
    }

    fn turn_until_said(&mut self, event: &str) -> Value {
        let mut said = Value::Null;
        self.turn_until(event, |call| {
            said = call.bridge.said(|told| told["event"] == event).unwrap_or_default();
            !said.is_null()
        });
        said
    }

    /// Path and keys, on both sides, and alike.
    fn connect(&mut self) {
        let secured = |call: &mut Call<'_>| {
            call.events.iter().any(|event| matches!(event, TransportEvent::Secured { .. }))
        };
        self.turn_until("our keys", secured);
        let keys = self.turn_until_said("keys");
        let Shape { setup, profile, .. } = self.shape;
        assert_eq!(keys["profile"], profile, "{keys}");
        assert_eq!(
            keys["role"],
            if setup == Setup::Active { "server" } else { "client" },
            "{keys}"
        );
        assert_eq!(keys["extended_master_secret"], true, "{keys}");
    }

    fn send(&mut self, media: Media, packet: Vec<u8>) {
        assert!(self.transport.send(media, &packet), "a fresh number over a path with keys");
        self.sent[usize::from(media == Media::Rtcp)].push(packet);
    }

    fn unanswered(&self) -> usize {
        let count = |kept: &[Vec<Vec<u8>>; 2]| kept.iter().map(Vec::len).sum::<usize>();
        count(&self.sent) - count(&self.heard)
    }

    /// Speaks; somewhere in the middle the path changes.
    fn talk(&mut self) {
        for number in 0..RTP {
            if self.shape.restarts && number == RTP / 3 {
                self.restart();
            }
            self.send(Media::Rtp, rtp(number));
            if number % RTCP_EVERY == 0 {
                self.send(Media::Rtcp, rtcp(number));
            }
            self.turn();
            self.turn_until("an answer", |call| call.unanswered() < UNANSWERED_MAX);
        }
        if self.shape.restarts {
            self.turn_until_said("moved");
            let number = RTP;
            self.send(Media::Rtp, rtp(number));
        }
        self.turn_until("the last answer", |call| call.unanswered() == 0);
    }

    /// Both sides make another agent; ours is on another socket, as the bridge wants it.
    fn restart(&mut self) {
        self.bridge.tell(&json!({ "do": "restart" }));
        let description = self.turn_until_said("restart");
        self.sockets.push(bound());
        let local = local_ice(&mut self.rng, &self.sockets[1], 1);
        let answer = json!({
            "do": "restart-answer",
            "ufrag": local.credentials.ufrag,
            "pwd": local.credentials.password.reveal(),
            "candidates": [],
        });
        let remote = Some(remote_ice(&description));
        self.transport.command(Instant::now(), TransportCommand::Restart { local, remote });
        self.bridge.tell(&answer);
    }

    /// The verdict.
    fn finish(mut self) -> String {
        let theirs = self.all_counted();
        for (sent, heard) in self.sent.iter().zip(&self.heard) {
            let sent: Vec<Vec<u8>> = sent.iter().map(|packet| as_answered(packet)).collect();
            assert!(sent == *heard, "{:?}: what came back is not what was sent", self.shape);
        }
        let [rtp, rtcp] = self.sent.each_ref().map(Vec::len);
        assert_eq!((&theirs["rtp"], &theirs["rtcp"]), (&json!(rtp), &json!(rtcp)), "{theirs}");
        assert_eq!(theirs["unauthentic"], self.forged, "{theirs}");
        assert_eq!(theirs["replayed"], self.repeated, "{theirs}");
        assert_eq!(theirs["refused"], 0, "{theirs}");
        let ours = self.transport.counters();
        assert!(theirs["forged"].as_u64().is_some_and(|forged| forged > 20), "{theirs}");
        assert_eq!(theirs["forged"], ours.srtp_unauthentic, "{ours:?}");
        assert_eq!(theirs["repeated"], ours.srtp_replayed, "{ours:?}");
        if self.shape.restarts {
            assert_eq!(self.sockets_heard.last(), Some(&1), "the new path is the one in use");
        }
        let elapsed = self.began.elapsed();
        self.close();
        format!(
            "{rtp} RTP and {rtcp} RTCP both ways in {elapsed:?}; they refused {} forged and {} repeated, we {} and {}",
            theirs["unauthentic"], theirs["replayed"], ours.srtp_unauthentic, ours.srtp_replayed
        )
    }

    /// Their counts, once the last copies have arrived on both sides.
    fn all_counted(&mut self) -> Value {
        let sum = |told: &Value, names: [&str; 2]| -> u64 {
            names.iter().filter_map(|name| told[name].as_u64()).sum()
        };
        let mut theirs = Value::Null;
        self.turn_until("all copies", |call| {
            call.bridge.tell(&json!({ "do": "counts" }));
            theirs = call.turn_until_said("counts");
            let ours = call.transport.counters();
            sum(&theirs, ["unauthentic", "replayed"]) == call.forged + call.repeated
                && sum(&theirs, ["forged", "repeated"])
                    == ours.srtp_unauthentic + ours.srtp_replayed
        });
        theirs
    }

    /// Says goodbye, which the bridge understands at once.
    fn close(mut self) {
        let had_keys = self.events.iter().any(|it| matches!(it, TransportEvent::Secured { .. }));
        let failed = self.events.iter().any(|it| matches!(it, TransportEvent::Failed(_)));
        self.transport.command(Instant::now(), TransportCommand::Close);
        if had_keys && !failed {
            let alert = self.turn_until_said("alert");
            assert!(alert["name"].to_string().contains("close_notify"), "{alert}");
        }
        self.bridge.tell(&json!({ "do": "close" }));
        self.turn_until_said("closed");
    }
}

fn bound() -> UdpSocket {
    let socket = UdpSocket::bind((ADDRESS, 0)).expect("the namespace has this address");
    socket.set_nonblocking(true).expect("a UDP socket");
    socket
}

fn local_ice(rng: &mut Rng, socket: &UdpSocket, number: u8) -> LocalIce {
    let address = socket.local_addr().expect("it is bound");
    LocalIce {
        credentials: IceCredentials::random(rng),
        candidates: vec![Candidate::host(address, u16::from(number))],
        socket: number,
    }
}

/// One bit other: in the tag, or in what a report tells.
fn changed(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let is_report = (192..224).contains(&packet[1]);
    let place = if is_report { 12 } else { packet.len() - 1 };
    packet[place] ^= 1;
    packet
}

/// Opus-like, with the level extension, every length; the numbers wrap.
fn rtp(number: u16) -> Vec<u8> {
    let mut packet = vec![0x90, 111];
    packet.extend(number.wrapping_add(65_400).to_be_bytes());
    packet.extend((u32::from(number) * 960).to_be_bytes());
    packet.extend(OURS.to_be_bytes());
    packet.extend([0xbe, 0xde, 0, 1, 0x10, 0x80 | (number % 128) as u8, 0, 0]);
    packet.extend((0..1 + number % 400).map(|place| (place ^ number) as u8));
    packet
}

/// A sender report, some with a block.
fn rtcp(number: u16) -> Vec<u8> {
    let blocks = number / RTCP_EVERY % 2;
    let words = 6 + 6 * blocks;
    let mut packet = vec![0x80 | blocks as u8, 200];
    packet.extend(words.to_be_bytes());
    packet.extend(OURS.to_be_bytes());
    packet.resize(4 + 4 * usize::from(words), number as u8);
    packet
}

/// The same packet under the peer's source.
fn as_answered(packet: &[u8]) -> Vec<u8> {
    let place = if (192..224).contains(&packet[1]) { 4 } else { 8 };
    let mut packet = packet.to_vec();
    packet[place..place + 4].copy_from_slice(&ECHO.to_be_bytes());
    packet
}
