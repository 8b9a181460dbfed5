//! A path as a few letters, one for nearly every step.
//!
//! A step is the position of its action in the [`menu`] of the state: every action that there is, whether
//! the bounds allow it or not. So a link means the same whatever the bounds are. A change of the
//! specification may give it another meaning; a link therefore ends in a [seal](Walked::seal) by which that
//! is noticed.

use lockstep_model::{Action, Bounds, Budget, Cluster, ClusterState};
use xxhash_rust::xxh3::xxh3_64;

/// The digits, by value; a number above them begins with as many [`MORE`] as it has times their count.
const DIGITS: &[u8; 63] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-";
const MORE: char = '_';

/// Why a link leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// A character that no link has.
    #[error("the link contains {0:?}, which no link has: was it copied whole?")]
    Character(char),
    /// The link ends in the middle of a number.
    #[error("the link ends too early: was it copied whole?")]
    CutOff,
    /// The state has no such action.
    #[error("step {step} of the link is action {number}, and only {actions} are possible there")]
    NoAction {
        /// The step, from one.
        step: usize,
        /// The number of the action.
        number: usize,
        /// The number of actions there.
        actions: usize,
    },
}

/// These numbers as text.
pub fn encode(numbers: &[usize]) -> String {
    let mut text = String::with_capacity(numbers.len());
    for number in numbers {
        text.extend(std::iter::repeat_n(MORE, number / DIGITS.len()));
        text.push(char::from(DIGITS[number % DIGITS.len()]));
    }
    text
}

/// The numbers of a text.
///
/// # Errors
///
/// It is no text of [`encode`].
pub fn decode(text: &str) -> Result<Vec<usize>, LinkError> {
    let mut numbers = Vec::with_capacity(text.len());
    let mut more = 0;
    for character in text.chars() {
        if character == MORE {
            more += DIGITS.len();
            continue;
        }
        let digit = DIGITS.iter().position(|it| char::from(*it) == character);
        let digit = digit.ok_or(LinkError::Character(character))?;
        numbers.push(more + digit);
        more = 0;
    }
    if more > 0 {
        return Err(LinkError::CutOff);
    }
    Ok(numbers)
}

/// Every action of a state, whether the bounds allow it or not, in a fixed order: those that matter, then
/// refused and ignored inputs.
pub fn menu(cluster: &Cluster, state: &ClusterState) -> Vec<Action> {
    let bounds = Bounds {
        changes: cluster
            .bounds()
            .changes
            .map(|(change, budget)| match budget {
                Budget::Times(0) => (change, budget),
                _ => (change, Budget::Unlimited),
            }),
        ..Bounds::UNLIMITED
    };
    let free = Cluster::new(*cluster.settings(), bounds);
    let mut actions = Vec::new();
    free.enabled(state, &mut actions);
    free.probes(state, &mut actions);
    actions
}

/// A path that was followed, with every state on it.
#[derive(Clone, Debug)]
pub struct Walked {
    /// The numbers of its link.
    pub numbers: Vec<usize>,
    /// The actions.
    pub actions: Vec<Action>,
    /// The states: one more than actions.
    pub states: Vec<ClusterState>,
}

impl Walked {
    /// The path of no steps.
    pub fn start(cluster: &Cluster) -> Walked {
        Walked {
            numbers: Vec::new(),
            actions: Vec::new(),
            states: vec![cluster.initial()],
        }
    }

    /// Follows a link.
    ///
    /// # Errors
    ///
    /// The link is none, or names an action that there is not.
    pub fn follow(cluster: &Cluster, link: &str) -> Result<Walked, LinkError> {
        let mut walked = Walked::start(cluster);
        for number in decode(link)? {
            walked.step(cluster, number)?;
        }
        Ok(walked)
    }

    /// Takes the action of that number.
    ///
    /// # Errors
    ///
    /// There is no such action.
    pub fn step(&mut self, cluster: &Cluster, number: usize) -> Result<(), LinkError> {
        let menu = menu(cluster, self.last());
        let action = *menu.get(number).ok_or(LinkError::NoAction {
            step: self.actions.len() + 1,
            number,
            actions: menu.len(),
        })?;
        self.states.push(cluster.apply(self.last(), &action).next);
        self.actions.push(action);
        self.numbers.push(number);
        Ok(())
    }

    /// Takes an action that is possible in the last state; false if it is not.
    pub fn take(&mut self, cluster: &Cluster, action: Action) -> bool {
        let menu = menu(cluster, self.last());
        let number = menu.iter().position(|it| *it == action);
        number.is_some_and(|number| self.step(cluster, number).is_ok())
    }

    /// The state at its end.
    pub fn last(&self) -> &ClusterState {
        self.states.last().expect("a path has a first state")
    }

    /// The link.
    pub fn link(&self) -> String {
        encode(&self.numbers)
    }

    /// Three letters that depend on all that happens on the path.
    pub fn seal(&self, cluster: &Cluster) -> String {
        let states = self.states.iter().zip(&self.actions);
        let events: Vec<_> = states
            .map(|(state, action)| crate::words::event(&cluster.event(state, action)))
            .collect();
        let hash = xxh3_64(events.join("\n").as_bytes()) as usize;
        let base = DIGITS.len();
        let digits = [hash % base, hash / base % base, hash / base / base % base];
        encode(&digits)
    }
}
