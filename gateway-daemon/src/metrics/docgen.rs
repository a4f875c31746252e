//! `docs/metrics.md`: what the daemon declares, and what a running core says it counts.

use std::sync::Arc;
use std::time::Duration;

use gateway_core::base::rng::Rng;
use gateway_core::gateway::GatewayConfig;
use gateway_core::io::signalling;
use gateway_core::media::clip::ClipLibrary;
use gateway_core::sip::endpoint::EndpointConfig;
use gateway_core::sip::trunk::{ListenerConfig, SipTransport, UnknownSource};

use super::OWN;
use crate::agi::AgiCounters;
use crate::brewery::desk::DialCounters;
use crate::cdr::CdrCounters;
use crate::hooks::HookCounters;
use crate::ivr::IvrCounters;
use crate::rocketchat::desk::DeskCounters;

/// Name and help of each counter of the core: asked of one that runs for a moment on a loopback port of the system's
/// choice, so that none can be forgotten.
pub async fn core_counters() -> Result<Vec<(String, String)>, String> {
    let bind = ([127, 0, 0, 1], 0).into();
    let listener = ListenerConfig {
        bind,
        transport: SipTransport::Udp,
        accepts: true,
        advertised: None,
        advertised_media: None,
    };
    let config = GatewayConfig {
        endpoint: EndpointConfig {
            listeners: vec![listener],
            trunks: Vec::new(),
            unknown: UnknownSource::Drop,
            user_agent: String::new(),
            calls_max: 1,
            retry_after: Duration::from_secs(1),
            t1: Duration::from_millis(500),
        },
        sdp: Vec::new(),
        manners: Vec::new(),
        rtp_ports: (40_000, 40_001),
        port_rest: Duration::ZERO,
        shards: 1,
        media_timeout: Duration::from_secs(60),
        call_length_max: Duration::from_secs(60),
        clips: Arc::new(ClipLibrary::embedded().map_err(|error| error.to_string())?),
        conference: Default::default(),
        browsers: Default::default(),
        backends: Vec::new(),
    };
    let running =
        signalling::start(config, Rng::from_number(1)).map_err(|error| error.to_string())?;
    let counters = running.handle.counters().await.map_err(|error| error.to_string())?;
    running.handle.stop().await;
    Ok(counters.iter().map(|counter| (counter.name.to_owned(), counter.help.to_owned())).collect())
}

/// The page.
pub fn reference_page(core: &[(String, String)]) -> String {
    let mut out = String::from(
        "# Metrics\n\n\
         <!-- Generated from the code by `make reference`; a test compares. -->\n\n\
         `GET /metrics` on `[http] listen` (127.0.0.1:8788), Prometheus text format. Names begin with `weebee_`.\n\n\
         ## State and calls\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for metric in OWN {
        let row = format!(
            "| `weebee_{}` | {} | {} | {} |\n",
            metric.name, metric.kind, metric.labels, metric.help
        );
        out.push_str(&row);
    }
    let mut daemon = Vec::new();
    let mut see = |name: &str, help: &str, _: u64| daemon.push((name.to_owned(), help.to_owned()));
    IvrCounters::default().visit(&mut see);
    AgiCounters::default().visit(&mut see);
    DialCounters::default().visit(&mut see);
    CdrCounters::default().visit(&mut see);
    DeskCounters::default().visit(&mut see);
    HookCounters::default().visit(&mut see);
    for (title, counters) in [
        ("PINs, FastAGI, call records and Rocket.Chat", &daemon[..]),
        ("SIP, calls and sound", core),
    ] {
        out.push_str(&format!(
            "\n## {title}: counters since the start\n\n| metric | meaning |\n|---|---|\n"
        ));
        for (name, help) in counters {
            let help = help.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
            out.push_str(&format!("| `weebee_{name}_total` | {help} |\n"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_page_is_fresh() {
        let core = core_counters().await.expect("starts on loopback");
        assert!(core.len() > 20, "the core counts more than {}", core.len());
        let page = include_str!("../../../docs/metrics.md");
        assert!(page == reference_page(&core), "docs/metrics.md is stale: run `make reference`");
    }
}
