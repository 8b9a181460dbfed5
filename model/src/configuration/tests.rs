//! Quorums and changes, by hand and against etcd's own scripts.

use super::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn ids(numbers: &[u8]) -> IdSet {
    let mut set = IdSet::EMPTY;
    numbers
        .iter()
        .for_each(|number| set.insert(Id::new(*number).unwrap()));
    set
}

const NOTHING: ConfChange = ConfChange::LEAVE_JOINT;

fn simple(voters: &[u8]) -> Configuration {
    Configuration::of_voters(ids(voters))
}

fn joint(voters: &[u8], outgoing: &[u8]) -> Configuration {
    Configuration {
        outgoing: ids(outgoing),
        ..simple(voters)
    }
}

#[test]
fn a_quorum_has_a_majority_of_each_half() {
    let config = joint(&[1, 2, 3], &[3, 4, 5]);
    assert!(config.is_quorum(ids(&[1, 3, 4])));
    // Three of five are a majority of all, and no quorum.
    assert!(!config.is_quorum(ids(&[1, 2, 3])));
    assert!(!config.is_quorum(ids(&[3, 4, 5])));
    assert_eq!(
        config.vote_result(ids(&[1, 2, 3]), ids(&[4])),
        VoteResult::Pending
    );
    assert_eq!(
        config.vote_result(ids(&[1, 2, 3]), ids(&[4, 5])),
        VoteResult::Lost
    );
    let matched = |id: Id| u32::from(id.get());
    assert_eq!(config.committed_index(matched), 2);
    assert_eq!(simple(&[1, 2, 3, 4]).committed_index(matched), 2);
    assert_eq!(Configuration::default().committed_index(matched), 0);
}

#[test]
fn learners_and_strangers_have_no_say() {
    let config = Configuration {
        learners: ids(&[3, 4]),
        ..simple(&[1, 2])
    };
    assert!(!config.is_quorum(ids(&[1, 3, 4, 5])));
    assert_eq!(
        config.vote_result(IdSet::EMPTY, ids(&[3, 4, 5])),
        VoteResult::Pending
    );
    assert_eq!(config.members(), ids(&[1, 2, 3, 4]));
    assert_eq!(config.all_voters(), ids(&[1, 2]));
}

/// Any two quorums of a configuration and of one that follows from it by one change have a server in common.
#[test]
fn quorums_before_and_after_a_change_meet() {
    let sets = || (1..32).map(IdSet::from_bits);
    let configurations: Vec<Configuration> = sets()
        .filter(|voters| !voters.is_empty())
        .flat_map(|voters| {
            let all = [IdSet::EMPTY].into_iter().chain(sets());
            all.map(move |outgoing| Configuration {
                outgoing,
                ..Configuration::of_voters(voters)
            })
        })
        .collect();
    let mut singles: Vec<ConfChange> = vec![NOTHING];
    for server in 1..=5 {
        singles.push(NOTHING.add_voter(server));
        singles.push(NOTHING.add_learner(server));
        singles.push(NOTHING.remove(server));
        for other in 1..=5 {
            singles.push(NOTHING.add_voter(server).remove(other));
            singles.push(NOTHING.add_learner(server).remove(other).explicit());
        }
    }
    let mut applied = 0;
    for before in configurations {
        for change in &singles {
            let Ok(changed) = before.apply(*change) else {
                continue;
            };
            let after = changed.configuration;
            applied += 1;
            let quorums: Vec<IdSet> = sets().filter(|set| after.is_quorum(*set)).collect();
            let mut olds = sets().filter(|set| before.is_quorum(*set));
            assert!(
                olds.all(|old| quorums.iter().all(|new| !old.and(*new).is_empty())),
                "{before:?} {change:?} {after:?}"
            );
        }
    }
    assert!(applied > 1_000, "{applied}");
}

