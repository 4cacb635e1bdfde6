//! RTP header extensions: the block (RFC 3550 §5.3.1), its one-byte and two-byte elements (RFC 8285 §4),
//! and the audio level (RFC 6464).
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::cast_possible_truncation
    )
)]

use crate::error::WriteError;
use crate::wire::{Cursor, Reader};

/// The profile value of one-byte elements (RFC 8285 §4.2).
pub const ONE_BYTE: u16 = 0xbede;

/// The profile value of two-byte elements with no application bits (RFC 8285 §4.3).
pub const TWO_BYTE: u16 = 0x1000;

/// A header extension block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// "Defined by profile".
    pub profile: u16,
    /// The block without its 4-byte head; a multiple of 4 bytes.
    pub data: &'a [u8],
}

impl<'a> Extension<'a> {
    /// The RFC 8285 elements; none when the profile is not one of the two.
    ///
    /// Padding is skipped. An element that runs over the end of the block ends the list, as does ID 15 in the
    /// one-byte form (RFC 8285 §4.2).
    #[must_use]
    pub const fn elements(&self) -> Elements<'a> {
        let form = match self.profile {
            ONE_BYTE => Form::OneByte,
            profile if profile & 0xfff0 == TWO_BYTE => Form::TwoByte,
            _ => Form::None,
        };
        Elements { rest: Reader::new(self.data), form }
    }

    /// The data of the first element with this ID.
    #[must_use]
    pub fn element(&self, id: u8) -> Option<&'a [u8]> {
        self.elements().find(|element| element.id == id).map(|element| element.data)
    }

    pub(crate) fn write(&self, cursor: &mut Cursor<'_>) -> Result<(), WriteError> {
        let words = u16::try_from(self.data.len() / 4).ok().filter(|_| self.data.len().is_multiple_of(4));
        cursor.u16(self.profile)?;
        cursor.u16(words.ok_or(WriteError::DoesNotFit("header extension"))?)?;
        cursor.bytes(self.data)
    }
}

/// One element of a header extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// The local identifier that `a=extmap` gave it.
    pub id: u8,
    /// Its data: 1 to 16 bytes in the one-byte form, 0 to 255 in the two-byte form.
    pub data: &'a [u8],
}

/// Iterates over the elements of an [`Extension`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: Reader<'a>,
    form: Form,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    OneByte,
    TwoByte,
    None,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        loop {
            let (id, len) = match self.form {
                Form::None => return None,
                Form::OneByte => match self.rest.u8()? {
                    0 => continue,
                    head => (head >> 4, usize::from(head & 0x0f) + 1),
                },
                Form::TwoByte => match self.rest.u8()? {
                    0 => continue,
                    id => (id, usize::from(self.rest.u8()?)),
                },
            };
            let data = self.rest.bytes(len).filter(|_| id != 15 || !matches!(self.form, Form::OneByte));
            let Some(data) = data else {
                self.form = Form::None;
                return None;
            };
            // RFC 8285 §4.2: ID 0 with a length is padding all the same.
            if id != 0 {
                return Some(Element { id, data });
            }
        }
    }
}

/// Writes the elements as one block to `buffer` (one-byte form where it carries them all, else two-byte) and
/// returns the block to put into an [`crate::RtpHeader`].
pub fn write_elements<'b>(
    elements: &[Element<'_>],
    buffer: &'b mut [u8],
) -> Result<Extension<'b>, WriteError> {
    let one_byte = elements.iter().all(|e| (1..=14).contains(&e.id) && (1..=16).contains(&e.data.len()));
    let mut cursor = Cursor::new(buffer);
    for element in elements {
        if element.id == 0 {
            return Err(WriteError::DoesNotFit("extension ID"));
        }
        let len = u8::try_from(element.data.len()).map_err(|_| WriteError::DoesNotFit("extension data"))?;
        if one_byte {
            cursor.u8((element.id << 4) | len.saturating_sub(1))?;
        } else {
            cursor.bytes(&[element.id, len])?;
        }
        cursor.bytes(element.data)?;
    }
    while !cursor.len().is_multiple_of(4) {
        cursor.u8(0)?;
    }
    let len = cursor.len();
    let data = buffer.get(..len).ok_or(WriteError::BufferTooSmall)?;
    Ok(Extension { profile: if one_byte { ONE_BYTE } else { TWO_BYTE }, data })
}

/// The level of the audio in a packet (RFC 6464 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevel {
    /// The packet is thought to hold voice.
    pub voice: bool,
    /// −dBov: 0 is the loudest, 127 is silence.
    pub level: u8,
}

impl AudioLevel {
    /// Reads the element's data.
    #[must_use]
    pub const fn parse(data: &[u8]) -> Option<Self> {
        match data {
            [byte, ..] => Some(Self { voice: *byte & 0x80 != 0, level: *byte & 0x7f }),
            [] => None,
        }
    }

    /// The element's data; levels above 127 are silence.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 1] {
        [(u8::from(self.voice) << 7) | self.level.min(127)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_form_round_trips() {
        let level = AudioLevel { voice: true, level: 30 };
        let bytes = level.to_bytes();
        let elements = [Element { id: 1, data: &bytes }, Element { id: 14, data: b"0123456789abcdef" }];
        let mut buffer = [0; 64];
        let extension = write_elements(&elements, &mut buffer).unwrap();
        assert_eq!(extension.profile, ONE_BYTE);
        assert_eq!(extension.elements().collect::<Vec<_>>(), elements);
        assert_eq!(AudioLevel::parse(extension.element(1).unwrap()), Some(level));
    }

    #[test]
    fn two_byte_form_carries_empty_and_long() {
        let elements = [Element { id: 20, data: b"" }, Element { id: 3, data: &[5; 40] }];
        let mut buffer = [0; 64];
        let extension = write_elements(&elements, &mut buffer).unwrap();
        assert_eq!(extension.profile, TWO_BYTE);
        assert_eq!(extension.elements().collect::<Vec<_>>(), elements);
    }

    #[test]
    fn stops_at_id_15_and_at_what_overruns() {
        let stop = Extension { profile: ONE_BYTE, data: &[0x10, 1, 0xf0, 2, 0x20, 3, 0, 0] };
        assert_eq!(stop.elements().count(), 1);
        let over = Extension { profile: ONE_BYTE, data: &[0x10, 1, 0x2f, 2] };
        assert_eq!(over.elements().count(), 1);
        let unknown = Extension { profile: 7, data: &[0x10, 1, 0, 0] };
        assert_eq!(unknown.elements().count(), 0);
    }
}
