//! Our transport and the media half of a bridge leg against aiortc (OpenSSL, libsrtp, its own ICE and SCTP): both ICE
//! roles, both DTLS roles, speech both ways judged as sound, texts over the data channel.
//!
//! The test runs itself again inside a network namespace, where aiortc finds an address that is not loopback (it
//! ignores loopback, as bridges do) and nothing can leave.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_core::base::rng::Rng;
use gateway_core::base::time::WallClock;
use gateway_core::io::certificate::CertificateMaker;
use gateway_core::leg::jitsi::media::{JitsiMedia, JitsiMediaConfig, remote_source};
use gateway_core::leg::media::{
    ConferenceCommand, ConferenceEvent, ConferenceMedia, SocketKind, Uplink,
};
use gateway_core::media::codec::{self, CodecKind, Encoder, EncoderSettings, PAYLOAD_BYTES_MAX};
use gateway_core::media::frame::{Frame, SampleRate};
use gateway_core::media::ingress::{EarKey, Ingress};
use gateway_core::webrtc::transport::{TransportCommand, TransportEvent};
use gateway_core::webrtc::{
    Candidate, Certificate, DtlsTransport, Fingerprint, FingerprintHash, IceCredentials, LocalIce,
    LocalTransport, RemoteIce, RemoteTransport, Setup, TransportSettings,
};
use gateway_tests_peers::asked::Asked;
use gateway_tests_peers::require::{Peer, all_there, peers_dir, repository};
use gateway_tests_peers::sound::compare::{Searched, heard};
use gateway_tests_peers::sound::speech::Speech;
use gateway_tests_peers::sound::wav::Wav;
use gateway_tests_peers::world::World;
use serde_json::json;

const OURS: u32 = 0x1234_5678;
const EAR: EarKey = EarKey(1);
const ADDRESS: &str = "10.99.0.1";
/// Texts of our own offer; aiortc's has its own numbers.
const OPUS: u8 = 111;
const LEVEL: u8 = 1;
const FOLDER: &str = "WEEBEE_WEBRTC_FOLDER";
const SENTENCE: f64 = 3.5;

#[test]
fn aiortc_and_a_bridge_leg_hear_each_other() {
    let name = "aiortc_and_a_bridge_leg_hear_each_other";
    if !all_there(name, &[Peer::Aiortc, Peer::Speech]) {
        return;
    }
    let world = World::new("webrtc");
    let address = format!("{ADDRESS}/24");
    let added = world.command("ip").args(["addr", "add", &address, "dev", "lo"]).status();
    assert!(added.expect("ip runs").success());
    world.run_inside("inside_the_namespace", FOLDER, &[]);
}

#[test]
#[ignore = "runs inside the namespace that the test above makes"]
fn inside_the_namespace() {
    let folder = PathBuf::from(std::env::var(FOLDER).expect("started by the test above"));
    for (aiortc_offers, setup) in [
        (true, Setup::Passive),
        (true, Setup::Active),
        (false, Setup::Passive),
        (false, Setup::Active),
    ] {
        let name =
            format!("aiortc {}, we {setup:?}", if aiortc_offers { "offers" } else { "answers" });
        let place = folder.join(name.replace([' ', ','], "-"));
        std::fs::create_dir_all(&place).expect("a folder");
        let mut call = Call::new(&place, aiortc_offers, setup);
        call.talk();
        let told = call.finish();
        println!("{name}: {told}");
    }
}

/// aiortc in a process of its own.
fn aiortc(folder: &Path, play: &Path, offers: bool) -> Asked {
    let mut command = Command::new(peers_dir().join("webrtc/bin/python"));
    command.arg(repository().join("tests-peers/webrtc/peer.py"));
    command.arg("--play").arg(play).arg("--record").arg(folder);
    command.arg(if offers { "--offers" } else { "--answers" });
    Asked::start("aiortc", folder, command)
}

fn description(aiortc: &mut Asked) -> String {
    aiortc.wait_for("description", 20)["sdp"].as_str().expect("a text").to_owned()
}

/// The first value of an attribute.
fn attribute<'a>(sdp: &'a str, name: &str) -> &'a str {
    let line =
        sdp.lines().find_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {sdp}"))
}

fn remote_of(sdp: &str) -> RemoteTransport {
    let candidates = sdp.lines().filter_map(|line| {
        let mut words = line.strip_prefix("a=candidate:")?.split(' ').skip(4);
        let (ip, port) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Candidate::host(SocketAddr::new(ip, port), 0))
    });
    let credentials = IceCredentials {
        ufrag: attribute(sdp, "ice-ufrag").to_owned(),
        password: gateway_core::base::pii::Pii::new(attribute(sdp, "ice-pwd").to_owned()),
    };
    let fingerprints = sdp.lines().filter_map(|line| {
        let (hash, text) = line.strip_prefix("a=fingerprint:")?.split_once(' ')?;
        Fingerprint::parse(FingerprintHash::from_name(hash)?, text)
    });
    RemoteTransport {
        ice: RemoteIce { credentials, candidates: candidates.collect() },
        fingerprints: fingerprints.collect(),
        setup: Setup::ActPass,
        sctp_port: Some(attribute(sdp, "sctp-port").parse().expect("a port")),
    }
}

