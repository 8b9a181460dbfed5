//! The files of a search, and the manifest that makes them a checkpoint.
//!
//! The files are only ever appended to. A manifest says how much of each is valid; it is replaced by
//! renaming, after everything it speaks of is on the disk. So at any moment the folder holds one
//! whole checkpoint, and what was written after it is cut off when the search is resumed.

use super::disk_fingerprints::Sealing;
use super::error::SearchError;
use super::record_file::Records;
use super::report::{Level, TimeSplit};
use super::tally::Tally;
use super::temporary::TemporaryFolder;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// The version of the format. Raise it when the meaning of any file changes.
pub(super) const VERSION: u32 = 5;
const MANIFEST: &str = "manifest";

/// The subject of a search, which must be the same when it is resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Subject {
    pub model: String,
    /// Whether states are written in the model's collapsed form.
    pub collapsed: bool,
    pub symmetry: bool,
    pub count_orbits: bool,
    pub coverage: bool,
    pub checked: Vec<String>,
    pub witnesses: Vec<String>,
}

impl Subject {
    fn seed(&self) -> u64 {
        xxh3_64(format!("{self:?}").as_bytes())
    }

    /// The difference, in words.
    fn difference(&self, saved: &Subject) -> Option<String> {
        let differs = |what: &str, here: &dyn std::fmt::Debug, there: &dyn std::fmt::Debug| {
            Some(format!(
                "its {what} is {there:?}, that of this search is {here:?}"
            ))
        };
        if self.model != saved.model {
            differs("model", &self.model, &saved.model)
        } else if self.collapsed != saved.collapsed {
            differs("use of collapsed forms", &self.collapsed, &saved.collapsed)
        } else if self.symmetry != saved.symmetry {
            differs("symmetry", &self.symmetry, &saved.symmetry)
        } else if self.count_orbits != saved.count_orbits {
            differs(
                "counting of orbits",
                &self.count_orbits,
                &saved.count_orbits,
            )
        } else if self.coverage != saved.coverage {
            differs("coverage", &self.coverage, &saved.coverage)
        } else if self.checked != saved.checked {
            differs("list of properties", &self.checked, &saved.checked)
        } else if self.witnesses != saved.witnesses {
            differs("list of witnesses", &self.witnesses, &saved.witnesses)
        } else {
            None
        }
    }
}

/// The progress of a search, but for its files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The positions in `init_states` of the states number 0, 1, …
    pub initial: Vec<u64>,
    /// The number of initial states that were generated, duplicates included.
    pub initial_generated: u64,
    /// The depth that is being expanded.
    pub depth: u32,
    /// The number of the first state that waits.
    pub next: u64,
    pub levels: Vec<Level>,
    pub total: Tally,
    /// Each witness, if it was found.
    pub witnesses: Vec<Option<Found>>,
    pub time: TimeSplit,
}

/// The end of a shortest path to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    /// The number of a state that was expanded.
    pub state: u64,
    /// The number of the action that was taken in it; `None` if it is about the state itself.
    pub action: Option<u32>,
    /// The length of the path.
    pub depth: u32,
}

/// Valid lengths of the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extents {
    pub links: u64,
    pub fingerprints: u64,
    /// The bounds of the waiting blocks.
    pub current: (u64, u64),
    pub next: u64,
    pub meanings: u64,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    subject: Subject,
    position: Position,
    extents: Extents,
}

/// The result of [`Store::load`].
pub(super) struct Loaded {
    pub position: Position,
    pub links: Records,
    pub fingerprints: Records,
    pub current: (Records, u64),
    pub next: Records,
    pub meanings: Records,
}

/// The records of the file of meanings.
pub(super) mod meaning {
    /// The tag of records with the components of collapsed forms.
    pub const COLLAPSED: u32 = 0;
    /// The tag of records with the [answers](crate::Checkable::save_answers) that the model was given.
    pub const ANSWERS: u32 = 1;
}

/// The folder of a search's files.
pub(super) struct Store {
    subject: Subject,
    /// The folder of checkpoints, if they are kept.
    checkpoint: Option<PathBuf>,
    /// The place for a temporary folder otherwise.
    spill: Option<PathBuf>,
    temporary: Option<TemporaryFolder>,
    /// Files that the manifest on disk may still name.
    retired: Vec<PathBuf>,
}

impl Store {
    pub fn new(
        subject: Subject,
        checkpoint: Option<PathBuf>,
        spill: Option<PathBuf>,
    ) -> Result<Self, SearchError> {
        if let Some(folder) = &checkpoint {
            std::fs::create_dir_all(folder).map_err(at(folder))?;
        }
        Ok(Store {
            subject,
            checkpoint,
            spill,
            temporary: None,
            retired: Vec::new(),
        })
    }

    pub fn keeps_checkpoints(&self) -> bool {
        self.checkpoint.is_some()
    }

    fn folder(&mut self) -> Result<PathBuf, SearchError> {
        if let Some(folder) = &self.checkpoint {
            return Ok(folder.clone());
        }
        let temporary = match self.temporary.take() {
            Some(temporary) => temporary,
            None => {
                let inside = self.spill.clone().unwrap_or_else(std::env::temp_dir);
                TemporaryFolder::new(&inside, "lockstep-search-").map_err(at(&inside))?
            }
        };
        Ok(self.temporary.insert(temporary).path().to_owned())
    }

