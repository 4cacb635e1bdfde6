//! The events, one enum per subject, with their bus names and data.

use std::fmt;

use bytes::Bytes;

use super::file::MsrpFileTransferEvent;
use super::incoming::{IncomingReferralEvent, IncomingSubscriptionEvent};
use super::services::{MessageEvent, PublicationEvent, RegistrationEvent, SubscriptionEvent};
use super::settings::SettingsEvent;
use crate::session::{IceSelection, IceState, State, StreamSet};

/// Who caused something.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Originator {
    /// This side.
    Local,
    /// The peer.
    Remote,
}

impl fmt::Display for Originator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Originator::Local => "local",
            Originator::Remote => "remote",
        })
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// In the life of a session.
    Session(SessionEvent),
    /// On an MSRP chat stream.
    MsrpChat(MsrpChatEvent),
    /// On an MSRP file transfer.
    MsrpFileTransfer(MsrpFileTransferEvent),
    /// Of a registration.
    Registration(RegistrationEvent),
    /// Of a subscription.
    Subscription(SubscriptionEvent),
    /// Of a publication.
    Publication(PublicationEvent),
    /// Of a subscription of a peer's.
    IncomingSubscription(IncomingSubscriptionEvent),
    /// Of what a peer asks for outside of sessions.
    IncomingReferral(IncomingReferralEvent),
    /// Of messages outside of sessions.
    Message(MessageEvent),
    /// Of settings and accounts.
    Settings(SettingsEvent),
}

impl Event {
    /// The bus name: the class of the sender and what happened.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Session(event) => event.name(),
            Event::MsrpChat(event) => event.name(),
            Event::MsrpFileTransfer(event) => event.name(),
            Event::Registration(event) => event.name(),
            Event::Subscription(event) => event.name(),
            Event::Publication(event) => event.name(),
            Event::IncomingSubscription(event) => event.name(),
            Event::IncomingReferral(event) => event.name(),
            Event::Message(event) => event.name(),
            Event::Settings(event) => event.name(),
        }
    }

    /// The data by name, for programs that print or forward it.
    pub fn data(&self) -> Vec<(&'static str, Value)> {
        match self {
            Event::Session(event) => event.data(),
            Event::MsrpChat(event) => event.data(),
            Event::MsrpFileTransfer(event) => event.data(),
            Event::Registration(event) => event.data(),
            Event::Subscription(event) => event.data(),
            Event::Publication(event) => event.data(),
            Event::IncomingSubscription(event) => event.data(),
            Event::IncomingReferral(event) => event.data(),
            Event::Message(event) => event.data(),
            Event::Settings(event) => event.data(),
        }
    }
}

impl From<SessionEvent> for Event {
    fn from(event: SessionEvent) -> Self {
        Event::Session(event)
    }
}

impl From<RegistrationEvent> for Event {
    fn from(event: RegistrationEvent) -> Self {
        Event::Registration(event)
    }
}

impl From<SubscriptionEvent> for Event {
    fn from(event: SubscriptionEvent) -> Self {
        Event::Subscription(event)
    }
}

impl From<PublicationEvent> for Event {
    fn from(event: PublicationEvent) -> Self {
        Event::Publication(event)
    }
}

impl From<IncomingSubscriptionEvent> for Event {
    fn from(event: IncomingSubscriptionEvent) -> Self {
        Event::IncomingSubscription(event)
    }
}

impl From<IncomingReferralEvent> for Event {
    fn from(event: IncomingReferralEvent) -> Self {
        Event::IncomingReferral(event)
    }
}

impl From<MessageEvent> for Event {
    fn from(event: MessageEvent) -> Self {
        Event::Message(event)
    }
}

impl From<SettingsEvent> for Event {
    fn from(event: SettingsEvent) -> Self {
        Event::Settings(event)
    }
}

impl From<MsrpFileTransferEvent> for Event {
    fn from(event: MsrpFileTransferEvent) -> Self {
        Event::MsrpFileTransfer(event)
    }
}

impl From<MsrpChatEvent> for Event {
    fn from(event: MsrpChatEvent) -> Self {
        Event::MsrpChat(event)
    }
}

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

/// Where an MSRP chat stream failed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum ChatFailureContext {
    /// No local media could be had.
    Initialize,
    /// The descriptions do not fit each other.
    SdpNegotiation,
    /// The connection did not come about.
    Start,
    /// The connection broke.
    Reading,
}

impl ChatFailureContext {
    /// `initialize`, `sdp_negotiation`, `start` or `reading`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::SdpNegotiation => "sdp_negotiation",
            Self::Start => "start",
            Self::Reading => "reading",
        }
    }
}

