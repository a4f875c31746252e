//! A gateway and its phones on loopback, with real sockets, threads and files: PIN typed, both hear each other and not
//! themselves; HTTP shows and ends calls; records are written; and no log line holds a PIN or a number.

use std::f64::consts::TAU;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gateway_core::base::ids::CallKey;
use gateway_core::base::rng::Rng;
use gateway_core::base::time::WallClock;
use gateway_core::gateway::{Command, Event};
use gateway_core::io::signalling::{self, Running};
use gateway_core::io::{os_rng, wall_clock};
use gateway_core::leg::backend::RoomName;
use gateway_core::leg::end_reason::EndReason;
use gateway_core::leg::phone_line::PcmTap;
use gateway_core::media::clip::{Clip, ClipLibrary};
use gateway_core::media::codec::CodecKind;
use gateway_core::media::frame::SampleRate;
use gateway_daemon::app::App;
use gateway_daemon::config;
use gateway_daemon::phone::Phone;
use gateway_daemon::phone::target::Target;
use gateway_daemon::pin::sqlite::SqliteRegistry;
use gateway_daemon::pin::{NewPin, PinKind, PinRegistry};
use gateway_daemon::rest::{self, Guard, Rest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const NUMBER: &str = "+622112345647";
const WRONG_PIN: &str = "121212121";
const PATIENCE: Duration = Duration::from_secs(40);

/// Keeps every log line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A test phone that plays a tone and remembers what it hears.
struct Caller {
    running: Running,
    call: CallKey,
    tap: Arc<PcmTap>,
}

impl Caller {
    async fn dial(gateway: SocketAddr, codec: CodecKind, tone_hz: f64, pin: &str) -> Self {
        let tap = PcmTap::new(60);
        let phone = Phone {
            target: Target::parse(&format!("sip:pin@{gateway}")).expect("a SIP URI"),
            from_user: NUMBER.to_owned(),
            codecs: vec![codec],
            credentials: None,
            play: Some(tone(tone_hz)),
            record: Some(Arc::clone(&tap)),
        };
        let clips = Arc::new(ClipLibrary::embedded().expect("built in"));
        let config = phone.gateway(clips).expect("a route to loopback");
        let running = signalling::start(config, os_rng().expect("entropy")).expect("starts");
        let dialled = running.handle.command(phone.dial(Some(pin))).await.expect("taken");
        Self { running, call: dialled.expect("a call"), tap }
    }

    async fn hang_up(&self) {
        let end = Command::End { call: self.call, reason: EndReason::CallerHungUp };
        self.running.handle.command(end).await.expect("taken");
    }

    async fn ended(&mut self) -> EndReason {
        let end = async {
            loop {
                if let Some(Event::CallEnded(record)) = self.running.events.recv().await {
                    return record.reason;
                }
            }
        };
        tokio::time::timeout(PATIENCE, end).await.expect("the call ends")
    }

    /// Levels of two tones in the last half second heard, in dB below full scale.
    fn hears(&self, own_hz: f64, other_hz: f64) -> (f64, f64) {
        let Some(rate) = self.tap.rate_hz() else { return (-100.0, -100.0) };
        let window = u64::from(rate / 2);
        let mut position = self.tap.written().saturating_sub(window);
        let mut heard = Vec::new();
        self.tap.read(&mut position, &mut heard);
        (level(&heard, own_hz, rate), level(&heard, other_hz, rate))
    }
}

fn tone(hz: f64) -> Arc<Clip> {
    let rate = SampleRate::Hz48000;
    let angle = |at: u32| TAU * hz * f64::from(at) / f64::from(rate.hz());
    let pcm = (0..rate.hz()).map(|at| (angle(at).sin() * 8_000.0) as i16).collect();
    Arc::new(Clip::new(format!("{hz} Hz"), rate, pcm))
}

/// Level of one tone in dB below full scale (a correlation with sine and cosine).
fn level(samples: &[i16], hz: f64, rate: u32) -> f64 {
    let (mut sine, mut cosine) = (0.0, 0.0);
    for (at, sample) in samples.iter().enumerate() {
        let angle = TAU * hz * at as f64 / f64::from(rate);
        sine += angle.sin() * f64::from(*sample);
        cosine += angle.cos() * f64::from(*sample);
    }
    let amplitude = 2.0 * sine.hypot(cosine) / samples.len().max(1) as f64;
    20.0 * (amplitude.max(0.01) / 32_768.0).log10()
}

async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !done().await {
        assert!(start.elapsed() < PATIENCE, "{what} never happened");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One HTTP request; status line and body.
async fn http(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let text = format!("{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(text.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

struct Gateway {
    sip: SocketAddr,
    http: SocketAddr,
    pin: String,
    cdr: PathBuf,
    stop: tokio::sync::oneshot::Sender<()>,
    run: tokio::task::JoinHandle<gateway_daemon::app::Ended>,
}

async fn gateway(name: &str) -> Gateway {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("made");
    let text = "[sip]\nlisten = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]\ncalls_max = 50\ndrain_s = 30\n\
                [rtp]\nports = \"36000-36199\"\n[[trunk]]\nname = \"local\"\nsources = [\"127.0.0.1\"]\n";
    let config = config::parse("test", text, &folder).expect("valid");
    let app = App::start(&config).expect("starts");
    let wall = wall_clock();
    let pin = SqliteRegistry::open(&config.pin.file, &config.pin.key_file)
        .and_then(|mut registry| {
            let room = RoomName::new("tea").expect("name");
            let expires = Some(WallClock { unix: wall.unix + Duration::from_secs(600) });
            let new = NewPin { expires, ..NewPin::new(room, PinKind::Guest, 9) };
            registry.add(&new, wall, &mut Rng::from_number(1))
        })
        .expect("added");
    let listener = rest::bind(([127, 0, 0, 1], 0).into()).await.expect("bound");
    let http = listener.local_addr().expect("bound");
    let guard = Guard::new(http, None).expect("loopback");
    tokio::spawn(Rest::new(app.handle(), app.shared()).serve(listener, guard));
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let sip = app.listeners()[0];
    let run = tokio::spawn(app.run(async { drop(stopped.await) }));
    let cdr = folder.join("weebee-cdr.jsonl");
    Gateway { sip, http, pin: pin.digits.into_inner(), cdr, stop, run }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_phones_talk_an_operator_looks_on_and_nothing_leaks() {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt()
        .with_env_filter("trace,hyper=off,mio=off")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let gateway = gateway("real-calls").await;
    let (low, high) = (440.0, 1_000.0);
    let mut first = Caller::dial(gateway.sip, CodecKind::Pcma, low, &gateway.pin).await;
    let mut second = Caller::dial(gateway.sip, CodecKind::Opus, high, &gateway.pin).await;

    eventually("both joined", async || {
        http(gateway.http, "GET /calls").await.1.matches("\"Joined\"").count() == 2
    })
    .await;
    eventually("both hear the other, and not themselves", async || {
        let (first_own, first_other) = first.hears(low, high);
        let (second_own, second_other) = second.hears(high, low);
        first_other > -20.0 && second_other > -20.0 && first_own < -40.0 && second_own < -40.0
    })
    .await;

    let (status, calls) = http(gateway.http, "GET /calls").await;
    assert!(status.contains("200"), "{status}");
    assert!(calls.contains("+62 *** 47") && calls.contains("\"h:"), "{calls}");
    assert!(!calls.contains("12345") && !calls.contains("tea"), "{calls}");
    let id =
        calls.split("\"id\":\"").nth(2).and_then(|rest| rest.split('"').next()).expect("two calls");
    let (status, one) = http(gateway.http, &format!("GET /debug/calls/{id}")).await;
    assert!(status.contains("200") && one.contains("packets_received"), "{status} {one}");
    let (_, metrics) = http(gateway.http, "GET /metrics").await;
    for line in ["weebee_calls{state=\"Joined\"} 2", "weebee_pins_valid_total 2", "weebee_rooms 1"]
    {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
    let (status, health) = http(gateway.http, "GET /health").await;
    assert!(status.contains("200") && health.contains("\"ok\""), "{status} {health}");
    assert!(http(gateway.http, "GET /debug/calls/c99-9").await.0.contains("404"));
    assert!(http(gateway.http, "GET /nothing").await.0.contains("404"));
    assert!(http(gateway.http, &format!("GET /calls/{id}/hangup")).await.0.contains("405"));

    let hung_up = http(gateway.http, &format!("POST /calls/{id}/hangup")).await;
    assert!(hung_up.0.contains("202"), "{hung_up:?}");
    first.hang_up().await;
    first.ended().await;
    second.ended().await;

    let mut third = Caller::dial(gateway.sip, CodecKind::Pcmu, low, WRONG_PIN).await;
    eventually("the wrong PIN is refused", async || {
        http(gateway.http, "GET /metrics").await.1.contains("weebee_pins_refused_total 1")
    })
    .await;
    third.hang_up().await;
    third.ended().await;

    let stopping = Instant::now();
    gateway.stop.send(()).expect("runs");
    tokio::time::timeout(PATIENCE, gateway.run).await.expect("stops in time").expect("no panic");
    assert!(stopping.elapsed() < Duration::from_secs(20), "no call, no reason to wait");
    let records = std::fs::read_to_string(&gateway.cdr).expect("records were written");
    assert_eq!(records.lines().count(), 3, "{records}");
    for part in [
        "\"reason\":\"operator\"",
        "\"reason\":\"caller_hung_up\"",
        "+62 *** 47",
        "\"room\":\"tea\"",
    ] {
        assert!(records.contains(part), "{part} in {records}");
    }
    let log = String::from_utf8(lines.0.lock().expect("not poisoned").clone()).expect("text");
    assert!(log.contains("PIN refused") && log.contains("joined"), "the log is there: {log}");
    for secret in [gateway.pin.as_str(), WRONG_PIN, NUMBER, "2112345647"] {
        let leak = log.lines().find(|line| line.contains(secret));
        assert_eq!(leak, None, "a log line holds {secret}");
        assert!(!records.contains(secret), "a record holds {secret}");
    }
    nothing_written_holds(&[gateway.pin.as_str(), WRONG_PIN, NUMBER, "2112345647"], &gateway.cdr);
}

/// Every file in the gateway's folder: records, audit log, registry with its journals, key.
fn nothing_written_holds(secrets: &[&str], cdr: &Path) {
    let folder = cdr.parent().expect("in a folder");
    let mut seen = Vec::new();
    for entry in std::fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        let bytes = std::fs::read(&path).expect("readable");
        for secret in secrets {
            let leaks = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!leaks, "{} holds {secret}", path.display());
        }
        seen.push((path.file_name().expect("named").to_string_lossy().into_owned(), bytes));
    }
    let audit = seen.iter().find(|(name, _)| name.starts_with("weebee-audit-"));
    let audit = String::from_utf8_lossy(&audit.expect("an audit log").1).into_owned();
    for event in ["pin_admitted", "pin_refused"] {
        assert!(audit.contains(event), "{event} in {audit}");
    }
    assert!(seen.iter().any(|(name, _)| name.ends_with(".sqlite")), "{:?}", seen.len());
}
