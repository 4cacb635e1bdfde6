//! The `sipsimple` program.
fn main() {}
