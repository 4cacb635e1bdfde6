//! Two descriptions that talk to each other.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sip_core::StatusCode;

use super::{Description, LocalAudio, LocalChat, LocalDtls, LocalIce, LocalMedia, NegotiationError};
use crate::configuration::{MsrpConfiguration, RtpConfiguration, SessionTimers, SrtpKeying};
use crate::session::StreamSet;
use crate::session::machine::SessionConfig;
use ice_stun::ice::{Candidate, Transport};

fn config(use_srtp: bool, srtp_forced: bool) -> SessionConfig {
    SessionConfig {
        rtp: RtpConfiguration { use_srtp, srtp_forced, ..RtpConfiguration::default() },
        msrp: MsrpConfiguration::default(),
        timers: SessionTimers::default(),
        accepts: StreamSet::BOTH,
        auto_answer: crate::session::AutoAnswer::Never,
        default_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

fn media(seed: u8, streams: StreamSet) -> LocalMedia {
    let port = 4_000 + u16::from(seed) * 10;
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let keys = LocalAudio::new_keys(&mut ChaCha20Rng::from_seed([seed; 32]), &RtpConfiguration::default());
    let fingerprint = sdp::attribute::Fingerprint { hash: "sha-256".to_owned(), digest: vec![seed; 32] };
    let dtls = Some(LocalDtls { fingerprint, tls_id: format!("association-of-{seed:08}"), agreed: None });
    LocalMedia {
        audio: streams.audio.then(|| LocalAudio {
            rtp: at(port),
            rtcp: at(port + 1),
            keys,
            dtls,
            ice: None,
            muxed: false,
        }),
        chat: streams.chat.then(|| LocalChat {
            path: format!("msrp://127.0.0.1:{}/session{seed};tcp", port + 2),
            fingerprint: None,
        }),
        files: Vec::new(),
        held: false,
    }
}

/// Offer and answer between two sides; what each comes to.
fn exchange(
    offerer: (&mut Description, &LocalMedia, &SessionConfig),
    answerer: (&mut Description, &LocalMedia, &SessionConfig),
) -> (super::Negotiated, super::Negotiated) {
    let offer = offerer.0.offer(offerer.1, offerer.2);
    answerer.0.offered(Some(&offer), answerer.2).expect("an acceptable offer");
    let (answer, theirs) = answerer.0.answer(answerer.1, answerer.2).expect("an answer");
    let ours = offerer.0.answered(Some(&answer), offerer.2).expect("a fitting answer");
    (ours, theirs)
}

#[test]
fn audio_and_chat_come_to_the_same_on_both_sides() {
    let config = config(false, false);
    let (alice, bob) = (media(1, StreamSet::BOTH), media(2, StreamSet::BOTH));
    let (mut a, mut b) = (Description::new(1), Description::new(2));
    let (ours, theirs) = exchange((&mut a, &alice, &config), (&mut b, &bob, &config));
    let (ours_audio, theirs_audio) = (ours.audio.expect("audio"), theirs.audio.expect("audio"));
    assert_eq!(ours_audio.codec, theirs_audio.codec);
    assert_eq!(ours_audio.remote_rtp, bob.audio.expect("audio").rtp);
    assert_eq!(theirs_audio.remote_rtp, alice.audio.expect("audio").rtp);
    assert_eq!(ours_audio.send_payload_type, theirs_audio.receive_payload_type);
    assert!(ours_audio.dtmf.is_some() && ours_audio.sends && ours_audio.receives);
    let (ours_chat, theirs_chat) = (ours.chat.expect("chat"), theirs.chat.expect("chat"));
    assert!(ours_chat.active && !theirs_chat.active, "RFC 4975 §5.4: the offerer connects");
    assert_eq!(ours_chat.remote_path, theirs_chat.local_path);
    assert!(ours_chat.cpim);
}

#[test]
fn encryption_follows_both_policies() {
    for (ours, theirs, encrypted) in [
        ((true, false), (true, false), Some(true)),
        ((true, false), (false, false), Some(false)),
        ((false, false), (true, false), Some(false)),
        ((true, true), (true, false), Some(true)),
        ((true, true), (true, true), Some(true)),
        // Keys beside RTP/AVP leave it to the answerer, which is not mandatory.
        ((true, false), (true, true), None),
        ((true, true), (false, false), None),
        ((false, false), (true, true), None),
    ] {
        let (ours, theirs) = (config(ours.0, ours.1), config(theirs.0, theirs.1));
        let (alice, bob) = (media(1, StreamSet::AUDIO), media(2, StreamSet::AUDIO));
        let (mut a, mut b) = (Description::new(1), Description::new(2));
        let offer = a.offer(&alice, &ours);
        let offered = b.offered(Some(&offer), &theirs).expect("a readable offer");
        assert_eq!(offered.acceptable.audio, encrypted.is_some());
        let Some(encrypted) = encrypted else { continue };
        let (answer, theirs) = b.answer(&bob, &theirs).expect("an answer");
        let ours = a.answered(Some(&answer), &ours).expect("a fitting answer");
        let keys = |one: super::Negotiated| one.audio.and_then(|audio| audio.srtp);
        match (keys(ours), keys(theirs)) {
            (Some(ours), Some(theirs)) => {
                assert!(encrypted);
                assert_eq!(ours.local_key, theirs.remote_keys[0].master);
                assert_eq!(ours.remote_keys[0].master, theirs.local_key);
            }
            (None, None) => assert!(!encrypted),
            _ => panic!("one side encrypts and the other does not"),
        }
    }
}

#[test]
fn hold_and_its_end_are_seen_by_the_other_side() {
    let config = config(false, false);
    let (mut alice, bob) = (media(1, StreamSet::AUDIO), media(2, StreamSet::AUDIO));
    let (mut a, mut b) = (Description::new(1), Description::new(2));
    exchange((&mut a, &alice, &config), (&mut b, &bob, &config));
    alice.held = true;
    let (ours, theirs) = exchange((&mut a, &alice, &config), (&mut b, &bob, &config));
    assert!(theirs.held_by_remote && !ours.held_by_remote);
    let (ours, theirs) = (ours.audio.expect("audio"), theirs.audio.expect("audio"));
    assert!(!ours.sends && !ours.receives, "who holds neither speaks nor listens");
    assert!(!theirs.sends, "who is held is not listened to");
    alice.held = false;
    let (ours, theirs) = exchange((&mut a, &alice, &config), (&mut b, &bob, &config));
    assert!(!theirs.held_by_remote && !ours.held_by_remote);
    assert!(theirs.audio.is_some_and(|audio| audio.sends && audio.receives));
}

#[test]
fn a_stream_leaves_its_line_and_comes_back() {
    let config = config(false, false);
    let (both, audio) = (media(1, StreamSet::BOTH), media(1, StreamSet::AUDIO));
    let bob = media(2, StreamSet::BOTH);
    let (mut a, mut b) = (Description::new(1), Description::new(2));
    exchange((&mut a, &both, &config), (&mut b, &bob, &config));
    let (ours, theirs) = exchange((&mut a, &audio, &config), (&mut b, &bob, &config));
    assert!(ours.chat.is_none() && theirs.chat.is_none() && theirs.audio.is_some());
    let (ours, theirs) = exchange((&mut a, &both, &config), (&mut b, &bob, &config));
    assert!(ours.chat.is_some() && theirs.chat.is_some() && theirs.audio.is_some());
}

/// RFC 6714 §4.3: lines that lead elsewhere than a path that is new are something else's.
#[test]
fn a_chat_that_runs_stays_when_its_peer_moves() {
    let (config, both) = (config(false, false), StreamSet::BOTH);
    let (mut a, mut b) = (Description::new(1), Description::new(2));
    exchange((&mut a, &media(1, both), &config), (&mut b, &media(2, both), &config));
    let offer = b.offer(&media(2, both), &config);
    let text = String::from_utf8(offer.to_vec()).expect("a description is text");
    assert!(text.contains("a=msrp-cema\r\n"));
    let moved = text.replace("a=msrp-cema\r\n", "").replace("c=IN IP4 127.0.0.1", "c=IN IP4 192.0.2.5");
    assert!(a.offered(Some(moved.as_bytes()), &config).expect("an offer").acceptable.chat);
    let (_, came_to) = a.answer(&media(1, both), &config).expect("an answer");
    assert!(came_to.chat.is_some_and(|chat| chat.remote_place.is_none()));
    let mut stranger = Description::new(3);
    assert!(!stranger.offered(Some(moved.as_bytes()), &config).expect("an offer").acceptable.chat);
}

#[test]
fn refused_streams_are_answered_with_port_0() {
    let config = config(false, false);
    let (alice, bob) = (media(1, StreamSet::BOTH), media(2, StreamSet::CHAT));
    let (mut a, mut b) = (Description::new(1), Description::new(2));
    let (ours, theirs) = exchange((&mut a, &alice, &config), (&mut b, &bob, &config));
    assert!(ours.audio.is_none() && theirs.audio.is_none());
    assert!(ours.chat.is_some() && theirs.chat.is_some());
}

#[test]
fn what_cannot_be_read_or_taken_is_refused_with_a_reason() {
    let config = config(false, false);
    let mut a = Description::new(1);
    let refusal = a.offered(Some(b"no sdp"), &config).expect_err("it is none");
    assert_eq!(refusal.status, StatusCode::NOT_ACCEPTABLE_HERE);
    let offer = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 18\r\n";
    let offered = a.offered(Some(offer.as_bytes()), &config).expect("it can be read");
    assert_eq!(offered.acceptable, StreamSet::NONE, "G.729 alone");
    a.rollback();
    a.offer(&media(1, StreamSet::AUDIO), &config);
    assert_eq!(a.answered(None, &config).expect_err("no answer"), NegotiationError::NoAnswer);
}

fn with_ice(seed: u8) -> LocalMedia {
    let mut media = media(seed, StreamSet::AUDIO);
    if let Some(audio) = &mut media.audio {
        let host = |component, at| Candidate::host(component, Transport::Udp, at, 1);
        audio.ice = Some(LocalIce {
            credentials: super::new_credentials(&mut ChaCha20Rng::from_seed([seed; 32])),
            candidates: vec![host(1, audio.rtp), host(2, audio.rtcp)],
            trickle: None,
            selected: None,
            remote: None,
            before_restart: None,
        });
    }
    media
}

/// RFC 8839 §5.3: of the session, in offers and answers; and the other side knows.
#[test]
fn who_is_lite_says_so() {
    let (full, mut lite) = (config(false, false), config(false, false));
    lite.rtp.ice_lite = true;
    let (alice, bob) = (with_ice(1), with_ice(2));
    for (ours, theirs) in [(&lite, &full), (&full, &lite)] {
        let (mut a, mut b) = (Description::new(1), Description::new(2));
        let offer = a.offer(&alice, ours);
        b.offered(Some(&offer), theirs).expect("a readable offer");
        let (answer, at_bob) = b.answer(&bob, theirs).expect("an answer");
        let at_alice = a.answered(Some(&answer), ours).expect("a fitting answer");
        for (text, config, at_peer) in [(&offer, ours, at_bob), (&answer, theirs, at_alice)] {
            let text = String::from_utf8_lossy(text);
            let head = text.split("m=").next().unwrap_or_default();
            assert_eq!(head.contains("a=ice-lite\r\n"), config.rtp.ice_lite, "{text}");
            let remote = at_peer.audio.expect("audio").ice.expect("ICE").remote;
            assert_eq!(remote.lite, config.rtp.ice_lite);
        }
    }
    let plain = Description::new(1).offer(&media(1, StreamSet::AUDIO), &lite);
    assert!(!String::from_utf8_lossy(&plain).contains("ice-lite"), "there is no ICE in it");
}

#[test]
fn ice_is_told_and_read_and_rtcp_shares_the_port() {
    let (ours, theirs) = (config(false, false), config(false, false));
    let (alice, bob) = (with_ice(1), with_ice(2));
    let (mut a, mut b) = (Description::new(1), Description::new(2));
    let offer = a.offer(&alice, &ours);
    b.offered(Some(&offer), &theirs).expect("a readable offer");
    let (answer, at_bob) = b.answer(&bob, &theirs).expect("an answer");
    let at_alice = a.answered(Some(&answer), &ours).expect("a fitting answer").audio.expect("audio");
    let at_bob = at_bob.audio.expect("audio");
    assert!(at_alice.rtcp_mux && at_bob.rtcp_mux);
    let (alice, bob) =
        (alice.audio.expect("audio").ice.expect("ICE"), bob.audio.expect("audio").ice.expect("ICE"));
    let (at_alice, at_bob) = (at_alice.ice.expect("ICE"), at_bob.ice.expect("ICE"));
    assert_eq!(
        (&at_bob.remote.credentials, &at_alice.remote.credentials),
        (&alice.credentials, &bob.credentials)
    );
    assert_eq!(at_bob.candidates, alice.candidates, "an offerer cannot know that one port will do");
    assert_eq!(at_alice.candidates, bob.candidates[..1]);
    assert!(!b.restarts_ice(&alice.credentials));
}

#[test]
fn who_changes_addresses_without_knowing_ice_turns_it_off() {
    let offer = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 198.51.100.9\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
        a=candidate:1 1 UDP 2130706431 192.0.2.1 4000 typ host\r\n";
    let config = config(false, false);
    let mut local = media(2, StreamSet::AUDIO);
    if let Some(audio) = &mut local.audio {
        audio.ice = Some(LocalIce {
            credentials: super::new_credentials(&mut ChaCha20Rng::from_seed([2; 32])),
            candidates: vec![Candidate::host(1, Transport::Udp, audio.rtp, 1)],
            trickle: None,
            selected: None,
            remote: None,
            before_restart: None,
        });
    }
    let mut description = Description::new(2);
    description.offered(Some(offer.as_bytes()), &config).expect("a readable offer");
    let (answer, negotiated) = description.answer(&local, &config).expect("an answer");
    let answer = String::from_utf8(answer.to_vec()).expect("text");
    assert!(answer.contains("a=ice-mismatch\r\n") && !answer.contains("candidate"), "{answer}");
    let audio = negotiated.audio.expect("audio");
    assert!(audio.ice.is_none());
    assert_eq!(audio.remote_rtp.to_string(), "198.51.100.9:4000");
}

fn keyed(srtp_forced: bool, srtp_keying: SrtpKeying) -> SessionConfig {
    let mut config = config(true, srtp_forced);
    config.rtp.srtp_keying = srtp_keying;
    config
}

/// What both sides keep of an exchange, as the session does.
fn keep(local: &mut LocalMedia, came_to: &super::Negotiated) {
    let (audio, parameters) = (local.audio.as_mut().expect("audio"), came_to.audio.as_ref().expect("audio"));
    audio.muxed = parameters.rtcp_mux;
    audio.dtls.as_mut().expect("a certificate").agreed = parameters.dtls.as_deref().cloned();
}

/// RFC 5763 §5, RFC 8842 §5: who answers waits; the association stands while nobody says anything new, and
/// another certificate is another association.
#[test]
fn keys_by_dtls_are_offered_answered_and_kept() {
    let config = keyed(true, SrtpKeying::Dtls);
    let (mut alice, mut bob) = (media(1, StreamSet::AUDIO), media(2, StreamSet::AUDIO));
    let (mut a, mut b) = (Description::new(1), Description::new(2));
    let text = String::from_utf8(a.clone().offer(&alice, &config).to_vec()).expect("text");
    assert!(text.contains("UDP/TLS/RTP/SAVP ") && text.contains("a=setup:actpass"), "{text}");
    assert!(text.contains("a=tls-id:association-of-00000001") && !text.contains("a=crypto"), "{text}");
    let (ours, theirs) = exchange((&mut a, &alice, &config), (&mut b, &bob, &config));
    keep(&mut alice, &ours);
    keep(&mut bob, &theirs);
    let dtls = |one: &super::Negotiated| {
        let audio = one.audio.clone().expect("audio");
        assert!(audio.srtp.is_none() && audio.rtcp_mux);
        *audio.dtls.expect("DTLS")
    };
    let (first, at_bob) = (dtls(&ours), dtls(&theirs));
    assert!(first.active && !at_bob.active, "who answers waits");
    assert_eq!(first.fingerprints, [("sha-256".to_owned(), vec![2; 32])]);
    assert_eq!(at_bob.fingerprints, [("sha-256".to_owned(), vec![1; 32])]);
    assert_eq!(first.remote_id.as_ref(), Some(&at_bob.local_id));

    // Bob offers anew: the roles stay although alice could wait now.
    let (theirs, ours) = exchange((&mut b, &bob, &config), (&mut a, &alice, &config));
    assert_eq!((dtls(&ours), dtls(&theirs)), (first.clone(), at_bob.clone()));

    // Alice has another certificate: another association, with another name on both sides.
    let ours = alice.audio.as_mut().expect("audio").dtls.as_mut().expect("a certificate");
    ours.fingerprint.digest = vec![9; 32];
    let (_, theirs) = exchange((&mut a, &alice, &config), (&mut b, &bob, &config));
    let other = dtls(&theirs);
    assert_ne!(other.fingerprints, at_bob.fingerprints);
    assert_ne!(other.local_id, at_bob.local_id);
    assert!(!other.active);
}

#[test]
fn keying_follows_both_sides() {
    use SrtpKeying::{Both, Dtls, Sdes};
    // (offerer forced, keying), (answerer forced, keying): None refused, true by DTLS.
    for (ours, theirs, by_dtls) in [
        ((true, Dtls), (true, Sdes), Some(true)),
        ((true, Dtls), (false, Sdes), Some(true)),
        ((true, Both), (true, Both), Some(true)),
        ((true, Sdes), (true, Both), Some(false)),
        ((true, Sdes), (true, Dtls), None),
        ((false, Both), (false, Both), Some(true)),
        ((false, Both), (false, Sdes), Some(true)),
        ((false, Dtls), (false, Dtls), Some(true)),
        ((false, Sdes), (false, Both), Some(false)),
    ] {
        let row = format!("{ours:?} {theirs:?}");
        let (ours, theirs) = (keyed(ours.0, ours.1), keyed(theirs.0, theirs.1));
        let (alice, bob) = (media(1, StreamSet::AUDIO), media(2, StreamSet::AUDIO));
        let (mut a, mut b) = (Description::new(1), Description::new(2));
        let offer = a.offer(&alice, &ours);
        let offered = b.offered(Some(&offer), &theirs).expect("a readable offer");
        assert_eq!(offered.acceptable.audio, by_dtls.is_some(), "{row}");
        let Some(by_dtls) = by_dtls else { continue };
        let (answer, theirs) = b.answer(&bob, &theirs).expect("an answer");
        let ours = a.answered(Some(&answer), &ours).expect("a fitting answer");
        for one in [ours, theirs] {
            let audio = one.audio.expect("audio");
            assert_eq!((audio.dtls.is_some(), audio.srtp.is_some()), (by_dtls, !by_dtls), "{row}");
        }
    }
    // Who wants no SRTP refuses it (488); beside RTP/AVP it stays plain.
    let off = config(false, false);
    let (alice, bob) = (media(1, StreamSet::AUDIO), media(2, StreamSet::AUDIO));
    let offer = Description::new(1).offer(&alice, &keyed(true, Dtls));
    assert!(!Description::new(2).offered(Some(&offer), &off).expect("readable").acceptable.audio);
    let (mut a, mut b) = (Description::new(1), Description::new(2));
    let (ours, _) = exchange((&mut a, &alice, &keyed(false, Both)), (&mut b, &bob, &off));
    let audio = ours.audio.expect("audio");
    assert!(audio.dtls.is_none() && audio.srtp.is_none());
}

/// An answer without a certificate, without a side, or with a hash that proves nothing, makes no call.
#[test]
fn half_an_answer_to_dtls_is_none() {
    let config = keyed(true, SrtpKeying::Dtls);
    let (alice, bob) = (media(1, StreamSet::AUDIO), media(2, StreamSet::AUDIO));
    for (from, to) in [
        ("a=setup:passive", "a=setup:actpass"),
        ("a=setup:passive", "a=setup:holdconn"),
        ("a=setup:passive", "a=x"),
        ("a=fingerprint:sha-256", "a=x"),
        ("a=fingerprint:sha-256", "a=fingerprint:md5"),
    ] {
        let (mut a, mut b) = (Description::new(1), Description::new(2));
        let offer = a.offer(&alice, &config);
        b.offered(Some(&offer), &config).expect("an acceptable offer");
        let (answer, _) = b.answer(&bob, &config).expect("an answer");
        let answer = String::from_utf8(answer.to_vec()).expect("text").replacen(from, to, 1);
        assert!(a.answered(Some(answer.as_bytes()), &config).is_err(), "{to}");
    }
}
