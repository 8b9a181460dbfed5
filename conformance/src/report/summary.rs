//! A result of many jobs on one screen: a line for each job, and a table by kind.

use super::human::{Style, grouped, plain};
use super::{Job, Report, Status};
use serde_json::Value;
use std::fmt::Write;

/// Columns where there is no terminal.
const NARROW: usize = 80;

/// Columns that a verdict has at least.
const LEAST_VERDICT: usize = 12;

/// The number of jobs whose lines fit on one screen, with the table below them.
pub const ON_A_SCREEN: usize = 20;

/// The line of each job, unless they have been shown, and an empty one. Where there are more of them than a
/// screen has lines, those of jobs that hold are left out.
pub fn lines(report: &Report, style: Style) -> String {
    if style.lines_shown {
        return String::new();
    }
    let many = report.jobs.len() > ON_A_SCREEN;
    let jobs = report.jobs.iter().enumerate();
    let shown = jobs.filter(|(_, job)| !many || job.status != Status::Holds);
    let lines = shown.map(|(place, job)| line(place + 1, report.jobs.len(), job, style) + "\n");
    let lines: String = lines.collect();
    if lines.is_empty() {
        lines
    } else {
        lines + "\n"
    }
}

/// Summarises a job in a line: its place, its verdict with its size, and its time.
pub fn line(place: usize, of: usize, job: &Job, style: Style) -> String {
    let digits = of.to_string().len();
    let head = format!("[{place:>digits$}/{of}] {}: ", named(job));
    let time = format!(" ({:.1} s)", job.seconds);
    let width = style.width.map_or(NARROW, usize::from);
    let wide = |head: &str| head.chars().count() + time.chars().count() + LEAST_VERDICT;
    // The place can be counted.
    let head = match wide(&head) > width && style.width.is_some() {
        true => {
            let most = width.saturating_sub(time.chars().count() + LEAST_VERDICT + 2);
            format!("{}: ", shortened(&named(job), most))
        }
        false => head,
    };
    let used = head.chars().count() + time.chars().count();
    let room = width.saturating_sub(used).max(LEAST_VERDICT);
    // The verdict matters more than the size.
    let size = size(job).map(|it| format!(", {it}")).unwrap_or_default();
    let both = job.verdict.chars().count() + size.chars().count();
    let size = if both <= room { size } else { String::new() };
    let verdict = style.paint(job.status, &shortened(&job.verdict, room));
    format!("{head}{verdict}{size}{time}")
}

/// The kind and the short name of a job.
fn named(job: &Job) -> String {
    match job.kind.as_str() {
        // It is about all presets together.
        "coverage" => "coverage".to_owned(),
        kind => {
            // The last line names the target.
            let (name, _) = job.name.split_once(" on ").unwrap_or((&job.name, ""));
            let name = name.strip_prefix("on ").unwrap_or(name);
            format!("{kind} {name}").trim_end().to_owned()
        }
    }
}

/// Returns the amount of work in a job, and its unit: the first of these that the job reports.
fn amount(job: &Job) -> Option<(&Value, &'static str)> {
    const SIZES: [(&str, &str); 8] = [
        ("distinct states", "states"),
        ("transitions covered", "transitions"),
        ("inputs driven and compared", "inputs"),
        ("steps compared", "steps"),
        ("steps of servers", "steps"),
        ("inputs compared", "inputs"),
        ("traces", "traces"),
        ("witnesses reached", "witnesses"),
    ];
    SIZES.iter().find_map(|(name, unit)| {
        let fact = job.facts.iter().find(|it| it.name == *name)?;
        Some((&fact.value, *unit))
    })
}

fn size(job: &Job) -> Option<String> {
    let (value, unit) = amount(job)?;
    let value = value.as_u64().map_or_else(|| plain(value), short);
    Some(format!("{value} {unit}"))
}

/// A number in few characters.
pub fn short(number: u64) -> String {
    match number {
        0..1_000_000 => grouped(number),
        1_000_000..1_000_000_000 => format!("{:.2} M", number as f64 / 1e6),
        _ => format!("{:.2} G", number as f64 / 1e9),
    }
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// The closing table: for each kind of job how many hold, what they established, and how much was done.
pub fn table(report: &Report, style: Style) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for job in &report.jobs {
        if !kinds.contains(&job.kind.as_str()) {
            kinds.push(&job.kind);
        }
    }
    // All columns take 80; the size and a part of the verdict can be missed.
    let width = style.width.map_or(NARROW, usize::from);
    let sizes = width >= 64;
    let around = if sizes { 52 } else { 31 };
    let verdict_width = width.saturating_sub(around).clamp(8, 28);
    let mut out = String::new();
    for kind in kinds {
        let jobs: Vec<&Job> = report.jobs.iter().filter(|job| job.kind == kind).collect();
        let hold = jobs
            .iter()
            .filter(|job| job.status == Status::Holds)
            .count();
        let worst = jobs.iter().map(|job| job.status).max();
        let status = worst.unwrap_or(Status::Stopped);
        let verdict = common_verdict(&jobs, status);
        let verdict = shortened(&verdict, verdict_width);
        let verdict = format!("{verdict:<verdict_width$}");
        let seconds: f64 = jobs.iter().map(|job| job.seconds).sum();
        let count = format!("{hold} of {}", jobs.len());
        let size = match sizes {
            true => format!("{:<20} ", total(&jobs).unwrap_or_default()),
            false => String::new(),
        };
        let verdict = style.paint(status, &verdict);
        let text = format!("  {kind:<9} {count:>8}  {verdict}  {size}{seconds:>5.1} s");
        writeln!(out, "{}", text.trim_end()).expect("writing to a string does not fail");
    }
    out
}

/// The verdict that the jobs share; else that of the first one that is as bad as the worst.
fn common_verdict(jobs: &[&Job], worst: Status) -> String {
    let verdicts = jobs.iter().filter(|job| job.status == worst);
    let mut verdicts = verdicts.map(|job| job.verdict.as_str());
    let first = verdicts.next().unwrap_or_default();
    let more = verdicts.filter(|it| *it != first).count();
    match more {
        0 => first.to_owned(),
        more => format!("{first} and {more} other"),
    }
}

/// The sum of their sizes, if they are of one unit.
fn total(jobs: &[&Job]) -> Option<String> {
    if let [one] = jobs {
        return size(one);
    }
    let mut sum = 0;
    let mut units = Vec::new();
    for job in jobs {
        let (value, unit) = amount(job)?;
        sum += value.as_u64()?;
        units.push(unit);
    }
    units.dedup();
    match units.as_slice() {
        [unit] => Some(format!("{} {unit}", short(sum))),
        _ => None,
    }
}

/// The implementation that the jobs are about.
pub fn target(report: &Report) -> Option<String> {
    let facts = report.jobs.iter().flat_map(|job| &job.facts);
    let mut targets = facts.filter(|it| it.name == "target");
    targets.next().map(|it| plain(&it.value))
}
