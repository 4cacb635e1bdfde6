use super::crypto::vectors;
use super::*;
use crate::packet::RtpHeader;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn key(suite: Suite) -> MasterKey {
    let bytes: Vec<u8> = (0..suite.master_len()).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect();
    MasterKey::new(suite, &bytes).unwrap()
}

fn pair(suite: Suite) -> (SrtpSender, SrtpReceiver) {
    (SrtpSender::new(&key(suite)), SrtpReceiver::new(&key(suite)))
}

/// A protected packet with this index; the sender's counter follows the order of calls.
fn protected(sender: &mut SrtpSender, ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut buffer = [0; 256];
    let len = RtpHeader::new(0, sequence, 160, ssrc).write_packet(b"a payload", &mut buffer).unwrap();
    let len = sender.protect(&mut buffer, len).unwrap();
    buffer[..len].to_vec()
}

fn protected_rtcp(sender: &mut SrtpSender, ssrc: u32) -> Vec<u8> {
    let mut buffer = [0; 256];
    let mut writer = crate::rtcp::Writer::new(&mut buffer);
    writer.receiver_report(ssrc, &[]).unwrap();
    writer.cname(ssrc, "someone").unwrap();
    let len = writer.finish();
    let len = sender.protect_rtcp(&mut buffer, len).unwrap();
    buffer[..len].to_vec()
}

/// RFC 3711 B.2, RFC 6188 §7.1 and §7.3.
#[test]
fn keystreams_of_the_rfcs() {
    let salt = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfd");
    let cases: [(&str, &[(u16, &str)]); 3] = [
        (
            "2B7E151628AED2A6ABF7158809CF4F3C",
            &[
                (0, "E03EAD0935C95E80E166B16DD92B4EB4"),
                (1, "D23513162B02D0F72A43A2FE4A5F97AB"),
                (2, "41E95B3BB0A2E8DD477901E4FCA894C0"),
                (0xfeff, "EC8CDF7398607CB0F2D21675EA9EA1E4"),
                (0xff00, "362B7C3C6773516318A077D7FC5073AE"),
                (0xff01, "6A2CC3787889374FBEB4C81B17BA6C44"),
            ],
        ),
        (
            "eab234764e517b2d3d160d587d8c86219740f65f99b6bcf7",
            &[(0, "35096cba4610028dc1b57503804ce37c"), (0xff01, "a5dab625811034e8cebdfeb6dc158dd3")],
        ),
        (
            "57f82fe3613fd170a85ec93c40b1f0922ec4cb0dc025b58272147cc438944a98",
            &[
                (0, "92bdd28a93c3f52511c677d08b5515a4"),
                (2, "63c4868b7096d88421b563b8c94c9a31"),
                (0xff01, "6eb246913062a16891433e97dd01a57f"),
            ],
        ),
    ];
    for (key, blocks) in cases {
        for (block, expected) in blocks {
            let mut out = [0; 16];
            vectors::keystream(&hex(key), &salt, *block, &mut out);
            assert_eq!(out.as_slice(), hex(expected), "{key} block {block:#x}");
        }
    }
}

/// RFC 3711 B.3, RFC 6188 §7.2 and §7.4.
#[test]
fn key_derivation_of_the_rfcs() {
    let cases = [
        (
            Suite::AesCm128HmacSha1_80,
            "E1F97A0D3E018BE0D64FA32C06DE41390EC675AD498AFEEBB6960B3AABE6",
            "C61E7A93744F39EE10734AFE3FF7A087",
            "30CBBC08863D8C85D49DB34A9AE1",
            "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA48F0A0ACF3C34E2359E6CDBCEE049646C43D9327AD175578EF722709863\
             71C10C9A369AC2F94A8C5FBCDDDC256D6E919A48B610EF17C2041E474035766B68642C59BBFC2F34DB60DBDFB2",
        ),
        (
            Suite::AesCm256HmacSha1_80,
            "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b63b04803de51ee7c96423ab5b78d2",
            "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
            "fa31791685ca444a9e07c6c64e93",
            "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
        ),
        (
            Suite::AesCm192HmacSha1_80,
            "73edc66c4fa15776fb57f9505c17136550ffda71f3e8e5f1c8522f3acd4ce86d5add78edbb11",
            "31874736a8f1143870c26e4857d8a5b2c4a354407faadabb",
            "2372b82d639b6d8503a47adc0a6c",
            "355b10973cd95b9eacf4061c7e1a7151e7cfbfcb",
        ),
    ];
    for (suite, master, cipher, salt, auth) in cases {
        let master = MasterKey::new(suite, &hex(master)).unwrap();
        for (label, expected) in [(0, cipher), (1, auth), (2, salt)] {
            let expected = hex(&expected.replace(' ', ""));
            let mut out = vec![0; expected.len()];
            vectors::derive(&master, label, &mut out);
            assert_eq!(out, expected, "{suite} label {label}");
        }
    }
}

