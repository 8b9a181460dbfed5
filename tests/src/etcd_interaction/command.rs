//! The commands of the scripts as values.

use lockstep_raft::{MessageKind, NodeId, Transition};

use super::conf_change::{AnyConfChange, parse_changes, proposed};
use super::describe::parse_message_kind;
use super::go_text::{parse_bool, parse_uint, quote};
use crate::datadriven_script::{Arg, Case};

/// One command. Nodes are numbered from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Does nothing: a place to stop a debugger at.
    Breakpoint,
    /// Creates nodes with the next free numbers.
    AddNodes {
        count: u64,
        template: NodeTemplate,
    },
    Campaign {
        node: u64,
    },
    /// Drops the entries before `first_index` from the node's log, then shows the log.
    Compact {
        node: u64,
        first_index: u64,
    },
    /// Delivers, or drops, what is in flight to these nodes; only messages of this kind, if given.
    DeliverMessages {
        recipients: Vec<Recipient>,
        kind: Option<MessageKind>,
    },
    ForgetLeader {
        node: u64,
    },
    LogLevel {
        name: String,
    },
    /// One message of the append queue of each node.
    ProcessAppendThread {
        nodes: Vec<u64>,
    },
    /// One message of the apply queue of each node.
    ProcessApplyThread {
        nodes: Vec<u64>,
    },
    ProcessReady {
        nodes: Vec<u64>,
    },
    Propose {
        node: u64,
        data: String,
    },
    ProposeConfChange {
        node: u64,
        change: AnyConfChange,
    },
    RaftLog {
        node: u64,
    },
    RaftState,
    ReportUnreachable {
        node: u64,
        peer: u64,
    },
    SendSnapshot {
        from: u64,
        to: u64,
    },
    SetRandomizedElectionTimeout {
        node: u64,
        ticks: u32,
    },
    /// Lets the nodes (all, if none is named) work and talk until nothing is left to do.
    Stabilize {
        nodes: Vec<u64>,
        log_level: Option<String>,
    },
    Status {
        node: u64,
    },
    /// As many ticks as an election timeout has.
    TickElection {
        node: u64,
    },
    /// As many ticks as a heartbeat interval has.
    TickHeartbeat {
        node: u64,
    },
    TransferLeadership {
        from: u64,
        to: u64,
    },
}

/// A recipient whose messages are delivered or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recipient {
    pub(super) node: u64,
    pub(super) drop: bool,
}

/// The common settings of the nodes of one `add-nodes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeTemplate {
    pub(super) voters: Vec<NodeId>,
    pub(super) learners: Vec<NodeId>,
    /// The index of the snapshot to start from.
    pub(super) index: u64,
    /// The content of that snapshot.
    pub(super) content: String,
    pub(super) max_inflight_messages: Option<u64>,
    pub(super) max_committed_bytes_per_ready: u64,
    pub(super) async_storage_writes: bool,
    pub(super) pre_vote: bool,
    pub(super) check_quorum: bool,
    pub(super) lease_based_reads: bool,
    pub(super) disable_conf_change_validation: bool,
    pub(super) step_down_on_removal: bool,
}

