//! The implementations that a program knows by name, and what can be done with each.
//!
//! The command line is generic over nothing: whatever a target is, it is reached through [`AnyTarget`], and
//! through [`AnyCopied`] or [`AnyDigested`] if its servers can be copied, or told apart by a digest. A program
//! of one's own adds its target to those that are there:
//!
//! ```no_run
//! use lockstep_conformance::{Targets, cli};
//! # use lockstep_conformance::targets::lockstep_raft::LockstepRaft as MyRaft;
//!
//! fn main() -> std::process::ExitCode {
//!     cli::main(Targets::builtin().with("mine", || MyRaft))
//! }
//! ```

use crate::seeded::Side;
use crate::target::{
    Description, DialectUse, Digest, Fork, Needs, Reaction, Run, Script, Target, TargetError,
    TargetServer,
};
use crate::targets::etcd::{self, EtcdError, StorageWrites, Version};
use crate::targets::exec::{ExecOptions, ExecTarget, Program};
use crate::targets::lockstep_raft::{AsyncLockstepRaft, LockstepRaft};
use crate::targets::raft_rs::RaftRs;
use crate::targets::spec::Spec;
use crate::walk::TickTarget;
use lockstep_model::Dialect;
use lockstep_traces::{Config, Input, NodeView, ServerId, Trace};
use std::fmt;
use std::str::FromStr;

/// A target of any kind.
pub type AnyTarget = Erased<dyn TargetServer>;

/// A target of any kind whose servers can be copied.
pub type AnyCopied = Erased<dyn Copied>;

/// A target of any kind whose servers have a digest.
pub type AnyDigested = Erased<dyn Digest>;

/// The targets of a program, by name.
pub struct Targets(Vec<Entry>);

struct Entry {
    name: String,
    about: String,
    /// The text that a bug of the catalogue can be seeded into.
    seeds: Option<Side>,
    kind: Kind,
    /// The same target, whose servers keep their timers themselves.
    ticks: Option<Make<Box<dyn TickTarget>>>,
}

type Make<T> = Box<dyn Fn(&ExecOptions) -> Result<T, Unavailable> + Send + Sync>;

enum Kind {
    Driven(Make<AnyTarget>),
    Copied(Make<AnyCopied>),
    Digested(Make<AnyDigested>),
}

/// A target, with all that can be done with its servers.
pub enum AnyKind {
    /// They can be driven.
    Driven(AnyTarget),
    /// They can be copied, too, and have a digest.
    Copied(AnyCopied),
    /// They have a digest, too.
    Digested(AnyDigested),
}

impl AnyKind {
    /// The same, to be driven only.
    pub fn driven(self) -> AnyTarget {
        match self {
            AnyKind::Driven(target) => target,
            AnyKind::Copied(target) => AnyTarget::driven(target),
            AnyKind::Digested(target) => AnyTarget::driven(target),
        }
    }
}

/// Why a target cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// No target has this name.
    #[error("there is no target {name:?}; there are {}", known.join(", "))]
    Unknown {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// It needs something that this machine does not have, and nobody insists on it.
    #[error("{why}")]
    Missing {
        /// The target.
        name: String,
        /// The missing part.
        why: String,
    },
    /// It cannot be started.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// It cannot be built.
    #[error("{0}")]
    Other(String),
}

/// The target on the command line: one that the program knows, or another program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetSpec {
    /// The target of this name.
    Named(String),
    /// `exec:CMD`: the program behind the exec protocol that this command line starts.
    Exec {
        /// The program.
        program: Program,
        /// The command line as it was given.
        line: String,
    },
}

impl FromStr for TargetSpec {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<TargetSpec, TargetError> {
        Ok(match text.strip_prefix("exec:") {
            Some(line) => TargetSpec::Exec {
                program: Program::parse(line)?,
                line: line.to_owned(),
            },
            None => TargetSpec::Named(text.to_owned()),
        })
    }
}

impl fmt::Display for TargetSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetSpec::Named(name) => f.write_str(name),
            TargetSpec::Exec { line, .. } => write!(f, "exec:{line}"),
        }
    }
}

