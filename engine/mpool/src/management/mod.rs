// SPDX-License-Identifier: BSD-3-Clause

//! Operations on whole pools: one file each, most of them a list of steps (`steps`).
//!
//! All are methods of [`Registry`](super::registry::Registry). They run one at a time over all pools of a host. An
//! operation that has begun must be polled to its end: dropping its future leaves the work half done. When one fails,
//! nothing of it stays open or claimed, and its changes on media are undone where possible; where not, because the
//! power was cut or a device failed, the next activation finds the state before or after.
//!
//! Differs from mpool: the name of a pool is that of the drive with MDC0, whose superblock is rewritten last, so an
//! interrupted rename is either done or not done (defect 20). For the same reason destruction begins with that drive.

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

/// Permissions for what an operation refuses otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// Create over another pool; activate without a drive, or with devices that have changed. Turns off the comparison
    /// of superblocks with devices, and with it resizing (defect 24).
    pub force: bool,
    /// Rewrite superblocks to this software's version, or for another size.
    pub permit_meta_conv: bool,
    /// Use the space by which a device has grown.
    pub resize: bool,
}