/// RFC 7714 §16.1 and §16.2, which give session keys; the rollover counter is 0.
#[test]
fn gcm_packets_of_rfc_7714() {
    let salt = hex("517569642070726f2071756f");
    let plain = hex(
        "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573",
    );
    let cases = [
        (
            "000102030405060708090a0b0c0d0e0f",
            "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833\
             899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b\
             7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ];
    for (key, expected) in cases {
        let expected = hex(&expected.replace(' ', ""));
        let session = || vectors::gcm_session(&hex(key), &salt);
        let mut sender = SrtpSender::from_keys(session(), SenderConfig::default());
        let mut buffer = [0; 100];
        buffer[..plain.len()].copy_from_slice(&plain);
        let len = sender.protect(&mut buffer, plain.len()).unwrap();
        assert_eq!(&buffer[..len], expected);
        let mut receiver = SrtpReceiver::from_keys(session(), ReceiverConfig::default());
        let len = receiver.unprotect(&mut buffer[..len]).unwrap();
        assert_eq!(&buffer[..len], plain);
    }
}

/// RFC 2202 §3, test cases 1 and 3 (20-byte keys), and every length across the block boundary.
#[test]
fn hmac_sha1() {
    let tag = vectors::hmac(&[0x0b; 20], b"Hi There", b"");
    assert_eq!(tag.as_slice(), hex("b617318655057264e28bc0b6fb378c8ef146be00"));
    let tag = vectors::hmac(&[0xaa; 20], &[0xdd; 50], b"");
    assert_eq!(tag.as_slice(), hex("125d7342b9ac11cd91a39af48aa17b4f63f175d3"));
    // Where message and suffix part must not matter.
    let data = [7; 300];
    for len in 4..data.len() {
        let whole = vectors::hmac(&[1; 20], &data[..len], b"");
        assert_eq!(vectors::hmac(&[1; 20], &data[..len - 4], &data[..4]), whole, "{len}");
    }
}

#[test]
fn tags_differ_in_every_length() {
    let mut seen = std::collections::HashSet::new();
    for len in 0..300 {
        assert!(seen.insert(vectors::hmac(&[1; 20], &[7; 300][..len], b"")));
    }
}

#[test]
fn every_suite_round_trips_with_and_without_mki() {
    for suite in Suite::ALL {
        for mki in [None, Some([9, 8, 7, 6])] {
            let key = match mki {
                Some(mki) => key(suite).with_mki(&mki).unwrap(),
                None => key(suite),
            };
            let (mut sender, mut receiver) = (SrtpSender::new(&key), SrtpReceiver::new(&key));
            let mut packet = protected(&mut sender, 5, 1);
            assert_eq!(packet.len(), 21 + suite.tag_len() + mki.map_or(0, |mki| mki.len()));
            let len = receiver.unprotect(&mut packet).unwrap();
            assert_eq!(&packet[12..len], b"a payload", "{suite}");
            let mut packet = protected_rtcp(&mut sender, 5);
            let len = receiver.unprotect_rtcp(&mut packet).unwrap();
            assert_eq!(crate::rtcp::Compound::parse(&packet[..len]).unwrap().packets().count(), 2);
        }
    }
}

#[test]
fn every_bit_is_protected() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let packet = protected(&mut sender, 5, 1);
        let rtcp = protected_rtcp(&mut sender, 5);
        for bit in 0..packet.len() * 8 {
            let mut bad = packet.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(receiver.unprotect(&mut bad).is_err(), "{suite} bit {bit}");
        }
        for bit in 0..rtcp.len() * 8 {
            let mut bad = rtcp.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(receiver.unprotect_rtcp(&mut bad).is_err(), "{suite} RTCP bit {bit}");
        }
        for end in 0..packet.len() {
            assert!(receiver.unprotect(&mut packet[..end].to_vec()).is_err());
        }
        for end in 0..rtcp.len() {
            assert!(receiver.unprotect_rtcp(&mut rtcp[..end].to_vec()).is_err());
        }
        assert!(receiver.unprotect(&mut packet.clone()).is_ok(), "the flood did no harm");
        assert!(receiver.unprotect_rtcp(&mut rtcp.clone()).is_ok());
    }
}

