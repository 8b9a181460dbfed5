//! The options that say which model: a preset, and whatever departs from it.

use super::error::CliError;
use crate::path::budget_name;
use clap::Args;
use lockstep_model::{
    Bounds, Budget, Cluster, ConfChange, Dialect, Kind, Preset, Settings, Timing,
};
use lockstep_traces::{Config, Reads, ServerSet, Storage};
use std::collections::BTreeMap;

/// A preset and its changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// The preset to start from; `lockstep presets` lists them. Without one, `check` takes every preset that
    /// `verify` takes, and the other verbs take smoke
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// Number of servers
    #[arg(long, value_name = "N")]
    servers: Option<u64>,
    /// A pre-vote round precedes an election
    #[arg(long, value_name = "BOOL")]
    pre_vote: Option<bool>,
    /// Leaders step down without a quorum; followers honour a live lease
    #[arg(long, value_name = "BOOL")]
    check_quorum: Option<bool>,
    /// An append carries at most one entry
    #[arg(long, value_name = "BOOL")]
    one_entry_per_append: Option<bool>,
    /// Maximum number of unacknowledged appends with entries per peer
    #[arg(long, value_name = "N")]
    max_inflight: Option<u64>,
    /// A follower forwards to its leader what clients propose
    #[arg(long, value_name = "BOOL")]
    forward_proposals: Option<bool>,
    /// Maximum number of uncommitted proposals of a leader; 0 is no limit
    #[arg(long, value_name = "N")]
    max_uncommitted: Option<u64>,
    /// The servers that vote at first, such as 1,2, in a cluster whose membership may change
    #[arg(long, value_name = "SERVERS")]
    voters: Option<ServerSet>,
    /// The servers that are learners at first
    #[arg(long, value_name = "SERVERS")]
    learners: Option<ServerSet>,
    /// A leader that was removed steps down
    #[arg(long, value_name = "BOOL")]
    step_down_on_removal: Option<bool>,
    /// A leader takes changes of membership as they come, whether or not they fit
    #[arg(long, value_name = "BOOL")]
    disable_conf_change_validation: Option<bool>,
    /// The way servers write to their storage: atomic (done when an input ends) or async (outstanding until it is done)
    #[arg(long, value_name = "STORAGE", value_parser = named::<Storage>)]
    storage: Option<Storage>,
    /// With asynchronous storage: an application comes back with its last snapshot, not with all that it had applied
    #[arg(long, value_name = "BOOL")]
    application_in_memory: Option<bool>,
    /// The way leaders answer reads: off (nobody reads), safe (after a round of heartbeats) or lease_based
    #[arg(long, value_name = "READS", value_parser = named::<Reads>)]
    reads: Option<Reads>,
    #[command(flatten)]
    bounds: BoundArgs,
}

