//! Records a group of servers with random faults: `record FOLDER [SEED] [STEPS] [WORD…]`.

mod cluster;

use cluster::{Cluster, Options};
use lockstep_record::Recorder;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: record FOLDER [SEED] [STEPS] [WORD…]
words: careful (PreVote and CheckQuorum), async, crashes, snapshots, changes, reads, bootstrap, no-causes, five";

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or(USAGE)?);
    let mut options = Options::default();
    if let Some(seed) = arguments.next() {
        options.seed = seed.parse().map_err(|_| USAGE)?;
    }
    if let Some(steps) = arguments.next() {
        options.steps = steps.parse().map_err(|_| USAGE)?;
    }
    for word in arguments {
        match word.as_str() {
            "careful" => options.careful = true,
            "async" => options.async_storage = true,
            "crashes" => options.crashes = true,
            "snapshots" => options.snapshots = true,
            "changes" => options.changes = true,
            "reads" => options.reads = true,
            "bootstrap" => options.bootstrap = true,
            "no-causes" => options.causes = false,
            "five" => options.servers = 5,
            _ => return Err(USAGE.into()),
        }
    }
    std::fs::create_dir_all(&folder)?;
    if std::fs::read_dir(&folder)?.next().is_some() {
        return Err(format!("{} is not empty", folder.display()).into());
    }
    let open = |id| {
        let recorder = Recorder::open(&folder, id, 64 << 20);
        recorder.unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    };
    let mut cluster = Cluster::new(&options, open)?;
    cluster.run()?;
    for node in cluster.nodes() {
        node.observer_mut().flush();
        if let Some(error) = node.observer().failure() {
            return Err(error.to_string().into());
        }
    }
    println!("{} entries were applied", cluster.applied);
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
