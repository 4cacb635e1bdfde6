//! The shape of the workspace, read from `cargo metadata`: a star of crates that do not
//! know each other (ARCHITECTURE.md), free of async runtimes and system libraries, and
//! nothing newer than the Rust version that we promise.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const PROTOCOLS: [&str; 5] = [
    "sipsimple-sip-core",
    "sipsimple-sdp",
    "sipsimple-rtp-srtp",
    "sipsimple-ice-stun",
    "sipsimple-msrp-cpim",
];
const MEDIA: &str = "sipsimple-media";
const COMPOSER: &str = "sipsimple";
const TESTKIT: &str = "sipsimple-testkit";
const BENCHES: &str = "sipsimple-benches";
const FUZZ: &str = "sipsimple-fuzz";

#[test]
fn no_leaf_depends_on_another() {
    let workspace = Workspace::read();
    let leaves: BTreeSet<_> = PROTOCOLS.into_iter().chain([MEDIA]).collect();
    for leaf in &leaves {
        let siblings: Vec<_> = workspace
            .declared(leaf)
            .into_iter()
            .filter(|dependency| leaves.contains(dependency.name.as_str()) || dependency.name == COMPOSER)
            .collect();
        assert!(siblings.is_empty(), "{leaf} must know no other crate of ours, it names {siblings:?}");
    }
}

#[test]
fn nothing_depends_on_fuzz_or_benches_and_testkit_is_for_tests() {
    let workspace = Workspace::read();
    for package in workspace.members() {
        for dependency in workspace.declared(package) {
            let name = dependency.name.as_str();
            assert!(name != FUZZ && name != BENCHES, "{package} depends on {name}");
            assert!(name != TESTKIT || dependency.kind == "dev", "{package} takes testkit into a build");
        }
    }
    let own = workspace.declared(TESTKIT).into_iter().filter(|d| d.name.starts_with("sipsimple")).count();
    assert_eq!(own, 0, "testkit serves every crate, so it depends on none");
}

#[test]
fn fuzz_is_a_workspace_of_its_own() {
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("fuzz/Cargo.toml");
    assert!(manifest.lines().any(|line| line == "[workspace]"), "fuzz/Cargo.toml begins a workspace");
    assert!(root().join("fuzz/Cargo.lock").exists(), "and has a lock file");
}

/// Nothing that a protocol crate brings runs tasks, opens sockets or links a library of the
/// system. (ring compiles its own C and assembly, which needs a C compiler and no library.)
#[test]
fn protocol_crates_bring_no_runtime_and_no_system_library() {
    let workspace = Workspace::read();
    for leaf in PROTOCOLS {
        let closure = workspace.closure(leaf);
        assert!(closure.contains("thiserror"), "{leaf}: the closure is not read: {closure:?}");
        for package in &closure {
            let runtime = ["tokio", "mio", "async-std", "smol", "socket2"].contains(&package.as_str());
            assert!(!runtime, "{leaf} brings {package}: leaves do not do I/O");
            assert!(!package.ends_with("-sys"), "{leaf} brings {package}, a binding to a system library");
            let links = workspace.links(package);
            assert!(
                package == "ring" || links.is_none(),
                "{leaf} brings {package}, which links {}",
                links.unwrap_or_default()
            );
        }
    }
}

#[test]
fn engine_knows_neither_driver_nor_runtime() {
    let source = root().join("middleware/src");
    for file in rust_files(&source.join("engine")) {
        let text = std::fs::read_to_string(&file).expect("a source file");
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            // Tests may play on as many processors as there are; the engine has no thread.
            let plays = file.strip_prefix(&source).is_ok_and(|file| file.starts_with("engine/tests"));
            let banned = ["crate::driver", "tokio::", "super::driver", "std::net::UdpSocket", "std::thread"];
            for banned in banned.iter().filter(|banned| !(plays && **banned == "std::thread")) {
                assert!(!code.contains(banned), "{}:{}: {banned}", file.display(), number + 1);
            }
        }
    }
}

/// What a media thread runs: it shares rings and atomics, and whoever else is slow is never waited for.
#[test]
fn nothing_that_a_media_thread_runs_takes_a_lock() {
    let driver = root().join("middleware/src/driver/media");
    let names = "changes keys link remote sending socket mixing/echo protection/opener audio/feed audio/news \
                 audio/reception";
    let names = names.split_ascii_whitespace();
    let mut files: Vec<_> = names.map(|name| driver.join(name).with_extension("rs")).collect();
    files.extend(rust_files(&root().join("media/src")));
    files.retain(|file| file.file_stem().is_some_and(|name| name != "tests"));
    assert!(files.len() > 40, "{files:?}");
    for file in files {
        let text =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for banned in ["Mutex", "RwLock", "Condvar", ".lock(", ".try_lock("] {
                assert!(!code.contains(banned), "{}:{}: {banned}", file.display(), number + 1);
            }
        }
    }
}

