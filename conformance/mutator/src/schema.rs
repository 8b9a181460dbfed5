//! Puts every mutant of a file into its text, each behind its number: one build serves them all.
//!
//! `a < b` becomes `(if active(17) { a <= b } else { a < b })`. The changed texts are those of the file as
//! it was, without other changes: only one mutant is ever active.

use crate::mutant::{Mutant, Shape};
use std::fmt::Write as _;
use std::ops::Range;

/// A mutant with the number by which it is switched on.
#[derive(Clone, Debug)]
pub struct Numbered {
    /// Its number, from 1.
    pub number: usize,
    /// The mutant.
    pub mutant: Mutant,
}

/// The text with all these mutants of one file in it. `switch` is the path of the function that says
/// whether a number is active.
pub fn schema(text: &str, mutants: &[&Numbered], switch: &str) -> String {
    let mut sorted = mutants.to_vec();
    // Outer ones come first; at the same place an arm's guard encloses what changes the guard.
    sorted.sort_by_key(|it| {
        let range = &it.mutant.range;
        let inner = matches!(it.mutant.shape, Shape::Expression(_));
        (range.start, std::cmp::Reverse(range.end), inner, it.number)
    });
    let writer = Writer { text, switch };
    let mut rest = sorted.as_slice();
    let mut out = String::new();
    writer.write(0..text.len(), &mut rest, &mut out);
    out
}

struct Writer<'a> {
    text: &'a str,
    switch: &'a str,
}

impl Writer<'_> {
    /// Writes a part of the text with the mutants that lie in it, and takes these from the list.
    fn write(&self, range: Range<usize>, mutants: &mut &[&Numbered], out: &mut String) {
        let mut at = range.start;
        while let Some(first) = mutants.first() {
            let place = first.mutant.range.clone();
            if place.start >= range.end && !(place.is_empty() && place.start == range.end) {
                break;
            }
            out.push_str(&self.text[at..place.start]);
            let is_expression = matches!(first.mutant.shape, Shape::Expression(_));
            let same = |it: &&&Numbered| {
                it.mutant.range == place
                    && matches!(it.mutant.shape, Shape::Expression(_)) == is_expression
            };
            let count = match is_expression {
                true => mutants.iter().take_while(same).count(),
                false => 1,
            };
            let (group, others) = mutants.split_at(count);
            *mutants = others;
            self.wrap(group, place.clone(), mutants, out);
            at = place.end;
        }
        out.push_str(&self.text[at..range.end]);
    }

    /// Writes what is at one place, with the mutants of that place around it.
    fn wrap(
        &self,
        group: &[&Numbered],
        place: Range<usize>,
        inner: &mut &[&Numbered],
        out: &mut String,
    ) {
        let switch = self.switch;
        let number = group[0].number;
        let (open, close) = (opening(number), closing(number));
        match &group[0].mutant.shape {
            Shape::Expression(_) => {
                out.push('(');
                for it in group {
                    if let Shape::Expression(text) = &it.mutant.shape {
                        let (open, close) = (opening(it.number), closing(it.number));
                        let _ = write!(
                            out,
                            "if {switch}({}) {{{open}{text}{close}}} else ",
                            it.number
                        );
                    }
                }
                out.push('{');
                self.write(place, inner, out);
                out.push_str("})");
            }
            Shape::Statement => {
                let _ = write!(out, "{open}if !{switch}({number}) {{");
                self.write(place, inner, out);
                let _ = write!(out, "}}{close}");
            }
            Shape::Entry(value) => {
                let _ = write!(
                    out,
                    "{open}if {switch}({number}) {{ return {value}; }}{close}"
                );
            }
            Shape::Arm => {
                let _ = write!(out, "{open} if !{switch}({number}) {close}");
            }
            Shape::GuardedArm => {
                let _ = write!(out, "{open}!{switch}({number}) && ({close}");
                self.write(place, inner, out);
                out.push(')');
            }
        }
    }
}

/// The comment before the text of a mutant or seeded bug.
pub(crate) fn opening(number: usize) -> String {
    format!("/*m{number}{{*/")
}

/// The comment after the text of a mutant or seeded bug.
pub(crate) fn closing(number: usize) -> String {
    format!("/*}}m{number}*/")
}

/// The number of the innermost mutant whose text holds a part of a schema, or the numbers of those that
/// lie in the part.
pub fn mutants_at(schema: &str, part: Range<usize>) -> Vec<usize> {
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut innermost = None;
    let mut within = Vec::new();
    for (at, _) in schema.match_indices("/*") {
        let comment = &schema[at + 2..];
        let Some(end) = comment.find("*/") else { break };
        let comment = &comment[..end];
        if let Some(number) = comment
            .strip_prefix('m')
            .and_then(|it| it.strip_suffix('{'))
        {
            open.extend(number.parse().ok().map(|number: usize| (number, at)));
        } else if let Some(number) = comment.strip_prefix("}m")
            && let Some(place) = open.iter().rposition(|(it, _)| it.to_string() == number)
        {
            let (number, start) = open.remove(place);
            if start <= part.start && part.end <= at {
                // Closed in the order from the inside to the outside.
                innermost.get_or_insert(number);
            } else if part.start <= start && at <= part.end {
                within.push(number);
            }
        }
    }
    innermost.map_or(within, |number| vec![number])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::find;

    fn numbered(text: &str) -> Vec<Numbered> {
        let found = find("file.rs", text).unwrap();
        let numbered = found.into_iter().enumerate();
        numbered
            .map(|(at, mutant)| Numbered {
                number: at + 1,
                mutant,
            })
            .collect()
    }

    #[test]
    fn without_mutants_the_text_is_the_same() {
        let text = "fn f() -> u64 { 1 }";
        assert_eq!(schema(text, &[], "on"), text);
    }

    #[test]
    fn a_change_stands_before_the_text_that_it_replaces() {
        let text = "fn f(a: u64) -> bool { a < 5 }";
        let all = numbered(text);
        let comparison = all.iter().find(|it| it.mutant.after == "a <= 5").unwrap();
        let number = comparison.number;
        let expected = format!(
            "fn f(a: u64) -> bool {{ (if on({number}) {{/*m{number}{{*/a <= 5/*}}m{number}*/}} else {{a < 5}}) }}"
        );
        assert_eq!(schema(text, &[comparison], "on"), expected);
    }

    #[test]
    fn the_mutant_of_an_error_is_found_by_its_place() {
        let text = "fn f(a: u64) -> bool { if a < 5 { g(a); } a + 1 > 7 }";
        let all = numbered(text);
        let schema = schema(text, &all.iter().collect::<Vec<_>>(), "on");
        for it in &all {
            let open = schema.find(&opening(it.number)).unwrap() + opening(it.number).len();
            assert_eq!(mutants_at(&schema, open..open + 1), [it.number]);
        }
        assert_eq!(mutants_at(&schema, 0..schema.len()).len(), all.len());
        syn::parse_file(&schema).unwrap();
    }
}
