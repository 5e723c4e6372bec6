// SPDX-License-Identifier: BSD-3-Clause

//! What outlives a life: the model, and what is known of the volume as a whole.

use std::cell::RefCell;
use std::rc::Rc;

use crate::pool_sim::pool_model::Possible;
use crate::sim::chapters::Chapters;
use crate::sim::model::Model;
use crate::sim::workload::Workload;

/// What is known, over all lives of a seed.
#[derive(Debug, Clone)]
pub struct Known {
    /// What each sector may contain.
    pub model: Model,
    /// The time of the model's last event.
    pub now: u32,
    /// The load, which knows the values that it has written.
    pub workload: Workload,
    /// The history of the index.
    pub chapters: Option<Chapters>,
    /// The volume exists.
    pub exists: Possible<bool>,
    /// Number of slabs.
    pub slabs: Possible<u64>,
    /// Blocks that clients see.
    pub logical_blocks: Possible<u64>,
    /// Operations fail in this life.
    pub faulty: bool,
    /// What is wrong; the first such thing.
    pub failure: Option<String>,
    /// Client requests so far.
    pub requests: u64,
    /// Loads of a volume that was not saved.
    pub recoveries: u64,
    /// Rebuilds of a read-only volume.
    pub rebuilds: u64,
    /// Checks of a saved volume.
    pub checks: u64,
    /// Compressed blocks written anew for overwrites of their fragments.
    pub swaps: u64,
    /// Lives that ended while such blocks were on their way.
    pub swaps_cut: u64,
    /// Blocks that the volume has stored in another place.
    pub relocations: u64,
}

/// All users of a life share it.
pub type Shared = Rc<RefCell<Known>>;

impl Known {
    /// Nothing exists yet.
    #[must_use]
    pub fn new(seed: u64, slabs: u64, logical_blocks: u64) -> Known {
        Known {
            model: Model::new(logical_blocks),
            now: 1,
            workload: Workload::new(seed),
            chapters: None,
            exists: Possible::known(false),
            slabs: Possible::known(slabs),
            logical_blocks: Possible::known(logical_blocks),
            faulty: false,
            failure: None,
            requests: 0,
            recoveries: 0,
            rebuilds: 0,
            checks: 0,
            swaps: 0,
            swaps_cut: 0,
            relocations: 0,
        }
    }

    /// The life is over, with the power or the process: what is not known now is what was under way.
    pub fn crash(&mut self) {
        self.now += 1;
        self.model.crash(self.now);
    }
}
