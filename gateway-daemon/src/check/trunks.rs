//! Trunks under `weebee check`: what is legal and yet doubtful; with `--live` each registrar is asked what it knows of our
//! account. Asking changes nothing there: a running gateway stays registered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::base::ids::TrunkId;
use gateway_core::gateway::{Event, GatewayConfig};
use gateway_core::io::os_rng;
use gateway_core::io::signalling::{self, Outside, SipTls};
use gateway_core::media::clip::ClipLibrary;
use gateway_core::sip::endpoint::EndpointConfig;
use gateway_core::sip::offer_answer::Srtp;
use gateway_core::sip::reach::NameState;
use gateway_core::sip::registration::RegistrationState;
use gateway_core::sip::trunk::{Account, ListenerConfig, SipTransport, TrunkConfig, UnknownSource};

use super::Finding;
use crate::config::Config;
use crate::config::trunk::Trunk;
use crate::trunks::failure_in_words;

/// What may disappoint.
pub fn doubts(config: &Config) -> Vec<Finding> {
    config.trunks.iter().flat_map(of_trunk).collect()
}

fn of_trunk(trunk: &Trunk) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut doubt = |text: &str| {
        found.push(Finding::warning(0, format!("trunk {:?}: {text}", trunk.sip.name)));
    };
    if trunk.tls.as_ref().is_some_and(|tls| tls.trust.insecure) {
        doubt("tls_insecure: any certificate is believed; set tls_ca_file instead");
    }
    if trunk.sdp.srtp == Srtp::Required && trunk.sip.transport != SipTransport::Tls {
        doubt(
            "srtp: its keys travel openly with the signalling, so that who hears that hears the calls; set transport = \
             \"tls\"",
        );
    }
    if trunk.sip.account.is_some() && trunk.sip.credentials.is_none() {
        doubt("register: without credentials hardly a PBX lets us in; set them");
    }
    found
}

/// Asks all registrars, one after the other.
pub async fn findings(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    for trunk in config.trunks.iter().filter(|trunk| trunk.sip.account.is_some()) {
        let name = &trunk.sip.name;
        found.push(match ask(config, trunk).await {
            Ok(()) => Finding::good(
                0,
                format!("trunk {name:?}: the registrar knows account and password"),
            ),
            Err(what) => Finding::wrong(0, format!("trunk {name:?} {what}")),
        });
    }
    found
}

async fn ask(config: &Config, trunk: &Trunk) -> Result<(), String> {
    let first = config.sip.listeners.first().ok_or("has no listener; add one to [sip] listen")?;
    let clips = Arc::new(ClipLibrary::default());
    let core = asking(SocketAddr::new(first.bind.ip(), 0), &trunk.sip, clips);
    let trunks = trunk.tls.clone().map(|tls| (TrunkId(0), tls)).into_iter().collect();
    let outside = Outside { tls: SipTls { certificate: None, trunks }, ..Outside::default() };
    let rng = os_rng().map_err(|error| error.to_string())?;
    let mut running =
        signalling::start_with(core, outside, rng).map_err(|error| error.to_string())?;
    let answer = async {
        while let Some(event) = running.events.recv().await {
            match event {
                Event::TrunkRegistered(_, RegistrationState::Registered { .. }) => return Ok(()),
                Event::TrunkRegistered(_, RegistrationState::Failed(failure)) => {
                    return Err(failure_in_words(failure));
                }
                Event::TrunkName(_, NameState::Unknown) => {
                    return Err("peer: its name cannot be resolved; check it".to_owned());
                }
                _ => {}
            }
        }
        Err("could not be asked".to_owned())
    };
    let answered = tokio::time::timeout(PATIENCE, answer).await;
    running.handle.stop().await;
    answered.unwrap_or_else(|_| {
        Err("is not registered: the registrar does not answer; check peer, transport and firewall"
            .to_owned())
    })
}

