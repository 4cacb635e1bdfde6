//! The examples, built where the tests are, and a WAV file for those that want one.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An example of this package or of another one.
pub(crate) fn example(package: &str, name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test");
    let folder = test.ancestors().nth(2).expect("the folder of the profile").join("examples");
    let path = folder.join(name);
    if !path.exists() {
        // `cargo test` builds examples unless it is asked for one test alone.
        let status =
            Command::new(env!("CARGO")).args(["build", "-q", "-p", package, "--example", name]).status();
        assert!(status.is_ok_and(|status| status.success()), "the example builds");
    }
    path
}

/// Samples at 16,000 Hz.
pub(crate) fn write_wav(path: &Path, samples: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("a file");
    for sample in samples {
        writer.write_sample(*sample).expect("the disk has room");
    }
    writer.finalize().expect("the disk has room");
}
