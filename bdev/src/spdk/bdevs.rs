// SPDX-License-Identifier: BSD-3-Clause

//! Queries about existing bdevs, on SPDK's application thread, where bdevs are registered and unregistered.

use std::ffi::{CStr, CString};

use super::{compat, ffi};
use crate::spdk::module;

/// Calls `ask` on the bdev of this name, if there is one.
fn with<R>(name: &str, ask: impl FnOnce(&ffi::spdk_bdev) -> R) -> Option<R> {
    let name = CString::new(name).ok()?;
    // SAFETY: the name is a C string. A bdev that is found stays while the app thread is in this call, because it is
    // unregistered there; its owner changes only internals that are not read here.
    unsafe { ffi::spdk_bdev_get_by_name(name.as_ptr()).as_ref() }.map(ask)
}

fn name_of(bdev: &ffi::spdk_bdev) -> String {
    if bdev.name.is_null() {
        return String::new();
    }
    // SAFETY: the name of a bdev is a C string that lives as long as the bdev.
    unsafe { CStr::from_ptr(bdev.name) }.to_string_lossy().into_owned()
}

pub fn exists(name: &str) -> bool {
    with(name, |_| ()).is_some()
}

/// The name of the bdev that `name`, a name or an alias, denotes; `name` itself if there is no such bdev.
pub fn canonical(name: &str) -> String {
    with(name, name_of).unwrap_or_else(|| name.to_owned())
}

/// Distinguishes a bdev from earlier and later ones of the same name; none if there is no such bdev.
pub fn registration(name: &str) -> Option<usize> {
    with(name, |bdev| core::ptr::from_ref(bdev).addr())
}

/// The size of a bdev in bytes.
pub fn bytes_of(name: &str) -> Option<u64> {
    with(name, |bdev| bdev.blockcnt.saturating_mul(u64::from(bdev.blocklen)))
}

/// Who has claimed a bdev.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Nobody.
    None,
    /// This module.
    Ours,
    /// Another module.
    Other,
}

/// Who has claimed a bdev; none if there is no such bdev.
pub fn claim_of(name: &str) -> Option<Claim> {
    with(name, |bdev| {
        // SAFETY: the bdev is registered, and this is the app thread, where claims change.
        match unsafe { compat::claiming_module(bdev) } {
            compat::ClaimedBy::Nobody => Claim::None,
            compat::ClaimedBy::Module(module) if module.cast_mut() == module::handle() => Claim::Ours,
            _ => Claim::Other,
        }
    })
}

/// Who uses a bdev; none if nobody has claimed it or has it open.
pub fn user_of(name: &str) -> Option<String> {
    with(name, |bdev| {
        // SAFETY: the bdev is registered, and this is the app thread.
        let (claim, module, open) =
            unsafe { (compat::claiming_module(bdev), compat::claimer(bdev), compat::is_open(bdev)) };
        match (module, claim) {
            (Some(module), _) => Some(format!("claimed by module '{module}'")),
            (None, compat::ClaimedBy::Nobody) => open.then(|| "open".to_owned()),
            (None, _) => Some("claimed by another module".to_owned()),
        }
    })
    .flatten()
}

pub fn all() -> Vec<String> {
    let mut names = Vec::new();
    // SAFETY: bdevs are registered and unregistered on this thread, so none is during the walk.
    unsafe {
        let mut bdev = ffi::spdk_bdev_first();
        while let Some(found) = bdev.as_ref() {
            names.push(name_of(found));
            bdev = ffi::spdk_bdev_next(bdev);
        }
    }
    names
}
