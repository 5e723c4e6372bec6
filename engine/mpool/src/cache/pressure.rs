// SPDX-License-Identifier: BSD-3-Clause

//! The arithmetic of the reaper: watermarks, urgency, time to live, delays of misses.
//!
//! Shares and urgency are in hundredths of a percent: 0 to 10000.

use super::map::Temperature;
use crate::units::Nanos;

/// The whole, in hundredths of a percent.
pub const WHOLE: u64 = 10_000;

const NANOS_PER_MICRO: u64 = 1000;

/// The result of the last tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressure {
    /// The urgency of reaping; 0 without pressure.
    pub urgency: u64,
    /// The time to live of a cold map's pages, in us.
    pub ttl_us: u64,
}

/// The free share of the memory that can be freed: `free` of `free + tracked` pages. If both are 0, nothing can be
/// reaped and the share is the whole.
pub fn free_share(tracked: u64, free: u64) -> u64 {
    WHOLE - (tracked * WHOLE).checked_div(free + tracked).unwrap_or(0)
}

/// The free share below which reaping begins.
pub const fn low_watermark(mempct: u32) -> u64 {
    100_u64.saturating_sub(mempct as u64) * 100
}

/// The free share at which reaping ends: 3 % more than the low watermark, at most 97 %.
pub const fn high_watermark(mempct: u32) -> u64 {
    let above = low_watermark(mempct) * 103 / 100;
    if above < 9700 {
        above
    } else {
        9700
    }
}

impl Pressure {
    /// No pressure.
    pub const fn none(ttl_us: u64) -> Pressure {
        Pressure { urgency: 0, ttl_us }
    }

    /// True while the reaper works.
    pub const fn is_active(self) -> bool {
        self.urgency > 0
    }

    /// The pressure after this one, given the present `free_share` and the tunables `mempct` and `ttl_us`.
    #[must_use]
    pub fn next(self, free_share: u64, mempct: u32, ttl_us: u64) -> Pressure {
        let high = high_watermark(mempct);
        if free_share >= high || !(free_share < low_watermark(mempct) || self.is_active()) {
            return Pressure::none(ttl_us);
        }
        // Below the high watermark the urgency is at least 1.
        let urgency = WHOLE - free_share * WHOLE / high;
        let shortened = u128::from(ttl_us) * 250_000 / u128::from(urgency * urgency);
        Pressure { urgency, ttl_us: u64::try_from(shortened).unwrap_or(u64::MAX).min(ttl_us) }
    }

    /// The bounds of a miss's delay, in us; none for no delay.
    #[must_use]
    pub fn delay_us(self) -> Option<(u64, u64)> {
        if self.urgency < 3333 {
            return None;
        }
        let least = (500_000 / (WHOLE + 1 - self.urgency)).saturating_sub(49).min(3000);
        Some((least, 2 * least))
    }

    /// Whether readahead for a map is to be limited.
    #[must_use]
    pub fn is_duress(self, temperature: Temperature) -> bool {
        match temperature {
            Temperature::Hot | Temperature::Pinned => false,
            Temperature::Cold => self.urgency >= 1500,
            Temperature::Warm => self.urgency > 3000,
        }
    }
}

