//! `lockstep check --recovery`: from every reachable state a fair schedule brings the cluster back.

use super::check::{self, CheckArgs, LimitArgs, limited, room_on_disk};
use super::counterexample;
use super::error::CliError;
use super::model::Chosen;
use super::progress::Reporter;
use super::side_file::SideFile;
use crate::divergence::replay_command;
use crate::path::{steps_along, steps_from};
use crate::report::steps::{StepTable, count};
use crate::report::{Job, Table};
use crate::show::Story;
use crate::words::event;
use lockstep_engine::{Report, Search, Verdict};
use lockstep_model::recovery::{Exclusion, Failure, NAME, Recovery};
use lockstep_model::{Cluster, ClusterState, Dialect};
use lockstep_traces::Trace;

/// The presets of which `verify` tries every state as well: small ones, 470,000 states together.
pub const OF_VERIFY: [&str; 16] = [
    "smoke",
    "narrow",
    "four",
    "single",
    "simple-change",
    "joint",
    "replacement",
    "async-single",
    "async-crash",
    "async-join",
    "async-read",
    "read-restart",
    "read-single",
    "read-removal",
    "read-joint",
    "lease-stale",
];

/// Whether `verify` tries the states of a preset.
pub fn is_of_verify(preset: &str) -> bool {
    OF_VERIFY.contains(&preset)
}

/// The check of a model with every state tried.
///
/// # Errors
/// The search cannot be done.
pub fn run(
    args: &CheckArgs,
    chosen: &Chosen,
    limits: &LimitArgs,
    trace_out: Option<&SideFile>,
    progress: &Reporter,
) -> Result<(Job, Option<Report>), CliError> {
    let room = room_on_disk(limits)?;
    let mut search = limited(&chosen.cluster, limits, &chosen.name, progress);
    if let Some(room) = &room {
        search = search.spill_folder(room.path());
    }
    if !args.only.is_empty() {
        search = search.only(args.only.iter().cloned());
    }
    let (mut job, report, trace) = try_states(chosen, search)?;
    for (what, why) in BY_CONSTRUCTION {
        job.notes
            .push(format!("recovery does not try {what}: {why}"));
    }
    if let (Some(file), Some(trace)) = (trace_out, &trace) {
        counterexample::keep(&mut job, trace, file, progress, |path| {
            // No target is the specification with a departure.
            let again = (args.dialect() == Dialect::ETCD).then(|| {
                let again = replay_command(path, "spec") + &args.plant.command_line();
                ("the counterexample, again", again)
            });
            again.into_iter().collect()
        });
    }
    Ok((job, Some(report)))
}

/// Runs a search of a model with every state tried.
///
/// # Errors
/// The search cannot be done.
pub fn tried(chosen: &Chosen, search: Search<'_, Cluster>) -> Result<(Job, Report), CliError> {
    let (job, report, _) = try_states(chosen, search)?;
    Ok((job, report))
}

fn try_states(
    chosen: &Chosen,
    search: Search<'_, Cluster>,
) -> Result<(Job, Report, Option<Trace>), CliError> {
    let recovery = Recovery::new(chosen.cluster.settings());
    let holds = |state: &ClusterState| recovery.comes_back(state);
    let mut checked = search.each_state(NAME, &holds).run()?;
    let mut job = check::job(chosen, &checked)?;
    describe(&mut job, &recovery, &checked.report.verdict);
    let verdict = &checked.report.verdict;
    let trace = checked.counterexample.as_ref().map(|found| {
        match failure(verdict, &recovery, found.last()) {
            Some(failure) => show(&mut job, chosen, &recovery, found, &failure),
            None => check::trace_of("counterexample", chosen, verdict, found),
        }
    });
    // It has no case in which it says nothing, so that nobody counts how often it said something.
    checked.report.checked.retain(|name| name != NAME);
    Ok((job, checked.report, trace))
}

/// The schedule by which the cluster does not come back, if that is what was found.
fn failure(verdict: &Verdict, recovery: &Recovery, state: &ClusterState) -> Option<Failure> {
    let violated = matches!(verdict, Verdict::Violated { property, .. } if property == NAME);
    violated.then(|| recovery.failure(state)).flatten()
}

