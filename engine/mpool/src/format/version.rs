// SPDX-License-Identifier: BSD-3-Clause

//! The versions of the parts of a pool on media, and the versions that this software writes.
//!
//! | part | original | current | what changed |
//! |---|---|---|---|
//! | superblock | 1 | 3 | a third copy at the end; a CRC32C over the whole of each; generation counts rewrites; device record |
//! | log blocks | 1 | 2 | a CRC32C over the whole of each block |
//! | MDC content | 1.0.0.0 | 2.1.0.0 | slab objects (2.0.0.0); tunables |

use core::fmt;

use crate::error::{Kind, PoolError};
use crate::mlog::LogFormat;

/// The version of the content of an MDC; compared field by field in this order.
///
/// It names the first release that gave the content this meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentVersion {
    /// Raised by changes that need a conversion.
    pub major: u16,
    /// Raised by additions.
    pub minor: u16,
    /// Raised by corrections.
    pub patch: u16,
    /// Raised by steps of a development.
    pub dev: u16,
}

impl ContentVersion {
    /// The version of an MDC without a version record: the original mpool's.
    pub const ORIGINAL: ContentVersion = ContentVersion { major: 1, minor: 0, patch: 0, dev: 0 };

    /// The version that adds slab objects.
    pub const SLABS: ContentVersion = ContentVersion { major: 2, minor: 0, patch: 0, dev: 0 };

    /// The version that adds tunables.
    pub const TUNABLES: ContentVersion = ContentVersion { major: 2, minor: 1, patch: 0, dev: 0 };

    /// The version that this software writes.
    pub const CURRENT: ContentVersion = ContentVersion::TUNABLES;

    /// True when an MDC of this version has a version record: all but the original.
    #[must_use]
    pub fn is_recorded(self) -> bool {
        self > ContentVersion::ORIGINAL
    }

    /// Refuses content of a newer version.
    ///
    /// # Errors
    /// EOPNOTSUPP: the version is newer than [`ContentVersion::CURRENT`]. `object` names the owner of the content.
    pub fn check_known(self, object: impl Into<String>) -> Result<(), PoolError> {
        if self <= ContentVersion::CURRENT {
            return Ok(());
        }
        let reason = format!("its content has version {self}, newer than {}", ContentVersion::CURRENT);
        Err(PoolError::new(Kind::NotSupported, object, reason))
    }
}

impl fmt::Display for ContentVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.major, self.minor, self.patch, self.dev)
    }
}

/// The version of a superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum SuperblockVersion {
    /// The original mpool's.
    V1 = 1,
    /// Adds a third copy, a CRC32C over the whole of each, a generation, flags, and the record of the device.
    V3 = 3,
}

impl SuperblockVersion {
    /// The version that this software writes.
    pub const CURRENT: SuperblockVersion = SuperblockVersion::V3;

    /// The version with a number on media; none when this software does not know it.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<SuperblockVersion> {
        match number {
            1 => Some(SuperblockVersion::V1),
            3 => Some(SuperblockVersion::V3),
            _ => None,
        }
    }
}

/// The versions with which a pool is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaFormat {
    /// The version of superblocks.
    pub superblock: SuperblockVersion,
    /// The version of log blocks.
    pub log: LogFormat,
    /// The version of the content of MDCs.
    pub content: ContentVersion,
}

impl MediaFormat {
    /// The original mpool's versions, for tests of the conversion.
    pub const ORIGINAL: MediaFormat =
        MediaFormat { superblock: SuperblockVersion::V1, log: LogFormat::V1, content: ContentVersion::ORIGINAL };

    /// The versions that this software writes.
    pub const CURRENT: MediaFormat =
        MediaFormat { superblock: SuperblockVersion::CURRENT, log: LogFormat::V2, content: ContentVersion::CURRENT };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(major: u16, minor: u16, patch: u16, dev: u16) -> ContentVersion {
        ContentVersion { major, minor, patch, dev }
    }

    #[test]
    fn versions_are_compared_field_by_field() {
        let ordered = [
            version(0, 9, 9, 9),
            ContentVersion::ORIGINAL,
            version(1, 0, 0, 1),
            version(1, 0, 1, 0),
            version(1, 1, 0, 0),
            ContentVersion::SLABS,
            ContentVersion::CURRENT,
        ];
        assert!(ordered.is_sorted());
        assert!(!ContentVersion::ORIGINAL.is_recorded() && version(1, 0, 0, 1).is_recorded());
    }

    /// mpool-93, partly: content of a newer version is refused with EOPNOTSUPP.
    #[test]
    fn newer_content_is_refused() {
        assert_eq!(ContentVersion::CURRENT.check_known("MDC1"), Ok(()));
        assert_eq!(ContentVersion::ORIGINAL.check_known("MDC1"), Ok(()));
        let refused = version(2, 1, 0, 1).check_known("MDC1").expect_err("newer");
        assert_eq!(refused.kind(), Kind::NotSupported);
        assert_eq!(refused.to_string(), "MDC1: its content has version 2.1.0.1, newer than 2.1.0.0");
    }
}
