//! The first members of a new group.

use bytes::Bytes;

use super::cluster::{id, ids};
use super::untimed::Core;
use crate::config::Config;
use crate::storage::MemoryStorage;
use crate::types::*;
use crate::wire;

#[test]
fn the_first_ready_holds_the_whole_beginning() {
    let mut node = Core::new(&Config::new(id(1)), MemoryStorage::default()).unwrap();
    let servers = [(id(1), Bytes::from("a")), (id(2), Bytes::from("b"))];
    node.bootstrap(&servers).unwrap();
    assert_eq!(node.tracker().config.conf_state().voters, ids(&[1, 2]));
    assert_eq!(node.term(), Term(1));
    let ready = node.ready().unwrap();
    let hard_state = HardState {
        term: Term(1),
        vote: None,
        commit: Index(2),
    };
    assert_eq!(ready.hard_state, Some(hard_state));
    assert!(ready.must_sync);
    assert_eq!(ready.entries, ready.committed_entries);
    for (at, (entry, (server, context))) in ready.entries.iter().zip(&servers).enumerate() {
        assert_eq!(entry.id(), EntryId::new(Term(1), Index(at as u64 + 1)));
        assert_eq!(entry.kind, EntryKind::ConfChange);
        let change = wire::decode_conf_change(&entry.data).unwrap();
        let expected = ConfChange {
            id: 0,
            kind: ConfChangeKind::AddNode,
            node: Some(*server),
            context: context.clone(),
        };
        assert_eq!(change, expected);
    }
    assert_eq!(ready.entries.len(), 2);
}
