//! What a driver holds for one stream.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use smallvec::SmallVec;

use super::candidate::{self, Address, Candidate, CandidateKind, TcpType, Transport};
use super::config::{
    AgentError, Config, Event, Input, LocalCandidate, Output, Path, Policy, Role, SelectedPair, State, Stats,
    can_meet, is_forbidden, transports_meet,
};
use super::consent::Selected;
use super::credentials::{Credentials, RemoteParameters};
use super::pair::{Checklist, Pair, PairState, pair_priority};
use crate::crypto;
use crate::stun::Key;

/// An ICE agent for the components of one stream.
///
/// The offerer makes it as controlling, gathers, signals [`Agent::credentials`] and the candidates,
/// and gives it what the answer says; the answerer does the same as controlled. Candidates of
/// either end may come one by one (RFC 8838). A driver sends what [`Agent::poll_output`] says, from
/// the socket (or through the allocation) of [`Path::base`], and hands in what
/// [`PacketKind::of`](super::PacketKind::of) says is STUN.
///
/// ```
/// use ice_stun::ice::{Agent, Candidate, Config, Input, LocalCandidate, Output, Role, Transport};
/// use ice_stun::ice::{RemoteParameters, State};
/// # #[expect(clippy::disallowed_methods)]
/// # let now = std::time::Instant::now();
///
/// let mut offerer = Agent::new(Config::default(), [1; 32]);
/// let mut answerer = Agent::new(Config { role: Role::Controlled, ..Config::default() }, [2; 32]);
/// for (agent, address) in [(&mut offerer, "192.0.2.1:5000"), (&mut answerer, "192.0.2.2:6000")] {
///     let host = Candidate::host(1, Transport::Udp, address.parse()?, 65_535);
///     agent.add_local_candidate(now, LocalCandidate::based_on_itself(host).expect("it has an address"))?;
/// }
/// // What the descriptions carry.
/// let (offer, answer) = (offerer.credentials().clone(), answerer.credentials().clone());
/// answerer.set_remote_parameters(now, RemoteParameters::new(offer));
/// offerer.set_remote_parameters(now, RemoteParameters::new(answer));
/// answerer.add_remote_candidate(now, "1 1 UDP 2130706431 192.0.2.1 5000 typ host".parse()?);
/// offerer.add_remote_candidate(now, "1 1 UDP 2130706431 192.0.2.2 6000 typ host".parse()?);
/// for agent in [&mut offerer, &mut answerer] {
///     agent.end_of_local_candidates(now);
///     agent.end_of_remote_candidates(now);
/// }
/// // A driver with sockets moves datagrams; here they arrive at once.
/// let mut at = now;
/// while offerer.state() != State::Completed || answerer.state() != State::Completed {
///     for turn in [true, false] {
///         let (from, to) = if turn { (&mut offerer, &mut answerer) } else { (&mut answerer, &mut offerer) };
///         from.handle_timeout(at);
///         loop {
///             match from.poll_output() {
///                 Output::Transmit(it) => {
///                     let mut path = it.path;
///                     std::mem::swap(&mut path.base, &mut path.remote);
///                     to.handle_input(at, Input::Datagram { path, data: &it.data });
///                 }
///                 Output::Idle(_) => break,
///                 _ => {}
///             }
///         }
///     }
///     at += std::time::Duration::from_millis(50);
/// }
/// assert_eq!(offerer.selected(1).map(|pair| pair.path.remote), Some("192.0.2.2:6000".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Agent {
    pub(super) config: Config,
    pub(super) role: Role,
    pub(super) tie_breaker: u64,
    pub(super) random: ChaCha20Rng,
    pub(super) locals: Vec<Local>,
    pub(super) generation: Generation,
    /// Ours before the last restart: the peer's checks of then are still answered.
    pub(super) previous: Option<Own>,
    pub(super) selected: [Option<Selected>; 2],
    pub(super) state: State,
    pub(super) queue: VecDeque<Output>,
    /// No new check before this.
    pub(super) next_check: Option<Instant>,
    pub(super) stats: Stats,
}