impl Targets {
    /// No target but `exec:CMD`, which every program has.
    pub fn none() -> Targets {
        Targets(Vec::new())
    }

    /// The targets of the program `lockstep`.
    pub fn builtin() -> Targets {
        Targets::none()
            .with_fork("lockstep-raft", || LockstepRaft)
            .about("the production Raft in `impl/raft/`, in process")
            .ticking(|| LockstepRaft)
            .seeded(Side::Implementation)
            .with_fork("lockstep-raft-async", || AsyncLockstepRaft)
            .about("the same with asynchronous storage writes")
            .with_digest("raft-rs", RaftRs::new)
            .about("TiKV's raft-rs, in process")
            .ticking(RaftRs::new)
            .with_etcd(
                "etcd",
                StorageWrites::Synchronous,
                "etcd's raft in Go, behind the exec protocol; built when asked for, needs Go",
            )
            .with_etcd(
                "etcd-async",
                StorageWrites::Asynchronous,
                "the same with asynchronous storage writes, which shows what must wait for persistence",
            )
            .with_fork("spec", || Spec)
            .about("the specification itself: a control, and the way to see whether a trace is current")
            .seeded(Side::Specification)
    }

    /// These, and one more. `make` is called for every piece of work. A target of the same name is replaced.
    #[must_use]
    pub fn with<T, F>(self, name: &str, make: F) -> Targets
    where
        T: Target + Send + Sync + 'static,
        T::Server: 'static,
        F: Fn() -> T + Send + Sync + 'static,
    {
        let make = move |_: &ExecOptions| Ok(AnyTarget::driven(make()));
        self.entry(name, Kind::Driven(Box::new(make)))
    }

    /// These, and one more whose servers can be copied: it can be exhausted, and its code explored.
    #[must_use]
    pub fn with_fork<T, F>(self, name: &str, make: F) -> Targets
    where
        T: Target + Send + Sync + 'static,
        T::Server: Fork + Send + 'static,
        F: Fn() -> T + Send + Sync + 'static,
    {
        let make = move |_: &ExecOptions| Ok(AnyCopied::copied(make()));
        self.entry(name, Kind::Copied(Box::new(make)))
    }

    /// These, and one more whose servers have a digest: its code can be explored.
    #[must_use]
    pub fn with_digest<T, F>(self, name: &str, make: F) -> Targets
    where
        T: Target + Send + Sync + 'static,
        T::Server: Digest + 'static,
        F: Fn() -> T + Send + Sync + 'static,
    {
        let make = move |_: &ExecOptions| Ok(AnyDigested::digested(make()));
        self.entry(name, Kind::Digested(Box::new(make)))
    }

    /// The newest version under that name, and each version under the name with `@` and the version.
    fn with_etcd(self, name: &str, writes: StorageWrites, about: &str) -> Targets {
        let newest = self.with_etcd_version(name, Version::default(), writes);
        let targets = newest.about(about);
        Version::ALL.into_iter().fold(targets, |targets, version| {
            let full = format!("{name}@{}", version.name());
            let about = format!("{name} with version {} of the library", version.name());
            let targets = targets.with_etcd_version(&full, version, writes);
            targets.about(&about)
        })
    }

    fn with_etcd_version(self, name: &str, version: Version, writes: StorageWrites) -> Targets {
        let start = move |options: &ExecOptions| start_etcd(version, writes, *options);
        let make = move |options: &ExecOptions| start(options).map(AnyTarget::driven);
        let mut targets = self.entry(name, Kind::Driven(Box::new(make)));
        if let Some(last) = targets.0.last_mut() {
            last.ticks = Some(Box::new(move |options| Ok(Box::new(start(options)?))));
        }
        targets
    }

    fn entry(mut self, name: &str, kind: Kind) -> Targets {
        self.0.retain(|it| it.name != name);
        self.0.push(Entry {
            name: name.to_owned(),
            about: "a target of this program".to_owned(),
            seeds: None,
            kind,
            ticks: None,
        });
        self
    }

