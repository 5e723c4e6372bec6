// SPDX-License-Identifier: BSD-3-Clause

//! What was never written, or is given back, costs nothing: zeros and unmaps over a volume far larger than its base.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::nvme_tcp::IoCommand;
use tests::target::{Rig, Server};

use crate::blocks::{content, Blocks, Bytes};
use crate::fixture::{counter, create, malloc, number, rig, target};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const BLOCK: u64 = engine::BLOCK_SIZE as u64;
/// 4 PiB, in MiB.
const LOGICAL_MIB: u64 = 1 << 32;
/// Blocks that are mapped, each in a leaf page of its own.
const MAPPED: u64 = 4_000;
/// Blocks that one deallocation can have.
const LONGEST: u64 = u32::MAX as u64;

fn huge(server: &Server) -> Blocks {
    malloc(server, "Base", 256, BLOCK);
    create(server, json!({"base_bdev_name": "Base", "name": "D0", "logical_size_mib": LOGICAL_MIB})).expect("created");
    Blocks::connect(server, "D0", 128)
}

fn map_pages(server: &Server) -> u64 {
    counter(server, "D0", "block_map_pages")
}

/// Executes commands without data, which must succeed; returns how long that took.
fn timed(blocks: &mut Blocks, commands: impl IntoIterator<Item = IoCommand>) -> Duration {
    let commands: Vec<_> = commands.into_iter().map(|command| (command, Bytes::new())).collect();
    let began = Instant::now();
    for (status, _) in blocks.execute(commands) {
        assert!(status.is_success(), "{status}");
    }
    began.elapsed()
}

/// The whole volume, unmapped.
fn unmap_all() -> impl Iterator<Item = IoCommand> {
    let blocks = LOGICAL_MIB * MIB / BLOCK;
    (0..blocks).step_by(LONGEST as usize).map(move |lba| {
        let left = (blocks - lba).min(LONGEST);
        IoCommand::Deallocate { lba, blocks: left as u32 }
    })
}

/// 100 GiB of zeros by command, 1 GiB of zeros by content, and an unmap of 4 PiB make no page of
/// the block map on a base of 256 MiB; what was written among them is given back with the pages that led to it.
#[test]
fn a_huge_hole_costs_nothing() {
    let rig = rig(1);
    let server = target(&rig);
    let mut blocks = huge(&server);
    let zeros = |gib: u64| {
        let blocks = gib * GIB / BLOCK;
        (0..blocks).step_by(1 << 16).map(|lba| IoCommand::WriteZeroes { lba, blocks: 1 << 16 })
    };
    let time = timed(&mut blocks, zeros(100));
    println!("100 GiB of zeros, by 400 commands: {time:?}");
    assert!(time < Duration::from_secs(5), "{time:?}");
    let began = Instant::now();
    let write = |lba: u64| (IoCommand::Write { lba, blocks: 32 }, vec![0; 32 * BLOCK as usize]);
    for (status, _) in blocks.execute((0..GIB / BLOCK).step_by(32).map(write).collect()) {
        assert!(status.is_success(), "{status}");
    }
    println!("1 GiB of zeros by content: {:?}", began.elapsed());
    assert_eq!((map_pages(&server), counter(&server, "D0", "logical_blocks_used")), (0, 0));

    let time = timed(&mut blocks, unmap_all());
    println!("4 PiB of unmap, never written, by {} commands: {time:?}", unmap_all().count());
    assert!(time < Duration::from_millis(200), "{time:?}");
    let places: Vec<u64> = (0..2000).map(|at| at * 7919 * 504 % (1 << 40)).collect();
    blocks.write(places.iter().map(|&lbn| (lbn, content(lbn))));
    let pages = map_pages(&server);
    assert!(pages >= 2000, "{pages} pages");
    let kept = places[0];
    let all =
        timed(&mut blocks, unmap_all().filter(|command| !matches!(command, IoCommand::Deallocate { lba: 0, .. })));
    println!("4 PiB of unmap with {pages} pages of the block map: {all:?}");
    blocks.unmap(places.iter().copied().filter(|&lbn| lbn != kept && lbn < LONGEST));
    assert_eq!((map_pages(&server), counter(&server, "D0", "logical_blocks_used")), (3, 1), "one block is left");
    assert_eq!(blocks.read([kept]), [Some(content(kept))]);
    let report = server.call("bdev_dedupe_check", json!({"name": "D0"})).expect("checked");
    assert_eq!((&report["clean"], number(&report, "logical_blocks_used")), (&json!(true), 1), "{report:#}");
}

/// Time from SIGTERM to the end, with unmaps of all of a huge volume and zeroings under way and queued.
fn time_to_end(rig: &Rig) -> Duration {
    let mut server = target(rig);
    let mut blocks = huge(&server);
    let places: Vec<u64> = (0..MAPPED).map(|at| at * 7919 * 504 % (1 << 40)).collect();
    blocks.write(places.iter().map(|&lbn| (lbn, content(lbn))));
    // Each of them has some of the places; then zeros over more than anybody waits for, and the whole volume again.
    let unmaps = unmap_all().take(64);
    let zeros = (0..16).map(|at| IoCommand::WriteZeroes { lba: at << 20, blocks: 1 << 16 });
    let commands: Vec<_> = unmaps.chain(zeros).chain(unmap_all().skip(64).take(40)).collect();
    let count = commands.len();
    let used = counter(&server, "D0", "logical_blocks_used");
    blocks.begin(commands);
    let began = Instant::now();
    while counter(&server, "D0", "logical_blocks_used") == used {
        assert!(began.elapsed() < Duration::from_secs(30), "no unmap gets anywhere");
    }
    let left = counter(&server, "D0", "logical_blocks_used");
    let began = Instant::now();
    let status = server.stop().expect("it ends");
    let time = began.elapsed();
    println!(
        "from SIGTERM to the end, with {count} unmaps and zeroings queued and {left} mapped blocks left: {time:?}"
    );
    assert!(status.success(), "{status:?}: {}", server.log());
    time
}

/// The application ends soon, whatever is queued, over pages that are there and over holes. What a busy machine makes late
/// once is in time another time.
#[test]
fn queued_unmaps_do_not_hold_up_the_end() {
    let rig = rig(1);
    let times: Vec<Duration> = std::iter::repeat_with(|| time_to_end(&rig)).take(3).collect();
    assert!(times.iter().any(|time| *time < Duration::from_secs(2)), "{times:?}");
}
