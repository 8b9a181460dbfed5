//! One explanation of the lines so far: a state of the cluster, and the next lines of inputs that are under way.

use super::line::{Line, Single};
use super::moment::{Choices, Kind, Moment, Seen, Shown};
use super::node::{Node, Phase};
use lockstep_model::recorded::{
    Body, Entry, HardState, Image, Log, Message, Payload, Position, Stimulus, pre_vote,
};
use lockstep_model::{ConfChange, Configuration, Id, MAX_MEMBERS, Settings};
use lockstep_traces::Role;
use std::collections::VecDeque;
use std::sync::Arc;

type Network = im::HashMap<Seen, Flight, rustc_hash::FxBuildHasher>;

/// A message that was sent, and may be received any number of times.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flight {
    message: Message,
    /// The `Ready` with which it leaves; the earliest if it was sent several times.
    batch: u64,
}

/// How many things are changed in an input at once that another line has told otherwise.
const MOST_CHANGES: usize = 3;

/// What is assumed of the settings of the run.
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
    /// What the lines decide.
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
    /// How many inputs there were of which no line tells.
    pub silent: u64,
}

/// A line that was explained, and the server before it if no input was under way.
#[derive(Clone, Debug)]
struct Past {
    before: Option<Arc<Node>>,
    line: Arc<Line>,
}

/// How many lines of a server are looked back on for an input that shows late.
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

/// The lines that tell of a plan before the one that is to be explained.
#[derive(Clone, Copy)]
struct Told<'a> {
    consumed: &'a [Arc<Line>],
    /// Whether the line may also begin another input.
    may_begin: bool,
}

impl Told<'_> {
    /// The line is the first one.
    const BEGINS: Told<'static> = Told {
        consumed: &[],
        may_begin: true,
    };
}

