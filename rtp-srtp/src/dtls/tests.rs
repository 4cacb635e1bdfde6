use std::time::Duration;

use super::*;
use crate::RtpHeader;
use crate::srtp::{SrtpReceiver, SrtpSender};

fn identity() -> Identity {
    let made = rcgen::generate_simple_self_signed(["test.invalid".to_owned()]).expect("a certificate");
    let key = made.signing_key.serialize_der();
    Identity::new(made.cert.der().to_vec(), key, Timing::default()).expect("an ECDSA key")
}

/// What one side did.
#[derive(Default)]
struct Heard {
    sent: Vec<Vec<u8>>,
    keys: Option<Keys>,
    failure: Option<Failure>,
    closed: bool,
    deadline: Option<Instant>,
}

fn drain(side: &mut Association, heard: &mut Heard) {
    loop {
        match side.poll_output() {
            Output::Transmit(datagram) => heard.sent.push(datagram),
            Output::Event(Event::Keys(keys)) => {
                assert!(heard.keys.replace(*keys).is_none(), "keys come once");
            }
            Output::Event(Event::Failed(failure)) => {
                assert!(heard.failure.replace(failure).is_none(), "it fails once");
            }
            Output::Event(Event::Closed) => heard.closed = true,
            Output::Idle(deadline) => {
                heard.deadline = deadline;
                return;
            }
        }
    }
}

/// Two sides in virtual time; `lost` says of the n-th datagram whether it arrives.
struct Pair {
    now: Instant,
    active: Association,
    passive: Association,
    heard: [Heard; 2],
}

impl Pair {
    fn new() -> Self {
        let (a, b) = (identity(), identity());
        Self::with(&a, &b, &[b.fingerprint(Hash::Sha256)], &[a.fingerprint(Hash::Sha384)])
    }

    fn with(a: &Identity, b: &Identity, of_b: &[Fingerprint], of_a: &[Fingerprint]) -> Self {
        let now = start();
        Self {
            now,
            active: Association::new(now, a, Role::Active, of_b.to_vec()),
            passive: Association::new(now, b, Role::Passive, of_a.to_vec()),
            heard: Default::default(),
        }
    }

