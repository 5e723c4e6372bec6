// SPDX-License-Identifier: BSD-3-Clause

//! One shard: a logical, a hash and a physical zone and an I/O submitter on one reactor (architecture.md principle 1).
//!
//! A host feeds a shard with pieces, messages, completions and timers in any order, then calls [`Shard::run`], which
//! takes everything as far as it can go without waiting and starts the transfers that came of it. What the calls before
//! `run` leave behind is a batch: fingerprints, index probes and adjacent blocks of it are worked on together.
//!
//! Invariants: nothing is allocated after [`Shard::new`]; every accepted piece is answered exactly once; the same calls
//! with the same answers of [`Env`] give the same behaviour.

use crate::context::{Arrival, Context, Handoff, LogicalEvent, Owner};
use crate::env::{Direction, Env, RunToken};
use crate::error::RequestError;
use crate::hash::{Fingerprinter, HashZone};
use crate::io::{Piece, Seams, Submitter};
use crate::logical::{LogicalZone, Mapping};
use crate::message::Message;
use crate::physical::PhysicalZone;
use crate::report::Reporter;
use crate::units::{Lbn, Pbn, ShardId};
use crate::volume::{Geometry, Statistics};

/// Most blocks in one transfer: dm-vdo's default rotation interval (vdo.md section 0), 256 KiB.
pub const MAX_RUN_BLOCKS: usize = 64;

/// Everything that a shard is made of.
#[derive(Debug)]
pub struct ShardConfig<Buf> {
    /// Its number.
    pub id: ShardId,
    /// The volume's layout.
    pub geometry: Geometry,
    /// Blocks that can be in flight in this shard's logical zone (dm-vdo: 2048).
    pub vios: usize,
    /// Pieces that the shard holds at once.
    pub pieces: usize,
    /// Memory for blocks that cannot be used where the client has them; at least one block.
    pub bounce: Vec<Buf>,
    /// Memory for verify reads; at least one block.
    pub verify: Vec<Buf>,
    /// Bytes of the shard's part of the level-1 index.
    pub index_bytes: usize,
    /// The volume's fingerprinter.
    pub fingerprinter: Fingerprinter,
}

type Outcome = (Owner, Pbn, Direction, Result<(), RequestError>);

/// One shard.
#[derive(Debug)]
pub struct Shard<E: Env> {
    id: ShardId,
    geometry: Geometry,
    fingerprinter: Fingerprinter,
    logical: LogicalZone<E>,
    hash: HashZone<E::Buf>,
    physical: PhysicalZone,
    io: Submitter<E::Buf, Owner>,
    handoff: Handoff<E::Buf>,
    reporter: Reporter,
    stats: Statistics,
    /// Outcomes of the transfer that has just completed.
    outcomes: Vec<Outcome>,
}

/// Splits a shard into the context that its zones share and the two zones that use it.
macro_rules! split {
    ($shard:expr, $env:expr) => {
        (
            Context {
                env: $env,
                id: $shard.id,
                geometry: &$shard.geometry,
                fingerprinter: &$shard.fingerprinter,
                physical: &mut $shard.physical,
                io: &mut $shard.io,
                handoff: &mut $shard.handoff,
                reporter: &mut $shard.reporter,
                stats: &mut $shard.stats,
            },
            &mut $shard.logical,
            &mut $shard.hash,
        )
    };
}

impl<E: Env> Shard<E> {
    /// Builds an empty shard; all the memory that it will ever use is reserved here.
    ///
    /// # Panics
    /// If a pool of the configuration is empty: no request could ever be answered.
    #[must_use]
    pub fn new(config: ShardConfig<E::Buf>) -> Shard<E> {
        let ShardConfig { id, geometry, vios, pieces, bounce, verify, index_bytes, fingerprinter } = config;
        let example = *bounce.first().expect("a shard needs at least one bounce block");
        // Every block in flight in the volume may have the same hash zone or the same physical zone.
        let members = vios * geometry.shards();
        Shard {
            id,
            geometry,
            fingerprinter,
            logical: LogicalZone::new(&geometry, id, vios, pieces, bounce),
            hash: HashZone::new(members, index_bytes, verify, example),
            physical: PhysicalZone::new(&geometry, id, 2 * members),
            io: Submitter::new(
                vios + members,
                MAX_RUN_BLOCKS,
                Seams::new(geometry.slab_start(0), geometry.slab_blocks()),
            ),
            handoff: Handoff::new(2 * members),
            reporter: Reporter::default(),
            stats: Statistics::default(),
            outcomes: Vec::with_capacity(MAX_RUN_BLOCKS),
        }
    }

    /// True when [`Shard::submit`] may be called now. A host keeps pieces that do not fit, in order, and offers them
    /// again after the next [`Shard::run`].
    #[must_use]
    pub fn can_accept(&self) -> bool {
        self.logical.can_accept()
    }

    /// Accepts a piece whose range this shard owns; another's, or one outside the volume, is answered with
    /// [`RequestError::OutOfRange`].
    ///
    /// # Panics
    /// If the shard cannot accept a piece now, or the piece contradicts itself.
    pub fn submit(&mut self, env: &mut E, piece: Piece<E::Client>) {
        let (mut cx, logical, _) = split!(self, env);
        logical.accept(&mut cx, piece);
    }

