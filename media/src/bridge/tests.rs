use std::sync::{Arc, Mutex};

use super::*;

/// Gives one value for ever and keeps what it is given.
struct Probe {
    rate: u32,
    value: i16,
    heard: Arc<Mutex<Vec<i16>>>,
}

impl Port for Probe {
    fn sample_rate(&self) -> u32 {
        self.rate
    }

    fn pull(&mut self, out: &mut [i16]) -> Signal {
        out.fill(self.value);
        if self.value == 0 { Signal::Silent } else { Signal::Audible }
    }

    fn push(&mut self, pcm: &[i16], _signal: Signal) {
        let mut heard = self.heard.lock().expect("no test panics holding it");
        heard.clear();
        heard.extend_from_slice(pcm);
    }
}

struct Party {
    id: PortId,
    heard: Arc<Mutex<Vec<i16>>>,
}

impl Party {
    fn join(bridge: &mut Bridge, rate: u32, value: i16) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let id = bridge.add_port(Box::new(Probe { rate, value, heard: heard.clone() }));
        Self { id, heard }
    }

    fn hears(&self) -> i16 {
        let heard = self.heard.lock().expect("no test panics holding it");
        let middle = heard[heard.len() / 2];
        assert!(heard.iter().all(|sample| sample.abs_diff(middle) <= 1), "a constant");
        middle
    }
}

fn mesh(bridge: &mut Bridge, parties: &[Party]) {
    for from in parties {
        for to in parties {
            bridge.connect(from.id, to.id, 0.0).expect("both are there");
        }
    }
}

#[test]
fn everybody_hears_everybody_else() {
    for count in [2usize, 3, 4, 5, 17] {
        let mut bridge = Bridge::new(BridgeConfig::default());
        let parties: Vec<Party> =
            (0..count).map(|n| Party::join(&mut bridge, 16_000, 1 + n as i16 * 10)).collect();
        mesh(&mut bridge, &parties);
        bridge.tick();
        let all: i16 = (0..count).map(|n| 1 + n as i16 * 10).sum();
        for (n, party) in parties.iter().enumerate() {
            assert_eq!(party.hears(), all - 1 - n as i16 * 10, "party {n} of {count}");
        }
        // One leaves, and one is turned down: the shared sum must not be used for it.
        bridge.remove_port(parties[0].id).expect("is there");
        if count > 2 {
            bridge.connect(parties[2].id, parties[1].id, -96.0).expect("both are there");
            bridge.tick();
            assert_eq!(parties[1].hears(), all - 1 - 11 - 21);
            assert_eq!(parties[2].hears(), all - 1 - 21);
        }
    }
}

#[test]
fn unconnected_ports_hear_silence() {
    let mut bridge = Bridge::new(BridgeConfig::default());
    let one = Party::join(&mut bridge, 16_000, 100);
    let two = Party::join(&mut bridge, 16_000, 0);
    bridge.connect(one.id, two.id, 0.0).expect("both are there");
    bridge.tick();
    assert_eq!((one.hears(), two.hears()), (0, 100));
    bridge.disconnect(one.id, two.id).expect("both are there");
    bridge.tick();
    assert_eq!(two.hears(), 0);
    assert_eq!(bridge.connect(one.id, PortId(99), 0.0), Err(UsageError::NoPort(99)));
}

#[test]
fn rates_meet_at_the_edge_and_levels_are_measured() {
    let mut bridge = Bridge::new(BridgeConfig::default());
    let narrow = Party::join(&mut bridge, 8_000, 1_000);
    let odd = Party::join(&mut bridge, 11_025, 2_000);
    let wide = Party::join(&mut bridge, 48_000, 3_000);
    let parties = [narrow, odd, wide];
    mesh(&mut bridge, &parties);
    for _ in 0..20 {
        bridge.tick();
    }
    assert!(parties[0].hears().abs_diff(5_000) <= 2);
    assert!(parties[1].hears().abs_diff(4_000) <= 2);
    assert!(parties[2].hears().abs_diff(3_000) <= 2);
    let meters = bridge.meters(parties[0].id).expect("is there");
    let expected = 20.0 * (1_000f32 / 32_768.0).log10();
    assert!((meters.given.level().peak_db - expected).abs() < 0.1, "{:?}", meters.given.level());
    assert!((meters.given.level().rms_db - expected).abs() < 0.5);
}

#[test]
fn loud_parties_do_not_wrap() {
    let mut bridge = Bridge::new(BridgeConfig::default());
    let parties: Vec<Party> = (0..6).map(|_| Party::join(&mut bridge, 16_000, 30_000)).collect();
    mesh(&mut bridge, &parties);
    bridge.tick();
    let heard = parties[0].hears();
    assert!(heard > 30_000, "{heard}");
}
