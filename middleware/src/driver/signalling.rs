//! The task that owns the engine: inputs in, outputs carried out, one at a time.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sip_core::endpoint as sip;
use tokio::sync::{mpsc, watch};

use super::clock;
use super::commander::{Commander, Job};
use super::media::{MediaHost, MediaNote};
use super::network::{Change, Moved, Network};
use super::resolve::{Resolved, Resolver};
use super::transport::{StreamInput, Streams, UdpSockets};
use crate::engine::{Engine, Now, Origin, Output};
use crate::incoming_referral::IncomingReferral;
use crate::incoming_subscription::IncomingSubscription;
use crate::notification::{NotificationCenter, Sender};
use crate::publication::Publication;
use crate::registration::Registration;
use crate::session::{Session, SessionId, SessionManager};
use crate::subscription::Subscription;
use crate::trace::{Carrier, Protocol, Traced, Tracer, Way};

/// Datagrams taken in a row before others get their turn.
const BATCH: usize = 64;
/// Largest datagram there is.
const DATAGRAM: usize = 65_536;

/// Everything the signalling task moves bytes between.
pub(super) struct Signalling {
    pub(super) engine: Engine,
    pub(super) jobs: mpsc::UnboundedReceiver<Job>,
    pub(super) commander: Commander,
    pub(super) udp: UdpSockets,
    pub(super) streams: Streams,
    pub(super) stream_inputs: mpsc::Receiver<StreamInput>,
    pub(super) network: Network,
    pub(super) media: MediaHost,
    pub(super) media_notes: mpsc::UnboundedReceiver<MediaNote>,
    pub(super) resolved: mpsc::UnboundedReceiver<Resolved>,
    pub(super) resolver: Resolver,
    pub(super) center: NotificationCenter,
    pub(super) manager: SessionManager,
    pub(super) tracer: Option<Arc<Tracer>>,
    /// Sessions by id, from the first notification to the last.
    pub(super) handles: HashMap<SessionId, Session>,
    /// Set by whoever stops the application.
    pub(super) stop: watch::Receiver<Option<Instant>>,
}

enum Woken {
    Job(Option<Job>),
    Datagram(std::net::SocketAddr, std::net::SocketAddr, usize),
    Stream(StreamInput),
    Media(MediaNote),
    Resolved(Resolved),
    Look,
    Timeout,
    Stop,
}

impl Signalling {
    /// Runs until the application is stopped, or every handle to it is gone and no session left.
    pub(super) async fn run(mut self) {
        let mut buffer = vec![0; DATAGRAM];
        let mut stopping: Option<Instant> = None;
        loop {
            let deadline = self.carry_out();
            if let Some(limit) = stopping
                && (self.engine.is_settled() || clock::now().instant >= limit)
            {
                break;
            }
            let deadline = deadline.into_iter().chain(stopping).min();
            let woken = tokio::select! {
                biased;
                changed = self.stop.changed(), if stopping.is_none() => match changed {
                    Ok(()) | Err(_) => Woken::Stop,
                },
                job = self.jobs.recv() => Woken::Job(job),
                Some(note) = self.media_notes.recv() => Woken::Media(note),
                (local, remote, length) = poll_fn(|context| self.udp.poll_receive(context, &mut buffer)) => {
                    Woken::Datagram(local, remote, length)
                }
                Some(input) = self.stream_inputs.recv() => Woken::Stream(input),
                Some(resolved) = self.resolved.recv() => Woken::Resolved(resolved),
                () = self.network.tick() => Woken::Look,
                () = clock::wait_until(deadline) => Woken::Timeout,
            };
            let now = clock::now();
            match woken {
                Woken::Stop => {
                    stopping = Some(self.stop.borrow().unwrap_or(now.instant));
                    self.engine.terminate_all(now);
                }
                // Every handle is gone: nobody can end it but us.
                Woken::Job(None) => break,
                Woken::Job(Some(job)) => {
                    let answer = job(&mut self.engine, now);
                    self.carry_out();
                    answer();
                }
                Woken::Media(MediaNote { session, stream, event }) => {
                    self.engine.handle_media(now, session, stream, event);
                }
                Woken::Datagram(local, remote, length) => {
                    self.datagrams(now, local, remote, length, &mut buffer).await;
                }
                Woken::Stream(input) => self.stream_input(now, input),
                Woken::Resolved(Resolved { query, result }) => {
                    self.engine.handle_sip(now, sip::Input::Resolved { query, result });
                }
                Woken::Look => self.look_at_network(now),
                Woken::Timeout => self.engine.handle_timeout(now),
            }
        }
        self.media.stop();
        if let Some(tracer) = &self.tracer {
            tracer.flush();
        }
    }

    /// Tells the engine of addresses that became others.
    fn look_at_network(&mut self, now: Now) {
        let Change { moved, media } = self.network.look();
        for Moved { transport, from, to } in &moved {
            tracing::info!(%from, %to, ?transport, "the network is another one");
            self.udp.rename(*from, *to);
            self.engine.bound(now, *transport, *to);
        }
        for Moved { transport, from, .. } in &moved {
            let (transport, local) = (*transport, *from);
            self.engine.handle_sip(now, sip::Input::Unbound { transport, local });
        }
        if !moved.is_empty() {
            self.engine.network_changed(now);
        }
        if let Some(address) = media {
            tracing::info!(%address, "media follow to the addresses that there are");
            self.manager.set_default_address(address);
            self.engine.media_moved(now, address, !moved.is_empty());
        }
    }

