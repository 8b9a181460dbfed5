use super::{FORMAT_VERSION, Header, Step};
use crate::{
    Append, Body, ConfChange, Config, Configuration, DurableImage, Entry, Event, HardState, Index,
    Input, Message, NodeView, Payload, PeerView, ProgressState, ReadRequest, ReadState, Reads,
    RejectHint, Role, ServerId, Snapshot, Storage, Term, UnconfirmedRead,
};
use std::collections::BTreeSet;

/// The largest number that may stand in a trace: the largest that every reader of JSON reads exactly.
pub const MAX_NUMBER: u64 = (1 << 53) - 1;

/// The largest cluster that a trace may be about.
pub const MAX_SERVERS: u64 = 64;

/// A field and what is wrong with it.
type Wrong = (String, String);

/// Checks that a header is well formed.
///
/// # Errors
/// The path of the first field that is not, and what is wrong with it.
pub fn check_header(header: &Header) -> Result<(), Wrong> {
    let known = (1..=FORMAT_VERSION).contains(&header.version);
    ensure(known, "lockstep_trace", || {
        format!("must be 1 to {FORMAT_VERSION}")
    })?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match (&header.property, header.version) {
        (None, _) => {}
        (Some(_), 1) => return Err(wrong("property", "is a field of version 2")),
        (Some(name), _) => {
            let named = !name.is_empty() && name.chars().all(plain);
            ensure(named, "property", || {
                "must be the name of a property".to_owned()
            })?;
        }
    }
    let name = &header.name;
    let named = !name.is_empty() && !name.starts_with('.') && name.chars().all(plain);
    ensure(named, "name", || {
        "must be made of letters, digits, `.`, `_` and `-`, and not begin with `.`".to_owned()
    })?;
    let said = !header.purpose.trim().is_empty();
    ensure(said, "purpose", || {
        "must say why the trace exists".to_owned()
    })?;
    let made = !header.made.generator.trim().is_empty();
    ensure(made, "made.generator", || {
        "must say what made the trace".to_owned()
    })?;
    let config = &header.config;
    ensure(
        header.version > 1 || config.is_of_version_1(),
        "config",
        || "has a field of version 2".to_owned(),
    )?;
    match (header.made.timing.as_deref(), header.version) {
        (None, _) | (Some("elapsed" | "silent"), 2..) => {}
        (Some(_), 1) => return Err(wrong("made.timing", "is a field of version 2")),
        (Some(_), _) => return Err(wrong("made.timing", "must be elapsed or silent")),
    }
    let some = (1..=MAX_SERVERS).contains(&config.servers);
    ensure(some, "config.servers", || {
        format!("is {}, must be 1 to {MAX_SERVERS}", config.servers)
    })?;
    check_members(config)?;
    let flows = (1..=MAX_NUMBER).contains(&config.max_inflight);
    ensure(flows, "config.max_inflight", || {
        format!("is {}, must be 1 to {MAX_NUMBER}", config.max_inflight)
    })?;
    let durable = config.storage == Storage::Async || !config.application_in_memory;
    ensure(durable, "config.application_in_memory", || {
        "needs `config.storage` to be `async`".to_owned()
    })?;
    let renewed = config.reads != Reads::LeaseBased || config.check_quorum;
    ensure(renewed, "config.reads", || {
        "is `lease_based`, which needs `config.check_quorum`".to_owned()
    })?;
    check_number(config.max_uncommitted, "config.max_uncommitted")
}

