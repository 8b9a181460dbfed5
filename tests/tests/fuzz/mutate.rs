//! Changes of inputs, for the test that runs the bodies of the fuzz targets without a fuzzer.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// The most changes of one input.
const MOST_CHANGES: u32 = 4;

/// Numbers at which arithmetic goes wrong, and words of JSON.
const WORDS: [&str; 16] = [
    "0",
    "1",
    "-1",
    "255",
    "65536",
    "4294967295",
    "9007199254740991",
    "9007199254740992",
    "9223372036854775807",
    "18446744073709551615",
    "1e999",
    "null",
    "true",
    "[]",
    "{}",
    "\"\\u0000\"",
];

/// An input that is made from a seed and these inputs: mostly one of them with some changes.
pub fn input(seed: u64, from: &[Vec<u8>]) -> Vec<u8> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut bytes = from[random.random_range(0..from.len())].clone();
    for _ in 0..random.random_range(1..=MOST_CHANGES) {
        let other = &from[random.random_range(0..from.len())];
        match random.random_range(0..10) {
            0 => flip(&mut bytes, &mut random),
            1 => cut(&mut bytes, &mut random),
            2 => insert(&mut bytes, &mut random),
            3 => splice(&mut bytes, other, &mut random),
            4 => move_line(&mut bytes, &mut random),
            5 => foreign_line(&mut bytes, other, &mut random),
            6 => remove(&mut bytes, &mut random),
            _ => replace_number(&mut bytes, &mut random),
        }
    }
    bytes
}

fn place(bytes: &[u8], random: &mut SmallRng) -> usize {
    random.random_range(0..=bytes.len())
}

fn span(bytes: &[u8], random: &mut SmallRng) -> std::ops::Range<usize> {
    let start = place(bytes, random);
    let length = random.random_range(0..=32.min(bytes.len() - start));
    start..start + length
}

fn flip(bytes: &mut [u8], random: &mut SmallRng) {
    if !bytes.is_empty() {
        let at = random.random_range(0..bytes.len());
        bytes[at] ^= 1 << random.random_range(0..8);
    }
}

fn cut(bytes: &mut Vec<u8>, random: &mut SmallRng) {
    bytes.truncate(place(bytes, random));
}

fn insert(bytes: &mut Vec<u8>, random: &mut SmallRng) {
    let at = place(bytes, random);
    let new: Vec<u8> = (0..random.random_range(1..5))
        .map(|_| random.random())
        .collect();
    bytes.splice(at..at, new);
}

fn remove(bytes: &mut Vec<u8>, random: &mut SmallRng) {
    let span = span(bytes, random);
    bytes.drain(span);
}

/// The beginning of one and the end of another.
fn splice(bytes: &mut Vec<u8>, other: &[u8], random: &mut SmallRng) {
    bytes.truncate(place(bytes, random));
    bytes.extend_from_slice(&other[place(other, random)..]);
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

/// A line at another place, or twice.
fn move_line(bytes: &mut Vec<u8>, random: &mut SmallRng) {
    let mut lines = lines(bytes);
    if !lines.is_empty() {
        let from = random.random_range(0..lines.len());
        let line = lines[from];
        if random.random() {
            lines.remove(from);
        }
        lines.insert(random.random_range(0..=lines.len()), line);
        *bytes = lines.concat();
    }
}

/// A line of another input.
fn foreign_line(bytes: &mut Vec<u8>, other: &[u8], random: &mut SmallRng) {
    let (mut ours, theirs) = (lines(bytes), lines(other));
    if !theirs.is_empty() {
        let line = theirs[random.random_range(0..theirs.len())];
        ours.insert(random.random_range(0..=ours.len()), line);
        *bytes = ours.concat();
    }
}

/// A number or word in the place of a number, so that most of the rest is still understood.
fn replace_number(bytes: &mut Vec<u8>, random: &mut SmallRng) {
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let starts: Vec<usize> = (0..bytes.len())
        .filter(|at| is_digit(*at) && (*at == 0 || !is_digit(at - 1)))
        .collect();
    if starts.is_empty() {
        return;
    }
    let start = starts[random.random_range(0..starts.len())];
    let length = bytes[start..].iter().take_while(|it| it.is_ascii_digit());
    let end = start + length.count();
    let word = match random.random_range(0..3) {
        0 => WORDS[random.random_range(0..WORDS.len())].to_owned(),
        _ => random.random_range(0..8).to_string(),
    };
    bytes.splice(start..end, word.into_bytes());
}
