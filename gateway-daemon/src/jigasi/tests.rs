//! Old configurations become ours: what is taken, what is said, what is refused, and that our reader takes the result.

use std::path::Path;

use gateway_core::base::rng::Rng;
use gateway_core::io::xmpp::Transport;
use gateway_core::leg::jitsi::signal::settings::PhoneIdentity;

use super::draft::SecretsAt;
use super::environment::Environment;
use super::fixtures::{
    DOCKER, PACKAGED, SAMPLE, SHARDS, here, of_environment, of_properties, toml,
};
use super::old::Old;
use super::report::{self, Report};
use super::table::{self, Fate, Place};
use super::translate::translate;
use crate::config::{Config, Mistakes};
use crate::testing::{Folder, mutated};

/// Straight into our reader, as a gateway that runs from it does.
fn config(old: &Old) -> Config {
    let translation = translate(old, &here(), SecretsAt::Memory).expect("good");
    match super::judged(old, &translation, Path::new("")) {
        Ok(config) => config,
        Err(mistakes) => panic!("{mistakes}\n{}", translation.text),
    }
}

fn refused(text: &str) -> String {
    let old = of_properties(text);
    let translation = match translate(&old, &here(), SecretsAt::Memory) {
        Err(mistakes) => return mistakes.to_string(),
        Ok(translation) => translation,
    };
    let read: Result<Config, Mistakes> = super::judged(&old, &translation, Path::new(""));
    read.expect_err(text).to_string()
}

/// What is said of an installation that works.
fn said(old: &Old) -> String {
    let translation = translate(old, &here(), SecretsAt::Memory).expect("good");
    let found = report::findings(old, &translation);
    found.iter().map(|finding| format!("{}\n", finding.shown(&old.name))).collect()
}

#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    let missing: Vec<&&str> = parts.iter().filter(|part| !text.contains(**part)).collect();
    assert!(missing.is_empty(), "{missing:#?} not in\n{text}");
}

/// Keys of trunks by which one registers or encrypts are on their way; everything else must be known to our reader.
#[test]
fn nothing_that_is_there_is_left_out() {
    const AWAITED: [&str; 11] = [
        "[trunk] register",
        "[trunk] register_user",
        "[trunk] register_server",
        "[trunk] register_expires_s",
        "[trunk] keep_alive",
        "[trunk] keep_alive_s",
        "[trunk] srtp",
        "[trunk] tls_insecure",
        "[trunk] dtmf",
        "[conference.jitsi] empty_room",
        "[conference.jitsi] ring_max_s",
    ];
    let installations = [
        of_properties(SAMPLE),
        of_properties(PACKAGED),
        of_environment(DOCKER),
        of_environment(SHARDS),
    ];
    for old in installations {
        let found = said(&old);
        for line in found.lines().filter(|line| line.contains("is not in this version")) {
            assert!(AWAITED.iter().any(|key| line.contains(&format!("{key} is"))), "{line}");
        }
    }
}

/// Section, key and what stands there, for keys that our reader has.
#[track_caller]
fn keeps(text: &str, keys: &[(&str, &str, &str)]) {
    let known = |section: &str, key: &str| {
        crate::config::schema::section(section).is_some_and(|decl| decl.key(key).is_some())
    };
    for (section, key, value) in keys.iter().filter(|(section, key, _)| known(section, key)) {
        let line = format!("\n{key} = {value}");
        assert!(text.contains(&line), "[{section}] {line} not in\n{text}");
    }
}

