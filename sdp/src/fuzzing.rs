//! The bodies of the fuzz targets. Each takes any bytes and panics if a promise of the crate does not hold.

use crate::attribute::*;
use crate::{
    Attribute, Attributes, Direction, Fragment, Limits, MediaDescription, NegotiationState, Negotiator,
    SessionDescription, Text, negotiate_codecs,
};

/// A target: any bytes.
pub type Target = fn(&[u8]);

/// Name and body of each target.
pub const TARGETS: &[(&str, Target)] = &[
    ("sdp_description", description),
    ("sdp_attributes", attributes),
    ("sdp_negotiation", negotiation),
    ("sdp_fragment", fragment),
];

/// Fragments print so that they read the same, within their limits.
pub fn fragment(data: &[u8]) {
    let Ok(read) = Fragment::parse(data) else { return };
    let limits = Limits::default();
    assert!(read.media.len() <= limits.media, "m-lines have a limit");
    let attributes: usize = read.media.iter().map(|media| media.attributes.len()).sum();
    assert!(attributes + read.attributes.len() <= limits.attributes, "attributes have a limit");
    for media in &read.media {
        let mid = media.attributes.value("mid");
        assert!(mid.is_none_or(|mid| read.media(mid).is_some()), "what is there is found");
    }
    let again = Fragment::parse(&read.to_string());
    assert!(
        again.as_ref() == Ok(&read) || again.is_err_and(|error| error.kind == crate::ErrorKind::Limit),
        "what was printed reads the same: {read:?}"
    );
}

/// What parses prints as it came; what is changed prints so that it parses to the same.
pub fn description(data: &[u8]) {
    let Ok(read) = SessionDescription::parse(data) else { return };
    let printed = read.to_text();
    if let Ok(text) = std::str::from_utf8(data) {
        assert_eq!(printed, text, "unchanged, it prints as it came");
    }
    assert_eq!(printed, read.to_string(), "both ways of printing are one");
    assert!(SessionDescription::parse(&printed).as_ref() == Ok(&read), "what was printed parses to the same");
    for media in &read.media {
        let codecs = media.rtp_codecs();
        let matches = negotiate_codecs(&codecs, &codecs);
        assert!(matches.len() <= codecs.len());
        let _ = (media.direction(&read), media.address(&read), media.is_rejected());
    }
    let mut changed = read.clone();
    changed.name = Text::new(if read.name == "x" { "y" } else { "x" }).unwrap_or_default();
    for media in &mut changed.media {
        let _ = media.attributes.push(&RtcpMux);
        if !media.formats.is_empty() {
            media.port = media.port.wrapping_add(1);
        }
    }
    let printed = changed.to_text();
    let again = SessionDescription::parse(&printed);
    assert!(
        again.as_ref() == Ok(&changed) || again.is_err_and(|error| error.kind == crate::ErrorKind::Limit),
        "what was changed prints and parses to the same: {printed:?}"
    );
}

/// Typed attributes never panic, and what they read they write so that it reads the same.
pub fn attributes(data: &[u8]) {
    let Ok(value) = std::str::from_utf8(data) else { return };
    fn both<T: Attribute + PartialEq + std::fmt::Debug>(name: &str, value: &str) {
        let Ok(one) = T::read(name, Some(value)) else { return };
        let mut list = Attributes::new();
        if list.push(&one).is_ok() {
            assert_eq!(list.get::<T>(), Some(Ok(one)), "written and read");
        }
    }
    both::<RtpMap>("rtpmap", value);
    both::<Fmtp>("fmtp", value);
    both::<Ptime>("ptime", value);
    both::<RtcpFb>("rtcp-fb", value);
    both::<ExtMap>("extmap", value);
    both::<Crypto>("crypto", value);
    both::<Rtcp>("rtcp", value);
    both::<Setup>("setup", value);
    both::<TcpConnection>("connection", value);
    both::<Fingerprint>("fingerprint", value);
    both::<Group>("group", value);
    both::<Mid>("mid", value);
    both::<Label>("label", value);
    both::<Ssrc>("ssrc", value);
    both::<SsrcGroup>("ssrc-group", value);
    both::<Msid>("msid", value);
    both::<Candidate>("candidate", value);
}

