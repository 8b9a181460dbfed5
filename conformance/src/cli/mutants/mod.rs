//! `lockstep mutants`: real mistakes, seeded one at a time, and the rung that catches each.

mod jobs;
mod trial;

use super::error::CliError;
use super::files;
use super::outputs::Place;
use super::plant;
use super::progress::{Reporter, Tick};
use super::side_file::SideFile;
use crate::report::Job;
use crate::seeded::catalogue::catalogue;
use crate::seeded::report::markdown;
use crate::seeded::{CONTROL, Expected, Known, Rung, Side, try_control};
use crate::stop;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use lockstep_traces::{Trace, trace_files};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use trial::try_all;

/// Options of `lockstep mutants`.
#[derive(Clone, Debug, Args)]
pub struct MutantsArgs {
    /// The rungs to climb, in this order; all of them if none is named
    #[arg(long, value_name = "RUNG", value_parser = rungs())]
    rung: Vec<Rung>,
    /// Only these seeded bugs, such as EL-01; may be given more than once
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// The traces of the rung `corpus`
    #[arg(long, value_name = "DIR", default_value = "traces/corpus")]
    corpus: PathBuf,
    /// Write the table for people to this file
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write the trace that shows each bug into this folder
    #[arg(long, value_name = "DIR")]
    traces: Option<PathBuf>,
    /// Fail only for a bug that the list of this file says these rungs catch, and that they do not;
    /// the list is the JSON that `--write-expected` wrote
    #[arg(long, value_name = "FILE")]
    expected: Option<PathBuf>,
    /// Write which rung caught which bug, for `--expected`
    #[arg(long, value_name = "FILE", conflicts_with = "expected")]
    write_expected: Option<PathBuf>,
    /// Make every run of the rungs for each bug, and show how many see it; then seed each bug into both sides
    /// where both have it, which only properties can see
    #[arg(long)]
    all: bool,
    /// With `--try`: climb no rung, only search for the property that the bug names
    #[arg(long, hide = true)]
    search_only: bool,
    /// With `--try`: only these presets
    #[arg(long, hide = true)]
    within: Vec<String>,
    /// Try the bug that is switched on in this process, and print the finding as JSON
    #[arg(long = "try", value_name = "BUG", hide = true)]
    this: Option<String>,
}

fn rungs() -> impl TypedValueParser<Value = Rung> {
    let names = PossibleValuesParser::new(Rung::ALL.map(Rung::name));
    names.try_map(|name| Rung::named(&name).ok_or("there is no such rung"))
}

/// The longest time that all rungs may take for one bug.
const LIMIT: Duration = Duration::from_secs(3600);

impl MutantsArgs {
    /// Whether this process only tries one bug, for another process.
    pub fn is_one_of_many(&self) -> bool {
        self.this.is_some()
    }

    /// Returns the files that are read and those that are written.
    pub fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        let mut add = |place: fn(&'static str, PathBuf) -> Place, by, path: &Option<PathBuf>| {
            places.extend(path.iter().map(|path| place(by, path.clone())));
        };
        add(Place::read, "--corpus", &Some(self.corpus.clone()));
        add(Place::read, "--expected", &self.expected);
        add(Place::file, "--markdown", &self.markdown);
        add(Place::file, "--write-expected", &self.write_expected);
        add(Place::folder, "--traces", &self.traces);
        places
    }

    fn asks_for(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|it| it == id)
    }

    fn rungs(&self) -> Vec<Rung> {
        match self.rung.as_slice() {
            _ if self.search_only => Vec::new(),
            [] => Rung::ALL.to_vec(),
            rungs => rungs.to_vec(),
        }
    }
}

