//! Commands, packets, time-outs and losses at random, on both sides: whatever comes, only listed changes
//! of state happen, every session ends exactly once and with its failure told before, no two re-INVITEs
//! are out at once, the attributes say what the notifications say, no plain RTP leaves where SRTP is forced,
//! and nothing is left over.
//!
//! `./dev sequences` plays 100,000 of them, and CI does; `SIPSIMPLE_SEED=7` plays the one of that seed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use testkit::{Clock, Link, Network, Random, run};

use super::agent::{Agent, Log};
use crate::session::State;

const SEQUENCES: u64 = 400;

const COMMANDS: [&str; 44] = [
    "accept audio,chat,file",
    "send-file photo.jpg",
    "request-file song.wav",
    "accept-proposal file",
    "accept-proposal audio,chat,file",
    "accept audio",
    "accept audio,chat",
    "accept audio,chat",
    "accept chat",
    "reject",
    "hold",
    "hold",
    "unhold",
    "unhold",
    "add chat",
    "add chat",
    "add audio",
    "remove chat",
    "remove audio",
    "accept-proposal audio,chat",
    "accept-proposal audio",
    "accept-proposal chat",
    "accept-proposal chat",
    "reject-proposal",
    "record file.wav",
    "stop-recording",
    "message hello",
    "dtmf 5",
    "dtmf 5 info",
    "dtmf 5 inband",
    "confer 1",
    "confer none",
    "transfer",
    "transfer silent",
    "accept-transfer",
    "reject-transfer",
    "set media=slow",
    "set media=broken",
    "set media=deaf",
    "set media=ready",
    "media ready",
    "media audio lost",
    "media chat failed",
    "terminate",
];

const CALLS: [&str; 8] = [
    "connect audio",
    "connect audio,chat",
    "connect chat",
    "connect file",
    "connect audio,file",
    "connect audio late",
    "connect audio,chat late",
    "connect audio auto",
];

#[test]
fn any_order_of_commands_ends_well() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("SIPSIMPLE_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("SIPSIMPLE_SEQUENCES").unwrap_or(SEQUENCES),
    };
    // Each sequence is by itself: as many at a time as there are processors.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(*seeds.start());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > *seeds.end() {
                        return;
                    }
                    play(seed);
                }
            });
        }
    });
}

/// Two agents and the way between them.
struct Scene {
    clock: Clock,
    network: Network,
    agents: [Agent; 2],
    random: Random,
}

impl Scene {
    fn new(seed: u64, log: &Log) -> Self {
        let mut random = Random::new(seed);
        let (clock, mut network) = (Clock::new(), Network::new(seed));
        let loss = if random.chance(0.5) { 0.2 } else { 0.0 };
        let jitter = random.up_to(Duration::from_millis(30));
        network.set_default(Link { delay: Duration::from_millis(10), jitter, ..Link::lossy(loss) });
        let start = clock.now();
        let alice = Agent::new("alice", 1, true, start, log);
        let bob = Agent::new("bob", 2, false, start, log);
        Self { clock, network, agents: [alice, bob], random }
    }

    fn pass(&mut self, time: Duration) {
        let until = self.clock.now() + time;
        let [alice, bob] = &mut self.agents;
        run(&mut self.clock, &mut self.network, &mut [alice, bob], until, |_| false);
        self.clock.advance_to(until);
    }

