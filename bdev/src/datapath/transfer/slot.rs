// SPDX-License-Identifier: BSD-3-Clause

//! One transfer, flush, or part of a flush in flight.

use core::cell::{Cell, UnsafeCell};
use core::ptr::{self, NonNull};

use engine::{RunToken, BLOCK_SIZE, MAX_RUN_BLOCKS};
use libc::iovec;

use super::waiting::Waits;
use super::Transfers;
use crate::datapath::list::Linked;
use crate::spdk::buffer::Buf;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    Read,
    Write,
    /// Make everything durable that was written.
    Flush,
}

/// Who learns of the end.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// The engine, by its token.
    Run(RunToken),
    /// The flush of which this is a part.
    Part(NonNull<Slot>),
}

/// See the module's documentation. The fields belong to [`Transfers`], and to the device while the slot is in flight.
pub struct Slot {
    link: Cell<*const Slot>,
    /// Outlives its slots.
    pub owner: *const Transfers,
    pub work: Cell<Work>,
    /// Metadata or a flush: goes before data when SPDK is short of spdk_bdev_io.
    pub urgent: Cell<bool>,
    pub answer: Cell<Answer>,
    /// First byte on the device.
    pub at: Cell<u64>,
    pub bytes: Cell<u64>,
    /// Number of the device.
    pub device: Cell<u8>,
    /// For a flush: parts that have not ended.
    pub parts: Cell<u32>,
    /// Success so far.
    pub ok: Cell<bool>,
    iovcnt: Cell<usize>,
    iovs: UnsafeCell<[iovec; MAX_RUN_BLOCKS]>,
}

// SAFETY: `link` always returns the same field, which only the lists write to.
unsafe impl Linked for Slot {
    fn link(&self) -> &Cell<*const Slot> {
        &self.link
    }
}

impl Waits for Slot {
    fn is_urgent(&self) -> bool {
        self.urgent.get()
    }
}

impl Slot {
    /// A free slot.
    pub fn new(owner: *const Transfers) -> Slot {
        Slot {
            link: Cell::new(ptr::null()),
            owner,
            work: Cell::new(Work::Flush),
            urgent: Cell::new(false),
            answer: Cell::new(Answer::Run(RunToken(0))),
            at: Cell::new(0),
            bytes: Cell::new(0),
            device: Cell::new(0),
            parts: Cell::new(0),
            ok: Cell::new(false),
            iovcnt: Cell::new(0),
            iovs: UnsafeCell::new([iovec { iov_base: ptr::null_mut(), iov_len: 0 }; MAX_RUN_BLOCKS]),
        }
    }

    /// Lists the memory of a transfer: the first `bytes` bytes of `bufs`.
    ///
    /// # Safety
    /// The slot is not in flight, and no reference into its list exists.
    pub unsafe fn list(&self, bufs: &[Buf], bytes: usize) {
        // SAFETY: the caller's promise.
        self.iovcnt.set(fill(unsafe { &mut *self.iovs.get() }, bufs, bytes));
    }

    /// The memory of a transfer, and its number of entries.
    pub fn memory(&self) -> (*mut iovec, i32) {
        (self.iovs.get().cast(), self.iovcnt.get() as i32)
    }
}

/// Lists the blocks. Neighbours in memory share an entry; the last block counts only as far as `bytes` reaches. Returns
/// the number of entries.
fn fill(iovs: &mut [iovec; MAX_RUN_BLOCKS], bufs: &[Buf], bytes: usize) -> usize {
    debug_assert_eq!(bytes.div_ceil(BLOCK_SIZE), bufs.len(), "the bytes end in the last block");
    let mut used = 0;
    let mut end = ptr::null_mut();
    for buf in bufs {
        let base = buf.as_ptr();
        if used > 0 && base == end {
            iovs[used - 1].iov_len += BLOCK_SIZE;
        } else {
            iovs[used] = iovec { iov_base: base.cast(), iov_len: BLOCK_SIZE };
            used += 1;
        }
        end = base.wrapping_add(BLOCK_SIZE);
    }
    iovs[used - 1].iov_len -= bufs.len() * BLOCK_SIZE - bytes;
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(order: &[usize], bytes: usize) -> Vec<usize> {
        let memory = vec![0_u8; 8 * BLOCK_SIZE];
        let base = NonNull::from(&memory[0]);
        // SAFETY: the blocks are inside the memory.
        let bufs: Vec<Buf> = order.iter().map(|block| Buf::at(unsafe { base.add(block * BLOCK_SIZE) })).collect();
        let mut iovs = [iovec { iov_base: ptr::null_mut(), iov_len: 0 }; MAX_RUN_BLOCKS];
        let used = fill(&mut iovs, &bufs, bytes);
        iovs[..used].iter().map(|iov| iov.iov_len).collect()
    }

    #[test]
    fn neighbours_in_memory_are_one_entry() {
        assert_eq!(lengths(&[0, 1, 2], 3 * 4096), [3 * 4096]);
        assert_eq!(lengths(&[2, 1, 4, 5], 4 * 4096), [4096, 4096, 8192]);
    }

    #[test]
    fn the_last_block_may_be_cut() {
        assert_eq!(lengths(&[0], 512), [512]);
        assert_eq!(lengths(&[0, 1], 4096 + 512), [4096 + 512]);
        assert_eq!(lengths(&[0, 2], 4096 + 3584), [4096, 3584]);
    }
}
