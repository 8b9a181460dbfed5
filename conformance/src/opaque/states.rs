//! The distinct states of a program's servers, by the names that it gives them: how each is reached, what every
//! input does in it, and the proof by asking again that the names tell everything.

use super::copies::{Answered, Copies, NoAnswer, Question};
use super::view::node_view;
use super::wire::{Answer, Description, Sent};
use crate::digest::digest_of;
use crate::target::TargetError;
use lockstep_traces::{NodeView, ServerId};
use rustc_hash::FxHashMap;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The maximum number of questions of second paths on their way to a copy at once.
const AT_ONCE: usize = 64;

/// A message in flight, which nobody here understands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Packet {
    /// The server that sent it.
    pub from: ServerId,
    /// The server that gets it.
    pub to: ServerId,
    /// The message, as canonical JSON.
    pub text: String,
}

impl Packet {
    /// Its content.
    pub fn message(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }
}

/// An input of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// One without a parameter.
    Named(Arc<str>),
    /// A client proposes this value.
    Propose(u64),
    /// A message arrives.
    Deliver(Arc<Packet>),
}

impl Input {
    /// The input as the program gets it.
    pub fn to_json(&self) -> Value {
        match self {
            Input::Named(name) => Value::from(&**name),
            Input::Propose(value) => json!({ "propose": value }),
            Input::Deliver(packet) => {
                json!({ "deliver": { "from": packet.from, "message": packet.message() } })
            }
        }
    }
}

/// The effect of an input.
#[derive(Clone, Debug)]
pub enum Effect {
    /// The server is in the state of this number, and sent these.
    Moved(u32, Arc<[Arc<Packet>]>),
    /// It broke down: the number of the fault.
    Broken(u32),
    /// It was not asked: the search is about to end.
    NotAsked,
}

/// Two ways to a state of one name, after which a program does not do the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotDeterministic {
    /// The server.
    pub server: ServerId,
    /// The inputs by which it got there first.
    pub first_path: Vec<Value>,
    /// Whether the first time it went on from what the program had saved.
    pub restored: bool,
    /// The inputs by which it got there another time, from its start.
    pub second_path: Vec<Value>,
    /// The input that it then got; `None` if it already showed something else.
    pub input: Option<Value>,
    /// The result of that input the first time.
    pub first: Value,
    /// The result of that input the other time.
    pub second: Value,
}

/// The work on the program's side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Distinct states of its servers.
    pub states: u64,
    /// Distinct (state, input) that it was asked about.
    pub inputs: u64,
    /// Of those, how many were asked again along another path.
    pub inputs_again: u64,
    /// Of those, how many were asked again along the same path from the start, for want of another, to be
    /// compared with what came of a restored state.
    pub inputs_from_start: u64,
    /// Of those, how many could not be asked again: no second path leads to their state.
    pub inputs_without_second_path: u64,
    /// Questions in all.
    pub questions: u64,
}

/// The state before, and the number of the input.
type Origin = (u32, u32);

struct Known {
    id: ServerId,
    digest: u128,
    state: Arc<Value>,
    saved: Option<Arc<Value>>,
    view: Arc<NodeView>,
    /// The view as the program wrote it.
    shown: Arc<str>,
    /// The last step of the shortest path known that leads here; `None` at the start.
    origin: Option<Origin>,
    /// Another way that leads there.
    other: Option<Origin>,
    depth: u32,
}

#[derive(Clone, Debug)]
enum Asked {
    Pending,
    Done(Effect),
}

#[derive(Default)]
struct Table {
    known: Vec<Known>,
    numbers: FxHashMap<(ServerId, u128), u32>,
    inputs: Vec<(Input, Value)>,
    input_numbers: FxHashMap<Input, u32>,
    asked: FxHashMap<(u32, u32), Asked>,
    faults: Vec<String>,
    /// The first contradiction.
    contradiction: Option<NotDeterministic>,
}

