// SPDX-License-Identifier: BSD-3-Clause

//! A volume as a disk of this machine, whose kernel has no initiator: a file in user space (FUSE) that is read and written
//! over NVMe/TCP, and a loop device above it. So the kernel's own file systems run on a volume.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request,
    WriteFlags,
};
use tests::nvme_tcp::{IoCommand, Status};
use tests::target::Rig;

use crate::blocks::{Blocks, Bytes, BLOCK};

const FILE: INodeNo = INodeNo(2);
const FILE_NAME: &str = "volume";
/// Attributes do not change.
const FOR_EVER: Duration = Duration::from_secs(86_400);
/// Most bytes that the kernel asks for at once.
const MAX_REQUEST_BYTES: u32 = 1 << 20;
/// fallocate(2): a hole, and zeros.
const PUNCH_HOLE: i32 = 0x02;
const ZERO_RANGE: i32 = 0x10;

/// The generic status "capacity exceeded".
const CAPACITY_EXCEEDED: (u16, u16) = (0, 0x81);

/// What was refused for want of space, and what failed otherwise.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Requests that were answered with "capacity exceeded".
    pub full: AtomicU64,
    /// Requests with any other error.
    pub other: AtomicU64,
}

/// A disk on a volume, which goes when this is dropped.
#[derive(Debug)]
pub struct Disk {
    // Dropped in this order.
    device: LoopDevice,
    _session: BackgroundSession,
    refusals: Arc<Refusals>,
}

impl Disk {
    /// Makes a volume of 4 KiB blocks a disk.
    pub fn new(rig: &Rig, blocks: Blocks) -> Disk {
        for device in ["/dev/fuse", "/dev/loop-control"] {
            assert!(
                Path::new(device).exists(),
                "this test needs {device}, root, and a kernel with FUSE and loop devices"
            );
        }
        let dir = rig.path("disk");
        std::fs::create_dir(&dir).expect("a directory");
        let refusals = Arc::new(Refusals::default());
        let size = blocks.count() * BLOCK as u64;
        let file = VolumeFile { blocks: Mutex::new(blocks), refusals: Arc::clone(&refusals), size };
        let session = fuser::spawn_mount(file, &dir, &fuser::Config::default()).expect("a FUSE mount: run as root");
        let device = LoopDevice::new(&dir.join(FILE_NAME));
        Disk { device, _session: session, refusals }
    }

    /// The block device.
    pub fn path(&self) -> &Path {
        &self.device.0
    }

    /// What was refused so far: for want of space, and otherwise.
    pub fn refused(&self) -> (u64, u64) {
        (self.refusals.full.load(Ordering::Relaxed), self.refusals.other.load(Ordering::Relaxed))
    }

    /// Mounts the file system of this kind that is on it; what `mount` says if it does not.
    pub fn mount(&self, rig: &Rig, kind: &str) -> Result<Mount, String> {
        let dir = rig.path("mount");
        std::fs::create_dir(&dir).expect("a directory");
        let options = ["-t", kind, "-o", "noatime"].map(OsStr::new);
        let arguments = options.into_iter().chain([self.path().as_os_str(), dir.as_os_str()]);
        let (code, output) = run("mount", arguments);
        if code == 0 {
            Ok(Mount(dir))
        } else {
            Err(output)
        }
    }
}

/// A mounted file system, unmounted when this is dropped.
#[derive(Debug)]
pub struct Mount(PathBuf);

impl Mount {
    /// Where it is mounted.
    pub fn dir(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let (code, output) = run("umount", [&self.0]);
        if code != 0 {
            println!("umount: {output}");
            run("umount", [OsStr::new("--lazy"), self.0.as_ref()]);
        }
    }
}

/// Runs a program of the system; its exit status (-1 for a signal), and what it printed.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> (i32, String) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program).args(arguments).env("PATH", path).env("LC_ALL", "C.UTF-8").output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; make end-to-end installs it"));
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

/// A loop device with direct I/O, so that no page cache lies between it and the volume.
#[derive(Debug)]
struct LoopDevice(PathBuf);

impl LoopDevice {
    fn new(file: &Path) -> LoopDevice {
        let options = ["--find", "--show", "--direct-io=on", "--sector-size=4096"].map(OsStr::new);
        let (code, output) = run("losetup", options.into_iter().chain([file.as_os_str()]));
        assert_eq!(code, 0, "losetup: {output}");
        LoopDevice(PathBuf::from(output.trim()))
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let (code, output) = run("losetup", [OsStr::new("--detach"), self.0.as_ref()]);
        if code != 0 {
            println!("losetup --detach: {output}");
        }
    }
}

