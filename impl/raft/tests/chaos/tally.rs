//! Counts of events in runs, by name, to see that the runs are worth something.

use std::collections::BTreeMap;
use std::fmt;

use lockstep_raft::{Config, ReadOnly};

/// The number of occurrences of each event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<String, u64>);

impl Tally {
    /// Counts something once.
    pub fn count(&mut self, what: &str) {
        self.add(what, 1);
    }

    /// Counts an event `times` times.
    pub fn add(&mut self, what: &str, times: u64) {
        if times > 0 {
            *self.0.entry(what.to_owned()).or_default() += times;
        }
    }

    /// The number of times that it happened.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// Counts another run in.
    pub fn merge(&mut self, other: &Tally) {
        for (what, &times) in &other.0 {
            self.add(what, times);
        }
    }

    /// Lists the events that happened less often than they must.
    pub fn lacks(&self, least: &[(&str, u64)]) -> Vec<String> {
        let lacking = least.iter().filter(|(what, least)| self.of(what) < *least);
        lacking
            .map(|(what, least)| {
                format!("{what}: {} times, at least {least} expected", self.of(what))
            })
            .collect()
    }

    /// Counts what is special about a configuration.
    pub fn count_options(&mut self, config: &Config) {
        let of = |on: bool, name: &'static str| if on { name } else { "" };
        self.count(&format!(
            "seeds with [{}{}{}]",
            of(config.pre_vote, "pre-vote "),
            of(config.check_quorum, "check-quorum "),
            of(config.async_storage_writes, "async "),
        ));
        let options = [
            (config.read_only == ReadOnly::LeaseBased, "reads by lease"),
            (config.max_inflight_bytes > 0, "max_inflight_bytes"),
            (
                config.max_uncommitted_entries_bytes > 0,
                "max_uncommitted_entries_bytes",
            ),
            (
                config.max_committed_bytes_per_ready > 0,
                "max_committed_bytes_per_ready",
            ),
            (config.max_message_bytes < u64::MAX, "max_message_bytes"),
            (config.max_inflight_messages == 1, "one message in flight"),
        ];
        for (on, name) in options {
            self.add(&format!("seeds with {name}"), u64::from(on));
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, times) in &self.0 {
            writeln!(f, "{times:>9} {what}")?;
        }
        Ok(())
    }
}
