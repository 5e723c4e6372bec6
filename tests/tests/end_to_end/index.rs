// SPDX-License-Identifier: BSD-3-Clause

//! The index over restarts, and what an operator does to it under load.

use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tests::target::{Export, FioJob, Process, Rig, Server, ServerOptions};

use crate::fixture::{counter, create, initiator, number, rig, statistics, target_with, wait_for_bdev, MIB, PATIENCE};
use crate::pool::call;

const BLOCK: u64 = 4096;

/// Data that are written twice.
const WRITTEN_MIB: u64 = 64;
const WRITTEN: u64 = WRITTEN_MIB * MIB / BLOCK;

/// A target on two cores whose base is a file, so that it comes back with the next one.
fn start(rig: &Rig, base_mib: u64) -> Server {
    let path = rig.dir().join("Base.img");
    let file = std::fs::File::options().create(true).truncate(false).write(true).open(&path).expect("a file");
    file.set_len(base_mib * MIB).expect("a sparse file");
    let base = json!({"name": "Base", "filename": path, "block_size": 4096});
    let calls = json!([{"method": "bdev_aio_create", "params": base}]);
    let config = json!({"subsystems": [{"subsystem": "bdev", "config": calls}]});
    let config = Some(rig.write_json("base.json", &config).expect("written"));
    target_with(rig, &ServerOptions { cores: 2, config, ..ServerOptions::default() })
}

fn made(rig: &Rig, base_mib: u64, more: &Value) -> Server {
    let server = start(rig, base_mib);
    let mut params = json!({"base_bdev_name": "Base", "name": "D0", "logical_size_mib": base_mib});
    let (all, more) = (params.as_object_mut().expect("an object"), more.as_object().expect("an object").clone());
    all.extend(more);
    create(&server, params).unwrap_or_else(|error| panic!("{error}: {}", server.log()));
    server
}

/// Writes different blocks from a place on: the same for the same seed, whatever the place.
fn write(rig: &Rig, server: &Server, at_mib: u64, size_mib: u64, seed: u64) {
    let export = Export::tcp(server, "D0").expect("exported");
    let options = format!(
        "rw=write bs=64k iodepth=16 refill_buffers=1 randseed={seed} offset={at_mib}m size={size_mib}m verify=0"
    );
    let written = initiator(rig, &export).fio(rig, "Nvmen1", &[FioJob::new("job", &options)]);
    written.unwrap_or_else(|error| panic!("{error}: {}", server.log()));
    call(server, "nvmf_delete_subsystem", json!({"nqn": export.nqn}));
}

fn index(server: &Server) -> Value {
    statistics(server, "D0")["index"].clone()
}

