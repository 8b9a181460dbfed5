//! Any program, in any language, behind the exec protocol (`conformance/targets/PROTOCOL.md`).
//!
//! [`ExecTarget`] starts the program, asks what it is, and keeps its pipe full: [`Target::run`] sends
//! whole scripts ahead of the replies. A program that ends, falls silent or writes nonsense is started
//! again, and the scripts that were on their way are run once more, one input at a time, to find the
//! input at which it breaks down.

pub(crate) mod child;
mod cluster;
pub(crate) mod fuzzing;
mod group;
pub(crate) mod limits;
pub mod once;
mod runner;
mod ticks;
mod wire;

pub use child::ExecError;
pub use group::{Group, end_all};
pub use wire::PROTOCOL_VERSION;

use super::dialect::departure_uses;
use crate::target::{
    Cluster, Description, DialectUse, Needs, Observation, Output, Reaction, Run, Script, Target,
    TargetError, TargetServer,
};
use crate::walk::Timing;
use child::{Connection, NoReply};
use cluster::ExecCluster;
use limits::{MESSAGE_CHARS, NAME_CHARS, shortened};
use lockstep_model::Dialect;
use lockstep_traces::{Config, FieldSet, Input, NodeView, ServerId, Trace};
use runner::Runner;
use rustc_hash::FxHashSet;
use std::ffi::OsString;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use wire::{Reply, Request, WireResult, WireTimers, WireTiming, WireView};

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The executable: a path, or a name that is looked up in `PATH`.
    pub executable: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Program {
    /// Splits a command line into words as a POSIX shell does, with its quotes and backslashes. No shell is
    /// involved, so nothing is expanded.
    ///
    /// # Errors
    /// When the line is empty, or a quote or backslash is left open.
    pub fn parse(line: &str) -> Result<Program, TargetError> {
        let Some(words) = shlex::split(line) else {
            return Err(TargetError::Setup(format!(
                "a quote or backslash is left open in: {line}"
            )));
        };
        let mut words = words.into_iter().map(OsString::from);
        match words.next() {
            Some(executable) => Ok(Program {
                executable,
                arguments: words.collect(),
            }),
            None => Err(TargetError::Setup(
                "there is no command after `exec:`".to_owned(),
            )),
        }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        command.args(&self.arguments);
        command
    }
}

/// Time limits of the harness, and how far ahead it sends.
#[derive(Clone, Copy, Debug)]
pub struct ExecOptions {
    /// The time that the program may take for one reply.
    pub reply_timeout: Duration,
    /// The number of inputs that may be on their way at once.
    pub inputs_in_flight: usize,
}

impl Default for ExecOptions {
    /// Half a minute; 4096 inputs.
    fn default() -> ExecOptions {
        ExecOptions {
            reply_timeout: Duration::from_secs(30),
            inputs_in_flight: 4096,
        }
    }
}

/// A program behind the exec protocol.
pub struct ExecTarget {
    says: wire::Description,
    link: Arc<Mutex<Link>>,
}

impl ExecTarget {
    /// Starts the program and asks what it is.
    ///
    /// # Errors
    /// [`TargetError::Setup`] if it cannot be started or does not speak this version of the protocol.
    pub fn start_program(
        program: Program,
        options: ExecOptions,
    ) -> Result<ExecTarget, TargetError> {
        let mut link = Link {
            connection: None,
            program,
            options,
            next_session: 0,
            closing: FxHashSet::default(),
        };
        let says = link
            .connect()
            .map_err(|failure| link.broken(failure).into_setup())?;
        Ok(ExecTarget {
            says,
            link: Arc::new(Mutex::new(link)),
        })
    }

    fn check_features(&self, config: &Config) -> Result<(), TargetError> {
        let missing = self.says.missing_features(&Needs::of_config(config));
        if missing.is_empty() {
            return Ok(());
        }
        Err(TargetError::Setup(format!(
            "{} does not know {}, which this configuration turns on",
            self.says.name,
            missing.join(", ")
        )))
    }
}

impl Target for ExecTarget {
    type Server = ExecServer;

    fn description(&self) -> Description {
        Description {
            name: self.says.name.clone(),
            version: self.says.version.clone(),
            shows: self.says.fields,
            derived: self.says.derived.clone(),
            dialect: self
                .says
                .dialect
                .iter()
                .map(|entry| format!("{}: {}", entry.name(), entry.reason()))
                .collect(),
        }
    }

    fn dialect(&self) -> Dialect {
        self.says.dialect
    }

    fn dialect_uses(&self, traces: &[Trace]) -> Result<Vec<DialectUse>, TargetError> {
        departure_uses(traces, self.says.dialect)
    }

