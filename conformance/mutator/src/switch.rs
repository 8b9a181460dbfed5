//! The module that a mutated package is given: which mutant is active, and which were met.

/// Name of the environment variable with the number of the active mutant.
pub const ACTIVE: &str = "LOCKSTEP_MUTANT";
/// Name of the environment variable with the file to which the numbers that are met are written.
pub const MET: &str = "LOCKSTEP_MUTANTS_MET";

/// The module for numbers up to `last`, as text.
pub fn module(last: usize) -> String {
    const TEXT: &str = r#"//! Which mutant is active.
#![allow(missing_docs)]

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
    std::env::var("@ACTIVE@").ok().and_then(|it| it.parse().ok()).unwrap_or(0)
}

fn open() -> Option<Met> {
    let path = std::env::var_os("@MET@")?;
    let file = OpenOptions::new().create(true).append(true).open(path).expect("the file of what is met");
    Some(Met { seen: (0..=@LAST@).map(|_| AtomicBool::new(false)).collect(), file })
}

#[inline]
pub(crate) fn active(number: u32) -> bool {
    let active = *ACTIVE.get_or_init(read);
    if active != 0 {
        return active == number;
    }
    if let Some(met) = MET.get_or_init(open) {
        if !met.seen[number as usize].swap(true, Ordering::Relaxed) {
            (&met.file).write_all(format!("{number}\n").as_bytes()).expect("the file of what is met");
        }
    }
    false
}
"#;
    TEXT.replace("@ACTIVE@", ACTIVE)
        .replace("@MET@", MET)
        .replace("@LAST@", &last.to_string())
}
