//! A model as a word in an address: a preset, and what departs from it.

use lockstep_model::{Bounds, Budget, Cluster, ConfChange, Dialect, Preset, Settings};
use lockstep_traces::{Config, Event, Input, Trace};
use serde::Serialize;
use std::collections::BTreeMap;

/// A model with the word that names it.
#[derive(Clone, Debug)]
pub struct NamedModel {
    /// The word.
    pub key: String,
    /// The preset.
    pub preset: &'static Preset,
    /// The model.
    pub cluster: Cluster,
}

/// Why a word names no model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ModelError(String);

/// A switch or bound, and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name, as on the command line with `_` for `-`.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

impl NamedModel {
    /// The model of a word: a preset's name, then `~name=value` for each change.
    ///
    /// # Errors
    ///
    /// There is no such preset, no such setting, or the value makes no sense.
    pub fn parse(key: &str, dialect: Dialect) -> Result<NamedModel, ModelError> {
        let mut parts = key.split('~');
        let name = parts.next().unwrap_or_default();
        let preset = Preset::named(name).ok_or_else(|| {
            let names: Vec<_> = Preset::all().iter().map(|preset| preset.name).collect();
            ModelError(format!(
                "there is no preset {name:?}; there are {}",
                names.join(", ")
            ))
        })?;
        let (mut config, mut bounds) = (preset.config.clone(), preset.bounds);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            change(&mut config, &mut bounds, name, value).ok_or_else(|| {
                let known: Vec<_> = settings(&config, &bounds)
                    .iter()
                    .map(|it| it.name)
                    .collect();
                ModelError(format!(
                    "{part:?} is no setting with a value; settings are {}",
                    known.join(", ")
                ))
            })?;
        }
        NamedModel::new(preset, &config, bounds, dialect)
    }

    /// The model of this configuration within these bounds, as changes of a preset.
    ///
    /// # Errors
    ///
    /// The specification has no such configuration.
    pub fn new(
        preset: &'static Preset,
        config: &Config,
        bounds: Bounds,
        dialect: Dialect,
    ) -> Result<NamedModel, ModelError> {
        let checked = Settings::new(config).map_err(|error| ModelError(error.to_string()))?;
        let usual = settings(&preset.config, &preset.bounds);
        let mut key = preset.name.to_owned();
        for (now, usual) in settings(config, &bounds).iter().zip(&usual) {
            if now != usual {
                key.push_str(&format!("~{}={}", now.name, now.value));
            }
        }
        Ok(NamedModel {
            key,
            preset,
            cluster: Cluster::new(checked.with_dialect(dialect), bounds),
        })
    }

    /// The model in which a trace can be followed: its configuration, the bounds that its header names, and the
    /// changes of membership that it proposes.
    ///
    /// # Errors
    ///
    /// The specification has no such configuration or change.
    pub fn of_trace(trace: &Trace, dialect: Dialect) -> Result<NamedModel, ModelError> {
        let header = &trace.header;
        let named = header.made.preset.as_deref().and_then(Preset::named);
        let alike = || {
            let mut presets = Preset::all().iter();
            presets.find(|preset| preset.config == header.config)
        };
        let preset = named.or_else(alike).unwrap_or(&Preset::all()[0]);
        let mut bounds = if named.is_some() && header.made.bounds.is_empty() {
            preset.bounds
        } else {
            named_bounds(&header.made.bounds)
        };
        let proposed = proposed_changes(trace)?;
        let listed = |change: &ConfChange| preset.bounds.changes.iter().any(|it| it.0 == *change);
        if proposed.iter().all(listed) {
            for (place, (change, budget)) in bounds.changes.iter_mut().zip(preset.bounds.changes) {
                place.0 = change;
                if place.1 == Budget::Times(0) {
                    place.1 = budget;
                }
            }
        } else {
            for (place, change) in bounds.changes.iter_mut().zip(proposed) {
                *place = (change, Budget::Unlimited);
            }
        }
        NamedModel::new(preset, &header.config, bounds, dialect)
    }
}

/// The distinct changes of membership that a trace proposes.
fn proposed_changes(trace: &Trace) -> Result<Vec<ConfChange>, ModelError> {
    let mut proposed = Vec::new();
    for step in &trace.steps {
        if let Event::Server {
            input: Input::ProposeConfChange(change),
            ..
        } = &step.event
        {
            let change =
                ConfChange::try_from(change).map_err(|error| ModelError(error.to_string()))?;
            if !proposed.contains(&change) {
                proposed.push(change);
            }
        }
    }
    if proposed.len() > Bounds::NO_CHANGES.len() {
        let text = format!(
            "it proposes {} different changes of membership; a model has two at most",
            proposed.len()
        );
        return Err(ModelError(text));
    }
    Ok(proposed)
}

/// The bounds that a header names; the others are unlimited.
fn named_bounds(named: &BTreeMap<String, u64>) -> Bounds {
    let mut bounds = Bounds::UNLIMITED;
    let mut config = Preset::all()[0].config.clone();
    for (name, value) in named {
        // A bound that this version does not know limits nothing here.
        let _ = change(&mut config, &mut bounds, name, &value.to_string());
    }
    bounds
}

