//! Streams against a scripted server on loopback: TCP, StartTLS with good and bad certificates, WebSocket, BOSH.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;

use super::framing::{NS_CLIENT, element};
use super::*;
use crate::base::ids::{CallKey, LegKey, SiteId};
use crate::base::pii::Pii;
use crate::leg::backend::{StreamDownReason, StreamIdentity};

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' id='1' from='meet.test' version='1.0'>";
const AUTH_FEATURES: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    <mechanism>ANONYMOUS</mechanism></mechanisms></stream:features>";
const BIND_FEATURES: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
    <sm xmlns='urn:xmpp:sm:3'/></stream:features>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const BOUND: &str = "<iq xmlns='jabber:client' id='wbbind' type='result'>\
    <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>u@meet.test/r</jid></bind></iq>";
const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3' id='s1' resume='true'/>";
const PATIENCE: Duration = Duration::from_secs(20);

fn key() -> StreamKey {
    StreamKey(LegKey::conference(CallKey::default()))
}

fn account() -> StreamAccount {
    StreamAccount {
        tenant: None,
        visit: None,
        site: SiteId(0),
        identity: StreamIdentity::Anonymous,
        room: Some("tea".into()),
        token: Some(crate::base::pii::Pii::new("a.b.c".into())),
    }
}

fn site(transport: Transport, trust: Trust) -> XmppSite {
    XmppSite {
        name: "test".into(),
        domain: "meet.test".into(),
        transport,
        trust,
        ping_every: Duration::from_secs(30),
        open_within: Duration::from_secs(10),
        conference_request: None,
        visitors: None,
    }
}

fn tcp(port: u16, encryption: Encryption) -> Transport {
    Transport::Tcp { host: "127.0.0.1".into(), port, encryption }
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tls").join(name)
}

/// One open stream of ours, as the driver holds it.
struct Ours {
    streams: XmppStreams,
    told: ToldReceiver,
}

impl Ours {
    fn open(site: XmppSite) -> Self {
        let made = XmppStreams::new(vec![site], Rng::from_number(5));
        let (mut streams, told) = made.expect("its TLS is good");
        assert!(streams.open(key(), account()));
        Self { streams, told }
    }

    async fn next(&mut self) -> XmppEvent {
        loop {
            let told = tokio::time::timeout(PATIENCE, self.told.recv()).await;
            let told = told.expect("something happens").expect("tasks live");
            if let Some((_, event)) = self.streams.told(told) {
                return event;
            }
        }
    }

    async fn up(&mut self) -> bool {
        match self.next().await {
            XmppEvent::Up { jid, resumed } => {
                assert_eq!(jid.to_string(), "u@meet.test/r");
                resumed
            }
            other => panic!("expected to be up: {other:?}"),
        }
    }

    async fn down(&mut self) -> Failure {
        match self.next().await {
            XmppEvent::Down(failure) => failure,
            other => panic!("expected to be down: {other:?}"),
        }
    }

    fn send(&mut self, id: &str) {
        self.streams.send(key(), element("message", NS_CLIENT, &[("id", id)]));
    }
}

/// The server's side of a byte stream.
struct Server<S> {
    stream: S,
    seen: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Server<S> {
    fn new(stream: S) -> Self {
        Self { stream, seen: String::new() }
    }

    async fn say(&mut self, text: &str) {
        // A peer that has hung up is a finding of the test itself.
        let _ = self.stream.write_all(text.as_bytes()).await;
        let _ = self.stream.flush().await;
    }

    /// Reads until `text` comes, and forgets everything up to it. False: the peer hung up.
    async fn hear(&mut self, text: &str) -> bool {
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return true;
            }
            let mut bytes = [0; 4_096];
            let reading = tokio::time::timeout(PATIENCE, self.stream.read(&mut bytes)).await;
            match reading.unwrap_or_else(|_| panic!("waited for {text:?}, has {:?}", self.seen)) {
                Ok(0) | Err(_) => return false,
                Ok(count) => self.seen.push_str(&String::from_utf8_lossy(&bytes[..count])),
            }
        }
    }

    async fn authenticate(&mut self) {
        self.hear("<stream:stream to='meet.test'").await;
        self.say(&format!("{HEADER}{AUTH_FEATURES}")).await;
        self.hear("ANONYMOUS").await;
        self.say(SUCCESS).await;
        self.hear("<stream:stream to='meet.test'").await;
        self.say(&format!("{HEADER}{BIND_FEATURES}")).await;
    }

    async fn bind(&mut self) {
        self.hear("wbbind").await;
        self.say(BOUND).await;
        self.hear("<enable").await;
        self.say(ENABLED).await;
    }
}

