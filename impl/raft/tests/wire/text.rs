//! The text form of `raftpb` values that the recorded cases carry.
//!
//! Every number and flag must be there: etcd writes them even when they are zero.

use lockstep_raft::wire::raftpb;

fn bytes(bytes: &Option<bytes::Bytes>) -> String {
    match bytes {
        None => "-".to_owned(),
        Some(bytes) => format!("x{}", hex(bytes)),
    }
}

/// Lower case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn joined<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" "))
}

/// An entry.
pub fn entry(entry: &raftpb::Entry) -> String {
    let [term, index] = [entry.term, entry.index].map(Option::unwrap);
    let kind = entry.r#type.unwrap();
    format!("({kind} {term} {index} {})", bytes(&entry.data))
}

/// A configuration.
pub fn conf_state(state: &raftpb::ConfState) -> String {
    let lists = [
        &state.voters,
        &state.learners,
        &state.voters_outgoing,
        &state.learners_next,
    ];
    let lists = lists.map(|list| joined(list, u64::to_string));
    format!("{} {}", lists.join(" "), state.auto_leave.unwrap())
}

/// A snapshot.
pub fn snapshot(snapshot: &raftpb::Snapshot) -> String {
    let metadata = snapshot.metadata.as_ref().unwrap();
    let state = conf_state(metadata.conf_state.as_ref().unwrap());
    let [index, term] = [metadata.index, metadata.term].map(Option::unwrap);
    format!("({state} {index} {term} {})", bytes(&snapshot.data))
}

/// A message.
pub fn message(message: &raftpb::Message) -> String {
    let numbers = [
        message.to,
        message.from,
        message.term,
        message.log_term,
        message.index,
    ];
    let numbers = numbers.map(|number| number.unwrap().to_string()).join(" ");
    let shown_snapshot = message.snapshot.as_ref().map_or("-".to_owned(), snapshot);
    format!(
        "{{{} {numbers} {} {} {shown_snapshot} {} {} {} {} {}}}",
        message.r#type.unwrap(),
        joined(&message.entries, entry),
        message.commit.unwrap(),
        message.reject.unwrap(),
        message.reject_hint.unwrap(),
        bytes(&message.context),
        message.vote.unwrap(),
        joined(&message.responses, self::message),
    )
}

/// A hard state.
pub fn hard_state(state: &raftpb::HardState) -> String {
    let [term, vote, commit] = [state.term, state.vote, state.commit].map(Option::unwrap);
    format!("{term} {vote} {commit}")
}

/// A change of one server.
pub fn conf_change(change: &raftpb::ConfChange) -> String {
    let [id, node] = [change.id, change.node_id].map(Option::unwrap);
    format!(
        "{id} {} {node} {}",
        change.r#type.unwrap(),
        bytes(&change.context)
    )
}

/// A change of several servers.
pub fn conf_change_v2(change: &raftpb::ConfChangeV2) -> String {
    let single = |single: &raftpb::ConfChangeSingle| {
        format!("({} {})", single.r#type.unwrap(), single.node_id.unwrap())
    };
    let changes = joined(&change.changes, single);
    format!(
        "{} {changes} {}",
        change.transition.unwrap(),
        bytes(&change.context)
    )
}
