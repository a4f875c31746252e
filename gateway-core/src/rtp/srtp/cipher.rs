//! The session keys of one direction, and what they do to the bytes of one packet whose index is known.

use std::hint::black_box;

use aes::Aes128;
use aes::cipher::KeyInit;
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::derive::{Label, add_keystream, derive};
use super::{E_BIT, RTCP_CLEAR_BYTES, RTCP_INDEX_BYTES, RtpHead, SrtpError, SrtpProfile};

/// Keys of one direction.
pub(super) struct Keys {
    profile: SrtpProfile,
    rtp: Cipher,
    rtcp: Cipher,
}

/// Keys of RTP or of RTCP.
enum Cipher {
    AesCm(Box<AesCm>),
    Gcm { key: LessSafeKey, salt: [u8; 12] },
}

struct AesCm {
    cipher: Aes128,
    authenticate: Hmac<Sha1>,
    salt: [u8; 14],
}

impl Drop for AesCm {
    fn drop(&mut self) {
        self.cipher = Aes128::new(&[0; 16].into());
        self.authenticate = hmac_of(&[0; AUTH_KEY_BYTES]);
        self.salt = [0; 14];
        // The writes must happen although nobody reads them.
        black_box(self);
    }
}

impl Keys {
    pub(super) fn new(profile: SrtpProfile, key: &[u8], salt: &[u8]) -> Result<Self, SrtpError> {
        if key.len() != profile.key_bytes() || salt.len() != profile.salt_bytes() {
            return Err(SrtpError::BadKey);
        }
        let rtp = [Label::RtpKey, Label::RtpAuth, Label::RtpSalt];
        let rtcp = [Label::RtcpKey, Label::RtcpAuth, Label::RtcpSalt];
        Ok(Self {
            profile,
            rtp: Cipher::new(profile, key, salt, rtp)?,
            rtcp: Cipher::new(profile, key, salt, rtcp)?,
        })
    }

    /// Protects the first `length` bytes; gives the length of the whole.
    pub(super) fn seal_rtp(
        &self,
        head: RtpHead,
        index: u64,
        packet: &mut [u8],
        length: usize,
    ) -> Result<usize, SrtpError> {
        let total = length + self.profile.rtp_tag_bytes();
        let packet = packet.get_mut(..total).ok_or(SrtpError::NoRoom)?;
        let (plain, tag) = packet.split_at_mut(length);
        match &self.rtp {
            Cipher::AesCm(keys) => {
                let (_, payload) = plain.split_at_mut(head.length);
                keys.add_keystream(head.ssrc, index, payload);
                let full = keys.tag(plain, &roc_bytes(index));
                tag.copy_from_slice(full.get(..tag.len()).ok_or(SrtpError::NoRoom)?);
            }
            Cipher::Gcm { key, salt } => {
                let (header, payload) = plain.split_at_mut(head.length);
                let nonce = rtp_nonce(salt, head.ssrc, index);
                let made = key.seal_in_place_separate_tag(nonce, Aad::from(&*header), payload);
                tag.copy_from_slice(made.map_err(|_| SrtpError::NoRoom)?.as_ref());
            }
        }
        Ok(total)
    }

    /// Checks and decrypts a whole packet; gives the length of what was protected.
    pub(super) fn open_rtp(
        &self,
        head: RtpHead,
        index: u64,
        packet: &mut [u8],
    ) -> Result<usize, SrtpError> {
        let length = packet.len().checked_sub(self.profile.rtp_tag_bytes());
        let length = length.filter(|length| *length >= head.length).ok_or(SrtpError::Malformed)?;
        let (body, tag) = packet.split_at_mut(length);
        match &self.rtp {
            Cipher::AesCm(keys) => {
                keys.verify(body, &roc_bytes(index), tag)?;
                let (_, payload) = body.split_at_mut(head.length);
                keys.add_keystream(head.ssrc, index, payload);
            }
            Cipher::Gcm { key, salt } => {
                let (header, payload) = body.split_at_mut(head.length);
                let nonce = rtp_nonce(salt, head.ssrc, index);
                key.open_in_place_separate_tag(nonce, Aad::from(&*header), tag, payload)
                    .map_err(|_| SrtpError::Unauthentic)?;
            }
        }
        Ok(length)
    }

