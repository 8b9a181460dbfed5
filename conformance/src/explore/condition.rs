//! Conditions as people write them: "two leaders", "s2.commit >= 3 and no candidate".
//!
//! ```text
//! condition  = all, { "or", all }
//! all        = one, { "and", one }
//! one        = "not", one | "(", condition, ")" | witness | count, role | place, comparison, value
//! count      = [ "exactly" | "at least" | "at most" ], number    ("two" alone means at least two)
//! role       = "leader", "candidate", "pre-candidate", "follower", in the plural too
//! place      = ( "s1" … | "any" | "all" ), ".", field, { ".", field }, [ ".length" ] | "network", [ ".", kind ]
//! comparison = "=" | "!=" | "<" | "<=" | ">" | ">="
//! ```
//!
//! Fields are those of a view in a trace, so that a new field can be asked for at once.

use crate::words;
use lockstep_model::properties::{Witness, witnesses};
use lockstep_model::{Action, Cluster, ClusterState, Server};
use lockstep_traces::Role;
use rustc_hash::FxHashMap;
use serde_json::Value;
use std::cell::RefCell;
use std::cmp::Ordering;

/// A condition on a step and the state after it.
#[derive(Clone)]
pub struct Condition {
    root: Node,
    /// The questions to single servers, by their numbers in the nodes.
    atoms: Vec<Atom>,
    text: String,
}

/// Why a text is no condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}, at {at:?}")]
pub struct ConditionError {
    /// The form that was expected.
    pub reason: String,
    /// The rest of the text, from where it could not be read on.
    pub at: String,
}

/// Texts to begin with.
pub const EXAMPLES: &[&str] = &[
    "two leaders",
    "no leader and network = 0",
    "s2.role = leader",
    "any.commit >= 2",
    "all.term = 2",
    "s1.log.length >= 2 and s1.commit = 0",
    "network.AppendEntries >= 2",
    "leader_elected_reachable",
];

