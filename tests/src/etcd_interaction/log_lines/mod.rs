//! The lines of the log, each made from one event of the observer.

mod snapshots;

use std::cell::RefCell;
use std::rc::Rc;

use lockstep_raft::observer::{
    Ballot, CampaignObstacle, ConfChangeObstacle, StableMismatch, VoteRequest,
};
use lockstep_raft::{ConfState, DropReason, EntryId, Event, MessageKind, NodeId, Observer, Term};

use super::conf_change::{go_struct, proto_text};
use super::describe::{message_kind, number};
use super::go_text::list;
use super::node::error_sentence;
use super::output::{Level, Output};
use crate::etcd_testdata::Version;

/// Writes a line for each event of one node.
pub(super) struct LogLines {
    id: NodeId,
    output: Rc<RefCell<Output>>,
    /// The ticks left until the lease of the leader ends, which the protocol core does not know; to
    /// be set before each message that the node is handed.
    pub(super) lease_ticks: i64,
}

impl LogLines {
    pub(super) fn new(id: NodeId, output: Rc<RefCell<Output>>) -> LogLines {
        LogLines {
            id,
            output,
            lease_ticks: 0,
        }
    }
}

impl Observer for LogLines {
    fn on_event(&mut self, _node: NodeId, event: &Event<'_>) {
        let line = Line {
            own: hex(self.id),
            lease_ticks: self.lease_ticks,
            version: self.output.borrow().version,
        };
        if let Some((level, sentence)) = line.of(event) {
            self.output.borrow_mut().log(level, &sentence);
        }
    }
}

fn hex(id: NodeId) -> String {
    format!("{:x}", id.get())
}

fn voted_for(vote: Option<NodeId>) -> String {
    format!("{:x}", number(vote))
}

/// `[index: 3, term: 1]` with the names given.
fn position(id: EntryId) -> String {
    format!("[index: {}, term: {}]", id.index, id.term)
}

fn request_kind(ballot: Ballot) -> &'static str {
    message_kind(match ballot {
        Ballot::Vote => MessageKind::RequestVote,
        Ballot::PreVote => MessageKind::RequestPreVote,
    })
}

fn response_kind(ballot: Ballot) -> &'static str {
    message_kind(match ballot {
        Ballot::Vote => MessageKind::RequestVoteResponse,
        Ballot::PreVote => MessageKind::RequestPreVoteResponse,
    })
}

fn conf_state(state: &ConfState) -> String {
    let ids = |ids: &[NodeId]| list(ids.iter().map(|id| id.get()));
    format!(
        "{{{} {} {} {} {}}}",
        ids(&state.voters),
        ids(&state.learners),
        ids(&state.voters_outgoing),
        ids(&state.learners_next),
        state.auto_leave
    )
}

/// The context of a line besides the event.
struct Line {
    /// The node's own number.
    own: String,
    lease_ticks: i64,
    version: Version,
}

type LevelAndSentence = (Level, String);

impl Line {
    /// The level and the sentence for an event; `None` if the scripts show nothing for it.
    fn of(&self, event: &Event<'_>) -> Option<LevelAndSentence> {
        self.of_start_and_roles(event)
            .or_else(|| self.of_votes(event))
            .or_else(|| self.of_messages(event))
            .or_else(|| self.of_proposals(event))
            .or_else(|| self.of_log(event))
            .or_else(|| self.of_progress(event))
            .or_else(|| self.of_snapshots(event))
            .or_else(|| self.of_transfers(event))
    }

    fn of_start_and_roles(&self, event: &Event<'_>) -> Option<LevelAndSentence> {
        let own = &self.own;
        let became = |what: &str, term: &Term| format!("{own} became {what} at term {term}");
        Some(match event {
            Event::Created {
                config,
                term,
                commit,
                applied,
                last,
            } => {
                let peers: Vec<String> = config.voters.ids().iter().map(hex).collect();
                let sentence = format!(
                    "newRaft {own} [peers: [{}], term: {term}, commit: {commit}, applied: {applied}, \
                     lastindex: {}, lastterm: {}]",
                    peers.join(","),
                    last.index,
                    last.term
                );
                (Level::Info, sentence)
            }
            Event::BecameFollower { term } => (Level::Info, became("follower", term)),
            Event::BecamePreCandidate { term } => (Level::Info, became("pre-candidate", term)),
            Event::BecameCandidate { term } => (Level::Info, became("candidate", term)),
            Event::BecameLeader { term } => (Level::Info, became("leader", term)),
            Event::CampaignRefused {
                obstacle: CampaignObstacle::AlreadyLeader,
                ..
            } => (
                Level::Debug,
                format!("{own} ignoring MsgHup because already leader"),
            ),
            Event::CampaignRefused {
                obstacle: CampaignObstacle::NotPromotable,
                ..
            } => (
                Level::Warn,
                format!("{own} is unpromotable and can not campaign"),
            ),
            Event::CampaignRefused {
                obstacle: CampaignObstacle::UnappliedConfChange,
                term,
            } => {
                let sentence = format!(
                    "{own} cannot campaign at term {term} since there are still pending configuration \
                     changes to apply"
                );
                (Level::Warn, sentence)
            }
            Event::ElectionStarted { term } => (
                Level::Info,
                format!("{own} is starting a new election at term {term}"),
            ),
            Event::QuorumLost => {
                let sentence = format!("{own} stepped down to follower since quorum is not active");
                (Level::Warn, sentence)
            }
            Event::LeaderForgotten { leader, term } => (
                Level::Info,
                format!("{own} forgetting leader {} at term {term}", hex(*leader)),
            ),
            Event::ForgetLeaderIgnored => (
                Level::Error,
                "ignoring MsgForgetLeader due to ReadOnlyLeaseBased".to_owned(),
            ),
            _ => return None,
        })
    }

