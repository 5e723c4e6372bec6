// SPDX-License-Identifier: BSD-3-Clause

//! A host with disks in memory, which can be claimed once, grow, shrink, be copied and fail.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::Future;
use core::ops::Range;
use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;
use futures::future::LocalBoxFuture;
use uuid::Uuid;

use super::host::TestHost;
use crate::device::{Device, DeviceError, DeviceProperties, DeviceType, Ended, IoBuf, PlainMemory, Transfer};
use crate::error::{Kind, PoolError};
use crate::format::MediaFormat;
use crate::host::{Host, Level, PoolStatus};
use crate::management::activate::ActivateRequest;
use crate::management::create::CreateRequest;
use crate::registry::Registry;
use crate::tunables::Tunables;
use crate::units::Nanos;

pub const MIB: u64 = 1 << 20;

const PAGE: u64 = 4096;

/// Disks, and the pools on them.
pub struct World {
    pub host: Rc<WorldHost>,
    pub registry: Rc<Registry>,
}

pub struct WorldHost {
    clock: Rc<TestHost>,
    /// The number of power cuts so far, so that no UUID is generated twice.
    cuts: Cell<u8>,
    disks: RefCell<BTreeMap<String, Rc<Disk>>>,
    told: RefCell<Vec<PoolStatus>>,
}

impl WorldHost {
    /// The pool statuses that it was told.
    pub fn told(&self) -> Vec<PoolStatus> {
        self.told.borrow().clone()
    }
}

/// A disk.
#[derive(Debug)]
pub struct Disk {
    pub properties: RefCell<DeviceProperties>,
    pages: RefCell<BTreeMap<u64, Page>>,
    claimed: Cell<bool>,
    writes: Cell<u64>,
    fails_after: Cell<Option<u64>>,
    fails_in: RefCell<Option<Range<u64>>>,
    unreadable: RefCell<Option<Range<u64>>>,
    /// The number of transfers that still fail, and where.
    failing: RefCell<(u32, Range<u64>)>,
    /// The last durable content of the pages that were written since.
    unflushed: RefCell<BTreeMap<u64, Option<Page>>>,
}

type Page = Box<[u8; PAGE as usize]>;

/// An opened disk.
#[derive(Debug)]
struct Claim {
    disk: Rc<Disk>,
    clock: Rc<TestHost>,
}

impl World {
    /// A world without disks.
    pub fn new() -> World {
        World::with_format(MediaFormat::CURRENT)
    }

    pub fn with_format(format: MediaFormat) -> World {
        let host = Rc::new(WorldHost {
            clock: TestHost::new(),
            cuts: Cell::new(0),
            disks: RefCell::default(),
            told: RefCell::default(),
        });
        let registry = Rc::new(Registry::with_format(Rc::<WorldHost>::clone(&host), Tunables::default(), format));
        World { host, registry }
    }

    /// A world with the disks "cap" (64 MiB) and "stg" (32 MiB).
    pub fn with_two_disks() -> World {
        let world = World::new();
        world.add("cap", 64 * MIB);
        world.add("stg", 32 * MIB);
        world
    }

    pub fn add(&self, name: &str, bytes: u64) -> Rc<Disk> {
        let disk = Rc::new(Disk::new(name, bytes));
        self.host.disks.borrow_mut().insert(name.to_owned(), Rc::clone(&disk));
        disk
    }

    pub fn disk(&self, name: &str) -> Rc<Disk> {
        Rc::clone(&self.host.disks.borrow()[name])
    }

    /// Makes `to` a copy of `from`.
    pub fn copy(&self, from: &str, to: &str) {
        let from = self.disk(from);
        let copy = self.add(to, from.properties.borrow().bytes);
        *copy.pages.borrow_mut() = from.pages.borrow().clone();
    }

    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.host.clock.run(future)
    }

    pub fn run_for(&self, time: Nanos) {
        self.host.clock.run_for(time);
    }

    pub fn lines(&self) -> Vec<String> {
        self.host.clock.lines()
    }

    /// Creates a pool on "cap", and leaves it active.
    pub fn create(&self, name: &str) {
        let request = CreateRequest { name: name.into(), capacity: "cap".into(), ..CreateRequest::default() };
        self.run(self.registry.create(&request)).unwrap();
    }

    /// Creates a pool on "cap" and "stg", and leaves it active.
    pub fn create_with_staging(&self, name: &str) {
        let (capacity, staging) = ("cap".into(), Some("stg".into()));
        let request = CreateRequest { name: name.into(), capacity, staging, ..CreateRequest::default() };
        self.run(self.registry.create(&request)).unwrap();
    }

    pub fn activate(&self, paths: &[&str]) -> Result<(), PoolError> {
        self.run(self.registry.activate(&request(paths))).map(drop)
    }

    pub fn deactivate(&self, name: &str) {
        self.run(self.registry.deactivate(name)).unwrap();
    }

    /// Restarts after a power cut: everything in memory is lost.
    pub fn cut(self) -> World {
        self.cut_to(MediaFormat::CURRENT)
    }

    /// The same; afterwards software of another version runs.
    pub fn cut_to(self, format: MediaFormat) -> World {
        let after = World::with_format(format);
        after.host.cuts.set(self.host.cuts.get() + 1);
        for (name, disk) in self.host.disks.take() {
            let copy = after.add(&name, 0);
            *copy.properties.borrow_mut() = disk.properties.borrow().clone();
            copy.pages.swap(&disk.pages);
        }
        after
    }

    /// Disks that are claimed.
    pub fn claimed(&self) -> Vec<String> {
        let disks = self.host.disks.borrow();
        disks.iter().filter(|(_, disk)| disk.claimed.get()).map(|(name, _)| name.clone()).collect()
    }
}