/// How long after its last access an mblock of a map with this temperature expires; none for never.
pub fn time_to_live(ttl_us: u64, temperature: Temperature) -> Option<Nanos> {
    let factor = match temperature {
        Temperature::Cold => 1,
        Temperature::Warm => 10,
        Temperature::Hot => 100,
        Temperature::Pinned => return None,
    };
    Some(Nanos(ttl_us.saturating_mul(factor).saturating_mul(NANOS_PER_MICRO)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: u64 = 10_000_000;

    /// mpool-126: the free share, from everything free to nothing.
    #[test]
    fn free_share_counts_tracked_pages() {
        assert_eq!(
            [(0, 100), (100, 0), (1, 2), (25, 75)].map(|(used, free)| free_share(used, free)),
            [10_000, 0, 6667, 7500]
        );
        assert_eq!(free_share(0, 0), 10_000);
    }

    /// mpool-126: watermarks at the ends of the range of mempct and where the high one meets its limit.
    #[test]
    fn watermarks() {
        let both = |mempct| (low_watermark(mempct), high_watermark(mempct));
        assert_eq!([5, 6, 40, 90, 100].map(both), [(9500, 9700), (9400, 9682), (6000, 6180), (1000, 1030), (0, 0)]);
    }

    /// mpool-126: reaping begins below the low watermark, goes on up to the high one, and then is idle.
    #[test]
    fn pressure_has_hysteresis() {
        let idle = Pressure::none(TTL);
        assert_eq!(idle.next(6000, 40, TTL), idle);
        let active = idle.next(5999, 40, TTL);
        assert!(active.is_active());
        assert!(active.next(6179, 40, TTL).is_active());
        assert_eq!(active.next(6180, 40, TTL), idle);
        assert_eq!(idle.next(0, 100, TTL), idle, "with 100 % the reaper never works");
    }

    /// mpool-126: urgency and time to live by hand: 1 just below the high watermark, 500 keeps the TTL, 5000, 10000.
    #[test]
    fn urgency_shortens_the_time_to_live() {
        let active = Pressure { urgency: 1, ttl_us: TTL };
        let at = |share| active.next(share, 40, TTL);
        assert_eq!(at(6179), Pressure { urgency: 2, ttl_us: TTL });
        assert_eq!(at(5871), Pressure { urgency: 500, ttl_us: TTL });
        assert_eq!(at(5870), Pressure { urgency: 502, ttl_us: 9_920_477 });
        assert_eq!(at(3090), Pressure { urgency: 5000, ttl_us: 100_000 });
        assert_eq!(at(0), Pressure { urgency: 10_000, ttl_us: 25_000 });
        assert_eq!(active.next(9699, 5, u64::MAX), Pressure { urgency: 2, ttl_us: u64::MAX });
    }

    /// mpool-128, adapted: urgency 5000 delays by 50 to 100 us, 10000 by 3 to 6 ms, less than 3333 not at all.
    #[test]
    fn urgency_delays_misses() {
        let delay = |urgency| Pressure { urgency, ttl_us: TTL }.delay_us();
        assert_eq!([0, 3332, 3333, 5000].map(delay), [None, None, Some((25, 50)), Some((50, 100))]);
        assert_eq!([9837, 9838, 10_000].map(delay), [Some((2999, 5998)), Some((3000, 6000)), Some((3000, 6000))]);
    }

    /// mpool-128, adapted: duress by temperature, with its two limits.
    #[test]
    fn duress_spares_warm_and_hot_maps() {
        let duress = |urgency| {
            let pressure = Pressure { urgency, ttl_us: TTL };
            [Temperature::Cold, Temperature::Warm, Temperature::Hot, Temperature::Pinned]
                .map(|temperature| pressure.is_duress(temperature))
        };
        assert_eq!(duress(1499), [false; 4]);
        assert_eq!(duress(1500), [true, false, false, false]);
        assert_eq!(duress(3000), [true, false, false, false]);
        assert_eq!(duress(3001), [true, true, false, false]);
        assert_eq!(duress(10_000), [true, true, false, false]);
    }

    /// mpool-125, partly: the multipliers of the time to live.
    #[test]
    fn temperatures_multiply_the_time_to_live() {
        let ttl = |temperature| time_to_live(100, temperature);
        assert_eq!(ttl(Temperature::Cold), Some(Nanos(100_000)));
        assert_eq!(ttl(Temperature::Warm), Some(Nanos(1_000_000)));
        assert_eq!(ttl(Temperature::Hot), Some(Nanos(10_000_000)));
        assert_eq!(ttl(Temperature::Pinned), None);
        assert_eq!(time_to_live(u64::MAX, Temperature::Hot), Some(Nanos(u64::MAX)));
    }
}
