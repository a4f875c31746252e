//! Everything of Rocket.Chat that runs beside a gateway: the workspaces, who watches their rooms, who gives PINs and who
//! calls out.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use gateway_core::base::ids::TrunkId;
use gateway_core::base::pii::Pii;
use gateway_core::call::Route;
use gateway_core::gateway::{Command, DialOrder};
use gateway_core::io::os_rng;
use gateway_core::io::signalling::GatewayHandle;
use gateway_core::leg::backend::{Entry, Role, RoomName};
use gateway_core::media::clip::Language;
use tokio::sync::mpsc;

use super::desk::MeetingPin;
use super::task::{self, Dialer, Helpers, Later, PinDesk, Status, WatchOrder};
use super::watch;
use super::webhook::{self, Door};
use crate::config::Config;
use crate::config::number::masked;
use crate::config::rocketchat::RocketChat;
use crate::config::typed::Rooms;
use crate::pin::PinKind;
use crate::pin::handle::Pins;
use crate::pin::mint::{Issuer, Mint};

/// The states of all workspaces, before they begin.
pub fn statuses(config: &Config) -> Vec<Arc<Status>> {
    config.rocketchat.iter().map(|it| Arc::new(Status::new(&it.name))).collect()
}

/// Starts all workspaces of a configuration; gives the routes of their webhooks. The error is a sentence.
pub fn start(
    config: &Config,
    handle: &GatewayHandle,
    pins: &Pins,
    statuses: &[Arc<Status>],
) -> Result<Router, String> {
    if config.rocketchat.is_empty() {
        return Ok(Router::new());
    }
    let rng = os_rng().map_err(|error| error.to_string())?;
    let desk: Arc<dyn PinDesk> = Arc::new(RegistryPins(pins.clone()));
    let mut watches: BTreeMap<&str, mpsc::Sender<WatchOrder>> = BTreeMap::new();
    let mut doors = BTreeMap::new();
    for (workspace, status) in config.rocketchat.iter().zip(statuses) {
        let watch = watches.entry(&workspace.jitsi).or_insert_with(|| {
            let (orders, waiting) = mpsc::channel(WATCH_ORDERS_MAX);
            let jitsi = config.jitsi.iter().find(|it| it.name == workspace.jitsi);
            if let Some(jitsi) = jitsi.cloned() {
                let rng = rng.fork(&format!("rocketchat/watch/{}", jitsi.name));
                tokio::spawn(watch::run(jitsi, waiting, rng));
            }
            orders
        });
        let helpers = Helpers {
            pins: Arc::clone(&desk),
            key: pins.key().clone(),
            watch: watch.clone(),
            dialer: dialer(config, workspace, handle),
        };
        let started = task::start(workspace, helpers, Arc::clone(status), &rng)
            .map_err(|what| format!("rocketchat {:?}: {what}", workspace.name))?;
        if let Some(token) = workspace.webhook_token.clone() {
            let (words, me) = (workspace.words.clone(), workspace.user.clone());
            doors.insert(workspace.name.clone(), Door { token, words, me, workspace: started });
        }
    }
    Ok(webhook::router(doors))
}

/// PINs of the registry: one of guests per meeting, the same for all who ask.
#[derive(Debug)]
struct RegistryPins(Pins);

impl PinDesk for RegistryPins {
    fn mint(&self, room: RoomName) -> Later<Result<MeetingPin, String>> {
        let pins = self.0.clone();
        Box::pin(async move {
            // A meeting that was over and goes on keeps its PIN.
            pins.meeting_started(&room).await.map_err(|error| error.to_string())?;
            let mint = Mint::new(room, PinKind::Guest, Issuer::Chat);
            let pin = pins.mint(mint).await.map_err(|error| error.to_string())?;
            Ok(MeetingPin { digits: pin.digits })
        })
    }

    fn meeting_over(&self, room: RoomName) -> Later<Result<(), String>> {
        let pins = self.0.clone();
        Box::pin(async move { pins.meeting_ended(&room).await.map_err(|error| error.to_string()) })
    }
}

/// Calls out by a trunk.
#[derive(Debug)]
struct TrunkDialer {
    handle: GatewayHandle,
    trunk: TrunkId,
    /// Host and port of its peer.
    peer: String,
    from_user: String,
    language: Language,
    rooms: Rooms,
    jitsi: String,
}

fn dialer(
    config: &Config,
    workspace: &RocketChat,
    handle: &GatewayHandle,
) -> Option<Arc<dyn Dialer>> {
    let (_, name) = workspace.call_me.as_ref()?;
    let at = config.trunks.iter().position(|trunk| trunk.sip.name == *name)?;
    let peer = config.trunks.get(at)?.sip.host()?;
    Some(Arc::new(TrunkDialer {
        handle: handle.clone(),
        trunk: TrunkId(u16::try_from(at).ok()?),
        peer,
        from_user: workspace
            .numbers
            .first()
            .map(|number| super::dialled(number))
            .unwrap_or_default(),
        language: workspace.language,
        rooms: config.rooms.clone(),
        jitsi: workspace.jitsi.clone(),
    }))
}

impl Dialer for TrunkDialer {
    fn dial(&self, number: Pii<String>, room: RoomName) -> Later<Result<(), String>> {
        let command = Command::Dial {
            trunk: self.trunk,
            target: format!("sip:{}@{}", number.reveal(), self.peer),
            from_user: Pii::new(self.from_user.clone()),
            from_name: Pii::default(),
            headers: Vec::new(),
            route: Box::new(Route {
                backend: self.jitsi.clone(),
                policy: self.rooms.rules(&room).policy,
                room,
                role: Role::Guest,
                label: Pii::new(format!("Phone ({})", masked(number.reveal()))),
                language: self.language,
                length_max: None,
                note: Some("callme".to_owned()),
                entry: Entry::default(),
            }),
            keys: None,
            quiet: false,
            order: DialOrder::PhoneFirst,
        };
        let handle = self.handle.clone();
        Box::pin(async move {
            handle.command(command).await.map(drop).map_err(|error| error.to_string())
        })
    }
}

/// Orders that wait for a watcher.
const WATCH_ORDERS_MAX: usize = 256;
