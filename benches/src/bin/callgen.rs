//! Calls with real speech through a running gateway: CPU per call-second, memory per call, added delay, loss.
//!
//! `callgen [--binary target/release/weebee] [--calls 1,50,100] [--seconds 20] [--port 25060]` prints one Markdown table.
//! A "call" is one phone. Phones stand in rooms of two, both talking all the time.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use gateway_benches::child::Gateway;
use gateway_benches::fleet::{self, PhonePlan, PhoneResult, Timing, Voice};
use gateway_benches::sound::median;
use gateway_core::media::clip::prompt::PromptId;
use gateway_core::media::clip::{ClipLibrary, Language};
use gateway_core::media::codec::CodecKind;
use gateway_core::media::frame::SampleRate;

#[derive(Parser)]
struct Arguments {
    /// The gateway to measure.
    #[arg(long, default_value = "target/release/weebee")]
    binary: PathBuf,
    /// How many phones at once, one run each.
    #[arg(long, value_delimiter = ',', default_value = "2,50,100")]
    calls: Vec<usize>,
    /// Length of the window that is measured.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// SIP port of 127.0.0.1 to use; the next one is its HTTP.
    #[arg(long, default_value_t = 25_060)]
    port: u16,
    /// Only this pair: `pcmu-pcmu`, `pcmu-opus`, `opus-opus`, `g722-g722`.
    #[arg(long)]
    pair: Option<String>,
}

struct Row {
    cpu_ms_per_call_second: f64,
    /// The media thread's part of it.
    media_ms_per_call_second: f64,
    memory_mb_per_call: f64,
    /// Before the first of the measured calls, everything a call needs being ready.
    memory_mb_fixed: f64,
    results: Vec<PhoneResult>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let voices = voices()?;
    println!(
        "| room of two | phones | ms CPU per call-second (media thread) | MB per call (beside) | \
         added delay A to B, B to A (ms, median) | correlation, worst | packets lost |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, codecs) in PAIRS {
        if arguments.pair.as_deref().is_some_and(|wanted| wanted != *name) {
            continue;
        }
        for calls in &arguments.calls {
            let mut row = measure(&arguments, &voices, *codecs, *calls)?;
            let mut tries = 1;
            // A machine that stood still for a moment spoils a row: it is measured again, and that is said.
            while row.fault(*calls, arguments.seconds).is_some() && tries < TRIES_MAX {
                row = measure(&arguments, &voices, *codecs, *calls)?;
                tries += 1;
            }
            print_row(name, *calls, &row, tries, arguments.seconds);
        }
    }
    Ok(())
}

fn measure(
    arguments: &Arguments,
    voices: &[Voice],
    codecs: (CodecKind, CodecKind),
    calls: usize,
) -> Result<Row, Box<dyn std::error::Error>> {
    let gateway = Gateway::start(&arguments.binary, arguments.port, calls)?;
    gateway.wait_for_end_of("prompts")?;
    // Two calls before the measured ones: what only the first calls of a process cost is no part of a call.
    let warm_up = plans(codecs, 2);
    fleet::run(&warm_up, voices, gateway.sip, WARM_UP, &mut |_| ())?;
    std::thread::sleep(Duration::from_secs(1));
    let memory_before = gateway.memory()?;
    let timing = Timing {
        calls_per_second: 25.0,
        settle: Duration::from_secs(8),
        window: Duration::from_secs(arguments.seconds),
    };
    let mut cpu = Vec::new();
    let mut memory = memory_before;
    let results = fleet::run(&plans(codecs, calls), voices, gateway.sip, timing, &mut |starts| {
        let spent = |name| gateway.cpu(name).unwrap_or_default().as_secs_f64() * 1e3;
        cpu.push((spent(""), spent("media-")));
        if !starts {
            memory = gateway.memory().unwrap_or(memory_before);
        }
    })?;
    let call_seconds = arguments.seconds as f64 * calls as f64;
    let (before, after) = cpu.first().zip(cpu.last()).ok_or("the window never came")?;
    Ok(Row {
        cpu_ms_per_call_second: (after.0 - before.0) / call_seconds,
        media_ms_per_call_second: (after.1 - before.1) / call_seconds,
        memory_mb_per_call: memory.saturating_sub(memory_before) as f64 / 1e6 / calls as f64,
        memory_mb_fixed: memory_before as f64 / 1e6,
        results,
    })
}

