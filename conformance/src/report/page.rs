//! The report as one page: a pure function of the JSON that `--format json` prints, so that results of several
//! commands, also of other machines, can stand on one page.

use super::human::grouped;
use crate::show::{STYLE, escape};
use lockstep_model::FINDINGS;
use lockstep_model::properties::{state_properties, step_properties, witnesses};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// The page of some reports. `pages` are the files beside it that show traces.
pub fn render(reports: &[Value], pages: &BTreeSet<String>) -> String {
    let jobs: Vec<&Value> = reports.iter().flat_map(|it| items(it, "jobs")).collect();
    let page = Page { jobs: &jobs, pages };
    let mut body = String::new();
    page.head(&mut body, reports);
    page.wrong(&mut body);
    page.verdicts(&mut body);
    page.depths(&mut body);
    page.inputs(&mut body);
    page.coverage(&mut body);
    page.properties(&mut body);
    page.targets(&mut body);
    page.tables(&mut body, "mutants", "Seeded bugs");
    findings(&mut body);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light \
         dark\">\n<title>Lockstep report</title>\n<style>{STYLE}</style>\n</head>\n<body class=\"report\">\n\
         {body}</body>\n</html>\n"
    )
}

struct Page<'a> {
    jobs: &'a [&'a Value],
    pages: &'a BTreeSet<String>,
}

fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// A fact of a job.
fn fact<'a>(job: &'a Value, name: &str) -> Option<&'a Value> {
    let mut facts = items(job, "facts").iter();
    facts.find(|it| it["name"] == name).map(|it| &it["value"])
}

fn number(value: Option<&Value>) -> u64 {
    value.and_then(Value::as_u64).unwrap_or(0)
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to a string does not fail");
}

/// A table of a job, by the beginning of its title.
fn table<'a>(job: &'a Value, title: &str) -> Option<&'a Value> {
    let mut tables = items(job, "tables").iter();
    tables.find(|it| text(it, "title").starts_with(title))
}

fn rows(table: Option<&Value>) -> Vec<&[Value]> {
    let rows = table.map_or(&[][..], |it| items(it, "rows"));
    rows.iter()
        .filter_map(|row| row.as_array().map(Vec::as_slice))
        .collect()
}

fn cell(row: &[Value], place: usize) -> String {
    let value = row.get(place).unwrap_or(&Value::Null);
    escape(&super::human::plain(value))
}

/// The number of rows that are shown at once; more are folded.
const AT_ONCE: usize = 12;

/// Begins a section that can be folded; `says` is what somebody sees who does not open it.
fn open_section(out: &mut String, title: &str, says: &str, open: bool) {
    let open = if open { " open" } else { "" };
    put(
        out,
        format_args!(
            "<section><details class=\"fold\"{open}><summary><h2>{}</h2> <span \
             class=\"quiet\">{}</span></summary>",
            escape(title),
            escape(says)
        ),
    );
}

/// Ends it.
fn close_section(out: &mut String) {
    out.push_str("</details></section>\n");
}

/// The place of a job on the page.
fn anchor(place: usize) -> String {
    format!("job-{place}")
}

/// The name of the file that shows the trace of a job, or a witness.
pub fn page_name(kind: &str, name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    let name = name.trim_matches('-').to_ascii_lowercase();
    let short: String = name.chars().take(80).collect();
    format!("{kind}-{short}.html")
}