    /// Takes a message from another shard.
    pub fn receive(&mut self, env: &mut E, from: ShardId, message: Message<E::Buf>) {
        let (mut cx, logical, hash) = split!(self, env);
        match message {
            Message::Dedupe { vio, data, fingerprint } => {
                cx.handoff.arrivals.push_back(Arrival { vio, data, fingerprint });
            }
            Message::Remap { vio, member, location } => {
                cx.handoff.to_logical.push_back(LogicalEvent::Remap { vio, member, location });
            }
            Message::WriteFailed { vio, error } => {
                cx.handoff.to_logical.push_back(LogicalEvent::WriteFailed { vio, error });
            }
            Message::Finished { member, result } => cx.handoff.finished.push_back((member, result)),
            Message::Increment { vio, pbn, .. } => {
                let result = cx.physical.increment(pbn).map_err(|error| cx.physical_error(&error));
                cx.send(vio.shard, Message::Incremented { vio: vio.index, result });
            }
            Message::Incremented { vio, result } => logical.incremented(&mut cx, vio, result),
            Message::Decrement { first, count, .. } => {
                if let Err(error) = cx.physical.decrement(first, count) {
                    cx.physical_error(&error);
                }
            }
            Message::LockForRead { member, pbn } => {
                let lease = cx.lock_for_read(pbn);
                cx.send(member.shard, Message::Locked { member: member.index, lease });
            }
            Message::Locked { member, lease } => hash.locked(&mut cx, member, lease),
            Message::Allocate { member, .. } => {
                let pbn = cx.physical.allocate().unwrap_or_else(|error| {
                    cx.physical_error(&error);
                    None
                });
                cx.send(member.shard, Message::Allocated { member: member.index, pbn });
            }
            Message::Allocated { member, pbn } => hash.allocated(&mut cx, member, pbn),
            Message::Release { pbn, unused, waiting } => {
                if let Err(error) = cx.physical.release(pbn, unused) {
                    cx.physical_error(&error);
                }
                if let Some(member) = waiting {
                    cx.send(member.shard, Message::Released { member: member.index });
                }
            }
            Message::ReferencePage { .. }
            | Message::AllocatePage { .. }
            | Message::PageAllocated { .. }
            | Message::CommitSlabJournals { .. }
            | Message::SlabJournalsCommitted { .. }
            | Message::ReadOnly => todo!("lead"),
            Message::Released { member } => hash.released(&mut cx, member),
        }
        debug_assert_ne!(from, self.id, "a shard does not send messages to itself");
    }

    /// Takes the outcome of a transfer.
    ///
    /// # Panics
    /// If no transfer of that name is under way.
    pub fn io_done(&mut self, env: &mut E, token: RunToken, result: Result<(), RequestError>) {
        let mut outcomes = std::mem::take(&mut self.outcomes);
        self.io.complete(token, result, &mut outcomes);
        let (mut cx, logical, hash) = split!(self, env);
        for (owner, _, _, result) in outcomes.drain(..) {
            match owner {
                Owner::Vio(vio) => logical.read_done(&mut cx, vio, result),
                Owner::Write(member) => hash.write_done(&mut cx, member, result),
                Owner::Verify(member) => hash.verify_done(&mut cx, member, result),
            }
        }
        self.outcomes = outcomes;
    }

    /// Takes the timer that [`Env::arm_timer`] asked for.
    pub fn timer(&mut self, env: &mut E) {
        self.reporter.timer(env);
    }

    /// Does the work that the calls above left to be done in batches, and starts the transfers that came of it.
    /// A host calls it after a round of the calls above. Returns whether there was anything to do.
    pub fn run(&mut self, env: &mut E) -> bool {
        let mut progress = false;
        loop {
            let (mut cx, logical, hash) = split!(self, env);
            if logical.advance(&mut cx) | hash.advance(&mut cx) {
                progress = true;
                continue;
            }
            // The hash zone has nothing left to look at, so content can be given up and clients answered.
            if !logical.retire(&mut cx) {
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

    /// True when nothing is in flight: no piece, no lock, no transfer.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.logical.is_idle() && self.hash.is_idle() && self.io.is_empty() && self.handoff.is_empty()
    }

    /// Counters and gauges.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let mut stats = self.stats;
        self.logical.gauges(&mut stats);
        self.hash.gauges(&mut stats);
        self.io.count(&mut stats);
        stats.data_blocks = self.physical.data_blocks();
        stats.data_blocks_used = self.physical.data_blocks() - self.physical.free_blocks();
        stats.pbn_locks = self.physical.locks_in_use() as u64;
        stats.slabs = self.physical.slabs();
        stats.slabs_opened = self.physical.slabs_opened();
        stats.slabs_reopened = self.physical.slabs_reopened();
        stats
    }

    /// Changes the size of this shard's part of the index, online.
    pub fn resize_index(&mut self, bytes: usize) {
        self.hash.resize_index(bytes);
    }

    /// Calls `visit` with each mapped block of this shard's leaf pages, in ascending order.
    pub fn for_each_mapping(&self, visit: impl FnMut(Lbn, Mapping)) {
        self.logical.map().for_each_mapping(visit);
    }

    /// Reference count of a block of this shard's slabs, 255 for a provisional reference.
    #[must_use]
    pub fn references(&self, pbn: Pbn) -> Option<u8> {
        self.physical.references(pbn)
    }

    /// Checks the invariants that can be checked from inside one shard; at rest also that nothing is held.
    ///
    /// # Errors
    /// A sentence that says what does not hold.
    pub fn audit(&self) -> Result<(), String> {
        self.physical.audit()?;
        if self.is_idle() {
            self.hash.audit_at_rest()?;
        }
        Ok(())
    }
}
