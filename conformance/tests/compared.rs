//! COMPARED.md says of every field and every target what the targets declare, and gives the reason for each that is
//! not compared.

#[expect(dead_code, reason = "the bounds are for tests that drive the targets")]
mod opinions;

use lockstep_conformance::targets::etcd::StorageWrites;
use lockstep_conformance::targets::lockstep_raft::LockstepRaft;
use lockstep_conformance::targets::raft_rs::RaftRs;
use lockstep_conformance::{Description, Target};
use lockstep_traces::Field;
use opinions::etcd;
use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- made from the descriptions of the targets: begin -->\n";
const END: &str = "<!-- made from the descriptions of the targets: end -->\n";

const COMPARED: &str = "compared";
const DERIVED: &str = "derived";
const NO: &str = "no";

/// Names the fate of a field at a target: compared, derived or not shown.
fn fate(target: &Description, field: Field) -> &'static str {
    if !target.shows.contains(field) {
        NO
    } else if target.derived.contains_key(&field) {
        DERIVED
    } else {
        COMPARED
    }
}

fn table(targets: &[(&str, Description)]) -> String {
    let names: Vec<_> = targets.iter().map(|(name, _)| *name).collect();
    let mut text = format!("| field | {} |\n", names.join(" | "));
    text += &format!("| --- |{}\n", " --- |".repeat(targets.len()));
    for field in Field::ALL {
        let fates: Vec<_> = targets.iter().map(|(_, it)| fate(it, field)).collect();
        text += &format!("| `{field}` | {} |\n", fates.join(" | "));
    }
    text
}

/// The rows of a section that are about fields of the comparison: the fields, what becomes of them, the reason.
fn rows(section: &str) -> Vec<(Vec<Field>, String, String)> {
    let cells = section.lines().filter_map(|line| {
        let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
        let mut cells = line.splitn(3, " | ");
        Some((cells.next()?, cells.next()?, cells.next()?))
    });
    let rows = cells.map(|(names, fate, reason)| {
        let named = |field: &Field| names.split(", ").any(|it| it == format!("`{field}`"));
        let fields = Field::ALL.into_iter().filter(named).collect();
        (fields, fate.to_owned(), reason.to_owned())
    });
    rows.collect()
}

#[test]
fn the_page_says_what_the_targets_declare() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("COMPARED.md");
    let page = fs::read_to_string(&path).unwrap();
    let Some([synchronous, asynchronous]) =
        [StorageWrites::Synchronous, StorageWrites::Asynchronous]
            .map(etcd)
            .map(|it| it.map(|target| target.description()))
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .and_then(|both| <[Description; 2]>::try_from(both).ok())
    else {
        return;
    };
    let targets = [
        ("lockstep-raft", LockstepRaft.description()),
        ("raft-rs", RaftRs::new().description()),
        ("etcd", synchronous),
        ("etcd-async", asynchronous),
    ];
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let made = format!("{before}{BEGIN}{}{END}{after}", table(&targets));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &made).unwrap();
    } else {
        assert!(
            page == made,
            "COMPARED.md is out of date; UPDATE_GOLDEN=1 writes its table again"
        );
    }
    let titles = [
        ("## lockstep-raft\n", &targets[..1]),
        ("## raft-rs ", &targets[1..2]),
        ("## etcd's raft ", &targets[2..]),
    ];
    for (title, targets) in titles {
        let section = made.split_once(title).unwrap().1;
        let section = section.split("\n## ").next().unwrap();
        let rows = rows(section);
        for (name, target) in targets {
            for field in Field::ALL {
                let fate = fate(target, field);
                let explained = rows.iter().any(|(fields, says, reason)| {
                    fields.contains(&field) && says == fate && !reason.is_empty()
                });
                assert!(
                    fate == COMPARED || explained,
                    "{name}: {field} is {fate}, and nothing says why"
                );
            }
        }
        // And nothing is excused that every such target compares.
        for (fields, says, _) in rows
            .iter()
            .filter(|(_, says, _)| says == DERIVED || says == NO)
        {
            for field in fields {
                let stands = targets.iter().any(|(_, it)| fate(it, *field) == says);
                assert!(stands, "{title}{field} is not {says}");
            }
        }
    }
}
