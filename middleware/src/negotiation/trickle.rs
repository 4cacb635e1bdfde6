//! Candidates that come after the description, in INFO (RFC 8840).

use ice_stun::ice::{Candidate, Credentials};
use sdp::attribute::{self, EndOfCandidates, IcePwd, IceUfrag, Mid};
use sdp::{Attributes, Formats, Fragment, MediaDescription, MediaKind, Protocol};

use super::audio::push;
use super::ice::{LocalIce, MAX_CANDIDATES, RemoteSide};

/// INFOs that may fail before no more is told.
const MAX_FAILURES: u8 = 3;

/// What the peer was told of our candidates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trickle {
    /// All candidates are there.
    pub(crate) complete: bool,
    /// How many of them it was told, and whether it knows that there are no others.
    told: (usize, bool),
    /// It is to be told again what it knows.
    again: bool,
    /// It was told so once.
    was_again: bool,
    failures: u8,
}

impl Trickle {
    pub(crate) fn new(complete: bool) -> Self {
        Self { complete, ..Self::default() }
    }

    /// An answer came in a response that nobody acknowledges: an INFO tells that it did, even if there is
    /// nothing else to tell (RFC 8840 §4.3.2). Once.
    pub(crate) fn acknowledge(&mut self) {
        self.again |= !std::mem::replace(&mut self.was_again, true);
    }

    /// What was told last did not arrive.
    pub(crate) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.again = true;
    }
}

impl LocalIce {
    /// Takes candidates that were found meanwhile; the order of the others stays (RFC 8840 §4.4).
    pub(crate) fn found(&mut self, candidates: Vec<Candidate>, complete: bool) {
        for candidate in candidates {
            if !self.candidates.contains(&candidate) {
                self.candidates.push(candidate);
            }
        }
        if let Some(trickle) = &mut self.trickle {
            trickle.complete = complete;
        }
    }

    /// Whether all candidates are there.
    pub(crate) fn is_complete(&self) -> bool {
        self.trickle.as_ref().is_none_or(|trickle| trickle.complete)
    }

    /// A description tells all that there is.
    pub(crate) fn told_all(&mut self) {
        let told = self.candidates.len();
        if let Some(trickle) = &mut self.trickle {
            trickle.told = (told, trickle.complete);
            (trickle.again, trickle.failures) = (false, 0);
        }
    }

    /// Whether there is something for an INFO.
    pub(crate) fn has_news(&self) -> bool {
        // A restart of ours is not known to the peer until it has answered.
        let agreed =
            self.before_restart.is_none() && self.remote.as_ref().is_some_and(|remote| remote.trickles);
        agreed
            && self.trickle.as_ref().is_some_and(|trickle| {
                let now = (self.candidates.len(), trickle.complete);
                trickle.failures < MAX_FAILURES && (trickle.again || trickle.told != now)
            })
    }

    /// All candidates as INFO carries them, for the m-line of that name; they count as told.
    pub(crate) fn fragment(&mut self, mid: &str, muxed: bool) -> Fragment {
        let failures = self.trickle.as_ref().map_or(0, |trickle| trickle.failures);
        self.told_all();
        let mut media = MediaDescription::new(MediaKind::Audio, 9, Protocol::RtpAvp);
        media.formats = Formats::new([0]).expect("a number is a format");
        push(&mut media, &IceUfrag(self.credentials.ufrag().to_owned()));
        push(&mut media, &IcePwd(self.credentials.password().to_owned()));
        push(&mut media, &Mid(mid.to_owned()));
        let components = if muxed { 1 } else { 2 };
        for candidate in self.candidates.iter().filter(|one| one.component() <= components) {
            push(&mut media, &attribute::Candidate(candidate.to_string()));
        }
        if let Some(trickle) = &mut self.trickle {
            trickle.failures = failures;
            if trickle.complete {
                push(&mut media, &EndOfCandidates);
            }
        }
        Fragment { media: vec![media], ..Fragment::new() }
    }
}

/// What an INFO says of an m-line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trickled {
    /// Of which generation.
    pub(crate) credentials: Credentials,
    /// All that there are so far.
    pub(crate) candidates: Vec<Candidate>,
    /// There will be no others.
    pub(crate) complete: bool,
}

impl Trickled {
    /// Reads what is said of the m-line of that name; nothing, or without its generation: `None`.
    pub(crate) fn read(fragment: &Fragment, mid: &str) -> Option<Self> {
        let media = fragment.media.iter().find(|media| value(&media.attributes, "mid") == Some(mid));
        let media = media.map(|media| &media.attributes);
        let of_either =
            |name| media.and_then(|it| value(it, name)).or_else(|| value(&fragment.attributes, name));
        let credentials = Credentials::new(of_either("ice-ufrag")?, of_either("ice-pwd")?).ok()?;
        let ended = |attributes: &Attributes| value(attributes, "end-of-candidates").is_some();
        let complete = ended(&fragment.attributes) || media.is_some_and(ended);
        let lines = media.into_iter().flat_map(|media| media.iter());
        let candidates = lines.filter(|line| line.name.eq_ignore_ascii_case("candidate"));
        // One that cannot be read is passed over (RFC 8839 §5.1).
        let candidates =
            candidates.take(MAX_CANDIDATES).filter_map(|line| line.value?.parse().ok()).collect::<Vec<_>>();
        (complete || !candidates.is_empty()).then_some(Self { credentials, candidates, complete })
    }
}

