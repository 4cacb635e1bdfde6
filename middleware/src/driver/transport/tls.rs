//! TLS for SIP: whose certificates are shown and which are believed (RFC 5922).

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, ServerConfig,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::configuration::TlsConfiguration;

/// Both sides of TLS, each made when it is first needed.
#[derive(Debug)]
pub(crate) struct Security {
    config: TlsConfiguration,
    acceptor: OnceLock<Result<Arc<ServerConfig>, String>>,
    connector: OnceLock<Result<Arc<ClientConfig>, String>>,
}

type Chain = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Security {
    pub(crate) fn new(config: TlsConfiguration) -> Self {
        Self { config, acceptor: OnceLock::new(), connector: OnceLock::new() }
    }

    pub(crate) fn config(&self) -> &TlsConfiguration {
        &self.config
    }

    /// Reads the files that the configuration names, so that a wrong one is told at the start.
    pub(crate) fn check(&self, listens: bool) -> io::Result<()> {
        let named = [&self.config.certificate, &self.config.key, &self.config.authorities];
        if named.iter().any(|file| file.is_some()) {
            self.client()?;
        }
        if listens || self.config.certificate.is_some() {
            self.server()?;
        }
        Ok(())
    }

    /// The TLS handshake of a peer that connected.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<tokio_rustls::server::TlsStream<S>> {
        TlsAcceptor::from(self.server()?).accept(stream).await
    }

    /// The TLS handshake with a server that has to be `name`.
    pub(crate) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        name: &str,
    ) -> io::Result<tokio_rustls::client::TlsStream<S>> {
        let bare = name.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let server = ServerName::try_from(bare.to_owned())
            .map_err(|_| io::Error::other(format!("TLS: {name:?} is no name of a server")))?;
        let connector = TlsConnector::from(self.client()?);
        connector.connect(server, stream).await.map_err(|error| io::Error::other(format!("TLS: {error}")))
    }

    fn server(&self) -> io::Result<Arc<ServerConfig>> {
        let made = self.acceptor.get_or_init(|| self.make_server().map_err(|error| error.to_string()));
        made.clone().map_err(io::Error::other)
    }

    fn client(&self) -> io::Result<Arc<ClientConfig>> {
        let made = self.connector.get_or_init(|| self.make_client().map_err(|error| error.to_string()));
        made.clone().map_err(io::Error::other)
    }

    fn make_server(&self) -> io::Result<Arc<ServerConfig>> {
        let (chain, key) = match self.chain()? {
            Some(chain) => chain,
            None => generate()?,
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let builder = if self.config.verify_clients {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(self.authorities()?), provider())
                    .build()
                    .map_err(io::Error::other)?;
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let config = builder.with_single_cert(chain, key).map_err(io::Error::other)?;
        Ok(Arc::new(config))
    }

    fn make_client(&self) -> io::Result<Arc<ClientConfig>> {
        let roots = if self.config.verify { Some(Arc::new(self.authorities()?)) } else { None };
        let verifier = Verifier { roots, wildcards: self.config.wildcards, provider: provider() };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match self.chain()? {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(io::Error::other)?,
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }

    /// Our certificate and key, if there are any.
    fn chain(&self) -> io::Result<Option<Chain>> {
        let Some(file) = &self.config.certificate else { return Ok(None) };
        let chain = certificates(file)?;
        let key_file = self.config.key.as_ref().unwrap_or(file);
        let key = PrivateKeyDer::from_pem_slice(&read(key_file)?).map_err(|error| {
            io::Error::other(format!("{} holds no private key: {error}", key_file.display()))
        })?;
        Ok(Some((chain, key)))
    }

    fn authorities(&self) -> io::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        if let Some(file) = &self.config.authorities {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|error| {
                    io::Error::other(format!("{} holds an unusable authority: {error}", file.display()))
                })?;
            }
            return Ok(roots);
        }
        // Some files of a system's store may be unreadable: those that are there count.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Ok(roots)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    fs::read(file).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(file)?).collect();
    let what = |why: String| io::Error::other(format!("{} holds no certificate{why}", file.display()));
    let found = found.map_err(|error| what(format!(": {error}")))?;
    if found.is_empty() { Err(what(String::new())) } else { Ok(found) }
}

/// A new certificate that is signed by itself: good for encryption, no proof.
fn generate() -> io::Result<Chain> {
    let made =
        rcgen::generate_simple_self_signed(vec!["sip.invalid".to_owned()]).map_err(io::Error::other)?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(io::Error::other)?;
    Ok((vec![made.cert.der().clone()], key))
}

