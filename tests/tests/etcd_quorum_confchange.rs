//! etcd's scripts for quorums and for changes of the membership, run against ours.
//!
//! Set `LOCKSTEP_ETCD_TESTDATA` to the folder with the scripts of v3.6.0, `LOCKSTEP_ETCD_TESTDATA_3_7` to the one of
//! v3.7.0; see [`lockstep_tests::etcd_testdata`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use lockstep_raft::confchange::{Changer, ConfChangeError};
use lockstep_raft::quorum::{JointConfig, MajorityConfig, UNBOUNDED};
use lockstep_raft::tracker::ProgressTracker;
use lockstep_raft::{Index, NodeId};
use lockstep_tests::datadriven_script::{Case, run_script};
use lockstep_tests::etcd_interaction::{parse_bool, parse_changes};
use lockstep_tests::etcd_testdata::{Suite, Version, run_suite};

#[test]
fn quorum_scripts_pass() {
    run_suite(Suite::Quorum, |script, version| {
        run_script(script, |case| {
            let text = quorum_command(case).unwrap_or_else(|problem| problem);
            match version {
                Version::V3_6 => text,
                Version::V3_7 => with_equal_bars(&text),
            }
        })
    });
}

#[test]
fn confchange_scripts_pass() {
    run_suite(Suite::ConfChange, |script, _| {
        let mut group = Group::default();
        run_script(script, |case| {
            group.command(case).unwrap_or_else(|problem| problem)
        })
    });
}

/// The text with bars as v3.7.0 draws them. In v3.6.0, as here, the first of several equal indexes alone has its bar; there
/// all of them have.
fn with_equal_bars(text: &str) -> String {
    let bar = |line: &str| {
        line.find('>')
            .filter(|end| line[..*end].bytes().all(|it| it == b'x'))
    };
    let index = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
    let mut longest: BTreeMap<String, usize> = BTreeMap::new();
    for line in text.lines() {
        if let (Some(length), Some(index)) = (bar(line), index(line)) {
            let so_far = longest.entry(index).or_default();
            *so_far = length.max(*so_far);
        }
    }
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let length = index(line).and_then(|index| longest.get(&index).copied());
        match (bar(line), length) {
            (Some(old), Some(new)) if old < new => {
                let more = "x".repeat(new - old);
                let (before, rest) = line.split_at(old + 1);
                // The bar grows into the blanks behind it.
                out += &format!("{more}{before}{}", &rest[more.len()..]);
            }
            _ => out += line,
        }
    }
    out
}

#[test]
fn equal_indexes_have_equal_bars() {
    let drawn =
        "         idx\nx>         5    (id=1)\n>          5    (id=2)\n?          0    (id=3)\n5\n";
    let wanted =
        "         idx\nx>         5    (id=1)\nx>         5    (id=2)\n?          0    (id=3)\n5\n";
    assert_eq!(with_equal_bars(drawn), wanted);
    assert_eq!(with_equal_bars(wanted), wanted);
}

/// The arguments of a quorum command: up to two configurations, and one value a voter in the order
/// in which the voters are first named; `None` stands for `_`, a voter nothing is known of.
#[derive(Default)]
struct QuorumArgs {
    ids: Vec<NodeId>,
    /// `None` for a majority quorum; `zero` in the script makes an empty second half.
    joint_ids: Option<Vec<NodeId>>,
    indexes: Vec<Option<u64>>,
    votes: Vec<Option<bool>>,
}

impl QuorumArgs {
    fn parse(case: &Case) -> Result<QuorumArgs, String> {
        let mut args = QuorumArgs::default();
        for arg in &case.args {
            let values = arg.values.iter().map(|value| value.trim());
            match arg.key.as_str() {
                "cfg" => args.ids = values.map(node).collect::<Result<_, _>>()?,
                "cfgj" if arg.values == ["zero"] => args.joint_ids = Some(Vec::new()),
                "cfgj" => args.joint_ids = Some(values.map(node).collect::<Result<_, _>>()?),
                "idx" => args.indexes = values.map(index).collect::<Result<_, _>>()?,
                "votes" => args.votes = values.map(vote).collect::<Result<_, _>>()?,
                other => return Err(format!("unknown argument {other}")),
            }
        }
        Ok(args)
    }

