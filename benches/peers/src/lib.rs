//! What is measured, ours and the peers': a list of works that the benches time and `table` tabulates.
//! Each protocol has a module here and a bench of its name; more of them join the same way.

pub mod ice;
pub mod msrp;
pub mod sdp;
pub mod sip;
pub mod srtp;
pub mod stun;

/// Something to measure.
pub struct Work {
    /// What is done, and to which message: works of one group are compared.
    pub group: &'static str,
    /// Who does it.
    pub who: &'static str,
    /// Does it once.
    pub run: Box<dyn Fn()>,
}

impl Work {
    /// A work that throws away what `run` gives, after the optimiser has seen it used.
    pub fn new<T>(group: &'static str, who: &'static str, run: impl Fn() -> T + 'static) -> Self {
        Self { group, who, run: Box::new(move || drop(std::hint::black_box(run()))) }
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
