//! A log with vector clocks for `ShiViz`, which draws the happens-before relation of a run.

use crate::show::{Fate, Story};
use std::collections::BTreeMap;

/// The regular expression by which `ShiViz` parses the log.
const PARSER: &str = r"(?<host>\S*) (?<clock>{.*})\n(?<event>.*)";

type Clock = BTreeMap<String, u64>;

/// The log: the expression that parses it, an empty line, then two lines an event. A message that is lost or
/// duplicated is an event of the host `network`.
pub fn shiviz(story: &Story) -> String {
    let mut out = format!("{PARSER}\n\n");
    let mut clocks: BTreeMap<String, Clock> = BTreeMap::new();
    // The clock that each message carries.
    let mut carried: Vec<Option<Clock>> = vec![None; story.flights.len()];
    for (number, step) in story.steps.iter().enumerate() {
        let host = match step.server {
            Some(server) => format!("server{server}"),
            None => "network".to_owned(),
        };
        let ended = |fate: Fate| fate == Fate::Delivered(number) || fate == Fate::Lost(number);
        let arrived = story.flights.iter().position(|it| ended(it.fate));
        let copied = story.flights.iter().find(|it| it.born == Some(number));
        let arrived = arrived.or_else(|| copied.and_then(|it| it.copy_of));
        let clock = clocks.entry(host.clone()).or_default();
        if let Some(theirs) = arrived.and_then(|it| carried[it].clone()) {
            for (name, count) in theirs {
                let mine = clock.entry(name).or_default();
                *mine = (*mine).max(count);
            }
        }
        *clock.entry(host.clone()).or_default() += 1;
        for (place, flight) in story.flights.iter().enumerate() {
            if flight.born == Some(number) {
                carried[place] = Some(clock.clone());
            }
        }
        // Names and numbers only: there is nothing in it that JSON could refuse.
        let clock = serde_json::to_string(&clock).unwrap_or_default();
        let sentence = &step.sentence;
        out += &format!("{host} {clock}\n{sentence}\n");
    }
    out
}
