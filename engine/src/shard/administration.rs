// SPDX-License-Identifier: BSD-3-Clause

//! Administration of a shard by the operator or the host: quiescing, saving, growing, entering read-only mode.
//!
//! To stop a volume, a host first offers no more pieces and waits until every shard is idle and all messages are
//! delivered; then it calls [`Shard::save`] on each, waits for [`Shard::is_saved`], and calls [`Shard::quiesce`]. After
//! that the media need no recovery. [`Shard::resume`] returns to normal operation.

use super::Shard;
use crate::context::Context;
use crate::env::{Env, ReadOnlyReason};
use crate::format::slab_summary::SlabSummary;
use crate::format::Geometry;

impl<E: Env> Shard<E> {
    /// Why the shard is read-only; `None` while it takes writes.
    #[must_use]
    pub fn read_only(&self) -> Option<ReadOnlyReason> {
        self.read_only
    }

    /// Makes the volume read-only, in this and every other shard. Requests in flight that change the volume fail; reads
    /// go on.
    pub fn enter_read_only(&mut self, env: &mut E, reason: ReadOnlyReason) {
        let (mut cx, ..) = split!(self, env);
        cx.enter_read_only(reason);
    }

    /// Continues sweeps, or suspends them between two pages: suspended sweeps do not keep the shard from being idle.
    pub fn set_sweeping(&mut self, sweeping: bool) {
        self.logical.set_sweeping(sweeping);
    }

    /// Aborts all sweeps between two pages, because the volume is taken out of service.
    pub fn abort_sweeps(&mut self) {
        self.logical.abort_sweeps();
    }

    /// Starts to write all metadata that is newer in memory than on media. To be called while all shards are idle.
    pub fn save(&mut self) {
        self.logical.map_mut().begin_save();
        self.physical.begin_save();
    }

    /// True when media hold all metadata and no transfer and no read of an index section is in flight. A read-only
    /// shard saves nothing, and counts as saved as soon as its transfers have ended.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        let clean = self.read_only.is_some() || (self.logical.map().is_clean() && self.physical.is_clean());
        self.is_idle() && clean && self.metadata.is_idle() && self.hash.is_answered()
    }

    /// All shards are saved: no metadata may be read or written until [`Shard::resume`].
    ///
    /// # Panics
    /// If this shard is not saved; and later, if it starts a metadata transfer nevertheless: the state that the host
    /// has recorded for the volume would no longer be true.
    pub fn quiesce(&mut self) {
        assert!(self.is_saved(), "shard {:?} is to rest and is not saved", self.id);
        self.metadata.set_quiescent(true);
    }

    /// Returns to normal operation after [`Shard::save`].
    pub fn resume(&mut self) {
        self.metadata.set_quiescent(false);
        self.physical.resume();
    }

    /// Takes the result of [`Env::erase_segment`]: the log's new generation.
    pub fn segment_erased(&mut self, env: &mut E, segment: u32, result: Result<u64, ()>) {
        self.journal.segment_erased(segment, result);
        if result.is_err() {
            self.enter_read_only(env, ReadOnlyReason::EraseFailed);
        }
    }

    /// Takes a new layout: a larger logical size, more slabs, or both. `summaries` are those of the shard's new slabs,
    /// in order. To be called while all shards are idle, for all shards before any of them takes requests again.
    pub fn grow(&mut self, geometry: Geometry, summaries: Vec<SlabSummary>) {
        assert_eq!(geometry.shards(), self.geometry.shards(), "a running volume keeps its shards");
        self.geometry = geometry;
        self.logical.map_mut().set_geometry(&geometry);
        self.physical.add_slabs(&geometry, summaries);
    }

    /// Changes the number of block-map pages that the shard caches, online.
    pub fn set_map_pages(&mut self, pages: usize) {
        self.logical.map_mut().set_capacity(pages);
    }

    /// Changes, online, the percentage of blocks reserved until the operator releases them; 0 releases them.
    pub fn set_reserve(&mut self, percent: u8) {
        self.physical.set_reserve(percent);
    }

    /// Turns compression of new data on or off, online. Turning it off writes the parked fragments; data that is stored
    /// compressed stays so.
    pub fn set_compression(&mut self, enabled: bool) {
        self.hash.set_compression(enabled);
    }
}
