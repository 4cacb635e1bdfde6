//! When to leave: Ctrl-C and what the system sends. The first time everything is ended well; the
//! second time leaves now.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::terminal;

/// What a shell is told of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Tells when to leave; every clone tells the same.
#[derive(Clone)]
pub(crate) struct Leave {
    asked: Arc<watch::Sender<bool>>,
}

impl Leave {
    /// Listens to signals from now on.
    pub(crate) fn install() -> Self {
        let leave = Self { asked: Arc::new(watch::Sender::new(false)) };
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            // Where signals cannot be listened to they end the program at once.
            if let Ok(signal) = signal(kind) {
                tokio::spawn(leave.clone().watch(signal));
            }
        }
        leave
    }

    /// Asks to leave, as a signal does.
    pub(crate) fn ask(&self) {
        if self.asked.send_replace(true) {
            terminal::restore();
            std::process::exit(INTERRUPTED);
        }
    }

    /// Resolves when it is time.
    pub(crate) async fn asked(&self) {
        let mut asked = self.asked.subscribe();
        // An error means that the sender is gone, which we hold.
        let _ = asked.wait_for(|asked| *asked).await;
    }

    async fn watch(self, mut signal: Signal) {
        while signal.recv().await.is_some() {
            self.ask();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Leave;

    #[tokio::test]
    async fn who_asks_later_is_told_as_well() {
        let leave = Leave::install();
        let early = leave.clone();
        let waiting = tokio::spawn(async move { early.asked().await });
        leave.ask();
        waiting.await.expect("it ends");
        leave.asked().await;
    }
}
