//! The report for people: a headline for each job with its verdict, the facts, whatever does not hold.

use super::{Case, Fact, Failure, Job, Report, SavedTrace, Status, Table, summary, visible};
use crate::cli::terminal::words_whole;
use crate::show::LEAST_WIDTH;
use comfy_table::{CellAlignment, ContentArrangement, TableComponent, presets};
use serde_json::Value;
use std::fmt::Write;

/// The style of the text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Colours, by ANSI escapes.
    pub colour: bool,
    /// The width of the terminal, in columns; without one, tables are as wide as they want to be.
    pub width: Option<u16>,
    /// Assertions that hold are listed too, and every table is shown.
    pub verbose: bool,
    /// The line of each job has been shown already.
    pub lines_shown: bool,
}

impl Style {
    /// The text in the colour of a status.
    pub fn paint(self, status: Status, text: &str) -> String {
        let code = match status {
            Status::Holds => "32",
            Status::Skipped | Status::Stopped => "33",
            Status::Violated => "31",
        };
        if self.colour {
            format!("\x1b[1;{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// The width of a diagram where there is no terminal.
const NARROW: u16 = 80;

impl Style {
    /// A text after its beginning, as wide as the terminal. The lines below stand under the text; where that
    /// leaves less than half of the width, the text has lines of its own.
    pub fn paragraph(self, begin: &str, text: &str) -> String {
        let columns = begin.chars().count();
        let indent = " ".repeat(columns);
        let in_lines =
            |indent: &str| format!("{begin}{}", text.replace('\n', &format!("\n{indent}")));
        let Some(width) = self.width.map(usize::from) else {
            return in_lines(&indent);
        };
        if !text.contains('\n') && columns + text.chars().count() <= width {
            return in_lines(&indent);
        }
        if 2 * columns <= width {
            let options = words_whole(width)
                .initial_indent(begin)
                .subsequent_indent(&indent);
            return textwrap::fill(text, options);
        }
        let margin = begin.len() - begin.trim_start().len();
        let (margin, below) = (" ".repeat(margin), " ".repeat(margin + 4));
        let head = words_whole(width)
            .initial_indent(&margin)
            .subsequent_indent(&below);
        let body = words_whole(width)
            .initial_indent(&below)
            .subsequent_indent(&below);
        format!(
            "{}\n{}",
            textwrap::fill(begin.trim(), head),
            textwrap::fill(text, body)
        )
    }

    /// A text that may end in a command, which is not folded.
    fn with_command(self, begin: &str, text: &str, job: &Job) -> String {
        let mut commands = job.commands.iter();
        match commands.any(|command| text.ends_with(command.as_str())) {
            true => Style {
                width: None,
                ..self
            }
            .paragraph(begin, text),
            false => self.paragraph(begin, text),
        }
    }

    /// The width of a column for names, if some of them are too wide to stand beside anything.
    fn name_column<'a>(self, names: impl Iterator<Item = &'a str>) -> usize {
        let most = self
            .width
            .map_or(usize::MAX, |width| usize::from(width) / 2);
        let widths = names.map(|name| name.chars().count());
        // Two spaces on both sides.
        let fitting = widths.filter(|width| width + 4 <= most);
        fitting.max().unwrap_or(0)
    }
}

/// Renders the jobs that were done before an error ended the command; empty if there are none.
pub fn render_part(failure: &Failure, style: Style) -> String {
    let jobs = failure.jobs.iter().map(|job| {
        let mut job = job.clone();
        visible::job(&mut job);
        render_job(&job, style) + "\n"
    });
    jobs.collect()
}

/// The whole report.
pub fn render(report: &Report, style: Style) -> String {
    let report = &visible::report(report);
    let mut out = String::new();
    // Why it was skipped is all that such a report has to say.
    let skipped = report.status == Status::Skipped;
    let several = report.command == "check" && report.jobs.len() > 1;
    let short = (report.command == "verify" || several) && !style.verbose && !skipped;
    if short {
        out.push_str(&summary::lines(report, style));
    }
    for job in &report.jobs {
        // What holds is in its line.
        if !short || !matches!(job.status, Status::Holds | Status::Skipped) {
            out.push_str(&render_job(job, style));
            out.push('\n');
        }
    }
    if short {
        out.push_str(&summary::table(report, style));
    }
    if let Some(traces) = traces(report) {
        let lines = traces.lines().map(|line| {
            let text = line.trim_start();
            style.paragraph(&line[..line.len() - text.len()], text) + "\n"
        });
        writeln!(out, "{}", lines.collect::<String>()).expect(INFALLIBLE);
    }
    for error in &report.unwritten {
        let line = style.paragraph("", &format!("not written: {error}"));
        writeln!(out, "{line}\n").expect(INFALLIBLE);
    }
    let word = style.paint(report.status, report.status.word());
    let seconds = report.seconds;
    let jobs = report.jobs.len();
    let noun = if jobs == 1 { "job" } else { "jobs" };
    let target = summary::target(report).filter(|_| short);
    let on = target.map_or_else(String::new, |it| format!(", {it}"));
    let more = if short { "; details with -v" } else { "" };
    let said = format!("{jobs} {noun} in {seconds:.1} s{on}{more}");
    let plain = format!("{}: ", report.status.word());
    // Colours have no width, so they come last.
    let line = style.paragraph("", &format!("{plain}{said}"));
    let rest = line.strip_prefix(report.status.word()).unwrap_or_default();
    writeln!(out, "{word}{rest}").expect(INFALLIBLE);
    out
}

/// Lists the traces, the one to look at first on top, if there are several.
pub fn traces(report: &Report) -> Option<String> {
    if report.traces.len() < 2 {
        return None;
    }
    let mut text = "Traces that show what went wrong, the shortest first:".to_owned();
    for SavedTrace { job, steps, file } in &report.traces {
        let steps = super::steps::count(*steps);
        write!(text, "\n  {file}: {steps}, {job}").expect(INFALLIBLE);
    }
    Some(text)
}

const INFALLIBLE: &str = "writing to a string does not fail";

/// One job.
pub fn render_job(job: &Job, style: Style) -> String {
    let mut out = String::new();
    let begin = format!("{}: ", job.title());
    let headline = match style.width {
        Some(_) => style.paragraph("", &format!("{begin}{}", job.verdict)),
        None => format!("{begin}{}", job.verdict),
    };
    let parts = headline.split_at_checked(begin.len());
    let (begin, verdict) = parts.unwrap_or(("", &headline));
    writeln!(out, "{begin}{}", style.paint(job.status, verdict)).expect(INFALLIBLE);
    let width = style.name_column(job.facts.iter().map(|fact| fact.name.as_str()));
    for Fact { name, value } in &job.facts {
        let begin = format!("  {name:width$}  ");
        let fact = style.with_command(&begin, &plain(value), job);
        writeln!(out, "{fact}").expect(INFALLIBLE);
    }
    let held = job
        .cases
        .iter()
        .filter(|case| case.status == Status::Holds)
        .count();
    if !job.cases.is_empty() {
        let all = job.cases.len();
        let skipped = job.cases.iter().filter(|it| it.status == Status::Skipped);
        let skipped = match skipped.count() {
            0 => String::new(),
            skipped => format!(", {skipped} were not put to the test"),
        };
        let so_far = match job.cases.iter().filter(|it| it.so_far).count() {
            0 => String::new(),
            so_far => format!(", {so_far} held in what was explored"),
        };
        let hold = match (held, so_far.strip_prefix(", ")) {
            // Nothing is decided: that none holds would be misread.
            (0, Some(so_far)) => format!("of {all} assertions, {so_far}"),
            _ => format!("{held} of {all} assertions hold{so_far}"),
        };
        let line = format!("{hold}{skipped}");
        writeln!(out, "{}", style.paragraph("  ", &line)).expect(INFALLIBLE);
    }
    let undecided = |case: &&Case| case.status == Status::Stopped;
    let many = job.cases.iter().filter(undecided).count() > 3;
    for case in &job.cases {
        let show = match case.status {
            // What was not put to the test stands in a table of its own.
            Status::Holds | Status::Skipped => style.verbose,
            // All for one reason, which the verdict names.
            Status::Stopped => style.verbose || !many,
            Status::Violated => true,
        };
        if show {
            let Case {
                name,
                status,
                so_far: _,
                message,
            } = case;
            let message = message
                .as_ref()
                .map(|text| format!(": {text}"))
                .unwrap_or_default();
            let begin = format!("  {}  ", status.word());
            let text = style.paragraph(&begin, &format!("{name}{message}"));
            // Colours have no width, so they come last.
            let painted = text.replacen(status.word(), &style.paint(*status, status.word()), 1);
            writeln!(out, "{painted}").expect(INFALLIBLE);
        }
    }
    for table in job.tables.iter().filter(|it| style.verbose || it.shown) {
        titled(&mut out, &table.title, &render_table(table, style), style);
    }
    for violation in &job.violations {
        let table = super::causes(violation);
        if !table.rows.is_empty() {
            titled(&mut out, &table.title, &render_table(&table, style), style);
        }
    }
    if let Some(steps) = &job.steps {
        let table = render_table(&steps.to_table(), style);
        titled(&mut out, &steps.title, &table, style);
    }
    if let Some(table) = &job.differences {
        titled(&mut out, &table.title, &render_table(table, style), style);
    }
    let width = usize::from(style.width.unwrap_or(NARROW));
    // On a narrow terminal, the table has to do.
    let drawn = job.steps.is_some() && width >= LEAST_WIDTH;
    if let Some(story) = job.story.as_ref().filter(|_| drawn) {
        let diagram = crate::show::diagram(story, width);
        let diagram = diagram.trim_end();
        writeln!(out, "\nThe same as a diagram:\n{diagram}").expect(INFALLIBLE);
    }
    for note in &job.notes {
        writeln!(out, "{}", style.with_command("  ", note, job)).expect(INFALLIBLE);
    }
    out
}

/// A table below its title.
fn titled(out: &mut String, title: &str, table: &str, style: Style) {
    let title = style.paragraph("", &format!("{title}:"));
    writeln!(out, "\n{title}\n{table}").expect(INFALLIBLE);
}

/// A table in columns; numbers stand at the right.
pub fn render_table(table: &Table, style: Style) -> String {
    let mut out = comfy_table::Table::new();
    out.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    let tall = |cell: &Value| cell.as_str().is_some_and(|text| text.contains('\n'));
    if !table.rows.iter().flatten().any(tall) {
        // Lines between rows only help where a row has several lines.
        out.remove_style(TableComponent::HorizontalLines)
            .remove_style(TableComponent::MiddleIntersections)
            .remove_style(TableComponent::LeftBorderIntersections)
            .remove_style(TableComponent::RightBorderIntersections);
    }
    match style.width {
        Some(width) => {
            out.set_content_arrangement(ContentArrangement::Dynamic);
            out.set_width(width);
        }
        None => {
            out.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    out.set_header(&table.columns);
    for row in &table.rows {
        out.add_row(row.iter().map(plain));
    }
    for (position, column) in out.column_iter_mut().enumerate() {
        let numbers = table
            .rows
            .iter()
            .all(|row| row.get(position).is_some_and(Value::is_number));
        if numbers && !table.rows.is_empty() {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    out.trim_fmt()
}

/// A value as a person writes it: numbers in groups of three, lists with commas.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => grouped(whole),
            (None, Some(real)) => float(real),
            (None, None) => number.to_string(),
        },
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(_) => value.to_string(),
    }
}

fn float(real: f64) -> String {
    if real != 0.0 && real.abs() < 0.001 {
        format!("{real:.1e}")
    } else {
        format!("{real:.2}")
    }
}

/// A number with a comma between groups of three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