/// Credentials of ours and their key.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) credentials: Credentials,
    pub(super) key: Key,
}

#[derive(Clone, Debug)]
pub(super) struct Local {
    pub(super) candidate: Candidate,
    pub(super) base: SocketAddr,
    /// Its base has no other candidate that pairs are made of (RFC 8445 §6.1.2.4).
    pairing: bool,
}

impl Local {
    /// One that a peer sees; its base has another.
    pub(super) fn reflexive(candidate: Candidate, base: SocketAddr) -> Self {
        Self { candidate, base, pairing: false }
    }

    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.base == path.base
            && self.candidate.component() == path.component
            && self.candidate.transport().is_tcp() == path.tcp
    }

    /// RFC 8445 §7.1.1: what a peer-reflexive candidate of this base would have.
    pub(super) fn reflexive_priority(&self) -> u32 {
        let kind = CandidateKind::PeerReflexive;
        let top = candidate::priority(kind, self.candidate.transport(), 0, 1) >> 24 << 24;
        top | self.candidate.priority() & 0x00ff_ffff
    }
}

/// The peer of a generation.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) parameters: RemoteParameters,
    pub(super) key: Key,
    /// `its:ours`
    pub(super) username: String,
}

#[derive(Clone, Debug)]
pub(super) struct Remote {
    pub(super) candidate: Candidate,
    pub(super) address: SocketAddr,
}

/// A check that came before the remote parameters (RFC 8445 §7.3).
#[derive(Clone, Debug)]
pub(super) struct Early {
    pub(super) path: Path,
    pub(super) ufrag: String,
    pub(super) priority: u32,
    pub(super) nominates: bool,
}

/// What a restart begins anew (RFC 8445 §9).
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) own: Own,
    pub(super) peer: Option<Peer>,
    pub(super) remotes: Vec<Remote>,
    /// Remote candidates whose names are being resolved.
    names: Vec<Candidate>,
    pub(super) list: Checklist,
    pub(super) early: Vec<Early>,
    pub(super) local_done: bool,
    pub(super) remote_done: bool,
    /// When checks began, or began to be possible again.
    pub(super) started: Option<Instant>,
    pub(super) first_valid: [Option<Instant>; 2],
    /// The pairs whose nomination is on its way.
    pub(super) nominating: [Option<u32>; 2],
    pub(super) role_switches: u32,
    /// Consent was lost: only a restart helps.
    pub(super) dead: bool,
    pub(super) failed: bool,
}

impl Generation {
    fn new(credentials: Credentials) -> Self {
        let key = Key::short_term(credentials.password());
        Self {
            own: Own { credentials, key },
            peer: None,
            remotes: Vec::new(),
            names: Vec::new(),
            list: Checklist::default(),
            early: Vec::new(),
            local_done: false,
            remote_done: false,
            started: None,
            first_valid: [None; 2],
            nominating: [None; 2],
            role_switches: 0,
            dead: false,
            failed: false,
        }
    }
}

impl Agent {
    /// An agent; `seed` is all its entropy: credentials, tie-breaker, transaction ids.
    pub fn new(config: Config, seed: [u8; 32]) -> Self {
        let mut random = ChaCha20Rng::from_seed(seed);
        let credentials = Credentials::random(&mut random);
        Self::with(config, credentials, random)
    }

    /// An agent whose credentials were made elsewhere, at random (RFC 8839 §5.4).
    pub fn with_credentials(config: Config, credentials: Credentials, seed: [u8; 32]) -> Self {
        Self::with(config, credentials, ChaCha20Rng::from_seed(seed))
    }

    fn with(config: Config, credentials: Credentials, mut random: ChaCha20Rng) -> Self {
        let config = Config { components: config.components.clamp(1, 2), ..config };
        Self {
            config,
            role: if config.lite { Role::Controlled } else { config.role },
            tie_breaker: random.next_u64(),
            generation: Generation::new(credentials),
            random,
            locals: Vec::new(),
            previous: None,
            selected: [None, None],
            state: State::New,
            queue: VecDeque::new(),
            next_check: None,
            stats: Stats::default(),
        }
    }

