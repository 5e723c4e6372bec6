// SPDX-License-Identifier: BSD-3-Clause

//! What a volume has in its pool: records in the volume's own MDC (architecture.md 6).
//!
//! ```text
//!  offset size  CONFIG (kind 1)                    SLAB (kind 2)
//!       0    4  magic "DINV"                       the same
//!       4    1  version = 1                        the same
//!       5    1  kind                               the same
//!       6    2  0                                  0
//!       8    8  zones in each slab                 number of the slab, from 0
//!      16    8  0                                  id of its slab object
//! ```
//! A slab is recorded before its object is committed; a record whose object does not exist counts for nothing. So no
//! slab object is ever without an owner, whenever the power is cut.
//!
//! Invariant: slabs are numbered 0, 1, 2, ... without gaps, each with one object of the configured size.

use std::cell::RefCell;
use std::rc::Rc;

use thiserror::Error;
use uuid::Uuid;

use super::catalog::{Catalog, VolumeEntry};
use crate::pool::error::{Kind, PoolError, Result};
use crate::pool::mdc::MdcFlags;
use crate::pool::{MdcHandle, MediaClass, ObjectId, Pool, Search, SlabObject};

const MAGIC: [u8; 4] = *b"DINV";
const VERSION: u8 = 1;
const RECORD_BYTES: usize = 24;

/// Capacity of each log of a volume's MDC: room for some ten thousand slabs.
const MDC_BYTES: u64 = 1 << 20;

/// A record of the inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InventoryRecord {
    /// The volume as a whole; the first record.
    Config {
        /// Zones of the pool in each slab.
        slab_zones: u64,
    },
    /// A slab.
    Slab {
        /// Its number.
        number: u64,
        /// Its object.
        object: ObjectId,
    },
}

/// Why a record of the inventory cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InventoryError {
    /// Not a record of an inventory.
    #[error("it has {0} bytes or another magic than an inventory's")]
    Foreign(usize),
    /// Written by newer software.
    #[error("its version is {0}; {VERSION} is known")]
    Version(u8),
    /// A kind that there is not.
    #[error("its kind is {0}, which is unknown")]
    Kind(u8),
}

impl InventoryRecord {
    /// The record's bytes.
    #[must_use]
    pub fn encode(self) -> [u8; RECORD_BYTES] {
        let (kind, first, second) = match self {
            InventoryRecord::Config { slab_zones } => (1, slab_zones, 0),
            InventoryRecord::Slab { number, object } => (2, number, object.0),
        };
        let mut bytes = [0; RECORD_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&[VERSION, kind]);
        bytes[8..16].copy_from_slice(&u64::to_le_bytes(first));
        bytes[16..].copy_from_slice(&u64::to_le_bytes(second));
        bytes
    }

    /// Reads a record.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn decode(bytes: &[u8]) -> core::result::Result<InventoryRecord, InventoryError> {
        let Ok(bytes) = <&[u8; RECORD_BYTES]>::try_from(bytes) else {
            return Err(InventoryError::Foreign(bytes.len()));
        };
        if bytes[..4] != MAGIC {
            return Err(InventoryError::Foreign(bytes.len()));
        }
        if bytes[4] != VERSION {
            return Err(InventoryError::Version(bytes[4]));
        }
        let number = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        match bytes[5] {
            1 => Ok(InventoryRecord::Config { slab_zones: number(8) }),
            2 => Ok(InventoryRecord::Slab { number: number(8), object: ObjectId(number(16)) }),
            other => Err(InventoryError::Kind(other)),
        }
    }
}

/// What a volume has in its pool, open.
#[derive(Debug)]
pub struct Inventory {
    pool: Rc<Pool>,
    entry: VolumeEntry,
    mdc: MdcHandle,
    slab_zones: u64,
    slabs: RefCell<Vec<SlabObject>>,
}

