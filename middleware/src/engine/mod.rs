//! The whole user agent, still without I/O: the SIP endpoint and the sessions on it.
//!
//! Inputs are what the network, the media layer and the clock did; outputs are one ordered
//! queue of what to send, what to ask of the media layer and what to tell the application.
//! `driver` carries it; tests run it in virtual time.

mod dispatch;
pub(crate) mod fuzzing;
mod messages;
mod perform;
mod publications;
mod referrals;
mod registrations;
mod subscribers;
mod subscriptions;
#[cfg(test)]
mod tests;
mod transfers;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sip_core::Method;
use sip_core::endpoint::{self as sip, Call, Endpoint, RequestId, ServerRequest};

use crate::configuration::RingtoneConfiguration;
use crate::error::Error;
use crate::incoming_referral::IncomingReferralId;
use crate::incoming_subscription::IncomingSubscriptionId;
use crate::notification::Event;
use crate::publication::PublicationId;
use crate::registration::RegistrationId;
use crate::session::machine::{Context, SessionConfig, SessionMachine, SipEvent, TRICKLE_ICE};
use crate::session::{
    Effect, FileToSend, Invitation, MediaCommand, MediaEvent, SessionId, SessionSnapshot, StreamId, StreamSet,
};
use crate::subscription::SubscriptionId;

/// Both clocks at one moment: whoever drives the engine reads them.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Now {
    /// For timers: never goes back.
    pub(crate) instant: Instant,
    /// For people: may be set.
    pub(crate) wall: SystemTime,
}

/// What an engine is set up with.
#[derive(Clone, Debug)]
pub(crate) struct EngineConfig {
    pub(crate) sip: sip::Config,
    pub(crate) session: SessionConfig,
    /// Sessions beyond this number are answered 486.
    pub(crate) max_sessions: usize,
    /// Whether messages outside of sessions are taken.
    pub(crate) accept_messages: bool,
    /// Whether peers may ask, in a session, for a transfer; the application decides on each.
    pub(crate) transfers: bool,
    /// Whether they may ask it outside of sessions; the application decides on each.
    pub(crate) referrals: bool,
    /// Event packages that peers may subscribe to; the application decides on each subscription.
    pub(crate) events: Vec<String>,
}

/// What beside sessions has something to tell.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Application,
    Registration(RegistrationId),
    Subscription(SubscriptionId),
    Publication(PublicationId),
    IncomingSubscription(IncomingSubscriptionId),
    IncomingReferral(IncomingReferralId),
}

/// Whose a request out of any call is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    Registration(RegistrationId),
    Publication(PublicationId),
    Message(String),
    /// An INFO with candidates.
    Trickle(SessionId),
}

/// The type of what an INFO with candidates carries (RFC 8840 §9).
const SDP_FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// What is due at some time.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Session(SessionId),
    Registration(RegistrationId),
    Publication(PublicationId),
    Subscriber(IncomingSubscriptionId),
    Referral(IncomingReferralId),
}

/// What the engine wants done, in order.
#[derive(Debug)]
pub(crate) enum Output {
    /// Something for the network: never an event, never idle.
    Sip(sip::Output),
    /// Something for the media layer.
    Media { session: SessionId, command: MediaCommand },
    /// Something for the application; the snapshot is to be published before.
    Notify { session: SessionId, snapshot: Arc<SessionSnapshot>, event: Event },
    /// Something for the application that is not about a session.
    Post { from: Origin, event: Event },
    /// Attributes changed without a notification.
    Snapshot { session: SessionId, snapshot: Arc<SessionSnapshot> },
    /// Nothing more until this time or the next input.
    Idle(Option<Instant>),
}

/// The user agent.
pub(crate) struct Engine {
    endpoint: Endpoint,
    config: EngineConfig,
    ringtones: Arc<RingtoneConfiguration>,
    numbers: Arc<AtomicU64>,
    random: ChaCha20Rng,
    sessions: HashMap<SessionId, Live>,
    calls: HashMap<Call, SessionId>,
    registrations: BTreeMap<RegistrationId, registrations::Kept>,
    subscriptions: BTreeMap<SubscriptionId, subscriptions::Followed>,
    /// The endpoint's names of subscriptions.
    subscribed: HashMap<sip::Subscription, SubscriptionId>,
    publications: BTreeMap<PublicationId, publications::Told>,
    /// Subscriptions of peers, and the endpoint's names of those that were taken.
    subscribers: BTreeMap<IncomingSubscriptionId, subscribers::Subscriber>,
    notifiers: HashMap<sip::Notifier, IncomingSubscriptionId>,
    /// REFERs out of sessions that wait for the application.
    asked_outside: BTreeMap<IncomingReferralId, referrals::AskedOutside>,
    next_incoming: u64,
    /// Requests out of any call that are under way.
    requests: HashMap<RequestId, Owner>,
    deadlines: BTreeSet<(Instant, Due)>,
    endpoint_deadline: Option<Instant>,
    events: VecDeque<sip::Event>,
    /// Our REFERs that have no result yet.
    transfers: HashMap<sip::Subscription, SessionId>,
    /// Sessions that do what peers asked for, by their own id.
    referrals: HashMap<SessionId, transfers::Referral>,
    /// What the endpoint would not begin, told as if it had failed.
    refused: VecDeque<(SessionId, SipEvent)>,
    /// Everything is being ended.
    leaving: bool,
    outputs: VecDeque<Output>,
}

