// SPDX-License-Identifier: BSD-3-Clause

//! One shard: a logical, a hash and a physical zone and an I/O submitter on one reactor.
//!
//! A host gives a shard pieces, messages, completions and timers in any order, then calls [`Shard::run`], which does
//! all work that is possible without waiting and starts the resulting transfers. The work from the calls before `run`
//! is a batch: its fingerprints, index probes and adjacent blocks are processed together.
//!
//! Invariants: nothing is allocated after [`Shard::new`]; every accepted piece is answered exactly once; the same calls
//! with the same answers of [`Env`] give the same behaviour.

use crate::context::swap::{HOLDS, HOME};
use crate::context::{Context, Handoff, Owner};
use crate::dedupe::{Compression, HashZone, IndexConfig};
use crate::env::{Direction, Env, ReadOnlyReason, RunToken};
use crate::error::RequestError;
use crate::fingerprint::Fingerprinter;
use crate::format::{Geometry, Mapping};
use crate::io::{MetadataIo, Seams, Submitter};
use crate::journal::Journal;
use crate::logical::LogicalZone;
use crate::packing::relocator::Relocator;
use crate::report::Reporter;
use crate::request::{Piece, Sweep};
use crate::slabs::PhysicalZone;
use crate::statistics::Statistics;
use crate::swapper::Swapper;
use crate::timers::{TimerUser, Timers};
use crate::units::{Lbn, Pbn, ShardId};

pub use config::{MetadataConfig, ShardBufs, ShardConfig};

/// Maximum number of blocks in one transfer: dm-vdo's default rotation interval, 256 KiB.
pub const MAX_RUN_BLOCKS: usize = 64;

type Outcome = (Owner, Pbn, Direction, Result<(), RequestError>);

/// The zones of one shard, its journal, its transfers and its counters.
#[derive(Debug)]
pub struct Shard<E: Env> {
    id: ShardId,
    geometry: Geometry,
    fingerprinter: Fingerprinter,
    logical: LogicalZone<E>,
    hash: HashZone<E::Buf>,
    physical: PhysicalZone<E::Buf>,
    journal: Journal<E::Buf>,
    metadata: MetadataIo<E::Buf>,
    io: Submitter<E::Buf, Owner>,
    relocator: Relocator<E::Buf>,
    swapper: Swapper<E::Buf>,
    handoff: Handoff<E::Buf>,
    reporter: Reporter,
    timers: Timers,
    stats: Statistics,
    /// Results of the transfer that has just completed.
    outcomes: Vec<Outcome>,
    /// Why the volume is read-only; `None` while it takes writes.
    read_only: Option<ReadOnlyReason>,
}

/// Splits a shard into the context that its zones share and the parts that use it.
macro_rules! split {
    ($shard:expr, $env:expr) => {
        (
            Context {
                env: $env,
                id: $shard.id,
                geometry: &$shard.geometry,
                fingerprinter: &$shard.fingerprinter,
                physical: &mut $shard.physical,
                journal: &mut $shard.journal,
                metadata: &mut $shard.metadata,
                read_only: &mut $shard.read_only,
                io: &mut $shard.io,
                relocator: &mut $shard.relocator,
                handoff: &mut $shard.handoff,
                reporter: &mut $shard.reporter,
                timers: &mut $shard.timers,
                stats: &mut $shard.stats,
            },
            &mut $shard.logical,
            &mut $shard.hash,
            &mut $shard.swapper,
        )
    };
}

// After the macro, which they use.
mod administration;
mod config;
mod dump;
mod index;
mod metadata;
mod receive;
mod relocation;

