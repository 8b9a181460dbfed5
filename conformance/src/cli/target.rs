//! The options that say which implementation, and the one place that knows all of them.

use super::error::CliError;
use clap::Args;
use lockstep_conformance::code::Code;
use lockstep_conformance::divergence::replay_command;
use lockstep_conformance::planted::{Mistake, Planted};
use lockstep_conformance::seeded::Side;
use lockstep_conformance::targets::etcd::{self, EtcdError, StorageWrites};
use lockstep_conformance::targets::exec::{ExecOptions, ExecTarget, Program};
use lockstep_conformance::targets::lockstep_raft::{AsyncLockstepRaft, LockstepRaft};
use lockstep_conformance::targets::raft_rs::RaftRs;
use lockstep_conformance::targets::spec::Spec;
use lockstep_conformance::{Fork, Target, TargetError};
use lockstep_model::{Bounds, Dialect};
use lockstep_traces::Config;
use std::path::Path;
use std::time::Duration;

/// The names that `--target` takes, each with what it is.
pub const TARGETS: [(&str, &str); 7] = [
    (
        "lockstep-raft",
        "the production Raft in `impl/raft/`, in process",
    ),
    (
        "lockstep-raft-async",
        "the same with asynchronous storage writes",
    ),
    ("raft-rs", "TiKV's raft-rs, in process"),
    (
        "etcd",
        "etcd's raft in Go, behind the exec protocol; built when asked for, needs Go",
    ),
    (
        "etcd-async",
        "the same with asynchronous storage writes, which shows what must wait for persistence",
    ),
    (
        "spec",
        "the specification itself: a control, and the way to see whether a trace is current",
    ),
    (
        "exec:CMD",
        "any program that speaks the exec protocol (`conformance/targets/PROTOCOL.md`)",
    ),
];

/// Nobody waits longer for one reply: a year.
const MOST_PATIENCE_SECONDS: u64 = 365 * 24 * 3600;

/// An implementation.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Target")]
pub struct TargetArgs {
    /// The implementation: lockstep-raft, lockstep-raft-async, raft-rs, etcd, etcd-async, spec, or exec:CMD; `lockstep targets` says more
    #[arg(long, value_name = "TARGET", default_value = "lockstep-raft")]
    pub target: String,
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

/// What is done with a target, whichever it is.
pub trait Visit {
    /// What comes of it.
    type Output;

    /// Does it.
    fn visit<T: Target>(self, target: T) -> Result<Self::Output, CliError>;
}

/// What is done with a target that can be copied and digested.
pub trait VisitFork {
    /// What comes of it.
    type Output;

    /// Does it.
    fn visit<T: Target + Sync>(self, target: T) -> Result<Self::Output, CliError>
    where
        T::Server: Fork + Send;
}

/// What is done with the code of a target, as the engine explores it.
pub trait VisitCode {
    /// What comes of it.
    type Output;

    /// The bounds of the exploration.
    fn bounds(&self) -> (Config, Bounds);