#[tokio::test]
async fn stanzas_travel_both_ways_in_order_and_the_goodbye_comes_last() {
    let (listener, port) = listener().await;
    let mut ours = Ours::open(site(tcp(port, Encryption::Off), Trust::default()));
    let server = async {
        let (stream, _) = listener.accept().await.expect("it connects");
        let mut server = Server::new(stream);
        server.authenticate().await;
        server.bind().await;
        server.say("<message id='a'/><message id='b'/>").await;
        for number in 0..50 {
            assert!(server.hear(&format!("id='{number}'")).await, "{number} of {}", server.seen);
        }
        assert!(server.hear("</stream:stream>").await);
    };
    let client = async {
        assert!(!ours.up().await);
        for id in ["a", "b"] {
            let XmppEvent::Stanza(stanza) = ours.next().await else { panic!("a stanza") };
            assert_eq!(stanza.attr("id"), Some(id));
        }
        for number in 0..50 {
            ours.send(&number.to_string());
        }
        ours.streams.close(key());
        ours.send("late");
        assert_eq!(ours.streams.counters().xmpp_stanzas_dropped, 1);
    };
    tokio::join!(server, client);
}

#[tokio::test]
async fn a_cut_connection_is_resumed_and_nothing_is_lost() {
    let (listener, port) = listener().await;
    let mut ours = Ours::open(site(tcp(port, Encryption::Off), Trust::default()));
    let server = async {
        let (stream, _) = listener.accept().await.expect("it connects");
        let mut server = Server::new(stream);
        server.authenticate().await;
        server.bind().await;
        server.say("<presence/>").await;
        server.hear("id='1'").await;
        drop(server);
        let (stream, _) = listener.accept().await.expect("it comes back");
        let mut server = Server::new(stream);
        server.authenticate().await;
        assert!(server.hear("<resume").await && server.hear("h='1'").await);
        server.say("<resumed xmlns='urn:xmpp:sm:3' previd='s1' h='0'/>").await;
        assert!(server.hear("id='1'").await, "said again: {}", server.seen);
        assert!(server.hear("id='2'").await, "{}", server.seen);
    };
    let client = async {
        assert!(!ours.up().await);
        assert!(matches!(ours.next().await, XmppEvent::Stanza(_)));
        ours.send("1");
        assert_eq!(ours.down().await.reason(), StreamDownReason::ClosedByServer);
        ours.send("2");
        assert!(ours.up().await, "the session goes on");
    };
    tokio::join!(server, client);
}

