// SPDX-License-Identifier: BSD-3-Clause

//! What deduplication saves, counted: equal blocks, zero blocks, unmapped blocks; and running out of space.

use serde_json::{json, Value};
use tests::target::{Export, FioJob, Rig, Server, Tool};

use crate::fixture::{counter, create, initiator, malloc, number, rig, statistics, target, volume, MIB};

/// References that a block can have.
const MOST_REFERENCES: u64 = 254;
const BLOCK: u64 = 4096;

fn run(tool: &Tool, rig: &Rig, options: &str) {
    tool.fio(rig, "Nvmen1", &[FioJob::new("job", options)]).unwrap_or_else(|error| panic!("{options}: {error}"));
}

/// Runs a job of which some requests fail, and returns how many.
fn run_with_errors(tool: &Tool, rig: &Rig, options: &str) -> u64 {
    let output = rig.path("errors.json");
    let options = format!("{options} continue_on_error=write");
    let mut process = tool.start_fio(rig, "Nvmen1", &[FioJob::new("job", &options)], &output).expect("fio starts");
    // fio's own status tells of the errors; the counts are in its output.
    process.wait(tool.patience).expect("fio ends");
    let text = std::fs::read_to_string(&output).expect("fio's output");
    let json: Value = serde_json::from_str(&text[text.find('{').expect("JSON")..]).expect("JSON");
    number(&json["jobs"][0], "total_err")
}

fn used(server: &Server) -> (u64, u64) {
    (counter(server, "D0", "data_blocks_used"), counter(server, "D0", "logical_blocks_used"))
}

/// vdo-2, partly: equal blocks take one block, whether they are written at once or one after the other.
/// vdo-17, partly: beyond 254 references a new copy is made, and only then.
/// vdo-89: zero blocks take none.
/// vdo-35: the counters of a scripted load.
#[test]
fn equal_and_zero_blocks_are_counted_once_or_not_at_all() {
    let rig = rig(2);
    let server = target(&rig);
    volume(&server, 256);
    let export = Export::tcp(&server, "D0").expect("exported");
    let tool = initiator(&rig, &export);

    run(&tool, &rig, "rw=write bs=4k size=800k iodepth=16 buffer_pattern=0xfeedbeef");
    assert_eq!(used(&server), (1, 200), "200 equal blocks");
    run(&tool, &rig, "rw=write bs=64k size=16m offset=16m iodepth=16 zero_buffers=1");
    assert_eq!(used(&server), (1, 200), "4096 zero blocks");
    assert_eq!(counter(&server, "D0", "zero_blocks"), 4096);
    run(&tool, &rig, "rw=write bs=64k size=16m offset=32m iodepth=16 buffer_pattern=0xfeedbeef");
    let (data, logical) = used(&server);
    assert_eq!(logical, 200 + 4096);
    let least = (200 + 4096_u64).div_ceil(MOST_REFERENCES);
    assert!((least..=least + 4).contains(&data), "{data} blocks for 4296 equal ones, {least} are needed");
    let total = statistics(&server, "D0")["total"].clone();
    assert_eq!(number(&total, "bios_in_write"), 200 + 4096 + 4096, "{total:#}");
    assert_eq!(number(&total, "unique_blocks"), data, "{total:#}");
    assert_eq!(number(&total, "dedupe_hits"), 200 + 4096 - data, "{total:#}");
    assert_eq!(number(&total, "bios_failed"), 0, "{total:#}");

    run(&tool, &rig, "rw=write bs=64k size=16m offset=64m iodepth=16 refill_buffers=1 randrepeat=0");
    assert_eq!(used(&server), (data + 4096, logical + 4096), "4096 different blocks");
    run(&tool, &rig, "rw=trim bs=1m size=128m iodepth=16");
    assert_eq!(used(&server), (0, 0), "all unmapped");
}