#[test]
fn who_is_new_is_told() {
    let config = Configuration {
        learners: ids(&[3]),
        ..simple(&[1, 2])
    };
    let fresh = |change: ConfChange| config.apply(change).unwrap().fresh;
    assert_eq!(fresh(NOTHING.add_voter(3)), IdSet::EMPTY);
    assert_eq!(fresh(NOTHING.add_voter(4)), ids(&[4]));
    // A learner that goes and comes back is forgotten in between, a voter of the old half is not.
    assert_eq!(fresh(NOTHING.remove(3).add_learner(3)), ids(&[3]));
    assert_eq!(fresh(NOTHING.remove(2).add_voter(2)), IdSet::EMPTY);
    assert_eq!(fresh(NOTHING.add_voter(4).remove(4)), IdSet::EMPTY);
}

#[test]
fn a_change_is_the_same_in_the_vocabulary() {
    let change = NOTHING
        .add_voter(4)
        .add_learner(2)
        .remove(1)
        .add_voter(5)
        .remove(5);
    for change in [
        NOTHING,
        change,
        change.implicit(),
        change.explicit(),
        NOTHING.remove(3),
    ] {
        let said = vocabulary::ConfChange::from(change);
        assert_eq!(ConfChange::try_from(&said), Ok(change));
        assert_eq!(ConfChange::from_code(change.code()), change);
        assert!(change.code() < 1 << 27);
        assert_eq!(change.renamed(|id| id), change);
    }
    assert_eq!(
        format!("{:?}", change.explicit()),
        "(v4 l2 r1 v5 r5 explicit)"
    );
    assert_eq!(format!("{NOTHING:?}"), "(leave)");
    let beyond = vocabulary::ConfChange {
        changes: vec![ConfChangeSingle::Remove(ServerId::new(8).unwrap())].into(),
        transition: Transition::Auto,
    };
    assert_eq!(ConfChange::try_from(&beyond), Err(OutOfRange));
}

/// A command of a script with its arguments, its input and what it must answer.
struct Case {
    command: String,
    arguments: BTreeMap<String, Vec<String>>,
    input: String,
    expected: String,
}

/// The scripts of a package of etcd's raft, if the environment names a folder with them, as the tests of the whole
/// workspace do.
fn scripts(package: &str) -> Vec<PathBuf> {
    let Some(root) = std::env::var_os("LOCKSTEP_ETCD_TESTDATA") else {
        let required = std::env::var_os("LOCKSTEP_REQUIRE_ETCD_TESTDATA").is_some();
        assert!(!required, "LOCKSTEP_ETCD_TESTDATA is not set");
        eprintln!("scripts of etcd for {package}: SKIPPED, LOCKSTEP_ETCD_TESTDATA is not set");
        return Vec::new();
    };
    // A relative path is meant from the top of the workspace.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(root);
    let folders = [format!("{package}/testdata"), package.to_owned()];
    let folder = folders.iter().map(|folder| root.join(folder));
    let folder = folder
        .into_iter()
        .find(|folder| folder.is_dir())
        .expect("the folder has the package");
    let files = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|it| it == "txt"));
    files.sort();
    assert!(!files.is_empty());
    files
}

fn cases(file: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut cases = Vec::new();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.replace(", ", ",");
        let arguments = rest.split_whitespace().map(|argument| {
            let (key, values) = argument.split_once('=').unwrap();
            let values = values.trim_matches(['(', ')']).split(',');
            let values = values.filter(|value| !value.is_empty()).map(str::to_owned);
            (key.to_owned(), values.collect())
        });
        let arguments = arguments.collect();
        let input = lines.by_ref().take_while(|line| *line != "----");
        let input = input.collect::<Vec<_>>().join(" ");
        let expected = lines.by_ref().take_while(|line| !line.is_empty());
        let expected = expected.collect::<Vec<_>>().join("\n");
        cases.push(Case {
            command: command.to_owned(),
            arguments,
            input,
            expected,
        });
    }
    cases
}

