//! The way between phones and the gateway: links that lose and delay, addresses behind NAT, who a datagram is for.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gateway_core::base::ids::{CallKey, ListenerId};
use gateway_core::gateway::Input;
use gateway_core::leg::media::SocketKind;
use gateway_core::sip::endpoint::TransportInput;

use super::{World, settings};
use crate::link::Link;
use crate::phone::text::Message;
use crate::phone::{Phone, PhoneOutput, Stage};

/// A phone, its links and the address it is seen at.
pub(super) struct Seat {
    pub(super) phone: Phone,
    pub(super) up: Link,
    pub(super) down: Link,
    pub(super) public: IpAddr,
    pub(super) behind_nat: bool,
}

/// A datagram between a phone and the gateway.
pub(super) struct Packet {
    seat: usize,
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

impl World {
    pub(super) fn deliver(&mut self) {
        while let Some(entry) = self.on_the_way.first_entry() {
            if entry.key().0 > self.elapsed {
                return;
            }
            let packet = entry.remove();
            if packet.to.ip() == settings::GATEWAY.ip() {
                self.to_gateway(&packet);
            } else {
                self.to_phone(&packet);
            }
        }
    }

    fn to_gateway(&mut self, packet: &Packet) {
        let now = self.now();
        if packet.to == settings::GATEWAY {
            if let Some(message) = Message::read(&packet.bytes) {
                self.watch.sip_in(&message);
            }
            let input = TransportInput::Datagram {
                listener: ListenerId(0),
                from: packet.from,
                bytes: &packet.bytes,
            };
            self.gateway.handle_input(now, Input::Sip(input));
        } else if let Some((call, kind)) = self.socket(packet.to) {
            self.shard.handle_packet(now, call, kind, packet.from, &packet.bytes);
        }
        self.settle();
    }

    /// The call whose RTP port this is, or the one below it.
    fn socket(&self, local: SocketAddr) -> Option<(CallKey, SocketKind)> {
        let rtp = SocketAddr::new(local.ip(), local.port() & !1);
        let kind = if rtp == local { SocketKind::TrunkRtp } else { SocketKind::TrunkRtcp };
        self.sockets.get(&rtp).map(|call| (*call, kind))
    }

    fn to_phone(&mut self, packet: &Packet) {
        let elapsed = self.elapsed;
        let seat = &mut self.phones[packet.seat];
        match seat.inner_port(packet.to.port()) {
            PHONE_SIP_PORT => seat.phone.on_sip(elapsed, &packet.bytes),
            port if port % 2 == 0 => seat.phone.on_rtp(elapsed, &packet.bytes),
            _ => {}
        }
        self.drain_phone(packet.seat);
    }

    pub(super) fn drain_phone(&mut self, index: usize) {
        let name = format!("phone{index}");
        while let Some(output) = self.phones[index].phone.poll_output() {
            match output {
                PhoneOutput::Note(text) => self.ladder.note(self.elapsed, &name, &text),
                PhoneOutput::Sip(bytes) => {
                    let from = self.phones[index].outer(PHONE_SIP_PORT);
                    let what = summary(&bytes);
                    let lost = self.send_up(index, from, settings::GATEWAY, bytes);
                    self.ladder.message(self.elapsed, &name, "gateway", &what, lost);
                }
                PhoneOutput::Rtp { from_port, to, bytes } => {
                    let from = self.phones[index].outer(from_port);
                    self.send_up(index, from, to, bytes);
                }
            }
        }
    }

    fn send_up(&mut self, seat: usize, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) -> bool {
        let fate = self.phones[seat].up.carry();
        self.carry(fate, Packet { seat, from, to, bytes })
    }

    /// From the gateway to whoever has this address. False: nobody has, or the link lost it.
    fn send_down(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) -> bool {
        self.write_down("down", &[to.to_string().as_bytes(), &bytes]);
        let Some(seat) = self.phones.iter().position(|seat| seat.public == to.ip()) else {
            return true;
        };
        let fate = self.phones[seat].down.carry();
        self.carry(fate, Packet { seat, from, to, bytes })
    }

    fn carry(&mut self, fate: Vec<Duration>, packet: Packet) -> bool {
        self.write_down("packet", &[&packet.bytes]);
        let lost = fate.is_empty();
        for delay in fate {
            self.serial += 1;
            let Packet { seat, from, to, ref bytes } = packet;
            let copy = Packet { seat, from, to, bytes: bytes.clone() };
            self.on_the_way.insert((self.elapsed + delay, self.serial), copy);
        }
        lost
    }

    pub(super) fn on_sip_out(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        if let Some(message) = Message::read(&bytes) {
            self.watch.sip_out(&message);
        }
        let what = summary(&bytes);
        let name = match self.phones.iter().position(|seat| seat.public == to.ip()) {
            Some(index) => format!("phone{index}"),
            None => "nobody".to_owned(),
        };
        let lost = self.send_down(settings::GATEWAY, to, bytes);
        self.ladder.message(self.elapsed, "gateway", &name, &what, lost);
    }

    pub(super) fn on_media(
        &mut self,
        call: CallKey,
        socket: SocketKind,
        to: SocketAddr,
        bytes: Vec<u8>,
    ) {
        if let SocketKind::Conference(socket) = socket {
            return self.conference_media(call, socket, to, bytes);
        }
        let local = self.sockets.iter().find(|(_, owner)| **owner == call).map(|(local, _)| *local);
        let Some(mut local) = local else {
            return self.watch.fault(format!("{call} sends {socket:?} without a socket"));
        };
        if to.ip().is_unspecified() || to.port() == 0 {
            return self.watch.fault(format!("{call} sends {socket:?} to {to}"));
        }
        match socket {
            SocketKind::TrunkRtp => {
                let phones: Vec<&Phone> = self.phones.iter().map(|seat| &seat.phone).collect();
                self.watch.rtp_out(self.elapsed, call, &bytes, &phones);
            }
            _ => local.set_port(local.port() + 1),
        }
        self.send_down(local, to, bytes);
    }
}

impl Seat {
    pub(super) fn is_quiet(&self) -> bool {
        self.phone.stage() == Stage::Gone || self.phone.is_dead()
    }

    /// The address a port of the phone is seen at.
    fn outer(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.public, if self.behind_nat { port + NAT_SHIFT } else { port })
    }

    /// The phone's port behind one of its public ports.
    fn inner_port(&self, port: u16) -> u16 {
        if self.behind_nat { port.wrapping_sub(NAT_SHIFT) } else { port }
    }
}

/// `INVITE (1)` or `200 INVITE (1)`, with `sdp` where there is one.
fn summary(bytes: &[u8]) -> String {
    let Some(message) = Message::read(bytes) else { return "noise".to_owned() };
    let (method, cseq) = (message.method(), message.cseq());
    let sdp = if message.body.starts_with("v=") { " sdp" } else { "" };
    match message.status() {
        Some(status) => format!("{status} {method} ({cseq}){sdp}"),
        None => format!("{method} ({cseq}){sdp}"),
    }
}

/// Where a phone listens.
pub(super) const PHONE_SIP_PORT: u16 = 5_060;
const NAT_SHIFT: u16 = 1_000;