/// Makes a plan of the inputs of which no line tells, those of which lines tell, and whether it is the last.
type Planner<'a> = dyn Fn(&Vec<Stimulus>, Vec<Stimulus>, bool) -> Plan + 'a;

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

    /// How many appends with entries are on their way to each peer of a leader.
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

    /// What a line begins that is no line of an input that is under way.
    fn begin(&self, line: &Arc<Line>, it: &Assumed, attempts: &mut Attempts) -> Vec<World> {
        let Some(node) = &self.nodes[place(line.server)] else {
            return Vec::new();
        };
        let mut worlds = Vec::new();
        let mut candidates = vec![(Arc::clone(node), Vec::new())];
        for settled in settled(node, it) {
            candidates.push(settled);
        }
        for (node, silent) in candidates {
            // Whether a campaign was asked for by a transfer is decided when its requests are received.
            let first_only = matches!(line.kind, Kind::BecomeCandidate | Kind::BecomeFollower);
            for plan in self.plans(&node, silent, line, it, attempts) {
                worlds.extend(self.execute(plan, Told::BEGINS, line, &mut None, it, attempts));
                if first_only && !worlds.is_empty() {
                    break;
                }
            }
            if !worlds.is_empty() {
                break;
            }
        }
        worlds
    }

    /// Executes a plan: the lines that were consumed must be its first ones, and the line the next.
    fn execute(
        &self,
        plan: Plan,
        Told {
            consumed,
            may_begin,
        }: Told<'_>,
        line: &Arc<Line>,
        missed: &mut Option<Turn>,
        it: &Assumed,
        attempts: &mut Attempts,
    ) -> Vec<World> {
        let i = place(line.server);
        let mut node = (*plan.node).clone();
        let mut moments = Vec::new();
        let inputs = || names(&plan);
        let default = plan.node.choices();
        if node
            .take(&plan.silent, &default, false, &mut moments)
            .is_none()
        {
            fail(
                attempts,
                &inputs(),
                "an input of which no line tells is refused",
            );
            return Vec::new();
        }
        if let Some(first) = moments.first() {
            fail(
                attempts,
                &inputs(),
                &format!("there is no line for {first}"),
            );
            return Vec::new();
        }
        let first = consumed.first().unwrap_or(line);
        if plan.shows_before && !Shown::of(&node.server).is(first) {
            let why = differs(&Shown::of(&node.server), first);
            fail(attempts, &inputs(), &why);
            return Vec::new();
        }
        let mut world = self.clone();
        world.silent += plan.silent.len() as u64;
        if line.kind == Kind::Ready && plan.main.is_empty() && consumed.is_empty() {
            node.ready(it.is_async);
            world.nodes[i] = Some(Arc::new(node));
            world.turns[i] = None;
            return vec![world];
        }
        if node
            .take(&plan.main, &plan.choices, plan.hides_change, &mut moments)
            .is_none()
        {
            fail(
                attempts,
                &inputs(),
                "the server refuses it, and writes no line",
            );
            return Vec::new();
        }
        node.gone = node.gone.max(plan.choices.gone);
        node.snapshot = node.snapshot.max(plan.choices.snapshot);
        let done = vec![false; moments.len()];
        let skip = usize::from(plan.shows_before);
        let mut turn = Turn {
            plan,
            moments,
            done,
            next: 0,
            consumed: Vec::new(),
        };
        let batch = node.batch + 1;
        for (number, earlier) in consumed.iter().enumerate() {
            if number < skip {
                turn.consumed.push(Arc::clone(earlier));
                continue;
            }
            match turn.take(earlier) {
                Some(found) => {
                    if let Some((seen, message)) = turn.moments[found].message.clone() {
                        world.sent(seen, message, batch);
                    }
                }
                None => return Vec::new(),
            }
        }
        world.nodes[i] = Some(Arc::new(node));
        if consumed.is_empty() && skip == 1 {
            turn.consumed.push(Arc::clone(line));
            world.turns[i] = Some(turn);
            return vec![world];
        }
        let over = turn.next >= turn.moments.len();
        if over && !consumed.is_empty() {
            if !may_begin {
                return Vec::new();
            }
            world.turns[i] = Some(turn);
            return world.begin(line, it, attempts);
        }
        if attempts.is_some() && turn.next < turn.moments.len() {
            let expected = &turn.moments[turn.next];
            if !expected.is(line) {
                fail(attempts, &names(&turn.plan), &mismatch(expected, line));
            }
        }
        if over && attempts.is_some() {
            fail(attempts, &names(&turn.plan), "it is not told by any line");
        }
        world.turns[i] = Some(turn);
        match world.matches(i, line) {
            true => vec![world],
            false => {
                *missed = world.turns[i].take();
                Vec::new()
            }
        }
    }

    /// The other ways to explain the lines of the last input of a server, and this one.
    fn otherwise(
        &self,
        line: &Arc<Line>,
        may_begin: bool,
        it: &Assumed,
        attempts: &mut Attempts,
    ) -> Vec<World> {
        let i = place(line.server);
        let Some(turn) = &self.turns[i] else {
            return Vec::new();
        };
        let mut tried: Vec<Plan> = Vec::new();
        let mut next: Vec<Plan> = turn.alternatives(line, it);
        for _ in 0..MOST_CHANGES {
            let mut refined = Vec::new();
            for plan in next {
                if tried.contains(&plan) {
                    continue;
                }
                let mut missed = None;
                let found = self.execute(
                    plan.clone(),
                    Told {
                        consumed: &turn.consumed,
                        may_begin,
                    },
                    line,
                    &mut missed,
                    it,
                    attempts,
                );
                if !found.is_empty() {
                    return found;
                }
                refined.extend(missed.iter().flat_map(|turn| turn.choices_of(line)));
                tried.push(plan);
            }
            next = refined;
        }
        Vec::new()
    }

    /// The inputs that a line may begin.
    fn plans(
        &self,
        node: &Arc<Node>,
        silent: Vec<Stimulus>,
        line: &Line,
        it: &Assumed,
        attempts: &mut Attempts,
    ) -> Vec<Plan> {
        let mut silent = silent;
        let server = &node.server;
        let own = server.name();
        // Of pre-votes no line tells.
        let asks = line.role == Role::PreCandidate && !node.is_pre_candidate();
        if asks && it.settings.config().pre_vote && line.kind != Kind::BecomeFollower {
            silent.push(Stimulus::Timeout);
        }
        let plan = |silent: &Vec<Stimulus>, main: Vec<Stimulus>, shows_before: bool| Plan {
            node: Arc::clone(node),
            silent: silent.clone(),
            main,
            choices: node.choices(),
            shows_before,
            hides_change: false,
        };
        let by_itself = |main: Vec<Stimulus>| plan(&silent, main, false);
        let mut plans = Vec::new();
        match line.kind {
            Kind::Ready => {
                let mut node = (**node).clone();
                if !it.is_async && !node.outstanding.is_empty() {
                    silent.extend(node.silently_written());
                    if !node.outstanding.is_empty() {
                        fail(
                            attempts,
                            "Ready",
                            "the server has not heard itself since the last Ready",
                        );
                        return Vec::new();
                    }
                    silent.extend(node.applied_changes());
                }
                plans.push(Plan {
                    node: Arc::new(node),
                    ..plan(&silent, Vec::new(), true)
                });
            }
            Kind::ApplyConfChange => match node.next_change() {
                Some(index) => plans.push(by_itself(vec![Stimulus::ApplyEntry(index)])),
                None => fail(
                    attempts,
                    "an entry is applied",
                    "no committed change of the configuration was handed over to be applied",
                ),
            },
            kind if kind.receives() => {
                let Some(seen) = &line.message else {
                    return plans;
                };
                if seen.to != own || Kind::of_receipt(seen.body) != kind {
                    fail(
                        attempts,
                        "a message",
                        "it is not for this server, or not of this kind",
                    );
                    return plans;
                }
                if seen.from == own {
                    let mut node = (**node).clone();
                    match node.hears_itself(seen) {
                        Some((before, message)) => {
                            silent.extend(before);
                            plans.push(Plan {
                                node: Arc::new(node),
                                ..plan(&silent, vec![Stimulus::HearItself(message)], true)
                            });
                        }
                        None => fail(
                            attempts,
                            "what the server has told itself",
                            "no write is done with which the server would hear this next",
                        ),
                    }
                    return plans;
                }
                match self.network.get(seen) {
                    Some(flight) => {
                        plans.push(plan(
                            &silent,
                            vec![Stimulus::Deliver(flight.message.clone())],
                            true,
                        ));
                    }
                    None => fail(attempts, "a message", "nobody has sent it"),
                }
            }
            Kind::BecomeFollower => self.follows(line, node, it, &mut plans, &plan, &silent),
            Kind::BecomeCandidate => {
                let voters = server.configuration().all_voters_set();
                let mut before = silent.clone();
                if it.settings.config().pre_vote {
                    if !node.is_pre_candidate() {
                        before.push(Stimulus::Timeout);
                    }
                    let term = server.in_memory().term() + 1;
                    let own_vote = Stimulus::HearItself(pre_vote(own, own, term, true));
                    let mut grants: Vec<Stimulus> = voters
                        .iter()
                        .filter(|from| *from != own)
                        .map(|from| Stimulus::Deliver(pre_vote(from, own, term, true)))
                        .collect();
                    grants.insert(0, own_vote);
                    for last in 0..grants.len() {
                        let mut before = before.clone();
                        before.extend_from_slice(&grants[..last]);
                        plans.push(plan(&before, vec![grants[last].clone()], false));
                    }
                } else {
                    plans.push(by_itself(vec![Stimulus::Timeout]));
                }
                if let Some(from) = voters.iter().find(|from| *from != own) {
                    plans.push(by_itself(vec![Stimulus::Deliver(Message {
                        from,
                        to: own,
                        term: server.in_memory().term(),
                        body: Body::TimeoutNow,
                    })]));
                }
            }
            Kind::Replicate => {
                let main = vec![Stimulus::Propose(vec![Payload::EMPTY])];
                plans.push(by_itself(main));
            }
            Kind::ChangeConf => {
                for change in changes(&line.changes) {
                    let main = vec![Stimulus::Propose(vec![Payload::conf_change(change)])];
                    plans.push(by_itself(main));
                }
            }
            Kind::SendAppendEntriesRequest => {
                let Some(seen) = &line.message else {
                    return plans;
                };
                if seen.body == "Heartbeat" {
                    plans.push(by_itself(vec![Stimulus::Heartbeat]));
                } else {
                    // Somebody has asked for another leader, and gave it up.
                    let ask = |to| Stimulus::TransferLeadership(to);
                    plans.push(by_itself(vec![ask(seen.to), ask(own)]));
                }
            }
            Kind::SendAppendEntriesResponse => {
                // What leaves a joint configuration, and what changes nothing, has no line but this.
                let applied = node.applied();
                plans.extend(applied.map(|applied| by_itself(vec![applied])));
                let leave = Payload::conf_change(ConfChange::LEAVE_JOINT);
                plans.push(by_itself(vec![Stimulus::Propose(vec![leave])]));
                if let Some(voter) = server.configuration().incoming().iter().next() {
                    let nothing = ConfChange::default().add_voter(voter.get());
                    let main = vec![Stimulus::Propose(vec![Payload::conf_change(nothing)])];
                    plans.push(Plan {
                        hides_change: true,
                        ..by_itself(main)
                    });
                }
            }
            _ => fail(
                attempts,
                line.kind.name(),
                "no input begins with such a line",
            ),
        }
        plans
    }

    /// A server becomes a follower, and no message was received that would say why.
    fn follows(
        &self,
        line: &Line,
        node: &Arc<Node>,
        it: &Assumed,
        plans: &mut Vec<Plan>,
        plan: &Planner<'_>,
        silent: &Vec<Stimulus>,
    ) {
        let server = &node.server;
        let own = server.name();
        let term = server.in_memory().term();
        let others: Vec<Id> = server
            .configuration()
            .all_members()
            .iter()
            .filter(|id| *id != own)
            .collect();
        if line.term == term {
            if server.role() == Role::Leader {
                plans.push(plan(silent, vec![Stimulus::CheckQuorum], false));
                let mut twice = silent.clone();
                twice.push(Stimulus::CheckQuorum);
                plans.push(plan(&twice, vec![Stimulus::CheckQuorum], false));
            } else if it.settings.config().pre_vote {
                let mut before = silent.clone();
                if !node.is_pre_candidate() {
                    before.push(Stimulus::Timeout);
                }
                let voters = server.configuration().all_voters_set();
                let rejections: Vec<Stimulus> = voters
                    .iter()
                    .filter(|from| *from != own)
                    .map(|from| Stimulus::Deliver(pre_vote(from, own, term, false)))
                    .collect();
                for last in 0..rejections.len() {
                    let mut before = before.clone();
                    before.extend_from_slice(&rejections[..last]);
                    plans.push(plan(&before, vec![rejections[last].clone()], false));
                }
            }
            return;
        }
        // A message of which no line tells was of a higher term: somebody had that term.
        let nodes = self.nodes.iter().flatten();
        let known = nodes.map(|node| node.server.in_memory().term()).max();
        if line.term > term
            && known.is_some_and(|known| known >= line.term)
            && let Some(from) = others.first()
        {
            let message = pre_vote(*from, own, line.term, false);
            plans.push(plan(silent, vec![Stimulus::Deliver(message)], false));
        }
    }
}

