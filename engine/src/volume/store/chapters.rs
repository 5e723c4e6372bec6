// SPDX-License-Identifier: BSD-3-Clause

//! Closed chapters of the index's history: mblocks with consecutive sections, each a whole number of pages.
//!
//! A chapter is written, recorded and then committed. If the power is cut before the commit, its record names nothing
//! and is ignored, and the log from which it was copied still exists. A deletion deletes the mblock first, then the
//! record: a record without its mblock does no harm, an mblock without a record would never be found again.
//!
//! The store does not know the content of a section ([`crate::format::index_section`]).

use std::rc::Rc;

use mpool::cache::{Advice, Attachment, Temperature};
use mpool::device::IoBuf;
use mpool::error::{Kind, Result};
use mpool::ids::PAGE_BYTES;
use mpool::{MediaClass, ObjectId, Pool, Search};

use super::VolumeStore;
use crate::volume::inventory::{ChapterEntry, InventoryRecord};

/// Bytes read at once when a whole chapter is read.
const PIECE_BYTES: usize = 1 << 20;

/// A closed chapter that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chapter {
    /// Its number; newer chapters have larger numbers.
    pub number: u64,
    /// The mblock with its sections.
    pub object: ObjectId,
    /// The number of sections.
    pub sections: u32,
    /// Bytes written to the mblock.
    pub bytes: u64,
}

/// Random access to a chapter, through the pool's cache.
#[derive(Debug)]
pub struct ChapterReader {
    attachment: Attachment,
    start: u64,
}

impl VolumeStore {
    /// The chapters that exist, oldest first.
    #[must_use]
    pub fn chapters(&self) -> Vec<Chapter> {
        let known = self.ledger.contents().chapters.clone();
        known.into_iter().filter_map(|entry| self.chapter(entry)).collect()
    }

    fn chapter(&self, ChapterEntry { number, object, sections }: ChapterEntry) -> Option<Chapter> {
        self.pool.find(object, Search::Committed).ok()?;
        let bytes = self.pool.mblock_props(object).ok()?.written_bytes;
        Some(Chapter { number, object, sections, bytes })
    }

    /// Removes the records of chapters whose mblocks do not exist.
    ///
    /// # Errors
    /// Io.
    pub async fn forget_missing_chapters(&self) -> Result<()> {
        let there = self.chapters();
        let mut missing = self.ledger.contents().chapters.clone();
        missing.retain(|entry| there.iter().all(|chapter| chapter.number != entry.number));
        let records: Vec<_> = missing.iter().map(|entry| InventoryRecord::ChapterGone(entry.number)).collect();
        match records.is_empty() {
            true => Ok(()),
            false => self.ledger.append(records).await,
        }
    }

    /// Writes, records and commits a chapter of the given sections.
    ///
    /// # Errors
    /// NoSpace. Invalid: not whole pages, more than an mblock holds, or no larger number than all before. Io. Then
    /// nothing is left but a record that the next [`VolumeStore::forget_missing_chapters`] removes.
    pub async fn add_chapter(&self, number: u64, sections: &[Rc<[u8]>]) -> Result<Chapter> {
        let object = self.pool.mblock_alloc(MediaClass::Capacity, false).await?.id;
        // Far fewer than 2^32 pages fit a zone.
        let entry = ChapterEntry { number, object, sections: sections.len() as u32 };
        let made = async {
            write(&self.pool, object, sections.iter().map(|section| &section[..])).await?;
            self.ledger.append(vec![InventoryRecord::Chapter(entry)]).await?;
            self.pool.mblock_commit(object).await
        };
        if let Err(error) = made.await {
            // Report the first failure. An uncommitted mblock vanishes at the latest when the pool is activated.
            let _ = self.pool.mblock_abort(object).await;
            return Err(error);
        }
        let gone = || self.ledger.refuse(Kind::NotFound, format!("its chapter {number} is gone"));
        self.chapter(entry).ok_or_else(gone)
    }

