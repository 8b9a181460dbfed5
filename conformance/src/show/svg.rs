//! The sequence diagram as SVG: a lifeline a server, a row a step, time downwards.
//!
//! It carries its own colours, for light and dark, and no script. A page that embeds it may set the same
//! variables, and finds every step again by `data-step`, every message by `data-born` and `data-end`. A page may
//! also move the lifelines nearer to each other: `data-lane` has the place of a part in lanes, from the first
//! lifeline on, and a line has one for each end, `data-lane1` and `data-lane2`.

use super::story::{Fate, Flight, Mark, Story, StoryStep};
use crate::words;
use lockstep_traces::{Role, ServerId};
use std::fmt::Write;

const STYLE: &str = include_str!("diagram.css");
const ROW: f64 = 40.0;
const TOP: f64 = 58.0;
const GUTTER: f64 = 46.0;
/// The width of a character of a label, in pixels: generous, so that text stays in its box.
const CHARACTER: f64 = 6.9;
const WORDS: f64 = 440.0;
/// From the gutter to the first lifeline, and at least from the last one to the words.
const MARGINS: (f64, f64) = (58.0, 142.0);
const SENTENCE: usize = 66;

/// The diagram of a story.
pub fn svg(story: &Story) -> String {
    let sheet = Sheet::new(story);
    let mut out = String::new();
    sheet.draw(&mut out);
    out
}

struct Sheet<'a> {
    story: &'a Story,
    lane: f64,
    width: f64,
    height: f64,
}

type Point = (f64, f64);

impl<'a> Sheet<'a> {
    fn new(story: &'a Story) -> Sheet<'a> {
        let servers = story.servers.len() as f64;
        let lane = if story.servers.len() > 3 {
            148.0
        } else {
            186.0
        };
        // The longest input at the last server does not cover the words.
        let last = story.servers.last().copied();
        let inputs = story.steps.iter().filter(|it| it.server == last);
        let widths = inputs.filter_map(|it| Some(text_width(it.label.as_ref()?) + 38.0));
        let right = widths.fold(MARGINS.1, f64::max);
        let waiting = story.in_flight().count() as f64;
        let steps = story.steps.len() as f64;
        Sheet {
            story,
            lane,
            width: GUTTER + MARGINS.0 + (servers - 1.0) * lane + right + WORDS,
            height: TOP + steps * ROW + waiting * 22.0 + 44.0,
        }
    }

    fn x(&self, server: ServerId) -> f64 {
        let servers = &self.story.servers;
        let place = servers.iter().position(|it| *it == server);
        // Strangers stand at the edge.
        let place = place.map_or(-0.4, |place| place as f64);
        GUTTER + MARGINS.0 + self.lane * place
    }

    /// The place of this x in lanes, as an attribute.
    fn lane_of(&self, name: &str, x: f64) -> String {
        let lane = (x - GUTTER - MARGINS.0) / self.lane;
        format!(" data-{name}=\"{}\"", (lane * 1000.0).round() / 1000.0)
    }

    fn y(&self, step: usize) -> f64 {
        TOP + ROW * (step as f64 + 0.5)
    }

    fn end(&self) -> f64 {
        TOP + ROW * self.story.steps.len() as f64
    }

    fn words_at(&self) -> f64 {
        self.width - WORDS
    }

    fn draw(&self, out: &mut String) {
        let (width, height) = (self.width, self.height);
        let lanes: Vec<_> = self.story.servers.iter().map(|it| self.x(*it)).collect();
        let lanes = lanes.iter().map(f64::to_string).collect::<Vec<_>>();
        let steps = self.story.steps.len();
        put(
            out,
            format_args!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"lk\" viewBox=\"0 0 {width} {height}\" \
                 width=\"{width}\" height=\"{height}\" role=\"img\" data-lanes=\"{}\" \
                 data-words=\"{}\" data-top=\"{TOP}\" data-row=\"{ROW}\">",
                lanes.join(" "),
                self.words_at()
            ),
        );
        let name = escape(&self.story.name);
        let servers = self.story.servers.len();
        put(
            out,
            format_args!(
                "<title>Sequence diagram: {name}</title><desc>{servers} servers, {steps} steps. Time runs \
                 downwards.</desc><style>{STYLE}</style>"
            ),
        );
        put(
            out,
            format_args!(
                "<defs><marker id=\"lk-head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" \
                 markerHeight=\"8\" orient=\"auto-start-reverse\"><path class=\"lk-head\" d=\"M0 0 L8 4 L0 \
                 8 z\"/></marker></defs><rect class=\"lk-paper\" width=\"100%\" height=\"{height}\"/>"
            ),
        );
        self.rows(out);
        for server in &self.story.servers {
            self.lifeline(out, *server);
        }
        for flight in &self.story.flights {
            self.line(out, flight);
        }
        for step in 0..steps {
            self.step(out, step);
        }
        for (place, flight) in self.story.flights.iter().enumerate() {
            self.flight_label(out, place, flight);
        }
        out.push_str("</svg>\n");
    }

