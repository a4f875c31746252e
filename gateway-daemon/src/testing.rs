//! What tests share: folders of their own, and inputs with something wrong in them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use gateway_core::base::rng::Rng;

/// A fresh folder that is removed at the end of the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("weebee-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&path).expect("the temporary folder is writable");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One to four changes: bytes, pieces that go, come twice or come from elsewhere.
pub(crate) fn mutated(text: &str, rng: &mut Rng) -> String {
    const PIECES: [&str; 14] = [
        "null", "[]", "{}", "-1", "1e999", "\"\"", "true", "\\u0000", "\\ud800", "[[[[[[[[",
        "\"msg\":", "%", "€", "\u{0}",
    ];
    let mut bytes = text.as_bytes().to_vec();
    let below = |rng: &mut Rng, length: usize| {
        usize::try_from(rng.below(u32::try_from(length).unwrap_or(1))).unwrap_or(0)
    };
    for _ in 0..=rng.below(3) {
        let at = below(rng, bytes.len().max(1)).min(bytes.len());
        match rng.below(5) {
            0 if at < bytes.len() => bytes[at] = u8::try_from(rng.below(256)).unwrap_or(0),
            1 => bytes.truncate(at),
            2 => {
                let end = (at + below(rng, 12)).min(bytes.len());
                bytes.drain(at..end);
            }
            3 => {
                let end = (at + below(rng, 40)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let piece = PIECES[below(rng, PIECES.len())];
                bytes.splice(at..at, piece.bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
