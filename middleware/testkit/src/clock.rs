//! Virtual time.

use std::time::{Duration, Instant};

/// A clock that moves only when it is told to.
///
/// It starts at an arbitrary `Instant`: machines may only compare instants and add to them.
#[derive(Clone, Debug)]
pub struct Clock {
    base: Instant,
    elapsed: Duration,
}

impl Clock {
    /// A clock at its beginning.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant has no other source; nothing depends on its value"
    )]
    pub fn new() -> Self {
        Self { base: Instant::now(), elapsed: Duration::ZERO }
    }

    /// The virtual now.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.base + self.elapsed
    }

    /// How far it has moved since its beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Where `instant` lies from the beginning; zero for what lies before.
    #[must_use]
    pub fn offset(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.base)
    }

    /// Moves forward and returns the new now.
    pub fn advance(&mut self, by: Duration) -> Instant {
        self.elapsed += by;
        self.now()
    }

    /// Moves forward to `instant` and returns the new now; a past `instant` moves nothing.
    pub fn advance_to(&mut self, instant: Instant) -> Instant {
        self.elapsed = self.elapsed.max(self.offset(instant));
        self.now()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_only_forward_and_only_when_told() {
        let mut clock = Clock::new();
        let start = clock.now();
        assert_eq!(clock.now(), start);
        let later = clock.advance(Duration::from_secs(5));
        assert_eq!(later - start, Duration::from_secs(5));
        clock.advance_to(start + Duration::from_secs(1));
        assert_eq!(clock.now(), later, "a past instant moves nothing");
        clock.advance_to(start + Duration::from_secs(9));
        assert_eq!(clock.elapsed(), Duration::from_secs(9));
        assert_eq!(clock.offset(start), Duration::ZERO);
    }
}
