//! The plan's knobs as settings of the gateway and of the PIN dialogue.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_core::base::ids::{SiteId, TrunkId};
use gateway_core::base::pii::Pii;
use gateway_core::base::time::WallClock;
use gateway_core::gateway::{GatewayConfig, ROOM_BACKEND};
use gateway_core::leg::backend::{Backend, BeforeHost, Role, RoomName, RoomPolicy};
use gateway_core::leg::jitsi::signal::JitsiBackend;
use gateway_core::leg::jitsi::signal::bridge::{BridgeSessions, TransportKind};
use gateway_core::leg::jitsi::signal::settings::{JitsiSettings, PhoneIdentity};
use gateway_core::leg::trunk::signal::{CodecOrder, SdpPolicy};
use gateway_core::media::clip::{ClipLibrary, Language};
use gateway_core::sip::endpoint::EndpointConfig;
use gateway_core::sip::trunk::{Cidr, ListenerConfig, SipTransport, TrunkConfig, UnknownSource};
use gateway_daemon::config::door::Door;
use gateway_daemon::config::number::Pattern;
use gateway_daemon::config::rooms::Label;
use gateway_daemon::config::typed::{Did, RoomRules, Rooms};
use gateway_daemon::ivr::policy::{PinRules, Policy, TrunkRules};
use gateway_daemon::pin::handle::SharedThrottle;
use gateway_daemon::pin::throttle::{Throttle, ThrottleLimits};
use gateway_daemon::pin::{Grant, PinKind, Verdict};

use super::network::PHONE_SIP_PORT;
use crate::plan::WorldPlan;
use crate::plan::meeting::MeetingPlan;

/// Where the gateway listens.
pub(super) const GATEWAY: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5_060);

const RTP_FIRST: u16 = 20_000;
/// Keys behind a number are typed so long after the answer.
pub(super) const KEYS_AFTER: Duration = Duration::from_secs(2);
/// Name of the deployment.
pub(super) const JITSI: &str = "jitsi";

pub(super) fn gateway(plan: &WorldPlan, clips: Arc<ClipLibrary>, now: Instant) -> GatewayConfig {
    let knobs = &plan.knobs;
    let codec_order = match knobs.peers_codec_order {
        true => CodecOrder::Peers,
        false => CodecOrder::Ours,
    };
    GatewayConfig {
        endpoint: endpoint(plan),
        sdp: vec![
            SdpPolicy {
                codec_order,
                early_media: true,
                dtmf: knobs.dtmf,
                ..SdpPolicy::default()
            };
            1 + plan.callees().count()
        ],
        manners: vec![knobs.manners],
        rtp_ports: (RTP_FIRST, RTP_FIRST + knobs.port_pairs * 2 - 1),
        port_rest: knobs.port_rest,
        shards: 1,
        media_timeout: knobs.media_timeout,
        call_length_max: knobs.call_length_max,
        clips,
        conference: Default::default(),
        browsers: Default::default(),
        backends: plan.meeting.iter().map(|it| (JITSI.to_owned(), jitsi(it, now))).collect(),
    }
}

/// As the daemon makes it, but for the transport.
fn jitsi(plan: &MeetingPlan, now: Instant) -> Box<dyn Backend> {
    let wall = WallClock { unix: super::BIRTH_TIME };
    let usual = JitsiSettings::usual(SiteId(0), "meet.test", "muc.meet.test");
    let settings = JitsiSettings {
        identity: PhoneIdentity::SharedSecret(Pii::new("phonesecret".to_owned())),
        rejoin_max: plan.rejoin_max.unwrap_or(usual.rejoin_max),
        empty_room: plan.empty_room,
        visitor_domain: plan.visitors_above.map(|_| "meet.jitsi".to_owned()),
        ..usual
    };
    let sessions = Box::new(BridgeSessions::new(TransportKind::Plain, now, wall));
    Box::new(JitsiBackend::new(settings, sessions, now, wall))
}

/// Where a phone is seen.
pub(super) fn public_address(index: usize) -> IpAddr {
    Ipv4Addr::new(198, 51, 100, 10 + index as u8).into()
}

