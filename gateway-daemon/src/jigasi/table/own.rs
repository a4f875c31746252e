//! Keys of Jigasi itself, of its transcription, and of the libraries beneath it.

use super::Place::{Jigasi, Other, Transcription};
use super::{Row, not_needed, not_supported, taken};

const JVM: &str = "a switch of the Java libraries that are not there";
const SPEECH: &str =
    "speech is not written down; leave a Jigasi with ENABLE_SIP=false beside for that";

/// `org.jitsi.jigasi.KEY`.
pub(super) const OWN: &[Row] = &[
    taken(Jigasi, "ALLOWED_JID", "`[[brewery]] allowed`, where it is not the brewery's own room"),
    not_needed(
        Jigasi,
        "ALLOW_ONLY_JIGASIS_IN_ROOM",
        "`[room]` says when a room without people ends; phones alone stay, as by default there",
    ),
    taken(Jigasi, "BOSH_HOST_OVERRIDE", "the host in `[[conference.jitsi]] xmpp`"),
    not_needed(Jigasi, "BREWERY_ENABLED", "not read since 2020: an account with BREWERY joins it"),
    taken(
        Jigasi,
        "CONFERENCES_THRESHOLD",
        "`[jigasi] conferences_threshold`: calls that mean full load",
    ),
    not_needed(
        Jigasi,
        "DEFAULT_CALL_EMPTY_TIMEOUT",
        "counts only with ALLOW_ONLY_JIGASIS_IN_ROOM=false",
    ),
    taken(Jigasi, "DEFAULT_JVB_ROOM_NAME", "`[[trunk]] default_room`"),
    not_needed(Jigasi, "DISABLE_ICE", "the bridge is always met by ICE"),
    taken(Jigasi, "ENABLE_REST_SHUTDOWN", "`[jigasi] shutdown`"),
    taken(Jigasi, "ENABLE_SIP", "must not be false: then there is nothing for phones"),
    not_needed(
        Jigasi,
        "ENABLE_SIP_STARTMUTED",
        "muting always counts: callers speak again with `*6`, or by their IVR",
    ),
    taken(Jigasi, "ENABLE_SIP_VISITORS", "`[[conference.jitsi]] visitors`"),
    not_supported(Jigasi, "ENABLE_TRANSCRIPTION", SPEECH),
    not_needed(Jigasi, "FOCUS_RESOURCE", "Jicofo is known by its address, not by its nickname"),
    not_needed(
        Jigasi,
        "HANGUP_SIP_ON_MEDIA_DROPPED",
        "`[rtp] timeout_s` ends calls from which no sound comes",
    ),
    not_needed(Jigasi, "HEALTH_CHECK_DEBUG_ENABLED", "see the log filter"),
    taken(Jigasi, "HEALTH_CHECK_INTERVAL", "`[jigasi] health_check_interval_s`"),
    taken(Jigasi, "HEALTH_CHECK_SIP_URI", "`[jigasi] health_check_uri`"),
    taken(Jigasi, "HEALTH_CHECK_TIMEOUT", "`[jigasi] health_check_timeout_s`"),
    taken(
        Jigasi,
        "JVB_INVITE_TIMEOUT",
        "`[[conference.jitsi]] empty_room = \"ring\"` with `ring_max_s`, where it is not the usual 30000",
    ),
    taken(Jigasi, "LOCAL_REGION", "`[[brewery]] region`"),
    not_needed(
        Jigasi,
        "MUC_JOIN_TIMEOUT",
        "`[[conference.jitsi]] join_s`; Jicofo is answered in time anyway",
    ),
    taken(
        Jigasi,
        "MUC_SERVICE_ADDRESS",
        "`[[conference.jitsi]] rooms` and, without its prefix, `domain`",
    ),
    taken(Jigasi, "NOTIFY_MAX_OCCUPANTS", "`[[trunk]] full_room`: false is \"refuse\""),
    not_needed(
        Jigasi,
        "SIP_MEDIA_DROPPED_THRESHOLD_MS",
        "`[rtp] timeout_s`; pauses are counted in the metrics",
    ),
    taken(Jigasi, "STATS_ID", "`[[conference.jitsi]] stats_id`"),
    not_needed(
        Jigasi,
        "TRUSTED_DOMAINS",
        "recorders and phones are known by what they say of themselves; nothing depends on it but who waits for whom",
    ),
    not_supported(
        Jigasi,
        "USE_SIP_USER_AS_XMPP_RESOURCE",
        "nicknames are eight hexadecimal digits: Prosody refuses most others",
    ),
    not_needed(Jigasi, "VISITOR_QUEUE_SERVICE", super::NO_QUEUE),
    not_needed(Jigasi, "VISITOR_QUEUE_SERVICE_PRIVATE_KEY_PATH", super::NO_QUEUE),
    not_needed(Jigasi, "VISITOR_QUEUE_SERVICE_PRIVATE_KEY_ID", super::NO_QUEUE),
    taken(Jigasi, "rest.jetty.host", "the address in `[jigasi] rest`"),
    taken(Jigasi, "rest.jetty.port", "the port in `[jigasi] rest`"),
    taken(Jigasi, "rest.host", "the address in `[jigasi] rest`"),
    taken(Jigasi, "rest.port", "the port in `[jigasi] rest`"),
    not_supported(
        Jigasi,
        "rest.jetty.tls.port",
        "put a proxy with a certificate before `[jigasi] rest`",
    ),
    not_supported(Jigasi, "rest.jetty.*", "put a proxy before `[jigasi] rest`"),
    not_supported(Jigasi, "rest.tls-port", "put a proxy with a certificate before `[jigasi] rest`"),
];