/// All states, and the copies that are asked. The same for all threads.
pub struct States {
    copies: Copies,
    servers: u64,
    table: Mutex<Table>,
    answered: Condvar,
}

impl States {
    /// No state yet, of a cluster of this many servers.
    pub fn new(copies: Copies, servers: u64) -> States {
        States {
            copies,
            servers,
            table: Mutex::default(),
            answered: Condvar::new(),
        }
    }

    /// The description of the program.
    pub fn description(&self) -> &Description {
        self.copies.description()
    }

    /// Returns the maximum number of copies of the program.
    pub fn copies(&self) -> usize {
        self.copies.count()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // What is noted down is noted whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The states of new servers.
    ///
    /// # Errors
    ///
    /// [`TargetError::Setup`] with what is wrong with an answer; [`TargetError::Interrupted`].
    pub fn start(&self, ids: &[ServerId]) -> Result<Vec<u32>, TargetError> {
        let questions = ids.iter().map(|id| Question {
            server: *id,
            saved: None,
            inputs: Vec::new(),
        });
        let answers = self.copies.ask(&questions.collect::<Vec<_>>());
        let mut table = self.table();
        let answers = ids.iter().zip(answers);
        let numbers = answers.map(|(id, answer)| match answer {
            Ok(Answer::Crashed(what)) => Err(TargetError::Setup(format!(
                "server {id} broke down at its start: {what}"
            ))),
            Ok(moved) => {
                let entered = table.enter(*id, moved, None, self);
                match entered.map_err(TargetError::Setup)? {
                    Effect::Moved(number, sent) if sent.is_empty() => Ok(number),
                    Effect::Moved(..) => Err(TargetError::Setup(format!(
                        "server {id} sends messages before it gets any input"
                    ))),
                    _ => Err(TargetError::Setup("a start was not noted down".to_owned())),
                }
            }
            Err(NoAnswer::Broken(what)) => Err(TargetError::Setup(what)),
            Err(NoAnswer::NotAsked) => Err(TargetError::Interrupted),
        });
        numbers.collect()
    }

    /// Name, digest and view of a state.
    pub fn node(&self, number: u32) -> (ServerId, u128, Arc<NodeView>) {
        let table = self.table();
        let known = &table.known[number as usize];
        (known.id, known.digest, Arc::clone(&known.view))
    }

    /// The view of a state, as the program wrote it.
    pub fn shown(&self, number: u32) -> Value {
        let table = self.table();
        let known = &table.known[number as usize];
        serde_json::from_str(&known.shown).unwrap_or(Value::Null)
    }

    /// The state with this digest.
    pub fn number_of(&self, id: ServerId, digest: u128) -> Option<u32> {
        self.table().numbers.get(&(id, digest)).copied()
    }

    /// The text of a fault.
    pub fn fault(&self, number: u32) -> Option<String> {
        self.table().faults.get(number as usize).cloned()
    }

    /// The contradiction that was met, if one was.
    pub fn contradiction(&self) -> Option<NotDeterministic> {
        self.table().contradiction.clone()
    }

    /// The effect of an input. If it is not known yet, the program is asked about it and all of `others`, each a
    /// state and an input.
    pub fn effect(
        &self,
        state: u32,
        input: &Input,
        others: impl FnOnce() -> Vec<(u32, Input)>,
    ) -> Effect {
        let mut table = self.table();
        let wanted = (state, table.input_number(input));
        if !table.asked.contains_key(&wanted) {
            // They look states up themselves.
            drop(table);
            let others = others();
            table = self.table();
            if !table.asked.contains_key(&wanted) {
                return self.ask(table, wanted, others);
            }
        }
        loop {
            match table.asked.get(&wanted) {
                Some(Asked::Done(effect)) => return effect.clone(),
                Some(Asked::Pending) => {}
                None => return Effect::NotAsked,
            }
            let waited = self.answered.wait(table);
            table = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Asks what nobody has asked yet, and notes the answers down.
    fn ask(
        &self,
        mut table: MutexGuard<'_, Table>,
        wanted: (u32, u32),
        others: Vec<(u32, Input)>,
    ) -> Effect {
        let mut open = vec![wanted];
        table.asked.insert(wanted, Asked::Pending);
        for (state, input) in others {
            let key = (state, table.input_number(&input));
            if let Entry::Vacant(place) = table.asked.entry(key) {
                place.insert(Asked::Pending);
                open.push(key);
            }
        }
        let restores = self.description().restores;
        let questions: Vec<_> = open
            .iter()
            .map(|key| table.question(*key, restores))
            .collect();
        drop(table);
        let answers = self.copies.ask(&questions);
        let mut table = self.table();
        for (key, answer) in open.into_iter().zip(answers) {
            let effect = table.note(key, answer, self);
            table.asked.insert(key, Asked::Done(effect));
        }
        self.answered.notify_all();
        match &table.asked[&wanted] {
            Asked::Done(effect) => effect.clone(),
            Asked::Pending => Effect::NotAsked,
        }
    }

    /// The numbers of what was done.
    pub fn counts(&self) -> Counts {
        let table = self.table();
        let restores = self.description().restores;
        let mut counts = Counts {
            states: table.known.len() as u64,
            inputs: table.asked.len() as u64,
            questions: self.copies.questions(),
            ..Counts::default()
        };
        for (state, _) in table.asked.keys() {
            let other = table.known[*state as usize].other.is_some();
            match (other, restores) {
                (true, _) => counts.inputs_again += 1,
                (false, true) => counts.inputs_from_start += 1,
                (false, false) => counts.inputs_without_second_path += 1,
            }
        }
        counts
    }

    /// Asks every (state, input) again along another path, where there is one.
    pub fn ask_again(&self) -> Result<(), Contradiction> {
        let restores = self.description().restores;
        let again = self.table().again(restores);
        let next = AtomicUsize::new(0);
        let first = Mutex::new(None::<(usize, Contradiction)>);
        let found = |place: usize, contradiction: Contradiction| {
            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
            if first.as_ref().is_none_or(|(known, _)| place < *known) {
                *first = Some((place, contradiction));
            }
            // The blocks before this one are at work or done.
            next.store(usize::MAX / 2, Ordering::Relaxed);
        };
        std::thread::scope(|scope| {
            for _ in 0..self.copies.count() {
                scope.spawn(|| {
                    loop {
                        let start = next.fetch_add(AT_ONCE, Ordering::Relaxed);
                        let Some(block) = again.get(start..).filter(|it| !it.is_empty()) else {
                            return;
                        };
                        let block = &block[..block.len().min(AT_ONCE)];
                        let questions: Vec<_> = {
                            let table = self.table();
                            let asked = block.iter();
                            asked
                                .map(|(key, way)| table.question_along(*key, *way))
                                .collect()
                        };
                        let answers = self.copies.ask(&questions);
                        let table = self.table();
                        let asked = block.iter().zip(answers).enumerate();
                        for (place, ((key, way), answer)) in asked {
                            if let Err(contradiction) = table.compare(*key, *way, answer, restores)
                            {
                                found(start + place, contradiction);
                            }
                        }
                    }
                });
            }
        });
        match first.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((_, contradiction)) => Err(contradiction),
            None => Ok(()),
        }
    }
}

/// The end of asking again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contradiction {
    /// The program did something else.
    Differs(Box<NotDeterministic>),
    /// It broke down.
    Broken(String),
    /// It was interrupted.
    Interrupted,
}

impl Table {
    fn input_number(&mut self, input: &Input) -> u32 {
        if let Some(number) = self.input_numbers.get(input) {
            return *number;
        }
        let number = self.inputs.len() as u32;
        self.inputs.push((input.clone(), input.to_json()));
        self.input_numbers.insert(input.clone(), number);
        number
    }

