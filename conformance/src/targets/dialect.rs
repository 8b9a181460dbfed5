//! How an implementation departs from the specification by design, and whether it still does.
//!
//! A dialect has two kinds of entries: rules of the specification that are different
//! ([`lockstep_model::Departure`]: they have consequences for the state), and normalisations that an
//! adapter makes (they are a matter of form). An entry excuses a difference, so one that excuses nothing
//! is either out of date or hides something: [`DialectUse::stale`] entries fail a run.

use lockstep_model::{Departure, Dialect, Server, Settings, SettingsError};
use lockstep_traces::{Event, Trace};
use serde::Serialize;
use std::collections::BTreeMap;

/// An entry of a dialect, and how much it mattered in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DialectUse {
    /// Its name.
    pub name: &'static str,
    /// What is different, why that is no error, and where it can be seen.
    pub reason: &'static str,
    /// At how many steps it made a difference.
    pub uses: u64,
}

impl DialectUse {
    /// The entries that made no difference.
    pub fn stale(entries: &[DialectUse]) -> impl Iterator<Item = &DialectUse> {
        entries.iter().filter(|entry| entry.uses == 0)
    }

    /// Adds what another run found of the same entries.
    pub fn add(&mut self, other: &DialectUse) {
        if self.name == other.name {
            self.uses += other.uses;
        }
    }
}

/// At how many steps of these traces each departure of a dialect makes a difference: from the state that
/// the dialect has reached, the same input is given under the dialect without that departure, and the
/// result is another.
///
/// # Errors
///
/// A trace whose configuration cannot be specified.
pub fn departure_uses(
    traces: &[Trace],
    dialect: Dialect,
) -> Result<Vec<DialectUse>, SettingsError> {
    let mut uses: Vec<(Departure, u64)> = dialect.iter().map(|entry| (entry, 0)).collect();
    for trace in traces {
        let settings = Settings::new(&trace.header.config)?.with_dialect(dialect);
        let mut servers: BTreeMap<_, Server> = BTreeMap::new();
        for step in &trace.steps {
            let Event::Server { server: id, input } = &step.event else {
                continue;
            };
            let server = servers
                .entry(*id)
                .or_insert_with(|| Server::new(&settings, *id));
            let with = server.step(&settings, input);
            for (departure, count) in &mut uses {
                let without = settings.with_dialect(dialect.without(*departure));
                *count += u64::from(server.step(&without, input) != with);
            }
            *server = with.server;
        }
    }
    Ok(uses
        .into_iter()
        .map(|(departure, uses)| DialectUse {
            name: departure.name(),
            reason: departure.reason(),
            uses,
        })
        .collect())
}
