//! Source descriptions (RFC 3550 §6.5).

use crate::error::{ParseError, ParseErrorKind};
use crate::wire::Reader;

/// A source description: chunks of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sdes<'a> {
    count: u8,
    body: &'a [u8],
}

impl<'a> Sdes<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(body);
        for _ in 0..count {
            let at = body.len().saturating_sub(reader.rest().len()).saturating_add(4);
            next_chunk(&mut reader).ok_or(ParseError::new(at, ParseErrorKind::Length, "SDES chunk"))?;
        }
        Ok(Self { count, body })
    }

    /// The chunks, one per source, at most 31.
    #[must_use]
    pub const fn chunks(&self) -> Chunks<'a> {
        Chunks { left: self.count, rest: Reader::new(self.body) }
    }

    /// The canonical name of a source.
    #[must_use]
    pub fn cname(&self, ssrc: u32) -> Option<&'a [u8]> {
        let chunk = self.chunks().find(|chunk| chunk.ssrc == ssrc)?;
        chunk.items().find(|item| item.kind == Item::CNAME).map(|item| item.text)
    }
}

/// What is said of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The source.
    pub ssrc: u32,
    items: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// The items in wire order.
    #[must_use]
    pub const fn items(&self) -> Items<'a> {
        Items { rest: Reader::new(self.items) }
    }
}

/// One item of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The item type, one of the constants or another.
    pub kind: u8,
    /// The text; UTF-8 by the RFC, unchecked. PRIV keeps its prefix length byte.
    pub text: &'a [u8],
}

impl Item<'_> {
    /// The canonical name.
    pub const CNAME: u8 = 1;
    /// The user's name.
    pub const NAME: u8 = 2;
    /// The mail address.
    pub const EMAIL: u8 = 3;
    /// The phone number.
    pub const PHONE: u8 = 4;
    /// Where the user is.
    pub const LOC: u8 = 5;
    /// The application.
    pub const TOOL: u8 = 6;
    /// A note.
    pub const NOTE: u8 = 7;
    /// A private extension.
    pub const PRIV: u8 = 8;
    /// The media stream identification (RFC 8843 §15.2).
    pub const MID: u8 = 15;
}

/// Iterates over chunks.
#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    left: u8,
    rest: Reader<'a>,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        self.left = self.left.checked_sub(1)?;
        next_chunk(&mut self.rest)
    }
}

/// Iterates over items.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    rest: Reader<'a>,
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        let kind = self.rest.u8()?;
        let len = self.rest.u8()?;
        self.rest.bytes(usize::from(len)).map(|text| Item { kind, text })
    }
}

/// RFC 3550 §6.5: items, a null item, and null bytes up to the next multiple of four. A last chunk that ends
/// with the packet instead of a null is accepted.
fn next_chunk<'a>(reader: &mut Reader<'a>) -> Option<Chunk<'a>> {
    let ssrc = reader.u32()?;
    let all = reader.rest();
    let mut used: usize = 0;
    loop {
        match reader.u8() {
            None | Some(0) => break,
            Some(_) => {
                let len = reader.u8()?;
                reader.bytes(usize::from(len))?;
                used = all.len().checked_sub(reader.rest().len())?;
            }
        }
    }
    let items = all.get(..used)?;
    let padded = used.checked_add(4)? & !3;
    *reader = Reader::new(all.get(padded..).unwrap_or_default());
    Some(Chunk { ssrc, items })
}
