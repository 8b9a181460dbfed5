// One change to a recorded run.

use serde_json::Value;

/// The kinds of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A line is gone.
    Dropped,
    /// A line is there twice.
    Repeated,
    /// Two neighbouring lines of one server have changed places.
    Swapped,
    /// A number of the state, of the log or of the message is another one.
    FieldChanged,
    /// A message is received that nobody has sent.
    NeverSent,
}

impl Kind {
    pub const ALL: [Kind; 5] = [
        Kind::Dropped,
        Kind::Repeated,
        Kind::Swapped,
        Kind::FieldChanged,
        Kind::NeverSent,
    ];

    /// The least share that must be refused, in percent. A `Ready` less or more, an answer that is received twice or not at
    /// all, a heartbeat more: these are runs of Raft, too.
    pub fn least_percent(self) -> usize {
        match self {
            Kind::Dropped => LEAST_DROPPED,
            Kind::Repeated => LEAST_REPEATED,
            Kind::Swapped => LEAST_SWAPPED,
            Kind::FieldChanged => LEAST_CHANGED,
            Kind::NeverSent => 100,
        }
    }
}

const LEAST_DROPPED: usize = 50;
const LEAST_REPEATED: usize = 50;
const LEAST_SWAPPED: usize = 50;
const LEAST_CHANGED: usize = 90;

/// Numbers that follow from a seed (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}

/// The number of lines that follow a change.
const AFTER: usize = 150;

/// A run with one change, cut off some lines after it; `None` where that place has nothing to change.
pub fn mutate(lines: &[&str], kind: Kind, random: &mut Random) -> Option<String> {
    let place = 30 + random.below(lines.len().checked_sub(60)?);
    let end = lines.len().min(place + AFTER);
    let mut out: Vec<String> = lines[..end].iter().map(|line| (*line).to_owned()).collect();
    let event = |line: &str| serde_json::from_str::<Value>(line).ok();
    match kind {
        Kind::Dropped => {
            out.remove(place);
        }
        Kind::Repeated => out.insert(place, lines[place].to_owned()),
        Kind::Swapped => {
            let server = event(lines[place])?["event"]["nid"].clone();
            let other = (place + 1..end).find(|it| {
                event(lines[*it]).is_some_and(|line| line["event"]["nid"] == server)
            })?;
            if lines[place] == lines[other] {
                return None;
            }
            out.swap(place, other);
        }
        Kind::FieldChanged => {
            let mut line = event(lines[place])?;
            let fields = [
                "/event/state/term",
                "/event/state/commit",
                "/event/log",
                "/event/msg/term",
                "/event/msg/index",
                "/event/msg/entries",
                "/event/msg/commit",
                "/event/msg/logTerm",
            ];
            let first = random.below(fields.len());
            let field = (0..fields.len())
                .map(|it| fields[(first + it) % fields.len()])
                .find(|field| line.pointer(field).is_some_and(Value::is_number))?;
            let number = line.pointer_mut(field)?;
            let before = number.as_u64()?;
            let after = match random.below(2) {
                0 if before > 0 => before - 1,
                _ => before + 1,
            };
            *number = after.into();
            out[place] = line.to_string();
        }
        Kind::NeverSent => {
            let from = (place..end).find(|it| lines[*it].contains("\"name\":\"Receive"))?;
            let mut line = event(lines[from])?;
            let index = line.pointer_mut("/event/msg/index")?;
            *index = (index.as_u64()? + 1000).into();
            out.insert(from, line.to_string());
        }
    }
    let mut text = out.join("\n");
    text.push('\n');
    Some(text)
}
