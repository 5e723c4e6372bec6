// SPDX-License-Identifier: BSD-3-Clause

//! A base that fails: errors reach the request that met them, and nothing else; and the ways back.

use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tests::target::{Export, FioJob, Rig, Server, Tool};

use crate::administration::{assert_clean, export_again, info};
use crate::fixture::{counter, create, initiator, malloc, rig, target, PATIENCE};

/// SPDK's error injection names its bdev after the base.
const FAULTY: &str = "EE_Base";

#[test]
fn errors_of_the_base_reach_the_client_and_pass() {
    let rig = rig(2);
    let server = target(&rig);
    malloc(&server, "Base", 128, 4096);
    server.call("bdev_error_create", json!({"base_name": "Base"})).expect("error injection");
    create(&server, json!({"base_bdev_name": FAULTY, "name": "D0"})).expect("created");
    let export = Export::tcp(&server, "D0").expect("exported");
    let tool = initiator(&rig, &export);
    let write = FioJob::new("write", "rw=write bs=4k size=16m iodepth=8 refill_buffers=1");
    let read = FioJob::new("read", "rw=read bs=4k size=16m iodepth=8");
    tool.fio(&rig, "Nvmen1", &[write]).expect("written");

    let fail = |kind: &str, count: u32| {
        let params = json!({"name": FAULTY, "io_type": kind, "error_type": "failure", "num": count});
        server.call("bdev_error_inject_error", params).expect("injected");
    };
    fail("read", 1);
    tool.fio(&rig, "Nvmen1", std::slice::from_ref(&read)).expect("the initiator tries a failed read again");
    assert_eq!(counter(&server, "D0", "bios_failed"), 1, "one request failed, once");
    fail("read", 1_000_000);
    tool.fio(&rig, "Nvmen1", std::slice::from_ref(&read)).expect_err("reads fail for good");
    let failed = counter(&server, "D0", "bios_failed");
    assert!(failed > 1);
    fail("clear", 1);
    tool.fio(&rig, "Nvmen1", &[read]).expect("reads pass again");
    assert_eq!(counter(&server, "D0", "bios_failed"), failed);

    // A failed write is tried again, a merged one block by block and a single one in another block, one of metadata
    // in its place: no client sees it.
    fail("write", 1);
    let other = FioJob::new("other", "rw=write bs=4k size=16m iodepth=8 refill_buffers=1 randrepeat=0");
    tool.fio(&rig, "Nvmen1", &[other]).expect("written after all");
    let retries = ["data_write_retries", "bios_split_retries", "bios_meta_retries"]
        .map(|retries| counter(&server, "D0", retries));
    assert!(retries.iter().sum::<u64>() >= 1, "{retries:?}");
    assert_eq!(counter(&server, "D0", "bios_failed"), failed, "no further request failed");
}

/// A volume `D0` on a base that can be made to fail, exported, with 16 MiB of verified data.
struct Stand<'a> {
    rig: &'a Rig,
    server: Server,
    export: Export,
    tool: Tool,
}