    /// As [`Self::seal_rtp`], for a compound RTCP packet of at least 8 bytes.
    pub(super) fn seal_rtcp(
        &self,
        ssrc: u32,
        index: u32,
        packet: &mut [u8],
        length: usize,
    ) -> Result<usize, SrtpError> {
        let total = length + RTCP_INDEX_BYTES + self.rtcp_tag_bytes();
        let packet = packet.get_mut(..total).ok_or(SrtpError::NoRoom)?;
        let (plain, trailer) = packet.split_at_mut(length);
        let (clear, payload) = plain.split_at_mut(RTCP_CLEAR_BYTES);
        let word = (E_BIT | index).to_be_bytes();
        match &self.rtcp {
            Cipher::AesCm(keys) => {
                keys.add_keystream(ssrc, u64::from(index), payload);
                let (index_word, tag) = trailer.split_at_mut(RTCP_INDEX_BYTES);
                index_word.copy_from_slice(&word);
                let full = keys.tag(plain, &word);
                tag.copy_from_slice(full.get(..tag.len()).ok_or(SrtpError::NoRoom)?);
            }
            Cipher::Gcm { key, salt } => {
                let nonce = rtcp_nonce(salt, ssrc, index);
                let extra = rtcp_extra(clear, word)?;
                let made = key.seal_in_place_separate_tag(nonce, Aad::from(extra), payload);
                let (tag, index_word) = trailer.split_at_mut(trailer.len() - RTCP_INDEX_BYTES);
                tag.copy_from_slice(made.map_err(|_| SrtpError::NoRoom)?.as_ref());
                index_word.copy_from_slice(&word);
            }
        }
        Ok(total)
    }

    /// As [`Self::open_rtp`].
    pub(super) fn open_rtcp(
        &self,
        ssrc: u32,
        index: u32,
        packet: &mut [u8],
    ) -> Result<usize, SrtpError> {
        let length = packet.len().checked_sub(RTCP_INDEX_BYTES + self.rtcp_tag_bytes());
        let length = length.filter(|length| *length >= RTCP_CLEAR_BYTES);
        let (body, trailer) = packet.split_at_mut(length.ok_or(SrtpError::Malformed)?);
        let (clear, payload) = body.split_at_mut(RTCP_CLEAR_BYTES);
        let word = (E_BIT | index).to_be_bytes();
        match &self.rtcp {
            Cipher::AesCm(keys) => {
                let (_, tag) = trailer.split_at(RTCP_INDEX_BYTES);
                keys.verify(body, &word, tag)?;
                let (_, payload) = body.split_at_mut(RTCP_CLEAR_BYTES);
                keys.add_keystream(ssrc, u64::from(index), payload);
            }
            Cipher::Gcm { key, salt } => {
                let (tag, _) = trailer.split_at(trailer.len() - RTCP_INDEX_BYTES);
                let nonce = rtcp_nonce(salt, ssrc, index);
                let extra = rtcp_extra(clear, word)?;
                key.open_in_place_separate_tag(nonce, Aad::from(extra), tag, payload)
                    .map_err(|_| SrtpError::Unauthentic)?;
            }
        }
        Ok(body.len())
    }

    /// Where the index word of an SRTCP packet begins.
    pub(super) fn rtcp_index_at(&self, packet_bytes: usize) -> Option<usize> {
        let behind = match &self.rtcp {
            Cipher::AesCm(_) => self.rtcp_tag_bytes(),
            Cipher::Gcm { .. } => 0,
        };
        packet_bytes.checked_sub(behind + RTCP_INDEX_BYTES)
    }

    fn rtcp_tag_bytes(&self) -> usize {
        match &self.rtcp {
            Cipher::AesCm(_) => 10,
            Cipher::Gcm { .. } => 16,
        }
    }
}

