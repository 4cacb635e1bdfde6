//! The table of ICE agents in `benches/README.md`: `cargo run --release --bin ice`. Virtual time: it says the
//! same on every machine, but for agents that draw random numbers of their own.

use sipsimple_peers::ice::{Agent, Ours, Rice, Scene, Str0m, scenes, summary};

const RUNS: u8 = 100;

fn main() {
    let who = [Ours::<false>::WHO, Ours::<true>::WHO, Str0m::WHO, Rice::WHO];
    println!("| network | {} |\n|---|--:|--:|--:|--:|", who.join(" | "));
    for scene in scenes() {
        let ours = [cell::<Ours<false>>(&scene), cell::<Ours<true>>(&scene)];
        let cells = [ours.as_slice(), &[cell::<Str0m>(&scene), cell::<Rice>(&scene)]].concat();
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
