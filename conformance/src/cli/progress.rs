//! Progress on standard error: a line that rewrites itself on a terminal, a plain line every few seconds
//! elsewhere, so that the log of a CI server shows that work goes on.

use super::error::CliError;
use super::files;
use super::history;
use super::streams::say;
use super::terminal;
use crate::report::human::{Style, grouped};
use crate::report::summary;
use crate::report::visible;
use crate::report::{Job, Status};
use crate::stop;
use crate::targets::exec;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lockstep_engine::temporary;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The interval at which work should call [`Reporter::tick`].
pub const INTERVAL: Duration = Duration::from_millis(200);
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// The lines of jobs above the progress of the one at work, where not all of them fit on one screen.
const LATEST: usize = 12;

/// The columns that the spinner takes.
const SPINNER: usize = 2;

/// The progress of work under way. Fields that do not apply are `None`.
#[derive(Clone, Debug, Default)]
pub struct Tick {
    /// Things done so far.
    pub done: u64,
    /// Their name, in the plural.
    pub unit: &'static str,
    /// Things known to be left; more may turn up.
    pub queue: Option<u64>,
    /// Memory in use, in bytes.
    pub memory_bytes: Option<u64>,
    /// Anything else that helps, such as a depth.
    pub note: String,
}

/// The state of a command: its progress, the jobs that are done, and its request to stop.
pub struct Reporter {
    bar: Option<ProgressBar>,
    plain: Option<Mutex<Instant>>,
    job: Mutex<Current>,
    done: Mutex<Vec<Job>>,
    /// The lines of the latest jobs that hold, where they go when others come.
    latest: Mutex<VecDeque<String>>,
    /// The number of jobs to come, if each gets a line as it ends; else zero.
    planned: AtomicUsize,
    /// Each with its path.
    unwritten: Mutex<Vec<(PathBuf, String)>>,
    /// The jobs that an error ended partway.
    part: Mutex<Vec<Job>>,
}

/// The job at work.
struct Current {
    name: String,
    since: Instant,
    /// The size of the work the last time, if known.
    size: Option<u64>,
    /// The progress that was last reported.
    at: String,
}

impl Reporter {
    /// A reporter for the standard error of this process.
    pub fn new(quiet: bool) -> Reporter {
        let terminal = terminal::rewrites(&std::io::stderr());
        Reporter {
            bar: (terminal && !quiet).then(spinner),
            plain: (!terminal && !quiet).then(|| Mutex::new(Instant::now())),
            job: Mutex::new(Current {
                name: String::new(),
                since: Instant::now(),
                size: None,
                at: String::new(),
            }),
            done: Mutex::default(),
            latest: Mutex::default(),
            planned: AtomicUsize::new(0),
            unwritten: Mutex::default(),
            part: Mutex::default(),
        }
    }

    /// Does one of several pieces of work and keeps its result. After a request to stop it is not begun,
    /// which its result says. An error that comes after other results does not throw them away: it becomes
    /// a result itself, of work that was stopped.
    ///
    /// # Errors
    /// That of the work, if nothing is done yet.
    pub fn job(
        &self,
        kind: &str,
        name: &str,
        work: impl FnOnce() -> Result<Job, CliError>,
    ) -> Result<(), CliError> {
        let job = if stop::requested() {
            Job::not_reached(kind, name, "interrupted before it began")
        } else {
            match work() {
                Ok(job) => job,
                Err(error) if lock(&self.done).is_empty() => return Err(error),
                Err(error) => Job::not_reached(kind, name, &error.to_string()),
            }
        };
        self.keep(job);
        Ok(())
    }

    /// Keeps a result, and says its line if jobs get one.
    pub fn keep(&self, job: Job) {
        let place = lock(&self.done).len() + 1;
        let planned = self.planned.load(Ordering::Relaxed);
        let quiet = self.bar.is_none() && self.plain.is_none();
        if planned > 0 && !quiet {
            let stream = std::io::stderr();
            let style = Style {
                colour: terminal::colours(&stream),
                width: terminal::width(&stream),
                ..Style::default()
            };
            let line = summary::line(place, planned.max(place), &job, style);
            match &self.bar {
                Some(bar) if planned > summary::ON_A_SCREEN && job.status == Status::Holds => {
                    self.show_latest(bar, line);
                }
                _ => self.warn(line),
            }
        }
        lock(&self.done).push(job);
    }

    /// Shows the line of a job until a dozen others have ended.
    fn show_latest(&self, bar: &ProgressBar, line: String) {
        let mut latest = lock(&self.latest);
        if latest.is_empty() {
            bar.set_style(style("{prefix}\n{spinner} {wide_msg}"));
        }
        latest.push_back(line);
        if latest.len() > LATEST {
            latest.pop_front();
        }
        let lines: Vec<_> = latest.iter().map(String::as_str).collect();
        bar.set_prefix(lines.join("\n"));
    }

