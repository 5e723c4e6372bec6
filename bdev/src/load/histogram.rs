// SPDX-License-Identifier: BSD-3-Clause

//! Latencies in buckets of logarithmic width, all allocated in advance.
//!
//! Each power of two is split into [`SUB_BUCKETS`] equal parts, so a percentile is at most 1/32 (3%) above the true
//! one.

/// Buckets per power of two.
const SUB_BUCKETS: u64 = 32;
const SUB_BITS: u32 = SUB_BUCKETS.trailing_zeros();
const BUCKETS: usize = ((64 - SUB_BITS + 1) as usize) * SUB_BUCKETS as usize;

/// Counts of durations, in ticks of any unit.
#[derive(Clone)]
pub struct Histogram {
    counts: Box<[u32]>,
}

impl Histogram {
    /// An empty histogram.
    #[must_use]
    pub fn new() -> Histogram {
        Histogram { counts: vec![0; BUCKETS].into_boxed_slice() }
    }

    /// Counts one duration.
    #[inline]
    pub fn record(&mut self, ticks: u64) {
        self.counts[bucket(ticks)] += 1;
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts[..]) {
            *mine += theirs;
        }
    }

    /// Number of durations counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }

    /// The duration, in ticks, that the fraction `quantile` (0 to 1) of all counted durations does not exceed; 0 if
    /// none was counted.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> u64 {
        let wanted = (self.count() as f64 * quantile).ceil().max(1.0) as u64;
        let mut below = 0;
        for (index, &count) in self.counts.iter().enumerate() {
            below += u64::from(count);
            if below >= wanted {
                return upper_end(index);
            }
        }
        0
    }
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Histogram {{ count: {}, median: {} }}", self.count(), self.quantile(0.5))
    }
}

#[inline]
fn bucket(ticks: u64) -> usize {
    if ticks < SUB_BUCKETS {
        return ticks as usize;
    }
    let shift = 63 - ticks.leading_zeros() - SUB_BITS;
    (u64::from(shift) * SUB_BUCKETS + (ticks >> shift)) as usize
}

/// The largest duration of a bucket.
fn upper_end(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * SUB_BUCKETS {
        return index;
    }
    let shift = index / SUB_BUCKETS - 1;
    let part = index % SUB_BUCKETS + SUB_BUCKETS;
    (((u128::from(part) + 1) << shift) - 1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_lies_in_its_bucket() {
        for ticks in (0..5000).chain([1 << 20, (1 << 40) + 12_345, u64::MAX / 2, u64::MAX]) {
            let index = bucket(ticks);
            assert!(upper_end(index) >= ticks, "{ticks}");
            assert!(index == 0 || upper_end(index - 1) < ticks, "{ticks}");
            assert!(upper_end(index) - ticks <= ticks / SUB_BUCKETS, "{ticks}");
        }
    }

    #[test]
    fn quantiles_of_known_counts() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.5), 0);
        for ticks in 1..=20 {
            histogram.record(ticks);
        }
        assert_eq!((histogram.quantile(0.5), histogram.quantile(0.99), histogram.count()), (10, 20, 20));
        let copy = histogram.clone();
        histogram.merge(&copy);
        assert_eq!((histogram.quantile(0.25), histogram.count()), (5, 40));
    }
}
