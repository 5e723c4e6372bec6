// SPDX-License-Identifier: BSD-3-Clause

//! The tunables of a pool: defaults and ranges.
//!
//! Invariant: a tunable is always within its range. Setters clamp a value to the range and return the stored value;
//! those of the reaper, which an operator sets while the pool runs, refuse it instead.
//!
//! Differs from mpool:
//! * No `rsvd_bios_max`: SPDK has its own reserve of I/Os. No "fill bias": it never had an effect.
//! * `reap_mempct` applies to the cache's own budget, which has no other users. So its default is 90, mpool's value for
//!   the largest machines, and it does not depend on the machine's memory.
//! * `cache_mib`, the budget of the cache, is new.
//! * Where mpool names no range: percentages are at most 100, counts at least 1, numbers of MDCs at most 255.

mod kept;

use core::ops::RangeInclusive;

use super::error::{PoolError, Result};

pub use kept::KeptTunable;

/// The most pages of one readahead request.
pub const READAHEAD_PAGES_MAX: u32 = 32;

/// The most client MDCs: slots 1 to 255.
const CLIENT_MDCS_MAX: u32 = 255;

macro_rules! tunables {
    ($($(#[$doc:meta])+ $name:ident, $set:ident: $default:expr, $low:expr, $high:expr;)+) => {
        /// The tunables of one pool.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Tunables {
            /// The tunables of the reaper.
            pub reaper: ReaperTunables,
            $($name: u32,)+
        }

        impl Default for Tunables {
            fn default() -> Tunables {
                Tunables { reaper: ReaperTunables::default(), $($name: $default,)+ }
            }
        }

        impl Tunables {
            $(
                $(#[$doc])+
                #[doc = concat!(
                    "\n\nDefault ", stringify!($default), ", range ", stringify!($low), " to ", stringify!($high), "."
                )]
                #[must_use]
                pub const fn $name(&self) -> u32 {
                    self.$name
                }

                #[doc = concat!("Sets [`Tunables::", stringify!($name), "`], moved into its range; returns it.")]
                pub fn $set(&mut self, value: u32) -> u32 {
                    self.$name = value.clamp($low, $high);
                    self.$name
                }
            )+
        }

        #[cfg(test)]
        type Row = (&'static str, u32, u32, u32, fn(&Tunables) -> u32, fn(&mut Tunables, u32) -> u32);

        /// Name, default, low, high, getter and setter of each tunable.
        #[cfg(test)]
        const ROWS: &[Row] = &[
            $((stringify!($name), $default, $low, $high, Tunables::$name, Tunables::$set),)+
        ];
    };
}

tunables! {
    /// Largest piece of a transfer to a device, in KiB.
    chunk_kib, set_chunk_kib: 128, 128, 1024;
    /// Pools that can be active at a time.
    pools_max, set_pools_max: 1024, 8, 8192;
    /// Largest single read or write of an object, in MiB.
    io_mib_max, set_io_mib_max: 32, 1, 128;
    /// Large transfers that run at a time (see [`super::admission`]).
    large_io_max, set_large_io_max: 8, 1, 32;
    /// Cache maps that a pool can have.
    maps_max, set_maps_max: 1 << 27, 1024, 1 << 30;
    /// Largest cache map: binary logarithm of bytes.
    map_log2, set_map_log2: 30, 27, 32;
    /// Client MDCs that a new pool gets.
    client_mdcs, set_client_mdcs: 16, 1, CLIENT_MDCS_MAX;
    /// Capacity of each log of MDC0 in MiB; 0: derived from the zone size.
    mdc0_capacity_mib, set_mdc0_capacity_mib: 0, 0, u32::MAX;
    /// Capacity of each log of the other MDCs in MiB; 0: derived from the zone size.
    mdcn_capacity_mib, set_mdcn_capacity_mib: 0, 0, u32::MAX;
    /// Regions of the space map of a drive.
    space_map_regions, set_space_map_regions: 4, 1, u32::MAX;
    /// Alignment of allocations in the space map, in zones.
    space_map_align, set_space_map_align: 1, 1, u32::MAX;
    /// Zones kept as spare in each media class, in percent.
    spare_percent, set_spare_percent: 5, 0, 100;
    /// MDCs that are loaded at a time when a pool is activated.
    load_jobs, set_load_jobs: 8, 1, CLIENT_MDCS_MAX;
    /// Fill in percent from which on an MDC is compacted in the background.
    precompact_fill_percent, set_precompact_fill_percent: 70, 0, 100;
    /// Percentage of garbage in its log below which an MDC is not compacted in the background.
    precompact_garbage_percent, set_precompact_garbage_percent: 20, 0, 100;
    /// MDCs after the next one to be compacted that get no new objects; 0 disables background compaction.
    no_alloc_mdcs, set_no_alloc_mdcs: 2, 0, CLIENT_MDCS_MAX;
    /// Period of the background compaction, in seconds.
    precompact_period_seconds, set_precompact_period_seconds: 5, 1, 3600;
    /// Fill in percent, over all MDCs, above which more MDCs are made.
    grow_fill_percent, set_grow_fill_percent: 50, 0, 100;
    /// Percentage of garbage, over all MDCs, below which more MDCs are made.
    grow_garbage_percent, set_grow_garbage_percent: 20, 0, 100;
    /// Period of the usage logger, in ms.
    usage_log_period_ms, set_usage_log_period_ms: 60_000, 1, u32::MAX;
    /// Attempts to compact an MDC before it fails.
    compaction_attempts, set_compaction_attempts: 5, 1, u32::MAX;
    /// Client MDCs grow to multiples of this.
    mdc_set, set_mdc_set: 16, 1, CLIENT_MDCS_MAX;
    /// Capacity of each log of the root MDC, in MiB.
    root_log_mib, set_root_log_mib: 8, 1, u32::MAX;
    /// Largest number of pages of one readahead request; 0 disables readahead.
    readahead_pages, set_readahead_pages: READAHEAD_PAGES_MAX, 0, READAHEAD_PAGES_MAX;
    /// Memory for cached pages of mapped mblocks, in MiB.
    cache_mib, set_cache_mib: 64, 1, u32::MAX;
}

/// The tunables of the reaper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReaperTunables {
    mempct: u32,
    ttl_us: u64,
    debug: u32,
}

