//! Text from outside (a target, a file, the name of a file) as text that changes nothing but itself: what
//! would move the cursor of a terminal, colour it, turn the direction of writing, look like another line of the
//! report, or make XML invalid, is shown as an escape.

use std::borrow::Cow;

/// Whether a character does something else than stand where it is. Line ends and tabs are left to the caller.
pub fn is_active(c: char) -> bool {
    let nobody = |c: char| (c as u32) & 0xfffe == 0xfffe || ('\u{fdd0}'..='\u{fdef}').contains(&c);
    c.is_control()
        || nobody(c)
        || matches!(
            c,
            // Marks and overrides of the direction of writing, separators of lines, and what has no width.
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// The text; its line ends and tabs stay.
pub fn text(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_active(c) && c != '\n' && c != '\t')
}

/// The text in one line.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_active)
}

fn escaped(text: &str, active: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&active) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if active(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_plain_stays_as_it_is() {
        for plain in ["", "ä – ∅ → 日本 🦀", "a\tb"] {
            assert_eq!(text(plain), plain);
        }
        assert_eq!(text("a\nb"), "a\nb");
        assert_eq!(line("a\nb\tc"), r"a\nb\tc");
        assert_eq!(text("\x1b[31mred\r\u{9b}m"), r"\u{1b}[31mred\r\u{9b}m");
        assert_eq!(
            text("\u{202e}\u{feff}\u{ffff}\0"),
            r"\u{202e}\u{feff}\u{ffff}\u{0}"
        );
    }
}
