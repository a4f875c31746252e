//! RTCP (RFC 3550 §6): reports and goodbyes. Reading covers `rtcp-types`; writing is ours, because its builders
//! allocate and a report leaves from the media thread. Everything but SR, RR and BYE is skipped by its length.

use arrayvec::ArrayVec;
use rtcp_types::{Bye, ReceiverReport, RtcpPacketParser, SenderReport};

use super::WireError;

/// What one receiver says of one source (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source it is about.
    pub ssrc: u32,
    /// Loss since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Loss since the start; 24 bits, signed (duplicates can make it negative).
    pub cumulative_lost: i32,
    /// Cycles and highest sequence number.
    pub highest_sequence: u32,
    /// Interarrival jitter, in timestamp units.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP time; 0: none came.
    pub last_sender_report: u32,
    /// Since then, in 1/65,536 s.
    pub delay_since: u32,
}

/// What a sender says of itself (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderFacts {
    /// NTP time of this report.
    pub ntp: u64,
    /// The same instant on the RTP clock.
    pub rtp_timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub octets: u32,
}

/// One packet of a compound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RtcpPacket {
    /// SR (with facts) or RR (without).
    Report {
        /// Who reports.
        ssrc: u32,
        /// What it sent, if it sends.
        sender: Option<SenderFacts>,
        /// What it received.
        blocks: ArrayVec<ReportBlock, 31>,
    },
    /// BYE of the first source it names.
    Bye(Option<u32>),
    /// Anything else.
    Other,
}

/// Calls `see` for each packet of a compound. Stops at the first that is malformed; those before it were seen.
pub fn parse(bytes: &[u8], see: &mut dyn FnMut(RtcpPacket)) -> Result<(), WireError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (packet, after) = split_first(rest).ok_or(WireError::MalformedRtcp)?;
        see(parse_one(packet).ok_or(WireError::MalformedRtcp)?);
        rest = after;
    }
    Ok(())
}

/// Cuts the first packet off by its length field.
fn split_first(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let [first, _, high, low, ..] = bytes else { return None };
    if first >> 6 != 2 {
        return None;
    }
    let length = (usize::from(u16::from_be_bytes([*high, *low])) + 1) * 4;
    bytes.split_at_checked(length)
}

fn parse_one(packet: &[u8]) -> Option<RtcpPacket> {
    match *packet.get(1)? {
        TYPE_SENDER_REPORT => {
            let report = SenderReport::parse(packet).ok()?;
            let sender = SenderFacts {
                ntp: report.ntp_timestamp(),
                rtp_timestamp: report.rtp_timestamp(),
                packets: report.packet_count(),
                octets: report.octet_count(),
            };
            let blocks = report.report_blocks().map(|block| block_value(&block)).take(31).collect();
            Some(RtcpPacket::Report { ssrc: report.ssrc(), sender: Some(sender), blocks })
        }
        TYPE_RECEIVER_REPORT => {
            let report = ReceiverReport::parse(packet).ok()?;
            let blocks = report.report_blocks().map(|block| block_value(&block)).take(31).collect();
            Some(RtcpPacket::Report { ssrc: report.ssrc(), sender: None, blocks })
        }
        TYPE_BYE => Some(RtcpPacket::Bye(Bye::parse(packet).ok()?.ssrcs().next())),
        _ => Some(RtcpPacket::Other),
    }
}

fn block_value(block: &rtcp_types::ReportBlock<'_>) -> ReportBlock {
    ReportBlock {
        ssrc: block.ssrc(),
        fraction_lost: block.fraction_lost(),
        cumulative_lost: ((block.cumulative_lost() << 8) as i32) >> 8,
        highest_sequence: block.extended_sequence_number(),
        jitter: block.interarrival_jitter(),
        last_sender_report: block.last_sender_report_timestamp(),
        delay_since: block.delay_since_last_sender_report_timestamp(),
    }
}

/// A report to write: SR where `sender` is given, else RR; then SDES with the CNAME; then BYE where `goodbye`.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Our SSRC.
    pub ssrc: u32,
    /// What we sent.
    pub sender: Option<SenderFacts>,
    /// What we received.
    pub block: Option<ReportBlock>,
    /// Our canonical name, at most 255 bytes.
    pub cname: &'a str,
    /// We leave.
    pub goodbye: bool,
}

/// Writes a compound packet; gives its length, or `None` where `out` is too short.
pub fn write(report: &Report<'_>, out: &mut [u8]) -> Option<usize> {
    let mut writer = Writer { out, length: 0 };
    write_report(report, &mut writer)?;
    write_cname(report, &mut writer)?;
    if report.goodbye {
        writer.header(1, TYPE_BYE, 1)?;
        writer.u32(report.ssrc)?;
    }
    Some(writer.length)
}

fn write_report(report: &Report<'_>, writer: &mut Writer<'_>) -> Option<()> {
    let blocks = u8::from(report.block.is_some());
    match report.sender {
        Some(sender) => {
            writer.header(blocks, TYPE_SENDER_REPORT, 6 + 6 * u16::from(blocks))?;
            writer.u32(report.ssrc)?;
            writer.u32((sender.ntp >> 32) as u32)?;
            writer.u32(sender.ntp as u32)?;
            writer.u32(sender.rtp_timestamp)?;
            writer.u32(sender.packets)?;
            writer.u32(sender.octets)?;
        }
        None => {
            writer.header(blocks, TYPE_RECEIVER_REPORT, 1 + 6 * u16::from(blocks))?;
            writer.u32(report.ssrc)?;
        }
    }
    if let Some(block) = report.block {
        writer.u32(block.ssrc)?;
        let lost = block.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        writer.u32(u32::from(block.fraction_lost) << 24 | lost)?;
        writer.u32(block.highest_sequence)?;
        writer.u32(block.jitter)?;
        writer.u32(block.last_sender_report)?;
        writer.u32(block.delay_since)?;
    }
    Some(())
}

fn write_cname(report: &Report<'_>, writer: &mut Writer<'_>) -> Option<()> {
    let name = report.cname.as_bytes().get(..report.cname.len().min(255))?;
    // SSRC, item type and length, the name, at least one zero byte, up to a multiple of four.
    let words = (4 + 2 + name.len() + 1).div_ceil(4);
    writer.header(1, TYPE_SOURCE_DESCRIPTION, words as u16)?;
    writer.u32(report.ssrc)?;
    writer.bytes(&[ITEM_CNAME, name.len() as u8])?;
    writer.bytes(name)?;
    let padding = words * 4 - 6 - name.len();
    writer.bytes(&[0; 4][..padding])
}

struct Writer<'a> {
    out: &'a mut [u8],
    length: usize,
}

impl Writer<'_> {
    fn header(&mut self, count: u8, packet_type: u8, words: u16) -> Option<()> {
        let [high, low] = words.to_be_bytes();
        self.bytes(&[0x80 | count, packet_type, high, low])
    }

    fn u32(&mut self, value: u32) -> Option<()> {
        self.bytes(&value.to_be_bytes())
    }

    fn bytes(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.length + bytes.len();
        self.out.get_mut(self.length..end)?.copy_from_slice(bytes);
        self.length = end;
        Some(())
    }
}

const TYPE_SENDER_REPORT: u8 = 200;
const TYPE_RECEIVER_REPORT: u8 = 201;
const TYPE_SOURCE_DESCRIPTION: u8 = 202;
const TYPE_BYE: u8 = 203;
const ITEM_CNAME: u8 = 1;