impl Turn {
    /// Takes a line as the next: the number of its moment.
    fn take(&mut self, line: &Arc<Line>) -> Option<usize> {
        let first = self.next;
        let mut found = None;
        if self.moments.get(first)?.is(line) {
            found = Some(first);
        } else if self.moments[first].is_of_campaign() {
            let rest =
                (first..self.moments.len()).take_while(|it| self.moments[*it].is_of_campaign());
            found = rest
                .into_iter()
                .find(|it| !self.done[*it] && self.moments[*it].is(line));
        }
        let found = found?;
        self.done[found] = true;
        while self.done.get(self.next).copied().unwrap_or(false) {
            self.next += 1;
        }
        self.consumed.push(Arc::clone(line));
        Some(found)
    }

    /// The same inputs with what the line says of entries and snapshots.
    fn choices_of(&self, line: &Line) -> Vec<Plan> {
        let mut plans = Vec::new();
        let plan = &self.plan;
        let server = &plan.node.server;
        // How many entries an append carries.
        if let Some(seen) = line
            .message
            .as_ref()
            .filter(|_| line.kind == Kind::SendAppendEntriesRequest)
        {
            if seen.body == "AppendEntries" {
                let earlier = self
                    .consumed
                    .iter()
                    .filter_map(|line| line.message.as_ref());
                let to_peer = |it: &&Seen| {
                    it.body == "AppendEntries" && it.to == seen.to && it.from == seen.from
                };
                let sent: Vec<u32> = earlier.filter(to_peer).map(|it| it.entries).collect();
                let mut choices = plan.choices.clone();
                choices.entries.retain(|(id, _)| *id != seen.to);
                choices
                    .entries
                    .extend(sent.iter().map(|entries| (seen.to, *entries)));
                choices.entries.push((seen.to, seen.entries));
                if seen.entries > 0 && choices != plan.choices {
                    plans.push(Plan {
                        choices,
                        ..plan.clone()
                    });
                }
            }
            if seen.body == "InstallSnapshot" {
                let next = server
                    .next_and_inflight(seen.to)
                    .map_or(1, |(next, _)| next);
                let after = self.moments.get(self.next).and_then(Moment::append_after);
                let lowest = after.unwrap_or(next.saturating_sub(1)) + 1;
                for gone in [lowest.max(plan.choices.gone), seen.entries] {
                    plans.push(Plan {
                        choices: Choices {
                            gone,
                            snapshot: seen.entries,
                            ..plan.choices.clone()
                        },
                        ..plan.clone()
                    });
                }
            }
        }
        plans
    }