#[tokio::test]
async fn a_server_that_closes_in_every_state_is_tried_again() {
    let mechanisms = format!("{HEADER}{AUTH_FEATURES}");
    let extensions = format!("{HEADER}{BIND_FEATURES}");
    let (mechanisms, extensions) = (mechanisms.as_str(), extensions.as_str());
    let steps: [&[&str]; 6] = [
        &[],
        &[HEADER],
        &[mechanisms],
        &[mechanisms, SUCCESS],
        &[mechanisms, SUCCESS, extensions],
        &[mechanisms, SUCCESS, extensions, BOUND],
    ];
    for (number, words) in steps.iter().enumerate() {
        let (listener, port) = listener().await;
        let mut ours = Ours::open(site(tcp(port, Encryption::Off), Trust::default()));
        let server = async {
            let (mut stream, _) = listener.accept().await.expect("it connects");
            for text in *words {
                let mut bytes = [0; 1_024];
                let _ = stream.read(&mut bytes).await;
                let _ = stream.write_all(text.as_bytes()).await;
            }
            drop(stream);
            let (stream, _) = listener.accept().await.expect("it comes back");
            let mut server = Server::new(stream);
            server.authenticate().await;
            server.bind().await;
            server
        };
        let client = async {
            let reason = ours.down().await.reason();
            assert_eq!(reason, StreamDownReason::ClosedByServer, "step {number}");
            assert!(!ours.up().await);
        };
        tokio::join!(server, client);
    }
}

#[tokio::test]
async fn garbage_and_oversized_stanzas_end_the_stream_with_a_reason() {
    let big = format!("<message><body>{}</body></message>", "x".repeat(framing::STANZA_BYTES_MAX));
    for (words, label) in [
        ("HTTP/1.1 200 OK\r\n\r\n<html>", "not_xmpp"),
        ("\u{0}\u{1}\u{2}", "not_xmpp"),
        (&*big, "oversized"),
    ] {
        let (listener, port) = listener().await;
        let mut ours = Ours::open(site(tcp(port, Encryption::Off), Trust::default()));
        let server = async {
            let (stream, _) = listener.accept().await.expect("it connects");
            let mut server = Server::new(stream);
            if label == "oversized" {
                server.authenticate().await;
                server.bind().await;
            }
            server.say(words).await;
            server
        };
        let client = async {
            if label == "oversized" {
                assert!(!ours.up().await);
            }
            assert_eq!(ours.down().await.label(), label);
        };
        tokio::join!(server, client);
    }
}

#[tokio::test]
async fn nobody_there_and_no_such_name_are_told_apart() {
    let (listener, port) = listener().await;
    drop(listener);
    let mut ours = Ours::open(site(tcp(port, Encryption::Off), Trust::default()));
    assert_eq!(ours.down().await, Failure::Refused);
    let nowhere =
        Transport::Tcp { host: "nowhere.invalid".into(), port, encryption: Encryption::Off };
    assert_eq!(Ours::open(site(nowhere, Trust::default())).down().await, Failure::NameNotFound);
}

