//! The output of a command: lines of the environment and log lines, under one log level.

use crate::etcd_testdata::Version;

/// The importance of a line; a line is shown if its level is at least that of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
    /// Shows nothing at all, not even what the environment prints.
    None,
}

impl Level {
    const ALL: [Level; 6] = [
        Level::Debug,
        Level::Info,
        Level::Warn,
        Level::Error,
        Level::Fatal,
        Level::None,
    ];

    fn name(self) -> &'static str {
        match self {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Error => "ERROR",
            Level::Fatal => "FATAL",
            Level::None => "NONE",
        }
    }

    /// Looks a level up by its name in any case.
    ///
    /// # Errors
    ///
    /// The sentence that the scripts expect for an unknown name.
    pub(super) fn parse(name: &str) -> Result<Level, String> {
        let found = Level::ALL
            .into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            let names = Level::ALL.map(Level::name).join(" ");
            format!("log levels must be either of [{names}]")
        })
    }
}

/// The text printed so far, shared by the environment and the observers of all nodes.
#[derive(Debug)]
pub(super) struct Output {
    text: String,
    pub(super) level: Level,
    /// The version whose wording it uses.
    pub(super) version: Version,
}

impl Output {
    pub(super) fn new(version: Version) -> Output {
        Output {
            text: String::new(),
            level: Level::Debug,
            version,
        }
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.level == Level::None
    }

    /// Prints what the environment has to say.
    pub(super) fn print(&mut self, text: &str) {
        if !self.is_quiet() {
            self.text.push_str(text);
        }
    }

    /// Prints one line of the log.
    pub(super) fn log(&mut self, level: Level, sentence: &str) {
        if self.level <= level {
            self.text.push_str(level.name());
            self.text.push(' ');
            self.text.push_str(sentence);
            self.text.push('\n');
        }
    }

    /// Takes out what was printed so far.
    pub(super) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// Puts `before` back in front of what was printed since it was taken, which gets indented.
    pub(super) fn indent_after(&mut self, before: String) {
        let inner = std::mem::replace(&mut self.text, before);
        for line in inner.lines() {
            self.text.push_str("  ");
            self.text.push_str(line);
            self.text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_shows_itself_and_what_is_graver() {
        let mut output = Output::new(Version::V3_6);
        output.level = Level::parse("warn").unwrap();
        output.log(Level::Info, "hidden");
        output.log(Level::Warn, "shown");
        output.log(Level::Error, "shown");
        output.print("line\n");
        assert_eq!(output.take(), "WARN shown\nERROR shown\nline\n");
    }

    #[test]
    fn the_highest_level_hides_everything() {
        let mut output = Output::new(Version::V3_6);
        output.level = Level::parse("NONE").unwrap();
        output.log(Level::Fatal, "hidden");
        output.print("hidden\n");
        assert_eq!(output.take(), "");
    }

    #[test]
    fn an_unknown_level_is_refused() {
        assert_eq!(
            Level::parse("loud").unwrap_err(),
            "log levels must be either of [DEBUG INFO WARN ERROR FATAL NONE]"
        );
    }

    #[test]
    fn indentation_nests() {
        let mut output = Output::new(Version::V3_6);
        output.print("a\n");
        let outer = output.take();
        output.print("b\n");
        let inner = output.take();
        output.print("c\n");
        output.indent_after(inner);
        output.indent_after(outer);
        assert_eq!(output.take(), "a\n  b\n    c\n");
    }
}
