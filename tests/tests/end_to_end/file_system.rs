// SPDX-License-Identifier: BSD-3-Clause

//! The kernel's ext4 and xfs on a volume that promises more than it has: filled to the end, overwritten, repaired, deleted
//! from and filled again.
//!
//! `FILE_SYSTEM_ROUNDS` sets how often (10), `FILE_SYSTEM_BASE_MIB` how large the base is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;
use tests::target::{Rig, Server};

use crate::blocks::{content, Blocks, Bytes, BLOCK};
use crate::disk::{run, Disk, Mount};
use crate::fixture::{counter, create, malloc, rig, target, MIB};

/// Far more than the base has.
const LOGICAL_MIB: u64 = 1024;
const FILE_BYTES: usize = 1 << 20;
/// Files that are overwritten while the volume is full, each time.
const OVERWRITTEN: usize = 16;
/// Rounds, unless the environment says otherwise.
const ROUNDS: u64 = 10;
/// The round at whose beginning the whole journal is written.
const WRITTEN_JOURNAL: u64 = 4;
/// Transactions that fill a journal.
const TRANSACTIONS: u32 = 600;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not '{text}'")))
}

/// How a kind of file system is made and repaired.
#[derive(Debug, Clone, Copy)]
struct Kind {
    name: &'static str,
    make: &'static [&'static str],
    /// Its journal is replayed by this, or by a mount.
    repair: &'static [&'static str],
    /// Exit status of a repair from which on something is left to be mended.
    broken: i32,
    /// Tells whether there is anything to be mended.
    check: &'static [&'static str],
    base_mib: u64,
    reserve_percent: u64,
}

const EXT4: Kind = Kind {
    name: "ext4",
    make: &["mkfs.ext4", "-q", "-F", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
    repair: &["e2fsck", "-f", "-y"],
    broken: 4,
    check: &["e2fsck", "-f", "-n"],
    base_mib: 96,
    reserve_percent: 1,
};

const XFS: Kind = Kind {
    name: "xfs",
    make: &["mkfs.xfs", "-q", "-f"],
    repair: &["xfs_repair"],
    broken: 1,
    check: &["xfs_repair", "-n"],
    base_mib: 128,
    reserve_percent: 4,
};

/// Random bytes of a file, in one of its versions.
fn page(file: u64, version: u64) -> Bytes {
    content(file << 32 | version)
}

/// What the files hold, and what the volume makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Data {
    /// No two blocks are alike.
    Unique,
    /// Likewise, and the volume does not look for any.
    NotDeduplicated,
    /// Two blocks fit into one.
    Compressible,
}

/// Content of a block of a file; of a compressible one most is alike.
fn block(page: &[u8], index: u64, compressible: bool) -> Bytes {
    let mut bytes = page.to_vec();
    // Turned by a word each, no two blocks of a file are alike, and none has an end that repeats.
    bytes.rotate_left(index as usize * 8);
    if compressible {
        bytes[BLOCK * 3 / 8..].fill(0x20);
    }
    bytes
}

/// A file system on a disk, and what is to be in it.
struct Story {
    // Dropped in this order.
    disk: Disk,
    server: Server,
    rig: Rig,
    kind: Kind,
    compressible: bool,
    /// Files that were written wholly and synchronised, and which version of them.
    kept: BTreeMap<u64, u64>,
    /// Files of which each block is one of two versions: their last overwrite failed.
    doubtful: BTreeMap<u64, (u64, u64)>,
    next_file: u64,
    next_version: u64,
    /// How often the operator's reserve was released.
    released: u64,
    /// Rounds in which files were overwritten on the full volume as it was.
    rounds_without_help: u64,
}

impl Story {
    fn new(kind: Kind, data: Data) -> Story {
        let compressible = data == Data::Compressible;
        let rig = rig(1);
        let server = target(&rig);
        malloc(&server, "Base", setting("FILE_SYSTEM_BASE_MIB", kind.base_mib), BLOCK as u64);
        let volume = json!({
            "base_bdev_name": "Base", "name": "D0", "logical_size_mib": LOGICAL_MIB, "compression": compressible,
            "deduplication": data != Data::NotDeduplicated, "reserve_percent": kind.reserve_percent,
        });
        create(&server, volume).expect("created");
        let disk = Disk::new(&rig, Blocks::connect(&server, "D0", 64));
        let (kept, doubtful) = (BTreeMap::new(), BTreeMap::new());
        let (next_file, next_version, released, rounds_without_help) = (0, 1, 0, 0);
        let story = Story {
            disk,
            server,
            rig,
            kind,
            compressible,
            kept,
            doubtful,
            next_file,
            next_version,
            released,
            rounds_without_help,
        };
        let (code, output) = story.tool(kind.make);
        assert_eq!(code, 0, "{output}");
        story
    }

