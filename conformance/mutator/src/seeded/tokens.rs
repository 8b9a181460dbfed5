//! Finds a snippet in a text token by token.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::ops::Range;

/// One token and its place.
struct Token {
    text: String,
    place: Range<usize>,
}

/// The places of a snippet in a text, both of which must be whole Rust: every bracket closed.
///
/// # Errors
///
/// One of them is not, or the snippet is empty.
pub fn places(text: &str, snippet: &str) -> Result<Vec<Range<usize>>, String> {
    let (text, snippet) = (tokens(text)?, tokens(snippet)?);
    if snippet.is_empty() {
        return Err("there is nothing to find".to_owned());
    }
    let same = |window: &&[Token]| window.iter().zip(&snippet).all(|(a, b)| a.text == b.text);
    let found = text.windows(snippet.len()).filter(same);
    let place = |window: &[Token]| Some(window.first()?.place.start..window.last()?.place.end);
    Ok(found.filter_map(place).collect())
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let stream: TokenStream = text
        .parse()
        .map_err(|error| format!("{error} in `{text}`"))?;
    let mut flat = Vec::new();
    flatten(stream, &mut flat);
    Ok(flat)
}

fn flatten(stream: TokenStream, into: &mut Vec<Token>) {
    for tree in stream {
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                into.push(Token {
                    text: open.to_owned(),
                    place: group.span_open().byte_range(),
                });
                flatten(group.stream(), into);
                into.push(Token {
                    text: close.to_owned(),
                    place: group.span_close().byte_range(),
                });
            }
            other => into.push(Token {
                text: other.to_string(),
                place: other.span().byte_range(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn spaces_comments_and_line_ends_do_not_matter() {
        let text = "{ a /* here */ (\n  b, // and here\n c)\n; a(b) }";
        let found = places(text, "a(b, c)").unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(
            &text[found[0].clone()],
            "a /* here */ (\n  b, // and here\n c)"
        );
        assert!(places(text, "a(b, d)").unwrap().is_empty());
        assert_eq!(places("x.y; x.y;", "x.y").unwrap().len(), 2);
        // Part of a name is no name.
        assert!(places("xx.y", "x.y").unwrap().is_empty());
    }

    #[test]
    fn an_open_bracket_is_no_snippet() {
        assert!(places("f(x)", "f(").is_err());
        assert!(places("f(x)", " // nothing").is_err());
    }
}
