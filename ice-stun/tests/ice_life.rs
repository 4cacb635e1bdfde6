//! What happens to an agent in its life: trickled candidates, consent, restarts, addresses that come and go,
//! names, TCP.

mod ice_support;

use std::net::SocketAddr;
use std::time::Duration;

use ice_stun::ice::{
    AgentError, Candidate, CandidateKind, Config, Event, Input, LocalCandidate, Output, Path, Policy, Role,
    State, TcpType, Transport,
};
use ice_support::{MS, World, addr, nat};
use testkit::{Link, NatKind};

const SECOND: Duration = Duration::from_secs(1);

fn is_lost(event: &Event) -> bool {
    matches!(event, Event::ConsentLost { .. })
}

fn udp(address: &str, preference: u16) -> Candidate {
    Candidate::host(1, Transport::Udp, addr(address), preference)
}

#[test]
fn trickled_candidates_join_a_running_session() {
    let mut world = World::new(1, Config::default(), Config::default());
    world.network.set_default(Link::delayed(10 * MS));
    world.signal_parameters();
    world.run(SECOND, |_| false);
    assert!(world.both(State::Checking), "nothing to check, and nothing has failed");
    world.add_host(0, 1, addr("10.0.0.1:5000"));
    world.trickle();
    world.run(SECOND, |_| false);
    world.add_host(1, 1, addr("10.0.0.2:6000"));
    world.trickle();
    assert!(world.run_until_completed(2 * SECOND));
    world.assert_media_flows(1);
}

#[test]
fn half_trickle_is_full_at_one_end() {
    let mut world = World::new(2, Config::default(), Config::default());
    world.network.set_default(Link::delayed(10 * MS));
    world.add_host(0, 1, addr("10.0.0.1:5000"));
    let now = world.now();
    world.ends[0].agent.end_of_local_candidates(now);
    world.signal_parameters();
    world.trickle();
    world.ends[1].agent.end_of_remote_candidates(now);
    world.run(SECOND, |_| false);
    world.add_host(1, 1, addr("10.0.0.2:6000"));
    // Its check arrives before its candidate does.
    assert!(world.run_until_completed(2 * SECOND));
    assert_eq!(world.ends[0].selected(1).unwrap().remote_kind, CandidateKind::PeerReflexive);
    world.trickle();
    let kinds: Vec<_> = world.ends[0].agent.remote_candidates().map(Candidate::kind).collect();
    assert_eq!(kinds, [CandidateKind::Host], "what the peer says of it replaces what the check told");
}

#[test]
fn candidates_of_another_generation_are_left_out() {
    let mut world = World::simple();
    world.signal_parameters();
    let now = world.now();
    world.ends[0].agent.add_remote_candidate(now, udp("10.0.0.9:1", 1).with_ufrag("old1").unwrap());
    assert_eq!(world.ends[0].agent.remote_candidates().count(), 0);
    assert_eq!(world.ends[0].agent.stats().remote_left_out, 1);
    let ufrag = world.ends[1].agent.credentials().ufrag().to_owned();
    world.ends[0].agent.add_remote_candidate(now, udp("10.0.0.2:6000", 1).with_ufrag(&ufrag).unwrap());
    assert_eq!(world.ends[0].agent.remote_candidates().count(), 1);
}

#[test]
fn checks_that_come_before_the_answer_count() {
    let mut world = World::simple();
    let now = world.now();
    // The answerer knows the offerer, not the other way round.
    let parameters = world.ends[0].parameters();
    world.ends[1].agent.set_remote_parameters(now, parameters);
    let lines: Vec<_> = world.ends[0].agent.local_candidates().cloned().collect();
    lines.into_iter().for_each(|it| world.ends[1].agent.add_remote_candidate(now, it));
    world.run(SECOND, |_| false);
    assert_eq!(world.ends[1].agent.state(), State::Connected, "the offerer answers at once");
    assert_eq!(world.ends[0].agent.state(), State::New);
    world.signal();
    assert!(world.run_until_completed(SECOND));
}

#[test]
fn a_peer_behind_an_unfriendly_nat_is_learnt_from_its_checks() {
    let mut world = World::new(3, Config::default(), Config::default());
    world.network.set_default(Link::delayed(10 * MS));
    let kind = NatKind::AddressAndPortDependent;
    world.place_behind("10.0.0.1", nat("203.0.113.1", kind, kind));
    world.add_host(0, 1, addr("10.0.0.1:5000"));
    world.add_host(1, 1, addr("192.0.2.1:6000"));
    world.signal();
    assert!(world.run_until_completed(2 * SECOND));
    assert_eq!(world.ends[1].selected(1).unwrap().remote_kind, CandidateKind::PeerReflexive);
    assert_eq!(world.ends[0].selected(1).unwrap().local_kind, CandidateKind::PeerReflexive);
    assert_eq!(world.ends[0].count(|event| matches!(event, Event::PeerReflexive(_))), 1);
    world.assert_media_flows(1);
}

