//! Starting, refusing to start, answering handles, stopping. Only loopback, ports given by the system.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::media::clip::ClipLibrary;
use crate::sip::endpoint::EndpointConfig;
use crate::sip::trunk::{ListenerConfig, SipTransport, UnknownSource};

fn config(binds: &[(SocketAddr, SipTransport)]) -> GatewayConfig {
    let listener = |(bind, transport): &(SocketAddr, SipTransport)| ListenerConfig {
        bind: *bind,
        transport: *transport,
        accepts: true,
        advertised: None,
        advertised_media: None,
    };
    GatewayConfig {
        endpoint: EndpointConfig {
            listeners: binds.iter().map(listener).collect(),
            trunks: Vec::new(),
            unknown: UnknownSource::Drop,
            user_agent: "test".into(),
            calls_max: 10,
            retry_after: Duration::from_secs(10),
            t1: Duration::from_millis(500),
        },
        sdp: Vec::new(),
        manners: Vec::new(),
        rtp_ports: (40_000, 40_099),
        port_rest: Duration::from_secs(1),
        shards: 1,
        media_timeout: Duration::from_secs(30),
        call_length_max: Duration::from_secs(3_600),
        clips: Arc::new(ClipLibrary::default()),
        conference: Default::default(),
        browsers: Default::default(),
        backends: Vec::new(),
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[tokio::test]
async fn it_starts_answers_and_stops() {
    let binds = [(loopback(0), SipTransport::Udp), (loopback(0), SipTransport::Tcp)];
    let running = start(config(&binds), Rng::from_number(1)).expect("free ports");
    assert!(running.listeners.iter().all(|address| address.port() != 0));
    let snapshot = running.handle.snapshot().await.expect("it runs");
    assert!(snapshot.calls.is_empty() && !snapshot.draining);
    let counters = running.handle.counters().await.expect("it runs");
    assert!(counters.iter().any(|counter| counter.name == "calls_started" && counter.value == 0));
    running.handle.drained().await.expect("nothing to wait for");
    let handle = running.handle.clone();
    handle.stop().await;
    running.join();
    assert_eq!(handle.snapshot().await.map(|_| ()), Err(Stopped));
}

#[test]
fn every_taken_port_is_named_with_a_remedy() {
    let udp = std::net::UdpSocket::bind(loopback(0)).expect("a port");
    let tcp = std::net::TcpListener::bind(loopback(0)).expect("a port");
    let (udp_at, tcp_at) = (udp.local_addr().expect("bound"), tcp.local_addr().expect("bound"));
    let binds = [(udp_at, SipTransport::Udp), (tcp_at, SipTransport::Tcp)];
    let problems = match start(config(&binds), Rng::from_number(1)) {
        Ok(_) => panic!("the ports are taken"),
        Err(error) => error.problems,
    };
    let (udp_port, tcp_port) = (udp_at.port(), tcp_at.port());
    let udp_words =
        format!("port {udp_port}/udp on 127.0.0.1 is taken by another program: see which with");
    let tcp_words =
        format!("port {tcp_port}/tcp on 127.0.0.1 is taken by another program: see which with");
    assert_eq!(problems.len(), 2);
    assert!(problems[0].starts_with(&udp_words), "{}", problems[0]);
    assert!(problems[1].starts_with(&tcp_words), "{}", problems[1]);
}

#[test]
fn an_address_of_another_machine_is_said_so() {
    let binds = [("192.0.2.1:5060".parse().expect("an address"), SipTransport::Udp)];
    let error = start(config(&binds), Rng::from_number(1)).err().expect("not ours");
    assert!(error.to_string().contains("192.0.2.1 is no address of this machine"), "{error}");
}

#[tokio::test]
async fn the_wall_clock_and_sockets_run_beside_the_handles() {
    let binds = [(loopback(0), SipTransport::Udp)];
    let running = start(config(&binds), Rng::from_number(1)).expect("free ports");
    let stranger = std::net::UdpSocket::bind(loopback(0)).expect("a port");
    stranger.send_to(b"OPTIONS sip:x SIP/2.0\r\n\r\n", running.listeners[0]).expect("sent");
    let received = async {
        loop {
            let counters = running.handle.counters().await.expect("it runs");
            let count = counters.iter().find(|counter| counter.name == "sip_udp_received");
            if count.is_some_and(|counter| counter.value == 1) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), received).await.expect("it was received");
    running.handle.stop().await;
    running.join();
}
