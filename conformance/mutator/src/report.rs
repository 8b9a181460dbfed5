//! The results of a run: for people, for machines, and as the page `conformance/MUTATION.md`.

use crate::campaign::{Outcome, Results};
use crate::ladder::{End, Side};
use crate::mutant::{Mutant, Operator};
use crate::reasons::{Reasons, Verdict};
use crate::schema::Numbered;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The class that a mutant counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The comparison with the specification sees it.
    Comparison,
    /// Another test sees it.
    Test,
    /// A program did not come to an end with it.
    TimedOut,
    /// It is no change; `reasons.json` says why.
    Equivalent,
    /// Nothing sees it yet; `reasons.json` says what is known of it.
    Open,
    /// Nothing sees it, and nobody has said why.
    Survivor,
    /// It does not compile.
    Unviable,
    /// It was not tried.
    Untried,
}

/// One mutant and what became of it.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// The mutant.
    pub mutant: &'a Mutant,
    /// The class that it counts for.
    pub class: Class,
    /// The outcome, if it was run.
    pub outcome: Option<&'a Outcome>,
    /// Why it is not killed.
    pub why: Option<&'a str>,
}

/// Everything that a run shows.
#[derive(Debug)]
pub struct Report<'a> {
    /// Every mutant.
    pub rows: Vec<Row<'a>>,
    /// The mistakes in the list of reasons.
    pub stale: Vec<String>,
}

/// The number of mutants of each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Score {
    /// The mutants that compile and were tried.
    pub tried: usize,
    /// Seen by the comparison.
    pub comparison: usize,
    /// Seen by another test.
    pub test: usize,
    /// Not coming to an end.
    pub timed_out: usize,
    /// No change.
    pub equivalent: usize,
    /// Not seen, and listed so.
    pub open: usize,
    /// Not seen, and not listed.
    pub survivors: usize,
    /// Not compiling.
    pub unviable: usize,
}

impl Score {
    fn add(&mut self, class: Class) {
        match class {
            Class::Comparison => self.comparison += 1,
            Class::Test => self.test += 1,
            Class::TimedOut => self.timed_out += 1,
            Class::Equivalent => self.equivalent += 1,
            Class::Open => self.open += 1,
            Class::Survivor => self.survivors += 1,
            Class::Unviable => self.unviable += 1,
            Class::Untried => {}
        }
        if !matches!(class, Class::Unviable | Class::Untried) {
            self.tried += 1;
        }
    }

    /// The share of the mutants that change something and are found out, in per cent.
    pub fn percent(&self) -> f64 {
        let changes = self.tried - self.equivalent;
        let killed = self.comparison + self.test + self.timed_out;
        100.0 * killed as f64 / changes.max(1) as f64
    }
}