    /// The number, the band and the words of each step.
    fn rows(&self, out: &mut String) {
        for (number, step) in self.story.steps.iter().enumerate() {
            let y = self.y(number);
            let differs = if step.differences.is_empty() {
                ""
            } else {
                " lk-differs"
            };
            put(
                out,
                format_args!(
                    "<g class=\"lk-row{differs}\" data-step=\"{number}\"><rect class=\"lk-band\" x=\"0\" \
                     y=\"{:.1}\" width=\"100%\" height=\"{ROW}\"/><text class=\"lk-number\" x=\"{:.1}\" \
                     y=\"{:.1}\">{}</text>",
                    y - ROW / 2.0,
                    GUTTER - 14.0,
                    y + 4.0,
                    number + 1
                ),
            );
            let sentence = escape(&shortened(&step.sentence, SENTENCE));
            let mut changes = step.changes.clone();
            changes.extend(step.differences.iter().map(|it| {
                let (what, expected, actual) = (&it.what, &it.expected, &it.actual);
                format!("{what}: expected {expected}, is {actual}")
            }));
            let second = match step.differences.first() {
                Some(it) => format!("{}: expected {}, is {}", it.what, it.expected, it.actual),
                None if step.changes == ["nothing"] => String::new(),
                None => step.changes.join("; "),
            };
            let second = escape(&shortened(&second, SENTENCE + 6));
            let whole = escape(&format!("{}\n{}", step.sentence, changes.join("\n")));
            put(
                out,
                format_args!(
                    "<text class=\"lk-sentence\" x=\"{0:.1}\" y=\"{1:.1}\"><title>{whole}</title>{sentence}\
                     </text><text class=\"lk-changes\" x=\"{0:.1}\" y=\"{2:.1}\">{second}</text></g>",
                    self.words_at(),
                    y - 2.0,
                    y + 12.0,
                ),
            );
        }
    }

    /// A name, and bars in the colours of the roles.
    fn lifeline(&self, out: &mut String, server: ServerId) {
        let x = self.x(server);
        let end = self.end() + 14.0;
        put(
            out,
            format_args!(
                "<g class=\"lk-life\"{}><rect class=\"lk-name-box\" x=\"{:.1}\" y=\"12\" width=\"76\" \
                 height=\"26\" rx=\"13\"/><text class=\"lk-name\" x=\"{x:.1}\" y=\"30\">server {server}\
                 </text><line class=\"lk-axis\" x1=\"{x:.1}\" y1=\"38\" x2=\"{x:.1}\" y2=\"{:.1}\"/></g>",
                self.lane_of("lane", x),
                x - 38.0,
                self.height - 8.0
            ),
        );
        let mut from = TOP - 14.0;
        let mut view = &self.story.start;
        let steps = self.story.steps.iter().enumerate();
        let moves = steps.filter(|(_, step)| step.server == Some(server));
        for (number, step) in moves {
            let Some(next) = &step.view else { continue };
            if is_crash(step) {
                // A gap in the bar: the server was gone.
                let at = self.y(number);
                self.bar(out, x, (from, at - 7.0), (view.role, view.term.0));
                (from, view) = (at + 7.0, next);
            } else if (next.role, next.term) != (view.role, view.term) {
                let at = self.y(number);
                self.bar(out, x, (from, at), (view.role, view.term.0));
                (from, view) = (at, next);
            }
        }
        self.bar(out, x, (from, end), (view.role, view.term.0));
    }

    fn bar(&self, out: &mut String, x: f64, (from, to): (f64, f64), (role, term): (Role, u64)) {
        let half = if role == Role::Leader { 7.0 } else { 4.5 };
        put(
            out,
            format_args!(
                "<rect class=\"lk-bar lk-{}\"{} x=\"{:.1}\" y=\"{from:.1}\" width=\"{:.1}\" \
                 height=\"{:.1}\" rx=\"3\"><title>{} in term {term}</title></rect>",
                role_class(role),
                self.lane_of("lane", x),
                x - half,
                2.0 * half,
                (to - from).max(0.0),
                words::role(role),
            ),
        );
    }

