//! Checking and opening what we receive. Nothing is remembered of a packet that is not authentic.

use std::fmt;

use super::crypto::{Gcm, Protection, SessionKeys};
use super::key::{KeyError, MasterKey};
use super::replay::ReplayWindow;
use super::sender::{ENCRYPTED, put, roc_bytes, tag_len};
use super::{SrtpError, guess_index, rtcp_ssrc, rtp_head};
use crate::error::ParseError;

/// What a receiver may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverConfig {
    /// The SSRCs that are followed; packets of further ones are refused.
    pub max_sources: usize,
    /// The master keys, told apart by MKI.
    pub max_keys: usize,
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self { max_sources: 16, max_keys: 4 }
    }
}

/// What became of received packets, RTP and RTCP together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SrtpCounters {
    /// Let through.
    pub accepted: u64,
    /// Not authentic.
    pub bad_tag: u64,
    /// Authentic or not, received before or too old.
    pub replayed: u64,
    /// Too short or not RTP.
    pub malformed: u64,
    /// Naming a key that is not there, or not encrypted.
    pub wrong_key: u64,
    /// Of an SSRC beyond the table.
    pub refused_sources: u64,
}

/// Opens protected packets. Its `Debug` prints no key.
pub struct SrtpReceiver {
    keys: Vec<SessionKeys>,
    config: ReceiverConfig,
    rtp: Vec<(u32, ReplayWindow)>,
    rtcp: Vec<(u32, ReplayWindow)>,
    counters: SrtpCounters,
}

impl SrtpReceiver {
    /// A receiver with the default limits.
    #[must_use]
    pub fn new(key: &MasterKey) -> Self {
        Self::with_config(key, ReceiverConfig::default())
    }

    /// A receiver.
    #[must_use]
    pub fn with_config(key: &MasterKey, config: ReceiverConfig) -> Self {
        Self::from_keys(SessionKeys::derive(key), config)
    }

    pub(super) fn from_keys(keys: SessionKeys, config: ReceiverConfig) -> Self {
        // Most hear one source; a table grows when another is heard for the first time.
        let table = || Vec::with_capacity(config.max_sources.min(1));
        Self { keys: vec![keys], config, rtp: table(), rtcp: table(), counters: SrtpCounters::default() }
    }

    /// Adds a master key. All keys of a receiver have MKIs, of one length (RFC 4568 §6.1).
    pub fn add_key(&mut self, key: &MasterKey) -> Result<(), KeyError> {
        let fits = |other: &SessionKeys| {
            other.mki.len() == key.mki().len()
                && other.mki != key.mki()
                && tag_len(&other.rtp) == key.suite().tag_len()
                && tag_len(&other.rtcp) == key.suite().rtcp_tag_len()
        };
        if key.mki().is_empty() || !self.keys.iter().all(fits) {
            return Err(KeyError::Mki);
        }
        if self.keys.len() >= self.config.max_keys {
            return Err(KeyError::TooManyKeys);
        }
        self.keys.push(SessionKeys::derive(key));
        Ok(())
    }

    /// What became of the packets so far.
    #[must_use]
    pub const fn counters(&self) -> SrtpCounters {
        self.counters
    }

    /// The rollover counter of a source, once it was heard (RFC 3711 §3.3.1).
    #[must_use]
    pub fn rollover_counter(&self, ssrc: u32) -> Option<u32> {
        let window = find(&self.rtp, ssrc)?;
        u32::try_from(window.highest() >> 16).ok()
    }

    /// Checks and decrypts an SRTP packet in place; the RTP packet is the first bytes of `packet`, as many as
    /// returned. After an error the content of `packet` is of no use.
    #[inline]
    pub fn unprotect(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let opened = self.open(packet);
        self.count(&opened);
        opened
    }

