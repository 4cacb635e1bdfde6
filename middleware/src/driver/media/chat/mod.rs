//! The task of a chat stream: its connection, and the MSRP machine on it.

use bytes::Bytes;
use msrp_cpim::cpim::{Address, Message as CpimMessage};
use msrp_cpim::{Event, MsrpUri, OutgoingMessage, SessionConfig};
use tokio::sync::mpsc;

use super::msrp::{End, Ends, Peer, Standing};
use crate::driver::clock;
use crate::notification::ChatFailureContext;
use crate::session::{ChatMessage, ChatParameters, ChatPreparation, MediaEvent, ReceivedMessage};

/// What a chat task is told. Its end is told by the end of its commands.
#[derive(Debug)]
pub(super) enum ChatCommand {
    Run(Box<ChatParameters>),
    Send(Box<ChatMessage>),
}

/// Makes an end, waits for the descriptions to come to something, and runs a chat until its commands end or
/// its connection does. Every message that was sent has its fate told before the end is.
pub(super) async fn run(
    ends: Ends,
    preparation: ChatPreparation,
    mut commands: mpsc::UnboundedReceiver<ChatCommand>,
    tell: impl Fn(MediaEvent) + Send,
) {
    let mut waiting = Vec::new();
    let ran = match ends.open(&preparation).await {
        Ok(end) => {
            tell(MediaEvent::ChatReady { path: end.path(), fingerprint: end.fingerprint() });
            play(&ends, end, &mut commands, &mut waiting, &tell).await
        }
        Err(error) => Err((ChatFailureContext::Initialize, format!("a place for MSRP: {error}"))),
    };
    let reason = match ran {
        Ok(()) => "the chat has ended".to_owned(),
        Err((_, ref reason)) => reason.clone(),
    };
    for message_id in waiting {
        tell(MediaEvent::ChatNotDelivered { message_id, code: 0, reason: reason.clone() });
    }
    if let (Err((context, reason)), false) = (ran, commands.is_closed()) {
        tell(MediaEvent::Failed { context, reason });
    }
    while let Some(command) = commands.recv().await {
        if let ChatCommand::Send(message) = command {
            let message_id = message.message_id;
            tell(MediaEvent::ChatNotDelivered { message_id, code: 0, reason: reason.clone() });
        }
    }
    tell(MediaEvent::Stopped);
}

/// Where it failed, and why.
type Failure = (ChatFailureContext, String);

/// `waiting` has the messages that were never given to the machine.
async fn play(
    ends: &Ends,
    mut end: End,
    commands: &mut mpsc::UnboundedReceiver<ChatCommand>,
    waiting: &mut Vec<String>,
    tell: &(impl Fn(MediaEvent) + Send),
) -> Result<(), Failure> {
    let mut early: Vec<ChatMessage> = Vec::new();
    let failed = |early: &[ChatMessage], waiting: &mut Vec<String>, reason: String| {
        waiting.extend(early.iter().map(|message| message.message_id.clone()));
        Err((ChatFailureContext::Start, reason))
    };
    let parameters = loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(ChatCommand::Run(parameters)) => break parameters,
                Some(ChatCommand::Send(message)) => early.push(*message),
                None => return failed(&early, waiting, "the chat was ended before it began".to_owned()),
            },
            reason = end.idle() => return failed(&early, waiting, reason),
        }
    };
    let standing = {
        let path = MsrpUri::parse_path(&parameters.remote_path).unwrap_or_default();
        let peer = Peer {
            path,
            fingerprint: parameters.remote_fingerprint.clone(),
            active: parameters.active,
            patience: parameters.start_timeout,
        };
        let session = SessionConfig {
            accept_types: parameters.accept_types.clone(),
            accept_wrapped_types: parameters.accept_wrapped_types.clone(),
            max_size: parameters.max_message_size,
            ..SessionConfig::new(Vec::new(), Vec::new(), parameters.active)
        };
        let mut connecting = std::pin::pin!(ends.connect(end, &peer, session));
        loop {
            tokio::select! {
                standing = &mut connecting => break standing,
                command = commands.recv() => match command {
                    Some(ChatCommand::Send(message)) => early.push(*message),
                    Some(ChatCommand::Run(_)) => {}
                    None => break Err(std::io::Error::other("the chat was ended before it was connected")),
                },
            }
        }
    };
    let standing = match standing {
        Ok(standing) => standing,
        Err(error) => return failed(&early, waiting, error.to_string()),
    };
    tell(MediaEvent::ChatStarted);
    let mut chat = Chat { standing, parameters: *parameters, tell };
    for message in early {
        chat.send(message);
    }
    chat.run(commands).await
}

/// A chat with its connection.
struct Chat<'t, F> {
    standing: Standing,
    parameters: ChatParameters,
    tell: &'t F,
}

impl<F: Fn(MediaEvent)> Chat<'_, F> {
    async fn run(&mut self, commands: &mut mpsc::UnboundedReceiver<ChatCommand>) -> Result<(), Failure> {
        let mut asked_to_end = false;
        loop {
            tokio::select! {
                command = commands.recv(), if !asked_to_end => match command {
                    Some(ChatCommand::Send(message)) => self.send(*message),
                    // A chat that runs goes on as it is: its connection stands.
                    Some(ChatCommand::Run(_)) => {}
                    None => {
                        asked_to_end = true;
                        self.standing.wire.disconnect();
                    }
                },
                event = self.standing.wire.next() => match event {
                    Some(event) => self.happened(event),
                    None => break,
                },
            }
        }
        match asked_to_end {
            true => Ok(()),
            false => Err((ChatFailureContext::Reading, self.standing.wire.failure().to_owned())),
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
            self.standing.wire.machine.send(now, self.standing.session, outgoing).map(drop)
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
            Event::SessionClosed { .. } => self.standing.wire.close_after_writing(),
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
