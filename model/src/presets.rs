//! Named models.

use crate::bounds::{Bounds, Budget};
use lockstep_traces::Config;

/// A model with a name and a purpose.
#[derive(Clone, Debug)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// How the servers are set up.
    pub config: Config,
    /// What the environment may do.
    pub bounds: Bounds,
    /// Whether it is part of the checks that run on every change.
    pub ci: bool,
}

impl Preset {
    /// Every preset, the CI ones first.
    pub fn all() -> &'static [Preset] {
        ALL
    }

    /// The preset of that name.
    pub fn named(name: &str) -> Option<&'static Preset> {
        ALL.iter().find(|preset| preset.name == name)
    }
}

const fn times(times: u16) -> Budget {
    Budget::Times(times)
}

const FULL: Config = Config {
    servers: 3,
    pre_vote: true,
    check_quorum: true,
    one_entry_per_append: false,
    max_inflight: 2,
};

/// Elections alone.
const BASE: Bounds = Bounds {
    max_term: 2,
    max_in_flight: 4,
    timeouts: times(2),
    lease_expiries: times(0),
    heartbeats: times(0),
    quorum_checks: times(0),
    proposals: times(0),
    restarts: times(0),
    duplicates: times(0),
    drops: times(0),
};

const ALL: &[Preset] = &[Preset {
    name: "smoke",
    purpose: "a second's look at everything at once",
    config: FULL,
    bounds: Bounds {
        max_in_flight: 3,
        ..BASE
    },
    ci: true,
}];
