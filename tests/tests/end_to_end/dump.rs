// SPDX-License-Identifier: BSD-3-Clause

//! `bdev_dedupe_dump`: what a volume holds while its base is slow, and nothing when all is done.

use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tests::target::Server;

use crate::blocks::{content, Blocks};
use crate::fixture::{create, malloc, number, rig, rpc_py, target, PATIENCE};
use crate::pool::call;

fn shard(server: &Server) -> Value {
    call(server, "bdev_dedupe_dump", json!({"name": "D0"}))["shards"][0].clone()
}

/// Changes how long the base takes for a write.
fn delay(server: &Server, microseconds: u64) {
    for kind in ["avg_write", "p99_write"] {
        let params = json!({"delay_bdev_name": "Slow", "latency_type": kind, "latency_us": microseconds});
        call(server, "bdev_delay_update_latency", params);
    }
}

/// vdo-35, vdo-69: writes that wait for the base are shown with their locks and whom they keep waiting, in bounded lists, by RPC and by
/// the plug-in's command; when they are done nothing is held.
#[test]
fn a_dump_shows_what_waits_for_a_slow_base() {
    let rig = rig(1);
    let server = target(&rig);
    malloc(&server, "Base", 128, 4096);
    call(
        &server,
        "bdev_delay_create",
        json!({"base_bdev_name": "Base", "name": "Slow", "avg_read_latency": 0, "p99_read_latency": 0,
               "avg_write_latency": 0, "p99_write_latency": 0}),
    );
    create(&server, json!({"base_bdev_name": "Slow", "name": "D0"})).expect("a volume");
    let mut blocks = Blocks::connect(&server, "D0", 32);
    blocks.write([(0, content(1))]);

    delay(&server, 2_000_000);
    let writer = std::thread::spawn(move || {
        // Two equal blocks, and eight others.
        blocks.write((1..11).map(|lbn| (lbn, content(lbn.max(2)))));
        blocks
    });
    let began = Instant::now();
    let held = loop {
        let held = shard(&server);
        if number(&held["hash_zone"]["locks_by_state"], "writing") == 9 {
            break held;
        }
        assert!(began.elapsed() < PATIENCE, "{held:#}");
        std::thread::sleep(Duration::from_millis(10));
    };
    let (logical, physical) = (&held["logical_zone"], &held["physical_zone"]);
    assert_eq!((number(logical, "requests"), number(&logical["vios_by_stage"], "deduping")), (10, 10), "{held:#}");
    let locks = held["hash_zone"]["hash_locks"]["shown"].as_array().expect("a list");
    let shared: Vec<_> = locks.iter().filter(|lock| lock["members"] == 2).collect();
    assert_eq!(
        (shared.len(), &shared[0]["waiters"], &shared[0]["state"]),
        (1, &json!(1), &json!("writing")),
        "{held:#}"
    );
    assert_eq!(shared[0]["hash_prefix"].as_str().map(str::len), Some(16));
    let pbn_locks = &physical["pbn_locks"];
    assert_eq!((number(pbn_locks, "total"), &pbn_locks["shown"][0]["kind"]), (9, &json!("write")), "{held:#}");
    let open = &physical["slabs"]["shown"][0];
    assert_eq!((&open["open"], &open["status"]), (&json!(true), &json!("rebuilt")), "{held:#}");
    assert_eq!(physical["scrubber"]["stage"], "idle");

    let shown = rpc_py(&rig, &server, &["bdev_dedupe_dump", "D0", "--max-entries", "3", "--first-slab", "1"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let zone = &shown["shards"][0]["hash_zone"]["hash_locks"];
    assert_eq!((number(zone, "total"), zone["shown"].as_array().map(Vec::len)), (9, Some(3)), "{shown:#}");
    assert_eq!(shown["shards"][0]["physical_zone"]["slabs"]["shown"][0]["slab"], 1, "{shown:#}");
    let error = server.call("bdev_dedupe_dump", json!({"name": "D0", "max_entries": 257})).expect_err("refused");
    assert!(error.to_string().contains("'max_entries' is 257: a whole number from 0 to 256"), "{error}");

    delay(&server, 0);
    writer.join().expect("all writes succeed");
    let idle = shard(&server);
    let (zone, physical) = (&idle["hash_zone"], &idle["physical_zone"]);
    assert_eq!((number(&zone["hash_locks"], "total"), number(&physical["pbn_locks"], "total")), (0, 0), "{idle:#}");
    assert_eq!((number(&idle["logical_zone"], "requests"), number(&idle["io"], "transfers")), (0, 0), "{idle:#}");
}
