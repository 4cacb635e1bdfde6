//! The one file of this crate that reads the clocks and the system's entropy.
#![expect(clippy::disallowed_methods, reason = "this is where time and entropy come from")]

use std::time::{Instant, SystemTime};

use ring::rand::{SecureRandom, SystemRandom};

use crate::engine::Now;

/// Reads both clocks.
pub(crate) fn now() -> Now {
    Now { instant: Instant::now(), wall: SystemTime::now() }
}

/// Reads the one for timers alone.
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// 256 bits from the operating system.
pub(crate) fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).expect("the operating system gives random bytes");
    seed
}

/// Waits until `deadline`; for ever where there is none.
pub(crate) async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// A short pause for the system, where trying again at once would only burn time.
pub(crate) async fn breathe() {
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
}
