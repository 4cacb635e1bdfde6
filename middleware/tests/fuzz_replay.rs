//! The fuzz targets on a stable compiler: every body over its seeds, what fuzzing has found
//! before, every prefix of both, and mutations that are the same in every run.
//!
//! `FUZZ_REPLAY=20 cargo test -p sipsimple --test fuzz_replay` tries twenty times as many.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use testkit::Random;

#[path = "../../fuzz/src/differential.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz package, where it is public")]
mod differential;

type Target = (&'static str, fn(&[u8]));

/// Mutations a target and run, shared among its seeds.
const MUTATIONS: usize = 3_000;
/// Seeds are small; of a longer one the prefixes are tried in steps.
const PREFIXES: usize = 300;

macro_rules! replay {
    ($($krate:ident),+ $(,)?) => {
        const CRATES: &[(&str, &[Target])] = &[
            $((stringify!($krate), $krate::fuzzing::TARGETS),)+
            ("differential", differential::TARGETS),
        ];

        $(
            #[test]
            fn $krate() {
                replay($krate::fuzzing::TARGETS);
            }
        )+
    };
}

replay!(sip_core, sdp, rtp_srtp, ice_stun, msrp_cpim, media, sipsimple);

#[test]
fn beside_others() {
    replay(differential::TARGETS);
}

/// Every body has a target for the fuzzer, and every target a body.
#[test]
fn fuzz_wraps_every_body() {
    let names: Vec<&str> =
        CRATES.iter().flat_map(|(_, targets)| targets.iter().map(|(name, _)| *name)).collect();
    let bodies: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(bodies.len(), names.len(), "names are told apart over all crates: {names:?}");
    let manifest = std::fs::read_to_string(folder().join("Cargo.toml")).expect("fuzz/Cargo.toml");
    let bins = manifest.split("[[bin]]").skip(1).map(|bin| {
        bin.lines().find_map(|line| line.strip_prefix("name = ")).expect("a bin has a name").trim_matches('"')
    });
    let targets: BTreeSet<String> = bins.map(str::to_owned).collect();
    assert_eq!(targets, bodies, "fuzz/Cargo.toml (left) and the TARGETS of the crates (right)");
    for (krate, bodies) in CRATES {
        for (name, _) in *bodies {
            let path = folder().join("fuzz_targets").join(format!("{name}.rs"));
            let text =
                std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(text.contains(&format!("target!({krate}, \"{name}\")")), "{}", path.display());
        }
    }
    for kind in ["corpus", "regressions"] {
        for entry in std::fs::read_dir(folder().join(kind)).into_iter().flatten() {
            let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            assert!(
                targets.contains(&name) || name.ends_with(".md"),
                "fuzz/{kind}/{name} belongs to no target"
            );
        }
    }
}

fn replay(targets: &[Target]) {
    assert!(!targets.is_empty());
    let times: usize =
        std::env::var("FUZZ_REPLAY").map_or(1, |times| times.parse().expect("FUZZ_REPLAY is a number"));
    for (name, body) in targets {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "fuzz/corpus/{name} has no seed");
        for (file, seed) in &seeds {
            attempt(*body, seed, || format!("{file}, as it is"));
            for end in (0..seed.len()).step_by(seed.len() / PREFIXES + 1) {
                attempt(*body, &seed[..end], || format!("{file}, its first {end} bytes"));
            }
        }
        let mut random = Random::new(1);
        for number in 0..MUTATIONS * times {
            let (file, seed) = random.pick(&seeds);
            let data = random.mutate(seed);
            attempt(*body, &data, || format!("{file}, mutation {number}"));
        }
    }
}

/// Runs a body; if it panics, says on what.
fn attempt(body: fn(&[u8]), data: &[u8], what: impl Fn() -> String) {
    if catch_unwind(AssertUnwindSafe(|| body(data))).is_err() {
        panic!("{}:\n\"{}\"", what(), data.escape_ascii());
    }
}

/// The files of a target: name and content.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for kind in ["corpus", "regressions"] {
        let Ok(entries) = std::fs::read_dir(folder().join(kind).join(target)) else { continue };
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            let content = std::fs::read(&path).expect("a seed can be read");
            let name = path.file_name().expect("a file has a name").to_string_lossy();
            seeds.push((format!("{kind}/{target}/{name}"), content));
        }
    }
    // A folder has no order; mutations must be the same everywhere.
    seeds.sort();
    seeds
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}
