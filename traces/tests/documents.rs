//! The documents that are made from the table of fields: the schema and the map of names.
//!
//! `UPDATE_GOLDEN=1 cargo test -p lockstep-traces` rewrites them. Understand the difference before you commit it.

use lockstep_traces::{Name, Trace, names, schema, trace_files};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

const GOLDEN: &str = include_str!("golden/version-1.ndjson");
const NEWEST: &str = include_str!("golden/version-2.ndjson");

/// Between these two lines of the README stands what is made.
const BEGIN: &str = "<!-- made from the table of fields: begin -->\n";
const END: &str = "<!-- made from the table of fields: end -->\n";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Holds a file to its content, or rewrites it.
fn assert_current(name: &str, content: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path(name), content).unwrap();
    }
    let found = fs::read_to_string(path(name)).unwrap();
    assert!(
        found == content,
        "{name} is out of date; UPDATE_GOLDEN=1 cargo test -p lockstep-traces makes it again"
    );
}

#[test]
fn the_schema_is_current() {
    let text = serde_json::to_string_pretty(&schema()).unwrap();
    assert_current("schema.json", &(text + "\n"));
}

#[test]
fn the_map_of_names_is_current() {
    let readme = fs::read_to_string(path("README.md")).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let made = format!("{before}{BEGIN}{}{END}{after}", map_of_names());
    assert_current("README.md", &made);
}

/// A line a name; those of fields are indented under their type or kind of message.
fn map_of_names() -> String {
    let mut text = String::from(
        "| specification | trace key | raftpb, or etcd's name |\n| --- | --- | --- |\n",
    );
    let code = |name: &str| match name {
        "–" => "–".to_owned(),
        name => format!("`{name}`"),
    };
    for (owner, fields) in names() {
        let Name {
            specification,
            key,
            etcd,
        } = owner;
        text += &format!(
            "| **{}** | **{}** | **{}** |\n",
            code(specification),
            code(key),
            code(etcd)
        );
        for Name {
            specification,
            key,
            etcd,
        } in *fields
        {
            text += &format!(
                "| {} | {} | {} |\n",
                code(specification),
                code(key),
                code(etcd)
            );
        }
    }
    text
}

#[test]
fn the_readme_describes_every_key() {
    let readme = fs::read_to_string(path("README.md")).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let prose = format!("{before}{after}");
    for (owner, fields) in names() {
        // What left a server and what it was handed stand under other names, or not, in a trace.
        if matches!(owner.key, "–" | "handed") {
            continue;
        }
        for Name { key, .. } in *fields {
            let said =
                prose.contains(&format!("`{key}`")) || prose.contains(&format!("\"{key}\":"));
            assert!(said, "`{key}` of {}", owner.key);
        }
    }
}

#[test]
fn every_line_of_the_corpus_is_one_of_the_schema() {
    let schema = schema().to_value();
    let corpus = trace_files(&path("corpus")).unwrap().traces;
    assert!(corpus.len() > 20, "{} traces", corpus.len());
    let texts = corpus.iter().map(|file| fs::read_to_string(file).unwrap());
    for text in texts.chain([GOLDEN.to_owned(), NEWEST.to_owned()]) {
        for line in text.lines() {
            let value: Value = serde_json::from_str(line).unwrap();
            assert!(valid(&schema, &schema, &value), "{line}");
        }
    }
}

/// The two agree about what is there: a key that is missing or unknown is refused by both.
#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let schema = schema().to_value();
    let lines: Vec<Value> = GOLDEN
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let read = |number: usize, line: &Value| {
        let mut lines = lines.clone();
        lines[number] = line.clone();
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        Trace::parse(text.as_bytes(), "changed").is_ok()
    };
    let mut removed = 0;
    for (number, line) in lines.iter().enumerate() {
        for object in objects(line) {
            let keys: Vec<String> = at(&mut line.clone(), &object).keys().cloned().collect();
            let map = keys.iter().all(|key| key.parse::<u64>().is_ok());
            for key in keys {
                let mut changed = line.clone();
                at(&mut changed, &object).remove(&key);
                let optional = map || matches!(&key[..], "expect" | "preset" | "bounds" | "seed");
                let bound = object == "/made/bounds";
                assert_eq!(
                    valid(&schema, &schema, &changed),
                    optional || bound,
                    "{object}: {key}"
                );
                assert!(
                    !read(number, &changed) || optional || bound,
                    "{object}: {key}"
                );
                removed += 1;
            }
            let mut changed = line.clone();
            at(&mut changed, &object).insert("color".to_owned(), json!("red"));
            assert!(!valid(&schema, &schema, &changed), "{object}");
            assert!(!read(number, &changed), "{object}");
        }
    }
    assert!(removed > 500, "{removed}");
}

