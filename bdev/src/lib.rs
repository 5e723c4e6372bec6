// SPDX-License-Identifier: BSD-3-Clause

//! The SPDK bdev module `dedupe`: a deduplicating block device on top of any other. The crate `engine` does the work,
//! on SPDK's threads.
//!
//! The module registers itself and the JSON-RPC methods `bdev_dedupe_*` and `mpool_*`, whether it is loaded into a
//! stock SPDK application (`LD_PRELOAD=libbdev_dedupe.so spdk_tgt ...`) or linked into one.
//!
//! Modules; each knows only those above it in this list:
//!
//! | module | what it has |
//! |---|---|
//! | `spdk` | SPDK's headers, and all differences between its releases |
//! | `params` | an operator's parameters, decoded |
//! | `datapath` | the path of a request from its channel through the shards to the bdevs below, and back |
//! | `pool` | media pools on SPDK bdevs |
//! | `volume` | the life of one bdev, from its pool into service and back |
//! | `rpc` | JSON-RPC |
//! | `module` | registration |
//!
//! The path of a request: `channel` takes it from SPDK and hands it to its home, the `shard_host` that owns its first
//! leaf page. The home cuts it into pieces (`split`) for the engine; pieces in other shards' pages go there by `ring`.
//! The engine reads and writes the base through `transfer`. After the last piece the answer goes back on the channel's
//! thread. In polled mode no step allocates, takes a lock or sends an SPDK message. Meanwhile `app_calls` carries what
//! shards ask of the application thread.
//!
//! Only SPDK's thread, poller, channel, bdev and JSON-RPC libraries are used, not its reactors, so hosts without
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
