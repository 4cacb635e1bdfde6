//! A relay that is far away: its candidates come late, and follow in INFO.

use std::time::{Duration, Instant};

use ice_stun::ice::CandidateKind;
use testkit::Link;

use super::World;
use crate::configuration::IceTrickle;
use crate::session::{SessionId, State};

/// To the relay and back; an allocation takes it twice.
const ROUND_TRIP: Duration = Duration::from_millis(800);
const STEP: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(20);

/// What a call between two ends that have nothing but the relay takes.
#[derive(Debug)]
struct Call {
    /// Until the called end rings.
    ringing: Duration,
    /// From there, the call being taken at once, until both are in it.
    established: Duration,
    /// And until both hear each other.
    heard: Duration,
}

impl World {
    /// Until something is so.
    fn wait(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) -> Duration {
        let start = self.clock.now();
        while !done(self) {
            assert!(self.clock.now() - start < PATIENCE, "{what} takes too long");
            self.pass(STEP);
        }
        self.clock.now() - start
    }

    fn state(&self, party: usize) -> Option<(SessionId, State)> {
        self.parties[party].sessions.living().first().copied()
    }

    fn both(&self, wanted: State) -> bool {
        (0..2).all(|party| self.state(party).is_some_and(|(_, state)| state == wanted))
    }

    fn hears(&self, party: usize, since: Instant) -> bool {
        let heard = self.state(party).and_then(|(id, _)| self.parties[party].media.heard(id)).flatten();
        heard.is_some_and(|at| at > since)
    }
}

fn call(caller: IceTrickle, callee: IceTrickle, loss: f64) -> Call {
    let mut world = World::new(7, 2);
    let relay = world.relay.address;
    let far = Link { delay: ROUND_TRIP / 2, ..Link::lossy(loss) };
    for at in 0..2 {
        world.network.set_between(world.parties[at].address.ip(), relay.ip(), far.clone());
    }
    for (party, how) in world.parties.iter_mut().zip([caller, callee]) {
        party.use_ice(Some(relay), true);
        party.trickle(how);
    }
    let now = world.clock.now();
    let whom = format!("sip:p2@{}", world.parties[1].address);
    world.parties[0].call(now, &whom, false, "audio").expect("a call");
    let rings = |world: &World| world.state(1).is_some_and(|(_, state)| state == State::Incoming);
    let ringing = world.wait("ringing", rings);
    let (id, _) = world.state(1).expect("it rings");
    world.parties[1].ask(world.clock.now(), id, "accept", "audio");
    let established = world.wait("the answer", |world| world.both(State::Established));
    let heard = world.wait("audio", |world| (0..2).all(|party| world.hears(party, now)));
    for party in &world.parties {
        let (id, _) = *party.sessions.living().first().expect("a session");
        let live = party.engine.sessions.get(&id).expect("it lives");
        let audio = live.machine.snapshot().audio.clone().expect("audio");
        let kinds = audio.ice_selection.map(|pair| pair.local_kind);
        assert_eq!(kinds, Some(CandidateKind::Relayed), "{}", party.name);
    }
    world.pass(Duration::from_secs(5));
    world.who_talks_is_heard();
    world.end();
    Call { ringing, established, heard }
}

#[test]
fn late_relay_candidates_follow_in_info() {
    use IceTrickle::{Full, Half, Off};
    let soon = Duration::from_millis(100);
    // Neither: both wait for the relay.
    let off = call(Off, Off, 0.0);
    assert!(off.ringing >= 2 * ROUND_TRIP && off.established >= 2 * ROUND_TRIP, "{off:?}");
    // Half: the caller waits, the called end answers at once.
    let half = call(Half, Half, 0.0);
    assert!(half.ringing >= 2 * ROUND_TRIP && half.established < soon, "{half:?}");
    // Full: nobody waits but audio.
    let full = call(Full, Half, 0.0);
    assert!(full.ringing < soon && full.established < soon, "{full:?}");
    let whole = |call: &Call| call.ringing + call.established + call.heard;
    assert!(whole(&half) <= whole(&off), "{half:?} {off:?}");
    assert!(whole(&full) + ROUND_TRIP <= whole(&off), "{full:?} {off:?}");
    // With one end that does not, all is as if neither did.
    for (caller, callee) in [(Half, Off), (Off, Half)] {
        let mixed = call(caller, callee, 0.0);
        assert!(mixed.ringing >= 2 * ROUND_TRIP && mixed.established >= 2 * ROUND_TRIP, "{mixed:?}");
    }
    // Who requires what the other has not calls again with all there is.
    let again = call(Full, Off, 0.0);
    assert!(again.ringing >= 2 * ROUND_TRIP && again.established >= 2 * ROUND_TRIP, "{again:?}");
}

#[test]
fn late_candidates_arrive_over_paths_that_lose() {
    for how in [IceTrickle::Half, IceTrickle::Full] {
        let lossy = call(how, how, 0.2);
        assert!(lossy.established < Duration::from_millis(100), "{lossy:?}");
    }
}
