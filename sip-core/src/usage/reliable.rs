//! Reliable provisional responses (RFC 3262): what each side keeps of them.

use crate::{
    endpoint::{Body, PrackId, ServerRequest},
    header::RAck,
    transaction::Timers,
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Whether provisional responses are acknowledged (RFC 3262).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reliable {
    /// Never: a peer that requires it is refused with 420.
    Off,
    /// If the peer can: those with a session description, and all of them if the peer requires it.
    #[default]
    Supported,
    /// Always: a peer that cannot is refused with 421.
    Required,
}

/// The reliable responses to one INVITE of the peer's: one at a time is on its way
/// (RFC 3262 §3).
#[derive(Debug)]
pub(crate) struct ReliableServer {
    /// The INVITE.
    pub(crate) server: ServerRequest,
    cseq: u32,
    rseq: u32,
    /// Whether the INVITE carried the offer.
    offered: bool,
    /// Whether a description of ours was acknowledged: the first offer is answered.
    pub(crate) settled: bool,
    outstanding: Option<Outstanding>,
    queue: VecDeque<Queued>,
    /// A 2xx that waits for a PRACK.
    pub(crate) held: Option<Held>,
}

/// What waits for its PRACK.
#[derive(Debug)]
struct Outstanding {
    rseq: u32,
    /// Whether it carried a session description.
    session: bool,
    /// Until a final response was sent.
    repeat: Option<Repeat>,
}

#[derive(Debug)]
struct Repeat {
    data: Bytes,
    interval: Duration,
    again: Instant,
    give_up: Instant,
}

/// A provisional response that waits for its turn.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) status: crate::StatusCode,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Body>,
}

/// A 2xx that waits.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Option<Body>,
}

/// What is to be done when a timer fired.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReliableAction {
    None,
    Retransmit(Bytes),
    GiveUp,
}

/// What a PRACK of the peer's means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// A body of it answers the offer of our response.
    Answer,
    /// A body of it is another offer (RFC 3262 §5).
    Offer,
}

impl ReliableServer {
    /// For the INVITE of `server`; the first number is `first` (RFC 3262 §3: 1 to 2^31 - 1).
    pub(crate) fn new(server: ServerRequest, cseq: u32, offered: bool, first: u32) -> Self {
        let rseq = (first & 0x3fff_ffff).max(1) - 1;
        Self {
            server,
            cseq,
            rseq,
            offered,
            settled: false,
            outstanding: None,
            queue: VecDeque::new(),
            held: None,
        }
    }

    /// Whether the next one may be sent now.
    pub(crate) fn is_free(&self) -> bool {
        self.queue.is_empty() && !self.is_repeating()
    }

    fn is_repeating(&self) -> bool {
        self.outstanding.as_ref().is_some_and(|o| o.repeat.is_some())
    }

