//! The round starts that were met, and how far each is from the end in every order.

use super::course::{Course, Lack, Servers, Timer, Turns};
use super::normal::normalise;
use super::orders::Orders;
use crate::codec;
use crate::ids::{Id, IdSet};
use crate::message::Position;
use crate::settings::Settings;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::Arc;

/// The most rounds that are followed. A schedule that has neither come back nor repeated itself by then fails.
pub(super) const MOST_ROUNDS: u8 = 200;

/// Why a cluster is not asked to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusion {
    /// A server that was removed goes on leading, as its setting has it: it takes no proposals, and while it is heard
    /// nobody campaigns.
    RemovedLeader,
    /// No voter of the newest committed configuration has applied it, and whoever has is no part of it. So each campaigns by
    /// an older one, in which it needs the vote of a server that was removed and has a longer log, or not at all. A
    /// server uses the configuration that it has applied, as in etcd's raft; by the paper it would use that of its log.
    UnawareVoters,
}

impl Exclusion {
    /// Every exclusion that is decided by what the schedule does.
    pub const ALL: [Exclusion; 2] = [Exclusion::RemovedLeader, Exclusion::UnawareVoters];

    /// The reason, in a sentence.
    pub const fn reason(self) -> &'static str {
        match self {
            Exclusion::RemovedLeader => {
                "a removed server goes on leading, since step_down_on_removal is off: it takes no proposals, and who \
                 hears it does not campaign"
            }
            Exclusion::UnawareVoters => {
                "no voter of the newest configuration has applied it, and the servers that have are no part of it: who may \
                 campaign needs their votes (etcd's raft, whose configurations are in use when they are applied)"
            }
        }
    }
}

/// The end of a round start at one position, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Nothing.
    Unknown,
    /// It is on the way that is being followed.
    Walked,
    /// The cluster is back after this number of rounds.
    Back(u8),
    /// It goes round for a reason that is excluded.
    Excluded(Exclusion),
    /// It never comes back.
    Fails,
}

/// The end of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Back,
    Start(u32),
    /// The round does not end.
    Never,
}

struct Node {
    encoded: Arc<[u8]>,
    turns: Turns,
    /// The reason by which nothing is asked of a schedule that stays in such round starts.
    exclusion: Option<Exclusion>,
    rounds: SmallVec<[(Timer, Next); 2]>,
    /// By number of the position.
    ways: Box<[Way]>,
    /// The worst of all orders, once it is known, and whether timers had to fire twice in a row.
    worst: (Way, bool),
}

/// The round starts.
pub(super) struct Table {
    settings: Settings,
    orders: Orders,
    numbers: FxHashMap<Arc<[u8]>, u32>,
    nodes: Vec<Node>,
    /// The rounds that were executed.
    pub rounds: u64,
}

impl Table {
    pub fn new(settings: &Settings) -> Table {
        Table {
            settings: *settings,
            orders: Orders::new(settings.servers()),
            numbers: FxHashMap::default(),
            nodes: Vec::new(),
            rounds: 0,
        }
    }

    /// The number of round starts.
    pub fn starts(&self) -> usize {
        self.nodes.len()
    }

    /// The number of orders.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Returns the end of a round start, given in normal form with its encoding, in the worst of all orders; and whether there
    /// is an order in which it comes back only if some timer fires twice in a row.
    pub fn worst(&mut self, course: &Course, encoded: &[u8]) -> (Way, bool) {
        let node = self.number(course, encoded);
        let known = self.nodes[node as usize].worst;
        if known.0 != Way::Unknown {
            return known;
        }
        let mut worst = (Way::Back(0), false);
        for order in 0..self.orders.len() {
            let mut way = self.walk(node, self.orders.once(order));
            if way == Way::Fails {
                let mut others = self.orders.uneven(order);
                let way_out = others.find_map(|position| {
                    let other = self.walk(node, position);
                    (other != Way::Fails).then_some(other)
                });
                worst.1 |= way_out.is_some();
                way = way_out.unwrap_or(way);
            }
            worst.0 = worst.0.worse(way);
        }
        self.nodes[node as usize].worst = worst;
        worst
    }

    /// Follows the schedule from a position in an order.
    fn walk(&mut self, node: u32, position: usize) -> Way {
        let mut path: Vec<(u32, usize)> = Vec::new();
        let mut at = (node, position);
        let mut end = loop {
            match self.nodes[at.0 as usize].ways[at.1] {
                Way::Unknown if path.len() < usize::from(MOST_ROUNDS) => {}
                Way::Unknown => return self.give_up(&path),
                Way::Walked => {
                    let begin = path.iter().position(|it| *it == at).unwrap_or(0);
                    break self.cycle(&path[begin..]);
                }
                known => break known,
            }
            self.nodes[at.0 as usize].ways[at.1] = Way::Walked;
            path.push(at);
            let turns = self.nodes[at.0 as usize].turns;
            // Nobody's timer fires: nothing ever happens again.
            let Some(timer) = turns.next(self.orders.order(at.1)) else {
                break Way::Fails;
            };
            let next = self.next(at.0, timer);
            let position = match turns.in_order {
                true => self.orders.after(at.1, timer.server()),
                false => at.1,
            };
            match next {
                Next::Back => break Way::Back(0),
                Next::Never => break Way::Fails,
                Next::Start(next) => at = (next, position),
            }
        };
        for (node, order) in path.into_iter().rev() {
            end = end.after_a_round();
            self.nodes[node as usize].ways[order] = end;
        }
        end
    }

