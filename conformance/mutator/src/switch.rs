//! The module that a mutated package is given: which mutant is active, and which were met.

/// Name of the environment variable with the number of the active mutant.
pub const ACTIVE: &str = "LOCKSTEP_MUTANT";
/// Name of the environment variable with the file to which the numbers that are met are written.
pub const MET: &str = "LOCKSTEP_MUTANTS_MET";

/// The name of the module's file.
pub const FILE: &str = "lockstep_mutant.rs";

/// The module for numbers from `first` to `last`, as text. The variable may name one number for each of
/// several packages, with commas between them; a package takes the one that is its own.
pub fn module(first: usize, last: usize) -> String {
    const TEXT: &str = r#"//! Which mutant is active.
#![allow(missing_docs, dead_code)]

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

struct Met {
    seen: Vec<AtomicBool>,
    file: File,
}

static ACTIVE: OnceLock<u32> = OnceLock::new();
static MET: OnceLock<Option<Met>> = OnceLock::new();

fn read() -> u32 {
    let text = std::env::var("@ACTIVE@").unwrap_or_default();
    let numbers = text.split(',').filter_map(|it| it.parse().ok());
    numbers.filter(|it| (@FIRST@..=@LAST@).contains(it)).next().unwrap_or(0)
}

fn open() -> Option<Met> {
    let path = std::env::var_os("@MET@")?;
    let file = OpenOptions::new().create(true).append(true).open(path).expect("the file of what is met");
    Some(Met { seen: (0..=@LAST@).map(|_| AtomicBool::new(false)).collect(), file })
}

/// The active number; zero if there is none.
#[inline]
pub(crate) fn number() -> u32 {
    *ACTIVE.get_or_init(read)
}

#[inline]
pub(crate) fn active(which: u32) -> bool {
    let active = number();
    if active != 0 {
        return active == which;
    }
    if let Some(met) = MET.get_or_init(open) {
        if !met.seen[which as usize].swap(true, Ordering::Relaxed) {
            (&met.file).write_all(format!("{which}\n").as_bytes()).expect("the file of what is met");
        }
    }
    false
}
"#;
    TEXT.replace("@ACTIVE@", ACTIVE)
        .replace("@MET@", MET)
        .replace("@FIRST@", &first.to_string())
        .replace("@LAST@", &last.to_string())
}