    /// Other ways in which the same input could have gone, one of which the line may tell.
    fn alternatives(&self, line: &Line, it: &Assumed) -> Vec<Plan> {
        let mut plans = self.choices_of(line);
        let plan = &self.plan;
        let server = &plan.node.server;
        let leads = Shown::of(server).role == Role::Leader || line.role == Role::Leader;
        // What clients propose in one call.
        if let [Stimulus::Propose(payloads)] = &plan.main[..] {
            let more: Vec<Payload> = match line.kind {
                Kind::Replicate => vec![Payload::EMPTY],
                Kind::ChangeConf => changes(&line.changes)
                    .into_iter()
                    .map(Payload::conf_change)
                    .collect(),
                _ => Vec::new(),
            };
            for payload in more {
                let mut payloads = payloads.clone();
                payloads.push(payload);
                plans.push(Plan {
                    main: vec![Stimulus::Propose(payloads)],
                    ..plan.clone()
                });
            }
        }
        let mut before = |silent: Vec<Stimulus>, plan: &Plan| {
            let mut all = plan.silent.clone();
            all.extend(silent);
            plans.push(Plan {
                silent: all,
                ..plan.clone()
            });
        };
        if let [Stimulus::Deliver(message)] = &plan.main[..] {
            if let Body::AppendEntriesAccepted { index } = message.body {
                // The log may have been compacted beyond what the peer has.
                let gone = plan.choices.gone.max(index + 1);
                let choices = Choices {
                    gone,
                    snapshot: plan.choices.snapshot.max(gone),
                    ..plan.choices.clone()
                };
                before(
                    Vec::new(),
                    &Plan {
                        choices,
                        ..plan.clone()
                    },
                );
            }
            if let Body::RequestVote { last, .. } = &message.body {
                if server.has_lease() {
                    before(vec![Stimulus::LeaseExpire], plan);
                }
                if server.known_leader().is_some() {
                    before(vec![Stimulus::ForgetLeader], plan);
                }
                let by_transfer = Message {
                    body: Body::RequestVote {
                        last: *last,
                        transfer: true,
                    },
                    ..message.clone()
                };
                if by_transfer != *message {
                    before(
                        Vec::new(),
                        &Plan {
                            main: vec![Stimulus::Deliver(by_transfer)],
                            ..plan.clone()
                        },
                    );
                }
            }
        }
        if leads {
            let own = server.name();
            let peers: Vec<Id> = server
                .configuration()
                .all_members()
                .iter()
                .filter(|id| *id != own)
                .collect();
            if it.settings.config().check_quorum {
                before(vec![Stimulus::CheckQuorum], plan);
            }
            for peer in peers {
                before(vec![Stimulus::ReportUnreachable(peer)], plan);
                before(vec![Stimulus::ReportSnapshot(peer, true)], plan);
                before(vec![Stimulus::ReportSnapshot(peer, false)], plan);
            }
        }
        for (node, silent) in settled(&plan.node, it) {
            before(
                silent,
                &Plan {
                    node,
                    ..plan.clone()
                },
            );
        }
        plans
    }
}

