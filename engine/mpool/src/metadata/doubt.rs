// SPDX-License-Identifier: BSD-3-Clause

//! Failed changes of metadata: the resulting doubt, and how the pool recovers from it automatically.
//!
//! After a failed write it is unknown whether the record is on media. So its container is *in doubt*: nothing more is
//! logged in it until it has been rewritten from memory, into the other log of its pair, which settles that the record
//! does not count. That is tried at once, and then repeatedly, with growing pauses ([`Pool::mend`]). All other
//! containers continue; new objects go to them.
//!
//! The drive is *suspect* only when a trial write fails too. Then no metadata is changed, so that calls fail at once
//! instead of after many attempts; reads, and I/O on objects' own data, are not affected.
//!
//! Invariants, while a container is in doubt:
//! * The zones of an object whose creation failed are not reused: its record may be on media.
//! * A log whose erasure failed takes no records and is not opened: they would be lost if the erasure is on media.
//! * The logs of a container itself are described in MDC0, and those of MDC0 in the superblock: doubt there is resolved
//!   before an affected log is opened.

use std::rc::{Rc, Weak};

use super::container::Container;
use super::object::Object;
use crate::drive::{Drive, DriveStatus};
use crate::error::{Kind, PoolError, Result};
use crate::host::Level;
use crate::ids::Slot;
use crate::units::Nanos;
use crate::{superblocks, Pool};

/// The pause before the first attempt at mending, and the longest pause.
const FIRST_PAUSE: Nanos = Nanos(100_000_000);
const LONGEST_PAUSE: Nanos = Nanos(30_000_000_000);

impl Pool {
    /// Records that a record of a container may or may not be on media.
    pub(super) async fn distrust(&self, container: &Container, error: &PoolError) {
        if container.set_doubt(Some(error.to_string())) {
            let slot = container.slot();
            self.log(
                Level::Error,
                format!("{slot} takes no changes until it has been written anew, which is tried by itself: {error}"),
            );
            self.rebuild_selection();
            self.tell_status();
        }
        if let (Kind::Io, Ok(drive)) = (error.kind(), self.metadata_drive()) {
            // The result is recorded in the drive.
            let _ = self.judge(&drive, error).await;
        }
        self.start_mending();
    }

    /// Determines with a trial write whether a drive on which something failed is suspect.
    ///
    /// # Errors
    /// The drive is suspect.
    pub(crate) async fn judge(&self, drive: &Drive, cause: &PoolError) -> Result<()> {
        match drive.probe().await {
            Err(error) if error.kind() == Kind::Io => {
                if drive.suspect(Some(cause.to_string())) {
                    self.log(
                        Level::Error,
                        format!(
                            "{} is suspect: {cause}, and a trial write failed, too. Metadata is not changed, reads go on. \
                             It is tried again by itself: see to the bdev and what is beneath it",
                            drive.subject()
                        ),
                    );
                    self.tell_status();
                }
                self.start_mending();
                Err(self.refuse_suspect(drive).err().unwrap_or(error))
            }
            Err(_) => Ok(()),
            Ok(()) => {
                if drive.suspect(None) {
                    self.log(Level::Info, format!("{} takes writes again", drive.subject()));
                    self.tell_status();
                }
                Ok(())
            }
        }
    }

    /// Refuses to change metadata on a suspect drive.
    fn refuse_suspect(&self, drive: &Drive) -> Result<()> {
        match drive.suspicion() {
            None => Ok(()),
            Some(cause) => {
                let reason = format!("it is suspect ({cause}); it is tried again by itself");
                Err(PoolError::new(Kind::Io, drive.subject(), reason))
            }
        }
    }

    /// Ensures that a record can be logged: resolves a doubt. The compaction lock must be held.
    ///
    /// # Errors
    /// The drive is suspect, or the container cannot be rewritten.
    pub(super) async fn settle(&self, container: &Container) -> Result<()> {
        self.refuse_suspect(&*self.metadata_drive()?)?;
        if container.doubt().is_none() {
            return Ok(());
        }
        self.compact_once(container).await
    }

