//! Model checking the code itself: an implementation's own states and messages, against the properties of the
//! paper. The specification has no part in it.
//!
//! Servers of the target take the place of the specification's: the network delivers what they send, and the
//! environment does what the [bounds](Bounds) allow, depending on what their views show. Each distinct (state of a
//! server, input) is executed once; after an exhaustive search each is executed again along a second path, where
//! there is one, to show that the digest hides nothing.

mod clocks;
mod components;
mod configuration;
mod history;
mod log;
pub(crate) mod node;
mod observed;
mod properties;

pub use clocks::Clocks;
pub use components::CodeState;
pub(crate) use history::Before;
pub use history::{Happened, HappenedReads};
pub use node::Node;
pub use observed::ObservedCode;
pub use properties::{ALL as PROPERTIES, DOES_NOT_FAIL, Property as CodeProperty};

use crate::compare::handed;
use crate::digest::digest_of;
use crate::states::{Copies, Fault, HiddenState, Paths, Source, StateCounts, States, Stepped};
use crate::target::{Description, Digest, Fork, Target, TargetError};
use components::Answer;
use lockstep_engine::{Checked, Limit, Search, SearchError, Trace, Verdict};
use lockstep_model::{Action, Bounds, Id};
use lockstep_traces::{
    Config, Event, Expected, Header, Index, Input, Message, NodeView, Provenance, Reads, Role,
    ServerId, Step,
};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A cluster of servers of one implementation, as the engine explores it.
pub struct Code<'a> {
    pub(crate) config: Config,
    pub(crate) bounds: Bounds,
    description: Description,
    servers: Mutex<Servers<'a>>,
}

/// The implementation's side: the same for all threads.
struct Servers<'a> {
    states: Box<dyn Explored + 'a>,
    /// The answers, by state number and input.
    answers: FxHashMap<(u32, Input), Answer>,
    /// The questions in the order in which they were asked: the server, the number of its state, the input.
    asked: Vec<(ServerId, u32, Input)>,
    /// The number of questions in a checkpoint.
    saved: usize,
    starts: Vec<Node>,
    faults: Vec<Fault>,
}

/// A question in a checkpoint, with the digest of the server afterwards in two halves, since JSON has no number as
/// large. It is asked again when it is read back.
#[derive(Serialize, Deserialize)]
struct SavedAnswer {
    server: ServerId,
    number: u32,
    input: Input,
    after: [u64; 2],
}

impl Servers<'_> {
    /// The server broke down.
    fn broken(&mut self, node: &Node, fault: Fault) -> Answer {
        let number = self.faults.len() as u32;
        self.faults.push(fault);
        Answer::unchanged(Node {
            fault: Some(number),
            // One that is in no state that can be looked up.
            digest: node.digest ^ digest_of(&("broken", number)),
            ..node.clone()
        })
    }
}

/// States of servers, whatever they are restored from.
trait Explored: Send {
    fn start(&mut self, id: ServerId) -> Result<u32, Fault>;
    fn step(&mut self, number: u32, input: &Input) -> Result<Stepped, Fault>;
    fn node(&self, id: ServerId, number: u32) -> Node;
    fn number_of(&self, id: ServerId, digest: u128) -> Option<u32>;
    fn rerun(&mut self) -> Result<(), Fault>;
    fn counts(&self) -> StateCounts;
}

impl<S: Source + Send> Explored for States<S> {
    fn start(&mut self, id: ServerId) -> Result<u32, Fault> {
        States::start(self, id)
    }

    fn step(&mut self, number: u32, input: &Input) -> Result<Stepped, Fault> {
        let attempt = self.attempt(number, input);
        if let Err(Fault::NotDriven(reason)) = &attempt {
            self.count_not_driven(reason.clone());
        }
        self.settle(attempt?)
    }

    fn node(&self, id: ServerId, number: u32) -> Node {
        Node::new(id, self.digest(number), self.view(number))
    }

    fn number_of(&self, id: ServerId, digest: u128) -> Option<u32> {
        States::number_of(self, id, digest)
    }

    fn rerun(&mut self) -> Result<(), Fault> {
        States::rerun(self)
    }

    fn counts(&self) -> StateCounts {
        States::counts(self)
    }
}

