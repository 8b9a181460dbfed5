//! The story as a Mermaid sequence diagram, for pages that draw those. Mermaid draws no slanted arrows: a
//! message stands where it is delivered or lost.

use super::story::{Fate, Story, StoryStep};
use super::svg::mark_text;
use std::fmt::Write;

/// The diagram as Mermaid's text.
pub fn mermaid(story: &Story) -> String {
    let mut out = String::from("sequenceDiagram\n");
    let mut line = |text: std::fmt::Arguments<'_>| {
        writeln!(out, "    {text}").expect("writing to a string does not fail");
    };
    for server in &story.servers {
        line(format_args!("participant {server} as server {server}"));
    }
    for (number, step) in story.steps.iter().enumerate() {
        let ended = |fate: Fate| story.flights.iter().find(|it| it.fate == fate);
        let step_number = number + 1;
        if let Some(it) = ended(Fate::Delivered(number)) {
            let (from, to, text) = (it.from, it.to, plain(&it.sentence));
            line(format_args!("{from}->>{to}: {step_number}. {text}"));
        } else if let Some(it) = ended(Fate::Lost(number)) {
            let (from, to, text) = (it.from, it.to, plain(&it.sentence));
            line(format_args!("{from}-x{to}: {step_number}. lost: {text}"));
        } else if let Some(server) = step.server {
            let text = plain(&step.sentence);
            line(format_args!("note over {server}: {step_number}. {text}"));
        } else {
            let copy = story.flights.iter().find(|it| it.born == Some(number));
            if let Some(it) = copy {
                let (from, to, text) = (it.from, it.to, plain(&step.sentence));
                line(format_args!("note over {from},{to}: {step_number}. {text}"));
            }
        }
        if let (Some(server), Some(text)) = (step.server, marked(step)) {
            line(format_args!("note over {server}: {text}"));
        }
        for it in &step.differences {
            let server = step.server.unwrap_or(story.servers[0]);
            let text = plain(&format!(
                "{}: expected {}, is {}",
                it.what, it.expected, it.actual
            ));
            line(format_args!("note over {server}: DIFFERS: {text}"));
        }
    }
    for it in story.in_flight() {
        let (from, to, text) = (it.from, it.to, plain(&it.sentence));
        line(format_args!("{from}--){to}: in flight: {text}"));
    }
    out
}

fn marked(step: &StoryStep) -> Option<String> {
    step.mark.as_ref().map(mark_text)
}

/// Without the characters that end a statement in Mermaid.
fn plain(text: &str) -> String {
    text.replace(';', ",")
        .replace('#', "no. ")
        .replace('\n', " ")
}