/// A directory with one file, the volume.
#[derive(Debug)]
struct VolumeFile {
    blocks: Mutex<Blocks>,
    refusals: Arc<Refusals>,
    size: u64,
}

impl VolumeFile {
    /// Executes the commands of one request; what they read, in turn.
    fn execute(&self, commands: Vec<(IoCommand, Bytes)>) -> Result<Bytes, Errno> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let outcomes = blocks.try_execute(commands).map_err(|error| {
            println!("the disk: {error}");
            Errno::EIO
        })?;
        match outcomes.iter().map(|(status, _)| *status).find(|status| !status.is_success()) {
            None => Ok(outcomes.into_iter().flat_map(|(_, data)| data).collect()),
            Some(status) => Err(self.refused(status)),
        }
    }

    fn refused(&self, status: Status) -> Errno {
        if (status.kind(), status.code()) == CAPACITY_EXCEEDED {
            self.refusals.full.fetch_add(1, Ordering::Relaxed);
            return Errno::ENOSPC;
        }
        println!("the disk: {status}");
        self.refusals.other.fetch_add(1, Ordering::Relaxed);
        Errno::EIO
    }

    /// Cuts a range of bytes into parts that one command may move: first block, and blocks.
    fn parts(&self, offset: u64, length: usize, most_bytes: usize) -> Result<Vec<(u64, u32)>, Errno> {
        let aligned = offset.is_multiple_of(BLOCK as u64) && length.is_multiple_of(BLOCK);
        if !aligned || offset.saturating_add(length as u64) > self.size {
            return Err(Errno::EINVAL);
        }
        let (first, blocks, most) = (offset / BLOCK as u64, (length / BLOCK) as u64, (most_bytes / BLOCK) as u64);
        let part = |at: u64| (first + at, (blocks - at).min(most) as u32);
        Ok((0..blocks).step_by(most as usize).map(part).collect())
    }

    fn most_bytes(&self) -> usize {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).max_transfer_bytes().min(128 << 10)
    }

    fn read(&self, offset: u64, length: usize) -> Result<Bytes, Errno> {
        let parts = self.parts(offset, length, self.most_bytes())?;
        self.execute(parts.into_iter().map(|(lba, blocks)| (IoCommand::Read { lba, blocks }, Bytes::new())).collect())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Errno> {
        let parts = self.parts(offset, data.len(), self.most_bytes())?;
        let mut left = data;
        let mut command = |(lba, blocks): (u64, u32)| {
            let (part, rest) = left.split_at(blocks as usize * BLOCK);
            left = rest;
            (IoCommand::Write { lba, blocks }, part.to_vec())
        };
        let commands = parts.into_iter().map(&mut command).collect();
        self.execute(commands).map(drop)
    }

    fn clear(&self, offset: u64, length: u64, mode: i32) -> Result<(), Errno> {
        if mode & (PUNCH_HOLE | ZERO_RANGE) == 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let holes = mode & PUNCH_HOLE != 0;
        let command = |(lba, blocks)| {
            let command =
                if holes { IoCommand::Deallocate { lba, blocks } } else { IoCommand::WriteZeroes { lba, blocks } };
            (command, Bytes::new())
        };
        let most_bytes = if holes { u32::MAX as usize } else { 65_536 * BLOCK };
        let parts = self.parts(offset, length as usize, most_bytes)?;
        self.execute(parts.into_iter().map(command).collect()).map(drop)
    }

    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let (kind, perm, size) =
            if inode == FILE { (FileType::RegularFile, 0o600, self.size) } else { (FileType::Directory, 0o700, 0) };
        FileAttr {
            ino: inode,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: BLOCK as u32,
            flags: 0,
        }
    }
}

fn answer(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for VolumeFile {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // A smaller one that the kernel may insist on does as well.
        let _ = config.set_max_write(MAX_REQUEST_BYTES);
        Ok(())
    }

    fn lookup(&self, _request: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == FILE_NAME {
            reply.entry(&FOR_EVER, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _request: &Request, inode: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOR_EVER, &self.attributes(inode));
    }

    fn open(&self, _request: &Request, _inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let size = u64::from(size).min(self.size.saturating_sub(offset));
        match VolumeFile::read(self, offset, size as usize) {
            Ok(data) => reply.data(&data),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match VolumeFile::write(self, offset, data) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _request: &Request, _inode: INodeNo, _handle: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _request: &Request, _inode: INodeNo, _handle: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        answer(reply, self.execute(vec![(IoCommand::Flush, Bytes::new())]).map(drop));
    }

    fn fallocate(
        &self,
        _request: &Request,
        _inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        answer(reply, self.clear(offset, length, mode));
    }
}