/// Whether a value is one of the schema, of which every word must be known here.
fn valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let none = serde_json::Map::new();
    let fields = value.as_object().unwrap_or(&none);
    let is_of = |kind: &Value| match kind.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    };
    let numbered =
        |key: &str| !key.starts_with('0') && key.bytes().all(|byte| byte.is_ascii_digit());
    let properties = schema.get("properties").and_then(Value::as_object);
    let words = schema.as_object().unwrap().iter();
    words.into_iter().all(|(word, says)| match &word[..] {
        "$schema" | "$defs" | "title" | "description" => true,
        "$ref" => {
            let name = &says.as_str().unwrap()[1..];
            valid(root, root.pointer(name).unwrap(), value)
        }
        "oneOf" => {
            let all = says.as_array().unwrap().iter();
            all.filter(|it| valid(root, it, value)).count() == 1
        }
        "anyOf" => says
            .as_array()
            .unwrap()
            .iter()
            .any(|it| valid(root, it, value)),
        "const" => says == value,
        "enum" => says.as_array().unwrap().contains(value),
        "type" => match says.as_array() {
            Some(kinds) => kinds.iter().any(is_of),
            None => is_of(says),
        },
        "minimum" => value.as_i64().is_none_or(|it| it >= says.as_i64().unwrap()),
        "maximum" => value.as_u64().is_none_or(|it| it <= says.as_u64().unwrap()),
        "uniqueItems" => value.as_array().is_none_or(|items| {
            let twice = |at: usize| items[..at].contains(&items[at]);
            !(0..items.len()).any(twice)
        }),
        "items" => value
            .as_array()
            .into_iter()
            .flatten()
            .all(|it| valid(root, says, it)),
        "required" => {
            let mut keys = says.as_array().unwrap().iter();
            !value.is_object() || keys.all(|key| fields.contains_key(key.as_str().unwrap()))
        }
        "properties" => {
            let mut known = says.as_object().unwrap().iter();
            known.all(|(key, schema)| fields.get(key).is_none_or(|it| valid(root, schema, it)))
        }
        "patternProperties" => {
            let (pattern, schema) = says.as_object().unwrap().iter().next().unwrap();
            assert_eq!(pattern, "^[1-9][0-9]*$");
            let mut named = fields.iter().filter(|(key, _)| numbered(key));
            named.all(|(_, it)| valid(root, schema, it))
        }
        "additionalProperties" => fields
            .iter()
            .filter(|(key, _)| properties.is_none_or(|known| !known.contains_key(*key)))
            .filter(|(key, _)| schema.get("patternProperties").is_none() || !numbered(key))
            .all(|(_, it)| says.is_object() && valid(root, says, it)),
        other => panic!("no test knows {other}"),
    })
}

/// The pointers to all objects of a value.
fn objects(value: &Value) -> Vec<String> {
    let (mut found, children): (_, Vec<(String, &Value)>) = match value {
        Value::Object(fields) => (
            vec![String::new()],
            fields
                .iter()
                .map(|(key, value)| (key.clone(), value))
                .collect(),
        ),
        Value::Array(items) => (
            Vec::new(),
            items
                .iter()
                .enumerate()
                .map(|(at, value)| (at.to_string(), value))
                .collect(),
        ),
        _ => return Vec::new(),
    };
    for (key, child) in children {
        found.extend(objects(child).into_iter().map(|it| format!("/{key}{it}")));
    }
    found
}

fn at<'a>(value: &'a mut Value, pointer: &str) -> &'a mut serde_json::Map<String, Value> {
    value.pointer_mut(pointer).unwrap().as_object_mut().unwrap()
}