/// Each bound by itself. A budget is a number, or `unlimited`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Bounds")]
struct BoundArgs {
    /// The highest term that a server may enter
    #[arg(long, value_name = "TERM")]
    max_term: Option<u32>,
    /// Maximum number of messages in flight at once, copies counted
    #[arg(long, value_name = "N")]
    max_in_flight: Option<usize>,
    /// Maximum number of election timers that fire
    #[arg(long, value_name = "BUDGET")]
    timeouts: Option<Budget>,
    /// Maximum number of leases that expire
    #[arg(long, value_name = "BUDGET")]
    lease_expiries: Option<Budget>,
    /// Maximum number of heartbeat timers that fire
    #[arg(long, value_name = "BUDGET")]
    heartbeats: Option<Budget>,
    /// Maximum number of quorum checks by leaders
    #[arg(long, value_name = "BUDGET")]
    quorum_checks: Option<Budget>,
    /// Maximum number of proposals by clients
    #[arg(long, value_name = "BUDGET")]
    proposals: Option<Budget>,
    /// Maximum number of crashes and restarts of servers
    #[arg(long, value_name = "BUDGET")]
    restarts: Option<Budget>,
    /// Maximum number of messages that the network duplicates
    #[arg(long, value_name = "BUDGET")]
    duplicates: Option<Budget>,
    /// Maximum number of messages that the network loses
    #[arg(long, value_name = "BUDGET")]
    drops: Option<Budget>,
    /// Maximum number of times that followers are told to forget their leader
    #[arg(long, value_name = "BUDGET")]
    forgets: Option<Budget>,
    /// Maximum number of log compactions
    #[arg(long, value_name = "BUDGET")]
    compactions: Option<Budget>,
    /// Maximum number of requests to transfer leadership
    #[arg(long, value_name = "BUDGET")]
    transfers: Option<Budget>,
    /// Maximum number of reports to leaders that a peer is unreachable
    #[arg(long, value_name = "BUDGET")]
    unreachable_reports: Option<Budget>,
    /// Maximum number of reports to leaders on the arrival of a snapshot
    #[arg(long, value_name = "BUDGET")]
    snapshot_reports: Option<Budget>,
    /// A change of membership that clients may propose, such as v3 (a voter), l3 (a learner), r3 (removed), v4,r1,explicit
    /// or leave
    #[arg(long, value_name = "CHANGE")]
    change: Option<ConfChange>,
    /// Another one
    #[arg(long, value_name = "CHANGE")]
    other_change: Option<ConfChange>,
    /// Maximum number of proposals of the change; with --change alone it is 1
    #[arg(long, value_name = "BUDGET")]
    changes: Option<Budget>,
    /// Maximum number of proposals of the other change; with --other-change alone it is 1
    #[arg(long, value_name = "BUDGET")]
    other_changes: Option<Budget>,
    /// The number of appends that may be outstanding at one server
    #[arg(long, value_name = "N")]
    max_outstanding: Option<usize>,
    /// The number of outstanding appends that may become durable
    #[arg(long, value_name = "BUDGET")]
    persists: Option<Budget>,
    /// The number of outstanding applies that may be done
    #[arg(long, value_name = "BUDGET")]
    applies: Option<Budget>,
    /// The number of reads of clients with context 1
    #[arg(long, value_name = "BUDGET")]
    read_indexes: Option<Budget>,
    /// The number of reads of clients with context 2
    #[arg(long, value_name = "BUDGET")]
    other_read_indexes: Option<Budget>,
    /// The supposition about clocks where reads are answered by lease: free (nothing), elapsed or silent
    #[arg(long, value_name = "TIMING")]
    timing: Option<Timing>,
    /// Maximum number of all these events but timeouts and proposals together, in one run
    #[arg(long, value_name = "BUDGET")]
    disturbances: Option<Budget>,
}

/// A bug that is seeded into the specification.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Model")]
pub struct PlantArgs {
    /// Seed a bug of the catalogue into the specification, such as CM-04: builds a copy of the sources, so
    /// it needs a checkout. conformance/seeded/specification.toml is the list
    #[arg(long, value_name = "ID")]
    plant: Option<String>,
}

impl PlantArgs {
    /// The name of the bug.
    pub fn id(&self) -> Option<&str> {
        self.plant.as_deref()
    }

    /// The model, named after the bug that is seeded into it.
    pub fn within(&self, mut chosen: Chosen) -> Chosen {
        if let Some(id) = &self.plant {
            chosen.name = format!("{} with the seeded bug {id}", chosen.name);
        }
        chosen
    }

    /// The options again, as they would be typed, each after a space.
    pub fn command_line(&self) -> String {
        let id = self.plant.as_ref();
        id.map(|id| format!(" --plant {id}")).unwrap_or_default()
    }
}

/// A model and where it came from.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The name of the preset, with `*` if an option changed it.
    pub name: String,
    /// The name of the preset itself.
    pub preset: String,
    /// Why the preset exists.
    pub purpose: String,
    /// Whether an option changed the preset.
    pub changed: bool,
    /// The model.
    pub cluster: Cluster,
}

impl ModelArgs {
    /// The model that these options ask for.
    pub fn choose(&self) -> Result<Chosen, CliError> {
        self.changed(find(self.name())?)
    }

    /// The models that these options ask for: those that `verify` checks, unless one is named.
    pub fn choose_all(&self) -> Result<Vec<Chosen>, CliError> {
        match &self.preset {
            Some(_) => Ok(vec![self.choose()?]),
            None => {
                let presets = Preset::all().iter().filter(|preset| preset.ci);
                presets.map(|preset| self.changed(preset)).collect()
            }
        }
    }

    /// The names of the presets that [`ModelArgs::choose_all`] takes.
    pub fn presets(&self) -> Vec<String> {
        match &self.preset {
            Some(name) => vec![name.clone()],
            None => {
                let presets = Preset::all().iter().filter(|preset| preset.ci);
                presets.map(|preset| preset.name.to_owned()).collect()
            }
        }
    }

    /// Whether no option says anything of the model.
    pub fn is_empty(&self) -> bool {
        *self == ModelArgs::default()
    }

    /// The name of the preset of verbs that take one.
    fn name(&self) -> &str {
        self.preset.as_deref().unwrap_or("smoke")
    }

