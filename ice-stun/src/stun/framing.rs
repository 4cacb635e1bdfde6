//! STUN messages and channel data on datagrams and streams (RFC 8489 §6.2.2, RFC 8656 §12.4, §12.5).

use super::{HEADER, MAGIC_COOKIE};
use crate::error::{ErrorKind, ParseError, UsageError};

/// A channel number and application data (RFC 8656 §12.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// 0x4000 to 0x4fff.
    pub channel: u16,
    /// The application's bytes.
    pub data: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// Bytes of its header.
    pub const HEADER: usize = 4;

    /// Whether that may be the number of a channel (RFC 8656 §12).
    pub const fn is_channel(number: u16) -> bool {
        0x4000 <= number && number <= 0x4fff
    }

    /// Takes a datagram, or a frame of a stream, for channel data. Over UDP padding may be there or not.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let Some(([c0, c1, l0, l1], rest)) = bytes.split_first_chunk() else {
            return Err(ParseError::new(bytes.len(), ErrorKind::Truncated, "channel and length"));
        };
        let channel = u16::from_be_bytes([*c0, *c1]);
        if !Self::is_channel(channel) {
            return Err(ParseError::new(0, ErrorKind::Value, "a channel number of 0x4000 to 0x4fff"));
        }
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        match rest.get(..length) {
            Some(data) if rest.len() - length < 4 => Ok(Self { channel, data }),
            _ => Err(ParseError::new(2, ErrorKind::Length, "the length of the data that follows")),
        }
    }

    /// Appends it; `padded` to four bytes, as streams want it (RFC 8656 §12.5).
    pub fn write(&self, padded: bool, out: &mut Vec<u8>) -> Result<(), UsageError> {
        let length = u16::try_from(self.data.len())
            .map_err(|_| UsageError::TooLong { what: "channel data", limit: 65_535 })?;
        out.extend_from_slice(&self.channel.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(self.data);
        if padded {
            let missing = self.data.len().next_multiple_of(4) - self.data.len();
            out.resize(out.len() + missing, 0);
        }
        Ok(())
    }
}

/// One frame of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Bytes for [`super::Message::parse`].
    Stun(&'a [u8]),
    /// Channel data, without its padding.
    ChannelData(ChannelData<'a>),
}

/// Cuts a stream into frames: STUN says its own length, channel data too. Each byte is looked at once.
#[derive(Clone, Debug, Default)]
pub struct StreamDecoder {
    buffer: Vec<u8>,
    /// What was handed out already.
    start: usize,
    failed: Option<ParseError>,
}

impl StreamDecoder {
    /// A decoder at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what came. At most one frame, 65,555 bytes, waits for its end if
    /// [`StreamDecoder::next_frame`] is called until it gives none.
    pub fn push(&mut self, data: &[u8]) {
        if self.failed.is_none() {
            self.buffer.drain(..self.start);
            self.start = 0;
            self.buffer.extend_from_slice(data);
        }
    }

    /// The next whole frame. After an error the stream cannot be read on; the same error comes back.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, ParseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let (whole, padded, channel) = match measure(self.buffer.get(self.start..).unwrap_or_default()) {
            Ok(Some(measured)) => measured,
            Ok(None) => return Ok(None),
            Err(error) => {
                *self = Self { failed: Some(error), ..Self::default() };
                return Err(error);
            }
        };
        let start = self.start;
        if self.waiting() < padded {
            return Ok(None);
        }
        self.start += padded;
        let frame = self.buffer.get(start..start + whole).unwrap_or_default();
        Ok(Some(match channel {
            Some(channel) => Frame::ChannelData(ChannelData {
                channel,
                data: frame.get(ChannelData::HEADER..).unwrap_or_default(),
            }),
            None => Frame::Stun(frame),
        }))
    }

    /// How many bytes wait for the rest of their frame.
    pub fn waiting(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// What was not read as frames: what follows a ConnectionBind is the peer's (RFC 6062 §4.4).
    pub fn into_rest(mut self) -> Vec<u8> {
        self.buffer.drain(..self.start);
        self.buffer
    }
}

/// Length without and with padding, and the channel if it is one; `None` while too little is there.
fn measure(rest: &[u8]) -> Result<Option<(usize, usize, Option<u16>)>, ParseError> {
    let Some(&[k0, k1, l0, l1]) = rest.first_chunk::<4>() else { return Ok(None) };
    let kind = u16::from_be_bytes([k0, k1]);
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    if ChannelData::is_channel(kind) {
        let whole = ChannelData::HEADER + length;
        return Ok(Some((whole, whole.next_multiple_of(4), Some(kind))));
    }
    if kind & 0xc000 != 0 {
        return Err(ParseError::new(0, ErrorKind::NotStun, "STUN or channel data"));
    }
    if !length.is_multiple_of(4) {
        return Err(ParseError::new(2, ErrorKind::Length, "a length in steps of four"));
    }
    if rest.get(4..8).is_some_and(|cookie| cookie != MAGIC_COOKIE.to_be_bytes()) {
        return Err(ParseError::new(4, ErrorKind::NotStun, "the magic cookie"));
    }
    Ok(Some((HEADER + length, HEADER + length, None)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun::{Builder, Class, Method, RequestedTransport};

    #[test]
    fn a_stream_in_pieces_of_any_size_gives_the_same_frames() {
        let message = Builder::new(Class::Request, Method::ALLOCATE, [9; 12])
            .attribute(&RequestedTransport(17))
            .unwrap()
            .finish();
        let hello = ChannelData { channel: 0x4001, data: b"hello" };
        let mut stream = message.clone();
        hello.write(true, &mut stream).unwrap();
        stream.extend_from_slice(&message);
        for size in 1..=stream.len() {
            let mut decoder = StreamDecoder::new();
            let mut count = 0;
            for piece in stream.chunks(size) {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    match count {
                        1 => assert_eq!(frame, Frame::ChannelData(hello)),
                        _ => assert_eq!(frame, Frame::Stun(&message)),
                    }
                    count += 1;
                }
            }
            assert_eq!((count, decoder.waiting()), (3, 0));
        }
    }

    #[test]
    fn a_stream_of_something_else_fails_once_and_for_all() {
        for bytes in
            [&b"\x50OST / HTTP/1.1\r\n"[..], &[0x80, 0, 0, 0], &[0, 1, 0, 3], &[0, 1, 0, 0, 1, 2, 3, 4]]
        {
            let mut decoder = StreamDecoder::new();
            decoder.push(bytes);
            let error = decoder.next_frame().map(|_| ()).unwrap_err();
            decoder.push(b"more");
            assert_eq!(decoder.next_frame().map(|_| ()), Err(error));
            assert_eq!(decoder.waiting(), 0, "nothing is kept");
        }
    }

    #[test]
    fn channel_data_has_a_channel_and_fits() {
        assert!(ChannelData::parse(&[0x40, 0, 0, 1, 7]).is_ok());
        assert!(ChannelData::parse(&[0x40, 0, 0, 1, 7, 0, 0, 0]).is_ok(), "padding over UDP");
        assert!(ChannelData::parse(&[0x40, 0, 0, 2, 7]).is_err());
        assert!(ChannelData::parse(&[0x50, 0, 0, 1, 7]).is_err(), "reserved since RFC 8656 §12");
        assert!(ChannelData::parse(&[0x40, 0, 0, 1, 7, 0, 0, 0, 0]).is_err());
        let long = vec![0; 65_536];
        assert!(ChannelData { channel: 0x4000, data: &long }.write(true, &mut Vec::new()).is_err());
    }
}
