//! What the sources and the documents say, for tests that compare them.

use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn folder_of(package: &str) -> PathBuf {
    root().join(package)
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines outside fenced blocks, from 1.
pub(crate) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((at + 1, line))
    })
}

pub(crate) fn is_row(line: &str) -> bool {
    line.trim_start().starts_with('|')
}

pub(crate) fn cells(row: &str) -> Vec<&str> {
    row.trim().trim_matches('|').split('|').map(str::trim).collect()
}

pub(crate) fn backticked(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

pub(crate) fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Whether a checklist's path leads to a test: `tests/corpus.rs::verdicts`,
/// `src/uri.rs::tests::hosts` or `transaction::client::tests::retransmits`, in that folder.
pub(crate) fn names_a_test(folder: &str, path: &str) -> bool {
    let base = folder_of(folder);
    let (files, inner): (Vec<PathBuf>, Vec<&str>) = match path.split_once(".rs::") {
        Some((file, inner)) => {
            let places = [format!("{file}.rs"), format!("{file}_tests.rs"), format!("{file}/tests.rs")];
            (places.iter().map(|place| base.join(place)).collect(), inner.split("::").collect())
        }
        None => {
            let parts: Vec<&str> = path.split("::").filter(|part| *part != "crate").collect();
            let Some((_, modules)) = parts.split_last() else { return false };
            // The test may stand in the file of any of its modules: the deepest that exists.
            let mut files = vec![base.join("src/lib.rs")];
            for depth in 1..=modules.len() {
                let joined = modules.iter().take(depth).collect::<PathBuf>();
                files.push(base.join("src").join(&joined).with_extension("rs"));
                files.push(base.join("src").join(&joined).join("mod.rs"));
                // Tests in a file beside theirs: #[path = "receiver_tests.rs"] mod tests;
                let beside = format!("{}_tests.rs", joined.display());
                files.push(base.join("src").join(beside));
            }
            (files, parts)
        }
    };
    let Some(function) = inner.last() else { return false };
    files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .any(|text| has_test(&text, function, &inner))
}

/// Whether a file has a function of that name that the test runner finds.
pub(crate) fn has_test(text: &str, function: &str, path: &[&str]) -> bool {
    let needle = format!("fn {function}(");
    let mut attribute = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") && line.contains("test") {
            attribute = true;
        } else if line.contains(&needle) && attribute {
            return true;
        } else if line.starts_with("fn ") || line.contains(" fn ") || line == "}" {
            attribute = false;
        }
    }
    // testkit::conformance!(name, Machine) makes a module `name` of tests.
    path.iter().any(|part| text.contains(&format!("conformance!({part},")))
}
