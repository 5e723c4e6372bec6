// SPDX-License-Identifier: BSD-3-Clause

//! Keeps data of different writers in different cache lines.
//!
//! A shard's inbox is written by other cores, its lists by its own at every turn, its thread and number by nobody:
//! side by side, each write would take the others' lines away. 128 bytes, because processors fetch lines in pairs.

use core::ops::Deref;

/// A value with cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct CachePadded<T>(pub T);

impl<T> Deref for CachePadded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