#[test]
fn every_dependency_builds_with_the_rust_that_we_promise() {
    let workspace = Workspace::read();
    let ours = version(workspace.rust_version(COMPOSER).expect("the workspace states its Rust version"));
    let newer: Vec<_> = workspace
        .packages
        .iter()
        .filter_map(|(id, package)| {
            let needs = package["rust_version"].as_str()?;
            (version(needs) > ours).then(|| format!("{id} needs {needs}"))
        })
        .collect();
    assert!(newer.is_empty(), "newer than {ours:?}: {newer:#?}");
}

/// What `./dev deny` asks of licences, banned packages and sources, on machines without cargo-deny too.
#[test]
fn every_dependency_is_one_that_deny_toml_allows() {
    let text = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let rules: toml_edit::DocumentMut = text.parse().expect("deny.toml is TOML");
    let list = |table: &str, key: &str| rules[table][key].as_array().expect("a list");
    let licences: Vec<String> =
        list("licenses", "allow").iter().filter_map(|one| Some(one.as_str()?.to_owned())).collect();
    let name = |rule: &toml_edit::Value| Some(rule.as_inline_table()?.get("name")?.as_str()?.to_owned());
    let banned: Vec<String> = list("bans", "deny").iter().filter_map(name).collect();
    assert!(licences.len() > 5 && !banned.is_empty());
    let workspace = Workspace::read();
    for (id, package) in &workspace.packages {
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence, &licences), "{id}: {licence:?}");
        assert!(!banned.iter().any(|name| package["name"] == name.as_str()), "{id} is banned");
        let is_ours = workspace.member_ids.contains(id);
        let source = package["source"].as_str();
        assert!(
            source.map_or(is_ours, |source| source.starts_with("registry+")),
            "{id} comes from {source:?}"
        );
    }
}

/// Whether an SPDX expression leaves a choice that is allowed.
fn is_allowed(expression: &str, licences: &[String]) -> bool {
    let part = |separator| split(expression, separator);
    match (part(" OR "), part("/"), part(" AND ")) {
        (any, ..) if any.len() > 1 => any.iter().any(|one| is_allowed(one, licences)),
        (_, any, _) if any.len() > 1 => any.iter().any(|one| is_allowed(one, licences)),
        (.., all) if all.len() > 1 => all.iter().all(|one| is_allowed(one, licences)),
        _ => match expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
            Some(within) => is_allowed(within, licences),
            None => licences.iter().any(|licence| licence == expression),
        },
    }
}

/// At a separator outside of parentheses.
fn split<'t>(text: &'t str, separator: &str) -> Vec<&'t str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && at >= from && text[at..].starts_with(separator) => {
                parts.push(&text[from..at]);
                from = at + separator.len();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

#[test]
fn licences_are_read_as_spdx_has_them() {
    let licences = ["MIT", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"].map(str::to_owned);
    for allowed in ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR GPL-3.0) AND Unicode-3.0"] {
        assert!(is_allowed(allowed, &licences), "{allowed}");
    }
    for refused in
        ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR GPL-3.0) AND GPL-2.0", "GPL-3.0 OR MIT AND ISC"]
    {
        assert!(!is_allowed(refused, &licences), "{refused}");
    }
    assert!(is_allowed("Apache-2.0 WITH LLVM-exception OR GPL-3.0", &licences));
}

#[test]
fn every_member_shares_version_edition_licence_and_lints() {
    let workspace = Workspace::read();
    for (id, package) in workspace.packages.iter().filter(|(id, _)| workspace.member_ids.contains(*id)) {
        assert_eq!(package["edition"], "2024", "{id}");
        assert_eq!(package["license"], "MIT OR Apache-2.0", "{id}");
        let manifest =
            std::fs::read_to_string(package["manifest_path"].as_str().expect("a path")).expect("a manifest");
        assert!(manifest.contains("[lints]\nworkspace = true"), "{id} leaves the workspace's lints");
        assert!(
            manifest.contains("rust-version.workspace = true"),
            "{id} leaves the workspace's Rust version"
        );
    }
}

