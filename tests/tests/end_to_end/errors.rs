// SPDX-License-Identifier: BSD-3-Clause

//! A base that fails: errors reach the request that met them, and nothing else.

use serde_json::json;
use tests::target::{Export, FioJob};

use crate::fixture::{counter, create, initiator, malloc, rig, target};

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
    // in its place (architecture.md 5): no client sees it.
    fail("write", 1);
    let other = FioJob::new("other", "rw=write bs=4k size=16m iodepth=8 refill_buffers=1 randrepeat=0");
    tool.fio(&rig, "Nvmen1", &[other]).expect("written after all");
    let retries = ["data_write_retries", "bios_split_retries", "bios_meta_retries"]
        .map(|retries| counter(&server, "D0", retries));
    assert!(retries.iter().sum::<u64>() >= 1, "{retries:?}");
    assert_eq!(counter(&server, "D0", "bios_failed"), failed, "no further request failed");
}
