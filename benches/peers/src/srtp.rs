//! SRTP: a packet protected, and one unprotected, with 160 and 1,200 bytes of payload. Peers that
//! return a packet of their own instead of working in place do what their interface asks for. What is
//! unprotected lies in a buffer of its own, as if it had just come: fifty packets are put there at once,
//! which is not timed. Packets are numbered on from one to the next; each receiver hears a thousand and
//! is then replaced, for it would refuse to hear them twice, which is not timed either.

use std::cell::RefCell;
use std::hint::black_box;
use std::rc::Rc;

use aes::cipher::{InnerIvInit, KeyInit, StreamCipher};
use hmac::{Hmac, Mac};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rtp_srtp::RtpHeader;
use rtp_srtp::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};

use crate::{LIMIT, OURS, Work};

const SSRC: u32 = 3;
const HEADER: usize = 12;
/// Packets that a receiver hears, and those of them that come at once: a second of a call.
const LIFE: u16 = 1_000;
const BATCH: usize = 50;
const KEY: [u8; 46] = [7; 46];
/// Protected and unprotected.
type Group = [&'static str; 2];

struct Case {
    suite: Suite,
    size: usize,
    group: Group,
}

const CASES: [Case; 6] = [
    Case {
        suite: Suite::AesCm128HmacSha1_80,
        size: 160,
        group: [
            "SRTP protect, AES_CM_128_HMAC_SHA1_80, 160 B",
            "SRTP unprotect, AES_CM_128_HMAC_SHA1_80, 160 B",
        ],
    },
    Case {
        suite: Suite::AesCm128HmacSha1_80,
        size: 1_200,
        group: [
            "SRTP protect, AES_CM_128_HMAC_SHA1_80, 1,200 B",
            "SRTP unprotect, AES_CM_128_HMAC_SHA1_80, 1,200 B",
        ],
    },
    Case {
        suite: Suite::AeadAes128Gcm,
        size: 160,
        group: ["SRTP protect, AEAD_AES_128_GCM, 160 B", "SRTP unprotect, AEAD_AES_128_GCM, 160 B"],
    },
    Case {
        suite: Suite::AeadAes128Gcm,
        size: 1_200,
        group: ["SRTP protect, AEAD_AES_128_GCM, 1,200 B", "SRTP unprotect, AEAD_AES_128_GCM, 1,200 B"],
    },
    Case {
        suite: Suite::AeadAes256Gcm,
        size: 160,
        group: ["SRTP protect, AEAD_AES_256_GCM, 160 B", "SRTP unprotect, AEAD_AES_256_GCM, 160 B"],
    },
    Case {
        suite: Suite::AesCm256HmacSha1_80,
        size: 160,
        group: [
            "SRTP protect, AES_CM_256_HMAC_SHA1_80, 160 B",
            "SRTP unprotect, AES_CM_256_HMAC_SHA1_80, 160 B",
        ],
    },
];

/// Every work of this protocol.
pub fn works() -> Vec<Work> {
    let mut works = Vec::new();
    for case in &CASES {
        let wire = Rc::new(case.wire());
        for side in [Some(case.limit()), Some(case.ours(&wire)), case.webrtc(&wire), case.rtc(&wire)] {
            works.extend(side.into_iter().flatten());
        }
        works.extend(case.str0m().into_iter().flatten());
        #[cfg(feature = "libsrtp")]
        works.extend(case.libsrtp(&wire).into_iter().flatten());
    }
    // The table has a group in one piece.
    let place = |work: &Work| {
        let groups = CASES.iter().flat_map(|case| case.group);
        groups.enumerate().find(|(_, group)| *group == work.group).map(|(at, _)| at)
    };
    works.sort_by_key(place);
    works
}

/// Who speaks: a packet in the clear, numbered on from one to the next.
struct Speaker {
    sequence: u16,
    buffer: Vec<u8>,
}

impl Speaker {
    fn new(size: usize) -> RefCell<Self> {
        RefCell::new(Self { sequence: 0, buffer: vec![0xd5; HEADER + size + 64] })
    }

    /// The header is written anew; the payload is what the last round left.
    fn next(&mut self) -> &mut [u8] {
        RtpHeader::new(0, self.sequence, 2, SSRC).write_into(&mut self.buffer).expect("it fits");
        self.sequence = self.sequence.wrapping_add(1);
        &mut self.buffer
    }
}

/// Who hears: packets that have come, each in its buffer, and their receiver.
struct Hearer<R> {
    wire: Rc<Vec<Vec<u8>>>,
    /// Of `wire`, what comes next.
    at: usize,
    make: Box<dyn Fn() -> R>,
    receiver: R,
    arrived: Vec<Vec<u8>>,
    /// Of `arrived`, what is to be read next.
    next: usize,
}

impl<R: 'static> Hearer<R> {
    /// The work of unprotecting with `read`.
    fn work<T>(
        group: &'static str,
        who: &'static str,
        wire: &Rc<Vec<Vec<u8>>>,
        make: impl Fn() -> R + 'static,
        read: impl Fn(&mut R, &mut Vec<u8>) -> T + 'static,
    ) -> Work {
        let receiver = make();
        let arrived = vec![Vec::with_capacity(2_048); BATCH];
        let hearer = Self { wire: wire.clone(), at: 0, make: Box::new(make), receiver, arrived, next: 0 };
        let hearer = Rc::new(RefCell::new(hearer));
        let arriving = hearer.clone();
        let work = Work::new(group, who, move || {
            let Self { receiver, arrived, next, .. } = &mut *hearer.borrow_mut();
            *next += 1;
            read(receiver, &mut arrived[*next - 1])
        });
        work.after(BATCH, move || arriving.borrow_mut().fill())
    }

    fn fill(&mut self) {
        if self.at == self.wire.len() {
            self.at = 0;
            self.receiver = (self.make)();
        }
        for (buffer, packet) in self.arrived.iter_mut().zip(&self.wire[self.at..]) {
            buffer.clear();
            buffer.extend_from_slice(packet);
        }
        self.at += BATCH;
        self.next = 0;
    }
}

