//! What a session wants done: an ordered list of effects, and what media answer.
//!
//! The machine decides; the engine carries the SIP effects out, the driver the media ones.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ice_stun::ice::{self, Candidate};
use sip_core::StatusCode;
use sip_core::endpoint::{OutgoingRefer, PrackId};

use super::{ConferenceId, FileInfo, FileToSend, Invitation, SessionSnapshot};
use crate::configuration::{IceConfiguration, SrtpPolicy};
use crate::notification::{ChatFailureContext, Event, MsrpChatEvent};

/// One stream of one session, for as long as it lives; a stream added again is another one.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub(crate) u64);

/// One thing to do. Order matters: WillStart, ACK, DidStart is a promise of the API.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Tell the application; the snapshot is what attributes read from then on.
    Notify { snapshot: Arc<SessionSnapshot>, event: Event },
    /// Attributes changed without a notification.
    Snapshot(Arc<SessionSnapshot>),
    /// Send something by SIP.
    Sip(SipAction),
    /// Ask the media layer.
    Media(MediaCommand),
}

/// What a session asks of the SIP endpoint; the dialog is the session's own.
#[derive(Debug)]
pub(crate) enum SipAction {
    /// INVITE with this offer, or without any.
    Invite { invitation: Box<Invitation>, offer: Option<Bytes> },
    /// ACK of the 2xx to an INVITE or re-INVITE; with an answer if the 2xx carried the offer.
    Ack { answer: Option<Bytes> },
    /// PRACK of a reliable provisional response that makes an offer, with the answer.
    Prack { id: PrackId, answer: Option<Bytes> },
    /// CANCEL the INVITE.
    Cancel,
    /// 180 and the like; with an answer, early media. Where the peer does not acknowledge it, it is repeated so
    /// often at most.
    Provisional { status: StatusCode, answer: Option<Bytes>, repeats: u32 },
    /// The peer has it.
    ProvisionalArrived,
    /// 200 to the INVITE; without a description where all has been said in reliable responses.
    Accept { body: Option<Bytes>, headers: Vec<(String, String)> },
    /// A final non-2xx to the INVITE.
    Reject { status: StatusCode, reason: Option<String>, headers: Vec<(String, String)> },
    /// Re-INVITE with this offer.
    Reinvite { offer: Bytes },
    /// CANCEL the re-INVITE.
    CancelReinvite,
    /// A provisional answer to the peer's re-INVITE.
    ReinviteProvisional { status: StatusCode },
    /// 200 to the peer's re-INVITE or UPDATE.
    AcceptReinvite { body: Option<Bytes> },
    /// A final non-2xx to the peer's re-INVITE or UPDATE.
    RejectReinvite { status: StatusCode },
    /// INFO with a key press.
    Info { digit: char },
    /// INFO with candidates (RFC 8840).
    Trickle { fragment: String },
    /// REFER.
    Refer { refer: Box<OutgoingRefer> },
    /// Tells the peer that its REFER comes to nothing.
    DeclineTransfer { status: StatusCode },
    /// BYE.
    Bye,
}

/// What a session asks of the media layer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MediaCommand {
    /// Open the sockets of an audio stream.
    PrepareAudio(StreamId, AudioPreparation),
    /// The network is another one: the stream gets sockets on this address, and leaves those whose
    /// addresses are gone. [`MediaEvent::AudioMoved`] tells of it, if anything changed.
    MoveAudio(StreamId, AudioPreparation),
    /// Run it with these parameters, or change them while it runs.
    RunAudio(StreamId, Box<AudioParameters>),
    /// The peer has these candidates too, or with `true` no more than these; of the generation that runs.
    AddCandidates(StreamId, Vec<Candidate>, bool),
    /// Close it. Answered by [`MediaEvent::Stopped`] after a recording, if any, was closed.
    StopAudio(StreamId),
    /// Send a key press by RFC 4733.
    SendDtmf(StreamId, char),
    /// Send a key press as the tones that it is.
    SendTone(StreamId, char),
    /// Put it into a conference, or take it out.
    Confer(StreamId, Option<ConferenceId>),
    /// Let an application's own audio, left under this number, speak and hear.
    AttachPcm(StreamId, u64),
    /// Let the peer hear silence, or us again.
    SetMuted(StreamId, bool),
    /// Record what both sides say.
    StartRecording(StreamId, PathBuf),
    /// Close the recording.
    StopRecording(StreamId),
    /// Leave out what is said until resumed.
    PauseRecording(StreamId, bool),
    /// Make a listener and a URI for a chat stream.
    PrepareChat(StreamId, ChatPreparation),
    /// Connect it.
    RunChat(StreamId, Box<ChatParameters>),
    /// Send a message.
    SendMessage(StreamId, Box<ChatMessage>),
    /// Do something else in a chat.
    ActInChat(StreamId, ChatAction),
    /// Close it. Answered by [`MediaEvent::Stopped`] after the fate of each message was told.
    StopChat(StreamId),
    /// Look at a file, and make a listener and a URI for its transfer.
    PrepareFile(StreamId, Box<FilePreparation>),
    /// Connect it and transfer the file.
    RunFile(StreamId, Box<FileParameters>),
    /// Close it. Answered by [`MediaEvent::Stopped`].
    StopFile(StreamId),
    /// Play a ringtone on the local side.
    PlayRingtone(PathBuf),
    /// Stop it.
    StopRingtone,
}

