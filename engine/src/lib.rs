// SPDX-License-Identifier: BSD-3-Clause

//! The engine of a deduplicating block device: state machines that consume requests, messages, completions and timers
//! and emit messages, I/O and answers. It has no threads, no clock, no randomness and no I/O of its own; see [`Env`].

#![forbid(unsafe_code)]

mod arena;
mod context;
pub mod dump;
pub mod env;
pub mod error;
pub mod hash;
pub mod io;
pub mod logical;
pub mod media;
pub mod message;
pub mod physical;
pub mod pool;

mod read_check;
mod report;
mod shard;
mod tally;
#[cfg(test)]
mod test_device;
mod timers;
pub mod units;
pub mod volume;
mod wait_queue;

pub use env::{Block, Direction, Env, Event, Part, Place, ReadOnlyReason, Run, RunToken};
pub use error::RequestError;
pub use hash::{HistoryConfig, IndexImage, SectionAt};
pub use message::Message;
#[cfg(feature = "measure-unchecked")]
pub use read_check::switch_read_checks;
pub use shard::{MetadataConfig, Shard, ShardConfig, MAX_RUN_BLOCKS};
pub use units::{Blocks, Lbn, Nanos, Pbn, ShardId, BLOCK_SIZE, SECTOR_SIZE};
