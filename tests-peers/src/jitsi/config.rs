//! The servers' configurations: what Jitsi's own packages would write, reduced to one machine without a web server.

use std::path::Path;

use super::{ADDRESS, Bridge, DOMAIN, Installed, PHONES, SECRET, USERS};

/// The host of the servers' own accounts.
pub(super) const AUTH: &str = "auth.meet.test";
/// Where conferences are asked for.
pub(super) const FOCUS: &str = "focus.meet.test";
/// The host of the rooms.
pub(super) const ROOMS: &str = "muc.meet.test";

/// Every file, by name.
pub(super) fn files(folder: &Path, installed: &Installed) -> Vec<(String, String)> {
    let bridge = |bridge: Bridge| (format!("{}.conf", bridge.name()), bridge_text(bridge));
    vec![
        ("prosody.cfg.lua".into(), prosody(folder, installed)),
        ("jicofo.conf".into(), jicofo()),
        bridge(Bridge::First),
        bridge(Bridge::Second),
    ]
}

fn prosody(folder: &Path, installed: &Installed) -> String {
    let lua = installed.lua.as_ref().map_or_else(String::new, |lua| {
        format!("package.path = \"{}/?.lua;\" .. package.path\n", lua.display())
    });
    let (folder, plugins) = (folder.display(), installed.plugins.display());
    let room = |name: &str, modules: &str, more: &str| {
        format!(
            "Component \"{name}\" \"muc\"\n    storage = \"memory\"; restrict_room_creation = true; muc_room_locking = false; \
             muc_room_default_public_jids = true\n    modules_enabled = {{ \"muc_hide_all\"{modules} }}\n{more}"
        )
    };
    let meeting = room(
        ROOMS,
        ", \"muc_meeting_id\", \"muc_domain_mapper\", \"muc_password_whitelist\", \"muc_resource_validate\", \"muc_max_occupants\"",
        "    muc_password_whitelist = { \"focus@auth.meet.test\" }; muc_access_whitelist = { \"focus@auth.meet.test\" }; muc_max_occupants = 12\n",
    );
    let lobby = room("lobby.meet.test", "", "");
    let breakout = room("breakout.meet.test", ", \"muc_meeting_id\"", "");
    let component = |name: &str, module: &str, more: &str| {
        format!(
            "Component \"{name}.{DOMAIN}\" \"{module}\"\n    muc_component = \"{ROOMS}\"{more}\n"
        )
    };
    let components = [
        component("speakerstats", "speakerstats_component", ""),
        component("endconference", "end_conference", ""),
        component("avmoderation", "av_moderation_component", ""),
        component(
            "metadata",
            "room_metadata_component",
            "; breakout_rooms_component = \"breakout.meet.test\"",
        ),
    ]
    .concat();
    format!(
        r#"{lua}pidfile = "{folder}/prosody.pid"
log = {{ info = "*console" }}
data_path = "{folder}/data"
plugin_paths = {{ "{plugins}" }}
run_as_root = true
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ 5222 }}; s2s_ports = {{ }}; component_ports = {{ }}; https_ports = {{ }}
http_ports = {{ 5280 }}; http_interfaces = {{ "127.0.0.1" }}; http_default_host = "{DOMAIN}"
consider_bosh_secure = true; consider_websocket_secure = true; trusted_proxies = {{ "127.0.0.1" }}
c2s_require_encryption = false; allow_unencrypted_plain_auth = true
ssl = {{ key = "{folder}/prosody.key"; certificate = "{folder}/prosody.pem" }}
component_admins_as_room_owners = true
admins = {{ "focus@{AUTH}", "jvb@{AUTH}" }}
unlimited_jids = {{ "focus@{AUTH}", "jvb@{AUTH}" }}
modules_enabled = {{ "roster", "saslauth", "tls", "disco", "private", "version", "ping", "posix", "admin_shell", "limits" }}
modules_disabled = {{ "s2s", "offline" }}
storage = {{ smacks_h = "memory" }}
muc_mapper_domain_base = "{DOMAIN}"; muc_mapper_domain_prefix = "muc"
limits = {{ c2s = {{ rate = "1mb/s", burst = "5s" }} }}
VirtualHost "{DOMAIN}"
    authentication = "jitsi-anonymous"
    modules_enabled = {{ "bosh", "websocket", "smacks", "features_identity", "conference_duration", "muc_lobby_rooms", "muc_breakout_rooms" }}
    main_muc = "{ROOMS}"; lobby_muc = "lobby.meet.test"; breakout_rooms_muc = "breakout.meet.test"
VirtualHost "{PHONES}"
    authentication = "jitsi-shared-secret"; shared_secret = "{SECRET}"
    modules_enabled = {{ "smacks" }}
VirtualHost "{AUTH}"
    authentication = "internal_hashed"; modules_enabled = {{ "limits_exception", "smacks" }}; smacks_hibernation_time = 15
Component "internal.{AUTH}" "muc"
    storage = "memory"; modules_enabled = {{ "muc_hide_all", "muc_filter_access" }}; muc_filter_whitelist = "{AUTH}"
    restrict_room_creation = true; muc_room_locking = false; muc_room_default_public_jids = true; muc_tombstones = false
    muc_room_allow_persistent = false
Component "{FOCUS}" "client_proxy"
    target_address = "focus@{AUTH}"
{meeting}{lobby}{breakout}{components}"#
    )
}

fn jicofo() -> String {
    let (user, password) = USERS[0];
    format!(
        r#"jicofo {{
  xmpp {{ client {{ hostname = "127.0.0.1", port = 5222, domain = "{AUTH}", xmpp-domain = "{DOMAIN}", username = "{user}",
    password = "{password}", client-proxy = "{FOCUS}", conference-muc-jid = "{ROOMS}", disable-certificate-verification = true }}
    trusted-domains = [ "{AUTH}", "{PHONES}" ] }}
  bridge {{ brewery-jid = "jvbbrewery@internal.{AUTH}" }}
  jigasi {{ brewery-jid = "jigasibrewery@internal.{AUTH}" }}
  sctp {{ enabled = false }}
  rest {{ host = "127.0.0.1", port = 8888 }}
}}
"#
    )
}

fn bridge_text(bridge: Bridge) -> String {
    let (user, password) = USERS[1];
    let (name, shift) = (bridge.name(), u16::from(bridge == Bridge::Second));
    let (media, public, private) = (10_000 + shift, 9_090 + shift, 8_080 + shift);
    format!(
        r#"videobridge {{
  apis.xmpp-client.configs.shard1 {{ HOSTNAME = "127.0.0.1", PORT = 5222, DOMAIN = "{AUTH}", USERNAME = "{user}",
    PASSWORD = "{password}", MUC_JIDS = "jvbbrewery@internal.{AUTH}", MUC_NICKNAME = "{name}", DISABLE_CERTIFICATE_VERIFICATION = true }}
  ice.udp.port = {media}
  health.require-valid-address = false
  sctp.enabled = false
  websockets {{ enabled = true, domains = [ "127.0.0.1:{public}" ], tls = false, server-id = "{name}" }}
  http-servers {{ public {{ host = "127.0.0.1", port = {public} }}, private {{ host = "127.0.0.1", port = {private} }} }}
}}
ice4j.harvest {{ allowed-addresses = [ "{ADDRESS}" ], use-link-local-addresses = false, use-ipv6 = false,
  mapping.aws.enabled = false, mapping.stun.addresses = [] }}
"#
    )
}
