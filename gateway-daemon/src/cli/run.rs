//! `weebee run`: from a configuration to a running gateway, or to sentences that say why not.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::demo::{self, Demo};
use super::migrate::SourceArguments;
use super::stop::Stop;
use super::{failed, load};
use crate::agi::Agi;
use crate::api::Api;
use crate::app::{App, Ended};
use crate::check::Weight;
use crate::compat::{Face, Openness, health_call};
use crate::config::typed::Log;
use crate::config::{Config, EXIT_BAD_CONFIG};
use crate::dial_in::DialIn;
use crate::log::LogOut;
use crate::meetings;
use crate::rest::{self, Guard, Rest};
use crate::rocketchat::service;
use crate::web::Web;

/// Arguments of `weebee run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    #[command(flatten)]
    source: SourceArguments,
    /// Run on loopback with a configuration made for a first try, and say what to do next.
    #[arg(long, conflicts_with_all = ["config", "jigasi_env"])]
    demo: bool,
    #[command(flatten)]
    at: demo::DemoArguments,
}

/// Runs the gateway.
pub fn run(arguments: &RunArguments) -> ExitCode {
    let demo = match arguments.demo.then(|| Demo::prepare(&arguments.at)).transpose() {
        Ok(demo) => demo,
        Err(error) => return failed(error),
    };
    let config = match &demo {
        Some(demo) => load(&demo.config),
        None => arguments.source.load(),
    };
    let config = match config {
        Ok(config) => config,
        Err(code) => return code,
    };
    if let Err(error) = start_log(&config.log) {
        eprintln!("weebee: [log] filter {:?}: {error}; write \"info\"", config.log.filter);
        return ExitCode::from(EXIT_BAD_CONFIG);
    }
    for note in &config.notes {
        match note.weight {
            Weight::Good => tracing::info!("{}", note.text),
            Weight::Warning | Weight::Wrong => tracing::warn!(line = note.line, "{}", note.text),
        }
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(serve(&config, demo.as_ref())),
        Err(error) => failed(format!("no runtime: {error}; raise the limit of processes")),
    }
}

async fn serve(config: &Config, demo: Option<&Demo>) -> ExitCode {
    match start(config, demo).await {
        Ok((app, stop)) => until_stopped(app, &stop).await,
        Err(error) => failed(error),
    }
}

/// Everything that listens, and how it is asked to stop.
async fn start(config: &Config, demo: Option<&Demo>) -> Result<(App, Stop), String> {
    let stop = Stop::listen()?;
    // HTTP is bound first: a taken port is said before a registry or a SIP socket is touched.
    let http = http(config).await?;
    let open_pages = open_pages(config).await?;
    let app = App::start(config).map_err(|error| error.to_string())?;
    let said = demo.map(|demo| demo.words(config)).transpose()?;
    let shared = app.shared();
    let hooks = service::start(config, &app.handle(), shared.pins(), &shared.rocketchat)?;
    if let Some(agi) = Agi::new(config, shared.pins().clone(), Arc::clone(&shared.agi)) {
        let listener = agi.bind().await?;
        tokio::spawn(agi.serve(listener));
    }
    let shared = app.shared();
    tokio::spawn(async move {
        let (seen, pins) = (shared.seen.clone(), shared.pins().clone());
        meetings::run(seen, pins, &shared.rooms_changed).await;
    });
    let face = Face::new(app.handle(), app.shared(), config.compat.clone())
        .with_configure(app.shared().breweries.configure());
    if let Some(listener) = open_pages {
        serve_open_pages(listener, face.clone(), &app, config);
    }
    if let Some(call) = config.compat.health_call.clone() {
        let (config, handle, shared) = (config.clone(), app.handle(), app.shared());
        tokio::spawn(async move {
            health_call::run(call, &config, handle, &shared.pulse).await;
        });
    }
    if let Some(http) = http {
        let pin = said.as_ref().map(|said| (demo::room(), said.pin.clone()));
        let web = Web::new(app.handle(), app.shared(), config, pin);
        let dial_in =
            DialIn::new(config, app.shared().pins().clone(), Some(app.shared().seen.clone()));
        let hooks = hooks.merge(dial_in.map(DialIn::router).unwrap_or_default());
        let api = Api::new(config, app.handle(), app.shared());
        let hooks = hooks.merge(api.map(Api::router).unwrap_or_default());
        let rest = Rest::new(app.handle(), app.shared()).with_web(web).with_hooks(hooks);
        serve_http(http, rest.with_face(face.router(), config.compat.conferences_threshold));
        if let Some(browser) = &config.browser {
            tracing::info!(url = format!("{}/room/NAME", browser.url), "browsers may join");
        }
    }
    for (listener, bound) in config.sip.listeners.iter().zip(app.listeners()) {
        tracing::info!(transport = ?listener.transport, address = %bound, "SIP listens");
    }
    if let Some(said) = said {
        println!("{}", said.words);
    }
    Ok((app, stop))
}

