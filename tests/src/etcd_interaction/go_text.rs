//! Go's printing and reading of the few plain values that occur in the scripts.

use std::fmt::Write;

/// Bytes as Go's `%q` shows them.
pub(super) fn quote(bytes: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            quote_char(&mut quoted, c);
        }
        for byte in chunk.invalid() {
            write!(quoted, "\\x{byte:02x}").expect("writing to a string succeeds");
        }
    }
    quoted.push('"');
    quoted
}

fn quote_char(quoted: &mut String, c: char) {
    let code = u32::from(c);
    match c {
        '"' | '\\' => quoted.extend(['\\', c]),
        '\x07' => quoted.push_str("\\a"),
        '\x08' => quoted.push_str("\\b"),
        '\x0c' => quoted.push_str("\\f"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\x0b' => quoted.push_str("\\v"),
        _ if code < 0x20 || code == 0x7f => {
            write!(quoted, "\\x{code:02x}").expect("writing to a string succeeds");
        }
        _ if c == '\'' || c.escape_debug().len() == 1 => quoted.push(c),
        _ if code < 0x10000 => {
            write!(quoted, "\\u{code:04x}").expect("writing to a string succeeds");
        }
        _ => write!(quoted, "\\U{code:08x}").expect("writing to a string succeeds"),
    }
}

/// A slice of numbers as Go's `%v` shows it.
pub(super) fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    format!("[{}]", items.join(" "))
}

/// Reads a number as `strconv.ParseUint` does.
///
/// # Errors
///
/// Go's sentence about the text that is no number.
pub(super) fn parse_uint(text: &str) -> Result<u64, String> {
    let problem = |what: &str| {
        format!(
            "strconv.ParseUint: parsing {}: {what}",
            quote(text.as_bytes())
        )
    };
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(problem("invalid syntax"));
    }
    text.parse().map_err(|_| problem("value out of range"))
}

/// Reads a truth value as `strconv.ParseBool` does.
///
/// # Errors
///
/// Go's sentence about the text that is none.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!(
            "strconv.ParseBool: parsing {}: invalid syntax",
            quote(text.as_bytes())
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_escapes_what_go_escapes() {
        assert_eq!(quote(b"foo 'bar'"), r#""foo 'bar'""#);
        assert_eq!(quote(b"\"\\\n\t\x00\x7f"), r#""\"\\\n\t\x00\x7f""#);
        assert_eq!(
            quote("é\u{200b}\u{e0001}".as_bytes()),
            "\"é\\u200b\\U000e0001\""
        );
        assert_eq!(quote(b"a\xffb"), r#""a\xffb""#);
    }

    #[test]
    fn numbers_and_truth_values_are_read_strictly() {
        assert_eq!(parse_uint("17"), Ok(17));
        assert_eq!(
            parse_uint("+1").unwrap_err(),
            r#"strconv.ParseUint: parsing "+1": invalid syntax"#
        );
        assert!(
            parse_uint("18446744073709551616")
                .unwrap_err()
                .ends_with("value out of range")
        );
        assert_eq!(parse_bool("T"), Ok(true));
        assert_eq!(
            parse_bool("yes").unwrap_err(),
            r#"strconv.ParseBool: parsing "yes": invalid syntax"#
        );
    }

    #[test]
    fn lists_have_spaces_between_their_items() {
        assert_eq!(list([1, 2, 3]), "[1 2 3]");
        assert_eq!(list::<u64>([]), "[]");
    }
}
