//! A count of the steps at which the departures of a dialect make a difference.
//!
//! A dialect has two kinds of entries: rules of the specification that are different
//! ([`lockstep_model::Departure`]: they have consequences for the state), and normalisations that an
//! adapter makes (they are a matter of form, and the adapter counts them). The uses of the first kind are
//! counted here, on the specification alone.

use crate::stop;
use crate::target::{DialectUse, TargetError};
use lockstep_model::{Departure, Dialect, Server, Settings};
use lockstep_traces::{Event, Trace};
use std::collections::BTreeMap;

/// At how many steps of these traces each departure of a dialect makes a difference: from the state that
/// the dialect has reached, the same input is given under the dialect without that departure, and the
/// result is another.
///
/// # Errors
///
/// A trace whose configuration cannot be specified.
pub fn departure_uses(traces: &[Trace], dialect: Dialect) -> Result<Vec<DialectUse>, TargetError> {
    let mut uses: Vec<(Departure, u64)> = dialect.iter().map(|entry| (entry, 0)).collect();
    for trace in traces {
        if stop::requested() {
            return Err(TargetError::Interrupted);
        }
        let settings = Settings::new(&trace.header.config)
            .map_err(|error| TargetError::Setup(error.to_string()))?
            .with_dialect(dialect);
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