impl RemoteSide {
    /// Takes what the peer tells in INFO; gives back the candidates that are new, or nothing if it is of
    /// another generation (RFC 8840 §4.4).
    pub(crate) fn learn(&mut self, told: &Trickled) -> Option<Vec<Candidate>> {
        if told.credentials != self.credentials || !self.trickles {
            return None;
        }
        let mut new = Vec::new();
        for candidate in &told.candidates {
            let same = |one: &Candidate| {
                (one.component(), one.transport(), one.address(), one.port())
                    == (candidate.component(), candidate.transport(), candidate.address(), candidate.port())
            };
            if !self.candidates.iter().any(same) && self.candidates.len() < MAX_CANDIDATES {
                self.candidates.push(candidate.clone());
                new.push(candidate.clone());
            }
        }
        Some(new)
    }
}

/// Names of older attributes may be written in any case (RFC 8840 §9.2).
fn value<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    attributes.iter().find(|one| one.name.eq_ignore_ascii_case(name)).map(|one| one.value.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use ice_stun::ice::Transport;

    use super::*;

    fn credentials(ufrag: &str) -> Credentials {
        Credentials::new(ufrag, "0123456789012345678901").expect("long enough")
    }

    fn host(port: u16) -> Candidate {
        Candidate::host(1, Transport::Udp, SocketAddr::from(([192, 0, 2, 1], port)), 1)
    }

    fn remote(ufrag: &str) -> RemoteSide {
        RemoteSide {
            credentials: credentials(ufrag),
            ice2: true,
            trickles: true,
            candidates: vec![host(4_000)],
            rtp: SocketAddr::from(([192, 0, 2, 1], 4_000)),
        }
    }

    fn local() -> LocalIce {
        LocalIce {
            credentials: credentials("ours"),
            candidates: vec![host(5_000)],
            trickle: Some(Trickle::new(false)),
            selected: None,
            remote: Some(remote("theirs")),
            before_restart: None,
        }
    }

    fn text(ufrag: &str, ports: impl IntoIterator<Item = u16>) -> Fragment {
        let mut text = format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:0123456789012345678901\r\n");
        text.push_str("m=audio 9 RTP/AVP 0\r\na=mid:0\r\n");
        for port in ports {
            text.push_str(&format!("a=candidate:{}\r\n", host(port)));
        }
        Fragment::parse(&text).expect("a fragment")
    }

    #[test]
    fn what_was_told_is_repeated_in_its_order_with_what_is_new() {
        let mut ice = local();
        ice.told_all();
        assert!(!ice.has_news());
        ice.found(vec![host(5_002), host(5_000)], false);
        assert!(ice.has_news());
        let first = Trickled::read(&ice.fragment("audio", true), "audio").expect("candidates");
        assert_eq!(first.candidates, [host(5_000), host(5_002)]);
        assert_eq!((first.credentials, first.complete), (credentials("ours"), false));
        assert!(!ice.has_news());
        ice.found(Vec::new(), true);
        let last = ice.fragment("audio", true);
        assert!(Trickled::read(&last, "audio").is_some_and(|it| it.complete && it.candidates.len() == 2));
        assert_eq!(Trickled::read(&last, "video"), None);
        assert_eq!(Fragment::parse(&last.to_string()), Ok(last));
    }

    #[test]
    fn an_answer_that_nobody_acknowledges_is_acknowledged_once() {
        let mut ice = local();
        for has_news in [true, false] {
            ice.told_all();
            ice.trickle.as_mut().expect("it trickles").acknowledge();
            assert_eq!(ice.has_news(), has_news);
        }
    }

    #[test]
    fn nothing_is_told_to_who_does_not_take_it_or_again_and_again() {
        let mut ice = local();
        ice.found(Vec::new(), true);
        assert!(ice.has_news());
        for _ in 0..MAX_FAILURES {
            assert!(ice.has_news());
            let _ = ice.fragment("0", true);
            ice.trickle.as_mut().expect("it trickles").failed();
        }
        assert!(!ice.has_news());
        let mut ice = local();
        ice.found(Vec::new(), true);
        ice.remote.as_mut().expect("a peer").trickles = false;
        assert!(!ice.has_news());
        ice.remote = None;
        assert!(!ice.has_news());
    }

    #[test]
    fn candidates_of_the_peer_count_once_and_of_their_generation() {
        let mut side = remote("theirs");
        let of = |fragment: &Fragment| Trickled::read(fragment, "0").expect("candidates");
        assert_eq!(side.learn(&of(&text("other", [4_002]))), None);
        let told = of(&text("theirs", [4_000, 4_002, 4_002]));
        assert_eq!(side.learn(&told), Some(vec![host(4_002)]));
        assert_eq!(side.learn(&told), Some(Vec::new()));
        let many = of(&text("theirs", 6_000..7_000));
        assert_eq!(many.candidates.len(), MAX_CANDIDATES);
        assert_eq!(side.learn(&many).map(|new| new.len()), Some(MAX_CANDIDATES - 2));
        assert_eq!(side.learn(&of(&text("theirs", 8_000..8_010))), Some(Vec::new()));
    }

    #[test]
    fn generations_and_ends_may_stand_at_either_level() {
        let session = "a=ICE-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=end-of-candidates\r\n";
        let read = |text: &str| Trickled::read(&Fragment::parse(text).expect("a fragment"), "1");
        assert!(read(session).is_some_and(|it| it.complete && it.credentials == credentials("abcd")));
        let media = format!("{session}m=audio 9 RTP/AVP 0\r\na=mid:1\r\na=ice-ufrag:wxyz\r\n");
        assert!(read(&media).is_some_and(|it| it.credentials == credentials("wxyz")));
        assert_eq!(read("m=audio 9 RTP/AVP 0\r\na=mid:1\r\na=end-of-candidates\r\n"), None);
        assert_eq!(read("a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n"), None);
    }
}
