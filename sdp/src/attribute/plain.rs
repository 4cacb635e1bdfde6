//! Attributes that are a flag, or whose value stays text: another crate owns its meaning.

use std::fmt;

use super::{Attribute, valued};
use crate::error::ParseError;

macro_rules! flags {
    ($($(#[$doc:meta])* $type:ident => $name:literal),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $type;

        impl Attribute for $type {
            fn is_named(name: &str) -> bool {
                name == $name
            }
            fn read(_: &str, _: Option<&str>) -> Result<Self, ParseError> {
                Ok($type)
            }
            fn name(&self) -> &str {
                $name
            }
            fn write(&self, _: &mut String) {}
        }
    )*};
}

macro_rules! texts {
    ($($(#[$doc:meta])* $type:ident => $name:literal),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $type(pub String);

        impl std::str::FromStr for $type {
            type Err = ParseError;
            fn from_str(value: &str) -> Result<Self, ParseError> {
                Ok($type(value.to_owned()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        valued!($type => $name);
    )*};
}

flags! {
    /// `a=rtcp-mux` (RFC 5761)
    RtcpMux => "rtcp-mux",
    /// `a=rtcp-mux-only` (RFC 8858)
    RtcpMuxOnly => "rtcp-mux-only",
    /// `a=rtcp-rsize` (RFC 5506)
    RtcpRsize => "rtcp-rsize",
    /// `a=bundle-only` (RFC 8843)
    BundleOnly => "bundle-only",
    /// `a=ice-lite` (RFC 8839)
    IceLite => "ice-lite",
    /// `a=ice-mismatch` (RFC 8839)
    IceMismatch => "ice-mismatch",
    /// `a=end-of-candidates` (RFC 8840)
    EndOfCandidates => "end-of-candidates",
    /// `a=chatroom` without features (RFC 7701)
    ChatroomFlag => "chatroom",
    /// `a=msrp-cema` (RFC 6714)
    MsrpCema => "msrp-cema",
}

texts! {
    /// `a=candidate` (RFC 8839), parsed by the ICE crate.
    Candidate => "candidate",
    /// `a=ice-ufrag` (RFC 8839)
    IceUfrag => "ice-ufrag",
    /// `a=ice-options` (RFC 8839)
    IceOptions => "ice-options",
    /// `a=remote-candidates` (RFC 8839)
    RemoteCandidates => "remote-candidates",
    /// `a=path` (RFC 4975), parsed by the MSRP crate.
    Path => "path",
    /// `a=accept-types` (RFC 4975)
    AcceptTypes => "accept-types",
    /// `a=accept-wrapped-types` (RFC 4975)
    AcceptWrappedTypes => "accept-wrapped-types",
    /// `a=max-size` (RFC 4975), in bytes.
    MaxSize => "max-size",
    /// `a=file-selector` (RFC 5547)
    FileSelector => "file-selector",
    /// `a=file-transfer-id` (RFC 5547)
    FileTransferId => "file-transfer-id",
    /// `a=file-disposition` (RFC 5547)
    FileDisposition => "file-disposition",
    /// `a=file-date` (RFC 5547)
    FileDate => "file-date",
    /// `a=file-icon` (RFC 5547)
    FileIcon => "file-icon",
    /// `a=file-range` (RFC 5547)
    FileRange => "file-range",
    /// `a=content` (RFC 4796)
    Content => "content",
    /// `a=lang` (RFC 8866 §6.12)
    Lang => "lang",
    /// `a=tool` (RFC 8866 §6.3)
    Tool => "tool",
    /// `a=charset` (RFC 8866 §6.10)
    Charset => "charset",
    /// `a=cat` (RFC 8866 §6.1)
    Category => "cat",
    /// `a=keywds` (RFC 8866 §6.2)
    Keywords => "keywds",
    /// `a=zrtp-hash` (RFC 6189)
    ZrtpHash => "zrtp-hash",
    /// `a=tls-id` (RFC 8842)
    TlsId => "tls-id",
    /// `a=sctp-port` (RFC 8841)
    SctpPort => "sctp-port",
    /// `a=max-message-size` (RFC 8841)
    MaxMessageSize => "max-message-size",
}

/// `a=ice-pwd` (RFC 8839). Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct IcePwd(pub String);

impl std::str::FromStr for IcePwd {
    type Err = ParseError;
    fn from_str(value: &str) -> Result<Self, ParseError> {
        Ok(IcePwd(value.to_owned()))
    }
}

impl fmt::Display for IcePwd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for IcePwd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IcePwd(…)")
    }
}

valued!(IcePwd => "ice-pwd");
