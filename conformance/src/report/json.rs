//! The report for machines: one JSON object, documented in `conformance/OUTPUT.md`.

use super::{Failure, Report, visible};
use serde::Serialize;

/// The report as JSON, with a line feed at its end.
pub fn render(report: &Report) -> String {
    lines(report)
}

/// In place of a report that there is not: why.
pub fn render_failure(failure: &Failure) -> String {
    lines(failure)
}

fn lines(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value)
        .expect("a report is plain data with string keys, which always has a JSON form");
    text.push('\n');
    visible::json(text)
}
