//! Text to values.
//!
//! One pass over the lines. Each line goes to its field; whether the fields alone would print the same text is
//! noted on the way, and only a part that they would not print (odd spacing, odd order, unknown lines) keeps
//! its text. A line that is malformed is a defect, not the end: only a text that is no SDP at all, or that
//! breaks a limit, is refused.

use std::sync::Arc;

use crate::address::{AddrType, Address, Connection, NetType, Origin, SessionId};
use crate::attributes::Attributes;
use crate::description::{Bandwidth, Head, Key, MediaDescription, Raw, SessionDescription, Timing};
use crate::error::{ErrorKind, ParseError};
use crate::fragment::Fragment;
use crate::media_line::{Formats, MediaKind, Protocol};
use crate::number;
use crate::text::{Text, Token, is_word};

/// What a description may hold at most; beyond it parsing stops with [`ErrorKind::Limit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Length in bytes. Default: 65,536.
    pub bytes: usize,
    /// m-lines. Default: 128.
    pub media: usize,
    /// a-lines in all. Default: 4,096.
    pub attributes: usize,
    /// Lines of other types in one part (the session, or a stream), unknown ones among them. Default: 64.
    pub lines: usize,
    /// `a=crypto` lines in one part. Default: 32.
    pub cryptos: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 65_536, media: 128, attributes: 4_096, lines: 64, cryptos: 32 }
    }
}

/// How many defects are kept.
const DEFECTS: usize = 16;
/// Room for attributes at the first one: a session has few, a stream 5 to 30.
const ROOM: (usize, usize) = (4, 32);

impl SessionDescription {
    /// Reads a description within the default [`Limits`]. See [`SessionDescription::parse_with`].
    pub fn parse<T: AsRef<[u8]> + ?Sized>(input: &T) -> Result<Self, ParseError> {
        Self::parse_with(input, &Limits::default())
    }

    /// Reads a description, refusing every fault: for tools and tests, not for peers.
    pub fn parse_strict<T: AsRef<[u8]> + ?Sized>(input: &T) -> Result<Self, ParseError> {
        let description = Self::parse(input)?;
        match description.defects().first() {
            Some(defect) => Err(*defect),
            None => Ok(description),
        }
    }

    /// Reads a description. Malformed lines become [`SessionDescription::defects`] and survive printing; a
    /// stream whose m= line is malformed has the port 0. Refused are a text without a v= line, NUL, CR within a
    /// line, and what breaks a limit.
    pub fn parse_with<T: AsRef<[u8]> + ?Sized>(input: &T, limits: &Limits) -> Result<Self, ParseError> {
        Parser::read(input.as_ref(), limits)?.run()
    }
}

/// Reads the lines of a fragment: no v= line has to be there.
pub(crate) fn fragment(input: &[u8], limits: &Limits) -> Result<Fragment, ParseError> {
    let session = Parser::read(input, limits)?.run_lines()?.session;
    let media = session.media.into_iter().map(|media| MediaDescription {
        port_count: media.port_count,
        formats: media.formats,
        attributes: media.attributes,
        ..MediaDescription::new(media.media, media.port, media.protocol)
    });
    Ok(Fragment { attributes: session.attributes, media: media.collect() })
}

struct Parser<'l> {
    source: Arc<str>,
    limits: &'l Limits,
    session: SessionDescription,
    media: Option<MediaDescription>,
    /// Where the current part begins.
    part: usize,
    /// How far the order of RFC 8866 §5 has come in this part.
    rank: u8,
    /// The fields will print this part as it is.
    regular: bool,
    lines: usize,
    attributes: usize,
    cryptos: usize,
    seen: Seen,
}

#[derive(Default)]
struct Seen {
    version: bool,
    origin: bool,
    name: bool,
}

/// One line: its text is `source[start..end]`, the value begins two bytes later.
#[derive(Clone, Copy)]
struct Line<'s> {
    start: usize,
    end: usize,
    kind: u8,
    value: &'s str,
}

