//! Bodies of the fuzz targets of ICE.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::{
    Agent, Candidate, Config, Credentials, Input, LocalCandidate, Output, Path, RemoteParameters, Role,
    SelectedPair, Transport,
};
use crate::stun::{
    Builder, Class, ErrorCode, IceControlled, IceControlling, Key, Kind, Message, Method, Priority,
    UseCandidate, Username, XorMappedAddress,
};

/// A line is refused with a place inside it, or prints to a line that reads the same.
pub fn ice_candidate(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else { return };
    match line.parse::<Candidate>() {
        Err(error) => assert!(error.at <= line.len()),
        Ok(candidate) => {
            let printed = candidate.to_string();
            assert!(!printed.contains(['\r', '\n']));
            let again: Candidate = printed.parse().expect("what we print is a candidate");
            assert_eq!(again, candidate);
            assert_eq!(again.to_string(), printed);
        }
    }
}

/// Operations on an agent: a script of bytes, of which each says what happens next. Messages have the
/// right keys, for without them little is reached.
pub fn ice_agent(data: &[u8]) {
    play(data);
}

/// Where media goes at the end of the script.
fn play(data: &[u8]) -> Option<SelectedPair> {
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant has no other source; its value does not matter"
    )]
    let now = Instant::now();
    let config = Config { role: Role::Controlled, max_pairs: 20, ..Config::default() };
    let peer = Credentials::new("peer", "thepasswordofthepeer22").expect("they are right");
    let mut player = Player {
        now,
        agent: Agent::new(config, [7; 32]),
        peer,
        asked: Vec::new(),
        script: data.iter().take(400),
        deadline: None,
    };
    while player.step().is_some() {
        player.drain();
    }
    let selected = player.agent.selected(1);
    // Whatever came, it ends in silence or in consent that is kept up.
    for _ in 0..20 {
        let Some(deadline) = player.deadline else { break };
        assert!(deadline >= player.now || player.deadline_moves(), "the deadline does not move on");
        player.now = player.now.max(deadline);
        player.agent.handle_timeout(player.now);
        player.drain();
    }
    let (agent, config) = (player.agent, config);
    assert!(agent.local_candidates().count() <= config.max_local_candidates);
    assert!(agent.remote_candidates().count() <= config.max_remote_candidates + config.max_peer_reflexive);
    selected
}

struct Player<'a> {
    now: Instant,
    agent: Agent,
    peer: Credentials,
    /// Checks of the agent that can be answered.
    asked: Vec<(Path, Vec<u8>)>,
    script: std::iter::Take<std::slice::Iter<'a, u8>>,
    deadline: Option<Instant>,
}

