//! A chat stream on its own.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sip_core::Uri;

use super::{next_number, preparation, random_id, session_config, text};
use crate::configuration::MsrpConfiguration;
use crate::driver::{self, AloneStream};
use crate::error::Error;
use crate::negotiation::{Description, LocalChat, LocalMedia, Negotiated};
use crate::notification::{ChatFailureContext, MsrpChatEvent, NotificationCenter, Sender};
use crate::session::machine::SessionConfig;
use crate::session::{ChatAction, ChatMessage, MediaEvent, MessageOptions};

/// An MSRP chat (RFC 4975) without a session around it. A handle: every clone is the same stream.
///
/// What happens is told by `MSRPChat…` notifications. Each message that [`send_message`](Self::send_message)
/// took ends in exactly one of `MSRPChatDidDeliverMessage` and `MSRPChatDidNotDeliverMessage`.
#[derive(Clone)]
pub struct MsrpChat {
    inner: Arc<Inner>,
}

struct Inner {
    number: u64,
    center: NotificationCenter,
    config: SessionConfig,
    local_uri: Uri,
    remote_uri: Uri,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stream: Option<AloneStream>,
    description: Option<Description>,
    /// The peer's description, where the offer is its own.
    remote_offer: Option<String>,
    local_media: Option<String>,
    /// What the answer came to, until the stream is started.
    agreed: Option<Negotiated>,
    outstanding: BTreeSet<String>,
    is_active: bool,
    is_started: bool,
    cpim_enabled: bool,
    private_messages_allowed: bool,
    failed: bool,
}