/// The trunk of a phone that is called.
pub(super) fn trunk_to(plan: &WorldPlan, phone: usize) -> TrunkId {
    let place = plan.callees().position(|index| index == phone);
    TrunkId(1 + place.unwrap_or_default() as u16)
}

fn endpoint(plan: &WorldPlan) -> EndpointConfig {
    let knobs = &plan.knobs;
    let listener = ListenerConfig {
        bind: GATEWAY,
        transport: SipTransport::Udp,
        accepts: true,
        advertised: None,
        advertised_media: None,
    };
    let alone = |index: usize| Cidr::new(public_address(index), 32).expect("32 is within 32");
    let callees: Vec<usize> = plan.callees().collect();
    let callers = (0..plan.phones.len()).filter(|index| !callees.contains(index));
    let trunk = TrunkConfig {
        name: "carrier".to_owned(),
        sources: callers.map(alone).collect(),
        session_expires: knobs.session_expires,
        calls_max: knobs.trunk_calls_max,
        takes_json: knobs.manners.info.is_some(),
        ..TrunkConfig::default()
    };
    // Each phone that is called is at the end of a trunk of its own.
    let own = |index: usize| TrunkConfig {
        name: format!("phone{index}"),
        sources: vec![alone(index)],
        peer: Some(SocketAddr::new(public_address(index), PHONE_SIP_PORT)),
        ..trunk.clone()
    };
    let trunks = std::iter::once(trunk.clone()).chain(plan.callees().map(own)).collect();
    EndpointConfig {
        listeners: vec![listener],
        trunks,
        unknown: UnknownSource::Drop,
        user_agent: "weebee-sim".to_owned(),
        calls_max: knobs.calls_max,
        retry_after: Duration::from_secs(5),
        t1: knobs.t1,
    }
}

/// The daemon's PIN dialogue: every number asks for a PIN.
pub(super) fn policy(plan: &WorldPlan) -> Policy {
    let knobs = &plan.knobs;
    let usual = RoomPolicy {
        before_host: if knobs.wait_for_host { BeforeHost::Hold } else { BeforeHost::Join },
        knocks: true,
        members_max: knobs.members_max,
        host_wait_max: knobs.host_wait_max,
    };
    Policy {
        trunks: vec![TrunkRules {
            name: "carrier".to_owned(),
            trusted: false,
            language: Language::default(),
            tickets: false,
            door: Door::default(),
        }],
        sites: Vec::new(),
        visitors: false,
        dids: direct(plan).into_iter().collect(),
        ask_unmatched: true,
        rooms: Rooms {
            usual: RoomRules {
                policy: usual,
                backend: if plan.meeting.is_some() { JITSI } else { ROOM_BACKEND }.to_owned(),
                mint: Vec::new(),
                label: Label::Masked,
                language: None,
            },
            named: Vec::new(),
        },
        pin: PinRules {
            digits: 9,
            tries: 3,
            first_digit: Duration::from_secs(10),
            between_digits: Duration::from_secs(5),
        },
    }
}

/// The number of a room that may be entered without a PIN.
fn direct(plan: &WorldPlan) -> Option<Did> {
    plan.meeting.as_ref().filter(|meeting| meeting.is_direct)?;
    Some(Did {
        number: Pattern::new("pin")?,
        trunk: None,
        language: None,
        room: RoomName::new("tea").ok(),
        ask_pin: false,
        role: Role::Guest,
        length_max: None,
        backend: None,
    })
}

/// Caps that a run may reach.
pub(super) fn throttle() -> SharedThrottle {
    let limits =
        ThrottleLimits { per_caller_h: 10, per_anonymous_h: 10, per_trunk_h: 100, global_h: 1_000 };
    SharedThrottle::new(Throttle::new(limits))
}

/// A PIN that opens `room`.
pub(super) fn valid(room: RoomName, role: Role) -> Verdict {
    let id = "p1".to_owned();
    Verdict::Valid(Grant { id, room, role, kind: PinKind::Guest, owner: None, language: None })
}
