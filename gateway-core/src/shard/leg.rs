//! One call on a shard: its trunk half, and its conference half while there is one.

use std::net::SocketAddr;
use std::time::Instant;

use crate::base::ids::{CallKey, RoomKey};
use crate::base::time::WallClock;
use crate::leg::browser::line::{self, BrowserLine};
use crate::leg::media::{
    ConferenceCommand, ConferenceMedia, FromMedia, MediaOutputs, SocketKind, Transmit,
};
use crate::leg::trunk::media::{AudioPath, Plain, TrunkMedia};
use crate::media::ingress::Ingress;
use crate::rtp::session::RtpSession;

/// The two halves of one call.
pub(super) struct Leg {
    /// Always there; taken out only together with the leg.
    pub(super) trunk: Option<Box<TrunkMedia>>,
    /// Between the socket and the trunk half, where the peer is a browser.
    pub(super) line: Option<Box<BrowserLine>>,
    pub(super) seat: Option<Seat>,
    /// Which of the four ticks of a period makes its frame.
    pub(super) phase: u8,
    /// Its work panicked: nothing of it is used again.
    pub(super) failed: bool,
    /// It waits in `Shard::ready`.
    pub(super) queued: bool,
}

/// A place in a room.
pub(super) struct Seat {
    pub(super) room: RoomKey,
    pub(super) half: Box<dyn ConferenceMedia>,
}

impl Leg {
    pub(super) fn room(&self) -> Option<RoomKey> {
        self.seat.as_ref().map(|seat| seat.room)
    }

    pub(super) fn handle_packet(
        &mut self,
        now: Instant,
        socket: SocketKind,
        from: SocketAddr,
        (bytes, room): (&[u8], &mut Plain),
        ingress: Option<&mut Ingress>,
        outputs: &mut MediaOutputs,
    ) {
        let (Some(trunk), seat) = (&mut self.trunk, &mut self.seat) else { return };
        if let SocketKind::Conference(_) = socket {
            if let (Some(seat), Some(ingress)) = (seat, ingress) {
                seat.half.handle_packet(now, socket, from, bytes, ingress);
            }
            return;
        }
        let speech = match &mut self.line {
            None => trunk
                .open(bytes, room)
                .and_then(|bytes| trunk.handle_packet(now, socket, from, bytes, outputs)),
            Some(line) => line
                .receive(now, from, bytes)
                .and_then(|bytes| trunk.handle_packet(now, socket, line::PEER, bytes, outputs)),
        };
        if let (Some(speech), Some(seat), Some(ingress)) = (speech, seat, ingress) {
            seat.half.push_uplink(now, speech, ingress);
        }
    }

    /// 5 ms went by.
    pub(super) fn tick(
        &mut self,
        now: Instant,
        wall: WallClock,
        phase: u8,
        call: CallKey,
        mut ingress: Option<&mut Ingress>,
        outputs: &mut MediaOutputs,
    ) {
        let Some(trunk) = &mut self.trunk else { return };
        if let Some(line) = &mut self.line {
            line.handle_timeout(now);
            while let Some(event) = line.poll_event() {
                outputs.push(FromMedia::Line { call, event });
            }
        }
        if let (Some(seat), Some(ingress)) = (&mut self.seat, ingress.as_deref_mut()) {
            seat.run_timers(now, call, ingress, outputs);
        }
        if phase == (self.phase + 2) % 4 {
            trunk.play_half_frame();
        }
        if phase != self.phase {
            return;
        }
        let seat = &mut self.seat;
        let wanted = match (&seat, ingress.as_deref()) {
            (Some(seat), Some(ingress)) => seat.half.heard_rate(ingress),
            _ => None,
        };
        if let (Some(rate), Some(seat), Some(ingress)) =
            (trunk.follow_rate(wanted), seat.as_mut(), ingress.as_deref_mut())
        {
            seat.half.set_rate(rate, ingress);
        }
        trunk.play_frame(
            now,
            wall,
            &mut |frame| match (seat.as_mut(), ingress.as_deref_mut()) {
                (Some(seat), Some(ingress)) => {
                    seat.half.pull(now, ingress, frame);
                    true
                }
                _ => false,
            },
            outputs,
        );
        if trunk.report_due() {
            let uplink = match (&self.seat, ingress.as_deref()) {
                (Some(seat), Some(ingress)) => seat.half.uplink_quality(ingress),
                _ => None,
            };
            outputs.offer(FromMedia::Report { call, report: trunk.report(uplink) });
        }
    }

