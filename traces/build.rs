//! Lists the corpus, so that it becomes part of every program that reads traces.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=corpus");
    let folder = fs::read_dir("corpus").expect("the corpus is a folder of this package");
    let names = folder.map(|entry| entry.expect("it can be read").file_name());
    let names = names.map(|name| name.into_string().expect("names of traces are plain text"));
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".ndjson")).collect();
    names.sort();
    let row = |name: &String| {
        let stem = name.trim_end_matches(".ndjson");
        let file = format!("concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/corpus/{name}\")");
        format!("CorpusTrace {{ name: {stem:?}, text: include_str!({file}) }},\n")
    };
    let list = format!("[{}]", names.iter().map(row).collect::<String>());
    let out = env::var_os("OUT_DIR").expect("Cargo sets it");
    fs::write(Path::new(&out).join("corpus.rs"), list).expect("it can be written");
}
