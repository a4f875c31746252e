//! Our XMPP streams against Debian's Prosody: every way to log in over every transport, certificates, a restart, a cut
//! connection that is resumed. No process shows a stream on its own, so this test links the core; it starts itself again
//! inside the network namespace where Prosody runs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gateway_core::base::ids::{CallKey, LegKey, SiteId, StreamKey};
use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;
use gateway_core::io::xmpp::framing::{NS_CLIENT, element};
use gateway_core::io::xmpp::{
    Element, Encryption, Failure, ToldReceiver, Transport, Trust, WebAddress, XmppEvent, XmppSite,
    XmppStreams, probe,
};
use gateway_core::leg::backend::{StreamAccount, StreamDownReason, StreamIdentity};
use gateway_tests_peers::gateway;
use gateway_tests_peers::prosody::{
    ANONYMOUS, C2S_PORT, HTTPS_PORT, PLAIN, Prosody, ROOMS, SCRAM, USER,
};
use gateway_tests_peers::require::{self, Peer};
use gateway_tests_peers::world::World;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const FOLDER: &str = "WEEBEE_PROSODY_FOLDER";

#[test]
fn streams_of_ours_live_with_a_real_prosody() {
    if !require::all_there("streams_of_ours_live_with_a_real_prosody", &[Peer::Prosody]) {
        return;
    }
    println!("\nProsody {}", Peer::Prosody.version());
    let world = World::new("prosody");
    world.run_inside("inside", FOLDER, &[("WEEBEE_BIN", gateway::binary().as_os_str())]);
}

#[test]
#[ignore = "started by streams_of_ours_live_with_a_real_prosody inside its network namespace"]
fn inside() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("started by the test above"));
    let mut prosody = Prosody::start(&folder);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        every_way_in(&prosody).await;
        bad_certificates_and_passwords(&prosody).await;
        a_cut_connection_is_resumed(&prosody).await;
        a_restart_is_survived(&mut prosody).await;
    });
    check_names_what_is_wrong(&prosody, &folder);
}

fn site(host: &str, transport: Transport, trust: Trust) -> XmppSite {
    XmppSite {
        name: host.to_owned(),
        domain: host.to_owned(),
        transport,
        trust,
        ping_every: Duration::from_secs(2),
        open_within: Duration::from_secs(10),
        conference_request: None,
        visitors: None,
    }
}

fn tcp(port: u16) -> Transport {
    Transport::Tcp { host: "127.0.0.1".into(), port, encryption: Encryption::Required }
}

fn web(path: &str) -> WebAddress {
    WebAddress {
        secure: true,
        host: "127.0.0.1".into(),
        port: HTTPS_PORT,
        path: format!("/{path}"),
    }
}

fn believing(prosody: &Prosody) -> Trust {
    let name = Some(ANONYMOUS.to_owned());
    Trust { ca_file: Some(prosody.authority()), name, ..Trust::default() }
}

fn account(host: &str, password: &str) -> StreamAccount {
    let identity = match host {
        ANONYMOUS => StreamIdentity::Anonymous,
        _ => StreamIdentity::Password {
            user: Pii::new(USER.0.to_owned()),
            password: Pii::new(password.to_owned()),
        },
    };
    StreamAccount { site: SiteId(0), identity, room: None, token: None, tenant: None, visit: None }
}

async fn every_way_in(prosody: &Prosody) {
    for (way, transport) in [
        ("StartTLS", tcp(C2S_PORT)),
        ("WebSocket", Transport::WebSocket(web("xmpp-websocket"))),
        ("BOSH", Transport::Bosh(web("http-bind"))),
    ] {
        for host in [ANONYMOUS, SCRAM, PLAIN] {
            // Prosody looks for the web's host in the request: one answers for all.
            let site = site(host, transport.clone(), believing(prosody));
            let opened = probe(&site, &account(host, USER.1), Rng::from_number(1)).await;
            let mut stream = opened.unwrap_or_else(|failure| panic!("{way}, {host}: {failure}"));
            assert_eq!(stream.jid().domain().as_str(), host);
            for number in 0..20 {
                stream.send(ping(host, number));
            }
            for number in 0..20 {
                let id = format!("p{number}");
                let is_it = |it: &Element| it.attr("id") == Some(id.as_str());
                let answer = stream.answer(Duration::from_secs(5), is_it).await;
                let answer = answer.unwrap_or_else(|failure| panic!("{way}, {host}: {failure}"));
                let answer = answer.unwrap_or_else(|| panic!("{way}, {host}: no answer to {id}"));
                assert_eq!(answer.attr("type"), Some("result"), "{way}, {host}");
            }
            stream.close().await;
            println!("  {way:10} {host:12} ok");
        }
    }
}

