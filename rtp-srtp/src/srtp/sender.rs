//! Protecting what we send.

use std::fmt;

use super::crypto::{Gcm, Protection, SessionKeys};
use super::key::MasterKey;
use super::replay::ReplayWindow;
use super::{SrtpError, guess_index, rtcp_ssrc, rtp_head};

/// The bit of the SRTCP index word that says "encrypted" (RFC 3711 §3.4).
pub(super) const ENCRYPTED: u32 = 1 << 31;

/// What a sender may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderConfig {
    /// The SSRCs that one key may protect.
    pub max_sources: usize,
}

impl Default for SenderConfig {
    fn default() -> Self {
        Self { max_sources: 16 }
    }
}

/// Protects RTP and RTCP packets with one master key. Its `Debug` prints no key.
pub struct SrtpSender {
    keys: SessionKeys,
    config: SenderConfig,
    sources: Vec<(u32, ReplayWindow)>,
    rtcp_index: u32,
}

impl SrtpSender {
    /// A sender with the default limits.
    #[must_use]
    pub fn new(key: &MasterKey) -> Self {
        Self::with_config(key, SenderConfig::default())
    }

    /// A sender.
    #[must_use]
    pub fn with_config(key: &MasterKey, config: SenderConfig) -> Self {
        Self::from_keys(SessionKeys::derive(key), config)
    }

    pub(super) fn from_keys(keys: SessionKeys, config: SenderConfig) -> Self {
        Self { keys, config, sources: Vec::with_capacity(config.max_sources.min(1)), rtcp_index: 0 }
    }

    /// The bytes that [`Self::protect`] adds.
    #[must_use]
    pub fn overhead(&self) -> usize {
        self.keys.mki.len() + tag_len(&self.keys.rtp)
    }

    /// The bytes that [`Self::protect_rtcp`] adds.
    #[must_use]
    pub fn rtcp_overhead(&self) -> usize {
        self.keys.mki.len() + tag_len(&self.keys.rtcp) + 4
    }

    /// The rollover counter of a source, once it has sent (RFC 3711 §3.3.1).
    #[must_use]
    pub fn rollover_counter(&self, ssrc: u32) -> Option<u32> {
        let (_, window) = self.sources.iter().find(|(source, _)| *source == ssrc)?;
        u32::try_from(window.highest() >> 16).ok()
    }

    /// Protects the RTP packet in the first `len` bytes of `buffer` in place and returns its new length;
    /// [`Self::overhead`] bytes of room must follow it.
    ///
    /// Sequence numbers may go back by up to 1023 (a late retransmission of something never sent), but no
    /// index is ever protected twice: that would reuse its keystream. On an error the buffer holds no packet
    /// that may be sent.
    #[inline]
    pub fn protect(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let total = len.checked_add(self.overhead()).ok_or(SrtpError::BufferTooSmall)?;
        let buffer = buffer.get_mut(..total).ok_or(SrtpError::BufferTooSmall)?;
        let (packet, tail) = buffer.split_at_mut_checked(len).ok_or(SrtpError::BufferTooSmall)?;
        let head = rtp_head(packet)?;
        let left = self.keys.rtp_left.checked_sub(1).ok_or(SrtpError::KeyExpired)?;
        let index = self.claim_index(head.ssrc, head.sequence)?;
        self.keys.rtp_left = left;
        let (header, payload) = packet.split_at_mut_checked(head.len).ok_or(SrtpError::BufferTooSmall)?;
        match &self.keys.rtp {
            Protection::CounterMode(mode) => {
                mode.apply(head.ssrc, index, payload);
                let tag = mode.tag(packet, &roc_bytes(index));
                put(tail, &[&self.keys.mki, tag.get(..mode.tag_len()).unwrap_or_default()])?;
            }
            Protection::Gcm(mode) => {
                let tag = mode.seal(head.ssrc, index, header, payload).ok_or(SrtpError::BufferTooSmall)?;
                put(tail, &[tag.as_ref(), &self.keys.mki])?;
            }
        }
        Ok(total)
    }

    /// Protects the RTCP compound in the first `len` bytes of `buffer` in place and returns its new length;
    /// [`Self::rtcp_overhead`] bytes of room must follow it.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let total = len.checked_add(self.rtcp_overhead()).ok_or(SrtpError::BufferTooSmall)?;
        let buffer = buffer.get_mut(..total).ok_or(SrtpError::BufferTooSmall)?;
        let (packet, tail) = buffer.split_at_mut_checked(len).ok_or(SrtpError::BufferTooSmall)?;
        let ssrc = rtcp_ssrc(packet)?;
        // RFC 3711 §9.2: 2^31 SRTCP packets a key.
        if self.rtcp_index >= ENCRYPTED {
            return Err(SrtpError::KeyExpired);
        }
        self.keys.rtcp_left = self.keys.rtcp_left.checked_sub(1).ok_or(SrtpError::KeyExpired)?;
        let index = self.rtcp_index;
        self.rtcp_index += 1;
        let word = (index | ENCRYPTED).to_be_bytes();
        let (head, body) = packet.split_at_mut_checked(8).ok_or(SrtpError::BufferTooSmall)?;
        match &self.keys.rtcp {
            Protection::CounterMode(mode) => {
                mode.apply(ssrc, u64::from(index), body);
                let tag = mode.tag(packet, &word);
                put(tail, &[&word, &self.keys.mki, tag.get(..mode.tag_len()).unwrap_or_default()])?;
            }
            Protection::Gcm(mode) => {
                // RFC 7714 §9.3: the associated data is the 8-byte head and the index word.
                let mut aad = [0; 12];
                put(&mut aad, &[head, &word])?;
                let tag = mode.seal(ssrc, u64::from(index), &aad, body).ok_or(SrtpError::BufferTooSmall)?;
                put(tail, &[tag.as_ref(), &word, &self.keys.mki])?;
            }
        }
        Ok(total)
    }

    #[inline]
    fn claim_index(&mut self, ssrc: u32, sequence: u16) -> Result<u64, SrtpError> {
        let Some((_, window)) = self.sources.iter_mut().find(|(source, _)| *source == ssrc) else {
            if self.sources.len() >= self.config.max_sources {
                return Err(SrtpError::TooManySources);
            }
            self.sources.push((ssrc, ReplayWindow::starting_at(u64::from(sequence))));
            return Ok(u64::from(sequence));
        };
        let index = guess_index(window.highest(), sequence);
        if index >> 48 != 0 {
            return Err(SrtpError::KeyExpired);
        }
        if !window.is_fresh(index) {
            return Err(SrtpError::IndexReused);
        }
        window.accept(index);
        Ok(index)
    }
}

impl fmt::Debug for SrtpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpSender").field("sources", &self.sources.len()).finish_non_exhaustive()
    }
}

pub(super) const fn tag_len(protection: &Protection) -> usize {
    match protection {
        Protection::CounterMode(mode) => mode.tag_len(),
        Protection::Gcm(_) => Gcm::TAG_LEN,
    }
}

/// The rollover counter as the tag covers it (RFC 3711 §4.2).
#[expect(clippy::cast_possible_truncation, reason = "an index has 48 bits")]
pub(super) const fn roc_bytes(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// Writes the parts one after the other.
#[inline]
pub(super) fn put(place: &mut [u8], parts: &[&[u8]]) -> Result<(), SrtpError> {
    let mut rest = place;
    for part in parts {
        let (here, after) = rest.split_at_mut_checked(part.len()).ok_or(SrtpError::BufferTooSmall)?;
        here.copy_from_slice(part);
        rest = after;
    }
    Ok(())
}
