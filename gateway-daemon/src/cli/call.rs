//! `weebee call`: a test phone. Progress while it runs, a summary at the end, exit code 0 only if sound flowed.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use gateway_core::base::pii::Pii;
use gateway_core::call::{CallRecord, Digits};
use gateway_core::gateway::{Command, Event};
use gateway_core::io::os_rng;
use gateway_core::io::signalling::{self, GatewayHandle, Running};
use gateway_core::leg::end_reason::EndReason;
use gateway_core::leg::phone_line::PcmTap;
use gateway_core::media::clip::convert::convert_rate;
use gateway_core::media::clip::prompt::PromptId;
use gateway_core::media::clip::wav::read_wav;
use gateway_core::media::clip::{Clip, ClipLibrary, Language};
use gateway_core::media::codec::CodecKind;
use gateway_core::media::frame::SampleRate;
use gateway_core::sip::trunk::DigestUser;
use tracing_subscriber::EnvFilter;

use super::failed;
use crate::config::EXIT_BAD_CONFIG;
use crate::config::schema::CODECS;
use crate::config::values::codec;
use crate::phone::Phone;
use crate::phone::record::Recorder;
use crate::phone::target::Target;

/// Arguments of `weebee call`.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct CallArguments {
    /// Whom to call: sip:pin@127.0.0.1:5060, sip:600@pbx.example;transport=tcp.
    uri: String,
    /// PIN to type after the answer; `#` is added.
    #[arg(long, value_parser = keys)]
    pin: Option<String>,
    /// Keys to type later, with their second after the answer: 12:*6. May be given several times.
    #[arg(long, value_name = "SECOND:KEYS", value_parser = keys_at)]
    keys: Vec<KeysAt>,
    /// WAV file to play into the call, over and over (16-bit mono). Default: a spoken prompt.
    #[arg(long)]
    play: Option<PathBuf>,
    /// WAV file to write what is heard to.
    #[arg(long)]
    record: Option<PathBuf>,
    /// The only codec to offer. Default: all, best first.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(CODECS))]
    codec: Option<String>,
    /// Seconds to talk after the answer. Default: until Ctrl-C or until the far side ends.
    #[arg(long)]
    duration: Option<u64>,
    /// Name in From.
    #[arg(long, default_value = "weebee-call")]
    from: String,
    /// Digest user for a far side that asks for one: name:password.
    #[arg(long, value_parser = user)]
    user: Option<DigestUser>,
    /// Show the gateway's log too: info, debug.
    #[arg(long)]
    log: Option<String>,
}

