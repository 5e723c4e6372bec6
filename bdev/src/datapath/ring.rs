// SPDX-License-Identifier: BSD-3-Clause

//! Message rings between the shards of a volume: one single-producer single-consumer ring for each ordered pair.
//!
//! Invariants: messages from one shard to another arrive in the order in which they were sent, whether they entered the
//! ring at once or waited in the outbox; sending never fails. The outbox takes messages while the ring is full. It is
//! allocated at start for as much as a shard can have in flight, and grows only beyond that.

use std::collections::VecDeque;

use rtrb::{Consumer, Producer, RingBuffer};

/// The sending end of a ring, with its outbox.
#[derive(Debug)]
pub struct Sender<T> {
    ring: Producer<T>,
    outbox: VecDeque<T>,
    sent: u64,
}

/// The receiving end of a ring.
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
    /// Sends a message, or queues it in the outbox if the ring is full. Each message is sent at once and not once per
    /// poll: the receiver starts sooner, which measured better than saving the stores.
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

    /// Moves messages from the outbox into the ring while there is room. Returns whether any moved.
    pub fn flush(&mut self) -> bool {
        if self.outbox.is_empty() {
            return false;
        }
        let count = self.outbox.len().min(self.ring.slots());
        match self.ring.write_chunk_uninit(count) {
            Ok(chunk) => chunk.fill_from_iter(self.outbox.drain(..count)) > 0,
            // There is no other writer, so the room seen above is still there.
            Err(_) => false,
        }
    }

    /// How many more messages can be sent before they go to the outbox.
    pub fn room(&self) -> usize {
        self.ring.slots().saturating_sub(self.outbox.len())
    }

    /// True when the outbox is empty.
    pub fn is_flushed(&self) -> bool {
        self.outbox.is_empty()
    }

    pub fn sent(&self) -> u64 {
        self.sent
    }
}

impl<T> Receiver<T> {
    /// Messages that have arrived and are not taken yet.
    pub fn waiting(&self) -> usize {
        self.ring.slots()
    }

    /// Takes all messages that are there now, oldest first; what arrives meanwhile waits for the next call.
    pub fn take_all(&mut self) -> impl Iterator<Item = T> + '_ {
        let count = self.ring.slots();
        self.received += count as u64;
        // There is no other reader, so what was seen is still there.
        self.ring.read_chunk(count).into_iter().flatten()
    }

    pub fn received(&self) -> u64 {
        self.received
    }
}

/// Capacities of ring and outbox for a volume of `shards` shards, such that all rings together take a few tens of MiB
/// at most.
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
