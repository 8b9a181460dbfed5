//! The results for people: the page `model/MUTATION.md`.

use super::trial::{Sight, Trial};
use crate::mutant::Mutant;
use crate::reasons::{Reasons, Verdict};
use crate::seeded::{Kind, Rule};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A rule and the result of taking it away.
#[derive(Clone, Debug)]
pub struct RuleRow {
    /// The rule.
    pub rule: Rule,
    /// The result, if it was tried.
    pub trial: Option<Trial>,
}

/// A mutant and its result.
#[derive(Clone, Debug)]
pub struct Row {
    /// The mutant.
    pub mutant: Mutant,
    /// Whether it compiles.
    pub viable: bool,
    /// The result, if it was tried.
    pub trial: Option<Trial>,
    /// The reason why nothing notices it, as somebody has written it down.
    pub reason: Option<(Verdict, String)>,
}

/// Everything that a run shows.
#[derive(Clone, Debug, Default)]
pub struct Mutation {
    /// The rules.
    pub rules: Vec<RuleRow>,
    /// The mechanical mutants.
    pub rows: Vec<Row>,
    /// Reasons for mutants that are gone or noticed.
    pub stale: Vec<String>,
}

impl RuleRow {
    /// Faults of the list, if there are any: a rule that nothing notices and that is said to be needed,
    /// or the reverse.
    pub fn wrong(&self) -> Option<String> {
        let Rule { id, kind, .. } = &self.rule;
        let trial = self.trial.as_ref()?;
        match (kind, trial.is_noticed()) {
            (Kind::Safety, true) => None,
            (Kind::Safety, false) => Some(format!("{id}: nothing notices that it is gone")),
            (_, false) => None,
            (_, true) => Some(format!("{id}: it is {kind:?}, and something notices it")),
        }
    }
}

impl Row {
    fn is_noticed(&self) -> bool {
        self.trial.as_ref().is_some_and(Trial::is_noticed)
    }

    fn is_survivor(&self) -> bool {
        self.viable && self.trial.as_ref().is_some_and(|it| !it.is_noticed())
    }
}

impl Mutation {
    /// Compares the list of reasons with the results.
    pub fn judge(&mut self, reasons: &Reasons) {
        let by_key: BTreeMap<String, &Row> =
            self.rows.iter().map(|it| (it.mutant.key(), it)).collect();
        for key in reasons.keys() {
            match by_key.get(key) {
                None => self.stale.push(format!("{key}: there is no such mutant")),
                Some(row) if !row.viable => self.stale.push(format!("{key}: it does not compile")),
                Some(row) if row.is_noticed() => self.stale.push(format!("{key}: it is noticed")),
                Some(_) => {}
            }
        }
    }

    /// The mutants that nothing notices and nobody has explained.
    pub fn survivors(&self) -> impl Iterator<Item = &Row> {
        let unexplained = self.rows.iter().filter(|row| row.reason.is_none());
        unexplained.filter(|row| row.is_survivor())
    }

    /// The rules whose result is not the one that the list says.
    pub fn wrong(&self) -> Vec<String> {
        self.rules.iter().filter_map(RuleRow::wrong).collect()
    }

    /// Whether everything is noticed or explained, and nothing is out of date.
    pub fn holds(&self) -> bool {
        self.stale.is_empty() && self.wrong().is_empty() && self.survivors().next().is_none()
    }

    /// A few lines for a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if !self.rules.is_empty() {
            let tried = self.rules.iter().filter(|it| it.trial.is_some()).count();
            let wrong = self.wrong();
            let _ = writeln!(
                text,
                "{tried} rules were taken away; {} are not as the list says",
                wrong.len()
            );
            for wrong in wrong {
                let _ = writeln!(text, "  {wrong}");
            }
        }
        if !self.rows.is_empty() {
            let _ = writeln!(text, "{}", self.score());
            for row in self.survivors() {
                let Mutant { file, line, .. } = &row.mutant;
                let (id, key) = (row.mutant.id(), row.mutant.key());
                let _ = writeln!(text, "  {id} {file}:{line} {key}");
            }
            for stale in &self.stale {
                let _ = writeln!(text, "  out of date: {stale}");
            }
        }
        text
    }

    /// The part of the mutants and presets that was tried.
    fn extent(&self) -> String {
        let viable = || self.rows.iter().filter(|it| it.viable);
        let untried = viable().filter(|it| it.trial.is_none()).count();
        let tried = match untried {
            0 => format!("All {} that compile were tried.", viable().count()),
            _ => format!(
                "*Sampled*: {untried} of the {} that compile were not tried.",
                viable().count()
            ),
        };
        let survivors = || self.rows.iter().filter(|it| it.is_survivor());
        let left_out = |it: &&Row| it.trial.as_ref().is_some_and(|it| it.left_out > 0);
        format!(
            "{tried} Of the {} that nothing notices, {} were searched for in every preset that runs their code \
             (*exhausted*), {} in the smaller ones and the walks only (*sampled*: the number of presets that were left \
             out stands with each).",
            survivors().count(),
            survivors().filter(|it| !left_out(it)).count(),
            survivors().filter(left_out).count(),
        )
    }

    fn score(&self) -> String {
        let tried = self
            .rows
            .iter()
            .filter(|it| it.viable && it.trial.is_some());
        let tried: Vec<&Row> = tried.collect();
        let noticed = tried.iter().filter(|it| it.is_noticed()).count();
        let explained = tried
            .iter()
            .filter(|it| it.is_survivor() && it.reason.is_some());
        let mut by: BTreeMap<Verdict, usize> = BTreeMap::new();
        for row in explained {
            let verdict = row
                .reason
                .as_ref()
                .map_or(Verdict::Open, |(verdict, _)| *verdict);
            *by.entry(verdict).or_default() += 1;
        }
        let reasons: Vec<_> = by
            .iter()
            .map(|(it, count)| format!("{count} {it}"))
            .collect();
        let changes = tried.len() - by.get(&Verdict::Equivalent).unwrap_or(&0);
        format!(
            "{:.1} %: of {} mutants that compile and were tried, {noticed} are noticed; explained: {}; {} survive \
             without a reason; {} do not compile",
            100.0 * noticed as f64 / changes.max(1) as f64,
            tried.len(),
            if reasons.is_empty() {
                "none".to_owned()
            } else {
                reasons.join(", ")
            },
            self.survivors().count(),
            self.rows.iter().filter(|it| !it.viable).count(),
        )
    }
}