    fn of_votes(&self, event: &Event<'_>) -> Option<LevelAndSentence> {
        let own = &self.own;
        let sentence = match event {
            Event::VoteRequested {
                ballot,
                to,
                last,
                term,
            } => format!(
                "{own} [logterm: {}, index: {}] sent {} request to {} at term {term}",
                last.term,
                last.index,
                request_kind(*ballot),
                hex(*to)
            ),
            Event::VoteReceived {
                ballot,
                from,
                granted,
                term,
            } => {
                let rejection = if *granted { "" } else { " rejection" };
                let response = response_kind(*ballot);
                format!(
                    "{own} received {response}{rejection} from {} at term {term}",
                    hex(*from)
                )
            }
            Event::VotesCounted {
                ballot,
                granted,
                rejected,
            } => format!(
                "{own} has received {granted} {} votes and {rejected} vote rejections",
                response_kind(*ballot)
            ),
            Event::VoteRequestIgnored(request) => format!(
                "{}: lease is not expired (remaining ticks: {})",
                self.vote_answer("ignored", "from", request),
                self.lease_ticks
            ),
            Event::VoteGranted(request) => self.vote_answer("cast", "for", request),
            Event::VoteRefused(request) => self.vote_answer("rejected", "from", request),
            _ => return None,
        };
        Some((Level::Info, sentence))
    }

    fn vote_answer(&self, answer: &str, relation: &str, request: &VoteRequest) -> String {
        let VoteRequest {
            ballot,
            candidate,
            candidate_last,
            last,
            term,
            vote,
        } = request;
        format!(
            "{} [logterm: {}, index: {}, vote: {}] {answer} {} {relation} {} \
             [logterm: {}, index: {}] at term {term}",
            self.own,
            last.term,
            last.index,
            voted_for(*vote),
            request_kind(*ballot),
            hex(*candidate),
            candidate_last.term,
            candidate_last.index
        )
    }

    fn of_messages(&self, event: &Event<'_>) -> Option<LevelAndSentence> {
        let own = &self.own;
        Some(match event {
            Event::HigherTermSeen {
                kind,
                from,
                message_term,
                term,
            } => {
                let sentence = format!(
                    "{own} [term: {term}] received a {} message with higher term from {} \
                     [term: {message_term}]",
                    message_kind(*kind),
                    hex(*from)
                );
                (Level::Info, sentence)
            }
            Event::LowerTermIgnored {
                kind,
                from,
                message_term,
                term,
            } => {
                let sentence = format!(
                    "{own} [term: {term}] ignored a {} message with lower term from {} \
                     [term: {message_term}]",
                    message_kind(*kind),
                    hex(*from)
                );
                (Level::Info, sentence)
            }
            Event::LowerTermAppendIgnored { message_term, term } => {
                let sentence = format!(
                    "{own} [term: {term}] ignored entry appends from a {} message with lower term \
                     [term: {message_term}]",
                    message_kind(MessageKind::StorageAppendResponse)
                );
                (Level::Info, sentence)
            }
            Event::UnknownPeerIgnored { from } => (
                Level::Debug,
                format!("{own} no progress available for {}", hex(*from)),
            ),
            Event::ReadIndexDropped { term } => {
                let sentence =
                    format!("{own} no leader at term {term}; dropping index reading msg");
                (Level::Info, sentence)
            }
            _ => return None,
        })
    }

