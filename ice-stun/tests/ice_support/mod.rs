//! Two agents, the network between them, a STUN server and a relay, in virtual time.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use ice_stun::ice::{
    Agent, Candidate, Config, Event, Input, LocalCandidate, Output, PacketKind, Path, RemoteParameters, Role,
    SelectedPair, State, Transport,
};
use ice_stun::stun::{Builder, Class, Message, Method, XorMappedAddress};
use testkit::{Clock, Delivery, Link, Nat, NatKind, Network, Random};

pub const MS: Duration = Duration::from_millis(1);
pub const STUN: &str = "198.51.100.1:3478";
pub const RELAY: &str = "198.51.100.9:3478";

pub fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub fn seed(number: u8) -> [u8; 32] {
    [number; 32]
}

/// One side: an agent and its sockets.
pub struct End {
    pub agent: Agent,
    /// Component and address.
    pub sockets: Vec<(u16, SocketAddr)>,
    /// Relayed address, and the socket that talks to the relay.
    pub relayed: Vec<(SocketAddr, SocketAddr)>,
    pub events: Vec<(Duration, Event)>,
    pub sent: u64,
    /// Packets sent up to the first selected pair of each component.
    pub sent_to_selected: Option<u64>,
    pub asked: Vec<String>,
    pub connects: Vec<Path>,
    pub disconnects: Vec<Path>,
    pub deadline: Option<Instant>,
    /// Candidates of ours that the other end has been told.
    told: usize,
}

impl End {
    pub fn new(config: Config, number: u8) -> Self {
        Self {
            agent: Agent::new(config, seed(number)),
            sockets: Vec::new(),
            relayed: Vec::new(),
            events: Vec::new(),
            sent: 0,
            sent_to_selected: None,
            asked: Vec::new(),
            connects: Vec::new(),
            disconnects: Vec::new(),
            deadline: None,
            told: 0,
        }
    }

    pub fn parameters(&self) -> RemoteParameters {
        let mut parameters = RemoteParameters::new(self.agent.credentials().clone());
        parameters.options.ice2 = true;
        parameters.lite = self.agent.config().lite;
        parameters
    }

    pub fn selected(&self, component: u16) -> Option<SelectedPair> {
        self.agent.selected(component)
    }

    pub fn count(&self, test: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| test(event)).count()
    }

    pub fn when(&self, test: impl Fn(&Event) -> bool) -> Option<Duration> {
        self.events.iter().find(|(_, event)| test(event)).map(|(at, _)| *at)
    }
}

/// A relay of the simplest kind: permissions by address, no authentication, text headers.
#[derive(Default)]
struct Relay {
    /// Relayed address to the client as the relay sees it.
    clients: BTreeMap<SocketAddr, SocketAddr>,
    permitted: BTreeSet<(SocketAddr, IpAddr)>,
    next: u16,
}

/// Everything.
pub struct World {
    pub clock: Clock,
    pub network: Network,
    pub ends: [End; 2],
    relay: Relay,
    pub max_steps: u32,
}

impl World {
    pub fn new(number: u64, controlling: Config, controlled: Config) -> Self {
        let controlled = Config { role: Role::Controlled, ..controlled };
        Self {
            clock: Clock::new(),
            network: Network::new(number),
            ends: [End::new(controlling, 1), End::new(controlled, 2)],
            relay: Relay::default(),
            max_steps: 0,
        }
    }

    /// Two agents with one host candidate each on one network.
    pub fn simple() -> Self {
        let mut world = Self::new(1, Config::default(), Config::default());
        world.network.set_default(Link::delayed(10 * MS));
        world.add_host(0, 1, addr("10.0.0.1:5000"));
        world.add_host(1, 1, addr("10.0.0.2:6000"));
        world
    }

    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    pub fn place_behind(&mut self, host: &str, nat: Nat) {
        let id = self.network.add_nat(nat);
        self.network.place(host.parse().expect("an address"), id);
    }

    pub fn add_host(&mut self, end: usize, component: u16, address: SocketAddr) {
        let now = self.now();
        let end = &mut self.ends[end];
        end.sockets.push((component, address));
        let candidate = Candidate::host(component, Transport::Udp, address, 65_535);
        let local = LocalCandidate::based_on_itself(candidate).expect("it has an address");
        end.agent.add_local_candidate(now, local).expect("the agent takes it");
    }

    /// What the STUN server sees of a socket; over the network as it is now.
    pub fn add_reflexive(&mut self, end: usize, component: u16, base: SocketAddr) {
        let request = Builder::new(Class::Request, Method::BINDING, [9; 12]).finish();
        self.network.send(self.clock.now(), base, addr(STUN), request);
        let mapped = loop {
            let at = self.network.next_at().expect("gathering runs on a perfect network");
            self.clock.advance_to(at);
            let Some(Delivery::Datagram(datagram)) = self.network.deliver(self.clock.now()) else { continue };
            if datagram.to == addr(STUN) {
                let request = Message::parse(&datagram.data).expect("a request");
                let answer = Builder::answer(&request, Class::Success)
                    .attribute(&XorMappedAddress(datagram.from))
                    .expect("an address fits")
                    .finish();
                self.network.send(self.clock.now(), addr(STUN), datagram.from, answer);
            } else {
                let answer = Message::parse(&datagram.data).expect("an answer");
                break answer.get::<XorMappedAddress>().expect("it is there").expect("and right").0;
            }
        };
        let candidate = Candidate::server_reflexive(component, mapped, base, addr(STUN).ip(), 65_535);
        let now = self.now();
        let local = LocalCandidate { candidate, base };
        self.ends[end].agent.add_local_candidate(now, local).expect("the agent takes it");
    }