    /// Announces the number of jobs: from here on each gets a line as it ends.
    pub fn plan(&self, jobs: usize) {
        self.planned.store(jobs, Ordering::Relaxed);
    }

    /// Whether a person has seen the line of each job on a terminal, if only for a while.
    pub fn lines_shown(&self) -> bool {
        self.bar.is_some() && self.planned.load(Ordering::Relaxed) > 0
    }

    /// The jobs that are done so far.
    pub fn done(&self) -> Vec<Job> {
        lock(&self.done).clone()
    }

    /// The job at work, as one that has no answer.
    pub fn unfinished(&self, why: &str) -> Job {
        let current = lock(&self.job);
        let (kind, name) = current.name.split_once(' ').unwrap_or((&current.name, ""));
        let mut job = Job::not_reached(kind, name, why);
        job.seconds = current.since.elapsed().as_secs_f64();
        if !current.at.is_empty() {
            job.fact("reached", current.at.as_str());
        }
        job
    }

    /// Says on standard error what must be known before the work is done.
    pub fn warn(&self, text: impl std::fmt::Display) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    /// A file that was asked for is not there, for this reason.
    pub fn unwritten(&self, path: &Path, error: String) {
        self.warn(&error);
        self.not_there(path, error);
    }

    /// A file that was asked for cannot be written, which is known before the work is done.
    pub fn unwritable(&self, path: &Path, error: String) {
        self.warn(format!("{error}; the work is done all the same"));
        self.not_there(path, error);
    }

    fn not_there(&self, path: &Path, error: String) {
        let mut unwritten = lock(&self.unwritten);
        unwritten.retain(|(other, _)| other != path);
        unwritten.push((path.to_owned(), error));
    }

    /// A file that was asked for is there after all.
    pub fn written(&self, path: &Path) {
        lock(&self.unwritten).retain(|(other, _)| other != path);
    }

    /// The files that were asked for and are not there, each with the reason.
    pub fn all_unwritten(&self) -> Vec<String> {
        let unwritten = lock(&self.unwritten);
        unwritten.iter().map(|(_, error)| error.clone()).collect()
    }

    /// Keeps what was done before the error that ends the command.
    pub fn keep_part(&self, job: Job) {
        lock(&self.part).push(job);
    }

    /// Returns the work that was done before the error that ends the command.
    pub fn part(&self) -> Vec<Job> {
        lock(&self.part).clone()
    }

    /// Ends the programs that still run.
    pub fn end_programs(&self) {
        exec::end_all();
    }

    /// Ends the programs that still run and removes temporary files that nobody else is going to remove.
    pub fn clean_up(&self) {
        self.end_programs();
        temporary::remove_all();
        files::remove_partial();
    }

    /// Begins a job; the name stands before everything that it reports.
    pub fn begin(&self, name: impl Into<String>) {
        self.begin_known(name, None);
    }

    /// Begins a job of which may be known how much there is to do: it was done to its end before, under this
    /// name of the work.
    pub fn begin_known(&self, name: impl Into<String>, work: Option<&str>) {
        let name = visible::line(&name.into()).into_owned();
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{name} …"));
        }
        *lock(&self.job) = Current {
            name,
            since: Instant::now(),
            size: work.and_then(history::known),
            at: String::new(),
        };
    }

    /// Shows how far the work is; [`ControlFlow::Break`] if it should stop.
    pub fn tick(&self, tick: &Tick) -> ControlFlow<()> {
        let line = {
            let mut job = lock(&self.job);
            let line = describe(&job.name, job.since.elapsed(), tick, job.size, Form::Whole);
            let at = line.strip_prefix(&job.name).unwrap_or(&line);
            job.at = at.trim_start_matches([':', ' ']).to_owned();
            match terminal::width(&std::io::stderr()) {
                Some(width) if self.bar.is_some() => {
                    let width = usize::from(width).saturating_sub(SPINNER);
                    fitting(&job, tick, width)
                }
                _ => line,
            }
        };
        if let Some(last) = &self.plain {
            let mut last = lock(last);
            if last.elapsed() >= PLAIN_INTERVAL {
                *last = Instant::now();
                say(&line);
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_message(line);
        }
        if stop::requested() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Leaves the terminal clean for the result.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A panic while the lock was held leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(style("{spinner} {wide_msg}"));
    bar.enable_steady_tick(INTERVAL);
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant and right")
}

/// The length of a line of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Everything, with whole numbers.
    Whole,
    /// The same in short numbers, without the target, which the closing line names.
    Short,
    /// Without the unit and the time too.
    Shorter,
}

