// SPDX-License-Identifier: BSD-3-Clause

//! What the host tells a shard about the index: the outcomes of what was asked of it, and the operator's wishes.
//!
//! A section that [`crate::Env::append_section`] has handed over is either dropped or ends in a chapter. Each shard has
//! chapters of its own, which are closed in the order in which they were filled. None of these calls can fail a request:
//! the index is advice, and what is wrong with it costs savings.

use super::Shard;
use crate::context::Context;
use crate::env::Env;
use crate::format::index_section::SectionAt;

impl<E: Env> Shard<E> {
    /// True when [`crate::ShardConfig::index_image`] was given and taken. If not, the index has begun empty, and the
    /// host gives it the sections of closed chapters, newest first, by [`Shard::refill`].
    #[must_use]
    pub fn index_restored(&self) -> bool {
        self.hash.index_restored()
    }

    /// The section handed over last was not taken; to be called before the shard runs again, once for each.
    pub fn section_dropped(&mut self) {
        if let Some(history) = self.hash.history() {
            history.section_dropped();
        }
    }

    /// The oldest `sections` sections that were handed over and not dropped are sections 0, 1 and so on of `chapter`,
    /// which is closed: from now on they can be read.
    pub fn chapter_closed(&mut self, chapter: u32, sections: u16) {
        if let Some(history) = self.hash.history() {
            history.chapter_closed(chapter, sections);
        }
    }

    /// The chapter that holds the oldest `sections` sections that were handed over and not dropped could not be written.
    pub fn chapter_lost(&mut self, sections: u16) {
        if let Some(history) = self.hash.history() {
            history.chapter_lost(sections);
        }
    }

    /// Takes the outcome of [`Env::read_section`]. Any bytes do: what is no section of this volume counts as an error.
    pub fn section_read(&mut self, env: &mut E, at: SectionAt, result: Result<&[u8], ()>) {
        let (mut cx, _, hash, _) = split!(self, env);
        hash.section_read(&mut cx, at, result);
    }

    /// Takes a section of a closed chapter, after a start; whichever shard had written it, this one takes the records that
    /// are its own. Newest first: a record never takes the place of one that the index has.
    pub fn refill(&mut self, at: SectionAt, image: &[u8]) {
        self.hash.refill(at, image);
    }

    /// Chapters before `oldest` are no more. What is being read of them may still come.
    pub fn forget_chapters(&mut self, oldest: u32) {
        if let Some(history) = self.hash.history() {
            history.forget_before(oldest);
        }
    }

    /// Records that do not fill a section yet.
    pub fn open_records(&mut self) -> u64 {
        self.hash.history().map_or(0, |history| history.open_records())
    }

    /// Takes the records that do not fill a section yet, for the host to append before it closes the last chapter; none
    /// when there are none. To be called while the shard is idle.
    pub fn seal_section(&mut self) -> Option<Vec<u8>> {
        self.hash.history()?.seal()
    }

    /// The level-1 index as [`crate::ShardConfig::index_image`] takes it: pieces of at most 1 MiB, one behind the other.
    /// To be called while the shard is idle.
    pub fn save_index(&mut self) -> impl Iterator<Item = Vec<u8>> + use<'_, E> {
        self.hash.save_index()
    }

    /// Turns deduplication against stored data on or off. While it is off the index is neither asked nor
    /// told, and keeps what it has; equal blocks in flight still share.
    pub fn set_deduplication(&mut self, enabled: bool) {
        self.hash.set_deduplication(enabled);
    }

    /// Forgets every record and every section. The host deletes all chapters, those not closed yet included.
    pub fn clear_index(&mut self) {
        self.hash.clear_index();
    }

    /// Changes the size of this shard's part of level 1, online.
    pub fn resize_index(&mut self, bytes: usize) {
        self.hash.resize_index(bytes);
    }
}