    /// The seat is new: it joins the room's sound as the phone is now.
    pub(super) fn take_seat(&mut self, now: Instant, ingress: &mut Ingress) {
        let Some(seat) = &mut self.seat else { return };
        seat.half.attach(now, ingress);
        if let Some(trunk) = &self.trunk {
            if let Some(rate) = trunk.rate() {
                seat.half.set_rate(rate, ingress);
            }
            if trunk.is_muted() {
                seat.half.set_muted(true, ingress);
            }
        }
    }

    pub(super) fn configure(
        &mut self,
        now: Instant,
        path: Box<AudioPath>,
        session: Box<RtpSession>,
        ingress: Option<&mut Ingress>,
        outputs: &mut MediaOutputs,
    ) {
        let Some(trunk) = &mut self.trunk else { return };
        let (before, after) = (trunk.rate(), path.rate());
        trunk.configure(now, path, session, outputs);
        if let (Some(seat), Some(ingress)) = (&mut self.seat, ingress)
            && before != Some(after)
        {
            seat.half.set_rate(after, ingress);
        }
    }

    pub(super) fn set_muted(&mut self, muted: bool, ingress: Option<&mut Ingress>) {
        if let Some(trunk) = &mut self.trunk {
            trunk.set_muted(muted);
        }
        if let (Some(seat), Some(ingress)) = (&mut self.seat, ingress) {
            seat.half.set_muted(muted, ingress);
        }
    }

    pub(super) fn skip_frames(&mut self, frames: u32) {
        if let Some(trunk) = &mut self.trunk {
            trunk.skip_frames(frames);
        }
    }

    pub(super) fn command_conference(
        &mut self,
        now: Instant,
        command: ConferenceCommand,
        ingress: Option<&mut Ingress>,
    ) {
        if let (Some(seat), Some(ingress)) = (&mut self.seat, ingress) {
            seat.half.command(now, command, ingress);
        }
    }

    pub(super) fn has_output(&self) -> bool {
        self.trunk.as_ref().is_some_and(|trunk| trunk.has_output())
            || self.line.as_ref().is_some_and(|line| line.has_output())
            || self.seat.as_ref().is_some_and(|seat| seat.half.has_output())
    }

    pub(super) fn poll_transmit(&mut self, buffer: &mut [u8]) -> Option<Transmit> {
        let trunk = self.trunk.as_mut()?;
        let front = match &mut self.line {
            None => trunk.poll_transmit(buffer),
            Some(line) => {
                protect(trunk, line);
                line.poll_transmit(buffer)
            }
        };
        front.or_else(|| self.seat.as_mut()?.half.poll_transmit(buffer))
    }
}

/// What the trunk half wants to send goes into the line.
pub(super) fn protect(trunk: &mut TrunkMedia, line: &mut BrowserLine) {
    while let Some(Transmit { length, .. }) = trunk.poll_transmit(line.room()) {
        line.send(length);
    }
}

impl Seat {
    fn run_timers(
        &mut self,
        now: Instant,
        call: CallKey,
        ingress: &mut Ingress,
        outputs: &mut MediaOutputs,
    ) {
        if self.half.poll_timeout().is_some_and(|(due, _)| due <= now) {
            self.half.handle_timeout(now, ingress);
        }
        while let Some(event) = self.half.poll_event() {
            outputs.push(FromMedia::Conference { call, event });
        }
    }
}
