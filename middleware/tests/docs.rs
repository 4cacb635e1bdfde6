//! Documentation that can be checked is checked: what a checklist calls done names a test
//! that exists, what ARCHITECTURE.md and the others point to is there, and the verbs that
//! they tell people to type are verbs of `./dev`.

use std::collections::BTreeSet;
use std::path::Path;

#[path = "support/source.rs"]
mod source;

use source::{
    backticked, cells, folder_of, has_test, is_row, names_a_test, numbered, read, root, rust_files,
};

/// The packages whose README carries a checklist of RFCs.
const CHECKLISTS: [&str; 7] = ["sip-core", "sdp", "rtp-srtp", "ice-stun", "msrp-cpim", "media", "middleware"];
const ROOT_DOCUMENTS: [&str; 5] =
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"];

#[test]
fn what_a_checklist_calls_done_names_a_test() {
    let mut wrong = Vec::new();
    let mut done = 0;
    for folder in CHECKLISTS {
        let readme = folder_of(folder).join("README.md");
        for (line, text) in numbered(&read(&readme)) {
            if !is_row(text) || !text.contains("[x]") {
                continue;
            }
            done += 1;
            let last = cells(text).pop().unwrap_or_default();
            let named = backticked(last);
            if named.is_empty() {
                wrong.push(format!("{folder}/README.md:{line}: done, and names no test"));
            }
            for test in named.into_iter().filter(|test| !names_a_test(folder, test)) {
                wrong.push(format!("{folder}/README.md:{line}: no test {test}"));
            }
        }
    }
    assert!(done > 0, "no checklist has a row");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_security_claims_names_a_test() {
    let text = read(&root().join("SECURITY.md"));
    let mut rows = 0;
    for (line, row) in numbered(&text).filter(|(_, row)| is_row(row)).skip(2) {
        let named = backticked(cells(row).pop().unwrap_or_default());
        assert!(!named.is_empty(), "SECURITY.md:{line}: a claim without a test");
        for test in named {
            let (folder, path) = test.split_once(':').expect("folder:path of a test");
            assert!(names_a_test(folder.trim(), path.trim()), "SECURITY.md:{line}: no test {test}");
            rows += 1;
        }
    }
    assert!(rows > 0, "SECURITY.md shows nothing by a test");
}

#[test]
fn what_the_documents_point_to_exists() {
    let mut wrong = Vec::new();
    for document in ROOT_DOCUMENTS {
        let text = read(&root().join(document));
        for (line, text) in numbered(&text) {
            for token in backticked(text).into_iter().chain(links(text)) {
                let places = CHECKLISTS.iter().map(|folder| folder_of(folder)).chain([root()]);
                if looks_like_a_path(token) && !places.into_iter().any(|place| place.join(token).exists()) {
                    wrong.push(format!("{document}:{line}: there is no {token}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn architecture_names_every_folder_package_and_module() {
    let text = read(&root().join("ARCHITECTURE.md"));
    for folder in CHECKLISTS.into_iter().chain(["middleware/cli", "middleware/testkit", "fuzz", "benches"]) {
        assert!(text.contains(&format!("`{folder}/`")), "ARCHITECTURE.md does not say what {folder}/ is");
        let manifest = read(&root().join(folder).join("Cargo.toml"));
        let name = manifest.lines().find_map(|line| line.strip_prefix("name = ")).expect("a package name");
        let name = name.trim_matches('"');
        assert!(text.contains(&format!("`{name}`")), "ARCHITECTURE.md does not name the package {name}");
    }
    // Each crate's row names its public modules, and none that is gone.
    let mut wrong = Vec::new();
    for folder in CHECKLISTS {
        let listed: BTreeSet<String> = numbered(&text)
            .filter(|(_, line)| line.starts_with(&format!("| `{folder}/src` |")))
            .flat_map(|(_, line)| backticked(cells(line).pop().unwrap_or_default()))
            .map(str::to_owned)
            .collect();
        let there = modules(&folder_of(folder).join("src"));
        let public = public_modules(&read(&folder_of(folder).join("src/lib.rs")));
        wrong.extend(listed.difference(&there).map(|gone| format!("{folder}/src has no {gone}")));
        wrong.extend(
            public.difference(&listed).map(|new| format!("nothing is said of {new} in {folder}/src")),
        );
    }
    assert!(wrong.is_empty(), "ARCHITECTURE.md: {}", wrong.join("; "));
}

#[test]
fn verbs_that_documents_name_are_verbs_of_dev() {
    let script = read(&root().join("dev"));
    let usage =
        script.split("<<'USAGE'").nth(1).and_then(|rest| rest.split("\nUSAGE").next()).expect("usage");
    let verbs: BTreeSet<&str> = usage
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(verbs.contains("demo") && verbs.contains("test"), "{verbs:?}");
    for verb in &verbs {
        assert!(script.contains(&format!("\n    {verb})")), "./dev lists {verb} and does not know it");
    }
    let readmes = CHECKLISTS.iter().map(|folder| folder_of(folder).join("README.md"));
    for document in ROOT_DOCUMENTS.iter().map(|name| root().join(name)).chain(readmes) {
        for (line, text) in numbered(&read(&document)) {
            for after in text.split("./dev ").skip(1) {
                let verb: String = after.chars().take_while(char::is_ascii_lowercase).collect();
                assert!(
                    verb.is_empty() || verbs.contains(verb.as_str()),
                    "{}:{line}: ./dev has no verb {verb}",
                    document.display()
                );
            }
        }
    }
}

#[test]
fn readme_begins_with_what_to_type() {
    let text = read(&root().join("README.md"));
    let first = text.split("```").nth(1).expect("a block of commands");
    assert!(first.contains("./dev demo") && first.contains("./dev test"), "{first}");
}

#[test]
fn changelog_is_well_formed() {
    let text = read(&root().join("CHANGELOG.md"));
    let mut lines = numbered(&text).filter(|(_, line)| !line.trim().is_empty());
    assert_eq!(lines.next().map(|(_, line)| line), Some("# Changelog"));
    let headings: Vec<_> = text.lines().filter(|line| line.starts_with("## ")).collect();
    assert_eq!(headings.first(), Some(&"## Unreleased"));
    let kinds = ["### Added", "### Changed", "### Deprecated", "### Removed", "### Fixed", "### Security"];
    for (line, text) in numbered(&text).filter(|(_, text)| text.starts_with("### ")) {
        assert!(kinds.contains(&text), "CHANGELOG.md:{line}: {text} is none of {kinds:?}");
    }
    let entries: Vec<_> = text.split("\n- ").skip(1).collect();
    assert!(!entries.is_empty());
    for entry in entries {
        let entry = entry.split("\n\n").next().unwrap_or_default().trim_end();
        assert!(entry.ends_with('.'), "CHANGELOG.md: an entry is a sentence: {entry}");
    }
}

/// CONTRIBUTING.md: `RFC 3261 §17.1.1.2`, so that grep finds all that implements a section;
/// and a file of more than 800 lines is two.
#[test]
fn sources_keep_the_habits_that_contributing_states() {
    let mut wrong = Vec::new();
    let mut files = Vec::new();
    for folder in CHECKLISTS.into_iter().chain(["benches", "fuzz/src", "fuzz/fuzz_targets"]) {
        rust_files(&folder_of(folder), &mut files);
    }
    assert!(files.len() > 50, "the sources are read");
    for file in files {
        let text = read(&file);
        let lines = text.lines().count();
        if lines > 800 {
            wrong.push(format!("{}: {lines} lines", file.display()));
        }
        for (number, line) in text.lines().enumerate() {
            // Not this line, which has the bad forms itself.
            for after in line.split("RFC ").skip(1).filter(|_| !file.ends_with("tests/docs.rs")) {
                let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
                let bad = [" section", ", section", " Section", ", Section", " sec.", ", sec.", ", §", "§"];
                if bad.iter().any(|form| after.starts_with(form)) {
                    wrong.push(format!("{}:{}: write RFC 1234 §5.6", file.display(), number + 1));
                }
            }
            if line.split("RFC").skip(1).any(|after| after.starts_with(|c: char| c.is_ascii_digit())) {
                wrong.push(format!("{}:{}: write RFC 1234", file.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The targets of Markdown links that stay in the repository.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.map(|target| target.split('#').next().unwrap_or_default()).filter(|t| !t.contains(':')).collect()
}

/// `middleware/src/engine`, `fuzz/`, `deny.toml`; not `text/plain` or `a=crypto`.
fn looks_like_a_path(token: &str) -> bool {
    let plain = token.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let first = token.split('/').next().unwrap_or_default();
    let ours = root().join(first).is_dir() && token.contains('/');
    let file = [".rs", ".toml", ".md", ".lock"].iter().any(|end| token.ends_with(end));
    plain && !token.starts_with(['.', '/']) && (ours || (file && token.contains('/')) || token.ends_with('/'))
        || ROOT_DOCUMENTS.contains(&token)
}

/// The top modules of a crate: `name.rs` and `name/mod.rs`.
fn modules(source: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(source).expect("a source folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let module = if path.is_dir() {
            path.join("mod.rs").exists()
        } else {
            path.extension().is_some_and(|e| e == "rs")
        };
        if module && !["lib", "main", "fuzzing"].contains(&name.as_str()) {
            found.insert(name);
        }
    }
    found
}

/// What `lib.rs` offers by name.
fn public_modules(text: &str) -> BTreeSet<String> {
    let declared = text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    declared.filter(|name| *name != "fuzzing").map(str::to_owned).collect()
}

#[test]
fn the_checker_tells_tests_from_other_functions() {
    let text = "fn helper() {}\n#[test]\nfn real() {}\n    #[tokio::test(flavor = \"x\")]\n    async fn timed() {}\nfn late() {}\ntestkit::conformance!(rules, M);";
    for (name, expected) in
        [("real", true), ("timed", true), ("helper", false), ("late", false), ("gone", false)]
    {
        assert_eq!(has_test(text, name, &[name]), expected, "{name}");
    }
    assert!(has_test(text, "idle_repeats_itself", &["rules", "idle_repeats_itself"]));
    assert!(names_a_test("middleware", "tests/docs.rs::the_checker_tells_tests_from_other_functions"));
    assert!(!names_a_test("middleware", "tests/docs.rs::names_a_test"));
    assert!(
        looks_like_a_path("middleware/src/nowhere.rs")
            && looks_like_a_path("fuzz/")
            && !looks_like_a_path("text/plain")
    );
}