impl Page<'_> {
    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        let jobs = self.jobs.iter().copied();
        jobs.filter(move |job| text(job, "kind") == kind)
    }

    fn head(&self, out: &mut String, reports: &[Value]) {
        let order = ["error", "violated", "stopped", "skipped", "holds"];
        let statuses: Vec<_> = reports.iter().map(|it| text(it, "status")).collect();
        let worst = order.iter().find(|it| statuses.contains(it));
        let status = worst.copied().unwrap_or("stopped");
        let commands: Vec<_> = reports.iter().map(|it| text(it, "command")).collect();
        let version = reports.first().map_or("", |it| text(it, "lockstep"));
        let seconds: f64 = reports.iter().filter_map(|it| it["seconds"].as_f64()).sum();
        put(
            out,
            format_args!(
                "<header class=\"top {status}\"><h1>Lockstep report</h1><span class=\"chip status \
                 {status}\">{status}</span><p>lockstep {} · version {} · {seconds:.0} s</p></header>\n<main>\n",
                escape(&commands.join(", ")),
                escape(version),
            ),
        );
        let sum = |kind: &str, name: &str| -> u64 {
            let jobs = self.of_kind(kind);
            jobs.map(|job| number(fact(job, name))).sum()
        };
        let held = self.jobs.iter().filter(|it| text(it, "status") == "holds");
        let tiles = [
            (
                "jobs hold",
                format!("{} of {}", held.count(), self.jobs.len()),
            ),
            ("distinct states", grouped(sum("check", "distinct states"))),
            ("transitions checked", grouped(sum("check", "transitions"))),
            (
                "transitions compared",
                grouped(sum("conform", "transitions covered")),
            ),
            (
                "refused and ignored inputs compared",
                grouped(sum("conform", "refused and ignored inputs compared")),
            ),
            ("steps of traces", grouped(sum("replay", "steps compared"))),
        ];
        out.push_str("<ul class=\"tiles\">");
        for (name, value) in tiles.iter().filter(|(_, value)| value != "0") {
            put(
                out,
                format_args!("<li><b>{value}</b><span>{name}</span></li>"),
            );
        }
        out.push_str("</ul>\n");
    }

    /// Writes first that which does not hold.
    fn wrong(&self, out: &mut String) {
        let bad = self.jobs.iter().enumerate();
        let bad: Vec<_> = bad
            .filter(|(_, job)| !matches!(text(job, "status"), "holds" | "skipped"))
            .collect();
        if bad.is_empty() {
            return;
        }
        out.push_str("<section class=\"wrong-jobs\"><h2>What does not hold</h2>");
        for (place, job) in bad {
            let (kind, name) = (text(job, "kind"), text(job, "name"));
            put(
                out,
                format_args!(
                    "<article class=\"{}\"><h3><a href=\"#{}\">{} {}</a>: {}</h3><ul>",
                    text(job, "status"),
                    anchor(place),
                    escape(kind),
                    escape(name),
                    escape(text(job, "verdict"))
                ),
            );
            let cases = items(job, "cases").iter();
            for case in cases.filter(|it| it["status"] == "violated").take(40) {
                put(
                    out,
                    format_args!(
                        "<li><b>{}</b> {}</li>",
                        escape(text(case, "name")),
                        escape(text(case, "message"))
                    ),
                );
            }
            out.push_str("</ul>");
            for violation in items(job, "violations") {
                html_table(out, &causes(violation));
            }
            if !job["differences"].is_null() {
                html_table(out, &job["differences"]);
            }
            if let Some(steps) = job["steps"].as_object() {
                put(
                    out,
                    format_args!(
                        "<details><summary>{}</summary><ol class=\"steps\">",
                        escape(steps["title"].as_str().unwrap_or_default())
                    ),
                );
                for row in items(&job["steps"], "rows") {
                    let changes: Vec<_> = items(row, "changes")
                        .iter()
                        .filter_map(Value::as_str)
                        .collect();
                    put(
                        out,
                        format_args!(
                            "<li>{}<span>{}</span></li>",
                            escape(text(row, "event")),
                            escape(&changes.join("; "))
                        ),
                    );
                }
                out.push_str("</ol></details>");
            }
            self.link(out, &page_name(kind, name), "its trace, step by step");
            out.push_str("</article>");
        }
        out.push_str("</section>\n");
    }

    fn link(&self, out: &mut String, file: &str, words: &str) {
        if self.pages.contains(file) {
            put(
                out,
                format_args!(
                    "<p><a href=\"{0}\">{1}</a></p>",
                    escape(file),
                    escape(words)
                ),
            );
        }
    }

    /// A line for each kind of job, with its jobs below it: those of a long list are folded unless one of them
    /// does not hold.
    fn verdicts(&self, out: &mut String) {
        out.push_str(
            "<section><h2>Verdicts</h2><p class=\"quiet\">Each verdict is limited to the bounds it ran \
             with.</p>",
        );
        let mut kinds: Vec<&str> = Vec::new();
        for job in self.jobs {
            if !kinds.contains(&text(job, "kind")) {
                kinds.push(text(job, "kind"));
            }
        }
        for kind in kinds {
            let jobs = self.jobs.iter().enumerate();
            let jobs: Vec<_> = jobs
                .filter(|(_, job)| text(job, "kind") == kind)
                .map(|(place, job)| (place, *job))
                .collect();
            verdicts_of(out, kind, &jobs);
        }
        out.push_str("</section>\n");
    }

    fn depths(&self, out: &mut String) {
        let with_levels = |job: &&Value| !rows(table(job, "States per depth")).is_empty();
        let mut jobs: Vec<_> = self.of_kind("check").filter(with_levels).collect();
        if jobs.is_empty() {
            return;
        }
        // The largest say most.
        jobs.sort_by_key(|job| std::cmp::Reverse(number(fact(job, "distinct states"))));
        out.push_str("<section><h2>Distinct states by depth</h2>");
        let (first, rest) = jobs.split_at(jobs.len().min(AT_ONCE));
        plots(out, first);
        if !rest.is_empty() {
            put(
                out,
                format_args!(
                    "<details class=\"fold\"><summary>{} smaller ones</summary>",
                    rest.len()
                ),
            );
            plots(out, rest);
            out.push_str("</details>");
        }
        out.push_str("</section>\n");
    }

    fn inputs(&self, out: &mut String) {
        let mut fired: BTreeMap<&str, u64> = BTreeMap::new();
        for job in self.of_kind("check") {
            for row in rows(table(job, "Actions")) {
                let name = row.first().and_then(Value::as_str).unwrap_or_default();
                *fired.entry(name).or_default() += number(row.get(2));
            }
        }
        let most = fired.values().copied().max().unwrap_or(0);
        if most == 0 {
            return;
        }
        out.push_str(
            "<section><h2>Transitions by input</h2><div class=\"scroll\" tabindex=\"0\" role=\"group\" \
             aria-label=\"Transitions by input\"><table class=\"bars\"><tbody>",
        );
        let mut fired: Vec<_> = fired.into_iter().collect();
        fired.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        for (name, times) in fired {
            let share = times as f64 / most as f64 * 100.0;
            put(
                out,
                format_args!(
                    "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"bar-cell\"><svg \
                     viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect \
                     width=\"{share:.2}\" height=\"8\" rx=\"1\"/></svg></td></tr>",
                    escape(name),
                    grouped(times)
                ),
            );
        }
        out.push_str("</tbody></table></div></section>\n");
    }

    /// Role and message as a matrix; then rules, if they were counted.
    fn coverage(&self, out: &mut String) {
        let mut met: BTreeMap<(String, String), u64> = BTreeMap::new();
        let (mut roles, mut messages) = (Vec::new(), Vec::new());
        for job in self.of_kind("coverage") {
            for row in rows(table(job, "Role and message")) {
                let pair = row.first().and_then(Value::as_str).unwrap_or_default();
                let Some((role, message)) = pair.split_once(" receives ") else {
                    continue;
                };
                let (role, message) = (role.to_owned(), message.to_owned());
                if !roles.contains(&role) {
                    roles.push(role.clone());
                }
                if !messages.contains(&message) {
                    messages.push(message.clone());
                }
                *met.entry((role, message)).or_default() += number(row.get(1));
            }
        }
        if !met.is_empty() {
            let most = met.values().copied().max().unwrap_or(1).max(2) as f64;
            out.push_str(
                "<section><h2>Role and message met</h2><p class=\"quiet\">How often a server of each role \
                 was given each message, over all presets. What was never met was not checked.</p><div \
                 class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Role and message met\"><table \
                 class=\"matrix\"><thead><tr><td></td>",
            );
            for role in &roles {
                put(out, format_args!("<th scope=\"col\">{}</th>", escape(role)));
            }
            out.push_str("</tr></thead><tbody>");
            for message in &messages {
                put(
                    out,
                    format_args!("<tr><th scope=\"row\">{}</th>", escape(message)),
                );
                for role in &roles {
                    let times = met.get(&(role.clone(), message.clone()));
                    let times = times.copied().unwrap_or(0);
                    // By orders of magnitude.
                    let heat = ((times as f64 + 1.0).ln() / most.ln() * 5.0)
                        .round()
                        .min(5.0);
                    let class = if times == 0 {
                        "gap".to_owned()
                    } else {
                        format!("heat-{heat}")
                    };
                    put(
                        out,
                        format_args!("<td class=\"n {class}\">{}</td>", grouped(times)),
                    );
                }
                out.push_str("</tr>");
            }
            out.push_str("</tbody></table></div></section>\n");
        }
        for job in self.of_kind("coverage") {
            if let Some(rules) = table(job, "Rules") {
                let all = items(rules, "rows").len();
                open_section(
                    out,
                    "Rules applied",
                    &format!("{all} rules"),
                    all <= AT_ONCE,
                );
                html_table(out, rules);
                close_section(out);
            }
        }
    }

    fn properties(&self, out: &mut String) {
        let mut tested: BTreeMap<&str, u64> = BTreeMap::new();
        let mut reached: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for job in self.of_kind("coverage") {
            for row in rows(table(job, "How often a property")) {
                let name = row.first().and_then(Value::as_str).unwrap_or_default();
                *tested.entry(name).or_default() += number(row.get(1));
            }
            for row in rows(table(job, "Witnesses")) {
                let name = row.first().and_then(Value::as_str).unwrap_or_default();
                reached.entry(name).or_default().push(cell(row, 1));
            }
        }
        if !tested.is_empty() {
            let gaps = tested.values().filter(|times| **times == 0).count();
            let says = match gaps {
                0 => format!("{}, each put to the test", tested.len()),
                gaps => format!("{gaps} of {} never put to the test", tested.len()),
            };
            open_section(out, "Properties", &says, false);
            out.push_str(
                "<div class=\"scroll\" tabindex=\"0\" role=\"group\" \
                 aria-label=\"Properties\"><table class=\"wide\"><thead><tr><th scope=\"col\">property</th><th \
                 scope=\"col\">what it says</th><th scope=\"col\" class=\"n\">times put to the \
                 test</th></tr></thead><tbody>",
            );
            let states = state_properties().iter().map(|it| (it.name, it.source));
            let sources = states.chain(step_properties().iter().map(|it| (it.name, it.source)));
            let sources: BTreeMap<_, _> = sources.collect();
            for (name, times) in &tested {
                let source = sources.get(name).copied().unwrap_or_default();
                let class = if *times == 0 { " gap" } else { "" };
                put(
                    out,
                    format_args!(
                        "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"n{class}\">{}</td></tr>",
                        escape(name),
                        escape(source),
                        grouped(*times)
                    ),
                );
            }
            out.push_str("</tbody></table></div>");
            close_section(out);
        }
        if !reached.is_empty() {
            let missed = reached
                .values()
                .filter(|it| it.iter().all(String::is_empty));
            let says = match missed.count() {
                0 => format!("{}, each reached", reached.len()),
                missed => format!("{missed} of {} never reached", reached.len()),
            };
            open_section(out, "Witnesses", &says, false);
            out.push_str(
                "<p class=\"quiet\">What must happen somewhere, or the properties \
                 were hardly put to the test.</p><div class=\"scroll\" tabindex=\"0\" role=\"group\" \
                 aria-label=\"Witnesses\"><table class=\"wide\"><thead><tr><th scope=\"col\">witness</th><th \
                 scope=\"col\">reached in</th></tr></thead><tbody>",
            );
            let stories: BTreeMap<_, _> =
                witnesses().iter().map(|it| (it.name, it.story)).collect();
            for (name, presets) in &reached {
                let story = escape(stories.get(name).copied().unwrap_or(name));
                let file = page_name("witness", name);
                let story = if self.pages.contains(&file) {
                    format!("<a href=\"{}\">{story}</a>", escape(&file))
                } else {
                    story
                };
                put(
                    out,
                    format_args!(
                        "<tr><th scope=\"row\">{story}<span class=\"source\">{}</span></th><td>{}</td></tr>",
                        escape(name),
                        presets.join(", ")
                    ),
                );
            }
            out.push_str("</tbody></table></div>");
            close_section(out);
        }
    }

    fn targets(&self, out: &mut String) {
        let mut targets: BTreeMap<String, (Vec<String>, String, String)> = BTreeMap::new();
        for job in self.jobs {
            let Some(target) = fact(job, "target").and_then(Value::as_str) else {
                continue;
            };
            let plain = |name: &str| {
                let value = fact(job, name).map(super::human::plain);
                value.unwrap_or_default()
            };
            let entry = targets.entry(target.to_owned()).or_default();
            entry.0.push(format!(
                "{} {}: {}",
                text(job, "kind"),
                text(job, "name"),
                text(job, "verdict")
            ));
            entry.1 = plain("fields compared");
            entry.2 = plain("fields not shown, so not compared");
        }
        if targets.is_empty() {
            return;
        }
        out.push_str("<section><h2>Implementations compared</h2>");
        for (name, (jobs, compared, missing)) in targets {
            put(
                out,
                format_args!(
                    "<article><h3>{}</h3><p>Fields compared: {}.</p>",
                    escape(&name),
                    escape(&compared)
                ),
            );
            if !missing.is_empty() {
                put(
                    out,
                    format_args!("<p>Not shown, so not compared: {}.</p>", escape(&missing)),
                );
            }
            let open = if jobs.len() <= AT_ONCE { " open" } else { "" };
            put(
                out,
                format_args!(
                    "<details class=\"fold\"{open}><summary>{} jobs</summary><ul>",
                    jobs.len()
                ),
            );
            for job in jobs {
                put(out, format_args!("<li>{}</li>", escape(&job)));
            }
            out.push_str("</ul></details></article>");
        }
        for job in self
            .jobs
            .iter()
            .filter(|it| !items(it, "dialect").is_empty())
        {
            put(
                out,
                format_args!(
                    "<h3>Departures used by {}</h3><ul>",
                    escape(text(job, "name"))
                ),
            );
            for it in items(job, "dialect") {
                put(
                    out,
                    format_args!(
                        "<li><b>{}</b>, {} times: {}</li>",
                        escape(text(it, "name")),
                        grouped(number(it.get("uses"))),
                        escape(text(it, "reason"))
                    ),
                );
            }
            out.push_str("</ul>");
        }
        out.push_str("</section>\n");
    }

    /// All tables of the jobs of a kind.
    fn tables(&self, out: &mut String, kind: &str, title: &str) {
        let mut jobs = self.of_kind(kind).peekable();
        if jobs.peek().is_none() {
            return;
        }
        put(out, format_args!("<section><h2>{title}</h2>"));
        for job in jobs {
            put(out, format_args!("<p>{}</p>", escape(text(job, "verdict"))));
            for table in items(job, "tables") {
                html_table(out, table);
            }
        }
        out.push_str("</section>\n");
    }
}