impl<'l> Parser<'l> {
    fn new(source: Arc<str>, limits: &'l Limits) -> Self {
        let mut session = SessionDescription::blank(Origin {
            username: Token::from_static("-"),
            session_id: SessionId(Token::from_static("0")),
            session_version: 0,
            address: Address::unknown(),
        });
        session.attributes = Attributes::with_source(&source);
        session.layout.length = source.len();
        Self {
            source,
            limits,
            session,
            media: None,
            part: 0,
            rank: 0,
            regular: true,
            lines: 0,
            attributes: 0,
            cryptos: 0,
            seen: Seen::default(),
        }
    }

    fn read(input: &[u8], limits: &'l Limits) -> Result<Self, ParseError> {
        if input.len() > limits.bytes.min(u32::MAX as usize) {
            return Err(ParseError::new(limits.bytes, ErrorKind::Limit, "a shorter description"));
        }
        let (source, encoding) = match std::str::from_utf8(input) {
            Ok(text) => (Arc::<str>::from(text), None),
            Err(error) => (Arc::from(String::from_utf8_lossy(input)), Some(error.valid_up_to())),
        };
        let mut parser = Parser::new(source, limits);
        if let Some(at) = encoding {
            // RFC 8866 §5: UTF-8; other sets come with a=charset and stay unread.
            parser.fault(at, ErrorKind::Encoding, "UTF-8");
        }
        Ok(parser)
    }

    fn run_lines(mut self) -> Result<Self, ParseError> {
        let source = Arc::clone(&self.source);
        let bytes = source.as_bytes();
        let mut start = 0;
        let mut controls = controls(bytes);
        let mut first = true;
        for newline in memchr::memchr_iter(b'\n', bytes).chain(std::iter::once(bytes.len())) {
            if start >= bytes.len() {
                break;
            }
            let mut end = newline;
            let mut lf = true;
            if newline > start && bytes.get(newline - 1) == Some(&b'\r') {
                end = newline - 1;
                controls -= 1;
                lf = false;
            }
            if first {
                self.session.layout.lf = lf && newline < bytes.len();
                first = false;
            }
            // A last line without an end, or one that ends in another way than the first.
            let odd = newline == bytes.len() || lf != self.session.layout.lf;
            self.line(&source, start, end, odd)?;
            start = newline + 1;
        }
        if controls > 0 {
            return Err(self.control());
        }
        self.close(bytes.len());
        Ok(self)
    }

    fn run(self) -> Result<SessionDescription, ParseError> {
        let mut parser = self.run_lines()?;
        if !parser.seen.version {
            return Err(ParseError::new(0, ErrorKind::Missing, "a v= line"));
        }
        if !parser.seen.origin {
            parser.fault(0, ErrorKind::Missing, "an o= line");
        }
        if !parser.seen.name {
            parser.fault(0, ErrorKind::Missing, "an s= line");
        }
        if parser.session.times.is_empty() {
            parser.fault(0, ErrorKind::Missing, "a t= line");
        }
        Ok(parser.session)
    }

    /// Where the NUL or the CR that ends no line is.
    fn control(&self) -> ParseError {
        let bytes = self.source.as_bytes();
        let at = bytes.iter().enumerate().position(|(at, byte)| match byte {
            0 => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        });
        ParseError::new(at.unwrap_or_default(), ErrorKind::Control, "no NUL, and CR only before LF")
    }

    fn fault(&mut self, at: usize, kind: ErrorKind, what: &'static str) {
        if self.session.layout.defects.len() < DEFECTS {
            self.session.layout.defects.push(ParseError::new(at, kind, what));
        }
    }

    #[inline]
    fn line(&mut self, source: &Arc<str>, start: usize, end: usize, odd: bool) -> Result<(), ParseError> {
        // Four lines of five are attributes: they take the short way.
        if let Some([b'a', b'=', rest @ ..]) = source.as_bytes().get(start..end) {
            if odd {
                self.regular = false;
            }
            return self.attribute(rest, start, end);
        }
        self.other_line(source, start, end, odd)
    }

