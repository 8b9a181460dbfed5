//! Progress on standard error: a line that rewrites itself on a terminal, a plain line every few seconds
//! elsewhere, so that the log of a CI server shows that work goes on.

use crate::report::human::grouped;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often work should call [`Reporter::tick`].
pub const INTERVAL: Duration = Duration::from_millis(200);
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// What is known of work under way. What does not apply is `None`.
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
    /// Whatever else helps, such as a depth.
    pub note: String,
}

/// Shows progress, and hears Ctrl-C: the first one asks the work to stop, so that what was found until
/// then is still reported; the second one ends the process as usual.
pub struct Reporter {
    bar: Option<ProgressBar>,
    plain: Option<Mutex<Instant>>,
    interrupted: Arc<AtomicBool>,
    job: Mutex<(String, Instant)>,
}

impl Reporter {
    /// A reporter for the standard error of this process.
    pub fn new(quiet: bool) -> Reporter {
        let terminal = std::io::stderr().is_terminal();
        let interrupted = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&interrupted);
        let handler = move || {
            if heard.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            eprintln!("Ctrl-C will end the process without a report: {error}");
        }
        Reporter {
            bar: (terminal && !quiet).then(spinner),
            plain: (!terminal && !quiet).then(|| Mutex::new(Instant::now())),
            interrupted,
            job: Mutex::new((String::new(), Instant::now())),
        }
    }

    /// Begins a job; the name stands before everything that it reports.
    pub fn begin(&self, name: impl Into<String>) {
        let name = name.into();
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{name} …"));
        }
        *self.job.lock().unwrap_or_else(PoisonError::into_inner) = (name, Instant::now());
    }

    /// Shows how far the work is; [`ControlFlow::Break`] if it should stop.
    pub fn tick(&self, tick: &Tick) -> ControlFlow<()> {
        let line = || {
            let job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
            describe(&job.0, job.1.elapsed(), tick)
        };
        if let Some(bar) = &self.bar {
            bar.set_message(line());
        }
        if let Some(last) = &self.plain {
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.elapsed() >= PLAIN_INTERVAL {
                *last = Instant::now();
                eprintln!("{}", line());
            }
        }
        if self.interrupted() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Whether Ctrl-C was pressed.
    pub fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Leaves the terminal clean for the result.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{spinner} {msg}")
        .expect("the template is a constant and right");
    bar.set_style(style);
    bar.enable_steady_tick(INTERVAL);
    bar
}

fn describe(job: &str, elapsed: Duration, tick: &Tick) -> String {
    let seconds = elapsed.as_secs_f64();
    let rate = if seconds > 0.0 {
        tick.done as f64 / seconds
    } else {
        0.0
    };
    let mut line = format!(
        "{job}: {} {}, {}/s",
        grouped(tick.done),
        tick.unit,
        grouped(rate as u64)
    );
    if let Some(queue) = tick.queue {
        line.push_str(&format!(", queue {}", grouped(queue)));
    }
    if let Some(bytes) = tick.memory_bytes {
        line.push_str(&format!(", {} MiB", grouped(bytes >> 20)));
    }
    if !tick.note.is_empty() {
        line.push_str(", ");
        line.push_str(&tick.note);
    }
    line.push_str(&format!(", {seconds:.0} s"));
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
        let line = describe("check smoke", Duration::from_secs(10), &tick);
        let expected =
            "check smoke: 1,234,567 states, 123,456/s, queue 4,321, 300 MiB, depth 17, 10 s";
        assert_eq!(line, expected);
    }
}
