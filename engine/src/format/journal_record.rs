// SPDX-License-Identifier: BSD-3-Clause

//! Records of a recovery journal: batches of entries.
//!
//! ```text
//!  offset size  header
//!       0    4  magic "DRJ" and version 2
//!       4    2  shard: whose journal
//!       6    2  shards of the volume when it was written, 1 to 32
//!       8    8  load generation
//!      16    8  number of the first entry; they count from 0 in each generation and shard
//!      24    4  number of entries
//!      28    4  0
//!      32    8  committed: first entry that was not known to be durable when this was written
//!      40    8  map_head: first entry that a page of the block map needs
//!      48    8  logical blocks used, behind the last entry, signed
//!      56    8  pages of the block map, behind the last entry, signed
//!      64       entries, each of whole 8-byte words, kind in the lowest byte:
//!
//!        63      56 55    48 47      36 35              8 7    0
//!       +----------+--------+----------+-----------------+------+
//!       |                       lbn                      |   1  |  Remap
//!       |            0                 |   old PBN, 0 for none  |
//!       |                       new mapping                     |
//!       +----------+--------+----------+-----------------+------+
//!       |                   first lbn                    |   2  |  Range
//!       |         0         | runs (16)   |  blocks (16) from bit 0
//!       |   blocks of the run (16)  |  its first PBN (48)       |  ... for each run
//!       +----------+--------+----------+-----------------+------+
//!       |                  index of the page             |   3  |  Page
//!       |    life (24)      |level |          PBN (36)           |
//!       +----------+--------+----------+-----------------+------+
//!       |                  index of the page             |   4  |  PageGone
//!       |        0          |level |          PBN (36)           |
//!       +----------+--------+----------+-----------------+------+
//! ```
//! All fields are little-endian. A log of the pool frames the records, and its blocks carry check codes. So a record
//! that does not decode shows a defect or a forgery; the decoder copes with any bytes all the same.
//!
//! Differs from dm-vdo: there is a journal for each shard; records lie in a log instead of in the blocks of a ring,
//! hence there is no recovery count; the load generation says which entries are void. `committed` distinguishes a write
//! that a power cut lost, though a later one was made, from damage to acknowledged entries.

mod changes;
mod codec;
mod decode;
mod entry;
mod header;
mod point;

pub use changes::Change;
pub use codec::{encoded_len, RecordBuilder, MAX_ENTRY_BYTES};
pub use decode::{decode, RecordDamage};
pub use entry::{Entry, EntryWith, OwnedEntry, PbnRun, MAX_RANGE_BLOCKS};
pub use header::{RecordHeader, HEADER_BYTES};
pub use point::{Point, MAX_ENTRY_NUMBER};

#[cfg(test)]
mod tests;