    fn input(&self, number: u32) -> Value {
        self.inputs[number as usize].1.clone()
    }

    /// The inputs that lead to a state from its start.
    fn path(&self, state: u32) -> Vec<Value> {
        let mut inputs = Vec::new();
        let mut at = state;
        while let Some((before, input)) = self.known[at as usize].origin {
            inputs.push(self.input(input));
            at = before;
        }
        inputs.reverse();
        inputs
    }

    fn question(&self, (state, input): (u32, u32), restores: bool) -> Question {
        let known = &self.known[state as usize];
        let (saved, mut inputs) = match (restores, known.origin) {
            (true, Some(_)) => {
                let saved = known.saved.as_ref().unwrap_or(&known.state);
                (Some(Value::clone(saved)), Vec::new())
            }
            _ => (None, self.path(state)),
        };
        inputs.push(self.input(input));
        Question {
            server: known.id,
            saved,
            inputs,
        }
    }

    /// The question once more, from the start of the server along `way` to its state.
    fn question_along(&self, (state, input): (u32, u32), way: Option<Origin>) -> Question {
        let mut inputs = self.along(state, way);
        inputs.push(self.input(input));
        Question {
            server: self.known[state as usize].id,
            saved: None,
            inputs,
        }
    }

    fn along(&self, state: u32, way: Option<Origin>) -> Vec<Value> {
        match way {
            None => self.path(state),
            Some((before, input)) => {
                let mut inputs = self.path(before);
                inputs.push(self.input(input));
                inputs
            }
        }
    }

