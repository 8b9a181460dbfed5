//! A check that the random election timeouts of the production Raft are drawn evenly from the whole range, each apart
//! from the one before.
//!
//! A walk sees single timeouts, and every one between one and two election timeouts is right. What is
//! wrong with all of them together (no jitter, a range that is one short, one value too often, the same
//! values again and again) shows in a large sample only. It follows from fixed seeds, so that the
//! answer is always the same.

use crate::stop;
use crate::timers::Timeouts;
use lockstep_raft::{
    Body, ConfState, Config, Index, MemoryStorage, Message, NodeId, RawNode, Term,
};
use serde::Serialize;

/// The election timeouts that are tried, in ticks: the smallest one, an odd one, the usual one, and one
/// that is no multiple of anything near.
const ELECTION_TICKS: [u32; 4] = [2, 7, 10, 97];
/// The number of servers started for each.
const SERVERS: u64 = 4_000;
/// The number of servers that go on to draw.
const REDRAWING: u64 = 40;
const REDRAWS: usize = 2_000;
/// The seeds that are compared with all that differ from them in one bit.
const NEIGHBOURED: u64 = 4;
/// The number of timeouts that two servers cannot both draw one after the other, unless they draw from the same numbers.
const COINCIDENCE: usize = 32;

/// The result of a sample of random timeouts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Jitter {
    /// The number of timeouts drawn.
    pub draws: u64,
    /// The faults found, a sentence for each election timeout and way of drawing.
    pub wrong: Vec<String>,
}

/// Draws a sample and looks at it. `None` if the work is to stop before the sample is whole.
///
/// # Panics
///
/// If the production Raft refuses a plain configuration or a heartbeat.
pub fn sample() -> Option<Jitter> {
    sample_of(&mut |ticks, seed, redraws| {
        if stop::requested() {
            return None;
        }
        let mut server = Drawer::new(ticks, seed);
        Some((0..=redraws).map(|_| server.next()).collect())
    })
}

/// The first timeout of a server with that election timeout and that seed, and as many further ones as
/// asked for; `None` ends the sample.
type Draw<'a> = &'a mut dyn FnMut(u32, u64, usize) -> Option<Vec<u32>>;

fn sample_of(draw: Draw<'_>) -> Option<Jitter> {
    let mut jitter = Jitter {
        draws: 0,
        wrong: Vec::new(),
    };
    for ticks in ELECTION_TICKS {
        let timeouts = Timeouts {
            election_ticks: ticks,
            heartbeat_ticks: 1,
        };
        let first = (0..SERVERS).map(|seed| draw(ticks, seed, 0));
        let first = first.collect::<Option<Vec<_>>>()?.concat();
        let chains = (0..REDRAWING).map(|seed| draw(ticks, seed, REDRAWS));
        let chains = chains.collect::<Option<Vec<_>>>()?;
        let again: Vec<u32> = chains
            .iter()
            .flat_map(|chain| &chain[1..])
            .copied()
            .collect();
        jitter.draws += (first.len() + again.len()) as u64;
        let mut look = |what: &str, wrong: Result<(), String>| {
            let text = |error| format!("election timeout {ticks}, {what}: {error}");
            jitter.wrong.extend(wrong.err().map(text));
        };
        look("timeouts of new servers", even(&first, timeouts));
        look("timeouts drawn anew", even(&again, timeouts));
        look("one after the other", independent(&chains, timeouts));
        let mut pairs = 0;
        let mut draw = |seed| draw(ticks, seed, COINCIDENCE).inspect(|_| pairs += 1);
        look("every bit of the seed", apart(&mut draw)?);
        jitter.draws += pairs * (COINCIDENCE + 1) as u64;
    }
    Some(jitter)
}

/// Every value of the range occurs, no other does, and all about equally often.
fn even(drawn: &[u32], timeouts: Timeouts) -> Result<(), String> {
    let range = timeouts.drawn();
    if let Some(out) = drawn.iter().find(|it| !range.contains(it)) {
        return Err(format!("{out} ticks were drawn, out of {range:?}"));
    }
    let mut counts = vec![0; range.clone().count()];
    for it in drawn {
        counts[(it - range.start()) as usize] += 1;
    }
    if let Some(missing) = counts.iter().position(|count| *count == 0) {
        let ticks = *range.start() as usize + missing;
        return Err(format!("{ticks} ticks were never drawn, of {range:?}"));
    }
    chi_squared(&counts, "the values")
}