/// The verdicts of the jobs of a kind, each with its place.
fn verdicts_of(out: &mut String, kind: &str, jobs: &[(usize, &Value)]) {
    let held = |job: &Value| text(job, "status") == "holds";
    let hold = jobs.iter().filter(|(_, job)| held(job)).count();
    let seconds: f64 = jobs
        .iter()
        .filter_map(|(_, job)| job["seconds"].as_f64())
        .sum();
    let worst = jobs.iter().find(|(_, job)| !held(job)).or(jobs.first());
    let (status, verdict) = worst.map_or(("holds", ""), |(_, job)| {
        (text(job, "status"), text(job, "verdict"))
    });
    let open = if jobs.len() <= AT_ONCE || hold < jobs.len() {
        " open"
    } else {
        ""
    };
    put(
        out,
        format_args!(
            "<details class=\"kind\"{open}><summary class=\"{status}\"><b>{}</b> <span>{hold} of {}</span> \
             <span class=\"verdict\">{}</span> <span class=\"quiet\">{seconds:.1} s</span></summary><div \
             class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"Verdicts of {}\"><table \
             class=\"wide\"><thead><tr><th scope=\"col\">of</th><th scope=\"col\">verdict</th><th \
             scope=\"col\" class=\"n\">states</th><th scope=\"col\" class=\"n\">transitions</th><th \
             scope=\"col\" class=\"n\">depth</th><th scope=\"col\" \
             class=\"n\">seconds</th></tr></thead><tbody>",
            escape(kind),
            jobs.len(),
            escape(verdict),
            escape(kind),
        ),
    );
    for (place, job) in jobs {
        let first = |names: &[&str]| {
            let found = names.iter().find_map(|name| fact(job, name));
            found.map_or_else(String::new, |it| escape(&super::human::plain(it)))
        };
        let of = |name: &str| escape(fact(job, name).and_then(Value::as_str).unwrap_or_default());
        let bounds = match of("bounds") {
            bounds if bounds.is_empty() => bounds,
            bounds => format!(
                "<details><summary>bounds</summary>{}. {bounds}</details>",
                of("protocol")
            ),
        };
        put(
            out,
            format_args!(
                "<tr id=\"{}\" class=\"{}\"><th scope=\"row\">{}{bounds}</th><td \
                 class=\"verdict\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td \
                 class=\"n\">{}</td><td class=\"n\">{:.1}</td></tr>",
                anchor(*place),
                text(job, "status"),
                escape(text(job, "name")),
                escape(text(job, "verdict")),
                first(&["distinct states", "product states"]),
                first(&["transitions", "transitions covered", "steps compared"]),
                first(&["depth"]),
                job["seconds"].as_f64().unwrap_or(0.0),
            ),
        );
    }
    out.push_str("</tbody></table></div></details>");
}

