//! The nodes of a script and the messages between them.

use std::cell::RefCell;
use std::rc::Rc;

use lockstep_raft::{
    Body, Entry, EntryKind, Error, Index, Message, MessageKind, NodeId, Storage, StorageAppend,
    Term, wire,
};

use super::command::{Command, NodeTemplate, Recipient};
use super::conf_change::AnyConfChange;
use super::describe;
use super::node::{ELECTION_TIMEOUT_TICKS, HEARTBEAT_TIMEOUT_TICKS, Node, error_sentence};
use super::output::{Level, Output};
use crate::datadriven_script::Case;
use crate::etcd_testdata::Version;

/// Everything that a script acts on. Start each script with a new one.
pub struct InteractionEnv {
    /// Node `n` is at position `n - 1`.
    nodes: Vec<Node>,
    /// Messages that were sent and are neither delivered nor dropped.
    in_flight: Vec<Message>,
    output: Rc<RefCell<Output>>,
}

/// The kind of a recipient's messages to take; all if `None`.
type KindFilter = Option<MessageKind>;

impl Default for InteractionEnv {
    fn default() -> InteractionEnv {
        InteractionEnv::new(Version::default())
    }
}

impl InteractionEnv {
    /// An environment without nodes, which prints everything, in the words of that version.
    pub fn new(version: Version) -> InteractionEnv {
        InteractionEnv {
            nodes: Vec::new(),
            in_flight: Vec::new(),
            output: Rc::new(RefCell::new(Output::new(version))),
        }
    }

    /// Runs one command and returns what it prints; `ok` stands for nothing.
    ///
    /// An error is printed last, whatever the log level.
    pub fn handle(&mut self, case: &Case) -> String {
        let result = Command::parse(case).and_then(|command| self.run(command));
        let mut text = self.output.borrow_mut().take();
        if let Err(problem) = result {
            text.push_str(&problem);
        }
        if text.is_empty() {
            "ok".to_owned()
        } else {
            text
        }
    }

    fn run(&mut self, command: Command) -> Result<(), String> {
        match command {
            Command::Breakpoint => Ok(()),
            Command::AddNodes { count, template } => self.add_nodes(count, &template),
            Command::Campaign { node } => shown(self.node(node)?.raft.campaign()),
            Command::Compact { node, first_index } => self.compact(node, Index(first_index)),
            Command::DeliverMessages { recipients, kind } => {
                if self.deliver(&recipients, kind)? == 0 {
                    self.print("no messages\n");
                }
                Ok(())
            }
            Command::ForgetLeader { node } => shown(self.node(node)?.raft.forget_leader()),
            Command::LogLevel { name } => self.set_level(&name),
            Command::ProcessAppendThread { nodes } => self.for_each(
                &nodes,
                "processing append thread",
                InteractionEnv::process_append_thread,
            ),
            Command::ProcessApplyThread { nodes } => self.for_each(
                &nodes,
                "processing apply thread",
                InteractionEnv::process_apply_thread,
            ),
            Command::ProcessReady { nodes } => {
                self.for_each(&nodes, "handling Ready", InteractionEnv::process_ready)
            }
            Command::Propose { node, data } => self
                .node(node)?
                .raft
                .propose(data.into())
                .map_err(|e| error_sentence(&e)),
            Command::ProposeConfChange { node, change } => {
                let (kind, data) = match &change {
                    AnyConfChange::V1(change) => {
                        (EntryKind::ConfChange, wire::encode_conf_change(change))
                    }
                    AnyConfChange::V2(change) => {
                        (EntryKind::ConfChangeV2, wire::encode_conf_change_v2(change))
                    }
                };
                let node = self.node(node)?;
                // As a message: there a leader puts an empty entry in place of a change that it
                // cannot take, as etcd does always.
                let proposal = Message {
                    from: node.id,
                    to: node.id,
                    term: Term::ZERO,
                    body: Body::Propose {
                        entries: vec![Entry::proposal(kind, data)],
                    },
                };
                node.raft.step(proposal).map_err(|e| error_sentence(&e))
            }
            Command::RaftLog { node } => self.raft_log(node),
            Command::RaftState => self.raft_state(),
            Command::ReportUnreachable { node, peer } => {
                let peer = self.node(peer)?.id;
                shown(self.node(node)?.raft.report_unreachable(peer))
            }
            Command::SendSnapshot { from, to } => self.send_snapshot(from, to),
            Command::SetRandomizedElectionTimeout { node, ticks } => {
                self.node(node)?
                    .raft
                    .timer_mut()
                    .set_randomized_election_timeout_ticks(ticks);
                Ok(())
            }
            Command::Stabilize { nodes, log_level } => {
                let level_before = self.output.borrow().level;
                let result = match log_level {
                    Some(name) => self.set_level(&name).and_then(|()| self.stabilize(&nodes)),
                    None => self.stabilize(&nodes),
                };
                self.output.borrow_mut().level = level_before;
                result
            }
            Command::Status { node } => self.status(node),
            Command::TickElection { node } => self.tick(node, ELECTION_TIMEOUT_TICKS),
            Command::TickHeartbeat { node } => self.tick(node, HEARTBEAT_TIMEOUT_TICKS),
            Command::TransferLeadership { from, to } => {
                let to = self.node(to)?.id;
                // The command shows no error.
                let _ = self.node(from)?.raft.transfer_leadership(to);
                Ok(())
            }
        }
    }

