//! Behaviour as traces: packets and notifications in one list, in virtual time.
//!
//! `tests/traces/*.trace` say what must happen; this module makes it happen between two engines
//! on a simulated network and compares. `BLESS=1 cargo test traces` writes what happened into
//! the files: read the difference before keeping it.

mod agent;
mod branches;
mod event_state;
mod ice;
mod matrix;
mod outside;
mod puppet;
mod random;
mod registrar;
mod rules;
mod script;
mod simulation;

use std::path::PathBuf;
use std::time::Duration;

use testkit::Link;

use self::script::Script;

fn traces() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/traces");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the traces are there")
        .map(|entry| entry.expect("a folder can be read").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "trace"))
        .collect();
    files.sort();
    assert!(files.len() >= 8, "the traces that the first issue names: {files:?}");
    files
}

#[test]
fn traces_hold() {
    let mut wrong = Vec::new();
    for path in traces() {
        let text = std::fs::read_to_string(&path).expect("a trace can be read");
        let script = Script::parse(&text);
        let happened = script.play(1, Link::delayed(Duration::from_millis(10)), Duration::from_secs(3));
        let happened = script.merge(&happened);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &happened).expect("a trace can be written");
        } else if happened != text {
            wrong.push(format!("--- {}\nexpected:\n{text}\nhappened:\n{happened}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// With 30 % of all packets lost everything still happens, in the same order at each side. Only
/// ringing and the progress of transfers may go unheard: they are not repeated.
#[test]
fn traces_hold_under_loss() {
    let mut wrong = Vec::new();
    for path in traces() {
        let text = std::fs::read_to_string(&path).expect("a trace can be read");
        let script = Script::parse(&text);
        if script.lossless() {
            continue;
        }
        for seed in 1..=20 {
            let link = Link { delay: Duration::from_millis(10), ..Link::lossy(0.3) };
            let happened = script.play(seed, link, Duration::from_secs(40));
            for agent in ["alice", "bob", "carol"] {
                let expected = script.notifications(agent);
                let happened = script::notifications_of(&happened, agent);
                if happened != expected {
                    let name = path.display();
                    wrong.push(format!("{name} at {agent}'s, seed {seed}: {happened:#?}, not {expected:#?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same seed and the same events give the same packets, to the byte.
#[test]
fn an_engine_is_deterministic() {
    for path in traces() {
        let text = std::fs::read_to_string(&path).expect("a trace can be read");
        let script = Script::parse(&text);
        let link = Link { delay: Duration::from_millis(10), ..Link::lossy(0.1) };
        let [first, second] = [script.packets(5, link.clone()), script.packets(5, link)];
        let sends = text.lines().any(|line| line.starts_with("alice > "));
        assert_eq!(first.is_empty(), !sends, "{}", path.display());
        assert_eq!(first, second, "{}", path.display());
    }
}
