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
    memory_mb_per_call: f64,
    results: Vec<PhoneResult>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let voices = voices()?;
    println!(
        "| room of two | phones | ms CPU per call-second | MB per call | added delay A to B, B to A (ms, median) | \
         correlation, worst | packets lost |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, codecs) in PAIRS {
        if arguments.pair.as_deref().is_some_and(|wanted| wanted != *name) {
            continue;
        }
        for calls in &arguments.calls {
            let row = measure(&arguments, &voices, *codecs, *calls)?;
            print_row(name, *calls, &row, arguments.seconds);
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
    let plans: Vec<PhonePlan> = (0..calls)
        .map(|index| PhonePlan {
            room: format!("bench-{}", index / 2),
            codec: if index % 2 == 0 { codecs.0 } else { codecs.1 },
            voice: index % 2,
            // The last phone of an odd fleet is alone; a few pairs are listened to.
            judge_against: (index < 8 && (index ^ 1) < calls).then_some(index ^ 1),
        })
        .collect();
    let gateway = Gateway::start(&arguments.binary, arguments.port, calls)?;
    let memory_before = gateway.memory()?;
    let timing = Timing {
        calls_per_second: 25.0,
        settle: Duration::from_secs(8),
        window: Duration::from_secs(arguments.seconds),
    };
    let mut cpu = Vec::new();
    let mut memory = memory_before;
    let results = fleet::run(&plans, voices, gateway.sip, timing, &mut |starts| {
        cpu.push(gateway.cpu().unwrap_or_default());
        if !starts {
            memory = gateway.memory().unwrap_or(memory_before);
        }
    })?;
    let spent =
        cpu.last().zip(cpu.first()).map_or(0.0, |(end, start)| (*end - *start).as_secs_f64());
    Ok(Row {
        cpu_ms_per_call_second: spent * 1e3 / arguments.seconds as f64 / calls as f64,
        memory_mb_per_call: memory.saturating_sub(memory_before) as f64 / 1e6 / calls as f64,
        results,
    })
}

fn print_row(name: &str, calls: usize, row: &Row, seconds: u64) {
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
    let received: u64 = row.results.iter().map(|result| result.received).sum();
    let silent =
        row.results.iter().filter(|result| !result.answered || result.received == 0).count();
    println!(
        "| {name} | {calls} | {:.2} | {:.3} | {:.1}, {:.1} | {worst:.3} | {lost} of {received}{} |",
        row.cpu_ms_per_call_second,
        row.memory_mb_per_call,
        delay(1),
        delay(0),
        match silent {
            0 if received * 1000 >= calls as u64 * seconds * 50 * 998 => String::new(),
            0 => " (INVALID: under 99.8 % of the packets came)".into(),
            silent => format!(" (INVALID: {silent} phones heard nothing)"),
        }
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
                    .flat_map(|id| library.prompt(*id, language).samples(rate).to_vec())
                    .take(rate.samples(30_000))
                    .collect()
            };
            Voice { narrow: say(SampleRate::Hz8000), full: say(SampleRate::Hz48000) }
        })
        .collect())
}

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