/// What media tell a session.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MediaEvent {
    /// The audio sockets are open.
    AudioReady {
        /// Where RTP is received.
        rtp: SocketAddr,
        /// Where RTCP is received.
        rtcp: SocketAddr,
        /// What ICE found, where it is used.
        candidates: Vec<Candidate>,
        /// Whether these are all; [`MediaEvent::IceCandidates`] tells the others.
        complete: bool,
        /// The fingerprint of our certificate, as `a=fingerprint` has it, for DTLS-SRTP.
        fingerprint: Option<String>,
    },
    /// ICE found more.
    IceCandidates {
        /// All that there are, in the order in which they were found.
        candidates: Vec<Candidate>,
        /// Whether these are all.
        complete: bool,
    },
    /// ICE is further, or back.
    IceState {
        /// How far.
        state: IceState,
        /// The pair in use, if any.
        selection: Option<IceSelection>,
    },
    /// The stream has other sockets.
    AudioMoved {
        /// Where RTP is received.
        rtp: SocketAddr,
        /// Where RTCP is received.
        rtcp: SocketAddr,
        /// What ICE found, of all addresses, where it is used.
        candidates: Vec<Candidate>,
    },
    /// The stream was to move, and has the sockets that it had.
    AudioStays {
        /// Why, if not because nothing else is there.
        reason: Option<String>,
    },
    /// A server gave ICE no candidate.
    IceServerFailed {
        /// Which.
        server: SocketAddr,
        /// Why.
        reason: String,
    },
    /// The first packet of the peer, or the first from another address.
    AudioReceived {
        /// Where it came from.
        from: SocketAddr,
    },
    /// A handshake on the media path gave the keys of SRTP.
    AudioEncrypted {
        /// Their suite, as `a=crypto` would name it.
        suite: String,
    },
    /// No packet for longer than `rtp_silence`.
    AudioLost,
    /// The peer pressed a key.
    Dtmf(char),
    /// The recording's file is open.
    RecordingStarted {
        /// Its full path.
        file_name: String,
    },
    /// The recording failed; the stream goes on.
    RecordingFailed {
        /// Its full path.
        file_name: String,
        /// Why, in words.
        reason: String,
    },
    /// The recording's file is closed.
    RecordingStopped {
        /// Its full path.
        file_name: String,
    },
    /// The chat stream has a URI.
    ChatReady {
        /// The path for `a=path`.
        path: String,
        /// The fingerprint of our certificate, as `a=fingerprint` has it, with TLS.
        fingerprint: Option<String>,
    },
    /// The chat connection stands.
    ChatStarted,
    /// The chat connection is lost, and there is a URI for another one: it goes on when it is run again.
    ChatLost {
        /// The path for `a=path`.
        path: String,
        /// The fingerprint of our certificate, as `a=fingerprint` has it, with TLS.
        fingerprint: Option<String>,
        /// Why, in words.
        reason: String,
    },
    /// Something else in a chat that is told as it is.
    ChatTold(MsrpChatEvent),
    /// A message, whole.
    ChatMessage(Box<ReceivedMessage>),
    /// The peer has this one.
    ChatDelivered {
        /// Its id.
        message_id: String,
        /// The MSRP status.
        code: u16,
        /// Its phrase.
        reason: String,
    },
    /// The peer does not, or we can't know.
    ChatNotDelivered {
        /// Its id.
        message_id: String,
        /// The MSRP status; 0 for what has none.
        code: u16,
        /// Why, in words.
        reason: String,
    },
    /// The file is known and its stream has a URI.
    FileReady {
        /// The path for `a=path`.
        path: String,
        /// The fingerprint of our certificate, as `a=fingerprint` has it, with TLS.
        fingerprint: Option<String>,
        /// What is known of the file.
        info: FileInfo,
        /// How much of it the receiver has already.
        offset: u64,
    },
    /// The connection of a file transfer stands.
    FileStarted,
    /// So many bytes of the file are at the receiver.
    FileProgress {
        /// How many.
        bytes: u64,
        /// Of how many.
        size: u64,
    },
    /// The file is here, whole and checked.
    FileReceived {
        /// Where it is.
        path: PathBuf,
        /// What is known of it, with the hashes that were computed.
        info: FileInfo,
    },
    /// The peer has the file.
    FileDelivered {
        /// The MSRP status.
        code: u16,
        /// Its phrase.
        reason: String,
    },
    /// The file did not arrive, or we can't know.
    FileFailed {
        /// The MSRP status; 0 for what has none.
        code: u16,
        /// Why, in words.
        reason: String,
    },
    /// The stream failed and is gone.
    Failed {
        /// Where, for chat.
        context: ChatFailureContext,
        /// Why, in words.
        reason: String,
    },
    /// The stream is closed, as asked.
    Stopped,
}

