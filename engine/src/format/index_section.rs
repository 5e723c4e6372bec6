// SPDX-License-Identifier: BSD-3-Clause

//! A section of a chapter: some thousand index records that were made one after the other, in level 2 of the index.
//!
//! A section is up to 16 pages of 4096 bytes:
//! ```text
//!  offset size
//!       0    4  CRC32C of the volume's nonce (8 bytes, little-endian) and of bytes 4 to 4095
//!       4    2  number of the page in the section
//!       6    2  pages of the section
//!       8    2  records in this page, 1 to 255
//!      10    1  partition of the page's first record
//!      11    1  partition of the page's last record
//!      12    4  sequence number of the section, the same in all its pages
//!      16 16*n  records
//!           ..  0
//! ```
//! and a record is 16 bytes, little-endian:
//! ```text
//!  127 124 123                                  88 87                            8 7         0
//! +-------+---------------------------------------+-------------------------------+-----------+
//! | state |             PBN (36 bit)              |    low 88 bits of the fingerprint         |
//! +-------+---------------------------------------+-------------------------------+-----------+
//!                                                                                   partition
//! ```
//! The partition of a record is the first byte of its fingerprint, which does not depend on the number of shards.
//! Records ascend by partition and then by fingerprint, and fingerprints are unique. So a shard need read, of a section
//! that others have written, only the pages with its own partitions.
//!
//! Differs from dm-vdo, where a chapter is sorted as a whole and has a delta index, so that one record can be found
//! without reading the others. Here records are always wanted together with their neighbours in time. A section of 4080
//! records fills its 64 KiB.
//!
//! Invariant: every record decoded, from whatever bytes, names a place that can hold content.

use std::ops::RangeInclusive;

use mpool::format::fields::{FieldReader, FieldWriter, Truncated};
use thiserror::Error;

use super::{Mapped, MappingState};
use crate::fingerprint::{ShortFingerprint, SHORT_BITS};
use crate::units::Pbn;

/// Bytes of a page, the unit of the check code.
pub const PAGE_BYTES: usize = 4096;

/// Pages of a full section, the most there are.
pub const SECTION_PAGES: usize = 16;

/// Bytes of a full section.
pub const SECTION_BYTES: usize = SECTION_PAGES * PAGE_BYTES;

/// Records of a full section.
pub const SECTION_RECORDS: usize = SECTION_PAGES * RECORDS_PER_PAGE;

const HEAD_BYTES: usize = 16;
const RECORD_BYTES: usize = 16;
const RECORDS_PER_PAGE: usize = (PAGE_BYTES - HEAD_BYTES) / RECORD_BYTES;

const PBN_BITS: u32 = 36;
const PBN_MASK: u64 = (1 << PBN_BITS) - 1;

const _: () = assert!(HEAD_BYTES + RECORDS_PER_PAGE * RECORD_BYTES == PAGE_BYTES, "records fill a page");
const _: () = assert!(SHORT_BITS + PBN_BITS + 4 == u128::BITS, "the fields fill a record");
const _: () = assert!(size_of::<SectionRecord>() == RECORD_BYTES, "a record takes no more in memory than on media");

/// The place of a section: its chapter, and the section in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SectionAt {
    /// The chapter's number in the volume: later chapters have higher numbers.
    pub chapter: u32,
    /// The number of the section in the chapter.
    pub section: u16,
}

/// Says where the content with a fingerprint was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionRecord(u128);

impl SectionRecord {
    /// A record of content stored at `location`.
    ///
    /// # Panics
    /// If the location is the zero block, unmapped, or beyond 36 bits: no content is stored there.
    #[must_use]
    pub fn new(fingerprint: ShortFingerprint, location: Mapped) -> SectionRecord {
        let Mapped { pbn, state } = location;
        let location = u128::from(pbn.0) | u128::from(state.to_bits()) << PBN_BITS;
        let record = SectionRecord(fingerprint.to_bits() | location << SHORT_BITS);
        assert!(pbn.0 <= PBN_MASK && record.is_valid(), "{pbn} {state:?} cannot be recorded in the index");
        record
    }

    /// The 88 bits of the fingerprint that the index keeps.
    #[must_use]
    pub const fn fingerprint(self) -> ShortFingerprint {
        ShortFingerprint::from_bits(self.0)
    }

