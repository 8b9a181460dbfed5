//! The report with [text from outside](crate::text) made visible, wherever it stands.

use super::{Case, Fact, Job, Report, SavedTrace, Table, steps::StepRow};
use crate::properties::{Cause, Violation};
use crate::show::Story;
use crate::text::is_active;
pub use crate::text::{line, text};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write;

/// JSON that says the same without a character that is active, the line ends between its values aside.
pub fn json(text: String) -> String {
    // Outside of strings there are none, and within them JSON has this form for every character.
    let active = |c: char| is_active(c) && c != '\n';
    if !text.contains(active) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if active(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("writing to a string does not fail");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// The report without a character that is active. Every text that a report has is here, so that none is
/// forgotten where it is written; only its machine-readable detail stays as it is.
pub fn report(report: &Report) -> Report {
    let mut report = report.clone();
    // The patterns name every field, so that a new one is not forgotten.
    let Report {
        lockstep_report: _,
        lockstep: _,
        command,
        status: _,
        exit_code: _,
        seconds: _,
        jobs,
        unwritten,
        traces,
    } = &mut report;
    in_line(command);
    unwritten.iter_mut().for_each(in_line);
    traces.iter_mut().for_each(saved);
    jobs.iter_mut().for_each(job);
    report
}

fn saved(trace: &mut SavedTrace) {
    in_line(&mut trace.job);
    in_line(&mut trace.file);
}

/// A job without a character that is active.
pub fn job(job: &mut Job) {
    let Job {
        kind,
        name,
        status: _,
        verdict,
        seconds: _,
        facts,
        cases,
        tables,
        dialect: _,
        violations,
        steps,
        trace,
        differences,
        notes,
        commands,
        story,
        witnesses,
        detail: _,
    } = job;
    [kind, name, verdict].into_iter().for_each(in_line);
    for Fact { name, value } in facts {
        in_line(name);
        in_value(value, &in_line);
    }
    for Case {
        name,
        status: _,
        so_far: _,
        message,
    } in cases
    {
        in_line(name);
        message.iter_mut().for_each(in_text);
    }
    tables.iter_mut().chain(differences).for_each(table);
    for Violation {
        property,
        says,
        step: _,
        event,
        server: _,
        causes,
    } in violations
    {
        [property, says, event].into_iter().for_each(in_line);
        for Cause {
            what,
            value,
            holds_with,
        } in causes
        {
            [what, value]
                .into_iter()
                .chain(holds_with)
                .for_each(in_line);
        }
    }
    trace.iter_mut().for_each(saved);
    if let Some(steps) = steps {
        in_line(&mut steps.title);
        for StepRow {
            step: _,
            event,
            changes,
            sent,
            rules: _,
        } in &mut steps.rows
        {
            in_line(event);
            changes.iter_mut().chain(sent).for_each(in_line);
        }
    }
    notes.iter_mut().chain(commands).for_each(in_text);
    story.iter_mut().for_each(|story| self::story(story));
    witnesses.iter_mut().for_each(self::story);
}

/// The rest of a story is made of numbers.
fn story(story: &mut Story) {
    in_line(&mut story.name);
    in_text(&mut story.purpose);
    for it in story
        .steps
        .iter_mut()
        .flat_map(|step| &mut step.differences)
    {
        [&mut it.what, &mut it.expected, &mut it.actual]
            .into_iter()
            .for_each(in_text);
    }
}

fn table(table: &mut Table) {
    in_line(&mut table.title);
    table.columns.iter_mut().for_each(in_line);
    for value in table.rows.iter_mut().flatten() {
        in_value(value, &in_text);
    }
}

fn in_value(value: &mut Value, change: &impl Fn(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(items) => items.iter_mut().for_each(|it| in_value(it, change)),
        Value::Object(fields) => fields.values_mut().for_each(|it| in_value(it, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn in_line(text: &mut String) {
    if let Cow::Owned(changed) = line(text) {
        *text = changed;
    }
}

fn in_text(text: &mut String) {
    if let Cow::Owned(changed) = self::text(text) {
        *text = changed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Status, human, junit};
    use proptest::prelude::*;

    fn hostile() -> impl Strategy<Value = String> {
        let active = prop::sample::select(vec![
            "\x1b[2J",
            "\u{9b}1m",
            "\0",
            "\x08",
            "\r",
            "\n",
            "\u{202e}",
            "\u{2028}",
            "\u{ffff}",
            "]]>",
            "<&\"",
            "\u{7f}",
            "\u{e0041}",
        ]);
        let piece = prop_oneof![active.prop_map(str::to_owned), any::<String>()];
        prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    /// A report that has this text wherever a text can be.
    fn everywhere(text: &str) -> Report {
        let table = || {
            Table::new(
                text,
                &[text, "b"],
                vec![vec![text.into(), vec![text].into()]],
            )
        };
        let mut job = Job::new(text, text, Status::Violated, text.to_owned());
        job.fact(text, text);
        job.fact("list", vec![text]);
        job.failed(text, Status::Violated, text);
        job.skipped(text, text);
        job.tables.push(table().shown());
        job.differences = Some(table());
        job.steps = Some(crate::report::steps::StepTable {
            title: text.to_owned(),
            rows: vec![StepRow {
                step: 1,
                event: text.to_owned(),
                changes: vec![text.to_owned()],
                sent: vec![text.to_owned()],
                rules: Vec::new(),
            }],
        });
        job.violations.push(Violation {
            property: text.to_owned(),
            says: text.to_owned(),
            step: 1,
            event: text.to_owned(),
            server: None,
            causes: vec![Cause {
                what: text.to_owned(),
                value: text.to_owned(),
                holds_with: Some(text.to_owned()),
            }],
        });
        job.notes.push(text.to_owned());
        Report::new("check", 1.0, vec![job], vec![text.to_owned()])
    }

    proptest! {
        #[test]
        fn no_form_of_a_report_lets_a_text_act(text in hostile()) {
            let report = everywhere(&text);
            let forms = [
                human::render(&report, human::Style::default()),
                junit::render(&report),
                crate::report::json::render(&report),
            ];
            for form in forms {
                let bad = form.chars().find(|c| is_active(*c) && !matches!(c, '\n' | '\t'));
                prop_assert_eq!(bad, None, "{}", form);
            }
        }

        #[test]
        fn json_says_the_same(text in hostile()) {
            let value = serde_json::json!({ "a": [text] });
            let same: Value = serde_json::from_str(&json(value.to_string())).unwrap();
            prop_assert_eq!(same, value);
        }
    }
}
