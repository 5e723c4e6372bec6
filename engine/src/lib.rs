// SPDX-License-Identifier: BSD-3-Clause

//! The engine of a deduplicating block device: state machines that consume requests, messages, completions and timers,
//! and emit messages, I/O and answers. It has no threads, no clock, no randomness and no I/O of its own; see [`Env`].

#![forbid(unsafe_code)]

mod arena;
pub mod block_map;
mod context;
mod dedupe;
pub mod dump;
pub mod env;
pub mod error;
pub mod fingerprint;
pub mod format;
mod home_slot;
pub mod index;
pub mod io;
pub mod journal;
mod logical;
pub mod message;
mod owner_count;
pub mod packing;
mod read_check;
mod report;
pub mod request;
mod shard;
pub mod slabs;
pub mod statistics;
pub mod swapper;
#[cfg(test)]
mod test_device;
#[cfg(test)]
mod test_media;
mod timers;
pub mod units;
pub mod volume;
mod wait_queue;

pub use env::{Direction, Env, Event, Part, ReadOnlyReason, Run, RunToken};
pub use error::RequestError;
pub use format::index_section::SectionAt;
pub use format::Place;
pub use index::HistoryConfig;
pub use message::Message;
pub use mpool::units::Nanos;
#[cfg(feature = "measure-unchecked")]
pub use read_check::switch_read_checks;
pub use shard::{MetadataConfig, Shard, ShardBufs, ShardConfig, MAX_RUN_BLOCKS};
pub use units::{Block, Blocks, Lbn, Pbn, ShardId, BLOCK_SIZE, SECTOR_SIZE};
