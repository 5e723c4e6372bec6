// SPDX-License-Identifier: BSD-3-Clause

//! The host's calls about the index: results of the shard's requests, and settings of the operator.
//!
//! A section that [`crate::Env::append_section`] has handed over is either dropped or ends up in a chapter. Each shard
//! has its own chapters, which are closed in the order in which they were filled. None of these calls can fail a
//! request: the index only gives advice, and its errors cost only savings.

use super::Shard;
use crate::context::Context;
use crate::env::Env;
use crate::format::index_section::SectionAt;

impl<E: Env> Shard<E> {
    /// The host has dropped the last section that was handed over; to be called once per dropped section, before the
    /// shard runs again.
    pub fn section_dropped(&mut self) {
        if let Some(history) = self.hash.history() {
            history.section_dropped();
        }
    }

    /// `chapter` is closed and holds, as its sections 0, 1 and so on, the oldest `sections` sections that were handed
    /// over and not dropped: from now on they can be read.
    pub fn chapter_closed(&mut self, chapter: u32, sections: u16) {
        if let Some(history) = self.hash.history() {
            history.chapter_closed(chapter, sections);
        }
    }

    /// The chapter with the oldest `sections` sections that were handed over and not dropped could not be written.
    pub fn chapter_lost(&mut self, sections: u16) {
        if let Some(history) = self.hash.history() {
            history.chapter_lost(sections);
        }
    }

    /// Takes the result of [`Env::read_section`]. Any bytes are allowed: an image that is no section of this volume
    /// counts as an error.
    pub fn section_read(&mut self, env: &mut E, at: SectionAt, result: Result<&[u8], ()>) {
        let (mut cx, _, hash, _) = split!(self, env);
        hash.section_read(&mut cx, at, result);
    }

    /// Adds memory to a new index, a quarter of a millisecond's worth; true while there is more to add. To be called
    /// before [`Shard::refill`], since a record without memory is dropped; what is updated adds it by and by.
    pub fn extend_index(&mut self) -> bool {
        self.hash.extend_index()
    }

    /// Takes a section of a closed chapter after a start, when the index is empty. Whichever shard wrote the section,
    /// this shard takes the records that it owns. Newest first: a record never replaces one that the index already has.
    pub fn refill(&mut self, at: SectionAt, image: &[u8]) {
        self.hash.refill(at, image);
    }

    /// Chapters before `oldest` are deleted. Reads of them that are in flight may still be answered.
    pub fn forget_chapters(&mut self, oldest: u32) {
        if let Some(history) = self.hash.history() {
            history.forget_before(oldest);
        }
    }

    /// Number of records that do not fill a section yet.
    pub fn open_records(&mut self) -> u64 {
        self.hash.history().map_or(0, |history| history.open_records())
    }

    /// Takes the records that do not fill a section yet, for the host to append before it closes the last chapter;
    /// `None` if there are none. To be called while the shard is idle.
    pub fn seal_section(&mut self) -> Option<Vec<u8>> {
        self.hash.history()?.seal()
    }

    /// Turns deduplication against stored data on or off. While it is off, the index is neither queried nor updated,
    /// and keeps its records; equal blocks in flight still share.
    pub fn set_deduplication(&mut self, enabled: bool) {
        self.hash.set_deduplication(enabled);
    }

    /// Discards every record and every section. The host deletes all chapters, including the open one.
    pub fn clear_index(&mut self) {
        self.hash.clear_index();
    }

    /// Changes the size of this shard's part of level 1 in bytes, online.
    pub fn resize_index(&mut self, bytes: usize) {
        self.hash.resize_index(bytes);
    }
}
