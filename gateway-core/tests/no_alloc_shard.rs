//! The media plane allocates nothing after set-up: whole calls of every codec through two shards, with clips, keys,
//! mute, RTCP, strangers and a stall.
#![expect(clippy::disallowed_methods, reason = "a beginning: only differences of it matter")]
#![expect(clippy::needless_range_loop, reason = "the number names the call on both ends")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use assert_no_alloc::{AllocDisabler, assert_no_alloc, violation_count};
use gateway_core::base::ids::{CallKey, PlayToken, RoomKey};
use gateway_core::base::limits::RTP_DATAGRAM_BYTES_MAX;
use gateway_core::base::rng::Rng;
use gateway_core::leg::media::{FromMedia, KeyWay, Playlist, RoomDuring, SocketKind, ToMedia};
use gateway_core::leg::phone_line::{PcmTap, PhoneLine, PhoneLineConfig};
use gateway_core::leg::room::media::RoomMedia;
use gateway_core::leg::trunk::media::{AudioPath, TrunkMedia, TrunkMediaConfig};
use gateway_core::media::clip::prompt::PromptId;
use gateway_core::media::clip::{ClipLibrary, Language};
use gateway_core::media::codec::CodecKind;
use gateway_core::media::dtmf::{Key, Press};
use gateway_core::media::ingress::Ingress;
use gateway_core::rtp::session::{
    Direction, EventFormat, Latching, MasterKey, RtpSession, SrtpKeys, SrtpProfile,
};
use gateway_core::shard::{Shard, ShardConfig};
use slotmap::SlotMap;

#[global_allocator]
static ALLOCATOR: AllocDisabler = AllocDisabler;

const CODECS: [CodecKind; 4] = [CodecKind::Pcmu, CodecKind::Pcma, CodecKind::G722, CodecKind::Opus];

fn address(end: usize, n: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1 + end as u8], 20_000 + 2 * n as u16))
}

/// The last phone knows no telephone-event: its audio is listened to.
fn session(n: usize, remote: SocketAddr) -> Box<RtpSession> {
    let row = CODECS[n].row();
    let events = (n != 1).then_some(EventFormat { payload_type: 101, clock_hz: row.clock_hz });
    Box::new(RtpSession {
        remote_rtp: remote,
        remote_rtcp: SocketAddr::new(remote.ip(), remote.port() + 1),
        rtcp_mux: n == 2,
        send_codec: row.kind,
        send_payload_type: row.payload_type,
        receive: [(row.payload_type, row.kind)].into_iter().collect(),
        send_events: events,
        receive_events: events.into_iter().collect(),
        receive_comfort_noise: None,
        packet_time_ms: [20, 10, 30, 60][n],
        direction: Direction::SendRecv,
        latching: Latching::LearnOnce,
        srtp: (n < 2).then(|| keys(n, remote)),
    })
}

/// SRTP on two of the calls, one suite of each kind; what the one end sends with the other receives with.
fn keys(n: usize, remote: SocketAddr) -> SrtpKeys {
    let profile = [SrtpProfile::AesCm128Sha1_80, SrtpProfile::AeadAes128Gcm][n];
    let length = profile.key_bytes() + profile.salt_bytes();
    let key = |byte| MasterKey::new(profile, &vec![byte; length]).expect("the length it wants");
    match remote.ip() == address(1, n).ip() {
        true => SrtpKeys { send: key(1), receive: key(2) },
        false => SrtpKeys { send: key(2), receive: key(1) },
    }
}

struct Stage {
    now: Instant,
    shards: [Shard; 2],
    calls: [[CallKey; 4]; 2],
    /// What came home; big enough from the start.
    home: Vec<FromMedia>,
    taps: Vec<std::sync::Arc<PcmTap>>,
}

impl Stage {
    fn new() -> Self {
        let now = Instant::now();
        let config = ShardConfig { calls_max: 16, rooms_max: 8 };
        let mut keys = SlotMap::<CallKey, ()>::with_key();
        let mut stage = Self {
            now,
            shards: [Shard::new(config, now), Shard::new(config, now)],
            calls: std::array::from_fn(|_| std::array::from_fn(|_| keys.insert(()))),
            home: Vec::with_capacity(4_096),
            taps: Vec::new(),
        };
        stage.shards[0].command(now, open_room(0));
        let clips = ClipLibrary::embedded().expect("the prompts are part of the crate");
        for n in 0..4 {
            for end in 0..2 {
                let call = stage.calls[end][n];
                let config = TrunkMediaConfig { silence_timeout: Duration::from_secs(30) };
                let half = TrunkMedia::new(call, config, Rng::from_number((n * 2 + end) as u64));
                stage.shards[end].command(now, ToMedia::AttachTrunk { call, half });
                let session = session(n, address(1 - end, n));
                let path = AudioPath::new(&session);
                stage.shards[end].command(now, ToMedia::Configure { call, path, session });
            }
            stage.shards[1].command(now, open_room(1 + n as u64));
            let tap = PcmTap::new(2);
            let line = PhoneLine::new(PhoneLineConfig {
                key: 1,
                codecs: CODECS.to_vec(),
                rate: CODECS[n].row().pcm_rate,
                play: Some(clips.prompt(PromptId::Greeting, Language::En)),
                repeat: true,
                record: Some(tap.clone()),
            });
            stage.taps.push(tap);
            let (call, room) = (stage.calls[1][n], RoomKey(1 + n as u64));
            stage.shards[1].command(now, ToMedia::AttachConference { call, room, half: line });
            stage.seat(n);
        }
        stage
    }