impl Moment {
    /// The index after which an append carries entries.
    fn append_after(&self) -> Option<u32> {
        let (seen, _) = self.message.as_ref()?;
        (seen.body == "AppendEntries").then_some(seen.index)
    }
}

/// The server when all is done that may be done without a line: writes, acknowledgements, applying.
fn settled(node: &Arc<Node>, it: &Assumed) -> Vec<(Arc<Node>, Vec<Stimulus>)> {
    let mut written = (**node).clone();
    let stimuli = written.silently_written();
    let mut out = Vec::new();
    let may_apply = it.is_async || written.outstanding.is_empty();
    let applied = written.applied().filter(|_| may_apply);
    let written = Arc::new(written);
    if !stimuli.is_empty() {
        out.push((Arc::clone(&written), stimuli.clone()));
    }
    if let Some(applied) = applied {
        let mut all = stimuli;
        all.push(applied);
        out.push((written, all));
    }
    out
}

/// The changes of the configuration that a line may tell of: it does not show how they take place. Whether a joint configuration
/// is left by itself is left open: that a leader leaves it has the same lines as that somebody proposes it.
fn changes(singles: &[Single]) -> Vec<ConfChange> {
    if singles.is_empty() || singles.len() > ConfChange::MOST {
        return Vec::new();
    }
    let change = singles
        .iter()
        .fold(ConfChange::default(), |change, single| match single {
            Single::Voter(id) => change.add_voter(id.get()),
            Single::Learner(id) => change.add_learner(id.get()),
            Single::Remove(id) => change.remove(id.get()),
        });
    match singles.len() {
        1 => vec![change, change.explicit()],
        // Several changes need a joint configuration anyway.
        _ => vec![change.explicit()],
    }
}