    /// An allocation on the relay.
    pub fn add_relayed(&mut self, end: usize, component: u16, socket: SocketAddr) -> SocketAddr {
        self.network.send(self.clock.now(), socket, addr(RELAY), b"allocate".to_vec());
        let client = loop {
            let at = self.network.next_at().expect("gathering runs on a perfect network");
            self.clock.advance_to(at);
            if let Some(Delivery::Datagram(datagram)) = self.network.deliver(self.clock.now()) {
                break datagram.from;
            }
        };
        self.relay.next += 1;
        let relayed = SocketAddr::new(addr(RELAY).ip(), 49_151 + self.relay.next);
        self.relay.clients.insert(relayed, client);
        let now = self.now();
        let candidate = Candidate::relayed(component, relayed, client, addr(RELAY).ip(), 65_535);
        let local = LocalCandidate::based_on_itself(candidate).expect("it has an address");
        self.ends[end].relayed.push((relayed, socket));
        self.ends[end].agent.add_local_candidate(now, local).expect("the agent takes it");
        relayed
    }

    /// Offer and answer with all candidates, at once.
    pub fn signal(&mut self) {
        self.signal_parameters();
        self.trickle();
        let now = self.now();
        for end in &mut self.ends {
            end.agent.end_of_local_candidates(now);
            end.agent.end_of_remote_candidates(now);
        }
    }

    pub fn signal_parameters(&mut self) {
        let now = self.now();
        for (to, from) in [(1, 0), (0, 1)] {
            let parameters = self.ends[from].parameters();
            self.ends[to].agent.set_remote_parameters(now, parameters);
        }
    }

    /// The candidates that the other end does not know yet, over the text of SDP.
    pub fn trickle(&mut self) {
        let now = self.now();
        for (to, from) in [(1, 0), (0, 1)] {
            let all: Vec<String> =
                self.ends[from].agent.local_candidates().map(ToString::to_string).collect();
            for line in all.iter().skip(self.ends[from].told) {
                self.ends[to].agent.add_remote_candidate(now, line.parse().expect("our own line"));
            }
            self.ends[from].told = all.len();
        }
    }

    /// All candidates are to be signalled again.
    pub fn forget_told(&mut self) {
        self.ends.iter_mut().for_each(|end| end.told = 0);
    }

    /// Sends all that waits.
    pub fn flush(&mut self) {
        let now = self.clock.now();
        for end in &mut self.ends {
            loop {
                match end.agent.poll_output() {
                    Output::Transmit(transmit) => {
                        end.sent += 1;
                        let path = transmit.path;
                        match end.relayed.iter().find(|(relayed, _)| *relayed == path.base) {
                            Some((_, socket)) => {
                                assert!(transmit.relayed);
                                let mut framed = format!("{} ", path.remote).into_bytes();
                                framed.extend_from_slice(&transmit.data);
                                self.network.send(now, *socket, addr(RELAY), framed);
                            }
                            None => {
                                assert!(!transmit.relayed);
                                self.network.send(now, path.base, path.remote, transmit.data);
                            }
                        }
                    }
                    Output::Event(event) => {
                        end.events.push((self.clock.elapsed(), event));
                        if end.sent_to_selected.is_none()
                            && matches!(end.agent.state(), State::Connected | State::Completed)
                        {
                            end.sent_to_selected = Some(end.sent);
                        }
                    }
                    Output::Resolve(name) => end.asked.push(name),
                    Output::Connect(path) => end.connects.push(path),
                    Output::Disconnect(path) => end.disconnects.push(path),
                    Output::Idle(deadline) => {
                        end.deadline = deadline;
                        break;
                    }
                }
            }
        }
    }

    fn deliver(&mut self) {
        let now = self.clock.now();
        while let Some(delivery) = self.network.deliver(now) {
            let Delivery::Datagram(datagram) = delivery else { continue };
            let (from, to, data) = (datagram.from, datagram.to, datagram.data);
            if to == addr(RELAY) {
                let own = self.relay.clients.iter().find(|(_, client)| **client == from).map(|(own, _)| *own);
                let space = data.iter().position(|byte| *byte == b' ');
                if let (Some(relayed), Some(space)) = (own, space) {
                    let peer = addr(std::str::from_utf8(&data[..space]).expect("text"));
                    self.relay.permitted.insert((relayed, peer.ip()));
                    self.network.send(now, relayed, peer, &data[space + 1..]);
                }
            } else if let Some(client) = self.relay.clients.get(&to) {
                if self.relay.permitted.contains(&(to, from.ip())) {
                    let mut framed = format!("{to} {from} ").into_bytes();
                    framed.extend_from_slice(&data);
                    self.network.send(now, addr(RELAY), *client, framed);
                }
            } else {
                self.receive(to, from, &data);
            }
        }
    }

