//! The broken twins of the application: a server that says one thing wrongly is found out, by the check
//! that is there for it.

use super::super::raft_config;
use super::*;
use lockstep_raft::{ReadState, Role, Snapshot, TimerEvent};
use lockstep_traces::{Config, ServerId};

/// A server that has a hand in every `Ready`.
struct Tampered {
    core: Core<MemoryStorage>,
    tamper: fn(&mut Ready),
}

impl Node for Tampered {
    fn core(&self) -> &Core<MemoryStorage> {
        &self.core
    }
    fn storage_mut(&mut self) -> &mut MemoryStorage {
        self.core.storage_mut()
    }
    fn ready_into(&mut self, ready: &mut Ready) -> Result<(), lockstep_raft::Error> {
        self.core.ready_into(ready)?;
        (self.tamper)(ready);
        Ok(())
    }
    fn advance(&mut self) -> Result<TimerReset, lockstep_raft::Error> {
        self.core.advance()
    }
    fn apply_conf_change(
        &mut self,
        change: ConfChangeV2,
    ) -> Result<(ConfState, TimerReset), lockstep_raft::Error> {
        self.core.apply_conf_change(change)
    }
    fn step(&mut self, message: Message) -> Result<TimerReset, lockstep_raft::Error> {
        self.core.step(message)
    }
}

/// The life of a server that is alone: it is elected, takes two proposals at once, and hears a stranger's
/// vote request of a higher term. What it complained of, if it did.
fn live(asynchronously: bool, tamper: fn(&mut Ready)) -> Result<Settled, TargetError> {
    let group = Config {
        servers: 1,
        max_inflight: 1,
        ..Config::PAPER
    };
    let setup = raft_config(&group, ServerId::new(1).expect("not zero"))?;
    let mut raft = setup.raft;
    raft.async_storage_writes = asynchronously;
    let mut application = Application::new(&setup.storage, raft.applied);
    let core = Core::new(&raft, setup.storage).map_err(failed)?;
    let mut node = Tampered { core, tamper };
    let mut all = application.settle(&mut node)?;
    let _ = node
        .core
        .on_timer(TimerEvent::ElectionTimeout)
        .map_err(failed)?;
    let mut more = |node: &mut Tampered| {
        let mut settled = application.settle(node)?;
        all.sent.append(&mut settled.sent);
        all.handed.append(&mut settled.handed);
        Ok::<(), TargetError>(())
    };
    more(&mut node)?;
    for value in ["1", "2"] {
        node.core.propose(value.into()).map_err(failed)?;
    }
    more(&mut node)?;
    let last = node.core.log().last_id().map_err(|it| failed(it.into()))?;
    let request = Message {
        from: NodeId::new(2).expect("not zero"),
        to: node.core.id(),
        term: lockstep_raft::Term(9),
        body: Body::RequestVote { last, force: false },
    };
    let _ = node.core.step(request).map_err(failed)?;
    more(&mut node)?;
    Ok(all)
}

#[test]
fn a_server_that_says_what_is_so_is_believed() {
    let plain = live(false, |_| ()).expect("nothing is wrong");
    let indexes: Vec<_> = plain.handed.iter().map(|it| it.index.0).collect();
    assert_eq!(indexes, [1, 2, 3]);
    assert!(plain.sent.iter().all(|it| it.after_persist));
    assert_eq!(plain.sent.len(), 1);
    assert_eq!(live(true, |_| ()), Ok(plain), "asynchronously too");
}

