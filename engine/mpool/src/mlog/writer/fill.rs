// SPDX-License-Identifier: BSD-3-Clause

//! Fills a buffer with chunks, and closes it as a flush set.

use super::{Filling, LogWriter, Policy, Progress, Sealed, SetId, SetState};
use crate::mlog::block::{self, SetIds, HEADER_BYTES};
use crate::mlog::geometry::Place;
use crate::mlog::media::FlushMemory;
use crate::mlog::record::{ChunkType, Descriptor, DESCRIPTOR_BYTES};

impl<B: FlushMemory> LogWriter<B> {
    /// Bytes of the longest record that fits the free buffers; none when not even a descriptor fits.
    pub(super) fn buffer_room(&self) -> Option<u64> {
        let free = self.slots.len() - self.sealed.len() - usize::from(self.filling.is_some());
        let blocks_of = |slot: usize| {
            let buffer = self.slots[slot % self.slots.len()].as_ref();
            buffer.map_or(0, |buffer| (buffer.bytes().len() / self.sector_bytes()) as u64)
        };
        let free_blocks: u64 =
            (0..free).map(|ahead| blocks_of(self.next_slot + ahead)).take_while(|&blocks| blocks > 0).sum();
        let used = self.filling.as_ref();
        let filling_blocks = used.map_or(0, |filling| blocks_of(filling.slot) - (self.end.block - filling.first_block));
        self.room_in(filling_blocks + free_blocks)
    }

    /// Bytes of the longest record that fits `blocks` blocks, including the one at the end.
    pub(super) fn room_in(&self, blocks: u64) -> Option<u64> {
        let later = blocks.checked_sub(1)?.saturating_mul(self.config.geometry.payload_bytes());
        match self.sector_bytes().checked_sub(self.end.byte)?.checked_sub(DESCRIPTOR_BYTES) {
            Some(here) => Some(later.saturating_add(here as u64)),
            None => (later > 0).then_some(later),
        }
    }

    /// Puts `rest` of the current record into the free buffers, as far as it fits.
    pub(super) fn put_record(&mut self, rest: &[u8]) -> Progress {
        let mut taken = 0;
        loop {
            let Some(space) = self.chunk_space() else { return Progress::Taken(taken) };
            let partial = self.partial.as_mut().expect("a record is under way");
            let bytes = space.min(partial.left);
            let ends = bytes == partial.left;
            let kind = match (partial.begun, ends) {
                (false, true) => ChunkType::Full,
                (false, false) => ChunkType::First,
                (true, false) => ChunkType::Middle,
                (true, true) => ChunkType::Last,
            };
            let total = partial.total;
            partial.left -= bytes;
            partial.begun = true;
            self.put_chunk(kind, total, &rest[taken..taken + bytes]);
            taken += bytes;
            if ends {
                self.partial = None;
                return Progress::Complete(self.accept());
            }
            self.seal_when_full();
        }
    }

    /// Makes room for a descriptor. Returns the bytes that can follow it in its block; none when no buffer is free.
    fn chunk_space(&mut self) -> Option<usize> {
        if self.filling.is_none() {
            self.begin_filling()?;
        }
        if self.block_is_full() {
            self.end = Place::start_of(self.end.block + 1);
            self.filling_block().fill(0);
        }
        Some(self.sector_bytes() - self.end.byte - DESCRIPTOR_BYTES)
    }

    fn block_is_full(&self) -> bool {
        self.sector_bytes() - self.end.byte < DESCRIPTOR_BYTES
    }

    /// Puts a chunk at the end. The caller has checked that there is room.
    pub(super) fn put_chunk(&mut self, kind: ChunkType, total_bytes: u32, payload: &[u8]) {
        let space = self.chunk_space();
        assert!(space.is_some_and(|space| payload.len() <= space), "the caller has seen that there is room");
        // A block has at most 4096 bytes.
        let descriptor = Descriptor { total_bytes, chunk_bytes: payload.len() as u16, kind }.encode();
        let at = self.end.byte;
        let block = self.filling_block();
        let (head, tail) = block[at..].split_at_mut(DESCRIPTOR_BYTES);
        head.copy_from_slice(&descriptor);
        tail[..payload.len()].copy_from_slice(payload);
        self.end.byte = at + DESCRIPTOR_BYTES + payload.len();
    }

