//! The table of keys: every key that Jigasi, its package and docker-jitsi-meet know has its row.

use std::path::Path;

use super::super::environment::Environment;
use super::super::fixtures::{DOCKER, SAMPLE, SHARDS, of_properties};
use super::super::old::Old;
use super::super::report::Report;
use super::super::table::{self, Place};
use super::{config, holds};

/// Every key that Jigasi reads, and those its users carry.
const KNOWN: &[(Place, &str)] = &[
    (
        Place::Jigasi,
        "ALLOWED_JID ALLOW_ONLY_JIGASIS_IN_ROOM BOSH_HOST_OVERRIDE BREWERY_ENABLED CONFERENCES_THRESHOLD \
        DEFAULT_CALL_EMPTY_TIMEOUT DEFAULT_JVB_ROOM_NAME DISABLE_ICE ENABLE_REST_SHUTDOWN ENABLE_SIP ENABLE_SIP_STARTMUTED \
        ENABLE_SIP_VISITORS ENABLE_TRANSCRIPTION FOCUS_RESOURCE HANGUP_SIP_ON_MEDIA_DROPPED HEALTH_CHECK_SIP_URI \
        HEALTH_CHECK_INTERVAL HEALTH_CHECK_TIMEOUT HEALTH_CHECK_DEBUG_ENABLED JVB_INVITE_TIMEOUT LOCAL_REGION MUC_JOIN_TIMEOUT \
        MUC_SERVICE_ADDRESS NOTIFY_MAX_OCCUPANTS SIP_MEDIA_DROPPED_THRESHOLD_MS STATS_ID TRUSTED_DOMAINS \
        USE_SIP_USER_AS_XMPP_RESOURCE VISITOR_QUEUE_SERVICE VISITOR_QUEUE_SERVICE_PRIVATE_KEY_PATH \
        VISITOR_QUEUE_SERVICE_PRIVATE_KEY_ID rest.jetty.host",
    ),
    (
        Place::CallAccount,
        "USER_ID PASS ANONYMOUS_AUTH UNIQUE_USER_ID ALLOW_NON_SECURE IS_SERVER_OVERRIDDEN SERVER_ADDRESS \
        SERVER_PORT BOSH_URL_PATTERN DOMAIN_BASE VIDEO_CALLING_DISABLED JINGLE_NODES_ENABLED AUTO_DISCOVER_STUN \
        USE_DEFAULT_STUN_SERVER IM_DISABLED SERVER_STORED_INFO_DISABLED IS_FILE_TRANSFER_DISABLED KEEP_ALIVE_METHOD \
        KEEP_ALIVE_INTERVAL USE_TRANSLATOR_IN_CONFERENCE",
    ),
    (
        Place::SipAccount,
        "JITSI_MEET_ROOM_HEADER_NAME JITSI_MEET_ROOM_PASS_HEADER_NAME JITSI_AUTH_TOKEN_HEADER_NAME \
        JITSI_AUTH_USER_ID_HEADER_NAME JITSI_MEET_DOMAIN_BASE_HEADER_NAME JITSI_MEET_DOMAIN_TENANT_HEADER_NAME \
        JITSI_MEET_VISITOR_HEADER_NAME REGISTRATION_EXPIRATION KEEP_ALIVE_METHOD KEEP_ALIVE_INTERVAL SERVER_ADDRESS USER_ID \
        MUST_REGISTER_TO_CALL PREFERRED_TRANSPORT PROXY_ADDRESS PROXY_PORT PROXY_AUTO_CONFIG CLIENT_TLS_CERTIFICATE \
        SDES_CIPHER_SUITES SAVP_OPTION OVERRIDE_ENCODINGS Encodings.opus/48000 Encodings.AMR-WB/16000 Encodings.G722/8000 \
        Encodings.PCMU/8000 Encodings.PCMA/8000 Encodings.iLBC/8000 Encodings.telephone-event/8000 DTMF_METHOD \
        DTMF_MINIMAL_TONE_DURATION OUTBOUND_PREFIX PREVENT_AUTH_LOGIN JITSI_MEET_ANSWER_EMPTY_INFO HEARTBEAT_SECONDS \
        VOICEMAIL_ENABLED MODE_PARANOIA DEFAULT_ENCRYPTION ENCRYPTION_PROTOCOL.SDES ENCRYPTION_PROTOCOL_STATUS.ZRTP DISPLAY_NAME \
        AUTHORIZATION_NAME DOMAIN_BASE BOSH_URL_PATTERN USE_TRANSLATOR_IN_CONFERENCE PASSWORD ACCOUNT_UID PROTOCOL_NAME",
    ),
    (
        Place::JabberAccount,
        "BREWERY USER_ID PASSWORD SERVER_ADDRESS SERVER_PORT IS_SERVER_OVERRIDDEN BOSH_URL BOSH_URL_PATTERN \
        DOMAIN_BASE MUC_DOMAIN_PREFIX ALLOW_NON_SECURE RESOURCE AUTO_GENERATE_RESOURCE RESOURCE_PRIORITY ACCOUNT_UID",
    ),
    (
        Place::Transcription,
        "customService DIRECTORY BASE_URL ADVERTISE_URL SAVE_JSON SAVE_TXT SEND_JSON SEND_TXT \
        SEND_JSON_REMOTE_URLS RECORD_AUDIO RECORD_AUDIO_FORMAT EXECUTE_SCRIPTS SCRIPTS_TO_EXECUTE_LIST \
        SCRIPTS_TO_EXECUTE_LIST_SEPARATOR FILTER_SILENCE ENABLE_TRANSLATION translationService google_model vosk.websocket_url \
        whisper.websocket_url whisper.private_key whisper.private_key_name whisper.jwt_audience oci.websocketUrl \
        oci.compartmentId oci.configFile oci.finalThresholdMs oci.interimThresholdMs libreTranslate.api_url \
        bing.subscription_key bing.subscription_region bing.endpoint bing.api_version remoteTranscriptionConfigUrl \
        remoteTranscriptionConfigUrl.aud remoteTranscriptionConfigUrl.kid remoteTranscriptionConfigUrl.keyPath action.help.PHRASE \
        action.help.URL",
    ),
    (
        Place::Other,
        "net.java.sip.communicator.service.gui.ALWAYS_TRUST_MODE_ENABLED \
        net.java.sip.communicator.impl.neomedia.codec.audio.opus.encoder.COMPLEXITY \
        net.java.sip.communicator.packetlogging.PACKET_LOGGING_ENABLED \
        net.java.sip.communicator.impl.protocol.jabber.FORCE_PRESENCE_ON_LEAVE org.jitsi.ddclient.prefix org.jitsi.ddclient.host \
        org.jitsi.ddclient.port net.java.sip.communicator.impl.protocol.SingleCallInProgressPolicy.enabled \
        net.java.sip.communicator.impl.protocol.sip.SKIP_REINVITE_ON_FOCUS_CHANGE_PROP",
    ),
    (
        Place::Docker,
        "JIGASI_SIP_URI JIGASI_SIP_PASSWORD JIGASI_SIP_SERVER JIGASI_SIP_PORT JIGASI_SIP_TRANSPORT \
        JIGASI_SIP_DEFAULT_ROOM JIGASI_SIP_KEEP_ALIVE_METHOD JIGASI_ENABLE_SDES_SRTP JIGASI_PORT_MIN JIGASI_PORT_MAX \
        JIGASI_XMPP_USER JIGASI_XMPP_PASSWORD JIGASI_BREWERY_MUC JIGASI_STATS_ID JIGASI_LOCAL_REGION JIGASI_JVB_TIMEOUT \
        JIGASI_TRUSTED_DOMAINS JIGASI_ENABLE_REST SHUTDOWN_REST_ENABLED JIGASI_HEALTH_CHECK_SIP_URI JIGASI_HEALTH_CHECK_INTERVAL \
        JIGASI_DISABLE_SIP JIGASI_VISITORS_QUEUE_SERVICE_URL JIGASI_VISITORS_QUEUE_SERVICE_PRIVATE_KEY_PATH \
        JIGASI_VISITORS_QUEUE_SERVICE_PRIVATE_KEY_ID USE_TRANSLATOR_IN_CONFERENCE JIGASI_CONFIGURATION XMPP_SERVER JIGASI_MODE \
        AUTOSCALER_SIDECAR_KEY_FILE AUTOSCALER_URL BOSH_URL_PATTERN ENABLE_AUTH ENABLE_GUESTS ENABLE_VISITORS XMPP_AUTH_DOMAIN \
        XMPP_GUEST_DOMAIN XMPP_MUC_DOMAIN XMPP_INTERNAL_MUC_DOMAIN XMPP_PORT XMPP_DOMAIN PUBLIC_URL JIGASI_LOG_FILE \
        JIGASI_TRANSCRIBER_USER GC_PROJECT_ID SENTRY_DSN TZ",
    ),
    (
        Place::Debian,
        "JIGASI_SIPUSER JIGASI_SIPPWD JIGASI_OPTS JIGASI_HOSTNAME JIGASI_HOST JIGASI_SECRET JAVA_SYS_PROPS \
        --min-port --max-port --configdir --configdirname --configwritable --logdir --host --domain --subdomain --secret",
    ),
];

