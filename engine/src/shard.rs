// SPDX-License-Identifier: BSD-3-Clause

//! One shard (interface stub while the body is being written).

use crate::env::{Env, RunToken};
use crate::error::RequestError;
use crate::hash::Fingerprinter;
use crate::io::Piece;
use crate::message::Message;
use crate::units::ShardId;
use crate::volume::{Geometry, Statistics};

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
    /// Memory for blocks that cannot be used where the client has them.
    pub bounce: Vec<Buf>,
    /// Memory for verify reads.
    pub verify: Vec<Buf>,
    /// Bytes of the shard's part of the level-1 index.
    pub index_bytes: usize,
    /// The volume's fingerprinter.
    pub fingerprinter: Fingerprinter,
}

/// One shard.
#[derive(Debug)]
pub struct Shard<E: Env> {
    config: ShardConfig<E::Buf>,
}

impl<E: Env> Shard<E> {
    /// Builds an empty shard; all the memory that it will ever use is allocated here.
    #[must_use]
    pub fn new(config: ShardConfig<E::Buf>) -> Shard<E> {
        Shard { config }
    }
    /// True when [`Shard::submit`] may be called now. A host keeps pieces that do not fit, in order, and offers them
    /// again after the next [`Shard::run`].
    #[must_use]
    pub fn can_accept(&self) -> bool {
        self.config.pieces > 0
    }
    /// Accepts a piece whose range this shard owns. Panics unless `can_accept()`.
    pub fn submit(&mut self, _env: &mut E, _piece: Piece<E::Client>) {}
    /// Takes a message from another shard.
    pub fn receive(&mut self, _env: &mut E, _from: ShardId, _message: Message<E::Buf>) {}
    /// Takes the outcome of a transfer.
    pub fn io_done(&mut self, _env: &mut E, _token: RunToken, _result: Result<(), RequestError>) {}
    /// Takes the timer that `Env::arm_timer` asked for.
    pub fn timer(&mut self, _env: &mut E) {}
    /// Does the work that the calls above left to be done in batches, and starts the transfers that they caused.
    /// A host calls it after a round of the calls above. Returns whether there was anything to do.
    pub fn run(&mut self, _env: &mut E) -> bool {
        false
    }
    /// True when nothing is in flight: no piece, no lock, no transfer.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        true
    }
    /// Counters and gauges.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics::default()
    }
}