    /// A new, empty file.
    pub fn create(&mut self, name: &str) -> Result<Records, SearchError> {
        Records::create(self.folder()?.join(name), self.subject.seed())
    }

    /// The place where fingerprints are sealed.
    pub fn sealing(&mut self) -> Result<Sealing, SearchError> {
        Ok(Sealing {
            folder: self.folder()?,
            seed: self.subject.seed(),
        })
    }

    /// The file is not needed any more.
    pub fn retire(&mut self, file: &Records) {
        self.retired.push(file.path().to_owned());
        if !self.keeps_checkpoints() {
            self.clear_retired();
        }
    }

    fn clear_retired(&mut self) {
        for path in self.retired.drain(..) {
            // If it cannot be removed it only takes up room.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Forgets an earlier checkpoint, so that it is not resumed with files of this search.
    pub fn start_anew(&mut self) -> Result<(), SearchError> {
        let Some(folder) = &self.checkpoint else {
            return Ok(());
        };
        let manifest = folder.join(MANIFEST);
        match std::fs::remove_file(&manifest) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(SearchError::Io {
                path: manifest,
                source,
            }),
            _ => Ok(()),
        }
    }

    /// Makes what the files hold a checkpoint.
    pub fn save(&mut self, position: &Position, extents: Extents) -> Result<(), SearchError> {
        let Some(folder) = &self.checkpoint else {
            return Ok(());
        };
        let manifest = Manifest {
            subject: self.subject.clone(),
            position: position.clone(),
            extents,
        };
        let body = serde_json::to_string(&manifest).map_err(|error| SearchError::Checkpoint {
            path: folder.clone(),
            reason: error.to_string(),
        })?;
        let text = format!("{}\n{body}\n", first_line(&body));
        let written = folder.join("manifest.new");
        let mut file = std::fs::File::create(&written).map_err(at(&written))?;
        file.write_all(text.as_bytes()).map_err(at(&written))?;
        file.sync_all().map_err(at(&written))?;
        std::fs::rename(&written, folder.join(MANIFEST)).map_err(at(&written))?;
        self.clear_retired();
        Ok(())
    }

    /// The checkpoint in the folder, `None` if there is none yet.
    pub fn load(&mut self) -> Result<Option<Loaded>, SearchError> {
        let Some(folder) = self.checkpoint.clone() else {
            return Ok(None);
        };
        let path = folder.join(MANIFEST);
        let refuse = |reason: String| SearchError::Checkpoint {
            path: folder.clone(),
            reason,
        };
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SearchError::Io { path, source }),
        };
        let manifest = parse(&text).map_err(refuse)?;
        if let Some(difference) = self.subject.difference(&manifest.subject) {
            return Err(refuse(difference));
        }
        let Manifest {
            position, extents, ..
        } = manifest;
        let open = |name: &str, len: u64| {
            Records::reopen(folder.join(name), self.subject.seed(), len)
                .map_err(|error| refuse(error.to_string()))
        };
        Ok(Some(Loaded {
            links: open("links", extents.links)?,
            fingerprints: open("fingerprints", extents.fingerprints)?,
            current: (
                open(&frontier_name(position.depth), extents.current.1)?,
                extents.current.0,
            ),
            next: open(&frontier_name(position.depth + 1), extents.next)?,
            meanings: open("meanings", extents.meanings)?,
            position,
        }))
    }

    /// The model cannot go on from the checkpoint.
    pub fn not_resumed(&self, reason: String) -> SearchError {
        let path = self.checkpoint.clone().unwrap_or_default();
        SearchError::Checkpoint { path, reason }
    }

    /// A damaged file, as an error about the checkpoint.
    pub fn refused(&self, error: SearchError) -> SearchError {
        match (&self.checkpoint, error) {
            (Some(path), SearchError::Damaged { path: file, reason }) => SearchError::Checkpoint {
                path: path.clone(),
                reason: format!("{} is damaged: {reason}", file.display()),
            },
            (_, error) => error,
        }
    }
}

/// The name of the file of the states at `depth`.
pub(super) fn frontier_name(depth: u32) -> String {
    format!("frontier-{depth}")
}

/// Format, version and checksum.
fn first_line(body: &str) -> String {
    format!(
        "search-checkpoint {VERSION} {:016x}",
        xxh3_64(body.as_bytes())
    )
}

fn parse(text: &[u8]) -> Result<Manifest, String> {
    let text = std::str::from_utf8(text).map_err(|_| "its manifest is not text".to_owned())?;
    let (first, body) = text.split_once('\n').ok_or("its manifest is cut short")?;
    let mut words = first.split(' ');
    if words.next() != Some("search-checkpoint") {
        return Err("its manifest is not one of this program's".to_owned());
    }
    match words.next() {
        Some(version) if version == VERSION.to_string() => {}
        version => {
            let version = version.unwrap_or_default();
            return Err(format!(
                "its format is version {version}, this program reads {VERSION}"
            ));
        }
    }
    let body = body.strip_suffix('\n').ok_or("its manifest is cut short")?;
    if first != first_line(body) {
        return Err("its manifest is damaged: the checksum does not fit".to_owned());
    }
    serde_json::from_str(body).map_err(|error| format!("its manifest cannot be read: {error}"))
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> SearchError + use<> {
    let path = path.to_owned();
    move |source| SearchError::Io { path, source }
}
