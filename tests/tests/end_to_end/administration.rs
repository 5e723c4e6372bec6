// SPDX-License-Identifier: BSD-3-Clause

//! What an operator does to a volume: suspend and resume, growth, check, read-only mode and rebuild, unload and load.

use serde_json::{json, Value};
use tests::target::{Export, FioJob, Server, ServerOptions};

use crate::fixture::{counter, create, initiator, malloc, needs_newer, number, rig, target, target_with, volume, MIB};
use crate::pool::{aio, call};

pub fn info(server: &Server) -> Value {
    server.bdev("D0").expect("shown")["driver_specific"]["dedupe"].clone()
}

fn on_volume(server: &Server, method: &str) -> Value {
    call(server, method, json!({"name": "D0"}))
}

fn refused(server: &Server, method: &str, params: Value) -> String {
    let error = server.call(method, params).expect_err("refused");
    error.refusal().unwrap_or_else(|| panic!("{error}")).to_owned()
}

/// Gives an exported subsystem its namespace back, which went with the bdev.
pub fn export_again(server: &Server, export: &Export) {
    call(server, "nvmf_subsystem_add_ns", json!({"nqn": export.nqn, "namespace": {"bdev_name": "D0"}}));
}

pub fn assert_clean(server: &Server) -> Value {
    let report = on_volume(server, "bdev_dedupe_check");
    assert_eq!(report["clean"], true, "{report:#}");
    report
}

/// Writes and verifies blocks whose content names their place.
fn content(rw: &str) -> [FioJob; 1] {
    let job = format!("rw={rw} bs=16k size=24m iodepth=16 verify=crc32c randseed=11");
    [FioJob::new("content", &job)]
}