    /// These, with a sentence about the last one, for `lockstep targets`.
    #[must_use]
    pub fn about(mut self, text: &str) -> Targets {
        if let Some(last) = self.0.last_mut() {
            text.clone_into(&mut last.about);
        }
        self
    }

    /// These; the servers of the last one keep their timers themselves, and `lockstep walk` drives them by ticks.
    #[must_use]
    pub fn ticking<T, F>(mut self, make: F) -> Targets
    where
        T: TickTarget + 'static,
        F: Fn() -> T + Send + Sync + 'static,
    {
        if let Some(last) = self.0.last_mut() {
            last.ticks = Some(Box::new(move |_| Ok(Box::new(make()))));
        }
        self
    }

    fn seeded(mut self, side: Side) -> Targets {
        if let Some(last) = self.0.last_mut() {
            last.seeds = Some(side);
        }
        self
    }

    /// Every name, with what it is.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|it| (it.name.as_str(), it.about.as_str()))
    }

    /// Whether the servers of a target can be copied.
    pub fn copies(&self, spec: &TargetSpec) -> bool {
        match spec {
            TargetSpec::Named(name) => {
                let found = self.find(name);
                found.is_some_and(|it| matches!(it.kind, Kind::Copied(_)))
            }
            TargetSpec::Exec { .. } => false,
        }
    }

    /// Starts a target whose servers keep their timers themselves; `None` for every other one. A program says whether
    /// its servers do.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn ticks(
        &self,
        spec: &TargetSpec,
        options: &ExecOptions,
    ) -> Result<Option<Box<dyn TickTarget>>, Unavailable> {
        match spec {
            TargetSpec::Named(name) => {
                let make = self.find(name).and_then(|it| it.ticks.as_ref());
                make.map(|make| make(options)).transpose()
            }
            TargetSpec::Exec { program, .. } => {
                let target = ExecTarget::start_program(program.clone(), *options)?;
                Ok(target
                    .ticks()
                    .then(|| Box::new(target) as Box<dyn TickTarget>))
            }
        }
    }

    /// Whether the servers of a target of this program keep their timers themselves. It is not started.
    pub fn keeps_timers(&self, spec: &TargetSpec) -> bool {
        match spec {
            TargetSpec::Named(name) => self.find(name).is_some_and(|it| it.ticks.is_some()),
            TargetSpec::Exec { .. } => false,
        }
    }

    /// Returns whether the code of a target can be explored; `None` if there is no such target.
    pub fn explores(&self, spec: &TargetSpec) -> Option<bool> {
        match spec {
            TargetSpec::Named(name) => Some(!matches!(self.find(name)?.kind, Kind::Driven(_))),
            TargetSpec::Exec { .. } => Some(false),
        }
    }

    /// The names of the targets whose code can be explored.
    pub fn explored(&self) -> Vec<&str> {
        let entries = self.0.iter();
        let explored = entries.filter(|it| !matches!(it.kind, Kind::Driven(_)));
        explored.map(|it| it.name.as_str()).collect()
    }

    /// The text that a bug of the catalogue is seeded into, for a target that has one.
    pub fn seeds(&self, spec: &TargetSpec) -> Option<Side> {
        match spec {
            TargetSpec::Named(name) => self.find(name)?.seeds,
            TargetSpec::Exec { .. } => None,
        }
    }

    /// Starts a target.
    ///
    /// # Errors
    ///
    /// There is no such target, or it cannot be started.
    pub fn start(&self, spec: &TargetSpec, options: &ExecOptions) -> Result<AnyKind, Unavailable> {
        let name = match spec {
            TargetSpec::Named(name) => name,
            TargetSpec::Exec { program, .. } => {
                let target = ExecTarget::start_program(program.clone(), *options)?;
                return Ok(AnyKind::Driven(AnyTarget::driven(target)));
            }
        };
        let entry = self.known(name)?;
        Ok(match &entry.kind {
            Kind::Driven(make) => AnyKind::Driven(make(options)?),
            Kind::Copied(make) => AnyKind::Copied(make(options)?),
            Kind::Digested(make) => AnyKind::Digested(make(options)?),
        })
    }

    /// Checks the name of a target, without starting it. A program is always taken for one.
    ///
    /// # Errors
    ///
    /// There is no such target.
    pub fn check(&self, spec: &TargetSpec) -> Result<(), Unavailable> {
        match spec {
            TargetSpec::Named(name) => self.known(name).map(|_| ()),
            TargetSpec::Exec { .. } => Ok(()),
        }
    }

    fn known(&self, name: &str) -> Result<&Entry, Unavailable> {
        self.find(name).ok_or_else(|| {
            let known = self.0.iter().map(|it| it.name.clone());
            Unavailable::Unknown {
                name: name.to_owned(),
                known: known.chain(["exec:CMD".to_owned()]).collect(),
            }
        })
    }

    fn find(&self, name: &str) -> Option<&Entry> {
        self.0.iter().find(|it| it.name == name)
    }
}

