//! The table of ICE agents in `benches/README.md`: `cargo run --release --bin ice`. Virtual time: it says the
//! same on every machine, but for agents that draw random numbers of their own.

use sipsimple_peers::ice::{Agent, Ours, Rice, Scene, Str0m, scenes, summary};

const RUNS: u8 = 100;

fn main() {
    println!("| network | {} | {} | {} |\n|---|--:|--:|--:|", Ours::WHO, Str0m::WHO, Rice::WHO);
    for scene in scenes() {
        let cells = [cell::<Ours>(&scene), cell::<Str0m>(&scene), cell::<Rice>(&scene)];
        println!("| {} | {} |", scene.name, cells.join(" | "));
    }
}

fn cell<A: Agent>(scene: &Scene) -> String {
    match summary::<A>(scene, RUNS) {
        None => "no way".to_owned(),
        Some((time, packets, found)) => {
            let missed = usize::from(RUNS) - found;
            let missed = if missed == 0 { String::new() } else { format!(", {missed} % no way") };
            format!("{} ms, {packets}{missed}", time.as_millis())
        }
    }
}