fn ping(host: &str, number: u32) -> Element {
    let id = format!("p{number}");
    let attributes = [("type", "get"), ("id", id.as_str()), ("to", host)];
    let mut iq = element("iq", NS_CLIENT, &attributes);
    iq.append_child(element("ping", "urn:xmpp:ping", &[]));
    iq
}

async fn bad_certificates_and_passwords(prosody: &Prosody) {
    let named = |name: &str| Trust { name: Some(name.to_owned()), ..believing(prosody) };
    let pinned = Trust { pins: vec![[7; 32]], ..Trust::default() };
    for (trust, wanted, reason) in [
        (Trust::default(), Failure::TlsUnknownIssuer, StreamDownReason::Certificate),
        (named("elsewhere.test"), Failure::TlsName, StreamDownReason::Certificate),
        (pinned, Failure::TlsPin, StreamDownReason::Certificate),
    ] {
        for transport in [tcp(C2S_PORT), Transport::WebSocket(web("xmpp-websocket"))] {
            let site = site(ANONYMOUS, transport, trust.clone());
            let opened = probe(&site, &account(ANONYMOUS, ""), Rng::from_number(2)).await;
            let failure = opened.map(|_| ()).expect_err("a wrong certificate");
            assert_eq!((&failure, failure.reason()), (&wanted, reason));
            println!("  refused: {failure}");
        }
    }
    for host in [SCRAM, PLAIN] {
        let site = site(host, tcp(C2S_PORT), believing(prosody));
        let opened = probe(&site, &account(host, "wrong"), Rng::from_number(3)).await;
        let failure = opened.map(|_| ()).expect_err("a wrong password");
        assert_eq!(failure.reason(), StreamDownReason::NotAuthorized, "{failure}");
        println!("  refused: {failure}");
    }
    let nowhere = site("nowhere.test", tcp(C2S_PORT), believing(prosody));
    let opened = probe(&nowhere, &account(ANONYMOUS, ""), Rng::from_number(4)).await;
    let failure = opened.map(|_| ()).expect_err("a host that is not served");
    assert_eq!(failure, Failure::HostUnknown);
    println!("  refused: {failure}");
}

fn key() -> StreamKey {
    StreamKey(LegKey::conference(CallKey::default()))
}

/// One stream as the driver holds it.
struct Ours {
    streams: XmppStreams,
    told: ToldReceiver,
}

impl Ours {
    fn open(site: XmppSite, account: StreamAccount) -> Self {
        let made = XmppStreams::new(vec![site], Rng::from_number(5));
        let (mut streams, told) = made.expect("its TLS is good");
        assert!(streams.open(key(), account));
        Self { streams, told }
    }

    async fn next(&mut self) -> XmppEvent {
        loop {
            let told = tokio::time::timeout(Duration::from_secs(60), self.told.recv()).await;
            let told = told.expect("something happens").expect("tasks live");
            if let Some((_, event)) = self.streams.told(told) {
                return event;
            }
        }
    }

    async fn up(&mut self) -> (String, bool) {
        match self.next().await {
            XmppEvent::Up { jid, resumed } => (jid.to_string(), resumed),
            other => panic!("expected to be up: {other:?}"),
        }
    }

    async fn down(&mut self) -> Failure {
        match self.next().await {
            XmppEvent::Down(failure) => failure,
            other => panic!("expected to be down: {other:?}"),
        }
    }
}

