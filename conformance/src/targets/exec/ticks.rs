//! A program whose servers keep their own timers: sessions with a clock.

use super::wire::{Reply, Request, WireTimers};
use super::{ExecServer, ExecTarget, lock, read_views, unexpected};
use crate::target::{Description, Needs, Output, Reaction, Target, TargetError};
use crate::walk::{Call, Seen, TickServer, TickTarget, Timers, Timing};
use lockstep_model::Dialect;
use lockstep_traces::{Config, Input, ServerId};
use std::sync::Arc;

impl ExecTarget {
    /// Whether its servers can be given ticks, and keep their timers themselves.
    pub fn ticks(&self) -> bool {
        self.says.ticks
    }
}

impl TickTarget for ExecTarget {
    fn description(&self) -> Description {
        Target::description(self)
    }

    fn dialect(&self) -> Dialect {
        Target::dialect(self)
    }

    fn lacks(&self, needs: &Needs) -> Vec<&'static str> {
        Target::lacks(self, needs)
    }

    fn start(
        &self,
        config: &Config,
        id: ServerId,
        timing: &Timing,
    ) -> Result<Box<dyn TickServer>, TargetError> {
        if !self.says.ticks {
            return Err(TargetError::Setup(format!(
                "{} does not say that it takes ticks",
                self.says.name
            )));
        }
        self.check_features(config)?;
        let (server, timers) = self.open_one(config, id, Some(timing))?;
        let missing = || TargetError::Setup(without_timers("an opening"));
        Ok(Box::new(Ticking {
            server,
            randomized_ticks: timers.ok_or_else(missing)?.randomized_ticks,
        }))
    }
}

pub(super) fn without_timers(what: &str) -> String {
    format!("`timers` is missing from {what} of a session with `timing`")
}

/// One server with its timers.
struct Ticking {
    server: ExecServer,
    randomized_ticks: u32,
}

impl TickServer for Ticking {
    fn randomized_ticks(&self) -> Option<u32> {
        Some(self.randomized_ticks)
    }

    fn call(&mut self, call: Call<'_>) -> Result<Seen, TargetError> {
        let (session, id) = (self.server.session, self.server.id);
        let given: [(ServerId, &Input); 1];
        let request = match call {
            Call::Tick(_) => Request::tick(session, id),
            Call::Input(input) => {
                given = [(id, input)];
                Request::Apply {
                    session,
                    inputs: &given,
                }
            }
        };
        let (reaction, timers) = self.server.ask(request, true)?;
        let timers = timers.map(|timers| {
            self.randomized_ticks = timers.randomized_ticks;
            Timers {
                election_elapsed_ticks: timers.election_elapsed_ticks,
                heartbeat_elapsed_ticks: timers.heartbeat_elapsed_ticks,
                randomized_ticks: timers.randomized_ticks,
                drawn: timers.drawn,
            }
        });
        let output = match reaction {
            Reaction::Driven(output) => output,
            // It has not changed; the comparison says whether it must have.
            Reaction::NotDriven { .. } => Output::default(),
        };
        Ok(Seen {
            output,
            view: self.server.view.clone(),
            timers,
        })
    }
}

impl ExecTarget {
    /// Opens a session with one server, with a clock if there is a timing.
    pub(super) fn open_one(
        &self,
        config: &Config,
        id: ServerId,
        timing: Option<&Timing>,
    ) -> Result<(ExecServer, Option<WireTimers>), TargetError> {
        let mut link = lock(&self.link);
        let opened =
            link.open_with(config, &[id], timing)
                .and_then(|session| match link.receive()? {
                    Reply::Opened {
                        session: of,
                        views,
                        mut timers,
                    } if of == session && timers.len() <= 1 => {
                        let mut views = read_views(views, &[], 1, self.says.fields)?;
                        Ok((session, views.remove(0), timers.pop()))
                    }
                    other => Err(unexpected(&other)),
                });
        let (session, view, timers) =
            opened.map_err(|failure| link.broken(failure).into_setup())?;
        let server = ExecServer {
            link: Arc::clone(&self.link),
            session,
            id,
            shown: self.says.fields,
            view,
        };
        Ok((server, timers))
    }
}