#[test]
fn debians_sample_starts_unchanged() {
    let old = of_properties(SAMPLE);
    let text = toml(&old);
    holds(
        &text,
        &[
            "listen = [\"udp:0.0.0.0:5060 as 192.0.2.7\", \"tcp:0.0.0.0:5060 as 192.0.2.7\"]",
            "ports = \"10002-20000\"",
            "trusted = true",
            "codecs = [\"opus\", \"g722\", \"pcmu\", \"pcma\"]",
            "credentials_file = \"weebee.secrets/sip.credentials\"",
            "domain = \"meet.example.org\"",
            "rooms = \"conference.meet.example.org\"",
            "xmpp = \"tcp:127.0.0.1:5222\"",
            "account = \"anonymous\"",
            "backend = \"jitsi\"",
        ],
    );
    for secret in ["sip-secret", "xmpp-secret", "c2lwLXNlY3JldA", "eG1wcC1zZWNyZXQ"] {
        assert!(!text.contains(secret), "{text}");
    }
    let config = config(&old);
    let credentials = config.trunks[0].sip.credentials.as_ref().expect("given");
    assert_eq!(
        (credentials.user.as_str(), credentials.password.reveal().as_str()),
        ("bridge", "sip-secret")
    );
    let site = &config.jitsi[0];
    assert_eq!((site.name.as_str(), site.site.domain.as_str()), ("jitsi", "meet.example.org"));
    assert_eq!(site.settings.identity, PhoneIdentity::Anonymous);
    assert!(!site.site.trust.insecure);
    assert_eq!(config.rooms.usual.backend, "jitsi");
    let report = Report::new(&old);
    assert_eq!(report.count(None), 0, "{}", report.text());
    assert!(report.count(Some(Fate::Taken)) > 25, "{}", report.counts());
}

#[test]
fn dockers_least_starts_unchanged() {
    let old = of_environment(DOCKER);
    let text = toml(&old);
    holds(
        &text,
        &[
            "ports = \"20000-20050\"    # Docker's default",
            "calls_max = 12",
            "codecs = [\"opus\", \"pcmu\", \"pcma\"]",
            "domain = \"meet.jitsi\"",
            "rooms = \"muc.meet.jitsi\"",
            "xmpp = \"tcp:xmpp.meet.jitsi:5222\"",
            "stats_id = \"bridge-1\"    # JIGASI_STATS_ID",
            "tls_insecure = true",
        ],
    );
    keeps(
        &text,
        &[
            ("trunk", "room_header", "[\"X-Room-Name\"]"),
            ("trunk", "domain_header", "[\"X-Domain-Base\"]"),
            ("trunk", "register", "true"),
            ("trunk", "register_server", "\"192.0.2.50\""),
            ("trunk", "keep_alive", "\"options\""),
            ("brewery", "room", "\"jigasibrewery@internal-muc.meet.jitsi\""),
            ("brewery", "user", "\"jigasi\""),
            ("brewery", "domain", "\"auth.meet.jitsi\""),
            ("brewery", "password_file", "\"weebee.secrets/acc-0.password\""),
            ("conference.jitsi", "domains", "[\"meet.example.org\"]"),
            ("dial_out", "enabled", "true"),
        ],
    );
    let config = config(&old);
    assert!(config.jitsi[0].site.trust.insecure);
    assert_eq!(config.rtp.ports, (20_000, 20_050));
    let said = said(&old);
    holds(&said, &["any certificate is believed for meet.jitsi", "G.722 is off", "0 unknown"]);
    assert!(!said.contains("xmpp-secret") && !said.contains("sip-secret"), "{said}");
}

#[test]
fn a_site_of_shards_and_guests_keeps_all_it_has() {
    let old = of_environment(SHARDS);
    let text = toml(&old);
    holds(
        &text,
        &[
            "ports = \"30000-30399\"",
            "transport = \"tcp\"",
            "account_domain = \"guest.talk.example.net\"",
            "account = \"anonymous\"",
            "rest = \"0.0.0.0:8788\"",
            "shutdown = true",
            "listen = \"127.0.0.1:8789\"",
            "health_check_uri = \"600\"",
            "conferences_threshold = 40",
            "xmpp = \"tcp:10.1.0.1:5222\"",
        ],
    );
    keeps(
        &text,
        &[
            ("trunk", "default_room", "\"lounge\""),
            ("trunk", "srtp", "\"required\""),
            ("brewery", "name", "\"acc-0\""),
            ("brewery", "name", "\"acc-west\""),
            ("brewery", "xmpp", "\"tcp:10.1.0.2:6222\""),
            ("brewery", "room", "\"phones@internal-muc.talk.example.net\""),
            ("brewery", "region", "\"eu-west\""),
            ("conference.jitsi", "empty_room", "\"ring\""),
            ("conference.jitsi", "ring_max_s", "60"),
        ],
    );
    let config = config(&old);
    assert_eq!(config.jitsi[0].site.domain, "guest.talk.example.net");
    assert!(config.compat.shutdown && config.compat.rest.is_some());
    holds(&said(&old), &["not supported: JIGASI_TRANSCRIBER_PASSWORD"]);
}

