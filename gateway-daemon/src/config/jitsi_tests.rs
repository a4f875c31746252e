//! `[[conference.jitsi]]`: what its keys become, and each mistake with its remedy.

use std::path::Path;

use gateway_core::base::pii::Pii;
use gateway_core::io::xmpp::{Encryption, Transport};
use gateway_core::leg::jitsi::signal::settings::PhoneIdentity;

use super::{Config, Mistakes, Secrets, parse, parse_with};

const TRUNK: &str = "[[trunk]]\nname = \"local\"\nsources = [\"127.0.0.0/8\"]\n";
const JITSI: &str = "[[conference.jitsi]]\nname = \"jitsi\"\ndomain = \"Meet.Example.org\"\n";

fn judge(more: &str) -> Result<Config, Mistakes> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    parse("weebee.toml", &format!("{TRUNK}{JITSI}{more}"), folder)
}

#[test]
fn a_name_and_a_host_are_enough() {
    let config = judge("").expect("good");
    let jitsi = &config.jitsi[0];
    assert_eq!(jitsi.site.domain, "meet.example.org");
    assert_eq!(
        (jitsi.settings.rooms.as_str(), jitsi.settings.focus.as_str()),
        ("conference.meet.example.org", "focus.meet.example.org")
    );
    assert_eq!(jitsi.settings.identity, PhoneIdentity::Anonymous);
    let tcp =
        Transport::Tcp { host: "127.0.0.1".into(), port: 5222, encryption: Encryption::Required };
    assert_eq!(jitsi.site.transport, tcp);
    assert!(!jitsi.site.trust.insecure);
}

#[test]
fn all_ways_in_are_understood() {
    for (text, kind) in [
        ("tcp:[::1]:5222", "Tcp"),
        ("wss://meet.example.org/xmpp-websocket", "WebSocket"),
        ("http://127.0.0.1:5280/http-bind", "Bosh"),
    ] {
        let config = judge(&format!("xmpp = \"{text}\"\n")).expect("good");
        assert!(format!("{:?}", config.jitsi[0].site.transport).starts_with(kind), "{text}");
    }
}

#[test]
fn visitor_nodes_are_followed_where_it_says_so_and_found_by_their_ways() {
    let jitsi = |more: &str| judge(more).expect("good").jitsi[0].clone();
    let off = jitsi("");
    assert_eq!((off.site.visitors, off.settings.visitor_domain), (None, None));
    let on = jitsi("visitors = true\nvisitor_nodes = [\"V1 = tcp:10.0.0.7:52221\"]\n");
    assert_eq!(on.settings.visitor_domain.as_deref(), Some("meet.jitsi"));
    let node = on.site.of_node("v1").expect("a node");
    let tcp =
        Transport::Tcp { host: "10.0.0.7".into(), port: 52_221, encryption: Encryption::Required };
    assert_eq!((node.domain.as_str(), node.transport), ("v1.meet.jitsi", tcp));
    let elsewhere = jitsi("visitors = true\nvisitor_domain = \"Nodes.example.org\"\n");
    assert_eq!(elsewhere.site.of_node("v2").expect("a node").domain, "v2.nodes.example.org");
}

#[test]
fn secrets_come_from_files_and_are_never_shown() {
    let text = "account = \"shared-secret\"\npassword_file = \"Cargo.toml\"\n";
    let config = judge(text).expect("any file is a password");
    let PhoneIdentity::SharedSecret(password) = &config.jitsi[0].settings.identity else {
        panic!("a secret")
    };
    assert!(password.reveal().starts_with("[package]"));
    let shown = format!("{config:?}");
    assert!(!shown.contains("[package]"), "{shown}");
}