enum Started {
    Yes,
    No(String),
    /// The start is over, and the line is one of its first input.
    Runs,
}

/// The lines of a start.
fn starts(node: &mut Node, line: &Line) -> Started {
    let no = |why: &str| Started::No(why.to_owned());
    match node.phase.clone() {
        Phase::Created { snapshot } => {
            if line.kind != Kind::ApplyConfChange {
                return no("the configuration of the stored snapshot comes first");
            }
            let stored = node.image.log().last_index();
            let first = node.batch == 0
                && stored == 0
                && node.server.in_memory().term() == 0
                && node.images.len() == 1;
            if first && (snapshot > 0 || !line.new_voters.is_empty()) {
                // It starts from a snapshot that nobody has seen being made.
                if line.last_index != snapshot {
                    return no("it starts from a snapshot and has entries after it");
                }
                let configuration = Configuration::voted_by(line.new_voters);
                if snapshot == 0 {
                    let settings = node.settings.begun_with(configuration);
                    let server = node.server.name();
                    *node = Node::start(&settings, server, Image::default(), 0, 0);
                } else {
                    let last = Position {
                        index: snapshot,
                        term: 1,
                    };
                    let log = Log::begin(last, configuration);
                    let image = Image::new(HardState::new(0, None, snapshot), log);
                    let (server, batch) = (node.server.name(), node.batch);
                    let settings = node.settings;
                    *node = Node::start(&settings, server, image, snapshot, batch);
                }
            }
            let shown = Shown::of(&node.server);
            let same = shown.incoming == line.new_voters && line.last_index == shown.last_index;
            if !same || !line.incoming.is_empty() || line.term != 0 {
                return Started::No(format!(
                    "the stored snapshot at {snapshot} has the voters {:?}, and the log ends at {}",
                    shown.incoming, shown.last_index
                ));
            }
            node.phase = Phase::Configured { snapshot };
            Started::Yes
        }
        Phase::Configured { snapshot } => {
            if line.kind != Kind::BecomeFollower {
                return no("the restored term, vote and commit index come next");
            }
            let unknown = node.batch == 0 && snapshot > 0 && node.server.in_memory().term() == 0;
            if unknown {
                // Its hard state is what the line shows.
                let hard_state = HardState::new(line.term, line.vote, line.commit.max(snapshot));
                let log = node.image.log().clone();
                let image = Image::new(hard_state, log);
                let (server, batch) = (node.server.name(), node.batch);
                let settings = node.settings;
                *node = Node::start(&settings, server, image, snapshot, batch);
            }
            let shown = Shown::of(&node.server);
            if !shown.is(line) {
                return Started::No(format!("what may be on disk is: {}", differs(&shown, line)));
            }
            let empty = shown.term == 0 && shown.last_index == 0 && shown.incoming.is_empty();
            node.phase = match empty {
                true => Phase::Fresh,
                false => Phase::Running,
            };
            Started::Yes
        }
        Phase::Fresh => {
            if line.kind != Kind::BecomeFollower || line.term != 1 || line.last_index != 0 {
                return Started::Runs;
            }
            let hard_state = HardState::new(1, None, 0);
            let image = Image::new(hard_state, Log::default());
            let server = node.server.name();
            let settings = node.settings;
            *node = Node::start(&settings, server, image, 0, 0);
            if !Shown::of(&node.server).is(line) {
                return Started::No(differs(&Shown::of(&node.server), line));
            }
            node.phase = Phase::Bootstrapping { peers: 0, added: 0 };
            Started::Yes
        }
        Phase::Bootstrapping { peers, added } => {
            if added > 0 && added == peers {
                return Started::Runs;
            }
            if line.kind != Kind::ApplyConfChange {
                return match added {
                    0 => Started::Runs,
                    _ => no("not all peers are added yet"),
                };
            }
            let peers = match added {
                0 => line.last_index,
                _ => peers,
            };
            let before = node.server.configuration().incoming();
            let new = line
                .new_voters
                .iter()
                .filter(|id| !before.contains(*id))
                .collect::<Vec<_>>();
            let [id] = new[..] else {
                return no("each peer is added by itself");
            };
            let expected = line.commit == peers
                && line.last_index == peers
                && line.term == 1
                && line.vote.is_none()
                && line.role == Role::Follower
                && line.incoming == before
                && line.new_voters.len() == before.len() + 1
                && line.outgoing.is_empty();
            if !expected || peers as usize > MAX_MEMBERS {
                return no(
                    "a server that is given a list of peers has one entry for each, all committed",
                );
            }
            let change = ConfChange::default().add_voter(id.get());
            let mut log = node.image.log().clone();
            log.append(Entry {
                term: 1,
                payload: Payload::conf_change(change),
            });
            let mut voters = before;
            voters.insert(id);
            let added = added + 1;
            let image = Image::new(HardState::new(1, None, added), log);
            let server = node.server.name();
            let settings = node.settings;
            *node = Node::start(&settings, server, image, 0, 0);
            node.server = node
                .server
                .clone()
                .with_configuration(Configuration::voted_by(voters));
            node.phase = Phase::Bootstrapping { peers, added };
            if added == peers {
                // Nothing of it is on disk before the first write.
                node.images.clear();
                node.images.push_back((0, Image::default()));
                node.stored = 0;
                node.must_sync = true;
            }
            Started::Yes
        }
        Phase::Running => Started::Runs,
    }
}