/// Keys with their whole names.
pub(super) const OTHERS: &[Row] = &[
    taken(
        Other,
        "net.java.sip.communicator.service.gui.ALWAYS_TRUST_MODE_ENABLED",
        "`tls_insecure`, said at every start; `ca_file` is the remedy",
    ),
    taken(
        Other,
        "net.java.sip.communicator.SIP_PREFERRED_CLEAR_PORT",
        "the port in `[sip] listen`",
    ),
    not_needed(
        Other,
        "net.java.sip.communicator.SIP_PREFERRED_SECURE_PORT",
        "a trunk with TLS is called from any port",
    ),
    taken(
        Other,
        "net.java.sip.communicator.service.protocol.MIN_MEDIA_PORT_NUMBER",
        "the first of `[rtp] ports`",
    ),
    taken(
        Other,
        "net.java.sip.communicator.service.protocol.MAX_MEDIA_PORT_NUMBER",
        "the last of `[rtp] ports`",
    ),
    not_needed(
        Other,
        "net.java.sip.communicator.impl.neomedia.codec.audio.opus.encoder.COMPLEXITY",
        "chosen here",
    ),
    not_needed(
        Other,
        "net.java.sip.communicator.impl.neomedia.audioSystem.audiosilence.captureDevice_list",
        "belongs to translator mode; every caller hears a mix",
    ),
    not_needed(Other, "net.java.sip.communicator.impl.neomedia.*", JVM),
    not_needed(Other, "org.jitsi.impl.neomedia.*", JVM),
    not_needed(
        Other,
        "net.java.sip.communicator.packetlogging.PACKET_LOGGING_ENABLED",
        "no packet is ever logged; `[log] filter` has levels by module",
    ),
    not_needed(Other, "net.java.sip.communicator.packetlogging.*", "no packet is ever logged"),
    not_needed(
        Other,
        "net.java.sip.communicator.impl.protocol.SingleCallInProgressPolicy.enabled",
        "calls never stand in each other's way",
    ),
    not_needed(
        Other,
        "net.java.sip.communicator.impl.protocol.sip.SKIP_REINVITE_ON_FOCUS_CHANGE_PROP",
        JVM,
    ),
    not_needed(
        Other,
        "net.java.sip.communicator.impl.protocol.jabber.FORCE_PRESENCE_ON_LEAVE",
        "presence is always sent when a phone leaves",
    ),
    not_needed(
        Other,
        "net.java.sip.communicator.plugin.reconnectplugin.*",
        "lost streams are opened again for ever",
    ),
    not_needed(Other, "net.java.sip.communicator.*", JVM),
    not_needed(Other, "org.ice4j.*", "ICE is our own"),
    not_needed(Other, "smack.*", "XMPP is our own"),
    not_supported(
        Other,
        "org.jitsi.ddclient.prefix",
        "figures are at `/metrics`; DataDog's agent reads them there",
    ),
    not_supported(
        Other,
        "org.jitsi.ddclient.host",
        "figures are at `/metrics`; DataDog's agent reads them there",
    ),
    not_supported(
        Other,
        "org.jitsi.ddclient.port",
        "figures are at `/metrics`; DataDog's agent reads them there",
    ),
];