    fn of_proposals(&self, event: &Event<'_>) -> Option<LevelAndSentence> {
        let own = &self.own;
        Some(match event {
            Event::ProposalDropped { reason, term } => return self.of_drop(*reason, *term),
            Event::ConfChangeIgnored {
                change,
                config,
                obstacle,
            } => {
                let change = match self.version {
                    Version::V3_6 => go_struct(*change),
                    Version::V3_7 => proto_text(*change),
                };
                let why = conf_change_obstacle(*obstacle)?;
                let sentence =
                    format!("{own} ignoring conf change {change} at config {config}: {why}");
                (Level::Info, sentence)
            }
            Event::AutoLeaveProposed { config } => {
                let sentence =
                    format!("initiating automatic transition out of joint configuration {config}");
                (Level::Info, sentence)
            }
            Event::AutoLeaveDropped { config, reason } => {
                let sentence = format!(
                    "not initiating automatic transition out of joint configuration {config}: {}",
                    error_sentence(&(*reason).into())
                );
                (Level::Debug, sentence)
            }
            Event::ConfigurationSwitched { config } => (
                Level::Info,
                format!("{own} switched to configuration {config}"),
            ),
            _ => return None,
        })
    }

    fn of_drop(&self, reason: DropReason, term: Term) -> Option<LevelAndSentence> {
        let own = &self.own;
        Some(match reason {
            DropReason::NoLeader => (
                Level::Info,
                format!("{own} no leader at term {term}; dropping proposal"),
            ),
            DropReason::ForwardingDisabled { leader } => {
                let sentence = format!(
                    "{own} not forwarding to leader {} at term {term}; dropping proposal",
                    hex(leader)
                );
                (Level::Info, sentence)
            }
            DropReason::TransferInProgress { to } => {
                let sentence = format!(
                    "{own} [term {term}] transfer leadership to {} is in progress; dropping proposal",
                    hex(to)
                );
                (Level::Debug, sentence)
            }
            DropReason::UncommittedLimit => {
                let sentence = format!(
                    "{own} appending new entries to log would exceed uncommitted entry size limit; \
                     dropping proposal"
                );
                (Level::Warn, sentence)
            }
            _ => return None,
        })
    }

    fn of_log(&self, event: &Event<'_>) -> Option<LevelAndSentence> {
        let own = &self.own;
        Some(match event {
            Event::ConflictFound {
                index,
                existing,
                conflicting,
            } => {
                let sentence = format!(
                    "found conflict at index {index} [existing term: {existing}, \
                     conflicting term: {conflicting}]"
                );
                (Level::Info, sentence)
            }
            Event::UnstableReplaced { from } => (
                Level::Info,
                format!("replace the unstable entries from index {from}"),
            ),
            Event::UnstableTruncated { from } => (
                Level::Info,
                format!("truncate the unstable entries before index {from}"),
            ),
            Event::StableIgnored(mismatch) => (Level::Info, stable_mismatch(*mismatch)?),
            Event::AppendRefused {
                from,
                prev,
                own_term,
            } => {
                let sentence = format!(
                    "{own} [logterm: {own_term}, index: {}] rejected MsgApp \
                     [logterm: {}, index: {}] from {}",
                    prev.index,
                    prev.term,
                    prev.index,
                    hex(*from)
                );
                (Level::Debug, sentence)
            }
            _ => return None,
        })
    }

    fn of_progress(&self, event: &Event<'_>) -> Option<LevelAndSentence> {
        let own = &self.own;
        let sentence = match event {
            Event::AppendRefusalReceived { from, index, hint } => format!(
                "{own} received MsgAppResp(rejected, hint: (index {}, term {})) from {} \
                 for index {index}",
                hint.index,
                hint.term,
                hex(*from)
            ),
            Event::ProgressDecreased { peer, progress } => {
                format!("{own} decreased progress of {} to [{progress}]", hex(*peer))
            }
            Event::PeerUnreachable { peer, progress } => format!(
                "{own} failed to send message to {} because it is unreachable [{progress}]",
                hex(*peer)
            ),
            _ => return None,
        };
        Some((Level::Debug, sentence))
    }
}

fn conf_change_obstacle(obstacle: ConfChangeObstacle) -> Option<String> {
    Some(match obstacle {
        ConfChangeObstacle::Pending { index, applied } => {
            format!("possible unapplied conf change at index {index} (applied to {applied})")
        }
        ConfChangeObstacle::MustLeaveJoint => {
            "must transition out of joint config first".to_owned()
        }
        ConfChangeObstacle::NotJoint => "not in joint state; refusing empty conf change".to_owned(),
        _ => return None,
    })
}

fn stable_mismatch(mismatch: StableMismatch) -> Option<String> {
    Some(match mismatch {
        StableMismatch::Missing { index } => {
            format!("entry at index {index} missing from unstable log; ignoring")
        }
        StableMismatch::MatchesSnapshot { index } => {
            format!("entry at index {index} matched unstable snapshot; ignoring")
        }
        StableMismatch::Replaced {
            acknowledged,
            present,
        } => format!(
            "entry at (index,term)=({},{}) mismatched with entry at ({},{}) in unstable log; \
             ignoring",
            acknowledged.index, acknowledged.term, present.index, present.term
        ),
        _ => return None,
    })
}
