//! The conventions of terminals: when there are colours, whether a line can be rewritten, and how wide a line is.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;

/// The width of a line where nobody says another.
const WIDTH: u16 = 80;

/// Whether text on this stream has colours.
///
/// `NO_COLOR` (<https://no-color.org>) comes first, then `CLICOLOR_FORCE`; without either, there are colours on a
/// terminal that has them, unless `CLICOLOR` is 0 (<https://bixense.com/clicolors>).
pub fn colours(stream: &impl IsTerminal) -> bool {
    colours_with(|name| std::env::var_os(name), stream.is_terminal())
}

/// Whether a line on this stream can be written anew.
pub fn rewrites(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && moves(std::env::var_os("TERM").as_deref())
}

/// Returns the width of a line on this stream, in columns: from `COLUMNS`, or else from the terminal. `None` if the
/// stream is a file or a pipe, which take lines of any width.
pub fn width(stream: &impl IsTerminal) -> Option<u16> {
    let asked = std::env::var_os("COLUMNS");
    let asked = asked.and_then(|text| text.to_str()?.trim().parse().ok());
    asked.filter(|width| *width > 0).or_else(|| {
        let own = || comfy_table::Table::new().width();
        let known = || own().filter(|width| *width > 0).unwrap_or(WIDTH);
        stream.is_terminal().then(known)
    })
}

/// Returns the width of running text: that of a line, with a limit for the sake of readability.
pub fn text_width(stream: &impl IsTerminal) -> usize {
    width(stream).unwrap_or(WIDTH).min(100).into()
}

/// The same text with no line wider than those of this stream, unless a word is.
pub fn folded(text: &str, stream: &impl IsTerminal) -> String {
    let Some(width) = width(stream).map(usize::from) else {
        return text.to_owned();
    };
    // What has colours has been folded.
    let fits = |line: &str| line.contains('\x1b') || line.chars().count() <= width;
    let lines = text.split('\n').map(|line| match fits(line) {
        true => line.to_owned(),
        false => textwrap::fill(line, words_whole(width)),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns options for folding text between words, none of which is broken.
pub fn words_whole<'a>(width: usize) -> textwrap::Options<'a> {
    textwrap::Options::new(width)
        .break_words(false)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation)
}

fn colours_with(variable: impl Fn(&str) -> Option<OsString>, terminal: bool) -> bool {
    let said = |name: &str| variable(name).filter(|value| !value.is_empty());
    if said("NO_COLOR").is_some() {
        return false;
    }
    if said("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
        return true;
    }
    let refused = said("CLICOLOR").is_some_and(|value| value == "0");
    terminal && !refused && moves(said("TERM").as_deref())
}

/// Whether such a terminal does anything but print. On Windows nobody says which it is.
fn moves(term: Option<&OsStr>) -> bool {
    match term {
        Some(term) => term != "dumb" && !term.is_empty(),
        None => cfg!(windows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_follow_the_conventions() {
        let with = |variables: &[(&str, &str)], terminal| {
            let value = |name: &str| {
                let found = variables.iter().find(|(it, _)| *it == name);
                found.map(|(_, value)| OsString::from(value))
            };
            colours_with(value, terminal)
        };
        let xterm = ("TERM", "xterm");
        assert!(with(&[xterm], true));
        assert!(!with(&[xterm], false));
        assert!(!with(&[("TERM", "dumb")], true));
        assert!(!with(&[("TERM", "dumb"), ("CLICOLOR", "1")], true));
        assert_eq!(with(&[], true), cfg!(windows));
        assert!(!with(&[xterm, ("NO_COLOR", "1")], true));
        assert!(!with(&[xterm, ("NO_COLOR", "0")], true));
        assert!(with(&[xterm, ("NO_COLOR", "")], true));
        assert!(!with(
            &[xterm, ("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")],
            true
        ));
        assert!(with(&[("CLICOLOR_FORCE", "1")], false));
        assert!(with(&[("CLICOLOR_FORCE", "1"), ("CLICOLOR", "0")], false));
        assert!(!with(&[("CLICOLOR_FORCE", "0")], false));
        assert!(!with(&[xterm, ("CLICOLOR", "0")], true));
        assert!(with(&[xterm, ("CLICOLOR", "1")], true));
        assert!(!with(&[xterm, ("CLICOLOR", "1")], false));
    }
}
