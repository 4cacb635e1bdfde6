//! The hashes of Digest (RFC 7616 §3.4): the one file that names them.

use md5::{Digest as _, Md5};
use sha2::{Sha256, Sha512_256};
use std::fmt::{self, Write};
use zeroize::Zeroizing;

/// A digest algorithm (RFC 7616 §6.1, RFC 8760 §2), weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// `MD5`
    Md5,
    /// `MD5-sess`
    Md5Sess,
    /// `SHA-256`
    Sha256,
    /// `SHA-256-sess`
    Sha256Sess,
    /// `SHA-512-256`
    Sha512_256,
    /// `SHA-512-256-sess`
    Sha512_256Sess,
}

impl Algorithm {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Md5, "MD5"),
        (Self::Md5Sess, "MD5-sess"),
        (Self::Sha256, "SHA-256"),
        (Self::Sha256Sess, "SHA-256-sess"),
        (Self::Sha512_256, "SHA-512-256"),
        (Self::Sha512_256Sess, "SHA-512-256-sess"),
    ];

    /// The algorithm of that name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| n.eq_ignore_ascii_case(name)).map(|(a, _)| *a)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(a, _)| *a == self).map_or("", |(_, n)| n)
    }

    /// Whether A1 holds the nonces too (RFC 7616 §3.4.2).
    pub const fn is_session(self) -> bool {
        matches!(self, Self::Md5Sess | Self::Sha256Sess | Self::Sha512_256Sess)
    }

    /// H(parts joined by colons), in lower-case hexadecimal digits.
    fn hash(self, parts: &[&[u8]]) -> Zeroizing<String> {
        fn run<D: md5::Digest>(parts: &[&[u8]]) -> Zeroizing<String> {
            let mut hasher = D::new();
            for (at, part) in parts.iter().enumerate() {
                if at > 0 {
                    hasher.update(b":");
                }
                hasher.update(part);
            }
            hex(&hasher.finalize())
        }
        match self {
            Self::Md5 | Self::Md5Sess => run::<Md5>(parts),
            Self::Sha256 | Self::Sha256Sess => run::<Sha256>(parts),
            Self::Sha512_256 | Self::Sha512_256Sess => run::<Sha512_256>(parts),
        }
    }

    /// H(user:realm:password): what a server may store (RFC 7616 §3.4.2).
    pub fn ha1(self, username: &str, realm: &str, password: &str) -> Zeroizing<String> {
        self.hash(&[username.as_bytes(), realm.as_bytes(), password.as_bytes()])
    }

    /// The `response` parameter (RFC 7616 §3.4.1); `ha1` as of [`Self::ha1`].
    pub fn response(self, ha1: &str, nonce: &str, qop: Option<Qop>, digest: &Digest<'_>) -> String {
        let session;
        let ha1 = if self.is_session() {
            session = self.hash(&[ha1.as_bytes(), nonce.as_bytes(), digest.cnonce.as_bytes()]);
            session.as_str()
        } else {
            ha1
        };
        let (method, uri) = (digest.method.as_bytes(), digest.uri.as_bytes());
        let ha2 = match qop {
            Some(Qop::AuthInt) => self.hash(&[method, uri, self.hash(&[digest.body]).as_bytes()]),
            _ => self.hash(&[method, uri]),
        };
        let hash = match qop {
            Some(qop) => self.hash(&[
                ha1.as_bytes(),
                nonce.as_bytes(),
                format!("{:08x}", digest.nc).as_bytes(),
                digest.cnonce.as_bytes(),
                qop.name().as_bytes(),
                ha2.as_bytes(),
            ]),
            None => self.hash(&[ha1.as_bytes(), nonce.as_bytes(), ha2.as_bytes()]),
        };
        hash.as_str().to_owned()
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The quality of protection (RFC 7616 §3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Qop {
    /// `auth`: method and URI.
    Auth,
    /// `auth-int`: the body too.
    AuthInt,
}

impl Qop {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

/// What of a request goes into its digest.
#[derive(Debug, Clone, Copy)]
pub struct Digest<'a> {
    /// The method.
    pub method: &'a str,
    /// The Request-URI.
    pub uri: &'a str,
    /// The body, for `auth-int`.
    pub body: &'a [u8],
    /// How many requests used the nonce, with this one.
    pub nc: u32,
    /// The client's nonce.
    pub cnonce: &'a str,
}

impl<'a> Digest<'a> {
    /// Of a request without a body, whose nonces are still to be set.
    pub const fn new(method: &'a str, uri: &'a str) -> Self {
        Self { method, uri, body: &[], nc: 1, cnonce: "" }
    }
}

/// The tag of a server's nonce: a keyed hash of what it holds.
pub(crate) fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 16] {
    // The inner hash is hidden in an outer one, so lengths cannot be extended.
    let mut inner = Sha256::new();
    inner.update(key);
    for part in parts {
        inner.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        inner.update(part);
    }
    let outer =
        Sha256::new().chain_update(key).chain_update([0xff]).chain_update(inner.finalize()).finalize();
    let mut tag = [0; 16];
    for (to, from) in tag.iter_mut().zip(outer.iter()) {
        *to = *from;
    }
    tag
}

fn hex(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for byte in bytes {
        // Writing to memory does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (algorithm, name) in Algorithm::ALL {
            assert_eq!(Algorithm::named(&name.to_lowercase()), Some(algorithm));
            assert_eq!(algorithm.to_string(), name);
        }
        assert_eq!(Algorithm::named("SHA-1"), None);
        assert!(Algorithm::Md5 < Algorithm::Sha256 && Algorithm::Sha256 < Algorithm::Sha512_256);
    }

    #[test]
    fn rfc_2617_section_3_5() {
        let ha1 = Algorithm::Md5.ha1("Mufasa", "testrealm@host.com", "Circle Of Life");
        assert_eq!(ha1.as_str(), "939e7578ed9e3c518a452acee763bce9");
        let digest = Digest { nc: 1, cnonce: "0a4f113b", ..Digest::new("GET", "/dir/index.html") };
        let response =
            Algorithm::Md5.response(&ha1, "dcd98b7102dd2f0e8b11d0f600bfb0c093", Some(Qop::Auth), &digest);
        assert_eq!(response, "6629fae49393a05397450978507c4ef1");
    }

    #[test]
    fn keyed_tags_differ_by_key_and_by_split() {
        let tag = keyed(&[1; 32], &[b"ab", b"c"]);
        assert_eq!(tag, keyed(&[1; 32], &[b"ab", b"c"]));
        assert_ne!(tag, keyed(&[2; 32], &[b"ab", b"c"]));
        assert_ne!(tag, keyed(&[1; 32], &[b"a", b"bc"]));
    }
}