    /// A command at one of the sides, in one of its sessions.
    fn command(&mut self) {
        let side = usize::from(self.random.chance(0.5));
        let calls = self.random.chance(0.04) && self.agents[side].sessions.len() < 4;
        let text = if calls { *self.random.pick(&CALLS) } else { *self.random.pick(&COMMANDS) };
        let peer = self.agents[1 - side].address;
        let agent = &mut self.agents[side];
        let number = match agent.sessions.len() {
            0 if calls => 1,
            0 => return,
            known => 1 + self.random.below(known),
        };
        let number = number.to_string();
        let target = format!("to={}", ["bob", "alice"][side]);
        let mut words: Vec<&str> = text.split(' ').collect();
        match calls {
            true => words.push(&target),
            false => words.insert(0, &number),
        }
        if text.starts_with("media ") && !agent.has_media(&number, words[2]) {
            return;
        }
        // What is not legal now is refused, and changes nothing.
        let before = agent.rules.states.len();
        if agent.command(self.clock.now(), &words, peer).is_err() {
            assert_eq!(agent.rules.states.len(), before, "{text} was refused");
        }
    }

    /// Something that was on the wire comes once more, perhaps not as it was.
    fn packet(&mut self) {
        let side = usize::from(self.random.chance(0.5));
        let (from, to) = (self.agents[side].address, self.agents[1 - side].address);
        let count = self.agents[side].packets.len();
        if count == 0 {
            return;
        }
        let mut data = self.agents[side].packets[self.random.below(count)].to_vec();
        if self.random.chance(0.5) {
            for _ in 0..=self.random.below(3) {
                let at = self.random.below(data.len());
                data[at] = self.random.bytes(1)[0];
            }
        }
        self.network.send(self.clock.now(), from, to, data);
    }
}

fn play(seed: u64) {
    let log = Log::default();
    let mut scene = Scene::new(seed, &log);
    let bob = scene.agents[1].address;
    let now = scene.clock.now();
    for agent in &mut scene.agents {
        let srtp = *scene.random.pick(&["srtp=off", "srtp=on", "srtp=forced"]);
        agent.command(now, &["set", srtp], bob).expect("it can be set");
    }
    let call = *scene.random.pick(&CALLS);
    let words: Vec<&str> = call.split(' ').collect();
    scene.agents[0].command(now, &words, bob).expect("it may connect");
    let mutated = scene.random.chance(0.3);
    for _ in 0..scene.random.below(30) {
        // Now and then so long that what waits gives up.
        let longest = if scene.random.chance(0.03) { 100_000 } else { 600 };
        let time = scene.random.up_to(Duration::from_millis(longest));
        scene.pass(time);
        match mutated && scene.random.chance(0.2) {
            true => scene.packet(),
            false => scene.command(),
        }
    }
    for _ in 0..5 {
        scene.pass(Duration::from_secs(100));
        let Scene { agents, clock, .. } = &mut scene;
        for agent in agents {
            for number in 1..=agent.sessions.len() {
                let number = number.to_string();
                let _ = agent.command(clock.now(), &[&number, "terminate"], bob);
                let _ = agent.command(clock.now(), &[&number, "media", "ready"], bob);
            }
        }
    }
    let context = || format!("seed {seed}\n{}", log.borrow().join("\n"));
    for agent in &scene.agents {
        assert!(agent.rules.broken.is_empty(), "{}: {:?}: {}", agent.name, agent.rules.broken, context());
        for (index, (id, from, to)) in agent.rules.states.iter().enumerate() {
            assert!(from.may_become(*to), "{from} to {to}: {}", context());
            let last = agent.rules.states[..index].iter().rev().find(|(other, _, _)| other == id);
            let before = last.map_or(State::Null, |(_, _, state)| *state);
            assert_eq!(before, *from, "{}", context());
        }
        let mut started: Vec<_> = agent.rules.states.iter().map(|(id, _, _)| *id).collect();
        started.sort();
        started.dedup();
        let mut ended = agent.rules.ended.clone();
        ended.sort();
        assert_eq!(started, ended, "each session ends once, at {}'s: {}", agent.name, context());
        assert!(
            agent.rules.live.is_empty(),
            "{} has sessions left: {:?} {}",
            agent.name,
            agent.rules.live,
            context()
        );
        assert!(agent.engine.is_settled(), "{} has something left: {}", agent.name, context());
        agent.engine.assert_empty(&context);
    }
}