/// Two documented targets of one name write the same pages, and `cargo doc` fails now and then.
#[test]
fn no_two_crates_document_themselves_under_one_name() {
    let workspace = Workspace::read();
    let mut documented = BTreeSet::new();
    for id in &workspace.member_ids {
        for target in workspace.packages[id]["targets"].as_array().expect("targets") {
            let name = target["name"].as_str().expect("a target has a name").replace('-', "_");
            if target["doc"] == true {
                assert!(documented.insert(name.clone()), "{name} is documented twice");
            }
        }
    }
    assert!(documented.contains("sipsimple"), "{documented:?}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What a command prints, or what it complains about.
fn run(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command.current_dir(root()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into())
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.expect("a folder entry").path()) {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// `1.89` or `1.89.0` as numbers.
fn version(text: &str) -> Vec<u32> {
    let mut numbers: Vec<u32> = text.split('.').map(|n| n.parse().expect("a Rust version")).collect();
    numbers.resize(3, 0);
    numbers
}

/// One line of a manifest's dependency tables.
#[derive(Debug)]
struct Dependency {
    name: String,
    /// `normal`, `build` or `dev`.
    kind: String,
}

/// What cargo says about the workspace, on the platform that runs this test.
struct Workspace {
    packages: BTreeMap<String, Value>,
    member_ids: BTreeSet<String>,
    nodes: BTreeMap<String, Value>,
}

impl Workspace {
    fn read() -> Self {
        let rustc =
            String::from_utf8(run(Command::new("rustc").arg("-vV")).expect("rustc runs")).expect("text");
        let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let metadata = |network: &[&str]| {
            let arguments = ["metadata", "--format-version=1", "--filter-platform", host];
            run(Command::new(&cargo).args(arguments).args(network))
        };
        // A test of one package alone need not have fetched what the others use.
        let printed = metadata(&["--offline"]).or_else(|_| metadata(&[])).expect("cargo reads the workspace");
        let metadata: Value = serde_json::from_slice(&printed).expect("cargo prints JSON");
        let by_id = |list: &Value| {
            let entries = list.as_array().expect("a list").iter();
            entries.map(|entry| (id(&entry["id"]), entry.clone())).collect::<BTreeMap<_, _>>()
        };
        Self {
            packages: by_id(&metadata["packages"]),
            member_ids: metadata["workspace_members"].as_array().expect("members").iter().map(id).collect(),
            nodes: by_id(&metadata["resolve"]["nodes"]),
        }
    }

    fn members(&self) -> impl Iterator<Item = &str> {
        self.member_ids.iter().map(|id| self.name(id))
    }

    fn name(&self, id: &str) -> &str {
        self.packages[id]["name"].as_str().expect("a package has a name")
    }

    fn member(&self, name: &str) -> (&str, &Value) {
        let found = self.member_ids.iter().find(|id| self.name(id) == name);
        let id = found.unwrap_or_else(|| panic!("no package {name} in the workspace"));
        (id, &self.packages[id])
    }

    fn rust_version(&self, name: &str) -> Option<&str> {
        self.member(name).1["rust_version"].as_str()
    }

    fn links(&self, name: &str) -> Option<String> {
        let package = self.packages.values().find(|package| package["name"] == name)?;
        package["links"].as_str().map(str::to_owned)
    }

    /// What the manifest of a member names, of every kind and for every platform.
    fn declared(&self, name: &str) -> Vec<Dependency> {
        let entries = self.member(name).1["dependencies"].as_array().expect("a list").iter();
        entries
            .map(|entry| Dependency {
                name: entry["name"].as_str().expect("a name").to_owned(),
                kind: entry["kind"].as_str().unwrap_or("normal").to_owned(),
            })
            .collect()
    }

    /// All packages that end up in a build of this member, without its tests and without
    /// what only build scripts use.
    fn closure(&self, name: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut open = vec![self.member(name).0.to_owned()];
        while let Some(next) = open.pop() {
            for edge in self.nodes[&next]["deps"].as_array().expect("a list") {
                let kinds = edge["dep_kinds"].as_array().expect("a list");
                if kinds.iter().any(|kind| kind["kind"].is_null()) && seen.insert(id(&edge["pkg"])) {
                    open.push(id(&edge["pkg"]));
                }
            }
        }
        seen.iter().map(|id| self.name(id).to_owned()).collect()
    }
}

fn id(value: &Value) -> String {
    value.as_str().expect("an id is a string").to_owned()
}