impl<E: Env> Shard<E> {
    /// Builds an empty shard and reserves all memory that it will ever use.
    ///
    /// # Panics
    /// If there is no buffer of some kind: no request could ever be answered.
    #[must_use]
    pub fn new(config: ShardConfig, bufs: ShardBufs<E::Buf>) -> Shard<E> {
        let ShardConfig { id, geometry, vios, pieces, compression, index_bytes, fingerprinter, metadata, history } =
            config;
        let transfers = bufs.metadata_transfers();
        let ShardBufs { bounce, verify, containers, relocation, swaps, map, journal, slabs } = bufs;
        let compression = Compression::new(compression, &containers);
        let example = *bounce.first().expect("a shard needs at least one bounce block");
        // All blocks in flight in the volume may have the same hash zone or the same physical zone.
        let in_flight = vios * geometry.shards();
        let members = config::members(vios);
        let locks = config::pbn_locks(geometry.shards(), vios, relocation.len() + swaps.len());
        let volatile_cache = metadata.volatile_cache;
        let counters = metadata.counters();
        let index = IndexConfig { bytes: index_bytes, level2: history };
        let (journal, map, physical) = metadata.build(&geometry, id, vios, locks, (journal, map, slabs));
        let hash = HashZone::new(members, &index, geometry.hash_partitions(id), verify, compression, example);
        let relocator = Relocator::new(&relocation);
        // The swappers of the other shards have nothing to do.
        let swapper = Swapper::new(&swaps, if id == HOME { in_flight } else { 0 });
        // A member of a hash lock holds at most one PBN lock, and releases it before it ends; messages between two
        // shards keep their order. So no more locks than these are ever held, except for pages, which wait beyond their
        // share.
        let holders = hash.members_at_most() * geometry.shards() + relocator.reads_at_most();
        let holders = holders + swapper.swaps_at_most();
        assert!(physical.locks_at_most() > holders, "{} PBN locks, {holders} holders", physical.locks_at_most());
        Shard {
            id,
            geometry,
            fingerprinter,
            logical: LogicalZone::new(&geometry, vios, pieces, bounce, map, counters),
            hash,
            physical,
            journal,
            metadata: MetadataIo::new(transfers, volatile_cache),
            io: Submitter::new(
                vios + members + relocation.len() + swaps.len(),
                MAX_RUN_BLOCKS,
                Seams::new(geometry.slab_start(0), geometry.slab_blocks()),
            ),
            relocator,
            swapper,
            handoff: Handoff::new(2 * in_flight, if id == HOME { vios + 4 * HOLDS } else { 0 }),
            reporter: Reporter::default(),
            timers: Timers::default(),
            stats: Statistics::default(),
            outcomes: Vec::with_capacity(MAX_RUN_BLOCKS),
            read_only: None,
        }
    }

    /// True when [`Shard::submit`] may be called now. A host keeps pieces that do not fit, in order, and offers them
    /// again after the next [`Shard::run`].
    #[must_use]
    pub fn can_accept(&self) -> bool {
        self.logical.can_accept()
    }

    /// Accepts a piece whose range this shard owns. A piece of another shard, or outside the volume, is answered with
    /// [`RequestError::OutOfRange`].
    ///
    /// # Panics
    /// If the shard cannot accept a piece now, or the piece is inconsistent.
    pub fn submit(&mut self, env: &mut E, piece: Piece<E::Client>) {
        let (mut cx, logical, ..) = split!(self, env);
        logical.accept(&mut cx, piece);
    }

    /// True when [`Shard::submit_sweep`] may be called now.
    #[must_use]
    pub fn can_accept_sweep(&self) -> bool {
        self.logical.can_accept_sweep()
    }

    /// Accepts a sweep, of which this shard does its part.
    ///
    /// # Panics
    /// If the shard cannot accept a sweep now.
    pub fn submit_sweep(&mut self, env: &mut E, sweep: Sweep<E::Client>) {
        let (cx, logical, ..) = split!(self, env);
        logical.accept_sweep(&cx, sweep);
    }

    /// Takes the result of a transfer.
    ///
    /// # Panics
    /// If no transfer with that token is in flight.
    pub fn io_done(&mut self, env: &mut E, token: RunToken, result: Result<(), RequestError>) {
        if MetadataIo::<E::Buf>::is_ours(token) {
            self.metadata.done(env, token, result);
            return self.set_metadata_timer(env);
        }
        let mut outcomes = std::mem::take(&mut self.outcomes);
        self.io.complete(token, result, &mut outcomes);
        let (mut cx, logical, hash, swapper) = split!(self, env);
        for (owner, _, _, result) in outcomes.drain(..) {
            match owner {
                Owner::Vio(vio) => logical.read_done(&mut cx, vio, result),
                Owner::Write(member) => hash.write_done(&mut cx, member, result),
                Owner::Verify(member) => hash.verify_done(&mut cx, member, result),
                Owner::Container(container) => hash.container_written(&mut cx, container, result),
                Owner::Relocation(read) => relocation::read_done(&mut cx, read, result),
                Owner::Swap(swap) => swapper.io_done(&mut cx, swap, result),
            }
        }
        self.outcomes = outcomes;
    }

