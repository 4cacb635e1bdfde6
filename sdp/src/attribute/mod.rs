//! Attributes with a type: read with [`Attributes::get`](crate::Attributes::get), written with
//! [`Attributes::push`](crate::Attributes::push). One that is malformed costs only itself.

mod choice;
mod crypto;
mod direction;
mod grouping;
mod plain;
mod rtp;
mod transport;

pub use crypto::{Crypto, CryptoSuite, KeyParams, Lifetime, MasterKey, Mki, SessionParam};
pub use direction::Direction;
pub use grouping::{Group, Label, Mid, Msid, Ssrc, SsrcGroup};
pub use plain::*;
pub use rtp::{ExtMap, Fmtp, MaxPtime, Ptime, RtcpFb, RtpMap};
pub(crate) use rtp::{parameter, parameters};
pub use transport::{Fingerprint, Rtcp, Setup, TcpConnection};

use crate::error::ParseError;

/// A type of attribute.
pub trait Attribute: Sized {
    /// Whether an attribute of that name is one of these.
    fn is_named(name: &str) -> bool;
    /// Reads one.
    fn read(name: &str, value: Option<&str>) -> Result<Self, ParseError>;
    /// The name of this one.
    fn name(&self) -> &str;
    /// Adds what follows the name: a colon and the value, or nothing.
    fn write(&self, out: &mut String);
}

/// [`Attribute`] for a type that reads its value with `FromStr` and writes it with `Display`.
macro_rules! valued {
    ($($type:ty => $name:literal),* $(,)?) => {$(
        impl $crate::attribute::Attribute for $type {
            fn is_named(name: &str) -> bool {
                name == $name
            }
            fn read(_: &str, value: Option<&str>) -> Result<Self, $crate::ParseError> {
                value
                    .ok_or($crate::ParseError::new(0, $crate::ErrorKind::Missing, concat!("a value of a=", $name)))?
                    .parse()
            }
            fn name(&self) -> &str {
                $name
            }
            fn write(&self, out: &mut String) {
                use std::fmt::Write;
                // A String takes everything.
                let _ = write!(out, ":{self}");
            }
        }
    )*};
}

pub(crate) use valued;
