//! Real time on a machine that may stand still for a moment: such a moment is none that was listened to, and nothing is
//! judged by it.

use std::time::Duration;

use tokio::time::Instant;

/// A wait of that length is one in which the machine stood still. The media thread catches up with twice as much.
const STILL: Duration = Duration::from_millis(100);
/// How often is looked.
const STEP: Duration = Duration::from_millis(10);

/// Lets so much time pass, and what the machine stood still for besides: what is listened to takes as long as it takes.
#[allow(dead_code, reason = "not all that listen count seconds")]
pub(crate) async fn listen(time: Duration) {
    let mut left = time;
    while !left.is_zero() {
        left = left.saturating_sub(step(STEP.min(left)).await.min(STILL));
    }
}

/// The same, of time in one piece: begun again when the machine stood still, as often as ten times.
#[allow(dead_code, reason = "not all that listen compare")]
pub(crate) async fn listen_closely(time: Duration) {
    for _ in 0..10 {
        let mut left = time;
        while !left.is_zero() {
            let took = step(STEP.min(left)).await;
            if took >= STILL {
                break;
            }
            left = left.saturating_sub(took);
        }
        if left.is_zero() {
            return;
        }
        println!("the machine stood still: heard once more");
    }
}

/// What `attempt` measures where the machine ran all the while; otherwise it is made again.
#[allow(dead_code, reason = "not all that listen measure")]
pub(crate) async fn undisturbed<T>(mut attempt: impl AsyncFnMut() -> T) -> T {
    for _ in 0..10 {
        let mut longest = Duration::ZERO;
        let watching = async {
            loop {
                longest = longest.max(step(STEP).await);
            }
        };
        let measured = tokio::select! {
            measured = attempt() => measured,
            () = watching => unreachable!("it never ends"),
        };
        if longest < STILL {
            return measured;
        }
        println!("the machine stood still for {longest:?}: once more");
    }
    panic!("the machine stood still for {STILL:?} in each of ten attempts")
}

/// How long a short time has taken.
async fn step(time: Duration) -> Duration {
    let begun = Instant::now();
    let passed = tokio::time::timeout(time, std::future::pending::<()>());
    assert!(passed.await.is_err());
    begun.elapsed()
}