    fn lacks(&self, needs: &Needs) -> Vec<&'static str> {
        self.says.missing_features(needs)
    }

    fn accepts(&self, config: &Config) -> Result<(), TargetError> {
        self.check_features(config)
    }

    fn start(&self, config: &Config, id: ServerId) -> Result<ExecServer, TargetError> {
        self.check_features(config)?;
        self.open_one(config, id, None).map(|(server, _)| server)
    }

    fn run(
        &self,
        config: &Config,
        scripts: &[Script<'_>],
        done: &mut dyn FnMut(usize, Run),
    ) -> Result<(), TargetError> {
        self.check_features(config)?;
        let mut link = lock(&self.link);
        Runner::new(&mut link, config, scripts, self.says.fields, done).run()
    }

    fn cluster(&self, config: &Config) -> Result<Box<dyn Cluster + '_>, TargetError> {
        self.check_features(config)?;
        let link = Arc::clone(&self.link);
        let cluster = ExecCluster::open(link, config, self.says.fields)?;
        Ok(Box::new(cluster))
    }
}

/// Why a call failed: with what the program last said, or without it yet.
enum Failure {
    NoReply(NoReply),
    Reply(String),
}

impl From<NoReply> for Failure {
    fn from(why: NoReply) -> Failure {
        Failure::NoReply(why)
    }
}

impl From<ExecError> for Failure {
    fn from(error: ExecError) -> Failure {
        Failure::NoReply(NoReply::Broken(error))
    }
}

impl NoReply {
    fn into_text(self) -> String {
        match self {
            NoReply::Broken(error) | NoReply::Silent(error) => error.to_string(),
            NoReply::Interrupted => TargetError::Interrupted.to_string(),
        }
    }

    fn into_setup(self) -> TargetError {
        match self {
            NoReply::Interrupted => TargetError::Interrupted,
            why => TargetError::Setup(why.into_text()),
        }
    }

    fn into_failed(self) -> TargetError {
        match self {
            NoReply::Interrupted => TargetError::Interrupted,
            why => TargetError::Failed(why.into_text()),
        }
    }
}

fn unexpected(reply: &Reply) -> Failure {
    let what = match reply {
        Reply::Description(_) => "a description".to_owned(),
        Reply::Opened { session, .. } => format!("the opening of session {session}"),
        Reply::Applied { session, .. } => format!("results for session {session}"),
        Reply::Closed { session, .. } => format!("the closing of session {session}"),
        Reply::Error(message) => format!("an error: {message}"),
    };
    Failure::Reply(format!("the program answered what was not asked: {what}"))
}

/// The connection to the program, which is started again when it is needed after a breakdown.
struct Link {
    connection: Option<Connection>,
    program: Program,
    options: ExecOptions,
    next_session: u64,
    /// Sessions of servers that are gone: their last reply is for nobody.
    closing: FxHashSet<u64>,
}

fn lock(link: &Mutex<Link>) -> MutexGuard<'_, Link> {
    // A panic while the lock was held leaves a connection in an unknown state, but nothing unsound;
    // the panic is reported by whoever caused it.
    link.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Link {
    /// Starts the program, in the place of one that broke down if there is one.
    fn connect(&mut self) -> Result<wire::Description, Failure> {
        self.closing.clear();
        let connection = Connection::start(self.program.command(), self.options)?;
        connection.send(
            Request::Describe {
                protocol: PROTOCOL_VERSION,
            }
            .to_line(),
        );
        match self.connection.insert(connection).receive_first()? {
            Reply::Description(says) if says.protocol == PROTOCOL_VERSION => Ok(says),
            Reply::Description(says) => Err(Failure::Reply(format!(
                "{} speaks protocol {}, and this harness {PROTOCOL_VERSION}",
                says.name, says.protocol
            ))),
            other => Err(unexpected(&other)),
        }
    }

    fn running(&mut self) -> Result<&mut Connection, Failure> {
        if self.connection.is_none() {
            self.connect()?;
        }
        self.connection
            .as_mut()
            .ok_or_else(|| Failure::Reply("the program could not be started".to_owned()))
    }

    /// Sends the opening of a new session.
    fn open(&mut self, config: &Config, servers: &[ServerId]) -> Result<u64, Failure> {
        self.open_with(config, servers, None)
    }

    /// The same, of one with a clock if there is a timing.
    fn open_with(
        &mut self,
        config: &Config,
        servers: &[ServerId],
        timing: Option<&Timing>,
    ) -> Result<u64, Failure> {
        let session = self.next_session;
        self.next_session += 1;
        self.send(Request::Open {
            session,
            config,
            servers,
            timing: timing.map(|timing| WireTiming {
                election_ticks: timing.election_ticks,
                heartbeat_ticks: timing.heartbeat_ticks,
                seed: timing.seed,
            }),
        })?;
        Ok(session)
    }

    fn send(&mut self, request: Request<'_>) -> Result<(), Failure> {
        self.running()?.send(request.to_line());
        Ok(())
    }

    /// The next reply that somebody waits for.
    fn receive(&mut self) -> Result<Reply, Failure> {
        loop {
            match self.running()?.receive()? {
                Reply::Closed { session, .. } if self.closing.remove(&session) => {}
                reply => return Ok(reply),
            }
        }
    }

    /// Closes a session of which nobody wants to know any more.
    fn abandon(&mut self, session: u64) {
        if let Some(connection) = &self.connection {
            connection.send(Request::Close { session }.to_line());
            self.closing.insert(session);
        }
    }

    /// Ends a program that broke down; it is started again when it is needed. Returns why there is no
    /// reply, with what the program last said.
    fn broken(&mut self, failure: Failure) -> NoReply {
        let why = match (failure, &mut self.connection) {
            (Failure::NoReply(why), _) => why,
            (Failure::Reply(what), Some(connection)) => NoReply::Broken(connection.failure(what)),
            (Failure::Reply(what), None) => NoReply::Broken(ExecError {
                what,
                stderr: Vec::new(),
            }),
        };
        self.connection = None;
        why
    }
}