#[test]
fn consent_lost_stops_sending_in_thirty_seconds() {
    let mut world = World::simple();
    world.signal();
    assert!(world.run_until_completed(SECOND));
    world.run(60 * SECOND, |_| false);
    assert!(world.both(State::Completed), "silence of media is no matter");
    let before = world.clock.elapsed();
    world.network.set_link("10.0.0.2".parse().unwrap(), "10.0.0.1".parse().unwrap(), Link::down());
    let silent = |event: &Event| matches!(event, Event::StateChanged(State::Disconnected));
    assert!(world.run(40 * SECOND, |world| world.ends[0].count(is_lost) == 1));
    let lost = world.ends[0].when(is_lost).unwrap() - before;
    assert!((24 * SECOND..=30 * SECOND).contains(&lost), "{lost:?}");
    assert!(world.ends[0].when(silent).unwrap() - before < 12 * SECOND);
    assert_eq!(world.ends[0].agent.state(), State::Failed);
    assert_eq!(world.ends[0].selected(1), None);
    let sent = world.ends[0].agent.stats().requests_sent;
    world.run(60 * SECOND, |_| false);
    assert_eq!(world.ends[0].agent.stats().requests_sent, sent, "and it stays silent");
}

#[test]
fn consent_survives_loss_and_comes_back_after_silence() {
    let mut world = World::simple();
    world.signal();
    assert!(world.run_until_completed(SECOND));
    world.network.set_default(Link { loss: 0.3, ..Link::delayed(10 * MS) });
    world.run(600 * SECOND, |_| false);
    assert_eq!(world.ends.iter().map(|end| end.count(is_lost)).sum::<usize>(), 0);
    world.network.set_default(Link::down());
    assert!(world.run(20 * SECOND, |world| world.both(State::Disconnected)));
    world.network.set_default(Link::delayed(10 * MS));
    assert!(world.run(20 * SECOND, |world| world.both(State::Completed)));
}

#[test]
fn consent_checks_come_at_irregular_times() {
    let mut world = World::simple();
    world.signal();
    assert!(world.run_until_completed(SECOND));
    let mut times = Vec::new();
    let mut sent = world.ends[0].agent.stats().requests_sent;
    while times.len() < 50 {
        world.run(100 * SECOND, |world| world.ends[0].agent.stats().requests_sent > sent);
        sent = world.ends[0].agent.stats().requests_sent;
        times.push(world.clock.elapsed());
    }
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (4 * SECOND..=6 * SECOND).contains(gap)), "{gaps:?}");
    let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
    assert!(*most - *least > SECOND, "{least:?} to {most:?}");
}

#[test]
fn a_restart_keeps_media_until_the_new_pair_is_chosen() {
    let mut world = World::simple();
    world.signal();
    assert!(world.run_until_completed(SECOND));
    let old = world.ends[0].selected(1).unwrap();
    let before = world.ends[0].agent.credentials().clone();
    world.add_host(0, 1, addr("10.0.0.7:7000"));
    let now = world.now();
    world.ends[0].agent.restart(now);
    assert_ne!(*world.ends[0].agent.credentials(), before);
    world.run(15 * SECOND, |_| false);
    // The peer knows nothing of it yet; media and consent go on.
    assert_eq!(world.ends[0].selected(1), Some(old));
    assert_eq!(world.ends.iter().map(|end| end.count(is_lost)).sum::<usize>(), 0);
    // Now it does, and answers with credentials of its own.
    let own = world.ends[1].agent.credentials().clone();
    let parameters = world.ends[0].parameters();
    let now = world.now();
    world.ends[1].agent.set_remote_parameters(now, parameters);
    assert_ne!(*world.ends[1].agent.credentials(), own);
    world.ends[0].agent.remove_local_candidates(now, addr("10.0.0.1:5000"));
    world.ends[0].sockets.retain(|(_, socket)| *socket != addr("10.0.0.1:5000"));
    world.forget_told();
    world.signal();
    world.ends.iter_mut().for_each(|end| end.events.clear());
    assert!(world.run_until_completed(2 * SECOND));
    assert_eq!(world.ends[0].selected(1).unwrap().path.base, addr("10.0.0.7:7000"));
    world.assert_media_flows(1);
}

