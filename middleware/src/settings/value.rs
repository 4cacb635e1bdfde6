//! The types that settings have, in TOML and in one line of text.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use sip_core::Uri;
use sip_core::endpoint::Transport;
use toml_edit::{Array, InlineTable, Item, Value};
use zeroize::Zeroizing;

use crate::configuration::{IceTrickle, SrtpKeying};

/// A type of settings.
pub(crate) trait Setting: Sized {
    /// What it is, for errors and the example file.
    const EXPECTED: &'static str;
    /// One, as TOML has it.
    const SAMPLE: &'static str;
    /// Whether it is shown to nobody.
    const SECRET: bool = false;

    /// Out of a file.
    fn from_item(item: &Item) -> Option<Self>;

    /// Out of a variable or an argument.
    fn from_text(text: &str) -> Option<Self>;

    /// Into a file; `None`: it is not set.
    fn to_value(&self) -> Option<Value>;
}

/// A password. It is wiped from memory when it is dropped, and `Debug` prints nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// A secret of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Setting for Secret {
    const EXPECTED: &'static str = "text";
    const SAMPLE: &'static str = "\"…\"";
    const SECRET: bool = true;

    fn from_item(item: &Item) -> Option<Self> {
        item.as_str().map(Self::new)
    }

    fn from_text(text: &str) -> Option<Self> {
        Some(Self::new(text))
    }

    fn to_value(&self) -> Option<Value> {
        Some(self.expose().into())
    }
}

/// A host with a port perhaps: `relay.example.com`, `192.0.2.1:2855`, `[2001:db8::1]:3478`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address, an IPv6 one without brackets.
    pub host: String,
    /// The port, where one is said.
    pub port: Option<u16>,
}

impl std::str::FromStr for HostPort {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let plain = |host: &str| !host.is_empty() && !host.contains([':', '[', ']', '/', '@', ' ', ',']);
        if let Some(rest) = text.strip_prefix('[') {
            let (host, port) = rest.split_once(']').ok_or(())?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| ())?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port.parse().map_err(|_| ())?),
                None if port.is_empty() => None,
                None => return Err(()),
            };
            return Ok(Self { host: host.to_owned(), port });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| ())?)),
            None => (text, None),
        };
        if plain(host) { Ok(Self { host: host.to_owned(), port }) } else { Err(()) }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Setting for bool {
    const EXPECTED: &'static str = "true or false";
    const SAMPLE: &'static str = "true";

    fn from_item(item: &Item) -> Option<Self> {
        item.as_bool()
    }

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        }
    }

    fn to_value(&self) -> Option<Value> {
        Some((*self).into())
    }
}

macro_rules! numbers {
    ($($type:ty = $expected:literal, $sample:literal);+) => {$(
        impl Setting for $type {
            const EXPECTED: &'static str = $expected;
            const SAMPLE: &'static str = $sample;

            fn from_item(item: &Item) -> Option<Self> {
                Self::try_from(item.as_integer()?).ok()
            }

            fn from_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn to_value(&self) -> Option<Value> {
                i64::try_from(*self).ok().map(Value::from)
            }
        }
    )+};
}

numbers!(
    u8 = "a number from 0 to 255", "46";
    u16 = "a number from 0 to 65535", "5060";
    u32 = "a number from 0 to 4294967295", "100";
    u64 = "a number", "1048576"
);

/// What is text with a form.
macro_rules! texts {
    ($($type:ty, $expected:literal, $sample:literal, |$text:ident| $read:expr, |$value:ident| $show:expr;)+) => {$(
        impl Setting for $type {
            const EXPECTED: &'static str = $expected;
            const SAMPLE: &'static str = $sample;

            fn from_item(item: &Item) -> Option<Self> {
                item.as_str().and_then(Self::from_text)
            }

            fn from_text($text: &str) -> Option<Self> {
                $read
            }

            fn to_value(&self) -> Option<Value> {
                let $value = self;
                Some(Value::from($show))
            }
        }
    )+};
}

