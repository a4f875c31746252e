//! Accepts what others send: window, then tag, then plain text, then memory.

use super::cipher::Keys;
use super::window::{Window, nearest_index};
use super::{E_BIT, SOURCES_MAX, SrtpError, SrtpProfile, rtcp_ssrc, rtp_header};

/// The receiving direction of one session.
pub struct SrtpReceiver {
    keys: Keys,
    /// Sorted by SSRC. Only of sources that had an authentic packet.
    sources: Vec<Source>,
}

/// One SSRC of theirs.
struct Source {
    ssrc: u32,
    rtp: Option<Window>,
    rtcp: Option<Window>,
}

impl SrtpReceiver {
    /// From a master key and salt of the profile's lengths.
    pub fn new(profile: SrtpProfile, key: &[u8], salt: &[u8]) -> Result<Self, SrtpError> {
        let keys = Keys::new(profile, key, salt)?;
        Ok(Self { keys, sources: Vec::with_capacity(SOURCES_EXPECTED) })
    }

    /// Checks and decrypts an RTP packet in place; gives its length without the tag. On an error the bytes mean
    /// nothing any more.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let head = rtp_header(packet)?;
        let place = self.place(head.ssrc);
        let window = place.ok().and_then(|place| self.sources.get(place)?.rtp);
        let index = match &window {
            None => u64::from(head.sequence),
            Some(window) => nearest_index(window.highest(), head.sequence)
                .filter(|index| window.is_fresh(*index))
                .ok_or(SrtpError::Replayed)?,
        };
        let length = self.keys.open_rtp(head, index, packet)?;
        let source = self.remember(head.ssrc, place)?;
        accept(&mut source.rtp, index);
        Ok(length)
    }

    /// As [`Self::unprotect_rtp`], for a compound RTCP packet.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let ssrc = rtcp_ssrc(packet)?;
        let at = self.keys.rtcp_index_at(packet.len()).ok_or(SrtpError::Malformed)?;
        let word = packet.get(at..at + 4).and_then(|word| word.try_into().ok());
        let word = u32::from_be_bytes(word.ok_or(SrtpError::Malformed)?);
        // Not encrypted: nothing we negotiate allows it.
        if word & E_BIT == 0 {
            return Err(SrtpError::Unauthentic);
        }
        let index = word & !E_BIT;
        let place = self.place(ssrc);
        let window = place.ok().and_then(|place| self.sources.get(place)?.rtcp);
        if window.is_some_and(|window| !window.is_fresh(u64::from(index))) {
            return Err(SrtpError::Replayed);
        }
        let length = self.keys.open_rtcp(ssrc, index, packet)?;
        let source = self.remember(ssrc, place)?;
        accept(&mut source.rtcp, u64::from(index));
        Ok(length)
    }

    /// The source is gone for good, says signalling. Never guessed: forgetting a source opens it to replays.
    pub fn forget(&mut self, ssrc: u32) {
        if let Ok(place) = self.place(ssrc) {
            self.sources.remove(place);
        }
    }

    /// Sources remembered.
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    fn place(&self, ssrc: u32) -> Result<usize, usize> {
        self.sources.binary_search_by_key(&ssrc, |source| source.ssrc)
    }

    fn remember(
        &mut self,
        ssrc: u32,
        place: Result<usize, usize>,
    ) -> Result<&mut Source, SrtpError> {
        let place = match place {
            Ok(place) => place,
            Err(_) if self.sources.len() >= SOURCES_MAX => return Err(SrtpError::TooManySources),
            Err(place) => {
                self.sources.insert(place, Source { ssrc, rtp: None, rtcp: None });
                place
            }
        };
        self.sources.get_mut(place).ok_or(SrtpError::TooManySources)
    }
}

fn accept(window: &mut Option<Window>, index: u64) {
    match window {
        Some(window) => window.accept(index),
        None => *window = Some(Window::starting_at(index)),
    }
}

#[cfg(test)]
impl SrtpReceiver {
    pub(super) fn of_keys(keys: Keys) -> Self {
        Self { keys, sources: Vec::new() }
    }
}

/// Places allocated at the start.
const SOURCES_EXPECTED: usize = 64;
