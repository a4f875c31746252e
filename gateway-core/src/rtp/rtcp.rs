//! The RTCP machine of one leg (RFC 3550 §6): a report about every 5 s, round trip and far loss from theirs.
//!
//! Its clock is monotonic: the NTP time of our reports is the wall time of the start plus what passed since.

use std::time::{Duration, Instant};

use arrayvec::ArrayString;

use super::reception::{Reception, units};
use super::sender::RtpSender;
use super::wire::WireError;
use super::wire::rtcp::{self, Report, ReportBlock, RtcpPacket, SenderFacts};
use crate::base::rng::Rng;
use crate::base::time::WallClock;

/// RTCP of one leg.
#[derive(Debug)]
pub struct RtcpMachine {
    rng: Rng,
    cname: ArrayString<24>,
    next: Option<Instant>,
    /// Middle bits of our last sender reports' NTP times, and when they left.
    sent_reports: [Option<(u32, Instant)>; 2],
    /// Of their last sender report.
    their_report: Option<(u32, Instant)>,
    round_trip: Option<Duration>,
    far_loss_percent: Option<u8>,
    left: bool,
}

/// What we say of ourselves in a report.
#[derive(Clone, Copy, Debug)]
pub struct ReportFacts<'a> {
    /// Our stream.
    pub sender: &'a RtpSender,
    /// The RTP timestamp that stands for `now`.
    pub rtp_timestamp: u32,
    /// Wall time of `now`.
    pub wall: WallClock,
    /// We leave.
    pub goodbye: bool,
}

impl RtcpMachine {
    /// A machine with a random canonical name (RFC 7022 §4.2): names of people and machines stay out of RTCP.
    pub fn new(mut rng: Rng) -> Self {
        let mut cname = ArrayString::new();
        cname.push_str(&rng.token(16));
        Self {
            rng,
            cname,
            next: None,
            sent_reports: [None; 2],
            their_report: None,
            round_trip: None,
            far_loss_percent: None,
            left: false,
        }
    }

    /// Starts the interval, at half of its length (RFC 3550 §6.2). Again: nothing.
    pub fn start(&mut self, now: Instant) {
        if self.next.is_none() {
            self.next = Some(now + self.interval() / 2);
        }
    }

    /// Whether a report is due.
    pub fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// Writes a report and sets the next; gives its length.
    pub fn write_report(
        &mut self,
        now: Instant,
        facts: ReportFacts<'_>,
        reception: &mut Reception,
        out: &mut [u8],
    ) -> usize {
        self.next = Some(now + self.interval());
        let (packets, octets) = facts.sender.sent();
        let sender = (packets > 0).then(|| {
            let ntp = facts.wall.ntp();
            self.sent_reports = [Some((middle(ntp), now)), self.sent_reports[0]];
            SenderFacts { ntp, rtp_timestamp: facts.rtp_timestamp, packets, octets }
        });
        let block = reception.report_block().map(|block| self.with_their_report(now, block));
        let report = Report {
            ssrc: facts.sender.ssrc(),
            sender,
            block,
            cname: &self.cname,
            goodbye: facts.goodbye,
        };
        rtcp::write(&report, out).unwrap_or(0)
    }

    /// A compound packet of the accepted source.
    pub fn handle(&mut self, now: Instant, bytes: &[u8], our_ssrc: u32) -> Result<(), WireError> {
        rtcp::parse(bytes, &mut |packet| match packet {
            RtcpPacket::Report { sender, blocks, .. } => {
                self.left = false;
                if let Some(sender) = sender {
                    self.their_report = Some((middle(sender.ntp), now));
                }
                for block in blocks.iter().filter(|block| block.ssrc == our_ssrc) {
                    self.hear_of_us(now, block);
                }
            }
            RtcpPacket::Bye(_) => self.left = true,
            RtcpPacket::Other => (),
        })
    }

    /// Round trip time (RFC 3550 §6.4.1).
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Loss the peer reports of what we send, in %.
    pub fn far_loss_percent(&self) -> Option<u8> {
        self.far_loss_percent
    }

    /// The peer said goodbye: not the end of the call (some say it on hold), but silence is no surprise.
    pub fn peer_left(&self) -> bool {
        self.left
    }

