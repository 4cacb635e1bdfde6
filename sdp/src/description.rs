//! A description and its streams.

use std::fmt;

use crate::address::{Address, Connection, Origin};
use crate::attribute::Direction;
use crate::attributes::Attributes;
use crate::error::ParseError;
use crate::media_line::{Formats, MediaKind, Protocol};
use crate::text::{Text, Token};

/// A session description (RFC 8866).
///
/// What was read and not changed prints byte for byte as it came, unknown lines, odd spacing and all. A part
/// that was changed (the session's lines, or those of one stream) prints in the order of RFC 8866 §5.
/// Equality is that of meaning: spacing and the order of different line types do not count.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionDescription {
    /// o=
    pub origin: Origin,
    /// s=, a single `-` if there is no name.
    pub name: Text,
    /// i=
    pub information: Option<Text>,
    /// u=
    pub uri: Option<Text>,
    /// e=
    pub emails: Vec<Text>,
    /// p=
    pub phones: Vec<Text>,
    /// c=, for the streams that have none of their own.
    pub connection: Option<Connection>,
    /// b=
    pub bandwidth: Vec<Bandwidth>,
    /// t= and the r= that belong to them.
    pub times: Vec<Timing>,
    /// z=
    pub zones: Option<Text>,
    /// k=, obsolete.
    pub key: Option<Key>,
    /// a= of the session.
    pub attributes: Attributes,
    /// Lines before the first m= that are none of the above, as they came.
    pub unknown: Vec<Text>,
    /// The streams, in the order of their m-lines.
    pub media: Vec<MediaDescription>,
    pub(crate) layout: Layout,
    pub(crate) head: Raw<Head>,
}

/// One stream: an m= line and what follows it.
#[derive(Clone, PartialEq, Eq)]
pub struct MediaDescription {
    /// What the stream carries.
    pub media: MediaKind,
    /// The port; 0 is a stream that is refused or over (RFC 3264 §6).
    pub port: u16,
    /// How many ports, as in `49170/2`.
    pub port_count: Option<u16>,
    /// The transport.
    pub protocol: Protocol,
    /// The formats, the preferred one first.
    pub formats: Formats,
    /// i=
    pub title: Option<Text>,
    /// c=; more than one only for multicast layers.
    pub connections: Vec<Connection>,
    /// b=
    pub bandwidth: Vec<Bandwidth>,
    /// k=, obsolete.
    pub key: Option<Key>,
    /// a=
    pub attributes: Attributes,
    /// Lines that are none of the above, as they came.
    pub unknown: Vec<Text>,
    pub(crate) raw: Raw<MediaDescription>,
}

/// b= (RFC 8866 §5.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bandwidth {
    /// `AS`, `CT`, `TIAS` (RFC 3890), `RS`, `RR` (RFC 3556), or another.
    pub kind: Token,
    /// Kilobits a second; bits a second for `TIAS`, `RS` and `RR`.
    pub value: u64,
}

/// t= with its r= lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Seconds since 1900, or 0.
    pub start: u64,
    /// Seconds since 1900, or 0 for an open end.
    pub stop: u64,
    /// r=, as text.
    pub repeats: Vec<Text>,
}

/// The value of k=. Its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(pub Text);

/// What printing needs beside the fields.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    /// Lines end with LF alone.
    pub(crate) lf: bool,
    /// Length of what was read, to size the output.
    pub(crate) length: usize,
    /// What was wrong but did not keep the rest from being read.
    pub(crate) defects: Vec<ParseError>,
}

/// The text of a part that the fields alone would not reproduce, with the fields as they were read: as long as
/// they are the same, the text is printed.
#[derive(Clone)]
pub(crate) struct Raw<T>(pub(crate) Option<Box<(T, Text)>>);

/// The session's own lines.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) session: SessionDescription,
}

impl SessionDescription {
    /// A description without streams: `s=-`, `t=0 0`.
    pub fn new(origin: Origin) -> Self {
        let mut description = Self::blank(origin);
        description.name = Text::from_static("-");
        description.times.push(Timing { start: 0, stop: 0, repeats: Vec::new() });
        description
    }

    pub(crate) fn blank(origin: Origin) -> Self {
        Self {
            origin,
            name: Text::EMPTY,
            information: None,
            uri: None,
            emails: Vec::new(),
            phones: Vec::new(),
            connection: None,
            bandwidth: Vec::new(),
            times: Vec::new(),
            zones: None,
            key: None,
            attributes: Attributes::new(),
            unknown: Vec::new(),
            media: Vec::new(),
            layout: Layout::default(),
            head: Raw(None),
        }
    }

