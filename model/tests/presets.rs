//! The presets that run on every change, exhausted: counts are pinned, and between them they leave no gap.
//!
//! A count that changes means that the specification or a bound has changed: understand the difference, note
//! it in FINDINGS.md, and only then change the number.

use lockstep_engine::{Report, Search, Verdict};
use lockstep_model::properties::{Reached, witnesses};
use lockstep_model::{Cluster, Preset, Settings};
use stateright::{Checker, Model};
use std::collections::{BTreeMap, BTreeSet};

/// Name, distinct states, generated states (the transitions and the initial state), depth.
const PINNED: &[(&str, u64, u64, u32)] = &[
    ("smoke", 41_023, 108_034, 31),
    ("default", 849_063, 2_288_491, 46),
    ("votes", 91_057, 225_286, 39),
    ("lease", 295_720, 867_385, 33),
    ("revote", 157_108, 543_730, 21),
    ("conflict", 820_189, 2_291_959, 37),
    ("overtaken", 1_037_686, 2_015_206, 44),
    ("pair", 341_481, 994_811, 37),
    ("window", 126_153, 466_067, 34),
    ("flow", 996_040, 3_284_836, 37),
    ("narrow", 7_727, 22_131, 23),
    ("pipeline", 137_631, 466_783, 39),
    ("batch", 137_935, 404_565, 39),
    ("four", 53_309, 202_913, 26),
    ("quorum", 266_726, 1_199_046, 25),
    ("single", 175, 302, 9),
    ("transfer", 275_818, 997_333, 37),
    ("transfer-lease", 206_056, 609_877, 38),
    ("transfer-rival", 243_424, 781_060, 30),
    ("forget", 253_426, 797_128, 40),
    ("forward", 179_768, 487_405, 42),
    ("snapshot", 250_015, 976_918, 25),
    ("snapshot-conflict", 617_155, 1_949_812, 35),
    ("snapshot-longer", 908_260, 2_925_295, 35),
    ("snapshot-again", 277_093, 876_007, 35),
    ("snapshot-restart", 407_091, 1_336_432, 41),
    ("snapshot-transfer", 225_595, 944_674, 22),
    ("room", 112_223, 361_339, 29),
    ("simple-change", 38_702, 91_971, 32),
    ("removal", 186_568, 463_981, 38),
    ("resignation", 134_772, 342_395, 33),
    ("return", 241_549, 663_367, 27),
    ("joint", 27_107, 63_204, 35),
    ("handover", 247_510, 682_622, 43),
    ("learner", 68_444, 194_361, 33),
    ("demotion", 169_972, 410_825, 47),
    ("replacement", 15_049, 36_793, 30),
    ("succession", 299_917, 728_249, 43),
    ("unchecked", 11_904, 28_469, 26),
    ("snapshot-join", 108_168, 334_957, 31),
    ("snapshot-learner", 180_639, 664_017, 29),
    ("snapshot-joint", 193_128, 639_572, 36),
    ("transfer-removal", 244_722, 764_404, 33),
    ("transfer-learner", 278_254, 920_881, 31),
    ("forward-change", 88_437, 267_587, 42),
    ("transfer-ended", 10_754, 37_559, 25),
    ("resignation-learner", 3_574, 8_467, 18),
    ("turnover", 35, 55, 14),
    ("snapshot-outgoing", 20_359, 38_908, 31),
    ("snapshot-lease", 16_808, 61_928, 18),
    ("async-single", 28_036, 65_386, 26),
    ("async-election", 171_089, 685_654, 33),
    ("async-pre-vote", 171_877, 670_552, 40),
    ("async-lease", 170_417, 664_439, 46),
    ("async-conflict", 155_950, 614_539, 46),
    ("async-crash", 43_160, 167_311, 31),
    ("async-change", 110_067, 390_205, 55),
    ("async-transfer", 146_525, 551_079, 56),
    ("async-joint", 17_588, 64_382, 41),
    ("async-snapshot", 238_640, 951_414, 34),
    ("async-join", 4_803, 13_915, 33),
    ("async-removal", 243_219, 918_703, 37),
    ("async-read", 2_808, 5_881, 15),
    ("async-room", 110, 196, 21),
    ("read", 233_719, 743_683, 25),
    ("read-twice", 115_081, 282_718, 27),
    ("read-forward", 62_773, 142_714, 41),
    ("read-change", 274_690, 679_804, 38),
    ("read-again", 165_757, 417_857, 30),
    ("read-restart", 51_193, 167_705, 25),
    ("read-single", 20_175, 56_693, 17),
    ("read-removal", 35_754, 97_484, 27),
    ("read-joint", 55_072, 127_365, 35),
    ("lease-read", 222_595, 586_693, 34),
    ("lease-stale", 44_773, 108_433, 28),
    ("lease-transfer", 84_835, 237_343, 30),
    ("lease-removal", 30_600, 75_976, 27),
    ("lease-transfer-failed", 101_677, 293_767, 25),
    ("read-many", 53_185, 163_591, 22),
    ("read-given-up", 215_364, 418_759, 33),
    ("read-quorum", 113_041, 321_293, 28),
    ("lease-learner", 4_037, 8_627, 19),
    ("lease-joint", 89_048, 226_609, 31),
    ("mix-async-lease", 138_991, 514_871, 35),
    ("mix-async-reports", 10_196, 36_404, 22),
    ("mix-async-resignation", 24_421, 97_262, 28),
    ("mix-change-window", 5_505, 11_965, 26),
    ("mix-joint-restart", 3_197, 8_846, 19),
    ("mix-read-compaction", 3_635, 10_224, 16),
    ("mix-joint-resignation", 2_033, 4_125, 20),
    ("mix-memory", 109_617, 372_369, 33),
    ("mix-lease-crash", 34_763, 71_339, 24),
    ("mix-transfer", 47_944, 105_779, 28),
    ("mix-forward-forget", 91_639, 203_817, 33),
    ("mix-learner-lease", 1_659, 3_346, 15),
];

