// SPDX-License-Identifier: BSD-3-Clause

//! Why a client's request fails.
//!
//! One small `Copy` type, because it travels in messages between shards. Details go to the operator as
//! [`crate::Event`]; a block device cannot tell its client more than this.

use thiserror::Error;

/// Why a client's request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// There is no free physical block for new unique data.
    #[error("no free physical block for new data")]
    NoSpace,
    /// The base bdev failed a transfer that the request needed.
    #[error("base bdev I/O failed")]
    Io,
    /// The data read does not match the check code of its mapping.
    #[error("stored block does not match its check code")]
    Corrupt,
    /// The range is not inside the volume.
    #[error("range is outside the volume")]
    OutOfRange,
    /// The volume takes no writes any more.
    #[error("the volume is read-only")]
    ReadOnly,
    /// The volume was taken out of service before an unmap of many pages had finished.
    #[error("aborted: the volume is taken out of service")]
    Aborted,
    /// A lock pool or a reference count is in an impossible state.
    #[error("internal lock or reference count error")]
    Lock,
}
