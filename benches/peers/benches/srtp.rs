//! Criterion's view of the works: `cargo bench --bench srtp` in this folder.

use criterion::{Criterion, criterion_group, criterion_main};

fn benches(criterion: &mut Criterion) {
    for work in sipsimple_peers::srtp::works() {
        let name = format!("{}/{}", work.group, work.who);
        criterion.bench_function(name, |bench| {
            bench.iter_custom(|times| work.time(usize::try_from(times).expect("64 bits")))
        });
    }
}

criterion_group!(all, benches);
criterion_main!(all);
