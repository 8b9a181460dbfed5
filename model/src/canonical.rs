//! The canonical form of collapsed states: each component is renamed once, and known by its id ever after.

use crate::cluster::Cluster;
use crate::ids::Id;
use crate::symmetry::{
    Keys, MessageMark, Renaming, ServerMark, inverse, keys, led, nth_renaming, number_of, orders,
    rename_history, rename_message, rename_server,
};
use lockstep_engine::{Canonical, Collapsed, Component, Interner, View};
use std::sync::Arc;

type Tables = lockstep_engine::Tables<Cluster>;

/// Not renamed yet.
const UNKNOWN: u32 = u32::MAX;

/// Components of one kind under every renaming.
#[derive(Default)]
struct Renamed(Vec<u32>);

impl Renamed {
    /// The id of component `number` under renaming `renaming` of `renamings`, which `rename` finds out.
    fn get<C: Component<Cluster>>(
        &mut self,
        (number, renaming, renamings): (u32, usize, usize),
        components: &mut Interner<Cluster, C>,
        cluster: &Cluster,
        rename: impl FnOnce(&C) -> C,
    ) -> u32 {
        let place = number as usize * renamings + renaming;
        if let Some(renamed) = self.0.get(place)
            && *renamed != UNKNOWN
        {
            return *renamed;
        }
        let renamed = rename(components.component(number));
        let renamed = components.id(&renamed, cluster);
        if place >= self.0.len() {
            self.0.resize((number as usize + 1) * renamings, UNKNOWN);
        }
        self.0[place] = renamed;
        renamed
    }
}

/// The renamings of a cluster, with cached results.
pub(crate) struct Orbits {
    /// Each with its inverse: all, by number, or those that change nothing.
    renamings: Vec<(Renaming, Renaming)>,
    /// The numbers of those that change nothing; `None` if those are all.
    group: Option<Arc<[usize]>>,
    servers: Renamed,
    messages: Renamed,
    histories: Renamed,
    server_marks: Vec<ServerMark>,
    message_marks: Vec<MessageMark>,
    /// For each slot the sum of what [`led`] says.
    history_marks: Vec<Keys>,
}

impl Orbits {
    /// Returns the renamings of clusters of `servers` servers, of which those in `group`, or all, change nothing.
    pub fn new(servers: usize, group: Option<Arc<[usize]>>) -> Self {
        let all = crate::ClusterState::renamings(servers);
        let numbers = match &group {
            Some(group) => group.to_vec(),
            None => (0..all).collect(),
        };
        let renaming = |number| {
            let renaming = nth_renaming(servers, number);
            let back = inverse(&renaming);
            (renaming, back)
        };
        Orbits {
            renamings: numbers.into_iter().map(renaming).collect(),
            group,
            servers: Renamed::default(),
            messages: Renamed::default(),
            histories: Renamed::default(),
            server_marks: Vec::new(),
            message_marks: Vec::new(),
            history_marks: Vec::new(),
        }
    }

    fn keys(&mut self, state: View<'_>, tables: &Tables) -> Keys {
        let servers = tables.servers.components();
        let marks = servers[self.server_marks.len()..].iter();
        self.server_marks.extend(marks.map(ServerMark::of));
        let messages = tables.messages.components();
        let marks = messages[self.message_marks.len()..].iter();
        self.message_marks.extend(marks.map(MessageMark::of));
        for history in &tables.histories.components()[self.history_marks.len()..] {
            let mut sums: Keys = self.renamings[0].0.iter().map(|_| 0).collect();
            for (id, mark) in led(history) {
                sums[id.slot()] = sums[id.slot()].wrapping_add(mark);
            }
            self.history_marks.push(sums);
        }
        let history = self.history_marks[state.history() as usize]
            .iter()
            .enumerate();
        keys(
            state
                .servers
                .iter()
                .map(|number| self.server_marks[*number as usize]),
            state
                .messages
                .iter()
                .map(|number| self.message_marks[*number as usize]),
            history.map(|(slot, sum)| (Id::from_slot(slot), *sum)),
        )
    }

    fn rename(
        &mut self,
        from: View<'_>,
        renaming: usize,
        to: &mut Collapsed,
        tables: &mut Tables,
        cluster: &Cluster,
    ) {
        let count = self.renamings.len();
        let (names, back) = &self.renamings[renaming];
        let place = (from.history(), renaming, count);
        let rename = |history: &_| rename_history(history, names);
        let history = self
            .histories
            .get(place, &mut tables.histories, cluster, rename);
        let servers = back.iter().map(|slot| {
            let place = (from.servers[usize::from(*slot)], renaming, count);
            let rename = |server: &_| rename_server(server, names, back);
            self.servers
                .get(place, &mut tables.servers, cluster, rename)
        });
        to.begin(servers, history, from.budgets());
        for message in from.messages {
            let place = (*message, renaming, count);
            let rename = |message: &_| rename_message(message, names);
            let message = self
                .messages
                .get(place, &mut tables.messages, cluster, rename);
            to.insert(message, tables);
        }
    }
}

impl Canonical<Cluster> for Orbits {
    fn fork(&self) -> Box<dyn Canonical<Cluster>> {
        Box::new(Orbits::new(self.renamings[0].0.len(), self.group.clone()))
    }

    fn represent(
        &mut self,
        from: View<'_>,
        to: &mut Collapsed,
        tables: &mut Tables,
        cluster: &Cluster,
    ) {
        if self.group.is_some() {
            let sums = (0..self.renamings.len()).map(|renaming| {
                self.rename(from, renaming, to, tables, cluster);
                (tables.sum(to.view()), renaming)
            });
            let renaming = sums.min().map_or(0, |(_, renaming)| renaming);
            return self.rename(from, renaming, to, tables, cluster);
        }
        let orders = orders(&self.keys(from, tables));
        let mut candidates = orders.iter().map(|order| number_of(&inverse(order)));
        let renaming = if orders.len() == 1 {
            candidates.next().unwrap_or_default()
        } else {
            let sums = candidates.map(|renaming| {
                self.rename(from, renaming, to, tables, cluster);
                (tables.sum(to.view()), renaming)
            });
            sums.min().map_or(0, |(_, renaming)| renaming)
        };
        self.rename(from, renaming, to, tables, cluster);
    }

    fn memory(&self) -> u64 {
        let renamed = [&self.servers, &self.messages, &self.histories];
        let renamed: usize = renamed.iter().map(|renamed| renamed.0.capacity() * 4).sum();
        (renamed
            + self.server_marks.capacity() * size_of::<ServerMark>()
            + self.message_marks.capacity() * size_of::<MessageMark>()
            + self.history_marks.capacity() * size_of::<Keys>()) as u64
    }
}
