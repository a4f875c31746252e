//! RTP header extensions of one byte (RFC 8285 §4.2), and the audio level in them (RFC 6464).

/// What a sender says of a packet's loudness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevel {
    /// In -dBov: 0 is loudest, 127 is silence.
    pub level: u8,
    /// The sender believes that it is speech.
    pub voice: bool,
}

/// Bytes of an extension with nothing but a level: header, element, padding.
pub const LEVEL_EXTENSION_BYTES: usize = 8;

/// An extension that holds the level as element `id` (1 to 14).
pub fn write_level(id: u8, level: AudioLevel) -> [u8; LEVEL_EXTENSION_BYTES] {
    let value = u8::from(level.voice) << 7 | level.level.min(127);
    [0xbe, 0xde, 0, 1, id << 4, value, 0, 0]
}

/// The level in element `id` of a whole RTP packet, if it has one.
pub fn read_level(packet: &[u8], id: u8) -> Option<AudioLevel> {
    let first = *packet.first()?;
    if first & 0x10 == 0 {
        return None;
    }
    let start = 12 + 4 * usize::from(first & 0x0f);
    let [0xbe, 0xde, high, low] = *packet.get(start..start + 4)? else { return None };
    let length = 4 * usize::from(u16::from_be_bytes([high, low]));
    let mut elements = packet.get(start + 4..start + 4 + length)?;
    while let Some((head, rest)) = elements.split_first() {
        if *head == 0 {
            elements = rest;
            continue;
        }
        let (found, bytes) = (head >> 4, usize::from(head & 0x0f) + 1);
        // RFC 8285 §4.2: 15 ends the list.
        if found == 15 {
            return None;
        }
        let (value, after) = rest.split_at_checked(bytes)?;
        if found == id {
            let value = *value.first()?;
            return Some(AudioLevel { level: value & 0x7f, voice: value & 0x80 != 0 });
        }
        elements = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(extension: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x90, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        packet.extend(extension);
        packet.extend([7; 20]);
        packet
    }

    #[test]
    fn a_level_is_read_as_it_was_written() {
        for level in [AudioLevel { level: 0, voice: true }, AudioLevel { level: 127, voice: false }]
        {
            let bytes = packet(&write_level(1, level));
            assert_eq!(read_level(&bytes, 1), Some(level));
            assert_eq!(read_level(&bytes, 2), None);
        }
    }

    #[test]
    fn it_is_found_behind_other_elements_and_padding() {
        let bytes = packet(&[0xbe, 0xde, 0, 2, 0x32, 9, 9, 9, 0, 0x10, 0x85, 0]);
        assert_eq!(read_level(&bytes, 1), Some(AudioLevel { level: 5, voice: true }));
    }

    #[test]
    fn nonsense_has_no_level() {
        for extension in [
            &[0xbe, 0xde, 0, 200][..],
            &[0xbe, 0xde, 0, 1, 0xf0, 1, 0x10, 5],
            &[0xbe, 0xde, 0, 1, 0x2f, 1, 0x10, 5],
            &[0x10, 0x00, 0, 1, 1, 1, 5, 0],
            &[],
        ] {
            let mut bytes = packet(extension);
            bytes.truncate(12 + extension.len());
            assert_eq!(read_level(&bytes, 1), None, "{extension:?}");
        }
        assert_eq!(read_level(&[], 1), None);
    }
}
