//! The pack: all clips of one language, or all sounds, as Opus packets in one file, `prompts/packs/*.wbp`.
//!
//! Written by `prompts/render`, compiled into the gateway, read here. Numbers are little endian; a *short text* is a
//! `u8` length and that many bytes of UTF-8, a *long text* has a `u16` length.
//!
//! ```text
//! magic      4 bytes "WBP1"
//! checksum   u64, FNV-1a of everything after it
//! language   short text: a tag such as "pt-BR", or "sounds"
//! made with  short text: the tools and their versions
//! clips      u16, how many; for each:
//!   name       short text: PromptId or SoundId by name
//!   words      long text: what is spoken, empty for a sound
//!   skip       u16, samples at 48 kHz to throw away at the start: codec delay and lead-in
//!   length     u32, samples at 48 kHz that follow
//!   packets    u16, how many Opus packets, of 20 ms each
//!   bytes      u32, how many bytes these take
//! data       the packets of all clips in order: u16 length and that many bytes
//! ```
//!
//! A pack is judged whole when it is opened (bounds, checksum, shape of each packet), so that decoding cannot fail.

use crate::media::frame::SampleRate;

/// First bytes of a pack: what it is, and which version of this format.
pub const MAGIC: [u8; 4] = *b"WBP1";

/// Samples at 48 kHz in one packet: 20 ms.
pub const PACKET_SAMPLES: u32 = 960;

/// Longest clip in a pack, in seconds; keeps a damaged file from asking for gigabytes.
const CLIP_SECONDS_MAX: u32 = 120;

/// Why a file is not a pack we can play.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The first bytes are others.
    #[error("not a prompt pack of version 1")]
    NotAPack,
    /// It ends inside something, or goes on after its end.
    #[error("the pack has the wrong length")]
    Length,
    /// Bytes changed since it was written.
    #[error("the pack is damaged: its checksum does not match")]
    Checksum,
    /// A name or phrase is not UTF-8.
    #[error("a text in the pack is not UTF-8")]
    Text,
    /// The pack was made before this clip existed.
    #[error("the pack \"{language}\" has no clip \"{name}\"; run `cargo run -p prompts-render`")]
    Missing {
        /// Language of the pack, or `sounds`.
        language: String,
        /// Name of the clip.
        name: String,
    },
    /// The samples that were promised are not in the packets, or are too many.
    #[error("clip \"{name}\": length and packets do not match")]
    Shape {
        /// Name of the clip.
        name: String,
    },
    /// A packet that libopus would not take, or of another duration than 20 ms.
    #[error("clip \"{name}\": packet {packet} is not 20 ms of Opus")]
    Packet {
        /// Name of the clip.
        name: String,
        /// Which packet, from 0.
        packet: usize,
    },
}

/// An opened pack. Borrows the file.
#[derive(Debug)]
pub struct Pack<'a> {
    /// Language tag, or `sounds`.
    pub language: &'a str,
    /// The tools that made it, with versions.
    pub made_with: &'a str,
    /// Its clips, in the order of the file.
    pub clips: Vec<PackedClip<'a>>,
}

/// One clip of a pack, not yet decoded.
#[derive(Clone, Copy, Debug)]
pub struct PackedClip<'a> {
    /// A `PromptId` or `SoundId` by name.
    pub name: &'a str,
    /// What is spoken; empty for a sound.
    pub words: &'a str,
    skip: u16,
    length: u32,
    packets: &'a [u8],
}

impl<'a> Pack<'a> {
    /// Opens a pack and judges all of it.
    pub fn open(file: &'a [u8]) -> Result<Self, PackError> {
        let mut reader = Reader { rest: file };
        if reader.array().ok() != Some(MAGIC) {
            return Err(PackError::NotAPack);
        }
        if u64::from_le_bytes(reader.array()?) != checksum(reader.rest) {
            return Err(PackError::Checksum);
        }
        let language = reader.short_text()?;
        let made_with = reader.short_text()?;
        let heads =
            (0..reader.u16()?).map(|_| Head::read(&mut reader)).collect::<Result<Vec<_>, _>>()?;
        let clips = heads
            .into_iter()
            .map(|head| head.with_packets(&mut reader))
            .collect::<Result<_, _>>()?;
        if !reader.rest.is_empty() {
            return Err(PackError::Length);
        }
        Ok(Self { language, made_with, clips })
    }
}