/// The results of exploring an implementation, beside the report of the search.
pub struct CodeReport<'a> {
    /// The search: verdict, counts, shortest counterexample.
    pub checked: Checked<Code<'a>>,
    /// The work on the implementation's side.
    pub implementation: StateCounts,
    /// If two servers with the same digest behave differently: then the search means nothing.
    pub hidden: Option<Box<HiddenState>>,
    /// If the last step of the counterexample broke the implementation: what it said.
    pub failure: Option<String>,
}

impl<'a> Code<'a> {
    /// A cluster of servers that can be copied.
    ///
    /// # Errors
    ///
    /// A server cannot be started.
    pub fn copied<T: Target + Sync>(
        target: &'a T,
        config: &Config,
        bounds: Bounds,
    ) -> Result<Code<'a>, TargetError>
    where
        T::Server: Fork + Send,
    {
        let config = config.clone();
        let states = States::new(Copies {
            target,
            config: config.clone(),
        });
        Code::of(target.description(), Box::new(states), config, bounds)
    }

    /// A cluster of servers that are restored by the inputs that led to their state.
    ///
    /// # Errors
    ///
    /// A server cannot be started.
    pub fn restored<T: Target + Sync>(
        target: &'a T,
        config: &Config,
        bounds: Bounds,
    ) -> Result<Code<'a>, TargetError>
    where
        T::Server: Digest,
    {
        let config = config.clone();
        let states = States::new(Paths {
            target,
            config: config.clone(),
        });
        Code::of(target.description(), Box::new(states), config, bounds)
    }

