//! What a walk does, chosen at random in advance. A choice is resolved where it is made (the message at
//! a position modulo the number in flight), so that a walk from which choices were taken out is still a
//! walk. They are drawn as they are made: a walk may be longer than memory.

use lockstep_traces::Config;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// One choice. Servers are positions counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// A server's clock ticks.
    Tick(usize),
    /// The network delivers a message.
    Deliver(usize),
    /// The network loses a message.
    Drop(usize),
    /// The network duplicates a message.
    Duplicate(usize),
    /// A client proposes the next value.
    Propose(usize),
    /// A server crashes and comes back.
    Restart(usize),
    /// A server hears nobody and is heard by nobody, until it is chosen again or another is.
    Isolate(usize),
    /// Somebody who is no member answers something that was never asked.
    Stranger(usize),
}

/// The setup of the walk with this seed, where none is asked for: every combination in turn.
pub(super) fn config(seed: u64) -> Config {
    Config {
        servers: if seed % 4 == 3 { 5 } else { 3 },
        pre_vote: seed & 1 == 0,
        check_quorum: seed & 2 == 0,
        one_entry_per_append: seed & 4 == 0,
        max_inflight: 1 + seed % 3,
    }
}

/// The choices of the walk with this seed. Weighted so that leaders are elected, keep their followers
/// for a while, and commit: as many deliveries as messages come up, some ticks, few faults.
pub(super) fn choices(
    seed: u64,
    steps: usize,
    config: &Config,
) -> impl Iterator<Item = Choice> + use<> {
    let mut random = SmallRng::seed_from_u64(seed);
    let servers = usize::try_from(config.servers).unwrap_or(usize::MAX);
    let choose = move |_| {
        let server = random.random_range(0..servers);
        let message = random.random_range(0..1 << 16);
        match random.random_range(0..1000) {
            0..430 => Choice::Deliver(message),
            430..840 => Choice::Tick(server),
            840..930 => Choice::Propose(server),
            930..955 => Choice::Drop(message),
            955..975 => Choice::Duplicate(message),
            975..983 => Choice::Restart(server),
            983..993 => Choice::Isolate(server),
            _ => Choice::Stranger(server),
        }
    };
    (0..steps).map(choose)
}
