//! A trace as a table: what happened at each step, what it changed, and what was sent.

use super::Table;
use crate::rules::rules_of_steps;
use crate::words::{changes, emitted, event};
use lockstep_model::Rule;
use lockstep_traces::{Config, Step};
use serde::Serialize;
use std::collections::BTreeMap;

/// A path through the state graph, step by step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepTable {
    /// The title of the path.
    pub title: String,
    /// One row a step.
    pub rows: Vec<StepRow>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepRow {
    /// Counted from one.
    pub step: usize,
    /// The event.
    pub event: String,
    /// The changes at the server that moved, field by field; the word "nothing" if there are none.
    pub changes: Vec<String>,
    /// The messages that were sent.
    pub sent: Vec<String>,
    /// The rules that were applied.
    pub rules: Vec<&'static str>,
}

impl StepTable {
    /// The table of these steps, from the beginning of a cluster on.
    pub fn new(title: impl Into<String>, config: &Config, steps: &[Step]) -> StepTable {
        let rules = rules_of_steps(config, steps);
        let mut before = BTreeMap::new();
        let rows = steps.iter().enumerate().map(|(position, step)| {
            let (changes, sent) = match (step.event.server(), &step.expected) {
                (Some(server), Some(expected)) => {
                    let old = before.insert(server, &expected.view);
                    (
                        changes(old, expected),
                        expected.sent.iter().map(emitted).collect(),
                    )
                }
                _ => (Vec::new(), Vec::new()),
            };
            StepRow {
                step: position + 1,
                event: event(&step.event),
                changes,
                sent,
                rules: rules[position].iter().map(Rule::name).collect(),
            }
        });
        StepTable {
            title: title.into(),
            rows: rows.collect(),
        }
    }

    /// The same steps after others, which are left out.
    #[must_use]
    pub fn after(mut self, left_out: usize) -> StepTable {
        for row in &mut self.rows {
            row.step += left_out;
        }
        self
    }

    /// The rows as cells.
    pub fn to_table(&self) -> Table {
        let rows = self.rows.iter().map(|row| {
            vec![
                row.step.into(),
                row.event.clone().into(),
                row.changes.join("\n").into(),
                row.sent.join("\n").into(),
            ]
        });
        let columns = ["step", "event", "changes", "sends"];
        Table::new(self.title.clone(), &columns, rows.collect())
    }

    /// The rows as plain lines: event, changes, messages, rules.
    pub fn to_text(&self) -> String {
        let lines = self.rows.iter().map(|row| {
            let changes = row.changes.join("; ");
            let sent = row.sent.join("; ");
            let rules = row.rules.join(", ");
            format!("{}. {} | {changes} | {sent} | {rules}", row.step, row.event)
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// A number of steps, in words.
pub fn count(steps: usize) -> String {
    match steps {
        1 => "1 step".to_owned(),
        steps => format!("{steps} steps"),
    }
}