    /// Does it.
    fn visit(self, code: Code<'_>) -> Result<Self::Output, CliError>;
}

impl TargetArgs {
    /// The target of that name, without options.
    pub fn named(name: &str) -> TargetArgs {
        TargetArgs {
            target: name.to_owned(),
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

    /// The dialect of the specification that the target is held to.
    pub fn dialect(&self) -> Dialect {
        match self.target.as_str() {
            "raft-rs" => Dialect::RAFT_RS,
            _ => Dialect::ETCD,
        }
    }

    /// The command that repeats a divergence of this target, for a shell.
    pub fn replay_command(&self, file: &Path) -> String {
        let mut command = replay_command(file, &self.target);
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
        match self.target.as_str() {
            "lockstep-raft" => Ok(Some((Side::Implementation, id.clone()))),
            "spec" => Ok(Some((Side::Specification, id.clone()))),
            target => Err(CliError::Usage(format!(
                "bugs are seeded into lockstep-raft and spec, not into {target:?}; the mistakes that any \
                 target can be given are {}",
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
        match self.target.as_str() {
            "spec" => self.plant_and(Spec, visitor),
            "lockstep-raft" => self.plant_and(LockstepRaft, visitor),
            "lockstep-raft-async" => self.plant_and(AsyncLockstepRaft, visitor),
            "raft-rs" => self.plant_and(RaftRs::new(), visitor),
            "etcd" => self.plant_and(self.etcd(StorageWrites::Synchronous)?, visitor),
            "etcd-async" => self.plant_and(self.etcd(StorageWrites::Asynchronous)?, visitor),
            name => match name.strip_prefix("exec:") {
                Some(line) => {
                    let program = Program::parse(line)?;
                    self.plant_and(ExecTarget::start_program(program, self.options())?, visitor)
                }
                None => Err(self.unknown()),
            },
        }
    }

    /// Starts the target, if it can be copied and digested, and hands it over.
    ///
    /// # Errors
    /// There is no such target, it cannot be copied, or the visitor fails.
    pub fn visit_fork<V: VisitFork>(&self, visitor: V) -> Result<V::Output, CliError> {
        match self.target.as_str() {
            "lockstep-raft" => self.plant_and_fork(LockstepRaft, visitor),
            "lockstep-raft-async" => self.plant_and_fork(AsyncLockstepRaft, visitor),
            "spec" => self.plant_and_fork(Spec, visitor),
            _ => Err(self.unknown()),
        }
    }

    /// Starts the target, if it is in this process, and hands its code over.
    ///
    /// # Errors
    /// There is no such target, it is in another process, or the visitor fails.
    pub fn visit_code<V: VisitCode>(&self, visitor: V) -> Result<V::Output, CliError> {
        let (config, bounds) = visitor.bounds();
        match self.target.as_str() {
            "lockstep-raft" => visitor.visit(Code::copied(&LockstepRaft, &config, bounds)?),
            "spec" => visitor.visit(Code::copied(&Spec, &config, bounds)?),
            "raft-rs" => visitor.visit(Code::restored(&RaftRs::new(), &config, bounds)?),
            "etcd" | "etcd-async" => Err(far_away(&self.target)),
            name if name.starts_with("exec:") => Err(far_away(name)),
            _ => Err(self.unknown()),
        }
    }

    /// Whether [`TargetArgs::visit_fork`] knows the target.
    pub fn forks(&self) -> bool {
        matches!(
            self.target.as_str(),
            "lockstep-raft" | "lockstep-raft-async" | "spec"
        )
    }

    fn plant_and<T: Target, V: Visit>(&self, target: T, visitor: V) -> Result<V::Output, CliError> {
        match self.plant {
            Some(Plant::Around(mistake)) => visitor.visit(Planted::new(target, mistake)),
            _ => visitor.visit(target),
        }
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

    fn etcd(&self, writes: StorageWrites) -> Result<ExecTarget, CliError> {
        let cache = etcd::default_cache().map_err(|error| CliError::Usage(error.to_string()))?;
        Ok(etcd::start(&cache, writes, self.options())?)
    }

    /// Starts the target once and asks whether it takes these configurations.
    ///
    /// # Errors
    /// There is no such target, it cannot be started, or it does not take one of them.
    pub fn ready(&self, configs: &[Config]) -> Result<(), CliError> {
        struct Accepts<'a>(&'a [Config]);

        impl Visit for Accepts<'_> {
            type Output = ();

            fn visit<T: Target>(self, target: T) -> Result<(), CliError> {
                let all = self.0.iter().map(|config| target.accepts(config));
                Ok(all.collect::<Result<(), _>>()?)
            }
        }

        self.visit(Accepts(configs))
    }

    fn options(&self) -> ExecOptions {
        ExecOptions {
            reply_timeout: Duration::from_secs(self.reply_timeout),
            ..ExecOptions::default()
        }
    }

    fn unknown(&self) -> CliError {
        let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
        let text = format!(
            "there is no target {:?}; there are {}",
            self.target,
            names.join(", ")
        );
        CliError::Usage(text)
    }
}

fn far_away(target: &str) -> CliError {
    let text = format!(
        "{target} runs in another process, and its code cannot be explored yet; there are \
         lockstep-raft, raft-rs and spec"
    );
    CliError::Usage(text)
}

impl From<EtcdError> for CliError {
    fn from(error: EtcdError) -> CliError {
        match error {
            EtcdError::NoGo(_) => CliError::Skipped {
                target: "etcd",
                why: error.to_string(),
            },
            EtcdError::Target(error) => error.into(),
            _ => CliError::Usage(error.to_string()),
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