/// The works of one of two libraries that call the same things by the same names; the later one is told
/// whose ciphers it takes.
macro_rules! works_of_contexts {
    ($case:expr, $wire:expr, $who:literal, $library:ident $(, $ciphers:expr)?) => {{
        use $library::context::Context;
        use $library::option::srtp_replay_protection;
        use $library::protection_profile::ProtectionProfile;
        let profile = match $case.suite {
            Suite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
            Suite::AesCm256HmacSha1_80 => ProtectionProfile::Aes256CmHmacSha1_80,
            Suite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
            Suite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
            _ => return None,
        };
        let (key, salt) = KEY[..$case.suite.master_len()].split_at($case.key_len());
        let make = move || {
            Context::new(key, salt, profile, Some(srtp_replay_protection(1_024)), None $(, $ciphers)?)
        };
        let mut first = make().ok()?;
        let mut speaking = Speaker::new($case.size);
        let length = HEADER + $case.size;
        let written = first.encrypt_rtp(&speaking.get_mut().next()[..length]).expect("there is room");
        assert_eq!(&written[..], &$wire[0], "{}", $who);
        let sender = RefCell::new(first);
        let [protect, unprotect] = $case.group;
        Some([
            Work::new(protect, $who, move || {
                let mut speaker = speaking.borrow_mut();
                sender.borrow_mut().encrypt_rtp(&speaker.next()[..length]).expect("there is room").len()
            }),
            Hearer::work(
                unprotect,
                $who,
                $wire,
                move || make().expect("it worked"),
                |receiver, packet| receiver.decrypt_rtp(packet).expect("it is authentic").len(),
            ),
        ])
    }};
}