/// Runs until it was asked to stop and calls have ended. A second signal ends at once: it drops
/// the run, and with it the patience for calls in progress.
async fn until_stopped(app: App, stop: &Stop) -> ExitCode {
    let breweries = app.shared().breweries.clone();
    let code = tokio::select! {
        ended = app.run(stop.asked(1)) => match ended {
            Ended::Drained => ExitCode::SUCCESS,
            Ended::TimeOver => ExitCode::from(EXIT_TIME_OVER),
        },
        () = stop.asked(2) => {
            tracing::warn!("second signal: calls in progress are cut");
            ExitCode::from(EXIT_CUT)
        }
    };
    breweries.leave().await;
    code
}

fn serve_open_pages(listener: tokio::net::TcpListener, face: Face, app: &App, config: &Config) {
    let metrics = Rest::new(app.handle(), app.shared())
        .with_face(axum::Router::new(), config.compat.conferences_threshold)
        .metrics();
    let openness = Openness { token: token(config).ok().flatten() };
    tokio::spawn(async move {
        if let Err(error) = face.serve(listener, openness, metrics).await {
            tracing::error!(%error, "[jigasi] rest has ended");
        }
    });
}

fn serve_http((listener, guard): HttpSocket, rest: Rest) {
    tokio::spawn(async move {
        if let Err(error) = rest.serve(listener, guard).await {
            tracing::error!(%error, "HTTP has ended");
        }
    });
}

type HttpSocket = (tokio::net::TcpListener, Guard);

async fn http(config: &Config) -> Result<Option<HttpSocket>, String> {
    let Some(address) = config.http.listen else { return Ok(None) };
    let guard = Guard::new(address, token(config)?).map_err(|error| error.to_string())?;
    let listener = rest::bind(address).await?;
    let bound: SocketAddr = listener.local_addr().map_err(|error| error.to_string())?;
    tracing::info!(address = %bound, "HTTP listens");
    Ok(Some((listener, guard)))
}

/// The token of [http].
fn token(config: &Config) -> Result<Option<String>, String> {
    let token = config.http.token_file.as_ref().map(|file| {
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        Ok::<_, String>(text.trim().to_owned())
    });
    token.transpose()
}

/// The listener of Jigasi's pages, where they have one of their own.
async fn open_pages(config: &Config) -> Result<Option<tokio::net::TcpListener>, String> {
    let Some(address) = config.compat.rest else { return Ok(None) };
    let listener = tokio::net::TcpListener::bind(address).await;
    let listener = listener.map_err(|error| format!("[jigasi] rest = \"{address}\": {error}"))?;
    tracing::info!(%address, "pages of Jigasi listen");
    Ok(Some(listener))
}

fn start_log(log: &Log) -> Result<(), String> {
    let filter = std::env::var("WEEBEE_LOG").unwrap_or_else(|_| log.filter.clone());
    let filter = crate::log::filter(&filter)?;
    let ansi = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(ansi)
        .with_writer(LogOut::default);
    let set = if log.json { lines.json().try_init() } else { lines.try_init() };
    set.map_err(|error| error.to_string())
}

/// The time to drain was over; calls were ended with words.
const EXIT_TIME_OVER: u8 = 3;
/// A second signal: calls were cut.
const EXIT_CUT: u8 = 4;
