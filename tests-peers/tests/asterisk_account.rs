//! The gateway as an account of Asterisk 16 (chan_sip) and Asterisk 22 (PJSIP), as a telephone is: it registers with a
//! digest password at a host name, calls to the account reach a room, and speech flows both ways: with the old exchange by
//! UDP and plain RTP, with the new one by TLS and SRTP with keys in SDP. The registrar is lost and comes back without its
//! memory, a password is wrong, a name has no address at first: each is said and heals alone.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use gateway_tests_peers::asterisk::{Act, Exchange, Flavour, PhoneCall, Recording};
use gateway_tests_peers::gateway::Gateway;
use gateway_tests_peers::process::wait_until;
use gateway_tests_peers::require::{self, Peer};
use gateway_tests_peers::sound::{Searched, Speech, heard, leakage_db, level_dbfs};
use gateway_tests_peers::world::{World, wall_clock};

/// Seconds of each sentence.
const SENTENCE: f64 = 3.4;
/// When the two sentences are spoken, in seconds after the calls are placed, and when the calls end.
const SPOKEN: [f64; 2] = [4.0, 8.5];
const END: f64 = 13.0;
/// Plays of the conversation at most: a machine whose host takes the processor away disturbs any sound.
const ATTEMPTS_MAX: usize = 3;
const CORRELATION_MIN: f64 = 0.95;
const OWN_VOICE_MAX_DB: f64 = -45.0;

const SETTINGS: &str = r#"
[[trunk]]
name = "account16"
peer = "pbx16.test"
register = true
credentials = "6001:wonderland"
keep_alive_s = 5
[[trunk]]
name = "account22"
peer = "pbx22.test"
transport = "tls"
tls_ca_file = "pbx22.crt"
srtp = "required"
register = true
credentials = "6001:wonderland"
keep_alive_s = 5
[[trunk]]
name = "mistyped"
peer = "pbx22.test"
register = true
credentials = "6002:wunderland"
[[did]]
number = "6001"
room = "tea"
ask_pin = false
"#;

#[test]
fn an_account_is_registered_called_lost_and_registered_again() {
    let test = "an_account_is_registered";
    if !require::all_there(test, &[Peer::Asterisk16, Peer::Asterisk22, Peer::Speech]) {
        return;
    }
    let world = World::new("account");
    let names = world.hosts("127.0.0.16 pbx16.test\n");
    make_certificate(&world.subfolder("weebee"));
    let sixteen = exchange(&world, Flavour::Sixteen);
    let twenty_two = exchange(&world, Flavour::TwentyTwo);
    let mut gateway = Gateway::start(&world, SETTINGS);
    wait_for(&gateway, &world, "account16", 1, "account 16 is registered");
    let said = problems(&gateway, &world);
    assert!(said.iter().any(|it| it.contains("account22") && it.contains("resolved")), "{said:?}");
    fs::write(&names, "127.0.0.16 pbx16.test\n127.0.0.22 pbx22.test\n").expect("the hosts file");
    wait_for(&gateway, &world, "account22", 1, "account 22 is registered once its name is known");
    let said = wait_until(Duration::from_secs(10), || {
        let said = problems(&gateway, &world);
        let is_told = |it: &String| it.contains("mistyped") && it.contains("password are wrong");
        said.iter().any(is_told).then_some(said)
    });
    let said = said.unwrap_or_else(|| panic!("{}", gateway.log()));
    assert_eq!(said.len(), 1, "{said:?}");
    let speeches = [0, 1].map(|number| {
        Speech::spoken(world.folder(), &format!("speaker{number}"), number, SENTENCE)
    });
    let exchanges = [&sixteen, &twenty_two];
    exchanges
        .iter()
        .zip(&speeches)
        .for_each(|(it, speech)| it.learn_sound("sentence", &speech.wav));
    let mut faults = Vec::new();
    for attempt in 0..ATTEMPTS_MAX {
        faults = conversation(exchanges, &speeches, &format!("talk{attempt}"));
        if faults.is_empty() {
            break;
        }
        eprintln!("played again: {faults:?}");
    }
    assert_eq!(faults, Vec::<String>::new(), "{}", gateway.log());
    assert_eq!(sixteen.complaints(), Vec::<String>::new());
    assert_eq!(twenty_two.complaints(), Vec::<String>::new());
    // The registrar is lost with all it knew.
    drop(twenty_two);
    wait_for(&gateway, &world, "account22", 0, "the loss is seen");
    let said = problems(&gateway, &world);
    assert!(
        said.iter().any(|it| it.contains("account22") && it.contains("is not registered")),
        "{said:?}"
    );
    let _ = fs::remove_dir_all(world.folder().join("asterisk22/db"));
    let twenty_two = exchange(&world, Flavour::TwentyTwo);
    wait_for(&gateway, &world, "account22", 1, "it is registered again, alone");
    let now = wall_clock();
    twenty_two.place(&[call("again", Vec::new(), now + 4.0)]);
    std::thread::sleep(Duration::from_secs_f64(now + 5.5 - wall_clock()));
    let again = twenty_two.recording("again").expect("the account is called again");
    assert!(again.heard.seconds() > 1.0, "answered");
    let log = gateway.log();
    assert!(!log.contains("wonderland") && !log.contains("wunderland"), "a password in the log");
    gateway.assert_alive();
}