    /// Lists the questions to ask again, each with its way, those with short paths first.
    fn again(&self, restores: bool) -> Vec<((u32, u32), Option<Origin>)> {
        let mut again = Vec::new();
        for (key, asked) in &self.asked {
            let known = &self.known[key.0 as usize];
            if matches!(asked, Asked::Done(Effect::Moved(..)))
                && (known.other.is_some() || restores)
            {
                again.push((*key, known.other));
            }
        }
        again.sort_by_key(|(key, _)| (self.known[key.0 as usize].depth, *key));
        again
    }

    /// Notes an answer down.
    fn note(&mut self, key: (u32, u32), answer: Answered, states: &States) -> Effect {
        let id = self.known[key.0 as usize].id;
        let fault = match answer {
            Ok(Answer::Crashed(what)) => format!("it crashed: {what}"),
            Ok(moved) => match self.enter(id, moved, Some(key), states) {
                Ok(effect) => return effect,
                Err(what) => what,
            },
            Err(NoAnswer::Broken(what)) => what,
            Err(NoAnswer::NotAsked) => return Effect::NotAsked,
        };
        self.faults.push(fault);
        Effect::Broken(self.faults.len() as u32 - 1)
    }

    /// Notes a state down, if it is new, and a way to it.
    fn enter(
        &mut self,
        id: ServerId,
        answer: Answer,
        origin: Option<Origin>,
        states: &States,
    ) -> Result<Effect, String> {
        let Answer::Moved {
            state,
            saved,
            view,
            text,
            sent,
        } = answer
        else {
            return Err("it crashed".to_owned());
        };
        let sent = packets(id, sent, states.servers)?;
        let digest = digest_of(&state.to_string());
        let depth = origin.map_or(0, |(before, _)| self.known[before as usize].depth + 1);
        if let Some(number) = self.numbers.get(&(id, digest)).copied() {
            self.reach_again(number, origin, depth, text)?;
            return Ok(Effect::Moved(number, sent));
        }
        let view = node_view(id, &view, states.description())?;
        let number = self.known.len() as u32;
        self.known.push(Known {
            id,
            digest,
            state: Arc::new(state),
            saved: saved.map(Arc::new),
            view: Arc::new(view),
            shown: text.into(),
            origin,
            other: None,
            depth,
        });
        self.numbers.insert((id, digest), number);
        Ok(Effect::Moved(number, sent))
    }

