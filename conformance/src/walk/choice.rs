//! The choices of a walk, drawn at random in advance. A choice is resolved where it is made (the message at a position
//! modulo the number in flight), so that a walk from which choices were taken out is still a walk. Choices are drawn as
//! they are made: a walk may be longer than memory.

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

/// The setup of the walk with this seed, where none is asked for: every combination of switches in turn,
/// one to five servers, and windows from one append to more than ever fill.
pub(super) fn config(seed: u64) -> Config {
    let pick = |from: &[u64], at: u64| from[(at % from.len() as u64) as usize];
    Config {
        servers: pick(&[3, 5, 4, 3, 2, 5, 1], seed / 8),
        pre_vote: seed & 1 == 0,
        check_quorum: seed & 2 == 0,
        one_entry_per_append: seed & 4 == 0,
        max_inflight: pick(&[2, 1, 3, 16, 4, 256, 8], seed),
        ..Config::PAPER
    }
}

/// The number of times that each choice is made, of a thousand; the rest are answers of strangers.
struct Weights {
    deliver: u32,
    tick: u32,
    propose: u32,
    drop: u32,
    duplicate: u32,
    restart: u32,
    isolate: u32,
}

/// Leaders are elected, keep their followers for a while, and commit: as many deliveries as messages come
/// up, some ticks, few faults.
const USUAL: Weights = Weights {
    deliver: 430,
    tick: 410,
    propose: 90,
    drop: 25,
    duplicate: 20,
    restart: 8,
    isolate: 10,
};

/// Busy clients, and servers that are cut off for long: logs grow, whoever is cut off lags far behind, and
/// windows fill.
const LAGGING: Weights = Weights {
    deliver: 480,
    tick: 210,
    propose: 280,
    drop: 10,
    duplicate: 8,
    restart: 2,
    isolate: 6,
};

/// The length of the walk with this seed: one in fifteen is five times as long, with servers that lag behind, so that logs
/// and windows grow beyond what the others reach.
fn length(seed: u64, steps: usize) -> usize {
    match seed % 15 {
        4 => steps.saturating_mul(5),
        _ => steps,
    }
}

/// The choices of the walk with this seed; every fifth has servers that lag behind.
pub(super) fn choices(
    seed: u64,
    steps: usize,
    config: &Config,
) -> impl Iterator<Item = Choice> + use<> {
    let weights = if seed % 5 == 4 { LAGGING } else { USUAL };
    let mut random = SmallRng::seed_from_u64(seed);
    let servers = usize::try_from(config.servers).unwrap_or(usize::MAX);
    let choose = move |_| {
        let server = random.random_range(0..servers);
        let message = random.random_range(0..1 << 16);
        let mut rest = random.random_range(0..1000);
        let mut is = |weight: u32| {
            let chosen = rest < weight;
            rest = rest.wrapping_sub(weight);
            chosen
        };
        if is(weights.deliver) {
            Choice::Deliver(message)
        } else if is(weights.tick) {
            Choice::Tick(server)
        } else if is(weights.propose) {
            Choice::Propose(server)
        } else if is(weights.drop) {
            Choice::Drop(message)
        } else if is(weights.duplicate) {
            Choice::Duplicate(message)
        } else if is(weights.restart) {
            Choice::Restart(server)
        } else if is(weights.isolate) {
            Choice::Isolate(server)
        } else {
            Choice::Stranger(server)
        }
    };
    (0..length(seed, steps)).map(choose)
}