/// Checks that a step is well formed in a cluster of that configuration.
///
/// # Errors
/// The path of the first field that is not, and what is wrong with it.
pub fn check_step(config: &Config, step: &Step) -> Result<(), Wrong> {
    let (server, input) = match &step.event {
        Event::Server { server, input } => (*server, input),
        Event::Duplicate(message) => return check_network(step, message, "event.duplicate"),
        Event::Drop(message) => return check_network(step, message, "event.drop"),
    };
    check_member(config, server, "event.server.server")?;
    match input {
        Input::Deliver(message) => {
            let path = "event.server.input.deliver";
            check_message(message, path)?;
            ensure(message.to == server, &format!("{path}.to"), || {
                format!("is {}, but server {server} moves", message.to)
            })?;
        }
        Input::Propose(value) => check_number(*value, "event.server.input.propose")?,
        Input::ProposeConfChange(change) => {
            let path = "event.server.input.propose_conf_change";
            ensure(config.may_change(), path, || {
                "needs a configuration that may change: `config.voters`".to_owned()
            })?;
            check_change(change, path)?;
            for single in change.changes.iter() {
                check_member(config, single.server(), path)?;
            }
        }
        Input::Timeout
        | Input::LeaseExpire
        | Input::Heartbeat
        | Input::CheckQuorum
        | Input::Restart
        | Input::ForgetLeader
        | Input::Compact => {}
        Input::Persist | Input::Apply => check_async(config, input)?,
        Input::RestartKeeping { writes } => {
            check_async(config, input)?;
            let path = "event.server.input.restart_keeping.writes";
            check_number(*writes, path)?;
            ensure(*writes > 0, path, || {
                "must be at least 1: a plain restart keeps none".to_owned()
            })?;
        }
        Input::TransferLeadership { to: named }
        | Input::ReportUnreachable { peer: named }
        | Input::ReportSnapshot { peer: named, ok: _ } => {
            let path = format!("event.server.input.{}", input.name());
            check_number(named.get(), &path)?;
        }
        Input::ReadIndex { context } => {
            let path = "event.server.input.read_index";
            ensure(config.reads != Reads::Off, path, || {
                "needs servers that answer reads: `config.reads`".to_owned()
            })?;
            check_context(*context, path)?;
        }
    }
    let Some(expected) = &step.expected else {
        return Err(wrong("expect", "is missing: a server moves"));
    };
    for (position, emitted) in expected.sent.iter().enumerate() {
        let path = format!("expect.sent[{position}].message");
        let message = &emitted.message;
        check_message(message, &path)?;
        ensure(message.from == server, &format!("{path}.from"), || {
            format!("is {}, but server {server} moves", message.from)
        })?;
        ensure(message.to != server, &format!("{path}.to"), || {
            "is the sender: such messages stay inside the event".to_owned()
        })?;
    }
    let path = "expect.read_states";
    for ReadState { context, index } in &expected.read_states {
        check_context(*context, path)?;
        check_number(index.map_or(0, |index| index.0), path)?;
    }
    check_view(config, server, &expected.view)
}

fn check_context(context: u64, path: &str) -> Result<(), Wrong> {
    ensure(context > 0, &format!("{path}.context"), || {
        "is 0, must be at least 1".to_owned()
    })?;
    check_number(context, &format!("{path}.context"))
}

fn check_network(step: &Step, message: &Message, path: &str) -> Result<(), Wrong> {
    check_message(message, path)?;
    ensure(step.expected.is_none(), "expect", || {
        "must be absent: no server moves".to_owned()
    })
}

