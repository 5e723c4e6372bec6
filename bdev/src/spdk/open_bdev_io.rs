// SPDX-License-Identifier: BSD-3-Clause

//! I/O on an open bdev: an operation's pieces, handed to SPDK together, and the future that ends with the last of them.
//!
//! Ownership: the operation owns the memory; each piece that SPDK has, and each that waits for an `spdk_bdev_io`, holds
//! a counted reference to the operation; the operation holds one to the bdev. So neither memory nor bdev goes away
//! while anything is in flight, whatever happens to the future.
//!
//! When SPDK has no `spdk_bdev_io` left (-ENOMEM), a piece that could not be submitted, and everything submitted after
//! it, waits in order until SPDK reports free ones.

use core::cell::{Cell, RefCell};
use core::ffi::c_void;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::rc::Rc;

use mpool::device::{pieces, Ended, Transfer};
use mpool::{DeviceError, IoBuf};

use super::open_bdev::OpenBdev;
use super::{ffi, tasks};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Read,
    Write,
    /// Make everything durable that was written.
    Flush,
    /// Discard.
    Unmap,
}

/// One operation, of one or more pieces.
#[derive(Debug)]
pub struct Operation {
    bdev: Rc<OpenBdev>,
    command: Command,
    /// Not touched from the start of the first piece to the end of the last.
    buf: RefCell<Option<IoBuf>>,
    /// Pieces that have not ended.
    left: Cell<usize>,
    /// The error of the first piece that failed.
    failed: Cell<Option<DeviceError>>,
    waker: RefCell<Option<Waker>>,
}

/// Part of an operation.
#[derive(Debug)]
pub struct Piece {
    operation: Rc<Operation>,
    block: u64,
    blocks: u64,
    /// The piece's memory, inside the operation's; null for commands without data.
    memory: *mut u8,
}

impl OpenBdev {
    pub async fn transfer(self: &Rc<Self>, command: Command, transfer: Transfer) -> Ended {
        let Transfer { at, mut buf, range, chunk } = transfer;
        let unit = self.block_bytes();
        let aligned = at.is_multiple_of(unit)
            && (range.len() as u64).is_multiple_of(unit)
            && (chunk as u64).is_multiple_of(unit)
            && chunk > 0;
        let inside = at.checked_add(range.len() as u64).is_some_and(|end| end <= self.bytes());
        if !aligned || !inside || range.end > buf.as_ref().as_ref().len() {
            return (buf, Err(DeviceError::Invalid));
        }
        let memory: &mut [u8] = (*buf).as_mut();
        let start = memory.as_mut_ptr();
        let parts: Vec<_> = pieces(at, range, chunk)
            .map(|(at, part)| (at / unit, part.len() as u64 / unit, start.wrapping_add(part.start)))
            .collect();
        let operation = self.start(command, Some(buf), &parts);
        let outcome = operation.end().await;
        let buf = operation.buf.borrow_mut().take().expect("an operation keeps its memory to its end");
        (buf, outcome)
    }

    /// Makes all completed writes durable, if the bdev supports flush.
    pub async fn flush(self: &Rc<Self>) -> Result<(), DeviceError> {
        if !self.can_flush {
            return if self.removed.get() { Err(DeviceError::Gone) } else { Ok(()) };
        }
        let whole = (0, self.bytes() / self.block_bytes(), core::ptr::null_mut());
        self.start(Command::Flush, None, &[whole]).end().await
    }

    /// Discards, if the bdev supports unmap. SPDK splits ranges that are too large for the device.
    pub async fn unmap(self: &Rc<Self>, at: u64, bytes: u64) -> Result<(), DeviceError> {
        let unit = self.block_bytes();
        let inside = at.checked_add(bytes).is_some_and(|end| end <= self.bytes());
        if !at.is_multiple_of(unit) || !bytes.is_multiple_of(unit) || !inside {
            return Err(DeviceError::Invalid);
        }
        if bytes == 0 || !self.can_unmap() {
            return Ok(());
        }
        self.start(Command::Unmap, None, &[(at / unit, bytes / unit, core::ptr::null_mut())]).end().await
    }

    /// Starts an operation. `parts`: first block, number of blocks, memory inside `buf`.
    fn start(self: &Rc<Self>, command: Command, buf: Option<IoBuf>, parts: &[(u64, u64, *mut u8)]) -> Rc<Operation> {
        let operation = Rc::new(Operation {
            bdev: Rc::clone(self),
            command,
            buf: RefCell::new(buf),
            left: Cell::new(parts.len()),
            failed: Cell::new(None),
            waker: RefCell::new(None),
        });
        for &(block, blocks, memory) in parts {
            self.submit(Piece { operation: Rc::clone(&operation), block, blocks, memory });
        }
        operation
    }

    fn submit(self: &Rc<Self>, piece: Piece) {
        if self.removed.get() {
            piece.operation.end_piece(Err(DeviceError::Gone));
        } else if self.blocked.borrow().is_some() || !self.unsent.borrow().is_empty() {
            self.unsent.borrow_mut().push_back(piece);
        } else if let Err(piece) = self.issue(piece) {
            self.unsent.borrow_mut().push_back(piece);
            self.wait_for_bdev_io();
        }
    }

