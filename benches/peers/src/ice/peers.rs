//! The agents, behind one interface.

use std::net::SocketAddr;
use std::time::Instant;

use ice_stun::ice as ours;
use rice_proto::agent::{Agent as RiceAgent, AgentPoll};
use rice_proto::candidate::{Candidate as RiceCandidate, CandidateType};
use stun_proto::agent::Transmit;
use stun_proto::types::TransportType;

use super::{Agent, Kind, Offered, Packet, Side};

/// Ours: until there is a pair that media goes over, or until one is nominated and the peer has said so.
pub struct Ours<const ANSWERED: bool>(ours::Agent);

fn our_candidate(offered: &Offered) -> ours::Candidate {
    let Offered { kind, address, base, preference } = *offered;
    match kind {
        Kind::Host => ours::Candidate::host(1, ours::Transport::Udp, address, preference),
        Kind::Reflexive => {
            ours::Candidate::server_reflexive(1, address, base, [198, 51, 100, 1].into(), preference)
        }
    }
}

impl<const ANSWERED: bool> Agent for Ours<ANSWERED> {
    const WHO: &'static str = if ANSWERED { "sipsimple, nominated" } else { "sipsimple" };

    fn new(now: Instant, controlling: bool, ours: &Side, theirs: &Side, seed: u8) -> Self {
        let role = if controlling { ours::Role::Controlling } else { ours::Role::Controlled };
        let config = ours::Config { role, ..ours::Config::default() };
        let credentials = |side: &Side| {
            ours::Credentials::new(side.ufrag, &side.password.replace(' ', "+")).expect("long enough")
        };
        let mut agent = ours::Agent::with_credentials(config, credentials(ours), [seed; 32]);
        for one in &ours.candidates {
            let local = ours::LocalCandidate { candidate: our_candidate(one), base: one.base };
            agent.add_local_candidate(now, local).expect("one of ours");
        }
        agent.end_of_local_candidates(now);
        let mut parameters = ours::RemoteParameters::new(credentials(theirs));
        parameters.options.ice2 = true;
        agent.set_remote_parameters(now, parameters);
        for one in &theirs.candidates {
            agent.add_remote_candidate(now, our_candidate(one));
        }
        agent.end_of_remote_candidates(now);
        Self(agent)
    }

    fn receive(&mut self, now: Instant, socket: SocketAddr, from: SocketAddr, data: &[u8]) {
        let path = ours::Path { component: 1, tcp: false, base: socket, remote: from };
        self.0.handle_input(now, ours::Input::Datagram { path, data });
    }

    fn timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    fn poll(&mut self, _: Instant) -> (Vec<Packet>, Option<Instant>) {
        let mut packets = Vec::new();
        loop {
            match self.0.poll_output() {
                ours::Output::Transmit(it) => packets.push((it.path.base, it.path.remote, it.data)),
                ours::Output::Idle(due) => return (packets, due),
                _ => {}
            }
        }
    }

    fn is_selected(&self) -> bool {
        self.0.selected(1).is_some_and(|pair| pair.nominated || !ANSWERED)
    }
}

/// The agent of str0m, as a crate of its own.
pub struct Str0m {
    agent: is::IceAgent,
    selected: bool,
}

fn is_candidate(offered: &Offered) -> is::Candidate {
    let Offered { kind, address, base, .. } = *offered;
    match kind {
        Kind::Host => is::Candidate::host(address, "udp"),
        Kind::Reflexive => is::Candidate::server_reflexive(address, base, "udp"),
    }
    .expect("a candidate")
}

impl Agent for Str0m {
    const WHO: &'static str = "is 0.12.0 (str0m)";

    fn new(now: Instant, controlling: bool, ours: &Side, theirs: &Side, _: u8) -> Self {
        let credentials = |side: &Side| is::IceCreds { ufrag: side.ufrag.into(), pass: side.password.into() };
        let mut agent = is::IceAgent::new(credentials(ours));
        agent.set_controlling(controlling);
        for one in &ours.candidates {
            agent.add_local_candidate(is_candidate(one));
        }
        agent.set_remote_credentials(credentials(theirs));
        for one in &theirs.candidates {
            agent.add_remote_candidate(is_candidate(one));
        }
        agent.handle_timeout(now);
        Self { agent, selected: false }
    }

