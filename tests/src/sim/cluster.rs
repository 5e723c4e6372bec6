// SPDX-License-Identifier: BSD-3-Clause

//! The shards of one volume on virtual reactors, in one thread, driven event by event.
//!
//! The driver decides what happens next: [`super::schedule`] draws it from the seed; a test holds back what it likes
//! and lets [`Cluster::settle`] do the rest. Between two events no shard runs.

mod index;

use std::collections::VecDeque;

use engine::fingerprint::{Fingerprint, Fingerprinter, SECRET_BYTES};
use engine::format::slab_summary::SlabSummary;
use engine::format::{Geometry, Mapping, PageId};
use engine::request::Sweep;
use engine::statistics::Statistics;
use engine::units::ENTRIES_PER_LEAF_PAGE;
use engine::{Lbn, Pbn, ReadOnlyReason, Shard, ShardBufs, ShardConfig, ShardId, BLOCK_SIZE};

use super::base::{secret, Base, Ending};
use super::chapters::Chapters;
use super::client::{Client, Request, RequestId};
use super::content;
use super::counts::DiskCounts;
use super::digest::Happening;
use super::disk::Disk;
use super::faults::Faults;
use super::layout::{placement, SEGMENT_BYTES};
use super::load::{format, summaries_of, Load};
use super::memory::Owner;
use super::sizes::Sizes;
use super::world::{trace, World};

/// One thing that can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The shard accepts the next piece that waits for it.
    Piece(ShardId),
    /// The next message of a channel arrives.
    Message(ShardId, ShardId),
    /// What is under way on the base by this number takes effect, without anybody being told.
    Apply(usize),
    /// What is under way on the base by this number ends, and takes effect now unless it already has.
    Finish(usize),
    /// The timer of a shard fires.
    Timer(ShardId),
    /// A shard runs.
    Run(ShardId),
    /// Of what is under way for the history of the index, the thing with this number happens.
    Index(usize),
}

/// The shards and their world.
#[derive(Debug)]
pub struct Cluster<D: Base = Disk> {
    /// Everything but the shards.
    pub world: World<D>,
    shards: Vec<Shard<World<D>>>,
    fingerprinter: Fingerprinter,
    load: Load,
    waiting: Vec<VecDeque<Client>>,
    /// Shards that have something to do, as far as is known.
    stale: Vec<bool>,
}

impl Cluster {
    /// An empty volume.
    #[must_use]
    pub fn new(geometry: Geometry, sizes: &Sizes, faults: Faults) -> Cluster {
        let placement = placement(geometry, sizes.segments);
        let mut disk = Disk::new(placement, SEGMENT_BYTES);
        format(&geometry, |place, block| disk.poke(place, block));
        let mut world = World::new(geometry, disk, faults);
        world.chapters = sizes.history.map(Chapters::new);
        Cluster::over(world, sizes, Load::of_new(&geometry, sizes), secret())
    }

    /// The volume, which was saved, loaded again by shards with these limits. All counters begin anew.
    #[must_use]
    pub fn restart(self, sizes: &Sizes) -> Cluster {
        let used = self.statistics();
        let used = (used.logical_blocks_used, used.block_map_pages);
        let World { geometry, mut disk, model, now, chapters, .. } = self.world;
        let mut erased = vec![0; disk.placement().segments.len()];
        for (segment, generation) in (0..).zip(&mut erased) {
            *generation = disk.erase(segment);
        }
        let read = |place| disk.peek(place, BLOCK_SIZE);
        let load = self.load.again(&geometry, used, read, &mut |segment| erased[segment as usize]);
        disk.counts = DiskCounts::default();
        let mut world = World::new(geometry, disk, Faults::none());
        (world.model, world.now) = (model, now);
        world.chapters = chapters.or_else(|| sizes.history.map(Chapters::new));
        Cluster::over(world, sizes, load, secret())
    }
}