fn acceptor(certificate: &str) -> TlsAcceptor {
    let chain = CertificateDer::from_pem_file(testdata(certificate)).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(testdata("key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("they belong together");
    TlsAcceptor::from(Arc::new(config))
}

/// Offers StartTLS with a certificate and goes on if the client does.
async fn starttls(stream: TcpStream, certificate: &str) {
    let mut server = Server::new(stream);
    server.hear("<stream:stream to='meet.test'").await;
    server
        .say(&format!(
            "{HEADER}<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
             </stream:features>"
        ))
        .await;
    server.hear("<starttls").await;
    server.say("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await;
    if let Ok(secure) = acceptor(certificate).accept(server.stream).await {
        let mut server = Server::new(secure);
        server.authenticate().await;
        server.bind().await;
        server.hear("</stream:stream>").await;
    }
}

#[tokio::test]
async fn certificates_are_judged_and_each_fault_has_its_name() {
    let issuer = || Trust { ca_file: Some(testdata("issuer.pem")), ..Trust::default() };
    let own = |name: &str| Trust { ca_file: Some(testdata(name)), ..Trust::default() };
    let pin = |name: &str| {
        let certificate = CertificateDer::from_pem_file(testdata(name)).expect("a certificate");
        Trust { pins: vec![tls::fingerprint(&certificate)], ..Trust::default() }
    };
    let named = Trust { name: Some("elsewhere.test".into()), ..issuer() };
    let cases: [(&str, Trust, Option<Failure>); 12] = [
        ("meet.pem", issuer(), None),
        ("elsewhere.pem", issuer(), Some(Failure::TlsName)),
        ("elsewhere.pem", named, None),
        ("expired.pem", issuer(), Some(Failure::TlsExpired)),
        ("meet.pem", Trust::default(), Some(Failure::TlsUnknownIssuer)),
        ("own-authority.pem", own("own-authority.pem"), None),
        ("own-authority-expired.pem", own("own-authority-expired.pem"), Some(Failure::TlsExpired)),
        ("own-authority.pem", issuer(), Some(Failure::TlsUnknownIssuer)),
        ("expired.pem", pin("expired.pem"), None),
        ("meet.pem", pin("expired.pem"), Some(Failure::TlsPin)),
        ("elsewhere.pem", Trust { insecure: true, ..Trust::default() }, None),
        ("meet.pem", own("meet.pem"), None),
    ];
    for (number, (certificate, trust, wanted)) in cases.into_iter().enumerate() {
        let (listener, port) = listener().await;
        let server = async {
            let (stream, _) = listener.accept().await.expect("it connects");
            starttls(stream, certificate).await;
        };
        let site = site(tcp(port, Encryption::Required), trust);
        let client = async {
            match probe(&site, &account(), Rng::from_number(1)).await {
                Ok(probe) => {
                    probe.close().await;
                    None
                }
                Err(failure) => Some(failure),
            }
        };
        let (_, failure) = tokio::join!(server, client);
        assert_eq!(failure, wanted, "case {number}: {certificate}");
    }
}

#[tokio::test]
async fn nobody_can_slip_words_in_before_tls_begins() {
    let (listener, port) = listener().await;
    let mut ours = Ours::open(site(
        tcp(port, Encryption::Required),
        Trust { insecure: true, ..Trust::default() },
    ));
    let server = async {
        let (stream, _) = listener.accept().await.expect("it connects");
        let mut server = Server::new(stream);
        server.hear("<stream:stream").await;
        let offer = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";
        server.say(&format!("{HEADER}{offer}")).await;
        server.hear("<starttls").await;
        server.say("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><message id='evil'/>").await;
        server
    };
    let (_, failure) = tokio::join!(server, ours.down());
    assert_eq!(failure.label(), "not_xmpp");
}

#[test]
fn a_missing_or_empty_ca_file_is_said_before_anything_starts() {
    let trust = Trust { ca_file: Some("/nonexistent/ca.pem".into()), ..Trust::default() };
    let site = site(tcp(5222, Encryption::Required), trust);
    let problems = XmppStreams::new(vec![site], Rng::from_number(1)).err().expect("refused");
    assert!(problems[0].contains("/nonexistent/ca.pem"), "{problems:?}");
}

#[tokio::test]
async fn a_websocket_carries_room_and_token_in_its_query() {
    let (listener, port) = listener().await;
    let address = WebAddress::parse(&format!("ws://127.0.0.1:{port}/xmpp-websocket"));
    let transport = Transport::WebSocket(address.expect("an address"));
    let mut ours = Ours::open(site(transport, Trust::default()));
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("it connects");
        let mut head = vec![0; 4_096];
        let length = stream.peek(&mut head).await.expect("a request");
        let head = String::from_utf8_lossy(&head[..length]).to_string();
        assert!(head.starts_with("GET /xmpp-websocket?room=tea&token=a.b.c HTTP/1.1"), "{head}");
        assert!(head.to_lowercase().contains("sec-websocket-protocol: xmpp"), "{head}");
        let add =
            |_: &_, mut answer: tokio_tungstenite::tungstenite::handshake::server::Response| {
                let protocol = "xmpp".parse().expect("a value");
                answer.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
                Ok(answer)
            };
        let mut socket =
            tokio_tungstenite::accept_hdr_async(&mut stream, add).await.expect("a handshake");
        let open = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' id='1' from='meet.test'/>";
        let with_stream =
            |text: &str| text.replacen('>', " xmlns:stream='http://etherx.jabber.org/streams'>", 1);
        for (wanted, answers) in [
            ("<open", vec![open.to_owned(), with_stream(AUTH_FEATURES)]),
            ("ANONYMOUS", vec![SUCCESS.to_owned()]),
            ("<open", vec![open.to_owned(), with_stream(BIND_FEATURES)]),
            ("wbbind", vec![BOUND.to_owned()]),
            (
                "<enable",
                vec![ENABLED.to_owned(), "<message xmlns='jabber:client' id='x'/>".to_owned()],
            ),
            ("id='1'", vec![]),
            ("<close", vec![]),
        ] {
            let heard = socket.next().await.expect("a message").expect("good");
            let heard = heard.into_text().expect("text").to_string();
            assert!(heard.contains(wanted), "{heard} instead of {wanted}");
            for answer in answers {
                socket.send(Message::text(answer)).await.expect("sent");
            }
        }
    };
    let client = async {
        assert!(!ours.up().await);
        assert!(matches!(ours.next().await, XmppEvent::Stanza(_)));
        ours.send("1");
        ours.streams.close(key());
    };
    tokio::join!(server, client);
}

#[tokio::test]
async fn a_web_server_without_websocket_says_its_status() {
    let (listener, port) = listener().await;
    let address = WebAddress::parse(&format!("ws://127.0.0.1:{port}/x")).expect("an address");
    let mut ours = Ours::open(site(Transport::WebSocket(address), Trust::default()));
    let server = async {
        let (stream, _) = listener.accept().await.expect("it connects");
        let mut server = Server::new(stream);
        server.hear("\r\n\r\n").await;
        server.say("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
        server
    };
    let (_, failure) = tokio::join!(server, ours.down());
    assert_eq!(failure, Failure::HttpStatus(404));
    assert_eq!(failure.reason(), StreamDownReason::Protocol);
}

/// A bridge that has a WebSocket: tells what it hears, and hangs up when told to.
async fn bridge(listener: TcpListener, heard: mpsc::Sender<String>) {
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { continue };
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let text = text.as_str().to_owned();
            let hang_up = text == "hang up";
            let _ = socket.send(Message::text(format!("you said {text}"))).await;
            let _ = heard.send(text).await;
            if hang_up {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_bridge_socket_lives_beside_its_stream_and_comes_back() {
    let (listener, port) = listener().await;
    let (heard_by_bridge, mut heard) = mpsc::channel(8);
    tokio::spawn(bridge(listener, heard_by_bridge));
    // The stream itself finds nobody; its site is what matters.
    let nobody = site(tcp(1, Encryption::Off), Trust::default());
    let made = XmppStreams::new(vec![nobody], Rng::from_number(1));
    let (mut streams, mut told) = made.expect("its TLS is good");
    let url = || Pii::new(format!("ws://127.0.0.1:{port}/colibri-ws/jvb1/1/2?pwd=secret"));
    streams.bridge_socket(key(), SocketOrder::Open(url()));
    assert!(streams.sockets.is_empty(), "without a stream there is none");
    assert!(streams.open(key(), account()));
    streams.bridge_socket(key(), SocketOrder::Open(url()));
    let mut next = async |streams: &mut XmppStreams| loop {
        let told = tokio::time::timeout(PATIENCE, told.recv()).await;
        let told = told.expect("something happens").expect("tasks live");
        if let Some((_, XmppEvent::BridgeSocket(news))) = streams.told(told) {
            return news;
        }
    };
    assert_eq!(next(&mut streams).await, SocketNews::Up);
    streams.bridge_socket(key(), SocketOrder::Send("hello".into()));
    assert_eq!(heard.recv().await.as_deref(), Some("hello"));
    assert_eq!(next(&mut streams).await, SocketNews::Text("you said hello".into()));
    streams.bridge_socket(key(), SocketOrder::Send("hang up".into()));
    assert_eq!(next(&mut streams).await, SocketNews::Text("you said hang up".into()));
    assert_eq!(next(&mut streams).await, SocketNews::Down);
    assert_eq!(next(&mut streams).await, SocketNews::Up, "by itself");
    streams.close(key());
    assert!(streams.sockets.is_empty(), "it ends with its stream");
    let counters = streams.counters();
    assert_eq!((counters.bridge_sockets_up, counters.bridge_sockets_down), (2, 1));
}

/// A web server that answers one request after the other with what it is given.
async fn web(listener: TcpListener, answers: Vec<&'static str>, heard: mpsc::Sender<String>) {
    for answer in answers {
        let Ok((mut stream, _)) = listener.accept().await else { return };
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            let mut buffer = [0; 4_096];
            let Ok(length) = stream.read(&mut buffer).await else { break };
            request.extend_from_slice(&buffer[..length]);
        }
        let _ = heard.send(String::from_utf8_lossy(&request).into_owned()).await;
        let _ = stream.write_all(answer.as_bytes()).await;
    }
}

#[tokio::test]
async fn a_conference_is_asked_for_by_http_where_the_site_wants_it() {
    const READY: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\
        Transfer-Encoding: chunked\r\n\r\n2d\r\n{\"ready\":true,\"focusJid\":\"focus@auth.test\"}  \r\n0\r\n\r\n";
    const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    let (listener, port) = listener().await;
    let (heard_by_web, mut heard) = mpsc::channel(8);
    tokio::spawn(web(listener, vec![READY, FORBIDDEN], heard_by_web));
    let address = WebAddress::parse(&format!("http://127.0.0.1:{port}/conference-request/v1"));
    let asks = XmppSite {
        conference_request: address.ok(),
        ..site(tcp(1, Encryption::Off), Trust::default())
    };
    let made = XmppStreams::new(vec![asks], Rng::from_number(1));
    let (mut streams, mut told) = made.expect("its TLS is good");
    assert!(streams.open(key(), account()));
    let mut next = async |streams: &mut XmppStreams| loop {
        let told = tokio::time::timeout(PATIENCE, told.recv()).await;
        let told = told.expect("something happens").expect("tasks live");
        if let Some((_, XmppEvent::Stanza(stanza))) = streams.told(told) {
            return stanza;
        }
    };
    use crate::jitsi::stanza::conference::{ConferenceAnswer, ConferenceRequest};
    use crate::jitsi::stanza::exchange::Iq;
    let request = ConferenceRequest {
        room: "tea@muc.test",
        machine_uid: "m1",
        session_id: None,
        visitor: None,
    };
    streams.send(key(), request.iq("c1", "focus.test"));
    let asked = heard.recv().await.expect("a request");
    assert!(asked.starts_with("POST /conference-request/v1 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("\r\nAuthorization: Bearer a.b.c\r\n"), "{asked}");
    assert!(asked.contains("\"room\":\"tea@muc.test\"") && asked.contains("\"machineUid\":\"m1\""));
    let stanza = next(&mut streams).await;
    let iq = Iq::read(&stanza).filter(|iq| iq.answers("c1", "focus.test")).expect("the answer");
    let answer = iq.payload.and_then(ConferenceAnswer::read).expect("a conference");
    assert!(answer.is_ready && answer.focus.as_deref() == Some("focus@auth.test"));
    streams.send(key(), request.iq("c2", "focus.test"));
    let stanza = next(&mut streams).await;
    let iq = Iq::read(&stanza).filter(|iq| iq.answers("c2", "focus.test")).expect("the answer");
    assert_eq!(
        iq.error().map(|error| error.condition.to_owned()).as_deref(),
        Some("not-authorized")
    );
}
