//! The options that say which implementation, and the one place that knows all of them.

use super::error::CliError;
use crate::code::Code;
use crate::divergence::{replay_command, shell_word};
use crate::planted::{Mistake, Planted};
use crate::registry::{AnyKind, AnyTarget, Unavailable};
use crate::seeded::Side;
use crate::target::Needs;
use crate::targets::exec::{ExecOptions, Program};
use crate::walk::{HarnessClock, TickTarget, WalkDivergence};
use crate::{Description, Fork, Target, TargetError, TargetSpec, Targets};
use clap::Args;
use lockstep_model::Bounds;
use lockstep_traces::{Config, FieldSet};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

/// The targets of this process.
static TARGETS: OnceLock<Targets> = OnceLock::new();

/// The name by which a shell calls this program; `lockstep` by default.
static PROGRAM: OnceLock<String> = OnceLock::new();

/// Says by what name this process was started: commands that repeat something begin with it.
pub fn set_program(name: &OsStr) {
    if Path::new(name).file_stem() != Some("lockstep".as_ref()) {
        let _ = PROGRAM.set(shell_word(name).into_owned());
    }
}

/// A command of `lockstep`, as one of this program.
fn of_this_program(command: String) -> String {
    match (PROGRAM.get(), command.strip_prefix("lockstep ")) {
        (Some(program), Some(rest)) => format!("{program} {rest}"),
        _ => command,
    }
}

/// Sets the targets of this process; the first call counts.
pub fn set_targets(targets: Targets) {
    let _ = TARGETS.set(targets);
}

/// The targets of this process; those of `lockstep` if nobody has set others.
pub fn targets() -> &'static Targets {
    TARGETS.get_or_init(Targets::builtin)
}

/// Nobody waits longer for one reply: a year.
const MOST_PATIENCE_SECONDS: u64 = 365 * 24 * 3600;

/// An implementation.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Target")]
pub struct TargetArgs {
    /// The implementation: lockstep-raft, lockstep-raft-async, raft-rs, etcd, etcd-async, either with @VERSION, spec, or exec:CMD; `lockstep targets` says more
    #[arg(long, value_name = "TARGET", default_value = "lockstep-raft")]
    pub target: TargetSpec,
    /// Seconds that a program behind the exec protocol may take for one reply
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=MOST_PATIENCE_SECONDS))]
    reply_timeout: u64,
    /// Inputs that the target has no way to receive are no failure; they are counted and named
    #[arg(long)]
    pub partial: bool,
    /// Seed a bug of the catalogue into lockstep-raft or spec, such as EL-01: builds a copy of the sources, so
    /// it needs a checkout. conformance/seeded/ has the lists. Or put a mistake around any target, such
    /// as wrong_state, to see that it is caught
    #[arg(long, value_name = "ID", value_parser = |text: &str| Ok::<_, std::convert::Infallible>(plant(text)))]
    plant: Option<Plant>,
}

/// A mistake that is added to a target.
#[derive(Clone, Debug)]
enum Plant {
    /// Around it, at its border.
    Around(Mistake),
    /// Within it: a seeded bug, by its name.
    Within(String),
}

/// An operation on a target of any type.
pub trait Visit {
    /// The result.
    type Output;

    /// Does it.
    fn visit<T: Target>(self, target: T) -> Result<Self::Output, CliError>;
}

/// An operation on a target that can be copied and digested.
pub trait VisitFork {
    /// The result.
    type Output;

    /// Does it.
    fn visit<T: Target + Sync>(self, target: T) -> Result<Self::Output, CliError>
    where
        T::Server: Fork + Send;
}

/// An operation on the code of a target, as the engine explores it.
pub trait VisitCode {
    /// The result.
    type Output;

    /// The bounds of the exploration.
    fn bounds(&self) -> (Config, Bounds);

    /// Does it.
    fn visit(self, code: Code<'_>) -> Result<Self::Output, CliError>;

    /// Does nothing, since the target does not have this, which the model needs.
    fn lacks(self, lacks: &str) -> Self::Output;
}

impl TargetArgs {
    /// That target, without options.
    pub fn of(spec: &TargetSpec) -> TargetArgs {
        TargetArgs {
            target: spec.clone(),
            reply_timeout: ExecOptions::default().reply_timeout.as_secs(),
            partial: false,
            plant: None,
        }
    }

    /// The same with a seeded bug, or with a deliberate mistake around it, if one is named.
    #[must_use]
    pub fn planted(mut self, name: Option<&str>) -> TargetArgs {
        self.plant = name.map(plant);
        self
    }

    /// The command that repeats a divergence of this target, for a shell.
    pub fn replay_command(&self, file: &Path) -> String {
        let again = replay_command(file, &self.target.to_string());
        of_this_program(again) + &self.options_again()
    }

