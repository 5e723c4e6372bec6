// SPDX-License-Identifier: BSD-3-Clause

//! The image of a shard's level-1 index: written at a clean stop, so that the index is complete at the next start.
//!
//! An image is a row of pages of 4096 bytes, a head page and then as many as the buckets need:
//! ```text
//!  offset size  every page
//!       0    4  CRC32C of the volume's nonce (8 bytes, little-endian) and of bytes 4 to 4095
//!       4    4  number of the page
//!       8    8  load generation of the volume that wrote it
//!      16    2  shard
//!      18    2  shards of the volume
//!      20    4  "DDIX"
//!      24    2  version: 1
//!      26   38  0
//!
//!  offset size  head page                                    other pages
//!      64    8  buckets of the table                         63 buckets of 64 bytes: 8 tags, the next
//!      72    8  generation of the table                      16 bits of the 8 records, their low 32
//!      80    8  records                                      bits, all little-endian (see `record`)
//!      88    4  bits of the key
//!      92 4004  0
//! ```
//! An image fits only one size of index and one number of shards. After a change of either, the index is refilled from
//! chapters.
//!
//! Invariant: whatever the bytes were, a loaded index is one that updates could have produced. The caller has to check
//! that the image is the newest (by its generation). The index is only advice in any case.

use mpool::format::fields::{FieldReader, FieldWriter, Truncated};
use thiserror::Error;

use super::record::{Bucket, SLOTS};
use super::table::Table;
use super::{buckets_in, Index};
use crate::format::index_section::check_code;

const PAGE_BYTES: usize = 4096;

/// Offset of the content in a page.
const CONTENT: usize = 64;

const BUCKETS_PER_PAGE: usize = (PAGE_BYTES - CONTENT) / size_of::<Bucket>();

const _: () = assert!(CONTENT + BUCKETS_PER_PAGE * size_of::<Bucket>() == PAGE_BYTES, "buckets fill a page");
const _: () = assert!(size_of::<Bucket>() == SLOTS * 8, "a bucket has the same size in an image");

/// Pages written at a time: 1 MiB.
const PAGES_PER_PIECE: usize = 256;

const MAGIC: u32 = u32::from_le_bytes(*b"DDIX");
const VERSION: u16 = 1;

/// Identity of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageOf {
    /// The volume's nonce.
    pub nonce: u64,
    /// The load generation in which the volume was stopped.
    pub generation: u64,
    /// Number of the shard.
    pub shard: u16,
    /// Number of shards of the volume.
    pub shards: u16,
}

/// Why an image cannot be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ImageError {
    /// The image has fewer pages than the index needs.
    #[error("an index image of {pages} pages does not fit {bytes} bytes")]
    Size {
        /// Number of pages needed.
        pages: usize,
        /// Size of the image in bytes.
        bytes: usize,
    },
    /// A page is damaged, or belongs to another volume.
    #[error("page {0} of an index image is damaged or of another volume")]
    Damaged(u32),
    /// A page has a wrong kind, version, shard, generation or page number.
    #[error("page {0} of an index image belongs elsewhere")]
    Elsewhere(u32),
    /// The saved index had another size, or a key that an index of this size cannot have.
    #[error("the index image is of {buckets} buckets with keys of {key_bits} bits, where {wanted} buckets are wanted")]
    Shape {
        /// Number of buckets saved.
        buckets: u64,
        /// Bits of the saved keys.
        key_bits: u32,
        /// Number of buckets of the index to be loaded.
        wanted: usize,
    },
    /// A page has records in places where they cannot be.
    #[error("page {0} of an index image has records that cannot be there")]
    Records(u32),
    /// The number of records differs from the saved one.
    #[error("the index image has {found} records where {saved} were saved")]
    Count {
        /// Number of records saved.
        saved: u64,
        /// Number of records found.
        found: u64,
    },
}

