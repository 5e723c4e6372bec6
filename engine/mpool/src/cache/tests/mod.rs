// SPDX-License-Identifier: BSD-3-Clause

//! Cache maps over artificial mblocks, in virtual time.

mod maps;
mod pages;
mod readahead;
mod reaper;

use core::cell::{Cell, RefCell};
use core::ops::Range;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use async_trait::async_trait;

use super::{Attachment, MapInfo, MapTable, MblockSource, Temperature};
use crate::device::{IoBuf, IoMemory};
use crate::error::{Kind, PoolError, Result};
use crate::host::Host;
use crate::ids::{ObjectId, ObjectType, Slot, PAGE_BYTES};
use crate::testing::{SimHost, World};
use crate::tunables::Tunables;
use crate::units::Nanos;

const PAGE: u64 = PAGE_BYTES as u64;
const MS: u64 = 1_000_000;

/// The duration of each read.
const READ_TIME: Nanos = Nanos(100_000);

fn id(number: u64) -> ObjectId {
    ObjectId::new(number, ObjectType::Mblock, Slot(1))
}

/// The content of byte `offset` of an mblock.
fn byte(id: ObjectId, offset: u64) -> u8 {
    ((id.uniquifier() * 7919 + offset / PAGE).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8 ^ offset as u8
}

fn content(id: ObjectId, range: Range<u64>) -> Vec<u8> {
    range.map(|offset| byte(id, offset)).collect()
}

/// Memory that is counted while it exists.
#[derive(Debug)]
struct CountedMemory {
    bytes: Vec<u8>,
    live: Rc<Cell<usize>>,
}

impl AsRef<[u8]> for CountedMemory {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsMut<[u8]> for CountedMemory {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl IoMemory for CountedMemory {}

impl Drop for CountedMemory {
    fn drop(&mut self) {
        self.live.set(self.live.get() - self.bytes.len());
    }
}

/// One read: mblock, first page, pages.
type ReadMade = (ObjectId, u64, u64);

#[derive(Debug)]
struct TestSource {
    host: Rc<SimHost>,
    /// Written bytes and holds of committed mblocks.
    mblocks: RefCell<BTreeMap<ObjectId, (u64, u32)>>,
    reads: RefCell<Vec<ReadMade>>,
    reads_under_way: Cell<usize>,
    unreadable: RefCell<BTreeSet<(ObjectId, u64)>>,
    /// Bytes of memory that exist, and their limit.
    live_bytes: Rc<Cell<usize>>,
    limit_bytes: usize,
    allocations: Cell<usize>,
    no_memory: Cell<bool>,
}

#[async_trait(?Send)]
impl MblockSource for TestSource {
    fn hold(&self, id: ObjectId) -> Result<u64> {
        let mut mblocks = self.mblocks.borrow_mut();
        let missing = || PoolError::new(Kind::NotFound, id.to_string(), "it is not there");
        let mblock = mblocks.get_mut(&id).ok_or_else(missing)?;
        mblock.1 += 1;
        Ok(mblock.0)
    }

    fn release(&self, id: ObjectId) {
        let mut mblocks = self.mblocks.borrow_mut();
        let holds = &mut mblocks.get_mut(&id).unwrap().1;
        *holds = holds.checked_sub(1).unwrap();
    }

    async fn read(&self, id: ObjectId, offset: u64, buf: IoBuf, range: Range<usize>) -> (IoBuf, Result<()>) {
        let mut buf = buf;
        let pages = offset / PAGE..(offset + range.len() as u64) / PAGE;
        let (written, holds) = self.mblocks.borrow()[&id];
        assert!(holds > 0, "only held mblocks are read");
        assert!(
            offset.is_multiple_of(PAGE)
                && range.len().is_multiple_of(PAGE_BYTES)
                && offset + range.len() as u64 <= written
        );
        self.reads.borrow_mut().push((id, pages.start, pages.end - pages.start));
        self.reads_under_way.set(self.reads_under_way.get() + 1);
        self.host.sleep(READ_TIME).await;
        self.reads_under_way.set(self.reads_under_way.get() - 1);
        assert!(self.mblocks.borrow()[&id].1 > 0, "it is held until the read has ended");
        if pages.clone().any(|page| self.unreadable.borrow().contains(&(id, page))) {
            buf.as_mut().as_mut().fill(0xee);
            return (buf, Err(PoolError::new(Kind::Io, id.to_string(), "unreadable")));
        }
        let bytes = content(id, offset..offset + range.len() as u64);
        buf.as_mut().as_mut()[range].copy_from_slice(&bytes);
        (buf, Ok(()))
    }

    fn allocate(&self, bytes: usize) -> Result<IoBuf> {
        if self.no_memory.get() {
            return Err(PoolError::new(Kind::NoMemory, "memory", "there is none"));
        }
        self.live_bytes.set(self.live_bytes.get() + bytes);
        self.allocations.set(self.allocations.get() + 1);
        assert!(self.live_bytes.get() <= self.limit_bytes, "the budget is hard");
        Ok(Box::new(CountedMemory { bytes: vec![0; bytes], live: Rc::clone(&self.live_bytes) }))
    }
}

/// A table and its environment.
struct Bench {
    world: World,
    source: Rc<TestSource>,
    table: MapTable,
}

impl Bench {
    /// With a budget of `budget_pages`.
    fn new(budget_pages: usize) -> Bench {
        Bench::with(budget_pages, &Tunables::default())
    }

    fn with(budget_pages: usize, tunables: &Tunables) -> Bench {
        let world = World::new();
        let source = Rc::new(TestSource {
            host: Rc::clone(&world.host),
            mblocks: RefCell::default(),
            reads: RefCell::default(),
            reads_under_way: Cell::new(0),
            unreadable: RefCell::default(),
            live_bytes: Rc::default(),
            limit_bytes: budget_pages * PAGE_BYTES,
            allocations: Cell::new(0),
            no_memory: Cell::new(false),
        });
        let (as_host, as_source): (Rc<dyn Host>, Rc<dyn MblockSource>) = (world.host.clone(), source.clone());
        let table = MapTable::new(&as_host, &as_source, budget_pages as u64 * PAGE, tunables).unwrap();
        Bench { world, source, table }
    }

    /// A budget of which the reaper evicts nothing before it is used up.
    fn without_reaper(budget_pages: usize) -> Bench {
        let mut tunables = Tunables::default();
        tunables.reaper.set_mempct(100).unwrap();
        Bench::with(budget_pages, &tunables)
    }

    /// Commits an mblock of `pages` pages.
    fn mblock(&self, number: u64, pages: u64) -> ObjectId {
        self.source.mblocks.borrow_mut().insert(id(number), (pages * PAGE, 0));
        id(number)
    }

    /// A map of one mblock of `pages` pages, attached to.
    fn attached(&self, number: u64, pages: u64, temperature: Temperature) -> (MapInfo, Attachment) {
        let info = self.table.create(&[self.mblock(number, pages)], temperature).unwrap();
        (info, self.table.attach(info.offset, info.bytes).unwrap())
    }

    /// Touches pages of the first mblock of a map.
    fn load(&self, info: MapInfo, map: &Attachment, pages: Range<u64>) {
        for page in pages {
            drop(self.world.run(map.get(info.offset + page * PAGE, 1)).unwrap());
        }
    }

    fn resident(&self, info: MapInfo) -> u64 {
        self.table.residency(info.offset).unwrap().resident_pages
    }

    /// Resident pages of an mblock of the first map.
    fn pages_of(&self, mblock: usize) -> usize {
        self.table.cache().maps.borrow()[&1].mblocks[mblock].pages.borrow().len()
    }

    fn holds(&self, id: ObjectId) -> u32 {
        self.source.mblocks.borrow()[&id].1
    }

    fn reads(&self) -> Vec<ReadMade> {
        self.source.reads.take()
    }

    /// Detaches and closes, and checks that nothing is left behind.
    fn finish(self, maps: Vec<Attachment>) {
        drop(maps);
        self.world.run(self.table.close());
        assert_eq!(self.table.count(), 0);
        assert!(self.source.mblocks.borrow().values().all(|mblock| mblock.1 == 0), "all mblocks are released");
        let statistics = self.table.statistics();
        assert_eq!((statistics.pages_in_use, statistics.resident_pages), (0, [0; 4]));
        assert!(self.table.cache().expiring.borrow().is_empty());
        assert_eq!(self.table.cache().lists.lengths(), [0; 3]);
        let live = Rc::clone(&self.source.live_bytes);
        drop((self.table, self.source));
        self.world.settle();
        assert_eq!(live.get(), 0, "all memory is given back");
    }
}
