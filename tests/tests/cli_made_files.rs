//! Files that the command line makes from itself: completions, manual pages, and graphs for Graphviz.

use assert_cmd::Command;
use lockstep_tests::binary;
use std::collections::BTreeSet;
use std::fs;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("there is a place for temporary files")
}

/// Standard output of a command that succeeds.
fn run(folder: &TempDir, arguments: &str) -> String {
    let assert = Command::from_std(binary::lockstep())
        .args(arguments.split_whitespace())
        .current_dir(folder.path())
        .assert()
        .success();
    String::from_utf8(assert.get_output().stdout.clone()).expect("it writes text")
}

/// The verbs, as `--help` lists them.
fn verbs(folder: &TempDir) -> BTreeSet<String> {
    let help = run(folder, "--help");
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let verb = |line: &str| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty() && name != "help").then(|| name.to_owned())
    };
    let verbs: BTreeSet<_> = commands
        .take_while(|line| !line.is_empty())
        .filter_map(verb)
        .collect();
    assert!(verbs.len() > 15, "{verbs:?}");
    verbs
}

#[test]
fn every_shell_completes_every_verb() {
    let here = folder();
    let verbs = verbs(&here);
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(&here, &format!("completions {shell}"));
        for verb in &verbs {
            assert!(
                script.contains(verb.as_str()),
                "{shell} does not know {verb}"
            );
        }
        assert!(
            script.contains("--preset") || script.contains("-l preset"),
            "{shell}"
        );
    }
}

/// Bash takes the script, and completes the beginning of a verb with it.
#[test]
fn bash_completes_a_verb() {
    let here = folder();
    fs::write(
        here.path().join("completions"),
        run(&here, "completions bash"),
    )
    .expect("a file");
    let script = "source ./completions; COMP_WORDS=(lockstep simu); COMP_CWORD=1; _lockstep lockstep simu lockstep; \
                  echo \"${COMPREPLY[@]}\"";
    let output = match std::process::Command::new("bash")
        .args(["--norc", "-c", script])
        .current_dir(here.path())
        .output()
    {
        Ok(output) => output,
        Err(error) => return eprintln!("skipped, there is no bash: {error}"),
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "simulate",
        "{errors}"
    );
}

#[test]
fn every_verb_has_a_manual_page() {
    let here = folder();
    run(&here, "man --out pages/of/the/manual");
    let page = |name: &str| {
        let path = here.path().join("pages/of/the/manual").join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    assert!(page("lockstep.1").contains(".SH SUBCOMMANDS"));
    for verb in verbs(&here) {
        let text = page(&format!("lockstep-{verb}.1"));
        // The marks of a manual page: title, name and options.
        for part in [".TH lockstep", ".SH NAME", ".SH SYNOPSIS", ".SH OPTIONS"] {
            assert!(text.contains(part), "{verb}: no {part} in {text}");
        }
    }
}

/// The graph has a node for every state that a search finds, and only edges between nodes.
#[test]
fn a_graph_has_every_state_and_no_loose_end() {
    let here = folder();
    let checked = run(&here, "check --preset single --format json");
    let report: serde_json::Value = serde_json::from_str(&checked).expect("a report in JSON");
    let states = report["jobs"][0]["detail"]["distinct"]
        .as_u64()
        .expect("a number of states");

    run(&here, "graph --preset single --out graph.dot");
    let graph = fs::read_to_string(here.path().join("graph.dot")).expect("a graph");
    assert_eq!(graph, run(&here, "graph --preset single"));
    assert!(graph.starts_with("digraph \"single\" {"), "{graph}");
    assert!(graph.ends_with("}\n"), "{graph}");
    let lines = || graph.lines().map(str::trim);
    let node = |line: &str| {
        line.split([' ', '[', ';'])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let nodes: BTreeSet<_> = lines()
        .filter(|line| line.starts_with('s') && !line.contains("->"))
        .map(node)
        .collect();
    assert_eq!(nodes.len() as u64, states);
    let mut edges = 0;
    for line in lines().filter(|line| line.contains("->")) {
        let (from, to) = line.split_once("->").expect("an arrow");
        for end in [from, to] {
            assert!(nodes.contains(&node(end.trim())), "{line}");
        }
        edges += 1;
    }
    // Every state but the first is reached.
    assert!(edges as u64 >= states - 1, "{edges}");

    let refused = Command::from_std(binary::lockstep())
        .args(["graph", "--preset", "default"])
        .current_dir(here.path())
        .assert()
        .code(2);
    let errors = String::from_utf8_lossy(&refused.get_output().stderr).into_owned();
    assert!(errors.contains("500"), "{errors}");
}