impl MsrpChat {
    /// A chat between two addresses; notifications go to `center`.
    #[must_use]
    pub fn new(
        center: &NotificationCenter,
        config: MsrpConfiguration,
        local_uri: Uri,
        remote_uri: Uri,
    ) -> Self {
        let inner = Inner {
            number: next_number(),
            center: center.clone(),
            config: session_config(config),
            local_uri,
            remote_uri,
            state: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Makes the local media, on the tokio runtime it is called in. `MSRPChatDidInitialize` or
    /// `MSRPChatDidFail` follows. With the peer's description (`remote_offer`) ours is an answer to it, else an
    /// offer.
    ///
    /// # Errors
    /// If it was initialized before, or there is no chat in the peer's description.
    pub fn initialize(&self, remote_offer: Option<&str>) -> Result<(), Error> {
        let mut state = self.lock();
        if state.stream.is_some() {
            return Err(wrong("it is initialized already"));
        }
        let mut description = Description::new(self.inner.number);
        if let Some(offer) = remote_offer {
            let offered = description.offered(Some(offer.as_bytes()), &self.inner.config);
            let offered = offered.map_err(|refusal| wrong(&refusal.reason))?;
            if !offered.acceptable.chat {
                return Err(wrong("there is no chat in the peer's description"));
            }
        }
        let tls = description.chat_uses_tls(&self.inner.config);
        let (weak, preparation) = (Arc::downgrade(&self.inner), preparation(&self.inner.config, tls));
        let tell = move |event| {
            if let Some(inner) = weak.upgrade() {
                MsrpChat { inner }.happened(event);
            }
        };
        state.stream = Some(AloneStream::chat(preparation, self.inner.center.backlog().clone(), tell)?);
        state.remote_offer = remote_offer.map(str::to_owned);
        state.description = Some(description);
        Ok(())
    }

    /// Connects it: `MSRPChatDidStart` or `MSRPChatDidFail` follows. `remote_media` is the peer's answer;
    /// where the peer made the offer, it is not needed.
    ///
    /// # Errors
    /// If it is not initialized, was started before, or the descriptions do not fit each other.
    pub fn start(&self, remote_media: Option<&str>) -> Result<(), Error> {
        let mut state = self.lock();
        let state = &mut *state;
        let (Some(stream), Some(description), Some(_)) =
            (&state.stream, &mut state.description, &state.local_media)
        else {
            return Err(wrong("it is not initialized"));
        };
        let negotiated = match (state.agreed.take(), remote_media) {
            (Some(agreed), _) => Ok(agreed),
            (None, Some(answer)) => description.answered(Some(answer.as_bytes()), &self.inner.config),
            (None, None) => return Err(wrong("the peer's description is needed")),
        };
        let negotiated = negotiated.map_err(|error| {
            let (context, reason) = (ChatFailureContext::SdpNegotiation, error.to_string());
            self.post(MsrpChatEvent::DidFail { context, reason: reason.clone() });
            wrong(&reason)
        })?;
        let mut parameters = negotiated.chat.ok_or_else(|| wrong("the peer has no chat"))?;
        parameters.local_uri = text(&self.inner.local_uri);
        parameters.remote_uri = text(&self.inner.remote_uri);
        parameters.start_timeout = self.inner.config.timers.stream_start;
        parameters.notify_delivery = self.inner.config.msrp.notify_delivery;
        state.private_messages_allowed =
            parameters.cpim && parameters.chatroom.is_none_or(|room| room.private_messages);
        (state.is_active, state.cpim_enabled) = (parameters.active, parameters.cpim);
        stream.run_chat(parameters);
        Ok(())
    }

    /// Sends a message and gives its id. It waits until the connection stands.
    ///
    /// # Errors
    /// If the stream is not initialized, or was ended.
    pub fn send_message(&self, content: impl Into<Bytes>, options: MessageOptions) -> Result<String, Error> {
        let mut state = self.lock();
        let message_id = random_id();
        let MessageOptions { content_type, to, date_time, notify } = options;
        let message = ChatMessage {
            message_id: message_id.clone(),
            content: content.into(),
            content_type: content_type.unwrap_or_else(|| "text/plain".to_owned()),
            to: to.map(|uri| uri.to_string()),
            date_time,
            notify,
        };
        state.outstanding.insert(message_id.clone());
        let taken = state.stream.as_ref().is_some_and(|stream| stream.send(message));
        if !taken {
            state.outstanding.remove(&message_id);
            return Err(wrong("it is not initialized, or was ended"));
        }
        Ok(message_id)
    }

    /// Says that the user is composing a message, each time it does something: the peer is told when that
    /// begins, and when it has ended (RFC 3994).
    ///
    /// # Errors
    /// If the stream is not initialized, or was ended.
    pub fn composing(&self) -> Result<(), Error> {
        self.act(ChatAction::Composing)
    }

    /// Says that a message was displayed; its writer is told if it asked to be (RFC 5438).
    ///
    /// # Errors
    /// If the stream is not initialized, or was ended.
    pub fn displayed(&self, message_id: impl Into<String>) -> Result<(), Error> {
        self.act(ChatAction::Displayed(message_id.into()))
    }

    /// Asks a conference for a name (RFC 7701); an empty one gives the name up. `MSRPChatDidSetNickname` or
    /// `MSRPChatDidNotSetNickname` follows.
    ///
    /// # Errors
    /// If the stream is not initialized, or was ended.
    pub fn set_nickname(&self, nickname: impl Into<String>) -> Result<(), Error> {
        self.act(ChatAction::Nickname(nickname.into()))
    }

    fn act(&self, action: ChatAction) -> Result<(), Error> {
        let taken = self.lock().stream.as_ref().is_some_and(|stream| stream.act(action));
        if taken { Ok(()) } else { Err(wrong("it is not initialized, or was ended")) }
    }

    /// Ends it: `MSRPChatWillEnd` and `MSRPChatDidEnd` follow. What is not delivered yet is told as not
    /// delivered. Ended or never initialized: nothing happens.
    pub fn end(&self) {
        let mut state = self.lock();
        if state.stream.take().is_some() {
            self.post(MsrpChatEvent::WillEnd);
        }
    }

    /// Our description, once it is initialized.
    pub fn local_media(&self) -> Option<String> {
        self.lock().local_media.clone()
    }

    /// Our address.
    pub fn local_uri(&self) -> &Uri {
        &self.inner.local_uri
    }

    /// The peer's address.
    pub fn remote_uri(&self) -> &Uri {
        &self.inner.remote_uri
    }

    /// Media types that are taken.
    pub fn accept_types(&self) -> &[String] {
        &self.inner.config.msrp.accept_types
    }

    /// Media types that are taken inside `message/cpim`.
    pub fn accept_wrapped_types(&self) -> &[String] {
        &self.inner.config.msrp.accept_wrapped_types
    }

    /// Whether messages to the peer are wrapped in CPIM, because it takes that.
    pub fn cpim_enabled(&self) -> bool {
        self.lock().cpim_enabled
    }

    /// Whether messages may be to others than the peer: that takes CPIM, and a conference has to say so
    /// (RFC 7701 §8).
    pub fn private_messages_allowed(&self) -> bool {
        self.lock().private_messages_allowed
    }

    /// Whether we make the connection.
    pub fn is_active(&self) -> bool {
        self.lock().is_active
    }

    /// Whether the connection stands.
    pub fn is_started(&self) -> bool {
        self.lock().is_started
    }

    pub(crate) fn number(&self) -> u64 {
        self.inner.number
    }

    fn happened(&self, event: MediaEvent) {
        let mut state = self.lock();
        match event {
            MediaEvent::ChatReady { path, fingerprint } => {
                let local = LocalChat { path, fingerprint };
                let event = match describe(&mut state, local, &self.inner.config) {
                    Ok(()) => MsrpChatEvent::DidInitialize,
                    Err(reason) => {
                        MsrpChatEvent::DidFail { context: ChatFailureContext::SdpNegotiation, reason }
                    }
                };
                self.post(event);
            }
            MediaEvent::ChatStarted => {
                state.is_started = true;
                self.post(MsrpChatEvent::DidStart);
            }
            MediaEvent::ChatTold(event) => self.post(event),
            MediaEvent::ChatMessage(message) => self.post(MsrpChatEvent::GotMessage {
                content: message.content,
                content_type: message.content_type,
                cpim_headers: message.cpim_headers,
                message_id: message.message_id,
            }),
            MediaEvent::ChatDelivered { message_id, code, reason }
                if state.outstanding.remove(&message_id) =>
            {
                self.post(MsrpChatEvent::DidDeliverMessage { message_id, code, reason });
            }
            MediaEvent::ChatNotDelivered { message_id, code, reason }
                if state.outstanding.remove(&message_id) =>
            {
                self.post(MsrpChatEvent::DidNotDeliverMessage { message_id, code, reason });
            }
            MediaEvent::Failed { context, reason } => {
                state.failed = true;
                self.post(MsrpChatEvent::DidFail { context, reason });
                // With its commands the task ends.
                if state.stream.take().is_some() {
                    self.post(MsrpChatEvent::WillEnd);
                }
            }
            MediaEvent::Stopped => {
                state.is_started = false;
                for message_id in std::mem::take(&mut state.outstanding) {
                    let reason = "the chat has ended".to_owned();
                    self.post(MsrpChatEvent::DidNotDeliverMessage { message_id, code: 0, reason });
                }
                self.post(MsrpChatEvent::DidEnd);
            }
            _ => {}
        }
    }

    fn post(&self, event: MsrpChatEvent) {
        self.inner.center.post(driver::now().wall, Sender::MsrpChat(self.clone()), event);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the offer, or the answer to the peer's.
fn describe(state: &mut State, local: LocalChat, config: &SessionConfig) -> Result<(), String> {
    let local = LocalMedia { chat: Some(local), ..LocalMedia::default() };
    let description = state.description.as_mut().ok_or("it has ended")?;
    let body = if state.remote_offer.is_some() {
        let (body, agreed) = description.answer(&local, config).map_err(|error| error.to_string())?;
        state.agreed = Some(agreed);
        body
    } else {
        description.offer(&local, config)
    };
    state.local_media = Some(String::from_utf8_lossy(&body).into_owned());
    Ok(())
}

fn wrong(reason: &str) -> Error {
    Error::Stream { stream: "MsrpChat", reason: reason.to_owned() }
}

impl fmt::Debug for MsrpChat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MsrpChat").field("number", &self.inner.number).finish_non_exhaustive()
    }
}