impl Case {
    /// What a receiver hears in its life.
    fn wire(&self) -> Vec<Vec<u8>> {
        let mut sender = SrtpSender::new(&self.key());
        let packet = |sequence| {
            let mut buffer = vec![0; HEADER + self.size + 64];
            let header = RtpHeader::new(0, sequence, 2, SSRC);
            let length = header.write_packet(&vec![0xd5; self.size], &mut buffer).expect("it fits");
            let length = sender.protect(&mut buffer, length).expect("there is room");
            buffer.truncate(length);
            buffer
        };
        (0..LIFE).map(packet).collect()
    }

    fn key(&self) -> MasterKey {
        MasterKey::new(self.suite, &KEY[..self.suite.master_len()]).expect("the length is the suite's")
    }

    fn key_len(&self) -> usize {
        match self.suite {
            Suite::AesCm256HmacSha1_80 | Suite::AeadAes256Gcm => 32,
            _ => 16,
        }
    }

    fn is_gcm(&self) -> bool {
        matches!(self.suite, Suite::AeadAes128Gcm | Suite::AeadAes256Gcm)
    }

    /// The bare cipher and MAC, with key schedules and pads prepared, in the order of each direction.
    fn limit(&self) -> [Work; 2] {
        let [protect, unprotect] = self.group;
        if self.is_gcm() {
            let algorithm = if self.key_len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
            let key =
                || LessSafeKey::new(UnboundKey::new(algorithm, &KEY[..self.key_len()]).expect("its length"));
            let nonce = || Nonce::assume_unique_for_key([9; 12]);
            let (sealing, opening) = (key(), key());
            let plain = RefCell::new(vec![0xd5; HEADER + self.size]);
            let mut sealed = plain.borrow().clone();
            let (head, body) = sealed.split_at_mut(HEADER);
            let tag = sealing.seal_in_place_separate_tag(nonce(), Aad::from(&*head), body).expect("sealed");
            sealed.extend_from_slice(tag.as_ref());
            let sealed = Rc::new(vec![sealed; BATCH]);
            return [
                Work::new(protect, LIMIT, move || {
                    let mut plain = plain.borrow_mut();
                    let (head, body) = plain.split_at_mut(HEADER);
                    sealing.seal_in_place_separate_tag(nonce(), Aad::from(&*head), body).expect("sealed")
                }),
                Hearer::work(
                    unprotect,
                    LIMIT,
                    &sealed,
                    || (),
                    move |(), packet| {
                        let (head, body) = packet.split_at_mut(HEADER);
                        opening.open_in_place(nonce(), Aad::from(&*head), body).expect("sealed so").len()
                    },
                ),
            ];
        }
        let (sealing, opening) = (self.bare(), self.bare());
        let buffer = RefCell::new(vec![0xd5; HEADER + self.size + 4]);
        let arriving = Rc::new(vec![buffer.borrow().clone(); BATCH]);
        [
            Work::new(protect, LIMIT, move || sealing(&mut buffer.borrow_mut())),
            Hearer::work(unprotect, LIMIT, &arriving, || (), move |(), packet| opening(packet)),
        ]
    }

    /// AES-CM and HMAC-SHA1, which are the same in both directions.
    fn bare(&self) -> Box<dyn Fn(&mut [u8])> {
        let mac = Hmac::<sha1::Sha1>::new_from_slice(&KEY[..20]).expect("any length");
        let end = HEADER + self.size;
        if self.key_len() == 32 {
            let cipher = aes::Aes256Enc::new(&[7; 32].into());
            Box::new(move |packet| {
                let core = ctr::CtrCore::inner_iv_init(&cipher, &[9; 16].into());
                ctr::Ctr32BE::from_core(core).apply_keystream(&mut packet[HEADER..end]);
                black_box(mac.clone().chain_update(&*packet).finalize());
            })
        } else {
            let cipher = aes::Aes128Enc::new(&[7; 16].into());
            Box::new(move |packet| {
                let core = ctr::CtrCore::inner_iv_init(&cipher, &[9; 16].into());
                ctr::Ctr32BE::from_core(core).apply_keystream(&mut packet[HEADER..end]);
                black_box(mac.clone().chain_update(&*packet).finalize());
            })
        }
    }