fn description_of(local: &LocalTransport, opus: u8, level: u8) -> String {
    let candidate = &local.ice.candidates[0];
    let transport = [
        format!("a=ice-ufrag:{}", local.ice.credentials.ufrag),
        format!("a=ice-pwd:{}", local.ice.credentials.password.reveal()),
        format!("a=fingerprint:sha-256 {}", local.certificate.fingerprint()),
        format!("a=setup:{}", if local.setup == Setup::Active { "active" } else { "passive" }),
        format!(
            "a=candidate:1 1 udp {} {} {} typ host",
            candidate.priority,
            candidate.address.ip(),
            candidate.address.port()
        ),
        "a=end-of-candidates".to_owned(),
    ]
    .join("\r\n");
    [
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=msid-semantic:WMS *".to_owned(),
        format!("m=audio 9 UDP/TLS/RTP/SAVPF {opus}\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendrecv"),
        format!("a=rtcp-mux\r\na=rtpmap:{opus} opus/48000/2"),
        format!("a=extmap:{level} urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
        format!("a=ssrc:{OURS} cname:phone"),
        transport.clone(),
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:1".to_owned(),
        "a=sctp-port:5000\r\na=max-message-size:65536".to_owned(),
        transport,
        String::new(),
    ]
    .join("\r\n")
}

/// A bridge leg with a phone that speaks G.722, and aiortc as its bridge.
struct Call {
    place: PathBuf,
    aiortc: Asked,
    socket: UdpSocket,
    leg: Box<JitsiMedia>,
    ingress: Box<Ingress>,
    encoder: Box<dyn Encoder>,
    sentences: [Speech; 2],
    began: Instant,
    events: Vec<(Duration, ConferenceEvent)>,
    /// What the phone heard.
    heard: Wav,
}

impl Call {
    fn new(place: &Path, aiortc_offers: bool, setup: Setup) -> Call {
        let sentences =
            [0, 1].map(|number| Speech::spoken(place, &format!("voice{number}"), number, SENTENCE));
        let play = place.join("voice1.wav");
        let mut aiortc = aiortc(place, &play, aiortc_offers);
        let socket = UdpSocket::bind((ADDRESS, 0)).expect("the namespace has this address");
        socket.set_nonblocking(true).expect("a UDP socket");
        let mut rng = Rng::from_number(1);
        let (_, certificate) = CertificateMaker::new(Instant::now()).expect("a key pair");
        let local = local_transport(&mut rng, &socket, certificate, setup);
        let theirs;
        let (mut opus, mut level) = (OPUS, LEVEL);
        if aiortc_offers {
            theirs = description(&mut aiortc);
            opus = attribute(&theirs, "rtpmap")
                .split(' ')
                .next()
                .expect("a number")
                .parse()
                .expect("a number");
            let extension = theirs.lines().find(|line| line.ends_with("ssrc-audio-level"));
            let id = extension.and_then(|line| line.strip_prefix("a=extmap:")?.split(' ').next());
            level = id.expect("aiortc offers levels").parse().expect("a number");
            aiortc.tell(&json!({ "sdp": description_of(&local, opus, level) }));
        } else {
            aiortc.tell(&json!({ "sdp": description_of(&local, opus, level) }));
            theirs = description(&mut aiortc);
        }
        let began = Instant::now();
        let settings = TransportSettings { controlling: !aiortc_offers, opens_channel: true };
        let remote = remote_of(&theirs);
        let transport = DtlsTransport::new(began, &local, &remote, settings, rng.fork("transport"));
        let config = JitsiMediaConfig {
            ear: EAR,
            rate: SampleRate::Hz16000,
            codecs: vec![CodecKind::G722],
            ssrc: OURS,
            opus_payload_type: opus,
            key_payload_type: None,
            level_extension: Some(level),
            listens_only: false,
            cname: "phone".to_owned(),
            wall: WallClock::default(),
        };
        let mut leg = JitsiMedia::new(began, config, transport, rng);
        let mut ingress = Ingress::new(4);
        leg.attach(began, &mut ingress);
        let ssrc = attribute(&theirs, "ssrc").split(' ').next().expect("a number").parse();
        let ssrc = ssrc.expect("a number");
        let command = ConferenceCommand::AddSource { ssrc, source: remote_source(ssrc, None) };
        leg.command(began, command, &mut ingress);
        let encoder =
            codec::new_encoder(CodecKind::G722, SampleRate::Hz16000, EncoderSettings::default());
        Call {
            place: place.to_owned(),
            aiortc,
            socket,
            leg,
            ingress,
            encoder,
            sentences,
            began,
            events: Vec::new(),
            heard: Wav { rate: 16_000, samples: Vec::new() },
        }
    }

    fn happened(&self, event: &ConferenceEvent) -> Option<Duration> {
        self.events.iter().find(|(_, happened)| happened == event).map(|(at, _)| *at)
    }

    /// One wake of 5 ms.
    fn wake(&mut self, number: u32) {
        let due = self.began + Duration::from_millis(5) * number;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let mut buffer = [0; 2_048];
        let now = Instant::now();
        while let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
            let socket = SocketKind::Conference(0);
            self.leg.handle_packet(now, socket, from, &buffer[..length], &mut self.ingress);
        }
        if self.leg.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.leg.handle_timeout(now, &mut self.ingress);
        }
        self.ingress.tick(now);
        while let Some(event) = self.leg.poll_event() {
            self.events.push((self.began.elapsed(), event));
        }
        while let Some(transmit) = self.leg.poll_transmit(&mut buffer) {
            let _ = self.socket.send_to(&buffer[..transmit.length], transmit.to);
        }
    }

    /// Connects, speaks the first sentence, hears the second, says a text on the channel.
    fn talk(&mut self) {
        let speech = self.sentences[0].wav.samples.clone();
        let frames: Vec<&[i16]> = speech.chunks_exact(320).collect();
        let (mut wake, mut frame) = (0, 0_u64);
        let mut text_sent = false;
        // Two turns of aiortc's sentence.
        while frame < 400 {
            wake += 1;
            self.wake(wake);
            assert!(wake < 20 * 200, "no keys in 20 s: {:?}", self.events);
            let channel = ConferenceEvent::Transport(TransportEvent::ChannelOpen);
            if !text_sent && self.happened(&channel).is_some() {
                text_sent = true;
                let text = TransportCommand::SendChannel(b"from the phone".to_vec());
                let command = ConferenceCommand::Transport(text);
                self.leg.command(Instant::now(), command, &mut self.ingress);
            }
            if self.happened(&ConferenceEvent::Connected).is_none() || wake % 4 != 0 {
                continue;
            }
            if let Some(pcm) = frames.get((frame as usize).wrapping_sub(50)) {
                self.speak(frame, pcm);
            }
            let mut out = Frame::silence(SampleRate::Hz16000);
            self.leg.pull(Instant::now(), &mut self.ingress, &mut out);
            self.heard.samples.extend(out.samples());
            frame += 1;
        }
    }

    fn speak(&mut self, frame: u64, pcm: &[i16]) {
        let mut payload = [0; PAYLOAD_BYTES_MAX];
        let length = self.encoder.encode(pcm, &mut payload);
        let speech = Uplink {
            codec: CodecKind::G722,
            sequence: frame,
            timestamp: frame * 160,
            marker: false,
            payload: &payload[..length],
        };
        self.leg.push_uplink(Instant::now(), speech, &mut self.ingress);
    }

    /// The verdict.
    fn finish(mut self) -> String {
        self.aiortc.tell(&json!({ "do": "end" }));
        let saved = self.aiortc.wait_for("saved", 20);
        let file = saved["files"][OURS.to_string()]["file"].as_str();
        let recording = Wav::read(Path::new(file.expect("aiortc heard us"))).expect("a WAV file");
        self.heard.write(&self.place.join("phone.wav")).expect("written");
        let judge = |recording: &Wav, spoken: &Wav| {
            // Silence is not sent: what aiortc wrote begins and ends with the voice.
            let silence = Wav::silence(recording.rate, 0.5);
            let recording = silence.clone().then(recording).then(&silence);
            let searched = Searched { from: 0.0, to: recording.seconds() };
            heard(&recording, searched, spoken).expect("long enough")
        };
        let up = judge(&recording, &self.sentences[0].wav);
        let down = judge(&self.heard, &self.sentences[1].wav);
        let counters = self.leg.transport().counters();
        assert!(up.correlation > 0.85, "aiortc heard {up:?}");
        assert!(down.correlation > 0.85, "the phone heard {down:?}");
        assert!(up.level_db.abs() < 1.5, "{up:?}");
        assert!(down.level_db.abs() < 1.5, "{down:?}");
        assert_eq!((counters.srtp_unauthentic, counters.srtp_replayed), (0, 0), "{counters:?}");
        let answer = TransportEvent::ChannelMessage("heard: from the phone".to_owned());
        let answered = self.happened(&ConferenceEvent::Transport(answer));
        let connected = self.happened(&ConferenceEvent::Connected).expect("it spoke");
        format!(
            "keys after {} ms, text back after {} ms; up {:.3}, down {:.3}",
            connected.as_millis(),
            answered.expect("the channel answers").as_millis(),
            up.correlation,
            down.correlation,
        )
    }
}

fn local_transport(
    rng: &mut Rng,
    socket: &UdpSocket,
    certificate: Arc<Certificate>,
    setup: Setup,
) -> LocalTransport {
    let address = socket.local_addr().expect("it is bound");
    let credentials = IceCredentials::random(rng);
    let ice = LocalIce { credentials, candidates: vec![Candidate::host(address, 0)], socket: 0 };
    LocalTransport { ice, certificate, setup }
}