    fn voters(&self) -> Vec<NodeId> {
        let mut seen = BTreeSet::new();
        let both = self.ids.iter().chain(self.joint_ids.iter().flatten());
        both.copied().filter(|&id| seen.insert(id)).collect()
    }

    /// Maps the values to the voters; `digit` stands for a value in the message about a wrong count.
    fn by_voter<T: Copy>(
        &self,
        values: &[Option<T>],
        digit: impl Fn(T) -> u64,
    ) -> Result<BTreeMap<NodeId, T>, String> {
        let voters = self.voters();
        if voters.len() != values.len() {
            let sorted: BTreeSet<NodeId> = voters.into_iter().collect();
            let voters: Vec<String> = sorted.iter().map(|id| format!("{id}:{{}}")).collect();
            let values: Vec<String> = values
                .iter()
                .map(|value| value.map_or(0, &digit).to_string())
                .collect();
            return Err(format!(
                "error: mismatched input (explicit or _) for voters map[{}]: [{}]",
                voters.join(" "),
                values.join(" ")
            ));
        }
        let known = voters.into_iter().zip(values);
        Ok(known
            .filter_map(|(id, &value)| Some((id, value?)))
            .collect())
    }
}

fn node(text: &str) -> Result<NodeId, String> {
    let number = text.parse().map_err(|e| format!("{text}: {e}"))?;
    NodeId::new(number).ok_or_else(|| "0 is no node".to_owned())
}

fn index(text: &str) -> Result<Option<u64>, String> {
    match text {
        "_" => Ok(None),
        "0" => Err("an index of 0 is written _".to_owned()),
        _ => text.parse().map(Some).map_err(|e| format!("{text}: {e}")),
    }
}

fn vote(text: &str) -> Result<Option<bool>, String> {
    match text {
        "y" => Ok(Some(true)),
        "n" => Ok(Some(false)),
        "_" => Ok(None),
        _ => Err(format!("unknown vote: {text}")),
    }
}

fn quorum_command(case: &Case) -> Result<String, String> {
    let args = QuorumArgs::parse(case)?;
    let majority: MajorityConfig = args.ids.iter().copied().collect();
    let other: MajorityConfig = args.joint_ids.iter().flatten().copied().collect();
    let joint = |incoming: &MajorityConfig, outgoing: &MajorityConfig| JointConfig {
        incoming: incoming.clone(),
        outgoing: outgoing.clone(),
    };
    let swapped = joint(&other, &majority);
    let both = joint(&majority, &other);
    match case.command.as_str() {
        "committed" => {
            let acked = args.by_voter(&args.indexes, |index| index)?;
            let lookup = |id: NodeId| acked.get(&id).map(|&index| Index(index));
            let mut checked = Checked::default();
            let committed = if args.joint_ids.is_some() {
                checked.text = both.describe(lookup);
                checked.must_equal("symmetry", swapped.committed_index(lookup));
                both.committed_index(lookup)
            } else {
                checked.text = majority.describe(lookup);
                checked.must_equal("zero-joint quorum", both.committed_index(lookup));
                let itself = joint(&majority, &majority);
                checked.must_equal("self-joint quorum", itself.committed_index(lookup));
                let committed = majority.committed_index(lookup);
                // What lies behind the committed index cannot hold it up by falling back further.
                for (&lagging, _) in acked.iter().filter(|&(_, &index)| Index(index) < committed) {
                    let lowered =
                        |id| lookup(id).map(|index| if id == lagging { Index(0) } else { index });
                    checked.must_equal("overlay", majority.committed_index(lowered));
                }
                committed
            };
            Ok(checked.finish(committed))
        }
        "vote" => {
            let votes = args.by_voter(&args.votes, |granted| 1 + u64::from(granted))?;
            let lookup = |id: NodeId| votes.get(&id).copied();
            let result = if args.joint_ids.is_some() {
                both.vote_result(lookup)
            } else {
                majority.vote_result(lookup)
            };
            let by_symmetry = swapped.vote_result(lookup);
            let mut text = format!("{result}\n");
            if by_symmetry != result {
                text += &format!("{by_symmetry} <-- via symmetry\n");
            }
            Ok(text)
        }
        other => Err(format!("unknown command: {other}")),
    }
}