/// Calls.
pub fn run(arguments: &CallArguments) -> ExitCode {
    let filter = EnvFilter::new(arguments.log.as_deref().unwrap_or("warn"));
    let _ =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    let target = match Target::parse(&arguments.uri) {
        Ok(target) => target,
        Err(error) => {
            eprintln!("weebee: {error}");
            return ExitCode::from(EXIT_BAD_CONFIG);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(format!("no runtime: {error}; raise the limit of processes")),
    };
    match runtime.block_on(call(arguments, target)) {
        Ok(flowed) if flowed => ExitCode::SUCCESS,
        Ok(_) => failed("no sound flowed both ways"),
        Err(error) => failed(error),
    }
}

async fn call(arguments: &CallArguments, target: Target) -> Result<bool, String> {
    let clips = ClipLibrary::embedded().map_err(|error| format!("built-in prompts: {error}"))?;
    let clips = Arc::new(clips);
    let play = match &arguments.play {
        Some(file) => clip_of(file)?,
        None => clips.prompt(PromptId::Help, Language::En),
    };
    let tap = arguments.record.is_some().then(|| PcmTap::new(TAP_SECONDS));
    let mut recorder = None;
    if let (Some(path), Some(tap)) = (&arguments.record, &tap) {
        let made = Recorder::new(path, Arc::clone(tap));
        recorder = Some(made.map_err(|error| format!("{}: {error}", path.display()))?);
    }
    let phone = Phone {
        target,
        from_user: arguments.from.clone(),
        codecs: match arguments.codec.as_deref().and_then(codec) {
            Some(only) => vec![only],
            None => CODECS.iter().filter_map(|name| codec(name)).collect::<Vec<CodecKind>>(),
        },
        credentials: arguments.user.clone(),
        play: Some(play),
        record: tap,
    };
    let config = phone.gateway(clips).map_err(|error| error.to_string())?;
    let rng = os_rng().map_err(|error| error.to_string())?;
    let mut running = signalling::start(config, rng).map_err(|error| error.to_string())?;
    println!("calling {}", phone.target.uri);
    let dialled = running.handle.command(phone.dial(arguments.pin.as_deref())).await;
    dialled.map_err(|error| error.to_string())?;
    let duration = arguments.duration.map(Duration::from_secs);
    let mut plan: Vec<KeysAt> = arguments.keys.clone();
    plan.sort_by_key(|keys| keys.second);
    let record = talk(&mut running, duration, plan.into(), recorder.as_mut()).await;
    running.handle.stop().await;
    let Some(record) = record else { return Err("the phone stopped by itself".to_owned()) };
    summary(&record);
    if let (Some(recorder), Some(path)) = (recorder, &arguments.record) {
        let seconds = recorder.finish().map_err(|error| format!("{}: {error}", path.display()))?;
        println!("recorded {seconds:.1} s to {}", path.display());
    }
    let report = record.report;
    Ok(report.packets_received > 0 && report.packets_sent > 0)
}

/// Follows the call to its end and says what happens.
async fn talk(
    running: &mut Running,
    duration: Option<Duration>,
    mut plan: VecDeque<KeysAt>,
    mut recorder: Option<&mut Recorder>,
) -> Option<Box<CallRecord>> {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    let mut answered: Option<Instant> = None;
    let mut hang_up_at: Option<Instant> = None;
    let mut asked = false;
    let handle = running.handle.clone();
    loop {
        let wake = until(hang_up_at);
        let due = plan.front().map(|keys| keys.second);
        let type_next = until(answered.zip(due).map(|(answered, second)| answered + second));
        tokio::select! {
            event = running.events.recv() => match event? {
                Event::CallAnswered(_) => {
                    println!("answered");
                    answered = Some(Instant::now());
                    hang_up_at = duration.map(|duration| Instant::now() + duration);
                }
                Event::CallEnded(record) => return Some(record),
                _ => {}
            },
            _ = second.tick() => {
                if let Some(error) = recorder.as_mut().and_then(|recorder| recorder.take().err()) {
                    eprintln!("weebee: recording: {error}");
                    recorder = None;
                }
                progress(&handle).await;
            }
            () = type_next => {
                if let Some(keys) = plan.pop_front() {
                    type_keys(&handle, &keys.keys).await;
                }
            }
            () = wake => {
                hang_up_at = None;
                hang_up(&handle).await;
            }
            _ = tokio::signal::ctrl_c(), if !asked => {
                asked = true;
                hang_up(&handle).await;
            }
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

async fn type_keys(handle: &GatewayHandle, keys: &Digits) {
    let Ok(snapshot) = handle.snapshot().await else { return };
    for call in snapshot.calls {
        let _ = handle.command(Command::SendKeys { call: call.call, keys: keys.clone() }).await;
    }
}

async fn hang_up(handle: &GatewayHandle) {
    let Ok(snapshot) = handle.snapshot().await else { return };
    for call in snapshot.calls {
        let end = Command::End { call: call.call, reason: EndReason::CallerHungUp };
        let _ = handle.command(end).await;
    }
}

async fn progress(handle: &GatewayHandle) {
    let Ok(snapshot) = handle.snapshot().await else { return };
    for call in &snapshot.calls {
        let (report, seconds) = (&call.report, call.answered_for.map_or(0, |time| time.as_secs()));
        let codec = call.codec.map_or("-", |codec| codec.row().name);
        println!(
            "{seconds:>4} s  {:<8} {codec:<5} sent {:>6}  received {:>6}  lost {:>4}  jitter {:>5.1} ms{}",
            call.state,
            report.packets_sent,
            report.packets_received,
            report.packets_lost,
            report.jitter.as_secs_f64() * 1_000.0,
            if call.held_by_peer { "  on hold" } else { "" },
        );
    }
}

fn summary(record: &CallRecord) {
    let report = &record.report;
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1_000.0);
    let expected = report.packets_received + report.packets_lost;
    let loss = report.packets_lost as f64 * 100.0 / (expected.max(1)) as f64;
    let talked = record.answered.map(|answered| record.ended.unix.saturating_sub(answered.unix));
    let status = record.status.map_or(String::new(), |status| format!(" ({status})"));
    println!("ended         {}{status}", record.reason.row().label);
    println!("talked        {:.1} s", talked.unwrap_or_default().as_secs_f64());
    println!("codec         {}", record.codec.map_or("none", |codec| codec.row().name));
    println!("sent          {} packets", report.packets_sent);
    println!(
        "received      {} packets, {loss:.2} % lost, {} late",
        report.packets_received, report.packets_late
    );
    println!("jitter        {}", ms(report.jitter));
    println!("held back     {}", ms(report.playout_delay));
    println!("round trip    {}", report.round_trip.map_or("not reported".to_owned(), ms));
    println!(
        "MOS           {}",
        report.mos_centi.map_or("-".to_owned(), |mos| format!("{:.2}", f64::from(mos) / 100.0))
    );
}

/// A clip from a WAV file.
fn clip_of(file: &std::path::Path) -> Result<Arc<Clip>, String> {
    let broken = |what: &dyn std::fmt::Display| format!("{}: {what}", file.display());
    let bytes = std::fs::read(file).map_err(|error| broken(&error))?;
    let recording = read_wav(&bytes).map_err(|error| broken(&error))?;
    let rate = SampleRate::Hz48000;
    let pcm = convert_rate(&recording.samples, recording.rate_hz, rate.hz());
    Ok(Arc::new(Clip::new(file.display().to_string(), rate, pcm)))
}

fn keys(text: &str) -> Result<String, String> {
    let legal = |sign: char| sign.is_ascii_digit();
    match !text.is_empty() && text.len() <= 15 && text.chars().all(legal) {
        true => Ok(text.to_owned()),
        false => Err("a PIN has 1 to 15 digits".to_owned()),
    }
}

/// Keys with their moment.
#[derive(Clone, Debug)]
struct KeysAt {
    second: Duration,
    keys: Digits,
}

fn keys_at(text: &str) -> Result<KeysAt, String> {
    let wrong =
        || "write the second after the answer, a colon and up to 15 keys: 12.5:*6".to_owned();
    let (second, keys) = text.split_once(':').ok_or_else(wrong)?;
    let second = second.parse().ok().and_then(|second| Duration::try_from_secs_f64(second).ok());
    let legal = |sign: char| sign.is_ascii_digit() || sign == '*' || sign == '#';
    match second {
        Some(second) if !keys.is_empty() && keys.len() <= 15 && keys.chars().all(legal) => {
            Ok(KeysAt { second, keys: keys.bytes().collect() })
        }
        _ => Err(wrong()),
    }
}

fn user(text: &str) -> Result<DigestUser, String> {
    match text.split_once(':') {
        Some((name, password)) if !name.is_empty() => {
            Ok(DigestUser { user: name.to_owned(), password: Pii::new(password.to_owned()) })
        }
        _ => Err("write name:password".to_owned()),
    }
}

/// Sound kept between two writes to the disk.
const TAP_SECONDS: usize = 10;
