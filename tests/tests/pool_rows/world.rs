// SPDX-License-Identifier: BSD-3-Clause

//! A computer with one disk, which is switched on again and again, and the pool on it while it is on.

use std::future::Future;
use std::ops::Range;
use std::rc::Rc;

use mpool::control::{PoolHandle, Rights};
use mpool::device::PlainMemory;
use mpool::lock::ordered;
use mpool::management::activate::ActivateRequest;
use mpool::management::create::CreateRequest;
use mpool::mlog::{Mlog, OpenFlags};
use mpool::params::{CreateParams, LayoutWish};
use mpool::registry::Registry;
use mpool::testing::{plain_disk, Birth, Image, Moment, Off, Script, SimHost};
use mpool::tunables::Tunables;
use mpool::units::Nanos;
use mpool::{DeviceProperties, Extent, Host, IoBuf, Kind, LogHandle, MediaClass, ObjectId, Pool, PoolError, Search};

pub const MIB: u64 = 1 << 20;
pub const PAGE: usize = 4096;
pub const SECOND: Nanos = Nanos(1_000_000_000);
pub const CAPACITY: MediaClass = MediaClass::Capacity;

/// The computer while it is off.
#[derive(Clone)]
pub struct Computer {
    pub seed: u64,
    pub disk: DeviceProperties,
    pub image: Image,
    pub tunables: Tunables,
    /// When the power is cut in the next life, if not at its end.
    pub cut: Option<Moment>,
}

impl Computer {
    /// One with a disk of so many MiB, in sectors of 512 bytes, without a volatile cache.
    pub fn new(mib: u64) -> Computer {
        Computer::with_disk(plain_disk("disk", mib * MIB, 512))
    }

    pub fn with_disk(disk: DeviceProperties) -> Computer {
        let image = Image::unwritten(disk.bytes);
        Computer { seed: 1, disk, image, tunables: Tunables::default(), cut: None }
    }

    /// One whose log records take a block of 4096 bytes each, so that containers are full soon.
    pub fn with_short_logs(mib: u64) -> Computer {
        Computer::with_disk(plain_disk("disk", mib * MIB, 4096))
    }

    /// Switches it on, and cuts the power when `body` has ended, or before. What is not durable then is lost, or not.
    pub fn try_live<T: 'static, F: Future<Output = T> + 'static>(
        &mut self,
        body: impl FnOnce(World) -> F,
    ) -> Option<T> {
        let mut birth = Birth::new(self.seed, vec![(self.disk.clone(), self.image.clone())]);
        birth.cut = self.cut.take();
        let tunables = self.tunables.clone();
        let life = birth.live(Off::Cut, |host| {
            let registry = Registry::new(Rc::<SimHost>::clone(&host), tunables);
            ordered(body(World { script: host.script(0), host, registry }))
        });
        let mut life = life.expect("the pool uses its device as it may, and does not get stuck");
        self.seed += 1;
        self.image = life.images.remove(0);
        life.result
    }

    /// As [`Computer::try_live`], without a cut before the end.
    pub fn live<T: 'static, F: Future<Output = T> + 'static>(&mut self, body: impl FnOnce(World) -> F) -> T {
        self.try_live(body).expect("the life comes to its end")
    }

    /// Every moment of the operations `range` of a life.
    pub fn moments(range: Range<u64>) -> impl Iterator<Item = Moment> {
        range.flat_map(|number| [Moment::Begun(number), Moment::Torn(number), Moment::Ended(number)])
    }
}

/// The computer while it is on.
pub struct World {
    pub script: Rc<Script>,
    pub host: Rc<SimHost>,
    pub registry: Registry,
}

impl World {
    /// Creates a pool with zones of 1 MiB, logs of one zone, and so many client containers.
    pub async fn create(&self, containers: usize) -> Rc<Pool> {
        self.create_as(small_layout(containers)).await
    }

    /// Creates a pool.
    pub async fn create_as(&self, layout: LayoutWish) -> Rc<Pool> {
        let params = CreateParams { layout, ..CreateParams::default() };
        let request = CreateRequest { name: "p".into(), capacity: "disk".into(), params, ..CreateRequest::default() };
        let active = self.registry.create(&request).await.expect("the disk has room for a pool");
        Rc::clone(active.pool())
    }

    pub async fn try_activate(&self, containers: usize) -> Result<Rc<Pool>, PoolError> {
        let paths = vec!["disk".into()];
        let request = ActivateRequest { paths, containers: Some(containers), ..ActivateRequest::default() };
        Ok(Rc::clone(self.registry.activate(&request).await?.pool()))
    }