#[derive(Clone)]
enum Node {
    Or(Vec<Node>),
    And(Vec<Node>),
    Not(Box<Node>),
    Witness(&'static Witness),
    /// A comparison of the number of servers of which the atom is true.
    Count(usize, Compare, u64),
    /// Truth of the atom for one server, by its place.
    At(usize, usize),
    /// Truth of the atom for every server.
    All(usize),
    /// A comparison of the number of messages of a kind in flight.
    Network(Option<String>, Compare, u64),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A question to one server.
#[derive(Clone)]
struct Atom {
    fields: Vec<String>,
    length: bool,
    compare: Compare,
    value: Value,
}

impl Compare {
    fn of(self, order: Ordering) -> bool {
        match self {
            Compare::Equal => order.is_eq(),
            Compare::NotEqual => order.is_ne(),
            Compare::Less => order.is_lt(),
            Compare::LessOrEqual => order.is_le(),
            Compare::Greater => order.is_gt(),
            Compare::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Atom {
    fn holds(&self, view: &Value) -> bool {
        let mut value = view;
        for field in &self.fields {
            match value.get(field) {
                Some(inner) => value = inner,
                None => return false,
            }
        }
        let length = if self.length {
            let many = value.as_array().map(Vec::len);
            let many = many.or_else(|| value.as_object().map(serde_json::Map::len));
            match many {
                Some(many) => Value::from(many),
                None => return false,
            }
        } else {
            value.clone()
        };
        match (length.as_u64(), self.value.as_u64()) {
            (Some(left), Some(right)) => self.compare.of(left.cmp(&right)),
            _ => match self.compare {
                Compare::Equal => length == self.value,
                Compare::NotEqual => length != self.value,
                _ => false,
            },
        }
    }
}

/// For a condition and settings: what each server met before answered, atom by atom.
type Answers = (String, FxHashMap<Server, Box<[bool]>>);

thread_local! {
    /// The answers of servers met before: there are few distinct ones among millions of states.
    static ANSWERS: RefCell<Answers> = RefCell::default();
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn parse(text: &str, cluster: &Cluster) -> Result<Condition, ConditionError> {
        let mut reader = Reader {
            rest: text.trim(),
            servers: cluster.settings().servers(),
            fields: fields(cluster),
            atoms: Vec::new(),
        };
        let root = reader.either()?;
        if !reader.rest.is_empty() {
            return Err(reader.expected("\"and\", \"or\" or the end"));
        }
        Ok(Condition {
            root,
            atoms: reader.atoms,
            text: text.to_owned(),
        })
    }

    /// Whether it is true after a step; a witness of steps is about the step itself.
    pub fn after_step(
        &self,
        cluster: &Cluster,
        before: &ClusterState,
        action: &Action,
        after: &ClusterState,
    ) -> bool {
        let step = Some((before, action));
        self.eval(cluster, after, step)
    }

    /// Whether it is true of a state.
    pub fn of_state(&self, cluster: &Cluster, state: &ClusterState) -> bool {
        self.eval(cluster, state, None)
    }

    fn eval(
        &self,
        cluster: &Cluster,
        state: &ClusterState,
        step: Option<(&ClusterState, &Action)>,
    ) -> bool {
        let answers: Vec<Box<[bool]>> = if self.atoms.is_empty() {
            Vec::new()
        } else {
            let servers = state.servers();
            servers
                .map(|server| self.answers(cluster, server))
                .collect()
        };
        self.node(&self.root, cluster, state, step, &answers)
    }

    fn answers(&self, cluster: &Cluster, server: &Server) -> Box<[bool]> {
        ANSWERS.with_borrow_mut(|(text, known)| {
            let key = format!("{} {:?}", self.text, cluster.settings());
            if *text != key {
                *text = key;
                known.clear();
            }
            if let Some(answers) = known.get(server) {
                return answers.clone();
            }
            // A view is plain data with string keys.
            let view = serde_json::to_value(server.view(cluster.settings())).unwrap_or_default();
            let answers: Box<[bool]> = self.atoms.iter().map(|atom| atom.holds(&view)).collect();
            known.insert(server.clone(), answers.clone());
            answers
        })
    }

    fn node(
        &self,
        node: &Node,
        cluster: &Cluster,
        state: &ClusterState,
        step: Option<(&ClusterState, &Action)>,
        answers: &[Box<[bool]>],
    ) -> bool {
        let eval = |node: &Node| self.node(node, cluster, state, step, answers);
        match node {
            Node::Or(nodes) => nodes.iter().any(eval),
            Node::And(nodes) => nodes.iter().all(eval),
            Node::Not(node) => !eval(node),
            Node::Witness(witness) => {
                witness.is_state(cluster, state)
                    || step.is_some_and(|(before, action)| {
                        witness.is_step(cluster, before, action, state)
                    })
            }
            Node::Count(atom, compare, wanted) => {
                let count = answers.iter().filter(|it| it[*atom]).count() as u64;
                compare.of(count.cmp(wanted))
            }
            Node::At(atom, place) => answers.get(*place).is_some_and(|it| it[*atom]),
            Node::All(atom) => answers.iter().all(|it| it[*atom]),
            Node::Network(kind, compare, wanted) => {
                let messages = state.network().filter(|(message, _)| {
                    let is = words::message_kind(&message.body);
                    kind.as_deref().is_none_or(|kind| kind == is)
                });
                let copies = messages.map(|(_, copies)| copies as u64).sum::<u64>();
                compare.of(copies.cmp(wanted))
            }
        }
    }
}

/// The fields of a view, by which a place is checked before a search.
fn fields(cluster: &Cluster) -> Vec<String> {
    let initial = cluster.initial();
    let view = initial.servers().next();
    let view = view.map(|server| server.view(cluster.settings()));
    let view = serde_json::to_value(view).unwrap_or_default();
    let names = view.as_object().map(|it| it.keys().cloned().collect());
    names.unwrap_or_default()
}

struct Reader<'a> {
    rest: &'a str,
    servers: usize,
    fields: Vec<String>,
    atoms: Vec<Atom>,
}

const NUMBERS: [&str; 6] = ["no", "one", "two", "three", "four", "five"];

impl<'a> Reader<'a> {
    fn expected(&self, what: &str) -> ConditionError {
        ConditionError {
            reason: format!("expected {what}"),
            at: self.rest.to_owned(),
        }
    }

    /// The next word, without taking it.
    fn peek(&self) -> &'a str {
        let plain = |c: char| c.is_alphanumeric() || "._-".contains(c);
        let end = self.rest.find(|c| !plain(c)).unwrap_or(self.rest.len());
        &self.rest[..end]
    }

    fn take(&mut self, text: &str) -> bool {
        let taken = self.rest.strip_prefix(text);
        if let Some(rest) = taken {
            self.rest = rest.trim_start();
        }
        taken.is_some()
    }

    /// Takes a whole word.
    fn word(&mut self, word: &str) -> bool {
        self.peek().eq_ignore_ascii_case(word) && self.take(self.peek())
    }

    fn either(&mut self) -> Result<Node, ConditionError> {
        let mut nodes = vec![self.both()?];
        while self.word("or") {
            nodes.push(self.both()?);
        }
        Ok(Node::Or(nodes))
    }

    fn both(&mut self) -> Result<Node, ConditionError> {
        let mut nodes = vec![self.one()?];
        while self.word("and") {
            nodes.push(self.one()?);
        }
        Ok(Node::And(nodes))
    }

    fn one(&mut self) -> Result<Node, ConditionError> {
        if self.word("not") {
            return Ok(Node::Not(Box::new(self.one()?)));
        }
        if self.take("(") {
            let node = self.either()?;
            if !self.take(")") {
                return Err(self.expected("a closing parenthesis"));
            }
            return Ok(node);
        }
        let word = self.peek();
        if let Some(witness) = witnesses().iter().find(|it| it.name == word) {
            self.take(word);
            return Ok(Node::Witness(witness));
        }
        if let Some(count) = self.count()? {
            return Ok(count);
        }
        if word == "network" || word.starts_with("network.") {
            return self.network(word);
        }
        self.place(word)
    }

    /// "two leaders", "at most one candidate".
    fn count(&mut self) -> Result<Option<Node>, ConditionError> {
        let begin = self.rest;
        let compare = if self.word("exactly") {
            Some(Compare::Equal)
        } else if self.word("at") {
            if self.word("least") {
                Some(Compare::GreaterOrEqual)
            } else if self.word("most") {
                Some(Compare::LessOrEqual)
            } else {
                return Err(self.expected("\"least\" or \"most\""));
            }
        } else {
            None
        };
        let word = self.peek().to_ascii_lowercase();
        let number = match word.as_str() {
            "a" | "an" | "some" => Some(1),
            word => {
                let named = NUMBERS.iter().position(|it| *it == word);
                named.map(|it| it as u64).or_else(|| word.parse().ok())
            }
        };
        let Some(number) = number else {
            if compare.is_some() {
                return Err(self.expected("a number"));
            }
            self.rest = begin;
            return Ok(None);
        };
        self.take(self.peek());
        let role = self.role()?;
        let atom = self.atom(Atom {
            fields: vec!["role".to_owned()],
            length: false,
            compare: Compare::Equal,
            value: serde_json::to_value(role).unwrap_or_default(),
        });
        let usual = if number == 0 {
            Compare::Equal
        } else {
            Compare::GreaterOrEqual
        };
        Ok(Some(Node::Count(atom, compare.unwrap_or(usual), number)))
    }

    fn role(&mut self) -> Result<Role, ConditionError> {
        let word = self.peek().to_ascii_lowercase();
        let singular = word.strip_suffix('s').unwrap_or(&word);
        let role = match singular.replace(['-', '_'], "").as_str() {
            "leader" => Role::Leader,
            "candidate" => Role::Candidate,
            "precandidate" => Role::PreCandidate,
            "follower" => Role::Follower,
            _ => return Err(self.expected("leader, candidate, pre-candidate or follower")),
        };
        self.take(self.peek());
        Ok(role)
    }

    fn atom(&mut self, atom: Atom) -> usize {
        self.atoms.push(atom);
        self.atoms.len() - 1
    }

    fn compare(&mut self) -> Result<Compare, ConditionError> {
        for (text, compare) in [
            ("==", Compare::Equal),
            ("!=", Compare::NotEqual),
            ("<=", Compare::LessOrEqual),
            (">=", Compare::GreaterOrEqual),
            ("=", Compare::Equal),
            ("<", Compare::Less),
            (">", Compare::Greater),
        ] {
            if self.take(text) {
                return Ok(compare);
            }
        }
        Err(self.expected("=, !=, <, <=, > or >="))
    }

    fn number(&mut self) -> Result<u64, ConditionError> {
        let number = self.peek().parse();
        let number = number.map_err(|_| self.expected("a number"))?;
        self.take(self.peek());
        Ok(number)
    }

    fn network(&mut self, word: &'a str) -> Result<Node, ConditionError> {
        let kind = word.strip_prefix("network.").map(str::to_owned);
        self.take(word);
        let compare = self.compare()?;
        Ok(Node::Network(kind, compare, self.number()?))
    }

    fn place(&mut self, word: &'a str) -> Result<Node, ConditionError> {
        let mut parts = word.split('.').map(str::to_owned);
        let place = parts.next().unwrap_or_default();
        let mut fields: Vec<String> = parts.collect();
        let server = place.strip_prefix('s').and_then(|it| it.parse().ok());
        let known = matches!(place.as_str(), "any" | "all")
            || server.is_some_and(|it: usize| (1..=self.servers).contains(&it));
        if !known {
            let text = format!(
                "a condition such as \"two leaders\", or a place: s1 to s{}, any, all or network",
                self.servers
            );
            return Err(self.expected(&text));
        }
        if !fields.first().is_some_and(|it| self.fields.contains(it)) {
            let text = format!("{place} and one of its fields: {}", self.fields.join(", "));
            return Err(self.expected(&text));
        }
        let length = fields.last().is_some_and(|it| it == "length");
        if length {
            fields.pop();
        }
        self.take(word);
        let compare = self.compare()?;
        let word = self.peek();
        let value = match word {
            "" => return Err(self.expected("a value")),
            "none" | "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            word => word
                .parse::<u64>()
                .map_or_else(|_| Value::from(word.replace('-', "_")), Value::from),
        };
        self.take(word);
        let atom = self.atom(Atom {
            fields,
            length,
            compare,
            value,
        });
        Ok(match (place.as_str(), server) {
            (_, Some(server)) => Node::At(atom, server - 1),
            ("all", None) => Node::All(atom),
            _ => Node::Count(atom, Compare::GreaterOrEqual, 1),
        })
    }
}
