// SPDX-License-Identifier: BSD-3-Clause

//! Decrements of a range operation, joined into runs.
//!
//! What was written in sequence lies in sequence on each shard, so the old blocks of a range form a few runs for each
//! physical shard even though they alternate between shards. One open run for each shard finds them all in one pass.
//! Invariant: a run lies in one slab, hence in one physical zone.

use crate::context::Context;
use crate::env::Env;
use crate::units::{Pbn, ENTRIES_PER_LEAF_PAGE};
use crate::volume::Geometry;

/// A run of blocks that lose one reference each.
#[derive(Debug, Clone, Copy)]
struct OpenRun {
    first: Pbn,
    count: u32,
}

/// The open run of each physical shard.
#[derive(Debug)]
pub struct RangeDecrements {
    runs: Vec<Option<OpenRun>>,
}

impl RangeDecrements {
    /// No run open.
    pub fn new(geometry: &Geometry) -> RangeDecrements {
        RangeDecrements { runs: vec![None; geometry.shards()] }
    }

    /// Whether the mail to every other shard has room for the decrements of a whole leaf page.
    pub fn has_room<E: Env>(&self, cx: &Context<'_, E>) -> bool {
        let needed = ENTRIES_PER_LEAF_PAGE as usize;
        cx.geometry.shard_ids().filter(|&shard| shard != cx.id).all(|shard| cx.env.send_room(shard) >= needed)
    }

    /// Takes a reference of `pbn`, now or when its run ends.
    pub fn add<E: Env>(&mut self, cx: &mut Context<'_, E>, pbn: Pbn) {
        let Some(slab) = cx.geometry.slab_of(pbn) else {
            // The context reports what is wrong with such a block.
            return cx.decrement(pbn, 1);
        };
        let run = &mut self.runs[cx.geometry.shard_of_slab(slab).index()];
        if let Some(open) = run {
            if open.first.plus(u64::from(open.count)) == pbn && cx.geometry.slab_of(open.first) == Some(slab) {
                open.count += 1;
                return;
            }
        }
        if let Some(ended) = run.replace(OpenRun { first: pbn, count: 1 }) {
            cx.decrement(ended.first, ended.count);
        }
    }

    /// Ends all runs.
    pub fn finish<E: Env>(&mut self, cx: &mut Context<'_, E>) {
        for run in &mut self.runs {
            if let Some(ended) = run.take() {
                cx.decrement(ended.first, ended.count);
            }
        }
    }
}
