//! Standard output and standard error. Neither need be there: nothing that is said on standard error is worth
//! a server, and a reader of standard output that goes away has seen enough. Colours follow the conventions of
//! terminals.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write as _};

/// Says something on standard error, if anybody can hear it.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes to standard output. That its reader has gone is no error.
///
/// # Errors
/// It cannot be written for another reason, such as a full disk; the text says so.
pub fn print(text: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Whether text on this stream has colours: `NO_COLOR` comes first, then `CLICOLOR_FORCE`; without either there
/// are colours on a terminal that has them, unless `CLICOLOR` is 0.
pub fn colours(stream: &impl IsTerminal) -> bool {
    colours_with(|name| std::env::var_os(name), stream.is_terminal())
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
    // On Windows nobody says which terminal it is.
    let able = said("TERM").map_or(cfg!(windows), |term| term != "dumb");
    terminal && !refused && able
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
        assert_eq!(with(&[], true), cfg!(windows));
        assert!(!with(&[xterm, ("NO_COLOR", "1")], true));
        assert!(with(&[xterm, ("NO_COLOR", "")], true));
        assert!(!with(&[xterm, ("CLICOLOR", "0")], true));
        assert!(with(&[("CLICOLOR_FORCE", "1")], false));
        assert!(!with(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true));
    }
}
