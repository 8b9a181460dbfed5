//! The trace format, both ways: what is written is what was written before, and what is read is right
//! or refused.

mod samples;

use lockstep_traces::*;
use proptest::prelude::*;
use samples::*;
use std::path::Path;

const GOLDEN: &str = include_str!("golden/version-1.ndjson");

fn bytes(trace: &Trace) -> Vec<u8> {
    let mut bytes = Vec::new();
    trace.write(&mut bytes).unwrap();
    bytes
}

fn parse(text: impl AsRef<[u8]>) -> Result<Trace, TraceError> {
    Trace::parse(text.as_ref(), "t.ndjson")
}

/// Set `UPDATE_GOLDEN=1` to rewrite the file. Understand the difference before you commit it: a file
/// that an older Lockstep wrote must stay readable, so a change that is not an addition needs a new
/// version of the format.
#[test]
fn the_golden_file_is_written_and_read() {
    let written = String::from_utf8(bytes(&sample())).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/version-1.ndjson");
        std::fs::write(path, &written).unwrap();
    }
    assert_eq!(written, GOLDEN);
    assert_eq!(parse(GOLDEN).unwrap(), sample());
}

#[test]
fn a_configuration_that_changes_is_written_and_read() {
    let golden = include_str!("golden/version-2-membership.ndjson");
    let written = String::from_utf8(bytes(&change())).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        std::fs::write(folder.join("version-2-membership.ndjson"), &written).unwrap();
    }
    assert_eq!(written, golden);
    assert_eq!(parse(golden).unwrap(), change());
}

#[test]
fn reads_are_written_and_read() {
    let written = String::from_utf8(bytes(&reading())).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/version-2-reads.ndjson");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    assert_eq!(written, golden);
    assert_eq!(parse(&golden).unwrap(), reading());
    for (from, to, line, field) in [
        ("\"lockstep_trace\":2", "\"lockstep_trace\":1", 1, "config"),
        (
            ",\"reads\":\"safe\"",
            "",
            2,
            "event.server.input.read_index",
        ),
        (
            "\"context\":1",
            "\"context\":0",
            2,
            "event.server.input.read_index.context",
        ),
        (
            "\"role\":\"leader\"",
            "\"role\":\"candidate\"",
            3,
            "expect.view.unconfirmed_reads",
        ),
        (
            "\"forwarded_reads\":[1,2,1]",
            "\"forwarded_reads\":[1,0,1]",
            2,
            "expect.view.forwarded_reads.context",
        ),
        (
            "\"vote\":null,\"leader\":1",
            "\"vote\":null,\"leader\":null",
            2,
            "expect.view.forwarded_reads",
        ),
        (
            "{\"round_response\":{\"round\":4}}",
            "{\"round_response\":{\"round\":0}}",
            4,
            "expect.sent[0].message.body.round_response.round",
        ),
    ] {
        assert!(golden.contains(from), "{from}");
        let error = parse(golden.replacen(from, to, 1)).unwrap_err();
        assert_eq!((error.line, error.field.as_str()), (line, field), "{to}");
    }
    // A read that is given up has no index, or null.
    let null = golden.replacen("[{\"context\":1}]", "[{\"context\":1,\"index\":null}]", 1);
    assert_ne!(null, golden);
    assert_eq!(parse(&null).unwrap(), reading());
    let lease = golden.replacen("\"safe\"", "\"lease_based\"", 1);
    assert!(parse(&lease).is_ok());
    let error = parse(lease.replacen("\"check_quorum\":true", "\"check_quorum\":false", 1));
    assert_eq!(error.unwrap_err().field, "config.reads");
}

#[test]
fn a_change_needs_a_configuration_that_may_change() {
    let golden = include_str!("golden/version-2-membership.ndjson");
    for (from, to, line, field) in [
        ("\"lockstep_trace\":2", "\"lockstep_trace\":1", 1, "config"),
        ("\"voters\":[1,2],", "", 1, "config.voters"),
        ("\"voters\":[1,2]", "\"voters\":[2,1]", 1, "config.voters"),
        ("\"voters\":[1,2]", "\"voters\":[1,4]", 1, "config.voters"),
        ("\"learners\":[3]", "\"learners\":[2]", 1, "config.learners"),
        (
            "\"outgoing\":[1,2],",
            "",
            2,
            "expect.view.configuration.outgoing",
        ),
        (
            "\"add_voter\":3",
            "\"add_voter\":4",
            2,
            "event.server.input.propose_conf_change",
        ),
        (
            "{\"changes\":[]}",
            "{\"changes\":[],\"transition\":\"implicit\"}",
            2,
            "expect.view.log[1].payload.conf_change.transition",
        ),
    ] {
        assert!(golden.contains(from), "{from}");
        let error = parse(golden.replacen(from, to, 1)).unwrap_err();
        assert_eq!((error.line, error.field.as_str()), (line, field), "{to}");
    }
}

