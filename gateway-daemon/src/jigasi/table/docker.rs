//! Variables of docker-jitsi-meet's Jigasi container, of Debian's package, and options of the command line.

use super::Place::{Debian, Docker};
use super::{Row, not_needed, not_supported, taken};

const SPEECH: &str =
    "speech is not written down; leave a Jigasi with JIGASI_MODE=transcriber beside for that";
const SIDECAR: &str =
    "belongs to the autoscaler's sidecar, which goes on asking `[jigasi] rest` as before";
const CONTAINER: &str = "a matter of the container";

/// Variables of docker-jitsi-meet.
pub(super) const VARIABLES: &[Row] = &[
    taken(Docker, "JIGASI_MODE", "must not be `transcriber`: then there is nothing for phones"),
    taken(Docker, "JIGASI_DISABLE_SIP", "must not be 1: then there is nothing for phones"),
    taken(Docker, "JIGASI_SIP_URI", "`[[trunk]] register_user` and the user in `credentials_file`"),
    taken(Docker, "JIGASI_SIP_PASSWORD", "`[[trunk]] credentials_file`"),
    taken(Docker, "JIGASI_SIP_SERVER", "`[[trunk]] peer`"),
    taken(Docker, "JIGASI_SIP_PORT", "the port in `[[trunk]] peer`"),
    taken(Docker, "JIGASI_SIP_TRANSPORT", "`[[trunk]] transport`"),
    taken(Docker, "JIGASI_SIP_DEFAULT_ROOM", "`[[trunk]] default_room`"),
    taken(Docker, "JIGASI_SIP_KEEP_ALIVE_METHOD", "`[[trunk]] keep_alive`"),
    taken(Docker, "JIGASI_ENABLE_SDES_SRTP", "`[[trunk]] srtp = \"required\"`"),
    taken(Docker, "JIGASI_PORT_MIN", "the first of `[rtp] ports`; 20000"),
    taken(Docker, "JIGASI_PORT_MAX", "the last of `[rtp] ports`; 20050"),
    taken(Docker, "JIGASI_XMPP_USER", "`[[brewery]] user`; jigasi"),
    taken(Docker, "JIGASI_XMPP_PASSWORD", "`[[brewery]] password_file`"),
    taken(Docker, "JIGASI_BREWERY_MUC", "`[[brewery]] room`; jigasibrewery"),
    taken(Docker, "JIGASI_STATS_ID", "`[[conference.jitsi]] stats_id`"),
    taken(Docker, "JIGASI_INSTANCE_ID", "`[[conference.jitsi]] stats_id`, without JIGASI_STATS_ID"),
    taken(Docker, "JIGASI_LOCAL_REGION", "`[[brewery]] region`"),
    taken(Docker, "JIGASI_JVB_TIMEOUT", "as JVB_INVITE_TIMEOUT"),
    not_needed(Docker, "JIGASI_TRUSTED_DOMAINS", "as TRUSTED_DOMAINS"),
    taken(Docker, "JIGASI_ENABLE_REST", "`[jigasi] rest` on every address"),
    taken(Docker, "JIGASI_HEALTH_CHECK_SIP_URI", "`[jigasi] health_check_uri`"),
    taken(Docker, "JIGASI_HEALTH_CHECK_INTERVAL", "`[jigasi] health_check_interval_s`"),
    taken(Docker, "JIGASI_CONFIGURATION", "lines of sip-communicator.properties, read as such"),
    not_needed(Docker, "JIGASI_VISITORS_QUEUE_SERVICE_URL", super::NO_QUEUE),
    not_needed(Docker, "JIGASI_VISITORS_QUEUE_SERVICE_PRIVATE_KEY_PATH", super::NO_QUEUE),
    not_needed(Docker, "JIGASI_VISITORS_QUEUE_SERVICE_PRIVATE_KEY_ID", super::NO_QUEUE),
    not_needed(Docker, "JIGASI_LOG_FILE", "the log goes to standard error; the container keeps it"),
    not_needed(Docker, "JIGASI_STATS_PORT", SIDECAR),
    not_needed(Docker, "JIGASI_SENTRY_DSN", "nothing is sent to Sentry"),
    not_needed(Docker, "JIGASI_VERSION", CONTAINER),
    not_supported(Docker, "JIGASI_TRANSCRIBER_*", SPEECH),
    not_supported(Docker, "GC_*", SPEECH),
    taken(Docker, "SHUTDOWN_REST_ENABLED", "`[jigasi] shutdown`"),
    taken(Docker, "BOSH_URL_PATTERN", "`[[conference.jitsi]] xmpp`"),
    taken(Docker, "ENABLE_AUTH", "1: phones log in, see XMPP_AUTH_DOMAIN and ENABLE_GUESTS"),
    taken(Docker, "ENABLE_GUESTS", "1 with ENABLE_AUTH: phones come as guests"),
    taken(Docker, "ENABLE_VISITORS", "`[[conference.jitsi]] visitors`"),
    taken(Docker, "XMPP_DOMAIN", "`[[conference.jitsi]] domain`; meet.jitsi"),
    taken(Docker, "XMPP_AUTH_DOMAIN", "`[[brewery]] domain`; auth.meet.jitsi"),
    taken(Docker, "XMPP_GUEST_DOMAIN", "`[[conference.jitsi]] account_domain`, with ENABLE_GUESTS"),
    taken(Docker, "XMPP_MUC_DOMAIN", "`[[conference.jitsi]] rooms`; muc.meet.jitsi"),
    taken(
        Docker,
        "XMPP_INTERNAL_MUC_DOMAIN",
        "the host of `[[brewery]] room`; internal-muc.meet.jitsi",
    ),
    taken(
        Docker,
        "XMPP_SERVER",
        "`xmpp`; several, `host[:port[:id]]` with commas, are a `[[brewery]]` each",
    ),
    taken(Docker, "XMPP_PORT", "the port in `xmpp`; 5222"),
    not_supported(Docker, "XMPP_HIDDEN_DOMAIN", SPEECH),
    not_supported(Docker, "XMPP_RECORDER_DOMAIN", SPEECH),
    taken(Docker, "PUBLIC_URL", "`[[conference.jitsi]] domains`"),
    not_needed(Docker, "USE_TRANSLATOR_IN_CONFERENCE", "every caller hears a mix, in any codec"),
    not_needed(Docker, "AUTOSCALER_*", SIDECAR),
    not_needed(Docker, "SENTRY_*", "nothing is sent to Sentry"),
    not_needed(Docker, "TZ", "times are UTC"),
];