/// The line of progress with as much in it as this many columns take.
fn fitting(job: &Current, tick: &Tick, width: usize) -> String {
    let columns = |line: &str| line.chars().count();
    let elapsed = job.since.elapsed();
    let line = |form| describe(&job.name, elapsed, tick, job.size, form);
    let mut fits = [Form::Whole, Form::Short]
        .into_iter()
        .map(line)
        .filter(|it| columns(it) <= width);
    fits.next().unwrap_or_else(|| {
        let least = line(Form::Shorter);
        // The numbers matter more than the name.
        let excess = columns(&least).saturating_sub(width);
        let name = without_target(&job.name);
        match columns(name).checked_sub(excess) {
            Some(left) if excess > 0 && left > 1 => {
                let name = format!("{}…", name.chars().take(left - 1).collect::<String>());
                describe(&name, elapsed, tick, job.size, Form::Shorter)
            }
            _ => least,
        }
    })
}

/// The name of a job without the implementation that it is about.
fn without_target(name: &str) -> &str {
    name.split(" on ").next().unwrap_or(name)
}

/// A number in at most six characters.
fn brief(number: u64) -> String {
    match number {
        0..10_000 => grouped(number),
        10_000..1_000_000 => format!("{} K", number / 1_000),
        _ => summary::short(number),
    }
}

fn describe(job: &str, elapsed: Duration, tick: &Tick, size: Option<u64>, form: Form) -> String {
    let (job, number): (_, fn(u64) -> String) = match form {
        Form::Whole => (job, grouped),
        Form::Short | Form::Shorter => (without_target(job), brief),
    };
    let seconds = elapsed.as_secs_f64();
    let rate = if seconds > 0.0 {
        tick.done as f64 / seconds
    } else {
        0.0
    };
    // It may grow beyond what it was.
    let share = size.filter(|size| *size > 0);
    let share = share.map(|size| format!(" {} %", (tick.done * 100 / size).min(99)));
    let share = share.unwrap_or_default();
    let unit = match form {
        Form::Shorter => String::new(),
        Form::Whole | Form::Short => format!(" {}", tick.unit),
    };
    let mut line = format!(
        "{job}{share}: {}{unit}, {}/s",
        number(tick.done),
        number(rate as u64)
    );
    if let Some(queue) = tick.queue {
        line.push_str(&format!(", queue {}", number(queue)));
    }
    if let Some(bytes) = tick.memory_bytes {
        line.push_str(&format!(", {} MiB", grouped(bytes >> 20)));
    }
    if !tick.note.is_empty() {
        line.push_str(", ");
        line.push_str(&tick.note);
    }
    if form != Form::Shorter {
        line.push_str(&format!(", {seconds:.0} s"));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_rate_queue_memory_and_time() {
        let tick = Tick {
            done: 1_234_567,
            unit: "states",
            queue: Some(4_321),
            memory_bytes: Some(300 << 20),
            note: "depth 17".to_owned(),
        };
        let describe = |size| {
            let elapsed = Duration::from_secs(10);
            describe("check smoke", elapsed, &tick, size, Form::Whole)
        };
        let line = describe(None);
        let expected =
            "check smoke: 1,234,567 states, 123,456/s, queue 4,321, 300 MiB, depth 17, 10 s";
        assert_eq!(line, expected);
        let line = describe(Some(4_938_268));
        assert!(
            line.starts_with("check smoke 25 %: 1,234,567 states"),
            "{line}"
        );
        let line = describe(Some(1_000));
        assert!(line.starts_with("check smoke 99 %"), "{line}");
    }

    /// The rate, the level, the queue and the memory are there on a terminal of 80 columns.
    #[test]
    fn a_line_that_does_not_fit_has_short_numbers() {
        let tick = Tick {
            done: 50_576_895,
            unit: "transitions",
            queue: Some(120_508),
            memory_bytes: Some(40 << 20),
            note: "depth 24".to_owned(),
        };
        let job = Current {
            name: "conform transfer-lease-failed on lockstep-raft".to_owned(),
            since: Instant::now() - Duration::from_secs(100),
            size: Some(60_000_000),
            at: String::new(),
        };
        let whole = fitting(&job, &tick, 200);
        assert!(whole.contains("on lockstep-raft 84 %: 50,576,895 transitions"));
        let line = fitting(&job, &tick, 110);
        for part in [
            "84 %",
            "50.58 M transitions",
            "505 K/s",
            "queue 120 K",
            "40 MiB",
            "depth 24",
            "100 s",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
        let line = fitting(&job, &tick, 78);
        assert!(line.chars().count() <= 78, "{line}");
        for part in ["84 %", "505 K/s", "queue 120 K", "40 MiB", "depth 24"] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }

    #[test]
    fn numbers_are_brief() {
        let numbers = [9_999, 10_000, 999_999, 1_234_567].map(brief);
        assert_eq!(numbers, ["9,999", "10 K", "999 K", "1.23 M"]);
    }
}
