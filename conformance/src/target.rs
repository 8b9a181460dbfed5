//! The trait that an implementation of Raft is put behind.
//!
//! # Writing a target
//!
//! A target is two small types. The factory, a [`Target`], describes the implementation and starts
//! servers; a [`TargetServer`] is one running server. Lockstep owns everything else: it plays the
//! network and the clock, and it decides what happens next. Your adapter therefore needs no socket, no
//! thread and no timer, and it must not have any: after [`TargetServer::apply`] returns, nothing may
//! move until the next call.
//!
//! 1. **Start**: [`Target::start`] gives one server of a cluster of voters `1..=config.servers` with an
//!    empty log, term zero and no vote. Turn off forwarding of proposals; set PreVote, CheckQuorum and
//!    the limits from the [`Config`]; set the election timeout so high that no timer of the
//!    implementation fires by itself.
//! 2. **Apply**: translate the [`Input`] into calls (`campaign`, `step`, `propose`, ticks, ...), then
//!    run the implementation until nothing is left to do: persist what it wants persisted, apply what
//!    it commits, hand back to it the messages it addresses to itself. Collect the messages to others,
//!    each with the mark whether it had to wait for persistence, and the entries that it hands to its
//!    application. Keep the applied index of that application yourself, from what it was handed: it is
//!    what `Restart` starts with, and no index that the implementation counts can take its place. An input that the implementation has
//!    no way to receive is [`Reaction::NotDriven`] with the reason, and leaves the server as it was; it is
//!    counted and named in the report, and is never a silent pass. `Restart` throws the server away and builds it again from
//!    what was durable.
//! 3. **View**: translate the state into a [`NodeView`]. State that the role does not have is left empty
//!    there. A field that you cannot read is left out of [`Description::shows`] once and for all, and
//!    whatever the view says there is not compared. Read values, do not work them out: a field that your
//!    adapter makes from others belongs into [`Description::derived`].
//!
//! That earns *edges covered*. If the server can also be copied, the verdict can be *bisimilar within the bound*
//! (see [`Strength`](crate::verdict::Strength)): derive `Clone` and `Hash`, or implement the two functions of [`Fork`]. A target that runs many
//! servers at a distance (another process) should override [`Target::run`] to keep its pipe full.
//!
//! [`StartedBy`] is a factory that decides nothing. Servers whose timers are to be compared in walks
//! implement [`TickTarget`](crate::walk::TickTarget), too.
//!
//! `examples/my_raft.rs` is a small Raft with everything around it, and `targets/lockstep_raft.rs` an adapter to a
//! Raft that is there already.

use crate::digest::digest_of;
use crate::stop;
use lockstep_model::Dialect;
pub use lockstep_traces::Output;
use lockstep_traces::{Config, Field, FieldSet, Input, NodeView, ServerId, Trace};
use serde::Serialize;
use std::collections::BTreeMap;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use crate::needs::Needs;

/// A target's description of itself; it goes into every report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The name of the implementation, as in `--target`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The fields that its views and reactions carry. The others are not compared, and every report
    /// says so.
    pub shows: FieldSet,
    /// Fields among these whose value is made from others instead of read, so that it is wrong only if
    /// those are; each with the reason. They do not count as compared.
    pub derived: BTreeMap<Field, String>,
    /// Its departures from the specification by design, one sentence each; empty for most.
    pub dialect: Vec<String>,
}

impl Description {
    /// The description of a target that reads every field it shows, and departs from no rule.
    pub fn new(
        name: impl Into<String>,
        version: impl Into<String>,
        shows: impl IntoIterator<Item = Field>,
    ) -> Description {
        Description {
            name: name.into(),
            version: version.into(),
            shows: shows.into_iter().collect(),
            derived: BTreeMap::new(),
            dialect: Vec::new(),
        }
    }

    /// The fields that are compared.
    pub fn compared(&self) -> FieldSet {
        let read = |field: &Field| !self.derived.contains_key(field);
        self.shows.iter().filter(read).collect()
    }

