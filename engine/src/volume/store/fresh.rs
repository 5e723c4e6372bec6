// SPDX-License-Identifier: BSD-3-Clause

//! The initial content of a volume's metadata: empty roots of the block map, and summaries of slabs that were never
//! used.
//!
//! Nothing else in a slab's area is written: the summary says that there is neither a journal nor counts.

use std::ops::Range;
use std::rc::Rc;

use mpool::error::{PoolError, Result};
use mpool::{ObjectId, Pool, SlabObject};

use super::transfer::write;
use crate::format::map_page::{self, PageName, ENTRIES};
use crate::format::slab_summary::SlabSummary;
use crate::format::{Mapping, PageId, ROOTS};
use crate::units::BLOCK_SIZE;
use crate::volume::inventory::VolumeConfig;

/// The entries of a page that leads to no other.
const UNMAPPED: [u64; ENTRIES] = [u64::from_le_bytes(Mapping::UNMAPPED.to_bytes()); ENTRIES];

/// Writes the roots of an empty block map.
pub(super) async fn write_roots(pool: &Rc<Pool>, object: Option<ObjectId>, config: &VolumeConfig) -> Result<()> {
    let Some(object) = object else { return Ok(()) };
    let object = pool.slab_open(object).await?;
    let (mut bytes, mut block) = (Vec::with_capacity(ROOTS as usize * BLOCK_SIZE), [0; BLOCK_SIZE]);
    for tree in 0..ROOTS {
        let name = PageName::new(PageId::root(tree), config.nonce, Mapping::UNMAPPED);
        map_page::encode(name, 0, &UNMAPPED, &mut block);
        bytes.extend_from_slice(&block);
    }
    write(&object, 0, &bytes).await
}

/// Writes the initial summaries of slabs. Their areas lie in `objects`, the metadata objects of the volume.
pub(super) async fn write_summaries(
    pool: &Rc<Pool>,
    config: &VolumeConfig,
    objects: &[ObjectId],
    slabs: Range<u64>,
) -> Result<()> {
    let per_object = u64::from(config.areas_per_object);
    let mut open: Option<(ObjectId, SlabObject)> = None;
    // At most 2^23.
    let summary = SlabSummary::new(config.slab_blocks as u32);
    let mut block = [0; BLOCK_SIZE];
    for slab in slabs {
        let id = usize::try_from(slab / per_object).ok().and_then(|index| objects.get(index)).copied();
        let id = id.ok_or_else(|| PoolError::invalid(format!("slab {slab}"), "there is no object for its area"))?;
        let object = match open.take() {
            Some((present, object)) if present == id => object,
            _ => pool.slab_open(id).await?,
        };
        summary.encode(config.nonce, slab, 0, &mut block);
        write(&object, slab % per_object * config.area_bytes(), &block).await?;
        open = Some((id, object));
    }
    Ok(())
}