    fn ours(&self, wire: &Rc<Vec<Vec<u8>>>) -> [Work; 2] {
        let [protect, unprotect] = self.group;
        let (speaker, sender) = (Speaker::new(self.size), RefCell::new(SrtpSender::new(&self.key())));
        let key = self.key();
        let length = HEADER + self.size;
        [
            Work::new(protect, OURS, move || {
                sender.borrow_mut().protect(speaker.borrow_mut().next(), length).expect("there is room")
            }),
            Hearer::work(
                unprotect,
                OURS,
                wire,
                move || SrtpReceiver::new(&key),
                |receiver, packet| receiver.unprotect(packet).expect("it is authentic"),
            ),
        ]
    }

    fn webrtc(&self, wire: &Rc<Vec<Vec<u8>>>) -> Option<[Work; 2]> {
        works_of_contexts!(self, wire, "webrtc-srtp 0.17.2", webrtc_srtp)
    }

    fn rtc(&self, wire: &Rc<Vec<Vec<u8>>>) -> Option<[Work; 2]> {
        let provider = rtc_crypto::default_provider().expect("ring is built in");
        works_of_contexts!(self, wire, "rtc-srtp 0.21.1 (ring)", rtc_srtp, provider.crypto())
    }

    /// Its SRTP is not public: its ciphers are, and are put together here as it does. Header, index and
    /// replay window, which it keeps elsewhere, are left out.
    fn str0m(&self) -> Option<[Work; 2]> {
        use str0m_proto::crypto::{AeadAes128Gcm, Aes128CmSha1_80};
        const WHO: &str = "str0m 0.25 (aws-lc), its ciphers";
        const PADDING: usize = 15;
        let provider = str0m_aws_lc_rs::default_provider();
        let (srtp, sha1) = (provider.srtp_provider, provider.sha1_hmac_provider);
        let [protect, unprotect] = self.group;
        let length = HEADER + self.size;
        let number = |packet: &[u8]| u16::from_be_bytes([packet[2], packet[3]]);
        let speaking = Speaker::new(self.size);
        let scratch = RefCell::new(Vec::<u8>::new());
        match self.suite {
            Suite::AesCm128HmacSha1_80 => {
                let key: [u8; 16] = [7; 16];
                let cipher = |encrypts| RefCell::new(srtp.aes_128_cm_sha1_80().create_cipher(key, encrypts));
                let (enc, dec) = (cipher(true), cipher(false));
                // What is derived from the master key costs nothing here: any key will do.
                let tag = move |key: &[u8], parts: &[&[u8]]| sha1.sha1_hmac(key, parts);
                let write = move |packet: &[u8]| {
                    let index = u64::from(number(packet));
                    let iv = Aes128CmSha1_80::rtp_iv([7; 14], SSRC, index);
                    let mut out = vec![0; length + Aes128CmSha1_80::HMAC_TAG_LEN + 5];
                    enc.borrow_mut().encrypt(&iv, &packet[HEADER..], &mut out[HEADER..]).expect("encrypted");
                    out[..HEADER].copy_from_slice(&packet[..HEADER]);
                    Aes128CmSha1_80::rtp_hmac(tag, &[7; 20], &mut out, index, length);
                    out.truncate(length + Aes128CmSha1_80::HMAC_TAG_LEN);
                    out
                };
                let mut other = Speaker::new(self.size);
                let theirs: Vec<_> = (0..LIFE).map(|_| write(&other.get_mut().next()[..length])).collect();
                let theirs = Rc::new(theirs);
                Some([
                    Work::new(protect, WHO, move || write(&speaking.borrow_mut().next()[..length]).len()),
                    Hearer::work(
                        unprotect,
                        WHO,
                        &theirs,
                        || (),
                        move |(), packet| {
                            let (signed, theirs) =
                                packet.split_at(packet.len() - Aes128CmSha1_80::HMAC_TAG_LEN);
                            let index = u64::from(number(packet));
                            assert!(Aes128CmSha1_80::rtp_verify(tag, &[7; 20], signed, index, theirs));
                            let iv = Aes128CmSha1_80::rtp_iv([7; 14], SSRC, index);
                            let mut scratch = scratch.borrow_mut();
                            scratch.resize(signed.len() - HEADER + PADDING, 0);
                            dec.borrow_mut()
                                .decrypt(&iv, &signed[HEADER..], &mut scratch)
                                .expect("decrypted");
                        },
                    ),
                ])
            }
            Suite::AeadAes128Gcm => {
                let cipher =
                    |encrypts| RefCell::new(srtp.aead_aes_128_gcm().create_cipher([7; 16], encrypts));
                let (enc, dec) = (cipher(true), cipher(false));
                let write = move |packet: &[u8]| {
                    let iv = AeadAes128Gcm::rtp_iv([7; 12], SSRC, 0, number(packet));
                    let mut out = vec![0; length + AeadAes128Gcm::TAG_LEN];
                    let (head, body) = packet.split_at(HEADER);
                    enc.borrow_mut().encrypt(&iv, head, body, &mut out[HEADER..]).expect("encrypted");
                    out[..HEADER].copy_from_slice(head);
                    out
                };
                let mut other = Speaker::new(self.size);
                let theirs: Vec<_> = (0..LIFE).map(|_| write(&other.get_mut().next()[..length])).collect();
                let theirs = Rc::new(theirs);
                Some([
                    Work::new(protect, WHO, move || write(&speaking.borrow_mut().next()[..length]).len()),
                    Hearer::work(
                        unprotect,
                        WHO,
                        &theirs,
                        || (),
                        move |(), packet| {
                            let iv = AeadAes128Gcm::rtp_iv([7; 12], SSRC, 0, number(packet));
                            let (head, body) = packet.split_at(HEADER);
                            let mut scratch = scratch.borrow_mut();
                            scratch.resize(body.len() - AeadAes128Gcm::TAG_LEN, 0);
                            dec.borrow_mut().decrypt(&iv, &[head], body, &mut scratch).expect("authentic")
                        },
                    ),
                ])
            }
            _ => None,
        }
    }