    fn of(
        description: Description,
        mut states: Box<dyn Explored + 'a>,
        config: Config,
        bounds: Bounds,
    ) -> Result<Code<'a>, TargetError> {
        let mut starts = Vec::new();
        for id in config.server_ids() {
            let number = states.start(id).map_err(|fault| match fault {
                Fault::Setup(why) => TargetError::Setup(why),
                fault => TargetError::Setup(components::text_of(&fault)),
            })?;
            starts.push(states.node(id, number));
        }
        Ok(Code {
            config,
            bounds,
            description,
            servers: Mutex::new(Servers {
                states,
                answers: FxHashMap::default(),
                asked: Vec::new(),
                saved: 0,
                starts,
                faults: Vec::new(),
            }),
        })
    }

    fn servers(&self) -> MutexGuard<'_, Servers<'a>> {
        // Panics of the target are caught; what is noted down is noted whole.
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The description of the target that is explored.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The configuration of the cluster.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Explores it, as `search` is set up; afterwards executes every (state, input) again, if all were visited.
    ///
    /// # Errors
    ///
    /// See [`SearchError`].
    pub fn check<'s>(
        &'s self,
        set_up: impl FnOnce(Search<'s, Code<'a>>) -> Search<'s, Code<'a>>,
    ) -> Result<CodeReport<'a>, SearchError> {
        let mut checked = set_up(Search::new(self)).run()?;
        let failed = checked.counterexample.as_ref().and_then(|found| {
            let nodes = found.last().servers.iter();
            nodes.filter_map(|node| node.fault).next_back()
        });
        let exhausted = checked.report.verdict == Verdict::Exhausted;
        let mut servers = self.servers();
        let again = if exhausted {
            servers.states.rerun()
        } else {
            Ok(())
        };
        let mut hidden = None;
        let mut failure = None;
        let fault = match (&again, failed) {
            (Err(fault), _) => Some(fault),
            (Ok(()), Some(number)) => servers.faults.get(number as usize),
            (Ok(()), None) => None,
        };
        match fault {
            Some(Fault::Hidden(found)) => hidden = Some(found.clone()),
            // It may have done anything.
            Some(Fault::Interrupted) => {
                checked.report.verdict = Verdict::Bounded {
                    stopped_by: Limit::Interrupted,
                };
                checked.counterexample = None;
            }
            Some(fault) => failure = Some(components::text_of(fault)),
            None => {}
        }
        Ok(CodeReport {
            checked,
            implementation: servers.states.counts(),
            hidden,
            failure,
        })
    }

    /// A node in the state with this digest.
    pub(crate) fn node(&self, id: ServerId, digest: u128) -> Option<Node> {
        let servers = self.servers();
        let number = servers.states.number_of(id, digest)?;
        Some(servers.states.node(id, number))
    }

    pub(crate) fn starts(&self) -> Vec<Node> {
        self.servers().starts.clone()
    }

    /// Returns the server's step on an input, executed unless it was before.
    fn answer(&self, node: &Node, input: &Input) -> Answer {
        let mut servers = self.servers();
        let Some(number) = servers.states.number_of(node.id, node.digest) else {
            // It broke down; nothing follows.
            return Answer::unchanged(node.clone());
        };
        let key = (number, input.clone());
        if let Some(answer) = servers.answers.get(&key) {
            return answer.clone();
        }
        let answer = match servers.states.step(number, input) {
            Ok(stepped) => {
                let output = stepped.actual.output;
                let right = handed(&stepped.view, node.view.applied);
                if output.handed == right {
                    Answer {
                        node: Node::new(node.id, stepped.digest, stepped.view),
                        outcome: output.outcome,
                        sent: output.sent,
                        read_states: output.read_states,
                    }
                } else {
                    let text = format!(
                        "the application was handed {:?} instead of {right:?}",
                        output.handed
                    );
                    servers.broken(node, Fault::Handed(text))
                }
            }
            Err(Fault::NotDriven(_)) => Answer::unchanged(node.clone()),
            Err(fault) => servers.broken(node, fault),
        };
        servers.asked.push((node.id, number, input.clone()));
        servers.answers.insert(key, answer.clone());
        answer
    }

    /// Writes the questions asked since the last checkpoint, a line each.
    fn save(&self, saved: &mut Vec<u8>) {
        let mut servers = self.servers();
        let Servers { asked, answers, .. } = &*servers;
        for (server, number, input) in &asked[servers.saved..] {
            let digest = answers[&(*number, input.clone())].node.digest;
            let line = serde_json::to_string(&SavedAnswer {
                server: *server,
                number: *number,
                input: input.clone(),
                after: halves(digest),
            });
            saved.extend(line.expect("an input can be written").as_bytes());
            saved.push(b'\n');
        }
        servers.saved = servers.asked.len();
    }

    /// Asks again what was saved.
    fn load(&self, saved: &[u8]) -> Result<(), String> {
        for line in saved.split(|byte| *byte == b'\n') {
            if line.is_empty() {
                continue;
            }
            let saved: SavedAnswer =
                serde_json::from_slice(line).map_err(|error| error.to_string())?;
            let node = self.servers().states.node(saved.server, saved.number);
            let answer = self.answer(&node, &saved.input);
            if halves(answer.node.digest) != saved.after {
                let (server, term) = (saved.server.get(), node.view.term.0);
                return Err(format!(
                    "server {server} no longer does what it did at term {term}"
                ));
            }
        }
        let mut servers = self.servers();
        servers.saved = servers.asked.len();
        Ok(())
    }

    /// The server that an action moves, and its input; `None` if only the network moves.
    fn input(&self, state: &CodeState, action: &Action) -> Option<(usize, Input)> {
        match action {
            Action::Deliver(position) => {
                let message = &state.network[*position as usize];
                let to = message.to.get() as usize - 1;
                Some((to, Input::Deliver(Message::clone(message))))
            }
            local => {
                let slot = usize::from(server_of(local)?.get()) - 1;
                Some((slot, self.local_input(local, state.next_value())?))
            }
        }
    }

    /// The local input that an action is, where a proposal carries `value`.
    fn local_input(&self, action: &Action, value: u64) -> Option<Input> {
        Some(match action {
            Action::Timeout(_) => Input::Timeout,
            Action::LeaseExpire(_) => Input::LeaseExpire,
            Action::Heartbeat(_) => Input::Heartbeat,
            Action::CheckQuorum(_) => Input::CheckQuorum,
            Action::Propose(_) => Input::Propose(value),
            Action::Restart(_) => Input::Restart,
            Action::ProposeConfChange(_) => self.change(0),
            Action::ProposeOtherConfChange(_) => self.change(1),
            Action::ForgetLeader(_) => Input::ForgetLeader,
            Action::Compact(_) => Input::Compact,
            Action::Persist(_) => Input::Persist,
            Action::Apply(_) => Input::Apply,
            Action::ReadIndex(_) => Input::ReadIndex { context: 1 },
            Action::ReadOtherIndex(_) => Input::ReadIndex { context: 2 },
            Action::RestartKeeping(_, kept) => Input::RestartKeeping {
                writes: (*kept).into(),
            },
            Action::TransferLeadership(_, to) => Input::TransferLeadership { to: (*to).into() },
            Action::ReportUnreachable(_, peer) => Input::ReportUnreachable {
                peer: (*peer).into(),
            },
            Action::ReportSnapshot(_, peer, ok) => Input::ReportSnapshot {
                peer: (*peer).into(),
                ok: *ok,
            },
            Action::Deliver(_) | Action::Duplicate(_) | Action::Drop(_) => return None,
        })
    }

    /// The proposal of a change of the menu.
    fn change(&self, place: usize) -> Input {
        Input::ProposeConfChange(self.bounds.changes[place].0.into())
    }

    /// The trace along a path, with what the implementation did.
    pub fn trace(&self, path: &Trace<Code<'a>>, made: Provenance) -> lockstep_traces::Trace {
        let header = Header::new(
            "counterexample",
            "The shortest way to where the implementation violates a property.",
            self.config.clone(),
            made,
        );
        let mut steps = Vec::new();
        let mut before = &path.init;
        for (action, after) in &path.steps {
            let mut expected = None;
            let event = match (self.input(before, action), action) {
                (Some((slot, input)), _) => {
                    let node = &before.servers[slot];
                    let answer = self.answer(node, &input);
                    expected = Some(Expected {
                        outcome: answer.outcome,
                        view: NodeView::clone(&answer.node.view),
                        sent: answer.sent,
                        read_states: answer.read_states,
                    });
                    Event::Server {
                        server: node.id,
                        input,
                    }
                }
                (None, Action::Duplicate(at)) => {
                    Event::Duplicate(Message::clone(&before.network[*at as usize]))
                }
                (None, Action::Drop(at)) => {
                    Event::Drop(Message::clone(&before.network[*at as usize]))
                }
                (None, _) => unreachable!("only the network moves by losses and duplications"),
            };
            steps.push(Step { event, expected });
            before = after;
        }
        lockstep_traces::Trace { header, steps }
    }
}