/// `org.jitsi.jigasi.transcription.KEY`.
pub(super) const TRANSCRIPTION: &[Row] = &[
    not_supported(Transcription, "customService", SPEECH),
    not_supported(Transcription, "DIRECTORY", SPEECH),
    not_supported(Transcription, "BASE_URL", SPEECH),
    not_supported(Transcription, "ADVERTISE_URL", SPEECH),
    not_supported(Transcription, "SAVE_JSON", SPEECH),
    not_supported(Transcription, "SAVE_TXT", SPEECH),
    not_supported(Transcription, "SEND_JSON", SPEECH),
    not_supported(Transcription, "SEND_TXT", SPEECH),
    not_supported(Transcription, "SEND_JSON_REMOTE_URLS", SPEECH),
    not_supported(Transcription, "RECORD_AUDIO", SPEECH),
    not_supported(Transcription, "RECORD_AUDIO_FORMAT", SPEECH),
    not_supported(Transcription, "EXECUTE_SCRIPTS", SPEECH),
    not_supported(Transcription, "SCRIPTS_TO_EXECUTE_LIST", SPEECH),
    not_supported(Transcription, "SCRIPTS_TO_EXECUTE_LIST_SEPARATOR", SPEECH),
    not_supported(Transcription, "FILTER_SILENCE", SPEECH),
    not_supported(Transcription, "ENABLE_TRANSLATION", SPEECH),
    not_supported(Transcription, "translationService", SPEECH),
    not_supported(Transcription, "USE_VIDEO_MODEL", SPEECH),
    not_supported(Transcription, "google_model", SPEECH),
    not_supported(Transcription, "vosk.websocket_url", SPEECH),
    not_supported(Transcription, "whisper.websocket_url", SPEECH),
    not_supported(Transcription, "whisper.private_key", SPEECH),
    not_supported(Transcription, "whisper.private_key_name", SPEECH),
    not_supported(Transcription, "whisper.jwt_audience", SPEECH),
    not_supported(Transcription, "oci.websocketUrl", SPEECH),
    not_supported(Transcription, "oci.compartmentId", SPEECH),
    not_supported(Transcription, "oci.configFile", SPEECH),
    not_supported(Transcription, "oci.finalThresholdMs", SPEECH),
    not_supported(Transcription, "oci.interimThresholdMs", SPEECH),
    not_supported(Transcription, "libreTranslate.api_url", SPEECH),
    not_supported(Transcription, "bing.subscription_key", SPEECH),
    not_supported(Transcription, "bing.subscription_region", SPEECH),
    not_supported(Transcription, "bing.endpoint", SPEECH),
    not_supported(Transcription, "bing.api_version", SPEECH),
    not_supported(Transcription, "remoteTranscriptionConfigUrl", SPEECH),
    not_supported(Transcription, "remoteTranscriptionConfigUrl.aud", SPEECH),
    not_supported(Transcription, "remoteTranscriptionConfigUrl.kid", SPEECH),
    not_supported(Transcription, "remoteTranscriptionConfigUrl.keyPath", SPEECH),
    not_supported(Transcription, "action.*", SPEECH),
    not_supported(Transcription, "jetty.*", SPEECH),
    not_supported(Transcription, "port", SPEECH),
    not_supported(Transcription, "tls-port", SPEECH),
];
