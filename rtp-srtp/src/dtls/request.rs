//! Peers with RSA certificates, where we are the server: their clients have to be asked for them (RFC 5246 §7.4.4).
//!
//! The library asks for ECDSA alone, though it leaves the check of signatures to its provider. So its
//! CertificateRequest is exchanged for ours on its way out, and what is hashed and verified is the transcript with
//! ours in it: what the peer saw. Were the two not the same, the peer's Finished would not fit, and there would be
//! no keys.
//!
//! ```text
//!   library ── CertificateRequest ──▶ outgoing() ── ours ──▶ peer
//!      │                                                      │
//!   transcript ──▶ Hashes, Signatures (with ours)             ▼
//!      └───────────── compared with ◀──── CertificateVerify, Finished
//! ```
//!
//! DTLS 1.3 has its request within what is encrypted, and goes through here untouched.

use dimpl::crypto::{
    Buf, CryptoProvider, HashAlgorithm, HashContext, HashProvider, SignatureAlgorithm, SignatureVerifier,
    rust_crypto,
};
use dimpl::{CryptoError, CryptoOperation};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, UnparsedPublicKey};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::spki::ObjectIdentifier;

/// Certificates that sign with RSA or ECDSA; SHA-256 and SHA-384 with either; of any authority.
const REQUEST: [u8; 15] = [2, 1, 64, 0, 8, 4, 3, 5, 3, 4, 1, 5, 1, 0, 0];
/// What a datagram grows by, at most.
pub(super) const GROWTH: usize = REQUEST.len();

/// `rsaEncryption` (RFC 8017 §A.1).
const RSA_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

const RECORD_HEADER: usize = 13;
const MESSAGE_HEADER: usize = 12;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const CERTIFICATE_REQUEST: u8 = 13;

/// The library's own provider, but for the exchanged request and signatures with RSA.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        hash_provider: &Hashes,
        signature_verification: &Signatures,
        ..rust_crypto::default_provider()
    }
}