/// What it takes to open an audio stream.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioPreparation {
    /// The address to bind.
    pub address: IpAddr,
    /// The ports to choose from; `None`: the system chooses.
    pub port_range: Option<RangeInclusive<u16>>,
    /// How to use ICE, if it is to be used.
    pub ice: Option<Box<IcePreparation>>,
}

/// What it takes to gather candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct IcePreparation {
    /// Candidates of every address of this host, not of the one alone.
    pub every_interface: bool,
    /// Ours, as the description tells them.
    pub credentials: ice::Credentials,
    /// Whether we make the offer, and so nominate.
    pub controlling: bool,
    /// Whether the stream is ready before all candidates are there.
    pub trickle: bool,
    /// What may be used, and which servers.
    pub configuration: IceConfiguration,
}

/// What descriptions said of ICE.
#[derive(Clone, Debug, PartialEq)]
pub struct IceParameters {
    /// Ours; others than before begin anew.
    pub local: ice::Credentials,
    /// The peer's.
    pub remote: ice::RemoteParameters,
    /// The peer's candidates.
    pub candidates: Vec<Candidate>,
    /// Whether these are all.
    pub complete: bool,
}

/// A pair of candidates in use.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct IceSelection {
    /// Our end, as the peer knows it.
    pub local: SocketAddr,
    /// What it is.
    pub local_kind: ice::CandidateKind,
    /// The other end.
    pub remote: SocketAddr,
    /// What it is.
    pub remote_kind: ice::CandidateKind,
    /// Our end for RTCP, where it has a port of its own.
    pub local_rtcp: Option<SocketAddr>,
    /// The other end for RTCP.
    pub remote_rtcp: Option<SocketAddr>,
    /// Whether we nominate.
    pub controlling: bool,
}

/// How far ICE is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum IceState {
    /// Looking for a way.
    Checking,
    /// There is one; a better one may follow.
    Connected,
    /// There is one, for good.
    Completed,
    /// The peer has not answered for a while.
    Disconnected,
    /// There is none, or the peer wants no more.
    Failed,
}

impl IceState {
    /// `checking`, `connected`, `completed`, `disconnected`, `failed`.
    pub fn name(self) -> &'static str {
        match self {
            IceState::Checking => "checking",
            IceState::Connected => "connected",
            IceState::Completed => "completed",
            IceState::Disconnected => "disconnected",
            IceState::Failed => "failed",
        }
    }
}

