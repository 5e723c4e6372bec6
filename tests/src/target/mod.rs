// SPDX-License-Identifier: BSD-3-Clause

//! Stock SPDK programs as child processes, with the dedupe module preloaded or without.
//!
//! Nothing here is shared between two runs: each [`Rig`] has its own directory (sockets, configurations, logs), its
//! own cores, and each process its own hugepage files (by process id) and, where it listens, a port of its own.
//! Everything that was started is killed by its process id when its owner is dropped.

mod cores;
mod error;
mod export;
pub mod leftovers;
mod process;
mod rig;
mod rpc;
mod server;
mod tool;

pub use cores::{mask, CoreLease};
pub use error::TargetError;
pub use export::{bdev_config, Export};
pub use process::{Launch, Process};
pub use rig::Rig;
pub use rpc::RpcClient;
pub use server::{Server, ServerOptions};
pub use tool::{Bdevperf, FioJob, FioResult, Tool};
