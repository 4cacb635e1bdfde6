use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dimpl::crypto::{KeyProvider, SigningKey};
use dimpl::{Config, Dtls, DtlsCertificate};
use proptest::prelude::*;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

use super::*;
use crate::dtls::{
    Association, Event, Failure, Fingerprint, Hash, Identity, Keys, Output, Role, Timing, keys,
};

/// A key for tests alone, and a certificate of X.509's first version for it, as some programs make them.
const TEST_KEY: &[u8] = include_bytes!("rsa-2048.pk8");
const OLD_CERTIFICATE: &[u8] = include_bytes!("rsa-2048-v1.der");

/// The library knows no client with an RSA key; so this one chooses its suites as one with ECDSA does, and signs
/// with RSA.
#[derive(Debug)]
struct RsaKey {
    pair: RsaKeyPair,
    signs: AtomicBool,
    honest: bool,
}

#[derive(Debug)]
struct RsaKeys {
    honest: bool,
}

impl KeyProvider for RsaKeys {
    fn load_private_key(&self, key: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        let pair = RsaKeyPair::from_pkcs8(key).map_err(|_| CryptoError::InvalidPrivateKey)?;
        Ok(Box::new(RsaKey { pair, signs: AtomicBool::new(false), honest: self.honest }))
    }
}

impl SigningKey for RsaKey {
    fn sign(&mut self, data: &[u8], _: HashAlgorithm, out: &mut Buf) -> Result<(), CryptoError> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        #[expect(clippy::disallowed_methods, reason = "such a signature is the same whatever is random")]
        let random = ring::rand::SystemRandom::new();
        let signed: &[u8] = if self.honest { data } else { b"something else" };
        self.pair.sign(&RSA_PKCS1_SHA256, &random, signed, &mut signature).expect("a signature");
        out.clear();
        out.extend_from_slice(&signature);
        Ok(())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.signs.load(Ordering::Relaxed) {
            true => SignatureAlgorithm::RSA,
            false => SignatureAlgorithm::ECDSA,
        }
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        self.signs.store(true, Ordering::Relaxed);
        HashAlgorithm::SHA256
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        &[HashAlgorithm::SHA256]
    }
}

#[expect(clippy::disallowed_methods, reason = "an origin of the test's virtual time")]
fn start() -> Instant {
    Instant::now()
}

fn ecdsa() -> DtlsCertificate {
    let made = rcgen::generate_simple_self_signed(["test.invalid".to_owned()]).expect("a certificate");
    DtlsCertificate { certificate: made.cert.der().to_vec(), private_key: made.signing_key.serialize_der() }
}

fn rsa() -> DtlsCertificate {
    let key = rcgen::KeyPair::try_from(TEST_KEY).expect("a key");
    let of_whom = rcgen::CertificateParams::new(["test.invalid".to_owned()]).expect("a name");
    let certificate = of_whom.self_signed(&key).expect("a certificate").der().to_vec();
    DtlsCertificate { certificate, private_key: TEST_KEY.to_vec() }
}

/// A client by DTLS 1.2 that shows this certificate.
fn client(certificate: &DtlsCertificate, keys: Option<&'static RsaKeys>) -> Dtls {
    let mut provider = rust_crypto::default_provider();
    if let Some(keys) = keys {
        provider.key_provider = keys;
    }
    let config = Config::builder().with_crypto_provider(provider).build().expect("a usable provider");
    let mut client = Dtls::new_12(Arc::new(config), certificate.clone(), start());
    client.set_active(true);
    client
}

#[derive(Default)]
struct Came {
    ours: Option<Keys>,
    theirs: Option<Keys>,
    failure: Option<Failure>,
    longest: usize,
}

/// A handshake of that client with us, in virtual time; `lost` says of the n-th datagram whether it gets lost.
fn shake(
    mut client: Dtls,
    of_client: &DtlsCertificate,
    timing: Timing,
    mut lost: impl FnMut(usize) -> bool,
) -> Came {
    let (mut now, mut count, mut came) = (start(), 0, Came::default());
    let ours = ecdsa();
    let identity = Identity::new(ours.certificate, ours.private_key, timing).expect("an ECDSA key");
    let expected = Fingerprint::of(Hash::Sha256, &of_client.certificate);
    let mut server = Association::new(now, &identity, Role::Passive, vec![expected]);
    let mut room = vec![0; 4_096];
    for _ in 0..200 {
        let mut arrives = || {
            count += 1;
            !lost(count)
        };
        client.handle_timeout(now).expect("a client that goes on");
        server.handle_timeout(now);
        loop {
            match client.poll_output(&mut room) {
                dimpl::Output::Packet(datagram) if arrives() => server.handle_input(now, datagram),
                dimpl::Output::KeyingMaterial(material, profile) => {
                    came.theirs = keys(Role::Active, &material, profile);
                }
                dimpl::Output::Timeout(_) => break,
                _ => {}
            }
        }
        let mut answers = Vec::new();
        loop {
            match server.poll_output() {
                Output::Transmit(datagram) => {
                    came.longest = came.longest.max(datagram.len());
                    answers.extend(arrives().then_some(datagram));
                }
                Output::Event(Event::Keys(keys)) => came.ours = Some(*keys),
                Output::Event(Event::Failed(failure)) => came.failure = Some(failure),
                Output::Event(Event::Closed) => {}
                Output::Idle(_) => break,
            }
        }
        for answer in answers {
            if client.handle_packet(&answer).is_err() {
                return came;
            }
        }
        now += Duration::from_millis(50);
    }
    came
}

