//! A schedule that does not bring the cluster back, as it would be run.

use super::Recovery;
use super::course::{Course, Happening, Lack};
use super::normal::normalise;
use super::orders::Orders;
use super::table::{MOST_ROUNDS, encode};
use crate::bounds::{Bounds, Budget};
use crate::cluster::{Action, Cluster, ClusterState};
use crate::configuration::ConfChange;
use crate::server::Outbox;
use crate::settings::Settings;
use lockstep_traces::ServerId;

/// A schedule after which the cluster is not back.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The order in which servers take turns.
    pub order: Vec<ServerId>,
    /// The rounds. The first one is the rest of the round that the state is in, without a timer.
    pub rounds: Vec<FailedRound>,
    /// The number of the round from which on all repeats, up to a shift of terms and indexes; `None` if the cluster is not
    /// back in time and does something new in every round.
    pub repeats_from: Option<usize>,
    /// The first thing that is lacking at the end.
    pub lack: Lack,
}

/// One round of it.
#[derive(Clone, Debug)]
pub struct FailedRound {
    /// The actions, as those of [`Recovery::unbounded`].
    pub actions: Vec<Action>,
    /// The first thing that is lacking after it.
    pub lack: Lack,
}

impl Recovery {
    /// The cluster without bounds in which the actions of a schedule are taken: the first change of its menu is to leave
    /// a joint configuration.
    pub fn unbounded(&self) -> Cluster {
        let change = (ConfChange::LEAVE_JOINT, Budget::Unlimited);
        let bounds = Bounds {
            changes: [change; 2],
            ..Bounds::UNLIMITED
        };
        Cluster::new(self.settings, bounds)
    }

    /// The shortest schedule by which the cluster does not come back from a state; `None` if it does in every order.
    pub fn failure(&self, state: &ClusterState) -> Option<Failure> {
        let orders = Orders::new(self.settings.servers());
        let failures = (0..orders.len()).filter_map(|order| {
            let once = self.failure_in(state, &orders, orders.once(order))?;
            // Where it comes back if timers fire twice in a row it is no failure.
            let mut others = orders.uneven(order);
            let fails = others.all(|first| self.failure_in(state, &orders, first).is_some());
            fails.then_some(once)
        });
        failures.min_by_key(|failure| failure.rounds.len())
    }

    fn failure_in(&self, state: &ClusterState, orders: &Orders, first: usize) -> Option<Failure> {
        let settings = &self.settings;
        let mut happened = Vec::new();
        let mut rounds = Vec::new();
        let mut starts: Vec<(Vec<u8>, usize)> = Vec::new();
        let mut order = first;
        let mut repeats_from = None;
        let mut lack;
        let mut course = match Course::from(state, settings, Some(&mut happened)) {
            Ok(course) => {
                lack = course.lacks().err().unwrap_or(Lack::NewEntry);
                Some(course)
            }
            Err(endless) => {
                lack = endless;
                None
            }
        };
        rounds.push((std::mem::take(&mut happened), lack));
        while let Some(course) = &mut course {
            let start = (normal_form(course, settings), order);
            repeats_from = starts.iter().position(|it| *it == start);
            starts.push(start);
            // The first round has no timer.
            repeats_from = repeats_from.map(|place| place + 1);
            if repeats_from.is_some() || rounds.len() > usize::from(MOST_ROUNDS) {
                break;
            }
            let turns = course.turns(settings);
            let Some(timer) = turns.next(orders.order(order)) else {
                break;
            };
            if turns.in_order {
                order = orders.after(order, timer.server());
            }
            match course.fire(settings, timer, Some(&mut happened)) {
                Err(still) => lack = still,
                // Back, but too late: the schedule is shown as far as the bound.
                Ok(()) if rounds.len() > usize::from(self.most_rounds) => break,
                Ok(()) => return None,
            }
            rounds.push((std::mem::take(&mut happened), lack));
            if lack == Lack::Quiet {
                break;
            }
        }
        let cluster = self.unbounded();
        let mut at = state.clone();
        let late = repeats_from.is_none() && lack != Lack::Quiet;
        rounds.truncate(match late {
            true => usize::from(self.most_rounds) + 1,
            false => rounds.len(),
        });
        let rounds = rounds.into_iter().map(|(happened, lack)| FailedRound {
            actions: actions(&cluster, &mut at, happened),
            lack,
        });
        Some(Failure {
            order: orders
                .order(first)
                .iter()
                .copied()
                .map(ServerId::from)
                .collect(),
            rounds: rounds.collect(),
            repeats_from,
            lack,
        })
    }
}

fn normal_form(course: &Course, settings: &Settings) -> Vec<u8> {
    let mut course = course.clone();
    normalise(&mut course, settings);
    encode(&course)
}

/// Names what happened by actions, and takes them.
pub(super) fn actions(
    cluster: &Cluster,
    state: &mut ClusterState,
    happened: Vec<Happening>,
) -> Vec<Action> {
    let take = |happening| {
        let action = match happening {
            Happening::Local(action) => action,
            Happening::Delivered(message) => {
                let place = state.network.iter().position(|it| *it == message)?;
                Action::Deliver(place as u32)
            }
        };
        cluster.advance(state, action, &mut Outbox::new());
        Some(action)
    };
    // What was delivered was in flight.
    happened.into_iter().map_while(take).collect()
}
