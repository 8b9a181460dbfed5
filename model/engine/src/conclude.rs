//! The end of a search: traces are rebuilt and the report is written.

use super::checkpoint::Found;
use super::counterexample::{Ending, rebuild};
use super::engine::{End, Violated, Walk, checked};
use super::error::SearchError;
use super::fingerprints;
use super::report::{
    ActionCount, AntecedentCount, Checked, MemorySplit, PairCount, PropertyKind, Report, Trace,
    Verdict, Witness,
};
use super::traits::{Checkable, Judged, StepCondition, judged};

impl<M> Walk<'_, M>
where
    M: Checkable + Sync,
    M::Action: Clone,
{
    /// Rebuilds the traces and writes the report.
    pub fn finish(mut self, end: End) -> Result<Checked<M>, SearchError> {
        let (verdict, counterexample) = match end {
            End::Exhausted => (Verdict::Exhausted, None),
            End::Stopped(stopped_by) => (Verdict::Bounded { stopped_by }, None),
            End::Violated(violated) => {
                let trace = self.counterexample(&violated);
                let trace = self.unless_a_file_fails(trace)?;
                let Violated { property, kind, at } = violated;
                let property = property.to_owned();
                (
                    Verdict::Violated {
                        property,
                        kind,
                        depth: at.depth,
                    },
                    trace,
                )
            }
        };
        let witnesses = self.witnesses()?;
        let report = self.report(verdict);
        Ok(Checked {
            report,
            counterexample,
            witnesses,
            resumed_at: self.resumed_at,
            trouble: self.trouble,
        })
    }

    /// The path, or none if a file of the search could not be read: the verdict stands without it.
    fn unless_a_file_fails(
        &mut self,
        path: Result<Trace<M>, SearchError>,
    ) -> Result<Option<Trace<M>>, SearchError> {
        match path {
            Err(error) if error.is_of_the_disk() => {
                self.trouble.get_or_insert(error);
                Ok(None)
            }
            path => path.map(Some),
        }
    }

    fn witnesses(&mut self) -> Result<Vec<(String, Trace<M>)>, SearchError> {
        let names = self.expander.selected.witnesses();
        let states = self.expander.selected.sometimes.clone();
        let steps = self.expander.selected.step_witnesses.clone();
        let mut traces = Vec::new();
        for (number, name) in names.into_iter().enumerate() {
            let Some(found) = self.position.witnesses[number] else {
                continue;
            };
            let trace = match states.get(number) {
                Some(property) => {
                    self.trace(found, &|model, _, last| (property.condition)(model, last))
                }
                None => {
                    self.step_trace(found, &steps[number - states.len()].condition.clone(), true)
                }
            };
            traces.extend(self.unless_a_file_fails(trace)?.map(|trace| (name, trace)));
        }
        Ok(traces)
    }

    fn counterexample(&mut self, violated: &Violated) -> Result<Trace<M>, SearchError> {
        let Violated { property, kind, at } = violated;
        let selected = &self.expander.selected;
        let each = self.expander.each_state.as_ref();
        if let Some(each) = each.filter(|each| each.name == *property) {
            // Its path ends in the very state that was looked at, unless that is a representative.
            let holds = each.holds;
            let exactly = self.expander.canonical.is_none();
            return self.trace(*at, &|_, _, last| !exactly || !holds(last));
        }
        match kind {
            PropertyKind::State => {
                let condition = selected.always.iter().find(|p| p.name == *property);
                let condition = condition.expect("it was violated").condition;
                self.trace(*at, &|model, _, last| !condition(model, last))
            }
            PropertyKind::Step => {
                let condition = selected.steps.iter().find(|p| p.name == *property);
                let condition = condition.expect("it was violated").condition.clone();
                self.step_trace(*at, &condition, false)
            }
        }
    }

    /// The path to `found`, on whose last step `condition` has this `value`.
    fn step_trace(
        &mut self,
        found: Found,
        condition: &StepCondition<M>,
        value: bool,
    ) -> Result<Trace<M>, SearchError> {
        self.trace(found, &|model, step, after| {
            step.is_some_and(|(before, action)| {
                let holds = |step: &Judged<'_, M>| step.holds(condition);
                judged(model, before, action, after, holds) == value
            })
        })
    }

    fn trace(&mut self, found: Found, ending: Ending<'_, M>) -> Result<Trace<M>, SearchError> {
        let (initial, mut numbers) = self.links.path(found.state)?;
        numbers.extend(found.action);
        let initial = self.position.initial[initial as usize];
        rebuild(
            self.expander.model,
            self.expander.canonical,
            initial,
            &numbers,
            ending,
        )
    }

    fn report(&self, verdict: Verdict) -> Report {
        let model = self.expander.model;
        let (position, total) = (&self.position, &self.position.total);
        let mut time = position.time.clone();
        time.total_seconds = self.before + self.started.elapsed().as_secs_f64();
        let actions = model
            .action_kinds()
            .into_iter()
            .enumerate()
            .map(|(kind, name)| ActionCount {
                kind: name.to_owned(),
                enabled: total.enabled[kind],
                fired: total.fired[kind],
                discovered: total.discovered[kind],
            });
        let antecedents = self.expander.antecedents.iter().zip(&total.antecedents);
        let witnesses = self.expander.selected.witnesses();
        let pairs = if self.expander.coverage {
            model.pairs()
        } else {
            Vec::new()
        };
        let distinct = self.links.states();
        Report {
            model: model.identity(),
            verdict,
            symmetry: self.expander.canonical.is_some(),
            threads: self.options.threads,
            distinct,
            generated: position.initial_generated + total.generated,
            orbit_states: self.expander.orbit_size.map(|_| total.orbit_states),
            depth: position.levels.len() as u32 - 1,
            levels: position.levels.clone(),
            actions: actions.collect(),
            checked: checked(&self.expander.selected, self.expander.each_state.as_ref()),
            witnesses: witnesses
                .into_iter()
                .zip(&position.witnesses)
                .map(|(name, found)| Witness {
                    name,
                    depth: found.map(|found| found.depth),
                })
                .collect(),
            antecedents: antecedents
                .map(|(antecedent, held)| AntecedentCount {
                    property: antecedent.property.to_owned(),
                    held: *held,
                })
                .collect(),
            pairs: pairs
                .into_iter()
                .zip(&total.pairs)
                .map(|(pair, met)| PairCount { pair, met: *met })
                .collect(),
            collision_probability: fingerprints::collision_probability(distinct),
            time,
            memory: MemorySplit {
                disk: self.disk_in_use(),
                ..self.memory.clone()
            },
        }
    }
}
