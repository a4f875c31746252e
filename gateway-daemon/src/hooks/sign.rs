//! The signature of a request: `X-WB-Signature: t=UNIX,v1=HEX`, HEX being HMAC-SHA256 with the secret over `UNIX.BODY`.
//!
//! The moment is signed too, so that a request somebody wrote down is stale after the minutes its receiver allows.

use gateway_core::base::pii::Pii;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Its header.
pub const HEADER: &str = "X-WB-Signature";

/// The header's value for a body that leaves at `unix` seconds.
pub fn sign(secret: &Pii<String>, unix: u64, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes());
    let mut mac = mac.expect("HMAC takes keys of any length");
    mac.update(unix.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let tag = mac.finalize().into_bytes();
    let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={unix},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_others() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac sixteen-letters!
        let secret = Pii::new("sixteen-letters!".to_owned());
        let (signed, other) =
            (sign(&secret, 1_700_000_000, b"{}"), sign(&secret, 1_700_000_001, b"{}"));
        assert!(signed.starts_with("t=1700000000,v1=") && signed.len() == 16 + 64, "{signed}");
        assert_eq!(
            signed,
            "t=1700000000,v1=3e424cd54797e0279074f6ee060ce23dd5f18df32d974fd7e537d9f09a5ac229"
        );
        assert_ne!(signed.split_once("v1="), other.split_once("v1="));
    }
}