impl<D: Base> Cluster<D> {
    /// The shards of a volume that was loaded.
    #[must_use]
    pub fn over(mut world: World<D>, sizes: &Sizes, load: Load, secret: [u8; SECRET_BYTES]) -> Cluster<D> {
        let geometry = world.geometry;
        let fingerprinter = match sizes.fingerprint_bits {
            Some(bits) => Fingerprinter::weakened(secret, bits),
            None => Fingerprinter::new(secret),
        };
        if let Some(chapters) = &mut world.chapters {
            chapters.begin(geometry.shards());
        }
        let ids = (0..geometry.shards() as u16).map(ShardId);
        let shards = ids.map(|id| {
            let mut take = |owner: Owner, count: usize| (0..count).map(|_| world.memory.take(owner)).collect();
            let bufs = ShardBufs {
                bounce: take(Owner::Bounce(id), sizes.bounce),
                verify: take(Owner::Verify(id), sizes.verify),
                containers: take(Owner::Container(id), sizes.containers),
                relocation: take(Owner::Relocation(id), 2),
                swaps: take(Owner::Swap(id), sizes.swaps),
                map: take(Owner::Metadata(id), sizes.map_bufs),
                journal: take(Owner::Metadata(id), sizes.journal_bufs),
                slabs: take(Owner::Metadata(id), sizes.slab_bufs),
            };
            let config = ShardConfig {
                id,
                geometry,
                vios: sizes.vios,
                pieces: sizes.pieces,
                compression: sizes.compression,
                index_bytes: sizes.index_bytes,
                history: sizes.history.map(|plan| plan.config(load.nonce)),
                fingerprinter: fingerprinter.clone(),
                metadata: load.of_shard(id, &geometry, sizes),
            };
            Shard::new(config, bufs)
        });
        let shards: Vec<_> = shards.collect();
        let count = shards.len();
        let waiting = vec![VecDeque::new(); count];
        Cluster { world, shards, fingerprinter, load, waiting, stale: vec![true; count] }
    }

    /// The shards' numbers.
    pub fn ids(&self) -> impl Iterator<Item = ShardId> + Clone {
        (0..self.shards.len() as u16).map(ShardId)
    }

    /// Begins a request; its pieces wait for their shards to accept them.
    pub fn submit(&mut self, request: &Request) -> RequestId {
        let (id, pieces) = self.world.begin(request);
        for (shard, client) in pieces {
            self.waiting[shard.index()].push_back(client);
        }
        id
    }

    /// True when the next piece of a shard can be delivered.
    #[must_use]
    pub fn can_deliver(&self, shard: ShardId) -> bool {
        let engine = &self.shards[shard.index()];
        !self.waiting[shard.index()].is_empty() && engine.can_accept() && engine.can_accept_sweep()
    }

    /// True when the shard was told something since it last ran out of work.
    #[must_use]
    pub fn is_stale(&self, shard: ShardId) -> bool {
        self.stale[shard.index()]
    }

    /// Lets one thing happen. Returns whether it led to anything, as far as can be told.
    pub fn perform(&mut self, step: Step) -> bool {
        self.world.now += 1;
        let Cluster { world, shards, waiting, stale, .. } = self;
        let did = match step {
            Step::Piece(to) => {
                let client = waiting[to.index()].pop_front().expect("can_deliver() was asked");
                Cluster::deliver(world, shards, to, client);
                true
            }
            Step::Message(from, to) => {
                world.current = to;
                let message = world.take_message(from, to);
                shards[to.index()].receive(world, from, message);
                true
            }
            Step::Apply(number) => {
                let World { disk, memory, faults, now, .. } = world;
                disk.apply(number, *now, memory, faults);
                return true;
            }
            Step::Finish(number) => {
                Cluster::finish(world, shards, number);
                true
            }
            Step::Timer(shard) => {
                world.current = shard;
                world.timers[shard.index()] = None;
                world.record(Happening::Timer, u64::from(shard.0));
                trace!(world, "<- timer");
                shards[shard.index()].timer(world);
                true
            }
            Step::Index(number) => {
                Cluster::perform_index(world, shards, number);
                stale.fill(true);
                return true;
            }
            Step::Run(shard) => {
                world.current = shard;
                let did = shards[shard.index()].run(world);
                world.record(Happening::Run, u64::from(shard.0) << 1 | u64::from(did));
                did
            }
        };
        let current = world.current;
        Cluster::tell_of_dropped_sections(world, shards, current);
        stale[current.index()] = did;
        self.examine_space_claims();
        did
    }

