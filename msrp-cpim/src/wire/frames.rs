//! Whole requests and responses out of a stream, for transports that carry one in each of their messages.

use bytes::{Buf, Bytes, BytesMut};

use super::decoder::{Decoder, DecoderLimits, Piece};
use crate::error::{ParseError, ParseErrorKind};

/// Cuts a stream into frames, which stay as they are: RFC 7977 §5.1 has one chunk in each WebSocket message.
#[derive(Debug, Clone)]
pub struct Frames {
    decoder: Decoder,
    buffer: BytesMut,
    /// How much of the buffer the decoder has seen.
    seen: usize,
    max_frame: usize,
}

impl Frames {
    /// A stream that begins; frames may have so many bytes.
    #[must_use]
    pub fn new(limits: DecoderLimits, max_frame: usize) -> Self {
        Self { decoder: Decoder::new(limits), buffer: BytesMut::new(), seen: 0, max_frame }
    }

    /// More of the stream.
    pub fn push(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    /// The next frame, if it is there.
    ///
    /// # Errors
    /// If the framing is lost, or a frame is too long; there is no way to go on.
    #[expect(clippy::should_implement_trait, reason = "no iterator: more may come after none")]
    pub fn next(&mut self) -> Result<Option<Bytes>, ParseError> {
        loop {
            let unseen = self.buffer.get(self.seen..).unwrap_or_default();
            let mut input = unseen;
            let ended = self.decoder.next(&mut input)?.map(|piece| matches!(piece, Piece::End(_)));
            self.seen += unseen.len() - input.len();
            if self.seen > self.max_frame {
                return Err(ParseError::new(self.max_frame, ParseErrorKind::TooLong, "a shorter frame"));
            }
            match ended {
                None => return Ok(None),
                Some(false) => {}
                Some(true) => {
                    let mut frame = self.buffer.split_to(self.seen).freeze();
                    self.seen = 0;
                    // Empty lines between frames keep a stream alive; they are part of none.
                    while frame.starts_with(b"\r\n") {
                        frame.advance(2);
                    }
                    return Ok(Some(frame));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Message;

    const STREAM: &[u8] = b"MSRP abcd SEND\r\nTo-Path: msrp://a:1/b;tcp\r\nContent-Type: text/plain\r\n\r\n\
        hi\r\n-------abcd+\r\nMSRP abce 200 OK\r\n-------abce$\r\n\
        MSRP abcf SEND\r\nContent-Type: a/b\r\n\r\n\r\n-------abcf$\r\n";

    #[test]
    fn each_frame_is_one_message_in_any_pieces() {
        for step in 1..STREAM.len() {
            let mut frames = Frames::new(DecoderLimits::default(), 200);
            let mut found = Vec::new();
            for piece in STREAM.chunks(step) {
                frames.push(piece);
                while let Some(frame) = frames.next().unwrap() {
                    Message::parse(&frame).unwrap();
                    found.push(frame);
                }
            }
            assert_eq!(found.len(), 3, "{step}");
            assert_eq!(found.concat(), STREAM, "{step}");
        }
    }

    #[test]
    fn empty_lines_between_frames_are_part_of_none() {
        let mut frames = Frames::new(DecoderLimits::default(), 200);
        frames.push(b"\r\n\r\nMSRP abce 200 OK\r\n-------abce$\r\n\r\n");
        assert_eq!(frames.next().unwrap().unwrap(), "MSRP abce 200 OK\r\n-------abce$\r\n");
        assert_eq!(frames.next().unwrap(), None);
    }

    #[test]
    fn frames_are_capped_and_what_is_none_is_an_error() {
        let mut frames = Frames::new(DecoderLimits::default(), 40);
        frames.push(STREAM);
        assert_eq!(frames.next().unwrap_err().kind, ParseErrorKind::TooLong);
        let mut frames = Frames::new(DecoderLimits::default(), 40);
        frames.push(b"GET / HTTP/1.1\r\n");
        assert!(frames.next().is_err());
    }
}