    /// Runs a tool of the file system's on the disk.
    fn tool(&self, command: &[&str]) -> (i32, String) {
        let device = self.disk.path().to_str().expect("a short name");
        run(command[0], command[1..].iter().copied().chain([device]))
    }

    fn used(&self) -> u64 {
        counter(&self.server, "D0", "data_blocks_used")
    }

    fn set_reserve(&self, percent: u64) {
        let params = json!({"name": "D0", "percent": percent});
        self.server.call("bdev_dedupe_set_reserve", params).expect("set");
    }

    /// Does what must succeed, with the operator's reserve if it does not without.
    fn with_reserve<T>(&mut self, what: &str, mut action: impl FnMut(&mut Story) -> Result<T, String>) -> T {
        action(self).unwrap_or_else(|refused| {
            println!("{what} wants the operator's reserve: {}", refused.lines().last().unwrap_or_default());
            self.release();
            action(self).unwrap_or_else(|error| panic!("{what}: {refused}\nwith the reserve: {error}"))
        })
    }

    fn release(&mut self) {
        self.released += 1;
        self.set_reserve(0);
    }

    fn mount(&mut self) -> Mount {
        self.with_reserve("a mount", |story| story.disk.mount(&story.rig, story.kind.name))
    }

    /// Repairs what was left behind when the volume was full.
    fn repair(&mut self) {
        if self.kind.name == "xfs" {
            // Its journal is replayed by a mount alone.
            drop(self.mount());
        }
        self.with_reserve("a repair", |story| match story.tool(story.kind.repair) {
            (code, _) if code < story.kind.broken => Ok(()),
            (code, output) => Err(format!("{output}: exit status {code}")),
        });
    }

    /// Writes files until one is refused. Those that were written to the end and synchronised are kept.
    fn fill(&mut self, dir: &Path) {
        let refused = self.disk.refused().0;
        loop {
            let (file, version) = (self.next_file, self.next_version);
            self.next_file += 1;
            if let Err(error) = self.write(dir, file, version, true) {
                println!("file {file}: {error}; {} blocks are used", self.used());
                // It may be there or not, and is never looked at.
                let _ = std::fs::remove_file(path(dir, file));
                break;
            }
            self.kept.insert(file, version);
        }
        assert!(self.disk.refused().0 > refused, "the volume is full, and nothing else");
    }

    fn write(&self, dir: &Path, file: u64, version: u64, new: bool) -> std::io::Result<()> {
        let mut handle = File::options().write(true).create_new(new).open(path(dir, file))?;
        let page = page(file, version);
        for index in 0..(FILE_BYTES / BLOCK) as u64 {
            handle.write_all(&block(&page, index, self.compressible))?;
        }
        handle.sync_all()
    }

    /// Overwrites files where they are; how many of them were refused.
    fn overwrite(&mut self, dir: &Path) -> usize {
        let step = (self.kept.len() / OVERWRITTEN).max(1);
        let chosen: Vec<(u64, u64)> =
            self.kept.iter().step_by(step).take(OVERWRITTEN).map(|(&file, &old)| (file, old)).collect();
        let mut refused = 0;
        for (file, old) in chosen {
            self.next_version += 1;
            if let Err(error) = self.write(dir, file, self.next_version, false) {
                println!("file {file}, overwritten: {error}");
                refused += 1;
                self.kept.remove(&file);
                self.doubtful.insert(file, (old, self.next_version));
            } else {
                self.kept.insert(file, self.next_version);
            }
        }
        refused
    }

    /// Compares all that was kept.
    fn verify(&self, dir: &Path) {
        let blocks = (FILE_BYTES / BLOCK) as u64;
        let versions = self.kept.iter().map(|(&file, &version)| (file, version, version));
        let doubtful = self.doubtful.iter().map(|(&file, &(old, new))| (file, old, new));
        for (file, old, new) in versions.chain(doubtful) {
            let mut bytes = Bytes::new();
            let read = File::open(path(dir, file)).and_then(|mut handle| handle.read_to_end(&mut bytes));
            assert_eq!(read.expect("it is there, and can be read"), FILE_BYTES, "file {file}");
            let pages = [page(file, old), page(file, new)];
            for (found, index) in bytes.chunks(BLOCK).zip(0..blocks) {
                let known = pages.iter().any(|page| found == block(page, index, self.compressible));
                assert!(known, "file {file}, version {old} or {new}: block {index} is another");
            }
        }
    }