    /// The first datagram is in the buffer; takes what else waits, up to a batch.
    async fn datagrams(
        &mut self,
        now: Now,
        mut local: std::net::SocketAddr,
        mut remote: std::net::SocketAddr,
        mut length: usize,
        buffer: &mut [u8],
    ) {
        for _ in 0..BATCH {
            let data = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
            self.trace(now, Carrier::Udp, Way::Received, local, remote, &data);
            self.engine.handle_sip(now, sip::Input::Datagram { local, remote, data });
            self.carry_out();
            let more = poll_fn(|context| {
                std::task::Poll::Ready(match self.udp.poll_receive(context, buffer) {
                    std::task::Poll::Ready(received) => Some(received),
                    std::task::Poll::Pending => None,
                })
            });
            match more.await {
                Some(next) => (local, remote, length) = next,
                None => return,
            }
        }
    }

    fn stream_input(&mut self, now: Now, input: StreamInput) {
        match input {
            StreamInput::Accepted { flow, transport, local, remote, writer } => {
                self.streams.opened(flow, local, remote, writer);
                self.engine.handle_sip(now, sip::Input::Accepted { flow, transport, local, remote });
            }
            StreamInput::Connected { flow, local, remote, writer } => {
                self.streams.opened(flow, local, remote, writer);
                self.engine.handle_sip(now, sip::Input::Connected { flow, local, remote });
            }
            StreamInput::ConnectFailed { flow, reason } => {
                self.streams.forget(flow);
                self.engine.handle_sip(now, sip::Input::ConnectFailed { flow, reason });
            }
            StreamInput::Received { flow, data } => {
                if let Some((local, remote)) = self.streams.addresses(flow) {
                    self.trace(now, Carrier::Tcp, Way::Received, local, remote, &data);
                }
                self.engine.handle_sip(now, sip::Input::Received { flow, data: &data });
            }
            StreamInput::Closed { flow } => {
                self.streams.forget(flow);
                self.engine.handle_sip(now, sip::Input::Closed { flow });
            }
        }
    }

    /// Does what the engine wants done; returns when it wants to be woken.
    fn carry_out(&mut self) -> Option<Instant> {
        loop {
            match self.engine.poll_output() {
                Output::Idle(deadline) => return deadline,
                Output::Sip(output) => self.send(output),
                Output::Media { session, command } => self.media.perform(session, command),
                Output::Snapshot { session, snapshot } => self.handle(session).set_snapshot(snapshot),
                Output::Post { from, event } => {
                    let sender = match from {
                        Origin::Application => Sender::Application,
                        Origin::Registration(id) => {
                            Sender::Registration(Registration::new(id, self.commander.clone()))
                        }
                        Origin::Subscription(id) => {
                            Sender::Subscription(Subscription::new(id, self.commander.clone()))
                        }
                        Origin::Publication(id) => {
                            Sender::Publication(Publication::new(id, self.commander.clone()))
                        }
                        Origin::IncomingSubscription(id) => Sender::IncomingSubscription(
                            IncomingSubscription::new(id, self.commander.clone()),
                        ),
                        Origin::IncomingReferral(id) => {
                            Sender::IncomingReferral(IncomingReferral::new(id, self.commander.clone()))
                        }
                    };
                    self.center.post(clock::now().wall, sender, event);
                }
                Output::Notify { session, snapshot, event } => {
                    let handle = self.handle(session);
                    let state = snapshot.state;
                    handle.set_snapshot(snapshot);
                    self.manager.track(&handle, state);
                    let ended = event.name() == "SCSessionDidEnd";
                    self.center.post(clock::now().wall, &handle, event);
                    if ended {
                        self.handles.remove(&session);
                    }
                }
            }
        }
    }

    fn send(&mut self, output: sip::Output) {
        match output {
            sip::Output::Transmit { local, remote, data } => {
                self.trace(clock::now(), Carrier::Udp, Way::Sent, local, remote, &data);
                self.udp.send(local, remote, &data);
            }
            sip::Output::Connect { flow, transport, remote, server_name } => {
                self.streams.connect(flow, transport, remote, server_name);
            }
            sip::Output::Write { flow, data } => {
                if let Some((local, remote)) = self.streams.addresses(flow) {
                    self.trace(clock::now(), Carrier::Tcp, Way::Sent, local, remote, &data);
                }
                self.streams.write(flow, data);
            }
            sip::Output::Disconnect { flow } => self.streams.disconnect(flow),
            sip::Output::Resolve { query, question } => self.resolver.ask(query, question),
            // The engine keeps events and deadlines to itself.
            _ => {}
        }
    }

    fn handle(&mut self, id: SessionId) -> Session {
        let (commander, manager) = (&self.commander, &self.manager);
        let new = || {
            let known = commander.directory().find(id);
            known.unwrap_or_else(|| Session::new(id, commander.clone(), manager.session_config()))
        };
        self.handles.entry(id).or_insert_with(new).clone()
    }

    fn trace(
        &self,
        now: Now,
        carrier: Carrier,
        way: Way,
        local: std::net::SocketAddr,
        remote: std::net::SocketAddr,
        data: &[u8],
    ) {
        if let Some(tracer) = &self.tracer {
            let protocol = Protocol::Sip;
            tracer.write(Traced { time: now.wall, protocol, carrier, way, local, remote, data });
        }
    }
}
