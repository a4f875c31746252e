//! Binding the SIP listeners, with errors in words: what is wrong, where, and what to do.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::sip::trunk::{ListenerConfig, SipTransport};

/// Receive buffer asked for: a burst of 2,500 INVITEs of 1.5 KB. The kernel gives at most `net.core.rmem_max`.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// DSCP CS3 (24), the class of call signalling (RFC 4594 §4.2), in the upper six bits.
const SIGNALLING_TOS: u32 = 24 << 2;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;

/// A bound listener.
pub enum Bound {
    /// Datagrams.
    Udp(UdpSocket),
    /// Streams, plain or for TLS.
    Tcp(TcpListener),
    /// Connections of ours alone.
    Nothing,
}

/// Binds a listener, or says in words why not.
pub fn bind(listener: &ListenerConfig) -> Result<(Bound, SocketAddr), String> {
    if !listener.accepts {
        return Ok((Bound::Nothing, listener.bind));
    }
    open(listener).map_err(|error| in_words(listener, &error))
}

fn open(listener: &ListenerConfig) -> io::Result<(Bound, SocketAddr)> {
    let address = listener.bind;
    let is_udp = listener.transport == SipTransport::Udp;
    let (kind, protocol) = match is_udp {
        true => (Type::DGRAM, Protocol::UDP),
        false => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.set_tclass_v6(SIGNALLING_TOS)?;
    } else {
        socket.set_tos_v4(SIGNALLING_TOS)?;
    }
    if is_udp {
        // Less than asked for is no reason not to start.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
        socket.bind(&address.into())?;
        let socket = UdpSocket::from(socket);
        let bound = socket.local_addr()?;
        Ok((Bound::Udp(socket), bound))
    } else {
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let socket = TcpListener::from(socket);
        let bound = socket.local_addr()?;
        Ok((Bound::Tcp(socket), bound))
    }
}

fn in_words(listener: &ListenerConfig, error: &io::Error) -> String {
    let (ip, port) = (listener.bind.ip(), listener.bind.port());
    let (transport, option) = match listener.transport {
        SipTransport::Udp => ("udp", "-lunp"),
        _ => ("tcp", "-ltnp"),
    };
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {port}/{transport} on {ip} is taken by another program: see which with \
             `ss {option} 'sport = :{port}'` and stop it, or give this listener another port"
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "{ip} is no address of this machine, so {port}/{transport} cannot listen there: \
             `ip -brief address` lists them"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "port {port}/{transport} on {ip} is reserved for privileged programs: use a port above \
             1023, or give this program CAP_NET_BIND_SERVICE"
        ),
        _ => format!("port {port}/{transport} on {ip} cannot be opened: {error}"),
    }
}