impl Player<'_> {
    fn byte(&mut self) -> Option<u8> {
        self.script.next().copied()
    }

    fn address(&mut self) -> Option<SocketAddr> {
        let byte = self.byte()?;
        let ip = Ipv4Addr::new(if byte & 0xc0 == 0 { 127 } else { 10 }, 0, 0, byte & 7);
        Some(SocketAddr::new(ip.into(), 5_000 + u16::from(byte >> 3 & 7)))
    }

    fn path(&mut self) -> Option<Path> {
        let bits = self.byte()?;
        let (base, remote) = (self.address()?, self.address()?);
        Some(Path { component: 1 + u16::from(bits & 1), tcp: bits & 14 == 0, base, remote })
    }

    fn candidate(&mut self) -> Option<Candidate> {
        let address = self.address()?;
        let component = 1 + u16::from(self.byte()? & 1);
        Some(Candidate::host(component, Transport::Udp, address, u16::from(self.byte()?)))
    }

    /// One operation; `None` at the end of the script.
    fn step(&mut self) -> Option<()> {
        let now = self.now;
        match self.byte()? % 16 {
            0 => {
                let tens = u64::from(self.byte()?);
                self.now += Duration::from_millis(10 * tens);
                self.agent.handle_timeout(self.now);
            }
            1 => {
                let local = LocalCandidate::based_on_itself(self.candidate()?)?;
                let _ = self.agent.add_local_candidate(now, local);
            }
            2 => {
                let candidate = self.candidate()?;
                self.agent.add_remote_candidate(now, candidate);
            }
            3 => {
                let mut parameters = RemoteParameters::new(self.peer.clone());
                parameters.lite = self.byte()? & 15 == 0;
                self.agent.set_remote_parameters(now, parameters);
            }
            4 => self.agent.restart(now),
            5 => {
                let base = self.address()?;
                self.agent.remove_local_candidates(now, base);
            }
            6 => self.agent.end_of_local_candidates(now),
            7 => self.agent.end_of_remote_candidates(now),
            8 => {
                let components = u16::from(self.byte()?);
                self.agent.set_components(now, components);
            }
            9 | 10 => {
                let (path, request) = (self.path()?, self.request()?);
                self.agent.handle_input(now, Input::Datagram { path, data: &request });
            }
            11..=13 => {
                let (path, answer) = self.answer()?;
                self.agent.handle_input(now, Input::Datagram { path, data: &answer });
            }
            14 => {
                let path = self.path()?;
                let closed = self.byte()? & 1 == 0;
                let input = if closed { Input::Closed(path) } else { Input::Connected(path) };
                self.agent.handle_input(now, input);
            }
            _ => {
                let path = self.path()?;
                let (_, mut bytes) = self.answer().or_else(|| Some((path, self.request()?)))?;
                let at = usize::from(self.byte()?) % bytes.len().max(1);
                let with = self.byte()?;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= with;
                }
                self.agent.handle_input(now, Input::Datagram { path, data: &bytes });
            }
        }
        Some(())
    }

    /// A check of the peer.
    fn request(&mut self) -> Option<Vec<u8>> {
        let (bits, id) = (self.byte()?, self.byte()?);
        let own = self.agent.credentials();
        let name = format!("{}:{}", own.ufrag(), self.peer.ufrag());
        let key = Key::short_term(own.password());
        let tie_breaker = if bits & 1 == 0 { 0 } else { u64::MAX };
        let mut request = Builder::new(Class::Request, Method::BINDING, [id; 12])
            .attribute(&Username(&name))
            .and_then(|it| it.attribute(&Priority(u32::from(id) << 8)))
            .and_then(|it| match bits & 2 {
                0 => it.attribute(&IceControlling(tie_breaker)),
                _ => it.attribute(&IceControlled(tie_breaker)),
            })
            .ok()?;
        if bits & 4 != 0 {
            request = request.attribute(&UseCandidate).ok()?;
        }
        if bits & 56 == 56 {
            request = request.raw(Kind(u16::from(id)), b"?").ok()?;
        }
        Some(request.finish_with(Some(&key), true))
    }

    /// An answer to one of the agent's checks.
    fn answer(&mut self) -> Option<(Path, Vec<u8>)> {
        let (which, bits) = (self.byte()?, self.byte()?);
        let at = usize::from(which) % self.asked.len().max(1);
        let (path, request) = self.asked.get(at).cloned()?;
        let key = Key::short_term(self.peer.password());
        let message = Message::parse(&request).ok()?;
        let code = [487, 400, 401, 403, 500].get(usize::from(bits >> 2) % 5).copied().unwrap_or(400);
        let answer = match bits & 3 {
            0 => Builder::answer(&message, Class::Error).attribute(&ErrorCode { code, reason: "" }).ok()?,
            1 => Builder::answer(&message, Class::Success).attribute(&XorMappedAddress(path.remote)).ok()?,
            _ => Builder::answer(&message, Class::Success).attribute(&XorMappedAddress(path.base)).ok()?,
        };
        Some((path, answer.finish_with(Some(&key), true)))
    }

    fn drain(&mut self) {
        for _ in 0..10_000 {
            match self.agent.poll_output() {
                Output::Idle(deadline) => {
                    assert_eq!(self.agent.poll_output(), Output::Idle(deadline));
                    self.deadline = deadline;
                    return;
                }
                Output::Transmit(it) => {
                    let message = Message::parse(&it.data).expect("what we send is STUN");
                    assert!(!it.path.remote.ip().is_loopback(), "nothing is sent where it must not");
                    if message.class() == Class::Request && self.asked.len() < 50 {
                        self.asked.push((it.path, it.data));
                    }
                }
                _ => {}
            }
        }
        unreachable!("draining ends with Idle");
    }

    /// A deadline that has passed is answered by a timeout, once.
    fn deadline_moves(&mut self) -> bool {
        let before = self.deadline;
        self.agent.handle_timeout(self.now);
        self.drain();
        self.deadline != before
    }
}

#[cfg(test)]
mod tests {
    use testkit::Random;

    use super::*;

    #[test]
    fn scripts_of_any_kind_are_played() {
        let mut random = Random::new(1);
        for length in [0, 1, 10, 100, 400] {
            for _ in 0..200 {
                ice_agent(&random.bytes(length));
            }
        }
    }

    #[test]
    fn a_script_reaches_a_chosen_pair() {
        // Local and remote candidate, parameters, time, an answer.
        let script = [1, 0x41, 0, 9, 2, 0x42, 0, 9, 3, 1, 0, 1, 11, 0, 2];
        assert!(play(&script).is_some());
        // And a check of the peer that nominates.
        let nominated = [&script[..], &[9, 14, 0x41, 0x42, 4, 9]].concat();
        assert!(play(&nominated).is_some_and(|pair| pair.nominated));
        for bytes in ["1 1 UDP 1 192.0.2.1 1 typ host", "", "\u{e9}", "a=candidate:"] {
            ice_candidate(bytes.as_bytes());
        }
    }
}
