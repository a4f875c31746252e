//! SRTP of a trunk leg: between its sockets and everything else. Keys come with each negotiated session; contexts whose key
//! stays go on counting, so that a re-INVITE neither repeats an index nor forgets a replay.

use crate::base::limits::RTP_DATAGRAM_BYTES_MAX;
use crate::rtp::session::{MasterKey, SrtpKeys};
use crate::rtp::srtp::{SrtpError, SrtpReceiver, SrtpSender};
use crate::rtp::wire::{DatagramKind, datagram_kind};

/// Both directions of one leg.
pub struct Shield {
    send: (MasterKey, SrtpSender),
    receive: (MasterKey, SrtpReceiver),
}

impl Shield {
    /// From keys that signalling agreed on.
    pub fn new(keys: &SrtpKeys) -> Result<Box<Self>, SrtpError> {
        let SrtpKeys { send, receive } = keys;
        let ((key, salt), (their_key, their_salt)) = (send.parts(), receive.parts());
        let sender = SrtpSender::new(send.profile(), key, salt)?;
        let receiver = SrtpReceiver::new(receive.profile(), their_key, their_salt)?;
        Ok(Box::new(Self { send: (send.clone(), sender), receive: (receive.clone(), receiver) }))
    }

    /// Goes on where `old` was, in each direction whose key is the same.
    pub fn succeed(&mut self, old: &mut Self) {
        if self.send.0 == old.send.0 {
            std::mem::swap(&mut self.send, &mut old.send);
        }
        if self.receive.0 == old.receive.0 {
            std::mem::swap(&mut self.receive, &mut old.receive);
        }
    }

    /// Protects what is in the first `length` bytes; gives the length of the whole.
    pub fn seal(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SrtpError> {
        match datagram_kind(buffer.get(..length).unwrap_or_default()) {
            DatagramKind::Rtcp => self.send.1.protect_rtcp(buffer, length),
            _ => self.send.1.protect_rtp(buffer, length),
        }
    }

    /// Checks and decrypts a packet into `room`; gives its length.
    pub fn open(&mut self, packet: &[u8], room: &mut Plain) -> Result<usize, SrtpError> {
        let room = room.get_mut(..packet.len()).ok_or(SrtpError::Malformed)?;
        room.copy_from_slice(packet);
        match datagram_kind(packet) {
            DatagramKind::Rtp => self.receive.1.unprotect_rtp(room),
            DatagramKind::Rtcp => self.receive.1.unprotect_rtcp(room),
            DatagramKind::Other => Err(SrtpError::Malformed),
        }
    }
}

impl std::fmt::Debug for Shield {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Shield({:?}, {:?})", self.send.0, self.receive.0)
    }
}

/// Where a packet is decrypted: one for all legs of a shard.
pub type Plain = [u8; RTP_DATAGRAM_BYTES_MAX];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::session::SrtpProfile;

    fn key(byte: u8) -> MasterKey {
        MasterKey::new(SrtpProfile::AesCm128Sha1_80, &[byte; 30]).expect("30 bytes")
    }

    fn pair() -> (Box<Shield>, Box<Shield>) {
        let (a, b) = (key(1), key(2));
        let ours = SrtpKeys { send: a.clone(), receive: b.clone() };
        let theirs = SrtpKeys { send: b, receive: a };
        (Shield::new(&ours).expect("good keys"), Shield::new(&theirs).expect("good keys"))
    }

    /// An RTP packet with this number, protected.
    fn sealed(shield: &mut Shield, number: u16) -> Vec<u8> {
        let mut packet = [0; 200];
        packet[..12].copy_from_slice(&[0x80, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        packet[2..4].copy_from_slice(&number.to_be_bytes());
        packet[12..172].fill(0xd5);
        let length = shield.seal(&mut packet, 172).expect("room for the tag");
        packet[..length].to_vec()
    }

    #[test]
    fn what_one_seals_the_other_opens_and_nobody_else_can() {
        let (mut ours, mut theirs) = pair();
        let packet = sealed(&mut ours, 65_535);
        assert!(packet.len() == 182 && packet[12..172].iter().any(|byte| *byte != 0xd5));
        let mut room = [0; RTP_DATAGRAM_BYTES_MAX];
        assert_eq!(theirs.open(&packet, &mut room), Ok(172));
        assert_eq!(room[12..172], [0xd5; 160]);
        assert_eq!(theirs.open(&packet, &mut room), Err(SrtpError::Replayed));
        assert_eq!(ours.open(&packet, &mut room), Err(SrtpError::Unauthentic), "another key");
        let after = sealed(&mut ours, 0);
        assert_eq!(theirs.open(&after, &mut room), Ok(172), "the rollover is counted");
        assert_eq!(theirs.open(&[0x80; 40], &mut room), Err(SrtpError::Unauthentic));
        assert_eq!(theirs.open(&[0x80; 3_000], &mut room), Err(SrtpError::Malformed));
    }

    #[test]
    fn a_session_with_the_same_keys_goes_on_counting() {
        let (mut ours, mut theirs) = pair();
        let mut room = [0; RTP_DATAGRAM_BYTES_MAX];
        let first = sealed(&mut ours, 65_535);
        let second = sealed(&mut ours, 0);
        theirs.open(&first, &mut room).expect("authentic");
        let (_, mut renewed) = pair();
        renewed.succeed(&mut theirs);
        assert_eq!(renewed.open(&first, &mut room), Err(SrtpError::Replayed));
        assert_eq!(renewed.open(&second, &mut room), Ok(172), "in the second round of numbers");
        let other = SrtpKeys { send: key(2), receive: key(9) };
        let mut other = Shield::new(&other).expect("good keys");
        other.succeed(&mut renewed);
        assert_eq!(other.open(&sealed(&mut ours, 1), &mut room), Err(SrtpError::Unauthentic));
    }
}
