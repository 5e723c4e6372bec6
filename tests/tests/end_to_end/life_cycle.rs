// SPDX-License-Identifier: BSD-3-Clause

//! The ways in which a volume or its target ends, at rest and under load; and what an idle volume costs.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tests::target::{Export, FioJob, Process, Rig, Server, ServerOptions};

use crate::fixture::{
    counter, create, initiator, malloc, needs_newer, number, rig, target, target_with, volume, wait_for_bdev, MIB,
};

/// Long enough that load runs until it is ended.
const ENDLESS: &str = "rw=randrw bssplit=4k/50:64k/30:256k/20 size=200m iodepth=32 time_based=1 runtime=120";

/// A base `Base` on a file of the rig, made unless it is there.
fn aio(rig: &Rig, server: &Server, mib: u64) {
    let file = rig.dir().join("base.img");
    let image = std::fs::File::options().create(true).truncate(false).write(true).open(&file).expect("a file");
    image.set_len(mib * MIB).expect("a sparse file");
    let base = json!({"name": "Base", "filename": file.display().to_string(), "block_size": 4096});
    server.call("bdev_aio_create", base).expect("a base on a file");
}

/// Starts fio in a second process and returns once the volume has taken writes from it.
fn start_load(rig: &Rig, server: &Server, export: &Export) -> Process {
    let before = counter(server, "D0", "bios_in_write");
    let output = rig.path("load.json");
    let mut load =
        initiator(rig, export).start_fio(rig, "Nvmen1", &[FioJob::new("load", ENDLESS)], &output).expect("fio starts");
    let loaded = |process: &mut Process| {
        assert!(process.status()?.is_none(), "the load runs: {}", process.tail());
        Ok((counter(server, "D0", "bios_in_write") > before + 1000).then_some(()))
    };
    load.wait_for(Duration::from_secs(60), "load the volume", loaded).expect("the volume is loaded");
    load
}

fn loaded_target(rig: &Rig) -> (Server, Process) {
    let server = target(rig);
    volume(&server, 320);
    let export = Export::tcp(&server, "D0").expect("exported");
    let load = start_load(rig, &server, &export);
    (server, load)
}

#[test]
fn removing_the_base_under_load_removes_the_volume() {
    let rig = rig(2);
    let (mut server, _load) = loaded_target(&rig);
    let began = Instant::now();
    server.call("bdev_malloc_delete", json!({"name": "Base"})).expect("the base goes");
    assert!(began.elapsed() < Duration::from_secs(20), "it took {:?}", began.elapsed());
    assert_eq!(server.bdev_names().expect("alive"), [""; 0]);
    assert!(server.log().contains("base bdev 'Base' was removed"), "{}", server.log());
    volume(&server, 64);
    assert!(server.stop().expect("ends").success());
}

#[test]
fn a_volume_is_deleted_under_load() {
    let rig = rig(2);
    let (mut server, _load) = loaded_target(&rig);
    let refused = server.call("bdev_dedupe_delete", json!({"name": "D0"})).expect_err("it is in use").to_string();
    assert!(refused.contains("force"), "{refused}");
    let began = Instant::now();
    server.call("bdev_dedupe_delete", json!({"name": "D0", "force": true})).expect("deleted");
    assert!(began.elapsed() < Duration::from_secs(20), "it took {:?}", began.elapsed());
    assert_eq!(server.bdev_names().expect("alive"), ["Base"]);
    create(&server, json!({"base_bdev_name": "Base", "name": "D0"})).expect("created again");
    assert_eq!(counter(&server, "D0", "data_blocks_used"), 0);
    assert!(server.stop().expect("ends").success());
}

#[test]
fn volumes_come_and_go_many_times() {
    let rig = rig(1);
    let mut server = target(&rig);
    malloc(&server, "Base", 64, 4096);
    let resident = |server: &mut Server| memory_kib(server.process().pid());
    // The allocator keeps some 130 MiB of what the first volumes took, no more with each further one.
    let mut settled = 0;
    for round in 0..90 {
        create(&server, json!({"base_bdev_name": "Base", "name": "D0"})).expect("created");
        server.call("bdev_dedupe_delete", json!({"name": "D0"})).expect("deleted");
        if round == 29 {
            settled = resident(&mut server);
        }
    }
    // One volume of this size takes 7 MiB, which may or may not have gone back to the system when we look.
    let grown = resident(&mut server).saturating_sub(settled);
    assert!(grown < 16 * 1024, "{grown} KiB were not given back by 60 volumes");
    assert!(server.stop().expect("ends").success());
}

/// Anonymous memory of a process, which leaves out hugepages and files.
fn memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the target runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("the kernel tells");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}

