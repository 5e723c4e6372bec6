// SPDX-License-Identifier: BSD-3-Clause

//! What an operator, or the host on his behalf, does to a shard: coming to rest, saving, growing, ending writes.
//!
//! A host that stops a volume first offers no more pieces and waits until every shard is idle and all mail is
//! delivered; then it calls [`Shard::save`] on each, waits for [`Shard::is_saved`], and calls [`Shard::quiesce`]. What is on
//! media then needs no recovery. [`Shard::resume`] goes back to normal operation.

use super::Shard;
use crate::context::Context;
use crate::env::{Env, ReadOnlyReason};
use crate::format::slab_summary::SlabSummary;
use crate::format::Geometry;

impl<E: Env> Shard<E> {
    /// Why the shard takes no writes any more, if that is so.
    #[must_use]
    pub fn read_only(&self) -> Option<ReadOnlyReason> {
        self.read_only
    }

    /// Ends writing, here and in every other shard. Requests under way that change the volume fail; reads go on.
    pub fn enter_read_only(&mut self, env: &mut E, reason: ReadOnlyReason) {
        let (mut cx, ..) = split!(self, env);
        cx.enter_read_only(reason);
    }

    /// Lets sweeps go on, or stop between two pages: stopped, they do not keep the shard from coming to rest.
    pub fn set_sweeping(&mut self, sweeping: bool) {
        self.logical.set_sweeping(sweeping);
    }

    /// Ends all sweeps between two pages: the volume is taken out of service.
    pub fn abort_sweeps(&mut self) {
        self.logical.abort_sweeps();
    }

    /// Begins to write all metadata that is newer in memory than on media. To be called while all shards are idle.
    pub fn save(&mut self) {
        self.logical.map_mut().begin_save();
        self.physical.begin_save();
    }

    /// True when media hold all metadata and no transfer is under way, nor a section of the index. A read-only shard
    /// saves nothing, and is saved as soon as its transfers have ended.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        let clean = self.read_only.is_some() || (self.logical.map().is_clean() && self.physical.is_clean());
        self.is_idle() && clean && self.metadata.is_idle() && self.hash.is_answered()
    }

    /// All shards are saved: until [`Shard::resume`] no metadata may be read or written.
    ///
    /// # Panics
    /// If this shard is not saved; and later, if it begins a transfer of metadata all the same: what the host has recorded of
    /// the volume would not be true any more.
    pub fn quiesce(&mut self) {
        assert!(self.is_saved(), "shard {:?} is to rest and is not saved", self.id);
        self.metadata.set_quiescent(true);
    }

    /// Goes back to normal operation after [`Shard::save`].
    pub fn resume(&mut self) {
        self.metadata.set_quiescent(false);
        self.physical.resume();
    }

    /// Takes the outcome of [`Env::erase_segment`]: the generation that the log has now.
    pub fn segment_erased(&mut self, env: &mut E, segment: u32, result: Result<u64, ()>) {
        self.journal.segment_erased(segment, result);
        if result.is_err() {
            self.enter_read_only(env, ReadOnlyReason::EraseFailed);
        }
    }

    /// Takes a new layout: a larger logical size, more slabs, or both. `summaries` are those of the shard's new slabs,
    /// in order. To be called while all shards are idle, for all of them before any takes requests again.
    pub fn grow(&mut self, geometry: Geometry, summaries: Vec<SlabSummary>) {
        assert_eq!(geometry.shards(), self.geometry.shards(), "a running volume keeps its shards");
        self.geometry = geometry;
        self.logical.map_mut().set_geometry(&geometry);
        self.physical.add_slabs(&geometry, summaries);
    }

    /// Changes the number of block-map pages that the shard keeps in memory, online.
    pub fn set_map_pages(&mut self, pages: usize) {
        self.logical.map_mut().set_capacity(pages);
    }

    /// Changes the percent of the blocks that are kept until the operator releases them, online; none releases them.
    pub fn set_reserve(&mut self, percent: u8) {
        self.physical.set_reserve(percent);
    }

    /// Turns compression of new data on or off, online. Fragments that wait for company are written, and what is stored
    /// compressed stays so.
    pub fn set_compression(&mut self, enabled: bool) {
        self.hash.set_compression(enabled);
    }
}