/// Only numbers: the sender and, in an answer to it, the recipient may be strangers to the cluster.
fn check_message(message: &Message, path: &str) -> Result<(), Wrong> {
    let Message {
        from,
        to,
        term,
        body,
    } = message;
    check_number(from.get(), &format!("{path}.from"))?;
    check_number(to.get(), &format!("{path}.to"))?;
    check_number(term.0, &format!("{path}.term"))?;
    let at = |kind: &str, field: &str| format!("{path}.body.{kind}.{field}");
    match body {
        Body::RequestVote {
            last_index,
            last_term,
            transfer: _,
        } => {
            check_number(last_index.0, &at("request_vote", "last_index"))?;
            check_number(last_term.0, &at("request_vote", "last_term"))
        }
        Body::RequestPreVote {
            last_index,
            last_term,
        } => {
            check_number(last_index.0, &at("request_pre_vote", "last_index"))?;
            check_number(last_term.0, &at("request_pre_vote", "last_term"))
        }
        Body::AppendEntries {
            prev_index,
            prev_term,
            entries,
            commit,
        } => {
            let end = prev_index.0.saturating_add(entries.len() as u64);
            check_number(end, &at("append_entries", "prev_index"))?;
            check_number(prev_term.0, &at("append_entries", "prev_term"))?;
            check_number(commit.0, &at("append_entries", "commit"))?;
            entries
                .iter()
                .enumerate()
                .try_for_each(|(position, entry)| {
                    check_entry(
                        entry,
                        &at("append_entries", &format!("entries[{position}]")),
                    )
                })
        }
        Body::AppendEntriesResponse { index, rejected } => {
            check_number(index.0, &at("append_entries_response", "index"))?;
            rejected.map_or(Ok(()), |RejectHint { index, term }| {
                let path = at("append_entries_response", "rejected");
                check_number(index.0, &format!("{path}.index"))?;
                check_number(term.0, &format!("{path}.term"))
            })
        }
        Body::Heartbeat { commit, round } => {
            check_number(commit.0, &at("heartbeat", "commit"))?;
            check_number(*round, &at("heartbeat", "round"))
        }
        Body::RoundResponse { round } => {
            let path = at("round_response", "round");
            ensure(*round > 0, &path, || "is 0, must be at least 1".to_owned())?;
            check_number(*round, &path)
        }
        Body::ReadIndex { origin, context } => {
            check_number(origin.get(), &at("read_index", "origin"))?;
            check_context(*context, &format!("{path}.body.read_index"))
        }
        Body::ReadIndexResponse { context, index } => {
            check_number(index.0, &at("read_index_response", "index"))?;
            check_context(*context, &format!("{path}.body.read_index_response"))
        }
        Body::TransferLeader { transferee } => {
            check_number(transferee.get(), &at("transfer_leader", "transferee"))
        }
        Body::Propose { payloads } => {
            let path = at("propose", "payloads");
            ensure(!payloads.is_empty(), &path, || "is empty".to_owned())?;
            let mut payloads = payloads.iter();
            payloads.try_for_each(|payload| check_payload(payload, &path))
        }
        Body::InstallSnapshot { snapshot } => {
            check_snapshot(snapshot, &at("install_snapshot", "snapshot"))
        }
        Body::TimeoutNow
        | Body::RequestVoteResponse { granted: _ }
        | Body::RequestPreVoteResponse { granted: _ }
        | Body::HeartbeatResponse => Ok(()),
    }
}

fn check_entry(entry: &Entry, path: &str) -> Result<(), Wrong> {
    let Entry { term, payload } = entry;
    check_number(term.0, &format!("{path}.term"))?;
    check_payload(payload, &format!("{path}.payload"))
}

fn check_payload(payload: &Payload, path: &str) -> Result<(), Wrong> {
    match payload {
        Payload::Empty => Ok(()),
        Payload::Value(value) => check_number(*value, &format!("{path}.value")),
        Payload::ConfChange(change) => check_change(change, &format!("{path}.conf_change")),
    }
}

/// Voters and learners at first: servers of the cluster, and nobody both.
fn check_members(config: &Config) -> Result<(), Wrong> {
    for (ids, field) in [(config.voters, "voters"), (config.learners, "learners")] {
        let path = format!("config.{field}");
        ids.iter()
            .try_for_each(|id| check_member(config, id, &path))?;
    }
    let both = |id| config.voters.contains(id);
    ensure(!config.learners.iter().any(both), "config.learners", || {
        "must not name a server that is in `config.voters`".to_owned()
    })?;
    let changes = !config.learners.is_empty()
        || config.step_down_on_removal
        || config.disable_conf_change_validation;
    ensure(config.may_change() || !changes, "config.voters", || {
        "must name the voters of a configuration that may change".to_owned()
    })
}

fn check_change(change: &ConfChange, path: &str) -> Result<(), Wrong> {
    let ConfChange {
        changes,
        transition,
    } = change;
    changes
        .iter()
        .try_for_each(|it| check_number(it.server().get(), &format!("{path}.changes")))?;
    ensure(
        !changes.is_empty() || transition.is_auto(),
        &format!("{path}.transition"),
        || "must be left out where there are no changes".to_owned(),
    )
}