/// Carries TCP to Prosody until it is told to cut.
async fn cable(listener: TcpListener, mut cut: watch::Receiver<u32>) {
    loop {
        let Ok((mut ours, _)) = listener.accept().await else { return };
        let Ok(mut theirs) = TcpStream::connect(("127.0.0.1", C2S_PORT)).await else { continue };
        cut.mark_unchanged();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut ours, &mut theirs) => {}
            _ = cut.changed() => {}
        }
    }
}

async fn a_cut_connection_is_resumed(prosody: &Prosody) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (scissors, cut) = watch::channel(0);
    tokio::spawn(cable(listener, cut));
    let site = site(SCRAM, tcp(port), Trust { name: Some(SCRAM.into()), ..believing(prosody) });
    let mut ours = Ours::open(site, account(SCRAM, USER.1));
    let (jid, resumed) = ours.up().await;
    assert!(!resumed);
    for round in 1..=3 {
        scissors.send(round).expect("the cable is there");
        let began = Instant::now();
        let failure = ours.down().await;
        assert_eq!(failure.reason(), StreamDownReason::ClosedByServer, "{failure}");
        // Sent while nobody is there, to ourselves.
        let id = format!("m{round}");
        let mut message = element("message", NS_CLIENT, &[("to", &jid), ("id", &id)]);
        let mut body = element("body", NS_CLIENT, &[]);
        body.append_text_node("still there");
        message.append_child(body);
        ours.streams.send(key(), message);
        assert_eq!(ours.up().await, (jid.clone(), true), "round {round}");
        let took = began.elapsed();
        let XmppEvent::Stanza(stanza) = ours.next().await else { panic!("our message") };
        assert_eq!(stanza.attr("id"), Some(id.as_str()));
        println!("  cut and resumed after {} ms, nothing lost", took.as_millis());
    }
    ours.streams.close(key());
}

async fn a_restart_is_survived(prosody: &mut Prosody) {
    let site = site(ANONYMOUS, tcp(C2S_PORT), believing(prosody));
    let mut ours = Ours::open(site, account(ANONYMOUS, ""));
    let (before, _) = ours.up().await;
    prosody.stop();
    let failure = ours.down().await;
    println!("  stopped: {failure}");
    // Long enough for several attempts that find nobody; they are not told.
    tokio::time::sleep(Duration::from_secs(4)).await;
    prosody.start_again();
    let began = Instant::now();
    let (after, resumed) = ours.up().await;
    assert!(!resumed, "Prosody remembers nobody");
    assert_ne!(before, after, "a guest comes as somebody else");
    println!("  up again {} ms after Prosody", began.elapsed().as_millis());
    ours.streams.close(key());
}

/// `weebee check --live` of a deployment whose rooms are elsewhere, and of one without Jicofo.
fn check_names_what_is_wrong(prosody: &Prosody, folder: &Path) {
    let check = |rooms: &str, ca_file: &str| {
        let text = format!(
            "[rtp]\nconference = \"192.0.2.1\"\n[[trunk]]\nname = \"t\"\nsources = [\"127.0.0.1\"]\n\
             [[conference.jitsi]]\nname = \"j\"\ndomain = \"{ANONYMOUS}\"\nrooms = \"{rooms}\"\n\
             xmpp = \"tcp:127.0.0.1:{C2S_PORT}\"\n{ca_file}\n"
        );
        let file = folder.join("weebee.toml");
        std::fs::write(&file, text).expect("a configuration");
        let mut command = Command::new(gateway::binary());
        let done = command.args(["check", "--live", "--config"]).arg(&file).output();
        let done = done.expect("weebee runs");
        let said = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let believing = format!("ca_file = {:?}", prosody.authority());
    for (rooms, ca_file, wanted) in [
        ("conference.guests.test", believing.as_str(), "write rooms = \"rooms.guests.test\""),
        (ROOMS, believing.as_str(), "refuses a conference"),
        (ROOMS, "", "set ca_file or tls_pins"),
    ] {
        let (code, said) = check(rooms, ca_file);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(wanted), "wanted {wanted:?}:\n{said}");
        println!("  check: {}", said.lines().last().unwrap_or_default());
    }
}
