//! The store of counterexamples: how every verb keeps the way to what it found, and says where it is and how it is taken
//! again.

use super::progress::Reporter;
use super::side_file::SideFile;
use crate::opaque::OpaqueTrace;
use crate::report::Job;
use lockstep_traces::Trace;
use std::path::Path;

/// A way to what was found, in the format that it is kept in.
pub trait Way {
    /// The number of its steps.
    fn steps(&self) -> usize;

    /// Writes it; the reason if it cannot be written.
    fn write(&self, file: &SideFile, reporter: &Reporter) -> Result<(), String>;
}

impl Way for Trace {
    fn steps(&self) -> usize {
        self.steps.len()
    }

    fn write(&self, file: &SideFile, reporter: &Reporter) -> Result<(), String> {
        file.save(self, reporter)
    }
}

impl Way for OpaqueTrace {
    fn steps(&self) -> usize {
        self.steps.len()
    }

    fn write(&self, file: &SideFile, reporter: &Reporter) -> Result<(), String> {
        file.write(self.to_lines().as_bytes(), reporter)
    }
}

/// Keeps a way in a file and shows the file in the job, with the commands that take the way again, each after what it is
/// for. If it cannot be kept, the job says why; the verdict stands.
pub fn keep<'c>(
    job: &mut Job,
    way: &impl Way,
    file: &SideFile,
    reporter: &Reporter,
    again: impl FnOnce(&Path) -> Vec<(&'c str, String)>,
) {
    let replaces = file.replaces();
    match way.write(file, reporter) {
        Ok(()) => {
            job.notes.extend(replaces);
            job.shown_by(file.path(), way.steps());
            for (what, command) in again(file.path()) {
                job.command(what, command);
            }
        }
        Err(error) => {
            let text = format!("the way there is not saved: {error}");
            job.notes.push(text);
        }
    }
}