/// A gateway that does nothing but ask.
fn asking(bind: SocketAddr, trunk: &TrunkConfig, clips: Arc<ClipLibrary>) -> GatewayConfig {
    let account = trunk.account.clone().map(|account| Account { only_asks: true, ..account });
    let trunk =
        TrunkConfig { account, qualify_every: None, keep_alive_every: None, ..trunk.clone() };
    let listener = ListenerConfig {
        bind,
        transport: trunk.transport,
        accepts: trunk.transport == SipTransport::Udp,
        advertised: None,
        advertised_media: None,
    };
    GatewayConfig {
        endpoint: EndpointConfig {
            listeners: vec![listener],
            trunks: vec![trunk],
            unknown: UnknownSource::Drop,
            user_agent: concat!("WeeBee check ", env!("CARGO_PKG_VERSION")).to_owned(),
            calls_max: 0,
            retry_after: Duration::from_secs(10),
            t1: Duration::from_millis(500),
        },
        sdp: Vec::new(),
        manners: Vec::new(),
        rtp_ports: (40_000, 40_001),
        port_rest: Duration::ZERO,
        shards: 1,
        media_timeout: Duration::from_secs(60),
        call_length_max: Duration::from_secs(60),
        clips,
        conference: Default::default(),
        browsers: Default::default(),
        backends: Vec::new(),
    }
}

/// A REGISTER is repeated for 32 s; a registrar that is there answers the first or the second.
const PATIENCE: Duration = Duration::from_secs(8);

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::path::Path;

    use super::*;

    fn read(keys: &str) -> Config {
        let text = format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n[rtp]\nports = \"20000-23999\"\n\
             [[trunk]]\nname = \"pbx\"\nregister = true\n{keys}"
        );
        crate::config::parse("weebee.toml", &text, Path::new(".")).expect("legal")
    }

    #[test]
    fn what_is_legal_and_unwise_is_doubted() {
        let insecure =
            "peer = \"pbx\"\ntransport = \"tls\"\ntls_insecure = true\ncredentials = \"a:b\"\n";
        let said = doubts(&read(insecure));
        assert!(said.len() == 1 && said[0].text.contains("set tls_ca_file instead"), "{said:?}");
        let said = doubts(&read("peer = \"pbx\"\ncredentials = \"a:b\"\nsrtp = \"required\"\n"));
        assert!(said.len() == 1 && said[0].text.contains("travel openly"), "{said:?}");
        let said = doubts(&read("peer = \"pbx\"\nregister_user = \"a\"\n"));
        assert!(said.len() == 1 && said[0].text.contains("without credentials"), "{said:?}");
        assert_eq!(doubts(&read("peer = \"pbx\"\ncredentials = \"a:b\"\n")), []);
    }

    /// Answers one REGISTER with this status.
    fn registrar(status: &'static str) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("bound");
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            let (length, from) = socket.recv_from(&mut buffer).expect("asked");
            let asked = String::from_utf8_lossy(&buffer[..length]).into_owned();
            assert!(asked.starts_with("REGISTER ") && !asked.contains("Contact:"), "{asked}");
            let wanted = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
            let copied: String = asked
                .split_inclusive("\r\n")
                .filter(|line| wanted.iter().any(|name| line.starts_with(name)))
                .collect();
            let answer = format!("SIP/2.0 {status}\r\n{copied}Content-Length: 0\r\n\r\n");
            socket.send_to(answer.as_bytes(), from).expect("answered");
        });
        address
    }

    #[tokio::test]
    async fn each_registrar_is_asked_and_what_it_says_is_told() {
        for (status, wanted) in [("200 OK", "knows account"), ("403 Forbidden", "forbids it (403)")]
        {
            let peer = registrar(status);
            let config = read(&format!("peer = \"{peer}\"\ncredentials = \"a:b\"\n"));
            let said = findings(&config).await;
            assert!(said.len() == 1 && said[0].text.contains(wanted), "{said:?}");
        }
    }
}