/// Keys, what the message must contain.
const MISTAKES: &[(&str, &[&str])] = &[
    ("visitor_nodes = [\"v1=tcp:a:5222\"]\n", &["goes with visitors = true"]),
    ("visitors = true\nvisitor_nodes = [\"tcp:a:5222\"]\n", &["\"tcp:a:5222\": write \"v1=tcp:"]),
    ("visitors = true\nvisitor_nodes = [\"v/1=tcp:a:5222\"]\n", &["\"v/1=tcp:a:5222\": write"]),
    ("visitors = true\nvisitor_nodes = [\"v1=a\"]\n", &["\"a\": write \"tcp:HOST:5222\""]),
    ("xmpp = \"meet.example.org\"\n", &["xmpp: \"meet.example.org\": write \"tcp:HOST:5222\""]),
    ("xmpp = \"tcp:meet.example.org\"\n", &["write \"tcp:HOST:5222\""]),
    ("xmpp = \"wss://a/b?room=x\"\n", &["write \"tcp:HOST:5222\""]),
    ("rooms = \"https://meet.example.org\"\n", &["is no host", "such as \"meet.example.org\""]),
    (
        "rooms = \"meet.example.org\"\n",
        &["is the main host", "write \"conference.meet.example.org\""],
    ),
    ("account = \"shared-secret\"\n", &["needs a password; add password_file"]),
    ("account = \"one-account\"\npassword_file = \"Cargo.toml\"\n", &["write user = \"phones\""]),
    ("password_file = \"Cargo.toml\"\n", &["\"anonymous\" uses no password"]),
    (
        "account = \"shared-secret\"\npassword_file = \"/nonexistent/x\"\n",
        &["/nonexistent/x: No such file"],
    ),
    (
        "account = \"shared-secret\"\npassword_env = \"WEEBEE_NO_SUCH\"\n",
        &["no variable \"WEEBEE_NO_SUCH\""],
    ),
    ("token_file = \"Cargo.toml\"\n", &["a token travels in a URL; write xmpp = \"wss://"]),
    (
        "xmpp = \"wss://a/b\"\ntoken_file = \"Cargo.toml\"\nconference_request = \"http://a/c\"\n",
        &["the token would travel for all to read; write https://"],
    ),
    (
        "conference_request = \"meet.example.org\"\n",
        &["write \"https://HOST/conference-request/v1\""],
    ),
    ("ca_file = \"/nonexistent/ca.pem\"\n", &["ca_file: /nonexistent/ca.pem: No such file"]),
    ("ca_file = \"Cargo.toml\"\n", &["holds no certificate; it must be a PEM file"]),
    ("tls_pins = [\"AB:CD\"]\n", &["is no SHA-256; see `openssl x509"]),
    (
        "tls_insecure = true\nca_file = \"../gateway-core/testdata/tls/issuer.pem\"\n",
        &["remove tls_insecure"],
    ),
    (
        "acount = \"anonymous\"\n",
        &["conference.jitsi \"jitsi\": unknown key acount", "did you mean account?"],
    ),
    (
        "[room]\nbackend = \"jitsy\"\n",
        &["no [[conference.jitsi]] named \"jitsy\"", "write \"room\""],
    ),
    ("[[did]]\nnumber = \"1\"\nbackend = \"x\"\n", &["did \"1\": backend: there is no"]),
    (
        "[[conference.jitsi]]\nname = \"jitsi\"\ndomain = \"b.c\"\n",
        &["another [[conference.jitsi]]"],
    ),
    (
        "[[conference.jitsi]]\nname = \"room\"\ndomain = \"b.c\"\n",
        &["means the gateway's own rooms"],
    ),
    (
        "[[conference.jitsy]]\nname = \"x\"\n",
        &["unknown section [conference.jitsy]", "did you mean conference.jitsi?"],
    ),
    (
        "[[conference.jitsi]]\nname = \"x\"\n",
        &["domain is missing; write domain = \"meet.example.org\""],
    ),
];

#[test]
fn every_mistake_says_its_remedy() {
    for (keys, wanted) in MISTAKES {
        let said = judge(keys).err().map(|mistakes| mistakes.to_string()).unwrap_or_default();
        for text in *wanted {
            assert!(said.contains(text), "{keys:?}\nwanted: {text}\nsaid: {said}");
        }
        assert_eq!(said.lines().count(), 1, "{keys:?} is one mistake: {said}");
    }
}

#[test]
fn mistakes_of_one_deployment_come_together() {
    let keys = "xmpp = \"tcp:x\"\nca_file = \"/nonexistent\"\ntls_pins = [\"x\"]\n[room]\nbackend = \"a\"\n";
    let said = judge(keys).err().map(|mistakes| mistakes.to_string()).unwrap_or_default();
    assert_eq!(said.lines().count(), 4, "{said}");
}

#[test]
fn credentials_of_a_trunk_may_be_elsewhere() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |keys: &str| {
        let text = format!("[[trunk]]\nname = \"t\"\nsources = [\"127.0.0.1\"]\n{keys}");
        let mut secrets = Secrets::environment();
        secrets.bring("not in the environment", Pii::new("anna:s3cret".to_owned()));
        parse_with("weebee.toml", &text, folder, &secrets)
    };
    let config = read("credentials_env = \"not in the environment\"\n").expect("good");
    let credentials = config.trunks[0].sip.credentials.as_ref().expect("given");
    assert_eq!(
        (credentials.user.as_str(), credentials.password.reveal().as_str()),
        ("anna", "s3cret")
    );
    assert!(!format!("{config:?}").contains("s3cret"));
    for (keys, said) in [
        ("credentials_env = \"WEEBEE_IS_NOT_THERE\"\n", "no variable"),
        ("credentials_file = \"rustfmt.none\"\n", "rustfmt.none"),
        ("credentials = \"a:b\"\ncredentials_env = \"not in the environment\"\n", "remove one"),
    ] {
        let mistakes = read(keys).expect_err(keys).to_string();
        assert!(mistakes.contains(said), "{keys}: {mistakes}");
    }
}