    /// What the peer must be told: `a=ice-ufrag` and `a=ice-pwd`.
    pub fn credentials(&self) -> &Credentials {
        &self.generation.own.credentials
    }

    /// Its role now.
    pub fn role(&self) -> Role {
        self.role
    }

    /// How far it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// How it behaves.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What was left out, and what it cost.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Where media of a component goes; nowhere without a working pair or without consent.
    pub fn selected(&self, component: u16) -> Option<SelectedPair> {
        self.selected_at(component).map(|selected| selected.pair)
    }

    /// The candidates to signal, in the order they came; those that peers told us are left out.
    pub fn local_candidates(&self) -> impl Iterator<Item = &Candidate> {
        let is_ours = |candidate: &&Candidate| candidate.kind() != CandidateKind::PeerReflexive;
        self.locals.iter().map(|local| &local.candidate).filter(is_ours)
    }

    /// What the peer was heard to have, in the order it came.
    pub fn remote_candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.generation.remotes.iter().map(|remote| &remote.candidate)
    }

    /// Adds a candidate of ours; also while checks run (RFC 8838). One whose address and base are
    /// known already changes nothing (RFC 8445 §5.1.3).
    pub fn add_local_candidate(&mut self, now: Instant, local: LocalCandidate) -> Result<(), AgentError> {
        let LocalCandidate { candidate, base } = local;
        if !(1..=self.config.components).contains(&candidate.component()) {
            return Err(AgentError::Component(candidate.component()));
        }
        let address = candidate.socket_address().ok_or(AgentError::Address)?;
        let active = candidate.transport() == Transport::Tcp(TcpType::Active);
        if address.is_ipv4() != base.is_ipv4() {
            return Err(AgentError::Address);
        }
        let relay_only =
            self.config.policy == Policy::RelayOnly && candidate.kind() != CandidateKind::Relayed;
        if relay_only || (!active && is_forbidden(base, self.config.loopback)) {
            return Err(AgentError::Policy);
        }
        // An active one has no port; its base stands for all of its connections.
        let base = if active { SocketAddr::new(base.ip(), 9) } else { base };
        let tcp = candidate.transport().is_tcp();
        let same_base = |old: &&Local| {
            old.base == base
                && old.candidate.component() == candidate.component()
                && old.candidate.transport().is_tcp() == tcp
        };
        if self.locals.iter().filter(same_base).any(|old| old.candidate.socket_address() == Some(address)) {
            return Ok(());
        }
        if self.locals.len() >= self.config.max_local_candidates {
            return Err(AgentError::TooMany(self.config.max_local_candidates));
        }
        let pairing = !self.locals.iter().any(|old| same_base(&old));
        let local = Local { candidate, base, pairing };
        self.locals.push(local.clone());
        if pairing {
            for at in 0..self.generation.remotes.len() {
                if let Some(remote) = self.generation.remotes.get(at).cloned() {
                    self.pair(now, &local, &remote);
                }
            }
            self.generation.list.unfreeze_groups();
        }
        self.advance(now);
        Ok(())
    }

    /// All candidates of ours are there: what fails from now on may fail for good.
    pub fn end_of_local_candidates(&mut self, now: Instant) {
        self.generation.local_done = true;
        self.advance(now);
    }

    /// An address of ours is gone (its interface or its relay), with all that was sent from it. If
    /// media went there, [`Event::ConsentLost`] says so, and another pair that works takes over; a
    /// [restart](Agent::restart) finds new ones.
    pub fn remove_local_candidates(&mut self, now: Instant, base: SocketAddr) {
        self.locals.retain(|local| local.base != base);
        self.generation.list.retain(|pair| pair.path.base != base);
        self.generation.nominating = [None; 2];
        let lost = self.selected.iter().flatten().any(|selected| selected.pair.path.base == base);
        self.drop_selected(|selected| selected.pair.path.base == base);
        if lost {
            self.pair_all(now);
        }
        self.advance(now);
    }

    /// What came while there was a pair was not paired: now there is need of it.
    fn pair_all(&mut self, now: Instant) {
        self.generation.started = self.generation.started.map(|_| now);
        let locals: Vec<Local> = self.locals.iter().filter(|local| local.pairing).cloned().collect();
        for local in &locals {
            for at in 0..self.generation.remotes.len() {
                if let Some(remote) = self.generation.remotes.get(at).cloned() {
                    self.pair(now, local, &remote);
                }
            }
        }
        self.generation.list.unfreeze_groups();
    }

    /// What the peer's description says of it. Other credentials than before mean that it restarts:
    /// then this end does too, with new credentials that the answer must carry.
    pub fn set_remote_parameters(&mut self, now: Instant, parameters: RemoteParameters) {
        if let Some(peer) = &mut self.generation.peer {
            if peer.parameters.credentials == parameters.credentials {
                peer.parameters = parameters;
                return;
            }
            self.restart(now);
        }
        let lite = parameters.lite;
        let key = Key::short_term(parameters.credentials.password());
        let username = format!("{}:{}", parameters.credentials.ufrag(), self.credentials().ufrag());
        if let Some(ms) = parameters.pacing {
            // RFC 8839 §5.5: the greater of both, within reason.
            let theirs = Duration::from_millis(u64::from(ms)).min(Duration::from_secs(1));
            self.config.pacing = self.config.pacing.max(theirs);
        }
        self.generation.peer = Some(Peer { parameters, key, username });
        self.generation.started = Some(now);
        // RFC 8445 §6.1.1: a full agent controls a lite one.
        if lite && !self.config.lite && self.role == Role::Controlled {
            self.set_role(Role::Controlling);
        }
        self.replay_early(now);
        self.generation.list.unfreeze_groups();
        self.advance(now);
    }

    /// A candidate of the peer; also while checks run (RFC 8838). What is forbidden or too many is
    /// left out and counted.
    pub fn add_remote_candidate(&mut self, now: Instant, candidate: Candidate) {
        let peer_ufrag = self.generation.peer.as_ref().map(|peer| peer.parameters.credentials.ufrag());
        let stale = matches!((candidate.ufrag(), peer_ufrag), (Some(one), Some(other)) if one != other);
        let known = self.generation.remotes.len() + self.generation.names.len();
        if stale
            || !(1..=self.config.components).contains(&candidate.component())
            || known >= self.config.max_remote_candidates + self.config.max_peer_reflexive
        {
            self.stats.remote_left_out += 1;
            return;
        }
        match candidate.address() {
            // RFC 8839 §5.1 leaves other names to the receiver; here they are not asked for.
            Address::Name(name) if name.to_ascii_lowercase().ends_with(".local") => {
                let name = name.clone();
                if !self.generation.names.iter().any(|old| *old.address() == Address::Name(name.clone())) {
                    self.queue.push_back(Output::Resolve(name));
                }
                self.generation.names.push(candidate);
            }
            Address::Name(_) => self.stats.remote_left_out += 1,
            Address::Ip(_) => {
                self.learn_remote(now, candidate);
                self.generation.list.unfreeze_groups();
                self.advance(now);
            }
        }
    }

    /// The peer has no more candidates: `a=end-of-candidates` (RFC 8840 §8.2), or a description
    /// without trickle.
    pub fn end_of_remote_candidates(&mut self, now: Instant) {
        self.generation.remote_done = true;
        self.advance(now);
    }

    /// How many components are used from now on: 1 where the peer multiplexes RTCP after all.
    pub fn set_components(&mut self, now: Instant, components: u16) {
        let components = components.clamp(1, 2);
        self.config.components = components;
        self.locals.retain(|local| local.candidate.component() <= components);
        self.generation.remotes.retain(|remote| remote.candidate.component() <= components);
        self.generation.list.retain(|pair| pair.path.component <= components);
        if components == 1 {
            self.selected[1] = None;
            self.generation.nominating[1] = None;
        }
        self.advance(now);
    }

    /// Begins anew (RFC 8445 §9): new credentials, which must be signalled with all candidates of
    /// ours; the peer's are forgotten. Media stays on the selected pairs until others are nominated.
    pub fn restart(&mut self, now: Instant) {
        let credentials = Credentials::random(&mut self.random);
        self.restart_with(now, credentials);
    }

    /// The same with credentials that were made elsewhere, at random.
    pub fn restart_with(&mut self, now: Instant, credentials: Credentials) {
        let new = Generation::new(credentials);
        let old = std::mem::replace(&mut self.generation, new);
        self.generation.local_done = old.local_done;
        self.previous = Some(old.own);
        self.locals.retain(|local| local.candidate.kind() != CandidateKind::PeerReflexive);
        for selected in self.selected.iter_mut().flatten() {
            selected.is_old = true;
        }
        self.advance(now);
    }

    /// What the world did.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Datagram { path, data } => self.on_datagram(now, path, data),
            Input::Connected(path) => {
                if let Some(pair) = self.generation.list.find(path) {
                    pair.connected = true;
                    let id = pair.id;
                    if pair.state == PairState::InProgress && pair.check.is_none() {
                        self.start_check(now, id);
                    }
                }
            }
            Input::Closed(path) => {
                if let Some(pair) = self.generation.list.find(path) {
                    pair.connected = false;
                    pair.fail();
                }
                self.drop_selected(|selected| selected.pair.path == path);
            }
            Input::Resolved { name, address } => {
                let named =
                    |candidate: &Candidate| matches!(candidate.address(), Address::Name(n) if n == name);
                let names = std::mem::take(&mut self.generation.names);
                let (found, rest): (Vec<_>, Vec<_>) = names.into_iter().partition(named);
                self.generation.names = rest;
                for candidate in found {
                    match address {
                        Some(ip) => self.learn_remote(now, candidate.resolved(ip)),
                        None => self.stats.remote_left_out += 1,
                    }
                }
                self.generation.list.unfreeze_groups();
            }
        }
        self.advance(now);
    }

    /// The deadline of [`Output::Idle`] has come, or not: early and late calls are fine.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.repeat_checks(now);
        self.keep_consent(now);
        self.advance(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        self.queue.pop_front().unwrap_or_else(|| Output::Idle(self.deadline()))
    }

    pub(super) fn selected_at(&self, component: u16) -> Option<&Selected> {
        self.selected.get(slot(component)?)?.as_ref()
    }

    /// Judges what there is and starts what is due.
    pub(super) fn advance(&mut self, now: Instant) {
        self.judge(now);
        self.pace(now);
    }

    fn deadline(&self) -> Option<Instant> {
        let list = &self.generation.list;
        let checks = list.pairs.iter().flat_map(|pair| {
            pair.check.iter().chain(&pair.cancelled).map(|check| check.transaction.deadline())
        });
        let pacing = if self.can_check() && list.next().is_some() { self.next_check } else { None };
        checks
            .chain(pacing)
            .chain(self.nomination_deadline())
            .chain(self.failure_deadline())
            .chain(self.selected.iter().flatten().filter_map(|selected| selected.deadline(&self.config)))
            .min()
    }

    pub(super) fn set_role(&mut self, role: Role) {
        if self.role == role {
            return;
        }
        self.role = role;
        for pair in &mut self.generation.list.pairs {
            pair.priority = pair_priority(role, pair.local_priority, pair.remote_priority);
            pair.to_nominate = false;
        }
        self.generation.nominating = [None; 2];
        self.queue.push_back(Output::Event(Event::RoleChanged(role)));
    }

    pub(super) fn set_state(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.queue.push_back(Output::Event(Event::StateChanged(state)));
        }
    }

    /// Media stops where `lost` says so.
    pub(super) fn drop_selected(&mut self, lost: impl Fn(&Selected) -> bool) {
        for (slot, component) in self.selected.iter_mut().zip(1..) {
            if slot.as_ref().is_some_and(&lost) {
                *slot = None;
                self.queue.push_back(Output::Event(Event::ConsentLost { component }));
            }
        }
    }

    /// Takes a remote candidate with an IP address.
    fn learn_remote(&mut self, now: Instant, candidate: Candidate) {
        let Some(address) = candidate.socket_address() else { return };
        let active = candidate.transport() == Transport::Tcp(TcpType::Active);
        let (component, tcp) = (candidate.component(), candidate.transport().is_tcp());
        let signalled = |remote: &&Remote| remote.candidate.kind() != CandidateKind::PeerReflexive;
        if (is_forbidden(address, self.config.loopback) && !active)
            || self.generation.remotes.iter().filter(signalled).count() >= self.config.max_remote_candidates
        {
            self.stats.remote_left_out += 1;
            return;
        }
        let same = |remote: &&mut Remote| {
            remote.address == address
                && remote.candidate.component() == component
                && remote.candidate.transport().is_tcp() == tcp
        };
        if let Some(known) = self.generation.remotes.iter_mut().find(same) {
            // RFC 8838 §11.4: what a check told is replaced by what the peer says of it.
            if known.candidate.kind() != CandidateKind::PeerReflexive {
                return;
            }
            known.candidate = candidate.clone();
            for pair in &mut self.generation.list.pairs {
                let path = pair.path;
                if path.remote == address && path.component == component && path.tcp == tcp {
                    pair.remote_kind = candidate.kind();
                    pair.remote_priority = candidate.priority();
                    pair.priority = pair_priority(self.role, pair.local_priority, pair.remote_priority);
                }
            }
            return;
        }
        let remote = Remote { candidate, address };
        self.generation.remotes.push(remote.clone());
        let locals: Vec<Local> = self.locals.iter().filter(|local| local.pairing).cloned().collect();
        for local in &locals {
            self.pair(now, local, &remote);
        }
    }

    /// Pairs two candidates, if they can meet (RFC 8445 §6.1.2.2).
    fn pair(&mut self, now: Instant, local: &Local, remote: &Remote) {
        let (mine, theirs) = (&local.candidate, &remote.candidate);
        if mine.component() != theirs.component()
            || !transports_meet(mine.transport(), theirs.transport())
            || !can_meet(local.base.ip(), remote.address.ip())
        {
            return;
        }
        let path = Path {
            component: mine.component(),
            tcp: mine.transport().is_tcp(),
            base: local.base,
            remote: remote.address,
        };
        if self.generation.list.find(path).is_none() && self.needs_pairs(path.component) {
            self.add_pair(now, path, local, remote);
        }
    }

    /// Whether new pairs of this component are of any use.
    fn needs_pairs(&self, component: u16) -> bool {
        !self.generation.dead && !self.generation.list.of(component).any(|pair| pair.nominated)
    }

    pub(super) fn add_pair(
        &mut self,
        now: Instant,
        path: Path,
        local: &Local,
        remote: &Remote,
    ) -> Option<u32> {
        let (mine, theirs) = (local.candidate.priority(), remote.candidate.priority());
        let foundation = |candidate: &Candidate| u64::from(crypto::crc32(candidate.foundation().as_bytes()));
        let pair = Pair {
            id: 0,
            path,
            local_kind: local.candidate.kind(),
            remote_kind: remote.candidate.kind(),
            local_priority: mine,
            remote_priority: theirs,
            reflexive_priority: local.reflexive_priority(),
            foundation: foundation(&local.candidate) << 32 | foundation(&remote.candidate),
            priority: pair_priority(self.role, mine, theirs),
            state: PairState::Frozen,
            check: None,
            cancelled: SmallVec::new(),
            checked: None,
            valid: None,
            round_trip: Duration::ZERO,
            to_nominate: false,
            peer_nominates: false,
            nominated: false,
            heard: false,
            renewed: 0,
            connected: false,
        };
        let (id, left_out) = self.generation.list.add(pair, self.config.max_pairs);
        self.stats.pairs_left_out += u64::from(left_out);
        // Something new to try: what had failed has not.
        if id.is_some() && self.generation.failed {
            self.generation.failed = false;
            self.generation.started = Some(now);
        }
        id
    }
}

/// Where a component stands in arrays of both.
pub(super) fn slot(component: u16) -> Option<usize> {
    usize::from(component).checked_sub(1).filter(|slot| *slot < 2)
}