impl Cipher {
    fn new(
        profile: SrtpProfile,
        master_key: &[u8],
        master_salt: &[u8],
        [key_label, auth_label, salt_label]: [Label; 3],
    ) -> Result<Self, SrtpError> {
        let mut key = [0; 32];
        let key = key.get_mut(..profile.key_bytes()).ok_or(SrtpError::BadKey)?;
        derive(master_key, master_salt, key_label, key)?;
        let made = match profile {
            SrtpProfile::AesCm128Sha1_80 | SrtpProfile::AesCm128Sha1_32 => {
                let (mut auth, mut salt) = ([0; AUTH_KEY_BYTES], [0; 14]);
                derive(master_key, master_salt, auth_label, &mut auth)?;
                derive(master_key, master_salt, salt_label, &mut salt)?;
                let cipher = Aes128::new_from_slice(key).map_err(|_| SrtpError::BadKey)?;
                let authenticate = hmac_of(&auth);
                wipe(&mut auth);
                Self::AesCm(Box::new(AesCm { cipher, authenticate, salt }))
            }
            SrtpProfile::AeadAes128Gcm | SrtpProfile::AeadAes256Gcm => {
                let mut salt = [0; 12];
                derive(master_key, master_salt, salt_label, &mut salt)?;
                Self::gcm(key, salt)?
            }
        };
        wipe(key);
        Ok(made)
    }

    fn gcm(key: &[u8], salt: [u8; 12]) -> Result<Self, SrtpError> {
        let algorithm = if key.len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
        let key = UnboundKey::new(algorithm, key).map_err(|_| SrtpError::BadKey)?;
        Ok(Self::Gcm { key: LessSafeKey::new(key), salt })
    }
}

#[cfg(test)]
impl Keys {
    /// Session keys as a test vector gives them, the same for RTP and RTCP.
    pub(super) fn of_session(profile: SrtpProfile, key: &[u8], salt: [u8; 12]) -> Self {
        let cipher = || Cipher::gcm(key, salt).expect("a vector's key has the right length");
        Self { profile, rtp: cipher(), rtcp: cipher() }
    }
}

impl AesCm {
    /// RFC 3711 §4.1.1.
    fn add_keystream(&self, ssrc: u32, index: u64, data: &mut [u8]) {
        let mut start = [0; 16];
        start[..14].copy_from_slice(&self.salt);
        let start =
            u128::from_be_bytes(start) ^ (u128::from(ssrc) << 64) ^ (u128::from(index) << 16);
        add_keystream(&self.cipher, start.to_be_bytes(), data);
    }

    fn tag(&self, bytes: &[u8], behind: &[u8; 4]) -> [u8; 20] {
        let mut hash = self.authenticate.clone();
        hash.update(bytes);
        hash.update(behind);
        hash.finalize().into_bytes().into()
    }

    /// In constant time.
    fn verify(&self, bytes: &[u8], behind: &[u8; 4], tag: &[u8]) -> Result<(), SrtpError> {
        let mut hash = self.authenticate.clone();
        hash.update(bytes);
        hash.update(behind);
        hash.verify_truncated_left(tag).map_err(|_| SrtpError::Unauthentic)
    }
}

fn hmac_of(key: &[u8; AUTH_KEY_BYTES]) -> Hmac<Sha1> {
    <Hmac<Sha1> as Mac>::new_from_slice(key).expect("an HMAC takes a key of any length")
}

/// RFC 7714 §8.1.
fn rtp_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
    nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    salted(nonce, salt)
}

/// RFC 7714 §9.1.
fn rtcp_nonce(salt: &[u8; 12], ssrc: u32, index: u32) -> Nonce {
    let mut nonce = [0; 12];
    nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
    nonce[8..].copy_from_slice(&index.to_be_bytes());
    salted(nonce, salt)
}

fn salted(mut nonce: [u8; 12], salt: &[u8; 12]) -> Nonce {
    for (byte, salt) in nonce.iter_mut().zip(salt) {
        *byte ^= salt;
    }
    Nonce::assume_unique_for_key(nonce)
}

/// RFC 7714 §9.2: the clear part of the header, then E bit and index.
fn rtcp_extra(clear: &[u8], word: [u8; 4]) -> Result<[u8; 12], SrtpError> {
    let clear: [u8; RTCP_CLEAR_BYTES] = clear.try_into().map_err(|_| SrtpError::Malformed)?;
    let mut extra = [0; 12];
    extra[..8].copy_from_slice(&clear);
    extra[8..].copy_from_slice(&word);
    Ok(extra)
}

/// The rollover counter.
fn roc_bytes(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    black_box(bytes);
}

const AUTH_KEY_BYTES: usize = 20;