/// A plain request to activate the pool on `paths`.
pub fn request(paths: &[&str]) -> ActivateRequest {
    let paths = paths.iter().map(|&path| path.to_owned()).collect();
    ActivateRequest { paths, ..ActivateRequest::default() }
}

/// The UUID of the disk with a name.
fn identity_of(name: &str) -> Uuid {
    let mut bytes = [0; 16];
    name.bytes().zip(&mut bytes).for_each(|(byte, to)| *to = byte);
    Uuid::from_bytes(bytes)
}

impl Disk {
    fn new(name: &str, bytes: u64) -> Disk {
        let properties = DeviceProperties {
            name: name.to_owned(),
            model: "memory".to_owned(),
            uuid: identity_of(name),
            uuid_lasts: true,
            layered: false,
            kind: DeviceType::StandardBlock,
            bytes,
            sector_bytes: 512,
            optimal_write_bytes: 4096,
            discard: true,
            discard_granularity: 4096,
            dif: false,
            sed: false,
            sector_updatable: true,
            volatile_cache: true,
            fua: false,
            atomic_write: 512,
        };
        Disk {
            properties: RefCell::new(properties),
            pages: RefCell::default(),
            claimed: Cell::new(false),
            writes: Cell::new(0),
            fails_after: Cell::new(None),
            fails_in: RefCell::default(),
            unreadable: RefCell::default(),
            failing: RefCell::default(),
            unflushed: RefCell::default(),
        }
    }

    /// Fails all writes after the next `count`.
    pub fn fail_writes_after(&self, count: u64) {
        self.fails_after.set(Some(self.writes.get() + count));
    }

    /// Fails all writes to these bytes.
    pub fn fail_writes_in(&self, bytes: Range<u64>) {
        *self.fails_in.borrow_mut() = Some(bytes);
    }

    /// Fails all reads of these bytes.
    pub fn fail_reads_in(&self, bytes: Range<u64>) {
        *self.unreadable.borrow_mut() = Some(bytes);
    }

    /// Fails the next `count` transfers of these bytes.
    pub fn fail_some_in(&self, count: u32, bytes: Range<u64>) {
        *self.failing.borrow_mut() = (count, bytes);
    }

    fn may_transfer(&self, at: u64, length: u64) -> Result<(), DeviceError> {
        let (count, bytes) = &mut *self.failing.borrow_mut();
        if *count == 0 || at >= bytes.end || bytes.start >= at + length {
            return Ok(());
        }
        *count -= 1;
        Err(DeviceError::Io)
    }

    /// Ends all failures.
    pub fn heal(&self) {
        self.fails_after.set(None);
        *self.fails_in.borrow_mut() = None;
        *self.unreadable.borrow_mut() = None;
        self.failing.borrow_mut().0 = 0;
    }

    /// The number of successful writes.
    pub fn writes(&self) -> u64 {
        self.writes.get()
    }

    pub fn read(&self, at: u64, bytes: &mut [u8]) {
        let pages = self.pages.borrow();
        let (mut at, mut rest) = (at, bytes);
        while !rest.is_empty() {
            let offset = (at % PAGE) as usize;
            let length = rest.len().min(PAGE as usize - offset);
            let (now, later) = rest.split_at_mut(length);
            match pages.get(&(at / PAGE)) {
                Some(page) => now.copy_from_slice(&page[offset..offset + length]),
                None => now.fill(0),
            }
            (at, rest) = (at + length as u64, later);
        }
    }

    pub fn write(&self, at: u64, bytes: &[u8]) {
        let (mut at, mut rest) = (at, bytes);
        let mut pages = self.pages.borrow_mut();
        while !rest.is_empty() {
            let offset = (at % PAGE) as usize;
            let (now, later) = rest.split_at(rest.len().min(PAGE as usize - offset));
            let page = pages.entry(at / PAGE).or_insert_with(|| Box::new([0; PAGE as usize]));
            page[offset..offset + now.len()].copy_from_slice(now);
            (at, rest) = (at + now.len() as u64, later);
        }
    }

    /// The bytes at `at`.
    pub fn bytes<const N: usize>(&self, at: u64) -> [u8; N] {
        let mut bytes = [0; N];
        self.read(at, &mut bytes);
        bytes
    }