impl Inventory {
    /// Makes a volume without slabs.
    ///
    /// # Errors
    /// Exists: the name or UUID is taken. NoSpace; Io. Nothing is left then.
    pub async fn create(
        pool: &Rc<Pool>,
        catalog: &Catalog,
        name: &str,
        uuid: Uuid,
        slab_zones: u64,
    ) -> Result<Inventory> {
        let mut logs = Vec::with_capacity(2);
        for _ in 0..2 {
            match pool.mlog_alloc(MediaClass::Capacity, MDC_BYTES, false).await {
                Ok(log) => logs.push(log.id),
                Err(error) => {
                    take_back(pool, &logs).await;
                    return Err(error);
                }
            }
        }
        let entry = VolumeEntry { uuid, name: name.to_owned(), logs: [logs[0], logs[1]] };
        if let Err(error) = catalog.add(entry.clone()).await {
            take_back(pool, &logs).await;
            return Err(error);
        }
        for id in logs {
            pool.mlog_commit(id).await?;
        }
        let mdc = pool.mdc_open(entry.logs, MdcFlags::default()).await?;
        mdc.append(&InventoryRecord::Config { slab_zones }.encode(), true).await?;
        Ok(Inventory { pool: Rc::clone(pool), entry, mdc, slab_zones, slabs: RefCell::default() })
    }

    /// Opens a volume that is there, and its slabs.
    ///
    /// # Errors
    /// Its MDC cannot be opened or makes no sense; Io.
    pub async fn open(pool: &Rc<Pool>, entry: VolumeEntry) -> Result<Inventory> {
        let mdc = pool.mdc_open(entry.logs, MdcFlags::default()).await?;
        let refuse = |reason: String| PoolError::invalid(format!("volume '{}'", entry.name), reason);
        let (mut config, mut ids) = (None, Vec::new());
        mdc.rewind().await?;
        while let Some(bytes) = mdc.next_vec(RECORD_BYTES).await? {
            let record = InventoryRecord::decode(&bytes);
            match record.map_err(|error| refuse(format!("a record of its inventory is malformed: {error}")))? {
                InventoryRecord::Config { slab_zones } => config = Some(slab_zones),
                InventoryRecord::Slab { number, object } => {
                    // A slab that was never committed is followed by another try for the same number.
                    ids.truncate(usize::try_from(number).unwrap_or(usize::MAX));
                    if ids.len() as u64 != number {
                        return Err(refuse(format!("slab {number} follows slab {}", ids.len())));
                    }
                    ids.push(object);
                }
            }
        }
        // The last ones are missing when an addition or a deletion was cut short.
        while ids.last().is_some_and(|id| pool.find(*id, Search::Committed).is_err()) {
            ids.pop();
        }
        // A volume without configuration was never finished, and has no slabs.
        let slab_zones = config.unwrap_or(0);
        let mut slabs = Vec::with_capacity(ids.len());
        for id in ids {
            let slab = pool.slab_open(id).await?;
            if slab.props().extent.zones != slab_zones {
                return Err(refuse(format!("{id} has {} zones instead of {slab_zones}", slab.props().extent.zones)));
            }
            slabs.push(slab);
        }
        Ok(Inventory { pool: Rc::clone(pool), entry, mdc, slab_zones, slabs: RefCell::new(slabs) })
    }

    /// The volume's entry in the catalog.
    #[must_use]
    pub fn entry(&self) -> &VolumeEntry {
        &self.entry
    }

    /// Zones in each slab; 0 for a volume whose creation was cut short.
    #[must_use]
    pub fn slab_zones(&self) -> u64 {
        self.slab_zones
    }

    /// Number of slabs.
    #[must_use]
    pub fn slabs(&self) -> usize {
        self.slabs.borrow().len()
    }

    /// First byte of each slab on the drive, in the order of their numbers.
    #[must_use]
    pub fn slab_offsets(&self) -> Vec<u64> {
        self.slabs.borrow().iter().map(|slab| slab.props().drive_offset).collect()
    }