#[test]
fn what_is_outstanding_is_written_and_read() {
    let golden = include_str!("golden/version-2-storage.ndjson");
    let written = String::from_utf8(bytes(&outstanding())).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        std::fs::write(folder.join("version-2-storage.ndjson"), &written).unwrap();
    }
    assert_eq!(written, golden);
    assert_eq!(parse(golden).unwrap(), outstanding());
    for (from, to, line, field) in [
        ("\"lockstep_trace\":2", "\"lockstep_trace\":1", 1, "config"),
        (
            "\"storage\":\"async\",",
            "",
            1,
            "config.application_in_memory",
        ),
        (
            "\"writes\":1",
            "\"writes\":0",
            4,
            "event.server.input.restart_keeping.writes",
        ),
    ] {
        assert!(golden.contains(from), "{from}");
        let error = parse(golden.replacen(from, to, 1)).unwrap_err();
        assert_eq!((error.line, error.field.as_str()), (line, field), "{to}");
    }
}

#[test]
fn a_counterexample_names_its_property() {
    let golden = include_str!("golden/version-2.ndjson");
    let written = String::from_utf8(bytes(&counterexample())).unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/version-2.ndjson");
        std::fs::write(path, &written).unwrap();
    }
    assert_eq!(written, golden);
    assert_eq!(parse(golden).unwrap(), counterexample());
}

#[test]
fn a_property_is_a_field_of_version_2_and_of_no_other() {
    let golden = include_str!("golden/version-2.ndjson");
    let property = ",\"property\":\"lease_step\"";
    let old = ("\"lockstep_trace\":2", "\"lockstep_trace\":1");
    for (from, to) in [(property, ",\"property\":\"\""), old] {
        assert!(golden.contains(from));
        let error = parse(golden.replacen(from, to, 1)).unwrap_err();
        assert_eq!((error.line, error.field.as_str()), (1, "property"));
    }
    let trace = parse(golden.replacen(property, "", 1)).unwrap();
    assert_eq!((trace.header.version, trace.header.property), (2, None));
    let none = golden.replacen(property, "", 1).replacen(old.0, old.1, 1);
    let error = parse(none).unwrap_err();
    assert_eq!((error.line, error.field.as_str()), (1, "config"));
    let error = parse(golden.replacen(":2", ":3", 1)).unwrap_err();
    assert!(matches!(
        error.problem,
        Problem::UnknownVersion { found: 3 }
    ));
}

#[test]
fn what_is_supposed_of_clocks_is_one_of_two_words_of_version_2() {
    let golden = include_str!("golden/version-2-reads.ndjson");
    let other = golden.replacen("\"timing\":\"silent\"", "\"timing\":\"free\"", 1);
    let old = include_str!("golden/version-1.ndjson");
    let old = old.replacen("\"seed\":7", "\"seed\":7,\"timing\":\"silent\"", 1);
    for wrong in [other, old] {
        let error = parse(wrong).unwrap_err();
        assert_eq!((error.line, error.field.as_str()), (1, "made.timing"));
    }
}

#[test]
fn the_example_of_the_readme_is_a_trace() {
    let readme = include_str!("../README.md");
    let example = readme.split("```json\n").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    assert_eq!(parse(example).unwrap().steps.len(), 2);
}

#[test]
fn a_saved_trace_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sample.ndjson");
    sample().save(&path).unwrap();
    assert_eq!(Trace::read(&path).unwrap(), sample());
    assert_eq!(trace_files(dir.path()).unwrap().traces, [path]);
}

/// The one thing that may be missing is the line feed at the very end.
#[test]
fn no_part_of_a_trace_is_a_trace() {
    for end in 0..GOLDEN.len() - 1 {
        assert!(parse(&GOLDEN[..end]).is_err(), "the first {end} bytes");
    }
    assert!(parse(&GOLDEN[..GOLDEN.len() - 1]).is_ok());
    let lines: Vec<_> = GOLDEN.lines().collect();
    for lost in 0..lines.len() {
        let mut lines = lines.clone();
        lines.remove(lost);
        assert!(
            parse(lines.join("\n")).is_err(),
            "without line {}",
            lost + 1
        );
    }
}

#[test]
fn after_an_error_there_is_nothing() {
    let cut = GOLDEN.lines().take(3).collect::<Vec<_>>().join("\n");
    let mut reader = TraceReader::new(cut.as_bytes(), "cut").unwrap();
    assert!(reader.next().unwrap().is_ok());
    assert!(reader.next().unwrap().is_ok());
    assert!(reader.next().unwrap().is_err());
    assert!(reader.next().is_none());
}

#[test]
fn the_writer_refuses_what_the_reader_would() {
    let mut trace = sample();
    trace.steps.clear();
    assert!(trace.write(Vec::new()).is_err());
    let mut trace = sample();
    trace.steps[0].expected = None;
    assert!(trace.write(Vec::new()).is_err());
    let mut trace = sample();
    trace.header.name = "../up".to_owned();
    assert!(trace.write(Vec::new()).is_err());
}