    /// Until both are done or 40 s have gone by.
    fn run(&mut self, mut lost: impl FnMut(usize) -> bool) {
        let end = self.now + Duration::from_secs(40);
        let mut count = 0;
        while self.now < end {
            drain(&mut self.active, &mut self.heard[0]);
            drain(&mut self.passive, &mut self.heard[1]);
            let [of_active, of_passive] = [0, 1].map(|side| std::mem::take(&mut self.heard[side].sent));
            if of_active.is_empty() && of_passive.is_empty() {
                let done = |heard: &Heard| heard.keys.is_some() || heard.failure.is_some();
                if self.heard.iter().all(done) {
                    return;
                }
                let next = self.heard.iter().filter_map(|heard| heard.deadline).min();
                let Some(next) = next else { return };
                self.now = next.max(self.now + Duration::from_millis(1));
                self.active.handle_timeout(self.now);
                self.passive.handle_timeout(self.now);
                continue;
            }
            self.now += Duration::from_millis(10);
            for datagram in of_active {
                count += 1;
                if !lost(count) {
                    self.passive.handle_input(self.now, &datagram);
                }
            }
            for datagram in of_passive {
                count += 1;
                if !lost(count) {
                    self.active.handle_input(self.now, &datagram);
                }
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "an origin of the test's virtual time")]
fn start() -> Instant {
    Instant::now()
}

fn sound_passes(from: &Keys, to: &Keys) {
    let (mut sender, mut receiver) = (SrtpSender::new(&from.sending), SrtpReceiver::new(&to.receiving));
    let mut buffer = [0; 300];
    let len = RtpHeader::new(0, 1, 160, 7).write_packet(&[0x55; 160], &mut buffer).unwrap();
    let len = sender.protect(&mut buffer, len).unwrap();
    let len = receiver.unprotect(&mut buffer[..len]).unwrap();
    assert_eq!(&buffer[12..len], [0x55; 160]);
}

#[test]
fn both_sides_come_to_keys_that_fit() {
    let mut pair = Pair::new();
    pair.run(|_| false);
    let [active, passive] = pair.heard;
    let (active, passive) = (active.keys.expect("keys"), passive.keys.expect("keys"));
    assert_eq!(active.sending.suite(), Suite::AeadAes256Gcm, "the best that both have");
    sound_passes(&active, &passive);
    sound_passes(&passive, &active);
    assert!(!format!("{active:?}").contains("key: ["), "{active:?}");
}

/// RFC 6347 §4.2.4: of thirty datagrams whichever are lost, up to one in three; of ten, every other one. Where that goes
/// on, it can be the same one each time until the 30 s of a handshake are up.
#[test]
fn loss_delays_the_keys_and_prevents_none() {
    for (modulus, first) in [(2, 10), (3, 29), (4, 29)] {
        for rest in 0..modulus {
            let mut pair = Pair::new();
            pair.run(|number| number <= first && number % modulus == rest);
            assert!(pair.heard.iter().all(|heard| heard.keys.is_some()), "{rest} mod {modulus} lost");
        }
    }
}

/// RFC 5763 §5, §6.7: who shows another certificate than was announced gets no keys, and gives none.
#[test]
fn a_certificate_that_was_not_announced_gives_no_keys() {
    let (a, b, mallory) = (identity(), identity(), identity());
    let (of_a, of_b) = (a.fingerprint(Hash::Sha256), b.fingerprint(Hash::Sha512));
    // The passive side is not who was announced; then the active one is not; then nothing was announced.
    for (active, passive, of_b, of_a) in [
        (&a, &mallory, vec![of_b.clone()], vec![of_a.clone()]),
        (&mallory, &b, vec![of_b.clone()], vec![of_a.clone()]),
        (&a, &b, Vec::new(), Vec::new()),
        (
            &a,
            &b,
            vec![Fingerprint::new(Hash::Sha256, Vec::new())],
            vec![Fingerprint::new(Hash::Sha256, [0; 32])],
        ),
    ] {
        let mut pair = Pair::with(active, passive, &of_b, &of_a);
        pair.run(|_| false);
        let failures: Vec<_> = pair.heard.iter().filter_map(|heard| heard.failure.clone()).collect();
        assert!(failures.contains(&Failure::Fingerprint), "{failures:?}");
        assert!(pair.heard.iter().any(|heard| heard.keys.is_none()));
        for (side, heard) in [&pair.active, &pair.passive].into_iter().zip(&pair.heard) {
            if heard.failure == Some(Failure::Fingerprint) {
                assert!(heard.keys.is_none() && !side.is_keyed());
            }
        }
    }
}

/// One of several fingerprints has to fit (RFC 8122 §5).
#[test]
fn one_of_several_fingerprints_is_enough() {
    let (a, b) = (identity(), identity());
    let of_b = [Fingerprint::new(Hash::Sha512, [9; 64]), b.fingerprint(Hash::Sha256)];
    let mut pair = Pair::with(&a, &b, &of_b, &[a.fingerprint(Hash::Sha256)]);
    pair.run(|_| false);
    assert!(pair.heard.iter().all(|heard| heard.keys.is_some()));
}

#[test]
fn nobody_there_is_a_timeout() {
    let mut pair = Pair::new();
    pair.run(|_| true);
    assert_eq!(pair.heard[0].failure, Some(Failure::Timeout));
    assert!(pair.heard[1].keys.is_none(), "who is not called waits");
    let Output::Idle(None) = pair.active.poll_output() else { panic!("it is over") };
}

/// A handshake that was played before leads nowhere: the hello of it is answered, its end does not fit.
#[test]
fn a_handshake_played_again_gives_no_keys() {
    let (a, b) = (identity(), identity());
    let (of_a, of_b) = (a.fingerprint(Hash::Sha256), b.fingerprint(Hash::Sha256));
    let mut record = Vec::new();
    let mut pair = Pair::with(&a, &b, &[of_b], std::slice::from_ref(&of_a));
    for _ in 0..100 {
        drain(&mut pair.active, &mut pair.heard[0]);
        drain(&mut pair.passive, &mut pair.heard[1]);
        for datagram in std::mem::take(&mut pair.heard[0].sent) {
            pair.passive.handle_input(pair.now, &datagram);
            record.push(datagram);
        }
        for datagram in std::mem::take(&mut pair.heard[1].sent) {
            pair.active.handle_input(pair.now, &datagram);
        }
    }
    assert!(pair.heard[1].keys.is_some());

    let mut again = Association::new(pair.now, &b, Role::Passive, vec![of_a]);
    let mut heard = Heard::default();
    for _ in 0..20 {
        for datagram in &record {
            again.handle_input(pair.now, datagram);
            drain(&mut again, &mut heard);
        }
    }
    assert!(heard.keys.is_none() && !again.is_keyed());

    // And into the association that stands: nothing comes of it.
    for datagram in &record {
        pair.passive.handle_input(pair.now, datagram);
        drain(&mut pair.passive, &mut pair.heard[1]);
    }
    assert!(pair.heard[1].failure.is_none());
}

/// Nonsense before and between, of somebody who knows the addresses.
#[test]
fn nonsense_does_not_keep_them_apart() {
    let mut pair = Pair::new();
    let alert = [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 40];
    let mut state = 1_u32;
    for side in [&mut pair.active, &mut pair.passive] {
        for length in 0..200 {
            let mut junk: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    state.to_be_bytes()[0]
                })
                .collect();
            if let Some(first) = junk.first_mut() {
                *first = 20 + *first % 44;
            }
            side.handle_input(pair.now, &junk);
        }
    }
    for _ in 0..MAX_RESTARTS / 2 {
        pair.active.handle_input(pair.now, &alert);
    }
    pair.run(|_| false);
    let found: Vec<_> = pair.heard.iter().map(|heard| heard.failure.clone()).collect();
    assert!(pair.heard.iter().all(|heard| heard.keys.is_some()), "{found:?}");
}