/// A number with a comma after each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// The tables that people read have the pinned counts.
#[test]
fn the_pages_have_these_counts() {
    let page = |path: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        std::fs::read_to_string(path).expect("the page is there")
    };
    let (presets, results) = (page("README.md"), page("../conformance/RESULTS.md"));
    for (name, states, generated, depth) in PINNED {
        let (states, transitions) = (grouped(*states), grouped(generated - 1));
        let counts = format!(" | {states} | {transitions} | {depth} | ");
        let row = |line: &&str| line.starts_with(&format!("| `{name}` |"));
        let listed = presets.lines().find(row).unwrap_or_default();
        assert!(listed.contains(&counts), "README.md: {name}{counts}");
        let row = format!("| {name}{counts}");
        assert!(results.contains(&row), "RESULTS.md lacks {row}");
    }
}

fn cluster(preset: &Preset) -> Cluster {
    let settings = Settings::new(&preset.config).expect("a preset is valid");
    Cluster::new(settings, preset.bounds)
}

fn exhaust(preset: &Preset) -> Report {
    let cluster = cluster(preset);
    let search = Search::new(&cluster).threads(2).coverage(true);
    search.run().expect("the search runs").report
}

#[test]
fn the_ci_presets_hold_and_together_leave_no_gap() {
    let presets: Vec<&Preset> = Preset::all().iter().filter(|preset| preset.ci).collect();
    let reports: BTreeMap<&str, Report> = presets
        .iter()
        .map(|preset| (preset.name, exhaust(preset)))
        .collect();

    let counts: Vec<(&str, u64, u64, u32)> = presets
        .iter()
        .map(|preset| (preset.name, &reports[preset.name]))
        .map(|(name, report)| (name, report.distinct, report.generated, report.depth))
        .collect();
    assert_eq!(counts, PINNED);
    for (name, report) in &reports {
        assert_eq!(report.verdict, Verdict::Exhausted, "{name}");
    }

    for witness in witnesses() {
        let found = reports[witness.preset].witnesses.iter();
        let depth = found
            .filter(|w| w.name == witness.name)
            .find_map(|w| w.depth);
        assert!(
            depth.is_some(),
            "{} is not reached by {}",
            witness.name,
            witness.preset
        );
    }

    let all = reports.values();
    let actions = all.clone().flat_map(|report| &report.actions);
    assert_eq!(
        never(actions.map(|action| (&action.kind, action.fired))),
        empty()
    );
    let pairs = all.clone().flat_map(|report| &report.pairs);
    assert_eq!(never(pairs.map(|pair| (&pair.pair, pair.met))), empty());
    let antecedents = all.flat_map(|report| &report.antecedents);
    assert_eq!(never(antecedents.map(|a| (&a.property, a.held))), empty());
}

