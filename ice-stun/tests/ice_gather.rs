//! Gatherers, agents and a real server machine on one simulated network: what a driver does, in small.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ice_stun::ice::gather::{self, Gatherer, Link as Way, Received, Sent, Socket};
use ice_stun::ice::{
    Agent, Candidate, CandidateKind, Config, Event, Input, Output, Path, Policy, RemoteParameters, Role,
    State,
};
use ice_stun::server::{self, Flow, RelayId, Server};
use ice_stun::stun::{Credentials, Transport};
use ice_stun::turn;
use testkit::{Clock, Delivery, Link, Nat, NatKind, Network};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const SERVER: &str = "198.51.100.1:3478";

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// One program: a socket, its gatherer and its agent.
struct Site {
    base: SocketAddr,
    gatherer: Gatherer,
    agent: Agent,
    candidates: Vec<Candidate>,
    gathered: Vec<gather::Event>,
    done: Option<Duration>,
    media: Vec<Vec<u8>>,
    deadline: Option<Instant>,
    streams: Vec<u32>,
}

struct World {
    clock: Clock,
    network: Network,
    server: Server,
    server_deadline: Option<Instant>,
    relays: BTreeMap<SocketAddr, RelayId>,
    sites: Vec<Site>,
    /// Candidates go to the other side as they come.
    trickle: bool,
}

fn servers(transport: Transport) -> gather::Config {
    let account = Credentials::long_term("alice", "wonder");
    let relay = turn::Config { transport, ..turn::Config::new(addr(SERVER), account) };
    gather::Config { stun: vec![addr(SERVER)], turn: vec![relay], ..gather::Config::default() }
}

impl World {
    fn new(seed: u64, sites: [(&str, gather::Config); 2]) -> Self {
        let config = server::Config::new("example.org").with_account("alice", "wonder");
        let mut number = 0;
        let sites = sites.map(|(base, config)| {
            number += 1;
            let role = if number == 1 { Role::Controlling } else { Role::Controlled };
            let policy = config.policy;
            Site {
                base: addr(base),
                gatherer: Gatherer::new(config, [number; 32]),
                agent: Agent::new(Config { role, policy, ..Config::default() }, [number; 32]),
                candidates: Vec::new(),
                gathered: Vec::new(),
                done: None,
                media: Vec::new(),
                deadline: None,
                streams: Vec::new(),
            }
        });
        let mut network = Network::new(seed);
        network.set_default(Link::delayed(10 * MS));
        Self {
            clock: Clock::new(),
            network,
            server: Server::new(config, [9; 32]),
            server_deadline: None,
            relays: BTreeMap::new(),
            sites: sites.into(),
            trickle: false,
        }
    }

    fn behind_nats(mut self, mapping: NatKind, filtering: NatKind) -> Self {
        for (at, outside) in ["203.0.113.1", "203.0.113.2"].into_iter().enumerate() {
            let id = self.network.add_nat(Nat::new(outside.parse().expect("one"), mapping, filtering));
            self.network.place(self.sites[at].base.ip(), id);
        }
        self
    }

    fn gather(&mut self) {
        let now = self.clock.now();
        for site in &mut self.sites {
            site.gatherer.add_sockets(now, &[Socket { component: 1, address: site.base }]);
        }
    }

    fn signal(&mut self) {
        let now = self.clock.now();
        for (to, from) in [(1, 0), (0, 1)] {
            let parameters = RemoteParameters::new(self.sites[from].agent.credentials().clone());
            self.sites[to].agent.set_remote_parameters(now, parameters);
            for candidate in self.sites[from].candidates.clone() {
                let line = candidate.to_string();
                self.sites[to].agent.add_remote_candidate(now, line.parse().expect("our own"));
            }
        }
        if !self.trickle {
            for site in &mut self.sites {
                site.agent.end_of_local_candidates(now);
                site.agent.end_of_remote_candidates(now);
            }
        }
    }

