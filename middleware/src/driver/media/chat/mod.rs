//! The task of a chat stream: its connection, the MSRP machine on it, and the next one where it is lost.
//!
//! ```text
//!   open ──▶ ChatReady ──Run──▶ connect ──▶ ChatStarted ──▶ [ talk ] ──commands end──▶ Stopped
//!                                  ▲                           │
//!                                  └──Run── ChatLost ◀── open ─┘ lost, or the peer is elsewhere now
//! ```
//! Messages stay with the task until their fate is known. What is not known when a connection is lost is sent
//! again over the next one with the same identifiers, by which the peer knows it (RFC 4975 §5.4).

mod talk;
mod unsettled;

use msrp_cpim::{Event, LimitError, MsrpUri, SessionConfig, SessionMemory, UsageError};
use tokio::sync::mpsc;

use self::talk::Talk;
use self::unsettled::Unsettled;
use super::msrp::{End, Ends, Peer, Standing};
use crate::driver::clock;
use crate::notification::{Backlog, ChatFailureContext, MsrpChatEvent};
use crate::session::{ChatAction, ChatMessage, ChatParameters, ChatPreparation, MediaEvent};

/// What a chat task is told. Its end is told by the end of its commands.
#[derive(Debug)]
pub(super) enum ChatCommand {
    Run(Box<ChatParameters>),
    Send(Box<ChatMessage>),
    Act(ChatAction),
}

/// Makes an end, waits for the descriptions to come to something, and runs a chat until its commands end or
/// its connection is lost for good. Every message that was sent has its fate told before the end is.
pub(super) async fn run(
    ends: Ends,
    preparation: ChatPreparation,
    mut commands: mpsc::UnboundedReceiver<ChatCommand>,
    backlog: Backlog,
    tell: impl Fn(MediaEvent) + Send,
) {
    let mut unsettled = Unsettled::default();
    let ran = match ends.open(&preparation).await {
        Ok(end) => {
            tell(MediaEvent::ChatReady { path: end.path(), fingerprint: end.fingerprint() });
            let play = Play { ends: &ends, preparation: &preparation, backlog: &backlog, tell: &tell };
            play.run(end, &mut commands, &mut unsettled).await
        }
        Err(error) => Err((ChatFailureContext::Initialize, format!("a place for MSRP: {error}"))),
    };
    let reason = match ran {
        Ok(()) => "the chat has ended".to_owned(),
        Err((_, ref reason)) => reason.clone(),
    };
    for message_id in unsettled.into_ids() {
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

/// Connections one after the other over which nothing went.
const IN_VAIN: u32 = 5;

/// Where it failed, and why.
type Failure = (ChatFailureContext, String);

type Commands = mpsc::UnboundedReceiver<ChatCommand>;

struct Play<'t, F> {
    ends: &'t Ends,
    preparation: &'t ChatPreparation,
    backlog: &'t Backlog,
    tell: &'t F,
}

impl<F: Fn(MediaEvent) + Send> Play<'_, F> {
    async fn run(
        &self,
        mut end: End,
        commands: &mut Commands,
        unsettled: &mut Unsettled,
    ) -> Result<(), Failure> {
        let mut memory = SessionMemory::default();
        let mut parameters = self.parameters(&mut end, None, commands, unsettled).await?;
        let mut place = ChatFailureContext::Start;
        let mut in_vain = 0;
        loop {
            let standing = self.connect(end, &parameters, memory, commands, unsettled).await;
            let standing = standing.map_err(|error| (place, error.to_string()))?;
            (self.tell)(MediaEvent::ChatStarted);
            place = ChatFailureContext::Reading;
            let reconnects = parameters.reconnect;
            let patience = parameters.reconnect_patience;
            let talk = Talk::new(*parameters, clock::seed());
            let mut chat = Chat {
                standing,
                talk,
                unsettled,
                backlog: self.backlog,
                tell: self.tell,
                closed: None,
                was_of_use: false,
            };
            let ended = chat.run(commands).await;
            let Chat { mut standing, closed, was_of_use, .. } = chat;
            in_vain = if was_of_use { 0 } else { in_vain + 1 };
            let for_good = !reconnects || in_vain > IN_VAIN || closed.is_some_and(|code| !passes(code));
            match ended {
                Ended::Asked => return Ok(()),
                Ended::Moved(next) => {
                    (end, memory) = standing.detach();
                    parameters = next;
                }
                Ended::Lost(reason) if for_good => return Err((place, reason)),
                Ended::Lost(reason) => {
                    memory = standing.wire.machine.take_memory(standing.session);
                    drop(standing);
                    end = match self.ends.open(self.preparation).await {
                        Ok(end) => end,
                        Err(error) => return Err((place, format!("{reason}; {error}"))),
                    };
                    let (path, fingerprint) = (end.path(), end.fingerprint());
                    (self.tell)(MediaEvent::ChatLost { path, fingerprint, reason: reason.clone() });
                    let until = clock::now().instant + patience;
                    let again = self.parameters(&mut end, Some(until), commands, unsettled).await;
                    parameters = again.map_err(|_| (place, reason))?;
                }
            }
            unsettled.not_given();
        }
    }

    /// Waits until the descriptions have come to something; messages wait meanwhile.
    async fn parameters(
        &self,
        end: &mut End,
        until: Option<std::time::Instant>,
        commands: &mut Commands,
        unsettled: &mut Unsettled,
    ) -> Result<Box<ChatParameters>, Failure> {
        let failed = |reason: &str| Err((ChatFailureContext::Start, reason.to_owned()));
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(ChatCommand::Run(parameters)) => return Ok(parameters),
                    Some(other) => self.early(other, unsettled),
                    None => return failed("the chat was ended before it began"),
                },
                reason = end.idle() => return failed(&reason),
                () = clock::wait_until(until) => return failed("the peer does not take it up again"),
            }
        }
    }

    async fn connect(
        &self,
        end: End,
        parameters: &ChatParameters,
        memory: SessionMemory,
        commands: &mut Commands,
        unsettled: &mut Unsettled,
    ) -> std::io::Result<Standing> {
        let peer = Peer {
            path: MsrpUri::parse_path(&parameters.remote_path).unwrap_or_default(),
            place: parameters.remote_place.clone(),
            fingerprint: parameters.remote_fingerprint.clone(),
            active: parameters.active,
            patience: parameters.start_timeout,
        };
        let session = SessionConfig {
            accept_types: parameters.accept_types.clone(),
            accept_wrapped_types: parameters.accept_wrapped_types.clone(),
            max_size: parameters.max_message_size,
            memory,
            ..SessionConfig::new(Vec::new(), Vec::new(), parameters.active)
        };
        let mut connecting = std::pin::pin!(self.ends.connect(end, &peer, session));
        loop {
            tokio::select! {
                standing = &mut connecting => return standing,
                command = commands.recv() => match command {
                    Some(ChatCommand::Run(_)) => {}
                    Some(other) => self.early(other, unsettled),
                    None => return Err(std::io::Error::other("the chat was ended before it was connected")),
                },
            }
        }
    }

    /// What is asked for while there is no connection.
    fn early(&self, command: ChatCommand, unsettled: &mut Unsettled) {
        match command {
            ChatCommand::Send(message) => take(*message, unsettled, self.tell),
            ChatCommand::Act(ChatAction::Nickname(nickname)) => {
                let reason = "the chat is not connected".to_owned();
                let event = MsrpChatEvent::DidNotSetNickname { nickname, code: 0, reason };
                (self.tell)(MediaEvent::ChatTold(event));
            }
            // Of no interest to who is not there.
            ChatCommand::Act(ChatAction::Composing | ChatAction::Displayed(_)) | ChatCommand::Run(_) => {}
        }
    }
}

