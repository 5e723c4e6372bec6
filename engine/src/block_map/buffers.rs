// SPDX-License-Identifier: BSD-3-Clause

//! The blocks of memory through which pages are read and written, and what each is used for.
//!
//! Neither reads nor writes can take all of them: a read that waits for a write to free a frame, and a write that waits
//! for a read to free a block, would wait for ever.

/// What a block is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Nothing.
    Free,
    /// The page of this frame is read.
    Read(u32),
    /// The page of this frame is written, as part of a batch.
    Write {
        /// The frame.
        frame: u32,
        /// The batch.
        batch: u32,
    },
}

/// The blocks, named by number.
#[derive(Debug)]
pub(super) struct Buffers<Buf> {
    bufs: Vec<Buf>,
    uses: Vec<Use>,
    free: Vec<u32>,
    reads: usize,
    writes: usize,
}

impl<Buf: Copy> Buffers<Buf> {
    /// Blocks, all free.
    pub fn new(bufs: Vec<Buf>) -> Buffers<Buf> {
        assert!(bufs.len() >= 2, "pages are read and written at the same time");
        let free = (0..bufs.len() as u32).rev().collect();
        Buffers { uses: vec![Use::Free; bufs.len()], bufs, free, reads: 0, writes: 0 }
    }

    /// Blocks that reads may use together, and likewise writes.
    pub fn share(&self) -> usize {
        self.bufs.len() - (self.bufs.len() / 4).max(1)
    }

    /// Reads that can begin.
    pub fn room_for_reads(&self) -> usize {
        self.free.len().min(self.share() - self.reads)
    }

    /// Writes that can begin.
    pub fn room_for_writes(&self) -> usize {
        self.free.len().min(self.share() - self.writes)
    }

    /// Takes a block; its number names the transfer.
    pub fn take(&mut self, for_use: Use) -> (u32, Buf) {
        let number = self.free.pop().expect("room was asked for");
        self.uses[number as usize] = for_use;
        *self.counter(for_use) += 1;
        (number, self.bufs[number as usize])
    }

    /// Gives a block back, and says what it was used for. It stays readable until the next is taken.
    pub fn give_back(&mut self, number: u32) -> (Use, Buf) {
        let was = std::mem::replace(&mut self.uses[number as usize], Use::Free);
        *self.counter(was) -= 1;
        self.free.push(number);
        (was, self.bufs[number as usize])
    }

    fn counter(&mut self, of: Use) -> &mut usize {
        match of {
            Use::Free => panic!("a transfer of a map page ended, but is not under way"),
            Use::Read(_) => &mut self.reads,
            Use::Write { .. } => &mut self.writes,
        }
    }

    /// True when nothing is under way.
    pub fn all_free(&self) -> bool {
        self.free.len() == self.bufs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_reads_nor_writes_take_all() {
        for count in [2, 3, 4, 64] {
            let mut buffers = Buffers::new((0..count).collect());
            let mut taken = Vec::new();
            while buffers.room_for_reads() > 0 {
                taken.push(buffers.take(Use::Read(0)).0);
            }
            assert!(buffers.room_for_writes() > 0, "{count} blocks");
            let (write, _) = buffers.take(Use::Write { frame: 1, batch: 0 });
            for number in taken {
                assert_eq!(buffers.give_back(number), (Use::Read(0), number));
            }
            while buffers.room_for_writes() > 0 {
                buffers.take(Use::Write { frame: 1, batch: 0 });
            }
            assert!(buffers.room_for_reads() > 0 && !buffers.all_free(), "{count} blocks");
            assert_eq!(buffers.give_back(write), (Use::Write { frame: 1, batch: 0 }, write));
        }
    }
}
