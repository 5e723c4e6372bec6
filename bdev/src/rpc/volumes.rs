// SPDX-License-Identifier: BSD-3-Clause

//! The methods for volumes.

use std::sync::Arc;

use engine::volume::check::CheckReport;
use engine::volume::inventory::config::MAX_RESERVE_PERCENT;
use engine::volume::rebuild::RebuildReport;

use super::dump::{self, Dump};
use super::get_stats::{self, Gathered};
use super::method::{methods, Answer, Done};
use crate::params::{
    flag, number, one_of, percent, switch, BLOCK_MAP_CACHE, INDEX, LOGICAL, NEW_VOLUME, PHYSICAL, VOLUME,
};
use crate::spdk::json::Writer;
use crate::volume::administration::find;
use crate::volume::create_params::CreateParams;
use crate::volume::load_params::{IndexAction, LoadParams};
use crate::volume::storage::End;
use crate::volume::{create, load, offline, rebuild, Volume};

/// Entries of each list of a dump, at most: so many are written by a shard in well under a millisecond.
const MAX_DUMP_ENTRIES: u64 = 256;

methods! {
    /// Create a deduplicating bdev in a media pool, or on another bdev, which becomes a pool.
    fn bdev_dedupe_create(_, params: CreateParams) -> Arc<Volume> {
        create::create(params).await?
    }

    /// Delete a deduplicating bdev with its content, loaded or not, and its pool if that was made for it; returns when it is
    /// gone.
    fn bdev_dedupe_delete(
        _,
        name: String = VOLUME,
        /// Even if somebody has it open or claimed.
        force: bool = flag().letter('f'),
    ) -> Done {
        offline::delete(&name, force).await?;
    }

    /// Show the counters of one deduplicating bdev, or of all: in total and by shard.
    fn bdev_dedupe_get_stats(_, name: Option<String> = VOLUME.letter('n').or("all")) -> Gathered {
        get_stats::gather(name).await?
    }

    /// Show what a deduplicating bdev holds now, and who waits for what, by shard.
    ///
    /// This is for the question why a request does not get done. It shows for each shard the blocks of requests under way
    /// (`vios`) by stage, hash locks (state, beginning of the hash, agent, members and waiters), PBN locks (kind, holders,
    /// references that may be added and are leased), slabs (status, priority, free blocks, head and tail of the journal, who
    /// waits for what), the scrubber, the recovery journal and transfers. Of each list it has the `total` and at most
    /// `max_entries`, and it changes nothing.
    fn bdev_dedupe_dump(
        _,
        name: String = VOLUME,
        /// Entries of each list.
        max_entries: usize = number(0, MAX_DUMP_ENTRIES).letter('m').or_number(32),
        /// Show the slabs from this number on.
        first_slab: Option<u64> = number(0, u64::MAX).letter('s').or("those at which something goes on"),
    ) -> Dump {
        dump::take(&name, max_entries, first_slab).await?
    }

    /// Bring a deduplicating bdev that was unloaded back into service.
    fn bdev_dedupe_load(_, params: LoadParams) -> Arc<Volume> {
        load::load(params).await?
    }

    /// Save a deduplicating bdev and take it out of service; its content stays in its pool.
    fn bdev_dedupe_unload(_, name: String = VOLUME) -> Done {
        find(&name)?.remove(End::Keep).await?;
    }

    /// Give a deduplicating bdev that is not loaded another name.
    ///
    /// So a bdev whose name is taken, for instance one of an imported copy, can be loaded beside the other.
    fn bdev_dedupe_rename(
        _,
        /// Name or UUID of the dedupe bdev, or `POOL/NAME`.
        name: String = VOLUME,
        /// Its name from now on.
        new_name: String = NEW_VOLUME,
    ) -> Done {
        offline::rename(&name, &new_name).await?;
    }

    /// Let the requests to a deduplicating bdev wait until it is resumed, and save its metadata.
    fn bdev_dedupe_suspend(_, name: String = VOLUME) -> Done {
        find(&name)?.suspend().await?;
    }

    /// End the suspension of a deduplicating bdev.
    fn bdev_dedupe_resume(_, name: String = VOLUME) -> Done {
        find(&name)?.resume().await?;
    }

    /// Make the size that a deduplicating bdev shows larger while it is in use.
    fn bdev_dedupe_grow_logical(
        _,
        name: String = VOLUME,
        /// Its new size.
        logical_size_mib: u64 = LOGICAL,
    ) -> Done {
        find(&name)?.grow_logical(logical_size_mib).await?;
    }

    /// Give a deduplicating bdev more room for data while it is in use.
    ///
    /// What the bdevs below have grown by is taken in first.
    fn bdev_dedupe_grow_physical(
        _,
        name: String = VOLUME,
        /// Its new room for data.
        physical_size_mib: Option<u64> = PHYSICAL.letter('P').or("what its pool has"),
    ) -> RoomMib {
        RoomMib(find(&name)?.grow_physical(physical_size_mib).await?)
    }

    /// Create, close, disable or enable a deduplicating bdev's index while it is in use.
    ///
    /// Whether look-ups are enabled is kept.
    fn bdev_dedupe_set_index(
        _,
        name: String = VOLUME,
        /// create: a new, empty one; close: none, until it is opened again; disable: no look-ups; enable: look-ups, and it is
        /// opened.
        action: IndexAction = one_of(IndexAction::NAMES),
    ) -> Done {
        find(&name)?.set_index(action).await?;
    }

    /// Change the size of a deduplicating bdev's index while it is in use.
    ///
    /// Records move over as it is used.
    fn bdev_dedupe_set_index_memory(
        _,
        name: String = VOLUME,
        /// Memory for the index.
        index_memory_mib: u64 = INDEX,
    ) -> Done {
        find(&name)?.set_index_memory(index_memory_mib).await?;
    }

    /// Turn compression of a deduplicating bdev on or off while it is in use, which is kept.
    fn bdev_dedupe_set_compression(
        _,
        name: String = VOLUME,
        /// Whether what is written from now on is compressed.
        enabled: bool = switch(),
    ) -> Done {
        find(&name)?.set_compression(enabled).await?;
    }

    /// Change how much room for data of a deduplicating bdev is kept while it is full; 0 releases it.
    ///
    /// Released, new data may take it, so that a file system gets through whose journal was never written. It is kept.
    fn bdev_dedupe_set_reserve(
        _,
        name: String = VOLUME,
        /// Share of the room for data.
        percent: u8 = percent(MAX_RESERVE_PERCENT as u64),
    ) -> Done {
        find(&name)?.set_reserve(percent).await?;
    }

    /// Change the size of the cache of a deduplicating bdev's block map while it is in use.
    fn bdev_dedupe_set_block_map_cache(
        _,
        name: String = VOLUME,
        /// Memory for the cache.
        block_map_cache_mib: u64 = BLOCK_MAP_CACHE,
    ) -> Done {
        find(&name)?.set_block_map_cache(block_map_cache_mib).await?;
    }

    /// End writing to a deduplicating bdev; only bdev_dedupe_rebuild undoes that.
    fn bdev_dedupe_set_read_only(_, name: String = VOLUME) -> Done {
        find(&name)?.set_read_only().await?;
    }

    /// Recount the references of a deduplicating bdev, loaded or not, and show what is wrong.
    ///
    /// Requests to a loaded one wait meanwhile, unless it is read-only.
    fn bdev_dedupe_check(_, name: String = VOLUME) -> CheckReport {
        offline::check(&name).await?
    }

    /// Make a read-only or damaged deduplicating bdev usable again, load it, and show what was lost.
    fn bdev_dedupe_rebuild(_, name: String = VOLUME) -> RebuildReport {
        rebuild::rebuild(&name).await?
    }
}

impl Answer for Arc<Volume> {
    const WORDS: &'static str = "the name";
    const TYPE: &'static str = "string";

    fn write(&self, writer: &mut Writer) {
        writer.string(self.name());
    }
}

/// Room for data.
struct RoomMib(u64);

impl Answer for RoomMib {
    const WORDS: &'static str = "its room for data in MiB";
    const TYPE: &'static str = "uint64";

    fn write(&self, writer: &mut Writer) {
        writer.number(self.0);
    }
}