texts! {
    String, "text", "\"…\"", |text| Some(text.to_owned()), |value| value.as_str();
    PathBuf, "a path", "\"…\"",
        |text| (!text.is_empty()).then(|| PathBuf::from(text)),
        |value| value.to_string_lossy().into_owned();
    IpAddr, "an IP address", "\"192.0.2.1\"", |text| text.parse().ok(), |value| value.to_string();
    Uri, "a SIP URI", "\"sip:192.0.2.1;transport=tcp\"",
        |text| text.parse().ok().filter(|uri: &Uri| !uri.host().to_string().is_empty()),
        |value| value.to_string();
    HostPort, "a host with a port perhaps", "\"relay.example.com:2855\"",
        |text| text.parse().ok(),
        |value| value.to_string();
    Transport, "udp, tcp, tls, ws or wss", "\"tcp\"",
        |text| TRANSPORTS.iter().find(|(name, _)| *name == text).map(|(_, transport)| *transport),
        |value| TRANSPORTS.iter().find(|(_, transport)| transport == value).map_or("udp", |(name, _)| name);
    RangeInclusive<u16>, "two ports, the lower first, such as 16384-32767", "\"16384-32767\"",
        |text| {
            let (first, last) = text.split_once('-')?;
            let range = first.trim().parse().ok()?..=last.trim().parse().ok()?;
            (range.start() < range.end()).then_some(range)
        },
        |value| format!("{}-{}", value.start(), value.end());
    Stream, "audio or chat", "\"audio\"",
        |text| match text {
            "audio" => Some(Stream::Audio),
            "chat" => Some(Stream::Chat),
            _ => None,
        },
        |value| if *value == Stream::Audio { "audio" } else { "chat" };
    AnswerPolicy, "never, callers, anyone or all", "\"callers\"",
        |text| ANSWER_POLICIES.iter().find(|(name, _)| *name == text).map(|(_, policy)| *policy),
        |value| ANSWER_POLICIES.iter().find(|(_, policy)| policy == value).map_or("never", |(name, _)| name);
    SrtpKeying, "sdes, dtls or both", "\"dtls\"",
        |text| [SrtpKeying::Sdes, SrtpKeying::Dtls, SrtpKeying::Both].into_iter().find(|one| one.name() == text),
        |value| value.name();
    IceTrickle, "off, half or full", "\"full\"",
        |text| [IceTrickle::Off, IceTrickle::Half, IceTrickle::Full].into_iter().find(|one| one.name() == text),
        |value| value.name();
}

const TRANSPORTS: [(&str, Transport); 5] = [
    ("udp", Transport::Udp),
    ("tcp", Transport::Tcp),
    ("tls", Transport::Tls),
    ("ws", Transport::Ws),
    ("wss", Transport::Wss),
];

const ANSWER_POLICIES: [(&str, AnswerPolicy); 4] = [
    ("never", AnswerPolicy::Never),
    ("callers", AnswerPolicy::Callers),
    ("anyone", AnswerPolicy::Anyone),
    ("all", AnswerPolicy::All),
];

/// Which calls are answered without the application; see [`AutoAnswer`](crate::session::AutoAnswer).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum AnswerPolicy {
    /// None.
    Never,
    /// Those that ask for it, of callers that are named.
    Callers,
    /// Those that ask for it.
    Anyone,
    /// All, after some time.
    All,
}

/// A kind of stream.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Audio.
    Audio,
    /// MSRP chat.
    Chat,
}

impl Setting for Duration {
    const EXPECTED: &'static str = "a number of seconds";
    const SAMPLE: &'static str = "1.5";

    fn from_item(item: &Item) -> Option<Self> {
        let seconds = item.as_float().or_else(|| Some(f64::from(u32::try_from(item.as_integer()?).ok()?)))?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    fn from_text(text: &str) -> Option<Self> {
        Duration::try_from_secs_f64(text.parse().ok()?).ok()
    }

    fn to_value(&self) -> Option<Value> {
        match i64::try_from(self.as_secs()) {
            Ok(seconds) if self.subsec_nanos() == 0 => Some(seconds.into()),
            _ => Some(self.as_secs_f64().into()),
        }
    }
}

/// Not set: in a file the key is not there, in text nothing is.
impl<T: Setting> Setting for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    const SAMPLE: &'static str = T::SAMPLE;
    const SECRET: bool = T::SECRET;

    fn from_item(item: &Item) -> Option<Self> {
        T::from_item(item).map(Some)
    }

    fn from_text(text: &str) -> Option<Self> {
        if text.is_empty() { Some(None) } else { T::from_text(text).map(Some) }
    }

