// SPDX-License-Identifier: BSD-3-Clause

//! Why a client's request fails.
//!
//! One small `Copy` type, because it travels in messages between shards. Detail for the operator goes through
//! [`crate::Event`]; the client of a block device can only be told this much.

use thiserror::Error;

/// Result of a client's request when it is not success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// New unique data found no free physical block.
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
    /// The volume is taken out of service before an unmap of many pages was done with.
    #[error("aborted: the volume is taken out of service")]
    Aborted,
    /// A lock pool or a reference count was found in an impossible state.
    #[error("internal lock or reference count error")]
    Lock,
}