/// One server of the program, moved step by step.
pub struct ExecServer {
    link: Arc<Mutex<Link>>,
    session: u64,
    id: ServerId,
    shown: FieldSet,
    view: NodeView,
}

impl TargetServer for ExecServer {
    fn apply(&mut self, input: &Input) -> Result<Reaction, TargetError> {
        let request = Request::Apply {
            session: self.session,
            inputs: &[(self.id, input)],
        };
        self.ask(request, false).map(|(reaction, _)| reaction)
    }

    fn view(&mut self) -> Result<NodeView, TargetError> {
        Ok(self.view.clone())
    }
}

impl ExecServer {
    /// Sends a request with one input and reads its result, with the timers in a session with a clock.
    fn ask(
        &mut self,
        request: Request<'_>,
        timed: bool,
    ) -> Result<(Reaction, Option<WireTimers>), TargetError> {
        let mut link = lock(&self.link);
        let mut timers = None;
        let seen = link.send(request).and_then(|()| match link.receive()? {
            Reply::Applied {
                session,
                mut results,
            } if session == self.session && results.len() == 1 => {
                let mut result = results.remove(0);
                if timed {
                    timers = result.timers.take();
                }
                let driven = result.not_driven.is_none() && result.crashed.is_none();
                if timed && driven && timers.is_none() {
                    return Err(Failure::Reply(ticks::without_timers("a result")));
                }
                Ok(read_result(result, &self.view, self.shown)?)
            }
            other => Err(unexpected(&other)),
        });
        match seen {
            Ok(Seen::Observed(observation)) => {
                self.view = observation.view;
                Ok((observation.reaction, timers))
            }
            Ok(Seen::Crashed(what)) => Err(TargetError::Failed(what)),
            Err(failure) => Err(link.broken(failure).into_failed()),
        }
    }
}

impl Drop for ExecServer {
    fn drop(&mut self) {
        lock(&self.link).abandon(self.session);
    }
}

/// The content of a result.
enum Seen {
    Observed(Box<Observation>),
    Crashed(String),
}

/// Reads a result, given the view of the server before it.
fn read_result(result: WireResult, before: &NodeView, shown: FieldSet) -> Result<Seen, Failure> {
    if result.timers.is_some() {
        let what = "`timers` in a session that was opened without `timing`";
        return Err(Failure::Reply(what.to_owned()));
    }
    if let Some(what) = result.crashed {
        return Ok(Seen::Crashed(shortened(what, MESSAGE_CHARS)));
    }
    let reaction = match (result.not_driven, result.outcome) {
        (Some(reason), None) => Reaction::NotDriven {
            reason: shortened(reason, NAME_CHARS),
        },
        (None, Some(outcome)) => Reaction::Driven(Output {
            outcome,
            sent: result.sent.into_iter().flatten().map(Into::into).collect(),
            handed: result.handed.unwrap_or_default(),
            read_states: result.read_states,
        }),
        _ => {
            return Err(Failure::Reply(
                "a result needs one of `outcome`, `not_driven` and `crashed`".to_owned(),
            ));
        }
    };
    let view = match result.view {
        Some(view) => view.into_view(shown).map_err(Failure::Reply)?,
        None => before.clone(),
    };
    Ok(Seen::Observed(Box::new(Observation { reaction, view })))
}

/// Reads the views of all servers of a session; one that is left out is the one before.
fn read_views(
    views: Vec<Option<WireView>>,
    before: &[NodeView],
    expected: usize,
    shown: FieldSet,
) -> Result<Vec<NodeView>, Failure> {
    if views.len() != expected {
        return Err(Failure::Reply(format!(
            "{} views for {expected} servers",
            views.len()
        )));
    }
    let read = |(position, view): (usize, Option<WireView>)| match (view, before.get(position)) {
        (Some(view), _) => view.into_view(shown).map_err(Failure::Reply),
        (None, Some(before)) => Ok(before.clone()),
        (None, None) => Err(Failure::Reply("the first view is missing".to_owned())),
    };
    views.into_iter().enumerate().map(read).collect()
}