    fn receive(&mut self, now: Instant, socket: SocketAddr, from: SocketAddr, data: &[u8]) {
        let message = is::stun::StunMessage::parse(data).expect("only STUN here");
        let packet =
            is::stun::StunPacket { proto: is::Protocol::Udp, source: from, destination: socket, message };
        self.agent.handle_packet(now, packet);
        // As its users do after each packet.
        self.agent.handle_timeout(now);
    }

    fn timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
    }

    fn poll(&mut self, _: Instant) -> (Vec<Packet>, Option<Instant>) {
        while let Some(event) = self.agent.poll_event() {
            self.selected |= matches!(event, is::IceAgentEvent::NominatedSend { .. });
        }
        let packets = std::iter::from_fn(|| self.agent.poll_transmit())
            .map(|it| (it.source, it.destination, it.contents.to_vec()));
        (packets.collect(), self.agent.poll_timeout())
    }

    fn is_selected(&self) -> bool {
        self.selected
    }
}

/// librice's.
pub struct Rice {
    agent: RiceAgent,
    stream: usize,
    component: usize,
    selected: bool,
    start: Instant,
}

fn rice_candidate(offered: &Offered) -> RiceCandidate {
    let Offered { kind, address, base, preference } = *offered;
    let (kind, foundation) = match kind {
        Kind::Host => (CandidateType::Host, format!("h{}", base.ip())),
        Kind::Reflexive => (CandidateType::ServerReflexive, format!("s{}", base.ip())),
    };
    let foundation = foundation.replace('.', "");
    let udp = TransportType::Udp;
    let priority = RiceCandidate::calculate_priority(kind, udp, None, u32::from(preference), 1);
    let builder = RiceCandidate::builder(1, kind, udp, &foundation, address);
    let builder = builder.priority(priority).base_address(base);
    if kind == CandidateType::Host { builder.build() } else { builder.related_address(base).build() }
}

impl Rice {
    fn at(&self, now: Instant) -> stun_proto::Instant {
        let nanos = (now - self.start).as_nanos();
        stun_proto::Instant::from_nanos(i64::try_from(nanos).expect("a short run"))
    }
}

impl Agent for Rice {
    const WHO: &'static str = "rice-proto 0.4.3 (librice)";

    fn new(now: Instant, controlling: bool, ours: &Side, theirs: &Side, _: u8) -> Self {
        use rice_proto::stream::Credentials;
        let credentials =
            |side: &Side| Credentials { ufrag: side.ufrag.into(), passwd: side.password.into() };
        let mut agent = RiceAgent::builder().controlling(controlling).trickle_ice(false).build();
        let stream = agent.add_stream();
        let mut the_stream = agent.mut_stream(stream).expect("it was added");
        let component = the_stream.add_component().expect("it was added");
        the_stream.set_local_credentials(credentials(ours));
        the_stream.set_remote_credentials(credentials(theirs));
        for one in &ours.candidates {
            the_stream.add_local_candidate(rice_candidate(one));
        }
        the_stream.end_of_local_candidates();
        for one in &theirs.candidates {
            the_stream.add_remote_candidate(rice_candidate(one));
        }
        the_stream.end_of_remote_candidates();
        Self { agent, stream, component, selected: false, start: now }
    }

    fn receive(&mut self, now: Instant, socket: SocketAddr, from: SocketAddr, data: &[u8]) {
        let (at, component) = (self.at(now), self.component);
        let mut stream = self.agent.mut_stream(self.stream).expect("it was added");
        stream.handle_incoming_data(component, Transmit::new(data, TransportType::Udp, from, socket), at);
    }

    fn timeout(&mut self, _: Instant) {}

    fn poll(&mut self, now: Instant) -> (Vec<Packet>, Option<Instant>) {
        let at = self.at(now);
        let mut packets = Vec::new();
        loop {
            let due = match self.agent.poll(at) {
                AgentPoll::WaitUntil(due) => Some(due),
                AgentPoll::SelectedPair(_) => {
                    self.selected = true;
                    continue;
                }
                AgentPoll::Closed => None,
                _ => continue,
            };
            let mut some = false;
            while let Some(it) = self.agent.poll_transmit(at) {
                let it = it.transmit;
                packets.push((it.from, it.to, it.data.to_vec()));
                some = true;
            }
            if !some {
                let after = |due: stun_proto::Instant| self.start + due.duration_since(self.at(self.start));
                return (packets, due.map(after));
            }
        }
    }

    fn is_selected(&self) -> bool {
        self.selected
    }
}
