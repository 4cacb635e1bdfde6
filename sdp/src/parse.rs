//! Text to values.
//!
//! One pass over the lines. Each line goes to its field; whether the fields alone would print the same text is
//! noted on the way, and only a part that they would not print (odd spacing, odd order, unknown lines) keeps
//! its text. A line that is malformed is a defect, not the end: only a text that is no SDP at all, or that
//! breaks a limit, is refused.

mod lines;
mod words;

use std::sync::Arc;

use crate::address::{Address, Origin, SessionId};
use crate::attributes::Attributes;
use crate::description::{Head, MediaDescription, Raw, SessionDescription};
use crate::error::{ErrorKind, ParseError};
use crate::fragment::Fragment;
use crate::text::{Text, Token};

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
}

/// How many CR and NUL there are; of NUL it is enough to know that there is one.
fn controls(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\r', bytes).count() + usize::from(memchr::memchr(0, bytes).is_some())
}

#[inline]
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
