// SPDX-License-Identifier: BSD-3-Clause

//! The SPDK bdev module `dedupe`: a deduplicating block device over any other, run by the crate `engine` on SPDK's
//! threads.
//!
//! Loaded into a stock SPDK application (`LD_PRELOAD=libbdev_dedupe.so spdk_tgt ...`) or linked into one, it
//! registers itself and the JSON-RPC methods `bdev_dedupe_*` and `mpool_*`.
//!
//! Rooms, each of which knows only those above it in this list:
//!
//! | room | what |
//! |---|---|
//! | `spdk` | SPDK's headers, and all that differs between its releases |
//! | `params` | what an operator says, decoded |
//! | `datapath` | a request's way from its channel through the shards to the bdevs below and back |
//! | `pool` | media pools on SPDK bdevs |
//! | `volume` | the life of one bdev, from its pool into service and back |
//! | `rpc` | JSON-RPC |
//! | `module` | registration |
//!
//! A request's way: `channel` takes it from SPDK and hands it to its home, the `shard_host` that owns its first
//! leaf page; there it is `split` into pieces, which the engine works on (those of other shards' pages go there by
//! `ring`); the engine reads and writes the base through `transfer`; when the last piece is done, the answer
//! goes back on the channel's thread. No step of that allocates, takes a lock or sends an SPDK message (in polled
//! mode). `app_calls` is what shards ask of the application thread meanwhile.
//!
//! Only SPDK's thread, poller, channel, bdev and JSON-RPC libraries are used, not its reactors: hosts without
//! reactors (fio) work.

mod datapath;
#[cfg(feature = "load")]
pub mod load;
mod module;
mod params;
mod pool;
mod rpc;
mod spdk;
mod volume;

pub use module::link;