fn empty() -> BTreeSet<String> {
    BTreeSet::new()
}

/// The names whose counts add up to nothing.
fn never<'a>(counts: impl Iterator<Item = (&'a String, u64)>) -> BTreeSet<String> {
    let mut sums: BTreeMap<&String, u64> = BTreeMap::new();
    for (name, count) in counts {
        *sums.entry(name).or_default() += count;
    }
    let never = sums.into_iter().filter(|(_, sum)| *sum == 0);
    never.map(|(name, _)| name.clone()).collect()
}

/// Stateright knows a state by its derived hash, our engine by its encoding: a field that one of them
/// forgets shows as a difference.
#[test]
fn stateright_finds_as_many_states() {
    for name in [
        "smoke",
        "votes",
        "single",
        "forward",
        "snapshot",
        "demotion",
        "unchecked",
        "snapshot-join",
        "forward-change",
        "async-single",
        "async-crash",
        "async-joint",
        "read-restart",
        "read-removal",
        "lease-stale",
    ] {
        let preset = Preset::named(name).expect("the preset exists");
        let pinned = PINNED.iter().find(|(pinned, ..)| *pinned == name);
        let checker = cluster(preset).checker().threads(2).spawn_bfs().join();
        assert_eq!(
            Some(checker.unique_state_count() as u64),
            pinned.map(|(_, distinct, ..)| *distinct),
            "{name}"
        );
    }
}

#[test]
fn symmetry_divides_exactly() {
    for name in [
        "smoke",
        "votes",
        "pair",
        "single",
        "forward",
        "transfer-lease",
        "snapshot",
        "simple-change",
        "learner",
        "replacement",
        "unchecked",
        "snapshot-join",
        "transfer-learner",
        "async-election",
        "async-crash",
        "read-forward",
        "read-joint",
        "lease-stale",
    ] {
        let preset = Preset::named(name).expect("the preset exists");
        let cluster = cluster(preset);
        let search = Search::new(&cluster)
            .threads(2)
            .symmetry(true)
            .count_orbits(true);
        let report = search.run().expect("the search runs").report;
        let pinned = PINNED.iter().find(|(pinned, ..)| *pinned == name);
        let distinct = pinned.map(|(_, distinct, ..)| *distinct);
        assert_eq!(report.orbit_states, distinct, "{name}");
    }
}

#[test]
fn presets_and_witnesses_have_names_of_their_own() {
    let presets: BTreeSet<&str> = Preset::all().iter().map(|preset| preset.name).collect();
    assert_eq!(presets.len(), Preset::all().len());
    let names: BTreeSet<&str> = witnesses().iter().map(|witness| witness.name).collect();
    assert_eq!(names.len(), witnesses().len());
    let steps = witnesses()
        .iter()
        .filter(|w| matches!(w.reached, Reached::Step(_)));
    assert!(steps.count() > 0);
}
