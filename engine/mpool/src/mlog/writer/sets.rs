// SPDX-License-Identifier: BSD-3-Clause

//! Flush sets in flight, and their buffers.

use super::{FlushSet, LogWriter, Position, SetId, SetState, Settled};
use crate::mlog::geometry::STALE_SCAN_BYTES;
use crate::mlog::media::FlushMemory;

impl<B: FlushMemory> LogWriter<B> {
    /// Takes a flush set to be written now. Without `partial` only when a buffer is full; with it also when anything
    /// was appended. None: there is nothing to write, enough is in flight, or a set has failed.
    pub fn next_flush(&mut self, partial: bool) -> Option<FlushSet<B>> {
        if self.failed || self.failing() {
            return None;
        }
        // A completed set behind one in flight counts as in flight: it has not settled.
        let unsettled = self.sealed.iter().filter(|set| set.state != SetState::Ready).count();
        if unsettled >= self.config.max_in_flight {
            return None;
        }
        if unsettled == self.sealed.len() && partial {
            self.seal();
        }
        let sector = self.sector_bytes() as u64;
        let set = self.sealed.get_mut(unsettled)?;
        let buffer = self.slots[set.slot].take()?;
        set.state = SetState::InFlight;
        Some(FlushSet { id: set.id, at: set.first_block * sector, buffer, range: 0..set.bytes })
    }

    /// Records the end of a flush set: durable when `ok`. Sets may end in any order.
    ///
    /// # Panics
    /// If the set is not in flight.
    pub fn flushed(&mut self, id: SetId, buffer: B, ok: bool) -> Settled {
        let set = self.sealed.iter_mut().find(|set| set.id == id).expect("the set is in flight");
        assert_eq!(set.state, SetState::InFlight, "a set ends once");
        set.state = if ok { SetState::Written } else { SetState::Failed };
        self.slots[set.slot] = Some(buffer);
        while self.sealed.front().is_some_and(|set| set.state == SetState::Written) {
            if let Some(set) = self.sealed.pop_front() {
                self.durable = self.durable.max(set.last);
            }
        }
        let lost = self.lose();
        Settled { durable: self.durable, lost }
    }

    /// True when a set has failed and others are still in flight.
    #[must_use]
    pub fn failing(&self) -> bool {
        self.sealed.iter().any(|set| set.state == SetState::Failed)
    }

    /// Once the first unsettled set has failed and nothing is in flight any more: gives up everything from that set on,
    /// and the log. Returns the last lost position.
    fn lose(&mut self) -> Option<Position> {
        let first = self.sealed.front()?;
        let in_flight = self.sealed.iter().any(|set| set.state == SetState::InFlight);
        if first.state != SetState::Failed || in_flight {
            return None;
        }
        let (start, slot) = (first.start, first.slot);
        self.end = start;
        if let Some(buffer) = &self.slots[slot] {
            // The part of the block that was durable before the set stays; the rest never was.
            let (kept, dropped) = self.tail.split_at_mut(start.byte);
            kept.copy_from_slice(&buffer.bytes()[..start.byte]);
            dropped.fill(0);
        }
        self.sealed.clear();
        self.filling = None;
        self.partial = None;
        self.failed = true;
        Some(self.appended)
    }

    /// True when everything appended is durable or lost.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.sealed.is_empty() && self.filling.is_none() && self.partial.is_none()
    }

    /// True when a set is ready or can be closed.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.sealed.is_empty() || self.filling.is_some()
    }

    /// Bytes of the buffer that is filled now or next; 0 when that is in flight or missing.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        let slot = self.filling.as_ref().map_or(self.next_slot, |filling| filling.slot);
        self.slots[slot].as_ref().map_or(0, |buffer| buffer.bytes().len())
    }

    /// The number of buffers to supply.
    #[must_use]
    pub fn missing_buffers(&self) -> usize {
        let lent = self.sealed.iter().filter(|set| set.state == SetState::InFlight).count();
        self.slots.iter().filter(|slot| slot.is_none()).count() - lent
    }

    /// True when a record of `bytes` leaves room in the buffer that is filled now or next.
    #[must_use]
    pub fn fits_buffer(&self, bytes: usize) -> bool {
        let used = self.filling.as_ref().map_or(0, |filling| self.end.block - filling.first_block);
        let blocks = (self.buffer_bytes() / self.sector_bytes()) as u64;
        self.room_in(blocks.saturating_sub(used)).is_some_and(|room| (bytes as u64) < room)
    }

    /// Supplies a buffer: it replaces a missing one or, with its content, a smaller one that is not in flight. Returns
    /// the replaced buffer, or `buffer` itself if there is no such place.
    ///
    /// # Panics
    /// If the buffer is not a whole number of blocks, or sets in flight could be longer than recovery searches.
    pub fn supply(&mut self, buffer: B) -> Option<B> {
        let bytes = buffer.bytes().len();
        assert!(bytes > 0 && bytes.is_multiple_of(self.sector_bytes()), "a buffer is whole blocks");
        assert!(bytes.saturating_mul(self.config.max_in_flight) <= STALE_SCAN_BYTES, "recovery looks at 1 MiB");
        let Some(slot) = self.slot_to_supply(bytes) else { return Some(buffer) };
        let old = self.slots[slot].replace(buffer);
        if let (Some(old), Some(new)) = (&old, &mut self.slots[slot]) {
            new.bytes_mut()[..old.bytes().len()].copy_from_slice(old.bytes());
        }
        old
    }

    /// The slot that a buffer of `bytes` would improve: the one being filled if possible.
    fn slot_to_supply(&self, bytes: usize) -> Option<usize> {
        let wants = |slot: &usize| {
            let lent = self.sealed.iter().any(|set| set.slot == *slot && set.state == SetState::InFlight);
            !lent && self.slots[*slot].as_ref().is_none_or(|old| old.bytes().len() < bytes)
        };
        let filling = self.filling.as_ref().map(|filling| filling.slot);
        filling.filter(wants).or_else(|| (0..self.slots.len()).find(wants))
    }

    /// Frees the buffers when nothing is in flight. The content of a partly filled block is kept.
    pub fn release_buffers(&mut self) {
        if self.is_idle() {
            self.slots.fill_with(|| None);
        }
    }
}