#[test]
fn a_flood_of_bad_tags_takes_no_place_and_moves_nothing() {
    let (mut sender, mut receiver) = pair(Suite::AesCm128HmacSha1_80);
    let mut good: Vec<_> = (65_530..65_535).map(|sequence| protected(&mut sender, 5, sequence)).collect();
    assert!(receiver.unprotect(&mut good[0]).is_ok());
    for ssrc in 0..5000_u32 {
        // Other sources, and ours with numbers that would move the counter.
        for ssrc in [ssrc, 5] {
            let mut buffer = [0x80; 60];
            buffer[1] = 0;
            buffer[2..4].copy_from_slice(&(ssrc * 13 % 65_536).to_be_bytes()[2..]);
            buffer[8..12].copy_from_slice(&ssrc.to_be_bytes());
            assert!(receiver.unprotect(&mut buffer).is_err());
        }
    }
    assert!(good[1..].iter_mut().all(|packet| receiver.unprotect(packet).is_ok()));
    assert_eq!(receiver.rollover_counter(5), Some(0));
    assert_eq!(receiver.counters().accepted, 5);
    assert_eq!(receiver.counters().bad_tag + receiver.counters().replayed, 10_000);
}

#[test]
fn replays_are_refused_within_and_behind_the_window() {
    let (mut sender, mut receiver) = pair(Suite::AesCm128HmacSha1_80);
    let packets: Vec<_> = (0..2000).map(|sequence| protected(&mut sender, 5, sequence)).collect();
    // Every second one arrives; then all come.
    for packet in packets.iter().skip(1).step_by(2) {
        assert!(receiver.unprotect(&mut packet.clone()).is_ok());
    }
    for (sequence, packet) in packets.iter().enumerate() {
        let expected =
            if sequence % 2 == 0 && sequence > 1999 - 1024 { Ok(21) } else { Err(SrtpError::Replayed) };
        assert_eq!(receiver.unprotect(&mut packet.clone()), expected, "{sequence}");
    }
    let mut rtcp = protected_rtcp(&mut sender, 5);
    assert!(receiver.unprotect_rtcp(&mut rtcp.clone()).is_ok());
    assert_eq!(receiver.unprotect_rtcp(&mut rtcp), Err(SrtpError::Replayed));
}

#[test]
fn rollover_survives_loss_and_reorder_across_the_wrap() {
    for suite in [Suite::AesCm128HmacSha1_80, Suite::AeadAes128Gcm] {
        let (mut sender, mut receiver) = pair(suite);
        let mut held: Vec<Vec<u8>> = Vec::new();
        let mut state = 1_u32;
        for index in 30_000..230_000_u32 {
            let mut packet = protected(&mut sender, 5, u16::try_from(index & 0xffff).unwrap());
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let near_wrap = (index & 0xffff).wrapping_sub(65_436) < 200 || index & 0xffff < 100;
            match state >> 29 {
                // Lost; near the wrap much more of them.
                0 => continue,
                1..=3 if near_wrap => continue,
                // Late by many packets.
                4 => held.push(packet),
                _ => assert!(receiver.unprotect(&mut packet).is_ok(), "{suite} {index}"),
            }
            if held.len() == 50 {
                for mut late in held.drain(..).rev() {
                    assert!(receiver.unprotect(&mut late).is_ok(), "{suite} late at {index}");
                }
            }
        }
        assert_eq!(receiver.rollover_counter(5), sender.rollover_counter(5));
        assert_eq!(sender.rollover_counter(5), Some(3));
    }
}

#[test]
fn a_source_first_heard_after_its_first_wrap_is_heard() {
    let (mut sender, mut receiver) = pair(Suite::AesCm128HmacSha1_80);
    let _lost = protected(&mut sender, 5, 65_535);
    let mut packet = protected(&mut sender, 5, 0);
    assert!(receiver.unprotect(&mut packet).is_ok());
    assert_eq!(receiver.rollover_counter(5), Some(1));
}

#[test]
fn no_index_is_protected_twice() {
    let (mut sender, _) = pair(Suite::AesCm128HmacSha1_80);
    let mut buffer = [0; 100];
    let mut protect = |sequence| {
        let len = RtpHeader::new(0, sequence, 0, 5).write_packet(b"x", &mut buffer).unwrap();
        sender.protect(&mut buffer, len).map(|_| ())
    };
    assert_eq!(
        [7, 9, 8, 7, 9].map(&mut protect),
        [Ok(()), Ok(()), Ok(()), Err(SrtpError::IndexReused), Err(SrtpError::IndexReused)]
    );
}

#[test]
fn no_room_no_packet() {
    for suite in Suite::ALL {
        let (mut sender, _) = pair(suite);
        let mut buffer = [0; 64];
        let len = RtpHeader::new(0, 1, 0, 5).write_packet(b"payload", &mut buffer).unwrap();
        let room = len + sender.overhead() - 1;
        assert_eq!(sender.protect(&mut buffer[..room], len), Err(SrtpError::BufferTooSmall));
        assert!(sender.protect(&mut buffer, usize::MAX).is_err());
        assert!(sender.protect(&mut buffer[..=room], len).is_ok());
    }
}

