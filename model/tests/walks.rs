//! Long random runs, far beyond the bounds of any exhaustive search.

use lockstep_engine::Symmetry;
use lockstep_model::properties::{state_properties, step_properties};
use lockstep_model::{Action, Bounds, Budget, Cluster, ClusterState, ConfChange, Kind, Settings};
use lockstep_traces::{
    Body, Config, Event, Input, Outcome, Reads, Refusal, ServerId, ServerSet, Storage,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const STEPS: usize = 600;

/// Changes that clients may propose in a walk.
const MENU: [ConfChange; 8] = [
    ConfChange::LEAVE_JOINT,
    ConfChange::LEAVE_JOINT.add_voter(1),
    ConfChange::LEAVE_JOINT.remove(1),
    ConfChange::LEAVE_JOINT.add_learner(2),
    ConfChange::LEAVE_JOINT.add_voter(2),
    ConfChange::LEAVE_JOINT
        .add_voter(2)
        .add_learner(1)
        .explicit(),
    ConfChange::LEAVE_JOINT.remove(2).add_voter(1),
    ConfChange::LEAVE_JOINT.add_voter(1).add_voter(2).implicit(),
];

/// Generates the initial role of each server (a voter, a learner or a stranger, server 3 a voter if nobody is one),
/// whether a leader that is removed steps down, and the menu.
fn members() -> impl Strategy<Value = ([u8; 5], bool, [usize; 2])> {
    let places = [0..MENU.len(), 0..MENU.len()];
    ([0..4u8, 0..4, 0..4, 0..4, 0..4], any::<bool>(), places)
}

/// A cluster of at least three servers whose configuration may change.
fn changing() -> impl Strategy<Value = Cluster> {
    (configs(), members()).prop_map(|(config, (parts, step_down_on_removal, menu))| {
        let servers = config.servers.max(3);
        let of = |wanted: fn(&u8) -> bool| {
            let parts = (1..=servers)
                .zip(&parts)
                .filter(move |(_, part)| wanted(part));
            parts.filter_map(|(id, _)| ServerId::new(id))
        };
        let mut voters: ServerSet = of(|part| *part < 2).collect();
        let mut learners: ServerSet = of(|part| *part == 2).collect();
        if voters.is_empty() {
            voters = ServerSet::of(&[3]);
            learners = learners.iter().filter(|id| id.get() != 3).collect();
        }
        let config = Config {
            servers,
            voters,
            learners,
            step_down_on_removal,
            ..config
        };
        let bounds = Bounds {
            changes: menu.map(|place| (MENU[place], Budget::Unlimited)),
            ..Bounds::UNLIMITED
        };
        Cluster::new(Settings::new(&config).expect("it is in range"), bounds)
    })
}

/// Any cluster, for a walk.
fn clusters() -> impl Strategy<Value = Cluster> {
    let fixed = configs().prop_map(|config| {
        let settings = Settings::new(&config).expect("the configuration is in range");
        Cluster::new(settings, Bounds::UNLIMITED)
    });
    prop_oneof![fixed, changing()]
}

fn configs() -> impl Strategy<Value = Config> {
    let numbers = (1..=5u64, 1..=4u64, 0..=3u64);
    let reads = prop_oneof![Just(Reads::Off), Just(Reads::Safe), Just(Reads::LeaseBased)];
    let all = (numbers, any::<[bool; 6]>(), reads);
    all.prop_map(|((servers, max_inflight, limit), switches, reads)| Config {
        servers,
        pre_vote: switches[0],
        check_quorum: switches[1] || reads == Reads::LeaseBased,
        reads,
        one_entry_per_append: switches[2],
        max_inflight,
        forward_proposals: switches[3],
        max_uncommitted: limit,
        storage: match switches[4] {
            true => Storage::Async,
            false => Storage::Atomic,
        },
        application_in_memory: switches[4] && switches[5],
        ..Config::PAPER
    })
}

/// A run that elects and commits: mostly deliveries, and few timeouts.
fn choose(cluster: &Cluster, state: &ClusterState, dice: u32) -> Action {
    let mut actions = Vec::new();
    cluster.enabled(state, &mut actions);
    let crowded = state.in_flight() > 8 * cluster.settings().servers();
    let wanted = |action: &&Action| match action.kind() {
        None => !dice.is_multiple_of(8),
        Some(Kind::Propose | Kind::Heartbeat | Kind::ReadIndex | Kind::ReadOtherIndex) => {
            dice.is_multiple_of(8) && !crowded
        }
        Some(Kind::ProposeConfChange | Kind::ProposeOtherConfChange) => dice.is_multiple_of(24),
        Some(Kind::Persist) => dice % 4 == 1,
        Some(Kind::Apply) => dice % 8 == 2,
        Some(Kind::Drop) => crowded || dice.is_multiple_of(32),
        Some(Kind::Duplicate) => dice.is_multiple_of(40),
        Some(_) => dice.is_multiple_of(64),
    };
    let wanted: Vec<&Action> = actions.iter().filter(wanted).collect();
    let pick = (dice / 64) as usize;
    match wanted.len() {
        0 => actions[pick % actions.len()],
        len => *wanted[pick % len],
    }
}

fn bytes(state: &ClusterState) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    bytes
}