/// The committed index, and other ways to compute it that have to agree; those that do not show up
/// in the output.
#[derive(Default)]
struct Checked {
    text: String,
    alternatives: Vec<(&'static str, Index)>,
}

impl Checked {
    fn must_equal(&mut self, name: &'static str, index: Index) {
        self.alternatives.push((name, index));
    }

    fn finish(mut self, committed: Index) -> String {
        let show = |index: Index| match index {
            UNBOUNDED => "∞".to_owned(),
            index => index.to_string(),
        };
        for (name, index) in self.alternatives {
            if index != committed {
                let _ = writeln!(self.text, "{} <-- via {name}", show(index));
            }
        }
        let _ = writeln!(self.text, "{}", show(committed));
        self.text
    }
}

/// The group whose membership a script changes.
struct Group {
    tracker: ProgressTracker,
    /// Grows by one with every command, so that the scripts show when a member was added.
    last_index: u64,
}

impl Default for Group {
    fn default() -> Self {
        Group {
            tracker: ProgressTracker::new(10, 0),
            last_index: 0,
        }
    }
}

impl Group {
    fn command(&mut self, case: &Case) -> Result<String, String> {
        let changer = Changer::new(&self.tracker, Index(self.last_index));
        self.last_index += 1;
        let changes = parse_changes(&case.input)?;
        let changed = match case.command.as_str() {
            "simple" => changer.simple(&changes),
            "enter-joint" => changer.enter_joint(auto_leave(case)?, &changes),
            "leave-joint" if !changes.is_empty() => {
                return Err("this command takes no input".to_owned());
            }
            "leave-joint" => changer.leave_joint(),
            _ => return Err("unknown command".to_owned()),
        };
        let (config, progress) = changed.map_err(|error| in_the_words_of_the_scripts(&error))?;
        let text = format!("{config}\n{progress}");
        self.tracker.config = config;
        self.tracker.progress = progress;
        Ok(text)
    }
}

/// The scripts are compared to the letter, so they need etcd's sentences. What no script can bring
/// about has none and is shown in ours, which no script expects.
fn in_the_words_of_the_scripts(error: &ConfChangeError) -> String {
    let sentence = match error {
        ConfChangeError::AlreadyJoint => "config is already joint",
        ConfChangeError::NoVotersToLeave => "can't make a zero-voter config joint",
        ConfChangeError::NotJoint => "can't leave a non-joint config",
        ConfChangeError::SimpleInJoint => "can't apply simple config change in joint config",
        ConfChangeError::MoreThanOneVoter => {
            "more than one voter changed without entering joint config"
        }
        ConfChangeError::NoVotersLeft => "removed all voters",
        other => return other.to_string(),
    };
    sentence.to_owned()
}

fn auto_leave(case: &Case) -> Result<bool, String> {
    match case.args.iter().find(|arg| arg.key == "autoleave") {
        None => Ok(false),
        Some(arg) => match arg.values.as_slice() {
            [] => Ok(true),
            [value] => parse_bool(value),
            values => Err(format!("autoleave: {values:?}")),
        },
    }
}

#[test]
fn a_truth_value_is_read_as_go_reads_it() {
    let cases = lockstep_tests::datadriven_script::parse(
        "simple\nv1\n----\n\nenter-joint autoleave=1\nv2\n----\n\nleave-joint\nv1  v2\n----\n",
    )
    .unwrap();
    let mut group = Group::default();
    let outputs = cases.iter().map(|case| group.command(case));
    let outputs: Vec<_> = outputs.collect();
    assert!(outputs[0].is_ok());
    let joint = outputs[1].as_ref().unwrap();
    assert!(
        joint.starts_with("voters=(1 2)&&(1) autoleave\n"),
        "{joint}"
    );
    // Two spaces in a row enclose an empty word.
    assert_eq!(outputs[2], Err("unknown token ".to_owned()));
}