#[test]
fn every_contradiction_is_found_out() {
    type Tamper = fn(&mut Ready);
    let tampers: [(&str, Tamper); 14] = [
        ("Ready::soft_state", |it| it.soft_state = None),
        ("Ready::soft_state", |it| {
            it.soft_state.get_or_insert(SoftState {
                leader: None,
                role: Role::Follower,
            });
        }),
        ("Ready::hard_state", |it| it.hard_state = None),
        ("Ready::hard_state", |it| {
            if let Some(hard_state) = &mut it.hard_state {
                hard_state.commit = Index(0);
            }
        }),
        ("Ready::must_sync", |it| it.must_sync = true),
        ("Ready::must_sync", |it| it.must_sync = false),
        ("a read that nobody asked for", |it| {
            it.read_states.push(ReadState {
                index: Some(Index(0)),
                context: "".into(),
            });
        }),
        ("Ready::aborted_transfers", |it| {
            it.aborted_transfers.push(NodeId::APPLY_THREAD);
        }),
        ("Ready::snapshot", |it| {
            it.snapshot = Some(Snapshot::default())
        }),
        ("messages are early", |it| it.early_messages += 1),
        ("is stored already", |it| {
            if it.entries.len() == 2 {
                it.entries.insert(
                    0,
                    Entry {
                        index: Index(1),
                        term: lockstep_raft::Term(1),
                        ..it.entries[0].clone()
                    },
                );
                it.entries[0].data = "".into();
            }
        }),
        ("not stored", |it| {
            for entry in &mut it.committed_entries {
                entry.data = "3".into();
            }
        }),
        ("what it vouches for", |it| {
            for message in &mut it.messages {
                message.term.0 += 1;
            }
        }),
        ("without anything in it", |it| {
            // The first `Ready` after the proposals, which changes neither term nor role.
            if it.soft_state.is_none() && it.hard_state.is_none() {
                *it = Ready::default();
            }
        }),
    ];
    for (text, tamper) in tampers {
        let error = live(false, tamper).expect_err(text).to_string();
        assert!(error.contains(text), "{text}: {error}");
    }
}

#[test]
fn every_contradiction_of_a_storage_thread_is_found_out() {
    type Tamper = fn(&mut Ready);
    fn append(ready: &mut Ready) -> Option<&mut StorageAppend> {
        ready.messages.iter_mut().find_map(|it| match &mut it.body {
            Body::StorageAppend(append) => Some(append.as_mut()),
            _ => None,
        })
    }
    fn applies(ready: &mut Ready) -> impl Iterator<Item = &mut Vec<Message>> {
        ready
            .messages
            .iter_mut()
            .filter_map(|it| match &mut it.body {
                Body::StorageApply { responses, .. } => Some(responses),
                _ => None,
            })
    }
    let tampers: [(&str, Tamper); 13] = [
        ("StorageAppend::hard_state", |it| {
            if let Some(append) = append(it) {
                append.hard_state = None;
            }
        }),
        ("StorageAppend::entries", |it| {
            if let Some(append) = append(it) {
                append.entries.pop();
            }
        }),
        ("StorageAppend::snapshot", |it| {
            if let Some(append) = append(it) {
                append.snapshot = Some(Snapshot::default());
            }
        }),
        ("StorageAppend: term", |it| {
            for message in &mut it.messages {
                message.term.0 += 1;
            }
        }),
        ("StorageApply::entries", |it| {
            for message in &mut it.messages {
                if let Body::StorageApply { entries, .. } = &mut message.body {
                    entries.pop();
                }
            }
        }),
        ("the number of responses to StorageApply", |it| {
            applies(it).for_each(|responses| responses.push(responses[0].clone()));
        }),
        ("StorageApplyResponse: from", |it| {
            applies(it).for_each(|responses| responses[0].from = NodeId::APPEND_THREAD);
        }),
        ("StorageApplyResponse: term", |it| {
            applies(it).for_each(|responses| responses[0].term.0 += 1);
        }),
        ("StorageApplyResponse::entries", |it| {
            for response in applies(it).flatten() {
                if let Body::StorageApplyResponse { entries } = &mut response.body {
                    entries.clear();
                }
            }
        }),
        ("no response to StorageApply", |it| {
            applies(it).for_each(|responses| responses[0].body = Body::TimeoutNow);
        }),
        ("0 appends", |it| {
            let keep = |it: &Message| it.to != NodeId::APPEND_THREAD;
            it.messages.retain(keep);
            it.early_messages = it.messages.len();
        }),
        ("the number of StorageApply", |it| {
            let keep = |it: &Message| it.to != NodeId::APPLY_THREAD;
            it.messages.retain(keep);
            it.early_messages = it.messages.len();
        }),
        ("Ready::early_messages", |it| {
            it.early_messages = it.early_messages.saturating_sub(1);
        }),
    ];
    for (text, tamper) in tampers {
        let error = live(true, tamper).expect_err(text).to_string();
        assert!(error.contains(text), "{text}: {error}");
    }
}

/// A message that is early where it must wait, or the other way round, is one with another mark.
#[test]
fn the_mark_is_the_place_in_the_ready() {
    let early = live(false, |it| it.early_messages = it.messages.len());
    let early = early.expect("it is for the comparison to say what is wrong");
    assert!(early.sent.iter().all(|it| !it.after_persist));
}