impl<'a> Report<'a> {
    /// Puts the results and the reasons together. A reason for a mutant that is gone, does not compile or
    /// is killed is stale; only if `all` mutants were tried is it known which ones are gone.
    pub fn new(
        mutants: &'a [Numbered],
        unviable: &BTreeSet<usize>,
        results: &'a Results,
        reasons: &'a Reasons,
    ) -> Report<'a> {
        let mut rows = Vec::new();
        let mut stale = Vec::new();
        let mut known = BTreeSet::new();
        for it in mutants {
            let key = it.mutant.key();
            let reason = reasons.of(&key);
            let outcome = results.of(&key);
            let killed = outcome.map(|it| it.killed.as_ref());
            let class = match killed {
                _ if unviable.contains(&it.number) => Class::Unviable,
                None => Class::Untried,
                Some(Some(kill)) if kill.end == End::TimedOut => Class::TimedOut,
                Some(Some(kill)) if kill.side == Side::Comparison => Class::Comparison,
                Some(Some(_)) => Class::Test,
                Some(None) => match reason {
                    Some((Verdict::Equivalent, _)) => Class::Equivalent,
                    Some(_) => Class::Open,
                    None => Class::Survivor,
                },
            };
            let is_needed = matches!(class, Class::Equivalent | Class::Open | Class::Untried);
            if reason.is_some() && !is_needed {
                stale.push(format!("{key}: it is {class:?} now"));
            }
            known.insert(key);
            rows.push(Row {
                mutant: &it.mutant,
                class,
                outcome,
                why: reason.map(|(_, why)| why),
            });
        }
        let gone = reasons.keys().filter(|key| !known.contains(*key));
        stale.extend(gone.map(|key| format!("{key}: there is no such mutant")));
        Report { rows, stale }
    }

    /// Whether every mutant that nothing sees is explained, and no explanation is out of date.
    pub fn holds(&self) -> bool {
        self.stale.is_empty() && self.of(Class::Survivor).next().is_none()
    }

    /// The mutants of a class.
    pub fn of(&self, class: Class) -> impl Iterator<Item = &Row<'a>> {
        self.rows.iter().filter(move |it| it.class == class)
    }

    /// The score of all mutants.
    pub fn score(&self) -> Score {
        let mut score = Score::default();
        self.rows.iter().for_each(|it| score.add(it.class));
        score
    }

    fn scores<K: Ord>(&self, by: impl Fn(&Row) -> K) -> BTreeMap<K, Score> {
        let mut scores: BTreeMap<K, Score> = BTreeMap::new();
        for row in &self.rows {
            scores.entry(by(row)).or_default().add(row.class);
        }
        scores
    }

    fn rungs(&self) -> Vec<(String, usize)> {
        let mut rungs: BTreeMap<(Side, &str), usize> = BTreeMap::new();
        for row in &self.rows {
            if let Some(kill) = row.outcome.and_then(|it| it.killed.as_ref()) {
                *rungs.entry((kill.side, &kill.rung)).or_default() += 1;
            }
        }
        let mut rungs: Vec<_> = rungs.into_iter().collect();
        rungs.sort_by_key(|((side, _), count)| (*side, std::cmp::Reverse(*count)));
        let named = rungs.into_iter();
        named
            .map(|((_, name), count)| (name.to_owned(), count))
            .collect()
    }

    /// The report for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (title, class) in [
            ("Survivors", Class::Survivor),
            ("Not killed, and listed so", Class::Open),
        ] {
            let rows: Vec<_> = self.of(class).collect();
            if !rows.is_empty() {
                let _ = writeln!(text, "{title}:");
            }
            for row in rows {
                let it = row.mutant;
                let met = row.outcome.map_or(0, |it| it.met);
                let note = match met {
                    0 => " (never run)",
                    _ => "",
                };
                let _ = writeln!(
                    text,
                    "  {} {}:{}:{} {}{note}\n    - {}\n    + {}",
                    it.id(),
                    it.file,
                    it.line,
                    it.column,
                    it.function,
                    it.before,
                    it.after
                );
            }
        }
        for stale in &self.stale {
            let _ = writeln!(text, "stale reason: {stale}");
        }
        let score = self.score();
        let _ = writeln!(
            text,
            "{} mutants tried: {} killed by the comparison, {} by other tests, {} timed out, {} equivalent, \
             {} not killed and listed, {} survivors; {} do not compile\nscore: {:.1} %",
            score.tried,
            score.comparison,
            score.test,
            score.timed_out,
            score.equivalent,
            score.open,
            score.survivors,
            score.unviable,
            score.percent()
        );
        text
    }

    /// The report for machines.
    pub fn json(&self) -> serde_json::Value {
        let rows = self.rows.iter().map(|row| {
            serde_json::json!({
                "id": row.mutant.id(),
                "mutant": row.mutant.key(),
                "file": row.mutant.file,
                "line": row.mutant.line,
                "column": row.mutant.column,
                "operator": row.mutant.operator,
                "class": row.class,
                "killed": row.outcome.and_then(|it| it.killed.as_ref()),
                "why": row.why,
            })
        });
        serde_json::json!({
            "score": self.score(),
            "percent": self.score().percent(),
            "mutants": rows.collect::<Vec<_>>(),
            "stale": self.stale,
        })
    }

    /// The page of the repository, from a run on the sources of a commit.
    pub fn markdown(&self, commit: &str) -> String {
        let score = self.score();
        let names = crate::workspace::CORE.mutated.iter();
        let names: Vec<_> = names.map(|it| format!("`{it}`")).collect();
        let mut text = format!(
            "# Every small change, and what notices it\n\n\
             Generated by `cargo run --release -p lockstep-mutator -- --markdown conformance/MUTATION.md`; do \
             not edit. Each mutant is one mechanical change of the core of the production Raft (`impl/raft/src`: \
             {}). It is *killed by the comparison* if `lockstep replay traces/corpus`, `lockstep conform` with \
             a preset of `verify`, or `lockstep walk` fails with it; *by another test* if etcd's scripts or a \
             test of the production Raft does, having passed the comparison; *equivalent* if somebody has read \
             it and shown that it changes nothing that can be seen, with the reason below. A survivor is \
             noticed by nothing. The score is the share of those that change something and are killed. The run \
             was made on commit {commit}; the page is of that commit, and of no later one.\n\n",
            names.join(", ")
        );
        let _ = writeln!(
            text,
            "**{:.1} %**: of {} mutants that compile, {} are killed by the comparison, {} by another test and \
             {} by a time-out, {} are equivalent, and {} survive. {} more do not compile.\n",
            score.percent(),
            score.tried,
            score.comparison,
            score.test,
            score.timed_out,
            score.equivalent,
            score.open + score.survivors,
            score.unviable
        );
        text.push_str(
            "## By rung\n\nThe first rung that notices a mutant, the cheapest first.\n\n",
        );
        text.push_str("| rung | mutants |\n| --- | ---: |\n");
        for (rung, count) in self.rungs() {
            let _ = writeln!(text, "| {rung} | {count} |");
        }
        text.push_str("\n## By file\n\n");
        table(
            &mut text,
            "file",
            self.scores(|row| row.mutant.file.clone()),
        );
        text.push_str("\n## By kind of change\n\n");
        table(&mut text, "change", self.scores(|row| row.mutant.operator));
        text.push('\n');
        for operator in Operator::ALL {
            let _ = writeln!(text, "* *{operator}*: {}.", operator.what());
        }
        for (title, class) in [
            ("Survivors that nobody has explained", Class::Survivor),
            ("Read, and not killed yet", Class::Open),
            ("Equivalent", Class::Equivalent),
        ] {
            self.list(&mut text, title, class);
        }
        text
    }

    /// The mutants of a class, those with one reason together.
    fn list(&self, text: &mut String, title: &str, class: Class) {
        let mut by_reason: Vec<(&str, Vec<&Row>)> = Vec::new();
        for row in self.of(class) {
            let why = row.why.unwrap_or_default();
            match by_reason.iter_mut().find(|(it, _)| *it == why) {
                Some((_, rows)) => rows.push(row),
                None => by_reason.push((why, vec![row])),
            }
        }
        if by_reason.is_empty() {
            return;
        }
        let count: usize = by_reason.iter().map(|(_, rows)| rows.len()).sum();
        let _ = writeln!(text, "\n## {title}: {count}");
        for (why, rows) in by_reason {
            text.push('\n');
            if !why.is_empty() {
                let _ = writeln!(text, "{why}\n");
            }
            for row in rows {
                let it = row.mutant;
                let _ = writeln!(
                    text,
                    "* `{}` {}, `{}`: `{}` → `{}`",
                    it.id(),
                    it.file,
                    it.function,
                    it.before,
                    it.after
                );
            }
        }
    }
}

fn table<K: std::fmt::Display>(text: &mut String, name: &str, scores: BTreeMap<K, Score>) {
    let _ = writeln!(
        text,
        "| {name} | tried | comparison | other test | time-out | equivalent | survive | do not compile | \
         score |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    for (key, it) in scores {
        let _ = writeln!(
            text,
            "| {key} | {} | {} | {} | {} | {} | {} | {} | {:.1} % |",
            it.tried,
            it.comparison,
            it.test,
            it.timed_out,
            it.equivalent,
            it.open + it.survivors,
            it.unviable,
            it.percent()
        );
    }
}
