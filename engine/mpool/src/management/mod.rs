// SPDX-License-Identifier: BSD-3-Clause

//! Operations on whole pools: one file each, most of them a list of steps (`steps`).
//!
//! All are methods of [`Registry`](super::registry::Registry). They run one at a time over all pools of a host, and one
//! that has begun is to be polled to its end: whoever stops waiting for it leaves its work half done. When one fails,
//! nothing of it stays open or claimed, and what it did to media is taken back where that is possible; where it is not,
//! because the power was cut or a device failed, the next activation finds the state before or the state after.
//!
//! Differs from mpool: the name of a pool is that of the drive with MDC0, which is renamed last, so renaming is done
//! or not done even if it is interrupted (defect 20). For the same reason destroying begins with that drive.

pub mod activate;
pub mod create;
pub mod deactivate;
pub mod destroy;
pub mod drive_add;
pub mod drive_grow;
pub mod import;
pub mod layout;
mod members;
pub mod params;
pub mod props;
pub mod rename;
pub mod scan;
mod steps;

#[cfg(test)]
pub(crate) mod tests;

/// What an operation may do that it refuses otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// Create over another pool; activate without a drive, or with devices that differ from what they were. Switches
    /// the comparison of superblocks with devices off, and resizing with it (defect 24).
    pub force: bool,
    /// Bring superblocks to this software's version, or to another size.
    pub permit_meta_conv: bool,
    /// Use what a device has grown by.
    pub resize: bool,
}