impl Stand<'_> {
    fn on(rig: &Rig) -> Stand<'_> {
        Stand::above(rig, FAULTY, |_| ())
    }

    /// With the volume on a bdev above the faulty one, which `make` makes.
    fn above<'a>(rig: &'a Rig, base: &str, make: impl FnOnce(&Server)) -> Stand<'a> {
        let server = target(rig);
        malloc(&server, "Base", 128, 4096);
        server.call("bdev_error_create", json!({"base_name": "Base"})).expect("error injection");
        make(&server);
        create(&server, json!({"base_bdev_name": base, "name": "D0"})).expect("created");
        let export = Export::tcp(&server, "D0").expect("exported");
        let tool = initiator(rig, &export);
        let stand = Stand { rig, server, export, tool };
        stand.fio("write", "rw=write bs=4k size=16m iodepth=8 verify=crc32c do_verify=0").expect("written");
        stand
    }

    /// Lets so many operations of a kind fail; "clear" lets none fail any more.
    fn fail(&self, kind: &str, count: u32) {
        let params = json!({"name": FAULTY, "io_type": kind, "error_type": "failure", "num": count});
        self.server.call("bdev_error_inject_error", params).expect("injected");
    }

    fn fio(&self, name: &str, options: &str) -> Result<(), String> {
        let job = FioJob::new(name, options);
        self.tool.fio(self.rig, "Nvmen1", &[job]).map(drop).map_err(|error| error.to_string())
    }

    /// Reads what was written, and compares it.
    fn verify(&self) {
        self.fio("verify", "rw=read bs=4k size=16m iodepth=8 verify=crc32c verify_only=1")
            .expect("what was written is there");
    }

    /// The pool's status, its drive's, and its faults.
    fn pool(&self) -> (Value, Value, usize) {
        let pools = self.server.call("mpool_list", Value::Null).expect("a list");
        let faults = pools[0]["faults"].as_array().map_or(0, Vec::len);
        (pools[0]["status"].clone(), pools[0]["drives"][0]["status"].clone(), faults)
    }

    fn wait_until_optimal(&self) {
        let began = Instant::now();
        while self.pool() != (json!("optimal"), json!("online"), 0) {
            assert!(began.elapsed() < PATIENCE, "{:?}", self.pool());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn mode(&self) -> Value {
        info(&self.server)["mode"].clone()
    }

    fn on_volume(&self, method: &str) -> Result<Value, String> {
        self.server.call(method, json!({"name": "D0"})).map_err(|error| error.to_string())
    }

    /// The way back, where the volume takes no writes; then all is as it was.
    fn go_back(&self) {
        self.wait_until_optimal();
        if self.mode() == "read-only" {
            self.on_volume("bdev_dedupe_rebuild").expect("the base is well");
            export_again(&self.server, &self.export);
        }
        assert_ne!(self.mode(), "read-only");
        self.verify();
        self.fio("again", "rw=write bs=4k offset=16m size=8m iodepth=8 verify=crc32c").expect("it takes writes");
        assert_clean(&self.server);
    }

    fn notified(&self, kind: &str) -> bool {
        let events = self.server.call("notify_get_notifications", json!({"id": 0, "max": 1000})).expect("events");
        events.as_array().is_some_and(|events| events.iter().any(|event| event["type"] == kind))
    }
}

/// Writes that fail seven times are tried again; the volume notices nothing, and the pool goes on.
#[test]
fn seven_failing_writes_are_overcome() {
    let rig = rig(2);
    let stand = Stand::on(&rig);
    stand.fail("write", 7);
    let params = json!({"name": "D0", "readahead_pages": 3});
    stand.server.call("mpool_set_params", params).expect("tried again");
    assert_eq!(stand.pool(), (json!("optimal"), json!("online"), 0));
    stand.fio("more", "rw=randwrite bs=4k offset=32m size=32m iodepth=16").expect("written");
    assert_eq!(stand.mode(), "normal");
    stand.fail("write", 7);
    // Whatever has met them.
    let _ = stand.fio("met", "rw=randwrite bs=4k offset=32m size=32m iodepth=16 fsync=64");
    stand.fail("clear", 1);
    stand.go_back();
}

/// While no write succeeds the pool is suspect, and says so; a rebuild is refused before anything leaves service; when the
/// base is well again the pool is, by itself, and the rebuild works.
#[test]
fn a_base_that_takes_no_writes_comes_back() {
    let rig = rig(2);
    let stand = Stand::on(&rig);
    stand.fail("write", 100_000_000);
    let params = || json!({"name": "D0", "readahead_pages": 3});
    stand.server.call("mpool_set_params", params()).expect_err("no write succeeds");
    let (status, drive, faults) = stand.pool();
    assert_eq!((status, drive), (json!("faulted"), json!("suspect")));
    assert!(faults > 0 && stand.notified("mpool_faulted"));
    stand.fio("lost", "rw=randwrite bs=4k offset=32m size=1m iodepth=4").expect_err("no write succeeds");
    assert_eq!(stand.mode(), "read-only");
    for method in ["bdev_dedupe_rebuild", "bdev_dedupe_rebuild"] {
        let refused = stand.on_volume(method).expect_err("no write succeeds");
        assert!(refused.contains("suspect") && refused.contains("mpool_list"), "{refused}");
        assert_eq!(stand.mode(), "read-only", "it is still in service");
    }
    stand.verify();
    stand.fail("clear", 1);
    stand.wait_until_optimal();
    assert!(stand.notified("mpool_optimal"));
    stand.server.call("mpool_set_params", params()).expect("it goes on by itself");
    stand.go_back();
}

/// A rebuild whose base fails in the middle of it leaves the volume out of service, and says which command does it again; that
/// works when the base does.
#[test]
fn a_rebuild_that_fails_half_way_is_done_again() {
    const SLOW: &str = "Slow";
    let rig = rig(2);
    let stand = Stand::above(&rig, SLOW, |server| {
        let params = json!({
            "base_bdev_name": FAULTY, "name": SLOW, "avg_read_latency": 0, "p99_read_latency": 0,
            "avg_write_latency": 0, "p99_write_latency": 0,
        });
        server.call("bdev_delay_create", params).expect("a slow bdev");
    });
    let delay = |microseconds: u32| {
        for kind in ["avg_write", "p99_write"] {
            let params = json!({"delay_bdev_name": SLOW, "latency_type": kind, "latency_us": microseconds});
            stand.server.call("bdev_delay_update_latency", params).expect("slower or faster");
        }
    };
    stand.fail("write", 100_000_000);
    stand.fio("lost", "rw=randwrite bs=4k offset=32m size=1m iodepth=4").expect_err("no write succeeds");
    assert_eq!(stand.mode(), "read-only");
    stand.fail("clear", 1);
    stand.wait_until_optimal();

    delay(300_000);
    let message = std::thread::scope(|scope| {
        let rebuild = scope.spawn(|| stand.on_volume("bdev_dedupe_rebuild"));
        let began = Instant::now();
        while !stand.server.log().contains("its rebuild begins") {
            assert!(began.elapsed() < PATIENCE, "{}", stand.server.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        stand.fail("write", 100_000_000);
        rebuild.join().expect("it does not panic").expect_err("no write succeeds")
    });
    assert!(message.contains("bdev_dedupe_rebuild of 'D0'"), "{message}");
    assert!(message.contains("out of service"), "{message}");
    stand.server.bdev("D0").expect_err("it is not loaded");

    delay(0);
    stand.fail("clear", 1);
    stand.wait_until_optimal();
    let message = stand.on_volume("bdev_dedupe_load").expect_err("half of it is old");
    assert!(message.contains("bdev_dedupe_rebuild"), "{message}");
    stand.on_volume("bdev_dedupe_rebuild").expect("the base is well");
    export_again(&stand.server, &stand.export);
    stand.go_back();
}

/// A failing flush, and some in a row.
#[test]
fn a_failing_flush_has_a_way_back() {
    let rig = rig(2);
    let stand = Stand::on(&rig);
    for count in [1, 20] {
        stand.fail("flush", count);
        // Whatever has met it.
        let _ = stand.fio("met", "rw=randwrite bs=4k offset=32m size=4m iodepth=4 fsync=8");
        stand.fail("clear", 1);
        stand.go_back();
    }
}

/// Fifty failing reads.
#[test]
fn failing_reads_have_a_way_back() {
    let rig = rig(2);
    let stand = Stand::on(&rig);
    stand.fail("read", 50);
    // Whatever has met them.
    let _ = stand.fio("met", "rw=randrw bs=4k size=16m iodepth=16 verify=0 rwmixread=100");
    stand.fail("clear", 1);
    assert_eq!(stand.pool(), (json!("optimal"), json!("online"), 0), "reads say nothing about a drive");
    stand.go_back();
}
