//! Tests of links, models, conditions, imports and pages.

use super::condition::Condition;
use super::import::import;
use super::link::{LinkError, Walked, decode, encode, menu};
use super::models::NamedModel;
use super::page::{Visit, page};
use super::seek::{Reach, Sought, shortest};
use lockstep_model::properties::witnesses;
use lockstep_model::{Cluster, Dialect, Preset};
use lockstep_traces::{Role, Trace, trace_files};
use proptest::prelude::*;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

fn model(key: &str) -> NamedModel {
    NamedModel::parse(key, Dialect::ETCD).expect("it is a model")
}

fn seek(cluster: &Cluster, text: &str) -> Sought {
    let condition = Condition::parse(text, cluster).expect("a condition");
    let watch =
        |before: &_, action: &_, after: &_| condition.after_step(cluster, before, action, after);
    let reach = Reach {
        threads: 1,
        states: 1_000_000,
        time: Duration::from_secs(600),
    };
    let go_on = |_, _| ControlFlow::Continue(());
    shortest(cluster, &cluster.initial(), &watch, reach, go_on).expect("it can be searched")
}

proptest! {
    #[test]
    fn links_are_read_back(numbers in prop::collection::vec(0_usize..400, 0..80)) {
        prop_assert_eq!(decode(&encode(&numbers)), Ok(numbers));
    }
}

#[test]
fn what_is_no_link_is_refused() {
    assert_eq!(decode("a b"), Err(LinkError::Character(' ')));
    assert_eq!(decode("ab_"), Err(LinkError::CutOff));
    let model = model("smoke");
    let followed = Walked::follow(&model.cluster, "_____0");
    assert!(matches!(followed, Err(LinkError::NoAction { step: 1, .. })));
}

/// The menu has each action once, so that a link means one path; and what is enabled is on it.
#[test]
fn a_menu_has_every_action_once() {
    for preset in Preset::all() {
        let cluster = model(preset.name).cluster;
        let mut walked = Walked::start(&cluster);
        for turn in 0..40_usize {
            let menu = menu(&cluster, walked.last());
            let mut distinct = menu.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), menu.len());
            let mut enabled = Vec::new();
            cluster.enabled(walked.last(), &mut enabled);
            assert!(enabled.iter().all(|it| menu.contains(it)));
            walked
                .step(&cluster, turn * 7 % menu.len())
                .expect("it is on the menu");
        }
        let again = Walked::follow(&cluster, &walked.link()).expect("it is a link");
        assert_eq!(again.last(), walked.last());
        assert_eq!(again.seal(&cluster), walked.seal(&cluster));
    }
}

#[test]
fn a_model_is_read_back_from_its_word() {
    let changed = "five~servers=4~pre_vote=true~max_term=unlimited~drops=unlimited~disturbances=2";
    for key in ["smoke", "figure8", changed] {
        assert_eq!(model(key).key, key);
    }
    // What is as in the preset is left out.
    assert_eq!(model("five~servers=5").key, "five");
    for wrong in [
        "nine",
        "five~servers",
        "five~servers=x",
        "five~colour=red",
        "five~servers=99",
    ] {
        assert!(NamedModel::parse(wrong, Dialect::ETCD).is_err(), "{wrong}");
    }
}

#[test]
fn conditions_mean_what_they_say() {
    let cluster = model("default").cluster;
    let Sought::Found(actions) = seek(&cluster, "two leaders") else {
        panic!("there are states with two leaders");
    };
    let mut walked = Walked::start(&cluster);
    for action in actions {
        let roles = walked.last().servers().map(|it| it.role());
        let leaders = roles.filter(|it| *it == Role::Leader).count();
        assert!(leaders < 2, "a shorter way would do");
        assert!(walked.take(&cluster, action));
    }
    let yes = [
        "two leaders",
        "exactly two leaders",
        "at least 1 leader and at most one follower",
        "not no leader",
        "any.role = leader and not all.role = leader",
        "all.term >= 1",
        "s1.role = leader or s2.role = leader or s3.role = leader",
        "any.term = 2 and (any.log.length >= 1)",
        "network >= 0 and network.Heartbeat = 0",
        "two_leaders_reachable",
        "any.vote != none",
    ];
    let no = [
        "three leaders",
        "no leader",
        "exactly one leader",
        "all.term = 0",
        "any.commit > 99",
        "s1.role = leader and not s1.role = leader",
    ];
    for (texts, expected) in [(&yes[..], true), (&no[..], false)] {
        for text in texts {
            let condition = Condition::parse(text, &cluster).expect("a condition");
            let is = condition.of_state(&cluster, walked.last());
            assert_eq!(is, expected, "{text}");
        }
    }
}

