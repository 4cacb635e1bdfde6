//! Two agents in virtual time: RFC 8445 and its companions.

mod ice_support;

use std::time::Duration;

use ice_stun::ice::{CandidateKind, Config, Event, Role, State};
use ice_support::{MS, World, addr};
use testkit::Link;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn two_hosts_on_one_network() {
    let mut world = World::simple();
    world.signal();
    assert!(world.run_until_completed(SECOND));
    world.assert_media_flows(1);
    // One check each way, or a triggered one in its place, and the nomination, all answered.
    let sent: u64 = world.ends.iter().map(|end| end.sent).sum();
    assert!(sent <= 6, "{sent} packets");
    let states: Vec<_> = world.ends[0]
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::StateChanged(state) => Some(*state),
            _ => None,
        })
        .collect();
    assert_eq!(states, [State::Checking, State::Connected, State::Completed]);
    let selected = world.ends[0].selected(1).unwrap();
    assert_eq!((selected.path.base, selected.path.remote), (addr("10.0.0.1:5000"), addr("10.0.0.2:6000")));
    assert_eq!((selected.local_kind, selected.remote_kind), (CandidateKind::Host, CandidateKind::Host));
    assert!(selected.nominated && !selected.relayed);
    // Nothing but consent follows.
    let sent = world.ends[0].sent + world.ends[1].sent;
    world.run(10 * SECOND, |_| false);
    let after = world.ends[0].sent + world.ends[1].sent - sent;
    assert!((4..=12).contains(&after), "{after}");
}

#[test]
fn two_components_take_two_pairs() {
    let config = Config { components: 2, ..Config::default() };
    let mut world = World::new(2, config, config);
    world.network.set_default(Link::delayed(10 * MS));
    for (end, host) in [(0, "10.0.0.1"), (1, "10.0.0.2")] {
        world.add_host(end, 1, addr(&format!("{host}:5000")));
        world.add_host(end, 2, addr(&format!("{host}:5001")));
    }
    world.signal();
    assert!(world.run_until_completed(SECOND));
    world.assert_media_flows(1);
    world.assert_media_flows(2);
    assert_eq!(world.ends[0].selected(2).unwrap().path.remote, addr("10.0.0.2:5001"));
}

#[test]
fn a_peer_that_multiplexes_rtcp_needs_one_component() {
    let mut world = World::new(3, Config { components: 2, ..Config::default() }, Config::default());
    world.add_host(0, 1, addr("10.0.0.1:5000"));
    world.add_host(0, 2, addr("10.0.0.1:5001"));
    world.add_host(1, 1, addr("10.0.0.2:5000"));
    let now = world.now();
    world.ends[0].agent.set_components(now, 1);
    world.signal();
    assert!(world.run_until_completed(SECOND));
    assert_eq!(world.ends[0].selected(2), None);
}

#[test]
fn loss_of_thirty_percent_is_overcome() {
    for number in 0..40 {
        let mut world = World::new(number, Config::default(), Config::default());
        world.add_host(0, 1, addr("10.0.0.1:5000"));
        world.add_host(1, 1, addr("10.0.0.2:6000"));
        world.network.set_default(Link { loss: 0.3, ..Link::delayed(20 * MS) });
        world.signal();
        assert!(world.run_until_completed(10 * SECOND), "{number}");
    }
}

#[test]
fn both_controlling_settle_it() {
    for (first, second) in [(Role::Controlling, Role::Controlling), (Role::Controlled, Role::Controlled)] {
        let mut world = World::simple();
        let config = Config::default();
        for (at, role) in [first, second].into_iter().enumerate() {
            let seed = ice_support::seed(10 + u8::try_from(at).unwrap());
            world.ends[at].agent = ice_stun::ice::Agent::new(Config { role, ..config }, seed);
        }
        world.ends.iter_mut().for_each(|end| end.sockets.clear());
        world.add_host(0, 1, addr("10.0.0.1:5000"));
        world.add_host(1, 1, addr("10.0.0.2:6000"));
        world.signal();
        assert!(world.run_until_completed(2 * SECOND), "{first:?}");
        assert_ne!(world.ends[0].agent.role(), world.ends[1].agent.role());
        let changes: usize =
            world.ends.iter().map(|end| end.count(|event| matches!(event, Event::RoleChanged(_)))).sum();
        assert_eq!(changes, 1, "one end gives way");
        assert!(world.ends.iter().any(|end| end.agent.stats().role_conflicts > 0));
    }
}

#[test]
fn a_lite_peer_only_answers() {
    for lite_offers in [false, true] {
        let lite = Config { lite: true, ..Config::default() };
        let (first, second) = if lite_offers { (lite, Config::default()) } else { (Config::default(), lite) };
        let mut world = World::new(4, first, second);
        world.network.set_default(Link::delayed(10 * MS));
        world.add_host(0, 1, addr("192.0.2.1:5000"));
        world.add_host(1, 1, addr("192.0.2.2:6000"));
        world.signal();
        assert!(world.run_until_completed(SECOND), "{lite_offers}");
        let at = usize::from(!lite_offers);
        assert_eq!(world.ends[at].agent.stats().requests_sent, 0);
        assert_eq!(world.ends[at].agent.role(), Role::Controlled);
        assert_eq!(world.ends[1 - at].agent.role(), Role::Controlling);
        world.assert_media_flows(1);
    }
}
