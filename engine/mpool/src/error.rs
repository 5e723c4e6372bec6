// SPDX-License-Identifier: BSD-3-Clause

//! Why an operation on a pool failed: what kind of failure, on which object, for what reason.
//!
//! Each kind has one errno, the one that mpool names for it; people get the text.

use thiserror::Error;

use super::device::DeviceError;

/// Result of an operation on a pool.
pub type Result<T> = core::result::Result<T, PoolError>;

/// Kinds of failure. The numbers are Linux's errno.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)]
pub enum Kind {
    /// EPERM: needs a right or a flag that was not given.
    NotPermitted = 1,
    /// ENOENT: no such object.
    NotFound = 2,
    /// EIO: a device failed, or is out of use after a failure.
    Io = 5,
    /// ENXIO: a drive that is not a member, or no such pool.
    NotMember = 6,
    /// E2BIG: more than fits.
    TooBig = 7,
    /// EBADF: no pool on this device.
    NoPool = 9,
    /// EAGAIN: not yet.
    NotYet = 11,
    /// ENOMEM.
    NoMemory = 12,
    /// EBUSY: in use.
    Busy = 16,
    /// EEXIST: there already.
    Exists = 17,
    /// ENODEV: a drive is missing.
    NoDrive = 19,
    /// EINVAL: an argument, or what was found on media, makes no sense.
    Invalid = 22,
    /// ENOTTY: no such command here.
    NoCommand = 25,
    /// EFBIG: a log is full.
    LogFull = 27,
    /// ENOSPC: no space.
    NoSpace = 28,
    /// EROFS: opened for reading only.
    ReadOnly = 30,
    /// EDOM: a wrong number of devices.
    OutOfDomain = 33,
    /// ENAMETOOLONG.
    NameTooLong = 36,
    /// EBADSLT: a record in the wrong metadata container.
    WrongSlot = 57,
    /// ENODATA: a log is corrupt.
    CorruptLog = 61,
    /// EOVERFLOW: the buffer is too small.
    Overflow = 75,
    /// EMSGSIZE: an interrupted compaction; the log's twin is to be used.
    Unfinished = 90,
    /// EPROTONOSUPPORT: a superblock from the future.
    UnknownSuperblock = 93,
    /// EOPNOTSUPP: not supported, or content from the future.
    NotSupported = 95,
    /// EALREADY: done already, cannot be undone.
    Already = 114,
}

impl Kind {
    /// The errno, a positive number.
    #[must_use]
    pub const fn errno(self) -> i32 {
        self as i32
    }
}

/// An operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{object}: {reason}")]
pub struct PoolError {
    kind: Kind,
    object: String,
    reason: String,
}

impl PoolError {
    /// A failure of `kind` on `object` ("mblock 0x1102", "drive 'Malloc0'") for `reason` (a clause without a stop).
    pub fn new(kind: Kind, object: impl Into<String>, reason: impl Into<String>) -> PoolError {
        PoolError { kind, object: object.into(), reason: reason.into() }
    }

    /// An argument or a state that makes no sense: EINVAL.
    pub fn invalid(object: impl Into<String>, reason: impl Into<String>) -> PoolError {
        PoolError::new(Kind::Invalid, object, reason)
    }

    /// A device failed while `doing` ("reading superblock 0") on `object`.
    pub fn device(object: impl Into<String>, doing: &str, error: DeviceError) -> PoolError {
        let kind = match error {
            DeviceError::Io | DeviceError::Gone => Kind::Io,
            DeviceError::NoMemory => Kind::NoMemory,
            DeviceError::Invalid => Kind::Invalid,
        };
        PoolError::new(kind, object, format!("{doing} failed: {error}"))
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The object concerned.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.object
    }

    /// Why, without the object.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The same failure seen from a larger operation: `object` is put before.
    #[must_use]
    pub fn while_doing(self, doing: &str) -> PoolError {
        PoolError { kind: self.kind, object: doing.to_owned(), reason: self.to_string() }
    }
}