    /// Where the content was stored.
    #[must_use]
    pub const fn location(self) -> Mapped {
        let location = (self.0 >> SHORT_BITS) as u64;
        Mapped { pbn: Pbn(location & PBN_MASK), state: MappingState::from_bits((location >> PBN_BITS) as u8) }
    }

    /// Whether the record names a place that can hold content.
    fn is_valid(self) -> bool {
        let Mapped { pbn, state } = self.location();
        pbn != Pbn::ZERO && state != MappingState::Unmapped
    }

    /// The sort key of records: partition, then fingerprint.
    const fn order(self) -> u128 {
        let fingerprint = self.fingerprint();
        (fingerprint.first_byte() as u128) << SHORT_BITS | fingerprint.to_bits()
    }
}

/// Why bytes are not a section of the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SectionError {
    /// The section is longer than the bytes given.
    #[error("an index section of {pages} pages does not fit {bytes} bytes")]
    Size {
        /// Pages that the section claims to have.
        pages: u16,
        /// Bytes given.
        bytes: usize,
    },
    /// A page is damaged, or belongs to another volume.
    #[error("page {0} of an index section is damaged or of another volume")]
    Damaged(u16),
    /// A page belongs to another section or place, or its counts are impossible.
    #[error("the head of page {0} of an index section does not fit its place")]
    Head(u16),
    /// A record names no place that can hold content, or is out of order.
    #[error("record {record} of page {page} of an index section is invalid")]
    Record {
        /// The page's number in the section.
        page: u16,
        /// The record's number in the page.
        record: u16,
    },
}

/// The check code of an index page: CRC32C of nonce and content.
pub(crate) fn check_code(nonce: u64, content: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&nonce.to_le_bytes());
    digest.update(content);
    // CRC32C has 32 bits; the library returns them in 64.
    digest.finalize() as u32
}

/// Sorts records, given in the order in which they were made, and encodes a section of them. Of several records with
/// one fingerprint the last counts.
///
/// # Panics
/// If there are no records, or more than [`SECTION_RECORDS`].
pub fn encode(nonce: u64, sequence: u32, records: &mut Vec<SectionRecord>) -> Vec<u8> {
    assert!((1..=SECTION_RECORDS).contains(&records.len()), "a section cannot have {} records", records.len());
    // The sort is stable, so that the last of equals is the newest.
    records.sort_by_key(|record| record.order());
    records.dedup_by(|later, earlier| {
        let same = later.fingerprint() == earlier.fingerprint();
        if same {
            *earlier = *later;
        }
        same
    });
    let pages = records.len().div_ceil(RECORDS_PER_PAGE);
    let mut image = vec![0; pages * PAGE_BYTES];
    let parts = image.as_chunks_mut::<PAGE_BYTES>().0.iter_mut().zip(records.chunks(RECORDS_PER_PAGE));
    for (number, (page, records)) in parts.enumerate() {
        encode_page(nonce, sequence, [number as u16, pages as u16], records, page);
    }
    image
}

fn encode_page(nonce: u64, sequence: u32, place: [u16; 2], records: &[SectionRecord], page: &mut [u8; PAGE_BYTES]) {
    let partition = |record: Option<&SectionRecord>| record.map_or(0, |record| record.fingerprint().first_byte());
    let [number, pages] = place;
    let mut writer = FieldWriter::new(&mut page[..]);
    writer.skip(4).u16(number).u16(pages).u16(records.len() as u16);
    writer.u8(partition(records.first())).u8(partition(records.last())).u32(sequence);
    for record in records {
        writer.bytes(&record.0.to_le_bytes());
    }
    let code = check_code(nonce, &page[4..]);
    page[..4].copy_from_slice(&code.to_le_bytes());
}

/// A page whose head is valid.
#[derive(Debug, Clone, Copy)]
struct Page<'a> {
    pages: u16,
    partitions: (u8, u8),
    sequence: u32,
    records: &'a [[u8; RECORD_BYTES]],
}