    /// The system's library, which Debian builds without GCM.
    #[cfg(feature = "libsrtp")]
    fn libsrtp(&self, wire: &Rc<Vec<Vec<u8>>>) -> Option<[Work; 2]> {
        use srtp::{CryptoPolicy, Session, StreamPolicy};
        const WHO: &str = "libsrtp2 of the system";
        if self.suite != Suite::AesCm128HmacSha1_80 {
            return None;
        }
        let policy = || StreamPolicy {
            rtp: CryptoPolicy::aes_cm_128_hmac_sha1_80(),
            rtcp: CryptoPolicy::aes_cm_128_hmac_sha1_80(),
            key: &KEY[..30],
            window_size: 1_024,
            ..StreamPolicy::default()
        };
        let mut sender = Session::with_outbound_template(policy()).expect("a session");
        let mut speaking = Speaker::new(self.size);
        let length = HEADER + self.size;
        let mut packet = speaking.get_mut().next()[..length].to_vec();
        packet.reserve(64);
        sender.protect(&mut packet).expect("protected");
        assert_eq!(packet, wire[0], "{WHO}");
        let (sender, packet) = (RefCell::new(sender), RefCell::new(packet));
        let hearing = move || Session::with_inbound_template(policy()).expect("a session");
        let [protect, unprotect] = self.group;
        Some([
            Work::new(protect, WHO, move || {
                let (mut speaker, mut packet) = (speaking.borrow_mut(), packet.borrow_mut());
                packet.truncate(length);
                packet[..HEADER].copy_from_slice(&speaker.next()[..HEADER]);
                sender.borrow_mut().protect(&mut *packet).expect("protected");
                packet.len()
            }),
            Hearer::work(unprotect, WHO, wire, hearing, |receiver, packet| {
                receiver.unprotect(packet).expect("it is authentic");
                packet.len()
            }),
        ])
    }
}
