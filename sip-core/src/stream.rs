//! Messages out of a byte stream (RFC 3261 §18.3, keep-alives of RFC 5626 §4.4.1).

use crate::{ErrorKind, Limits, Message, ParseError, StatusCode, index::Index};
use bytes::{Buf, Bytes, BytesMut};

/// Cuts a TCP or TLS stream into messages.
///
/// Every byte is looked at a fixed number of times, however small the pieces are that it comes in,
/// and no more is kept than the limits allow plus what one call feeds.
///
/// ```
/// use sip_core::{Limits, StreamDecoder, StreamItem};
/// let mut decoder = StreamDecoder::new(Limits::default());
/// decoder.feed(b"\r\n\r\nSIP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhiSIP/2.0 ");
/// assert!(matches!(decoder.next(), Some(StreamItem::Ping)));
/// assert!(matches!(decoder.next(), Some(StreamItem::Message(m)) if m.body().as_ref() == b"hi"));
/// assert!(decoder.next().is_none());
/// ```
#[derive(Debug)]
pub struct StreamDecoder {
    limits: Limits,
    buffer: BytesMut,
    /// How much of `buffer` is known not to end the headers.
    scanned: usize,
    state: State,
    /// A CRLF came alone; another makes it a ping.
    half_ping: bool,
}

#[derive(Debug)]
enum State {
    Head,
    /// The headers are indexed; the message is complete with this many bytes.
    Body(Box<Index>, usize),
    Closed,
}

/// What came out of a stream.
#[derive(Debug)]
pub enum StreamItem {
    /// A message; [`Message::validate`] is still to be asked.
    Message(Message),
    /// CRLF CRLF: the peer wants a CRLF back (RFC 5626 §4.4.1).
    Ping,
    /// CRLF: the answer to a ping of ours. May also come before a [`StreamItem::Ping`] that is split.
    Pong,
    /// Where the next message starts is unknown: answer, if possible, and close. Nothing follows.
    Error(Box<StreamError>),
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct StreamError {
    /// What is wrong.
    pub error: ParseError,
    /// What to answer before closing, if there is a request to answer to.
    pub status: StatusCode,
    /// The start line and headers, without a body, as far as they could be read.
    pub message: Option<Message>,
}

impl StreamDecoder {
    /// A decoder at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: BytesMut::new(), scanned: 0, state: State::Head, half_ping: false }
    }

    /// Takes what was received. Call [`Self::next`] until it gives `None` after each.
    pub fn feed(&mut self, data: &[u8]) {
        if !matches!(self.state, State::Closed) {
            self.buffer.extend_from_slice(data);
        }
    }

    /// The next thing that is complete.
    #[expect(clippy::should_implement_trait, reason = "feeding goes on between calls; it is no iterator")]
    pub fn next(&mut self) -> Option<StreamItem> {
        loop {
            match std::mem::replace(&mut self.state, State::Head) {
                State::Closed => {
                    self.state = State::Closed;
                    return None;
                }
                State::Head => {
                    if let Some(keep_alive) = self.keep_alive() {
                        return Some(keep_alive);
                    }
                    match self.head_end()? {
                        Ok(end) => match self.start_body(end) {
                            Ok(state) => self.state = state,
                            Err(error) => return Some(self.close(error, end)),
                        },
                        Err(error) => return Some(self.close(error, self.buffer.len())),
                    }
                }
                State::Body(index, total) => {
                    if self.buffer.len() < total {
                        self.state = State::Body(index, total);
                        return None;
                    }
                    return Some(self.finish(*index, total));
                }
            }
        }
    }

    /// How many bytes wait for the rest of a message.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Whether the stream ended between two messages.
    pub fn is_at_boundary(&self) -> bool {
        self.buffer.is_empty() && !matches!(self.state, State::Closed)
    }

    /// CRLFs before a message (RFC 3261 §7.5) are keep-alives.
    fn keep_alive(&mut self) -> Option<StreamItem> {
        if self.scanned > 0 {
            return None;
        }
        if self.buffer.starts_with(b"\r\n\r\n") || (self.half_ping && self.buffer.starts_with(b"\r\n")) {
            self.buffer.advance(if self.half_ping { 2 } else { 4 });
            self.half_ping = false;
            return Some(StreamItem::Ping);
        }
        // One CRLF is a pong, unless its second half is still on the way.
        if self.buffer.starts_with(b"\r\n") && self.buffer.as_ref() != b"\r\n\r" {
            self.half_ping = self.buffer.len() == 2;
            self.buffer.advance(2);
            return Some(StreamItem::Pong);
        }
        None
    }

    /// Where the headers end, once they do.
    fn head_end(&mut self) -> Option<Result<usize, ParseError>> {
        let bytes = self.buffer.as_ref();
        if self.half_ping && !bytes.is_empty() && bytes != b"\r" {
            self.half_ping = false;
        }
        let end =
            memchr::memchr_iter(b'\n', bytes.get(self.scanned..)?).map(|i| self.scanned + i).find(|at| {
                let before = bytes.get(..*at).unwrap_or(&[]);
                before.ends_with(b"\n") || before.ends_with(b"\n\r")
            });
        match end {
            Some(end) if end < self.limits.head => Some(Ok(end + 1)),
            None if bytes.len() <= self.limits.head => {
                // A lone CR may become a keep-alive; anything else starts a message.
                self.scanned = if bytes == b"\r" || bytes == b"\r\n\r" { 0 } else { bytes.len() };
                None
            }
            _ => {
                Some(Err(ParseError::new(self.limits.head, ErrorKind::TooLarge, "a shorter header section")))
            }
        }
    }