    fn flow(site: usize, stream: u32) -> Flow {
        let port = u16::try_from(40_000 + 100 * site + stream as usize).expect("few");
        Flow {
            transport: Transport::Tcp,
            local: addr(SERVER),
            remote: SocketAddr::new(addr("203.0.113.9:1").ip(), port),
        }
    }

    fn flush_site(&mut self, at: usize) {
        let now = self.clock.now();
        loop {
            let mut idle = 0;
            match self.sites[at].agent.poll_output() {
                Output::Transmit(it) if it.relayed => self.send_relayed(at, it.path, &it.data),
                Output::Transmit(it) => self.network.send(now, it.path.base, it.path.remote, it.data),
                Output::Event(Event::Selected(pair)) if pair.relayed && pair.nominated => {
                    self.sites[at].gatherer.bind(now, pair.path);
                }
                Output::Idle(deadline) => {
                    self.sites[at].deadline = deadline;
                    idle += 1;
                }
                _ => {}
            }
            match self.sites[at].gatherer.poll_output() {
                gather::Output::Transmit { link: Way::Socket(base), to, data } => {
                    self.network.send(now, base, to, data);
                }
                gather::Output::Transmit { link: Way::Stream(stream), data, .. } => {
                    let flow = Self::flow(at, stream);
                    self.server.handle_input(now, server::Input::Stream { flow, data: &data });
                }
                gather::Output::Connect { stream, .. } => {
                    self.sites[at].streams.push(stream);
                    self.sites[at].gatherer.handle_connected(now, stream);
                }
                gather::Output::Disconnect(stream) => self.sites[at].streams.retain(|open| *open != stream),
                gather::Output::Data { path, data } => self.arrived(at, path, &data),
                gather::Output::Event(event) => {
                    match &event {
                        gather::Event::Candidate(local) => {
                            self.sites[at].candidates.push(local.candidate.clone());
                            let taken = self.sites[at].agent.add_local_candidate(now, local.clone());
                            taken.expect("the agent takes it");
                            if self.trickle {
                                self.sites[1 - at].agent.add_remote_candidate(now, local.candidate.clone());
                            }
                        }
                        gather::Event::RelayGone(base) => {
                            self.sites[at].agent.remove_local_candidates(now, *base);
                        }
                        gather::Event::Done => self.sites[at].done = Some(self.clock.elapsed()),
                        gather::Event::ServerFailed { .. } => {}
                    }
                    self.sites[at].gathered.push(event);
                }
                gather::Output::Idle(deadline) => {
                    let site = &mut self.sites[at];
                    if idle == 1 {
                        site.deadline = site.deadline.into_iter().chain(deadline).min();
                        return;
                    }
                }
            }
        }
    }

    fn send_relayed(&mut self, at: usize, path: Path, data: &[u8]) {
        let now = self.clock.now();
        let mut out = Vec::new();
        match self.sites[at].gatherer.send(now, path, data, &mut out) {
            Sent::Now { link: Way::Socket(base), to } => self.network.send(now, base, to, out),
            Sent::Now { link: Way::Stream(stream), .. } => {
                let flow = Self::flow(at, stream);
                self.server.handle_input(now, server::Input::Stream { flow, data: &out });
            }
            Sent::Queued | Sent::Refused => {}
        }
    }

    fn arrived(&mut self, at: usize, path: Path, data: &[u8]) {
        let now = self.clock.now();
        if data.starts_with(b"\x80") {
            self.sites[at].media.push(data.to_vec());
        } else {
            self.sites[at].agent.handle_input(now, Input::Datagram { path, data });
        }
    }

