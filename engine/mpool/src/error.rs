// SPDX-License-Identifier: BSD-3-Clause

//! Errors of operations on a pool: the kind of failure, the object, and the reason.
//!
//! Each kind has one errno, the one that mpool uses for it; users see the text.

use thiserror::Error;

use super::device::DeviceError;

/// The result of an operation on a pool.
pub type Result<T> = core::result::Result<T, PoolError>;

/// The kinds of failure. The numbers are Linux's errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)]
pub enum Kind {
    /// EPERM: a right or a flag is missing.
    NotPermitted = 1,
    /// ENOENT: no such object.
    NotFound = 2,
    /// EIO: a device failed, or is out of use after a failure.
    Io = 5,
    /// ENXIO: a drive is not a member, or there is no such pool.
    NotMember = 6,
    /// E2BIG: the request exceeds a limit.
    TooBig = 7,
    /// EBADF: no pool on this device.
    NoPool = 9,
    /// EAGAIN: not yet possible.
    NotYet = 11,
    /// ENOMEM: no memory for the operation.
    NoMemory = 12,
    /// EBUSY: in use.
    Busy = 16,
    /// EEXIST: exists already.
    Exists = 17,
    /// ENODEV: a drive is missing.
    NoDrive = 19,
    /// EINVAL: an argument, or data on media, makes no sense.
    Invalid = 22,
    /// ENOTTY: the command does not exist here.
    NoCommand = 25,
    /// EFBIG: a log is full.
    LogFull = 27,
    /// ENOSPC: no space left.
    NoSpace = 28,
    /// EROFS: opened read-only.
    ReadOnly = 30,
    /// EDOM: a wrong number of devices.
    OutOfDomain = 33,
    /// ENAMETOOLONG: a name exceeds its field.
    NameTooLong = 36,
    /// EBADSLT: a record in the wrong metadata container.
    WrongSlot = 57,
    /// ENODATA: a log is corrupt.
    CorruptLog = 61,
    /// EOVERFLOW: the buffer is too small.
    Overflow = 75,
    /// EMSGSIZE: an interrupted compaction; the log's twin must be used.
    Unfinished = 90,
    /// EPROTONOSUPPORT: a superblock of a newer version.
    UnknownSuperblock = 93,
    /// EOPNOTSUPP: not supported, or content of a newer version.
    NotSupported = 95,
    /// EALREADY: done already, cannot be undone.
    Already = 114,
}

impl Kind {
    /// The errno, as a positive number.
    #[must_use]
    pub const fn errno(self) -> i32 {
        self as i32
    }
}

/// The error of an operation, with the object that it concerns.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{object}: {reason}")]
pub struct PoolError {
    kind: Kind,
    object: String,
    reason: String,
}

impl PoolError {
    /// An error of `kind` on `object` ("mblock 0x1102", "drive 'Malloc0'") for `reason` (a clause without a full stop).
    pub fn new(kind: Kind, object: impl Into<String>, reason: impl Into<String>) -> PoolError {
        PoolError { kind, object: object.into(), reason: reason.into() }
    }

    /// The error of an argument or a state that makes no sense: EINVAL.
    pub fn invalid(object: impl Into<String>, reason: impl Into<String>) -> PoolError {
        PoolError::new(Kind::Invalid, object, reason)
    }

    /// The error of a device that failed while `doing` ("reading superblock 0") on `object`.
    pub fn device(object: impl Into<String>, doing: &str, error: DeviceError) -> PoolError {
        let kind = match error {
            DeviceError::Io | DeviceError::Gone => Kind::Io,
            DeviceError::NoMemory => Kind::NoMemory,
            DeviceError::Invalid => Kind::Invalid,
        };
        PoolError::new(kind, object, format!("{doing} failed: {error}"))
    }

    /// The kind, which callers decide by.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The object that the operation concerned.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.object
    }

    /// The reason, without the object.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The same error in the context of a larger operation: `doing` becomes the object, this error's text the reason.
    #[must_use]
    pub fn while_doing(self, doing: &str) -> PoolError {
        PoolError { kind: self.kind, object: doing.to_owned(), reason: self.to_string() }
    }
}
