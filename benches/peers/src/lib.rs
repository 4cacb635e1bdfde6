//! What is measured, ours and the peers': a list of works that the benches time and `table` tabulates.
//! Each protocol has a module here and a bench of its name; more of them join the same way.

pub mod ice;
pub mod msrp;
pub mod page;
pub mod sdp;
pub mod sip;
pub mod srtp;
pub mod stun;

use std::time::{Duration, Instant};

/// Something to measure.
pub struct Work {
    /// What is done, and to which message: works of one group are compared.
    pub group: &'static str,
    /// Who does it.
    pub who: &'static str,
    /// Does it once.
    pub run: Box<dyn Fn()>,
    /// What goes before so many runs and is not counted.
    ready: Option<(Box<dyn Fn()>, usize)>,
}

impl Work {
    /// A work that throws away what `run` gives, after the optimiser has seen it used.
    pub fn new<T>(group: &'static str, who: &'static str, run: impl Fn() -> T + 'static) -> Self {
        Self { group, who, run: Box::new(move || drop(std::hint::black_box(run()))), ready: None }
    }

    /// Has `ready` done before each `batch` of runs, outside of what is timed.
    #[must_use]
    pub fn after(mut self, batch: usize, ready: impl Fn() + 'static) -> Self {
        self.ready = Some((Box::new(ready), batch.max(1)));
        self
    }

    /// Gets ready for the next runs, `batch` of them at most.
    pub fn ready(&self) {
        if let Some((ready, _)) = &self.ready {
            ready();
        }
    }

    /// How long so many runs take.
    pub fn time(&self, mut times: usize) -> Duration {
        let batch = self.ready.as_ref().map_or(usize::MAX, |(_, batch)| *batch);
        let mut spent = Duration::ZERO;
        while times > 0 {
            let now = times.min(batch);
            self.ready();
            let start = Instant::now();
            (0..now).for_each(|_| (self.run)());
            spent += start.elapsed();
            times -= now;
        }
        spent
    }
}

/// Every work there is.
pub fn works() -> Vec<Work> {
    let all = [sip::works(), sdp::works(), stun::works(), msrp::works(), srtp::works()];
    all.into_iter().flatten().collect()
}

/// Name of ours in the tables.
pub const OURS: &str = "sipsimple";
/// Name of what the instructions cost with nothing around them.
pub const LIMIT: &str = "limit";
