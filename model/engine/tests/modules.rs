//! No module of the engine uses one that uses it, over however many others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The modules that each module names.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// The text of every module by its path, without comments and without unit tests.
fn modules(folder: &Path, above: &str, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy();
        if name == "tests" || (!path.is_dir() && path.extension().is_none_or(|it| it != "rs")) {
            continue;
        }
        let module = match &*name {
            "lib" | "mod" => above.to_owned(),
            name => format!("{above}::{name}"),
        };
        if path.is_dir() {
            modules(&path, &module, found);
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("it can be read");
        let lines = text.lines().map(str::trim_start);
        let code = lines.take_while(|line| !line.starts_with("mod tests {"));
        let code = code.filter(|line| !line.starts_with("//"));
        found.insert(module, code.collect::<Vec<_>>().join("\n"));
    }
}

/// The modules that a text in `module` names by `super::`, `crate::` or a `use` of a child.
fn named(module: &str, text: &str, all: &BTreeSet<&str>) -> BTreeSet<String> {
    let above = module.rsplit_once("::").map_or("", |(above, _)| above);
    let mut names = BTreeSet::new();
    let starts = [
        ("super::", above.to_owned()),
        ("crate::", String::new()),
        ("use ", module.to_owned()),
    ];
    for (start, base) in starts {
        for (at, _) in text.match_indices(start) {
            let whole = |c: char| c.is_alphanumeric() || c == '_';
            if text[..at].chars().next_back().is_some_and(whole) {
                continue;
            }
            let rest = &text[at + start.len()..];
            let end = rest.find(|c| !whole(c) && c != ':').unwrap_or(rest.len());
            let mut path = base.clone();
            for part in rest[..end].split("::").filter(|part| !part.is_empty()) {
                let longer = format!("{path}::{part}");
                if !all.contains(longer.as_str()) {
                    break;
                }
                path = longer;
            }
            let child = start == "use ";
            if path != module && all.contains(path.as_str()) && (!child || path != base) {
                names.insert(path);
            }
        }
    }
    names
}

fn uses(texts: &BTreeMap<String, String>) -> Uses {
    let all: BTreeSet<&str> = texts.keys().map(String::as_str).collect();
    let named = |(module, text): (&String, &String)| (module.clone(), named(module, text, &all));
    texts.iter().map(named).collect()
}

/// Modules that use each other; none if what uses nothing can be taken away until nothing is left.
fn circle(mut uses: Uses) -> BTreeSet<String> {
    loop {
        let (done, rest): (Uses, Uses) = uses.into_iter().partition(|(_, used)| used.is_empty());
        uses = rest;
        if done.is_empty() {
            return uses.into_keys().collect();
        }
        for used in uses.values_mut() {
            used.retain(|module| !done.contains_key(module));
        }
    }
}

fn texts() -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    modules(&sources, "", &mut texts);
    texts
}

#[test]
fn no_modules_use_each_other() {
    let uses = uses(&texts());
    assert!(uses.len() > 30, "{uses:?}");
    assert!(uses["::engine"].contains("::expand"), "{uses:?}");
    assert!(uses["::cluster"].contains("::cluster::memo"), "{uses:?}");
    assert_eq!(circle(uses), BTreeSet::new());
}

/// The broken twin: one line more is enough.
#[test]
fn a_circle_is_found() {
    let mut texts = texts();
    let steps = texts.get_mut("::steps").expect("there is such a module");
    *steps += "\nuse super::traits::Checkable;";
    let found = circle(uses(&texts));
    assert!(
        found.contains("::steps") && found.contains("::traits"),
        "{found:?}"
    );
}
