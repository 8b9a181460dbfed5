//! What is known of single servers: their states, pairs with the companion's numbers, and what follows
//! from an input.

use lockstep_model::Server;
use lockstep_traces::Input;
use rustc_hash::FxHashMap;

/// One answer: what an input makes of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The pair before.
    pub pair: u32,
    /// The number of the input.
    pub input: u32,
    /// The pair after.
    pub next: u32,
}

/// Servers, pairs, inputs and answers, each with a number by order of appearance.
#[derive(Default)]
pub(crate) struct Tables {
    servers: Vec<Server>,
    server_numbers: FxHashMap<Server, u32>,
    /// By pair: the server of the specification, and the companion's number.
    pairs: Vec<(u32, u32)>,
    pair_numbers: FxHashMap<(u32, u32), u32>,
    inputs: Vec<Input>,
    input_numbers: FxHashMap<Input, u32>,
    answers: Vec<Answer>,
    answer_of: FxHashMap<(u32, u32), u32>,
}

impl Tables {
    /// The pair of a server of the specification with the companion's number.
    pub fn pair(&mut self, server: &Server, companion: u32) -> u32 {
        let number = match self.server_numbers.get(server) {
            Some(number) => *number,
            None => {
                let number = number_of(self.servers.len());
                self.servers.push(server.clone());
                self.server_numbers.insert(server.clone(), number);
                number
            }
        };
        *self
            .pair_numbers
            .entry((number, companion))
            .or_insert_with(|| {
                self.pairs.push((number, companion));
                number_of(self.pairs.len() - 1)
            })
    }

    /// The number of an input.
    pub fn input(&mut self, input: &Input) -> u32 {
        if let Some(number) = self.input_numbers.get(input) {
            return *number;
        }
        let number = number_of(self.inputs.len());
        self.inputs.push(input.clone());
        self.input_numbers.insert(input.clone(), number);
        number
    }

    /// The number of an input, if it has appeared.
    pub fn known_input(&self, input: &Input) -> Option<u32> {
        self.input_numbers.get(input).copied()
    }

    /// What an input makes of a pair, if that was asked.
    pub fn answer(&self, pair: u32, input: u32) -> Option<u32> {
        self.answer_of.get(&(pair, input)).copied()
    }

    /// Remembers what an input makes of a pair.
    pub fn set_answer(&mut self, pair: u32, input: u32, next: u32) {
        self.answer_of.insert((pair, input), next);
        self.answers.push(Answer { pair, input, next });
    }

    /// The companion's number in a pair.
    pub fn companion(&self, pair: u32) -> u32 {
        self.pairs[pair as usize].1
    }

    /// The input of a number.
    pub fn input_of(&self, number: u32) -> &Input {
        &self.inputs[number as usize]
    }

    /// All answers, in the order in which they were first asked.
    pub fn answers(&self) -> &[Answer] {
        &self.answers
    }

    /// How many pairs there are.
    pub fn pair_count(&self) -> usize {
        self.pairs.len()
    }

    pub fn server_count(&self) -> u64 {
        self.servers.len() as u64
    }

    /// An estimate: what each entry takes, with the spare room of the hash tables.
    pub fn memory_bytes(&self) -> u64 {
        let server = 3 * size_of::<Server>() + 64;
        let input = 3 * size_of::<Input>() + 64;
        let bytes = self.servers.len() * server
            + self.inputs.len() * input
            + self.pair_numbers.capacity() * 20
            + self.answer_of.capacity() * 24;
        bytes as u64
    }
}

fn number_of(position: usize) -> u32 {
    u32::try_from(position).expect("fewer than 2^32 distinct server states and inputs")
}
