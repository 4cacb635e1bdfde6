//! Writes messages.

use super::attribute::{Attribute, Kind};
use super::integrity::{self, Integrity, Key};
use super::message::{Class, Message, Method, TransactionId, message_type};
use super::{HEADER, MAGIC_COOKIE};
use crate::error::UsageError;

/// Room that integrity (both kinds) and fingerprint may take.
const TAIL: usize = 24 + 36 + 8;

/// Writes a message, attribute by attribute. Attributes are padded with zeros.
#[derive(Clone, Debug)]
pub struct Builder {
    bytes: Vec<u8>,
    transaction_id: TransactionId,
}

impl Builder {
    /// A message without attributes.
    pub fn new(class: Class, method: Method, transaction_id: TransactionId) -> Self {
        Self::in_buffer(Vec::with_capacity(128), class, method, transaction_id)
    }

    /// The same in a buffer that is used again; what it holds is dropped.
    #[inline]
    pub fn in_buffer(
        mut bytes: Vec<u8>,
        class: Class,
        method: Method,
        transaction_id: TransactionId,
    ) -> Self {
        let [t0, t1] = message_type(class, method).to_be_bytes();
        let [c0, c1, c2, c3] = MAGIC_COOKIE.to_be_bytes();
        bytes.clear();
        bytes.reserve(128);
        bytes.extend_from_slice(&[t0, t1, 0, 0, c0, c1, c2, c3]);
        bytes.extend_from_slice(&transaction_id);
        Self { bytes, transaction_id }
    }

    /// A response to `request`: its method and transaction.
    pub fn answer(request: &Message<'_>, class: Class) -> Self {
        Self::new(class, request.method(), request.transaction_id())
    }

    /// Adds an attribute.
    #[inline]
    pub fn attribute<'a, A: Attribute<'a>>(mut self, attribute: &A) -> Result<Self, UsageError> {
        let transaction_id = self.transaction_id;
        self.push(A::KIND, |out| attribute.write(out, &transaction_id))?;
        Ok(self)
    }

    /// Adds an attribute as it stands.
    pub fn raw(mut self, kind: Kind, value: &[u8]) -> Result<Self, UsageError> {
        self.push(kind, |out| {
            out.extend_from_slice(value);
            Ok(())
        })?;
        Ok(self)
    }

    /// The message.
    pub fn finish(self) -> Vec<u8> {
        self.finish_with(None, false)
    }

    /// The message with MESSAGE-INTEGRITY, with FINGERPRINT, or both.
    pub fn finish_with(self, key: Option<&Key>, fingerprint: bool) -> Vec<u8> {
        self.finish_as(key.map(|key| (key, Integrity::Sha1)), fingerprint)
    }

    /// The message with the integrity of that hash, with FINGERPRINT, or both.
    #[inline]
    pub fn finish_as(mut self, key: Option<(&Key, Integrity)>, fingerprint: bool) -> Vec<u8> {
        match key {
            Some((key, Integrity::Sha1)) => {
                let length = self.length_with(24);
                let value = key.sign_sha1(&self.bytes, length);
                self.append(Kind::MESSAGE_INTEGRITY, &value);
            }
            Some((key, Integrity::Sha256)) => {
                let length = self.length_with(36);
                let value = key.sign_sha256(&self.bytes, length);
                self.append(Kind::MESSAGE_INTEGRITY_SHA256, &value);
            }
            None => {}
        }
        if fingerprint {
            let length = self.length_with(8);
            self.set_length(length);
            let value = integrity::fingerprint(&self.bytes);
            self.append(Kind::FINGERPRINT, &value.to_be_bytes());
        }
        let length = self.length_with(0);
        self.set_length(length);
        self.bytes
    }

    #[inline]
    fn push(
        &mut self,
        kind: Kind,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), UsageError>,
    ) -> Result<(), UsageError> {
        let start = self.bytes.len();
        let [k0, k1] = kind.0.to_be_bytes();
        self.bytes.extend_from_slice(&[k0, k1, 0, 0]);
        write(&mut self.bytes)?;
        let length = u16::try_from(self.bytes.len() - start - 4).map_err(|_| UsageError::MessageTooLong)?;
        if let Some([_, _, l0, l1]) = self.bytes.get_mut(start..).and_then(<[u8]>::first_chunk_mut) {
            [*l0, *l1] = length.to_be_bytes();
        }
        match length % 4 {
            1 => self.bytes.extend_from_slice(&[0; 3]),
            2 => self.bytes.extend_from_slice(&[0; 2]),
            3 => self.bytes.push(0),
            _ => {}
        }
        if self.bytes.len() - HEADER + TAIL > usize::from(u16::MAX) {
            return Err(UsageError::MessageTooLong);
        }
        Ok(())
    }

    /// An attribute whose value needs no padding.
    #[inline]
    fn append<const N: usize>(&mut self, kind: Kind, value: &[u8; N]) {
        const { assert!(N.is_multiple_of(4) && N <= 32) };
        let [k0, k1] = kind.0.to_be_bytes();
        let length = u8::try_from(N).expect("the attributes appended here are short");
        self.bytes.extend_from_slice(&[k0, k1, 0, length]);
        self.bytes.extend_from_slice(value);
    }

    #[inline]
    fn length_with(&self, more: usize) -> u16 {
        u16::try_from(self.bytes.len() - HEADER + more).expect("push keeps room for the tail")
    }

    #[inline]
    fn set_length(&mut self, length: u16) {
        if let Some(field) = self.bytes.get_mut(2..4) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }
}
