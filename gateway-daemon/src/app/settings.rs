//! The core's settings, from the configuration.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_core::base::ids::TrunkId;
use gateway_core::gateway::{BrowserSettings, GatewayConfig};
use gateway_core::io::signalling::{Outside, SipTls};
use gateway_core::io::wall_clock;
use gateway_core::leg::backend::Backend;
use gateway_core::leg::browser::signal::LineKind;
use gateway_core::leg::jitsi::signal::JitsiBackend;
use gateway_core::leg::jitsi::signal::bridge::{BridgeSessions, TransportKind};
use gateway_core::media::clip::ClipLibrary;
use gateway_core::sip::endpoint::EndpointConfig;
use gateway_core::webrtc::Setup;

use crate::config::Config;
use crate::config::browser::Browser;
use crate::config::jitsi::Jitsi;

/// The core's settings.
pub(super) fn core_config(config: &Config, clips: Arc<ClipLibrary>) -> GatewayConfig {
    let sip = &config.sip;
    GatewayConfig {
        endpoint: EndpointConfig {
            listeners: sip.listeners.clone(),
            trunks: config.trunks.iter().map(|trunk| trunk.sip.clone()).collect(),
            unknown: sip.unknown,
            user_agent: sip.user_agent.clone(),
            calls_max: sip.calls_max,
            retry_after: sip.retry_after,
            t1: T1,
        },
        sdp: config.trunks.iter().map(|trunk| trunk.sdp.clone()).collect(),
        manners: config.trunks.iter().map(|trunk| trunk.door.manners).collect(),
        rtp_ports: config.rtp.ports,
        port_rest: PORT_REST,
        shards: 1,
        media_timeout: config.rtp.timeout,
        call_length_max: sip.call_length_max,
        clips,
        conference: config.rtp.conference,
        browsers: config.browser.as_ref().map(browsers).unwrap_or_default(),
        backends: config.jitsi.iter().map(backend).collect(),
    }
}

/// What the core's io needs of the world.
pub(super) fn outside(config: &Config) -> Outside {
    let trunks = (0u16..).map(TrunkId).zip(&config.trunks);
    let trunks = trunks.filter_map(|(id, trunk)| Some((id, trunk.tls.clone()?))).collect();
    Outside {
        sites: config.jitsi.iter().map(|jitsi| jitsi.site.clone()).collect(),
        tls: SipTls { certificate: config.sip.certificate.clone(), trunks },
    }
}

fn browsers(browser: &Browser) -> BrowserSettings {
    let Browser { addresses, browsers_max, .. } = *browser;
    BrowserSettings { browsers_max, addresses, line: LineKind::Dtls }
}

/// The backend of a Jitsi deployment.
fn backend(jitsi: &Jitsi) -> (String, Box<dyn Backend>) {
    let (now, wall) = (Instant::now(), wall_clock());
    let kind = TransportKind::Dtls { setup: Setup::Passive };
    let sessions = Box::new(BridgeSessions::new(kind, now, wall));
    let backend = JitsiBackend::new(jitsi.settings.clone(), sessions, now, wall);
    (jitsi.name.clone(), Box::new(backend))
}

/// Round-trip estimate of RFC 3261 §17.1.1.1. Nobody who runs a trunk needs another.
const T1: Duration = Duration::from_millis(500);
/// A freed RTP port rests: late packets of the old call must not sound in a new one.
const PORT_REST: Duration = Duration::from_secs(10);
