//! The DTLS certificate of this process: self-signed P-256, a new one every day.
//!
//! Made here, because it needs entropy and the wall clock. A leg keeps the one it began with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::pii::Pii;
use crate::webrtc::Certificate;

/// Makes the certificate of each day.
#[derive(Debug)]
pub struct CertificateMaker {
    renew_at: Instant,
}

/// No certificate could be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no DTLS certificate could be made: {0}")]
pub struct CertificateError(String);

impl CertificateMaker {
    /// With a first one.
    pub fn new(now: Instant) -> Result<(Self, Arc<Certificate>), CertificateError> {
        Ok((Self { renew_at: now + RENEWED_EVERY }, make()?))
    }

    /// A new one when the last is a day old. Where none can be made, yesterday's goes on for an hour.
    pub fn renew(&mut self, now: Instant) -> Option<Arc<Certificate>> {
        if now < self.renew_at {
            return None;
        }
        let certificate = make().ok();
        let wait = if certificate.is_some() { RENEWED_EVERY } else { TRIED_AGAIN_AFTER };
        self.renew_at = now + wait;
        certificate
    }
}

fn make() -> Result<Arc<Certificate>, CertificateError> {
    let made = dimpl::certificate::generate_self_signed_certificate()
        .map_err(|error| CertificateError(error.to_string()))?;
    let private_key = Pii::new(made.private_key);
    Ok(Arc::new(Certificate { der: made.certificate, private_key }))
}

const RENEWED_EVERY: Duration = Duration::from_secs(24 * 3_600);
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_one_certificate_and_the_next_another() {
        let now = crate::io::now();
        let (mut maker, today) = CertificateMaker::new(now).expect("a key pair");
        assert!(maker.renew(now + RENEWED_EVERY - Duration::from_secs(1)).is_none());
        let tomorrow = maker.renew(now + RENEWED_EVERY).expect("a day went by");
        assert_ne!(today.fingerprint(), tomorrow.fingerprint());
        assert!(maker.renew(now + RENEWED_EVERY).is_none());
    }
}
