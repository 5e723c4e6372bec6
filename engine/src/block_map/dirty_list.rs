// SPDX-License-Identifier: BSD-3-Clause

//! The dirty pages in the order of the oldest journal entry that each needs (eras).
//!
//! Pages become dirty in the order of journal entries, so they are added at the end. Invariant: `oldest` never
//! decreases from head to tail. Differs from dm-vdo: one list in the order of entries instead of one list per era; an
//! era is an entry number before which no entry may stay in the list.

use super::frame::FrameInfo;
use crate::arena::NONE;

/// Head and tail of a list whose links are in the frames.
#[derive(Debug)]
pub(super) struct DirtyList {
    head: u32,
    tail: u32,
    len: usize,
}

impl DirtyList {
    pub const fn new() -> DirtyList {
        DirtyList { head: NONE, tail: NONE, len: 0 }
    }

    /// The page that has been dirty longest, or [`NONE`].
    pub const fn head(&self) -> u32 {
        self.head
    }

    /// Number of dirty pages.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Adds a page whose oldest entry is not older than any in the list.
    pub fn push(&mut self, frames: &mut [FrameInfo], frame: u32) {
        debug_assert!(self.tail == NONE || frames[self.tail as usize].oldest <= frames[frame as usize].oldest);
        self.insert_before(frames, frame, NONE);
    }

    /// Adds a page whose oldest entry is among the oldest; searches from the head.
    pub fn insert(&mut self, frames: &mut [FrameInfo], frame: u32) {
        let oldest = frames[frame as usize].oldest;
        let mut at = self.head;
        while at != NONE && frames[at as usize].oldest < oldest {
            at = frames[at as usize].next;
        }
        self.insert_before(frames, frame, at);
    }

    fn insert_before(&mut self, frames: &mut [FrameInfo], frame: u32, after: u32) {
        let before = if after == NONE { self.tail } else { frames[after as usize].prev };
        frames[frame as usize].prev = before;
        frames[frame as usize].next = after;
        *(if before == NONE { &mut self.head } else { &mut frames[before as usize].next }) = frame;
        *(if after == NONE { &mut self.tail } else { &mut frames[after as usize].prev }) = frame;
        self.len += 1;
    }

    /// Removes a page.
    pub fn remove(&mut self, frames: &mut [FrameInfo], frame: u32) {
        let FrameInfo { prev, next, .. } = frames[frame as usize];
        *(if prev == NONE { &mut self.head } else { &mut frames[prev as usize].next }) = next;
        *(if next == NONE { &mut self.tail } else { &mut frames[next as usize].prev }) = prev;
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(list: &DirtyList, frames: &[FrameInfo]) -> Vec<u32> {
        let (mut at, mut order) = (list.head(), Vec::new());
        while at != NONE {
            order.push(at);
            at = frames[at as usize].next;
        }
        assert_eq!(order.len(), list.len());
        order
    }

    #[test]
    fn pages_are_in_order_of_their_oldest_entries() {
        let oldest = [7, 3, 9, 5, 8];
        let mut frames: Vec<FrameInfo> = oldest.map(|oldest| FrameInfo { oldest, ..FrameInfo::FREE }).to_vec();
        let mut list = DirtyList::new();
        list.push(&mut frames, 3);
        list.push(&mut frames, 0);
        list.push(&mut frames, 2);
        for back in [1, 4] {
            list.insert(&mut frames, back);
        }
        assert_eq!(order(&list, &frames), [1, 3, 0, 4, 2]);
        for (gone, left) in [(0, vec![1, 3, 4, 2]), (1, vec![3, 4, 2]), (2, vec![3, 4]), (4, vec![3]), (3, vec![])] {
            list.remove(&mut frames, gone);
            assert_eq!(order(&list, &frames), left);
        }
        list.push(&mut frames, 0);
        assert_eq!(order(&list, &frames), [0]);
    }
}