    /// Ends the doubt about a container that was rewritten.
    pub(super) fn trust(&self, container: &Container) {
        for object in container.all_committed() {
            object.set_erasure_in_doubt(false);
        }
        for object in container.take_limbo() {
            self.erase_later(object);
        }
        if container.set_doubt(None) {
            self.log(Level::Info, format!("{} has been written anew and takes changes again", container.slot()));
            self.rebuild_selection();
            self.tell_status();
        }
    }

    /// Frees the zones of an object that no record describes any more, once that is certain.
    pub(super) fn release_zones(&self, container: &Container, object: Rc<Object>) {
        match container.doubt() {
            Some(_) => container.put_in_limbo(object),
            None => self.erase_later(object),
        }
    }

    /// Resolves whether a log's erasure counts. The log's lock must be held.
    pub(super) async fn settle_erasure(&self, object: &Object) -> Result<()> {
        if !object.is_erasure_in_doubt() {
            return Ok(());
        }
        if self.mdc0_logs.iter().any(|log| log.id() == object.id()) {
            let mut superblock = self.superblock.borrow().clone();
            let written = self.write_superblock(&mut superblock).await;
            // The generation is consumed also by a failure: a copy may have it.
            self.superblock.borrow_mut().generation = superblock.generation;
            written?;
            self.mdc0_logs.iter().for_each(|log| log.set_erasure_in_doubt(false));
            return Ok(());
        }
        let container = self.container(object.id().slot());
        let _rest = container.compaction.exclusive().await;
        self.settle(container).await
    }

    /// Rewrites the superblock that holds the place of MDC0.
    pub(super) async fn write_superblock(&self, superblock: &mut crate::format::Superblock) -> Result<()> {
        let drive = self.metadata_drive()?;
        superblocks::update(&drive, superblock, self.format.superblock, &*self.host).await
    }

    /// Tests once whether all drives take writes, and mends what can be mended.
    pub async fn try_again(&self) {
        for drive in self.drives() {
            let cause = PoolError::new(Kind::Io, drive.subject(), "it was asked whether it takes writes");
            // The result is recorded in the drive.
            let _ = self.judge(&drive, &cause).await;
        }
        self.mend().await;
    }

    fn start_mending(&self) {
        if self.mending.replace(true) {
            return;
        }
        let weak = self.weak();
        self.tasks.spawn(async move {
            let mut pause = FIRST_PAUSE;
            while let Some(pool) = Weak::upgrade(&weak) {
                if pool.tasks.sleep_or_stop(pause).await || pool.mend().await {
                    pool.mending.set(false);
                    return;
                }
                pause = Nanos(pause.0 * 2).min(LONGEST_PAUSE);
            }
        });
    }

    /// Retries everything that failed. True when nothing is left.
    async fn mend(&self) -> bool {
        for drive in self.drives() {
            if let Some(cause) = drive.suspicion() {
                let cause = PoolError::new(Kind::Io, drive.subject(), cause);
                // On an error the drive stays suspect.
                let _ = self.judge(&drive, &cause).await;
            }
        }
        for index in 0..self.container_count.get() {
            let container = self.container(Slot(index as u8));
            if container.doubt().is_none() {
                continue;
            }
            let _rest = container.compaction.exclusive().await;
            if let Err(error) = self.settle(container).await {
                self.log(Level::Debug, format!("{} is still in doubt: {error}", container.slot()));
            }
        }
        self.faults().is_empty()
    }

    /// The present faults of drives and containers, and what is being done about them.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let drives = self.drives();
        let suspects = drives.iter().filter(|drive| drive.status() == DriveStatus::Suspect).map(|drive| {
            let cause = drive.suspicion().unwrap_or_default();
            format!("{} is suspect: {cause}. It is tried again by itself: see to the bdev", drive.subject())
        });
        let doubtful = self.containers().filter_map(|container| {
            let cause = container.doubt()?;
            Some(format!("{} takes no changes until it has been written anew: {cause}", container.slot()))
        });
        suspects.chain(doubtful).collect()
    }

    fn tell_status(&self) {
        self.host.pool_changed(self.name(), self.status());
    }
}
