// SPDX-License-Identifier: BSD-3-Clause

//! Two logs in memory whose media and generations survive a power cut at any point.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;

use crate::error::{Kind, PoolError, Result};
use crate::ids::{ObjectId, Slot};
use crate::mdc::LogStore;
use crate::mlog::testing::{MemoryMedia, STAMP};
use crate::mlog::{LogFormat, LogIdentity, LogMedia, Mlog, OpenFlags};

pub(super) const LOG_BYTES: usize = 1 << 16;

/// The logs of a pair.
pub(super) fn pair() -> [ObjectId; 2] {
    ObjectId::mdc_logs(Slot(1))
}

/// The durable state of a pair of logs.
#[derive(Debug, Clone)]
pub(super) struct Durable {
    pub images: [Vec<u8>; 2],
    pub generations: [u64; 2],
}

impl Durable {
    pub(super) fn new(generations: [u64; 2]) -> Durable {
        Durable { images: [vec![0; LOG_BYTES], vec![0; LOG_BYTES]], generations }
    }
}

/// A store that records the durable state before and after each write and each erasure.
#[derive(Debug)]
pub(super) struct Store {
    pub media: [Rc<MemoryMedia>; 2],
    pub generations: RefCell<[u64; 2]>,
    open: RefCell<BTreeMap<usize, (Rc<Mlog>, u32)>>,
    /// Erasures that fail before they are logged.
    pub failing_erasures: Cell<u32>,
    pub erasures: RefCell<Vec<(usize, u64)>>,
}

impl Store {
    pub(super) fn of(durable: &Durable, sector_bytes: usize, whole: bool) -> Rc<Store> {
        let medium = |side: usize| MemoryMedia::of(sector_bytes, durable.images[side].clone(), whole);
        Rc::new(Store {
            media: [medium(0), medium(1)],
            generations: RefCell::new(durable.generations),
            open: RefCell::default(),
            failing_erasures: Cell::new(0),
            erasures: RefCell::default(),
        })
    }

    pub(super) fn durable(&self) -> Durable {
        Durable {
            images: [0, 1].map(|side| self.media[side].image.borrow().clone()),
            generations: *self.generations.borrow(),
        }
    }

    pub(super) fn open_logs(&self) -> usize {
        self.open.borrow().len()
    }

    fn side(id: ObjectId) -> Result<usize> {
        let found = pair().iter().position(|log| *log == id);
        found.ok_or_else(|| PoolError::new(Kind::NotFound, id.to_string(), "no such log"))
    }
}

#[async_trait(?Send)]
impl LogStore for Store {
    async fn open(&self, id: ObjectId, flags: OpenFlags) -> Result<Rc<Mlog>> {
        let side = Store::side(id)?;
        if let Some((log, openers)) = self.open.borrow_mut().get_mut(&side) {
            log.check_flags(flags)?;
            *openers += 1;
            return Ok(Rc::clone(log));
        }
        let generation = self.generations.borrow()[side];
        // Logs of one pair have different UUIDs.
        let uuid = uuid::Uuid::from_u128(STAMP.uuid.as_u128() + side as u128);
        let media: Rc<dyn LogMedia> = Rc::<MemoryMedia>::clone(&self.media[side]);
        let log = Mlog::open(media, LogIdentity { id, uuid, generation }, flags, LogFormat::V2, false).await?;
        self.open.borrow_mut().insert(side, (Rc::clone(&log), 1));
        Ok(log)
    }

    async fn erase(&self, id: ObjectId, min_generation: u64) -> Result<u64> {
        let side = Store::side(id)?;
        if self.failing_erasures.get() > 0 {
            self.failing_erasures.set(self.failing_erasures.get() - 1);
            return Err(PoolError::new(Kind::Io, id.to_string(), "the erasure was made to fail"));
        }
        let generation = (self.generations.borrow()[side] + 1).max(min_generation);
        self.generations.borrow_mut()[side] = generation;
        self.erasures.borrow_mut().push((side, generation));
        if let Some((log, _)) = self.open.borrow().get(&side) {
            log.reset(generation);
        }
        Ok(generation)
    }

    async fn close(&self, id: ObjectId) -> Result<()> {
        let side = Store::side(id)?;
        let last = {
            let mut open = self.open.borrow_mut();
            let Some((log, openers)) = open.get_mut(&side) else { return Ok(()) };
            *openers -= 1;
            let log = Rc::clone(log);
            if *openers > 0 {
                return Ok(());
            }
            open.remove(&side);
            log
        };
        last.close().await
    }

    fn generation(&self, id: ObjectId) -> Result<u64> {
        Ok(self.generations.borrow()[Store::side(id)?])
    }
}
