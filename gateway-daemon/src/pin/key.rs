//! The server key of the PIN hashes: 32 random bytes in a file that only we may read, made at first use.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use gateway_core::base::pii::Pii;

use super::RegistryError;

/// The key. Prints as nothing.
#[derive(Clone)]
pub struct PinKey([u8; 32]);

/// A keyed hash of digits: what stands on disk. Compared by [`Tag::matches`], which takes constant time.
#[derive(Clone, Copy, Debug)]
pub struct Tag(pub [u8; 32]);

impl Tag {
    /// Whether two hashes are equal, in constant time.
    pub fn matches(&self, other: &[u8]) -> bool {
        let difference = self.0.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
        other.len() == self.0.len() && std::hint::black_box(difference) == 0
    }
}

impl PinKey {
    /// A key of given bytes: for tests and simulation.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the key, or makes one if there is none and `may_make`.
    pub fn load(file: &Path, may_make: bool) -> Result<Self, RegistryError> {
        let broken =
            |what: String, remedy| RegistryError::Key { file: file.to_owned(), what, remedy };
        match fs::read_to_string(file) {
            Ok(text) => {
                warn_if_readable_by_others(file);
                parse(text.trim()).map(Self).ok_or_else(|| {
                    broken(
                        "is not a key (64 hexadecimal digits)".to_owned(),
                        "restore it from its backup",
                    )
                })
            }
            Err(error) if error.kind() == ErrorKind::NotFound && may_make => {
                make(file).map_err(|error| {
                    broken(
                        format!("cannot be made: {error}"),
                        "check the folder, its owner and space",
                    )
                })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Err(broken(
                "is missing, but the registry has PINs hashed with it".to_owned(),
                "restore it from its backup, or delete the registry to start anew",
            )),
            Err(error) => {
                Err(broken(format!("cannot be read: {error}"), "check its owner and permissions"))
            }
        }
    }

    /// The keyed hash of `text` for `purpose`. Purposes keep hashes of PINs and numbers apart.
    pub fn tag(&self, purpose: &str, text: &str) -> Tag {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        Tag(mac.finalize().into_bytes().into())
    }

    /// Digits as they may be told again by whoever has the key: masked with a second hash of their own tag, so that no
    /// mask serves two PINs. Who has key and database could try out all digits against the tag anyway.
    pub fn seal(&self, tag: &Tag, digits: &Pii<String>) -> Vec<u8> {
        self.masked(&tag.0, digits.reveal().as_bytes())
    }

    /// The digits of [`PinKey::seal`], if they are those of the tag.
    pub fn unseal(&self, purpose: &str, tag: &[u8], sealed: &[u8]) -> Option<Pii<String>> {
        let digits = Pii::new(String::from_utf8(self.masked(tag, sealed)).ok()?);
        self.tag(purpose, digits.reveal()).matches(tag).then_some(digits)
    }

    fn masked(&self, tag: &[u8], bytes: &[u8]) -> Vec<u8> {
        let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        let mask = self.tag("seal", &hex).0;
        bytes.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect()
    }

    /// The first 64 bits of a keyed hash, as text for records.
    pub fn short_tag(&self, purpose: &str, text: &str) -> String {
        self.tag(purpose, text).0.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl std::fmt::Debug for PinKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PinKey(***)")
    }
}

/// Makes a key, or reads the one that another process made meanwhile: it stands there whole or not at all.
fn make(file: &Path) -> std::io::Result<PinKey> {
    let bytes = entropy()?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut draft = file.as_os_str().to_owned();
    draft.push(format!(".{}", hex(&entropy()?[..8])));
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let written = writeln!(out, "{}", hex(&bytes)).and_then(|()| out.sync_all());
    let placed = written.and_then(|()| fs::hard_link(&draft, file));
    let _ = fs::remove_file(&draft);
    match placed {
        Ok(()) => Ok(PinKey(bytes)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let text = fs::read_to_string(file)?;
            parse(text.trim()).map(PinKey).ok_or(error)
        }
        Err(error) => Err(error),
    }
}

/// 32 bytes from the operating system.
pub fn entropy() -> std::io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .map(|sign| sign.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        digits.chunks(2).filter_map(|pair| Some(pair.first()? << 4 | pair.get(1)?)).collect();
    bytes.try_into().ok()
}

fn warn_if_readable_by_others(file: &Path) {
    let mode = fs::metadata(file).map_or(0, |facts| facts.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(file = %file.display(), "others may read the PIN key: chmod 600");
    }
}
