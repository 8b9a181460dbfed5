//! Puts the bugs of one file into its text: every function that a bug changes gets a second body, behind
//! the number of the bug.
//!
//! `fn f() { a }` becomes `fn f() { match number() { 17 => { b } _ => { a } } }`. So the edits of two bugs
//! may overlap, and none of them has to know of the switch.

use super::Edit;
use super::tokens::places;
use crate::schema::{closing, opening};
use std::collections::BTreeMap;
use std::ops::Range;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, ImplItemFn, Item, ItemFn, ItemImpl, Signature, Type};

/// A function of a file.
struct Function {
    /// `name`, after the type it belongs to and `::`, if any.
    path: String,
    is_const: bool,
    /// The text between the braces.
    body: Range<usize>,
}

impl Function {
    fn is_called(&self, name: &str) -> bool {
        self.path == name || self.path.rsplit("::").next() == Some(name)
    }
}

/// The text with the edits of all bugs in it. `edits` has the number and the name of each bug beside its
/// edit; `switch` is the path of the function that gives the active number.
///
/// # Errors
///
/// An edit does not apply; the text names the bug.
pub fn apply(text: &str, edits: &[(usize, &str, &Edit)], switch: &str) -> Result<String, String> {
    let functions = functions(text)?;
    // By the start of the function's body: its end, and the changes by number.
    let mut changed: BTreeMap<usize, (usize, BTreeMap<usize, Vec<Change>>)> = BTreeMap::new();
    for (number, id, edit) in edits {
        let (body, change) = locate(text, &functions, edit).map_err(|error| {
            let Edit { file, function, .. } = edit;
            format!("the edit of {id} does not apply to `{function}` in {file}: {error}")
        })?;
        let (_, of_function) = changed
            .entry(body.start)
            .or_insert((body.end, BTreeMap::new()));
        of_function.entry(*number).or_default().push(change);
    }
    let mut out = String::new();
    let mut at = 0;
    for (start, (end, by_number)) in changed {
        out.push_str(&text[at..start]);
        out.push_str(&format!(" match {switch}() {{"));
        for (number, changes) in by_number {
            let id = edits.iter().find(|(it, _, _)| *it == number).map(|it| it.1);
            let body = with(text, start..end, changes)
                .map_err(|error| format!("the edit of {}: {error}", id.unwrap_or_default()))?;
            let (open, close) = (opening(number), closing(number));
            out.push_str(&format!("\n{number} => {open}{{{body}}}{close}"));
        }
        out.push_str(&format!("\n_ => {{{}}} }} ", &text[start..end]));
        at = end;
    }
    out.push_str(&text[at..]);
    Ok(out)
}

struct Change {
    place: Range<usize>,
    text: String,
}

/// The body of the function, and the change of it.
fn locate(
    text: &str,
    functions: &[Function],
    edit: &Edit,
) -> Result<(Range<usize>, Change), String> {
    let mut called = functions.iter().filter(|it| it.is_called(&edit.function));
    let function = match (called.next(), called.next()) {
        (Some(one), None) => one,
        (None, _) => return Err("there is no such function".to_owned()),
        (Some(one), Some(other)) => {
            return Err(format!("it may be {} or {}", one.path, other.path));
        }
    };
    if function.is_const {
        return Err("a constant function cannot be switched".to_owned());
    }
    let body = function.body.clone();
    let places = places(&text[body.clone()], &edit.find)?;
    let [place] = places.as_slice() else {
        return Err(format!(
            "`{}` is there {} times, not once",
            edit.find.trim(),
            places.len()
        ));
    };
    let place = body.start + place.start..body.start + place.end;
    let text = edit.replace.clone();
    Ok((body, Change { place, text }))
}

/// A body with changes that do not overlap.
fn with(text: &str, body: Range<usize>, mut changes: Vec<Change>) -> Result<String, String> {
    changes.sort_by_key(|change| change.place.start);
    let mut out = String::new();
    let mut at = body.start;
    for change in changes {
        if change.place.start < at {
            return Err("two of its edits overlap".to_owned());
        }
        out.push_str(&text[at..change.place.start]);
        out.push_str(&change.text);
        at = change.place.end;
    }
    out.push_str(&text[at..body.end]);
    syn::parse_str::<Block>(&format!("{{{out}}}"))
        .map_err(|error| format!("what it makes of the function is no Rust: {error}"))?;
    Ok(out)
}

