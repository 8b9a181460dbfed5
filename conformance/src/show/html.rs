//! A page that shows a story and needs nothing else: no server, no network.

use super::story::Story;
use super::svg::{escape, svg};
use serde::Serialize;

const SCRIPT: &str = include_str!("../../explorer/dist/show.js");
/// The style of every page.
pub const STYLE: &str = include_str!("../../explorer/dist/style.css");

/// The data for the script of the page.
#[derive(Serialize)]
struct Shown<'a> {
    story: &'a Story,
    notes: &'a [String],
    version: &'static str,
}

/// The page of a story; `notes` are sentences that stand below its title.
pub fn page(story: &Story, notes: &[String]) -> String {
    let shown = Shown {
        story,
        notes,
        version: env!("CARGO_PKG_VERSION"),
    };
    // A story is plain data with string keys.
    let data = serde_json::to_string(&shown).expect("a story has a JSON form");
    let title = escape(&story.name);
    let purpose = escape(&story.purpose);
    let picture = svg(story);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light \
         dark\">\n<title>{title} · Lockstep</title>\n<style>{STYLE}</style>\n</head>\n<body class=\"show\">\n\
         <div id=\"app\"><h1>{title}</h1><p>{purpose}</p><div id=\"picture\">{picture}</div></div>\n<script \
         type=\"application/json\" id=\"data\">{}</script>\n<script>{}</script>\n</body>\n</html>\n",
        in_script(&data),
        in_script(SCRIPT),
    )
}

/// JSON or a script such that no text in it can end the element that it stands in. `<\/` and `\u003c` mean
/// the same as `</` and `<` inside the strings of both.
fn in_script(text: &str) -> String {
    text.replace("</", "<\\/").replace("<!--", "\\u003c!--")
}
