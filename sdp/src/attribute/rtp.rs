//! What an RTP stream carries: rtpmap, fmtp, ptime, feedback, header extensions.

use std::fmt;
use std::str::FromStr;

use super::{Direction, valued};
use crate::error::ParseError;
use crate::number;

/// `a=rtpmap` (RFC 8866 §6.6)
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RtpMap {
    /// 0 to 127.
    pub payload_type: u8,
    /// The name of the encoding; compare it without regard to case.
    pub name: String,
    /// Ticks of the RTP clock in a second.
    pub clock_rate: u32,
    /// Channels of audio; `None`: not said, which is 1.
    pub channels: Option<u16>,
}

/// `a=fmtp` (RFC 8866 §6.15)
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fmtp {
    /// The format it is for, as in the m= line.
    pub format: String,
    /// The parameters, as they stand.
    pub parameters: String,
}

/// `a=ptime` (RFC 8866 §6.4): milliseconds of media in a packet, above 0 and at most 10,000.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ptime(pub f64);

/// `a=maxptime` (RFC 8866 §6.5): milliseconds of media in a packet at most, above 0 and at most 10,000.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaxPtime(pub f64);

/// `a=rtcp-fb` (RFC 4585 §4.2)
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RtcpFb {
    /// `None` is `*`, all of them.
    pub payload_type: Option<u8>,
    /// `nack`, `ccm`, …
    pub kind: String,
    /// What follows.
    pub parameter: Option<String>,
}

/// `a=extmap` (RFC 8285)
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExtMap {
    /// The local identifier, 1 to 4351.
    pub id: u16,
    /// Which way it is used.
    pub direction: Option<Direction>,
    /// What it is.
    pub uri: String,
    /// What follows.
    pub attributes: Option<String>,
}

valued!(
    RtpMap => "rtpmap", Fmtp => "fmtp", Ptime => "ptime", MaxPtime => "maxptime", RtcpFb => "rtcp-fb",
    ExtMap => "extmap",
);

impl FromStr for RtpMap {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        let wrong = ParseError::syntax("payload type, name/clock rate and channels");
        let (payload_type, encoding) = value.trim_matches(' ').split_once(' ').ok_or(wrong)?;
        let payload_type =
            number::payload_type(payload_type).ok_or(ParseError::range("a payload type of 0 to 127"))?;
        let mut parts = encoding.trim_start_matches(' ').split('/');
        let name = parts.next().filter(|name| !name.is_empty()).ok_or(wrong)?;
        let clock_rate = parts.next().and_then(number::u32).filter(|rate| *rate > 0).ok_or(wrong)?;
        // What follows the rate is the channels where it is a number; else it is a parameter that nobody
        // defined (RFC 8866 §6.6) and is passed over.
        let channels = parts.next().and_then(number::u16).filter(|channels| *channels > 0);
        Ok(RtpMap { payload_type, name: name.to_owned(), clock_rate, channels })
    }
}

impl Fmtp {
    /// The value of a parameter in the form `a=b; c=d`; the name is compared without regard to case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        parameter(&self.parameters, name)
    }
}

/// The parameters in the form `a=b; c=d`.
pub(crate) fn parameters(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(';').filter_map(|one| {
        let one = one.trim();
        let (name, value) = one.split_once('=').unwrap_or((one, ""));
        (!name.is_empty()).then(|| (name.trim(), value.trim()))
    })
}

pub(crate) fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    parameters(text).find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

impl FromStr for Fmtp {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        let (format, parameters) = value
            .trim_matches(' ')
            .split_once(' ')
            .ok_or(ParseError::syntax("a format and its parameters"))?;
        Ok(Fmtp { format: format.to_owned(), parameters: parameters.trim_start_matches(' ').to_owned() })
    }
}

fn milliseconds(text: &str) -> Result<f64, ParseError> {
    let wrong = ParseError::range("milliseconds above 0, at most 10000");
    let text = text.trim();
    // As it is printed, with a digit before the point, it has to be short as well.
    if text.len() + usize::from(text.starts_with('.')) > 16
        || !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return Err(wrong);
    }
    text.parse::<f64>().ok().filter(|time| *time > 0.0 && *time <= 10_000.0).ok_or(wrong)
}

