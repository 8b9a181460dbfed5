//! One explanation of the lines so far: a state of the cluster, and the next lines of inputs that are under way.
//!
//! * `plans`: the inputs that a line may tell of, and their execution.
//! * `starts`: the lines of a server that starts.
//! * `why`: why an explanation does not go on, in words.

mod plans;
mod starts;
mod why;

use super::line::Line;
use super::moment::{Choices, Kind, Moment, Seen, Shown};
use super::node::{Node, Phase};
use lockstep_model::recorded::{Image, Message, Stimulus};
use lockstep_model::{Id, MAX_MEMBERS, Settings};
use lockstep_traces::{NodeView, Role};
use starts::{Started, starts};
use std::collections::VecDeque;
use std::sync::Arc;
use why::{fail, mismatch, names};

type Network = im::HashMap<Seen, Flight, rustc_hash::FxBuildHasher>;

/// A message that was sent, and may be received any number of times.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flight {
    message: Message,
    /// The `Ready` with which it leaves; the earliest if it was sent several times.
    batch: u64,
}

/// Assumptions on the settings of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assumed {
    /// The settings of the specification.
    pub settings: Settings,
    /// Asynchronous storage writes.
    pub is_async: bool,
}

/// An input that is under way at a server, and those before it of which no line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    /// The server before.
    node: Arc<Node>,
    /// Inputs of which no line tells.
    silent: Vec<Stimulus>,
    /// The input of which lines tell.
    main: Vec<Stimulus>,
    /// The choices that the lines decide.
    choices: Choices,
    /// The first line shows the server before the input, and is no line of it.
    shows_before: bool,
    /// No line tells which change of the configuration is proposed.
    hides_change: bool,
}

/// A plan in execution.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Turn {
    plan: Plan,
    moments: Vec<Moment>,
    done: Vec<bool>,
    /// The first that is not done.
    next: usize,
    consumed: Vec<Arc<Line>>,
}

/// One explanation of the lines so far.
#[derive(Clone, Debug)]
pub struct World {
    nodes: [Option<Arc<Node>>; MAX_MEMBERS],
    turns: [Option<Turn>; MAX_MEMBERS],
    network: Network,
    /// By server: the `Ready` whose write is known to be on disk, since somebody heard what had to wait for it.
    durable: [u64; MAX_MEMBERS],
    /// By server: its last lines, and its state before each that began an input.
    past: [Arc<VecDeque<Past>>; MAX_MEMBERS],
    /// The number of inputs of which no line tells.
    pub silent: u64,
}

/// A line that was explained, and the server before it if no input was under way.
#[derive(Clone, Debug)]
struct Past {
    before: Option<Arc<Node>>,
    line: Arc<Line>,
}

/// The number of lines of a server that are looked back on for an input that shows late.
const MOST_PAST: usize = 96;

/// Why an explanation does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The inputs that were tried.
    pub inputs: String,
    /// Why they do not explain the line.
    pub why: String,
}

/// Collects why explanations end, when somebody wants to know.
pub type Attempts = Option<Vec<Attempt>>;

fn place(id: Id) -> usize {
    usize::from(id.get()) - 1
}

impl Default for World {
    fn default() -> World {
        World::new()
    }
}

impl World {
    /// Nothing has happened.
    pub fn new() -> World {
        World {
            nodes: Default::default(),
            turns: Default::default(),
            network: Network::default(),
            durable: [0; MAX_MEMBERS],
            past: Default::default(),
            silent: 0,
        }
    }

    /// Whether both explain the same: whatever follows, they go on alike.
    pub fn same(&self, other: &World) -> bool {
        self.nodes == other.nodes
            && self.turns == other.turns
            && self.durable == other.durable
            && (self.network.ptr_eq(&other.network) || self.network == other.network)
    }

    /// The servers, for people.
    pub fn describe(&self) -> Vec<(Id, String)> {
        let nodes = self.nodes.iter().flatten();
        nodes
            .map(|node| (node.server.name(), Shown::of(&node.server).to_string()))
            .collect()
    }

    /// The whole state of a server after the input that is under way, if it was started.
    pub fn view(&self, id: Id) -> Option<NodeView> {
        let node = self.nodes[place(id)].as_ref();
        node.map(|node| node.server.view(&node.settings))
    }

    /// Counts the appends with entries on their way to each peer of a leader.
    pub fn inflight(&self, id: Id) -> Vec<u32> {
        let Some(node) = &self.nodes[place(id)] else {
            return Vec::new();
        };
        let before = self.turns[place(id)].as_ref().map(|turn| &turn.plan.node);
        let servers = [Some(node), before].into_iter().flatten();
        servers
            .flat_map(|node| {
                let members = node.server.configuration().all_members();
                let peers: Vec<_> = members
                    .iter()
                    .filter_map(|peer| node.server.next_and_inflight(peer))
                    .map(|(_, inflight)| inflight as u32)
                    .collect();
                peers
            })
            .filter(|inflight| *inflight > 0)
            .collect()
    }

