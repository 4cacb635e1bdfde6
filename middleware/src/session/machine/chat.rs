//! The chat of a session: its messages, and connections that are lost.

use std::collections::BTreeSet;

use super::{Context, Direction, MediaCommand, SessionEvent, SessionMachine, State, StreamId, StreamSet};
use crate::negotiation::{LocalChat, Negotiated};
use crate::notification::MsrpChatEvent;
use crate::session::effect::{ChatParameters, MediaEvent};
use crate::session::snapshot::ChatSnapshot;

/// An MSRP chat stream of this session.
#[derive(Debug)]
pub(super) struct ChatStream {
    pub(super) id: StreamId,
    pub(super) local: Option<LocalChat>,
    pub(super) running: bool,
    /// Its connection is lost, and another one is to be agreed on.
    pub(super) lost: bool,
    /// Where the peer is.
    pub(super) remote_path: String,
    /// What it comes to if the peer does not answer another offer (RFC 6714 §4.2).
    pub(super) held_back: Option<Box<ChatParameters>>,
    /// Messages whose fate is not known yet.
    pub(super) outstanding: BTreeSet<String>,
}

impl SessionMachine {
    pub(super) fn handle_chat(&mut self, context: Context<'_>, event: MediaEvent) {
        let Some(chat) = &mut self.chat else { return };
        match event {
            MediaEvent::ChatReady { path, fingerprint } => {
                chat.local = Some(LocalChat { path, fingerprint });
                self.notify(MsrpChatEvent::DidInitialize);
                self.go_on_if_ready(context);
            }
            MediaEvent::ChatStarted => {
                self.change(|snapshot| {
                    if let Some(chat) = &mut snapshot.chat {
                        chat.is_started = true;
                    }
                });
                self.notify(MsrpChatEvent::DidStart);
            }
            MediaEvent::ChatLost { path, fingerprint, reason } => {
                (chat.local, chat.lost) = (Some(LocalChat { path, fingerprint }), true);
                self.chat_lost(context, reason);
            }
            MediaEvent::ChatTold(event) => self.notify(event),
            MediaEvent::ChatMessage(message) => self.notify(SessionEvent::GotMessage {
                content: message.content,
                content_type: message.content_type,
                cpim_headers: message.cpim_headers,
                message_id: message.message_id,
            }),
            // Each message has one fate; what comes later about it is not told again.
            MediaEvent::ChatDelivered { message_id, code, reason }
                if chat.outstanding.remove(&message_id) =>
            {
                self.notify(SessionEvent::DidDeliverMessage { message_id, code, reason });
            }
            MediaEvent::ChatNotDelivered { message_id, code, reason }
                if chat.outstanding.remove(&message_id) =>
            {
                self.notify(SessionEvent::DidNotDeliverMessage { message_id, code, reason });
            }
            // The peer may close the connection before it tells why.
            MediaEvent::Failed { .. } if self.leaving().chat || self.state() == State::Terminating => {
                self.close(context, StreamSet::CHAT);
            }
            MediaEvent::Failed { context: place, reason } => {
                self.notify(MsrpChatEvent::DidFail { context: place, reason: reason.clone() });
                self.give_up_messages(&reason);
                self.stream_failed(context, StreamSet::CHAT, reason);
            }
            _ => {}
        }
    }

    /// The connection is gone while the session stands (RFC 4975 §5.4: another one takes another exchange).
    /// A peer that hangs up may close it before it says so: who called gives it a moment, who was called gives the
    /// caller the time to come back.
    fn chat_lost(&mut self, context: Context<'_>, reason: String) {
        if self.leaving().chat || self.state() == State::Terminating {
            self.close(context, StreamSet::CHAT);
            return;
        }
        self.change(|snapshot| {
            if let Some(chat) = &mut snapshot.chat {
                chat.is_started = false;
            }
        });
        self.notify(MsrpChatEvent::DidLoseConnection { reason });
        let wait = match self.snapshot.direction {
            Some(Direction::Outgoing) => self.config.timers.chat_reconnect,
            _ => 8 * self.config.timers.chat_reconnect,
        };
        self.timers.reconnect = Some(context.now + wait);
    }

    /// It is time to ask for another connection.
    pub(super) fn reconnect(&mut self, context: Context<'_>) {
        if self.chat.as_ref().is_some_and(|chat| chat.lost) {
            self.refresh_due(context);
        }
    }

    pub(super) fn apply_chat(&mut self, context: Context<'_>, negotiated: &Negotiated) {
        match (&negotiated.chat, &mut self.chat) {
            (Some(parameters), Some(chat)) => {
                let id = chat.id;
                let mut parameters = parameters.clone();
                let moved = chat.lost || chat.remote_path != parameters.remote_path;
                let waited = chat.held_back.take().is_some();
                let runs = std::mem::replace(&mut chat.running, true) && !moved && !waited;
                chat.lost = false;
                chat.remote_path.clone_from(&parameters.remote_path);
                self.timers.reconnect = None;
                parameters.start_timeout = self.config.timers.stream_start;
                // As long as the exchange may take.
                parameters.reconnect_patience = 4 * self.config.timers.stream_start;
                parameters.reconnect = self.config.msrp.reconnect;
                parameters.notify_delivery = self.config.msrp.notify_delivery;
                parameters.local_uri =
                    self.snapshot.local_uri.as_ref().map(ToString::to_string).unwrap_or_default();
                parameters.remote_uri =
                    self.snapshot.remote_uri.as_ref().map(ToString::to_string).unwrap_or_default();
                self.change(|snapshot| {
                    let chat = snapshot.chat.get_or_insert_with(ChatSnapshot::default);
                    chat.transport = negotiated.chat_transport.clone();
                    chat.cpim_enabled = parameters.cpim;
                });
                let parameters = Box::new(parameters);
                match &mut self.chat {
                    Some(chat) if !runs && negotiated.without_cema => chat.held_back = Some(parameters),
                    _ if !runs => self.media(MediaCommand::RunChat(id, parameters)),
                    _ => {}
                }
            }
            (None, Some(_)) => self.close(context, StreamSet::CHAT),
            (_, None) => {}
        }
    }

    /// The other offer came to nothing: MSRP streams that waited for it run as the last answer has it.
    pub(super) fn run_held_back(&mut self) {
        if let Some(chat) = &mut self.chat
            && let (id, Some(parameters)) = (chat.id, chat.held_back.take())
        {
            self.media(MediaCommand::RunChat(id, parameters));
        }
        self.run_held_back_files();
    }

    /// Tells of each message whose fate is not known that it was not delivered.
    pub(super) fn give_up_messages(&mut self, reason: &str) {
        let Some(chat) = &mut self.chat else { return };
        for message_id in std::mem::take(&mut chat.outstanding) {
            self.notify(SessionEvent::DidNotDeliverMessage {
                message_id,
                code: 0,
                reason: reason.to_owned(),
            });
        }
    }
}