/// Everything about a negotiated audio stream.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioParameters {
    /// Where the peer receives RTP.
    pub remote_rtp: SocketAddr,
    /// Where it receives RTCP.
    pub remote_rtcp: SocketAddr,
    /// RTCP goes where RTP goes (RFC 5761).
    pub rtcp_mux: bool,
    /// With ICE; without it media goes to `remote_rtp`.
    pub ice: Option<Box<IceParameters>>,
    /// The codec's SDP name.
    pub codec: String,
    /// RTP clock rate in Hz, as `a=rtpmap` has it.
    pub clock_rate: u32,
    /// The payload type we send with.
    pub send_payload_type: u8,
    /// The payload type we receive it with.
    pub receive_payload_type: u8,
    /// `a=fmtp` of the peer for it.
    pub fmtp: Option<String>,
    /// Payload types of telephone-event that we send and receive, if negotiated.
    pub dtmf: Option<(u8, u8)>,
    /// Payload types of comfort noise that we send and receive, if negotiated (RFC 3389).
    pub comfort_noise: Option<(u8, u8)>,
    /// Milliseconds of audio in a packet.
    pub ptime: u32,
    /// Whether we send.
    pub sends: bool,
    /// Whether we receive.
    pub receives: bool,
    /// Keys of both directions, where descriptions carry them.
    pub srtp: Option<SrtpParameters>,
    /// With whom to agree on keys, where a handshake gives them: nothing is sent or taken before.
    pub dtls: Option<Box<DtlsParameters>>,
    /// Whether the peer asked for VoIP metrics (RFC 3611 §5).
    pub voip_metrics: bool,
    /// Whether plain RTP must never leave.
    pub srtp_policy: SrtpPolicy,
    /// Silence of the peer after which the stream counts as lost.
    pub silence: std::time::Duration,
    /// What packets are marked with (RFC 2474).
    pub dscp: u8,
}

/// SRTP keys from SDES (RFC 4568). `Debug` prints no key.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpParameters {
    /// The suite's name, such as `AES_CM_128_HMAC_SHA1_80`.
    pub suite: String,
    /// Master key and salt that we send with.
    pub local_key: zeroize::Zeroizing<Vec<u8>>,
    /// What the peer sends with: one key, or several that packets name.
    pub remote_keys: Vec<SrtpKey>,
}

/// A master key of the peer's. `Debug` prints no key.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKey {
    /// Key and salt.
    pub master: zeroize::Zeroizing<Vec<u8>>,
    /// Its identifier, as it stands in each packet; empty without.
    pub mki: Vec<u8>,
    /// Packets that it may protect, where that is limited.
    pub lifetime: Option<u64>,
}

impl std::fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtpKey").field("mki", &self.mki).finish_non_exhaustive()
    }
}

/// What descriptions said of DTLS-SRTP (RFC 5763). Where anything of it changes, another association is
/// made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DtlsParameters {
    /// Whether we begin the handshake.
    pub active: bool,
    /// Hash and digest of the certificates that the peer may show, as `a=fingerprint` has them.
    pub fingerprints: Vec<(String, Vec<u8>)>,
    /// Our name of the association (RFC 8842).
    pub local_id: String,
    /// The peer's, if it has one.
    pub remote_id: Option<String>,
}

impl std::fmt::Debug for SrtpParameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SrtpParameters").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// What it takes to make a chat stream.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatPreparation {
    /// The address to bind.
    pub address: IpAddr,
    /// The port to listen on; `None`: the system chooses.
    pub port: Option<u16>,
    /// Whether to use TLS.
    pub tls: bool,
    /// The relay to be reached at, if there is to be one.
    pub relay: Option<RelayPreparation>,
}

/// A relay to be reached at (RFC 4976). `Debug` prints no password.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayPreparation {
    /// Its name or address; `None`: the one that the domain's SRV records name.
    pub host: Option<String>,
    /// Its port; `None`: as SRV has it, else 2855.
    pub port: Option<u16>,
    /// Whether to speak TLS with it.
    pub tls: bool,
    /// Whether to reach it over a WebSocket.
    pub websocket: bool,
    /// The domain of the account.
    pub domain: String,
    /// As whom it knows us.
    pub username: String,
    /// What proves that.
    pub password: Option<zeroize::Zeroizing<String>>,
}

impl std::fmt::Debug for RelayPreparation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelayPreparation")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("websocket", &self.websocket)
            .field("domain", &self.domain)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// What can be done in a chat beside sending messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatAction {
    /// The user is composing (RFC 3994).
    Composing,
    /// The message with this id was displayed (RFC 5438).
    Displayed(String),
    /// The conference is asked for this name (RFC 7701).
    Nickname(String),
}

/// What a conference can do (RFC 7701 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chatroom {
    /// Names can be asked for.
    pub nickname: bool,
    /// Messages can be for one participant.
    pub private_messages: bool,
}