fn functions(text: &str) -> Result<Vec<Function>, String> {
    let syntax = syn::parse_file(text).map_err(|error| error.to_string())?;
    let mut finder = Finder::default();
    finder.visit_file(&syntax);
    Ok(finder.found)
}

#[derive(Default)]
struct Finder {
    owner: Option<String>,
    found: Vec<Function>,
}

impl Finder {
    fn add(&mut self, signature: &Signature, block: &Block) {
        let name = &signature.ident;
        let braces = block.brace_token.span;
        self.found.push(Function {
            path: match &self.owner {
                Some(owner) => format!("{owner}::{name}"),
                None => name.to_string(),
            },
            is_const: signature.constness.is_some(),
            body: braces.open().byte_range().end..braces.close().byte_range().start,
        });
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    let is = |it: &Attribute| {
        it.path().is_ident("cfg")
            && it
                .parse_args::<syn::Path>()
                .is_ok_and(|it| it.is_ident("test"))
    };
    attributes.iter().any(is)
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item(&mut self, item: &'ast Item) {
        let is_left_out = matches!(item, Item::Mod(it) if is_test(&it.attrs));
        if !is_left_out {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let name = match &*item.self_ty {
            Type::Path(path) => path.path.segments.last().map(|it| it.ident.to_string()),
            _ => None,
        };
        let outer = std::mem::replace(&mut self.owner, name);
        visit::visit_item_impl(self, item);
        self.owner = outer;
    }

    // The functions within a function belong to its body.
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.add(&item.sig, &item.block);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.add(&item.sig, &item.block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
struct A;
impl A {
    fn f(&self) -> u64 {
        let a = 1; // one
        let b = 2;
        a + b
    }
}
const fn g() -> u64 { 3 }
#[cfg(test)]
mod tests { fn f() {} }
";

    fn edit(function: &str, find: &str, replace: &str) -> Edit {
        Edit {
            file: "a.rs".to_owned(),
            function: function.to_owned(),
            find: find.to_owned(),
            replace: replace.to_owned(),
        }
    }

    fn error(edits: &[Edit]) -> String {
        let edits: Vec<_> = edits.iter().map(|it| (7, "XX-07", it)).collect();
        apply(TEXT, &edits, "number").unwrap_err()
    }

    #[test]
    fn each_bug_has_a_body_of_its_own() {
        let (first, second) = (
            edit("f", "let a = 1;", "let a = 10;"),
            edit("A::f", "a + b", "a"),
        );
        let text = apply(TEXT, &[(1, "one", &first), (2, "two", &second)], "number").unwrap();
        syn::parse_file(&text).unwrap();
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "match number() { 1 => /*m1{*/{ let a = 10; // one let b = 2; a + b }/*}m1*/",
            "2 => /*m2{*/{ let a = 1; // one let b = 2; a }/*}m2*/",
            "_ => { let a = 1; // one let b = 2; a + b }",
        ] {
            assert!(flat.contains(part), "{part} is not in {flat}");
        }
    }

    #[test]
    fn a_bug_may_change_several_places() {
        let edits = [edit("f", "1", "4"), edit("f", "a + b", "a * b")];
        let all: Vec<_> = edits.iter().map(|it| (1, "one", it)).collect();
        let text = apply(TEXT, &all, "number").unwrap();
        assert_eq!(text.matches("=> /*m1{*/").count(), 1);
        assert!(
            text.contains("a * b") && text.contains("let a = 4;"),
            "{text}"
        );
    }

    #[test]
    fn an_edit_that_does_not_apply_names_its_bug() {
        for (edit, reason) in [
            (edit("f", "let c = 1;", ""), "there 0 times, not once"),
            (edit("f", "let", "const"), "there 2 times, not once"),
            (edit("h", "1", "2"), "no such function"),
            (edit("g", "3", "4"), "constant"),
            (edit("f", "a + b", "a +"), "no Rust"),
        ] {
            let error = error(std::slice::from_ref(&edit));
            assert!(error.contains("XX-07") && error.contains(reason), "{error}");
        }
        let overlapping = [edit("f", "a + b", "a"), edit("f", "+ b", "")];
        assert!(error(&overlapping).contains("overlap"));
    }
}
