use super::*;
use crate::driver::clock;
use crate::driver::media::samples::pcmu;
use crate::driver::media::tls;

fn parameters(active: bool, peer: &tls::Identity) -> AudioParameters {
    let (hash, digest) =
        peer.fingerprint().split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("two");
    let digest = digest.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal")).collect();
    let remote = std::net::SocketAddr::from(([192, 0, 2, 1], 4_000));
    let dtls = DtlsParameters {
        active,
        fingerprints: vec![(hash, digest)],
        local_id: "here".to_owned(),
        remote_id: None,
    };
    AudioParameters { dtls: Some(Box::new(dtls)), srtp_policy: SrtpPolicy::Mandatory, ..pcmu(remote) }
}

/// A handshake says where the peer is while it goes on. Afterwards anybody may send a datagram that looks like one.
#[test]
fn a_handshake_that_is_over_says_no_more_where_the_peer_is() {
    let now = clock::now().instant;
    let identities = [(), ()].map(|()| tls::Identity::generate().expect("a certificate"));
    let mut ends = [(0, 1), (1, 0)].map(|(own, peer)| {
        let dtls = identities[own].for_dtls().expect("keys");
        Protection::new(&parameters(own == 0, &identities[peer]), Some(dtls))
    });
    let mut openers = [Opener::new(), Opener::new()];
    ends.iter_mut().for_each(|end| end.open(now, 1));
    assert!(ends.iter().all(|end| end.is_shaking(1) && end.is_shaking(2)));
    for turn in 0..32 {
        let from = turn % 2;
        for progress in ends[from].poll(now) {
            match progress {
                Progress::Transmit(component, datagram) => ends[1 - from].take(now, component, &datagram),
                Progress::Encrypted(_) => {}
                Progress::Failed(reason) => panic!("{reason}"),
            }
        }
        ends[from].take_opening().into_iter().for_each(|opening| openers[from].obey(opening));
    }
    assert!(!ends.iter().any(|end| end.is_shaking(1) || end.is_shaking(2)));
    ends[0].take(now, 1, &[22, 254, 253, 0, 0]);
    assert!(!ends[0].is_shaking(1), "nor does what comes later");
    // And what the one encrypts the other opens, now that both have keys.
    let mut packet = [0; 64];
    packet[..12].copy_from_slice(&[0x80, 201, 0, 2, 0, 0, 0, 7, 0, 0, 0, 0]);
    let length = ends[0].protect_rtcp(&mut packet, 12).expect("there are keys");
    assert_eq!(openers[1].unprotect_rtcp(&mut packet[..length]), Some(12));
    // What is agreed on anew is found anew.
    let mut again = parameters(true, &identities[1]);
    again.dtls.as_mut().expect("DTLS").remote_id = Some("again".to_owned());
    ends[0].apply(&again);
    assert!(ends[0].is_shaking(1));
}
