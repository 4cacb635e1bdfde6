//! TLS for MSRP streams: a certificate of our own, and peers checked by fingerprint.
//!
//! RFC 4975 §14.4: with self-signed certificates the SDP carries `a=fingerprint` of each, and
//! whoever connects must show the certificate that was announced. Where a peer announces none,
//! its certificate has to be good for its name by the usual authorities.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use rtp_srtp::dtls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
};
use sha2::{Digest, Sha256};

/// Our certificate and its key.
#[derive(Clone)]
pub(super) struct Identity {
    certificate: CertificateDer<'static>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl Identity {
    /// A new self-signed certificate.
    pub(super) fn generate() -> io::Result<Self> {
        let made =
            rcgen::generate_simple_self_signed(vec!["msrp.invalid".to_owned()]).map_err(io::Error::other)?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(io::Error::other)?;
        Ok(Self { certificate: made.cert.der().clone(), key: Arc::new(key) })
    }

    /// The same certificate, for handshakes on media paths.
    pub(super) fn for_dtls(&self) -> Result<dtls::Identity, dtls::IdentityError> {
        let key = self.key.secret_der().to_vec();
        dtls::Identity::new(self.certificate.to_vec(), key, dtls::Timing::default())
    }

    /// As `a=fingerprint` has it.
    pub(super) fn fingerprint(&self) -> String {
        fingerprint(&self.certificate)
    }

    /// For the side that waits. It asks for a certificate and takes any: which one it has to be is known
    /// when the first request has told for which stream it comes.
    pub(super) fn server(&self) -> io::Result<ServerConfig> {
        ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_client_cert_verifier(Arc::new(Announced::any()))
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .map_err(io::Error::other)
    }

    /// For the side that connects: the peer must show the certificate of this fingerprint.
    pub(super) fn client(&self, expected: String) -> io::Result<ClientConfig> {
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Announced::new(expected)))
            .with_client_auth_cert(vec![self.certificate.clone()], self.key.clone_key())
            .map_err(io::Error::other)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// `sha-256 AB:CD:…` of a certificate (RFC 8122 §5).
pub(super) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let mut text = String::from("sha-256 ");
    for (index, byte) in Sha256::digest(certificate.as_ref()).iter().enumerate() {
        let colon = if index == 0 { "" } else { ":" };
        let _ = write!(text, "{colon}{byte:02X}");
    }
    text
}

/// Takes just the certificate that the peer's SDP announced, or any.
#[derive(Debug)]
struct Announced {
    fingerprint: Option<String>,
    provider: Arc<CryptoProvider>,
}

impl Announced {
    fn new(fingerprint: String) -> Self {
        Self { fingerprint: Some(fingerprint), provider: provider() }
    }

    fn any() -> Self {
        Self { fingerprint: None, provider: provider() }
    }

    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        match &self.fingerprint {
            Some(expected) if !fingerprint(certificate).eq_ignore_ascii_case(expected.trim()) => {
                Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            _ => Ok(()),
        }
    }
}

impl ServerCertVerifier for Announced {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Announced {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls12_signature(self, message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ServerCertVerifier::verify_tls13_signature(self, message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(self)
    }
}
