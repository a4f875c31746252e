//! Signalling under load, and calls under a flood.
//!
//! `load [--binary target/release/weebee] [--port 25160]`: a sweep of call rates by SIPp (INVITE, 200, ACK, BYE), then
//! 60,000 datagrams of strangers while twenty phones talk. Prints Markdown.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use gateway_benches::child::Gateway;
use gateway_benches::fleet::{self, PhonePlan, PhoneResult, Timing, Voice};
use gateway_benches::sound::median;
use gateway_benches::{sip_text, sipp};
use gateway_core::media::codec::CodecKind;

#[derive(Parser)]
struct Arguments {
    /// The gateway to measure.
    #[arg(long, default_value = "target/release/weebee")]
    binary: PathBuf,
    /// The scenario of the sweep.
    #[arg(long, default_value = "testdata/sipp/load_signalling.xml")]
    scenario: PathBuf,
    /// Rates of the sweep, calls per second.
    #[arg(long, value_delimiter = ',', default_value = "500,1000,1500,2000,2500,3000")]
    rates: Vec<u32>,
    /// Seconds at each rate.
    #[arg(long, default_value_t = 6)]
    seconds: u32,
    /// SIP port of 127.0.0.1 to use; the next one is its HTTP.
    #[arg(long, default_value_t = 25_160)]
    port: u16,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    sweep(&arguments)?;
    println!();
    flood(&arguments)?;
    Ok(())
}

fn sweep(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    println!(
        "| calls/s asked | calls/s done | failed | repeated messages | us CPU per call | gateway MB before, after | \
         SIPp's one core busy |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut highest = 0;
    for rate in &arguments.rates {
        // A gateway of its own for each rate: transactions of the one before linger 32 s.
        let gateway = Gateway::start(&arguments.binary, arguments.port, 12_000)?;
        let (before, memory) = (gateway.cpu("")?, gateway.memory()?);
        let outcome = sipp::run(&arguments.scenario, gateway.sip, *rate, rate * arguments.seconds)?;
        let spent = gateway.cpu("")?.saturating_sub(before);
        let calls = (outcome.successful + outcome.failed).max(1);
        println!(
            "| {rate} | {:.0} | {} | {} | {:.0} | {:.0}, {:.0} | {:.0} % |",
            outcome.rate,
            outcome.failed,
            outcome.retransmitted,
            spent.as_secs_f64() * 1e6 / calls as f64,
            memory as f64 / 1e6,
            gateway.memory()? as f64 / 1e6,
            100.0 * outcome.own_cpu.as_secs_f64() / outcome.length.as_secs_f64().max(0.01)
        );
        if outcome.is_clean() {
            highest = highest.max(*rate);
        }
    }
    println!("\nHighest clean rate (no failure, no repeat): {highest} calls/s.");
    Ok(())
}

fn flood(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let gateway = Gateway::start(&arguments.binary, arguments.port, 64)?;
    let voices = [noise_voice(1), noise_voice(2)];
    let plans: Vec<PhonePlan> = (0..PHONES)
        .map(|index| PhonePlan {
            room: format!("flood-{}", index / 2),
            codec: CodecKind::Pcmu,
            voice: index % 2,
            judge_against: (index < 4).then_some(index ^ 1),
        })
        .collect();
    println!(
        "| {PHONES} phones talking | packets lost | delay (ms) | correlation, worst | OPTIONS of a trunk, worst (ms) | memory growth (MB) |"
    );
    println!("|---|---|---|---|---|---|");
    for strangers in [0, FLOOD_PACKETS] {
        let timing = Timing {
            calls_per_second: 25.0,
            settle: Duration::from_secs(5),
            window: Duration::from_secs(8),
        };
        let before = gateway.memory()?;
        let sip = gateway.sip;
        let mut worker = None;
        let results = fleet::run(&plans, &voices, sip, timing, &mut |starts| {
            if starts {
                worker =
                    Some(thread::spawn(move || (send_flood(sip, strangers), worst_options(sip))));
            }
        })?;
        let options =
            worker.and_then(|worker| worker.join().ok()).map_or(f64::NAN, |(_, worst)| worst);
        let growth = gateway.memory()? as f64 - before as f64;
        print_flood_row(strangers, &results, options, growth / 1e6);
        // Rooms and transactions of the quiet run go before the loud one begins.
        thread::sleep(Duration::from_secs(2));
    }
    Ok(())
}

fn print_flood_row(strangers: usize, results: &[PhoneResult], options_ms: f64, growth_mb: f64) {
    let lost: u64 = results.iter().map(|result| result.lost).sum();
    let received: u64 = results.iter().map(|result| result.received).sum();
    let heard: Vec<_> = results.iter().filter_map(|result| result.heard).collect();
    let delay = median(heard.iter().map(|heard| heard.delay_ms).collect());
    let worst = heard.iter().map(|heard| heard.correlation).fold(f64::INFINITY, f64::min);
    let name = if strangers == 0 {
        "nobody else".into()
    } else {
        format!("{strangers} packets of strangers")
    };
    println!(
        "| {name} | {lost} of {received} | {delay:.1} | {worst:.3} | {options_ms:.1} | {growth_mb:.1} |"
    );
}

/// Half OPTIONS, half INVITE, from eight addresses that are no trunk, over about five seconds.
fn send_flood(gateway: SocketAddr, packets: usize) {
    let sockets: Vec<UdpSocket> = (2..10)
        .filter_map(|host| UdpSocket::bind(SocketAddr::from(([127, 0, 0, host], 0))).ok())
        .collect();
    let start = Instant::now();
    let mut sent = 0_usize;
    for socket in sockets.iter().cycle().take(packets) {
        let Ok(local) = socket.local_addr() else { return };
        let mut text = sip_text::options(local, gateway).replace("ready", &format!("f{sent}"));
        if sent % 2 == 1 {
            text = text.replace("OPTIONS", "INVITE");
        }
        let _ = socket.send_to(text.as_bytes(), gateway);
        sent += 1;
        if sent.is_multiple_of(120) {
            let due = start + Duration::from_secs_f64(sent as f64 / 12_000.0);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
}

/// The longest a trunk waits for the answer to an OPTIONS, right after the last stranger's packet, in ms.
fn worst_options(gateway: SocketAddr) -> f64 {
    let Ok(socket) = UdpSocket::bind("127.0.0.1:0") else { return f64::NAN };
    let _ = socket.set_read_timeout(Some(Duration::from_secs(1)));
    let Ok(local) = socket.local_addr() else { return f64::NAN };
    let mut worst = 0.0_f64;
    for round in 0..10 {
        let text = sip_text::options(local, gateway).replace("ready", &format!("probe{round}-"));
        let start = Instant::now();
        let _ = socket.send_to(text.as_bytes(), gateway);
        let mut answer = [0; 2_048];
        if socket.recv_from(&mut answer).is_err() {
            return f64::INFINITY;
        }
        worst = worst.max(start.elapsed().as_secs_f64() * 1e3);
        thread::sleep(Duration::from_millis(20));
    }
    worst
}

/// Speech-like noise in bursts: enough to see loss and delay without any file.
fn noise_voice(seed: u32) -> Voice {
    let mut state = seed;
    let narrow: Vec<i16> = (0..240_000_u32)
        .map(|sample| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let envelope = if (sample / 2_000 + seed).is_multiple_of(5) { 0 } else { 3_000 };
            ((i64::from(state >> 16) - 32_768) * envelope / 32_768) as i16
        })
        .collect();
    Voice { wide: Vec::new(), full: Vec::new(), narrow }
}

const PHONES: usize = 20;
const FLOOD_PACKETS: usize = 60_000;
