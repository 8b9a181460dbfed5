//! Tests of stories and their pictures, on every trace of the corpus.

use super::{Fate, Story, beside, diagram, mermaid, page, svg};
use crate::planted::{Mistake, Planted};
use crate::targets::lockstep_raft::LockstepRaft;
use lockstep_traces::{Trace, trace_files};
use std::path::Path;

fn corpus() -> Vec<Trace> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces/corpus");
    let files = trace_files(&folder).expect("there is a corpus").traces;
    let read = |path: &std::path::PathBuf| Trace::read(path).expect("it can be read");
    files.iter().map(read).collect()
}

fn named(name: &str) -> Trace {
    let mut all = corpus().into_iter();
    all.find(|trace| trace.header.name == name)
        .expect("it is part of the corpus")
}

/// Every delivery and loss ends one message that was sent before it, and every message that is sent is there.
#[test]
fn messages_are_followed_from_send_to_end() {
    for trace in corpus() {
        let story = Story::of_trace(&trace);
        let expected = trace.steps.iter().filter_map(|it| it.expected.as_ref());
        let sent: usize = expected.map(|it| it.sent.len()).sum();
        let kind = |kind: &str| story.steps.iter().filter(|it| it.kind == kind).count();
        let born = story.flights.iter().filter(|it| it.born.is_some());
        assert_eq!(born.count(), sent + kind("duplicate"), "{}", story.name);
        let delivered = |it: &Fate| matches!(it, Fate::Delivered(_));
        let lost = |it: &Fate| matches!(it, Fate::Lost(_));
        let fates = || story.flights.iter().map(|it| it.fate);
        assert_eq!(fates().filter(delivered).count(), kind("deliver"));
        assert_eq!(fates().filter(lost).count(), kind("drop"));
        for flight in &story.flights {
            let (Some(born), Fate::Delivered(end) | Fate::Lost(end)) = (flight.born, flight.fate)
            else {
                continue;
            };
            assert!(born < end, "{}: {}", story.name, flight.sentence);
        }
    }
}

/// A picture on a page or of a log is well-formed XML, and no line of text is wider than asked.
#[test]
fn pictures_are_well_formed() {
    for trace in corpus() {
        let story = Story::of_trace(&trace);
        let picture = svg(&story);
        let rows = picture.matches("class=\"lk-row").count();
        assert_eq!(rows, story.steps.len());
        assert!(balanced(&picture), "{}", story.name);
        assert!(!picture.contains("NaN") && !picture.contains("\"inf\""));
        for width in [60, 80, 120] {
            let text = diagram(&story, width);
            let widest = text.lines().map(|it| it.chars().count()).max();
            assert!(widest <= Some(width), "{}: {widest:?}\n{text}", story.name);
        }
        let lines = mermaid(&story);
        assert!(lines.starts_with("sequenceDiagram\n"));
        assert!(lines.lines().count() > story.steps.len());
    }
}

/// Whether every element that begins also ends.
fn balanced(xml: &str) -> bool {
    let mut open = Vec::new();
    for tag in xml.split('<').skip(1) {
        let inside = tag.split('>').next().unwrap_or_default();
        let name = inside.split([' ', '\n']).next().unwrap_or_default();
        if let Some(name) = name.strip_prefix('/') {
            if open.pop() != Some(name) {
                return false;
            }
        } else if !inside.ends_with('/') {
            open.push(name);
        }
    }
    open.is_empty()
}

#[test]
fn an_election_as_text() {
    let story = Story::of_trace(&named("witness-leader_elected"));
    insta::assert_snapshot!(diagram(&story, 80));
}

#[test]
fn losses_and_restarts_as_text() {
    let story = Story::of_trace(&named("story-figure-8-overwritten"));
    insta::assert_snapshot!(diagram(&story, 80));
}

#[test]
fn an_election_for_mermaid() {
    let story = Story::of_trace(&named("witness-leader_elected"));
    insta::assert_snapshot!(mermaid(&story));
}

/// The texts of a trace are the author's, and none of them ends the element that they stand in.
#[test]
fn no_text_breaks_out_of_a_page() {
    let mut trace = named("witness-leader_elected");
    trace.header.purpose = "</script><script>alert(1)</script> & \"<!--".to_owned();
    let html = page(&Story::of_trace(&trace), &[trace.header.purpose.clone()]);
    assert_eq!(html.matches("</script>").count(), 2);
    let (before, data) = html.split_once("id=\"data\">").expect("there is data");
    assert!(!before.contains("<script>alert") && !data.contains("<!--"));
    // Names of namespaces are no addresses.
    let addresses = html.matches("http://").count();
    assert_eq!(addresses, html.matches("http://www.w3.org/").count());
}

/// The production Raft agrees along every trace of the corpus, and each planted mistake shows at the step at
/// which it happens.
#[test]
fn a_mistake_shows_where_it_happens() {
    for trace in corpus() {
        let config = &trace.header.config;
        let good = beside(&LockstepRaft, config, &trace.steps).expect("it starts");
        assert_eq!(good.first_difference(), None, "{}", trace.header.name);
        let kind = |kind: &str| {
            let kinds = trace
                .steps
                .iter()
                .map(|it| crate::words::event_kind(&it.event));
            kinds.into_iter().position(|it| it == kind)
        };
        let target = Planted::new(LockstepRaft, Mistake::Failure);
        let broken = beside(&target, config, &trace.steps).expect("it starts");
        assert_eq!(broken.first_difference(), kind("restart"));
        let target = Planted::new(LockstepRaft, Mistake::ExtraMessage);
        let extra = beside(&target, config, &trace.steps).expect("it starts");
        // A server that asks nobody for votes sends nothing twice.
        let asks = |step: &lockstep_traces::Step| {
            let sends = step.expected.as_ref().is_some_and(|it| !it.sent.is_empty());
            crate::words::event_kind(&step.event) == "timeout" && sends
        };
        let first = trace.steps.iter().position(asks);
        assert_eq!(extra.first_difference(), first, "{}", trace.header.name);
        let Some(step) = first else { continue };
        let mut story = Story::of_trace(&trace);
        extra.tell(&mut story);
        assert_eq!(story.steps[step].differences[0].what, "extra message");
        assert!(svg(&story).contains("lk-differs"));
    }
}
