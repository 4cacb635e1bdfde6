//! A piece of a description, as INFO carries candidates (RFC 8840 §9).

use std::fmt;

use crate::attributes::Attributes;
use crate::description::MediaDescription;
use crate::error::ParseError;
use crate::parse::{self, Limits};
use crate::print;

/// The body `application/trickle-ice-sdpfrag` (RFC 8840 §9): attributes of the session, then pseudo m-lines with
/// theirs. Lines of other types are passed over (RFC 8840 §4.4), and so is all of an m= line but its place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fragment {
    /// a= before the first m= line.
    pub attributes: Attributes,
    /// The m-lines that something is said of; `a=mid` says which each is. Their order means nothing.
    pub media: Vec<MediaDescription>,
}

impl Fragment {
    /// A fragment that says nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a fragment within the default [`Limits`]. Malformed lines are passed over.
    ///
    /// # Errors
    /// For NUL, CR within a line, and what breaks a limit.
    pub fn parse<T: AsRef<[u8]> + ?Sized>(input: &T) -> Result<Self, ParseError> {
        Self::parse_with(input, &Limits::default())
    }

    /// The same within other limits.
    ///
    /// # Errors
    /// As [`Fragment::parse`].
    pub fn parse_with<T: AsRef<[u8]> + ?Sized>(input: &T, limits: &Limits) -> Result<Self, ParseError> {
        parse::fragment(input.as_ref(), limits)
    }

    /// The m-line with this `a=mid`.
    pub fn media(&self, mid: &str) -> Option<&MediaDescription> {
        self.media.iter().find(|media| media.attributes.value("mid") == Some(mid))
    }
}

impl fmt::Display for Fragment {
    /// The m-lines print with their attributes and nothing else.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print::fragment(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::{Candidate, IceUfrag, Mid};
    use crate::{Formats, MediaKind, Protocol};

    /// RFC 8840 §4.4, figure 7, in short.
    const FIGURE_7: &str = "a=ice-pwd:asd88fgpdd777uzjYhagZg\r\na=ice-ufrag:8hhY\r\n\
        m=audio 9 RTP/AVP 0\r\na=mid:1\r\n\
        a=candidate:1 1 UDP 2130706432 2001:db8:a0b:12f0::1 5000 typ host\r\n\
        a=candidate:1 2 UDP 2130706432 2001:db8:a0b:12f0::1 5001 typ host\r\n\
        a=candidate:2 1 UDP 1694498815 192.0.2.3 5010 typ srflx raddr 192.0.2.1 rport 8998\r\n\
        a=end-of-candidates\r\n\
        m=audio 9 RTP/AVP 0\r\na=mid:2\r\n\
        a=candidate:1 1 UDP 2130706432 2001:db8:a0b:12f0::1 6000 typ host\r\n\
        a=end-of-candidates\r\n";

    #[test]
    fn figure_7_of_rfc_8840_goes_both_ways() {
        let read = Fragment::parse(FIGURE_7).expect("a fragment");
        assert_eq!(read.attributes.value("ice-ufrag"), Some("8hhY"));
        assert_eq!(read.media("1").map(|media| media.attributes.values("candidate").count()), Some(3));
        assert_eq!(read.media("2").map(|media| media.attributes.values("candidate").count()), Some(1));
        assert!(read.media("2").is_some_and(|media| media.attributes.contains("end-of-candidates")));
        assert_eq!(read.media("3"), None);
        assert_eq!(read.to_string(), FIGURE_7);
    }

    #[test]
    fn what_is_made_reads_the_same() {
        let mut media = MediaDescription::new(MediaKind::Audio, 9, Protocol::RtpAvp);
        media.formats = Formats::new([0]).expect("a number");
        for pushed in [
            media.attributes.push(&Mid("audio".to_owned())),
            media.attributes.push(&Candidate("1 1 UDP 1 192.0.2.1 5000 typ host".to_owned())),
        ] {
            pushed.expect("a line");
        }
        let mut fragment = Fragment { media: vec![media], ..Fragment::new() };
        fragment.attributes.push(&IceUfrag("abcd".to_owned())).expect("a line");
        let text = "a=ice-ufrag:abcd\r\nm=audio 9 RTP/AVP 0\r\na=mid:audio\r\n\
                    a=candidate:1 1 UDP 1 192.0.2.1 5000 typ host\r\n";
        assert_eq!(fragment.to_string(), text);
        assert_eq!(Fragment::parse(text), Ok(fragment));
    }

    #[test]
    fn what_is_no_part_of_it_is_passed_over() {
        let odd = "v=0\no=- 1 1 IN IP4 192.0.2.1\na=ice-ufrag:abcd\nm=video nonsense\nc=IN IP4 0.0.0.0\na=mid:1\nx=y\n";
        let read = Fragment::parse(odd).expect("a fragment");
        assert_eq!(read.attributes.value("ice-ufrag"), Some("abcd"));
        let again = Fragment::parse(&read.to_string()).expect("what is printed reads");
        assert_eq!(again, read);
        assert_eq!(Fragment::parse(""), Ok(Fragment::new()));
    }

    #[test]
    fn it_has_limits() {
        assert!(Fragment::parse("a=ice-ufrag:ab\0cd\r\n").is_err());
        let limits = Limits { media: 2, attributes: 4, ..Limits::default() };
        let of = |text: &str, times| Fragment::parse_with(&text.repeat(times), &limits);
        assert!(of("m=audio 9 RTP/AVP 0\r\n", 2).is_ok() && of("m=audio 9 RTP/AVP 0\r\n", 3).is_err());
        assert!(of("a=x\r\n", 4).is_ok() && of("a=x\r\n", 5).is_err());
    }
}