/// Waits until the history has been read.
fn wait_for_refill(server: &Server) {
    let began = Instant::now();
    while number(&index(server), "refill_percent") < 100 {
        assert!(began.elapsed() < PATIENCE, "{:#}: {}", index(server), server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn assert_clean(server: &Server) -> Value {
    let report = call(server, "bdev_dedupe_check", json!({"name": "D0"}));
    assert_eq!(report["clean"], true, "{report:#}\n{}", server.log());
    report
}

/// vdo-115, partly: after a clean stop the index is there at once, without a history, too.
#[test]
fn the_index_survives_a_clean_restart() {
    let rig = rig(2);
    let mut server = made(&rig, 512, &json!({}));
    write(&rig, &server, 0, WRITTEN_MIB, 7);
    assert_eq!(counter(&server, "D0", "unique_blocks"), WRITTEN, "{:#}", statistics(&server, "D0"));
    assert!(server.stop().expect("ends").success(), "{}", server.log());

    let server = start(&rig, 512);
    wait_for_bdev(&server, "D0");
    assert_eq!(index(&server)["state"], "online");
    wait_for_refill(&server);
    write(&rig, &server, 256, WRITTEN_MIB, 7);
    let total = statistics(&server, "D0")["total"].clone();
    let hits = number(&total, "dedupe_hits");
    assert!(hits >= WRITTEN * 99 / 100, "{hits} of {WRITTEN}: {total:#}\n{}", server.log());
    assert_clean(&server);
}

/// vdo-115, partly: after a crash the index is filled again from its history, while the volume is online.
#[test]
fn the_index_is_refilled_after_a_kill() {
    let rig = rig(2);
    let mut server = made(&rig, 512, &json!({}));
    write(&rig, &server, 0, WRITTEN_MIB, 7);
    // Sections that are not full are sealed every two seconds.
    std::thread::sleep(Duration::from_secs(5));
    assert!(number(&index(&server), "sections") >= WRITTEN / 4080, "{:#}: {}", index(&server), server.log());
    server.process().kill();

    let server = start(&rig, 512);
    wait_for_bdev(&server, "D0");
    assert_eq!(index(&server)["state"], "online");
    wait_for_refill(&server);
    write(&rig, &server, 256, WRITTEN_MIB, 7);
    let total = statistics(&server, "D0")["total"].clone();
    let hits = number(&total, "dedupe_hits");
    // Each shard loses less than a page of records.
    assert!(hits >= WRITTEN - 2 * 255, "{hits} of {WRITTEN}: {total:#}\n{}", server.log());
    assert_clean(&server);
}

/// A load of which half are duplicates, for a number of seconds.
fn load(rig: &Rig, export: &Export, seconds: u64) -> Process {
    let job = format!(
        "rw=randwrite bs=4k size=128m iodepth=32 dedupe_percentage=50 refill_buffers=1 verify=0 time_based=1 \
         runtime={seconds}"
    );
    let output = rig.path("load.json");
    initiator(rig, export).start_fio(rig, "Nvmen1", &[FioJob::new("load", &job)], &output).expect("fio starts")
}

fn set_index(server: &Server, action: &str) -> Value {
    call(server, "bdev_dedupe_set_index", json!({"name": "D0", "action": action}));
    index(server)["state"].clone()
}

/// Queries of the index so far.
fn queries(server: &Server) -> u64 {
    let total = statistics(server, "D0")["total"].clone();
    number(&total, "posts_found") + number(&total, "posts_not_found")
}

/// vdo-30: the operator's requests lead to the states that they name, under load, and no request fails.
/// vdo-33: while deduplication is off there are no queries; when it is on again what was known is found.
#[test]
fn the_index_is_switched_under_load() {
    let rig = rig(2);
    let mut server = made(&rig, 512, &json!({"index_history_mib": 4}));
    write(&rig, &server, 256, 16, 7);
    let export = Export::tcp(&server, "D0").expect("exported");
    // Longer than this can take on any machine; it is ended below.
    let mut load = load(&rig, &export, PATIENCE.as_secs());
    let wait = |server: &Server| {
        let before = counter(server, "D0", "bios_in_write");
        let begun = Instant::now();
        while counter(server, "D0", "bios_in_write") < before + 500 {
            assert!(begun.elapsed() < PATIENCE, "the load stands still\n{}", server.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    wait(&server);
    assert_eq!(index(&server)["state"], "online");
    for (off, name) in [("disable", "offline"), ("close", "closed")] {
        assert_eq!(set_index(&server, off), name);
        // Queries that were under way end.
        std::thread::sleep(Duration::from_millis(100));
        let before = queries(&server);
        wait(&server);
        assert_eq!(queries(&server), before, "{off}");
        let info = server.bdev("D0").expect("shown")["driver_specific"]["dedupe"].clone();
        assert_eq!(info["index_state"], name, "{info:#}");
        assert_eq!(set_index(&server, "enable"), "online");
        wait(&server);
        assert!(queries(&server) > before, "after {off}");
    }
    let indexed = counter(&server, "D0", "entries_indexed");
    assert_eq!(set_index(&server, "create"), "online");
    assert!(counter(&server, "D0", "entries_indexed") < indexed, "a new one");
    for action in ["close", "disable", "create", "enable", "create"] {
        wait(&server);
        set_index(&server, action);
    }
    assert_eq!(load.status().expect("known"), None, "{}\n{}", load.tail(), server.log());
    load.interrupt().expect("sent");
    load.wait(PATIENCE).expect("fio ends");
    assert_eq!(counter(&server, "D0", "bios_failed"), 0);
    call(&server, "nvmf_delete_subsystem", json!({"nqn": export.nqn}));

    // What was forgotten is stored anew, and found again then, with a pause or without.
    for (at_mib, hits) in [(300, 0), (320, 4096)] {
        let before = counter(&server, "D0", "dedupe_hits");
        write(&rig, &server, at_mib, 16, 7);
        assert_eq!(counter(&server, "D0", "dedupe_hits") - before, hits);
        set_index(&server, "disable");
        set_index(&server, "enable");
    }
    set_index(&server, "disable");
    assert_clean(&server);
    assert!(server.stop().expect("ends").success(), "{}", server.log());

    let server = start(&rig, 512);
    wait_for_bdev(&server, "D0");
    assert_eq!(index(&server)["state"], "offline", "it is kept for later loads");
    let error = server.call("bdev_dedupe_set_index", json!({"name": "D0", "action": "drop"})).expect_err("unknown");
    assert!(error.refusal().is_some_and(|message| message.contains("create, close, disable and enable")), "{error}");
}

/// The index grows and shrinks under load, and no request fails.
#[test]
fn the_index_is_resized_under_load() {
    let rig = rig(2);
    let mut server = made(&rig, 512, &json!({"index_memory_mib": 4}));
    let export = Export::tcp(&server, "D0").expect("exported");
    let mut load = load(&rig, &export, 8);
    let mut mib = 4;
    while load.status().expect("known").is_none() {
        mib = if mib == 64 { 1 } else { mib * 2 };
        call(&server, "bdev_dedupe_set_index_memory", json!({"name": "D0", "index_memory_mib": mib}));
        std::thread::sleep(Duration::from_millis(100));
    }
    let status = load.wait(PATIENCE).expect("fio ends");
    assert!(status.success(), "{}\n{}", load.tail(), server.log());
    let total = statistics(&server, "D0")["total"].clone();
    assert_eq!(number(&total, "bios_failed"), 0, "{total:#}");
    assert!(number(&total, "dedupe_hits") > 100, "{total:#}");
    assert_clean(&server);
    assert!(server.stop().expect("ends").success(), "{}", server.log());
}

/// The history is as long as was asked for: older chapters fall off.
#[test]
fn the_history_keeps_to_its_window() {
    let rig = rig(2);
    let server = made(&rig, 1536, &json!({"index_memory_mib": 1, "index_history_mib": 2}));
    let mblocks =
        |server: &Server| number(&call(server, "mpool_get_usage", json!({"name": "D0"}))["total"], "mblock_count");
    let mut most = 0;
    for part in 0..5 {
        write(&rig, &server, part * 256, 256, part);
        let history = index(&server);
        most = most.max(number(&history, "chapters"));
        assert!(number(&history, "chapters") <= 2, "{history:#}");
        assert_eq!(number(&history, "sections_lost"), 0, "{history:#}\n{}", server.log());
        assert!(mblocks(&server) <= 3, "{history:#}");
    }
    assert_eq!(most, 2, "1280 MiB of data are more than two chapters");
    // A stream that comes again is found by its hooks, though level 1 is too small for all of it.
    let before = counter(&server, "D0", "dedupe_hits");
    write(&rig, &server, 1300, 100, 4);
    let hits = counter(&server, "D0", "dedupe_hits") - before;
    let total = statistics(&server, "D0")["total"].clone();
    println!("{hits} of 25600 found; {:#}\n{total:#}", index(&server));
    assert!(hits > 20_000, "{hits} of 25600: {total:#}");
    assert_clean(&server);
}