    fn seat(&mut self, n: usize) {
        let half = RoomMedia::new(n as u64, &CODECS, CODECS[n].row().pcm_rate);
        let (call, room) = (self.calls[0][n], RoomKey(0));
        self.shards[0].command(self.now, ToMedia::AttachConference { call, room, half });
    }

    fn tick(&mut self) {
        self.now += Duration::from_millis(5);
        let mut bytes = [0; RTP_DATAGRAM_BYTES_MAX];
        for end in 0..2 {
            while self.shards[end].poll_timeout().is_some_and(|(due, _)| due <= self.now) {
                self.shards[end].handle_timeout(self.now);
                while let Some((call, transmit)) = self.shards[end].poll_transmit(&mut bytes) {
                    let n = self.calls[end].iter().position(|known| *known == call).unwrap_or(0);
                    let (to, payload) = (self.calls[1 - end][n], &bytes[..transmit.length]);
                    let mut from = address(end, n);
                    if transmit.socket == SocketKind::TrunkRtcp {
                        from.set_port(from.port() + 1);
                    }
                    let socket = transmit.socket;
                    self.shards[1 - end].handle_packet(self.now, to, socket, from, payload);
                }
                while let Some(output) = self.shards[end].poll_output() {
                    self.home.push(output);
                }
            }
        }
    }
}

fn open_room(key: u64) -> ToMedia {
    ToMedia::OpenRoom { room: RoomKey(key), ingress: Ingress::new(8) }
}

fn play(call: CallKey, repeat: bool) -> ToMedia {
    let clips = ClipLibrary::embedded().expect("the prompts are part of the crate");
    let clip = clips.prompt(PromptId::Greeting, Language::En);
    let room = RoomDuring::Ducked;
    let playlist = Box::new(Playlist { clips: vec![clip], repeat, room });
    ToMedia::Play { call, token: PlayToken(1), playlist }
}

#[test]
fn whole_calls_allocate_nothing() {
    let mut stage = Stage::new();
    let [gateway, phones] = stage.calls;
    let keys = "123#".chars().filter_map(Key::from_char).map(Press::from).collect();
    let tones = "45".chars().filter_map(Key::from_char).map(Press::from).collect();
    let renewed = session(0, address(1, 0));
    let mut script = vec![
        (100, 0, play(gateway[0], false)),
        (120, 0, play(gateway[0], true)),
        (150, 1, ToMedia::SendKeys { call: phones[3], keys, way: KeyWay::Events }),
        (160, 1, ToMedia::SendKeys { call: phones[2], keys: tones, way: KeyWay::Tones }),
        (200, 0, ToMedia::Mute { call: gateway[1], muted: true }),
        (300, 0, ToMedia::Mute { call: gateway[1], muted: false }),
        (350, 0, ToMedia::StopPlay { call: gateway[0], token: None }),
        (
            400,
            0,
            ToMedia::Configure {
                call: gateway[0],
                path: AudioPath::new(&renewed),
                session: renewed,
            },
        ),
        (1_500, 0, ToMedia::DetachConference(gateway[2])),
        (1_600, 0, ToMedia::DetachTrunk(gateway[3])),
    ];
    script.reverse();
    let before = violation_count();
    assert_no_alloc(|| {
        for tick in 0..2_400 {
            stage.tick();
            while script.last().is_some_and(|(due, ..)| *due == tick) {
                if let Some((_, end, command)) = script.pop() {
                    stage.shards[end].command(stage.now, command);
                }
            }
            if tick % 10 == 0 {
                let (from, noise) = (address(9, 9), [0x80; 172]);
                let call = gateway[0];
                stage.shards[0].handle_packet(stage.now, call, SocketKind::TrunkRtp, from, &noise);
            }
            if tick == 1_000 {
                stage.now += Duration::from_millis(400);
            }
        }
    });
    assert_eq!(violation_count(), before);
    // All that really happened.
    let count = |what: fn(&FromMedia) -> bool| stage.home.iter().filter(|said| what(said)).count();
    // Four as events, two as tones that the other side heard.
    assert_eq!(count(|said| matches!(said, FromMedia::Key { .. })), 6);
    assert_eq!(count(|said| matches!(said, FromMedia::PlayDone { .. })), 2);
    assert_eq!(count(|said| matches!(said, FromMedia::Failed(_))), 0);
    assert_eq!(count(|said| matches!(said, FromMedia::TrunkDetached { .. })), 1);
    assert!(count(|said| matches!(said, FromMedia::Report { .. })) >= 8);
    assert!(stage.shards[0].media_counters().rtcp_sent > 4);
    assert_eq!(stage.shards[0].counters().media_clock_rebased, 1);
    assert!(stage.taps.iter().all(|tap| tap.written() > 0));
}
