//! Servers whose disks were restored from a backup, or replaced by empty ones.

include!("doc_support/servers.rs");

/// A backup holds a snapshot of this term, and neither term nor vote.
fn backup(voters: &[u64], term: u64) -> MemoryStorage {
    let metadata = SnapshotMetadata {
        conf_state: ConfState {
            voters: voters.iter().copied().map(id).collect(),
            ..ConfState::default()
        },
        index: Index(10),
        term: Term(term),
    };
    let data = Bytes::from_static(b"state");
    let mut storage = MemoryStorage::new();
    let applied = storage.apply_snapshot(Snapshot { metadata, data });
    applied.expect("it is newer than nothing");
    storage
}

fn restored(voters: &[u64], term: u64, careful: bool) -> Result<Vec<Node>, Error> {
    let server = |&number: &u64| {
        let mut config = Config::new(id(number));
        (config.pre_vote, config.check_quorum) = (careful, careful);
        RawNode::new(&config, backup(voters, term))
    };
    voters.iter().map(server).collect()
}

fn leader(servers: &[Node]) -> Option<&Node> {
    let leads = |node: &&Node| node.basic_status().soft_state.role == Role::Leader;
    servers.iter().find(leads)
}

/// The group of a backup elects a leader, and as soon whatever the term of the backup is.
#[test]
fn a_group_restored_from_a_backup_elects_a_leader() -> Result<(), Error> {
    for careful in [false, true] {
        for term in [1, 5, 50, 500] {
            let mut servers = restored(&[1, 2, 3], term, careful)?;
            let mut ticks = 0;
            while leader(&servers).is_none() {
                assert!(ticks < 200, "term {term}, PreVote {careful}: nobody leads");
                for node in &mut servers {
                    node.tick()?;
                }
                settle(&mut servers)?;
                ticks += 1;
            }
            let leader = leader(&servers).map(RawNode::basic_status);
            let leads_in = leader.map(|it| it.hard_state.term);
            // A snapshot of term 1 may seed a group, whose first election is for that term.
            let least = Term(if term == 1 { 1 } else { term + 1 });
            assert!(leads_in >= Some(least), "{leads_in:?} after {term}");
        }
    }
    Ok(())
}

/// The terms of the log of a lone server go on from that of the snapshot.
#[test]
fn the_log_of_a_lone_server_goes_on_from_the_term_of_its_backup() -> Result<(), Error> {
    let mut servers = restored(&[1], 5, false)?;
    servers[0].campaign()?;
    settle(&mut servers)?;
    servers[0].propose(Bytes::from_static(b"x"))?;
    settle(&mut servers)?;
    let storage = servers[0].storage();
    let (first, last) = (storage.first_index()?, storage.last_index()?);
    assert!(last > first, "{first:?}..={last:?}");
    let entries = storage.entries(first, Index(last.0 + 1), u64::MAX)?;
    assert!(
        entries.iter().all(|entry| entry.term > Term(5)),
        "{entries:?}"
    );
    Ok(())
}

/// A wiped member that is removed and added again catches up, although a heartbeat to its former self, with a commit
/// index that it does not have, comes late again and again.
#[test]
fn a_wiped_member_that_is_added_again_catches_up() -> Result<(), Error> {
    let mut servers = group(&[1, 2, 3], |config| {
        (config.pre_vote, config.check_quorum) = (true, true);
    })?;
    for _ in 0..20 {
        servers[0].propose(Bytes::from_static(b"x"))?;
        settle(&mut servers)?;
    }
    let leader = servers[0].basic_status();
    let late = Message {
        from: id(1),
        to: id(3),
        term: leader.hard_state.term,
        body: Body::Heartbeat {
            commit: leader.hard_state.commit,
            context: Bytes::new(),
        },
    };
    servers.pop();
    for kind in [ConfChangeKind::RemoveNode, ConfChangeKind::AddLearner] {
        let node = Some(id(3));
        servers[0].propose_conf_change(ConfChange {
            kind,
            node,
            ..ConfChange::default()
        })?;
        settle(&mut servers)?;
    }
    let status = servers[0].status();
    let (applied, members) = (status.basic.applied, status.config.conf_state());
    let storage = servers[0].storage_mut();
    storage.create_snapshot(applied, Some(members), Bytes::from_static(b"state"))?;
    storage.compact(applied)?;
    servers.push(RawNode::new(&Config::new(id(3)), MemoryStorage::new())?);
    for _ in 0..30 {
        // It may be refused, and must not be taken for true.
        let _ = servers[2].step(late.clone());
        for node in &mut servers {
            node.tick()?;
        }
        settle(&mut servers)?;
    }
    let commit = |node: &Node| node.basic_status().hard_state.commit;
    assert_eq!(commit(&servers[2]), commit(&servers[0]));
    assert!(commit(&servers[2]) > leader.hard_state.commit);
    Ok(())
}
