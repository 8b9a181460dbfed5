//! The report for machines: one JSON object, documented in `conformance/README.md`.

use super::Report;

/// The report as JSON, with a line feed at its end.
pub fn render(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report)
        .expect("a report is plain data with string keys, which always has a JSON form");
    text.push('\n');
    text
}
