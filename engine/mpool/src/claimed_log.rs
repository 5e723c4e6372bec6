// SPDX-License-Identifier: BSD-3-Clause

//! A log that its owner writes without the pool's framer, with its own [`super::mlog::LogWriter`].
//!
//! A shard's recovery journal lies in such logs: their blocks are those of any log, but the shard decides what is
//! written when, and several flush sets may be in flight. While a log is claimed nothing else can open, write or delete
//! it. [`Pool::mlog_erase`] erases it like any log.

use std::rc::Rc;

use super::error::{Kind, PoolError, Result};
use super::ids::{ObjectId, ObjectType};
use super::logs::MlogProps;
use super::metadata::{gone, Hold, ObjectState, Search};
use super::mlog::check::read_all;
use super::mlog::geometry::STALE_SCAN_BYTES;
use super::mlog::{Geometry, Scan, ScanConfig, Stamp};
use super::Pool;

/// A claimed log. Dropping it ends the claim.
#[derive(Debug)]
pub struct ClaimedLog {
    pool: Rc<Pool>,
    hold: Hold,
}

impl Pool {
    /// Claims a committed log.
    ///
    /// # Errors
    /// NotFound: no such committed log. Busy: the log is open, or claimed.
    pub async fn mlog_claim(self: &Rc<Pool>, id: ObjectId) -> Result<ClaimedLog> {
        let hold = self.find_kind(id, ObjectType::Mlog, Search::Committed)?.hold();
        let claiming = hold.lock().exclusive().await;
        if hold.state() != ObjectState::Committed {
            return Err(gone(&hold));
        }
        if hold.is_open() {
            return Err(PoolError::new(Kind::Busy, id.to_string(), "it is open, or claimed"));
        }
        hold.set_claimed(true);
        drop(claiming);
        Ok(ClaimedLog { pool: Rc::clone(self), hold })
    }
}

impl ClaimedLog {
    /// The properties of the log.
    ///
    /// # Errors
    /// Invalid: its record in the pool has no UUID.
    pub fn props(&self) -> Result<MlogProps> {
        self.pool.mlog_props(self.hold.id())
    }

    /// The id of the log.
    #[must_use]
    pub fn id(&self) -> ObjectId {
        self.hold.id()
    }

    /// The log's first byte on the drive.
    #[must_use]
    pub fn drive_offset(&self) -> u64 {
        self.hold.extent().first.saturating_mul(self.hold.drive().zone_bytes())
    }

    /// Erases the log and returns its new, larger generation.
    ///
    /// # Errors
    /// Io.
    pub async fn erase(&self) -> Result<u64> {
        self.pool.mlog_erase(self.hold.id(), 0).await
    }

    /// Reads `bytes` raw bytes from byte `offset` on, with one retry.
    ///
    /// # Errors
    /// Invalid: not whole sectors, or outside the log. Io; NoMemory.
    pub async fn read(&self, offset: u64, bytes: usize) -> Result<Vec<u8>> {
        let (drive, extent) = (self.hold.drive(), self.hold.extent());
        let (buf, outcome) = drive.read(extent, offset, drive.allocate(bytes)?, 0..bytes).await;
        let (buf, outcome) = match outcome {
            Err(error) if error.kind() == Kind::Io => drive.read(extent, offset, buf, 0..bytes).await,
            other => (buf, other),
        };
        outcome?;
        Ok((*buf).as_ref()[..bytes].to_vec())
    }

    /// Reads all records of the log's present generation, in order, up to the first block that does not belong to it.
    /// Flush sets may have been in flight together, so a hole is an end and not damage.
    ///
    /// # Errors
    /// CorruptLog: a block holds records that no framer writes. Io; NoMemory; Invalid: unsupported sectors of the
    /// drive.
    pub async fn records(&self) -> Result<Vec<Vec<u8>>> {
        let props = self.props()?;
        let invalid = || PoolError::invalid(props.id.to_string(), format!("sectors of {} bytes", props.sector_bytes));
        let geometry = Geometry::new(self.hold.drive().sector_bytes() as usize, props.capacity_bytes);
        let config = ScanConfig {
            geometry: geometry.ok_or_else(invalid)?,
            stamp: Stamp { uuid: props.uuid, generation: props.generation },
            compact_sem: false,
            accept_v1: false,
            one_in_flight: false,
        };
        let corrupt = |error: String| PoolError::new(Kind::CorruptLog, props.id.to_string(), error);
        let (mut scan, mut image) = (Scan::new(config), Vec::new());
        while let Some(piece) = scan.wants(STALE_SCAN_BYTES) {
            // At most STALE_SCAN_BYTES.
            let bytes = self.read(piece.start, (piece.end - piece.start) as usize).await?;
            scan.feed(&bytes).map_err(|error| corrupt(error.to_string()))?;
            image.extend_from_slice(&bytes);
        }
        let found = scan.finish().map_err(|error| corrupt(error.to_string()))?;
        read_all(&image, config, found.blocks).map_err(|error| corrupt(error.to_string()))
    }
}

impl Drop for ClaimedLog {
    fn drop(&mut self) {
        self.hold.set_claimed(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Rights;
    use crate::ids::MediaClass;
    use crate::mlog::OpenFlags;
    use crate::testing::world::World;

    /// While a log is claimed nobody else can claim, open or delete it; afterwards everybody can.
    #[test]
    fn a_claim_excludes_others_until_it_is_dropped() {
        let world = World::with_two_disks();
        world.create("mp1");
        world.run(async {
            let handle = world.registry.open("mp1", Rights::ReadWrite, false).unwrap();
            let pool = Rc::clone(handle.pool().unwrap());
            let id = pool.mlog_alloc(MediaClass::Capacity, 0, false).await.unwrap().id;
            pool.mlog_commit(id).await.unwrap();
            for _ in 0..2 {
                let claimed = pool.mlog_claim(id).await.unwrap();
                let refused = [
                    pool.mlog_claim(id).await.map(drop),
                    pool.mlog_open(id, OpenFlags::default()).await.map(drop),
                    pool.mlog_delete(id).await,
                ];
                assert_eq!(refused.map(|outcome| outcome.map_err(|error| error.kind())), [Err(Kind::Busy); 3]);
                drop(claimed);
            }
            pool.mlog_open(id, OpenFlags::default()).await.unwrap().close().await.unwrap();
            pool.mlog_delete(id).await.unwrap();
        });
    }
}