/// What happens on an MSRP chat stream; the variants are the bus names without `MSRPChat`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MsrpChatEvent {
    /// The local media are ready.
    DidInitialize,
    /// The connection stands.
    DidStart,
    /// It is about to close.
    WillEnd,
    /// It is closed.
    DidEnd,
    /// It failed.
    DidFail {
        /// Where.
        context: ChatFailureContext,
        /// Why, in words.
        reason: String,
    },
    /// A message, whole. Told of streams without a session; a session tells `SCSessionGotMessage`.
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
    /// The connection is lost, and another one is being made: `DidStart` follows, or `DidFail`. Messages wait.
    DidLoseConnection {
        /// Why, in words.
        reason: String,
    },
    /// Somebody began or stopped composing a message (RFC 3994).
    GotComposing {
        /// Who.
        from: String,
        /// Whether it composes now.
        active: bool,
    },
    /// A reader tells what became of a message of ours (RFC 5438).
    GotDisposition {
        /// What `send_message` returned.
        message_id: String,
        /// Who tells.
        from: String,
        /// `delivered`, `displayed`, `failed`, …
        status: String,
    },
    /// The conference knows us by a name (RFC 7701).
    DidSetNickname {
        /// The name; empty: by none any more.
        nickname: String,
    },
    /// It does not take the name.
    DidNotSetNickname {
        /// The name.
        nickname: String,
        /// The MSRP status; 0 for what has none.
        code: u16,
        /// Why, in words.
        reason: String,
    },
}

impl MsrpChatEvent {
    /// The bus name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::DidInitialize => "MSRPChatDidInitialize",
            Self::DidStart => "MSRPChatDidStart",
            Self::WillEnd => "MSRPChatWillEnd",
            Self::DidEnd => "MSRPChatDidEnd",
            Self::DidFail { .. } => "MSRPChatDidFail",
            Self::GotMessage { .. } => "MSRPChatGotMessage",
            Self::DidDeliverMessage { .. } => "MSRPChatDidDeliverMessage",
            Self::DidNotDeliverMessage { .. } => "MSRPChatDidNotDeliverMessage",
            Self::DidLoseConnection { .. } => "MSRPChatDidLoseConnection",
            Self::GotComposing { .. } => "MSRPChatGotComposing",
            Self::GotDisposition { .. } => "MSRPChatGotDisposition",
            Self::DidSetNickname { .. } => "MSRPChatDidSetNickname",
            Self::DidNotSetNickname { .. } => "MSRPChatDidNotSetNickname",
        }
    }

    /// The data by name.
    pub fn data(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::DidInitialize | Self::DidStart | Self::WillEnd | Self::DidEnd => Vec::new(),
            Self::DidFail { context, reason } => {
                vec![("context", context.name().into()), ("reason", reason.as_str().into())]
            }
            Self::GotMessage { content, content_type, cpim_headers, message_id } => {
                message_data(content, content_type, cpim_headers, message_id)
            }
            Self::DidDeliverMessage { message_id, code, reason }
            | Self::DidNotDeliverMessage { message_id, code, reason } => {
                delivery_data(message_id, *code, reason)
            }
            Self::DidLoseConnection { reason } => vec![("reason", reason.as_str().into())],
            Self::GotComposing { from, active } => {
                vec![("from", from.as_str().into()), ("active", (*active).into())]
            }
            Self::GotDisposition { message_id, from, status } => vec![
                ("message_id", message_id.as_str().into()),
                ("from", from.as_str().into()),
                ("status", status.as_str().into()),
            ],
            Self::DidSetNickname { nickname } => vec![("nickname", nickname.as_str().into())],
            Self::DidNotSetNickname { nickname, code, reason } => vec![
                ("nickname", nickname.as_str().into()),
                ("code", (*code).into()),
                ("reason", reason.as_str().into()),
            ],
        }
    }
}

pub(super) fn message_data(
    content: &Bytes,
    content_type: &str,
    cpim_headers: &[(String, String)],
    message_id: &str,
) -> Vec<(&'static str, Value)> {
    let headers =
        cpim_headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    vec![
        ("content", String::from_utf8_lossy(content).into_owned().into()),
        ("content_type", content_type.into()),
        ("cpim_headers", Value::Map(headers)),
        ("message_id", message_id.into()),
    ]
}

fn delivery_data(message_id: &str, code: u16, reason: &str) -> Vec<(&'static str, Value)> {
    vec![("message_id", message_id.into()), ("code", code.into()), ("reason", reason.into())]
}

/// A datum of a notification, for programs that print or forward it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// Words.
    Text(String),
    /// Several.
    List(Vec<Value>),
    /// Several by name, in order.
    Map(Vec<(String, Value)>),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl Value {
    /// A list of words.
    pub(super) fn texts(texts: &[String]) -> Self {
        Value::List(texts.iter().map(|text| Value::from(text.as_str())).collect())
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::Number(value.into())
    }
}

impl From<u16> for Value {
    fn from(value: u16) -> Self {
        Value::Number(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::Text(value)
    }
}

impl From<Originator> for Value {
    fn from(value: Originator) -> Self {
        Value::Text(value.to_string())
    }
}
