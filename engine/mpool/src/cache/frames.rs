// SPDX-License-Identifier: BSD-3-Clause

//! The memory of the cache: a bounded pool of buffers of one size.
//!
//! Invariants: there are never more buffers than the limit. While a task waits for a buffer, none is free; a returned
//! buffer goes to the oldest waiter. A buffer whose memory is lost (with the task that had it) can be allocated again.

use core::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use futures::channel::oneshot;

use super::source::MblockSource;
use crate::device::IoBuf;

/// A bounded pool of buffers of one size.
#[derive(Debug)]
pub struct BufferPool {
    source: Rc<dyn MblockSource>,
    buffer_bytes: usize,
    limit: usize,
    /// The number of buffers that exist.
    allocated: Cell<usize>,
    free: RefCell<Vec<IoBuf>>,
    waiting: RefCell<VecDeque<oneshot::Sender<Buffer>>>,
}

/// A buffer in use. Dropping it returns it to its pool.
#[derive(Debug)]
pub struct Buffer {
    pool: Rc<BufferPool>,
    /// None while a transfer has the memory.
    memory: Option<IoBuf>,
}

impl BufferPool {
    /// A pool of at most `limit` buffers of `buffer_bytes`. Nothing is allocated yet.
    pub fn new(source: Rc<dyn MblockSource>, buffer_bytes: usize, limit: usize) -> Rc<BufferPool> {
        Rc::new(BufferPool {
            source,
            buffer_bytes,
            limit,
            allocated: Cell::new(0),
            free: RefCell::default(),
            waiting: RefCell::default(),
        })
    }

    /// The number of buffers that can be in use together.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The number of buffers in use.
    pub fn in_use(&self) -> usize {
        self.allocated.get() - self.free.borrow().len()
    }

    /// The number of tasks that wait for a buffer.
    pub fn waiting(&self) -> usize {
        let mut waiting = self.waiting.borrow_mut();
        waiting.retain(|sender| !sender.is_canceled());
        waiting.len()
    }

    /// A buffer, if one is free or can be allocated.
    pub fn take(self: &Rc<Self>) -> Option<Buffer> {
        let memory = self.free.borrow_mut().pop().or_else(|| self.allocate())?;
        Some(self.buffer(memory))
    }

    /// Queues for a buffer: receives the next returned one for which no older waiter is queued.
    pub fn wait(&self) -> oneshot::Receiver<Buffer> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().push_back(sender);
        receiver
    }

    fn allocate(&self) -> Option<IoBuf> {
        if self.allocated.get() == self.limit {
            return None;
        }
        // If memory runs out before the budget does, the budget is smaller for the time being.
        let memory = self.source.allocate(self.buffer_bytes).ok()?;
        assert!(memory.as_ref().as_ref().len() >= self.buffer_bytes, "memory is as long as asked for");
        self.allocated.set(self.allocated.get() + 1);
        Some(memory)
    }

    fn buffer(self: &Rc<Self>, memory: IoBuf) -> Buffer {
        Buffer { pool: Rc::clone(self), memory: Some(memory) }
    }

    fn give_back(self: &Rc<Self>, memory: IoBuf) {
        loop {
            let Some(next) = self.waiting.borrow_mut().pop_front() else {
                self.free.borrow_mut().push(memory);
                return;
            };
            if !next.is_canceled() {
                // If the waiter refuses the buffer all the same, dropping it returns it here.
                drop(next.send(self.buffer(memory)));
                return;
            }
        }
    }
}

impl Buffer {
    /// The buffer's bytes; none while a transfer has them.
    pub fn bytes(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |memory| &memory.as_ref().as_ref()[..self.pool.buffer_bytes])
    }

    /// The buffer's bytes, mutable.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let length = self.pool.buffer_bytes;
        self.memory.as_mut().map_or(&mut [], |memory| &mut memory.as_mut().as_mut()[..length])
    }

    /// Lends the memory to a transfer.
    pub fn lend(&mut self) -> Option<IoBuf> {
        self.memory.take()
    }

    /// Takes the memory back from a transfer.
    pub fn restore(&mut self, memory: IoBuf) {
        self.memory = Some(memory);
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        match self.memory.take() {
            Some(memory) => self.pool.give_back(memory),
            None => {
                self.pool.allocated.set(self.pool.allocated.get() - 1);
                if self.pool.waiting() > 0 {
                    // Allocates a replacement, which goes to a waiter.
                    drop(self.pool.take());
                }
            }
        }
    }
}