    /// Adds one slab.
    ///
    /// # Errors
    /// NoSpace; Io.
    pub async fn add_slab(&self) -> Result<()> {
        let slab = self.pool.slab_alloc(MediaClass::Capacity, self.slab_zones, false).await?;
        let record = InventoryRecord::Slab { number: self.slabs() as u64, object: slab.id };
        if let Err(error) = self.append(record).await {
            // The failure of the append is what counts.
            let _ = self.pool.slab_abort(slab.id).await;
            return Err(error);
        }
        self.pool.slab_commit(slab.id).await?;
        let open = self.pool.slab_open(slab.id).await?;
        self.slabs.borrow_mut().push(open);
        Ok(())
    }

    /// Appends a record; a full MDC is compacted first.
    async fn append(&self, record: InventoryRecord) -> Result<()> {
        match self.mdc.append(&record.encode(), true).await {
            Err(error) if error.kind() == Kind::LogFull => {}
            other => return other,
        }
        self.mdc.cstart().await?;
        self.mdc.append(&InventoryRecord::Config { slab_zones: self.slab_zones }.encode(), false).await?;
        let ids: Vec<_> = self.slabs.borrow().iter().map(|slab| slab.props().id).collect();
        for (number, object) in (0..).zip(ids) {
            self.mdc.append(&InventoryRecord::Slab { number, object }.encode(), false).await?;
        }
        self.mdc.cend().await?;
        self.mdc.append(&record.encode(), true).await
    }

    /// Ends the use of the volume's objects.
    ///
    /// # Errors
    /// Io.
    pub async fn close(self) -> Result<()> {
        self.mdc.close().await
    }

    /// Deletes the volume with all that it has. When this is cut short, doing it again does the rest.
    ///
    /// # Errors
    /// Io.
    pub async fn destroy(self, catalog: &Catalog) -> Result<()> {
        let slabs: Vec<_> = self.slabs.take().iter().map(|slab| slab.props().id).collect();
        // From the last to the first, so that what is left has no gap.
        for id in slabs.into_iter().rev() {
            self.pool.slab_delete(id).await?;
        }
        let Inventory { pool, entry, mdc, .. } = self;
        mdc.close().await?;
        drop(mdc);
        for id in entry.logs {
            pool.mlog_delete(id).await?;
        }
        catalog.remove(entry.uuid).await
    }
}

async fn take_back(pool: &Rc<Pool>, logs: &[ObjectId]) {
    for id in logs {
        // The pool is left as it was as far as possible; the first failure was reported.
        let _ = pool.mlog_abort(*id).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{ObjectType, Slot};

    #[test]
    fn records_have_golden_bytes() {
        let config = InventoryRecord::Config { slab_zones: 2 };
        assert_eq!(&config.encode(), b"DINV\x01\x01\0\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        let object = ObjectId::new(0x100, ObjectType::Slab, Slot(2));
        let slab = InventoryRecord::Slab { number: 3, object };
        assert_eq!(&slab.encode(), b"DINV\x01\x02\0\0\x03\0\0\0\0\0\0\0\x02\x03\x10\0\0\0\0\0");
        for record in [config, slab] {
            assert_eq!(InventoryRecord::decode(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn any_bytes_are_judged() {
        let good = InventoryRecord::Config { slab_zones: 2 }.encode();
        for length in 0..good.len() {
            assert_eq!(InventoryRecord::decode(&good[..length]), Err(InventoryError::Foreign(length)));
        }
        for (at, byte, error) in [
            (0, 0, InventoryError::Foreign(RECORD_BYTES)),
            (4, 2, InventoryError::Version(2)),
            (5, 3, InventoryError::Kind(3)),
        ] {
            let mut bad = good;
            bad[at] = byte;
            assert_eq!(InventoryRecord::decode(&bad), Err(error));
        }
    }
}