    /// Checks and decrypts an SRTCP compound in place; the RTCP compound is the first bytes of `packet`, as many
    /// as returned. Packets that say they are not encrypted are refused.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let opened = self.open_rtcp(packet);
        self.count(&opened);
        opened
    }

    fn open(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let head = rtp_head(packet)?;
        let len = packet.len();
        let key = pick(&mut self.keys, packet, |keys| match &keys.rtp {
            // The MKI stands before the tag; with GCM it is the last field (RFC 7714 §14.1).
            Protection::CounterMode(mode) => mode.tag_len(),
            Protection::Gcm(_) => 0,
        })?;
        if key.rtp_left == 0 {
            return Err(SrtpError::KeyExpired);
        }
        let overhead = key.mki.len() + tag_len(&key.rtp);
        let body = len.checked_sub(overhead).filter(|body| *body >= head.len);
        let body = body.ok_or(ParseError::truncated(len, "SRTP packet"))?;
        let (plain, tail) = packet.split_at_mut_checked(body).ok_or(SrtpError::Authentication)?;

        let known = find(&self.rtp, head.ssrc);
        if known.is_none() && self.rtp.len() >= self.config.max_sources {
            return Err(SrtpError::TooManySources);
        }
        let mut index = match known {
            Some(window) => guess_index(window.highest(), head.sequence),
            None => u64::from(head.sequence),
        };
        if index >> 48 != 0 {
            return Err(SrtpError::KeyExpired);
        }
        // RFC 3711 §3.3: replay is checked before the tag, the list changes after it.
        if known.is_some_and(|window| !window.is_fresh(index)) {
            return Err(SrtpError::Replayed);
        }
        match &key.rtp {
            Protection::CounterMode(mode) => {
                let tag = tail.get(key.mki.len()..).unwrap_or_default();
                if !mode.verify(plain, &roc_bytes(index), tag) {
                    // A source whose first packets were lost across its first wrap: its counter is 1 already.
                    index |= 1 << 16;
                    if known.is_some()
                        || head.sequence >= 0x8000
                        || !mode.verify(plain, &roc_bytes(index), tag)
                    {
                        return Err(SrtpError::Authentication);
                    }
                }
                let payload = plain.get_mut(head.len..).unwrap_or_default();
                mode.apply(head.ssrc, index, payload);
            }
            Protection::Gcm(mode) => {
                let tag = *tail.first_chunk().ok_or(SrtpError::Authentication)?;
                let (header, payload) =
                    plain.split_at_mut_checked(head.len).ok_or(SrtpError::Authentication)?;
                if !mode.open(head.ssrc, index, header, payload, tag) {
                    return Err(SrtpError::Authentication);
                }
            }
        }
        key.rtp_left -= 1;
        accept(&mut self.rtp, head.ssrc, index);
        Ok(body)
    }

    fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let ssrc = rtcp_ssrc(packet)?;
        let len = packet.len();
        let key = pick(&mut self.keys, packet, |keys| match &keys.rtcp {
            Protection::CounterMode(mode) => mode.tag_len(),
            Protection::Gcm(_) => 0,
        })?;
        if key.rtcp_left == 0 {
            return Err(SrtpError::KeyExpired);
        }
        let overhead = key.mki.len() + tag_len(&key.rtcp) + 4;
        let body = len.checked_sub(overhead).filter(|body| *body >= 8);
        let body = body.ok_or(ParseError::truncated(len, "SRTCP packet"))?;
        // Where the index word stands: before MKI and tag, or with GCM between tag and MKI.
        let word_at = match &key.rtcp {
            Protection::CounterMode(_) => body,
            Protection::Gcm(_) => body + Gcm::TAG_LEN,
        };
        let word =
            *packet.get(word_at..).and_then(|rest| rest.first_chunk()).ok_or(SrtpError::Authentication)?;
        let index = u32::from_be_bytes(word);
        if index & ENCRYPTED == 0 {
            return Err(SrtpError::NotEncrypted);
        }
        let index = u64::from(index & !ENCRYPTED);

        let known = find(&self.rtcp, ssrc);
        if known.is_none() && self.rtcp.len() >= self.config.max_sources {
            return Err(SrtpError::TooManySources);
        }
        if known.is_some_and(|window| !window.is_fresh(index)) {
            return Err(SrtpError::Replayed);
        }
        let (plain, tail) = packet.split_at_mut_checked(body).ok_or(SrtpError::Authentication)?;
        match &key.rtcp {
            Protection::CounterMode(mode) => {
                let tag = tail.get(4 + key.mki.len()..).unwrap_or_default();
                if !mode.verify(plain, &word, tag) {
                    return Err(SrtpError::Authentication);
                }
                mode.apply(ssrc, index, plain.get_mut(8..).unwrap_or_default());
            }
            Protection::Gcm(mode) => {
                let tag = *tail.first_chunk().ok_or(SrtpError::Authentication)?;
                let (head, payload) = plain.split_at_mut_checked(8).ok_or(SrtpError::Authentication)?;
                let mut aad = [0; 12];
                put(&mut aad, &[head, &word])?;
                if !mode.open(ssrc, index, &aad, payload, tag) {
                    return Err(SrtpError::Authentication);
                }
            }
        }
        key.rtcp_left -= 1;
        accept(&mut self.rtcp, ssrc, index);
        Ok(body)
    }

    const fn count(&mut self, opened: &Result<usize, SrtpError>) {
        let counter = match opened {
            Ok(_) => &mut self.counters.accepted,
            Err(SrtpError::Replayed) => &mut self.counters.replayed,
            Err(SrtpError::UnknownKey | SrtpError::NotEncrypted) => &mut self.counters.wrong_key,
            Err(SrtpError::TooManySources) => &mut self.counters.refused_sources,
            Err(SrtpError::Malformed(_)) => &mut self.counters.malformed,
            Err(_) => &mut self.counters.bad_tag,
        };
        *counter += 1;
    }
}

impl fmt::Debug for SrtpReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SrtpReceiver").field("counters", &self.counters).finish_non_exhaustive()
    }
}

/// The key that the packet's MKI names; `after` is how many bytes follow the MKI.
fn pick<'k>(
    keys: &'k mut [SessionKeys],
    packet: &[u8],
    after: impl Fn(&SessionKeys) -> usize,
) -> Result<&'k mut SessionKeys, SrtpError> {
    let names = |keys: &&mut SessionKeys| {
        let end = packet.len().checked_sub(after(keys));
        keys.mki.is_empty() || end.and_then(|end| packet.get(..end)).is_some_and(|p| p.ends_with(&keys.mki))
    };
    keys.iter_mut().find(names).ok_or(SrtpError::UnknownKey)
}

#[inline]
fn find(table: &[(u32, ReplayWindow)], ssrc: u32) -> Option<&ReplayWindow> {
    table.iter().find(|(source, _)| *source == ssrc).map(|(_, window)| window)
}

#[inline]
fn accept(table: &mut Vec<(u32, ReplayWindow)>, ssrc: u32, index: u64) {
    match table.iter_mut().find(|(source, _)| *source == ssrc) {
        Some((_, window)) => window.accept(index),
        // The capacity was reserved, the length checked.
        None => table.push((ssrc, ReplayWindow::starting_at(index))),
    }
}
