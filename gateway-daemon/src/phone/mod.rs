//! A test phone made of gateway-core: it calls out over a trunk of its own and plays and records instead of joining a
//! room. `weebee call` is one.

pub mod backend;
pub mod record;
pub mod target;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use gateway_core::base::ids::TrunkId;
use gateway_core::base::pii::Pii;
use gateway_core::call::{Digits, Route};
use gateway_core::gateway::{Command, DialOrder, GatewayConfig};
use gateway_core::leg::backend::{Entry, Role, RoomName, RoomPolicy};
use gateway_core::leg::phone_line::PcmTap;
use gateway_core::media::clip::{Clip, ClipLibrary, Language};
use gateway_core::media::codec::CodecKind;
use gateway_core::sip::endpoint::EndpointConfig;
use gateway_core::sip::offer_answer::SdpPolicy;
use gateway_core::sip::trunk::{Cidr, DigestUser, ListenerConfig, TrunkConfig, UnknownSource};

use backend::PhoneBackend;
use target::Target;

/// What a test phone does.
#[derive(Clone, Debug)]
pub struct Phone {
    /// Whom it calls.
    pub target: Target,
    /// Its name in From.
    pub from_user: String,
    /// Codecs it offers, best first.
    pub codecs: Vec<CodecKind>,
    /// Digest user for challenges.
    pub credentials: Option<DigestUser>,
    /// What it plays, over and over.
    pub play: Option<Arc<Clip>>,
    /// Where the far side's sound goes.
    pub record: Option<Arc<PcmTap>>,
}

impl Phone {
    /// The settings of a gateway that is this phone.
    pub fn gateway(&self, clips: Arc<ClipLibrary>) -> std::io::Result<GatewayConfig> {
        let local = local_address(self.target.address)?;
        let listener = ListenerConfig {
            bind: SocketAddr::new(local, 0),
            transport: self.target.transport,
            accepts: true,
            advertised: None,
            advertised_media: None,
        };
        let first = free_ports(local)?;
        let backend =
            PhoneBackend::new(self.codecs.clone(), self.play.clone(), self.record.clone());
        Ok(GatewayConfig {
            endpoint: EndpointConfig {
                listeners: vec![listener],
                trunks: vec![self.trunk()],
                unknown: UnknownSource::Drop,
                user_agent: concat!("WeeBee test phone ", env!("CARGO_PKG_VERSION")).to_owned(),
                calls_max: 4,
                retry_after: Duration::from_secs(10),
                t1: Duration::from_millis(500),
            },
            sdp: vec![SdpPolicy { codecs: self.codecs.clone(), ..SdpPolicy::default() }],
            manners: Vec::new(),
            rtp_ports: (first, first + PORTS - 1),
            port_rest: Duration::from_secs(1),
            shards: 1,
            media_timeout: Duration::from_secs(30),
            call_length_max: Duration::from_secs(24 * 3_600),
            clips,
            conference: Default::default(),
            browsers: Default::default(),
            backends: vec![(BACKEND.to_owned(), Box::new(backend))],
        })
    }

    /// The command that calls. `pin` is typed a second after the answer, with `#`.
    pub fn dial(&self, pin: Option<&str>) -> Command {
        let keys = pin.map(|pin| {
            let typed: Digits = pin.bytes().chain([b'#']).take(Digits::new().capacity()).collect();
            (TYPE_AFTER, typed)
        });
        Command::Dial {
            trunk: TrunkId(0),
            target: self.target.uri.clone(),
            from_user: Pii::new(self.from_user.clone()),
            from_name: Pii::default(),
            headers: Vec::new(),
            route: Box::new(Route {
                backend: BACKEND.to_owned(),
                room: RoomName::new("line").expect("four letters"),
                role: Role::Guest,
                label: Pii::new("test phone".to_owned()),
                language: Language::En,
                policy: RoomPolicy::default(),
                length_max: None,
                note: None,
                entry: Entry::default(),
            }),
            keys,
            quiet: true,
            order: DialOrder::PhoneFirst,
        }
    }

    fn trunk(&self) -> TrunkConfig {
        let address = self.target.address.ip();
        let bits = if address.is_ipv4() { 32 } else { 128 };
        TrunkConfig {
            name: "far-side".to_owned(),
            sources: Cidr::new(address, bits).into_iter().collect(),
            peer: Some(self.target.address),
            transport: self.target.transport,
            credentials: self.credentials.clone(),
            reliable_provisional: true,
            calls_max: 4,
            ..TrunkConfig::default()
        }
    }
}

/// The address of ours that the far side sees. Asking the kernel for a route sends nothing.
fn local_address(target: SocketAddr) -> std::io::Result<IpAddr> {
    let any: SocketAddr = match target {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(target)?;
    Ok(socket.local_addr()?.ip())
}

/// The first of a few neighbouring ports that nobody uses now, away from those of a gateway on the same host.
fn free_ports(local: IpAddr) -> std::io::Result<u16> {
    let seed = crate::pin::key::entropy()?;
    let start = u16::from_le_bytes([seed[0], seed[1]]) % BLOCKS;
    for step in 0..BLOCKS {
        let first = PORTS_FROM + (start + step) % BLOCKS * PORTS;
        let bound: Result<Vec<_>, _> =
            (first..first + PORTS).map(|port| UdpSocket::bind((local, port))).collect();
        if bound.is_ok() {
            return Ok(first);
        }
    }
    Err(std::io::Error::new(std::io::ErrorKind::AddrInUse, "no free UDP ports above 40000"))
}

/// Name of the backend that is the phone's ear and mouth.
pub const BACKEND: &str = "phone";
/// A person needs a moment to begin typing.
const TYPE_AFTER: Duration = Duration::from_secs(1);
const PORTS: u16 = 8;
const PORTS_FROM: u16 = 40_000;
const BLOCKS: u16 = 2_500;

#[cfg(test)]
mod tests;
