//! Memory of an idle server, ours and that of the `raft` crate: the bytes that are allocated while it is
//! built as a follower of a group, with its memory storage.
//!
//! `cargo bench -p lockstep-raft --bench memory` prints the table.

#[path = "support/nodes.rs"]
mod nodes;

use std::alloc::System;
use std::hint::black_box;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes in use after one of them was made, averaged over many.
fn bytes_each<T>(make: impl Fn(u64) -> T) -> usize {
    const COUNT: usize = 1000;
    let mut servers = Vec::with_capacity(COUNT);
    let region = Region::new(ALLOCATOR);
    for number in 0..COUNT as u64 {
        servers.push(make(number % 3 + 1));
    }
    let stats = region.change();
    black_box(&servers);
    (stats.bytes_allocated - stats.bytes_deallocated) / COUNT + size_of::<T>()
}

fn main() {
    println!("| idle follower with its storage | lockstep-raft | raft-rs 0.7 | ratio |");
    println!("|---|---:|---:|---:|");
    for voters in [3, 5, 101] {
        let ours = bytes_each(|id| nodes::ours(id, voters));
        let theirs = bytes_each(|id| nodes::raft_rs(id, voters));
        let ratio = theirs as f64 / ours as f64;
        println!("| {voters} voters | {ours} B | {theirs} B | {ratio:.2} |");
    }
}
