// SPDX-License-Identifier: BSD-3-Clause

//! Mail between the shards of a volume: one single-producer single-consumer ring for each ordered pair.
//!
//! Invariants: mail from one shard to another arrives in the order it was sent, whether it went through the ring at
//! once or waited in the outbox; sending never fails. The outbox is used when a ring is full; it is allocated at
//! start for as much as a shard can have in flight, and grows only beyond that.

use std::collections::VecDeque;

use rtrb::{Consumer, Producer, RingBuffer};

/// The sending end of one ring, with its outbox.
#[derive(Debug)]
pub struct Sender<T> {
    ring: Producer<T>,
    outbox: VecDeque<T>,
    sent: u64,
}

/// The receiving end of one ring.
#[derive(Debug)]
pub struct Receiver<T> {
    ring: Consumer<T>,
    received: u64,
}

/// A ring of `capacity` entries and an outbox of `outbox`.
pub fn ring<T>(capacity: usize, outbox: usize) -> (Sender<T>, Receiver<T>) {
    let (producer, consumer) = RingBuffer::new(capacity);
    let sender = Sender { ring: producer, outbox: VecDeque::with_capacity(outbox), sent: 0 };
    (sender, Receiver { ring: consumer, received: 0 })
}

impl<T> Sender<T> {
    /// Sends, or puts into the outbox. Sent at once and not once a turn: the other end begins the sooner, which was
    /// measured to be worth more than the stores it costs.
    pub fn send(&mut self, mail: T) {
        self.sent += 1;
        if self.outbox.is_empty() {
            if let Err(rtrb::PushError::Full(mail)) = self.ring.push(mail) {
                self.outbox.push_back(mail);
            }
        } else {
            self.outbox.push_back(mail);
        }
    }

    /// Moves what waits into the ring as far as there is room. Returns whether anything moved.
    pub fn flush(&mut self) -> bool {
        if self.outbox.is_empty() {
            return false;
        }
        let count = self.outbox.len().min(self.ring.slots());
        match self.ring.write_chunk_uninit(count) {
            Ok(chunk) => chunk.fill_from_iter(self.outbox.drain(..count)) > 0,
            // Nobody else writes, so there is the room that was just seen.
            Err(_) => false,
        }
    }

    /// How much more can be sent before mail begins to wait.
    pub fn room(&self) -> usize {
        self.ring.slots().saturating_sub(self.outbox.len())
    }

    /// True when nothing waits here for room in the ring.
    pub fn is_flushed(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Mails sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }
}

impl<T> Receiver<T> {
    /// Mails that have arrived.
    pub fn waiting(&self) -> usize {
        self.ring.slots()
    }

    /// Takes all that is there now, oldest first; what arrives meanwhile waits for the next call.
    pub fn take_all(&mut self) -> impl Iterator<Item = T> + '_ {
        let count = self.ring.slots();
        self.received += count as u64;
        // Nobody else reads, so what was seen is still there.
        self.ring.read_chunk(count).into_iter().flatten()
    }

    /// Mails taken so far.
    pub fn received(&self) -> u64 {
        self.received
    }
}

/// Ring capacity and outbox size for a volume of `shards` shards, so that all rings together stay within some tens
/// of MiB.
pub fn capacities(shards: usize) -> (usize, usize) {
    let ring = (16384 / shards).next_power_of_two().clamp(512, 4096);
    let outbox = (8192 / shards).next_power_of_two().clamp(256, 2048);
    (ring, outbox)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_keeps_its_order_through_a_full_ring() {
        let (mut sender, mut receiver) = ring(4, 2);
        for number in 0..10 {
            sender.send(number);
        }
        assert_eq!((sender.room(), sender.is_flushed(), receiver.waiting()), (0, false, 4));
        let mut got: Vec<i32> = receiver.take_all().collect();
        assert_eq!(sender.room(), 0, "what waits in the outbox has first call on the room");
        sender.send(10);
        while sender.flush() {
            got.extend(receiver.take_all());
        }
        assert_eq!(got, (0..11).collect::<Vec<_>>());
        assert!(sender.is_flushed() && !sender.flush());
        assert_eq!((sender.sent(), receiver.received(), sender.room()), (11, 11, 4));
    }

    #[test]
    fn mail_crosses_threads_complete_and_in_order() {
        const COUNT: u64 = 100_000;
        let (mut sender, mut receiver) = ring(64, 64);
        let writer = std::thread::spawn(move || {
            for number in 0..COUNT {
                sender.send(number);
                sender.flush();
            }
            while !sender.is_flushed() {
                sender.flush();
                std::thread::yield_now();
            }
        });
        let mut next = 0;
        while next < COUNT {
            for number in receiver.take_all() {
                assert_eq!(number, next);
                next += 1;
            }
            std::thread::yield_now();
        }
        writer.join().expect("the writer panicked");
        assert_eq!(receiver.waiting(), 0);
    }

    #[test]
    fn rings_of_many_shards_are_smaller() {
        assert_eq!(capacities(1), (4096, 2048));
        assert_eq!(capacities(32), (512, 256));
    }
}