    fn start_body(&mut self, end: usize) -> Result<State, ParseError> {
        let index = Index::head(self.buffer.get(..end).unwrap_or(&[]), &self.limits)?;
        if let Some(fault) = index.fault {
            return Err(fault);
        }
        // RFC 3261 §18.3: on a stream only Content-Length tells where the message ends.
        let Some(length) = index.content_length else {
            return Err(ParseError::new(end, ErrorKind::Missing, "a Content-Length, as this is a stream"));
        };
        match usize::try_from(length) {
            Ok(length) if length <= self.limits.body => Ok(State::Body(Box::new(index), end + length)),
            _ => Err(ParseError::new(end, ErrorKind::BodyTooLarge, "a shorter body")),
        }
    }

    fn finish(&mut self, mut index: Index, total: usize) -> StreamItem {
        // A copy, so that a message that is kept does not keep what came with it.
        let bytes = Bytes::copy_from_slice(self.buffer.get(..total).unwrap_or(&[]));
        self.buffer.advance(total);
        self.scanned = 0;
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        index.body = crate::index::Span::new(index.body.start as usize, total);
        match Message::assemble(bytes, index) {
            Ok(message) => StreamItem::Message(message),
            Err(error) => self.close(error, 0),
        }
    }

    /// Stops reading; what there is of a head goes along for the answer.
    fn close(&mut self, error: ParseError, head: usize) -> StreamItem {
        let bytes = Bytes::copy_from_slice(self.buffer.get(..head.min(self.limits.head)).unwrap_or(&[]));
        let message = Index::head(&bytes, &self.limits).and_then(|mut index| {
            index.body.end = index.body.start;
            Message::assemble(bytes, index)
        });
        self.state = State::Closed;
        self.buffer = BytesMut::new();
        StreamItem::Error(Box::new(StreamError { error, status: error.status(), message: message.ok() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = b"BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c\r\nl: 3\r\n\r\nabc";

    fn run(decoder: &mut StreamDecoder) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(item) = decoder.next() {
            out.push(match item {
                StreamItem::Message(m) => String::from_utf8(m.to_bytes().to_vec()).unwrap(),
                StreamItem::Ping => "ping".into(),
                StreamItem::Pong => "pong".into(),
                StreamItem::Error(e) => format!("{} {}", e.status, e.message.is_some()),
            });
        }
        out
    }

    fn whole(data: &[u8]) -> Vec<String> {
        let mut decoder = StreamDecoder::new(Limits::default());
        decoder.feed(data);
        run(&mut decoder)
    }

    #[test]
    fn split_anywhere() {
        let message = String::from_utf8(ONE.to_vec()).unwrap();
        let data = [ONE, b"\r\n\r\n", ONE].concat();
        for cut in 0..=data.len() {
            let mut decoder = StreamDecoder::new(Limits::default());
            decoder.feed(&data[..cut]);
            let mut out = run(&mut decoder);
            decoder.feed(&data[cut..]);
            out.extend(run(&mut decoder));
            out.retain(|item| item != "pong");
            assert_eq!(out, [message.as_str(), "ping", message.as_str()], "cut at {cut}");
        }
    }

    #[test]
    fn keep_alives() {
        assert_eq!(whole(b"\r\n"), ["pong"]);
        assert_eq!(whole(b"\r\n\r\n"), ["ping"]);
        assert_eq!(whole(b"\r\n\r\n\r\n"), ["ping", "pong"]);
        let mut decoder = StreamDecoder::new(Limits::default());
        let mut out = Vec::new();
        for byte in b"\r\n\r\n" {
            decoder.feed(&[*byte]);
            out.extend(run(&mut decoder));
        }
        assert_eq!(out, ["pong", "ping"]);
    }

    #[test]
    fn content_lengths_that_close() {
        for (value, answer) in [
            ("-1", "400 true"),
            ("+5", "400 true"),
            ("0x10", "400 true"),
            ("4294967328", "413 true"),
            ("18446744073709551615", "413 true"),
            ("3\r\nContent-Length: 3", "400 true"),
            ("3, 3", "400 true"),
            ("", "400 true"),
        ] {
            let text = format!(
                "BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c\r\nContent-Length: {value}\r\n\r\nBYE sip:evil SIP/2.0\r\nl: 0\r\n\r\n"
            );
            assert_eq!(whole(text.as_bytes()), [answer], "{value}");
        }
        assert_eq!(
            whole(format!("BYE sip:a@b SIP/2.0\r\nl: {}\r\n\r\n", "9".repeat(99)).as_bytes()),
            ["400 true"]
        );
        assert_eq!(whole(b"BYE sip:a@b SIP/2.0\r\nVia: x\r\n\r\nabc"), ["400 true"]);
        assert_eq!(whole(b"rubbish\r\n\r\n"), ["400 false"]);
    }

    #[test]
    fn a_head_without_end_is_refused() {
        let mut data = b"BYE sip:a@b SIP/2.0\r\n".to_vec();
        data.extend(b"X: y\r\n".repeat(20_000));
        assert_eq!(whole(&data), ["400 true"]);
    }
}
