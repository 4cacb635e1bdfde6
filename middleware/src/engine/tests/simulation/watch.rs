//! What has to hold at every step, whatever the network and the people do.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip_core::{Limits, Message, Method};

use crate::session::{SessionId, State};

/// Lines that are kept for the report of a failure.
const LINES: usize = 400;
/// An INVITE without an answer is given up after so long (RFC 3261 §17.1.1.2, 64 × T1).
const GIVEN_UP: Duration = Duration::from_secs(32);

/// What happened in a world, the last of it; a failure shows it and names the seed.
#[derive(Clone)]
pub(super) struct Journal {
    seed: u64,
    start: Instant,
    lines: Rc<RefCell<VecDeque<String>>>,
    aloud: bool,
}

impl Journal {
    pub(super) fn new(seed: u64, start: Instant) -> Self {
        let aloud = std::env::var_os("SIMULATE_ALOUD").is_some();
        Self { seed, start, lines: Rc::default(), aloud }
    }

    pub(super) fn note(&self, now: Instant, line: impl FnOnce() -> String) {
        let at = now.saturating_duration_since(self.start).as_secs_f64();
        let line = format!("{at:9.3} {}", line());
        if self.aloud {
            println!("{line}");
        }
        let mut lines = self.lines.borrow_mut();
        if lines.len() >= LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// Something that must not happen has.
    pub(super) fn fail(&self, what: &str) -> ! {
        let lines: Vec<String> = self.lines.borrow().iter().cloned().collect();
        let again = format!("./dev simulate --seed {}", self.seed);
        panic!("{}\nseed {}: {what}\nagain, by: {again}", lines.join("\n"), self.seed);
    }

    pub(super) fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.fail(&what());
        }
    }
}

/// The sessions of one party: how they change and that they end.
#[derive(Default)]
pub(super) struct Sessions {
    states: BTreeMap<SessionId, State>,
    ended: BTreeSet<SessionId>,
}

impl Sessions {
    /// A session tells of a change.
    pub(super) fn changed(&mut self, journal: &Journal, id: SessionId, from: State, to: State) {
        let before = self.states.insert(id, to).unwrap_or(State::Null);
        journal.check(before == from, || format!("{id} was {before} and tells of a change from {from}"));
        journal.check(from.may_become(to), || format!("{id} went from {from} to {to}"));
        journal.check(!self.ended.contains(&id), || format!("{id} changed to {to} after its end"));
    }

    pub(super) fn ended(&mut self, journal: &Journal, id: SessionId) {
        journal.check(self.ended.insert(id), || format!("{id} ended twice"));
        let state = self.states.get(&id).copied().unwrap_or(State::Null);
        journal.check(state == State::Terminated, || format!("{id} ended in {state}"));
    }

    /// Those that have not ended.
    pub(super) fn living(&self) -> Vec<(SessionId, State)> {
        let living = self.states.iter().filter(|(id, _)| !self.ended.contains(id));
        living.map(|(id, state)| (*id, *state)).collect()
    }

    pub(super) fn state(&self, id: SessionId) -> Option<State> {
        self.states.get(&id).copied()
    }

    /// How many there were.
    pub(super) fn count(&self) -> usize {
        self.states.len()
    }
}

/// The INVITEs within calls, as one party sees them: never two at once (RFC 3261 §14.1).
#[derive(Default)]
pub(super) struct Exchanges {
    /// By Call-ID: the CSeq of ours that waits for its answer, since when.
    ours: BTreeMap<String, (u32, Instant)>,
    /// By Call-ID: the CSeq of the peer's that waits for ours.
    theirs: BTreeMap<String, u32>,
    /// By Call-ID: the CSeq of the peer's that was answered last.
    answered: BTreeMap<String, u32>,
}

impl Exchanges {
    pub(super) fn sent(&mut self, journal: &Journal, now: Instant, data: &Bytes) {
        let Some(seen) = Seen::of(data) else { return };
        match seen.status {
            None if seen.within => {
                match self.ours.get(&seen.call_id).copied() {
                    Some((number, _)) if number == seen.number => return,
                    Some((number, since)) => {
                        let over = now.saturating_duration_since(since) >= GIVEN_UP;
                        journal.check(over, || {
                            format!(
                                "INVITE {} of {} leaves while {number} is open",
                                seen.number, seen.call_id
                            )
                        });
                    }
                    None => {}
                }
                let theirs = self.theirs.get(&seen.call_id);
                journal.check(theirs.is_none(), || {
                    format!("INVITE {} of {} leaves before the peer's is answered", seen.number, seen.call_id)
                });
                self.ours.insert(seen.call_id, (seen.number, now));
            }
            Some(status) if status >= 200 => {
                if self.theirs.get(&seen.call_id) == Some(&seen.number) {
                    self.theirs.remove(&seen.call_id);
                }
                self.answered.insert(seen.call_id, seen.number);
            }
            _ => {}
        }
    }

    /// `datagram`: an answer that we see leave is an answer given; on a connection that dies it may
    /// have been given and never be seen.
    pub(super) fn received(&mut self, data: &Bytes, datagram: bool) {
        let Some(seen) = Seen::of(data) else { return };
        match seen.status {
            None if seen.within => {
                let new = self.answered.get(&seen.call_id).is_none_or(|last| seen.number > *last);
                // One that crosses ours is answered 491, whatever else is open.
                if new && datagram {
                    self.theirs.insert(seen.call_id, seen.number);
                }
            }
            Some(status)
                if status >= 200
                    && self.ours.get(&seen.call_id).is_some_and(|(number, _)| *number == seen.number) =>
            {
                self.ours.remove(&seen.call_id);
            }
            _ => {}
        }
    }
}

/// What of an INVITE, or an answer to one, matters here.
struct Seen {
    call_id: String,
    number: u32,
    status: Option<u16>,
    /// Whether it is within a call.
    within: bool,
}

impl Seen {
    fn of(data: &Bytes) -> Option<Self> {
        let (headers, status, within) = match Message::parse(data.clone(), &Limits::default()).ok()? {
            Message::Request(request) if *request.method() == Method::Invite => {
                let within = request.to().ok()?.tag().is_some();
                (request.headers().clone(), None, within)
            }
            Message::Request(_) => return None,
            Message::Response(response) => (response.headers().clone(), Some(response.status().code()), true),
        };
        let (number, method) = headers.text("CSeq")?.split_once(' ')?;
        (method.trim() == "INVITE").then_some(())?;
        let call_id = headers.text("Call-ID")?.to_owned();
        Some(Self { call_id, number: number.parse().ok()?, status, within })
    }
}

/// Something in short, for the journal.
pub(super) fn summary(data: &Bytes) -> String {
    match Message::parse(data.clone(), &Limits::default()) {
        Ok(Message::Request(request)) => {
            let cseq = request.headers().text("CSeq").unwrap_or_default();
            let call = request.headers().text("Call-ID").unwrap_or_default();
            format!("{} ({cseq}, {})", request.method(), call.get(..6).unwrap_or(call))
        }
        Ok(Message::Response(response)) => {
            let cseq = response.headers().text("CSeq").unwrap_or_default();
            let call = response.headers().text("Call-ID").unwrap_or_default();
            format!("{} ({cseq}, {})", response.status().code(), call.get(..6).unwrap_or(call))
        }
        Err(_) => format!("{} bytes", data.len()),
    }
}
