//! `lockstep explore`: the state graph in a browser.

use super::check::default_threads;
use super::error::CliError;
use super::model::ModelArgs;
use super::progress::Reporter;
use super::streams;
use super::target::TargetArgs;
use crate::explore::models::NamedModel;
use crate::explore::seek::Reach;
use crate::explore::server::{Settings, Stand, serve};
use crate::report::Job;
use crate::seeded::Side;
use crate::stop;
use crate::{Target, TargetSpec};
use clap::Args;
use lockstep_model::{Dialect, Preset};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Options of `lockstep explore`.
#[derive(Debug, Args)]
pub struct ExploreArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Step this implementation along and show it beside the specification, differences in red
    #[arg(long, value_name = "TARGET")]
    target: Option<TargetSpec>,
    /// Seed a bug of the catalogue into lockstep-raft, such as EL-01, or put a mistake around any target, such
    /// as wrong_state, to see where it shows
    #[arg(long, value_name = "ID", requires = "target")]
    plant: Option<String>,
    /// The port; 0 takes one that is free
    #[arg(long, value_name = "PORT", default_value_t = 3000)]
    port: u16,
    /// The address to listen on. Anybody who can reach it can use this machine's time and memory
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// Seconds after which a search for a condition gives up
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    search_timeout: u64,
    /// Distinct states after which a search for a condition gives up
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    search_states: u64,
}

impl ExploreArgs {
    fn target(&self, spec: &TargetSpec) -> TargetArgs {
        TargetArgs::of(spec).planted(self.plant.as_deref())
    }

    /// The bug that is seeded into the target, and the text that it is in.
    ///
    /// # Errors
    /// A seeded bug is asked for in a target that has none, or in the specification.
    pub fn seeded(&self) -> Result<Option<(Side, String)>, CliError> {
        let target = self.target.as_ref();
        let seeded = target.map(|spec| self.target(spec).seeded_beside_the_specification());
        Ok(seeded.transpose()?.flatten())
    }
}

/// Serves until the process is asked to stop.
///
/// # Errors
/// The model or the target does not exist, or the address is taken.
pub fn run(
    args: &ExploreArgs,
    for_people: bool,
    progress: &Reporter,
) -> Result<Vec<Job>, CliError> {
    match &args.target {
        Some(spec) => {
            let target = args.target(spec).start()?;
            explore(args, target.dialect(), Some(&target), for_people, progress)
        }
        None => explore(args, Dialect::ETCD, None, for_people, progress),
    }
}

fn explore(
    args: &ExploreArgs,
    dialect: Dialect,
    target: Option<&dyn Stand>,
    for_people: bool,
    progress: &Reporter,
) -> Result<Vec<Job>, CliError> {
    let chosen = args.model.choose()?.in_dialect(dialect);
    let usage = |error: &dyn std::fmt::Display| CliError::Usage(error.to_string());
    let missing = || CliError::Usage(format!("there is no preset {:?}", chosen.preset));
    let preset = Preset::named(&chosen.preset).ok_or_else(missing)?;
    let config = chosen.cluster.settings().config();
    let model = NamedModel::new(preset, &config, *chosen.cluster.bounds(), dialect)
        .map_err(|error| usage(&error))?;
    let beside = target.map(|it| it.who());
    let settings = Settings {
        address: SocketAddr::new(args.listen, args.port),
        model,
        dialect,
        reach: Reach {
            threads: default_threads(),
            states: args.search_states,
            time: Duration::from_secs(args.search_timeout),
        },
    };
    progress.begin(format!("explore {}", chosen.name));
    let ready = |address: SocketAddr| {
        let beside = beside.map_or_else(String::new, |it| {
            format!(" beside {} {}", it.name, it.version)
        });
        let text = format!(
            "{}{beside}: http://{address}/\n\
             stateright's own Explorer: http://{address}/stateright/\n\
             Ctrl-C ends it.\n",
            chosen.name
        );
        // Whoever knows the address need not read it.
        if for_people {
            let _ = streams::print(&text);
        } else {
            streams::say(text.trim_end());
        }
    };
    serve(settings, target, &stop::requested, ready).map_err(|error| usage(&error))?;
    Ok(vec![progress.unfinished("interrupted")])
}
