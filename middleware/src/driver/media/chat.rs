//! The task of a chat stream: its connection, and the MSRP machine on it.

use std::sync::Arc;

use bytes::Bytes;
use msrp_cpim::cpim::{Address, Message as CpimMessage};
use msrp_cpim::{Config, Connection, Event, MsrpUri, OutgoingMessage, SessionConfig, SessionId};
use tokio::sync::mpsc;

use super::msrp::{self, Door, Peer, Wire};
use crate::driver::clock;
use crate::notification::ChatFailureContext;
use crate::session::{ChatMessage, ChatParameters, MediaEvent, ReceivedMessage};
use crate::trace::Tracer;

/// What a chat task is told. Its end is told by the end of its commands.
#[derive(Debug)]
pub(super) enum ChatCommand {
    Send(Box<ChatMessage>),
}

/// Runs a chat until its commands end or its connection does. Every message that was sent has
/// its fate told before the end is.
pub(super) async fn run(
    mut door: Door,
    parameters: Box<ChatParameters>,
    mut commands: mpsc::UnboundedReceiver<ChatCommand>,
    tracer: Option<Arc<Tracer>>,
    tell: impl Fn(MediaEvent) + Send,
) {
    let mut early = Vec::new();
    let connected = {
        let path = MsrpUri::parse_path(&parameters.remote_path).unwrap_or_default();
        let (fingerprint, active) = (parameters.remote_fingerprint.clone(), parameters.active);
        let peer = Peer { path, fingerprint, active };
        let mut connecting = std::pin::pin!(msrp::connect(&mut door, &peer, parameters.start_timeout));
        loop {
            tokio::select! {
                connected = &mut connecting => break connected,
                command = commands.recv() => match command {
                    Some(command) => early.push(command),
                    None => break Err(std::io::Error::other("the chat was ended before it was connected")),
                },
            }
        }
    };
    let connected = match connected {
        Ok(connected) => connected,
        Err(error) => {
            let reason = error.to_string();
            while let Ok(command) = commands.try_recv() {
                early.push(command);
            }
            for ChatCommand::Send(message) in early {
                let message_id = message.message_id;
                tell(MediaEvent::ChatNotDelivered { message_id, code: 0, reason: reason.clone() });
            }
            if !commands.is_closed() {
                tell(MediaEvent::Failed { context: ChatFailureContext::Start, reason });
            }
            tell(MediaEvent::Stopped);
            return;
        }
    };
    tell(MediaEvent::ChatStarted);
    match machine(&door, &parameters) {
        Ok((machine, session)) => {
            let wire = Wire::new(connected, machine, tracer);
            let mut chat = Chat { wire, session, parameters: *parameters, tell: &tell };
            for ChatCommand::Send(message) in early {
                chat.send(*message);
            }
            chat.run(&mut commands).await;
        }
        Err(reason) => tell(MediaEvent::Failed { context: ChatFailureContext::Start, reason }),
    }
    tell(MediaEvent::Stopped);
}

fn machine(door: &Door, parameters: &ChatParameters) -> Result<(Connection, SessionId), String> {
    let mut machine = Connection::new(Config::default(), clock::seed());
    let path = MsrpUri::parse_path(&parameters.remote_path).map_err(|error| error.to_string())?;
    let config = SessionConfig {
        accept_types: parameters.accept_types.clone(),
        accept_wrapped_types: parameters.accept_wrapped_types.clone(),
        max_size: parameters.max_message_size,
        ..SessionConfig::new(vec![door.uri().clone()], path, parameters.active)
    };
    let session = machine.add_session(clock::now().instant, config).map_err(|error| error.to_string())?;
    Ok((machine, session))
}

/// A chat with its connection.
struct Chat<'t, F> {
    wire: Wire,
    session: SessionId,
    parameters: ChatParameters,
    tell: &'t F,
}

impl<F: Fn(MediaEvent)> Chat<'_, F> {
    async fn run(&mut self, commands: &mut mpsc::UnboundedReceiver<ChatCommand>) {
        let mut asked_to_end = false;
        loop {
            tokio::select! {
                command = commands.recv(), if !asked_to_end => match command {
                    Some(ChatCommand::Send(message)) => self.send(*message),
                    None => {
                        asked_to_end = true;
                        self.wire.disconnect();
                    }
                },
                event = self.wire.next() => match event {
                    Some(event) => self.happened(event),
                    None => break,
                },
            }
        }
        if !asked_to_end {
            let reason = self.wire.failure().to_owned();
            (self.tell)(MediaEvent::Failed { context: ChatFailureContext::Reading, reason });
        }
    }

    fn send(&mut self, message: ChatMessage) {
        let ChatMessage { message_id, content, content_type, to, date_time } = message;
        let outgoing = if self.parameters.cpim {
            let wrapped = self.wrap(content, &content_type, to, date_time);
            wrapped.map(|body| OutgoingMessage::new("message/cpim", body))
        } else {
            Ok(OutgoingMessage::new(content_type, content))
        };
        let now = clock::now().instant;
        let sent = outgoing.and_then(|outgoing| {
            let outgoing = OutgoingMessage { message_id: Some(message_id.clone()), ..outgoing };
            self.wire.machine.send(now, self.session, outgoing).map(drop)
        });
        if let Err(error) = sent {
            (self.tell)(MediaEvent::ChatNotDelivered { message_id, code: 0, reason: error.to_string() });
        }
    }

    /// RFC 3862: who, to whom and when, around the content.
    fn wrap(
        &self,
        content: Bytes,
        content_type: &str,
        to: Option<String>,
        date_time: Option<String>,
    ) -> Result<Bytes, msrp_cpim::UsageError> {
        let address = |uri: &str| Address { name: None, uri: uri.to_owned() };
        let mut message = CpimMessage::new(content_type, content)?;
        message.push_address("From", &address(&self.parameters.local_uri))?;
        message.push_address("To", &address(to.as_deref().unwrap_or(&self.parameters.remote_uri)))?;
        let date_time = date_time.unwrap_or_else(|| {
            let now = jiff::Timestamp::try_from(clock::now().wall).unwrap_or_default();
            format!("{now:.3}")
        });
        message.push("DateTime", &date_time)?;
        Ok(message.to_bytes())
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Message { message_id, content_type, body, .. } => {
                let message = receive(message_id, content_type, body);
                (self.tell)(MediaEvent::ChatMessage(Box::new(message)));
            }
            Event::Delivered { message_id, .. } => {
                (self.tell)(MediaEvent::ChatDelivered { message_id, code: 200, reason: "OK".to_owned() });
            }
            Event::NotDelivered { message_id, code, reason, .. } => {
                (self.tell)(MediaEvent::ChatNotDelivered { message_id, code, reason });
            }
            Event::SessionClosed { .. } => self.wire.close_after_writing(),
            _ => {}
        }
    }
}

/// A message as the application gets it: out of its CPIM wrapping, if it has one that can be read.
fn receive(message_id: String, content_type: String, body: Bytes) -> ReceivedMessage {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("message/cpim")
        && let Ok(message) = CpimMessage::parse(&body)
    {
        let headers = message.headers();
        return ReceivedMessage {
            message_id,
            content: message.body().clone(),
            content_type: message.content_type().unwrap_or("text/plain").to_owned(),
            cpim_headers: headers.map(|one| (one.name.to_owned(), one.text().into_owned())).collect(),
        };
    }
    ReceivedMessage { message_id, content: body, content_type, cpim_headers: Vec::new() }
}