    fn other_line(
        &mut self,
        source: &Arc<str>,
        start: usize,
        end: usize,
        odd: bool,
    ) -> Result<(), ParseError> {
        let text = source.get(start..end).unwrap_or_default();
        let (kind, value) = match text.as_bytes() {
            [kind, b'=', ..] => (*kind, text.get(2..).unwrap_or_default()),
            _ => (0, text),
        };
        let line = Line { start, end, kind, value };
        if kind == b'm' {
            self.close(start);
            self.regular = !odd;
            return self.media_line(&line);
        }
        if odd {
            self.regular = false;
        }
        self.lines += 1;
        if self.lines > self.limits.lines {
            return Err(ParseError::new(start, ErrorKind::Limit, "fewer lines in one part"));
        }
        let known = match self.media {
            Some(_) => self.media_level(&line),
            None => self.session_level(&line),
        };
        if let Err(error) = known {
            self.fault(start + error.at, error.kind, error.what);
            self.keep_unknown(&line);
        }
        Ok(())
    }

    /// The line is none of those with a field, or is malformed: it stays as text. Of types that have a field
    /// it stays only in the text of an unchanged part: beside the field it would be a second one.
    fn keep_unknown(&mut self, line: &Line<'_>) {
        self.regular = false;
        if line.start == line.end || b"vosiuepcbtrzk".contains(&line.kind) {
            return;
        }
        let text = self.slice(line.start, line.end);
        match &mut self.media {
            Some(media) => media.unknown.push(text),
            None => self.session.unknown.push(text),
        }
    }

    /// Notes the order of RFC 8866 §5.
    fn order(&mut self, rank: u8) {
        if rank < self.rank {
            self.regular = false;
        }
        self.rank = rank;
    }

    fn slice(&self, start: usize, end: usize) -> Text {
        // The length of the source fits u32: parse_with has checked.
        Text::slice(&self.source, offset(start), offset(end))
    }

    fn value(&self, line: &Line<'_>) -> Text {
        self.slice(line.start + 2, line.end)
    }

    /// A part of the line that begins at `at` in its value.
    fn token(&self, line: &Line<'_>, at: usize, text: &str) -> Token {
        if text.is_empty() {
            return Token::from_static("-");
        }
        let start = line.start + 2 + at;
        Token::slice(&self.source, offset(start), offset(start + text.len()))
    }

    #[inline]
    fn attribute(&mut self, text: &[u8], start: usize, end: usize) -> Result<(), ParseError> {
        self.order(20);
        self.attributes += 1;
        if self.attributes > self.limits.attributes {
            return Err(ParseError::new(start, ErrorKind::Limit, "fewer attributes"));
        }
        let name = match text.iter().position(|byte| *byte == b':') {
            Some(colon) => colon,
            None => text.trim_ascii_end().len(),
        };
        if text.starts_with(b"crypto:") {
            self.cryptos += 1;
            if self.cryptos > self.limits.cryptos {
                return Err(ParseError::new(start, ErrorKind::Limit, "fewer crypto attributes"));
            }
        }
        if name == 0 || text.iter().take(name).any(u8::is_ascii_whitespace) {
            self.fault(start + 2, ErrorKind::Syntax, "the name of an attribute");
        }
        let start = start + 2;
        let (attributes, room) = match &mut self.media {
            Some(media) => (&mut media.attributes, ROOM.1),
            None => (&mut self.session.attributes, ROOM.0),
        };
        attributes.read(offset(start), offset(start + name), offset(end), room);
        Ok(())
    }

