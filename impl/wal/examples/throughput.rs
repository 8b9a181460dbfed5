//! Writes per second with 1, 16 and 256 threads that each wait for their own write.
//!
//! ```sh
//! cargo run --release -p lockstep-wal --example throughput -- [FOLDER] [SECONDS]
//! ```

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use lockstep_raft::{Entry, Index, NodeId, Term};
use lockstep_wal::{Metadata, Options, Wal, Write};

const PAYLOAD: &[u8] = &[7; 256];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let above = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds = arguments.next().map_or(Ok(3.0), |it| it.parse())?;
    let length = Duration::from_secs_f64(seconds);
    println!("| waiting | writes/s | p50 | p99 |\n| ---: | ---: | ---: | ---: |");
    for waiting in [1, 16, 256] {
        let folder = tempfile::tempdir_in(&above)?;
        let member_id = NodeId::new(1).ok_or("zero")?;
        let options = Options::new(Metadata {
            cluster_id: 1,
            member_id,
        });
        let (wal, _) = Wal::open(folder.path(), options)?;
        let mut times = measure(&wal, waiting, length);
        times.sort_unstable();
        let at = |share: usize| times[times.len() * share / 100];
        let rate = times.len() as f64 / seconds;
        println!(
            "| {waiting} | {rate:.0} | {:.2?} | {:.2?} |",
            at(50),
            at(99)
        );
        wal.close()?;
    }
    Ok(())
}

/// The time that each write took.
fn measure(wal: &Wal, waiting: usize, length: Duration) -> Vec<Duration> {
    let next = Mutex::new(1);
    let end = Instant::now() + length;
    let one = || {
        let mut times = Vec::new();
        let (done, result) = mpsc::channel();
        while Instant::now() < end {
            let start = Instant::now();
            {
                // Entries are handed in by ascending index.
                let mut next = next.lock().expect("nobody panics");
                let entry = Entry {
                    term: Term(1),
                    index: Index(*next),
                    data: PAYLOAD.into(),
                    ..Entry::default()
                };
                *next += 1;
                let done = done.clone();
                let write = Write {
                    entries: vec![entry],
                    ..Write::default()
                };
                wal.append(write, move |result| drop(done.send(result)));
            }
            result
                .recv()
                .expect("it is answered")
                .expect("it is written");
            times.push(start.elapsed());
        }
        times
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..waiting).map(|_| scope.spawn(one)).collect();
        let times = threads.into_iter().map(|it| it.join().expect("no panic"));
        times.flatten().collect()
    })
}
