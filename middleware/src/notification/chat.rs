//! What is told of MSRP chat streams.

use bytes::Bytes;

use super::value::{Value, delivery_data, message_data};

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