    fn session_level(&mut self, line: &Line<'_>) -> Result<(), ParseError> {
        match line.kind {
            b'v' => {
                self.order(0);
                if self.seen.version {
                    return Err(misplaced());
                }
                if line.start != 0 {
                    self.regular = false;
                    self.fault(0, ErrorKind::Misplaced, "the v= line first");
                }
                self.seen.version = true;
                if line.value != "0" {
                    self.regular = false;
                    self.fault(line.start + 2, ErrorKind::Version, "version 0");
                }
            }
            b'o' => {
                self.order(1);
                if self.seen.origin {
                    return Err(misplaced());
                }
                self.session.origin = self.origin(line)?;
                self.seen.origin = true;
            }
            b's' => {
                self.order(2);
                if self.seen.name {
                    return Err(misplaced());
                }
                self.seen.name = true;
                self.session.name = self.value(line);
            }
            b'i' => {
                self.order(3);
                let value = self.value(line);
                once(&mut self.session.information, value)?;
            }
            b'u' => {
                self.order(4);
                let value = self.value(line);
                once(&mut self.session.uri, value)?;
            }
            b'e' => {
                self.order(5);
                let value = self.value(line);
                self.session.emails.push(value);
            }
            b'p' => {
                self.order(6);
                let value = self.value(line);
                self.session.phones.push(value);
            }
            b'c' => {
                self.order(7);
                let connection = self.connection(line)?;
                once(&mut self.session.connection, connection)?;
            }
            b'b' => {
                self.order(8);
                let bandwidth = self.bandwidth(line)?;
                self.session.bandwidth.push(bandwidth);
            }
            b't' => {
                self.order(9);
                let timing = self.timing(line)?;
                self.session.times.push(timing);
            }
            b'r' => {
                self.order(9);
                let value = self.value(line);
                match self.session.times.last_mut() {
                    Some(timing) => timing.repeats.push(value),
                    None => return Err(misplaced()),
                }
            }
            b'z' => {
                self.order(10);
                let value = self.value(line);
                once(&mut self.session.zones, value)?;
            }
            b'k' => {
                self.order(11);
                let value = Key(self.value(line));
                once(&mut self.session.key, value)?;
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }

    fn media_level(&mut self, line: &Line<'_>) -> Result<(), ParseError> {
        match line.kind {
            b'i' => {
                self.order(3);
                let value = self.value(line);
                once(&mut self.stream()?.title, value)?;
            }
            b'c' => {
                self.order(7);
                let connection = self.connection(line)?;
                self.stream()?.connections.push(connection);
            }
            b'b' => {
                self.order(8);
                let bandwidth = self.bandwidth(line)?;
                self.stream()?.bandwidth.push(bandwidth);
            }
            b'k' => {
                self.order(11);
                let value = Key(self.value(line));
                once(&mut self.stream()?.key, value)?;
            }
            b'v' | b'o' | b's' | b'u' | b'e' | b'p' | b't' | b'r' | b'z' => return Err(misplaced()),
            _ => return Err(unknown()),
        }
        Ok(())
    }

    fn stream(&mut self) -> Result<&mut MediaDescription, ParseError> {
        self.media.as_mut().ok_or(misplaced())
    }

    /// RFC 8866 §5.14. What cannot be read makes a refused stream, so that the others live.
    fn media_line(&mut self, line: &Line<'_>) -> Result<(), ParseError> {
        if self.session.media.len() >= self.limits.media {
            return Err(ParseError::new(line.start, ErrorKind::Limit, "fewer m-lines"));
        }
        let mut words = Words::new(line.value);
        let kind = words.next();
        let port = words.next();
        let protocol = words.next();
        let formats = words.rest();
        let media =
            MediaKind::known(kind.1).unwrap_or_else(|| MediaKind::Other(self.token(line, kind.0, kind.1)));
        let protocol_value = Protocol::known(protocol.1)
            .unwrap_or_else(|| Protocol::Other(self.token(line, protocol.0, protocol.1)));
        let mut stream = MediaDescription::new(media, 0, protocol_value);
        stream.attributes = Attributes::with_source(&self.source);
        if !words.plain || formats.1.is_empty() {
            self.regular = false;
        }
        let start = line.start + 2 + formats.0;
        stream.formats = Formats(self.slice(start, start + formats.1.len()));
        let (number, count) = match split_at(port.1, b'/') {
            Some((number, count)) => (number, Some(count)),
            None => (port.1, None),
        };
        let count_value = count.and_then(number::u16);
        match number::u16(number) {
            Some(value) if count.is_some() == count_value.is_some() => {
                stream.port = value;
                stream.port_count = count_value;
                if !number::is_plain(number) || !count.is_none_or(number::is_plain) {
                    self.regular = false;
                }
            }
            _ => {
                self.regular = false;
                self.fault(line.start + 2 + port.0, ErrorKind::Range, "a port from 0 to 65535");
            }
        }
        if formats.1.is_empty() {
            stream.port = 0;
            self.fault(line.end, ErrorKind::Missing, "media, port, protocol and formats");
        }
        self.media = Some(stream);
        Ok(())
    }

    /// The current part ends before `end`.
    fn close(&mut self, end: usize) {
        let regular = std::mem::replace(&mut self.regular, true);
        let raw = (!regular).then(|| self.slice(self.part, end));
        match self.media.take() {
            Some(mut media) => {
                media.raw = Raw(raw.map(|raw| Box::new((media.clone(), raw))));
                self.session.media.push(media);
            }
            None => {
                let complete = self.seen.version && self.seen.origin && self.seen.name;
                let raw = raw.or_else(|| (!complete).then(|| self.slice(self.part, end)));
                self.session.head =
                    Raw(raw.map(|raw| Box::new((Head { session: self.session.clone() }, raw))));
            }
        }
        self.part = end;
        self.rank = 0;
        self.lines = 0;
        self.cryptos = 0;
    }

    /// RFC 8866 §5.2.
    fn origin(&mut self, line: &Line<'_>) -> Result<Origin, ParseError> {
        let mut words = Words::new(line.value);
        let username = words.next();
        let id = words.next();
        let version = words.next();
        let net = words.next();
        let addr = words.next();
        let host = words.next();
        if host.1.is_empty() || !words.rest().1.is_empty() {
            return Err(ParseError::new(
                2,
                ErrorKind::Syntax,
                "username, id, version, IN, IP4 or IP6, address",
            ));
        }
        if !id.1.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseError::new(2 + id.0, ErrorKind::Syntax, "a session id of digits"));
        }
        let session_version = number::u64(version.1).ok_or(ParseError::new(
            2 + version.0,
            ErrorKind::Range,
            "a session version of 64 bits",
        ))?;
        if !words.plain || !number::is_plain(version.1) {
            self.regular = false;
        }
        Ok(Origin {
            username: self.token(line, username.0, username.1),
            session_id: SessionId(self.token(line, id.0, id.1)),
            session_version,
            address: self.address(line, net, addr, host),
        })
    }