#[test]
fn after_a_restart_media_moves_once() {
    let mut world = World::simple();
    world.signal();
    assert!(world.run_until_completed(SECOND));
    let now = world.now();
    world.ends[0].agent.restart(now);
    let parameters = world.ends[0].parameters();
    world.ends[1].agent.set_remote_parameters(now, parameters);
    // A better address, and a path on which the nomination takes its time.
    world.add_host(0, 1, addr("10.0.0.7:7000"));
    world.forget_told();
    world.ends.iter_mut().for_each(|end| end.events.clear());
    world.signal();
    assert!(world.run_until_completed(2 * SECOND));
    for end in &world.ends {
        let provisional = |event: &Event| matches!(event, Event::Selected(pair) if !pair.nominated);
        assert_eq!(end.count(provisional), 0, "media stays on the old pair until one is nominated");
        assert_eq!(end.count(|event| matches!(event, Event::Selected(_))), 1);
    }
}

#[test]
fn nobody_else_gives_consent() {
    use ice_stun::stun::{Builder, Class, Key, Message, XorMappedAddress};
    let mut world = World::simple();
    world.signal();
    assert!(world.run_until_completed(SECOND));
    let path = world.ends[0].selected(1).unwrap().path;
    let before = world.clock.elapsed();
    // The peer is gone; someone who sees the checks answers them without its password.
    let guess = Key::short_term("a guess");
    let mut answered = 0;
    while world.ends[0].count(is_lost) == 0 && world.clock.elapsed() < before + 60 * SECOND {
        let deadline = world.ends[0].deadline.expect("consent has deadlines");
        let now = world.clock.advance_to(deadline);
        world.ends[0].agent.handle_timeout(now);
        loop {
            match world.ends[0].agent.poll_output() {
                Output::Transmit(it) => {
                    let check = Message::parse(&it.data).unwrap();
                    for key in [None, Some(&guess)] {
                        let answer = Builder::answer(&check, Class::Success)
                            .attribute(&XorMappedAddress(path.base))
                            .unwrap()
                            .finish_with(key, true);
                        world.inject(0, path, &answer);
                        answered += 1;
                    }
                }
                Output::Event(event) => world.ends[0].events.push((world.clock.elapsed(), event)),
                Output::Idle(deadline) => {
                    world.ends[0].deadline = deadline;
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(answered >= 8, "{answered}");
    let lost = world.ends[0].when(is_lost).expect("consent is lost") - before;
    assert!(lost <= 30 * SECOND, "{lost:?}");
}

#[test]
fn media_moves_when_its_address_is_gone() {
    let mut world = World::simple();
    world.signal();
    assert!(world.run_until_completed(SECOND));
    let now = world.now();
    world.ends[0].agent.remove_local_candidates(now, addr("10.0.0.1:5000"));
    world.ends[0].sockets.clear();
    world.flush();
    assert_eq!(world.ends[0].selected(1), None);
    assert_eq!(world.ends[0].count(is_lost), 1);
    // A new interface, and a restart by both.
    world.add_host(0, 1, addr("10.0.0.8:8000"));
    world.ends[0].agent.restart(now);
    let parameters = world.ends[0].parameters();
    world.ends[1].agent.set_remote_parameters(now, parameters);
    world.forget_told();
    world.signal();
    assert!(world.run_until_completed(2 * SECOND));
    world.assert_media_flows(1);
}

/// Another network takes the place of the one that media uses, long after checks began: nothing is given up,
/// and the new address is tried before the peer hears of a restart.
#[test]
fn a_network_in_the_place_of_another_is_tried_at_once() {
    let mut world = World::simple();
    world.signal();
    assert!(world.run_until_completed(SECOND));
    world.run(200 * SECOND, |_| false);
    world.add_host(0, 1, addr("10.0.0.8:8000"));
    let now = world.now();
    world.ends[0].agent.remove_local_candidates(now, addr("10.0.0.1:5000"));
    world.ends[0].sockets.retain(|(_, socket)| *socket != addr("10.0.0.1:5000"));
    let base = |world: &World| world.ends[0].selected(1).map(|pair| pair.path.base);
    assert!(world.run(SECOND, |world| base(world) == Some(addr("10.0.0.8:8000"))));
    assert_eq!(world.ends[0].count(|event| *event == Event::StateChanged(State::Failed)), 0);
    // The restart has both ends use it.
    let now = world.now();
    world.ends[0].agent.restart(now);
    let parameters = world.ends[0].parameters();
    world.ends[1].agent.set_remote_parameters(now, parameters);
    world.forget_told();
    world.signal();
    assert!(world.run_until_completed(2 * SECOND));
    world.assert_media_flows(1);
}

#[test]
fn a_peer_that_nominates_aggressively_is_followed() {
    // Each check nominates: the peer is controlling and has no `ice2`.
    let mut world = World::simple();
    let mut parameters = world.ends[0].parameters();
    parameters.options.ice2 = false;
    let now = world.now();
    world.ends[1].agent.set_remote_parameters(now, parameters);
    let (ours, theirs) =
        (world.ends[1].agent.credentials().clone(), world.ends[0].agent.credentials().clone());
    let key = ice_stun::stun::Key::short_term(ours.password());
    let ask = |world: &mut World, remote: &str, priority: u32, id: u8| {
        use ice_stun::stun::{Builder, Class, IceControlling, Method, Priority, UseCandidate, Username};
        let request = Builder::new(Class::Request, Method::BINDING, [id; 12])
            .attribute(&Username(&format!("{}:{}", ours.ufrag(), theirs.ufrag())))
            .and_then(|it| it.attribute(&Priority(priority)))
            .and_then(|it| it.attribute(&IceControlling(u64::MAX)))
            .and_then(|it| it.attribute(&UseCandidate))
            .unwrap()
            .finish_with(Some(&key), true);
        let path = Path { component: 1, tcp: false, base: addr("10.0.0.2:6000"), remote: addr(remote) };
        world.inject(1, path, &request);
        // Its own checks are answered.
        let answer_key = ice_stun::stun::Key::short_term(theirs.password());
        for _ in 0..4 {
            let now = world.clock.advance(100 * MS);
            world.ends[1].agent.handle_timeout(now);
            while let Output::Transmit(it) = world.ends[1].agent.poll_output() {
                let message = ice_stun::stun::Message::parse(&it.data).unwrap();
                if message.class() == Class::Request {
                    let answer = Builder::answer(&message, Class::Success)
                        .attribute(&ice_stun::stun::XorMappedAddress(it.path.base))
                        .unwrap()
                        .finish_with(Some(&answer_key), true);
                    world.inject(1, it.path, &answer);
                }
            }
        }
    };
    ask(&mut world, "10.0.0.50:1", 1_000, 1);
    while !matches!(world.ends[1].agent.poll_output(), Output::Idle(_)) {}
    assert_eq!(world.ends[1].selected(1).unwrap().path.remote, addr("10.0.0.50:1"));
    ask(&mut world, "10.0.0.60:1", 2_000, 2);
    while !matches!(world.ends[1].agent.poll_output(), Output::Idle(_)) {}
    assert_eq!(world.ends[1].selected(1).unwrap().path.remote, addr("10.0.0.60:1"), "the better one");
    ask(&mut world, "10.0.0.70:1", 500, 3);
    while !matches!(world.ends[1].agent.poll_output(), Output::Idle(_)) {}
    assert_eq!(world.ends[1].selected(1).unwrap().path.remote, addr("10.0.0.60:1"), "not the worse one");
}

#[test]
fn names_are_resolved_by_the_driver() {
    let mut world = World::simple();
    world.signal_parameters();
    let now = world.now();
    let hidden: Candidate = "1 1 UDP 2130706431 1f4712db.local 6000 typ host".parse().unwrap();
    let other: Candidate = "1 1 UDP 2130706431 host.example.com 6000 typ host".parse().unwrap();
    world.ends[0].agent.add_remote_candidate(now, hidden.clone());
    world.ends[0].agent.add_remote_candidate(now, hidden);
    world.ends[0].agent.add_remote_candidate(now, other);
    world.flush();
    assert_eq!(world.ends[0].asked, ["1f4712db.local"], "once, and nothing but multicast names");
    let name = "1f4712db.local";
    let input = Input::Resolved { name, address: Some("10.0.0.2".parse().unwrap()) };
    world.ends[0].agent.handle_input(now, input);
    assert!(world.run_until_completed(2 * SECOND));
    assert_eq!(world.ends[0].selected(1).unwrap().path.remote, addr("10.0.0.2:6000"));
}

#[test]
fn only_relays_are_used_where_the_policy_says_so() {
    let config = Config { policy: Policy::RelayOnly, ..Config::default() };
    let mut world = World::new(4, config, Config::default());
    world.network.set_default(Link::delayed(10 * MS));
    let base = addr("10.0.0.1:5000");
    world.ends[0].sockets.push((1, base));
    let local = LocalCandidate::based_on_itself(udp("10.0.0.1:5000", 1)).unwrap();
    let now = world.now();
    assert_eq!(world.ends[0].agent.add_local_candidate(now, local), Err(AgentError::Policy));
    let relayed = world.add_relayed(0, 1, base);
    world.add_host(1, 1, addr("192.0.2.2:6000"));
    world.signal();
    assert!(world.run_until_completed(5 * SECOND));
    let pair = world.ends[0].selected(1).unwrap();
    assert_eq!((pair.path.base, pair.relayed, pair.local_kind), (relayed, true, CandidateKind::Relayed));
    world.assert_media_flows(1);
    // Loopback is left out too, unless asked for.
    let mut loopback = World::new(5, Config::default(), Config { loopback: true, ..Config::default() });
    let local = LocalCandidate::based_on_itself(udp("127.0.0.1:5000", 1)).unwrap();
    assert_eq!(loopback.ends[0].agent.add_local_candidate(now, local.clone()), Err(AgentError::Policy));
    assert_eq!(loopback.ends[1].agent.add_local_candidate(now, local), Ok(()));
}

/// Moves everything between the connections of two agents.
fn pump_tcp(world: &mut World, connected: &mut Vec<(SocketAddr, SocketAddr)>) {
    for _ in 0..400 {
        let now = world.clock.advance(5 * MS);
        for from in [0, 1] {
            world.ends[from].agent.handle_timeout(now);
            loop {
                match world.ends[from].agent.poll_output() {
                    Output::Connect(path) => {
                        assert_eq!(path.base.port(), 9);
                        connected.push((path.base, path.remote));
                        world.ends[from].agent.handle_input(now, Input::Connected(path));
                    }
                    Output::Transmit(it) => {
                        world.ends[from].sent += 1;
                        // The active end's connection comes from port 40000.
                        let seen = |address: SocketAddr| match address.port() {
                            9 => SocketAddr::new(address.ip(), 40_000),
                            40_000 => SocketAddr::new(address.ip(), 9),
                            _ => address,
                        };
                        let (base, remote) = (seen(it.path.remote), seen(it.path.base));
                        let path = Path { base, remote, ..it.path };
                        world.inject(1 - from, path, &it.data);
                    }
                    Output::Idle(_) => break,
                    _ => {}
                }
            }
        }
    }
}

#[test]
fn tcp_candidates_connect_from_active_to_passive() {
    let mut world = World::new(6, Config::default(), Config::default());
    let now = world.now();
    for (end, address, tcp) in [(0, "10.0.0.1:9", TcpType::Active), (1, "10.0.0.2:6000", TcpType::Passive)] {
        let candidate = Candidate::host(1, Transport::Tcp(tcp), addr(address), 65_535);
        let local = LocalCandidate::based_on_itself(candidate).unwrap();
        world.ends[end].agent.add_local_candidate(now, local).unwrap();
    }
    world.signal();
    let mut connected = Vec::new();
    pump_tcp(&mut world, &mut connected);
    assert_eq!(connected, [(addr("10.0.0.1:9"), addr("10.0.0.2:6000"))], "one connection, by the active end");
    assert!(world.both(State::Completed));
    let pair = world.ends[0].selected(1).unwrap();
    assert!(pair.path.tcp && pair.path.remote == addr("10.0.0.2:6000"));
    assert!(world.ends[0].sent + world.ends[1].sent <= 6, "nothing is repeated over TCP");
    let now = world.now();
    world.ends[0].agent.handle_input(now, Input::Closed(pair.path));
    assert_eq!(world.ends[0].selected(1), None, "a connection that has ended carries nothing");
}

#[test]
fn two_families_and_many_interfaces() {
    let mut world = World::new(7, Config::default(), Config::default());
    world.network.set_default(Link::delayed(10 * MS));
    for (end, last) in [(0, 1), (1, 2)] {
        for net in 0..3 {
            world.add_host(end, 1, addr(&format!("10.{net}.0.{last}:5000")));
            world.add_host(end, 1, addr(&format!("[2001:db8:{net}::{last}]:5000")));
        }
        world.add_host(end, 1, addr(&format!("[fe80::{last}]:5000")));
    }
    world.signal();
    assert!(world.run_until_completed(5 * SECOND));
    let pair = world.ends[0].selected(1).unwrap().path;
    assert_eq!(pair.base.is_ipv4(), pair.remote.is_ipv4());
    assert_eq!(world.ends[0].agent.role(), Role::Controlling);
    world.assert_media_flows(1);
}