impl Command {
    /// Reads a command.
    ///
    /// # Errors
    ///
    /// The sentence that is printed instead of running it.
    pub(super) fn parse(case: &Case) -> Result<Command, String> {
        let args = Args(&case.args);
        Ok(match case.command.as_str() {
            "_breakpoint" => Command::Breakpoint,
            "add-nodes" => Command::AddNodes {
                count: args.first()?,
                template: NodeTemplate::parse(&args)?,
            },
            "campaign" => Command::Campaign {
                node: args.first()?,
            },
            "compact" => Command::Compact {
                node: args.first()?,
                first_index: args.positional(1)?,
            },
            "deliver-msgs" => parse_deliver(&args)?,
            "forget-leader" => Command::ForgetLeader {
                node: args.first()?,
            },
            "log-level" => Command::LogLevel {
                name: args.word(0)?.to_owned(),
            },
            "process-append-thread" => Command::ProcessAppendThread {
                nodes: args.nodes()?,
            },
            "process-apply-thread" => Command::ProcessApplyThread {
                nodes: args.nodes()?,
            },
            "process-ready" => Command::ProcessReady {
                nodes: args.nodes()?,
            },
            "propose" => match case.args.as_slice() {
                [_, data] if data.values.is_empty() => Command::Propose {
                    node: args.first()?,
                    data: data.key.clone(),
                },
                _ => return Err("propose needs a node and a word".to_owned()),
            },
            "propose-conf-change" => parse_propose_conf_change(&args, &case.input)?,
            "raft-log" => Command::RaftLog {
                node: args.first()?,
            },
            "raft-state" => Command::RaftState,
            "report-unreachable" => match args.nodes()?.as_slice() {
                &[node, peer] => Command::ReportUnreachable { node, peer },
                _ => {
                    let problem = "must specify exactly two node indexes: \
                                   node on which to report, and reported node";
                    return Err(problem.to_owned());
                }
            },
            "send-snapshot" => match args.nodes()?.as_slice() {
                &[from, to] => Command::SendSnapshot { from, to },
                _ => return Err("send-snapshot needs two nodes".to_owned()),
            },
            "set-randomized-election-timeout" => {
                let ticks = u32::try_from(args.named("timeout")?).map_err(|e| e.to_string())?;
                Command::SetRandomizedElectionTimeout {
                    node: args.first()?,
                    ticks,
                }
            }
            "stabilize" => Command::Stabilize {
                nodes: args.nodes()?,
                log_level: args.values("log-level").last().map(str::to_owned),
            },
            "status" => Command::Status {
                node: args.first()?,
            },
            "tick-election" => Command::TickElection {
                node: args.first()?,
            },
            "tick-heartbeat" => Command::TickHeartbeat {
                node: args.first()?,
            },
            "transfer-leadership" => Command::TransferLeadership {
                from: args.named("from")?,
                to: args.named("to")?,
            },
            _ => return Err("unknown command".to_owned()),
        })
    }
}

impl NodeTemplate {
    fn parse(args: &Args<'_>) -> Result<NodeTemplate, String> {
        let mut template = NodeTemplate::default();
        for (key, value) in args.pairs() {
            match key {
                "voters" => template.voters.push(node_id(value)?),
                "learners" => template.learners.push(node_id(value)?),
                "inflight" => template.max_inflight_messages = Some(parse_uint(value)?),
                "index" => template.index = parse_uint(value)?,
                "content" => value.clone_into(&mut template.content),
                "async-storage-writes" => template.async_storage_writes = parse_bool(value)?,
                "prevote" => template.pre_vote = parse_bool(value)?,
                "checkquorum" => template.check_quorum = parse_bool(value)?,
                "max-committed-size-per-ready" => {
                    template.max_committed_bytes_per_ready = parse_uint(value)?;
                }
                "disable-conf-change-validation" => {
                    template.disable_conf_change_validation = parse_bool(value)?;
                }
                "read-only" => {
                    template.lease_based_reads = match value {
                        "safe" => false,
                        "lease-based" => true,
                        _ => {
                            let value = quote(value.as_bytes());
                            return Err(format!("invalid read-only option {value}"));
                        }
                    };
                }
                "step-down-on-removal" => template.step_down_on_removal = parse_bool(value)?,
                // A setting that etcd's environment does not know had no part in the recorded output.
                _ => {}
            }
        }
        Ok(template)
    }
}

fn node_id(text: &str) -> Result<NodeId, String> {
    NodeId::new(parse_uint(text)?).ok_or_else(|| "0 is no node".to_owned())
}

fn parse_deliver(args: &Args<'_>) -> Result<Command, String> {
    let mut recipients: Vec<Recipient> = Vec::new();
    let mut kind = None;
    for arg in args.0 {
        if arg.values.is_empty() {
            recipients.push(Recipient {
                node: parse_uint(&arg.key)?,
                drop: false,
            });
        }
        for value in &arg.values {
            match arg.key.as_str() {
                "drop" => {
                    let node = parse_uint(value)?;
                    if recipients.iter().any(|r| r.node == node) {
                        return Err(format!("can't both deliver and drop msgs to {node}"));
                    }
                    recipients.push(Recipient { node, drop: true });
                }
                "type" => {
                    let found = parse_message_kind(value);
                    kind = Some(found.ok_or_else(|| format!("unknown message type {value}"))?);
                }
                _ => {}
            }
        }
    }
    Ok(Command::DeliverMessages { recipients, kind })
}

fn parse_propose_conf_change(args: &Args<'_>, input: &str) -> Result<Command, String> {
    let mut v1 = false;
    let mut transition = Transition::Auto;
    for (key, value) in args.pairs() {
        match (key, value) {
            ("v1", value) => v1 = parse_bool(value)?,
            ("transition", "auto") => transition = Transition::Auto,
            ("transition", "implicit") => transition = Transition::JointImplicit,
            ("transition", "explicit") => transition = Transition::JointExplicit,
            ("transition", value) => return Err(format!("unknown transition {value}")),
            (key, _) => return Err(format!("unknown command {key}")),
        }
    }
    let change = proposed(parse_changes(input)?, transition, v1)?;
    Ok(Command::ProposeConfChange {
        node: args.first()?,
        change,
    })
}