    /// Activates the pool with at least so many containers.
    pub async fn activate(&self, containers: usize) -> Rc<Pool> {
        self.try_activate(containers).await.expect("the pool can be activated")
    }

    pub fn open(&self) -> PoolHandle {
        self.registry.open("p", Rights::ReadWrite, false).expect("the pool is active")
    }

    /// Lets time pass, so that all that can end does.
    pub async fn settle(&self) {
        self.host.sleep(Nanos(SECOND.0 / 10)).await;
    }

    /// Number of the next operation of the machine.
    pub fn next_operation(&self) -> u64 {
        self.host.machine().borrow().next_number()
    }

    /// Waits until `time` of this life.
    pub async fn wait_until(&self, time: Nanos) {
        let now = self.host.now();
        assert!(now < time, "it is {now:?} already");
        self.host.sleep(Nanos(time.0 - now.0)).await;
    }

    /// Lines of this life's log that contain `words`.
    pub fn told(&self, words: &str) -> usize {
        self.host.machine().borrow().log.iter().filter(|(_, line)| line.contains(words)).count()
    }
}

/// Zones of 1 MiB, logs of one zone, and so many client containers.
pub fn small_layout(containers: usize) -> LayoutWish {
    LayoutWish {
        zone_mib: Some(1),
        mdc0_log_mib: Some(1),
        mdc_log_mib: Some(1),
        containers: Some(containers),
        root_log_bytes: Some(MIB),
    }
}

pub fn filled(byte: u8, bytes: usize) -> IoBuf {
    Box::new(PlainMemory(vec![byte; bytes]))
}

/// Appends bytes to an mblock.
pub async fn write(pool: &Pool, id: ObjectId, byte: u8, bytes: usize) -> Result<(), PoolError> {
    pool.mblock_write(id, filled(byte, bytes), 0..bytes).await.1
}

/// Reads from an mblock.
pub async fn read(pool: &Pool, id: ObjectId, offset: u64, bytes: usize) -> Result<Vec<u8>, PoolError> {
    let (buf, outcome) = pool.mblock_read(id, offset, filled(0xee, bytes), 0..bytes).await;
    outcome.map(|()| (*buf).as_ref().to_vec())
}

/// An mblock that is not committed, without bytes.
pub async fn new_mblock(pool: &Pool) -> ObjectId {
    pool.mblock_alloc(CAPACITY, false).await.expect("there is room").id
}

/// A committed mblock of one page.
pub async fn mblock(pool: &Pool, byte: u8) -> ObjectId {
    let id = new_mblock(pool).await;
    write(pool, id, byte, PAGE).await.expect("the disk works");
    pool.mblock_commit(id).await.expect("the disk works");
    id
}

/// A committed mblock without bytes.
pub async fn empty_mblock(pool: &Pool) -> ObjectId {
    let id = new_mblock(pool).await;
    pool.mblock_commit(id).await.expect("the disk works");
    id
}

/// A committed log of one zone.
pub async fn mlog(pool: &Pool) -> ObjectId {
    let id = pool.mlog_alloc(CAPACITY, 0, false).await.expect("there is room").id;
    pool.mlog_commit(id).await.expect("the disk works");
    id
}

/// Opens a log, without flags.
pub async fn open_log(pool: &Rc<Pool>, id: ObjectId) -> LogHandle {
    pool.mlog_open(id, OpenFlags::default()).await.expect("it is committed and sound")
}

/// What is in a log.
pub async fn records(log: &Mlog) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    log.rewind().await.expect("it is open");
    while let Some(record) = log.next_vec(4096).await.expect("the log is sound") {
        records.push(record);
    }
    records
}

/// Where an object lies.
pub fn extent(pool: &Pool, id: ObjectId) -> Extent {
    pool.find(id, Search::Both).expect("the object is there").extent()
}

/// Ids of the pool's objects, but for the root logs.
pub fn ids(pool: &Pool) -> Vec<ObjectId> {
    pool.objects().iter().map(|object| object.id()).filter(|id| !ObjectId::ROOT_LOGS.contains(id)).collect()
}

/// Kind of the failure that an operation must have ended with.
pub fn kind<T>(outcome: Result<T, PoolError>) -> Kind {
    match outcome {
        Ok(_) => panic!("it should have failed"),
        Err(error) => error.kind(),
    }
}
