//! The lines of a server that starts: from its storage, or from nothing with the changes that make its configuration.

use super::super::line::Line;
use super::super::moment::{Kind, Shown};
use super::super::node::{Node, Phase};
use super::why::differs;
use lockstep_model::recorded::{Entry, HardState, Image, Log, Payload, Position};
use lockstep_model::{ConfChange, Configuration, MAX_MEMBERS};
use lockstep_traces::Role;

pub(super) enum Started {
    Yes,
    No(String),
    /// The start is over, and the line is one of its first input.
    Runs,
}

/// The lines of a start.
pub(super) fn starts(node: &mut Node, line: &Line) -> Started {
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