/// The page of the repository. A part that was not run is taken over from the page as it was.
pub fn page(mutation: &Mutation, before: &str) -> String {
    let (rules_before, mutants_before) =
        before.split_at(before.find(MUTANTS).unwrap_or(before.len()));
    let mut text = match mutation.rules.is_empty() {
        true => rules_before.to_owned(),
        false => rules(mutation),
    };
    match mutation.rows.is_empty() {
        true => text.push_str(mutants_before),
        false => mutants(&mut text, mutation),
    }
    text
}

/// The heading of the part about mutants.
const MUTANTS: &str = "\n## Every small change\n";

/// The part about rules.
fn rules(mutation: &Mutation) -> String {
    let mut text = String::from(
        "# Every rule earns its place\n\n\
         Generated by `cargo run --release -p lockstep-mutator -- specification --markdown model/MUTATION.md`; do \
         not edit. The specification is changed, and only searches of the presets of `lockstep verify` and its \
         walks, without an implementation, look at the result: a change is noticed if a property is violated, or \
         if a witness is no longer reached in the preset that it names. So what is noticed here is noticed as \
         well if an implementation has the same mistake.\n\n\
         ## Without each rule\n\n\
         Each row takes one rule away by hand; `conformance/seeded/rules.toml` has the edits. The presets \
         are searched in the order of their sizes: the one that is named is the smallest that notices it, unless \
         the run was made with `--every-preset`. *Steps* is the length of the shortest counterexample there; a \
         witness has none. The counterexamples are below.\n\n\
         | id | rule | source | protects | noticed by | preset | steps |\n\
         | --- | --- | --- | --- | --- | --- | ---: |\n",
    );
    for RuleRow { rule, trial } in &mutation.rules {
        text.push_str(&head(rule));
        let sight = trial.as_ref().and_then(Trial::shortest);
        let _ = match (sight, trial) {
            (Some(sight), _) => {
                let steps = match sight.steps {
                    0 => String::new(),
                    steps => steps.to_string(),
                };
                let (by, preset) = (&sight.by, &sight.preset);
                writeln!(text, " {by} | {preset} | {steps} |")
            }
            (None, Some(trial)) if trial.failed.is_some() => {
                let failed = trial.failed.as_deref().unwrap_or_default();
                writeln!(text, " the search {failed} | | |")
            }
            (None, Some(_)) => {
                let why = rule.why.as_deref().unwrap_or("**nothing notices it**");
                writeln!(text, " nothing ({}): {why} | | |", kind(rule.kind))
            }
            (_, None) => writeln!(text, " not tried | | |"),
        };
    }
    counterexamples(&mut text, mutation);
    text
}

/// The part of a rule's row that follows from `rules.toml` alone.
pub fn head(rule: &Rule) -> String {
    let Rule {
        id,
        section,
        rule,
        protects,
        ..
    } = rule;
    format!("| {id} | {rule} | {section} | {protects} |")
}

fn counterexamples(text: &mut String, mutation: &Mutation) {
    text.push_str(
        "\n### Shortest counterexamples\n\nA message is delivered where nothing else is said of it; the last event \
         is the one that violates the property.\n\n",
    );
    for RuleRow { rule, trial } in &mutation.rules {
        let sight = trial.as_ref().and_then(Trial::shortest);
        let Some(sight) = sight.filter(|it| !it.path.is_empty()) else {
            continue;
        };
        let Sight { preset, path, .. } = sight;
        let _ = writeln!(text, "* {} (`{preset}`): {}", rule.id, path.join(", "));
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Safety => "safety",
        Kind::Pacing => "pacing",
        Kind::Liveness => "liveness",
        Kind::Equivalent => "equivalent",
    }
}