/// Checks that the next timeout is any of the range, equally often, whatever was drawn before. The check is by quarters
/// of the range, so that each pair is frequent.
fn independent(chains: &[Vec<u32>], timeouts: Timeouts) -> Result<(), String> {
    // A value of a range that four does not divide is in no quarter; it is left out with its pair.
    let range = timeouts.drawn();
    let parts = timeouts.election_ticks.min(4);
    let width = timeouts.election_ticks / parts;
    let part = |value: u32| {
        let part = (value - range.start()) / width;
        (part < parts).then_some(part as usize)
    };
    let mut counts = vec![0; (parts * parts) as usize];
    for pair in chains.iter().flat_map(|chain| chain.windows(2)) {
        if let (Some(before), Some(next)) = (part(pair[0]), part(pair[1])) {
            counts[before * parts as usize + next] += 1;
        }
    }
    chi_squared(&counts, "the pairs")
}

/// Checks that servers draw from different numbers if their seeds differ at all, be it in the highest bit: those of a
/// group have seeds that follow each other, and a restart may change whatever part of them. `None` ends the sample.
fn apart(draw: &mut dyn FnMut(u64) -> Option<Vec<u32>>) -> Option<Result<(), String>> {
    for seed in 0..NEIGHBOURED {
        let drawn = draw(seed)?;
        for bit in 0..u64::BITS {
            if draw(seed ^ 1 << bit)? == drawn {
                let other = seed ^ 1 << bit;
                let text = format!("seeds {seed} and {other} draw the same timeouts");
                return Some(Err(text));
            }
        }
    }
    Some(Ok(()))
}

/// Pearson's test against the even distribution. The bound is far out (six standard deviations and some
/// more): an even draw does not come near, a bias of a tenth is beyond it.
fn chi_squared(counts: &[u64], what: &str) -> Result<(), String> {
    let total: u64 = counts.iter().sum();
    let expected = total as f64 / counts.len() as f64;
    let statistic: f64 = counts
        .iter()
        .map(|count| (*count as f64 - expected).powi(2) / expected)
        .sum();
    let freedom = (counts.len() - 1) as f64;
    let bound = freedom + 6.0 * (2.0 * freedom).sqrt() + 10.0;
    if statistic <= bound {
        return Ok(());
    }
    let (least, most) = (counts.iter().min(), counts.iter().max());
    Err(format!(
        "{what} are uneven: of {total}, {least:?} to {most:?} each (chi squared {statistic:.0}, at most \
         {bound:.0})"
    ))
}

/// A server that draws.
struct Drawer {
    node: RawNode<MemoryStorage>,
    started: bool,
    term: u64,
}

impl Drawer {
    fn new(election_ticks: u32, seed: u64) -> Drawer {
        let id = |number| NodeId::new(number).expect("not zero");
        let mut config = Config::new(id(1));
        config.election_timeout_ticks = election_ticks;
        config.heartbeat_timeout_ticks = 1;
        config.seed = seed;
        let storage = MemoryStorage::with_conf_state(ConfState {
            voters: vec![id(1), id(2)],
            ..ConfState::default()
        });
        let node = RawNode::new(&config, storage).expect("a plain configuration");
        Drawer {
            node,
            started: false,
            term: 0,
        }
    }

