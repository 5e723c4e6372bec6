// SPDX-License-Identifier: BSD-3-Clause

//! The slot of the region that a job's next request goes to.
//!
//! A slot is a run of as many blocks as one request has. Invariant: `next` costs a few nanoseconds and never allocates.

use super::spec::Order;

/// Multiplier of xorshift64* (Vigna).
const SCRAMBLE: u64 = 0x2545_f491_4f6c_dd1d;

/// A small generator of pseudo-random numbers: xorshift64*, good enough to spread requests.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        // One round of splitmix64 separates similar seeds; the state must not be 0.
        let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Random((z ^ (z >> 31)) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(SCRAMBLE)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// The slots of one job among several, in its order.
#[derive(Debug, Clone)]
pub(super) enum Slots {
    /// Any slot of the region, without end.
    Random { random: Random, slots: u64 },
    /// The job's own part of the region from its start, repeatedly (`wrap`) or once.
    Sequential { next: u64, first: u64, end: u64, wrap: bool },
    /// Every slot of the region once, with the jobs taking turns, in an order that looks random: multiples of `step`,
    /// which is coprime to `slots`.
    Scattered { index: u64, jobs: u64, step: u64, slots: u64 },
}

impl Slots {
    pub(super) fn new(order: Order, once: bool, slots: u64, job: u64, jobs: u64, seed: u64) -> Slots {
        let random = Random::new(seed ^ (job << 32));
        match order {
            Order::Random if once => Slots::Scattered { index: job, jobs, step: scatter_step(slots), slots },
            Order::Random => Slots::Random { random, slots },
            Order::Sequential => {
                let (first, end) = (slots * job / jobs, slots * (job + 1) / jobs);
                Slots::Sequential { next: first, first, end, wrap: !once }
            }
        }
    }

    /// The next slot, or `None` when the job's part is done.
    pub(super) fn next(&mut self) -> Option<u64> {
        match self {
            Slots::Random { random, slots } => Some(random.below(*slots)),
            Slots::Sequential { next, first, end, wrap } => {
                if next == end {
                    if !*wrap || first == end {
                        return None;
                    }
                    *next = *first;
                }
                *next += 1;
                Some(*next - 1)
            }
            Slots::Scattered { index, jobs, step, slots } => {
                if *index >= *slots {
                    return None;
                }
                let slot = (u128::from(*index) * u128::from(*step) % u128::from(*slots)) as u64;
                *index += *jobs;
                Some(slot)
            }
        }
    }
}

/// A number coprime to `slots`, near its golden section so that neighbours land far apart.
fn scatter_step(slots: u64) -> u64 {
    let mut step = ((slots as f64 * 0.618_033_988_75) as u64).max(1);
    while greatest_common_divisor(step, slots) != 1 {
        step += 1;
    }
    step
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(order: Order, slots: u64, jobs: u64) -> Vec<u64> {
        let mut seen = Vec::new();
        for job in 0..jobs {
            let mut one = Slots::new(order, true, slots, job, jobs, 7);
            seen.extend(std::iter::from_fn(|| one.next()));
        }
        seen.sort_unstable();
        seen
    }

    #[test]
    fn one_pass_visits_each_slot_once() {
        for slots in [1, 2, 7, 460, 1000, 4096] {
            for jobs in [1, 2, 3] {
                for order in [Order::Random, Order::Sequential] {
                    assert_eq!(all(order, slots, jobs), (0..slots).collect::<Vec<_>>(), "{order:?} {slots} {jobs}");
                }
            }
        }
    }

    #[test]
    fn endless_orders_stay_inside() {
        let mut random = Slots::new(Order::Random, false, 100, 1, 2, 1);
        let mut sequential = Slots::new(Order::Sequential, false, 100, 1, 2, 1);
        let mut hit = [0; 100];
        for _ in 0..10_000 {
            hit[random.next().expect("endless") as usize] += 1;
            assert!((50..100).contains(&sequential.next().expect("endless")));
        }
        assert!(hit.iter().all(|&count| (50..200).contains(&count)), "{hit:?}");
    }
}
