//! Protects what we send. An index is used once, whatever order packets and SSRCs come in.

use super::cipher::Keys;
use super::window::nearest_index;
use super::{RTCP_CLEAR_BYTES, SrtpError, SrtpProfile, rtcp_ssrc, rtp_header};

/// The sending direction of one session.
pub struct SrtpSender {
    keys: Keys,
    /// Never forgotten while the keys live.
    sources: Vec<Source>,
}

/// One SSRC of ours.
struct Source {
    ssrc: u32,
    rtp_highest: Option<u64>,
    rtcp_next: u32,
}

impl SrtpSender {
    /// From a master key and salt of the profile's lengths.
    pub fn new(profile: SrtpProfile, key: &[u8], salt: &[u8]) -> Result<Self, SrtpError> {
        let keys = Keys::new(profile, key, salt)?;
        Ok(Self { keys, sources: Vec::with_capacity(SENDING_SOURCES_MAX) })
    }

    /// Protects the RTP packet in the first `length` bytes of `buffer`, which has
    /// [`super::TRAILER_BYTES_MAX`] to spare; gives the new length. On an error the packet must not be sent.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SrtpError> {
        let head = rtp_header(buffer.get(..length).ok_or(SrtpError::NoRoom)?)?;
        let source = source_of(&mut self.sources, head.ssrc)?;
        let index = match source.rtp_highest {
            None => u64::from(head.sequence),
            Some(highest) => nearest_index(highest, head.sequence)
                .filter(|index| *index > highest)
                .ok_or(SrtpError::IndexUsed)?,
        };
        // Used from here on, even if sealing fails.
        source.rtp_highest = Some(index);
        self.keys.seal_rtp(head, index, buffer, length)
    }

    /// As [`Self::protect_rtp`], for a compound RTCP packet.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SrtpError> {
        let packet = buffer.get(..length).ok_or(SrtpError::NoRoom)?;
        if packet.len() < RTCP_CLEAR_BYTES {
            return Err(SrtpError::Malformed);
        }
        let ssrc = rtcp_ssrc(packet)?;
        let source = source_of(&mut self.sources, ssrc)?;
        let index = source.rtcp_next;
        if index >= RTCP_INDEX_END {
            return Err(SrtpError::IndexUsed);
        }
        source.rtcp_next += 1;
        self.keys.seal_rtcp(ssrc, index, buffer, length)
    }
}

fn source_of(sources: &mut Vec<Source>, ssrc: u32) -> Result<&mut Source, SrtpError> {
    let place = match sources.iter().position(|source| source.ssrc == ssrc) {
        Some(place) => place,
        None if sources.len() >= SENDING_SOURCES_MAX => return Err(SrtpError::TooManySources),
        None => {
            sources.push(Source { ssrc, rtp_highest: None, rtcp_next: 0 });
            sources.len() - 1
        }
    };
    sources.get_mut(place).ok_or(SrtpError::TooManySources)
}

#[cfg(test)]
impl SrtpSender {
    pub(super) fn of_keys(keys: Keys) -> Self {
        Self { keys, sources: Vec::new() }
    }

    /// As if everything below these was sent.
    pub(super) fn begin_at(&mut self, ssrc: u32, rtp_highest: Option<u64>, rtcp_next: u32) {
        self.sources.push(Source { ssrc, rtp_highest, rtcp_next });
    }
}

/// SSRCs of ours under one key: one, and a few for changes of mind.
const SENDING_SOURCES_MAX: usize = 16;
const RTCP_INDEX_END: u32 = 1 << 31;