#[test]
fn a_package_of_2019_starts_unchanged() {
    let old = of_properties(PACKAGED);
    let text = toml(&old);
    holds(
        &text,
        &[
            "sources = [\"127.0.0.0/8\"",
            "domain = \"alt.example.org\"",
            "rooms = \"conference.alt.example.org\"",
            "account_domain = \"auth.alt.example.org\"",
            "account = \"shared-secret\"",
            "password_file = \"weebee.secrets/calls.password\"",
        ],
    );
    let config = config(&old);
    let PhoneIdentity::SharedSecret(secret) = &config.jitsi[0].settings.identity else {
        panic!("each call has a name of its own")
    };
    assert_eq!(secret.reveal(), "clear text: yes");
    let tcp = matches!(&config.jitsi[0].site.transport, Transport::Tcp { host, .. } if host == "127.0.0.1");
    assert!(tcp);
    holds(&said(&old), &["only private networks may call", "calls out need an exchange"]);
}

/// What stands in place of what in Debian's sample, and what the refusal says.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "PASSWORD=c2lwLXNlY3JldA==",
        "PASSWORD=not base64!",
        "sip.properties:24: PASSWORD: is not base64",
    ),
    ("USER_ID=bridge@pbx.example.org", "USER_ID=@pbx.example.org", "has no USER_ID"),
    ("SERVER_PORT=5222", "SERVER_PORT=xmpp", "SERVER_PORT: \"xmpp\" is no number"),
    ("SERVER_PORT=5222", "SERVER_PORT=70000", "70000 is no port"),
    ("BREWERY=JigasiBrewery@internal.auth.meet.example.org", "BREWERY=JigasiBrewery", "is no room"),
    (
        "MUC_SERVICE_ADDRESS=conference.meet.example.org",
        "MUC_SERVICE_ADDRESS=meet/example",
        "sip.properties:4: ",
    ),
    (
        "#org.jitsi.jigasi.ENABLE_SIP=true",
        "org.jitsi.jigasi.ENABLE_SIP=false",
        "only writes down speech",
    ),
    (
        "#org.jitsi.jigasi.xmpp.acc.ANONYMOUS_AUTH=false",
        "org.jitsi.jigasi.xmpp.acc.ANONYMOUS_AUTH=false",
        "xmpp.acc.USER_ID is missing",
    ),
    (
        "protocol.sip.acc1403273890647=acc1403273890647",
        "protocol.sip.nobody=acc",
        "no SIP account is declared",
    ),
    ("KEEP_ALIVE_INTERVAL=25", "KEEP_ALIVE_INTERVAL=often", "\"often\" is no number"),
];

#[test]
fn each_mistake_is_said_with_its_line_and_remedy() {
    let missed = REFUSED.iter().filter_map(|(right, wrong, said)| {
        assert!(SAMPLE.contains(right), "{right}");
        let text = refused(&SAMPLE.replacen(right, wrong, 1));
        (!text.contains(said)).then(|| format!("{wrong}: should say {said:?}:\n{text}"))
    });
    let missed: Vec<String> = missed.collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    let both = SAMPLE.replacen("SERVER_PORT=5222", "SERVER_PORT=x", 1);
    let both = both.replacen("BREWERY=JigasiBrewery@internal", "BREWERY=internal", 1);
    holds(&refused(&both), &["\"x\" is no number", "is no room"]);
}