    /// Takes the line, if it is the next one of an input that is under way. Nothing changes if it is not.
    pub fn goes_on(&mut self, line: &Arc<Line>) -> bool {
        let i = place(line.server);
        let under_way = self.turns[i]
            .as_ref()
            .is_some_and(|turn| turn.next < turn.moments.len());
        let goes_on = under_way && self.matches(i, line);
        if goes_on {
            self.remember(i, None, line);
        }
        goes_on
    }

    fn remember(&mut self, i: usize, before: Option<Arc<Node>>, line: &Arc<Line>) {
        let past = Arc::make_mut(&mut self.past[i]);
        if past.len() == MOST_PAST {
            past.pop_front();
        }
        past.push_back(Past {
            before,
            line: Arc::clone(line),
        });
    }

    /// The explanations of one more line.
    pub fn explain(&self, line: &Arc<Line>, it: &Assumed, attempts: &mut Attempts) -> Vec<World> {
        let i = place(line.server);
        let idle = self.turns[i]
            .as_ref()
            .is_none_or(|turn| turn.next >= turn.moments.len());
        let before = self.nodes[i].clone().filter(|_| idle);
        let mut worlds = self.clone().explained(line, it, attempts);
        for world in &mut worlds {
            if line.kind == Kind::InitState {
                world.past[i] = Arc::default();
            }
            world.remember(i, before.clone(), line);
        }
        worlds
    }

    /// The explanations of a line with an input that showed late: what a leader was told of a peer before an earlier line.
    pub fn reconsider(&self, line: &Arc<Line>, it: &Assumed) -> Vec<World> {
        let i = place(line.server);
        let turn = self.turns[i].as_ref();
        let expected = turn.and_then(|turn| turn.moments.get(turn.next));
        let expected = expected.and_then(|moment| Some(moment.message.as_ref()?.0.to));
        let mut suspects: Vec<Id> = expected
            .into_iter()
            .chain(line.message.as_ref().map(|seen| seen.to))
            .collect();
        suspects.dedup();
        for (number, past) in self.past[i].iter().enumerate().rev() {
            let Some(before) = past
                .before
                .as_ref()
                .filter(|it| it.server.role() == Role::Leader)
            else {
                continue;
            };
            for peer in suspects.iter().copied().filter(|peer| *peer != line.server) {
                let reports = [
                    Stimulus::ReportUnreachable(peer),
                    Stimulus::ReportSnapshot(peer, false),
                    Stimulus::ReportSnapshot(peer, true),
                ];
                for report in reports {
                    let mut node = (**before).clone();
                    let choices = node.choices();
                    let mut moments = Vec::new();
                    let taken = node.take(&[report], &choices, false, &mut moments);
                    if taken.is_none() || !moments.is_empty() || node.server == before.server {
                        continue;
                    }
                    let mut world = self.clone();
                    world.nodes[i] = Some(Arc::new(node));
                    world.turns[i] = None;
                    world.silent += 1;
                    Arc::make_mut(&mut world.past[i]).truncate(number);
                    let lines = self.past[i].iter().skip(number).map(|past| &past.line);
                    let mut worlds = vec![world];
                    for line in lines.chain([line]) {
                        let mut next = Vec::new();
                        for mut world in worlds {
                            match world.goes_on(line) {
                                true => next.push(world),
                                false => next.extend(world.explain(line, it, &mut None)),
                            }
                        }
                        next.truncate(4);
                        worlds = next;
                        if worlds.is_empty() {
                            break;
                        }
                    }
                    if !worlds.is_empty() {
                        return worlds;
                    }
                }
            }
        }
        Vec::new()
    }

