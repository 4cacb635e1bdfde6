//! Locating SIP servers (RFC 3263): which questions to ask of the DNS, and what follows from the
//! answers.
//!
//! ```
//! use sip_core::resolve::{Answer, Lookup, Question, Record, RecordKind, Wanted};
//! use sip_core::endpoint::Transport;
//!
//! let wanted = Wanted { transports: vec![Transport::Udp], ..Wanted::new("example.com") };
//! let mut lookup = Lookup::new(wanted, [7; 32])?;
//! let naptr = Question::new("example.com", RecordKind::Naptr);
//! assert_eq!(lookup.ask(), [naptr.clone()]);
//! lookup.answer(&naptr, Ok(&[]));
//! let srv = Question::new("_sip._udp.example.com", RecordKind::Srv);
//! assert_eq!(lookup.ask(), [srv.clone()]);
//! let record = Record::Srv { priority: 0, weight: 1, port: 5070, target: "a.example.com".into() };
//! lookup.answer(&srv, Ok(&[record]));
//! let address = Question::new("a.example.com", RecordKind::A);
//! assert_eq!(lookup.ask(), [address.clone()]);
//! lookup.answer(&address, Ok(&[Record::Address([192, 0, 2, 1].into())]));
//! assert!(lookup.ask().is_empty());
//! let hops = lookup.result().expect("all is answered").expect("there is a server");
//! assert_eq!(hops[0].target.addr, "192.0.2.1:5070".parse()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cache;
mod lookup;
mod order;

pub(crate) use cache::Cache;
pub use lookup::{Hop, Lookup, LookupError, Wanted};

use std::{net::IpAddr, time::Duration};

/// A kind of DNS record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKind {
    /// Naming authority pointers (RFC 3403): which transports a domain has.
    Naptr,
    /// Services (RFC 2782): which servers a domain has for a transport.
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

/// A question to the DNS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Question {
    /// The name, in lower case and without the dot at its end.
    pub name: String,
    /// Which records of it.
    pub kind: RecordKind,
}

impl Question {
    /// A question about a name.
    pub fn new(name: &str, kind: RecordKind) -> Self {
        Self { name: name.trim_end_matches('.').to_ascii_lowercase(), kind }
    }
}

/// One record of an answer, as far as SIP needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Of a name's `NAPTR` (RFC 3403 §4.1).
    Naptr {
        /// The lowest first.
        order: u16,
        /// Among those of the same order, the lowest first.
        preference: u16,
        /// `s`: the replacement is to be asked for SRV.
        flags: String,
        /// Such as `SIP+D2U`.
        service: String,
        /// The name to go on with.
        replacement: String,
    },
    /// Of a name's `SRV` (RFC 2782).
    Srv {
        /// The lowest first.
        priority: u16,
        /// Among those of the same priority, its share.
        weight: u16,
        /// Where the service is.
        port: u16,
        /// On which host; the root where the service is decidedly not available.
        target: String,
    },
    /// Of a name's `A` or `AAAA`.
    Address(IpAddr),
}

/// What the DNS answered. A name or kind that does not exist is an answer too: one without records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The records.
    pub records: Vec<Record>,
    /// How long that may be remembered.
    pub ttl: Duration,
}