    fn flush_server(&mut self) {
        let now = self.clock.now();
        loop {
            match self.server.poll_output() {
                server::Output::Transmit { flow, data } if flow.transport == Transport::Udp => {
                    self.network.send(now, flow.local, flow.remote, data);
                }
                server::Output::Transmit { flow, data } => {
                    for at in 0..self.sites.len() {
                        for stream in self.sites[at].streams.clone() {
                            if Self::flow(at, stream) == flow {
                                self.sites[at].gatherer.handle_stream(now, stream, &data);
                            }
                        }
                    }
                }
                server::Output::BindRelay { relay, .. } => {
                    let port = 50_000 + u16::try_from(self.relays.len()).expect("few");
                    let address = SocketAddr::new(addr(SERVER).ip(), port);
                    self.relays.insert(address, relay);
                    self.server.handle_input(now, server::Input::RelayBound { relay, address });
                }
                server::Output::RelaySend { relay, to, data } => {
                    let from = self.relays.iter().find(|(_, id)| **id == relay).map(|(from, _)| *from);
                    self.network.send(now, from.expect("a bound relay"), to, data);
                }
                server::Output::CloseRelay(relay) => self.relays.retain(|_, id| *id != relay),
                server::Output::Disconnect(_) => {}
                other @ (server::Output::ConnectPeer(_)
                | server::Output::WritePeer { .. }
                | server::Output::ClosePeer(_)) => panic!("only datagrams here: {other:?}"),
                server::Output::Idle(deadline) => {
                    self.server_deadline = deadline;
                    return;
                }
            }
        }
    }

    fn run(&mut self, time: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let until = self.clock.now() + time;
        loop {
            for _ in 0..3 {
                (0..self.sites.len()).for_each(|at| self.flush_site(at));
                self.flush_server();
            }
            if done(self) {
                return true;
            }
            let deadlines = self.sites.iter().filter_map(|site| site.deadline);
            let Some(next) = deadlines
                .chain(self.server_deadline)
                .chain(self.network.next_at())
                .min()
                .filter(|next| *next <= until)
            else {
                self.clock.advance_to(until);
                return done(self);
            };
            let now = self.clock.advance_to(next);
            while let Some(delivery) = self.network.deliver(now) {
                let Delivery::Datagram(it) = delivery else { continue };
                if it.to == addr(SERVER) {
                    let flow = Flow { transport: Transport::Udp, local: it.to, remote: it.from };
                    self.server.handle_input(now, server::Input::Datagram { flow, data: &it.data });
                } else if let Some(relay) = self.relays.get(&it.to) {
                    let input = server::Input::Relayed { relay: *relay, from: it.from, data: &it.data };
                    self.server.handle_input(now, input);
                } else if let Some(at) = self.sites.iter().position(|site| site.base == it.to) {
                    match self.sites[at].gatherer.handle_datagram(now, it.to, it.from, &it.data) {
                        Received::Taken => {}
                        Received::Data { path, data } => {
                            let data = data.to_vec();
                            self.arrived(at, path, &data);
                        }
                        Received::NotOurs => {
                            let path = Path { component: 1, tcp: false, base: it.to, remote: it.from };
                            self.arrived(at, path, &it.data);
                        }
                    }
                }
            }
            for site in &mut self.sites {
                if site.deadline.is_some_and(|at| at <= now) {
                    site.agent.handle_timeout(now);
                    site.gatherer.handle_timeout(now);
                }
            }
            self.server.handle_timeout(now);
        }
    }

    fn completed(&self) -> bool {
        self.sites.iter().all(|site| site.agent.state() == State::Completed)
    }

    fn gathered(&self) -> bool {
        self.sites.iter().all(|site| site.done.is_some())
    }

    fn kinds(&self, at: usize) -> Vec<CandidateKind> {
        let mut kinds: Vec<_> = self.sites[at].candidates.iter().map(Candidate::kind).collect();
        kinds.sort_unstable();
        kinds
    }

    /// Media of both ends arrives at the other.
    fn talk(&mut self) {
        for at in [0, 1] {
            let pair = self.sites[at].agent.selected(1).expect("a pair");
            if pair.relayed {
                self.send_relayed(at, pair.path, b"\x80media");
            } else {
                self.network.send(self.clock.now(), pair.path.base, pair.path.remote, b"\x80media".to_vec());
            }
        }
        self.run(SECOND, |_| false);
        for site in &mut self.sites {
            assert_eq!(site.media.pop().as_deref(), Some(&b"\x80media"[..]));
        }
    }
}