impl Default for ReaperTunables {
    fn default() -> ReaperTunables {
        ReaperTunables { mempct: 90, ttl_us: 10_000_000, debug: 0 }
    }
}

impl ReaperTunables {
    /// Share of the cache's budget, in percent, from which on it reaps. 100: only when the budget is used up, by the
    /// reads that need memory.
    #[must_use]
    pub const fn mempct(&self) -> u32 {
        self.mempct
    }

    /// Time in us for which an mblock of a cold map stays untouched before it is reaped, under the least pressure.
    #[must_use]
    pub const fn ttl_us(&self) -> u64 {
        self.ttl_us
    }

    /// What is logged at level debug: from 1 on beginning and end of pressure, 2 every tick under pressure, 3 every
    /// mblock that is reaped.
    #[must_use]
    pub const fn debug(&self) -> u32 {
        self.debug
    }

    /// Sets [`ReaperTunables::mempct`].
    ///
    /// # Errors
    /// Invalid unless it is from 5 to 100.
    pub fn set_mempct(&mut self, percent: u32) -> Result<()> {
        check("reap_mempct", percent.into(), &(5..=100))?;
        self.mempct = percent;
        Ok(())
    }

    /// Sets [`ReaperTunables::ttl_us`].
    ///
    /// # Errors
    /// Invalid when it is less than 100.
    pub fn set_ttl_us(&mut self, ttl_us: u64) -> Result<()> {
        check("reap_ttl", ttl_us, &(100..=u64::MAX))?;
        self.ttl_us = ttl_us;
        Ok(())
    }

    /// Sets [`ReaperTunables::debug`].
    ///
    /// # Errors
    /// Invalid when it is more than 3.
    pub fn set_debug(&mut self, level: u32) -> Result<()> {
        check("reap_debug", level.into(), &(0..=3))?;
        self.debug = level;
        Ok(())
    }
}

fn check(name: &str, value: u64, range: &RangeInclusive<u64>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let reason = format!("{value} is not in its range of {} to {}", range.start(), range.end());
    Err(PoolError::invalid(name, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    /// mpool-134: each tunable has its default, keeps the ends of its range, and stays within.
    #[test]
    fn values_outside_their_range_are_moved_to_its_end() {
        for (name, default, low, high, get, set) in ROWS {
            let mut tunables = Tunables::default();
            assert_eq!(get(&tunables), *default, "{name}");
            assert!(low <= default && default <= high, "{name}");
            let stored = [low.saturating_sub(1), *low, *high, high.saturating_add(1)]
                .map(|value| (set(&mut tunables, value), get(&tunables)));
            assert_eq!(stored, [(*low, *low), (*low, *low), (*high, *high), (*high, *high)], "{name}");
        }
    }

    /// mpool-134: the ranges that mpool names.
    #[test]
    fn ranges_are_those_of_the_specification() {
        let row = |name: &str| {
            let row = ROWS.iter().find(|row| row.0 == name).unwrap();
            (row.1, row.2, row.3)
        };
        assert_eq!(row("chunk_kib"), (128, 128, 1024));
        assert_eq!(row("pools_max"), (1024, 8, 8192));
        assert_eq!(row("io_mib_max"), (32, 1, 128));
        assert_eq!(row("large_io_max"), (8, 1, 32));
        assert_eq!(row("maps_max"), (1 << 27, 1024, 1 << 30));
        assert_eq!(row("map_log2"), (30, 27, 32));
        assert_eq!(row("client_mdcs"), (16, 1, 255));
        assert_eq!(row("spare_percent"), (5, 0, 100));
        assert_eq!(row("precompact_period_seconds"), (5, 1, 3600));
        assert_eq!(row("usage_log_period_ms").0, 60_000);
        assert_eq!(row("readahead_pages"), (32, 0, 32));
    }

    /// mpool-129: the reaper refuses 4 and 101 %, 99 us, debug level 4, and keeps what it had; the ends are accepted.
    #[test]
    fn the_reaper_refuses_values_outside_their_range() {
        let mut reaper = ReaperTunables::default();
        assert_eq!((reaper.mempct(), reaper.ttl_us(), reaper.debug()), (90, 10_000_000, 0));
        for refused in [reaper.set_mempct(4), reaper.set_mempct(101), reaper.set_ttl_us(99), reaper.set_debug(4)] {
            assert_eq!(refused.unwrap_err().kind(), Kind::Invalid);
        }
        assert_eq!(reaper, ReaperTunables::default());
        let error = reaper.set_mempct(101).unwrap_err();
        assert_eq!(error.to_string(), "reap_mempct: 101 is not in its range of 5 to 100");
        for (mempct, ttl_us, debug) in [(5, 100, 0), (100, u64::MAX, 3)] {
            reaper.set_mempct(mempct).unwrap();
            reaper.set_ttl_us(ttl_us).unwrap();
            reaper.set_debug(debug).unwrap();
            assert_eq!((reaper.mempct(), reaper.ttl_us(), reaper.debug()), (mempct, ttl_us, debug));
        }
    }
}