    fn node(&mut self, number: u64) -> Result<&mut Node, String> {
        let position = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
        let node = position.and_then(|position| self.nodes.get_mut(position));
        node.ok_or_else(|| format!("there is no node {number}"))
    }

    fn print(&self, text: &str) {
        self.output.borrow_mut().print(text);
    }

    fn set_level(&mut self, name: &str) -> Result<(), String> {
        self.output.borrow_mut().level = Level::parse(name)?;
        Ok(())
    }

    fn indented<T>(&mut self, action: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.output.borrow_mut().take();
        let result = action(self);
        self.output.borrow_mut().indent_after(before);
        result
    }

    /// Runs the action for each node; under a headline for each, if there are several.
    fn for_each(
        &mut self,
        nodes: &[u64],
        doing: &str,
        action: impl Fn(&mut Self, u64) -> Result<(), String>,
    ) -> Result<(), String> {
        if let &[only] = nodes {
            return action(self, only);
        }
        for &node in nodes {
            self.print(&format!("> {node} {doing}\n"));
            self.indented(|env| action(env, node))?;
        }
        Ok(())
    }

    fn add_nodes(&mut self, count: u64, template: &NodeTemplate) -> Result<(), String> {
        for _ in 0..count {
            let id = NodeId::new(self.nodes.len() as u64 + 1).ok_or("node numbers start at 1")?;
            self.nodes
                .push(Node::new(id, template, Rc::clone(&self.output))?);
        }
        Ok(())
    }

    fn compact(&mut self, node: u64, first_index: Index) -> Result<(), String> {
        let memory = &mut self.node(node)?.raft.storage_mut().memory;
        memory
            .compact(first_index)
            .map_err(|e| error_sentence(&e.into()))?;
        self.raft_log(node)
    }

    /// Delivers or drops messages, and returns how many.
    fn deliver(&mut self, recipients: &[Recipient], kind: KindFilter) -> Result<usize, String> {
        let mut count = 0;
        for recipient in recipients {
            for message in self.take_messages(*recipient, kind) {
                count += 1;
                let dropped = if recipient.drop { "dropped: " } else { "" };
                self.print(&format!("{dropped}{}\n", describe::message(&message)));
                if recipient.drop {
                    continue;
                }
                if let Err(error) = self.node(recipient.node)?.step(message) {
                    self.print(&format!("{}\n", error_sentence(&error)));
                }
            }
        }
        Ok(count)
    }

    fn take_messages(&mut self, recipient: Recipient, kind: KindFilter) -> Vec<Message> {
        let in_flight = std::mem::take(&mut self.in_flight);
        let (taken, left) = in_flight
            .into_iter()
            .partition(|message| is_for(message, recipient, kind));
        self.in_flight = left;
        taken
    }

    fn process_ready(&mut self, number: u64) -> Result<(), String> {
        let node = self.node(number)?;
        let async_storage_writes = node.async_storage_writes;
        let ready = node.raft.ready().map_err(|e| error_sentence(&e))?;
        self.print(&describe::ready(&ready));
        let node = self.node(number)?;
        if !async_storage_writes {
            node.persist(ready.hard_state, &ready.entries, ready.snapshot.as_ref())?;
            node.apply(&ready.committed_entries)?;
        }
        for message in ready.messages {
            match message.to {
                NodeId::APPEND_THREAD => self.node(number)?.append_work.push_back(message),
                NodeId::APPLY_THREAD => self.node(number)?.apply_work.push_back(message),
                _ => self.in_flight.push(message),
            }
        }
        if !async_storage_writes {
            self.node(number)?
                .raft
                .advance()
                .map_err(|e| error_sentence(&e))?;
        }
        Ok(())
    }

