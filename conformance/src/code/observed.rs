//! Properties of implementations on a step that was only seen, without an implementation at hand.

use super::clocks::Clocks;
use super::components::CodeState;
use super::history::{Happened, HappenedReads};
use super::node::Node;
use super::{Code, CodeProperty, Explored, Servers};
use crate::states::{Fault, StateCounts, Stepped};
use crate::target::Description;
use lockstep_model::properties::Taken;
use lockstep_model::{Action, Bounds, Id, Settings, Spent, Timing};
use lockstep_traces::{Config, FieldSet, Input, Message, NodeView, ServerId};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A cluster of which only the views are known.
pub struct ObservedCode(Code<'static>);

impl ObservedCode {
    /// A cluster of this configuration.
    pub fn new(config: &Config) -> ObservedCode {
        ObservedCode(Code {
            config: config.clone(),
            // Of runs without an assumption about clocks the history says that it is broken.
            bounds: Bounds {
                timing: Timing::Silent,
                ..Bounds::UNLIMITED
            },
            description: Description {
                name: "observed".to_owned(),
                version: String::new(),
                shows: FieldSet::ALL,
                derived: BTreeMap::new(),
                dialect: Vec::new(),
            },
            servers: Mutex::new(Servers {
                states: Box::new(Unknown),
                answers: FxHashMap::default(),
                asked: Vec::new(),
                saved: 0,
                starts: Vec::new(),
                faults: Vec::new(),
            }),
        })
    }

    /// The code that is only seen, for properties of views that come from elsewhere.
    pub(crate) fn into_code(self) -> Code<'static> {
        self.0
    }

    /// Evaluates the property on a step; `None` if a name in it is out of range.
    pub fn holds(&self, property: &CodeProperty, taken: &Taken) -> Option<bool> {
        let mut network: Vec<Arc<Message>> =
            taken.in_flight.iter().cloned().map(Arc::new).collect();
        network.sort();
        let before = state(&taken.before, network.clone(), Happened::default());
        let i = Id::try_from(taken.server).ok()?;
        let action = match &taken.input {
            Input::Deliver(message) => {
                let position = network.iter().position(|it| **it == *message)?;
                network.remove(position);
                Action::Deliver(u32::try_from(position).ok()?)
            }
            local => Action::of_input(i, local)?,
        };
        network.extend(taken.sent.iter().cloned().map(Arc::new));
        network.sort();
        let leaders = taken.leaders.iter().map(|(term, leaders)| {
            let bits = leaders.iter().filter(|id| id.get() <= 8);
            (*term, bits.fold(0, |set, id| set | 1 << (id.get() - 1)))
        });
        let happened = Happened {
            leaders: leaders.collect(),
            led_twice: taken.led_twice,
            committed: taken.committed.clone(),
            reads: self.reads(taken),
        };
        let after = state(&taken.after, network, happened);
        Some(property.holds(&self.0, &before, &action, &after))
    }

    /// The reads of clients, as far as the run is known.
    fn reads(&self, taken: &Taken) -> HappenedReads {
        let settings = Settings::new(self.0.config()).ok();
        let answers = taken.read_states.iter();
        let answers = answers.filter_map(|it| Some((taken.server, it.context, it.index?)));
        let mut reads = HappenedReads {
            answered: answers.collect(),
            clocks: match settings.is_some_and(|it| taken.keeps_clocks(&it)) {
                true => Clocks::default(),
                false => Clocks::BROKEN,
            },
            ..HappenedReads::default()
        };
        taken.asked.iter().for_each(|asked| reads.ask(*asked));
        reads
    }
}

fn state(views: &[NodeView], network: Vec<Arc<Message>>, history: Happened) -> CodeState {
    let servers = (1..).filter_map(ServerId::new).zip(views);
    CodeState {
        servers: servers
            .map(|(id, view)| Node::new(id, 0, Arc::new(view.clone())))
            .collect(),
        network,
        history,
        spent: Spent::default(),
    }
}

/// No states at all: nothing is ever asked of them.
struct Unknown;

const UNASKED: &str = "a cluster of which only the views are known takes no step";

impl Explored for Unknown {
    fn start(&mut self, _: ServerId) -> Result<u32, Fault> {
        Err(Fault::Setup(UNASKED.to_owned()))
    }

    fn step(&mut self, _: u32, _: &Input) -> Result<Stepped, Fault> {
        Err(Fault::Setup(UNASKED.to_owned()))
    }

    fn node(&self, _: ServerId, _: u32) -> Node {
        unreachable!("{UNASKED}")
    }

    fn number_of(&self, _: ServerId, _: u128) -> Option<u32> {
        None
    }

    fn rerun(&mut self) -> Result<(), Fault> {
        Err(Fault::Setup(UNASKED.to_owned()))
    }

    fn counts(&self) -> StateCounts {
        StateCounts::default()
    }
}