/// What stands in place of what in Debian's sample, and what is said of it.
const SAID: &[(&str, &str, &str)] = &[
    (
        "!",
        "net.java.sip.communicator.service.gui.ALWAYS_TRUST_MODE_ENABLED=true\n!",
        "any certificate is believed",
    ),
    ("!", "--min-port=9000\n!", "include 10000, which is the bridge's"),
    ("!", "org.jitsi.jigasi.MUC_SERVICE_ADRESS=x\n!", "did you mean MUC_SERVICE_ADDRESS?"),
    ("!", "org.jitsi.jigasi.ENABLE_TRANSCRIPTION=true\n!", "speech is not written down here"),
    ("!", "org.jitsi.jigasi.ENABLE_SIP_VISITORS=true\n!", "visitor nodes are not followed"),
    ("PASSWORD=c2lwLXNlY3JldA==", "PASSWORD=c2lwLXNlY3JldAo=", "ends with a line break"),
    ("PASSWORD=c2lwLXNlY3JldA==", "PASSWORD=", "has no PASSWORD"),
    (
        "!",
        "net.java.sip.communicator.impl.protocol.sip.b.USER_ID=x@y\n!",
        "no line declares account b",
    ),
    ("Encodings.G722/8000=700", "Encodings.G722/8000=0", "G.722 is off"),
    ("BREWERY=", "BREWERIES=", "nobody can be called from a room"),
    ("!", "!", "ports began at 10000"),
];

#[test]
fn defects_of_the_old_set_up_are_said() {
    let missed = SAID.iter().filter_map(|(right, other, wanted)| {
        assert!(SAMPLE.contains(right), "{right}");
        let text = said(&of_properties(&SAMPLE.replacen(right, other, 1)));
        (!text.contains(wanted)).then(|| format!("{other}: should say {wanted:?}:\n{text}"))
    });
    let missed: Vec<String> = missed.collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn ways_to_the_rooms_are_taken() {
    for (keys, wanted) in [
        (
            "org.jitsi.jigasi.xmpp.acc.BOSH_URL_PATTERN=https://{host}{subdomain}/http-bind?room={roomName}\n",
            "xmpp = \"https://meet.example.org/http-bind\"",
        ),
        (
            "org.jitsi.jigasi.xmpp.acc.BOSH_URL_PATTERN=https://{host}/http-bind\norg.jitsi.jigasi.BOSH_HOST_OVERRIDE=a=b,meet.example.org=inner.test\n",
            "xmpp = \"https://inner.test/http-bind\"",
        ),
        ("org.jitsi.jigasi.xmpp.acc.SERVER_PORT=6222\n", "xmpp = \"tcp:127.0.0.1:6222\""),
        (
            "org.jitsi.jigasi.xmpp.acc.IS_SERVER_OVERRIDDEN=false\n",
            "xmpp = \"https://meet.example.org/http-bind\"",
        ),
        ("org.jitsi.jigasi.xmpp.acc.SERVER_ADDRESS=::1\n", "xmpp = \"tcp:[::1]:5222\""),
    ] {
        let old = of_properties(&format!("{SAMPLE}{keys}"));
        holds(&toml(&old), &[wanted]);
        config(&old);
    }
}

#[test]
fn people_who_log_in_as_one_are_kept() {
    let keys = "org.jitsi.jigasi.xmpp.acc.USER_ID=phone@auth.meet.example.org\norg.jitsi.jigasi.xmpp.acc.PASS=s3cret\n\
                org.jitsi.jigasi.xmpp.acc.ANONYMOUS_AUTH=false\n";
    let old = of_properties(&format!("{SAMPLE}{keys}"));
    holds(
        &toml(&old),
        &[
            "account = \"one-account\"",
            "user = \"phone\"",
            "account_domain = \"auth.meet.example.org\"",
        ],
    );
    assert!(!toml(&old).contains("s3cret"));
    let shared =
        of_properties(&format!("{SAMPLE}{keys}org.jitsi.jigasi.xmpp.acc.UNIQUE_USER_ID=true\n"));
    holds(&toml(&shared), &["account = \"shared-secret\""]);
    let prevented =
        "net.java.sip.communicator.impl.protocol.sip.acc1403273890647.PREVENT_AUTH_LOGIN=TRUE\n";
    holds(
        &toml(&of_properties(&format!("{SAMPLE}{keys}{prevented}"))),
        &["account = \"anonymous\""],
    );
    config(&old);
}

#[test]
fn files_of_a_package_are_read_as_they_are() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("jigasi-old");
    let file = folder.path().join("sip-communicator.properties");
    let open = SAMPLE
        .replace("meet.example.org", "<<DOMAIN_BASE>>")
        .replace("c2lwLXNlY3JldA==", "<<JIGASI_SIPPWD>>");
    std::fs::write(&file, &open).expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("ours");
    let refused = Old::of_properties(&file, None).expect_err("not filled in").to_string();
    holds(&refused, &["<<DOMAIN_BASE>>", "<<JIGASI_SIPPWD>>", "dpkg-reconfigure jigasi"]);
    let shell = "JIGASI_SIPPWD=c2lwLXNlY3JldA==\nJIGASI_HOSTNAME=meet.test\nJIGASI_OPTS=\"--min-port=30000 --max-port=30999\"\n\
                 JAVA_SYS_PROPS=\"-Djava.x=y -Dorg.jitsi.jigasi.STATS_ID=bridge\"\n";
    std::fs::write(folder.path().join("config"), shell).expect("written");
    let old = Old::of_properties(&file, None).expect("filled in");
    holds(
        &toml(&old),
        &["ports = \"30000-30999\"", "stats_id = \"bridge\"", "domain = \"meet.test\""],
    );
    holds(
        &said(&old),
        &["holds passwords (base64 hides nothing) and everybody on this machine may read it"],
    );
    assert!(super::is_properties(&file) && !super::is_properties(&folder.path().join("config")));
    let config = crate::config::load(&file).expect("any file of a configuration");
    assert!(config.notes.iter().any(|note| note.text.contains("Jigasi's configuration")));
}