    fn explained(mut self, line: &Arc<Line>, it: &Assumed, attempts: &mut Attempts) -> Vec<World> {
        let i = place(line.server);
        if line.kind == Kind::InitState {
            return self.created(line, it, attempts);
        }
        let Some(node) = &self.nodes[i] else {
            fail(
                attempts,
                "nothing",
                "the server was never started (no InitState)",
            );
            return Vec::new();
        };
        if node.phase != Phase::Running {
            let mut node = (**node).clone();
            let next = starts(&mut node, line);
            match next {
                Started::Yes => {
                    self.nodes[i] = Some(Arc::new(node));
                    return vec![self];
                }
                Started::No(why) => {
                    fail(attempts, "the start of the server", &why);
                    return Vec::new();
                }
                Started::Runs => {
                    node.phase = Phase::Running;
                    self.nodes[i] = Some(Arc::new(node));
                }
            }
        }
        if let Some(turn) = &mut self.turns[i]
            && turn.next < turn.moments.len()
        {
            return match self.matches(i, line) {
                true => vec![self],
                false => {
                    if attempts.is_some() {
                        let turn = self.turns[i].as_ref();
                        let turn =
                            turn.map(|turn| (names(&turn.plan), turn.moments[turn.next].clone()));
                        if let Some((inputs, expected)) = turn {
                            fail(attempts, &inputs, &mismatch(&expected, line));
                        }
                    }
                    self.otherwise(line, true, it, attempts)
                }
            };
        }
        let mut worlds = self.begin(line, it, attempts);
        let starts_by_itself =
            !matches!(line.kind, Kind::Ready | Kind::ApplyConfChange) && !line.kind.receives();
        if worlds.is_empty() || starts_by_itself {
            worlds.extend(self.otherwise(line, worlds.is_empty(), it, attempts));
        }
        worlds
    }

    /// Whether the line is the next of the input that is under way; then it is done.
    fn matches(&mut self, i: usize, line: &Arc<Line>) -> bool {
        let Some(turn) = &mut self.turns[i] else {
            return false;
        };
        let Some(found) = turn.take(line) else {
            return false;
        };
        let sent = turn.moments[found].message.clone();
        if let (Some((seen, message)), Some(node)) = (sent, &self.nodes[i]) {
            self.sent(seen, message, node.batch + 1);
        }
        true
    }

    fn sent(&mut self, seen: Seen, message: Message, batch: u64) {
        if seen.from == seen.to {
            return;
        }
        let batch = self
            .network
            .get(&seen)
            .map_or(batch, |it| it.batch.min(batch));
        self.network.insert(seen, Flight { message, batch });
    }

    /// A server is created, perhaps not for the first time.
    fn created(mut self, line: &Line, it: &Assumed, attempts: &mut Attempts) -> Vec<World> {
        let i = place(line.server);
        let empty = line.incoming.is_empty() && line.outgoing.is_empty();
        if line.term != 0 || line.vote.is_some() || line.role != Role::Follower || !empty {
            fail(
                attempts,
                "the start of a server",
                "a server that starts has loaded nothing yet",
            );
            return Vec::new();
        }
        self.turns[i] = None;
        let snapshot = line.commit;
        let Some(node) = self.nodes[i].take() else {
            if line.last_index < snapshot {
                fail(
                    attempts,
                    "the start of a server",
                    "its log ends before its snapshot",
                );
                return Vec::new();
            }
            let mut node = Node::start(&it.settings, line.server, Image::default(), 0, 0);
            node.phase = Phase::Created { snapshot };
            node.stored = line.last_index;
            self.nodes[i] = Some(Arc::new(node));
            return vec![self];
        };
        let kept = self.durable[i].min(node.batch);
        let mut images: Vec<(u64, &Image)> = Vec::new();
        for (place, image) in node.images.iter().enumerate() {
            // What is on disk is this image or a later one.
            let next = node.images.get(place + 1).map(|(batch, _)| *batch);
            let overtaken = next.is_some_and(|next| next <= kept);
            // Until the next image each write brought nothing new.
            let written = next.map_or(node.batch, |next| next - 1);
            let log = image.1.log();
            let fits = log.last_index() == line.last_index && log.snapshot().index <= snapshot;
            if !overtaken && fits && snapshot <= log.last_index() {
                images.push((written, &image.1));
            }
        }
        if images.is_empty() {
            let lengths: Vec<String> = node
                .images
                .iter()
                .map(|(_, it)| it.log().last_index().to_string())
                .collect();
            fail(
                attempts,
                "a crash and a restart",
                &format!(
                    "what may be on disk has logs that end at {}",
                    lengths.join(", ")
                ),
            );
        }
        let mut worlds = Vec::new();
        for (written, image) in images {
            let mut world = self.clone();
            let mut next = Node::start(
                &node.settings,
                line.server,
                image.clone(),
                snapshot,
                node.batch,
            );
            next.gone = node.gone;
            // What waited for a later write has never left.
            world.network.retain(|seen, flight| {
                let lost = flight.batch > written && flight.message.after_persist();
                seen.from != line.server || !(lost || flight.batch > node.batch)
            });
            next.phase = Phase::Created { snapshot };
            world.nodes[i] = Some(Arc::new(next));
            worlds.push(world);
        }
        worlds
    }
}