    /// A preset with the changes.
    fn changed(&self, preset: &Preset) -> Result<Chosen, CliError> {
        let mut config = preset.config.clone();
        set(&mut config.servers, self.servers);
        set(&mut config.pre_vote, self.pre_vote);
        set(&mut config.check_quorum, self.check_quorum);
        set(&mut config.one_entry_per_append, self.one_entry_per_append);
        set(&mut config.max_inflight, self.max_inflight);
        set(&mut config.forward_proposals, self.forward_proposals);
        set(&mut config.max_uncommitted, self.max_uncommitted);
        set(&mut config.voters, self.voters);
        set(&mut config.learners, self.learners);
        set(&mut config.step_down_on_removal, self.step_down_on_removal);
        set(
            &mut config.disable_conf_change_validation,
            self.disable_conf_change_validation,
        );
        set(&mut config.storage, self.storage);
        set(
            &mut config.application_in_memory,
            self.application_in_memory,
        );
        set(&mut config.reads, self.reads);
        let mut bounds = preset.bounds;
        self.bounds.apply(&mut bounds);
        let proposes = [Kind::ProposeConfChange, Kind::ProposeOtherConfChange];
        if !config.may_change() && proposes.into_iter().any(|kind| bounds.have(kind)) {
            let text = "--change needs --voters, the first voters of a cluster whose membership may change";
            return Err(CliError::Usage(text.to_owned()));
        }
        self.without_effect(&config)?;
        let changed = config != preset.config || bounds != preset.bounds;
        let usage = |error: &dyn std::fmt::Display| CliError::Usage(error.to_string());
        let settings = Settings::new(&config).map_err(|error| usage(&error))?;
        let cluster = Cluster::new(settings, bounds);
        Ok(Chosen {
            name: format!("{}{}", preset.name, if changed { "*" } else { "" }),
            preset: preset.name.to_owned(),
            purpose: preset.purpose.to_owned(),
            changed,
            cluster,
        })
    }
}

impl ModelArgs {
    /// Refuses bounds of a feature that the model does not have: they would change nothing.
    fn without_effect(&self, config: &Config) -> Result<(), CliError> {
        let some = |budget: Option<Budget>| budget.is_some_and(|it| it != Budget::Times(0));
        let bounds = &self.bounds;
        let (atomic, unread) = (config.storage != Storage::Async, config.reads == Reads::Off);
        let given = [
            (
                some(bounds.read_indexes),
                unread,
                "--read-indexes",
                "--reads",
            ),
            (
                some(bounds.other_read_indexes),
                unread,
                "--other-read-indexes",
                "--reads",
            ),
            (
                bounds.timing.is_some(),
                config.reads != Reads::LeaseBased,
                "--timing",
                "--reads lease_based",
            ),
            (
                bounds.max_outstanding.is_some(),
                atomic,
                "--max-outstanding",
                "--storage async",
            ),
            (
                some(bounds.persists),
                atomic,
                "--persists",
                "--storage async",
            ),
            (some(bounds.applies), atomic, "--applies", "--storage async"),
            (
                self.learners.is_some(),
                !config.may_change(),
                "--learners",
                "--voters",
            ),
        ];
        match given
            .into_iter()
            .find(|(given, unused, ..)| *given && *unused)
        {
            Some((.., option, needs)) => Err(CliError::Usage(format!(
                "{option} has no effect without {needs}"
            ))),
            None => Ok(()),
        }
    }

    /// The options again, as they would be typed.
    pub fn command_line(&self) -> String {
        let mut words = vec![format!("--preset {}", self.name())];
        let mut add = |name: &str, value: Option<String>| {
            words.extend(value.map(|value| format!("--{name} {value}")));
        };
        add("servers", self.servers.map(|it| it.to_string()));
        add("pre-vote", self.pre_vote.map(|it| it.to_string()));
        add("check-quorum", self.check_quorum.map(|it| it.to_string()));
        add(
            "one-entry-per-append",
            self.one_entry_per_append.map(|it| it.to_string()),
        );
        add("max-inflight", self.max_inflight.map(|it| it.to_string()));
        add(
            "forward-proposals",
            self.forward_proposals.map(|it| it.to_string()),
        );
        add(
            "max-uncommitted",
            self.max_uncommitted.map(|it| it.to_string()),
        );
        add("voters", self.voters.map(|it| it.to_string()));
        add("learners", self.learners.map(|it| it.to_string()));
        add(
            "step-down-on-removal",
            self.step_down_on_removal.map(|it| it.to_string()),
        );
        add(
            "disable-conf-change-validation",
            self.disable_conf_change_validation.map(|it| it.to_string()),
        );
        add("storage", self.storage.map(name_of));
        add(
            "application-in-memory",
            self.application_in_memory.map(|it| it.to_string()),
        );
        add("reads", self.reads.map(name_of));
        add("change", self.bounds.change.map(|it| it.to_string()));
        add(
            "other-change",
            self.bounds.other_change.map(|it| it.to_string()),
        );
        if let Ok(chosen) = self.choose() {
            let asked = bound_rows(chosen.cluster.bounds());
            if let Ok(preset) = find(self.name()) {
                let usual = bound_rows(&preset.bounds);
                for ((name, asked), (_, usual)) in asked.into_iter().zip(usual) {
                    add(&name.replace('_', "-"), (asked != usual).then_some(asked));
                }
            }
        }
        words.join(" ")
    }
}

