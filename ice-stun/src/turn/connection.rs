//! A connection to a relay that becomes one to a peer (RFC 6062 §4.3).

use std::collections::VecDeque;
use std::time::Instant;

use super::ask::Purpose;
use crate::error::UsageError;
use crate::stun::requests::{Ask, Outcome, Requests};
use crate::stun::{Builder, ConnectionId, Failure, Frame, Message, Method, StreamDecoder};

#[derive(Debug)]
struct Bind(u32);

impl Ask for Bind {
    fn method(&self) -> Method {
        Method::CONNECTION_BIND
    }

    fn write(&self, builder: Builder) -> Result<Builder, UsageError> {
        builder.attribute(&ConnectionId(self.0))
    }
}

/// What a [`DataConnection`] wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataOutput {
    /// Write this.
    Write(Vec<u8>),
    /// What came out.
    Event(DataEvent),
    /// Nothing more until this deadline or the next input.
    Idle(Option<Instant>),
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataEvent {
    /// The connection is the peer's from here on; these bytes of it came along already.
    Bound(Vec<u8>),
    /// It is not: close it.
    Failed(Failure),
}

/// Binds a connection to a relay to that of a peer; when that is done the machine is, too.
#[derive(Debug)]
pub struct DataConnection {
    requests: Requests<Bind>,
    stream: StreamDecoder,
    queue: VecDeque<DataOutput>,
    done: bool,
}

impl DataConnection {
    pub(super) fn new(now: Instant, control: &Requests<Purpose>, connection: u32, seed: [u8; 32]) -> Self {
        let mut requests = control.for_another_connection(seed);
        let mut queue = VecDeque::new();
        let begun = requests.begin(now, Bind(connection));
        let done = begun.is_err();
        if let Err((_, failure)) = begun {
            queue.push_back(DataOutput::Event(DataEvent::Failed(failure)));
        }
        let mut connection = Self { requests, stream: StreamDecoder::new(), queue, done };
        connection.handle_timeout(now);
        connection
    }

    /// Bytes of the connection, until it is bound.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        if self.done {
            return;
        }
        self.stream.push(bytes);
        let mut stream = std::mem::take(&mut self.stream);
        let end = loop {
            match stream.next_frame() {
                Ok(Some(Frame::Stun(bytes))) => {
                    let Ok(message) = Message::parse(bytes) else { continue };
                    match self.requests.handle_response(now, &message) {
                        Outcome::Unrelated | Outcome::Waiting => {}
                        Outcome::Success(_) => break Some(Ok(())),
                        Outcome::Failed(_, failure) => break Some(Err(failure)),
                    }
                }
                Ok(Some(Frame::ChannelData(_))) => {}
                Ok(None) => break None,
                Err(_) => break Some(Err(Failure::Malformed("a stream that is not STUN"))),
            }
        };
        match end {
            None => self.stream = stream,
            Some(Ok(())) => self.finish(DataEvent::Bound(stream.into_rest())),
            Some(Err(failure)) => self.finish(DataEvent::Failed(failure)),
        }
        self.handle_timeout(now);
    }

    /// The connection is gone.
    pub fn handle_disconnected(&mut self) {
        if !self.done {
            self.finish(DataEvent::Failed(Failure::Disconnected));
        }
    }

    fn finish(&mut self, event: DataEvent) {
        self.done = true;
        self.requests.clear();
        self.queue.push_back(DataOutput::Event(event));
    }

    /// Sends what is due; early and spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let queue = &mut self.queue;
        let send = |data: &[u8]| queue.push_back(DataOutput::Write(data.to_vec()));
        if let Some((_, failure)) = self.requests.transmit(now, send) {
            self.finish(DataEvent::Failed(failure));
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> DataOutput {
        self.queue.pop_front().unwrap_or_else(|| DataOutput::Idle(self.requests.deadline()))
    }
}