#[test]
fn what_is_no_condition_says_what_was_expected() {
    let cluster = model("smoke").cluster;
    let errors = [
        ("two leeders", "expected leader, candidate"),
        ("at least", "expected a number"),
        ("s4.role = leader", "s1 to s3"),
        ("s1.colour = red", "one of its fields"),
        ("s1.role leader", "=, !="),
        ("s1.term =", "expected a value"),
        ("(two leaders", "closing parenthesis"),
        ("two leaders maybe", "\"and\", \"or\""),
        ("", "a condition such as"),
    ];
    for (text, expected) in errors {
        let error = Condition::parse(text, &cluster)
            .err()
            .expect("no condition");
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
}

/// A search for a witness is as long as the shortest way that the engine reports.
#[test]
fn the_way_to_a_witness_is_a_shortest() {
    let cluster = model("smoke").cluster;
    let report = lockstep_engine::Search::new(&cluster)
        .run()
        .expect("it can be searched")
        .report;
    // Each takes a search; some of these are not reached.
    for witness in report.witnesses.into_iter().step_by(4) {
        match (seek(&cluster, &witness.name), witness.depth) {
            (Sought::Found(actions), Some(depth)) => assert_eq!(actions.len(), depth as usize),
            (Sought::Nowhere { states }, None) => assert_eq!(states, report.distinct),
            (found, depth) => panic!("{}: {found:?} {depth:?}", witness.name),
        }
    }
}

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/corpus");
    let files = trace_files(&folder).expect("there is a corpus").traces;
    let read = |path: &std::path::PathBuf| {
        let bytes = std::fs::read(path).expect("it can be read");
        (path.display().to_string(), bytes)
    };
    files.iter().map(read).collect()
}

/// Every trace of the corpus is a path, and the path's steps are the trace's.
#[test]
fn the_corpus_can_be_brought_in() {
    for (name, bytes) in corpus() {
        let imported = import(&bytes, &name, Dialect::ETCD).expect("it is a trace");
        assert!(imported.disagrees.is_none(), "{name}: {imported:?}");
        let cluster = model(&imported.model).cluster;
        let visit = Visit::follow(&cluster, &imported.path, "").expect("it is a link");
        let trace = Trace::parse(&bytes, &name).expect("it is a trace");
        assert_eq!(visit.steps(&cluster), trace.steps, "{name}");
    }
}

/// A trace that expects something else says where.
#[test]
fn a_trace_that_disagrees_says_where() {
    let (name, bytes) = corpus().remove(0);
    let mut trace = Trace::parse(&bytes, &name).expect("it is a trace");
    let expected = trace.steps[2].expected.as_mut().expect("a server moves");
    assert!(expected.sent.pop().is_some());
    let mut changed = Vec::new();
    trace.write(&mut changed).expect("it can be written");
    let imported = import(&changed, &name, Dialect::ETCD).expect("it is a trace");
    let disagrees = imported.disagrees.expect("it disagrees");
    assert_eq!(disagrees.step, 3);
    assert_eq!(disagrees.differences[0].what, "missing message");
}

/// A page agrees with the functions of properties and witnesses, and gives every reason.
#[test]
fn a_page_says_what_holds() {
    let model = model("smoke");
    let cluster = &model.cluster;
    let Sought::Found(actions) = seek(cluster, "value_committed_reachable") else {
        panic!("it is reachable");
    };
    let mut walked = Walked::start(cluster);
    for action in actions {
        assert!(walked.take(cluster, action));
    }
    let link = walked.link();
    let (path, future) = link.split_at(link.len() - 2);
    let visit = Visit::follow(cluster, path, future).expect("it is a link");
    let shown = page(&model, &visit, None);
    assert_eq!(
        (shown.at, shown.story.steps.len()),
        (walked.actions.len() - 2, walked.actions.len())
    );
    assert!(
        shown
            .properties
            .iter()
            .all(|it| it.holds && it.violated_at.is_none())
    );
    assert!(shown.properties.iter().any(|it| it.antecedent));
    let value = |it: &&super::page::WitnessRow| it.name == "value_committed_reachable";
    let row = shown.witnesses.iter().find(value).expect("a witness");
    assert_eq!(row.reached_at, None);
    let visit = Visit::follow(cluster, &link, "").expect("it is a link");
    let shown = page(&model, &visit, None);
    let row = shown.witnesses.iter().find(value).expect("a witness");
    assert_eq!(row.reached_at, Some(walked.actions.len() - 1));
    let reached = witnesses().iter().filter(|it| {
        let mut states = walked.states.iter().skip(1);
        states.any(|state| it.is_state(cluster, state))
    });
    let listed = shown.witnesses.iter().filter(|it| it.reached_at.is_some());
    assert!(listed.count() >= reached.count());
    // What is offered without a reason is exactly what the bounds allow.
    let mut enabled = Vec::new();
    cluster.enabled(walked.last(), &mut enabled);
    enabled.retain(|action| cluster.apply(walked.last(), action).within_bound);
    let rows = shown.servers.iter().flat_map(|it| &it.actions);
    let rows = rows.chain(shown.messages.iter().flat_map(|it| &it.actions));
    let (open, off): (Vec<_>, Vec<_>) = rows.partition(|it| it.disabled.is_none());
    assert_eq!(open.len(), enabled.len());
    assert!(
        off.iter()
            .all(|it| it.disabled.as_ref().is_some_and(|why| !why.is_empty()))
    );
}