struct Args<'a>(&'a [Arg]);

impl<'a> Args<'a> {
    fn word(&self, position: usize) -> Result<&'a str, String> {
        let arg = self.0.get(position);
        arg.map(|arg| arg.key.as_str())
            .ok_or_else(|| format!("argument {position} is missing"))
    }

    fn positional(&self, position: usize) -> Result<u64, String> {
        parse_uint(self.word(position)?)
    }

    fn first(&self) -> Result<u64, String> {
        self.positional(0)
    }

    /// All arguments without a value, as numbers.
    fn nodes(&self) -> Result<Vec<u64>, String> {
        let plain = self.0.iter().filter(|arg| arg.values.is_empty());
        plain.map(|arg| parse_uint(&arg.key)).collect()
    }

    fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = |arg: &'a Arg| {
            arg.values
                .iter()
                .map(|value| (arg.key.as_str(), value.as_str()))
        };
        self.0.iter().flat_map(pairs)
    }

    fn values(&self, key: &str) -> impl Iterator<Item = &'a str> {
        self.pairs()
            .filter(move |pair| pair.0 == key)
            .map(|pair| pair.1)
    }

    fn named(&self, key: &str) -> Result<u64, String> {
        parse_uint(
            self.values(key)
                .next()
                .ok_or_else(|| format!("missing argument: {key}"))?,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datadriven_script::parse;

    fn command(text: &str) -> Result<Command, String> {
        Command::parse(&parse(text).unwrap()[0])
    }

    #[test]
    fn deliveries_name_recipients_drops_and_a_kind() {
        assert_eq!(
            command("deliver-msgs 2 drop=(3,4) type=MsgApp"),
            Ok(Command::DeliverMessages {
                recipients: vec![
                    Recipient {
                        node: 2,
                        drop: false
                    },
                    Recipient {
                        node: 3,
                        drop: true
                    },
                    Recipient {
                        node: 4,
                        drop: true
                    },
                ],
                kind: Some(MessageKind::AppendEntries),
            })
        );
        assert!(
            command("deliver-msgs 2 drop=2")
                .unwrap_err()
                .contains("both")
        );
        assert!(
            command("deliver-msgs 2 type=MsgNone")
                .unwrap_err()
                .contains("MsgNone")
        );
    }

    #[test]
    fn node_templates_collect_their_settings() {
        let Ok(Command::AddNodes { count: 3, template }) = command(
            "add-nodes 3 voters=(1,2) learners=(3) index=10 content=x inflight=2 read-only=lease-based",
        ) else {
            panic!("not read");
        };
        assert_eq!(template.voters, [1, 2].map(|id| NodeId::new(id).unwrap()));
        assert_eq!(template.learners, [NodeId::new(3).unwrap()]);
        assert_eq!((template.index, template.content.as_str()), (10, "x"));
        assert_eq!(template.max_inflight_messages, Some(2));
        assert!(template.lease_based_reads && !template.pre_vote);
    }

    #[test]
    fn what_is_unknown_is_refused() {
        assert_eq!(command("jump 1").unwrap_err(), "unknown command");
        assert!(
            command("add-nodes 1 read-only=no")
                .unwrap_err()
                .contains("\"no\"")
        );
        assert_eq!(
            command("propose-conf-change 1 v2=x").unwrap_err(),
            "unknown command v2"
        );
    }

    #[test]
    fn every_command_is_known() {
        for text in [
            "_breakpoint",
            "campaign 1",
            "compact 1 5",
            "forget-leader 1",
            "log-level none",
            "process-append-thread 1 2",
            "process-apply-thread 1 2",
            "process-ready 2 1",
            "propose 1 foo",
            "propose-conf-change 1 transition=explicit\nv1 v2",
            "raft-log 1",
            "raft-state",
            "report-unreachable 1 2",
            "send-snapshot 1 3",
            "set-randomized-election-timeout 1 timeout=5",
            "stabilize 1 2 log-level=none",
            "status 1",
            "tick-election 1",
            "tick-heartbeat 1",
            "transfer-leadership from=1 to=4",
        ] {
            assert!(command(text).is_ok(), "{text}: {:?}", command(text));
        }
    }
}
