// SPDX-License-Identifier: BSD-3-Clause

//! A load generator for any bdev, run inside an SPDK application of its own: what `bdevperf` does, as a library. So one
//! process can drive a base bdev, a passthru and a dedupe bdev in turn, each on the same core, in the same memory, at
//! nearly the same time.
//!
//! Behind the cargo feature `load`; the module that other applications load does not have it.
//!
//! [`run`] starts the application and gives an [`App`] to a thread of its own (the *driver*), which may block: the
//! driver starts jobs with [`App::run_load`] and runs code alone on a core with [`App::run_on`]. All `unsafe` code
//! stays inside this module.
//!
//! Invariants:
//! * One job per reactor, each on its own `spdk_thread`, which is pinned to that reactor and lives as long as the
//!   application.
//! * In the timed loop a job allocates nothing, and itself writes at most the stamp of a unique block (24 bytes), the
//!   request's times and one counter of the histogram. That cost is the same for every bdev.
//! * Memory that a device may be reading or writing is only accessed through raw pointers.

mod address;
mod app;
mod checks;
mod content;
mod histogram;
mod job;
mod memory;
mod pool;
mod spec;
mod thread;

pub use app::{run, App, AppError, AppOptions};
pub use checks::{switch_read_checks, AlwaysChecked};
pub use content::{make_compressible, STAMP_WORDS};
pub use histogram::Histogram;
pub use memory::DmaBuffer;
pub use pool::open_pool;
pub use spec::{Content, Limit, LoadError, LoadReport, LoadSpec, Operation, Order};
pub use thread::{busy_time, ThreadTimes};
