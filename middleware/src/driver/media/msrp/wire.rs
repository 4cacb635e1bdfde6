//! The machine of a connection with its socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use msrp_cpim::{Connection, Event, Input, Output};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

use super::relay::Login;
use super::{Connected, Duplex};
use crate::driver::clock;
use crate::trace::{Carrier, Protocol, Traced, Tracer, Way};

/// What is read at a time.
const READ: usize = 64 * 1024;
/// Pieces that are written at a time.
const PIECES: usize = 16;

/// A connection: the machine decides, this moves the bytes.
pub(in crate::driver::media) struct Wire {
    pub(in crate::driver::media) machine: Connection,
    reader: ReadHalf<Box<dyn Duplex>>,
    writer: WriteHalf<Box<dyn Duplex>>,
    buffer: Vec<u8>,
    /// What the system has not taken yet.
    writing: VecDeque<Bytes>,
    flushed: bool,
    closing: bool,
    closed: bool,
    failure: Option<String>,
    local: SocketAddr,
    remote: SocketAddr,
    tracer: Option<Arc<Tracer>>,
    /// What our relay is told when it asks who we are.
    pub(super) login: Option<Login>,
}

impl Wire {
    /// Puts a machine, with its sessions, on a connection.
    pub(in crate::driver::media) fn new(
        connected: Connected,
        machine: Connection,
        tracer: Option<Arc<Tracer>>,
    ) -> Self {
        let Connected { stream, local, remote, early } = connected;
        let (reader, writer) = tokio::io::split(stream);
        let mut this = Self {
            machine,
            reader,
            writer,
            buffer: vec![0; READ],
            writing: VecDeque::new(),
            flushed: true,
            closing: false,
            closed: false,
            failure: None,
            local,
            remote,
            tracer,
            login: None,
        };
        tracing::debug!(%local, %remote, "MSRP connected");
        let now = clock::now().instant;
        this.machine.handle_input(now, Input::Connected);
        if !early.is_empty() {
            this.trace(Way::Received, &early);
            this.machine.handle_input(now, Input::Received(&early));
        }
        this
    }

    /// The next event of the machine. `None`: the connection is closed and all was told. May be dropped
    /// and called again at any time.
    pub(in crate::driver::media) async fn next(&mut self) -> Option<Event> {
        loop {
            let deadline = match self.machine.poll_output() {
                Output::Event(Event::AuthChallenge { auth, challenges, uri, .. }) if self.login.is_some() => {
                    let answer = self.login.as_mut().and_then(|login| login.answer(&challenges, &uri));
                    let now = clock::now().instant;
                    let answered = match answer {
                        Some(answer) => self.machine.answer_challenge(now, auth, &answer).is_ok(),
                        None => false,
                    };
                    if !answered {
                        self.note("the relay asks for what we do not know");
                        self.machine.disconnect(now);
                    }
                    continue;
                }
                Output::Event(event) => {
                    match &event {
                        // Without the relay's URI nobody reaches us any more.
                        Event::AuthFailed { code, reason, .. } => {
                            self.note(&format!("the relay: {code} {reason}"));
                            self.machine.disconnect(clock::now().instant);
                        }
                        Event::SessionClosed { code, reason, .. } => self.note(&format!("{code} {reason}")),
                        Event::ProtocolError(error) => self.note(&error.to_string()),
                        _ => {}
                    }
                    return Some(event);
                }
                Output::Write(data) => {
                    self.trace(Way::Sent, &data);
                    self.writing.push_back(data);
                    self.flushed = false;
                    continue;
                }
                Output::Disconnect => {
                    self.closing = true;
                    continue;
                }
                Output::Idle(deadline) => deadline,
            };
            if self.closed {
                return None;
            }
            if self.closing && self.writing.is_empty() && self.flushed {
                self.closed = true;
                self.machine.handle_input(clock::now().instant, Input::Closed);
                // The peer may be gone already.
                let _ = self.writer.shutdown().await;
                continue;
            }
            let more = !self.writing.is_empty();
            let wants_read = self.machine.wants_read() && !self.closing;
            let (mut read, mut pushed, mut timeout) = (None, None, false);
            tokio::select! {
                length = self.reader.read(&mut self.buffer), if wants_read => read = Some(length),
                length = push(&mut self.writer, &self.writing), if more || !self.flushed => {
                    pushed = Some(length);
                }
                () = clock::wait_until(deadline) => timeout = true,
            }
            let now = clock::now().instant;
            match read {
                Some(Ok(length @ 1..)) => {
                    let data = self.buffer.get(..length).unwrap_or_default();
                    trace(self.tracer.as_deref(), Way::Received, self.local, self.remote, data);
                    self.machine.handle_input(now, Input::Received(data));
                }
                Some(Ok(_)) => self.lost("the peer closed the connection"),
                Some(Err(error)) => self.lost(&error.to_string()),
                None => {}
            }
            match pushed {
                Some(Ok(0)) => self.flushed = true,
                Some(Ok(length)) => self.written(length),
                Some(Err(error)) => self.lost(&error.to_string()),
                None => {}
            }
            if timeout {
                self.machine.handle_timeout(now);
            }
        }
    }

    /// Closes it; what is under way is given up.
    pub(in crate::driver::media) fn disconnect(&mut self) {
        self.machine.disconnect(clock::now().instant);
    }

    /// Closes it once everything was written.
    pub(in crate::driver::media) fn close_after_writing(&mut self) {
        self.closing = true;
    }

    /// Why it is closed, in words.
    pub(in crate::driver::media) fn failure(&self) -> &str {
        self.failure.as_deref().unwrap_or("the connection was closed")
    }

    fn note(&mut self, reason: &str) {
        self.failure.get_or_insert_with(|| reason.to_owned());
    }

    fn written(&mut self, length: usize) {
        let mut left = length;
        while let Some(front) = self.writing.front_mut() {
            let taken = front.split_to(left.min(front.len())).len();
            left -= taken;
            if !front.is_empty() {
                break;
            }
            self.writing.pop_front();
        }
        self.machine.handle_input(clock::now().instant, Input::Written(length));
    }

    fn lost(&mut self, reason: &str) {
        self.note(reason);
        self.machine.handle_input(clock::now().instant, Input::Closed);
        self.writing.clear();
        self.flushed = true;
        self.closing = true;
    }

    fn trace(&self, way: Way, data: &[u8]) {
        trace(self.tracer.as_deref(), way, self.local, self.remote, data);
    }
}

fn trace(tracer: Option<&Tracer>, way: Way, local: SocketAddr, remote: SocketAddr, data: &[u8]) {
    if let Some(tracer) = tracer {
        let (protocol, carrier, time) = (Protocol::Msrp, Carrier::Tcp, clock::now().wall);
        tracer.write(Traced { time, protocol, carrier, way, local, remote, data });
    }
}

/// Writes some of `data`, of several pieces at once; without any, has what was written leave (TLS may hold it back).
async fn push(writer: &mut (impl AsyncWrite + Unpin), data: &VecDeque<Bytes>) -> io::Result<usize> {
    if data.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    let mut slices = [IoSlice::new(&[]); PIECES];
    let count = slices.iter_mut().zip(data).map(|(slice, piece)| *slice = IoSlice::new(piece)).count();
    match writer.write_vectored(slices.get(..count).unwrap_or_default()).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        length => Ok(length),
    }
}