/// Each mistake with the message that a person gets.
#[test]
fn errors_name_line_and_field() {
    let edit = |from: &str, to: &str| {
        let text = GOLDEN.replacen(from, to, 1);
        assert_ne!(text, GOLDEN, "nothing to replace: {from}");
        parse(text).unwrap_err().to_string()
    };
    let mut errors = vec![
        edit("\"lockstep_trace\":1", "\"lockstep_trace\":3"),
        edit("\"lockstep_trace\":1,", ""),
        edit("\"name\":\"sample\"", "\"name\":\"a/b\""),
        edit("\"servers\":2", "\"servers\":0"),
        edit("\"servers\":2", "\"servers\":1"),
        edit("\"max_inflight\":2", "\"max_inflight\":0"),
        edit("\"pre_vote\":true,", ""),
        edit("\"pre_vote\":true", "\"pre_vote\":true,\"color\":1"),
        edit("\"step\":3", "\"step\":4"),
        edit("\"step\":3,", ""),
        edit("\"steps\":18", "\"steps\":17"),
        edit("{\"end\"", "{\"step\":19,\"end\""),
        edit("\"timeout\"", "\"time_out\""),
        edit("\"server\":1", "\"server\":0"),
        edit("\"from\":1,\"to\":2", "\"from\":2,\"to\":1"),
        edit(
            "\"deliver\":{\"from\":1,\"to\":2",
            "\"deliver\":{\"from\":2,\"to\":1",
        ),
        edit("\"1\":true", "\"3\":true"),
        edit("\"2\":false", "\"1\":false"),
        edit("\"granted\":true", "\"granted\":1"),
        edit("\"outcome\":\"accepted\",", ""),
        edit("\"term\":0", "\"term\":-1"),
        edit("\"term\":0", "\"term\":9007199254740992"),
        edit("\"applied\":1", "\"applied\":2"),
        edit("\"commit\":1,\"applied\":1", "\"commit\":3,\"applied\":1"),
        edit("\"log\":[{\"term\":1", "\"log\":[{\"term\":2"),
        edit("\"next\":3", "\"next\":\"3\""),
        edit("\"lease\":false", "\"lease\":true"),
    ];
    errors.push(parse("").unwrap_err().to_string());
    errors.push(parse("[]\n").unwrap_err().to_string());
    errors.push(parse(b"\xff\n").unwrap_err().to_string());
    errors.push(parse(format!("{GOLDEN}\n")).unwrap_err().to_string());
    let header = GOLDEN.lines().next().unwrap();
    errors.push(parse(header).unwrap_err().to_string());
    let empty = format!("{header}\n{{\"end\":{{\"steps\":0}}}}\n");
    errors.push(parse(empty).unwrap_err().to_string());
    let missing = Trace::read(Path::new("no/such.ndjson")).unwrap_err();
    errors.push(missing.to_string());
    insta::assert_snapshot!(errors.join("\n"));
}

/// A byte order mark and other line ends, as editors and other systems make them, are read, or the error names them.
#[test]
fn a_byte_order_mark_and_other_line_ends_are_read_or_named() {
    let plain = bytes(&sample());
    let marked = [b"\xef\xbb\xbf", &plain[..]].concat();
    assert_eq!(parse(marked).unwrap(), sample());
    let text = String::from_utf8(plain).unwrap();
    assert_eq!(parse(text.replace('\n', "\r\n")).unwrap(), sample());
    let little = text.encode_utf16().flat_map(u16::to_le_bytes);
    let little: Vec<u8> = [0xff, 0xfe].into_iter().chain(little).collect();
    let big = text.encode_utf16().flat_map(u16::to_be_bytes);
    let big: Vec<u8> = [0xfe, 0xff].into_iter().chain(big).collect();
    for file in [little, big] {
        let error = parse(file).unwrap_err().to_string();
        assert!(error.contains("UTF-16"), "{error}");
    }
}

#[test]
fn a_line_without_end_is_not_read_into_memory() {
    let endless = std::io::BufReader::new(std::io::repeat(b'x'));
    let error = TraceReader::new(endless, "endless").err().unwrap();
    assert!(
        matches!(error.problem, Problem::LineTooLong { .. }),
        "{error}"
    );
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let deep = GOLDEN.replacen("\"sample\"", &"[".repeat(100_000), 1);
    assert!(parse(deep).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Any bytes, when read, give a trace that can be written and read again, or an error that names the source.
    #[test]
    fn mutated_files_never_panic(
        edits in prop::collection::vec(
            (0..GOLDEN.len(), prop_oneof![
                any::<u8>().prop_map(|byte| vec![byte]),
                "[0-9\\[\\]{}\",:\n-]{0,6}".prop_map(String::into_bytes),
                Just(b"null".to_vec()),
                Just(b"18446744073709551615".to_vec()),
            ], 0..20_usize),
            1..4,
        ),
    ) {
        let mut file = GOLDEN.as_bytes().to_vec();
        for (at, with, cut) in edits {
            let at = at.min(file.len());
            let end = (at + cut).min(file.len());
            file.splice(at..end, with);
        }
        match parse(&file) {
            Ok(trace) => prop_assert_eq!(parse(bytes(&trace)).unwrap(), trace),
            Err(error) => prop_assert!(error.to_string().starts_with("t.ndjson:")),
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(file in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(parse(file).is_err());
    }
}