fn start_etcd(
    version: Version,
    writes: StorageWrites,
    options: ExecOptions,
) -> Result<ExecTarget, Unavailable> {
    let cache = etcd::default_cache().map_err(|it| Unavailable::Other(it.to_string()))?;
    etcd::start(&cache, version, writes, options).map_err(|error| match error {
        EtcdError::Target(error) => error.into(),
        error @ EtcdError::NoGo(_) => Unavailable::Missing {
            // What needs Go is the library, in any version and mode.
            name: "etcd".to_owned(),
            why: error.to_string(),
        },
        error => Unavailable::Other(error.to_string()),
    })
}

impl fmt::Debug for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// A server that can be copied, behind a pointer.
pub trait Copied: TargetServer + Send {
    /// [`Fork::fork`].
    fn copy(&self) -> Box<dyn Copied>;

    /// [`Fork::digest`].
    fn fingerprint(&self) -> u128;
}

impl<S: Fork + Send + 'static> Copied for S {
    fn copy(&self) -> Box<dyn Copied> {
        Box::new(self.fork())
    }

    fn fingerprint(&self) -> u128 {
        self.digest()
    }
}

/// A target whose type nobody needs to know; its servers are known as `S`.
pub struct Erased<S: ?Sized>(Box<dyn Object<S> + Send + Sync>);

/// A server behind a pointer.
pub struct AnyServer<S: ?Sized>(Box<S>);

trait Object<S: ?Sized> {
    fn description(&self) -> Description;
    fn dialect(&self) -> Dialect;
    fn lacks(&self, needs: &Needs) -> Vec<&'static str>;
    fn start(&self, config: &Config, id: ServerId) -> Result<Box<S>, TargetError>;
    fn accepts(&self, config: &Config) -> Result<(), TargetError>;
    fn run(
        &self,
        config: &Config,
        scripts: &[Script<'_>],
        done: &mut dyn FnMut(usize, Run),
    ) -> Result<(), TargetError>;
    fn dialect_uses(&self, traces: &[Trace]) -> Result<Vec<DialectUse>, TargetError>;
}

struct Known<T: Target, S: ?Sized> {
    target: T,
    erase: fn(T::Server) -> Box<S>,
}

impl<T: Target, S: ?Sized> Object<S> for Known<T, S> {
    fn description(&self) -> Description {
        self.target.description()
    }

    fn dialect(&self) -> Dialect {
        self.target.dialect()
    }

    fn lacks(&self, needs: &Needs) -> Vec<&'static str> {
        self.target.lacks(needs)
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<Box<S>, TargetError> {
        self.target.start(config, id).map(self.erase)
    }

    fn accepts(&self, config: &Config) -> Result<(), TargetError> {
        self.target.accepts(config)
    }

