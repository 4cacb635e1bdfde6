//! Benchmarks only; see `benches/README.md`.