/// The sets of a configuration with their names.
fn sets(configuration: &Configuration) -> [(&BTreeSet<ServerId>, &'static str); 4] {
    let Configuration {
        voters,
        outgoing,
        learners,
        learners_next,
        auto_leave: _,
    } = configuration;
    [
        (voters, "voters"),
        (outgoing, "outgoing"),
        (learners, "learners"),
        (learners_next, "learners_next"),
    ]
}

/// The configuration that a server of the cluster uses.
fn check_configuration(
    config: &Config,
    configuration: &Configuration,
    path: &str,
) -> Result<(), Wrong> {
    for (ids, field) in sets(configuration) {
        let path = format!("{path}.{field}");
        ids.iter()
            .try_for_each(|id| check_member(config, *id, &path))?;
    }
    let shown = config.may_change() || configuration.is_empty();
    ensure(shown, path, || {
        "must be left out: `config.voters` is not given, so the configuration does not change"
            .to_owned()
    })?;
    check_joint(configuration, path)
}

fn check_joint(configuration: &Configuration, path: &str) -> Result<(), Wrong> {
    let simple = configuration.outgoing.is_empty();
    let left_later = !configuration.learners_next.is_empty() || configuration.auto_leave;
    ensure(!simple || !left_later, &format!("{path}.outgoing"), || {
        "must not be empty: only a joint configuration has `learners_next` or `auto_leave`"
            .to_owned()
    })
}

/// A snapshot stands for one entry at least.
fn check_snapshot(snapshot: &Snapshot, path: &str) -> Result<(), Wrong> {
    let Snapshot {
        index,
        term,
        configuration,
    } = snapshot;
    check_number(index.0, &format!("{path}.index"))?;
    check_number(term.0, &format!("{path}.term"))?;
    ensure(index.0 > 0 && term.0 > 0, path, || {
        format!("is at index {index} of term {term}, must be at 1 of term 1 or later")
    })?;
    let path = format!("{path}.configuration");
    let mut named = sets(configuration).into_iter().flat_map(|(ids, _)| ids);
    named.try_for_each(|server| check_number(server.get(), &path))?;
    check_joint(configuration, &path)
}

fn check_view(config: &Config, server: ServerId, view: &NodeView) -> Result<(), Wrong> {
    let NodeView {
        role,
        term,
        vote,
        leader,
        log,
        snapshot,
        commit,
        applied,
        lease,
        votes,
        peers,
        transferee,
        uncommitted,
        configuration,
        pending_conf_index,
        postponed_reads,
        unconfirmed_reads,
        confirmed_reads,
        handed_over,
        forwarded_reads,
        durable,
        stable,
        unstable_snapshot,
        own_match,
        appends,
        applies,
    } = view;
    let at = |field: &str| format!("expect.view.{field}");
    check_number(term.0, &at("term"))?;
    // Strangers to the cluster: somebody may have voted for one.
    for (named, field) in [
        (vote, "vote"),
        (leader, "leader"),
        (transferee, "transferee"),
    ] {
        check_number(named.map_or(0, ServerId::get), &at(field))?;
    }
    check_number(*uncommitted, &at("uncommitted"))?;
    check_log(log, snapshot.as_ref(), *term, *commit, "expect.view")?;
    ensure(applied <= commit, &at("applied"), || {
        format!("is {applied}, beyond the commit index {commit}")
    })?;
    check_durable(durable, &at("durable"))?;
    let is_async = config.storage == Storage::Async;
    let nothing = appends.is_empty() && applies.is_empty() && unstable_snapshot.is_none();
    let nothing = nothing && stable.0 == 0 && own_match.is_none();
    ensure(is_async || nothing, &at("stable"), || {
        "must be left out, like every field of outstanding writes, unless `config.storage` is `async`".to_owned()
    })?;
    let mut indexes = applies.iter().chain(unstable_snapshot).chain(own_match);
    indexes.try_for_each(|index| check_number(index.0, &at("applies")))?;
    check_number(stable.0, &at("stable"))?;
    for (position, append) in appends.iter().enumerate() {
        check_append(server, append, &at(&format!("appends[{position}]")))?;
    }
    check_configuration(config, configuration, &at("configuration"))?;
    check_number(pending_conf_index.0, &at("pending_conf_index"))?;
    let waits = *role == Role::Leader && config.may_change() || pending_conf_index.0 == 0;
    ensure(waits, &at("pending_conf_index"), || {
        "must be left out: only a leader waits for a change of the configuration".to_owned()
    })?;

    for ReadRequest { origin, context } in postponed_reads {
        check_number(origin.get(), &at("postponed_reads"))?;
        check_context(*context, &at("postponed_reads"))?;
    }
    for read in unconfirmed_reads {
        let UnconfirmedRead {
            origin,
            context,
            index,
            acks,
        } = read;
        let path = at("unconfirmed_reads");
        check_number(origin.get(), &path)?;
        check_context(*context, &path)?;
        check_number(index.0, &path)?;
        acks.iter()
            .try_for_each(|id| check_member(config, *id, &path))?;
    }
    check_number(*confirmed_reads, &at("confirmed_reads"))?;
    let confirms = *role == Role::Leader || unconfirmed_reads.is_empty() && *confirmed_reads == 0;
    ensure(confirms, &at("unconfirmed_reads"), || {
        "must be left out: only a leader confirms reads".to_owned()
    })?;
    ensure(
        *role == Role::Leader || !handed_over,
        &at("handed_over"),
        || "must be left out: only a leader hands over".to_owned(),
    )?;
    for context in forwarded_reads {
        check_context(*context, &at("forwarded_reads"))?;
    }
    let follows = *role == Role::Follower && leader.is_some();
    let waits = follows || forwarded_reads.is_empty();
    ensure(waits, &at("forwarded_reads"), || {
        "must be left out: only a follower of a leader passes reads on".to_owned()
    })?;

    let asks = matches!(role, Role::PreCandidate | Role::Candidate);
    ensure(asks || votes.is_empty(), &at("votes"), || {
        "must be empty: only a (pre-)candidate counts votes".to_owned()
    })?;
    for voter in votes.keys() {
        check_member(config, *voter, &at("votes"))?;
    }
    let leads = *role == Role::Leader;
    ensure(leads || peers.is_empty(), &at("peers"), || {
        "must be empty: only a leader has peers".to_owned()
    })?;
    ensure(leads || transferee.is_none(), &at("transferee"), || {
        "must be absent: only a leader transfers leadership".to_owned()
    })?;
    ensure(leads || *uncommitted == 0, &at("uncommitted"), || {
        "must be absent: only a leader counts proposals".to_owned()
    })?;
    for (peer, progress) in peers {
        let path = at(&format!("peers.{peer}"));
        check_member(config, *peer, &path)?;
        ensure(*peer != server, &path, || "is the leader itself".to_owned())?;
        check_peer(progress, &path)?;
    }
    let may_hold = *role == Role::Follower && leader.is_some();
    ensure(may_hold || !lease, &at("lease"), || {
        "must be false: only a follower that knows a leader has a lease".to_owned()
    })
}

fn check_async(config: &Config, input: &Input) -> Result<(), Wrong> {
    let path = format!("event.server.input.{}", input.name());
    ensure(config.storage == Storage::Async, &path, || {
        "needs `config.storage` to be `async`".to_owned()
    })
}

fn check_append(server: ServerId, append: &Append, path: &str) -> Result<(), Wrong> {
    let Append {
        hard_state,
        snapshot,
        first,
        entries,
        responses,
        acknowledges,
    } = append;
    if let Some(HardState { term, vote, commit }) = hard_state {
        check_number(term.0, &format!("{path}.hard_state.term"))?;
        check_number(
            vote.map_or(0, ServerId::get),
            &format!("{path}.hard_state.vote"),
        )?;
        check_number(commit.0, &format!("{path}.hard_state.commit"))?;
    }
    if let Some(snapshot) = snapshot {
        check_snapshot(snapshot, &format!("{path}.snapshot"))?;
    }
    check_number(first.0, &format!("{path}.first"))?;
    ensure(
        (first.0 > 0) != entries.is_empty(),
        &format!("{path}.first"),
        || "must be there if there are entries, and only then".to_owned(),
    )?;
    for (position, entry) in entries.iter().enumerate() {
        check_entry(entry, &format!("{path}.entries[{position}]"))?;
    }
    for (position, message) in responses.iter().enumerate() {
        let path = format!("{path}.responses[{position}]");
        check_message(message, &path)?;
        ensure(message.from == server, &format!("{path}.from"), || {
            format!("is {}, but server {server} waits to send it", message.from)
        })?;
    }
    if let Some(it) = acknowledges {
        let path = format!("{path}.acknowledges");
        check_number(it.term.0, &format!("{path}.term"))?;
        check_number(it.last_index.0, &format!("{path}.last_index"))?;
        check_number(it.last_term.0, &format!("{path}.last_term"))?;
        check_number(
            it.snapshot.unwrap_or_default().0,
            &format!("{path}.snapshot"),
        )?;
    }
    Ok(())
}

fn check_durable(image: &DurableImage, path: &str) -> Result<(), Wrong> {
    let DurableImage {
        term,
        vote,
        commit,
        log,
        snapshot,
    } = image;
    check_number(term.0, &format!("{path}.term"))?;
    check_number(vote.map_or(0, ServerId::get), &format!("{path}.vote"))?;
    check_log(log, snapshot.as_ref(), *term, *commit, path)
}

/// A log whose terms never fall and stay within the term of the server, and a commit index in it. What a snapshot
/// stands for is committed.
fn check_log(
    log: &[Entry],
    snapshot: Option<&Snapshot>,
    term: Term,
    commit: Index,
    path: &str,
) -> Result<(), Wrong> {
    let (mut least, mut before) = (Term(1), Index(0));
    if let Some(snapshot) = snapshot {
        let path = format!("{path}.snapshot");
        check_snapshot(snapshot, &path)?;
        ensure(snapshot.term <= term, &path, || {
            format!(
                "is of term {}, later than that of the server",
                snapshot.term
            )
        })?;
        ensure(snapshot.index <= commit, &path, || {
            format!(
                "is at index {}, beyond the commit index {commit}",
                snapshot.index
            )
        })?;
        (least, before) = (snapshot.term, snapshot.index);
    }
    for (position, entry) in log.iter().enumerate() {
        let path = format!("{path}.log[{position}]");
        check_entry(entry, &path)?;
        ensure(
            (least..=term).contains(&entry.term),
            &format!("{path}.term"),
            || format!("is {}, must be {least} to {term}", entry.term),
        )?;
        least = entry.term;
    }
    let last = before.0.saturating_add(log.len() as u64);
    ensure(commit.0 <= last, &format!("{path}.commit"), || {
        format!("is {commit}, beyond the last index {last}")
    })
}

fn check_peer(peer: &PeerView, path: &str) -> Result<(), Wrong> {
    let PeerView {
        matched,
        next,
        state,
        paused: _,
        recent_active: _,
        commit_sent,
        inflight,
        pending_snapshot,
    } = peer;
    let pending = pending_snapshot.map_or(0, |index| index.0);
    check_number(pending, &format!("{path}.pending_snapshot"))?;
    let may_wait = *state == ProgressState::Snapshot || pending_snapshot.is_none();
    ensure(may_wait, &format!("{path}.pending_snapshot"), || {
        "must be absent: no snapshot is on its way".to_owned()
    })?;
    check_number(next.0, &format!("{path}.next"))?;
    check_number(commit_sent.0, &format!("{path}.commit_sent"))?;
    // No rule that next lies beyond match: raft-rs breaks it, and a trace must be able to say so.
    check_number(matched.0, &format!("{path}.match"))?;
    inflight
        .iter()
        .try_for_each(|index| check_number(index.0, &format!("{path}.inflight")))
}

fn check_member(config: &Config, server: ServerId, path: &str) -> Result<(), Wrong> {
    ensure(server.get() <= config.servers, path, || {
        format!("server {server} is not one of 1 to {}", config.servers)
    })
}

fn check_number(number: u64, path: &str) -> Result<(), Wrong> {
    ensure(number <= MAX_NUMBER, path, || {
        format!("is {number}, must be at most {MAX_NUMBER}")
    })
}

fn ensure(holds: bool, path: &str, what: impl FnOnce() -> String) -> Result<(), Wrong> {
    if holds {
        Ok(())
    } else {
        Err((path.to_owned(), what()))
    }
}

fn wrong(path: &str, what: &str) -> Wrong {
    (path.to_owned(), what.to_owned())
}
