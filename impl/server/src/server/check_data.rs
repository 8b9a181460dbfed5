//! A look at the files of a server that is not running: do they agree?

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::Path;

use lockstep_raft::EntryId;

use super::{agreement, files, snapshots};
use crate::log::{Identity, LogError, LogState};
use crate::store::{DumpReader, Store, StoreError};

/// The result of [`check_data`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The things that were looked at, one a line.
    pub seen: Vec<String>,
    /// The things that are wrong.
    pub problems: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.seen {
            writeln!(f, "{line}")?;
        }
        for problem in &self.problems {
            writeln!(f, "problem: {problem}")?;
        }
        match self.problems.len() {
            0 => write!(f, "log, snapshots and store agree"),
            1 => write!(f, "1 problem"),
            count => write!(f, "{count} problems"),
        }
    }
}

/// Checks the data folder of a server that is not running: log, snapshots and store, each by itself, and
/// whether they agree. Nothing is changed.
pub fn check_data(data_dir: &Path) -> Report {
    let mut report = Report::default();
    let log = report.log(&files::log(data_dir));
    let store = report.store(&files::store(data_dir));
    let complete = report.snapshots(&files::snapshots(data_dir));
    if let (Some(log), Some(store)) = (log, store)
        && let Err(error) = report.agreement(&log, &store, &complete)
    {
        report.problems.push(error.to_string());
    }
    report
}

impl Report {
    fn see(&mut self, line: impl fmt::Display) {
        self.seen.push(line.to_string());
    }

    fn problem(&mut self, problem: impl fmt::Display) {
        self.problems.push(problem.to_string());
    }

    fn log(&mut self, folder: &Path) -> Option<LogState> {
        let found = match lockstep_wal::inspect(folder) {
            Ok(Some(found)) => found,
            Ok(None) => {
                self.problem(format!("{} holds no log", folder.display()));
                return None;
            }
            Err(error) => {
                self.problem(LogError::from(error));
                return None;
            }
        };
        let identity = Identity::from(found.metadata);
        let snapshot = found.snapshot.unwrap_or_default();
        let log = LogState {
            identity: Some(identity),
            hard_state: found.hard_state,
            start: EntryId::new(snapshot.term, snapshot.index),
            conf_state: snapshot.conf_state,
            entries: found.entries,
        };
        self.see(format!(
            "log: {identity}; {} segments; {} entries behind entry {}, the last is {}; term {}, committed up to {}",
            found.segments,
            log.entries.len(),
            log.start.index,
            agreement::last(&log).index,
            log.hard_state.term,
            agreement::committed(&log),
        ));
        if let Some(torn) = found.torn {
            self.see(format!(
                "log: {} bytes from offset {} of {} on were never synced, and the next start cuts them off: {}",
                torn.bytes, torn.offset, torn.file, torn.reason
            ));
        }
        Some(log)
    }

    fn store(&mut self, file: &Path) -> Option<Store> {
        let examined = Store::examine(file).and_then(|store| {
            let snapshot = store.snapshot()?;
            let owner = match snapshot.identity()? {
                Some(identity) => identity.to_string(),
                None => "nobody yet".to_owned(),
            };
            let line = format!(
                "store: {owner}; applied up to entry {}; revision {}, compacted at {}; {} members, {}",
                snapshot.applied()?.index,
                snapshot.revision(),
                snapshot.compacted(),
                snapshot.members()?.len(),
                agreement::show(&snapshot.conf_state()?),
            );
            Ok((store, line))
        });
        match examined {
            Ok((store, line)) => {
                self.see(line);
                Some(store)
            }
            Err(error) => {
                self.problem(format!("{}: {error}", file.display()));
                None
            }
        }
    }

    /// The names of the complete and sound snapshots.
    fn snapshots(&mut self, folder: &Path) -> Vec<String> {
        let mut sound = Vec::new();
        let names = fs::read_dir(folder).and_then(|files| {
            let names = files.map(|file| Ok(file?.file_name().to_string_lossy().into_owned()));
            names.collect::<io::Result<Vec<String>>>()
        });
        let mut names = match names {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.problem(format!("{}: {error}", folder.display()));
                return sound;
            }
        };
        names.sort_unstable();
        let count = names.len();
        self.see(match count {
            0 => "snapshots: none waits to be restored".to_owned(),
            _ => format!("snapshots: {}", names.join(", ")),
        });
        for name in names.into_iter().filter(|name| name.ends_with(".dump")) {
            let read = File::open(folder.join(&name)).map_err(StoreError::from);
            let verified = read.and_then(|file| DumpReader::new(BufReader::new(file))?.verify());
            match verified {
                Ok(()) => sound.push(name),
                Err(error) => self.problem(format!("snapshot {name}: {error}")),
            }
        }
        sound
    }

    fn agreement(
        &mut self,
        log: &LogState,
        store: &Store,
        complete: &[String],
    ) -> Result<(), StoreError> {
        let snapshot = store.snapshot()?;
        let EntryId { index: applied, .. } = snapshot.applied()?;
        self.problems
            .extend(agreement::disagreements(log, &snapshot)?);
        if log.start.index > applied {
            let waits = snapshots::file(Path::new(""), log.start);
            let waits = waits.to_string_lossy().into_owned();
            self.see(format!(
                "the log begins behind entry {}, whose snapshot {waits} is to be restored",
                log.start.index
            ));
            if !complete.contains(&waits) {
                self.problem(format!(
                    "the log begins behind entry {}, the store has applied entry {applied}, and there is no snapshot between them",
                    log.start.index
                ));
            }
            return Ok(());
        }
        let (changes, contradiction) = agreement::configuration(log, &snapshot)?;
        self.see(format!(
            "configuration: that of the log at entry {}, and {changes} changes up to entry {applied}",
            log.start.index
        ));
        self.problems.extend(contradiction);
        Ok(())
    }
}