    /// Hands a piece to SPDK. Returns the piece if SPDK has no spdk_bdev_io for it.
    fn issue(&self, piece: Piece) -> Result<(), Piece> {
        let Some(channel) = self.channel.get() else {
            piece.operation.end_piece(Err(DeviceError::Gone));
            return Ok(());
        };
        let (desc, channel) = (self.desc.as_ptr(), channel.as_ptr());
        let (block, blocks, memory) = (piece.block, piece.blocks, piece.memory.cast::<c_void>());
        let command = piece.operation.command;
        let context = Rc::into_raw(Rc::clone(&piece.operation)).cast_mut().cast::<c_void>();
        self.in_flight.set(self.in_flight.get() + 1);
        // SAFETY: descriptor and channel are open, and stay so while `in_flight` is not 0; the blocks are inside the
        // bdev or SPDK refuses them; the memory lies inside the operation's buffer (`transfer`), which stays in place
        // and untouched until the callback has dropped the reference that the context is.
        let rc = unsafe {
            match command {
                Command::Read => {
                    ffi::spdk_bdev_read_blocks(desc, channel, memory, block, blocks, Some(piece_done), context)
                }
                Command::Write => {
                    ffi::spdk_bdev_write_blocks(desc, channel, memory, block, blocks, Some(piece_done), context)
                }
                Command::Flush => ffi::spdk_bdev_flush_blocks(desc, channel, block, blocks, Some(piece_done), context),
                Command::Unmap => ffi::spdk_bdev_unmap_blocks(desc, channel, block, blocks, Some(piece_done), context),
            }
        };
        if rc == 0 {
            return Ok(());
        }
        self.in_flight.set(self.in_flight.get() - 1);
        // SAFETY: made above; SPDK refused the piece, so the callback does not come.
        drop(unsafe { Rc::from_raw(context.cast::<Operation>().cast_const()) });
        if rc == -libc::ENOMEM {
            return Err(piece);
        }
        let error = if rc == -libc::EINVAL { DeviceError::Invalid } else { DeviceError::Io };
        piece.operation.end_piece(Err(error));
        Ok(())
    }

    /// Asks SPDK to report when it has spdk_bdev_io again.
    fn wait_for_bdev_io(self: &Rc<Self>) {
        let Some(channel) = self.channel.get() else { return };
        let entry = self.wait_entry.get();
        // SAFETY: SPDK holds the entry only while `blocked` is set; here it is not. While it is set, `blocked` keeps
        // the bdev, and the entry in it, alive and open.
        let rc = unsafe {
            (*entry).bdev = self.bdev.as_ptr();
            (*entry).cb_fn = Some(available);
            (*entry).cb_arg = Rc::as_ptr(self).cast_mut().cast();
            ffi::spdk_bdev_queue_io_wait(self.bdev.as_ptr(), channel.as_ptr(), entry)
        };
        if rc == 0 {
            *self.blocked.borrow_mut() = Some(Rc::clone(self));
        } else {
            // Refused because some became free in between.
            let this = Rc::clone(self);
            tasks::spawn(async move { this.resume() });
        }
    }

    /// Resubmits pieces that found no spdk_bdev_io.
    fn resume(self: &Rc<Self>) {
        while self.blocked.borrow().is_none() {
            let Some(piece) = self.unsent.borrow_mut().pop_front() else { return };
            if let Err(piece) = self.issue(piece) {
                self.unsent.borrow_mut().push_front(piece);
                self.wait_for_bdev_io();
                return;
            }
        }
    }

    /// Fails the waiting pieces, because the bdev is gone.
    pub(super) fn fail_unsent(&self) {
        let unsent = core::mem::take(&mut *self.unsent.borrow_mut());
        for piece in unsent {
            piece.operation.end_piece(Err(DeviceError::Gone));
        }
    }
}

impl Operation {
    /// Records the end of a piece.
    fn end_piece(&self, outcome: Result<(), DeviceError>) {
        if let (Err(error), None) = (outcome, self.failed.get()) {
            self.failed.set(Some(error));
        }
        self.left.set(self.left.get() - 1);
        if self.left.get() == 0 {
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
    }

    /// Waits for the last piece.
    async fn end(&self) -> Result<(), DeviceError> {
        poll_fn(|context| {
            if self.left.get() == 0 {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        self.failed.get().map_or(Ok(()), Err)
    }
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn piece_done(bdev_io: *mut ffi::spdk_bdev_io, success: bool, context: *mut c_void) {
    // SAFETY: SPDK calls this once for each piece that it took, on the thread of the channel, with the reference
    // that `issue` made.
    let operation = unsafe {
        ffi::spdk_bdev_free_io(bdev_io);
        Rc::from_raw(context.cast::<Operation>().cast_const())
    };
    let bdev = Rc::clone(&operation.bdev);
    bdev.in_flight.set(bdev.in_flight.get() - 1);
    operation.end_piece(match success {
        true => Ok(()),
        false if bdev.removed.get() => Err(DeviceError::Gone),
        false => Err(DeviceError::Io),
    });
    drop(operation);
    bdev.close_if_removed();
}

/// # Safety
/// SPDK calls it, with what it was registered with.
unsafe extern "C" fn available(context: *mut c_void) {
    // SAFETY: SPDK calls this on the thread of the channel with the bdev whose entry it held; `blocked` keeps it.
    let kept = unsafe { &*context.cast::<OpenBdev>() }.blocked.take();
    let Some(bdev) = kept else { return };
    bdev.resume();
    bdev.close_if_removed();
}