    /// What was wrong with the text it was read from and could be passed over, in its order: the first 16.
    pub fn defects(&self) -> &[ParseError] {
        &self.layout.defects
    }

    /// All but the streams is the same.
    pub(crate) fn same_head(&self, other: &Self) -> bool {
        self.origin == other.origin && self.same_head_but_origin(other)
    }

    fn same_head_but_origin(&self, other: &Self) -> bool {
        self.name == other.name
            && self.information == other.information
            && self.uri == other.uri
            && self.emails == other.emails
            && self.phones == other.phones
            && self.connection == other.connection
            && self.bandwidth == other.bandwidth
            && self.times == other.times
            && self.zones == other.zones
            && self.key == other.key
            && self.attributes == other.attributes
            && self.unknown == other.unknown
    }

    /// Whether all but the o= line is the same: then its version need not move (RFC 3264 §8).
    pub fn same_but_origin(&self, other: &Self) -> bool {
        self.same_head_but_origin(other) && self.media == other.media
    }

    /// The direction that the session's attributes set for streams without one of their own.
    pub fn direction(&self) -> Option<Direction> {
        self.attributes.find()
    }
}

impl MediaDescription {
    /// A stream of that kind, without formats or attributes.
    pub fn new(media: MediaKind, port: u16, protocol: Protocol) -> Self {
        Self {
            media,
            port,
            port_count: None,
            protocol,
            formats: Formats::default(),
            title: None,
            connections: Vec::new(),
            bandwidth: Vec::new(),
            key: None,
            attributes: Attributes::new(),
            unknown: Vec::new(),
            raw: Raw(None),
        }
    }

    /// Refused or over: port 0 (RFC 3264 §6), unless it is bundled only (RFC 8843 §6).
    pub fn is_rejected(&self) -> bool {
        self.port == 0 && !self.attributes.contains("bundle-only")
    }

    /// The c= line that holds for this stream.
    pub fn connection<'a>(&'a self, session: &'a SessionDescription) -> Option<&'a Connection> {
        self.connections.first().or(session.connection.as_ref())
    }

    /// The address that holds for this stream.
    pub fn address<'a>(&'a self, session: &'a SessionDescription) -> Option<&'a Address> {
        self.connection(session).map(|connection| &connection.address)
    }

    /// The direction that holds for this stream, seen from who wrote it: its own attribute, else the session's,
    /// else `sendrecv` (RFC 8866 §6.7). With the address 0.0.0.0 the writer does not want to receive (RFC 3264
    /// §8.4, the hold form of RFC 2543), unless ICE is to find the address (RFC 8839 §4.3.1).
    pub fn direction(&self, session: &SessionDescription) -> Direction {
        let written = self.attributes.find().or(session.direction()).unwrap_or(Direction::SendRecv);
        if self.is_old_hold(session) { written.without_receiving() } else { written }
    }

    /// Whether the stream is put on hold by the address 0.0.0.0 (RFC 2543 §B.5).
    pub fn is_old_hold(&self, session: &SessionDescription) -> bool {
        self.address(session).is_some_and(Address::is_unspecified)
            && !self.attributes.contains("ice-ufrag")
            && !session.attributes.contains("ice-ufrag")
    }

    /// The bandwidth of that kind, as it stands.
    pub fn bandwidth(&self, kind: &str) -> Option<u64> {
        self.bandwidth.iter().find(|one| one.kind == kind).map(|one| one.value)
    }
}

impl<T> PartialEq for Raw<T> {
    /// Layout is not meaning.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Raw<T> {}

impl PartialEq for Layout {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Layout {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl fmt::Debug for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionDescription")
            .field("origin", &self.origin)
            .field("name", &self.name)
            .field("connection", &self.connection)
            .field("bandwidth", &self.bandwidth)
            .field("times", &self.times)
            .field("attributes", &self.attributes)
            .field("media", &self.media)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MediaDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaDescription")
            .field("media", &self.media)
            .field("port", &self.port)
            .field("protocol", &self.protocol)
            .field("formats", &self.formats)
            .field("connections", &self.connections)
            .field("attributes", &self.attributes)
            .finish_non_exhaustive()
    }
}