/// Whether a session that ended with this code may be taken up again: the connection is lost (408), or a relay on
/// the way has forgotten one of its URIs (481). If it was the peer that has forgotten it, it will say so again.
fn passes(code: u16) -> bool {
    matches!(code, 408 | 481)
}

/// Keeps a message until its fate is known.
fn take(message: ChatMessage, unsettled: &mut Unsettled, tell: &impl Fn(MediaEvent)) {
    if let Err(message_id) = unsettled.push(message) {
        let reason = "too much waits to be sent".to_owned();
        tell(MediaEvent::ChatNotDelivered { message_id, code: 0, reason });
    }
}

/// Why a chat runs no more.
enum Ended {
    Asked,
    Lost(String),
    /// The peer has told another place of its own.
    Moved(Box<ChatParameters>),
}

/// A chat with its connection.
struct Chat<'t, F> {
    standing: Standing,
    talk: Talk,
    unsettled: &'t mut Unsettled,
    /// While it is full nothing is read.
    backlog: &'t Backlog,
    tell: &'t F,
    /// The code with which its session was closed.
    closed: Option<u16>,
    /// Whether anything went over it.
    was_of_use: bool,
}

impl<F: Fn(MediaEvent)> Chat<'_, F> {
    async fn run(&mut self, commands: &mut Commands) -> Ended {
        let mut asked_to_end = false;
        self.give();
        loop {
            if !asked_to_end && let Some(message) = self.talk.poll(clock::now().wall) {
                self.send(message);
            }
            let waits = self.backlog.is_full() && !asked_to_end;
            // One that has ended reads nothing.
            let _ = self.standing.wire.machine.pause(self.standing.session, waits);
            tokio::select! {
                () = self.backlog.room(), if waits => {}
                command = commands.recv(), if !asked_to_end => match command {
                    Some(ChatCommand::Send(message)) => {
                        take(*message, self.unsettled, self.tell);
                        self.give();
                    }
                    Some(ChatCommand::Act(action)) => self.act(action),
                    Some(ChatCommand::Run(next)) if next.remote_path != self.talk.parameters.remote_path => {
                        return Ended::Moved(next);
                    }
                    // A chat that runs goes on as it is: its connection stands.
                    Some(ChatCommand::Run(_)) => {}
                    None => {
                        asked_to_end = true;
                        self.standing.wire.disconnect();
                    }
                },
                event = self.standing.wire.next() => match event {
                    Some(event) => self.happened(event, asked_to_end),
                    None => break,
                },
                () = clock::wait_until(self.talk.deadline()) => {
                    self.talk.handle_timeout(clock::now().instant).into_iter().for_each(self.tell);
                }
            }
        }
        match asked_to_end {
            true => Ended::Asked,
            false => Ended::Lost(self.standing.wire.failure().to_owned()),
        }
    }

    /// Gives the machine what waits, as far as it takes it.
    fn give(&mut self) {
        while let Some(message) = self.unsettled.next() {
            let message_id = message.message_id.clone();
            let clock = clock::now();
            let sent = self.talk.outgoing(clock.wall, message).and_then(|outgoing| {
                self.standing.wire.machine.send(clock.instant, self.standing.session, outgoing).map(drop)
            });
            match sent {
                Ok(()) => self.unsettled.given(),
                // Goes on with `Event::Writable`, or on the next connection.
                Err(UsageError::Limit(LimitError::QueueFull | LimitError::Closed)) => return,
                Err(error) => {
                    self.unsettled.settle(&message_id);
                    let reason = error.to_string();
                    (self.tell)(MediaEvent::ChatNotDelivered { message_id, code: 0, reason });
                }
            }
        }
    }

    /// Sends what nobody is told the fate of.
    fn send(&mut self, message: msrp_cpim::OutgoingMessage) {
        let (now, session) = (clock::now().instant, self.standing.session);
        if let Err(error) = self.standing.wire.machine.send(now, session, message) {
            tracing::debug!(%error, "a notification in a chat was not sent");
        }
    }

    fn act(&mut self, action: ChatAction) {
        let now = clock::now().instant;
        match action {
            ChatAction::Composing => self.talk.composed(now),
            ChatAction::Displayed(message_id) => {
                if let Some(notification) = self.talk.displayed(&message_id) {
                    self.send(notification);
                }
            }
            ChatAction::Nickname(nickname) => {
                let asked = match self.talk.parameters.chatroom.as_ref().is_some_and(|room| room.nickname) {
                    true => self.standing.wire.machine.nickname(now, self.standing.session, &nickname),
                    false => Err(UsageError::NoSuchSession),
                };
                let reason = match asked {
                    Ok(()) => return,
                    Err(UsageError::NoSuchSession) => "the peer knows no nicknames".to_owned(),
                    Err(error) => error.to_string(),
                };
                let event = MsrpChatEvent::DidNotSetNickname { nickname, code: 0, reason };
                (self.tell)(MediaEvent::ChatTold(event));
            }
        }
    }

    fn happened(&mut self, event: Event, asked_to_end: bool) {
        match event {
            Event::Message { message_id, content_type, body, .. } => {
                self.was_of_use = true;
                let now = clock::now().instant;
                let heard = self.talk.received(now, message_id, content_type, body);
                heard.told.into_iter().for_each(self.tell);
                if let Some(reply) = heard.reply {
                    self.send(reply);
                }
            }
            Event::Delivered { message_id, .. } if self.unsettled.settle(&message_id) => {
                self.was_of_use = true;
                (self.tell)(MediaEvent::ChatDelivered { message_id, code: 200, reason: "OK".to_owned() });
            }
            Event::NotDelivered { message_id, code, reason, .. } => {
                let over = !self.standing.wire.machine.has_session(self.standing.session);
                // Not known for now: it goes over the next connection.
                let goes_on = passes(code) && over && !asked_to_end && self.talk.parameters.reconnect;
                if !goes_on && self.unsettled.settle(&message_id) {
                    (self.tell)(MediaEvent::ChatNotDelivered { message_id, code, reason });
                }
            }
            Event::Writable => self.give(),
            Event::Nickname { nickname, code, reason, .. } => {
                (self.tell)(MediaEvent::ChatTold(match code {
                    200 => MsrpChatEvent::DidSetNickname { nickname },
                    _ => MsrpChatEvent::DidNotSetNickname { nickname, code, reason },
                }));
            }
            Event::SessionClosed { code, .. } => {
                self.closed = Some(code);
                self.standing.wire.close_after_writing();
            }
            _ => {}
        }
    }
}
