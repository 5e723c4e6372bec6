// SPDX-License-Identifier: BSD-3-Clause

//! The memory of the cache: a bounded number of buffers of one size, recycled.
//!
//! Invariants: no more buffers exist than the limit. While somebody waits for one, none is free; one that is given back
//! goes to the one that waits longest. A buffer whose memory is lost (with the task that had it) can be allocated anew.

use core::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use futures::channel::oneshot;

use super::source::MblockSource;
use crate::device::IoBuf;

/// Buffers of one size.
#[derive(Debug)]
pub struct BufferPool {
    source: Rc<dyn MblockSource>,
    buffer_bytes: usize,
    limit: usize,
    /// Buffers that exist.
    allocated: Cell<usize>,
    free: RefCell<Vec<IoBuf>>,
    waiting: RefCell<VecDeque<oneshot::Sender<Buffer>>>,
}

/// A buffer in use. It goes back to its pool when dropped.
#[derive(Debug)]
pub struct Buffer {
    pool: Rc<BufferPool>,
    /// None while a transfer has it.
    memory: Option<IoBuf>,
}

impl BufferPool {
    /// At most `limit` buffers of `buffer_bytes`. Nothing is allocated yet.
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

    /// Buffers that can be in use together.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Buffers in use.
    pub fn in_use(&self) -> usize {
        self.allocated.get() - self.free.borrow().len()
    }

    /// Number of those that wait for a buffer.
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

    /// The next buffer that is given back and that nobody waits for longer.
    pub fn wait(&self) -> oneshot::Receiver<Buffer> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().push_back(sender);
        receiver
    }

    fn allocate(&self) -> Option<IoBuf> {
        if self.allocated.get() == self.limit {
            return None;
        }
        // Memory that runs out earlier than the budget makes a smaller budget, for the time being.
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
                // If it were refused all the same, the buffer would come back here as it is dropped.
                drop(next.send(self.buffer(memory)));
                return;
            }
        }
    }
}

impl Buffer {
    /// Its bytes; none while a transfer has them.
    pub fn bytes(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |memory| &memory.as_ref().as_ref()[..self.pool.buffer_bytes])
    }

    /// The same, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let length = self.pool.buffer_bytes;
        self.memory.as_mut().map_or(&mut [], |memory| &mut memory.as_mut().as_mut()[..length])
    }

    /// Lends the memory to a transfer.
    pub fn lend(&mut self) -> Option<IoBuf> {
        self.memory.take()
    }

    /// Takes the memory back.
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
                    // Serves those that wait.
                    drop(self.pool.take());
                }
            }
        }
    }
}
