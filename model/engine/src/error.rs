//! Why a search could not be done. A violated property is no error, it is a verdict.

use std::path::PathBuf;
use thiserror::Error;

/// Why a search ended without a verdict.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SearchError {
    /// The model has an `eventually` property.
    #[error(
        "the property {0:?} is an `eventually`: a search over states cannot decide it; \
         state it as a step property or as a witness, or leave it out with a list of properties"
    )]
    Eventually(String),
    /// A property was asked for that the model does not have.
    #[error("the model has no property {asked:?}; it has {}", available.join(", "))]
    UnknownProperty {
        /// The name asked for.
        asked: String,
        /// The names there are.
        available: Vec<String>,
    },
    /// Two properties have the same name, so that a verdict would not say which it means.
    #[error("the model has two properties named {0:?}")]
    DuplicateProperty(String),
    /// There is nothing to search.
    #[error("the model has no initial state within its boundary, so nothing was checked")]
    NoInitialState,
    /// The model has more actions in one state than the engine can number.
    #[error("a state has {0} actions, more than the 65,536 the engine can tell apart")]
    TooManyActions(usize),
    /// The system does not give the threads asked for.
    #[error("the threads of the search could not be started: {0}")]
    Threads(rayon::ThreadPoolBuildError),
    /// The path to a state could not be executed again.
    #[error(
        "the path to a state could not be executed again ({0}): the model is not deterministic, \
         its encoding loses a field, or its symmetry is not exact"
    )]
    NotReproducible(String),
    /// A file of the frontier, the links, the fingerprints or a checkpoint could not be read or written.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A file that the engine wrote has been changed since.
    #[error("{path} is damaged: {reason}", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The mistake in it.
        reason: String,
    },
    /// A checkpoint is damaged or belongs to another search.
    #[error("the checkpoint {path} cannot be resumed: {reason}", path = .path.display())]
    Checkpoint {
        /// The folder of the checkpoint.
        path: PathBuf,
        /// The mistake in it.
        reason: String,
    },
}

impl SearchError {
    /// Whether the system could not read or write, on a full disk for example. What was found before is then
    /// as true as ever; not so with a file that has been cut short, which is damage.
    pub(super) fn is_of_the_disk(&self) -> bool {
        let cut_short = std::io::ErrorKind::UnexpectedEof;
        matches!(self, SearchError::Io { source, .. } if source.kind() != cut_short)
    }
}