/// Tries every bug that was asked for.
///
/// # Errors
/// No bug has such a name, the build with the bugs cannot be made, or the corpus is missing or damaged.
pub fn run(args: &MutantsArgs, progress: &Reporter) -> Result<Vec<Job>, CliError> {
    if let Some(bug) = &args.this {
        trial::try_this(args, bug)?;
        return Ok(Vec::new());
    }
    if !args.only.is_empty() {
        let mut known = plant::names()?;
        known.insert(CONTROL.to_owned());
        unknown(&args.only, &known)?;
    }
    let rungs = args.rungs();
    let expected = args.expected.as_deref().map(read_expected).transpose()?;
    if rungs.contains(&Rung::Corpus) {
        read_corpus(&args.corpus)?;
    }
    if let Some(folder) = &args.traces {
        make_folder(folder)?;
    }
    let side = |path: &Option<PathBuf>| {
        let path = path.as_ref();
        path.map(|path| SideFile::named(path, progress))
    };
    let (page, list) = (side(&args.markdown), side(&args.write_expected));
    let entries = catalogue();
    progress.begin("mutants");
    let build = plant::build(&mut || {
        progress.tick(&Tick {
            unit: "bugs",
            note: "building the copy with the seeded bugs".to_owned(),
            ..Tick::default()
        })
    })?;
    let tried = try_all(args, &build, &build.bugs, progress);
    let search = MutantsArgs {
        search_only: true,
        all: false,
        ..args.clone()
    };
    let without = try_all(&search, &build, &build.rules, progress);
    let cut = stop::requested();
    let (mut findings, rules) = (tried.findings, without.findings);
    let mut failed = [tried.failed, without.failed].concat();
    if args.asks_for(CONTROL) && !cut {
        match try_control() {
            Ok(control) => findings.push(control),
            Err(error) => failed.push((CONTROL.to_owned(), error.to_string())),
        }
    }
    let both = (args.all && !cut).then(|| trial::try_both(args, &build, progress));
    let both = both.map(|it| {
        failed.extend(it.failed);
        it.findings
    });
    let cut = stop::requested() || !failed.is_empty();
    if findings.is_empty() && rules.is_empty() && !cut {
        let text = format!("nothing was tried: no rung sees {}", args.only.join(" or "));
        return Err(CliError::Usage(text));
    }
    if cut {
        // What is written of a part would pass for the whole.
        for file in page.iter().chain(&list) {
            let text = "not written: not all bugs were tried";
            progress.unwritten(file.path(), format!("{}: {text}", file.path().display()));
        }
    }
    // A failure is in the report.
    if let Some(file) = page.filter(|_| !cut) {
        let _ = file.write(markdown(&entries, &findings).as_bytes(), progress);
    }
    if let Some(file) = list.filter(|_| !cut) {
        let caught = findings.iter().filter_map(|it| {
            let known = Known {
                by: it.caught.as_ref()?.rung,
                names_its_rule: it.names_its_rule(),
            };
            Some((it.key(), known))
        });
        let list: Expected = caught.collect();
        let mut text = serde_json::to_string_pretty(&list).unwrap_or_default();
        text.push('\n');
        let _ = file.write(text.as_bytes(), progress);
    }
    let mut all = vec![jobs::account(&entries, &build)];
    all.extend(
        [Side::Implementation, Side::Specification]
            .into_iter()
            .filter_map(|side| jobs::job(side, &findings, &rungs, &entries, expected.as_ref())),
    );
    all.extend(jobs::searched("each by its property", &findings));
    all.extend(jobs::searched(
        "without each rule of the specification",
        &rules,
    ));
    if let Some(both) = both {
        all.push(jobs::independent(&findings));
        all.push(jobs::both(&both, &findings));
    }
    all.extend(jobs::not_tried(&failed));
    if stop::requested() {
        let name = "the other bugs";
        all.push(Job::not_reached("mutants", name, "interrupted"));
    }
    Ok(all)
}

/// Refuses names that no seeded bug or rule has. They must not be left out in silence beside others.
fn unknown(asked: &[String], known: &BTreeSet<String>) -> Result<(), CliError> {
    let unknown = asked.iter().filter(|id| !known.contains(*id));
    let unknown: Vec<_> = unknown.map(String::as_str).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let text = format!("no seeded bug or rule is called {}", unknown.join(" or "));
    Err(CliError::Usage(text))
}

fn read_corpus(folder: &Path) -> Result<Vec<(String, Trace)>, CliError> {
    let mut traces = Vec::new();
    for path in trace_files(folder)?.traces {
        traces.push((path.display().to_string(), Trace::read(&path)?));
    }
    Ok(traces)
}

fn read_expected(path: &Path) -> Result<Expected, CliError> {
    let place =
        |error: &dyn std::fmt::Display| CliError::Input(format!("{}: {error}", path.display()));
    let text = files::read(path).map_err(|error| place(&error))?;
    let list: Expected = serde_json::from_slice(&text).map_err(|error| place(&error))?;
    if list.is_empty() {
        return Err(place(&"the list is empty"));
    }
    Ok(list)
}

fn make_folder(folder: &Path) -> Result<(), CliError> {
    std::fs::create_dir_all(folder).map_err(|source| CliError::Output {
        path: folder.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_nobodys_is_not_left_out_in_silence() {
        let known = BTreeSet::from(["EL-01", "EL-02"].map(str::to_owned));
        let asked = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|it| (*it).to_owned()).collect();
            unknown(&names, &known).map_err(|error| error.to_string())
        };
        assert_eq!(asked(&[]), Ok(()));
        assert_eq!(asked(&["EL-02"]), Ok(()));
        let error = asked(&["EL-01", "EL-99"]).expect_err("one is unknown");
        assert_eq!(error, "no seeded bug or rule is called EL-99");
    }
}