    /// The two ends of the line of a flight.
    fn ends(&self, place: Option<usize>, flight: &Flight) -> (Point, Point) {
        let start = self.start(flight);
        let end = match flight.fate {
            Fate::Delivered(step) => (self.x(flight.to), self.y(step)),
            Fate::Lost(step) => self.on_the_way(flight, 0.6, self.y(step)),
            Fate::InFlight => {
                let before = self.story.flights.iter().take(place.unwrap_or(0));
                let waiting = before.filter(|it| it.fate == Fate::InFlight).count() as f64;
                self.on_the_way(flight, 0.55, self.end() + 20.0 + 22.0 * waiting)
            }
        };
        (start, end)
    }

    fn start(&self, flight: &Flight) -> Point {
        let original = flight.copy_of.and_then(|it| self.story.flights.get(it));
        match (flight.born, original) {
            (Some(step), Some(_)) => self.on_the_way(flight, 0.5, self.y(step)),
            (Some(step), None) => (self.x(flight.from), self.y(step)),
            (None, _) => (self.x(flight.from), TOP - 14.0),
        }
    }

    fn on_the_way(&self, flight: &Flight, share: f64, y: f64) -> Point {
        let (from, to) = (self.x(flight.from), self.x(flight.to));
        // In the last lane before the recipient, so that it is clear where it was going.
        let lanes = ((to - from) / self.lane).abs().max(1.0);
        let share = (lanes - 1.0 + share) / lanes;
        (from + (to - from) * share, y)
    }

    fn line(&self, out: &mut String, flight: &Flight) {
        let place = self.place(flight);
        let ((x1, y1), (x2, y2)) = self.ends(place, flight);
        let (class, end) = match flight.fate {
            Fate::Delivered(step) => ("delivered", Some(step)),
            Fate::Lost(step) => ("lost", Some(step)),
            Fate::InFlight => ("waiting", None),
        };
        let copy = if flight.copy_of.is_some() {
            " lk-copy"
        } else {
            ""
        };
        let lane1 = self.lane_of("lane1", x1);
        let lane2 = self.lane_of("lane2", x2);
        // The head ends at the bar.
        let toward = if x2 > x1 { -1.0 } else { 1.0 };
        let x2 = if class == "delivered" {
            x2 + toward * 8.0
        } else {
            x2
        };
        put(
            out,
            format_args!(
                "<g class=\"lk-flight lk-{class}{copy}\"{}{}><title>{}</title><line x1=\"{x1:.1}\" \
                 y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"{lane1}{lane2}{}/>",
                attribute("born", flight.born),
                attribute("end", end),
                escape(&flight.sentence),
                if class == "delivered" {
                    " marker-end=\"url(#lk-head)\""
                } else {
                    ""
                },
            ),
        );
        if flight.after_persist && flight.copy_of.is_none() {
            // Where no label covers it.
            let (x, y) = (x1 + (x2 - x1) * 0.4, y1 + (y2 - y1) * 0.4);
            put(
                out,
                format_args!(
                    "<path class=\"lk-durable\"{} d=\"M{x:.1} {:.1} l4 4 l-4 4 l-4 -4 z\"><title>left \
                     once it was durable</title></path>",
                    self.lane_of("lane", x),
                    y - 4.0
                ),
            );
        }
        if flight.copy_of.is_some() {
            put(
                out,
                format_args!(
                    "<circle class=\"lk-split\"{} cx=\"{x1:.1}\" cy=\"{y1:.1}\" r=\"5\"/>",
                    self.lane_of("lane", x1)
                ),
            );
        }
        if class == "lost" {
            put(
                out,
                format_args!(
                    "<path class=\"lk-cross\"{} d=\"M{:.1} {:.1} l10 10 m0 -10 l-10 10\"/>",
                    self.lane_of("lane", x2),
                    x2 - 5.0,
                    y2 - 5.0
                ),
            );
        }
        out.push_str("</g>");
    }

    fn place(&self, flight: &Flight) -> Option<usize> {
        let flights = self.story.flights.iter();
        flights.into_iter().position(|it| std::ptr::eq(it, flight))
    }

