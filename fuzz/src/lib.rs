//! Wraps the fuzz targets of the workspace for libFuzzer.
//!
//! A target's body is a function in its crate's `fuzzing` module; this only finds it by
//! name, so that what the fuzzer runs and what `./dev test` replays is the same.

pub mod differential;

pub use libfuzzer_sys;

/// A body: it panics when what it checks does not hold.
pub type Body = fn(&[u8]);

/// The body of that name.
///
/// # Panics
/// If the crate has none.
#[must_use]
pub fn body(targets: &[(&str, Body)], name: &str) -> Body {
    let found = targets.iter().find(|(target, _)| *target == name);
    found.unwrap_or_else(|| panic!("no fuzz target {name}")).1
}

/// The main function of a target: `target!(sip_core, "message");`, or of one that compares ours with
/// somebody else's: `target!(differential, "sdp_beside_rtc");`.
#[macro_export]
macro_rules! target {
    (differential, $name:literal) => {
        $crate::target!(@ $crate::differential::TARGETS, $name);
    };
    ($krate:ident, $name:literal) => {
        $crate::target!(@ $krate::fuzzing::TARGETS, $name);
    };
    (@ $targets:expr, $name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(|data: &[u8]| {
            static BODY: std::sync::OnceLock<$crate::Body> = std::sync::OnceLock::new();
            BODY.get_or_init(|| $crate::body($targets, $name))(data);
        });
    };
}