/// Phones two by two in rooms.
fn plans(codecs: (CodecKind, CodecKind), calls: usize) -> Vec<PhonePlan> {
    (0..calls)
        .map(|index| PhonePlan {
            room: format!("bench-{calls}-{}", index / 2),
            codec: if index % 2 == 0 { codecs.0 } else { codecs.1 },
            voice: index % 2,
            // The last phone of an odd fleet is alone; some pairs are listened to.
            judge_against: (index < JUDGED_MAX && (index ^ 1) < calls).then_some(index ^ 1),
        })
        .collect()
}

impl Row {
    fn received(&self) -> u64 {
        self.results.iter().map(|result| result.received).sum()
    }

    /// Why the row does not count.
    fn fault(&self, calls: usize, seconds: u64) -> Option<String> {
        let silent =
            self.results.iter().filter(|result| !result.answered || result.received == 0).count();
        if silent > 0 {
            return Some(format!("{silent} phones heard nothing"));
        }
        let expected = calls as u64 * seconds * 50;
        (self.received() * 1_000 < expected * 998)
            .then(|| format!("{} of {expected} packets came", self.received()))
    }
}

fn print_row(name: &str, calls: usize, row: &Row, tries: usize, seconds: u64) {
    let delay = |parity: usize| {
        let of: Vec<f64> = row
            .results
            .iter()
            .skip(parity)
            .step_by(2)
            .filter_map(|result| Some(result.heard?.delay_ms))
            .collect();
        median(of)
    };
    let worst = row
        .results
        .iter()
        .filter_map(|result| Some(result.heard?.correlation))
        .fold(f64::INFINITY, f64::min);
    let lost: u64 = row.results.iter().map(|result| result.lost).sum();
    let mut remark = String::new();
    if tries > 1 {
        remark = format!(" (try {tries})");
    }
    if let Some(fault) = row.fault(calls, seconds) {
        remark += &format!(" (INVALID: {fault})");
    }
    println!(
        "| {name} | {calls} | {:.2} ({:.2}) | {:.3} ({:.1}) | {:.1}, {:.1} | {worst:.3} | {lost} of {}{remark} |",
        row.cpu_ms_per_call_second,
        row.media_ms_per_call_second,
        row.memory_mb_per_call,
        row.memory_mb_fixed,
        delay(1),
        delay(0),
        row.received(),
    );
}

/// Two voices from the prompts the gateway ships: no file, no tool needed.
fn voices() -> Result<Vec<Voice>, Box<dyn std::error::Error>> {
    let library = ClipLibrary::embedded()?;
    Ok([Language::En, Language::Id]
        .into_iter()
        .map(|language| {
            let say = |rate: SampleRate| -> Vec<i16> {
                SPEECH
                    .iter()
                    .cycle()
                    .flat_map(|id| library.prompt(*id, language).samples(rate))
                    .take(rate.samples(30_000))
                    .collect()
            };
            Voice {
                narrow: say(SampleRate::Hz8000),
                wide: say(SampleRate::Hz16000),
                full: say(SampleRate::Hz48000),
            }
        })
        .collect())
}

const WARM_UP: Timing = Timing {
    calls_per_second: 25.0,
    settle: Duration::from_secs(2),
    window: Duration::from_secs(1),
};

/// Phones whose sound is judged.
const JUDGED_MAX: usize = 16;

/// How often a row that does not count is measured.
const TRIES_MAX: usize = 3;

const SPEECH: &[PromptId] = &[
    PromptId::Help,
    PromptId::EnterPin,
    PromptId::Alone,
    PromptId::WaitingForHost,
    PromptId::PinNotHeard,
    PromptId::ServiceUnavailable,
];

const PAIRS: &[(&str, (CodecKind, CodecKind))] = &[
    ("pcmu-pcmu", (CodecKind::Pcmu, CodecKind::Pcmu)),
    ("pcmu-opus", (CodecKind::Pcmu, CodecKind::Opus)),
    ("opus-opus", (CodecKind::Opus, CodecKind::Opus)),
    ("g722-g722", (CodecKind::G722, CodecKind::G722)),
];
