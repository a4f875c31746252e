//! DTLS 1.2 of one leg (RFC 6347, RFC 5764) over `dimpl`: roles, fingerprint, keys.
//!
//! As server (`passive`, the default) it speaks 1.2. As client (`active`) it must offer 1.3 beside it, because the
//! 1.2 hello of `dimpl` 0.9 lacks the renegotiation indication that BouncyCastle wants; until the version is known
//! only hello answers pass (anything else, even the bridge's own certificate after a lost ServerHello, would be fatal).
//! Keys are given out only after the peer's certificate had one of the announced fingerprints. Every error of the
//! engine is its end.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, DtlsCertificate, NamedGroup, Output};

use super::facts::{Certificate, Fingerprint};
use super::transport::TransportFailure;
use crate::rtp::srtp::{SrtpProfile, SrtpReceiver, SrtpSender};

/// The DTLS end of one leg.
pub(super) struct DtlsEnd {
    dtls: Option<Dtls>,
    client: bool,
    started: bool,
    fingerprints: Vec<Fingerprint>,
    verified: bool,
    buffer: Box<[u8; BUFFER_BYTES]>,
    next: Option<Instant>,
}

/// What it says while it is drained.
pub(super) enum Said<'a> {
    /// To the peer.
    Packet(&'a [u8]),
    /// Media keys of both directions.
    Keys(Box<MediaKeys>),
    /// Of the bridge channel.
    Data(&'a [u8]),
    /// It is over.
    Over(TransportFailure),
}

/// SRTP of both directions, ready for use.
pub(super) struct MediaKeys {
    pub(super) profile: SrtpProfile,
    pub(super) sender: SrtpSender,
    pub(super) receiver: SrtpReceiver,
}

impl DtlsEnd {
    pub(super) fn new(
        now: Instant,
        certificate: &Certificate,
        client: bool,
        fingerprints: Vec<Fingerprint>,
    ) -> Self {
        let pair = DtlsCertificate {
            certificate: certificate.der.clone(),
            private_key: certificate.private_key.reveal().clone(),
        };
        let dtls = if client {
            let mut dtls = Dtls::new_auto(config(), pair, now);
            dtls.set_active(true);
            dtls
        } else {
            Dtls::new_12(config(), pair, now)
        };
        Self {
            dtls: Some(dtls),
            client,
            started: false,
            fingerprints,
            verified: false,
            buffer: Box::new([0; BUFFER_BYTES]),
            next: None,
        }
    }

    pub(super) fn is_client(&self) -> bool {
        self.client
    }

    /// There is a path: a client says hello.
    pub(super) fn start(&mut self, now: Instant, say: &mut dyn FnMut(Said<'_>)) {
        if !std::mem::replace(&mut self.started, true) && self.client {
            self.handle_timeout(now, say);
        }
    }

    /// A datagram of the peer.
    pub(super) fn handle(&mut self, now: Instant, bytes: &[u8], say: &mut dyn FnMut(Said<'_>)) {
        let Some(dtls) = &mut self.dtls else { return };
        if self.client && dtls.protocol_version().is_none() && !is_hello_answer(bytes) {
            return;
        }
        let done = dtls.handle_timeout(now).and_then(|()| dtls.handle_packet(bytes));
        self.drain(done.is_err(), say);
    }

    /// Due retransmissions.
    pub(super) fn handle_timeout(&mut self, now: Instant, say: &mut dyn FnMut(Said<'_>)) {
        let Some(dtls) = &mut self.dtls else { return };
        let broken = dtls.handle_timeout(now).is_err();
        self.drain(broken, say);
    }

    /// A packet of the bridge channel.
    pub(super) fn send(&mut self, bytes: &[u8], say: &mut dyn FnMut(Said<'_>)) {
        let Some(dtls) = &mut self.dtls else { return };
        let broken = dtls.send_application_data(bytes).is_err();
        self.drain(broken, say);
    }

    /// Says goodbye.
    pub(super) fn close(&mut self, say: &mut dyn FnMut(Said<'_>)) {
        let Some(dtls) = &mut self.dtls else { return };
        let broken = dtls.close().is_err();
        self.drain(broken, &mut |said| {
            if let Said::Packet(_) = said {
                say(said);
            }
        });
        self.stop();
    }

    pub(super) fn next(&self) -> Option<Instant> {
        // A client that has no path yet has nothing to repeat.
        self.next.filter(|_| self.started || !self.client)
    }

    fn stop(&mut self) {
        self.dtls = None;
        self.next = None;
    }

    /// Takes everything the engine has to say, up to its next deadline.
    fn drain(&mut self, broken: bool, say: &mut dyn FnMut(Said<'_>)) {
        let mut over = broken.then_some(TransportFailure::Dtls);
        while let (Some(dtls), None) = (&mut self.dtls, over) {
            match dtls.poll_output(self.buffer.as_mut_slice()) {
                Output::Packet(bytes) => say(Said::Packet(bytes)),
                Output::Timeout(at) => {
                    self.next = Some(at);
                    return;
                }
                Output::PeerCert(der) => {
                    self.verified = self.fingerprints.iter().any(|known| known.matches(der));
                    if !self.verified {
                        over = Some(TransportFailure::WrongFingerprint);
                    }
                }
                Output::KeyingMaterial(material, profile) if self.verified => {
                    match media_keys(&material, profile, self.client) {
                        Some(keys) => say(Said::Keys(Box::new(keys))),
                        None => over = Some(TransportFailure::Dtls),
                    }
                }
                // Without a certificate there is nobody to have keys with.
                Output::KeyingMaterial(..) | Output::BufferTooSmall { .. } => {
                    over = Some(TransportFailure::Dtls);
                }
                Output::ApplicationData(bytes) if self.verified => say(Said::Data(bytes)),
                Output::CloseNotify => over = Some(TransportFailure::ClosedByPeer),
                _ => {}
            }
        }
        if let Some(failure) = over {
            self.stop();
            say(Said::Over(failure));
        }
    }
}

/// A record of a handshake (22) that begins with ServerHello (2) or HelloVerifyRequest (3).
fn is_hello_answer(bytes: &[u8]) -> bool {
    bytes.first() == Some(&22) && matches!(bytes.get(RECORD_HEADER_BYTES), Some(2 | 3))
}

/// RFC 5764 §4.2: client key, server key, client salt, server salt.
fn media_keys(material: &[u8], profile: dimpl::SrtpProfile, client: bool) -> Option<MediaKeys> {
    let profile = match profile {
        dimpl::SrtpProfile::AES128_CM_SHA1_80 => SrtpProfile::AesCm128Sha1_80,
        dimpl::SrtpProfile::AEAD_AES_128_GCM => SrtpProfile::AeadAes128Gcm,
        dimpl::SrtpProfile::AEAD_AES_256_GCM => SrtpProfile::AeadAes256Gcm,
        _ => return None,
    };
    let (client_key, rest) = material.split_at_checked(profile.key_bytes())?;
    let (server_key, rest) = rest.split_at_checked(profile.key_bytes())?;
    let (client_salt, rest) = rest.split_at_checked(profile.salt_bytes())?;
    let (server_salt, _) = rest.split_at_checked(profile.salt_bytes())?;
    let (ours, theirs) = ((client_key, client_salt), (server_key, server_salt));
    let (ours, theirs) = if client { (ours, theirs) } else { (theirs, ours) };
    Some(MediaKeys {
        profile,
        sender: SrtpSender::new(profile, ours.0, ours.1).ok()?,
        receiver: SrtpReceiver::new(profile, theirs.0, theirs.1).ok()?,
    })
}

fn config() -> Arc<Config> {
    static CONFIG: OnceLock<Arc<Config>> = OnceLock::new();
    let build = || {
        let config = Config::builder()
            .mtu(MTU_BYTES)
            .flight_start_rto(FLIGHT_RTO)
            .flight_retries(FLIGHT_RETRIES)
            .handshake_timeout(HANDSHAKE_TIMEOUT)
            .kx_groups(&[NamedGroup::Secp256r1, NamedGroup::X25519])
            .build();
        Arc::new(config.expect("these settings are constants, and a test builds them"))
    };
    Arc::clone(CONFIG.get_or_init(build))
}

const MTU_BYTES: usize = 1_200;
/// The default of 1 s makes the tail three times as long with 10 % loss.
const FLIGHT_RTO: Duration = Duration::from_millis(250);
const FLIGHT_RETRIES: usize = 8;
/// Longer than our own deadline, which is the one that counts.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
const RECORD_HEADER_BYTES: usize = 13;
/// More than any datagram we accept.
const BUFFER_BYTES: usize = 2_304;
