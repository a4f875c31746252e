//! Session keys from a master key (RFC 3711 §4.3, RFC 6188, RFC 7714 §11), once per session: the key derivation rate is 0.

use aes::cipher::{Block, BlockCipherEncrypt, BlockSizeUser, KeyInit};
use aes::{Aes128, Aes256};

use super::SrtpError;

/// What a derived key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    RtpKey = 0,
    RtpAuth = 1,
    RtpSalt = 2,
    RtcpKey = 3,
    RtcpAuth = 4,
    RtcpSalt = 5,
}

/// Fills `out` with the derived key of `label`. The key is 16 or 32 bytes, the salt at most 14.
pub(super) fn derive(
    master_key: &[u8],
    master_salt: &[u8],
    label: Label,
    out: &mut [u8],
) -> Result<(), SrtpError> {
    // A salt of 96 bits (RFC 7714) is one of 112 bits whose last 16 are zero.
    let mut start = [0; 16];
    start
        .get_mut(..master_salt.len().min(14))
        .ok_or(SrtpError::BadKey)?
        .copy_from_slice(master_salt.get(..master_salt.len().min(14)).ok_or(SrtpError::BadKey)?);
    start[7] ^= label as u8;
    out.fill(0);
    match master_key.len() {
        16 => {
            let cipher = Aes128::new_from_slice(master_key).map_err(|_| SrtpError::BadKey)?;
            add_keystream(&cipher, start, out);
        }
        32 => {
            let cipher = Aes256::new_from_slice(master_key).map_err(|_| SrtpError::BadKey)?;
            add_keystream(&cipher, start, out);
        }
        _ => return Err(SrtpError::BadKey),
    }
    Ok(())
}

/// AES in counter mode (RFC 3711 §4.1.1): XORs `data` with the keystream that begins at `start`.
pub(super) fn add_keystream<C>(cipher: &C, start: [u8; 16], data: &mut [u8])
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = aes::cipher::consts::U16>,
{
    let mut counter = u128::from_be_bytes(start);
    for chunk in data.chunks_mut(16 * BLOCKS_AT_ONCE) {
        let mut blocks = [Block::<C>::default(); BLOCKS_AT_ONCE];
        let wanted = &mut blocks[..chunk.len().div_ceil(16)];
        for block in wanted.iter_mut() {
            *block = counter.to_be_bytes().into();
            counter = counter.wrapping_add(1);
        }
        cipher.encrypt_blocks(wanted);
        for (bytes, block) in chunk.chunks_mut(16).zip(wanted.iter()) {
            for (byte, key) in bytes.iter_mut().zip(block.iter()) {
                *byte ^= key;
            }
        }
    }
}

/// The hardware works on eight blocks side by side.
const BLOCKS_AT_ONCE: usize = 8;