impl FromStr for Ptime {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        milliseconds(value).map(Ptime)
    }
}

impl FromStr for MaxPtime {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        milliseconds(value).map(MaxPtime)
    }
}

impl FromStr for RtcpFb {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        let wrong = ParseError::syntax("a payload type or *, and a kind of feedback");
        let mut words = value.trim_matches(' ').splitn(3, ' ');
        let payload_type = match words.next().ok_or(wrong)? {
            "*" => None,
            number => Some(number::payload_type(number).ok_or(wrong)?),
        };
        let kind = words.next().filter(|kind| !kind.is_empty()).ok_or(wrong)?.to_owned();
        Ok(RtcpFb { payload_type, kind, parameter: words.next().map(str::to_owned) })
    }
}

impl FromStr for ExtMap {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        let wrong = ParseError::syntax("an identifier and a URI");
        let mut words = value.trim_matches(' ').splitn(3, ' ');
        let id = words.next().ok_or(wrong)?;
        let (id, direction) = match id.split_once('/') {
            Some((id, direction)) => (id, Some(Direction::from_name(direction).ok_or(wrong)?)),
            None => (id, None),
        };
        let id = number::u16(id).filter(|id| *id > 0).ok_or(wrong)?;
        let uri = words.next().filter(|uri| !uri.is_empty()).ok_or(wrong)?.to_owned();
        Ok(ExtMap { id, direction, uri, attributes: words.next().map(str::to_owned) })
    }
}

impl fmt::Display for RtpMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.payload_type, self.name, self.clock_rate)?;
        self.channels.iter().try_for_each(|channels| write!(f, "/{channels}"))
    }
}

impl fmt::Display for Fmtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.format, self.parameters)
    }
}

impl fmt::Display for Ptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for MaxPtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RtcpFb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.payload_type {
            Some(payload_type) => write!(f, "{payload_type} {}", self.kind)?,
            None => write!(f, "* {}", self.kind)?,
        }
        self.parameter.iter().try_for_each(|parameter| write!(f, " {parameter}"))
    }
}

impl fmt::Display for ExtMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        self.direction.iter().try_for_each(|direction| write!(f, "/{direction}"))?;
        write!(f, " {}", self.uri)?;
        self.attributes.iter().try_for_each(|attributes| write!(f, " {attributes}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_and_written() {
        for text in ["0 PCMU/8000", "111 opus/48000/2"] {
            assert_eq!(text.parse::<RtpMap>().expect(text).to_string(), text);
        }
        for text in ["* nack", "97 ccm fir", "97 trr-int 100"] {
            assert_eq!(text.parse::<RtcpFb>().expect(text).to_string(), text);
        }
        for text in ["1 urn:x", "2/sendonly urn:x:y short", "4351 urn:z"] {
            assert_eq!(text.parse::<ExtMap>().expect(text).to_string(), text);
        }
        for bad in ["128 PCMU/8000", "0 PCMU", "0 PCMU/0", "x", "-1 a/1", "0 /8000", "0 a/4294967296"] {
            assert!(bad.parse::<RtpMap>().is_err(), "{bad}");
        }
    }

    #[test]
    fn ptime_by_policy() {
        assert_eq!("20".parse(), Ok(Ptime(20.0)));
        assert_eq!(("0.125".parse(), ".125".parse()), (Ok(Ptime(0.125)), Ok(Ptime(0.125))));
        for bad in [
            "0",
            "2147483648",
            "-20",
            "",
            "inf",
            "NaN",
            "1e3",
            "1.2.3",
            "99999999999999999999",
            ".124124100110012",
        ] {
            assert!(bad.parse::<Ptime>().is_err(), "{bad}");
        }
    }

    #[test]
    fn parameters_of_fmtp() {
        let fmtp: Fmtp = "100 minptime=10; UseInbandFEC=1;x".parse().expect("fmtp");
        assert_eq!(fmtp.parameter("useinbandfec"), Some("1"));
        assert_eq!(fmtp.parameter("x"), Some(""));
        assert_eq!(fmtp.parameter("y"), None);
    }
}