/// The name of a value in traces.
fn key(value: &impl serde::Serialize) -> String {
    let name = serde_json::to_value(value).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

/// Every switch and bound. The patterns name every field, so that a new one is not forgotten.
pub fn settings(config: &Config, bounds: &Bounds) -> Vec<Setting> {
    let Config {
        servers,
        pre_vote,
        check_quorum,
        one_entry_per_append,
        max_inflight,
        forward_proposals,
        max_uncommitted,
        voters,
        learners,
        step_down_on_removal,
        disable_conf_change_validation,
        storage,
        application_in_memory,
        reads: read_option,
    } = config;
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
        changes: [(change, changes), (other_change, other_changes)],
        max_outstanding,
        persists,
        applies,
        reads: [read_indexes, other_read_indexes],
        timing,
        disturbances,
    } = bounds;
    let size = |unlimited: bool, value: String| {
        if unlimited {
            "unlimited".to_owned()
        } else {
            value
        }
    };
    let rows = [
        ("servers", servers.to_string()),
        ("pre_vote", pre_vote.to_string()),
        ("check_quorum", check_quorum.to_string()),
        ("one_entry_per_append", one_entry_per_append.to_string()),
        ("max_inflight", max_inflight.to_string()),
        ("forward_proposals", forward_proposals.to_string()),
        ("max_uncommitted", max_uncommitted.to_string()),
        ("voters", voters.to_string()),
        ("learners", learners.to_string()),
        ("step_down_on_removal", step_down_on_removal.to_string()),
        (
            "disable_conf_change_validation",
            disable_conf_change_validation.to_string(),
        ),
        ("storage", key(storage)),
        ("application_in_memory", application_in_memory.to_string()),
        ("reads", key(read_option)),
        (
            "max_term",
            size(*max_term == u32::MAX, max_term.to_string()),
        ),
        (
            "max_in_flight",
            size(*max_in_flight == usize::MAX, max_in_flight.to_string()),
        ),
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
        ("change", change.to_string()),
        ("other_change", other_change.to_string()),
        ("changes", changes.to_string()),
        ("other_changes", other_changes.to_string()),
        (
            "max_outstanding",
            size(*max_outstanding == usize::MAX, max_outstanding.to_string()),
        ),
        ("persists", persists.to_string()),
        ("applies", applies.to_string()),
        ("read_indexes", read_indexes.to_string()),
        ("other_read_indexes", other_read_indexes.to_string()),
        ("timing", timing.to_string()),
        ("disturbances", disturbances.to_string()),
    ];
    let rows = rows.into_iter();
    rows.map(|(name, value)| Setting { name, value }).collect()
}

/// Sets one switch or bound; `None` if there is none of that name or the value makes no sense.
fn change(config: &mut Config, bounds: &mut Bounds, name: &str, value: &str) -> Option<()> {
    let unlimited = value == "unlimited";
    match name {
        "servers" => config.servers = value.parse().ok()?,
        "pre_vote" => config.pre_vote = value.parse().ok()?,
        "check_quorum" => config.check_quorum = value.parse().ok()?,
        "one_entry_per_append" => config.one_entry_per_append = value.parse().ok()?,
        "max_inflight" => config.max_inflight = value.parse().ok()?,
        "forward_proposals" => config.forward_proposals = value.parse().ok()?,
        "max_uncommitted" => config.max_uncommitted = value.parse().ok()?,
        "voters" => config.voters = value.parse().ok()?,
        "learners" => config.learners = value.parse().ok()?,
        "step_down_on_removal" => config.step_down_on_removal = value.parse().ok()?,
        "disable_conf_change_validation" => {
            config.disable_conf_change_validation = value.parse().ok()?;
        }
        "change" => bounds.changes[0].0 = value.parse().ok()?,
        "other_change" => bounds.changes[1].0 = value.parse().ok()?,
        "max_term" if unlimited => bounds.max_term = u32::MAX,
        "max_term" => bounds.max_term = value.parse().ok()?,
        "max_in_flight" if unlimited => bounds.max_in_flight = usize::MAX,
        "max_in_flight" => bounds.max_in_flight = value.parse().ok()?,
        "storage" => config.storage = serde_json::from_value(value.into()).ok()?,
        "application_in_memory" => config.application_in_memory = value.parse().ok()?,
        "reads" => config.reads = serde_json::from_value(value.into()).ok()?,
        "max_outstanding" if unlimited => bounds.max_outstanding = usize::MAX,
        "max_outstanding" => bounds.max_outstanding = value.parse().ok()?,
        "timing" => bounds.timing = value.parse().ok()?,
        _ => {
            let budget: Budget = value.parse().ok()?;
            let place = match name {
                "timeouts" => &mut bounds.timeouts,
                "lease_expiries" => &mut bounds.lease_expiries,
                "heartbeats" => &mut bounds.heartbeats,
                "quorum_checks" => &mut bounds.quorum_checks,
                "proposals" => &mut bounds.proposals,
                "restarts" => &mut bounds.restarts,
                "duplicates" => &mut bounds.duplicates,
                "drops" => &mut bounds.drops,
                "forgets" => &mut bounds.forgets,
                "compactions" => &mut bounds.compactions,
                "transfers" => &mut bounds.transfers,
                "unreachable_reports" => &mut bounds.unreachable_reports,
                "snapshot_reports" => &mut bounds.snapshot_reports,
                "changes" => &mut bounds.changes[0].1,
                "other_changes" => &mut bounds.changes[1].1,
                "persists" => &mut bounds.persists,
                "applies" => &mut bounds.applies,
                "read_indexes" => &mut bounds.reads[0],
                "other_read_indexes" => &mut bounds.reads[1],
                "disturbances" => &mut bounds.disturbances,
                _ => return None,
            };
            *place = budget;
        }
    }
    Some(())
}