#[test]
fn an_interrupt_ends_the_target_cleanly() {
    let rig = rig(1);
    let mut server = target(&rig);
    volume(&server, 64);
    let status = server.stop().expect("ends");
    assert!(status.success(), "{status}: {}", server.log());
}

#[test]
fn an_interrupt_under_load_ends_the_target_cleanly() {
    let rig = rig(2);
    let (mut server, _load) = loaded_target(&rig);
    let status = server.stop().expect("ends");
    assert!(status.success(), "{status}: {}", server.log());
}

#[test]
fn after_a_kill_the_volume_has_its_content() {
    let rig = rig(2);
    let mut server = target(&rig);
    aio(&rig, &server, 128);
    create(&server, json!({"base_bdev_name": "Base", "name": "D0"})).expect("a volume");
    let export = Export::tcp(&server, "D0").expect("exported");
    let job = |rw: &str| {
        let job = format!("rw={rw} bs=64k size=32m iodepth=8 verify=crc32c randseed=7");
        [FioJob::new("content", &job)]
    };
    initiator(&rig, &export).fio(&rig, "Nvmen1", &job("write do_verify=0")).expect("written");
    assert_eq!(counter(&server, "D0", "logical_blocks_used"), 8192);
    server.process().kill();

    let mut server = target(&rig);
    aio(&rig, &server, 128);
    wait_for_bdev(&server, "D0");
    assert_eq!(counter(&server, "D0", "logical_blocks_used"), 8192);
    assert!(server.log().contains("journal entries were replayed"), "{}", server.log());
    let export = Export::tcp(&server, "D0").expect("exported");
    initiator(&rig, &export).fio(&rig, "Nvmen1", &job("read verify_only=1")).expect("reads what was written");
    let report = server.call("bdev_dedupe_check", json!({"name": "D0"})).expect("checked");
    assert_eq!((&report["clean"], &report["logical_blocks_used"]), (&json!(true), &json!(8192)), "{report:#}");
    assert!(server.stop().expect("ends").success());
}

/// Time on a thread of SPDK's, in ticks.
struct Busy {
    name: String,
    busy: u64,
    idle: u64,
}

fn threads(server: &Server) -> Vec<Busy> {
    let stats = server.call("thread_get_stats", Value::Null).expect("thread statistics");
    let threads = stats["threads"].as_array().expect("a list").clone();
    let busy = |thread: &Value| Busy {
        name: thread["name"].as_str().unwrap_or_default().to_owned(),
        busy: number(thread, "busy"),
        idle: number(thread, "idle"),
    };
    threads.iter().map(busy).collect()
}

#[test]
fn an_idle_volume_is_idle() {
    let rig = rig(1);
    let server = target(&rig);
    volume(&server, 64);
    let before = threads(&server);
    std::thread::sleep(Duration::from_secs(2));
    let after = threads(&server);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.name, after.name);
        let (busy, idle) = (after.busy - before.busy, after.idle - before.idle);
        assert!(busy * 50 <= idle, "{}: {busy} ticks busy, {idle} idle", after.name);
    }
}

#[test]
fn in_interrupt_mode_it_serves_and_sleeps() {
    let rig = rig(2);
    needs_newer(&rig, "--interrupt-mode for targets");
    // Not everything of SPDK's sleeps in this mode: spdk_tgt's iSCSI and a malloc bdev with a channel spin, with or
    // without this module.
    let arguments = vec!["--interrupt-mode".to_owned()];
    let mut server = target_with(&rig, &ServerOptions { arguments, nvmf_tgt: true, ..ServerOptions::default() });
    aio(&rig, &server, 128);
    create(&server, json!({"base_bdev_name": "Base", "name": "D0"})).expect("created");
    let export = Export::tcp(&server, "D0").expect("exported");
    let job = FioJob::new("verify", "rw=randwrite bs=4k size=16m iodepth=16 verify=crc32c");
    initiator(&rig, &export).fio(&rig, "Nvmen1", &[job]).expect("serves");
    let pid = server.process().pid();
    let asleep = (0..10).any(|_| ticks_in_a_second(pid) < 10);
    assert!(asleep, "the target does not come to rest");
    server.call("bdev_dedupe_delete", json!({"name": "D0", "force": true})).expect("deleted");
    assert!(server.stop().expect("ends").success());
}

/// Of the hundred in which a thread that polls would be busy.
fn ticks_in_a_second(pid: u32) -> u64 {
    let before = cpu_ticks(pid);
    std::thread::sleep(Duration::from_secs(1));
    cpu_ticks(pid) - before
}

/// User and system time of a process, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(Path::new(&path)).expect("the target runs");
    let after_name = stat.rsplit_once(')').expect("a name in parentheses").1;
    let fields: Vec<_> = after_name.split_whitespace().collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum()
}