    fn receive(&mut self, to: SocketAddr, from: SocketAddr, data: &[u8]) {
        let now = self.clock.now();
        for end in &mut self.ends {
            let Some((component, _)) = end.sockets.iter().find(|(_, socket)| *socket == to) else { continue };
            let (mut path, mut data) =
                (Path { component: *component, tcp: false, base: to, remote: from }, data);
            if from == addr(RELAY) {
                let mut parts = data.splitn(3, |byte| *byte == b' ');
                let mut text = || parts.next().map(|part| std::str::from_utf8(part).expect("text"));
                let (relayed, peer) = (text().expect("relayed"), text().expect("peer"));
                path = Path { base: addr(relayed), remote: addr(peer), ..path };
                data = &data[relayed.len() + peer.len() + 2..];
            }
            if PacketKind::of(data) == PacketKind::Stun {
                end.agent.handle_input(now, Input::Datagram { path, data });
            }
            return;
        }
    }

    /// Hands bytes to an agent as if they had come.
    pub fn inject(&mut self, end: usize, path: Path, data: &[u8]) {
        let now = self.now();
        self.ends[end].agent.handle_input(now, Input::Datagram { path, data });
    }

    /// Runs for so long, or until `done`.
    pub fn run(&mut self, time: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let until = self.clock.now() + time;
        let mut still = 0;
        loop {
            self.flush();
            if done(self) {
                return true;
            }
            let deadlines = self.ends.iter().filter_map(|end| end.deadline);
            let Some(next) = deadlines.chain(self.network.next_at()).min().filter(|next| *next <= until)
            else {
                self.clock.advance_to(until);
                return done(self);
            };
            still = if next > self.clock.now() { 0 } else { still + 1 };
            assert!(still < 10_000, "virtual time stands still");
            self.clock.advance_to(next);
            self.deliver();
            self.flush();
            for end in &mut self.ends {
                if end.deadline.is_some_and(|at| at <= self.clock.now()) {
                    end.agent.handle_timeout(self.clock.now());
                }
            }
        }
    }

    pub fn both(&self, state: State) -> bool {
        self.ends.iter().all(|end| end.agent.state() == state)
    }

    pub fn run_until_completed(&mut self, time: Duration) -> bool {
        self.run(time, |world| world.both(State::Completed))
    }

    /// Both ends chose the same path: what A sends reaches B at what B sends from, and back.
    pub fn assert_media_flows(&mut self, component: u16) {
        let pairs = [0, 1].map(|end| self.ends[end].selected(component).expect("a selected pair"));
        for (to, from) in [(1, 0), (0, 1)] {
            let pair: SelectedPair = pairs[from];
            let peer: SelectedPair = pairs[to];
            self.network.set_default(Link::default());
            // What is on its way arrives first, and nothing overtakes it.
            let now = self.clock.now() + Duration::from_secs(3);
            while self.network.deliver(now).is_some() {}
            let socket =
                |end: &End, base| end.relayed.iter().find(|(own, _)| *own == base).map(|(_, at)| *at);
            match socket(&self.ends[from], pair.path.base) {
                Some(socket) => {
                    let framed = format!("{} \u{1}media", pair.path.remote).into_bytes();
                    self.network.send(now, socket, addr(RELAY), framed);
                }
                None => self.network.send(now, pair.path.base, pair.path.remote, b"\x01media".to_vec()),
            }
            let mut queue: VecDeque<Delivery> = VecDeque::new();
            let mut arrived = false;
            for _ in 0..10 {
                while let Some(delivery) = self.network.deliver(now) {
                    queue.push_back(delivery);
                }
                let Some(Delivery::Datagram(it)) = queue.pop_front() else { break };
                if it.to == addr(RELAY) {
                    let own =
                        *self.relay.clients.iter().find(|(_, client)| **client == it.from).expect("one").0;
                    let space = it.data.iter().position(|byte| *byte == b' ').expect("a space");
                    let peer = addr(std::str::from_utf8(&it.data[..space]).expect("text"));
                    self.network.send(now, own, peer, &it.data[space + 1..]);
                } else if let Some(client) = self.relay.clients.get(&it.to) {
                    let framed = [format!("{} {} ", it.to, it.from).as_bytes(), &it.data].concat();
                    self.network.send(now, addr(RELAY), *client, framed);
                } else {
                    let expected = socket(&self.ends[to], peer.path.base).unwrap_or(peer.path.base);
                    assert_eq!(it.to, expected, "media arrives where the peer sends from");
                    assert!(it.data.ends_with(b"\x01media"));
                    arrived = true;
                }
            }
            assert!(arrived, "media from {from} over {pair:?}");
        }
    }
}

pub fn nat(external: &str, mapping: NatKind, filtering: NatKind) -> Nat {
    Nat::new(external.parse().expect("an address"), mapping, filtering)
}

pub fn random(number: u64) -> Random {
    Random::new(number)
}