/// Adds to the job of a search what trying its states came to.
fn describe(job: &mut Job, recovery: &Recovery, verdict: &Verdict) {
    let tally = recovery.tally();
    let bound = recovery.most_rounds();
    if *verdict == Verdict::Exhausted {
        let excluded: u64 = tally.excluded.iter().sum();
        let but = match excluded {
            0 => String::new(),
            excluded => format!(" but {excluded} that are excluded by design"),
        };
        job.verdict = format!(
            "{}, and back from every state{but} within {} of {bound} rounds, in each of {} orders",
            job.verdict, tally.longest, tally.orders
        );
    }
    job.fact("recovery: states tried", tally.tried);
    job.fact("recovery: orders of the servers", tally.orders);
    job.fact("recovery: bound, in rounds", bound);
    job.fact("recovery: most rounds needed", tally.longest);
    if tally.lock_step > 0 {
        let text = "recovery: states that split votes for ever unless timers fire twice in a row";
        job.fact(text, tally.lock_step);
    }
    job.fact("recovery: states added", tally.starts);
    job.fact("recovery: rounds executed", tally.rounds);
    job.fact(
        "recovery: seconds, of all threads",
        (tally.seconds * 100.0).round() / 100.0,
    );
    for (exclusion, states) in Exclusion::ALL.into_iter().zip(tally.excluded) {
        if states > 0 {
            let text = format!("recovery: excluded, {}", exclusion.reason());
            job.fact(&text, states);
        }
    }
}

/// Shows the way to the state and the schedule from there on, and returns both as a trace.
fn show(
    job: &mut Job,
    chosen: &Chosen,
    recovery: &Recovery,
    found: &lockstep_engine::Trace<Cluster>,
    failure: &Failure,
) -> Trace {
    let actions: Vec<_> = found.actions().copied().collect();
    let mut steps = steps_along(&chosen.cluster, &actions);
    let to_state = steps.len();
    let unbounded = recovery.unbounded();
    let mut state = found.last().clone();
    let mut rows = Vec::new();
    for (number, round) in failure.rounds.iter().enumerate() {
        let taken = steps_from(&unbounded, &mut state, &round.actions);
        let first = taken
            .first()
            .map_or("nothing".to_owned(), |step| event(&step.event));
        let repeats = failure.repeats_from == Some(number);
        rows.push(vec![
            number.into(),
            format!("{} to {}", steps.len() + 1, steps.len() + taken.len()).into(),
            first.into(),
            round.lack.to_string().into(),
            if repeats { "from here on" } else { "" }.into(),
        ]);
        steps.extend(taken);
    }
    let order: Vec<_> = failure
        .order
        .iter()
        .map(|id| id.get().to_string())
        .collect();
    let says = match failure.repeats_from {
        Some(from) => format!(
            "{} after round {}; from round {from} on the schedule repeats itself, up to a shift of terms and indexes",
            failure.lack,
            failure.rounds.len() - 1
        ),
        None => format!("{} after {} rounds", failure.lack, failure.rounds.len() - 1),
    };
    let title = format!(
        "A shortest path to a state from which the cluster does not come back, {}, and the schedule in the order {}",
        count(to_state),
        order.join(", ")
    );
    let config = chosen.cluster.settings().config();
    let mut story = Story::of_steps(&config, &steps);
    story.name = "the cluster does not come back".to_owned();
    story.purpose = format!("{title}: {says}.");
    job.steps = Some(StepTable::new(title, &config, &steps));
    job.story = Some(Box::new(story));
    let columns = [
        "round",
        "steps",
        "begins with",
        "lacking after it",
        "repeats",
    ];
    let rounds = Table::new("The rounds of the schedule", &columns, rows);
    job.tables.insert(0, rounds.shown());
    if let Some(case) = job.cases.iter_mut().find(|case| case.name == NAME) {
        case.message = Some(format!(
            "after {} and a fair schedule: {says}",
            count(to_state)
        ));
    }
    let purpose = format!("{}: {says}", chosen.name);
    Trace {
        header: check::header(chosen, "no-recovery", &purpose),
        steps,
    }
}

/// The events that no schedule has, each with the reason.
const BY_CONSTRUCTION: [(&str, &str); 3] = [
    (
        "a removed server that goes on asking for votes",
        "without CheckQuorum nothing stops it but its operator, so that only voters of the newest committed \
         configuration have timers",
    ),
    (
        "wiped members",
        "a member that lost what was durable is another server under the same name",
    ),
    (
        "ForgetLeader repeated for ever",
        "it is a call of an operator, who has to stop",
    ),
];
