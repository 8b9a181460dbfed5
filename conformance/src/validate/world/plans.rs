//! The inputs that a line may tell of, with those of which no line tells, and their execution beside the lines.

use super::super::line::{Line, Single};
use super::super::moment::{Choices, Kind, Moment, Seen, Shown};
use super::super::node::Node;
use super::why::{differs, fail, mismatch, names};
use super::{Assumed, Attempts, Plan, Turn, World, place};
use lockstep_model::recorded::{Body, Message, Payload, Stimulus, pre_vote};
use lockstep_model::{ConfChange, Id};
use lockstep_traces::Role;
use std::sync::Arc;

/// The number of changes at once in an input that another line has told otherwise.
const MOST_CHANGES: usize = 3;

/// The lines that tell of a plan before the one that is to be explained.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub consumed: &'a [Arc<Line>],
    /// Whether the line may also begin another input.
    pub may_begin: bool,
}

impl Told<'_> {
    /// The line is the first one.
    pub const BEGINS: Told<'static> = Told {
        consumed: &[],
        may_begin: true,
    };
}

/// Makes a plan of the inputs of which no line tells, those of which lines tell, and whether it is the last.
type Planner<'a> = dyn Fn(&Vec<Stimulus>, Vec<Stimulus>, bool) -> Plan + 'a;

impl World {
    /// Lists the inputs that a line may begin, if it does not belong to an input under way.
    pub(super) fn begin(
        &self,
        line: &Arc<Line>,
        it: &Assumed,
        attempts: &mut Attempts,
    ) -> Vec<World> {
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
    pub(super) fn execute(
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
    pub(super) fn otherwise(
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
    pub(super) fn plans(
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
                    None => fail(attempts, "a message", "no server has sent it"),
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
    pub(super) fn follows(
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
    pub(super) fn take(&mut self, line: &Arc<Line>) -> Option<usize> {
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
    pub(super) fn choices_of(&self, line: &Line) -> Vec<Plan> {
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
    pub(super) fn alternatives(&self, line: &Line, it: &Assumed) -> Vec<Plan> {
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
pub(super) fn settled(node: &Arc<Node>, it: &Assumed) -> Vec<(Arc<Node>, Vec<Stimulus>)> {
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
pub(super) fn changes(singles: &[Single]) -> Vec<ConfChange> {
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