    fn address(&self, line: &Line<'_>, net: Word<'_>, addr: Word<'_>, host: Word<'_>) -> Address {
        Address {
            net_type: match net.1 {
                "IN" => NetType::Internet,
                other => NetType::Other(self.token(line, net.0, other)),
            },
            addr_type: match addr.1 {
                "IP4" => AddrType::Ip4,
                "IP6" => AddrType::Ip6,
                other => AddrType::Other(self.token(line, addr.0, other)),
            },
            host: self.token(line, host.0, host.1),
        }
    }

    /// RFC 8866 §5.7.
    fn connection(&mut self, line: &Line<'_>) -> Result<Connection, ParseError> {
        let mut words = Words::new(line.value);
        let net = words.next();
        let addr = words.next();
        let mut host = words.next();
        if host.1.is_empty() || !words.rest().1.is_empty() {
            return Err(ParseError::new(2, ErrorKind::Syntax, "IN, IP4 or IP6, address"));
        }
        if !words.plain {
            self.regular = false;
        }
        let (mut ttl, mut count) = (None, None);
        if net.1 == "IN"
            && let Some((address, suffix)) = split_at(host.1, b'/')
        {
            // RFC 8866 §5.7: IPv4 has a TTL and may have a count, IPv6 has a count alone.
            let wrong =
                ParseError::new(2 + host.0 + address.len(), ErrorKind::Range, "/ttl, /ttl/count or /count");
            let (first, second) = match split_at(suffix, b'/') {
                Some((first, second)) => (first, Some(second)),
                None => (suffix, None),
            };
            let plain = number::is_plain(first) && second.is_none_or(number::is_plain);
            if addr.1 == "IP6" {
                count = Some(number::u32(first).filter(|_| second.is_none()).ok_or(wrong)?);
            } else {
                ttl = Some(number::u32(first).and_then(|ttl| u8::try_from(ttl).ok()).ok_or(wrong)?);
                if let Some(second) = second {
                    count = Some(number::u32(second).ok_or(wrong)?);
                }
            }
            if address.is_empty() {
                return Err(wrong);
            }
            if !plain {
                self.regular = false;
            }
            host.1 = address;
        }
        Ok(Connection { address: self.address(line, net, addr, host), ttl, count })
    }

