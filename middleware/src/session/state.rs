//! The states of a session and what is legal in each.

use std::fmt;

use crate::error::Error;

/// The state of a session. Hold is not a state.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing was asked of it yet.
    Null,
    /// We call.
    Calling,
    /// We are called.
    Incoming,
    /// We accepted; media and the ACK are awaited.
    Accepting,
    /// It runs.
    Established,
    /// We propose more streams.
    Proposing,
    /// The peer proposes more streams.
    Proposed,
    /// It is being ended from here.
    Terminating,
    /// It is over.
    Terminated,
}

impl State {
    /// All states, in the order of a life.
    pub const ALL: [State; 9] = [
        State::Null,
        State::Calling,
        State::Incoming,
        State::Accepting,
        State::Established,
        State::Proposing,
        State::Proposed,
        State::Terminating,
        State::Terminated,
    ];

    /// `NULL`, `CALLING`, …
    pub fn name(self) -> &'static str {
        match self {
            State::Null => "NULL",
            State::Calling => "CALLING",
            State::Incoming => "INCOMING",
            State::Accepting => "ACCEPTING",
            State::Established => "ESTABLISHED",
            State::Proposing => "PROPOSING",
            State::Proposed => "PROPOSED",
            State::Terminating => "TERMINATING",
            State::Terminated => "TERMINATED",
        }
    }

    /// Whether its streams are agreed on and nobody has ended it.
    pub(crate) fn is_running(self) -> bool {
        matches!(self, State::Established | State::Proposing | State::Proposed)
    }

    /// Whether a change from this state to `next` is one of the table of the API.
    pub fn may_become(self, next: State) -> bool {
        use State::{
            Accepting, Calling, Established, Incoming, Null, Proposed, Proposing, Terminated, Terminating,
        };
        match self {
            Null => matches!(next, Calling | Incoming),
            Calling => matches!(next, Established | Terminating | Terminated),
            Incoming => matches!(next, Accepting | Terminating | Terminated),
            Accepting => matches!(next, Established | Terminating | Terminated),
            Established => matches!(next, Proposing | Proposed | Terminating | Terminated),
            Proposing | Proposed => matches!(next, Established | Terminating | Terminated),
            Terminating => next == Terminated,
            Terminated => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an application can ask of a session.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// `connect` (`new` in the 2009 API).
    Connect,
    /// `accept`
    Accept,
    /// `start_early_media`
    StartEarlyMedia,
    /// `reject`
    Reject,
    /// `hold`
    Hold,
    /// `unhold`
    Unhold,
    /// `restart_ice`
    RestartIce,
    /// `start_recording_audio`
    StartRecordingAudio,
    /// `stop_recording_audio`
    StopRecordingAudio,
    /// `set_muted`
    SetMuted,
    /// `attach_pcm`
    AttachPcm,
    /// `send_dtmf`
    SendDtmf,
    /// `transfer`
    Transfer,
    /// `accept_transfer`
    AcceptTransfer,
    /// `reject_transfer`
    RejectTransfer,
    /// [`Conference::add`](super::Conference::add)
    JoinConference,
    /// [`Conference::remove`](super::Conference::remove)
    LeaveConference,
    /// `send_message`
    SendMessage,
    /// `composing`
    Composing,
    /// `displayed`
    Displayed,
    /// `set_nickname`
    SetNickname,
    /// `add_audio`
    AddAudio,
    /// `add_chat`
    AddChat,
    /// `remove_audio`
    RemoveAudio,
    /// `remove_chat`
    RemoveChat,
    /// `send_file`
    SendFile,
    /// `request_file`
    RequestFile,
    /// `remove_file`
    RemoveFile,
    /// `accept_proposal`
    AcceptProposal,
    /// `reject_proposal`
    RejectProposal,
    /// `terminate`
    Terminate,
}

impl Operation {
    /// All of them.
    pub const ALL: [Operation; 31] = [
        Operation::Connect,
        Operation::Accept,
        Operation::StartEarlyMedia,
        Operation::Reject,
        Operation::Hold,
        Operation::RestartIce,
        Operation::Unhold,
        Operation::StartRecordingAudio,
        Operation::StopRecordingAudio,
        Operation::SetMuted,
        Operation::AttachPcm,
        Operation::SendDtmf,
        Operation::Transfer,
        Operation::AcceptTransfer,
        Operation::RejectTransfer,
        Operation::JoinConference,
        Operation::LeaveConference,
        Operation::SendMessage,
        Operation::Composing,
        Operation::Displayed,
        Operation::SetNickname,
        Operation::AddAudio,
        Operation::AddChat,
        Operation::RemoveAudio,
        Operation::RemoveChat,
        Operation::SendFile,
        Operation::RequestFile,
        Operation::RemoveFile,
        Operation::AcceptProposal,
        Operation::RejectProposal,
        Operation::Terminate,
    ];

    /// The method's name.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Connect => "connect",
            Operation::Accept => "accept",
            Operation::StartEarlyMedia => "start_early_media",
            Operation::Reject => "reject",
            Operation::Hold => "hold",
            Operation::RestartIce => "restart_ice",
            Operation::Unhold => "unhold",
            Operation::StartRecordingAudio => "start_recording_audio",
            Operation::StopRecordingAudio => "stop_recording_audio",
            Operation::SetMuted => "set_muted",
            Operation::AttachPcm => "attach_pcm",
            Operation::SendDtmf => "send_dtmf",
            Operation::Transfer => "transfer",
            Operation::AcceptTransfer => "accept_transfer",
            Operation::RejectTransfer => "reject_transfer",
            Operation::JoinConference => "join_conference",
            Operation::LeaveConference => "leave_conference",
            Operation::SendMessage => "send_message",
            Operation::Composing => "composing",
            Operation::Displayed => "displayed",
            Operation::SetNickname => "set_nickname",
            Operation::AddAudio => "add_audio",
            Operation::AddChat => "add_chat",
            Operation::RemoveAudio => "remove_audio",
            Operation::RemoveChat => "remove_chat",
            Operation::SendFile => "send_file",
            Operation::RequestFile => "request_file",
            Operation::RemoveFile => "remove_file",
            Operation::AcceptProposal => "accept_proposal",
            Operation::RejectProposal => "reject_proposal",
            Operation::Terminate => "terminate",
        }
    }

    /// The states in which it may be asked for.
    pub fn legal_in(self) -> &'static [State] {
        match self {
            Operation::Connect => &[State::Null],
            Operation::Accept | Operation::StartEarlyMedia | Operation::Reject => &[State::Incoming],
            // Early media speak before the call is accepted.
            Operation::AttachPcm => &[State::Incoming, State::Established],
            Operation::Hold
            | Operation::RestartIce
            | Operation::Unhold
            | Operation::StartRecordingAudio
            | Operation::SendDtmf
            | Operation::Transfer
            | Operation::AcceptTransfer
            | Operation::RejectTransfer
            | Operation::JoinConference
            | Operation::SendMessage
            | Operation::Composing
            | Operation::Displayed
            | Operation::SetNickname
            | Operation::AddAudio
            | Operation::AddChat
            | Operation::RemoveAudio
            | Operation::RemoveChat
            | Operation::SendFile
            | Operation::RequestFile
            | Operation::RemoveFile => &[State::Established],
            // Recordings and conferences go on during a proposal, and can be left in it.
            Operation::StopRecordingAudio | Operation::SetMuted | Operation::LeaveConference => {
                &[State::Established, State::Proposing, State::Proposed]
            }
            Operation::AcceptProposal | Operation::RejectProposal => &[State::Proposed],
            Operation::Terminate => &State::ALL,
        }
    }

    /// An error that names the operation, the state and where it would be legal.
    pub(crate) fn check(self, state: State) -> Result<(), Error> {
        if self.legal_in().contains(&state) {
            Ok(())
        } else {
            Err(Error::IllegalState { operation: self, state })
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The column "legal in" of the API's table of methods, written out once more.
    fn legal(operation: Operation, state: State) -> bool {
        match operation.name() {
            "connect" => state == State::Null,
            "accept" | "start_early_media" | "reject" => state == State::Incoming,
            "attach_pcm" => matches!(state, State::Incoming | State::Established),
            "accept_proposal" | "reject_proposal" => state == State::Proposed,
            "terminate" => true,
            "stop_recording_audio" | "set_muted" | "leave_conference" => {
                matches!(state, State::Established | State::Proposing | State::Proposed)
            }
            _ => state == State::Established,
        }
    }

    #[test]
    fn every_operation_is_legal_just_where_the_api_says() {
        for operation in Operation::ALL {
            for state in State::ALL {
                let checked = operation.check(state);
                assert_eq!(checked.is_ok(), legal(operation, state), "{operation} in {state}");
                if let Err(error) = checked {
                    let text = error.to_string();
                    assert!(text.contains(operation.name()) && text.contains(state.name()), "{text}");
                    assert!(text.contains(operation.legal_in()[0].name()), "{text}");
                }
            }
        }
    }

    #[test]
    fn nothing_leaves_terminated_and_nothing_returns_to_null() {
        for state in State::ALL {
            assert!(!State::Terminated.may_become(state));
            assert!(!state.may_become(State::Null));
            assert!(!state.may_become(state), "{state} to itself is no change");
        }
    }
}