/// A table with its title.
fn html_table(out: &mut String, table: &Value) {
    let title = escape(text(table, "title"));
    put(
        out,
        format_args!(
            "<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"{title}\"><table \
             class=\"wide\"><caption>{title}</caption><thead><tr>"
        ),
    );
    for column in items(table, "columns") {
        let name = column.as_str().unwrap_or_default();
        put(out, format_args!("<th scope=\"col\">{}</th>", escape(name)));
    }
    out.push_str("</tr></thead><tbody>");
    for row in rows(Some(table)) {
        out.push_str("<tr>");
        for place in 0..row.len() {
            let class = if row[place].is_number() {
                " class=\"n\""
            } else {
                ""
            };
            put(out, format_args!("<td{class}>{}</td>", cell(row, place)));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
}

/// Plots of searches, side by side.
fn plots(out: &mut String, jobs: &[&Value]) {
    out.push_str("<div class=\"plots\">");
    for job in jobs {
        let levels: Vec<u64> = rows(table(job, "States per depth"))
            .iter()
            .map(|row| number(row.get(1)))
            .collect();
        plot(out, text(job, "name"), &levels);
    }
    out.push_str("</div>");
}

/// Plots the number of distinct states at each depth, as an area.
fn plot(out: &mut String, name: &str, levels: &[u64]) {
    const WIDTH: f64 = 280.0;
    const HEIGHT: f64 = 96.0;
    let most = levels.iter().copied().max().unwrap_or(0).max(1);
    let last = levels.len().saturating_sub(1).max(1) as f64;
    let point = |(depth, count): (usize, &u64)| {
        let x = depth as f64 / last * WIDTH;
        let y = HEIGHT - *count as f64 / most as f64 * (HEIGHT - 6.0);
        format!("{x:.1},{y:.1}")
    };
    let points: Vec<_> = levels.iter().enumerate().map(point).collect();
    let points = points.join(" ");
    let peak = levels.iter().position(|it| *it == most).unwrap_or(0);
    let total: u64 = levels.iter().sum();
    let (name, depth) = (escape(name), levels.len().saturating_sub(1));
    put(
        out,
        format_args!(
            "<figure><figcaption><b>{name}</b> {} states</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             role=\"img\" aria-label=\"{name}: {} states at most, at depth {peak}\"><polygon \
             points=\"0,{HEIGHT} {points} {WIDTH},{HEIGHT}\"/><polyline points=\"{points}\"/></svg><p><span>0\
             </span><span>{} at depth {peak}</span><span>{depth}</span></p></figure>",
            grouped(total),
            grouped(most),
            grouped(most),
        ),
    );
}

/// The titles of the findings.
fn findings(out: &mut String) {
    let mut titles = Vec::new();
    for line in FINDINGS.lines() {
        let Some((number, rest)) = line.split_once(". **") else {
            continue;
        };
        if number.parse::<u32>().is_err() {
            continue;
        }
        let title = rest.split("**").next().unwrap_or(rest);
        titles.push(title.trim_end_matches('.'));
    }
    open_section(
        out,
        "Findings",
        &format!("{} disagreements that were settled", titles.len()),
        false,
    );
    out.push_str("<p class=\"quiet\">From <code>model/FINDINGS.md</code>.</p><ol>");
    for title in titles {
        put(out, format_args!("<li>{}</li>", escape(title)));
    }
    out.push_str("</ol>");
    close_section(out);
    out.push_str("</main>\n");
}

/// The values that break a property, as the table that [`super::causes`] is.
fn causes(violation: &Value) -> Value {
    let rows = items(violation, "causes").iter();
    let rows: Vec<_> = rows
        .map(|it| serde_json::json!([it["what"], it["value"], it["holds_with"]]))
        .collect();
    let title = format!(
        "What breaks {} at step {}",
        text(violation, "property"),
        violation["step"]
    );
    serde_json::json!({ "title": title, "columns": ["what", "is", "it holds with"], "rows": rows })
}