    /// RFC 8866 §5.8.
    fn bandwidth(&mut self, line: &Line<'_>) -> Result<Bandwidth, ParseError> {
        let wrong = ParseError::new(2, ErrorKind::Syntax, "type:number");
        let (kind, number) = split_at(line.value, b':').ok_or(wrong)?;
        let value = number::u64(number).ok_or(wrong)?;
        if !is_word(kind) {
            return Err(wrong);
        }
        if !number::is_plain(number) {
            self.regular = false;
        }
        Ok(Bandwidth { kind: self.token(line, 0, kind), value })
    }

    /// RFC 8866 §5.9.
    fn timing(&mut self, line: &Line<'_>) -> Result<Timing, ParseError> {
        let mut words = Words::new(line.value);
        let (start, stop) = (words.next().1, words.next().1);
        let wrong = ParseError::new(2, ErrorKind::Syntax, "start and stop");
        let timing = Timing {
            start: number::u64(start).ok_or(wrong)?,
            stop: number::u64(stop).ok_or(wrong)?,
            repeats: Vec::new(),
        };
        if !words.rest().1.is_empty() {
            return Err(wrong);
        }
        if !words.plain || !number::is_plain(start) || !number::is_plain(stop) {
            self.regular = false;
        }
        Ok(timing)
    }
}

/// A word and where it begins.
type Word<'s> = (usize, &'s str);

/// Words between spaces; notes whether it was one space each time and none at the end.
struct Words<'s> {
    text: &'s str,
    at: usize,
    plain: bool,
}

impl<'s> Words<'s> {
    #[inline]
    fn new(text: &'s str) -> Self {
        Self { text, at: 0, plain: true }
    }

    /// Passes over spaces that should not be there.
    #[inline]
    fn skip(&mut self) {
        while let Some(b' ' | b'\t') = self.text.as_bytes().get(self.at) {
            self.plain = false;
            self.at += 1;
        }
    }

    /// The next word; empty at the end.
    #[inline]
    fn next(&mut self) -> Word<'s> {
        self.skip();
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut end = start;
        while let Some(byte) = bytes.get(end) {
            if matches!(byte, b' ' | b'\t') {
                // A tab, or a space with nothing behind it, is not as we would print it.
                self.plain &= *byte == b' ' && end + 1 < bytes.len();
                break;
            }
            end += 1;
        }
        self.at = (end + 1).min(bytes.len());
        (start, self.text.get(start..end).unwrap_or_default())
    }

    /// All that is left, without the spaces before and after it.
    fn rest(&mut self) -> Word<'s> {
        self.skip();
        let left = self.text.get(self.at..).unwrap_or_default();
        if let Some(b' ' | b'\t') = left.as_bytes().last() {
            self.plain = false;
        }
        (self.at, left.trim_end_matches([' ', '\t']))
    }
}

/// How many CR and NUL there are; of NUL it is enough to know that there is one.
fn controls(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\r', bytes).count() + usize::from(memchr::memchr(0, bytes).is_some())
}

/// `split_once` for a short ASCII-delimited text: a plain loop beats the searcher there.
fn split_at(text: &str, delimiter: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == delimiter)?;
    text.get(..at).zip(text.get(at + 1..))
}

#[inline]
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn once<T>(field: &mut Option<T>, value: T) -> Result<(), ParseError> {
    match field {
        Some(_) => Err(misplaced()),
        None => {
            *field = Some(value);
            Ok(())
        }
    }
}

const fn misplaced() -> ParseError {
    ParseError::new(0, ErrorKind::Misplaced, "this line only once, and in its part")
}

const fn unknown() -> ParseError {
    ParseError::new(0, ErrorKind::Syntax, "a line of RFC 8866")
}
