// SPDX-License-Identifier: BSD-3-Clause

//! Intrusive lists: a FIFO for one thread, and an inbox that many threads fill and one empties.
//!
//! Both link nodes through a field of the node, so queueing never allocates. Invariants:
//! * A node is in at most one list at a time, and stays in place until it has been popped.
//! * Only one thread touches a [`List`]. Any thread may call [`Inbox::push`], only one [`Inbox::take_all`].
//! * An inbox keeps the order in which nodes were pushed: by each thread, and across threads as far as their pushes are
//!   ordered at all.

use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

/// A node that can be queued.
///
/// # Safety
/// `link` returns the same field of the node at every call, and only this module writes to it.
pub unsafe trait Linked: Sized {
    /// The link to the next node.
    fn link(&self) -> &Cell<*const Self>;
}

/// A first-in first-out queue for one thread.
#[derive(Debug)]
pub struct List<T> {
    head: Cell<*const T>,
    tail: Cell<*const T>,
}

impl<T: Linked> Default for List<T> {
    fn default() -> List<T> {
        List { head: Cell::new(ptr::null()), tail: Cell::new(ptr::null()) }
    }
}

impl<T: Linked> List<T> {
    pub fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// Queues a node at the end.
    ///
    /// # Safety
    /// The node is in no list, and stays valid and in place until it has been popped.
    pub unsafe fn push(&self, node: NonNull<T>) {
        // SAFETY: the caller vouches for the node. The tail was pushed under the same promise and is not popped yet.
        unsafe {
            node.as_ref().link().set(ptr::null());
            match self.tail.get().as_ref() {
                None => self.head.set(node.as_ptr()),
                Some(tail) => tail.link().set(node.as_ptr()),
            }
        }
        self.tail.set(node.as_ptr());
    }

    /// Queues a node at the front.
    ///
    /// # Safety
    /// As for [`List::push`].
    pub unsafe fn push_front(&self, node: NonNull<T>) {
        // SAFETY: the caller vouches for the node.
        unsafe { node.as_ref() }.link().set(self.head.get());
        if self.is_empty() {
            self.tail.set(node.as_ptr());
        }
        self.head.set(node.as_ptr());
    }

    /// The node at the front, which stays queued.
    pub fn front(&self) -> Option<NonNull<T>> {
        NonNull::new(self.head.get().cast_mut())
    }

    pub fn pop(&self) -> Option<NonNull<T>> {
        let node = self.front()?;
        // SAFETY: the node was pushed with the promise to stay valid until it is popped, which happens here.
        let next = unsafe { node.as_ref() }.link().get();
        self.head.set(next);
        if next.is_null() {
            self.tail.set(ptr::null());
        }
        Some(node)
    }
}

/// A queue that any thread fills and one thread empties as a whole. Lock-free: a stack of pushed nodes, reversed when
/// taken.
#[derive(Debug)]
pub struct Inbox<T> {
    top: AtomicPtr<T>,
}

impl<T: Linked> Default for Inbox<T> {
    fn default() -> Inbox<T> {
        Inbox { top: AtomicPtr::new(ptr::null_mut()) }
    }
}

impl<T: Linked> Inbox<T> {
    /// True when the inbox was empty at the moment of the check.
    pub fn is_empty(&self) -> bool {
        self.top.load(Ordering::Relaxed).is_null()
    }

    /// Queues a node. Before this returns, the node may be taken, finished and gone: the caller must not touch it
    /// again.
    ///
    /// # Safety
    /// The node is in no list, stays valid and in place until it has been popped, and may be handed to the emptying
    /// thread.
    pub unsafe fn push(&self, node: NonNull<T>) {
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            // SAFETY: until the exchange below succeeds, the node belongs to this thread alone.
            unsafe { node.as_ref() }.link().set(top);
            // Release: the thread that takes the node sees everything that this thread wrote to it.
            match self.top.compare_exchange_weak(top, node.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    /// Moves all nodes to the end of `to`, oldest first. Returns whether there were any.
    pub fn take_all(&self, to: &List<T>) -> bool {
        if self.is_empty() {
            return false;
        }
        // Acquire: pairs with the release of every push whose node is in the chain (each later push continues the
        // release sequence).
        let mut node = self.top.swap(ptr::null_mut(), Ordering::Acquire).cast_const();
        let mut oldest_first: *const T = ptr::null();
        while !node.is_null() {
            // SAFETY: the swap detached the chain, so it belongs to this thread alone; its nodes are valid by the
            // promise of `push`.
            let link = unsafe { &*node }.link();
            let next = link.get();
            link.set(oldest_first);
            oldest_first = node;
            node = next;
        }
        while let Some(node) = NonNull::new(oldest_first.cast_mut()) {
            // SAFETY: as above; the link is read before `push` overwrites it, and the node is in no other list any
            // more.
            unsafe {
                oldest_first = node.as_ref().link().get();
                to.push(node);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    struct Node {
        link: Cell<*const Node>,
        thread: usize,
        number: usize,
    }

    // SAFETY: `link` is always the same field, and only the lists write to it.
    unsafe impl Linked for Node {
        fn link(&self) -> &Cell<*const Node> {
            &self.link
        }
    }

    fn node(thread: usize, number: usize) -> NonNull<Node> {
        NonNull::from(Box::leak(Box::new(Node { link: Cell::new(ptr::null()), thread, number })))
    }

    fn drain(list: &List<Node>) -> Vec<(usize, usize)> {
        core::iter::from_fn(|| list.pop())
            // SAFETY: every node of these tests was leaked from a box and is popped once.
            .map(|node| unsafe { Box::from_raw(node.as_ptr()) })
            .map(|node| (node.thread, node.number))
            .collect()
    }

    #[test]
    fn a_list_is_first_in_first_out_and_takes_nodes_at_the_front() {
        let list = List::default();
        assert!(list.is_empty() && list.pop().is_none());
        // SAFETY: fresh nodes, popped by `drain`.
        unsafe {
            list.push_front(node(0, 2));
            list.push(node(0, 3));
            list.push_front(node(0, 1));
            list.push(node(0, 4));
        }
        assert_eq!(drain(&list), [(0, 1), (0, 2), (0, 3), (0, 4)]);
        // SAFETY: as above.
        unsafe { list.push(node(0, 5)) };
        assert_eq!(drain(&list), [(0, 5)]);
    }

    #[test]
    fn an_inbox_loses_nothing_and_keeps_each_threads_order() {
        const THREADS: usize = 4;
        const EACH: usize = if cfg!(miri) { 50 } else { 20_000 };
        struct Shared(Inbox<Node>);
        // SAFETY: an inbox is made to be pushed to by many threads; the test empties it on one.
        unsafe impl Send for Shared {}
        // SAFETY: as above.
        unsafe impl Sync for Shared {}
        let shared = Arc::new(Shared(Inbox::default()));
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || {
                    for number in 0..EACH {
                        // SAFETY: a fresh node, popped by `drain`.
                        unsafe { shared.0.push(node(thread, number)) };
                    }
                })
            })
            .collect();
        let list = List::default();
        let mut next = [0; THREADS];
        let mut total = 0;
        while total < THREADS * EACH {
            shared.0.take_all(&list);
            for (thread, number) in drain(&list) {
                assert_eq!(number, next[thread], "thread {thread}");
                next[thread] += 1;
                total += 1;
            }
        }
        for writer in writers {
            writer.join().expect("a writer panicked");
        }
        assert!(shared.0.is_empty() && !shared.0.take_all(&list));
    }
}
