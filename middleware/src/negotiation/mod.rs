//! Where SDP meets the media: offers and answers made, read and judged.
//!
//! [`Description`] holds a session's side of RFC 3264; `audio` and `chat` know what stands in an
//! m-line of each kind. What crosses to other crates is text and plain values.

mod audio;
mod cema;
mod chat;
mod crypto;
mod description;
mod dtls;
mod file;
mod ice;
#[cfg(test)]
mod tests;
mod trickle;

pub(crate) use audio::LocalAudio;
pub(crate) use chat::LocalChat;
pub(crate) use description::Description;
pub(crate) use dtls::{LocalDtls, new_tls_id};
pub(crate) use file::{LocalFile, selector as file_selector};
pub(crate) use ice::{LocalIce, RemoteSide, new_credentials, one_component};
pub(crate) use trickle::{Trickle, Trickled};

use sip_core::StatusCode;

use crate::session::{AudioParameters, ChatParameters, FileParameters, ProposedFile, StreamId, StreamSet};

/// What this side has to offer or answer with.
#[derive(Clone, Debug, Default)]
pub(crate) struct LocalMedia {
    pub(crate) audio: Option<LocalAudio>,
    pub(crate) chat: Option<LocalChat>,
    pub(crate) files: Vec<LocalFile>,
    /// We hold the peer.
    pub(crate) held: bool,
}

/// What an offer of the peer's has for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offered {
    /// Streams that we could take.
    pub(crate) acceptable: StreamSet,
    /// New files among them, with their m-lines, and whether they are to come over TLS.
    pub(crate) files: Vec<OfferedFile>,
}

/// A file that the peer offers or asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OfferedFile {
    /// The index of its m-line.
    pub(crate) line: usize,
    /// Whether it is to come over TLS.
    pub(crate) tls: bool,
    /// The `Content-ID` of its icon, without brackets.
    pub(crate) icon: Option<String>,
    pub(crate) file: ProposedFile,
}

/// What offer and answer came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Negotiated {
    pub(crate) audio: Option<AudioParameters>,
    pub(crate) audio_transport: String,
    pub(crate) audio_sample_rate: u32,
    pub(crate) chat: Option<ChatParameters>,
    pub(crate) chat_transport: String,
    pub(crate) files: Vec<(StreamId, FileParameters)>,
    /// The peer does not want to hear us.
    pub(crate) held_by_remote: bool,
    /// RFC 6714 §4.2: MSRP streams run by the next offer of ours, which will not have `a=msrp-cema`.
    pub(crate) without_cema: bool,
}

impl Negotiated {
    pub(crate) fn is_empty(&self) -> bool {
        self.audio.is_none() && self.chat.is_none() && self.files.is_empty()
    }
}

/// Why an INVITE or a re-INVITE is refused, as the peer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn not_acceptable(reason: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_ACCEPTABLE_HERE, reason: reason.into() }
    }
}

/// Why offer and answer do not make a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NegotiationError {
    #[error("the peer's answer has no session description")]
    NoAnswer,
    #[error("the peer's session description: {0}")]
    Unreadable(String),
    #[error("the peer's answer: {0}")]
    WrongAnswer(String),
    #[error("no stream is left that both sides can take")]
    NothingInCommon,
}
