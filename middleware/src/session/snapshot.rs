//! What the attributes of a session read.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sip_core::{Headers, Uri};

use super::{ConferenceId, FileSnapshot, IceSelection, IceState, ProposedFile, State, StreamSet};
use crate::credentials::Credentials;

/// Whether we called or were called.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// We were called.
    Incoming,
    /// We called.
    Outgoing,
}

/// The headers of a message of the peer's, as they came. Cheap to clone; equal are those of the same
/// message.
#[derive(Clone, Debug)]
pub struct RemoteHeaders(Arc<Headers>);

impl RemoteHeaders {
    pub(crate) fn of(headers: &Headers) -> Self {
        Self(Arc::new(headers.clone()))
    }
}

impl std::ops::Deref for RemoteHeaders {
    type Target = Headers;

    fn deref(&self) -> &Headers {
        &self.0
    }
}

impl PartialEq for RemoteHeaders {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The attributes of a session at one moment; never half of one change and half of another.
///
/// What is absent is `None`, never an error. URIs and times stay after the end.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SessionSnapshot {
    /// The state.
    pub state: State,
    /// Who called; `None` in NULL.
    pub direction: Option<Direction>,
    /// When it was established.
    pub start_time: Option<SystemTime>,
    /// When it ended.
    pub stop_time: Option<SystemTime>,
    /// We hold the peer.
    pub on_hold_by_local: bool,
    /// The peer holds us.
    pub on_hold_by_remote: bool,
    /// What the peer calls its software.
    pub remote_user_agent: Option<String>,
    /// Our address.
    pub local_uri: Option<Uri>,
    /// The peer's address.
    pub remote_uri: Option<Uri>,
    /// The route of an outgoing session that is active.
    pub route: Option<Uri>,
    /// As whom an outgoing session that is active was made.
    pub credentials: Option<Arc<Credentials>>,
    /// The headers of the peer's INVITE, or of its last response to ours.
    pub remote_headers: Option<RemoteHeaders>,
    /// When the caller asks for the call to be answered by itself, if it asks for that.
    pub auto_answer_asked: Option<Duration>,
    /// The streams that were offered and not yet taken, for an incoming session or proposal.
    pub proposed_streams: StreamSet,
    /// The files among them.
    pub proposed_files: Vec<ProposedFile>,
    /// The audio stream.
    pub audio: Option<AudioSnapshot>,
    /// The chat stream.
    pub chat: Option<ChatSnapshot>,
    /// File transfers that are offered or under way.
    pub files: Vec<FileSnapshot>,
}

/// The attributes of an audio stream.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct AudioSnapshot {
    /// The transport as SDP has it: `RTP/AVP`, `RTP/SAVP`.
    pub transport: String,
    /// Samples a second.
    pub sample_rate: Option<u32>,
    /// The codec by its SDP name.
    pub codec: Option<String>,
    /// Whether it is encrypted.
    pub srtp_active: bool,
    /// Where we receive.
    pub local_rtp: Option<SocketAddr>,
    /// Where the peer said that it receives.
    pub remote_rtp_sdp: Option<(IpAddr, u16)>,
    /// Where the peer's packets come from.
    pub remote_rtp_received: Option<SocketAddr>,
    /// How far ICE is, where it is used.
    pub ice_state: Option<IceState>,
    /// The pair of candidates in use.
    pub ice_selection: Option<IceSelection>,
    /// Whether the peer hears silence of us.
    pub muted: bool,
    /// The file being recorded to, its full path.
    pub recording_file_name: Option<String>,
    /// The conference that it is in.
    pub conference: Option<ConferenceId>,
}

/// The attributes of a chat stream.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ChatSnapshot {
    /// The transport as SDP has it: `TCP/MSRP`, `TCP/TLS/MSRP`.
    pub transport: String,
    /// Whether the connection stands.
    pub is_started: bool,
    /// Whether messages to the peer are wrapped in CPIM.
    pub cpim_enabled: bool,
}

impl SessionSnapshot {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Null,
            direction: None,
            start_time: None,
            stop_time: None,
            on_hold_by_local: false,
            on_hold_by_remote: false,
            remote_user_agent: None,
            local_uri: None,
            remote_uri: None,
            route: None,
            credentials: None,
            remote_headers: None,
            auto_answer_asked: None,
            proposed_streams: StreamSet::NONE,
            proposed_files: Vec::new(),
            audio: None,
            chat: None,
            files: Vec::new(),
        }
    }

    /// Whether either side holds the other.
    pub fn on_hold(&self) -> bool {
        self.on_hold_by_local || self.on_hold_by_remote
    }

    /// The address of who called.
    pub fn caller_uri(&self) -> Option<&Uri> {
        match self.direction? {
            Direction::Incoming => self.remote_uri.as_ref(),
            Direction::Outgoing => self.local_uri.as_ref(),
        }
    }

    /// The address of who was called.
    pub fn callee_uri(&self) -> Option<&Uri> {
        match self.direction? {
            Direction::Incoming => self.local_uri.as_ref(),
            Direction::Outgoing => self.remote_uri.as_ref(),
        }
    }

    /// The streams that it has.
    pub fn streams(&self) -> StreamSet {
        StreamSet { audio: self.audio.is_some(), chat: self.chat.is_some(), file: !self.files.is_empty() }
    }
}
