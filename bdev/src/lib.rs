// SPDX-License-Identifier: BSD-3-Clause

//! The SPDK bdev module `dedupe`: a deduplicating block device over any other, run by the crate `engine` on SPDK's
//! threads.
//!
//! Loaded into a stock SPDK application (`LD_PRELOAD=libbdev_dedupe.so spdk_tgt ...`) or linked into one, it
//! registers itself and the JSON-RPC methods `bdev_dedupe_*` and `mpool_*`.
//!
//! A request's way: `channel` takes it from SPDK and hands it to its home, the `shard_host` that owns its first
//! leaf page; there it is cut into `pieces`, which the engine works on (those of other shards' pages go there by
//! `mail`); the engine reads and writes the base through `transfer`; when the last piece is done, the answer
//! goes back on the channel's thread. No step of that allocates, takes a lock or sends an SPDK message (in polled
//! mode).
//!
//! `volume` is the life of one bdev, from its pool (`pool`) into service and back; `uplink` is what its shards ask of
//! the application thread meanwhile; `rpc`, `params` and `sizing` are the operator's side; `compat` is all that differs
//! between SPDK releases; `abi_guard` refuses a wrong one.
//!
//! Only SPDK's thread, poller, channel, bdev and JSON-RPC libraries are used, not its reactors: hosts without
//! reactors (fio) work.

mod abi_guard;
mod buffer;
mod channel;
mod client;
mod compat;
mod cpumask;
mod error;
mod ffi;
mod fn_table;
mod gauges;
mod host_env;
mod json;
mod list;
#[cfg(feature = "load")]
pub mod load;
mod logger;
mod mail;
mod memory;
mod module;
mod needs;
mod notify;
mod padded;
mod params;
mod peers;
mod pieces;
mod plan;
mod pool;
mod registry;
mod rpc;
mod setup;
mod sgl;
mod shard_host;
mod sizing;
mod thread;
mod transfer;
mod turn;
mod uplink;
mod volume;

pub use module::link;