#[test]
fn every_key_has_its_row() {
    let all = KNOWN
        .iter()
        .flat_map(|(place, names)| names.split_whitespace().map(move |it| (*place, it)));
    let missing: Vec<_> = all.filter(|(place, name)| table::row(*place, name).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for row in table::rows() {
        assert!(!row.says.is_empty() && !row.says.ends_with('.'), "{}", row.name);
        let twins = table::rows().filter(|it| it.place == row.place && it.name == row.name).count();
        assert_eq!(twins, 1, "{:?} {} has {twins} rows", row.place, row.name);
    }
}

#[test]
fn the_page_of_keys_is_fresh() {
    let page = include_str!("../../../../docs/jigasi-keys.md");
    assert!(
        page == table::reference_page(),
        "docs/jigasi-keys.md is stale: run `weebee migrate --keys > docs/jigasi-keys.md`"
    );
}

#[test]
fn keys_are_explained_however_they_are_written() {
    for (asked, wanted) in [
        ("org.jitsi.jigasi.STATS_ID", "taken: `[[conference.jitsi]] stats_id`"),
        ("stats_id", "org.jitsi.jigasi.STATS_ID: taken"),
        ("JIGASI_SIP_PORT", "JIGASI_SIP_PORT: taken"),
        ("Encodings.SILK/8000", "not needed"),
        ("org.jitsi.jigasi.xmpp.acc.RESOURCE_PRIORITY", "not needed"),
        ("net.java.sip.communicator.impl.protocol.sip.acc1.OUTBOUND_PREFIX", "prepend"),
        ("org.jitsi.jigasi.STATSID", "did you mean STATS_ID?"),
        ("nonsense", "no key that Jigasi or docker-jitsi-meet reads"),
    ] {
        holds(&table::explain(asked), &[wanted]);
    }
}

/// The files of Jigasi itself, where a variable names them: `WEEBEE_JIGASI_SAMPLE` its sample as the package ships it,
/// `WEEBEE_JIGASI_TEMPLATES` the folder of docker-jitsi-meet's templates.
#[test]
fn the_real_files_are_understood() {
    match std::env::var("WEEBEE_JIGASI_SAMPLE") {
        Err(_) => eprintln!(
            "SKIPPED: WEEBEE_JIGASI_SAMPLE names no sip-communicator.properties of Jigasi's"
        ),
        Ok(file) => {
            let text = std::fs::read_to_string(&file).expect("readable");
            // As the package's installation fills it in.
            let text = text
                .replace("<<DOMAIN_BASE>>", "meet.example.org")
                .replace("<<JIGASI_SIPUSER>>", "bridge@pbx.example.org")
                .replace("<<JIGASI_SIPSERVER>>", "192.0.2.50")
                .replace("<<JIGASI_SIPPWD>>", "c2lwLXNlY3JldA==")
                .replace("<<JIGASI_XMPP_PASSWORD_BASE64>>", "eG1wcC1zZWNyZXQ=");
            let old = of_properties(&text);
            config(&old);
            assert_eq!(Report::new(&old).count(None), 0, "{}", Report::new(&old).text());
            // Every key that the sample only mentions has a row, too.
            for line in text.lines().filter_map(|line| line.strip_prefix('#')) {
                let Some((key, _)) = line.trim().split_once('=') else { continue };
                let key = key.trim();
                if key.starts_with("org.jitsi.") || key.starts_with("net.java.") {
                    assert!(table::row_of(key).is_some(), "{key}");
                }
            }
            let ours = of_properties(SAMPLE);
            let values = |old: &Old| {
                let all = old.keys.all().map(|entry| (entry.key.clone(), entry.value.clone()));
                all.collect::<std::collections::BTreeMap<_, _>>()
            };
            assert_eq!(values(&old), values(&ours), "our fixture is no longer what the sample is");
        }
    }
    match std::env::var("WEEBEE_JIGASI_TEMPLATES") {
        Err(_) => eprintln!(
            "SKIPPED: WEEBEE_JIGASI_TEMPLATES names no folder of docker-jitsi-meet's templates"
        ),
        Ok(folder) => templates(Path::new(&folder)),
    }
}

/// Every key of the templates has a row, and no key that we write is missing there.
fn templates(folder: &Path) {
    let mut there = std::collections::BTreeSet::new();
    for name in ["", "sipserver-", "xmpp-", "transcriber-"] {
        let file = folder.join(format!("{name}sip-communicator.properties"));
        let text = std::fs::read_to_string(file).expect("readable");
        for line in text.lines().map(str::trim) {
            if !line.starts_with("org.jitsi.") && !line.starts_with("net.java.") {
                continue;
            }
            let line = line.replace("{{ $ID }}", "0");
            let Some((key, _)) = line.split_once('=') else { continue };
            let key = key.trim();
            let declares = line.ends_with("acc1=acc1") || line.ends_with("acc-0=acc-0");
            assert!(declares || table::row_of(key).is_some(), "{key}");
            there.insert(key.to_owned());
        }
    }
    for text in [DOCKER, SHARDS] {
        let written = Environment::of_file(text).written();
        for line in written.text.lines().filter(|line| !line.starts_with("--")) {
            let (key, _) = line.split_once('=').expect("a key");
            let key = key.replace("acc-1", "acc-0").replace("acc-west", "acc-0");
            let added = ["CONFERENCES_THRESHOLD", "ENABLE_SIP_STARTMUTED"];
            let is_added = added.iter().any(|name| key.ends_with(name));
            assert!(is_added || there.contains(&key), "{key} is not in the templates");
        }
    }
}
