//! A violated property for people: the sentence, the values that break it, the way there.

use crate::properties::Violation;
use crate::report::steps::StepTable;
use crate::report::{Job, Status, sentence};
use crate::show::Story;
use lockstep_traces::{Config, Step};

/// Explains a violation in a job: every verb that finds one shows the same. The path ends with the step that
/// violates the property.
pub fn describe(
    job: &mut Job,
    violation: Violation,
    title: String,
    config: &Config,
    steps: &[Step],
) {
    let steps = &steps[..violation.step.min(steps.len())];
    let mut story = Story::of_steps(config, steps);
    story.name = format!("{} is violated", violation.property);
    story.purpose = format!("{title}: {}", violation.says);
    job.steps = Some(StepTable::new(title, config, steps));
    job.story = Some(Box::new(story));
    super::divergence::name_rules(job, config, steps);
    let text = sentence(&violation);
    match job
        .cases
        .iter_mut()
        .find(|case| case.name == violation.property)
    {
        Some(case) => case.message = Some(text),
        None => job.failed(&violation.property, Status::Violated, text),
    }
    job.violations.push(violation);
}
