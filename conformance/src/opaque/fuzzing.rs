//! Entry points of the fuzzer. Not part of the interface.

use super::trace::OpaqueTrace;
use super::view::{highest_value, node_view};
use super::wire::{Answer, Description, MOST_INPUTS, Reply, View};
use crate::targets::exec::child::parse;
use crate::targets::exec::fuzzing::check_complaint;
use crate::targets::exec::limits::NAME_CHARS;
use lockstep_traces::ServerId;
use serde::Deserialize;
use serde_json::Value;

/// Reads any lines as the replies of a program with opaque messages, and as a file with a way to a violation. True if
/// one of the lines is a reply, or all of them are such a file.
///
/// # Panics
/// If a view is another one after it was printed and read again, a description breaks its limits, a file is another one
/// after it was written and read again, or an error does not say where it is.
pub fn read_opaque_replies(bytes: &[u8]) -> bool {
    let mut taken = false;
    let mut description = None;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let reply = parse::<Reply>(line);
        taken |= reply.is_ok();
        match reply {
            Ok(Reply::Description(says)) => {
                if let Ok(says) = *says {
                    check_description(&says);
                    description = Some(says);
                }
            }
            Ok(Reply::Answer { answer, .. }) => check_answer(&answer, description.as_ref()),
            Ok(Reply::Error(_)) => {}
            Err(why) => check_complaint(&why),
        }
    }
    read_file(bytes) || taken
}

fn check_description(says: &Description) {
    assert!((1..=MOST_INPUTS).contains(&says.inputs.len()));
    let texts = [&says.name, &says.version];
    assert!(texts.iter().all(|it| it.chars().count() <= NAME_CHARS));
}

fn check_answer(answer: &Answer, description: Option<&Description>) {
    let Answer::Moved { view, text, .. } = answer else {
        return;
    };
    let again: Value = serde_json::from_str(text).expect("the text is JSON");
    let again = View::deserialize(again).expect("the text is a view");
    assert_eq!(again, **view, "another view than the text of it");
    let Some(description) = description else {
        return;
    };
    for id in (1..=3).filter_map(ServerId::new) {
        if let Ok(shown) = node_view(id, view, description) {
            assert_eq!(shown.log.len(), view.log.len());
            highest_value(&shown);
        }
    }
}

fn read_file(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    match OpaqueTrace::parse(text) {
        Ok(trace) => {
            let again = OpaqueTrace::parse(&trace.to_lines());
            assert_eq!(again.as_ref(), Ok(&trace), "another file after writing");
            let mut before = None;
            for step in &trace.steps {
                assert!(!step.event_in_words().is_empty());
                step.sent_in_words();
                step.changes(before);
                before = step.view.as_ref();
            }
            true
        }
        Err(error) => {
            let lines = text.lines().count().max(1);
            assert!((1..=lines).contains(&error.line), "{error} of {lines}");
            assert!(!error.what.is_empty());
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_told_from_noise() {
        assert!(read_opaque_replies(br#"{"op":"error","message":"no"}"#));
        assert!(!read_opaque_replies(b"Segmentation fault\n\xff\xfe\n"));
    }

    /// The largest number has no successor.
    #[test]
    fn the_largest_match_is_read() {
        let description = r#"{"op":"describe","protocol":2,"messages":"opaque","name":"n","version":"1",
            "inputs":{"timeout":{}},"fields":["role","term","log","commit","match"]}"#;
        let answer = r#"{"op":"answer","id":1,"state":1,"view":{"role":"leader","term":1,"log":[],"commit":0,
            "match":{"2":18446744073709551615}}}"#;
        let lines = [description, answer].map(|it| it.replace('\n', ""));
        assert!(read_opaque_replies(lines.join("\n").as_bytes()));
    }

    #[test]
    #[should_panic(expected = "another view")]
    fn a_text_that_is_not_the_view_is_noticed() {
        let text = r#"{"role":"leader","term":1,"log":[],"commit":0}"#;
        check_answer(
            &Answer::Moved {
                state: Value::Null,
                saved: None,
                view: Box::new(serde_json::from_str(text).unwrap()),
                text: text.replace("\"term\":1", "\"term\":2"),
                sent: Vec::new(),
            },
            None,
        );
    }
}