fn mutants(text: &mut String, mutation: &Mutation) {
    let _ = write!(
        text,
        "{MUTANTS}\nEvery mechanical change of `model/src/server`, tried in the presets that run its code, the smallest \
         first, until one notices it. {}\n\n**{}**\n\n\
         | property or witness | mutants that it notices first |\n| --- | ---: |\n",
        mutation.extent(),
        mutation.score()
    );
    let mut by: BTreeMap<String, usize> = BTreeMap::new();
    for trial in mutation.rows.iter().filter_map(|row| row.trial.as_ref()) {
        let first = match (trial.seen.first(), &trial.failed) {
            (Some(sight), _) => sight.by.clone(),
            (None, Some(failed)) => format!("the search {failed}"),
            (None, None) => continue,
        };
        *by.entry(first).or_default() += 1;
    }
    let mut by: Vec<_> = by.into_iter().collect();
    by.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), name.clone()));
    for (name, count) in by {
        let _ = writeln!(text, "| {name} | {count} |");
    }
    text.push_str(
        "\n## What nothing notices, and why\n\n*Pacing*: messages come at another pace, and nothing else changes. \
         *Liveness*: something may wait for ever, which no property of a state or step says. *Equivalent*: the \
         specification behaves as before. *Open*: known, and not noticed yet. A change after which the state graphs of all presets have the same sizes \
         as before does not show in any of them.\n",
    );
    let mut groups: BTreeMap<(Verdict, &str), Vec<&Row>> = BTreeMap::new();
    for row in mutation.rows.iter().filter(|it| it.is_survivor()) {
        let (verdict, why) = match &row.reason {
            Some((verdict, why)) => (*verdict, why.as_str()),
            None => (Verdict::Open, "Nobody has explained it."),
        };
        groups.entry((verdict, why)).or_default().push(row);
    }
    for ((verdict, why), rows) in groups {
        let _ = writeln!(text, "\n**{verdict}**: {why}\n");
        for row in rows {
            let Mutant {
                file,
                function,
                before,
                after,
                ..
            } = &row.mutant;
            let id = row.mutant.id();
            let left_out = match row.trial.as_ref().map_or(0, |trial| trial.left_out) {
                0 => String::new(),
                1 => "; 1 preset left out".to_owned(),
                left_out => format!("; {left_out} presets left out"),
            };
            let changes = match row.trial.as_ref() {
                Some(trial) if !trial.met => "; never run".to_owned(),
                Some(trial) if trial.changed.is_empty() => "; the same graphs".to_owned(),
                Some(trial) => format!("; other graphs: {}", trial.changed.join(", ")),
                None => String::new(),
            };
            let _ = writeln!(
                text,
                "* `{id}` {file}, `{function}`: `{before}` → `{after}`{changes}{left_out}"
            );
        }
    }
    text.push_str("\n## Changes that do not compile\n\n");
    for row in mutation.rows.iter().filter(|it| !it.viable) {
        let _ = writeln!(text, "* `{}` {}", row.mutant.id(), row.mutant.key());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::find;

    fn rows(left_out: usize) -> Mutation {
        let mutants = find("server/log.rs", "fn f(a: u64) -> bool { a < 5 }").expect("it is Rust");
        let row = |mutant: Mutant| Row {
            trial: Some(Trial {
                key: mutant.key(),
                seen: Vec::new(),
                failed: None,
                met: true,
                changed: Vec::new(),
                left_out,
                seconds: 0.0,
            }),
            mutant,
            viable: true,
            reason: None,
        };
        Mutation {
            rows: mutants.into_iter().map(row).collect(),
            ..Mutation::default()
        }
    }

    /// A run of the mutants leaves what was found for the rules where it is.
    #[test]
    fn a_part_that_was_not_run_stays() {
        let before = format!("the rules\n{MUTANTS}\nold results\n");
        let page = super::page(&rows(0), &before);
        assert!(
            page.starts_with(&format!("the rules\n{MUTANTS}\n")),
            "{page}"
        );
        assert!(!page.contains("old results"), "{page}");
        assert_eq!(super::page(&Mutation::default(), &before), before);
    }

    /// Nobody may take a search of the smaller presets for one of all.
    #[test]
    fn a_preset_that_was_left_out_is_said() {
        let (whole, part) = (super::page(&rows(0), ""), super::page(&rows(3), ""));
        assert!(!whole.contains("3 presets left out"), "{whole}");
        assert!(part.contains("; 3 presets left out"), "{part}");
        let count = rows(0).rows.len();
        let all = format!(
            "Of the {count} that nothing notices, {count} were searched for in every preset"
        );
        let none =
            format!("Of the {count} that nothing notices, 0 were searched for in every preset");
        assert!(
            whole.contains(&all) && part.contains(&none),
            "{whole}\n{part}"
        );
    }
}