#[test]
fn a_goodbye_is_heard_and_what_follows_is_not() {
    let mut pair = Pair::new();
    pair.run(|_| false);
    pair.active.close();
    drain(&mut pair.active, &mut pair.heard[0]);
    let sent = std::mem::take(&mut pair.heard[0].sent);
    assert!(!sent.is_empty());
    for datagram in &sent {
        pair.passive.handle_input(pair.now, datagram);
    }
    drain(&mut pair.passive, &mut pair.heard[1]);
    assert!(pair.heard[1].closed);
    let before = pair.passive.counters().ignored;
    pair.passive.handle_input(pair.now, &sent[0]);
    assert_eq!(pair.passive.counters().ignored, before + 1);
}

#[test]
fn fingerprints_print_as_descriptions_have_them() {
    let one = Fingerprint::of(Hash::Sha256, b"");
    assert!(one.to_string().starts_with("sha-256 E3:B0:C4:42:"));
    assert!(one.fits(b"") && !one.fits(b"x"));
    assert_eq!("SHA-512".parse(), Ok(Hash::Sha512));
    assert!("sha-1".parse::<Hash>().is_err() && "md5".parse::<Hash>().is_err());
}

/// The keys of RFC 5764 §4.2, in their order.
#[test]
fn material_is_cut_as_the_rfc_says() {
    let material: Vec<u8> = (0..60).collect();
    let active = keys(Role::Active, &material, SrtpProfile::AES128_CM_SHA1_80).expect("enough of it");
    let passive = keys(Role::Passive, &material, SrtpProfile::AES128_CM_SHA1_80).expect("enough of it");
    let client: Vec<u8> = (0..16).chain(32..46).collect();
    let server: Vec<u8> = (16..32).chain(46..60).collect();
    let expect = |bytes: &[u8]| MasterKey::new(Suite::AesCm128HmacSha1_80, bytes).unwrap();
    assert_eq!((active.sending, active.receiving), (expect(&client), expect(&server)));
    assert_eq!((passive.sending, passive.receiving), (expect(&server), expect(&client)));
    assert!(keys(Role::Active, &material[..59], SrtpProfile::AES128_CM_SHA1_80).is_none());
}
