//! Reliable byte streams, as TCP gives them: in order, delayed, and ended by a close, a
//! reset, or silence.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use super::{InFlight, Network};

/// Which stream, from [`Network::connect`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u64);

/// One of a stream's two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// Who called [`Network::connect`].
    Opener,
    /// Who listened.
    Acceptor,
}

impl End {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Opener => Self::Acceptor,
            Self::Acceptor => Self::Opener,
        }
    }
}

/// What one end of a stream meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEvent {
    /// When.
    pub at: Instant,
    /// On which stream.
    pub stream: StreamId,
    /// At which end.
    pub end: End,
    /// That end's own address.
    pub local: SocketAddr,
    /// The other end's address as this one sees it.
    pub remote: SocketAddr,
    /// What happened.
    pub what: StreamWhat,
}

/// See [`StreamEvent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamWhat {
    /// The acceptor has a new stream.
    Accepted,
    /// The opener's stream is up.
    Connected,
    /// The opener's stream is refused: nobody listens, or there is no way.
    Refused,
    /// Bytes, in order, in pieces that need not be those that were written.
    Data(Vec<u8>),
    /// The other end closed after what it wrote.
    Closed,
    /// The stream was cut; nothing more comes.
    Reset,
}

/// All streams of a network.
#[derive(Debug, Default)]
pub(super) struct Streams {
    listening: BTreeSet<SocketAddr>,
    open: BTreeMap<StreamId, Stream>,
    opened: u64,
}

#[derive(Debug)]
struct Stream {
    opener: SocketAddr,
    /// The opener as the acceptor sees it, behind its NATs.
    opener_seen: SocketAddr,
    acceptor: SocketAddr,
    closed: BTreeSet<End>,
    state: State,
}

#[derive(Debug, PartialEq)]
enum State {
    Open,
    /// Nothing arrives any more and nobody is told.
    Frozen,
    /// Both ends were told to forget it.
    Cut,
}

impl Streams {
    /// Whether an event in flight still happens.
    pub(super) fn still_wants(&self, event: &StreamEvent) -> bool {
        match self.open.get(&event.stream).map(|stream| &stream.state) {
            Some(State::Open) => true,
            Some(State::Cut) => event.what == StreamWhat::Reset,
            Some(State::Frozen) => false,
            None => event.what == StreamWhat::Refused,
        }
    }
}

impl Network {
    /// Accepts streams at `local` from now on.
    pub fn listen(&mut self, local: SocketAddr) {
        self.streams.listening.insert(local);
    }

    /// Refuses streams at `local` from now on; those that are open stay.
    pub fn unlisten(&mut self, local: SocketAddr) {
        self.streams.listening.remove(&local);
    }

    /// Opens a stream from a host's own address. [`StreamWhat::Connected`] or
    /// [`StreamWhat::Refused`] follows after a round trip; nothing does where the path is
    /// down. A host behind a NAT may open streams, not accept them from outside.
    pub fn connect(&mut self, now: Instant, from: SocketAddr, to: SocketAddr) -> StreamId {
        self.streams.opened += 1;
        let id = StreamId(self.streams.opened);
        let (there, back) = (self.link(from.ip(), to.ip()), self.link(to.ip(), from.ip()));
        if there.loss >= 1.0 || back.loss >= 1.0 {
            return id;
        }
        let arrives = self.paths.segment(now, (from, to), &there, &mut self.random);
        let answered = self.paths.segment(arrives, (to, from), &back, &mut self.random);
        let event = |at, end, local, remote, what| {
            InFlight::Stream(StreamEvent { at, stream: id, end, local, remote, what })
        };
        let seen = self.leave(now, from, to).map(|crossing| crossing.from);
        match seen.filter(|_| self.streams.listening.contains(&to)) {
            Some(seen) => {
                let stream = Stream {
                    opener: from,
                    opener_seen: seen,
                    acceptor: to,
                    closed: BTreeSet::new(),
                    state: State::Open,
                };
                self.streams.open.insert(id, stream);
                self.fly(arrives, event(arrives, End::Acceptor, to, seen, StreamWhat::Accepted));
                self.fly(answered, event(answered, End::Opener, from, to, StreamWhat::Connected));
            }
            None => self.fly(answered, event(answered, End::Opener, from, to, StreamWhat::Refused)),
        }
        id
    }

