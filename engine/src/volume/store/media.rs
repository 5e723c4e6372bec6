// SPDX-License-Identifier: BSD-3-Clause

//! Reads and writes by place on the volume's objects, for load, recovery and check.

use std::rc::Rc;

use async_trait::async_trait;
use mpool::error::{Kind, PoolError, Result};
use mpool::{ClaimedLog, SlabObject};

use super::{transfer, VolumeStore};
use crate::format::{Place, ROOTS};
use crate::units::BLOCK_SIZE;
use crate::volume::access::VolumeMedia;
use crate::volume::inventory::config::FIRST_PBN;

impl VolumeStore {
    pub(super) fn segment(&self, number: u32) -> Result<Rc<ClaimedLog>> {
        let segment = self.objects.borrow().segments.get(number as usize).cloned();
        segment.ok_or_else(|| self.ledger.refuse(Kind::NotFound, format!("it has no journal segment {number}")))
    }

    fn outside(&self, place: Place, blocks: u64) -> PoolError {
        self.ledger.refuse(Kind::Invalid, format!("{blocks} blocks at {place:?} are not in one of its objects"))
    }

    /// The object that holds `blocks` blocks from a place on, and the byte offset there.
    fn locate(&self, place: Place, blocks: u64) -> Result<(Rc<SlabObject>, u64)> {
        let config = self.config();
        let objects = self.objects.borrow();
        // For each place: the object, the first block of the place's part, the block in that part, and the part's size.
        let found = match place {
            Place::Data(pbn) => pbn.0.checked_sub(FIRST_PBN.0).and_then(|block| {
                let slab = objects.slabs.get(usize::try_from(block / config.slab_blocks).ok()?)?;
                Some((slab, 0, block % config.slab_blocks, config.slab_blocks))
            }),
            Place::SlabMetadata { slab, block } if slab < objects.slabs.len() as u64 => {
                let per_object = u64::from(config.areas_per_object);
                let area_blocks = u64::from(config.area().blocks());
                let areas = usize::try_from(slab / per_object).ok().and_then(|number| objects.areas.get(number));
                areas.map(|areas| (areas, slab % per_object * area_blocks, u64::from(block), area_blocks))
            }
            Place::Roots { block } => objects.roots.as_ref().map(|roots| (roots, 0, u64::from(block), ROOTS)),
            Place::SlabMetadata { .. } | Place::Journal { .. } => None,
        };
        match found {
            Some((object, first, block, size)) if block <= size && blocks <= size - block => {
                Ok((Rc::clone(object), (first + block) * BLOCK_SIZE as u64))
            }
            _ => Err(self.outside(place, blocks)),
        }
    }
}

#[async_trait(?Send)]
impl VolumeMedia for VolumeStore {
    async fn read(&self, place: Place, blocks: u32) -> Result<Vec<u8>> {
        let bytes = blocks as usize * BLOCK_SIZE;
        if let Place::Journal { segment, offset } = place {
            return self.segment(segment)?.read(offset, bytes).await;
        }
        let (object, offset) = self.locate(place, blocks.into())?;
        transfer::read(&object, offset, bytes).await
    }

    async fn write(&self, place: Place, bytes: &[u8]) -> Result<()> {
        if !bytes.len().is_multiple_of(BLOCK_SIZE) {
            return Err(self.ledger.refuse(Kind::Invalid, format!("{} bytes are not whole blocks", bytes.len())));
        }
        let (object, offset) = self.locate(place, (bytes.len() / BLOCK_SIZE) as u64)?;
        transfer::write(&object, offset, bytes).await
    }

    async fn flush(&self) -> Result<()> {
        for drive in self.drives()? {
            drive.flush().await?;
        }
        Ok(())
    }

    fn segments(&self) -> u32 {
        // Segments are numbered by u32.
        self.objects.borrow().segments.len() as u32
    }

    async fn segment_records(&self, segment: u32) -> Result<Vec<Vec<u8>>> {
        self.segment(segment)?.records().await
    }
}