/// A session and what of the endpoint is its own.
struct Live {
    machine: SessionMachine,
    call: Option<Call>,
    /// The peer's re-INVITE or UPDATE that is to be answered.
    request: Option<ServerRequest>,
    /// The peer's REFER that waits for the application, or is being done.
    asked: Option<transfers::Asked>,
    /// Another call took its place (RFC 3891).
    replaced: bool,
    /// Our INFO with candidates that is under way.
    trickling: Option<RequestId>,
    deadline: Option<Instant>,
}

impl Engine {
    pub(crate) fn new(config: EngineConfig, numbers: Arc<AtomicU64>, seed: [u8; 32]) -> Self {
        let mut random = ChaCha20Rng::from_seed(seed);
        let mut sip = config.sip.clone();
        sip.events.clone_from(&config.events);
        for (method, served) in [
            (Method::Message, config.accept_messages),
            (Method::Refer, config.transfers || config.referrals),
            (Method::Subscribe, !config.events.is_empty()),
        ] {
            if served && !sip.allow.contains(&method) {
                sip.allow.push(method);
            }
        }
        let endpoint = Endpoint::new(sip, bytes32(&mut random));
        let mut engine = Self {
            endpoint,
            config,
            ringtones: Arc::default(),
            numbers,
            random,
            sessions: HashMap::new(),
            calls: HashMap::new(),
            registrations: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            subscribed: HashMap::new(),
            publications: BTreeMap::new(),
            subscribers: BTreeMap::new(),
            notifiers: HashMap::new(),
            asked_outside: BTreeMap::new(),
            next_incoming: 0,
            requests: HashMap::new(),
            deadlines: BTreeSet::new(),
            endpoint_deadline: None,
            events: VecDeque::new(),
            transfers: HashMap::new(),
            referrals: HashMap::new(),
            refused: VecDeque::new(),
            leaving: false,
            outputs: VecDeque::new(),
        };
        engine.announce_trickle();
        engine
    }

    /// Where sessions take candidates in INFO, INVITEs and their answers say so (RFC 8840 §4).
    fn announce_trickle(&mut self) {
        match self.config.session.rtp.trickles() {
            true => self.endpoint.announce(TRICKLE_ICE, TRICKLE_ICE).expect("a token"),
            false => self.endpoint.renounce(TRICKLE_ICE, TRICKLE_ICE),
        }
    }

    /// What the network did.
    pub(crate) fn handle_sip(&mut self, now: Now, input: sip::Input<'_>) {
        self.endpoint.handle_input(now.instant, input);
        self.settle(now);
    }

    /// What media did.
    pub(crate) fn handle_media(&mut self, now: Now, session: SessionId, stream: StreamId, event: MediaEvent) {
        let _ =
            self.with_session(now, session, |machine, context| machine.handle_media(context, stream, event));
    }

    /// Something may be due; early, late and needless calls do no harm.
    pub(crate) fn handle_timeout(&mut self, now: Now) {
        self.endpoint.handle_timeout(now.instant);
        self.settle(now);
        while let Some((at, due)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now.instant) {
            self.deadlines.remove(&(at, due));
            match due {
                Due::Session(id) => {
                    if let Some(live) = self.sessions.get_mut(&id) {
                        live.deadline = None;
                    }
                    let _ = self.with_session(now, id, |machine, context| machine.handle_timeout(context));
                }
                Due::Registration(id) => {
                    self.registration_due(now, id);
                    self.settle(now);
                }
                Due::Publication(id) => {
                    self.publication_due(now, id);
                    self.settle(now);
                }
                Due::Subscriber(id) => {
                    self.subscriber_due(now, id);
                    self.settle(now);
                }
                Due::Referral(id) => {
                    self.referral_due(now, id);
                    self.settle(now);
                }
            }
        }
    }

