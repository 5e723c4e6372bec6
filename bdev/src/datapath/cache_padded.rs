// SPDX-License-Identifier: BSD-3-Clause

//! Keeps data of different writers in different cache lines.
//!
//! Other cores write a shard's inbox, the shard's own core writes its lists at every poll, and nobody writes its thread
//! and number. Side by side, each write would invalidate the others' lines. 128 bytes, because processors fetch lines
//! in pairs.

use core::ops::Deref;

/// A value in cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct CachePadded<T>(pub T);

impl<T> Deref for CachePadded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