use NatKind::{AddressAndPortDependent as Port, EndpointIndependent as Endpoint};

#[test]
fn host_reflexive_and_relayed_candidates_through_a_nat() {
    let sites = [("10.0.0.2:5000", servers(Transport::Udp)), ("10.1.0.2:6000", servers(Transport::Udp))];
    let mut world = World::new(1, sites).behind_nats(Endpoint, Port);
    world.gather();
    assert!(world.run(5 * SECOND, World::gathered));
    assert!(world.clock.elapsed() < 200 * MS, "{:?}", world.clock.elapsed());
    use CandidateKind::{Host, Relayed, ServerReflexive};
    assert_eq!(world.kinds(0), [Relayed, ServerReflexive, Host], "the same reflexive one is told once");
    let reflexive = world.sites[0].candidates.iter().find(|it| it.kind() == ServerReflexive).expect("one");
    assert_eq!(reflexive.socket_address().expect("one").ip(), addr("203.0.113.1:1").ip());
    assert_eq!(reflexive.related().expect("its base").1, 5_000);
    world.signal();
    assert!(world.run(5 * SECOND, World::completed));
    assert!(!world.sites[0].agent.selected(1).expect("a pair").relayed);
    world.talk();
    // What is not needed is given back.
    assert_eq!(world.server.allocations(), 2);
    let now = world.clock.now();
    world.sites.iter_mut().for_each(|site| site.gatherer.settle(now, &[]));
    world.run(2 * SECOND, |_| false);
    assert_eq!(world.server.allocations(), 0);
    world.talk();
}

#[test]
fn unfriendly_nats_are_crossed_through_the_relay_over_any_transport() {
    for (transport, loss) in [(Transport::Udp, 0.0), (Transport::Udp, 0.1), (Transport::Tcp, 0.0)] {
        let sites = [("10.0.0.2:5000", servers(transport)), ("10.1.0.2:6000", servers(transport))];
        let mut world = World::new(2, sites).behind_nats(Port, Port);
        world.network.set_default(Link { loss, ..Link::delayed(20 * MS) });
        world.gather();
        assert!(world.run(10 * SECOND, World::gathered), "{transport:?}");
        world.signal();
        assert!(world.run(8 * SECOND, World::completed), "{transport:?}");
        let kinds: Vec<_> =
            [0, 1].map(|at| world.sites[at].agent.selected(1).expect("a pair").relayed).into();
        assert!(kinds.contains(&true), "{transport:?}");
        world.network.set_default(Link::delayed(20 * MS));
        world.run(5 * SECOND, |_| false);
        world.talk();
        // Ten minutes later all is still there: refreshed, permitted, consented to.
        world.run(600 * SECOND, |_| false);
        assert!(world.completed());
        world.talk();
    }
}

#[test]
fn candidates_are_trickled_as_they_come() {
    let sites = [("10.0.0.2:5000", servers(Transport::Udp)), ("10.1.0.2:6000", servers(Transport::Udp))];
    let mut world = World::new(3, sites).behind_nats(Endpoint, Endpoint);
    world.trickle = true;
    world.signal();
    world.gather();
    assert!(world.run(5 * SECOND, World::completed));
    world.talk();
}

#[test]
fn who_wants_only_relays_tells_no_address_of_its_own() {
    let relay_only = gather::Config { policy: Policy::RelayOnly, ..servers(Transport::Udp) };
    let sites = [("10.0.0.2:5000", relay_only), ("192.0.2.7:6000", gather::Config::default())];
    let mut world = World::new(4, sites);
    world.gather();
    assert!(world.run(5 * SECOND, World::gathered));
    let lines: Vec<String> = world.sites[0].candidates.iter().map(ToString::to_string).collect();
    assert_eq!(world.kinds(0), [CandidateKind::Relayed]);
    assert!(
        lines.iter().all(|line| !line.contains("10.0.0.2") && line.contains("raddr 0.0.0.0 rport 9")),
        "{lines:?}"
    );
    assert_eq!(world.kinds(1), [CandidateKind::Host]);
    world.signal();
    assert!(world.run(8 * SECOND, World::completed));
    assert!(world.sites[0].agent.selected(1).expect("a pair").relayed);
    world.talk();
}