impl Chosen {
    /// A preset as it is.
    pub fn preset(name: &str) -> Result<Chosen, CliError> {
        let preset = find(name)?;
        let usage = |error: &dyn std::fmt::Display| CliError::Usage(error.to_string());
        let settings = Settings::new(&preset.config).map_err(|error| usage(&error))?;
        let cluster = Cluster::new(settings, preset.bounds);
        Ok(Chosen {
            name: preset.name.to_owned(),
            preset: preset.name.to_owned(),
            purpose: preset.purpose.to_owned(),
            changed: false,
            cluster,
        })
    }

    /// The same model in the dialect that a target is held to.
    #[must_use]
    pub fn in_dialect(mut self, dialect: Dialect) -> Chosen {
        let settings = self.cluster.settings().with_dialect(dialect);
        self.cluster = Cluster::new(settings, *self.cluster.bounds());
        self
    }

    /// The protocol switches in a line.
    pub fn switches(&self) -> String {
        let config = self.cluster.settings().config();
        let on = |name: &str, on: bool| format!("{name} {}", if on { "on" } else { "off" });
        let entries = if config.one_entry_per_append {
            "one entry"
        } else {
            "all entries"
        };
        let dialect = self.cluster.settings().dialect();
        let departures = if dialect == Dialect::ETCD {
            String::new()
        } else {
            format!(", departing from etcd: {dialect:?}")
        };
        let forwards = if config.forward_proposals {
            ", proposals forwarded"
        } else {
            ""
        };
        let room = match config.max_uncommitted {
            0 => String::new(),
            limit => format!(", {limit} uncommitted"),
        };
        let members = match config.may_change() {
            false => String::new(),
            true if config.learners.is_empty() => format!(", voters {}", config.voters),
            true => format!(", voters {}, learners {}", config.voters, config.learners),
        };
        let removal = match (
            config.step_down_on_removal,
            config.disable_conf_change_validation,
        ) {
            (false, false) => "",
            (true, false) => ", stepping down on removal",
            (false, true) => ", changes not validated",
            (true, true) => ", stepping down on removal, changes not validated",
        };
        let storage = match (config.storage, config.application_in_memory) {
            (Storage::Atomic, _) => "",
            (Storage::Async, false) => ", asynchronous storage",
            (Storage::Async, true) => ", asynchronous storage, applications in memory",
        };
        let reads = match config.reads {
            Reads::Off => "",
            Reads::Safe => ", reads by rounds",
            Reads::LeaseBased => ", reads by lease",
        };
        format!(
            "{} servers{members}, {}, {}, {entries} per append, {} in flight{forwards}{room}{removal}{storage}{reads}{departures}",
            config.servers,
            on("PreVote", config.pre_vote),
            on("CheckQuorum", config.check_quorum),
            config.max_inflight,
        )
    }

    /// The bounds in a line.
    pub fn bounds(&self) -> String {
        let parts = self
            .bounds_in_use()
            .map(|(name, value)| format!("{} {value}", name.replace('_', " ")));
        let bounds = self.cluster.bounds();
        let proposed = bounds
            .changes
            .iter()
            .filter(|(_, budget)| *budget != Budget::Times(0));
        let menu = proposed.map(|(change, _)| format!("change {change}"));
        parts.chain(menu).collect::<Vec<_>>().join(", ")
    }

    /// The bounds as a trace header has them; an unlimited one is left out.
    pub fn bound_numbers(&self) -> BTreeMap<String, u64> {
        self.bounds_in_use()
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect()
    }

    /// The bounds, without the budgets of features that the model leaves out.
    fn bounds_in_use(&self) -> impl Iterator<Item = (&'static str, String)> {
        let bounds = *self.cluster.bounds();
        let config = self.cluster.settings().config();
        let unused = move |name: &str| {
            match name {
                "max_outstanding" => return config.storage != Storage::Async,
                "timing" => return config.reads != Reads::LeaseBased,
                _ => {}
            }
            let mut more = Kind::MORE.into_iter();
            more.any(|kind| budget_name(kind) == name && !bounds.have(kind))
        };
        let rows = bound_rows(&bounds).into_iter();
        rows.filter(move |(name, _)| !unused(name))
    }
}