/// Both exchanges call the account and speak in the room, one after the other. What was wrong.
fn conversation(exchanges: [&Exchange; 2], speeches: &[Speech; 2], id: &str) -> Vec<String> {
    let start = wall_clock() + 0.5;
    for (exchange, spoken) in exchanges.iter().zip(SPOKEN) {
        let acts = vec![(start + spoken, Act::Say("sentence".into()))];
        exchange.place(&[call(id, acts, start + END)]);
    }
    std::thread::sleep(Duration::from_secs_f64(start + END + 1.5 - wall_clock()));
    let mut faults = Vec::new();
    for (listener, exchange) in exchanges.iter().enumerate() {
        let speaker = 1 - listener;
        let Some(ear) = exchange.recording(id) else {
            faults.push(format!("the account was not reached from exchange {listener}"));
            continue;
        };
        let found =
            heard(&ear.heard, window(&ear, start + SPOKEN[speaker]), &speeches[speaker].wav);
        let correlation = found.map_or(0.0, |found| found.correlation);
        if correlation < CORRELATION_MIN {
            faults.push(format!("{speaker} is not heard by {listener}: {correlation:.2}"));
        }
        let own = window(&ear, start + SPOKEN[listener]);
        let own_db = leakage_db(&ear.heard, own, &speeches[listener].wav);
        if own_db > OWN_VOICE_MAX_DB {
            faults.push(format!("{listener} hears himself at {own_db:.0} dB"));
        }
        let spoke = level_dbfs(&ear.said, own);
        if spoke < -40.0 {
            faults.push(format!("{listener} did not speak ({spoke:.0} dBFS)"));
        }
    }
    faults
}

fn window(ear: &Recording, moment: f64) -> Searched {
    let from = moment - ear.starts_at - 0.4;
    Searched { from, to: from + SENTENCE + 1.6 }
}

/// A telephone that calls the account.
fn call(id: &str, acts: Vec<(f64, Act)>, ends_at: f64) -> PhoneCall {
    let number = "6001@to-account".to_owned();
    PhoneCall { id: id.to_owned(), number, codec: "alaw", acts, ends_at }
}

/// An exchange with the accounts 6001 and 6002, and a way to call the first.
fn exchange(world: &World, flavour: Flavour) -> Exchange {
    Exchange::start_changed(world, flavour, Gateway::address(), None, |etc| {
        let (file, text, dial) = match flavour {
            Flavour::Sixteen => ("sip.conf", SIXTEEN, "Dial(SIP/6001,20)"),
            Flavour::TwentyTwo => {
                ("pjsip.conf", TWENTY_TWO, "Dial(PJSIP/6001,20,b(weebee-out^s^1))")
            }
        };
        append(&etc.join(file), text);
        let way = format!("\n[to-account]\nexten => 6001,1,{dial}\n same => n,Hangup()\n");
        append(&etc.join("extensions.conf"), &way);
        if flavour == Flavour::TwentyTwo {
            append(
                &etc.join("modules_site.conf"),
                "load=res_pjsip_registrar.so\nload=res_pjsip_endpoint_identifier_user.so\n",
            );
            for name in ["pbx22.crt", "pbx22.key"] {
                let made = world.folder().join("weebee").join(name);
                fs::copy(made, etc.join(name)).expect("the certificate");
            }
        }
    })
}

/// A certificate for the name of the new exchange, signed by itself.
fn make_certificate(folder: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=pbx22.test", "-addext", "subjectAltName=DNS:pbx22.test"])
        .args(["-keyout", "pbx22.key", "-out", "pbx22.crt"])
        .current_dir(folder)
        .output()
        .expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn append(file: &Path, text: &str) {
    let before = fs::read_to_string(file).unwrap_or_default();
    fs::write(file, before + text).expect("a file of the exchange");
}

const SIXTEEN: &str = "
[6001]
type=friend
host=dynamic
secret=wonderland
context=from-weebee
disallow=all
allow=alaw,ulaw
";

/// The address of the gateway is that of the shipped `[weebee]`: accounts are known by their names here.
const TWENTY_TWO: &str = "
[global](+)
endpoint_identifier_order=username,ip
[transport-tls]
type=transport
protocol=tls
bind=127.0.0.22:5061
cert_file=/mnt/peer/etc/pbx22.crt
priv_key_file=/mnt/peer/etc/pbx22.key
method=tlsv1_2
[weebee-account](!)
type=endpoint
context=from-weebee
disallow=all
allow=alaw,ulaw
direct_media=no
media_address=127.0.0.22
bind_rtp_to_media_address=yes
[6001](weebee-account)
media_encryption=sdes
auth=auth6001
aors=6001
[6001]
type=aor
max_contacts=1
remove_existing=yes
[auth6001]
type=auth
auth_type=digest
username=6001
password=wonderland
[6002](weebee-account)
auth=auth6002
aors=6002
[6002]
type=aor
max_contacts=1
[auth6002]
type=auth
auth_type=digest
username=6002
password=wonderland
";

fn problems(gateway: &Gateway, world: &World) -> Vec<String> {
    let health = gateway.health(world);
    let problems = health["problems"].as_array().cloned().unwrap_or_default();
    problems.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect()
}

/// Waits until the metrics say of `trunk` that it is registered, or not.
#[track_caller]
fn wait_for(gateway: &Gateway, world: &World, trunk: &str, wanted: u8, what: &str) {
    let line = format!("weebee_trunk_registered{{trunk=\"{trunk}\"}} {wanted}");
    let seen = wait_until(Duration::from_secs(20), || {
        gateway.page(world, "/metrics").contains(&line).then_some(())
    });
    let said = problems(gateway, world);
    assert!(seen.is_some(), "not so: {what}; {said:?}\n{}", gateway.log());
}
