//! Runs many scripts with many inputs on their way at once.

use super::child::NoReply;
use super::wire::{Reply, Request};
use super::{Failure, Link, Seen, read_result, read_views, unexpected};
use crate::target::{Run, Script, TargetError};
use lockstep_traces::{Config, FieldSet, Input, NodeView, ServerId};
use rustc_hash::FxHashMap;
use std::collections::{BTreeSet, VecDeque};

/// The number of inputs that go into one line, at the most.
const INPUTS_PER_LINE: usize = 256;

/// The number of entries of logs that the views of one reply may hold in all, roughly: with each input a log can grow
/// by one.
const ENTRIES_PER_LINE: usize = 1 << 16;

/// The number of breakdowns in one run after which the rest of it is not run.
const MAX_BREAKDOWNS: usize = 3;

/// One call of [`Target::run`](crate::target::Target::run).
pub struct Runner<'a, 'script> {
    link: &'a mut Link,
    config: &'a Config,
    ids: Vec<ServerId>,
    scripts: &'a [Script<'script>],
    shown: FieldSet,
    done: &'a mut dyn FnMut(usize, Run),
    /// Scripts that were not sent yet.
    waiting: VecDeque<usize>,
    /// Scripts that were sent, by session.
    under_way: FxHashMap<u64, UnderWay>,
    inputs_in_flight: usize,
}

/// The state of a script that was sent.
struct UnderWay {
    script: usize,
    /// The last view of every server.
    views: Vec<NodeView>,
    /// The replies to its inputs so far.
    replies: usize,
    run: Run,
}