    fn run(
        &self,
        config: &Config,
        scripts: &[Script<'_>],
        done: &mut dyn FnMut(usize, Run),
    ) -> Result<(), TargetError> {
        self.target.run(config, scripts, done)
    }

    fn dialect_uses(&self, traces: &[Trace]) -> Result<Vec<DialectUse>, TargetError> {
        self.target.dialect_uses(traces)
    }
}

impl AnyTarget {
    /// That target.
    pub fn driven<T>(target: T) -> AnyTarget
    where
        T: Target + Send + Sync + 'static,
        T::Server: 'static,
    {
        Erased(Box::new(Known::<T, dyn TargetServer> {
            target,
            erase: |server| Box::new(server),
        }))
    }
}

impl AnyCopied {
    /// That target.
    pub fn copied<T>(target: T) -> AnyCopied
    where
        T: Target + Send + Sync + 'static,
        T::Server: Fork + Send + 'static,
    {
        Erased(Box::new(Known::<T, dyn Copied> {
            target,
            erase: |server| Box::new(server),
        }))
    }
}

impl AnyDigested {
    /// That target.
    pub fn digested<T>(target: T) -> AnyDigested
    where
        T: Target + Send + Sync + 'static,
        T::Server: Digest + 'static,
    {
        Erased(Box::new(Known::<T, dyn Digest> {
            target,
            erase: |server| Box::new(server),
        }))
    }
}

impl<S: TargetServer + ?Sized> Target for Erased<S> {
    type Server = AnyServer<S>;

    fn description(&self) -> Description {
        self.0.description()
    }

    fn dialect(&self) -> Dialect {
        self.0.dialect()
    }

    fn lacks(&self, needs: &Needs) -> Vec<&'static str> {
        self.0.lacks(needs)
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<AnyServer<S>, TargetError> {
        self.0.start(config, id).map(AnyServer)
    }

    fn accepts(&self, config: &Config) -> Result<(), TargetError> {
        self.0.accepts(config)
    }

    fn run(
        &self,
        config: &Config,
        scripts: &[Script<'_>],
        done: &mut dyn FnMut(usize, Run),
    ) -> Result<(), TargetError> {
        self.0.run(config, scripts, done)
    }

    fn dialect_uses(&self, traces: &[Trace]) -> Result<Vec<DialectUse>, TargetError> {
        self.0.dialect_uses(traces)
    }
}

impl<S: TargetServer + ?Sized> TargetServer for AnyServer<S> {
    fn apply(&mut self, input: &Input) -> Result<Reaction, TargetError> {
        self.0.apply(input)
    }

    fn view(&mut self) -> Result<NodeView, TargetError> {
        self.0.view()
    }
}

impl Fork for AnyServer<dyn Copied> {
    fn fork(&self) -> Self {
        AnyServer(self.0.copy())
    }

    fn digest(&self) -> u128 {
        self.0.fingerprint()
    }
}

impl Digest for AnyServer<dyn Digest> {
    fn digest(&self) -> u128 {
        self.0.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_name_or_a_command_line() {
        let named: TargetSpec = "mine".parse().expect("a name");
        assert_eq!(named, TargetSpec::Named("mine".to_owned()));
        let line = "exec:python3 'my raft.py'";
        let exec: TargetSpec = line.parse().expect("a command line");
        let TargetSpec::Exec { program, .. } = &exec else {
            panic!("{exec:?}");
        };
        assert_eq!(program.arguments, ["my raft.py"]);
        assert_eq!(exec.to_string(), line);
        assert!("exec:".parse::<TargetSpec>().is_err());
    }

    #[test]
    fn a_target_is_found_by_its_name_and_replaced_under_it() {
        let targets = Targets::builtin().with("mine", || Spec);
        let start = |name: &str| {
            let spec = TargetSpec::Named(name.to_owned());
            targets.start(&spec, &ExecOptions::default())
        };
        assert!(matches!(start("mine"), Ok(AnyKind::Driven(_))));
        assert!(matches!(start("spec"), Ok(AnyKind::Copied(_))));
        assert!(matches!(start("raft-rs"), Ok(AnyKind::Digested(_))));
        let error = start("nobody").err().expect("there is none").to_string();
        assert!(
            error.contains("mine") && error.contains("exec:CMD"),
            "{error}"
        );
        let count = targets.iter().count();
        let targets = targets.with("spec", || LockstepRaft).about("another");
        assert_eq!(targets.iter().count(), count);
        assert!(targets.iter().any(|it| it == ("spec", "another")));
    }
}