/// Where an MSRP connection goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MsrpPlace {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Everything about a negotiated chat stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatParameters {
    /// Our `a=path`.
    pub local_path: String,
    /// The peer's `a=path`.
    pub remote_path: String,
    /// The peer's certificate must have this fingerprint, where it gave one.
    pub remote_fingerprint: Option<String>,
    /// Whether we connect (else we wait for the connection).
    pub active: bool,
    /// Where to, if not to the first URI of the path (RFC 6714).
    pub remote_place: Option<MsrpPlace>,
    /// Whether messages are wrapped in CPIM, because the peer takes it.
    pub cpim: bool,
    /// Our identity, for CPIM.
    pub local_uri: String,
    /// The peer's, for CPIM.
    pub remote_uri: String,
    /// Media types we take.
    pub accept_types: Vec<String>,
    /// Media types we take wrapped.
    pub accept_wrapped_types: Vec<String>,
    /// Largest message we take, in bytes.
    pub max_message_size: u64,
    /// Whether the peer takes notices of who is composing.
    pub composing: bool,
    /// Whether deliveries are told to who asks for that.
    pub notify_delivery: bool,
    /// What the peer can do, where it is a conference.
    pub chatroom: Option<Chatroom>,
    /// Whether a lost connection is not the end.
    pub reconnect: bool,
    /// Time for the peer to agree to another connection.
    pub reconnect_patience: std::time::Duration,
    /// Time for the connection to come about.
    pub start_timeout: std::time::Duration,
}

/// What it takes to prepare a file transfer.
#[derive(Clone, Debug, PartialEq)]
pub struct FilePreparation {
    /// The listener.
    pub listener: ChatPreparation,
    /// The file.
    pub source: FileSource,
}

/// Which file, and which way it goes.
#[derive(Clone, Debug, PartialEq)]
pub enum FileSource {
    /// One of ours, to be sent.
    Send(FileToSend),
    /// The one file in this folder that the peer's selector fits, to be sent.
    Serve {
        /// Where to look.
        folder: PathBuf,
        /// What the peer asks for.
        wanted: FileInfo,
        /// The position in the file to begin at.
        offset: u64,
    },
    /// The peer's, to be received.
    Receive {
        /// Where to keep it.
        folder: PathBuf,
        /// What the peer says of it.
        info: FileInfo,
        /// The position that the peer begins at; `None`: behind what is there of it already.
        offset: Option<u64>,
        /// Largest file that is kept, in bytes.
        max_size: u64,
    },
}

/// Everything about a negotiated file transfer.
#[derive(Clone, Debug, PartialEq)]
pub struct FileParameters {
    /// The peer's `a=path`.
    pub remote_path: String,
    /// The peer's certificate must have this fingerprint, where it gave one.
    pub remote_fingerprint: Option<String>,
    /// Whether we connect (else we wait for the connection).
    pub active: bool,
    /// Where to, if not to the first URI of the path (RFC 6714).
    pub remote_place: Option<MsrpPlace>,
    /// Whether the file has to be wrapped in CPIM for the peer.
    pub cpim: bool,
    /// Our identity, for CPIM.
    pub local_uri: String,
    /// The peer's, for CPIM.
    pub remote_uri: String,
    /// What the peer's description says of the file, where it answered our request.
    pub info: FileInfo,
    /// The largest message that the peer takes, in bytes.
    pub remote_max_size: Option<u64>,
    /// Time for the connection to come about.
    pub start_timeout: std::time::Duration,
}

/// A message to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatMessage {
    /// Its id, unique.
    pub message_id: String,
    /// The content.
    pub content: Bytes,
    /// Its media type.
    pub content_type: String,
    /// Whom it is to; the session's peer where `None`.
    pub to: Option<String>,
    /// When it was written; now where `None`. RFC 3339 form.
    pub date_time: Option<String>,
    /// Whether the reader is asked to tell of its delivery and display (RFC 5438).
    pub notify: bool,
}

/// A message that came.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedMessage {
    /// Its Message-ID.
    pub message_id: String,
    /// The content, unwrapped.
    pub content: Bytes,
    /// Its media type.
    pub content_type: String,
    /// CPIM headers, in order; empty if it did not come in CPIM.
    pub cpim_headers: Vec<(String, String)>,
}