    /// True when all bytes at `at` are zero.
    pub fn is_zero(&self, at: u64, length: usize) -> bool {
        let mut bytes = vec![1; length];
        self.read(at, &mut bytes);
        bytes.iter().all(|byte| *byte == 0)
    }

    /// Loses the writes since the last flush, as a volatile cache does in a power cut.
    pub fn lose_unflushed(&self) {
        let mut pages = self.pages.borrow_mut();
        for (number, page) in self.unflushed.take() {
            match page {
                Some(page) => pages.insert(number, page),
                None => pages.remove(&number),
            };
        }
    }

    /// Writes into the cache, as a client does.
    fn write_cached(&self, at: u64, bytes: &[u8]) {
        {
            let (pages, mut unflushed) = (self.pages.borrow(), self.unflushed.borrow_mut());
            for number in at / PAGE..(at + bytes.len() as u64).div_ceil(PAGE) {
                unflushed.entry(number).or_insert_with(|| pages.get(&number).cloned());
            }
        }
        self.write(at, bytes);
    }

    fn may_read(&self, at: u64, length: u64) -> Result<(), DeviceError> {
        if touches(&self.unreadable.borrow(), at, length) {
            return Err(DeviceError::Io);
        }
        self.may_transfer(at, length)
    }

    fn may_write(&self, at: u64, length: u64) -> Result<(), DeviceError> {
        let worn = self.fails_after.get().is_some_and(|last| self.writes.get() >= last);
        if worn || touches(&self.fails_in.borrow(), at, length) {
            return Err(DeviceError::Io);
        }
        self.may_transfer(at, length)?;
        self.writes.set(self.writes.get() + 1);
        Ok(())
    }

    fn check(&self, at: u64, length: u64) -> Result<(), DeviceError> {
        let properties = self.properties.borrow();
        let sector = u64::from(properties.sector_bytes);
        let aligned = at.is_multiple_of(sector) && length.is_multiple_of(sector);
        (aligned && at + length <= properties.bytes).then_some(()).ok_or(DeviceError::Invalid)
    }
}

fn touches(range: &Option<Range<u64>>, at: u64, length: u64) -> bool {
    range.as_ref().is_some_and(|range| at < range.end && range.start < at + length)
}

impl Claim {
    /// Every transfer takes a moment, in which other tasks run.
    async fn moment(&self) {
        self.clock.sleep(Nanos(1000)).await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.disk.claimed.set(false);
    }
}

#[async_trait(?Send)]
impl Device for Claim {
    fn properties(&self) -> DeviceProperties {
        self.disk.properties.borrow().clone()
    }

    fn allocate(&self, bytes: usize) -> Result<IoBuf, DeviceError> {
        Ok(Box::new(PlainMemory(vec![0; bytes])))
    }

    async fn read(&self, mut transfer: Transfer) -> Ended {
        self.moment().await;
        let length = transfer.range.len() as u64;
        let checked = self.disk.check(transfer.at, length).and_then(|()| self.disk.may_read(transfer.at, length));
        if checked.is_ok() {
            self.disk.read(transfer.at, &mut transfer.buf.as_mut().as_mut()[transfer.range]);
        }
        (transfer.buf, checked)
    }

    async fn write(&self, transfer: Transfer, _fua: bool) -> Ended {
        self.moment().await;
        let length = transfer.range.len() as u64;
        let checked = self.disk.check(transfer.at, length).and_then(|()| self.disk.may_write(transfer.at, length));
        if checked.is_ok() {
            self.disk.write_cached(transfer.at, &transfer.buf.as_ref().as_ref()[transfer.range]);
        }
        (transfer.buf, checked)
    }

    async fn flush(&self) -> Result<(), DeviceError> {
        self.moment().await;
        self.disk.unflushed.take();
        Ok(())
    }

    async fn unmap(&self, at: u64, bytes: u64) -> Result<(), DeviceError> {
        self.moment().await;
        self.disk.check(at, bytes)
    }
}

impl fmt::Debug for WorldHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorldHost")
    }
}

#[async_trait(?Send)]
impl Host for WorldHost {
    fn now(&self) -> Nanos {
        self.clock.now()
    }

    async fn sleep(&self, time: Nanos) {
        self.clock.sleep(time).await;
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        self.clock.spawn(task);
    }

    fn random(&self, bytes: &mut [u8]) {
        self.clock.random(bytes);
        bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(self.cuts.get()));
    }

    async fn open(&self, path: &str) -> Result<Rc<dyn Device>, PoolError> {
        self.clock.sleep(Nanos(1000)).await;
        let disk = self.disks.borrow().get(path).cloned();
        let disk = disk.ok_or_else(|| PoolError::new(Kind::NoDrive, path, "there is no such disk"))?;
        if disk.claimed.replace(true) {
            return Err(PoolError::new(Kind::Busy, path, "it is in use"));
        }
        Ok(Rc::new(Claim { disk, clock: Rc::clone(&self.clock) }))
    }

    fn pool_changed(&self, _name: &str, status: PoolStatus) {
        self.told.borrow_mut().push(status);
    }

    fn log(&self, level: Level, line: &str) {
        self.clock.log(level, line);
    }
}