    /// Takes the next free buffer.
    fn begin_filling(&mut self) -> Option<()> {
        if self.sealed.len() == self.slots.len() {
            return None;
        }
        let slot = self.next_slot;
        self.slots[slot].as_ref()?;
        self.next_slot = (slot + 1) % self.slots.len();
        self.filling = Some(Filling { slot, first_block: self.end.block, start: self.end });
        if let Some(buffer) = &mut self.slots[slot] {
            // The tail is zero behind `end`; for a new block all of it is zero, including the place of the header.
            buffer.bytes_mut()[..self.tail.len()].copy_from_slice(&self.tail);
        }
        Some(())
    }

    /// The image of the block at the end.
    fn filling_block(&mut self) -> &mut [u8] {
        let sector = self.sector_bytes();
        let filling = self.filling.as_ref().expect("a buffer is being filled");
        let at = (self.end.block - filling.first_block) as usize * sector;
        let buffer = self.slots[filling.slot].as_mut().expect("the filling buffer is not lent out");
        &mut buffer.bytes_mut()[at..at + sector]
    }

    /// Closes the filling buffer when no further chunk fits.
    pub(super) fn seal_when_full(&mut self) {
        let Some(filling) = &self.filling else { return };
        let used = (self.end.block - filling.first_block + 1) as usize * self.sector_bytes();
        let size = self.slots[filling.slot].as_ref().map_or(0, |buffer| buffer.bytes().len());
        if self.block_is_full() && used + self.sector_bytes() > size {
            self.seal();
        }
    }

    /// Closes the filling buffer: it becomes a flush set.
    pub(super) fn seal(&mut self) {
        let Some(filling) = self.filling.take() else { return };
        let sector = self.sector_bytes();
        let blocks = (self.end.block - filling.first_block + 1) as usize;
        // `admit` keeps the ids within 32 bits.
        let current = self.next_set as u32;
        let buffer = self.slots[filling.slot].as_mut().expect("the filling buffer is not lent out");
        let images = buffer.bytes_mut().chunks_exact_mut(sector).take(blocks);
        let mut previous = self.previous_set;
        for image in images {
            block::seal(image, self.config.format, self.config.stamp, SetIds { previous, current });
            previous = current;
        }
        self.leave_last_block(filling.slot, blocks, current);
        self.next_set += 1;
        self.sealed.push_back(Sealed {
            id: SetId(self.next_id),
            slot: filling.slot,
            first_block: filling.first_block,
            bytes: blocks * sector,
            start: filling.start,
            last: self.appended,
            state: SetState::Ready,
        });
        self.next_id += 1;
    }

    /// Decides where the next set begins: in the last block of the present one, or behind it.
    fn leave_last_block(&mut self, slot: usize, blocks: usize, current: u32) {
        if self.config.policy == Policy::Fresh || self.block_is_full() {
            self.end = Place::start_of(self.end.block + 1);
            self.previous_set = current;
            self.tail.fill(0);
            return;
        }
        if blocks > 1 {
            self.previous_set = current;
        }
        let sector = self.sector_bytes();
        if let Some(buffer) = &self.slots[slot] {
            self.tail.copy_from_slice(&buffer.bytes()[(blocks - 1) * sector..blocks * sector]);
        }
    }

    /// The number of blocks from the log's start that are on media and do not change any more.
    #[must_use]
    pub fn final_blocks(&self) -> u64 {
        let sealed = self.sealed.front().map(|set| set.first_block);
        let filling = self.filling.as_ref().map(|filling| filling.first_block);
        sealed.or(filling).unwrap_or(self.end.block)
    }

    /// The records of block `number`, behind space for a header, if the block is in the writer's memory. A block from
    /// [`LogWriter::final_blocks`] on that is not in memory is in a set in flight.
    #[must_use]
    pub fn in_memory(&self, number: u64) -> Option<&[u8]> {
        let sector = self.sector_bytes();
        let Some(filling) = &self.filling else {
            return (number == self.end.block && self.end.byte > HEADER_BYTES).then_some(&self.tail[..]);
        };
        let at = usize::try_from(number.checked_sub(filling.first_block)?).ok()?.checked_mul(sector)?;
        if number > self.end.block {
            return None;
        }
        self.slots[filling.slot].as_ref()?.bytes().get(at..at + sector)
    }
}
