// SPDX-License-Identifier: BSD-3-Clause

//! The buffers through which pages are read and written, and their use.
//!
//! Neither reads nor writes can take all buffers. Otherwise a read that waits for a write to free a frame, and a write
//! that waits for a read to free a buffer, would deadlock.

/// The use of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Not in use.
    Free,
    /// Read of the page of this frame.
    Read(u32),
    /// Write of the page of this frame, as part of a batch.
    Write {
        /// The frame whose page is written.
        frame: u32,
        /// Number of the batch.
        batch: u32,
    },
}

/// The buffers, identified by number.
#[derive(Debug)]
pub(super) struct Buffers<Buf> {
    bufs: Vec<Buf>,
    uses: Vec<Use>,
    free: Vec<u32>,
    reads: usize,
    writes: usize,
}

impl<Buf: Copy> Buffers<Buf> {
    pub fn new(bufs: Vec<Buf>) -> Buffers<Buf> {
        assert!(bufs.len() >= 2, "pages are read and written at the same time");
        let free = (0..bufs.len() as u32).rev().collect();
        Buffers { uses: vec![Use::Free; bufs.len()], bufs, free, reads: 0, writes: 0 }
    }

    /// Maximum number of buffers used by reads; the same limit holds for writes.
    pub fn share(&self) -> usize {
        self.bufs.len() - (self.bufs.len() / 4).max(1)
    }

    /// Number of reads that can start.
    pub fn room_for_reads(&self) -> usize {
        self.free.len().min(self.share() - self.reads)
    }

    /// Number of writes that can start.
    pub fn room_for_writes(&self) -> usize {
        self.free.len().min(self.share() - self.writes)
    }

    /// Takes a buffer; its number identifies the transfer.
    pub fn take(&mut self, for_use: Use) -> (u32, Buf) {
        let number = self.free.pop().expect("room was asked for");
        self.uses[number as usize] = for_use;
        *self.counter(for_use) += 1;
        (number, self.bufs[number as usize])
    }

    /// Returns a buffer and tells its former use. The content stays readable until the next buffer is taken.
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

    /// True when no transfer is in flight.
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
