// SPDX-License-Identifier: BSD-3-Clause

//! Appends records to containers, and compacts containers.
//!
//! Both need the container's compaction lock. A record is durable when the call returns. A full log is compacted on the
//! spot, and the record appended again.
//!
//! Differs from mpool: a failed compaction closes the pair before it is reopened; after five attempts the container is
//! in doubt ([`super::doubt`]), which makes every later change fail cleanly until a compaction succeeds. Nothing is
//! lost by that, because the old log is still valid.

use std::rc::Rc;

use super::container::{Container, RecordCounts};
use crate::error::{Kind, PoolError, Result};
use crate::format::Record;
use crate::host::Level;
use crate::ids::{MediaClass, ObjectId, Slot};
use crate::mdc::{Mdc, MdcFlags};
use crate::Pool;

impl Pool {
    /// Appends one record, durably.
    ///
    /// # Errors
    /// The record cannot be written, or an earlier doubt cannot be resolved. It is then unknown whether the record is
    /// on media: the container is in doubt.
    pub(super) async fn append_record(&self, container: &Container, record: &Record) -> Result<()> {
        self.append_records(container, std::slice::from_ref(record)).await
    }

    /// Appends records that belong together, durably: a power cut leaves all of them or the first few. After a
    /// compaction all are appended again, so each must tolerate being there twice.
    ///
    /// # Errors
    /// As for [`Pool::append_record`].
    pub(super) async fn append_records(&self, container: &Container, records: &[Record]) -> Result<()> {
        let compactions = container.compactions.get();
        self.settle(container).await?;
        let appended = match self.try_append(container, records, compactions).await {
            Err(error) if error.kind() == Kind::LogFull => {
                self.compact(container).await?;
                self.try_append(container, records, compactions).await
            }
            other => other,
        };
        let Err(error) = appended else {
            self.compact_waste_of(container);
            return Ok(());
        };
        self.distrust(container, &error).await;
        // The other log of the pair may take what this one did not.
        if error.kind() == Kind::LogFull || self.settle(container).await.is_err() {
            return Err(error);
        }
        let again = self.try_append(container, records, compactions).await;
        if let Err(error) = &again {
            self.distrust(container, error).await;
        }
        again
    }

    /// Appends records. A version record is left out if a compaction happened after the first `compactions`: the
    /// compacted log begins with one.
    async fn try_append(&self, container: &Container, records: &[Record], compactions: u64) -> Result<()> {
        let mdc = self.resting_mdc(container).await?;
        let compacted = container.compactions.get() != compactions;
        for (index, record) in records.iter().enumerate() {
            if compacted && matches!(record, Record::Version(_)) {
                continue;
            }
            let last = index + 1 == records.len();
            mdc.append(record.encode().as_ref(), last).await?;
        }
        Ok(())
    }

    /// The open pair of a container, without a compaction in progress. If a caller was dropped in the middle of a
    /// compaction, the old log is still valid, so the pair is reopened.
    async fn resting_mdc(&self, container: &Container) -> Result<Rc<Mdc>> {
        let slot = container.slot();
        let mdc =
            container.mdc().ok_or_else(|| PoolError::new(Kind::Io, self.subject(), format!("{slot} is not open")))?;
        if mdc.is_alive() && !mdc.is_compacting() {
            return Ok(mdc);
        }
        mdc.abandon().await;
        let fresh = self.open_pair(slot).await?;
        *container.mdc.borrow_mut() = Some(Rc::clone(&fresh));
        Ok(fresh)
    }

    /// Rewrites a container so that it has one record for each object and property.
    ///
    /// # Errors
    /// All attempts failed, or the drive is suspect; the container is in doubt.
    pub(super) async fn compact(&self, container: &Container) -> Result<()> {
        let attempts = self.tunables.borrow().compaction_attempts();
        let mut last = None;
        for attempt in 1..=attempts {
            match self.compact_once(container).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let slot = container.slot();
                    self.log(Level::Warning, format!("compaction of {slot} failed, attempt {attempt}: {error}"));
                    let suspect =
                        error.kind() == Kind::Io && self.judge(&*self.metadata_drive()?, &error).await.is_err();
                    last = Some(error);
                    if suspect {
                        break;
                    }
                }
            }
        }
        let error = last.unwrap_or_else(|| PoolError::invalid(self.subject(), "no attempt at a compaction is allowed"));
        self.distrust(container, &error).await;
        Err(error)
    }

    /// Makes one attempt. A success resolves all doubt.
    pub(super) async fn compact_once(&self, container: &Container) -> Result<()> {
        if container.unread.get() {
            // Objects that were not read would be lost.
            let reason = "its records were not all read, so it is not written anew";
            return Err(PoolError::invalid(container.slot().to_string(), reason));
        }
        let mdc = self.resting_mdc(container).await?;
        let objects = container.all_committed();
        mdc.cstart().await?;
        let written = self.write_state(container, &mdc).await;
        if let Err(error) = written {
            // The new log has no end marker, so the old one counts.
            mdc.abandon().await;
            return Err(error);
        }
        mdc.cend().await?;
        container.version.set(self.content_version());
        container.counts.set(RecordCounts { creates: objects.len() as u64, ..RecordCounts::default() });
        container.compactions.set(container.compactions.get() + 1);
        self.trust(container);
        Ok(())
    }

    async fn write_state(&self, container: &Container, mdc: &Mdc) -> Result<()> {
        let version = self.content_version();
        if version.is_recorded() {
            mdc.append(Record::Version(version).encode().as_ref(), false).await?;
        }
        if container.slot() == Slot::ZERO {
            for record in self.property_records() {
                mdc.append(record.encode().as_ref(), false).await?;
            }
        } else if let Some(id) = container.checkpoint.get() {
            mdc.append(Record::IdCheckpoint(id).encode().as_ref(), false).await?;
        }
        for object in container.all_committed() {
            mdc.append(Record::ObjectCreate(object.creation()).encode().as_ref(), false).await?;
        }
        Ok(())
    }

    /// The pool's properties as records of MDC0.
    fn property_records(&self) -> Vec<Record> {
        let drives = self.drives();
        let mut records: Vec<_> = drives.iter().map(|drive| Record::McConfig(drive.descriptor())).collect();
        for class in MediaClass::ALL {
            if drives.iter().any(|drive| drive.class() == class) {
                records.push(Record::McSpare { class, percent: self.spare_percent(class) });
            }
        }
        records.push(Record::MpConfig(self.config()));
        records.extend(self.kept_tunables.borrow().iter().map(|(&tunable, &value)| Record::Tunable { tunable, value }));
        records
    }

    /// Opens the log pair of a container.
    pub(super) async fn open_pair(&self, slot: Slot) -> Result<Rc<Mdc>> {
        let ids = ObjectId::mdc_logs(slot);
        Mdc::open(self.store(), ids, MdcFlags { skip_ser: true }).await
    }
}