    fn flight_label(&self, out: &mut String, place: usize, flight: &Flight) {
        let ((x1, _), (x2, y2)) = self.ends(Some(place), flight);
        let width = text_width(&flight.label) + 12.0;
        let from_left = x1 < x2;
        let (text, x, y, end) = match flight.fate {
            Fate::Delivered(step) => {
                let x = if from_left {
                    x2 - 18.0 - width
                } else {
                    x2 + 18.0
                };
                (flight.label.clone(), x, y2, Some(step))
            }
            Fate::Lost(step) => (
                format!("lost {}", flight.label),
                x2 - width / 2.0,
                y2 + 14.0,
                Some(step),
            ),
            Fate::InFlight => (flight.label.clone(), x2 - width / 2.0, y2, None),
        };
        let width = text_width(&text) + 12.0;
        let class = match flight.fate {
            Fate::Delivered(_) => "delivered",
            Fate::Lost(_) => "lost",
            Fate::InFlight => "waiting",
        };
        put(
            out,
            format_args!(
                "<g class=\"lk-label lk-{class}\"{}{}{}><title>{}</title><rect x=\"{x:.1}\" y=\"{:.1}\" \
                 width=\"{width:.1}\" height=\"17\" rx=\"4\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
                self.lane_of("lane", x2),
                attribute("born", flight.born),
                attribute("end", end),
                escape(&flight.sentence),
                y - 8.5,
                x + width / 2.0,
                y + 4.0,
                escape(&text),
            ),
        );
    }

    /// The event on the lifeline, and what it changed there.
    fn step(&self, out: &mut String, number: usize) {
        let step = &self.story.steps[number];
        let y = self.y(number);
        let Some(server) = step.server else { return };
        let x = self.x(server);
        put(
            out,
            format_args!(
                "<g class=\"lk-step\"{} data-step=\"{number}\">",
                self.lane_of("lane", x)
            ),
        );
        if is_crash(step) {
            put(
                out,
                format_args!(
                    "<path class=\"lk-crash\" d=\"M{:.1} {:.1} l6 5 l-8 3 l6 5\"/>",
                    x - 1.0,
                    y - 6.5
                ),
            );
        } else {
            put(
                out,
                format_args!("<circle class=\"lk-dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"),
            );
        }
        if let Some(label) = &step.label {
            let width = text_width(label) + 12.0;
            let class = if is_crash(step) {
                "lk-label lk-input lk-restart"
            } else {
                "lk-label lk-input"
            };
            put(
                out,
                format_args!(
                    "<g class=\"{class}\"><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"17\" \
                     rx=\"8.5\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
                    x + 12.0,
                    y - 8.5,
                    x + 12.0 + width / 2.0,
                    y + 4.0,
                    escape(label)
                ),
            );
        }
        if let Some(mark) = &step.mark {
            let text = mark_text(mark);
            let width = text_width(&text) + 12.0;
            put(
                out,
                format_args!(
                    "<g class=\"lk-mark lk-{}\"><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" \
                     height=\"15\" rx=\"7.5\"/><text x=\"{x:.1}\" y=\"{:.1}\">{}</text></g>",
                    role_class(mark.role),
                    x - width / 2.0,
                    y + 9.0,
                    y + 20.0,
                    escape(&text)
                ),
            );
        }
        out.push_str("</g>");
    }
}

/// Whether the server was gone for a while.
fn is_crash(step: &StoryStep) -> bool {
    matches!(step.kind, "restart" | "restart_keeping")
}

/// A change on a lifeline, in a few words.
pub fn mark_text(mark: &Mark) -> String {
    let mut parts = Vec::new();
    if mark.new_role {
        let role = match mark.role {
            Role::Follower => "follower",
            Role::PreCandidate => "pre-candidate",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
        };
        parts.push(role.to_owned());
    }
    if let Some(term) = mark.term {
        parts.push(format!("term {term}"));
    }
    if let Some(commit) = mark.commit {
        parts.push(format!("commit {commit}"));
    }
    parts.join(" · ")
}

fn role_class(role: Role) -> &'static str {
    match role {
        Role::Follower => "follower",
        Role::PreCandidate => "pre-candidate",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    }
}

fn attribute(name: &str, value: Option<usize>) -> String {
    value.map_or_else(String::new, |value| format!(" data-{name}=\"{value}\""))
}

fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER
}

/// Cuts the text to at most `most` characters.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// The text in XML.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no way to write the other control characters.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text)
        .expect("writing to a string does not fail");
}