/// Checks a step beside the properties: it is the same by way of the vocabulary, at one server only, and the same under
/// another naming of the servers.
fn check_step(cluster: &Cluster, before: &ClusterState, action: Action) -> ClusterState {
    let transition = cluster.apply(before, &action);
    let after = transition.next;
    if let Event::Server { server, input } = cluster.event(before, &action) {
        let step = before.server(server).step(cluster.settings(), &input);
        assert_eq!(&step.server, after.server(server));
        assert_eq!(step.outcome, transition.outcome);
        assert_eq!(step.sent, transition.sent);
        assert_eq!(step.read_states, transition.read_states);
        assert_eq!(transition.moved, Some(server));
        for other in before.servers().filter(|other| other.id() != server) {
            assert_eq!(other, after.server(other.id()));
        }
        // Who does not lead refuses proposals, and everybody the answers of strangers. Nobody refuses anything else.
        let expected = match step.outcome {
            Outcome::Accepted => true,
            Outcome::Refused(Refusal::ProposalDropped) => match &input {
                Input::Deliver(message) => matches!(message.body, Body::Propose { .. }),
                input => matches!(input, Input::Propose(_) | Input::ProposeConfChange(_)),
            },
            Outcome::Refused(Refusal::UnknownPeer) => {
                cluster.settings().config().may_change() && matches!(input, Input::Deliver(_))
            }
            Outcome::Refused(Refusal::NoLeader) => {
                matches!(input, Input::ReadIndex { .. })
            }
            Outcome::Refused(Refusal::LocalMessage) => false,
        };
        assert!(expected, "{:?} {input:?}", step.outcome);
    }
    after
}

fn check_state(cluster: &Cluster, state: &ClusterState) {
    for property in state_properties() {
        assert!(
            property.holds(cluster, state),
            "{}: {state:#?}",
            property.name
        );
    }
    assert_eq!(&ClusterState::decode(&bytes(state)), state);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn properties_hold_on_long_walks(
        cluster in clusters(),
        dice in prop::collection::vec(any::<u32>(), STEPS),
    ) {
        let mut state = cluster.initial();
        for dice in dice {
            let action = choose(&cluster, &state, dice);
            let after = check_step(&cluster, &state, action);
            for property in step_properties() {
                let holds = property.holds(&cluster, &state, &action, &after);
                prop_assert!(holds, "{}: {action:?}", property.name);
            }
            check_state(&cluster, &after);
            state = after;
        }
        // Every input that is not explored has a result as well.
        let mut probes = Vec::new();
        cluster.probes(&state, &mut probes);
        for probe in probes {
            check_step(&cluster, &state, probe);
        }
    }

    #[test]
    fn names_do_not_matter(
        cluster in clusters(),
        dice in prop::collection::vec(any::<u32>(), 0..120usize),
        naming in any::<usize>(),
    ) {
        let mut state = cluster.initial();
        for dice in dice {
            let action = choose(&cluster, &state, dice);
            state = cluster.apply(&state, &action).next;
        }
        let renamed = cluster.permute(&state, naming % cluster.permutations());
        prop_assert_eq!(renamed.canonical(&cluster), state.canonical(&cluster));
        prop_assert_eq!(state.canonical(&cluster).canonical(&cluster), state.canonical(&cluster));

        // The successors of a renamed state are the renamed successors.
        let successors = |state: &ClusterState| {
            let mut actions = Vec::new();
            cluster.enabled(state, &mut actions);
            let next = |action| cluster.apply(state, action).next.canonical(&cluster);
            let mut successors: Vec<ClusterState> = actions.iter().map(next).collect();
            successors.sort();
            successors
        };
        prop_assert_eq!(successors(&renamed), successors(&state));
    }
}

/// The walks are no use if nothing happens in them.
#[test]
fn walks_elect_and_commit() {
    let config = Config {
        servers: 3,
        pre_vote: true,
        check_quorum: true,
        one_entry_per_append: false,
        max_inflight: 2,
        ..Config::PAPER
    };
    let settings = Settings::new(&config).expect("the configuration is in range");
    let cluster = Cluster::new(settings, Bounds::UNLIMITED);
    let mut state = cluster.initial();
    // A linear congruential generator: every run is the same.
    let mut dice = 1u32;
    for _ in 0..20_000 {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let action = choose(&cluster, &state, dice >> 8);
        state = cluster.apply(&state, &action).next;
    }
    let highest = |of: fn(&lockstep_model::Server) -> u64| state.servers().map(of).max();
    let commit = highest(|server| server.commit().0);
    let term = highest(|server| server.term().0);
    assert!(commit > Some(1_000), "commit {commit:?} term {term:?}");
    assert!(term > Some(20), "commit {commit:?} term {term:?}");
    check_state(&cluster, &state);
}