    /// A state that is known was reached along another way.
    fn reach_again(
        &mut self,
        number: u32,
        origin: Option<Origin>,
        depth: u32,
        shown: String,
    ) -> Result<(), String> {
        let known = &self.known[number as usize];
        if *known.shown != shown {
            let second_path = match origin {
                Some((before, input)) => self.along(number, Some((before, input))),
                None => Vec::new(),
            };
            self.contradiction.get_or_insert(NotDeterministic {
                server: known.id,
                first_path: self.path(number),
                restored: false,
                second_path,
                input: None,
                first: serde_json::from_str(&known.shown).unwrap_or(Value::Null),
                second: serde_json::from_str(&shown).unwrap_or(Value::Null),
            });
            return Err("two states of one name show different views".to_owned());
        }
        let known = &mut self.known[number as usize];
        if origin == known.origin {
            return Ok(());
        }
        if depth < known.depth && known.origin.is_some() {
            known.depth = depth;
            known.other = std::mem::replace(&mut known.origin, origin);
        } else if known.other.is_none() {
            known.other = origin;
        }
        Ok(())
    }

    /// Compares the answer to a question that was asked again with the first answer.
    fn compare(
        &self,
        (state, input): (u32, u32),
        way: Option<Origin>,
        answer: Answered,
        restores: bool,
    ) -> Result<(), Contradiction> {
        let Some(Asked::Done(Effect::Moved(next, sent))) = self.asked.get(&(state, input)) else {
            return Ok(());
        };
        let next = &self.known[*next as usize];
        let second = match answer {
            Err(NoAnswer::NotAsked) => return Err(Contradiction::Interrupted),
            Err(NoAnswer::Broken(what)) => return Err(Contradiction::Broken(what)),
            Ok(Answer::Crashed(what)) => json!({ "crashed": what }),
            Ok(Answer::Moved {
                state,
                text,
                sent: now,
                ..
            }) => {
                let same = digest_of(&state.to_string()) == next.digest
                    && text == *next.shown
                    && same_packets(sent, &now);
                if same {
                    return Ok(());
                }
                let view: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
                let now = now
                    .iter()
                    .map(|it| json!({ "to": it.to, "message": it.message }));
                json!({ "state": state, "view": view, "sent": now.collect::<Vec<_>>() })
            }
        };
        let then = sent
            .iter()
            .map(|it| json!({ "to": it.to, "message": it.message() }));
        let view: Value = serde_json::from_str(&next.shown).unwrap_or(Value::Null);
        Err(Contradiction::Differs(Box::new(NotDeterministic {
            server: self.known[state as usize].id,
            first_path: self.path(state),
            restored: restores && self.known[state as usize].origin.is_some(),
            second_path: self.along(state, way),
            input: Some(self.input(input)),
            first: json!({ "state": *next.state, "view": view, "sent": then.collect::<Vec<_>>() }),
            second,
        })))
    }
}

/// Returns the messages that were sent, in order.
fn packets(from: ServerId, sent: Vec<Sent>, servers: u64) -> Result<Arc<[Arc<Packet>]>, String> {
    if let Some(wrong) = sent
        .iter()
        .find(|it| it.to == from || it.to.get() > servers)
    {
        let to = wrong.to;
        return Err(format!(
            "it sent a message to server {to}, which is not another server of this cluster"
        ));
    }
    let packets = sent.into_iter().map(|it| {
        Arc::new(Packet {
            from,
            to: it.to,
            text: it.message.to_string(),
        })
    });
    let mut packets: Vec<_> = packets.collect();
    packets.sort();
    Ok(packets.into())
}

fn same_packets(then: &[Arc<Packet>], now: &[Sent]) -> bool {
    let mut now: Vec<_> = now
        .iter()
        .map(|it| (it.to, it.message.to_string()))
        .collect();
    now.sort();
    let then = then.iter().map(|it| (it.to, it.text.clone()));
    then.eq(now)
}
