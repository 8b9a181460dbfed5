// What the examples in the documentation leave out: they include this file in hidden lines.

use bytes::Bytes;
use lockstep_raft::*;

type Node = RawNode<MemoryStorage>;

fn id(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

/// A group of these voters, set up as `change` says; the first of them leads.
fn group(voters: &[u64], change: impl Fn(&mut Config)) -> Result<Vec<Node>, Error> {
    let members = ConfState {
        voters: voters.iter().copied().map(id).collect(),
        ..ConfState::default()
    };
    let server = |&number: &u64| {
        let mut config = Config::new(id(number));
        change(&mut config);
        RawNode::new(&config, MemoryStorage::with_conf_state(members.clone()))
    };
    let mut servers = voters.iter().map(server).collect::<Result<Vec<_>, _>>()?;
    servers[0].campaign()?;
    settle(&mut servers)?;
    Ok(servers)
}

/// Persists what a server has ready.
fn persist(node: &mut Node, ready: &Ready) -> Result<(), Error> {
    let storage = node.storage_mut();
    if let Some(snapshot) = &ready.snapshot {
        storage.apply_snapshot(snapshot.clone())?;
    }
    Ok(storage.write(&ready.entries[..], ready.hard_state)?)
}

/// Lets the servers work, and delivers their messages, until there is nothing left to do.
fn settle(servers: &mut [Node]) -> Result<Vec<ReadState>, Error> {
    settle_but_lose(servers, |_| false)
}

/// The same over a network that loses some messages, and all to servers that are not there.
fn settle_but_lose(
    servers: &mut [Node],
    lose: impl Fn(&Message) -> bool,
) -> Result<Vec<ReadState>, Error> {
    let mut reads = Vec::new();
    while let Some(server) = servers.iter_mut().find(|server| server.has_ready()) {
        let ready = server.ready()?;
        persist(server, &ready)?;
        for entry in &ready.committed_entries {
            if let Some(change) = wire::conf_change_of(entry).unwrap() {
                server.apply_conf_change(&change)?;
            }
        }
        reads.extend(ready.read_states);
        server.advance()?;
        for message in ready.messages {
            let to = message.to;
            let addressee = servers
                .iter_mut()
                .find(|server| server.basic_status().id == to);
            if let Some(addressee) = addressee.filter(|_| !lose(&message)) {
                addressee.step(message)?;
            }
        }
    }
    Ok(reads)
}