    /// Gives a shard a piece, some of them as a sweep of one page.
    fn deliver(world: &mut World<D>, shards: &mut [Shard<World<D>>], to: ShardId, client: Client) {
        world.current = to;
        let piece = world.deliver(client);
        let page = PageId::leaf_of(piece.lbn);
        let whole = usize::from(piece.blocks) == ENTRIES_PER_LEAF_PAGE as usize && piece.skip + piece.cut == 0;
        if piece.operation.is_discard() && whole && client.digest() & 1 == 1 {
            world.pieces.sweep(client);
            let sweep = Sweep { client, first: page.index, end: page.index + 1 };
            shards[to.index()].submit_sweep(world, sweep);
        } else {
            shards[to.index()].submit(world, piece);
        }
    }

    /// Ends a transfer or an erasure, and tells the shard that it belongs to.
    fn finish(world: &mut World<D>, shards: &mut [Shard<World<D>>], number: usize) {
        let World { disk, memory, faults, now, .. } = world;
        match disk.end(number, *now, memory, faults) {
            Ending::Io { shard, token, result } => {
                world.current = shard;
                let what = u64::from(shard.0) << 40 | u64::from(token.0) << 8 | u64::from(result.is_ok());
                world.record(Happening::Ended, what);
                trace!(world, "<- {token:?}: {result:?}");
                shards[shard.index()].io_done(world, token, result);
            }
            Ending::Erased { shard, segment, result } => {
                world.current = shard;
                world.record(Happening::Erased, u64::from(shard.0) << 40 | u64::from(segment));
                trace!(world, "<- segment {segment} is erased: {result:?}");
                shards[shard.index()].segment_erased(world, segment, result);
            }
        }
    }

    /// A request may only be told that there is no space if, give or take the requests that were in flight with it,
    /// there was none.
    fn examine_space_claims(&mut self) {
        while let Some(claim) = self.world.space_claims.pop() {
            let statistics = self.statistics();
            let free = statistics.data_blocks - statistics.data_blocks_used;
            let kept = statistics.reserved_blocks + statistics.operator_reserve_blocks;
            if free > claim.slack + kept {
                let what = format!("{:?} finds no space, but {free} blocks are free: {claim:?}", claim.client);
                self.world.fail(what);
            }
        }
    }

    /// Turns compression on or off in every shard, while it is in use.
    pub fn set_compression(&mut self, enabled: bool) {
        self.world.record(Happening::Compression, u64::from(enabled));
        self.shards.iter_mut().for_each(|shard| shard.set_compression(enabled));
        self.stale.fill(true);
    }

    /// Changes the percent of the blocks that are kept for the operator, in every shard.
    pub fn set_reserve(&mut self, percent: u8) {
        self.shards.iter_mut().for_each(|shard| shard.set_reserve(percent));
        self.stale.fill(true);
    }