impl<'a> Page<'a> {
    fn read(bytes: &'a [u8; PAGE_BYTES], number: u16) -> Result<Page<'a>, SectionError> {
        Page::fields(bytes, number).ok().flatten().ok_or(SectionError::Head(number))
    }

    fn fields(bytes: &'a [u8; PAGE_BYTES], number: u16) -> Result<Option<Page<'a>>, Truncated> {
        let mut reader = FieldReader::new(bytes);
        reader.skip(4)?;
        let [stored, pages, count] = [reader.u16()?, reader.u16()?, reader.u16()?];
        let partitions = (reader.u8()?, reader.u8()?);
        let sequence = reader.u32()?;
        let (records, _) = bytes[HEAD_BYTES..].as_chunks();
        let records = records.get(..usize::from(count)).filter(|records| !records.is_empty());
        let placed = stored == number && number < pages && usize::from(pages) <= SECTION_PAGES;
        Ok(records.filter(|_| placed).map(|records| Page { pages, partitions, sequence, records }))
    }

    fn records(self) -> impl DoubleEndedIterator<Item = SectionRecord> + use<'a> {
        self.records.iter().map(|bytes| SectionRecord(u128::from_le_bytes(*bytes)))
    }
}

/// A section that was read and checked.
#[derive(Debug, Clone, Copy)]
pub struct Section<'a> {
    pages: &'a [[u8; PAGE_BYTES]],
    sequence: u32,
    partitions: (u8, u8),
}

impl<'a> Section<'a> {
    /// Checks the bytes of a section; further bytes may follow them.
    ///
    /// # Errors
    /// The first defect found.
    pub fn decode(nonce: u64, bytes: &'a [u8]) -> Result<Section<'a>, SectionError> {
        let (all, _) = bytes.as_chunks::<PAGE_BYTES>();
        let first = all.first().ok_or(SectionError::Size { pages: 1, bytes: bytes.len() })?;
        check(nonce, first, 0)?;
        let Page { pages, sequence, mut partitions, .. } = Page::read(first, 0)?;
        let all = all.get(..usize::from(pages)).ok_or(SectionError::Size { pages, bytes: bytes.len() })?;
        let mut least = None;
        for (number, bytes) in (0..).zip(all) {
            check(nonce, bytes, number)?;
            let page = Page::read(bytes, number)?;
            if (page.pages, page.sequence) != (pages, sequence) || page.partitions != ends(page) {
                return Err(SectionError::Head(number));
            }
            for (at, record) in (0..).zip(page.records()) {
                if !record.is_valid() || least >= Some(record.order()) {
                    return Err(SectionError::Record { page: number, record: at });
                }
                least = Some(record.order());
            }
            partitions.1 = page.partitions.1;
        }
        Ok(Section { pages: all, sequence, partitions })
    }

    /// The sequence number that the writer gave the section.
    #[must_use]
    pub const fn sequence(&self) -> u32 {
        self.sequence
    }

    /// The range from the first record's partition to the last record's.
    #[must_use]
    pub const fn partitions(&self) -> RangeInclusive<u8> {
        self.partitions.0..=self.partitions.1
    }

    /// The records of a range of partitions, in order.
    pub fn records(&self, partitions: RangeInclusive<u8>) -> impl Iterator<Item = SectionRecord> + use<'a> {
        let (first, last) = partitions.into_inner();
        let pages = (0..).zip(self.pages).filter_map(|(number, bytes)| Page::read(bytes, number).ok());
        pages
            .filter(move |page| page.partitions.0 <= last && page.partitions.1 >= first)
            .flat_map(Page::records)
            .filter(move |record| (first..=last).contains(&record.fingerprint().first_byte()))
    }
}

fn check(nonce: u64, page: &[u8; PAGE_BYTES], number: u16) -> Result<(), SectionError> {
    let (code, content) = page.split_first_chunk().ok_or(SectionError::Damaged(number))?;
    let good = u32::from_le_bytes(*code) == check_code(nonce, content);
    good.then_some(()).ok_or(SectionError::Damaged(number))
}

/// The partitions of a page's first and last record.
fn ends(page: Page<'_>) -> (u8, u8) {
    let partition = |record: Option<SectionRecord>| record.map_or(0, |record| record.fingerprint().first_byte());
    (partition(page.records().next()), partition(page.records().next_back()))
}

#[cfg(test)]
mod tests;
