// SPDX-License-Identifier: BSD-3-Clause

//! Errors. Each variant says what was being done to which object and, if there is one, the way out.

use std::path::{Path, PathBuf};

use crate::elf::ElfError;

/// An error in finding, obtaining or describing SPDK.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A directory that should be a built SPDK tree is not one.
    #[error("{dir} is no SPDK with shared libraries that a module could be built for: {reason} (SPDK_DIR takes a source tree that was configured --with-shared and built, or the prefix that one was installed to; without SPDK_DIR one is built)", dir = dir.display())]
    NotATree {
        /// The directory that was examined.
        dir: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// No tree was found anywhere.
    #[error("no SPDK {release} found: SPDK_DIR is not set, pkg-config knows no shared spdk_bdev, and {cache} holds no finished build; run `cargo run -p spdk-sys-build -- setup --release {release}`", cache = cache.display())]
    NotFound {
        /// The release that was wanted.
        release: crate::Release,
        /// The cache that was searched.
        cache: PathBuf,
    },
    /// A file operation failed.
    #[error("{doing} {path}: {source}", path = path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("starting `{command}`: {source}")]
    Spawn {
        /// The command line.
        command: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program ended with an error.
    #[error("`{command}` failed ({status}); the end of its output{place}:\n{tail}", place = place(log.as_deref()))]
    Command {
        /// The command line.
        command: String,
        /// The exit status.
        status: std::process::ExitStatus,
        /// The file with the whole output.
        log: Option<PathBuf>,
        /// Its last lines.
        tail: String,
    },
    /// System packages are missing, and this process may not or should not install them.
    #[error("packages needed to build SPDK are missing: {}; install them with\n    {command}\nor let `cargo run -p spdk-sys-build -- setup` do it as root", packages.join(" "))]
    MissingPackages {
        /// The missing packages.
        packages: Vec<String>,
        /// The command that installs them.
        command: String,
    },
    /// Debian's archive does not carry what was searched for.
    #[error("Debian's archive carries no {what} in {suites}")]
    NotInArchive {
        /// What was looked for.
        what: String,
        /// The suites searched.
        suites: String,
    },
    /// A downloaded file differs from the signed index.
    #[error("{file}: SHA-256 is {found}, Debian's index says {wanted}; the file was removed, try again", file = file.display())]
    Checksum {
        /// The file.
        file: PathBuf,
        /// The hash in the index.
        wanted: String,
        /// The hash of the file.
        found: String,
    },
    /// A text file lacks what it should hold.
    #[error("{path}: no usable {what}", path = path.display())]
    Parse {
        /// What was looked for.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A shared library or program is not readable as ELF.
    #[error("{path}: {source}", path = path.display())]
    Elf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ElfError,
    },
    /// An unknown release name.
    #[error("unknown SPDK release {0:?}: 26.01 and 20.07 are known")]
    UnknownRelease(String),
    /// None of the variables that determine the cache's place is set.
    #[error("no place for the cache: set SPDK_DEDUPE_CACHE, XDG_CACHE_HOME or HOME")]
    NoCachePlace,
    /// The binding generator failed.
    #[error("generating bindings from {dir}: {reason}", dir = dir.display())]
    Bindgen {
        /// The include directory.
        dir: PathBuf,
        /// bindgen's message.
        reason: String,
    },
    /// A tree has no program that shows which libraries an SPDK application needs.
    #[error("{dir}: neither bdevperf nor spdk_tgt found there, so the libraries an SPDK application needs are unknown", dir = dir.display())]
    NoApplication {
        /// The tree.
        dir: PathBuf,
    },
}

impl Error {
    /// For `map_err`: a file error, with what was being done to which file.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

fn place(log: Option<&Path>) -> String {
    log.map(|path| format!(" (whole: {})", path.display())).unwrap_or_default()
}
