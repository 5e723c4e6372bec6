// SPDX-License-Identifier: BSD-3-Clause

//! Transfers that wait for an `spdk_bdev_io`. Metadata and flushes go before data; each kind keeps its order of
//! arrival.

use core::ptr::NonNull;

use crate::datapath::list::{Linked, List};

/// Something that can wait.
pub trait Waits: Linked {
    /// Goes before what is not urgent.
    fn is_urgent(&self) -> bool;
}

/// The waiting transfers, by kind.
pub struct Waiting<T> {
    urgent: List<T>,
    others: List<T>,
}

impl<T: Waits> Waiting<T> {
    pub fn new() -> Waiting<T> {
        Waiting { urgent: List::default(), others: List::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.others.is_empty()
    }

    /// Adds a node behind those of its kind.
    ///
    /// # Safety
    /// The node is in no list, and stays valid and in place until it has been popped.
    pub unsafe fn push(&self, node: NonNull<T>) {
        // SAFETY: the caller's promise.
        unsafe { self.list_of(node).push(node) };
    }

    /// Puts back a node that was popped, as the first of its kind.
    ///
    /// # Safety
    /// As for [`Waiting::push`].
    pub unsafe fn push_front(&self, node: NonNull<T>) {
        // SAFETY: the caller's promise.
        unsafe { self.list_of(node).push_front(node) };
    }

    /// Takes the first urgent node, else the first of the others.
    pub fn pop(&self) -> Option<NonNull<T>> {
        self.urgent.pop().or_else(|| self.others.pop())
    }

    /// # Safety
    /// The node is valid.
    unsafe fn list_of(&self, node: NonNull<T>) -> &List<T> {
        // SAFETY: the caller's promise.
        match unsafe { node.as_ref() }.is_urgent() {
            true => &self.urgent,
            false => &self.others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;
    use core::ptr;

    struct Node {
        link: Cell<*const Node>,
        urgent: bool,
        number: u32,
    }

    // SAFETY: `link` is always the same field, and only the lists write to it.
    unsafe impl Linked for Node {
        fn link(&self) -> &Cell<*const Node> {
            &self.link
        }
    }

    impl Waits for Node {
        fn is_urgent(&self) -> bool {
            self.urgent
        }
    }

    fn pop(waiting: &Waiting<Node>) -> Option<u32> {
        // SAFETY: the nodes of these tests outlive the lists.
        waiting.pop().map(|node| unsafe { node.as_ref() }.number)
    }

    /// When SPDK has memory again, metadata goes before data, whichever came first; each kind keeps its order, also
    /// when one has to wait once more.
    #[test]
    fn metadata_goes_before_data() {
        let nodes: Vec<Node> = [false, false, true, false, true]
            .into_iter()
            .zip(0..)
            .map(|(urgent, number)| Node { link: Cell::new(ptr::null()), urgent, number })
            .collect();
        let waiting = Waiting::new();
        for node in &nodes {
            // SAFETY: in no list, and in place until the end of the test.
            unsafe { waiting.push(NonNull::from(node)) };
        }
        assert_eq!((pop(&waiting), pop(&waiting)), (Some(2), Some(4)));
        assert_eq!(pop(&waiting), Some(0));
        // SAFETY: as above.
        unsafe { waiting.push_front(NonNull::from(&nodes[0])) };
        // SAFETY: as above.
        unsafe { waiting.push(NonNull::from(&nodes[4])) };
        assert_eq!([pop(&waiting), pop(&waiting), pop(&waiting), pop(&waiting)], [Some(4), Some(0), Some(1), Some(3)]);
        assert!(waiting.is_empty() && pop(&waiting).is_none());
    }
}