    /// Deletes the mblock and the record of a chapter.
    ///
    /// # Errors
    /// Busy: a reader of it is open. Io.
    pub async fn delete_chapter(&self, chapter: &Chapter) -> Result<()> {
        if self.pool.find(chapter.object, Search::Committed).is_ok() {
            self.pool.mblock_delete(chapter.object).await?;
        }
        self.ledger.append(vec![InventoryRecord::ChapterGone(chapter.number)]).await
    }

    /// Opens a chapter for random access.
    ///
    /// # Errors
    /// NotFound; NoSpace: too many maps are in use.
    pub fn open_chapter(&self, chapter: &Chapter) -> Result<ChapterReader> {
        let maps = self.pool.maps()?;
        let map = maps.create(&[chapter.object], Temperature::Warm)?;
        match maps.attach(map.offset, map.bytes) {
            Ok(attachment) => Ok(ChapterReader { attachment, start: map.offset }),
            Err(error) => {
                maps.destroy(map.offset);
                Err(error)
            }
        }
    }

    /// Reads a whole chapter, bypassing the pool's cache.
    ///
    /// # Errors
    /// Io.
    pub async fn read_chapter(&self, chapter: &Chapter) -> Result<Vec<u8>> {
        read(&self.pool, chapter.object, chapter.bytes).await
    }
}

impl ChapterReader {
    /// Reads `bytes` bytes from byte `offset` on. Readahead fetches the pages together.
    ///
    /// # Errors
    /// Invalid: the range is not in the chapter. NoMemory: the cache is exhausted. Io.
    pub async fn read(&self, offset: u64, bytes: usize) -> Result<Vec<u8>> {
        let at = self.start.saturating_add(offset);
        // Only advice: the next call reads what readahead did not.
        let _ = self.attachment.advise(at, bytes as u64, Advice::WillNeed);
        Ok(self.attachment.get(at, bytes).await?.to_vec())
    }

    /// Detaches from the cache, so that the chapter can be deleted.
    pub async fn close(self) {
        self.attachment.detach().await;
    }
}

/// Writes pieces to a new mblock, in transfers of its optimal size, padded to whole pages.
pub(super) async fn write(pool: &Pool, object: ObjectId, pieces: impl Iterator<Item = &[u8]>) -> Result<()> {
    let props = pool.mblock_props(object)?;
    let optimal = (props.optimal_write_bytes as usize).max(PAGE_BYTES);
    let unit = optimal * (PIECE_BYTES / optimal).max(1);
    let mut buf = pool.drive_of(props.class)?.allocate(unit)?;
    let mut filled = 0;
    for mut piece in pieces {
        while !piece.is_empty() {
            let (now, rest) = piece.split_at(piece.len().min(unit - filled));
            (*buf).as_mut()[filled..filled + now.len()].copy_from_slice(now);
            (filled, piece) = (filled + now.len(), rest);
            if filled == unit {
                buf = write_some(pool, object, buf, unit).await?;
                filled = 0;
            }
        }
    }
    if filled > 0 {
        let whole = filled.next_multiple_of(PAGE_BYTES);
        (*buf).as_mut()[filled..whole].fill(0);
        write_some(pool, object, buf, whole).await?;
    }
    Ok(())
}

async fn write_some(pool: &Pool, object: ObjectId, buf: IoBuf, bytes: usize) -> Result<IoBuf> {
    let (buf, written) = pool.mblock_write(object, buf, 0..bytes).await;
    written?;
    Ok(buf)
}

/// Reads the first `bytes` bytes of a committed mblock.
pub(super) async fn read(pool: &Pool, object: ObjectId, bytes: u64) -> Result<Vec<u8>> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut content = Vec::with_capacity(bytes);
    let class = pool.mblock_props(object)?.class;
    let mut buf = pool.drive_of(class)?.allocate(bytes.next_multiple_of(PAGE_BYTES).clamp(PAGE_BYTES, PIECE_BYTES))?;
    while content.len() < bytes {
        let wanted = (bytes - content.len()).min(PIECE_BYTES);
        let whole = wanted.next_multiple_of(PAGE_BYTES);
        let (read, outcome) = pool.mblock_read(object, content.len() as u64, buf, 0..whole).await;
        outcome?;
        content.extend_from_slice(&(*read).as_ref()[..wanted]);
        buf = read;
    }
    Ok(content)
}
