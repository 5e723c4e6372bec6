// SPDX-License-Identifier: BSD-3-Clause

//! For directed tests: a machine that runs what a test gives it, step by step, and the pools on its disks. Disks can be
//! claimed once, grow, shrink, be copied and fail.

use std::cell::RefCell;
use std::future::Future;
use std::ops::Range;
use std::rc::Rc;

use super::disk::Disk;
use super::executor::Executor;
use super::faults::Faults;
use super::host::SimHost;
use super::image::Image;
use super::life::plain_disk;
use super::machine::{Machine, Order};
use super::script::{Op, Script};
use crate::error::PoolError;
use crate::format::MediaFormat;
use crate::management::activate::ActivateRequest;
use crate::management::create::CreateRequest;
use crate::registry::Registry;
use crate::tunables::Tunables;
use crate::units::Nanos;
use crate::DeviceProperties;

pub const MIB: u64 = 1 << 20;

/// The time when a machine is switched on.
const START: Nanos = Nanos(1_000_000_000_000);

/// The machine, and the pools on its disks.
pub struct World {
    pub host: Rc<SimHost>,
    pub registry: Rc<Registry>,
    executor: RefCell<Executor>,
    /// The number of power cuts so far, so that no UUID is generated twice.
    cuts: u64,
}

/// A disk of a world.
pub struct DiskOf {
    host: Rc<SimHost>,
    number: usize,
    script: Rc<Script>,
}

impl World {
    /// A world without disks.
    pub fn new() -> World {
        World::with_format(MediaFormat::CURRENT)
    }

    pub fn with_format(format: MediaFormat) -> World {
        World::on(Vec::new(), format, 0)
    }

    fn on(disks: Vec<Disk>, format: MediaFormat, cuts: u64) -> World {
        let mut machine = Machine::new(disks, cuts, Order::First, Faults::default(), None, false);
        (machine.calm, machine.now) = (true, START);
        let (machine, nursery) = (Rc::new(RefCell::new(machine)), Rc::default());
        let host = Rc::new(SimHost::new(Rc::clone(&machine), Rc::clone(&nursery)));
        let registry = Rc::new(Registry::with_format(Rc::<SimHost>::clone(&host), Tunables::default(), format));
        World { host, registry, executor: RefCell::new(Executor::new(machine, nursery)), cuts }
    }

    /// A world with the disks "cap" (64 MiB) and "stg" (32 MiB).
    pub fn with_two_disks() -> World {
        let world = World::new();
        world.add("cap", 64 * MIB);
        world.add("stg", 32 * MIB);
        world
    }

    pub fn add(&self, name: &str, bytes: u64) -> DiskOf {
        self.add_with(name, bytes, Image::zeros())
    }

    fn add_with(&self, name: &str, bytes: u64, image: Image) -> DiskOf {
        let properties = DeviceProperties { volatile_cache: true, ..plain_disk(name, bytes, 512) };
        self.host.add(Disk::new(properties, image));
        self.disk(name)
    }

    pub fn disk(&self, name: &str) -> DiskOf {
        let number = self.host.find(name).unwrap();
        DiskOf { host: Rc::clone(&self.host), number, script: self.host.script(number) }
    }

    /// Makes `to` a copy of `from`.
    pub fn copy(&self, from: &str, to: &str) {
        let (bytes, image) = self.disk(from).with(|disk| (disk.properties.bytes, disk.clone().into_visible()));
        self.add_with(to, bytes, image);
    }

    /// Runs `future`, and tasks, until it ends.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let value = self.executor.borrow_mut().drive(future);
        assert_eq!(self.host.machine().borrow().misuse, None);
        value
    }

    /// Runs tasks until none can run; the clock stands still.
    pub fn settle(&self) {
        self.executor.borrow_mut().settle();
    }

    /// Runs tasks while the clock advances by `time`.
    pub fn run_for(&self, time: Nanos) {
        self.settle();
        self.run(crate::Host::sleep(&*self.host, time));
        self.settle();
    }

    /// The logged lines.
    pub fn lines(&self) -> Vec<String> {
        self.host.machine().borrow().log.iter().map(|(_, line)| line.clone()).collect()
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

    /// Restarts after a power cut: everything in memory is lost. What disks have in their caches is not.
    pub fn cut(self) -> World {
        self.cut_to(MediaFormat::CURRENT)
    }

    /// The same; afterwards software of another version runs.
    pub fn cut_to(self, format: MediaFormat) -> World {
        self.executor.borrow_mut().drop_tasks();
        let disks = std::mem::take(&mut self.host.machine().borrow_mut().disks);
        let kept = disks.into_iter().map(|disk| Disk::new(disk.properties.clone(), disk.into_visible()));
        World::on(kept.collect(), format, self.cuts + 1)
    }

    /// Disks that are claimed.
    pub fn claimed(&self) -> Vec<String> {
        let machine = self.host.machine().borrow();
        let names = machine.disks.iter().map(|disk| disk.properties.name.clone()).enumerate();
        let mut claimed: Vec<_> =
            names.filter(|(number, _)| self.host.is_open(*number)).map(|(_, name)| name).collect();
        claimed.sort_unstable();
        claimed
    }
}

/// A plain request to activate the pool on `paths`.
pub fn request(paths: &[&str]) -> ActivateRequest {
    let paths = paths.iter().map(|&path| path.to_owned()).collect();
    ActivateRequest { paths, ..ActivateRequest::default() }
}

/// What a test says of it.
impl std::ops::Deref for DiskOf {
    type Target = Script;

    fn deref(&self) -> &Script {
        &self.script
    }
}

impl DiskOf {
    fn with<T>(&self, act: impl FnOnce(&mut Disk) -> T) -> T {
        act(&mut self.host.machine().borrow_mut().disks[self.number])
    }

    /// Changes what it says of itself.
    pub fn change(&self, change: impl FnOnce(&mut DeviceProperties)) {
        self.with(|disk| change(&mut disk.properties));
    }

    /// Fails all writes to these bytes.
    pub fn fail_writes_in(&self, bytes: Range<u64>) {
        self.fail(move |op| op.is_write() && op.touches(bytes.start, bytes.end - bytes.start));
    }

    /// Fails all reads of these bytes.
    pub fn fail_reads_in(&self, bytes: Range<u64>) {
        self.fail(move |op| !op.is_write() && op.touches(bytes.start, bytes.end - bytes.start));
    }

    /// The number of writes.
    pub fn writes(&self) -> usize {
        self.count(Op::is_write)
    }

    pub fn write(&self, at: u64, bytes: &[u8]) {
        self.with(|disk| disk.poke(at, bytes));
    }

    pub fn read(&self, at: u64, bytes: &mut [u8]) {
        self.with(|disk| disk.read(at, bytes));
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
        self.with(Disk::lose_cache);
    }
}
