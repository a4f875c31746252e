//! Whole installations: each starts unchanged, and keeps what it has.

use gateway_core::io::xmpp::Transport;
use gateway_core::leg::jitsi::signal::settings::PhoneIdentity;

use super::super::draft::SecretsAt;
use super::super::environment::Environment;
use super::super::fixtures::{
    DOCKER, PACKAGED, SAMPLE, SHARDS, here, of_environment, of_properties, toml,
};
use super::super::old::Old;
use super::super::report::Report;
use super::super::table::Fate;
use super::super::translate::translate;
use super::{config, holds, said};
use crate::testing::Folder;

/// Every section and key that a translation writes is one that our reader knows.
#[test]
fn nothing_that_is_there_is_left_out() {
    for old in [
        of_properties(SAMPLE),
        of_properties(PACKAGED),
        of_environment(DOCKER),
        of_environment(SHARDS),
    ] {
        let found = said(&old);
        assert!(!found.contains("is not in this version"), "{found}");
    }
}

/// Keys and what stands there.
#[track_caller]
fn keeps(text: &str, keys: &[(&str, &str)]) {
    for (key, value) in keys {
        let line = format!("\n{key} = {value}");
        assert!(text.contains(&line), "{line} not in\n{text}");
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
            ("room_header", "[\"X-Room-Name\"]"),
            ("domain_header", "[\"X-Domain-Base\"]"),
            ("register", "true"),
            ("register_server", "\"192.0.2.50\""),
            ("keep_alive", "\"options\""),
            ("room", "\"jigasibrewery@internal-muc.meet.jitsi\""),
            ("user", "\"jigasi\""),
            ("domain", "\"auth.meet.jitsi\""),
            ("password_file", "\"weebee.secrets/acc-0.password\""),
            ("domains", "[\"meet.example.org\"]"),
            ("enabled", "true"),
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
            ("default_room", "\"lounge\""),
            ("srtp", "\"required\""),
            ("name", "\"acc-0\""),
            ("name", "\"acc-west\""),
            ("xmpp", "\"tcp:10.1.0.2:6222\""),
            ("room", "\"phones@internal-muc.talk.example.net\""),
            ("region", "\"eu-west\""),
            ("empty_room", "\"ring\""),
            ("ring_max_s", "60"),
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
                 JAVA_SYS_PROPS=\"-Djava.x=y -Dorg.jitsi.jigasi.STATS_ID=bridge -Dorg.jitsi.jigasi.ENABLE_SIP_VISITORS=true\"\n";
    std::fs::write(folder.path().join("config"), shell).expect("written");
    let old = Old::of_properties(&file, None).expect("filled in");
    holds(
        &toml(&old),
        &[
            "ports = \"30000-30999\"",
            "stats_id = \"bridge\"",
            "domain = \"meet.test\"",
            "visitors = true",
        ],
    );
    holds(
        &said(&old),
        &["holds passwords (base64 hides nothing) and everybody on this machine may read it"],
    );
    assert!(
        super::super::is_properties(&file)
            && !super::super::is_properties(&folder.path().join("config"))
    );
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
