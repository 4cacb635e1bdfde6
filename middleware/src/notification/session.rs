//! What is told of sessions.

use bytes::Bytes;

use super::event::Originator;
use super::value::{Value, delivery_data, message_data};
use crate::session::{IceSelection, IceState, State, StreamSet};

/// What happens in the life of a session; the variants are the bus names without `SCSession`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// The state changed; posted after it has.
    ChangedState {
        /// The state it left.
        prev_state: State,
        /// The state it is in.
        state: State,
    },
    /// Somebody calls.
    NewIncoming {
        /// Audio is offered.
        has_audio: bool,
        /// Chat is offered.
        has_chat: bool,
        /// Files are offered or asked for.
        has_file: bool,
    },
    /// A session was asked for; the peer has not been contacted yet.
    NewOutgoing {
        /// Audio will be offered.
        has_audio: bool,
        /// Chat will be offered.
        has_chat: bool,
        /// Files will be offered or asked for.
        has_file: bool,
    },
    /// The peer's side rings (each 180).
    GotRingIndication,
    /// The final 2xx was sent or received; the ACK was not yet.
    WillStart,
    /// The ACK was sent or received.
    DidStart,
    /// It failed; `DidEnd` follows.
    DidFail {
        /// Whose failure it is.
        originator: Originator,
        /// The SIP status, or 0 for what has none.
        code: u16,
        /// Why, in words.
        reason: String,
    },
    /// The application asked for its end.
    WillEnd,
    /// It is over: posted exactly once, last.
    DidEnd {
        /// Who ended it.
        originator: Originator,
    },
    /// Put on hold: by us (the re-INVITE was sent) or by the peer.
    GotHoldRequest {
        /// Who holds.
        originator: Originator,
    },
    /// Taken off hold.
    GotUnholdRequest {
        /// Who held.
        originator: Originator,
    },
    /// Recording is about to start.
    WillStartRecordingAudio {
        /// Full path of the file.
        file_name: String,
    },
    /// The file is open and recording.
    DidStartRecordingAudio {
        /// Full path of the file.
        file_name: String,
    },
    /// Recording is about to stop.
    WillStopRecordingAudio {
        /// Full path of the file.
        file_name: String,
    },
    /// The file is complete and closed.
    DidStopRecordingAudio {
        /// Full path of the file.
        file_name: String,
    },
    /// Recording failed: the disk is full, or the file cannot be made. The call goes on.
    RecordingAudioDidFail {
        /// Full path of the file.
        file_name: String,
        /// Why, in words.
        reason: String,
    },
    /// Nothing was heard of the peer since audio started.
    GotNoAudio,
    /// The peer pressed a key.
    GotDtmf {
        /// One of `0-9 * # A-D`.
        digit: char,
    },
    /// An MSRP message, whole.
    GotMessage {
        /// The content, unwrapped from CPIM.
        content: Bytes,
        /// Its media type.
        content_type: String,
        /// The CPIM headers, in order; empty if it did not come in CPIM.
        cpim_headers: Vec<(String, String)>,
        /// The MSRP Message-ID.
        message_id: String,
    },
    /// The peer has a message of ours.
    DidDeliverMessage {
        /// What `send_message` returned.
        message_id: String,
        /// The MSRP status.
        code: u16,
        /// Its phrase.
        reason: String,
    },
    /// The peer does not have it, or we can't know.
    DidNotDeliverMessage {
        /// What `send_message` returned.
        message_id: String,
        /// The MSRP status; 0 for what has none.
        code: u16,
        /// Why, in words.
        reason: String,
    },
    /// More streams are proposed.
    GotStreamProposal {
        /// Who proposes.
        proposer: Originator,
        /// Audio is to be added.
        adds_audio: bool,
        /// Chat is to be added.
        adds_chat: bool,
        /// Files are to be transferred.
        adds_file: bool,
    },
    /// The proposal was accepted.
    AcceptedStreamProposal {
        /// Who proposed.
        proposer: Originator,
    },
    /// The proposal was rejected or failed.
    RejectedStreamProposal {
        /// Who proposed.
        proposer: Originator,
        /// Why, in words.
        reason: String,
    },
    /// `SCSessionICENegotiationStateDidChange`: the search for a way for audio is further, or back.
    IceStateDidChange {
        /// How far.
        state: IceState,
        /// The pair of candidates in use, if any.
        selection: Option<IceSelection>,
    },
    /// The peer is elsewhere (3xx). Without `followed`, `DidFail` follows.
    GotRedirect {
        /// The SIP status.
        code: u16,
        /// Its phrase.
        reason: String,
        /// Where it may be, the preferred address first.
        contacts: Vec<String>,
        /// Whether another address is called now.
        followed: bool,
    },
    /// `SCSessionTransferNewOutgoing`: the peer is asked to call somebody else.
    TransferNewOutgoing {
        /// Whom.
        destination: String,
    },
    /// `SCSessionTransferNewIncoming`: the peer asks us to call somebody else: `accept_transfer` or
    /// `reject_transfer` decides.
    TransferNewIncoming {
        /// Whom.
        destination: String,
        /// Who wants it (RFC 3892), as the peer says.
        referred_by: Option<String>,
    },
    /// `SCSessionTransferDidStart`: the peer has taken the request, or we do what it asks for.
    TransferDidStart,
    /// `SCSessionTransferGotProgress`: the new call is under way.
    TransferGotProgress {
        /// The SIP status that it got.
        code: u16,
        /// Its phrase.
        reason: String,
    },
    /// `SCSessionTransferDidEnd`: the new call stands.
    TransferDidEnd {
        /// The SIP status that it got.
        code: u16,
        /// Its phrase.
        reason: String,
    },
    /// `SCSessionTransferDidFail`: there is no new call, or none that we know of.
    TransferDidFail {
        /// The SIP status; 0 for what has none.
        code: u16,
        /// Why, in words.
        reason: String,
    },
    /// A stream was added, removed or lost.
    GotStreamUpdate {
        /// The streams that there are now.
        streams: StreamSet,
    },
}