    /// The fields that are not compared, because the target does not show them.
    pub fn not_shown(&self) -> FieldSet {
        let hidden = |field: &Field| !self.shows.contains(*field);
        Field::ALL.into_iter().filter(hidden).collect()
    }
}

/// An entry of a dialect, and how much it mattered in a run. An entry excuses a difference: one that
/// excuses nothing is out of date, or hides something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DialectUse {
    /// Its name.
    pub name: &'static str,
    /// The difference, the reason that it is no error, and the place where it can be seen.
    pub reason: &'static str,
    /// At how many steps it made a difference.
    pub uses: u64,
}

/// Why a target could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The target cannot be started at all: its program is missing, or it cannot be configured so. The
    /// fault of whoever started it; nothing was compared.
    #[error("the target cannot be started: {0}")]
    Setup(String),
    /// The target broke down while it handled an input: it panicked, exited, or sent what has no place
    /// in the vocabulary. A fault of the implementation, reported as a divergence at that input.
    #[error("the target failed: {0}")]
    Failed(String),
    /// The work is to stop, and the target was not waited for.
    #[error("interrupted")]
    Interrupted,
}

/// The reaction of a server to an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// It was given the input.
    Driven(Output),
    /// There is no way to give it this input. Its state has not changed.
    NotDriven {
        /// Why not, in a few words; reports count the inputs that were not driven by this text.
        reason: String,
    },
}

/// An implementation of Raft, as a factory of servers. See the [module](self) for how to write one.
pub trait Target {
    /// One running server.
    type Server: TargetServer;

    /// Name, version and visible fields of the implementation.
    fn description(&self) -> Description;

    /// The rules of the specification that are different here, by design. The default is none: etcd's Raft.
    fn dialect(&self) -> Dialect {
        Dialect::ETCD
    }

    /// Lists the needs that the implementation does not meet, by the names of [`Needs`]. A preset or trace that needs
    /// it is not applicable to it: it is neither run nor passed. The default is everything that the first version of
    /// the protocol did not have.
    fn lacks(&self, needs: &Needs) -> Vec<&'static str> {
        needs.beyond_the_first().collect()
    }

    /// A new server of a cluster so configured: empty log, term zero, no vote.
    ///
    /// # Errors
    ///
    /// [`TargetError::Setup`] if the implementation cannot be started with this configuration.
    fn start(&self, config: &Config, id: ServerId) -> Result<Self::Server, TargetError>;

    /// Checks that servers of this configuration can be started. By default, it starts one.
    ///
    /// # Errors
    ///
    /// [`TargetError::Setup`] with what is missing.
    fn accepts(&self, config: &Config) -> Result<(), TargetError> {
        let first = config.server_ids().next();
        first.map_or(Ok(()), |id| self.start(config, id).map(drop))
    }

    /// Runs scripts, each on a cluster of its own that starts afresh, and hands what happened to `done`
    /// with the position of the script, in any order of scripts. The default steps one script after
    /// the other; a target at a distance overrides it to have many inputs on their way at once.
    ///
    /// A script ends early at the first input at which the target fails; that is part of its [`Run`]. A
    /// target that fails again and again may leave the other scripts undone: those that are not handed to
    /// `done` were not run.
    ///
    /// # Errors
    ///
    /// The first [`TargetError::Setup`], or [`TargetError::Interrupted`]; the scripts not handed to `done`
    /// by then were not run.
    fn run(
        &self,
        config: &Config,
        scripts: &[Script<'_>],
        done: &mut dyn FnMut(usize, Run),
    ) -> Result<(), TargetError> {
        for (position, script) in scripts.iter().enumerate() {
            done(position, run_one(self, config, script)?);
        }
        Ok(())
    }

    /// Starts all servers of a cluster so configured, to be given one input after the other: for a script that
    /// is longer than memory. The default starts them one by one; a target at a distance, whose servers may
    /// share a process, overrides it to start them together.
    ///
    /// # Errors
    ///
    /// As [`Target::start`].
    fn cluster(&self, config: &Config) -> Result<Box<dyn Cluster + '_>, TargetError> {
        Ok(Box::new(Servers::start(self, config)?))
    }

    /// Counts the uses of each entry of its dialect in these traces, which it has just run. Empty for a target that has
    /// no dialect.
    ///
    /// # Errors
    ///
    /// [`TargetError::Setup`] if a trace has a configuration that cannot be specified.
    fn dialect_uses(&self, traces: &[Trace]) -> Result<Vec<DialectUse>, TargetError> {
        let _ = traces;
        Ok(Vec::new())
    }
}

