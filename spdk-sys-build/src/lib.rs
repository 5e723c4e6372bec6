// SPDX-License-Identifier: BSD-3-Clause

//! Finds a built SPDK tree, or obtains and builds one, and prepares a Rust crate for compilation against it.
//!
//! # For build scripts
//! ```no_run
//! # fn main() {
//! let out = std::path::PathBuf::from("bindings.rs"); // in $OUT_DIR
//! spdk_sys_build::build_script(|| {
//!     let tree = spdk_sys_build::locate_or_obtain()?;
//!     let bindings_text = spdk_sys_build::bindings(&tree, &out)?;
//!     spdk_sys_build::emit_cfgs(&tree, &bindings_text);
//!     spdk_sys_build::emit_cdylib_link(&tree);
//!     spdk_sys_build::emit_bin_link(&tree)
//! });
//! # }
//! ```
//! Depend on the crate with `default-features = false`, which leaves out the command-line program and its argument parser.
//!
//! # Which tree is used
//! 1. `SPDK_DIR`, if set: a built tree, or the prefix of an installation, with shared libraries. Anything else there is an error, never
//!    skipped.
//! 2. `pkg-config spdk_bdev`, if it knows an SPDK with shared libraries (skipped when `SPDK_RELEASE` is set).
//! 3. The cache: the release named by `SPDK_RELEASE` (`26.01`, the default, or `20.07`). If it is missing, [`locate_or_obtain`] builds it;
//!    [`locate`] only reports that.
//!
//! # What is obtained, and from where
//! Debian's source package `ceph` 20.2 (forky, sid) holds complete trees of SPDK 26.01 (with its DPDK, ISA-L and libvfio-user) and of SPDK
//! 20.07 in one tarball; trixie's `ceph` 18.2 holds only 20.07 and is the last resort. `apt-get source` fetches the package through a sources
//! list of its own, which leaves the system's lists as they are; the package's SHA-256 is compared with the signed index's. fio also comes
//! from Debian's source package (of the running system's suite): SPDK's fio plugin carries fio's ABI number and works only with that fio, so
//! the fio binary is kept beside it.
//!
//! # The cache
//! `$SPDK_DEDUPE_CACHE`, or `$XDG_CACHE_HOME/spdk-dedupe`, or `~/.cache/spdk-dedupe`. Invariants:
//! * A tree counts as finished if, and only if, its stamp file is beside it and holds the very recipe (flags, mends, path) that would be
//!   used now. The stamp is written last, after the tree has been flushed to the disk, and removed first. SPDK builds embed absolute paths,
//!   so trees are built in their final place and cannot be renamed into it.
//! * One process at a time works on a tree (`flock`); a second one says so, waits, and finds the work done. The compilers inherit the lock,
//!   so a killed parent's lock is held until the last of its children is gone.
//!
//! # Choices
//! * A package's own programs are linked with the shared libraries that the ELF file of the same tree's stock `bdevperf` names, instead of a
//!   list kept here: this is right for every release, and needs no `.pc` files (20.07 has none).
//! * `SPDK_RELEASE` names a slot (the modern tree, the old tree): if Debian's package moves on to a later SPDK, that one is used, and reported.

#![forbid(unsafe_code)]

mod apt;
mod bindings;
mod cache;
mod cargo;
mod debian_version;
mod elf;
mod error;
mod locate;
mod make;
mod packages;
mod progress;
mod release;
mod run;
mod showsrc;
mod tree;
mod version;

pub use apt::source_options;
pub use bindings::bindings;
pub use cache::Cache;
pub use cargo::{build_script, emit_bin_link, emit_cdylib_link, emit_cfgs};
pub use elf::{ElfError, ElfInfo};
pub use error::Error;
pub use locate::{locate, locate_or_obtain, locate_release, obtain, requested_release, set_up_default, unpack_headers};
pub use packages::{install_packages, missing_packages};
pub use progress::Progress;
pub use release::Release;
pub use tree::{Apps, Origin, SpdkTree};
pub use version::SpdkVersion;
