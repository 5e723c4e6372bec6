// SPDX-License-Identifier: BSD-3-Clause

//! A volume's inventory, open: its content in memory, and the MDC to which records are appended.
//!
//! Invariant: after a successful append the content in memory is what a reader of the MDC finds. After a failed one
//! that is unknown, so the next append reopens the MDC and first writes the whole content in memory to it.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;

use futures::lock::Mutex;
use mpool::error::{Kind, PoolError, Result};
use mpool::mdc::MdcFlags;
use mpool::{MdcHandle, ObjectId, Pool};

use crate::volume::catalog::VolumeEntry;
use crate::volume::inventory::{Contents, InventoryRecord, MAX_RECORD_BYTES, OBJECT_RECORD_BYTES};

/// The smallest capacity of each log of a volume's MDC.
const MIN_MDC_BYTES: u64 = 1 << 20;

/// Capacity for each slab: a record with its descriptor, twice, and as much again for growth.
const MDC_BYTES_PER_SLAB: u64 = 4 * (OBJECT_RECORD_BYTES as u64 + 8);

/// The capacity of each log of the MDC of a volume with `slabs` slabs.
pub(super) const fn mdc_bytes(slabs: u64) -> u64 {
    let bytes = slabs.saturating_mul(MDC_BYTES_PER_SLAB);
    if bytes < MIN_MDC_BYTES {
        MIN_MDC_BYTES
    } else {
        bytes
    }
}

#[derive(Debug)]
pub(super) struct Ledger {
    pool: Rc<Pool>,
    logs: [ObjectId; 2],
    subject: String,
    /// None after a close or a failure.
    mdc: RefCell<Option<Rc<MdcHandle>>>,
    closed: Cell<bool>,
    contents: RefCell<Contents>,
    /// Held during an append.
    appending: Mutex<()>,
}

impl Ledger {
    /// Opens and reads the inventory of a volume.
    ///
    /// # Errors
    /// The MDC cannot be opened or read; Invalid: the inventory is malformed.
    pub(super) async fn open(pool: &Rc<Pool>, entry: &VolumeEntry) -> Result<Ledger> {
        let mdc = pool.mdc_open(entry.logs, MdcFlags::default()).await?;
        let subject = subject_of(entry);
        match read(&mdc, &subject).await {
            Ok(contents) => Ok(Ledger {
                pool: Rc::clone(pool),
                logs: entry.logs,
                subject,
                closed: Cell::new(false),
                mdc: RefCell::new(Some(Rc::new(mdc))),
                contents: RefCell::new(contents),
                appending: Mutex::new(()),
            }),
            Err(error) => {
                // Report the failure of the read.
                let _ = mdc.close().await;
                Err(error)
            }
        }
    }

    /// The name of the volume in messages.
    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    /// An error that names the volume.
    pub(super) fn refuse(&self, kind: Kind, reason: impl Into<String>) -> PoolError {
        PoolError::new(kind, &self.subject, reason)
    }

    /// The content of the inventory.
    pub(super) fn contents(&self) -> Ref<'_, Contents> {
        self.contents.borrow()
    }

    /// Appends records, in order; on success all are durable. A full MDC is compacted first.
    ///
    /// # Errors
    /// Invalid: a record does not follow the earlier ones. LogFull: the inventory does not fit its MDC. Io; after a
    /// failure the first of the records may be durable.
    pub(super) async fn append(&self, records: Vec<InventoryRecord>) -> Result<()> {
        let _alone = self.appending.lock().await;
        let mut after = self.contents().clone();
        for record in &records {
            after.apply(record.clone()).map_err(|error| self.refuse(Kind::Invalid, error.to_string()))?;
        }
        let mdc = self.ready().await?;
        let last = records.len().saturating_sub(1);
        for (index, record) in records.into_iter().enumerate() {
            if let Err(error) = self.append_one(&mdc, &record, index == last).await {
                self.mdc.borrow_mut().take();
                mdc.abandon().await;
                return Err(error);
            }
            let mut contents = self.contents.borrow_mut();
            contents.apply(record).map_err(|error| self.refuse(Kind::Invalid, error.to_string()))?;
        }
        Ok(())
    }

    /// The MDC, with the content in memory; reopened after a failure.
    async fn ready(&self) -> Result<Rc<MdcHandle>> {
        if self.closed.get() {
            return Err(self.refuse(Kind::NotFound, "it is closed"));
        }
        let open = self.mdc.borrow().clone();
        if let Some(open) = open {
            return Ok(open);
        }
        let mdc = Rc::new(self.pool.mdc_open(self.logs, MdcFlags::default()).await?);
        if let Err(error) = self.rewrite(&mdc).await {
            mdc.abandon().await;
            return Err(error);
        }
        *self.mdc.borrow_mut() = Some(Rc::clone(&mdc));
        Ok(mdc)
    }

    async fn rewrite(&self, mdc: &MdcHandle) -> Result<()> {
        mdc.cstart().await?;
        let present = self.contents().records();
        for record in present {
            mdc.append(&record.encode(), false).await?;
        }
        mdc.cend().await
    }

    async fn append_one(&self, mdc: &MdcHandle, record: &InventoryRecord, sync: bool) -> Result<()> {
        let bytes = record.encode();
        match mdc.append(&bytes, sync).await {
            Err(error) if error.kind() == Kind::LogFull => {}
            other => return other,
        }
        self.rewrite(mdc).await?;
        mdc.append(&bytes, sync).await
    }

    /// Closes the MDC. Repeated calls do nothing.
    ///
    /// # Errors
    /// Io.
    pub(super) async fn close(&self) -> Result<()> {
        let _alone = self.appending.lock().await;
        self.closed.set(true);
        let mdc = self.mdc.borrow_mut().take();
        match mdc {
            Some(mdc) => mdc.close().await,
            None => Ok(()),
        }
    }
}

/// The name of a volume in messages.
pub(super) fn subject_of(entry: &VolumeEntry) -> String {
    format!("volume '{}'", entry.name.escape_debug())
}

async fn read(mdc: &MdcHandle, subject: &str) -> Result<Contents> {
    let mut contents = Contents::default();
    mdc.rewind().await?;
    while let Some(bytes) = mdc.next_vec(MAX_RECORD_BYTES).await? {
        let malformed =
            |error: String| PoolError::invalid(subject, format!("a record of its inventory is malformed: {error}"));
        let record = InventoryRecord::decode(&bytes).map_err(|error| malformed(error.to_string()))?;
        contents.apply(record).map_err(|error| malformed(error.to_string()))?;
    }
    Ok(contents)
}