/// Two ends that offer, answer, roll back and get things wrong, one operation a byte: the pair never disagrees
/// on how many streams there are, and versions never fall.
pub fn negotiation(data: &[u8]) {
    const AUDIO: &str = "v=0\r\no=a 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                         m=audio 9000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";
    const BUNDLE: &str = "v=0\r\no=a 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=group:BUNDLE x y\r\n\
                          m=audio 9000 RTP/AVP 0\r\na=mid:x\r\nm=audio 0 RTP/AVP 0 8\r\na=mid:y\r\na=bundle-only\r\n";
    let base = if data.first().is_some_and(|byte| byte & 0x80 != 0) { BUNDLE } else { AUDIO };
    let Ok(base) = SessionDescription::parse(base) else { return };
    let mut ends = [Negotiator::new(), Negotiator::new()];
    let mut versions = [0u64; 2];
    for byte in data.iter().take(512) {
        let [first, second] = &mut ends;
        let side = usize::from(byte & 1);
        let (one, other) = if side == 0 { (first, second) } else { (second, first) };
        let mut sent = None;
        match byte >> 1 & 7 {
            0..=2 => {
                let mut offer = one.current_local().cloned().unwrap_or_else(|| base.clone());
                match byte >> 4 & 3 {
                    0 => offer.media.extend(base.media.first().cloned()),
                    1 => {
                        let _ = offer.media.pop();
                    }
                    2 => offer.media.iter_mut().for_each(|media| media.port = 0),
                    _ => {}
                }
                if offer.media.len() <= 8
                    && let Ok(offer) = one.local_offer(offer)
                {
                    sent = Some(offer.clone());
                }
            }
            3 | 4 => {
                if let Some(offer) = one.pending_remote().cloned() {
                    let mut answer = SessionDescription::answer_to(&offer, base.origin.clone());
                    for (media, offered) in answer.media.iter_mut().zip(&offer.media) {
                        accept(media, offered, &offer, *byte);
                    }
                    if byte & 8 == 0 {
                        let _ = answer.answer_bundles(&offer);
                    }
                    if byte >> 6 == 3 {
                        answer.media.pop();
                    }
                    if let Ok(answer) = one.local_answer(answer) {
                        sent = Some(answer.clone());
                    }
                }
            }
            5 => {
                one.rollback();
                other.rollback();
            }
            6 => {
                let _ = one.remote_answer(base.clone());
                let _ = one.remote_offer(base.clone());
            }
            _ => {
                one.rollback();
            }
        }
        let Some(sent) = sent else { continue };
        if let Some(version) = versions.get_mut(side) {
            assert!(sent.origin.session_version >= *version, "versions never fall");
            *version = sent.origin.session_version;
        }
        let Ok(received) = SessionDescription::parse(&sent.to_text()) else {
            unreachable!("what is sent parses")
        };
        let answers = matches!(other.state(), NegotiationState::LocalOffer);
        let _ = if answers { other.remote_answer(received) } else { other.remote_offer(received) };
        for end in [&*one, &*other] {
            if let (Some(local), Some(remote)) = (end.current_local(), end.current_remote()) {
                assert_eq!(local.media.len(), remote.media.len(), "as many streams at both ends");
            }
        }
    }
}

fn accept(media: &mut MediaDescription, offered: &MediaDescription, offer: &SessionDescription, byte: u8) {
    if offered.is_rejected() || byte & 0x20 != 0 {
        return;
    }
    media.port = 9002;
    let answer: Vec<_> = negotiate_codecs(&offered.rtp_codecs(), &offered.rtp_codecs())
        .into_iter()
        .map(|one| one.answer)
        .collect();
    let _ = media.set_rtp_codecs(&answer);
    let _ = media.attributes.set(&offered.direction(offer).answer(Direction::SendRecv));
}
