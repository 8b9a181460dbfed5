//! Traces to look at: as a sequence diagram in SVG, Mermaid or text, and as a page that needs nothing else.
//!
//! [`Story`] says once which message came from which step and what became of it; every picture is a pure
//! function of a story.

mod beside;
mod html;
mod mermaid;
mod story;
mod svg;
#[cfg(test)]
mod tests;
mod text;

pub use beside::{Beside, BesideStep, beside};
pub use html::{STYLE, page};
pub use mermaid::mermaid;
pub use story::{Actual, Fate, Flight, Mark, Story, StoryStep};
pub use svg::{escape, svg};
pub use text::{LEAST_WIDTH, diagram};