/// Quorums: names of servers are told apart, and which is which does not matter.
#[test]
fn etcds_quorum_scripts_pass() {
    let mut run = 0;
    for file in scripts("quorum") {
        for case in cases(&file) {
            let named = |key: &str| case.arguments.get(key).cloned().unwrap_or_default();
            let mut names: Vec<String> = Vec::new();
            let mut half = |key: &str| {
                let of: Vec<String> = named(key).into_iter().filter(|it| it != "zero").collect();
                let mut bits = 0u8;
                for name in of {
                    if !names.contains(&name) {
                        names.push(name.clone());
                    }
                    let place = names.iter().position(|it| *it == name).unwrap();
                    bits |= 1 << place;
                }
                bits
            };
            let halves = [half("cfg"), half("cfgj")];
            if names.len() > MAX_MEMBERS {
                continue;
            }
            let config = Configuration {
                outgoing: IdSet::from_bits(halves[1]),
                ..Configuration::of_voters(IdSet::from_bits(halves[0]))
            };
            let answer = match &case.command[..] {
                "committed" => {
                    let indexes = named("idx");
                    let matched = |id: Id| {
                        indexes
                            .get(id.slot())
                            .map_or(0, |it| it.parse().unwrap_or(0))
                    };
                    match names.is_empty() {
                        true => "∞".to_owned(),
                        false => config.committed_index(matched).to_string(),
                    }
                }
                "vote" => {
                    let votes = named("votes");
                    let given = |answer: &str| {
                        let bits = votes.iter().enumerate();
                        let bits = bits.filter(|(_, vote)| *vote == answer);
                        IdSet::from_bits(bits.map(|(place, _)| 1u8 << place).sum())
                    };
                    format!("Vote{:?}", config.vote_result(given("y"), given("n")))
                }
                other => panic!("{other}"),
            };
            let expected = case.expected.lines().last().unwrap();
            let expected = expected.trim_start_matches("<empty majority quorum>");
            assert_eq!(answer, expected, "{}: {:?}", file.display(), case.arguments);
            run += 1;
        }
    }
    assert!(run == 0 || run > 50, "{run}");
}

/// Changes: the configuration, and what the leader knows of whom since when.
#[test]
fn etcds_confchange_scripts_pass() {
    let mut run = 0;
    for file in scripts("confchange") {
        let mut config = Configuration::default();
        let mut next: BTreeMap<Id, usize> = BTreeMap::new();
        for (last_index, case) in cases(&file).into_iter().enumerate() {
            let singles = case.input.split_whitespace().filter_map(|word| {
                let (kind, number) = word.split_at(1);
                let id = number.parse().ok().and_then(Id::new)?;
                if id.slot() >= MAX_MEMBERS {
                    // A stranger goes, in one of the scripts.
                    assert_eq!(kind, "r");
                    return None;
                }
                match kind {
                    "v" => Some(Single::AddVoter(id)),
                    "l" => Some(Single::AddLearner(id)),
                    "r" => Some(Single::Remove(id)),
                    other => panic!("{other}"),
                }
            });
            let auto_leave = case.arguments.get("autoleave");
            let auto_leave = auto_leave.is_some_and(|values| values == &["true"]);
            let changed = match &case.command[..] {
                "simple" => config.simple(singles),
                "enter-joint" => config.enter_joint(singles, auto_leave),
                "leave-joint" => config.leave_joint(),
                other => panic!("{other}"),
            };
            let answer = match changed {
                Err(error) => error.to_string(),
                Ok(changed) => {
                    config = changed.configuration;
                    next.retain(|id, _| {
                        config.members().contains(*id) && !changed.fresh.contains(*id)
                    });
                    for id in changed.fresh.iter() {
                        next.insert(id, last_index.max(1));
                    }
                    let mut text = lockstep_traces::Show::show(&config.view());
                    for (id, next) in &next {
                        text += &format!("\n{id}: StateProbe match=0 next={next}");
                        if config.learners.contains(*id) {
                            text += " learner";
                        }
                    }
                    text
                }
            };
            assert_eq!(answer, case.expected, "{}: {}", file.display(), case.input);
            run += 1;
        }
    }
    assert!(run == 0 || run > 30, "{run}");
}