    /// The command that repeats a walk from its seed, timers included, for a shell.
    pub fn walk_command(&self, found: &WalkDivergence) -> String {
        let target = shell_word(self.target.to_string().as_ref()).into_owned();
        let again = of_this_program(found.command());
        format!("{again} --target {target}{}", self.options_again())
    }

    /// The options beside the target itself, as they were given.
    pub fn options_again(&self) -> String {
        let mut command = String::new();
        let patience = ExecOptions::default().reply_timeout.as_secs();
        if self.reply_timeout != patience {
            command += &format!(" --reply-timeout {}", self.reply_timeout);
        }
        if self.partial {
            command += " --partial";
        }
        let name = match &self.plant {
            None => None,
            Some(Plant::Around(mistake)) => mistake_name(mistake),
            Some(Plant::Within(id)) => Some(id.clone()),
        };
        if let Some(name) = name {
            command += &format!(" --plant {name}");
        }
        command
    }

    /// The bug that is seeded into the target, and the text that it is in.
    ///
    /// # Errors
    /// A seeded bug is asked for in a target that has none.
    pub fn seeded(&self) -> Result<Option<(Side, String)>, CliError> {
        let Some(Plant::Within(id)) = &self.plant else {
            return Ok(None);
        };
        match targets().seeds(&self.target) {
            Some(side) => Ok(Some((side, id.clone()))),
            None => Err(CliError::Usage(format!(
                "bugs are seeded into lockstep-raft and spec, not into {:?}; the mistakes that any \
                 target can be given are {}",
                self.target.to_string(),
                Mistake::ALL
                    .iter()
                    .filter_map(mistake_name)
                    .collect::<Vec<_>>()
                    .join(", ")
            ))),
        }
    }

    /// The same, for a comparison with the specification.
    ///
    /// # Errors
    /// A seeded bug is asked for in a target that has none, or in the specification, which would be compared
    /// with itself.
    pub fn seeded_beside_the_specification(&self) -> Result<Option<(Side, String)>, CliError> {
        match self.seeded()? {
            Some((Side::Specification, id)) => Err(CliError::Usage(format!(
                "the specification would be compared with itself, with the bug on both sides: \
                 `lockstep check --plant {id}` looks for it with properties"
            ))),
            other => Ok(other),
        }
    }

    /// Starts the target and hands it over.
    ///
    /// # Errors
    /// There is no such target, it cannot be started, or the visitor fails.
    pub fn visit<V: Visit>(&self, visitor: V) -> Result<V::Output, CliError> {
        visitor.visit(self.start()?)
    }

    /// Asks the target what it is.
    ///
    /// # Errors
    /// There is no such target, or it cannot be started.
    pub fn describe(&self) -> Result<Description, CliError> {
        let target = targets().start(&self.target, &self.options())?;
        Ok(target.driven().description())
    }

    /// Starts the target, with the mistake around it that was asked for.
    ///
    /// # Errors
    /// There is no such target, it cannot be started, or it shows nothing.
    pub fn start(&self) -> Result<AnyTarget, CliError> {
        let target = targets().start(&self.target, &self.options())?.driven();
        shows_a_field(&target)?;
        Ok(match self.plant {
            Some(Plant::Around(mistake)) => AnyTarget::driven(Planted::new(target, mistake)),
            _ => target,
        })
    }

    /// Starts the target for a walk by ticks: with its own timers, if it keeps any and there is no mistake around
    /// it, or with the clock of the harness. The second value says which.
    ///
    /// # Errors
    /// There is no such target, it cannot be started, or it shows nothing.
    pub fn ticking(&self) -> Result<(Box<dyn TickTarget>, bool), CliError> {
        let own = match self.plant {
            Some(Plant::Around(_)) => None,
            _ => targets().ticks(&self.target, &self.options())?,
        };
        match own {
            Some(target) => {
                shown(&target.description())?;
                Ok((target, true))
            }
            None => Ok((Box::new(HarnessClock(self.start()?)), false)),
        }
    }

    /// Whether the target keeps its timers itself.
    pub fn keeps_timers(&self) -> bool {
        targets().keeps_timers(&self.target)
    }

    /// Starts the target, if it can be copied and digested, and hands it over.
    ///
    /// # Errors
    /// There is no such target, it cannot be copied, or the visitor fails.
    pub fn visit_fork<V: VisitFork>(&self, visitor: V) -> Result<V::Output, CliError> {
        match targets().start(&self.target, &self.options())? {
            AnyKind::Copied(target) => {
                shows_a_field(&target)?;
                self.plant_and_fork(target, visitor)
            }
            _ => Err(CliError::Usage(format!(
                "{} cannot be used here: its servers cannot be copied",
                self.target
            ))),
        }
    }

