// SPDX-License-Identifier: BSD-3-Clause

//! The formats of the metadata that a volume writes to its pool, without any I/O.
//!
//! All metadata that is changed in place is made of sealed sectors ([`sector`]): 512 bytes that a power cut leaves
//! whole, each with a check code that is bound to the volume and to the sector's place. So a torn block is a mix of
//! good sectors, and a sector in the wrong place or of another volume counts as damage.
//!
//! | module | what | where |
//! |---|---|---|
//! | [`map_page`] | a page of the block map: 504 entries | slabs; roots in an object of their own |
//! | [`reference_block`] | 4032 reference counts | metadata area of a slab |
//! | [`slab_journal_block`] | entries of a slab journal | metadata area of a slab |
//! | [`slab_summary`] | what must be known of a slab before it is loaded | metadata area of a slab |
//! | [`index_section`] | some thousand records of the index | chapters of the index, which are mblocks |
//! | [`journal_record`] | entries of a recovery journal | records of the logs that are its segments |
//! | [`compressed_block`] | fragments of up to 14 blocks of data; not sealed | slabs |
//! | [`area`] | the layout of a slab's metadata area | |
//! | [`slab_rebuild`] | computes a slab's counts from reference blocks and journal | |

pub mod area;
pub mod compressed_block;
mod geometry;
pub mod index_section;
pub mod journal_record;
pub mod map_page;
mod mapping;
mod page_id;
mod place;
mod placement;
pub mod reference_block;
pub mod sector;
mod segment;
pub mod slab_journal_block;
pub mod slab_rebuild;
pub mod slab_summary;
#[cfg(test)]
pub(crate) mod testing;

pub use geometry::{Geometry, GeometryError, MAX_LOGICAL_BLOCKS, MAX_PHYSICAL_BLOCKS};
pub use mapping::{Mapped, Mapping, MappingState};
pub use page_id::{PageId, ROOTS, ROOT_LEVEL};
pub use place::Place;
pub use placement::{DeviceByte, Placement};
pub use segment::JournalSegment;
