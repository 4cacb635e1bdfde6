//! Files of a session (RFC 5547): what describes them, and how a transfer fares.

use std::path::PathBuf;

use bytes::Bytes;

/// What is known of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileInfo {
    /// Its name without any folder. Of a peer's name only what is safe here is kept.
    pub name: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Its media type.
    pub content_type: Option<String>,
    /// Hashes of the whole file, as `sha-1:72:24:5F:…`.
    pub hashes: Vec<String>,
}

/// Which way a file goes.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum FileDirection {
    /// To us.
    Incoming,
    /// To the peer.
    Outgoing,
}

impl FileDirection {
    /// `incoming` or `outgoing`.
    pub fn name(self) -> &'static str {
        match self {
            FileDirection::Incoming => "incoming",
            FileDirection::Outgoing => "outgoing",
        }
    }
}

/// A small image that stands for a file (RFC 5547 §6), as it travels beside the session description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileIcon {
    /// Its media type, such as `image/png`.
    pub content_type: String,
    /// The image. At most 16 KiB are sent.
    pub data: Bytes,
}

impl FileIcon {
    /// Bytes of an icon that are sent: it is part of a SIP message.
    pub(crate) const MAX_SIZE: usize = 16 * 1024;
}

/// A file to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileToSend {
    /// Where it is.
    pub path: PathBuf,
    /// The name to tell; the file's own where `None`.
    pub name: Option<String>,
    /// Its media type; `application/octet-stream` where `None`.
    pub content_type: Option<String>,
    /// Bytes that the peer has of it already, from a transfer that was interrupted.
    pub offset: u64,
    /// Whether the peer should show it at once, instead of keeping it.
    pub render: bool,
    /// What the peer may show for it. Of transfers without a session it is not told.
    pub icon: Option<FileIcon>,
}

impl FileToSend {
    /// A whole file, to be kept by the peer under the file's own name.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), name: None, content_type: None, offset: 0, render: false, icon: None }
    }
}

/// A file that the peer offers or asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposedFile {
    /// Names the transfer within its session.
    pub transfer_id: String,
    /// Whether the peer wants to send it or to have it.
    pub direction: FileDirection,
    /// What the peer says of it.
    pub info: FileInfo,
    /// The position in the file to begin at, where an interrupted transfer is to go on.
    pub offset: u64,
    /// What may be shown for it.
    pub icon: Option<FileIcon>,
}

/// A file transfer of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileSnapshot {
    /// Names the transfer within its session.
    pub transfer_id: String,
    /// Which way it goes.
    pub direction: FileDirection,
    /// What is known of it.
    pub info: FileInfo,
    /// Whether the connection stands.
    pub is_started: bool,
    /// Bytes of the file that the receiver has.
    pub bytes: u64,
}