    /// The timer armed by [`Env::arm_timer`] has fired.
    pub fn timer(&mut self, env: &mut E) {
        for user in self.timers.due(env) {
            match user {
                TimerUser::Reporter => self.reporter.timer(env, &mut self.timers),
                TimerUser::Packer => {
                    let (mut cx, _, hash, _) = split!(self, env);
                    hash.pack_timer(&mut cx);
                }
                TimerUser::Index => {
                    let (mut cx, _, hash, _) = split!(self, env);
                    hash.index_timer(&mut cx);
                }
                TimerUser::Metadata => {
                    let now = env.now();
                    self.metadata.try_again(env, now);
                    self.set_metadata_timer(env);
                }
                TimerUser::Slab => {
                    let (mut cx, ..) = split!(self, env);
                    cx.slab_timer();
                }
            }
        }
    }

    /// Arms the timer for the next retry of a metadata write.
    fn set_metadata_timer(&mut self, env: &mut E) {
        if let Some(at) = self.metadata.next_try() {
            self.timers.arm(env, TimerUser::Metadata, at);
        }
    }

    /// True while a failed metadata write waits for its retry.
    #[must_use]
    pub fn tries_again(&self) -> bool {
        self.metadata.next_try().is_some()
    }

    /// Does the work that the calls above have queued, in batches, and starts the resulting transfers. A host calls it
    /// after a round of the calls above. Returns whether there was anything to do.
    pub fn run(&mut self, env: &mut E) -> bool {
        let mut progress = false;
        self.logical.begin_turn();
        loop {
            let (mut cx, logical, hash, swapper) = split!(self, env);
            let mut worked = metadata::take_outcomes(&mut cx, logical);
            worked |= relocation::advance(&mut cx, hash.compresses());
            worked |= swapper.advance(&mut cx);
            worked |= logical.advance(&mut cx) | hash.advance(&mut cx);
            worked |= metadata::take_physical_events(&mut cx, logical, hash, swapper);
            // The hash zone has nothing left to compare, so content can be released and clients answered; and what is
            // journaled so far makes a batch.
            if !worked {
                worked |= logical.retire(&mut cx);
                worked |= metadata::advance(&mut cx, logical);
            }
            if !worked {
                worked |= hash.pack(&mut cx, logical.moving(), logical.is_flushing());
            }
            if !worked {
                break;
            }
            progress = true;
        }
        self.io.issue(|run| {
            progress = true;
            env.submit(run);
        });
        progress
    }

    /// True when no request is in flight: no piece, no lock, no data transfer, no journal entry, no pending reference
    /// count. Metadata transfers may still be in flight.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.logical.is_idle()
            && self.hash.is_idle()
            && self.io.is_empty()
            && self.handoff.is_empty()
            && self.relocator.is_idle()
            && self.swapper.is_idle()
            && self.journal.is_idle()
            && self.physical.is_idle()
    }

    /// True while compressed blocks are rewritten for overwrites of their fragments, or such a request is queued.
    #[must_use]
    pub fn is_swapping(&self) -> bool {
        !self.swapper.is_idle()
    }

    /// The current counters and gauges.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let mut stats = self.stats;
        self.logical.gauges(&mut stats);
        metadata::count(self, &mut stats);
        self.hash.gauges(&mut stats);
        self.io.count(&mut stats);
        stats.data_blocks = self.physical.data_blocks();
        stats.data_blocks_used = self.physical.data_blocks() - self.physical.free_blocks_expected();
        (stats.reserved_blocks, stats.operator_reserve_blocks) = self.physical.reserved_blocks();
        stats.blocks_lent = self.physical.blocks_lent();
        stats.relocations_waiting = self.relocator.waiting() as u64;
        stats.pbn_locks = self.physical.locks_in_use() as u64;
        stats
    }

    /// Reference count of a block in this shard's slabs; 255 for a provisional reference.
    #[must_use]
    pub fn references(&self, pbn: Pbn) -> Option<u8> {
        self.physical.references(pbn)
    }

    /// Location of a block of this shard, if its block-map page is in memory.
    #[must_use]
    pub fn mapping(&self, lbn: Lbn) -> Option<Mapping> {
        self.logical.map().cached(lbn)
    }

    /// Checks the invariants that can be checked inside one shard; in an idle shard also that nothing is held.
    ///
    /// # Errors
    /// A sentence that describes the violated invariant.
    pub fn audit(&self) -> Result<(), String> {
        self.physical.audit()?;
        if self.is_idle() {
            self.hash.audit_at_rest()?;
        }
        Ok(())
    }
}