    fn hear_of_us(&mut self, now: Instant, block: &ReportBlock) {
        self.far_loss_percent = Some((u32::from(block.fraction_lost) * 100 / 256) as u8);
        let sent = self.sent_reports.iter().flatten();
        let ours = sent.into_iter().find(|(middle, _)| *middle == block.last_sender_report);
        if let Some((_, left)) = ours {
            let held = Duration::from_micros(u64::from(block.delay_since) * 1_000_000 / 65_536);
            // A peer that claims to have held it longer than it was away has a bad clock: no figure is better.
            if let Some(round_trip) = now.saturating_duration_since(*left).checked_sub(held) {
                self.round_trip = Some(round_trip);
            }
        }
    }

    fn with_their_report(&self, now: Instant, block: ReportBlock) -> ReportBlock {
        match self.their_report {
            Some((middle, came)) => ReportBlock {
                last_sender_report: middle,
                delay_since: units(now.saturating_duration_since(came), 65_536) as u32,
                ..block
            },
            None => block,
        }
    }

    /// 5 s, times 0.5 to 1.5 (RFC 3550 §6.3.1), so that a thousand calls do not report at once.
    fn interval(&mut self) -> Duration {
        Duration::from_millis(2_500 + u64::from(self.rng.below(5_000)))
    }
}

/// The middle 32 bits of an NTP time.
fn middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wall(start: Instant, now: Instant) -> WallClock {
        WallClock { unix: Duration::from_secs(1_800_000_000) + (now - start) }
    }

    /// One side reports, the other answers: what each then knows.
    #[test]
    fn two_machines_measure_their_round_trip_and_loss() {
        let start = Instant::now();
        let mut here = RtcpMachine::new(Rng::from_number(1));
        let mut there = RtcpMachine::new(Rng::from_number(2));
        let (mut sender, timestamp) = RtpSender::new(&mut Rng::from_number(3));
        let (other, _) = RtpSender::new(&mut Rng::from_number(4));
        let mut heard = Reception::default();
        let mut bytes = [0; 256];
        for number in 0..100 {
            let length = sender.write(0, false, timestamp + number * 160, &[0; 160], &mut bytes);
            let (header, _) = crate::rtp::wire::header::parse(&bytes[..length]).unwrap();
            if number % 4 != 1 {
                heard.receive(&header);
            }
        }
        let facts = |sender, now| ReportFacts {
            sender,
            rtp_timestamp: 0,
            wall: wall(start, now),
            goodbye: false,
        };
        let length =
            here.write_report(start, facts(&sender, start), &mut Reception::default(), &mut bytes);
        let there_at = start + Duration::from_millis(30);
        there.handle(there_at, &bytes[..length], other.ssrc()).unwrap();
        let reply_at = there_at + Duration::from_millis(1_500);
        let length = there.write_report(reply_at, facts(&other, reply_at), &mut heard, &mut bytes);
        let back_at = reply_at + Duration::from_millis(45);
        here.handle(back_at, &bytes[..length], sender.ssrc()).unwrap();
        let round_trip = here.round_trip().unwrap().as_micros();
        assert!((74_900..=75_100).contains(&round_trip), "{round_trip} us");
        assert_eq!(here.far_loss_percent(), Some(25));
    }

    #[test]
    fn reports_come_about_every_five_seconds_and_never_together() {
        let start = Instant::now();
        let (sender, _) = RtpSender::new(&mut Rng::from_number(3));
        let mut machine = RtcpMachine::new(Rng::from_number(9));
        machine.start(start);
        let (mut times, mut bytes) = (Vec::new(), [0; 256]);
        for tick in 0..(300 * 200_u64) {
            let now = start + Duration::from_millis(tick * 5);
            if machine.is_due(now) {
                let facts = ReportFacts {
                    sender: &sender,
                    rtp_timestamp: 0,
                    wall: wall(start, now),
                    goodbye: false,
                };
                machine.write_report(now, facts, &mut Reception::default(), &mut bytes);
                times.push(now - start);
            }
        }
        assert!((45..=80).contains(&times.len()), "{} reports in 300 s", times.len());
        let gaps: std::collections::BTreeSet<_> =
            times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.len() > 10, "always the same interval: {gaps:?}");
    }
}
