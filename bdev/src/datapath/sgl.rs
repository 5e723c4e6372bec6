// SPDX-License-Identifier: BSD-3-Clause

//! A client's memory: finding the bytes of a request in its scatter list, and copying them.
//!
//! A client may write to its memory at any time, from a guest or from another thread. So there is never a reference to
//! that memory, and only the copies made here read it: everything else looks at the copy.
//!
//! Most requests have one entry, and then a lookup is one addition. With more entries, a [`Cursor`] remembers where the
//! last lookup ended, because blocks are asked for in ascending order.

use core::ops::Range;
use core::ptr;
use core::sync::atomic::{compiler_fence, Ordering};

use libc::iovec;

/// Where a lookup stopped: the index of a list entry, and the offset in the request at which that entry starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    index: usize,
    start: u64,
}

/// A contiguous run of the client's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub base: *mut u8,
    /// Length in bytes, at least 1.
    pub len: usize,
}

impl Run {
    /// Copies the client's bytes to `to`. A byte that changes meanwhile is copied as it is at some moment of the call.
    ///
    /// # Safety
    /// The run lies in the memory of a request that is not completed; `to` is the start of `len` bytes of a pool, which
    /// nobody else uses.
    pub unsafe fn copy_to(self, to: *mut u8) {
        // SAFETY: the caller's promise; pool memory is never a client's, so the two do not overlap.
        unsafe { ptr::copy_nonoverlapping(self.base, to, self.len) };
        // Keeps the compiler from reading the client's memory again instead of `to`: it might have changed by then.
        compiler_fence(Ordering::SeqCst);
    }

    /// Copies bytes from `from` into the client's memory.
    ///
    /// # Safety
    /// As for [`Run::copy_to`]; the request is a read, and nobody changes the bytes at `from`.
    pub unsafe fn copy_from(self, from: *const u8) {
        // SAFETY: as above.
        unsafe { ptr::copy_nonoverlapping(from, self.base, self.len) };
    }

    /// Zeroes the client's bytes.
    ///
    /// # Safety
    /// The run lies in the memory of a read that is not completed.
    pub unsafe fn zero(self) {
        // SAFETY: the caller's promise.
        unsafe { ptr::write_bytes(self.base, 0, self.len) };
    }
}

/// The memory from `offset` of the request to the end of its list entry; none beyond the end of the list.
fn find(list: &[iovec], cursor: &mut Cursor, offset: u64) -> Option<Run> {
    if offset < cursor.start {
        *cursor = Cursor::default();
    }
    while let Some(entry) = list.get(cursor.index) {
        let within = offset - cursor.start;
        if within < entry.iov_len as u64 {
            // Both fit a usize, because they are smaller than an entry's length.
            let within = within as usize;
            return Some(Run { base: entry.iov_base.cast::<u8>().wrapping_add(within), len: entry.iov_len - within });
        }
        cursor.start += entry.iov_len as u64;
        cursor.index += 1;
    }
    *cursor = Cursor::default();
    None
}

/// Calls `visit(run, part)` for each run of memory of the request's bytes `range`, where `part` counts from the start
/// of the range. Returns false if the list ends first.
pub fn walk(list: &[iovec], cursor: &mut Cursor, range: Range<u64>, mut visit: impl FnMut(Run, Range<usize>)) -> bool {
    let mut done = 0;
    let total = (range.end - range.start) as usize;
    while done < total {
        let Some(run) = find(list, cursor, range.start + done as u64) else { return false };
        let len = run.len.min(total - done);
        visit(Run { base: run.base, len }, done..done + len);
        done += len;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(lengths: &[usize]) -> Vec<iovec> {
        let mut base = 0x1_0000;
        lengths
            .iter()
            .map(|&len| {
                base += 0x10_0000;
                iovec { iov_base: base as *mut _, iov_len: len }
            })
            .collect()
    }

    #[test]
    fn bytes_are_found_in_any_order() {
        let list = list(&[512, 0, 4096, 1024]);
        let mut cursor = Cursor::default();
        let expected =
            [(0, 0, 512), (511, 0, 1), (512, 2, 4096), (4607, 2, 1), (4608, 3, 1024), (100, 0, 412), (5000, 3, 632)];
        for (offset, index, len) in expected {
            let run = find(&list, &mut cursor, offset).expect("inside the list");
            let start: u64 = list[..index].iter().map(|entry: &iovec| entry.iov_len as u64).sum();
            assert_eq!(run.base as usize, list[index].iov_base as usize + (offset - start) as usize, "{offset}");
            assert_eq!(run.len, len, "{offset}");
        }
        assert_eq!(find(&list, &mut cursor, 5632), None);
        assert!(find(&list, &mut cursor, 0).is_some(), "a miss leaves the cursor usable");
        assert_eq!(find(&[], &mut Cursor::default(), 0), None);
    }

    #[test]
    fn a_walk_visits_each_byte_once() {
        let list = list(&[1000, 1, 3000, 5000]);
        let mut seen = Vec::new();
        assert!(walk(&list, &mut Cursor::default(), 900..4096, |run, part| seen.push((run.len, part))));
        assert_eq!(seen, [(100, 0..100), (1, 100..101), (3000, 101..3101), (95, 3101..3196)]);
        assert!(!walk(&list, &mut Cursor::default(), 9000..9002, |_, _| ()));
    }
}
