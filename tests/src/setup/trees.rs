// SPDX-License-Identifier: BSD-3-Clause

//! Which SPDK trees are used.

use std::path::Path;

use spdk_sys_build::{locate, locate_release, Release, SpdkTree};

use super::error::SetupError;

/// The tree that a build of the module takes by default: `SPDK_DIR`'s, pkg-config's, or the cache's.
///
/// # Errors
/// There is none; `spdk-sys-build setup` makes one.
pub fn default_tree() -> Result<SpdkTree, SetupError> {
    Ok(locate()?)
}

/// The tree of a release: that of `SPDK_DIR_26_01` or `SPDK_DIR_20_07` where set, else the cache's.
///
/// # Errors
/// There is none; `spdk-sys-build setup --release all` makes it.
pub fn tree_of(release: Release) -> Result<SpdkTree, SetupError> {
    let variable = match release {
        Release::V2601 => "SPDK_DIR_26_01",
        Release::V2007 => "SPDK_DIR_20_07",
    };
    if let Some(dir) = std::env::var_os(variable).filter(|dir| !dir.is_empty()) {
        return Ok(SpdkTree::from_dir(Path::new(&dir))?);
    }
    Ok(locate_release(release)?)
}
