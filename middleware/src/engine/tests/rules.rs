//! What has to hold of everything that an agent tells and sends, in every test.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use sip_core::{Message, Method};

use crate::notification::{Event, Originator, SessionEvent};
use crate::session::{Direction, SessionId, SessionSnapshot, State, StreamSet};

/// The book of what one agent told and sent.
#[derive(Default)]
pub(super) struct Rules {
    /// What every rule that was broken says; tests look at it.
    pub(super) broken: Vec<String>,
    pub(super) states: Vec<(SessionId, State, State)>,
    pub(super) ended: Vec<SessionId>,
    /// Sessions that are neither NULL nor TERMINATED, as the manager has them.
    pub(super) live: BTreeSet<SessionId>,
    /// The state that was told last, and whether DidFail was told.
    told: HashMap<SessionId, (State, bool)>,
    /// Our re-INVITEs without a final response, by Call-ID.
    reinvites: HashMap<String, String>,
}

impl Rules {
    /// Keeps the book of what was told, and looks whether the attributes say the same.
    pub(super) fn hear(&mut self, session: SessionId, snapshot: &SessionSnapshot, event: &Event) {
        let (state, failed) = self.told.get(&session).copied().unwrap_or((State::Null, false));
        let mut wrong = Vec::new();
        if self.ended.contains(&session) {
            wrong.push("something is told after DidEnd".to_owned());
        }
        if let Event::Session(event) = event {
            if let SessionEvent::ChangedState { prev_state, state: new } = event {
                self.states.push((session, *prev_state, *new));
                if *prev_state != state {
                    wrong.push(format!("the state was {state}"));
                }
                if failed {
                    wrong.push("the state changes after DidFail".to_owned());
                }
                self.told.insert(session, (*new, failed));
                match new {
                    State::Terminated => self.live.remove(&session),
                    _ => self.live.insert(session),
                };
            }
            if let SessionEvent::DidFail { .. } = event {
                if state != State::Terminated || failed {
                    wrong.push(format!("DidFail in {state}, before: {failed}"));
                }
                self.told.insert(session, (state, true));
            }
            if let SessionEvent::DidEnd { .. } = event {
                if state != State::Terminated {
                    wrong.push(format!("DidEnd in {state}"));
                }
                self.ended.push(session);
            }
            wrong.extend(disagreement(snapshot, event));
        }
        let told = self.told.get(&session).map_or(State::Null, |(state, _)| *state);
        if snapshot.state != told {
            wrong.push(format!("the attribute says {}, the notifications {told}", snapshot.state));
        }
        let name = event.name();
        self.broken.extend(wrong.into_iter().map(|wrong| format!("{session} {name}: {wrong}")));
    }

    /// Never two re-INVITEs of ours in a dialog at once (RFC 3261 §14.1).
    pub(super) fn watch(&mut self, data: &Bytes, sent: bool) {
        match Message::parse(data.clone(), &sip_core::Limits::default()) {
            Ok(Message::Request(request)) if sent && *request.method() == Method::Invite => {
                let text = |name| request.headers().text(name).unwrap_or_default().to_owned();
                if request.to().is_ok_and(|to| to.tag().is_some()) {
                    let (call, cseq) = (text("Call-ID"), text("CSeq"));
                    let before = self.reinvites.insert(call, cseq.clone());
                    if before.is_some_and(|before| before != cseq) {
                        self.broken.push(format!("a re-INVITE ({cseq}) while another is out"));
                    }
                }
            }
            Ok(Message::Response(response)) if !sent && response.status().is_final() => {
                let text = |name| response.headers().text(name).unwrap_or_default();
                if self.reinvites.get(text("Call-ID")).is_some_and(|cseq| cseq == text("CSeq")) {
                    self.reinvites.remove(text("Call-ID"));
                }
            }
            _ => {}
        }
    }
}

/// Where attributes say something else than the notification that comes with them.
fn disagreement(snapshot: &SessionSnapshot, event: &SessionEvent) -> Option<String> {
    use Originator::{Local, Remote};
    let recording = || snapshot.audio.as_ref().and_then(|audio| audio.recording_file_name.as_ref());
    let agrees = match event {
        SessionEvent::ChangedState { state, .. } => snapshot.state == *state,
        SessionEvent::NewIncoming { has_audio, has_chat, has_file } => {
            let streams = StreamSet { audio: *has_audio, chat: *has_chat, file: *has_file };
            snapshot.proposed_streams == streams && snapshot.direction == Some(Direction::Incoming)
        }
        SessionEvent::NewOutgoing { .. } => snapshot.direction == Some(Direction::Outgoing),
        SessionEvent::DidStart => snapshot.state == State::Established && snapshot.start_time.is_some(),
        SessionEvent::DidFail { .. } => snapshot.stop_time.is_some(),
        SessionEvent::DidEnd { .. } => {
            snapshot.stop_time.is_some()
                && snapshot.streams().is_empty()
                && snapshot.route.is_none()
                && snapshot.credentials.is_none()
                && !snapshot.on_hold()
        }
        SessionEvent::GotHoldRequest { originator: Local } => snapshot.on_hold_by_local,
        SessionEvent::GotUnholdRequest { originator: Local } => !snapshot.on_hold_by_local,
        SessionEvent::GotHoldRequest { originator: Remote } => snapshot.on_hold_by_remote,
        SessionEvent::GotUnholdRequest { originator: Remote } => !snapshot.on_hold_by_remote,
        SessionEvent::GotStreamProposal { proposer: Remote, adds_audio, adds_chat, adds_file } => {
            let adds = StreamSet { audio: *adds_audio, chat: *adds_chat, file: *adds_file };
            snapshot.state == State::Proposed && snapshot.proposed_streams == adds
        }
        SessionEvent::GotStreamProposal { proposer: Local, .. } => snapshot.state == State::Proposing,
        SessionEvent::AcceptedStreamProposal { .. } | SessionEvent::RejectedStreamProposal { .. } => {
            snapshot.state == State::Established && snapshot.proposed_streams.is_empty()
        }
        SessionEvent::GotStreamUpdate { streams } => {
            let files = StreamSet { file: true, ..*streams };
            files.contains(snapshot.streams())
                && snapshot.streams().contains(StreamSet { file: false, ..*streams })
        }
        SessionEvent::WillStartRecordingAudio { file_name } => recording() == Some(file_name),
        SessionEvent::DidStopRecordingAudio { .. } | SessionEvent::RecordingAudioDidFail { .. } => {
            recording().is_none()
        }
        _ => true,
    };
    (!agrees).then(|| format!("the attributes disagree: {snapshot:?}"))
}
