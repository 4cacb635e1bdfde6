//! Every operation in every state, on a session that is in it: what is not legal is refused by an error that
//! names both, and changes nothing.

use std::time::Duration;

use testkit::{Clock, Host, Link, Network, run};

use super::agent::{Agent, Log};
use crate::error::Error;
use crate::session::{Operation, State};

/// How Alice's session comes to each state.
const WAYS: [(State, &[&str]); 8] = [
    (State::Calling, &["alice connect audio,chat"]),
    (State::Incoming, &["bob connect audio,chat to=alice"]),
    (
        State::Accepting,
        &["bob connect audio,chat to=alice", "alice set media=slow", "alice accept audio,chat"],
    ),
    (State::Established, &["alice connect audio,chat", "bob accept audio,chat"]),
    (State::Proposing, &["alice connect audio", "bob accept audio", "alice add chat"]),
    (State::Proposed, &["alice connect audio", "bob accept audio", "bob add chat"]),
    (State::Terminating, &["alice connect audio", "bob accept audio", "@ alice terminate"]),
    (State::Terminated, &["alice connect audio", "bob reject"]),
];

fn command_of(operation: Operation) -> &'static str {
    match operation {
        Operation::Connect => "connect audio",
        Operation::Accept => "accept audio",
        Operation::StartEarlyMedia => "early-media audio",
        Operation::Reject => "reject",
        Operation::Hold => "hold",
        Operation::Unhold => "unhold",
        Operation::RestartIce => "restart-ice",
        Operation::StartRecordingAudio => "record call.wav",
        Operation::StopRecordingAudio => "stop-recording",
        Operation::SetMuted => "mute",
        Operation::AttachPcm => "attach-pcm",
        Operation::SendDtmf => "dtmf 5",
        Operation::Transfer => "transfer",
        Operation::AcceptTransfer => "accept-transfer",
        Operation::RejectTransfer => "reject-transfer",
        Operation::JoinConference => "confer 1",
        Operation::LeaveConference => "confer none",
        Operation::SendMessage => "message hello",
        Operation::Composing => "composing",
        Operation::Displayed => "displayed m1",
        Operation::SetNickname => "nickname Al",
        Operation::AddAudio => "add audio",
        Operation::AddChat => "add chat",
        Operation::RemoveAudio => "remove audio",
        Operation::RemoveChat => "remove chat",
        Operation::SendFile => "send-file photo.jpg",
        Operation::RequestFile => "request-file photo.jpg",
        Operation::RemoveFile => "remove-file x",
        Operation::AcceptProposal => "accept-proposal chat",
        Operation::RejectProposal => "reject-proposal",
        Operation::Terminate => "terminate",
    }
}

/// A session of Alice's in that state, in which she is asked for that.
fn ask(way: &[&str], state: State, operation: Operation) -> (Result<(), Error>, Vec<String>) {
    let log = Log::default();
    let (mut clock, mut network) = (Clock::new(), Network::new(1));
    network.set_default(Link::delayed(Duration::from_millis(10)));
    let start = clock.now();
    let mut alice = Agent::new("alice", 1, true, start, &log);
    let mut bob = Agent::new("bob", 2, false, start, &log);
    for command in way {
        let (command, at_once) = match command.strip_prefix("@ ") {
            Some(command) => (command, true),
            None => (*command, false),
        };
        let words: Vec<&str> = command.split(' ').collect();
        let (agent, peer) = match words[0] {
            "alice" => (&mut alice, bob.address),
            _ => (&mut bob, alice.address),
        };
        agent.command(clock.now(), &words[1..], peer).expect("the way is legal");
        if !at_once {
            let until = clock.now() + Duration::from_secs(1);
            run(&mut clock, &mut network, &mut [&mut alice, &mut bob], until, |_| false);
            clock.advance_to(until);
        }
    }
    alice.flush(clock.now(), &mut network);
    let id = alice.session.expect("a session");
    let known = alice.engine.state_of(id).unwrap_or(State::Terminated);
    assert_eq!(known, state, "the way leads to it");
    log.borrow_mut().clear();
    let peer = bob.address;
    let words: Vec<&str> = command_of(operation).split(' ').collect();
    let done = alice.command_in(clock.now(), id, &words, peer);
    alice.flush(clock.now(), &mut network);
    let happened = std::mem::take(&mut *log.borrow_mut());
    (done, happened)
}

#[test]
fn every_operation_in_every_state() {
    let mut tried = 0;
    for (state, way) in WAYS {
        for operation in Operation::ALL {
            let (done, happened) = ask(way, state, operation);
            let legal = operation.legal_in().contains(&state);
            match done {
                Err(error @ Error::IllegalState { .. }) => {
                    assert!(!legal, "{operation} in {state}: {error}");
                    let text = error.to_string();
                    assert!(text.contains(operation.name()) && text.contains(state.name()), "{text}");
                    assert_eq!(happened, Vec::<String>::new(), "{operation} in {state} changes nothing");
                }
                // Legal, but the session has not what it takes; that changes nothing either.
                Err(error) => {
                    assert!(legal, "{operation} in {state}: {error}");
                    assert_eq!(happened, Vec::<String>::new(), "{operation} in {state} changes nothing");
                }
                Ok(()) => assert!(legal, "{operation} was taken in {state}"),
            }
            tried += 1;
        }
    }
    assert_eq!(tried, 8 * 31, "NULL, in which nothing but connect is legal, has no machine to ask");
}