/// A target that is nothing but its description and a function that starts a server.
#[derive(Clone, Debug)]
pub struct StartedBy<F> {
    description: Description,
    start: F,
}

impl<F, S> StartedBy<F>
where
    F: Fn(&Config, ServerId) -> S,
    S: TargetServer,
{
    /// That target.
    pub fn new(description: Description, start: F) -> StartedBy<F> {
        StartedBy { description, start }
    }
}

impl<F, S> Target for StartedBy<F>
where
    F: Fn(&Config, ServerId) -> S,
    S: TargetServer,
{
    type Server = S;

    fn description(&self) -> Description {
        self.description.clone()
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<S, TargetError> {
        Ok((self.start)(config, id))
    }
}

/// One running server of a target.
pub trait TargetServer {
    /// Gives the server one input and lets it finish: what it persists is durable, what it commits is
    /// applied, what it says to itself is heard.
    ///
    /// # Errors
    ///
    /// [`TargetError::Failed`] if it broke down; the server is not used again.
    fn apply(&mut self, input: &Input) -> Result<Reaction, TargetError>;

    /// Its state now. Fields that the target does not show may hold anything.
    ///
    /// # Errors
    ///
    /// [`TargetError::Failed`] if it broke down; the server is not used again.
    fn view(&mut self) -> Result<NodeView, TargetError>;
}

/// A server that can be copied and whose state can be told apart completely: what the exhaustive
/// product needs.
pub trait Fork: TargetServer + Sized {
    /// A second server in the same state, its storage included; from here on the two share nothing.
    fn fork(&self) -> Self;

    /// A digest of *every* value that the implementation can ever read again, storage included: servers
    /// with equal digests must behave alike for ever. A field that is left out merges states that
    /// differ; the product re-runs every distinct (digest, input) from a second server with that digest
    /// and reports *digest hides state* when the two disagree.
    fn digest(&self) -> u128;
}

/// Derive `Clone` and `Hash` and there is nothing to write; a server whose clones share something must not derive
/// both.
impl<S: TargetServer + Clone + Hash> Fork for S {
    fn fork(&self) -> S {
        self.clone()
    }

    fn digest(&self) -> u128 {
        digest_of(self)
    }
}

/// A server that cannot be copied, but whose state can be told apart completely: it is restored by the inputs
/// that led to it.
pub trait Digest: TargetServer {
    /// As [`Fork::digest`].
    fn digest(&self) -> u128;
}

/// All servers of a running cluster.
pub trait Cluster {
    /// The view of every server before the first input, in order of names. Called once, and first.
    ///
    /// # Errors
    ///
    /// [`TargetError::Failed`] if the target broke down; the cluster is not used again.
    fn initial(&mut self) -> Result<Vec<NodeView>, TargetError>;

    /// Gives one server one input.
    ///
    /// # Errors
    ///
    /// [`TargetError::Failed`] if the target broke down; the cluster is not used again.
    /// [`TargetError::Setup`] if there is no such server.
    fn apply(&mut self, id: ServerId, input: &Input) -> Result<Observation, TargetError>;

    /// The view of every server after the last input, in order of names.
    ///
    /// # Errors
    ///
    /// [`TargetError::Failed`] if the target broke down.
    fn last(self: Box<Self>) -> Result<Vec<NodeView>, TargetError>;
}

/// The inputs to give to one fresh cluster, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script<'a> {
    /// The inputs, each with the server that gets it.
    pub steps: Vec<(ServerId, &'a Input)>,
}

/// The observation after one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// The reaction of the server.
    pub reaction: Reaction,
    /// The state of the server that was given the input.
    pub view: NodeView,
}

