// SPDX-License-Identifier: BSD-3-Clause

//! The bdevs below the shards of a simulation, as the world and its scheduler see them.
//!
//! [`super::disk::Disk`] keeps everything in memory, and the scheduler decides when a transfer takes effect;
//! [`crate::volume_sim::machine_base::MachineBase`] hands transfers to a virtual machine whose power can be cut.

use std::fmt;

use engine::fingerprint::SECRET_BYTES;
use engine::format::area::AreaLayout;
use engine::format::{DeviceByte, Placement};
use engine::io::MetadataIo;
use engine::{Direction, Place, RequestError, Run, RunToken, ShardId, BLOCK_SIZE, SECTOR_SIZE};

use super::faults::Faults;
use super::memory::{Buf, Memory, Owner};

/// The secret of all simulated volumes.
#[must_use]
pub fn secret() -> [u8; SECRET_BYTES] {
    core::array::from_fn(|at| (at as u8).wrapping_mul(59) ^ 0x3c)
}

/// Something that was asked of the base has ended: whom to tell what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A transfer or flush.
    Io {
        /// Who asked.
        shard: ShardId,
        /// Its name there.
        token: RunToken,
        /// The outcome.
        result: Result<(), RequestError>,
    },
    /// The erasure of a journal segment.
    Erased {
        /// Who asked.
        shard: ShardId,
        /// The segment.
        segment: u32,
        /// The generation of the segment from now on.
        result: Result<u64, ()>,
    },
}

/// The bdevs under a volume.
pub trait Base: fmt::Debug {
    /// Starts a transfer.
    ///
    /// # Errors
    /// What the transfer breaks of the rules.
    fn submit(
        &mut self,
        shard: ShardId,
        run: &Run<'_, Buf>,
        memory: &mut Memory,
        faults: &mut Faults,
    ) -> Result<(), String>;

    /// Starts a flush.
    fn flush(&mut self, shard: ShardId, token: RunToken);

    /// Starts the erasure of a journal segment.
    fn erase_segment(&mut self, shard: ShardId, segment: u32);

    /// True when nothing is under way.
    fn is_idle(&self) -> bool;

    /// How many of the things under way can end now; they have numbers from 0.
    fn endable(&self) -> usize;

    /// True when it should end later than others.
    fn is_slow(&self, number: usize) -> bool;

    /// Lets one of them take effect without ending.
    fn apply(&mut self, number: usize, time: u32, memory: &mut Memory, faults: &mut Faults);

    /// Lets one of them end; it takes effect now unless it already has.
    fn end(&mut self, number: usize, time: u32, memory: &mut Memory, faults: &mut Faults) -> Ending;

    /// True when a request may fail with this error for a reason that [`Faults`] does not know.
    fn excuses(&self, error: RequestError) -> bool;

    /// A line for each thing under way.
    fn dump(&self) -> Vec<String>;
}

/// Checks that a transfer stays inside one object of the volume, and that the object is the shard's to transfer.
/// Returns where it lies.
///
/// # Errors
/// What it breaks of the rules.
pub fn check_place(
    shard: ShardId,
    run: &Run<'_, Buf>,
    placement: &Placement,
    segment_bytes: u64,
) -> Result<DeviceByte, String> {
    let Run { place, bytes, bufs, direction, token } = run;
    let wrong = |what: &str| Err(format!("{direction:?} of {bytes} bytes at {place:?} by {shard:?}: {what}"));
    let geometry = &placement.geometry;
    let blocks = bufs.len() as u64;
    if bufs.is_empty() || bytes.div_ceil(BLOCK_SIZE) != bufs.len() || bytes % SECTOR_SIZE != 0 {
        return wrong(&format!("they do not end in the last of {blocks} blocks"));
    }
    if !matches!(place, Place::Journal { .. }) && *bytes != bufs.len() * BLOCK_SIZE {
        return wrong("these are not whole blocks");
    }
    let metadata = MetadataIo::<Buf>::is_ours(*token);
    if !metadata && !matches!(place, Place::Data(_)) {
        return wrong("this is no place for data");
    }
    let (inside, owner) = match *place {
        Place::Data(pbn) => {
            let slab = geometry.slab_of(pbn);
            (slab.is_some() && slab == geometry.slab_of(pbn.plus(blocks - 1)), None)
        }
        Place::SlabMetadata { slab, block } => {
            let end = u64::from(block) + blocks;
            let area = AreaLayout::of(geometry.slab_blocks());
            let inside = slab < geometry.slabs() && end <= u64::from(area.blocks());
            (inside, Some(geometry.shard_of_slab(slab)))
        }
        Place::Roots { block } => {
            let owner = ShardId((block as usize % geometry.shards()) as u16);
            (u64::from(block) + blocks <= engine::format::ROOTS, Some(owner))
        }
        Place::Journal { segment, offset } => {
            let inside = (segment as usize) < placement.segments.len() && offset + *bytes as u64 <= segment_bytes;
            (inside, None)
        }
    };
    if !inside {
        return wrong("it is not inside one object");
    }
    if owner.is_some_and(|owner| owner != shard) {
        return wrong("the object belongs to another shard");
    }
    Ok(placement.locate(*place))
}

/// Checks that a transfer uses memory that is meant for it.
///
/// # Errors
/// It does not.
pub fn check_memory(shard: ShardId, run: &Run<'_, Buf>, memory: &Memory) -> Result<(), String> {
    let reads = run.direction == Direction::Read;
    let metadata = MetadataIo::<Buf>::is_ours(run.token);
    for buf in run.bufs {
        let owner = memory.owner(*buf);
        let allowed = match owner {
            Owner::Free => false,
            Owner::Bounce(of) => !metadata && (!reads || of == shard),
            Owner::Verify(of) => !metadata && reads && of == shard,
            Owner::Container(of) => !metadata && !reads && of == shard,
            Owner::Relocation(of) => !metadata && reads && of == shard,
            Owner::Swap(of) => !metadata && of == shard,
            // Clients may change theirs meanwhile.
            Owner::Source | Owner::Target => false,
            Owner::Metadata(of) => metadata && of == shard,
        };
        if !allowed {
            return Err(format!("{:?} of {:?} by {shard:?} uses memory of {owner:?}", run.direction, run.place));
        }
    }
    Ok(())
}