#[test]
fn sources_are_bounded_on_both_sides() {
    let key = key(Suite::AesCm128HmacSha1_80);
    let mut sender = SrtpSender::with_config(&key, SenderConfig { max_sources: 3 });
    let config = ReceiverConfig { max_sources: 2, ..ReceiverConfig::default() };
    let mut receiver = SrtpReceiver::with_config(&key, config);
    let results: Vec<_> =
        (0..3).map(|ssrc| receiver.unprotect(&mut protected(&mut sender, ssrc, 1))).collect();
    assert_eq!(results, [Ok(21), Ok(21), Err(SrtpError::TooManySources)]);
    assert_eq!(receiver.counters().refused_sources, 1);
    let mut buffer = [0; 64];
    let len = RtpHeader::new(0, 1, 0, 99).write_packet(b"", &mut buffer).unwrap();
    assert_eq!(sender.protect(&mut buffer, len), Err(SrtpError::TooManySources));
}

#[test]
fn keys_are_told_apart_by_their_identifier() {
    let suite = Suite::AesCm128HmacSha1_80;
    let old = key(suite).with_mki(b"old1").unwrap();
    let new = MasterKey::new(suite, &[1; 30]).unwrap().with_mki(b"new1").unwrap();
    let mut receiver = SrtpReceiver::new(&old);
    let (mut from_old, mut from_new) = (SrtpSender::new(&old), SrtpSender::new(&new));
    assert_eq!(receiver.unprotect(&mut protected(&mut from_new, 5, 2)), Err(SrtpError::UnknownKey));
    receiver.add_key(&new).unwrap();
    assert!(receiver.unprotect(&mut protected(&mut from_old, 5, 1)).is_ok());
    assert!(receiver.unprotect(&mut protected(&mut from_new, 5, 3)).is_ok());
    assert_eq!(receiver.add_key(&new), Err(KeyError::Mki));
    assert_eq!(receiver.add_key(&key(suite)), Err(KeyError::Mki));
}

#[test]
fn what_is_not_encrypted_is_refused() {
    let (mut sender, mut receiver) = pair(Suite::AesCm128HmacSha1_80);
    let mut packet = protected_rtcp(&mut sender, 5);
    let word = packet.len() - 14;
    packet[word] &= 0x7f;
    assert_eq!(receiver.unprotect_rtcp(&mut packet), Err(SrtpError::NotEncrypted));
}

#[test]
fn names_lengths_and_silence() {
    for suite in Suite::ALL {
        assert_eq!(suite.name().parse(), Ok(suite));
        assert_eq!(suite.name().to_lowercase().parse(), Ok(suite));
        let wrong = vec![0; suite.master_len() - 1];
        assert!(matches!(MasterKey::new(suite, &wrong), Err(KeyError::Length { .. })));
    }
    assert_eq!("NULL_HMAC_SHA1_80".parse::<Suite>(), Err(KeyError::UnknownSuite));
    let key = MasterKey::new(Suite::AesCm128HmacSha1_80, &[0xab; 30]).unwrap();
    let printed = format!("{key:?} {:?} {:?}", SrtpSender::new(&key), SrtpReceiver::new(&key));
    assert!(!printed.contains("171") && !printed.contains("ab, "), "{printed}");
}

/// RFC 4568 §6.1: a key that may protect so many packets protects no more, nor opens them.
#[test]
fn a_lifetime_ends_a_key_on_both_sides() {
    for suite in [Suite::AesCm128HmacSha1_80, Suite::AeadAes128Gcm] {
        let whole = key(suite);
        let short = whole.clone().with_lifetime(2);
        let (mut sender, mut receiver) = (SrtpSender::new(&short), SrtpReceiver::new(&short));
        let mut unlimited = SrtpSender::new(&whole);
        for sequence in 1..=2 {
            let mut packet = protected(&mut sender, 5, sequence);
            assert!(receiver.unprotect(&mut packet).is_ok());
            let mut packet = protected_rtcp(&mut sender, 5);
            assert!(receiver.unprotect_rtcp(&mut packet).is_ok());
        }
        let mut buffer = [0; 100];
        let len = RtpHeader::new(0, 3, 0, 5).write_packet(b"x", &mut buffer).unwrap();
        assert_eq!(sender.protect(&mut buffer, len), Err(SrtpError::KeyExpired));
        let mut late = protected(&mut unlimited, 5, 3);
        assert_eq!(receiver.unprotect(&mut late), Err(SrtpError::KeyExpired));
        assert_eq!(
            receiver.unprotect_rtcp(&mut protected_rtcp(&mut unlimited, 5)),
            Err(SrtpError::KeyExpired)
        );
    }
}