    fn process_append_thread(&mut self, number: u64) -> Result<(), String> {
        let Some(message) = self.node(number)?.append_work.pop_front() else {
            self.print("no append work to perform");
            return Ok(());
        };
        self.print(&format!(
            "Processing:\n{}\n",
            describe::message_without_responses(&message)
        ));
        let Body::StorageAppend(append) = message.body else {
            return Err("the append thread got a message of another kind".to_owned());
        };
        let StorageAppend {
            hard_state,
            entries,
            snapshot,
            responses,
        } = *append;
        self.node(number)?
            .persist(hard_state, &entries, snapshot.as_ref())?;
        self.respond(responses);
        Ok(())
    }

    fn process_apply_thread(&mut self, number: u64) -> Result<(), String> {
        let Some(message) = self.node(number)?.apply_work.pop_front() else {
            self.print("no apply work to perform");
            return Ok(());
        };
        self.print(&format!(
            "Processing:\n{}\n",
            describe::message_without_responses(&message)
        ));
        let Body::StorageApply { entries, responses } = message.body else {
            return Err("the apply thread got a message of another kind".to_owned());
        };
        self.node(number)?.apply(&entries)?;
        self.respond(responses);
        Ok(())
    }

    fn respond(&mut self, responses: Vec<Message>) {
        self.print("Responses:\n");
        for response in &responses {
            self.print(&format!("{}\n", describe::message(response)));
        }
        self.in_flight.extend(responses);
    }

    fn raft_log(&mut self, number: u64) -> Result<(), String> {
        let storage = self.node(number)?.raft.storage();
        let sentence = |e: lockstep_raft::StorageError| error_sentence(&e.into());
        let first = storage.first_index().map_err(sentence)?;
        let last = storage.last_index().map_err(sentence)?;
        let text = if last < first {
            format!("log is empty: first index={first}, last index={last}")
        } else {
            describe::entries(
                &storage
                    .entries(first, last.next(), u64::MAX)
                    .map_err(sentence)?,
            )
        };
        self.print(&text);
        Ok(())
    }

    fn raft_state(&mut self) -> Result<(), String> {
        for node in &self.nodes {
            let status = node.raft.status();
            let voter = if status.config.voters.contains(node.id) {
                "(Voter)"
            } else {
                "(Non-Voter)"
            };
            self.print(&format!(
                "{}: {} {voter} Term:{} Lead:{}\n",
                node.id,
                describe::role(status.basic.soft_state.role),
                status.basic.hard_state.term,
                describe::number(status.basic.soft_state.leader)
            ));
        }
        Ok(())
    }

    fn send_snapshot(&mut self, from: u64, to: u64) -> Result<(), String> {
        let to = NodeId::new(to).ok_or("node numbers start at 1")?;
        let sender = self.node(from)?;
        let Ok(snapshot) = sender.raft.storage().snapshot() else {
            // The command shows no error.
            return Ok(());
        };
        let term = sender.raft.basic_status().hard_state.term;
        let message = Message {
            from: sender.id,
            to,
            term,
            body: Body::InstallSnapshot {
                snapshot: Box::new(snapshot),
            },
        };
        self.print(&describe::message(&message));
        self.in_flight.push(message);
        Ok(())
    }

    fn status(&mut self, number: u64) -> Result<(), String> {
        let status = self.node(number)?.raft.status();
        for (id, progress) in &status.progress {
            self.print(&format!("{id}: {progress}\n"));
        }
        Ok(())
    }

    fn tick(&mut self, number: u64, ticks: u32) -> Result<(), String> {
        for _ in 0..ticks {
            self.node(number)?
                .raft
                .tick()
                .map_err(|e| error_sentence(&e))?;
        }
        Ok(())
    }

    fn stabilize(&mut self, nodes: &[u64]) -> Result<(), String> {
        let all: Vec<u64> = (1..=self.nodes.len() as u64).collect();
        let nodes = if nodes.is_empty() { &all } else { nodes };
        while self.stabilize_once(nodes)? {}
        Ok(())
    }

