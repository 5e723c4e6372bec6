// SPDX-License-Identifier: BSD-3-Clause

//! Adopts the growth of a drive's device, while the pool is in use.
//!
//! Order: the superblock, then MDC0's record, then the zones can be allocated. So no object ever lies beyond the end in
//! the superblock; a power cut in between leaves a superblock that is ahead of the record, and activation reconciles
//! them.
//!
//! Differs from mpool, where a drive grows at activation only.

use std::rc::Rc;

use crate::drive::Drive;
use crate::error::{Kind, PoolError, Result};
use crate::format::{DeviceRecord, DriveDescriptor, Record, Superblock};
use crate::ids::{MediaClass, Slot};
use crate::{superblocks, Pool};

impl Pool {
    /// Adopts the growth of the device of a class's drive. Returns whether there are more zones now.
    ///
    /// # Errors
    /// NotFound: the class has no drive. Io: the drive keeps its old size, and may get the new one at the next
    /// activation.
    pub(crate) async fn grow_drive(&self, class: MediaClass) -> Result<bool> {
        let drive = self.drive_of(class)?;
        let Some(device) = drive.device() else { return Ok(false) };
        let present = drive.descriptor();
        let grown = present.resized(device.properties().bytes).filter(|grown| grown.zones > present.zones);
        let Some(grown) = grown else { return Ok(false) };
        let container = self.container(Slot::ZERO);
        // Neither MDC0's logs nor the superblock change meanwhile.
        let _rest = container.compaction.exclusive().await;
        self.rewrite_superblock(&drive, grown).await?;
        self.append_record(container, &Record::McConfig(grown)).await?;
        drive.grow(grown)?;
        Ok(true)
    }

    /// Rewrites the description of a drive in its superblock.
    async fn rewrite_superblock(&self, drive: &Rc<Drive>, grown: DriveDescriptor) -> Result<()> {
        let is_main = self.superblock.borrow().drive.uuid == grown.uuid;
        let mut superblock: Superblock = match (is_main, drive.device()) {
            (true, _) => self.superblock.borrow().clone(),
            (false, Some(device)) => superblocks::read(&**device, &*self.host, false).await?.superblock,
            (false, None) => return Err(PoolError::new(Kind::Io, drive.subject(), "it is not there")),
        };
        let former_bytes = superblock.drive.bytes;
        superblock.drive = grown;
        if let Some(metadata) = superblock.metadata.as_mut() {
            metadata.drive = grown;
        }
        if let Some(device) = drive.device() {
            superblock.device = Some(DeviceRecord::of(&device.properties()));
        }
        let updated = superblocks::update(drive, &mut superblock, self.format.superblock, &*self.host).await;
        match (&updated, drive.device()) {
            (Ok(()), Some(device)) => {
                superblocks::erase_former_end(&**device, former_bytes, &*self.host).await;
                if is_main {
                    *self.superblock.borrow_mut() = superblock;
                }
            }
            // The generation is consumed: a copy may have it.
            _ if is_main => self.superblock.borrow_mut().generation = superblock.generation,
            _ => {}
        }
        updated
    }
}
