// SPDX-License-Identifier: BSD-3-Clause

//! Joins the decrements of a range operation into runs.
//!
//! Blocks that were written in sequence lie in sequence on each shard, so the old blocks of a range form a few runs per
//! physical shard even though they alternate between shards. With one open run per shard, one pass finds them all.
//! Invariant: a run lies in one slab, hence in one physical zone.

use crate::context::Context;
use crate::env::Env;
use crate::format::journal_record::PbnRun;
use crate::format::Geometry;
use crate::units::{Pbn, ENTRIES_PER_LEAF_PAGE};

/// The open run of each physical shard.
#[derive(Debug)]
pub struct RunCollector {
    runs: Vec<Option<PbnRun>>,
}

impl RunCollector {
    /// A collector without open runs.
    pub fn new(geometry: &Geometry) -> RunCollector {
        RunCollector { runs: vec![None; geometry.shards()] }
    }

    /// Whether the message ring to every other shard has room for the decrements of a whole leaf page.
    pub fn has_room<E: Env>(&self, cx: &Context<'_, E>) -> bool {
        let needed = ENTRIES_PER_LEAF_PAGE as usize;
        cx.geometry.shard_ids().filter(|&shard| shard != cx.id).all(|shard| cx.env.send_room(shard) >= needed)
    }

    /// Adds a block; a run that the block ends goes to `out`. A block outside all slabs becomes a run of its own: the
    /// receiver reports what is wrong with it.
    pub fn add(&mut self, geometry: &Geometry, pbn: Pbn, out: &mut Vec<PbnRun>) {
        let Some(slab) = geometry.slab_of(pbn) else {
            out.push(PbnRun { first: pbn, count: 1 });
            return;
        };
        let run = &mut self.runs[geometry.shard_of_slab(slab).index()];
        if let Some(open) = run {
            if open.first.plus(u64::from(open.count)) == pbn && geometry.slab_of(open.first) == Some(slab) {
                open.count += 1;
                return;
            }
        }
        out.extend(run.replace(PbnRun { first: pbn, count: 1 }));
    }

    /// Ends all runs.
    pub fn finish(&mut self, out: &mut Vec<PbnRun>) {
        out.extend(self.runs.iter_mut().filter_map(Option::take));
    }
}