    /// The sum of the shards' statistics.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let mut sum = Statistics::default();
        for shard in &self.shards {
            sum.add(&shard.statistics());
        }
        sum
    }

    /// One shard's statistics.
    #[must_use]
    pub fn statistics_of(&self, shard: ShardId) -> Statistics {
        self.shards[shard.index()].statistics()
    }

    /// One shard.
    #[must_use]
    pub fn shard(&self, shard: ShardId) -> &Shard<World<D>> {
        &self.shards[shard.index()]
    }

    /// References to a block, as its owner counts them.
    #[must_use]
    pub fn references(&self, pbn: Pbn) -> Option<u8> {
        let owner = self.world.geometry.physical_shard(pbn)?;
        self.shards[owner.index()].references(pbn)
    }

    /// Where a logical block is stored, as far as the page is in memory.
    #[must_use]
    pub fn mapping(&self, lbn: u64) -> Mapping {
        let owner = self.world.geometry.logical_shard(Lbn(lbn));
        self.shards[owner.index()].mapping(Lbn(lbn)).unwrap_or(Mapping::UNMAPPED)
    }

    /// Begins to save all metadata; to be called when all is quiet.
    pub fn save(&mut self) {
        self.shards.iter_mut().for_each(Shard::save);
        self.stale.fill(true);
    }

    /// True when media hold all metadata.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        self.shards.iter().all(Shard::is_saved)
    }

    /// All metadata is saved, and no more may be transferred before [`Cluster::resume`], although the shards are run.
    ///
    /// # Panics
    /// If a shard is not saved, or transfers metadata.
    pub fn quiesce(&mut self) {
        self.shards.iter_mut().for_each(Shard::quiesce);
        for shard in self.ids() {
            self.perform(Step::Run(shard));
        }
    }

    /// Goes on after [`Cluster::save`].
    pub fn resume(&mut self) {
        self.shards.iter_mut().for_each(Shard::resume);
        self.stale.fill(true);
    }

    /// Ends writing in all shards, as a host does when one has reported it.
    pub fn enter_read_only(&mut self, reason: ReadOnlyReason) {
        self.world.told_read_only = true;
        for id in self.ids() {
            self.world.current = id;
            self.shards[id.index()].enter_read_only(&mut self.world, reason);
        }
        self.stale.fill(true);
    }

    /// Continues sweeps, or suspends them between two pages.
    pub fn set_sweeping(&mut self, sweeping: bool) {
        self.shards.iter_mut().for_each(|shard| shard.set_sweeping(sweeping));
        self.stale.fill(true);
    }

    /// Aborts all sweeps, as a host does when the volume is taken out of service.
    pub fn abort_sweeps(&mut self) {
        self.world.told_to_abort = true;
        self.shards.iter_mut().for_each(Shard::abort_sweeps);
        self.stale.fill(true);
    }

    /// The volume has grown; `summaries` are those of all slabs, old and new. To be called when all is quiet.
    pub fn grow(&mut self, geometry: Geometry, summaries: &[SlabSummary]) {
        let old = self.world.geometry.slabs() as usize;
        self.world.geometry = geometry;
        self.world.model.grow(geometry.logical_blocks().0);
        for id in self.ids() {
            let mut new = summaries_of(id, &geometry, summaries);
            let known = summaries_of(id, &geometry, &summaries[..old]).len();
            new.drain(..known);
            self.shards[id.index()].grow(geometry, new);
        }
        self.stale.fill(true);
    }

    /// The shard whose hash zone gets blocks of a value.
    #[must_use]
    pub fn hash_shard(&self, value: u64) -> ShardId {
        self.world.geometry.hash_shard(self.fingerprint(value).first_byte())
    }

    /// The fingerprint of blocks of a value.
    #[must_use]
    pub fn fingerprint(&self, value: u64) -> Fingerprint {
        let mut block = [0; engine::BLOCK_SIZE];
        content::fill_block(&mut block, &content::block_of(value));
        self.fingerprinter.fingerprint(&block)
    }

    /// True when no request is open, and no shard has work left, its own included.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.world.pieces.open_requests() == 0 && self.shards.iter().all(Shard::is_idle)
    }

    /// True when it is idle and nothing is under way between the shards or to the disk.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.is_idle()
            && self.world.busy_channels.is_empty()
            && self.world.disk.is_idle()
            && !self.stale.contains(&true)
    }
}