    /// Deletes every other file, and gives the room back. Returns the file system, mounted anew: what a journal has not
    /// committed, and what is deleted in the background, is not free before.
    fn delete_half(&mut self, mount: Mount) -> Mount {
        let before = self.used();
        let doubtful = std::mem::take(&mut self.doubtful).into_keys();
        let half: Vec<u64> = self.kept.keys().copied().step_by(2).chain(doubtful).collect();
        for file in &half {
            self.kept.remove(file);
            std::fs::remove_file(path(mount.dir(), *file)).expect("deleted");
        }
        drop(mount);
        let mount = self.mount();
        let (code, output) = run("fstrim", [mount.dir()]);
        assert_eq!(code, 0, "fstrim: {output}");
        let given_back = before - self.used();
        // What is packed with others comes free when they have been moved.
        let least = if self.compressible { 1 } else { half.len() as u64 * (FILE_BYTES / BLOCK) as u64 * 9 / 10 };
        assert!(given_back >= least, "{given_back} blocks for {} files", half.len());
        mount
    }

    /// Writes a journal once around: each small transaction takes a few of its blocks.
    fn write_the_journal(&mut self, dir: &Path) {
        for number in 0..TRANSACTIONS {
            let path = dir.join("small");
            File::create(&path).and_then(|file| file.sync_all()).expect("there is room");
            if number % 2 == 0 {
                std::fs::remove_file(&path).expect("it is there");
            }
        }
    }

    fn round(&mut self, written_journal: bool) {
        let mount = self.mount();
        if written_journal {
            self.write_the_journal(mount.dir());
        }
        self.fill(mount.dir());
        let refused = self.overwrite(mount.dir());
        drop(mount);
        if refused > 0 {
            // The journal has no room: what it would overwrite was never written, or is shared.
            println!("on the full volume {refused} of {OVERWRITTEN} overwrites are refused");
            self.release();
        } else {
            self.rounds_without_help += 1;
        }
        self.repair();
        let mount = self.mount();
        self.verify(mount.dir());
        if refused > 0 {
            let refused = self.overwrite(mount.dir());
            println!("with the reserve {refused} of {OVERWRITTEN} are refused");
            // A fragment of a compressed block gives its room back with the block.
            assert!(refused == 0 || self.compressible, "with the reserve the file system overwrites what it has");
        }
        // A deletion is a transaction as well: where the journal's next blocks are shared or were never written it would abort, and
        // the deleted files be back.
        self.set_reserve(0);
        let mount = self.delete_half(mount);
        assert_eq!(self.overwrite(mount.dir()), 0, "there is room again");
        self.set_reserve(self.kind.reserve_percent);
        self.verify(mount.dir());
    }
}

fn path(dir: &Path, file: u64) -> PathBuf {
    dir.join(format!("file-{file}"))
}

/// Fills a file system, repairs it, deletes from it, and fills it again. Returns in how many rounds what was there could be
/// overwritten on the full volume as it was.
fn fill_and_repair(kind: Kind, data: Data) -> u64 {
    let mut story = Story::new(kind, data);
    let began = Instant::now();
    let rounds = setting("FILE_SYSTEM_ROUNDS", ROUNDS);
    for round in 0..rounds {
        println!("{} round {round}, at {:?}: {} files", kind.name, began.elapsed(), story.kept.len());
        story.round(round == WRITTEN_JOURNAL);
    }
    let (code, output) = story.tool(kind.check);
    assert_eq!(code, 0, "{output}");
    let mount = story.mount();
    story.verify(mount.dir());
    drop(mount);
    let report = story.server.call("bdev_dedupe_check", json!({"name": "D0"})).expect("checked");
    assert_eq!(report["clean"], true, "{report:#}");
    let (full, other) = story.disk.refused();
    assert_eq!(other, 0, "no request failed but for want of space");
    println!(
        "{}, {data:?}: {rounds} rounds in {:?}, {} files of {} MiB written, {full} requests refused, {} rounds without \
         help, the operator's reserve released {} times; {} blocks lent for overwrites",
        kind.name,
        began.elapsed(),
        story.next_file,
        FILE_BYTES as u64 / MIB,
        story.rounds_without_help,
        story.released,
        counter(&story.server, "D0", "blocks_lent"),
    );
    story.rounds_without_help
}

#[test]
fn ext4_on_a_full_volume_goes_on() {
    fill_and_repair(EXT4, Data::Unique);
}

#[test]
fn ext4_on_a_full_volume_of_compressible_data_goes_on() {
    fill_and_repair(EXT4, Data::Compressible);
}

/// Where nothing is shared a journal that was written once is overwritten on a full volume, for ever, without help.
#[test]
fn ext4_overwrites_on_a_full_volume_once_its_journal_was_written() {
    let without_help = fill_and_repair(EXT4, Data::NotDeduplicated);
    assert!(without_help >= ROUNDS - WRITTEN_JOURNAL - 1, "{without_help} rounds");
}

#[test]
fn xfs_on_a_full_volume_goes_on() {
    fill_and_repair(XFS, Data::Unique);
}