impl<'a, 'script> Runner<'a, 'script> {
    pub fn new(
        link: &'a mut Link,
        config: &'a Config,
        scripts: &'a [Script<'script>],
        shown: FieldSet,
        done: &'a mut dyn FnMut(usize, Run),
    ) -> Self {
        Runner {
            link,
            config,
            ids: config.server_ids().collect(),
            scripts,
            shown,
            done,
            waiting: (0..scripts.len()).collect(),
            under_way: FxHashMap::default(),
            inputs_in_flight: 0,
        }
    }

    /// Runs everything. A program that breaks down is started again, and the input at which it did is looked
    /// for. One that does so again and again, or that falls silent, is not given the rest.
    pub fn run(mut self) -> Result<(), TargetError> {
        for _ in 0..MAX_BREAKDOWNS {
            let Err(failure) = self.run_ahead() else {
                return Ok(());
            };
            let why = self.link.broken(failure);
            if why == NoReply::Interrupted {
                return Err(TargetError::Interrupted);
            }
            let suspects: BTreeSet<usize> =
                self.under_way.drain().map(|(_, it)| it.script).collect();
            self.inputs_in_flight = 0;
            if suspects.is_empty() {
                // It broke down before it was given anything.
                return Err(why.into_setup());
            }
            let silent = matches!(why, NoReply::Silent(_));
            self.find_culprit(suspects, why)?;
            if silent {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Sends ahead and handles replies as they come, until every script is done.
    fn run_ahead(&mut self) -> Result<(), Failure> {
        let limit = self.link.options.inputs_in_flight;
        loop {
            while self.inputs_in_flight < limit {
                let Some(script) = self.waiting.pop_front() else {
                    break;
                };
                self.send(script)?;
            }
            if self.under_way.is_empty() {
                return Ok(());
            }
            let reply = self.link.receive()?;
            self.handle(reply)?;
        }
    }

    fn send(&mut self, script: usize) -> Result<(), Failure> {
        let started = UnderWay {
            script,
            views: Vec::new(),
            replies: 0,
            run: empty_run(),
        };
        let session = match self.link.open(self.config, &self.ids) {
            Ok(session) => session,
            Err(failure) => {
                self.waiting.push_front(script);
                return Err(failure);
            }
        };
        self.under_way.insert(session, started);
        let steps = &self.scripts[script].steps;
        self.inputs_in_flight += steps.len();
        let per_line = (ENTRIES_PER_LINE / steps.len().max(1)).clamp(1, INPUTS_PER_LINE);
        for inputs in steps.chunks(per_line) {
            self.link.send(Request::Apply { session, inputs })?;
        }
        self.link.send(Request::Close { session })
    }

    fn handle(&mut self, reply: Reply) -> Result<(), Failure> {
        let (Reply::Opened { session, .. }
        | Reply::Applied { session, .. }
        | Reply::Closed { session, .. }) = reply
        else {
            return Err(unexpected(&reply));
        };
        let Some(under_way) = self.under_way.get_mut(&session) else {
            return Err(unexpected(&reply));
        };
        let steps = &self.scripts[under_way.script].steps;
        match reply {
            Reply::Opened { views, .. } if under_way.run.initial.is_empty() => {
                under_way.run.initial = read_views(views, &[], self.ids.len(), self.shown)?;
                under_way.views.clone_from(&under_way.run.initial);
                Ok(())
            }
            Reply::Applied { results, .. } => {
                // Each reply gives the program more time, so there must be an end to those that say nothing.
                under_way.replies += 1;
                if under_way.replies > steps.len() {
                    return Err(Failure::Reply(format!(
                        "more replies than inputs in session {session}"
                    )));
                }
                self.inputs_in_flight = self.inputs_in_flight.saturating_sub(results.len());
                for result in results {
                    if under_way.run.failed.is_some() {
                        break;
                    }
                    let Some((id, _)) = steps.get(under_way.run.steps.len()) else {
                        return Err(Failure::Reply(format!(
                            "more results than inputs in session {session}"
                        )));
                    };
                    under_way.take(result, *id, &self.ids, self.shown)?;
                }
                Ok(())
            }
            Reply::Closed { views, .. } => {
                if under_way.run.failed.is_none() {
                    let answered = under_way.run.steps.len();
                    if answered != steps.len() {
                        return Err(Failure::Reply(format!(
                            "{answered} results for {} inputs in session {session}",
                            steps.len()
                        )));
                    }
                    under_way.run.last =
                        read_views(views, &under_way.views, self.ids.len(), self.shown)?;
                }
                if let Some(finished) = self.under_way.remove(&session) {
                    (self.done)(finished.script, finished.run);
                }
                Ok(())
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Runs the scripts that were under way when the program broke down once more, one by one and input
    /// by input, until it breaks down again: that run is handed over with the input at its end.
    ///
    /// If it never does, the fault shows only with all of them on their way at once. It is one all the same,
    /// and is handed over at the end of the last of them.
    fn find_culprit(&mut self, suspects: BTreeSet<usize>, why: NoReply) -> Result<(), TargetError> {
        let count = suspects.len();
        let mut suspects = suspects.into_iter();
        while let Some(script) = suspects.next() {
            let (mut run, broke_down) = self.run_slowly(script)?;
            if !broke_down && suspects.len() == 0 {
                run.last = Vec::new();
                run.failed = Some(format!(
                    "{}\nIt was given {count} scripts at once, of which this is one, and did not break down \
                     when it was given them one by one",
                    why.clone().into_text()
                ));
            }
            (self.done)(script, run);
            if broke_down {
                for script in suspects.rev() {
                    self.waiting.push_front(script);
                }
                break;
            }
        }
        Ok(())
    }

    /// The run, and whether the program broke down in it.
    fn run_slowly(&mut self, script: usize) -> Result<(Run, bool), TargetError> {
        let mut slow = UnderWay {
            script,
            views: Vec::new(),
            replies: 0,
            run: empty_run(),
        };
        let Err(failure) = self.step_through(&mut slow) else {
            return Ok((slow.run, false));
        };
        match self.link.broken(failure) {
            NoReply::Interrupted => Err(TargetError::Interrupted),
            why => {
                slow.run.failed = Some(why.into_text());
                Ok((slow.run, true))
            }
        }
    }

    fn step_through(&mut self, slow: &mut UnderWay) -> Result<(), Failure> {
        let session = self.link.open(self.config, &self.ids)?;
        match self.link.receive()? {
            Reply::Opened {
                session: of, views, ..
            } if of == session => {
                slow.run.initial = read_views(views, &[], self.ids.len(), self.shown)?;
                slow.views.clone_from(&slow.run.initial);
            }
            other => return Err(unexpected(&other)),
        }
        for step in &self.scripts[slow.script].steps {
            let inputs: &[(ServerId, &Input)] = std::slice::from_ref(step);
            self.link.send(Request::Apply { session, inputs })?;
            match self.link.receive()? {
                Reply::Applied {
                    session: of,
                    mut results,
                } if of == session && results.len() == 1 => {
                    slow.take(results.remove(0), step.0, &self.ids, self.shown)?;
                }
                other => return Err(unexpected(&other)),
            }
            if slow.run.failed.is_some() {
                break;
            }
        }
        self.link.send(Request::Close { session })?;
        match self.link.receive()? {
            Reply::Closed { session: of, views } if of == session => {
                if slow.run.failed.is_none() {
                    slow.run.last = read_views(views, &slow.views, self.ids.len(), self.shown)?;
                }
                Ok(())
            }
            other => Err(unexpected(&other)),
        }
    }
}

impl UnderWay {
    /// Adds the result of the next input.
    fn take(
        &mut self,
        result: super::WireResult,
        server: ServerId,
        ids: &[ServerId],
        shown: FieldSet,
    ) -> Result<(), Failure> {
        let view = ids
            .iter()
            .position(|id| *id == server)
            .and_then(|position| self.views.get_mut(position))
            .ok_or_else(|| Failure::Reply(format!("the cluster has no server {server}")))?;
        match read_result(result, view, shown)? {
            Seen::Observed(observation) => {
                view.clone_from(&observation.view);
                self.run.steps.push(*observation);
            }
            Seen::Crashed(what) => self.run.failed = Some(what),
        }
        Ok(())
    }
}

fn empty_run() -> Run {
    Run {
        initial: Vec::new(),
        steps: Vec::new(),
        last: Vec::new(),
        failed: None,
    }
}