/// The server that a local event happens to; `None` for what happens to messages.
fn server_of(action: &Action) -> Option<Id> {
    match action {
        Action::Timeout(i)
        | Action::LeaseExpire(i)
        | Action::Heartbeat(i)
        | Action::CheckQuorum(i)
        | Action::Propose(i)
        | Action::Restart(i)
        | Action::ProposeConfChange(i)
        | Action::ProposeOtherConfChange(i)
        | Action::ForgetLeader(i)
        | Action::Compact(i)
        | Action::Persist(i)
        | Action::Apply(i)
        | Action::ReadIndex(i)
        | Action::ReadOtherIndex(i)
        | Action::RestartKeeping(i, _)
        | Action::TransferLeadership(i, _)
        | Action::ReportUnreachable(i, _)
        | Action::ReportSnapshot(i, _, _) => Some(*i),
        Action::Deliver(_) | Action::Duplicate(_) | Action::Drop(_) => None,
    }
}

fn halves(digest: u128) -> [u64; 2] {
    [(digest >> 64) as u64, digest as u64]
}

/// Whether a local event can mean something at a server that looks like this, in a cluster so configured.
pub(crate) fn matters(action: Action, node: &Node, config: &Config) -> bool {
    let view = &node.view;
    let leads = view.role == Role::Leader;
    let knows_leader = view.role == Role::Follower && view.leader.is_some();
    let peer = |id: &Id| view.peers.contains_key(&(*id).into());
    match action {
        Action::Timeout(_) => !leads,
        Action::LeaseExpire(_) => view.lease,
        Action::Heartbeat(_) | Action::CheckQuorum(_) => leads,
        Action::Propose(_) => leads || knows_leader && config.forward_proposals,
        Action::ProposeConfChange(_) | Action::ProposeOtherConfChange(_) => leads,
        Action::Restart(_) => true,
        Action::ForgetLeader(_) => knows_leader,
        Action::Compact(_) => view.applied > view.snapshot.as_ref().map_or(Index(0), |it| it.index),
        Action::TransferLeadership(_, to) => {
            config.server_ids().any(|id| id == ServerId::from(to)) && (leads || knows_leader)
        }
        Action::ReportUnreachable(_, id) | Action::ReportSnapshot(_, id, _) => peer(&id),
        Action::Persist(_) => !view.appends.is_empty(),
        Action::Apply(_) => !view.applies.is_empty(),
        Action::RestartKeeping(_, kept) => usize::from(kept) <= view.appends.len(),
        Action::ReadIndex(_) | Action::ReadOtherIndex(_) => {
            config.reads != Reads::Off && (leads || knows_leader)
        }
        Action::Deliver(_) | Action::Duplicate(_) | Action::Drop(_) => false,
    }
}