/// vdo-24: a full volume fails new data, keeps taking duplicates and zeros, and recovers by itself when space returns.
#[test]
fn a_full_volume_refuses_only_what_needs_space() {
    let rig = rig(2);
    let server = target(&rig);
    malloc(&server, "Base", 128, BLOCK);
    create(&server, json!({"base_bdev_name": "Base", "name": "D0", "logical_size_mib": 512})).expect("created");
    let export = Export::tcp(&server, "D0").expect("exported");
    let tool = initiator(&rig, &export);
    let unique = "refill_buffers=1 randrepeat=0 bs=4k iodepth=16";

    // Pages of the block map take blocks, too; with all of them there, only data needs more.
    run(&tool, &rig, "rw=write bs=1m size=320m iodepth=8 zero_buffers=1");
    run(&tool, &rig, "rw=write bs=4k size=1m iodepth=8 buffer_pattern=0x12345678");
    let errors = run_with_errors(&tool, &rig, &format!("rw=write size=160m offset=16m {unique} randseed=5"));
    assert!(errors > 0, "160 MiB of different data cannot fit 128 MiB");
    // Pages of the block map have taken some of what is kept back.
    let room = counter(&server, "D0", "data_blocks") - counter(&server, "D0", "block_map_pages");
    let kept = counter(&server, "D0", "reserved_blocks") + counter(&server, "D0", "operator_reserve_blocks");
    let data_blocks = used(&server).0;
    assert!((room - kept - 16..=room).contains(&data_blocks), "{data_blocks} of {room} used, {kept} are kept back");
    assert!(counter(&server, "D0", "no_space_error_count") >= errors, "the initiator tries each several times");
    assert!(server.log().contains("out of physical space"), "{}", server.log());

    run(&tool, &rig, "rw=write bs=4k size=512k offset=200m iodepth=8 buffer_pattern=0x12345678");
    run(&tool, &rig, "rw=write bs=64k size=8m offset=208m iodepth=8 zero_buffers=1");
    run(&tool, &rig, "rw=read bs=64k size=16m iodepth=8");
    assert_eq!(used(&server).0, data_blocks);

    run(&tool, &rig, "rw=trim bs=1m size=16m offset=32m iodepth=8");
    assert_eq!(used(&server).0, data_blocks - 16 * MIB / BLOCK);
    run(&tool, &rig, &format!("rw=write size=8m offset=300m {unique} randseed=6 verify=crc32c"));
    assert_eq!(used(&server).0, data_blocks - 8 * MIB / BLOCK);
    assert!(server.log().contains("available again"), "{}", server.log());
}

/// vdo-117, partly: the figures add up after much and mixed writing: 2 GiB, half of it duplicates, some of it zeros,
/// some overwritten.
#[test]
fn two_gib_of_mixed_writes_add_up() {
    let rig = rig(2);
    let server = target(&rig);
    malloc(&server, "Base", 1024, BLOCK);
    create(&server, json!({"base_bdev_name": "Base", "name": "D0", "logical_size_mib": 2048})).expect("created");
    let export = Export::tcp(&server, "D0").expect("exported");
    let tool = initiator(&rig, &export);
    let jobs = [
        FioJob::new("half", "rw=write bs=128k size=1280m iodepth=16 dedupe_percentage=50"),
        FioJob::new("zeros", "stonewall rw=write bs=128k size=256m offset=1280m iodepth=16 zero_buffers=1"),
        FioJob::new("over", "stonewall rw=randwrite bs=4k size=512m iodepth=32 dedupe_percentage=50 norandommap=1"),
    ];
    let result = tool.fio(&rig, "Nvmen1", &jobs).expect("fio writes");
    assert_eq!(result.written_bytes, 2048 * MIB);
    let statistics = statistics(&server, "D0");
    println!("bdev_get_bdevs: {:#}", server.bdev("D0").expect("shown"));
    println!("bdev_dedupe_get_stats: {statistics:#}");
    let total = &statistics["total"];
    assert_eq!(number(total, "bios_in_write"), 2048 * MIB / BLOCK);
    assert_eq!(number(total, "bios_failed"), 0);
    let outcomes = ["zero_blocks", "dedupe_hits", "unique_blocks"].map(|outcome| number(total, outcome));
    assert_eq!(outcomes.iter().sum::<u64>(), 2048 * MIB / BLOCK, "each write ended in one way: {outcomes:?}");
    let (data, logical) = (number(total, "data_blocks_used"), number(total, "logical_blocks_used"));
    assert_eq!(logical, 1280 * MIB / BLOCK);
    let saving = (logical - data) * 100 / logical;
    assert_eq!(number(&statistics, "saving_percent"), saving);
    assert!((40..=75).contains(&saving), "{saving}%");
    assert_eq!(number(total, "bios_submitted"), number(total, "bios_completed"), "at rest");
    for gauge in ["current_vios_in_progress", "hash_locks", "pbn_locks", "curr_dedupe_queries"] {
        assert_eq!(number(total, gauge), 0, "{gauge} at rest");
    }
}
