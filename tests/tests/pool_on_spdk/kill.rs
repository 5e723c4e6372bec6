// SPDX-License-Identifier: BSD-3-Clause

//! Objects of a pool on two file-backed bdevs, made by a process that is killed, read back by another one.
//!
//! The test starts its own program again, first as the writer, then as the reader. Both run SPDK with the module in
//! it; the writer creates the pool by JSON-RPC, the reader's pool is found by examine.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bdev_dedupe::load::open_pool;
use mpool::mlog::OpenFlags;
use mpool::{MediaClass, ObjectId};
use serde_json::{json, Value};

use crate::{run_spdk, Rig};

/// What the process is to do, and where.
const ROLE: &str = "POOL_KILL_ROLE";
const PLACE: &str = "POOL_KILL_PLACE";

/// Written by the writer for each object that is committed and logged: number and id.
const ACKNOWLEDGED: &str = "acknowledged";

/// Objects after which the writer is killed, in the middle of what it does.
const OBJECTS: usize = 60;

const MBLOCK_BYTES: usize = 64 << 10;

/// mpool-6, mpool-36, mpool-52: what was acknowledged before a `kill -9` is there after it, byte for byte.
#[test]
fn objects_survive_a_kill() {
    let place = tempfile::tempdir_in("/var/tmp").expect("a directory on a disk");
    for (name, mib) in [("Capacity", 512_u64), ("Staging", 256)] {
        let file = std::fs::File::create(place.path().join(name)).expect("a file");
        file.set_len(mib << 20).expect("a sparse file");
    }
    let mut writer = process("write", place.path(), Stdio::piped());
    let lines = BufReader::new(writer.stdout.take().expect("piped")).lines();
    let acknowledged: Vec<String> = lines
        .map(|line| line.expect("text"))
        .filter_map(|line| line.split_once(ACKNOWLEDGED).map(|(_, told)| told.trim().to_owned()))
        .take(OBJECTS)
        .collect();
    writer.kill().expect("it runs");
    writer.wait().expect("it was started");
    assert_eq!(acknowledged.len(), OBJECTS, "the writer ended by itself");
    std::fs::write(place.path().join(ACKNOWLEDGED), acknowledged.join("\n")).expect("a file");
    let read = process("read", place.path(), Stdio::inherit()).wait().expect("it was started");
    assert!(read.success(), "the reader says what it missed");
}

/// This program again, to run [`the_other_process`].
fn process(role: &str, place: &Path, output: Stdio) -> Child {
    let program = std::env::current_exe().expect("a path");
    Command::new(program)
        .args(["--ignored", "--exact", "kill::the_other_process", "--nocapture"])
        .env(ROLE, role)
        .env(PLACE, place)
        // The test beside this one may take the hugepages that both see.
        .env("SPDK_DEDUPE_NO_HUGE", "1")
        .stdout(output)
        .spawn()
        .expect("the program is there")
}

#[test]
#[ignore = "started by objects_survive_a_kill"]
fn the_other_process() {
    let place = PathBuf::from(std::env::var_os(PLACE).expect("a place"));
    match std::env::var(ROLE).as_deref() {
        Ok("write") => run_spdk(move |rig| write(rig, &place)),
        Ok("read") => run_spdk(move |rig| read(rig, &place)),
        other => panic!("no role: {other:?}"),
    }
}

fn open_files(rig: &Rig<'_>, place: &Path) {
    for name in ["Capacity", "Staging"] {
        rig.rpc("bdev_aio_create", &json!({"name": name, "filename": place.join(name), "block_size": 4096}));
    }
}

/// What the mblock number `number` holds.
fn content(number: u64) -> impl Iterator<Item = u8> {
    (0..MBLOCK_BYTES as u64).map(move |at| (number.wrapping_mul(31).wrapping_add(at / 512 * 7 + at)) as u8)
}

const fn class_of(number: u64) -> MediaClass {
    if number.is_multiple_of(2) {
        MediaClass::Capacity
    } else {
        MediaClass::Staging
    }
}

/// Makes objects until it is killed.
fn write(rig: &Rig<'_>, place: &Path) {
    open_files(rig, place);
    rig.rpc("mpool_create", &json!({"name": "kept", "capacity_bdev": "Capacity", "staging_bdev": "Staging"}));
    rig.on_pool_thread(|_| async {
        let pool = open_pool("kept").expect("created");
        let log = pool.mlog_alloc(MediaClass::Staging, 0, false).await.expect("room").id;
        pool.mlog_commit(log).await.expect("committed");
        let log = pool.mlog_open(log, OpenFlags::default()).await.expect("open");
        let drives = pool.pool().expect("all rights").drives();
        for number in 0.. {
            let class = class_of(number);
            let drive = drives.iter().find(|drive| drive.class() == class).expect("both classes");
            let id = pool.mblock_alloc(class, false).await.expect("room").id;
            let mut buf = drive.allocate(MBLOCK_BYTES).expect("memory");
            (*buf).as_mut().iter_mut().zip(content(number)).for_each(|(byte, new)| *byte = new);
            pool.mblock_write(id, buf, 0..MBLOCK_BYTES).await.1.expect("written");
            pool.mblock_commit(id).await.expect("committed");
            log.log().append(&record(number, id), true).await.expect("appended");
            println!("{ACKNOWLEDGED} {number} {} {}", id.0, log.id().0);
            std::io::stdout().flush().expect("somebody reads");
            if number >= 10 {
                // Something to delete, so that the metadata has more than creations.
                pool.mblock_delete(id).await.expect("deleted");
            }
        }
    });
}

fn record(number: u64, id: ObjectId) -> Vec<u8> {
    [number.to_le_bytes(), id.0.to_le_bytes()].concat()
}

/// Reads what the writer said it had made.
fn read(rig: &Rig<'_>, place: &Path) {
    open_files(rig, place);
    for _ in 0..300 {
        let active = rig.rpc("mpool_list", &Value::Null);
        if active.as_array().is_some_and(|pools| !pools.is_empty()) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let told = std::fs::read_to_string(place.join(ACKNOWLEDGED)).expect("the list");
    let told: Vec<Vec<u64>> =
        told.lines().map(|line| line.split(' ').map(|word| word.parse().expect("a number")).collect()).collect();
    rig.on_pool_thread(|_| async move {
        let pool = open_pool("kept").expect("examine has found the pool");
        let log = pool.mlog_open(ObjectId(told[0][2]), OpenFlags::default()).await.expect("the log is there");
        log.log().rewind().await.expect("readable");
        for (expected, line) in (0_u64..).zip(&told) {
            let (number, id) = (line[0], ObjectId(line[1]));
            assert_eq!(number, expected);
            let found = log.log().next_vec(64).await.expect("readable");
            assert_eq!(found, Some(record(number, id)), "record {number}");
            if number >= 10 {
                continue;
            }
            let drives = pool.pool().expect("all rights").drives();
            let buf = drives[0].allocate(MBLOCK_BYTES).expect("memory");
            let (buf, outcome) = pool.mblock_read(id, 0, buf, 0..MBLOCK_BYTES).await;
            outcome.unwrap_or_else(|error| panic!("mblock {number}: {error}"));
            assert!((*buf).as_ref().iter().copied().eq(content(number)), "mblock {number} differs");
        }
    });
}