    /// One round of work for each node; says whether there was any.
    fn stabilize_once(&mut self, nodes: &[u64]) -> Result<bool, String> {
        let mut worked = false;
        for &node in nodes {
            if self.node(node)?.raft.has_ready() {
                worked = true;
                self.print(&format!("> {node} handling Ready\n"));
                self.indented(|env| env.process_ready(node))?;
            }
        }
        for &node in nodes {
            let recipient = Recipient { node, drop: false };
            if self
                .in_flight
                .iter()
                .any(|message| is_for(message, recipient, None))
            {
                worked = true;
                self.print(&format!("> {node} receiving messages\n"));
                self.indented(|env| env.deliver(&[recipient], None))?;
            }
        }
        for &node in nodes {
            if !self.node(node)?.append_work.is_empty() {
                worked = true;
                self.print(&format!("> {node} processing append thread\n"));
                while !self.node(node)?.append_work.is_empty() {
                    self.indented(|env| env.process_append_thread(node))?;
                }
            }
        }
        for &node in nodes {
            if !self.node(node)?.apply_work.is_empty() {
                worked = true;
                self.print(&format!("> {node} processing apply thread\n"));
                while !self.node(node)?.apply_work.is_empty() {
                    self.indented(|env| env.process_apply_thread(node))?;
                }
            }
        }
        Ok(worked)
    }
}

/// Whether the message is for this recipient. What a node sends to itself or gets from its storage
/// threads never crosses the network, so it cannot be dropped.
fn is_for(message: &Message, recipient: Recipient, kind: KindFilter) -> bool {
    let local = message.from == message.to
        || message.from.is_storage_thread()
        || message.to.is_storage_thread();
    message.to.get() == recipient.node
        && !(recipient.drop && local)
        && kind.is_none_or(|kind| message.kind() == kind)
}

/// The result of a call as a script shows it. A request that cannot be served is refused with a reason;
/// etcd's calls tell of none.
fn shown(result: Result<(), Error>) -> Result<(), String> {
    match result {
        Err(Error::Refused(_)) => Ok(()),
        result => result.map_err(|e| error_sentence(&e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datadriven_script::{Failure, run_script};

    const SCRIPT: &str = "\
add-nodes 1 voters=(1) index=3 content=abc
----
INFO 1 switched to configuration voters=(1)
INFO 1 became follower at term 0
INFO newRaft 1 [peers: [1], term: 0, commit: 3, applied: 3, lastindex: 3, lastterm: 1]

propose 1 early
----
INFO 1 no leader at term 0; dropping proposal
raft proposal dropped

log-level warn
----
ok

campaign 1
----
ok

stabilize log-level=info
----
> 1 handling Ready
  Ready MustSync=true:
  Lead:0 State:StateCandidate
  HardState Term:1 Vote:1 Commit:3
  INFO 1 received MsgVoteResp from 1 at term 1
  INFO 1 has received 1 MsgVoteResp votes and 0 vote rejections
  INFO 1 became leader at term 1
> 1 handling Ready
  Ready MustSync=true:
  Lead:1 State:StateLeader
  Entries:
  1/4 EntryNormal \"\"
> 1 handling Ready
  Ready MustSync=false:
  HardState Term:1 Vote:1 Commit:4
  CommittedEntries:
  1/4 EntryNormal \"\"

log-level none
----
ok

propose-conf-change 1 v1=true
l2 l3
----
v1 conf change can only have one operation and no transition

raft-state
----
ok
";

    fn run(script: &str) -> Result<usize, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script.txt");
        std::fs::write(&path, script).unwrap();
        let mut environment = InteractionEnv::default();
        run_script(&path, |case| environment.handle(case))
    }

    #[test]
    fn a_script_is_run_with_levels_and_errors() {
        assert_eq!(run(SCRIPT), Ok(8));
    }

    #[test]
    fn any_changed_line_of_a_script_is_noticed() {
        for (number, line) in SCRIPT.lines().enumerate() {
            if line.contains("1/4") || line.contains("INFO") || line.contains("dropped") {
                let broken = line.replace('1', "7").replace("dropp", "stopp");
                let script: Vec<_> = SCRIPT
                    .lines()
                    .enumerate()
                    .map(|(n, line)| if n == number { broken.as_str() } else { line })
                    .collect();
                let failure = run(&(script.join("\n") + "\n")).unwrap_err();
                assert_eq!(failure.line, number + 1, "{failure}");
            }
        }
    }

    #[test]
    fn a_node_that_is_not_there_is_named() {
        let failure = run("campaign 3\n----\nok\n").unwrap_err();
        assert!(failure.report.contains("+there is no node 3"), "{failure}");
    }
}
