// SPDX-License-Identifier: BSD-3-Clause

//! The two SPDK trees in Debian's archive, and how each is built.
//!
//! A [`Release`] is a slot: where the tree lies in the tarball, and which recipe builds it. The version of the result
//! is read from the tree itself ([`crate::SpdkVersion`]).

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::error::Error;

/// A release of SPDK that can be obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// SPDK 26.01: the main tree.
    V2601,
    /// SPDK 20.07: the old tree, and the fallback when the archive no longer carries 26.01.
    V2007,
}

/// A one-line edit of a file that a tree needs before it builds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mend {
    /// Insert `line` after the first line that contains `after`.
    InsertAfter { file: &'static str, after: &'static str, line: &'static str },
    /// Append `line` to the file.
    Append { file: &'static str, line: &'static str },
}

/// Ceph's patches call these two from other libraries, but do not export one, and define the other only with
/// --with-rbd, so the shared link fails. Harmless if a later package has them fixed: see `make::apply`.
const MENDS_2601: &[Mend] = &[
    Mend::InsertAfter {
        file: "lib/notify/spdk_notify.map",
        after: "spdk_notify_type_register;",
        line: "\tspdk_notify_type_register_once;",
    },
    Mend::Append { file: "lib/nvmf/nvmf.c", line: "SPDK_LOG_REGISTER_COMPONENT(reservation)" },
];

const COMMON_FLAGS: &[&str] = &[
    "--disable-tests",
    "--disable-unit-tests",
    // Runs on every x86-64 of the last decade, whichever machine built it.
    "--target-arch=x86-64-v2",
    "--with-uring",
    "--with-shared",
];

impl Release {
    /// Both releases, the main one first.
    pub const ALL: [Self; 2] = [Self::V2601, Self::V2007];

    /// The release's name, as in `SPDK_RELEASE`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V2601 => "26.01",
            Self::V2007 => "20.07",
        }
    }

    /// Where the tree lies in ceph's tarball, relative to its top directory.
    pub(crate) fn path_in_tarball(self) -> &'static str {
        match self {
            Self::V2601 => "src/nvmeof/gateway/spdk",
            Self::V2007 => "src/spdk",
        }
    }

    pub(crate) fn mends(self) -> &'static [Mend] {
        match self {
            Self::V2601 => MENDS_2601,
            Self::V2007 => &[],
        }
    }

    /// Arguments of `./configure`; `fio` is the built fio source tree.
    pub(crate) fn configure_flags(self, fio: &Path) -> Vec<String> {
        let mut flags: Vec<String> = COMMON_FLAGS.iter().map(|&flag| flag.to_owned()).collect();
        if self == Self::V2601 {
            flags.push("--with-vfio-user".to_owned());
        }
        flags.push(format!("--with-fio={}", fio.display()));
        flags
    }

    /// Directories to make after the tree itself: 20.07 counts bdevperf among the tests, which are disabled.
    pub(crate) fn extra_makes(self) -> &'static [&'static str] {
        match self {
            Self::V2601 => &[],
            Self::V2007 => &["test/bdev/bdevperf"],
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Release {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let text = text.trim().trim_start_matches('v');
        Self::ALL
            .into_iter()
            .find(|release| release.name() == text)
            .ok_or_else(|| Error::UnknownRelease(text.to_owned()))
    }
}