impl SessionEvent {
    /// The bus name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ChangedState { .. } => "SCSessionChangedState",
            Self::NewIncoming { .. } => "SCSessionNewIncoming",
            Self::NewOutgoing { .. } => "SCSessionNewOutgoing",
            Self::GotRingIndication => "SCSessionGotRingIndication",
            Self::WillStart => "SCSessionWillStart",
            Self::DidStart => "SCSessionDidStart",
            Self::DidFail { .. } => "SCSessionDidFail",
            Self::WillEnd => "SCSessionWillEnd",
            Self::DidEnd { .. } => "SCSessionDidEnd",
            Self::GotHoldRequest { .. } => "SCSessionGotHoldRequest",
            Self::GotUnholdRequest { .. } => "SCSessionGotUnholdRequest",
            Self::WillStartRecordingAudio { .. } => "SCSessionWillStartRecordingAudio",
            Self::DidStartRecordingAudio { .. } => "SCSessionDidStartRecordingAudio",
            Self::WillStopRecordingAudio { .. } => "SCSessionWillStopRecordingAudio",
            Self::DidStopRecordingAudio { .. } => "SCSessionDidStopRecordingAudio",
            Self::RecordingAudioDidFail { .. } => "SCSessionRecordingAudioDidFail",
            Self::GotNoAudio => "SCSessionGotNoAudio",
            Self::GotDtmf { .. } => "SCSessionGotDTMF",
            Self::GotMessage { .. } => "SCSessionGotMessage",
            Self::DidDeliverMessage { .. } => "SCSessionDidDeliverMessage",
            Self::DidNotDeliverMessage { .. } => "SCSessionDidNotDeliverMessage",
            Self::GotStreamProposal { .. } => "SCSessionGotStreamProposal",
            Self::AcceptedStreamProposal { .. } => "SCSessionAcceptedStreamProposal",
            Self::RejectedStreamProposal { .. } => "SCSessionRejectedStreamProposal",
            Self::IceStateDidChange { .. } => "SCSessionICENegotiationStateDidChange",
            Self::GotRedirect { .. } => "SCSessionGotRedirect",
            Self::TransferNewOutgoing { .. } => "SCSessionTransferNewOutgoing",
            Self::TransferNewIncoming { .. } => "SCSessionTransferNewIncoming",
            Self::TransferDidStart => "SCSessionTransferDidStart",
            Self::TransferGotProgress { .. } => "SCSessionTransferGotProgress",
            Self::TransferDidEnd { .. } => "SCSessionTransferDidEnd",
            Self::TransferDidFail { .. } => "SCSessionTransferDidFail",
            Self::GotStreamUpdate { .. } => "SCSessionGotStreamUpdate",
        }
    }

    /// The data by name.
    pub fn data(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::ChangedState { prev_state, state } => {
                vec![("prev_state", prev_state.name().into()), ("state", state.name().into())]
            }
            Self::NewIncoming { has_audio, has_chat, has_file }
            | Self::NewOutgoing { has_audio, has_chat, has_file } => {
                let mut data = vec![("has_audio", (*has_audio).into()), ("has_chat", (*has_chat).into())];
                // Told only where there are any, as sessions of the 2009 API have none.
                data.extend(has_file.then_some(("has_file", true.into())));
                data
            }
            Self::GotRingIndication
            | Self::WillStart
            | Self::DidStart
            | Self::WillEnd
            | Self::GotNoAudio
            | Self::TransferDidStart => Vec::new(),
            Self::GotRedirect { code, reason, contacts, followed } => vec![
                ("code", (*code).into()),
                ("reason", reason.as_str().into()),
                ("contacts", Value::texts(contacts)),
                ("followed", (*followed).into()),
            ],
            Self::TransferNewOutgoing { destination } => vec![("destination", destination.as_str().into())],
            Self::TransferNewIncoming { destination, referred_by } => {
                let mut data = vec![("destination", destination.as_str().into())];
                data.extend(referred_by.as_deref().map(|by| ("referred_by", by.into())));
                data
            }
            Self::TransferGotProgress { code, reason }
            | Self::TransferDidEnd { code, reason }
            | Self::TransferDidFail { code, reason } => {
                vec![("code", (*code).into()), ("reason", reason.as_str().into())]
            }
            Self::DidFail { originator, code, reason } => vec![
                ("originator", (*originator).into()),
                ("code", (*code).into()),
                ("reason", reason.as_str().into()),
            ],
            Self::DidEnd { originator }
            | Self::GotHoldRequest { originator }
            | Self::GotUnholdRequest { originator } => vec![("originator", (*originator).into())],
            Self::WillStartRecordingAudio { file_name }
            | Self::DidStartRecordingAudio { file_name }
            | Self::WillStopRecordingAudio { file_name }
            | Self::DidStopRecordingAudio { file_name } => vec![("file_name", file_name.as_str().into())],
            Self::RecordingAudioDidFail { file_name, reason } => {
                vec![("file_name", file_name.as_str().into()), ("reason", reason.as_str().into())]
            }
            Self::GotDtmf { digit } => vec![("digit", digit.to_string().into())],
            Self::GotMessage { content, content_type, cpim_headers, message_id } => {
                message_data(content, content_type, cpim_headers, message_id)
            }
            Self::DidDeliverMessage { message_id, code, reason }
            | Self::DidNotDeliverMessage { message_id, code, reason } => {
                delivery_data(message_id, *code, reason)
            }
            Self::GotStreamProposal { proposer, adds_audio, adds_chat, adds_file } => {
                let mut data = vec![
                    ("proposer", (*proposer).into()),
                    ("adds_audio", (*adds_audio).into()),
                    ("adds_chat", (*adds_chat).into()),
                ];
                data.extend(adds_file.then_some(("adds_file", true.into())));
                data
            }
            Self::AcceptedStreamProposal { proposer } => vec![("proposer", (*proposer).into())],
            Self::RejectedStreamProposal { proposer, reason } => {
                vec![("proposer", (*proposer).into()), ("reason", reason.as_str().into())]
            }
            Self::IceStateDidChange { state, selection } => {
                let mut data = vec![("state", state.name().into())];
                if let Some(pair) = selection {
                    data.extend([
                        ("local", pair.local.to_string().into()),
                        ("local_kind", pair.local_kind.name().into()),
                        ("remote", pair.remote.to_string().into()),
                        ("remote_kind", pair.remote_kind.name().into()),
                    ]);
                }
                data
            }
            Self::GotStreamUpdate { streams } => {
                vec![("streams", Value::List(streams.names().map(Value::from).collect()))]
            }
        }
    }
}
