//! TLS towards an XMPP server: the operating system's authorities, an authority or certificate of the owner's, or a
//! pinned certificate. Errors come back as what a person can act on.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError,
    RootCertStore, SignatureScheme,
};

use super::failure::{Failure, short};
use super::site::Trust;

/// Makes the settings of a site's TLS; errors are sentences with a remedy.
pub fn client_config(trust: &Trust) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let own = match &trust.ca_file {
        Some(file) => certificates(file)?,
        None => Vec::new(),
    };
    let inner = match trust.insecure || !trust.pins.is_empty() {
        true => None,
        false => Some(authorities(&own, &provider)?),
    };
    let verifier = Verifier {
        inner,
        own: own.into_iter().map(|it| it.as_ref().to_vec()).collect(),
        pins: trust.pins.clone(),
        provider: Arc::clone(&provider),
    };
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let config = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(Arc::new(config.with_no_client_auth()))
}

/// The certificates of a PEM file.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let name = file.display();
    let bytes = std::fs::read(file).map_err(|error| format!("{name}: {error}"))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{name}: holds no certificate; it must be a PEM file")),
        Err(error) => Err(format!("{name}: {error:?}; it must be a PEM file")),
    }
}

fn authorities(
    own: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    roots.add_parsable_certificates(own.iter().cloned());
    if roots.is_empty() {
        return Err(
            "this machine trusts no certificate authority; install ca-certificates, or set \
                    ca_file or tls_pins"
                .to_owned(),
        );
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| format!("the certificate authorities cannot be used: {error}"))
}

/// SHA-256 of a certificate (DER), as `tls_pins` wants it.
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
    bytes
}

/// Believes authorities; or the certificates of `own` themselves, for the right name; or pins alone; or everything.
#[derive(Debug)]
struct Verifier {
    /// `None`: pins decide, or nobody.
    inner: Option<Arc<WebPkiServerVerifier>>,
    own: Vec<Vec<u8>>,
    pins: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(inner) = &self.inner else {
            let pinned = self.pins.is_empty() || self.pins.contains(&fingerprint(end_entity));
            return match pinned {
                true => Ok(ServerCertVerified::assertion()),
                false => {
                    Err(CertificateError::Other(OtherError(Arc::new(WrongCertificate))).into())
                }
            };
        };
        let verdict = inner.verify_server_cert(end_entity, intermediates, server_name, ocsp, now);
        match verdict {
            // The owner named this very certificate, and its dates were checked before these errors: its name is what
            // is left. (`prosodyctl cert generate` makes self-signed certificates that are their own authority.)
            Err(error) if has_no_authority(&error) && self.owns(end_entity) => {
                let certificate = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&certificate, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl Verifier {
    fn owns(&self, certificate: &CertificateDer<'_>) -> bool {
        self.own.iter().any(|own| own == certificate.as_ref())
    }
}

/// Nobody believed has signed it.
fn has_no_authority(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::UnknownIssuer))
        || is_own_authority(error)
}

/// webpki refuses an authority's certificate as a server's own.
fn is_own_authority(error: &Error) -> bool {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            other.to_string().contains("CaUsedAsEndEntity")
        }
        _ => false,
    }
}

#[derive(Debug)]
struct WrongCertificate;

impl fmt::Display for WrongCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not the pinned certificate")
    }
}

impl std::error::Error for WrongCertificate {}

/// What a failed handshake means.
pub fn failure_of(error: &io::Error) -> Failure {
    let Some(tls) = error.get_ref().and_then(|it| it.downcast_ref::<Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Failure::TlsOther("the server hung up during the handshake".to_owned())
            }
            _ => Failure::of_io(error),
        };
    };
    match tls {
        // Self-signed, and nobody named it.
        _ if is_own_authority(tls) => Failure::TlsUnknownIssuer,
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            match other.0.downcast_ref::<WrongCertificate>() {
                Some(_) => Failure::TlsPin,
                None => Failure::TlsOther(short(&tls.to_string())),
            }
        }
        Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Failure::TlsName
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Failure::TlsExpired,
            CertificateError::UnknownIssuer => Failure::TlsUnknownIssuer,
            _ => Failure::TlsOther(short(&tls.to_string())),
        },
        // A web server that knows no certificate for the name it was asked for.
        Error::AlertReceived(AlertDescription::UnrecognisedName) => Failure::TlsName,
        Error::InvalidMessage(_) => Failure::TlsOther("what answers does not speak TLS".to_owned()),
        other => Failure::TlsOther(short(&other.to_string())),
    }
}