    fn to_value(&self) -> Option<Value> {
        self.as_ref()?.to_value()
    }
}

macro_rules! lists {
    ($($type:ty = $expected:literal),+) => {$(
        /// In text: with commas between them.
        impl Setting for Vec<$type> {
            const EXPECTED: &'static str = $expected;
            const SAMPLE: &'static str = "[]";

            fn from_item(item: &Item) -> Option<Self> {
                let item_of = |value: &Value| <$type>::from_item(&Item::Value(value.clone()));
                item.as_array()?.iter().map(item_of).collect()
            }

            fn from_text(text: &str) -> Option<Self> {
                text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(<$type>::from_text).collect()
            }

            fn to_value(&self) -> Option<Value> {
                Some(Value::Array(self.iter().filter_map(Setting::to_value).collect::<Array>()))
            }
        }
    )+};
}

lists!(
    String = "a list of texts",
    Transport = "a list of udp, tcp, tls, ws and wss",
    Stream = "a list of audio and chat",
    Uri = "a list of SIP URIs"
);

/// In text: `sip:alice@example.com=alice.wav,…`.
impl Setting for BTreeMap<String, PathBuf> {
    const EXPECTED: &'static str = "a table of SIP addresses and paths";
    const SAMPLE: &'static str = "{ \"sip:alice@example.com\" = \"alice.wav\" }";

    fn from_item(item: &Item) -> Option<Self> {
        let entry = |(uri, path): (&str, &Item)| entry(uri, path.as_str()?);
        item.as_table_like()?.iter().map(entry).collect()
    }

    fn from_text(text: &str) -> Option<Self> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(|part| part.rsplit_once('=').and_then(|(uri, path)| entry(uri, path))).collect()
    }

    fn to_value(&self) -> Option<Value> {
        let entries = self.iter().map(|(uri, path)| (uri.as_str(), path.to_string_lossy().into_owned()));
        Some(Value::InlineTable(entries.collect::<InlineTable>()))
    }
}

fn entry(uri: &str, path: &str) -> Option<(String, PathBuf)> {
    Uri::from_text(uri.trim())?;
    Some((uri.trim().to_owned(), PathBuf::from_text(path.trim())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn survives<T: Setting + PartialEq + fmt::Debug>(text: &str) {
        let value = T::from_text(text).expect(text);
        let item = Item::Value(value.to_value().expect(text));
        assert_eq!(T::from_item(&item), Some(value), "{item}");
    }

    #[test]
    fn every_type_survives_text_and_toml() {
        survives::<bool>("yes");
        survives::<u16>("65535");
        survives::<String>("a \"b\" \\ \n");
        survives::<PathBuf>("/tmp/a b");
        survives::<IpAddr>("2001:db8::1");
        survives::<Uri>("sip:example.com;transport=tcp");
        survives::<HostPort>("[2001:db8::1]:3478");
        survives::<HostPort>("relay.example.com");
        survives::<RangeInclusive<u16>>("16384-32767");
        survives::<Duration>("1.5");
        survives::<Option<u32>>("7");
        survives::<Vec<Transport>>("udp, tls");
        survives::<Vec<String>>("opus,PCMU");
        survives::<BTreeMap<String, PathBuf>>("sip:a@b=a.wav,sip:c@d=c.wav");
        survives::<SrtpKeying>("both");
        survives::<AnswerPolicy>("callers");
        survives::<IceTrickle>("full");
        survives::<Secret>("hidden");
    }

    #[test]
    fn what_is_not_of_the_type_is_refused() {
        assert_eq!(bool::from_text("maybe"), None);
        assert_eq!(u16::from_text("65536"), None);
        assert_eq!(IpAddr::from_text("example.com"), None);
        assert_eq!(Uri::from_text("mailto:a@b").or(Uri::from_text("nonsense")), None);
        assert_eq!(RangeInclusive::<u16>::from_text("5-4"), None);
        assert_eq!(Duration::from_text("-1"), None);
        assert_eq!(Duration::from_text("1e400"), None);
        assert_eq!(Vec::<Transport>::from_text("udp,sctp"), None);
        for wrong in ["", ":5", "a:b", "[::1", "[::1]x", "a b", "a:99999"] {
            assert!(wrong.parse::<HostPort>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let secret = Some(Secret::new("hunter2"));
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