    /// Writes at one end. What is written after a close, or to a stream that is gone, is
    /// dropped. Writing on a path that is [down](super::Link::down) freezes the stream.
    pub fn write(&mut self, now: Instant, id: StreamId, end: End, data: &[u8]) {
        let shred = match self.streams.open.get(&id) {
            Some(stream) if !stream.closed.contains(&end) => {
                let (from, to) = stream.ends(end);
                self.link(from.ip(), to.ip()).shred
            }
            _ => return,
        };
        let mut rest = data;
        while !rest.is_empty() {
            let take = if shred { 1 + self.random.below(rest.len()) } else { rest.len() };
            let (piece, after) = rest.split_at(take);
            self.carry(now, id, end, StreamWhat::Data(piece.to_vec()));
            rest = after;
        }
    }

    /// Closes one end: the other meets [`StreamWhat::Closed`] after all that was written.
    pub fn close(&mut self, now: Instant, id: StreamId, end: End) {
        let newly = self.streams.open.get_mut(&id).is_some_and(|stream| stream.closed.insert(end));
        if newly {
            self.carry(now, id, end, StreamWhat::Closed);
        }
    }

    /// Cuts a stream: both ends meet [`StreamWhat::Reset`] now, and what was on its way is
    /// lost.
    pub fn cut(&mut self, now: Instant, id: StreamId) {
        let Some(stream) = self.streams.open.get_mut(&id) else { return };
        if stream.state == State::Cut {
            return;
        }
        stream.state = State::Cut;
        let ends = [End::Opener, End::Acceptor].map(|end| (end, stream.seen_from(end)));
        for (end, (local, remote)) in ends {
            let what = StreamWhat::Reset;
            self.fly(now, InFlight::Stream(StreamEvent { at: now, stream: id, end, local, remote, what }));
        }
    }

    /// Makes a stream silently dead, as a firewall that forgot it does.
    pub fn freeze(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.open.get_mut(&id) {
            stream.state = State::Frozen;
        }
    }

    /// Every stream that is open, with its opener's and its acceptor's own address.
    pub fn streams(&self) -> impl Iterator<Item = (StreamId, SocketAddr, SocketAddr)> + '_ {
        let open = self.streams.open.iter().filter(|(_, stream)| stream.state == State::Open);
        open.map(|(id, stream)| (*id, stream.opener, stream.acceptor))
    }

    fn carry(&mut self, now: Instant, id: StreamId, end: End, what: StreamWhat) {
        let Some(stream) = self.streams.open.get_mut(&id) else { return };
        let (from, to) = stream.ends(end);
        let (local, remote) = stream.seen_from(end.other());
        let link = self.links.get(&(from.ip(), to.ip())).unwrap_or(&self.default).clone();
        if link.loss >= 1.0 {
            stream.state = State::Frozen;
            return;
        }
        let at = self.paths.segment(now, (from, to), &link, &mut self.random);
        self.fly(at, InFlight::Stream(StreamEvent { at, stream: id, end: end.other(), local, remote, what }));
    }
}

impl Stream {
    /// The address of that end and of the other, each its own.
    fn ends(&self, end: End) -> (SocketAddr, SocketAddr) {
        match end {
            End::Opener => (self.opener, self.acceptor),
            End::Acceptor => (self.acceptor, self.opener),
        }
    }

    /// That end's own address and the other's as it sees it.
    fn seen_from(&self, end: End) -> (SocketAddr, SocketAddr) {
        match end {
            End::Opener => (self.opener, self.acceptor),
            End::Acceptor => (self.acceptor, self.opener_seen),
        }
    }
}
