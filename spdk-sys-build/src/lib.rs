// SPDX-License-Identifier: BSD-3-Clause

//! Finds a built SPDK tree, or obtains and builds one, and prepares a Rust crate to be compiled against it.
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
//! Depend on the crate with `default-features = false`: the command-line program and its argument parser then stay out.
//!
//! # Which tree is taken
//! 1. `SPDK_DIR`, when set: a built tree, or the prefix of an installation, with shared libraries; anything else there is an
//!    error, never skipped.
//! 2. `pkg-config spdk_bdev`, when it knows one with shared libraries (skipped when `SPDK_RELEASE` is set).
//! 3. The cache: the release named by `SPDK_RELEASE` (`26.01`, the default, or `20.07`). [`locate_or_obtain`] builds it when
//!    it is missing; [`locate`] only says that it is.
//!
//! # What is obtained, and from where
//! Debian's source package `ceph` 20.2 (forky, sid) holds complete trees of SPDK 26.01 (with its DPDK, ISA-L and libvfio-user) and
//! of SPDK 20.07 in one tarball; trixie's `ceph` 18.2 holds 20.07 only and is the last resort. The package is fetched with `apt-get source`
//! through a sources list of its own, so that the system's lists stay as they are; its SHA-256 is compared with the signed
//! index's. fio comes from Debian's source package as well (of the running system's suite): SPDK's fio plugin carries fio's ABI number
//! and fits that fio alone, so the fio binary is kept beside it.
//!
//! # The cache
//! `$SPDK_DEDUPE_CACHE`, or `$XDG_CACHE_HOME/spdk-dedupe`, or `~/.cache/spdk-dedupe`. Invariants:
//! * A tree counts as finished if, and only if, its stamp file stands beside it and holds the very recipe (flags, mends, place) that
//!   would be used now. The stamp is written last, after the tree has been flushed to the disk, and removed first. SPDK builds embed
//!   absolute paths, so trees are built where they stay and cannot be renamed into place.
//! * One process at a time works on a tree (`flock`); a second one waits, says so, and finds the work done. The lock is inherited by
//!   the compilers, so that it outlives a killed parent until the last of its children is gone.
//!
//! # Choices
//! * The programs of one's own are linked to the shared libraries that the stock `bdevperf` of the same tree names in its ELF
//!   file, instead of a list
//!   kept here: it is right for every release, and needs no `.pc` files (20.07 has none).
//! * `SPDK_RELEASE` names a slot (the modern tree, the old tree): if Debian's package moves on to a later SPDK, that one is taken and said.

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