/// Debian's variables and the command line.
pub(super) const DEBIAN: &[Row] = &[
    taken(Debian, "JIGASI_OPTS", "its --min-port and --max-port"),
    not_needed(
        Debian,
        "JIGASI_SIPUSER",
        "stands in sip-communicator.properties; fills `<<JIGASI_SIPUSER>>` there",
    ),
    not_needed(
        Debian,
        "JIGASI_SIPPWD",
        "stands in sip-communicator.properties; fills `<<JIGASI_SIPPWD>>` there",
    ),
    not_needed(
        Debian,
        "JIGASI_HOSTNAME",
        "stands in sip-communicator.properties; fills `<<DOMAIN_BASE>>` there",
    ),
    not_needed(Debian, "JIGASI_HOST", "was of the XMPP component, gone since 2020"),
    not_needed(Debian, "JIGASI_SECRET", "was of the XMPP component, gone since 2020"),
    not_needed(Debian, "JIGASI_MAX_MEMORY", "there is no Java machine"),
    not_needed(
        Debian,
        "JAVA_SYS_PROPS",
        "its -Dorg.jitsi... and -Dnet.java... are read; the rest is for Java",
    ),
    not_needed(Debian, "LOGFILE", "the log goes to standard error; the journal keeps it"),
    taken(Debian, "--min-port", "the first of `[rtp] ports`; 10000"),
    taken(Debian, "--max-port", "the last of `[rtp] ports`; 20000"),
    not_needed(Debian, "--host", "was of the XMPP component, gone since 2020"),
    not_needed(Debian, "--domain", "was of the XMPP component, gone since 2020"),
    not_needed(Debian, "--subdomain", "was of the XMPP component, gone since 2020"),
    not_needed(Debian, "--secret", "was of the XMPP component, gone since 2020"),
    not_needed(Debian, "--port", "was of the XMPP component, gone since 2020"),
    not_needed(Debian, "--nocomponent", "there is no XMPP component"),
    not_needed(Debian, "--configdir", "`weebee run --config FILE`"),
    not_needed(Debian, "--configdirname", "`weebee run --config FILE`"),
    not_needed(Debian, "--configwritable", "the file is never written"),
    not_needed(Debian, "--logdir", "the log goes to standard error"),
];
