//! Copies of a program, which answer questions side by side. A question says everything that it needs, so any
//! copy can answer it, and a copy that broke down is replaced by a new one.

use super::wire::{Answer, Description, PROTOCOL, Reply, Request};
use crate::stop;
use crate::target::TargetError;
use crate::targets::exec::child::{Connection, NoReply};
use crate::targets::exec::{ExecOptions, Program};
use lockstep_traces::{Config, ServerId};
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// After this many breakdowns, nothing more is asked: the search has its counterexample, and each may have cost a
/// time-out.
const MOST_BREAKDOWNS: u64 = 4;

/// A question.
#[derive(Clone, Debug)]
pub struct Question {
    /// The server.
    pub server: ServerId,
    /// The state that it begins in; without it, it has just been set up.
    pub saved: Option<Value>,
    /// The inputs that it then gets; the answer is about the last.
    pub inputs: Vec<Value>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The program broke down at this question.
    Broken(String),
    /// It was not asked: the program has broken down too often, or nobody wants to know any more.
    NotAsked,
}

/// The result of a question.
pub type Answered = Result<Answer, NoAnswer>;

/// All copies of a program.
pub struct Copies {
    program: Program,
    options: ExecOptions,
    config: Config,
    description: Description,
    copies: Vec<Mutex<Option<Connection<Reply>>>>,
    breakdowns: AtomicU64,
    questions: AtomicU64,
}

impl Copies {
    /// Starts the first copy, and asks what it is.
    ///
    /// # Errors
    ///
    /// It cannot be started, or does not speak this protocol.
    pub fn start(
        program: &Program,
        options: ExecOptions,
        config: &Config,
        count: usize,
    ) -> Result<Copies, TargetError> {
        let (first, description) = connect(program, options).map_err(|why| match why {
            NoReply::Interrupted => TargetError::Interrupted,
            NoReply::Broken(error) | NoReply::Silent(error) => {
                TargetError::Setup(error.to_string())
            }
        })?;
        let copies: Vec<_> = (0..count.max(1)).map(|_| Mutex::new(None)).collect();
        if let Some(copy) = copies.first() {
            *lock(copy) = Some(first);
        }
        Ok(Copies {
            program: program.clone(),
            options,
            config: config.clone(),
            description,
            copies,
            breakdowns: AtomicU64::new(0),
            questions: AtomicU64::new(0),
        })
    }

    /// The description of the program.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Returns the maximum number of copies.
    pub fn count(&self) -> usize {
        self.copies.len()
    }

    /// Returns the number of questions that were answered, those of second paths included.
    pub fn questions(&self) -> u64 {
        self.questions.load(Ordering::Relaxed)
    }

    /// Answers to these questions, in their order; all are on their way at once.
    pub fn ask(&self, questions: &[Question]) -> Vec<Answered> {
        let mut copy = self.free_copy();
        let mut answers: Vec<Option<Answered>> = vec![None; questions.len()];
        if self
            .ask_together(&mut copy, questions, &mut answers)
            .is_err()
        {
            // One of them broke the program: which, shows when each is asked by itself.
            for (question, answer) in questions.iter().zip(&mut answers) {
                if answer.is_none() {
                    *answer = Some(self.ask_alone(&mut copy, question));
                }
            }
        }
        let answers = answers.into_iter();
        answers
            .map(|answer| answer.unwrap_or(Err(NoAnswer::NotAsked)))
            .collect()
    }

    /// A copy that nobody uses, or the one that is free next.
    fn free_copy(&self) -> MutexGuard<'_, Option<Connection<Reply>>> {
        for copy in &self.copies {
            match copy.try_lock() {
                Ok(copy) => return copy,
                Err(TryLockError::Poisoned(copy)) => return copy.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let waited_for = self.questions() as usize % self.copies.len();
        lock(&self.copies[waited_for])
    }

    fn given_up(&self) -> bool {
        self.breakdowns.load(Ordering::Relaxed) >= MOST_BREAKDOWNS || stop::requested()
    }

    /// Sends all questions, and reads their answers, in whatever order they come.
    fn ask_together(
        &self,
        copy: &mut Option<Connection<Reply>>,
        questions: &[Question],
        answers: &mut [Option<Answered>],
    ) -> Result<(), NoReply> {
        if self.given_up() {
            answers.fill(Some(Err(NoAnswer::NotAsked)));
            return Ok(());
        }
        let done = self.exchange(copy, questions, answers);
        if done.is_err() {
            *copy = None;
        }
        done
    }

    fn exchange(
        &self,
        copy: &mut Option<Connection<Reply>>,
        questions: &[Question],
        answers: &mut [Option<Answered>],
    ) -> Result<(), NoReply> {
        let connection = match copy {
            Some(connection) => connection,
            None => copy.insert(connect(&self.program, self.options)?.0),
        };
        for (number, question) in questions.iter().enumerate() {
            let request = Request::Ask {
                id: number as u64,
                config: &self.config,
                server: question.server,
                saved: question.saved.as_ref(),
                inputs: &question.inputs,
            };
            connection.send(request.to_line());
        }
        for _ in questions {
            let (id, answer) = match connection.receive()? {
                Reply::Answer { id, answer } => (id, answer),
                other => {
                    let text = format!("the program answered what was not asked: {other:?}");
                    return Err(NoReply::Broken(connection.failure(text)));
                }
            };
            let place = usize::try_from(id).ok().and_then(|id| answers.get_mut(id));
            match place {
                Some(place @ None) => *place = Some(Ok(answer)),
                _ => {
                    let text = format!("the program answered question {id}, which was not open");
                    return Err(NoReply::Broken(connection.failure(text)));
                }
            }
            self.questions.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn ask_alone(&self, copy: &mut Option<Connection<Reply>>, question: &Question) -> Answered {
        let mut answer = [None];
        let asked = self.ask_together(copy, std::slice::from_ref(question), &mut answer);
        match (asked, answer) {
            (Ok(()), [Some(answer)]) => answer,
            (Err(NoReply::Broken(error) | NoReply::Silent(error)), _) => {
                self.breakdowns.fetch_add(1, Ordering::Relaxed);
                Err(NoAnswer::Broken(error.to_string()))
            }
            (Err(NoReply::Interrupted) | Ok(()), _) => Err(NoAnswer::NotAsked),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A copy that a panic left in the middle of a question shows by an answer that was not asked for.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a copy, and asks what it is.
fn connect(
    program: &Program,
    options: ExecOptions,
) -> Result<(Connection<Reply>, Description), NoReply> {
    let connection = Connection::start(program.command(), options);
    let mut connection = connection.map_err(NoReply::Broken)?;
    let describe = Request::Describe { protocol: PROTOCOL };
    connection.send(describe.to_line());
    match connection.receive_first()? {
        Reply::Description(says) => match *says {
            Ok(description) => Ok((connection, description)),
            Err(what) => Err(NoReply::Broken(connection.failure(what))),
        },
        Reply::Answer { .. } | Reply::Error(_) => {
            let text = "the program answered a question before it said what it is";
            Err(NoReply::Broken(connection.failure(text)))
        }
    }
}
