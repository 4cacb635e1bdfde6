//! What a call of ours keeps of those who answer it.

use std::time::Duration;

use testkit::{Clock, Host, Link, Network, run};

use super::agent::{Agent, Log, place};
use super::puppet::Puppet;

/// Alice calls, and so many branches answer early, with these headers.
fn branches_kept(count: u32, headers: &str) -> usize {
    let log = Log::default();
    let (mut clock, mut network) = (Clock::new(), Network::new(1));
    network.set_default(Link::delayed(Duration::from_millis(10)));
    let mut alice = Agent::new("alice", 1, true, clock.now(), &log);
    let mut bob = Puppet::new(place("bob"), place("alice"));
    let mut pass = |alice: &mut Agent, bob: &mut Puppet| {
        let until = clock.now() + Duration::from_millis(50);
        let hosts: &mut [&mut dyn Host] = &mut [alice, bob];
        run(&mut clock, &mut network, hosts, until, |_| false);
        clock.advance_to(until);
        clock.now()
    };
    let now = pass(&mut alice, &mut bob);
    alice.command(now, &["connect", "audio"], place("bob")).expect("it is legal in NULL");
    pass(&mut alice, &mut bob);
    for number in 0..count {
        bob.command(&["answer", "183", &format!("tag=t{number}"), headers, "sdp"]);
        pass(&mut alice, &mut bob);
    }
    let id = alice.session.expect("it called");
    alice.engine.sessions[&id].machine.branches()
}

#[test]
fn no_more_branches_are_kept_than_are_followed() {
    assert_eq!(branches_kept(3, "rel=1"), 3);
    assert_eq!(branches_kept(40, "rel=1"), 16);
    // Nothing of these can be acknowledged, so nothing of them is agreed.
    assert_eq!(branches_kept(40, "H=Require:100rel"), 0);
}