impl Index {
    /// The image, in chunks of up to 1 MiB, each a whole number of pages of 4096 bytes. Completes a resize first, which
    /// takes some milliseconds per 16 MiB.
    pub fn save(&mut self, of: ImageOf) -> impl Iterator<Item = Vec<u8>> + use<'_> {
        while self.migrate(usize::MAX) {}
        let table = &self.table;
        let mut buckets = table.buckets();
        let pages = pages(table.count());
        (0..pages).step_by(PAGES_PER_PIECE).map(move |first| {
            let mut piece = vec![0; PAGES_PER_PIECE.min(pages - first) * PAGE_BYTES];
            for (number, page) in (first as u32..).zip(piece.as_chunks_mut::<PAGE_BYTES>().0) {
                write_identity(of, number, page);
                if number == 0 {
                    write_head(table, page);
                } else {
                    let places = page[CONTENT..].as_chunks_mut().0.iter_mut();
                    for (bytes, bucket) in places.zip(buckets.by_ref().take(BUCKETS_PER_PAGE)) {
                        *bytes = bucket.to_bytes();
                    }
                }
                let code = check_code(of.nonce, &page[4..]);
                page[..4].copy_from_slice(&code.to_le_bytes());
            }
            piece
        })
    }

    /// An index in at most `bytes` bytes of memory (see [`Index::new`]) with the records of an image.
    ///
    /// # Errors
    /// Why the image cannot be used.
    pub fn load(bytes: usize, of: ImageOf, image: &[u8]) -> Result<Index, ImageError> {
        let count = buckets_in(bytes);
        let (all, _) = image.as_chunks::<PAGE_BYTES>();
        let (head, _) = all.split_first().ok_or(ImageError::Size { pages: pages(count), bytes: image.len() })?;
        let head = Head::read(open(of, 0, head)?).map_err(|Truncated| ImageError::Damaged(0))?;
        let Head { buckets, generation, records, key_bits } = head;
        let shape = ImageError::Shape { buckets, key_bits, wanted: count };
        if buckets != count as u64 {
            return Err(shape);
        }
        let all = all.get(1..pages(count)).ok_or(ImageError::Size { pages: pages(count), bytes: image.len() })?;
        let mut table = Table::like_saved(count, key_bits, generation).ok_or(shape)?;
        let mut places = 0..count;
        for (number, page) in (1..).zip(all) {
            let content = open(of, number, page)?;
            for (bytes, at) in content.as_chunks().0.iter().zip(places.by_ref()) {
                if !table.restore_bucket(at, Bucket::from_bytes(bytes)) {
                    return Err(ImageError::Records(number));
                }
            }
        }
        if table.len() != records {
            return Err(ImageError::Count { saved: records, found: table.len() });
        }
        Ok(Index::with(table))
    }
}

/// Number of pages of an image.
const fn pages(buckets: usize) -> usize {
    1 + buckets.div_ceil(BUCKETS_PER_PAGE)
}

fn write_identity(of: ImageOf, number: u32, page: &mut [u8; PAGE_BYTES]) {
    let mut writer = FieldWriter::new(&mut page[..CONTENT]);
    writer.skip(4).u32(number).u64(of.generation).u16(of.shard).u16(of.shards).u32(MAGIC).u16(VERSION);
}

fn write_head(table: &Table, page: &mut [u8; PAGE_BYTES]) {
    let mut writer = FieldWriter::new(&mut page[CONTENT..]);
    writer.u64(table.count() as u64).u64(table.generation()).u64(table.len()).u32(table.key_bits());
}

/// Checks a page and returns its content.
fn open(of: ImageOf, number: u32, page: &[u8; PAGE_BYTES]) -> Result<&[u8], ImageError> {
    let (code, checked) = page.split_first_chunk().ok_or(ImageError::Damaged(number))?;
    if u32::from_le_bytes(*code) != check_code(of.nonce, checked) {
        return Err(ImageError::Damaged(number));
    }
    let mut expected = [0; PAGE_BYTES];
    write_identity(of, number, &mut expected);
    if page[4..CONTENT] != expected[4..CONTENT] {
        return Err(ImageError::Elsewhere(number));
    }
    Ok(&page[CONTENT..])
}

/// Content of the head page.
#[derive(Debug)]
struct Head {
    buckets: u64,
    generation: u64,
    records: u64,
    key_bits: u32,
}

impl Head {
    fn read(content: &[u8]) -> Result<Head, Truncated> {
        let mut reader = FieldReader::new(content);
        let [buckets, generation, records] = [reader.u64()?, reader.u64()?, reader.u64()?];
        Ok(Head { buckets, generation, records, key_bits: reader.u32()? })
    }
}

#[cfg(test)]
mod tests;