/// Takes servers for whom they are by the rules of SIP.
#[derive(Debug)]
struct Verifier {
    /// `None`: everybody is believed.
    roots: Option<Arc<RootCertStore>>,
    wildcards: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
            check_name(end_entity, name, self.wildcards)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a certificate is for the domain that we want to reach (RFC 5922 §7.1, §7.2).
fn check_name(
    certificate: &CertificateDer<'_>,
    wanted: &ServerName<'_>,
    wildcards: bool,
) -> Result<(), rustls::Error> {
    let parsed = webpki::EndEntityCert::try_from(certificate)
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let ServerName::DnsName(domain) = wanted else {
        // RFC 5922 knows domains only; an address is proved by an address in the certificate.
        return webpki_name(certificate, wanted);
    };
    let domain = domain.as_ref();
    // RFC 5922 §7.1: SIP URIs, if there are any, and DNS names only if not.
    let uris: Vec<&str> = parsed.valid_uri_names().filter_map(sip_domain).collect();
    let names: Vec<&str> = if uris.is_empty() { parsed.valid_dns_names().collect() } else { uris };
    let fits = |name: &&str| name.eq_ignore_ascii_case(domain) || (wildcards && covers(name, domain));
    if names.iter().any(fits) {
        return Ok(());
    }
    let mut text = format!("the certificate is not for {domain} but for ");
    for (index, name) in names.iter().take(8).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}{name}");
    }
    if names.is_empty() {
        text.push_str("no name at all");
    }
    Err(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(io::Error::other(
        text,
    ))))))
}

fn webpki_name(certificate: &CertificateDer<'_>, wanted: &ServerName<'_>) -> Result<(), rustls::Error> {
    rustls::client::verify_server_name(&ParsedCertificate::try_from(certificate)?, wanted)
}

/// The domain that a SIP URI in a certificate proves: one without a user part (RFC 5922 §7.1).
fn sip_domain(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    let bare = !rest.is_empty() && !rest.contains('@');
    (scheme.eq_ignore_ascii_case("sip") && bare).then(|| rest.split([';', '?', ':']).next().unwrap_or(rest))
}

/// Whether a name that begins with `*.` has the domain one label below it.
fn covers(name: &str, domain: &str) -> bool {
    let Some(parent) = name.strip_prefix("*.") else { return false };
    domain.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn certificate(names: Vec<SanType>) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.subject_alt_names = names;
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().clone()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().expect("ASCII"))
    }

    fn dns(text: &str) -> SanType {
        SanType::DnsName(text.try_into().expect("ASCII"))
    }

    fn verdict(names: Vec<SanType>, wanted: &str, wildcards: bool) -> Result<(), String> {
        let wanted = ServerName::try_from(wanted.to_owned()).expect("a name");
        check_name(&certificate(names), &wanted, wildcards).map_err(|error| error.to_string())
    }

    #[test]
    fn names_of_rfc_5922() {
        assert_eq!(verdict(vec![uri("sip:example.com")], "EXAMPLE.com", false), Ok(()));
        assert_eq!(verdict(vec![dns("example.com")], "example.com", false), Ok(()));
        // §7.1: with a SIP URI the DNS names do not count, and one with a user proves no domain.
        let both = || vec![uri("sip:example.net"), dns("example.com")];
        let refusal = verdict(both(), "example.com", false).expect_err("the URI counts");
        assert!(refusal.contains("is not for example.com but for example.net"), "{refusal}");
        assert_eq!(verdict(vec![uri("sip:a@example.net"), dns("example.com")], "example.com", false), Ok(()));
        assert!(verdict(vec![uri("https://example.com")], "example.com", false).is_err());
        // §7.2: no suffix, no wildcard.
        assert!(verdict(vec![dns("example.com")], "sip.example.com", false).is_err());
        assert!(verdict(vec![dns("*.example.com")], "sip.example.com", false).is_err());
        assert_eq!(verdict(vec![dns("*.example.com")], "sip.example.com", true), Ok(()));
        assert!(verdict(vec![dns("*.example.com")], "a.sip.example.com", true).is_err());
    }

    #[test]
    fn addresses_are_proved_by_addresses() {
        let address = || vec![SanType::IpAddress("192.0.2.1".parse().expect("an address"))];
        assert_eq!(verdict(address(), "192.0.2.1", false), Ok(()));
        assert!(verdict(address(), "192.0.2.2", false).is_err());
        assert!(verdict(vec![dns("example.com")], "192.0.2.1", false).is_err());
    }

    #[test]
    fn wrong_files_are_told_at_the_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("empty.pem");
        fs::write(&file, "nothing").expect("a file");
        let config = TlsConfiguration { certificate: Some(file), ..TlsConfiguration::default() };
        let error = Security::new(config).check(false).expect_err("no certificate").to_string();
        assert!(error.contains("empty.pem holds no certificate"), "{error}");
    }
}