    /// Starts the target, if its states can be told apart, and hands its code over.
    ///
    /// # Errors
    /// There is no such target, its code cannot be explored, or the visitor fails.
    pub fn visit_code<V: VisitCode>(&self, visitor: V) -> Result<V::Output, CliError> {
        let (config, bounds) = visitor.bounds();
        let needs = Needs::of_model(&config, &bounds);
        self.explored()?;
        match targets().start(&self.target, &self.options())? {
            AnyKind::Copied(target) => {
                shows_a_field(&target)?;
                match (target.lacks(&needs).as_slice(), &self.plant) {
                    ([], Some(Plant::Around(mistake))) => {
                        let target = Planted::new(target, *mistake);
                        visitor.visit(Code::copied(&target, &config, bounds)?)
                    }
                    ([], _) => visitor.visit(Code::copied(&target, &config, bounds)?),
                    (lacks, _) => Ok(visitor.lacks(&lacks.join(", "))),
                }
            }
            AnyKind::Digested(target) => {
                shows_a_field(&target)?;
                match target.lacks(&needs).as_slice() {
                    [] => visitor.visit(Code::restored(&target, &config, bounds)?),
                    lacks => Ok(visitor.lacks(&lacks.join(", "))),
                }
            }
            AnyKind::Driven(_) => Err(self.unexplored()),
        }
    }

    /// Checks that [`TargetArgs::visit_code`] takes the target. It need not be built or started to be refused.
    ///
    /// # Errors
    /// It does not take it.
    pub fn explored(&self) -> Result<(), CliError> {
        match targets().explores(&self.target) {
            Some(false) => Err(self.unexplored()),
            // Whoever starts it says that there is none of that name.
            Some(true) | None => Ok(()),
        }
    }

    /// Whether [`TargetArgs::visit_code`] takes the target as it is asked for: a mistake can be put around a target only
    /// if that is copied.
    pub fn is_explored(&self) -> bool {
        let around = matches!(self.plant, Some(Plant::Around(_)));
        targets().explores(&self.target) == Some(true) && (self.forks() || !around)
    }

    /// Whether [`TargetArgs::visit_fork`] takes the target.
    pub fn forks(&self) -> bool {
        targets().copies(&self.target)
    }

    fn plant_and_fork<T: Target + Sync, V: VisitFork>(
        &self,
        target: T,
        visitor: V,
    ) -> Result<V::Output, CliError>
    where
        T::Server: Fork + Send,
    {
        match self.plant {
            Some(Plant::Around(mistake)) => visitor.visit(Planted::new(target, mistake)),
            _ => visitor.visit(target),
        }
    }

    /// The program, with its command line, of a target behind the exec protocol.
    pub fn program(&self) -> Option<(&Program, &str)> {
        match &self.target {
            TargetSpec::Exec { program, line } => Some((program, line)),
            TargetSpec::Named(_) => None,
        }
    }

    /// Returns the options for a program behind the exec protocol, such as its time limit.
    pub fn options(&self) -> ExecOptions {
        ExecOptions {
            reply_timeout: Duration::from_secs(self.reply_timeout),
            ..ExecOptions::default()
        }
    }

    fn unexplored(&self) -> CliError {
        CliError::Usage(format!(
            "the code of {} cannot be explored: it runs in another process, or its servers can be neither copied \
             nor identified by a digest. Choose one of {}",
            self.target,
            targets().explored().join(", ")
        ))
    }
}

/// Refuses a target that shows no field of its own: it would agree with everything.
fn shows_a_field(target: &impl Target) -> Result<(), CliError> {
    shown(&target.description())
}

fn shown(description: &Description) -> Result<(), CliError> {
    if description.compared() != FieldSet::NONE {
        return Ok(());
    }
    let Description { name, version, .. } = description;
    Err(CliError::Input(format!(
        "nothing can be compared: the target {name} {version} shows no field that it reads directly"
    )))
}

/// Why a preset or a trace is not applicable.
pub fn lacks_text(lacks: &str) -> String {
    format!("the target does not have {lacks}")
}

impl From<Unavailable> for CliError {
    fn from(error: Unavailable) -> CliError {
        match error {
            Unavailable::Missing { name, why } => CliError::Skipped { target: name, why },
            Unavailable::Target(error) => error.into(),
            error => CliError::Usage(error.to_string()),
        }
    }
}

impl From<TargetError> for CliError {
    fn from(error: TargetError) -> CliError {
        match error {
            TargetError::Interrupted => CliError::Interrupted,
            error => CliError::Usage(error.to_string()),
        }
    }
}

fn plant(text: &str) -> Plant {
    let named = |mistake: &Mistake| mistake_name(mistake).as_deref() == Some(text);
    let found = Mistake::ALL.into_iter().find(named).map(Plant::Around);
    // Only the build with the seeded bugs knows their names.
    found.unwrap_or_else(|| Plant::Within(text.to_owned()))
}

/// The name of a mistake on the command line.
fn mistake_name(mistake: &Mistake) -> Option<String> {
    let value = serde_json::to_value(mistake).ok()?;
    value.as_str().map(str::to_owned)
}