impl BoundArgs {
    fn apply(&self, bounds: &mut Bounds) {
        set(&mut bounds.max_term, self.max_term);
        set(&mut bounds.max_in_flight, self.max_in_flight);
        set(&mut bounds.timeouts, self.timeouts);
        set(&mut bounds.lease_expiries, self.lease_expiries);
        set(&mut bounds.heartbeats, self.heartbeats);
        set(&mut bounds.quorum_checks, self.quorum_checks);
        set(&mut bounds.proposals, self.proposals);
        set(&mut bounds.restarts, self.restarts);
        set(&mut bounds.duplicates, self.duplicates);
        set(&mut bounds.drops, self.drops);
        set(&mut bounds.forgets, self.forgets);
        set(&mut bounds.compactions, self.compactions);
        set(&mut bounds.transfers, self.transfers);
        set(&mut bounds.unreachable_reports, self.unreachable_reports);
        set(&mut bounds.snapshot_reports, self.snapshot_reports);
        let menu = [
            (self.change, self.changes),
            (self.other_change, self.other_changes),
        ];
        for (place, (change, budget)) in bounds.changes.iter_mut().zip(menu) {
            let once = change.map(|_| Budget::Times(1));
            set(&mut place.0, change);
            set(&mut place.1, budget.or(once));
        }
        set(&mut bounds.max_outstanding, self.max_outstanding);
        set(&mut bounds.persists, self.persists);
        set(&mut bounds.applies, self.applies);
        set(&mut bounds.reads[0], self.read_indexes);
        set(&mut bounds.reads[1], self.other_read_indexes);
        set(&mut bounds.timing, self.timing);
        set(&mut bounds.disturbances, self.disturbances);
    }
}

/// The name and value of every bound. The pattern names every field, so that a new one is not forgotten.
pub fn bound_rows(bounds: &Bounds) -> Vec<(&'static str, String)> {
    let Bounds {
        max_term,
        max_in_flight,
        timeouts,
        lease_expiries,
        heartbeats,
        quorum_checks,
        proposals,
        restarts,
        duplicates,
        drops,
        forgets,
        compactions,
        transfers,
        unreachable_reports,
        snapshot_reports,
        changes: [(_, changes), (_, other_changes)],
        max_outstanding,
        persists,
        applies,
        reads: [read_indexes, other_read_indexes],
        timing,
        disturbances,
    } = bounds;
    vec![
        ("max_term", max_term.to_string()),
        ("max_in_flight", max_in_flight.to_string()),
        ("timeouts", timeouts.to_string()),
        ("lease_expiries", lease_expiries.to_string()),
        ("heartbeats", heartbeats.to_string()),
        ("quorum_checks", quorum_checks.to_string()),
        ("proposals", proposals.to_string()),
        ("restarts", restarts.to_string()),
        ("duplicates", duplicates.to_string()),
        ("drops", drops.to_string()),
        ("forgets", forgets.to_string()),
        ("compactions", compactions.to_string()),
        ("transfers", transfers.to_string()),
        ("unreachable_reports", unreachable_reports.to_string()),
        ("snapshot_reports", snapshot_reports.to_string()),
        ("changes", changes.to_string()),
        ("other_changes", other_changes.to_string()),
        ("max_outstanding", max_outstanding.to_string()),
        ("persists", persists.to_string()),
        ("applies", applies.to_string()),
        ("read_indexes", read_indexes.to_string()),
        ("other_read_indexes", other_read_indexes.to_string()),
        ("timing", timing.to_string()),
        ("disturbances", disturbances.to_string()),
    ]
}

fn find(name: &str) -> Result<&'static Preset, CliError> {
    let presets = Preset::all();
    presets
        .iter()
        .find(|preset| preset.name == name)
        .ok_or_else(|| {
            let names: Vec<_> = presets.iter().map(|preset| preset.name).collect();
            CliError::Usage(format!(
                "there is no preset {name:?}; there are {}",
                names.join(", ")
            ))
        })
}

/// A value by the name that it has in traces.
fn named<T: serde::de::DeserializeOwned>(name: &str) -> Result<T, String> {
    serde_json::from_value(name.into()).map_err(|error| error.to_string())
}

/// The name of a value in traces.
fn name_of<T: serde::Serialize>(value: T) -> String {
    let name = serde_json::to_value(value).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