fn keys_fit(came: &Came) {
    let (Some(ours), Some(theirs)) = (&came.ours, &came.theirs) else {
        panic!("no keys: {:?}", came.failure);
    };
    assert_eq!((&ours.sending, &ours.receiving), (&theirs.receiving, &theirs.sending));
}

#[test]
fn a_client_with_an_rsa_certificate_is_asked_and_believed() {
    let old = DtlsCertificate { certificate: OLD_CERTIFICATE.to_vec(), private_key: TEST_KEY.to_vec() };
    for certificate in [rsa(), old] {
        let client = client(&certificate, Some(&RsaKeys { honest: true }));
        keys_fit(&shake(client, &certificate, Timing::default(), |_| false));
    }
}

/// Who shows a certificate of another kind of key than it signs with gets no keys.
#[test]
fn an_rsa_signature_for_an_ecdsa_certificate_is_not_believed() {
    let certificate = DtlsCertificate { private_key: TEST_KEY.to_vec(), ..ecdsa() };
    let client = client(&certificate, Some(&RsaKeys { honest: true }));
    let came = shake(client, &certificate, Timing::default(), |_| false);
    assert!(came.ours.is_none() && came.theirs.is_none());
}

/// Who shows somebody else's certificate, and cannot sign with its key, gets no keys.
#[test]
fn an_rsa_signature_of_something_else_is_not_believed() {
    let certificate = rsa();
    let client = client(&certificate, Some(&RsaKeys { honest: false }));
    let came = shake(client, &certificate, Timing::default(), |_| false);
    assert!(came.ours.is_none() && came.theirs.is_none());
}

#[test]
fn clients_of_dtls_1_2_with_ecdsa_are_believed_as_ever() {
    let certificate = ecdsa();
    keys_fit(&shake(client(&certificate, None), &certificate, Timing::default(), |_| false));
}

/// RFC 6347 §4.2.3, §4.2.4: however the request is cut, and whatever is sent again.
#[test]
fn requests_in_parts_and_requests_that_got_lost() {
    let certificate = rsa();
    for mtu in (280..700).step_by(19) {
        let timing = Timing { mtu, ..Timing::default() };
        let client = client(&certificate, Some(&RsaKeys { honest: true }));
        let came = shake(client, &certificate, timing, |number| number == 3 || number == 6);
        keys_fit(&came);
        assert!(came.longest <= mtu, "{} bytes in a datagram of {mtu}", came.longest);
    }
}

#[test]
fn what_is_no_transcript_of_dtls_1_2_stays_as_it_is() {
    let message = |kind: u8, seq: u16, body: &[u8]| {
        let len = u8::try_from(body.len()).expect("a short one");
        [&[kind, 0, 0, len], &seq.to_be_bytes()[..], &[0, 0, 0, 0, 0, len], body].concat()
    };
    let (hello, theirs) = (message(1, 1, &[7; 40]), message(13, 5, &[1, 64, 0, 2, 4, 3, 0, 0]));
    let (done, ours) = (message(14, 6, &[]), message(13, 5, &REQUEST));
    let whole = [&hello[..], &theirs, &done].concat();
    assert_eq!(transcript(&whole), Some([&hello[..], &ours, &done].concat()));
    // Cut within a message, in fragments, without its beginning, or of DTLS 1.3, whose version is where 1.2 has a number.
    assert_eq!(transcript(&whole[..whole.len() - 1]), None);
    let mut fragment = whole.clone();
    fragment[hello.len() + 8] = 1;
    assert_eq!(transcript(&fragment), None);
    assert_eq!(transcript(&whole[hello.len()..]), None);
    let mut newer = whole;
    newer[4..6].copy_from_slice(&[0xfe, 0xfd]);
    assert_eq!(transcript(&newer), None);
}

proptest! {
    /// Whatever the library sends that is no request goes out as it is.
    #[test]
    fn other_datagrams_go_out_as_they_are(kinds in prop::collection::vec((20_u8..64, any::<u8>(), 0_usize..40), 0..5),
                                          tail in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut datagram = Vec::new();
        for (kind, first, len) in kinds {
            let first = if first == CERTIFICATE_REQUEST { 0 } else { first };
            datagram.extend_from_slice(&[kind, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, u8::try_from(len).unwrap()]);
            datagram.extend(std::iter::repeat_n(first, len));
        }
        prop_assume!(tail.first() != Some(&HANDSHAKE));
        datagram.extend_from_slice(&tail);
        prop_assert_eq!(outgoing(&datagram), datagram);
    }
}
