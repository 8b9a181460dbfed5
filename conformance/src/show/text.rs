//! The sequence diagram in text: a column a server, a line a step, for terminals and logs.

use super::story::{Fate, Story, StoryStep};
use super::svg::mark_text;
use lockstep_traces::ServerId;

/// The least width of a diagram, in columns.
pub const LEAST_WIDTH: usize = 60;

/// The diagram, no wider than `width` columns, if that is at least [`LEAST_WIDTH`].
pub fn diagram(story: &Story, width: usize) -> String {
    let canvas = Canvas::new(story, width.max(LEAST_WIDTH));
    let mut out = canvas.heads();
    for number in 0..story.steps.len() {
        canvas.step(number, &mut out);
    }
    let waiting: Vec<_> = story.in_flight().map(|it| it.sentence.as_str()).collect();
    if !waiting.is_empty() {
        let text = format!("in flight: {}", waiting.join("; "));
        let indent = canvas.number + 1;
        for line in wrapped(&text, canvas.width - indent) {
            out.push_str(&format!("{:indent$}{line}\n", ""));
        }
    }
    out
}

struct Canvas<'a> {
    story: &'a Story,
    width: usize,
    /// The width of a step's number.
    number: usize,
    /// The distance between two lifelines.
    lane: usize,
}

impl<'a> Canvas<'a> {
    fn new(story: &'a Story, width: usize) -> Canvas<'a> {
        let lane = match story.servers.len() {
            0..=3 => 9,
            _ => 6,
        };
        Canvas {
            story,
            width,
            number: story.steps.len().to_string().len().max(2),
            lane,
        }
    }

    fn column(&self, server: ServerId) -> usize {
        let servers = &self.story.servers;
        let place = servers.iter().position(|it| *it == server);
        2 + self.lane * place.unwrap_or(0)
    }

    fn lanes(&self) -> usize {
        3 + self.lane * self.story.servers.len().saturating_sub(1) + 2
    }

    fn heads(&self) -> String {
        let mut cells = vec![' '; self.lanes()];
        for server in &self.story.servers {
            let name: Vec<char> = format!("s{server}").chars().collect();
            for (offset, character) in name.into_iter().enumerate() {
                if let Some(cell) = cells.get_mut(self.column(*server) + offset) {
                    *cell = character;
                }
            }
        }
        let line: String = cells.into_iter().collect();
        format!("{:1$}{2}\n", "", self.number, line.trim_end())
    }

    fn step(&self, number: usize, out: &mut String) {
        let step = &self.story.steps[number];
        let mut text = wrapped(&describe(step), self.width - self.number - self.lanes());
        let mut lanes = vec![self.arrow(number)];
        let marks = step.mark.as_ref().map(mark_text);
        text.extend(marks.iter().flat_map(|mark| {
            let mark = format!("  {mark}");
            wrapped(&mark, self.width - self.number - self.lanes())
        }));
        for it in &step.differences {
            let said = format!(
                "  ≠ {}: expected {}, is {}",
                it.what, it.expected, it.actual
            );
            text.extend(wrapped(&said, self.width - self.number - self.lanes()));
        }
        lanes.resize_with(text.len(), || self.still());
        for (place, (lane, text)) in lanes.iter().zip(&text).enumerate() {
            let label = match place {
                0 => (number + 1).to_string(),
                _ => String::new(),
            };
            let line = format!("{label:>0$}{lane}{text}", self.number);
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }

    fn still(&self) -> String {
        self.cells().into_iter().collect()
    }

    fn cells(&self) -> Vec<char> {
        let mut cells = vec![' '; self.lanes()];
        for server in &self.story.servers {
            cells[self.column(*server)] = '│';
        }
        cells
    }

    /// The lifelines, with what happens at this step.
    fn arrow(&self, number: usize) -> String {
        let mut cells = self.cells();
        let step = &self.story.steps[number];
        let ended = |fate: Fate| self.story.flights.iter().find(|it| it.fate == fate);
        let lost = ended(Fate::Lost(number));
        let flight = ended(Fate::Delivered(number)).or(lost);
        let copied = || {
            let mut flights = self.story.flights.iter();
            flights.find(|it| it.copy_of.is_some() && it.born == Some(number))
        };
        if let Some(it) = flight.or_else(copied) {
            let (from, to) = (self.column(it.from), self.column(it.to));
            let (left, right) = (from.min(to), from.max(to));
            for cell in cells.iter_mut().take(right).skip(left + 1) {
                *cell = if *cell == '│' { '┼' } else { '─' };
            }
            cells[from] = if from < to { '├' } else { '┤' };
            // Between two lifelines, in the last lane before the recipient.
            let half = self.lane / 2;
            let middle = if from < to { to - half } else { to + half };
            if lost.is_some() {
                cells[middle] = 'x';
            } else if step.server.is_none() {
                cells[middle] = '2';
            } else {
                cells[to] = '●';
                let before = if from < to { to - 1 } else { to + 1 };
                cells[before] = if from < to { '▶' } else { '◀' };
            }
        } else if let Some(server) = step.server {
            cells[self.column(server)] = if step.kind == "restart" { '╳' } else { '●' };
        }
        cells.into_iter().collect()
    }
}

fn describe(step: &StoryStep) -> String {
    match &step.outcome {
        Some(outcome) => format!("{}: {outcome}", step.sentence),
        None => step.sentence.clone(),
    }
}

/// The text in lines of at most `width` characters, broken between words where there are any; the lines
/// after the first begin as deep as the first and two columns more.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let indent = text.chars().take_while(|it| *it == ' ').count();
    let mut lines = Vec::new();
    let mut line = " ".repeat(indent);
    let mut empty = true;
    for word in text.split_whitespace() {
        let mut word: Vec<char> = word.chars().collect();
        while !word.is_empty() {
            let room = width.saturating_sub(line.chars().count() + usize::from(!empty));
            if word.len() <= room {
                if !empty {
                    line.push(' ');
                }
                line.extend(word.drain(..));
                empty = false;
            } else if empty {
                // Longer than a line.
                let fits = room.max(1).min(word.len());
                line.extend(word.drain(..fits));
                empty = false;
            } else {
                lines.push(std::mem::replace(&mut line, " ".repeat(indent + 2)));
                empty = true;
            }
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn lines_are_no_wider_than_asked_and_lose_nothing() {
        let text =
            "  deliver 1→2 AppendEntries term 1, entries 2..3 after 1@1, averyveryverylongword";
        for width in [12, 20, 40, 80] {
            let lines = wrapped(text, width);
            assert!(
                lines.iter().all(|it| it.chars().count() <= width),
                "{lines:?}"
            );
            let joined: String = lines.concat().split_whitespace().collect();
            let whole: String = text.split_whitespace().collect();
            assert_eq!(joined, whole);
        }
    }
}