#[test]
fn variables_are_read_as_docker_does() {
    let text = "# c\nexport A=1 # one\nB=\"x ${A} ${C:-y}\"\nD='${A}'\nE=\nF=a#b\n";
    let read = Environment::of_file(text);
    let found: Vec<_> = read.all().collect();
    assert_eq!(found, [("A", 2, "1"), ("B", 3, "x 1 y"), ("D", 4, "${A}"), ("F", 6, "a#b")]);
    let bad = Environment::of_file("JIGASI_SIP_URI=a@b\nENABLE_AUTH=yes\n");
    let mistakes = Old::of_environment(".env", &bad, None).expect_err("two mistakes").to_string();
    holds(
        &mistakes,
        &[".env:2: ENABLE_AUTH is \"yes\"; write 1 or 0", "JIGASI_XMPP_PASSWORD is not set"],
    );
    assert!(Old::of_environment(".env", &Environment::of_file("HOME=/x\n"), None).is_err());
    let transcriber = Environment::of_file("JIGASI_MODE=Transcriber\nJIGASI_XMPP_PASSWORD=x\n");
    let old = Old::of_environment(".env", &transcriber, None).expect("good so far");
    let refused = translate(&old, &here(), SecretsAt::Memory).expect_err("no phones").to_string();
    holds(&refused, &["only writes down speech"]);
}

/// What a mutated configuration becomes is a refusal or a configuration, never a panic, and never holds a password.
#[test]
fn broken_configurations_never_panic() {
    let asked = std::env::var("WEEBEE_JIGASI_MUTATIONS").ok();
    let runs: usize = asked.and_then(|count| count.parse().ok()).unwrap_or(400);
    let mut rng = Rng::from_number(8).fork("translate");
    let mut good = 0;
    for run in 0..runs {
        let text = mutated([SAMPLE, PACKAGED, DOCKER, SHARDS][run % 4], &mut rng);
        let old = match run % 4 {
            0 | 1 => match super::properties::read(text.as_bytes()) {
                Ok(_) => of_properties(&text),
                Err(_) => continue,
            },
            _ => match Old::of_environment(".env", &Environment::of_file(&text), None) {
                Ok(old) => old,
                Err(_) => continue,
            },
        };
        let Ok(translation) = translate(&old, &here(), SecretsAt::Memory) else { continue };
        assert!(!translation.text.contains("c2lwLXNlY3JldA"), "{}", translation.text);
        let lines = translation.text.lines().count();
        assert_eq!(lines, translation.origins.len(), "{}", translation.text);
        good += usize::from(super::judged(&old, &translation, Path::new("")).is_ok());
        let _ = Report::new(&old).text();
    }
    assert!(good > runs / 4, "only {good} of {runs} were good: the mutations are too rough");
}

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
    let page = include_str!("../../../docs/jigasi-keys.md");
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