fn fail(attempts: &mut Attempts, inputs: &str, why: &str) {
    if let Some(attempts) = attempts {
        attempts.push(Attempt {
            inputs: inputs.to_owned(),
            why: why.to_owned(),
        });
    }
}

/// In which fields a line differs from what the specification has.
fn differs(shown: &Shown, line: &Line) -> String {
    let fields = shown.differences(line);
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, here, there)| format!("{name} is {here}, the line has {there}"))
        .collect();
    match fields.is_empty() {
        true => "the message is another one".to_owned(),
        false => fields.join("; "),
    }
}

fn mismatch(expected: &Moment, line: &Line) -> String {
    if expected.kind != line.kind {
        return format!("the next line of the server would be {expected}");
    }
    let mut why = differs(&expected.shown, line);
    if let Some((seen, _)) = expected
        .message
        .as_ref()
        .filter(|(seen, _)| Some(seen) != line.message.as_ref())
    {
        why = format!("the message would be {seen}; {why}");
    }
    why
}

/// The inputs of a plan in words.
fn names(plan: &Plan) -> String {
    let name = |stimulus: &Stimulus| match stimulus {
        Stimulus::Deliver(message) => match Seen::of(message) {
            Some(seen) => format!("Deliver({seen})"),
            None => format!("Deliver({:?})", message.body),
        },
        Stimulus::HearItself(message) => format!("HearItself({:?})", message.body),
        other => format!("{other:?}"),
    };
    let main = plan.main.iter().map(name);
    let silent = plan.silent.iter().map(|it| format!("[{}]", name(it)));
    let all: Vec<String> = silent.chain(main).collect();
    match all.is_empty() {
        true => "nothing else".to_owned(),
        false => all.join(", "),
    }
}
