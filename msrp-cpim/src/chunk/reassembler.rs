//! One incoming message: chunks in any order, with overlaps, in bounded memory.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Puts the chunks of one message together.
///
/// What overlaps replaces what was there (RFC 4975 §7.3.1). Memory is what has arrived, with no trust in the
/// sizes that were announced, and at most twice the limit.
#[derive(Debug, Clone)]
pub struct Reassembler {
    /// Position from zero to the bytes there; not overlapping.
    segments: BTreeMap<u64, Vec<u8>>,
    received: u64,
    limit: u64,
    max_segments: usize,
    total: Option<u64>,
}

/// The message was refused: it is larger than the limit, or in too many pieces. Answer 413.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is too large or in too many pieces")]
pub struct Refused;

impl Reassembler {
    /// Takes messages of up to `limit` bytes that arrive in at most `max_segments` pieces with gaps between them.
    #[must_use]
    pub fn new(limit: u64, max_segments: usize) -> Self {
        Self { segments: BTreeMap::new(), received: 0, limit, max_segments, total: None }
    }

    /// Puts `data` at a position counted from zero.
    ///
    /// # Errors
    /// If a cap would be exceeded; the message should be given up.
    pub fn insert(&mut self, at: u64, data: &[u8]) -> Result<(), Refused> {
        let len = u64::try_from(data.len()).map_err(|_| Refused)?;
        let end =
            at.checked_add(len).filter(|end| *end <= self.total.unwrap_or(self.limit)).ok_or(Refused)?;
        let (mut at, mut data) = (at, data);
        while !data.is_empty() {
            let room = match self.segments.range_mut(..=at).next_back() {
                Some((start, segment)) if at - *start < as_u64(segment.len()) => {
                    // Over bytes that are there.
                    let offset = as_usize(at - *start);
                    let there = segment.get_mut(offset..).unwrap_or_default();
                    let len = there.len().min(data.len());
                    let (new, rest) = data.split_at_checked(len).ok_or(Refused)?;
                    if let Some(old) = there.get_mut(..len) {
                        old.copy_from_slice(new);
                    }
                    data = rest;
                    at += as_u64(len);
                    continue;
                }
                before => {
                    let joined = before.is_some_and(|(start, segment)| *start + as_u64(segment.len()) == at);
                    let next = self.segments.range(at..).next().map_or(end, |(start, _)| (*start).min(end));
                    if !joined {
                        if self.segments.len() >= self.max_segments {
                            return Err(Refused);
                        }
                        self.segments.insert(at, Vec::new());
                    }
                    as_usize(next - at).min(data.len())
                }
            };
            let (new, rest) = data.split_at_checked(room).ok_or(Refused)?;
            if let Some((_, segment)) = self.segments.range_mut(..=at).next_back() {
                segment.extend_from_slice(new);
            }
            self.received += as_u64(room);
            data = rest;
            at += as_u64(room);
        }
        Ok(())
    }

    /// The chunk with `$` ended here: RFC 4975 §7.3.1 lets it define the size of the message.
    ///
    /// # Errors
    /// If it is beyond the limit, or bytes behind it were received.
    pub fn set_total(&mut self, total: u64) -> Result<(), Refused> {
        let end = self.segments.last_key_value().map_or(0, |(start, segment)| start + as_u64(segment.len()));
        if total > self.limit || end > total {
            return Err(Refused);
        }
        self.total = Some(total);
        Ok(())
    }

    /// Whether every byte is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.total == Some(self.received)
    }

    /// How many different bytes were received.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The message; without copying if it came in order.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        if self.segments.len() <= 1 {
            return self.segments.pop_first().map_or_else(Bytes::new, |(_, segment)| segment.into());
        }
        let mut whole = Vec::with_capacity(as_usize(self.received));
        while let Some((_, segment)) = self.segments.pop_first() {
            whole.extend_from_slice(&segment);
        }
        whole.into()
    }
}

fn as_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn as_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_order_with_overlaps() {
        let text: Vec<u8> = (0..=255).collect();
        let mut whole = Reassembler::new(256, 16);
        for (start, end) in [(200, 256), (100, 150), (140, 210), (0, 60), (50, 101), (10, 20)] {
            assert!(!whole.is_complete());
            whole.insert(start, &text[start as usize..end as usize]).unwrap();
            if end == 256 {
                whole.set_total(256).unwrap();
            }
            if whole.is_complete() {
                break;
            }
        }
        assert!(whole.is_complete());
        assert_eq!(whole.into_bytes(), text);
    }

    /// RFC 4975 §7.3.1: the last chunk received takes precedence.
    #[test]
    fn the_last_overlapping_chunk_wins() {
        let mut whole = Reassembler::new(100, 16);
        whole.insert(0, b"aaaa").unwrap();
        whole.insert(2, b"bbbb").unwrap();
        whole.set_total(6).unwrap();
        assert_eq!(whole.into_bytes(), &b"aabbbb"[..]);
    }

    #[test]
    fn caps_hold() {
        let mut whole = Reassembler::new(10, 2);
        assert_eq!(whole.insert(8, b"abc"), Err(Refused));
        assert_eq!(whole.insert(u64::MAX, b"abc"), Err(Refused));
        whole.insert(0, b"a").unwrap();
        whole.insert(2, b"a").unwrap();
        assert_eq!(whole.insert(4, b"a"), Err(Refused));
        assert_eq!(whole.set_total(2), Err(Refused));
        assert_eq!(whole.set_total(11), Err(Refused));
        whole.set_total(3).unwrap();
        assert_eq!(whole.insert(3, b"a"), Err(Refused));
        assert_eq!(whole.received(), 2);
    }
}