    /// The next thing to do; ends with `Idle`, again and again until the next input.
    pub(crate) fn poll_output(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        let due = self.deadlines.first().map(|(at, _)| *at);
        Output::Idle(due.into_iter().chain(self.endpoint_deadline).min())
    }

    /// Makes a session and has it call.
    pub(crate) fn connect(
        &mut self,
        now: Now,
        id: SessionId,
        config: SessionConfig,
        invitation: Invitation,
        streams: StreamSet,
        files: Vec<FileToSend>,
    ) -> Result<(), Error> {
        let seed = bytes32(&mut self.random);
        // What the caller copied may be of another network.
        let config = SessionConfig { default_address: self.config.session.default_address, ..config };
        self.sessions.entry(id).or_insert_with(|| Live::new(SessionMachine::new(config, seed)));
        let connected = self
            .with_session(now, id, |machine, context| machine.connect(context, invitation, streams, files))
            .unwrap_or(Err(Error::Stopped));
        if connected.is_err()
            && self.sessions.get(&id).is_some_and(|live| live.call.is_none() && live.is_null())
        {
            self.sessions.remove(&id);
        }
        connected
    }

    /// Whether it is in NULL no more, and not over.
    pub(crate) fn knows(&self, id: SessionId) -> bool {
        self.sessions.contains_key(&id)
    }

    /// Ends a session; one that is not known is over already.
    pub(crate) fn terminate(&mut self, now: Now, id: SessionId) {
        let _ = self.with_session(now, id, |machine, context| machine.terminate(context));
    }