    /// The timeout of the start, and then those of one new term after the other.
    fn next(&mut self) -> u32 {
        if self.started {
            self.term += 1;
            let heartbeat = Body::Heartbeat {
                commit: Index(0),
                context: Default::default(),
            };
            let (from, to) = (NodeId::new(2), NodeId::new(1));
            let message = Message {
                from: from.expect("not zero"),
                to: to.expect("not zero"),
                term: Term(self.term),
                body: heartbeat,
            };
            self.node.step(message).expect("a heartbeat is taken");
            while self.node.has_ready() {
                let ready = self.node.ready().expect("it is ready");
                if let Some(hard_state) = ready.hard_state {
                    self.node.storage_mut().set_hard_state(hard_state);
                }
                self.node.advance().expect("it was ready");
            }
        }
        self.started = true;
        self.node.timer().randomized_election_timeout_ticks()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    #[test]
    fn the_timeouts_of_the_production_raft_are_even() {
        let jitter = sample().expect("nobody stops it");
        assert_eq!(jitter.wrong, [] as [&str; 0]);
        assert_eq!(jitter.draws, 4 * (4_000 + 40 * 2_000 + 4 * 65 * 33));
    }

    /// The sample of a server that draws by this rule: its election timeout, the last timeout, and a
    /// number from which to draw.
    fn wrong(rule: fn(u32, Option<u32>, &mut SmallRng) -> u32) -> Vec<String> {
        sample_of(&mut |ticks, seed, redraws| {
            let mut random = SmallRng::seed_from_u64(seed);
            let mut last = None;
            let mut draw = || {
                last = Some(rule(ticks, last, &mut random));
                last.expect("just drawn")
            };
            Some((0..=redraws).map(|_| draw()).collect())
        })
        .expect("it draws")
        .wrong
    }

    /// Work that is to stop asks for nothing more, and a part of a sample is none.
    #[test]
    fn a_sample_that_is_not_whole_is_none() {
        for last in [0, 3_999, 4_000, 4_040, 4_041, 4 * 4_042 - 1] {
            let mut drawn = 0;
            let sample = sample_of(&mut |ticks, _, redraws| {
                drawn += 1;
                (drawn <= last).then(|| vec![ticks; redraws + 1])
            });
            assert_eq!((sample, drawn), (None, last + 1));
        }
    }

    #[test]
    fn an_even_draw_is_even() {
        let even = |ticks, _, random: &mut SmallRng| ticks + random.random_range(0..ticks);
        assert_eq!(wrong(even), [] as [&str; 0]);
    }

    /// The broken twins of the check of seeds: one in which a part of the seed has no effect.
    #[test]
    fn a_part_of_the_seed_that_has_no_effect_is_found() {
        for part in [1, 1 << 31, !0 << 32, 1 << 63] {
            let wrong = sample_of(&mut |ticks, seed, redraws| {
                let mut random = SmallRng::seed_from_u64(seed & !part);
                Some(
                    (0..=redraws)
                        .map(|_| ticks + random.random_range(0..ticks))
                        .collect(),
                )
            })
            .expect("it draws")
            .wrong;
            let found = wrong
                .iter()
                .filter(|it| it.contains("every bit of the seed"));
            assert_eq!(found.count(), ELECTION_TICKS.len(), "{part:#x}: {wrong:#?}");
        }
    }

    /// The broken twins: each wrong way of drawing is found at every election timeout where it differs.
    #[test]
    fn every_uneven_draw_is_found() {
        type Rule = fn(u32, Option<u32>, &mut SmallRng) -> u32;
        let rules: [(&str, Rule, usize); 9] = [
            ("no jitter", |ticks, _, _| ticks, 4),
            (
                "never anew",
                |ticks, last, random| last.unwrap_or_else(|| ticks + random.random_range(0..ticks)),
                4,
            ),
            (
                "one short",
                |ticks, _, random| ticks + random.random_range(0..ticks - 1),
                4,
            ),
            (
                "one short below",
                |ticks, _, random| ticks + random.random_range(1..ticks),
                4,
            ),
            (
                "one long",
                |ticks, _, random| ticks + random.random_range(0..=ticks),
                4,
            ),
            (
                "half the range",
                |ticks, _, random| ticks + random.random_range(0..ticks.div_ceil(2)),
                4,
            ),
            (
                "the last twice as often",
                |ticks, _, random| (ticks + random.random_range(0..=ticks)).min(2 * ticks - 1),
                3,
            ),
            (
                "one after the other",
                |ticks, last, _| last.map_or(ticks, |last| ticks + (last + 1) % ticks),
                4,
            ),
            (
                "always the same numbers",
                |ticks, _, _| ticks + SmallRng::seed_from_u64(1).random_range(0..ticks),
                4,
            ),
        ];
        for (name, rule, at_least) in rules {
            let wrong = wrong(rule);
            let found = |ticks: &u32| {
                let start = format!("election timeout {ticks},");
                wrong.iter().any(|text| text.starts_with(&start))
            };
            let count = ELECTION_TICKS.iter().filter(|ticks| found(ticks)).count();
            assert!(count >= at_least, "{name}: {wrong:#?}");
        }
    }
}