/// vdo-110, partly: requests wait while a volume is suspended, and none fails.
#[test]
fn a_volume_is_suspended_and_resumed_under_load() {
    let rig = rig(2);
    let mut server = target(&rig);
    volume(&server, 128);
    let export = Export::tcp(&server, "D0").expect("exported");
    let job = FioJob::new("load", "rw=randwrite bs=4k size=24m iodepth=32 time_based=1 runtime=6 verify=0");
    let tool = initiator(&rig, &export);
    let output = rig.path("load.json");
    let mut load = tool.start_fio(&rig, "Nvmen1", &[job], &output).expect("fio starts");
    let written = || counter(&server, "D0", "bios_in_write");
    while written() < 100 {
        assert!(load.status().expect("known").is_none(), "{}", load.tail());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    on_volume(&server, "bdev_dedupe_suspend");
    on_volume(&server, "bdev_dedupe_suspend");
    assert_eq!(info(&server)["state"], "suspended");
    let before = written();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(written(), before, "nothing is done meanwhile");
    assert_clean(&server);
    on_volume(&server, "bdev_dedupe_resume");
    assert_eq!(info(&server)["state"], "online");
    let status = load.wait(crate::fixture::PATIENCE).expect("fio ends");
    assert!(status.success(), "{}", load.tail());
    assert!(written() > before);
    assert_clean(&server);
    assert!(server.stop().expect("ends").success());
}

/// A suspended volume does not keep its target from ending, whoever waits for it.
#[test]
fn a_target_ends_with_a_suspended_volume() {
    let rig = rig(1);
    let mut server = target(&rig);
    volume(&server, 64);
    let _export = Export::tcp(&server, "D0").expect("exported");
    on_volume(&server, "bdev_dedupe_suspend");
    assert!(server.stop().expect("ends").success(), "{}", server.log());
}

/// vdo-109, partly: the logical size grows online, and only grows.
#[test]
fn the_logical_size_grows_online() {
    let rig = rig(2);
    let mut server = target(&rig);
    volume(&server, 128);
    let grow = |mib: u64| server.call("bdev_dedupe_grow_logical", json!({"name": "D0", "logical_size_mib": mib}));
    assert_eq!(grow(1024).expect("grown"), true);
    assert_eq!(number(&server.bdev("D0").expect("shown"), "num_blocks"), 1024 * MIB / 4096);
    let message = grow(1024).expect_err("no larger").to_string();
    assert!(message.contains("1024 MiB") && message.contains("only grows"), "{message}");
    let export = Export::tcp(&server, "D0").expect("exported");
    let job = FioJob::new("far", "rw=randwrite bs=4k offset=1000m size=16m iodepth=16 verify=crc32c");
    initiator(&rig, &export).fio(&rig, "Nvmen1", &[job]).expect("the new end serves");
    assert_clean(&server);
    assert!(server.stop().expect("ends").success());
}

/// vdo-109, partly: slabs are added online when the bdev below has grown.
#[test]
fn the_physical_size_grows_with_the_bdev_below() {
    let rig = rig(2);
    needs_newer(&rig, "bdev_aio_rescan");
    let mut server = target(&rig);
    aio(&rig, &server, "Base", 96, 4096);
    create(&server, json!({"base_bdev_name": "Base", "name": "D0"})).expect("created");
    let before = info(&server);
    let message = refused(&server, "bdev_dedupe_grow_physical", json!({"name": "D0"}));
    assert!(message.contains("slabs"), "{message}");
    let export = Export::tcp(&server, "D0").expect("exported");
    initiator(&rig, &export).fio(&rig, "Nvmen1", &content("write do_verify=0")).expect("written");

    let file = std::fs::File::options().write(true).open(rig.dir().join("Base.img")).expect("the file");
    file.set_len(256 * MIB).expect("larger");
    call(&server, "bdev_aio_rescan", json!({"name": "Base"}));
    let mib = on_volume(&server, "bdev_dedupe_grow_physical").as_u64().expect("a size");
    let after = info(&server);
    assert!(mib >= number(&before, "data_blocks") * 4096 / MIB + 120, "{mib} MiB: {after:#}");
    assert_eq!(number(&after, "data_blocks"), mib * MIB / 4096);
    assert_eq!(number(&after, "physical_blocks"), 256 * MIB / 4096);
    initiator(&rig, &export).fio(&rig, "Nvmen1", &content("read verify_only=1")).expect("what was there stays");
    assert_clean(&server);
    call(&server, "bdev_dedupe_grow_logical", json!({"name": "D0", "logical_size_mib": mib}));
    let job = FioJob::new("all", "rw=write bs=64k size=128m iodepth=16 verify=crc32c refill_buffers=1");
    initiator(&rig, &export).fio(&rig, "Nvmen1", &[job]).expect("the new room serves");
    server.process().kill();

    let mut server = target(&rig);
    aio(&rig, &server, "Base", 256, 4096);
    crate::fixture::wait_for_bdev(&server, "D0");
    assert_eq!(number(&info(&server), "data_blocks"), mib * MIB / 4096);
    assert_clean(&server);
    assert!(server.stop().expect("ends").success());
}

/// vdo-103, partly: writing ends, reads go on, and it stays so.
/// vdo-104, partly: a rebuild makes the volume writable again.
#[test]
fn a_read_only_volume_reads_and_is_rebuilt() {
    let rig = rig(2);
    let mut server = target(&rig);
    volume(&server, 128);
    let export = Export::tcp(&server, "D0").expect("exported");
    let tool = initiator(&rig, &export);
    tool.fio(&rig, "Nvmen1", &content("write do_verify=0")).expect("written");
    let message = refused(&server, "bdev_dedupe_rebuild", json!({"name": "D0"}));
    assert!(message.contains("takes writes"), "{message}");
    on_volume(&server, "bdev_dedupe_set_read_only");
    let shown = info(&server);
    assert_eq!(shown["mode"], "read-only", "{shown:#}");
    assert!(shown["read_only_reason"].as_str().is_some_and(|reason| reason.contains("operator")), "{shown:#}");
    tool.fio(&rig, "Nvmen1", &content("write do_verify=0")).expect_err("writes fail");
    tool.fio(&rig, "Nvmen1", &content("read verify_only=1")).expect("reads go on");
    let message = refused(&server, "bdev_dedupe_grow_logical", json!({"name": "D0", "logical_size_mib": 1024}));
    assert!(message.contains("read-only"), "{message}");
    // It stays so when it is loaded again.
    on_volume(&server, "bdev_dedupe_unload");
    on_volume(&server, "bdev_dedupe_load");
    assert_eq!(info(&server)["mode"], "read-only");

    let report = on_volume(&server, "bdev_dedupe_rebuild");
    let lost = report["lost"].as_object().expect("what was lost");
    assert!(lost.values().all(|count| *count == json!(0)), "{report:#}");
    let shown = info(&server);
    assert_eq!((&shown["mode"], &shown["read_only_recoveries"]), (&json!("normal"), &json!(1)), "{shown:#}");
    export_again(&server, &export);
    tool.fio(&rig, "Nvmen1", &content("read verify_only=1")).expect("the content is there");
    tool.fio(&rig, "Nvmen1", &content("randwrite")).expect("writes pass again");
    assert_clean(&server);
    assert!(server.stop().expect("ends").success());
}

/// vdo-65, partly: a volume is loaded on other cores than it was made on.
/// vdo-117, partly: statistics go on over restarts.
#[test]
fn an_unloaded_volume_is_checked_and_loaded_on_other_cores() {
    let rig = rig(2);
    let mut server = target_with(&rig, &ServerOptions { cores: 2, ..ServerOptions::default() });
    volume(&server, 128);
    assert_eq!(info(&server)["shard_cores"].as_array().expect("cores").len(), 2);
    let export = Export::tcp(&server, "D0").expect("exported");
    initiator(&rig, &export).fio(&rig, "Nvmen1", &content("write do_verify=0")).expect("written");
    let before = counter(&server, "D0", "bios_in_write");
    on_volume(&server, "bdev_dedupe_unload");
    assert_eq!(server.bdev_names().expect("list"), ["Base"]);
    assert!(refused(&server, "bdev_dedupe_suspend", json!({"name": "D0"})).contains("'D0'"));
    let message = refused(&server, "bdev_dedupe_create", json!({"base_bdev_name": "Base", "name": "D0"}));
    assert!(message.contains("bdev_dedupe_load"), "{message}");
    let report = assert_clean(&server);
    assert_eq!(number(&report, "logical_blocks_used"), 24 * MIB / 4096);

    let core = rig.cores()[1];
    call(&server, "bdev_dedupe_load", json!({"name": "D0", "pool_name": "D0", "cpumask": format!("[{core}]")}));
    assert_eq!(info(&server)["shard_cores"], json!([core]));
    for step in ["load: open the objects: done after", "start: start the shards: done after"] {
        assert!(rig.is_old() || server.log().contains(&format!("D0: {step}")), "the log has no '{step}'");
    }
    assert_eq!(counter(&server, "D0", "bios_in_write"), before, "it counts on");
    export_again(&server, &export);
    initiator(&rig, &export).fio(&rig, "Nvmen1", &content("read verify_only=1")).expect("the content is there");
    assert_clean(&server);
    on_volume(&server, "bdev_dedupe_unload");
    on_volume(&server, "bdev_dedupe_delete");
    assert_eq!(
        server.bdev("Base").expect("shown")["claimed"],
        false,
        "an unloaded volume is deleted, and its pool with it"
    );
    malloc(&server, "Other", 64, 4096);
    assert!(server.stop().expect("ends").success());
}