    /// RFC 3262 §3: no 2xx while a response with a session description is not acknowledged.
    pub(crate) fn holds_answer(&self) -> bool {
        self.outstanding.as_ref().is_some_and(|o| o.session && o.repeat.is_some())
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn push(&mut self, queued: Queued) {
        self.queue.push_back(queued);
    }

    /// The next to send, if it may be.
    pub(crate) fn pop(&mut self) -> Option<Queued> {
        if self.is_repeating() { None } else { self.queue.pop_front() }
    }

    pub(crate) fn next_rseq(&self) -> u32 {
        self.rseq + 1
    }

    /// The response of [`Self::next_rseq`] was sent.
    pub(crate) fn sent(&mut self, now: Instant, data: Bytes, session: bool, timers: &Timers) {
        self.rseq += 1;
        let (again, give_up) = (now + timers.t1, now + timers.patience());
        let repeat = Some(Repeat { data, interval: timers.t1, again, give_up });
        self.outstanding = Some(Outstanding { rseq: self.rseq, session, repeat });
    }

    /// A PRACK came; `None` if it is for nothing that waits.
    pub(crate) fn acknowledge(&mut self, rack: &RAck) -> Option<Acknowledged> {
        let ours = |o: &Outstanding| {
            rack.rseq == o.rseq && rack.cseq == self.cseq && rack.method == crate::Method::Invite
        };
        let done = self.outstanding.take_if(|o| ours(o))?;
        let answers = done.session && !self.offered;
        // Our one offer is answered: a further description is one of the peer's.
        self.offered |= done.session;
        self.settled |= done.session;
        Some(if answers { Acknowledged::Answer } else { Acknowledged::Offer })
    }

    /// A final response was sent: nothing is repeated, but a PRACK may still come (RFC 3262 §3).
    pub(crate) fn stop(&mut self) {
        self.queue.clear();
        self.held = None;
        if let Some(outstanding) = &mut self.outstanding {
            outstanding.repeat = None;
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> ReliableAction {
        let Some(repeat) = self.outstanding.as_mut().and_then(|o| o.repeat.as_mut()) else {
            return ReliableAction::None;
        };
        if repeat.give_up <= now {
            self.stop();
            return ReliableAction::GiveUp;
        }
        if repeat.again > now {
            return ReliableAction::None;
        }
        // RFC 3262 §3: it doubles without the bound of T2.
        repeat.interval = repeat.interval.saturating_mul(2);
        repeat.again = now + repeat.interval;
        ReliableAction::Retransmit(repeat.data.clone())
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        let repeat = self.outstanding.as_ref()?.repeat.as_ref()?;
        Some(repeat.again.min(repeat.give_up))
    }
}

/// A response that is not reliable, and is repeated all the same until something of the peer's shows that
/// it came.
#[derive(Debug)]
pub(crate) struct Repeated {
    /// The INVITE.
    server: ServerRequest,
    data: Bytes,
    interval: Duration,
    again: Instant,
    left: u32,
}

impl Repeated {
    /// Was sent now, and will be that many times again.
    pub(crate) fn new(now: Instant, server: ServerRequest, data: Bytes, times: u32, t1: Duration) -> Self {
        Self { server, data, interval: t1, again: now + t1, left: times }
    }

    /// What is to be sent again, if it is time.
    pub(crate) fn due(&mut self, now: Instant) -> Option<(ServerRequest, Bytes)> {
        if self.left == 0 || self.again > now {
            return None;
        }
        // As RFC 3262 §3 has it for reliable ones.
        self.left -= 1;
        self.interval = self.interval.saturating_mul(2);
        self.again = now + self.interval;
        Some((self.server, self.data.clone()))
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        (self.left > 0).then_some(self.again)
    }
}

/// The reliable responses of one dialog to an INVITE of ours (RFC 3262 §4).
#[derive(Debug, Default)]
pub(crate) struct ReliableClient {
    last: Option<u32>,
    /// Whether a description came: the first offer is answered, or about to be.
    pub(crate) settled: bool,
    /// The first description that came, in answer to our offer: a 2xx need not repeat it
    /// (RFC 3262 §5).
    pub(crate) answer: Option<Body>,
    /// The response that the user has to acknowledge, since it carries the offer.
    pub(crate) due: Option<(PrackId, RAck)>,
}

impl ReliableClient {
    /// Whether that is the next one: repeated ones and those after a gap are not processed.
    pub(crate) fn receive(&mut self, rseq: u32) -> bool {
        let next = match self.last {
            Some(last) => last.checked_add(1) == Some(rseq) && self.due.is_none(),
            None => true,
        };
        if next {
            self.last = Some(rseq);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Method, transaction::testing::start};

    fn rack(rseq: u32, cseq: u32) -> RAck {
        RAck { rseq, cseq, method: Method::Invite }
    }

    #[test]
    fn repeated_without_bound_until_64_t1() {
        let (t0, timers) = (start(), Timers::default());
        let mut server = ReliableServer::new(ServerRequest(1), 7, true, 41);
        assert_eq!(server.next_rseq(), 41);
        server.sent(t0, Bytes::from_static(b"x"), true, &timers);
        assert!(!server.is_free() && server.holds_answer());
        let mut times = Vec::new();
        while let Some(at) = server.deadline() {
            times.push((at - t0).as_millis());
            match server.handle_timeout(at) {
                ReliableAction::Retransmit(data) => assert_eq!(data.as_ref(), b"x"),
                action => assert_eq!((action, times.len()), (ReliableAction::GiveUp, 7)),
            }
        }
        assert_eq!(times, [500, 1_500, 3_500, 7_500, 15_500, 31_500, 32_000]);
    }

    #[test]
    fn what_a_prack_means() {
        let (t0, timers) = (start(), Timers::default());
        let mut server = ReliableServer::new(ServerRequest(1), 7, false, 1);
        server.sent(t0, Bytes::new(), true, &timers);
        assert_eq!(server.acknowledge(&rack(2, 7)), None, "another response");
        assert_eq!(server.acknowledge(&rack(1, 8)), None, "another INVITE");
        assert_eq!(server.acknowledge(&rack(1, 7)), Some(Acknowledged::Answer));
        assert_eq!(server.acknowledge(&rack(1, 7)), None, "once");
        server.sent(t0, Bytes::new(), false, &timers);
        server.stop();
        assert_eq!(server.deadline(), None);
        assert_eq!(
            server.acknowledge(&rack(2, 7)),
            Some(Acknowledged::Offer),
            "after the final response too"
        );
    }

    #[test]
    fn only_the_next_one_counts() {
        let mut client = ReliableClient::default();
        assert!(client.receive(9) && !client.receive(9) && !client.receive(11) && client.receive(10));
    }
}