/// A server's datagram as the peer is to see it; empty where nothing is left of it.
pub(super) fn outgoing(datagram: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(datagram.len() + GROWTH);
    let mut rest = datagram;
    while let Some((header, body, after)) = record(rest) {
        match fragment_of_request(header, body) {
            None => {
                out.extend_from_slice(header);
                out.extend_from_slice(body);
            }
            Some((message_seq, true)) => {
                let message = request(message_seq);
                let len = u16::try_from(message.len()).unwrap_or_default();
                out.extend(header.iter().take(RECORD_HEADER - 2));
                out.extend_from_slice(&len.to_be_bytes());
                out.extend_from_slice(&message);
            }
            // Ours is whole in the place of the first.
            Some((_, false)) => {}
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

/// A record in the form of DTLS 1.2 (RFC 6347 §4.1): its header, what is in it, what comes after. What DTLS 1.3
/// encrypts begins with 32 and more (RFC 9147 §4).
fn record(datagram: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (header, rest) = datagram.split_at_checked(RECORD_HEADER)?;
    let [kind, 0xfe, _, .., high, low] = *header else { return None };
    let (body, after) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
    (20..32).contains(&kind).then_some((header, body, after))
}

/// Whether this record has a part of a CertificateRequest: which message that is, and whether it is the first part.
fn fragment_of_request(header: &[u8], body: &[u8]) -> Option<(u16, bool)> {
    let plain = matches!(header, [HANDSHAKE, _, _, 0, 0, ..]);
    let [CERTIFICATE_REQUEST, _, _, _, high, low, offset @ ..] = body else { return None };
    plain.then(|| (u16::from_be_bytes([*high, *low]), offset.starts_with(&[0, 0, 0])))
}

/// The message, in one part (RFC 6347 §4.2.2).
fn request(message_seq: u16) -> Vec<u8> {
    let len = u32::try_from(REQUEST.len()).unwrap_or_default().to_be_bytes();
    let [_, len @ ..] = len;
    let mut message = Vec::with_capacity(MESSAGE_HEADER + REQUEST.len());
    message.push(CERTIFICATE_REQUEST);
    message.extend_from_slice(&len);
    message.extend_from_slice(&message_seq.to_be_bytes());
    message.extend_from_slice(&[0; 3]);
    message.extend_from_slice(&len);
    message.extend_from_slice(&REQUEST);
    message
}

/// The transcript of a handshake by DTLS 1.2 with our request in it; `None` for whatever is no such transcript.
///
/// A server's is one of whole messages, the first of them a ClientHello with a low number; where DTLS 1.2 has the
/// number, DTLS 1.3 has its version. No peer can have a CertificateRequest in it: a server's library takes none.
fn transcript(data: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(data.len() + GROWTH);
    let mut rest = data;
    if !matches!(data, [CLIENT_HELLO, _, _, _, 0, _, ..]) {
        return None;
    }
    while !rest.is_empty() {
        let (header, after) = rest.split_at_checked(MESSAGE_HEADER)?;
        let [kind, a, b, c, high, low, 0, 0, 0, x, y, z] = *header else { return None };
        let (body, after) =
            after.split_at_checked(usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?)?;
        if [a, b, c] != [x, y, z] {
            return None;
        }
        if kind == CERTIFICATE_REQUEST {
            out.extend_from_slice(&request(u16::from_be_bytes([high, low])));
        } else {
            out.extend_from_slice(header);
            out.extend_from_slice(body);
        }
        rest = after;
    }
    Some(out)
}

/// Hashes transcripts as the peer saw them, and all else as it is.
#[derive(Debug)]
struct Hashes;

#[derive(Debug)]
struct Hash(Box<dyn HashContext>);

impl HashProvider for Hashes {
    fn create_hash(&self, algorithm: HashAlgorithm) -> Box<dyn HashContext> {
        Box::new(Hash(rust_crypto::default_provider().hash_provider.create_hash(algorithm)))
    }
}

impl HashContext for Hash {
    fn update(&mut self, data: &[u8]) {
        self.0.update(transcript(data).as_deref().unwrap_or(data));
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        self.0.clone_and_finalize(out);
    }
}

/// Checks signatures with ECDSA as the library does, and of DTLS 1.2 those with RSA too.
#[derive(Debug)]
struct Signatures;

impl SignatureVerifier for Signatures {
    fn verify_signature(
        &self,
        certificate: &[u8],
        data: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
        algorithm: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        match (transcript(data), algorithm) {
            (Some(data), SignatureAlgorithm::RSA) => verify_rsa(certificate, &data, signature, hash),
            (seen, _) => {
                let data = seen.as_deref().unwrap_or(data);
                let library = rust_crypto::default_provider().signature_verification;
                library.verify_signature(certificate, data, signature, hash, algorithm)
            }
        }
    }
}

/// PKCS #1 v1.5 with a key of 2,048 to 8,192 bits: what DTLS 1.2 has (RFC 5246 §7.4.1.4.1).
fn verify_rsa(
    certificate: &[u8],
    data: &[u8],
    signature: &[u8],
    hash: HashAlgorithm,
) -> Result<(), CryptoError> {
    let algorithm = match hash {
        HashAlgorithm::SHA256 => &RSA_PKCS1_2048_8192_SHA256,
        HashAlgorithm::SHA384 => &RSA_PKCS1_2048_8192_SHA384,
        _ => {
            let signature = SignatureAlgorithm::RSA;
            return Err(CryptoError::UnsupportedSignaturePair { signature, hash });
        }
    };
    let certificate = Certificate::from_der(certificate).map_err(|_| CryptoError::CertificateParseFailed)?;
    let key = certificate.tbs_certificate().subject_public_key_info();
    if key.algorithm.oid != RSA_KEY {
        return Err(CryptoError::UnsupportedPublicKeyAlgorithm);
    }
    let key = key.subject_public_key.as_bytes().ok_or(CryptoError::InvalidSubjectPublicKey)?;
    let verified = UnparsedPublicKey::new(algorithm, key).verify(data, signature);
    verified.map_err(|_| CryptoError::OperationFailed(CryptoOperation::VerifySignature))
}

#[cfg(test)]
mod tests;