    /// The first of these round starts was followed for long enough: it fails, unless all of the later half is excluded.
    /// Of the others nothing is known.
    fn give_up(&mut self, path: &[(u32, usize)]) -> Way {
        let end = self.cycle(&path[path.len() / 2..]);
        for (place, (node, order)) in path.iter().enumerate() {
            self.nodes[*node as usize].ways[*order] = match place {
                0 => end,
                _ => Way::Unknown,
            };
        }
        end
    }

    /// Returns the verdict on a schedule that goes round through these round starts.
    fn cycle(&self, starts: &[(u32, usize)]) -> Way {
        let nodes = starts.iter().map(|(node, _)| &self.nodes[*node as usize]);
        let mut exclusions = nodes.map(|node| node.exclusion);
        match exclusions.next().flatten() {
            Some(reason) if exclusions.all(|other| other == Some(reason)) => Way::Excluded(reason),
            _ => Way::Fails,
        }
    }

    /// Returns the end of a round, which is executed once.
    fn next(&mut self, node: u32, timer: Timer) -> Next {
        let known = &self.nodes[node as usize].rounds;
        if let Some((_, next)) = known.iter().find(|(fired, _)| *fired == timer) {
            return *next;
        }
        let encoded = &self.nodes[node as usize].encoded;
        let mut course = decode(encoded, self.settings.servers());
        self.rounds += 1;
        let next = match course.fire(&self.settings, timer, None) {
            Ok(()) => Next::Back,
            Err(Lack::Quiet) => Next::Never,
            Err(_) => {
                normalise(&mut course, &self.settings);
                Next::Start(self.number(&course, &encode(&course)))
            }
        };
        self.nodes[node as usize].rounds.push((timer, next));
        next
    }

    fn number(&mut self, course: &Course, encoded: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(encoded) {
            return *number;
        }
        let number = self.nodes.len() as u32;
        let encoded: Arc<[u8]> = encoded.into();
        self.numbers.insert(Arc::clone(&encoded), number);
        self.nodes.push(Node {
            encoded,
            turns: course.turns(&self.settings),
            exclusion: exclusion(course, &self.settings),
            rounds: SmallVec::new(),
            ways: vec![Way::Unknown; self.orders.positions()].into(),
            worst: (Way::Unknown, false),
        });
        number
    }
}

impl Way {
    /// One round earlier.
    fn after_a_round(self) -> Way {
        match self {
            Way::Back(rounds) => Way::Back(rounds.saturating_add(1)),
            other => other,
        }
    }

    /// The worse of two: what fails, then what is excluded, then what takes longer.
    fn worse(self, other: Way) -> Way {
        match (self, other) {
            (Way::Back(one), Way::Back(other)) => Way::Back(one.max(other)),
            (Way::Fails, _) | (_, Way::Fails) => Way::Fails,
            (Way::Back(_), other) => other,
            (other, _) => other,
        }
    }
}

/// The reason by which a round start may be one that the cluster never leaves.
fn exclusion(course: &Course, settings: &Settings) -> Option<Exclusion> {
    if course.removed_server_leads() {
        Some(Exclusion::RemovedLeader)
    } else {
        let unaware = course.voters_are_unaware(settings);
        unaware.then_some(Exclusion::UnawareVoters)
    }
}

/// The encoding of a course: equal courses, and no others, have equal ones.
pub(super) fn encode(course: &Course) -> Vec<u8> {
    let mut bytes = vec![course.heard.bits(), course.beaten.bits()];
    let asked = course.asked.unwrap_or_default();
    bytes.extend(asked.term.to_le_bytes());
    bytes.extend(asked.index.to_le_bytes());
    for server in &course.servers {
        let at = bytes.len();
        bytes.extend([0; 2]);
        codec::put_server(server, &mut bytes);
        let length = (bytes.len() - at - 2) as u16;
        bytes[at..at + 2].copy_from_slice(&length.to_le_bytes());
    }
    bytes
}

/// The course of this encoding.
fn decode(bytes: &[u8], servers: usize) -> Course {
    let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| bytes[at + byte]));
    let asked = Position {
        term: number(2),
        index: number(6),
    };
    let mut rest = &bytes[10..];
    let mut all = Servers::new();
    for slot in 0..servers {
        let length = usize::from(u16::from_le_bytes([rest[0], rest[1]]));
        let (server, behind) = rest[2..].split_at(length);
        all.push(codec::take_server(server, Id::from_slot(slot), servers));
        rest = behind;
    }
    Course {
        servers: all,
        heard: IdSet::from_bits(bytes[0]),
        beaten: IdSet::from_bits(bytes[1]),
        // A leader leads a term from one on.
        asked: (asked.term > 0).then_some(asked),
    }
}

#[cfg(test)]
pub(super) fn round_trip(course: &Course) -> Course {
    decode(&encode(course), course.servers.len())
}
