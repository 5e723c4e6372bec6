// SPDX-License-Identifier: BSD-3-Clause

//! A load generator for any bdev, run inside an SPDK application of our own: what `bdevperf` does, as a library, so
//! that one process can drive a base bdev, a passthru and a dedupe bdev in turn and see the same core, memory and
//! moment for each.
//!
//! Behind cargo feature `load`; the module that is loaded into other people's processes does not have it.
//!
//! [`run`] starts the application and hands an [`App`] to a thread of its own (the *driver*), which may block: it
//! starts jobs with [`App::run_load`] and runs code alone on a core with [`App::run_on`]. Everything `unsafe` stays
//! in here.
//!
//! Invariants:
//! * One job per reactor, each on its own `spdk_thread` that is pinned there and lives as long as the application.
//! * In the timed loop a job allocates nothing, and writes of its own no more than the stamp of a unique block (24
//!   bytes), the request's times and one counter of the histogram. That cost is the same for every bdev.
//! * Memory that a device may be reading or writing is only touched through raw pointers.

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
