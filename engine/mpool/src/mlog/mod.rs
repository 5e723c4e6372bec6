// SPDX-License-Identifier: BSD-3-Clause

//! Mlogs: record logs.
//!
//! [`Mlog`] is an open log for asynchronous callers; below it are state machines without I/O:
//! * [`block`] and [`record`]: the format on media, and the rules for sequences;
//! * [`writer`]: frames records into blocks and flush sets, for ordinary logs and for the recovery journal;
//! * [`scan`]: finds the end of a log when it is opened;
//! * [`reader`]: reads record after record.
//!
//! Differs from mpool: one framer instead of two; a check code in each block. The original's defects are not
//! reproduced; each module says how.

pub mod block;
pub mod check;
pub mod geometry;
mod log;
pub mod media;
pub mod reader;
pub mod record;
pub mod scan;
#[cfg(test)]
pub(crate) mod testing;
pub mod writer;

pub use block::{LogFormat, Stamp};
pub use geometry::{Geometry, Place};
pub use log::{LogIdentity, Mlog, NextError, OpenFlags};
pub use media::{FlushMemory, LogMedia};
pub use scan::{Recovered, Scan, ScanConfig, ScanError};
pub use writer::{AppendError, FlushSet, LogWriter, Policy, Position, Progress, SetId, Settled, WriterConfig};