/// The record of one run of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The view of every server before the first input, in order of names.
    pub initial: Vec<NodeView>,
    /// One observation an input; shorter than the script if the target failed.
    pub steps: Vec<Observation>,
    /// The view of every server after the last input, in order of names: shows that no server moved
    /// when another was given an input. Empty if the target failed.
    pub last: Vec<NodeView>,
    /// Why the run ended early, at input `steps.len()`, or at the end of the script if all inputs were
    /// given.
    pub failed: Option<String>,
}

/// [`TargetServer::apply`], with a panic of the implementation turned into [`TargetError::Failed`]: a
/// panic is an answer, and the wrong one.
///
/// # Errors
///
/// As [`TargetServer::apply`], and if it panics.
pub fn apply_caught<S: TargetServer>(
    server: &mut S,
    input: &Input,
) -> Result<Reaction, TargetError> {
    // Whatever the panic leaves behind is never looked at again: a server that failed is dropped.
    match catch_unwind(AssertUnwindSafe(|| server.apply(input))) {
        Ok(reaction) => reaction,
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
            let text = text.unwrap_or_else(|| "without a text".to_owned());
            Err(TargetError::Failed(format!("panicked: {text}")))
        }
    }
}

/// Runs one script on a fresh cluster, input by input.
fn run_one<T: Target + ?Sized>(
    target: &T,
    config: &Config,
    script: &Script<'_>,
) -> Result<Run, TargetError> {
    let mut run = Run {
        initial: Vec::new(),
        steps: Vec::new(),
        last: Vec::new(),
        failed: None,
    };
    let mut servers = Servers::start(target, config)?;
    match drive(&mut servers, script, &mut run) {
        Err(TargetError::Failed(why)) => run.failed = Some(why),
        result => result?,
    }
    Ok(run)
}

/// Servers that share nothing.
struct Servers<S>(Vec<(ServerId, S)>);

impl<S: TargetServer> Servers<S> {
    fn start<T: Target<Server = S> + ?Sized>(
        target: &T,
        config: &Config,
    ) -> Result<Servers<S>, TargetError> {
        let start = |id| Ok((id, target.start(config, id)?));
        config
            .server_ids()
            .map(start)
            .collect::<Result<_, _>>()
            .map(Servers)
    }

    fn views(&mut self) -> Result<Vec<NodeView>, TargetError> {
        self.0.iter_mut().map(|(_, server)| server.view()).collect()
    }
}

impl<S: TargetServer> Cluster for Servers<S> {
    fn initial(&mut self) -> Result<Vec<NodeView>, TargetError> {
        self.views()
    }

    fn apply(&mut self, id: ServerId, input: &Input) -> Result<Observation, TargetError> {
        let Some((_, server)) = self.0.iter_mut().find(|(name, _)| *name == id) else {
            return Err(TargetError::Setup(format!(
                "the cluster has no server {id}"
            )));
        };
        let reaction = apply_caught(server, input)?;
        let view = server.view()?;
        Ok(Observation { reaction, view })
    }

    fn last(mut self: Box<Self>) -> Result<Vec<NodeView>, TargetError> {
        self.views()
    }
}

fn drive<S: TargetServer>(
    servers: &mut Servers<S>,
    script: &Script<'_>,
    run: &mut Run,
) -> Result<(), TargetError> {
    run.initial = servers.views()?;
    for (id, input) in &script.steps {
        if stop::requested() {
            return Err(TargetError::Interrupted);
        }
        run.steps.push(servers.apply(*id, input)?);
    }
    run.last = servers.views()?;
    Ok(())
}
