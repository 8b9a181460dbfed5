//! Checks of what the workspace publishes: metadata, dependencies, and file access that is not of Unix alone.

use lockstep_tests::binary::repository;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use syn::visit::{self, Visit};

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--offline", "--locked"])
        .current_dir(repository())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

fn metadata() -> Value {
    let text = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    serde_json::from_str(&text).expect("metadata in JSON")
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

/// The packages that are published.
fn published(metadata: &Value) -> Vec<&Value> {
    let packages = list(metadata, "packages").iter();
    packages.filter(|it| it["publish"].is_null()).collect()
}

/// Lists the metadata that a package must have, and lacks.
fn missing(package: &Value) -> Vec<&'static str> {
    let texts = ["license", "description", "readme", "rust_version"];
    let texts = texts.into_iter().filter(|it| !package[*it].is_string());
    let lists = ["keywords", "categories"];
    let lists = lists.into_iter().filter(|it| list(package, it).is_empty());
    texts.chain(lists).collect()
}

#[test]
fn every_package_says_what_it_is() {
    let metadata = metadata();
    let packages = published(&metadata);
    assert!(packages.len() >= 5);
    for package in packages {
        let name = &package["name"];
        assert_eq!(missing(package), [""; 0], "{name}");
        let folder = PathBuf::from(package["manifest_path"].as_str().expect("a path"));
        let readme = folder.with_file_name(package["readme"].as_str().expect("a name"));
        assert!(readme.is_file(), "{}", readme.display());
        // A published package asks for others by version; a test may ask for a folder.
        let of_ours = list(package, "dependencies").iter();
        for dependency in of_ours.filter(|it| it["path"].is_string() && it["kind"] != "dev") {
            assert_ne!(dependency["req"], "*", "{name}: {}", dependency["name"]);
        }
    }
    let bare = serde_json::json!({"license": "Apache-2.0", "keywords": []});
    let expected = [
        "description",
        "readme",
        "rust_version",
        "keywords",
        "categories",
    ];
    assert_eq!(missing(&bare), expected);
}

fn tree(features: &[&str]) -> String {
    let mut arguments = vec![
        "tree",
        "-p",
        "lockstep-raft",
        "-e",
        "normal",
        "--prefix",
        "none",
    ];
    arguments.extend(features);
    cargo(&arguments)
}

#[test]
fn the_production_raft_depends_on_tokio_only_for_its_handle() {
    let has_tokio = |features: &[&str]| tree(features).lines().any(|it| it.starts_with("tokio "));
    assert!(!has_tokio(&["--no-default-features"]));
    assert!(!has_tokio(&[]));
    assert!(has_tokio(&["--features", "node"]));
}

/// The packages that are compiled for the binary, without what only tests need.
fn compiled_for_the_binary() -> BTreeSet<String> {
    let package = ["tree", "-p", "lockstep-conformance"];
    let edges = ["-e", "normal,build", "--prefix", "none"];
    let tree = cargo(&[&package[..], &edges[..]].concat());
    let name = |line: &str| line.split(" (").next().unwrap_or(line).to_owned();
    tree.lines().map(name).collect()
}

/// Each of them makes the first build longer. `conformance/CI.md` and CONTRIBUTING.md name the number.
#[test]
fn the_binary_needs_few_packages_and_none_of_the_tests() {
    let packages = compiled_for_the_binary();
    let count = packages.len();
    assert!((150..=185).contains(&count), "{count}: {packages:?}");
    let is_there = |name: &str| {
        packages
            .iter()
            .any(|it| it.starts_with(&format!("{name} ")))
    };
    assert!(is_there("lockstep-model") && is_there("serde"));
    for cut in ["criterion", "proptest", "schemars", "tokio", "tonic"] {
        assert!(!is_there(cut), "{cut}");
    }
}

/// The production crates know nothing of the other folders.
#[test]
fn the_production_raft_depends_on_nothing_of_ours() {
    let tree = tree(&["--features", "node"]);
    let ours: Vec<&str> = tree
        .lines()
        .filter(|it| it.starts_with("lockstep"))
        .collect();
    assert_eq!(ours.len(), 1, "{ours:?}");
}

/// Uses of what only Unix has, outside of items that are compiled there alone.
#[derive(Default)]
struct UnixOnly(Vec<usize>);

fn is_for_unix(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|it| {
        let syn::Meta::List(list) = &it.meta else {
            return false;
        };
        let condition = list.tokens.to_string();
        list.path.is_ident("cfg")
            && !condition.contains("not")
            && (condition.contains("unix") || condition.contains("linux"))
    })
}

fn names(tree: &syn::UseTree) -> Vec<String> {
    match tree {
        syn::UseTree::Path(path) => {
            let mut all = vec![path.ident.to_string()];
            all.extend(names(&path.tree));
            all
        }
        _ => Vec::new(),
    }
}

impl UnixOnly {
    fn note(&mut self, names: &[String], line: usize) {
        let of_unix = ["std", "os", "unix"];
        if names.starts_with(&of_unix.map(str::to_owned))
            || names.first().is_some_and(|it| it == "rustix")
        {
            self.0.push(line);
        }
    }
}

impl<'ast> Visit<'ast> for UnixOnly {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_unix(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_for_unix(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_for_unix(&item.attrs) {
            let line = item.use_token.span.start().line;
            self.note(&names(&item.tree), line);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|it| it.ident.to_string())
            .collect();
        let line = path
            .segments
            .first()
            .map_or(0, |it| it.ident.span().start().line);
        self.note(&names, line);
        visit::visit_path(self, path);
    }
}

fn unix_only(source: &str) -> Vec<usize> {
    let file = syn::parse_file(source).expect("it is Rust");
    let mut found = UnixOnly::default();
    found.visit_file(&file);
    found.0
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|it| it == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn what_only_unix_has_is_used_only_there() {
    let metadata = metadata();
    let mut files = Vec::new();
    for package in published(&metadata) {
        let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
        sources(&manifest.with_file_name("src"), &mut files);
    }
    for file in files {
        let text = std::fs::read_to_string(&file).expect("it can be read");
        assert_eq!(unix_only(&text), [0; 0], "{}: lines", file.display());
    }
    assert_eq!(unix_only("use std::os::unix::fs::FileExt;"), [1]);
    assert_eq!(
        unix_only("fn f() {\n    std::os::unix::process::parent_id();\n}"),
        [2]
    );
    assert_eq!(
        unix_only("#[cfg(unix)]\nmod m {\n    use std::os::unix::fs::FileExt;\n}"),
        [0; 0]
    );
    assert_eq!(
        unix_only("#[cfg(not(unix))]\nfn f() {\n    use std::os::unix::fs::FileExt;\n}"),
        [3]
    );
}

/// The library is of use without an argument parser: only the command line within it has one.
#[test]
fn only_the_command_line_parses_arguments() {
    let folder = repository().join("conformance/src");
    let mut files = Vec::new();
    sources(&folder, &mut files);
    let (of_the_command_line, others): (Vec<_>, Vec<_>) = files
        .into_iter()
        .partition(|it| it.starts_with(folder.join("cli")));
    let parses = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).expect("it can be read");
        text.contains("use clap") || text.contains("clap::")
    };
    assert!(of_the_command_line.iter().any(parses));
    let found: Vec<_> = others.iter().filter(|it| parses(it)).collect();
    assert!(found.is_empty(), "{found:?}");
}