    /// Ends all sessions, publications, subscriptions and registrations; calls that come from now on are
    /// refused.
    pub(crate) fn terminate_all(&mut self, now: Now) {
        self.leaving = true;
        let mut ids: Vec<_> = self.sessions.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            self.terminate(now, id);
        }
        self.refuse_referrals(now);
        self.end_subscribers(now);
        let ids: Vec<_> = self.publications.keys().copied().collect();
        for id in ids {
            self.end_publication(now, id);
        }
        let ids: Vec<_> = self.subscriptions.keys().copied().collect();
        for id in ids {
            self.end_subscription(now, id);
        }
        let ids: Vec<_> = self.registrations.keys().copied().collect();
        for id in ids {
            self.end_registration(now, id);
        }
    }

    /// This host has other addresses, and `address` is the one that reaches the outside; `moved`: it was
    /// another one before. Sessions follow.
    pub(crate) fn media_moved(&mut self, now: Now, address: IpAddr, moved: bool) {
        self.config.session.default_address = address;
        let mut ids: Vec<_> = self.sessions.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let _ = self
                .with_session(now, id, |machine, context| machine.network_changed(context, address, moved));
        }
    }

    pub(crate) fn set_ringtones(&mut self, ringtones: Arc<RingtoneConfiguration>) {
        self.ringtones = ringtones;
    }

    /// Of sessions to come.
    pub(crate) fn set_session_config(&mut self, config: SessionConfig) {
        self.config.session = config;
        self.announce_trickle();
    }

    /// Whether nothing is under way any more: no session, and no BYE without its answer.
    pub(crate) fn is_settled(&self) -> bool {
        self.sessions.is_empty()
            && self.registrations.is_empty()
            && self.subscriptions.is_empty()
            && self.publications.is_empty()
            && self.subscribers.is_empty()
            && self.endpoint.is_settled()
    }

    /// Runs `command` on a session and carries out what comes of it; `None` if it is over.
    pub(crate) fn with_session<T>(
        &mut self,
        now: Now,
        id: SessionId,
        command: impl FnOnce(&mut SessionMachine, Context<'_>) -> T,
    ) -> Option<T> {
        let ringtones = self.ringtones.clone();
        let context = Context { now: now.instant, wall: now.wall, ringtones: &ringtones };
        let live = self.sessions.get_mut(&id)?;
        let result = command(&mut live.machine, context);
        self.carry_out(now, id);
        self.settle(now);
        Some(result)
    }

    /// Carries the effects of a session out, in order.
    fn carry_out(&mut self, now: Now, id: SessionId) {
        while let Some(effect) = self.sessions.get_mut(&id).and_then(|live| live.machine.poll_effect()) {
            match effect {
                Effect::Notify { snapshot, event } => {
                    self.outputs.push_back(Output::Notify { session: id, snapshot, event });
                }
                Effect::Snapshot(snapshot) => {
                    self.outputs.push_back(Output::Snapshot { session: id, snapshot })
                }
                Effect::Media(command) => self.outputs.push_back(Output::Media { session: id, command }),
                Effect::Sip(action) => {
                    self.perform(now, id, action);
                    self.drain_endpoint();
                }
            }
        }
        self.reschedule(id);
        if self.sessions.get(&id).is_some_and(|live| live.machine.is_ended()) {
            self.forget(now, id);
        }
    }

    fn reschedule(&mut self, id: SessionId) {
        let Some(live) = self.sessions.get_mut(&id) else { return };
        let deadline = live.machine.deadline();
        let old = std::mem::replace(&mut live.deadline, deadline);
        self.reschedule_due(Due::Session(id), old, deadline);
    }

    fn reschedule_due(&mut self, due: Due, old: Option<Instant>, new: Option<Instant>) {
        if old != new {
            if let Some(old) = old {
                self.deadlines.remove(&(old, due));
            }
            if let Some(new) = new {
                self.deadlines.insert((new, due));
            }
        }
    }

    fn post(&mut self, from: Origin, event: impl Into<Event>) {
        self.outputs.push_back(Output::Post { from, event: event.into() });
    }

    fn forget(&mut self, now: Now, id: SessionId) {
        self.referral_over(now, id);
        self.transfers.retain(|_, session| *session != id);
        if let Some(live) = self.sessions.remove(&id) {
            if let Some(deadline) = live.deadline {
                self.deadlines.remove(&(deadline, Due::Session(id)));
            }
            if let Some(call) = live.call {
                self.calls.remove(&call);
            }
            if let Some(request) = live.trickling {
                self.requests.remove(&request);
            }
        }
        // What one burst needed is given back.
        if self.sessions.capacity() > 64 && self.sessions.len() * 4 < self.sessions.capacity() {
            self.sessions.shrink_to(self.sessions.len() * 2);
            self.calls.shrink_to(self.calls.len() * 2);
        }
    }

    /// Takes what the endpoint has: packets go out in order, events wait for their turn.
    fn drain_endpoint(&mut self) {
        loop {
            match self.endpoint.poll_output() {
                sip::Output::Event(event) => self.events.push_back(event),
                sip::Output::Idle(deadline) => {
                    self.endpoint_deadline = deadline;
                    return;
                }
                output => self.outputs.push_back(Output::Sip(output)),
            }
        }
    }

    /// Handles events until there are none.
    fn settle(&mut self, now: Now) {
        loop {
            self.drain_endpoint();
            if let Some((id, event)) = self.refused.pop_front() {
                self.tell_session(now, id, event);
            } else if let Some(event) = self.events.pop_front() {
                self.dispatch(now, event);
            } else {
                return;
            }
        }
    }

    /// 96 random bits as text.
    fn token(&mut self) -> String {
        let mut bytes = [0; 12];
        self.random.fill_bytes(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn new_session_id(&self) -> SessionId {
        SessionId(self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    /// A local address of SIP, the first that was bound.
    pub(crate) fn bound(&mut self, now: Now, transport: sip::Transport, local: SocketAddr) {
        self.handle_sip(now, sip::Input::Bound { transport, local });
    }
}

#[cfg(test)]
impl Engine {
    fn state_of(&self, id: SessionId) -> Option<crate::session::State> {
        self.sessions.get(&id).map(|live| live.machine.snapshot().state)
    }

    /// Nothing of sessions that are over is left in any table.
    fn assert_empty(&self, context: &dyn Fn() -> String) {
        let left = [
            ("sessions", self.sessions.len()),
            ("calls", self.calls.len()),
            ("transfers", self.transfers.len()),
            ("referrals", self.referrals.len()),
            ("requests", self.requests.len()),
            ("deadlines", self.deadlines.len()),
            ("refused", self.refused.len()),
            ("subscribers", self.subscribers.len()),
            ("notifiers", self.notifiers.len()),
            ("asked_outside", self.asked_outside.len()),
        ];
        for (table, size) in left {
            assert_eq!(size, 0, "{size} are left in {table}: {}", context());
        }
    }
}

impl Live {
    fn new(machine: SessionMachine) -> Self {
        Self {
            machine,
            call: None,
            request: None,
            asked: None,
            replaced: false,
            trickling: None,
            deadline: None,
        }
    }

    fn is_null(&self) -> bool {
        self.machine.snapshot().state == crate::session::State::Null
    }
}

fn bytes32(random: &mut ChaCha20Rng) -> [u8; 32] {
    let mut bytes = [0; 32];
    random.fill_bytes(&mut bytes);
    bytes
}