#[test]
fn servers_that_do_not_answer_cost_patience_and_no_more() {
    let mut config = servers(Transport::Udp);
    config.stun = vec![addr("198.51.100.77:3478")];
    config.turn[0].server = addr("198.51.100.78:3478");
    let sites = [("192.0.2.1:5000", config), ("192.0.2.2:6000", gather::Config::default())];
    let mut world = World::new(5, sites);
    world.gather();
    assert!(world.run(10 * SECOND, World::gathered));
    assert_eq!(world.sites[0].done, Some(5 * SECOND));
    assert_eq!(world.sites[1].done, Some(Duration::ZERO), "nobody was to be asked");
    world.signal();
    assert!(world.run(SECOND, World::completed));
    world.run(60 * SECOND, |_| false);
    let failed = |event: &&gather::Event| matches!(event, gather::Event::ServerFailed { .. });
    assert_eq!(world.sites[0].gathered.iter().filter(failed).count(), 2);
}

#[test]
fn addresses_that_reach_no_server_are_hardly_waited_for() {
    let config = gather::Config { turn: Vec::new(), ..servers(Transport::Udp) };
    let sites = [("192.0.2.1:5000", config), ("192.0.2.2:6000", gather::Config::default())];
    let mut world = World::new(7, sites);
    let now = world.clock.now();
    let socket = |text| Socket { component: 1, address: addr(text) };
    world.sites[1].gatherer.add_sockets(now, &[socket("192.0.2.2:6000")]);
    // Nobody is at the second.
    let both = [socket("192.0.2.1:5000"), socket("172.17.0.1:5000")];
    world.sites[0].gatherer.add_sockets(now, &both);
    assert!(world.run(10 * SECOND, World::gathered));
    let done = world.sites[0].done.expect("an end");
    assert!((300 * MS..400 * MS).contains(&done), "{done:?}");
    assert_eq!(world.sites[0].candidates.len(), 2, "both hosts");
}

#[test]
fn a_wrong_password_is_told() {
    let mut config = servers(Transport::Tcp);
    config.turn[0].credentials = Credentials::long_term("alice", "wrong");
    let mut world =
        World::new(6, [("192.0.2.1:5000", config), ("192.0.2.2:6000", gather::Config::default())]);
    world.gather();
    assert!(world.run(5 * SECOND, World::gathered));
    let failed =
        world.sites[0].gathered.iter().any(|event| matches!(event, gather::Event::ServerFailed { .. }));
    assert!(failed && world.sites[0].streams.is_empty(), "and its stream is closed");
}

#[test]
fn a_relay_that_forgets_us_takes_its_candidate_along() {
    let sites = [("10.0.0.2:5000", servers(Transport::Tcp)), ("10.1.0.2:6000", servers(Transport::Udp))];
    let mut world = World::new(7, sites).behind_nats(Port, Port);
    world.gather();
    assert!(world.run(10 * SECOND, World::gathered));
    let now = world.clock.now();
    let stream = world.sites[0].streams[0];
    world.sites[0].gatherer.handle_disconnected(now, stream);
    world.run(10 * MS, |_| false);
    let gone = world.sites[0].gathered.iter().any(|event| matches!(event, gather::Event::RelayGone(_)));
    assert!(gone);
    assert!(world.sites[0].agent.local_candidates().all(|it| it.kind() != CandidateKind::Relayed));
    // A new interface brings new candidates.
    world.sites[0].gatherer.add_sockets(now, &[Socket { component: 1, address: addr("10.0.0.3:5000") }]);
    world.run(SECOND, |_| false);
    let hosts = world.sites[0].candidates.iter().filter(|it| it.kind() == CandidateKind::Host);
    let priorities: Vec<u32> = hosts.map(Candidate::priority).collect();
    assert!(priorities.len() == 2 && priorities[1] < priorities[0], "{priorities:?}");
}
