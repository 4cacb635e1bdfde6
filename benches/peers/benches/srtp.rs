//! Criterion's view of the works: `cargo bench --bench srtp` in this folder.

use criterion::{Criterion, criterion_group, criterion_main};

fn benches(criterion: &mut Criterion) {
    for work in sipsimple_peers::srtp::works() {
        criterion.bench_function(format!("{}/{}", work.group, work.who), |bench| bench.iter(|| (work.run)()));
    }
}

criterion_group!(all, benches);
criterion_main!(all);
