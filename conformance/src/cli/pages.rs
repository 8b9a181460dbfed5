//! `--report DIR`: a page for the result, and one for every trace that it shows.

use super::error::CliError;
use super::streams::write_file;
use crate::report::{Job, Report, json, page};
use crate::show;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes the page of a report, its JSON, and the pages of the traces of its jobs; returns the page.
///
/// # Errors
/// The folder cannot be written.
pub fn write_report(folder: &Path, report: &Report) -> Result<PathBuf, CliError> {
    make(folder)?;
    write_file(&folder.join("report.json"), json::render(report).as_bytes())?;
    // A counterexample of this run, not of the one before.
    let mut written = BTreeSet::new();
    for job in &report.jobs {
        for (name, html) in story_pages(job) {
            // The first is the shortest, or as good as any.
            if written.insert(name.clone()) {
                write_file(&folder.join(name), html.as_bytes())?;
            }
        }
    }
    // A report is plain data with string keys.
    let report = serde_json::to_value(report).unwrap_or_default();
    write_page(folder, &[report], &written)
}

/// Writes the page of reports that were read, with links to the pages of traces that are in the folder.
///
/// # Errors
/// The folder cannot be written.
pub fn write_reports(folder: &Path, reports: &[Value]) -> Result<PathBuf, CliError> {
    make(folder)?;
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    write_page(folder, reports, &names.collect())
}

fn write_page(
    folder: &Path,
    reports: &[Value],
    pages: &BTreeSet<String>,
) -> Result<PathBuf, CliError> {
    let path = folder.join("index.html");
    write_file(&path, page::render(reports, pages).as_bytes())?;
    Ok(path)
}

/// Makes a folder, unless it is there, and sees whether a file can be made in it.
///
/// # Errors
/// It cannot.
pub fn make(folder: &Path) -> Result<(), CliError> {
    let made = fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
    made.map(drop).map_err(|source| CliError::Output {
        path: folder.to_owned(),
        source,
    })
}

/// The pages of the traces of a job, by the names of their files.
fn story_pages(job: &Job) -> Vec<(String, String)> {
    let mut pages = Vec::new();
    if let Some(story) = &job.story {
        let notes = [
            vec![format!("{} {}: {}", job.kind, job.name, job.verdict)],
            job.notes.clone(),
        ];
        let html = show::page(story, &notes.concat());
        pages.push((page::page_name(&job.kind, &job.name), html));
    }
    for story in &job.witnesses {
        let html = show::page(story, &[]);
        pages.push((page::page_name("witness", &story.name), html));
    }
    pages
}