impl PackedClip<'_> {
    /// The lowest of our rates that holds its sound, by the bandwidth of its packets.
    pub fn rate(&self) -> SampleRate {
        packets(self.packets)
            .map(|packet| match opus::packet::get_bandwidth(packet) {
                Ok(opus::Bandwidth::Narrowband) => SampleRate::Hz8000,
                Ok(opus::Bandwidth::Mediumband | opus::Bandwidth::Wideband) => SampleRate::Hz16000,
                _ => SampleRate::Hz48000,
            })
            .max()
            .unwrap_or(SampleRate::Hz8000)
    }

    /// Samples it will have at `rate`.
    pub fn length(&self, rate: SampleRate) -> usize {
        at_rate(self.length, rate)
    }

    /// Decodes it. Costs about 1 ms of CPU for each second of sound, and allocates: never on the media thread.
    pub fn decode(&self, rate: SampleRate) -> Result<Vec<i16>, opus::Error> {
        let mut decoder = opus::Decoder::new(rate.hz(), opus::Channels::Mono)?;
        let wanted = at_rate(u32::from(self.skip), rate) + self.length(rate);
        let mut samples = Vec::with_capacity(wanted + rate.frame_samples());
        let mut frame = vec![0; rate.frame_samples()];
        for packet in packets(self.packets) {
            let decoded = decoder.decode(packet, &mut frame, false)?;
            samples.extend(frame.iter().take(decoded));
        }
        samples.truncate(wanted);
        samples.drain(..at_rate(u32::from(self.skip), rate));
        Ok(samples)
    }
}

/// A clip's entry before its packets are found.
struct Head<'a> {
    name: &'a str,
    words: &'a str,
    skip: u16,
    length: u32,
    packets: u16,
    bytes: u32,
}

impl<'a> Head<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, PackError> {
        Ok(Self {
            name: reader.short_text()?,
            words: reader.long_text()?,
            skip: reader.u16()?,
            length: reader.u32()?,
            packets: reader.u16()?,
            bytes: reader.u32()?,
        })
    }

    /// Takes this clip's packets from the reader and proves that they can be decoded to what the head promises.
    fn with_packets(self, reader: &mut Reader<'a>) -> Result<PackedClip<'a>, PackError> {
        let shape = || PackError::Shape { name: self.name.to_owned() };
        let samples = u64::from(self.packets) * u64::from(PACKET_SAMPLES);
        let promised = u64::from(self.skip) + u64::from(self.length);
        if promised > samples || self.length > CLIP_SECONDS_MAX * SampleRate::Hz48000.hz() {
            return Err(shape());
        }
        let bytes = reader.take(usize::try_from(self.bytes).map_err(|_| PackError::Length)?)?;
        let mut inside = Reader { rest: bytes };
        for packet in 0..usize::from(self.packets) {
            let length = inside.u16().map_err(|_| shape())?;
            let content = inside.take(usize::from(length)).map_err(|_| shape())?;
            let samples = opus::packet::get_nb_samples(content, 48_000).unwrap_or(0);
            if opus::packet::parse(content).is_err() || samples != PACKET_SAMPLES as usize {
                return Err(PackError::Packet { name: self.name.to_owned(), packet });
            }
        }
        if !inside.rest.is_empty() {
            return Err(shape());
        }
        Ok(PackedClip {
            name: self.name,
            words: self.words,
            skip: self.skip,
            length: self.length,
            packets: bytes,
        })
    }
}

/// The packets of a clip whose bytes have been judged.
fn packets(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader { rest: bytes };
    std::iter::from_fn(move || {
        let length = reader.u16().ok()?;
        reader.take(usize::from(length)).ok()
    })
}

/// FNV-1a, 64 bits: finds damage, not malice.
pub fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Samples at 48 kHz, counted at another rate.
fn at_rate(samples_48k: u32, rate: SampleRate) -> usize {
    samples_48k as usize * rate.samples(1) / SampleRate::Hz48000.samples(1)
}

/// Takes values from the front of what is left.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], PackError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(PackError::Length)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PackError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(PackError::Length)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, PackError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, PackError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn short_text(&mut self) -> Result<&'a str, PackError> {
        let [length] = self.array()?;
        str::from_utf8(self.take(usize::from(length))?).map_err(|_| PackError::Text)
    }

    fn long_text(&mut self) -> Result<&'a str, PackError> {
        let length = self.u16()?;
        str::from_utf8(self.take(usize::from(length))?).map_err(|_| PackError::Text)
    }
}
